//! Load balancers.
//!
//! ```text
//!          create               slow            delete
//! (none) --------> provisioning -----> active ---------> (none), and slowly its network interfaces
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::super::Desk;
use super::form::{self, members};
use super::{misconfigured, next_id, validation, with_defaults};
use crate::emulator::Balancing;
use crate::picture::elb::Balancer;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// The attribute that keeps one from being deleted.
const PROTECTION: &str = "deletion_protection.enabled";
/// The attributes of an application load balancer, as they are when they are not set.
const APPLICATION: &[(&str, &str)] = &[
    (PROTECTION, "false"),
    ("access_logs.s3.bucket", ""),
    ("access_logs.s3.enabled", "false"),
    ("access_logs.s3.prefix", ""),
    ("client_keep_alive.seconds", "3600"),
    ("connection_logs.s3.bucket", ""),
    ("connection_logs.s3.enabled", "false"),
    ("connection_logs.s3.prefix", ""),
    ("idle_timeout.timeout_seconds", "60"),
    ("load_balancing.cross_zone.enabled", "true"),
    ("routing.http.desync_mitigation_mode", "defensive"),
    ("routing.http.drop_invalid_header_fields.enabled", "false"),
    ("routing.http.preserve_host_header.enabled", "false"),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false"),
    ("routing.http.xff_client_port.enabled", "false"),
    ("routing.http.xff_header_processing.mode", "append"),
    ("routing.http2.enabled", "true"),
    ("waf.fail_open.enabled", "false"),
    ("zonal_shift.config.enabled", "false"),
];
/// Those of a network load balancer.
const NETWORK: &[(&str, &str)] = &[
    (PROTECTION, "false"),
    ("access_logs.s3.bucket", ""),
    ("access_logs.s3.enabled", "false"),
    ("access_logs.s3.prefix", ""),
    ("dns_record.client_routing_policy", "any_availability_zone"),
    ("load_balancing.cross_zone.enabled", "false"),
    ("zonal_shift.config.enabled", "false"),
];

pub(super) fn not_found() -> Refusal {
    Refusal::new("LoadBalancerNotFound", "One or more load balancers not found")
}

fn known_attributes(it: &Balancer) -> &'static [(&'static str, &'static str)] {
    if it.kind == "application" { APPLICATION } else { NETWORK }
}

/// One by its ARN.
pub(super) fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Balancer, Refusal> {
    desk.picture().elb.balancers.get(arn).ok_or_else(not_found)
}

/// What the descriptions of its interfaces are.
fn described(arn: &str) -> String {
    format!("ELB {}", arn.split_once(":loadbalancer/").map_or("", |(_, end)| end))
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::name(params, "load balancer")?;
    if name.starts_with("internal-") {
        return Err(validation(format!("The load balancer name '{name}' cannot begin with 'internal-'")));
    }
    let tags = form::tags(params)?;
    let kind = one_of(params, "Type", &["application", "network"])?;
    let scheme = one_of(params, "Scheme", &["internet-facing", "internal"])?;
    let addresses = one_of(params, "IpAddressType", &["ipv4", "dualstack"])?;
    let (vpc, subnets) = subnets(desk, params, kind)?;
    let groups = groups(desk, params, &vpc, kind)?;
    let gateways = &desk.ec2().gateways;
    if scheme == "internet-facing" && !gateways.values().any(|it| it.attached_to.contains(&vpc)) {
        return Err(Refusal::new("InvalidSubnet", format!("VPC {vpc} has no internet gateway")));
    }
    let has_ipv6 = |id: &String| desk.ec2().subnets.get(id).is_some_and(|it| !it.ipv6_cidrs.is_empty());
    if addresses == "dualstack" && !subnets.keys().all(has_ipv6) {
        return Err(misconfigured("You must specify subnets with an associated IPv6 CIDR block."));
    }
    let mut made = Balancer {
        host: String::new(),
        kind: kind.to_owned(),
        scheme: scheme.to_owned(),
        addresses: addresses.to_owned(),
        attributes: BTreeMap::new(),
        created: jiff::Timestamp::UNIX_EPOCH.to_string(),
        name,
        vpc,
        subnets,
        groups,
        tags,
    };
    if let Some((arn, there)) = desk.picture().elb.balancers.iter().find(|(_, it)| it.name == made.name) {
        let settings = |it: &Balancer| {
            (it.kind.clone(), it.scheme.clone(), it.subnets.clone(), it.groups.clone(), it.addresses.clone())
        };
        if settings(there) == settings(&made) {
            return Ok(list(desk, vec![(arn, there)], None));
        }
        return Err(Refusal::new(
            "DuplicateLoadBalancerName",
            format!("A load balancer with the same name '{}' exists, but with different settings", made.name),
        ));
    }
    let id = next_id(desk);
    let (short, name) = (if kind == "application" { "app" } else { "net" }, &made.name);
    let arn = desk.place.arn(Service::Elb, &format!("loadbalancer/{short}/{name}/{id}"));
    made.host = desk.settings.balancer_host.clone().unwrap_or_else(|| host(desk, &made, &id));
    let mut interfaces = Vec::new();
    for subnet in made.subnets.keys() {
        interfaces.push(super::super::ec2::make_interface(desk, subnet, &made.groups, &described(&arn)).await?);
    }
    desk.emulator.attach_interfaces(&interfaces).await;
    desk.emulator.put_balancing(&arn, Balancing::Balancer(made)).await;
    desk.look();
    desk.ready_after(&arn, desk.settings.slow());
    let it = find(desk, &arn)?;
    Ok(list(desk, vec![(&arn, it)], None))
}

/// The host name that AWS would give it.
fn host(desk: &Desk<'_>, it: &Balancer, id: &str) -> String {
    let internal = if it.scheme == "internal" { "internal-" } else { "" };
    let (name, region) = (&it.name, &desk.place.region);
    match it.kind.as_str() {
        "application" => format!("{internal}{name}-{id}.{region}.elb.amazonaws.com"),
        _ => format!("{name}-{id}.elb.{region}.amazonaws.com"),
    }
}

/// One of a few words; the first when none is given.
fn one_of<'a>(params: &'a Params, name: &str, known: &[&'a str]) -> Result<&'a str, Refusal> {
    let given = params.get(name).or_else(|| known.first().copied()).unwrap_or_default();
    if known.contains(&given) {
        return Ok(given);
    }
    Err(validation(format!("1 validation error detected: Value '{given}' at '{name}' is none of {}", known.join(", "))))
}

/// The subnets exist, in one VPC and in zones of their own. Gives back the VPC, and their zones.
fn subnets(desk: &Desk<'_>, params: &Params, kind: &str) -> Result<(String, BTreeMap<String, String>), Refusal> {
    let mut ids = params.list("Subnets.member");
    ids.extend((1..).map_while(|n| params.get(&format!("SubnetMappings.member.{n}.SubnetId"))));
    let all = &desk.ec2().subnets;
    if let Some(unknown) = ids.iter().find(|id| !all.contains_key(**id)) {
        return Err(Refusal::new("SubnetNotFound", format!("The subnet ID '{unknown}' does not exist")));
    }
    let found: Vec<_> = ids.iter().filter_map(|id| Some((*id, all.get(*id)?))).collect();
    let zones: BTreeSet<&String> = found.iter().map(|(_, it)| &it.zone).collect();
    if zones.len() < found.len() {
        let message = "A load balancer cannot be attached to multiple subnets in the same Availability Zone";
        return Err(misconfigured(message));
    }
    if zones.is_empty() || (kind == "application" && zones.len() < 2) {
        return Err(validation("At least two subnets in two different Availability Zones must be specified"));
    }
    let vpcs: BTreeSet<&String> = found.iter().map(|(_, it)| &it.vpc).collect();
    let [vpc] = vpcs.into_iter().collect::<Vec<_>>()[..] else {
        return Err(misconfigured("The subnets are in different VPCs"));
    };
    let subnets = found.iter().map(|(id, it)| ((*id).to_owned(), it.zone.clone())).collect();
    Ok((vpc.clone(), subnets))
}

/// The security groups exist, in the VPC. None: the default one, but for a network load balancer.
fn groups(desk: &Desk<'_>, params: &Params, vpc: &str, kind: &str) -> Result<Vec<String>, Refusal> {
    let given: BTreeSet<&str> = params.list("SecurityGroups.member").into_iter().collect();
    let all = &desk.ec2().groups;
    for id in &given {
        if all.get(*id).is_none_or(|group| group.vpc != vpc) {
            return Err(Refusal::new("InvalidSecurityGroup", format!("The security group '{id}' does not exist")));
        }
    }
    if given.is_empty() && kind == "application" {
        let own = all.iter().filter(|(_, group)| group.vpc == vpc && group.is_default());
        return Ok(own.map(|(id, _)| id.clone()).collect());
    }
    Ok(given.into_iter().map(str::to_owned).collect())
}

fn list(desk: &Desk<'_>, all: Vec<(&String, &Balancer)>, next: Option<String>) -> String {
    let mut xml = Xml::new();
    members(&mut xml, "LoadBalancers", all, |xml, (arn, it)| write(desk, xml, arn, it));
    xml.leaf_if("NextMarker", next);
    xml.finish()
}

fn write(desk: &Desk<'_>, xml: &mut Xml, arn: &str, it: &Balancer) {
    xml.leaf("LoadBalancerArn", arn);
    xml.leaf("DNSName", &it.host);
    xml.leaf("CanonicalHostedZoneId", "Z35SXDOTRQ7X7K");
    xml.leaf("CreatedTime", &it.created);
    xml.leaf("LoadBalancerName", &it.name);
    xml.leaf("Scheme", &it.scheme);
    xml.leaf("VpcId", &it.vpc);
    xml.tag("State", |xml| xml.leaf("Code", if desk.is_pending(arn) { "provisioning" } else { "active" }));
    xml.leaf("Type", &it.kind);
    members(xml, "AvailabilityZones", &it.subnets, |xml, (subnet, zone)| {
        xml.leaf("ZoneName", zone);
        xml.leaf("SubnetId", subnet);
    });
    form::texts(xml, "SecurityGroups", &it.groups);
    xml.leaf("IpAddressType", &it.addresses);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arns, names) = (params.list("LoadBalancerArns.member"), params.list("Names.member"));
    let all = &desk.picture().elb.balancers;
    let is_there = |wanted: &&str| all.values().any(|it| it.name == *wanted);
    if let Some(unknown) = names.iter().find(|name| !is_there(name)) {
        return Err(Refusal::new("LoadBalancerNotFound", format!("Load balancers '[{unknown}]' not found")));
    }
    if arns.iter().any(|arn| !all.contains_key(*arn)) {
        return Err(not_found());
    }
    let wanted = |arn: &String, it: &Balancer| {
        (arns.is_empty() || arns.contains(&arn.as_str())) && (names.is_empty() || names.contains(&it.name.as_str()))
    };
    let (found, next) = form::page(params, all.iter().filter(|(arn, it)| wanted(arn, it)).collect())?;
    Ok(list(desk, found, next))
}

pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("LoadBalancerArn")?;
    let mut it = find(desk, arn)?.clone();
    it.attributes.extend(form::attributes(params, known_attributes(&it), "Load balancer")?);
    desk.emulator.put_balancing(arn, Balancing::Balancer(it)).await;
    desk.look();
    describe_attributes(desk, params)
}

pub(super) fn describe_attributes(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let it = find(desk, params.required("LoadBalancerArn")?)?;
    Ok(form::write_attributes(&with_defaults(known_attributes(it), &it.attributes)))
}

/// One that is not there is deleted already.
pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("LoadBalancerArn")?;
    let Ok(it) = find(desk, arn) else { return Ok(String::new()) };
    if it.attributes.get(PROTECTION).is_some_and(|on| on == "true") {
        return Err(Refusal::new(
            "OperationNotPermitted",
            format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled"),
        ));
    }
    let description = described(arn);
    let held = desk.ec2().interfaces.iter().filter(|(_, it)| it.description == description);
    let held: Vec<String> = held.map(|(id, _)| id.clone()).collect();
    desk.emulator.drop_balancing(arn).await;
    desk.look();
    for id in &held {
        desk.end(id, desk.settings.slow());
    }
    Ok(String::new())
}
