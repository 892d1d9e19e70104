//! CloudWatch: from the emulator's state view to the section of the picture. Alarms are set in the view itself: the
//! emulator speaks CBOR, and forgets half of what an alarm is.

use winterbaume_cloudwatch::CloudwatchStateView;
use winterbaume_cloudwatch::views::{DimensionView, MetricAlarmView};

use super::Emulator;
use crate::picture::cloudwatch::{Alarm, CloudWatch};

/// Reads all that exists.
pub(super) fn picture_of(view: &CloudwatchStateView) -> CloudWatch {
    let alarms = view.alarms.iter().map(|(name, it)| {
        let tags = view.resource_tags.get(&it.alarm_arn).cloned().unwrap_or_default();
        let alarm = Alarm {
            arn: it.alarm_arn.clone(),
            description: it.alarm_description.clone(),
            namespace: it.namespace.clone(),
            metric: it.metric_name.clone(),
            dimensions: it.dimensions.iter().map(|d| (d.name.clone(), d.value.clone())).collect(),
            statistic: it.statistic.clone(),
            period: it.period,
            evaluation_periods: it.evaluation_periods,
            threshold: it.threshold,
            comparison: it.comparison_operator.clone(),
            unit: it.unit.clone(),
            actions_enabled: it.actions_enabled,
            alarm_actions: it.alarm_actions.clone(),
            ok_actions: it.ok_actions.clone(),
            insufficient_data_actions: it.insufficient_data_actions.clone(),
            tags: tags.into_iter().collect(),
        };
        (name.clone(), alarm)
    });
    CloudWatch { alarms: alarms.collect() }
}

impl Emulator {
    /// Makes an alarm, or changes it.
    pub(crate) async fn put_alarm(&self, name: &str, it: Alarm) {
        self.edit(|view: &mut CloudwatchStateView| {
            view.resource_tags.insert(it.arn.clone(), it.tags.into_iter().collect());
            let alarm = MetricAlarmView {
                alarm_name: name.to_owned(),
                alarm_arn: it.arn,
                metric_name: it.metric,
                namespace: it.namespace,
                threshold: it.threshold,
                comparison_operator: it.comparison,
                evaluation_periods: it.evaluation_periods,
                period: it.period,
                statistic: it.statistic,
                // The notes know in which state it is.
                state_value: "INSUFFICIENT_DATA".to_owned(),
                state_reason: String::new(),
                actions_enabled: it.actions_enabled,
                alarm_description: it.description,
                alarm_actions: it.alarm_actions,
                ok_actions: it.ok_actions,
                insufficient_data_actions: it.insufficient_data_actions,
                dimensions: it.dimensions.into_iter().map(|(name, value)| DimensionView { name, value }).collect(),
                unit: it.unit,
            };
            view.alarms.insert(name.to_owned(), alarm);
        })
        .await;
    }

    /// Takes an alarm away.
    pub(crate) async fn drop_alarm(&self, name: &str) {
        self.edit(|view: &mut CloudwatchStateView| {
            if let Some(alarm) = view.alarms.remove(name) {
                view.resource_tags.remove(&alarm.alarm_arn);
            }
        })
        .await;
    }
}
