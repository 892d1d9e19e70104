//! `aws.logs.log_group`: a log group, and how long it keeps its events.
//!
//! `CreateLogGroup` answers nothing, so the ARN is read afterwards. The retention is no field of it: it is a
//! call of `PutRetentionPolicy`, made whatever the retention is now.
//!
//! Whoever may write logs may make a group of that name again as soon as it is gone. Such a group carries no
//! tags of ours, and is left alone.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::types::LogGroup as Described;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::calls::{Absent, Calls};
use crate::context::AwsContext;
use crate::errors::{Call, is_not_found, op_error};
use crate::ids::{KmsKeyArn, LogGroupArn, LogGroupName};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// The retentions that CloudWatch Logs has, in days.
const RETENTIONS: [i32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// A log group of CloudWatch Logs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, `/ecs/app`: 1 to 512 letters, digits and `.-_/#` (`CreateLogGroup` logGroupName).
    pub log_group_name: LogGroupName,
    /// How many days events are kept: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365 ... 3653 (`PutRetentionPolicy`
    /// retentionInDays). AWS's default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_in_days: Option<i32>,
    /// The key that encrypts the events (`CreateLogGroup` kmsKeyId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// The class; cannot be changed later (`CreateLogGroup` logGroupClass). AWS's default: `STANDARD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group_class: Option<LogGroupClass>,
    /// Tags, beside those that say whose it is (`CreateLogGroup` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What can be done with the events, and at what price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LogGroupClass {
    /// Everything.
    Standard,
    /// Less, for less.
    InfrequentAccess,
    /// Passing them on only: they are kept for one day.
    Delivery,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub log_group_name: LogGroupName,
    /// Its ARN, without `:*` at the end, once it has been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_group_arn: Option<LogGroupArn>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogGroup;

/// A log group, read, with its tags.
#[derive(Debug)]
struct There {
    group: Described,
    arn: String,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "log group";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let mut groups = client(cx)?.describe_log_groups().log_group_name_prefix(name).into_paginator().items().send();
        // The prefix is that of others too.
        let group = loop {
            match groups.try_next().await.map_err(|e| op_error(Call::new("logs:DescribeLogGroups", name), e))? {
                Some(group) if group.log_group_name() == Some(name) => break group,
                Some(_) => {}
                None => return Ok(None),
            }
        };
        let arn = arn(&group);
        let reply = client(cx)?.list_tags_for_resource().resource_arn(&arn).send().await;
        match reply.map_err(|e| op_error(Call::new("logs:ListTagsForResource", &arn), e)) {
            Ok(reply) => Ok(Some(Self { tags: reply.tags.unwrap_or_default().into_iter().collect(), arn, group })),
            // It was deleted between the two calls.
            Err(e) if is_not_found(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.arn
    }
}

fn client(cx: &Cx) -> OpResult<aws_sdk_cloudwatchlogs::Client> {
    Ok(cx.get::<AwsContext>()?.logs(cx))
}

/// Without `:*`, which stands for its streams: tags are asked for by the group's own.
fn arn(group: &Described) -> String {
    let arn = group.log_group_arn().or(group.arn()).unwrap_or_default();
    arn.strip_suffix(":*").unwrap_or(arn).to_owned()
}

impl There {
    fn output(&self) -> Output {
        Output {
            log_group_name: LogGroupName::new(self.group.log_group_name().unwrap_or_default()),
            log_group_arn: Some(LogGroupArn::new(&self.arn)),
        }
    }
}

impl LogGroupClass {
    fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::InfrequentAccess => "INFREQUENT_ACCESS",
            Self::Delivery => "DELIVERY",
        }
    }
}

impl Operation for LogGroup {
    const KIND: &'static str = "aws.logs.log_group";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["logs:DescribeLogGroups", "logs:ListTagsForResource"],
            creates: "logs:CreateLogGroup",
            settles: params.retention_in_days.map(|_| "logs:PutRetentionPolicy").into_iter().collect(),
            rolls_back: vec!["logs:DeleteLogGroup"],
            besides: &["logs:TagResource"],
        };
        // Some actions are about the group, some about what is in it.
        let arn = format!("arn:{{partition}}:logs:{{region}}:{{account}}:log-group:{}", params.log_group_name);
        Facts {
            reversibility: Reversibility::Lossy { what: "the log events written to it".to_owned() },
            unique: true,
            arns: vec![format!("{arn}:*"), arn],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            log_group_name: LogGroupName::new("/ecs/app"),
            retention_in_days: Some(30),
            kms_key_id: Some(KmsKeyArn::new(key)),
            log_group_class: Some(LogGroupClass::Standard),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = params.log_group_name.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_/#".contains(c);
        if !(1..=512).contains(&name.len()) || !name.chars().all(fits) {
            let message = format!("{name:?} is not 1 to 512 letters, digits and . - _ / #");
            errors.push(ParamError::new("log_group_name", message));
        }
        if name.starts_with("aws/") {
            errors.push(ParamError::new("log_group_name", "names that begin with `aws/` are AWS's own"));
        }
        if let Some(days) = params.retention_in_days {
            if !RETENTIONS.contains(&days) {
                let message = format!("AWS does not keep events for {days} days; it has {RETENTIONS:?}");
                errors.push(ParamError::new("retention_in_days", message));
            }
            if params.log_group_class == Some(LogGroupClass::Delivery) {
                errors.push(ParamError::new("retention_in_days", "the class DELIVERY keeps events for one day"));
            }
        }
        if let Some(key) = &params.kms_key_id {
            key.check("kms_key_id", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.log_group_name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "log_group_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.log_group_name.as_str();
        client(cx)?
            .create_log_group()
            .log_group_name(name)
            .set_kms_key_id(params.kms_key_id.as_ref().map(|k| k.as_str().to_owned()))
            .set_log_group_class(params.log_group_class.map(|c| c.as_str().into()))
            .set_tags(Some(tags::all(cx, &params.tags).into_iter().collect()))
            .send()
            .await
            .map_err(|e| {
                let mut error = op_error(Call::new("logs:CreateLogGroup", name), e);
                // The key, or what its policy allows, may have been made a moment ago.
                if params.kms_key_id.is_some() && error.message.contains("KMS key does not exist or is not allowed") {
                    error.class = ErrorClass::Busy;
                }
                error
            })?;
        Ok(Output { log_group_name: params.log_group_name.clone(), log_group_arn: None })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = out.log_group_name.as_str();
        let there = named::ours_there::<There>(cx, name).await?;
        let Some(days) = params.retention_in_days else { return Ok(there.output()) };
        let put = client(cx)?.put_retention_policy().log_group_name(name).retention_in_days(days).send().await;
        put.map_err(|e| op_error(Call::new("logs:PutRetentionPolicy", name).just_made(), e))?;
        Ok(there.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.log_group_name.as_str(), There::output).await
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = out.log_group_name.as_str();
        let Some(there) = named::ours::<There>(cx, name).await? else { return Ok(Undo::Nothing) };
        if there.group.deletion_protection_enabled() == Some(true) {
            let message = format!("log group `{name}` was protected against deletion since this step made it");
            return Err(OpError::drift(message).with_hint("ask who protected it, and turn the protection off"));
        }
        let deleted = client(cx)?.delete_log_group().log_group_name(name).send().await;
        match deleted.map_err(|e| op_error(Call::new("logs:DeleteLogGroup", name), e)) {
            Ok(_) => {}
            Err(e) if is_not_found(&e) => return Ok(Undo::Nothing),
            Err(e) => return Err(e),
        }
        named::wait_until_gone::<There>(cx, name, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.log_group_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else {
            return Ok(named::missing::<There>(name));
        };
        let group = &there.group;
        // Groups that are older than the classes say none.
        let class = group.log_group_class().map_or("STANDARD", |c| c.as_str());
        let mut verdict = named::verdict(cx, &there, &params.tags);
        if let Some(days) = params.retention_in_days {
            verdict = verdict.compare("retention_in_days", days, group.retention_in_days());
        }
        if let Some(key) = &params.kms_key_id {
            verdict = verdict.compare("kms_key_id", key.as_str(), group.kms_key_id());
        }
        if let Some(wanted) = params.log_group_class {
            verdict = verdict.compare("log_group_class", wanted.as_str(), class);
        }
        verdict.observed = json!({
            "log_group_name": name, "log_group_arn": there.arn, "retention_in_days": group.retention_in_days(),
            "kms_key_id": group.kms_key_id(), "log_group_class": class, "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = LogGroup.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    /// The second page has it; the first has those whose names begin alike.
    const OTHERS: Answer =
        Answer::Reply(200, r#"{"logGroups":[{"logGroupName":"/app/2","arn":"a:*"}],"nextToken":"n"}"#);
    const THERE: Answer = Answer::Reply(
        200,
        concat!(
            r#"{"logGroups":[{"logGroupName":"/app","arn":"arn:aws:logs:us-east-1:1:log-group:/app:*","#,
            r#""retentionInDays":30}]}"#
        ),
    );
    const PROTECTED: Answer =
        Answer::Reply(200, r#"{"logGroups":[{"logGroupName":"/app","arn":"a:*","deletionProtectionEnabled":true}]}"#);
    const NONE: Answer = Answer::Reply(200, r#"{"logGroups":[{"logGroupName":"/app2","arn":"a:*"}]}"#);
    const GONE: Answer = Answer::Reply(400, r#"{"__type":"ResourceNotFoundException","message":"x"}"#);
    const OURS: Answer = Answer::Reply(
        200,
        concat!(
            r#"{"tags":{"switchback:run":"00000000-0000-0000-0000-000000000007","#,
            r#""switchback:step":"logs","switchback:generation":"1"}}"#
        ),
    );
    const UNTAGGED: Answer = Answer::Reply(200, r#"{"tags":{}}"#);
    const DONE: Answer = Answer::Reply(200, "{}");

    fn app() -> Params {
        params(json!({"log_group_name": "/app", "retention_in_days": 30}))
    }

    fn made() -> Output {
        Output { log_group_name: LogGroupName::new("/app"), log_group_arn: None }
    }

    #[test]
    fn the_example_is_valid() {
        LogGroup.check(&LogGroup::example().unwrap()).unwrap();
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({"log_group_name": "/ecs/app_1.x-y#z", "retention_in_days": 3653})).is_empty());
        for name in ["", "a b", "aws/x", "a:b"] {
            assert_eq!(wrong(json!({"log_group_name": name})), ["log_group_name"], "{name}");
        }
        assert_eq!(wrong(json!({"log_group_name": "a".repeat(513)})), ["log_group_name"]);
        assert_eq!(wrong(json!({"log_group_name": "a", "retention_in_days": 2})), ["retention_in_days"]);
        assert_eq!(wrong(json!({"log_group_name": "a", "kms_key_id": "alias/x"})), ["kms_key_id"]);
        let delivery = json!({"log_group_name": "a", "retention_in_days": 1, "log_group_class": "DELIVERY"});
        assert_eq!(wrong(delivery), ["retention_in_days"]);
    }

    #[test]
    fn what_is_lost_is_said() {
        let facts = LogGroup.facts(&app());
        assert!(matches!(facts.reversibility, Reversibility::Lossy { .. }));
        assert_eq!(facts.settles, ["logs:PutRetentionPolicy"]);
        assert!(LogGroup.facts(&params(json!({"log_group_name": "/app"}))).settles.is_empty());
    }

    #[test]
    fn the_arn_is_the_groups_own() {
        let group = |arn: &str| Described::builder().arn(arn).build();
        assert_eq!(arn(&group("arn:aws:logs:r:1:log-group:/app:*")), "arn:aws:logs:r:1:log-group:/app");
        let newer = Described::builder().arn("x:*").log_group_arn("y").build();
        assert_eq!(arn(&newer), "y");
    }

    #[tokio::test]
    async fn only_the_exact_name_counts() {
        let script = Script::new([OTHERS, THERE, UNTAGGED, NONE, THERE, GONE]);
        let cx = watched("logs", script.config()).await.0;
        let error = LogGroup.capture(&cx, &app()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Foreign, "{error}");
        LogGroup.capture(&cx, &app()).await.unwrap();
        LogGroup.capture(&cx, &app()).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_used_yet_is_waited_for() {
        const REFUSED: Answer = Answer::Reply(
            400,
            r#"{"__type":"InvalidParameterException","message":"The specified KMS key does not exist or is not allowed to be used"}"#,
        );
        let cx = watched("logs", Script::new([REFUSED, REFUSED]).config()).await.0;
        let with_key = LogGroup::example().unwrap();
        assert_eq!(LogGroup.create(&cx, &with_key, &Absent {}).await.unwrap_err().class, ErrorClass::Busy);
        assert_eq!(LogGroup.create(&cx, &app(), &Absent {}).await.unwrap_err().class, ErrorClass::Permanent);
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_until_it_is_seen_and_reads_the_arn() {
        // Neither the group nor its tags need be seen at once.
        let seen_late = [NONE, THERE, UNTAGGED, THERE, OURS, DONE];
        let anothers = std::iter::repeat_n([THERE, UNTAGGED], 100).flatten();
        let script = Script::new(seen_late.into_iter().chain(anothers));
        let (cx, watch) = watched("logs", script.config()).await;
        let settled = LogGroup.settle(&cx, &app(), &Absent {}, &made()).await.unwrap();
        assert_eq!(settled.log_group_arn, Some(LogGroupArn::new("arn:aws:logs:us-east-1:1:log-group:/app")));
        assert_eq!(watch.calls.lock().unwrap().last().unwrap().operation, "PutRetentionPolicy");
        let error = LogGroup.settle(&cx, &app(), &Absent {}, &made()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift, "another's group of that name is not touched");
        let calls = watch.calls.lock().unwrap();
        assert_eq!(calls.iter().filter(|c| c.operation == "PutRetentionPolicy").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_deletes_what_is_ours_and_nothing_else() {
        let busy = Answer::Reply(400, r#"{"__type":"OperationAbortedException","message":"x"}"#);
        let script = Script::new([
            THERE, OURS, DONE, THERE, OURS, NONE, // ours, gone after a while
            NONE, // gone already
            THERE, UNTAGGED, // made again by somebody
            PROTECTED, OURS, // protected by somebody
            THERE, OURS, busy,
        ]);
        let (cx, watch) = watched("logs", script.config()).await;
        let rollback = async || LogGroup.rollback(&cx, &app(), &Absent {}, &made()).await;
        assert_eq!(rollback().await.unwrap(), Undo::Done);
        assert_eq!(rollback().await.unwrap(), Undo::Nothing);
        assert_eq!(rollback().await.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(rollback().await.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(rollback().await.unwrap_err().class, ErrorClass::Busy);
        let calls = watch.calls.lock().unwrap();
        assert_eq!(calls.iter().filter(|c| c.operation == "DeleteLogGroup").count(), 2);
    }
}
