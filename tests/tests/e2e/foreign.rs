//! What this run did not make: refused in the preflight, and still there after an unwind.

use crate::colleague;
use crate::support::{Operator, block_on, mistersmith, runbook};

fn one_step(vpc: &str, step: &str) -> String {
    format!(
        "runbook: foreign\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"123456789012\" }}\nphases:\n  - name: only\n    steps:\n      - id: gateway\n        op: aws.ec2.internet_gateway\n        with: {{}}\n{}",
        step.replace("VPC", vpc)
    )
}

const GROUP: &str = "      - id: group\n        op: aws.ec2.security_group\n        with: { vpc_id: VPC, group_name: web, description: ours }\n";
const ATTACHMENT: &str = "      - id: attachment\n        op: aws.ec2.internet_gateway_attachment\n        with: { vpc_id: VPC, internet_gateway_id: GATEWAY }\n";

/// A colleague's VPC, with a group `web` and an attached gateway.
async fn their_network(operator: &Operator) -> (String, String, String) {
    let ec2 = colleague::ec2(&operator.endpoint());
    let vpc = ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.expect("a VPC");
    let vpc = vpc.vpc().and_then(|v| v.vpc_id()).expect("an id").to_owned();
    let group = ec2.create_security_group().group_name("web").description("theirs").vpc_id(&vpc);
    let group = group.send().await.expect("a group").group_id().expect("an id").to_owned();
    let gateway = ec2.create_internet_gateway().send().await.expect("a gateway");
    let gateway = gateway.internet_gateway().and_then(|g| g.internet_gateway_id()).expect("an id").to_owned();
    ec2.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(&gateway).send().await.expect("attached");
    (vpc, group, gateway)
}

#[test]
fn a_group_of_the_same_name_is_refused_before_the_first_effect() {
    let operator = Operator::with_sandbox();
    let (vpc, group, _) = block_on(their_network(&operator));
    let before = operator.world();
    let path = runbook(operator.state.path(), &one_step(&vpc, GROUP));
    operator.apply(&path).exits(1).says(&group);
    assert_eq!(operator.world(), before, "no effect, not even of the step before");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(1);
    assert_eq!(operator.world(), before, "still there after an unwind");
}

#[test]
fn a_vpc_that_has_a_gateway_is_refused_before_the_first_effect() {
    let operator = Operator::with_sandbox();
    let (vpc, _, gateway) = block_on(their_network(&operator));
    let other = block_on(async {
        let made = colleague::ec2(&operator.endpoint()).create_internet_gateway().send().await.expect("a gateway");
        made.internet_gateway().and_then(|g| g.internet_gateway_id()).expect("an id").to_owned()
    });
    let before = operator.world();
    let path = runbook(operator.state.path(), &one_step(&vpc, &ATTACHMENT.replace("GATEWAY", &other)));
    operator.apply(&path).exits(1).says(&gateway);
    assert_eq!(operator.world(), before);
}

#[test]
fn look_alikes_of_another_run_are_left_alone() {
    let operator = Operator::with_sandbox();
    let text = "runbook: twice\nversion: 1\ntarget:\n  aws: { region: us-east-1, account: \"123456789012\" }\nphases:\n  - name: only\n    steps:\n      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16, tags: { Name: same } }\n";
    let path = runbook(operator.state.path(), text);
    operator.apply(&path).exits(0);
    let first = operator.world();
    operator.apply(&path).exits(0);
    assert_eq!(operator.world()["counts"]["vpc"], 2);
    // The newest run is said by its id; the other's VPC has the same name, steps and tags but for the run.
    let runs = operator.run(&["--json", "runs"]).exits(0);
    let newest = runs
        .out
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .filter_map(|v| v["run"].as_str().map(str::to_owned))
        .max()
        .expect("a run");
    operator.run(&["unwind", &newest, "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world(), first, "what the other run made is as it was");
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const ALLOW: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

/// Refused by its name, without an effect; and an unwind touches nothing either.
fn is_refused(operator: &Operator, step: &str, saying: &str) {
    let before = operator.world();
    let path = runbook(operator.state.path(), &one_step("none", step));
    operator.apply(&path).exits(1).says(saying);
    assert_eq!(operator.world(), before, "no effect, not even of the step before");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(1);
    assert_eq!(operator.world(), before, "still there after an unwind");
}

#[test]
fn a_role_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let iam = colleague::iam(&operator.endpoint());
    block_on(iam.create_role().role_name("App").assume_role_policy_document(TRUST).send()).unwrap();
    let step = format!(
        "      - id: role\n        op: aws.iam.role\n        with: {{ role_name: App, assume_role_policy_document: {TRUST} }}\n"
    );
    is_refused(&operator, &step, "App");
}

#[test]
fn a_policy_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let iam = colleague::iam(&operator.endpoint());
    block_on(iam.create_policy().policy_name("App").policy_document(ALLOW).send()).unwrap();
    let step = format!(
        "      - id: policy\n        op: aws.iam.policy\n        with: {{ policy_name: App, policy_document: {ALLOW} }}\n"
    );
    is_refused(&operator, &step, "App");
}

#[test]
fn an_ecs_cluster_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let ecs = colleague::ecs(&operator.endpoint());
    block_on(ecs.create_cluster().cluster_name("app").send()).unwrap();
    is_refused(&operator, "      - id: c\n        op: aws.ecs.cluster\n        with: { cluster_name: app }\n", "app");
}

#[test]
fn a_repository_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let ecr = colleague::ecr(&operator.endpoint());
    block_on(ecr.create_repository().repository_name("app").send()).unwrap();
    is_refused(
        &operator,
        "      - id: r\n        op: aws.ecr.repository\n        with: { repository_name: app }\n",
        "app",
    );
}

#[test]
fn a_log_group_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let logs = colleague::logs(&operator.endpoint());
    block_on(logs.create_log_group().log_group_name("/ecs/app").send()).unwrap();
    let step = "      - id: l\n        op: aws.logs.log_group\n        with: { log_group_name: /ecs/app }\n";
    is_refused(&operator, step, "/ecs/app");
}

/// A colleague's two subnets.
async fn their_subnets(operator: &Operator) -> Vec<String> {
    let ec2 = colleague::ec2(&operator.endpoint());
    let vpc = ec2.create_vpc().cidr_block("10.9.0.0/16").send().await.unwrap();
    let vpc = vpc.vpc().and_then(|v| v.vpc_id()).unwrap().to_owned();
    let mut subnets = Vec::new();
    for (block, zone) in [("10.9.1.0/24", "us-east-1a"), ("10.9.2.0/24", "us-east-1b")] {
        let made = ec2.create_subnet().vpc_id(&vpc).cidr_block(block).availability_zone(zone).send().await.unwrap();
        subnets.push(made.subnet().and_then(|s| s.subnet_id()).unwrap().to_owned());
    }
    subnets
}

#[test]
fn a_subnet_group_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let rds = colleague::rds(&operator.endpoint());
    let subnets = block_on(async {
        let subnets = their_subnets(&operator).await;
        let group = rds.create_db_subnet_group().db_subnet_group_name("app").db_subnet_group_description("theirs");
        group.set_subnet_ids(Some(subnets.clone())).send().await.unwrap();
        subnets
    });
    let step = format!(
        "      - id: g\n        op: aws.rds.db_subnet_group\n        with: {{ db_subnet_group_name: app, db_subnet_group_description: ours, subnet_ids: [{}] }}\n",
        subnets.join(", ")
    );
    is_refused(&operator, &step, "app");
}

#[test]
fn a_db_cluster_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let rds = colleague::rds(&operator.endpoint());
    block_on(async {
        let subnets = their_subnets(&operator).await;
        let group = rds.create_db_subnet_group().db_subnet_group_name("app").db_subnet_group_description("theirs");
        group.set_subnet_ids(Some(subnets)).send().await.unwrap();
        let cluster = rds.create_db_cluster().db_cluster_identifier("app").engine("aurora-postgresql");
        let cluster = cluster.master_username("postgres").master_user_password("their-own-word");
        cluster.db_subnet_group_name("app").send().await.unwrap();
    });
    let step = "      - id: c\n        op: aws.rds.db_cluster\n        with: { db_cluster_identifier: app, engine: aurora-postgresql, master_username: postgres, manage_master_user_password: true, skip_final_snapshot: true }\n";
    is_refused(&operator, step, "app");
}

#[test]
fn an_alias_of_the_same_name() {
    let operator = Operator::with_sandbox();
    let kms = colleague::kms(&operator.endpoint());
    let key = block_on(async {
        let key = kms.create_key().send().await.unwrap();
        let key = key.key_metadata().map(|k| k.key_id().to_owned()).unwrap();
        kms.create_alias().alias_name("alias/app").target_key_id(&key).send().await.unwrap();
        key
    });
    let step = format!(
        "      - id: a\n        op: aws.kms.alias\n        with: {{ alias_name: alias/app, target_key_id: {key} }}\n"
    );
    is_refused(&operator, &step, "alias/app");
}

#[test]
fn what_the_whole_phase_would_meet_is_met_before_its_first_effect() {
    let operator = Operator::with_sandbox();
    let rds = colleague::rds(&operator.endpoint());
    block_on(async {
        let subnets = their_subnets(&operator).await;
        let group = rds.create_db_subnet_group().db_subnet_group_name("mistersmith-aurora-subnet-group");
        group.db_subnet_group_description("theirs").set_subnet_ids(Some(subnets)).send().await.unwrap();
        let cluster = rds.create_db_cluster().db_cluster_identifier("mistersmith-aurora-cluster");
        let cluster =
            cluster.engine("aurora-postgresql").master_username("postgres").master_user_password("their-own-word");
        cluster.db_subnet_group_name("mistersmith-aurora-subnet-group").send().await.unwrap();
    });
    let before = operator.world();
    // Their parameters are known only when the network stands; their names are known now.
    let said = operator.apply(&mistersmith()).exits(1);
    said.says("mistersmith-aurora-cluster").says("before any effect");
    assert_eq!(operator.world(), before);
    let plan = operator.run(&["plan", &mistersmith().to_string_lossy(), "--sandbox"]).exits(1);
    plan.says("mistersmith-aurora-subnet-group");
}

#[test]
fn an_engine_version_that_there_is_not_is_refused_with_those_that_there_are() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let path = mistersmith();
    let path = path.to_string_lossy();
    let input = "aurora_engine_version=15.999";
    operator
        .run(&["apply", &path, "--sandbox", "--auto-approve", "--input", input])
        .exits(1)
        .says("15.999")
        .says("15.4");
    assert_eq!(operator.world(), before);
}
