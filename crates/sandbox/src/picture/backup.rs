//! AWS Backup: vaults, plans, and the recovery points that jobs make.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Thing;
use crate::query::Tags;

/// The section of Backup, each by its ARN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backup {
    pub(crate) vaults: BTreeMap<String, Vault>,
    pub(crate) plans: BTreeMap<String, Plan>,
    pub(crate) points: BTreeMap<String, Point>,
}

#[derive(Debug, Clone)]
pub(crate) struct Vault {
    pub(crate) name: String,
    /// In seconds.
    pub(crate) created: i64,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// In seconds.
    pub(crate) created: i64,
    /// As it was given.
    pub(crate) document: Value,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) of: PointOf,
    pub(crate) tags: Tags,
}

/// What a recovery point is of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PointOf {
    /// The name of the vault that it is in.
    pub(crate) vault: String,
    /// ARN.
    pub(crate) resource: String,
    /// The ARN of the role that made it.
    pub(crate) role: String,
    pub(crate) job: String,
}

impl Backup {
    /// What is in a vault.
    pub(crate) fn inside<'a>(&'a self, vault: &'a str) -> impl Iterator<Item = (&'a String, &'a Point)> {
        self.points.iter().filter(move |(_, point)| point.of.vault == vault)
    }

    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        const RUN: &str = "switchback:run";
        for (arn, it) in &self.vaults {
            // Who leaves a recovery point behind leaves its vault behind.
            let kept = self.inside(&it.name).any(|(_, point)| point.tags.get(RUN) == it.tags.get(RUN));
            all.insert(arn, Thing::new("backup-vault", &it.tags).with("name", it.name.as_str()).residue(kept));
        }
        for (arn, it) in &self.plans {
            let thing = Thing::new("backup-plan", &it.tags).with("name", it.name.as_str());
            all.insert(arn, thing.with("document", it.document.clone()));
        }
        for (arn, it) in &self.points {
            // A backup is there to outlive what it is of, as is the final snapshot of a database.
            let thing = Thing::new("backup-recovery-point", &it.tags)
                .with("vault", it.of.vault.as_str())
                .with("resource", it.of.resource.as_str())
                .with("role", it.of.role.as_str())
                .residue(true);
            all.insert(arn, thing);
        }
    }
}
