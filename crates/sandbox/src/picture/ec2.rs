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
    pub(crate) addresses: BTreeMap<String, Address>,
    /// Also those that were deleted and are still described.
    pub(crate) nats: BTreeMap<String, Nat>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) acls: BTreeMap<String, Acl>,
    pub(crate) others: BTreeMap<String, Other>,
}

#[derive(Debug, Clone, Default)]
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
    pub(crate) ties: Vec<Tie>,
    pub(crate) routes: Vec<Route>,
    pub(crate) tags: Tags,
}

impl RouteTable {
    /// The table of all subnets that have none of their own: nobody can delete it.
    pub(crate) fn is_main(&self) -> bool {
        self.ties.iter().any(|tie| tie.main)
    }

    /// The subnets that it was associated with.
    pub(crate) fn subnets(&self) -> impl Iterator<Item = &String> {
        self.ties.iter().filter_map(|tie| tie.subnet.as_ref())
    }
}

/// What ties a route table to a subnet, or to the VPC.
#[derive(Debug, Clone)]
pub(crate) struct Tie {
    pub(crate) id: String,
    pub(crate) subnet: Option<String>,
    pub(crate) main: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// A range; of IPv6 when there is a colon in it.
    pub(crate) destination: String,
    /// Id of the target, or `local`.
    pub(crate) target: String,
}

/// An Elastic IP address.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) public_ip: String,
    pub(crate) association: Option<String>,
    pub(crate) interface: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) private_ip: Option<String>,
    pub(crate) tags: Tags,
}

/// A NAT gateway.
#[derive(Debug, Clone)]
pub(crate) struct Nat {
    pub(crate) vpc: String,
    pub(crate) subnet: String,
    /// `available`, `failed` or `deleted`; what lies between is in the notes.
    pub(crate) state: String,
    pub(crate) public: bool,
    pub(crate) allocation: Option<String>,
    pub(crate) tags: Tags,
}

/// A VPC endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) vpc: String,
    pub(crate) service: String,
    /// `Gateway` or `Interface`.
    pub(crate) kind: String,
    pub(crate) policy: Option<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) subnets: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) private_dns: bool,
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
            || self.addresses.contains_key(id)
            || self.nats.contains_key(id)
            || self.endpoints.contains_key(id)
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
        let addresses = self.addresses.iter().map(|(id, it)| (id.as_str(), "elastic-ip", &it.tags));
        let nats = self.nats.iter().filter(|(_, it)| it.state != "deleted");
        let nats = nats.map(|(id, it)| (id.as_str(), "natgateway", &it.tags));
        let endpoints = self.endpoints.iter().map(|(id, it)| (id.as_str(), "vpc-endpoint", &it.tags));
        let acls = self.acls.iter().map(|(id, it)| (id.as_str(), "network-acl", &it.tags));
        let others = self.others.iter().map(|(id, it)| (id.as_str(), it.kind, &it.tags));
        vpcs.chain(subnets)
            .chain(gateways)
            .chain(groups)
            .chain(interfaces)
            .chain(tables)
            .chain(addresses)
            .chain(nats)
            .chain(endpoints)
            .chain(acls)
            .chain(others)
    }
}
