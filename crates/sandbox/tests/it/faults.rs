use std::time::Duration;

use switchback_sandbox::{Effect, Fault, Plan, When};

use crate::support::{Aws, aws, ec2, refused, refused_with};

fn with(fault: Fault) -> Aws {
    let aws = aws();
    aws.sandbox.faults().set(Plan { faults: vec![fault], ..Plan::default() });
    aws
}

async fn vpcs(aws: &Aws) -> usize {
    aws.sandbox.world().await.counts.get("vpc").copied().unwrap_or(0)
}

macro_rules! create {
    ($aws:expr) => {
        $aws.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await
    };
}

#[tokio::test]
async fn an_error_comes_before_or_after_the_effect() {
    for (when, made) in [(When::Before, 0), (When::After, 1)] {
        let effect = Effect::Error { status: 500, code: "InternalError".into(), message: None, when };
        let aws = with(Fault::new("CreateVpc", effect));
        refused_with(create!(aws), 500, "InternalError");
        assert_eq!(vpcs(&aws).await, made);
        create!(aws).unwrap();
    }
}

#[tokio::test]
async fn calls_are_throttled_and_denied() {
    let aws = with(Fault::new("CreateVpc", Effect::Throttle));
    refused_with(create!(aws), 503, "RequestLimitExceeded");
    let aws = with(Fault::new("Create*", Effect::Deny).times(0));
    refused_with(create!(aws), 403, "UnauthorizedOperation");
    refused_with(create!(aws), 403, "UnauthorizedOperation");
    assert_eq!(vpcs(&aws).await, 0);
}

#[tokio::test]
async fn a_lost_reply_leaves_its_effect() {
    let aws = with(Fault::new("CreateVpc", Effect::ReplyLost { wait_ms: 0 }));
    let error = create!(aws).unwrap_err();
    assert!(error.as_service_error().is_none());
    assert_eq!(vpcs(&aws).await, 1);
}

#[tokio::test]
async fn a_lost_request_has_no_effect() {
    for effect in [Effect::RequestLost { wait_ms: 0 }, Effect::Refuse] {
        let aws = with(Fault::new("CreateVpc", effect));
        assert!(create!(aws).unwrap_err().as_service_error().is_none());
        assert_eq!(vpcs(&aws).await, 0);
    }
}

#[tokio::test]
async fn an_effect_lands_late() {
    let aws = with(Fault::new("CreateVpc", Effect::Late { delay_ms: 100, wait_ms: 0 }));
    assert!(create!(aws).unwrap_err().as_service_error().is_none());
    assert_eq!((vpcs(&aws).await, aws.sandbox.faults().still_to_land()), (0, 1));
    aws.sandbox.clock().advance(Duration::from_millis(99));
    assert_eq!(aws.ec2.describe_vpcs().send().await.unwrap().vpcs().len(), 0);
    aws.sandbox.clock().advance(Duration::from_millis(1));
    assert_eq!(aws.ec2.describe_vpcs().send().await.unwrap().vpcs().len(), 1);
    assert_eq!(aws.sandbox.faults().still_to_land(), 0);
    assert_eq!(aws.sandbox.faults().count("CreateVpc"), 1);
    assert!(aws.sandbox.faults().calls().iter().any(|call| call.landed && call.status == Some(200)));
}

#[tokio::test]
async fn a_read_lags_behind() {
    let aws = aws();
    aws.vpc().await;
    aws.sandbox.clock().advance(Duration::from_millis(500));
    aws.vpc().await;
    aws.sandbox.clock().advance(Duration::from_millis(50));
    aws.sandbox.faults().add(Fault::new("DescribeVpcs", Effect::Lag { ms: 100 }).times(0));
    let seen = async || aws.ec2.describe_vpcs().send().await.unwrap().vpcs().len();
    assert_eq!(seen().await, 1);
    aws.sandbox.clock().advance(Duration::from_millis(49));
    assert_eq!(seen().await, 1);
    aws.sandbox.clock().advance(Duration::from_millis(1));
    assert_eq!(seen().await, 2);
    aws.sandbox.faults().clear();
    aws.vpc().await;
    assert_eq!(seen().await, 3);
}

#[tokio::test]
async fn a_lagging_read_does_not_know_a_new_thing() {
    let aws = with(Fault::new("DescribeVpcs", Effect::Lag { ms: 100 }).times(0));
    let vpc = aws.vpc().await;
    refused(aws.ec2.describe_vpcs().vpc_ids(&vpc).send().await, "InvalidVpcID.NotFound");
    aws.sandbox.clock().advance(Duration::from_millis(100));
    aws.ec2.describe_vpcs().vpc_ids(&vpc).send().await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_waits_for_the_clock() {
    let aws = with(Fault::new("CreateVpc", Effect::Slow { ms: 1000 }));
    let clock = aws.sandbox.clock();
    let call = tokio::spawn({
        let ec2 = aws.ec2.clone();
        async move { ec2.create_vpc().cidr_block("10.0.0.0/16").send().await }
    });
    while aws.sandbox.faults().count("CreateVpc") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!call.is_finished());
    assert_eq!(vpcs(&aws).await, 1);
    clock.advance(Duration::from_millis(1000));
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn credentials_expire_until_they_are_renewed() {
    let aws = with(Fault::new("CreateVpc", Effect::Expire).nth(2));
    create!(aws).unwrap();
    refused(create!(aws), "RequestExpired");
    refused(aws.ec2.describe_vpcs().send().await, "RequestExpired");
    refused_with(aws.sts.get_caller_identity().send().await, 403, "ExpiredToken");
    // Others go on.
    ec2(&aws.sandbox, "AKIAOTHER", "us-east-1").describe_vpcs().send().await.unwrap();
    aws.sandbox.faults().renew();
    create!(aws).unwrap();
    assert_eq!(vpcs(&aws).await, 2);
    aws.sandbox.faults().expire(None);
    refused(create!(aws), "RequestExpired");
}

#[tokio::test]
async fn a_fault_can_be_for_one_resource() {
    let aws = aws();
    let (one, two) = (aws.vpc().await, aws.vpc().await);
    aws.sandbox.faults().add(Fault::new("DeleteVpc", Effect::Throttle).resource(&two).times(0));
    aws.ec2.delete_vpc().vpc_id(one).send().await.unwrap();
    refused_with(aws.ec2.delete_vpc().vpc_id(two).send().await, 503, "RequestLimitExceeded");
}

#[tokio::test]
async fn calls_are_logged() {
    let aws = aws();
    create!(aws).unwrap();
    refused(aws.ec2.delete_vpc().vpc_id("x").send().await, "InvalidVpcID.Malformed");
    aws.ec2.describe_vpcs().send().await.unwrap();
    let calls = aws.sandbox.faults().calls();
    let seen: Vec<_> =
        calls.iter().map(|call| (call.action.as_str(), call.write, call.status, call.code.as_deref())).collect();
    assert_eq!(
        seen,
        [
            ("CreateVpc", true, Some(200), None),
            ("DeleteVpc", true, Some(400), Some("InvalidVpcID.Malformed")),
            ("DescribeVpcs", false, Some(200), None),
        ]
    );
    assert_eq!(aws.sandbox.faults().count("CreateVpc"), 1);
}
