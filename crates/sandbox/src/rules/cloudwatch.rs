//! CloudWatch: alarms on metrics. There are no metrics: an alarm is evaluated once, as one without any data is, and
//! from then on its state is what `SetAlarmState` says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Desk;
use crate::clock::Moment;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::cloudwatch::Alarm;
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

const STATES: [&str; 3] = [OK, ALARM, NO_DATA];
const OK: &str = "OK";
const ALARM: &str = "ALARM";
const NO_DATA: &str = "INSUFFICIENT_DATA";
const MISSING: &str = "missing";
/// Attributes that the emulator forgets, by their names in the notes.
const DATAPOINTS: &str = "datapoints_to_alarm";
const MISSING_DATA: &str = "treat_missing_data";
const EXTENDED: &str = "extended_statistic";

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "PutMetricAlarm" => put(desk, body).await,
        "DescribeAlarms" => describe(desk, body),
        "DeleteAlarms" => delete(desk, body).await,
        "SetAlarmState" => set_state(desk, body),
        "DescribeAlarmHistory" => history(desk, body),
        "EnableAlarmActions" => switch_actions(desk, body, true).await,
        "DisableAlarmActions" => switch_actions(desk, body, false).await,
        "TagResource" | "UntagResource" => tag(desk, body).await,
        "ListTagsForResource" => list_tags(desk, body),
        // The emulator cannot be asked in JSON.
        action => return Err(Refusal::unknown_action(Service::CloudWatch, action)),
    };
    reply.map(|reply| Answer::json(&reply))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message.into())
}

fn not_found(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceNotFound", message.into()).with_status(404)
}

fn find<'a>(desk: &'a Desk<'_>, name: &str) -> Result<&'a Alarm, Refusal> {
    let missing = || not_found(format!("Alarm {name} does not exist"));
    desk.picture().cloudwatch.alarms.get(name).ok_or_else(missing)
}

fn seconds(at: Moment) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a time of day in milliseconds")]
    let seconds = at.date().as_millisecond() as f64 / 1000.0;
    json!(seconds)
}

fn tags_in(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("Tags", "Key", "Value")?;
    let wrong = |(key, value): &(&String, &String)| {
        key.is_empty() || key.len() > 128 || value.len() > 256 || key.to_ascii_lowercase().starts_with("aws:")
    };
    match tags.iter().find(wrong) {
        Some((key, _)) => Err(Refusal::new("InvalidParameterValue", format!("The tag '{key}' is not valid."))),
        None => Ok(tags),
    }
}

fn number(body: &Body, name: &str) -> Result<f64, Refusal> {
    let value = body.get(name).ok_or_else(|| Refusal::null(name))?;
    value.as_f64().ok_or_else(Refusal::unreadable)
}

fn whole(body: &Body, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<u32, Refusal> {
    let value = body.number(name)?.ok_or_else(|| Refusal::null(name))?;
    let fits = u32::try_from(value).ok().filter(|_| range.contains(&value));
    fits.ok_or_else(|| {
        invalid(format!("1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint"))
    })
}

fn one_of<'a>(body: &'a Body, name: &str, known: &[&str]) -> Result<Option<&'a str>, Refusal> {
    let value = body.text(name)?;
    match value {
        Some(other) if !known.contains(&other) => Err(invalid(format!(
            "1 validation error detected: Value '{other}' at '{name}' failed to satisfy constraint: Member must satisfy \
             enum value set: {known:?}"
        ))),
        value => Ok(value),
    }
}

fn actions(body: &Body, name: &str) -> Result<Vec<String>, Refusal> {
    let all = body.texts(name)?;
    if all.len() > 5 {
        return Err(invalid(format!("{name} has more than 5 members")));
    }
    if let Some(other) = all.iter().find(|arn| !arn.starts_with("arn:")) {
        return Err(invalid(format!("Invalid arn syntax: {other}")));
    }
    Ok(all.into_iter().map(str::to_owned).collect())
}

fn dimensions(body: &Body) -> Result<BTreeMap<String, String>, Refusal> {
    let of = |it: &Map<String, Value>, name: &str| it.get(name).and_then(Value::as_str).map(str::to_owned);
    let pair = |it: &Map<String, Value>| of(it, "Name").zip(of(it, "Value")).ok_or_else(|| Refusal::null("dimensions"));
    body.objects("Dimensions")?.into_iter().map(pair).collect()
}

/// What of an alarm the emulator forgets.
fn forgotten(body: &Body, periods: u32) -> Result<[(&'static str, Value); 3], Refusal> {
    let points = match body.get("DatapointsToAlarm") {
        Some(_) => whole(body, "DatapointsToAlarm", 1..=i64::from(periods))?,
        None => periods,
    };
    let missing = one_of(body, "TreatMissingData", &["breaching", "notBreaching", "ignore", MISSING])?;
    let missing = missing.unwrap_or(MISSING);
    Ok([
        (DATAPOINTS, json!(points)),
        (MISSING_DATA, json!(missing)),
        (EXTENDED, json!(body.text("ExtendedStatistic")?)),
    ])
}

/// Makes an alarm, or writes over one: then its state and its tags stay.
async fn put(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("AlarmName")?;
    let statistics = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
    let statistic = one_of(body, "Statistic", &statistics)?;
    if statistic.is_some() == body.text("ExtendedStatistic")?.is_some() {
        return Err(invalid("Exactly one of statistic, extendedStatistic must be set"));
    }
    let operators =
        ["GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"];
    let comparison = one_of(body, "ComparisonOperator", &operators)?;
    let comparison = comparison.ok_or_else(|| Refusal::null("comparisonOperator"))?;
    let (period, periods) = (whole(body, "Period", 10..=604_800)?, whole(body, "EvaluationPeriods", 1..=604_800)?);
    if ![10, 20, 30].contains(&period) && period % 60 != 0 {
        return Err(invalid("Period must be 10, 20, 30 or a multiple of 60"));
    }
    let longest = if period < 3600 { 86_400 } else { 604_800 };
    if u64::from(period) * u64::from(periods) > longest {
        return Err(invalid("Metrics cannot be checked across more than a day (EvaluationPeriods * Period)"));
    }
    let forgotten = forgotten(body, periods)?;
    let is_new = find(desk, name).is_err();
    let tags = if is_new { tags_in(body)? } else { find(desk, name)?.tags.clone() };
    let arn = desk.place.arn(Service::CloudWatch, &format!("alarm:{name}"));
    let alarm = Alarm {
        arn: arn.clone(),
        description: body.text("AlarmDescription")?.map(str::to_owned),
        namespace: body.required("Namespace")?.to_owned(),
        metric: body.required("MetricName")?.to_owned(),
        dimensions: dimensions(body)?,
        statistic: statistic.unwrap_or_default().to_owned(),
        period,
        evaluation_periods: periods,
        threshold: number(body, "Threshold")?,
        comparison: comparison.to_owned(),
        unit: body.text("Unit")?.map(str::to_owned),
        actions_enabled: body.flag("ActionsEnabled")?.unwrap_or(true),
        alarm_actions: actions(body, "AlarmActions")?,
        ok_actions: actions(body, "OKActions")?,
        insufficient_data_actions: actions(body, "InsufficientDataActions")?,
        tags,
    };
    desk.emulator.put_alarm(name, alarm).await;
    desk.look();
    if is_new {
        // What a metric without data says is seen at the first evaluation.
        let first = match &forgotten[1].1 {
            said if said == "notBreaching" => Some(OK),
            said if said == "breaching" => Some(ALARM),
            _ => None,
        };
        let (now, evaluated) = (desk.now, desk.now.plus(desk.settings.settle));
        let states = std::iter::once((now, NO_DATA)).chain(first.map(|state| (evaluated, state)));
        desk.notes_mut().states.insert(arn.clone(), states.collect());
    }
    desk.notes_mut().facts.insert(arn, forgotten.into_iter().collect());
    Ok(json!({}))
}

/// The states that an alarm has been in by now, oldest first.
fn states(desk: &Desk<'_>, arn: &str) -> Vec<(Moment, &'static str)> {
    let all = desk.notes().states.get(arn).into_iter().flatten();
    all.filter(|(at, _)| *at <= desk.now).copied().collect()
}

fn written(desk: &Desk<'_>, name: &str, it: &Alarm) -> Value {
    let (since, state) = states(desk, &it.arn).last().copied().unwrap_or((desk.now, NO_DATA));
    let fact = |name: &str| desk.notes().fact(&it.arn, name).cloned().unwrap_or(Value::Null);
    let dimensions: Vec<Value> =
        it.dimensions.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect();
    let statistic = Some(&it.statistic).filter(|statistic| !statistic.is_empty());
    let mut all = json!({
        "AlarmName": name, "AlarmArn": it.arn, "AlarmDescription": it.description,
        "ActionsEnabled": it.actions_enabled, "OKActions": it.ok_actions, "AlarmActions": it.alarm_actions,
        "InsufficientDataActions": it.insufficient_data_actions, "StateValue": state,
        "StateReason": "the sandbox", "StateUpdatedTimestamp": seconds(since),
        "StateTransitionedTimestamp": seconds(since), "MetricName": it.metric, "Namespace": it.namespace,
        "Statistic": statistic, "ExtendedStatistic": fact(EXTENDED), "Dimensions": dimensions, "Period": it.period,
        "Unit": it.unit, "EvaluationPeriods": it.evaluation_periods, "DatapointsToAlarm": fact(DATAPOINTS),
        "Threshold": it.threshold, "ComparisonOperator": it.comparison, "TreatMissingData": fact(MISSING_DATA),
    });
    if let Some(all) = all.as_object_mut() {
        all.retain(|_, value| !value.is_null());
    }
    all
}

fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (names, prefix) = (body.texts("AlarmNames")?, body.text("AlarmNamePrefix")?);
    if !names.is_empty() && prefix.is_some() {
        return Err(Refusal::new("InvalidParameterCombination", "AlarmNamePrefix cannot be used with AlarmNames"));
    }
    let (kinds, state) = (body.texts("AlarmTypes")?, one_of(body, "StateValue", &STATES)?);
    let size = body.number("MaxRecords")?.and_then(|size| usize::try_from(size).ok()).unwrap_or(50);
    let last = body.text("NextToken")?.unwrap_or_default();
    let found = desk.picture().cloudwatch.alarms.iter().filter(|(name, it)| {
        name.as_str() > last
            && (kinds.is_empty() || kinds.contains(&"MetricAlarm"))
            && (names.is_empty() || names.contains(&name.as_str()))
            && prefix.is_none_or(|prefix| name.starts_with(prefix))
            && state.is_none_or(|state| states(desk, &it.arn).last().is_some_and(|(_, now)| *now == state))
    });
    let mut found: Vec<_> = found.take(size + 1).collect();
    let mut reply = json!({"CompositeAlarms": []});
    if found.len() > size {
        found.truncate(size);
        reply["NextToken"] = json!(found.last().map(|(name, _)| name));
    }
    reply["MetricAlarms"] = found.into_iter().map(|(name, it)| written(desk, name, it)).collect();
    Ok(reply)
}

/// All of them, or none when one is not there.
async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let names = body.texts("AlarmNames")?;
    for name in &names {
        find(desk, name)?;
    }
    for name in names {
        desk.emulator.drop_alarm(name).await;
    }
    desk.look();
    Ok(json!({}))
}

fn set_state(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("AlarmName")?;
    body.required("StateReason")?;
    let given = one_of(body, "StateValue", &STATES)?.ok_or_else(|| Refusal::null("stateValue"))?;
    let arn = find(desk, name)?.arn.clone();
    let now = desk.now;
    let states = desk.notes_mut().states.entry(arn).or_default();
    // It is no longer what was to come.
    states.retain(|(at, _)| *at <= now);
    let state = STATES.into_iter().find(|state| *state == given);
    if states.last().map(|(_, state)| *state) != state {
        states.extend(state.map(|state| (now, state)));
    }
    Ok(json!({}))
}

/// The changes of state, newest first.
fn history(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (of, kind) = (body.text("AlarmName")?, body.text("HistoryItemType")?);
    let bound = |name: &str| body.get(name).and_then(Value::as_f64);
    let (from, to) = (bound("StartDate"), bound("EndDate"));
    let mut items = Vec::new();
    for (name, it) in &desk.picture().cloudwatch.alarms {
        if of.is_some_and(|of| of != name) || kind.is_some_and(|kind| kind != "StateUpdate") {
            continue;
        }
        let states = states(desk, &it.arn);
        for ((_, old), (at, new)) in states.iter().zip(states.iter().skip(1)) {
            let at = seconds(*at);
            let data = json!({
                "version": "1.0", "oldState": {"stateValue": old}, "newState": {"stateValue": new},
            });
            let is_in =
                at.as_f64().is_some_and(|at| from.is_none_or(|from| from <= at) && to.is_none_or(|to| at <= to));
            if is_in {
                items.push(json!({
                    "AlarmName": name, "AlarmType": "MetricAlarm", "Timestamp": at, "HistoryItemType": "StateUpdate",
                    "HistorySummary": format!("Alarm updated from {old} to {new}"), "HistoryData": data.to_string(),
                }));
            }
        }
    }
    items.reverse();
    Ok(json!({"AlarmHistoryItems": items}))
}

/// What is not there is left out.
async fn switch_actions(desk: &mut Desk<'_>, body: &Body, on: bool) -> Result<Value, Refusal> {
    for name in body.texts("AlarmNames")? {
        if let Ok(alarm) = find(desk, name).cloned() {
            desk.emulator.put_alarm(name, Alarm { actions_enabled: on, ..alarm }).await;
        }
    }
    desk.look();
    Ok(json!({}))
}

/// The alarm that a call about tags names.
fn tagged<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(&'a str, &'a Alarm), Refusal> {
    let arn = body.required("ResourceARN")?;
    let missing = || Refusal::new("ResourceNotFoundException", format!("Unknown resource {arn}")).with_status(404);
    let alarm = desk.picture().cloudwatch.by_arn(arn).ok_or_else(missing)?;
    let name = arn.split_once(":alarm:").map(|(_, name)| name).unwrap_or_default();
    let name = desk.picture().cloudwatch.alarms.get_key_value(name).map(|(name, _)| name.as_str());
    Ok((name.ok_or_else(missing)?, alarm))
}

async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let given = tags_in(body)?;
    let (name, alarm) = tagged(desk, body)?;
    let (name, mut alarm) = (name.to_owned(), alarm.clone());
    alarm.tags.extend(given);
    for key in body.texts("TagKeys")? {
        alarm.tags.remove(key);
    }
    if alarm.tags.len() > 50 {
        return Err(Refusal::new("InvalidParameterValue", "A resource can have no more than 50 tags."));
    }
    desk.emulator.put_alarm(&name, alarm).await;
    desk.look();
    Ok(json!({}))
}

fn list_tags(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (_, alarm) = tagged(desk, body)?;
    let tags: Vec<Value> = alarm.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({"Tags": tags}))
}
