//! KMS: keys and their aliases.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of KMS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kms {
    /// By id.
    pub(crate) keys: BTreeMap<String, Key>,
    /// By name, with `alias/`.
    pub(crate) aliases: BTreeMap<String, Alias>,
    /// What an alias has: none.
    pub(crate) no_tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) arn: String,
    pub(crate) description: String,
    pub(crate) spec: String,
    pub(crate) usage: String,
    /// Such as `Enabled` or `PendingDeletion`.
    pub(crate) state: String,
    /// Where its material comes from: `AWS_KMS`.
    pub(crate) origin: String,
    /// In seconds since 1970.
    pub(crate) created: i64,
    /// When it will be deleted, in seconds since 1970.
    pub(crate) deletion: Option<i64>,
    pub(crate) rotates: bool,
    pub(crate) multi_region: bool,
    /// AWS made it for one of its services.
    pub(crate) is_managed: bool,
    pub(crate) policy: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Alias {
    pub(crate) arn: String,
    /// Id of a key.
    pub(crate) target: String,
}

impl Kms {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for it in self.keys.values() {
            let thing = Thing::new("kms-key", &it.tags)
                .with("description", it.description.as_str())
                .with("spec", it.spec.as_str())
                .with("usage", it.usage.as_str())
                .with("rotates", it.rotates)
                .with("multi_region", it.multi_region)
                .with("policy", it.policy.clone())
                .with("enabled", it.state == "Enabled")
                .made_by_aws(it.is_managed)
                .residue(it.state == "PendingDeletion");
            all.insert(&it.arn, thing);
        }
        for (name, it) in &self.aliases {
            let target = self.keys.get(&it.target).map_or(&it.target, |key| &key.arn);
            let thing = Thing::new("kms-alias", &self.no_tags)
                .with("name", name.as_str())
                .with("target", target.as_str())
                .made_by_aws(name.starts_with("alias/aws/"));
            all.insert(&it.arn, thing);
        }
    }
}
