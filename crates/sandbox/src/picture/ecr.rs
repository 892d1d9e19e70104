//! ECR: repositories and their images.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of ECR.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ecr {
    /// By name.
    pub(crate) repositories: BTreeMap<String, Repository>,
}

#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) arn: String,
    pub(crate) uri: String,
    /// In seconds.
    pub(crate) created: i64,
    pub(crate) scan_on_push: bool,
    pub(crate) tag_mutability: String,
    pub(crate) encryption: String,
    pub(crate) key: Option<String>,
    pub(crate) lifecycle_policy: Option<String>,
    pub(crate) policy: Option<String>,
    /// Digest and tags.
    pub(crate) images: BTreeMap<String, Vec<String>>,
    pub(crate) tags: Tags,
}

impl Ecr {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.repositories {
            let thing = Thing::new("ecr-repository", &it.tags)
                .with("name", name.as_str())
                .with("scan_on_push", it.scan_on_push)
                .with("tag_mutability", it.tag_mutability.as_str())
                .with("encryption", it.encryption.as_str())
                .with("key", it.key.clone())
                .with("lifecycle_policy", it.lifecycle_policy.clone())
                .with("policy", it.policy.clone())
                .with("images", json!(it.images));
            all.insert(&it.arn, thing);
        }
    }
}
