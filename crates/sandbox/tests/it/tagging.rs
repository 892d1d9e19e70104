//! The Resource Groups Tagging API.

use aws_sdk_ec2::types::ResourceType;
use aws_sdk_resourcegroupstagging::types::TagFilter;

use crate::support::{Aws, aws, refused, tagged};

fn filter(key: &str, values: &[&str]) -> TagFilter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    TagFilter::builder().key(key).set_values(Some(values)).build()
}

/// One of several services, all with the tag `run`.
async fn fill(aws: &Aws) {
    let vpc = aws.ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(tagged(ResourceType::Vpc, "run", "1"));
    vpc.send().await.unwrap();
    let gateway =
        aws.ec2.create_internet_gateway().tag_specifications(tagged(ResourceType::InternetGateway, "run", "2"));
    gateway.send().await.unwrap();
    let tag = aws_sdk_secretsmanager::types::Tag::builder().key("run").value("1").build();
    aws.secrets.create_secret().name("db").tags(tag).send().await.unwrap();
    let tag = aws_sdk_kms::types::Tag::builder().tag_key("run").tag_value("1").build().unwrap();
    aws.kms.create_key().tags(tag).send().await.unwrap();
    aws.logs.create_log_group().log_group_name("/app").tags("run", "1").send().await.unwrap();
    let tag = aws_sdk_iam::types::Tag::builder().key("run").value("1").build().unwrap();
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}}}"#;
    let role = aws.iam.create_role().role_name("a").assume_role_policy_document(trust).tags(tag);
    role.send().await.unwrap();
    aws.gateway().await;
}

async fn found(aws: &Aws, filters: &[TagFilter], kinds: &[&str]) -> Vec<String> {
    let call = aws.tagging.get_resources().set_tag_filters(Some(filters.to_vec()));
    let call = call.set_resource_type_filters(Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()));
    let found = call.send().await.unwrap();
    found.resource_tag_mapping_list().iter().filter_map(|it| it.resource_arn.clone()).collect()
}

/// What an ARN says between the account and the id.
fn kinds(arns: &[String]) -> Vec<String> {
    let mut kinds: Vec<String> = arns
        .iter()
        .map(|arn| {
            let parts: Vec<&str> = arn.splitn(6, ':').collect();
            assert_eq!((parts[3], parts[4]), ("us-east-1", "123456789012"), "{arn}");
            format!("{}:{}", parts[2], parts[5].split(['/', ':']).next().unwrap())
        })
        .collect();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn all_services_of_a_place_are_asked_but_iam() {
    let aws = aws();
    fill(&aws).await;
    let all = found(&aws, &[filter("run", &[])], &[]).await;
    assert_eq!(kinds(&all), ["ec2:internet-gateway", "ec2:vpc", "kms:key", "logs:log-group", "secretsmanager:secret"]);
    assert!(all.iter().all(|arn| !arn.ends_with('*')), "{all:?}");
    let all = found(&aws, &[], &[]).await;
    assert_eq!(all.len(), 5, "what has no tag is not known");
    assert_eq!(found(&aws.from("AKIATEST", "eu-west-1"), &[], &[]).await, [] as [String; 0]);
}

#[tokio::test]
async fn filters_are_by_value_by_kind_and_by_arn() {
    let aws = aws();
    fill(&aws).await;
    assert_eq!(kinds(&found(&aws, &[filter("run", &["2"])], &[]).await), ["ec2:internet-gateway"]);
    assert_eq!(found(&aws, &[filter("run", &["1", "2"])], &[]).await.len(), 5);
    assert_eq!(found(&aws, &[filter("run", &["1"]), filter("other", &[])], &[]).await.len(), 0);
    assert_eq!(kinds(&found(&aws, &[], &["ec2"]).await), ["ec2:internet-gateway", "ec2:vpc"]);
    let two = found(&aws, &[filter("run", &[])], &["ec2:vpc", "kms:key"]).await;
    assert_eq!(kinds(&two), ["ec2:vpc", "kms:key"]);
    let by_arn = aws.tagging.get_resources().resource_arn_list(&two[0]);
    let one = by_arn.clone().send().await.unwrap();
    assert_eq!(one.resource_tag_mapping_list()[0].tags()[0].key(), "run");
    refused(by_arn.resource_type_filters("ec2").send().await, "InvalidParameterException");
}

#[tokio::test]
async fn what_is_gone_is_not_found_and_a_key_that_waits_is() {
    let aws = aws();
    fill(&aws).await;
    let keys = aws.kms.list_keys().send().await.unwrap();
    let key = keys.keys()[0].key_id().unwrap();
    aws.kms.schedule_key_deletion().key_id(key).pending_window_in_days(7).send().await.unwrap();
    aws.logs.delete_log_group().log_group_name("/app").send().await.unwrap();
    aws.secrets.delete_secret().secret_id("db").send().await.unwrap();
    let vpc = aws.ec2.describe_vpcs().send().await.unwrap().vpcs()[0].vpc_id().unwrap().to_owned();
    aws.ec2.delete_vpc().vpc_id(vpc).send().await.unwrap();
    assert_eq!(kinds(&found(&aws, &[], &[]).await), ["ec2:internet-gateway", "kms:key"]);
}

#[tokio::test]
async fn results_come_in_pages() {
    let aws = aws();
    fill(&aws).await;
    let page = |token: Option<String>| aws.tagging.get_resources().resources_per_page(3).set_pagination_token(token);
    let first = page(None).send().await.unwrap();
    assert_eq!(first.resource_tag_mapping_list().len(), 3);
    let last = page(first.pagination_token).send().await.unwrap();
    assert_eq!((last.resource_tag_mapping_list().len(), last.pagination_token()), (2, Some("")));
    refused(page(Some("x".into())).send().await, "PaginationTokenExpiredException");
    refused(aws.tagging.get_resources().resources_per_page(101).send().await, "InvalidParameterException");
}

#[tokio::test]
async fn keys_and_values_are_listed() {
    let aws = aws();
    fill(&aws).await;
    assert_eq!(aws.tagging.get_tag_keys().send().await.unwrap().tag_keys(), ["run"]);
    assert_eq!(aws.tagging.get_tag_values().key("run").send().await.unwrap().tag_values(), ["1", "2"]);
}
