//! Plans: documents that say when what goes to which vault.

use serde_json::{Map, Value, json};

use super::{Desk, arn_of, exists, invalid, not_found};
use crate::input::{Body, Input};
use crate::picture::backup::Plan;
use crate::query::check_tags;
use crate::refusal::Refusal;

pub(super) async fn create(desk: &mut Desk<'_>, input: &Input, body: &Body) -> Result<Value, Refusal> {
    let document = body.get("BackupPlan").cloned().unwrap_or_default();
    let name = document.get("BackupPlanName").and_then(Value::as_str).unwrap_or_default();
    let rules = document.get("Rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if name.is_empty() || rules.is_empty() {
        return Err(Refusal::new("MissingParameterValueException", "A plan has a name and rules"));
    }
    for rule in rules {
        let text = |member: &str| rule.get(member).and_then(Value::as_str).unwrap_or_default();
        let number = |member: &str| rule.get(member).and_then(Value::as_i64);
        if !desk.picture().backup.vaults.contains_key(&arn_of(desk, text("TargetBackupVaultName"))) {
            return Err(invalid(format!("Backup vault {} does not exist", text("TargetBackupVaultName"))));
        }
        let (start, completion) = (number("StartWindowMinutes"), number("CompletionWindowMinutes"));
        if start.is_some_and(|minutes| minutes < 60) {
            return Err(invalid("Start window must be at least 60 minutes"));
        }
        if completion.zip(start).is_some_and(|(completion, start)| completion < start + 60) {
            return Err(invalid("Completion window must be at least 60 minutes after the start window"));
        }
    }
    check_tags(&body.tag_map("BackupPlanTags")?)?;
    if desk.picture().backup.plans.values().any(|plan| plan.name == name) {
        return Err(exists(format!("Backup plan with the same plan document already exists: {name}")));
    }
    desk.emulator.act_rest(super::Service::Backup, input.rest()?).await?;
    desk.look();
    let made = desk.picture().backup.plans.iter().find(|(_, plan)| plan.name == name);
    let (arn, plan) = made.ok_or_else(|| Refusal::internal("the plan was not made"))?;
    let reply = head(arn, plan);
    let id = plan.id.clone();
    desk.emulator.set_plan(&id, document).await;
    desk.look();
    Ok(reply)
}

pub(super) fn get(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, plan) = find(desk, body)?;
    let mut reply = head(arn, plan);
    let mut document = plan.document.clone();
    // What a rule does not say is shown as it is by default.
    for rule in document.get_mut("Rules").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(rule) = rule.as_object_mut() else { continue };
        for (member, default) in [
            ("StartWindowMinutes", json!(480)),
            ("CompletionWindowMinutes", json!(10080)),
            ("ScheduleExpressionTimezone", json!("Etc/UTC")),
        ] {
            rule.entry(member).or_insert(default);
        }
        let id = rule.get("RuleName").cloned().unwrap_or_default();
        rule.insert("RuleId".to_owned(), id);
    }
    reply["BackupPlan"] = document;
    Ok(reply)
}

pub(super) fn list(desk: &Desk<'_>) -> Value {
    let plans = desk.picture().backup.plans.iter().map(|(arn, plan)| {
        let mut it = head(arn, plan);
        it["BackupPlanName"] = json!(plan.name);
        it
    });
    json!({"BackupPlansList": plans.collect::<Vec<_>>()})
}

pub(super) async fn delete(desk: &mut Desk<'_>, input: &Input, body: &Body) -> Result<Value, Refusal> {
    let (arn, plan) = find(desk, body)?;
    let (arn, reply) = (arn.to_owned(), head(arn, plan));
    let _ = desk.pass_on(input).await?;
    desk.emulator.forget_tags(&arn).await;
    desk.look();
    Ok(reply)
}

fn find<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(&'a str, &'a Plan), Refusal> {
    let id = body.required("BackupPlanId")?;
    let found = desk.picture().backup.plans.iter().find(|(_, plan)| plan.id == id);
    found
        .map(|(arn, plan)| (arn.as_str(), plan))
        .ok_or_else(|| not_found(format!("Failed reading Backup plan with provided version. Id: {id}")))
}

fn head(arn: &str, plan: &Plan) -> Value {
    let members = [
        ("BackupPlanId", json!(plan.id)),
        ("BackupPlanArn", json!(arn)),
        ("VersionId", json!(plan.version)),
        ("CreationDate", json!(plan.created)),
    ];
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
