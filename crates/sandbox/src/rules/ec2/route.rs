//! Routes.
//!
//! Mended: the emulator takes any destination twice, any target, and deletes the route of the VPC itself.

use super::address::{Range4, Range6};
use super::select::done;
use super::table::{Shown, routes};
use super::{Desk, ids, nat};
use crate::picture::ec2::RouteTable;
use crate::query::Params;
use crate::refusal::Refusal;

/// The parameters that can name a target.
const TARGETS: &[&str] = &[
    "GatewayId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "EgressOnlyInternetGatewayId",
    "VpcPeeringConnectionId",
    "TransitGatewayId",
    "VpcEndpointId",
];

/// The one destination of a call, in canonical form.
fn destination(params: &Params) -> Result<String, Refusal> {
    match (params.get("DestinationCidrBlock"), params.get("DestinationIpv6CidrBlock")) {
        (Some(v4), None) => Range4::parse(v4)
            .map(|range| range.to_string())
            .ok_or_else(|| Refusal::value(v4, "destinationCidrBlock", "This is not a valid CIDR block.")),
        (None, Some(v6)) => Range6::parse(v6)
            .map(|range| range.to_string())
            .ok_or_else(|| Refusal::value(v6, "destinationIpv6CidrBlock", "This is not a valid IPv6 CIDR block.")),
        (None, None) if params.get("DestinationPrefixListId").is_some() => {
            Err(Refusal::new("UnsupportedOperation", "The sandbox has no routes to prefix lists of customers"))
        }
        (None, None) => Err(Refusal::missing("destinationCidrBlock")),
        (Some(_), Some(_)) => Err(Refusal::new(
            "InvalidParameterCombination",
            "The parameters DestinationCidrBlock and DestinationIpv6CidrBlock cannot be used together",
        )),
    }
}

/// The one target of a call, which is there and in the network of the table.
fn target<'a>(desk: &Desk<'_>, params: &'a Params, id: &str, table: &RouteTable) -> Result<&'a str, Refusal> {
    let mut given = TARGETS.iter().filter_map(|name| params.get(name));
    let target = given.next().ok_or_else(|| {
        Refusal::new("MissingParameter", "The request must contain exactly one of the parameters that name a target")
    })?;
    if given.next().is_some() {
        return Err(Refusal::new("InvalidParameterCombination", "A route has exactly one target"));
    }
    let picture = desk.ec2();
    let apart =
        |what: &str| Refusal::invalid(format!("route table {id} and {what} {target} belong to different networks"));
    match target.split('-').next().unwrap_or_default() {
        "nat" => {
            let found = ids::NAT_TARGET.find(&picture.nats, target)?;
            if !nat::is_usable(desk, target) {
                return Err(ids::NAT_TARGET.not_found(target));
            }
            if found.vpc != table.vpc {
                return Err(apart("NAT gateway"));
            }
        }
        "eni" => {
            if ids::INTERFACE.find(&picture.interfaces, target)?.vpc != table.vpc {
                return Err(apart("interface"));
            }
        }
        "i" => {
            if !picture.others.contains_key(target) {
                let message = format!("The instance ID '{target}' does not exist");
                return Err(Refusal::new("InvalidInstanceID.NotFound", message));
            }
        }
        "eigw" | "pcx" | "tgw" | "vpce" | "vgw" => {}
        // All else is taken for an internet gateway, and refused as one.
        _ => {
            let found = ids::GATEWAY_TARGET.find(&picture.gateways, target)?;
            if !found.attached_to.contains(&table.vpc) {
                return Err(apart("network gateway"));
            }
        }
    }
    Ok(target)
}

/// The route to a destination.
fn route_to(desk: &Desk<'_>, id: &str, table: &RouteTable, destination: &str) -> Option<Shown> {
    routes(desk, id, table).into_iter().find(|route| route.destination == destination)
}

/// What lies in the VPC itself can go to an interface or an instance only.
fn check_inside(desk: &Desk<'_>, table: &RouteTable, destination: &str, target: &str) -> Result<(), Refusal> {
    let to_interface = ["eni-", "i-", "nat-", "vpce-"].iter().any(|kind| target.starts_with(kind));
    let Some(range) = Range4::parse(destination).filter(|_| !to_interface) else { return Ok(()) };
    let vpc = desk.ec2().vpcs.get(&table.vpc);
    let own = vpc.into_iter().flat_map(|vpc| std::iter::once(&vpc.cidr).chain(vpc.more_cidrs.iter().map(|(_, it)| it)));
    if own.filter_map(|text| Range4::parse(text)).any(|own| own.contains(range)) {
        return Err(Refusal::invalid(format!(
            "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. \
             This route can target only an interface or an instance."
        )));
    }
    Ok(())
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("RouteTableId")?;
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    let destination = destination(params)?;
    let target = target(desk, params, id, table)?;
    if route_to(desk, id, table, &destination).is_some() {
        return Err(Refusal::new(
            "RouteAlreadyExists",
            format!("The route identified by {destination} already exists."),
        ));
    }
    check_inside(desk, table, &destination, target)?;
    params.stop_if_dry_run()?;
    desk.emulator.set_route(id, &destination, Some(target)).await;
    desk.look();
    Ok(done())
}

pub(super) async fn replace(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("RouteTableId")?;
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    let destination = destination(params)?;
    let target = target(desk, params, id, table)?;
    if route_to(desk, id, table, &destination).is_none() {
        return Err(Refusal::invalid(format!(
            "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
        )));
    }
    check_inside(desk, table, &destination, target)?;
    params.stop_if_dry_run()?;
    desk.emulator.set_route(id, &destination, Some(target)).await;
    desk.look();
    Ok(done())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("RouteTableId")?;
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    let destination = destination(params)?;
    let Some(route) = route_to(desk, id, table, &destination) else {
        let kind = if destination.contains(':') { "destination-ipv6-cidr-block" } else { "destination-cidr-block" };
        let message = format!("no route with {kind} {destination} in route table {id}");
        return Err(Refusal::new("InvalidRoute.NotFound", message));
    };
    if route.target == "local" {
        return Err(Refusal::invalid(format!("cannot remove local route {destination} in route table {id}")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.set_route(id, &destination, None).await;
    desk.look();
    Ok(done())
}
