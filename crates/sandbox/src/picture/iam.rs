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
    /// By name.
    pub(crate) profiles: BTreeMap<String, Profile>,
    /// By ARN.
    pub(crate) oidc_providers: BTreeMap<String, OidcProvider>,
    /// By ARN.
    pub(crate) users: BTreeMap<String, Member>,
    /// By ARN.
    pub(crate) groups: BTreeMap<String, Member>,
}

#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) description: String,
    /// The trust policy, as it was given.
    pub(crate) trust: String,
    /// When it was made, in UTC.
    pub(crate) created: String,
    /// In seconds.
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
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) description: String,
    /// When it was made, in UTC.
    pub(crate) created: String,
    /// When its versions were changed last, in UTC.
    pub(crate) updated: String,
    /// In the order in which they were made.
    pub(crate) versions: Vec<Version>,
    pub(crate) tags: Tags,
}

/// A version of a managed policy.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Its id is a `v` and this.
    pub(crate) number: u32,
    /// As it was given.
    pub(crate) document: String,
    pub(crate) is_default: bool,
    /// When it was made, in UTC.
    pub(crate) created: String,
}

/// An instance profile.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) path: String,
    /// When it was made, in UTC.
    pub(crate) created: String,
    /// Names of roles; one at most.
    pub(crate) roles: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct OidcProvider {
    pub(crate) url: String,
    pub(crate) clients: Vec<String>,
    pub(crate) thumbprints: Vec<String>,
    pub(crate) tags: Tags,
}

/// A user or a group, as far as policies are concerned: the emulator answers for the rest.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) path: String,
    /// ARNs of policies.
    pub(crate) attached: Vec<String>,
    pub(crate) boundary: Option<String>,
    pub(crate) tags: Tags,
}

impl Version {
    /// Its id: `v1`.
    pub(crate) fn id(&self) -> String {
        format!("v{}", self.number)
    }
}

impl Policy {
    /// The version that is in force.
    pub(crate) fn default(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.is_default)
    }
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
        for it in self.policies.values() {
            let versions: BTreeMap<String, &str> =
                it.versions.iter().map(|version| (version.id(), version.document.as_str())).collect();
            let thing = Thing::new("iam-policy", &it.tags)
                .with("name", it.name.as_str())
                .with("path", it.path.as_str())
                .with("description", it.description.as_str())
                .with("default_version", it.default().map(Version::id))
                .with("versions", json!(versions));
            all.insert(&it.arn, thing);
        }
        for (name, it) in &self.profiles {
            let thing = Thing::new("iam-instance-profile", &it.tags)
                .with("name", name.as_str())
                .with("path", it.path.as_str())
                .with("roles", it.roles.clone());
            all.insert(&it.arn, thing);
        }
        for (arn, it) in &self.oidc_providers {
            let thing = Thing::new("iam-oidc-provider", &it.tags)
                .with("name", it.url.as_str())
                .with("clients", it.clients.clone())
                .with("thumbprints", it.thumbprints.clone());
            all.insert(arn, thing);
        }
        for (kind, members) in [("iam-user", &self.users), ("iam-group", &self.groups)] {
            for (arn, it) in members {
                all.insert(arn, Thing::new(kind, &it.tags).with("attached", it.attached.clone()));
            }
        }
    }
}
