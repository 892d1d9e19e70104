//! The managed policies that AWS itself keeps, which every account has: the ones that runbooks name.
//!
//! Their documents have the shape of the real ones, and allow the same for the services that matter here; they are not
//! copies of the newest version. Nobody can change them, so they are not part of the emulator's state.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::picture::iam::{Policy, Version};
use crate::query::Tags;

/// How the ARNs of all of them start.
pub(super) const PREFIX: &str = "arn:aws:iam::aws:policy";

/// When they say that they were made.
const SINCE: &str = "2015-02-06T18:39:46Z";

#[derive(Deserialize)]
struct Entry {
    path: String,
    name: String,
    version: u32,
    document: serde_json::Value,
}

static ALL: LazyLock<BTreeMap<String, Policy>> = LazyLock::new(|| {
    // The text is part of the program, and a test reads it: what cannot be read cannot happen here.
    let entries: Vec<Entry> = serde_json::from_str(include_str!("managed.json")).unwrap_or_default();
    let policies = (1..).zip(entries).map(|(n, entry): (u32, Entry)| {
        let version = Version {
            number: entry.version,
            document: serde_json::to_string_pretty(&entry.document).unwrap_or_default(),
            is_default: true,
            created: SINCE.to_owned(),
        };
        let policy = Policy {
            arn: format!("{PREFIX}{}{}", entry.path, entry.name),
            name: entry.name,
            id: format!("ANPAAWSMANAGED{n:07}"),
            path: entry.path,
            description: String::new(),
            created: SINCE.to_owned(),
            updated: SINCE.to_owned(),
            versions: vec![version],
            tags: Tags::new(),
        };
        (policy.arn.clone(), policy)
    });
    policies.collect()
});

/// All of them, by ARN.
pub(super) fn all() -> &'static BTreeMap<String, Policy> {
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_read_and_well_formed() {
        assert_eq!(all().len(), 17);
        assert!(all().contains_key("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"));
        for policy in all().values() {
            super::super::document::check_identity(&policy.versions[0].document)
                .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", policy.arn));
        }
    }
}
