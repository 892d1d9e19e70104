//! Every registered operation passes the conformance harness, in the sandbox.

use std::collections::BTreeSet;

use switchback_sandbox::Meddling;
use switchback_testing::conformance::conform;
use switchback_testing::rig::Command;

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

const SUBNETS: &str = r#"
      - id: subnet
        op: aws.ec2.subnet
        for_each: { 1a: 10.0.1.0/24, 1b: 10.0.2.0/24 }
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: "${each.value}", availability_zone: "us-east-${each.key}" }"#;
const ATTACHMENT: &str = r#"
      - id: attachment
        op: aws.ec2.internet_gateway_attachment
        with: { vpc_id: "${vpc.vpc_id}", internet_gateway_id: "${gateway.internet_gateway_id}" }"#;
const ADDRESS: &str = r#"
      - id: address
        op: aws.ec2.elastic_ip
        with: { tags: { Name: out } }"#;
const TABLE: &str = r#"
      - id: table
        op: aws.ec2.route_table
        with: { vpc_id: "${vpc.vpc_id}", tags: { Name: private } }"#;
const SUBNET_GROUP: &str = r#"
      - id: subnets
        op: aws.rds.db_subnet_group
        with: { db_subnet_group_name: app, db_subnet_group_description: of the app, subnet_ids: "${subnet[*].subnet_id}" }"#;
const PARAMETERS: &str = r#"
      - id: parameters
        op: aws.rds.db_cluster_parameter_group
        with:
          db_cluster_parameter_group_name: app
          db_parameter_group_family: aurora-postgresql15
          description: of the app
          parameters: { log_min_duration_statement: "500" }"#;
const CLUSTER: &str = r#"
      - id: cluster
        op: aws.rds.db_cluster
        with:
          db_cluster_identifier: app
          engine: aurora-postgresql
          engine_version: "15.4"
          serverless_v2_scaling_configuration: { min_capacity: 0.5, max_capacity: 4 }
          master_username: postgres
          master_user_password: "${inputs.password}"
          db_subnet_group_name: "${subnets.db_subnet_group_name}"
          vpc_security_group_ids: ["${group.group_id}"]
          backup_retention_period: 7
          deletion_protection: true
          skip_final_snapshot: true"#;
const TARGETS: &str = r#"
      - id: targets
        op: aws.elbv2.target_group
        with:
          name: app
          protocol: HTTP
          port: 8080
          vpc_id: "${vpc.vpc_id}"
          target_type: ip
          health_check_path: /health
          matcher: "200-299"
          attributes: { deregistration_delay.timeout_seconds: "30" }"#;
const BALANCER: &str = r#"
      - id: balancer
        op: aws.elbv2.load_balancer
        with:
          name: app
          scheme: internal
          subnets: "${subnet[*].subnet_id}"
          security_groups: ["${group.group_id}"]
          attributes: { deletion_protection.enabled: "true", idle_timeout.timeout_seconds: "120" }"#;
const LISTENER: &str = r#"
      - id: listener
        op: aws.elbv2.listener
        with:
          load_balancer_arn: "${balancer.load_balancer_arn}"
          port: 80
          protocol: HTTP
          default_actions: [{ type: forward, target_group_arn: "${targets.target_group_arn}" }]"#;
const ROLE: &str = r#"
      - id: role
        op: aws.iam.role
        with:
          role_name: App
          assume_role_policy_document:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Principal: { Service: ecs-tasks.amazonaws.com }, Action: sts:AssumeRole }]"#;
const POLICY: &str = r#"
      - id: policy
        op: aws.iam.policy
        with:
          policy_name: App
          policy_document:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Action: "s3:GetObject", Resource: "*" }]"#;
const REPOSITORY: &str = r#"
      - id: repository
        op: aws.ecr.repository
        with: { repository_name: app/web, image_scanning_configuration: { scan_on_push: true } }"#;
const KEY: &str = r#"
      - id: key
        op: aws.kms.key
        with: { description: of the app, enable_key_rotation: true, pending_window_in_days: 7 }"#;
const SECRET: &str = r#"
      - id: secret
        op: aws.secretsmanager.secret
        with:
          name: app/db
          description: of the app
          secret_json: { user: app, port: 5432, password: "${inputs.password}", salt: { generate: { length: 24 } } }
          force_delete_without_recovery: true"#;
const NAMESPACE: &str = r#"
      - id: namespace
        op: aws.servicediscovery.private_dns_namespace
        with: { name: local, vpc_id: "${vpc.vpc_id}", description: of the app, soa_ttl: 30 }"#;
const ECS_CLUSTER: &str = r#"
      - id: containers
        op: aws.ecs.cluster
        with: { cluster_name: app }"#;
const DEFINITION: &str = r#"
      - id: definition
        op: aws.ecs.task_definition
        with:
          family: app
          cpu: "256"
          memory: "512"
          network_mode: awsvpc
          requires_compatibilities: [FARGATE]
          task_role_arn: "${role.role_arn}"
          container_definitions:
            - { name: app, image: "app:1", portMappings: [{ containerPort: 80 }], environment: [{ name: A, value: "1" }] }"#;
const SECOND_DEFINITION: &str = r#"
      - id: second
        op: aws.ecs.task_definition
        with:
          family: app
          cpu: "256"
          memory: "512"
          network_mode: awsvpc
          requires_compatibilities: [FARGATE]
          container_definitions: '[{"name": "app", "image": "app:2"}]'"#;
const SERVICE: &str = r#"
      - id: service
        op: aws.ecs.service
        with:
          cluster: "${containers.cluster_name}"
          service_name: web
          task_definition: "${definition.task_definition_arn}"
          desired_count: 2
          launch_type: FARGATE
          network_configuration:
            awsvpc_configuration: { subnets: "${subnet[*].subnet_id}", security_groups: ["${group.group_id}"] }
          deployment_configuration: { deployment_circuit_breaker: { enable: true, rollback: true } }
          propagate_tags: SERVICE"#;
const TOPIC: &str = r#"
      - id: topic
        op: aws.sns.topic
        with: { name: alerts, display_name: Alerts, tags: { Name: alerts } }"#;

const RUNNER: &str = r#"
      - id: runner
        op: aws.iam.role
        with:
          role_name: Runner
          assume_role_policy_document:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Principal: { Service: [lambda.amazonaws.com, backup.amazonaws.com] }
                Action: sts:AssumeRole"#;
const BUCKET: &str = r#"
      - id: bucket
        op: aws.s3.bucket
        with:
          bucket: app-artifacts
          versioning: true
          encryption: { sse_algorithm: AES256 }
          lifecycle_rules: [{ id: tidy, noncurrent_version_expiration_days: 30 }]
          tags: { Name: artifacts }"#;
const OBJECT: &str = r#"
      - id: object
        op: aws.s3.object
        with: { bucket: "${bucket.bucket}", key: code/app.zip, files: { app.py: "def handler(event, context): pass" } }"#;
const FUNCTION: &str = r#"
      - id: function
        op: aws.lambda.function
        with:
          function_name: app
          runtime: python3.13
          role: "${runner.role_arn}"
          handler: app.handler
          code:
            s3_bucket: "${object.bucket}"
            s3_key: "${object.key}"
            s3_object_version: "${object.version_id}"
            sha256: "${object.sha256}"
          environment: { CLUSTER: app }
          timeout: 30"#;
const VAULT: &str = r#"
      - id: vault
        op: aws.backup.vault
        with: { backup_vault_name: app-checkpoint, tags: { Name: checkpoint } }"#;

const STREAM_TABLE: &str = r#"
      - id: table
        op: aws.dynamodb.table
        with:
          table_name: Events
          attribute_definitions:
            - { attribute_name: StreamName, attribute_type: S }
            - { attribute_name: SequenceNumber, attribute_type: N }
          key_schema:
            - { attribute_name: StreamName, key_type: HASH }
            - { attribute_name: SequenceNumber, key_type: RANGE }
          billing_mode: PAY_PER_REQUEST"#;

const PG_DATABASE: &str = r#"
      - id: database
        op: postgres.database
        with:
          connection: { host: db.example, user: postgres, password: "${inputs.password}" }
          name: app"#;
const PG_SCHEMA: &str = r#"
      - id: schema
        op: postgres.migrations
        with:
          connection: { host: db.example, user: postgres, password: "${inputs.password}", database: "${database.name}" }
          migrations:
            001_core.up.sql: "CREATE SCHEMA core; CREATE TABLE core.agents (id uuid PRIMARY KEY, name text);"
            001_core.down.sql: "DROP TABLE core.agents; DROP SCHEMA core;"
            002_index.up.sql: "CREATE INDEX by_name ON core.agents (name);"
            002_index.down.sql: "DROP INDEX core.by_name;"
          expect: [core.agents]"#;

/// Each operation: what it is made on, and how to make it, as the last step of a runbook.
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
    ("aws.ec2.internet_gateway_attachment", &[VPC, GATEWAY], ATTACHMENT),
    ("aws.ec2.security_group", &[VPC], GROUP),
    (
        "aws.ec2.security_group_rule",
        &[VPC, GROUP],
        r#"
      - id: rule
        op: aws.ec2.security_group_rule
        with: { group_id: "${group.group_id}", ip_protocol: tcp, from_port: 443, to_port: 443, cidr_ipv4: 10.0.0.0/8 }"#,
    ),
    ("aws.ec2.elastic_ip", &[], ADDRESS),
    (
        "aws.ec2.nat_gateway",
        &[VPC, SUBNETS, GATEWAY, ATTACHMENT, ADDRESS],
        r#"
      - id: nat
        op: aws.ec2.nat_gateway
        needs: [attachment]
        with: { subnet_id: "${subnet[1a].subnet_id}", allocation_id: "${address.allocation_id}" }"#,
    ),
    ("aws.ec2.route_table", &[VPC], TABLE),
    (
        "aws.ec2.route",
        &[VPC, GATEWAY, ATTACHMENT, TABLE],
        r#"
      - id: route
        op: aws.ec2.route
        needs: [attachment]
        with:
          route_table_id: "${table.route_table_id}"
          destination_cidr_block: 0.0.0.0/0
          gateway_id: "${gateway.internet_gateway_id}""#,
    ),
    (
        "aws.ec2.route_table_association",
        &[VPC, SUBNETS, TABLE],
        r#"
      - id: association
        op: aws.ec2.route_table_association
        with: { route_table_id: "${table.route_table_id}", subnet_id: "${subnet[1a].subnet_id}" }"#,
    ),
    (
        "aws.ec2.vpc_endpoint",
        &[VPC, SUBNETS, GROUP],
        r#"
      - id: endpoint
        op: aws.ec2.vpc_endpoint
        with:
          vpc_id: "${vpc.vpc_id}"
          service_name: com.amazonaws.us-east-1.logs
          vpc_endpoint_type: Interface
          subnet_ids: "${subnet[*].subnet_id}"
          security_group_ids: ["${group.group_id}"]
          private_dns_enabled: true"#,
    ),
    ("aws.rds.db_subnet_group", &[VPC, SUBNETS], SUBNET_GROUP),
    ("aws.rds.db_cluster_parameter_group", &[], PARAMETERS),
    ("aws.rds.db_cluster", &[VPC, SUBNETS, GROUP, SUBNET_GROUP], CLUSTER),
    (
        "aws.rds.db_instance",
        &[VPC, SUBNETS, GROUP, SUBNET_GROUP, CLUSTER],
        r#"
      - id: instance
        op: aws.rds.db_instance
        with:
          db_instance_identifier: app-1
          db_cluster_identifier: "${cluster.db_cluster_identifier}"
          db_instance_class: db.serverless
          engine: aurora-postgresql"#,
    ),
    (
        "aws.dynamodb.table",
        &[],
        r#"
      - id: table
        op: aws.dynamodb.table
        with:
          table_name: Cache
          attribute_definitions:
            - { attribute_name: Id, attribute_type: S }
            - { attribute_name: At, attribute_type: N }
            - { attribute_name: Type, attribute_type: S }
          key_schema: [{ attribute_name: Id, key_type: HASH }, { attribute_name: At, key_type: RANGE }]
          provisioned_throughput: { read_capacity_units: 10, write_capacity_units: 10 }
          global_secondary_indexes:
            - index_name: TypeIndex
              key_schema: [{ attribute_name: Type, key_type: HASH }, { attribute_name: At, key_type: RANGE }]
              projection: { projection_type: ALL }
              provisioned_throughput: { read_capacity_units: 5, write_capacity_units: 5 }
          stream_specification: { stream_enabled: true, stream_view_type: NEW_AND_OLD_IMAGES }
          point_in_time_recovery: true
          deletion_protection_enabled: true"#,
    ),
    ("aws.elbv2.target_group", &[VPC], TARGETS),
    ("aws.elbv2.load_balancer", &[VPC, SUBNETS, GROUP], BALANCER),
    ("aws.elbv2.listener", &[VPC, SUBNETS, GROUP, TARGETS, BALANCER], LISTENER),
    (
        "aws.elbv2.listener_rule",
        &[VPC, SUBNETS, GROUP, TARGETS, BALANCER, LISTENER],
        r#"
      - id: rule
        op: aws.elbv2.listener_rule
        with:
          listener_arn: "${listener.listener_arn}"
          priority: 10
          conditions: [{ field: path-pattern, values: ["/old/*"] }]
          actions: [{ type: redirect, redirect_config: { status_code: HTTP_301, path: /new } }]"#,
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
          settings: [{ name: containerInsights, value: enabled }]"#,
    ),
    ("aws.ecs.task_definition", &[ROLE], DEFINITION),
    ("aws.ecs.service", &[VPC, SUBNETS, GROUP, ECS_CLUSTER, ROLE, DEFINITION], SERVICE),
    (
        "aws.ecs.service_update",
        &[VPC, SUBNETS, GROUP, ECS_CLUSTER, ROLE, DEFINITION, SECOND_DEFINITION, SERVICE],
        r#"
      - id: update
        op: aws.ecs.service_update
        with:
          cluster: "${service.cluster}"
          service: "${service.service_name}"
          task_definition: "${second.task_definition_arn}"
          desired_count: 3"#,
    ),
    (
        "aws.ecs.run_task",
        &[VPC, SUBNETS, GROUP, ECS_CLUSTER, SECOND_DEFINITION],
        r#"
      - id: migrate
        op: aws.ecs.run_task
        with:
          cluster: "${containers.cluster_name}"
          task_definition: "${second.task_definition_arn}"
          launch_type: FARGATE
          network_configuration:
            awsvpc_configuration: { subnets: "${subnet[*].subnet_id}", security_groups: ["${group.group_id}"] }
          overrides: { container_overrides: [{ name: app, command: [migrate, up] }] }
          undo: { overrides: { container_overrides: [{ name: app, command: [migrate, down] }] } }"#,
    ),
    ("aws.ecr.repository", &[], REPOSITORY),
    (
        "aws.ecr.lifecycle_policy",
        &[REPOSITORY],
        r#"
      - id: lifecycle
        op: aws.ecr.lifecycle_policy
        with:
          repository_name: "${repository.repository_name}"
          lifecycle_policy_text: '{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}}]}'"#,
    ),
    (
        "aws.logs.log_group",
        &[],
        r#"
      - id: logs
        op: aws.logs.log_group
        with: { log_group_name: /ecs/app, retention_in_days: 30 }"#,
    ),
    ("aws.sns.topic", &[], TOPIC),
    (
        "aws.sns.topic_policy",
        &[TOPIC],
        r#"
      - id: policy
        op: aws.sns.topic_policy
        with:
          topic_arn: "${topic.topic_arn}"
          policy:
            Version: "2012-10-17"
            Statement:
              - Effect: Allow
                Principal: { Service: cloudwatch.amazonaws.com }
                Action: sns:Publish
                Resource: "${topic.topic_arn}""#,
    ),
    (
        "aws.sns.subscription",
        &[TOPIC],
        r#"
      - id: subscription
        op: aws.sns.subscription
        with:
          topic_arn: "${topic.topic_arn}"
          protocol: lambda
          endpoint: arn:aws:lambda:us-east-1:123456789012:function:handler
          filter_policy: { severity: [high] }"#,
    ),
    (
        "aws.cloudwatch.metric_alarm",
        &[TOPIC],
        r#"
      - id: alarm
        op: aws.cloudwatch.metric_alarm
        with:
          alarm_name: app-errors
          namespace: AWS/ApplicationELB
          metric_name: HTTPCode_Target_4XX_Count
          dimensions: { LoadBalancer: app/web/50dc6c495c0c9188 }
          statistic: Sum
          period: 300
          evaluation_periods: 2
          threshold: 100
          comparison_operator: GreaterThanThreshold
          treat_missing_data: notBreaching
          alarm_actions: ["${topic.topic_arn}"]"#,
    ),
    ("aws.iam.role", &[], ROLE),
    (
        "aws.iam.role_policy_attachment",
        &[ROLE],
        r#"
      - id: attachment
        op: aws.iam.role_policy_attachment
        with:
          role_name: "${role.role_name}"
          policy_arn: arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"#,
    ),
    ("aws.iam.policy", &[], POLICY),
    (
        "aws.iam.role_inline_policy",
        &[ROLE],
        r#"
      - id: inline
        op: aws.iam.role_inline_policy
        with:
          role_name: "${role.role_name}"
          policy_name: Secrets
          policy_document:
            Version: "2012-10-17"
            Statement: [{ Effect: Allow, Action: "secretsmanager:GetSecretValue", Resource: "*" }]"#,
    ),
    ("aws.secretsmanager.secret", &[], SECRET),
    (
        "aws.secretsmanager.secret_value",
        &[SECRET],
        r#"
      - id: value
        op: aws.secretsmanager.secret_value
        with: { secret_id: "${secret.arn}", generate: { length: 20, exclude_punctuation: true } }"#,
    ),
    (
        "aws.ssm.parameter",
        &[],
        r#"
      - id: parameter
        op: aws.ssm.parameter
        with: { name: /app/token, type: SecureString, value: "${inputs.password}", description: of the app }"#,
    ),
    ("aws.servicediscovery.private_dns_namespace", &[VPC], NAMESPACE),
    (
        "aws.servicediscovery.service",
        &[VPC, NAMESPACE],
        r#"
      - id: service
        op: aws.servicediscovery.service
        with:
          name: orchestrator
          namespace_id: "${namespace.namespace_id}"
          dns_config: { dns_records: [{ type: A, ttl: 10 }, { type: SRV, ttl: 10 }] }
          health_check_custom_config: { failure_threshold: 1 }"#,
    ),
    ("aws.kms.key", &[], KEY),
    (
        "container.image",
        &[],
        r#"
      - id: image
        op: container.image
        with: { repository: registry.example/team/app, tag: v1, layout: { executables: { /app: "x" }, entrypoint: [/app] } }"#,
    ),
    (
        "aws.kms.alias",
        &[KEY],
        r#"
      - id: alias
        op: aws.kms.alias
        with: { alias_name: alias/app, target_key_id: "${key.key_id}" }"#,
    ),
    ("aws.s3.bucket", &[], BUCKET),
    ("aws.s3.object", &[BUCKET], OBJECT),
    ("aws.lambda.function", &[RUNNER, BUCKET, OBJECT], FUNCTION),
    (
        "aws.lambda.permission",
        &[RUNNER, BUCKET, OBJECT, FUNCTION],
        r#"
      - id: permission
        op: aws.lambda.permission
        with:
          function_name: "${function.function_name}"
          statement_id: alerts
          action: lambda:InvokeFunction
          principal: sns.amazonaws.com
          source_arn: arn:aws:sns:us-east-1:123456789012:alerts"#,
    ),
    ("aws.backup.vault", &[], VAULT),
    (
        "aws.backup.plan",
        &[VAULT],
        r#"
      - id: plan
        op: aws.backup.plan
        with:
          backup_plan_name: daily
          rules:
            - rule_name: daily
              target_backup_vault_name: "${vault.backup_vault_name}"
              schedule_expression: cron(0 5 ? * * *)
              lifecycle: { delete_after_days: 7 }"#,
    ),
    (
        "aws.backup.job",
        &[RUNNER, BUCKET, VAULT],
        r#"
      - id: job
        op: aws.backup.job
        with:
          backup_vault_name: "${vault.backup_vault_name}"
          resource_arn: "${bucket.bucket_arn}"
          iam_role_arn: "${runner.role_arn}"
          delete_recovery_point: true"#,
    ),
    ("postgres.database", &[], PG_DATABASE),
    ("postgres.migrations", &[PG_DATABASE], PG_SCHEMA),
    (
        "postgres.import",
        &[PG_DATABASE, PG_SCHEMA],
        r#"
      - id: import
        op: postgres.import
        with:
          connection: { host: db.example, user: postgres, password: "${inputs.password}", database: "${schema.database}" }
          table: core.agents
          path: agents.jsonl
          columns: { name: name }
          batch_rows: 2"#,
    ),
    (
        "nats.jetstream_to_dynamodb",
        &[STREAM_TABLE],
        r#"
      - id: copy
        op: nats.jetstream_to_dynamodb
        with: { server: { url: "nats://nats.local:4222" }, stream: EVENTS, table_name: "${table.table_name}" }"#,
    ),
];

fn runbook(kind: &str) -> String {
    let (_, before, step) = CASES.iter().find(|(k, ..)| *k == kind).expect("a case");
    format!(
        "runbook: conformance\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"${{inputs.account}}\" }}\ninputs:\n  account: {{ type: string }}\n  password: {{ type: secret }}\nphases:\n  - name: only\n    steps:{}{step}\n",
        before.concat()
    )
}

fn conforms(kind: &str) {
    let runbook = runbook(kind);
    on_paused_time(async {
        let (cloud, plan) = (Cloud::new().await, planned(&runbook));
        cloud.model(&plan).await;
        let done = conform(rig(plan, cloud.clone()), cloud).await;
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

/// What an operation makes, the sandbox's other principals can delete: a new kind wants a row in its table.
#[test]
fn somebody_else_can_delete_what_an_operation_makes() {
    for (kind, ..) in CASES {
        on_paused_time(async {
            let cloud = Cloud::new().await;
            let plan = planned(&runbook(kind));
            cloud.model(&plan).await;
            rig(plan, cloud.clone()).execute(&Command::Apply, None).await;
            let world = cloud.sandbox.world().await;
            let made = world.resources.iter().filter(|r| r.tags.keys().any(|key| key == "switchback:run"));
            let made: Vec<_> = made.chain(world.of_kind("kms-alias").filter(|alias| !alias.default)).collect();
            assert!(!made.is_empty(), "{kind}: {world:?}");
            let start = cloud.sandbox.snapshot().await;
            for r in made {
                cloud.sandbox.restore(&start).await;
                let meddled = cloud.sandbox.meddle(&r.id, Meddling::Delete).await;
                assert!(meddled.is_some(), "{kind}: no row for {}", r.kind);
            }
        });
    }
}

/// A test for each, so that they run at the same time.
macro_rules! tests {
    ($($name:ident, $kind:literal;)*) => {
        $(
            #[test]
            fn $name() {
                conforms($kind);
            }
        )*
    };
}

tests! {
    vpc, "aws.ec2.vpc";
    subnet, "aws.ec2.subnet";
    internet_gateway, "aws.ec2.internet_gateway";
    internet_gateway_attachment, "aws.ec2.internet_gateway_attachment";
    security_group, "aws.ec2.security_group";
    security_group_rule, "aws.ec2.security_group_rule";
    elastic_ip, "aws.ec2.elastic_ip";
    nat_gateway, "aws.ec2.nat_gateway";
    route_table, "aws.ec2.route_table";
    route, "aws.ec2.route";
    route_table_association, "aws.ec2.route_table_association";
    vpc_endpoint, "aws.ec2.vpc_endpoint";
    db_subnet_group, "aws.rds.db_subnet_group";
    db_cluster_parameter_group, "aws.rds.db_cluster_parameter_group";
    db_cluster, "aws.rds.db_cluster";
    db_instance, "aws.rds.db_instance";
    dynamodb_table, "aws.dynamodb.table";
    target_group, "aws.elbv2.target_group";
    load_balancer, "aws.elbv2.load_balancer";
    listener, "aws.elbv2.listener";
    listener_rule, "aws.elbv2.listener_rule";
    ecs_cluster, "aws.ecs.cluster";
    task_definition, "aws.ecs.task_definition";
    ecs_service, "aws.ecs.service";
    service_update, "aws.ecs.service_update";
    run_task, "aws.ecs.run_task";
    repository, "aws.ecr.repository";
    lifecycle_policy, "aws.ecr.lifecycle_policy";
    log_group, "aws.logs.log_group";
    sns_topic, "aws.sns.topic";
    topic_policy, "aws.sns.topic_policy";
    subscription, "aws.sns.subscription";
    metric_alarm, "aws.cloudwatch.metric_alarm";
    role, "aws.iam.role";
    role_policy_attachment, "aws.iam.role_policy_attachment";
    policy, "aws.iam.policy";
    role_inline_policy, "aws.iam.role_inline_policy";
    secret, "aws.secretsmanager.secret";
    secret_value, "aws.secretsmanager.secret_value";
    parameter, "aws.ssm.parameter";
    private_dns_namespace, "aws.servicediscovery.private_dns_namespace";
    discovery_service, "aws.servicediscovery.service";
    key, "aws.kms.key";
    alias, "aws.kms.alias";
    image, "container.image";
    pg_database, "postgres.database";
    pg_migrations, "postgres.migrations";
    pg_import, "postgres.import";
    jetstream_to_dynamodb, "nats.jetstream_to_dynamodb";
    bucket, "aws.s3.bucket";
    object, "aws.s3.object";
    function, "aws.lambda.function";
    permission, "aws.lambda.permission";
    backup_vault, "aws.backup.vault";
    backup_plan, "aws.backup.plan";
    backup_job, "aws.backup.job";
}
