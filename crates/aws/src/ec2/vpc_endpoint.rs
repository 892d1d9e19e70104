//! `aws.ec2.vpc_endpoint`: reaches a service of AWS from inside of a VPC.
//!
//! A gateway endpoint (S3, `DynamoDB`) puts routes into tables; an interface endpoint has a network
//! interface in each of its subnets. Both outlive the endpoint for a while and hold on to what they
//! are in, so it is gone when they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{
    DnsEntry, ResourceType, RouteTable, SecurityGroup, SecurityGroupIdentifier, Subnet, UnsuccessfulItem, Vpc,
    VpcEndpoint as Described, VpcEndpointType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::{Absent, Calls, POLL, client, resource, tags};
use crate::document::normal;
use crate::errors::{Call, item_error, op_error};
use crate::ids::{NetworkInterfaceId, RouteTableId, SecurityGroupId, SubnetId, VpcEndpointId, VpcId};

/// An interface endpoint takes one to some minutes.
const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// AWS's limit on a policy, in characters.
const LONGEST_POLICY: usize = 20_480;

/// The kind of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// Routes in tables: S3 and `DynamoDB`.
    #[default]
    Gateway,
    /// Network interfaces in subnets.
    Interface,
}

/// A VPC endpoint: a private way to an AWS service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The VPC (`CreateVpcEndpoint` VpcId).
    pub vpc_id: VpcId,
    /// The service, `com.amazonaws.us-east-1.s3` (`CreateVpcEndpoint` ServiceName).
    pub service_name: String,
    /// `Gateway` or `Interface` (`CreateVpcEndpoint` VpcEndpointType).
    #[serde(default)]
    pub vpc_endpoint_type: Kind,
    /// The tables that get a route to the service; for a gateway endpoint only
    /// (`CreateVpcEndpoint` RouteTableIds).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route_table_ids: Vec<RouteTableId>,
    /// The subnets that get a network interface, one a zone; for an interface endpoint only
    /// (`CreateVpcEndpoint` SubnetIds).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnet_ids: Vec<SubnetId>,
    /// What guards the network interfaces; the VPC's default group when none is given
    /// (`CreateVpcEndpoint` SecurityGroupIds).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<SecurityGroupId>,
    /// Whether the service's own name leads here from inside of the VPC; for an interface endpoint
    /// only (`CreateVpcEndpoint` PrivateDnsEnabled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_dns_enabled: Option<bool>,
    /// Who may do what through it, as JSON; everything when it is not given (`CreateVpcEndpoint`
    /// PolicyDocument).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_document: Option<String>,
    /// Tags, beside those that say whose it is (`CreateVpcEndpoint` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A name of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsName {
    /// The name.
    pub dns_name: String,
    /// The id of the zone that it is in.
    pub hosted_zone_id: String,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub vpc_endpoint_id: VpcEndpointId,
    /// Its names, once they are there; none of a gateway endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_entries: Vec<DnsName>,
    /// Its network interfaces, once they are there; none of a gateway endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_interface_ids: Vec<NetworkInterfaceId>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct VpcEndpoint;

impl Params {
    fn about(&self) -> String {
        format!("endpoint of {} for {}", self.vpc_id, self.service_name)
    }

    fn kind(&self) -> VpcEndpointType {
        match self.vpc_endpoint_type {
            Kind::Gateway => VpcEndpointType::Gateway,
            Kind::Interface => VpcEndpointType::Interface,
        }
    }

    fn is_interface(&self) -> bool {
        self.vpc_endpoint_type == Kind::Interface
    }

    fn route_tables(&self) -> BTreeSet<&str> {
        self.route_table_ids.iter().map(RouteTableId::as_str).collect()
    }

    fn subnets(&self) -> BTreeSet<&str> {
        self.subnet_ids.iter().map(SubnetId::as_str).collect()
    }

    fn groups(&self) -> BTreeSet<&str> {
        self.security_group_ids.iter().map(SecurityGroupId::as_str).collect()
    }
}

/// Ids in one order, so that lists can be compared: AWS has its own.
fn sorted(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

fn output(endpoint: &Described) -> Output {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let name = |e: &DnsEntry| DnsName { dns_name: text(e.dns_name()), hosted_zone_id: text(e.hosted_zone_id()) };
    let names: BTreeSet<_> = endpoint.dns_entries().iter().map(name).collect();
    let interfaces = sorted(endpoint.network_interface_ids());
    Output {
        vpc_endpoint_id: VpcEndpointId::new(endpoint.vpc_endpoint_id().unwrap_or_default()),
        dns_entries: names.into_iter().collect(),
        network_interface_ids: interfaces.into_iter().map(NetworkInterfaceId::new).collect(),
    }
}

/// In lower case: AWS answers so, and the SDK's constants are in upper case.
fn state(endpoint: &Described) -> String {
    endpoint.state().map_or_else(|| "unknown".to_owned(), |s| s.as_str().to_ascii_lowercase())
}

fn why(endpoint: &Described) -> String {
    let error = endpoint.last_error().and_then(|e| e.message());
    error.or(endpoint.failure_reason()).unwrap_or("AWS does not say why").to_owned()
}

/// Its output once it is available; nothing while it may become so.
fn ready(endpoint: &Described) -> OpResult<Option<Output>> {
    let id = endpoint.vpc_endpoint_id().unwrap_or_default();
    match state(endpoint).as_str() {
        "available" => Ok(Some(output(endpoint))),
        "failed" => Err(OpError::permanent(format!("VPC endpoint {id} failed: {}", why(endpoint)))),
        now @ ("rejected" | "expired") => {
            Err(OpError::permanent(format!("the owner of the service did not accept VPC endpoint {id}: it is {now}")))
        }
        now @ ("deleting" | "deleted") => {
            Err(OpError::drift(format!("VPC endpoint {id} was deleted by somebody: it is {now}")))
        }
        // `pending`, and `pendingacceptance`: the owner of the service may still accept it.
        _ => Ok(None),
    }
}

/// The endpoint, of those for the same service in the same VPC, that AWS takes no second one beside.
fn in_the_way<'a>(params: &Params, there: &'a [Described]) -> Option<&'a Described> {
    let private_dns = params.is_interface() && params.private_dns_enabled == Some(true);
    there.iter().find(|e| {
        e.service_name() == Some(params.service_name.as_str())
            && e.vpc_endpoint_type() == Some(&params.kind())
            && (private_dns && e.private_dns_enabled() == Some(true)
                || params.route_tables().iter().any(|t| e.route_table_ids().iter().any(|id| id == t)))
    })
}

/// In words, what is in the way.
async fn conflict(cx: &Cx, params: &Params) -> OpResult<Option<String>> {
    let there: Vec<Described> = resource::list(cx, vec![tags::filter("vpc-id", params.vpc_id.as_str())]).await?;
    Ok(in_the_way(params, &there).map(|other| {
        let id = resource::Resource::id(other);
        format!("{}, {id}{}", params.about(), tags::owner(cx, other.tags()))
    }))
}

/// The ids of those that are there and not among ours.
fn added<'a>(what: &str, ours: &BTreeSet<&str>, there: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let foreign = there.into_iter().filter(|id| !ours.contains(id.as_str()));
    foreign.map(|id| format!("{what} {id}")).collect()
}

/// What was added to the endpoint since it was made, in words.
fn hanging(params: &Params, endpoint: &Described) -> Vec<String> {
    let mut all = added("route table", &params.route_tables(), endpoint.route_table_ids());
    all.extend(added("subnet", &params.subnets(), endpoint.subnet_ids()));
    all
}

/// The one refusal in a reply to the delete call; none: it was accepted.
fn refusal(call: Call<'_>, unsuccessful: &[UnsuccessfulItem]) -> Option<OpError> {
    let error = unsuccessful.first()?.error();
    let message = error.and_then(|e| e.message()).unwrap_or("AWS does not say why");
    Some(item_error(call, error.and_then(|e| e.code()), message))
}

/// What is left of an endpoint that is gone: network interfaces, and routes in tables.
async fn remains(cx: &Cx, params: &Params, id: &str, interfaces: &BTreeSet<String>) -> OpResult<Vec<String>> {
    let mut left = Vec::new();
    if !interfaces.is_empty() {
        let ids: Vec<&str> = interfaces.iter().map(String::as_str).collect();
        let filter = resource::any("network-interface-id", &ids);
        let pages = client(cx)?.describe_network_interfaces().filters(filter).into_paginator().items().send();
        let found = pages.try_collect().await;
        let found = found.map_err(|e| op_error(Call::new("ec2:DescribeNetworkInterfaces", id), e))?;
        let there = found.iter().filter_map(|i| i.network_interface_id());
        left.extend(there.filter(|there| interfaces.contains(*there)).map(str::to_owned));
    }
    if !params.route_table_ids.is_empty() {
        let ids: Vec<&str> = params.route_tables().into_iter().collect();
        let tables: Vec<RouteTable> = resource::list(cx, vec![resource::any("route-table-id", &ids)]).await?;
        let leads_here = |t: &&RouteTable| t.routes().iter().any(|r| r.gateway_id() == Some(id));
        let tables = tables.iter().filter(leads_here);
        left.extend(tables.map(|t| format!("a route of {}", resource::Resource::id(t))));
    }
    Ok(left)
}

impl Operation for VpcEndpoint {
    const KIND: &'static str = "aws.ec2.vpc_endpoint";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let private_dns = params.private_dns_enabled == Some(true);
        let calls = Calls {
            reads: match params.vpc_endpoint_type {
                Kind::Gateway => &["ec2:DescribeVpcEndpoints", "ec2:DescribeVpcs", "ec2:DescribeRouteTables"],
                Kind::Interface => &[
                    "ec2:DescribeVpcEndpoints",
                    "ec2:DescribeVpcs",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeNetworkInterfaces",
                ],
            },
            creates: "ec2:CreateVpcEndpoint",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DeleteVpcEndpoints"],
            besides: if private_dns {
                &["ec2:CreateTags", "route53:AssociateVPCWithHostedZone"]
            } else {
                &["ec2:CreateTags"]
            },
        };
        // AWS documents no lifetime of the token, so it makes a second create no less possible.
        Facts {
            create_deadline: DEADLINE,
            extra_undo_actions: private_dns
                .then(|| "route53:DisassociateVPCFromHostedZone".into())
                .into_iter()
                .collect(),
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            service_name: "com.amazonaws.us-east-1.ecr.api".to_owned(),
            vpc_endpoint_type: Kind::Interface,
            route_table_ids: Vec::new(),
            subnet_ids: vec![SubnetId::new("subnet-0a1b2c3d4e5f60718")],
            security_group_ids: vec![SecurityGroupId::new("sg-0a1b2c3d4e5f60718")],
            private_dns_enabled: Some(true),
            policy_document: Some(
                r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*","Resource":"*"}]}"#.to_owned(),
            ),
            tags: BTreeMap::from([("Name".to_owned(), "app-ecr".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.vpc_id.check("vpc_id", &mut errors);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let fine = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if !params.service_name.contains('.') || !params.service_name.chars().all(fine) {
            let name = &params.service_name;
            wrong("service_name", format!("{name:?} is not a service's name like `com.amazonaws.us-east-1.s3`"));
        }
        if params.is_interface() {
            if params.subnet_ids.is_empty() {
                wrong("subnet_ids", "an interface endpoint needs at least one subnet".to_owned());
            }
            if !params.route_table_ids.is_empty() {
                wrong("route_table_ids", "are for a gateway endpoint".to_owned());
            }
        } else {
            let of_interface = [
                ("subnet_ids", !params.subnet_ids.is_empty()),
                ("security_group_ids", !params.security_group_ids.is_empty()),
                ("private_dns_enabled", params.private_dns_enabled == Some(true)),
            ];
            for (field, _) in of_interface.into_iter().filter(|(_, given)| *given) {
                wrong(field, "is for an interface endpoint (`vpc_endpoint_type: Interface`)".to_owned());
            }
        }
        if let Some(text) = &params.policy_document {
            let length = text.chars().count();
            if length > LONGEST_POLICY {
                wrong("policy_document", format!("has {length} characters; AWS takes up to {LONGEST_POLICY}"));
            }
            match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(_)) => {}
                Ok(_) => wrong("policy_document", "is not a JSON object".to_owned()),
                Err(e) => wrong("policy_document", format!("is not JSON: {e}")),
            }
        }
        for id in &params.route_table_ids {
            id.check("route_table_ids", &mut errors);
        }
        for id in &params.subnet_ids {
            id.check("subnet_ids", &mut errors);
        }
        for id in &params.security_group_ids {
            id.check("security_group_ids", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<Vpc>(cx, params.vpc_id.as_str()).await?;
        for id in params.route_tables() {
            resource::existing::<RouteTable>(cx, id).await?;
        }
        for id in params.subnets() {
            resource::existing::<Subnet>(cx, id).await?;
        }
        for id in params.groups() {
            resource::existing::<SecurityGroup>(cx, id).await?;
        }
        match conflict(cx, params).await? {
            Some(what) => Err(OpError::foreign(format!("{what} is there already")).with_hint("leave the step out")),
            None => Ok(Absent {}),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let list = |ids: BTreeSet<&str>| {
            let ids: Vec<_> = ids.into_iter().map(str::to_owned).collect();
            (!ids.is_empty()).then_some(ids)
        };
        let reply = client(cx)?
            .create_vpc_endpoint()
            .client_token(cx.token())
            .vpc_id(params.vpc_id.as_str())
            .service_name(&params.service_name)
            .vpc_endpoint_type(params.kind())
            .set_route_table_ids(list(params.route_tables()))
            .set_subnet_ids(list(params.subnets()))
            .set_security_group_ids(list(params.groups()))
            .set_private_dns_enabled(params.private_dns_enabled.filter(|_| params.is_interface()))
            .set_policy_document(params.policy_document.clone())
            .tag_specifications(tags::specification(cx, ResourceType::VpcEndpoint, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateVpcEndpoint", &about).just_made(), e))?;
        let endpoint = reply.vpc_endpoint().filter(|e| e.vpc_endpoint_id().is_some());
        endpoint.map(output).ok_or_else(|| resource::nameless("ec2:CreateVpcEndpoint", &about))
    }

    async fn settle(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        resource::watch_until(cx, out.vpc_endpoint_id.as_str(), "available", POLL, ready).await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        if let Some(endpoint) = resource::by_ownership::<Described>(cx).await? {
            return Ok(Found::Ours { output: output(&endpoint), proof: Proof::Strong });
        }
        Ok(conflict(cx, params).await?.map_or(Found::Absent, |what| Found::Foreign { what }))
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.vpc_endpoint_id.as_str();
        let mut interfaces: BTreeSet<String> = out.network_interface_ids.iter().map(ToString::to_string).collect();
        let mut undo = Undo::Nothing;
        if let Some(endpoint) = resource::by_id::<Described>(cx, id).await? {
            interfaces.extend(endpoint.network_interface_ids().iter().cloned());
            let foreign = hanging(params, &endpoint);
            if !foreign.is_empty() {
                return Err(OpError::drift(format!(
                    "{id} was given more since this run made it: {}",
                    foreign.join(", ")
                ))
                .with_hint("take it away from the endpoint, and `switchback unwind` again"));
            }
            let call = Call::new("ec2:DeleteVpcEndpoints", id);
            let reply = client(cx)?.delete_vpc_endpoints().vpc_endpoint_ids(id).send().await;
            let deleted =
                reply.map_err(|e| op_error(call, e)).and_then(|reply| match refusal(call, reply.unsuccessful()) {
                    Some(error) => Err(error),
                    None => Ok(()),
                });
            if resource::was_there(deleted)? {
                undo = Undo::Done;
            }
        }
        let look = || async {
            let gone = resource::by_id::<Described>(cx, id).await?.is_none();
            Ok((gone && remains(cx, params, id, &interfaces).await?.is_empty()).then_some(()))
        };
        cx.wait_for(&format!("waiting until {id} and what it put into the network is gone"), POLL, look).await?;
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let id = out.map(|o| o.vpc_endpoint_id.as_str());
        if want == Expect::RolledBack {
            let verdict = resource::verify_gone::<Described>(cx, id).await?;
            let Some(out) = out else { return Ok(verdict) };
            let interfaces = out.network_interface_ids.iter().map(ToString::to_string).collect();
            let left = remains(cx, params, out.vpc_endpoint_id.as_str(), &interfaces).await?;
            return Ok(verdict.compare("what it put into the network", json!([]), json!(left)));
        }
        let Some(endpoint) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let groups = endpoint.groups().iter().filter_map(SecurityGroupIdentifier::group_id).collect::<BTreeSet<_>>();
        let mut verdict = Verdict::new()
            .compare("state", "available", state(&endpoint))
            .compare("vpc_id", params.vpc_id.as_str(), endpoint.vpc_id())
            .compare("service_name", params.service_name.as_str(), endpoint.service_name())
            .compare(
                "vpc_endpoint_type",
                params.kind().as_str(),
                endpoint.vpc_endpoint_type().map(VpcEndpointType::as_str),
            )
            .compare("route_table_ids", json!(params.route_tables()), json!(sorted(endpoint.route_table_ids())))
            .compare("subnet_ids", json!(params.subnets()), json!(sorted(endpoint.subnet_ids())))
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, endpoint.tags())));
        if !params.security_group_ids.is_empty() {
            verdict = verdict.compare("security_group_ids", json!(params.groups()), json!(groups));
        }
        if let Some(on) = params.private_dns_enabled {
            verdict = verdict.compare("private_dns_enabled", on, endpoint.private_dns_enabled().unwrap_or_default());
        }
        if let Some(text) = &params.policy_document {
            verdict = verdict.compare("policy_document", normal(text), endpoint.policy_document().map(normal));
        }
        let now = output(&endpoint);
        verdict.observed = json!({
            "vpc_endpoint_id": now.vpc_endpoint_id, "state": state(&endpoint), "vpc_id": endpoint.vpc_id(),
            "service_name": endpoint.service_name(), "route_table_ids": sorted(endpoint.route_table_ids()),
            "subnet_ids": sorted(endpoint.subnet_ids()), "security_group_ids": groups,
            "private_dns_enabled": endpoint.private_dns_enabled(), "dns_entries": now.dns_entries,
            "network_interface_ids": now.network_interface_ids, "tags": tags::read(endpoint.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::UnsuccessfulItemError;
    use switchback_model::ErrorClass;

    use super::resource::{Presence, Resource as _};
    use super::*;

    const S3: &str = "com.amazonaws.us-east-1.s3";

    fn params(more: Value) -> Params {
        let mut all = json!({"vpc_id": "vpc-12345678", "service_name": S3, "route_table_ids": ["rtb-12345678"]});
        for (key, value) in more.as_object().unwrap() {
            all.as_object_mut().unwrap().insert(key.clone(), value.clone());
        }
        serde_json::from_value(all).unwrap()
    }

    fn wrong(more: Value) -> Vec<String> {
        let errors = VpcEndpoint.check(&params(more)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    fn interface(more: Value) -> Value {
        let mut all =
            json!({"vpc_endpoint_type": "Interface", "route_table_ids": [], "subnet_ids": ["subnet-12345678"]});
        for (key, value) in more.as_object().unwrap() {
            all.as_object_mut().unwrap().insert(key.clone(), value.clone());
        }
        all
    }

    fn endpoint(state: &str) -> Described {
        Described::builder().vpc_endpoint_id("vpce-1").state(state.into()).build()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(VpcEndpoint.check(&VpcEndpoint::example().unwrap()).is_ok());
        assert!(wrong(json!({})).is_empty());
        assert!(wrong(json!({"route_table_ids": []})).is_empty());
        assert_eq!(wrong(json!({"service_name": "s3"})), ["service_name"]);
        assert_eq!(wrong(json!({"service_name": "com.amazonaws.us-east-1/s3"})), ["service_name"]);
        assert_eq!(wrong(json!({"route_table_ids": ["rtb-12345678", "x"]})), ["route_table_ids"]);
        assert_eq!(wrong(json!({"subnet_ids": ["subnet-12345678"]})), ["subnet_ids"]);
        assert_eq!(wrong(json!({"private_dns_enabled": true})), ["private_dns_enabled"]);
        assert!(wrong(interface(json!({"private_dns_enabled": true}))).is_empty());
        assert_eq!(wrong(interface(json!({"subnet_ids": []}))), ["subnet_ids"]);
        assert_eq!(wrong(interface(json!({"route_table_ids": ["rtb-12345678"]}))), ["route_table_ids"]);
        assert_eq!(wrong(interface(json!({"security_group_ids": ["x"]}))), ["security_group_ids"]);
        assert_eq!(wrong(json!({"policy_document": "{"})), ["policy_document"]);
        assert_eq!(wrong(json!({"policy_document": "[]"})), ["policy_document"]);
        assert!(wrong(json!({"policy_document": "{}"})).is_empty());
    }

    #[test]
    fn private_dns_needs_a_hosted_zone() {
        let facts = VpcEndpoint.facts(&VpcEndpoint::example().unwrap());
        assert_eq!(facts.extra_actions, ["ec2:CreateTags", "route53:AssociateVPCWithHostedZone"]);
        assert_eq!(facts.extra_undo_actions, ["route53:DisassociateVPCFromHostedZone"]);
        let facts = VpcEndpoint.facts(&params(json!({})));
        assert_eq!(facts.extra_actions, ["ec2:CreateTags"]);
        assert!(facts.extra_undo_actions.is_empty());
    }

    #[test]
    fn a_state_ends_the_wait_or_does_not_however_it_is_written() {
        for state in ["pending", "Pending", "pendingAcceptance"] {
            assert_eq!(ready(&endpoint(state)).unwrap(), None, "{state}");
        }
        for state in ["available", "Available"] {
            assert!(ready(&endpoint(state)).unwrap().is_some(), "{state}");
        }
        for (state, class) in [
            ("failed", ErrorClass::Permanent),
            ("rejected", ErrorClass::Permanent),
            ("Expired", ErrorClass::Permanent),
            ("deleting", ErrorClass::Drift),
            ("Deleted", ErrorClass::Drift),
        ] {
            assert_eq!(ready(&endpoint(state)).unwrap_err().class, class, "{state}");
        }
    }

    #[test]
    fn what_is_deleted_is_not_there_however_it_is_written() {
        for (state, presence) in [
            ("available", Presence::There),
            ("failed", Presence::There),
            ("deleting", Presence::Leaving),
            ("Deleting", Presence::Leaving),
            ("deleted", Presence::Gone),
            ("Deleted", Presence::Gone),
        ] {
            assert_eq!(endpoint(state).presence(), presence, "{state}");
        }
    }

    #[test]
    fn a_second_one_is_in_the_way_only_where_aws_takes_no_two() {
        let there = |kind: VpcEndpointType, table: &str, private_dns: bool| {
            let endpoint = Described::builder().vpc_endpoint_id("vpce-1").service_name(S3).vpc_endpoint_type(kind);
            vec![endpoint.route_table_ids(table).private_dns_enabled(private_dns).build()]
        };
        let gateway = params(json!({}));
        assert!(in_the_way(&gateway, &there(VpcEndpointType::Gateway, "rtb-12345678", false)).is_some());
        assert!(in_the_way(&gateway, &there(VpcEndpointType::Gateway, "rtb-1", false)).is_none());
        assert!(in_the_way(&gateway, &there(VpcEndpointType::Interface, "rtb-12345678", false)).is_none());
        let other = params(json!({"service_name": "com.amazonaws.us-east-1.dynamodb"}));
        assert!(in_the_way(&other, &there(VpcEndpointType::Gateway, "rtb-12345678", false)).is_none());
        let named = params(interface(json!({"private_dns_enabled": true})));
        assert!(in_the_way(&named, &there(VpcEndpointType::Interface, "rtb-1", true)).is_some());
        assert!(in_the_way(&named, &there(VpcEndpointType::Interface, "rtb-1", false)).is_none());
    }

    #[test]
    fn what_others_added_is_not_taken_along() {
        let endpoint = Described::builder().route_table_ids("rtb-12345678").route_table_ids("rtb-1").build();
        assert_eq!(hanging(&params(json!({})), &endpoint), ["route table rtb-1"]);
        let endpoint = Described::builder().subnet_ids("subnet-12345678").build();
        assert!(hanging(&params(interface(json!({}))), &endpoint).is_empty());
    }

    #[test]
    fn a_refusal_in_a_successful_reply_is_an_error() {
        let item = |code: &str| {
            let error = UnsuccessfulItemError::builder().code(code).message("no").build();
            refusal(Call::new("ec2:DeleteVpcEndpoints", "vpce-1"), &[UnsuccessfulItem::builder().error(error).build()])
        };
        let gone = item("InvalidVpcEndpoint.NotFound").unwrap();
        assert!(!resource::was_there::<()>(Err(gone)).unwrap());
        assert_eq!(item("DependencyViolation").unwrap().class, ErrorClass::Busy);
        assert_eq!(item("UnauthorizedOperation").unwrap().class, ErrorClass::Permanent);
        assert!(refusal(Call::new("ec2:DeleteVpcEndpoints", "vpce-1"), &[]).is_none());
    }

    #[test]
    fn order_and_layout_are_no_difference() {
        let given = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": ["b", "a"], "Resource": "*"}}"#;
        let returned = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},
            "Action":["a","b"],"Resource":["*"]}]}"#;
        assert_eq!(normal(given), normal(returned));
        let entry = |name: &str| DnsEntry::builder().dns_name(name).hosted_zone_id("Z1").build();
        let one = Described::builder().dns_entries(entry("b")).dns_entries(entry("a")).network_interface_ids("eni-2");
        let one = one.network_interface_ids("eni-1").build();
        let other = Described::builder().dns_entries(entry("a")).dns_entries(entry("b")).network_interface_ids("eni-1");
        let other = other.network_interface_ids("eni-2").build();
        assert_eq!(output(&one), output(&other));
    }
}
