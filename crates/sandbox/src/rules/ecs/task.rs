//! Tasks: those that are run once, which the emulator holds, and those of services, which follow from them.
//!
//! A task that is run once is PENDING for `settle`, RUNNING for as long again, and then STOPPED. Its containers end with
//! exit code 0; one whose command ends in `exit N` ends with that.

use serde_json::{Value, json};

use super::{Desk, client, cluster, definition, invalid, network, page, service, tags};
use crate::input::Body;
use crate::picture::ecs::Task;
use crate::refusal::Refusal;

/// What a container ends with that was told to stop and did.
const TERMINATED: i64 = 143;

/// A task of a service.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Of its deployment.
    pub(super) number: u64,
    /// Within that.
    pub(super) index: i32,
    pub(super) service: String,
    pub(super) task_definition: String,
    pub(super) is_running: bool,
}

impl Member {
    fn arn(&self, cluster: &str) -> String {
        arn_of(cluster, &format!("{:016x}{:016x}", self.number, self.index))
    }

    fn document(&self, desk: &Desk<'_>, cluster: &str) -> Value {
        let mut it = new(desk, &self.arn(cluster), cluster, &self.task_definition);
        let status = if self.is_running { "RUNNING" } else { "PENDING" };
        it["lastStatus"] = json!(status);
        it["group"] = json!(format!("service:{}", self.service));
        it["startedBy"] = json!(format!("ecs-svc/{}", self.number));
        for container in it["containers"].as_array_mut().into_iter().flatten() {
            container["lastStatus"] = json!(status);
        }
        it
    }
}

/// The ARN of a task, from that or from its id; `cluster` is an ARN.
fn arn_of(cluster: &str, given: &str) -> String {
    if given.starts_with("arn:") {
        given.to_owned()
    } else {
        format!("{}/{given}", cluster.replacen(":cluster/", ":task/", 1))
    }
}

/// A task that is to run.
fn new(desk: &Desk<'_>, arn: &str, cluster: &str, task_definition: &str) -> Value {
    let containers = definition::document(desk, task_definition)["containerDefinitions"].as_array();
    let container = |it: &Value| json!({"name": it["name"], "image": it["image"]});
    json!({
        "taskArn": arn,
        "clusterArn": cluster,
        "taskDefinitionArn": task_definition,
        "desiredStatus": "RUNNING",
        "containers": containers.into_iter().flatten().map(container).collect::<Vec<_>>(),
        "overrides": {"containerOverrides": []},
    })
}

pub(super) async fn run(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let tags = tags::given(body)?;
    let task_definition = definition::active(desk, body.required("taskDefinition")?)?;
    let count = body.number("count")?.unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(invalid("count must be between 1 and 10."));
    }
    let capacity = network::capacity(desk, body, &cluster, &task_definition)?;
    let network = network::given(desk, body, &task_definition)?;
    if let Some(role) = definition::unusable_role(desk, &task_definition) {
        return Err(client(format!(
            "ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the role \
             being passed has the proper trust relationship and permissions and that your IAM user has permissions to \
             pass this role."
        )));
    }
    let overrides = body.get("overrides").cloned().unwrap_or_else(|| json!({"containerOverrides": []}));
    let containers = definition::document(desk, &task_definition)["containerDefinitions"].as_array().cloned();
    for over in overrides["containerOverrides"].as_array().into_iter().flatten() {
        let name = over["name"].as_str().unwrap_or_default();
        if !containers.iter().flatten().any(|it| it["name"] == name) {
            let message = format!("Override for container named {name} is not a container in the TaskDefinition.");
            return Err(invalid(message));
        }
    }
    let mut tasks = Vec::new();
    for _ in 0..count {
        let number = desk.notes_mut().next_made();
        let arn = arn_of(&cluster, &format!("{number:032x}"));
        let mut document = new(desk, &arn, &cluster, &task_definition);
        document["overrides"] = overrides.clone();
        for (name, value) in &capacity {
            document[name] = value.clone();
        }
        document["network"] = json!(network);
        for name in ["startedBy", "group"] {
            if let Some(value) = body.get(name) {
                document[name] = value.clone();
            }
        }
        let task = Task { cluster: cluster.clone(), document, tags: tags.clone() };
        desk.emulator.put_task(&arn, &task).await;
        desk.look();
        let settle = desk.settings.settle;
        desk.end(&arn, settle + settle);
        desk.ready_after(&arn, settle);
        tasks.push(shown(desk, &arn, &task, true));
    }
    Ok(json!({"tasks": tasks, "failures": []}))
}

/// A task as in a reply.
fn shown(desk: &Desk<'_>, arn: &str, task: &Task, with_tags: bool) -> Value {
    let mut it = task.document.clone();
    let status = match &it["lastStatus"] {
        Value::String(status) => status.clone(),
        _ if desk.is_pending(arn) => "PENDING".to_owned(),
        _ if it["desiredStatus"] == "STOPPED" => "STOPPING".to_owned(),
        _ => "RUNNING".to_owned(),
    };
    it["lastStatus"] = json!(status);
    for container in it["containers"].as_array_mut().into_iter().flatten() {
        container["lastStatus"] = json!(status);
    }
    if let Some(all) = it.as_object_mut() {
        all.remove("network");
        if with_tags {
            all.insert("tags".to_owned(), tags::written(&task.tags));
        }
    }
    it
}

/// A task has come to its end.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) {
    let Some(mut task) = desk.picture().ecs.tasks.get(arn).cloned() else { return };
    let told = task.document["desiredStatus"] == "STOPPED";
    let task_definition = task.document["taskDefinitionArn"].as_str().unwrap_or_default();
    let definition = definition::document(desk, task_definition).clone();
    let overrides = task.document["overrides"].clone();
    for container in task.document["containers"].as_array_mut().into_iter().flatten() {
        let of = |all: &Value| all.as_array().into_iter().flatten().find(|it| it["name"] == container["name"]).cloned();
        let over = of(&overrides["containerOverrides"]).unwrap_or_default();
        let held = of(&definition["containerDefinitions"]).unwrap_or_default();
        let command = if over["command"].is_array() { &over["command"] } else { &held["command"] };
        let code = if told { TERMINATED } else { exit_code(command) };
        container["exitCode"] = json!(code);
    }
    if let Some(all) = task.document.as_object_mut() {
        all.entry("stoppedReason").or_insert(json!("Essential container in task exited"));
        all.entry("stopCode").or_insert(json!("EssentialContainerExited"));
        all.insert("desiredStatus".to_owned(), json!("STOPPED"));
        all.insert("lastStatus".to_owned(), json!("STOPPED"));
    }
    desk.emulator.put_task(arn, &task).await;
    desk.look();
}

/// `exit N` at the end of a command.
fn exit_code(command: &Value) -> i64 {
    let last = command.as_array().and_then(|all| all.last()).and_then(Value::as_str).unwrap_or_default();
    last.rsplit_once("exit ").and_then(|(_, code)| code.trim().parse().ok()).unwrap_or(0)
}

pub(super) async fn stop(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let arn = arn_of(&cluster, body.required("task")?);
    if let Some(mut task) = desk.picture().ecs.tasks.get(&arn).cloned() {
        if task.document["desiredStatus"] == "RUNNING" {
            let reason = body.text("reason")?.unwrap_or("Task stopped by user");
            for (name, value) in
                [("desiredStatus", "STOPPED"), ("stoppedReason", reason), ("stopCode", "UserInitiated")]
            {
                task.document[name] = json!(value);
            }
            desk.emulator.put_task(&arn, &task).await;
            desk.look();
            desk.notes_mut().ready.remove(&arn);
            desk.end(&arn, desk.settings.settle);
        }
        return Ok(json!({"task": shown(desk, &arn, &task, true)}));
    }
    // The service puts another one in its place at once.
    let of_service = service::members(desk, &cluster).into_iter().find(|it| it.arn(&cluster) == arn);
    let member = of_service.ok_or_else(|| invalid("The referenced task was not found."))?;
    Ok(json!({"task": member.document(desk, &cluster)}))
}

/// Every task of a cluster.
fn all(desk: &Desk<'_>, cluster: &str, with_tags: bool) -> Vec<Value> {
    let held = desk.picture().ecs.tasks.iter().filter(|(_, it)| it.cluster == cluster);
    let mut all: Vec<Value> = held.map(|(arn, it)| shown(desk, arn, it, with_tags)).collect();
    all.extend(service::members(desk, cluster).iter().map(|it| it.document(desk, cluster)));
    all
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let given = body.texts("tasks")?;
    if !(1..=100).contains(&given.len()) {
        return Err(invalid("Tasks can have 1 to 100 elements."));
    }
    let all = all(desk, &cluster, body.texts("include")?.contains(&"TAGS"));
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for name in given {
        let arn = arn_of(&cluster, name);
        match all.iter().find(|it| it["taskArn"] == arn) {
            Some(task) => tasks.push(task.clone()),
            None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
        }
    }
    Ok(json!({"tasks": tasks, "failures": failures}))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let status = body.text("desiredStatus")?.unwrap_or("RUNNING");
    let service =
        body.text("serviceName")?.map(|name| format!("service:{}", name.rsplit('/').next().unwrap_or_default()));
    if let Some(group) = &service {
        let name = group.strip_prefix("service:").unwrap_or_default();
        let mut all = desk.picture().ecs.services.values();
        if !all.any(|it| it.cluster == cluster && it.name == name && it.status != "INACTIVE") {
            return Err(Refusal::new("ServiceNotFoundException", "Service not found."));
        }
    }
    let (started_by, family) = (body.text("startedBy")?, body.text("family")?);
    if started_by.is_some() && (family.is_some() || service.is_some()) {
        return Err(invalid("Only one of startedBy, family and serviceName can be given."));
    }
    let mut found = Vec::new();
    for it in all(desk, &cluster, false) {
        let of_family = |family: &str| {
            let arn = it["taskDefinitionArn"].as_str().unwrap_or_default();
            arn.rsplit('/').next().and_then(|called| called.split(':').next()) == Some(family)
        };
        if it["desiredStatus"] == status
            && started_by.is_none_or(|by| it["startedBy"] == by)
            && family.is_none_or(of_family)
            && service.as_ref().is_none_or(|group| it["group"] == *group)
        {
            found.push(it["taskArn"].as_str().unwrap_or_default().to_owned());
        }
    }
    found.sort();
    page(body, "taskArns", &found)
}

/// How many tasks run in a cluster, and how many are pending.
pub(super) fn counts_in(desk: &Desk<'_>, cluster: &str) -> (usize, usize) {
    let all = all(desk, cluster, false);
    let of = |status: &[&str]| {
        all.iter().filter(|it| it["lastStatus"].as_str().is_some_and(|s| status.contains(&s))).count()
    };
    (of(&["RUNNING", "STOPPING"]), of(&["PENDING"]))
}

/// Whether a task that was run once has an interface in this subnet or security group.
pub(super) fn holds(desk: &Desk<'_>, id: &str) -> bool {
    desk.picture().ecs.tasks.values().any(|it| !it.has_stopped() && network::has(&it.document["network"], id))
}
