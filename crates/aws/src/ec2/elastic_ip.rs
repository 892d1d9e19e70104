//! `aws.ec2.elastic_ip`: a public IPv4 address that stays when what it is on is replaced.
//!
//! AWS chooses the address. One that is given back does not come again, so whoever was told the
//! address is told once more after an unwind; what the address was on before is nothing.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Address as Described, DomainType, ResourceType};
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
use crate::ids::AllocationId;

/// What the calls are about: AWS chooses the address, so there is nothing to tell two apart.
const ABOUT: &str = "an elastic IP address";

/// An elastic IP address: a public IPv4 address that stays.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// A pool of addresses of one's own instead of Amazon's (`AllocateAddress` PublicIpv4Pool).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ipv4_pool: Option<String>,
    /// From where the address is advertised, `us-east-1`; the region when it is not given
    /// (`AllocateAddress` NetworkBorderGroup).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_border_group: Option<String>,
    /// Tags, beside those that say whose it is (`AllocateAddress` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub allocation_id: AllocationId,
    /// The address, `203.0.113.7`.
    pub public_ip: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct ElasticIp;

fn output(address: &Described) -> Output {
    Output {
        allocation_id: AllocationId::new(address.allocation_id().unwrap_or_default()),
        public_ip: address.public_ip().unwrap_or_default().to_owned(),
    }
}

/// The id of what the address is on.
pub(super) fn associated_with(address: &Described) -> Option<String> {
    let association = address.association_id().filter(|id| !id.is_empty())?;
    let on = address.instance_id().filter(|id| !id.is_empty()).or(address.network_interface_id());
    Some(on.unwrap_or(association).to_owned())
}

impl Operation for ElasticIp {
    const KIND: &'static str = "aws.ec2.elastic_ip";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is there with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeAddresses"],
            creates: "ec2:AllocateAddress",
            settles: Vec::new(),
            rolls_back: vec!["ec2:ReleaseAddress"],
            besides: &["ec2:CreateTags"],
        };
        calls.into_facts()
    }

    fn example() -> Option<Params> {
        Some(Params {
            public_ipv4_pool: Some("amazon".to_owned()),
            network_border_group: Some("us-east-1".to_owned()),
            tags: BTreeMap::from([("Name".to_owned(), "app-nat".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let texts =
            [("public_ipv4_pool", &params.public_ipv4_pool), ("network_border_group", &params.network_border_group)];
        for (field, text) in texts {
            if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
                errors.push(ParamError::new(field, "is empty; leave it out to let AWS choose"));
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Nothing can be in the way: AWS chooses an address that nobody has.
    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Absent> {
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let reply = client(cx)?
            .allocate_address()
            .domain(DomainType::Vpc)
            .set_public_ipv4_pool(params.public_ipv4_pool.clone())
            .set_network_border_group(params.network_border_group.clone())
            .tag_specifications(tags::specification(cx, ResourceType::ElasticIp, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:AllocateAddress", ABOUT), e))?;
        let id = reply.allocation_id().ok_or_else(|| resource::nameless("ec2:AllocateAddress", ABOUT))?;
        Ok(Output { allocation_id: AllocationId::new(id), public_ip: reply.public_ip().unwrap_or_default().to_owned() })
    }

    async fn find(&self, cx: &Cx, _params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let found = resource::by_ownership::<Described>(cx).await?;
        Ok(found.map_or(Found::Absent, |a| Found::Ours { output: output(&a), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.allocation_id.as_str();
        if resource::by_id::<Described>(cx, id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        // In a default VPC the call would take the address away from what it is on.
        resource::refuse_hanging(cx, id, || async move {
            let address = resource::by_id::<Described>(cx, id).await?;
            Ok(address.as_ref().and_then(associated_with).into_iter().collect())
        })
        .await?;
        let released = client(cx)?.release_address().allocation_id(id).send().await;
        if !resource::was_there(released.map_err(|e| op_error(Call::new("ec2:ReleaseAddress", id), e)))? {
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
        let id = out.map(|o| o.allocation_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(address) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new().compare("domain", "vpc", address.domain().map(DomainType::as_str)).compare(
            "tags",
            json!(wanted),
            json!(tags::of_those(&wanted, address.tags())),
        );
        if let Some(out) = out {
            verdict = verdict.compare("public_ip", out.public_ip.as_str(), address.public_ip());
        }
        if let Some(pool) = &params.public_ipv4_pool {
            verdict = verdict.compare("public_ipv4_pool", pool.as_str(), address.public_ipv4_pool());
        }
        if let Some(group) = &params.network_border_group {
            verdict = verdict.compare("network_border_group", group.as_str(), address.network_border_group());
        }
        verdict.observed = json!({
            "allocation_id": address.allocation_id(), "public_ip": address.public_ip(),
            "public_ipv4_pool": address.public_ipv4_pool(), "network_border_group": address.network_border_group(),
            "association_id": address.association_id(), "tags": tags::read(address.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx};

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let errors = ElasticIp.check(&serde_json::from_value(value).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert!(ElasticIp.check(&ElasticIp::example().unwrap()).is_ok());
        assert_eq!(wrong(json!({"network_border_group": " "})), ["network_border_group"]);
        assert_eq!(wrong(json!({"public_ipv4_pool": ""})), ["public_ipv4_pool"]);
        assert_eq!(wrong(json!({"tags": {"aws:x": ""}})), ["tags.aws:x"]);
    }

    #[test]
    fn an_address_is_on_something_only_with_an_association() {
        let free = Described::builder().allocation_id("eipalloc-1").instance_id("").build();
        assert_eq!(associated_with(&free), None);
        let on = Described::builder().allocation_id("eipalloc-1").association_id("eipassoc-1").instance_id("");
        let on = on.network_interface_id("eni-1").build();
        assert_eq!(associated_with(&on).as_deref(), Some("eni-1"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_somebody_uses_is_not_released() {
        const IN_USE: &str = "<DescribeAddressesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
            <addressesSet><item><allocationId>eipalloc-1</allocationId><associationId>eipassoc-1</associationId>\
            <networkInterfaceId>eni-1</networkInterfaceId></item></addressesSet></DescribeAddressesResponse>";
        let script = Script::new(vec![Answer::Reply(200, IN_USE); 20]);
        let cx = cx("address", script.config()).await;
        let params = ElasticIp::example().unwrap();
        let out = Output { allocation_id: AllocationId::new("eipalloc-1"), public_ip: "203.0.113.7".into() };
        let error = ElasticIp.rollback(&cx, &params, &Absent {}, &out).await.unwrap_err();
        assert_eq!(error.class, switchback_model::ErrorClass::Drift, "{error}");
        assert_eq!(error.message, "eipalloc-1 is used by what this run did not make: eni-1");
        assert!(script.requests() > 2, "what hangs there is believed only after a while");
    }
}
