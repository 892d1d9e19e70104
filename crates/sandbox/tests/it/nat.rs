use std::time::Duration;

use aws_sdk_ec2::types::{ConnectivityType, NatGateway, NatGatewayState, ResourceType};
use switchback_sandbox::{Clock, Sandbox};

use crate::support::{Aws, SETTLE, aws, credentials, filter, refused, refused_with, tagged};

const HOUR: Duration = Duration::from_secs(3600);

/// A VPC with an attached gateway, and a subnet in it.
async fn network(aws: &Aws) -> (String, String) {
    let vpc = aws.vpc().await;
    aws.attached(&vpc).await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    (vpc, subnet)
}

async fn seen(aws: &Aws, id: &str) -> NatGateway {
    let found = aws.ec2.describe_nat_gateways().nat_gateway_ids(id).send().await.unwrap();
    found.nat_gateways.unwrap().remove(0)
}

#[tokio::test]
async fn one_is_pending_available_deleting_and_deleted() {
    let aws = aws();
    let (vpc, subnet) = network(&aws).await;
    let id = aws.nat(&subnet).await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Pending));
    aws.pass().await;
    let nat = seen(&aws, &id).await;
    assert_eq!((nat.state(), nat.vpc_id()), (Some(&NatGatewayState::Available), Some(vpc.as_str())));
    let address = &nat.nat_gateway_addresses()[0];
    assert!(address.public_ip().is_some() && address.private_ip().is_some() && address.allocation_id().is_some());
    let interface = address.network_interface_id().unwrap();
    let held = aws.ec2.describe_network_interfaces().network_interface_ids(interface).send().await.unwrap();
    assert_eq!(held.network_interfaces()[0].requester_managed(), Some(true));
    refused(aws.ec2.delete_network_interface().network_interface_id(interface).send().await, "InvalidParameterValue");

    let delete = || aws.ec2.delete_nat_gateway().nat_gateway_id(&id).send();
    delete().await.unwrap();
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Deleting));
    // Again is no error, and does not put off the end.
    aws.sandbox.clock().advance(SETTLE / 2);
    delete().await.unwrap();
    aws.sandbox.clock().advance(SETTLE / 2);
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Deleted));
    assert_eq!(aws.sandbox.world().await.counts.get("natgateway"), None, "it is not left");
    aws.sandbox.clock().advance(HOUR);
    refused(aws.ec2.describe_nat_gateways().nat_gateway_ids(&id).send().await, "NatGatewayNotFound");
}

#[tokio::test]
async fn one_holds_its_subnet_until_it_is_gone() {
    let aws = aws();
    let (_, subnet) = network(&aws).await;
    let id = aws.nat(&subnet).await;
    let delete = || aws.ec2.delete_subnet().subnet_id(&subnet).send();
    refused(delete().await, "DependencyViolation");
    aws.ec2.delete_nat_gateway().nat_gateway_id(&id).send().await.unwrap();
    refused(delete().await, "DependencyViolation");
    aws.pass().await;
    delete().await.unwrap();
}

#[tokio::test]
async fn without_a_gateway_it_fails_later() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let id = aws.nat(&subnet).await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Pending));
    aws.pass().await;
    let nat = seen(&aws, &id).await;
    assert_eq!((nat.state(), nat.failure_code()), (Some(&NatGatewayState::Failed), Some("Gateway.NotAttached")));
    assert_eq!(nat.failure_message(), Some(format!("Network {vpc} has no Internet gateway attached").as_str()));
    // It holds nothing, and goes by itself.
    aws.ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
    aws.sandbox.clock().advance(HOUR);
    refused(aws.ec2.describe_nat_gateways().nat_gateway_ids(&id).send().await, "NatGatewayNotFound");
}

#[tokio::test]
async fn an_address_serves_one() {
    let aws = aws();
    let (_, subnet) = network(&aws).await;
    let address = aws.address().await;
    let create = || aws.ec2.create_nat_gateway().subnet_id(&subnet).allocation_id(&address).send();
    create().await.unwrap();
    let second = create().await.unwrap().nat_gateway.unwrap().nat_gateway_id.unwrap();
    aws.pass().await;
    assert_eq!(seen(&aws, &second).await.failure_code(), Some("Resource.AlreadyAssociated"));
    aws.ec2.delete_nat_gateway().nat_gateway_id(&second).send().await.unwrap();
    assert_eq!(seen(&aws, &second).await.state, Some(NatGatewayState::Deleted));
}

#[tokio::test]
async fn a_private_one_needs_neither_address_nor_gateway() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let create = || aws.ec2.create_nat_gateway().subnet_id(&subnet).connectivity_type(ConnectivityType::Private);
    refused(create().allocation_id("eipalloc-0000dead").send().await, "InvalidParameterCombination");
    let id = create().send().await.unwrap().nat_gateway.unwrap().nat_gateway_id.unwrap();
    aws.pass().await;
    let nat = seen(&aws, &id).await;
    assert_eq!(nat.state, Some(NatGatewayState::Available));
    assert_eq!(nat.nat_gateway_addresses()[0].public_ip(), None);
}

#[tokio::test]
async fn what_it_needs_must_exist() {
    let aws = aws();
    let (_, subnet) = network(&aws).await;
    let create = || aws.ec2.create_nat_gateway();
    refused(create().subnet_id("subnet-0000dead").send().await, "InvalidSubnetID.NotFound");
    refused(create().subnet_id(&subnet).send().await, "MissingParameter");
    let absent = create().subnet_id(&subnet).allocation_id("eipalloc-0000dead");
    refused(absent.send().await, "InvalidAllocationID.NotFound");
    let dry = create().subnet_id(&subnet).allocation_id(aws.address().await).dry_run(true);
    refused_with(dry.send().await, 412, "DryRunOperation");
    refused(aws.ec2.delete_nat_gateway().nat_gateway_id("nat-0000dead").send().await, "NatGatewayNotFound");
    refused(aws.ec2.delete_nat_gateway().nat_gateway_id("gateway").send().await, "NatGatewayMalformed");
    assert!(aws.ec2.describe_nat_gateways().send().await.unwrap().nat_gateways().is_empty());
}

#[tokio::test]
async fn a_token_makes_one_and_tags_find_it() {
    let aws = aws();
    let (vpc, subnet) = network(&aws).await;
    let address = aws.address().await;
    let create = |subnet: &str| {
        let call = aws.ec2.create_nat_gateway().subnet_id(subnet).allocation_id(&address).client_token("t");
        call.tag_specifications(tagged(ResourceType::Natgateway, "run", "1")).send()
    };
    let one = create(&subnet).await.unwrap().nat_gateway.unwrap();
    let two = create(&subnet).await.unwrap().nat_gateway.unwrap();
    assert_eq!(one.nat_gateway_id, two.nat_gateway_id);
    let other = aws.subnet(&vpc, "10.0.2.0/24").await;
    refused(create(&other).await, "IdempotentParameterMismatch");
    for (name, value) in [("tag:run", "1"), ("vpc-id", &vpc), ("subnet-id", &subnet), ("state", "pending")] {
        let found = aws.ec2.describe_nat_gateways().filter(filter(name, value)).send().await.unwrap();
        assert_eq!(found.nat_gateways().len(), 1, "{name}");
    }
    let found = aws.ec2.describe_nat_gateways().filter(filter("state", "available")).send().await.unwrap();
    assert!(found.nat_gateways().is_empty());
}

#[tokio::test]
async fn slow_things_have_a_time_of_their_own() {
    let slow = Duration::from_secs(60);
    let sandbox = Sandbox::builder().settle(SETTLE).slow(slow).clock(Clock::manual()).build();
    let aws = Aws::of(sandbox, credentials("AKIATEST"), "us-east-1");
    let (_, subnet) = network(&aws).await;
    let id = aws.nat(&subnet).await;
    aws.pass().await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Pending));
    aws.sandbox.clock().advance(slow);
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Available));
}

#[tokio::test]
async fn a_snapshot_keeps_what_is_being_deleted() {
    let aws = aws();
    let (_, subnet) = network(&aws).await;
    let id = aws.nat(&subnet).await;
    aws.ec2.delete_nat_gateway().nat_gateway_id(&id).send().await.unwrap();
    let snapshot = aws.sandbox.snapshot().await;
    aws.pass().await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Deleted));
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Deleting));
    aws.pass().await;
    assert_eq!(seen(&aws, &id).await.state, Some(NatGatewayState::Deleted));
    aws.ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
}
