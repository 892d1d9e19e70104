//! `aws.iam.role_inline_policy`: a policy that is a part of one role.
//!
//! `PutRolePolicy` writes over what is there, so `capture` keeps the document of that name, and each
//! write reads once more right before it: what has moved is somebody else's. Going back, the document
//! that was there is put back, or the policy is deleted. It has neither an id nor tags: where this run
//! made the role the proof is strong, else it is weak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Role};
use crate::calls::Calls;
use crate::document::{Document, Purpose, decoded, normal};
use crate::errors::{Call, found, op_error};
use crate::ids::RoleName;
use crate::named::{self, POLL};

/// The longest that the inline policies of a role are together.
const LONGEST: usize = 10_240;

/// A policy inside of a role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The role (`PutRolePolicy` RoleName).
    pub role_name: RoleName,
    /// The policy's name, unique on the role: 1 to 128 letters, digits and `_+=,.@-` (`PutRolePolicy`
    /// PolicyName).
    pub policy_name: String,
    /// What it allows or denies: a policy document, as an object or as its JSON text (`PutRolePolicy`
    /// PolicyDocument).
    pub policy_document: Document,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The document, as text; none where the role had no policy of that name.
    pub policy_document: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The role.
    pub role_name: RoleName,
    /// The policy's name.
    pub policy_name: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoleInlinePolicy;

impl Params {
    fn about(&self) -> String {
        format!("inline policy `{}` of role `{}`", self.policy_name, self.role_name)
    }

    fn output(&self) -> Output {
        Output { role_name: self.role_name.clone(), policy_name: self.policy_name.clone() }
    }
}

/// Where the document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it was before, which is not what is asked for.
    Before,
    /// As asked for.
    Ours,
    /// As asked for, and it was so before.
    Both,
    /// Something else.
    Moved,
}

fn standing(params: &Params, before: &Before, now: Option<&str>) -> Standing {
    let now = now.map(normal);
    let as_before = now == before.policy_document.as_deref().map(normal);
    let as_ours = now.is_some_and(|now| now == params.policy_document.normal());
    match (as_before, as_ours) {
        (true, true) => Standing::Both,
        (true, false) => Standing::Before,
        (false, true) => Standing::Ours,
        (false, false) => Standing::Moved,
    }
}

/// The document that is there, as text. On a role that is not there is none.
async fn document(cx: &Cx, params: &Params) -> OpResult<Option<String>> {
    let about = params.about();
    let call = client(cx)?.get_role_policy().role_name(params.role_name.as_str()).policy_name(&params.policy_name);
    let read = found(call.send().await.map_err(|e| op_error(Call::new("iam:GetRolePolicy", &about), e)))?;
    Ok(read.map(|reply| decoded(reply.policy_document())))
}

async fn put(cx: &Cx, params: &Params, document: String) -> OpResult<()> {
    let about = params.about();
    client(cx)?
        .put_role_policy()
        .role_name(params.role_name.as_str())
        .policy_name(&params.policy_name)
        .policy_document(document)
        .send()
        .await
        .map_err(|e| op_error(Call::new("iam:PutRolePolicy", &about).just_made(), e))?;
    Ok(())
}

impl Operation for RoleInlinePolicy {
    const KIND: &'static str = "aws.iam.role_inline_policy";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the document as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["iam:GetRole", "iam:GetRolePolicy"],
            creates: "iam:PutRolePolicy",
            settles: Vec::new(),
            rolls_back: vec!["iam:DeleteRolePolicy"],
            besides: &[],
        };
        // A role's ARN has its path, which its name does not tell.
        // The role's path is not known here.
        let role = |path: &str| format!("arn:{{partition}}:iam::{{account}}:role/{path}{}", params.role_name);
        Facts {
            proof: ProofKind::ByFind,
            unique: true,
            arns: vec![role(""), role("*/")],
            extra_undo_actions: vec!["iam:PutRolePolicy".into()],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            role_name: RoleName::new("app-task"),
            policy_name: "read-secrets".to_owned(),
            policy_document: Document::new(json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["secretsmanager:GetSecretValue"],
                    "Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-*",
                }],
            })),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        resource::check_name(params.role_name.as_str(), 64, "role_name", &mut errors);
        resource::check_name(&params.policy_name, 128, "policy_name", &mut errors);
        params.policy_document.check(Purpose::Identity, LONGEST, "policy_document", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        named::existing::<Role>(cx, params.role_name.as_str()).await?;
        Ok(Before { policy_document: document(cx, params).await? })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let now = document(cx, params).await?;
        match standing(params, before, now.as_deref()) {
            Standing::Before => put(cx, params, params.policy_document.text()).await?,
            Standing::Both => {}
            Standing::Ours => {
                let message = format!("{} says already what it should", params.about());
                return Err(OpError::new(ErrorClass::AlreadyExists, message));
            }
            Standing::Moved => {
                return Err(OpError::drift(format!("{} was changed since it was looked at", params.about())));
            }
        }
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let now = document(cx, params).await?;
        Ok(match standing(params, before, now.as_deref()) {
            Standing::Before => Found::Absent,
            // What was so before is left so by `rollback`: there is nothing to prove.
            Standing::Both => Found::Ours { output: params.output(), proof: Proof::Strong },
            Standing::Ours => {
                let proof = resource::proof_by_role(cx, params.role_name.as_str()).await?;
                Found::Ours { output: params.output(), proof }
            }
            // Gone although it was there before: somebody else deleted it.
            Standing::Moved if now.is_none() => Found::Foreign { what: format!("a deleted {}", params.about()) },
            Standing::Moved => Found::Foreign { what: format!("{} with another document", params.about()) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        let now = document(cx, params).await?;
        match standing(params, before, now.as_deref()) {
            Standing::Before | Standing::Both => return Ok(Undo::Nothing),
            Standing::Ours => {}
            Standing::Moved => {
                let what = if now.is_some() { "says something else" } else { "is gone" };
                return Err(OpError::drift(format!(
                    "{about} {what}: it is neither what this run wrote nor what was there before"
                )));
            }
        }
        match &before.policy_document {
            Some(document) => put(cx, params, document.clone()).await?,
            None => {
                let call = client(cx)?.delete_role_policy();
                let call = call.role_name(params.role_name.as_str()).policy_name(&params.policy_name);
                let deleted = call.send().await.map_err(|e| op_error(Call::new("iam:DeleteRolePolicy", &about), e));
                if found(deleted)?.is_none() {
                    return Ok(Undo::Nothing);
                }
            }
        }
        let look = || async {
            let now = document(cx, params).await?;
            Ok((standing(params, before, now.as_deref()) == Standing::Before).then_some(()))
        };
        cx.wait_for(&format!("waiting until {about} is as it was"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let now = document(cx, params).await?;
        let wanted = match want {
            Expect::Created => params.policy_document.normal(),
            Expect::RolledBack => before.policy_document.as_deref().map_or(Value::Null, normal),
        };
        let got = now.as_deref().map_or(Value::Null, normal);
        let mut verdict = Verdict::new().compare(format!("the document of {}", params.about()), wanted, got);
        verdict.observed = json!({
            "role_name": params.role_name, "policy_name": params.policy_name, "policy_document": now,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx, watched};

    const GONE: Answer = Answer::Reply(404, "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>");
    const DONE: Answer = Answer::Reply(200, "<Response/>");
    const OTHER: &str = "{\"Statement\":[]}";

    fn params() -> Params {
        RoleInlinePolicy::example().unwrap()
    }

    fn holds(document: &str) -> Answer {
        let text = format!(
            "<GetRolePolicyResponse><GetRolePolicyResult><RoleName>app-task</RoleName><PolicyName>read-secrets\
             </PolicyName><PolicyDocument>{document}</PolicyDocument></GetRolePolicyResult></GetRolePolicyResponse>"
        );
        Answer::Reply(200, text.leak())
    }

    fn ours() -> Answer {
        holds(&params().policy_document.text())
    }

    fn absent() -> Before {
        Before { policy_document: None }
    }

    fn other() -> Before {
        Before { policy_document: Some(OTHER.to_owned()) }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(RoleInlinePolicy.check(&params()).is_ok());
        let wrong = Params {
            role_name: RoleName::new("a b"),
            policy_name: String::new(),
            policy_document: Document::new(json!({"Statement": {"Effect": "Allow"}})),
        };
        let errors = RoleInlinePolicy.check(&wrong).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["role_name", "policy_name", "policy_document"]);
        let facts = RoleInlinePolicy.facts(&params());
        assert!(facts.proof == ProofKind::ByFind && facts.extra_undo_actions == ["iam:PutRolePolicy"]);
    }

    #[test]
    fn a_document_is_ours_or_was_there_or_has_moved() {
        let text = params().policy_document.text();
        let same = Before { policy_document: Some(format!(" {text}")) };
        for (before, now, want) in [
            (absent(), None, Standing::Before),
            (absent(), Some(text.as_str()), Standing::Ours),
            (absent(), Some(OTHER), Standing::Moved),
            (other(), Some(OTHER), Standing::Before),
            (other(), Some("{\"Statement\":[], \"Version\":\"2008-10-17\"}"), Standing::Before),
            (other(), Some(text.as_str()), Standing::Ours),
            (other(), Some("{\"Statement\":[1]}"), Standing::Moved),
            (other(), None, Standing::Moved),
            (same.clone(), Some(text.as_str()), Standing::Both),
            (same, None, Standing::Moved),
        ] {
            assert_eq!(standing(&params(), &before, now), want, "{before:?} {now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_moved_is_not_written_over() {
        let script = Script::new([holds("{}"), holds("{}"), ours()]);
        let cx = cx("inline", script.config()).await;
        let create = async || RoleInlinePolicy.create(&cx, &params(), &absent()).await.unwrap_err().class;
        assert_eq!(create().await, ErrorClass::Drift);
        let undone = RoleInlinePolicy.rollback(&cx, &params(), &other(), &params().output()).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(create().await, ErrorClass::AlreadyExists, "it is looked up whose it is");
        assert_eq!(script.requests(), 3, "nothing is written");
    }

    #[tokio::test(start_paused = true)]
    async fn the_way_back_is_what_was_there() {
        for (before, after, call) in [(absent(), GONE, "DeleteRolePolicy"), (other(), holds(OTHER), "PutRolePolicy")] {
            let script = Script::new([ours(), DONE, ours(), after.clone(), after.clone(), after]);
            let (cx, watch) = watched("inline", script.config()).await;
            let out = params().output();
            assert_eq!(RoleInlinePolicy.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Done);
            assert_eq!(RoleInlinePolicy.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
            let verdict = RoleInlinePolicy.verify(&cx, &params(), &before, None, Expect::RolledBack).await.unwrap();
            assert!(verdict.holds(), "{verdict:?}");
            let calls: Vec<_> = watch.calls.lock().unwrap().iter().map(|c| c.operation.clone()).collect();
            let read = "GetRolePolicy";
            assert_eq!(calls, [read, call, read, read, read, read]);
            let body = &script.bodies.lock().unwrap()[1];
            assert_eq!(
                body.contains("PolicyDocument=%7B%22Statement%22%3A%5B%5D%7D"),
                call == "PutRolePolicy",
                "{body}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_that_was_equal_before_is_left_alone() {
        let before = Before { policy_document: Some(params().policy_document.text()) };
        let script = Script::new([ours(), ours(), ours()]);
        let cx = cx("inline", script.config()).await;
        let out = RoleInlinePolicy.create(&cx, &params(), &before).await.unwrap();
        let found = RoleInlinePolicy.find(&cx, &params(), &before).await.unwrap();
        assert_eq!(found, Found::Ours { output: out.clone(), proof: Proof::Strong });
        assert_eq!(RoleInlinePolicy.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
        assert_eq!(script.requests(), 3, "nothing is written");
    }
}
