//! What is left of a run outside EC2, by the Resource Groups Tagging API.
//!
//! It lists what carries a tag in a region, for most services in one place, without saying in which state
//! it is, and goes on listing it for a while when it is gone. So each thing is asked for once more at its
//! own service, where its kind is known here. What an undo leaves behind on purpose is not left over: a
//! key that waits for its deletion, a secret that does, a snapshot, a backup, an inactive cluster. EC2 is asked by
//! itself ([`ec2::sweep`](crate::ec2::sweep)). Roles are not listed: their names are unique, and `verify`
//! has looked at each.

use aws_sdk_dynamodb::types::TableStatus;
use aws_sdk_resourcegroupstagging::types::{ResourceTagMapping, TagFilter};
use switchback_engine::provider::CallLog;
use switchback_model::record::Leftover;
use switchback_model::{OpResult, RunId};

use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::kms;
use crate::tags;

/// How many resources the service returns a page.
const PAGE: i32 = 100;

/// The parts of an ARN that say what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arn<'a> {
    /// `rds`.
    service: &'a str,
    /// `cluster`; empty where a service has one kind of resource and does not name it.
    kind: &'a str,
    /// What follows the kind: a name, a path, an id.
    name: &'a str,
}

impl<'a> Arn<'a> {
    /// What is no ARN is of no service.
    fn new(arn: &'a str) -> Self {
        let mut parts = arn.splitn(6, ':').skip(2);
        let (service, resource) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
        let (kind, name) = resource.split_once([':', '/']).unwrap_or(("", resource));
        Self { service, kind, name }
    }

    /// In words: `rds cluster`.
    fn described(self) -> String {
        format!("{} {}", self.service, self.kind).trim_end().to_owned()
    }
}

/// Resources outside EC2 that still carry the run's tags, in the context's region.
///
/// # Errors
/// When a service cannot be asked.
pub(crate) async fn sweep(context: &AwsContext, calls: &CallLog, prefix: &str, run: RunId) -> OpResult<Vec<Leftover>> {
    let filter = TagFilter::builder().key(format!("{prefix}:run")).values(run.to_string()).build();
    let list = context.tagging_of_no_step(calls.clone()).get_resources().tag_filters(filter).resources_per_page(PAGE);
    let listed: Vec<ResourceTagMapping> = list
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| op_error(Call::new("tag:GetResources", "what the run made"), e))?;
    let mut left = Vec::new();
    for resource in &listed {
        let text = resource.resource_arn().unwrap_or_default();
        let arn = Arn::new(text);
        if arn.service == "ec2" || !is_left(context, calls, text, arn).await? {
            continue;
        }
        let tags = tags::read(resource.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
        let value = |key: &str| tags.get(&format!("{prefix}:{key}"));
        left.push(Leftover {
            resource_type: arn.described(),
            id: text.to_owned(),
            step: value("step").cloned().unwrap_or_default(),
            generation: value("generation").and_then(|g| g.parse().ok()).unwrap_or_default(),
            target: None,
        });
    }
    Ok(left)
}

/// Asks the service whether what is listed is there, and is not what an undo leaves behind on purpose.
async fn is_left(context: &AwsContext, calls: &CallLog, text: &str, arn: Arn<'_>) -> OpResult<bool> {
    let calls = calls.clone();
    Ok(match (arn.service, arn.kind) {
        ("rds", "cluster-snapshot" | "snapshot" | "cluster-auto-backup" | "auto-backup") => false,
        ("rds", "cluster") => {
            let ask = context.rds_of_no_step(calls).describe_db_clusters().db_cluster_identifier(arn.name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("rds:DescribeDBClusters", text), e)))?;
            reply.is_some_and(|reply| !reply.db_clusters().is_empty())
        }
        ("rds", "db") => {
            let ask = context.rds_of_no_step(calls).describe_db_instances().db_instance_identifier(arn.name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("rds:DescribeDBInstances", text), e)))?;
            reply.is_some_and(|reply| !reply.db_instances().is_empty())
        }
        ("rds", "subgrp") => {
            let ask = context.rds_of_no_step(calls).describe_db_subnet_groups().db_subnet_group_name(arn.name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("rds:DescribeDBSubnetGroups", text), e)))?;
            reply.is_some_and(|reply| !reply.db_subnet_groups().is_empty())
        }
        ("rds", "cluster-pg") => {
            let ask = context.rds_of_no_step(calls).describe_db_cluster_parameter_groups();
            let ask = ask.db_cluster_parameter_group_name(arn.name).send();
            let call = Call::new("rds:DescribeDBClusterParameterGroups", text);
            let reply = found(ask.await.map_err(|e| op_error(call, e)))?;
            reply.is_some_and(|reply| !reply.db_cluster_parameter_groups().is_empty())
        }
        ("elasticloadbalancing", "loadbalancer") => {
            let ask = context.elbv2_of_no_step(calls).describe_load_balancers().load_balancer_arns(text).send();
            let call = Call::new("elasticloadbalancing:DescribeLoadBalancers", text);
            found(ask.await.map_err(|e| op_error(call, e)))?.is_some_and(|reply| !reply.load_balancers().is_empty())
        }
        ("elasticloadbalancing", "targetgroup") => {
            let ask = context.elbv2_of_no_step(calls).describe_target_groups().target_group_arns(text).send();
            let call = Call::new("elasticloadbalancing:DescribeTargetGroups", text);
            found(ask.await.map_err(|e| op_error(call, e)))?.is_some_and(|reply| !reply.target_groups().is_empty())
        }
        ("elasticloadbalancing", "listener") => {
            let ask = context.elbv2_of_no_step(calls).describe_listeners().listener_arns(text).send();
            let call = Call::new("elasticloadbalancing:DescribeListeners", text);
            found(ask.await.map_err(|e| op_error(call, e)))?.is_some_and(|reply| !reply.listeners().is_empty())
        }
        ("elasticloadbalancing", "listener-rule") => {
            let ask = context.elbv2_of_no_step(calls).describe_rules().rule_arns(text).send();
            let call = Call::new("elasticloadbalancing:DescribeRules", text);
            found(ask.await.map_err(|e| op_error(call, e)))?.is_some_and(|reply| !reply.rules().is_empty())
        }
        ("dynamodb", "table") => {
            let name = arn.name.split('/').next().unwrap_or_default();
            let ask = context.dynamodb_of_no_step(calls).describe_table().table_name(name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("dynamodb:DescribeTable", text), e)))?;
            reply.and_then(|reply| reply.table).is_some_and(|it| it.table_status() != Some(&TableStatus::Deleting))
        }
        ("ecr", "repository") => {
            let ask = context.ecr_of_no_step(calls).describe_repositories().repository_names(arn.name).send();
            found(ask.await.map_err(|e| op_error(Call::new("ecr:DescribeRepositories", text), e)))?.is_some()
        }
        ("ecs", "cluster") => {
            let ask = context.ecs_of_no_step(calls).describe_clusters().clusters(text).send();
            let reply = ask.await.map_err(|e| op_error(Call::new("ecs:DescribeClusters", text), e))?;
            reply.clusters().iter().any(|cluster| cluster.status() != Some("INACTIVE"))
        }
        ("ecs", "service") => {
            let (cluster, name) = arn.name.split_once('/').unwrap_or(("default", arn.name));
            let ask = context.ecs_of_no_step(calls).describe_services().cluster(cluster).services(name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("ecs:DescribeServices", text), e)))?;
            reply.is_some_and(|reply| reply.services().iter().any(|it| it.status() != Some("INACTIVE")))
        }
        ("ecs", "task-definition") => {
            let ask = context.ecs_of_no_step(calls).describe_task_definition().task_definition(text).send();
            let reply = ask.await.map_err(|e| op_error(Call::new("ecs:DescribeTaskDefinition", text), e));
            match reply {
                Ok(reply) => {
                    reply.task_definition().is_some_and(|it| it.status().is_some_and(|s| s.as_str() == "ACTIVE"))
                }
                // It has no code of its own.
                Err(e) if e.code.as_deref() == Some("ClientException") => false,
                Err(e) => return Err(e),
            }
        }
        ("ecs", "task") => {
            let cluster = arn.name.split_once('/').map_or("default", |(cluster, _)| cluster);
            let ask = context.ecs_of_no_step(calls).describe_tasks().cluster(cluster).tasks(text).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("ecs:DescribeTasks", text), e)))?;
            reply.is_some_and(|reply| reply.tasks().iter().any(|it| it.last_status() != Some("STOPPED")))
        }
        ("logs", "log-group") => {
            // A name may end with a star in an ARN; a prefix is that of longer names too.
            let name = arn.name.trim_end_matches(":*");
            let ask = context.logs_of_no_step(calls).describe_log_groups().log_group_name_prefix(name);
            let pages = ask.into_paginator().items().send();
            let groups = pages.try_collect().await;
            let groups = groups.map_err(|e| op_error(Call::new("logs:DescribeLogGroups", text), e))?;
            groups.iter().any(|group| group.log_group_name() == Some(name))
        }
        ("kms", "key") => {
            let ask = context.kms_of_no_step(calls).describe_key().key_id(text).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("kms:DescribeKey", text), e)))?;
            reply.and_then(|reply| reply.key_metadata).is_some_and(|key| !kms::waits_for_deletion(&key))
        }
        ("secretsmanager", "secret") => {
            let ask = context.secretsmanager_of_no_step(calls).describe_secret().secret_id(text).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("secretsmanager:DescribeSecret", text), e)))?;
            reply.is_some_and(|secret| secret.deleted_date().is_none())
        }
        ("ssm", "parameter") => {
            // A name of one part may have a slash before it or none, which its ARN does not tell.
            let names = vec![format!("/{}", arn.name), arn.name.to_owned()];
            let names = if arn.name.contains('/') { names[..1].to_vec() } else { names };
            let ask = context.ssm_of_no_step(calls).get_parameters().set_names(Some(names)).send();
            let reply = ask.await.map_err(|e| op_error(Call::new("ssm:GetParameters", text), e))?;
            !reply.parameters().is_empty()
        }
        ("servicediscovery", "namespace") => {
            let ask = context.servicediscovery_of_no_step(calls).get_namespace().id(arn.name).send();
            found(ask.await.map_err(|e| op_error(Call::new("servicediscovery:GetNamespace", text), e)))?.is_some()
        }
        ("servicediscovery", "service") => {
            let ask = context.servicediscovery_of_no_step(calls).get_service().id(arn.name).send();
            found(ask.await.map_err(|e| op_error(Call::new("servicediscovery:GetService", text), e)))?.is_some()
        }
        ("sns", "") => {
            let ask = context.sns_of_no_step(calls).get_topic_attributes().topic_arn(text).send();
            found(ask.await.map_err(|e| op_error(Call::new("sns:GetTopicAttributes", text), e)))?.is_some()
        }
        ("cloudwatch", "alarm") => {
            let ask = context.cloudwatch_of_no_step(calls).describe_alarms().alarm_names(arn.name).send();
            let reply = ask.await.map_err(|e| op_error(Call::new("cloudwatch:DescribeAlarms", text), e))?;
            !reply.metric_alarms().is_empty()
        }
        ("s3", "") => {
            let ask = context.s3_of_no_step(calls).head_bucket().bucket(arn.name).send();
            found(ask.await.map_err(|e| op_error(Call::new("s3:HeadBucket", text), e)))?.is_some()
        }
        ("lambda", "function") => {
            let ask = context.lambda_of_no_step(calls).get_function_configuration().function_name(text).send();
            found(ask.await.map_err(|e| op_error(Call::new("lambda:GetFunctionConfiguration", text), e)))?.is_some()
        }
        ("backup", "recovery-point") => false,
        ("backup", "backup-vault") => {
            // A vault that is not there is listed by nobody; one that holds something stays for that.
            let mut pages = context.backup_of_no_step(calls).list_backup_vaults().into_paginator().items().send();
            let mut left = false;
            while let Some(vault) = pages.next().await {
                let vault = vault.map_err(|e| op_error(Call::new("backup:ListBackupVaults", text), e))?;
                left |= vault.backup_vault_arn() == Some(text) && vault.number_of_recovery_points() == 0;
            }
            left
        }
        ("backup", "backup-plan") => {
            let ask = context.backup_of_no_step(calls).get_backup_plan().backup_plan_id(arn.name).send();
            let reply = found(ask.await.map_err(|e| op_error(Call::new("backup:GetBackupPlan", text), e)))?;
            reply.is_some_and(|plan| plan.deletion_date().is_none())
        }
        ("iam", "policy") => {
            let ask = context.iam_of_no_step(calls).get_policy().policy_arn(text).send();
            found(ask.await.map_err(|e| op_error(Call::new("iam:GetPolicy", text), e)))?.is_some()
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use switchback_engine::provider::no_log;

    use super::*;
    use crate::testing::{Answer, Script};

    const GONE: Answer = Answer::Reply(400, r#"{"__type":"NotFoundException"}"#);

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn listed(arns: &[&str], next: &str) -> Answer {
        let of = |arn: &&str| {
            let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
            let tags = [tag("switchback:step", "subnet/1a"), tag("switchback:generation", "2"), tag("a", "b")];
            json!({"ResourceARN": format!("arn:aws:{arn}"), "Tags": tags})
        };
        let resources: Vec<_> = arns.iter().map(of).collect();
        reply(&json!({"PaginationToken": next, "ResourceTagMappingList": resources}))
    }

    async fn swept(answers: Vec<Answer>) -> Vec<String> {
        let (script, asked) = (Script::new(answers.clone()), answers.len());
        let context = AwsContext::new(script.config()).await;
        let run = RunId::new(uuid::Uuid::from_u128(7));
        let left = sweep(&context, &no_log(), "switchback", run).await.unwrap();
        assert_eq!(script.requests(), asked);
        assert!(left.iter().all(|l| l.step == "subnet/1a" && l.generation == 2));
        left.into_iter().map(|l| l.resource_type).collect()
    }

    #[test]
    fn an_arn_says_what_it_is_of() {
        for (text, service, kind, name) in [
            ("arn:aws:rds:us-east-1:123456789012:cluster:app", "rds", "cluster", "app"),
            ("arn:aws:ecr:us-east-1:123456789012:repository/a/b", "ecr", "repository", "a/b"),
            ("arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app", "logs", "log-group", "/ecs/app"),
            ("arn:aws:sqs:us-east-1:123456789012:queue", "sqs", "", "queue"),
            ("nonsense", "", "", ""),
        ] {
            assert_eq!(Arn::new(text), Arn { service, kind, name }, "{text}");
        }
        assert_eq!(Arn::new("arn:aws:sqs:us-east-1:123456789012:queue").described(), "sqs");
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_is_read_and_what_is_unknown_is_left() {
        let (queue, stream) = ("sqs:us-east-1:123456789012:queue", "kinesis:us-east-1:123456789012:stream/x");
        let instance = "ec2:us-east-1:123456789012:instance/i-1";
        assert_eq!(
            swept(vec![listed(&[queue, instance], "more"), listed(&[stream], "")]).await,
            ["sqs", "kinesis stream"]
        );
        assert!(swept(vec![listed(&[], "")]).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_and_what_stays_on_purpose_is_not_left() {
        let of = |kind: &str| format!("{kind}-1234abcd");
        let key = |state: &str| reply(&json!({"KeyMetadata": {"KeyId": "k", "KeyState": state}}));
        let definition = |status: &str| reply(&json!({"taskDefinition": {"status": status}}));
        let cluster = |status: &str| reply(&json!({"clusters": [{"status": status}]}));
        let secret = |deleted: Value| reply(&json!({"Name": "s", "DeletedDate": deleted}));
        let groups = |names: &[&str]| {
            let groups: Vec<_> = names.iter().map(|name| json!({"logGroupName": name})).collect();
            reply(&json!({"logGroups": groups}))
        };
        let rds_gone =
            Answer::Reply(404, "<ErrorResponse><Error><Code>DBClusterNotFoundFault</Code></Error></ErrorResponse>");
        let rds_there = Answer::Reply(
            200,
            "<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster/></DBClusters>\
             </DescribeDBClustersResult></DescribeDBClustersResponse>",
        );
        for (arn, answer, left) in [
            (of("kms:us-east-1:123456789012:key/"), key("Enabled"), true),
            (of("kms:us-east-1:123456789012:key/"), key("PendingDeletion"), false),
            (of("kms:us-east-1:123456789012:key/"), GONE, false),
            (of("ecs:us-east-1:123456789012:cluster/"), cluster("ACTIVE"), true),
            (of("ecs:us-east-1:123456789012:cluster/"), cluster("INACTIVE"), false),
            ("ecs:us-east-1:1:service/app/web".to_owned(), reply(&json!({"services": [{"status": "ACTIVE"}]})), true),
            (
                "ecs:us-east-1:1:service/app/web".to_owned(),
                reply(&json!({"services": [{"status": "INACTIVE"}]})),
                false,
            ),
            ("ecs:us-east-1:1:task-definition/app:1".to_owned(), definition("ACTIVE"), true),
            ("ecs:us-east-1:1:task-definition/app:1".to_owned(), definition("INACTIVE"), false),
            ("ecs:us-east-1:1:task/app/1".to_owned(), reply(&json!({"tasks": [{"lastStatus": "RUNNING"}]})), true),
            ("ecs:us-east-1:1:task/app/1".to_owned(), reply(&json!({"tasks": [{"lastStatus": "STOPPED"}]})), false),
            (of("secretsmanager:us-east-1:123456789012:secret:"), secret(Value::Null), true),
            (of("secretsmanager:us-east-1:123456789012:secret:"), secret(json!(1.5e9)), false),
            ("logs:us-east-1:123456789012:log-group:/app".to_owned(), groups(&["/app", "/app/web"]), true),
            ("logs:us-east-1:123456789012:log-group:/app:*".to_owned(), groups(&["/app/web"]), false),
            (of("rds:us-east-1:123456789012:cluster:"), rds_there, true),
            (of("rds:us-east-1:123456789012:cluster:"), rds_gone, false),
        ] {
            assert_eq!(swept(vec![listed(&[&arn], ""), answer.clone()]).await.len(), usize::from(left), "{answer:?}");
        }
        let vault = |points: u32| {
            let vault = "arn:aws:backup:us-east-1:123456789012:backup-vault:v";
            reply(&json!({"BackupVaultList": [{"BackupVaultArn": vault, "NumberOfRecoveryPoints": points}]}))
        };
        let s3_gone = Answer::Reply(404, "");
        for (arn, answer, left) in [
            ("backup:us-east-1:123456789012:backup-vault:v", vault(0), true),
            ("backup:us-east-1:123456789012:backup-vault:v", vault(1), false),
            ("backup:us-east-1:123456789012:backup-plan:p", reply(&json!({"BackupPlanId": "p"})), true),
            ("backup:us-east-1:123456789012:backup-plan:p", reply(&json!({"DeletionDate": 1.5e9})), false),
            ("lambda:us-east-1:123456789012:function:f", reply(&json!({"FunctionName": "f"})), true),
            ("lambda:us-east-1:123456789012:function:f", GONE, false),
            ("s3:::bucket", s3_gone, false),
            ("s3:::bucket", reply(&json!({})), true),
        ] {
            assert_eq!(swept(vec![listed(&[arn], ""), answer]).await.len(), usize::from(left), "{arn}");
        }
        assert!(swept(vec![listed(&["backup:us-east-1:123456789012:recovery-point:r"], "")]).await.is_empty());
        assert!(swept(vec![listed(&["rds:us-east-1:123456789012:cluster-snapshot:s"], "")]).await.is_empty());
    }
}
