//! Log groups: their names, retention, keys, protection and tags.

use serde_json::{Map, Value, json};

use super::Desk;
use crate::input::Body;
use crate::picture::logs::LogGroup;
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
const MOST_TAGS: usize = 50;
/// An attribute that the emulator forgets, by its name in the notes.
const CLASS: &str = "class";
const STANDARD: &str = "STANDARD";

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message.into())
}

fn not_found() -> Refusal {
    Refusal::new("ResourceNotFoundException", "The specified log group does not exist.")
}

fn find<'a>(desk: &'a Desk<'_>, name: &str) -> Result<&'a LogGroup, Refusal> {
    desk.picture().logs.groups.get(name).ok_or_else(not_found)
}

/// The name that a call gives, in its form.
fn name(body: &Body) -> Result<&str, Refusal> {
    let name = body.required("logGroupName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_/#".contains(c);
    if name.chars().count() > 512 || !name.chars().all(fits) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        )));
    }
    Ok(name)
}

async fn act(desk: &Desk<'_>, action: &str, body: Value) -> Result<Value, Refusal> {
    desk.emulator.act_json(Service::Logs, action, &body).await
}

/// A key is given by its ARN, and must be there.
fn check_key(desk: &Desk<'_>, group: &str, key: &str) -> Result<(), Refusal> {
    if desk.picture().kms.keys.values().any(|it| it.arn == key && it.state == "Enabled") {
        return Ok(());
    }
    let arn = arn_of(desk, group);
    Err(invalid(format!("The specified KMS key does not exist or is not allowed to be used with LogGroup '{arn}'")))
}

fn arn_of(desk: &Desk<'_>, name: &str) -> String {
    desk.place.arn(Service::Logs, &format!("log-group:{name}"))
}

fn check_tags(tags: &Tags, together: usize) -> Result<(), Refusal> {
    if together > MOST_TAGS {
        return Err(Refusal::new("TooManyTagsException", "A resource can have no more than 50 tags."));
    }
    let wrong = |(key, value): &(&String, &String)| {
        key.is_empty() || key.len() > 128 || value.len() > 256 || key.to_ascii_lowercase().starts_with("aws:")
    };
    tags.iter().find(wrong).map_or(Ok(()), |(key, _)| Err(invalid(format!("The tag '{key}' is not valid."))))
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = name(body)?;
    if name.starts_with("aws/") {
        return Err(invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    let (tags, class) = (body.tag_map("tags")?, body.text("logGroupClass")?.unwrap_or(STANDARD));
    check_tags(&tags, tags.len())?;
    if ![STANDARD, "INFREQUENT_ACCESS", "DELIVERY"].contains(&class) {
        return Err(invalid(format!("Unknown log group class '{class}'.")));
    }
    if desk.picture().logs.groups.contains_key(name) {
        return Err(Refusal::new("ResourceAlreadyExistsException", "The specified log group already exists"));
    }
    let key = body.text("kmsKeyId")?;
    if let Some(key) = key {
        check_key(desk, name, key)?;
    }
    act(desk, "CreateLogGroup", json!({"logGroupName": name, "tags": tags})).await?;
    if let Some(key) = key {
        act(desk, "AssociateKmsKey", json!({"logGroupName": name, "kmsKeyId": key})).await?;
    }
    if body.flag("deletionProtectionEnabled")? == Some(true) {
        desk.emulator.protect_log_group(name, true).await;
    }
    desk.look();
    let arn = arn_of(desk, name);
    desk.notes_mut().facts.entry(arn).or_default().insert(CLASS, json!(class));
    Ok(json!({}))
}

/// By name, those that begin with a prefix, or hold a pattern.
pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (prefix, pattern) = (body.text("logGroupNamePrefix")?, body.text("logGroupNamePattern")?);
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."));
    }
    let size = usize::try_from(body.number("limit")?.unwrap_or(50)).ok().filter(|size| (1..=50).contains(size));
    let size = size.ok_or_else(|| {
        invalid("1 validation error detected: 'limit' failed to satisfy constraint: Member must be between 1 and 50")
    })?;
    let class = body.text("logGroupClass")?;
    let last = body.text("nextToken")?.unwrap_or_default();
    let found = desk.picture().logs.groups.iter().filter(|(name, group)| {
        name.as_str() > last
            && prefix.is_none_or(|prefix| name.starts_with(prefix))
            && pattern.is_none_or(|pattern| name.to_lowercase().contains(&pattern.to_lowercase()))
            && class.is_none_or(|class| class == class_of(desk, group))
    });
    let mut found: Vec<_> = found.take(size + 1).collect();
    let mut reply = Map::new();
    if found.len() > size {
        found.truncate(size);
        reply.insert("nextToken".to_owned(), json!(found.last().map(|(name, _)| name)));
    }
    let groups = found.into_iter().map(|(name, group)| written(desk, name, group)).collect();
    reply.insert("logGroups".to_owned(), groups);
    Ok(Value::Object(reply))
}

fn class_of<'a>(desk: &'a Desk<'_>, group: &LogGroup) -> &'a str {
    desk.notes().fact(&group.arn, CLASS).and_then(Value::as_str).unwrap_or(STANDARD)
}

/// A log group as in a reply.
fn written(desk: &Desk<'_>, name: &str, group: &LogGroup) -> Value {
    let mut it = json!({
        "logGroupName": name,
        "creationTime": group.created,
        "metricFilterCount": 0,
        "arn": format!("{}:*", group.arn),
        "logGroupArn": group.arn,
        "storedBytes": 0,
        "logGroupClass": class_of(desk, group),
        "deletionProtectionEnabled": group.deletion_protection,
    });
    if let Some(days) = group.retention {
        it["retentionInDays"] = json!(days);
    }
    if let Some(key) = &group.key {
        it["kmsKeyId"] = json!(key);
    }
    it
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = name(body)?;
    if find(desk, name)?.deletion_protection {
        let message = "The log group cannot be deleted because deletion protection is enabled.";
        return Err(Refusal::new("ValidationException", message));
    }
    act(desk, "DeleteLogGroup", json!({"logGroupName": name})).await?;
    desk.look();
    Ok(json!({}))
}

pub(super) async fn put_retention(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = name(body)?;
    let days = body.number("retentionInDays")?.ok_or_else(|| Refusal::null("retentionInDays"))?;
    if !RETENTIONS.contains(&days) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member \
             must satisfy enum value set: {RETENTIONS:?}"
        )));
    }
    find(desk, name)?;
    act(desk, "PutRetentionPolicy", json!({"logGroupName": name, "retentionInDays": days})).await?;
    desk.look();
    Ok(json!({}))
}

pub(super) async fn protect(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let given = body.required("logGroupIdentifier")?;
    let name = given.rsplit_once(":log-group:").map_or(given, |(_, name)| name);
    let on = body.flag("deletionProtectionEnabled")?.ok_or_else(|| Refusal::null("deletionProtectionEnabled"))?;
    find(desk, name)?;
    desk.emulator.protect_log_group(name, on).await;
    desk.look();
    Ok(json!({}))
}

pub(super) async fn associate_key(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (name, key) = (name(body)?, body.required("kmsKeyId")?);
    find(desk, name)?;
    check_key(desk, name, key)?;
    act(desk, "AssociateKmsKey", json!({"logGroupName": name, "kmsKeyId": key})).await?;
    desk.look();
    Ok(json!({}))
}

/// The group of an ARN: the one without `:*`, which is that of its streams.
fn tagged<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<&'a LogGroup, Refusal> {
    let arn = body.required("resourceArn")?;
    let name = arn.split_once(":log-group:").map(|(_, name)| name);
    let name = name.filter(|name| !name.ends_with(":*")).ok_or_else(|| invalid("Invalid resource ARN."))?;
    let group = find(desk, name).ok().filter(|group| group.arn == arn);
    group.ok_or_else(|| Refusal::new("ResourceNotFoundException", "The specified resource does not exist."))
}

pub(super) fn list_tags(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    Ok(json!({"tags": tagged(desk, body)?.tags}))
}

pub(super) async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let given = body.tag_map("tags")?;
    let mut together = tagged(desk, body)?.tags.clone();
    together.extend(given.clone());
    check_tags(&given, together.len())?;
    act(desk, "TagResource", Value::Object(body.0.clone())).await?;
    desk.look();
    Ok(json!({}))
}
