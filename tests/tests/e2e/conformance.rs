//! Every registered operation passes the conformance harness, in the sandbox.

use std::collections::BTreeSet;

use switchback_testing::conformance::conform;

use crate::in_process::{Cloud, on_paused_time, planned, registry, rig};

const VPC: &str = r#"
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16, enable_dns_support: true, enable_dns_hostnames: true, tags: { Name: net } }"#;
const GATEWAY: &str = r#"
      - id: gateway
        op: aws.ec2.internet_gateway
        with: { tags: { Name: out } }"#;
const GROUP: &str = r#"
      - id: group
        op: aws.ec2.security_group
        with: { vpc_id: "${vpc.vpc_id}", group_name: web, description: "what faces the web" }"#;

const REPOSITORY: &str = r#"
      - id: repository
        op: aws.ecr.repository
        with:
          repository_name: team/app
          image_tag_mutability: IMMUTABLE
          image_scanning_configuration: { scan_on_push: true }
          encryption_configuration: { encryption_type: KMS }
          tags: { Name: app }"#;

/// Each operation: how to make its parameters, as the last step of a runbook.
const CASES: &[(&str, &[&str], &str)] = &[
    ("aws.ec2.vpc", &[], VPC),
    (
        "aws.ec2.subnet",
        &[VPC],
        r#"
      - id: subnet
        op: aws.ec2.subnet
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: 10.0.1.0/24, availability_zone: us-east-1a, map_public_ip_on_launch: true }"#,
    ),
    ("aws.ec2.internet_gateway", &[], GATEWAY),
    (
        "aws.ec2.internet_gateway_attachment",
        &[VPC, GATEWAY],
        r#"
      - id: attachment
        op: aws.ec2.internet_gateway_attachment
        with: { vpc_id: "${vpc.vpc_id}", internet_gateway_id: "${gateway.internet_gateway_id}" }"#,
    ),
    ("aws.ec2.security_group", &[VPC], GROUP),
    (
        "aws.ec2.security_group_rule",
        &[VPC, GROUP],
        r#"
      - id: rule
        op: aws.ec2.security_group_rule
        with: { group_id: "${group.group_id}", ip_protocol: tcp, from_port: 443, to_port: 443, cidr_ipv4: 10.0.0.0/8 }"#,
    ),
    ("aws.ecr.repository", &[], REPOSITORY),
    (
        "aws.ecr.lifecycle_policy",
        &[REPOSITORY],
        r#"
      - id: policy
        op: aws.ecr.lifecycle_policy
        with:
          repository_name: "${repository.repository_name}"
          lifecycle_policy_text: >-
            {"rules": [{"rulePriority": 1, "action": {"type": "expire"},
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}}]}"#,
    ),
    (
        "aws.ecs.cluster",
        &[],
        r#"
      - id: cluster
        op: aws.ecs.cluster
        with:
          cluster_name: app
          capacity_providers: [FARGATE, FARGATE_SPOT]
          default_capacity_provider_strategy: [{ capacity_provider: FARGATE, weight: 1, base: 1 }]
          settings: [{ name: containerInsights, value: enabled }]
          configuration: { execute_command_configuration: { logging: NONE } }
          tags: { Name: app }"#,
    ),
    (
        "aws.logs.log_group",
        &[],
        r#"
      - id: logs
        op: aws.logs.log_group
        with: { log_group_name: /ecs/app, retention_in_days: 30, log_group_class: STANDARD, tags: { Name: app } }"#,
    ),
];

fn conforms(kind: &str) {
    let (_, before, step) = CASES.iter().find(|(k, ..)| *k == kind).expect("a case");
    let runbook = format!(
        "runbook: conformance\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"${{inputs.account}}\" }}\ninputs:\n  account: {{ type: string }}\nphases:\n  - name: only\n    steps:{}{step}\n",
        before.concat()
    );
    on_paused_time(async {
        let cloud = Cloud::new().await;
        let done = conform(rig(planned(&runbook), cloud.clone()), cloud).await;
        assert!(done.runs > 50, "{done:?}");
    });
}

#[test]
fn every_operation_has_a_case() {
    let registry = registry();
    let kinds: BTreeSet<&str> = registry.iter().map(|op| op.kind()).collect();
    let cases: BTreeSet<&str> = CASES.iter().map(|(k, ..)| *k).collect();
    assert_eq!(kinds, cases);
}

#[test]
fn vpc() {
    conforms("aws.ec2.vpc");
}

#[test]
fn subnet() {
    conforms("aws.ec2.subnet");
}

#[test]
fn internet_gateway() {
    conforms("aws.ec2.internet_gateway");
}

#[test]
fn internet_gateway_attachment() {
    conforms("aws.ec2.internet_gateway_attachment");
}

#[test]
fn security_group() {
    conforms("aws.ec2.security_group");
}

#[test]
fn security_group_rule() {
    conforms("aws.ec2.security_group_rule");
}

#[test]
fn repository() {
    conforms("aws.ecr.repository");
}

#[test]
fn lifecycle_policy() {
    conforms("aws.ecr.lifecycle_policy");
}

#[test]
fn cluster() {
    conforms("aws.ecs.cluster");
}

#[test]
fn log_group() {
    conforms("aws.logs.log_group");
}
