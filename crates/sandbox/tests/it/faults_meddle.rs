use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType};
use aws_sdk_ecs::types::LaunchType;
use switchback_sandbox::{Effect, Fault, Meddling, Sandbox, World};

use crate::rds::{Db, db};
use crate::support::{Aws, aws, credentials, refused, tagged};

const TRUST: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
const DOCUMENT: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;

/// What each operation of Switchback makes, where that is a resource of its own; last what the way back makes.
const MADE: &[(&str, &str)] = &[
    ("aws.ec2.vpc", "vpc"),
    ("aws.ec2.subnet", "subnet"),
    ("aws.ec2.internet_gateway", "internet-gateway"),
    ("aws.ec2.internet_gateway_attachment", ""),
    ("aws.ec2.security_group", "security-group"),
    ("aws.ec2.security_group_rule", "security-group-rule"),
    ("aws.ec2.elastic_ip", "elastic-ip"),
    ("aws.ec2.nat_gateway", "natgateway"),
    ("aws.ec2.route_table", "route-table"),
    ("aws.ec2.route", ""),
    ("aws.ec2.route_table_association", ""),
    ("aws.ec2.vpc_endpoint", "vpc-endpoint"),
    ("aws.iam.role", "iam-role"),
    ("aws.iam.role_policy_attachment", ""),
    ("aws.iam.policy", "iam-policy"),
    ("aws.iam.role_inline_policy", ""),
    ("aws.kms.key", "kms-key"),
    ("aws.kms.alias", "kms-alias"),
    ("aws.ecr.lifecycle_policy", ""),
    ("aws.ecr.repository", "ecr-repository"),
    ("aws.ecs.cluster", "ecs-cluster"),
    ("aws.ecs.run_task", "ecs-task"),
    ("aws.ecs.service", "ecs-service"),
    ("aws.ecs.service_update", ""),
    ("aws.ecs.task_definition", "ecs-task-definition"),
    ("aws.logs.log_group", "log-group"),
    ("aws.secretsmanager.secret", "secret"),
    ("aws.secretsmanager.secret_value", ""),
    ("aws.ssm.parameter", "parameter"),
    ("aws.servicediscovery.private_dns_namespace", "namespace"),
    ("aws.servicediscovery.service", "discovery-service"),
    ("aws.rds.db_cluster", "db-cluster"),
    ("aws.rds.db_cluster_parameter_group", "db-cluster-parameter-group"),
    ("aws.rds.db_instance", "db-instance"),
    ("aws.rds.db_subnet_group", "db-subnet-group"),
    ("aws.rds.db_cluster", "db-cluster-snapshot"),
    ("aws.rds.db_instance", "db-snapshot"),
];

/// A world with one of each kind, none of which AWS made.
async fn one_of_each() -> Db {
    let db = db().await;
    let aws = &db.aws;
    aws.allow(&db.group, 443, "10.0.0.0/8").await;
    let range = IpRange::builder().cidr_ip("10.1.0.0/16").build();
    let out = IpPermission::builder().ip_protocol("tcp").from_port(1).to_port(2).ip_ranges(range).build();
    aws.ec2.authorize_security_group_egress().group_id(&db.group).ip_permissions(out).send().await.unwrap();
    aws.attached(&db.vpc).await;
    aws.nat(&db.subnets[0]).await;
    let table = aws.table(&db.vpc).await;
    let endpoint = aws.ec2.create_vpc_endpoint().vpc_id(&db.vpc).service_name("com.amazonaws.us-east-1.s3");
    endpoint.route_table_ids(table).send().await.unwrap();
    aws.iam.create_role().role_name("tasks").assume_role_policy_document(TRUST).send().await.unwrap();
    aws.iam.create_policy().policy_name("read").policy_document(DOCUMENT).send().await.unwrap();
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    aws.kms.create_key().send().await.unwrap();
    aws.kms.create_alias().alias_name("alias/app").target_key_id(key).send().await.unwrap();
    aws.ecr.create_repository().repository_name("app/web").send().await.unwrap();
    aws.ecs.create_cluster().cluster_name("app").send().await.unwrap();
    aws.logs.create_log_group().log_group_name("/app/web").send().await.unwrap();
    aws.secrets.create_secret().name("app/db").secret_string("x").send().await.unwrap();
    aws.parameter("/app/host", "x").send().await.unwrap();
    let namespace = aws.namespace("local", &db.vpc).await;
    aws.discovery.create_service().name("web").namespace_id(namespace).send().await.unwrap();
    let group = aws.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name("app");
    group.db_parameter_group_family("aurora-postgresql15").description("x").send().await.unwrap();
    db.cluster("one").await;
    db.member("m", "one").await;
    db.create_alone("alone").send().await.unwrap();
    db.wait();
    let take = aws.rds.create_db_cluster_snapshot().db_cluster_identifier("one");
    take.db_cluster_snapshot_identifier("last").send().await.unwrap();
    let take = aws.rds.create_db_snapshot().db_instance_identifier("alone").db_snapshot_identifier("last");
    take.send().await.unwrap();
    db.wait();
    // Last: a task ends by itself.
    aws.definition("app").await;
    let network = crate::ecs::network(&db.subnets[0], &db.group);
    aws.service("app", "app", 0).network_configuration(network.clone()).send().await.unwrap();
    let run = aws.ecs.run_task().cluster("app").task_definition("app").launch_type(LaunchType::Fargate);
    run.network_configuration(network).send().await.unwrap();
    db
}

fn ids(world: &World) -> Vec<(String, String)> {
    let own = world.resources.iter().filter(|it| !it.default);
    own.map(|it| (it.kind.clone(), it.id.clone())).collect()
}

/// What is not equal in both worlds.
fn differing(a: &World, b: &World) -> BTreeSet<String> {
    let only = |a: &World, b: &World| {
        let held = a.resources.iter().filter(|it| !b.resources.contains(it));
        held.map(|it| it.id.clone()).collect::<Vec<_>>()
    };
    only(a, b).into_iter().chain(only(b, a)).collect()
}

#[tokio::test]
async fn somebody_changes_every_kind_that_operations_make() {
    let db = one_of_each().await;
    let sandbox = &db.aws.sandbox;
    let all = ids(&sandbox.world().await);
    let kinds: BTreeSet<&str> = all.iter().map(|(kind, _)| kind.as_str()).collect();
    let made: BTreeSet<&str> = MADE.iter().map(|(_, kind)| *kind).filter(|kind| !kind.is_empty()).collect();
    // What comes along with a NAT gateway is its own.
    assert_eq!(kinds.difference(&made).collect::<Vec<_>>(), [&"network-interface"]);
    assert_eq!(made.difference(&kinds).next(), None);
    let start = sandbox.snapshot().await;
    sandbox.faults().forget_calls();
    for (kind, id) in all.iter().filter(|(kind, _)| kind != "network-interface") {
        sandbox.restore(&start).await;
        let before = sandbox.world().await;
        let meddled = sandbox.meddle(id, Meddling::Change).await.unwrap_or_else(|| panic!("no row for {kind}"));
        assert_eq!((&meddled.kind, meddled.refused.as_deref()), (kind, None));
        let mut changed = differing(&before, &sandbox.world().await);
        if kind == "security-group" {
            // Its setting is a rule more.
            assert!(changed.iter().all(|id| id.starts_with("sgr-")) && changed.len() == 1);
            changed = [id.clone()].into();
        }
        assert_eq!(changed, BTreeSet::from([id.clone()]), "{kind}");
        // And back again, or on: never refused for being changed already.
        if !["security-group", "iam-policy"].contains(&kind.as_str()) {
            assert_eq!(sandbox.meddle(id, Meddling::Change).await.unwrap().refused, None, "{kind}");
        }
    }
    assert_eq!(sandbox.faults().calls(), [], "they are not calls of ours");
}

/// From the outside to the inside; each is refused before, where AWS refuses it.
#[tokio::test]
async fn somebody_deletes_every_kind_that_operations_make() {
    let db = one_of_each().await;
    let sandbox = &db.aws.sandbox;
    let delete = async |sandbox: &Sandbox, kind: &str| {
        let all = ids(&sandbox.world().await);
        let of_kind: Vec<_> = all.into_iter().filter(|(of, _)| of == kind).collect();
        assert!(!of_kind.is_empty(), "{kind}");
        let mut refused = Vec::new();
        for (_, id) in of_kind {
            refused.extend(sandbox.meddle(&id, Meddling::Delete).await.unwrap().refused);
        }
        refused
    };
    for (kind, code) in [
        ("vpc", "DependencyViolation"),
        ("subnet", "DependencyViolation"),
        ("internet-gateway", "DependencyViolation"),
        ("security-group", "DependencyViolation"),
        ("db-subnet-group", "InvalidDBSubnetGroupStateFault"),
        ("db-cluster", "InvalidDBClusterStateFault"),
    ] {
        let before = sandbox.world().await;
        assert!(delete(sandbox, kind).await.contains(&code.to_owned()), "{kind}");
        assert_eq!(sandbox.world().await, before);
    }
    for kind in [
        "ecs-task",
        "ecs-service",
        "ecs-task-definition",
        "db-snapshot",
        "db-cluster-snapshot",
        "db-instance",
        "db-cluster",
        "db-subnet-group",
        "db-cluster-parameter-group",
        "discovery-service",
        "namespace",
        "parameter",
        "secret",
        "log-group",
        "ecs-cluster",
        "ecr-repository",
        "kms-alias",
        "kms-key",
        "iam-policy",
        "iam-role",
        "vpc-endpoint",
        "natgateway",
        "elastic-ip",
    ] {
        assert_eq!(delete(sandbox, kind).await, [] as [String; 0], "{kind}");
        db.wait();
        db.wait();
        assert_eq!(sandbox.world().await.counts.get(kind), None, "{kind}");
    }
    for gateway in ids(&sandbox.world().await).iter().filter(|(kind, _)| kind == "internet-gateway") {
        let detach = db.aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway.1).vpc_id(&db.vpc);
        detach.send().await.unwrap();
    }
    for kind in ["internet-gateway", "security-group-rule", "route-table", "subnet", "security-group", "vpc"] {
        assert_eq!(delete(sandbox, kind).await, [] as [String; 0], "{kind}");
    }
    assert_eq!(sandbox.world().await.counts, [].into());
}

async fn of_a_run(aws: &Aws) -> String {
    let tags = tagged(ResourceType::Vpc, "switchback:run", "r1");
    let made = aws.ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(tags).send().await.unwrap();
    made.vpc.unwrap().vpc_id.unwrap()
}

#[tokio::test]
async fn what_a_call_names_is_changed_or_deleted_right_before_it() {
    let aws = aws();
    let vpc = of_a_run(&aws).await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let meddle = |action: &str, how| {
        aws.sandbox.faults().clear();
        aws.sandbox.faults().forget_calls();
        aws.sandbox.faults().add(Fault::new(action, Effect::Meddle { how }));
    };
    let touched = || aws.sandbox.faults().calls().iter().map(|call| call.touched.clone()).collect::<Vec<_>>();
    let read = || aws.ec2.describe_vpcs().vpc_ids(&vpc).send();

    meddle("DescribeVpcs", Meddling::Change);
    let attribute = |world: World| world.get(&vpc).unwrap().attributes["dns_hostnames"].clone();
    assert_eq!(attribute(aws.sandbox.world().await), false);
    read().await.unwrap();
    assert_eq!((touched(), attribute(aws.sandbox.world().await)), (vec![vec![vpc.clone()]], true.into()));

    // AWS refuses to delete it as long as there is a subnet in it.
    meddle("DescribeVpcs", Meddling::Delete);
    read().await.unwrap();
    assert_eq!(touched(), [Vec::<String>::new()]);
    // The subnet is not of a run, and a call that names nothing is not meddled with.
    meddle("DescribeSubnets", Meddling::Delete);
    aws.ec2.describe_subnets().subnet_ids(&subnet).send().await.unwrap();
    assert_eq!(touched(), [Vec::<String>::new()]);
    meddle("DescribeVpcs", Meddling::Change);
    aws.ec2.describe_vpcs().send().await.unwrap();
    assert_eq!(touched(), [Vec::<String>::new()]);

    aws.ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
    meddle("DeleteVpc", Meddling::Delete);
    refused(aws.ec2.delete_vpc().vpc_id(&vpc).send().await, "InvalidVpcID.NotFound");
    assert_eq!(touched(), [vec![vpc.clone()]]);
}

#[tokio::test]
async fn what_cannot_be_tagged_is_its_makers() {
    let aws = aws();
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    aws.kms.create_alias().alias_name("alias/app").target_key_id(&key).send().await.unwrap();
    aws.sandbox.faults().add(Fault::new("DescribeKey", Effect::Meddle { how: Meddling::Delete }).times(0));
    let other = Aws::of(aws.sandbox.clone(), credentials("AKIAOTHER"), "us-east-1");
    other.kms.describe_key().key_id("alias/app").send().await.unwrap();
    refused(aws.kms.describe_key().key_id("alias/app").send().await, "NotFoundException");
}

#[tokio::test]
async fn only_what_is_near_the_caller_is_meddled_with() {
    let aws = aws();
    let vpc = of_a_run(&aws.from("111122223333", "eu-west-1")).await;
    aws.sandbox.faults().add(Fault::new("DescribeVpcs", Effect::Meddle { how: Meddling::Delete }).times(0));
    refused(aws.ec2.describe_vpcs().vpc_ids(&vpc).send().await, "InvalidVpcID.NotFound");
    let there = aws.from("111122223333", "eu-west-1");
    refused(there.ec2.describe_vpcs().vpc_ids(&vpc).send().await, "InvalidVpcID.NotFound");
    let touched: Vec<_> = aws.sandbox.faults().calls().iter().map(|call| call.touched.len()).collect();
    assert_eq!(touched, [0, 0, 1]);
}

#[tokio::test]
async fn nobody_changes_what_there_is_not() {
    let aws = aws();
    assert_eq!(aws.sandbox.meddle("vpc-0000", Meddling::Delete).await, None);
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap().key_id;
    aws.kms.create_alias().alias_name("alias/app").target_key_id(&key).send().await.unwrap();
    let alias = aws.sandbox.world().await.of_kind("kms-alias").find(|it| !it.default).unwrap().id.clone();
    // It could only point at another key.
    assert_eq!(aws.sandbox.meddle(&alias, Meddling::Change).await, None);
}
