//! ECS: from the emulator's state view to the section of the picture.
//!
//! The view leaves out tasks, task sets and settings: they are lost by an edit and by a snapshot.

use winterbaume_ecs::EcsStateView;
use winterbaume_ecs::views::EcsTagView;

use crate::picture::ecs::{Cluster, Ecs, Service, TaskDefinition};
use crate::query::Tags;

/// Reads all that the view shows.
pub(super) fn picture_of(view: &EcsStateView) -> Ecs {
    let clusters = view.clusters.values().map(|it| {
        let cluster = Cluster {
            name: it.name.clone(),
            status: it.status.clone(),
            capacity_providers: it.capacity_providers.clone(),
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
    Ecs { clusters: clusters.collect(), task_definitions: task_definitions.collect(), services: services.collect() }
}

/// Those that came with the resource, and those that were added to its ARN.
fn tags(view: &EcsStateView, arn: &str, own: &[EcsTagView]) -> Tags {
    let added = view.resource_tags.get(arn).into_iter().flatten();
    own.iter().chain(added).map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}
