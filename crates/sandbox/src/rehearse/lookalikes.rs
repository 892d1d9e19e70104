//! Look-alikes: everything that the plan makes is there already, made by another run.
//!
//! They have the same tags but for the run, the same steps, the same names wherever AWS lets two things have one name.
//! Whoever goes by a name, a tag of a step or a value meets them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use switchback_engine::Registry;
use switchback_engine::secrets::Secrets;
use switchback_model::RunId;
use switchback_model::plan::{Plan, Template};
use switchback_model::record::RunSecrets;
use uuid::Uuid;

use super::cloud::Cloud;

/// Parameters that are a name of which there can be only one.
const UNIQUE: &[(&str, &str)] = &[
    ("aws.iam.role", "role_name"),
    ("aws.iam.policy", "policy_name"),
    ("aws.kms.alias", "alias_name"),
    ("aws.ecr.repository", "repository_name"),
    ("aws.ecs.cluster", "cluster_name"),
    ("aws.dynamodb.table", "table_name"),
    ("aws.elbv2.load_balancer", "name"),
    ("aws.elbv2.target_group", "name"),
    ("aws.logs.log_group", "log_group_name"),
    ("aws.secretsmanager.secret", "name"),
    ("aws.ssm.parameter", "name"),
    ("aws.sns.topic", "name"),
    ("aws.cloudwatch.metric_alarm", "alarm_name"),
    ("aws.rds.db_subnet_group", "db_subnet_group_name"),
    ("aws.rds.db_cluster_parameter_group", "db_cluster_parameter_group_name"),
    ("aws.rds.db_cluster", "db_cluster_identifier"),
    ("aws.rds.db_instance", "db_instance_identifier"),
    ("postgres.database", "name"),
    ("aws.s3.bucket", "bucket"),
    ("aws.lambda.function", "function_name"),
    ("aws.backup.vault", "backup_vault_name"),
    ("aws.backup.plan", "backup_plan_name"),
];

/// Makes them.
pub(super) async fn populate(
    cloud: &Cloud,
    plan: &Plan,
    registry: Arc<Registry>,
    secrets: (Option<RunSecrets>, Secrets),
) -> Result<(), String> {
    let other = RunId::new(Uuid::from_u128(0x5b_0000_0000_4000_8000_0000_0000_0002));
    let plan = Arc::new(renamed(plan));
    switchback_rehearsal::populate(cloud, plan, registry, secrets, other).await
}

/// The plan with names of its own where they must be.
fn renamed(plan: &Plan) -> Plan {
    let mut names = BTreeMap::new();
    for step in &plan.steps {
        for (_, param) in UNIQUE.iter().filter(|(op, _)| *op == step.op) {
            if let Some(name) = step.params.known(&[*param]).and_then(Value::as_str) {
                names.insert(name.to_owned(), format!("{name}-theirs"));
            }
        }
    }
    let mut plan = plan.clone();
    for step in &mut plan.steps {
        rename(&mut step.params, &names);
    }
    plan
}

fn rename(template: &mut Template, names: &BTreeMap<String, String>) {
    match template {
        Template::Lit(value) => rename_value(value, names),
        Template::List(all) | Template::Join(all) => all.iter_mut().for_each(|t| rename(t, names)),
        Template::Map(all) => all.values_mut().for_each(|t| rename(t, names)),
        Template::Ref(_) | Template::Secret(_) => {}
    }
}

fn rename_value(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                text.clone_from(name);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|v| rename_value(v, names)),
        Value::Object(all) => all.values_mut().for_each(|v| rename_value(v, names)),
        _ => {}
    }
}
