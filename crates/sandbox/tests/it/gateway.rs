use aws_sdk_ec2::types::{AttachmentStatus, ResourceType};

use crate::support::{aws, filter, refused, tagged};

#[tokio::test]
async fn a_gateway_is_attached_once() {
    let aws = aws();
    let (vpc, other_vpc) = (aws.vpc().await, aws.vpc().await);
    let (gateway, other) = (aws.gateway().await, aws.gateway().await);
    let attach =
        |gateway: &str, vpc: &str| aws.ec2.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc).send();
    refused(attach("igw-0000dead", &vpc).await, "InvalidInternetGatewayID.NotFound");
    refused(attach("gateway", &vpc).await, "InvalidInternetGatewayId.Malformed");
    refused(attach(&gateway, "vpc-0000dead").await, "InvalidVpcID.NotFound");
    attach(&gateway, &vpc).await.unwrap();
    for to in [&vpc, &other_vpc] {
        let message = refused(attach(&gateway, to).await, "Resource.AlreadyAssociated");
        assert_eq!(message, format!("resource {gateway} is already attached to network {vpc}"));
    }
    let message = refused(attach(&other, &vpc).await, "InvalidParameterValue");
    assert_eq!(message, format!("Network {vpc} already has an internet gateway attached"));

    let found = aws.ec2.describe_internet_gateways().filters(filter("attachment.vpc-id", &vpc)).send().await.unwrap();
    let attachment = &found.internet_gateways()[0].attachments()[0];
    assert_eq!(attachment.vpc_id(), Some(vpc.as_str()));
    assert_eq!(attachment.state, Some(AttachmentStatus::from("available")));
}

#[tokio::test]
async fn only_what_is_attached_is_detached() {
    let aws = aws();
    let (vpc, other) = (aws.vpc().await, aws.vpc().await);
    let gateway = aws.gateway().await;
    let detach = |vpc: &str| aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(vpc).send();
    refused(detach(&vpc).await, "Gateway.NotAttached");
    aws.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    refused(detach(&other).await, "Gateway.NotAttached");
    detach(&vpc).await.unwrap();
    refused(detach(&vpc).await, "Gateway.NotAttached");
}

#[tokio::test]
async fn public_addresses_keep_a_gateway_attached() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let gateway = aws.gateway().await;
    aws.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    let nat = aws.nat(&subnet).await;
    let detach = || aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send();
    refused(detach().await, "DependencyViolation");
    aws.ec2.delete_nat_gateway().nat_gateway_id(nat).send().await.unwrap();
    refused(detach().await, "DependencyViolation");
    aws.pass().await;
    detach().await.unwrap();
}

#[tokio::test]
async fn an_attached_gateway_is_not_deleted() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let gateway = aws.gateway().await;
    aws.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    let delete = || aws.ec2.delete_internet_gateway().internet_gateway_id(&gateway).send();
    let message = refused(delete().await, "DependencyViolation");
    assert_eq!(message, format!("The internetGateway '{gateway}' has dependencies and cannot be deleted."));
    aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    delete().await.unwrap();
    refused(delete().await, "InvalidInternetGatewayID.NotFound");
}

#[tokio::test]
async fn gateways_are_found_by_tag() {
    let aws = aws();
    let made = aws.ec2.create_internet_gateway().tag_specifications(tagged(ResourceType::InternetGateway, "run", "1"));
    let id = made.send().await.unwrap().internet_gateway.unwrap().internet_gateway_id.unwrap();
    aws.gateway().await;
    let found = aws.ec2.describe_internet_gateways().filters(filter("tag:run", "1")).send().await.unwrap();
    assert_eq!(found.internet_gateways().len(), 1);
    assert_eq!(found.internet_gateways()[0].internet_gateway_id(), Some(id.as_str()));
}
