use aws_sdk_ec2::types::{ResourceType, RouteTable};

use crate::support::{Aws, aws, filter, refused, refused_with, tagged};

async fn seen(aws: &Aws, id: &str) -> RouteTable {
    let found = aws.ec2.describe_route_tables().route_table_ids(id).send().await.unwrap();
    found.route_tables.unwrap().remove(0)
}

async fn main_table(aws: &Aws, vpc: &str) -> RouteTable {
    let found = aws.ec2.describe_route_tables().filters(filter("vpc-id", vpc));
    let found = found.filters(filter("association.main", "true")).send().await.unwrap();
    found.route_tables.unwrap().remove(0)
}

async fn associate(aws: &Aws, table: &str, subnet: &str) -> String {
    let made = aws.ec2.associate_route_table().route_table_id(table).subnet_id(subnet);
    made.send().await.unwrap().association_id.unwrap()
}

#[tokio::test]
async fn a_table_is_made_once_found_and_deleted() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let create = |vpc: &str| {
        let call = aws.ec2.create_route_table().vpc_id(vpc).client_token("t");
        call.tag_specifications(tagged(ResourceType::RouteTable, "run", "1"))
    };
    refused_with(create(&vpc).dry_run(true).send().await, 412, "DryRunOperation");
    let one = create(&vpc).send().await.unwrap().route_table.unwrap();
    let two = create(&vpc).send().await.unwrap().route_table.unwrap();
    assert_eq!(one.route_table_id, two.route_table_id);
    refused(create(&aws.vpc().await).send().await, "IdempotentParameterMismatch");
    refused(aws.ec2.create_route_table().vpc_id("vpc-0000dead").send().await, "InvalidVpcID.NotFound");
    let id = one.route_table_id.unwrap();
    for (name, value) in [("tag:run", "1"), ("route-table-id", &id)] {
        let found = aws.ec2.describe_route_tables().filters(filter(name, value)).send().await.unwrap();
        assert_eq!(found.route_tables().len(), 1, "{name}");
    }
    let routes = seen(&aws, &id).await.routes.unwrap();
    assert_eq!((routes.len(), routes[0].gateway_id()), (1, Some("local")));
    refused(aws.ec2.delete_vpc().vpc_id(&vpc).send().await, "DependencyViolation");
    let delete = || aws.ec2.delete_route_table().route_table_id(&id).send();
    delete().await.unwrap();
    refused(delete().await, "InvalidRouteTableID.NotFound");
    refused(aws.ec2.describe_route_tables().route_table_ids("x").send().await, "InvalidRouteTableId.Malformed");
}

#[tokio::test]
async fn a_table_in_use_is_not_deleted() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let main = main_table(&aws, &vpc).await.route_table_id.unwrap();
    refused(aws.ec2.delete_route_table().route_table_id(&main).send().await, "DependencyViolation");
    let (table, subnet) = (aws.table(&vpc).await, aws.subnet(&vpc, "10.0.1.0/24").await);
    let association = associate(&aws, &table, &subnet).await;
    let delete = || aws.ec2.delete_route_table().route_table_id(&table).send();
    refused(delete().await, "DependencyViolation");
    let disassociate = || aws.ec2.disassociate_route_table().association_id(&association).send();
    disassociate().await.unwrap();
    refused(disassociate().await, "InvalidAssociationID.NotFound");
    delete().await.unwrap();
}

#[tokio::test]
async fn a_subnet_has_one_table() {
    let aws = aws();
    let (vpc, other_vpc) = (aws.vpc().await, aws.vpc().await);
    let (one, two, foreign) = (aws.table(&vpc).await, aws.table(&vpc).await, aws.table(&other_vpc).await);
    let subnet = aws.subnet(&vpc, "10.0.1.0/24").await;
    let tie =
        |table: &str, subnet: &str| aws.ec2.associate_route_table().route_table_id(table).subnet_id(subnet).send();
    refused(tie(&foreign, &subnet).await, "InvalidParameterValue");
    refused(tie("rtb-0000dead", &subnet).await, "InvalidRouteTableID.NotFound");
    refused(tie(&one, "subnet-0000dead").await, "InvalidSubnetID.NotFound");
    let association = associate(&aws, &one, &subnet).await;
    refused(tie(&two, &subnet).await, "Resource.AlreadyAssociated");
    refused(tie(&one, &subnet).await, "Resource.AlreadyAssociated");

    let replace = |association: &str, table: &str| {
        aws.ec2.replace_route_table_association().association_id(association).route_table_id(table).send()
    };
    refused(replace(&association, &foreign).await, "InvalidParameterValue");
    refused(replace(&association, "rtb-0000dead").await, "InvalidRouteTableID.NotFound");
    let new = replace(&association, &two).await.unwrap().new_association_id.unwrap();
    assert_ne!(new, association);
    refused(replace(&association, &two).await, "InvalidAssociationID.NotFound");
    assert!(seen(&aws, &one).await.associations().is_empty());
    let found = aws.ec2.describe_route_tables().filters(filter("association.subnet-id", &subnet)).send().await.unwrap();
    assert_eq!(found.route_tables()[0].route_table_id(), Some(two.as_str()));
    assert_eq!(found.route_tables()[0].associations()[0].route_table_association_id(), Some(new.as_str()));
}

#[tokio::test]
async fn the_main_table_is_replaced_but_not_let_go() {
    let aws = aws();
    let vpc = aws.vpc().await;
    let main = main_table(&aws, &vpc).await;
    let association = main.associations()[0].route_table_association_id().unwrap();
    refused(aws.ec2.disassociate_route_table().association_id(association).send().await, "InvalidParameterValue");
    let table = aws.table(&vpc).await;
    let replace = aws.ec2.replace_route_table_association().association_id(association).route_table_id(&table);
    replace.send().await.unwrap();
    assert_eq!(main_table(&aws, &vpc).await.route_table_id, Some(table));
    aws.ec2.delete_route_table().route_table_id(main.route_table_id.unwrap()).send().await.unwrap();
    aws.ec2.delete_vpc().vpc_id(&vpc).send().await.unwrap();
}
