//! EC2: between the emulator's state view and the section of the picture, and edits of what the emulator cannot do.

use std::collections::HashMap;

use winterbaume_ec2::Ec2StateView;
use winterbaume_ec2::views::{
    IpPermissionView, IpRangeView, Ipv6RangeView, RouteTableAssociationView, RouteView, SecurityGroupView,
    SubnetIpv6CidrAssocView, UserIdGroupPairView,
};

use super::Emulator;
use crate::picture::ec2::{
    Acl, Address, Ec2, Endpoint, Gateway, Group, Interface, Nat, Other, Peer, Route, RouteTable, RuleKey, Subnet, Tie,
    Vpc,
};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &Ec2StateView) -> Ec2 {
    let vpcs = view.vpcs.iter().map(|(id, it)| {
        let vpc = Vpc {
            cidr: it.cidr_block.clone(),
            dhcp_options: it.dhcp_options_id.clone(),
            tenancy: it.instance_tenancy.clone(),
            is_default: it.is_default,
            dns_hostnames: it.enable_dns_hostnames,
            dns_support: it.enable_dns_support,
            more_cidrs: it.secondary_cidr_blocks.clone(),
            tags: tags(&it.tags),
        };
        (id.clone(), vpc)
    });
    let subnets = view.subnets.iter().map(|(id, it)| {
        let ipv6 = it.ipv6_cidr_blocks.iter().map(|tie| (tie.association_id.clone(), tie.ipv6_cidr_block.clone()));
        let subnet = Subnet {
            vpc: it.vpc_id.clone(),
            cidr: it.cidr_block.clone(),
            zone: it.availability_zone.clone(),
            public_ip_on_launch: it.map_public_ip_on_launch,
            ipv6_cidrs: ipv6.collect(),
            tags: tags(&it.tags),
        };
        (id.clone(), subnet)
    });
    let gateways = view.igws.iter().map(|(id, it)| {
        let attached_to = it.attachments.iter().map(|tie| tie.vpc_id.clone()).collect();
        (id.clone(), Gateway { attached_to, tags: tags(&it.tags) })
    });
    let interfaces = view.network_interfaces.iter().map(|(id, it)| {
        let interface = Interface {
            subnet: it.subnet_id.clone(),
            vpc: it.vpc_id.clone(),
            description: it.description.clone(),
            address: it.private_ip_address.clone(),
            status: it.status.clone(),
            attachment: it.attachment_id.clone().map(|tie| (tie, it.instance_id.clone())),
            groups: it.security_groups.clone(),
            source_dest_check: it.source_dest_check,
            tags: tags(&it.tags),
        };
        (id.clone(), interface)
    });
    let tables = view.route_tables.iter().map(|(id, it)| {
        let ties = it.associations.iter().map(|tie| Tie {
            id: tie.association_id.clone(),
            subnet: tie.subnet_id.clone(),
            main: tie.main,
        });
        let routes = it.routes.iter().filter_map(|route| {
            let to = route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref());
            Some(Route { destination: to?.clone(), target: route.gateway_id.clone()? })
        });
        let (ties, routes) = (ties.collect(), routes.collect());
        (id.clone(), RouteTable { vpc: it.vpc_id.clone(), ties, routes, tags: tags(&it.tags) })
    });
    let addresses = view.elastic_ips.iter().map(|(id, it)| {
        let address = Address {
            public_ip: it.public_ip.clone(),
            association: it.association_id.clone(),
            interface: it.network_interface_id.clone(),
            instance: it.instance_id.clone(),
            private_ip: it.private_ip_address.clone(),
            tags: tags(&it.tags),
        };
        (id.clone(), address)
    });
    let nats = view.nat_gateways.iter().map(|(id, it)| {
        let nat = Nat {
            vpc: it.vpc_id.clone(),
            subnet: it.subnet_id.clone(),
            state: it.state.clone(),
            public: it.connectivity_type == "public",
            allocation: it.allocation_id.clone(),
            tags: tags(&it.tags),
        };
        (id.clone(), nat)
    });
    let endpoints = view.vpc_endpoints.iter().map(|(id, it)| {
        let endpoint = Endpoint {
            vpc: it.vpc_id.clone(),
            service: it.service_name.clone(),
            kind: it.endpoint_type.clone(),
            policy: it.policy_document.clone(),
            tables: it.route_table_ids.clone(),
            subnets: it.subnet_ids.clone(),
            groups: it.security_group_ids.clone(),
            private_dns: it.private_dns_enabled.unwrap_or(false),
            tags: tags(&it.tags),
        };
        (id.clone(), endpoint)
    });
    let acls = view
        .network_acls
        .iter()
        .map(|(id, it)| (id.clone(), Acl { vpc: it.vpc_id.clone(), is_default: it.is_default, tags: tags(&it.tags) }));
    Ec2 {
        vpcs: vpcs.collect(),
        subnets: subnets.collect(),
        gateways: gateways.collect(),
        groups: view.security_groups.iter().map(|(id, it)| (id.clone(), group_of(it))).collect(),
        interfaces: interfaces.collect(),
        tables: tables.collect(),
        addresses: addresses.collect(),
        nats: nats.collect(),
        endpoints: endpoints.collect(),
        acls: acls.collect(),
        others: others(view),
    }
}

impl Emulator {
    /// Replaces the tags of a resource.
    pub(crate) async fn set_tags(&self, id: &str, tags: &Tags) {
        self.edit(|view: &mut Ec2StateView| {
            if let Some(held) = tags_mut(view, id) {
                *held = tags.clone().into_iter().collect();
            }
        })
        .await;
    }

    /// Replaces what a group allows.
    pub(crate) async fn set_rules(&self, group: &str, rules: &[RuleKey]) {
        self.edit(|view: &mut Ec2StateView| set_rules(view, group, rules)).await;
    }

    /// Adds the default group, and makes this table the main one: both come with a VPC.
    pub(crate) async fn add_vpc_defaults(&self, group: &str, table: &str) {
        self.edit(|view: &mut Ec2StateView| {
            let own = RuleKey {
                group: group.to_owned(),
                egress: false,
                protocol: "-1".to_owned(),
                from: -1,
                to: -1,
                peer: Peer::Group(group.to_owned()),
            };
            if let Some(held) = view.security_groups.get_mut(group) {
                held.description = "default VPC security group".to_owned();
                held.ingress_rules = vec![permission_of(&own)];
            }
            if let Some(held) = view.route_tables.get_mut(table) {
                view.counters.rtbassoc += 1;
                held.associations.push(RouteTableAssociationView {
                    association_id: format!("rtbassoc-{:08x}", view.counters.rtbassoc),
                    subnet_id: None,
                    gateway_id: None,
                    main: true,
                    state: "associated".to_owned(),
                });
            }
        })
        .await;
    }

    /// Takes away what goes with a VPC: its default group, main route table and default network ACL.
    pub(crate) async fn drop_vpc_defaults(&self, vpc: &str) {
        self.edit(|view: &mut Ec2StateView| {
            view.security_groups.retain(|_, group| group.vpc_id != vpc);
            view.route_tables.retain(|_, table| table.vpc_id != vpc);
            view.network_acls.retain(|_, acl| acl.vpc_id != vpc);
        })
        .await;
    }

    /// Takes away what goes with a subnet: what ties it to route tables and network ACLs.
    pub(crate) async fn drop_subnet_ties(&self, subnet: &str) {
        self.edit(|view: &mut Ec2StateView| {
            for table in view.route_tables.values_mut() {
                table.associations.retain(|tie| tie.subnet_id.as_deref() != Some(subnet));
            }
            for acl in view.network_acls.values_mut() {
                acl.associations.retain(|tie| tie.subnet_id != subnet);
            }
        })
        .await;
    }

    /// Puts the interfaces of a service to use: AWS attaches them by itself.
    pub(crate) async fn attach_interfaces(&self, interfaces: &[String]) {
        self.edit(|view: &mut Ec2StateView| {
            for id in interfaces {
                if let Some(held) = view.network_interfaces.get_mut(id) {
                    held.status = "in-use".to_owned();
                    held.attachment_id = Some(format!("ela-attach-{}", id.trim_start_matches("eni-")));
                }
            }
        })
        .await;
    }

    /// Makes a NAT gateway what it is in the end: its state, and the address that its interface has.
    pub(crate) async fn set_nat(&self, id: &str, state: &str, interface: Option<&str>) {
        self.edit(|view: &mut Ec2StateView| {
            let Some(nat) = view.nat_gateways.get_mut(id) else { return };
            nat.state = state.to_owned();
            let (Some(interface), Some(allocation)) = (interface, &nat.allocation_id) else { return };
            let Some(interface) = view.network_interfaces.get(interface) else { return };
            if let Some(address) = view.elastic_ips.get_mut(allocation) {
                view.counters.eip_assoc += 1;
                address.association_id = Some(format!("eipassoc-{:08x}", view.counters.eip_assoc));
                address.network_interface_id = Some(interface.network_interface_id.clone());
                address.private_ip_address = Some(interface.private_ip_address.clone());
            }
        })
        .await;
    }

    /// Takes away interfaces of a service, and frees the addresses that they had.
    pub(crate) async fn drop_interfaces(&self, interfaces: &[String]) {
        self.edit(|view: &mut Ec2StateView| {
            view.network_interfaces.retain(|id, _| !interfaces.contains(id));
            for address in view.elastic_ips.values_mut() {
                if address.network_interface_id.as_ref().is_some_and(|of| interfaces.contains(of)) {
                    (address.association_id, address.network_interface_id) = (None, None);
                    address.private_ip_address = None;
                }
            }
        })
        .await;
    }

    /// Takes away a NAT gateway that was deleted a while ago.
    pub(crate) async fn drop_nat(&self, id: &str) {
        self.edit(|view: &mut Ec2StateView| drop(view.nat_gateways.remove(id))).await;
    }

    /// Sets the route to a destination, or takes it away.
    pub(crate) async fn set_route(&self, table: &str, destination: &str, target: Option<&str>) {
        self.edit(|view: &mut Ec2StateView| {
            let Some(held) = view.route_tables.get_mut(table) else { return };
            let goes = |route: &RouteView| {
                [&route.destination_cidr_block, &route.destination_ipv6_cidr_block]
                    .into_iter()
                    .any(|to| to.as_deref() == Some(destination))
            };
            held.routes.retain(|route| !goes(route));
            let Some(target) = target else { return };
            let (v6, v4) = Some(destination.to_owned()).into_iter().partition::<Vec<_>, _>(|to| to.contains(':'));
            held.routes.push(RouteView {
                destination_cidr_block: v4.into_iter().next(),
                destination_ipv6_cidr_block: v6.into_iter().next(),
                gateway_id: Some(target.to_owned()),
                state: "active".to_owned(),
                origin: "CreateRoute".to_owned(),
            });
        })
        .await;
    }

    /// What the emulator does not take at creation: private DNS, and the groups that AWS chose.
    pub(crate) async fn set_endpoint(&self, id: &str, private_dns: bool, groups: &[String]) {
        self.edit(|view: &mut Ec2StateView| {
            if let Some(held) = view.vpc_endpoints.get_mut(id) {
                held.private_dns_enabled = Some(private_dns);
                held.security_group_ids = groups.to_vec();
            }
        })
        .await;
    }

    /// No endpoint puts routes into this table any more.
    pub(crate) async fn drop_table_ties(&self, table: &str) {
        self.edit(|view: &mut Ec2StateView| {
            for endpoint in view.vpc_endpoints.values_mut() {
                endpoint.route_table_ids.retain(|of| of != table);
            }
        })
        .await;
    }

    /// Gives a VPC a further range.
    pub(crate) async fn add_vpc_cidr(&self, vpc: &str, association: &str, cidr: &str) {
        self.edit(|view: &mut Ec2StateView| {
            if let Some(held) = view.vpcs.get_mut(vpc) {
                held.secondary_cidr_blocks.push((association.to_owned(), cidr.to_owned()));
            }
        })
        .await;
    }

    /// Gives a subnet an IPv6 range.
    pub(crate) async fn add_subnet_ipv6(&self, subnet: &str, association: &str, cidr: &str) {
        self.edit(|view: &mut Ec2StateView| {
            if let Some(held) = view.subnets.get_mut(subnet) {
                held.ipv6_cidr_blocks.push(SubnetIpv6CidrAssocView {
                    association_id: association.to_owned(),
                    ipv6_cidr_block: cidr.to_owned(),
                    state: "associated".to_owned(),
                });
            }
        })
        .await;
    }
}

fn set_rules(view: &mut Ec2StateView, group: &str, rules: &[RuleKey]) {
    let Some(SecurityGroupView { ingress_rules, egress_rules, .. }) = view.security_groups.get_mut(group) else {
        return;
    };
    ingress_rules.clear();
    egress_rules.clear();
    for rule in rules {
        let side = if rule.egress { &mut *egress_rules } else { &mut *ingress_rules };
        side.push(permission_of(rule));
    }
}

fn others(view: &Ec2StateView) -> std::collections::BTreeMap<String, Other> {
    let nothing = |kind, held: &HashMap<String, String>| Other {
        kind,
        vpcs: Vec::new(),
        subnets: Vec::new(),
        groups: Vec::new(),
        public: false,
        tags: tags(held),
    };
    let mut all = std::collections::BTreeMap::new();
    for (id, it) in view.instances.iter().filter(|(_, it)| it.state.name != "terminated") {
        let other = Other {
            vpcs: it.vpc_id.iter().cloned().collect(),
            subnets: it.subnet_id.iter().cloned().collect(),
            groups: it.security_groups.clone(),
            public: it.public_ip_address.is_some(),
            ..nothing("instance", &it.tags)
        };
        all.insert(id.clone(), other);
    }
    for (id, it) in view.vpn_gateways.iter().filter(|(_, it)| it.state != "deleted") {
        let attached = it.vpc_attachments.iter().filter(|tie| tie.state != "detached");
        let vpcs = attached.map(|tie| tie.vpc_id.clone()).collect();
        all.insert(id.clone(), Other { vpcs, ..nothing("vpn-gateway", &it.tags) });
    }
    for (id, it) in &view.egress_only_igws {
        let vpcs = it.attachments.iter().map(|tie| tie.vpc_id.clone()).collect();
        all.insert(id.clone(), Other { vpcs, ..nothing("egress-only-internet-gateway", &it.tags) });
    }
    for (id, it) in view.carrier_gateways.iter().filter(|(_, it)| it.state != "deleted") {
        all.insert(id.clone(), Other { vpcs: vec![it.vpc_id.clone()], ..nothing("carrier-gateway", &it.tags) });
    }
    all
}

fn group_of(view: &SecurityGroupView) -> Group {
    let mut rules = Vec::new();
    for (egress, side) in [(false, &view.ingress_rules), (true, &view.egress_rules)] {
        for permission in side {
            let v4 = permission.ip_ranges.iter().map(|range| Peer::V4(range.cidr_ip.clone()));
            let v6 = permission.ipv6_ranges.iter().map(|range| Peer::V6(range.cidr_ipv6.clone()));
            let groups = permission.user_id_group_pairs.iter().map(|pair| Peer::Group(pair.group_id.clone()));
            rules.extend(v4.chain(v6).chain(groups).map(|peer| RuleKey {
                group: view.group_id.clone(),
                egress,
                protocol: permission.ip_protocol.clone(),
                from: port(permission.from_port),
                to: port(permission.to_port),
                peer,
            }));
        }
    }
    Group {
        name: view.group_name.clone(),
        description: view.description.clone(),
        vpc: view.vpc_id.clone(),
        rules,
        tags: tags(&view.tags),
    }
}

fn port(port: Option<i64>) -> i32 {
    port.and_then(|port| i32::try_from(port).ok()).unwrap_or(-1)
}

/// One rule in the emulator's form.
fn permission_of(rule: &RuleKey) -> IpPermissionView {
    let port = |port: i32| if rule.protocol == "-1" { None } else { Some(i64::from(port)) };
    let mut permission = IpPermissionView {
        from_port: port(rule.from),
        to_port: port(rule.to),
        ip_protocol: rule.protocol.clone(),
        ip_ranges: Vec::new(),
        ipv6_ranges: Vec::new(),
        user_id_group_pairs: Vec::new(),
    };
    match &rule.peer {
        Peer::V4(cidr) => permission.ip_ranges.push(IpRangeView { cidr_ip: cidr.clone(), description: None }),
        Peer::V6(cidr) => permission.ipv6_ranges.push(Ipv6RangeView { cidr_ipv6: cidr.clone(), description: None }),
        Peer::Group(id) => {
            permission.user_id_group_pairs.push(UserIdGroupPairView { group_id: id.clone(), user_id: None });
        }
    }
    permission
}

/// The tags of any resource that can be tagged.
fn tags_mut<'a>(view: &'a mut Ec2StateView, id: &str) -> Option<&'a mut HashMap<String, String>> {
    let kind = id.rsplit_once('-').map_or("", |(kind, _)| kind);
    match kind {
        "vpc" => view.vpcs.get_mut(id).map(|it| &mut it.tags),
        "subnet" => view.subnets.get_mut(id).map(|it| &mut it.tags),
        "igw" => view.igws.get_mut(id).map(|it| &mut it.tags),
        "sg" => view.security_groups.get_mut(id).map(|it| &mut it.tags),
        "eni" => view.network_interfaces.get_mut(id).map(|it| &mut it.tags),
        "rtb" => view.route_tables.get_mut(id).map(|it| &mut it.tags),
        "acl" => view.network_acls.get_mut(id).map(|it| &mut it.tags),
        "nat" => view.nat_gateways.get_mut(id).map(|it| &mut it.tags),
        "vpce" => view.vpc_endpoints.get_mut(id).map(|it| &mut it.tags),
        "i" => view.instances.get_mut(id).map(|it| &mut it.tags),
        "eipalloc" => view.elastic_ips.get_mut(id).map(|it| &mut it.tags),
        "vgw" => view.vpn_gateways.get_mut(id).map(|it| &mut it.tags),
        "eigw" => view.egress_only_igws.get_mut(id).map(|it| &mut it.tags),
        "cagw" => view.carrier_gateways.get_mut(id).map(|it| &mut it.tags),
        _ => None,
    }
}

fn tags(tags: &HashMap<String, String>) -> Tags {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
