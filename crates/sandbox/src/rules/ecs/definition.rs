//! Task definitions. A revision is never changed, and its number never used again.

use serde_json::{Map, Value, json};

use super::{Desk, client, page, tags};
use crate::input::Body;
use crate::picture::ecs::TaskDefinition;
use crate::refusal::Refusal;
use crate::service::Service;

/// The whole of it, as AWS writes it, but for its number: by that name in the notes.
const DEFINITION: &str = "definition";
/// What a call may give.
const FIELDS: [&str; 17] = [
    "family",
    "containerDefinitions",
    "cpu",
    "memory",
    "networkMode",
    "requiresCompatibilities",
    "executionRoleArn",
    "taskRoleArn",
    "runtimePlatform",
    "volumes",
    "placementConstraints",
    "ephemeralStorage",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "enableFaultInjection",
    "tags",
];

fn texts<'a>(definition: &'a Value, name: &str) -> Vec<&'a str> {
    definition[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A revision as it was registered.
pub(super) fn document<'a>(desk: &'a Desk<'_>, arn: &str) -> &'a Value {
    desk.notes().fact(arn, DEFINITION).unwrap_or(&Value::Null)
}

/// Whether it can run there.
pub(super) fn supports(definition: &Value, launch_type: &str) -> bool {
    let given = texts(definition, "requiresCompatibilities");
    if given.is_empty() { launch_type != "FARGATE" } else { given.contains(&launch_type) }
}

/// The roles by which its tasks are started and run.
fn roles(definition: &Value) -> impl Iterator<Item = &str> {
    ["executionRoleArn", "taskRoleArn"].into_iter().filter_map(|name| definition[name].as_str())
}

/// The first of its roles that ECS cannot assume.
pub(super) fn unusable_role<'a>(desk: &'a Desk<'_>, arn: &str) -> Option<&'a str> {
    roles(document(desk, arn)).find(|role| desk.role(role).is_none())
}

/// The ARN of a revision, given by that, by `family:revision` or by its family, which is its newest active one.
pub(super) fn resolve(desk: &Desk<'_>, given: &str) -> Option<String> {
    let all = &desk.picture().ecs.task_definitions;
    let called = given.rsplit_once(":task-definition/").map_or(given, |(_, called)| called);
    let found = match called.split_once(':') {
        Some((family, revision)) => {
            let revision: i32 = revision.parse().ok()?;
            all.iter().find(|(_, it)| it.family == family && it.revision == revision)
        }
        None => {
            let active = all.iter().filter(|(_, it)| it.family == called && it.status == "ACTIVE");
            active.max_by_key(|(_, it)| it.revision)
        }
    };
    found.map(|(arn, _)| arn.clone()).filter(|arn| !given.starts_with("arn:") || given.starts_with(&base(arn)))
}

/// An ARN without the number.
fn base(arn: &str) -> String {
    arn.rsplit_once(':').map_or(arn, |(base, _)| base).to_owned()
}

/// The same, of one that can be run.
pub(super) fn active(desk: &Desk<'_>, given: &str) -> Result<String, Refusal> {
    let arn = resolve(desk, given).ok_or_else(|| client("TaskDefinition not found."))?;
    match desk.picture().ecs.task_definitions.get(&arn) {
        Some(it) if it.status == "ACTIVE" => Ok(arn),
        _ => Err(client("TaskDefinition is inactive")),
    }
}

pub(super) async fn register(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let family = body.required("family")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if family.len() > 255 || !family.chars().all(fits) {
        return Err(client("Family contains invalid characters."));
    }
    if let Some(unknown) = body.0.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Refusal::new("SerializationException", format!("Unknown parameter {unknown}")));
    }
    let tags = tags::given(body)?;
    let mut definition = Map::from_iter([
        ("networkMode".to_owned(), json!("bridge")),
        ("volumes".to_owned(), json!([])),
        ("placementConstraints".to_owned(), json!([])),
    ]);
    definition
        .extend(body.0.iter().filter(|(name, _)| *name != "tags").map(|(name, value)| (name.clone(), value.clone())));
    let mut definition = Value::Object(definition);
    check(&definition)?;
    let is_awsvpc = definition["networkMode"] == "awsvpc";
    for container in definition["containerDefinitions"].as_array_mut().into_iter().flatten() {
        fill(container, is_awsvpc);
    }
    definition["compatibilities"] =
        json!(if supports(&definition, "FARGATE") { vec!["EC2", "FARGATE"] } else { vec!["EC2"] });

    let of_family = desk.picture().ecs.task_definitions.values().filter(|it| it.family == family);
    let revision = of_family.map(|it| it.revision).max().unwrap_or(0) + 1;
    let arn = desk.place.arn(Service::Ecs, &format!("task-definition/{family}:{revision}"));
    let text = |name: &str| definition[name].as_str().map(str::to_owned);
    let images = definition["containerDefinitions"].as_array().into_iter().flatten();
    let made = TaskDefinition {
        family: family.to_owned(),
        revision,
        status: "ACTIVE".to_owned(),
        task_role: text("taskRoleArn"),
        execution_role: text("executionRoleArn"),
        images: images.filter_map(|it| it["image"].as_str()).map(str::to_owned).collect(),
        tags,
    };
    desk.emulator.put_task_definition(&arn, &made).await;
    desk.look();
    desk.notes_mut().facts.entry(arn.clone()).or_default().insert(DEFINITION, definition);
    Ok(json!({"taskDefinition": reply(desk, &arn), "tags": tags::written(&made.tags)}))
}

fn check(definition: &Value) -> Result<(), Refusal> {
    let containers = definition["containerDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    for container in containers {
        for name in ["name", "image"] {
            if container[name].as_str().unwrap_or_default().is_empty() {
                return Err(client(format!("Container.{name} should not be null or empty.")));
            }
        }
    }
    for role in roles(definition) {
        if !role.starts_with("arn:aws:iam::") || !role.contains(":role/") {
            return Err(client("Role is not valid"));
        }
    }
    let has_secrets = containers.iter().any(|it| it["secrets"].as_array().is_some_and(|all| !all.is_empty()));
    let has_role = definition["executionRoleArn"].is_string();
    if has_secrets && !has_role {
        let message =
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.";
        return Err(client(message));
    }
    if !texts(definition, "requiresCompatibilities").contains(&"FARGATE") {
        return Ok(());
    }
    if definition["networkMode"] != "awsvpc" {
        return Err(client("Fargate only supports network mode 'awsvpc'."));
    }
    let size = |name: &str| definition[name].as_str().and_then(|text| text.parse::<u32>().ok());
    let (Some(cpu), Some(memory)) = (size("cpu"), size("memory")) else {
        return Err(client("Fargate requires that 'cpu' and 'memory' be defined at the task level."));
    };
    let offered = match cpu {
        256 => [512, 1024, 2048].contains(&memory),
        512 => (1024..=4096).contains(&memory) && memory % 1024 == 0,
        1024 => (2048..=8192).contains(&memory) && memory % 1024 == 0,
        2048 => (4096..=16_384).contains(&memory) && memory % 1024 == 0,
        4096 => (8192..=30_720).contains(&memory) && memory % 1024 == 0,
        8192 => (16_384..=61_440).contains(&memory) && memory % 4096 == 0,
        16_384 => (32_768..=122_880).contains(&memory) && memory % 8192 == 0,
        _ => false,
    };
    if !offered {
        return Err(client(format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.")));
    }
    let logs = containers.iter().any(|it| it["logConfiguration"]["logDriver"] == "awslogs");
    if logs && !has_role {
        let message = "Fargate requires task definition to have execution role ARN to support log driver awslogs.";
        return Err(client(message));
    }
    Ok(())
}

/// With what AWS adds to a container.
fn fill(container: &mut Value, is_awsvpc: bool) {
    let Some(all) = container.as_object_mut() else { return };
    for (name, default) in [
        ("cpu", json!(0)),
        ("essential", json!(true)),
        ("portMappings", json!([])),
        ("environment", json!([])),
        ("mountPoints", json!([])),
        ("volumesFrom", json!([])),
        ("systemControls", json!([])),
    ] {
        all.entry(name).or_insert(default);
    }
    for port in all.get_mut("portMappings").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        port.entry("protocol").or_insert(json!("tcp"));
        let host = if is_awsvpc { port.get("containerPort").cloned().unwrap_or_default() } else { json!(0) };
        port.entry("hostPort").or_insert(host);
    }
}

/// A revision as in a reply.
fn reply(desk: &Desk<'_>, arn: &str) -> Value {
    let mut it = document(desk, arn).clone();
    if let (Some(all), Some(held)) = (it.as_object_mut(), desk.picture().ecs.task_definitions.get(arn)) {
        all.insert("taskDefinitionArn".to_owned(), json!(arn));
        all.insert("revision".to_owned(), json!(held.revision));
        all.insert("status".to_owned(), json!(held.status));
    }
    it
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = resolve(desk, body.required("taskDefinition")?);
    let arn = arn.ok_or_else(|| client("Unable to describe task definition."))?;
    let mut all = json!({"taskDefinition": reply(desk, &arn)});
    if body.texts("include")?.contains(&"TAGS") {
        let tags = desk.picture().ecs.task_definitions.get(&arn).map(|it| tags::written(&it.tags));
        all["tags"] = tags.unwrap_or_else(|| json!([]));
    }
    Ok(all)
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (family, status) = (body.text("familyPrefix")?, body.text("status")?.unwrap_or("ACTIVE"));
    let all = desk.picture().ecs.task_definitions.iter();
    let of = all.filter(|(_, it)| it.status == status && family.is_none_or(|family| it.family == family));
    let mut found: Vec<_> = of.map(|(arn, it)| (&it.family, it.revision, arn.clone())).collect();
    found.sort();
    if body.text("sort")? == Some("DESC") {
        found.reverse();
    }
    page(body, "taskDefinitionArns", &found.into_iter().map(|(.., arn)| arn).collect::<Vec<_>>())
}

pub(super) async fn deregister(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let given = body.required("taskDefinition")?;
    let called = given.rsplit('/').next().unwrap_or_default();
    if !called.contains(':') {
        return Err(client("Invalid task definition: a revision is wanted."));
    }
    let arn = resolve(desk, given).ok_or_else(|| client("The specified task definition does not exist."))?;
    if let Some(mut it) = desk.picture().ecs.task_definitions.get(&arn).cloned() {
        "INACTIVE".clone_into(&mut it.status);
        desk.emulator.put_task_definition(&arn, &it).await;
        desk.look();
    }
    Ok(json!({"taskDefinition": reply(desk, &arn)}))
}
