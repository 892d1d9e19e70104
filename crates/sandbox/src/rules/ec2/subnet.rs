//! Subnets.
//!
//! Mended: the emulator takes any range, also overlapping ones and those outside of the VPC, and any zone; counts no
//! addresses; and deletes a subnet with interfaces in it, leaving its ties to route tables and network ACLs behind.

use super::super::{ecs, rds};
use super::address::{Range4, Range6};
use super::select::{Filters, done, page, write_tags};
use super::vpc::{blocks6, made, only_attribute};
use super::{Desk, arn, holders, ids};
use crate::notes::Flag;
use crate::picture::ec2::{Subnet, Vpc};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &[
    "availability-zone",
    "availabilityZone",
    "availability-zone-id",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr-block",
    "cidr",
    "cidrBlock",
    "default-for-az",
    "defaultForAz",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "map-public-ip-on-launch",
    "owner-id",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let vpc_id = params.required("VpcId")?;
    let vpc = ids::VPC.find(&desk.ec2().vpcs, vpc_id)?;
    let cidr = Range4::given(params.required("CidrBlock")?)?;
    let zone = zone(desk, params)?;
    check_range(desk, vpc_id, vpc, cidr)?;
    let ipv6 = params.get("Ipv6CidrBlock").map(|text| check_ipv6(desk, vpc_id, vpc, text)).transpose()?;
    let tags = params.tags_for("subnet")?;
    let count = desk.ec2().subnets.values().filter(|subnet| subnet.vpc == vpc_id).count();
    if desk.settings.quotas.subnets_per_vpc.is_some_and(|most| count >= most) {
        return Err(Refusal::new("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
    }
    params.stop_if_dry_run()?;

    let call = Params::call("CreateSubnet").with("VpcId", vpc_id).with("CidrBlock", cidr.to_string());
    let call = call.with("AvailabilityZone", zone).with_tags("subnet", &tags);
    let id = made(&desk.emulator.act(call).await?, "subnetId")?;
    if let Some(range) = ipv6 {
        let association = format!("subnet-cidr-assoc-{}", id.trim_start_matches("subnet-"));
        desk.emulator.add_subnet_ipv6(&id, &association, &range.to_string()).await;
    }
    desk.look();
    desk.settle(&id);
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, &id)?;
    let mut xml = Xml::new();
    xml.tag("subnet", |xml| write(desk, xml, &id, subnet));
    Ok(xml.finish())
}

fn zone(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let zones = desk.place.zones();
    let found = match (params.get("AvailabilityZone"), params.get("AvailabilityZoneId")) {
        (None, None) => zones.first(),
        (Some(name), _) => zones.iter().find(|(zone, _)| zone == name),
        (None, Some(id)) => zones.iter().find(|(_, zone)| zone == id),
    };
    found.map(|(name, _)| name.clone()).ok_or_else(|| {
        let names: Vec<&str> = zones.iter().map(|(name, _)| name.as_str()).collect();
        let given = params.get("AvailabilityZone").or(params.get("AvailabilityZoneId")).unwrap_or_default();
        let why =
            format!("Subnets can currently only be created in the following availability zones: {}.", names.join(", "));
        Refusal::value(given, "availabilityZone", &why)
    })
}

fn check_range(desk: &Desk<'_>, vpc_id: &str, vpc: &Vpc, cidr: Range4) -> Result<(), Refusal> {
    let more = vpc.more_cidrs.iter().map(|(_, cidr)| cidr);
    let inside = std::iter::once(&vpc.cidr).chain(more).filter_map(|text| Range4::parse(text));
    if !(16..=28).contains(&cidr.length) || !inside.into_iter().any(|range| range.contains(cidr)) {
        return Err(Refusal::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid.")));
    }
    let mut taken = desk.ec2().subnets.values().filter(|subnet| subnet.vpc == vpc_id);
    if taken.any(|subnet| Range4::parse(&subnet.cidr).is_some_and(|range| range.overlaps(cidr))) {
        return Err(Refusal::new("InvalidSubnet.Conflict", format!("The CIDR '{cidr}' conflicts with another subnet")));
    }
    Ok(())
}

fn check_ipv6(desk: &Desk<'_>, vpc_id: &str, vpc: &Vpc, text: &str) -> Result<Range6, Refusal> {
    let range = Range6::parse(text)
        .ok_or_else(|| Refusal::value(text, "ipv6CidrBlock", "This is not a valid IPv6 CIDR block."))?;
    let mut blocks = blocks6(vpc).filter_map(|(_, cidr)| Range6::parse(cidr));
    if range.length != 64 || !blocks.any(|block| block.contains(range)) {
        return Err(Refusal::new("InvalidSubnet.Range", format!("The CIDR '{range}' is invalid.")));
    }
    let taken = desk.ec2().subnets.values().filter(|subnet| subnet.vpc == vpc_id);
    let mut taken = taken.flat_map(|subnet| &subnet.ipv6_cidrs).filter_map(|(_, cidr)| Range6::parse(cidr));
    if taken.any(|other| other == range) {
        return Err(Refusal::new(
            "InvalidSubnet.Conflict",
            format!("The CIDR '{range}' conflicts with another subnet"),
        ));
    }
    Ok(range)
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, subnet: &Subnet) {
    xml.leaf("subnetId", id);
    xml.leaf("subnetArn", arn(desk, "subnet", id));
    xml.leaf("state", desk.state(id));
    xml.leaf("ownerId", &desk.place.account);
    xml.leaf("vpcId", &subnet.vpc);
    xml.leaf("cidrBlock", &subnet.cidr);
    xml.set("ipv6CidrBlockAssociationSet", &subnet.ipv6_cidrs, |xml, (association, cidr)| {
        xml.leaf("associationId", association);
        xml.leaf("ipv6CidrBlock", cidr);
        xml.tag("ipv6CidrBlockState", |xml| xml.leaf("state", "associated"));
    });
    xml.leaf("assignIpv6AddressOnCreation", desk.notes().has(id, Flag::AssignIpv6OnCreation));
    xml.leaf("availableIpAddressCount", free_addresses(desk, id, subnet));
    xml.leaf("availabilityZone", &subnet.zone);
    xml.leaf("availabilityZoneId", zone_id(desk, subnet));
    xml.leaf("defaultForAz", false);
    xml.leaf("mapPublicIpOnLaunch", subnet.public_ip_on_launch);
    write_tags(xml, &subnet.tags);
}

fn free_addresses(desk: &Desk<'_>, id: &str, subnet: &Subnet) -> u64 {
    let usable = Range4::parse(&subnet.cidr).map_or(0, Range4::usable);
    let used = desk.ec2().interfaces.values().filter(|it| it.subnet == id).count();
    usable.saturating_sub(used.try_into().unwrap_or(u64::MAX))
}

fn zone_id(desk: &Desk<'_>, subnet: &Subnet) -> String {
    desk.place.zones().into_iter().find(|(name, _)| *name == subnet.zone).map(|(_, id)| id).unwrap_or_default()
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("SubnetId");
    ids::SUBNET.check_all(&desk.ec2().subnets, &wanted)?;
    let found = desk.ec2().subnets.iter().filter(|(id, subnet)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&subnet.tags, |name| field(desk, id, subnet, name))
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("subnetSet", found, |xml, (id, subnet)| write(desk, xml, id, subnet));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

fn field(desk: &Desk<'_>, id: &str, subnet: &Subnet, name: &str) -> Vec<String> {
    match name {
        "availability-zone" | "availabilityZone" => vec![subnet.zone.clone()],
        "availability-zone-id" | "availabilityZoneId" => vec![zone_id(desk, subnet)],
        "available-ip-address-count" => vec![free_addresses(desk, id, subnet).to_string()],
        "cidr-block" | "cidr" | "cidrBlock" => vec![subnet.cidr.clone()],
        "default-for-az" | "defaultForAz" => vec![false.to_string()],
        "ipv6-cidr-block-association.association-id" => subnet.ipv6_cidrs.iter().map(|(tie, _)| tie.clone()).collect(),
        "ipv6-cidr-block-association.ipv6-cidr-block" => {
            subnet.ipv6_cidrs.iter().map(|(_, cidr)| cidr.clone()).collect()
        }
        "map-public-ip-on-launch" => vec![subnet.public_ip_on_launch.to_string()],
        "owner-id" => vec![desk.place.account.clone()],
        "state" => vec![desk.state(id).to_owned()],
        "subnet-arn" => vec![arn(desk, "subnet", id)],
        "subnet-id" => vec![id.to_owned()],
        "vpc-id" => vec![subnet.vpc.clone()],
        _ => Vec::new(),
    }
}

pub(super) async fn modify_attribute(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("SubnetId")?;
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, id)?;
    // The call has no DryRun parameter.
    match only_attribute(params, &["MapPublicIpOnLaunch", "AssignIpv6AddressOnCreation"])? {
        ("MapPublicIpOnLaunch", value) => {
            let call = Params::call("ModifySubnetAttribute").with("SubnetId", id);
            desk.emulator.act(call.with("MapPublicIpOnLaunch.Value", value.to_string())).await?;
        }
        (_, value) => {
            if value && subnet.ipv6_cidrs.is_empty() {
                return Err(Refusal::invalid(format!("Subnet '{id}' has no IPv6 CIDR block associated with it.")));
            }
            desk.notes_mut().set(id, Flag::AssignIpv6OnCreation, value);
        }
    }
    desk.look();
    Ok(done())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("SubnetId")?;
    ids::SUBNET.find(&desk.ec2().subnets, id)?;
    if !holders::of_subnet(desk.ec2(), id).is_empty() || rds::holds_subnet(desk, id) || ecs::holds(desk, id) {
        return Err(Refusal::dependency(format!("The subnet '{id}' has dependencies and cannot be deleted.")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteSubnet").with("SubnetId", id)).await?;
    desk.emulator.drop_subnet_ties(id).await;
    desk.look();
    Ok(done())
}
