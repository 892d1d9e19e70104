//! Systems Manager: parameters and the values that they have had. Values are here because reads are answered from the
//! picture; those of secure strings are in no report, and cannot be printed.

use std::collections::BTreeMap;
use std::fmt;

use super::Thing;
use crate::query::Tags;

/// The section of Systems Manager.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ssm {
    /// By name.
    pub(crate) parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) arn: String,
    /// `String`, `StringList` or `SecureString`.
    pub(crate) kind: String,
    pub(crate) data_type: String,
    /// By number; the last one is the current one.
    pub(crate) versions: BTreeMap<i64, Version>,
    pub(crate) tags: Tags,
}

/// One value.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) value: String,
    pub(crate) labels: Vec<String>,
    /// When it was put, in UTC.
    pub(crate) modified: jiff::Timestamp,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("labels", &self.labels).finish_non_exhaustive()
    }
}

impl Parameter {
    /// The number of the current version.
    pub(crate) fn version(&self) -> i64 {
        self.versions.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The current value.
    pub(crate) fn value(&self) -> &str {
        self.versions.last_key_value().map_or("", |(_, version)| &version.value)
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.kind == "SecureString"
    }
}

impl Ssm {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.parameters {
            let thing = Thing::new("parameter", &it.tags)
                .with("name", name.as_str())
                .with("type", it.kind.as_str())
                .with("data_type", it.data_type.as_str())
                .with("value", (!it.is_secure()).then(|| it.value()));
            all.insert(&it.arn, thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_be_printed() {
        let modified = jiff::Timestamp::UNIX_EPOCH;
        let version = Version { value: "hunter2".to_owned(), labels: Vec::new(), modified };
        assert!(!format!("{version:?}").contains("hunter2"));
    }
}
