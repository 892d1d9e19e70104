use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, VpcEndpoint, VpcEndpointType};

use crate::support::{Aws, aws, filter, refused, refused_with, tagged};

const S3: &str = "com.amazonaws.us-east-1.s3";
const LOGS: &str = "com.amazonaws.us-east-1.logs";

/// A VPC whose DNS answers for endpoints.
async fn vpc(aws: &Aws) -> String {
    let vpc = aws.vpc().await;
    let on = AttributeBooleanValue::builder().value(true).build();
    aws.ec2.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(on).send().await.unwrap();
    vpc
}

async fn seen(aws: &Aws, id: &str) -> VpcEndpoint {
    let found = aws.ec2.describe_vpc_endpoints().vpc_endpoint_ids(id).send().await.unwrap();
    found.vpc_endpoints.unwrap().remove(0)
}

async fn state(aws: &Aws, id: &str) -> String {
    seen(aws, id).await.state.unwrap().as_str().to_owned()
}

async fn gateway(aws: &Aws, vpc: &str, table: &str) -> String {
    let made = aws.ec2.create_vpc_endpoint().vpc_id(vpc).service_name(S3).route_table_ids(table);
    made.send().await.unwrap().vpc_endpoint.unwrap().vpc_endpoint_id.unwrap()
}

#[tokio::test]
async fn a_gateway_endpoint_puts_routes_into_its_tables() {
    let aws = aws();
    let vpc = vpc(&aws).await;
    let table = aws.table(&vpc).await;
    let id = gateway(&aws, &vpc, &table).await;
    assert_eq!(state(&aws, &id).await, "pending");
    aws.pass().await;
    assert_eq!(state(&aws, &id).await, "available");
    let again = || aws.ec2.create_vpc_endpoint().vpc_id(&vpc).service_name(S3).route_table_ids(&table).send();
    refused(again().await, "RouteAlreadyExists");
    let routes = async || {
        let found = aws.ec2.describe_route_tables().route_table_ids(&table).send().await.unwrap();
        let routes = found.route_tables()[0].routes().to_vec();
        routes.into_iter().filter(|route| route.destination_prefix_list_id().is_some()).collect::<Vec<_>>()
    };
    assert_eq!(routes().await[0].gateway_id(), Some(id.as_str()));

    let delete = || aws.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&id).send();
    assert!(delete().await.unwrap().unsuccessful().is_empty());
    assert_eq!(state(&aws, &id).await, "deleting");
    aws.ec2.delete_route_table().route_table_id(aws.table(&vpc).await).send().await.unwrap();
    aws.pass().await;
    assert!(routes().await.is_empty());
    refused(aws.ec2.describe_vpc_endpoints().vpc_endpoint_ids(&id).send().await, "InvalidVpcEndpointId.NotFound");
    again().await.unwrap();
}

#[tokio::test]
async fn deletion_answers_200_and_says_what_it_refused() {
    let aws = aws();
    let vpc = vpc(&aws).await;
    let id = gateway(&aws, &vpc, &aws.table(&vpc).await).await;
    let delete = aws.ec2.delete_vpc_endpoints().vpc_endpoint_ids("vpce-0000dead").vpc_endpoint_ids("x");
    let refused = delete.vpc_endpoint_ids(&id).send().await.unwrap().unsuccessful.unwrap();
    let codes: Vec<_> = refused.iter().map(|it| it.error().unwrap().code().unwrap().to_owned()).collect();
    assert_eq!(codes, ["InvalidVpcEndpointId.NotFound", "InvalidVpcEndpointId.Malformed"]);
    assert_eq!(refused[0].resource_id(), Some("vpce-0000dead"));
    assert_eq!(state(&aws, &id).await, "deleting");
}

#[tokio::test]
async fn an_interface_endpoint_holds_subnets_and_groups() {
    let aws = aws();
    let vpc = vpc(&aws).await;
    let (subnet, group) = (aws.subnet(&vpc, "10.0.1.0/24").await, aws.group(&vpc, "endpoints").await);
    let create = aws.ec2.create_vpc_endpoint().vpc_id(&vpc).service_name(LOGS).security_group_ids(&group);
    let made = create.vpc_endpoint_type(VpcEndpointType::Interface).subnet_ids(&subnet).send().await.unwrap();
    let id = made.vpc_endpoint.unwrap().vpc_endpoint_id.unwrap();
    aws.pass().await;
    let endpoint = seen(&aws, &id).await;
    assert_eq!(endpoint.private_dns_enabled(), Some(true));
    assert_eq!((endpoint.subnet_ids(), endpoint.groups()[0].group_id()), (&[subnet.clone()][..], Some(group.as_str())));
    let names: Vec<_> = endpoint.dns_entries().iter().filter_map(|entry| entry.dns_name()).collect();
    assert!(names.contains(&"logs.us-east-1.amazonaws.com"), "{names:?}");
    let interface = &endpoint.network_interface_ids()[0];
    let found = aws.ec2.describe_network_interfaces().network_interface_ids(interface).send().await.unwrap();
    assert_eq!(found.network_interfaces()[0].interface_type().map(|it| it.as_str()), Some("vpc_endpoint"));

    let (of_subnet, of_group) = (
        || aws.ec2.delete_subnet().subnet_id(&subnet).send(),
        || aws.ec2.delete_security_group().group_id(&group).send(),
    );
    aws.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&id).send().await.unwrap();
    refused(of_subnet().await, "DependencyViolation");
    refused(of_group().await, "DependencyViolation");
    aws.pass().await;
    of_subnet().await.unwrap();
    of_group().await.unwrap();
    aws.ec2.delete_vpc().vpc_id(&vpc).send().await.unwrap();
    assert_eq!(aws.sandbox.world().await.total, 0);
}

#[tokio::test]
async fn private_dns_needs_the_network_and_is_there_once() {
    let aws = aws();
    let bare = aws.vpc().await;
    let create = |vpc: &str| {
        let call = aws.ec2.create_vpc_endpoint().vpc_id(vpc).service_name(LOGS);
        call.vpc_endpoint_type(VpcEndpointType::Interface)
    };
    let message = refused(create(&bare).send().await, "InvalidParameter");
    assert!(message.contains("enableDnsHostnames"), "{message}");
    create(&bare).private_dns_enabled(false).send().await.unwrap();
    refused(aws.ec2.delete_vpc().vpc_id(&bare).send().await, "DependencyViolation");
    let vpc = vpc(&aws).await;
    create(&vpc).send().await.unwrap();
    let message = refused(create(&vpc).send().await, "InvalidParameter");
    assert!(message.contains("conflicting DNS domain for logs.us-east-1.amazonaws.com"), "{message}");
    create(&vpc).private_dns_enabled(false).send().await.unwrap();
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let aws = aws();
    let (one, two) = (vpc(&aws).await, vpc(&aws).await);
    let create = |service: &str| aws.ec2.create_vpc_endpoint().vpc_id(&one).service_name(service);
    for service in ["s3", "com.amazonaws.us-east-1.nothing", "com.amazonaws.eu-west-1.s3"] {
        refused(create(service).send().await, "InvalidServiceName");
    }
    refused(create(LOGS).send().await, "InvalidParameter");
    refused(create(S3).route_table_ids(aws.table(&two).await).send().await, "InvalidParameter");
    refused(create(S3).route_table_ids("rtb-0000dead").send().await, "InvalidRouteTableID.NotFound");
    refused(create(S3).subnet_ids("subnet-0000dead").send().await, "InvalidParameter");
    refused_with(create(S3).dry_run(true).send().await, 412, "DryRunOperation");
    let absent = aws.ec2.create_vpc_endpoint().vpc_id("vpc-0000dead").service_name(S3);
    refused(absent.send().await, "InvalidVpcID.NotFound");
    let interface = || create(LOGS).vpc_endpoint_type(VpcEndpointType::Interface);
    refused(interface().subnet_ids("subnet-0000dead").send().await, "InvalidSubnetID.NotFound");
    let foreign = aws.subnet(&two, "10.0.1.0/24").await;
    refused(interface().subnet_ids(&foreign).send().await, "InvalidParameter");
    refused(interface().security_group_ids(aws.group(&two, "x").await).send().await, "InvalidParameter");
    let (a, b) = (aws.subnet(&one, "10.0.1.0/24").await, aws.subnet(&one, "10.0.2.0/24").await);
    refused(interface().subnet_ids(a).subnet_ids(b).send().await, "DuplicateSubnetsInSameZone");
    assert!(aws.ec2.describe_vpc_endpoints().send().await.unwrap().vpc_endpoints().is_empty());
}

#[tokio::test]
async fn a_token_makes_one_and_tags_find_it() {
    let aws = aws();
    let (vpc, other) = (vpc(&aws).await, vpc(&aws).await);
    let create = |vpc: &str| {
        let call = aws.ec2.create_vpc_endpoint().vpc_id(vpc).service_name(S3).client_token("t");
        call.tag_specifications(tagged(ResourceType::VpcEndpoint, "run", "1")).send()
    };
    let one = create(&vpc).await.unwrap().vpc_endpoint.unwrap();
    let two = create(&vpc).await.unwrap().vpc_endpoint.unwrap();
    assert_eq!(one.vpc_endpoint_id, two.vpc_endpoint_id);
    refused(create(&other).await, "IdempotentParameterMismatch");
    for (name, value) in [("tag:run", "1"), ("vpc-id", &vpc), ("service-name", S3), ("vpc-endpoint-state", "pending")] {
        let found = aws.ec2.describe_vpc_endpoints().filters(filter(name, value)).send().await.unwrap();
        assert_eq!(found.vpc_endpoints().len(), 1, "{name}");
    }
}
