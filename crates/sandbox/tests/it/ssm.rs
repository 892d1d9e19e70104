//! Systems Manager: its Parameter Store.

use aws_sdk_ssm::operation::put_parameter::builders::PutParameterFluentBuilder;
use aws_sdk_ssm::types::{ParameterStringFilter, ParameterType, ResourceTypeForTagging, Tag};

use crate::support::{Aws, aws, refused};

const HOST: &str = "/app/host";

impl Aws {
    pub(crate) fn parameter(&self, name: &str, value: &str) -> PutParameterFluentBuilder {
        self.ssm.put_parameter().name(name).r#type(ParameterType::String).value(value)
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn a_parameter_is_made_once_and_overwritten_when_told_to() {
    let aws = aws();
    let made = aws.parameter(HOST, "a").description("the host").tags(tag("a", "b")).send().await.unwrap();
    assert_eq!(made.version(), 1);
    refused(aws.parameter(HOST, "b").send().await, "ParameterAlreadyExists");
    refused(aws.parameter(HOST, "b").overwrite(true).tags(tag("a", "c")).send().await, "ValidationException");
    let other = aws.parameter(HOST, "b").overwrite(true).r#type(ParameterType::SecureString).send().await;
    refused(other, "HierarchyTypeMismatchException");
    assert_eq!(aws.parameter(HOST, "b").overwrite(true).send().await.unwrap().version(), 2);
    let read = aws.ssm.get_parameter().name(HOST).send().await.unwrap().parameter.unwrap();
    assert_eq!((read.value(), read.version()), (Some("b"), 2));
    assert_eq!(read.arn(), Some("arn:aws:ssm:us-east-1:123456789012:parameter/app/host"));
    let read = aws.ssm.get_parameter().name("/app/host:1").send().await.unwrap().parameter.unwrap();
    assert_eq!(read.value(), Some("a"));
    let tags = aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Parameter).resource_id(HOST);
    assert_eq!(tags.send().await.unwrap().tag_list(), [tag("a", "b")]);
    let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(HOST).build().unwrap();
    let about = aws.ssm.describe_parameters().parameter_filters(filter).send().await.unwrap();
    assert_eq!(about.parameters().len(), 1);
    assert_eq!(about.parameters()[0].description(), None, "each value has its own description");
}

#[tokio::test]
async fn names_and_values_are_held_to_the_rules() {
    let aws = aws();
    for name in ["a/b", "/aws/x", "ssm-x", "a b", "/a/"] {
        refused(aws.parameter(name, "a").send().await, "ValidationException");
    }
    refused(aws.parameter(&"/a".repeat(16), "a").send().await, "HierarchyLevelLimitExceededException");
    refused(aws.parameter("a", &"x".repeat(4097)).send().await, "ValidationException");
    refused(aws.ssm.get_parameter().name("a").send().await, "ParameterNotFound");
    refused(aws.ssm.delete_parameter().name("a").send().await, "ParameterNotFound");
    let tags = aws.ssm.list_tags_for_resource().resource_type(ResourceTypeForTagging::Parameter).resource_id("a");
    refused(tags.send().await, "InvalidResourceId");
}

#[tokio::test]
async fn a_secure_string_reads_as_something_else_and_is_in_no_report() {
    let aws = aws();
    let put = |value: &str| aws.parameter(HOST, value).r#type(ParameterType::SecureString).overwrite(true).send();
    put("hunter1").await.unwrap();
    put("hunter2").await.unwrap();
    let read = async |plain: bool| {
        let read = aws.ssm.get_parameter().name(HOST).with_decryption(plain).send().await.unwrap();
        read.parameter.unwrap().value.unwrap()
    };
    assert_eq!(read(true).await, "hunter2");
    assert!(!read(false).await.contains("hunter"));
    let past = aws.ssm.get_parameter_history().name(HOST).with_decryption(true).send().await.unwrap();
    let values: Vec<_> = past.parameters().iter().map(|it| (it.version(), it.value().unwrap())).collect();
    assert_eq!(values, [(1, "hunter1"), (2, "hunter2")]);
    assert!(!format!("{:?}", aws.sandbox.world().await).contains("hunter"));
}

#[tokio::test]
async fn a_snapshot_keeps_what_a_parameter_is() {
    let aws = aws();
    aws.parameter(HOST, "a").description("the host").tags(tag("a", "b")).send().await.unwrap();
    let (start, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    assert_eq!(before.counts["parameter"], 1);
    aws.parameter(HOST, "b").overwrite(true).send().await.unwrap();
    assert_ne!(aws.sandbox.world().await, before);
    aws.ssm.delete_parameter().name(HOST).send().await.unwrap();
    aws.sandbox.restore(&start).await;
    assert_eq!(aws.sandbox.world().await, before);
    let tagged = aws.tagging.get_resources().send().await.unwrap();
    let arn = tagged.resource_tag_mapping_list()[0].resource_arn();
    assert_eq!(arn, Some("arn:aws:ssm:us-east-1:123456789012:parameter/app/host"));
}
