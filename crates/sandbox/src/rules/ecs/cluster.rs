//! Clusters.
//!
//! Creating one whose name is there succeeds and gives that one back. A cluster with capacity providers is PROVISIONING
//! for a while. A deleted one is shown as INACTIVE for a while and then not at all. The emulator holds it on as INACTIVE;
//! a cluster is revived in place when its name is used again.
//!
//! ```text
//!          create            settle             delete           slow
//! (none) --------> PROVISIONING ------> ACTIVE --------> INACTIVE ----> (none)
//!                                          ^----- create ----'-----------'
//! ```

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Desk, invalid, service, tags, task};
use crate::input::Body;
use crate::picture::ecs::Cluster;
use crate::refusal::Refusal;
use crate::service::Service;

/// The cluster of a call that names none.
pub(super) const DEFAULT: &str = "default";
/// What AWS has everywhere.
const OF_AWS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];
/// Attributes that the emulator forgets, by their names in the notes.
const SETTINGS: &str = "settings";
const CONFIGURATION: &str = "configuration";

fn not_found() -> Refusal {
    Refusal::new("ClusterNotFoundException", "Cluster not found.")
}

/// The ARN of a cluster, from that or from its name.
pub(super) fn arn_of(desk: &Desk<'_>, given: &str) -> String {
    if given.starts_with("arn:") { given.to_owned() } else { desk.place.arn(Service::Ecs, &format!("cluster/{given}")) }
}

/// The cluster, as long as AWS shows it.
fn shown<'a>(desk: &'a Desk<'_>, arn: &str) -> Option<&'a Cluster> {
    let cluster = desk.picture().ecs.clusters.get(arn)?;
    (cluster.status == "ACTIVE" || desk.is_ending(arn)).then_some(cluster)
}

/// The ARN of a cluster that can be used, given by that or by its name.
pub(super) fn active(desk: &Desk<'_>, given: &str) -> Result<String, Refusal> {
    let arn = arn_of(desk, given);
    match shown(desk, &arn) {
        Some(cluster) if cluster.status == "ACTIVE" => Ok(arn),
        Some(_) => Err(Refusal::new("ClusterNotFoundException", "The referenced cluster was inactive.")),
        None => Err(not_found()),
    }
}

/// An active cluster whose providers are not about to change.
fn at_rest(desk: &Desk<'_>, given: &str) -> Result<String, Refusal> {
    let arn = active(desk, given)?;
    if desk.is_pending(&arn) {
        return Err(Refusal::new("UpdateInProgressException", "The specified cluster is in a busy state."));
    }
    Ok(arn)
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.text("clusterName")?.unwrap_or(DEFAULT);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=255).contains(&name.len()) || !name.chars().all(fits) {
        return Err(invalid("Invalid cluster name. Use up to 255 letters, numbers, hyphens and underscores."));
    }
    let tags = tags::given(body)?;
    let settings = settings(body, json!([{"name": "containerInsights", "value": "disabled"}]))?;
    let providers = providers(desk, body)?;
    let arn = arn_of(desk, name);
    if active(desk, &arn).is_ok() {
        return Ok(json!({"cluster": reply(desk, &arn, &WITH_ALL)?}));
    }
    // Also of one that is no longer shown.
    if desk.picture().ecs.clusters.contains_key(&arn) {
        desk.emulator.revive_cluster(name).await;
        let notes = desk.notes_mut();
        notes.gone.remove(&arn);
        notes.facts.remove(&arn);
    } else {
        act(desk, "CreateCluster", json!({"clusterName": name})).await?;
    }
    if let Some(mut providers) = providers {
        providers.insert("cluster".to_owned(), json!(name));
        act(desk, "PutClusterCapacityProviders", Value::Object(providers)).await?;
        desk.settle(&arn);
    }
    if !tags.is_empty() {
        act(desk, "TagResource", json!({"resourceArn": arn, "tags": tags::written(&tags)})).await?;
    }
    desk.look();
    let facts = desk.notes_mut().facts.entry(arn.clone()).or_default();
    facts.insert(SETTINGS, settings);
    if let Some(configuration) = body.get("configuration") {
        facts.insert(CONFIGURATION, configuration.clone());
    }
    Ok(json!({"cluster": reply(desk, &arn, &WITH_ALL)?}))
}

/// The settings that a call gives, or those.
fn settings(body: &Body, default: Value) -> Result<Value, Refusal> {
    let given = body.objects("settings")?;
    for setting in &given {
        let of = |name: &str| setting.get(name).and_then(Value::as_str).unwrap_or_default();
        if of("name") != "containerInsights" {
            return Err(invalid(format!("Unknown cluster setting '{}'.", of("name"))));
        }
        if !["enabled", "disabled", "enhanced"].contains(&of("value")) {
            return Err(invalid(format!("Invalid value '{}' for containerInsights.", of("value"))));
        }
    }
    Ok(if given.is_empty() { default } else { json!(given) })
}

/// The providers and the strategy that a call gives, checked. None when it gives neither.
fn providers(desk: &Desk<'_>, body: &Body) -> Result<Option<Map<String, Value>>, Refusal> {
    let given = body.texts("capacityProviders")?;
    let known = |name: &&str| OF_AWS.contains(name) || desk.picture().ecs.capacity_providers.contains(*name);
    if let Some(unknown) = given.iter().find(|name| !known(name)) {
        return Err(invalid(format!("The specified capacity provider '{unknown}' was not found.")));
    }
    if given.iter().collect::<BTreeSet<_>>().len() < given.len() {
        return Err(invalid("The capacity provider list contains duplicates."));
    }
    let strategy = body.objects("defaultCapacityProviderStrategy")?;
    let number = |item: &Map<String, Value>, name: &str| item.get(name).and_then(Value::as_i64).unwrap_or_default();
    for item in &strategy {
        let provider = item.get("capacityProvider").and_then(Value::as_str).unwrap_or_default();
        if !given.contains(&provider) {
            return Err(invalid(format!(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated \
                 with the cluster: {provider}."
            )));
        }
        if !(0..=1000).contains(&number(item, "weight")) || !(0..=100_000).contains(&number(item, "base")) {
            return Err(invalid("A weight is 0 to 1000, and a base 0 to 100000."));
        }
    }
    if strategy.iter().filter(|item| number(item, "base") > 0).count() > 1 {
        return Err(invalid("Only one capacity provider in a capacity provider strategy can have a base defined."));
    }
    if given.is_empty() {
        return Ok(None);
    }
    let Value::Object(both) = json!({"capacityProviders": given, "defaultCapacityProviderStrategy": strategy}) else {
        return Ok(None);
    };
    Ok(Some(both))
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let mut given = body.texts("clusters")?;
    if given.is_empty() {
        given.push(DEFAULT);
    }
    if given.len() > 100 {
        return Err(invalid("Clusters cannot have more than 100 elements."));
    }
    let include = body.texts("include")?;
    if let Some(unknown) = include.iter().find(|name| !WITH_ALL.contains(name)) {
        return Err(invalid(format!("The field '{unknown}' is not known.")));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for name in given {
        let arn = arn_of(desk, name);
        if shown(desk, &arn).is_some() {
            clusters.push(reply(desk, &arn, &include)?);
        } else {
            failures.push(json!({"arn": arn, "reason": "MISSING"}));
        }
    }
    Ok(json!({"clusters": clusters, "failures": failures}))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let size = body.number("maxResults")?.unwrap_or(100);
    let size = usize::try_from(size).ok().filter(|size| (1..=100).contains(size));
    let size = size.ok_or_else(|| invalid("maxResults must be between 1 and 100."))?;
    let start = body.text("nextToken")?.unwrap_or_default();
    let all = desk.picture().ecs.clusters.iter().filter(|(_, it)| it.status == "ACTIVE").map(|(arn, _)| arn.as_str());
    let mut arns: Vec<&str> = all.filter(|arn| *arn > start).take(size + 1).collect();
    let mut page = Map::new();
    if arns.len() > size {
        arns.truncate(size);
        page.insert("nextToken".to_owned(), json!(arns.last()));
    }
    page.insert("clusterArns".to_owned(), json!(arns));
    Ok(Value::Object(page))
}

pub(super) fn update(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = active(desk, body.required("cluster")?)?;
    let settings = settings(body, Value::Null)?;
    let facts = desk.notes_mut().facts.entry(arn.clone()).or_default();
    if !settings.is_null() {
        facts.insert(SETTINGS, settings);
    }
    if let Some(configuration) = body.get("configuration") {
        facts.insert(CONFIGURATION, configuration.clone());
    }
    Ok(json!({"cluster": reply(desk, &arn, &WITH_ALL)?}))
}

pub(super) async fn put_providers(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = at_rest(desk, body.required("cluster")?)?;
    let given = providers(desk, body)?.unwrap_or_else(|| {
        let none = || Value::Array(Vec::new());
        Map::from_iter([
            ("capacityProviders".to_owned(), none()),
            ("defaultCapacityProviderStrategy".to_owned(), none()),
        ])
    });
    let mut call = given;
    call.insert("cluster".to_owned(), json!(arn));
    act(desk, "PutClusterCapacityProviders", Value::Object(call)).await?;
    desk.look();
    desk.settle(&arn);
    Ok(json!({"cluster": reply(desk, &arn, &WITH_ALL)?}))
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = at_rest(desk, body.required("cluster")?)?;
    let instances = desk.picture().ecs.clusters.get(&arn).map_or(0, |it| it.container_instances);
    let (running, pending) = task::counts_in(desk, &arn);
    let tasks = running + pending;
    for (count, code, what) in [
        (service::all_in(desk, &arn), "ClusterContainsServicesException", "services are active"),
        (tasks, "ClusterContainsTasksException", "Tasks are active"),
        (instances, "ClusterContainsContainerInstancesException", "Container Instances are active or draining"),
    ] {
        if count > 0 {
            return Err(Refusal::new(code, format!("The Cluster cannot be deleted while {what}.")));
        }
    }
    act(desk, "DeleteCluster", json!({"cluster": arn})).await?;
    desk.look();
    desk.end(&arn, desk.settings.slow());
    Ok(json!({"cluster": reply(desk, &arn, &WITH_ALL)?}))
}

async fn act(desk: &Desk<'_>, action: &str, body: Value) -> Result<Value, Refusal> {
    desk.emulator.act_json(Service::Ecs, action, &body).await
}

const WITH_ALL: [&str; 5] = ["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"];

/// A cluster as in a reply, with the parts that are shown when they are asked for.
fn reply(desk: &Desk<'_>, arn: &str, include: &[&str]) -> Result<Value, Refusal> {
    let cluster = desk.picture().ecs.clusters.get(arn).ok_or_else(not_found)?;
    let with = |name: &str| include.contains(&name);
    let (running, pending_tasks) = task::counts_in(desk, arn);
    let (pending, fact) = (desk.is_pending(arn), |name| desk.notes().fact(arn, name).cloned());
    let status = if cluster.status == "ACTIVE" && pending { "PROVISIONING" } else { &cluster.status };
    let strategy = cluster.strategy.iter();
    let strategy = strategy
        .map(|it| json!({"capacityProvider": it.provider, "weight": it.weight, "base": it.base}))
        .collect::<Vec<_>>();
    let mut it = json!({
        "clusterArn": arn,
        "clusterName": cluster.name,
        "status": status,
        "registeredContainerInstancesCount": cluster.container_instances,
        "runningTasksCount": running,
        "pendingTasksCount": pending_tasks,
        "activeServicesCount": service::active_in(desk, arn),
        "statistics": [],
        "capacityProviders": cluster.capacity_providers,
        "defaultCapacityProviderStrategy": strategy,
        "tags": if with("TAGS") { tags::written(&cluster.tags) } else { json!([]) },
        "settings": fact(SETTINGS).filter(|_| with("SETTINGS")).unwrap_or_else(|| json!([])),
    });
    if let Some(configuration) = fact(CONFIGURATION).filter(|_| with("CONFIGURATIONS")) {
        it["configuration"] = configuration;
    }
    if with("ATTACHMENTS") && !cluster.capacity_providers.is_empty() {
        it["attachments"] = json!([]);
        it["attachmentsStatus"] = json!(if pending { "UPDATE_IN_PROGRESS" } else { "UPDATE_COMPLETE" });
    }
    Ok(it)
}
