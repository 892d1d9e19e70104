//! A service as it is: read by name, and waited for until it is steady or has no tasks.
//!
//! A service is steady when one deployment is left, it is complete, and as many tasks run as are desired. A deployment
//! that its circuit breaker has given up does not become so any more: that is an error, with what the service says.

use std::sync::{Mutex, PoisonError};

use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, Service, ServiceField};
use switchback_engine::Cx;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::Instant;

use super::{client, pair};
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::{EcsClusterName, EcsServiceName};
use crate::named::{Named, POLL};
use crate::tags::{self, Tags};

/// How many events of a service an error tells.
const EVENTS: usize = 3;

/// A service with its tags.
#[derive(Debug)]
pub(super) struct There {
    pub(super) service: Service,
    pub(super) tags: Tags,
}

/// How a service is called: within its cluster.
pub(super) fn called(cluster: &EcsClusterName, service: &EcsServiceName) -> String {
    format!("{cluster}/{service}")
}

impl Named for There {
    const WHAT: &'static str = "ECS service";

    /// `name` is `cluster/service`. In a cluster that is not there is no service.
    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let (cluster, service) = name.split_once('/').unwrap_or(("default", name));
        let ask = client(cx)?.describe_services().cluster(cluster).services(service).include(ServiceField::Tags);
        let reply = ask.send().await.map_err(|e| op_error(Call::new("ecs:DescribeServices", name), e));
        let Some(reply) = found(reply)? else { return Ok(None) };
        // What is not there is listed among the failures, as MISSING. Any other failure is no absence.
        if let Some(failure) = reply.failures().iter().find(|f| f.reason() != Some("MISSING")) {
            let reason = failure.reason().unwrap_or("without a reason");
            return Err(OpError::permanent(format!("`ecs:DescribeServices` for {name} failed: {reason}")));
        }
        let named = |s: &Service| s.service_name() == Some(service) && s.status() != Some("INACTIVE");
        let service = reply.services.unwrap_or_default().into_iter().find(named);
        Ok(service.map(|service| Self { tags: tags::read(service.tags().iter().map(pair)), service }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.service.service_arn().unwrap_or_default()
    }
}

/// What the service said last.
fn events(service: &Service) -> String {
    let said = service.events().iter().take(EVENTS).filter_map(|event| event.message());
    let said: Vec<_> = said.map(|text| text.trim_end_matches('.')).collect();
    if said.is_empty() { "nothing yet".to_owned() } else { said.join("; ") }
}

fn is_failed(deployment: &&Deployment) -> bool {
    deployment.rollout_state() == Some(&DeploymentRolloutState::Failed)
}

/// The deployment that ECS gave up, of this task definition if one is given.
pub(super) fn failed<'a>(service: &'a Service, task_definition: Option<&str>) -> Option<&'a Deployment> {
    let is_of = |it: &&Deployment| match task_definition {
        Some(wanted) => it.task_definition() == Some(wanted),
        None => it.status() == Some("PRIMARY"),
    };
    service.deployments().iter().filter(is_failed).find(is_of)
}

/// Whether nothing moves any more.
fn is_steady(service: &Service) -> bool {
    let all = service.deployments();
    let complete = |it: &Deployment| {
        it.rollout_state().is_none_or(|state| *state == DeploymentRolloutState::Completed)
            && it.running_count() == it.desired_count()
    };
    service.status() == Some("ACTIVE")
        && all.len() <= 1
        && all.iter().all(complete)
        && service.running_count() == service.desired_count()
        && service.pending_count() == 0
}

/// Waits until a service is steady with that task definition, whoever made it, and returns it. Another task
/// definition, or no service, is believed after the quiet period; so is another count, which auto scaling may have
/// moved and which is then taken as it is.
///
/// # Errors
/// Class `Permanent` when the deployment has failed, class `Drift` when the service is gone or runs something else, and
/// those of the wait, with what the service said last.
pub(super) async fn steady(cx: &Cx, name: &str, task_definition: &str, count: Option<i32>) -> OpResult<Service> {
    let quiet = cx.get::<AwsContext>()?.quiet();
    let begin = Instant::now();
    let wrong_since: Mutex<Option<Instant>> = Mutex::new(None);
    let said: Mutex<Option<String>> = Mutex::new(None);
    let wrong = |what: String| {
        let since = *lock(&wrong_since).get_or_insert_with(Instant::now);
        if since.elapsed() >= quiet { Err(OpError::drift(format!("ECS service `{name}` {what}"))) } else { Ok(None) }
    };
    let (said, wrong_since, wrong) = (&said, &wrong_since, &wrong);
    let look = || async move {
        let Some(There { service, .. }) = There::read(cx, name).await? else {
            return wrong("is no longer there".to_owned());
        };
        *lock(said) = Some(events(&service));
        if failed(&service, Some(task_definition)).is_some() {
            let message = format!("the deployment of {task_definition} to ECS service `{name}` has failed");
            return Err(OpError::permanent(format!("{message}: {}", events(&service))));
        }
        let runs = service.task_definition().unwrap_or_default();
        if runs != task_definition {
            let by = "put there by somebody else, or by its circuit breaker";
            return wrong(format!("runs {runs} and not {task_definition}, {by}: {}", events(&service)));
        }
        *lock(wrong_since) = None;
        let counted = count.is_none_or(|count| count == service.desired_count() || begin.elapsed() >= quiet);
        Ok((counted && is_steady(&service)).then_some(service))
    };
    let steady = cx.wait_for(&format!("waiting until ECS service `{name}` is steady"), POLL, look).await;
    steady.map_err(|e| with_events(e, lock(said).take()))
}

/// Waits until what this step made has no tasks any more.
///
/// # Errors
/// Class `Drift` when it is another's, and those of the wait, with what the service said last.
pub(super) async fn drained(cx: &Cx, name: &str) -> OpResult<()> {
    let said: Mutex<Option<String>> = Mutex::new(None);
    let said = &said;
    let look = || async move {
        let Some(there) = crate::named::ours::<There>(cx, name).await? else { return Ok(Some(())) };
        *lock(said) = Some(events(&there.service));
        let all = there.service.deployments();
        let tasks = all.iter().map(|it| it.running_count() + it.pending_count()).sum::<i32>()
            + there.service.running_count()
            + there.service.pending_count();
        Ok((tasks == 0).then_some(()))
    };
    let drained = cx.wait_for(&format!("waiting until ECS service `{name}` has no tasks"), POLL, look).await;
    drained.map_err(|e| with_events(e, lock(said).take()))
}

fn lock<T>(held: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wait that reached its deadline says why, as far as ECS does.
fn with_events(mut error: OpError, said: Option<String>) -> OpError {
    if let (ErrorClass::Permanent, None, Some(hint), Some(said)) = (error.class, &error.service, &mut error.hint, said)
    {
        *hint = format!("ECS said last: {said}; {hint}");
    }
    error
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const TD: &str = "arn:td:2";

    /// A service whose deployments are `(task definition, rollout state, running)`; the first one is primary.
    fn service(deployments: &[(&str, &str, i32)], desired: i32) -> Answer {
        let deployments: Vec<Value> = deployments
            .iter()
            .enumerate()
            .map(|(n, (td, state, running))| {
                json!({
                    "status": if n == 0 { "PRIMARY" } else { "ACTIVE" }, "taskDefinition": td, "rolloutState": state,
                    "desiredCount": desired, "runningCount": running,
                })
            })
            .collect();
        let running: i64 = deployments.iter().filter_map(|d| d["runningCount"].as_i64()).sum();
        let service = json!({
            "serviceName": "web", "status": "ACTIVE", "taskDefinition": deployments[0]["taskDefinition"],
            "desiredCount": desired, "runningCount": running, "pendingCount": 0, "deployments": deployments,
            "events": [{"message": "(service web) is unable to place a task."}],
        });
        Answer::Reply(200, json!({"services": [service]}).to_string().leak())
    }

    async fn waited(answers: impl IntoIterator<Item = Answer>, count: Option<i32>) -> OpResult<Service> {
        let cx = watched("web", Script::new(answers).config()).await.0;
        steady(&cx, "app/web", TD, count).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_steady_when_one_complete_deployment_is_left() {
        let moving = [
            service(&[(TD, "IN_PROGRESS", 0), ("arn:td:1", "COMPLETED", 2)], 2),
            service(&[(TD, "IN_PROGRESS", 2)], 2),
            service(&[(TD, "COMPLETED", 1)], 2),
            service(&[(TD, "COMPLETED", 2)], 2),
        ];
        assert_eq!(waited(moving, Some(2)).await.unwrap().running_count(), 2);
        assert_eq!(waited([service(&[(TD, "COMPLETED", 0)], 0)], None).await.unwrap().desired_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_that_is_another_is_waited_for_and_then_taken() {
        let old = service(&[(TD, "COMPLETED", 0)], 0);
        let answers = [old.clone(), old, service(&[(TD, "COMPLETED", 3)], 3)];
        assert_eq!(waited(answers, Some(3)).await.unwrap().desired_count(), 3);
        let scaled = std::iter::repeat_n(service(&[(TD, "COMPLETED", 5)], 5), 100);
        assert_eq!(waited(scaled, Some(3)).await.unwrap().desired_count(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_deployment_says_what_the_service_says() {
        let error = waited([service(&[(TD, "FAILED", 0)], 1)], None).await.unwrap_err();
        assert!(error.class == ErrorClass::Permanent && error.message.contains("unable to place a task"), "{error}");
        let back = service(&[("arn:td:1", "IN_PROGRESS", 1), (TD, "FAILED", 0)], 1);
        assert_eq!(waited([back], None).await.unwrap_err().class, ErrorClass::Permanent);
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_definition_is_drift_after_the_quiet_period() {
        let other = service(&[("arn:td:1", "COMPLETED", 1)], 1);
        let ours = service(&[(TD, "COMPLETED", 1)], 1);
        waited([other.clone(), ours], None).await.unwrap();
        let error = waited(std::iter::repeat_n(other, 100), None).await.unwrap_err();
        assert!(error.class == ErrorClass::Drift && error.message.contains("arn:td:1"), "{error}");
        let gone = Answer::Reply(200, r#"{"services":[],"failures":[{"reason":"MISSING"}]}"#);
        assert_eq!(waited(std::iter::repeat_n(gone, 100), None).await.unwrap_err().class, ErrorClass::Drift);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_says_what_the_service_said_last() {
        let never = std::iter::repeat_n(service(&[(TD, "IN_PROGRESS", 0)], 1), 1000);
        let error = waited(never, None).await.unwrap_err();
        assert!(error.hint.unwrap().contains("unable to place a task"), "{}", error.message);
    }
}
