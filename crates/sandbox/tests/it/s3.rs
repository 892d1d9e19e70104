use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Tag, VersioningConfiguration,
};

use crate::support::{Aws, SETTLE, aws, refused_with};

fn configuration(region: Option<&str>) -> CreateBucketConfiguration {
    CreateBucketConfiguration::builder()
        .set_location_constraint(region.map(BucketLocationConstraint::from))
        .tags(Tag::builder().key("a & b").value("<c>").build().unwrap())
        .build()
}

impl Aws {
    pub(crate) async fn bucket(&self, name: &str) {
        self.s3.create_bucket().bucket(name).create_bucket_configuration(configuration(None)).send().await.unwrap();
    }

    pub(crate) async fn object(&self, bucket: &str, key: &str, content: &'static str) -> Option<String> {
        let body = ByteStream::from_static(content.as_bytes());
        let put = self.s3.put_object().bucket(bucket).key(key).metadata("switchback-run", "r").body(body);
        put.send().await.unwrap().version_id
    }
}

#[tokio::test]
async fn a_bucket_has_its_tags_from_the_start_and_is_closed() {
    let aws = aws();
    aws.bucket("app-data").await;
    let tags = aws.s3.get_bucket_tagging().bucket("app-data").send().await.unwrap();
    assert_eq!((tags.tag_set()[0].key(), tags.tag_set()[0].value()), ("a & b", "<c>"));
    let block = aws.s3.get_public_access_block().bucket("app-data").send().await.unwrap();
    assert_eq!(block.public_access_block_configuration().unwrap().block_public_policy(), Some(true));
    let listed = aws.tagging.get_resources().resource_type_filters("s3").send().await.unwrap();
    assert_eq!(listed.resource_tag_mapping_list()[0].resource_arn(), Some("arn:aws:s3:::app-data"));
    assert_eq!(aws.sandbox.world().await.counts["s3-bucket"], 1);
}

#[tokio::test]
async fn a_name_is_taken_in_all_accounts_and_regions() {
    let aws = aws();
    aws.bucket("app-data").await;
    // In the first region that is no error for its owner, and changes nothing.
    aws.s3.create_bucket().bucket("app-data").send().await.unwrap();
    assert_eq!(aws.s3.get_bucket_tagging().bucket("app-data").send().await.unwrap().tag_set().len(), 1);
    let other = aws.from("111122223333", "us-east-1");
    refused_with(other.s3.create_bucket().bucket("app-data").send().await, 409, "BucketAlreadyExists");
    refused_with(other.s3.get_bucket_tagging().bucket("app-data").send().await, 403, "AccessDenied");
    let there = aws.from("AKIATEST", "eu-west-1");
    let create =
        there.s3.create_bucket().bucket("app-data").create_bucket_configuration(configuration(Some("eu-west-1")));
    refused_with(create.send().await, 409, "BucketAlreadyOwnedByYou");
    refused_with(there.s3.create_bucket().bucket("b-1").send().await, 400, "IllegalLocationConstraintException");
    refused_with(aws.s3.create_bucket().bucket("No").send().await, 400, "InvalidBucketName");
    refused_with(aws.s3.get_bucket_tagging().bucket("none").send().await, 404, "NoSuchBucket");
}

#[tokio::test]
async fn a_bucket_that_holds_something_stays_and_its_name_is_free_a_while_after() {
    let aws = aws();
    aws.bucket("app-data").await;
    aws.object("app-data", "k", "hello").await;
    refused_with(aws.s3.delete_bucket().bucket("app-data").send().await, 409, "BucketNotEmpty");
    aws.s3.delete_object().bucket("app-data").key("k").send().await.unwrap();
    aws.s3.delete_bucket().bucket("app-data").send().await.unwrap();
    refused_with(aws.s3.create_bucket().bucket("app-data").send().await, 409, "OperationAborted");
    aws.sandbox.clock().advance(SETTLE);
    aws.bucket("app-data").await;
}

#[tokio::test]
async fn an_object_is_made_once_and_has_its_metadata() {
    let aws = aws();
    aws.bucket("app-data").await;
    aws.object("app-data", "a/b", "hello").await;
    let again = aws.s3.put_object().bucket("app-data").key("a/b").if_none_match("*");
    refused_with(again.send().await, 412, "PreconditionFailed");
    let head = aws.s3.head_object().bucket("app-data").key("a/b").send().await.unwrap();
    assert_eq!((head.content_length(), &head.metadata().unwrap()["switchback-run"]), (Some(5), &"r".to_owned()));
    let delete = aws.s3.delete_object().bucket("app-data").key("a/b");
    refused_with(delete.clone().if_match("\"other\"").send().await, 412, "PreconditionFailed");
    delete.if_match(head.e_tag().unwrap()).send().await.unwrap();
    let gone = aws.s3.head_object().bucket("app-data").key("a/b").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_not_found());
}

#[tokio::test]
async fn versions_survive_a_snapshot() {
    let aws = aws();
    aws.bucket("app-data").await;
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    aws.s3.put_bucket_versioning().bucket("app-data").versioning_configuration(versioning).send().await.unwrap();
    let first = aws.object("app-data", "k", "one").await.unwrap();
    let second = aws.object("app-data", "k", "two!").await.unwrap();
    let snapshot = aws.sandbox.snapshot().await;
    aws.sandbox.reset().await;
    aws.sandbox.restore(&snapshot).await;
    for (version, length) in [(&first, 3), (&second, 4)] {
        let head = aws.s3.head_object().bucket("app-data").key("k").version_id(version).send().await.unwrap();
        assert_eq!(head.content_length(), Some(length));
    }
    aws.s3.delete_object().bucket("app-data").key("k").version_id(second).send().await.unwrap();
    let head = aws.s3.head_object().bucket("app-data").key("k").send().await.unwrap();
    assert_eq!(head.version_id(), Some(first.as_str()));
}
