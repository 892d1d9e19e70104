//! EC2: networks and what is in them.

use std::collections::BTreeMap;
use std::fmt;

use crate::query::Tags;

/// The section of EC2, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ec2 {
    pub(crate) vpcs: BTreeMap<String, Vpc>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    pub(crate) gateways: BTreeMap<String, Gateway>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) tables: BTreeMap<String, RouteTable>,
    pub(crate) acls: BTreeMap<String, Acl>,
    pub(crate) others: BTreeMap<String, Other>,
}

#[derive(Debug, Clone)]
pub(crate) struct Vpc {
    pub(crate) cidr: String,
    pub(crate) dhcp_options: String,
    pub(crate) tenancy: String,
    pub(crate) is_default: bool,
    pub(crate) dns_hostnames: bool,
    pub(crate) dns_support: bool,
    /// Association id and range; of IPv6 when there is a colon in it.
    pub(crate) more_cidrs: Vec<(String, String)>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Subnet {
    pub(crate) vpc: String,
    pub(crate) cidr: String,
    pub(crate) zone: String,
    pub(crate) public_ip_on_launch: bool,
    /// Association id and range.
    pub(crate) ipv6_cidrs: Vec<(String, String)>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) attached_to: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) vpc: String,
    pub(crate) rules: Vec<RuleKey>,
    pub(crate) tags: Tags,
}

impl Group {
    /// The group that came with the VPC: nobody can delete it, and it goes when the VPC goes.
    pub(crate) fn is_default(&self) -> bool {
        self.name == "default"
    }
}

/// Who a rule lets in or out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    V4(String),
    V6(String),
    Group(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::V4(text) | Self::V6(text) | Self::Group(text)) = self;
        f.write_str(text)
    }
}

/// What makes two security group rules the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleKey {
    pub(crate) group: String,
    pub(crate) egress: bool,
    pub(crate) protocol: String,
    /// -1 where the protocol has no ports.
    pub(crate) from: i32,
    pub(crate) to: i32,
    pub(crate) peer: Peer,
}

#[derive(Debug, Clone)]
pub(crate) struct Interface {
    pub(crate) subnet: String,
    pub(crate) vpc: String,
    pub(crate) description: String,
    pub(crate) address: String,
    pub(crate) status: String,
    pub(crate) attachment: Option<(String, Option<String>)>,
    pub(crate) groups: Vec<String>,
    pub(crate) source_dest_check: bool,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct RouteTable {
    pub(crate) vpc: String,
    pub(crate) main: bool,
    pub(crate) subnets: Vec<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Acl {
    pub(crate) vpc: String,
    pub(crate) is_default: bool,
    pub(crate) tags: Tags,
}

/// A resource without rules of its own here, which can still hold on to others.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    pub(crate) kind: &'static str,
    pub(crate) vpcs: Vec<String>,
    pub(crate) subnets: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// Has a public address in these networks, which keeps their gateway attached.
    pub(crate) public: bool,
    pub(crate) tags: Tags,
}

impl Ec2 {
    /// Whether something has this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.vpcs.contains_key(id)
            || self.subnets.contains_key(id)
            || self.gateways.contains_key(id)
            || self.groups.contains_key(id)
            || self.interfaces.contains_key(id)
            || self.tables.contains_key(id)
            || self.acls.contains_key(id)
            || self.others.contains_key(id)
    }

    /// Every rule of every group.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &RuleKey> {
        self.groups.values().flat_map(|group| &group.rules)
    }

    /// The tags of a resource of any kind that the emulator holds, with the name of the kind.
    pub(crate) fn tagged(&self) -> impl Iterator<Item = (&str, &'static str, &Tags)> {
        let vpcs = self.vpcs.iter().map(|(id, it)| (id.as_str(), "vpc", &it.tags));
        let subnets = self.subnets.iter().map(|(id, it)| (id.as_str(), "subnet", &it.tags));
        let gateways = self.gateways.iter().map(|(id, it)| (id.as_str(), "internet-gateway", &it.tags));
        let groups = self.groups.iter().map(|(id, it)| (id.as_str(), "security-group", &it.tags));
        let interfaces = self.interfaces.iter().map(|(id, it)| (id.as_str(), "network-interface", &it.tags));
        let tables = self.tables.iter().map(|(id, it)| (id.as_str(), "route-table", &it.tags));
        let acls = self.acls.iter().map(|(id, it)| (id.as_str(), "network-acl", &it.tags));
        let others = self.others.iter().map(|(id, it)| (id.as_str(), it.kind, &it.tags));
        vpcs.chain(subnets).chain(gateways).chain(groups).chain(interfaces).chain(tables).chain(acls).chain(others)
    }
}
