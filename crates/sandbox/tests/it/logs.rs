use aws_sdk_cloudwatchlogs::types::{LogGroup, LogGroupClass};

use crate::support::{Aws, aws, refused};

impl Aws {
    async fn log_group(&self, name: &str) {
        self.logs.create_log_group().log_group_name(name).send().await.unwrap();
    }

    /// Those that begin so.
    async fn log_groups(&self, prefix: &str) -> Vec<LogGroup> {
        let found = self.logs.describe_log_groups().log_group_name_prefix(prefix).send().await.unwrap();
        found.log_groups.unwrap()
    }
}

#[tokio::test]
async fn a_log_group_is_what_was_asked_for() {
    let aws = aws();
    let key = aws.kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let made = aws
        .logs
        .create_log_group()
        .log_group_name("/ecs/app")
        .log_group_class(LogGroupClass::InfrequentAccess)
        .kms_key_id(key.arn().unwrap())
        .tags("a", "b");
    made.send().await.unwrap();
    aws.logs.put_retention_policy().log_group_name("/ecs/app").retention_in_days(30).send().await.unwrap();
    let found = &aws.log_groups("/ecs/app").await[0];
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/app";
    assert_eq!(found.log_group_arn(), Some(arn));
    assert_eq!(found.arn(), Some(format!("{arn}:*").as_str()));
    assert_eq!((found.retention_in_days(), found.kms_key_id()), (Some(30), key.arn()));
    assert_eq!(found.log_group_class(), Some(&LogGroupClass::InfrequentAccess));
    let tags = aws.logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(tags.tags.unwrap()["a"], "b");
    assert!(aws.sandbox.world().await.get(arn).is_some());
}

#[tokio::test]
async fn groups_are_listed_by_prefix_in_pages() {
    let aws = aws();
    for name in ["/app", "/app/2", "/app2", "/other"] {
        aws.log_group(name).await;
    }
    let names = |found: &[LogGroup]| found.iter().map(|it| it.log_group_name.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(names(&aws.log_groups("/app").await), ["/app", "/app/2", "/app2"]);
    let page = |token: Option<String>| {
        aws.logs.describe_log_groups().log_group_name_prefix("/app").limit(2).set_next_token(token).send()
    };
    let first = page(None).await.unwrap();
    assert_eq!(names(first.log_groups()), ["/app", "/app/2"]);
    let second = page(first.next_token).await.unwrap();
    assert_eq!((names(second.log_groups()), second.next_token()), (vec!["/app2".to_owned()], None));
    let found = aws.logs.describe_log_groups().log_group_name_pattern("PP2").send().await.unwrap();
    assert_eq!(names(found.log_groups()), ["/app2"]);
    refused(aws.logs.describe_log_groups().limit(51).send().await, "InvalidParameterException");
}

#[tokio::test]
async fn names_are_taken_once_and_have_a_form() {
    let aws = aws();
    aws.log_group("/app").await;
    let create = |name: &str| aws.logs.create_log_group().log_group_name(name).send();
    let taken = refused(create("/app").await, "ResourceAlreadyExistsException");
    assert_eq!(taken, "The specified log group already exists");
    for bad in ["a b", "a:b", "aws/a", &"a".repeat(513)] {
        refused(create(bad).await, "InvalidParameterException");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let aws = aws();
    let code = "ResourceNotFoundException";
    refused(aws.logs.delete_log_group().log_group_name("/none").send().await, code);
    let put = aws.logs.put_retention_policy().log_group_name("/none").retention_in_days(1);
    refused(put.send().await, code);
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/none";
    refused(aws.logs.list_tags_for_resource().resource_arn(arn).send().await, code);
    refused(aws.logs.create_log_stream().log_group_name("/none").log_stream_name("a").send().await, code);
}

#[tokio::test]
async fn only_some_retentions_exist() {
    let aws = aws();
    aws.log_group("/app").await;
    let put = |days| aws.logs.put_retention_policy().log_group_name("/app").retention_in_days(days).send();
    for bad in [0, 2, 31, 4000] {
        refused(put(bad).await, "InvalidParameterException");
    }
    put(3653).await.unwrap();
    assert_eq!(aws.log_groups("/app").await[0].retention_in_days(), Some(3653));
    aws.logs.delete_retention_policy().log_group_name("/app").send().await.unwrap();
    assert_eq!(aws.log_groups("/app").await[0].retention_in_days(), None);
}

#[tokio::test]
async fn the_key_of_a_log_group_must_be_there() {
    let aws = aws();
    let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let create = aws.logs.create_log_group().log_group_name("/app").kms_key_id(key);
    let message = refused(create.send().await, "InvalidParameterException");
    assert!(message.contains("does not exist or is not allowed to be used"), "{message}");
    assert!(aws.log_groups("/app").await.is_empty());
    aws.log_group("/app").await;
    let associate = aws.logs.associate_kms_key().log_group_name("/app").kms_key_id(key);
    refused(associate.send().await, "InvalidParameterException");
}

#[tokio::test]
async fn a_deleted_group_is_gone_unless_it_is_protected() {
    let aws = aws();
    aws.logs.create_log_group().log_group_name("/app").deletion_protection_enabled(true).send().await.unwrap();
    aws.logs.create_log_stream().log_group_name("/app").log_stream_name("a").send().await.unwrap();
    let delete = || aws.logs.delete_log_group().log_group_name("/app").send();
    refused(delete().await, "ValidationException");
    assert_eq!(aws.log_groups("/app").await[0].deletion_protection_enabled(), Some(true));
    let protect = aws.logs.put_log_group_deletion_protection().log_group_identifier("/app");
    protect.deletion_protection_enabled(false).send().await.unwrap();
    delete().await.unwrap();
    assert!(aws.log_groups("/app").await.is_empty());
    refused(delete().await, "ResourceNotFoundException");
}

#[tokio::test]
async fn tags_are_those_of_the_group_and_not_of_its_streams() {
    let aws = aws();
    aws.log_group("/app").await;
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/app";
    aws.logs.tag_resource().resource_arn(arn).tags("a", "1").tags("b", "2").send().await.unwrap();
    aws.logs.untag_resource().resource_arn(arn).tag_keys("a").send().await.unwrap();
    let tags = aws.logs.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags.unwrap();
    assert_eq!((tags.len(), tags["b"].as_str()), (1, "2"));
    let streams = aws.logs.list_tags_for_resource().resource_arn(format!("{arn}:*"));
    refused(streams.send().await, "InvalidParameterException");
    let create = |key: &str| aws.logs.create_log_group().log_group_name("/b").tags(key, "1").send();
    refused(create("aws:a").await, "InvalidParameterException");
}
