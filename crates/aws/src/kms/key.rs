//! `aws.kms.key`: a key that data is encrypted with.
//!
//! It has neither a name nor a client token: only its tags say whose it is, and KMS cannot be asked for
//! them but key by key. So `capture` keeps which keys there were. What was there before is not what this
//! step made, and an in-doubt create is looked for among the few keys that came since.
//!
//! No key is deleted at once: `rollback` lets it wait for its deletion, in which it serves nobody and
//! can be brought back. What was encrypted with it is lost when the wait is over.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::types::{KeySpec, KeyUsageType, Tag};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::client;
use super::resource::{self, Key as Described};
use crate::calls::{Calls, nameless};
use crate::document::{Document, Purpose, decoded, normal};
use crate::errors::{Call, found, op_error};
use crate::ids::{KmsKeyArn, KmsKeyId};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// How many days a key waits for its deletion where the step does not say it: the longest.
const LONGEST_WAIT: i32 = 30;
/// The longest key policy.
const LONGEST: usize = 32_768;
/// The most keys that a before-image names, so that it stays small. Where there are more, every key is
/// asked for its tags.
const MOST_KEYS: usize = 2000;
/// The name of the one policy that a key has.
const POLICY: &str = "default";

/// A KMS key, which data is encrypted with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What it is for, up to 8192 characters (`CreateKey` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The kind of key, `RSA_2048` (`CreateKey` KeySpec). AWS's default: `SYMMETRIC_DEFAULT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_spec: Option<String>,
    /// What it does, `SIGN_VERIFY`; must be given for all but symmetric keys (`CreateKey` KeyUsage). AWS's
    /// default: `ENCRYPT_DECRYPT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_usage: Option<String>,
    /// Who may do what with it: a policy document, as an object or as its JSON text (`CreateKey` Policy).
    /// AWS's default lets the account's IAM policies decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Document>,
    /// Whether it may have replicas in other regions, cannot be changed later (`CreateKey` MultiRegion).
    /// AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_region: Option<bool>,
    /// Whether its material is renewed by itself; symmetric keys only (`EnableKeyRotation`). AWS's
    /// default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_key_rotation: Option<bool>,
    /// How often, in days, 90 to 2560 (`EnableKeyRotation` RotationPeriodInDays). AWS's default: 365.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_period_in_days: Option<i32>,
    /// How many days it waits for its deletion once this step is undone, 7 to 30
    /// (`ScheduleKeyDeletion` PendingWindowInDays). The default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_window_in_days: Option<i32>,
    /// Tags, beside those that say whose it is (`CreateKey` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The keys of the account in the region; none where they were too many to keep.
    pub keys: Option<BTreeSet<KmsKeyId>>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub key_id: KmsKeyId,
    /// Its ARN.
    pub key_arn: KmsKeyArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Key;

impl Params {
    fn window(&self) -> i32 {
        self.pending_window_in_days.unwrap_or(LONGEST_WAIT)
    }

    fn spec(&self) -> &str {
        self.key_spec.as_deref().unwrap_or("SYMMETRIC_DEFAULT")
    }

    /// What keys of that kind can do.
    fn usages(&self) -> &'static [&'static str] {
        match self.spec() {
            "SYMMETRIC_DEFAULT" => &["ENCRYPT_DECRYPT"],
            "ECC_SECG_P256K1" | "ECC_NIST_EDWARDS25519" => &["SIGN_VERIFY"],
            "SM2" => &["ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"],
            spec if spec.starts_with("HMAC_") => &["GENERATE_VERIFY_MAC"],
            spec if spec.starts_with("RSA_") => &["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
            spec if spec.starts_with("ECC_") => &["SIGN_VERIFY", "KEY_AGREEMENT"],
            spec if spec.starts_with("ML_DSA_") => &["SIGN_VERIFY"],
            spec if spec.starts_with("ML_KEM_") => &["ENCAPSULATE_DECAPSULATE"],
            _ => &[],
        }
    }
}

fn output(key: &aws_sdk_kms::types::KeyMetadata) -> Output {
    Output { key_id: KmsKeyId::new(key.key_id()), key_arn: KmsKeyArn::new(key.arn().unwrap_or_default()) }
}

/// What this step made in this generation, by its tags, among the keys that were not there before; and
/// that one of those may not be asked, where that is so.
async fn made_since(cx: &Cx, before: &Before) -> OpResult<(Vec<Described>, Option<OpError>)> {
    let known = |id: &str| before.keys.as_ref().is_some_and(|keys| keys.contains(&KmsKeyId::new(id)));
    let (mut ours, mut hidden) = (Vec::new(), None);
    for id in resource::key_ids(cx).await?.into_iter().filter(|id| !known(id)) {
        match resource::tags_of(cx, &id).await {
            Ok(Some(there)) if tags::are_of_step(cx, &there) => ours.extend(Described::read(cx, &id).await?),
            Ok(_) => {}
            Err(denied) if denied.code.as_deref() == Some("AccessDeniedException") => {
                let message = format!("whether KMS key {id} is what this step made cannot be seen: {}", denied.message);
                hidden = Some(OpError { message, ..denied });
            }
            Err(e) => return Err(e),
        }
    }
    Ok((ours, hidden))
}

/// The key that this step made in this generation, by its tags.
///
/// # Errors
/// Class `Permanent` when there is more than one, or when none is found and some may not be asked: a
/// person must say then.
async fn by_ownership(cx: &Cx, before: &Before) -> OpResult<Option<Described>> {
    let (mut ours, hidden) = made_since(cx, before).await?;
    if ours.len() > 1 {
        let ids: Vec<_> = ours.iter().map(Described::id).collect();
        return Err(OpError::permanent(format!(
            "more than one KMS key carries the tags of step `{}` in generation {}: {}",
            cx.step(),
            cx.generation(),
            ids.join(", ")
        ))
        .with_hint("see which of them is used, schedule the others for deletion, and `switchback resume`"));
    }
    match (ours.pop(), hidden) {
        (None, Some(denied)) => Err(denied),
        (key, _) => Ok(key),
    }
}

/// Compares that nothing is left: neither the key on record, nor one with our tags. Where a key is on
/// record, another that may not be asked is none of ours.
async fn verify_gone(cx: &Cx, before: &Before, out: Option<&Output>) -> OpResult<Verdict> {
    let (ours, hidden) = made_since(cx, before).await?;
    let mut verdict = Verdict::new();
    match (out, hidden) {
        (Some(out), _) => {
            let there = Described::read(cx, out.key_id.as_str()).await?.is_some();
            let what = format!("KMS key {} exists, and does not wait for its deletion", out.key_id);
            verdict = verdict.compare(what, false, there);
        }
        (None, Some(denied)) if ours.is_empty() => return Err(denied),
        _ => {}
    }
    let ids: Vec<_> = ours.iter().map(Described::id).collect();
    Ok(verdict.compare("KMS keys with the tags of this step", json!([]), json!(ids)))
}

/// What others made that hangs on the key, in words.
async fn hangs_on(cx: &Cx, id: &str) -> OpResult<Vec<String>> {
    Ok(resource::aliases_of(cx, id).await?.into_iter().map(|alias| format!("`{alias}`")).collect())
}

fn replicas(key: &Described) -> Vec<String> {
    let replicas = key.now.multi_region_configuration().map(|c| c.replica_keys()).unwrap_or_default();
    replicas.iter().filter_map(|replica| replica.arn().map(|arn| format!("the replica {arn}"))).collect()
}

impl Operation for Key {
    const KIND: &'static str = "aws.kms.key";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let rotates = params.enable_key_rotation == Some(true);
        let calls = Calls {
            reads: &[
                "kms:ListKeys",
                "kms:ListResourceTags",
                "kms:DescribeKey",
                "kms:GetKeyPolicy",
                "kms:GetKeyRotationStatus",
                "kms:ListAliases",
            ],
            creates: "kms:CreateKey",
            settles: rotates.then_some("kms:EnableKeyRotation").into_iter().collect(),
            rolls_back: vec!["kms:ScheduleKeyDeletion"],
            besides: &["kms:TagResource"],
        };
        let days = params.window();
        Facts {
            reversibility: Reversibility::Lossy {
                what: format!("what was encrypted with the key, once it has waited {days} days for its deletion"),
            },
            residue: vec![format!(
                "the key waits {days} days for its deletion; until then `CancelKeyDeletion` brings it back"
            )],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            description: Some("What the application stores".to_owned()),
            key_spec: Some("SYMMETRIC_DEFAULT".to_owned()),
            key_usage: Some("ENCRYPT_DECRYPT".to_owned()),
            policy: Some(Document::new(json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Sid": "IAM policies of the account decide",
                    "Effect": "Allow",
                    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                }],
            }))),
            multi_region: Some(false),
            enable_key_rotation: Some(true),
            rotation_period_in_days: Some(180),
            pending_window_in_days: Some(7),
            tags: Tags::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let symmetric = params.spec() == "SYMMETRIC_DEFAULT";
        if params.description.as_ref().is_some_and(|text| text.chars().count() > 8192) {
            wrong("description", "has up to 8192 characters".to_owned());
        }
        if !KeySpec::values().contains(&params.spec()) {
            wrong("key_spec", format!("{:?} is not one of {}", params.spec(), KeySpec::values().join(", ")));
        } else {
            let usages = params.usages().join(" or ");
            match &params.key_usage {
                Some(usage) if !params.usages().contains(&usage.as_str()) => {
                    wrong("key_usage", format!("a key of the kind {} is for {usages}, not {usage:?}", params.spec()));
                }
                None if !symmetric => {
                    wrong("key_usage", format!("must be given for a key of the kind {}: {usages}", params.spec()));
                }
                _ => {}
            }
        }
        if params.enable_key_rotation == Some(true) && !symmetric {
            wrong("enable_key_rotation", "only the material of symmetric keys is renewed".to_owned());
        }
        match params.rotation_period_in_days {
            Some(days) if !(90..=2560).contains(&days) => {
                wrong("rotation_period_in_days", "is between 90 and 2560 days".to_owned());
            }
            Some(_) if params.enable_key_rotation != Some(true) => {
                wrong("rotation_period_in_days", "wants `enable_key_rotation: true`".to_owned());
            }
            _ => {}
        }
        if !(7..=LONGEST_WAIT).contains(&params.window()) {
            wrong("pending_window_in_days", "is between 7 and 30 days".to_owned());
        }
        if let Some(policy) = &params.policy {
            policy.check(Purpose::Resource, LONGEST, "policy", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, _params: &Params) -> OpResult<Before> {
        let keys: BTreeSet<_> = resource::key_ids(cx).await?.into_iter().map(KmsKeyId::new).collect();
        Ok(Before { keys: (keys.len() <= MOST_KEYS).then_some(keys) })
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let about = "a key";
        let tag = |(key, value)| Tag::builder().tag_key(key).tag_value(value).build();
        let tags: Result<_, _> = tags::all(cx, &params.tags).into_iter().map(tag).collect();
        let reply = client(cx)?
            .create_key()
            .set_description(params.description.clone())
            .set_key_spec(params.key_spec.as_deref().map(KeySpec::from))
            .set_key_usage(params.key_usage.as_deref().map(KeyUsageType::from))
            .set_policy(params.policy.as_ref().map(Document::text))
            .set_multi_region(params.multi_region)
            .set_tags(Some(tags.map_err(|e| OpError::permanent(format!("a tag cannot be sent: {e}")))?))
            .send()
            .await
            .map_err(|e| op_error(Call::new("kms:CreateKey", about).just_made(), e))?;
        reply.key_metadata().map(output).ok_or_else(|| nameless("kms:CreateKey", about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Output> {
        if params.enable_key_rotation == Some(true) {
            let id = out.key_id.as_str();
            client(cx)?
                .enable_key_rotation()
                .key_id(id)
                .set_rotation_period_in_days(params.rotation_period_in_days)
                .send()
                .await
                .map_err(|e| op_error(Call::new("kms:EnableKeyRotation", id).just_made(), e))?;
        }
        Ok(out.clone())
    }

    async fn find(&self, cx: &Cx, _params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let found = by_ownership(cx, before).await?;
        Ok(found.map_or(Found::Absent, |key| Found::Ours { output: output(&key.now), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Undo> {
        let id = out.key_id.as_str();
        // Steps of this run have deleted their aliases, which may not be seen everywhere yet.
        let waiting_for = format!("waiting until no alias points at KMS key {id} any more");
        let mut others = named::patiently(cx, &waiting_for, || hangs_on(cx, id), Vec::is_empty).await?;
        let Some(key) = named::ours::<Described>(cx, id).await? else { return Ok(Undo::Nothing) };
        others.extend(replicas(&key));
        if !others.is_empty() {
            return Err(OpError::drift(format!(
                "KMS key {id} is used by what this run did not make, or no longer deletes: {}",
                others.join(", ")
            ))
            .with_hint("see whose it is, delete it or point it elsewhere, and `switchback unwind` again"));
        }
        let call = client(cx)?.schedule_key_deletion().key_id(id).pending_window_in_days(params.window());
        let scheduled = call.send().await.map_err(|e| op_error(Call::new("kms:ScheduleKeyDeletion", id), e));
        if found(scheduled)?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Described>(cx, id, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        if want == Expect::RolledBack {
            return verify_gone(cx, before, out).await;
        }
        let key = match out {
            Some(out) => Described::read(cx, out.key_id.as_str()).await?,
            None => by_ownership(cx, before).await?,
        };
        let Some(key) = key else {
            return Ok(named::missing::<Described>(out.map_or("of this step", |o| o.key_id.as_str())));
        };
        let (now, id) = (&key.now, key.id());
        let state = now.key_state().map_or("unknown", |state| state.as_str());
        let mut verdict = named::verdict(cx, &key, &params.tags).compare("key_state", "Enabled", state);
        if let Some(description) = &params.description {
            verdict = verdict.compare("description", description.as_str(), now.description().unwrap_or_default());
        }
        let spec = now.key_spec().map(KeySpec::as_str);
        if let Some(wanted) = &params.key_spec {
            verdict = verdict.compare("key_spec", wanted.as_str(), spec);
        }
        let usage = now.key_usage().map(KeyUsageType::as_str);
        if let Some(wanted) = &params.key_usage {
            verdict = verdict.compare("key_usage", wanted.as_str(), usage);
        }
        if let Some(wanted) = params.multi_region {
            verdict = verdict.compare("multi_region", wanted, now.multi_region().unwrap_or(false));
        }
        let mut observed = json!({
            "key_id": id, "key_arn": now.arn(), "key_state": state, "description": now.description(),
            "key_spec": spec, "key_usage": usage, "multi_region": now.multi_region(), "tags": key.tags(),
        });
        if let Some(policy) = &params.policy {
            let read = client(cx)?.get_key_policy().key_id(id).policy_name(POLICY).send().await;
            let read = read.map_err(|e| op_error(Call::new("kms:GetKeyPolicy", id).just_made(), e))?;
            let text = decoded(read.policy().unwrap_or_default());
            verdict = verdict.compare("policy", policy.normal(), normal(&text));
            observed["policy"] = text.into();
        }
        if let Some(wanted) = params.enable_key_rotation {
            let read = client(cx)?.get_key_rotation_status().key_id(id).send().await;
            let read = read.map_err(|e| op_error(Call::new("kms:GetKeyRotationStatus", id).just_made(), e))?;
            verdict = verdict.compare("enable_key_rotation", wanted, read.key_rotation_enabled());
            if let Some(days) = params.rotation_period_in_days {
                verdict = verdict.compare("rotation_period_in_days", days, read.rotation_period_in_days());
            }
            observed["key_rotation_enabled"] = read.key_rotation_enabled().into();
            observed["rotation_period_in_days"] = read.rotation_period_in_days().into();
        }
        verdict.observed = observed;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, cx, watched};

    const OURS: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const DENIED: Answer = Answer::Reply(400, r#"{"__type":"AccessDeniedException","message":"no"}"#);
    const NO_ALIAS: Answer = Answer::Reply(200, r#"{"Aliases":[],"Truncated":false}"#);

    fn reply(value: &serde_json::Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn keys(ids: &[&str]) -> Answer {
        let keys: Vec<_> = ids.iter().map(|id| json!({"KeyId": id, "KeyArn": format!("arn:{id}")})).collect();
        reply(&json!({"Keys": keys, "Truncated": false}))
    }

    fn described(state: &str) -> Answer {
        reply(&json!({"KeyMetadata": {
            "KeyId": OURS, "Arn": format!("arn:aws:kms:us-east-1:123456789012:key/{OURS}"), "KeyState": state,
            "Description": "What the application stores", "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT", "MultiRegion": false,
        }}))
    }

    fn tagged(step: &str) -> Answer {
        let tag = |key: &str, value: &str| json!({"TagKey": key, "TagValue": value});
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let tags = [
            tag("Name", "app"),
            tag("switchback:run", &run),
            tag("switchback:step", step),
            tag("switchback:generation", "1"),
        ];
        reply(&json!({"Tags": tags, "Truncated": false}))
    }

    fn before(ids: &[&str]) -> Before {
        Before { keys: Some(ids.iter().map(|id| KmsKeyId::new(*id)).collect()) }
    }

    fn out() -> Output {
        let arn = format!("arn:aws:kms:us-east-1:123456789012:key/{OURS}");
        Output { key_id: KmsKeyId::new(OURS), key_arn: KmsKeyArn::new(arn) }
    }

    fn params() -> Params {
        Key::example().unwrap()
    }

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let errors = Key.check(&serde_json::from_value(value).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Key.check(&params()).is_ok());
        assert!(wrong(json!({})).is_empty());
        assert!(wrong(json!({"key_spec": "RSA_2048", "key_usage": "SIGN_VERIFY"})).is_empty());
        assert_eq!(wrong(json!({"key_spec": "RSA_2048"})), ["key_usage"]);
        assert_eq!(wrong(json!({"key_spec": "HMAC_256", "key_usage": "SIGN_VERIFY"})), ["key_usage"]);
        assert_eq!(wrong(json!({"key_spec": "RSA", "key_usage": "SIGN_VERIFY"})), ["key_spec"]);
        let signs = json!({"key_spec": "ECC_NIST_P256", "key_usage": "SIGN_VERIFY", "enable_key_rotation": true});
        assert_eq!(wrong(signs), ["enable_key_rotation"]);
        assert_eq!(wrong(json!({"rotation_period_in_days": 90})), ["rotation_period_in_days"]);
        let often = json!({"enable_key_rotation": true, "rotation_period_in_days": 89});
        assert_eq!(wrong(often), ["rotation_period_in_days"]);
        assert_eq!(wrong(json!({"pending_window_in_days": 6})), ["pending_window_in_days"]);
        assert_eq!(wrong(json!({"policy": {"Statement": []}, "description": "a".repeat(8193)})).len(), 2);
        for spec in KeySpec::values() {
            let params = Params { key_spec: Some((*spec).to_owned()), ..params() };
            assert!(!params.usages().is_empty(), "{spec}");
        }
    }

    #[test]
    fn the_facts_say_what_stays_and_what_is_lost() {
        let facts = Key.facts(&params());
        assert_eq!(facts.settles, ["kms:EnableKeyRotation"]);
        assert!(facts.residue[0].contains("7 days"), "{facts:?}");
        assert!(matches!(&facts.reversibility, Reversibility::Lossy { what } if what.contains("7 days")));
        let plain = Key.facts(&serde_json::from_value(json!({"enable_key_rotation": false})).unwrap());
        assert!(plain.settles.is_empty() && plain.residue[0].contains("30 days") && !plain.unique);
    }

    #[tokio::test(start_paused = true)]
    async fn only_keys_that_came_since_are_asked() {
        let script = Script::new([keys(&["old", OURS]), tagged("key"), described("Enabled"), tagged("key")]);
        let cx = cx("key", script.config()).await;
        let found = Key.find(&cx, &params(), &before(&["old"])).await.unwrap();
        assert_eq!(found, Found::Ours { output: out(), proof: Proof::Strong });
        assert_eq!(script.requests(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn anothers_key_and_one_that_waits_for_its_deletion_are_none() {
        for answers in [
            vec![keys(&["old", "new"]), tagged("other")],
            vec![keys(&[OURS]), tagged("key"), described("PendingDeletion")],
            vec![keys(&["old"])],
        ] {
            let script = Script::new(answers.clone());
            let cx = cx("key", script.config()).await;
            assert_eq!(Key.find(&cx, &params(), &before(&["old"])).await.unwrap(), Found::Absent);
            assert_eq!(script.requests(), answers.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_may_not_be_asked_could_be_ours() {
        let script = Script::new([keys(&["a", OURS]), DENIED, tagged("key"), described("Enabled"), tagged("key")]);
        let (cx, _) = watched("key", script.config()).await;
        assert!(matches!(Key.find(&cx, &params(), &before(&[])).await.unwrap(), Found::Ours { .. }));
        let script = Script::new([keys(&["a"]), DENIED]);
        let (cx, _) = watched("key", script.config()).await;
        let error = Key.find(&cx, &params(), &before(&[])).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.message.starts_with("whether KMS key a is what this step made cannot be seen"), "{error}");
        let two = [keys(&["a", "b"]), tagged("key"), described("Enabled"), tagged("key"), tagged("key")];
        let script = Script::new(two.into_iter().chain([described("Enabled"), tagged("key")]));
        let (cx, _) = watched("key", script.config()).await;
        let error = Key.find(&cx, &params(), &before(&[])).await.unwrap_err();
        assert!(error.message.starts_with("more than one KMS key"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_compared_as_it_is_read_back() {
        let policy = json!({"Policy": params().policy.unwrap().text(), "PolicyName": "default"});
        let rotates = |days: i32| reply(&json!({"KeyRotationEnabled": true, "RotationPeriodInDays": days}));
        let script = Script::new(
            [180, 365].into_iter().flat_map(|d| [described("Enabled"), tagged("key"), reply(&policy), rotates(d)]),
        );
        let cx = cx("key", script.config()).await;
        for wrong in [&[][..], &["rotation_period_in_days"]] {
            let verdict = Key.verify(&cx, &params(), &before(&[]), Some(&out()), Expect::Created).await.unwrap();
            let got: Vec<_> = verdict.compared.iter().filter(|c| !c.holds()).map(|c| c.what.as_str()).collect();
            assert_eq!(got, wrong, "{verdict:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_it_waits_for_its_deletion() {
        let scheduled = reply(&json!({"KeyId": OURS, "KeyState": "PendingDeletion"}));
        let waits = described("PendingDeletion");
        let script = Script::new([
            NO_ALIAS,
            described("Enabled"),
            tagged("key"),
            scheduled,
            waits.clone(),
            NO_ALIAS,
            waits.clone(),
            keys(&[OURS, "a"]),
            tagged("key"),
            waits.clone(),
            DENIED,
            waits,
            keys(&[OURS]),
            tagged("key"),
            described("Enabled"),
            tagged("key"),
            described("Enabled"),
            tagged("key"),
        ]);
        let cx = cx("key", script.config()).await;
        assert_eq!(Key.rollback(&cx, &params(), &before(&[]), &out()).await.unwrap(), Undo::Done);
        assert_eq!(Key.rollback(&cx, &params(), &before(&[]), &out()).await.unwrap(), Undo::Nothing);
        let gone = async || Key.verify(&cx, &params(), &before(&[]), Some(&out()), Expect::RolledBack).await.unwrap();
        assert!(gone().await.holds());
        assert!(gone().await.compared.iter().all(|c| !c.holds()), "it was brought back");
        assert_eq!(script.requests(), 18);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_others_name_or_made_stays() {
        let alias =
            || reply(&json!({"Aliases": [{"AliasName": "alias/web", "TargetKeyId": OURS}], "Truncated": false}));
        let named = [alias(), described("Enabled"), tagged("key")];
        let anothers = [NO_ALIAS, described("Enabled"), tagged("other")];
        for answers in [named, anothers] {
            let script = Script::new(answers);
            let config = script.config().with_quiet(std::time::Duration::ZERO);
            let (cx, watch) = watched("key", config).await;
            let error = Key.rollback(&cx, &params(), &before(&[]), &out()).await.unwrap_err();
            assert_eq!((error.class, script.requests()), (ErrorClass::Drift, 3), "{error}");
            assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "ScheduleKeyDeletion"));
        }
    }
}
