//! Secrets Manager: secrets, without their values.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of Secrets Manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    pub(crate) description: String,
    /// Version id and stages.
    pub(crate) versions: BTreeMap<String, Vec<String>>,
    /// It is scheduled for deletion.
    pub(crate) is_deleted: bool,
    pub(crate) policy: Option<String>,
    pub(crate) tags: Tags,
}

impl Secrets {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.secrets {
            let stages: Vec<&String> = it.versions.values().flatten().collect();
            let thing = Thing::new("secret", &it.tags)
                .with("name", name.as_str())
                .with("description", it.description.as_str())
                .with("stages", serde_json::json!(stages))
                .with("policy", it.policy.clone())
                .residue(it.is_deleted);
            all.insert(&it.arn, thing);
        }
    }
}
