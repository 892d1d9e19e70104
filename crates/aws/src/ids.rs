//! Ids of AWS resources as types.
//!
//! In a stored text each is a plain string. In a JSON Schema each carries `x-switchback-id`, which
//! says what it is an id of, and the pattern that AWS gives it. So a subnet's id where a VPC's is
//! wanted is an error of `validate`, whether it is written out or referred to.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use switchback_engine::operation::ParamError;

/// The schema keyword that names what a string is an id of.
pub const ID_KEYWORD: &str = "x-switchback-id";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, { $($keyword:literal: $value:expr),* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id, as AWS gave it.
            #[must_use]
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    $($keyword: $value,)*
                    "x-switchback-id": stringify!($name),
                })
            }
        }
    };
}

/// Ids that AWS makes: a prefix and hexadecimal digits.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {
        $(
            id!($(#[$doc])* $name, { "pattern": concat!("^", $prefix, "[0-9a-f]{8,17}$") });

            impl $name {
                /// What every such id begins with.
                pub const PREFIX: &'static str = $prefix;

                /// Adds an error of that field when the text cannot be such an id.
                pub fn check(&self, field: &str, errors: &mut Vec<ParamError>) {
                    check(&self.0, $prefix, field, errors);
                }
            }
        )*
    };
}

/// ARNs of one service and kind of thing.
macro_rules! arns {
    ($($(#[$doc:meta])* $name:ident, $service:literal, $resource:literal;)*) => {
        $(
            id!($(#[$doc])* $name, {
                "pattern": concat!("^arn:aws[a-z-]*:", $service, ":[a-z0-9-]*:([0-9]{12}|aws)?:", $resource)
            });

            impl $name {
                /// Adds an error of that field when the text cannot be such an ARN.
                pub fn check(&self, field: &str, errors: &mut Vec<ParamError>) {
                    check_arn(&self.0, $service, $resource, field, errors);
                }
            }
        )*
    };
}

/// Names that the user gives. What characters a name may have is for the operation to check that gives it.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(id!($(#[$doc])* $name, {});)*
    };
}

ids! {
    /// A VPC, `vpc-0a1b2c3d4e5f60718`.
    VpcId, "vpc-";
    /// A subnet, `subnet-0a1b2c3d4e5f60718`.
    SubnetId, "subnet-";
    /// An internet gateway, `igw-0a1b2c3d4e5f60718`.
    InternetGatewayId, "igw-";
    /// A security group, `sg-0a1b2c3d4e5f60718`.
    SecurityGroupId, "sg-";
    /// One rule of a security group, `sgr-0a1b2c3d4e5f60718`.
    SecurityGroupRuleId, "sgr-";
    /// A list of address ranges, `pl-0a1b2c3d4e5f60718`.
    PrefixListId, "pl-";
    /// An elastic IP address, `eipalloc-0a1b2c3d4e5f60718`.
    AllocationId, "eipalloc-";
    /// A NAT gateway, `nat-0a1b2c3d4e5f60718`.
    NatGatewayId, "nat-";
    /// A network interface, `eni-0a1b2c3d4e5f60718`.
    NetworkInterfaceId, "eni-";
    /// A route table, `rtb-0a1b2c3d4e5f60718`.
    RouteTableId, "rtb-";
    /// A route table on a subnet, `rtbassoc-0a1b2c3d4e5f60718`.
    RouteTableAssociationId, "rtbassoc-";
    /// A VPC endpoint, `vpce-0a1b2c3d4e5f60718`.
    VpcEndpointId, "vpce-";
    /// A transit gateway, `tgw-0a1b2c3d4e5f60718`.
    TransitGatewayId, "tgw-";
    /// A peering of two VPCs, `pcx-0a1b2c3d4e5f60718`.
    VpcPeeringConnectionId, "pcx-";
    /// A gateway that lets IPv6 traffic out only, `eigw-0a1b2c3d4e5f60718`.
    EgressOnlyInternetGatewayId, "eigw-";
}

arns! {
    /// An IAM role, `arn:aws:iam::123456789012:role/App`.
    RoleArn, "iam", "role/";
    /// An IAM policy, `arn:aws:iam::aws:policy/ReadOnlyAccess`.
    PolicyArn, "iam", "policy/";
    /// A KMS key, `arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab`.
    KmsKeyArn, "kms", "key/";
    /// An ECS cluster, `arn:aws:ecs:us-east-1:123456789012:cluster/app`.
    EcsClusterArn, "ecs", "cluster/";
    /// A revision of an ECS task definition, `arn:aws:ecs:us-east-1:123456789012:task-definition/app:3`.
    TaskDefinitionArn, "ecs", "task-definition/";
    /// An ECS service, `arn:aws:ecs:us-east-1:123456789012:service/app/web`.
    EcsServiceArn, "ecs", "service/";
    /// An ECS task, `arn:aws:ecs:us-east-1:123456789012:task/app/0123456789abcdef0123456789abcdef`.
    EcsTaskArn, "ecs", "task/";
    /// An ECR repository, `arn:aws:ecr:us-east-1:123456789012:repository/app`.
    RepositoryArn, "ecr", "repository/";
    /// A log group, `arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app`.
    LogGroupArn, "logs", "log-group:";
    /// A DB cluster, `arn:aws:rds:us-east-1:123456789012:cluster:app`.
    DbClusterArn, "rds", "cluster:";
    /// A DB instance, `arn:aws:rds:us-east-1:123456789012:db:app-1`.
    DbInstanceArn, "rds", "db:";
    /// A DB subnet group, `arn:aws:rds:us-east-1:123456789012:subgrp:app`.
    DbSubnetGroupArn, "rds", "subgrp:";
    /// A DB cluster parameter group, `arn:aws:rds:us-east-1:123456789012:cluster-pg:app`.
    DbClusterParameterGroupArn, "rds", "cluster-pg:";
    /// A secret, `arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-a1b2c3`.
    SecretArn, "secretsmanager", "secret:";
    /// A parameter, `arn:aws:ssm:us-east-1:123456789012:parameter/app/db-host`.
    ParameterArn, "ssm", "parameter/";
    /// A Cloud Map namespace, `arn:aws:servicediscovery:us-east-1:123456789012:namespace/ns-e4anhexample0004`.
    NamespaceArn, "servicediscovery", "namespace/";
    /// A Cloud Map service, `arn:aws:servicediscovery:us-east-1:123456789012:service/srv-e4anhexample0004`.
    DiscoveryServiceArn, "servicediscovery", "service/";
    /// A load balancer, `arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188`.
    LoadBalancerArn, "elasticloadbalancing", "loadbalancer/";
    /// A target group, `arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067`.
    TargetGroupArn, "elasticloadbalancing", "targetgroup/";
    /// A listener, `arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2`.
    ListenerArn, "elasticloadbalancing", "listener/";
    /// A rule of a listener: the ARN of the listener with `listener-rule/` in it, and an id at its end.
    ListenerRuleArn, "elasticloadbalancing", "listener-rule/";
    /// A `DynamoDB` table, `arn:aws:dynamodb:us-east-1:123456789012:table/Orders`.
    DynamoDbTableArn, "dynamodb", "table/";
    /// An SNS topic, `arn:aws:sns:us-east-1:123456789012:alerts`.
    TopicArn, "sns", "";
    /// A subscription of an SNS topic, the topic's ARN and an id.
    SubscriptionArn, "sns", "";
    /// A metric alarm, `arn:aws:cloudwatch:us-east-1:123456789012:alarm:errors`.
    AlarmArn, "cloudwatch", "alarm:";
    /// A Lambda function, `arn:aws:lambda:us-east-1:123456789012:function:app`.
    FunctionArn, "lambda", "function:";
    /// A backup vault, `arn:aws:backup:us-east-1:123456789012:backup-vault:app`.
    BackupVaultArn, "backup", "backup-vault:";
    /// A backup plan, `arn:aws:backup:us-east-1:123456789012:backup-plan:1234abcd-12ab-34cd-56ef-1234567890ab`.
    BackupPlanArn, "backup", "backup-plan:";
}

names! {
    /// An IAM role's name.
    RoleName;
    /// An ECS cluster's name.
    EcsClusterName;
    /// A family of ECS task definitions.
    TaskFamily;
    /// An ECS service's name.
    EcsServiceName;
    /// An ECR repository's name.
    RepositoryName;
    /// A log group's name.
    LogGroupName;
    /// A DB subnet group's name.
    DbSubnetGroupName;
    /// A DB cluster parameter group's name.
    DbClusterParameterGroupName;
    /// A DB cluster's identifier.
    DbClusterIdentifier;
    /// A DB instance's identifier.
    DbInstanceIdentifier;
    /// The id of a KMS key, `1234abcd-12ab-34cd-56ef-1234567890ab`.
    KmsKeyId;
    /// The name of a KMS alias, `alias/app`.
    KmsAliasName;
    /// A DB parameter group's name.
    DbParameterGroupName;
    /// A secret's name.
    SecretName;
    /// A parameter's name, with its path.
    ParameterName;
    /// The id of a Cloud Map namespace, `ns-e4anhexample0004`.
    NamespaceId;
    /// The id of a Cloud Map service, `srv-e4anhexample0004`.
    DiscoveryServiceId;
    /// A load balancer's name.
    LoadBalancerName;
    /// A target group's name.
    TargetGroupName;
    /// A `DynamoDB` table's name.
    DynamoDbTableName;
    /// A metric alarm's name.
    AlarmName;
    /// An S3 bucket's name.
    BucketName;
    /// The ARN of an S3 bucket, which has neither region nor account: `arn:aws:s3:::app`.
    BucketArn;
    /// An S3 object's key.
    ObjectKey;
    /// A Lambda function's name.
    FunctionName;
    /// A backup vault's name.
    BackupVaultName;
    /// A backup plan's id, which AWS makes.
    BackupPlanId;
    /// A backup job's id, which AWS makes.
    BackupJobId;
}

fn check(id: &str, prefix: &str, field: &str, errors: &mut Vec<ParamError>) {
    let digits = id.strip_prefix(prefix).unwrap_or_default();
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if !(8..=17).contains(&digits.len()) || !digits.chars().all(hex) {
        errors.push(ParamError::new(field, format!("{id:?} is not an id that begins with `{prefix}`")));
    }
}

fn check_arn(arn: &str, service: &str, resource: &str, field: &str, errors: &mut Vec<ParamError>) {
    let mut parts = arn.splitn(6, ':');
    let fits = parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some(service)
        && parts.next().is_some()
        && parts.next().is_some()
        && parts.next().is_some_and(|rest| rest.len() > resource.len() && rest.starts_with(resource));
    if !fits {
        errors.push(ParamError::new(
            field,
            format!("{arn:?} is not an ARN of the form `arn:aws:{service}:REGION:ACCOUNT:{resource}...`"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema_of<T: JsonSchema>() -> serde_json::Value {
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
    }

    #[test]
    fn a_schema_says_what_it_is_an_id_of() {
        let schema = schema_of::<VpcId>();
        assert_eq!(schema[ID_KEYWORD], "VpcId");
        assert_eq!(schema["pattern"], "^vpc-[0-9a-f]{8,17}$");
        assert_eq!(schema_of::<SecurityGroupRuleId>()["pattern"], "^sgr-[0-9a-f]{8,17}$");
    }

    #[test]
    fn a_field_carries_it_inline() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is looked at")]
        struct Fields {
            /// One.
            one: SubnetId,
            /// Maybe one.
            maybe: Option<VpcId>,
        }
        let schema = schema_of::<Fields>();
        assert_eq!(schema["properties"]["one"][ID_KEYWORD], "SubnetId");
        assert_eq!(schema["properties"]["one"]["description"], "One.");
        assert_eq!(schema["properties"]["maybe"][ID_KEYWORD], "VpcId");
        assert_eq!(schema["properties"]["maybe"]["type"], json!(["string", "null"]));
    }

    #[test]
    fn a_stored_id_is_a_plain_string() {
        let id = VpcId::new("vpc-12345678");
        assert_eq!(serde_json::to_value(&id).unwrap(), json!("vpc-12345678"));
        assert_eq!(serde_json::from_value::<VpcId>(json!("vpc-12345678")).unwrap(), id);
    }

    #[test]
    fn another_kind_of_id_is_noticed() {
        for (id, fine) in [
            ("vpc-12345678", true),
            ("vpc-0a1b2c3d4e5f60718", true),
            ("subnet-12345678", false),
            ("vpc-1234567", false),
            ("vpc-0a1b2c3d4e5f607189", false),
            ("vpc-1234567G", false),
            ("vpc-ABCDEF01", false),
            ("", false),
        ] {
            let mut errors = Vec::new();
            VpcId::new(id).check("vpc_id", &mut errors);
            assert_eq!(errors.is_empty(), fine, "{id}");
        }
    }

    #[test]
    fn an_arn_of_another_service_is_noticed() {
        for (arn, fine) in [
            ("arn:aws:iam::123456789012:role/App", true),
            ("arn:aws:iam::123456789012:role/path/App", true),
            ("arn:aws-us-gov:iam::123456789012:role/App", true),
            ("arn:aws:iam::123456789012:policy/App", false),
            ("arn:aws:iam::123456789012:role/", false),
            ("App", false),
        ] {
            let mut errors = Vec::new();
            RoleArn::new(arn).check("role_arn", &mut errors);
            assert_eq!(errors.is_empty(), fine, "{arn}");
        }
        assert_eq!(schema_of::<RoleArn>()["pattern"], "^arn:aws[a-z-]*:iam:[a-z0-9-]*:([0-9]{12}|aws)?:role/");
        assert_eq!(schema_of::<RoleName>()[ID_KEYWORD], "RoleName");
    }
}
