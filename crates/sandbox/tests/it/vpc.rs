use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, VpcAttributeName, VpcState};
use switchback_sandbox::{Quotas, Sandbox};

use crate::support::{SETTLE, aws, aws_from, filter, refused, tagged};

fn on() -> AttributeBooleanValue {
    AttributeBooleanValue::builder().value(true).build()
}

#[tokio::test]
async fn a_vpc_is_pending_and_then_available() {
    let aws = aws();
    let made = aws.ec2.create_vpc().cidr_block("10.0.0.0/16").amazon_provided_ipv6_cidr_block(true);
    let made = made.send().await.unwrap().vpc.unwrap();
    assert_eq!(made.state, Some(VpcState::Pending));
    let state = |vpc: &aws_sdk_ec2::types::Vpc| {
        let block = &vpc.ipv6_cidr_block_association_set()[0];
        (vpc.state.clone().unwrap(), block.ipv6_cidr_block_state.as_ref().unwrap().state.clone().unwrap())
    };
    assert_eq!(state(&made).1.as_str(), "associating");
    aws.sandbox.clock().advance(SETTLE);
    let found = aws.ec2.describe_vpcs().vpc_ids(made.vpc_id.unwrap()).send().await.unwrap();
    let (state, block) = state(&found.vpcs()[0]);
    assert_eq!((state, block.as_str()), (VpcState::Available, "associated"));
    assert!(found.vpcs()[0].ipv6_cidr_block_association_set()[0].ipv6_cidr_block().unwrap().ends_with("/56"));
}

#[tokio::test]
async fn ranges_are_checked_and_made_canonical() {
    let aws = aws();
    let create = |cidr: &str| aws.ec2.create_vpc().cidr_block(cidr).send();
    for bad in ["10.0.0.0", "ten", "10.0.0.0/99"] {
        refused(create(bad).await, "InvalidParameterValue");
    }
    for bad in ["10.0.0.0/8", "10.0.0.0/29"] {
        refused(create(bad).await, "InvalidVpc.Range");
    }
    refused(aws.ec2.create_vpc().send().await, "MissingParameter");
    let made = create("10.1.2.3/16").await.unwrap().vpc.unwrap();
    assert_eq!(made.cidr_block(), Some("10.1.0.0/16"));
}

#[tokio::test]
async fn tags_are_kept_and_found() {
    let aws = aws();
    let made =
        aws.ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(tagged(ResourceType::Vpc, "a", "x y&z"));
    let id = made.send().await.unwrap().vpc.unwrap().vpc_id.unwrap();
    aws.vpc().await;
    for filters in [filter("tag:a", "x*"), filter("tag-key", "a"), filter("vpc-id", &id)] {
        let found = aws.ec2.describe_vpcs().filters(filters).send().await.unwrap();
        assert_eq!(found.vpcs().len(), 1);
        assert_eq!(found.vpcs()[0].vpc_id(), Some(id.as_str()));
        assert_eq!(found.vpcs()[0].tags()[0].value(), Some("x y&z"));
    }
    refused(aws.ec2.describe_vpcs().filters(filter("nonsense", "1")).send().await, "InvalidParameterValue");
    let wrong =
        aws.ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(tagged(ResourceType::Subnet, "a", "b"));
    refused(wrong.send().await, "InvalidParameterValue");
}

#[tokio::test]
async fn unknown_ids_are_refused() {
    let aws = aws();
    refused(aws.ec2.describe_vpcs().vpc_ids("vpc-0000dead").send().await, "InvalidVpcID.NotFound");
    refused(aws.ec2.describe_vpcs().vpc_ids("nonsense").send().await, "InvalidVpcID.Malformed");
    refused(aws.ec2.delete_vpc().vpc_id("vpc-0000dead").send().await, "InvalidVpcID.NotFound");
    refused(aws.ec2.delete_vpc().vpc_id("subnet-00000001").send().await, "InvalidVpcID.Malformed");
}

#[tokio::test]
async fn one_attribute_is_modified_at_a_time() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let modify = || aws.ec2.modify_vpc_attribute().vpc_id(&vpc);
    refused(modify().send().await, "InvalidParameterCombination");
    let two = modify().enable_dns_hostnames(on()).enable_dns_support(on());
    refused(two.send().await, "InvalidParameterCombination");
    modify().enable_dns_hostnames(on()).send().await.unwrap();
    modify().enable_network_address_usage_metrics(on()).send().await.unwrap();
    let attribute = async |name: VpcAttributeName| {
        aws.ec2.describe_vpc_attribute().vpc_id(&vpc).attribute(name).send().await.unwrap()
    };
    let hostnames = attribute(VpcAttributeName::EnableDnsHostnames).await;
    assert_eq!(hostnames.enable_dns_hostnames.unwrap().value, Some(true));
    assert!(hostnames.enable_dns_support.is_none());
    let support = attribute(VpcAttributeName::EnableDnsSupport).await;
    assert_eq!(support.enable_dns_support.unwrap().value, Some(true));
    let metrics = attribute(VpcAttributeName::EnableNetworkAddressUsageMetrics).await;
    assert_eq!(metrics.enable_network_address_usage_metrics.unwrap().value, Some(true));
    let unknown = aws.ec2.modify_vpc_attribute().vpc_id("vpc-0000dead").enable_dns_support(on());
    refused(unknown.send().await, "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn a_vpc_is_held_by_what_is_in_it() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let delete = async || refused(aws.ec2.delete_vpc().vpc_id(&vpc).send().await, "DependencyViolation");

    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    assert_eq!(delete().await, format!("The vpc '{vpc}' has dependencies and cannot be deleted."));
    let interface = aws.interface(&subnet, None).await;
    delete().await;
    aws.ec2.delete_network_interface().network_interface_id(interface).send().await.unwrap();
    aws.ec2.delete_subnet().subnet_id(subnet).send().await.unwrap();

    let gateway = aws.gateway().await;
    aws.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    delete().await;
    aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();

    let group = aws.group(&vpc, "web").await;
    delete().await;
    aws.ec2.delete_security_group().group_id(group).send().await.unwrap();

    let table = aws.ec2.create_route_table().vpc_id(&vpc).send().await.unwrap();
    delete().await;
    let table = table.route_table.unwrap().route_table_id.unwrap();
    aws.ec2.delete_route_table().route_table_id(table).send().await.unwrap();

    let acl = aws.ec2.create_network_acl().vpc_id(&vpc).send().await.unwrap();
    delete().await;
    let acl = acl.network_acl.unwrap().network_acl_id.unwrap();
    aws.ec2.delete_network_acl().network_acl_id(acl).send().await.unwrap();

    aws.ec2.delete_vpc().vpc_id(&vpc).send().await.unwrap();
    refused(aws.ec2.describe_vpcs().vpc_ids(&vpc).send().await, "InvalidVpcID.NotFound");
}

#[tokio::test]
async fn what_came_with_a_vpc_goes_with_it() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let world = aws.sandbox.world().await;
    let kinds: Vec<&str> = world.resources.iter().filter(|it| it.default).map(|it| it.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["network-acl", "route-table", "security-group", "security-group-rule", "security-group-rule"],
        "defaults are listed, and marked"
    );
    assert_eq!((world.total, world.counts["vpc"]), (1, 1));
    aws.ec2.delete_vpc().vpc_id(vpc).send().await.unwrap();
    assert_eq!(aws.sandbox.world().await.resources, []);
}

#[tokio::test]
async fn a_quota_is_kept() {
    let quotas = Quotas { vpcs: Some(2), ..Quotas::default() };
    let aws = aws_from(Sandbox::builder().quotas(quotas));
    aws.vpc().await;
    aws.vpc().await;
    refused(aws.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await, "VpcLimitExceeded");
}
