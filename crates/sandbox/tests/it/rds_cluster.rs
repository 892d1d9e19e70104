use aws_sdk_rds::types::{CloudwatchLogsExportConfiguration, Filter};

use crate::rds::{PASSWORD, capacity, db, tag};
use crate::support::{refused, refused_with};

#[tokio::test]
async fn a_cluster_is_created_and_then_available() {
    let db = db().await;
    let key = db.aws.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let make = db.create("My-Cluster").serverless_v2_scaling_configuration(capacity(0.5, 4.0));
    let make = make.database_name("app").backup_retention_period(7).preferred_backup_window("03:00-04:00");
    let make = make.preferred_maintenance_window("sun:04:00-sun:05:00").enable_cloudwatch_logs_exports("postgresql");
    let make =
        make.deletion_protection(true).storage_encrypted(true).kms_key_id(key.key_id()).enable_http_endpoint(true);
    let make = make.enable_iam_database_authentication(true).copy_tags_to_snapshot(true).tags(tag("a", "b"));
    let made = make.send().await.unwrap().db_cluster.unwrap();
    assert_eq!((made.db_cluster_identifier(), made.status()), (Some("my-cluster"), Some("creating")));
    db.wait();
    let found = db.describe("my-cluster").await;
    assert_eq!(found.status(), Some("available"));
    assert_eq!((found.engine_version(), found.port(), found.database_name()), (Some("15.4"), Some(5432), Some("app")));
    assert_eq!((found.backup_retention_period(), found.preferred_backup_window()), (Some(7), Some("03:00-04:00")));
    assert_eq!(found.preferred_maintenance_window(), Some("sun:04:00-sun:05:00"));
    assert_eq!(found.enabled_cloudwatch_logs_exports(), ["postgresql"]);
    let scaling = found.serverless_v2_scaling_configuration().unwrap();
    assert_eq!((scaling.min_capacity(), scaling.max_capacity()), (Some(0.5), Some(4.0)));
    assert_eq!((found.deletion_protection(), found.copy_tags_to_snapshot()), (Some(true), Some(true)));
    assert_eq!((found.storage_encrypted(), found.kms_key_id()), (Some(true), key.arn()));
    assert_eq!((found.http_endpoint_enabled(), found.iam_database_authentication_enabled()), (Some(true), Some(true)));
    assert_eq!((found.db_subnet_group(), found.tag_list()), (Some("dbs"), [tag("a", "b")].as_slice()));
    assert_eq!(found.vpc_security_groups()[0].vpc_security_group_id(), Some(db.group.as_str()));
    assert_eq!(found.db_cluster_parameter_group(), Some("default.aurora-postgresql15"));
    assert_eq!(found.availability_zones(), ["us-east-1a", "us-east-1b"]);
    let (writer, reader) = (found.endpoint().unwrap(), found.reader_endpoint().unwrap());
    assert!(writer.starts_with("my-cluster.cluster-c") && writer.ends_with(".us-east-1.rds.amazonaws.com"));
    assert!(reader.starts_with("my-cluster.cluster-ro-c") && reader.ends_with(".us-east-1.rds.amazonaws.com"));
    assert!(found.cluster_create_time().is_some() && found.db_cluster_resource_id().is_some());
}

#[tokio::test]
async fn bad_clusters_are_refused() {
    let db = db().await;
    db.cluster("one").await;
    let name = |name: &str| db.create(name).send();
    for bad in ["1a", "a_b", "a--b", "a-"] {
        refused(name(bad).await, "InvalidParameterValue");
    }
    refused(name("ONE").await, "DBClusterAlreadyExistsFault");
    refused(db.create("two").engine("oracle").send().await, "InvalidParameterValue");
    let message = refused(db.create("two").engine_version("15.99").send().await, "InvalidParameterCombination");
    assert_eq!(message, "Cannot find version 15.99 for aurora-postgresql");
    refused(db.create("two").engine_mode("serverless").send().await, "InvalidParameterValue");
    refused_with(db.create("two").db_subnet_group_name("none").send().await, 404, "DBSubnetGroupNotFoundFault");
    refused(db.create("two").set_db_subnet_group_name(None).send().await, "InvalidSubnet");
    refused(db.create("two").backup_retention_period(36).send().await, "InvalidParameterValue");
    refused(db.create("two").port(80).send().await, "InvalidParameterValue");
    refused(db.create("two").database_name("1x").send().await, "InvalidParameterValue");
    refused(db.create("two").enable_cloudwatch_logs_exports("audit").send().await, "InvalidParameterCombination");
    refused(db.create("two").kms_key_id("none").send().await, "KMSKeyNotAccessibleFault");
    refused(db.create("two").preferred_backup_window("3-4").send().await, "InvalidParameterValue");
    for (min, max) in [(0.7, 4.0), (8.0, 4.0), (0.5, 300.0)] {
        let make = db.create("two").serverless_v2_scaling_configuration(capacity(min, max));
        refused(make.send().await, "InvalidParameterValue");
    }
}

#[tokio::test]
async fn security_groups_are_of_the_same_vpc() {
    let db = db().await;
    let other = db.aws.vpc().await;
    let foreign = db.aws.group(&other, "x").await;
    let create = |group: &str| db.create("one").set_vpc_security_group_ids(Some(vec![group.to_owned()])).send();
    refused(create("sg-0000dead").await, "InvalidParameterValue");
    let message = refused(create(&foreign).await, "InvalidParameterCombination");
    assert!(message.contains(&db.vpc) && message.contains(&other), "{message}");
    let made = db.create("one").set_vpc_security_group_ids(None).send().await.unwrap().db_cluster.unwrap();
    let default = db.aws.default_group(&db.vpc).await;
    assert_eq!(made.vpc_security_groups()[0].vpc_security_group_id(), Some(default.as_str()));
}

#[tokio::test]
async fn passwords_have_rules_and_are_never_shown() {
    let db = db().await;
    for bad in ["short12", "slash/slash", "at@at@at@at", "quote\"quote", "a space in it"] {
        let message = refused(db.create("one").master_user_password(bad).send().await, "InvalidParameterValue");
        assert!(!message.contains(bad), "{message}");
    }
    refused(db.create("one").set_master_user_password(None).send().await, "InvalidParameterValue");
    refused(db.create("one").master_username("rdsadmin").send().await, "InvalidParameterValue");
    refused(db.create("one").manage_master_user_password(true).send().await, "InvalidParameterCombination");
    let key = db.aws.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let make = db.create("one").set_master_user_password(None).manage_master_user_password(true);
    let made = make.master_user_secret_kms_key_id(key.key_id()).send().await.unwrap().db_cluster.unwrap();
    let secret = made.master_user_secret().unwrap();
    assert!(secret.secret_arn().unwrap().contains(":secret:rds!cluster-"));
    assert_eq!(secret.kms_key_id(), key.arn());
    db.cluster("two").await;
    db.create_alone("three").send().await.unwrap();
    let modify = db.aws.rds.modify_db_cluster().db_cluster_identifier("two").master_user_password("short12");
    refused(modify.send().await, "InvalidParameterValue");
    let world = serde_json::to_string(&db.aws.sandbox.world().await).unwrap();
    let calls = serde_json::to_string(&db.aws.sandbox.faults().calls()).unwrap();
    assert!(!world.contains(PASSWORD) && !calls.contains(PASSWORD));
}

#[tokio::test]
async fn a_cluster_that_is_being_made_is_left_alone() {
    let db = db().await;
    db.create("one").send().await.unwrap();
    let rds = &db.aws.rds;
    let delete = || rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send();
    refused(delete().await, "InvalidDBClusterStateFault");
    let modify = || rds.modify_db_cluster().db_cluster_identifier("one").backup_retention_period(3).send();
    refused(modify().await, "InvalidDBClusterStateFault");
    let snapshot = || rds.create_db_cluster_snapshot().db_cluster_identifier("one");
    let snapshot = || snapshot().db_cluster_snapshot_identifier("s").send();
    refused(snapshot().await, "InvalidDBClusterStateFault");
    db.wait();
    modify().await.unwrap();
    snapshot().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn a_protected_cluster_is_not_deleted() {
    let db = db().await;
    db.create("one").deletion_protection(true).send().await.unwrap();
    db.wait();
    let rds = &db.aws.rds;
    let delete = || rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send();
    let message = refused(delete().await, "InvalidParameterCombination");
    assert!(message.starts_with("Cannot delete protected Cluster"), "{message}");
    rds.modify_db_cluster().db_cluster_identifier("one").deletion_protection(false).send().await.unwrap();
    delete().await.unwrap();
}

#[tokio::test]
async fn a_cluster_with_members_is_not_deleted() {
    let db = db().await;
    db.cluster("one").await;
    db.member("m", "one").await;
    let rds = &db.aws.rds;
    let delete = || rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send();
    let message = refused(delete().await, "InvalidDBClusterStateFault");
    assert_eq!(message, "Cluster cannot be deleted, it still contains DB instances in non-deleting state.");
    rds.delete_db_instance().db_instance_identifier("m").send().await.unwrap();
    delete().await.unwrap();
    // The cluster goes after its last member.
    db.wait();
    assert_eq!(db.describe("one").await.status(), Some("deleting"));
    let found = rds.describe_db_instances().send().await.unwrap();
    assert!(found.db_instances().is_empty());
    db.wait();
    let gone = rds.describe_db_clusters().db_cluster_identifier("one").send().await;
    refused_with(gone, 404, "DBClusterNotFoundFault");
}

#[tokio::test]
async fn deleting_wants_a_word_about_the_snapshot() {
    let db = db().await;
    let made = db.create("one").copy_tags_to_snapshot(true).tags(tag("a", "b")).send().await.unwrap();
    let resource_id = made.db_cluster.unwrap().db_cluster_resource_id;
    db.wait();
    let rds = &db.aws.rds;
    let delete = || rds.delete_db_cluster().db_cluster_identifier("one");
    refused(delete().send().await, "InvalidParameterCombination");
    let both = delete().skip_final_snapshot(true).final_db_snapshot_identifier("last");
    refused(both.send().await, "InvalidParameterCombination");
    refused(delete().final_db_snapshot_identifier("not_good").send().await, "InvalidParameterValue");
    let earlier = rds.create_db_cluster_snapshot().db_cluster_identifier("one");
    earlier.db_cluster_snapshot_identifier("earlier").send().await.unwrap();
    let taken = delete().final_db_snapshot_identifier("EARLIER");
    refused(taken.send().await, "DBClusterSnapshotAlreadyExistsFault");
    delete().final_db_snapshot_identifier("last").send().await.unwrap();
    refused(delete().final_db_snapshot_identifier("other").send().await, "InvalidDBClusterStateFault");

    let find = || rds.describe_db_cluster_snapshots().db_cluster_snapshot_identifier("last").send();
    assert_eq!(find().await.unwrap().db_cluster_snapshots()[0].status(), Some("creating"));
    let drop = |name: &str| rds.delete_db_cluster_snapshot().db_cluster_snapshot_identifier(name).send();
    refused(drop("last").await, "InvalidDBClusterSnapshotStateFault");
    db.wait();
    let found = find().await.unwrap();
    let last = &found.db_cluster_snapshots()[0];
    assert_eq!((last.status(), last.db_cluster_identifier()), (Some("available"), Some("one")));
    assert_eq!(last.db_cluster_resource_id(), resource_id.as_deref());
    assert_eq!((last.engine_version(), last.tag_list()), (Some("15.4"), [tag("a", "b")].as_slice()));
    let of_cluster = rds.describe_db_cluster_snapshots().db_cluster_identifier("one").send().await.unwrap();
    assert_eq!(of_cluster.db_cluster_snapshots().len(), 2);
    drop("last").await.unwrap();
    refused_with(drop("last").await, 404, "DBClusterSnapshotNotFoundFault");
}

#[tokio::test]
async fn a_name_is_taken_until_the_cluster_is_gone() {
    let db = db().await;
    let first = db.cluster("one").await;
    let rds = &db.aws.rds;
    let delete = || rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send();
    delete().await.unwrap();
    assert_eq!(db.describe("one").await.status(), Some("deleting"));
    refused(delete().await, "InvalidDBClusterStateFault");
    refused(db.create("one").send().await, "DBClusterAlreadyExistsFault");
    db.wait();
    refused_with(delete().await, 404, "DBClusterNotFoundFault");
    let second = db.cluster("one").await;
    assert_ne!(first.db_cluster_resource_id(), second.db_cluster_resource_id());
}

#[tokio::test]
async fn a_cluster_is_modified() {
    let db = db().await;
    db.cluster("one").await;
    let modify = || db.aws.rds.modify_db_cluster().db_cluster_identifier("one").apply_immediately(true);
    refused(modify().engine_version("16.4").send().await, "InvalidParameterCombination");
    refused(modify().backup_retention_period(0).send().await, "InvalidParameterValue");
    let unknown = db.aws.rds.modify_db_cluster().db_cluster_identifier("none").send().await;
    refused_with(unknown, 404, "DBClusterNotFoundFault");
    let logs = CloudwatchLogsExportConfiguration::builder().enable_log_types("postgresql").build();
    let change = modify().engine_version("15.6").cloudwatch_logs_export_configuration(logs);
    let change = change.serverless_v2_scaling_configuration(capacity(1.0, 8.0)).preferred_backup_window("01:00-02:00");
    change.send().await.unwrap();
    let found = db.describe("one").await;
    assert_eq!((found.engine_version(), found.preferred_backup_window()), (Some("15.6"), Some("01:00-02:00")));
    assert_eq!(found.enabled_cloudwatch_logs_exports(), ["postgresql"]);
    assert_eq!(found.serverless_v2_scaling_configuration().unwrap().max_capacity(), Some(8.0));
    let group = db.aws.group(&db.vpc, "other").await;
    modify().vpc_security_group_ids(&group).send().await.unwrap();
    assert_eq!(db.describe("one").await.vpc_security_groups()[0].vpc_security_group_id(), Some(group.as_str()));
}

#[tokio::test]
async fn tags_are_added_listed_and_removed() {
    let db = db().await;
    let made = db.create("one").tags(tag("a", "b")).send().await.unwrap().db_cluster.unwrap();
    let (rds, arn) = (&db.aws.rds, made.db_cluster_arn().unwrap());
    rds.add_tags_to_resource().resource_name(arn).tags(tag("c", "d")).send().await.unwrap();
    assert_eq!(db.describe("one").await.tag_list(), [tag("a", "b"), tag("c", "d")]);
    rds.remove_tags_from_resource().resource_name(arn).tag_keys("a").send().await.unwrap();
    let listed = rds.list_tags_for_resource().resource_name(arn).send().await.unwrap();
    assert_eq!(listed.tag_list(), [tag("c", "d")]);
    assert_eq!(db.describe("one").await.tag_list(), [tag("c", "d")]);
    let reserved = rds.add_tags_to_resource().resource_name(arn).tags(tag("aws:x", "y"));
    refused(reserved.send().await, "InvalidParameterValue");
    let list = |arn: String| rds.list_tags_for_resource().resource_name(arn).send();
    refused_with(list(arn.replace("one", "none")).await, 404, "DBClusterNotFoundFault");
    refused(list("nonsense".to_owned()).await, "InvalidParameterValue");
}

#[tokio::test]
async fn clusters_are_found_by_filter_and_by_arn() {
    let db = db().await;
    let one = db.cluster("one").await;
    db.cluster("two").await;
    let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let find = |filter: Filter| db.aws.rds.describe_db_clusters().filters(filter).send();
    assert_eq!(find(filter("db-cluster-id", "one")).await.unwrap().db_clusters().len(), 1);
    assert_eq!(find(filter("engine", "aurora-postgresql")).await.unwrap().db_clusters().len(), 2);
    refused(find(filter("nothing", "x")).await, "InvalidParameterValue");
    assert_eq!(db.describe(one.db_cluster_arn().unwrap()).await.db_cluster_identifier(), Some("one"));
}

#[tokio::test]
async fn engine_versions_are_listed() {
    let db = db().await;
    let find = |version: &str| {
        let find = db.aws.rds.describe_db_engine_versions().engine("aurora-postgresql").engine_version(version);
        find.send()
    };
    for version in ["15.4", "15.5", "15.6", "16.4"] {
        let found = find(version).await.unwrap();
        assert_eq!(found.db_engine_versions()[0].engine_version(), Some(version));
    }
    let found = find("15").await.unwrap();
    assert!(found.db_engine_versions().len() > 3);
    assert_eq!(found.db_engine_versions()[0].db_parameter_group_family(), Some("aurora-postgresql15"));
    assert!(find("15.99").await.unwrap().db_engine_versions().is_empty());
    let default = db.aws.rds.describe_db_engine_versions().engine("postgres").default_only(true);
    assert_eq!(default.send().await.unwrap().db_engine_versions().len(), 1);
}

#[tokio::test]
async fn a_snapshot_of_the_sandbox_holds_databases() {
    let db = db().await;
    db.cluster("one").await;
    db.member("m", "one").await;
    let rds = &db.aws.rds;
    rds.delete_db_instance().db_instance_identifier("m").send().await.unwrap();
    let (before, kept) = (db.describe("one").await, db.aws.sandbox.snapshot().await);
    db.wait();
    rds.delete_db_cluster().db_cluster_identifier("one").skip_final_snapshot(true).send().await.unwrap();
    db.wait();
    assert!(rds.describe_db_clusters().send().await.unwrap().db_clusters().is_empty());
    db.aws.sandbox.restore(&kept).await;
    assert_eq!(db.describe("one").await, before);
    assert_eq!(db.describe_instance("m").await.db_instance_status(), Some("deleting"));
    db.wait();
    assert!(rds.describe_db_instances().send().await.unwrap().db_instances().is_empty());
}
