//! `aws.ecs.run_task`: one task, run once to its end, such as a schema migration.
//!
//! The step is done when the task has stopped and its essential containers have ended with exit code 0. What a task has
//! done no call takes back: the step may say how a second task undoes it (`undo`), or it stays. That second task is
//! started once, with a token of its own that follows from the step's, and is found by who started it. It should do no
//! harm when it is run twice: ECS lists a stopped task for about an hour only, and what is looked for later is not
//! found.
//!
//! ```text
//! create: run -> settle: stopped with 0? -> ... -> rollback: stop if it runs; run `undo`, stopped with 0?
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::types::{Container, DesiredStatus, Task, TaskField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo as Undone, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::form::{filled, to_sdk};
use super::network::{CapacityProviderStrategyItem, LaunchType, NetworkConfiguration, TaskOverride, check_capacity};
use super::{all_tags, check_name, client, pair, task_definition, unless_unseen};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{EcsClusterName, EcsTaskArn, TaskDefinitionArn};
use crate::named::{POLL, patiently};
use crate::tags;

/// A migration takes its time; a step's `timeout` may say another one.
const DEADLINE: Duration = Duration::from_secs(60 * 60);
const STOPPED: &str = "STOPPED";
/// The reason that ECS keeps with a task that is stopped by an unwind.
const REASON: &str = "unwound by switchback";

/// One ECS task, run once to its end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster (`RunTask` cluster).
    pub cluster: EcsClusterName,
    /// The revision to run (`RunTask` taskDefinition). A container that only accompanies the others is not essential in
    /// it, or its end counts as well.
    pub task_definition: TaskDefinitionArn,
    /// What it runs on (`RunTask` launchType).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<LaunchType>,
    /// Which of the cluster's capacity it runs on, instead of a launch type (`RunTask` capacityProviderStrategy).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    /// Where it runs; wanted where the task definition has the network mode `awsvpc` (`RunTask` networkConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// What is other than in the task definition: commands, variables (`RunTask` overrides).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// A second task, on the way back, that undoes what this one does. Without it that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// Tags, beside those that say whose it is (`RunTask` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The task that undoes another: the same but for its overrides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// What is other than in the task definition: commands, variables (`RunTask` overrides).
    pub overrides: TaskOverride,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The ARN of the task.
    pub task_arn: EcsTaskArn,
    /// With what its containers ended, by name; none while it runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exit_codes: BTreeMap<String, i32>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunTask;

fn has_stopped(task: &Task) -> bool {
    task.last_status() == Some(STOPPED)
}

fn exit_codes(task: &Task) -> BTreeMap<String, i32> {
    let code = |c: &Container| Some((c.name()?.to_owned(), c.exit_code()?));
    task.containers().iter().filter_map(code).collect()
}

/// In words, how a stopped task failed; none when every essential container ended with 0.
fn failure(task: &Task, essential: &[String]) -> Option<String> {
    let is_essential = |c: &&Container| c.name().is_some_and(|name| essential.iter().any(|e| e == name));
    let of = |c: &Container| {
        let name = c.name().unwrap_or_default();
        let because = c.reason().map_or_else(String::new, |reason| format!(" ({reason})"));
        match c.exit_code() {
            Some(0) => None,
            Some(code) => Some(format!("container {name} ended with exit code {code}{because}")),
            None => Some(format!("container {name} did not run{because}")),
        }
    };
    let mut all: Vec<_> = task.containers().iter().filter(is_essential).filter_map(of).collect();
    if task.containers().is_empty() {
        all.push("no container of it ran".to_owned());
    }
    if all.is_empty() {
        return None;
    }
    let why = task
        .stopped_reason()
        .map_or_else(String::new, |reason| format!("; ECS says: {}", reason.trim_end_matches('.')));
    Some(format!("{}{why}", all.join(", ")))
}

impl Params {
    async fn run(&self, cx: &Cx, token: &str, by: &str, overrides: Option<&TaskOverride>) -> OpResult<EcsTaskArn> {
        let about = format!("{} in {}", self.task_definition, self.cluster);
        let call = Call::new("ecs:RunTask", &about).just_made();
        let reply = client(cx)?
            .run_task()
            .client_token(token)
            .started_by(by)
            .cluster(self.cluster.as_str())
            .task_definition(self.task_definition.as_str())
            .count(1)
            .set_launch_type(to_sdk(self.launch_type.as_ref())?)
            .set_capacity_provider_strategy(filled(&self.capacity_provider_strategy)?)
            .set_network_configuration(to_sdk(self.network_configuration.as_ref())?)
            .set_overrides(to_sdk(overrides)?)
            .set_tags(all_tags(cx, &self.tags))
            .send()
            .await
            .map_err(|e| unless_unseen(op_error(call, e)))?;
        if let Some(arn) = reply.tasks().iter().find_map(Task::task_arn) {
            return Ok(EcsTaskArn::new(arn));
        }
        // It is a success as a whole, and says why nothing was started.
        let Some(failure) = reply.failures().first() else { return Err(nameless("ecs:RunTask", &about)) };
        let reason = failure.reason().unwrap_or("without a reason");
        let mut error = OpError::permanent(format!("`ecs:RunTask` for {about} started nothing: {reason}"));
        if reason.starts_with("Capacity is unavailable") {
            error.class = ErrorClass::Busy;
        }
        Err(error)
    }

    /// Tasks by their ARNs, as far as ECS shows them.
    async fn read(&self, cx: &Cx, arns: Vec<String>) -> OpResult<Vec<Task>> {
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let about = arns.join(", ");
        let ask =
            client(cx)?.describe_tasks().cluster(self.cluster.as_str()).set_tasks(Some(arns)).include(TaskField::Tags);
        let reply = found(ask.send().await.map_err(|e| op_error(Call::new("ecs:DescribeTasks", &about), e)))?;
        Ok(reply.and_then(|reply| reply.tasks).unwrap_or_default())
    }

    async fn read_one(&self, cx: &Cx, arn: &EcsTaskArn) -> OpResult<Option<Task>> {
        Ok(self.read(cx, vec![arn.to_string()]).await?.into_iter().next())
    }

    /// This step's tasks that were started so, also those that have stopped, as long as ECS lists them.
    async fn started(&self, cx: &Cx, by: &str) -> OpResult<Vec<Task>> {
        let mut arns = Vec::new();
        for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
            let list = client(cx)?.list_tasks().cluster(self.cluster.as_str()).started_by(by).desired_status(status);
            let reply = list.send().await.map_err(|e| op_error(Call::new("ecs:ListTasks", by), e));
            arns.extend(found(reply)?.and_then(|reply| reply.task_arns).unwrap_or_default());
        }
        let tasks = self.read(cx, arns).await?;
        let is_ours = |task: &Task| tags::are_of_step(cx, &tags::read(task.tags().iter().map(pair)));
        Ok(tasks.into_iter().filter(is_ours).collect())
    }

    /// Waits until a task has stopped. One that cannot be seen is believed to be forgotten after the quiet period.
    async fn stopped(&self, cx: &Cx, arn: &EcsTaskArn) -> OpResult<Task> {
        let seen = format!("waiting until ECS task {arn} can be seen");
        if patiently(cx, &seen, || self.read_one(cx, arn), Option::is_some).await?.is_none() {
            return Err(OpError::drift(format!("ECS shows no task {arn}: how it ended is not known"))
                .with_hint("ECS forgets a stopped task after about an hour: see its logs"));
        }
        let look = || async { Ok(self.read_one(cx, arn).await?.filter(has_stopped)) };
        cx.wait_for(&format!("waiting until ECS task {arn} has stopped"), POLL, look).await
    }

    /// The containers with which the task ends.
    async fn essential(&self, cx: &Cx) -> OpResult<Vec<String>> {
        let there = task_definition::read(cx, self.task_definition.as_str()).await?;
        let containers = there.map(|there| there.definition.container_definitions.unwrap_or_default());
        let containers = containers.unwrap_or_default().into_iter();
        Ok(containers.filter(|c| c.essential() != Some(false)).filter_map(|c| c.name).collect())
    }

    /// # Errors
    /// Class `Permanent` when the task has failed.
    async fn has_ended_well(&self, cx: &Cx, task: &Task) -> OpResult<()> {
        match failure(task, &self.essential(cx).await?) {
            None => Ok(()),
            Some(why) => {
                let arn = task.task_arn().unwrap_or_default();
                Err(OpError::permanent(format!("ECS task {arn} failed: {why}")).with_hint("see its logs"))
            }
        }
    }
}

/// Who starts the task that undoes: it follows from the step's token.
fn undoing(cx: &Cx) -> String {
    format!("{}-undo", cx.token())
}

fn output(task: &Task) -> Option<Output> {
    let exit_codes = if has_stopped(task) { exit_codes(task) } else { BTreeMap::new() };
    Some(Output { task_arn: EcsTaskArn::new(task.task_arn()?), exit_codes })
}

impl Operation for RunTask {
    const KIND: &'static str = "aws.ecs.run_task";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        // One that still runs is stopped, whether or not another one undoes what it did.
        let (back, besides) = match params.undo {
            Some(_) => ("ecs:RunTask", vec!["ecs:StopTask", "ecs:TagResource", "iam:PassRole"]),
            None => ("ecs:StopTask", Vec::new()),
        };
        let calls = Calls {
            reads: &["ecs:ListTasks", "ecs:DescribeTasks", "ecs:DescribeTaskDefinition"],
            creates: "ecs:RunTask",
            settles: Vec::new(),
            rolls_back: vec![back],
            besides: &["ecs:TagResource", "iam:PassRole"],
        };
        let what = match params.undo {
            Some(_) => "ECS lists the two stopped tasks for about an hour",
            None => "what the task did stays: the step gives no `undo`",
        };
        Facts {
            residue: vec![what.to_owned()],
            create_deadline: DEADLINE,
            rollback_deadline: DEADLINE,
            extra_undo_actions: besides.into_iter().map(Into::into).collect(),
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let overrides = |command: &str| {
            let environment = json!([{"name": "LOG_LEVEL", "value": "debug"}]);
            json!({"container_overrides": [{"name": "app", "command": ["migrate", command], "environment": environment}]})
        };
        let params = json!({
            "cluster": "app",
            "task_definition": "arn:aws:ecs:us-east-1:123456789012:task-definition/migrations:1",
            "launch_type": "FARGATE",
            "network_configuration": {"awsvpc_configuration": {
                "subnets": ["subnet-0a1b2c3d4e5f60718"], "security_groups": ["sg-0a1b2c3d4e5f60718"],
            }},
            "overrides": overrides("up"),
            "undo": {"overrides": overrides("down")},
            "tags": {"Environment": "production"},
        });
        serde_json::from_value(params).ok()
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.cluster.as_str(), "cluster", &mut errors);
        params.task_definition.check("task_definition", &mut errors);
        check_capacity(params.launch_type.as_ref(), &params.capacity_provider_strategy, &mut errors);
        if let Some(network) = &params.network_configuration {
            network.check(&mut errors);
        }
        for (field, overrides) in
            [("overrides", params.overrides.as_ref()), ("undo", params.undo.as_ref().map(|undo| &undo.overrides))]
        {
            let containers = overrides.iter().flat_map(|o| o.container_overrides.iter().flatten());
            if containers.clone().any(|c| c.name.as_deref().unwrap_or_default().is_empty()) {
                errors.push(ParamError::new(field, "each of `container_overrides` has the `name` of a container"));
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// There is nothing that a task could be mistaken for.
    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Absent> {
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let task_arn = params.run(cx, cx.token(), cx.token(), params.overrides.as_ref()).await?;
        Ok(Output { task_arn, exit_codes: BTreeMap::new() })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let task = params.stopped(cx, &out.task_arn).await?;
        params.has_ended_well(cx, &task).await?;
        Ok(Output { exit_codes: exit_codes(&task), ..out.clone() })
    }

    /// A task that another one has undone is as if it had not been.
    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        if params.undo.is_some() && !params.started(cx, &undoing(cx)).await?.is_empty() {
            return Ok(Found::Absent);
        }
        Ok(match params.started(cx, cx.token()).await?.first().and_then(output) {
            Some(output) => Found::Ours { output, proof: Proof::Strong },
            None => Found::Absent,
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undone> {
        let (mut undone, arn) = (Undone::Nothing, &out.task_arn);
        if params.read_one(cx, arn).await?.is_some_and(|task| !has_stopped(&task)) {
            let stop = client(cx)?.stop_task().cluster(params.cluster.as_str()).task(arn.as_str()).reason(REASON);
            stop.send().await.map_err(|e| op_error(Call::new("ecs:StopTask", arn.as_str()), e))?;
            params.stopped(cx, arn).await?;
            undone = Undone::Done;
        }
        let Some(undo) = &params.undo else { return Ok(undone) };
        let (by, essential) = (undoing(cx), params.essential(cx).await?);
        let tasks = params.started(cx, &by).await?;
        let has_failed = |task: &&Task| has_stopped(task) && failure(task, &essential).is_some();
        let failed = tasks.iter().filter(has_failed).count();
        let going = tasks.iter().find(|task| !has_failed(task)).and_then(|task| task.task_arn());
        let second = match going {
            Some(arn) => EcsTaskArn::new(arn),
            None => {
                undone = Undone::Done;
                // Each attempt that has failed gives the next one a token of its own, which a repeated call has again.
                let token = if failed == 0 { by.clone() } else { format!("{by}-{failed}") };
                params.run(cx, &token, &by, Some(&undo.overrides)).await?
            }
        };
        let task = params.stopped(cx, &second).await?;
        params.has_ended_well(cx, &task).await?;
        Ok(undone)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let task = match out {
            Some(out) => params.read_one(cx, &out.task_arn).await?,
            None => params.started(cx, cx.token()).await?.into_iter().next(),
        };
        let essential = params.essential(cx).await?;
        let undone = match &params.undo {
            Some(_) => params.started(cx, &undoing(cx)).await?,
            None => Vec::new(),
        };
        let ended_well = |task: &Task| has_stopped(task) && failure(task, &essential).is_none();
        let mut verdict = Verdict::new();
        if want == Expect::RolledBack {
            let runs = task.as_ref().is_some_and(|task| !has_stopped(task));
            verdict = verdict.compare("the task runs", false, runs);
            if params.undo.is_some() {
                verdict =
                    verdict.compare("the task that undoes it has ended well", true, undone.iter().any(ended_well));
            }
            return Ok(verdict);
        }
        let observed = match &task {
            Some(task) => {
                verdict = verdict.compare("last_status", STOPPED, task.last_status()).compare(
                    "failure",
                    json!(null),
                    json!(failure(task, &essential)),
                );
                json!({"exit_codes": exit_codes(task), "stopped_reason": task.stopped_reason(), "shown": true})
            }
            // How it ended was seen and is on record.
            None => {
                let ended = out.is_some_and(|out| !out.exit_codes.is_empty());
                verdict = verdict.compare("it was seen to end", true, ended);
                json!({"exit_codes": out.map(|out| &out.exit_codes), "shown": false})
            }
        };
        verdict = verdict.compare("another task has undone it", false, !undone.is_empty());
        verdict.observed = observed;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params() -> Params {
        RunTask::example().unwrap()
    }

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn task(status: &str, code: Option<i32>) -> Answer {
        let tag = |key: &str, value: &str| json!({"key": key, "value": value});
        let run = tag("switchback:run", "00000000-0000-0000-0000-000000000007");
        reply(&json!({"tasks": [{
            "taskArn": "arn:t", "lastStatus": status, "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "app", "exitCode": code}, {"name": "logger", "exitCode": 143}],
            "tags": [run, tag("switchback:step", "task"), tag("switchback:generation", "1")],
        }]}))
    }

    fn definition() -> Answer {
        let containers = json!([{"name": "app"}, {"name": "logger", "essential": false}]);
        reply(&json!({"taskDefinition": {"containerDefinitions": containers}}))
    }

    fn list(arns: &[&str]) -> Answer {
        reply(&json!({"taskArns": arns}))
    }

    fn made() -> Output {
        Output { task_arn: EcsTaskArn::new("arn:t"), exit_codes: BTreeMap::new() }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        RunTask.check(&params()).unwrap();
        let mut nameless = params();
        nameless.undo = Some(serde_json::from_value(json!({"overrides": {"container_overrides": [{}]}})).unwrap());
        assert_eq!(RunTask.check(&nameless).unwrap_err()[0].path, ["undo"]);
    }

    #[test]
    fn without_an_undo_what_it_did_stays() {
        let facts = RunTask.facts(&params());
        assert_eq!(facts.rolls_back, ["ecs:RunTask"]);
        let facts = RunTask.facts(&Params { undo: None, ..params() });
        assert_eq!(facts.rolls_back, ["ecs:StopTask"]);
        assert!(facts.residue[0].contains("stays"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_essential_containers_count() {
        let script =
            Script::new([task("RUNNING", None), task("RUNNING", None), task("STOPPED", Some(0)), definition()]);
        let cx = watched("task", script.config()).await.0;
        let settled = RunTask.settle(&cx, &params(), &Absent {}, &made()).await.unwrap();
        assert_eq!(settled.exit_codes, BTreeMap::from([("app".to_owned(), 0), ("logger".to_owned(), 143)]));
        let script = Script::new([task("STOPPED", Some(3)), task("STOPPED", Some(3)), definition()]);
        let cx = watched("task", script.config()).await.0;
        let error = RunTask.settle(&cx, &params(), &Absent {}, &made()).await.unwrap_err();
        assert!(error.message.contains("app ended with exit code 3; ECS says: Essential"), "{error}");
        let script = Script::new([task("STOPPED", None), task("STOPPED", None), definition()]);
        let cx = watched("task", script.config()).await.0;
        let error = RunTask.settle(&cx, &params(), &Absent {}, &made()).await.unwrap_err();
        assert!(error.message.contains("app did not run"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_started_says_why() {
        let failure = |reason: &str| reply(&json!({"tasks": [], "failures": [{"reason": reason}]}));
        let script = Script::new([failure("RESOURCE:MEMORY"), failure("Capacity is unavailable at this time.")]);
        let cx = watched("task", script.config()).await.0;
        for class in [ErrorClass::Permanent, ErrorClass::Busy] {
            assert_eq!(RunTask.create(&cx, &params(), &Absent {}).await.unwrap_err().class, class);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_and_again_only_when_that_failed() {
        let script = Script::new([
            // It has stopped; no other task was started.
            task("STOPPED", Some(0)),
            definition(),
            list(&[]),
            list(&[]),
            reply(&json!({"tasks": [{"taskArn": "arn:u"}]})),
            task("STOPPED", Some(0)),
            task("STOPPED", Some(0)),
            definition(),
            // Again: the other one has ended.
            task("STOPPED", Some(0)),
            definition(),
            list(&[]),
            list(&["arn:u"]),
            task("STOPPED", Some(0)),
            task("STOPPED", Some(0)),
            task("STOPPED", Some(0)),
            definition(),
            // The other one has failed.
            task("STOPPED", Some(0)),
            definition(),
            list(&[]),
            list(&["arn:u"]),
            task("STOPPED", Some(1)),
            reply(&json!({"tasks": [{"taskArn": "arn:v"}]})),
            task("STOPPED", Some(0)),
            task("STOPPED", Some(0)),
            definition(),
        ]);
        let (cx, watch) = watched("task", script.config()).await;
        for undo in [Undone::Done, Undone::Nothing, Undone::Done] {
            assert_eq!(RunTask.rollback(&cx, &params(), &Absent {}, &made()).await.unwrap(), undo);
        }
        assert_eq!(watch.calls.lock().unwrap().iter().filter(|c| c.operation == "RunTask").count(), 2);
        let bodies = script.bodies.lock().unwrap();
        assert!(
            bodies[4].contains(r#""clientToken":"token-undo""#)
                && bodies[4].contains(r#""command":["migrate","down"]"#)
        );
        assert!(bodies[21].contains(r#""clientToken":"token-undo-1""#), "{}", bodies[21]);
    }
}
