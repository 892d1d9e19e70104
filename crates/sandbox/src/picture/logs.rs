//! CloudWatch Logs: log groups.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of CloudWatch Logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logs {
    /// By name.
    pub(crate) groups: BTreeMap<String, LogGroup>,
}

#[derive(Debug, Clone)]
pub(crate) struct LogGroup {
    /// Without `:*`.
    pub(crate) arn: String,
    /// In milliseconds.
    pub(crate) created: i64,
    pub(crate) retention: Option<i32>,
    pub(crate) key: Option<String>,
    pub(crate) deletion_protection: bool,
    /// Names.
    pub(crate) streams: Vec<String>,
    pub(crate) tags: Tags,
}

impl Logs {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.groups {
            let thing = Thing::new("log-group", &it.tags)
                .with("name", name.as_str())
                .with("retention", it.retention)
                .with("key", it.key.clone())
                .with("deletion_protection", it.deletion_protection)
                .with("streams", it.streams.clone());
            all.insert(&it.arn, thing);
        }
    }
}
