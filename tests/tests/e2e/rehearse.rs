//! `switchback rehearse` with the built binaries: a whole rehearsal, its certificate, a case run again, and a runbook
//! that cannot go back.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{ACCOUNT, Operator, mistersmith};

const HEAD: &str = r#"
runbook: small
version: 1
description: A network
target: { aws: { region: us-east-1, account: "${inputs.account}" } }
inputs: { account: { type: string } }
phases:
  - name: network
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16, enable_dns_hostnames: true, tags: { Name: net } }
"#;

fn runbook(operator: &Operator, steps: &str) -> PathBuf {
    let path = operator.state.path().join("runbook.yaml");
    std::fs::write(&path, format!("{HEAD}{steps}")).unwrap();
    path
}

fn rehearse(operator: &Operator, file: &std::path::Path, more: &[&str]) -> crate::support::Said {
    let file = file.to_string_lossy();
    let account = format!("account={ACCOUNT}");
    operator.run(&[&["rehearse", file.as_ref(), "--input", account.as_str()], more].concat())
}

#[test]
fn a_runbook_is_rehearsed_and_may_then_be_applied_where_that_is_required() {
    let operator = Operator::with_sandbox();
    let steps = r#"
      - id: group
        op: aws.ec2.security_group
        with: { vpc_id: "${vpc.vpc_id}", group_name: web, description: the web }
"#;
    let file = runbook(&operator, steps);
    let name = file.to_string_lossy();
    let account = format!("account={ACCOUNT}");
    let apply =
        ["apply", name.as_ref(), "--sandbox", "--auto-approve", "--input", account.as_str(), "--require-rehearsal"];
    operator.run(&apply).exits(1).says("rehearse");
    let path = operator.state.path().join("certificate.json");
    rehearse(&operator, &file, &["--certificate", &path.to_string_lossy()]).exits(0);
    let certificate: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = certificate["cases"].as_object().unwrap();
    for kind in ["uninterrupted", "crash_resume", "crash_unwind", "fault", "second_crash"] {
        let count = &cases[kind];
        assert!(count["run"].as_u64().unwrap() > 0, "{kind}: {count}");
        assert_eq!((&count["failed"], &count["skipped"]), (&Value::from(0), &Value::from(0)), "{kind}");
    }
    operator.run(&apply).exits(0);
}

#[test]
fn a_missing_dependency_is_found_and_its_case_fails_again() {
    let operator = Operator::alone();
    // Nothing says that the attachment must come first, and in the order of the file it does.
    let steps = r#"
      - id: gateway
        op: aws.ec2.internet_gateway
      - id: table
        op: aws.ec2.route_table
        with: { vpc_id: "${vpc.vpc_id}" }
      - id: attachment
        op: aws.ec2.internet_gateway_attachment
        with: { vpc_id: "${vpc.vpc_id}", internet_gateway_id: "${gateway.internet_gateway_id}" }
      - id: route
        op: aws.ec2.route
        with:
          route_table_id: "${table.route_table_id}"
          destination_cidr_block: 0.0.0.0/0
          gateway_id: "${gateway.internet_gateway_id}"
"#;
    let file = runbook(&operator, steps);
    let said = rehearse(&operator, &file, &["--json", "--sample", "1000000"]).exits(1);
    let found = said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found =
        found.map(|line| line["data"].clone()).find(|data| data["step"] == "route").expect("the route is found");
    let case = found["case"].as_str().expect("a case");
    rehearse(&operator, &file, &["--case", case]).exits(1).says("route");
}

#[test]
fn a_sample_of_the_migration_finds_nothing_and_proves_nothing() {
    let operator = Operator::alone();
    let path = operator.state.path().join("certificate.json");
    rehearse(&operator, &mistersmith(), &["--sample", "300", "--certificate", &path.to_string_lossy()]).exits(0);
    let certificate: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(certificate["findings"], Value::Array(vec![]));
    assert!(certificate["cases"]["fault"]["skipped"].as_u64().unwrap() > 1000);
}
