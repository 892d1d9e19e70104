//! `aws.secretsmanager.secret_value`: another value of a secret that is there.
//!
//! The client request token is the id of the version that is made, so what was put is known by it. A version
//! cannot be deleted: `rollback` takes its labels from it, and gives them back to the versions that had them.
//! What has no label can be read by its id only, and AWS removes it some day.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

use super::value::{Asked, Generate, Generated, Member};
use super::{CURRENT, PREVIOUS, There, client, unless_key_is_unseen};
use crate::calls::Calls;
use crate::errors::{Call, op_error};
use crate::ids::SecretArn;
use crate::named::{self, Named, POLL};

/// A new value of a secret, which becomes its current one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The secret, by its ARN or its name (`PutSecretValue` SecretId).
    pub secret_id: String,
    /// The value: a secret input (`PutSecretValue` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_string: Option<SecretRef>,
    /// The value, a JSON object: each member is a secret input, made up (`generate: { length: 32 }`), or a plain
    /// text, number or truth value (`PutSecretValue` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_json: Option<BTreeMap<String, Member>>,
    /// The value: made up on the spot, and kept nowhere but in the secret (`PutSecretValue` SecretString).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The secret's ARN, which no later secret of its name has.
    pub arn: SecretArn,
    /// The version that was current.
    pub version_id: String,
    /// The version that was labelled as the one before it.
    pub previous_version_id: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The secret's ARN.
    pub arn: SecretArn,
    /// The version that this step made.
    pub version_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretValue;

impl Params {
    fn asked(&self) -> Asked<'_> {
        Asked {
            secret_string: self.secret_string.as_ref(),
            secret_json: self.secret_json.as_ref(),
            generate: self.generate.as_ref(),
        }
    }
}

fn output(cx: &Cx, before: &Before) -> Output {
    Output { arn: before.arn.clone(), version_id: cx.token().to_owned() }
}

/// The secret as it is now.
///
/// # Errors
/// Class `Drift` when it is gone.
async fn now(cx: &Cx, before: &Before) -> OpResult<There> {
    There::read(cx, before.arn.as_str())
        .await?
        .ok_or_else(|| OpError::drift(format!("secret {} is no longer there", before.arn)))
}

/// Moves a label from the version of this step to another one, or to none.
async fn move_label(cx: &Cx, out: &Output, label: &str, to: Option<&str>) -> OpResult<()> {
    let arn = out.arn.as_str();
    client(cx)?
        .update_secret_version_stage()
        .secret_id(arn)
        .version_stage(label)
        .remove_from_version_id(&out.version_id)
        .set_move_to_version_id(to.map(str::to_owned))
        .send()
        .await
        .map_err(|e| op_error(Call::new("secretsmanager:UpdateSecretVersionStage", arn), e))?;
    Ok(())
}

/// Whether the secret still has that version. One without labels is not described, and can be gone any time.
async fn has_version(cx: &Cx, arn: &str, version: &str) -> OpResult<bool> {
    let list = client(cx)?.list_secret_version_ids().secret_id(arn).include_deprecated(true);
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("secretsmanager:ListSecretVersionIds", arn), e))?;
        if page.versions().iter().any(|held| held.version_id() == Some(version)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks until a label is off the version of this step.
async fn unlabelled(cx: &Cx, before: &Before, out: &Output, label: &str) -> OpResult<There> {
    let look = || async {
        let there = now(cx, before).await?;
        Ok((!there.labels_of(&out.version_id).contains(&label)).then_some(there))
    };
    cx.wait_for(&format!("waiting until version {} is no longer {label}", out.version_id), POLL, look).await
}

impl Operation for SecretValue {
    const KIND: &'static str = "aws.secretsmanager.secret_value";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"],
            creates: "secretsmanager:PutSecretValue",
            settles: Vec::new(),
            rolls_back: vec!["secretsmanager:UpdateSecretVersionStage"],
            besides: &[],
        };
        let arn = match params.secret_id.as_str() {
            arn if arn.starts_with("arn:") => arn.to_owned(),
            name => format!("arn:{{partition}}:secretsmanager:{{region}}:{{account}}:secret:{name}-??????"),
        };
        let residue = "the version that was put stays in the secret without a label until AWS removes it";
        Facts { residue: vec![residue.to_owned()], unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let members = [
            ("username", Member::Text("app".to_owned())),
            ("host", Member::Text("app.proxy-abc.us-east-1.rds.amazonaws.com".to_owned())),
            ("password", Member::Secret(SecretRef::of_input("db_password"))),
            ("salt", Member::Generated(Generated { generate: Generate { length: Some(24), ..Generate::default() } })),
        ];
        Some(Params {
            secret_id: "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-a1b2c3".to_owned(),
            secret_string: None,
            secret_json: Some(members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect()),
            generate: None,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let id = params.secret_id.as_str();
        if id.starts_with("arn:") {
            SecretArn::new(id).check("secret_id", &mut errors);
        } else if !(1..=512).contains(&id.len()) {
            errors.push(ParamError::new("secret_id", "is the ARN or the name of a secret"));
        }
        params.asked().check(&mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let there = named::existing::<There>(cx, &params.secret_id).await?;
        let Some(current) = there.labelled(CURRENT) else {
            return Err(OpError::permanent(format!(
                "secret `{}` has no value yet, and could not be left without one again",
                there.name()
            ))
            .with_hint("give it a first value where it is made"));
        };
        Ok(Before {
            arn: SecretArn::new(there.arn()),
            version_id: current.to_owned(),
            previous_version_id: there.labelled(PREVIOUS).map(str::to_owned),
        })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let arn = before.arn.as_str();
        let value = params.asked().value(cx)?;
        let there = now(cx, before).await?;
        match there.labelled(CURRENT) {
            Some(held) if held == before.version_id => {}
            Some(held) if held == cx.token() => {
                let message = format!("secret `{}` has the value of this step already", there.name());
                return Err(OpError::new(ErrorClass::AlreadyExists, message));
            }
            _ => {
                let message = format!("secret `{}` was given another value since it was looked at", there.name());
                return Err(OpError::drift(message));
            }
        }
        client(cx)?
            .put_secret_value()
            .secret_id(arn)
            .client_request_token(cx.token())
            .secret_string(value.expose())
            .send()
            .await
            .map_err(|e| {
                let error = op_error(Call::new("secretsmanager:PutSecretValue", arn).just_made(), e);
                unless_key_is_unseen(value.kept_from(error), there.now.kms_key_id().is_some())
            })?;
        Ok(output(cx, before))
    }

    async fn find(&self, cx: &Cx, _params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let Some(there) = There::read(cx, before.arn.as_str()).await? else {
            return Ok(Found::Foreign { what: format!("a deleted secret {}", before.arn) });
        };
        // Nobody else knows the token. A version that others have displaced twice has no label any more.
        Ok(match there.labelled(CURRENT) {
            _ if !there.labels_of(cx.token()).is_empty() => {
                Found::Ours { output: output(cx, before), proof: Proof::Strong }
            }
            Some(held) if held == before.version_id => Found::Absent,
            held => Found::Foreign { what: format!("version {} of secret `{}`", held.unwrap_or("none"), there.name()) },
        })
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, before: &Before, out: &Output) -> OpResult<Undo> {
        let mut there = now(cx, before).await?;
        let mut undo = Undo::Nothing;
        match there.labelled(CURRENT) {
            Some(held) if held == out.version_id => {
                move_label(cx, out, CURRENT, Some(&before.version_id)).await?;
                undo = Undo::Done;
                there = unlabelled(cx, before, out, CURRENT).await?;
            }
            Some(held) if held == before.version_id => {}
            held => {
                let message = format!(
                    "version {} of secret `{}` is current: it is neither what this run put nor what was there before",
                    held.unwrap_or("none"),
                    there.name()
                );
                return Err(OpError::drift(message));
            }
        }
        // AWS has made the version of this step the previous one, or does so in a moment: until then the label is
        // where it was put, and is asked for again by whoever looks next.
        if there.labels_of(&out.version_id).contains(&PREVIOUS) {
            let to = match before.previous_version_id.as_deref() {
                Some(version) if has_version(cx, before.arn.as_str(), version).await? => Some(version),
                _ => None,
            };
            move_label(cx, out, PREVIOUS, to).await?;
            undo = Undo::Done;
            unlabelled(cx, before, out, PREVIOUS).await?;
        }
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        _params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let there = There::read(cx, before.arn.as_str()).await?;
        let ours = out.map_or(cx.token(), |out| &out.version_id);
        let current = there.as_ref().and_then(|there| there.labelled(CURRENT));
        let mut verdict = match want {
            Expect::Created => Verdict::new().compare("the current version", ours, current),
            // Which version is current by now is no business of ours, as long as it is another.
            Expect::RolledBack => {
                let labels = there.as_ref().map(|there| there.labels_of(ours)).unwrap_or_default();
                Verdict::new().compare(format!("the labels of version {ours}"), json!([]), json!(labels))
            }
        };
        verdict.observed = json!({
            "arn": before.arn, "version_id": current,
            "version_ids_to_stages": there.as_ref().and_then(|there| there.now.version_ids_to_stages()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf";
    const DONE: Answer = Answer::Reply(200, "{}");

    fn params() -> Params {
        serde_json::from_value(json!({"secret_id": "app", "generate": {}})).unwrap()
    }

    fn before(previous: Option<&str>) -> Before {
        let previous_version_id = previous.map(str::to_owned);
        Before { arn: SecretArn::new(ARN), version_id: "old".to_owned(), previous_version_id }
    }

    fn out() -> Output {
        Output { arn: SecretArn::new(ARN), version_id: "token".to_owned() }
    }

    fn there(labels: &Value) -> Answer {
        let reply = json!({"ARN": ARN, "Name": "app", "VersionIdsToStages": labels});
        Answer::Reply(200, reply.to_string().leak())
    }

    fn current(version: &str) -> Answer {
        there(&json!({version: ["AWSCURRENT"]}))
    }

    fn put() -> Answer {
        there(&json!({"token": ["AWSCURRENT"], "old": ["AWSPREVIOUS"]}))
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        SecretValue.check(&SecretValue::example().unwrap()).unwrap();
        SecretValue.check(&params()).unwrap();
        let bad: Params = serde_json::from_value(json!({"secret_id": "arn:aws:iam::1:role/x"})).unwrap();
        let errors = SecretValue.check(&bad).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["secret_id", "secret_string"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_moved_is_not_written_over() {
        let script = Script::new([current("other"), put(), current("other")]);
        let (cx, _) = watched("value", script.config()).await;
        let class = async || SecretValue.create(&cx, &params(), &before(None)).await.unwrap_err().class;
        assert_eq!(class().await, ErrorClass::Drift);
        assert_eq!(class().await, ErrorClass::AlreadyExists);
        let undone = SecretValue.rollback(&cx, &params(), &before(None), &out()).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(script.requests(), 3, "nothing is written");
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_is_found_by_its_token() {
        let displaced = there(&json!({"token": ["AWSPREVIOUS"], "other": ["AWSCURRENT"]}));
        let script = Script::new([current("old"), put(), displaced, current("other")]);
        let (cx, _) = watched("value", script.config()).await;
        let find = async || SecretValue.find(&cx, &params(), &before(None)).await.unwrap();
        assert_eq!(find().await, Found::Absent);
        let ours = Found::Ours { output: out(), proof: Proof::Strong };
        assert_eq!((find().await, find().await), (ours.clone(), ours));
        assert!(matches!(find().await, Found::Foreign { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_labels_go_back_to_where_they_were() {
        let moved = there(&json!({"old": ["AWSCURRENT"], "token": ["AWSPREVIOUS"]}));
        let versions = |id: &str| {
            let reply = json!({"ARN": ARN, "Versions": [{"VersionId": id}]});
            Answer::Reply(200, reply.to_string().leak())
        };
        for (previous, held, to) in
            [(None, None, None), (Some("older"), Some("older"), Some("older")), (Some("older"), Some("x"), None)]
        {
            let listed = held.map(versions).into_iter();
            let answers = [put(), DONE, moved.clone()].into_iter().chain(listed);
            let script = Script::new(answers.chain([DONE, current("old"), current("old"), current("old")]));
            let (cx, _) = watched("value", script.config()).await;
            let before = before(previous);
            assert_eq!(SecretValue.rollback(&cx, &params(), &before, &out()).await.unwrap(), Undo::Done);
            assert_eq!(SecretValue.rollback(&cx, &params(), &before, &out()).await.unwrap(), Undo::Nothing);
            let verdict = SecretValue.verify(&cx, &params(), &before, None, Expect::RolledBack).await.unwrap();
            assert!(verdict.holds(), "{verdict:?}");
            let bodies = script.bodies.lock().unwrap();
            assert!(bodies[1].contains(r#""MoveToVersionId":"old""#), "{bodies:?}");
            let last = bodies.iter().rfind(|body| body.contains("RemoveFromVersionId")).unwrap();
            let last: Value = serde_json::from_str(last).unwrap();
            assert_eq!((last["VersionStage"].as_str(), last["MoveToVersionId"].as_str()), (Some("AWSPREVIOUS"), to));
        }
    }
}
