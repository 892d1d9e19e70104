use aws_sdk_rds::types::{ApplyMethod, Parameter};

use crate::rds::{Db, SLOW, db, tag};
use crate::support::{refused, refused_with};

impl Db {
    async fn parameters(&self, name: &str, family: &str) {
        let make = self.aws.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
        make.db_parameter_group_family(family).description("x").tags(tag("a", "b")).send().await.unwrap();
    }
}

fn parameter(name: &str, value: &str, method: ApplyMethod) -> Parameter {
    Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method).build()
}

#[tokio::test]
async fn groups_have_a_known_family_and_one_name() {
    let db = db().await;
    db.parameters("Mine", "aurora-postgresql15").await;
    let create = |name: &str, family: &str| {
        let make = db.aws.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
        make.db_parameter_group_family(family).description("x").send()
    };
    refused(create("mine", "aurora-postgresql15").await, "DBParameterGroupAlreadyExists");
    refused(create("other", "aurora-postgresql99").await, "InvalidParameterValue");
    refused(create("default.mine", "aurora-postgresql15").await, "InvalidParameterValue");
    let describe =
        |name: &str| db.aws.rds.describe_db_cluster_parameter_groups().db_cluster_parameter_group_name(name).send();
    let found = describe("mine").await.unwrap();
    let group = &found.db_cluster_parameter_groups()[0];
    assert_eq!(group.db_parameter_group_family(), Some("aurora-postgresql15"));
    let tags = db.aws.rds.list_tags_for_resource().resource_name(group.db_cluster_parameter_group_arn().unwrap());
    assert_eq!(tags.send().await.unwrap().tag_list(), [tag("a", "b")]);
    assert_eq!(describe("default.aurora-postgresql15").await.unwrap().db_cluster_parameter_groups().len(), 1);
    refused_with(describe("none").await, 404, "DBParameterGroupNotFound");
}

#[tokio::test]
async fn parameters_are_known_and_keep_what_was_set() {
    let db = db().await;
    db.parameters("mine", "aurora-postgresql15").await;
    let modify = |all: Vec<Parameter>| {
        let change = db.aws.rds.modify_db_cluster_parameter_group().db_cluster_parameter_group_name("mine");
        change.set_parameters(Some(all)).send()
    };
    let (now, later) = (ApplyMethod::Immediate, ApplyMethod::PendingReboot);
    for bad in [
        parameter("nothing", "1", later.clone()),
        parameter("rds.force_ssl", "2", now.clone()),
        parameter("rds.extensions", "x", now.clone()),
    ] {
        refused(modify(vec![bad]).await, "InvalidParameterValue");
    }
    let fixed = parameter("max_connections", "100", now.clone());
    refused(modify(vec![fixed]).await, "InvalidParameterCombination");
    let many = vec![parameter("rds.force_ssl", "1", now.clone()); 21];
    refused(modify(many).await, "InvalidParameterValue");
    modify(vec![parameter("rds.force_ssl", "1", now), parameter("max_connections", "100", later)]).await.unwrap();

    let describe = |source: &str| {
        let find = db.aws.rds.describe_db_cluster_parameters().db_cluster_parameter_group_name("mine");
        find.source(source).send()
    };
    let set = describe("user").await.unwrap();
    let set: Vec<_> = set.parameters().iter().map(|it| (it.parameter_name(), it.parameter_value())).collect();
    assert_eq!(set, [(Some("max_connections"), Some("100")), (Some("rds.force_ssl"), Some("1"))]);
    let rest = describe("engine-default").await.unwrap();
    assert!(rest.parameters().iter().all(|it| it.parameter_name() != Some("rds.force_ssl")));
    refused(describe("nobody").await, "InvalidParameterValue");

    let reset = || db.aws.rds.reset_db_cluster_parameter_group().db_cluster_parameter_group_name("mine");
    refused(reset().send().await, "InvalidParameterCombination");
    reset().parameters(Parameter::builder().parameter_name("rds.force_ssl").build()).send().await.unwrap();
    assert_eq!(describe("user").await.unwrap().parameters().len(), 1);
    reset().reset_all_parameters(true).send().await.unwrap();
    assert!(describe("user").await.unwrap().parameters().is_empty());
}

#[tokio::test]
async fn a_group_in_use_stays_and_fits_its_cluster() {
    let db = db().await;
    db.parameters("mine", "aurora-postgresql15").await;
    db.parameters("newer", "aurora-postgresql16").await;
    let create = |group: &str| db.create("one").db_cluster_parameter_group_name(group).send();
    refused(create("newer").await, "InvalidParameterCombination");
    refused_with(create("none").await, 404, "DBClusterParameterGroupNotFound");
    create("mine").await.unwrap();
    db.aws.sandbox.clock().advance(SLOW);
    let delete =
        |name: &str| db.aws.rds.delete_db_cluster_parameter_group().db_cluster_parameter_group_name(name).send();
    refused(delete("mine").await, "InvalidDBParameterGroupState");
    refused(delete("default.aurora-postgresql15").await, "InvalidDBParameterGroupState");
    delete("newer").await.unwrap();
    refused_with(delete("newer").await, 404, "DBParameterGroupNotFound");
}

#[tokio::test]
async fn default_groups_cannot_be_changed() {
    let db = db().await;
    let change = db.aws.rds.modify_db_cluster_parameter_group();
    let change = change.db_cluster_parameter_group_name("default.aurora-postgresql15");
    let change = change.parameters(parameter("rds.force_ssl", "1", ApplyMethod::Immediate));
    refused(change.send().await, "InvalidParameterValue");
}
