//! Tags, of everything that has an id.
//!
//! Mended: the emulator tags five kinds of resources, ignores ids that it does not know, and filters nothing by tag.

use super::select::{Filters, done, page};
use super::{Desk, ids};
use crate::query::{Params, Tags, check_tag_count, check_tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &["key", "resource-id", "resource-type", "value"];

/// The tags of everything, with the name of the kind.
fn all<'a>(desk: &'a Desk<'_>) -> impl Iterator<Item = (&'a str, &'static str, &'a Tags)> {
    let rules = desk.notes().rules.values().map(|note| (note.id.as_str(), "security-group-rule", &note.tags));
    desk.ec2().tagged().chain(rules)
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let targets = targets(desk, params)?;
    let pairs = params.tag_pairs("Tag");
    if pairs.is_empty() {
        return Err(Refusal::missing("tagSet"));
    }
    let mut given = Tags::new();
    for (key, value) in pairs {
        if given.insert(key.to_owned(), value.unwrap_or_default().to_owned()).is_some() {
            return Err(Refusal::invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    check_tags(&given)?;
    let changed: Vec<(String, Tags)> = targets
        .into_iter()
        .map(|(id, mut tags)| {
            tags.extend(given.clone());
            (id, tags)
        })
        .collect();
    changed.iter().try_for_each(|(_, tags)| check_tag_count(tags.len()))?;
    params.stop_if_dry_run()?;
    put(desk, changed).await;
    Ok(done())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let targets = targets(desk, params)?;
    let pairs = params.tag_pairs("Tag");
    if let Some((key, _)) = pairs.iter().find(|(key, _)| key.starts_with("aws:")) {
        return Err(Refusal::invalid(format!("Tag keys starting with 'aws:' are reserved for internal use: {key}")));
    }
    let changed: Vec<(String, Tags)> = targets
        .into_iter()
        .map(|(id, mut tags)| {
            if pairs.is_empty() {
                tags.clear();
            }
            for (key, value) in &pairs {
                // With a value, only the tag that has it; an empty string is a value.
                if value.is_none_or(|value| tags.get(*key).is_some_and(|held| held == value)) {
                    tags.remove(*key);
                }
            }
            (id, tags)
        })
        .collect();
    params.stop_if_dry_run()?;
    put(desk, changed).await;
    Ok(done())
}

/// The resources that a call names, with their tags. All of them must exist.
fn targets(desk: &Desk<'_>, params: &Params) -> Result<Vec<(String, Tags)>, Refusal> {
    let wanted = params.list("ResourceId");
    if wanted.is_empty() {
        return Err(Refusal::missing("resourceIdSet"));
    }
    wanted
        .into_iter()
        .map(|id| {
            let found = all(desk).find(|(held, _, _)| *held == id);
            found.map(|(id, _, tags)| (id.to_owned(), tags.clone())).ok_or_else(|| absent(id))
        })
        .collect()
}

fn absent(id: &str) -> Refusal {
    let kind = match id.rsplit_once('-').map_or("", |(kind, _)| kind) {
        "vpc" => ids::VPC,
        "subnet" => ids::SUBNET,
        "igw" => ids::GATEWAY,
        "sg" => ids::GROUP,
        "sgr" => ids::RULE,
        "eni" => ids::INTERFACE,
        "rtb" => ids::TABLE,
        "eipalloc" => ids::ALLOCATION,
        "nat" => ids::NAT,
        "vpce" => ids::ENDPOINT,
        _ => return Refusal::new("InvalidID", format!("The ID '{id}' is not valid")),
    };
    kind.check(id).err().unwrap_or_else(|| kind.not_found(id))
}

async fn put(desk: &mut Desk<'_>, changed: Vec<(String, Tags)>) {
    for (id, tags) in changed {
        let key = desk.notes().rule_named(&id).map(|(key, _)| key.clone());
        if let Some(key) = key {
            if let Some(note) = desk.notes_mut().rules.get_mut(&key) {
                note.tags = tags;
            }
        } else {
            desk.emulator.set_tags(&id, &tags).await;
        }
    }
    desk.look();
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let mut found = Vec::new();
    for (id, kind, tags) in all(desk) {
        for (key, value) in tags {
            let own = Tags::from([(key.clone(), value.clone())]);
            let picked = filters.pick(&own, |name| match name {
                "key" => vec![key.clone()],
                "value" => vec![value.clone()],
                "resource-id" => vec![id.to_owned()],
                "resource-type" => vec![kind.to_owned()],
                _ => Vec::new(),
            });
            if picked {
                found.push((id, kind, key, value));
            }
        }
    }
    let (found, next) = page(params, &[], found)?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("tagSet", found, |xml, (id, kind, key, value)| {
        xml.leaf("resourceId", id);
        xml.leaf("resourceType", kind);
        xml.leaf("key", key);
        xml.leaf("value", value);
    });
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}
