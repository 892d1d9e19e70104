//! `probe.ecs_tasks`: as many tasks of an ECS service run as should.
//!
//! It changes nothing, so there is nothing to find, to undo or to restore. It counts the tasks themselves and not what the
//! service says of them: a task that has not come up, or that is being stopped, is not running.

use std::time::Duration;

use aws_sdk_ecs::types::DesiredStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_aws::errors::{Call, op_error};
use switchback_aws::ids::{EcsClusterName, EcsServiceName};
use switchback_aws::{AwsContext, patiently};
use switchback_engine::operation::ParamError;
use switchback_engine::runbook::parse_duration;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

/// The first pause between two looks.
const POLL: Duration = Duration::from_secs(1);
/// How many tasks one call describes.
const PAGE: usize = 100;
const WITHIN: Duration = Duration::from_secs(5 * 60);
/// What the calls themselves may take beside the wait.
const MARGIN: Duration = Duration::from_secs(60);

/// How many tasks of an ECS service run. It changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsTasksParams {
    /// The cluster.
    pub cluster: EcsClusterName,
    /// The service.
    pub service: EcsServiceName,
    /// How many tasks should run.
    pub running: usize,
    /// How long that may take, as `5m`. Five minutes when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// There is nothing that it could change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EcsTasksBefore {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EcsTasksOutput {
    /// How many tasks run.
    pub running: usize,
}

/// `probe.ecs_tasks`.
#[derive(Debug, Clone, Copy, Default)]
pub struct EcsTasks;

impl EcsTasksParams {
    fn called(&self) -> String {
        format!("{}/{}", self.cluster, self.service)
    }

    fn within(&self) -> Option<Duration> {
        self.within.as_deref().map_or(Some(WITHIN), parse_duration)
    }

    /// How many tasks run, and in which states the others are.
    async fn count(&self, cx: &Cx) -> OpResult<(usize, Vec<String>)> {
        let (client, name) = (cx.get::<AwsContext>()?.ecs(cx), self.called());
        let list = client.list_tasks().cluster(self.cluster.as_str()).service_name(self.service.as_str());
        let list = list.desired_status(DesiredStatus::Running).into_paginator().items().send();
        let arns = list.try_collect().await.map_err(|e| op_error(Call::new("ecs:ListTasks", &name), e))?;
        let (mut running, mut others) = (0, Vec::new());
        for page in arns.chunks(PAGE) {
            let ask = client.describe_tasks().cluster(self.cluster.as_str()).set_tasks(Some(page.to_vec()));
            let reply = ask.send().await.map_err(|e| op_error(Call::new("ecs:DescribeTasks", &name), e))?;
            for task in reply.tasks() {
                match task.last_status() {
                    Some("RUNNING") => running += 1,
                    status => others.push(status.unwrap_or("unknown").to_owned()),
                }
            }
        }
        Ok((running, others))
    }
}

impl Operation for EcsTasks {
    const KIND: &'static str = "probe.ecs_tasks";
    const VERSION: u32 = 1;
    type Params = EcsTasksParams;
    type Before = EcsTasksBefore;
    type Output = EcsTasksOutput;

    fn facts(&self, params: &EcsTasksParams) -> Facts {
        Facts {
            create_deadline: params.within().unwrap_or(WITHIN) + MARGIN,
            reads: vec!["ecs:ListTasks".into(), "ecs:DescribeTasks".into()],
            ..Facts::without_effect()
        }
    }

    fn example() -> Option<EcsTasksParams> {
        Some(EcsTasksParams {
            cluster: EcsClusterName::new("app"),
            service: EcsServiceName::new("web"),
            running: 2,
            within: Some("5m".to_owned()),
        })
    }

    fn check(&self, params: &EcsTasksParams) -> Result<(), Vec<ParamError>> {
        match params.within() {
            Some(within) if !within.is_zero() => Ok(()),
            _ => Err(vec![ParamError::new("within", "is a time, as `90s`, `5m` or `1h30m`")]),
        }
    }

    async fn capture(&self, _cx: &Cx, _params: &EcsTasksParams) -> OpResult<EcsTasksBefore> {
        Ok(EcsTasksBefore {})
    }

    async fn create(&self, _cx: &Cx, params: &EcsTasksParams, _before: &EcsTasksBefore) -> OpResult<EcsTasksOutput> {
        Ok(EcsTasksOutput { running: params.running })
    }

    async fn settle(
        &self,
        cx: &Cx,
        params: &EcsTasksParams,
        _before: &EcsTasksBefore,
        output: &EcsTasksOutput,
    ) -> OpResult<EcsTasksOutput> {
        let (name, wanted) = (params.called(), params.running);
        let until = tokio::time::Instant::now() + params.within().unwrap_or(WITHIN);
        let look = || async {
            let (running, others) = params.count(cx).await?;
            if running == wanted {
                return Ok(Some(()));
            }
            if tokio::time::Instant::now() < until {
                return Ok(None);
            }
            let more = if others.is_empty() { String::new() } else { format!(", others are {}", others.join(", ")) };
            let message = format!("{running} tasks of ECS service `{name}` run, not {wanted}{more}");
            Err(OpError::permanent(message).with_hint("see the events of the service and the logs of its tasks"))
        };
        cx.wait_for(&format!("waiting until {wanted} tasks of ECS service `{name}` run"), POLL, look).await?;
        Ok(output.clone())
    }

    async fn find(
        &self,
        _cx: &Cx,
        _params: &EcsTasksParams,
        _before: &EcsTasksBefore,
    ) -> OpResult<Found<EcsTasksOutput>> {
        Ok(Found::Absent)
    }

    async fn rollback(
        &self,
        _cx: &Cx,
        _params: &EcsTasksParams,
        _before: &EcsTasksBefore,
        _output: &EcsTasksOutput,
    ) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &EcsTasksParams,
        _before: &EcsTasksBefore,
        _output: Option<&EcsTasksOutput>,
        want: Expect,
    ) -> OpResult<Verdict> {
        // It had no effect: there is nothing to be gone.
        if want == Expect::RolledBack {
            return Ok(Verdict::new());
        }
        // Lists lag behind what `settle` has seen.
        let waiting_for =
            format!("waiting until {} tasks of ECS service `{}` can be seen", params.running, params.called());
        let is_right = |(running, _): &(usize, Vec<String>)| *running == params.running;
        let (running, others) = patiently(cx, &waiting_for, || params.count(cx), is_right).await?;
        let mut verdict = Verdict::new().compare("running tasks", params.running, running);
        verdict.observed = json!({"running": running, "others": others});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_no_effect_and_waits_as_long_as_it_says() {
        let params = EcsTasks::example().unwrap();
        EcsTasks.check(&params).unwrap();
        let facts = EcsTasks.facts(&params);
        assert!(facts.creates.is_empty() && facts.rolls_back.is_empty() && facts.quiet.is_zero());
        assert_eq!(facts.create_deadline, Duration::from_secs(360));
        for bad in ["", "5", "0s"] {
            let params = EcsTasksParams { within: Some(bad.to_owned()), ..params.clone() };
            assert_eq!(EcsTasks.check(&params).unwrap_err()[0].path, ["within"], "{bad}");
        }
    }
}
