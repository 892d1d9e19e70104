//! CloudWatch Logs: from the emulator's state view to the section of the picture.

use winterbaume_cloudwatchlogs::LogsStateView;

use crate::picture::logs::{LogGroup, Logs};

/// Reads all that exists.
pub(super) fn picture_of(view: &LogsStateView) -> Logs {
    let groups = view.log_groups.values().map(|it| {
        let mut streams: Vec<String> = it.streams.keys().cloned().collect();
        streams.sort();
        let group = LogGroup {
            arn: it.arn.clone(),
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
