//! Secrets Manager: from the emulator's state view to the section of the picture.

use winterbaume_secretsmanager::SecretsmanagerStateView;

use crate::picture::secrets::{Secret, Secrets};

/// Reads all that exists, but no values.
pub(super) fn picture_of(view: &SecretsmanagerStateView) -> Secrets {
    let secrets = view.secrets.values().map(|it| {
        let versions = it.versions.values().map(|of| {
            let mut stages = of.version_stages.clone();
            stages.sort();
            (of.version_id.clone(), stages)
        });
        let secret = Secret {
            arn: it.arn.clone(),
            description: it.description.clone(),
            versions: versions.collect(),
            is_deleted: it.deleted_date.is_some(),
            policy: it.resource_policy.clone(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.name.clone(), secret)
    });
    Secrets { secrets: secrets.collect() }
}
