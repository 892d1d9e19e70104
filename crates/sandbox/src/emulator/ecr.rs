//! ECR: from the emulator's state view to the section of the picture.

use winterbaume_ecr::EcrStateView;

use crate::picture::ecr::{Ecr, Repository};

/// Reads all that exists.
pub(super) fn picture_of(view: &EcrStateView) -> Ecr {
    let repositories = view.repositories.values().map(|it| {
        let repository = Repository {
            arn: it.repository_arn.clone(),
            uri: it.repository_uri.clone(),
            created: it.created_at.as_deref().map_or(0, seconds),
            scan_on_push: it.image_scanning_configuration.scan_on_push,
            tag_mutability: it.image_tag_mutability.clone(),
            encryption: it.encryption_configuration.encryption_type.clone(),
            key: it.encryption_configuration.kms_key.clone(),
            lifecycle_policy: it.lifecycle_policy.clone(),
            policy: it.repository_policy.clone(),
            images: it.images.iter().map(|of| (of.image_digest.clone(), of.image_tags.clone())).collect(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.repository_name.clone(), repository)
    });
    Ecr { repositories: repositories.collect() }
}

fn seconds(date: &str) -> i64 {
    date.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}
