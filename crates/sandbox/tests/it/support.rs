//! A sandbox with clients, and the things that tests make again and again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Region};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, ResourceType, Tag, TagSpecification};
use switchback_sandbox::{Builder, Clock, Sandbox};

pub(crate) const SETTLE: Duration = Duration::from_millis(50);

pub(crate) struct Aws {
    pub(crate) sandbox: Sandbox,
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) rds: aws_sdk_rds::Client,
    pub(crate) ecs: aws_sdk_ecs::Client,
    pub(crate) ecr: aws_sdk_ecr::Client,
    pub(crate) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) discovery: aws_sdk_servicediscovery::Client,
    pub(crate) ssm: aws_sdk_ssm::Client,
    pub(crate) tagging: aws_sdk_resourcegroupstagging::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) backup: aws_sdk_backup::Client,
}

pub(crate) fn aws() -> Aws {
    aws_from(Sandbox::builder())
}

pub(crate) fn aws_from(builder: Builder) -> Aws {
    let sandbox = builder.settle(SETTLE).clock(Clock::manual()).build();
    Aws::of(sandbox, credentials("AKIATEST"), "us-east-1")
}

pub(crate) fn credentials(access_key: &str) -> Credentials {
    Credentials::new(access_key, "secret", None, None, "test")
}

/// Calls an admin route of a binary that listens there.
pub(crate) fn admin(at: &str, method: &str, route: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(at).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(
        stream,
        "{method} /_switchback/{route} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// A client of one service.
macro_rules! client {
    ($service:ident, $sandbox:expr, $credentials:expr, $region:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static($region))
                .credentials_provider($credentials.clone())
                .retry_config(RetryConfig::disabled())
                .http_client($sandbox.http_client())
                .build(),
        )
    };
}

pub(crate) fn ec2(sandbox: &Sandbox, access_key: &str, region: &'static str) -> aws_sdk_ec2::Client {
    client!(aws_sdk_ec2, sandbox, credentials(access_key), region)
}

impl Aws {
    /// All clients of one caller in one region.
    pub(crate) fn of(sandbox: Sandbox, caller: Credentials, region: &'static str) -> Self {
        Self {
            ec2: client!(aws_sdk_ec2, sandbox, caller, region),
            sts: client!(aws_sdk_sts, sandbox, caller, region),
            iam: client!(aws_sdk_iam, sandbox, caller, region),
            rds: client!(aws_sdk_rds, sandbox, caller, region),
            ecs: client!(aws_sdk_ecs, sandbox, caller, region),
            ecr: client!(aws_sdk_ecr, sandbox, caller, region),
            elb: client!(aws_sdk_elasticloadbalancingv2, sandbox, caller, region),
            dynamodb: client!(aws_sdk_dynamodb, sandbox, caller, region),
            logs: client!(aws_sdk_cloudwatchlogs, sandbox, caller, region),
            cloudwatch: client!(aws_sdk_cloudwatch, sandbox, caller, region),
            sns: client!(aws_sdk_sns, sandbox, caller, region),
            kms: client!(aws_sdk_kms, sandbox, caller, region),
            secrets: client!(aws_sdk_secretsmanager, sandbox, caller, region),
            discovery: client!(aws_sdk_servicediscovery, sandbox, caller, region),
            ssm: client!(aws_sdk_ssm, sandbox, caller, region),
            tagging: client!(aws_sdk_resourcegroupstagging, sandbox, caller, region),
            s3: client!(aws_sdk_s3, sandbox, caller, region),
            lambda: client!(aws_sdk_lambda, sandbox, caller, region),
            backup: client!(aws_sdk_backup, sandbox, caller, region),
            sandbox,
        }
    }

    /// The same sandbox, called from elsewhere: a key of twelve digits is of that account.
    pub(crate) fn from(&self, access_key: &str, region: &'static str) -> Self {
        Self::of(self.sandbox.clone(), credentials(access_key), region)
    }
}

impl Aws {
    /// A role that this service can assume by now; its ARN.
    pub(crate) async fn role_for(&self, service: &str) -> String {
        let statement = serde_json::json!({
            "Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole",
        });
        let trust = serde_json::json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let made = self.iam.create_role().role_name("runner").assume_role_policy_document(trust).send().await.unwrap();
        self.sandbox.clock().advance(SETTLE);
        made.role.unwrap().arn
    }
}

/// The call was refused with this code; gives back the message.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug, E>(result: Result<T, SdkError<E, HttpResponse>>, code: &str) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    refused_with(result, 400, code)
}

/// The call was refused with this status and code; gives back the message.
#[track_caller]
pub(crate) fn refused_with<T: std::fmt::Debug, E>(
    result: Result<T, SdkError<E, HttpResponse>>,
    status: u16,
    code: &str,
) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let error = result.expect_err("the call should have been refused");
    assert_eq!(error.code(), Some(code), "{error:?}");
    let raw = error.raw_response().expect("an answer");
    assert_eq!(raw.status().as_u16(), status);
    error.message().unwrap_or_default().to_owned()
}

pub(crate) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

pub(crate) fn tagged(kind: ResourceType, key: &str, value: &str) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).tags(tag(key, value)).build()
}

pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// TCP from this range to this port.
pub(crate) fn tcp(port: i32, cidr: &str) -> IpPermission {
    let range = IpRange::builder().cidr_ip(cidr).build();
    IpPermission::builder().ip_protocol("tcp").from_port(port).to_port(port).ip_ranges(range).build()
}

impl Aws {
    pub(crate) async fn vpc(&self) -> String {
        let made = self.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap();
        made.vpc.unwrap().vpc_id.unwrap()
    }

    pub(crate) async fn subnet(&self, vpc: &str, cidr: &str) -> String {
        let made = self.ec2.create_subnet().vpc_id(vpc).cidr_block(cidr).send().await.unwrap();
        made.subnet.unwrap().subnet_id.unwrap()
    }

    pub(crate) async fn gateway(&self) -> String {
        let made = self.ec2.create_internet_gateway().send().await.unwrap();
        made.internet_gateway.unwrap().internet_gateway_id.unwrap()
    }

    pub(crate) async fn group(&self, vpc: &str, name: &str) -> String {
        let made = self.ec2.create_security_group().vpc_id(vpc).group_name(name).description("made by a test");
        made.send().await.unwrap().group_id.unwrap()
    }

    pub(crate) async fn interface(&self, subnet: &str, group: Option<&str>) -> String {
        let made = self.ec2.create_network_interface().subnet_id(subnet);
        let made = made.set_groups(group.map(|group| vec![group.to_owned()]));
        made.send().await.unwrap().network_interface.unwrap().network_interface_id.unwrap()
    }

    /// A gateway that is attached to the VPC.
    pub(crate) async fn attached(&self, vpc: &str) -> String {
        let gateway = self.gateway().await;
        self.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(vpc).send().await.unwrap();
        gateway
    }

    /// An Elastic IP address.
    pub(crate) async fn address(&self) -> String {
        self.ec2.allocate_address().send().await.unwrap().allocation_id.unwrap()
    }

    /// A public NAT gateway that is still pending.
    pub(crate) async fn nat(&self, subnet: &str) -> String {
        let made = self.ec2.create_nat_gateway().subnet_id(subnet).allocation_id(self.address().await);
        made.send().await.unwrap().nat_gateway.unwrap().nat_gateway_id.unwrap()
    }

    pub(crate) async fn table(&self, vpc: &str) -> String {
        let made = self.ec2.create_route_table().vpc_id(vpc).send().await.unwrap();
        made.route_table.unwrap().route_table_id.unwrap()
    }

    /// Lets pending things become available, and deleted things go.
    pub(crate) async fn pass(&self) {
        self.sandbox.clock().advance(SETTLE);
    }

    /// Allows TCP from a range; gives back the id of the rule.
    pub(crate) async fn allow(&self, group: &str, port: i32, cidr: &str) -> String {
        let allowed = self.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(tcp(port, cidr));
        let rules = allowed.send().await.unwrap().security_group_rules.unwrap();
        rules[0].security_group_rule_id.clone().unwrap()
    }

    pub(crate) async fn default_group(&self, vpc: &str) -> String {
        let found = self.ec2.describe_security_groups();
        let found = found.filters(filter("vpc-id", vpc)).filters(filter("group-name", "default"));
        found.send().await.unwrap().security_groups.unwrap()[0].group_id.clone().unwrap()
    }
}
