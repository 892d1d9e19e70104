//! Security group rules.
//!
//! Mended: the emulator returns no rule ids, keeps no tags of rules, takes the same rule twice, revokes every rule of
//! the same ports whoever it is for, forgets rule ids in its snapshots, and describes IPv4 rules only.

use super::permission::{self, Wanted};
use super::select::{Filters, done, page, write_tags};
use super::{Desk, arn, group, ids};
use crate::notes::RuleNote;
use crate::picture::ec2::{Peer, RuleKey};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &["group-id", "security-group-rule-id"];

pub(super) async fn authorize(desk: &mut Desk<'_>, params: &Params, egress: bool) -> Result<String, Refusal> {
    let (id, group) = group::named(desk, params)?;
    let id = id.to_owned();
    let wanted = permission::wanted(desk, params, &id, egress)?;
    if wanted.is_empty() {
        return Err(Refusal::missing("ipPermissions"));
    }
    let tags = params.tags_for("security-group-rule")?;
    if let Some(rule) = wanted.iter().find(|rule| group.rules.contains(&rule.key)) {
        return Err(duplicate(&rule.key));
    }
    let count = group.rules.iter().filter(|rule| rule.egress == egress).count() + wanted.len();
    if desk.settings.quotas.rules_per_group.is_some_and(|most| count > most) {
        return Err(Refusal::new(
            "RulesPerSecurityGroupLimitExceeded",
            "The maximum number of rules per security group has been reached.",
        ));
    }
    params.stop_if_dry_run()?;

    let mut rules = group.rules.clone();
    rules.extend(wanted.iter().map(|rule| rule.key.clone()));
    desk.emulator.set_rules(&id, &rules).await;
    desk.look();
    for Wanted { key, description } in &wanted {
        if let Some(note) = desk.notes_mut().rules.get_mut(key) {
            note.tags.clone_from(&tags);
            note.description.clone_from(description);
        }
    }
    let mut xml = Xml::new();
    xml.raw(&done());
    let made = wanted.iter().filter_map(|rule| desk.notes().rules.get_key_value(&rule.key));
    xml.set("securityGroupRuleSet", made, |xml, (key, note)| write(desk, xml, key, note));
    Ok(xml.finish())
}

fn duplicate(rule: &RuleKey) -> Refusal {
    let protocol = if rule.protocol == "-1" { "ALL".to_owned() } else { rule.protocol.to_ascii_uppercase() };
    let ports = if rule.from < 0 { String::new() } else { format!(", from port: {}, to port: {}", rule.from, rule.to) };
    Refusal::new(
        "InvalidPermission.Duplicate",
        format!("the specified rule \"peer: {}, {protocol}{ports}, ALLOW\" already exists", rule.peer),
    )
}

pub(super) async fn revoke(desk: &mut Desk<'_>, params: &Params, egress: bool) -> Result<String, Refusal> {
    let (id, group) = group::named(desk, params)?;
    let id = id.to_owned();
    let by_id = params.list("SecurityGroupRuleId");
    let mut gone: Vec<(RuleKey, RuleNote)> = Vec::new();
    for rule_id in &by_id {
        ids::RULE.check(rule_id)?;
        let found = desk.notes().rule_named(rule_id).filter(|(key, _)| key.group == id && key.egress == egress);
        let (key, note) = found.ok_or_else(|| ids::RULE.not_found(rule_id))?;
        gone.push((key.clone(), note.clone()));
    }
    let wanted = permission::wanted(desk, params, &id, egress)?;
    if by_id.is_empty() && wanted.is_empty() {
        return Err(Refusal::missing("ipPermissions"));
    }
    for rule in &wanted {
        let found = desk.notes().rules.get_key_value(&rule.key).ok_or_else(|| {
            Refusal::new("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
        })?;
        gone.push((found.0.clone(), found.1.clone()));
    }
    params.stop_if_dry_run()?;

    let stays = |rule: &&RuleKey| !gone.iter().any(|(key, _)| key == *rule);
    let rules: Vec<RuleKey> = group.rules.iter().filter(stays).cloned().collect();
    desk.emulator.set_rules(&id, &rules).await;
    desk.look();
    let mut xml = Xml::new();
    xml.raw(&done());
    xml.set("revokedSecurityGroupRuleSet", &gone, |xml, (key, note)| {
        write_parts(xml, key, note);
        if let Peer::Group(peer) = &key.peer {
            xml.leaf("referencedGroupId", peer);
        }
    });
    Ok(xml.finish())
}

/// `ModifySecurityGroupRules`: a rule keeps its id and its tags, whatever else of it changes.
pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (id, group) = group::named(desk, params)?;
    let id = id.to_owned();
    let mut rules = group.rules.clone();
    let mut changed: Vec<(RuleKey, RuleNote)> = Vec::new();
    for n in 1.. {
        let prefix = format!("SecurityGroupRule.{n}.");
        if !params.any(&prefix) {
            break;
        }
        let rule_id = params.required(&format!("{prefix}SecurityGroupRuleId"))?;
        ids::RULE.check(rule_id)?;
        let found = desk.notes().rule_named(rule_id).filter(|(key, _)| key.group == id);
        let (old, note) = found.ok_or_else(|| ids::RULE.not_found(rule_id))?;
        let Wanted { key, description } =
            permission::one_rule(desk, params, &format!("{prefix}SecurityGroupRule."), &id, old.egress)?;
        if key != *old && rules.contains(&key) {
            return Err(duplicate(&key));
        }
        if let Some(rule) = rules.iter_mut().find(|rule| *rule == old) {
            rule.clone_from(&key);
        }
        changed.push((key, RuleNote { description, ..note.clone() }));
    }
    if changed.is_empty() {
        return Err(Refusal::missing("SecurityGroupRules"));
    }
    params.stop_if_dry_run()?;

    desk.emulator.set_rules(&id, &rules).await;
    desk.look();
    desk.notes_mut().rules.extend(changed);
    let mut xml = Xml::new();
    xml.raw(&done());
    Ok(xml.finish())
}

fn write_parts(xml: &mut Xml, key: &RuleKey, note: &RuleNote) {
    xml.leaf("securityGroupRuleId", &note.id);
    xml.leaf("groupId", &key.group);
    xml.leaf("isEgress", key.egress);
    xml.leaf("ipProtocol", &key.protocol);
    xml.leaf("fromPort", key.from);
    xml.leaf("toPort", key.to);
    match &key.peer {
        Peer::V4(cidr) => xml.leaf("cidrIpv4", cidr),
        Peer::V6(cidr) => xml.leaf("cidrIpv6", cidr),
        Peer::Group(_) => {}
    }
    xml.leaf_if("description", note.description.as_ref());
}

fn write(desk: &Desk<'_>, xml: &mut Xml, key: &RuleKey, note: &RuleNote) {
    write_parts(xml, key, note);
    xml.leaf("groupOwnerId", &desk.place.account);
    if let Peer::Group(peer) = &key.peer {
        xml.tag("referencedGroupInfo", |xml| {
            xml.leaf("groupId", peer);
            xml.leaf("userId", &desk.place.account);
        });
    }
    write_tags(xml, &note.tags);
    xml.leaf("securityGroupRuleArn", arn(desk, "security-group-rule", &note.id));
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("SecurityGroupRuleId");
    for id in &wanted {
        ids::RULE.check(id)?;
        desk.notes().rule_named(id).ok_or_else(|| ids::RULE.not_found(id))?;
    }
    let mut found: Vec<(&RuleKey, &RuleNote)> = desk
        .notes()
        .rules
        .iter()
        .filter(|(key, note)| {
            (wanted.is_empty() || wanted.contains(&note.id.as_str()))
                && filters.pick(&note.tags, |name| match name {
                    "group-id" => vec![key.group.clone()],
                    "security-group-rule-id" => vec![note.id.clone()],
                    _ => Vec::new(),
                })
        })
        .collect();
    found.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    let (found, next) = page(params, &wanted, found)?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("securityGroupRuleSet", found, |xml, (key, note)| write(desk, xml, key, note));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}
