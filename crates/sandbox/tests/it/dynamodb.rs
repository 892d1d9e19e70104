use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ProvisionedThroughput, ScalarAttributeType,
    StreamSpecification, StreamViewType, Tag,
};

use crate::support::{Aws, SETTLE, aws, refused};

pub(crate) fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}

fn capacity() -> ProvisionedThroughput {
    ProvisionedThroughput::builder().read_capacity_units(5).write_capacity_units(5).build().unwrap()
}

fn index() -> GlobalSecondaryIndex {
    GlobalSecondaryIndex::builder()
        .index_name("ByType")
        .key_schema(key("Type", KeyType::Hash))
        .key_schema(key("At", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .provisioned_throughput(capacity())
        .build()
        .unwrap()
}

impl Aws {
    /// With the key `Id` and `At`, and an index by `Type` and `At`.
    pub(crate) fn create_table(&self, name: &str) -> CreateTableFluentBuilder {
        self.dynamodb
            .create_table()
            .table_name(name)
            .attribute_definitions(attribute("Id", ScalarAttributeType::S))
            .attribute_definitions(attribute("At", ScalarAttributeType::N))
            .attribute_definitions(attribute("Type", ScalarAttributeType::S))
            .key_schema(key("Id", KeyType::Hash))
            .key_schema(key("At", KeyType::Range))
            .provisioned_throughput(capacity())
            .global_secondary_indexes(index())
    }

    /// The same, active.
    pub(crate) async fn items_table(&self, name: &str) {
        self.create_table(name).send().await.unwrap();
        self.sandbox.clock().advance(SETTLE);
    }

    async fn state_of(&self, name: &str) -> String {
        let found = self.dynamodb.describe_table().table_name(name).send().await.unwrap();
        found.table().unwrap().table_status().unwrap().as_str().to_owned()
    }
}

#[tokio::test]
async fn a_table_is_made_and_deleted_slowly() {
    let aws = aws();
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
    let create = aws.create_table("Cache").stream_specification(stream.build().unwrap());
    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let made = create.tags(tag.clone()).send().await.unwrap().table_description.unwrap();
    assert_eq!(aws.state_of("Cache").await, "CREATING");
    let delete = || aws.dynamodb.delete_table().table_name("Cache").send();
    refused(delete().await, "ResourceInUseException");
    refused(aws.create_table("Cache").send().await, "ResourceInUseException");
    refused(aws.dynamodb.scan().table_name("Cache").send().await, "ResourceNotFoundException");
    aws.sandbox.clock().advance(SETTLE);
    let found = aws.dynamodb.describe_table().table_name("Cache").send().await.unwrap().table.unwrap();
    assert_eq!((found.table_id(), found.table_arn()), (made.table_id(), made.table_arn()));
    let index = &found.global_secondary_indexes()[0];
    assert_eq!(index.index_status().unwrap().as_str(), "ACTIVE");
    assert_eq!(index.provisioned_throughput().unwrap().read_capacity_units(), Some(5));
    assert!(found.latest_stream_arn().unwrap().contains(":table/Cache/stream/"));
    let tags = aws.dynamodb.list_tags_of_resource().resource_arn(found.table_arn().unwrap()).send().await.unwrap();
    assert_eq!(tags.tags(), [tag]);
    delete().await.unwrap();
    assert_eq!(aws.state_of("Cache").await, "DELETING");
    refused(delete().await, "ResourceInUseException");
    refused(aws.dynamodb.scan().table_name("Cache").send().await, "ResourceNotFoundException");
    aws.sandbox.clock().advance(SETTLE);
    refused(aws.dynamodb.describe_table().table_name("Cache").send().await, "ResourceNotFoundException");
    let again = aws.create_table("Cache").send().await.unwrap().table_description.unwrap();
    assert_ne!(again.table_id(), made.table_id());
}

#[tokio::test]
async fn bad_tables_are_refused() {
    let aws = aws();
    let more = aws.create_table("Cache").attribute_definitions(attribute("More", ScalarAttributeType::S));
    let message = refused(more.send().await, "ValidationException");
    assert!(message.contains("does not exactly match"), "{message}");
    let fewer =
        aws.create_table("Cache").set_attribute_definitions(Some(vec![attribute("Id", ScalarAttributeType::S)]));
    refused(fewer.send().await, "ValidationException");
    let none = aws.create_table("Cache").set_provisioned_throughput(None);
    refused(none.send().await, "ValidationException");
    let both = aws.create_table("Cache").billing_mode(BillingMode::PayPerRequest);
    refused(both.send().await, "ValidationException");
    refused(aws.create_table("a").send().await, "ValidationException");
    assert_eq!(aws.sandbox.world().await.total, 0);
}

#[tokio::test]
async fn protection_and_backups_are_settings_of_an_active_table() {
    let aws = aws();
    aws.create_table("Cache").deletion_protection_enabled(true).send().await.unwrap();
    let backups = || {
        let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().unwrap();
        aws.dynamodb.update_continuous_backups().table_name("Cache").point_in_time_recovery_specification(on).send()
    };
    refused(backups().await, "ContinuousBackupsUnavailableException");
    aws.sandbox.clock().advance(SETTLE);
    backups().await.unwrap();
    refused(aws.dynamodb.delete_table().table_name("Cache").send().await, "ValidationException");
    let (kept, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    let unprotect = aws.dynamodb.update_table().table_name("Cache").deletion_protection_enabled(false);
    unprotect.send().await.unwrap();
    assert_eq!(aws.state_of("Cache").await, "UPDATING");
    aws.sandbox.clock().advance(SETTLE);
    aws.dynamodb.delete_table().table_name("Cache").send().await.unwrap();
    aws.sandbox.clock().advance(SETTLE);
    aws.sandbox.restore(&kept).await;
    assert_eq!(aws.sandbox.world().await, before);
    refused(aws.dynamodb.delete_table().table_name("Cache").send().await, "ValidationException");
}
