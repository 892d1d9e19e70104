//! What this run did not make: refused in the preflight, and still there after an unwind.

use crate::support::{Operator, block_on, runbook};

fn one_step(vpc: &str, step: &str) -> String {
    format!(
        "runbook: foreign\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"123456789012\" }}\nphases:\n  - name: only\n    steps:\n      - id: gateway\n        op: aws.ec2.internet_gateway\n        with: {{}}\n{}",
        step.replace("VPC", vpc)
    )
}

const GROUP: &str = "      - id: group\n        op: aws.ec2.security_group\n        with: { vpc_id: VPC, group_name: web, description: ours }\n";
const ATTACHMENT: &str = "      - id: attachment\n        op: aws.ec2.internet_gateway_attachment\n        with: { vpc_id: VPC, internet_gateway_id: GATEWAY }\n";

/// A colleague's VPC, with a group `web` and an attached gateway.
async fn colleague(operator: &Operator) -> (String, String, String) {
    let ec2 = operator.colleague();
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
    let (vpc, group, _) = block_on(colleague(&operator));
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
    let (vpc, _, gateway) = block_on(colleague(&operator));
    let other = block_on(async {
        let made = operator.colleague().create_internet_gateway().send().await.expect("a gateway");
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
