//! The Resource Groups Tagging API: who has which tags, in this place. Answered from the picture; there is no emulator.

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
        action => Err(Refusal::unknown_action(Service::Tagging, action)),
    }
}

fn invalid(message: &'static str) -> Refusal {
    Refusal::new("InvalidParameterException", message)
}

fn get_resources(desk: &Desk<'_>, body: &Body) -> Result<Answer, Refusal> {
    let filters = filters(body)?;
    let (kinds, arns) = (body.texts("ResourceTypeFilters")?, body.texts("ResourceARNList")?);
    let size = body.number("ResourcesPerPage")?.unwrap_or(50);
    if !(1..=100).contains(&size) {
        return Err(invalid("ResourcesPerPage must be between 1 and 100"));
    }
    let token = body.text("PaginationToken")?.filter(|token| !token.is_empty());
    let start = token.map_or(Ok(0), |token| {
        token.parse().map_err(|_| Refusal::new("PaginationTokenExpiredException", "The pagination token has expired"))
    })?;
    let mut found: Vec<Value> = all(desk)
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
        .skip(start)
        .collect();
    let size = usize::try_from(size).unwrap_or(50);
    let next = if found.len() > size { (start + size).to_string() } else { String::new() };
    found.truncate(size);
    Ok(Answer::json(&json!({"PaginationToken": next, "ResourceTagMappingList": found})))
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

/// All that has an ARN in this place. IAM is not asked through this service.
fn all<'a>(desk: &'a Desk<'_>) -> Vec<(String, &'a Tags)> {
    let ec2 = desk.ec2().tagged().map(|(id, kind, tags)| (desk.place.arn(Service::Ec2, &format!("{kind}/{id}")), tags));
    let rules = desk.notes().rules.values();
    let rules =
        rules.map(|note| (desk.place.arn(Service::Ec2, &format!("security-group-rule/{}", note.id)), &note.tags));
    let things = desk.picture().things().into_iter().filter(|(_, thing)| thing.stage == Stage::Here);
    ec2.chain(rules).chain(things.map(|(arn, thing)| (arn.to_owned(), thing.tags))).collect()
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
