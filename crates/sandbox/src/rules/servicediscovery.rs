//! Cloud Map: private namespaces and the services in them.
//!
//! A namespace is made and deleted by an operation that takes its time on the sandbox's clock; until it is made nobody
//! sees it. Mended: the emulator has everything at once, allows one private namespace a VPC whatever its name, knows no VPC,
//! forgets routing policies, and ignores filters and client tokens.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::servicediscovery::{Dns, Namespace, Operation, Service as Discovered};
use crate::query::Tags;
use crate::refusal::Refusal;
use crate::service::Service;

const PRIVATE: &str = "DNS_PRIVATE";
const CREATE: &str = "CREATE_NAMESPACE";
const DELETE: &str = "DELETE_NAMESPACE";

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreatePrivateDnsNamespace" => create_namespace(desk, body).await,
        "GetNamespace" => get_namespace(desk, body),
        "ListNamespaces" => list_namespaces(desk, body),
        "DeleteNamespace" => delete_namespace(desk, body).await,
        "GetOperation" => get_operation(desk, body),
        "ListOperations" => list_operations(desk, body),
        "CreateService" => create_service(desk, body).await,
        "GetService" => get_service(desk, body),
        "ListServices" => list_services(desk, body),
        "DeleteService" => delete_service(desk, body).await,
        "TagResource" | "UntagResource" | "ListTagsForResource" => tags(desk, input).await,
        // What has no rules here yet.
        _ => return desk.pass_on(input).await,
    };
    reply.map(|reply| Answer::json(&reply))
}

/// The deletion of a namespace is over.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) -> Result<(), Refusal> {
    let (_, id) = arn.rsplit_once('/').unwrap_or_default();
    desk.emulator.drop_namespace(id).await;
    desk.look();
    Ok(())
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidInput", message.into())
}

/// A namespace that is there by now.
fn namespace<'a>(desk: &'a Desk<'_>, id: &str) -> Result<(&'a str, &'a Namespace), Refusal> {
    let found = desk.picture().discovery.namespaces.get_key_value(id).filter(|(_, it)| !desk.is_pending(&it.arn));
    found
        .map(|(id, it)| (id.as_str(), it))
        .ok_or_else(|| Refusal::new("NamespaceNotFound", format!("Can't find the namespace with ID {id}.")))
}

fn service<'a>(desk: &'a Desk<'_>, id: &str) -> Result<(&'a str, &'a Discovered), Refusal> {
    let found = desk.picture().discovery.services.get_key_value(id);
    found
        .map(|(id, it)| (id.as_str(), it))
        .ok_or_else(|| Refusal::new("ServiceNotFound", format!("Can't find the service with ID {id}.")))
}

/// The tags that a call gives.
fn given_tags(body: &Body) -> Result<Tags, Refusal> {
    let tags = body.tags("Tags", "Key", "Value")?;
    check_tags(&tags)?;
    Ok(tags)
}

fn check_tags(tags: &Tags) -> Result<(), Refusal> {
    if tags.len() > 50 {
        return Err(Refusal::new("TooManyTagsException", "A resource can have at most 50 tags."));
    }
    let reserved = |key: &String| key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    if tags.keys().any(reserved) {
        return Err(invalid("Tag keys that start with aws: are reserved for AWS use."));
    }
    Ok(())
}

/// Keeps an operation about a namespace; gives back its id.
async fn begin(desk: &mut Desk<'_>, kind: &str, namespace: &str, failed: bool) -> String {
    let number = desk.notes_mut().next_made();
    let id = format!("{number:032x}-{number:08x}");
    let targets = BTreeMap::from([("NAMESPACE".to_owned(), namespace.to_owned())]);
    let operation = Operation { kind: kind.to_owned(), failed, targets, created: desk.now.date() };
    desk.emulator.put_operation(&id, &operation).await;
    desk.look();
    id
}

async fn create_namespace(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (name, vpc) = (body.required("Name")?.trim_end_matches('.'), body.required("Vpc")?);
    let part = |part: &str| {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        (1..=63).contains(&part.len()) && part.chars().all(fits)
    };
    if name.len() > 1024 || !name.split('.').all(part) {
        return Err(invalid(format!("The name {name} is not a valid domain name.")));
    }
    let tags = given_tags(body)?;
    let properties = body.get("Properties").map(|of| &of["DnsProperties"]["SOA"]["TTL"]);
    let soa_ttl = properties.and_then(Value::as_i64).unwrap_or(15);
    if !desk.ec2().has(vpc) {
        return Err(invalid(format!("The VPC {vpc} in region {} does not exist.", desk.place.region)));
    }
    let number = desk.notes_mut().next_made();
    let id = format!("ns-{number:016x}");
    let overlaps = |it: &Namespace| {
        let (one, other) = (format!(".{}", it.name), format!(".{name}"));
        it.vpc.as_deref() == Some(vpc) && (one.ends_with(&other) || other.ends_with(&one))
    };
    // Route 53 refuses it when the operation has begun.
    if desk.picture().discovery.namespaces.values().any(overlaps) {
        let operation = begin(desk, CREATE, &id, true).await;
        return Ok(json!({"OperationId": operation}));
    }
    let made = Namespace {
        arn: desk.place.arn(Service::CloudMap, &format!("namespace/{id}")),
        name: name.to_owned(),
        kind: PRIVATE.to_owned(),
        description: body.text("Description")?.map(str::to_owned),
        vpc: Some(vpc.to_owned()),
        hosted_zone: Some(format!("Z{number:019X}")),
        soa_ttl: Some(soa_ttl),
        token: body.text("CreatorRequestId")?.map(str::to_owned),
        created: desk.now.date(),
        tags,
    };
    desk.emulator.put_namespace(&id, &made).await;
    let operation = begin(desk, CREATE, &id, false).await;
    desk.settle(&made.arn);
    Ok(json!({"OperationId": operation}))
}

/// What describing and listing say of a namespace.
fn namespace_entry(desk: &Desk<'_>, id: &str, it: &Namespace) -> Value {
    let services = desk.picture().discovery.services.values().filter(|service| service.namespace == id).count();
    let mut entry = json!({
        "Id": id,
        "Arn": it.arn,
        "Name": it.name,
        "Type": it.kind,
        "ServiceCount": services,
        "Properties": {
            "DnsProperties": {"HostedZoneId": it.hosted_zone, "SOA": {"TTL": it.soa_ttl.unwrap_or(15)}},
            "HttpProperties": {"HttpName": it.name},
        },
        "CreateDate": it.created.as_second(),
    });
    if let Some(description) = &it.description {
        entry["Description"] = json!(description);
    }
    entry
}

fn get_namespace(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (id, it) = namespace(desk, body.required("Id")?)?;
    let mut entry = namespace_entry(desk, id, it);
    if let Some(token) = &it.token {
        entry["CreatorRequestId"] = json!(token);
    }
    Ok(json!({"Namespace": entry}))
}

fn list_namespaces(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let filters = filters(body, &["TYPE", "NAME"])?;
    let found = desk.picture().discovery.namespaces.iter().filter(|(_, it)| !desk.is_pending(&it.arn));
    let found = found.filter(|(_, it)| {
        filters.iter().all(|(key, values)| values.contains(if key == "TYPE" { &it.kind } else { &it.name }))
    });
    page(body, "Namespaces", found.map(|(id, it)| namespace_entry(desk, id, it)).collect())
}

async fn delete_namespace(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (id, it) = namespace(desk, body.required("Id")?)?;
    if desk.is_ending(&it.arn) {
        return Err(Refusal::new("DuplicateRequest", "The operation is already in progress."));
    }
    if desk.picture().discovery.services.values().any(|service| service.namespace == id) {
        return Err(Refusal::new(
            "ResourceInUse",
            format!("The namespace with ID {id} can't be deleted because it contains one or more services."),
        ));
    }
    let (id, arn) = (id.to_owned(), it.arn.clone());
    let operation = begin(desk, DELETE, &id, false).await;
    desk.end(&arn, desk.settings.settle);
    Ok(json!({"OperationId": operation}))
}

/// Whether it is over is seen in what it is about.
fn status(desk: &Desk<'_>, it: &Operation) -> &'static str {
    let about = it.targets.get("NAMESPACE").and_then(|id| desk.picture().discovery.namespaces.get(id));
    let waits = about.is_some_and(|about| match it.kind.as_str() {
        CREATE => desk.is_pending(&about.arn),
        DELETE => desk.is_ending(&about.arn),
        _ => false,
    });
    match (it.failed, waits) {
        (true, _) => "FAIL",
        (false, true) => "PENDING",
        (false, false) => "SUCCESS",
    }
}

fn get_operation(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let id = body.required("OperationId")?;
    let found = desk.picture().discovery.operations.get(id);
    let it =
        found.ok_or_else(|| Refusal::new("OperationNotFound", format!("Can't find the operation with ID {id}.")))?;
    let mut entry = json!({
        "Id": id,
        "Type": it.kind,
        "Status": status(desk, it),
        "Targets": it.targets,
        "CreateDate": it.created.as_second(),
    });
    if it.failed {
        entry["ErrorCode"] = json!("CANNOT_CREATE_HOSTED_ZONE");
        entry["ErrorMessage"] = json!(
            "The VPC that you chose is already associated with another private hosted zone that has an overlapping \
             name space. (ConflictingDomainExists)"
        );
    }
    Ok(json!({"Operation": entry}))
}

fn list_operations(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let filters = filters(body, &["NAMESPACE_ID", "SERVICE_ID", "STATUS", "TYPE"])?;
    let passes = |it: &Operation, key: &str, values: &[String]| {
        let target = |of: &str| it.targets.get(of).cloned().unwrap_or_default();
        values.contains(&match key {
            "NAMESPACE_ID" => target("NAMESPACE"),
            "SERVICE_ID" => target("SERVICE"),
            "STATUS" => status(desk, it).to_owned(),
            _ => it.kind.clone(),
        })
    };
    let all = desk.picture().discovery.operations.iter();
    let found = all.filter(|(_, it)| filters.iter().all(|(key, values)| passes(it, key, values)));
    page(body, "Operations", found.map(|(id, it)| json!({"Id": id, "Status": status(desk, it)})).collect())
}

/// By name, of those that the call takes.
fn filters(body: &Body, known: &[&str]) -> Result<Vec<(String, Vec<String>)>, Refusal> {
    let filters = body.objects("Filters")?.into_iter().map(|filter| {
        let name = filter.get("Name").and_then(Value::as_str).unwrap_or_default();
        if !known.contains(&name) {
            return Err(invalid(format!("The filter {name} is not valid here.")));
        }
        let values = filter.get("Values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok((name.to_owned(), values.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    });
    filters.collect()
}

/// One page of a list call.
fn page(body: &Body, member: &str, all: Vec<Value>) -> Result<Value, Refusal> {
    let size = usize::try_from(body.number("MaxResults")?.unwrap_or(100)).unwrap_or(0);
    if !(1..=100).contains(&size) {
        return Err(invalid("MaxResults must be between 1 and 100."));
    }
    let start = match body.text("NextToken")? {
        None => 0,
        Some(token) => token.parse().map_err(|_| invalid("The token is not valid."))?,
    };
    let more = all.len() > start + size;
    let page: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let mut reply = json!({member: page});
    if more {
        reply["NextToken"] = json!((start + size).to_string());
    }
    Ok(reply)
}

/// The records that a call asks for.
fn dns(of: &Map<String, Value>) -> Result<Dns, Refusal> {
    let records = of.get("DnsRecords").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let records: Vec<(String, i64)> = records
        .iter()
        .filter_map(|record| Some((record["Type"].as_str()?.to_owned(), record["TTL"].as_i64()?)))
        .collect();
    let has = |kind: &str| records.iter().filter(|(held, _)| held == kind).count();
    let kinds = ["A", "AAAA", "CNAME", "SRV"];
    if records.is_empty() || kinds.iter().any(|kind| has(kind) > 1) {
        return Err(invalid("DnsRecords must have one record of each type, and at least one."));
    }
    if records.iter().any(|(kind, ttl)| !kinds.contains(&kind.as_str()) || !(0..=2_147_483_647).contains(ttl)) {
        return Err(invalid("A DNS record has a type of A, AAAA, CNAME or SRV and a TTL of 0 to 2147483647."));
    }
    let policy = of.get("RoutingPolicy").and_then(Value::as_str).unwrap_or("MULTIVALUE");
    if has("CNAME") > 0 && (records.len() > 1 || policy != "WEIGHTED") {
        return Err(invalid("A CNAME record stands alone, with the routing policy WEIGHTED."));
    }
    Ok(Dns { policy: policy.to_owned(), records })
}

async fn create_service(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("Name")?;
    let of = body.get("DnsConfig").and_then(Value::as_object);
    let by_dns = of.and_then(|of| of.get("NamespaceId")).and_then(Value::as_str);
    let id = body.text("NamespaceId")?.or(by_dns).ok_or_else(|| invalid("A service needs a namespace."))?;
    let (namespace, held) = namespace(desk, id)?;
    if desk.is_ending(&held.arn) {
        return Err(Refusal::new("NamespaceNotFound", format!("The namespace with ID {id} is being deleted.")));
    }
    let (custom, checked) = (body.get("HealthCheckCustomConfig"), body.get("HealthCheckConfig"));
    if custom.is_some() && checked.is_some() {
        return Err(invalid("HealthCheckConfig and HealthCheckCustomConfig cannot be given together."));
    }
    if checked.is_some() && held.kind == PRIVATE {
        return Err(invalid("Health checks of Route 53 are for public namespaces."));
    }
    let (namespace, tags) = (namespace.to_owned(), given_tags(body)?);
    let services = &desk.picture().discovery.services;
    let same = |it: &&Discovered| it.namespace == namespace && it.name.eq_ignore_ascii_case(name);
    if services.values().any(|it| same(&it)) {
        return Err(Refusal::new("ServiceAlreadyExists", format!("The service {name} already exists.")));
    }
    let dns = of.map(dns).transpose()?;
    let id = format!("srv-{:016x}", desk.notes_mut().next_made());
    let made = Discovered {
        arn: desk.place.arn(Service::CloudMap, &format!("service/{id}")),
        name: name.to_owned(),
        namespace,
        description: body.text("Description")?.map(str::to_owned),
        dns,
        custom_health: custom.is_some(),
        instances: 0,
        token: body.text("CreatorRequestId")?.map(str::to_owned),
        created: desk.now.date(),
        tags,
    };
    desk.emulator.put_discovery_service(&id, &made).await;
    desk.look();
    Ok(json!({"Service": service_entry(&id, &made, true)}))
}

/// What describing and listing say of a service.
fn service_entry(id: &str, it: &Discovered, whole: bool) -> Value {
    let mut entry = json!({
        "Id": id,
        "Arn": it.arn,
        "Name": it.name,
        "InstanceCount": it.instances,
        "Type": if it.dns.is_some() { "DNS_HTTP" } else { "HTTP" },
        "CreateDate": it.created.as_second(),
    });
    if whole {
        entry["NamespaceId"] = json!(it.namespace);
        if let Some(token) = &it.token {
            entry["CreatorRequestId"] = json!(token);
        }
    }
    if let Some(description) = &it.description {
        entry["Description"] = json!(description);
    }
    if let Some(dns) = &it.dns {
        let records: Vec<Value> = dns.records.iter().map(|(kind, ttl)| json!({"Type": kind, "TTL": ttl})).collect();
        entry["DnsConfig"] = json!({"NamespaceId": it.namespace, "RoutingPolicy": dns.policy, "DnsRecords": records});
    }
    if it.custom_health {
        entry["HealthCheckCustomConfig"] = json!({"FailureThreshold": 1});
    }
    entry
}

fn get_service(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (id, it) = service(desk, body.required("Id")?)?;
    Ok(json!({"Service": service_entry(id, it, true)}))
}

fn list_services(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let filters = filters(body, &["NAMESPACE_ID"])?;
    let all = desk.picture().discovery.services.iter();
    let found = all.filter(|(_, it)| filters.iter().all(|(_, values)| values.contains(&it.namespace)));
    page(body, "Services", found.map(|(id, it)| service_entry(id, it, false)).collect())
}

async fn delete_service(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (id, it) = service(desk, body.required("Id")?)?;
    if it.instances > 0 {
        return Err(Refusal::new(
            "ResourceInUse",
            "Service contains registered instances; delete the instances first.",
        ));
    }
    let id = id.to_owned();
    desk.emulator.drop_discovery_service(&id).await;
    desk.look();
    Ok(json!({}))
}

/// Reads or changes the tags of a namespace or a service.
async fn tags(desk: &mut Desk<'_>, input: &Input) -> Result<Value, Refusal> {
    let body = input.body()?;
    let arn = body.required("ResourceARN")?;
    let id = arn.rsplit('/').next().unwrap_or_default().to_owned();
    let (namespace, service) = (namespace(desk, &id).ok(), service(desk, &id).ok());
    let held = namespace.map(|(_, it)| &it.tags).or(service.map(|(_, it)| &it.tags));
    let Some(held) = held else {
        return Err(Refusal::new("ResourceNotFoundException", format!("The resource {arn} was not found.")));
    };
    if input.action == "ListTagsForResource" {
        let list: Vec<Value> = held.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        return Ok(json!({"Tags": list}));
    }
    let mut tags = held.clone();
    if input.action == "TagResource" {
        tags.extend(given_tags(body)?);
        check_tags(&tags)?;
    } else {
        for key in body.texts("TagKeys")? {
            tags.remove(key);
        }
    }
    let namespace = namespace.map(|(_, it)| Namespace { tags: tags.clone(), ..it.clone() });
    let service = service.map(|(_, it)| Discovered { tags, ..it.clone() });
    if let Some(it) = namespace {
        desk.emulator.put_namespace(&id, &it).await;
    }
    if let Some(it) = service {
        desk.emulator.put_discovery_service(&id, &it).await;
    }
    desk.look();
    Ok(json!({}))
}
