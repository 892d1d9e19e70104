use aws_sdk_ecs::types::{
    CapacityProviderStrategyItem, ClusterConfiguration, ClusterField, ClusterSetting, ClusterSettingName,
    ExecuteCommandConfiguration, ExecuteCommandLogging, Tag,
};

use crate::support::{Aws, SETTLE, aws, refused};

fn with_all() -> Option<Vec<ClusterField>> {
    use ClusterField::{Attachments, Configurations, Settings, Tags};
    Some(vec![Attachments, Configurations, Settings, Tags])
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn item(name: &str, base: i32) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder().capacity_provider(name).weight(1).base(base).build().unwrap()
}

impl Aws {
    async fn cluster(&self, name: &str) -> String {
        let made = self.ecs.create_cluster().cluster_name(name).send().await.unwrap();
        made.cluster.unwrap().cluster_arn.unwrap()
    }

    async fn status(&self, name: &str) -> Option<String> {
        let found = self.ecs.describe_clusters().clusters(name).send().await.unwrap();
        found.clusters()[..].first().and_then(|it| it.status()).map(str::to_owned)
    }

    async fn task_definition(&self) {
        let container = aws_sdk_ecs::types::ContainerDefinition::builder().name("a").image("a").build();
        self.ecs.register_task_definition().family("app").container_definitions(container).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_cluster_is_what_was_asked_for() {
    let aws = aws();
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("enhanced").build();
    let execute = ExecuteCommandConfiguration::builder().logging(ExecuteCommandLogging::None).build();
    let made = aws
        .ecs
        .create_cluster()
        .cluster_name("app")
        .capacity_providers("FARGATE")
        .capacity_providers("FARGATE_SPOT")
        .default_capacity_provider_strategy(item("FARGATE_SPOT", 2))
        .settings(setting)
        .configuration(ClusterConfiguration::builder().execute_command_configuration(execute).build())
        .tags(tag("a", "b"));
    let made = made.send().await.unwrap().cluster.unwrap();
    assert_eq!((made.status(), made.attachments_status()), (Some("PROVISIONING"), Some("UPDATE_IN_PROGRESS")));
    aws.sandbox.clock().advance(SETTLE);
    for name in ["app", made.cluster_arn().unwrap()] {
        let found = aws.ecs.describe_clusters().clusters(name).set_include(with_all()).send().await.unwrap();
        let found = &found.clusters()[0];
        assert_eq!((found.status(), found.attachments_status()), (Some("ACTIVE"), Some("UPDATE_COMPLETE")));
        assert_eq!(found.capacity_providers(), ["FARGATE", "FARGATE_SPOT"]);
        let strategy = &found.default_capacity_provider_strategy()[0];
        assert_eq!((strategy.capacity_provider(), strategy.weight(), strategy.base()), ("FARGATE_SPOT", 1, 2));
        assert_eq!(found.settings()[0].value(), Some("enhanced"));
        let execute = found.configuration().unwrap().execute_command_configuration().unwrap();
        assert_eq!(execute.logging(), Some(&ExecuteCommandLogging::None));
        assert_eq!(found.tags(), [tag("a", "b")]);
    }
    let plain = aws.ecs.describe_clusters().clusters("app").send().await.unwrap();
    let plain = &plain.clusters()[0];
    assert!(plain.tags().is_empty() && plain.settings().is_empty() && plain.configuration().is_none());
    assert_eq!(aws.sandbox.world().await.counts["ecs-cluster"], 1);
}

#[tokio::test]
async fn creating_what_is_there_gives_it_back() {
    let aws = aws();
    let first = aws.ecs.create_cluster().cluster_name("app").tags(tag("a", "1")).send().await.unwrap();
    let again = aws.ecs.create_cluster().cluster_name("app").tags(tag("a", "2")).send().await.unwrap();
    let (first, again) = (first.cluster.unwrap(), again.cluster.unwrap());
    assert_eq!(first.cluster_arn(), again.cluster_arn());
    assert_eq!(again.tags(), [tag("a", "1")]);
    assert_eq!(aws.sandbox.world().await.total, 1);
    let unnamed = aws.ecs.create_cluster().send().await.unwrap().cluster.unwrap();
    assert_eq!(unnamed.cluster_name(), Some("default"));
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let aws = aws();
    aws.cluster("app").await;
    let found = aws.ecs.describe_clusters().clusters("app").clusters("none").send().await.unwrap();
    assert_eq!(found.clusters().len(), 1);
    let failure = &found.failures()[0];
    let arn = "arn:aws:ecs:us-east-1:123456789012:cluster/none";
    assert_eq!((failure.arn(), failure.reason()), (Some(arn), Some("MISSING")));
    refused(aws.ecs.delete_cluster().cluster("none").send().await, "ClusterNotFoundException");
    refused(aws.ecs.update_cluster().cluster("none").send().await, "ClusterNotFoundException");
    refused(aws.ecs.run_task().cluster("none").task_definition("a").send().await, "ClusterNotFoundException");
    refused(aws.ecs.list_tags_for_resource().resource_arn(arn).send().await, "ClusterNotFoundException");
}

#[tokio::test]
async fn parameters_of_a_cluster_are_checked() {
    let aws = aws();
    let create = || aws.ecs.create_cluster().cluster_name("app");
    let invalid = "InvalidParameterException";
    refused(aws.ecs.create_cluster().cluster_name("a/b").send().await, invalid);
    let unknown = refused(create().capacity_providers("NONE").send().await, invalid);
    assert!(unknown.contains("'NONE' was not found"), "{unknown}");
    refused(create().default_capacity_provider_strategy(item("FARGATE", 0)).send().await, invalid);
    let two = create().capacity_providers("FARGATE").capacity_providers("FARGATE_SPOT");
    let two = two.default_capacity_provider_strategy(item("FARGATE", 1));
    refused(two.default_capacity_provider_strategy(item("FARGATE_SPOT", 1)).send().await, invalid);
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("on").build();
    refused(create().settings(setting).send().await, invalid);
    refused(create().tags(tag("aws:a", "b")).send().await, invalid);
    assert!(aws.status("app").await.is_none(), "nothing was made");
}

#[tokio::test]
async fn a_deleted_cluster_is_inactive_and_then_gone_and_its_name_is_free() {
    let aws = aws();
    let made = aws.ecs.create_cluster().cluster_name("app").capacity_providers("FARGATE").tags(tag("a", "1"));
    let arn = made.send().await.unwrap().cluster.unwrap().cluster_arn.unwrap();
    refused(aws.ecs.delete_cluster().cluster("app").send().await, "UpdateInProgressException");
    aws.sandbox.clock().advance(SETTLE);
    let deleted = aws.ecs.delete_cluster().cluster(&arn).send().await.unwrap().cluster.unwrap();
    assert_eq!(deleted.status(), Some("INACTIVE"));
    assert_eq!(aws.status("app").await.as_deref(), Some("INACTIVE"));
    assert!(aws.ecs.list_clusters().send().await.unwrap().cluster_arns().is_empty());
    let inactive = refused(aws.ecs.delete_cluster().cluster("app").send().await, "ClusterNotFoundException");
    assert_eq!(inactive, "The referenced cluster was inactive.");
    let world = aws.sandbox.world().await;
    assert_eq!((world.total, world.residue.len()), (0, 1));

    let again = aws.ecs.create_cluster().cluster_name("app").tags(tag("b", "2")).send().await.unwrap();
    let again = again.cluster.unwrap();
    assert_eq!((again.status(), again.tags()), (Some("ACTIVE"), &[tag("b", "2")][..]));
    assert!(again.capacity_providers().is_empty());
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(aws.status("app").await.as_deref(), Some("ACTIVE"), "the old one's end is not the new one's");

    aws.ecs.delete_cluster().cluster("app").send().await.unwrap();
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(aws.status("app").await, None);
    aws.cluster("app").await;
    assert_eq!(aws.status("app").await.as_deref(), Some("ACTIVE"));
}

#[tokio::test]
async fn a_cluster_is_held_by_what_is_in_it() {
    let aws = aws();
    aws.cluster("app").await;
    aws.task_definition().await;
    let delete = || aws.ecs.delete_cluster().cluster("app").send();
    let service = aws.ecs.create_service().cluster("app").service_name("web").task_definition("app").desired_count(0);
    service.send().await.unwrap();
    refused(delete().await, "ClusterContainsServicesException");
    aws.ecs.delete_service().cluster("app").service("web").force(true).send().await.unwrap();

    let run = aws.ecs.run_task().cluster("app").task_definition("app").send().await.unwrap();
    refused(delete().await, "ClusterContainsTasksException");
    let found = aws.ecs.describe_clusters().clusters("app").send().await.unwrap();
    assert_eq!(found.clusters()[0].running_tasks_count(), 1);
    let task = run.tasks()[0].task_arn().unwrap();
    aws.ecs.stop_task().cluster("app").task(task).send().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn a_cluster_can_be_changed() {
    let aws = aws();
    aws.cluster("app").await;
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("enabled").build();
    aws.ecs.update_cluster().cluster("app").settings(setting).send().await.unwrap();
    let put = || aws.ecs.put_cluster_capacity_providers().cluster("app").set_capacity_providers(Some(Vec::new()));
    put().capacity_providers("FARGATE").default_capacity_provider_strategy(item("FARGATE", 0)).send().await.unwrap();
    let none = put().set_default_capacity_provider_strategy(Some(Vec::new()));
    refused(none.clone().send().await, "UpdateInProgressException");
    let found = aws.ecs.describe_clusters().clusters("app").set_include(with_all()).send().await.unwrap();
    let found = &found.clusters()[0];
    assert_eq!((found.settings()[0].value(), found.capacity_providers().len()), (Some("enabled"), 1));
    aws.sandbox.clock().advance(SETTLE);
    let found = none.send().await.unwrap().cluster.unwrap();
    assert!(found.capacity_providers().is_empty() && found.default_capacity_provider_strategy().is_empty());
}

#[tokio::test]
async fn tags_of_a_cluster_are_kept_added_and_taken_away() {
    let aws = aws();
    let made = aws.ecs.create_cluster().cluster_name("app").tags(tag("a", "1")).send().await.unwrap();
    let arn = made.cluster.unwrap().cluster_arn.unwrap();
    aws.ecs.tag_resource().resource_arn(&arn).tags(tag("b", "2")).send().await.unwrap();
    let tags = async || aws.ecs.list_tags_for_resource().resource_arn(&arn).send().await.unwrap().tags.unwrap();
    assert_eq!(tags().await, [tag("a", "1"), tag("b", "2")]);
    aws.ecs.untag_resource().resource_arn(&arn).tag_keys("a").send().await.unwrap();
    assert_eq!(tags().await, [tag("b", "2")]);
    let many = (0..50).map(|n| tag(&format!("k{n}"), "v")).collect();
    let many = aws.ecs.tag_resource().resource_arn(&arn).set_tags(Some(many));
    refused(many.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn settings_of_a_cluster_survive_a_snapshot() {
    let aws = aws();
    let setting = ClusterSetting::builder().name(ClusterSettingName::ContainerInsights).value("enhanced").build();
    aws.ecs.create_cluster().cluster_name("app").settings(setting).send().await.unwrap();
    let world = aws.sandbox.world().await;
    let snapshot = aws.sandbox.snapshot().await;
    aws.ecs.delete_cluster().cluster("app").send().await.unwrap();
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.sandbox.world().await, world);
    assert_eq!(aws.status("app").await.as_deref(), Some("ACTIVE"));
}
