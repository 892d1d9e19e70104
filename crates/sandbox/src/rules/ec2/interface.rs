//! Network interfaces: what most often holds on to a subnet or a security group.
//!
//! Mended: the emulator gives every interface the same address, describes neither their groups nor their tags, takes
//! groups that do not exist, and knows no filters here.

use std::net::Ipv4Addr;

use super::address::Range4;
use super::select::{Filters, done, page, write_tags};
use super::vpc::made;
use super::{Desk, ids};
use crate::picture::ec2::{Interface, Subnet};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &[
    "attachment.attachment-id",
    "attachment.instance-id",
    "availability-zone",
    "description",
    "group-id",
    "group-name",
    "network-interface-id",
    "owner-id",
    "private-ip-address",
    "status",
    "subnet-id",
    "vpc-id",
];

/// How the descriptions of the interfaces of NAT gateways start.
pub(super) const NAT: &str = "Interface for NAT Gateway ";
/// How the descriptions of the interfaces of VPC endpoints start.
pub(super) const ENDPOINT: &str = "VPC Endpoint Interface ";

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let subnet_id = params.required("SubnetId")?;
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, subnet_id)?;
    let groups = groups(desk, params, subnet_id, subnet)?;
    let address = address(desk, params, subnet_id, subnet)?;
    let tags = params.tags_for("network-interface")?;
    params.stop_if_dry_run()?;

    let mut call = Params::call("CreateNetworkInterface").with("SubnetId", subnet_id);
    call = call.with("PrivateIpAddress", address.to_string()).with_tags("network-interface", &tags);
    call = call.with("Description", params.get("Description").unwrap_or_default());
    for (n, group) in (1..).zip(groups) {
        call = call.with(format!("SecurityGroupId.{n}"), group);
    }
    let id = made(&desk.emulator.act(call).await?, "networkInterfaceId")?;
    desk.look();
    let interface = ids::INTERFACE.find(&desk.ec2().interfaces, &id)?;
    let mut xml = Xml::new();
    xml.tag("networkInterface", |xml| write(desk, xml, &id, interface));
    Ok(xml.finish())
}

/// Makes the interface that a service of AWS has in a subnet; gives back its id. The caller has yet to attach it.
pub(in crate::rules) async fn make(
    desk: &mut Desk<'_>,
    subnet_id: &str,
    groups: &[String],
    description: &str,
) -> Result<String, Refusal> {
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, subnet_id)?;
    let address = free_address(desk, subnet_id, Range4::given(&subnet.cidr)?)?;
    let mut call = Params::call("CreateNetworkInterface").with("SubnetId", subnet_id);
    call = call.with("PrivateIpAddress", address.to_string()).with("Description", description);
    for (n, group) in (1..).zip(groups) {
        call = call.with(format!("SecurityGroupId.{n}"), group);
    }
    let id = made(&desk.emulator.act(call).await?, "networkInterfaceId")?;
    desk.look();
    Ok(id)
}

/// The interfaces that a service of AWS made with this description.
pub(super) fn described<'a>(desk: &'a Desk<'_>, description: &str) -> Vec<(&'a String, &'a Interface)> {
    desk.ec2().interfaces.iter().filter(|(_, it)| it.description == description).collect()
}

/// The groups that were given for what is in a subnet: of the same VPC, or the default one when none was.
pub(super) fn groups(
    desk: &Desk<'_>,
    params: &Params,
    subnet_id: &str,
    subnet: &Subnet,
) -> Result<Vec<String>, Refusal> {
    let given = params.list("SecurityGroupId");
    let all = &desk.ec2().groups;
    ids::GROUP.check_all(all, &given)?;
    if let Some(other) = given.iter().find(|id| all.get(**id).is_some_and(|group| group.vpc != subnet.vpc)) {
        return Err(Refusal::new(
            "InvalidParameter",
            format!("Security group {other} and subnet {subnet_id} belong to different networks."),
        ));
    }
    if given.is_empty() {
        let own = all.iter().filter(|(_, group)| group.vpc == subnet.vpc && group.is_default());
        return Ok(own.map(|(id, _)| id.clone()).collect());
    }
    Ok(given.into_iter().map(str::to_owned).collect())
}

fn address(desk: &Desk<'_>, params: &Params, subnet_id: &str, subnet: &Subnet) -> Result<Ipv4Addr, Refusal> {
    let range = Range4::given(&subnet.cidr)?;
    let taken = |address: Ipv4Addr| {
        let text = address.to_string();
        desk.ec2().interfaces.values().any(|other| other.subnet == subnet_id && other.address == text)
    };
    if let Some(text) = params.get("PrivateIpAddress") {
        let address: Ipv4Addr =
            text.parse().map_err(|_| Refusal::invalid(format!("invalid value for parameter address: {text}")))?;
        if !range.has(address) {
            return Err(Refusal::invalid("Address does not fall within the subnet's address range"));
        }
        if taken(address) {
            return Err(Refusal::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")));
        }
        return Ok(address);
    }
    free_address(desk, subnet_id, range)
}

/// The first address of a subnet that nobody has.
fn free_address(desk: &Desk<'_>, subnet_id: &str, range: Range4) -> Result<Ipv4Addr, Refusal> {
    let taken = |address: Ipv4Addr| {
        let text = address.to_string();
        desk.ec2().interfaces.values().any(|other| other.subnet == subnet_id && other.address == text)
    };
    range.addresses().find(|address| !taken(*address)).ok_or_else(|| {
        Refusal::new(
            "InsufficientFreeAddressesInSubnet",
            format!("The specified subnet '{subnet_id}' does not have enough free addresses to satisfy the request."),
        )
    })
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, it: &Interface) {
    xml.leaf("networkInterfaceId", id);
    xml.leaf("subnetId", &it.subnet);
    xml.leaf("vpcId", &it.vpc);
    xml.leaf_if("availabilityZone", desk.ec2().subnets.get(&it.subnet).map(|subnet| &subnet.zone));
    xml.leaf("description", &it.description);
    xml.leaf("ownerId", &desk.place.account);
    let by_service = it.attachment.as_ref().is_some_and(|(_, instance)| instance.is_none());
    xml.leaf("requesterManaged", by_service);
    xml.leaf("status", &it.status);
    xml.leaf("privateIpAddress", &it.address);
    xml.leaf("sourceDestCheck", it.source_dest_check);
    let kind = match &it.description {
        network if network.starts_with("ELB net/") => "network_load_balancer",
        nat if nat.starts_with(NAT) => "nat_gateway",
        endpoint if endpoint.starts_with(ENDPOINT) => "vpc_endpoint",
        _ => "interface",
    };
    xml.leaf("interfaceType", if by_service { kind } else { "interface" });
    xml.set("groupSet", &it.groups, |xml, group| {
        xml.leaf("groupId", group);
        xml.leaf_if("groupName", desk.ec2().groups.get(group).map(|group| &group.name));
    });
    if let Some((attachment, instance)) = &it.attachment {
        xml.tag("attachment", |xml| {
            xml.leaf("attachmentId", attachment);
            xml.leaf_if("instanceId", instance.as_ref());
            xml.leaf("status", "attached");
        });
    }
    write_tags(xml, &it.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("NetworkInterfaceId");
    ids::INTERFACE.check_all(&desk.ec2().interfaces, &wanted)?;
    let found = desk.ec2().interfaces.iter().filter(|(id, it)| {
        (wanted.is_empty() || wanted.contains(&id.as_str())) && filters.pick(&it.tags, |name| field(desk, id, it, name))
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("networkInterfaceSet", found, |xml, (id, it)| write(desk, xml, id, it));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

fn field(desk: &Desk<'_>, id: &str, it: &Interface, name: &str) -> Vec<String> {
    let picture = desk.ec2();
    match name {
        "attachment.attachment-id" => it.attachment.iter().map(|(id, _)| id.clone()).collect(),
        "attachment.instance-id" => it.attachment.iter().filter_map(|(_, instance)| instance.clone()).collect(),
        "availability-zone" => picture.subnets.get(&it.subnet).map(|subnet| subnet.zone.clone()).into_iter().collect(),
        "description" => vec![it.description.clone()],
        "group-id" => it.groups.clone(),
        "group-name" => {
            it.groups.iter().filter_map(|id| picture.groups.get(id)).map(|group| group.name.clone()).collect()
        }
        "network-interface-id" => vec![id.to_owned()],
        "owner-id" => vec![desk.place.account.clone()],
        "private-ip-address" => vec![it.address.clone()],
        "status" => vec![it.status.clone()],
        "subnet-id" => vec![it.subnet.clone()],
        "vpc-id" => vec![it.vpc.clone()],
        _ => Vec::new(),
    }
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("NetworkInterfaceId")?;
    let interface = ids::INTERFACE.find(&desk.ec2().interfaces, id)?;
    if interface.attachment.is_some() {
        return Err(Refusal::invalid(format!("Network interface '{id}' is currently in use.")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteNetworkInterface").with("NetworkInterfaceId", id)).await?;
    desk.look();
    Ok(done())
}
