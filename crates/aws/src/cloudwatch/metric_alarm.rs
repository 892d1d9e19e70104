//! `aws.cloudwatch.metric_alarm`: an alarm on one metric.
//!
//! `PutMetricAlarm` makes an alarm or writes over one, and takes tags only where it makes one. So a new alarm is
//! known by the tags of this step. One that is there already is another's, unless the runbook says `overwrite`:
//! then `capture` keeps all its settings, each write reads once more right before it, and the way back puts them
//! back. The tags go along when it is written over as well: where somebody deleted it right before, they say that
//! what came of it is this step's, and not what was there. What an alarm says (its state) is never compared: it moves by itself.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{
    AlarmType, ComparisonOperator as AwsOperator, Dimension, MetricAlarm as AwsAlarm, StandardUnit, StateValue,
    Statistic as AwsStatistic, Tag,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::calls::Calls;
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::{AlarmArn, AlarmName};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// The longest time that an alarm looks back on, with periods shorter than an hour, and with others.
const LONGEST: [i32; 2] = [86_400, 604_800];
const HOUR: i32 = 3600;

/// An alarm on one metric.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, 1 to 255 characters (`PutMetricAlarm` AlarmName).
    pub alarm_name: AlarmName,
    /// What it is for, up to 1024 characters (`PutMetricAlarm` AlarmDescription).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_description: Option<String>,
    /// The namespace of the metric, `AWS/ApplicationELB` (`PutMetricAlarm` Namespace).
    pub namespace: String,
    /// The metric, `HTTPCode_Target_4XX_Count` (`PutMetricAlarm` MetricName).
    pub metric_name: String,
    /// What the metric is of, by name, up to 30: `LoadBalancer: app/web/50dc6c495c0c9188` (`PutMetricAlarm`
    /// Dimensions). Without the very dimensions that the metric has there is no data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// What is made of the values of a period; this or `extended_statistic` (`PutMetricAlarm` Statistic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// A percentile or the like instead, `p99` (`PutMetricAlarm` ExtendedStatistic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_statistic: Option<String>,
    /// A period in seconds: 10, 20, 30 or a multiple of 60 (`PutMetricAlarm` Period).
    pub period: i32,
    /// How many periods are looked at (`PutMetricAlarm` EvaluationPeriods).
    pub evaluation_periods: i32,
    /// How many of them must be beyond the threshold (`PutMetricAlarm` DatapointsToAlarm). AWS's default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapoints_to_alarm: Option<i32>,
    /// The threshold (`PutMetricAlarm` Threshold).
    pub threshold: f64,
    /// On which side of the threshold it alarms (`PutMetricAlarm` ComparisonOperator).
    pub comparison_operator: ComparisonOperator,
    /// What a period without data says (`PutMetricAlarm` TreatMissingData). AWS's default: `missing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treat_missing_data: Option<TreatMissingData>,
    /// The unit of the metric, `Count`; only data of this unit counts (`PutMetricAlarm` Unit). AWS's default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether it acts when its state changes (`PutMetricAlarm` ActionsEnabled). AWS's default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions_enabled: Option<bool>,
    /// What it does when it alarms, up to 5 ARNs, of topics or others (`PutMetricAlarm` AlarmActions).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarm_actions: Vec<String>,
    /// What it does when all is well again, up to 5 ARNs (`PutMetricAlarm` OKActions).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ok_actions: Vec<String>,
    /// What it does when there is no data, up to 5 ARNs (`PutMetricAlarm` InsufficientDataActions).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insufficient_data_actions: Vec<String>,
    /// Whether an alarm of this name that is there may be changed; it is put back on the way back. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// Tags, beside those that say whose it is; without effect on an alarm that is there (`PutMetricAlarm` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// What is made of the values of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Statistic {
    /// How many there are.
    SampleCount,
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
}

/// When a value is beyond the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ComparisonOperator {
    /// `>=`.
    GreaterThanOrEqualToThreshold,
    /// `>`.
    GreaterThanThreshold,
    /// `<`.
    LessThanThreshold,
    /// `<=`.
    LessThanOrEqualToThreshold,
}

/// What a period without data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TreatMissingData {
    /// That it alarms.
    Breaching,
    /// That all is well.
    NotBreaching,
    /// Nothing: the state stays as it is.
    Ignore,
    /// Nothing: without any data the state is `INSUFFICIENT_DATA`.
    Missing,
}

/// All that can be set of an alarm on one metric, with what AWS takes where nothing is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    alarm_description: String,
    namespace: String,
    metric_name: String,
    dimensions: BTreeMap<String, String>,
    statistic: Option<String>,
    extended_statistic: Option<String>,
    evaluate_low_sample_count_percentile: Option<String>,
    period: i32,
    evaluation_periods: i32,
    datapoints_to_alarm: i32,
    threshold: f64,
    comparison_operator: String,
    treat_missing_data: String,
    unit: Option<String>,
    actions_enabled: bool,
    /// In the order of the text: AWS keeps none.
    alarm_actions: Vec<String>,
    ok_actions: Vec<String>,
    insufficient_data_actions: Vec<String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The alarm; none where there was none.
    pub alarm: Option<Settings>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub alarm_name: AlarmName,
    /// Its ARN, once it has been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_arn: Option<AlarmArn>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricAlarm;

fn client(cx: &Cx) -> OpResult<aws_sdk_cloudwatch::Client> {
    Ok(cx.get::<AwsContext>()?.cloudwatch(cx))
}

/// An alarm, read, with its tags.
#[derive(Debug)]
struct Described {
    /// None of an alarm that has more to it than this operation could put back.
    settings: Option<Settings>,
    state: Option<StateValue>,
    arn: String,
    tags: Tags,
}

impl Named for Described {
    const WHAT: &'static str = "alarm";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        // Alarms on other alarms have their names from the same stock.
        let ask = client(cx)?.describe_alarms().alarm_names(name);
        let ask = ask.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm).send().await;
        let reply = ask.map_err(|e| op_error(Call::new("cloudwatch:DescribeAlarms", name), e))?;
        let metric = reply.metric_alarms().first();
        let composite = reply.composite_alarms().first();
        let arn = metric.and_then(AwsAlarm::alarm_arn).or(composite.and_then(|it| it.alarm_arn()));
        let Some(arn) = arn.map(str::to_owned) else { return Ok(None) };
        let listed = client(cx)?.list_tags_for_resource().resource_arn(&arn).send().await;
        let listed = found(listed.map_err(|e| op_error(Call::new("cloudwatch:ListTagsForResource", &arn), e)))?;
        // It was deleted between the two calls.
        let Some(listed) = listed else { return Ok(None) };
        let tags = tags::read(listed.tags().iter().map(|tag| (tag.key(), tag.value())));
        let state = metric.and_then(AwsAlarm::state_value).cloned();
        Ok(Some(Self { settings: metric.and_then(settings_of), state, arn, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.arn
    }
}

/// The settings of an alarm on one metric; none of one on an expression over several.
fn settings_of(alarm: &AwsAlarm) -> Option<Settings> {
    let has_more = !alarm.metrics().is_empty()
        || alarm.threshold_metric_id().is_some()
        || alarm.evaluation_window().is_some()
        || alarm.warm_up_configuration().is_some()
        || alarm.evaluation_criteria().is_some()
        || alarm.evaluation_interval().is_some()
        || alarm.action_configuration().is_some();
    if has_more {
        return None;
    }
    let dimension = |d: &Dimension| Some((d.name()?.to_owned(), d.value()?.to_owned()));
    let evaluation_periods = alarm.evaluation_periods()?;
    Some(Settings {
        alarm_description: alarm.alarm_description().unwrap_or_default().to_owned(),
        namespace: alarm.namespace()?.to_owned(),
        metric_name: alarm.metric_name()?.to_owned(),
        dimensions: alarm.dimensions().iter().filter_map(dimension).collect(),
        statistic: alarm.statistic().map(|s| s.as_str().to_owned()),
        extended_statistic: alarm.extended_statistic().map(str::to_owned),
        evaluate_low_sample_count_percentile: alarm.evaluate_low_sample_count_percentile().map(str::to_owned),
        period: alarm.period()?,
        evaluation_periods,
        datapoints_to_alarm: alarm.datapoints_to_alarm().unwrap_or(evaluation_periods),
        threshold: alarm.threshold()?,
        comparison_operator: alarm.comparison_operator()?.as_str().to_owned(),
        treat_missing_data: alarm.treat_missing_data().unwrap_or("missing").to_owned(),
        unit: alarm.unit().map(|unit| unit.as_str().to_owned()),
        actions_enabled: alarm.actions_enabled().unwrap_or(true),
        alarm_actions: sorted(alarm.alarm_actions()),
        ok_actions: sorted(alarm.ok_actions()),
        insufficient_data_actions: sorted(alarm.insufficient_data_actions()),
    })
}

fn sorted(all: &[String]) -> Vec<String> {
    let mut all = all.to_vec();
    all.sort();
    all
}

impl TreatMissingData {
    fn as_str(self) -> &'static str {
        match self {
            Self::Breaching => "breaching",
            Self::NotBreaching => "notBreaching",
            Self::Ignore => "ignore",
            Self::Missing => "missing",
        }
    }
}

impl Statistic {
    fn as_str(self) -> &'static str {
        match self {
            Self::SampleCount => "SampleCount",
            Self::Average => "Average",
            Self::Sum => "Sum",
            Self::Minimum => "Minimum",
            Self::Maximum => "Maximum",
        }
    }
}

impl ComparisonOperator {
    fn as_str(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualToThreshold => "GreaterThanOrEqualToThreshold",
            Self::GreaterThanThreshold => "GreaterThanThreshold",
            Self::LessThanThreshold => "LessThanThreshold",
            Self::LessThanOrEqualToThreshold => "LessThanOrEqualToThreshold",
        }
    }
}

impl Params {
    fn settings(&self) -> Settings {
        Settings {
            alarm_description: self.alarm_description.clone().unwrap_or_default(),
            namespace: self.namespace.clone(),
            metric_name: self.metric_name.clone(),
            dimensions: self.dimensions.clone(),
            statistic: self.statistic.map(|statistic| statistic.as_str().to_owned()),
            extended_statistic: self.extended_statistic.clone(),
            evaluate_low_sample_count_percentile: None,
            period: self.period,
            evaluation_periods: self.evaluation_periods,
            datapoints_to_alarm: self.datapoints_to_alarm.unwrap_or(self.evaluation_periods),
            threshold: self.threshold,
            comparison_operator: self.comparison_operator.as_str().to_owned(),
            treat_missing_data: self.treat_missing_data.unwrap_or(TreatMissingData::Missing).as_str().to_owned(),
            unit: self.unit.clone(),
            actions_enabled: self.actions_enabled.unwrap_or(true),
            alarm_actions: sorted(&self.alarm_actions),
            ok_actions: sorted(&self.ok_actions),
            insufficient_data_actions: sorted(&self.insufficient_data_actions),
        }
    }

    fn about(&self) -> String {
        format!("alarm `{}`", self.alarm_name)
    }

    fn output(&self, alarm: Option<&Described>) -> Output {
        Output { alarm_name: self.alarm_name.clone(), alarm_arn: alarm.map(|alarm| AlarmArn::new(&alarm.arn)) }
    }

    fn check_numbers(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let (period, periods) = (self.period, self.evaluation_periods);
        if !([10, 20, 30].contains(&period) || (period >= 60 && period % 60 == 0)) {
            wrong("period", format!("{period} is not 10, 20, 30 or a multiple of 60"));
        }
        let longest = LONGEST[usize::from(period >= HOUR)];
        if periods < 1 || period.checked_mul(periods).is_none_or(|whole| whole > longest) {
            let message = format!("{periods} periods of {period} s are not between one and {longest} s");
            wrong("evaluation_periods", message);
        }
        if self.datapoints_to_alarm.is_some_and(|points| !(1..=periods).contains(&points)) {
            wrong("datapoints_to_alarm", "is not between 1 and `evaluation_periods`".to_owned());
        }
        if !self.threshold.is_finite() {
            wrong("threshold", "is not a number".to_owned());
        }
    }
}

/// Where an alarm that was there before stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it was before, which is not what is asked for.
    Before,
    /// As asked for.
    Ours,
    /// As asked for, and it was so before.
    Both,
    /// Something else, or gone.
    Moved,
}

fn standing(params: &Params, before: &Settings, now: Option<&Described>) -> Standing {
    let Some(now) = now.and_then(|alarm| alarm.settings.as_ref()) else { return Standing::Moved };
    match (now == before, *now == params.settings()) {
        (true, true) => Standing::Both,
        (true, false) => Standing::Before,
        (false, true) => Standing::Ours,
        (false, false) => Standing::Moved,
    }
}

/// Makes the alarm, or writes over it: then tags are without effect.
async fn put(cx: &Cx, name: &str, settings: &Settings, tags: Option<&Tags>) -> OpResult<()> {
    let dimension = |(name, value): (&String, &String)| Dimension::builder().name(name).value(value).build();
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    let list = |all: &[String]| Some(all.to_vec()).filter(|all| !all.is_empty());
    let s = settings;
    let call = client(cx)?
        .put_metric_alarm()
        .alarm_name(name)
        .set_alarm_description(Some(s.alarm_description.clone()).filter(|text| !text.is_empty()))
        .namespace(&s.namespace)
        .metric_name(&s.metric_name)
        .set_dimensions(Some(s.dimensions.iter().map(dimension).collect()))
        .set_statistic(s.statistic.as_deref().map(AwsStatistic::from))
        .set_extended_statistic(s.extended_statistic.clone())
        .set_evaluate_low_sample_count_percentile(s.evaluate_low_sample_count_percentile.clone())
        .period(s.period)
        .evaluation_periods(s.evaluation_periods)
        .datapoints_to_alarm(s.datapoints_to_alarm)
        .threshold(s.threshold)
        .comparison_operator(AwsOperator::from(s.comparison_operator.as_str()))
        .treat_missing_data(&s.treat_missing_data)
        .set_unit(s.unit.as_deref().map(StandardUnit::from))
        .actions_enabled(s.actions_enabled)
        .set_alarm_actions(list(&s.alarm_actions))
        .set_ok_actions(list(&s.ok_actions))
        .set_insufficient_data_actions(list(&s.insufficient_data_actions))
        .set_tags(tags.map(|tags| tags.iter().map(tag).collect()));
    call.send().await.map_err(|e| op_error(Call::new("cloudwatch:PutMetricAlarm", name), e))?;
    Ok(())
}

/// Whether it is not the alarm that was there before: somebody deleted that one right before it was written over.
fn made_anew(cx: &Cx, now: Option<&Described>) -> bool {
    now.is_some_and(|alarm| tags::are_of_step(cx, alarm.tags()))
}

/// Deletes what was seen to be this step's, and waits until it is gone.
async fn delete(cx: &Cx, name: &str) -> OpResult<Undo> {
    let deleted = client(cx)?.delete_alarms().alarm_names(name).send().await;
    if found(deleted.map_err(|e| op_error(Call::new("cloudwatch:DeleteAlarms", name), e)))?.is_none() {
        return Ok(Undo::Nothing);
    }
    named::wait_until_gone::<Described>(cx, name, POLL).await?;
    Ok(Undo::Done)
}

/// As a value to compare and to show.
fn shown(settings: Option<&Settings>) -> OpResult<Value> {
    serde_json::to_value(settings).map_err(|e| OpError::permanent(format!("the alarm cannot be shown: {e}")))
}

impl Operation for MetricAlarm {
    const KIND: &'static str = "aws.cloudwatch.metric_alarm";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the alarm as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource"],
            creates: "cloudwatch:PutMetricAlarm",
            settles: Vec::new(),
            rolls_back: vec!["cloudwatch:DeleteAlarms"],
            besides: &["cloudwatch:TagResource"],
        };
        let arn = format!("arn:{{partition}}:cloudwatch:{{region}}:{{account}}:alarm:{}", params.alarm_name);
        let mut facts = Facts { unique: true, arns: vec![arn], ..calls.into_facts() };
        if params.overwrite {
            facts.proof = ProofKind::ByFind;
            facts.rolls_back.push("cloudwatch:PutMetricAlarm".into());
        }
        facts
    }

    fn example() -> Option<Params> {
        let topic = "arn:aws:sns:us-east-1:123456789012:alerts".to_owned();
        Some(Params {
            alarm_name: AlarmName::new("web-errors"),
            alarm_description: Some("Too many requests are refused".to_owned()),
            namespace: "AWS/ApplicationELB".to_owned(),
            metric_name: "HTTPCode_Target_4XX_Count".to_owned(),
            dimensions: BTreeMap::from([("LoadBalancer".to_owned(), "app/web/50dc6c495c0c9188".to_owned())]),
            statistic: Some(Statistic::Sum),
            extended_statistic: None,
            period: 300,
            evaluation_periods: 2,
            datapoints_to_alarm: Some(2),
            threshold: 100.0,
            comparison_operator: ComparisonOperator::GreaterThanThreshold,
            treat_missing_data: Some(TreatMissingData::NotBreaching),
            unit: Some("Count".to_owned()),
            actions_enabled: Some(true),
            alarm_actions: vec![topic.clone()],
            ok_actions: vec![topic.clone()],
            insufficient_data_actions: vec![topic],
            overwrite: false,
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut long = |field: &str, text: &str, range: std::ops::RangeInclusive<usize>| {
            if !range.contains(&text.chars().count()) {
                let message = format!("has {} to {} characters", range.start(), range.end());
                errors.push(ParamError::new(field, message));
            }
        };
        long("alarm_name", params.alarm_name.as_str(), 1..=255);
        long("alarm_description", params.alarm_description.as_deref().unwrap_or_default(), 0..=1024);
        long("namespace", &params.namespace, 1..=255);
        long("metric_name", &params.metric_name, 1..=255);
        if params.namespace.starts_with(':') {
            errors.push(ParamError::new("namespace", "must not begin with a colon"));
        }
        if params.dimensions.len() > 30 {
            errors.push(ParamError::new("dimensions", "there are more than the 30 that AWS takes"));
        }
        match (params.statistic, &params.extended_statistic) {
            (Some(_), Some(_)) => errors.push(ParamError::new("extended_statistic", "cannot stand beside `statistic`")),
            (None, None) => errors.push(ParamError::new("statistic", "is missing; this or `extended_statistic`")),
            _ => {}
        }
        if let Some(unit) = &params.unit
            && !StandardUnit::values().contains(&unit.as_str())
        {
            let message = format!("{unit:?} is none; AWS has {}", StandardUnit::values().join(", "));
            errors.push(ParamError::new("unit", message));
        }
        params.check_numbers(&mut errors);
        for (field, all) in [
            ("alarm_actions", &params.alarm_actions),
            ("ok_actions", &params.ok_actions),
            ("insufficient_data_actions", &params.insufficient_data_actions),
        ] {
            if all.len() > 5 {
                errors.push(ParamError::new(field, "there are more than the 5 that AWS takes"));
            }
            if let Some(other) = all.iter().find(|arn| !arn.starts_with("arn:")) {
                errors.push(ParamError::new(field, format!("{other:?} is not an ARN")));
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let name = params.alarm_name.as_str();
        if !params.overwrite {
            return match named::capture::<Described>(cx, name).await {
                Ok(_) => Ok(Before { alarm: None }),
                Err(e) if e.class == ErrorClass::Foreign => {
                    Err(e.with_hint("give it another name; `overwrite: true` changes it and puts it back when undone"))
                }
                Err(e) => Err(e),
            };
        }
        match Described::read(cx, name).await? {
            None => Ok(Before { alarm: None }),
            Some(Described { settings: Some(settings), .. }) => Ok(Before { alarm: Some(settings) }),
            Some(alarm) => Err(OpError::foreign(format!(
                "{} has more to it than a metric and a threshold, and could not be put back",
                named::described(cx, name, &alarm)
            ))),
        }
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        if known.get("overwrite").is_some_and(|overwrite| overwrite != &Value::Bool(false)) {
            return Ok(());
        }
        named::foresee::<Described>(cx, known, "alarm_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let (name, about) = (params.alarm_name.as_str(), params.about());
        let Some(was) = &before.alarm else {
            named::still_absent::<Described>(cx, name).await?;
            put(cx, name, &params.settings(), Some(&tags::all(cx, &params.tags))).await?;
            return Ok(params.output(None));
        };
        let now = Described::read(cx, name).await?;
        match standing(params, was, now.as_ref()) {
            Standing::Before => put(cx, name, &params.settings(), Some(&tags::all(cx, &Tags::new()))).await?,
            Standing::Both => {}
            Standing::Ours => {
                return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} is already as it should be")));
            }
            Standing::Moved => {
                return Err(OpError::drift(format!("{about} was changed or deleted since it was looked at")));
            }
        }
        Ok(params.output(now.as_ref()))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let name = params.alarm_name.as_str();
        let Some(was) = &before.alarm else {
            return named::find::<Described, _>(cx, name, |alarm| params.output(Some(alarm))).await;
        };
        let now = Described::read(cx, name).await?;
        let output = params.output(now.as_ref());
        if made_anew(cx, now.as_ref()) {
            return Ok(Found::Ours { output, proof: Proof::Strong });
        }
        Ok(match standing(params, was, now.as_ref()) {
            Standing::Before => Found::Absent,
            // What was so before is left so by `rollback`: there is nothing to prove.
            Standing::Both => Found::Ours { output, proof: Proof::Strong },
            Standing::Ours => Found::Ours { output, proof: Proof::Weak },
            Standing::Moved if now.is_none() => Found::Foreign { what: format!("a deleted {}", params.about()) },
            Standing::Moved => Found::Foreign { what: format!("{} with other settings", params.about()) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let (name, about) = (params.alarm_name.as_str(), params.about());
        let Some(was) = &before.alarm else {
            return if named::ours::<Described>(cx, name).await?.is_none() {
                Ok(Undo::Nothing)
            } else {
                delete(cx, name).await
            };
        };
        let now = Described::read(cx, name).await?;
        if made_anew(cx, now.as_ref()) {
            return delete(cx, name).await;
        }
        match standing(params, was, now.as_ref()) {
            Standing::Before | Standing::Both => return Ok(Undo::Nothing),
            Standing::Ours => {}
            Standing::Moved => {
                let what = if now.is_some() { "has other settings" } else { "is gone" };
                return Err(OpError::drift(format!(
                    "{about} {what}: it is neither what this run wrote nor what was there before"
                )));
            }
        }
        put(cx, name, was, None).await?;
        let look = || async {
            let now = Described::read(cx, name).await?;
            Ok((standing(params, was, now.as_ref()) == Standing::Before).then_some(()))
        };
        cx.wait_for(&format!("waiting until {about} is as it was"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.alarm_name.as_str();
        if want == Expect::RolledBack {
            let Some(was) = &before.alarm else { return named::verify_gone::<Described>(cx, name).await };
            let now = Described::read(cx, name).await?.and_then(|alarm| alarm.settings);
            return Ok(Verdict::new().compare(params.about(), shown(Some(was))?, shown(now.as_ref())?));
        }
        let Some(alarm) = Described::read(cx, name).await? else { return Ok(named::missing::<Described>(name)) };
        let verdict = match before.alarm {
            None => named::verdict(cx, &alarm, &params.tags),
            Some(_) => Verdict::new().compare("it is the one that was there", true, !made_anew(cx, Some(&alarm))),
        };
        let settings = shown(alarm.settings.as_ref())?;
        let mut verdict = verdict.compare("settings", shown(Some(&params.settings()))?, settings.clone());
        verdict.observed = json!({
            "alarm_name": name, "alarm_arn": alarm.arn, "settings": settings, "tags": alarm.tags,
            "state": alarm.state.as_ref().map(StateValue::as_str),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        MetricAlarm::example().unwrap()
    }

    fn alarm(threshold: f64) -> AwsAlarm {
        AwsAlarm::builder()
            .namespace("AWS/ApplicationELB")
            .metric_name("HTTPCode_Target_4XX_Count")
            .dimensions(Dimension::builder().name("LoadBalancer").value("app/web/50dc6c495c0c9188").build())
            .statistic(AwsStatistic::Sum)
            .period(300)
            .evaluation_periods(2)
            .threshold(threshold)
            .comparison_operator(AwsOperator::GreaterThanThreshold)
            .build()
    }

    fn described(settings: Option<Settings>) -> Described {
        Described { settings, state: None, arn: String::new(), tags: Tags::new() }
    }

    /// As few parameters as can be: all else is AWS's default.
    fn bare() -> Params {
        serde_json::from_value(json!({
            "alarm_name": "web-errors", "namespace": "AWS/ApplicationELB", "metric_name": "HTTPCode_Target_4XX_Count",
            "dimensions": {"LoadBalancer": "app/web/50dc6c495c0c9188"}, "statistic": "Sum", "period": 300,
            "evaluation_periods": 2, "threshold": 100, "comparison_operator": "GreaterThanThreshold",
        }))
        .unwrap()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(MetricAlarm.check(&params()).is_ok() && MetricAlarm.check(&bare()).is_ok());
        let wrong = |change: fn(&mut Params)| {
            let mut params = params();
            change(&mut params);
            let errors = MetricAlarm.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(wrong(|p| p.alarm_name = AlarmName::new("")), "alarm_name");
        assert_eq!(wrong(|p| p.extended_statistic = Some("p99".to_owned())), "extended_statistic");
        assert_eq!(wrong(|p| p.statistic = None), "statistic");
        assert_eq!(wrong(|p| p.period = 45), "period");
        assert_eq!(wrong(|p| p.period = 0), "period");
        assert_eq!(wrong(|p| p.evaluation_periods = 300), "evaluation_periods");
        assert_eq!(wrong(|p| (p.period, p.evaluation_periods) = (HOUR, 168)), "");
        assert_eq!(wrong(|p| p.evaluation_periods = i32::MAX), "evaluation_periods");
        assert_eq!(wrong(|p| p.datapoints_to_alarm = Some(3)), "datapoints_to_alarm");
        assert_eq!(wrong(|p| p.unit = Some("Requests".to_owned())), "unit");
        assert_eq!(wrong(|p| p.alarm_actions = vec!["alerts".to_owned()]), "alarm_actions");
        assert_eq!(wrong(|p| p.ok_actions = vec!["arn:x".to_owned(); 6]), "ok_actions");
    }

    #[test]
    fn only_an_alarm_that_is_written_over_lacks_a_strong_proof() {
        let facts = MetricAlarm.facts(&params());
        assert_eq!(facts.arns, ["arn:{partition}:cloudwatch:{region}:{account}:alarm:web-errors"]);
        assert!(facts.proof == ProofKind::Strong && facts.rolls_back == ["cloudwatch:DeleteAlarms"]);
        let facts = MetricAlarm.facts(&Params { overwrite: true, ..params() });
        assert!(facts.proof == ProofKind::ByFind);
        assert_eq!(facts.rolls_back, ["cloudwatch:DeleteAlarms", "cloudwatch:PutMetricAlarm"]);
    }

    #[test]
    fn what_aws_takes_where_nothing_is_given_is_no_difference() {
        assert_eq!(settings_of(&alarm(100.0)).unwrap(), bare().settings());
        let two = ["b".to_owned(), "a".to_owned()];
        assert_eq!(sorted(&two), ["a", "b"]);
        let other = aws_sdk_cloudwatch::types::MetricDataQuery::builder().id("e1").build();
        let several = AwsAlarm::builder().metrics(other).build();
        assert!(settings_of(&several).is_none(), "it could not be put back");
    }

    #[test]
    fn an_alarm_is_ours_or_was_there_or_has_moved() {
        let (before, ours) = (settings_of(&alarm(50.0)).unwrap(), bare().settings());
        let other = settings_of(&alarm(1.0));
        for (now, want) in [
            (Some(before.clone()), Standing::Before),
            (Some(ours.clone()), Standing::Ours),
            (other, Standing::Moved),
            (None, Standing::Moved),
        ] {
            assert_eq!(standing(&bare(), &before, Some(&described(now))), want);
        }
        assert_eq!(standing(&bare(), &before, None), Standing::Moved);
        assert_eq!(standing(&bare(), &ours, Some(&described(Some(ours.clone())))), Standing::Both);
    }

    #[test]
    fn the_stored_form_holds_all_settings() {
        let before = Before { alarm: Some(params().settings()) };
        let stored = serde_json::to_value(&before).unwrap();
        assert_eq!(stored["alarm"]["threshold"], 100.0);
        assert_eq!(serde_json::from_value::<Before>(stored).unwrap(), before);
        assert_eq!(serde_json::to_value(Before { alarm: None }).unwrap(), json!({"alarm": null}));
    }
}
