//! `aws.ecr.repository`: a repository of container images.
//!
//! Its images are made by whoever pushes to it, so a repository with images in it is not deleted, by force
//! or otherwise: that is drift, and says which images.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{
    EncryptionConfiguration as DescribedEncryption, ImageScanningConfiguration as DescribedScanning,
    Repository as Described, Tag,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, is_not_found, op_error};
use crate::ids::{KmsKeyArn, RepositoryArn, RepositoryName};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// How many tags of images a message names.
const MOST_NAMED: usize = 5;

/// An ECR repository: where images of one name are kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, `team/app`: 2 to 256 lower-case letters, digits and single `.`, `_`, `-` between them, in parts
    /// that `/` divides (`CreateRepository` repositoryName).
    pub repository_name: RepositoryName,
    /// Whether a tag can be moved to another image (`CreateRepository` imageTagMutability). AWS's default: `MUTABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<ImageTagMutability>,
    /// Whether images are scanned (`CreateRepository` imageScanningConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_scanning_configuration: Option<ImageScanningConfiguration>,
    /// How images are encrypted; cannot be changed later (`CreateRepository` encryptionConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_configuration: Option<EncryptionConfiguration>,
    /// Tags, beside those that say whose it is (`CreateRepository` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Whether a tag can be moved to another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageTagMutability {
    /// It can.
    Mutable,
    /// It cannot.
    Immutable,
}

/// Whether images are scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageScanningConfiguration {
    /// Whether each image is scanned when it is pushed. AWS's default: false.
    pub scan_on_push: bool,
}

/// How images are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncryptionConfiguration {
    /// By what.
    pub encryption_type: EncryptionType,
    /// The key, with `KMS` and `KMS_DSSE`. AWS's default: its own key for ECR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<KmsKeyArn>,
}

/// By what images are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EncryptionType {
    /// Keys of S3.
    #[serde(rename = "AES256")]
    Aes256,
    /// A key of KMS.
    #[serde(rename = "KMS")]
    Kms,
    /// A key of KMS, in two layers.
    #[serde(rename = "KMS_DSSE")]
    KmsDsse,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub repository_name: RepositoryName,
    /// Its ARN.
    pub repository_arn: RepositoryArn,
    /// What images are pushed to and pulled from, `123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app`.
    pub repository_uri: String,
    /// The registry that it is in: the account's id.
    pub registry_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Repository;

/// A repository, read, with its tags.
#[derive(Debug)]
pub(super) struct There {
    repository: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "ECR repository";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let described = client(cx)?.describe_repositories().repository_names(name).send().await;
        let described = described.map_err(|e| op_error(Call::new("ecr:DescribeRepositories", name), e));
        let Some(described) = found(described)? else { return Ok(None) };
        let named = |r: &Described| r.repository_name() == Some(name);
        let Some(repository) = described.repositories.unwrap_or_default().into_iter().find(named) else {
            return Ok(None);
        };
        let arn = repository.repository_arn().unwrap_or_default();
        let tags = client(cx)?.list_tags_for_resource().resource_arn(arn).send().await;
        let tags = tags.map_err(|e| op_error(Call::new("ecr:ListTagsForResource", arn), e));
        // Not found: it was deleted between the two calls.
        Ok(found(tags)?.map(|reply| Self { tags: tags::read(reply.tags().iter().map(pair)), repository }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.repository.repository_arn().unwrap_or_default()
    }
}

impl There {
    /// The registry that it is in: the account's id.
    pub(super) fn registry_id(&self) -> &str {
        self.repository.registry_id().unwrap_or_default()
    }
}

fn pair(tag: &Tag) -> (Option<&str>, Option<&str>) {
    (Some(tag.key()), Some(tag.value()))
}

fn output(repository: &Described) -> Output {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Output {
        repository_name: RepositoryName::new(text(repository.repository_name())),
        repository_arn: RepositoryArn::new(text(repository.repository_arn())),
        repository_uri: text(repository.repository_uri()),
        registry_id: text(repository.registry_id()),
    }
}

/// The images in it, in words: how many, and what they are tagged as. None when there are none.
async fn images(cx: &Cx, name: &str) -> OpResult<Option<String>> {
    let pages = client(cx)?.list_images().repository_name(name).into_paginator().items().send();
    let listed = pages.try_collect().await.map_err(|e| op_error(Call::new("ecr:ListImages", name), e));
    let Some(ids) = found::<Vec<_>>(listed)? else { return Ok(None) };
    let digests: BTreeSet<_> = ids.iter().map(|id| id.image_digest()).collect();
    let tags: BTreeSet<_> = ids.iter().filter_map(|id| id.image_tag()).collect();
    Ok((!ids.is_empty()).then(|| counted(digests.len(), &tags)))
}

fn counted(images: usize, tags: &BTreeSet<&str>) -> String {
    let mut text = if images == 1 { "1 image".to_owned() } else { format!("{images} images") };
    let named: Vec<_> = tags.iter().copied().take(MOST_NAMED).collect();
    if !named.is_empty() {
        text = format!("{text} (tagged {}", named.join(", "));
        text.push_str(if tags.len() > named.len() { ", ...)" } else { ")" });
    }
    text
}

/// The settings in the form of the parameters.
fn settings(repository: &Described) -> Value {
    json!({
        "image_tag_mutability": repository.image_tag_mutability().map(|m| m.as_str()),
        "image_scanning_configuration":
            repository.image_scanning_configuration().map(|s| json!({"scan_on_push": s.scan_on_push()})),
        "encryption_configuration": repository
            .encryption_configuration()
            .map(|e| json!({"encryption_type": e.encryption_type().as_str(), "kms_key": e.kms_key()})),
    })
}

impl Params {
    /// The settings that are asked for, by name.
    fn settings(&self) -> Vec<(&'static str, Value)> {
        let mutability = self.image_tag_mutability.map(|m| ("image_tag_mutability", json!(m)));
        let scanning = self.image_scanning_configuration.map(|s| ("image_scanning_configuration", json!(s)));
        let encryption = self.encryption_configuration.as_ref().map(|e| ("encryption_configuration", json!(e)));
        [mutability, scanning, encryption].into_iter().flatten().collect()
    }
}

impl ImageTagMutability {
    fn as_str(self) -> &'static str {
        match self {
            Self::Mutable => "MUTABLE",
            Self::Immutable => "IMMUTABLE",
        }
    }
}

impl EncryptionType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "KMS",
            Self::KmsDsse => "KMS_DSSE",
        }
    }
}

impl EncryptionConfiguration {
    fn to_sdk(&self) -> OpResult<DescribedEncryption> {
        DescribedEncryption::builder()
            .encryption_type(self.encryption_type.as_str().into())
            .set_kms_key(self.kms_key.as_ref().map(|k| k.as_str().to_owned()))
            .build()
            .map_err(|e| OpError::permanent(format!("the encryption configuration cannot be sent: {e}")))
    }
}

/// Holds a repository's name to AWS's rules.
pub(super) fn check_name(name: &RepositoryName, errors: &mut Vec<ParamError>) {
    let name = name.as_str();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    // Letters and digits, with single separators between them.
    let fits = |part: &str| part.split(['.', '_', '-']).all(|word| !word.is_empty() && word.chars().all(inner));
    if !(2..=256).contains(&name.len()) || !name.split('/').all(fits) {
        errors.push(ParamError::new(
            "repository_name",
            format!("{name:?} is not 2 to 256 lower-case letters and digits with single . _ - / between them"),
        ));
    }
}

/// The ARN of a repository of that name, as far as it is known before it is made.
pub(super) fn arn(name: &RepositoryName) -> String {
    format!("arn:{{partition}}:ecr:{{region}}:{{account}}:repository/{name}")
}

fn tag((key, value): (String, String)) -> OpResult<Tag> {
    let built = Tag::builder().key(&key).value(value).build();
    built.map_err(|e| OpError::permanent(format!("the tag {key} cannot be sent: {e}")))
}

impl Operation for Repository {
    const KIND: &'static str = "aws.ecr.repository";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the repository as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:ListImages"],
            creates: "ecr:CreateRepository",
            settles: Vec::new(),
            rolls_back: vec!["ecr:DeleteRepository"],
            besides: &["ecr:TagResource"],
        };
        let mut facts = Facts { unique: true, arns: vec![arn(&params.repository_name)], ..calls.into_facts() };
        let encryption = params.encryption_configuration.as_ref();
        if encryption.is_some_and(|e| e.encryption_type != EncryptionType::Aes256) {
            // ECR gives itself a grant on the key, and takes it back with the repository.
            facts.extra_actions.extend(["kms:DescribeKey".into(), "kms:CreateGrant".into()]);
            facts.extra_undo_actions.push("kms:RetireGrant".into());
        }
        facts
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            repository_name: RepositoryName::new("team/app"),
            image_tag_mutability: Some(ImageTagMutability::Immutable),
            image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: true }),
            encryption_configuration: Some(EncryptionConfiguration {
                encryption_type: EncryptionType::Kms,
                kms_key: Some(KmsKeyArn::new(key)),
            }),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(&params.repository_name, &mut errors);
        if let Some(encryption) = &params.encryption_configuration
            && let Some(key) = &encryption.kms_key
        {
            key.check("encryption_configuration", &mut errors);
            if encryption.encryption_type == EncryptionType::Aes256 {
                errors.push(ParamError::new("encryption_configuration", "a `kms_key` needs the type KMS or KMS_DSSE"));
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.repository_name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "repository_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.repository_name.as_str();
        let scanning =
            |s: ImageScanningConfiguration| DescribedScanning::builder().scan_on_push(s.scan_on_push).build();
        let encryption = params.encryption_configuration.as_ref().map(EncryptionConfiguration::to_sdk).transpose()?;
        let tags = tags::all(cx, &params.tags).into_iter().map(tag).collect::<OpResult<Vec<_>>>()?;
        let reply = client(cx)?
            .create_repository()
            .repository_name(name)
            .set_image_tag_mutability(params.image_tag_mutability.map(|m| m.as_str().into()))
            .set_image_scanning_configuration(params.image_scanning_configuration.map(scanning))
            .set_encryption_configuration(encryption)
            .set_tags(Some(tags))
            .send()
            .await
            .map_err(|e| {
                let mut error = op_error(Call::new("ecr:CreateRepository", name), e);
                // The key, or what its policy allows, may have been made a moment ago.
                if error.code.as_deref() == Some("KmsException") {
                    error.class = ErrorClass::Busy;
                }
                error
            })?;
        let repository = reply.repository().filter(|r| r.repository_arn().is_some());
        repository.map(output).ok_or_else(|| nameless("ecr:CreateRepository", name))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.repository_name.as_str(), |there| output(&there.repository)).await
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = out.repository_name.as_str();
        if named::ours::<There>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::emptied::<There, _>(cx, name, || images(cx, name)).await?;
        if named::ours::<There>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_repository().repository_name(name).send().await;
        match deleted.map_err(|e| op_error(Call::new("ecr:DeleteRepository", name), e)) {
            Ok(_) => {}
            Err(e) if is_not_found(&e) => return Ok(Undo::Nothing),
            // Pushed since the look, or not listed.
            Err(mut e) if e.code.as_deref() == Some("RepositoryNotEmptyException") => {
                e.class = ErrorClass::Drift;
                return Err(e.with_hint("move or remove the images, and unwind again"));
            }
            Err(e) => return Err(e),
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
        let name = params.repository_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else {
            return Ok(named::missing::<There>(name));
        };
        let now = settings(&there.repository);
        let mut verdict = named::verdict(cx, &there, &params.tags);
        for (what, wanted) in params.settings() {
            let got = asked::of_those(&wanted, &now[what]);
            verdict = verdict.compare(what, wanted, got);
        }
        verdict.observed = json!({
            "repository_name": name, "repository_arn": there.id(), "repository_uri": there.repository.repository_uri(),
            "registry_id": there.registry_id(), "settings": now, "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = Repository.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    const THERE: Answer =
        Answer::Reply(200, r#"{"repositories":[{"repositoryName":"app","repositoryArn":"arn:r","registryId":"1"}]}"#);
    const GONE: Answer = Answer::Reply(400, r#"{"__type":"RepositoryNotFoundException","message":"x"}"#);
    const OURS: Answer = Answer::Reply(
        200,
        concat!(
            r#"{"tags":[{"Key":"switchback:run","Value":"00000000-0000-0000-0000-000000000007"},"#,
            r#"{"Key":"switchback:step","Value":"repository"},{"Key":"switchback:generation","Value":"1"}]}"#
        ),
    );
    const OTHERS: Answer = Answer::Reply(200, r#"{"tags":[]}"#);
    const IMAGES: Answer = Answer::Reply(
        200,
        concat!(
            r#"{"imageIds":[{"imageDigest":"sha256:1","imageTag":"v1"},{"imageDigest":"sha256:1","imageTag":"v2"},"#,
            r#"{"imageDigest":"sha256:2"}]}"#
        ),
    );
    const EMPTY: Answer = Answer::Reply(200, r#"{"imageIds":[]}"#);

    fn made() -> Output {
        Output {
            repository_name: RepositoryName::new("app"),
            repository_arn: RepositoryArn::new("arn:r"),
            repository_uri: "uri".to_owned(),
            registry_id: "1".to_owned(),
        }
    }

    fn app() -> Params {
        params(json!({"repository_name": "app"}))
    }

    #[test]
    fn the_example_is_valid() {
        Repository.check(&Repository::example().unwrap()).unwrap();
    }

    #[test]
    fn names_are_held_to_the_rules() {
        for (name, fine) in [
            ("app", true),
            ("team/app.web_1-x", true),
            ("1a", true),
            ("a", false),
            ("App", false),
            ("team//app", false),
            ("-app", false),
            ("app-", false),
            ("a--b", false),
            ("/app", false),
            ("a b", false),
        ] {
            assert_eq!(wrong(json!({"repository_name": name})).is_empty(), fine, "{name}");
        }
        assert_eq!(wrong(json!({"repository_name": "a".repeat(257)})), ["repository_name"]);
        let key = "arn:aws:kms:us-east-1:123456789012:key/a";
        let with = |by: Value| wrong(json!({"repository_name": "app", "encryption_configuration": by}));
        assert!(with(json!({"encryption_type": "KMS", "kms_key": key})).is_empty());
        assert_eq!(with(json!({"encryption_type": "AES256", "kms_key": key})), ["encryption_configuration"]);
        assert_eq!(with(json!({"encryption_type": "KMS", "kms_key": "alias/x"})), ["encryption_configuration"]);
    }

    #[test]
    fn what_was_read_has_the_form_of_the_parameters() {
        let wanted = Repository::example().unwrap();
        let repository = Described::builder()
            .image_tag_mutability("IMMUTABLE".into())
            .image_scanning_configuration(DescribedScanning::builder().scan_on_push(true).build())
            .encryption_configuration(wanted.encryption_configuration.as_ref().unwrap().to_sdk().unwrap())
            .build();
        let now = settings(&repository);
        assert_eq!(wanted.settings().len(), 3);
        for (what, wanted) in wanted.settings() {
            assert_eq!(now[what], wanted, "{what}");
        }
        // AWS names the key that it chose.
        let chosen = json!({"encryption_type": "KMS"});
        assert_eq!(asked::of_those(&chosen, &now["encryption_configuration"]), chosen);
    }

    #[test]
    fn a_key_asks_for_permissions_on_keys() {
        assert_eq!(Repository.facts(&app()).extra_actions, ["ecr:TagResource"]);
        let facts = Repository.facts(&Repository::example().unwrap());
        assert!(facts.extra_actions.contains(&"kms:CreateGrant".into()));
        assert_eq!(facts.extra_undo_actions, ["kms:RetireGrant"]);
        assert_eq!(facts.arns, ["arn:{partition}:ecr:{region}:{account}:repository/team/app"]);
    }

    #[test]
    fn images_are_counted_and_named() {
        assert_eq!(counted(1, &BTreeSet::new()), "1 image");
        assert_eq!(counted(2, &BTreeSet::from(["v1", "v2"])), "2 images (tagged v1, v2)");
        let many = BTreeSet::from(["1", "2", "3", "4", "5", "6"]);
        assert_eq!(counted(6, &many), "6 images (tagged 1, 2, 3, 4, 5, ...)");
    }

    #[tokio::test]
    async fn whose_it_is_is_in_its_tags() {
        let script = Script::new([THERE, OURS, THERE, OTHERS, THERE, GONE, GONE]);
        let cx = watched("repository", script.config()).await.0;
        let found = async || Repository.find(&cx, &app(), &Absent {}).await.unwrap();
        assert!(matches!(found().await, Found::Ours { .. }));
        assert!(matches!(found().await, Found::Foreign { .. }));
        assert!(matches!(found().await, Found::Absent), "deleted between the two calls");
        assert!(matches!(found().await, Found::Absent));
    }

    #[tokio::test(start_paused = true)]
    async fn a_repository_with_images_is_drift_and_never_deleted() {
        let look = [THERE, OURS].into_iter().chain(std::iter::repeat_n(IMAGES, 100));
        let (cx, watch) = watched("repository", Script::new(look).config()).await;
        let error = Repository.rollback(&cx, &app(), &Absent {}, &made()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(error.message.contains("holds 2 images (tagged v1, v2)"), "{error}");
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "DeleteRepository"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_image_that_was_pushed_since_is_drift() {
        let pushed = Answer::Reply(400, r#"{"__type":"RepositoryNotEmptyException","message":"x"}"#);
        let script = Script::new([THERE, OURS, EMPTY, THERE, OURS, pushed]);
        let cx = watched("repository", script.config()).await.0;
        let error = Repository.rollback(&cx, &app(), &Absent {}, &made()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_waits_until_it_is_gone_and_leaves_what_is_not_ours() {
        let deleted = Answer::Reply(200, "{}");
        let script = Script::new([THERE, OURS, EMPTY, THERE, OURS, deleted, THERE, OURS, GONE, GONE, THERE, OTHERS]);
        let cx = watched("repository", script.config()).await.0;
        let rollback = async || Repository.rollback(&cx, &app(), &Absent {}, &made()).await;
        assert_eq!(rollback().await.unwrap(), Undo::Done);
        assert_eq!(rollback().await.unwrap(), Undo::Nothing);
        assert_eq!(rollback().await.unwrap_err().class, ErrorClass::Drift);
    }
}
