use std::time::Duration;

use aws_sdk_ec2::types::{ResourceType, VpcState};
use switchback_sandbox::{Effect, Fault};

use crate::support::{SETTLE, aws, filter, tagged, tcp};

#[tokio::test]
async fn a_world_is_restored_as_it_was() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.group(&vpc, "web").await;
    let allowed = aws.ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(tcp(22, "10.0.0.0/8"));
    let allowed = allowed.tag_specifications(tagged(ResourceType::SecurityGroupRule, "a", "b")).send().await.unwrap();
    let rule = allowed.security_group_rules.unwrap()[0].security_group_rule_id.clone().unwrap();
    let before = aws.sandbox.world().await;
    let snapshot = aws.sandbox.snapshot().await;

    let revoke = aws.ec2.revoke_security_group_ingress().group_id(&group).security_group_rule_ids(&rule);
    revoke.send().await.unwrap();
    aws.ec2.delete_security_group().group_id(&group).send().await.unwrap();
    aws.gateway().await;
    assert_ne!(aws.sandbox.world().await, before);
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.sandbox.world().await, before);
    let found = aws.ec2.describe_security_group_rules().filters(filter("tag:a", "b")).send().await.unwrap();
    assert_eq!(found.security_group_rules()[0].security_group_rule_id(), Some(rule.as_str()));

    // The same next step gives the same ids.
    let other = crate::support::aws();
    other.sandbox.restore(&snapshot).await;
    assert_eq!(other.sandbox.world().await, before);
    assert_eq!((aws.gateway().await, aws.vpc().await), (other.gateway().await, other.vpc().await));
}

#[tokio::test]
async fn ages_and_late_effects_are_restored_too() {
    let aws = aws();
    aws.vpc().await;
    aws.sandbox.faults().add(Fault::new("CreateInternetGateway", Effect::Late { delay_ms: 80, wait_ms: 0 }));
    aws.ec2.create_internet_gateway().send().await.unwrap_err();
    aws.sandbox.clock().advance(SETTLE / 2);
    let snapshot = aws.sandbox.snapshot().await;

    let other = crate::support::aws();
    other.sandbox.clock().advance(Duration::from_secs(1000));
    other.sandbox.restore(&snapshot).await;
    let state = async || other.ec2.describe_vpcs().send().await.unwrap().vpcs()[0].state.clone().unwrap();
    assert_eq!(state().await, VpcState::Pending);
    other.sandbox.clock().advance(SETTLE / 2);
    assert_eq!(state().await, VpcState::Available);
    assert_eq!(other.sandbox.world().await.counts.get("internet-gateway"), None);
    other.sandbox.clock().advance(Duration::from_millis(30));
    assert_eq!(other.sandbox.world().await.counts["internet-gateway"], 1);
}

#[tokio::test]
async fn a_reset_leaves_nothing_and_uses_no_id_again() {
    let aws = aws();
    let before = aws.vpc().await;
    aws.sandbox.reset().await;
    assert_eq!(aws.sandbox.world().await.resources, []);
    assert_ne!(aws.vpc().await, before);
}
