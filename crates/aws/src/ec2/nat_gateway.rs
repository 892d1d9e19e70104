//! `aws.ec2.nat_gateway`: lets what is in private subnets call out.
//!
//! The create call only begins; AWS finds out later that an address is taken or that the network has
//! no internet gateway, and the gateway is then `failed`. A failed one serves nobody, holds nothing
//! and is deleted by AWS, so it is no longer what the step made. A deleted one is listed for an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::{
    Address, ConnectivityType, NatGateway as Described, NatGatewayAddress, NatGatewayState, ResourceType, RouteTable,
    Subnet,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::{Absent, Calls, POLL, client, elastic_ip, resource, tags};
use crate::errors::{Call, op_error};
use crate::ids::{AllocationId, NatGatewayId, NetworkInterfaceId, SubnetId, VpcId};

/// It takes one to a few minutes.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Whether what is behind it reaches the internet, or other private networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// The internet, with an elastic IP address.
    #[default]
    Public,
    /// Other networks, with a private address.
    Private,
}

/// A NAT gateway: the way out of private subnets.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The subnet that it stands in, for a public one a public subnet (`CreateNatGateway` SubnetId).
    pub subnet_id: SubnetId,
    /// Public or private (`CreateNatGateway` ConnectivityType).
    #[serde(default)]
    pub connectivity_type: Connectivity,
    /// The address that it is seen as. Needed by a public one, not for a private one
    /// (`CreateNatGateway` AllocationId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
    /// Its address in the subnet; AWS chooses one when it is not given (`CreateNatGateway`
    /// PrivateIpAddress).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<std::net::Ipv4Addr>,
    /// Tags, beside those that say whose it is (`CreateNatGateway` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub nat_gateway_id: NatGatewayId,
    /// The subnet that it stands in.
    pub subnet_id: SubnetId,
    /// The VPC that it stands in.
    pub vpc_id: VpcId,
    /// The public address that it is seen as, once it is there; none of a private one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
    /// Its address in the subnet, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// Its network interface, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<NetworkInterfaceId>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct NatGateway;

impl Params {
    fn about(&self) -> String {
        format!("NAT gateway in {}", self.subnet_id)
    }

    fn connectivity(&self) -> ConnectivityType {
        match self.connectivity_type {
            Connectivity::Public => ConnectivityType::Public,
            Connectivity::Private => ConnectivityType::Private,
        }
    }
}

/// The address that it was made with; others can be added to it.
fn primary(gateway: &Described) -> Option<&NatGatewayAddress> {
    let addresses = gateway.nat_gateway_addresses();
    addresses.iter().find(|a| a.is_primary() == Some(true)).or_else(|| addresses.first())
}

fn output(gateway: &Described) -> Output {
    let address = primary(gateway);
    let some = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
    Output {
        nat_gateway_id: NatGatewayId::new(gateway.nat_gateway_id().unwrap_or_default()),
        subnet_id: SubnetId::new(gateway.subnet_id().unwrap_or_default()),
        vpc_id: VpcId::new(gateway.vpc_id().unwrap_or_default()),
        public_ip: some(address.and_then(NatGatewayAddress::public_ip)),
        private_ip: some(address.and_then(NatGatewayAddress::private_ip)),
        network_interface_id: some(address.and_then(NatGatewayAddress::network_interface_id))
            .map(NetworkInterfaceId::new),
    }
}

fn state(gateway: &Described) -> &str {
    gateway.state().map_or("unknown", |s| s.as_str())
}

/// Its output once it is available; nothing while it may become so.
fn ready(gateway: &Described) -> OpResult<Option<Output>> {
    let id = gateway.nat_gateway_id().unwrap_or_default();
    match gateway.state() {
        Some(NatGatewayState::Available) => Ok(Some(output(gateway))),
        Some(NatGatewayState::Failed) => {
            let why = gateway.failure_message().unwrap_or("AWS does not say why");
            let error = OpError::permanent(format!("NAT gateway {id} failed: {why}"));
            Err(match gateway.failure_code() {
                Some(code) => error.with_code(code),
                None => error,
            })
        }
        Some(NatGatewayState::Deleting | NatGatewayState::Deleted) => {
            Err(OpError::drift(format!("NAT gateway {id} was deleted by somebody: it is {}", state(gateway))))
        }
        _ => Ok(None),
    }
}

/// Who has the address, in words.
async fn address_taken(cx: &Cx, address: Option<&Address>) -> OpResult<Option<String>> {
    let Some(on) = address.and_then(elastic_ip::associated_with) else { return Ok(None) };
    // A gateway's interface says little; the gateway says whose it is.
    let id = address.and_then(Address::allocation_id).unwrap_or_default();
    let gateways: Vec<Described> = resource::list(cx, vec![tags::filter("state", "available")]).await?;
    let holder = gateways.iter().find(|g| g.nat_gateway_addresses().iter().any(|a| a.allocation_id() == Some(id)));
    Ok(Some(match holder {
        Some(gateway) => {
            format!("{id} is used by {}{}", resource::Resource::id(gateway), tags::owner(cx, gateway.tags()))
        }
        None => format!("{id} is used by {on}"),
    }))
}

/// Routes that lead to it, in words.
async fn routes_to(cx: &Cx, vpc: &str, id: &str) -> OpResult<Vec<String>> {
    let tables: Vec<RouteTable> = resource::list(cx, vec![tags::filter("vpc-id", vpc)]).await?;
    let leads_here = |t: &&RouteTable| t.routes().iter().any(|r| r.nat_gateway_id() == Some(id));
    Ok(tables.iter().filter(leads_here).map(|t| format!("a route of {}", resource::Resource::id(t))).collect())
}

impl Operation for NatGateway {
    const KIND: &'static str = "aws.ec2.nat_gateway";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: match params.connectivity_type {
                Connectivity::Public => &[
                    "ec2:DescribeNatGateways",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeAddresses",
                    "ec2:DescribeRouteTables",
                ],
                Connectivity::Private => &["ec2:DescribeNatGateways", "ec2:DescribeSubnets", "ec2:DescribeRouteTables"],
            },
            creates: "ec2:CreateNatGateway",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DeleteNatGateway"],
            besides: &["ec2:CreateTags"],
        };
        // AWS documents no lifetime of the token, so it makes a second create no less possible.
        Facts { create_deadline: DEADLINE, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            subnet_id: SubnetId::new("subnet-0a1b2c3d4e5f60718"),
            connectivity_type: Connectivity::Public,
            allocation_id: Some(AllocationId::new("eipalloc-0a1b2c3d4e5f60718")),
            private_ip_address: Some(std::net::Ipv4Addr::new(10, 0, 1, 10)),
            tags: BTreeMap::from([("Name".to_owned(), "app-nat".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.subnet_id.check("subnet_id", &mut errors);
        match (params.connectivity_type, &params.allocation_id) {
            (_, Some(id)) if params.connectivity_type == Connectivity::Public => {
                id.check("allocation_id", &mut errors);
            }
            (Connectivity::Public, _) => {
                errors.push(ParamError::new("allocation_id", "a public NAT gateway needs an elastic IP address"));
            }
            (Connectivity::Private, Some(_)) => {
                errors.push(ParamError::new("allocation_id", "a private NAT gateway has no public address"));
            }
            (Connectivity::Private, None) => {}
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<Subnet>(cx, params.subnet_id.as_str()).await?;
        if let Some(id) = &params.allocation_id {
            let address = resource::existing::<Address>(cx, id.as_str()).await?;
            if let Some(what) = address_taken(cx, Some(&address)).await? {
                return Err(OpError::foreign(what).with_hint("give the NAT gateway an address of its own"));
            }
        }
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_nat_gateway()
            .client_token(cx.token())
            .subnet_id(params.subnet_id.as_str())
            .connectivity_type(params.connectivity())
            .set_allocation_id(params.allocation_id.as_ref().map(ToString::to_string))
            .set_private_ip_address(params.private_ip_address.map(|ip| ip.to_string()))
            .tag_specifications(tags::specification(cx, ResourceType::Natgateway, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateNatGateway", &about).just_made(), e))?;
        let gateway = reply.nat_gateway().filter(|g| g.nat_gateway_id().is_some());
        gateway.map(output).ok_or_else(|| resource::nameless("ec2:CreateNatGateway", &about))
    }

    async fn settle(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        resource::watch_until(cx, out.nat_gateway_id.as_str(), "available", POLL, ready).await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        if let Some(gateway) = resource::by_ownership::<Described>(cx).await? {
            return Ok(Found::Ours { output: output(&gateway), proof: Proof::Strong });
        }
        let address = match &params.allocation_id {
            Some(id) => resource::by_id::<Address>(cx, id.as_str()).await?,
            None => None,
        };
        Ok(address_taken(cx, address.as_ref()).await?.map_or(Found::Absent, |what| Found::Foreign { what }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.nat_gateway_id.as_str();
        if resource::by_id::<Described>(cx, id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        // AWS would delete it and leave their routes leading nowhere.
        resource::refuse_hanging(cx, id, || routes_to(cx, out.vpc_id.as_str(), id)).await?;
        let deleted = client(cx)?.delete_nat_gateway().nat_gateway_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteNatGateway", id), e)))? {
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
        let id = out.map(|o| o.nat_gateway_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(gateway) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let (now, wanted) = (output(&gateway), tags::all(cx, &params.tags));
        let allocation = primary(&gateway).and_then(NatGatewayAddress::allocation_id);
        let connectivity = gateway.connectivity_type().map_or("public", ConnectivityType::as_str);
        let mut verdict = Verdict::new()
            .compare("state", "available", state(&gateway))
            .compare("subnet_id", params.subnet_id.as_str(), now.subnet_id.as_str())
            .compare("connectivity_type", params.connectivity().as_str(), connectivity)
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, gateway.tags())));
        if let Some(id) = &params.allocation_id {
            verdict = verdict.compare("allocation_id", id.as_str(), allocation);
        }
        if let Some(ip) = params.private_ip_address {
            verdict = verdict.compare("private_ip_address", ip.to_string(), now.private_ip.as_deref());
        }
        verdict.observed = json!({
            "nat_gateway_id": now.nat_gateway_id, "state": state(&gateway), "subnet_id": now.subnet_id,
            "vpc_id": now.vpc_id, "connectivity_type": connectivity, "allocation_id": allocation,
            "public_ip": now.public_ip, "private_ip": now.private_ip,
            "network_interface_id": now.network_interface_id, "tags": tags::read(gateway.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::resource::{Presence, Resource as _};
    use super::*;

    fn wrong(value: serde_json::Value) -> Vec<String> {
        let errors = NatGateway.check(&serde_json::from_value(value).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    fn gateway(state: &str) -> Described {
        Described::builder().nat_gateway_id("nat-1").state(state.into()).build()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let (subnet, address) = ("subnet-12345678", "eipalloc-12345678");
        assert!(NatGateway.check(&NatGateway::example().unwrap()).is_ok());
        assert!(wrong(json!({"subnet_id": subnet, "allocation_id": address})).is_empty());
        assert!(wrong(json!({"subnet_id": subnet, "connectivity_type": "private"})).is_empty());
        assert_eq!(wrong(json!({"subnet_id": subnet})), ["allocation_id"]);
        assert_eq!(wrong(json!({"subnet_id": "vpc-12345678", "allocation_id": "x"})), ["subnet_id", "allocation_id"]);
        let both = json!({"subnet_id": subnet, "allocation_id": address, "connectivity_type": "private"});
        assert_eq!(wrong(both), ["allocation_id"]);
        let ip = json!({"subnet_id": subnet, "allocation_id": address, "private_ip_address": "10.0.0.256"});
        assert!(serde_json::from_value::<Params>(ip).is_err());
    }

    #[test]
    fn a_state_ends_the_wait_or_does_not() {
        assert_eq!(ready(&gateway("pending")).unwrap(), None);
        assert!(ready(&gateway("available")).unwrap().is_some());
        for state in ["deleting", "deleted"] {
            assert_eq!(ready(&gateway(state)).unwrap_err().class, ErrorClass::Drift, "{state}");
        }
        let failed = Described::builder().nat_gateway_id("nat-1").state(NatGatewayState::Failed);
        let failed = failed.failure_code("Gateway.NotAttached").failure_message("Network vpc-1 has no gateway").build();
        let error = ready(&failed).unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert_eq!(error.code.as_deref(), Some("Gateway.NotAttached"));
        assert!(error.message.contains("Network vpc-1 has no gateway"), "{error}");
    }

    #[test]
    fn what_failed_or_is_deleted_is_no_longer_what_the_step_made() {
        for (state, presence) in [
            ("pending", Presence::There),
            ("available", Presence::There),
            ("failed", Presence::There),
            ("deleting", Presence::Leaving),
            ("deleted", Presence::Gone),
        ] {
            assert_eq!(gateway(state).presence(), presence, "{state}");
        }
    }

    #[test]
    fn its_address_is_the_one_that_it_was_made_with() {
        let address = |ip: &str, primary: bool| NatGatewayAddress::builder().public_ip(ip).is_primary(primary).build();
        let gateway = Described::builder()
            .nat_gateway_addresses(address("203.0.113.8", false))
            .nat_gateway_addresses(address("203.0.113.7", true))
            .build();
        assert_eq!(output(&gateway).public_ip.as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn only_a_public_one_looks_at_addresses() {
        let mut params = NatGateway::example().unwrap();
        let reads = |params: &Params| NatGateway.facts(params).reads.contains(&"ec2:DescribeAddresses".into());
        assert!(reads(&params));
        params.connectivity_type = Connectivity::Private;
        assert!(!reads(&params));
    }
}
