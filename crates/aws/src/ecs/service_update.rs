//! `aws.ecs.service_update`: another task definition, or another number of tasks, for a service.
//!
//! `UpdateService` takes no token and leaves no tag, so the before-image decides: it is read again right before each
//! write. A task definition that is neither the before-image nor this step's was put there by somebody else.
//!
//! ```text
//! capture: before -> create: still before? update -> settle: steady -> ... -> rollback: ours? update, steady
//! ```
//!
//! The count is compared only where this step sets it, and it is no ground for drift on the way back: auto scaling may
//! have moved it, and the count of before is what is wanted then.

use std::time::Duration;

use aws_sdk_ecs::types::Service;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::deployment::{There, called, failed, steady};
use super::{check_name, client, unless_unseen};
use crate::calls::Calls;
use crate::errors::{Call, op_error};
use crate::ids::{EcsClusterName, EcsServiceName, TaskDefinitionArn};
use crate::named::{self, Named};
use crate::tags;

/// Images are pulled, targets become healthy, and the old tasks are drained.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// What an ECS service runs, and how many of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster (`UpdateService` cluster).
    pub cluster: EcsClusterName,
    /// The service (`UpdateService` service).
    pub service: EcsServiceName,
    /// The revision to run, from now on (`UpdateService` taskDefinition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<TaskDefinitionArn>,
    /// How many tasks, from now on (`UpdateService` desiredCount).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_count: Option<i32>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The revision that ran.
    pub task_definition: TaskDefinitionArn,
    /// How many tasks were desired.
    pub desired_count: i32,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The name of the service.
    pub service: EcsServiceName,
    /// The name of its cluster.
    pub cluster: EcsClusterName,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceUpdate;

/// What the service has now, compared with the two states that this step knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// What `capture` saw. First: what was so before and is asked for changes nothing.
    Before,
    /// What this step asks for.
    Ours,
    /// The revisions are those of one of the two, the count is of neither, or of the other.
    Counted,
    /// Neither.
    Other,
}

fn image(service: &Service) -> Before {
    Before {
        task_definition: TaskDefinitionArn::new(service.task_definition().unwrap_or_default()),
        desired_count: service.desired_count(),
    }
}

impl Params {
    fn called(&self) -> String {
        called(&self.cluster, &self.service)
    }

    fn output(&self) -> Output {
        Output { service: self.service.clone(), cluster: self.cluster.clone() }
    }

    /// What is wanted there: this step's, where it says, and the before-image elsewhere.
    fn ours(&self, before: &Before) -> Before {
        Before {
            task_definition: self.task_definition.clone().unwrap_or_else(|| before.task_definition.clone()),
            desired_count: self.desired_count.unwrap_or(before.desired_count),
        }
    }

    fn standing(&self, before: &Before, now: &Before) -> Standing {
        let ours = self.ours(before);
        let counted = |of: &Before| self.desired_count.is_none() || now.desired_count == of.desired_count;
        let runs = |of: &Before| self.task_definition.is_none() || now.task_definition == of.task_definition;
        match (runs(before), runs(&ours)) {
            (true, _) if counted(before) => Standing::Before,
            (_, true) if counted(&ours) => Standing::Ours,
            (false, false) => Standing::Other,
            _ => Standing::Counted,
        }
    }

    /// Right before a write.
    async fn read(&self, cx: &Cx) -> OpResult<Option<There>> {
        There::read(cx, &self.called()).await
    }

    async fn update(&self, cx: &Cx, to: &Before) -> OpResult<()> {
        let name = self.called();
        let revision = self.task_definition.as_ref().map(|_| to.task_definition.to_string());
        let update = client(cx)?.update_service().cluster(self.cluster.as_str()).service(self.service.as_str());
        let update =
            update.set_task_definition(revision).set_desired_count(self.desired_count.map(|_| to.desired_count));
        let done = update.send().await;
        done.map(|_| ()).map_err(|e| unless_unseen(op_error(Call::new("ecs:UpdateService", &name).just_made(), e)))
    }

    async fn until_steady(&self, cx: &Cx, at: &Before) -> OpResult<()> {
        let count = self.desired_count.map(|_| at.desired_count);
        steady(cx, &self.called(), at.task_definition.as_str(), count).await.map(|_| ())
    }

    fn drift(&self, now: &Before) -> OpError {
        let what = format!("{} with {} tasks", now.task_definition, now.desired_count);
        OpError::drift(format!("ECS service `{}` was changed by somebody else: it runs {what}", self.called()))
            .with_hint("see what it is to run, and set it as it should be")
    }
}

impl Operation for ServiceUpdate {
    const KIND: &'static str = "aws.ecs.service_update";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let (cluster, service) = (&params.cluster, &params.service);
        let calls = Calls {
            reads: &["ecs:DescribeServices"],
            creates: "ecs:UpdateService",
            settles: Vec::new(),
            rolls_back: vec!["ecs:UpdateService"],
            besides: &[],
        };
        Facts {
            proof: ProofKind::ByFind,
            create_deadline: DEADLINE,
            rollback_deadline: DEADLINE,
            arns: vec![format!("arn:{{partition}}:ecs:{{region}}:{{account}}:service/{cluster}/{service}")],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            cluster: EcsClusterName::new("app"),
            service: EcsServiceName::new("web"),
            task_definition: Some(TaskDefinitionArn::new("arn:aws:ecs:us-east-1:123456789012:task-definition/app:2")),
            desired_count: Some(2),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.cluster.as_str(), "cluster", &mut errors);
        check_name(params.service.as_str(), "service", &mut errors);
        if let Some(arn) = &params.task_definition {
            arn.check("task_definition", &mut errors);
        }
        if params.task_definition.is_none() && params.desired_count.is_none() {
            errors.push(ParamError::new("task_definition", "a `task_definition`, a `desired_count` or both are given"));
        }
        if params.desired_count.is_some_and(|count| count < 0) {
            errors.push(ParamError::new("desired_count", "is 0 or more"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        Ok(image(&named::existing::<There>(cx, &params.called()).await?.service))
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let now = image(&named::existing::<There>(cx, &params.called()).await?.service);
        match params.standing(before, &now) {
            Standing::Before => {}
            Standing::Ours => {
                let message = format!("ECS service `{}` is as it is asked to be by now", params.called());
                return Err(OpError::new(ErrorClass::AlreadyExists, message));
            }
            Standing::Counted | Standing::Other => return Err(params.drift(&now)),
        }
        params.update(cx, &params.ours(before)).await?;
        Ok(params.output())
    }

    async fn settle(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Output> {
        let at = match &params.task_definition {
            Some(_) => params.ours(before),
            // What runs is not this step's: it is taken as it is.
            None => {
                let now = image(&named::existing::<There>(cx, &params.called()).await?.service);
                Before { task_definition: now.task_definition, ..params.ours(before) }
            }
        };
        params.until_steady(cx, &at).await?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let Some(there) = params.read(cx).await? else { return Ok(Found::Absent) };
        let now = image(&there.service);
        let is_of_run = tags::are_of_run(cx, there.tags());
        Ok(match params.standing(before, &now) {
            Standing::Before => Found::Absent,
            Standing::Ours => {
                let proof = if is_of_run { Proof::Strong } else { Proof::Weak };
                Found::Ours { output: params.output(), proof }
            }
            Standing::Counted | Standing::Other => {
                let (runs, count) = (now.task_definition, now.desired_count);
                Found::Foreign { what: format!("{count} tasks of {runs} in ECS service `{}`", params.called()) }
            }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let Some(there) = params.read(cx).await? else { return Ok(Undo::Nothing) };
        let now = image(&there.service);
        let undo = match params.standing(before, &now) {
            Standing::Before => Undo::Nothing,
            Standing::Other => return Err(params.drift(&now)),
            Standing::Ours | Standing::Counted => {
                params.update(cx, before).await?;
                Undo::Done
            }
        };
        let task_definition = if params.task_definition.is_some() { before } else { &now }.task_definition.clone();
        params.until_steady(cx, &Before { task_definition, ..before.clone() }).await?;
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.called();
        let Some(there) = params.read(cx).await? else {
            // With the service, what this step did is gone as well.
            return Ok(Verdict::new().compare(format!("ECS service `{name}` exists"), want == Expect::Created, false));
        };
        let wanted = if want == Expect::Created { params.ours(before) } else { before.clone() };
        let now = image(&there.service);
        let mut verdict = Verdict::new();
        if params.task_definition.is_some() {
            let (wanted, now) = (wanted.task_definition.as_str(), now.task_definition.as_str());
            verdict = verdict.compare("task_definition", wanted, now);
        }
        if params.desired_count.is_some() {
            verdict = verdict.compare("desired_count", wanted.desired_count, now.desired_count);
        }
        if want == Expect::Created {
            verdict = verdict.compare("its deployment has failed", false, failed(&there.service, None).is_some());
        }
        verdict.observed = json!({
            "service": params.service, "cluster": params.cluster, "task_definition": now.task_definition,
            "desired_count": now.desired_count, "running_count": there.service.running_count(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const OLD: &str = "arn:aws:ecs:us-east-1:1:task-definition/app:1";
    const NEW: &str = "arn:aws:ecs:us-east-1:1:task-definition/app:2";

    fn params(task_definition: Option<&str>, desired_count: Option<i32>) -> Params {
        let task_definition = task_definition.map(TaskDefinitionArn::new);
        Params { task_definition, desired_count, ..ServiceUpdate::example().unwrap() }
    }

    fn at(task_definition: &str, desired_count: i32) -> Before {
        Before { task_definition: TaskDefinitionArn::new(task_definition), desired_count }
    }

    fn service(task_definition: &str, count: i32) -> Answer {
        let service: Value = json!({
            "serviceName": "web", "status": "ACTIVE", "taskDefinition": task_definition, "desiredCount": count,
            "runningCount": count,
        });
        Answer::Reply(200, json!({"services": [service]}).to_string().leak())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        ServiceUpdate.check(&ServiceUpdate::example().unwrap()).unwrap();
        assert!(ServiceUpdate.check(&params(None, None)).is_err());
        assert!(ServiceUpdate.check(&params(None, Some(-1))).is_err());
        assert!(ServiceUpdate.check(&params(Some("app:2"), None)).is_err());
        ServiceUpdate.check(&params(None, Some(0))).unwrap();
    }

    #[test]
    fn only_what_the_step_sets_is_compared() {
        let before = at(OLD, 1);
        for (params, now, standing) in [
            (params(Some(NEW), None), at(OLD, 7), Standing::Before),
            (params(Some(NEW), None), at(NEW, 7), Standing::Ours),
            (params(Some(NEW), None), at("other", 1), Standing::Other),
            (params(None, Some(3)), at("other", 1), Standing::Before),
            (params(None, Some(3)), at("other", 3), Standing::Ours),
            (params(None, Some(3)), at("other", 5), Standing::Counted),
            (params(Some(NEW), Some(3)), at(NEW, 3), Standing::Ours),
            (params(Some(NEW), Some(3)), at(NEW, 5), Standing::Counted),
            (params(Some(NEW), Some(3)), at(OLD, 3), Standing::Counted),
            (params(Some(OLD), Some(1)), at(OLD, 1), Standing::Before),
        ] {
            assert_eq!(params.standing(&before, &now), standing, "{now:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_moved_since_the_capture_is_not_written_over() {
        let script = Script::new([service("other", 1), service(NEW, 3)]);
        let (cx, watch) = watched("update", script.config()).await;
        let params = params(Some(NEW), Some(3));
        for class in [ErrorClass::Drift, ErrorClass::AlreadyExists] {
            assert_eq!(ServiceUpdate.create(&cx, &params, &at(OLD, 1)).await.unwrap_err().class, class);
        }
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "DescribeServices"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_restores_also_a_count_that_auto_scaling_moved() {
        let done = Answer::Reply(200, "{}");
        let script = Script::new([
            service(NEW, 5),
            done,
            service(OLD, 1),
            service(OLD, 1),
            service(OLD, 1),
            service("other", 3),
        ]);
        let cx = watched("update", script.config()).await.0;
        let (params, before) = (params(Some(NEW), Some(3)), at(OLD, 1));
        let out = params.output();
        assert_eq!(ServiceUpdate.rollback(&cx, &params, &before, &out).await.unwrap(), Undo::Done);
        assert!(script.bodies.lock().unwrap()[1].contains(r#""desiredCount":1"#));
        assert_eq!(ServiceUpdate.rollback(&cx, &params, &before, &out).await.unwrap(), Undo::Nothing);
        let error = ServiceUpdate.rollback(&cx, &params, &before, &out).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
    }
}
