//! Bad input: each kind gets file, line, caret, a hint and exit code 1, and has no effect.

use std::path::PathBuf;

use crate::support::{Operator, Said, mistersmith, runbook};

const HEAD: &str = "runbook: bad\nversion: 1\ntarget:\n  aws: { region: us-east-1, account: \"123456789012\" }\nphases:\n  - name: only\n    steps:\n";
const VPC: &str = "      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16 }\n";

/// Applies a bad runbook: refused with a place, a caret and a hint, and nothing happens.
fn refused(text: &[u8], place: &str, what: &str) -> Said {
    let operator = Operator::with_sandbox();
    let path = operator.state.path().join("runbook.yaml");
    std::fs::write(&path, text).unwrap();
    let before = operator.world();
    let said = operator.apply(&path).exits(1).says(&format!("runbook.yaml:{place}")).says("^").says(what);
    assert!(said.err.contains("help") || said.err.contains("hint"), "no hint:\n{}", said.err);
    assert_eq!(operator.world(), before, "no effect");
    assert!(!operator.journal().exists(), "no journal for a runbook that cannot be planned");
    let file: PathBuf = path;
    operator.run(&["validate", &file.to_string_lossy()]).exits(1)
}

fn steps(text: &str) -> Vec<u8> {
    format!("{HEAD}{text}").into_bytes()
}

#[test]
fn an_unknown_key() {
    let text = steps("      - id: vpc\n        op: aws.ec2.vpc\n        wiht: { cidr_block: 10.0.0.0/16 }\n");
    refused(&text, "10:", "with");
}

#[test]
fn an_unknown_parameter() {
    let text = steps("      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_blok: 10.0.0.0/16 }\n");
    refused(&text, "10:", "cidr_block");
}

#[test]
fn a_duplicate_key() {
    let text = steps("      - id: vpc\n        op: aws.ec2.vpc\n        op: aws.ec2.vpc\n");
    refused(&text, "10:", "op");
}

#[test]
fn a_wrong_type() {
    let text = steps("      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 16 }\n");
    refused(&text, "10:", "wants a text");
}

#[test]
fn an_unknown_reference() {
    let text = steps(&format!(
        "{VPC}      - id: subnet\n        op: aws.ec2.subnet\n        with: {{ vpc_id: \"${{vcp.vpc_id}}\", cidr_block: 10.0.1.0/24, availability_zone: us-east-1a }}\n"
    ));
    refused(&text, "13:", "vpc");
}

#[test]
fn a_cycle() {
    let text = steps(&format!(
        "{VPC}        needs: [gateway]\n      - id: gateway\n        op: aws.ec2.internet_gateway\n        with: {{}}\n        needs: [vpc]\n"
    ));
    let said = refused(&text, "", "cycle");
    assert!(said.err.contains("vpc") && said.err.contains("gateway"), "{}", said.err);
}

#[test]
fn a_subnet_id_given_as_a_vpc_id() {
    let text = steps(&format!(
        "{VPC}      - id: subnet\n        op: aws.ec2.subnet\n        with: {{ vpc_id: \"${{vpc.vpc_id}}\", cidr_block: 10.0.1.0/24, availability_zone: us-east-1a }}\n      - id: group\n        op: aws.ec2.security_group\n        with: {{ vpc_id: \"${{subnet.subnet_id}}\", group_name: web, description: web }}\n"
    ));
    let said = refused(&text, "16:", "VpcId");
    assert!(said.err.contains("SubnetId"), "{}", said.err);
}

#[test]
fn a_cidr_block_that_is_none() {
    let text = steps("      - id: vpc\n        op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/33 }\n");
    refused(&text, "10:", "10.0.0.0/33");
}

#[test]
fn a_truncated_file() {
    let whole = std::fs::read(mistersmith()).unwrap();
    let text = String::from_utf8(whole).unwrap();
    let cut = text.find("with: {").or_else(|| text.find("[")).expect("a place to cut") + 7;
    refused(&text.as_bytes()[..cut], "", "");
}

#[test]
fn not_utf_8() {
    let mut text = steps(VPC);
    text[30] = 0xff;
    refused(&text, "", "UTF-8");
}

#[test]
fn a_missing_input() {
    let operator = Operator::alone();
    let text = HEAD
        .replace("version: 1\n", "version: 1\ninputs:\n  account: { type: string }\n")
        .replace("\"123456789012\"", "\"${inputs.account}\"");
    let path = runbook(operator.state.path(), &format!("{text}{VPC}"));
    operator
        .run(&["validate", &path.to_string_lossy()])
        .exits(1)
        .says("runbook.yaml:")
        .says("^")
        .says("--input account=");
    operator.run(&["validate", &path.to_string_lossy(), "--input", "acount=1"]).exits(1).says("account");
    operator.run(&["validate", &path.to_string_lossy(), "--input", "account=123456789012"]).exits(0);
}

#[test]
fn a_file_that_is_not_there() {
    let operator = Operator::alone();
    operator.run(&["validate", "no-such-runbook.yaml"]).exits(1).says("no-such-runbook.yaml");
    operator.run(&["validate"]).exits(2);
}
