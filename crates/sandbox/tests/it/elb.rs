use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, LoadBalancerAttribute, LoadBalancerSchemeEnum, ProtocolEnum,
    RuleCondition, Tag, TargetDescription, TargetTypeEnum,
};

use crate::support::{Aws, SETTLE, aws, aws_from, filter, refused};

/// A VPC with two subnets in two zones.
struct Net {
    aws: Aws,
    vpc: String,
    subnets: [String; 2],
    group: String,
}

async fn net_of(aws: Aws) -> Net {
    let vpc = aws.vpc().await;
    let subnet = async |cidr: &str, zone: &str| {
        let made = aws.ec2.create_subnet().vpc_id(&vpc).cidr_block(cidr).availability_zone(zone).send().await;
        made.unwrap().subnet.unwrap().subnet_id.unwrap()
    };
    let subnets = [subnet("10.0.1.0/24", "us-east-1a").await, subnet("10.0.2.0/24", "us-east-1b").await];
    let group = aws.group(&vpc, "web").await;
    Net { aws, vpc, subnets, group }
}

async fn net() -> Net {
    net_of(aws()).await
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn forward(group: &str) -> Action {
    Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(group).build()
}

fn answer(status: &str) -> Action {
    let fixed = FixedResponseActionConfig::builder().status_code(status).build();
    Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(fixed).build()
}

type Create =
    aws_sdk_elasticloadbalancingv2::operation::create_load_balancer::builders::CreateLoadBalancerFluentBuilder;

impl Net {
    fn create(&self, name: &str) -> Create {
        let create = self.aws.elb.create_load_balancer().name(name).scheme(LoadBalancerSchemeEnum::Internal);
        create.set_subnets(Some(self.subnets.to_vec())).security_groups(&self.group)
    }

    async fn balancer(&self, name: &str) -> String {
        let made = self.create(name).tags(tag("a", "b")).send().await.unwrap();
        made.load_balancers.unwrap()[0].load_balancer_arn.clone().unwrap()
    }

    async fn targets(&self, name: &str) -> String {
        let create = self.aws.elb.create_target_group().name(name).protocol(ProtocolEnum::Http).port(8080);
        let made = create.vpc_id(&self.vpc).target_type(TargetTypeEnum::Ip).health_check_path("/health").send().await;
        made.unwrap().target_groups.unwrap()[0].target_group_arn.clone().unwrap()
    }

    async fn listener(&self, balancer: &str, port: i32, action: Action) -> String {
        let create = self.aws.elb.create_listener().load_balancer_arn(balancer).port(port);
        let made = create.protocol(ProtocolEnum::Http).default_actions(action).send().await.unwrap();
        made.listeners.unwrap()[0].listener_arn.clone().unwrap()
    }

    async fn state(&self, name: &str) -> String {
        let found = self.aws.elb.describe_load_balancers().names(name).send().await.unwrap();
        found.load_balancers()[0].state().unwrap().code().unwrap().as_str().to_owned()
    }

    async fn interfaces(&self) -> usize {
        let found = self.aws.ec2.describe_network_interfaces().filters(filter("vpc-id", &self.vpc));
        found.send().await.unwrap().network_interfaces().len()
    }

    async fn protect(&self, balancer: &str, on: &str) {
        let attribute = LoadBalancerAttribute::builder().key("deletion_protection.enabled").value(on).build();
        let modify = self.aws.elb.modify_load_balancer_attributes().load_balancer_arn(balancer);
        modify.attributes(attribute).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_load_balancer_serves_after_a_while_and_holds_its_subnets() {
    let net = net().await;
    let arn = net.balancer("web").await;
    assert_eq!(net.state("web").await, "provisioning");
    net.aws.sandbox.clock().advance(SETTLE);
    assert_eq!(net.state("web").await, "active");
    let found = net.aws.elb.describe_load_balancers().load_balancer_arns(&arn).send().await.unwrap();
    let it = &found.load_balancers()[0];
    assert_eq!((it.vpc_id(), it.security_groups()), (Some(net.vpc.as_str()), [net.group.clone()].as_slice()));
    assert_eq!(it.availability_zones().len(), 2);
    assert!(it.dns_name().unwrap().ends_with(".us-east-1.elb.amazonaws.com"));
    let suffix = arn.split_once(":loadbalancer/").unwrap().1;
    let held = net.aws.ec2.describe_network_interfaces().filters(filter("description", &format!("ELB {suffix}")));
    assert_eq!(held.send().await.unwrap().network_interfaces().len(), 2);
    refused(net.aws.ec2.delete_subnet().subnet_id(&net.subnets[0]).send().await, "DependencyViolation");
    refused(net.aws.ec2.delete_security_group().group_id(&net.group).send().await, "DependencyViolation");
    let tags = net.aws.elb.describe_tags().resource_arns(&arn).send().await.unwrap();
    assert_eq!(tags.tag_descriptions()[0].tags(), [tag("a", "b")]);
}

#[tokio::test]
async fn a_deleted_one_is_gone_at_once_and_its_interfaces_later() {
    let net = net().await;
    let arn = net.balancer("web").await;
    net.listener(&arn, 80, answer("404")).await;
    net.protect(&arn, "true").await;
    let delete = || net.aws.elb.delete_load_balancer().load_balancer_arn(&arn).send();
    refused(delete().await, "OperationNotPermitted");
    net.protect(&arn, "false").await;
    delete().await.unwrap();
    refused(net.aws.elb.describe_load_balancers().names("web").send().await, "LoadBalancerNotFound");
    assert_eq!((net.interfaces().await, net.aws.sandbox.world().await.of_kind("listener").count()), (2, 0));
    refused(net.aws.ec2.delete_subnet().subnet_id(&net.subnets[0]).send().await, "DependencyViolation");
    net.aws.sandbox.clock().advance(SETTLE);
    assert_eq!(net.interfaces().await, 0);
    net.aws.ec2.delete_subnet().subnet_id(&net.subnets[0]).send().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn creating_what_is_there_gives_it_back_or_is_refused() {
    let net = net().await;
    let arn = net.balancer("web").await;
    assert_eq!(net.balancer("web").await, arn);
    let other = net.create("web").scheme(LoadBalancerSchemeEnum::InternetFacing);
    refused(other.send().await, "InvalidSubnet");
    net.aws.attached(&net.vpc).await;
    let other = net.create("web").scheme(LoadBalancerSchemeEnum::InternetFacing);
    refused(other.send().await, "DuplicateLoadBalancerName");
    let group = net.targets("app").await;
    assert_eq!(net.targets("app").await, group);
    let other = net.aws.elb.create_target_group().name("app").protocol(ProtocolEnum::Http).port(80).vpc_id(&net.vpc);
    refused(other.send().await, "DuplicateTargetGroupName");
    let listener = net.listener(&arn, 80, forward(&group)).await;
    assert_eq!(net.listener(&arn, 80, forward(&group)).await, listener);
    let other = net.aws.elb.create_listener().load_balancer_arn(&arn).port(80).protocol(ProtocolEnum::Http);
    refused(other.default_actions(answer("404")).send().await, "DuplicateListener");
    assert_eq!(net.aws.sandbox.world().await.of_kind("load-balancer").count(), 1);
}

#[tokio::test]
async fn bad_load_balancers_are_refused() {
    let net = net().await;
    let one = |name: &str| net.aws.elb.create_load_balancer().name(name).scheme(LoadBalancerSchemeEnum::Internal);
    refused(one("web").subnets(&net.subnets[0]).send().await, "ValidationError");
    refused(one("web").subnets("subnet-12345678").send().await, "SubnetNotFound");
    let third = net.aws.ec2.create_subnet().vpc_id(&net.vpc).cidr_block("10.0.3.0/24").availability_zone("us-east-1a");
    let third = third.send().await.unwrap().subnet.unwrap().subnet_id.unwrap();
    refused(net.create("web").subnets(third).send().await, "InvalidConfigurationRequest");
    refused(net.create("we_b").send().await, "ValidationError");
    refused(net.create("web").security_groups("sg-12345678").send().await, "InvalidSecurityGroup");
    assert_eq!(net.interfaces().await, 0);
}

#[tokio::test]
async fn a_target_group_in_use_stays() {
    let net = net().await;
    let (arn, group) = (net.balancer("web").await, net.targets("app").await);
    let listener = net.listener(&arn, 80, forward(&group)).await;
    refused(net.aws.elb.delete_target_group().target_group_arn(&group).send().await, "ResourceInUse");
    let found = net.aws.elb.describe_target_groups().names("app").send().await.unwrap();
    let it = &found.target_groups()[0];
    assert_eq!((it.load_balancer_arns(), it.health_check_path()), ([arn.clone()].as_slice(), Some("/health")));
    assert_eq!((it.healthy_threshold_count(), it.matcher().unwrap().http_code()), (Some(5), Some("200")));
    let other = net.balancer("other").await;
    let create = net.aws.elb.create_listener().load_balancer_arn(&other).port(80).protocol(ProtocolEnum::Http);
    refused(create.default_actions(forward(&group)).send().await, "TargetGroupAssociationLimit");
    net.aws.elb.delete_listener().listener_arn(&listener).send().await.unwrap();
    net.aws.elb.delete_target_group().target_group_arn(&group).send().await.unwrap();
    refused(net.aws.elb.describe_target_groups().names("app").send().await, "TargetGroupNotFound");
}

#[tokio::test]
async fn rules_have_priorities() {
    let net = net().await;
    let arn = net.balancer("web").await;
    let listener = net.listener(&arn, 80, answer("404")).await;
    let create = |priority, status: &str| {
        let condition = RuleCondition::builder().field("path-pattern").values("/old/*").build();
        let create = net.aws.elb.create_rule().listener_arn(&listener).priority(priority);
        create.conditions(condition).actions(answer(status)).send()
    };
    create(20, "410").await.unwrap();
    create(10, "200").await.unwrap();
    refused(create(10, "500").await, "PriorityInUse");
    let found = net.aws.elb.describe_rules().listener_arn(&listener).send().await.unwrap();
    let priorities: Vec<_> = found.rules().iter().filter_map(|it| it.priority()).collect();
    assert_eq!(priorities, ["10", "20", "default"]);
    let rule = found.rules()[0].rule_arn().unwrap();
    net.aws.elb.delete_rule().rule_arn(rule).send().await.unwrap();
    refused(net.aws.elb.delete_rule().rule_arn(rule).send().await, "RuleNotFound");
}

#[tokio::test]
async fn a_target_is_healthy_when_something_has_its_address() {
    let net = net().await;
    let (arn, group) = (net.balancer("web").await, net.targets("app").await);
    net.aws.interface(&net.subnets[0], None).await;
    let found = net.aws.ec2.describe_network_interfaces().filters(filter("subnet-id", &net.subnets[0])).send().await;
    let addresses: Vec<String> =
        found.unwrap().network_interfaces().iter().filter_map(|it| Some(it.private_ip_address()?.to_owned())).collect();
    let target = |id: &str| TargetDescription::builder().id(id).build();
    let register = net.aws.elb.register_targets().target_group_arn(&group);
    register.targets(target(&addresses[0])).targets(target("10.0.9.9")).send().await.unwrap();
    let states = async || {
        let health = net.aws.elb.describe_target_health().target_group_arn(&group).send().await.unwrap();
        let state = |it: &aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription| {
            it.target_health().unwrap().state().unwrap().as_str().to_owned()
        };
        health.target_health_descriptions().iter().map(state).collect::<Vec<_>>()
    };
    assert_eq!(states().await, ["unused", "unused"]);
    net.listener(&arn, 80, forward(&group)).await;
    assert_eq!(states().await, ["healthy", "unhealthy"]);
    let deregister = net.aws.elb.deregister_targets().target_group_arn(&group).targets(target("10.0.9.9"));
    deregister.send().await.unwrap();
    assert_eq!(states().await, ["healthy"]);
}

#[tokio::test]
async fn a_snapshot_keeps_attributes_and_what_is_pending() {
    let net = net_of(aws_from(switchback_sandbox::Sandbox::builder().balancer_host("127.0.0.1"))).await;
    let arn = net.balancer("web").await;
    net.protect(&arn, "true").await;
    net.listener(&arn, 80, answer("404")).await;
    let (kept, before) = (net.aws.sandbox.snapshot().await, net.aws.sandbox.world().await);
    net.protect(&arn, "false").await;
    net.aws.elb.delete_load_balancer().load_balancer_arn(&arn).send().await.unwrap();
    net.aws.sandbox.restore(&kept).await;
    assert_eq!(net.aws.sandbox.world().await, before);
    assert_eq!(net.state("web").await, "provisioning");
    let found = net.aws.elb.describe_load_balancers().names("web").send().await.unwrap();
    assert_eq!(found.load_balancers()[0].dns_name(), Some("127.0.0.1"));
    let delete = net.aws.elb.delete_load_balancer().load_balancer_arn(&arn);
    refused(delete.send().await, "OperationNotPermitted");
}
