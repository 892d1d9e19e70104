//! `aws.s3.bucket`: a bucket, closed to the public.
//!
//! A name is unique in all accounts and regions. The tags go into the create call, so a bucket says whose it is from
//! its first moment. In us-east-1 `CreateBucket` succeeds on a bucket that the account owns already, and its reply does
//! not show tags: so the operation looks right before it calls, and every step after it reads the tags first.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule as SentRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, VersioningConfiguration,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{check_bucket, client};
use crate::asked;
use crate::calls::{Absent, Calls};
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::{BucketArn, BucketName, KmsKeyArn};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// The region whose buckets have no location constraint.
const FIRST_REGION: &str = "us-east-1";
/// AWS's limit on the lifecycle rules of a bucket.
const MOST_RULES: usize = 1000;
/// How many of the keys in it are named when it cannot be deleted.
const NAMED_KEYS: i32 = 3;

/// An S3 bucket, closed to the public, without objects.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, unique in all accounts and regions: 3 to 63 lower-case letters, digits, `-` and `.` (`CreateBucket`
    /// Bucket).
    pub bucket: BucketName,
    /// How it is closed to the public (`PutPublicAccessBlock` PublicAccessBlockConfiguration).
    #[serde(default)]
    pub public_access_block: PublicAccessBlock,
    /// Whether it keeps former versions of its objects (`PutBucketVersioning` Status). AWS's default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versioning: Option<bool>,
    /// How objects are encrypted (`PutBucketEncryption` ServerSideEncryptionConfiguration). AWS's default: with a key of
    /// S3's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What becomes of objects by themselves (`PutBucketLifecycleConfiguration` Rules).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lifecycle_rules: Vec<LifecycleRule>,
    /// Tags, beside those that say whose it is (`CreateBucket` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// How a bucket is closed to the public. Everything that is not said is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublicAccessBlock {
    /// Whether ACLs that open it are refused.
    pub block_public_acls: bool,
    /// Whether ACLs that open it are ignored.
    pub ignore_public_acls: bool,
    /// Whether policies that open it are refused.
    pub block_public_policy: bool,
    /// Whether a policy that opens it opens it to the account only.
    pub restrict_public_buckets: bool,
}

/// How objects are encrypted that do not say how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encryption {
    /// With which kind of key.
    pub sse_algorithm: Algorithm,
    /// The key, of `aws:kms` only. AWS's default: the account's key for S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_master_key_id: Option<KmsKeyArn>,
    /// Whether the bucket has a key of its own under it, which makes fewer calls to KMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key_enabled: Option<bool>,
}

/// The kinds of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// A key of S3's own.
    #[serde(rename = "AES256")]
    Aes256,
    /// A key in KMS.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// What becomes of objects by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifecycleRule {
    /// Its name in the bucket: up to 255 characters.
    pub id: String,
    /// Of which objects: those whose key begins so. Without it: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// After how many days an object is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_days: Option<i32>,
    /// After how many days a former version is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noncurrent_version_expiration_days: Option<i32>,
    /// After how many days an upload in parts that was not completed is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_incomplete_multipart_upload_days: Option<i32>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub bucket: BucketName,
    /// Its ARN.
    pub bucket_arn: BucketArn,
    /// The region that it is in.
    pub region: String,
    /// The name of its host: `app.s3.us-east-1.amazonaws.com`.
    pub domain_name: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket;

/// A bucket's tags, read.
#[derive(Debug)]
struct There {
    name: String,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "S3 bucket";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.get_bucket_tagging().bucket(name).send().await;
        let there = |tags| Some(Self { name: name.to_owned(), tags });
        match sent.map_err(|e| op_error(Call::new("s3:GetBucketTagging", name), e)) {
            Ok(reply) => Ok(there(tags::read(reply.tag_set().iter().map(|t| (Some(t.key()), Some(t.value())))))),
            // A bucket that has no tags.
            Err(e) if e.code.as_deref() == Some("NoSuchTagSet") => Ok(there(Tags::new())),
            Err(e) if matches!(e.code.as_deref(), Some("AccessDenied" | "PermanentRedirect")) => Err(
                e.with_hint("the bucket may be another account's, or in another region: names are unique in all of S3")
            ),
            reply => Ok(found(reply)?.and(None)),
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.name
    }
}

impl Default for PublicAccessBlock {
    fn default() -> Self {
        Self {
            block_public_acls: true,
            ignore_public_acls: true,
            block_public_policy: true,
            restrict_public_buckets: true,
        }
    }
}

impl Algorithm {
    fn to_sdk(self) -> ServerSideEncryption {
        match self {
            Self::Aes256 => ServerSideEncryption::Aes256,
            Self::Kms => ServerSideEncryption::AwsKms,
        }
    }
}

fn unsent(error: impl std::fmt::Display) -> OpError {
    OpError::permanent(format!("the call cannot be sent: {error}"))
}

impl Encryption {
    fn to_sdk(&self) -> OpResult<ServerSideEncryptionConfiguration> {
        let by_default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(self.sse_algorithm.to_sdk())
            .set_kms_master_key_id(self.kms_master_key_id.as_ref().map(|key| key.as_str().to_owned()))
            .build()
            .map_err(unsent)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(by_default)
            .set_bucket_key_enabled(self.bucket_key_enabled)
            .build();
        ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(unsent)
    }
}

impl LifecycleRule {
    fn to_sdk(&self) -> OpResult<SentRule> {
        let expiration = |days| LifecycleExpiration::builder().days(days).build();
        let former = |days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build();
        let uploads = |days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build();
        SentRule::builder()
            .id(&self.id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(self.prefix.as_deref().unwrap_or_default()).build())
            .set_expiration(self.expiration_days.map(expiration))
            .set_noncurrent_version_expiration(self.noncurrent_version_expiration_days.map(former))
            .set_abort_incomplete_multipart_upload(self.abort_incomplete_multipart_upload_days.map(uploads))
            .build()
            .map_err(unsent)
    }

    /// A rule that was read, in the form of the parameters; what cannot be said with them is not in it.
    fn read(rule: &SentRule) -> Self {
        let prefix = rule.filter().and_then(LifecycleRuleFilter::prefix).filter(|prefix| !prefix.is_empty());
        Self {
            id: rule.id().unwrap_or_default().to_owned(),
            prefix: prefix.map(str::to_owned),
            expiration_days: rule.expiration().and_then(LifecycleExpiration::days),
            noncurrent_version_expiration_days: rule
                .noncurrent_version_expiration()
                .and_then(|of| of.noncurrent_days()),
            abort_incomplete_multipart_upload_days: rule
                .abort_incomplete_multipart_upload()
                .and_then(|of| of.days_after_initiation()),
        }
    }
}

impl Params {
    fn output(&self, cx: &Cx) -> OpResult<Output> {
        let region = cx.get::<AwsContext>()?.region();
        let (partition, suffix) = match region {
            region if region.starts_with("cn-") => ("aws-cn", ".cn"),
            region if region.starts_with("us-gov-") => ("aws-us-gov", ""),
            _ => ("aws", ""),
        };
        let name = &self.bucket;
        Ok(Output {
            bucket: name.clone(),
            bucket_arn: BucketArn::new(format!("arn:{partition}:s3:::{name}")),
            region: region.to_owned(),
            domain_name: format!("{name}.s3.{region}.amazonaws.com{suffix}"),
        })
    }

    /// The rules by their ids: S3 does not keep their order.
    fn rules(&self) -> Value {
        json!(self.lifecycle_rules.iter().map(|rule| (rule.id.as_str(), rule)).collect::<BTreeMap<_, _>>())
    }
}

/// What is in it, in words.
async fn inside(cx: &Cx, name: &str) -> OpResult<Option<String>> {
    let sent = client(cx)?.list_object_versions().bucket(name).max_keys(NAMED_KEYS).send().await;
    let listed = found(sent.map_err(|e| op_error(Call::new("s3:ListObjectVersions", name), e)))?;
    let Some(listed) = listed else { return Ok(None) };
    let versions = listed.versions().iter().filter_map(|it| it.key());
    let markers = listed.delete_markers().iter().filter_map(|it| it.key());
    let keys: BTreeSet<_> = versions.chain(markers).map(|key| format!("`{key}`")).collect();
    let more = if listed.is_truncated() == Some(true) { " and more" } else { "" };
    let keys = keys.into_iter().collect::<Vec<_>>();
    Ok((!keys.is_empty()).then(|| format!("the objects {}{more}", keys.join(", "))))
}

fn check_rules(rules: &[LifecycleRule], errors: &mut Vec<ParamError>) {
    let mut wrong = |message: String| errors.push(ParamError::new("lifecycle_rules", message));
    let ids: BTreeSet<_> = rules.iter().map(|rule| &rule.id).collect();
    if ids.len() < rules.len() || rules.len() > MOST_RULES {
        wrong(format!("each rule has an id of its own, and there are up to {MOST_RULES}"));
    }
    for rule in rules {
        let id = &rule.id;
        if id.is_empty() || id.chars().count() > 255 {
            wrong("an id has 1 to 255 characters".to_owned());
        }
        let days = [
            rule.expiration_days,
            rule.noncurrent_version_expiration_days,
            rule.abort_incomplete_multipart_upload_days,
        ];
        if days.iter().flatten().next().is_none() {
            wrong(format!("rule {id:?} does nothing"));
        }
        if days.iter().flatten().any(|days| *days < 1) {
            wrong(format!("rule {id:?}: days are 1 or more"));
        }
    }
}

impl Operation for Bucket {
    const KIND: &'static str = "aws.s3.bucket";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let mut settles = vec!["s3:PutPublicAccessBlock"];
        settles.extend(params.versioning.map(|_| "s3:PutBucketVersioning"));
        settles.extend(params.encryption.as_ref().map(|_| "s3:PutBucketEncryption"));
        settles.extend((!params.lifecycle_rules.is_empty()).then_some("s3:PutBucketLifecycleConfiguration"));
        let calls = Calls {
            reads: &[
                "s3:GetBucketTagging",
                "s3:GetPublicAccessBlock",
                "s3:GetBucketVersioning",
                "s3:GetBucketEncryption",
                "s3:GetBucketLifecycleConfiguration",
                "s3:ListObjectVersions",
            ],
            creates: "s3:CreateBucket",
            settles,
            rolls_back: vec!["s3:DeleteBucket"],
            besides: &["s3:TagResource"],
        };
        Facts { unique: true, arns: vec![format!("arn:{{partition}}:s3:::{}", params.bucket)], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            bucket: BucketName::new("app-artifacts-123456789012"),
            public_access_block: PublicAccessBlock::default(),
            versioning: Some(true),
            encryption: Some(Encryption {
                sse_algorithm: Algorithm::Kms,
                kms_master_key_id: Some(KmsKeyArn::new(key)),
                bucket_key_enabled: Some(true),
            }),
            lifecycle_rules: vec![LifecycleRule {
                id: "tidy".to_owned(),
                prefix: Some("builds/".to_owned()),
                expiration_days: Some(90),
                noncurrent_version_expiration_days: Some(30),
                abort_incomplete_multipart_upload_days: Some(7),
            }],
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_bucket(&params.bucket, &mut errors);
        if let Some(encryption) = &params.encryption {
            match (&encryption.kms_master_key_id, encryption.sse_algorithm) {
                (Some(_), Algorithm::Aes256) => {
                    errors.push(ParamError::new("encryption", "`kms_master_key_id` is of `aws:kms` only"));
                }
                (Some(key), Algorithm::Kms) => key.check("encryption", &mut errors),
                (None, _) => {}
            }
        }
        check_rules(&params.lifecycle_rules, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.bucket.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "bucket").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.bucket.as_str();
        named::still_absent::<There>(cx, name).await?;
        let output = params.output(cx)?;
        let tag = |(key, value)| Tag::builder().key(key).value(value).build().map_err(unsent);
        let tags = tags::all(cx, &params.tags).into_iter().map(tag).collect::<OpResult<Vec<_>>>()?;
        let region = (output.region != FIRST_REGION).then(|| BucketLocationConstraint::from(output.region.as_str()));
        let configuration =
            CreateBucketConfiguration::builder().set_tags(Some(tags)).set_location_constraint(region).build();
        client(cx)?
            .create_bucket()
            .bucket(name)
            .create_bucket_configuration(configuration)
            .send()
            .await
            .map_err(|e| op_error(Call::new("s3:CreateBucket", name), e))?;
        Ok(output)
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let (name, client) = (params.bucket.as_str(), client(cx)?);
        named::ours_there::<There>(cx, name).await?;
        let block = &params.public_access_block;
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(block.block_public_acls)
            .ignore_public_acls(block.ignore_public_acls)
            .block_public_policy(block.block_public_policy)
            .restrict_public_buckets(block.restrict_public_buckets)
            .build();
        let put = client.put_public_access_block().bucket(name).public_access_block_configuration(block);
        put.send().await.map_err(|e| op_error(Call::new("s3:PutPublicAccessBlock", name).just_made(), e))?;
        if let Some(on) = params.versioning {
            named::ours_there::<There>(cx, name).await?;
            let status = if on { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
            let versioning = VersioningConfiguration::builder().status(status).build();
            let put = client.put_bucket_versioning().bucket(name).versioning_configuration(versioning);
            put.send().await.map_err(|e| op_error(Call::new("s3:PutBucketVersioning", name).just_made(), e))?;
        }
        if let Some(encryption) = &params.encryption {
            named::ours_there::<There>(cx, name).await?;
            let put = client.put_bucket_encryption().bucket(name);
            let put = put.server_side_encryption_configuration(encryption.to_sdk()?);
            put.send().await.map_err(|e| op_error(Call::new("s3:PutBucketEncryption", name).just_made(), e))?;
        }
        if !params.lifecycle_rules.is_empty() {
            named::ours_there::<There>(cx, name).await?;
            let rules = params.lifecycle_rules.iter().map(LifecycleRule::to_sdk).collect::<OpResult<Vec<_>>>()?;
            let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().map_err(unsent)?;
            let put = client.put_bucket_lifecycle_configuration().bucket(name).lifecycle_configuration(rules);
            let call = Call::new("s3:PutBucketLifecycleConfiguration", name).just_made();
            put.send().await.map_err(|e| op_error(call, e))?;
        }
        Ok(out.clone())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let output = params.output(cx)?;
        named::find::<There, _>(cx, params.bucket.as_str(), |_| output).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.bucket.as_str();
        let look = || async {
            match named::ours::<There>(cx, name).await? {
                Some(_) => inside(cx, name).await,
                None => Ok(None),
            }
        };
        named::emptied::<There, _>(cx, name, look).await?;
        if named::ours::<There>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_bucket().bucket(name).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("s3:DeleteBucket", name), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, name, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.bucket.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let client = client(cx)?;
        let sent = client.get_public_access_block().bucket(name).send().await;
        let block = found(sent.map_err(|e| op_error(Call::new("s3:GetPublicAccessBlock", name), e)))?;
        let block = block.and_then(|reply| reply.public_access_block_configuration);
        let is = |of: fn(&PublicAccessBlockConfiguration) -> Option<bool>| block.as_ref().and_then(of) == Some(true);
        let block = PublicAccessBlock {
            block_public_acls: is(PublicAccessBlockConfiguration::block_public_acls),
            ignore_public_acls: is(PublicAccessBlockConfiguration::ignore_public_acls),
            block_public_policy: is(PublicAccessBlockConfiguration::block_public_policy),
            restrict_public_buckets: is(PublicAccessBlockConfiguration::restrict_public_buckets),
        };
        let mut verdict = named::verdict(cx, &there, &params.tags).compare(
            "public_access_block",
            json!(params.public_access_block),
            json!(block),
        );
        let mut observed = json!({
            "bucket": name, "bucket_arn": params.output(cx)?.bucket_arn, "public_access_block": block, "tags": there.tags,
        });
        if let Some(wanted) = params.versioning {
            let sent = client.get_bucket_versioning().bucket(name).send().await;
            let reply = found(sent.map_err(|e| op_error(Call::new("s3:GetBucketVersioning", name), e)))?;
            let on = reply.and_then(|r| r.status) == Some(BucketVersioningStatus::Enabled);
            verdict = verdict.compare("versioning", wanted, on);
            observed["versioning"] = json!(on);
        }
        if let Some(wanted) = &params.encryption {
            let sent = client.get_bucket_encryption().bucket(name).send().await;
            let reply = found(sent.map_err(|e| op_error(Call::new("s3:GetBucketEncryption", name), e)))?;
            let configuration = reply.and_then(|r| r.server_side_encryption_configuration);
            let rule = configuration.as_ref().and_then(|all| all.rules().first());
            let by_default = rule.and_then(ServerSideEncryptionRule::apply_server_side_encryption_by_default);
            let got = json!({
                "sse_algorithm": by_default.map(|of| of.sse_algorithm().as_str()),
                "kms_master_key_id": by_default.and_then(ServerSideEncryptionByDefault::kms_master_key_id),
                "bucket_key_enabled": rule.and_then(ServerSideEncryptionRule::bucket_key_enabled),
            });
            let wanted = json!(wanted);
            verdict = verdict.compare("encryption", wanted.clone(), asked::of_those(&wanted, &got));
            observed["encryption"] = got;
        }
        if !params.lifecycle_rules.is_empty() {
            let sent = client.get_bucket_lifecycle_configuration().bucket(name).send().await;
            let reply = found(sent.map_err(|e| op_error(Call::new("s3:GetBucketLifecycleConfiguration", name), e)))?;
            let rules = reply.and_then(|r| r.rules).unwrap_or_default();
            let enabled =
                rules.iter().filter(|rule| *rule.status() == ExpirationStatus::Enabled).map(LifecycleRule::read);
            let got = json!(enabled.map(|rule| (rule.id.clone(), rule)).collect::<BTreeMap<_, _>>());
            verdict = verdict.compare("lifecycle_rules", params.rules(), got.clone());
            observed["lifecycle_rules"] = got;
        }
        verdict.observed = observed;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = Bucket.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    const GONE: Answer = Answer::Reply(404, "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>");
    const UNTAGGED: Answer = Answer::Reply(404, "<Error><Code>NoSuchTagSet</Code><Message>no</Message></Error>");
    const DENIED: Answer = Answer::Reply(403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    const OURS: Answer = Answer::Reply(
        200,
        "<Tagging><TagSet><Tag><Key>switchback:run</Key><Value>00000000-0000-0000-0000-000000000007</Value></Tag><Tag>\
         <Key>switchback:step</Key><Value>bucket</Value></Tag><Tag><Key>switchback:generation</Key><Value>1</Value>\
         </Tag></TagSet></Tagging>",
    );
    const DONE: Answer = Answer::Reply(204, "");

    fn out() -> Output {
        Output {
            bucket: BucketName::new("app"),
            bucket_arn: BucketArn::new("arn:aws:s3:::app"),
            region: "us-east-1".to_owned(),
            domain_name: "app.s3.us-east-1.amazonaws.com".to_owned(),
        }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        for name in ["ab", "App", "a_b", "-ab", "ab.", "a..b", "192.168.0.1", "xn--ab", "ab-s3alias"] {
            assert_eq!(wrong(json!({"bucket": name})), ["bucket"], "{name}");
        }
        assert!(wrong(json!({"bucket": "my.app-1"})).is_empty());
        let with = |rules: Value| wrong(json!({"bucket": "app", "lifecycle_rules": rules}));
        assert!(with(json!([{"id": "a", "expiration_days": 1}])).is_empty());
        assert_eq!(with(json!([{"id": "a"}])), ["lifecycle_rules"]);
        assert_eq!(with(json!([{"id": "a", "expiration_days": 0}])), ["lifecycle_rules"]);
        let twice = json!({"id": "a", "expiration_days": 1});
        assert_eq!(with(json!([twice, twice])), ["lifecycle_rules"]);
        let key = "arn:aws:kms:us-east-1:123456789012:key/1";
        let encryption = json!({"sse_algorithm": "AES256", "kms_master_key_id": key});
        assert_eq!(wrong(json!({"bucket": "app", "encryption": encryption})), ["encryption"]);
    }

    #[test]
    fn it_is_closed_unless_it_is_said() {
        assert_eq!(params(json!({"bucket": "app"})).public_access_block, PublicAccessBlock::default());
        let open = params(json!({"bucket": "app", "public_access_block": {"block_public_policy": false}}));
        assert!(!open.public_access_block.block_public_policy && open.public_access_block.block_public_acls);
    }

    #[test]
    fn a_rule_that_was_read_has_the_form_of_the_parameters() {
        let rule = &Bucket::example().unwrap().lifecycle_rules[0];
        assert_eq!(LifecycleRule::read(&rule.to_sdk().unwrap()), *rule);
        let all = LifecycleRule { prefix: None, ..rule.clone() };
        assert_eq!(LifecycleRule::read(&all.to_sdk().unwrap()), all);
    }

    #[test]
    fn calls_follow_from_what_is_set() {
        assert_eq!(Bucket.facts(&params(json!({"bucket": "app"}))).settles, ["s3:PutPublicAccessBlock"]);
        let facts = Bucket.facts(&Bucket::example().unwrap());
        assert_eq!(facts.settles.len(), 4);
        assert_eq!(facts.arns, ["arn:{partition}:s3:::app-artifacts-123456789012"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_of_anybody_is_not_taken() {
        let script = Script::new([UNTAGGED, DENIED, GONE, UNTAGGED]);
        let (cx, watch) = watched("bucket", script.config()).await;
        let params = params(json!({"bucket": "app"}));
        assert_eq!(Bucket.capture(&cx, &params).await.unwrap_err().class, ErrorClass::Foreign);
        let denied = Bucket.capture(&cx, &params).await.unwrap_err();
        assert!(denied.hint.unwrap().contains("another account's"));
        Bucket.capture(&cx, &params).await.unwrap();
        let error = Bucket.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::AlreadyExists);
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "GetBucketTagging"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_put_into_it_is_named_and_stays() {
        let listed = Answer::Reply(
            200,
            "<ListVersionsResult><IsTruncated>true</IsTruncated><Version><Key>a</Key></Version><DeleteMarker><Key>b</Key>\
             </DeleteMarker></ListVersionsResult>",
        );
        let script = Script::new(std::iter::repeat_n([OURS, listed], 60).flatten());
        let (cx, watch) = watched("bucket", script.config()).await;
        let error = Bucket.rollback(&cx, &params(json!({"bucket": "app"})), &Absent {}, &out()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(error.message.contains("the objects `a`, `b` and more"), "{error}");
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "DeleteBucket"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_bucket_that_is_ours_is_deleted() {
        let empty = Answer::Reply(200, "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>");
        let script = Script::new([OURS, empty, OURS, DONE, OURS, GONE, GONE, GONE]);
        let cx = watched("bucket", script.config()).await.0;
        let params = params(json!({"bucket": "app"}));
        assert_eq!(Bucket.rollback(&cx, &params, &Absent {}, &out()).await.unwrap(), Undo::Done);
        assert_eq!(Bucket.rollback(&cx, &params, &Absent {}, &out()).await.unwrap(), Undo::Nothing);
    }
}
