//! `probe.alarm`: a bake window, in which alarms stay quiet for a while.
//!
//! When the window began is on record, so a process that is started anew goes on with the same window, and asks
//! CloudWatch for the history of the alarms whose state has changed since: one that fired while nobody looked
//! is not missed. An alarm that fires ends the step for good, and the run's policy decides.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{AlarmType, HistoryItemType, StateValue};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_aws::errors::{Call, op_error};
use switchback_aws::{AwsContext, patiently};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use crate::span::{Span, Window};

/// How often alarms are looked at where nothing is said.
const POLL: u32 = 30;
/// How many alarms one call describes.
const MOST: usize = 100;

/// Alarms that must stay quiet for a while. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmParams {
    /// The names of the alarms, 1 to 100.
    pub alarms: Vec<String>,
    /// For how long each of them must be `OK`, at every look and between them.
    #[serde(rename = "for")]
    pub time: Span,
    /// What an alarm without data (`INSUFFICIENT_DATA`) says. No data is not OK by itself, so there is no default.
    pub missing_data: MissingData,
    /// How often they are looked at, a minute at most. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Span>,
}

/// What an alarm without data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingData {
    /// That all is well.
    Ok,
    /// Nothing yet: at the end of the window there must be data, which is waited for as long as the window was.
    Pending,
    /// That the step fails.
    Fail,
}

/// There is nothing that a look could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmBefore {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmOutput {
    /// When the window began, in UTC.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// `probe.alarm`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alarm;

/// An alarm at a look.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    name: String,
    state: StateValue,
    /// When its state changed last, in seconds.
    changed: f64,
    why: String,
}

impl AlarmParams {
    fn about(&self) -> String {
        format!("waiting while {} stay quiet for {}", self.alarms.join(", "), self.time)
    }

    /// Whether this state, seen or passed through, ends the step.
    fn ends(&self, state: &str) -> bool {
        state == "ALARM" || (state == "INSUFFICIENT_DATA" && self.missing_data == MissingData::Fail)
    }

    /// Whether the window may end while an alarm is in this state.
    fn is_quiet(&self, state: &StateValue) -> bool {
        match state {
            StateValue::Ok => true,
            StateValue::InsufficientData => self.missing_data == MissingData::Ok,
            _ => false,
        }
    }
}

fn client(cx: &Cx) -> OpResult<aws_sdk_cloudwatch::Client> {
    Ok(cx.get::<AwsContext>()?.cloudwatch(cx))
}

/// All of the alarms, as they are now. One that was made a moment ago may not be seen yet, so that one is not there
/// is believed only after the quiet period.
///
/// # Errors
/// Class `Permanent` when one is not there.
async fn look(cx: &Cx, params: &AlarmParams) -> OpResult<Vec<Seen>> {
    let missing = |all: &Vec<Seen>| params.alarms.iter().find(|name| all.iter().all(|it| it.name != **name));
    let waiting_for = "waiting until all alarms can be seen";
    let all = patiently(cx, waiting_for, || look_once(cx, params), |all| missing(all).is_none()).await?;
    match missing(&all) {
        None => Ok(all),
        Some(name) => {
            let region = cx.get::<AwsContext>()?.region();
            Err(OpError::permanent(format!("there is no alarm `{name}` in {region}")).with_code(OpError::NOT_THERE))
        }
    }
}

/// Those of the alarms that are there.
async fn look_once(cx: &Cx, params: &AlarmParams) -> OpResult<Vec<Seen>> {
    let about = params.alarms.join(", ");
    let ask = client(cx)?.describe_alarms().set_alarm_names(Some(params.alarms.clone()));
    let ask = ask.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
    let reply = ask.max_records(100).send().await;
    let reply = reply.map_err(|e| op_error(Call::new("cloudwatch:DescribeAlarms", &about), e))?;
    let seen = |name: Option<&str>, state: Option<&StateValue>, changed: Option<&DateTime>, why: Option<&str>| Seen {
        name: name.unwrap_or_default().to_owned(),
        state: state.cloned().unwrap_or(StateValue::InsufficientData),
        changed: changed.map_or(0.0, DateTime::as_secs_f64),
        why: why.unwrap_or_default().to_owned(),
    };
    let metric = reply.metric_alarms().iter();
    let metric =
        metric.map(|it| seen(it.alarm_name(), it.state_value(), it.state_updated_timestamp(), it.state_reason()));
    let composite = reply.composite_alarms().iter();
    let composite =
        composite.map(|it| seen(it.alarm_name(), it.state_value(), it.state_updated_timestamp(), it.state_reason()));
    Ok(metric.chain(composite).collect())
}

/// The states that an alarm has passed through since.
async fn history(cx: &Cx, name: &str, since: Timestamp) -> OpResult<Vec<String>> {
    let ask = client(cx)?
        .describe_alarm_history()
        .alarm_name(name)
        .history_item_type(HistoryItemType::StateUpdate)
        .start_date(DateTime::from_millis(since.as_millisecond()));
    let items = ask.into_paginator().items().send().try_collect().await;
    let items = items.map_err(|e| op_error(Call::new("cloudwatch:DescribeAlarmHistory", name), e))?;
    Ok(items.iter().filter_map(|item| new_state(item.history_data()?)).collect())
}

/// What an alarm went to, of an item of its history.
fn new_state(data: &str) -> Option<String> {
    let data: Value = serde_json::from_str(data).ok()?;
    data.pointer("/newState/stateValue").and_then(Value::as_str).map(str::to_owned)
}

fn fired(name: &str, how: &str, why: &str) -> OpError {
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.chars().take(300).collect::<String>()) };
    OpError::permanent(format!("alarm `{name}` {how}{why}"))
}

impl Operation for Alarm {
    const KIND: &'static str = "probe.alarm";
    const VERSION: u32 = 1;
    type Params = AlarmParams;
    type Before = AlarmBefore;
    type Output = AlarmOutput;

    fn facts(&self, params: &AlarmParams) -> Facts {
        let windows = if params.missing_data == MissingData::Pending { 2 } else { 1 };
        let create_deadline = params.time.time().saturating_mul(windows).saturating_add(Duration::from_secs(300));
        let reads = vec!["cloudwatch:DescribeAlarms".into(), "cloudwatch:DescribeAlarmHistory".into()];
        Facts { create_deadline, reads, ..Facts::without_effect() }
    }

    fn example() -> Option<AlarmParams> {
        Some(AlarmParams {
            alarms: vec!["web-errors".to_owned(), "web-latency".to_owned()],
            time: Span::seconds(900),
            missing_data: MissingData::Pending,
            poll: Some(Span::seconds(POLL)),
        })
    }

    fn check(&self, params: &AlarmParams) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        if !(1..=MOST).contains(&params.alarms.len()) {
            errors.push(ParamError::new("alarms", format!("has 1 to {MOST} names")));
        }
        if params.alarms.iter().any(|name| !(1..=255).contains(&name.chars().count())) {
            errors.push(ParamError::new("alarms", "a name has 1 to 255 characters"));
        }
        if params.poll.as_ref().is_some_and(|poll| poll.time() > Duration::from_secs(60)) {
            errors.push(ParamError::new("poll", "is a minute at most"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &AlarmParams) -> OpResult<AlarmBefore> {
        // What is not there cannot be watched, and a step before this one may make it.
        look(cx, params).await?;
        Ok(AlarmBefore {})
    }

    async fn create(&self, cx: &Cx, _params: &AlarmParams, _before: &AlarmBefore) -> OpResult<AlarmOutput> {
        Ok(AlarmOutput { since: cx.now() })
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &AlarmParams,
        _before: &AlarmBefore,
        output: &AlarmOutput,
    ) -> OpResult<AlarmOutput> {
        let window = Window::new(cx, output.since, params.time.time());
        let pause = params.poll.clone().unwrap_or_else(|| Span::seconds(POLL)).time();
        loop {
            // Before the look: what fires between the two counts.
            let is_over = window.is_over(cx);
            let all = look(cx, params).await?;
            for it in &all {
                if params.ends(it.state.as_str()) {
                    return Err(fired(&it.name, &format!("is in the state {}", it.state), &it.why));
                }
                // To the second: the clock here and the one there are not one.
                if it.changed >= output.since.as_millisecond() as f64 / 1000.0 - 1.0 {
                    let passed = history(cx, &it.name, output.since).await?;
                    if let Some(state) = passed.iter().find(|state| params.ends(state)) {
                        let how = format!("was in the state {state} since {}", output.since);
                        return Err(fired(&it.name, &how, ""));
                    }
                }
            }
            if is_over && all.iter().all(|it| params.is_quiet(&it.state)) {
                return Ok(output.clone());
            }
            window.pause(cx, &params.about(), pause).await?;
        }
    }

    async fn find(&self, _cx: &Cx, _params: &AlarmParams, _before: &AlarmBefore) -> OpResult<Found<AlarmOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &AlarmParams,
        _before: &AlarmBefore,
        _output: &AlarmOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &AlarmParams,
        _before: &AlarmBefore,
        _output: Option<&AlarmOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let mut verdict = Verdict::new();
        if want == Expect::RolledBack {
            return Ok(verdict);
        }
        let mut states = Map::new();
        for it in look(cx, params).await? {
            verdict = verdict.compare(format!("alarm `{}` fires", it.name), false, it.state == StateValue::Alarm);
            states.insert(it.name, it.state.as_str().into());
        }
        verdict.observed = json!({"states": states});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_held_to_the_rules() {
        let example = Alarm::example().unwrap();
        assert!(Alarm.check(&example).is_ok());
        let none = AlarmParams { alarms: Vec::new(), poll: Some(Span::seconds(61)), ..example.clone() };
        assert_eq!(Alarm.check(&none).unwrap_err().len(), 2);
        let missing = serde_json::from_value::<AlarmParams>(json!({"alarms": ["a"], "for": "15m"}));
        assert!(missing.unwrap_err().to_string().contains("missing_data"), "there is no default");
        let facts = Alarm.facts(&example);
        assert_eq!(facts.create_deadline, Duration::from_secs(2 * 900 + 300));
        assert!(facts.creates.is_empty() && facts.quiet.is_zero());
    }

    #[test]
    fn no_data_is_what_was_said_of_it() {
        for (missing_data, ends, quiet) in
            [(MissingData::Ok, false, true), (MissingData::Pending, false, false), (MissingData::Fail, true, false)]
        {
            let params = AlarmParams { missing_data, ..Alarm::example().unwrap() };
            assert_eq!(params.ends("INSUFFICIENT_DATA"), ends);
            assert_eq!(params.is_quiet(&StateValue::InsufficientData), quiet);
            assert!(params.ends("ALARM") && !params.ends("OK"));
            assert!(params.is_quiet(&StateValue::Ok) && !params.is_quiet(&StateValue::Alarm));
        }
    }

    #[test]
    fn the_history_says_where_an_alarm_went() {
        let data = r#"{"version":"1.0","oldState":{"stateValue":"OK"},"newState":{"stateValue":"ALARM"}}"#;
        assert_eq!(new_state(data).as_deref(), Some("ALARM"));
        assert_eq!(new_state("x"), None);
    }
}
