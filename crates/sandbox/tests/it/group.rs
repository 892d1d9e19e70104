use aws_sdk_ec2::types::{IpPermission, ResourceType, UserIdGroupPair};

use crate::support::{aws, filter, refused, tagged};

#[tokio::test]
async fn names_are_unique_in_a_vpc() {
    let aws = aws();
    let (vpc, other) = (aws.vpc().await, aws.vpc().await);
    aws.group(&vpc, "web").await;
    aws.group(&other, "web").await;
    let again = aws.ec2.create_security_group().vpc_id(&vpc).group_name("web").description("x");
    refused(again.send().await, "InvalidGroup.Duplicate");
}

#[tokio::test]
async fn bad_names_are_refused() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let create = |name: &str, description: &str| {
        aws.ec2.create_security_group().vpc_id(&vpc).group_name(name).description(description).send()
    };
    for name in ["sg-web", "default", "wéb", "web|1", &"w".repeat(256)] {
        refused(create(name, "x").await, "InvalidParameterValue");
    }
    refused(create("web", "a\nb").await, "InvalidParameterValue");
    refused(aws.ec2.create_security_group().vpc_id(&vpc).group_name("web").send().await, "MissingParameter");
    let unknown = aws.ec2.create_security_group().vpc_id("vpc-0000dead").group_name("web").description("x");
    refused(unknown.send().await, "InvalidVpcID.NotFound");
    let nowhere = aws.ec2.create_security_group().group_name("web").description("x");
    refused(nowhere.send().await, "VPCIdNotSpecified");
    assert_eq!(aws.sandbox.world().await.total, 1);
}

#[tokio::test]
async fn a_new_group_lets_everything_out() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let made = aws.ec2.create_security_group().vpc_id(&vpc).group_name("web").description("the web");
    let made = made.tag_specifications(tagged(ResourceType::SecurityGroup, "a", "b")).send().await.unwrap();
    let found = aws.ec2.describe_security_groups().filters(filter("tag:a", "b")).send().await.unwrap();
    let group = &found.security_groups()[0];
    assert_eq!(group.group_id(), made.group_id());
    assert_eq!((group.description(), group.vpc_id()), (Some("the web"), Some(vpc.as_str())));
    assert_eq!(group.ip_permissions(), []);
    let out = &group.ip_permissions_egress()[0];
    assert_eq!((out.ip_protocol(), out.from_port()), (Some("-1"), None));
    assert_eq!(out.ip_ranges()[0].cidr_ip(), Some("0.0.0.0/0"));
}

#[tokio::test]
async fn the_default_group_stays() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let group = aws.default_group(&vpc).await;
    refused(aws.ec2.delete_security_group().group_id(group).send().await, "CannotDelete");
}

#[tokio::test]
async fn a_group_is_held_by_rules_of_other_groups() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (web, database) = (aws.group(&vpc, "web").await, aws.group(&vpc, "database").await);
    let from = |group: &str| {
        let pair = UserIdGroupPair::builder().group_id(group).build();
        IpPermission::builder().ip_protocol("tcp").from_port(5432).to_port(5432).user_id_group_pairs(pair).build()
    };
    let allow = |group: &str, peer: &str| {
        aws.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(from(peer)).send()
    };
    allow(&database, &web).await.unwrap();
    // Its own rule does not hold it.
    allow(&web, &web).await.unwrap();
    let delete = |group: &str| aws.ec2.delete_security_group().group_id(group).send();
    let message = refused(delete(&web).await, "DependencyViolation");
    assert_eq!(message, format!("resource {web} has a dependent object"));
    let revoke = aws.ec2.revoke_security_group_ingress().group_id(&database).ip_permissions(from(&web));
    revoke.send().await.unwrap();
    delete(&web).await.unwrap();
    delete(&database).await.unwrap();
    refused(delete(&web).await, "InvalidGroup.NotFound");
    refused(delete("web").await, "InvalidGroupId.Malformed");
}

#[tokio::test]
async fn a_group_is_held_by_interfaces() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let group = aws.group(&vpc, "web").await;
    let interface = aws.interface(&subnet, Some(&group)).await;
    refused(aws.ec2.delete_security_group().group_id(&group).send().await, "DependencyViolation");
    aws.ec2.delete_network_interface().network_interface_id(interface).send().await.unwrap();
    aws.ec2.delete_security_group().group_id(&group).send().await.unwrap();
}
