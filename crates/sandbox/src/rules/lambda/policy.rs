//! The policy of a function: statements that let others invoke it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::{Desk, conflict, find, invalid, not_found};
use crate::input::{Body, Input};
use crate::notes::{Answer, Reply};
use crate::picture::lambda::{Function, Permission};
use crate::refusal::Refusal;

pub(super) async fn add(desk: &mut Desk<'_>, input: &Input, body: &Body) -> Result<Answer, Refusal> {
    let (arn, function) = find(desk, body)?;
    let id = body.required("StatementId")?;
    let action = body.required("Action")?;
    body.required("Principal")?;
    if !action.starts_with("lambda:") {
        return Err(invalid(format!("Unsupported action {action}")));
    }
    if function.permissions.contains_key(id) {
        return Err(conflict(format!(
            "The statement id ({id}) provided already exists. Please provide a new statement id, or remove the \
             existing statement."
        )));
    }
    check_revision(&arn, function, body)?;
    let _ = desk.pass_on(input).await?;
    let (arn, function) = find(desk, body)?;
    let added = function.permissions.get(id).map(|of| statement(&arn, id, of).to_string());
    let body = json!({"Statement": added}).to_string().into();
    Ok(Answer::Rest(Reply { status: 201, body, ..Reply::default() }))
}

pub(super) fn get(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (arn, function) = find(desk, body)?;
    if function.permissions.is_empty() {
        return Err(not_found("The resource you requested does not exist."));
    }
    let policy = document(&arn, function);
    Ok(Answer::json(&json!({"Policy": policy, "RevisionId": revision(&policy)})))
}

pub(super) async fn remove(desk: &mut Desk<'_>, input: &Input, body: &Body) -> Result<Answer, Refusal> {
    let (arn, function) = find(desk, body)?;
    let id = body.required("StatementId")?;
    if !function.permissions.contains_key(id) {
        return Err(not_found(format!("Statement {id} is not found in resource policy.")));
    }
    check_revision(&arn, function, body)?;
    desk.pass_on(input).await
}

fn document(arn: &str, function: &Function) -> String {
    let statements: Vec<Value> = function.permissions.iter().map(|(id, of)| statement(arn, id, of)).collect();
    json!({"Version": "2012-10-17", "Id": "default", "Statement": statements}).to_string()
}

fn statement(arn: &str, id: &str, of: &Permission) -> Value {
    let is_account = of.principal.len() == 12 && of.principal.bytes().all(|digit| digit.is_ascii_digit());
    let principal = match of.principal.as_str() {
        "*" => json!("*"),
        account if is_account => json!({"AWS": format!("arn:aws:iam::{account}:root")}),
        arn if arn.starts_with("arn:") => json!({"AWS": arn}),
        service => json!({"Service": service}),
    };
    let mut it = json!({
        "Sid": id, "Effect": "Allow", "Principal": principal, "Action": of.action, "Resource": arn,
    });
    let mut condition = serde_json::Map::new();
    if let Some(account) = &of.source_account {
        condition.insert("StringEquals".to_owned(), json!({"AWS:SourceAccount": account}));
    }
    if let Some(source) = &of.source_arn {
        condition.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": source}));
    }
    if !condition.is_empty() {
        it["Condition"] = Value::Object(condition);
    }
    it
}

/// Another one for each policy.
fn revision(policy: &str) -> String {
    let mut hash = DefaultHasher::new();
    policy.hash(&mut hash);
    format!("00000000-0000-4000-8000-{:012x}", hash.finish() & 0xffff_ffff_ffff)
}

fn check_revision(arn: &str, function: &Function, body: &Body) -> Result<(), Refusal> {
    match body.text("RevisionId")? {
        Some(given) if given != revision(&document(arn, function)) => Err(Refusal::new(
            "PreconditionFailedException",
            "The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the \
             latest RevisionId of your policy.",
        )
        .with_status(412)),
        _ => Ok(()),
    }
}
