//! ECS: clusters, task definitions, services.
//!
//! Clusters have rules. The others are the emulator's, but for one: they need a cluster that is active.

mod cluster;
mod tags;

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
        "ListTagsForResource" => tags::list(desk, body),
        "TagResource" => tags::tag(desk, body).await,
        action => {
            if is_write(action) && in_a_cluster(action, body) {
                cluster::active(desk, body.text("cluster")?.unwrap_or(cluster::DEFAULT))?;
            }
            // A call that has no more rules here yet.
            return desk.pass_on(input).await;
        }
    };
    reply.map(|reply| Answer::json(&reply))
}

/// A cluster is no longer shown. The emulator goes on holding it, as `INACTIVE`: see [`cluster`].
pub(super) fn finish(_desk: &mut Desk<'_>, _arn: &str) -> Result<(), Refusal> {
    Ok(())
}

/// Whether the call makes or changes something inside of a cluster; without one it is in the default one.
fn in_a_cluster(action: &str, body: &Body) -> bool {
    ["CreateService", "RunTask", "StartTask"].contains(&action) || body.get("cluster").is_some_and(Value::is_string)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterException", message.into())
}
