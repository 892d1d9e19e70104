//! The AWS operations of Switchback.
//!
//! - [`context`]: clients, from an explicit configuration; put into the run's contexts by the caller.
//! - [`intercept`]: every call is fenced (writes), recorded and named.
//! - [`errors`]: what an error of AWS means for the executor.
//! - [`tags`], [`calls`]: ownership, and the facts that all operations share.
//! - [`document`]: policy documents, and when two of them say the same.
//! - [`ids`]: ids as types, which the schemas carry.
//! - [`secret`]: the value of a secret input out of Secrets Manager.
//! - [`provider`]: the account guard, and the sweep for what is left of a run; `sweep`, outside EC2.
//! - [`ec2`] and the other services: the operations of one service in a folder, one file each.
//! - `asked`: settings that were read back, compared in what was asked for.
//! - `zip`: archives of text files, the same bytes for the same files.
//! - `named`: what operations do alike on things that are addressed by name, which are most outside EC2.
//!
//! An operation decides nothing about retries, waits for quiet periods or recovery: it does one
//! thing, and says what it sees. What it is told and what it tells goes through its `Cx`; no clock
//! and no environment is read behind its back.

mod asked;
pub mod backup;
pub mod calls;
mod cidr;
pub mod cloudwatch;
pub mod context;
pub mod document;
pub mod dynamodb;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod elbv2;
pub mod errors;
pub mod http;
pub mod iam;
pub mod ids;
pub mod intercept;
pub mod kms;
pub mod lambda;
pub mod logs;
mod named;
pub mod provider;
pub mod rds;
pub mod s3;
pub mod secret;
pub mod secretsmanager;
pub mod servicediscovery;
pub mod sns;
pub mod ssm;
mod sweep;
pub mod tags;
#[cfg(test)]
mod testing;
mod zip;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

pub use context::{AwsConfig, AwsContext, CredentialSource, QUIET, Role, Secret};
pub use named::patiently;
pub use provider::AwsProvider;

/// Adds every operation of this crate.
///
/// # Errors
/// When a kind is registered already.
pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(cloudwatch::metric_alarm::MetricAlarm)?;
    registry.register(ec2::vpc::Vpc)?;
    registry.register(ec2::subnet::Subnet)?;
    registry.register(ec2::internet_gateway::InternetGateway)?;
    registry.register(ec2::internet_gateway_attachment::InternetGatewayAttachment)?;
    registry.register(ec2::security_group::SecurityGroup)?;
    registry.register(ec2::security_group_rule::SecurityGroupRule)?;
    registry.register(ec2::elastic_ip::ElasticIp)?;
    registry.register(ec2::nat_gateway::NatGateway)?;
    registry.register(ec2::route_table::RouteTable)?;
    registry.register(ec2::route::Route)?;
    registry.register(ec2::route_table_association::RouteTableAssociation)?;
    registry.register(ec2::vpc_endpoint::VpcEndpoint)?;
    registry.register(iam::role::Role)?;
    registry.register(iam::role_policy_attachment::RolePolicyAttachment)?;
    registry.register(iam::policy::Policy)?;
    registry.register(iam::role_inline_policy::RoleInlinePolicy)?;
    registry.register(kms::key::Key)?;
    registry.register(kms::alias::Alias)?;
    registry.register(ecr::lifecycle_policy::LifecyclePolicy)?;
    registry.register(ecr::repository::Repository)?;
    registry.register(ecs::cluster::Cluster)?;
    registry.register(ecs::run_task::RunTask)?;
    registry.register(ecs::service::Service)?;
    registry.register(ecs::service_update::ServiceUpdate)?;
    registry.register(ecs::task_definition::TaskDefinition)?;
    registry.register(dynamodb::table::Table)?;
    registry.register(elbv2::target_group::TargetGroup)?;
    registry.register(elbv2::load_balancer::LoadBalancer)?;
    registry.register(elbv2::listener::Listener)?;
    registry.register(elbv2::listener_rule::ListenerRule)?;
    registry.register(logs::log_group::LogGroup)?;
    registry.register(rds::db_cluster::DbCluster)?;
    registry.register(rds::db_cluster_parameter_group::DbClusterParameterGroup)?;
    registry.register(rds::db_instance::DbInstance)?;
    registry.register(rds::db_subnet_group::DbSubnetGroup)?;
    registry.register(secretsmanager::secret::Secret)?;
    registry.register(secretsmanager::secret_value::SecretValue)?;
    registry.register(servicediscovery::private_dns_namespace::PrivateDnsNamespace)?;
    registry.register(servicediscovery::service::Service)?;
    registry.register(ssm::parameter::Parameter)?;
    registry.register(sns::subscription::Subscription)?;
    registry.register(sns::topic::Topic)?;
    registry.register(sns::topic_policy::TopicPolicy)?;
    registry.register(s3::bucket::Bucket)?;
    registry.register(s3::object::Object)?;
    registry.register(lambda::function::Function)?;
    registry.register(lambda::permission::Permission)?;
    registry.register(backup::vault::Vault)?;
    registry.register(backup::plan::Plan)?;
    registry.register(backup::job::Job)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Journals name operations by kind and version. A line here is never changed: a renamed kind
    /// cannot be found after a crash, and a stored type that changes takes a new version.
    const COMMITTED: &[(&str, u32)] = &[
        ("aws.backup.job", 1),
        ("aws.backup.plan", 1),
        ("aws.backup.vault", 1),
        ("aws.cloudwatch.metric_alarm", 1),
        ("aws.dynamodb.table", 1),
        ("aws.ec2.elastic_ip", 1),
        ("aws.ec2.internet_gateway", 1),
        ("aws.ec2.internet_gateway_attachment", 1),
        ("aws.ec2.nat_gateway", 1),
        ("aws.ec2.route", 1),
        ("aws.ec2.route_table", 1),
        ("aws.ec2.route_table_association", 1),
        ("aws.ec2.security_group", 1),
        ("aws.ec2.security_group_rule", 1),
        ("aws.ec2.subnet", 1),
        ("aws.ec2.vpc", 1),
        ("aws.ec2.vpc_endpoint", 1),
        ("aws.ecr.lifecycle_policy", 1),
        ("aws.ecr.repository", 1),
        ("aws.ecs.cluster", 1),
        ("aws.ecs.run_task", 1),
        ("aws.ecs.service", 1),
        ("aws.ecs.service_update", 1),
        ("aws.ecs.task_definition", 1),
        ("aws.elbv2.listener", 1),
        ("aws.elbv2.listener_rule", 1),
        ("aws.elbv2.load_balancer", 1),
        ("aws.elbv2.target_group", 1),
        ("aws.iam.policy", 1),
        ("aws.iam.role", 1),
        ("aws.iam.role_inline_policy", 1),
        ("aws.iam.role_policy_attachment", 1),
        ("aws.kms.alias", 1),
        ("aws.kms.key", 1),
        ("aws.lambda.function", 1),
        ("aws.lambda.permission", 1),
        ("aws.logs.log_group", 1),
        ("aws.rds.db_cluster", 1),
        ("aws.rds.db_cluster_parameter_group", 1),
        ("aws.rds.db_instance", 1),
        ("aws.rds.db_subnet_group", 1),
        ("aws.s3.bucket", 1),
        ("aws.s3.object", 1),
        ("aws.secretsmanager.secret", 1),
        ("aws.secretsmanager.secret_value", 1),
        ("aws.servicediscovery.private_dns_namespace", 1),
        ("aws.servicediscovery.service", 1),
        ("aws.sns.subscription", 1),
        ("aws.sns.topic", 1),
        ("aws.sns.topic_policy", 1),
        ("aws.ssm.parameter", 1),
    ];

    #[test]
    fn kinds_and_versions_are_those_that_journals_name() {
        let mut registry = Registry::new();
        register(&mut registry).unwrap();
        let kinds: Vec<_> = registry.iter().map(|op| (op.kind(), op.version())).collect();
        assert_eq!(kinds, COMMITTED);
        assert!(register(&mut registry).is_err(), "twice is an error");
    }

    #[test]
    fn every_operation_says_what_it_is_and_shows_how_it_is_used() {
        let mut registry = Registry::new();
        register(&mut registry).unwrap();
        for op in registry.iter() {
            let schema = op.params_schema().to_value();
            let about = schema["description"].as_str().unwrap_or_default();
            assert!(about.len() > 10 && !about.starts_with("The parameters"), "{}: {about:?}", op.kind());
            let example = op.example().unwrap_or_else(|| panic!("{} has no example", op.kind()));
            let bound = op.bind(&example).unwrap_or_else(|e| panic!("{}: {e:?}", op.kind()));
            assert_eq!(op.facts_of(&example), Some(bound.facts()), "{}", op.kind());
        }
    }

    #[test]
    fn every_field_of_every_operation_is_described() {
        let mut registry = Registry::new();
        register(&mut registry).unwrap();
        for op in registry.iter() {
            for schema in [op.params_schema().to_value(), op.output_schema().to_value()] {
                assert_eq!(schema["additionalProperties"], false, "{}", op.kind());
                for (name, field) in schema["properties"].as_object().unwrap() {
                    assert!(field["description"].is_string(), "{}: {name}", op.kind());
                }
            }
        }
    }
}
