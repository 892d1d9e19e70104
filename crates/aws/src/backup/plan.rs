//! `aws.backup.plan`: what is backed up when, and for how long it is kept.
//!
//! A plan has an id that AWS makes, and a name that two plans could have. This operation treats the name as the
//! identity, so that a plan that is there already is seen before the first effect; whose it is, tags say.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_backup::types::{BackupPlan, BackupPlanInput, BackupRule, BackupRuleInput, Lifecycle as SentLifecycle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{check_lifecycle, check_vault, client, tags_of};
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{BackupPlanArn, BackupPlanId, BackupVaultName};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// How long a backup may wait for its start at least, in minutes; and how much later it must be done.
const SHORTEST: i64 = 60;

/// A backup plan, without a selection of what it backs up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 50 letters, digits, `-`, `_` and `.` (`CreateBackupPlan` BackupPlanName).
    pub backup_plan_name: String,
    /// When it makes backups, and where it puts them (`CreateBackupPlan` Rules).
    pub rules: Vec<Rule>,
    /// Tags, beside those that say whose it is (`CreateBackupPlan` BackupPlanTags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// When a plan makes backups, and where it puts them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in the plan: 1 to 50 letters, digits, `-`, `_` and `.`.
    pub rule_name: String,
    /// The vault.
    pub target_backup_vault_name: BackupVaultName,
    /// When, `cron(0 5 ? * * *)`, in UTC. AWS's default: at 5 in the morning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_expression: Option<String>,
    /// How long a backup may wait for its start, in minutes: 60 or more. AWS's default: 480.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_window_minutes: Option<i64>,
    /// In how many minutes it must be done: 60 or more after the last moment to start. AWS's default: 10080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window_minutes: Option<i64>,
    /// For how long a backup is kept. AWS's default: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
}

/// For how long a backup is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifecycle {
    /// After how many days it goes to cold storage, where it stays for 90 days at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_storage_after_days: Option<i64>,
    /// After how many days it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_days: Option<i64>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub backup_plan_id: BackupPlanId,
    /// Its ARN.
    pub backup_plan_arn: BackupPlanArn,
    /// The id of the version that was made.
    pub version_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plan;

/// A plan, listed, with its tags.
#[derive(Debug)]
struct There {
    output: Output,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "backup plan";

    /// Of several plans of that name, the step's own.
    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let mut pages = client(cx)?.list_backup_plans().into_paginator().items().send();
        let mut another = None;
        while let Some(plan) = pages.next().await {
            let plan = plan.map_err(|e| op_error(Call::new("backup:ListBackupPlans", name), e))?;
            let (Some(id), Some(arn)) = (plan.backup_plan_id(), plan.backup_plan_arn()) else { continue };
            if plan.backup_plan_name() != Some(name) {
                continue;
            }
            let Some(tags) = tags_of(cx, arn).await? else { continue };
            let there = Self { output: output(id, arn, plan.version_id()), tags };
            if tags::are_of_step(cx, &there.tags) {
                return Ok(Some(there));
            }
            another = another.or(Some(there));
        }
        Ok(another)
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.output.backup_plan_arn.as_str()
    }
}

fn output(id: &str, arn: &str, version: Option<&str>) -> Output {
    Output {
        backup_plan_id: BackupPlanId::new(id),
        backup_plan_arn: BackupPlanArn::new(arn),
        version_id: version.unwrap_or_default().to_owned(),
    }
}

fn unsent(error: impl std::fmt::Display) -> OpError {
    OpError::permanent(format!("the plan cannot be sent: {error}"))
}

impl Rule {
    fn to_sdk(&self) -> OpResult<BackupRuleInput> {
        let lifecycle = |it: &Lifecycle| {
            SentLifecycle::builder()
                .set_move_to_cold_storage_after_days(it.move_to_cold_storage_after_days)
                .set_delete_after_days(it.delete_after_days)
                .build()
        };
        BackupRuleInput::builder()
            .rule_name(&self.rule_name)
            .target_backup_vault_name(self.target_backup_vault_name.as_str())
            .set_schedule_expression(self.schedule_expression.clone())
            .set_start_window_minutes(self.start_window_minutes)
            .set_completion_window_minutes(self.completion_window_minutes)
            .set_lifecycle(self.lifecycle.as_ref().map(lifecycle))
            .build()
            .map_err(unsent)
    }

    /// A rule that was read, in the form of the parameters, with what AWS adds by default.
    fn read(rule: &BackupRule) -> Value {
        let lifecycle = |it: &SentLifecycle| {
            json!({
                "move_to_cold_storage_after_days": it.move_to_cold_storage_after_days(),
                "delete_after_days": it.delete_after_days(),
            })
        };
        json!({
            "rule_name": rule.rule_name(),
            "target_backup_vault_name": rule.target_backup_vault_name(),
            "schedule_expression": rule.schedule_expression(),
            "start_window_minutes": rule.start_window_minutes(),
            "completion_window_minutes": rule.completion_window_minutes(),
            "lifecycle": rule.lifecycle().map(lifecycle),
        })
    }
}

impl Params {
    /// The rules by their names: AWS does not promise their order.
    fn rules(&self) -> Value {
        json!(self.rules.iter().map(|rule| (rule.rule_name.as_str(), rule)).collect::<BTreeMap<_, _>>())
    }
}

/// The rules that were read, by their names, as far as they were asked for; a rule that was not is there as a whole.
fn rules_asked(wanted: &Value, plan: Option<&BackupPlan>) -> Value {
    let rules = plan.into_iter().flat_map(BackupPlan::rules);
    let rules = rules.map(|rule| {
        let (name, got) = (rule.rule_name(), Rule::read(rule));
        (name.to_owned(), wanted.get(name).map_or_else(|| got.clone(), |wanted| asked::of_those(wanted, &got)))
    });
    json!(rules.collect::<BTreeMap<_, _>>())
}

fn fits_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=50).contains(&name.len()) && name.chars().all(fits)
}

fn check_rules(rules: &[Rule], errors: &mut Vec<ParamError>) {
    const RULES: &str = "rules";
    let mut wrong = |message: String| errors.push(ParamError::new(RULES, message));
    if rules.is_empty() {
        wrong("a plan has at least one".to_owned());
    }
    let names: BTreeSet<_> = rules.iter().map(|rule| &rule.rule_name).collect();
    if names.len() < rules.len() {
        wrong("each has a name of its own".to_owned());
    }
    for rule in rules {
        let name = &rule.rule_name;
        if !fits_name(name) {
            wrong(format!("{name:?} is not 1 to 50 letters, digits, - _ and ."));
        }
        if rule.schedule_expression.as_ref().is_some_and(|when| {
            !(["cron(", "rate(", "at("].iter().any(|form| when.starts_with(form)) && when.ends_with(')'))
        }) {
            wrong(format!("rule {name:?}: a schedule has the form `cron(0 5 ? * * *)`"));
        }
        let (start, done) = (rule.start_window_minutes, rule.completion_window_minutes);
        if start.is_some_and(|minutes| minutes < SHORTEST) {
            wrong(format!("rule {name:?}: a start window has {SHORTEST} minutes or more"));
        }
        if done.is_some_and(|done| done < start.unwrap_or(0) + SHORTEST) {
            wrong(format!(
                "rule {name:?}: the completion window ends {SHORTEST} minutes after the start window or later"
            ));
        }
    }
    for rule in rules {
        check_vault(&rule.target_backup_vault_name, RULES, errors);
        if let Some(it) = &rule.lifecycle {
            check_lifecycle(it.move_to_cold_storage_after_days, it.delete_after_days, RULES, errors);
        }
    }
}

impl Operation for Plan {
    const KIND: &'static str = "aws.backup.plan";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// A plan is there at once.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["backup:ListBackupPlans", "backup:ListTags", "backup:GetBackupPlan"],
            creates: "backup:CreateBackupPlan",
            settles: Vec::new(),
            rolls_back: vec!["backup:DeleteBackupPlan"],
            besides: &["backup:TagResource"],
        };
        calls.into_facts()
    }

    fn example() -> Option<Params> {
        Some(Params {
            backup_plan_name: "app-daily".to_owned(),
            rules: vec![Rule {
                rule_name: "daily".to_owned(),
                target_backup_vault_name: BackupVaultName::new("app-checkpoint"),
                schedule_expression: Some("cron(0 5 ? * * *)".to_owned()),
                start_window_minutes: Some(60),
                completion_window_minutes: Some(120),
                lifecycle: Some(Lifecycle { move_to_cold_storage_after_days: Some(30), delete_after_days: Some(120) }),
            }],
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = &params.backup_plan_name;
        if !fits_name(name) {
            let message = format!("{name:?} is not 1 to 50 letters, digits, - _ and .");
            errors.push(ParamError::new("backup_plan_name", message));
        }
        check_rules(&params.rules, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.backup_plan_name).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "backup_plan_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.backup_plan_name.as_str();
        named::still_absent::<There>(cx, name).await?;
        let rules = params.rules.iter().map(Rule::to_sdk).collect::<OpResult<Vec<_>>>()?;
        let plan = BackupPlanInput::builder().backup_plan_name(name).set_rules(Some(rules)).build().map_err(unsent)?;
        let reply = client(cx)?
            .create_backup_plan()
            .backup_plan(plan)
            .set_backup_plan_tags(Some(tags::all(cx, &params.tags).into_iter().collect()))
            // Of this step and generation: the same call again makes no second plan.
            .creator_request_id(cx.token())
            .send()
            .await
            .map_err(|e| op_error(Call::new("backup:CreateBackupPlan", name).just_made(), e))?;
        match (reply.backup_plan_id(), reply.backup_plan_arn()) {
            (Some(id), Some(arn)) => Ok(output(id, arn, reply.version_id())),
            _ => Err(nameless("backup:CreateBackupPlan", name)),
        }
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, &params.backup_plan_name, |there| there.output.clone()).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let (name, arn) = (params.backup_plan_name.as_str(), out.backup_plan_arn.as_str());
        let ours = || async { Ok(tags_of(cx, arn).await?.filter(|tags| tags::are_of_step(cx, tags))) };
        if ours().await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_backup_plan().backup_plan_id(out.backup_plan_id.as_str()).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("backup:DeleteBackupPlan", name), e)))?.is_none() {
            return Ok(Undo::Nothing);
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
        let name = params.backup_plan_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let sent = client(cx)?.get_backup_plan().backup_plan_id(there.output.backup_plan_id.as_str()).send().await;
        let reply = found(sent.map_err(|e| op_error(Call::new("backup:GetBackupPlan", name), e)))?;
        let plan = reply.as_ref().and_then(|reply| reply.backup_plan());
        let wanted = params.rules();
        let got = rules_asked(&wanted, plan);
        let mut verdict = named::verdict(cx, &there, &params.tags).compare("rules", wanted, got);
        let rules: Vec<Value> = plan.into_iter().flat_map(BackupPlan::rules).map(Rule::read).collect();
        verdict.observed = json!({
            "backup_plan_name": name, "backup_plan_id": there.output.backup_plan_id,
            "backup_plan_arn": there.output.backup_plan_arn, "rules": rules, "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(rule: Value) -> Vec<String> {
        let mut all = json!({"rule_name": "daily", "target_backup_vault_name": "app"});
        all.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let params = serde_json::from_value(json!({"backup_plan_name": "app", "rules": [all]})).unwrap();
        Plan.check(&params).err().unwrap_or_default().into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert!(wrong(json!({"start_window_minutes": 60, "completion_window_minutes": 120})).is_empty());
        for rule in [
            json!({"rule_name": "a b"}),
            json!({"target_backup_vault_name": "x"}),
            json!({"schedule_expression": "daily"}),
            json!({"start_window_minutes": 59}),
            json!({"start_window_minutes": 60, "completion_window_minutes": 119}),
            json!({"lifecycle": {"delete_after_days": 0}}),
            json!({"lifecycle": {"move_to_cold_storage_after_days": 7, "delete_after_days": 30}}),
        ] {
            assert_eq!(wrong(rule.clone()), ["rules"], "{rule}");
        }
    }

    #[test]
    fn what_aws_adds_to_a_rule_is_no_drift() {
        let rule = |minutes| {
            BackupRule::builder()
                .rule_name("daily")
                .target_backup_vault_name("app")
                .start_window_minutes(480)
                .completion_window_minutes(minutes)
                .build()
                .unwrap()
        };
        let plan = |minutes| BackupPlan::builder().backup_plan_name("app").rules(rule(minutes)).build().unwrap();
        let wanted = json!({
            "daily": {"rule_name": "daily", "target_backup_vault_name": "app", "completion_window_minutes": 600},
        });
        assert_eq!(rules_asked(&wanted, Some(&plan(600))), wanted);
        assert_ne!(rules_asked(&wanted, Some(&plan(601))), wanted);
        assert_ne!(rules_asked(&json!({}), Some(&plan(600))), json!({}), "a rule that nobody asked for");
    }
}
