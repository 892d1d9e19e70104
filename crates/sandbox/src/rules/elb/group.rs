//! Target groups and their targets.

use serde_json::{Value, json};

use super::super::Desk;
use super::form::{self, members};
use super::{balancers_of, fact, misconfigured, next_id, note, users, validation, with_defaults};
use crate::emulator::Balancing;
use crate::picture::elb::TargetGroup;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// How health is checked.
const HEALTH: &str = "health_check";
/// The attributes, as they are when they are not set.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("deregistration_delay.connection_termination.enabled", "false"),
    ("deregistration_delay.timeout_seconds", "300"),
    ("load_balancing.algorithm.anomaly_mitigation", "off"),
    ("load_balancing.algorithm.type", "round_robin"),
    ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
    ("preserve_client_ip.enabled", "false"),
    ("proxy_protocol_v2.enabled", "false"),
    ("slow_start.duration_seconds", "0"),
    ("stickiness.app_cookie.cookie_name", ""),
    ("stickiness.app_cookie.duration_seconds", "86400"),
    ("stickiness.enabled", "false"),
    ("stickiness.lb_cookie.duration_seconds", "86400"),
    ("stickiness.type", "lb_cookie"),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1"),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off"),
];

pub(super) fn not_found() -> Refusal {
    Refusal::new("TargetGroupNotFound", "One or more target groups not found")
}

/// One by its ARN.
pub(super) fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a TargetGroup, Refusal> {
    desk.picture().elb.groups.get(arn).ok_or_else(not_found)
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::name(params, "target group")?;
    let tags = form::tags(params)?;
    let protocol = params.get("Protocol").unwrap_or_default();
    if !["HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP"].contains(&protocol) {
        return Err(validation("A protocol must be specified"));
    }
    let port = form::port(params)?;
    let vpc = params.get("VpcId").ok_or_else(|| validation("A VPC ID must be specified"))?;
    if !desk.ec2().vpcs.contains_key(vpc) {
        return Err(validation(format!("The VPC ID '{vpc}' is not found")));
    }
    let kind = params.get("TargetType").unwrap_or("instance");
    if !["ip", "instance"].contains(&kind) {
        return Err(validation(format!("The target type '{kind}' is not supported by the sandbox")));
    }
    let health = health(params, protocol)?;
    let made = TargetGroup {
        name,
        protocol: protocol.to_owned(),
        port,
        vpc: vpc.to_owned(),
        kind: kind.to_owned(),
        attributes: std::collections::BTreeMap::new(),
        targets: Vec::new(),
        tags,
    };
    if let Some((arn, there)) = desk.picture().elb.groups.iter().find(|(_, it)| it.name == made.name) {
        let settings = |it: &TargetGroup| (it.protocol.clone(), it.port, it.vpc.clone(), it.kind.clone());
        if settings(there) == settings(&made) && fact(desk, arn, HEALTH) == health {
            return Ok(list(desk, vec![(arn, there)], None));
        }
        return Err(Refusal::new(
            "DuplicateTargetGroupName",
            format!("A target group with the same name '{}' exists, but with different settings", made.name),
        ));
    }
    let id = next_id(desk);
    let arn = desk.place.arn(Service::Elb, &format!("targetgroup/{}/{id}", made.name));
    desk.emulator.put_balancing(&arn, Balancing::Group(made)).await;
    desk.look();
    note(desk, &arn, HEALTH, health);
    let it = find(desk, &arn)?;
    Ok(list(desk, vec![(&arn, it)], None))
}

/// How health is checked, with AWS's defaults.
fn health(params: &Params, protocol: &str) -> Result<Value, Refusal> {
    let is_http = ["HTTP", "HTTPS"].contains(&protocol);
    let checked = params.get("HealthCheckProtocol").unwrap_or(if is_http { protocol } else { "TCP" });
    let by_http = ["HTTP", "HTTPS"].contains(&checked);
    if is_http && !by_http {
        return Err(misconfigured(format!("Health check protocol '{checked}' is not supported for {protocol}")));
    }
    let number = |name: &str, default, from, to| {
        let number = params.number(name)?.unwrap_or(default);
        match (from..=to).contains(&number) {
            true => Ok(number),
            false => Err(validation(format!("{name} must be between {from} and {to}"))),
        }
    };
    let interval = number("HealthCheckIntervalSeconds", 30, 5, 300)?;
    let timeout = number("HealthCheckTimeoutSeconds", if is_http { 5 } else { 10 }, 2, 120)?;
    if timeout >= interval {
        return Err(validation(format!(
            "Health check timeout '{timeout}' must be smaller than the interval '{interval}'"
        )));
    }
    let mut it = json!({
        "HealthCheckProtocol": checked,
        "HealthCheckPort": params.get("HealthCheckPort").unwrap_or("traffic-port"),
        "HealthCheckEnabled": "true",
        "HealthCheckIntervalSeconds": interval.to_string(),
        "HealthCheckTimeoutSeconds": timeout.to_string(),
        "HealthyThresholdCount": number("HealthyThresholdCount", 5, 2, 10)?.to_string(),
        "UnhealthyThresholdCount": number("UnhealthyThresholdCount", 2, 2, 10)?.to_string(),
    });
    if by_http {
        let path = params.get("HealthCheckPath").unwrap_or("/");
        if !path.starts_with('/') {
            return Err(validation(format!("Health check path '{path}' must begin with a '/' character")));
        }
        it["HealthCheckPath"] = json!(path);
        let default = if is_http { "200" } else { "200-399" };
        it["Matcher"] = json!({"HttpCode": params.get("Matcher.HttpCode").unwrap_or(default)});
    }
    Ok(it)
}

fn list(desk: &Desk<'_>, all: Vec<(&String, &TargetGroup)>, next: Option<String>) -> String {
    let mut xml = Xml::new();
    members(&mut xml, "TargetGroups", all, |xml, (arn, it)| {
        xml.leaf("TargetGroupArn", arn);
        xml.leaf("TargetGroupName", &it.name);
        xml.leaf("Protocol", &it.protocol);
        if ["HTTP", "HTTPS"].contains(&it.protocol.as_str()) {
            xml.leaf("ProtocolVersion", "HTTP1");
        }
        xml.leaf("Port", it.port);
        xml.leaf("VpcId", &it.vpc);
        xml.leaf("TargetType", &it.kind);
        xml.leaf("IpAddressType", "ipv4");
        for (name, value) in fact(desk, arn, HEALTH).as_object().into_iter().flatten() {
            match value.as_str() {
                Some(text) => xml.leaf(name, text),
                None => xml.tag(name, |xml| xml.leaf_if("HttpCode", value["HttpCode"].as_str())),
            }
        }
        form::texts(xml, "LoadBalancerArns", balancers_of(desk, arn));
    });
    xml.leaf_if("NextMarker", next);
    xml.finish()
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arns, names) = (params.list("TargetGroupArns.member"), params.list("Names.member"));
    let balancer = params.get("LoadBalancerArn");
    let all = &desk.picture().elb.groups;
    let is_there = |wanted: &&str| all.values().any(|it| it.name == *wanted);
    if names.iter().any(|name| !is_there(name)) || arns.iter().any(|arn| !all.contains_key(*arn)) {
        return Err(not_found());
    }
    let wanted = |arn: &String, it: &TargetGroup| {
        (arns.is_empty() || arns.contains(&arn.as_str()))
            && (names.is_empty() || names.contains(&it.name.as_str()))
            && balancer.is_none_or(|of| balancers_of(desk, arn).iter().any(|it| it == of))
    };
    let (found, next) = form::page(params, all.iter().filter(|(arn, it)| wanted(arn, it)).collect())?;
    Ok(list(desk, found, next))
}

/// Changes how health is checked.
pub(super) fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?.to_owned();
    let protocol = find(desk, &arn)?.protocol.clone();
    let mut call = params.clone();
    // What is not given stays.
    let now = fact(desk, &arn, HEALTH);
    for (name, value) in now.as_object().into_iter().flatten() {
        let (name, value) = match value.as_str() {
            Some(text) => (name.clone(), text),
            None => ("Matcher.HttpCode".to_owned(), value["HttpCode"].as_str().unwrap_or_default()),
        };
        if call.get(&name).is_none() {
            call = call.with(name, value);
        }
    }
    let health = health(&call, &protocol)?;
    note(desk, &arn, HEALTH, health);
    let it = find(desk, &arn)?;
    Ok(list(desk, vec![(&arn, it)], None))
}

pub(super) async fn modify_attributes(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?;
    let mut it = find(desk, arn)?.clone();
    it.attributes.extend(form::attributes(params, ATTRIBUTES, "Target group")?);
    desk.emulator.put_balancing(arn, Balancing::Group(it)).await;
    desk.look();
    describe_attributes(desk, params)
}

pub(super) fn describe_attributes(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let it = find(desk, params.required("TargetGroupArn")?)?;
    Ok(form::write_attributes(&with_defaults(ATTRIBUTES, &it.attributes)))
}

/// `Targets.member.N`, with the port of the group where they do not say one.
fn targets(params: &Params, default: i32) -> Result<Vec<(String, i32)>, Refusal> {
    let mut all = Vec::new();
    for n in 1.. {
        let Some(id) = params.get(&format!("Targets.member.{n}.Id")) else { break };
        all.push((id.to_owned(), params.number(&format!("Targets.member.{n}.Port"))?.unwrap_or(default)));
    }
    Ok(all)
}

pub(super) async fn register_targets(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?;
    let it = find(desk, arn)?;
    let given = targets(params, it.port)?;
    let is_address = |id: &str| id.parse::<std::net::IpAddr>().is_ok();
    if let Some((id, _)) = given.iter().find(|(id, _)| (it.kind == "ip") != is_address(id)) {
        return Err(Refusal::new("InvalidTarget", format!("The target '{id}' is not of the type '{}'", it.kind)));
    }
    for (id, port) in given {
        register(desk, arn, &id, port).await?;
    }
    Ok(String::new())
}

pub(super) async fn deregister_targets(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?;
    for (id, port) in targets(params, find(desk, arn)?.port)? {
        deregister(desk, arn, &id, port).await?;
    }
    Ok(String::new())
}

/// Puts a target into a group: a task of ECS, too.
pub(in crate::rules) async fn register(desk: &mut Desk<'_>, arn: &str, id: &str, port: i32) -> Result<(), Refusal> {
    let mut it = find(desk, arn)?.clone();
    let target = (id.to_owned(), port);
    if !it.targets.contains(&target) {
        it.targets.push(target);
        desk.emulator.put_balancing(arn, Balancing::Group(it)).await;
        desk.look();
    }
    Ok(())
}

/// Takes a target out of a group. One that is gone holds none.
pub(in crate::rules) async fn deregister(desk: &mut Desk<'_>, arn: &str, id: &str, port: i32) -> Result<(), Refusal> {
    let Ok(it) = find(desk, arn) else { return Ok(()) };
    let mut it = it.clone();
    it.targets.retain(|(of, at)| of != id || *at != port);
    desk.emulator.put_balancing(arn, Balancing::Group(it)).await;
    desk.look();
    Ok(())
}

/// A target is healthy when something in the VPC has its address, and unused when no listener forwards to it.
pub(super) fn describe_health(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?;
    let it = find(desk, arn)?;
    let wanted = targets(params, it.port)?;
    let in_use = users(desk, arn).next().is_some();
    let answers = |id: &str| desk.ec2().interfaces.values().any(|of| of.vpc == it.vpc && of.address == id);
    let state = |id: &str| match (in_use, answers(id)) {
        (false, _) => ("unused", Some("Target.NotInUse")),
        (true, true) => ("healthy", None),
        (true, false) => ("unhealthy", Some("Target.Timeout")),
    };
    let found = it.targets.iter().filter(|target| wanted.is_empty() || wanted.contains(target));
    let mut xml = Xml::new();
    members(&mut xml, "TargetHealthDescriptions", found, |xml, (id, port)| {
        xml.tag("Target", |xml| {
            xml.leaf("Id", id);
            xml.leaf("Port", port);
        });
        xml.leaf("HealthCheckPort", port);
        let (state, reason) = state(id);
        xml.tag("TargetHealth", |xml| {
            xml.leaf("State", state);
            xml.leaf_if("Reason", reason);
        });
    });
    Ok(xml.finish())
}

/// One that is not there is deleted already.
pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("TargetGroupArn")?;
    if users(desk, arn).next().is_some() {
        return Err(Refusal::new(
            "ResourceInUse",
            format!("Target group '{arn}' is currently in use by a listener or a rule"),
        ));
    }
    desk.emulator.drop_balancing(arn).await;
    desk.look();
    Ok(String::new())
}
