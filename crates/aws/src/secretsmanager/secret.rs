//! `aws.secretsmanager.secret`: a secret and its first value.
//!
//! The client request token is the id of the version that the create call makes. So a repeated call with the
//! same value is the same call; with another value, which is what a value made up anew is, it is refused,
//! and the secret is looked up: its tags and that version say whose it is.
//!
//! The value is never read. What is checked is that the version of this step is there and has a label: which
//! of the versions is current is for those to say that put others (`aws.secretsmanager.secret_value`).

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::types::Tag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

use super::value::{Asked, Generate, Generated, Member};
use super::{CURRENT, There, client, unless_key_is_unseen};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{KmsKeyArn, SecretArn, SecretName};
use crate::named::{self, Named, POLL};
use crate::tags;

/// How many days a secret can be brought back where the step does not say it: the longest, as at AWS.
const LONGEST_WINDOW: i64 = 30;
/// The longest description.
const LONGEST_DESCRIPTION: usize = 2048;

/// A secret of Secrets Manager, with its value.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, `app/db-password`: 1 to 512 letters, digits and `/_+=.@-` (`CreateSecret` Name).
    pub name: SecretName,
    /// What it is for, up to 2048 characters (`CreateSecret` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The key that encrypts it (`CreateSecret` KmsKeyId). AWS's default: `aws/secretsmanager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// The value: a secret input (`CreateSecret` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_string: Option<SecretRef>,
    /// The value, a JSON object: each member is a secret input, made up (`generate: { length: 32 }`), or a plain
    /// text, number or truth value (`CreateSecret` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_json: Option<BTreeMap<String, Member>>,
    /// The value: made up on the spot, and kept nowhere but in the secret (`CreateSecret` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// How many days it can be brought back once this step is undone, 7 to 30; as long nothing else can have its
    /// name (`DeleteSecret` RecoveryWindowInDays). The default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_window_in_days: Option<i64>,
    /// Whether it is gone for good once this step is undone (`DeleteSecret` ForceDeleteWithoutRecovery). The
    /// default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_delete_without_recovery: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateSecret` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its ARN, with the six characters that AWS adds to the name: no later secret of that name has it.
    pub arn: SecretArn,
    /// Its name.
    pub name: SecretName,
    /// The version that this step made.
    pub version_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Secret;

impl Params {
    fn asked(&self) -> Asked<'_> {
        Asked {
            secret_string: self.secret_string.as_ref(),
            secret_json: self.secret_json.as_ref(),
            generate: self.generate.as_ref(),
        }
    }

    fn is_forced(&self) -> bool {
        self.force_delete_without_recovery == Some(true)
    }

    fn window(&self) -> i64 {
        self.recovery_window_in_days.unwrap_or(LONGEST_WINDOW)
    }
}

fn output(cx: &Cx, there: &There) -> Output {
    Output { arn: SecretArn::new(there.arn()), name: SecretName::new(there.name()), version_id: cx.token().to_owned() }
}

/// Nothing of that name may be there, nor come back.
async fn absent(cx: &Cx, name: &str) -> OpResult<Absent> {
    match There::read_any(cx, name).await? {
        Some(there) if there.now.deleted_date().is_some() => Err(OpError::foreign(format!(
            "{} is scheduled for deletion, and nothing else can have its name until then",
            named::described(cx, name, &there)
        ))
        .with_hint("wait until it is gone, delete it for good, or restore it and leave the step out")),
        Some(_) => named::capture::<There>(cx, name).await,
        None => Ok(Absent {}),
    }
}

impl Operation for Secret {
    const KIND: &'static str = "aws.secretsmanager.secret";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["secretsmanager:DescribeSecret"],
            creates: "secretsmanager:CreateSecret",
            settles: Vec::new(),
            rolls_back: vec!["secretsmanager:DeleteSecret"],
            besides: match params.kms_key_id {
                Some(_) => &["secretsmanager:TagResource", "kms:GenerateDataKey", "kms:Decrypt"],
                None => &["secretsmanager:TagResource"],
            },
        };
        let days = params.window();
        let (what, residue) = if params.is_forced() {
            ("the secret's value, at once".to_owned(), Vec::new())
        } else {
            let residue = format!(
                "the secret waits {days} days for its deletion; until then `RestoreSecret` brings it back and nothing \
                 else can have its name"
            );
            (format!("the secret's value, once it has waited {days} days for its deletion"), vec![residue])
        };
        let arn = format!("arn:{{partition}}:secretsmanager:{{region}}:{{account}}:secret:{}-??????", params.name);
        Facts {
            reversibility: Reversibility::Lossy { what },
            residue,
            unique: true,
            arns: vec![arn],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let generate = Generate {
            length: Some(40),
            exclude_characters: Some("0O1lI".to_owned()),
            exclude_numbers: Some(false),
            exclude_punctuation: Some(true),
            exclude_uppercase: Some(false),
            exclude_lowercase: Some(false),
        };
        let members = [
            ("username", Member::Text("app".to_owned())),
            ("port", Member::Number(5432)),
            ("tls", Member::Flag(true)),
            ("password", Member::Secret(SecretRef::of_input("db_password"))),
            ("salt", Member::Generated(Generated { generate })),
        ];
        Some(Params {
            name: SecretName::new("app/db"),
            description: Some("How the application reaches its database".to_owned()),
            kms_key_id: Some(KmsKeyArn::new(key)),
            secret_string: None,
            secret_json: Some(members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect()),
            generate: None,
            recovery_window_in_days: Some(7),
            force_delete_without_recovery: Some(false),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = params.name.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if !(1..=512).contains(&name.len()) || !name.chars().all(fits) {
            errors.push(ParamError::new("name", format!("{name:?} is not 1 to 512 letters, digits and / _ + = . @ -")));
        }
        if params.description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
            errors.push(ParamError::new("description", format!("has up to {LONGEST_DESCRIPTION} characters")));
        }
        if let Some(key) = &params.kms_key_id {
            key.check("kms_key_id", &mut errors);
        }
        params.asked().check(&mut errors);
        match params.recovery_window_in_days {
            Some(_) if params.is_forced() => {
                let message = "what is deleted without recovery has no window (`force_delete_without_recovery`)";
                errors.push(ParamError::new("recovery_window_in_days", message));
            }
            Some(days) if !(7..=LONGEST_WINDOW).contains(&days) => {
                errors.push(ParamError::new("recovery_window_in_days", "is between 7 and 30 days"));
            }
            _ => {}
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        absent(cx, params.name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        match known.get("name").and_then(Value::as_str) {
            Some(name) => absent(cx, name).await.map(|_| ()),
            None => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.name.as_str();
        let value = params.asked().value(cx)?;
        let tags = tags::all(cx, &params.tags).into_iter();
        let reply = client(cx)?
            .create_secret()
            .name(name)
            .client_request_token(cx.token())
            .secret_string(value.expose())
            .set_description(params.description.clone())
            .set_kms_key_id(params.kms_key_id.as_ref().map(|key| key.as_str().to_owned()))
            .set_tags(Some(tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()))
            .send()
            .await
            .map_err(|e| {
                let error = op_error(Call::new("secretsmanager:CreateSecret", name), e);
                let mut error = unless_key_is_unseen(value.kept_from(error), params.kms_key_id.is_some());
                // Nothing was there a moment ago: one that was deleted for good still is on its way.
                if error.message.contains("scheduled for deletion") {
                    error.class = ErrorClass::Busy;
                }
                error
            })?;
        let arn = reply.arn().ok_or_else(|| nameless("secretsmanager:CreateSecret", name))?;
        Ok(Output { arn: SecretArn::new(arn), name: params.name.clone(), version_id: cx.token().to_owned() })
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.name.as_str(), |there| output(cx, there)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.arn.as_str();
        // A later step of this run has given it back this version, which may not be seen everywhere yet.
        let is_last = |there: &Option<There>| {
            there.as_ref().and_then(|there| there.labelled(CURRENT)).is_none_or(|held| held == out.version_id)
        };
        let waiting_for = format!("waiting until secret `{}` has the value of this step", out.name);
        let there = named::patiently(cx, &waiting_for, || There::read(cx, id), is_last).await?;
        if named::ours::<There>(cx, id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        if !is_last(&there) {
            let held = there.as_ref().and_then(|there| there.labelled(CURRENT)).unwrap_or_default();
            return Err(OpError::drift(format!(
                "secret `{}` has another value than this step gave it (version {held})",
                out.name
            ))
            .with_hint("see who put it there and whether it is used, delete the secret, and unwind again"));
        }
        let mut call = client(cx)?.delete_secret().secret_id(id);
        call = if params.is_forced() {
            call.force_delete_without_recovery(true)
        } else {
            call.recovery_window_in_days(params.window())
        };
        let deleted = call.send().await.map_err(|e| op_error(Call::new("secretsmanager:DeleteSecret", id), e));
        if found(deleted)?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, id, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else {
            return Ok(named::missing::<There>(name));
        };
        let mut verdict = named::verdict(cx, &there, &params.tags);
        let labels = there.labels_of(out.map_or(cx.token(), |out| &out.version_id));
        verdict = verdict.compare("the version of this step has a label", true, !labels.is_empty());
        if let Some(description) = &params.description {
            let got = there.now.description().unwrap_or_default();
            verdict = verdict.compare("description", description.as_str(), got);
        }
        if let Some(key) = &params.kms_key_id {
            verdict = verdict.compare("kms_key_id", key.as_str(), there.now.kms_key_id());
        }
        verdict.observed = json!({
            "arn": there.arn(), "name": there.name(), "description": there.now.description(),
            "kms_key_id": there.now.kms_key_id(), "version_ids_to_stages": there.now.version_ids_to_stages(),
            "rotation_enabled": there.now.rotation_enabled(), "tags": there.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_engine::secrets::Secrets;

    use super::*;
    use crate::testing::{Answer, Script, knowing, watched};

    const GONE: Answer = Answer::Reply(400, r#"{"__type":"ResourceNotFoundException","Message":"x"}"#);
    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf";

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn app() -> Params {
        params(json!({"name": "app", "generate": {}, "force_delete_without_recovery": true}))
    }

    fn out() -> Output {
        Output { arn: SecretArn::new(ARN), name: SecretName::new("app"), version_id: "token".to_owned() }
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = Secret.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    /// As described: the step that it belongs to, and the version that is current.
    fn there(step: &str, current: &str, deleted: bool) -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let tags = [("switchback:run", run.as_str()), ("switchback:step", step), ("switchback:generation", "1")];
        let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        let mut reply = json!({
            "ARN": ARN, "Name": "app", "Tags": tags, "VersionIdsToStages": {current: ["AWSCURRENT"]},
        });
        if deleted {
            reply["DeletedDate"] = json!(1_700_000_000);
        }
        Answer::Reply(200, reply.to_string().leak())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        Secret.check(&Secret::example().unwrap()).unwrap();
        assert!(wrong(json!({"name": "a/b_+=.@-", "generate": {"length": 20}})).is_empty());
        for name in ["", "a b", "a!"] {
            assert_eq!(wrong(json!({"name": name, "generate": {}})), ["name"], "{name}");
        }
        assert_eq!(wrong(json!({"name": "a"})), ["secret_string"]);
        let long = "x".repeat(2049);
        assert_eq!(wrong(json!({"name": "a", "generate": {}, "description": long})), ["description"]);
        for (window, force, fine) in [(7, false, true), (30, false, true), (6, false, false), (7, true, false)] {
            let given = json!({"name": "a", "generate": {}, "recovery_window_in_days": window,
                "force_delete_without_recovery": force});
            assert_eq!(wrong(given).is_empty(), fine, "{window} {force}");
        }
    }

    #[test]
    fn what_is_left_is_said() {
        let facts = Secret.facts(&params(json!({"name": "a", "generate": {}})));
        assert!(facts.residue[0].contains("waits 30 days"), "{facts:?}");
        assert_eq!(facts.arns, ["arn:{partition}:secretsmanager:{region}:{account}:secret:a-??????"]);
        assert!(Secret.facts(&app()).residue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_waits_for_its_deletion_is_refused() {
        let other = || there("other", "v", false);
        let script = Script::new([there("other", "v", true), other(), other(), GONE]);
        let (cx, _) = watched("secret", script.config()).await;
        let error = Secret.capture(&cx, &app()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Foreign);
        assert!(error.message.contains("is scheduled for deletion"), "{error}");
        assert!(Secret.capture(&cx, &app()).await.unwrap_err().message.contains("is there already"));
        Secret.capture(&cx, &app()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_does_not_repeat_the_value_and_a_name_on_its_way_is_waited_for() {
        let of = SecretRef { source: "DB".into(), version: None, fingerprint: "f".into() };
        let given = Secrets::new([(of.clone(), "hunter2!".into())]);
        let refused = |text: &str| {
            let body = json!({"__type": "InvalidRequestException", "Message": text});
            Answer::Reply(400, body.to_string().leak())
        };
        let script = Script::new([
            refused("hunter2! is no value"),
            refused("a secret with this name is already scheduled for deletion."),
        ]);
        let (cx, _) = knowing("secret", script.config(), given).await;
        let params = params(json!({"name": "app", "secret_string": of}));
        let error = Secret.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert!(error.class == ErrorClass::Permanent && error.message.ends_with("(secret) is no value"), "{error}");
        let error = Secret.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Busy, "{error}");
        let body = &script.bodies.lock().unwrap()[0];
        assert!(body.contains(r#""ClientRequestToken":"token""#) && body.contains("switchback:run"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_has_our_value_is_deleted() {
        let ours = || there("secret", "token", false);
        let script = Script::new([ours(), ours(), Answer::Reply(200, "{}"), GONE, GONE, GONE]);
        let (cx, watch) = watched("secret", script.config()).await;
        assert_eq!(Secret.rollback(&cx, &app(), &Absent {}, &out()).await.unwrap(), Undo::Done);
        assert_eq!(Secret.rollback(&cx, &app(), &Absent {}, &out()).await.unwrap(), Undo::Nothing);
        let calls: Vec<_> = watch.calls.lock().unwrap().iter().map(|c| c.operation.clone()).collect();
        assert_eq!(calls[2..4], ["DeleteSecret", "DescribeSecret"]);
        assert!(script.bodies.lock().unwrap()[2].contains(r#""ForceDeleteWithoutRecovery":true"#));
        for (step, version) in [("secret", "another"), ("other", "token")] {
            let script = Script::new(std::iter::repeat_n(there(step, version, false), 40));
            let (cx, watch) = watched("secret", script.config()).await;
            let error = Secret.rollback(&cx, &app(), &Absent {}, &out()).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Drift, "{step}: {error}");
            assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "DescribeSecret"));
        }
    }
}
