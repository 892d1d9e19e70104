//! `aws.ec2.route`: one route of a table.
//!
//! A route has neither an id nor tags: it is its destination, and a table has one of each. So the
//! value is the proof, weak unless this run made the table and what the route leads to. A route that
//! is there already is another's, unless the runbook says `replace`: then it is changed, and changed
//! back by the unwind. Routes that a virtual private gateway propagates are no routes of this kind.

use aws_sdk_ec2::types::{
    InternetGateway, NatGateway, Route as Described, RouteOrigin, RouteState, RouteTable, VpcEndpoint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{Calls, POLL, client, resource};
use crate::cidr::{self, Cidr};
use crate::errors::{Call, op_error};
use crate::ids::{
    EgressOnlyInternetGatewayId, InternetGatewayId, NatGatewayId, NetworkInterfaceId, PrefixListId, RouteTableId,
    TransitGatewayId, VpcEndpointId, VpcPeeringConnectionId,
};

/// A route: where traffic to a destination goes. Exactly one destination and exactly one target.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The table (`CreateRoute` RouteTableId).
    pub route_table_id: RouteTableId,
    /// To an IPv4 range, `0.0.0.0/0` (`CreateRoute` DestinationCidrBlock).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    /// To an IPv6 range, `::/0` (`CreateRoute` DestinationIpv6CidrBlock).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    /// To a list of ranges (`CreateRoute` DestinationPrefixListId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<PrefixListId>,
    /// Through an internet gateway (`CreateRoute` GatewayId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<InternetGatewayId>,
    /// Through a NAT gateway (`CreateRoute` NatGatewayId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_gateway_id: Option<NatGatewayId>,
    /// Through an endpoint of a gateway load balancer (`CreateRoute` VpcEndpointId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<VpcEndpointId>,
    /// Through a network interface (`CreateRoute` NetworkInterfaceId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<NetworkInterfaceId>,
    /// Through a transit gateway (`CreateRoute` TransitGatewayId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transit_gateway_id: Option<TransitGatewayId>,
    /// Into another VPC (`CreateRoute` VpcPeeringConnectionId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<VpcPeeringConnectionId>,
    /// Out only, for IPv6 (`CreateRoute` EgressOnlyInternetGatewayId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<EgressOnlyInternetGatewayId>,
    /// Changes the route that is there, by `ReplaceRoute`; without one it is an error. The unwind
    /// restores its target.
    #[serde(default)]
    pub replace: bool,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// What is inside of the VPC.
    Local,
    /// An internet gateway or a virtual private gateway.
    Gateway(String),
    /// A NAT gateway.
    NatGateway(String),
    /// An endpoint of a gateway load balancer.
    VpcEndpoint(String),
    /// A network interface, also an instance's.
    NetworkInterface(String),
    /// A transit gateway.
    TransitGateway(String),
    /// Another VPC.
    VpcPeeringConnection(String),
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway(String),
    /// A gateway to what stands on premises.
    LocalGateway(String),
    /// A gateway to a carrier's network.
    CarrierGateway(String),
    /// The ARN of a core network.
    CoreNetwork(String),
}

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// What the route led to; none: there was no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The table.
    pub route_table_id: RouteTableId,
    /// The destination, a range or a prefix list's id.
    pub destination: String,
    /// The id of what it leads to.
    pub target: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Route;

impl Target {
    fn id(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Gateway(id)
            | Self::NatGateway(id)
            | Self::VpcEndpoint(id)
            | Self::NetworkInterface(id)
            | Self::TransitGateway(id)
            | Self::VpcPeeringConnection(id)
            | Self::EgressOnlyInternetGateway(id)
            | Self::LocalGateway(id)
            | Self::CarrierGateway(id)
            | Self::CoreNetwork(id) => id,
        }
    }

    /// As AWS describes it; none: one that this release does not know.
    fn described(route: &Described) -> Option<Self> {
        let some = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
        let gateway = |id: String| match id.as_str() {
            "local" => Self::Local,
            // AWS describes an endpoint as a gateway.
            endpoint if endpoint.starts_with(VpcEndpointId::PREFIX) => Self::VpcEndpoint(id),
            _ => Self::Gateway(id),
        };
        some(route.gateway_id())
            .map(gateway)
            .or_else(|| some(route.nat_gateway_id()).map(Self::NatGateway))
            .or_else(|| some(route.network_interface_id()).map(Self::NetworkInterface))
            .or_else(|| some(route.transit_gateway_id()).map(Self::TransitGateway))
            .or_else(|| some(route.vpc_peering_connection_id()).map(Self::VpcPeeringConnection))
            .or_else(|| some(route.egress_only_internet_gateway_id()).map(Self::EgressOnlyInternetGateway))
            .or_else(|| some(route.local_gateway_id()).map(Self::LocalGateway))
            .or_else(|| some(route.carrier_gateway_id()).map(Self::CarrierGateway))
            .or_else(|| some(route.core_network_arn()).map(Self::CoreNetwork))
    }
}

/// Puts the target into a call. Both calls have the same fields, and only one takes `Local`.
macro_rules! aimed {
    ($call:expr, $target:expr, $local:expr) => {
        match $target {
            Target::Local => $local($call),
            Target::Gateway(id) => $call.gateway_id(id),
            Target::NatGateway(id) => $call.nat_gateway_id(id),
            Target::VpcEndpoint(id) => $call.vpc_endpoint_id(id),
            Target::NetworkInterface(id) => $call.network_interface_id(id),
            Target::TransitGateway(id) => $call.transit_gateway_id(id),
            Target::VpcPeeringConnection(id) => $call.vpc_peering_connection_id(id),
            Target::EgressOnlyInternetGateway(id) => $call.egress_only_internet_gateway_id(id),
            Target::LocalGateway(id) => $call.local_gateway_id(id),
            Target::CarrierGateway(id) => $call.carrier_gateway_id(id),
            Target::CoreNetwork(arn) => $call.core_network_arn(arn),
        }
    };
}

impl Params {
    fn destinations(&self) -> Vec<String> {
        let v4 = self.destination_cidr_block.as_deref().map(cidr::canonical);
        let v6 = self.destination_ipv6_cidr_block.as_deref().map(cidr::canonical);
        let list = self.destination_prefix_list_id.as_ref().map(ToString::to_string);
        v4.into_iter().chain(v6).chain(list).collect()
    }

    /// The one destination, in the form in which AWS describes it.
    fn destination(&self) -> String {
        self.destinations().into_iter().next().unwrap_or_default()
    }

    fn targets(&self) -> Vec<Target> {
        let interface = self.network_interface_id.as_ref().map(|id| Target::NetworkInterface(id.to_string()));
        let transit = self.transit_gateway_id.as_ref().map(|id| Target::TransitGateway(id.to_string()));
        let peering = self.vpc_peering_connection_id.as_ref().map(|id| Target::VpcPeeringConnection(id.to_string()));
        let egress = &self.egress_only_internet_gateway_id;
        let egress = egress.as_ref().map(|id| Target::EgressOnlyInternetGateway(id.to_string()));
        [
            self.gateway_id.as_ref().map(|id| Target::Gateway(id.to_string())),
            self.nat_gateway_id.as_ref().map(|id| Target::NatGateway(id.to_string())),
            self.vpc_endpoint_id.as_ref().map(|id| Target::VpcEndpoint(id.to_string())),
            interface,
            transit,
            peering,
            egress,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The one target; `check` has seen that there is one.
    fn target(&self) -> Target {
        self.targets().into_iter().next().unwrap_or(Target::Local)
    }

    fn about(&self) -> String {
        format!("the route to {} in {}", self.destination(), self.route_table_id)
    }

    fn output(&self) -> Output {
        Output {
            route_table_id: self.route_table_id.clone(),
            destination: self.destination(),
            target: self.target().id().to_owned(),
        }
    }

    /// The call that makes it.
    const fn writes(&self) -> &'static str {
        if self.replace { "ec2:ReplaceRoute" } else { "ec2:CreateRoute" }
    }
}

/// A route's destination in one form.
pub(super) fn destination(route: &Described) -> Option<String> {
    let range = route.destination_cidr_block().or(route.destination_ipv6_cidr_block());
    range.map(cidr::canonical).or_else(|| route.destination_prefix_list_id().map(str::to_owned))
}

/// The route to that destination that a call has made: one that is propagated beside it is not meant.
fn route_to<'a>(table: &'a RouteTable, to: &str) -> Option<&'a Described> {
    let propagated = |r: &&Described| {
        matches!(r.origin(), Some(RouteOrigin::EnableVgwRoutePropagation | RouteOrigin::Advertisement))
    };
    table.routes().iter().filter(|r| !propagated(r)).find(|r| destination(r).as_deref() == Some(to))
}

/// What stands at the destination now.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    /// No route, or no table.
    Absent,
    /// A route to that; none: to what this release does not know.
    To(Option<Target>),
}

impl Standing {
    fn of(route: Option<&Described>) -> Self {
        route.map_or(Self::Absent, |r| Self::To(Target::described(r)))
    }

    fn is(&self, target: &Target) -> bool {
        matches!(self, Self::To(Some(there)) if there == target)
    }

    fn text(&self) -> String {
        match self {
            Self::Absent => "is not there".to_owned(),
            Self::To(target) => format!("leads to {}", target.as_ref().map_or("something unknown", Target::id)),
        }
    }
}

async fn standing(cx: &Cx, params: &Params) -> OpResult<Standing> {
    let table = resource::by_id::<RouteTable>(cx, params.route_table_id.as_str()).await?;
    Ok(Standing::of(table.as_ref().and_then(|t| route_to(t, &params.destination()))))
}

/// Whether this run made both the table and what the route leads to.
async fn both_are_ours(cx: &Cx, params: &Params) -> OpResult<bool> {
    if !resource::is_of_run::<RouteTable>(cx, params.route_table_id.as_str()).await? {
        return Ok(false);
    }
    match params.target() {
        Target::Gateway(id) => resource::is_of_run::<InternetGateway>(cx, &id).await,
        Target::NatGateway(id) => resource::is_of_run::<NatGateway>(cx, &id).await,
        Target::VpcEndpoint(id) => resource::is_of_run::<VpcEndpoint>(cx, &id).await,
        _ => Ok(false),
    }
}

async fn replace(cx: &Cx, params: &Params, target: Target, call: Call<'_>) -> OpResult<()> {
    let request = client(cx)?
        .replace_route()
        .route_table_id(params.route_table_id.as_str())
        .set_destination_cidr_block(params.destination_cidr_block.as_deref().map(cidr::canonical))
        .set_destination_ipv6_cidr_block(params.destination_ipv6_cidr_block.as_deref().map(cidr::canonical))
        .set_destination_prefix_list_id(params.destination_prefix_list_id.as_ref().map(ToString::to_string));
    let local = |request: aws_sdk_ec2::operation::replace_route::builders::ReplaceRouteFluentBuilder| {
        request.local_target(true)
    };
    aimed!(request, target, local).send().await.map(|_| ()).map_err(|e| op_error(call, e))
}

impl Operation for Route {
    const KIND: &'static str = "aws.ec2.route";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: match params.target() {
                Target::Gateway(_) => &["ec2:DescribeRouteTables", "ec2:DescribeInternetGateways"],
                Target::NatGateway(_) => &["ec2:DescribeRouteTables", "ec2:DescribeNatGateways"],
                Target::VpcEndpoint(_) => &["ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints"],
                _ => &["ec2:DescribeRouteTables"],
            },
            creates: params.writes(),
            settles: Vec::new(),
            rolls_back: vec![if params.replace { "ec2:ReplaceRoute" } else { "ec2:DeleteRoute" }],
            besides: &[],
        };
        Facts { proof: ProofKind::ByFind, unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            route_table_id: RouteTableId::new("rtb-0a1b2c3d4e5f60718"),
            destination_cidr_block: Some("0.0.0.0/0".to_owned()),
            destination_ipv6_cidr_block: None,
            destination_prefix_list_id: None,
            gateway_id: None,
            nat_gateway_id: Some(NatGatewayId::new("nat-0a1b2c3d4e5f60718")),
            vpc_endpoint_id: None,
            network_interface_id: None,
            transit_gateway_id: None,
            vpc_peering_connection_id: None,
            egress_only_internet_gateway_id: None,
            replace: true,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.route_table_id.check("route_table_id", &mut errors);
        let mut exactly_one = |count: usize, of: &str| {
            if count != 1 {
                let message = format!("of {of} exactly one is needed, not {count}");
                errors.push(ParamError { path: vec![], message });
            }
        };
        exactly_one(
            params.destinations().len(),
            "`destination_cidr_block`, `destination_ipv6_cidr_block` and `destination_prefix_list_id`",
        );
        exactly_one(
            params.targets().len(),
            "`gateway_id`, `nat_gateway_id`, `vpc_endpoint_id`, `network_interface_id`, `transit_gateway_id`, \
             `vpc_peering_connection_id` and `egress_only_internet_gateway_id`",
        );
        for (field, text, v4) in [
            ("destination_cidr_block", &params.destination_cidr_block, true),
            ("destination_ipv6_cidr_block", &params.destination_ipv6_cidr_block, false),
        ] {
            match text.as_deref().map(Cidr::parse) {
                Some(Ok(range)) if range.is_v4() != v4 => {
                    errors.push(ParamError::new(field, format!("{range} is of the other IP version")));
                }
                Some(Err(why)) => errors.push(ParamError::new(field, why)),
                _ => {}
            }
        }
        if params.egress_only_internet_gateway_id.is_some() && params.destination_cidr_block.is_some() {
            let message = "takes IPv6 only, and the destination is IPv4";
            errors.push(ParamError::new("egress_only_internet_gateway_id", message));
        }
        macro_rules! ids {
            ($($field:ident),*) => {
                $(if let Some(id) = &params.$field { id.check(stringify!($field), &mut errors); })*
            };
        }
        ids!(destination_prefix_list_id, gateway_id, nat_gateway_id, vpc_endpoint_id, network_interface_id);
        ids!(transit_gateway_id, vpc_peering_connection_id, egress_only_internet_gateway_id);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let table = resource::existing::<RouteTable>(cx, params.route_table_id.as_str()).await?;
        match params.target() {
            Target::Gateway(id) => drop(resource::existing::<InternetGateway>(cx, &id).await?),
            Target::NatGateway(id) => drop(resource::existing::<NatGateway>(cx, &id).await?),
            Target::VpcEndpoint(id) => drop(resource::existing::<VpcEndpoint>(cx, &id).await?),
            _ => {}
        }
        let route = route_to(&table, &params.destination());
        plan_capture(params, Standing::of(route), route.and_then(Described::state) == Some(&RouteState::Blackhole))
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        let call = Call::new(params.writes(), &about).just_made();
        let now = standing(cx, params).await?;
        if params.replace {
            plan_replace(params, before, &now)?;
            replace(cx, params, params.target(), call).await?;
            return Ok(params.output());
        }
        // AWS takes a route that is there already with the same target, and who made it is lost.
        if now != Standing::Absent {
            return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} is there: it {}", now.text())));
        }
        let request = client(cx)?
            .create_route()
            .route_table_id(params.route_table_id.as_str())
            .set_destination_cidr_block(params.destination_cidr_block.as_deref().map(cidr::canonical))
            .set_destination_ipv6_cidr_block(params.destination_ipv6_cidr_block.as_deref().map(cidr::canonical))
            .set_destination_prefix_list_id(params.destination_prefix_list_id.as_ref().map(ToString::to_string));
        aimed!(request, params.target(), |request| request).send().await.map_err(|e| op_error(call, e))?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let now = standing(cx, params).await?;
        if now.is(&params.target()) {
            let proof = if both_are_ours(cx, params).await? { Proof::Strong } else { Proof::Weak };
            return Ok(Found::Ours { output: params.output(), proof });
        }
        let untouched = before.target.as_ref().map_or(now == Standing::Absent, |target| now.is(target));
        Ok(if untouched {
            Found::Absent
        } else {
            Found::Foreign { what: format!("{}, which {},", params.about(), now.text()) }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        let now = standing(cx, params).await?;
        if !plan_rollback(params, before, &now)? {
            return Ok(Undo::Nothing);
        }
        match &before.target {
            Some(target) => replace(cx, params, target.clone(), Call::new("ec2:ReplaceRoute", &about)).await?,
            None => {
                let deleted = client(cx)?
                    .delete_route()
                    .route_table_id(params.route_table_id.as_str())
                    .set_destination_cidr_block(params.destination_cidr_block.as_deref().map(cidr::canonical))
                    .set_destination_ipv6_cidr_block(params.destination_ipv6_cidr_block.as_deref().map(cidr::canonical))
                    .set_destination_prefix_list_id(params.destination_prefix_list_id.as_ref().map(ToString::to_string))
                    .send()
                    .await;
                if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteRoute", &about), e)))? {
                    return Ok(Undo::Nothing);
                }
            }
        }
        let ours = params.target();
        let look = || async { Ok((!standing(cx, params).await?.is(&ours)).then_some(())) };
        cx.wait_for(&format!("waiting until {about} no longer leads to {}", ours.id()), POLL, look).await?;
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
        let table = resource::by_id::<RouteTable>(cx, params.route_table_id.as_str()).await?;
        let route = table.as_ref().and_then(|t| route_to(t, &params.destination()));
        let (about, ours) = (params.about(), params.target());
        let now = Standing::of(route);
        let there = match &now {
            Standing::Absent => None,
            Standing::To(target) => Some(target.as_ref().map_or("unknown", Target::id)),
        };
        let state = route.and_then(Described::state).map(RouteState::as_str);
        let verdict = Verdict::new();
        let mut verdict = match (want, &before.target) {
            (Expect::Created, _) => verdict
                .compare(format!("{about} leads to"), ours.id(), there)
                // A blackhole leads to what is gone.
                .compare("state", "active", state),
            (Expect::RolledBack, Some(target)) => verdict.compare(format!("{about} leads to"), target.id(), there),
            (Expect::RolledBack, None) => {
                verdict.compare(format!("{about} leads to {}", ours.id()), false, now.is(&ours))
            }
        };
        verdict.observed = json!({
            "route_table_id": params.route_table_id, "destination": params.destination(), "target": there,
            "state": state,
        });
        Ok(verdict)
    }
}

/// The before-image, from what stands there. It must be one that can be restored.
fn plan_capture(params: &Params, now: Standing, blackhole: bool) -> OpResult<Before> {
    let (about, target) = (params.about(), params.target());
    match (params.replace, now) {
        (false, Standing::Absent) => Ok(Before { target: None }),
        (false, now) => Err(OpError::foreign(format!("{about} is there already: it {}", now.text()))
            .with_hint("leave the step out, or let it change the route (`replace: true`)")),
        (true, Standing::Absent) => Err(OpError::permanent(format!("{about} is not there, so it cannot be replaced"))
            .with_hint("leave `replace` out to add the route")),
        (true, now) if now.is(&target) => {
            Err(OpError::foreign(format!("{about} leads to {} already", target.id())).with_hint("leave the step out"))
        }
        (true, _) if blackhole => Err(OpError::permanent(format!(
            "{about} is a blackhole: what it led to is gone, so it could not be restored"
        ))
        .with_hint("delete the route and leave `replace` out")),
        (true, Standing::To(None)) => Err(OpError::permanent(format!(
            "{about} leads to what this release does not know, so it could not be restored"
        ))),
        (true, Standing::To(target)) => Ok(Before { target }),
    }
}

/// Whether the route still is the before-image, right before it is replaced.
fn plan_replace(params: &Params, before: &Before, now: &Standing) -> OpResult<()> {
    let about = params.about();
    match &before.target {
        Some(target) if now.is(target) => Ok(()),
        _ if now.is(&params.target()) => {
            Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} leads to {} already", params.target().id())))
        }
        _ => Err(OpError::drift(format!("{about} was changed since it was looked at: it {}", now.text()))),
    }
}

/// Whether there is something to undo: still ours. What is neither ours nor the before-image is drift.
fn plan_rollback(params: &Params, before: &Before, now: &Standing) -> OpResult<bool> {
    if now.is(&params.target()) {
        return Ok(true);
    }
    if before.target.as_ref().map_or(*now == Standing::Absent, |target| now.is(target)) {
        return Ok(false);
    }
    Err(OpError::drift(format!(
        "{} led to {} and was changed since: it {}",
        params.about(),
        params.target().id(),
        now.text()
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn params(more: Value) -> Params {
        let mut all = json!({"route_table_id": "rtb-12345678", "destination_cidr_block": "0.0.0.0/0",
            "gateway_id": "igw-12345678"});
        for (key, value) in more.as_object().unwrap() {
            if value.is_null() {
                all.as_object_mut().unwrap().remove(key)
            } else {
                all.as_object_mut().unwrap().insert(key.clone(), value.clone())
            };
        }
        serde_json::from_value(all).unwrap()
    }

    fn wrong(more: Value) -> Vec<String> {
        let errors = Route.check(&params(more)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    fn to(id: &str) -> Standing {
        Standing::To(Some(Target::Gateway(id.to_owned())))
    }

    fn before(id: Option<&str>) -> Before {
        Before { target: id.map(|id| Target::Gateway(id.to_owned())) }
    }

    const OURS: &str = "igw-12345678";

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Route.check(&Route::example().unwrap()).is_ok());
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"destination_cidr_block": null})), [""]);
        assert_eq!(wrong(json!({"destination_ipv6_cidr_block": "::/0"})), [""]);
        assert_eq!(wrong(json!({"gateway_id": null})), [""]);
        assert_eq!(wrong(json!({"nat_gateway_id": "nat-12345678"})), [""]);
        assert_eq!(wrong(json!({"destination_cidr_block": "10.0.0.1/16"})), ["destination_cidr_block"]);
        assert_eq!(wrong(json!({"destination_cidr_block": "::/0"})), ["destination_cidr_block"]);
        assert_eq!(wrong(json!({"gateway_id": "nat-12345678"})), ["gateway_id"]);
        assert_eq!(wrong(json!({"route_table_id": "x"})), ["route_table_id"]);
        let out = json!({"gateway_id": null, "egress_only_internet_gateway_id": "eigw-12345678"});
        assert_eq!(wrong(out), ["egress_only_internet_gateway_id"]);
        let list = json!({"destination_cidr_block": null, "destination_prefix_list_id": "pl-12345678"});
        assert!(wrong(list).is_empty());
    }

    #[test]
    fn the_calls_are_those_that_the_parameters_ask_for() {
        let facts = Route.facts(&params(json!({})));
        assert_eq!((facts.creates, facts.rolls_back), (vec!["ec2:CreateRoute".into()], vec!["ec2:DeleteRoute".into()]));
        assert_eq!(facts.proof, ProofKind::ByFind);
        let facts = Route.facts(&params(json!({"replace": true})));
        assert_eq!((facts.creates.clone(), facts.creates), (facts.rolls_back, vec!["ec2:ReplaceRoute".into()]));
    }

    #[test]
    fn a_destination_has_one_form_and_propagated_routes_are_not_meant() {
        let route = |origin: RouteOrigin| {
            let route = Described::builder().destination_ipv6_cidr_block("2600:1F18:0::/56").gateway_id("vgw-1");
            route.origin(origin).build()
        };
        let table = RouteTable::builder().routes(route(RouteOrigin::EnableVgwRoutePropagation)).build();
        assert!(route_to(&table, "2600:1f18::/56").is_none());
        let table = RouteTable::builder().routes(route(RouteOrigin::CreateRoute)).build();
        assert!(route_to(&table, "2600:1f18::/56").is_some());
        assert!(route_to(&table, "::/0").is_none());
    }

    #[test]
    fn a_target_is_read_from_whichever_field_has_it() {
        let gateway = |id: &str| Target::described(&Described::builder().gateway_id(id).build());
        assert_eq!(gateway("local"), Some(Target::Local));
        assert_eq!(gateway("igw-1"), Some(Target::Gateway("igw-1".into())));
        assert_eq!(gateway("vpce-1"), Some(Target::VpcEndpoint("vpce-1".into())));
        // An instance is described with its interface, which is what can be restored.
        let instance = Described::builder().gateway_id("").instance_id("i-1").network_interface_id("eni-1").build();
        assert_eq!(Target::described(&instance), Some(Target::NetworkInterface("eni-1".into())));
        assert_eq!(Target::described(&Described::builder().build()), None);
    }

    #[test]
    fn the_stored_forms_stay() {
        let image = before(Some("igw-1"));
        assert_eq!(serde_json::to_value(&image).unwrap(), json!({"target": {"gateway": "igw-1"}}));
        assert_eq!(serde_json::to_value(before(None)).unwrap(), json!({}));
        assert_eq!(serde_json::from_value::<Before>(json!({"target": "local"})).unwrap().target, Some(Target::Local));
    }

    #[test]
    fn what_can_be_restored_is_captured() {
        let class = |result: OpResult<Before>| result.map_err(|e| e.class);
        let (add, change) = (params(json!({})), params(json!({"replace": true})));
        assert_eq!(class(plan_capture(&add, Standing::Absent, false)), Ok(before(None)));
        assert_eq!(class(plan_capture(&add, to(OURS), false)), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&add, to("igw-1"), false)), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&change, to("igw-1"), false)), Ok(before(Some("igw-1"))));
        assert_eq!(class(plan_capture(&change, to("igw-1"), true)), Err(ErrorClass::Permanent));
        assert_eq!(class(plan_capture(&change, to(OURS), false)), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&change, Standing::Absent, false)), Err(ErrorClass::Permanent));
        assert_eq!(class(plan_capture(&change, Standing::To(None), false)), Err(ErrorClass::Permanent));
    }

    #[test]
    fn only_the_before_image_is_replaced() {
        let change = params(json!({"replace": true}));
        let class = |now: Standing| plan_replace(&change, &before(Some("igw-1")), &now).map_err(|e| e.class);
        assert_eq!(class(to("igw-1")), Ok(()));
        assert_eq!(class(to(OURS)), Err(ErrorClass::AlreadyExists));
        assert_eq!(class(to("igw-2")), Err(ErrorClass::Drift));
        assert_eq!(class(Standing::Absent), Err(ErrorClass::Drift));
    }

    #[test]
    fn only_what_is_still_ours_is_undone() {
        let class =
            |before: &Before, now: Standing| plan_rollback(&params(json!({})), before, &now).map_err(|e| e.class);
        let (added, changed) = (before(None), before(Some("igw-1")));
        assert_eq!(class(&added, to(OURS)), Ok(true));
        assert_eq!(class(&added, Standing::Absent), Ok(false));
        assert_eq!(class(&added, to("igw-1")), Err(ErrorClass::Drift));
        assert_eq!(class(&changed, to(OURS)), Ok(true));
        assert_eq!(class(&changed, to("igw-1")), Ok(false));
        assert_eq!(class(&changed, Standing::Absent), Err(ErrorClass::Drift));
        assert_eq!(class(&changed, to("igw-2")), Err(ErrorClass::Drift));
        assert_eq!(class(&changed, Standing::To(None)), Err(ErrorClass::Drift));
    }
}
