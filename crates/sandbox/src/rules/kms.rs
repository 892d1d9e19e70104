//! KMS: keys and their aliases.
//!
//! Reads are answered from the picture, which has pages; what encrypts and signs is left to the emulator, which knows
//! the states of keys. A key that waits for its deletion is deleted when the days are over on the sandbox's clock, and
//! its aliases with it.

mod alias;
mod key;
mod policy;

use serde_json::{Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::kms::Key;
use crate::refusal::Refusal;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    match input.action.as_str() {
        "CreateKey" => key::create(desk, body).await,
        "DescribeKey" => key::describe(desk, body),
        "ListKeys" => key::list(desk, body),
        "EnableKey" | "DisableKey" | "UpdateKeyDescription" => key::manage(desk, input).await,
        "TagResource" => key::tag(desk, input).await,
        "UntagResource" => key::manage(desk, input).await,
        "ListResourceTags" => key::list_tags(desk, body),
        "EnableKeyRotation" | "DisableKeyRotation" => key::rotate(desk, input).await,
        "GetKeyRotationStatus" => key::rotation(desk, body),
        "PutKeyPolicy" => key::put_policy(desk, body).await,
        "GetKeyPolicy" => key::get_policy(desk, body),
        "ScheduleKeyDeletion" => key::schedule_deletion(desk, body).await,
        "CancelKeyDeletion" => key::cancel_deletion(desk, body).await,
        "CreateAlias" => alias::create(desk, body).await,
        "UpdateAlias" => alias::update(desk, body).await,
        "DeleteAlias" => alias::delete(desk, body).await,
        "ListAliases" => alias::list(desk, body),
        // What has no rules here yet.
        _ => desk.pass_on(input).await,
    }
}

/// A key's days are over.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) -> Result<(), Refusal> {
    let (_, id) = arn.rsplit_once('/').unwrap_or_default();
    desk.emulator.drop_kms_key(id).await;
    desk.look();
    Ok(())
}

/// The key of this id, ARN, alias or ARN of an alias, with its id.
pub(super) fn key_named<'a>(desk: &'a Desk<'_>, name: &str) -> Option<(&'a str, &'a Key)> {
    let kms = &desk.picture().kms;
    let alias = kms.aliases.iter().find(|(alias, it)| *alias == name || it.arn == name);
    let id = alias.map_or(name, |(_, it)| &it.target);
    kms.keys.iter().find(|(held, key)| *held == id || key.arn == id).map(|(id, key)| (id.as_str(), key))
}

/// The key that a call names in `KeyId`; most calls take no alias there.
fn existing<'a>(desk: &'a Desk<'_>, body: &Body, takes_alias: bool) -> Result<(&'a str, &'a Key), Refusal> {
    find(desk, body.required("KeyId")?, takes_alias)
}

fn find<'a>(desk: &'a Desk<'_>, name: &str, takes_alias: bool) -> Result<(&'a str, &'a Key), Refusal> {
    let is_alias = name.starts_with("alias/") || name.contains(":alias/");
    if is_alias && !takes_alias {
        return Err(not_found(format!("Invalid keyId {name}")));
    }
    key_named(desk, name).ok_or_else(|| {
        let arn = |rest: &str| desk.place.arn(crate::service::Service::Kms, rest);
        not_found(match (name.starts_with("arn:"), is_alias) {
            (true, _) => format!("Key '{name}' does not exist"),
            (false, true) => format!("Alias {} is not found.", arn(name)),
            (false, false) => format!("Key '{}' does not exist", arn(&format!("key/{name}"))),
        })
    })
}

fn not_found(message: String) -> Refusal {
    Refusal::new("NotFoundException", message)
}

fn validation(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new("ValidationException", message)
}

/// A value outside of what the API's model allows.
fn constraint(value: impl std::fmt::Display, member: &str, constraint: &str) -> Refusal {
    validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

/// Nothing is done to a key that waits for its deletion, but to cancel it.
fn check_not_pending(key: &Key) -> Result<(), Refusal> {
    if key.state == PENDING {
        return Err(Refusal::new("KMSInvalidStateException", format!("{} is pending deletion.", key.arn)));
    }
    Ok(())
}

/// The state of a key that waits for its deletion.
const PENDING: &str = "PendingDeletion";

/// One page of a list, with the marker of the next.
fn page(body: &Body, name: &str, most: usize, by_default: usize, mut all: Vec<Value>) -> Result<Answer, Refusal> {
    let size = match body.number("Limit")? {
        None => by_default,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| constraint(limit, "limit", &format!("Member must have value between 1 and {most}")))?,
    };
    let start = match body.text("Marker")? {
        None => 0,
        Some(marker) => marker
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .filter(|start| *start <= all.len())
            .ok_or_else(|| Refusal::new("InvalidMarkerException", "Could not deserialize marker"))?,
    };
    let mut rest = all.split_off(start);
    let more = rest.len() > size;
    rest.truncate(size);
    let mut reply = json!({name: rest, "Truncated": more});
    if more {
        reply["NextMarker"] = json!(format!("page-{}", start + size));
    }
    Ok(Answer::json(&reply))
}
