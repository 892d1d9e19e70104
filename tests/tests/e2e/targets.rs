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
