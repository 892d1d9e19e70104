//! `aws.dynamodb.table`: a table with its indexes.
//!
//! `CreateTable` refuses a name that is taken. What data it holds is not this step's: what steps wrote they have taken
//! back by the time that the table is, and the items of others go into a file before it is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition as SdkAttribute, BillingMode as SdkBillingMode, GlobalSecondaryIndex, IndexStatus,
    KeySchemaElement, KeyType as SdkKeyType, LocalSecondaryIndex, PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus, Projection as SdkProjection, ProjectionType as SdkProjectionType,
    ProvisionedThroughput as SdkThroughput, ProvisionedThroughputDescription, ScalarAttributeType, SseSpecification,
    SseStatus, SseType, StreamSpecification as SdkStream, StreamViewType as SdkViewType, TableDescription, TableStatus,
    Tag,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::export;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{built, client, items};
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{DynamoDbTableArn, DynamoDbTableName};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// AWS's limits on the indexes of a table.
const MOST_GLOBAL: usize = 20;
const MOST_LOCAL: usize = 5;
/// A table with indexes takes minutes.
const CREATE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Pauses of a wait that takes from seconds to minutes.
const POLL: Duration = Duration::from_secs(1);

/// A `DynamoDB` table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 3 to 255 letters, digits and `_-.` (`CreateTable` TableName).
    pub table_name: DynamoDbTableName,
    /// The attributes that are a part of a key, of the table or of an index; no others (`CreateTable`
    /// AttributeDefinitions).
    pub attribute_definitions: Vec<Attribute>,
    /// The key of the table: a `HASH`, and maybe a `RANGE` (`CreateTable` KeySchema).
    pub key_schema: Vec<Key>,
    /// How capacity is paid for (`CreateTable` BillingMode).
    #[serde(default)]
    pub billing_mode: BillingMode,
    /// The capacity; with `PROVISIONED` (`CreateTable` ProvisionedThroughput).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned_throughput: Option<Throughput>,
    /// Indexes with keys of their own, up to 20 (`CreateTable` GlobalSecondaryIndexes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global_secondary_indexes: Vec<GlobalIndex>,
    /// Indexes with another `RANGE`, up to 5 (`CreateTable` LocalSecondaryIndexes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local_secondary_indexes: Vec<LocalIndex>,
    /// The stream of what changes in it (`CreateTable` StreamSpecification).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_specification: Option<Stream>,
    /// The key that it is encrypted with; AWS's default: one of AWS's own (`CreateTable` SSESpecification).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse_specification: Option<Sse>,
    /// Backups of every second of the last 35 days (`UpdateContinuousBackups`); AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_in_time_recovery: Option<bool>,
    /// Whether it cannot be deleted; an undo takes it off when it was asked for here (`CreateTable`
    /// DeletionProtectionEnabled); AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection_enabled: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateTable` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// An attribute that is a part of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name.
    pub attribute_name: String,
    /// What it holds.
    pub attribute_type: AttributeType,
}

/// What a part of a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AttributeType {
    /// Text.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// One of the `attribute_definitions`.
    pub attribute_name: String,
    /// Which part it is.
    pub key_type: KeyType,
}

/// The parts of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyType {
    /// By which items are spread.
    Hash,
    /// By which items of one `HASH` are sorted.
    Range,
}

/// How capacity is paid for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BillingMode {
    /// By capacity units a second.
    #[default]
    Provisioned,
    /// By request.
    PayPerRequest,
}

/// Capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Reads a second: 1 and more.
    pub read_capacity_units: i64,
    /// Writes a second: 1 and more.
    pub write_capacity_units: i64,
}

/// An index with a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalIndex {
    /// The name: 3 to 255 letters, digits and `_-.`.
    pub index_name: String,
    /// Its key.
    pub key_schema: Vec<Key>,
    /// What is copied into it.
    pub projection: Projection,
    /// Its capacity; with `PROVISIONED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned_throughput: Option<Throughput>,
}

/// An index with the `HASH` of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalIndex {
    /// The name: 3 to 255 letters, digits and `_-.`.
    pub index_name: String,
    /// The `HASH` of the table and another `RANGE`.
    pub key_schema: Vec<Key>,
    /// What is copied into it.
    pub projection: Projection,
}

/// What is copied into an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Which attributes.
    pub projection_type: ProjectionType,
    /// Those beside the keys; with `INCLUDE`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub non_key_attributes: BTreeSet<String>,
}

/// Which attributes an index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectionType {
    /// All.
    All,
    /// The keys.
    KeysOnly,
    /// The keys and those that are named.
    Include,
}

/// A stream of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Whether there is one.
    pub stream_enabled: bool,
    /// What it shows of an item that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_view_type: Option<StreamViewType>,
}

/// What a stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StreamViewType {
    /// Its key.
    KeysOnly,
    /// The item after it.
    NewImage,
    /// The item before it.
    OldImage,
    /// Both.
    NewAndOldImages,
}

/// Encryption with a key of KMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sse {
    /// Whether with a key of KMS; without, with a key of AWS's own.
    pub enabled: bool,
    /// The key, by id, ARN or alias; AWS's default: `alias/aws/dynamodb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_master_key_id: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub table_name: DynamoDbTableName,
    /// Its ARN. A table of the same name that is made later has the same one.
    pub table_arn: DynamoDbTableArn,
    /// An id that no other table has.
    pub table_id: String,
    /// The ARN of its stream, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_stream_arn: Option<String>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Table;

impl AttributeType {
    fn to_sdk(self) -> ScalarAttributeType {
        match self {
            Self::S => ScalarAttributeType::S,
            Self::N => ScalarAttributeType::N,
            Self::B => ScalarAttributeType::B,
        }
    }
}

impl KeyType {
    fn to_sdk(self) -> SdkKeyType {
        match self {
            Self::Hash => SdkKeyType::Hash,
            Self::Range => SdkKeyType::Range,
        }
    }
}

impl BillingMode {
    fn to_sdk(self) -> SdkBillingMode {
        match self {
            Self::Provisioned => SdkBillingMode::Provisioned,
            Self::PayPerRequest => SdkBillingMode::PayPerRequest,
        }
    }
}

impl Throughput {
    fn to_sdk(self) -> OpResult<SdkThroughput> {
        let builder = SdkThroughput::builder().read_capacity_units(self.read_capacity_units);
        built(builder.write_capacity_units(self.write_capacity_units).build())
    }
}

impl Projection {
    fn to_sdk(&self) -> SdkProjection {
        let kind = match self.projection_type {
            ProjectionType::All => SdkProjectionType::All,
            ProjectionType::KeysOnly => SdkProjectionType::KeysOnly,
            ProjectionType::Include => SdkProjectionType::Include,
        };
        let names: Vec<String> = self.non_key_attributes.iter().cloned().collect();
        let builder = SdkProjection::builder().projection_type(kind);
        builder.set_non_key_attributes((!names.is_empty()).then_some(names)).build()
    }
}

impl Stream {
    fn to_sdk(&self) -> OpResult<SdkStream> {
        let view = self.stream_view_type.map(|of| match of {
            StreamViewType::KeysOnly => SdkViewType::KeysOnly,
            StreamViewType::NewImage => SdkViewType::NewImage,
            StreamViewType::OldImage => SdkViewType::OldImage,
            StreamViewType::NewAndOldImages => SdkViewType::NewAndOldImages,
        });
        built(SdkStream::builder().stream_enabled(self.stream_enabled).set_stream_view_type(view).build())
    }
}

impl Sse {
    fn to_sdk(&self) -> SseSpecification {
        let builder = SseSpecification::builder().enabled(self.enabled);
        let builder = builder.set_sse_type(self.enabled.then_some(SseType::Kms));
        builder.set_kms_master_key_id(self.kms_master_key_id.clone()).build()
    }
}

fn keys_to_sdk(keys: &[Key]) -> OpResult<Vec<KeySchemaElement>> {
    let key = |key: &Key| {
        let builder = KeySchemaElement::builder().attribute_name(&key.attribute_name);
        built(builder.key_type(key.key_type.to_sdk()).build())
    };
    keys.iter().map(key).collect()
}

impl Params {
    fn attributes_to_sdk(&self) -> OpResult<Vec<SdkAttribute>> {
        let attribute = |it: &Attribute| {
            let builder = SdkAttribute::builder().attribute_name(&it.attribute_name);
            built(builder.attribute_type(it.attribute_type.to_sdk()).build())
        };
        self.attribute_definitions.iter().map(attribute).collect()
    }

    fn global_to_sdk(&self) -> OpResult<Option<Vec<GlobalSecondaryIndex>>> {
        let index = |it: &GlobalIndex| {
            let builder = GlobalSecondaryIndex::builder()
                .index_name(&it.index_name)
                .set_key_schema(Some(keys_to_sdk(&it.key_schema)?))
                .projection(it.projection.to_sdk());
            built(builder.set_provisioned_throughput(throughput_to_sdk(it.provisioned_throughput)?).build())
        };
        let all = self.global_secondary_indexes.iter().map(index).collect::<OpResult<Vec<_>>>()?;
        Ok((!all.is_empty()).then_some(all))
    }

    fn local_to_sdk(&self) -> OpResult<Option<Vec<LocalSecondaryIndex>>> {
        let index = |it: &LocalIndex| {
            let builder = LocalSecondaryIndex::builder()
                .index_name(&it.index_name)
                .set_key_schema(Some(keys_to_sdk(&it.key_schema)?));
            built(builder.projection(it.projection.to_sdk()).build())
        };
        let all = self.local_secondary_indexes.iter().map(index).collect::<OpResult<Vec<_>>>()?;
        Ok((!all.is_empty()).then_some(all))
    }

    fn is_protected(&self) -> bool {
        self.deletion_protection_enabled == Some(true)
    }

    /// What was asked for, in the form that [`settings`] reads: lists by name.
    fn settings(&self) -> Value {
        let definitions = self.attribute_definitions.iter().map(|it| (&it.attribute_name, it.attribute_type));
        let global = self.global_secondary_indexes.iter().map(|it| (&it.index_name, json!(it)));
        let local = self.local_secondary_indexes.iter().map(|it| (&it.index_name, json!(it)));
        let mut settings = json!({
            "attribute_definitions": definitions.collect::<BTreeMap<_, _>>(),
            "key_schema": self.key_schema,
            "billing_mode": self.billing_mode,
            "global_secondary_indexes": global.collect::<BTreeMap<_, _>>(),
            "local_secondary_indexes": local.collect::<BTreeMap<_, _>>(),
        });
        if let Some(of) = self.provisioned_throughput {
            settings["provisioned_throughput"] = json!(of);
        }
        if let Some(of) = &self.stream_specification {
            settings["stream_specification"] = json!(of);
        }
        if let Some(on) = self.deletion_protection_enabled {
            settings["deletion_protection_enabled"] = json!(on);
        }
        if let Some(of) = &self.sse_specification {
            settings["sse_specification"] = json!({"enabled": of.enabled});
            // An id or an alias is read back as the ARN that it stands for.
            if let Some(arn) = of.kms_master_key_id.as_ref().filter(|id| id.contains(":key/")) {
                settings["sse_specification"]["kms_master_key_id"] = json!(arn);
            }
        }
        settings
    }
}

fn throughput_to_sdk(given: Option<Throughput>) -> OpResult<Option<SdkThroughput>> {
    given.map(Throughput::to_sdk).transpose()
}

fn keys(all: &[KeySchemaElement]) -> Value {
    let key =
        |it: &KeySchemaElement| json!({"attribute_name": it.attribute_name(), "key_type": it.key_type().as_str()});
    json!(all.iter().map(key).collect::<Vec<_>>())
}

fn throughput(of: Option<&ProvisionedThroughputDescription>) -> Value {
    json!({
        "read_capacity_units": of.and_then(|of| of.read_capacity_units()),
        "write_capacity_units": of.and_then(|of| of.write_capacity_units()),
    })
}

fn projection(of: Option<&SdkProjection>) -> Value {
    let names: BTreeSet<&String> = of.map(SdkProjection::non_key_attributes).unwrap_or_default().iter().collect();
    let mut it = json!({"projection_type": of.and_then(|of| of.projection_type()).map(SdkProjectionType::as_str)});
    if !names.is_empty() {
        it["non_key_attributes"] = json!(names);
    }
    it
}

fn billing_mode(it: &TableDescription) -> &str {
    // A table that was never on demand does not say.
    let summary = it.billing_mode_summary().and_then(|of| of.billing_mode());
    summary.map_or("PROVISIONED", SdkBillingMode::as_str)
}

/// The settings of one that was read, in the form of the parameters; indexes and attributes by name.
fn settings(it: &TableDescription) -> Value {
    let definitions = it.attribute_definitions().iter().map(|of| (of.attribute_name(), of.attribute_type().as_str()));
    let global = it.global_secondary_indexes().iter().map(|of| {
        let name = of.index_name().unwrap_or_default();
        let index = json!({
            "index_name": name, "key_schema": keys(of.key_schema()), "projection": projection(of.projection()),
            "provisioned_throughput": throughput(of.provisioned_throughput()),
        });
        (name, index)
    });
    let local = it.local_secondary_indexes().iter().map(|of| {
        let name = of.index_name().unwrap_or_default();
        let index =
            json!({"index_name": name, "key_schema": keys(of.key_schema()), "projection": projection(of.projection())});
        (name, index)
    });
    let stream = it.stream_specification();
    let sse = it.sse_description();
    let encrypted = |of: &SseStatus| [SseStatus::Enabled, SseStatus::Enabling, SseStatus::Updating].contains(of);
    json!({
        "attribute_definitions": definitions.collect::<BTreeMap<_, _>>(),
        "key_schema": keys(it.key_schema()),
        "billing_mode": billing_mode(it),
        "provisioned_throughput": throughput(it.provisioned_throughput()),
        "global_secondary_indexes": global.collect::<BTreeMap<_, _>>(),
        "local_secondary_indexes": local.collect::<BTreeMap<_, _>>(),
        "stream_specification": {
            "stream_enabled": stream.is_some_and(SdkStream::stream_enabled),
            "stream_view_type": stream.and_then(|of| of.stream_view_type()).map(SdkViewType::as_str),
        },
        "sse_specification": {
            "enabled": sse.and_then(|of| of.status()).is_some_and(encrypted),
            "kms_master_key_id": sse.and_then(|of| of.kms_master_key_arn()),
        },
        "deletion_protection_enabled": it.deletion_protection_enabled().unwrap_or(false),
    })
}

/// What is compared of the settings: what was asked for, but an index more is one too many.
fn of_those(wanted: &Value, now: &Value) -> Value {
    let mut got = asked::of_those(wanted, now);
    for all in ["attribute_definitions", "global_secondary_indexes", "local_secondary_indexes"] {
        let more = now[all].as_object().into_iter().flatten().filter(|(name, _)| wanted[all].get(name).is_none());
        for (name, it) in more {
            got[all][name] = it.clone();
        }
    }
    got
}

/// The table of that name without its tags.
async fn describe(cx: &Cx, name: &str) -> OpResult<Option<TableDescription>> {
    let sent = client(cx)?.describe_table().table_name(name).send().await;
    let reply = found(sent.map_err(|e| op_error(Call::new("dynamodb:DescribeTable", name), e)))?;
    Ok(reply.and_then(|r| r.table))
}

/// A table with its tags.
struct There {
    described: TableDescription,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "DynamoDB table";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let Some(described) = describe(cx, name).await? else { return Ok(None) };
        let mut tags = Tags::new();
        let (arn, mut next) = (described.table_arn().unwrap_or_default().to_owned(), None);
        loop {
            let sent = client(cx)?.list_tags_of_resource().resource_arn(&arn).set_next_token(next).send().await;
            let reply = found(sent.map_err(|e| op_error(Call::new("dynamodb:ListTagsOfResource", name), e)))?;
            // Gone between the two calls.
            let Some(page) = reply else { return Ok(None) };
            tags.extend(tags::read(page.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value())))));
            next = page.next_token;
            if next.is_none() {
                return Ok(Some(Self { described, tags }));
            }
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.table_id().unwrap_or_default()
    }
}

fn output(it: &TableDescription) -> Output {
    Output {
        table_name: DynamoDbTableName::new(it.table_name().unwrap_or_default()),
        table_arn: DynamoDbTableArn::new(it.table_arn().unwrap_or_default()),
        table_id: it.table_id().unwrap_or_default().to_owned(),
        latest_stream_arn: it.latest_stream_arn().map(str::to_owned),
    }
}

fn status(it: &TableDescription) -> &str {
    it.table_status().map_or("unknown", TableStatus::as_str)
}

/// Whether it and all its indexes can be used and changed.
fn is_active(it: &TableDescription) -> bool {
    let mut indexes = it.global_secondary_indexes().iter();
    status(it) == "ACTIVE" && indexes.all(|of| of.index_status() == Some(&IndexStatus::Active))
}

/// Whether every second is backed up; none when the table is gone by now.
async fn is_backed_up(cx: &Cx, name: &str) -> OpResult<Option<bool>> {
    let sent = client(cx)?.describe_continuous_backups().table_name(name).send().await;
    let reply = found(sent.map_err(|e| op_error(Call::new("dynamodb:DescribeContinuousBackups", name), e)))?;
    let status = |of: &aws_sdk_dynamodb::types::ContinuousBackupsDescription| {
        of.point_in_time_recovery_description().and_then(|of| of.point_in_time_recovery_status()).cloned()
    };
    Ok(reply.map(|r| r.continuous_backups_description().and_then(status) == Some(PointInTimeRecoveryStatus::Enabled)))
}

/// Waits until it is active, and gives back what it is then.
async fn active(cx: &Cx, name: &str) -> OpResult<Output> {
    named::wait_until::<There, _>(cx, name, "active", POLL, |there| {
        Ok(is_active(&there.described).then(|| output(&there.described)))
    })
    .await
}

/// Waits until it can be deleted: it is not being made or changed. None when it is gone by now.
async fn at_rest(cx: &Cx, name: &str) -> OpResult<Option<There>> {
    let look = || async {
        Ok(match named::ours::<There>(cx, name).await? {
            Some(there) if !is_active(&there.described) && status(&there.described) != "DELETING" => None,
            there => Some(there),
        })
    };
    cx.wait_for(&format!("waiting until {} `{name}` is at rest", There::WHAT), POLL, look).await
}

fn check_name(name: &str, field: &str, errors: &mut Vec<ParamError>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !(3..=255).contains(&name.len()) || !name.chars().all(fits) {
        errors.push(ParamError::new(field, format!("{name:?} is not 3 to 255 letters, digits, _ - and .")));
    }
}

fn check_key(keys: &[Key], field: &str, errors: &mut Vec<ParamError>) {
    let fits = match keys {
        [hash] => hash.key_type == KeyType::Hash,
        [hash, range] => {
            hash.key_type == KeyType::Hash
                && range.key_type == KeyType::Range
                && hash.attribute_name != range.attribute_name
        }
        _ => false,
    };
    if !fits {
        let wanted = "takes a HASH first, and then at most one RANGE of another attribute";
        errors.push(ParamError::new(field, wanted));
    }
}

fn check_projection(of: &Projection, field: &str, errors: &mut Vec<ParamError>) {
    if (of.projection_type == ProjectionType::Include) == of.non_key_attributes.is_empty() {
        errors.push(ParamError::new(field, "`non_key_attributes` go with the projection INCLUDE, and only with that"));
    }
}

/// Every attribute of a key is declared, once, and no other one.
fn check_attributes(params: &Params, errors: &mut Vec<ParamError>) {
    let mut wrong = |message: String| errors.push(ParamError::new("attribute_definitions", message));
    let declared: BTreeSet<&str> = params.attribute_definitions.iter().map(|it| it.attribute_name.as_str()).collect();
    if declared.len() < params.attribute_definitions.len() {
        wrong("declares an attribute twice".to_owned());
    }
    let global = params.global_secondary_indexes.iter().flat_map(|it| &it.key_schema);
    let local = params.local_secondary_indexes.iter().flat_map(|it| &it.key_schema);
    let used: BTreeSet<&str> =
        params.key_schema.iter().chain(global).chain(local).map(|key| key.attribute_name.as_str()).collect();
    for name in used.difference(&declared) {
        wrong(format!("does not declare {name:?}, which is in a key"));
    }
    for name in declared.difference(&used) {
        wrong(format!("declares {name:?}, which is in no key: only attributes of keys are declared"));
    }
}

fn check_capacity(params: &Params, errors: &mut Vec<ParamError>) {
    let provisioned = params.billing_mode == BillingMode::Provisioned;
    let own = ("provisioned_throughput", params.provisioned_throughput);
    let of_indexes = params.global_secondary_indexes.iter();
    let of_indexes = of_indexes.map(|it| ("global_secondary_indexes", it.provisioned_throughput));
    for (field, given) in std::iter::once(own).chain(of_indexes) {
        let wrong = match given {
            None if provisioned => "needs `provisioned_throughput`, or `billing_mode: PAY_PER_REQUEST`",
            Some(_) if !provisioned => "`provisioned_throughput` is for `billing_mode: PROVISIONED`",
            Some(of) if of.read_capacity_units < 1 || of.write_capacity_units < 1 => "capacity is 1 and more",
            _ => continue,
        };
        errors.push(ParamError::new(field, wrong));
    }
}

fn check_indexes(params: &Params, errors: &mut Vec<ParamError>) {
    const GLOBAL: &str = "global_secondary_indexes";
    const LOCAL: &str = "local_secondary_indexes";
    let mut names = BTreeSet::new();
    for it in &params.global_secondary_indexes {
        check_name(&it.index_name, GLOBAL, errors);
        check_key(&it.key_schema, GLOBAL, errors);
        check_projection(&it.projection, GLOBAL, errors);
        if !names.insert(&it.index_name) {
            errors.push(ParamError::new(GLOBAL, format!("{:?} is there twice", it.index_name)));
        }
    }
    let hash = |keys: &[Key]| keys.first().map(|key| key.attribute_name.clone());
    for it in &params.local_secondary_indexes {
        check_name(&it.index_name, LOCAL, errors);
        check_key(&it.key_schema, LOCAL, errors);
        check_projection(&it.projection, LOCAL, errors);
        if it.key_schema.len() != 2 || hash(&it.key_schema) != hash(&params.key_schema) {
            errors.push(ParamError::new(LOCAL, "its key is the HASH of the table and a RANGE"));
        }
        if !names.insert(&it.index_name) {
            errors.push(ParamError::new(LOCAL, format!("{:?} is there twice", it.index_name)));
        }
    }
    if params.global_secondary_indexes.len() > MOST_GLOBAL {
        errors.push(ParamError::new(GLOBAL, format!("a table has up to {MOST_GLOBAL}")));
    }
    if params.local_secondary_indexes.len() > MOST_LOCAL {
        errors.push(ParamError::new(LOCAL, format!("a table has up to {MOST_LOCAL}")));
    }
    if !params.local_secondary_indexes.is_empty() && params.key_schema.len() < 2 {
        errors.push(ParamError::new(LOCAL, "needs a table with a RANGE"));
    }
}

impl Operation for Table {
    const KIND: &'static str = "aws.dynamodb.table";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let backups = params.point_in_time_recovery.map(|_| "dynamodb:UpdateContinuousBackups");
        let mut rolls_back = vec!["dynamodb:DeleteTable"];
        if params.is_protected() {
            rolls_back.insert(0, "dynamodb:UpdateTable");
        }
        let calls = Calls {
            reads: &[
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeTable",
                "dynamodb:ListTagsOfResource",
                "dynamodb:Scan",
                "file:DescribeFile",
            ],
            creates: "dynamodb:CreateTable",
            settles: backups.into_iter().filter(|_| params.point_in_time_recovery == Some(true)).collect(),
            rolls_back,
            besides: &["dynamodb:TagResource"],
        };
        let name = &params.table_name;
        let backup = (params.point_in_time_recovery == Some(true))
            .then(|| "a backup of the deleted table stays for 35 days".to_owned());
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            reversibility: Reversibility::Lossy {
                what: format!("items that others wrote to it; they are exported to {} first", export::folder_pattern()),
            },
            residue: backup
                .into_iter()
                .chain([format!("the items of others, where there are any, in {}", export::folder_pattern())])
                .collect(),
            // Where there is something to export.
            extra_undo_actions: vec!["file:WriteFile".into()],
            arns: vec![format!("arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{name}")],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let attribute = |name: &str, attribute_type| Attribute { attribute_name: name.to_owned(), attribute_type };
        let key = |name: &str, key_type| Key { attribute_name: name.to_owned(), key_type };
        let capacity = Throughput { read_capacity_units: 5, write_capacity_units: 5 };
        let all = Projection { projection_type: ProjectionType::All, non_key_attributes: BTreeSet::new() };
        Some(Params {
            table_name: DynamoDbTableName::new("Orders"),
            attribute_definitions: vec![
                attribute("Customer", AttributeType::S),
                attribute("At", AttributeType::N),
                attribute("State", AttributeType::S),
            ],
            key_schema: vec![key("Customer", KeyType::Hash), key("At", KeyType::Range)],
            billing_mode: BillingMode::Provisioned,
            provisioned_throughput: Some(capacity),
            global_secondary_indexes: vec![GlobalIndex {
                index_name: "ByState".to_owned(),
                key_schema: vec![key("State", KeyType::Hash), key("At", KeyType::Range)],
                projection: all,
                provisioned_throughput: Some(capacity),
            }],
            local_secondary_indexes: vec![LocalIndex {
                index_name: "ByCustomerAndState".to_owned(),
                key_schema: vec![key("Customer", KeyType::Hash), key("State", KeyType::Range)],
                projection: Projection {
                    projection_type: ProjectionType::Include,
                    non_key_attributes: BTreeSet::from(["Total".to_owned()]),
                },
            }],
            stream_specification: Some(Stream {
                stream_enabled: true,
                stream_view_type: Some(StreamViewType::NewAndOldImages),
            }),
            sse_specification: Some(Sse { enabled: true, kms_master_key_id: Some("alias/app".to_owned()) }),
            point_in_time_recovery: Some(true),
            deletion_protection_enabled: Some(true),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.table_name.as_str(), "table_name", &mut errors);
        check_key(&params.key_schema, "key_schema", &mut errors);
        check_attributes(params, &mut errors);
        check_capacity(params, &mut errors);
        check_indexes(params, &mut errors);
        if let Some(of) = &params.stream_specification
            && of.stream_enabled != of.stream_view_type.is_some()
        {
            let message = "a stream that is enabled has a `stream_view_type`, another one has none";
            errors.push(ParamError::new("stream_specification", message));
        }
        if let Some(of) = &params.sse_specification
            && !of.enabled
            && of.kms_master_key_id.is_some()
        {
            errors.push(ParamError::new("sse_specification", "a key goes with `enabled: true`"));
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.table_name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "table_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.table_name.as_str();
        let tag = |(key, value): (String, String)| built(Tag::builder().key(key).value(value).build());
        let tags = tags::all(cx, &params.tags).into_iter().map(tag).collect::<OpResult<Vec<_>>>()?;
        let reply = client(cx)?
            .create_table()
            .table_name(name)
            .set_attribute_definitions(Some(params.attributes_to_sdk()?))
            .set_key_schema(Some(keys_to_sdk(&params.key_schema)?))
            .billing_mode(params.billing_mode.to_sdk())
            .set_provisioned_throughput(throughput_to_sdk(params.provisioned_throughput)?)
            .set_global_secondary_indexes(params.global_to_sdk()?)
            .set_local_secondary_indexes(params.local_to_sdk()?)
            .set_stream_specification(params.stream_specification.as_ref().map(Stream::to_sdk).transpose()?)
            .set_sse_specification(params.sse_specification.as_ref().map(Sse::to_sdk))
            .set_deletion_protection_enabled(params.deletion_protection_enabled)
            .set_tags(Some(tags))
            .send()
            .await
            .map_err(|e| taken(op_error(Call::new("dynamodb:CreateTable", name).just_made(), e)))?;
        let made = reply.table_description().filter(|it| it.table_arn().is_some());
        made.map(output).ok_or_else(|| nameless("dynamodb:CreateTable", name))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = out.table_name.as_str();
        named::ours_there::<There>(cx, name).await?;
        let out = active(cx, name).await?;
        if params.point_in_time_recovery == Some(true) && is_backed_up(cx, name).await? != Some(true) {
            let wanted = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
            client(cx)?
                .update_continuous_backups()
                .table_name(name)
                .point_in_time_recovery_specification(built(wanted)?)
                .send()
                .await
                .map_err(|e| op_error(Call::new("dynamodb:UpdateContinuousBackups", name).just_made(), e))?;
        }
        Ok(out)
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.table_name.as_str(), |there| output(&there.described)).await
    }

    /// A table that is being made or changed is not deleted: AWS refuses with `ResourceInUseException`.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = params.table_name.as_str();
        let Some(there) = at_rest(cx, name).await? else { return Ok(Undo::Nothing) };
        let mut undo = Undo::Nothing;
        if status(&there.described) != "DELETING" {
            if found(items::export(cx, name).await)?.is_none() {
                return Ok(Undo::Nothing);
            }
            // Items may have been read for long.
            let Some(there) = at_rest(cx, name).await? else { return Ok(Undo::Nothing) };
            if params.is_protected() && there.described.deletion_protection_enabled() == Some(true) {
                let sent = client(cx)?.update_table().table_name(name).deletion_protection_enabled(false).send().await;
                found(sent.map_err(|e| op_error(Call::new("dynamodb:UpdateTable", name), e)))?;
                if at_rest(cx, name).await?.is_none() {
                    return Ok(Undo::Nothing);
                }
            }
            let deleted = client(cx)?.delete_table().table_name(name).send().await;
            if found(deleted.map_err(|e| op_error(Call::new("dynamodb:DeleteTable", name), e)))?.is_none() {
                return Ok(Undo::Nothing);
            }
            undo = Undo::Done;
        }
        // Its tags may go before it does, so this goes by its id.
        let look = || async {
            let there = describe(cx, name).await?;
            Ok(there.is_none_or(|it| it.table_id().unwrap_or_default() != out.table_id).then_some(()))
        };
        cx.wait_for(&format!("waiting until {} `{name}` is gone", There::WHAT), named::POLL, look).await?;
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.table_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let Some(backed_up) = is_backed_up(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        // Last, because a table that is being deleted still has its tags and its backups.
        let Some(it) = &describe(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let (wanted, now) = (params.settings(), settings(it));
        let got = of_those(&wanted, &now);
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("active", true, is_active(it))
            .compare("settings", wanted, got);
        if let Some(out) = out {
            verdict = verdict.compare("table_id", out.table_id.as_str(), it.table_id().unwrap_or_default());
        }
        if let Some(wanted) = params.point_in_time_recovery {
            verdict = verdict.compare("point_in_time_recovery", wanted, backed_up);
        }
        verdict.observed = json!({
            "table_name": name, "table_arn": it.table_arn(), "table_id": it.table_id(), "status": status(it),
            "settings": now, "point_in_time_recovery": backed_up, "latest_stream_arn": it.latest_stream_arn(),
            "tags": there.tags,
        });
        Ok(verdict)
    }
}

/// `CreateTable` has one code for a name that is taken and one for too many tables at a time.
fn taken(mut error: OpError) -> OpError {
    match error.code.as_deref() {
        Some("ResourceInUseException") => error.class = ErrorClass::AlreadyExists,
        Some("LimitExceededException") if error.message.contains("simultaneously") => error.class = ErrorClass::Busy,
        _ => {}
    }
    error
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{BillingModeSummary, GlobalSecondaryIndexDescription};

    use super::*;

    fn cache() -> Value {
        json!({
            "table_name": "Cache",
            "attribute_definitions": [
                {"attribute_name": "Id", "attribute_type": "S"},
                {"attribute_name": "At", "attribute_type": "N"},
                {"attribute_name": "Type", "attribute_type": "S"},
            ],
            "key_schema": [
                {"attribute_name": "Id", "key_type": "HASH"}, {"attribute_name": "At", "key_type": "RANGE"},
            ],
            "provisioned_throughput": {"read_capacity_units": 10, "write_capacity_units": 10},
            "global_secondary_indexes": [{
                "index_name": "TypeIndex",
                "key_schema": [
                    {"attribute_name": "Type", "key_type": "HASH"}, {"attribute_name": "At", "key_type": "RANGE"},
                ],
                "projection": {"projection_type": "ALL"},
                "provisioned_throughput": {"read_capacity_units": 5, "write_capacity_units": 5},
            }],
        })
    }

    fn params(value: &Value) -> Params {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn wrong(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut value = cache();
        change(&mut value);
        let errors = Table.check(&params(&value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        const INDEXES: &str = "global_secondary_indexes";
        assert!(wrong(|_| ()).is_empty());
        assert_eq!(wrong(|it| it["table_name"] = json!("a")), ["table_name"]);
        assert_eq!(wrong(|it| it["key_schema"][0]["key_type"] = json!("RANGE")), ["key_schema"]);
        assert_eq!(wrong(|it| it["provisioned_throughput"] = Value::Null), ["provisioned_throughput"]);
        assert_eq!(wrong(|it| it[INDEXES][0]["provisioned_throughput"] = Value::Null), [INDEXES]);
        let on_demand = wrong(|it| it["billing_mode"] = json!("PAY_PER_REQUEST"));
        assert_eq!(on_demand, ["provisioned_throughput", INDEXES]);
        assert_eq!(wrong(|it| it[INDEXES][0]["projection"]["projection_type"] = json!("INCLUDE")), [INDEXES]);
        let stream = json!({"stream_enabled": true});
        assert_eq!(wrong(|it| it["stream_specification"] = stream), ["stream_specification"]);
        Table.check(&Table::example().unwrap()).unwrap();
    }

    #[test]
    fn every_attribute_of_a_key_is_declared_and_no_other() {
        const FIELD: &str = "attribute_definitions";
        let declared = |names: &[&str]| {
            let all: Vec<Value> =
                names.iter().map(|name| json!({"attribute_name": name, "attribute_type": "S"})).collect();
            wrong(|it| it[FIELD] = json!(all))
        };
        assert!(declared(&["Id", "At", "Type"]).is_empty());
        assert_eq!(declared(&["Id", "At"]), [FIELD]);
        assert_eq!(declared(&["Id", "At", "Type", "More"]), [FIELD]);
        assert_eq!(declared(&["Id", "At", "Type", "Id"]), [FIELD]);
    }

    #[test]
    fn the_key_of_an_index_has_the_name_that_the_api_gives_it() {
        let mut value = cache();
        let index = value["global_secondary_indexes"][0].as_object_mut().unwrap();
        let keys = index.remove("key_schema").unwrap();
        index.insert("keys".to_owned(), keys);
        let error = serde_json::from_value::<Params>(value).unwrap_err().to_string();
        assert!(error.contains("unknown field `keys`") && error.contains("`key_schema`"), "{error}");
    }

    #[test]
    fn what_aws_adds_is_no_difference_and_an_index_more_is_one() {
        let wanted = params(&cache());
        let index = GlobalSecondaryIndexDescription::builder()
            .index_name("TypeIndex")
            .set_key_schema(Some(keys_to_sdk(&wanted.global_secondary_indexes[0].key_schema).unwrap()))
            .projection(wanted.global_secondary_indexes[0].projection.to_sdk())
            .index_status(IndexStatus::Active)
            .provisioned_throughput(
                ProvisionedThroughputDescription::builder().read_capacity_units(5).write_capacity_units(5).build(),
            );
        let mut definitions = wanted.attributes_to_sdk().unwrap();
        definitions.reverse();
        let table = |more: &[&str]| {
            let more = more.iter().map(|name| index.clone().index_name(*name).build());
            TableDescription::builder()
                .set_attribute_definitions(Some(definitions.clone()))
                .set_key_schema(Some(keys_to_sdk(&wanted.key_schema).unwrap()))
                .table_status(TableStatus::Active)
                .provisioned_throughput(
                    ProvisionedThroughputDescription::builder()
                        .read_capacity_units(10)
                        .write_capacity_units(10)
                        .number_of_decreases_today(0)
                        .build(),
                )
                .set_global_secondary_indexes(Some(std::iter::once(index.clone().build()).chain(more).collect()))
        };
        let settings_of = |it: TableDescription| of_those(&wanted.settings(), &settings(&it));
        assert_eq!(settings_of(table(&[]).build()), wanted.settings());
        assert!(is_active(&table(&[]).build()));
        assert_ne!(settings_of(table(&["Another"]).build()), wanted.settings());
        let mode = BillingModeSummary::builder().billing_mode(SdkBillingMode::PayPerRequest).build();
        assert_ne!(settings_of(table(&[]).billing_mode_summary(mode).build()), wanted.settings());
    }

    #[test]
    fn a_name_that_is_taken_is_told_from_a_table_that_is_busy() {
        let class = |code: &str, text: &str| taken(OpError::permanent(text).with_code(code)).class;
        assert_eq!(class("ResourceInUseException", "Table already exists: a"), ErrorClass::AlreadyExists);
        let many = "Only 10 tables can be created, updated, or deleted simultaneously";
        assert_eq!(class("LimitExceededException", many), ErrorClass::Busy);
        assert_eq!(class("LimitExceededException", "Too many tables"), ErrorClass::Permanent);
    }

    #[test]
    fn facts_follow_the_parameters() {
        let facts = Table.facts(&params(&cache()));
        assert_eq!(facts.rolls_back, ["dynamodb:DeleteTable"]);
        assert!(facts.settles.is_empty() && facts.residue.len() == 1);
        assert!(matches!(&facts.reversibility, Reversibility::Lossy { what } if what.contains("items")));
        let all = Table.facts(&Table::example().unwrap());
        assert_eq!(all.settles, ["dynamodb:UpdateContinuousBackups"]);
        assert_eq!(all.rolls_back, ["dynamodb:UpdateTable", "dynamodb:DeleteTable"]);
    }
}
