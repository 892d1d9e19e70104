//! ECS: from the emulator's state view to the section of the picture, and the edits of it.
//!
//! The view leaves out tasks, task sets and settings: they are lost by an edit and by a snapshot. So tasks are held here
//! as account settings, each under its ARN, which no caller sees; the emulator's own tasks are not used.

use serde_json::Value;
use winterbaume_ecs::EcsStateView;
use winterbaume_ecs::views::{
    CapacityProviderStrategyItemView, ContainerDefinitionView, EcsAccountSettingView, EcsServiceDefView, EcsTagView,
    TaskDefinitionView,
};

use super::Emulator;
use crate::picture::ecs::{Cluster, Ecs, Service, StrategyItem, Task, TaskDefinition};
use crate::query::Tags;

/// Reads all that the view shows.
pub(super) fn picture_of(view: &EcsStateView) -> Ecs {
    let clusters = view.clusters.values().map(|it| {
        let cluster = Cluster {
            name: it.name.clone(),
            status: it.status.clone(),
            capacity_providers: it.capacity_providers.clone(),
            strategy: it.default_capacity_provider_strategy.iter().map(strategy_item).collect(),
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
            tags: tags(view, &it.arn, &it.tags),
        };
        (it.arn.clone(), service)
    });
    let tasks = view.account_settings.values().filter(|it| it.name.contains(":task/")).map(|it| {
        let document = serde_json::from_str(&it.value).unwrap_or(Value::Null);
        let task = Task { cluster: it.principal_arn.clone(), document, tags: tags(view, &it.name, &[]) };
        (it.name.clone(), task)
    });
    Ecs {
        clusters: clusters.collect(),
        task_definitions: task_definitions.collect(),
        services: services.collect(),
        tasks: tasks.collect(),
        capacity_providers: view.capacity_providers.keys().cloned().collect(),
    }
}

fn strategy_item(it: &CapacityProviderStrategyItemView) -> StrategyItem {
    StrategyItem { provider: it.capacity_provider.clone(), weight: it.weight, base: it.base }
}

fn tag_views(tags: &Tags) -> Vec<EcsTagView> {
    tags.iter().map(|(key, value)| EcsTagView { key: key.clone(), value: value.clone() }).collect()
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

    /// A revision, new or as it is now.
    pub(crate) async fn put_task_definition(&self, arn: &str, it: &TaskDefinition) {
        self.edit(|view: &mut EcsStateView| {
            let container = |image: &String| ContainerDefinitionView {
                name: String::new(),
                image: image.clone(),
                cpu: 0,
                memory: None,
                memory_reservation: None,
                essential: true,
                environment: Vec::new(),
                log_configuration: None,
                port_mappings: Vec::new(),
            };
            let definition = TaskDefinitionView {
                family: it.family.clone(),
                revision: it.revision,
                arn: arn.to_owned(),
                container_definitions: it.images.iter().map(container).collect(),
                status: it.status.clone(),
                network_mode: String::new(),
                task_role_arn: it.task_role.clone(),
                execution_role_arn: it.execution_role.clone(),
                requires_compatibilities: Vec::new(),
                cpu: None,
                memory: None,
            };
            view.task_definitions.insert(arn.to_owned(), definition);
            view.resource_tags.insert(arn.to_owned(), tag_views(&it.tags));
        })
        .await;
    }

    /// A service, new or as it is now.
    pub(crate) async fn put_service(&self, arn: &str, it: &Service) {
        self.edit(|view: &mut EcsStateView| {
            let service = EcsServiceDefView {
                name: it.name.clone(),
                arn: arn.to_owned(),
                cluster_arn: it.cluster.clone(),
                task_definition: it.task_definition.clone(),
                desired_count: it.desired,
                running_count: 0,
                pending_count: 0,
                status: it.status.clone(),
                scheduling_strategy: "REPLICA".to_owned(),
                launch_type: String::new(),
                tags: Vec::new(),
                load_balancers: Vec::new(),
                deployment_controller_type: "ECS".to_owned(),
            };
            view.services.insert(arn.to_owned(), service);
            view.resource_tags.insert(arn.to_owned(), tag_views(&it.tags));
        })
        .await;
    }

    /// The tags of what was put here.
    pub(crate) async fn put_ecs_tags(&self, arn: &str, tags: &Tags) {
        self.edit(|view: &mut EcsStateView| {
            view.resource_tags.insert(arn.to_owned(), tag_views(tags));
        })
        .await;
    }

    /// A task, new or as it is now.
    pub(crate) async fn put_task(&self, arn: &str, it: &Task) {
        self.edit(|view: &mut EcsStateView| {
            let task = EcsAccountSettingView {
                name: arn.to_owned(),
                value: it.document.to_string(),
                principal_arn: it.cluster.clone(),
            };
            view.account_settings.insert(arn.to_owned(), task);
            view.resource_tags.insert(arn.to_owned(), tag_views(&it.tags));
        })
        .await;
    }
}

/// Those that came with the resource, and those that were added to its ARN.
fn tags(view: &EcsStateView, arn: &str, own: &[EcsTagView]) -> Tags {
    let added = view.resource_tags.get(arn).into_iter().flatten();
    own.iter().chain(added).map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}
