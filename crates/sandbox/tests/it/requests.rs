//! What holds for every call: who calls, dry runs, tokens, pages.

use aws_sdk_ec2::operation::RequestId as _;
use bytes::Bytes;
use switchback_sandbox::Sandbox;

use crate::support::{aws, aws_from, ec2, refused, refused_with, tcp};

#[tokio::test]
async fn the_caller_is_of_the_account() {
    let aws = aws_from(Sandbox::builder().account("000011112222"));
    let identity = aws.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(identity.account(), Some("000011112222"));
    assert_eq!(identity.arn(), Some("arn:aws:iam::000011112222:user/sandbox"));
    let vpc = aws.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap().vpc.unwrap();
    assert_eq!(vpc.owner_id(), Some("000011112222"));
}

#[tokio::test]
async fn calls_are_signed_and_for_a_region_that_there_is() {
    let aws = aws();
    let unsigned = http::Request::post("/").body(Bytes::from("Action=DescribeVpcs")).unwrap();
    let response = aws.sandbox.endpoint().call(unsigned).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(String::from_utf8_lossy(response.body()).contains("<Code>MissingAuthenticationToken</Code>"));
    let elsewhere = ec2(&aws.sandbox, "AKIATEST", "xx-bad-1");
    refused_with(elsewhere.describe_vpcs().send().await, 401, "AuthFailure");
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let aws = aws();
    let one = aws.ec2.describe_vpcs().send().await.unwrap();
    let two = aws.ec2.describe_vpcs().send().await.unwrap();
    assert!(one.request_id().is_some());
    assert_ne!(one.request_id(), two.request_id());
    let failed = aws.ec2.delete_vpc().vpc_id("vpc-0000dead").send().await.unwrap_err();
    assert!(failed.request_id().is_some());
}

#[tokio::test]
async fn a_dry_run_checks_and_does_nothing() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = aws.gateway().await;
    let group = aws.group(&vpc, "web").await;
    aws.allow(&group, 22, "10.0.0.0/8").await;
    let before = aws.sandbox.world().await;
    let e = &aws.ec2;
    macro_rules! dry {
        ($($call:expr),+ $(,)?) => { $(refused_with($call.dry_run(true).send().await, 412, "DryRunOperation");)+ };
    }
    dry!(
        e.create_vpc().cidr_block("10.0.0.0/16"),
        e.create_subnet().vpc_id(&vpc).cidr_block("10.0.2.0/24"),
        e.create_internet_gateway(),
        e.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc),
        e.create_security_group().vpc_id(&vpc).group_name("other").description("x"),
        e.authorize_security_group_ingress().group_id(&group).ip_permissions(tcp(23, "10.0.0.0/8")),
        e.revoke_security_group_ingress().group_id(&group).ip_permissions(tcp(22, "10.0.0.0/8")),
        e.create_network_interface().subnet_id(&subnet),
        e.create_tags().resources(&vpc).tags(crate::support::tag("a", "b")),
        e.delete_tags().resources(&vpc),
        e.delete_subnet().subnet_id(&subnet),
        e.delete_security_group().group_id(&group),
        e.delete_internet_gateway().internet_gateway_id(&gateway),
        e.describe_vpcs(),
        e.describe_security_group_rules(),
        // Not known to the rules: passed on, but not in a dry run.
        e.create_egress_only_internet_gateway().vpc_id(&vpc),
    );
    assert_eq!(aws.sandbox.world().await, before);
    // The checks come first.
    refused(e.delete_vpc().vpc_id(&vpc).dry_run(true).send().await, "DependencyViolation");
}

#[tokio::test]
async fn a_replayed_token_has_its_effect_once() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let create = |description: &str, token: &str| {
        let call = aws.ec2.create_network_interface().subnet_id(&subnet).description(description);
        call.client_token(token).send()
    };
    let first = create("a", "t1").await.unwrap().network_interface.unwrap();
    let again = create("a", "t1").await.unwrap().network_interface.unwrap();
    assert_eq!(first.network_interface_id, again.network_interface_id);
    refused(create("b", "t1").await, "IdempotentParameterMismatch");
    let other = create("a", "t2").await.unwrap().network_interface.unwrap();
    assert_ne!(first.network_interface_id, other.network_interface_id);

    // Also where the emulator answers by itself.
    let gateway = || aws.ec2.create_egress_only_internet_gateway().vpc_id(&vpc).client_token("t1").send();
    let one = gateway().await.unwrap().egress_only_internet_gateway.unwrap();
    let two = gateway().await.unwrap().egress_only_internet_gateway.unwrap();
    assert!(one.egress_only_internet_gateway_id.is_some());
    assert_eq!(one.egress_only_internet_gateway_id, two.egress_only_internet_gateway_id);
}

#[tokio::test]
async fn results_come_in_pages() {
    let aws = aws();
    let vpc = aws.vpc().await;
    for n in 0..12 {
        aws.subnet(&vpc, &format!("10.0.{n}.0/24")).await;
    }
    refused(aws.ec2.describe_subnets().max_results(4).send().await, "InvalidParameterValue");
    let pages = aws.ec2.describe_subnets().into_paginator().page_size(5).items().send();
    let all: Vec<_> = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(all.len(), 12);
}

#[tokio::test]
async fn zones_and_account_attributes_are_described() {
    let aws = aws();
    let zones = aws.ec2.describe_availability_zones().send().await.unwrap();
    let names: Vec<&str> = zones.availability_zones().iter().filter_map(|zone| zone.zone_name()).collect();
    assert_eq!(names, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    let unknown = aws.ec2.describe_availability_zones().zone_names("us-east-1q");
    refused(unknown.send().await, "InvalidParameterValue");
    let attributes = aws.ec2.describe_account_attributes().send().await.unwrap();
    assert!(attributes.account_attributes().iter().any(|it| it.attribute_name() == Some("supported-platforms")));
}

#[tokio::test]
async fn unknown_services_and_actions_are_refused() {
    let aws = aws();
    let call = async |service: &str, body: &'static str| {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/{service}/aws4_request, Signature=0");
        let request = http::Request::post("/").header("authorization", scope).body(Bytes::from(body)).unwrap();
        let response = aws.sandbox.endpoint().call(request).await.unwrap();
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    };
    let (status, body) = call("s3", "Action=X").await;
    assert_eq!(status, 501, "{body}");
    let (status, body) = call("ec2", "Action=DoNothing").await;
    assert_eq!(status, 400);
    assert!(body.contains("<Response><Errors><Error><Code>InvalidAction</Code>"), "{body}");
    let (status, body) = call("ec2", "").await;
    assert!(status == 400 && body.contains("MissingAction"), "{body}");
}
