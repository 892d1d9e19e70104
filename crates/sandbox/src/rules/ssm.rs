//! Systems Manager: its Parameter Store.
//!
//! Mended: the emulator forgets descriptions, keys and tiers, gives another tag to what is overwritten, takes any name, and
//! changes the type of a parameter. A secure string reads as something else unless it is asked for decrypted.
//!
//! No refusal repeats a value.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use serde_json::{Map, Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::ssm::{Parameter, Version};
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

/// How many versions of a parameter AWS keeps.
const KEPT: usize = 100;
/// What the emulator does not keep of a parameter: the member of a call, the name of the fact.
const FACTS: [(&str, &str); 4] =
    [("Description", "description"), ("KeyId", "key_id"), ("AllowedPattern", "allowed_pattern"), ("Tier", "tier")];

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "PutParameter" => put(desk, body).await,
        "GetParameter" => get(desk, body),
        "GetParameters" => get_all(desk, body),
        "GetParameterHistory" => history(desk, body),
        "DescribeParameters" => describe(desk, body),
        "DeleteParameter" => delete(desk, body).await,
        "DeleteParameters" => delete_all(desk, body).await,
        "AddTagsToResource" | "RemoveTagsFromResource" | "ListTagsForResource"
            if body.text("ResourceType")? == Some("Parameter") =>
        {
            tags(desk, input).await
        }
        // What has no rules here yet.
        _ => return desk.pass_on(input).await,
    };
    reply.map(|reply| Answer::json(&reply))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationException", message.into())
}

fn not_found(name: &str) -> Refusal {
    Refusal::new("ParameterNotFound", format!("Parameter {name} not found."))
}

/// Of an ARN, the name in it; of anything else, itself.
fn name_in<'a>(desk: &Desk<'_>, id: &'a str) -> &'a str {
    let Some(rest) = id.strip_prefix("arn:").and_then(|arn| arn.split_once(":parameter")).map(|(_, rest)| rest) else {
        return id;
    };
    let without = rest.strip_prefix('/').unwrap_or(rest);
    if desk.picture().ssm.parameters.contains_key(without) { without } else { rest }
}

fn existing<'a>(desk: &'a Desk<'_>, id: &str) -> Result<(&'a str, &'a Parameter), Refusal> {
    let found = desk.picture().ssm.parameters.get_key_value(name_in(desk, id));
    found.map(|(name, it)| (name.as_str(), it)).ok_or_else(|| not_found(id))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
    if name.len() > 1011 || !name.chars().all(fits) || name.ends_with('/') {
        return Err(invalid(
            "Parameter name: can't be longer than 1011 characters, and consists of symbols a-zA-Z0-9_.- with / between \
             its parts.",
        ));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    if name.matches('/').count() > 15 {
        return Err(Refusal::new(
            "HierarchyLevelLimitExceededException",
            "A hierarchy can have a maximum of 15 levels.",
        ));
    }
    let first = name.trim_start_matches('/').to_ascii_lowercase();
    if first.starts_with("aws") || first.starts_with("ssm") {
        return Err(invalid(
            "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed as a path, it can \
             consist of sub-paths divided by slash symbol.",
        ));
    }
    Ok(())
}

/// What AWS asks of the tags of a parameter.
fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    if tags.len() > 50 {
        return Err(Refusal::new("TooManyTagsError", "A resource can have at most 50 tags."));
    }
    let reserved = |key: &String| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if tags.keys().any(reserved) {
        return Err(invalid("Tag keys that start with aws: are reserved for AWS use."));
    }
    Ok(())
}

async fn put(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (name, value) = (body.required("Name")?, body.required("Value")?);
    check_name(name)?;
    let overwrite = body.flag("Overwrite")?.unwrap_or(false);
    let tags = body.tags("Tags", "Key", "Value")?;
    check_tags(&tags)?;
    if overwrite && !tags.is_empty() {
        return Err(invalid(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
             overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
             RemoveTagsFromResource.",
        ));
    }
    let (kind, tier) = (body.text("Type")?, body.text("Tier")?.unwrap_or("Standard"));
    if kind.is_some_and(|kind| !["String", "StringList", "SecureString"].contains(&kind)) {
        return Err(Refusal::new("UnsupportedParameterType", "The parameter type is not supported."));
    }
    let longest = if tier == "Standard" { 4096 } else { 8192 };
    if value.len() > longest {
        return Err(invalid(format!(
            "{tier} tier parameters support a maximum parameter value of {longest} characters."
        )));
    }
    let held = desk.picture().ssm.parameters.get(name).cloned();
    let mut parameter = match held {
        Some(_) if !overwrite => {
            return Err(Refusal::new(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            ));
        }
        Some(held) if kind.is_some_and(|kind| kind != held.kind) => {
            return Err(Refusal::new(
                "HierarchyTypeMismatchException",
                format!("Parameter {name} is a {}: its type cannot be changed.", held.kind),
            ));
        }
        Some(held) => held,
        None => {
            let kind = kind.ok_or_else(|| invalid("A parameter type is required when you create a parameter."))?;
            let path = name.strip_prefix('/').unwrap_or(name);
            Parameter {
                arn: desk.place.arn(Service::Ssm, &format!("parameter/{path}")),
                kind: kind.to_owned(),
                data_type: body.text("DataType")?.unwrap_or("text").to_owned(),
                versions: BTreeMap::new(),
                tags,
            }
        }
    };
    if body.text("KeyId")?.is_some() && !parameter.is_secure() {
        return Err(invalid("KeyId is required for SecureString type parameter only."));
    }
    let number = parameter.version() + 1;
    let version = Version { value: value.to_owned(), labels: Vec::new(), modified: desk.now.date() };
    parameter.versions.insert(number, version);
    while parameter.versions.len() > KEPT {
        parameter.versions.pop_first();
    }
    desk.emulator.put_parameter(name, &parameter).await;
    desk.look();
    let facts = desk.notes_mut().facts.entry(parameter.arn.clone()).or_default();
    for (member, fact) in FACTS {
        match body.get(member) {
            Some(value) => drop(facts.insert(fact, value.clone())),
            None => drop(facts.remove(fact)),
        }
    }
    facts.insert("tier", json!(tier));
    if parameter.is_secure() {
        facts.entry("key_id").or_insert_with(|| json!("alias/aws/ssm"));
    }
    Ok(json!({"Version": number, "Tier": tier}))
}

/// A version of a parameter as reads give it back.
fn entry(name: &str, it: &Parameter, number: i64, version: &Version, decrypted: bool) -> Value {
    let value = if it.is_secure() && !decrypted {
        // Something else, which says nothing of the value.
        base64::encode(format!("encrypted by the sandbox: {} version {number}", it.arn))
    } else {
        version.value.clone()
    };
    json!({
        "Name": name,
        "Type": it.kind,
        "Value": value,
        "Version": number,
        "LastModifiedDate": version.modified.as_second(),
        "ARN": it.arn,
        "DataType": it.data_type,
    })
}

/// The parameter that a name, an ARN or either with `:VERSION` or `:LABEL` means.
fn selected(desk: &Desk<'_>, id: &str, decrypted: bool) -> Result<Value, Refusal> {
    let plain = existing(desk, id);
    let (name, it, selector) = match (plain, id.rsplit_once(':')) {
        (Ok((name, it)), _) => (name, it, None),
        (Err(_), Some((before, selector))) => {
            let (name, it) = existing(desk, before)?;
            (name, it, Some(selector))
        }
        (Err(refusal), None) => return Err(refusal),
    };
    let is_meant = |number: i64, version: &Version| match selector {
        None => number == it.version(),
        Some(text) => text.parse() == Ok(number) || version.labels.iter().any(|label| label == text),
    };
    let version = it.versions.iter().find(|(number, version)| is_meant(**number, version));
    let (number, version) =
        version.ok_or_else(|| Refusal::new("ParameterVersionNotFound", "The parameter version is not found."))?;
    Ok(entry(name, it, *number, version, decrypted))
}

fn get(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let decrypted = body.flag("WithDecryption")?.unwrap_or(false);
    Ok(json!({"Parameter": selected(desk, body.required("Name")?, decrypted)?}))
}

fn get_all(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let decrypted = body.flag("WithDecryption")?.unwrap_or(false);
    let names = body.texts("Names")?;
    if !(1..=10).contains(&names.len()) {
        return Err(invalid("Names must have between 1 and 10 members."));
    }
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for name in names {
        match selected(desk, name, decrypted) {
            Ok(it) => found.push(it),
            Err(_) => unknown.push(name),
        }
    }
    Ok(json!({"Parameters": found, "InvalidParameters": unknown}))
}

/// With what the emulator does not keep.
fn with_facts(desk: &Desk<'_>, arn: &str, mut entry: Value) -> Value {
    for (member, fact) in FACTS {
        if let Some(value) = desk.notes().fact(arn, fact) {
            entry[member] = value.clone();
        }
    }
    entry
}

fn history(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let decrypted = body.flag("WithDecryption")?.unwrap_or(false);
    let (name, it) = existing(desk, body.required("Name")?)?;
    let versions = it.versions.iter().map(|(number, version)| {
        let mut one = entry(name, it, *number, version, decrypted);
        one["Labels"] = json!(version.labels);
        with_facts(desk, &it.arn, one)
    });
    page(body, versions.collect())
}

fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let filters = body.objects("ParameterFilters")?;
    let mut found = Vec::new();
    for (name, it) in &desk.picture().ssm.parameters {
        let mut passes = true;
        for filter in &filters {
            passes &= is_meant(filter, name, it)?;
        }
        if let Some(version) = it.versions.get(&it.version()).filter(|_| passes) {
            let mut one = entry(name, it, it.version(), version, false);
            if let Some(members) = one.as_object_mut() {
                members.remove("Value");
            }
            one["Policies"] = json!([]);
            found.push(with_facts(desk, &it.arn, one));
        }
    }
    page(body, found)
}

fn is_meant(filter: &Map<String, Value>, name: &str, it: &Parameter) -> Result<bool, Refusal> {
    let text = |member: &str| filter.get(member).and_then(Value::as_str);
    let values = filter.get("Values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let key = text("Key").unwrap_or_default();
    let held = match key {
        "Name" => name,
        "Type" => &it.kind,
        _ => return Err(Refusal::new("InvalidFilterKey", format!("The filter key {key} is not valid here."))),
    };
    let fits = |value: &str| match text("Option").unwrap_or("Equals") {
        "BeginsWith" => held.starts_with(value),
        "Contains" => held.contains(value),
        _ => held == value,
    };
    Ok(values.iter().filter_map(Value::as_str).any(fits))
}

/// One page of a list call.
fn page(body: &Body, all: Vec<Value>) -> Result<Value, Refusal> {
    let size = usize::try_from(body.number("MaxResults")?.unwrap_or(50)).unwrap_or(0);
    if !(1..=50).contains(&size) {
        return Err(invalid("MaxResults must be between 1 and 50."));
    }
    let start = match body.text("NextToken")? {
        None => 0,
        Some(token) => token.parse().map_err(|_| Refusal::new("InvalidNextToken", "The token is not valid."))?,
    };
    let more = all.len() > start + size;
    let page: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let mut reply = json!({"Parameters": page});
    if more {
        reply["NextToken"] = json!((start + size).to_string());
    }
    Ok(reply)
}

async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (name, _) = existing(desk, body.required("Name")?)?;
    let name = name.to_owned();
    desk.emulator.drop_parameter(&name).await;
    desk.look();
    Ok(json!({}))
}

async fn delete_all(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (mut deleted, mut unknown) = (Vec::new(), Vec::new());
    for id in body.texts("Names")? {
        match existing(desk, id).map(|(name, _)| name.to_owned()) {
            Ok(name) => {
                desk.emulator.drop_parameter(&name).await;
                desk.look();
                deleted.push(id);
            }
            Err(_) => unknown.push(id),
        }
    }
    Ok(json!({"DeletedParameters": deleted, "InvalidParameters": unknown}))
}

/// Reads or changes the tags of a parameter.
async fn tags(desk: &mut Desk<'_>, input: &Input) -> Result<Value, Refusal> {
    let body = input.body()?;
    let id = body.required("ResourceId")?;
    let (name, it) = existing(desk, id).map_err(|_| {
        Refusal::new(
            "InvalidResourceId",
            format!("The resource ID \"{id}\" is not valid. Verify the ID and try again."),
        )
    })?;
    if input.action == "ListTagsForResource" {
        let list: Vec<Value> = it.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        return Ok(json!({"TagList": list}));
    }
    let (name, mut it) = (name.to_owned(), it.clone());
    if input.action == "AddTagsToResource" {
        it.tags.extend(body.tags("Tags", "Key", "Value")?);
        check_tags(&it.tags)?;
    } else {
        for key in body.texts("TagKeys")? {
            it.tags.remove(key);
        }
    }
    desk.emulator.put_parameter(&name, &it).await;
    desk.look();
    Ok(json!({}))
}
