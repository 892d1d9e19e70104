//! Elastic Load Balancing v2: load balancers, target groups, listeners and their rules.
//!
//! The emulator holds what exists; what is done with requests and how health is checked are facts of the notes, by ARN.
//! A create call succeeds where a thing of the same name, port or priority with equal settings is there, and gives that
//! one back; tags are not a setting. A load balancer is provisioned slowly, is gone at once, and its network interfaces
//! go slowly after it.

mod balancer;
mod form;
pub(super) mod group;
mod listener;
mod rule;
mod tags;

use serde_json::{Value, json};

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;

/// What is done with requests, of a listener or a rule.
const ACTIONS: &str = "actions";

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let params = input.params()?;
    let inner = match input.action.as_str() {
        "CreateLoadBalancer" => balancer::create(desk, params).await,
        "DescribeLoadBalancers" => balancer::describe(desk, params),
        "ModifyLoadBalancerAttributes" => balancer::modify(desk, params).await,
        "DescribeLoadBalancerAttributes" => balancer::describe_attributes(desk, params),
        "DeleteLoadBalancer" => balancer::delete(desk, params).await,
        "CreateTargetGroup" => group::create(desk, params).await,
        "DescribeTargetGroups" => group::describe(desk, params),
        "ModifyTargetGroup" => group::modify(desk, params),
        "ModifyTargetGroupAttributes" => group::modify_attributes(desk, params).await,
        "DescribeTargetGroupAttributes" => group::describe_attributes(desk, params),
        "RegisterTargets" => group::register_targets(desk, params).await,
        "DeregisterTargets" => group::deregister_targets(desk, params).await,
        "DescribeTargetHealth" => group::describe_health(desk, params),
        "DeleteTargetGroup" => group::delete(desk, params).await,
        "CreateListener" => listener::create(desk, params).await,
        "DescribeListeners" => listener::describe(desk, params),
        "ModifyListener" => listener::modify(desk, params).await,
        "DeleteListener" => listener::delete(desk, params).await,
        "CreateRule" => rule::create(desk, params).await,
        "DescribeRules" => rule::describe(desk, params),
        "ModifyRule" => rule::modify(desk, params),
        "DeleteRule" => rule::delete(desk, params).await,
        "AddTags" => tags::add(desk, params).await,
        "RemoveTags" => tags::remove(desk, params).await,
        "DescribeTags" => tags::describe(desk, params),
        // What has no rules here would be forgotten by the emulator.
        action => Err(Refusal::unknown_action(desk.service, action)),
    };
    inner.map(Answer::Inner)
}

fn validation(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message.into())
}

fn misconfigured(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidConfigurationRequest", message.into())
}

/// The end of an ARN of a new thing.
fn next_id(desk: &mut Desk<'_>) -> String {
    format!("{:016x}", desk.notes_mut().next_made())
}

/// A fact of something; null when it is not there.
fn fact(desk: &Desk<'_>, arn: &str, name: &str) -> Value {
    desk.notes().fact(arn, name).cloned().unwrap_or_default()
}

fn note(desk: &mut Desk<'_>, arn: &str, name: &'static str, value: Value) {
    desk.notes_mut().facts.entry(arn.to_owned()).or_default().insert(name, value);
}

/// The listeners and rules that forward to a target group.
fn users<'a>(desk: &'a Desk<'_>, group: &'a str) -> impl Iterator<Item = &'a String> {
    let elb = &desk.picture().elb;
    elb.listeners.keys().chain(elb.rules.keys()).filter(move |arn| form::forwards_to(&fact(desk, arn, ACTIONS), group))
}

/// The load balancers that send requests to a target group.
fn balancers_of(desk: &Desk<'_>, group: &str) -> Vec<String> {
    let elb = &desk.picture().elb;
    let mut all: Vec<String> = users(desk, group)
        .filter_map(|arn| {
            let listener = elb.rules.get(arn).map_or(arn, |rule| &rule.listener);
            Some(elb.listeners.get(listener)?.balancer.clone())
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// The actions of a call: the target groups exist, speak what the listener speaks, and have no other load balancer.
fn actions(desk: &Desk<'_>, actions: &Value, balancer: &str) -> Result<(), Refusal> {
    for arn in form::groups_of(actions) {
        let group = desk.picture().elb.groups.get(&arn).ok_or_else(group::not_found)?;
        let is_http = ["HTTP", "HTTPS"].contains(&group.protocol.as_str());
        let of = desk.picture().elb.balancers.get(balancer).ok_or_else(balancer::not_found)?;
        if is_http != (of.kind == "application") {
            return Err(Refusal::new(
                "IncompatibleProtocols",
                format!("The protocol {} of the target group does not fit the load balancer", group.protocol),
            ));
        }
        if group.vpc != of.vpc {
            return Err(misconfigured(format!("Target group '{arn}' is in another VPC than the load balancer")));
        }
        if balancers_of(desk, &arn).iter().any(|of| of != balancer) {
            return Err(Refusal::new(
                "TargetGroupAssociationLimit",
                format!("The following target groups cannot be associated with more than one load balancer: {arn}"),
            ));
        }
    }
    Ok(())
}

/// With what it was given put over what is there by default.
fn with_defaults(defaults: &[(&str, &str)], set: &std::collections::BTreeMap<String, String>) -> Value {
    let mut all: std::collections::BTreeMap<&str, &str> = defaults.iter().copied().collect();
    all.extend(set.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    json!(all)
}
