//! Listeners.

use serde_json::{Value, json};

use super::super::Desk;
use super::form::{self, members};
use super::{ACTIONS, actions, balancer, fact, next_id, note, validation};
use crate::emulator::Balancing;
use crate::picture::elb::Listener;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// Which protocols and ciphers clients may use.
const POLICY: &str = "ssl_policy";
const DEFAULT_POLICY: &str = "ELBSecurityPolicy-2016-08";

fn not_found() -> Refusal {
    Refusal::new("ListenerNotFound", "One or more listeners not found")
}

/// One by its ARN.
pub(super) fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Listener, Refusal> {
    desk.picture().elb.listeners.get(arn).ok_or_else(not_found)
}

/// What a call says of a listener, checked.
fn given(desk: &Desk<'_>, params: &Params, of: &str) -> Result<(Listener, Value, Value), Refusal> {
    let tags = form::tags(params)?;
    let port = form::port(params)?;
    let protocol = params.get("Protocol").ok_or_else(|| validation("A listener protocol must be specified"))?;
    let kind = &balancer::find(desk, of)?.kind;
    let known: &[&str] = if kind == "application" { &["HTTP", "HTTPS"] } else { &["TCP", "TLS", "UDP", "TCP_UDP"] };
    if !known.contains(&protocol) {
        return Err(validation(format!("Protocol '{protocol}' is not one of {}", known.join(", "))));
    }
    let certificates: Vec<String> = (1..)
        .map_while(|n| params.get(&format!("Certificates.member.{n}.CertificateArn")))
        .map(str::to_owned)
        .collect();
    let encrypted = ["HTTPS", "TLS"].contains(&protocol);
    if encrypted && certificates.is_empty() {
        return Err(validation(format!("A certificate must be specified for {protocol} listeners")));
    }
    if !encrypted && !certificates.is_empty() {
        return Err(validation(format!("A certificate cannot be specified for {protocol} listeners")));
    }
    let policy = if encrypted { json!(params.get("SslPolicy").unwrap_or(DEFAULT_POLICY)) } else { Value::Null };
    let done = form::actions(params, "DefaultActions")?;
    actions(desk, &done, of)?;
    let protocol = protocol.to_owned();
    Ok((Listener { balancer: of.to_owned(), port, protocol, certificates, tags }, done, policy))
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let of = params.required("LoadBalancerArn")?;
    let (made, done, policy) = given(desk, params, of)?;
    let mut all = desk.picture().elb.listeners.iter();
    if let Some((arn, there)) = all.find(|(_, it)| it.balancer == of && it.port == made.port) {
        let same = there.protocol == made.protocol && there.certificates == made.certificates;
        if same && fact(desk, arn, ACTIONS) == done && fact(desk, arn, POLICY) == policy {
            return Ok(list(desk, vec![(arn, there)], None));
        }
        return Err(Refusal::new(
            "DuplicateListener",
            format!("A listener already exists on this port for this load balancer '{of}'"),
        ));
    }
    let arn = format!("{}/{}", of.replacen(":loadbalancer/", ":listener/", 1), next_id(desk));
    desk.emulator.put_balancing(&arn, Balancing::Listener(made)).await;
    desk.look();
    note(desk, &arn, ACTIONS, done);
    note(desk, &arn, POLICY, policy);
    let it = find(desk, &arn)?;
    Ok(list(desk, vec![(&arn, it)], None))
}

fn list(desk: &Desk<'_>, all: Vec<(&String, &Listener)>, next: Option<String>) -> String {
    let mut xml = Xml::new();
    members(&mut xml, "Listeners", all, |xml, (arn, it)| {
        xml.leaf("ListenerArn", arn);
        xml.leaf("LoadBalancerArn", &it.balancer);
        xml.leaf("Port", it.port);
        xml.leaf("Protocol", &it.protocol);
        members(xml, "Certificates", &it.certificates, |xml, of| xml.leaf("CertificateArn", of));
        xml.leaf_if("SslPolicy", fact(desk, arn, POLICY).as_str());
        form::write_actions(xml, "DefaultActions", &fact(desk, arn, ACTIONS));
    });
    xml.leaf_if("NextMarker", next);
    xml.finish()
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arns = params.list("ListenerArns.member");
    let of = params.get("LoadBalancerArn");
    if let Some(of) = of {
        balancer::find(desk, of)?;
    }
    let all = &desk.picture().elb.listeners;
    if arns.iter().any(|arn| !all.contains_key(*arn)) {
        return Err(not_found());
    }
    if of.is_none() && arns.is_empty() {
        return Err(validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    let wanted = |arn: &String, it: &Listener| {
        (arns.is_empty() || arns.contains(&arn.as_str())) && of.is_none_or(|of| it.balancer == of)
    };
    let (found, next) = form::page(params, all.iter().filter(|(arn, it)| wanted(arn, it)).collect())?;
    Ok(list(desk, found, next))
}

pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("ListenerArn")?.to_owned();
    let there = find(desk, &arn)?.clone();
    let mut call = params.clone();
    // What is not given stays.
    for (name, value) in [("Port", there.port.to_string()), ("Protocol", there.protocol.clone())] {
        if call.get(name).is_none() {
            call = call.with(name, value);
        }
    }
    let keeps_actions = !call.any("DefaultActions.");
    if keeps_actions {
        call = call.with("DefaultActions.member.1.Type", "fixed-response");
        call = call.with("DefaultActions.member.1.FixedResponseConfig.StatusCode", "200");
    }
    let (mut it, done, policy) = given(desk, &call, &there.balancer)?;
    let mut others = desk.picture().elb.listeners.iter();
    if others.any(|(of, other)| *of != arn && other.balancer == it.balancer && other.port == it.port) {
        return Err(Refusal::new("DuplicateListener", "A listener already exists on this port"));
    }
    it.tags = there.tags;
    desk.emulator.put_balancing(&arn, Balancing::Listener(it)).await;
    desk.look();
    if !keeps_actions {
        note(desk, &arn, ACTIONS, done);
    }
    note(desk, &arn, POLICY, policy);
    let it = find(desk, &arn)?;
    Ok(list(desk, vec![(&arn, it)], None))
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("ListenerArn")?;
    find(desk, arn)?;
    desk.emulator.drop_balancing(arn).await;
    desk.look();
    Ok(String::new())
}
