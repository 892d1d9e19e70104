//! `aws.ec2.vpc`: a virtual private cloud.
//!
//! The attributes for DNS are no fields of `CreateVpc`; each is a call of `ModifyVpcAttribute`, made
//! for each one that the runbook asks for, whatever its value is now: setting it twice is setting it
//! once.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, ResourceType, Vpc as Described, VpcAttributeName, VpcCidrBlockStateCode,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;
use switchback_model::record::Proof;

use super::{Absent, Calls, client, resource, tags};
use crate::cidr;
use crate::errors::{Call, op_error};
use crate::ids::VpcId;

/// A VPC: a network of its own, with its IPv4 range, DNS settings and, when asked for, IPv6.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The IPv4 range, `10.0.0.0/16`: /16 to /28, no bits of a host (`CreateVpc` CidrBlock).
    pub cidr_block: String,
    /// Asks AWS for an IPv6 range of /56 (`CreateVpc` AmazonProvidedIpv6CidrBlock).
    #[serde(default)]
    pub amazon_provided_ipv6_cidr_block: bool,
    /// Whether instances can resolve names (`ModifyVpcAttribute` EnableDnsSupport). AWS's default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_dns_support: Option<bool>,
    /// Whether instances with public addresses get names (`ModifyVpcAttribute` EnableDnsHostnames).
    /// Needs `enable_dns_support`. AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_dns_hostnames: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateVpc` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub vpc_id: VpcId,
    /// Its IPv4 range.
    pub cidr_block: String,
    /// Its IPv6 range, once AWS has given it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vpc;

impl Params {
    /// The attributes that are asked for, in an order in which AWS takes them.
    fn attributes(&self) -> Vec<(VpcAttributeName, bool)> {
        let support = self.enable_dns_support.map(|on| (VpcAttributeName::EnableDnsSupport, on));
        let hostnames = self.enable_dns_hostnames.map(|on| (VpcAttributeName::EnableDnsHostnames, on));
        support.into_iter().chain(hostnames).collect()
    }

    fn about(&self) -> String {
        format!("VPC {}", self.cidr_block)
    }
}

fn output(vpc: &Described) -> Output {
    Output {
        vpc_id: VpcId::new(vpc.vpc_id().unwrap_or_default()),
        cidr_block: vpc.cidr_block().unwrap_or_default().to_owned(),
        ipv6_cidr_block: ipv6_cidr_block(vpc),
    }
}

/// The IPv6 range that is associated by now.
fn ipv6_cidr_block(vpc: &Described) -> Option<String> {
    let associated = vpc
        .ipv6_cidr_block_association_set()
        .iter()
        .find(|a| a.ipv6_cidr_block_state().and_then(|s| s.state()) == Some(&VpcCidrBlockStateCode::Associated))?;
    associated.ipv6_cidr_block().map(str::to_owned)
}

fn state(vpc: &Described) -> &str {
    vpc.state().map_or("unknown", |s| s.as_str())
}

async fn attribute(cx: &Cx, vpc_id: &str, name: VpcAttributeName) -> OpResult<Option<bool>> {
    let reply = client(cx)?
        .describe_vpc_attribute()
        .vpc_id(vpc_id)
        .attribute(name.clone())
        .send()
        .await
        .map_err(|e| op_error(Call::new("ec2:DescribeVpcAttribute", vpc_id).just_made(), e))?;
    let value = match name {
        VpcAttributeName::EnableDnsSupport => reply.enable_dns_support(),
        _ => reply.enable_dns_hostnames(),
    };
    Ok(value.and_then(AttributeBooleanValue::value))
}

impl Operation for Vpc {
    const KIND: &'static str = "aws.ec2.vpc";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeVpcs", "ec2:DescribeVpcAttribute"],
            creates: "ec2:CreateVpc",
            settles: vec!["ec2:ModifyVpcAttribute"; params.attributes().len()],
            rolls_back: vec!["ec2:DeleteVpc"],
            besides: &["ec2:CreateTags"],
        };
        calls.into_facts()
    }

    fn example() -> Option<Params> {
        Some(Params {
            cidr_block: "10.0.0.0/16".to_owned(),
            amazon_provided_ipv6_cidr_block: true,
            enable_dns_support: Some(true),
            enable_dns_hostnames: Some(true),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        cidr::check_block(&params.cidr_block, "cidr_block", &mut errors);
        tags::check(&params.tags, &mut errors);
        if params.enable_dns_hostnames == Some(true) && params.enable_dns_support == Some(false) {
            errors.push(ParamError::new("enable_dns_hostnames", "needs `enable_dns_support`, which is off"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Nothing can be in the way: any number of VPCs may have the same range.
    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Absent> {
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_vpc()
            .cidr_block(&params.cidr_block)
            .set_amazon_provided_ipv6_cidr_block(params.amazon_provided_ipv6_cidr_block.then_some(true))
            .tag_specifications(tags::specification(cx, ResourceType::Vpc, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateVpc", &about), e))?;
        let vpc = reply.vpc().filter(|v| v.vpc_id().is_some());
        vpc.map(output).ok_or_else(|| resource::nameless("ec2:CreateVpc", &about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let id = out.vpc_id.as_str();
        for (name, on) in params.attributes() {
            let value = Some(AttributeBooleanValue::builder().value(on).build());
            let call = client(cx)?.modify_vpc_attribute().vpc_id(id);
            let call = match name {
                VpcAttributeName::EnableDnsSupport => call.set_enable_dns_support(value),
                _ => call.set_enable_dns_hostnames(value),
            };
            call.send().await.map_err(|e| op_error(Call::new("ec2:ModifyVpcAttribute", id).just_made(), e))?;
        }
        resource::wait_until::<Described, _>(cx, id, "available", |vpc| {
            let now = output(vpc);
            let complete = !params.amazon_provided_ipv6_cidr_block || now.ipv6_cidr_block.is_some();
            (state(vpc) == "available" && complete).then_some(now)
        })
        .await
    }

    async fn find(&self, cx: &Cx, _params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let found = resource::by_ownership::<Described>(cx).await?;
        Ok(found.map_or(Found::Absent, |vpc| Found::Ours { output: output(&vpc), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.vpc_id.as_str();
        let deleted = client(cx)?.delete_vpc().vpc_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteVpc", id), e)))? {
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
        let id = out.map(|o| o.vpc_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(vpc) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let now = output(&vpc);
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new()
            .compare("state", "available", state(&vpc))
            .compare("cidr_block", params.cidr_block.as_str(), now.cidr_block.as_str())
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, vpc.tags())));
        if params.amazon_provided_ipv6_cidr_block {
            verdict = verdict.compare("an IPv6 range is associated", true, now.ipv6_cidr_block.is_some());
        }
        for (name, on) in params.attributes() {
            let what = name.as_str().to_owned();
            verdict = verdict.compare(what, on, attribute(cx, now.vpc_id.as_str(), name).await?);
        }
        verdict.observed = json!({
            "vpc_id": now.vpc_id, "state": state(&vpc), "cidr_block": now.cidr_block,
            "ipv6_cidr_block": now.ipv6_cidr_block, "tags": tags::read(vpc.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: serde_json::Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let errors = Vpc.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({"cidr_block": "10.0.0.0/16", "tags": {"Name": "MisterSmith-VPC"}})).is_empty());
        assert_eq!(wrong(json!({"cidr_block": "10.0.0.0/8"})), ["cidr_block"]);
        assert_eq!(wrong(json!({"cidr_block": "10.0.0.0/16", "tags": {"aws:x": ""}})), ["tags.aws:x"]);
        let dns = json!({"cidr_block": "10.0.0.0/16", "enable_dns_support": false, "enable_dns_hostnames": true});
        assert_eq!(wrong(dns), ["enable_dns_hostnames"]);
        assert!(serde_json::from_value::<Params>(json!({"cidr_block": "10.0.0.0/16", "cidr": 1})).is_err());
    }

    #[test]
    fn each_attribute_that_is_asked_for_is_one_call() {
        let none = Vpc.facts(&params(json!({"cidr_block": "10.0.0.0/16"})));
        assert!(none.settles.is_empty());
        let both = json!({"cidr_block": "10.0.0.0/16", "enable_dns_support": true, "enable_dns_hostnames": true});
        assert_eq!(Vpc.facts(&params(both)).settles, ["ec2:ModifyVpcAttribute"; 2]);
        assert_eq!(none.creates, ["ec2:CreateVpc"]);
        assert_eq!(none.extra_actions, ["ec2:CreateTags"]);
    }
}
