//! What holds on to what: the reasons for `DependencyViolation`, in one place.
//!
//! A VPC is held by everything in it except what came with it; a subnet by whatever has an address in it; a security
//! group by who uses it and by the rules of *other* groups that name it; an internet gateway's attachment by public
//! addresses behind it.

use crate::picture::ec2::{Ec2, Peer};

/// The ids of what keeps a VPC from being deleted.
pub(super) fn of_vpc<'a>(picture: &'a Ec2, vpc: &'a str) -> Vec<&'a str> {
    let subnets = picture.subnets.iter().filter(|(_, it)| it.vpc == vpc).map(|(id, _)| id);
    let gateways =
        picture.gateways.iter().filter(|(_, it)| it.attached_to.iter().any(|to| to == vpc)).map(|(id, _)| id);
    let groups = picture.groups.iter().filter(|(_, it)| it.vpc == vpc && !it.is_default()).map(|(id, _)| id);
    let interfaces = picture.interfaces.iter().filter(|(_, it)| it.vpc == vpc).map(|(id, _)| id);
    let tables = picture.tables.iter().filter(|(_, it)| it.vpc == vpc && !it.is_main()).map(|(id, _)| id);
    let acls = picture.acls.iter().filter(|(_, it)| it.vpc == vpc && !it.is_default).map(|(id, _)| id);
    let others = picture.others.iter().filter(|(_, it)| it.vpcs.iter().any(|of| of == vpc)).map(|(id, _)| id);
    let endpoints = picture.endpoints.iter().filter(|(_, it)| it.vpc == vpc).map(|(id, _)| id);
    subnets
        .chain(endpoints)
        .chain(gateways)
        .chain(groups)
        .chain(interfaces)
        .chain(tables)
        .chain(acls)
        .chain(others)
        .map(String::as_str)
        .collect()
}

/// The ids of what keeps a subnet from being deleted.
pub(super) fn of_subnet<'a>(picture: &'a Ec2, subnet: &'a str) -> Vec<&'a str> {
    let interfaces = picture.interfaces.iter().filter(|(_, it)| it.subnet == subnet).map(|(id, _)| id);
    let others = picture.others.iter().filter(|(_, it)| it.subnets.iter().any(|of| of == subnet)).map(|(id, _)| id);
    interfaces.chain(others).map(String::as_str).collect()
}

/// The ids of what keeps a security group from being deleted. Its own rules may name it.
pub(super) fn of_group<'a>(picture: &'a Ec2, group: &'a str) -> Vec<&'a str> {
    let interfaces = picture.interfaces.iter().filter(|(_, it)| it.groups.iter().any(|of| of == group));
    let others = picture.others.iter().filter(|(_, it)| it.groups.iter().any(|of| of == group)).map(|(id, _)| id);
    let named =
        picture.rules().filter(|rule| rule.group != group && matches!(&rule.peer, Peer::Group(peer) if peer == group));
    let named = named.map(|rule| &rule.group);
    interfaces.map(|(id, _)| id).chain(others).chain(named).map(String::as_str).collect()
}

/// The ids of what has a public address in a VPC: its internet gateway cannot be detached.
pub(super) fn of_attachment<'a>(picture: &'a Ec2, vpc: &'a str) -> Vec<&'a str> {
    let others = picture.others.iter().filter(|(_, it)| it.public && it.vpcs.iter().any(|of| of == vpc));
    let is_in = |interface: &String| picture.interfaces.get(interface).is_some_and(|it| it.vpc == vpc);
    let addresses = picture.addresses.iter().filter(|(_, it)| it.interface.as_ref().is_some_and(is_in));
    others.map(|(id, _)| id.as_str()).chain(addresses.map(|(id, _)| id.as_str())).collect()
}
