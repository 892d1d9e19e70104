//! `aws.ec2.subnet`: a part of a VPC in one availability zone.
//!
//! A range is taken once in a VPC, so a second create is impossible and whoever has the range is
//! found before the first one.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Subnet as Described, Vpc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::{Absent, Calls, client, resource, tags};
use crate::cidr::{self, Cidr};
use crate::errors::{Call, op_error};
use crate::ids::{SubnetId, VpcId};

/// A subnet: a part of a VPC in one availability zone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The VPC that it is a part of (`CreateSubnet` VpcId).
    pub vpc_id: VpcId,
    /// The IPv4 range, `10.0.1.0/24`: /16 to /28, inside of the VPC's (`CreateSubnet` CidrBlock).
    pub cidr_block: String,
    /// The zone, `us-east-1a`; AWS chooses one when it is not given (`CreateSubnet` AvailabilityZone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Whether network interfaces made here get a public address (`ModifySubnetAttribute`
    /// MapPublicIpOnLaunch). AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_public_ip_on_launch: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateSubnet` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub subnet_id: SubnetId,
    /// The VPC that it is a part of.
    pub vpc_id: VpcId,
    /// Its IPv4 range.
    pub cidr_block: String,
    /// Its zone.
    pub availability_zone: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subnet;

impl Params {
    fn about(&self) -> String {
        format!("subnet {} of {}", self.cidr_block, self.vpc_id)
    }
}

fn output(subnet: &Described) -> Output {
    Output {
        subnet_id: SubnetId::new(subnet.subnet_id().unwrap_or_default()),
        vpc_id: VpcId::new(subnet.vpc_id().unwrap_or_default()),
        cidr_block: subnet.cidr_block().unwrap_or_default().to_owned(),
        availability_zone: subnet.availability_zone().unwrap_or_default().to_owned(),
    }
}

fn state(subnet: &Described) -> &str {
    subnet.state().map_or("unknown", |s| s.as_str())
}

/// What has the range, or a part of it, in words.
async fn in_the_way(cx: &Cx, params: &Params) -> OpResult<Option<String>> {
    let Ok(range) = Cidr::parse(&params.cidr_block) else { return Ok(None) };
    let subnets: Vec<Described> = resource::list(cx, vec![tags::filter("vpc-id", params.vpc_id.as_str())]).await?;
    let other = subnets.iter().find(|s| {
        let taken = s.cidr_block().and_then(|text| Cidr::parse(text).ok());
        taken.is_some_and(|taken| taken.overlaps(range))
    });
    Ok(other.map(|s| {
        let now = output(s);
        format!("subnet {} of {} has {}{}", now.subnet_id, now.vpc_id, now.cidr_block, tags::owner(cx, s.tags()))
    }))
}

impl Operation for Subnet {
    const KIND: &'static str = "aws.ec2.subnet";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeSubnets", "ec2:DescribeVpcs"],
            creates: "ec2:CreateSubnet",
            settles: params.map_public_ip_on_launch.map(|_| "ec2:ModifySubnetAttribute").into_iter().collect(),
            rolls_back: vec!["ec2:DeleteSubnet"],
            besides: &["ec2:CreateTags"],
        };
        Facts { unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            cidr_block: "10.0.1.0/24".to_owned(),
            availability_zone: Some("us-east-1a".to_owned()),
            map_public_ip_on_launch: Some(true),
            tags: BTreeMap::from([("Name".to_owned(), "app-1a".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.vpc_id.check("vpc_id", &mut errors);
        cidr::check_block(&params.cidr_block, "cidr_block", &mut errors);
        tags::check(&params.tags, &mut errors);
        if params.availability_zone.as_ref().is_some_and(|zone| zone.trim().is_empty()) {
            errors.push(ParamError::new("availability_zone", "is empty; leave it out to let AWS choose"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<Vpc>(cx, params.vpc_id.as_str()).await?;
        match in_the_way(cx, params).await? {
            Some(what) => Err(OpError::foreign(format!("the range {} is taken: {what}", params.cidr_block))),
            None => Ok(Absent {}),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_subnet()
            .vpc_id(params.vpc_id.as_str())
            .cidr_block(&params.cidr_block)
            .set_availability_zone(params.availability_zone.clone())
            .tag_specifications(tags::specification(cx, ResourceType::Subnet, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateSubnet", &about).just_made(), e))?;
        let subnet = reply.subnet().filter(|s| s.subnet_id().is_some());
        subnet.map(output).ok_or_else(|| resource::nameless("ec2:CreateSubnet", &about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let id = out.subnet_id.as_str();
        if let Some(on) = params.map_public_ip_on_launch {
            client(cx)?
                .modify_subnet_attribute()
                .subnet_id(id)
                .map_public_ip_on_launch(AttributeBooleanValue::builder().value(on).build())
                .send()
                .await
                .map_err(|e| op_error(Call::new("ec2:ModifySubnetAttribute", id).just_made(), e))?;
        }
        let ready = |s: &Described| (state(s) == "available").then(|| output(s));
        resource::wait_until(cx, id, "available", ready).await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        if let Some(subnet) = resource::by_ownership::<Described>(cx).await? {
            return Ok(Found::Ours { output: output(&subnet), proof: Proof::Strong });
        }
        Ok(in_the_way(cx, params).await?.map_or(Found::Absent, |what| Found::Foreign { what }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.subnet_id.as_str();
        let deleted = client(cx)?.delete_subnet().subnet_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteSubnet", id), e)))? {
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
        let id = out.map(|o| o.subnet_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(subnet) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let now = output(&subnet);
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new()
            .compare("state", "available", state(&subnet))
            .compare("vpc_id", params.vpc_id.as_str(), now.vpc_id.as_str())
            .compare("cidr_block", params.cidr_block.as_str(), now.cidr_block.as_str())
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, subnet.tags())));
        if let Some(zone) = &params.availability_zone {
            verdict = verdict.compare("availability_zone", zone.as_str(), now.availability_zone.as_str());
        }
        if let Some(on) = params.map_public_ip_on_launch {
            verdict = verdict.compare("map_public_ip_on_launch", on, subnet.map_public_ip_on_launch());
        }
        verdict.observed = json!({
            "subnet_id": now.subnet_id, "vpc_id": now.vpc_id, "state": state(&subnet), "cidr_block": now.cidr_block,
            "availability_zone": now.availability_zone, "available_ip_address_count": subnet.available_ip_address_count(),
            "map_public_ip_on_launch": subnet.map_public_ip_on_launch(), "tags": tags::read(subnet.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let errors = Subnet.check(&serde_json::from_value(value).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let fine = json!({"vpc_id": "vpc-12345678", "cidr_block": "10.0.1.0/24", "availability_zone": "us-east-1a"});
        assert!(wrong(fine).is_empty());
        assert_eq!(wrong(json!({"vpc_id": "subnet-12345678", "cidr_block": "10.0.1.0/24"})), ["vpc_id"]);
        assert_eq!(wrong(json!({"vpc_id": "vpc-12345678", "cidr_block": "10.0.1.1/24"})), ["cidr_block"]);
        let zone = json!({"vpc_id": "vpc-12345678", "cidr_block": "10.0.1.0/24", "availability_zone": ""});
        assert_eq!(wrong(zone), ["availability_zone"]);
    }

    #[test]
    fn a_call_is_declared_only_when_it_is_made() {
        let facts = |value| Subnet.facts(&serde_json::from_value::<Params>(value).unwrap());
        let plain = facts(json!({"vpc_id": "vpc-12345678", "cidr_block": "10.0.1.0/24"}));
        assert!(plain.settles.is_empty() && plain.unique);
        let public =
            facts(json!({"vpc_id": "vpc-12345678", "cidr_block": "10.0.1.0/24", "map_public_ip_on_launch": false}));
        assert_eq!(public.settles, ["ec2:ModifySubnetAttribute"]);
    }

    #[test]
    fn the_schema_names_the_type_of_each_id() {
        let schema = schemars::schema_for!(Params).to_value();
        assert_eq!(schema["properties"]["vpc_id"][crate::ids::ID_KEYWORD], "VpcId");
        let schema = schemars::schema_for!(Output).to_value();
        assert_eq!(schema["properties"]["subnet_id"][crate::ids::ID_KEYWORD], "SubnetId");
    }
}
