//! `aws.iam.role_policy_attachment`: a managed policy on a role.
//!
//! An attachment has neither an id nor tags: it is there or it is not. So `capture` keeps which of the
//! two it was. A policy that was on the role before stays on it: then nothing is done, forward or back.
//! Where this run made the role, nobody else has a reason to attach the policy and the proof is strong;
//! else it is weak: not attached before, attached now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Policy, Role};
use crate::calls::Calls;
use crate::errors::{Call, found, op_error};
use crate::ids::{PolicyArn, RoleName};
use crate::named::{self, POLL};

/// A managed policy on a role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The role (`AttachRolePolicy` RoleName).
    pub role_name: RoleName,
    /// The policy, the account's own or AWS's (`AttachRolePolicy` PolicyArn).
    pub policy_arn: PolicyArn,
}

/// What was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Whether the policy was on the role.
    pub attached: bool,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The role.
    pub role_name: RoleName,
    /// The policy that is on it.
    pub policy_arn: PolicyArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RolePolicyAttachment;

impl Params {
    fn about(&self) -> String {
        format!("{} on role `{}`", self.policy_arn, self.role_name)
    }

    fn output(&self) -> Output {
        Output { role_name: self.role_name.clone(), policy_arn: self.policy_arn.clone() }
    }
}

/// Whether the policy is on the role. On a role that is not there is none.
async fn attached(cx: &Cx, params: &Params) -> OpResult<bool> {
    let about = params.about();
    let list = client(cx)?.list_attached_role_policies().role_name(params.role_name.as_str());
    let listed = list.into_paginator().items().send().try_collect().await;
    let listed = found(listed.map_err(|e| op_error(Call::new("iam:ListAttachedRolePolicies", &about), e)))?;
    Ok(listed.unwrap_or_default().iter().any(|policy| policy.policy_arn() == Some(params.policy_arn.as_str())))
}

impl Operation for RolePolicyAttachment {
    const KIND: &'static str = "aws.iam.role_policy_attachment";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the attachment as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["iam:GetRole", "iam:GetPolicy", "iam:ListAttachedRolePolicies"],
            creates: "iam:AttachRolePolicy",
            settles: Vec::new(),
            rolls_back: vec!["iam:DetachRolePolicy"],
            besides: &[],
        };
        // A role's ARN has its path, which its name does not tell.
        // The role's path is not known here.
        let role = |path: &str| format!("arn:{{partition}}:iam::{{account}}:role/{path}{}", params.role_name);
        Facts { proof: ProofKind::ByFind, unique: true, arns: vec![role(""), role("*/")], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            role_name: RoleName::new("app-task"),
            policy_arn: PolicyArn::new("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        resource::check_name(params.role_name.as_str(), 64, "role_name", &mut errors);
        params.policy_arn.check("policy_arn", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        named::existing::<Role>(cx, params.role_name.as_str()).await?;
        named::existing::<Policy>(cx, params.policy_arn.as_str()).await?;
        Ok(Before { attached: attached(cx, params).await? })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        match (before.attached, attached(cx, params).await?) {
            (true, true) => return Ok(params.output()),
            (true, false) => {
                return Err(OpError::drift(format!("{about} was attached and was detached since it was looked at")));
            }
            (false, true) => {
                return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} is attached already")));
            }
            (false, false) => {}
        }
        client(cx)?
            .attach_role_policy()
            .role_name(params.role_name.as_str())
            .policy_arn(params.policy_arn.as_str())
            .send()
            .await
            .map_err(|e| op_error(Call::new("iam:AttachRolePolicy", &about).just_made(), e))?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        if !attached(cx, params).await? {
            return Ok(Found::Absent);
        }
        // What was there before is not this run's, and `rollback` leaves it: there is nothing to prove.
        let proof = if before.attached {
            Proof::Strong
        } else {
            resource::proof_by_role(cx, params.role_name.as_str()).await?
        };
        Ok(Found::Ours { output: params.output(), proof })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        match (before.attached, attached(cx, params).await?) {
            (true, true) | (false, false) => return Ok(Undo::Nothing),
            (true, false) => {
                return Err(OpError::drift(format!("{about} was attached before this run and no longer is")));
            }
            (false, true) => {}
        }
        let detached = client(cx)?
            .detach_role_policy()
            .role_name(params.role_name.as_str())
            .policy_arn(params.policy_arn.as_str())
            .send()
            .await;
        if found(detached.map_err(|e| op_error(Call::new("iam:DetachRolePolicy", &about), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        let look = || async { Ok((!attached(cx, params).await?).then_some(())) };
        cx.wait_for(&format!("waiting until {about} is detached"), POLL, look).await?;
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
        let there = attached(cx, params).await?;
        let wanted = want == Expect::Created || before.attached;
        let mut verdict = Verdict::new().compare(format!("{} is attached", params.about()), wanted, there);
        verdict.observed = json!({"role_name": params.role_name, "policy_arn": params.policy_arn, "attached": there});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx};

    const NONE: Answer = Answer::Reply(
        200,
        "<ListAttachedRolePoliciesResponse><ListAttachedRolePoliciesResult><AttachedPolicies/>\
         </ListAttachedRolePoliciesResult></ListAttachedRolePoliciesResponse>",
    );
    const ATTACHED: Answer = Answer::Reply(
        200,
        "<ListAttachedRolePoliciesResponse><ListAttachedRolePoliciesResult><AttachedPolicies><member><PolicyArn>\
         arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy</PolicyArn></member>\
         </AttachedPolicies></ListAttachedRolePoliciesResult></ListAttachedRolePoliciesResponse>",
    );
    const DONE: Answer = Answer::Reply(200, "<Response/>");

    fn params() -> Params {
        RolePolicyAttachment::example().unwrap()
    }

    #[test]
    fn both_ends_are_checked() {
        assert!(RolePolicyAttachment.check(&params()).is_ok());
        let params = Params { role_name: RoleName::new(""), policy_arn: PolicyArn::new("AdministratorAccess") };
        let errors = RolePolicyAttachment.check(&params).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["role_name", "policy_arn"]);
    }

    #[test]
    fn the_proof_is_for_find_to_say() {
        let facts = RolePolicyAttachment.facts(&params());
        assert!(facts.proof == ProofKind::ByFind && facts.unique);
        let role = |name: &str| format!("arn:{{partition}}:iam::{{account}}:role/{name}");
        assert_eq!(facts.arns, [role("app-task"), role("*/app-task")], "and no other role that ends so");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_attached_before_is_left_alone() {
        let script = Script::new([ATTACHED, ATTACHED, ATTACHED, ATTACHED]);
        let (cx, before) = (cx("attachment", script.config()).await, Before { attached: true });
        let out = RolePolicyAttachment.create(&cx, &params(), &before).await.unwrap();
        let ours = Found::Ours { output: out.clone(), proof: Proof::Strong };
        assert_eq!(RolePolicyAttachment.find(&cx, &params(), &before).await.unwrap(), ours);
        assert_eq!(RolePolicyAttachment.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
        let verdict = RolePolicyAttachment.verify(&cx, &params(), &before, None, Expect::RolledBack).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!(script.requests(), 4, "one look each, and no write");
    }

    #[tokio::test(start_paused = true)]
    async fn what_moved_since_capture_is_not_written_over() {
        let script = Script::new([NONE, ATTACHED, NONE]);
        let cx = cx("attachment", script.config()).await;
        let class = |before, e: OpResult<Output>| (before, e.unwrap_err().class);
        let create =
            async |attached| class(attached, RolePolicyAttachment.create(&cx, &params(), &Before { attached }).await);
        assert_eq!(create(true).await, (true, ErrorClass::Drift));
        assert_eq!(create(false).await, (false, ErrorClass::AlreadyExists));
        let before = Before { attached: true };
        let undone = RolePolicyAttachment.rollback(&cx, &params(), &before, &params().output()).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_it_is_not_listed() {
        let script = Script::new([ATTACHED, DONE, ATTACHED, NONE, NONE]);
        let (cx, before) = (cx("attachment", script.config()).await, Before { attached: false });
        let out = params().output();
        assert_eq!(RolePolicyAttachment.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Done);
        assert_eq!(RolePolicyAttachment.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
        assert_eq!(script.requests(), 5);
    }
}
