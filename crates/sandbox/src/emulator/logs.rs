//! CloudWatch Logs: from the emulator's state view to the section of the picture.

use winterbaume_cloudwatchlogs::LogsStateView;

use super::Emulator;
use crate::picture::logs::{LogGroup, Logs};

/// Reads all that exists.
pub(super) fn picture_of(view: &LogsStateView) -> Logs {
    let groups = view.log_groups.values().map(|it| {
        let mut streams: Vec<String> = it.streams.keys().cloned().collect();
        streams.sort();
        let group = LogGroup {
            arn: it.arn.trim_end_matches(":*").to_owned(),
            created: it.creation_time,
            retention: it.retention_in_days,
            key: it.kms_key_id.clone(),
            deletion_protection: it.deletion_protection_enabled,
            streams,
            tags: it.tags.clone().into_iter().collect(),
        };
        (it.name.clone(), group)
    });
    Logs { groups: groups.collect() }
}

impl Emulator {
    /// Protects a log group against deletion, or no longer.
    pub(crate) async fn protect_log_group(&self, name: &str, on: bool) {
        self.edit(|view: &mut LogsStateView| {
            if let Some(group) = view.log_groups.get_mut(name) {
                group.deletion_protection_enabled = on;
            }
        })
        .await;
    }
}
