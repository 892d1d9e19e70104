use aws_sdk_ec2::types::ResourceType;

use crate::support::{aws, filter, refused, tagged};

#[tokio::test]
async fn interfaces_have_addresses_groups_and_tags() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let group = aws.group(&vpc, "web").await;
    let made = aws.ec2.create_network_interface().subnet_id(&subnet).groups(&group).description("a b");
    let made = made.tag_specifications(tagged(ResourceType::NetworkInterface, "a", "b"));
    let made = made.send().await.unwrap().network_interface.unwrap();
    assert_eq!(made.private_ip_address(), Some("10.0.1.4"));
    aws.interface(&subnet, None).await;
    let found = aws.ec2.describe_network_interfaces().filters(filter("tag:a", "b")).filters(filter("group-id", &group));
    let found = found.send().await.unwrap();
    let interface = &found.network_interfaces()[0];
    assert_eq!(interface.network_interface_id(), made.network_interface_id());
    assert_eq!(interface.groups()[0].group_name(), Some("web"));
    assert_eq!(interface.description(), Some("a b"));
    let by_default = aws.ec2.describe_network_interfaces().filters(filter("group-name", "default"));
    assert_eq!(by_default.send().await.unwrap().network_interfaces()[0].private_ip_address(), Some("10.0.1.5"));
    let subnets = aws.ec2.describe_subnets().subnet_ids(&subnet).send().await.unwrap();
    assert_eq!(subnets.subnets()[0].available_ip_address_count, Some(249));
}

#[tokio::test]
async fn bad_interfaces_are_refused() {
    let aws = aws();
    let (vpc, other) = (aws.vpc().await, aws.vpc().await);
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let foreign = aws.group(&other, "web").await;
    let create = || aws.ec2.create_network_interface().subnet_id(&subnet);
    refused(create().subnet_id("subnet-0000dead").send().await, "InvalidSubnetID.NotFound");
    refused(create().groups("sg-0000dead").send().await, "InvalidGroup.NotFound");
    refused(create().groups(foreign).send().await, "InvalidParameter");
    refused(create().private_ip_address("10.0.2.9").send().await, "InvalidParameterValue");
    create().private_ip_address("10.0.1.9").send().await.unwrap();
    refused(create().private_ip_address("10.0.1.9").send().await, "InvalidIPAddress.InUse");
    let delete = |id: &str| aws.ec2.delete_network_interface().network_interface_id(id).send();
    refused(delete("eni-0000dead").await, "InvalidNetworkInterfaceID.NotFound");
    refused(delete("eni").await, "InvalidNetworkInterfaceId.Malformed");
}
