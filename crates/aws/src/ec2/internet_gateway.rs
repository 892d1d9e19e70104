//! `aws.ec2.internet_gateway`: a gateway to the internet, attached to nothing yet (see
//! [`internet_gateway_attachment`](super::internet_gateway_attachment)).

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{InternetGateway as Described, ResourceType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;
use switchback_model::record::Proof;

use super::{Absent, Calls, client, resource, tags};
use crate::errors::{Call, op_error};
use crate::ids::InternetGatewayId;

const ABOUT: &str = "an internet gateway";

/// An internet gateway, attached to nothing yet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Tags, beside those that say whose it is (`CreateInternetGateway` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub internet_gateway_id: InternetGatewayId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct InternetGateway;

fn output(gateway: &Described) -> Output {
    Output { internet_gateway_id: InternetGatewayId::new(gateway.internet_gateway_id().unwrap_or_default()) }
}

impl Operation for InternetGateway {
    const KIND: &'static str = "aws.ec2.internet_gateway";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is there with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeInternetGateways"],
            creates: "ec2:CreateInternetGateway",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DeleteInternetGateway"],
            besides: &["ec2:CreateTags"],
        };
        calls.into_facts()
    }

    fn example() -> Option<Params> {
        Some(Params { tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]) })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Nothing can be in the way: a gateway has no name.
    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Absent> {
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let reply = client(cx)?
            .create_internet_gateway()
            .tag_specifications(tags::specification(cx, ResourceType::InternetGateway, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateInternetGateway", ABOUT), e))?;
        let gateway = reply.internet_gateway().filter(|g| g.internet_gateway_id().is_some());
        gateway.map(output).ok_or_else(|| resource::nameless("ec2:CreateInternetGateway", ABOUT))
    }

    async fn find(&self, cx: &Cx, _params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let found = resource::by_ownership::<Described>(cx).await?;
        Ok(found.map_or(Found::Absent, |g| Found::Ours { output: output(&g), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.internet_gateway_id.as_str();
        let deleted = client(cx)?.delete_internet_gateway().internet_gateway_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteInternetGateway", id), e)))? {
            return Ok(Undo::Nothing);
        }
        resource::wait_until_gone::<Described>(cx, id).await?;
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
        let id = out.map(|o| o.internet_gateway_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(gateway) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new().compare("exists", true, true).compare(
            "tags",
            json!(wanted),
            json!(tags::of_those(&wanted, gateway.tags())),
        );
        let attached: Vec<_> = gateway.attachments().iter().filter_map(|a| a.vpc_id()).collect();
        verdict.observed = json!({
            "internet_gateway_id": gateway.internet_gateway_id(), "attached_to": attached,
            "tags": tags::read(gateway.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_can_be_said() {
        let params = |value| serde_json::from_value::<Params>(value);
        assert!(InternetGateway.check(&params(json!({"tags": {"Name": "MisterSmith-IGW"}})).unwrap()).is_ok());
        assert!(InternetGateway.check(&params(json!({"tags": {"aws:x": ""}})).unwrap()).is_err());
        assert!(InternetGateway.check(&params(json!({})).unwrap()).is_ok());
        assert!(params(json!({"vpc_id": "vpc-12345678"})).is_err());
    }

    #[test]
    fn an_output_keeps_its_stored_form() {
        let output = Output { internet_gateway_id: InternetGatewayId::new("igw-12345678") };
        assert_eq!(serde_json::to_value(output).unwrap(), json!({"internet_gateway_id": "igw-12345678"}));
    }
}
