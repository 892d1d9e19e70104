//! Rules of listeners. The default one of a listener is its default actions.

use serde_json::Value;

use super::super::Desk;
use super::form::{self, members};
use super::{ACTIONS, actions, fact, listener, next_id, note, validation};
use crate::emulator::Balancing;
use crate::picture::elb::Rule;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// Which requests it is for.
const CONDITIONS: &str = "conditions";

fn not_found() -> Refusal {
    Refusal::new("RuleNotFound", "One or more rules not found")
}

/// One by its ARN.
pub(super) fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Rule, Refusal> {
    desk.picture().elb.rules.get(arn).ok_or_else(not_found)
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let of = params.required("ListenerArn")?;
    let at = listener::find(desk, of)?.balancer.clone();
    let tags = form::tags(params)?;
    let priority = params.number("Priority")?.filter(|priority| (1..=50_000).contains(priority));
    let priority = priority.ok_or_else(|| validation("The priority must be between 1 and 50000"))?;
    let conditions = form::conditions(params)?;
    let done = form::actions(params, "Actions")?;
    actions(desk, &done, &at)?;
    let mut all = desk.picture().elb.rules.iter();
    if let Some((arn, it)) = all.find(|(_, it)| it.listener == of && it.priority == priority) {
        if fact(desk, arn, CONDITIONS) == conditions && fact(desk, arn, ACTIONS) == done {
            return Ok(list(desk, &[(arn, it)]));
        }
        return Err(Refusal::new("PriorityInUse", format!("Priority '{priority}' is currently in use")));
    }
    let arn = format!("{}/{}", of.replacen(":listener/", ":listener-rule/", 1), next_id(desk));
    desk.emulator.put_balancing(&arn, Balancing::Rule(Rule { listener: of.to_owned(), priority, tags })).await;
    desk.look();
    note(desk, &arn, CONDITIONS, conditions);
    note(desk, &arn, ACTIONS, done);
    let it = find(desk, &arn)?;
    Ok(list(desk, &[(&arn, it)]))
}

fn list(desk: &Desk<'_>, all: &[(&String, &Rule)]) -> String {
    let mut xml = Xml::new();
    members(&mut xml, "Rules", all, |xml, (arn, it)| {
        xml.leaf("RuleArn", arn);
        xml.leaf("Priority", it.priority);
        form::write_conditions(xml, &fact(desk, arn, CONDITIONS));
        form::write_actions(xml, "Actions", &fact(desk, arn, ACTIONS));
        xml.leaf("IsDefault", false);
    });
    xml.finish()
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arns = params.list("RuleArns.member");
    let of = params.get("ListenerArn");
    let all = &desk.picture().elb.rules;
    if arns.iter().any(|arn| !all.contains_key(*arn)) {
        return Err(not_found());
    }
    let Some(of) = of else {
        let found: Vec<_> = all.iter().filter(|(arn, _)| arns.contains(&arn.as_str())).collect();
        return Ok(list(desk, &found));
    };
    listener::find(desk, of)?;
    let mut found: Vec<_> = all.iter().filter(|(_, it)| it.listener == of).collect();
    found.sort_by_key(|(_, it)| it.priority);
    let given = list(desk, &found);
    // The default one is the last.
    let mut default = Xml::new();
    default.tag("member", |xml| {
        xml.leaf("RuleArn", format!("{}/default", of.replacen(":listener/", ":listener-rule/", 1)));
        xml.leaf("Priority", "default");
        form::write_conditions(xml, &Value::Null);
        form::write_actions(xml, "Actions", &fact(desk, of, ACTIONS));
        xml.leaf("IsDefault", true);
    });
    Ok(given.replace("</Rules>", &format!("{}</Rules>", default.finish())))
}

pub(super) fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("RuleArn")?.to_owned();
    let it = find(desk, &arn)?;
    let at = listener::find(desk, &it.listener)?.balancer.clone();
    if params.any("Conditions.") {
        let conditions = form::conditions(params)?;
        note(desk, &arn, CONDITIONS, conditions);
    }
    if params.any("Actions.") {
        let done = form::actions(params, "Actions")?;
        actions(desk, &done, &at)?;
        note(desk, &arn, ACTIONS, done);
    }
    let it = find(desk, &arn)?;
    Ok(list(desk, &[(&arn, it)]))
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.required("RuleArn")?;
    find(desk, arn)?;
    desk.emulator.drop_balancing(arn).await;
    desk.look();
    Ok(String::new())
}
