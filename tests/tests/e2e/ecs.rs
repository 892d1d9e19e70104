//! A service from nothing to running and back, and one that never becomes steady.

use serde_json::json;

use crate::support::{Operator, runbook};

/// A service that is made without tasks and started by a later step, with another revision.
const RUNBOOK: &str = r#"runbook: containers
version: 1
target:
  aws: { region: us-east-1, account: "123456789012" }
policy: { on_failure: unwind }
phases:
  - name: only
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16 }
      - id: subnet
        op: aws.ec2.subnet
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: 10.0.1.0/24, availability_zone: us-east-1a }
      - id: group
        op: aws.ec2.security_group
        with: { vpc_id: "${vpc.vpc_id}", group_name: web, description: tasks }
      - id: cluster
        op: aws.ecs.cluster
        with: { cluster_name: app }
      - id: definition
        op: aws.ecs.task_definition
        with:
          family: app
          cpu: "256"
          memory: "512"
          network_mode: awsvpc
          requires_compatibilities: [FARGATE]
          container_definitions:
            - { name: app, image: "app:1", environment: [{ name: DATABASE, value: "none" }] }
      - id: service
        op: aws.ecs.service
        timeout: 3s
        with:
          cluster: "${cluster.cluster_name}"
          service_name: web
          task_definition: "${definition.task_definition_arn}"
          desired_count: 0
          launch_type: FARGATE
          network_configuration: &network
            awsvpc_configuration: { subnets: ["${subnet.subnet_id}"], security_groups: ["${group.group_id}"] }
      - id: migrate
        op: aws.ecs.run_task
        with:
          cluster: "${cluster.cluster_name}"
          task_definition: "${definition.task_definition_arn}"
          launch_type: FARGATE
          network_configuration: *network
          overrides: { container_overrides: [{ name: app, command: [sh, -c, "exit 0"] }] }
      - id: second
        op: aws.ecs.task_definition
        needs: [migrate]
        with:
          family: app
          cpu: "256"
          memory: "512"
          network_mode: awsvpc
          requires_compatibilities: [FARGATE]
          container_definitions:
            - { name: app, image: "app:1", environment: [{ name: DATABASE, value: "postgres" }] }
      - id: start
        op: aws.ecs.service_update
        timeout: 3s
        with:
          cluster: "${cluster.cluster_name}"
          service: "${service.service_name}"
          task_definition: "${second.task_definition_arn}"
          desired_count: 2
      - id: probe
        op: probe.ecs_tasks
        needs: [start]
        with: { cluster: "${cluster.cluster_name}", service: "${service.service_name}", running: 2, within: 10s }
"#;

#[test]
fn a_service_is_started_by_a_later_step_verified_and_unwound() {
    let operator = Operator::with_sandbox();
    let path = runbook(operator.state.path(), RUNBOOK);
    operator.apply(&path).exits(0);
    let world = operator.world();
    assert_eq!(world["counts"]["ecs-service"], 1);
    // That a later step has changed the service is no drift of the step that made it.
    operator.run(&["verify"]).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    let world = operator.world();
    assert_eq!(world["total"], 0, "{world}");
    let residue = world["residue"].as_array().unwrap();
    assert_eq!(residue.iter().filter(|r| r["kind"] == "ecs-task-definition").count(), 2, "INACTIVE");
}

#[test]
fn a_service_that_never_becomes_steady_is_unwound_when_its_time_is_over() {
    let operator = Operator::with_sandbox();
    let path = runbook(operator.state.path(), RUNBOOK);
    for action in ["CreateService", "UpdateService"] {
        let stuck = json!({ "faults": [{ "action": action, "times": 1, "effect": { "kind": "stuck" } }] });
        operator.faults(&stuck);
        operator.apply(&path).exits(3).says("waiting until ECS service `app/web` is steady");
        operator.admin("DELETE", "faults", "");
        assert_eq!(operator.world()["total"], 0, "{action}: {}", operator.world());
    }
}

#[test]
fn a_task_that_fails_says_with_what_and_is_unwound() {
    let operator = Operator::with_sandbox();
    let text = RUNBOOK.replace("exit 0", "exit 3");
    operator.apply(&runbook(operator.state.path(), &text)).exits(3).says("container app ended with exit code 3");
    assert_eq!(operator.world()["total"], 0);
}
