//! Secrets Manager: secrets, their versions, and how they are deleted.
//!
//! A client request token is the id of the version that a call makes: the same value under the same id is the same
//! call, another value is refused. Mended: the emulator ignores tokens, takes any name, forgets recovery windows and
//! labels, and drops versions that AWS keeps.
//!
//! No refusal repeats a value, and no value goes anywhere but into a reply of `GetSecretValue`.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_smithy_types::base64;
use serde_json::{Map, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::secrets::{Secret, Value, Version};
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";
/// How long a value may be, in bytes.
const LONGEST: usize = 65_536;
/// What the emulator does not keep of a secret.
const KEY: &str = "kms_key";

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateSecret" => create(desk, body).await,
        "GetSecretValue" => get_value(desk, body),
        "PutSecretValue" => put_value(desk, body).await,
        "UpdateSecret" => update(desk, body).await,
        "UpdateSecretVersionStage" => move_stage(desk, body).await,
        "DescribeSecret" => describe(desk, body),
        "ListSecrets" => list(desk, body),
        "ListSecretVersionIds" => list_versions(desk, body),
        "DeleteSecret" => delete(desk, body).await,
        "RestoreSecret" => restore(desk, body).await,
        "TagResource" => tag(desk, body).await,
        "UntagResource" => untag(desk, body).await,
        // A call that has no rules here; what it names must still be there.
        _ => {
            if body.get("SecretId").is_some() {
                live(desk, body)?;
            }
            return desk.pass_on(input).await;
        }
    };
    reply.map(|reply| Answer::json(&reply))
}

/// The recovery window of a secret is over.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) -> Result<(), Refusal> {
    let name =
        desk.picture().secrets.secrets.iter().find(|(_, secret)| secret.arn == arn).map(|(name, _)| name.clone());
    if let Some(name) = name {
        desk.emulator.drop_secret(&name).await;
        desk.look();
    }
    Ok(())
}

fn parameter(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message.into())
}

fn request(message: &'static str) -> Refusal {
    Refusal::new("InvalidRequestException", message)
}

fn absent(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceNotFoundException", message.into())
}

fn scheduled() -> Refusal {
    request("You can't create this secret because a secret with this name is already scheduled for deletion.")
}

/// The secret that a call names: by name, by ARN, or by an ARN without what AWS adds to the name.
fn named<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(&'a str, &'a Secret), Refusal> {
    let id = body.required("SecretId")?;
    let secrets = &desk.picture().secrets.secrets;
    let short = |arn: &'a str| arn.rsplit_once('-').map_or(arn, |(short, _)| short);
    let found = secrets.iter().find(|(name, secret)| *name == id || secret.arn == id || short(&secret.arn) == id);
    found
        .map(|(name, secret)| (name.as_str(), secret))
        .ok_or_else(|| absent("Secrets Manager can't find the specified secret."))
}

/// The secret that a call names, which must not be scheduled for deletion.
fn live<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(&'a str, &'a Secret), Refusal> {
    let (name, secret) = named(desk, body)?;
    if secret.deleted.is_some() {
        return Err(request("You can't perform this operation on the secret because it was marked for deletion."));
    }
    Ok((name, secret))
}

/// A copy of it, to be changed and put back.
fn to_change(desk: &Desk<'_>, body: &Body) -> Result<(String, Secret), Refusal> {
    live(desk, body).map(|(name, secret)| (name.to_owned(), secret.clone()))
}

async fn put(desk: &mut Desk<'_>, name: &str, secret: &mut Secret) {
    secret.changed = desk.now.date();
    desk.emulator.put_secret(name, secret).await;
    desk.look();
}

/// The value that a call brings, if any.
fn value(body: &Body) -> Result<Option<Value>, Refusal> {
    let value = match (body.text("SecretString")?, body.text("SecretBinary")?) {
        (Some(_), Some(_)) => {
            return Err(parameter("You can't specify both a binary secret value and a string secret value."));
        }
        (Some(text), None) => Value::Text(text.to_owned()),
        (None, Some(bytes)) => Value::Bytes(base64::decode(bytes).map_err(|_| Refusal::unreadable())?),
        (None, None) => return Ok(None),
    };
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
    };
    if !(1..=LONGEST).contains(&length) {
        return Err(parameter(format!("A secret value must have a length between 1 and {LONGEST} bytes.")));
    }
    Ok(Some(value))
}

/// The id of the version that a call makes.
fn version_id(desk: &mut Desk<'_>, body: &Body) -> Result<String, Refusal> {
    match body.text("ClientRequestToken")? {
        Some(token) if (32..=64).contains(&token.len()) => Ok(token.to_owned()),
        Some(_) => Err(parameter("ClientRequestToken must be 32-64 characters long.")),
        None => Ok(format!("5ec2e700-0000-4000-8000-{:012x}", desk.notes_mut().next_made())),
    }
}

fn given_tags(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("Tags", "Key", "Value")?;
    for (key, value) in &tags {
        if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
            return Err(parameter("A tag key must have 1-128 characters, and a tag value at most 256."));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(parameter("Tag keys that start with aws: are reserved for AWS use."));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Refusal> {
    if tags.len() > 50 { Err(parameter("A secret can have at most 50 tags.")) } else { Ok(()) }
}

fn description(body: &Body) -> Result<Option<&str>, Refusal> {
    let text = body.text("Description")?;
    if text.is_some_and(|text| text.chars().count() > 2048) {
        return Err(parameter("The description must have at most 2048 characters."));
    }
    Ok(text)
}

async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let name = body.required("Name")?;
    if name.len() > 512 || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "/_+=.@-".contains(letter)) {
        return Err(Refusal::new(
            "ValidationException",
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ));
    }
    if !body.objects("AddReplicaRegions")?.is_empty() {
        return Err(Refusal::new("NotImplemented", "The sandbox does not replicate secrets").with_status(501));
    }
    let (value, tags) = (value(body)?, given_tags(body)?);
    let description = description(body)?.unwrap_or_default();
    let key = body.text("KmsKeyId")?.map(str::to_owned);
    let given = body.text("ClientRequestToken")?.is_some();
    let id = version_id(desk, body)?;
    if let Some(held) = desk.picture().secrets.secrets.get(name) {
        if held.deleted.is_some() {
            return Err(scheduled());
        }
        let same = held.versions.get(&id).is_some_and(|version| Some(&version.value) == value.as_ref());
        if given && same {
            return Ok(json!({"ARN": held.arn, "Name": name, "VersionId": id}));
        }
        return Err(Refusal::new(
            "ResourceExistsException",
            format!("The operation failed because the secret {name} already exists."),
        ));
    }
    if desk.is_blocked(&blocked(name)) {
        return Err(scheduled());
    }
    let now = desk.now.date();
    let suffix = suffix(desk.notes_mut().next_made());
    let mut secret = Secret {
        arn: desk.place.arn(Service::SecretsManager, &format!("secret:{name}-{suffix}")),
        description: description.to_owned(),
        versions: BTreeMap::new(),
        created: now,
        changed: now,
        deleted: None,
        policy: None,
        tags,
    };
    let mut reply = json!({"ARN": secret.arn, "Name": name});
    if let Some(value) = value {
        add_version(&mut secret, &id, value, &[CURRENT], now)?;
        reply["VersionId"] = json!(id);
    }
    put(desk, name, &mut secret).await;
    note_key(desk, &secret.arn, key);
    Ok(reply)
}

/// The six characters that AWS adds to the name of every secret.
fn suffix(mut number: u32) -> String {
    const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut letters = [b'A'; 6];
    for letter in letters.iter_mut().rev() {
        *letter = LETTERS[(number % 36) as usize];
        number /= 36;
    }
    letters.iter().map(|letter| char::from(*letter)).collect()
}

/// How the notes call a name that cannot be used yet.
fn blocked(name: &str) -> String {
    format!("secret/{name}")
}

fn note_key(desk: &mut Desk<'_>, arn: &str, key: Option<String>) {
    if let Some(key) = key {
        desk.notes_mut().facts.entry(arn.to_owned()).or_default().insert(KEY, json!(key));
    }
}

/// Adds a version and moves its labels to it. The first version is the current one, whatever its labels.
///
/// Gives back whether there is a new version: the same value under the same id changes nothing.
fn add_version(
    secret: &mut Secret,
    id: &str,
    value: Value,
    stages: &[&str],
    now: jiff::Timestamp,
) -> Result<bool, Refusal> {
    if let Some(held) = secret.versions.get(id) {
        return if held.value == value {
            Ok(false)
        } else {
            Err(Refusal::new(
                "ResourceExistsException",
                format!(
                    "You can't use ClientRequestToken {id} because that value is already in use for a version of \
                         secret {}.",
                    secret.arn
                ),
            ))
        };
    }
    let mut stages: Vec<String> = stages.iter().map(|stage| (*stage).to_owned()).collect();
    if secret.staged(CURRENT).is_none() && !stages.iter().any(|stage| stage == CURRENT) {
        stages.push(CURRENT.to_owned());
    }
    for stage in &stages {
        take_stage(secret, stage);
    }
    stages.sort();
    stages.dedup();
    secret.versions.insert(id.to_owned(), Version { value, stages, created: now });
    Ok(true)
}

/// Takes a label off the version that has it. The version that was current becomes the previous one.
fn take_stage(secret: &mut Secret, stage: &str) {
    let Some(from) = secret.staged(stage).map(str::to_owned) else { return };
    if stage == CURRENT {
        secret.versions.values_mut().for_each(|version| version.stages.retain(|held| held != PREVIOUS));
    }
    if let Some(version) = secret.versions.get_mut(&from) {
        version.stages.retain(|held| held != stage);
        if stage == CURRENT {
            version.stages.push(PREVIOUS.to_owned());
        }
    }
}

fn get_value(desk: &Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, secret) = live(desk, body)?;
    let stage = body.text("VersionStage")?;
    let id = match body.text("VersionId")? {
        Some(id) => {
            let version = secret.versions.get(id).ok_or_else(|| {
                absent(format!("Secrets Manager can't find the specified secret value for VersionId: {id}"))
            })?;
            if stage.is_some_and(|stage| !version.stages.iter().any(|held| held == stage)) {
                return Err(request("You provided a VersionStage that is not associated to the provided VersionId."));
            }
            id
        }
        None => {
            let stage = stage.unwrap_or(CURRENT);
            secret.staged(stage).ok_or_else(|| {
                absent(format!("Secrets Manager can't find the specified secret value for staging label: {stage}"))
            })?
        }
    };
    let version = &secret.versions[id];
    let mut reply = json!({
        "ARN": secret.arn,
        "Name": name,
        "VersionId": id,
        "VersionStages": version.stages,
        "CreatedDate": version.created.as_second(),
    });
    match &version.value {
        Value::Text(text) => reply["SecretString"] = json!(text),
        Value::Bytes(bytes) => reply["SecretBinary"] = json!(base64::encode(bytes)),
    }
    Ok(reply)
}

async fn put_value(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, mut secret) = to_change(desk, body)?;
    let value = value(body)?.ok_or_else(|| request("You must provide either SecretString or SecretBinary."))?;
    let id = version_id(desk, body)?;
    let mut stages = body.texts("VersionStages")?;
    if stages.is_empty() {
        stages.push(CURRENT);
    }
    if add_version(&mut secret, &id, value, &stages, desk.now.date())? {
        put(desk, &name, &mut secret).await;
    }
    let stages = &secret.versions[&id].stages;
    Ok(json!({"ARN": secret.arn, "Name": name, "VersionId": id, "VersionStages": stages}))
}

/// A description, a key, or a new version that becomes the current one.
async fn update(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, mut secret) = to_change(desk, body)?;
    if let Some(description) = description(body)? {
        description.clone_into(&mut secret.description);
    }
    let key = body.text("KmsKeyId")?.map(str::to_owned);
    let mut reply = json!({"ARN": secret.arn, "Name": name});
    if let Some(value) = value(body)? {
        let id = version_id(desk, body)?;
        add_version(&mut secret, &id, value, &[CURRENT], desk.now.date())?;
        reply["VersionId"] = json!(id);
    }
    put(desk, &name, &mut secret).await;
    note_key(desk, &secret.arn, key);
    Ok(reply)
}

async fn move_stage(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, mut secret) = to_change(desk, body)?;
    let stage = body.required("VersionStage")?;
    let (from, to) = (body.text("RemoveFromVersionId")?, body.text("MoveToVersionId")?);
    if let Some(unknown) = [from, to].into_iter().flatten().find(|id| !secret.versions.contains_key(*id)) {
        return Err(parameter(format!("Not a valid version: {unknown}")));
    }
    let held = secret.staged(stage);
    match (held, from) {
        (Some(held), None) if to != Some(held) => {
            return Err(parameter(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to \
                 version {held}, so you must explicitly reference that version in RemoveFromVersionId."
            )));
        }
        (held, Some(from)) if held != Some(from) => {
            return Err(parameter(format!("Staging label {stage} is not currently attached to version {from}.")));
        }
        _ => {}
    }
    if stage == CURRENT && to.is_none() {
        return Err(parameter(
            "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
        ));
    }
    if held.is_none() || held != to {
        take_stage(&mut secret, stage);
        if let Some(version) = to.and_then(|to| secret.versions.get_mut(to)) {
            version.stages.push(stage.to_owned());
            version.stages.sort();
        }
    }
    put(desk, &name, &mut secret).await;
    Ok(json!({"ARN": secret.arn, "Name": name}))
}

fn write_tags(tags: &Tags) -> serde_json::Value {
    tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

/// What describing and listing say of a secret. `stages` is the member with the labels of its versions.
fn entry(desk: &Desk<'_>, name: &str, secret: &Secret, stages: &str) -> serde_json::Value {
    let labelled = secret.versions.iter().filter(|(_, version)| !version.stages.is_empty());
    let labelled: Map<String, serde_json::Value> =
        labelled.map(|(id, version)| (id.clone(), json!(version.stages))).collect();
    let mut entry = json!({
        "ARN": secret.arn,
        "Name": name,
        "CreatedDate": secret.created.as_second(),
        "LastChangedDate": secret.changed.as_second(),
        "Tags": write_tags(&secret.tags),
    });
    if !secret.description.is_empty() {
        entry["Description"] = json!(secret.description);
    }
    if let Some(key) = desk.notes().fact(&secret.arn, KEY) {
        entry["KmsKeyId"] = key.clone();
    }
    if let Some(deleted) = secret.deleted {
        entry["DeletedDate"] = json!(deleted.as_second());
    }
    if !labelled.is_empty() {
        entry[stages] = labelled.into();
    }
    entry
}

/// Also of a secret that is scheduled for deletion.
fn describe(desk: &Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, secret) = named(desk, body)?;
    Ok(entry(desk, name, secret, "VersionIdsToStages"))
}

fn list(desk: &Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let filters = filters(body)?;
    let all = body.flag("IncludePlannedDeletion")?.unwrap_or(false);
    let found = desk.picture().secrets.secrets.iter().filter(|(name, secret)| {
        (all || secret.deleted.is_none()) && filters.iter().all(|(key, values)| passes(key, values, name, secret))
    });
    let entries = found.map(|(name, secret)| entry(desk, name, secret, "SecretVersionsToStages")).collect();
    page(body, "SecretList", entries)
}

fn filters(body: &Body) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    const KEYS: [&str; 7] = ["all", "description", "name", "owning-service", "primary-region", "tag-key", "tag-value"];
    let filters = body.objects("Filters")?.into_iter().map(|filter| {
        let key = filter.get("Key").and_then(serde_json::Value::as_str).unwrap_or_default();
        if !KEYS.contains(&key) {
            return Err(Refusal::new("ValidationException", format!("The filter key {key} is not known.")));
        }
        let values = filter.get("Values").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let values = values.iter().filter_map(serde_json::Value::as_str).map(str::to_owned).collect();
        Ok((key.to_owned(), values))
    });
    filters.collect()
}

/// Values are beginnings; one with an exclamation mark says what is not wanted.
fn passes(key: &str, values: &[String], name: &str, secret: &Secret) -> bool {
    let starts = |text: &str, value: &str| {
        if key == "description" || key == "all" {
            text.to_lowercase().starts_with(&value.to_lowercase())
        } else {
            text.starts_with(value)
        }
    };
    let has = |value: &str| match key {
        "name" => starts(name, value),
        "description" => starts(&secret.description, value),
        "tag-key" => secret.tags.keys().any(|key| starts(key, value)),
        "tag-value" => secret.tags.values().any(|held| starts(held, value)),
        "all" => {
            let tags = secret.tags.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
            tags.chain([name, secret.description.as_str()]).any(|text| starts(text, value))
        }
        _ => false,
    };
    values.iter().any(|value| value.strip_prefix('!').map_or_else(|| has(value), |value| !has(value)))
}

/// One page of a list call.
fn page(body: &Body, member: &str, all: Vec<serde_json::Value>) -> Result<serde_json::Value, Refusal> {
    let size = body.number("MaxResults")?.unwrap_or(100);
    let size = usize::try_from(size).ok().filter(|size| (1..=100).contains(size));
    let size = size.ok_or_else(|| Refusal::new("ValidationException", "MaxResults must be between 1 and 100."))?;
    let start = match body.text("NextToken")?.filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .ok_or_else(|| Refusal::new("InvalidNextTokenException", "You provided an invalid NextToken value."))?,
    };
    let more = all.len() > start + size;
    let page: Vec<serde_json::Value> = all.into_iter().skip(start).take(size).collect();
    let mut reply = json!({member: page});
    if more {
        reply["NextToken"] = json!(format!("page-{}", start + size));
    }
    Ok(reply)
}

fn list_versions(desk: &Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, secret) = named(desk, body)?;
    let all = body.flag("IncludeDeprecated")?.unwrap_or(false);
    let versions = secret.versions.iter().filter(|(_, version)| all || !version.stages.is_empty());
    let versions = versions.map(|(id, version)| {
        json!({"VersionId": id, "VersionStages": version.stages, "CreatedDate": version.created.as_second()})
    });
    let mut reply = page(body, "Versions", versions.collect())?;
    (reply["ARN"], reply["Name"]) = (json!(secret.arn), json!(name));
    Ok(reply)
}

async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let window = body.number("RecoveryWindowInDays")?;
    let force = body.flag("ForceDeleteWithoutRecovery")?.unwrap_or(false);
    if force && window.is_some() {
        return Err(parameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."));
    }
    let days = u32::try_from(window.unwrap_or(30)).ok().filter(|days| (7..=30).contains(days));
    let days =
        days.ok_or_else(|| parameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."))?;
    let now = desk.now.date();
    let (name, mut secret) = match named(desk, body) {
        Ok((name, secret)) => (name.to_owned(), secret.clone()),
        Err(refusal) if !force => return Err(refusal),
        // Forcing it is done when there is nothing.
        Err(_) => {
            let id = body.required("SecretId")?;
            let arn = if id.starts_with("arn:") {
                id.to_owned()
            } else {
                desk.place.arn(Service::SecretsManager, &format!("secret:{id}"))
            };
            return Ok(json!({"ARN": arn, "Name": id, "DeletionDate": now.as_second()}));
        }
    };
    if force {
        desk.emulator.drop_secret(&name).await;
        desk.look();
        // The deletion is not over at once.
        desk.block(&blocked(&name), desk.settings.settle);
        return Ok(json!({"ARN": secret.arn, "Name": name, "DeletionDate": now.as_second()}));
    }
    if secret.deleted.is_some() {
        return Err(request(
            "You can't perform this operation on the secret because it was already scheduled for deletion.",
        ));
    }
    let wait = Duration::from_secs(u64::from(days) * 86_400);
    let date = desk.now.plus(wait).date();
    secret.deleted = Some(date);
    put(desk, &name, &mut secret).await;
    desk.end(&secret.arn, wait);
    Ok(json!({"ARN": secret.arn, "Name": name, "DeletionDate": date.as_second()}))
}

/// Of a secret that is not scheduled for deletion, it changes nothing.
async fn restore(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, secret) = named(desk, body)?;
    let (name, mut secret) = (name.to_owned(), secret.clone());
    if secret.deleted.take().is_some() {
        put(desk, &name, &mut secret).await;
        desk.notes_mut().gone.remove(&secret.arn);
    }
    Ok(json!({"ARN": secret.arn, "Name": name}))
}

async fn tag(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, mut secret) = to_change(desk, body)?;
    secret.tags.extend(given_tags(body)?);
    check_count(&secret.tags)?;
    put(desk, &name, &mut secret).await;
    Ok(json!({}))
}

async fn untag(desk: &mut Desk<'_>, body: &Body) -> Result<serde_json::Value, Refusal> {
    let (name, mut secret) = to_change(desk, body)?;
    for key in body.texts("TagKeys")? {
        secret.tags.remove(key);
    }
    put(desk, &name, &mut secret).await;
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_have_six_characters_and_differ() {
        assert_eq!((suffix(0).as_str(), suffix(37).as_str()), ("AAAAAA", "AAAABB"));
        assert_eq!(suffix(u32::MAX).len(), 6);
    }
}
