//! The main use: forward, verified, and back to nothing; and a failed verify that unwinds by
//! itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::{ACCOUNT, Operator, mistersmith, pause, runbook};

#[test]
fn forward_verified_and_back_to_nothing() {
    let operator = Operator::with_sandbox();
    let before = operator.nameless();
    operator.apply(&mistersmith()).exits(0);
    let made = operator.world();
    let count = |kind: &str| {
        made["resources"].as_array().unwrap().iter().filter(|r| r["kind"] == kind && r["default"] != true).count()
    };
    for (kind, wanted) in [
        ("vpc", 1),
        ("subnet", 2),
        ("internet-gateway", 1),
        ("security-group", 3),
        ("security-group-rule", 4),
        ("route-table", 1),
        ("vpc-endpoint", 8),
        ("db-subnet-group", 1),
        ("db-cluster", 1),
        ("db-instance", 1),
        ("ecs-cluster", 1),
        ("ecr-repository", 3),
        ("log-group", 1),
        ("iam-role", 2),
        ("iam-policy", 1),
    ] {
        assert_eq!(count(kind), wanted, "{kind} in {:?}", made["counts"]);
    }
    operator.run(&["verify"]).exits(0);
    operator.run(&["status"]).exits(0).prints("verified");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.nameless(), before, "nothing is left");
    operator.run(&["resume"]).exits(1);
}

#[test]
fn an_apply_is_not_repeated_into_a_second_network() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    let done = operator.nameless();
    // Roles, clusters and repositories of these names are there: refused before the first effect.
    operator.apply(&mistersmith()).exits(1).says("mistersmith-cluster");
    assert_eq!(operator.nameless(), done);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
}

#[test]
fn back_to_a_step_and_forward_again() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    let done = operator.nameless();
    operator.run(&["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    assert_ne!(operator.nameless(), done);
    operator.run(&["resume"]).exits(0);
    assert_eq!(operator.nameless(), done, "the next generation is equal to the first");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

const NEVER_RIGHT: &str = r#"
runbook: never-right
version: 1
target:
  aws: { region: us-east-1, account: "123456789012" }
phases:
  - name: infrastructure
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: 10.0.1.0/24, availability_zone: us-east-1a }
        verify: ['output.subnet_id == "subnet-that-it-never-is"']
"#;

#[test]
fn a_verify_that_fails_unwinds_by_itself_and_the_journal_says_why() {
    let operator = Operator::with_sandbox();
    let path = runbook(operator.state.path(), NEVER_RIGHT);
    operator.apply(&path).exits(3).says("subnet");
    assert_eq!(operator.world()["total"], 0);
    let log = operator.run(&["--json", "log", "--all"]).exits(0);
    let records: Vec<Value> = log.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let text = |kind: &str| records.iter().find(|r| r.to_string().contains(kind)).map(ToString::to_string);
    assert!(text("VerifyFailed").is_some_and(|r| r.contains("subnet-that-it-never-is")), "{}", log.out);
    assert!(text("UnwindStarted").is_some_and(|r| r.contains("failed") && r.contains("subnet")), "{}", log.out);
    assert!(text("UnwindFinished").is_some());
}

#[test]
fn every_call_is_on_record() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    let mut recorded: BTreeMap<String, u64> = BTreeMap::new();
    for line in operator.run(&["--json", "log", "--all", "--calls"]).exits(0).out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["data"]["kind"] == "Called" {
            *recorded.entry(line["data"]["payload"]["operation"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    let seen: Value = serde_json::from_str(&operator.admin("GET", "calls", "")).unwrap();
    let seen: BTreeMap<String, u64> = serde_json::from_value(seen["counts"].clone()).unwrap();
    assert!(seen["CreateVpc"] == 1 && seen["DescribeTags"] > 0, "{seen:?}");
    assert_eq!(recorded, seen, "the journal has what the cloud has seen, no more and no less");
}

const SLOW: &str = r#"
runbook: slow
version: 1
target:
  aws: { region: us-east-1, account: "123456789012" }
inputs:
  db_password: { type: secret }
phases:
  - name: only
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        for_each: { 1a: 10.0.1.0/24, 1b: 10.0.2.0/24 }
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: "${each.value}", availability_zone: "us-east-${each.key}" }
      - id: subnets
        op: aws.rds.db_subnet_group
        with: { db_subnet_group_name: app, db_subnet_group_description: x, subnet_ids: "${subnet[*].subnet_id}" }
      - id: cluster
        op: aws.rds.db_cluster
        timeout: 1s
        with:
          db_cluster_identifier: app
          engine: aurora-postgresql
          master_username: postgres
          master_user_password: "${inputs.db_password}"
          db_subnet_group_name: "${subnets.db_subnet_group_name}"
          skip_final_snapshot: true
"#;

#[test]
fn a_deadline_that_is_reached_while_a_database_is_being_made_unwinds_and_waits_for_it() {
    let operator = Operator::with_slow_sandbox(3000);
    let path = runbook(operator.state.path(), SLOW);
    operator.apply(&path).exits(3).says("waiting until DB cluster `app` is available");
    assert_eq!(operator.world()["total"], 0, "it could be deleted only when it had been made");
}

#[test]
fn a_wait_goes_on_after_a_kill() {
    let operator = Operator::with_slow_sandbox(2000);
    let path = runbook(operator.state.path(), &SLOW.replace("        timeout: 1s\n", ""));
    let args = ["apply", &path.to_string_lossy(), "--sandbox", "--auto-approve"];
    let mut child = operator.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while operator.world()["counts"]["db-cluster"] != 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "the cluster is not made");
        pause(20);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    operator.run(&["resume"]).exits(0);
    assert_eq!(operator.world()["counts"]["db-cluster"], 1, "not a second one");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn the_policy_allows_every_call_that_a_run_makes_forward_and_back() {
    let operator = Operator::with_sandbox();
    let path = mistersmith();
    let path = path.to_string_lossy();
    let account = format!("account={ACCOUNT}");
    let policy = operator.run(&["ops", "--policy", &path, "--input", &account]).exits(0);
    let policy: Value = serde_json::from_str(&policy.out).expect("a policy is JSON");
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|s| s["Action"].as_array().unwrap());
    let allowed: BTreeSet<&str> = actions.filter_map(|a| a.as_str()?.split_once(':').map(|(_, name)| name)).collect();
    operator.apply(&mistersmith()).exits(0);
    operator.run(&["verify"]).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    let seen: Value = serde_json::from_str(&operator.admin("GET", "calls", "")).unwrap();
    let seen: BTreeMap<String, u64> = serde_json::from_value(seen["counts"].clone()).unwrap();
    let missing: Vec<_> = seen.keys().filter(|call| !allowed.contains(call.as_str())).collect();
    assert!(seen.len() > 50 && missing.is_empty(), "{missing:?}");
    // And no more: what it allows beyond that, AWS asks for beside a call, or only a failure would call.
    let writes = |name: &&&str| !["Describe", "Get", "List"].iter().any(|verb| name.starts_with(verb));
    let unused: Vec<&&str> = allowed.iter().filter(|name| !seen.contains_key(**name)).filter(writes).collect();
    let besides = [
        "AddTagsToResource",
        "AssociateVPCWithHostedZone",
        "CreateServiceLinkedRole",
        "CreateTags",
        "DisassociateVPCFromHostedZone",
        "TagPolicy",
        "TagResource",
        "TagRole",
    ];
    assert_eq!(unused, besides.iter().collect::<Vec<_>>());
}
