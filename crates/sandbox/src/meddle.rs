//! Somebody else: another principal of the account, who changes or deletes what a run made or is about to use.
//!
//! One table says how, for each kind of resource: a real call to AWS each, sent to the rules as any other. So what AWS
//! refuses (`DependencyViolation`) did not happen, and nothing is done here that nobody could do.
//!
//! What is a part of something else and has no id (a route, an attachment, an inline policy) is not a resource of its
//! own: what holds it is.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint as _, Request, Scope};
use crate::faults::Meddling;
use crate::input::Input;
use crate::models;
use crate::place::{GLOBAL, Place, TEMPORARY};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::report::{Resource, World, report};
use crate::rules::Rules;
use crate::service::Service;
use crate::settings::Settings;

/// What somebody else did, or tried to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Meddled {
    /// To which resource: its id in EC2, its ARN everywhere else.
    pub id: String,
    /// Of which kind, as in [`Resource::kind`].
    pub kind: String,
    /// What.
    pub how: Meddling,
    /// The error code with which AWS refused it: then it did not happen.
    pub refused: Option<String>,
}

/// How one kind of resource is named in calls, changed and deleted.
struct Row {
    kind: &'static str,
    service: Service,
    /// The parameters of its service that hold its name. Ids and ARNs are known anywhere.
    names: &'static [&'static str],
    delete: fn(&Resource) -> Ask,
    change: fn(&Resource, &World) -> Option<Ask>,
}

/// One call.
enum Ask {
    Query(Params),
    Json(&'static str, Value),
    /// Method, path and body.
    Rest(Method, String, String),
}

/// The value of tags and descriptions that somebody else leaves behind.
const SOMEBODY: &str = "somebody-else";

/// Every kind that the operations of Switchback make, also on their way back.
const ROWS: &[Row] = &[
    Row {
        kind: "vpc",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteVpc", "VpcId", &it.id),
        change: |it, _| {
            let call = Params::call("ModifyVpcAttribute").with("VpcId", &it.id);
            Some(Ask::Query(call.with("EnableDnsHostnames.Value", toggled(it, "dns_hostnames"))))
        },
    },
    Row {
        kind: "subnet",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteSubnet", "SubnetId", &it.id),
        change: |it, _| {
            let call = Params::call("ModifySubnetAttribute").with("SubnetId", &it.id);
            Some(Ask::Query(call.with("MapPublicIpOnLaunch.Value", toggled(it, "public_ip_on_launch"))))
        },
    },
    Row {
        kind: "internet-gateway",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteInternetGateway", "InternetGatewayId", &it.id),
        change: tag,
    },
    Row {
        kind: "security-group",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteSecurityGroup", "GroupId", &it.id),
        // A group has no other setting than its rules.
        change: |it, _| {
            let call = Params::call("AuthorizeSecurityGroupIngress").with("GroupId", &it.id);
            let call = call.with("IpPermissions.1.IpProtocol", "tcp");
            let call = call.with("IpPermissions.1.FromPort", "22").with("IpPermissions.1.ToPort", "22");
            Some(Ask::Query(call.with("IpPermissions.1.IpRanges.1.CidrIp", "203.0.113.0/24")))
        },
    },
    Row {
        kind: "security-group-rule",
        service: Service::Ec2,
        names: &[],
        delete: |it| {
            let egress = it.attributes.get("egress").and_then(Value::as_bool) == Some(true);
            let action = if egress { "RevokeSecurityGroupEgress" } else { "RevokeSecurityGroupIngress" };
            Ask::Query(Params::call(action).with("GroupId", text(it, "group")).with("SecurityGroupRuleId.1", &it.id))
        },
        change: |it, _| {
            let peer = text(it, "peer");
            let of_peer = match peer {
                group if group.starts_with("sg-") => "ReferencedGroupId",
                v6 if v6.contains(':') => "CidrIpv6",
                _ => "CidrIpv4",
            };
            let mut call = Params::call("ModifySecurityGroupRules").with("GroupId", text(it, "group"));
            call = call.with("SecurityGroupRule.1.SecurityGroupRuleId", &it.id);
            for (name, value) in [
                ("IpProtocol", text(it, "protocol").to_owned()),
                ("FromPort", number(it, "from").to_string()),
                ("ToPort", number(it, "to").to_string()),
                (of_peer, peer.to_owned()),
                ("Description", SOMEBODY.to_owned()),
            ] {
                call = call.with(format!("SecurityGroupRule.1.SecurityGroupRule.{name}"), value);
            }
            Some(Ask::Query(call))
        },
    },
    Row {
        kind: "elastic-ip",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("ReleaseAddress", "AllocationId", &it.id),
        change: tag,
    },
    Row {
        kind: "natgateway",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteNatGateway", "NatGatewayId", &it.id),
        change: tag,
    },
    Row {
        kind: "route-table",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteRouteTable", "RouteTableId", &it.id),
        change: tag,
    },
    Row {
        kind: "vpc-endpoint",
        service: Service::Ec2,
        names: &[],
        delete: |it| Ask::ec2("DeleteVpcEndpoints", "VpcEndpointId.1", &it.id),
        change: tag,
    },
    Row {
        kind: "iam-role",
        service: Service::Iam,
        names: &["RoleName"],
        delete: |it| Ask::named("DeleteRole", "RoleName", it),
        change: |it, _| {
            let call = Params::call("UpdateRoleDescription").with("RoleName", text(it, "name"));
            Some(Ask::Query(call.with("Description", SOMEBODY)))
        },
    },
    Row {
        kind: "iam-policy",
        service: Service::Iam,
        // `PolicyName` is the name of an inline policy in other calls.
        names: &[],
        delete: |it| Ask::Query(Params::call("DeletePolicy").with("PolicyArn", &it.id)),
        change: |it, _| {
            const NOTHING: &str =
                r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
            let call = Params::call("CreatePolicyVersion").with("PolicyArn", &it.id);
            Some(Ask::Query(call.with("PolicyDocument", NOTHING).with("SetAsDefault", "true")))
        },
    },
    Row {
        kind: "kms-key",
        service: Service::Kms,
        names: &["KeyId", "TargetKeyId"],
        delete: |it| Ask::Json("ScheduleKeyDeletion", json!({"KeyId": it.id, "PendingWindowInDays": 7})),
        change: |it, _| Some(Ask::Json("UpdateKeyDescription", json!({"KeyId": it.id, "Description": SOMEBODY}))),
    },
    Row {
        kind: "kms-alias",
        service: Service::Kms,
        names: &["AliasName", "KeyId"],
        delete: |it| Ask::Json("DeleteAlias", json!({"AliasName": text(it, "name")})),
        // It has one setting; where there is no other key, nobody can change it.
        change: |it, world| {
            let held = text(it, "target");
            let is_other = |key: &&Resource| key.id != held && !key.default && key.account == it.account;
            let of_place =
                |key: &&Resource| key.region == it.region && key.attributes.get("enabled") == Some(&json!(true));
            let other = world.of_kind("kms-key").filter(is_other).find(of_place)?;
            Some(Ask::Json("UpdateAlias", json!({"AliasName": text(it, "name"), "TargetKeyId": other.id})))
        },
    },
    Row {
        kind: "ecr-repository",
        service: Service::Ecr,
        names: &["repositoryName", "repositoryNames"],
        delete: |it| Ask::Json("DeleteRepository", json!({"repositoryName": text(it, "name")})),
        change: |it, _| {
            let other = if text(it, "tag_mutability") == "MUTABLE" { "IMMUTABLE" } else { "MUTABLE" };
            let body = json!({"repositoryName": text(it, "name"), "imageTagMutability": other});
            Some(Ask::Json("PutImageTagMutability", body))
        },
    },
    Row {
        kind: "ecs-cluster",
        service: Service::Ecs,
        names: &["cluster", "clusters", "clusterName"],
        delete: |it| Ask::Json("DeleteCluster", json!({"cluster": it.id})),
        change: |it, _| {
            let is_on = it.attributes.get("settings").is_some_and(|all| all.to_string().contains("\"enabled\""));
            let value = if is_on { "disabled" } else { "enabled" };
            let settings = json!([{"name": "containerInsights", "value": value}]);
            Some(Ask::Json("UpdateClusterSettings", json!({"cluster": it.id, "settings": settings})))
        },
    },
    Row {
        kind: "ecs-task-definition",
        service: Service::Ecs,
        names: &[],
        delete: |it| Ask::Json("DeregisterTaskDefinition", json!({"taskDefinition": it.id})),
        // A revision is never changed.
        change: tag_ecs,
    },
    Row {
        kind: "ecs-service",
        service: Service::Ecs,
        names: &["service", "services", "serviceName"],
        delete: |it| {
            Ask::Json("DeleteService", json!({"cluster": text(it, "cluster"), "service": it.id, "force": true}))
        },
        change: |it, _| {
            let mut network = it.attributes.get("service")?.get("networkConfiguration")?.clone();
            let held = &mut network["awsvpcConfiguration"]["assignPublicIp"];
            *held = json!(if *held == "ENABLED" { "DISABLED" } else { "ENABLED" });
            let body = json!({"cluster": text(it, "cluster"), "service": it.id, "networkConfiguration": network});
            Some(Ask::Json("UpdateService", body))
        },
    },
    Row {
        kind: "ecs-task",
        service: Service::Ecs,
        names: &[],
        delete: |it| Ask::Json("StopTask", json!({"cluster": text(it, "cluster"), "task": it.id})),
        change: tag_ecs,
    },
    Row {
        kind: "load-balancer",
        service: Service::Elb,
        names: &["Name", "Names"],
        delete: |it| Ask::Query(Params::call("DeleteLoadBalancer").with("LoadBalancerArn", &it.id)),
        change: |it, _| {
            let call = Params::call("ModifyLoadBalancerAttributes").with("LoadBalancerArn", &it.id);
            let call = call.with("Attributes.member.1.Key", "load_balancing.cross_zone.enabled");
            let is_on = it.attributes.get("attributes").and_then(|all| all.get("load_balancing.cross_zone.enabled"));
            Some(Ask::Query(
                call.with("Attributes.member.1.Value", if is_on == Some(&json!("true")) { "false" } else { "true" }),
            ))
        },
    },
    Row {
        kind: "target-group",
        service: Service::Elb,
        names: &["Name", "Names"],
        delete: |it| Ask::Query(Params::call("DeleteTargetGroup").with("TargetGroupArn", &it.id)),
        change: |it, _| {
            let checked = it.attributes.get("health_check").and_then(|all| all.get("HealthyThresholdCount"));
            let other = if checked == Some(&json!("7")) { "8" } else { "7" };
            let call = Params::call("ModifyTargetGroup").with("TargetGroupArn", &it.id);
            Some(Ask::Query(call.with("HealthyThresholdCount", other)))
        },
    },
    Row {
        kind: "listener",
        service: Service::Elb,
        names: &[],
        delete: |it| Ask::Query(Params::call("DeleteListener").with("ListenerArn", &it.id)),
        change: |it, _| Some(answer_503("ModifyListener", "ListenerArn", "DefaultActions", it)),
    },
    Row {
        kind: "listener-rule",
        service: Service::Elb,
        names: &[],
        delete: |it| Ask::Query(Params::call("DeleteRule").with("RuleArn", &it.id)),
        change: |it, _| Some(answer_503("ModifyRule", "RuleArn", "Actions", it)),
    },
    Row {
        kind: "dynamodb-table",
        service: Service::DynamoDb,
        names: &["TableName"],
        delete: |it| Ask::Json("DeleteTable", json!({"TableName": text(it, "name")})),
        change: |it, _| {
            let settings = it.attributes.get("settings").cloned().unwrap_or_default();
            let units = settings["ProvisionedThroughput"]["ReadCapacityUnits"].as_i64().unwrap_or(0) + 1;
            let other = json!({"ReadCapacityUnits": units, "WriteCapacityUnits": units});
            let body =
                json!({"TableName": text(it, "name"), "BillingMode": "PROVISIONED", "ProvisionedThroughput": other});
            Some(Ask::Json("UpdateTable", body))
        },
    },
    Row {
        kind: "log-group",
        service: Service::Logs,
        names: &["logGroupName", "logGroupNamePrefix", "logGroupIdentifier"],
        delete: |it| Ask::Json("DeleteLogGroup", json!({"logGroupName": text(it, "name")})),
        change: |it, _| {
            let days = if number(it, "retention") == 3 { 5 } else { 3 };
            Some(Ask::Json("PutRetentionPolicy", json!({"logGroupName": text(it, "name"), "retentionInDays": days})))
        },
    },
    Row {
        kind: "secret",
        service: Service::SecretsManager,
        names: &["Name", "SecretId"],
        delete: |it| Ask::Json("DeleteSecret", json!({"SecretId": it.id, "ForceDeleteWithoutRecovery": true})),
        change: |it, _| Some(Ask::Json("PutSecretValue", json!({"SecretId": it.id, "SecretString": SOMEBODY}))),
    },
    Row {
        kind: "parameter",
        service: Service::Ssm,
        names: &["Name", "Names", "ResourceId", "Values"],
        delete: |it| Ask::Json("DeleteParameter", json!({"Name": text(it, "name")})),
        change: |it, _| {
            let body = json!({"Name": text(it, "name"), "Value": SOMEBODY, "Overwrite": true});
            Some(Ask::Json("PutParameter", body))
        },
    },
    Row {
        kind: "namespace",
        service: Service::CloudMap,
        names: &["Id", "NamespaceId", "Values"],
        delete: |it| Ask::Json("DeleteNamespace", json!({"Id": end_of(&it.id)})),
        change: |it, _| {
            let body = json!({"Id": end_of(&it.id), "Namespace": {"Description": SOMEBODY}});
            Some(Ask::Json("UpdatePrivateDnsNamespace", body))
        },
    },
    Row {
        kind: "discovery-service",
        service: Service::CloudMap,
        names: &["Id", "ServiceId"],
        delete: |it| Ask::Json("DeleteService", json!({"Id": end_of(&it.id)})),
        change: |it, _| {
            let body = json!({"Id": end_of(&it.id), "Service": {"Description": SOMEBODY}});
            Some(Ask::Json("UpdateService", body))
        },
    },
    Row {
        kind: "sns-topic",
        service: Service::Sns,
        names: &["Name"],
        delete: |it| Ask::Query(Params::call("DeleteTopic").with("TopicArn", &it.id)),
        change: |it, _| {
            let call = Params::call("SetTopicAttributes").with("TopicArn", &it.id);
            Some(Ask::Query(call.with("AttributeName", "DisplayName").with("AttributeValue", SOMEBODY)))
        },
    },
    Row {
        kind: "sns-subscription",
        service: Service::Sns,
        names: &[],
        delete: |it| Ask::Query(Params::call("Unsubscribe").with("SubscriptionArn", &it.id)),
        change: |it, _| {
            let call = Params::call("SetSubscriptionAttributes").with("SubscriptionArn", &it.id);
            let call = call.with("AttributeName", "FilterPolicy");
            Some(Ask::Query(call.with("AttributeValue", format!("{{\"{SOMEBODY}\":[\"x\"]}}"))))
        },
    },
    Row {
        kind: "metric-alarm",
        service: Service::CloudWatch,
        names: &["AlarmName", "AlarmNames"],
        delete: |it| Ask::Json("DeleteAlarms", json!({"AlarmNames": [text(it, "name")]})),
        change: |it, _| {
            let on = it.attributes.get("actions_enabled") == Some(&json!(true));
            let action = if on { "DisableAlarmActions" } else { "EnableAlarmActions" };
            Some(Ask::Json(action, json!({"AlarmNames": [text(it, "name")]})))
        },
    },
    Row {
        kind: "db-subnet-group",
        service: Service::Rds,
        names: &["DBSubnetGroupName"],
        delete: |it| Ask::named("DeleteDBSubnetGroup", "DBSubnetGroupName", it),
        change: |it, _| {
            let mut call = Params::call("ModifyDBSubnetGroup").with("DBSubnetGroupName", text(it, "name"));
            call = call.with("DBSubnetGroupDescription", SOMEBODY);
            let subnets = it.attributes.get("subnets").and_then(Value::as_array).into_iter().flatten();
            for (n, subnet) in (1..).zip(subnets.filter_map(Value::as_str)) {
                call = call.with(format!("SubnetIds.SubnetIdentifier.{n}"), subnet);
            }
            Some(Ask::Query(call))
        },
    },
    Row {
        kind: "db-cluster-parameter-group",
        service: Service::Rds,
        names: &["DBClusterParameterGroupName"],
        delete: |it| Ask::named("DeleteDBClusterParameterGroup", "DBClusterParameterGroupName", it),
        change: |it, _| {
            let is_postgres = text(it, "family").contains("postgresql");
            let (name, value) = if is_postgres { ("log_statement", "all") } else { ("slow_query_log", "1") };
            let mut call = Params::call("ModifyDBClusterParameterGroup");
            call = call.with("DBClusterParameterGroupName", text(it, "name"));
            for (member, value) in [("ParameterName", name), ("ParameterValue", value), ("ApplyMethod", "immediate")] {
                call = call.with(format!("Parameters.Parameter.1.{member}"), value);
            }
            Some(Ask::Query(call))
        },
    },
    Row {
        kind: "db-cluster",
        service: Service::Rds,
        names: &["DBClusterIdentifier"],
        delete: |it| {
            let call = Params::call("DeleteDBCluster").with("DBClusterIdentifier", text(it, "name"));
            Ask::Query(call.with("SkipFinalSnapshot", "true"))
        },
        change: |it, _| {
            let call = Params::call("ModifyDBCluster").with("DBClusterIdentifier", text(it, "name"));
            Some(Ask::Query(call.with("BackupRetentionPeriod", other_days(it)).with("ApplyImmediately", "true")))
        },
    },
    Row {
        kind: "db-instance",
        service: Service::Rds,
        names: &["DBInstanceIdentifier"],
        delete: |it| {
            let call = Params::call("DeleteDBInstance").with("DBInstanceIdentifier", text(it, "name"));
            Ask::Query(call.with("SkipFinalSnapshot", "true"))
        },
        change: |it, _| {
            let call = Params::call("ModifyDBInstance").with("DBInstanceIdentifier", text(it, "name"));
            let call = call.with("ApplyImmediately", "true");
            // Backups of a member are its cluster's.
            let is_member = it.attributes.get("cluster").is_some_and(Value::is_string);
            let tier = if number(it, "promotion_tier") == 15 { "14" } else { "15" };
            Some(Ask::Query(if is_member {
                call.with("PromotionTier", tier)
            } else {
                call.with("BackupRetentionPeriod", other_days(it))
            }))
        },
    },
    Row {
        kind: "db-cluster-snapshot",
        service: Service::Rds,
        names: &["DBClusterSnapshotIdentifier"],
        delete: |it| Ask::named("DeleteDBClusterSnapshot", "DBClusterSnapshotIdentifier", it),
        change: tag_database,
    },
    Row {
        kind: "db-snapshot",
        service: Service::Rds,
        names: &["DBSnapshotIdentifier"],
        delete: |it| Ask::named("DeleteDBSnapshot", "DBSnapshotIdentifier", it),
        change: tag_database,
    },
    Row {
        kind: "s3-bucket",
        service: Service::S3,
        names: &["Bucket"],
        delete: |it| Ask::rest(Method::DELETE, &["", text(it, "name")], ""),
        change: |it, _| {
            const OPEN: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls>\
                 <IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>\
                 <RestrictPublicBuckets>false</RestrictPublicBuckets></PublicAccessBlockConfiguration>";
            let Ask::Rest(method, path, body) = Ask::rest(Method::PUT, &["", text(it, "name")], OPEN) else {
                return None;
            };
            Some(Ask::Rest(method, format!("{path}?publicAccessBlock"), body))
        },
    },
    Row {
        kind: "s3-object",
        service: Service::S3,
        names: &["Key"],
        delete: |it| Ask::rest(Method::DELETE, &of_object(it), ""),
        change: |it, _| Some(Ask::rest(Method::PUT, &of_object(it), SOMEBODY)),
    },
    Row {
        kind: "lambda-function",
        service: Service::Lambda,
        names: &["FunctionName"],
        delete: |it| Ask::rest(Method::DELETE, &["", "2015-03-31", "functions", text(it, "name")], ""),
        change: |it, _| {
            let seconds = if number(it, "timeout") == 7 { 8 } else { 7 };
            let path = ["", "2015-03-31", "functions", text(it, "name"), "configuration"];
            Some(Ask::rest(Method::PUT, &path, &json!({"Timeout": seconds}).to_string()))
        },
    },
    Row {
        kind: "backup-vault",
        service: Service::Backup,
        names: &["BackupVaultName", "backupVaultName", "TargetBackupVaultName"],
        delete: |it| Ask::rest(Method::DELETE, &["", "backup-vaults", text(it, "name")], ""),
        change: tag_of_backup,
    },
    Row {
        kind: "backup-plan",
        service: Service::Backup,
        names: &["BackupPlanId", "BackupPlanName"],
        delete: |it| Ask::rest(Method::DELETE, &["", "backup", "plans", end_of(&it.id)], ""),
        change: tag_of_backup,
    },
    // What models hold: kind, service, and the fields of its calls that name it.
    modelled("file", Service::File, &["path"]),
    modelled("image", Service::Registry, &["image"]),
    modelled("image-tag", Service::Registry, &["image"]),
    modelled("image-build", Service::Registry, &["name"]),
    modelled("database", Service::Postgresql, &["name", "database"]),
    modelled("migration", Service::Postgresql, &["name"]),
    modelled("imported-rows", Service::Postgresql, &["table"]),
    modelled("stream", Service::Nats, &["stream"]),
];

/// What a model holds: it knows itself how somebody else changes it.
const fn modelled(kind: &'static str, service: Service, names: &'static [&'static str]) -> Row {
    Row {
        kind,
        service,
        names,
        delete: |it| Ask::Json(models::DELETES, json!({"id": it.id})),
        change: |it, _| Some(Ask::Json(models::CHANGES, json!({"id": it.id}))),
    }
}

impl Ask {
    fn rest(method: Method, path: &[&str], body: &str) -> Self {
        let part =
            |part: &&str| form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20");
        Self::Rest(method, path.iter().map(part).collect::<Vec<_>>().join("/"), body.to_owned())
    }

    fn ec2(action: &str, parameter: &str, id: &str) -> Self {
        Self::Query(Params::call(action).with(parameter, id))
    }

    fn named(action: &str, parameter: &str, it: &Resource) -> Self {
        Self::Query(Params::call(action).with(parameter, text(it, "name")))
    }

    /// The call of another principal of this account. `None` when the place has no form for a header.
    fn request(&self, service: Service, place: &Place) -> Option<Request> {
        let Place { account, region } = place;
        let name = service.name();
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential={TEMPORARY}{account}ELSE/20260101/{region}/{name}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let (target, body) = match self {
            Self::Query(params) => (None, params.encode()),
            Self::Json(action, body) => (Some(format!("{}.{action}", service.target())), body.to_string()),
            Self::Rest(_, _, body) => (None, body.clone()),
        };
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        if let Self::Rest(method, path, _) = self {
            *request.method_mut() = method.clone();
            *request.uri_mut() = path.parse().ok()?;
        }
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&signed).ok()?);
        if let Some(target) = target {
            let target = HeaderValue::from_str(&target).ok()?;
            request.headers_mut().insert(HeaderName::from_static("x-amz-target"), target);
        }
        Some(request)
    }
}

fn text<'a>(it: &'a Resource, attribute: &str) -> &'a str {
    it.attributes.get(attribute).and_then(Value::as_str).unwrap_or_default()
}

/// The id at the end of an ARN.
fn end_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

fn number(it: &Resource, attribute: &str) -> i64 {
    it.attributes.get(attribute).and_then(Value::as_i64).unwrap_or_default()
}

fn toggled(it: &Resource, attribute: &str) -> &'static str {
    if it.attributes.get(attribute) == Some(&json!(true)) { "false" } else { "true" }
}

fn other_days(it: &Resource) -> &'static str {
    if number(it, "backup_days") == 9 { "8" } else { "9" }
}

/// A listener or a rule that turns everybody away.
fn answer_503(action: &str, parameter: &str, list: &str, it: &Resource) -> Ask {
    let call = Params::call(action).with(parameter, &it.id);
    let call = call.with(format!("{list}.member.1.Type"), "fixed-response");
    Ask::Query(call.with(format!("{list}.member.1.FixedResponseConfig.StatusCode"), "503"))
}

/// For what has no setting that can be changed by itself.
fn tag(it: &Resource, _: &World) -> Option<Ask> {
    let call = Params::call("CreateTags").with("ResourceId.1", &it.id);
    Some(Ask::Query(call.with("Tag.1.Key", SOMEBODY).with("Tag.1.Value", "was here")))
}

fn tag_ecs(it: &Resource, _: &World) -> Option<Ask> {
    let tags = json!([{"key": SOMEBODY, "value": "was here"}]);
    Some(Ask::Json("TagResource", json!({"resourceArn": it.id, "tags": tags})))
}

fn tag_of_backup(it: &Resource, _: &World) -> Option<Ask> {
    let tags = json!({"Tags": {SOMEBODY: "was here"}});
    Some(Ask::rest(Method::POST, &["", "tags", &it.id], &tags.to_string()))
}

/// Bucket and key: the ARN of an object has both.
fn of_object(it: &Resource) -> Vec<&str> {
    let path = it.id.strip_prefix("arn:aws:s3:::").unwrap_or(&it.id);
    std::iter::once("").chain(path.split('/')).collect()
}

fn tag_database(it: &Resource, _: &World) -> Option<Ask> {
    let call = Params::call("AddTagsToResource").with("ResourceName", &it.id);
    Some(Ask::Query(call.with("Tags.Tag.1.Key", SOMEBODY).with("Tags.Tag.1.Value", "was here")))
}

/// Whether this value of a parameter names the resource.
fn names(row: &Row, it: &Resource, service: Option<Service>, parameter: &str, value: &str) -> bool {
    let id = value.strip_suffix(":*").unwrap_or(value);
    let in_ec2 = || id.starts_with("arn:aws:ec2:") && id.rsplit('/').next() == Some(&it.id);
    // Some are called by their id as well, which is the end of their ARN; anything else by its name.
    let by_id = matches!(row.kind, "kms-key" | "namespace" | "discovery-service") || parameter == "BackupPlanId";
    let name = || if by_id { end_of(&it.id) } else { text(it, "name") };
    id == it.id
        || (row.service == Service::Ec2 && in_ec2())
        || (service == Some(row.service) && row.names.contains(&parameter) && name() == value)
}

impl Rules {
    /// Somebody else acts on the first resource that this call names, if it is one of a run or of this caller. Gives
    /// back which, when it happened.
    pub(crate) async fn meddle_before(&self, scope: Option<&Scope>, input: &Input, how: Meddling) -> Option<String> {
        let scope = scope?;
        let (service, settings) = (Service::named(&scope.service), self.settings());
        let here = Place::of(settings, service?, &scope.access_key, &scope.region)?;
        let places = self.world().await;
        let world = report(settings, &places);
        let made_by_caller = |it: &Resource| {
            let local = places.get(&place_of(settings, it));
            local.and_then(|local| local.notes.makers.get(&it.id)).is_some_and(|maker| *maker == scope.access_key)
        };
        let is_ours = |it: &Resource| it.tags.keys().any(|key| key.ends_with(":run")) || made_by_caller(it);
        let mut candidates: Vec<(&Row, &Resource)> = Vec::new();
        for it in world.resources.iter().filter(|it| !it.default && is_ours(it)) {
            let place = place_of(settings, it);
            let is_near = place.account == here.account && [scope.region.as_str(), GLOBAL].contains(&&*place.region);
            candidates.extend(ROWS.iter().find(|row| is_near && row.kind == it.kind).map(|row| (row, it)));
        }
        let values = input.values();
        // A call that says whose run it is of is about things of that run.
        let run = |it: &Resource| it.tags.iter().find(|(key, _)| key.ends_with(":run")).map(|(_, run)| run.clone());
        let runs: BTreeSet<&str> = values.iter().map(|(_, value)| &**value).collect();
        let said: BTreeSet<String> =
            candidates.iter().filter_map(|(_, it)| run(it)).filter(|run| runs.contains(&**run)).collect();
        candidates.retain(|(_, it)| said.is_empty() || run(it).is_some_and(|run| said.contains(&run)));
        let (row, it) = values.iter().find_map(|(parameter, value)| {
            candidates.iter().find(|(row, it)| names(row, it, service, parameter, value)).copied()
        })?;
        let meddled = self.meddle_with(row, it, &world, how).await?;
        meddled.refused.is_none().then_some(meddled.id)
    }

    /// Somebody else acts on the resource of this id. `None` when there is none, or when nobody can do that to it.
    pub(crate) async fn meddle(&self, id: &str, how: Meddling) -> Option<Meddled> {
        let world = report(self.settings(), &self.world().await);
        let it = world.get(id)?;
        let row = ROWS.iter().find(|row| row.kind == it.kind)?;
        self.meddle_with(row, it, &world, how).await
    }

    async fn meddle_with(&self, row: &Row, it: &Resource, world: &World, how: Meddling) -> Option<Meddled> {
        let ask = match how {
            Meddling::Change => (row.change)(it, world)?,
            Meddling::Delete => (row.delete)(it),
        };
        let mut place = place_of(self.settings(), it);
        if place.region == GLOBAL {
            place.region.clone_from(&self.settings().region);
        }
        let response = self.call(ask.request(row.service, &place)?).await.ok()?;
        let status = response.status();
        let refused = (!status.is_success()).then(|| Refusal::code_in(&response).unwrap_or_else(|| status.to_string()));
        Some(Meddled { id: it.id.clone(), kind: it.kind.clone(), how, refused })
    }
}

/// Where a resource is.
fn place_of(settings: &Settings, it: &Resource) -> Place {
    let account = it.account.as_deref().unwrap_or(&settings.account);
    let region = match ROWS.iter().find(|row| row.kind == it.kind) {
        Some(row) if row.service.is_global() => GLOBAL,
        _ => it.region.as_deref().unwrap_or(&settings.region),
    };
    Place::new(account, region)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn resource(kind: &str, id: &str, name: &str) -> (&'static Row, Resource) {
        let row = ROWS.iter().find(|row| row.kind == kind).unwrap();
        let attributes = BTreeMap::from([("name".to_owned(), json!(name))]);
        let (kind, tags) = (kind.to_owned(), BTreeMap::new());
        (row, Resource { kind, id: id.to_owned(), account: None, region: None, default: false, tags, attributes })
    }

    #[test]
    fn a_kind_has_one_row() {
        let kinds: BTreeSet<&str> = ROWS.iter().map(|row| row.kind).collect();
        assert_eq!(kinds.len(), ROWS.len());
    }

    #[test]
    fn resources_are_named_by_id_arn_or_name() {
        let (row, vpc) = resource("vpc", "vpc-1", "");
        for (value, is) in [("vpc-1", true), ("arn:aws:ec2:us-east-1:1:vpc/vpc-1", true), ("", false)] {
            assert_eq!(names(row, &vpc, Some(Service::Ec2), "VpcId", value), is, "{value}");
        }
        let arn = "arn:aws:rds:us-east-1:1:cluster:db";
        let (row, cluster) = resource("db-cluster", arn, "db");
        for (parameter, value, is) in [
            ("DBClusterIdentifier", "db", true),
            ("ResourceName", arn, true),
            // The same name of another kind.
            ("DBSubnetGroupName", "db", false),
        ] {
            assert_eq!(names(row, &cluster, Some(Service::Rds), parameter, value), is, "{parameter}");
        }
        let (row, key) = resource("kms-key", "arn:aws:kms:us-east-1:1:key/1-2", "");
        assert!(names(row, &key, Some(Service::Kms), "KeyId", "1-2"));
        let (row, group) = resource("log-group", "arn:aws:logs:us-east-1:1:log-group:/a", "/a");
        assert!(names(row, &group, Some(Service::Logs), "resourceArn", "arn:aws:logs:us-east-1:1:log-group:/a:*"));
    }
}
