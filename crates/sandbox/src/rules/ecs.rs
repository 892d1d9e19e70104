//! ECS: clusters, task definitions, services, tasks.
//!
//! The emulator holds that they exist; what they are is in facts of the notes, as AWS writes it. Tasks of a service follow
//! from the service and the time: see [`service`].

mod cluster;
mod definition;
mod network;
mod service;
mod tags;
mod task;

use serde_json::Value;

use super::{Desk, is_write};
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::refusal::Refusal;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateCluster" => cluster::create(desk, body).await,
        "DescribeClusters" => cluster::describe(desk, body),
        "ListClusters" => cluster::list(desk, body),
        "UpdateCluster" | "UpdateClusterSettings" => cluster::update(desk, body),
        "PutClusterCapacityProviders" => cluster::put_providers(desk, body).await,
        "DeleteCluster" => cluster::delete(desk, body).await,
        "RegisterTaskDefinition" => definition::register(desk, body).await,
        "DescribeTaskDefinition" => definition::describe(desk, body),
        "ListTaskDefinitions" => definition::list(desk, body),
        "DeregisterTaskDefinition" => definition::deregister(desk, body).await,
        "CreateService" => service::create(desk, body).await,
        "DescribeServices" => service::describe(desk, body),
        "ListServices" => service::list(desk, body),
        "UpdateService" => service::update(desk, body).await,
        "DeleteService" => service::delete(desk, body).await,
        "RunTask" => task::run(desk, body).await,
        "DescribeTasks" => task::describe(desk, body),
        "ListTasks" => task::list(desk, body),
        "StopTask" => task::stop(desk, body).await,
        "ListTagsForResource" => tags::list(desk, body),
        "TagResource" => tags::tag(desk, body).await,
        // Tasks are held among them.
        action if action.contains("AccountSetting") || action == "StartTask" => {
            Err(Refusal::unknown_action(super::Service::Ecs, action))
        }
        action => {
            if is_write(action) && body.get("cluster").is_some_and(Value::is_string) {
                cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
            }
            // A call that has no more rules here yet.
            return desk.pass_on(input).await;
        }
    };
    reply.map(|reply| Answer::json(&reply))
}

/// The time of something has come: a service has drained, a task has ended, a cluster is no longer shown (the emulator
/// goes on holding that, as `INACTIVE`: see [`cluster`]).
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) -> Result<(), Refusal> {
    if arn.contains(":service/") {
        service::finish(desk, arn).await;
    } else if arn.contains(":task/") {
        task::finish(desk, arn).await;
    }
    Ok(())
}

/// Whether the network interface of a task is in this subnet or security group.
pub(super) fn holds(desk: &Desk<'_>, id: &str) -> bool {
    service::holds(desk, id) || task::holds(desk, id)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message.into())
}

fn client(message: impl Into<String>) -> Refusal {
    Refusal::new("ClientException", message.into())
}

/// One page of texts that are in order, with the token of the next one.
fn page(body: &Body, name: &str, all: &[String]) -> Result<Value, Refusal> {
    let size = body.number("maxResults")?.unwrap_or(100);
    let size = usize::try_from(size).ok().filter(|size| (1..=100).contains(size));
    let size = size.ok_or_else(|| invalid("maxResults must be between 1 and 100."))?;
    let start: usize = match body.text("nextToken")? {
        Some(token) => token.parse().map_err(|_| invalid("Invalid token."))?,
        None => 0,
    };
    let mut page = serde_json::json!({ name: all.iter().skip(start).take(size).collect::<Vec<_>>() });
    if all.len() > start + size {
        page["nextToken"] = Value::String((start + size).to_string());
    }
    Ok(page)
}
