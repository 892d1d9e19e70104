//! `aws.ec2.internet_gateway_attachment`: an internet gateway on a VPC.
//!
//! An attachment has neither an id nor tags, so it is known by its two ends. Where this run made
//! both, nobody else has a reason to attach them and the proof is strong; else it is weak: not
//! attached before, attached now. A gateway is attached once and a VPC has one gateway, so a second
//! create is impossible.

use aws_sdk_ec2::types::{AttachmentStatus, InternetGateway, InternetGatewayAttachment as Described, Vpc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{Absent, Calls, POLL, client, resource, tags};
use crate::errors::{Call, is_not_found, op_error};
use crate::ids::{InternetGatewayId, VpcId};

/// An internet gateway on a VPC.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The gateway (`AttachInternetGateway` InternetGatewayId).
    pub internet_gateway_id: InternetGatewayId,
    /// The VPC (`AttachInternetGateway` VpcId).
    pub vpc_id: VpcId,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The gateway.
    pub internet_gateway_id: InternetGatewayId,
    /// The VPC that it is attached to.
    pub vpc_id: VpcId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct InternetGatewayAttachment;

impl Params {
    fn about(&self) -> String {
        format!("{} on {}", self.internet_gateway_id, self.vpc_id)
    }

    fn output(&self) -> Output {
        Output { internet_gateway_id: self.internet_gateway_id.clone(), vpc_id: self.vpc_id.clone() }
    }
}

/// Where the attachment stands.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    /// As asked for.
    Attached,
    /// Neither end is attached to anything.
    Free,
    /// One end, or both, is attached to something else.
    Elsewhere(String),
}

/// What a gateway is attached to, or about to be.
fn attached_to(gateway: &InternetGateway) -> Option<&str> {
    let holds = |a: &&Described| !matches!(a.state(), Some(AttachmentStatus::Detached | AttachmentStatus::Detaching));
    gateway.attachments().iter().find(holds).and_then(Described::vpc_id)
}

/// Looks at both ends. `gateway`: none when it does not exist.
async fn standing(cx: &Cx, params: &Params, gateway: Option<&InternetGateway>) -> OpResult<Standing> {
    match gateway.and_then(attached_to) {
        Some(vpc) if vpc == params.vpc_id.as_str() => return Ok(Standing::Attached),
        Some(vpc) => return Ok(Standing::Elsewhere(format!("{} is attached to {vpc}", params.internet_gateway_id))),
        None => {}
    }
    let filters = vec![tags::filter("attachment.vpc-id", params.vpc_id.as_str())];
    let others: Vec<InternetGateway> = resource::list(cx, filters).await?;
    let other = others.iter().find(|g| attached_to(g) == Some(params.vpc_id.as_str()));
    Ok(match other.and_then(|g| g.internet_gateway_id().map(|id| (id, g))) {
        Some((id, _)) if id == params.internet_gateway_id.as_str() => Standing::Attached,
        Some((id, g)) => {
            Standing::Elsewhere(format!("{} has the gateway {id}{}", params.vpc_id, tags::owner(cx, g.tags())))
        }
        None => Standing::Free,
    })
}

impl Operation for InternetGatewayAttachment {
    const KIND: &'static str = "aws.ec2.internet_gateway_attachment";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the attachment as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeInternetGateways", "ec2:DescribeVpcs"],
            creates: "ec2:AttachInternetGateway",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DetachInternetGateway"],
            besides: &[],
        };
        Facts { proof: ProofKind::ByFind, unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            internet_gateway_id: InternetGatewayId::new("igw-0a1b2c3d4e5f60718"),
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.internet_gateway_id.check("internet_gateway_id", &mut errors);
        params.vpc_id.check("vpc_id", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        let gateway = resource::existing::<InternetGateway>(cx, params.internet_gateway_id.as_str()).await?;
        resource::existing::<Vpc>(cx, params.vpc_id.as_str()).await?;
        match standing(cx, params, Some(&gateway)).await? {
            Standing::Free => Ok(Absent {}),
            Standing::Elsewhere(what) => Err(OpError::foreign(what)),
            Standing::Attached => Err(OpError::foreign(format!("{} is attached already", params.about()))
                .with_hint("leave the step out, or detach the gateway first")),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        client(cx)?
            .attach_internet_gateway()
            .internet_gateway_id(params.internet_gateway_id.as_str())
            .vpc_id(params.vpc_id.as_str())
            .send()
            .await
            .map_err(|e| {
                let mut error = op_error(Call::new("ec2:AttachInternetGateway", &about).just_made(), e);
                // No code of its own: `InvalidParameterValue` says that the VPC has a gateway.
                if error.message.contains("already has an internet gateway") {
                    error.class = ErrorClass::AlreadyExists;
                }
                error
            })?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let gateway = resource::by_id::<InternetGateway>(cx, params.internet_gateway_id.as_str()).await?;
        Ok(match standing(cx, params, gateway.as_ref()).await? {
            Standing::Free => Found::Absent,
            Standing::Elsewhere(what) => Found::Foreign { what },
            Standing::Attached => {
                let vpc = resource::by_id::<Vpc>(cx, params.vpc_id.as_str()).await?;
                let ours = gateway.is_some_and(|g| tags::are_of_run(cx, g.tags()))
                    && vpc.is_some_and(|v| tags::are_of_run(cx, v.tags()));
                Found::Ours { output: params.output(), proof: if ours { Proof::Strong } else { Proof::Weak } }
            }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let (id, vpc) = (out.internet_gateway_id.as_str(), out.vpc_id.as_str());
        let gateway = resource::by_id::<InternetGateway>(cx, id).await?;
        match gateway.as_ref().and_then(attached_to) {
            None => return Ok(Undo::Nothing),
            Some(there) if there == vpc => {}
            Some(there) => {
                return Err(OpError::drift(format!(
                    "{id} was attached to {vpc} and is attached to {there}: it was moved since this run attached it"
                )));
            }
        }
        let about = params.about();
        let call = client(cx)?.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
        match call.send().await.map_err(|e| op_error(Call::new("ec2:DetachInternetGateway", &about), e)) {
            Ok(_) => {}
            Err(e) if is_not_found(&e) || e.code.as_deref() == Some("Gateway.NotAttached") => return Ok(Undo::Nothing),
            Err(e) => return Err(e),
        }
        let look = || async {
            let gateway = resource::by_id::<InternetGateway>(cx, id).await?;
            Ok(gateway.as_ref().and_then(attached_to).is_none().then_some(()))
        };
        cx.wait_for(&format!("waiting until {id} is detached"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let gateway = resource::by_id::<InternetGateway>(cx, params.internet_gateway_id.as_str()).await?;
        let there = gateway.as_ref().and_then(attached_to);
        let to_ours = there == Some(params.vpc_id.as_str());
        let what = format!("{} is attached to", params.internet_gateway_id);
        let mut verdict = Verdict::new();
        verdict = match want {
            Expect::Created => {
                let state = gateway.as_ref().and_then(|g| g.attachments().first()?.state()).map(|s| s.as_str());
                let complete = matches!(state, Some("available" | "attached"));
                verdict.compare(what, params.vpc_id.as_str(), there).compare(
                    "the attachment is complete",
                    true,
                    complete,
                )
            }
            Expect::RolledBack => verdict.compare(format!("{what} {}", params.vpc_id), false, to_ours),
        };
        verdict.observed = json!({"internet_gateway_id": params.internet_gateway_id, "attached_to": there});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(state: &str) -> InternetGateway {
        let attachment = Described::builder().vpc_id("vpc-1").state(state.into()).build();
        InternetGateway::builder().internet_gateway_id("igw-1").attachments(attachment).build()
    }

    #[test]
    fn only_what_holds_counts_as_attached() {
        for (state, holds) in
            [("available", true), ("attached", true), ("attaching", true), ("detaching", false), ("detached", false)]
        {
            assert_eq!(attached_to(&gateway(state)).is_some(), holds, "{state}");
        }
        assert_eq!(attached_to(&InternetGateway::builder().build()), None);
    }

    #[test]
    fn both_ends_are_checked() {
        let params = Params { internet_gateway_id: InternetGatewayId::new("vpc-12345678"), vpc_id: VpcId::new("x") };
        let errors = InternetGatewayAttachment.check(&params).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["internet_gateway_id", "vpc_id"]);
    }

    #[test]
    fn the_proof_is_for_find_to_say() {
        let params =
            Params { internet_gateway_id: InternetGatewayId::new("igw-12345678"), vpc_id: VpcId::new("vpc-12345678") };
        let facts = InternetGatewayAttachment.facts(&params);
        assert_eq!(facts.proof, ProofKind::ByFind);
        assert!(facts.unique && facts.extra_actions.is_empty());
    }
}
