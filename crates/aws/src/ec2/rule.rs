//! A security group rule as a value: read from parameters and from AWS into one form, so that two
//! can be compared and shown.

use std::fmt;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRule, UserIdGroupPair};
use switchback_engine::operation::ParamError;

use crate::cidr;

/// Who may come in, or where one may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    V4(String),
    V6(String),
    PrefixList(String),
    Group(String),
}

/// What makes a rule the one that it is. AWS takes no two of these in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) is_egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` for all, or another protocol's number.
    pub(super) protocol: String,
    /// For ICMP the type; -1: any. None where the protocol has no ports.
    pub(super) from_port: Option<i32>,
    /// For ICMP the code; -1: any.
    pub(super) to_port: Option<i32>,
    /// None: one that this release does not know.
    pub(super) peer: Option<Peer>,
}

impl Peer {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::V4(text) | Self::V6(text) | Self::PrefixList(text) | Self::Group(text) => text,
        }
    }
}

/// AWS's name of a protocol, for whichever of its names was given.
pub(super) fn protocol(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "6" => "tcp".to_owned(),
        "17" => "udp".to_owned(),
        "1" => "icmp".to_owned(),
        "58" => "icmpv6".to_owned(),
        "all" => "-1".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether rules of the protocol name ports (or, for ICMP, type and code).
pub(super) fn has_ports(protocol: &str) -> bool {
    ["tcp", "udp", "icmp", "icmpv6"].contains(&protocol)
}

impl Rule {
    /// As AWS describes it.
    pub(super) fn described(rule: &SecurityGroupRule) -> Self {
        let protocol = protocol(rule.ip_protocol().unwrap_or_default());
        let ports = has_ports(&protocol);
        let group = || rule.referenced_group_info()?.group_id();
        let peer = rule
            .cidr_ipv4()
            .map(|c| Peer::V4(cidr::canonical(c)))
            .or_else(|| rule.cidr_ipv6().map(|c| Peer::V6(cidr::canonical(c))))
            .or_else(|| rule.prefix_list_id().map(|id| Peer::PrefixList(id.to_owned())))
            .or_else(|| group().map(|id| Peer::Group(id.to_owned())));
        Self {
            is_egress: rule.is_egress().unwrap_or_default(),
            from_port: rule.from_port().filter(|_| ports),
            to_port: rule.to_port().filter(|_| ports),
            protocol,
            peer,
        }
    }

    /// As an authorize call takes it.
    pub(super) fn permission(&self, description: Option<&str>) -> IpPermission {
        let description = description.map(str::to_owned);
        let permission =
            IpPermission::builder().ip_protocol(&self.protocol).set_from_port(self.from_port).set_to_port(self.to_port);
        match &self.peer {
            Some(Peer::V4(range)) => {
                permission.ip_ranges(IpRange::builder().cidr_ip(range).set_description(description).build())
            }
            Some(Peer::V6(range)) => {
                permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range).set_description(description).build())
            }
            Some(Peer::PrefixList(id)) => permission
                .prefix_list_ids(PrefixListId::builder().prefix_list_id(id).set_description(description).build()),
            Some(Peer::Group(id)) => permission
                .user_id_group_pairs(UserIdGroupPair::builder().group_id(id).set_description(description).build()),
            None => permission,
        }
        .build()
    }

    fn ports(&self) -> String {
        match (self.from_port, self.to_port) {
            (None, None) => String::new(),
            (from, to) if from == to => format!(" {}", from.unwrap_or(-1)),
            (from, to) => format!(" {}-{}", from.unwrap_or(-1), to.unwrap_or(-1)),
        }
    }
}

/// `ingress tcp 5432 from sg-1`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, word) = if self.is_egress { ("egress", "to") } else { ("ingress", "from") };
        let protocol = if self.protocol == "-1" { "all traffic" } else { &self.protocol };
        let peer = self.peer.as_ref().map_or("?", Peer::text);
        write!(f, "{direction} {protocol}{} {word} {peer}", self.ports())
    }
}

/// Holds a name or description to AWS's rules: up to 255 characters of a certain set.
pub(super) fn check_text(text: &str, least: usize, field: &str, errors: &mut Vec<ParamError>) {
    let length = text.chars().count();
    if !(least..=255).contains(&length) {
        errors.push(ParamError::new(field, format!("has {length} characters; AWS takes {least} to 255")));
    }
    let fine = |c: &char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(*c);
    if let Some(c) = text.chars().find(|c| !fine(c)) {
        let takes = "AWS takes a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*";
        errors.push(ParamError::new(field, format!("holds {c:?}; {takes}")));
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::ReferencedSecurityGroup;

    use super::*;

    #[test]
    fn a_rule_reads_the_same_from_whichever_side() {
        let group = ReferencedSecurityGroup::builder().group_id("sg-1").build();
        let described = SecurityGroupRule::builder()
            .is_egress(false)
            .ip_protocol("6")
            .from_port(5432)
            .to_port(5432)
            .referenced_group_info(group)
            .build();
        let rule = Rule::described(&described);
        assert_eq!(rule.to_string(), "ingress tcp 5432 from sg-1");
        let permission = rule.permission(Some("why"));
        assert_eq!(permission.user_id_group_pairs()[0].group_id(), Some("sg-1"));
        assert_eq!(permission.user_id_group_pairs()[0].description(), Some("why"));
        assert_eq!(permission.from_port(), Some(5432));
    }

    #[test]
    fn all_traffic_has_no_ports() {
        let described = SecurityGroupRule::builder()
            .is_egress(true)
            .ip_protocol("-1")
            .from_port(-1)
            .to_port(-1)
            .cidr_ipv6("0:0::/0")
            .build();
        let rule = Rule::described(&described);
        assert_eq!(rule.to_string(), "egress all traffic to ::/0");
        assert_eq!(rule.permission(None).from_port(), None);
    }
}
