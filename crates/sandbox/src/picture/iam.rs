//! IAM: what an account may do.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of IAM. Policies of AWS itself are not in it: everybody has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Iam {
    /// By name.
    pub(crate) roles: BTreeMap<String, Role>,
    /// By ARN.
    pub(crate) policies: BTreeMap<String, Policy>,
    /// By ARN.
    pub(crate) oidc_providers: BTreeMap<String, OidcProvider>,
    /// By ARN.
    pub(crate) users: BTreeMap<String, Tags>,
}

#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) description: String,
    /// The trust policy, as it was given.
    pub(crate) trust: String,
    pub(crate) max_session: i32,
    pub(crate) boundary: Option<String>,
    /// ARNs of policies.
    pub(crate) attached: Vec<String>,
    /// Inline policies: name and document.
    pub(crate) inline: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: String,
    pub(crate) default_version: String,
    /// Id and document.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct OidcProvider {
    pub(crate) url: String,
    pub(crate) clients: Vec<String>,
    pub(crate) thumbprints: Vec<String>,
    pub(crate) tags: Tags,
}

impl Iam {
    /// A role by its ARN.
    pub(crate) fn role(&self, arn: &str) -> Option<(&str, &Role)> {
        self.roles.iter().find(|(_, role)| role.arn == arn).map(|(name, role)| (name.as_str(), role))
    }

    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.roles {
            let thing = Thing::new("iam-role", &it.tags)
                .with("name", name.as_str())
                .with("path", it.path.as_str())
                .with("description", it.description.as_str())
                .with("trust", it.trust.as_str())
                .with("max_session", it.max_session)
                .with("boundary", it.boundary.clone())
                .with("attached", it.attached.clone())
                .with("inline", json!(it.inline));
            all.insert(&it.arn, thing);
        }
        for (arn, it) in &self.policies {
            let thing = Thing::new("iam-policy", &it.tags)
                .with("name", it.name.as_str())
                .with("path", it.path.as_str())
                .with("description", it.description.as_str())
                .with("default_version", it.default_version.as_str())
                .with("versions", json!(it.versions));
            all.insert(arn, thing);
        }
        for (arn, it) in &self.oidc_providers {
            let thing = Thing::new("iam-oidc-provider", &it.tags)
                .with("name", it.url.as_str())
                .with("clients", it.clients.clone())
                .with("thumbprints", it.thumbprints.clone());
            all.insert(arn, thing);
        }
        all.extend(self.users.iter().map(|(arn, tags)| (arn.as_str(), Thing::new("iam-user", tags))));
    }
}
