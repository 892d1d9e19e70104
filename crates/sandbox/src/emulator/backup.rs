//! AWS Backup: from the emulator's state view to the section of the picture.
//!
//! The view leaves out jobs, selections and recovery points. Tags by ARN are in it, whatever the ARN is of: so a
//! recovery point is there when its ARN has tags, and what it is of is a tag without a name. Jobs are in the notes.

use serde_json::Value;
use winterbaume_backup::BackupStateView;

use super::Emulator;
use crate::picture::backup::{Backup, Plan, Point, PointOf, Vault};
use crate::query::Tags;

/// What the ARN of a recovery point has in it, and of nothing else.
const POINT: &str = ":recovery-point:";
/// The tag that says what a recovery point is of: no caller can set one like it.
const OF: &str = "";

/// Reads all that exists.
pub(super) fn picture_of(view: &BackupStateView) -> Backup {
    let tags_of = |arn: &str| view.resource_tags.get(arn).cloned().unwrap_or_default();
    let vaults = view.vaults.values().map(|it| {
        let tags = it.tags.clone().into_iter().chain(tags_of(&it.backup_vault_arn)).collect();
        let created = seconds(&it.creation_date);
        (it.backup_vault_arn.clone(), Vault { name: it.backup_vault_name.clone(), created, tags })
    });
    let plans = view.backup_plans.values().map(|it| {
        let plan = Plan {
            id: it.backup_plan_id.clone(),
            name: it.backup_plan_name.clone(),
            version: it.version_id.clone(),
            created: seconds(&it.creation_date),
            document: it.backup_plan_json.clone(),
            tags: it.tags.clone().into_iter().chain(tags_of(&it.backup_plan_arn)).collect(),
        };
        (it.backup_plan_arn.clone(), plan)
    });
    let points = view.resource_tags.iter().filter(|(arn, _)| arn.contains(POINT)).map(|(arn, tags)| {
        let of = tags.get(OF).and_then(|of| serde_json::from_str(of).ok()).unwrap_or_default();
        let tags = tags.iter().filter(|(key, _)| *key != OF).map(|(key, value)| (key.clone(), value.clone()));
        (arn.clone(), Point { of, tags: tags.collect() })
    });
    Backup { vaults: vaults.collect(), plans: plans.collect(), points: points.collect() }
}

fn seconds(date: &str) -> i64 {
    date.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second)
}

impl Emulator {
    /// Keeps the document of a plan as it was given, with all its members.
    pub(crate) async fn set_plan(&self, id: &str, document: Value) {
        self.edit(|view: &mut BackupStateView| {
            if let Some(plan) = view.backup_plans.get_mut(id) {
                plan.backup_plan_json = document;
            }
        })
        .await;
    }

    /// Makes a recovery point, or another one of that ARN.
    pub(crate) async fn put_point(&self, arn: &str, of: &PointOf, tags: &Tags) {
        let of = serde_json::to_string(of).unwrap_or_default();
        let all = tags.clone().into_iter().chain([(OF.to_owned(), of)]).collect();
        self.edit(|view: &mut BackupStateView| drop(view.resource_tags.insert(arn.to_owned(), all))).await;
    }

    /// Takes away the tags of what is gone, and with them a recovery point.
    pub(crate) async fn forget_tags(&self, arn: &str) {
        self.edit(|view: &mut BackupStateView| drop(view.resource_tags.remove(arn))).await;
    }
}
