use aws_sdk_ecs::operation::create_service::builders::CreateServiceFluentBuilder;
use aws_sdk_ecs::operation::register_task_definition::builders::RegisterTaskDefinitionFluentBuilder;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, CapacityProviderStrategyItem, ClusterConfiguration, ClusterField, ClusterSetting,
    ClusterSettingName, Compatibility, ContainerDefinition, ContainerOverride, DeploymentCircuitBreaker,
    DeploymentConfiguration, DeploymentRolloutState, DesiredStatus, ExecuteCommandConfiguration, ExecuteCommandLogging,
    LaunchType, LoadBalancer, NetworkConfiguration, NetworkMode, PortMapping, Service, ServiceField, Tag, Task,
    TaskDefinitionField, TaskDefinitionStatus, TaskField, TaskOverride,
};
use switchback_sandbox::{Effect, Fault};

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

pub(crate) fn network(subnet: &str, group: &str) -> NetworkConfiguration {
    let vpc = AwsVpcConfiguration::builder().subnets(subnet).security_groups(group).build().unwrap();
    NetworkConfiguration::builder().awsvpc_configuration(vpc).build()
}

fn fargate(aws: &Aws, family: &str) -> RegisterTaskDefinitionFluentBuilder {
    let port = PortMapping::builder().container_port(80).build();
    let container = ContainerDefinition::builder().name("app").image("app:1").port_mappings(port).build();
    let register = aws.ecs.register_task_definition().family(family).container_definitions(container);
    let register = register.requires_compatibilities(Compatibility::Fargate).network_mode(NetworkMode::Awsvpc);
    register.cpu("256").memory("512")
}

/// A cluster `app`, a subnet and a security group in it, a revision of `app`.
async fn stage() -> (Aws, NetworkConfiguration, String, String) {
    let aws = aws();
    aws.cluster("app").await;
    let vpc = aws.vpc().await;
    let (subnet, group) = (aws.subnet(&vpc, "10.0.1.0/24").await, aws.default_group(&vpc).await);
    aws.definition("app").await;
    (aws, network(&subnet, &group), vpc, subnet)
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

    /// A revision for container instances.
    async fn definition_on_instances(&self, family: &str) {
        let container = ContainerDefinition::builder().name("a").image("a").build();
        self.ecs.register_task_definition().family(family).container_definitions(container).send().await.unwrap();
    }

    /// A revision for Fargate, with a container `app` that listens on port 80.
    pub(crate) async fn definition(&self, family: &str) -> String {
        let made = fargate(self, family).send().await.unwrap();
        made.task_definition.unwrap().task_definition_arn.unwrap()
    }

    /// A service `web` of that family.
    pub(crate) fn service(&self, cluster: &str, family: &str, count: i32) -> CreateServiceFluentBuilder {
        let create = self.ecs.create_service().cluster(cluster).service_name("web").task_definition(family);
        create.desired_count(count).launch_type(LaunchType::Fargate)
    }

    async fn web(&self) -> Option<Service> {
        let found =
            self.ecs.describe_services().cluster("app").services("web").include(ServiceField::Tags).send().await;
        found.unwrap().services.unwrap_or_default().pop()
    }

    /// How many tasks of `web` run, are pending, and are of the second deployment.
    async fn counts(&self) -> (i32, i32, usize) {
        let web = self.web().await.unwrap();
        (web.running_count(), web.pending_count(), web.deployments().len())
    }

    async fn task(&self, arn: &str) -> Task {
        let found = self.ecs.describe_tasks().cluster("app").tasks(arn).include(TaskField::Tags).send().await.unwrap();
        found.tasks.unwrap_or_default().pop().unwrap()
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
    aws.definition_on_instances("app").await;
    let delete = || aws.ecs.delete_cluster().cluster("app").send();
    let service = aws.ecs.create_service().cluster("app").service_name("web").task_definition("app").desired_count(0);
    service.send().await.unwrap();
    refused(delete().await, "ClusterContainsServicesException");
    aws.ecs.delete_service().cluster("app").service("web").force(true).send().await.unwrap();
    refused(delete().await, "ClusterContainsServicesException");
    aws.pass().await;

    let run = aws.ecs.run_task().cluster("app").task_definition("app").send().await.unwrap();
    refused(delete().await, "ClusterContainsTasksException");
    aws.pass().await;
    let found = aws.ecs.describe_clusters().clusters("app").send().await.unwrap();
    assert_eq!(found.clusters()[0].running_tasks_count(), 1);
    let task = run.tasks()[0].task_arn().unwrap();
    aws.ecs.stop_task().cluster("app").task(task).send().await.unwrap();
    refused(delete().await, "ClusterContainsTasksException");
    aws.pass().await;
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

#[tokio::test]
async fn revisions_count_on_and_are_shown_when_they_are_inactive() {
    let aws = aws();
    let first = fargate(&aws, "app").tags(tag("a", "1")).send().await.unwrap().task_definition.unwrap();
    assert_eq!((first.revision(), first.status()), (1, Some(&TaskDefinitionStatus::Active)));
    let container = &first.container_definitions()[0];
    assert_eq!(
        (container.essential(), container.port_mappings()[0].host_port()),
        (Some(true), Some(80)),
        "AWS's defaults"
    );
    aws.ecs.deregister_task_definition().task_definition("app:1").send().await.unwrap();
    aws.definition("app").await;
    let list = async |status: TaskDefinitionStatus| {
        let list = aws.ecs.list_task_definitions().family_prefix("app").status(status).send().await.unwrap();
        list.task_definition_arns
            .unwrap()
            .into_iter()
            .map(|arn| arn.rsplit_once('/').unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(TaskDefinitionStatus::Active).await, ["app:2"], "no number is used twice");
    assert_eq!(list(TaskDefinitionStatus::Inactive).await, ["app:1"]);
    let snapshot = aws.sandbox.snapshot().await;
    aws.sandbox.restore(&snapshot).await;
    let found = aws.ecs.describe_task_definition().task_definition("app:1").include(TaskDefinitionField::Tags);
    let found = found.send().await.unwrap();
    assert_eq!(found.tags(), [tag("a", "1")]);
    assert_eq!(found.task_definition().unwrap().container_definitions()[0].name(), Some("app"));
    refused(aws.ecs.describe_task_definition().task_definition("app:9").send().await, "ClientException");
    let world = aws.sandbox.world().await;
    assert_eq!((world.counts["ecs-task-definition"], world.residue.len()), (1, 1));
}

#[tokio::test]
async fn what_fargate_does_not_offer_is_refused() {
    let aws = aws();
    for wrong in [
        fargate(&aws, "a b"),
        fargate(&aws, "app").memory("1536"),
        fargate(&aws, "app").network_mode(NetworkMode::Bridge),
        fargate(&aws, "app").task_role_arn("App"),
        fargate(&aws, "app").set_container_definitions(None),
    ] {
        refused(wrong.send().await, "ClientException");
    }
}

#[tokio::test]
async fn tasks_come_up_and_a_new_revision_replaces_them() {
    let (aws, network, ..) = stage().await;
    aws.service("app", "app", 2).network_configuration(network).tags(tag("a", "1")).send().await.unwrap();
    assert_eq!(aws.counts().await, (0, 2, 1));
    assert_eq!(aws.web().await.unwrap().tags(), [tag("a", "1")]);
    aws.pass().await;
    assert_eq!(aws.counts().await, (2, 0, 1));
    let web = aws.web().await.unwrap();
    assert_eq!(web.deployments()[0].rollout_state(), Some(&DeploymentRolloutState::Completed));
    let list = aws.ecs.list_tasks().cluster("app").service_name("web").send().await.unwrap();
    assert_eq!(list.task_arns().len(), 2);
    assert_eq!(aws.task(&list.task_arns()[0]).await.last_status(), Some("RUNNING"));

    let second = aws.definition("app").await;
    let update = || aws.ecs.update_service().cluster("app").service("web");
    update().task_definition(&second).send().await.unwrap();
    let snapshot = aws.sandbox.snapshot().await;
    for _ in 0..2 {
        assert_eq!(aws.counts().await, (2, 2, 2), "the old ones run until the new ones do");
        aws.sandbox.restore(&snapshot).await;
    }
    aws.pass().await;
    assert_eq!(aws.counts().await, (2, 0, 1));
    update().desired_count(3).send().await.unwrap();
    assert_eq!(aws.counts().await, (2, 1, 1));
    aws.pass().await;
    update().desired_count(0).send().await.unwrap();
    assert_eq!(aws.counts().await, (3, 0, 1));
    aws.pass().await;
    assert_eq!(aws.counts().await, (0, 0, 1));
}

#[tokio::test]
async fn a_service_goes_step_by_step_and_blocks_its_name_meanwhile() {
    let (aws, network, vpc, subnet) = stage().await;
    let create = || aws.service("app", "app", 1).network_configuration(network.clone());
    create().send().await.unwrap();
    let invalid = "InvalidParameterException";
    assert!(refused(create().send().await, invalid).contains("not idempotent"));
    refused(aws.ecs.delete_cluster().cluster("app").send().await, "ClusterContainsServicesException");
    refused(aws.ec2.delete_subnet().subnet_id(&subnet).send().await, "DependencyViolation");
    let delete = || aws.ecs.delete_service().cluster("app").service("web").send();
    assert!(refused(delete().await, invalid).contains("scaled above 0"));
    aws.pass().await;
    aws.ecs.update_service().cluster("app").service("web").desired_count(0).send().await.unwrap();
    assert!(refused(delete().await, invalid).contains("scaled above 0"), "its task still stops");
    aws.pass().await;
    delete().await.unwrap();
    assert!(refused(create().send().await, invalid).contains("still Draining"));
    refused(aws.ecs.update_service().cluster("app").service("web").send().await, "ServiceNotActiveException");
    aws.pass().await;
    assert_eq!(aws.web().await.unwrap().status(), Some("INACTIVE"));
    refused(delete().await, "ServiceNotFoundException");
    aws.ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
    let other = aws.subnet(&vpc, "10.0.2.0/24").await;
    let group = aws.default_group(&vpc).await;
    aws.service("app", "app", 0).network_configuration(self::network(&other, &group)).send().await.unwrap();
    assert_eq!(aws.web().await.unwrap().status(), Some("ACTIVE"), "the name is free again");
}

#[tokio::test]
async fn parameters_of_a_service_are_checked() {
    let (aws, network, ..) = stage().await;
    let create = || aws.service("app", "app", 0).network_configuration(network.clone());
    let invalid = "InvalidParameterException";
    refused(aws.service("none", "app", 0).send().await, "ClusterNotFoundException");
    refused(create().task_definition("app:9").send().await, "ClientException");
    assert!(
        refused(aws.service("app", "app", 0).send().await, invalid).contains("Network Configuration must be provided")
    );
    let elsewhere = self::network("subnet-0123abcd", "sg-0123abcd");
    assert!(
        refused(create().network_configuration(elsewhere).send().await, invalid).contains("InvalidSubnetID.NotFound")
    );
    refused(create().health_check_grace_period_seconds(60).send().await, invalid);
    let both = item("FARGATE", 0);
    refused(create().capacity_provider_strategy(both).send().await, invalid);
    let balancer = |port: i32| {
        let target = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/a/1";
        LoadBalancer::builder().target_group_arn(target).container_name("app").container_port(port).build()
    };
    refused(create().load_balancers(balancer(81)).send().await, invalid);
    aws.definition_on_instances("instances").await;
    let on_fargate = refused(aws.service("app", "instances", 0).send().await, invalid);
    assert!(on_fargate.contains("does not support launch_type FARGATE"), "{on_fargate}");
    assert!(aws.web().await.is_none(), "nothing was made");
}

#[tokio::test]
async fn a_token_makes_one_service_and_one_task() {
    let (aws, network, ..) = stage().await;
    let create = || aws.service("app", "app", 0).client_token("t").network_configuration(network.clone()).send();
    let arn = |made: aws_sdk_ecs::operation::create_service::CreateServiceOutput| made.service.unwrap().service_arn;
    assert_eq!(arn(create().await.unwrap()), arn(create().await.unwrap()));
    let run = || {
        let run = aws.ecs.run_task().cluster("app").task_definition("app").client_token("t").started_by("t");
        run.launch_type(LaunchType::Fargate).network_configuration(network.clone()).send()
    };
    let (first, again) = (run().await.unwrap(), run().await.unwrap());
    assert_eq!(first.tasks()[0].task_arn(), again.tasks()[0].task_arn());
    assert_eq!(aws.ecs.list_tasks().cluster("app").started_by("t").send().await.unwrap().task_arns().len(), 1);
}

#[tokio::test]
async fn a_task_runs_to_its_end_and_stays_to_be_seen() {
    let (aws, network, _, subnet) = stage().await;
    let run = async |command: &str| {
        let over = ContainerOverride::builder().name("app").command("sh").command("-c").command(command).build();
        let run = aws.ecs.run_task().cluster("app").task_definition("app").started_by("me").tags(tag("a", "1"));
        let run = run.overrides(TaskOverride::builder().container_overrides(over).build());
        let run = run.launch_type(LaunchType::Fargate).network_configuration(network.clone()).send().await.unwrap();
        run.tasks()[0].task_arn().unwrap().to_owned()
    };
    let (well, badly, stopped) = (run("true").await, run("exit 3").await, run("true").await);
    assert_eq!(aws.task(&well).await.last_status(), Some("PENDING"));
    aws.pass().await;
    assert_eq!(aws.task(&well).await.last_status(), Some("RUNNING"));
    refused(aws.ec2.delete_subnet().subnet_id(&subnet).send().await, "DependencyViolation");
    aws.ecs.stop_task().cluster("app").task(&stopped).reason("enough").send().await.unwrap();
    aws.pass().await;
    for (arn, code) in [(&well, 0), (&badly, 3), (&stopped, 143)] {
        let task = aws.task(arn).await;
        assert_eq!((task.last_status(), task.containers()[0].exit_code()), (Some("STOPPED"), Some(code)));
        assert_eq!(task.tags(), [tag("a", "1")]);
    }
    assert_eq!(aws.task(&stopped).await.stopped_reason(), Some("enough"));
    let list =
        |status: DesiredStatus| aws.ecs.list_tasks().cluster("app").started_by("me").desired_status(status).send();
    assert!(list(DesiredStatus::Running).await.unwrap().task_arns().is_empty());
    assert_eq!(list(DesiredStatus::Stopped).await.unwrap().task_arns().len(), 3);
    let snapshot = aws.sandbox.snapshot().await;
    let world = aws.sandbox.world().await;
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.sandbox.world().await, world);
    assert_eq!((world.counts.get("ecs-task"), world.residue.len()), (None, 3));
    aws.ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
}

#[tokio::test]
async fn a_service_can_stay_unsteady_and_its_deployment_can_fail() {
    let (aws, network, ..) = stage().await;
    aws.sandbox.faults().add(Fault::new("CreateService", Effect::Stuck));
    aws.service("app", "app", 1).network_configuration(network.clone()).send().await.unwrap();
    aws.sandbox.clock().advance(SETTLE * 1000);
    assert_eq!(aws.counts().await, (0, 1, 1));
    aws.ecs.update_service().cluster("app").service("web").desired_count(0).send().await.unwrap();
    aws.pass().await;
    assert_eq!(aws.counts().await, (0, 0, 1), "a later change is not stuck");

    let role = "arn:aws:iam::123456789012:role/None";
    fargate(&aws, "app").task_role_arn(role).send().await.unwrap();
    let breaker = DeploymentCircuitBreaker::builder().enable(true).rollback(false).build();
    let update = aws.ecs.update_service().cluster("app").service("web").task_definition("app").desired_count(1);
    let deployment = DeploymentConfiguration::builder().deployment_circuit_breaker(breaker).build();
    update.deployment_configuration(deployment).send().await.unwrap();
    aws.pass().await;
    let web = aws.web().await.unwrap();
    assert_eq!(web.deployments()[0].rollout_state(), Some(&DeploymentRolloutState::Failed));
    assert!(web.events()[0].message().unwrap().contains(role));
    let run = aws.ecs.run_task().cluster("app").task_definition("app").launch_type(LaunchType::Fargate);
    let refusal = refused(run.network_configuration(network).send().await, "ClientException");
    assert!(refusal.contains("unable to assume the role"), "{refusal}");
}
