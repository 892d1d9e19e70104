//! CloudWatch: alarms on metrics. What the emulator forgets of them is in the notes.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of CloudWatch.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudWatch {
    /// By name.
    pub(crate) alarms: BTreeMap<String, Alarm>,
}

#[derive(Debug, Clone)]
pub(crate) struct Alarm {
    pub(crate) arn: String,
    pub(crate) description: Option<String>,
    pub(crate) namespace: String,
    pub(crate) metric: String,
    pub(crate) dimensions: BTreeMap<String, String>,
    /// Empty where it is a percentile.
    pub(crate) statistic: String,
    pub(crate) period: u32,
    pub(crate) evaluation_periods: u32,
    pub(crate) threshold: f64,
    pub(crate) comparison: String,
    pub(crate) unit: Option<String>,
    pub(crate) actions_enabled: bool,
    pub(crate) alarm_actions: Vec<String>,
    pub(crate) ok_actions: Vec<String>,
    pub(crate) insufficient_data_actions: Vec<String>,
    pub(crate) tags: Tags,
}

impl CloudWatch {
    /// The alarm of an ARN.
    pub(crate) fn by_arn(&self, arn: &str) -> Option<&Alarm> {
        self.alarms.values().find(|it| it.arn == arn)
    }

    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.alarms {
            let thing = Thing::new("metric-alarm", &it.tags)
                .with("name", name.as_str())
                .with("description", it.description.clone())
                .with("namespace", it.namespace.as_str())
                .with("metric", it.metric.as_str())
                .with("dimensions", serde_json::json!(it.dimensions))
                .with("statistic", it.statistic.as_str())
                .with("period", it.period)
                .with("evaluation_periods", it.evaluation_periods)
                .with("threshold", it.threshold)
                .with("comparison", it.comparison.as_str())
                .with("unit", it.unit.clone())
                .with("actions_enabled", it.actions_enabled)
                .with("alarm_actions", it.alarm_actions.clone())
                .with("ok_actions", it.ok_actions.clone())
                .with("insufficient_data_actions", it.insufficient_data_actions.clone());
            all.insert(&it.arn, thing);
        }
    }
}
