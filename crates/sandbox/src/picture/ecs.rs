//! ECS: clusters, task definitions, services, tasks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Thing;
use crate::query::Tags;

/// The section of ECS, each by its ARN. The tasks of services are not in it: they follow from the services.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ecs {
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) task_definitions: BTreeMap<String, TaskDefinition>,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Names of the capacity providers that were made here; AWS's own are not among them.
    pub(crate) capacity_providers: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) status: String,
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) strategy: Vec<StrategyItem>,
    pub(crate) container_instances: usize,
    pub(crate) tags: Tags,
}

/// One item of a default strategy.
#[derive(Debug, Clone)]
pub(crate) struct StrategyItem {
    pub(crate) provider: String,
    pub(crate) weight: i32,
    pub(crate) base: i32,
}

#[derive(Debug, Clone)]
pub(crate) struct TaskDefinition {
    pub(crate) family: String,
    pub(crate) revision: i32,
    /// `ACTIVE` or `INACTIVE`.
    pub(crate) status: String,
    pub(crate) task_role: Option<String>,
    pub(crate) execution_role: Option<String>,
    pub(crate) images: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// ARN of its cluster.
    pub(crate) cluster: String,
    pub(crate) task_definition: String,
    pub(crate) desired: i32,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub(crate) status: String,
    pub(crate) tags: Tags,
}

/// A task that belongs to no service.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// ARN of its cluster.
    pub(crate) cluster: String,
    /// As AWS shows it, but for what follows from the time. `lastStatus` is in it when the task has stopped.
    pub(crate) document: Value,
    pub(crate) tags: Tags,
}

impl Task {
    pub(crate) fn has_stopped(&self) -> bool {
        self.document["lastStatus"] == "STOPPED"
    }
}

impl StrategyItem {
    fn to_text(&self) -> String {
        format!("{} weight {} base {}", self.provider, self.weight, self.base)
    }
}

impl Ecs {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.clusters {
            let thing = Thing::new("ecs-cluster", &it.tags)
                .with("name", it.name.as_str())
                .with("capacity_providers", it.capacity_providers.clone())
                .with("strategy", it.strategy.iter().map(StrategyItem::to_text).collect::<Vec<_>>())
                .residue(it.status == "INACTIVE");
            all.insert(arn, thing);
        }
        for (arn, it) in &self.task_definitions {
            let thing = Thing::new("ecs-task-definition", &it.tags)
                .with("name", it.family.as_str())
                .with("task_role", it.task_role.clone())
                .with("execution_role", it.execution_role.clone())
                .with("images", it.images.clone())
                .residue(it.status != "ACTIVE");
            all.insert(arn, thing);
        }
        for (arn, it) in &self.services {
            let thing = Thing::new("ecs-service", &it.tags)
                .with("name", it.name.as_str())
                .with("cluster", it.cluster.as_str())
                .with("task_definition", it.task_definition.as_str())
                .with("desired", it.desired)
                .residue(it.status == "INACTIVE");
            all.insert(arn, thing);
        }
        for (arn, it) in &self.tasks {
            let thing = Thing::new("ecs-task", &it.tags)
                .with("cluster", it.cluster.as_str())
                .with("task_definition", it.document["taskDefinitionArn"].clone())
                .with("overrides", it.document["overrides"].clone())
                .with("containers", it.document["containers"].clone())
                .residue(it.has_stopped());
            all.insert(arn, thing);
        }
    }
}
