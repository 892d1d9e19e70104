//! `IpPermissions`: how a caller says which rules, and how they are written back.
//!
//! One permission names one protocol and port range and any number of peers; each peer is a rule of its own.

use super::address::{Range4, Range6};
use super::{Desk, ids};
use crate::picture::ec2::{Peer, RuleKey};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// A rule as a caller describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) key: RuleKey,
    pub(super) description: Option<String>,
}

/// Reads the rules of an authorize or revoke call for this group.
pub(super) fn wanted(desk: &Desk<'_>, params: &Params, group: &str, egress: bool) -> Result<Vec<Wanted>, Refusal> {
    let mut all: Vec<Wanted> = Vec::new();
    for n in 1.. {
        let prefix = format!("IpPermissions.{n}.");
        if !params.any(&prefix) {
            break;
        }
        one_permission(desk, params, &prefix, group, egress, &mut all)?;
    }
    // The old form, for ingress: one rule in parameters of the call itself.
    if all.is_empty() && params.get("IpProtocol").is_some() {
        let (protocol, from, to) = ports(params, "")?;
        let cidr = params.required("CidrIp")?;
        let peer = peer4(cidr)?;
        let key = RuleKey { group: group.to_owned(), egress, protocol, from, to, peer };
        all.push(Wanted { key, description: None });
    }
    for (n, rule) in all.iter().enumerate() {
        if all[..n].iter().any(|other| other.key == rule.key) {
            return Err(Refusal::invalid("The same permission must not appear multiple times"));
        }
    }
    Ok(all)
}

/// Reads one rule in the form of `ModifySecurityGroupRules`, where it has exactly one peer.
pub(super) fn one_rule(
    desk: &Desk<'_>,
    params: &Params,
    prefix: &str,
    group: &str,
    egress: bool,
) -> Result<Wanted, Refusal> {
    let (protocol, from, to) = ports(params, prefix)?;
    let given = |name: &str| params.get(&format!("{prefix}{name}"));
    let peer = match (given("CidrIpv4"), given("CidrIpv6"), given("ReferencedGroupId")) {
        (Some(cidr), None, None) => peer4(cidr)?,
        (None, Some(cidr), None) => peer6(cidr)?,
        (None, None, Some(id)) => peer_group(desk, id, group)?,
        _ => return Err(Refusal::invalid("A security group rule has exactly one source or destination")),
    };
    let description = given("Description").filter(|text| !text.is_empty());
    if let Some(text) = description {
        check_characters(text, "Description")?;
    }
    let key = RuleKey { group: group.to_owned(), egress, protocol, from, to, peer };
    Ok(Wanted { key, description: description.map(str::to_owned) })
}

fn one_permission(
    desk: &Desk<'_>,
    params: &Params,
    prefix: &str,
    group: &str,
    egress: bool,
    all: &mut Vec<Wanted>,
) -> Result<(), Refusal> {
    let (protocol, from, to) = ports(params, prefix)?;
    if params.any(&format!("{prefix}PrefixListIds.")) {
        return Err(Refusal::new("InvalidPrefixListID.NotFound", "The sandbox has no prefix lists"));
    }
    let before = all.len();
    let mut add = |list: &str, name: &str, read: &dyn Fn(&str) -> Result<Peer, Refusal>| -> Result<(), Refusal> {
        for m in 1.. {
            let prefix = format!("{prefix}{list}.{m}.");
            if !params.any(&prefix) {
                return Ok(());
            }
            let peer = read(params.required(&format!("{prefix}{name}"))?)?;
            let description = params.get(&format!("{prefix}Description")).filter(|text| !text.is_empty());
            if let Some(text) = description {
                check_characters(text, "Description")?;
            }
            let key = RuleKey { group: group.to_owned(), egress, protocol: protocol.clone(), from, to, peer };
            all.push(Wanted { key, description: description.map(str::to_owned) });
        }
        Ok(())
    };
    add("IpRanges", "CidrIp", &peer4)?;
    add("Ipv6Ranges", "CidrIpv6", &peer6)?;
    add("Groups", "GroupId", &|id| peer_group(desk, id, group))?;
    if all.len() == before {
        return Err(Refusal::new(
            "MissingParameter",
            "The request must contain at least one of ipRanges, ipv6Ranges, prefixListIds or userIdGroupPairs",
        ));
    }
    Ok(())
}

/// Descriptions and names take letters, digits, spaces and a few signs.
pub(super) fn check_characters(text: &str, parameter: &str) -> Result<(), Refusal> {
    let fine = |sign: char| sign.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(sign);
    if text.chars().all(fine) {
        return Ok(());
    }
    let why = if text.is_ascii() {
        "Valid characters are a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*."
    } else {
        "Character sets beyond ASCII are not supported."
    };
    Err(Refusal::value(text, parameter, why))
}

/// Protocol and ports in canonical form; -1 where there are none.
fn ports(params: &Params, prefix: &str) -> Result<(String, i32, i32), Refusal> {
    let given = params.required(&format!("{prefix}IpProtocol"))?;
    let from = params.number(&format!("{prefix}FromPort"))?;
    let to = params.number(&format!("{prefix}ToPort"))?;
    let protocol = match given.to_ascii_lowercase().as_str() {
        "tcp" | "6" => "tcp",
        "udp" | "17" => "udp",
        "icmp" | "1" => "icmp",
        "icmpv6" | "58" => "icmpv6",
        "-1" | "all" => "-1",
        other if other.parse::<u8>().is_ok() => return Ok((other.to_owned(), -1, -1)),
        _ => return Err(Refusal::invalid(format!("Invalid value '{given}' for IP protocol. Unknown protocol."))),
    };
    match protocol {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(Refusal::invalid(
                    "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
                ));
            };
            if !(0..=65535).contains(&from) || !(0..=65535).contains(&to) || from > to {
                return Err(Refusal::invalid(format!("Invalid value for portRange. Invalid port range {from}-{to}.")));
            }
            Ok((protocol.to_owned(), from, to))
        }
        "icmp" | "icmpv6" => Ok((protocol.to_owned(), from.unwrap_or(-1), to.unwrap_or(-1))),
        _ => Ok((protocol.to_owned(), -1, -1)),
    }
}

fn peer4(text: &str) -> Result<Peer, Refusal> {
    let range = Range4::parse(text);
    range.map(|range| Peer::V4(range.to_string())).ok_or_else(|| no_range(text))
}

fn peer6(text: &str) -> Result<Peer, Refusal> {
    let range = Range6::parse(text);
    range.map(|range| Peer::V6(range.to_string())).ok_or_else(|| no_range(text))
}

fn no_range(text: &str) -> Refusal {
    Refusal::invalid(format!("CIDR block {text} is malformed"))
}

fn peer_group(desk: &Desk<'_>, id: &str, group: &str) -> Result<Peer, Refusal> {
    let peer = ids::GROUP.find(&desk.ec2().groups, id)?;
    if desk.ec2().groups.get(group).is_some_and(|own| own.vpc != peer.vpc) {
        return Err(Refusal::new(
            "InvalidGroup.NotFound",
            "You have specified two resources that belong to different networks.",
        ));
    }
    Ok(Peer::Group(id.to_owned()))
}

/// One permission of a described group: rules that have protocol and ports in common.
pub(super) fn write(desk: &Desk<'_>, xml: &mut Xml, rules: &[&RuleKey]) {
    let Some(first) = rules.first() else { return };
    xml.leaf("ipProtocol", &first.protocol);
    if first.protocol != "-1" {
        xml.leaf("fromPort", first.from);
        xml.leaf("toPort", first.to);
    }
    let text = |rule: &RuleKey| desk.notes().rules.get(rule).and_then(|note| note.description.clone());
    let pick = |want: fn(&Peer) -> bool| rules.iter().filter(move |rule| want(&rule.peer));
    xml.set("groups", pick(|peer| matches!(peer, Peer::Group(_))), |xml, rule| {
        xml.leaf("userId", &desk.place.account);
        xml.leaf("groupId", &rule.peer);
        xml.leaf_if("description", text(rule));
    });
    xml.set("ipRanges", pick(|peer| matches!(peer, Peer::V4(_))), |xml, rule| {
        xml.leaf("cidrIp", &rule.peer);
        xml.leaf_if("description", text(rule));
    });
    xml.set("ipv6Ranges", pick(|peer| matches!(peer, Peer::V6(_))), |xml, rule| {
        xml.leaf("cidrIpv6", &rule.peer);
        xml.leaf_if("description", text(rule));
    });
    xml.set("prefixListIds", std::iter::empty::<()>(), |_, ()| {});
}
