//! DB subnet groups.
//!
//! A group holds nothing: EC2 deletes a subnet that is in one. What holds a subnet is the network interface of an
//! instance. Mended: the emulator takes any subnets, keeps the case of names, does not know the VPC, and deletes a
//! group that is in use.

use super::super::Desk;
use super::form::{self, list};
use super::{arn_of, note};
use crate::picture::rds::SubnetGroup;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = name(params.required("DBSubnetGroupName")?)?;
    let description = params.required("DBSubnetGroupDescription")?;
    let tags = form::tags(params)?;
    let subnets = params.list("SubnetIds.SubnetIdentifier");
    if desk.picture().rds.subnet_groups.contains_key(&name) {
        return Err(Refusal::new(
            "DBSubnetGroupAlreadyExists",
            format!("The DB subnet group '{name}' already exists."),
        ));
    }
    let vpc = check_subnets(desk, &subnets)?;
    let mut call = Params::call("CreateDBSubnetGroup").with("DBSubnetGroupName", &name);
    call = form::with_tags(call.with("DBSubnetGroupDescription", description), &tags);
    for (n, subnet) in (1..).zip(&subnets) {
        call = call.with(format!("SubnetIds.SubnetIdentifier.{n}"), *subnet);
    }
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    note(desk, &arn_of(desk, "subgrp", &name), [("vpc", vpc.into())]);
    Ok(one(desk, &name))
}

/// The name in lower case. Other characters are allowed than in identifiers.
fn name(given: &str) -> Result<String, Refusal> {
    let is_well_formed =
        given.len() <= 255 && given.bytes().all(|letter| letter.is_ascii_alphanumeric() || b" ._-".contains(&letter));
    if !is_well_formed {
        return Err(Refusal::invalid(
            "The parameter DBSubnetGroupName is not a valid identifier. It must contain no more than 255 letters, \
             digits, periods, underscores, spaces, or hyphens.",
        ));
    }
    if given.eq_ignore_ascii_case("default") {
        return Err(Refusal::invalid("The parameter DBSubnetGroupName must not be 'default'."));
    }
    Ok(given.to_ascii_lowercase())
}

/// All of them exist, in one VPC and in two zones at least. Gives back the VPC.
fn check_subnets(desk: &Desk<'_>, ids: &[&str]) -> Result<String, Refusal> {
    let all = &desk.picture().ec2.subnets;
    let unknown: Vec<&str> = ids.iter().copied().filter(|id| !all.contains_key(*id)).collect();
    if !unknown.is_empty() {
        return Err(Refusal::new("InvalidSubnet", format!("Some input subnets in :{unknown:?} are invalid.")));
    }
    let found = || ids.iter().filter_map(|id| all.get(*id));
    let mut zones: Vec<&str> = found().map(|subnet| subnet.zone.as_str()).collect();
    zones.sort_unstable();
    zones.dedup();
    if zones.len() < 2 {
        return Err(Refusal::new(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            format!(
                "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: \
                 {}. Add subnets to cover at least 2 AZs.",
                zones.join(", ")
            ),
        ));
    }
    let vpc = found().next().map(|subnet| subnet.vpc.clone()).unwrap_or_default();
    if found().any(|subnet| subnet.vpc != vpc) {
        return Err(Refusal::new("InvalidSubnet", "The requested subnets are not all in a common VPC."));
    }
    Ok(vpc)
}

/// The group that a database is put into.
pub(super) fn find<'a>(desk: &'a Desk<'_>, name: &str) -> Result<&'a SubnetGroup, Refusal> {
    desk.picture().rds.subnet_groups.get(name).ok_or_else(|| {
        Refusal::new("DBSubnetGroupNotFoundFault", format!("DB subnet group '{name}' does not exist.")).with_status(404)
    })
}

/// The VPC that the group was made in.
pub(super) fn vpc(desk: &Desk<'_>, name: &str) -> String {
    super::text(desk, &arn_of(desk, "subgrp", name), "vpc")
}

/// Inside of `DBSubnetGroup`.
pub(super) fn write(desk: &Desk<'_>, xml: &mut Xml, name: &str, it: &SubnetGroup) {
    xml.leaf("DBSubnetGroupName", name);
    xml.leaf("DBSubnetGroupDescription", &it.description);
    xml.leaf("VpcId", vpc(desk, name));
    xml.leaf("SubnetGroupStatus", "Complete");
    xml.leaf("DBSubnetGroupArn", &it.arn);
    list(xml, ("Subnets", "Subnet"), &it.subnets, |xml, id| {
        let subnet = desk.picture().ec2.subnets.get(id);
        xml.leaf("SubnetIdentifier", id);
        xml.tag("SubnetAvailabilityZone", |xml| xml.leaf_if("Name", subnet.map(|subnet| &subnet.zone)));
        xml.leaf("SubnetStatus", if subnet.is_some() { "Active" } else { "Inactive" });
    });
    form::texts(xml, ("SupportedNetworkTypes", "member"), ["IPV4"]);
}

fn one(desk: &Desk<'_>, name: &str) -> String {
    let mut xml = Xml::new();
    if let Some(it) = desk.picture().rds.subnet_groups.get(name) {
        xml.tag("DBSubnetGroup", |xml| write(desk, xml, name, it));
    }
    xml.finish()
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    form::filters(params, &[])?;
    let groups = &desk.picture().rds.subnet_groups;
    let wanted = params.get("DBSubnetGroupName").map(form::name_in);
    if let Some(name) = &wanted {
        find(desk, name)?;
    }
    let found = groups.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBSubnetGroups", "DBSubnetGroup"), found, |xml, (name, it)| write(desk, xml, name, it));
    Ok(xml.finish())
}

pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::named(params, "DBSubnetGroupName")?;
    let held = find(desk, &name)?;
    let subnets = params.list("SubnetIds.SubnetIdentifier");
    let description = params.get("DBSubnetGroupDescription").unwrap_or(&held.description).to_owned();
    if check_subnets(desk, &subnets)? != vpc(desk, &name) {
        return Err(Refusal::new(
            "InvalidSubnet",
            "The new Subnets are not in the same Vpc as the existing subnet group",
        ));
    }
    if let Some(used) = interfaces_in(desk, &name).find(|used| !subnets.contains(&used.as_str())) {
        return Err(Refusal::new(
            "SubnetAlreadyInUse",
            format!("Some of the subnets to be deleted are currently in use: {used}"),
        ));
    }
    let mut call = Params::call("ModifyDBSubnetGroup").with("DBSubnetGroupName", &name);
    call = call.with("DBSubnetGroupDescription", description);
    for (n, subnet) in (1..).zip(&subnets) {
        call = call.with(format!("SubnetIds.SubnetIdentifier.{n}"), *subnet);
    }
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    Ok(one(desk, &name))
}

/// The subnets that instances of this group are in.
fn interfaces_in<'a>(desk: &'a Desk<'_>, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let rds = &desk.picture().rds;
    let here = rds.instances.values().filter(move |it| it.subnet_group.as_deref() == Some(name));
    here.map(|it| super::text(desk, &it.arn, "subnet"))
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::named(params, "DBSubnetGroupName")?;
    find(desk, &name)?;
    let rds = &desk.picture().rds;
    let uses = |group: &Option<String>| group.as_ref() == Some(&name);
    let instance = rds.instances.iter().find(|(_, it)| uses(&it.subnet_group));
    let cluster = rds.clusters.iter().find(|(_, it)| uses(&it.subnet_group));
    let user = instance
        .map(|(id, _)| format!("database instance: {id}"))
        .or_else(|| cluster.map(|(id, _)| format!("DB cluster: {id}")));
    if let Some(user) = user {
        return Err(Refusal::new(
            "InvalidDBSubnetGroupStateFault",
            format!("Cannot delete the subnet group '{name}' because at least one {user} is still using it."),
        ));
    }
    desk.emulator.act_on(Service::Rds, Params::call("DeleteDBSubnetGroup").with("DBSubnetGroupName", &name)).await?;
    desk.look();
    Ok(String::new())
}
