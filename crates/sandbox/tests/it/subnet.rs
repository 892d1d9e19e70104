use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, SubnetState};

use crate::support::{SETTLE, aws, filter, refused, tagged};

#[tokio::test]
async fn a_subnet_is_pending_and_then_available() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let made = aws.ec2.create_subnet().vpc_id(&vpc).cidr_block("10.0.1.7/24").availability_zone("us-east-1c");
    let made = made.tag_specifications(tagged(ResourceType::Subnet, "a", "b")).send().await.unwrap().subnet.unwrap();
    assert_eq!(made.state, Some(SubnetState::Pending));
    assert_eq!((made.cidr_block(), made.availability_zone_id()), (Some("10.0.1.0/24"), Some("use1-az3")));
    assert_eq!(made.available_ip_address_count, Some(251));
    aws.sandbox.clock().advance(SETTLE);
    let found = aws.ec2.describe_subnets().filters(filter("tag:a", "b")).filters(filter("state", "available"));
    let found = found.filters(filter("vpc-id", &vpc)).filters(filter("availability-zone", "us-east-1c"));
    assert_eq!(found.send().await.unwrap().subnets().len(), 1);
}

#[tokio::test]
async fn ranges_lie_inside_and_do_not_overlap() {
    let aws = aws();
    let vpc = aws.vpc().await;
    aws.subnet(&vpc, "10.0.1.0/24").await;
    let create = |cidr: &str| aws.ec2.create_subnet().vpc_id(&vpc).cidr_block(cidr).send();
    for outside in ["10.1.0.0/24", "10.0.0.0/8", "10.0.0.0/29"] {
        refused(create(outside).await, "InvalidSubnet.Range");
    }
    for taken in ["10.0.1.0/24", "10.0.1.128/25", "10.0.0.0/16"] {
        refused(create(taken).await, "InvalidSubnet.Conflict");
    }
    refused(create("nonsense").await, "InvalidParameterValue");
    let other = aws.vpc().await;
    aws.subnet(&other, "10.0.1.0/24").await;
}

#[tokio::test]
async fn the_vpc_and_the_zone_must_exist() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let create = |vpc: &str| aws.ec2.create_subnet().vpc_id(vpc).cidr_block("10.0.1.0/24");
    refused(create("vpc-0000dead").send().await, "InvalidVpcID.NotFound");
    refused(create(&vpc).availability_zone("us-east-1q").send().await, "InvalidParameterValue");
    refused(create(&vpc).availability_zone_id("use1-az9").send().await, "InvalidParameterValue");
    let made = create(&vpc).availability_zone_id("use1-az2").send().await.unwrap().subnet.unwrap();
    assert_eq!(made.availability_zone(), Some("us-east-1b"));
}

#[tokio::test]
async fn ipv6_ranges_come_from_the_vpc() {
    let aws = aws();
    let made = aws.ec2.create_vpc().cidr_block("10.0.0.0/16").amazon_provided_ipv6_cidr_block(true);
    let vpc = made.send().await.unwrap().vpc.unwrap();
    let block = vpc.ipv6_cidr_block_association_set()[0].ipv6_cidr_block().unwrap();
    let inside = block.replace("/56", "/64");
    let create = |cidr: &str, ipv6: &str| {
        aws.ec2.create_subnet().vpc_id(vpc.vpc_id().unwrap()).cidr_block(cidr).ipv6_cidr_block(ipv6).send()
    };
    refused(create("10.0.1.0/24", "2001:db8::/64").await, "InvalidSubnet.Range");
    refused(create("10.0.1.0/24", block).await, "InvalidSubnet.Range");
    let made = create("10.0.1.0/24", &inside).await.unwrap().subnet.unwrap();
    assert_eq!(made.ipv6_cidr_block_association_set()[0].ipv6_cidr_block(), Some(inside.as_str()));
    refused(create("10.0.2.0/24", &inside).await, "InvalidSubnet.Conflict");
}

#[tokio::test]
async fn attributes_are_modified_one_at_a_time() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let on = || AttributeBooleanValue::builder().value(true).build();
    let modify = || aws.ec2.modify_subnet_attribute().subnet_id(&subnet);
    refused(modify().send().await, "InvalidParameterCombination");
    refused(modify().assign_ipv6_address_on_creation(on()).send().await, "InvalidParameterValue");
    modify().map_public_ip_on_launch(on()).send().await.unwrap();
    let found = aws.ec2.describe_subnets().subnet_ids(&subnet).send().await.unwrap();
    assert_eq!(found.subnets()[0].map_public_ip_on_launch, Some(true));
    let unknown = aws.ec2.modify_subnet_attribute().subnet_id("subnet-0000dead").map_public_ip_on_launch(on());
    refused(unknown.send().await, "InvalidSubnetID.NotFound");
}

#[tokio::test]
async fn a_subnet_is_held_by_interfaces() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let interface = aws.interface(&subnet, None).await;
    let delete = || aws.ec2.delete_subnet().subnet_id(&subnet).send();
    let message = refused(delete().await, "DependencyViolation");
    assert_eq!(message, format!("The subnet '{subnet}' has dependencies and cannot be deleted."));
    aws.ec2.delete_network_interface().network_interface_id(interface).send().await.unwrap();
    delete().await.unwrap();
    refused(delete().await, "InvalidSubnetID.NotFound");
    refused(aws.ec2.delete_subnet().subnet_id("x").send().await, "InvalidSubnetID.Malformed");
}
