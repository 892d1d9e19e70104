//! ECS: from the emulator's state view to the section of the picture.
//!
//! The view leaves out tasks, task sets and settings: they are lost by an edit and by a snapshot. How many tasks run in
//! a cluster is in it.

use winterbaume_ecs::EcsStateView;
use winterbaume_ecs::views::{CapacityProviderStrategyItemView, EcsTagView};

use super::Emulator;
use crate::picture::ecs::{Cluster, Ecs, Service, StrategyItem, TaskDefinition};
use crate::query::Tags;

/// Reads all that the view shows.
pub(super) fn picture_of(view: &EcsStateView) -> Ecs {
    let clusters = view.clusters.values().map(|it| {
        let cluster = Cluster {
            name: it.name.clone(),
            status: it.status.clone(),
            capacity_providers: it.capacity_providers.clone(),
            strategy: it.default_capacity_provider_strategy.iter().map(strategy_item).collect(),
            running_tasks: usize::try_from(it.running_tasks_count).unwrap_or(0),
            container_instances: usize::try_from(it.registered_container_instances_count).unwrap_or(0),
            tags: tags(view, &it.arn, &it.tags),
        };
        (it.arn.clone(), cluster)
    });
    let task_definitions = view.task_definitions.values().map(|it| {
        let definition = TaskDefinition {
            family: it.family.clone(),
            revision: it.revision,
            status: it.status.clone(),
            task_role: it.task_role_arn.clone(),
            execution_role: it.execution_role_arn.clone(),
            images: it.container_definitions.iter().map(|of| of.image.clone()).collect(),
            tags: tags(view, &it.arn, &[]),
        };
        (it.arn.clone(), definition)
    });
    let services = view.services.values().map(|it| {
        let service = Service {
            name: it.name.clone(),
            cluster: it.cluster_arn.clone(),
            task_definition: it.task_definition.clone(),
            desired: it.desired_count,
            status: it.status.clone(),
            launch_type: it.launch_type.clone(),
            tags: tags(view, &it.arn, &it.tags),
        };
        (it.arn.clone(), service)
    });
    Ecs {
        clusters: clusters.collect(),
        task_definitions: task_definitions.collect(),
        services: services.collect(),
        capacity_providers: view.capacity_providers.keys().cloned().collect(),
    }
}

fn strategy_item(it: &CapacityProviderStrategyItemView) -> StrategyItem {
    StrategyItem { provider: it.capacity_provider.clone(), weight: it.weight, base: it.base }
}

impl Emulator {
    /// Makes a deleted cluster a new one, of which nothing but the name is old.
    pub(crate) async fn revive_cluster(&self, name: &str) {
        self.edit(|view: &mut EcsStateView| {
            let Some(cluster) = view.clusters.get_mut(name) else { return };
            cluster.status = "ACTIVE".to_owned();
            cluster.capacity_providers.clear();
            cluster.default_capacity_provider_strategy.clear();
            cluster.tags.clear();
            view.resource_tags.remove(&cluster.arn);
        })
        .await;
    }
}

/// Those that came with the resource, and those that were added to its ARN.
fn tags(view: &EcsStateView, arn: &str, own: &[EcsTagView]) -> Tags {
    let added = view.resource_tags.get(arn).into_iter().flatten();
    own.iter().chain(added).map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}
