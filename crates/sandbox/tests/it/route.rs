use aws_sdk_ec2::types::{ConnectivityType, Route, RouteState};

use crate::support::{Aws, aws, filter, refused, refused_with};

const ALL: &str = "0.0.0.0/0";

async fn route_to(aws: &Aws, table: &str, destination: &str) -> Option<Route> {
    let found = aws.ec2.describe_route_tables().route_table_ids(table).send().await.unwrap();
    let routes = found.route_tables()[0].routes().to_vec();
    let to = |route: &Route| {
        [route.destination_cidr_block(), route.destination_ipv6_cidr_block()].contains(&Some(destination))
    };
    routes.into_iter().find(to)
}

#[tokio::test]
async fn a_route_is_made_replaced_and_deleted() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (table, gateway) = (aws.table(&vpc).await, aws.attached(&vpc).await);
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let nat = aws.nat(&subnet).await;
    let create =
        || aws.ec2.create_route().route_table_id(&table).destination_cidr_block("0.0.0.0/0").gateway_id(&gateway);
    refused_with(create().dry_run(true).send().await, 412, "DryRunOperation");
    create().send().await.unwrap();
    let message = refused(create().send().await, "RouteAlreadyExists");
    assert_eq!(message, "The route identified by 0.0.0.0/0 already exists.");
    let route = route_to(&aws, &table, ALL).await.unwrap();
    assert_eq!((route.gateway_id(), route.state()), (Some(gateway.as_str()), Some(&RouteState::Active)));

    let replace = |to: &str| {
        aws.ec2.replace_route().route_table_id(&table).destination_cidr_block(to).nat_gateway_id(&nat).send()
    };
    refused(replace("192.168.0.0/16").await, "InvalidParameterValue");
    replace(ALL).await.unwrap();
    let route = route_to(&aws, &table, ALL).await.unwrap();
    assert_eq!((route.gateway_id(), route.nat_gateway_id()), (None, Some(nat.as_str())));
    let found = aws.ec2.describe_route_tables().filters(filter("route.nat-gateway-id", &nat)).send().await.unwrap();
    assert_eq!(found.route_tables().len(), 1);

    let delete = |to: &str| aws.ec2.delete_route().route_table_id(&table).destination_cidr_block(to).send();
    delete(ALL).await.unwrap();
    refused(delete(ALL).await, "InvalidRoute.NotFound");
    refused(delete("10.0.0.0/16").await, "InvalidParameterValue");
    assert!(route_to(&aws, &table, ALL).await.is_none());
}

#[tokio::test]
async fn host_bits_are_cleared_and_ipv6_is_a_destination() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (table, gateway) = (aws.table(&vpc).await, aws.attached(&vpc).await);
    let create = || aws.ec2.create_route().route_table_id(&table).gateway_id(&gateway);
    create().destination_cidr_block("192.168.1.1/16").send().await.unwrap();
    assert!(route_to(&aws, &table, "192.168.0.0/16").await.is_some());
    create().destination_ipv6_cidr_block("::/0").send().await.unwrap();
    assert!(route_to(&aws, &table, "::/0").await.is_some());
    refused(create().destination_cidr_block("192.168.0.0").send().await, "InvalidParameterValue");
    refused(create().send().await, "MissingParameter");
    aws.ec2.delete_route().route_table_id(&table).destination_ipv6_cidr_block("::/0").send().await.unwrap();
}

#[tokio::test]
async fn a_target_is_there_and_in_the_network() {
    let aws = aws();
    let (vpc, other) = (aws.vpc().await, aws.vpc().await);
    let (table, loose, foreign) = (aws.table(&vpc).await, aws.gateway().await, aws.attached(&other).await);
    let create = || aws.ec2.create_route().route_table_id(&table).destination_cidr_block(ALL);
    refused(create().gateway_id("igw-0000dead").send().await, "InvalidGatewayID.NotFound");
    refused(create().nat_gateway_id("nat-0000dead").send().await, "InvalidNatGatewayID.NotFound");
    refused(create().network_interface_id("eni-0000dead").send().await, "InvalidNetworkInterfaceID.NotFound");
    for gateway in [&loose, &foreign] {
        let message = refused(create().gateway_id(gateway).send().await, "InvalidParameterValue");
        assert!(message.contains("belong to different networks"), "{message}");
    }
    let subnet = aws.subnet(&other, "10.0.1.0/24").await;
    let nat = aws.nat(&subnet).await;
    refused(create().nat_gateway_id(&nat).send().await, "InvalidParameterValue");
    refused(create().send().await, "MissingParameter");
    refused(create().gateway_id(&foreign).nat_gateway_id(&nat).send().await, "InvalidParameterCombination");
    let missing = aws.ec2.create_route().route_table_id("rtb-0000dead").destination_cidr_block(ALL).gateway_id(&loose);
    refused(missing.send().await, "InvalidRouteTableID.NotFound");
    let gateway = aws.attached(&vpc).await;
    let inside = aws.ec2.create_route().route_table_id(&table).destination_cidr_block("10.0.9.0/24");
    refused(inside.gateway_id(gateway).send().await, "InvalidParameterValue");
}

#[tokio::test]
async fn a_route_to_what_is_gone_is_a_black_hole() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let (table, gateway) = (aws.table(&vpc).await, aws.attached(&vpc).await);
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let nat = aws.ec2.create_nat_gateway().subnet_id(&subnet).connectivity_type(ConnectivityType::Private);
    let nat = nat.send().await.unwrap().nat_gateway.unwrap().nat_gateway_id.unwrap();
    let create = |to: &str| aws.ec2.create_route().route_table_id(&table).destination_cidr_block(to);
    create(ALL).gateway_id(&gateway).send().await.unwrap();
    create("192.168.0.0/16").nat_gateway_id(&nat).send().await.unwrap();
    let state = async |to: &str| route_to(&aws, &table, to).await.unwrap().state;
    assert_eq!(state(ALL).await, Some(RouteState::Active));
    assert_eq!(state("192.168.0.0/16").await, Some(RouteState::Active));
    aws.ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    aws.ec2.delete_nat_gateway().nat_gateway_id(&nat).send().await.unwrap();
    aws.pass().await;
    assert_eq!(state(ALL).await, Some(RouteState::Blackhole));
    assert_eq!(state("192.168.0.0/16").await, Some(RouteState::Blackhole));
    refused(create("172.16.0.0/12").nat_gateway_id(&nat).send().await, "InvalidNatGatewayID.NotFound");
    let found = aws.ec2.describe_route_tables().filters(filter("route.state", "blackhole")).send().await.unwrap();
    assert_eq!(found.route_tables().len(), 1);
}
