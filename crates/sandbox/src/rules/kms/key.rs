//! Keys.
//!
//! Mended: the emulator forgets the policy of a create call, lists everything on one page, and schedules a deletion
//! twice.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::Desk;
use super::{PENDING, check_not_pending, constraint, existing, page, policy, validation};
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::kms::Key;
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

/// What each kind of key can be used for; the first is what it is for when nobody says.
const SPECS: &[(&str, &[&str])] = &[
    ("SYMMETRIC_DEFAULT", &["ENCRYPT_DECRYPT"]),
    ("RSA_2048", &["", "ENCRYPT_DECRYPT", "SIGN_VERIFY"]),
    ("RSA_3072", &["", "ENCRYPT_DECRYPT", "SIGN_VERIFY"]),
    ("RSA_4096", &["", "ENCRYPT_DECRYPT", "SIGN_VERIFY"]),
    ("ECC_NIST_P256", &["", "SIGN_VERIFY", "KEY_AGREEMENT"]),
    ("ECC_NIST_P384", &["", "SIGN_VERIFY", "KEY_AGREEMENT"]),
    ("ECC_NIST_P521", &["", "SIGN_VERIFY", "KEY_AGREEMENT"]),
    ("ECC_SECG_P256K1", &["", "SIGN_VERIFY"]),
    ("HMAC_224", &["", "GENERATE_VERIFY_MAC"]),
    ("HMAC_256", &["", "GENERATE_VERIFY_MAC"]),
    ("HMAC_384", &["", "GENERATE_VERIFY_MAC"]),
    ("HMAC_512", &["", "GENERATE_VERIFY_MAC"]),
];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Days between two rotations when nobody says otherwise.
const YEAR: i64 = 365;

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let spec = body.text("KeySpec")?.or(body.text("CustomerMasterKeySpec")?).unwrap_or("SYMMETRIC_DEFAULT");
    let Some((_, usages)) = SPECS.iter().find(|(known, _)| *known == spec) else {
        let known: Vec<&str> = SPECS.iter().map(|(known, _)| *known).collect();
        let allowed = format!("Member must satisfy enum value set: [{}]", known.join(", "));
        return Err(constraint(spec, "keySpec", &allowed));
    };
    let usage = body.text("KeyUsage")?.unwrap_or(usages[0]);
    if usage.is_empty() {
        return Err(validation(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ));
    }
    if !usages.contains(&usage) {
        return Err(validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
    }
    if body.text("Description")?.is_some_and(|text| text.chars().count() > 8192) {
        return Err(constraint("...", "description", "Member must have length less than or equal to 8192"));
    }
    let tags = tags(body)?;
    check_tags(&tags)?;
    let document = body.text("Policy")?.map(str::to_owned);
    if let Some(document) = &document {
        let bypass = body.flag("BypassPolicyLockoutSafetyCheck")? == Some(true);
        policy::check(document, &desk.place.account, bypass, |role| desk.role(role).is_some())?;
    }
    let mut call = body.0.clone();
    call.remove("Policy");
    call.insert("KeySpec".to_owned(), json!(spec));
    call.insert("KeyUsage".to_owned(), json!(usage));
    let made = desk.emulator.act_json(Service::Kms, "CreateKey", &Value::Object(call)).await?;
    let Some(id) = made["KeyMetadata"]["KeyId"].as_str() else {
        return Err(Refusal::internal("the emulator made a key without an id"));
    };
    if let Some(document) = document {
        put(desk, id, &document).await?;
    }
    desk.look();
    let key = desk.picture().kms.keys.get(id);
    Ok(Answer::json(&json!({"KeyMetadata": key.map(|key| metadata(desk, id, key))})))
}

/// The tags that a call gives: each key once.
fn tags(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("Tags", "TagKey", "TagValue")?;
    if tags.len() < body.objects("Tags")?.len() {
        return Err(Refusal::new("TagException", "Duplicate tag keys"));
    }
    Ok(tags)
}

/// What AWS asks of all the tags that a key is to have.
fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    for (key, value) in tags {
        let is_reserved = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
        if is_reserved {
            return Err(Refusal::new("TagException", "Tags beginning with aws: are reserved"));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refusal::new("TagException", "A tag key or value has an invalid length"));
        }
    }
    if tags.len() > 50 {
        return Err(Refusal::new("TagException", "Too many tags"));
    }
    Ok(())
}

fn metadata(desk: &Desk<'_>, id: &str, key: &Key) -> Value {
    let mut all = json!({
        "AWSAccountId": desk.place.account,
        "KeyId": id,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": key.origin,
        "KeyManager": if key.is_managed { "AWS" } else { "CUSTOMER" },
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": key.multi_region,
    });
    let algorithms = match (key.usage.as_str(), key.spec.as_str()) {
        ("ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT") => {
            Some(("EncryptionAlgorithms", vec!["SYMMETRIC_DEFAULT".to_owned()]))
        }
        ("ENCRYPT_DECRYPT", _) => {
            Some(("EncryptionAlgorithms", vec!["RSAES_OAEP_SHA_1".to_owned(), "RSAES_OAEP_SHA_256".to_owned()]))
        }
        ("GENERATE_VERIFY_MAC", spec) => Some(("MacAlgorithms", vec![spec.replace("HMAC_", "HMAC_SHA_")])),
        ("SIGN_VERIFY", spec) => Some(("SigningAlgorithms", signing(spec))),
        _ => None,
    };
    if let Some((name, algorithms)) = algorithms {
        all[name] = json!(algorithms);
    }
    if key.state == PENDING {
        all["DeletionDate"] = json!(key.deletion);
    }
    if key.multi_region {
        all["MultiRegionConfiguration"] = json!({
            "MultiRegionKeyType": "PRIMARY",
            "PrimaryKey": {"Arn": key.arn, "Region": desk.place.region},
            "ReplicaKeys": [],
        });
    }
    all
}

fn signing(spec: &str) -> Vec<String> {
    match spec {
        "ECC_NIST_P384" => vec!["ECDSA_SHA_384".to_owned()],
        "ECC_NIST_P521" => vec!["ECDSA_SHA_512".to_owned()],
        _ if spec.starts_with("ECC") => vec!["ECDSA_SHA_256".to_owned()],
        _ => ["PKCS1_V1_5", "PSS"]
            .iter()
            .flat_map(|padding| [256, 384, 512].map(|bits| format!("RSASSA_{padding}_SHA_{bits}")))
            .collect(),
    }
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (id, key) = existing(desk, body, true)?;
    Ok(Answer::json(&json!({"KeyMetadata": metadata(desk, id, key)})))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let keys = desk.picture().kms.keys.iter();
    let keys = keys.map(|(id, key)| json!({"KeyId": id, "KeyArn": key.arn})).collect();
    page(body, "Keys", 1000, 100, keys)
}

/// A change that the emulator makes as AWS does, to a key that is not about to be deleted.
pub(super) async fn manage(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let (_, key) = existing(desk, input.body()?, false)?;
    check_not_pending(key)?;
    desk.pass_on(input).await
}

pub(super) async fn tag(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let (_, key) = existing(desk, body, false)?;
    check_not_pending(key)?;
    let mut all = key.tags.clone();
    all.extend(tags(body)?);
    check_tags(&all)?;
    desk.pass_on(input).await
}

pub(super) fn list_tags(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (_, key) = existing(desk, body, false)?;
    let tags = key.tags.iter().map(|(key, value)| json!({"TagKey": key, "TagValue": value})).collect();
    page(body, "Tags", 50, 50, tags)
}

/// Only symmetric keys rotate.
fn check_rotates(key: &Key) -> Result<(), Refusal> {
    if key.spec != "SYMMETRIC_DEFAULT" {
        let message = format!("{} key spec is {} which is not valid for this operation.", key.arn, key.spec);
        return Err(Refusal::new("UnsupportedOperationException", message));
    }
    check_not_pending(key)
}

pub(super) async fn rotate(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let (_, key) = existing(desk, body, false)?;
    check_rotates(key)?;
    if key.state == "Disabled" {
        return Err(Refusal::new("DisabledException", format!("{} is disabled.", key.arn)));
    }
    let days = body.number("RotationPeriodInDays")?.unwrap_or(YEAR);
    if !(90..=2560).contains(&days) {
        return Err(constraint(days, "rotationPeriodInDays", "Member must have value between 90 and 2560"));
    }
    let arn = key.arn.clone();
    let answer = desk.pass_on(input).await?;
    let facts = desk.notes_mut().facts.entry(arn).or_default();
    if input.action == "EnableKeyRotation" {
        facts.insert("rotation_days", json!(days));
    } else {
        facts.remove("rotation_days");
    }
    Ok(answer)
}

pub(super) fn rotation(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (_, key) = existing(desk, body, false)?;
    if key.spec != "SYMMETRIC_DEFAULT" {
        check_rotates(key)?;
    }
    let rotates = key.rotates && key.state != PENDING;
    let mut reply = json!({"KeyId": key.arn, "KeyRotationEnabled": rotates});
    if rotates {
        reply["RotationPeriodInDays"] = desk.notes().fact(&key.arn, "rotation_days").cloned().unwrap_or(json!(YEAR));
    }
    Ok(Answer::json(&reply))
}

async fn put(desk: &Desk<'_>, id: &str, document: &str) -> Result<(), Refusal> {
    let call = json!({"KeyId": id, "PolicyName": policy::NAME, "Policy": document});
    desk.emulator.act_json(Service::Kms, "PutKeyPolicy", &call).await.map(drop)
}

fn check_policy_name(body: &Body) -> Result<(), Refusal> {
    if body.text("PolicyName")?.is_some_and(|name| name != policy::NAME) {
        return Err(super::not_found("No such policy exists".to_owned()));
    }
    Ok(())
}

pub(super) async fn put_policy(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (id, key) = existing(desk, body, false)?;
    check_not_pending(key)?;
    check_policy_name(body)?;
    let document = body.required("Policy")?;
    let bypass = body.flag("BypassPolicyLockoutSafetyCheck")? == Some(true);
    policy::check(document, &desk.place.account, bypass, |role| desk.role(role).is_some())?;
    let id = id.to_owned();
    put(desk, &id, document).await?;
    desk.look();
    Ok(Answer::json(&Value::Object(Map::new())))
}

pub(super) fn get_policy(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (_, key) = existing(desk, body, false)?;
    check_policy_name(body)?;
    let document = key.policy.clone().unwrap_or_else(|| policy::by_default(&desk.place.account));
    Ok(Answer::json(&json!({"Policy": document, "PolicyName": policy::NAME})))
}

pub(super) async fn schedule_deletion(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (id, key) = existing(desk, body, false)?;
    let days = body.number("PendingWindowInDays")?.unwrap_or(30);
    let Some(wait) = u32::try_from(days).ok().filter(|days| (7..=30).contains(days)) else {
        return Err(constraint(days, "pendingWindowInDays", "Member must have value between 7 and 30"));
    };
    check_not_pending(key)?;
    let (id, arn) = (id.to_owned(), key.arn.clone());
    let call = json!({"KeyId": id, "PendingWindowInDays": days});
    desk.emulator.act_json(Service::Kms, "ScheduleKeyDeletion", &call).await?;
    desk.look();
    desk.end(&arn, DAY * wait);
    let date = desk.picture().kms.keys.get(&id).and_then(|key| key.deletion);
    let reply = json!({"KeyId": arn, "DeletionDate": date, "KeyState": PENDING, "PendingWindowInDays": days});
    Ok(Answer::json(&reply))
}

pub(super) async fn cancel_deletion(desk: &mut Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let (id, key) = existing(desk, body, false)?;
    let (id, arn) = (id.to_owned(), key.arn.clone());
    if key.state != PENDING {
        return Err(Refusal::new("KMSInvalidStateException", format!("{arn} is not pending deletion.")));
    }
    desk.emulator.act_json(Service::Kms, "CancelKeyDeletion", &json!({"KeyId": id})).await?;
    desk.look();
    desk.notes_mut().gone.remove(&arn);
    Ok(Answer::json(&json!({"KeyId": arn})))
}
