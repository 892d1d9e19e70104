use aws_sdk_rds::types::Filter;

use crate::rds::{db, tag};
use crate::support::{refused, refused_with};

#[tokio::test]
async fn a_member_is_created_and_then_available() {
    let db = db().await;
    db.cluster("one").await;
    let make = db.create_member("M-1", "one").availability_zone("us-east-1b").promotion_tier(2).tags(tag("a", "b"));
    let made = make.enable_performance_insights(true).send().await.unwrap().db_instance.unwrap();
    assert_eq!((made.db_instance_identifier(), made.db_instance_status()), (Some("m-1"), Some("creating")));
    assert!(made.endpoint().is_none());
    db.wait();
    let found = db.describe_instance("m-1").await;
    assert_eq!((found.db_instance_status(), found.availability_zone()), (Some("available"), Some("us-east-1b")));
    assert_eq!((found.db_cluster_identifier(), found.engine_version()), (Some("one"), Some("15.4")));
    assert_eq!((found.promotion_tier(), found.tag_list()), (Some(2), [tag("a", "b")].as_slice()));
    assert_eq!(found.vpc_security_groups()[0].vpc_security_group_id(), Some(db.group.as_str()));
    assert_eq!(found.db_subnet_group().unwrap().db_subnet_group_name(), Some("dbs"));
    assert_eq!((found.master_username(), found.performance_insights_enabled()), (Some("master"), Some(true)));
    let endpoint = found.endpoint().unwrap();
    assert_eq!(endpoint.port(), Some(5432));
    assert!(endpoint.address().unwrap().starts_with("m-1.c"));
    db.member("a-2", "one").await;
    let members = db.describe("one").await.db_cluster_members.unwrap();
    let members: Vec<_> = members.iter().map(|it| (it.db_instance_identifier(), it.is_cluster_writer())).collect();
    assert_eq!(members, [(Some("m-1"), Some(true)), (Some("a-2"), Some(false))]);
    let of_cluster = Filter::builder().name("db-cluster-id").values("one").build();
    let found = db.aws.rds.describe_db_instances().filters(of_cluster).send().await.unwrap();
    assert_eq!(found.db_instances().len(), 2);
}

#[tokio::test]
async fn a_member_waits_for_its_cluster() {
    let db = db().await;
    db.create("one").send().await.unwrap();
    let make = db.create_member("m", "one").db_instance_class("db.r6g.large");
    make.send().await.unwrap();
    db.wait();
    assert_eq!(db.describe("one").await.status(), Some("available"));
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("creating"));
    db.wait();
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("available"));
}

#[tokio::test]
async fn bad_members_are_refused() {
    let db = db().await;
    db.cluster("one").await;
    db.member("m", "one").await;
    db.create("fixed").send().await.unwrap();
    let create = || db.create_member("n", "one");
    refused(db.create_member("M", "one").send().await, "DBInstanceAlreadyExists");
    refused(db.create_member("n_", "one").send().await, "InvalidParameterValue");
    refused_with(db.create_member("n", "none").send().await, 404, "DBClusterNotFoundFault");
    refused(create().engine("aurora-mysql").send().await, "InvalidParameterCombination");
    refused(create().engine_version("15.5").send().await, "InvalidParameterCombination");
    refused(create().db_instance_class("db.nothing").send().await, "InvalidParameterValue");
    refused(create().db_instance_class("db.t3.micro").send().await, "InvalidParameterCombination");
    let message = refused(db.create_member("n", "fixed").send().await, "InvalidDBClusterStateFault");
    assert!(message.starts_with("Set the Serverless v2 scaling configuration"), "{message}");
    refused(create().availability_zone("us-east-1c").send().await, "InvalidVPCNetworkStateFault");
    refused(create().promotion_tier(16).send().await, "InvalidParameterValue");
    refused(create().master_username("x").send().await, "InvalidParameterCombination");
    refused(create().vpc_security_group_ids(&db.group).send().await, "InvalidParameterCombination");
    refused(create().backup_retention_period(1).send().await, "InvalidParameterCombination");
    create().engine_version("15.4").db_subnet_group_name("DBS").multi_az(false).send().await.unwrap();
    db.aws.rds.delete_db_cluster().db_cluster_identifier("fixed").skip_final_snapshot(true).send().await.unwrap_err();
}

#[tokio::test]
async fn nothing_joins_a_cluster_that_goes() {
    let db = db().await;
    db.cluster("one").await;
    db.aws.rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send().await.unwrap();
    refused(db.create_member("m", "one").send().await, "InvalidDBClusterStateFault");
}

#[tokio::test]
async fn a_member_is_deleted_slowly_and_without_a_snapshot() {
    let db = db().await;
    db.cluster("one").await;
    db.create_member("m", "one").send().await.unwrap();
    let delete = || db.aws.rds.delete_db_instance().db_instance_identifier("m");
    refused(delete().send().await, "InvalidDBInstanceState");
    db.wait();
    refused(delete().final_db_snapshot_identifier("last").send().await, "InvalidParameterCombination");
    let gone = delete().send().await.unwrap().db_instance.unwrap();
    assert_eq!(gone.db_instance_status(), Some("deleting"));
    refused(delete().send().await, "InvalidDBInstanceState");
    refused(db.create_member("m", "one").send().await, "DBInstanceAlreadyExists");
    db.wait();
    refused_with(delete().send().await, 404, "DBInstanceNotFound");
    let found = db.aws.rds.describe_db_instances().db_instance_identifier("m").send().await;
    refused_with(found, 404, "DBInstanceNotFound");
    assert!(db.describe("one").await.db_cluster_members().is_empty());
    db.member("m", "one").await;
}

#[tokio::test]
async fn an_instance_holds_its_subnet_and_its_security_groups() {
    let db = db().await;
    db.cluster("one").await;
    let (ec2, rds) = (&db.aws.ec2, &db.aws.rds);
    let other = db.aws.group(&db.vpc, "other").await;
    db.create_member("m", "one").availability_zone("us-east-1a").send().await.unwrap();
    db.create_alone("alone")
        .availability_zone("us-east-1a")
        .set_vpc_security_group_ids(Some(vec![other.clone()]))
        .send()
        .await
        .unwrap();
    db.wait();
    let subnet = || ec2.delete_subnet().subnet_id(&db.subnets[0]).send();
    let group = |id: &str| ec2.delete_security_group().group_id(id).send();
    refused(subnet().await, "DependencyViolation");
    refused(group(&db.group).await, "DependencyViolation");
    refused(group(&other).await, "DependencyViolation");
    rds.delete_db_instance().db_instance_identifier("m").send().await.unwrap();
    refused(group(&db.group).await, "DependencyViolation");
    db.wait();
    group(&db.group).await.unwrap();
    refused(subnet().await, "DependencyViolation");
    rds.delete_db_instance().db_instance_identifier("alone").skip_final_snapshot(true).send().await.unwrap();
    db.wait();
    group(&other).await.unwrap();
    subnet().await.unwrap();
}

#[tokio::test]
async fn an_instance_can_stand_alone() {
    let db = db().await;
    let create = || db.create_alone("alone");
    refused(create().db_instance_class("db.serverless").send().await, "InvalidParameterCombination");
    refused(create().engine("aurora-postgresql").send().await, "InvalidParameterCombination");
    refused(create().engine_version("15.99").send().await, "InvalidParameterCombination");
    refused(create().allocated_storage(5).send().await, "InvalidParameterCombination");
    refused(create().storage_type("floppy").send().await, "InvalidParameterValue");
    refused(create().master_user_password("a/b/c/d/e").send().await, "InvalidParameterValue");
    refused(create().multi_az(true).availability_zone("us-east-1a").send().await, "InvalidParameterCombination");
    refused_with(create().db_parameter_group_name("none").send().await, 404, "DBParameterGroupNotFound");
    refused_with(create().db_subnet_group_name("none").send().await, 404, "DBSubnetGroupNotFoundFault");
    let make = create().engine_version("15.4").storage_type("gp3").multi_az(true).deletion_protection(true);
    make.db_name("app")
        .backup_retention_period(7)
        .copy_tags_to_snapshot(true)
        .tags(tag("a", "b"))
        .send()
        .await
        .unwrap();
    db.wait();
    let found = db.describe_instance("alone").await;
    assert_eq!((found.engine_version(), found.db_name(), found.multi_az()), (Some("15.4"), Some("app"), Some(true)));
    assert_eq!((found.allocated_storage(), found.storage_type()), (Some(20), Some("gp3")));
    assert_eq!(found.db_parameter_groups()[0].db_parameter_group_name(), Some("default.postgres15"));

    let delete = || db.aws.rds.delete_db_instance().db_instance_identifier("alone");
    refused(delete().skip_final_snapshot(true).send().await, "InvalidParameterCombination");
    let modify = || db.aws.rds.modify_db_instance().db_instance_identifier("alone");
    refused(modify().allocated_storage(10).send().await, "InvalidParameterCombination");
    modify().deletion_protection(false).allocated_storage(30).send().await.unwrap();
    refused(delete().send().await, "InvalidParameterCombination");
    delete().final_db_snapshot_identifier("last").send().await.unwrap();
    db.wait();
    let last = db.aws.rds.describe_db_snapshots().db_snapshot_identifier("last").send().await.unwrap();
    let last = &last.db_snapshots()[0];
    assert_eq!((last.status(), last.allocated_storage()), (Some("available"), Some(30)));
    assert_eq!(last.tag_list(), [tag("a", "b")]);
    create().send().await.unwrap();
    db.wait();
    let again = delete().final_db_snapshot_identifier("last").send().await;
    refused(again, "DBSnapshotAlreadyExists");
}

#[tokio::test]
async fn the_settings_of_a_cluster_are_not_changed_at_a_member() {
    let db = db().await;
    db.cluster("one").await;
    db.create_member("m", "one").send().await.unwrap();
    let modify = || db.aws.rds.modify_db_instance().db_instance_identifier("m");
    refused(modify().promotion_tier(3).send().await, "InvalidDBInstanceState");
    db.wait();
    refused(modify().backup_retention_period(3).send().await, "InvalidParameterCombination");
    refused(modify().db_instance_class("db.t3.micro").send().await, "InvalidParameterCombination");
    let changed = modify().promotion_tier(3).db_instance_class("db.r6g.large").send().await.unwrap();
    let changed = changed.db_instance.unwrap();
    assert_eq!((changed.promotion_tier(), changed.db_instance_class()), (Some(3), Some("db.r6g.large")));
    let refusal = db.aws.rds.create_db_snapshot().db_instance_identifier("m").db_snapshot_identifier("s").send().await;
    refused(refusal, "InvalidParameterValue");
    let unknown = db.aws.rds.modify_db_instance().db_instance_identifier("none").send().await;
    refused_with(unknown, 404, "DBInstanceNotFound");
}
