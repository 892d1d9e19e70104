//! Tags of anything that the service has.

use super::super::Desk;
use super::form::{self, members};
use super::{balancer, group, listener, rule, validation};
use crate::emulator::Balancing;
use crate::query::{Params, Tags, check_tag_count};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// What has this ARN.
fn find(desk: &Desk<'_>, arn: &str) -> Result<Balancing, Refusal> {
    Ok(match arn {
        _ if arn.contains(":loadbalancer/") => Balancing::Balancer(balancer::find(desk, arn)?.clone()),
        _ if arn.contains(":targetgroup/") => Balancing::Group(group::find(desk, arn)?.clone()),
        _ if arn.contains(":listener/") => Balancing::Listener(listener::find(desk, arn)?.clone()),
        _ if arn.contains(":listener-rule/") => Balancing::Rule(rule::find(desk, arn)?.clone()),
        _ => return Err(validation(format!("'{arn}' is not a valid load balancer, target group or listener ARN"))),
    })
}

fn tags(it: &mut Balancing) -> &mut Tags {
    match it {
        Balancing::Balancer(it) => &mut it.tags,
        Balancing::Group(it) => &mut it.tags,
        Balancing::Listener(it) => &mut it.tags,
        Balancing::Rule(it) => &mut it.tags,
    }
}

async fn change(desk: &mut Desk<'_>, params: &Params, change: impl Fn(&mut Tags)) -> Result<String, Refusal> {
    for arn in params.list("ResourceArns.member") {
        let mut it = find(desk, arn)?;
        change(tags(&mut it));
        check_tag_count(tags(&mut it).len())?;
        desk.emulator.put_balancing(arn, it).await;
        desk.look();
    }
    Ok(String::new())
}

pub(super) async fn add(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let given = form::tags(params)?;
    change(desk, params, |tags| tags.extend(given.clone())).await
}

pub(super) async fn remove(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let keys = params.list("TagKeys.member");
    change(desk, params, |tags| tags.retain(|key, _| !keys.contains(&key.as_str()))).await
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arns = params.list("ResourceArns.member");
    if arns.len() > 20 {
        return Err(validation("Up to 20 resources can be asked for at a time"));
    }
    let mut found = Vec::new();
    for arn in arns {
        found.push((arn, find(desk, arn)?));
    }
    let mut xml = Xml::new();
    members(&mut xml, "TagDescriptions", found, |xml, (arn, mut it)| {
        xml.leaf("ResourceArn", arn);
        members(xml, "Tags", tags(&mut it).iter(), |xml, (key, value)| {
            xml.leaf("Key", key);
            xml.leaf("Value", value);
        });
    });
    Ok(xml.finish())
}
