use crate::rds::{db, tag};
use crate::support::{refused, refused_with};

#[tokio::test]
async fn a_group_covers_two_zones_of_one_vpc() {
    let db = db().await;
    let aws = &db.aws;
    let other = aws.vpc().await;
    let third = aws.subnet_in(&db.vpc, "10.0.3.0/24", "a").await;
    let foreign = aws.subnet_in(&other, "10.0.1.0/24", "c").await;
    let create = |subnets: &[&String]| {
        let ids = subnets.iter().map(|id| (*id).clone()).collect();
        let make = aws.rds.create_db_subnet_group().db_subnet_group_name("two").db_subnet_group_description("x");
        make.set_subnet_ids(Some(ids)).send()
    };
    let message = refused(create(&[&db.subnets[0], &third]).await, "DBSubnetGroupDoesNotCoverEnoughAZs");
    assert!(message.contains("Current AZ coverage: us-east-1a."), "{message}");
    refused(create(&[&db.subnets[0], &"subnet-0000dead".to_owned()]).await, "InvalidSubnet");
    refused(create(&[&db.subnets[0], &foreign]).await, "InvalidSubnet");
    let made = create(&[&db.subnets[0], &db.subnets[1], &third]).await.unwrap().db_subnet_group.unwrap();
    assert_eq!((made.vpc_id(), made.subnet_group_status()), (Some(db.vpc.as_str()), Some("Complete")));
    assert_eq!(made.subnets().len(), 3);
    assert_eq!(made.subnets()[1].subnet_availability_zone().unwrap().name(), Some("us-east-1b"));
}

#[tokio::test]
async fn names_are_lowered_checked_and_taken_once() {
    let db = db().await;
    let create = |name: &str| {
        let make = db.aws.rds.create_db_subnet_group().db_subnet_group_name(name).db_subnet_group_description("x");
        make.set_subnet_ids(Some(db.subnets.clone())).tags(tag("a", "b")).send()
    };
    let made = create("My Group.1").await.unwrap().db_subnet_group.unwrap();
    assert_eq!(made.db_subnet_group_name(), Some("my group.1"));
    refused(create("MY GROUP.1").await, "DBSubnetGroupAlreadyExists");
    refused(create("Default").await, "InvalidParameterValue");
    refused(create("a/b").await, "InvalidParameterValue");
    let arn = made.db_subnet_group_arn().unwrap();
    let tags = db.aws.rds.list_tags_for_resource().resource_name(arn).send().await.unwrap();
    assert_eq!(tags.tag_list(), [tag("a", "b")]);
    let found = db.aws.rds.describe_db_subnet_groups().db_subnet_group_name("My Group.1").send().await.unwrap();
    assert_eq!(found.db_subnet_groups().len(), 1);
    let unknown = db.aws.rds.describe_db_subnet_groups().db_subnet_group_name("none").send().await;
    refused_with(unknown, 404, "DBSubnetGroupNotFoundFault");
}

#[tokio::test]
async fn a_group_in_use_stays() {
    let db = db().await;
    db.cluster("one").await;
    let delete = || db.aws.rds.delete_db_subnet_group().db_subnet_group_name("dbs").send();
    refused(delete().await, "InvalidDBSubnetGroupStateFault");
    let gone = db.aws.rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true);
    gone.send().await.unwrap();
    refused(delete().await, "InvalidDBSubnetGroupStateFault");
    db.wait();
    delete().await.unwrap();
    refused_with(delete().await, 404, "DBSubnetGroupNotFoundFault");
}

#[tokio::test]
async fn subnets_can_be_changed_but_not_below_an_instance() {
    let db = db().await;
    db.cluster("one").await;
    db.create_member("m", "one").availability_zone("us-east-1a").send().await.unwrap();
    let more = db.aws.subnet_in(&db.vpc, "10.0.3.0/24", "c").await;
    let modify = |subnets: Vec<&String>| {
        let subnets = subnets.into_iter().cloned().collect();
        db.aws.rds.modify_db_subnet_group().db_subnet_group_name("dbs").set_subnet_ids(Some(subnets)).send()
    };
    refused(modify(vec![&db.subnets[1], &more]).await, "SubnetAlreadyInUse");
    refused(modify(vec![&db.subnets[0]]).await, "DBSubnetGroupDoesNotCoverEnoughAZs");
    let changed = modify(vec![&db.subnets[0], &more]).await.unwrap().db_subnet_group.unwrap();
    assert_eq!(changed.subnets().len(), 2);
}

#[tokio::test]
async fn a_subnet_in_a_group_can_be_deleted() {
    let db = db().await;
    db.aws.ec2.delete_subnet().subnet_id(&db.subnets[0]).send().await.unwrap();
    let found = db.aws.rds.describe_db_subnet_groups().send().await.unwrap();
    let group = &found.db_subnet_groups()[0];
    assert_eq!((group.vpc_id(), group.subnets()[0].subnet_status()), (Some(db.vpc.as_str()), Some("Inactive")));
}
