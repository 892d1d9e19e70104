//! Services, and the tasks that follow from them.
//!
//! A change takes `settle`: until then the tasks of before run, those that are new are PENDING, and the deployment is
//! IN_PROGRESS. A task definition whose roles cannot be assumed starts no task; with a circuit breaker its deployment
//! fails.
//!
//! ```text
//!        create           delete, without tasks          slow
//! (none) -----> ACTIVE ---------------------> DRAINING -----> INACTIVE
//!                 ^ '-- update: IN_PROGRESS, settle, COMPLETED     |
//!                 '------------------- create ---------------------'
//! ```

use serde_json::{Map, Value, json};

use super::task::Member;
use super::{Desk, cluster, definition, invalid, network, page, tags};
use crate::input::Body;
use crate::picture::ecs::Service;
use crate::refusal::Refusal;
use crate::service::Service as Which;

/// What the emulator forgets, as AWS writes it: by that name in the notes.
const SERVICE: &str = "service";
/// What was before the last change: by that name in the notes, among what passes.
const ROLLOUT: &str = "rollout";
/// What a call gives and a reply shows as it is.
const KEPT: [&str; 8] = [
    "serviceRegistries",
    "loadBalancers",
    "healthCheckGracePeriodSeconds",
    "deploymentConfiguration",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "propagateTags",
    "platformVersion",
];

/// Tasks of one definition.
#[derive(Debug, Clone, Default)]
struct Tasks {
    task_definition: String,
    /// The number of their deployment.
    number: u64,
    running: i32,
    pending: i32,
}

/// How far a service is.
#[derive(Debug, Clone)]
struct Rollout {
    primary: Tasks,
    /// What is replaced.
    old: Option<Tasks>,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`.
    state: &'static str,
}

/// The ARN of a service, given by that or by its name.
fn arn_of(desk: &Desk<'_>, cluster: &str, given: &str) -> String {
    if given.starts_with("arn:") {
        return given.to_owned();
    }
    let cluster = cluster.rsplit('/').next().unwrap_or_default();
    desk.place.arn(Which::Ecs, &format!("service/{cluster}/{given}"))
}

fn not_found() -> Refusal {
    Refusal::new("ServiceNotFoundException", "Service not found.")
}

/// A service that can be changed.
fn active(desk: &Desk<'_>, body: &Body) -> Result<(String, Service), Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let arn = arn_of(desk, &cluster, body.required("service")?);
    let it = desk.picture().ecs.services.get(&arn).cloned().ok_or_else(not_found)?;
    match it.status.as_str() {
        "ACTIVE" => Ok((arn, it)),
        "DRAINING" => Err(Refusal::new("ServiceNotActiveException", "Service was not ACTIVE.")),
        _ => Err(not_found()),
    }
}

fn kept<'a>(desk: &'a Desk<'_>, arn: &str) -> &'a Value {
    desk.notes().fact(arn, SERVICE).unwrap_or(&Value::Null)
}

fn tasks_of(value: &Value) -> Option<Tasks> {
    Some(Tasks {
        task_definition: value["taskDefinition"].as_str()?.to_owned(),
        number: value["number"].as_u64().unwrap_or_default(),
        running: i32::try_from(value["running"].as_i64()?).unwrap_or_default(),
        pending: 0,
    })
}

fn rollout(desk: &Desk<'_>, arn: &str, it: &Service) -> Rollout {
    let before = desk.notes().passing.get(arn).and_then(|all| all.get(ROLLOUT)).cloned().unwrap_or_default();
    let mut primary = tasks_of(&before["primary"]).unwrap_or_default();
    primary.task_definition.clone_from(&it.task_definition);
    let was = primary.running;
    let is_moving = desk.is_pending(arn);
    let cannot = it.desired > 0 && definition::unusable_role(desk, &it.task_definition).is_some();
    if is_moving || cannot {
        primary.pending = if cannot { 0 } else { (it.desired - was).max(0) };
        let breaks = kept(desk, arn)["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] == true;
        let state = if cannot && !is_moving && breaks { "FAILED" } else { "IN_PROGRESS" };
        return Rollout { primary, old: tasks_of(&before["old"]).filter(|old| old.running > 0), state };
    }
    primary.running = it.desired;
    Rollout { primary, old: None, state: "COMPLETED" }
}

impl Rollout {
    fn running(&self) -> i32 {
        self.primary.running + self.old.as_ref().map_or(0, |old| old.running)
    }
}

/// Puts a service as it is now; what ran until now goes on until it has settled.
async fn put(desk: &mut Desk<'_>, arn: &str, it: Service, before: Option<&Rollout>, is_new: bool) {
    let number = u64::from(desk.notes_mut().next_made());
    let written =
        |of: &Tasks| json!({"taskDefinition": of.task_definition, "number": of.number, "running": of.running});
    let (primary, old) = match before {
        Some(before) if is_new => {
            let old = Some(&before.primary).filter(|it| it.running > 0).or(before.old.as_ref());
            (json!({"taskDefinition": it.task_definition, "number": number, "running": 0}), old.map(written))
        }
        Some(before) => (written(&before.primary), before.old.as_ref().map(written)),
        None => (json!({"taskDefinition": it.task_definition, "number": number, "running": 0}), None),
    };
    desk.emulator.put_service(arn, &it).await;
    desk.look();
    let passing = desk.notes_mut().passing.entry(arn.to_owned()).or_default();
    passing.insert(ROLLOUT, json!({"primary": primary, "old": old}));
    desk.settle(arn);
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let name = body.required("serviceName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 255 || !name.chars().all(fits) {
        return Err(invalid("Invalid service name."));
    }
    let arn = arn_of(desk, &cluster, name);
    match desk.picture().ecs.services.get(&arn).map(|it| it.status.as_str()) {
        Some("ACTIVE") => return Err(invalid("Creation of service was not idempotent.")),
        Some("DRAINING") => return Err(invalid("Unable to Start a service that is still Draining.")),
        _ => {}
    }
    let tags = tags::given(body)?;
    let task_definition = definition::active(desk, body.required("taskDefinition")?)?;
    let desired =
        desired(body)?.ok_or_else(|| invalid("Desired count is required when the scheduling strategy is REPLICA."))?;
    let mut facts = network::capacity(desk, body, &cluster, &task_definition)?;
    if let Some(network) = network::given(desk, body, &task_definition)? {
        facts.insert("networkConfiguration".to_owned(), network);
    }
    network::check_targets(desk, body, &task_definition)?;
    check_grace(body, body.objects("loadBalancers")?.is_empty())?;
    keep(body, &mut facts);
    let it = Service { name: name.to_owned(), cluster, task_definition, desired, status: "ACTIVE".to_owned(), tags };
    // What had the name before is another one.
    desk.notes_mut().facts.remove(&arn);
    put(desk, &arn, it, None, true).await;
    desk.notes_mut().facts.entry(arn.clone()).or_default().insert(SERVICE, Value::Object(facts));
    Ok(json!({"service": reply(desk, &arn, true)?}))
}

fn desired(body: &Body) -> Result<Option<i32>, Refusal> {
    match body.number("desiredCount")? {
        Some(count) => match i32::try_from(count) {
            Ok(count) if count >= 0 => Ok(Some(count)),
            _ => Err(invalid("Desired count must be non-negative.")),
        },
        None => Ok(None),
    }
}

fn check_grace(body: &Body, has_no_balancer: bool) -> Result<(), Refusal> {
    if has_no_balancer && body.number("healthCheckGracePeriodSeconds")?.is_some() {
        return Err(invalid("Health check grace period is only valid for services configured to use load balancers"));
    }
    Ok(())
}

fn keep(body: &Body, facts: &mut Map<String, Value>) {
    for name in KEPT {
        if let Some(value) = body.get(name) {
            facts.insert(name.to_owned(), value.clone());
        }
    }
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let given = body.texts("services")?;
    if !(1..=10).contains(&given.len()) {
        return Err(invalid("Services can have 1 to 10 elements."));
    }
    let with_tags = body.texts("include")?.contains(&"TAGS");
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in given {
        let arn = arn_of(desk, &cluster, name);
        match reply(desk, &arn, with_tags) {
            Ok(service) => services.push(service),
            Err(_) => failures.push(json!({"arn": arn, "reason": "MISSING"})),
        }
    }
    Ok(json!({"services": services, "failures": failures}))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let all = desk.picture().ecs.services.iter().filter(|(_, it)| it.cluster == cluster && it.status != "INACTIVE");
    page(body, "serviceArns", &all.map(|(arn, _)| arn.clone()).collect::<Vec<_>>())
}

pub(super) async fn update(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, before) = active(desk, body)?;
    let mut it = before.clone();
    let mut facts = kept(desk, &arn).as_object().cloned().unwrap_or_default();
    let were = facts.clone();
    if let Some(given) = body.text("taskDefinition")? {
        it.task_definition = definition::active(desk, given)?;
    }
    if let Some(count) = desired(body)? {
        it.desired = count;
    }
    if body.get("networkConfiguration").is_some()
        && let Some(network) = network::given(desk, body, &it.task_definition)?
    {
        facts.insert("networkConfiguration".to_owned(), network);
    }
    network::check_targets(desk, body, &it.task_definition)?;
    let balancers =
        if body.get("loadBalancers").is_some() { body.get("loadBalancers") } else { facts.get("loadBalancers") };
    check_grace(body, balancers.and_then(Value::as_array).is_none_or(Vec::is_empty))?;
    keep(body, &mut facts);
    let forced = body.flag("forceNewDeployment")?.unwrap_or(false);
    let is_new = forced || it.task_definition != before.task_definition || facts != were;
    if is_new || it.desired != before.desired {
        let rollout = rollout(desk, &arn, &before);
        put(desk, &arn, it, Some(&rollout), is_new).await;
        desk.notes_mut().facts.entry(arn.clone()).or_default().insert(SERVICE, Value::Object(facts));
    }
    Ok(json!({"service": reply(desk, &arn, true)?}))
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let cluster = cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
    let arn = arn_of(desk, &cluster, body.required("service")?);
    let held = desk.picture().ecs.services.get(&arn).filter(|it| it.status != "INACTIVE");
    let mut it = held.cloned().ok_or_else(not_found)?;
    if it.status == "ACTIVE" {
        if !body.flag("force")?.unwrap_or(false) {
            if it.desired > 0 {
                return Err(invalid("The service cannot be stopped while it is scaled above 0."));
            }
            if rollout(desk, &arn, &it).running() > 0 {
                return Err(invalid("The service cannot be stopped while the primary deployment is scaled above 0."));
            }
        }
        "DRAINING".clone_into(&mut it.status);
        it.desired = 0;
        desk.emulator.put_service(&arn, &it).await;
        desk.look();
        desk.end(&arn, desk.settings.slow());
    }
    Ok(json!({"service": reply(desk, &arn, true)?}))
}

/// It has drained.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) {
    if let Some(mut it) = desk.picture().ecs.services.get(arn).cloned() {
        "INACTIVE".clone_into(&mut it.status);
        desk.emulator.put_service(arn, &it).await;
        desk.look();
    }
}

/// How many services a cluster has that are not gone.
pub(super) fn all_in(desk: &Desk<'_>, cluster: &str) -> usize {
    desk.picture().ecs.services.values().filter(|it| it.cluster == cluster && it.status != "INACTIVE").count()
}

/// How many of them are active.
pub(super) fn active_in(desk: &Desk<'_>, cluster: &str) -> usize {
    desk.picture().ecs.services.values().filter(|it| it.cluster == cluster && it.status == "ACTIVE").count()
}

/// The tasks of all services of a cluster.
pub(super) fn members(desk: &Desk<'_>, cluster: &str) -> Vec<Member> {
    let mut all = Vec::new();
    let of_cluster =
        desk.picture().ecs.services.iter().filter(|(_, it)| it.cluster == cluster && it.status == "ACTIVE");
    for (arn, it) in of_cluster {
        let rollout = rollout(desk, arn, it);
        for tasks in [Some(&rollout.primary), rollout.old.as_ref()].into_iter().flatten() {
            for n in 0..tasks.running + tasks.pending {
                all.push(Member {
                    number: tasks.number,
                    index: n,
                    service: it.name.clone(),
                    task_definition: tasks.task_definition.clone(),
                    is_running: n < tasks.running,
                });
            }
        }
    }
    all
}

/// Whether tasks have an interface in this subnet or security group.
pub(super) fn holds(desk: &Desk<'_>, id: &str) -> bool {
    desk.picture().ecs.services.iter().filter(|(_, it)| it.status == "ACTIVE").any(|(arn, it)| {
        network::has(&kept(desk, arn)["networkConfiguration"], id) && {
            let rollout = rollout(desk, arn, it);
            rollout.running() + rollout.primary.pending > 0
        }
    })
}

/// A service as in a reply.
fn reply(desk: &Desk<'_>, arn: &str, with_tags: bool) -> Result<Value, Refusal> {
    let it = desk.picture().ecs.services.get(arn).ok_or_else(not_found)?;
    let mut all = json!({
        "serviceArn": arn,
        "serviceName": it.name,
        "clusterArn": it.cluster,
        "status": it.status,
        "taskDefinition": it.task_definition,
        "desiredCount": it.desired,
        "runningCount": 0,
        "pendingCount": 0,
        "deployments": [],
        "events": [],
        "loadBalancers": [],
        "serviceRegistries": [],
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "enableECSManagedTags": false,
        "enableExecuteCommand": false,
        "propagateTags": "NONE",
        "deploymentConfiguration": {},
    });
    for (name, value) in kept(desk, arn).as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    if let Some(deployment) = all["deploymentConfiguration"].as_object_mut() {
        deployment.entry("maximumPercent").or_insert(json!(200));
        deployment.entry("minimumHealthyPercent").or_insert(json!(100));
        deployment.entry("deploymentCircuitBreaker").or_insert(json!({"enable": false, "rollback": false}));
    }
    if it.status == "ACTIVE" {
        let rollout = rollout(desk, arn, it);
        all["runningCount"] = json!(rollout.running());
        all["pendingCount"] = json!(rollout.primary.pending);
        all["deployments"] = json!(deployments(it, &rollout));
        all["events"] = json!([{"id": "5b0c5b0c-0000-4000-8000-000000000001", "message": event(desk, it, &rollout)}]);
    }
    if with_tags {
        all["tags"] = tags::written(&it.tags);
    }
    Ok(all)
}

fn deployments(it: &Service, rollout: &Rollout) -> Vec<Value> {
    let one = |tasks: &Tasks, status: &str, state: &str, desired: i32| {
        json!({
            "id": format!("ecs-svc/{}", tasks.number), "status": status, "taskDefinition": tasks.task_definition,
            "desiredCount": desired, "runningCount": tasks.running, "pendingCount": tasks.pending,
            "failedTasks": if state == "FAILED" { 10 } else { 0 }, "rolloutState": state,
        })
    };
    let mut all = vec![one(&rollout.primary, "PRIMARY", rollout.state, it.desired)];
    all.extend(rollout.old.as_ref().map(|old| one(old, "ACTIVE", "COMPLETED", 0)));
    all
}

fn event(desk: &Desk<'_>, it: &Service, rollout: &Rollout) -> String {
    let role = definition::unusable_role(desk, &it.task_definition).filter(|_| it.desired > 0);
    match role {
        Some(role) => format!(
            "(service {}) failed to launch a task with (error ECS was unable to assume the role '{role}').",
            it.name
        ),
        None if rollout.state == "COMPLETED" => format!("(service {}) has reached a steady state.", it.name),
        None => format!("(service {}) has started {} tasks.", it.name, rollout.primary.pending),
    }
}
