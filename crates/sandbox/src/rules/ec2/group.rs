//! Security groups.
//!
//! Mended: the emulator loses descriptions, takes the same name twice, and deletes a group that is in use.

use super::super::{ecs, rds};
use super::permission;
use super::select::{Filters, done, page, write_tags};
use super::vpc::made;
use super::{Desk, arn, holders, ids};
use crate::picture::ec2::{Group, Peer, RuleKey};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &[
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.ipv6-cidr",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "owner-id",
    "vpc-id",
];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = params.required("GroupName")?;
    let description = params.required("GroupDescription")?;
    let Some(vpc) = params.get("VpcId") else {
        return Err(Refusal::new("VPCIdNotSpecified", "No default VPC for this user"));
    };
    ids::VPC.find(&desk.ec2().vpcs, vpc)?;
    check_text(name, "GroupName")?;
    check_text(description, "GroupDescription")?;
    if name.starts_with("sg-") {
        return Err(Refusal::value(name, "GroupName", "Group names may not be in the format sg-*."));
    }
    if name == "default" {
        return Err(Refusal::invalid("Cannot use reserved security group name: default"));
    }
    let tags = params.tags_for("security-group")?;
    if desk.ec2().groups.values().any(|group| group.vpc == vpc && group.name == name) {
        return Err(Refusal::new(
            "InvalidGroup.Duplicate",
            format!("The security group '{name}' already exists for VPC '{vpc}'"),
        ));
    }
    if desk.settings.quotas.security_groups.is_some_and(|most| desk.ec2().groups.len() >= most) {
        return Err(Refusal::new(
            "SecurityGroupLimitExceeded",
            "The maximum number of security groups has been reached.",
        ));
    }
    params.stop_if_dry_run()?;
    // The emulator reads the description under a name of its own.
    let call = Params::call("CreateSecurityGroup").with("GroupName", name).with("Description", description);
    let call = call.with("VpcId", vpc).with_tags("security-group", &tags);
    let id = made(&desk.emulator.act(call).await?, "groupId")?;
    desk.look_again(true);
    let mut xml = Xml::new();
    xml.leaf("return", true);
    xml.leaf("groupId", &id);
    write_tags(&mut xml, &tags);
    xml.leaf("securityGroupArn", arn(desk, "security-group", &id));
    Ok(xml.finish())
}

/// Names and descriptions: up to 255 characters of a certain set.
fn check_text(text: &str, parameter: &str) -> Result<(), Refusal> {
    if text.chars().count() > 255 {
        return Err(Refusal::value(text, parameter, "Character length must not exceed 255."));
    }
    permission::check_characters(text, parameter)
}

/// A group as a caller names it: by id, or by name where there is only one of that name.
pub(super) fn named<'a>(desk: &'a Desk<'_>, params: &Params) -> Result<(&'a str, &'a Group), Refusal> {
    let groups = &desk.ec2().groups;
    if let Some(id) = params.get("GroupId") {
        ids::GROUP.check(id)?;
        return groups
            .get_key_value(id)
            .map(|(id, group)| (id.as_str(), group))
            .ok_or_else(|| ids::GROUP.not_found(id));
    }
    let Some(name) = params.get("GroupName") else {
        return Err(Refusal::new("MissingParameter", "The request must contain the parameter groupName or groupId"));
    };
    // A name alone means a group of the default VPC, and a sandbox has none.
    Err(Refusal::new(
        "InvalidGroup.NotFound",
        format!("The security group '{name}' does not exist in default VPC 'null'"),
    ))
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, group: &Group) {
    xml.leaf("ownerId", &desk.place.account);
    xml.leaf("groupId", id);
    xml.leaf("groupName", &group.name);
    xml.leaf("groupDescription", &group.description);
    xml.leaf("vpcId", &group.vpc);
    xml.leaf("securityGroupArn", arn(desk, "security-group", id));
    for (name, egress) in [("ipPermissions", false), ("ipPermissionsEgress", true)] {
        let mut rules: Vec<&RuleKey> = group.rules.iter().filter(|rule| rule.egress == egress).collect();
        rules.sort();
        let same = |a: &&RuleKey, b: &&RuleKey| (&a.protocol, a.from, a.to) == (&b.protocol, b.from, b.to);
        xml.set(name, rules.chunk_by(same), |xml, rules| permission::write(desk, xml, rules));
    }
    write_tags(xml, &group.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("GroupId");
    ids::GROUP.check_all(&desk.ec2().groups, &wanted)?;
    if let Some(name) = params.list("GroupName").first() {
        return Err(Refusal::new(
            "InvalidGroup.NotFound",
            format!("The security group '{name}' does not exist in default VPC 'null'"),
        ));
    }
    let found = desk.ec2().groups.iter().filter(|(id, group)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&group.tags, |name| field(desk, id, group, name))
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("securityGroupInfo", found, |xml, (id, group)| write(desk, xml, id, group));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

fn field(desk: &Desk<'_>, id: &str, group: &Group, name: &str) -> Vec<String> {
    let (of_rules, egress) = match name.strip_prefix("egress.") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    if let Some(of_rule) = of_rules.strip_prefix("ip-permission.") {
        return group
            .rules
            .iter()
            .filter(|rule| rule.egress == egress)
            .filter_map(|rule| part(rule, of_rule))
            .collect();
    }
    match name {
        "description" => vec![group.description.clone()],
        "group-id" => vec![id.to_owned()],
        "group-name" => vec![group.name.clone()],
        "owner-id" => vec![desk.place.account.clone()],
        "vpc-id" => vec![group.vpc.clone()],
        _ => Vec::new(),
    }
}

fn part(rule: &RuleKey, name: &str) -> Option<String> {
    match (name, &rule.peer) {
        ("cidr", Peer::V4(text)) | ("ipv6-cidr", Peer::V6(text)) | ("group-id", Peer::Group(text)) => {
            Some(text.clone())
        }
        ("from-port", _) => Some(rule.from.to_string()),
        ("to-port", _) => Some(rule.to.to_string()),
        ("protocol", _) => Some(rule.protocol.clone()),
        _ => None,
    }
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (id, group) = named(desk, params)?;
    let id = id.to_owned();
    if group.is_default() {
        return Err(Refusal::new(
            "CannotDelete",
            format!("the specified group: \"{id}\" name: \"{}\" cannot be deleted by a user", group.name),
        ));
    }
    if !holders::of_group(desk.ec2(), &id).is_empty() || rds::holds_group(desk, &id) || ecs::holds(desk, &id) {
        return Err(Refusal::dependency(format!("resource {id} has a dependent object")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteSecurityGroup").with("GroupId", &id)).await?;
    desk.look();
    let mut xml = Xml::new();
    xml.raw(&done());
    xml.leaf("groupId", id);
    Ok(xml.finish())
}
