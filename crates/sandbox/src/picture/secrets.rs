//! Secrets Manager: secrets and their versions. Values are here because reads are answered from the picture; they are
//! in no report, and cannot be printed.

use std::collections::BTreeMap;
use std::fmt;

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
    /// By id.
    pub(crate) versions: BTreeMap<String, Version>,
    /// When it was made, in UTC.
    pub(crate) created: jiff::Timestamp,
    /// When anything of it was changed last, in UTC.
    pub(crate) changed: jiff::Timestamp,
    /// It is scheduled for deletion at that time.
    pub(crate) deleted: Option<jiff::Timestamp>,
    pub(crate) policy: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) value: Value,
    /// Staging labels, in order.
    pub(crate) stages: Vec<String>,
    /// When it was made, in UTC.
    pub(crate) created: jiff::Timestamp,
}

/// What a secret says. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Secret {
    /// The id of the version that has a label.
    pub(crate) fn staged(&self, stage: &str) -> Option<&str> {
        let mut staged = self.versions.iter().filter(|(_, version)| version.stages.iter().any(|held| held == stage));
        staged.next().map(|(id, _)| id.as_str())
    }
}

impl Secrets {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.secrets {
            let mut stages: Vec<&String> = it.versions.values().flat_map(|version| &version.stages).collect();
            stages.sort();
            let thing = Thing::new("secret", &it.tags)
                .with("name", name.as_str())
                .with("description", it.description.as_str())
                .with("stages", serde_json::json!(stages))
                .with("policy", it.policy.clone())
                .residue(it.deleted.is_some());
            all.insert(&it.arn, thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_be_printed() {
        let version = Version {
            value: Value::Text("hunter2".to_owned()),
            stages: Vec::new(),
            created: jiff::Timestamp::UNIX_EPOCH,
        };
        assert!(!format!("{version:?}").contains("hunter2"));
    }
}
