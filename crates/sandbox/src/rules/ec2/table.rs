//! Route tables, and what ties them to subnets.
//!
//! Mended: the emulator deletes a table that is in use, ties one subnet to many tables, knows few filters, and has no
//! routes for further ranges of the VPC, for gateway endpoints, and for targets that are gone.

use super::select::{Filters, done, page, write_tags};
use super::vpc::made;
use super::{Desk, endpoint, ids, nat};
use crate::picture::ec2::{Ec2, RouteTable, Tie};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &[
    "association.main",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.gateway-id",
    "route.nat-gateway-id",
    "route.origin",
    "route.state",
    "vpc-id",
];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let vpc = params.required("VpcId")?;
    ids::VPC.find(&desk.ec2().vpcs, vpc)?;
    let tags = params.tags_for("route-table")?;
    params.stop_if_dry_run()?;
    let call = Params::call("CreateRouteTable").with("VpcId", vpc).with_tags("route-table", &tags);
    let id = made(&desk.emulator.act(call).await?, "routeTableId")?;
    desk.look();
    let table = ids::TABLE.find(&desk.ec2().tables, &id)?;
    let mut xml = Xml::new();
    xml.tag("routeTable", |xml| write(desk, xml, &id, table));
    xml.leaf_if("clientToken", params.get("ClientToken"));
    Ok(xml.finish())
}

/// One route as it is described.
pub(super) struct Shown {
    pub(super) destination: String,
    pub(super) target: String,
    origin: &'static str,
    is_active: bool,
}

/// All routes of a table: those of the VPC itself, those that were made, those of gateway endpoints.
pub(super) fn routes(desk: &Desk<'_>, id: &str, table: &RouteTable) -> Vec<Shown> {
    let picture = desk.ec2();
    let own = picture.vpcs.get(&table.vpc).into_iter();
    let own = own.flat_map(|vpc| std::iter::once(&vpc.cidr).chain(vpc.more_cidrs.iter().map(|(_, cidr)| cidr)));
    let local = own.map(|cidr| Shown {
        destination: cidr.clone(),
        target: "local".to_owned(),
        origin: "CreateRouteTable",
        is_active: true,
    });
    let made = table.routes.iter().filter(|route| route.target != "local").map(|route| Shown {
        destination: route.destination.clone(),
        target: route.target.clone(),
        origin: "CreateRoute",
        is_active: is_active(desk, table, &route.target),
    });
    let endpoints = picture.endpoints.iter().filter(|(_, it)| it.tables.iter().any(|of| of == id));
    let endpoints = endpoints.filter_map(|(endpoint, it)| {
        let destination = endpoint::prefix_list(&it.service)?.to_owned();
        Some(Shown { destination, target: endpoint.clone(), origin: "CreateRoute", is_active: true })
    });
    local.chain(made).chain(endpoints).collect()
}

/// Whether the target is still there; a route to what is gone is a black hole.
fn is_active(desk: &Desk<'_>, table: &RouteTable, target: &str) -> bool {
    match target.split('-').next().unwrap_or_default() {
        "igw" => {
            let gateway = desk.ec2().gateways.get(target);
            gateway.is_some_and(|gateway| gateway.attached_to.contains(&table.vpc))
        }
        "nat" => nat::is_usable(desk, target),
        "eni" => desk.ec2().interfaces.contains_key(target),
        _ => true,
    }
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, table: &RouteTable) {
    xml.leaf("routeTableId", id);
    xml.leaf("vpcId", &table.vpc);
    xml.leaf("ownerId", &desk.place.account);
    xml.set("routeSet", routes(desk, id, table), |xml, route| {
        let destination = match &route.destination {
            list if list.starts_with("pl-") => "destinationPrefixListId",
            v6 if v6.contains(':') => "destinationIpv6CidrBlock",
            _ => "destinationCidrBlock",
        };
        xml.leaf(destination, &route.destination);
        xml.leaf(target_name(&route.target), &route.target);
        xml.leaf("state", if route.is_active { "active" } else { "blackhole" });
        xml.leaf("origin", route.origin);
    });
    xml.set("associationSet", &table.ties, |xml, tie| {
        xml.leaf("routeTableAssociationId", &tie.id);
        xml.leaf("routeTableId", id);
        xml.leaf_if("subnetId", tie.subnet.as_ref());
        xml.leaf("main", tie.main);
        xml.tag("associationState", |xml| xml.leaf("state", "associated"));
    });
    xml.set("propagatingVgwSet", std::iter::empty::<()>(), |_, ()| {});
    write_tags(xml, &table.tags);
}

fn target_name(target: &str) -> &'static str {
    match target.split('-').next().unwrap_or_default() {
        "nat" => "natGatewayId",
        "eni" => "networkInterfaceId",
        "i" => "instanceId",
        "eigw" => "egressOnlyInternetGatewayId",
        "pcx" => "vpcPeeringConnectionId",
        "tgw" => "transitGatewayId",
        _ => "gatewayId",
    }
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("RouteTableId");
    ids::TABLE.check_all(&desk.ec2().tables, &wanted)?;
    let found = desk.ec2().tables.iter().filter(|(id, table)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&table.tags, |name| field(desk, id, table, name))
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("routeTableSet", found, |xml, (id, table)| write(desk, xml, id, table));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

fn field(desk: &Desk<'_>, id: &str, table: &RouteTable, name: &str) -> Vec<String> {
    let shown = || routes(desk, id, table).into_iter();
    let to = |wanted: fn(&str) -> bool| shown().map(|it| it.destination).filter(|to| wanted(to)).collect();
    let by = |kind: &str| shown().map(|it| it.target).filter(|by| target_name(by) == kind).collect();
    match name {
        "association.main" => table.ties.iter().map(|tie| tie.main.to_string()).collect(),
        "association.route-table-association-id" => table.ties.iter().map(|tie| tie.id.clone()).collect(),
        "association.route-table-id" => table.ties.iter().map(|_| id.to_owned()).collect(),
        "association.subnet-id" => table.subnets().cloned().collect(),
        "owner-id" => vec![desk.place.account.clone()],
        "route-table-id" => vec![id.to_owned()],
        "route.destination-cidr-block" => to(|to| to.contains('.')),
        "route.destination-ipv6-cidr-block" => to(|to| to.contains(':')),
        "route.destination-prefix-list-id" => to(|to| to.starts_with("pl-")),
        "route.gateway-id" => by("gatewayId"),
        "route.nat-gateway-id" => by("natGatewayId"),
        "route.origin" => shown().map(|it| it.origin.to_owned()).collect(),
        "route.state" => shown().map(|it| if it.is_active { "active" } else { "blackhole" }.to_owned()).collect(),
        "vpc-id" => vec![table.vpc.clone()],
        _ => Vec::new(),
    }
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("RouteTableId")?;
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    if !table.ties.is_empty() {
        return Err(Refusal::dependency(format!("The routeTable '{id}' has dependencies and cannot be deleted.")));
    }
    let has_endpoints = desk.ec2().endpoints.values().any(|it| it.tables.iter().any(|of| of == id));
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteRouteTable").with("RouteTableId", id)).await?;
    if has_endpoints {
        desk.emulator.drop_table_ties(id).await;
    }
    desk.look();
    Ok(done())
}

/// A tie by its id, with the table that it ties.
fn tie<'a>(picture: &'a Ec2, id: &str) -> Result<(&'a String, &'a Tie), Refusal> {
    ids::TIE.check(id)?;
    let mut all = picture.tables.iter().flat_map(|(table, it)| it.ties.iter().map(move |tie| (table, tie)));
    all.find(|(_, tie)| tie.id == id).ok_or_else(|| ids::TIE.not_found(id))
}

pub(super) async fn associate(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (id, subnet_id) = (params.required("RouteTableId")?, params.required("SubnetId")?);
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, subnet_id)?;
    if table.vpc != subnet.vpc {
        let message = format!("Route table {id} and subnet {subnet_id} belong to different networks.");
        return Err(Refusal::invalid(message));
    }
    if desk.ec2().tables.values().any(|other| other.subnets().any(|of| of == subnet_id)) {
        return Err(Refusal::new(
            "Resource.AlreadyAssociated",
            format!("the specified association for route table {id} conflicts with an existing association"),
        ));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("AssociateRouteTable").with("RouteTableId", id).with("SubnetId", subnet_id);
    let association = made(&desk.emulator.act(call).await?, "associationId")?;
    desk.look();
    Ok(associated("associationId", &association))
}

fn associated(name: &str, association: &str) -> String {
    let mut xml = Xml::new();
    xml.leaf(name, association);
    xml.tag("associationState", |xml| xml.leaf("state", "associated"));
    xml.finish()
}

pub(super) async fn replace_association(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (association, id) = (params.required("AssociationId")?, params.required("RouteTableId")?);
    let (before, _) = tie(desk.ec2(), association)?;
    let table = ids::TABLE.find(&desk.ec2().tables, id)?;
    if desk.ec2().tables.get(before).is_some_and(|before| before.vpc != table.vpc) {
        let message = format!("Route table {id} and the association {association} belong to different networks.");
        return Err(Refusal::invalid(message));
    }
    if before == id {
        let message = format!("the route table {id} is already associated by {association}");
        return Err(Refusal::new("Resource.AlreadyAssociated", message));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("ReplaceRouteTableAssociation").with("AssociationId", association).with("RouteTableId", id);
    let new = made(&desk.emulator.act(call).await?, "newAssociationId")?;
    desk.look();
    Ok(associated("newAssociationId", &new))
}

pub(super) async fn disassociate(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let association = params.required("AssociationId")?;
    let (_, tie) = tie(desk.ec2(), association)?;
    if tie.main {
        return Err(Refusal::invalid(format!("cannot disassociate the main route table association {association}")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DisassociateRouteTable").with("AssociationId", association)).await?;
    desk.look();
    Ok(done())
}
