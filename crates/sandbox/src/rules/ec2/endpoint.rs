//! VPC endpoints, of the types Gateway and Interface.
//!
//! Mended: the emulator takes any service, makes no interfaces, forgets private DNS, and has endpoints available and
//! gone at once.

use super::select::{Filters, page, write_tags};
use super::vpc::made;
use super::{Desk, ids, interface};
use crate::picture::ec2::{Endpoint, Vpc};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &["service-name", "vpc-endpoint-id", "vpc-endpoint-state", "vpc-endpoint-type", "vpc-id"];

/// The services that a gateway endpoint leads to, with the prefix list of their addresses.
const GATEWAYS: &[(&str, &str)] = &[("dynamodb", "pl-02cd2c6b"), ("s3", "pl-63a5400a")];
/// The services that an interface endpoint leads to.
const INTERFACES: &[&str] = &[
    "autoscaling",
    "dynamodb",
    "ec2",
    "ec2messages",
    "ecr.api",
    "ecr.dkr",
    "ecs",
    "ecs-agent",
    "ecs-telemetry",
    "elasticloadbalancing",
    "events",
    "execute-api",
    "kms",
    "lambda",
    "logs",
    "monitoring",
    "rds",
    "rds-data",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "sns",
    "sqs",
    "ssm",
    "ssmmessages",
    "sts",
    "xray",
];

/// The prefix list of a service of gateway endpoints.
pub(super) fn prefix_list(service: &str) -> Option<&'static str> {
    let name = service.split('.').nth(3)?;
    GATEWAYS.iter().find(|(gateway, _)| *gateway == name).map(|(_, list)| *list)
}

/// The name by which a service is called, which private DNS takes over.
fn dns_name(desk: &Desk<'_>, service: &str) -> String {
    let name = service.splitn(4, '.').nth(3).unwrap_or_default();
    let reversed: Vec<&str> = name.rsplit('.').collect();
    format!("{}.{}.amazonaws.com", reversed.join("."), desk.place.region)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameter", message.into())
}

/// Everything that was asked for and may be made.
struct Wanted<'a> {
    vpc: &'a str,
    service: &'a str,
    kind: &'a str,
    tables: Vec<&'a str>,
    subnets: Vec<&'a str>,
    groups: Vec<String>,
    private_dns: bool,
}

fn wanted<'a>(desk: &Desk<'_>, params: &'a Params) -> Result<Wanted<'a>, Refusal> {
    let (vpc_id, service) = (params.required("VpcId")?, params.required("ServiceName")?);
    let vpc = ids::VPC.find(&desk.ec2().vpcs, vpc_id)?;
    let kind = params.get("VpcEndpointType").unwrap_or("Gateway");
    check_service(desk, service, kind)?;
    let (tables, subnets) = (params.list("RouteTableId"), params.list("SubnetId"));
    let mut wanted = Wanted { vpc: vpc_id, service, kind, tables, subnets, groups: Vec::new(), private_dns: false };
    if kind == "Gateway" {
        if !wanted.subnets.is_empty() || params.any("SecurityGroupId.") {
            return Err(invalid("Subnets and security groups are only supported for Interface type VPC Endpoints."));
        }
        if params.flag("PrivateDnsEnabled")? == Some(true) {
            return Err(invalid("Private DNS is only supported for Interface type VPC Endpoints."));
        }
        check_tables(desk, &wanted)?;
    } else {
        if !wanted.tables.is_empty() {
            return Err(invalid("Route table IDs are only supported for Gateway type VPC Endpoint."));
        }
        wanted.groups = groups(desk, params, &wanted)?;
        // On unless it was said otherwise, as the API has it.
        wanted.private_dns = params.flag("PrivateDnsEnabled")?.unwrap_or(true);
        if wanted.private_dns {
            check_dns(desk, &wanted, vpc)?;
        }
    }
    Ok(wanted)
}

fn check_service(desk: &Desk<'_>, service: &str, kind: &str) -> Result<(), Refusal> {
    if !["Gateway", "Interface"].contains(&kind) {
        return Err(Refusal::value(kind, "vpcEndpointType", "Expecting Gateway or Interface."));
    }
    let name = service.strip_prefix(&format!("com.amazonaws.{}.", desk.place.region)).unwrap_or_default();
    let gateway = GATEWAYS.iter().any(|(known, _)| *known == name);
    let interface = INTERFACES.contains(&name);
    let types: Vec<&str> = [(gateway, "Gateway"), (interface, "Interface")]
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, kind)| kind)
        .collect();
    if types.is_empty() {
        let message = format!("The Vpc Endpoint Service '{service}' does not exist");
        return Err(Refusal::new("InvalidServiceName", message));
    }
    if !types.contains(&kind) {
        let types = types.join(", ");
        return Err(invalid(format!("Endpoint type ({kind}) does not match available service types ([{types}]).")));
    }
    Ok(())
}

fn check_tables(desk: &Desk<'_>, wanted: &Wanted<'_>) -> Result<(), Refusal> {
    for id in &wanted.tables {
        let table = ids::TABLE.find(&desk.ec2().tables, id)?;
        if table.vpc != wanted.vpc {
            return Err(invalid(format!("Route table {id} does not belong to the VPC {}", wanted.vpc)));
        }
        let mut others = desk.ec2().endpoints.values();
        if others.any(|it| it.service == wanted.service && it.tables.iter().any(|of| of == id)) {
            let list = prefix_list(wanted.service).unwrap_or_default();
            let message = format!("route table {id} already has a route with destination-prefix-list-id {list}");
            return Err(Refusal::new("RouteAlreadyExists", message));
        }
    }
    Ok(())
}

/// The groups of the interfaces: those that were given, or the default one of the VPC.
fn groups(desk: &Desk<'_>, params: &Params, wanted: &Wanted<'_>) -> Result<Vec<String>, Refusal> {
    let mut zones = Vec::new();
    for id in &wanted.subnets {
        let subnet = ids::SUBNET.find(&desk.ec2().subnets, id)?;
        if subnet.vpc != wanted.vpc {
            return Err(invalid(format!("The subnet {id} does not belong to the VPC {}", wanted.vpc)));
        }
        if zones.contains(&&subnet.zone) {
            return Err(Refusal::new(
                "DuplicateSubnetsInSameZone",
                "Found another VPC endpoint subnet in the availability zone",
            ));
        }
        zones.push(&subnet.zone);
    }
    let given = params.list("SecurityGroupId");
    let all = &desk.ec2().groups;
    ids::GROUP.check_all(all, &given)?;
    if let Some(other) = given.iter().find(|id| all.get(**id).is_some_and(|group| group.vpc != wanted.vpc)) {
        return Err(invalid(format!("Security group {other} does not belong to the VPC {}", wanted.vpc)));
    }
    if given.is_empty() {
        let own = all.iter().filter(|(_, group)| group.vpc == wanted.vpc && group.is_default());
        return Ok(own.map(|(id, _)| id.clone()).collect());
    }
    Ok(given.into_iter().map(str::to_owned).collect())
}

fn check_dns(desk: &Desk<'_>, wanted: &Wanted<'_>, vpc: &Vpc) -> Result<(), Refusal> {
    if !(vpc.dns_support && vpc.dns_hostnames) {
        return Err(invalid(format!(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for {}",
            wanted.vpc
        )));
    }
    let mut others = desk.ec2().endpoints.values();
    if others.any(|it| it.vpc == wanted.vpc && it.service == wanted.service && it.private_dns) {
        return Err(invalid(format!(
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain for {} in the VPC {}",
            dns_name(desk, wanted.service),
            wanted.vpc
        )));
    }
    Ok(())
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let wanted = wanted(desk, params)?;
    let tags = params.tags_for("vpc-endpoint")?;
    params.stop_if_dry_run()?;

    let mut call = Params::call("CreateVpcEndpoint").with("VpcId", wanted.vpc).with("ServiceName", wanted.service);
    call = call.with("VpcEndpointType", wanted.kind).with_tags("vpc-endpoint", &tags);
    if let Some(policy) = params.get("PolicyDocument") {
        call = call.with("PolicyDocument", policy);
    }
    for (name, ids) in [("RouteTableId", &wanted.tables), ("SubnetId", &wanted.subnets)] {
        for (n, id) in (1..).zip(ids) {
            call = call.with(format!("{name}.{n}"), *id);
        }
    }
    let id = made(&desk.emulator.act(call).await?, "vpcEndpointId")?;
    let mut interfaces = Vec::new();
    for subnet in &wanted.subnets {
        let description = format!("{}{id}", interface::ENDPOINT);
        interfaces.push(interface::make(desk, subnet, &wanted.groups, &description).await?);
    }
    if wanted.kind == "Interface" {
        desk.emulator.attach_interfaces(&interfaces).await;
        desk.emulator.set_endpoint(&id, wanted.private_dns, &wanted.groups).await;
    }
    let wait = if wanted.kind == "Interface" { desk.settings.slow() } else { desk.settings.settle };
    desk.look();
    desk.ready_after(&id, wait);
    let endpoint = ids::ENDPOINT.find(&desk.ec2().endpoints, &id)?;
    let mut xml = Xml::new();
    xml.tag("vpcEndpoint", |xml| write(desk, xml, &id, endpoint));
    xml.leaf_if("clientToken", params.get("ClientToken"));
    Ok(xml.finish())
}

/// In lower case, as AWS answers, although its API reference has capitals.
fn state(desk: &Desk<'_>, id: &str) -> &'static str {
    if desk.is_ending(id) { "deleting" } else { desk.state(id) }
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, it: &Endpoint) {
    let all =
        r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
    xml.leaf("vpcEndpointId", id);
    xml.leaf("vpcEndpointType", &it.kind);
    xml.leaf("vpcId", &it.vpc);
    xml.leaf("serviceName", &it.service);
    xml.leaf("state", state(desk, id));
    xml.leaf("policyDocument", it.policy.as_deref().unwrap_or(all));
    xml.set("routeTableIdSet", &it.tables, |xml, table| xml.leaf_here(table));
    xml.set("subnetIdSet", &it.subnets, |xml, subnet| xml.leaf_here(subnet));
    xml.set("groupSet", &it.groups, |xml, group| {
        xml.leaf("groupId", group);
        xml.leaf_if("groupName", desk.ec2().groups.get(group).map(|group| &group.name));
    });
    xml.leaf("privateDnsEnabled", it.private_dns);
    xml.leaf("requesterManaged", false);
    let interfaces = interface::described(desk, &format!("{}{id}", interface::ENDPOINT));
    xml.set("networkInterfaceIdSet", interfaces, |xml, (interface, _)| xml.leaf_here(interface));
    if it.kind == "Interface" {
        let name = dns_name(desk, &it.service);
        let own = format!("{id}.{name}");
        let private = it.private_dns.then_some(name);
        xml.set("dnsEntrySet", std::iter::once(own).chain(private), |xml, name| xml.leaf("dnsName", name));
    }
    xml.leaf("ownerId", &desk.place.account);
    write_tags(xml, &it.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("VpcEndpointId");
    ids::ENDPOINT.check_all(&desk.ec2().endpoints, &wanted)?;
    let found = desk.ec2().endpoints.iter().filter(|(id, it)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&it.tags, |name| match name {
                "service-name" => vec![it.service.clone()],
                "vpc-endpoint-id" => vec![(*id).clone()],
                "vpc-endpoint-state" => vec![state(desk, id).to_owned()],
                "vpc-endpoint-type" => vec![it.kind.clone()],
                "vpc-id" => vec![it.vpc.clone()],
                _ => Vec::new(),
            })
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("vpcEndpointSet", found, |xml, (id, it)| write(desk, xml, id, it));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

/// Answers 200 whatever is refused: each refusal is in the reply.
pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let wanted = params.list("VpcEndpointId");
    if wanted.is_empty() {
        return Err(Refusal::missing("VpcEndpointId"));
    }
    params.stop_if_dry_run()?;
    let mut refused = Vec::new();
    for id in wanted {
        match ids::ENDPOINT.find(&desk.ec2().endpoints, id) {
            Err(refusal) => refused.push((id, refusal)),
            Ok(_) if desk.is_ending(id) => {}
            Ok(it) => {
                let wait = if it.kind == "Interface" { desk.settings.slow() } else { desk.settings.settle };
                desk.end(id, wait);
            }
        }
    }
    let mut xml = Xml::new();
    xml.set("unsuccessful", refused, |xml, (id, refusal)| {
        xml.leaf("resourceId", id);
        xml.tag("error", |xml| {
            xml.leaf("code", &refusal.code);
            xml.leaf("message", &refusal.message);
        });
    });
    Ok(xml.finish())
}

/// It was deleted: it goes with its interfaces.
pub(super) async fn finish(desk: &mut Desk<'_>, id: &str) -> Result<(), Refusal> {
    let held = interface::described(desk, &format!("{}{id}", interface::ENDPOINT));
    let held: Vec<String> = held.into_iter().map(|(id, _)| id.clone()).collect();
    desk.emulator.act(Params::call("DeleteVpcEndpoints").with("VpcEndpointId.1", id)).await?;
    if !held.is_empty() {
        desk.emulator.drop_interfaces(&held).await;
    }
    desk.look();
    Ok(())
}
