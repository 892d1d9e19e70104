//! Several targets in one runbook: each step acts on its own, and the way back finds them all.

use crate::support::{Operator, runbook};

const TWO: &str = "\
runbook: two
version: 1
target:
  aws: { region: us-east-1, account: \"123456789012\" }
  aws.east: { region: us-east-1, account: \"123456789012\", profile: nobody, endpoint_url: \"http://127.0.0.1:1\" }
phases:
  - name: net
    steps:
      - id: vpc
        op: aws.ec2.vpc
        for_each: { a: aws, b: aws.east }
        provider: \"${each.value}\"
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        provider: aws.east
        with: { vpc_id: \"${vpc[b].vpc_id}\", cidr_block: 10.0.1.0/24 }
";

#[test]
fn two_targets_there_and_back() {
    let operator = Operator::with_sandbox();
    let empty = operator.world();
    let path = runbook(operator.state.path(), TWO);
    let plan = operator.run(&["plan", &path.to_string_lossy(), "--sandbox"]).exits(0);
    plan.prints("aws.east").prints("aws.ec2.subnet in aws.east").prints("aws.ec2.vpc                 ec2:CreateVpc");
    operator.apply(&path).exits(0);
    let log = operator.run(&["log", "--all", "--calls"]).exits(0);
    assert_eq!(log.out.matches("sts GetCallerIdentity: 200").count(), 2, "who we are, for each:\n{}", log.out);
    operator.run(&["verify"]).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world(), empty, "nothing is left in either");
}

const APART: &str = "\
runbook: apart
version: 1
target:
  aws: { region: us-east-1, account: \"123456789012\" }
  aws.west: { region: us-west-2, account: \"123456789012\" }
  aws.other: { region: us-east-1, account: \"210987654321\" }
phases:
  - name: net
    steps:
      - id: vpc
        op: aws.ec2.vpc
        for_each: [aws, aws.west, aws.other]
        provider: \"${each.value}\"
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        provider: aws.west
        with: { vpc_id: \"${vpc[aws.west].vpc_id}\", cidr_block: 10.0.1.0/24, availability_zone: us-west-2a }
      - id: repository
        op: aws.ecr.repository
        for_each: [aws, aws.west, aws.other]
        provider: \"${each.value}\"
        with: { repository_name: same }
";

#[test]
fn two_regions_and_two_accounts_there_and_back() {
    let operator = Operator::with_sandbox();
    let path = runbook(operator.state.path(), APART);
    operator.apply(&path).exits(0);
    let world = operator.world();
    let places = |kind: &str| -> Vec<(String, String)> {
        let of_kind =
            world["resources"].as_array().unwrap().iter().filter(|r| r["kind"] == kind && r["default"] != true);
        let text = |r: &serde_json::Value, field: &str| r[field].as_str().unwrap_or("-").to_owned();
        let mut places: Vec<_> = of_kind.map(|r| (text(r, "account"), text(r, "region"))).collect();
        places.sort();
        places
    };
    let place = |account: &str, region: &str| (account.to_owned(), region.to_owned());
    // What is as the sandbox has it by itself is not said.
    let all = [place("-", "-"), place("-", "us-west-2"), place("210987654321", "-")];
    assert_eq!(places("vpc"), all);
    assert_eq!(places("ecr-repository"), all, "one name in three places");
    assert_eq!(places("subnet"), [place("-", "us-west-2")]);
    operator.run(&["verify"]).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0, "nothing is left in any of them");
}
