//! IAM: from the emulator's state view to the section of the picture.

use std::collections::HashMap;

use winterbaume_iam::IamStateView;

use crate::picture::iam::{Iam, OidcProvider, Policy, Role};
use crate::query::Tags;

/// Reads all that exists. What AWS owns has no account in its ARN, and is left out.
pub(super) fn picture_of(view: &IamStateView) -> Iam {
    let roles = view.roles.values().map(|it| {
        let inline = it.inline_policies.iter().map(|of| (of.policy_name.clone(), of.policy_document.clone()));
        let role = Role {
            arn: it.arn.clone(),
            id: it.role_id.clone(),
            path: it.path.clone(),
            description: it.description.clone(),
            trust: it.assume_role_policy_document.clone(),
            max_session: it.max_session_duration,
            boundary: it.permissions_boundary.clone(),
            attached: it.attached_policies.iter().map(|of| of.policy_arn.clone()).collect(),
            inline: inline.collect(),
            tags: tags(&it.tags),
        };
        (it.name.clone(), role)
    });
    let policies = view.policies.values().filter(|it| !it.arn.starts_with("arn:aws:iam::aws:")).map(|it| {
        let policy = Policy {
            name: it.policy_name.clone(),
            path: it.path.clone(),
            description: it.description.clone(),
            default_version: it.default_version_id.clone(),
            versions: it.versions.iter().map(|of| (of.version_id.clone(), of.document.clone())).collect(),
            tags: tags(&it.tags),
        };
        (it.arn.clone(), policy)
    });
    let oidc_providers = view.oidc_providers.values().map(|it| {
        let provider = OidcProvider {
            url: it.url.clone(),
            clients: it.client_id_list.clone(),
            thumbprints: it.thumbprint_list.clone(),
            tags: tags(&it.tags),
        };
        (it.arn.clone(), provider)
    });
    Iam {
        roles: roles.collect(),
        policies: policies.collect(),
        oidc_providers: oidc_providers.collect(),
        users: view.users.values().map(|it| (it.arn.clone(), tags(&it.tags))).collect(),
    }
}

fn tags(tags: &HashMap<String, String>) -> Tags {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
