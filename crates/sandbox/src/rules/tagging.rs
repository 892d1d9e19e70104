//! The Resource Groups Tagging API: who has which tags, in this place. Answered from the picture; there is no emulator.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::Stage;
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to the service.
pub(super) fn handle(desk: &Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    match input.action.as_str() {
        "GetResources" => get_resources(desk, input.body()?),
        "GetTagKeys" => get_keys(desk, input.body()?),
        "GetTagValues" => get_values(desk, input.body()?),
        action => Err(Refusal::unknown_action(Service::Tagging, action)),
    }
}

fn invalid(message: &'static str) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}

fn get_resources(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let filters = filters(body)?;
    let (kinds, arns) = (body.texts("ResourceTypeFilters")?, body.texts("ResourceARNList")?);
    let filtered = !filters.is_empty() || !kinds.is_empty();
    if filtered && !arns.is_empty() {
        return Err(invalid("ResourceARNList cannot be given together with filters"));
    }
    if let (Some(_), Some(_)) = (body.get("ResourcesPerPage"), body.get("TagsPerPage")) {
        return Err(invalid("Either ResourcesPerPage or TagsPerPage can be given, not both"));
    }
    let size = body.number("ResourcesPerPage")?.unwrap_or(50);
    if !(1..=100).contains(&size) {
        return Err(invalid("ResourcesPerPage must be between 1 and 100"));
    }
    let start = start(body)?;
    let found: Vec<Value> = all(desk)
        .into_iter()
        .filter(|(arn, tags)| {
            let given = arns.is_empty() || arns.contains(&arn.as_str());
            let of_kind = kinds.is_empty() || kinds.iter().any(|kind| is_kind(arn, kind));
            let tagged = filters
                .iter()
                .all(|(key, values)| tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value)));
            // What never had a tag is not known to this service.
            given && of_kind && tagged && !tags.is_empty()
        })
        .map(|(arn, tags)| {
            let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
            json!({"ResourceARN": arn, "Tags": tags})
        })
        .collect();
    Ok(page("ResourceTagMappingList", found, start, usize::try_from(size).unwrap_or(50)))
}

/// The keys that are in use here.
fn get_keys(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let keys: BTreeSet<&String> = all(desk).into_iter().flat_map(|(_, tags)| tags.keys()).collect();
    Ok(page("TagKeys", keys.into_iter().map(|key| json!(key)).collect(), start(body)?, 100))
}

/// The values that a key has here.
fn get_values(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let key = body.required("Key")?;
    let values: BTreeSet<&String> = all(desk).into_iter().filter_map(|(_, tags)| tags.get(key)).collect();
    Ok(page("TagValues", values.into_iter().map(|value| json!(value)).collect(), start(body)?, 100))
}

fn start(body: &Body) -> Result<usize, Refusal> {
    let token = body.text("PaginationToken")?.filter(|token| !token.is_empty());
    token.map_or(Ok(0), |token| {
        token.parse().map_err(|_| Refusal::new("PaginationTokenExpiredException", "The pagination token has expired"))
    })
}

/// One page; an empty token is the last one.
fn page(member: &str, all: Vec<Value>, start: usize, size: usize) -> Answer {
    let next = if all.len() > start + size { (start + size).to_string() } else { String::new() };
    let page: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    Answer::json(&json!({"PaginationToken": next, member: page}))
}

/// Key and values; no values is any value.
fn filters(body: &Body) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let filters = body.objects("TagFilters")?.into_iter().map(|filter| {
        let key = filter.get("Key").and_then(Value::as_str).ok_or_else(|| invalid("A tag filter needs a key"))?;
        let values = filter.get("Values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok((key.to_owned(), values.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    });
    filters.collect()
}

/// All that has an ARN in this place and is not gone: a key is there for as long as it waits for its deletion, a vault
/// for as long as something is kept in it. Objects are not known to this service, and IAM is not asked through it.
fn all<'a>(desk: &'a Desk<'_>) -> Vec<(String, &'a Tags)> {
    let ec2 = desk.ec2().tagged().map(|(id, kind, tags)| (desk.place.arn(Service::Ec2, &format!("{kind}/{id}")), tags));
    let rules = desk.notes().rules.values();
    let rules =
        rules.map(|note| (desk.place.arn(Service::Ec2, &format!("security-group-rule/{}", note.id)), &note.tags));
    let things = desk.picture().things().into_iter().filter(|(_, thing)| {
        let is_kept = || ["kms-key", "backup-vault", "backup-recovery-point"].contains(&thing.kind);
        thing.kind != "s3-object" && (thing.stage == Stage::Here || (thing.stage == Stage::Residue && is_kept()))
    });
    ec2.chain(rules).chain(things.map(|(arn, thing)| (named(arn), thing.tags))).collect()
}

/// The ARN as this service writes it: a log group without the star that stands for its streams.
fn named(arn: &str) -> String {
    arn.strip_suffix(":*").unwrap_or(arn).to_owned()
}

/// `service` or `service:type`, as in the ARN.
fn is_kind(arn: &str, kind: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next().unwrap_or_default();
    let rest = parts.nth(2).unwrap_or_default();
    match kind.split_once(':') {
        None => service == kind,
        Some((of, kind)) => service == of && rest.split(['/', ':']).next() == Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_arn() {
        let arn = "arn:aws:rds:us-east-1:123456789012:cluster:main";
        assert!(is_kind(arn, "rds") && is_kind(arn, "rds:cluster"));
        assert!(!is_kind(arn, "rds:db") && !is_kind(arn, "ec2"));
        assert!(is_kind("arn:aws:ec2:us-east-1:123456789012:vpc/vpc-1", "ec2:vpc"));
    }
}
