//! VPCs.
//!
//! Mended: the emulator makes no default group and no main route table, loses IPv6 blocks, and deletes a VPC whatever
//! is in it.

use super::address::{Range4, Range6};
use super::select::{Filters, done, page, write_tags};
use super::{Desk, holders, ids};
use crate::notes::Flag;
use crate::picture::ec2::Vpc;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::{Xml, text_of};

const FILTERS: &[&str] = &[
    "cidr",
    "cidr-block",
    "cidrBlock",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "dhcp-options-id",
    "dhcpOptionsId",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let cidr = Range4::given(params.required("CidrBlock")?)?;
    if !(16..=28).contains(&cidr.length) {
        return Err(Refusal::new("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid.")));
    }
    let tenancy = params.get("InstanceTenancy").unwrap_or("default");
    if !["default", "dedicated", "host"].contains(&tenancy) {
        return Err(Refusal::new("UnsupportedTenancy", format!("The tenancy value {tenancy} is not supported.")));
    }
    let wants_ipv6 = params.flag("AmazonProvidedIpv6CidrBlock")?.unwrap_or(false);
    let tags = params.tags_for("vpc")?;
    if desk.settings.quotas.vpcs.is_some_and(|most| desk.ec2().vpcs.len() >= most) {
        return Err(Refusal::new("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
    }
    params.stop_if_dry_run()?;

    let call = Params::call("CreateVpc").with("CidrBlock", cidr.to_string()).with("InstanceTenancy", tenancy);
    let id = made(&desk.emulator.act(call.with_tags("vpc", &tags)).await?, "vpcId")?;
    let call = Params::call("CreateSecurityGroup").with("GroupName", "default").with("VpcId", &id);
    let group = made(&desk.emulator.act(call).await?, "groupId")?;
    let call = Params::call("CreateRouteTable").with("VpcId", &id);
    let table = made(&desk.emulator.act(call).await?, "routeTableId")?;
    desk.emulator.add_vpc_defaults(&group, &table).await;
    if wants_ipv6 {
        let number = id.strip_prefix("vpc-").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let range = Range6::provided(number.unwrap_or_default());
        let association = format!("vpc-cidr-assoc-{}", id.trim_start_matches("vpc-"));
        desk.emulator.add_vpc_cidr(&id, &association, &range.to_string()).await;
    }
    desk.look_again(true);
    desk.settle(&id);
    let vpc = ids::VPC.find(&desk.ec2().vpcs, &id)?;
    let mut xml = Xml::new();
    xml.tag("vpc", |xml| write(desk, xml, &id, vpc));
    Ok(xml.finish())
}

/// The id in the emulator's answer to a create call.
pub(super) fn made(reply: &str, name: &str) -> Result<String, Refusal> {
    text_of(reply, name)
        .map(str::to_owned)
        .ok_or_else(|| Refusal::new("InternalError", format!("The emulator's answer has no {name}")).with_status(500))
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, vpc: &Vpc) {
    let associating = if desk.notes().is_pending(id, desk.now) { "associating" } else { "associated" };
    xml.leaf("vpcId", id);
    xml.leaf("ownerId", &desk.place.account);
    xml.leaf("state", desk.state(id));
    xml.leaf("cidrBlock", &vpc.cidr);
    xml.set("cidrBlockAssociationSet", blocks4(id, vpc), |xml, (association, cidr)| {
        xml.leaf("associationId", association);
        xml.leaf("cidrBlock", cidr);
        xml.tag("cidrBlockState", |xml| xml.leaf("state", "associated"));
    });
    xml.set("ipv6CidrBlockAssociationSet", blocks6(vpc), |xml, (association, cidr)| {
        xml.leaf("associationId", association);
        xml.leaf("ipv6CidrBlock", cidr);
        xml.tag("ipv6CidrBlockState", |xml| xml.leaf("state", associating));
        xml.leaf("networkBorderGroup", &desk.place.region);
        xml.leaf("ipv6Pool", "Amazon");
    });
    xml.leaf("dhcpOptionsId", &vpc.dhcp_options);
    write_tags(xml, &vpc.tags);
    xml.leaf("instanceTenancy", &vpc.tenancy);
    xml.leaf("isDefault", vpc.is_default);
}

fn blocks4(id: &str, vpc: &Vpc) -> Vec<(String, String)> {
    let first = (format!("vpc-cidr-assoc-{}0", id.trim_start_matches("vpc-")), vpc.cidr.clone());
    let more = vpc.more_cidrs.iter().filter(|(_, cidr)| !cidr.contains(':')).cloned();
    std::iter::once(first).chain(more).collect()
}

/// The IPv6 blocks of a VPC.
pub(super) fn blocks6(vpc: &Vpc) -> impl Iterator<Item = &(String, String)> {
    vpc.more_cidrs.iter().filter(|(_, cidr)| cidr.contains(':'))
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("VpcId");
    ids::VPC.check_all(&desk.ec2().vpcs, &wanted)?;
    let found = desk.ec2().vpcs.iter().filter(|(id, vpc)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&vpc.tags, |name| field(desk, id, vpc, name))
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("vpcSet", found, |xml, (id, vpc)| write(desk, xml, id, vpc));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

fn field(desk: &Desk<'_>, id: &str, vpc: &Vpc, name: &str) -> Vec<String> {
    match name {
        "cidr" | "cidr-block" | "cidrBlock" => vec![vpc.cidr.clone()],
        "cidr-block-association.cidr-block" => blocks4(id, vpc).into_iter().map(|(_, cidr)| cidr).collect(),
        "cidr-block-association.association-id" => blocks4(id, vpc).into_iter().map(|(tie, _)| tie).collect(),
        "ipv6-cidr-block-association.ipv6-cidr-block" => blocks6(vpc).map(|(_, cidr)| cidr.clone()).collect(),
        "ipv6-cidr-block-association.association-id" => blocks6(vpc).map(|(tie, _)| tie.clone()).collect(),
        "dhcp-options-id" | "dhcpOptionsId" => vec![vpc.dhcp_options.clone()],
        "is-default" | "isDefault" => vec![vpc.is_default.to_string()],
        "owner-id" => vec![desk.place.account.clone()],
        "state" => vec![desk.state(id).to_owned()],
        "vpc-id" => vec![id.to_owned()],
        _ => Vec::new(),
    }
}

pub(super) fn describe_attribute(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("VpcId")?;
    let attribute = params.required("Attribute")?;
    let vpc = ids::VPC.find(&desk.ec2().vpcs, id)?;
    let value = match attribute {
        "enableDnsSupport" => vpc.dns_support,
        "enableDnsHostnames" => vpc.dns_hostnames,
        "enableNetworkAddressUsageMetrics" => desk.notes().has(id, Flag::AddressUsageMetrics),
        other => return Err(Refusal::value(other, "attribute", "Unknown attribute.")),
    };
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.leaf("vpcId", id);
    xml.tag(attribute, |xml| xml.leaf("value", value));
    Ok(xml.finish())
}

pub(super) async fn modify_attribute(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("VpcId")?;
    ids::VPC.find(&desk.ec2().vpcs, id)?;
    let known = ["EnableDnsSupport", "EnableDnsHostnames", "EnableNetworkAddressUsageMetrics"];
    let (name, value) = only_attribute(params, &known)?;
    // The call has no DryRun parameter.
    if name == "EnableNetworkAddressUsageMetrics" {
        desk.notes_mut().set(id, Flag::AddressUsageMetrics, value);
    } else {
        let call = Params::call("ModifyVpcAttribute").with("VpcId", id);
        desk.emulator.act(call.with(format!("{name}.Value"), value.to_string())).await?;
    }
    desk.look();
    Ok(done())
}

/// The one attribute that a modify call sets: AWS takes neither none nor two.
pub(super) fn only_attribute<'a>(params: &Params, known: &[&'a str]) -> Result<(&'a str, bool), Refusal> {
    let mut given = Vec::new();
    for name in known {
        if let Some(value) = params.flag(&format!("{name}.Value"))? {
            given.push((*name, value));
        }
    }
    match given.as_slice() {
        [one] => Ok(*one),
        [] => Err(Refusal::new("InvalidParameterCombination", "No attributes specified.")),
        more => {
            let names: Vec<&str> = more.iter().map(|(name, _)| *name).collect();
            Err(Refusal::new(
                "InvalidParameterCombination",
                format!("Fields for multiple attribute types specified: {}", names.join(", ")),
            ))
        }
    }
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("VpcId")?;
    ids::VPC.find(&desk.ec2().vpcs, id)?;
    if !holders::of_vpc(desk.ec2(), id).is_empty() {
        return Err(Refusal::dependency(format!("The vpc '{id}' has dependencies and cannot be deleted.")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteVpc").with("VpcId", id)).await?;
    desk.emulator.drop_vpc_defaults(id).await;
    desk.look();
    Ok(done())
}
