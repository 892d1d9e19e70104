//! Aliases: names of keys.
//!
//! Mended: the emulator takes any name, and points an alias at a key that waits for its deletion.

use serde_json::{Map, Value, json};

use super::super::Desk;
use super::{check_not_pending, constraint, find, not_found, page, validation};
use crate::input::Body;
use crate::notes::Answer;
use crate::picture::kms::Alias;
use crate::refusal::Refusal;
use crate::service::Service;

/// Checks a name that is to be written.
fn name(body: &Body) -> Result<&str, Refusal> {
    let name = body.required("AliasName")?;
    let is_allowed = |letter: u8| letter.is_ascii_alphanumeric() || b":/_-".contains(&letter);
    if name.len() > 256 || !name.bytes().all(is_allowed) {
        let pattern = "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$";
        return Err(constraint(name, "aliasName", pattern));
    }
    match name.strip_prefix("alias/") {
        None | Some("") => Err(validation("Invalid identifier")),
        // AWS keeps these for its own keys.
        Some(rest) if rest.starts_with("aws/") => Err(Refusal::new("NotAuthorizedException", "")),
        Some(rest) if rest.contains(':') => Err(validation(format!("{name} contains invalid characters for an alias"))),
        Some(_) => Ok(name),
    }
}

fn existing<'a>(desk: &'a Desk<'_>, name: &str) -> Result<&'a Alias, Refusal> {
    let arn = || desk.place.arn(Service::Kms, name);
    desk.picture().kms.aliases.get(name).ok_or_else(|| not_found(format!("Alias {} is not found.", arn())))
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let name = name(body)?;
    let (id, key) = find(desk, body.required("TargetKeyId")?, false)?;
    if let Some(held) = desk.picture().kms.aliases.get(name) {
        let message = format!("An alias with the name {} already exists", held.arn);
        return Err(Refusal::new("AlreadyExistsException", message));
    }
    check_not_pending(key)?;
    let call = json!({"AliasName": name, "TargetKeyId": id});
    let answer = act(desk, "CreateAlias", &call).await?;
    if let Some(maker) = desk.caller.map(|caller| caller.access_key.clone()) {
        let arn = desk.place.arn(Service::Kms, name);
        desk.notes_mut().makers.insert(arn, maker);
    }
    Ok(answer)
}

pub(super) async fn update(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let name = name(body)?;
    let held = existing(desk, name)?;
    let (id, key) = find(desk, body.required("TargetKeyId")?, false)?;
    check_not_pending(key)?;
    let before = desk.picture().kms.keys.get(&held.target);
    if before.is_some_and(|before| (&before.spec, &before.usage) != (&key.spec, &key.usage)) {
        return Err(validation("The new key of an alias must be of the same type and usage as the current one"));
    }
    let call = json!({"AliasName": name, "TargetKeyId": id});
    act(desk, "UpdateAlias", &call).await
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let name = name(body)?;
    existing(desk, name)?;
    act(desk, "DeleteAlias", &json!({"AliasName": name})).await
}

/// These calls answer nothing.
async fn act(desk: &mut Desk<'_>, action: &str, call: &Value) -> Result<Answer, Refusal> {
    desk.emulator.act_json(Service::Kms, action, call).await?;
    desk.look();
    Ok(Answer::json(&Value::Object(Map::new())))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let target = match body.text("KeyId")? {
        Some(key) => Some(find(desk, key, false)?.0),
        None => None,
    };
    let found = desk.picture().kms.aliases.iter().filter(|(_, it)| target.is_none_or(|target| target == it.target));
    let aliases =
        found.map(|(name, it)| json!({"AliasName": name, "AliasArn": it.arn, "TargetKeyId": it.target})).collect();
    page(body, "Aliases", 100, 50, aliases)
}
