//! `aws.s3.object`: an object, made of text or of an archive of text files.
//!
//! Whose it is stands in its metadata: that is written by the call that makes it, and cannot be changed without making
//! another object. `If-None-Match: *` makes the call fail on a key that is taken. On the way back a version is deleted by
//! its id; where the bucket has no versions, `If-Match` sees to it that what is deleted is what was read.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{check_bucket, client};
use crate::calls::{Absent, Calls};
use crate::errors::{Call, found, op_error};
use crate::ids::{BucketName, ObjectKey};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};
use crate::zip;

/// The metadata that says what an object holds: a SHA-256 digest in base 64.
const DIGEST: &str = "switchback-sha256";

/// An S3 object, made of text or of text files in a zip archive.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The bucket (`PutObject` Bucket).
    pub bucket: BucketName,
    /// The key: 1 to 1024 bytes (`PutObject` Key).
    pub key: ObjectKey,
    /// What it holds, as text. This or `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The text files of the zip archive that it holds, by their names in it. The same files make the same bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What kind of content it is (`PutObject` ContentType). By default: `text/plain` for text, `application/zip` for
    /// files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// Its entity tag, with the quotes.
    pub etag: String,
    /// The version that this step made, where the bucket has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The SHA-256 digest of what it holds, in base 64: what Lambda calls the CodeSha256.
    pub sha256: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Object;

/// An object's head, read. It is called by bucket and key with a slash between them, which no bucket's name has.
#[derive(Debug)]
struct There {
    name: String,
    head: HeadObjectOutput,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "S3 object";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        version(cx, name, None).await
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.name
    }
}

/// The head of a version, or of the newest one.
async fn version(cx: &Cx, name: &str, version: Option<&str>) -> OpResult<Option<There>> {
    let (bucket, key) = name.split_once('/').unwrap_or((name, ""));
    let sent =
        client(cx)?.head_object().bucket(bucket).key(key).set_version_id(version.map(str::to_owned)).send().await;
    let head = found(sent.map_err(|e| op_error(Call::new("s3:HeadObject", name), e)))?;
    Ok(head.map(|head| There { name: name.to_owned(), tags: marks(cx, &head), head }))
}

/// The name of the metadata that stands for a tag: a header has no colon in its name.
fn mark(tag: &str) -> String {
    tag.replace(':', "-")
}

/// Whose it is, as tags say it.
fn marks(cx: &Cx, head: &HeadObjectOutput) -> Tags {
    let held = |tag: String| Some((tag.clone(), head.metadata()?.get(&mark(&tag))?.clone()));
    cx.ownership_tags().into_iter().filter_map(|(tag, _)| held(tag)).collect()
}

impl Params {
    fn name(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    fn body(&self) -> Vec<u8> {
        match &self.content {
            Some(content) => content.clone().into_bytes(),
            None => zip::archive(&self.files),
        }
    }

    fn content_type(&self) -> &str {
        let usual = if self.content.is_some() { "text/plain; charset=utf-8" } else { "application/zip" };
        self.content_type.as_deref().unwrap_or(usual)
    }

    fn output(&self, etag: Option<&str>, version_id: Option<&str>) -> Output {
        Output {
            bucket: self.bucket.clone(),
            key: self.key.clone(),
            etag: etag.unwrap_or_default().to_owned(),
            // What S3 calls the version of an object in a bucket that once had none.
            version_id: version_id.filter(|id| *id != "null").map(str::to_owned),
            sha256: zip::sha256(&self.body()),
        }
    }
}

/// The newest version if it is this step's, or the one that the step made, under whatever was put on top of it.
async fn ours(cx: &Cx, name: &str, out: &Output) -> OpResult<Option<There>> {
    let Some(id) = &out.version_id else { return named::ours::<There>(cx, name).await };
    let made = version(cx, name, Some(id)).await?;
    match made.filter(|there| tags::are_of_step(cx, there.tags())) {
        Some(there) => Ok(Some(there)),
        // Gone; what else there is under that key is no business of ours.
        None => Ok(None),
    }
}

impl Operation for Object {
    const KIND: &'static str = "aws.s3.object";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// S3 shows an object as soon as the call is answered.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["s3:HeadObject"],
            creates: "s3:PutObject",
            settles: Vec::new(),
            rolls_back: vec!["s3:DeleteObject"],
            besides: &[],
        };
        let arns = vec![format!("arn:{{partition}}:s3:::{}", params.name())];
        Facts { unique: true, arns, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            bucket: BucketName::new("app-artifacts-123456789012"),
            key: ObjectKey::new("rollback-handler.zip"),
            content: None,
            files: BTreeMap::from([(
                "rollback.py".to_owned(),
                "def handler(event, context):\n    return {}\n".to_owned(),
            )]),
            content_type: Some("application/zip".to_owned()),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_bucket(&params.bucket, &mut errors);
        let key = params.key.as_str();
        if !(1..=1024).contains(&key.len()) || key.split('/').any(|part| part == "." || part == "..") {
            let message = format!("{key:?} is not a key: 1 to 1024 bytes, and no part of it is `.` or `..`");
            errors.push(ParamError::new("key", message));
        }
        if params.content.is_some() != params.files.is_empty() {
            errors.push(ParamError::new("content", "give either `content` or `files`"));
        }
        zip::check(&params.files, "files", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let text = |field: &str| known.get(field).and_then(Value::as_str);
        match text("bucket").zip(text("key")) {
            Some((bucket, key)) => named::capture::<There>(cx, &format!("{bucket}/{key}")).await.map(|_| ()),
            None => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let (name, body) = (params.name(), params.body());
        let marks = cx.ownership_tags().into_iter().map(|(tag, value)| (mark(&tag), value));
        let metadata = marks.chain([(DIGEST.to_owned(), zip::sha256(&body))]).collect();
        let put = client(cx)?
            .put_object()
            .bucket(params.bucket.as_str())
            .key(params.key.as_str())
            .if_none_match("*")
            .content_type(params.content_type())
            .set_metadata(Some(metadata))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|e| op_error(Call::new("s3:PutObject", &name).just_made(), e))?;
        Ok(params.output(put.e_tag(), put.version_id()))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let output = |there: &There| params.output(there.head.e_tag(), there.head.version_id());
        named::find::<There, _>(cx, &params.name(), output).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = params.name();
        let Some(there) = ours(cx, &name, out).await? else { return Ok(Undo::Nothing) };
        let delete = client(cx)?.delete_object().bucket(params.bucket.as_str()).key(params.key.as_str());
        let delete = match &out.version_id {
            Some(id) => delete.version_id(id),
            None => delete.set_if_match(there.head.e_tag().map(str::to_owned)),
        };
        match delete.send().await.map_err(|e| op_error(Call::new("s3:DeleteObject", &name), e)) {
            Ok(_) => {}
            Err(e) if e.code.as_deref() == Some("PreconditionFailed") => {
                return Err(OpError::drift(format!("S3 object `{name}` was replaced while it was being deleted")));
            }
            Err(e) => return found::<()>(Err(e)).map(|_| Undo::Nothing),
        }
        let look = || async { Ok(ours(cx, &name, out).await?.is_none().then_some(())) };
        cx.wait_for(&format!("waiting until S3 object `{name}` is gone"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name();
        if want == Expect::RolledBack {
            let verdict = named::verify_gone::<There>(cx, &name).await?;
            let Some(id) = out.and_then(|out| out.version_id.as_deref()) else { return Ok(verdict) };
            let there = version(cx, &name, Some(id)).await?;
            return Ok(verdict.compare(format!("version {id} of S3 object `{name}` exists"), false, there.is_some()));
        }
        let Some(there) = There::read(cx, &name).await? else { return Ok(named::missing::<There>(&name)) };
        let digest = there.head.metadata().and_then(|held| held.get(DIGEST));
        let body = params.body();
        let mut verdict = named::verdict(cx, &there, &Tags::new())
            .compare("sha256", zip::sha256(&body), digest.cloned())
            .compare("content_length", body.len(), there.head.content_length())
            .compare("content_type", params.content_type(), there.head.content_type());
        if let Some(out) = out {
            verdict = verdict.compare("etag", out.etag.as_str(), there.head.e_tag());
        }
        verdict.observed = json!({
            "bucket": params.bucket, "key": params.key, "etag": there.head.e_tag(), "version_id": there.head.version_id(),
            "sha256": digest, "content_length": there.head.content_length(), "content_type": there.head.content_type(),
        });
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

    fn text() -> Params {
        params(json!({"bucket": "app", "key": "a/b", "content": "hello"}))
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |value: Value| {
            let errors = Object.check(&params(value)).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(json!({"bucket": "app", "key": "a", "content": ""})).is_empty());
        assert_eq!(wrong(json!({"bucket": "app", "key": "a"})), ["content"]);
        assert_eq!(wrong(json!({"bucket": "app", "key": "a", "content": "", "files": {"a": ""}})), ["content"]);
        assert_eq!(wrong(json!({"bucket": "app", "key": "../a", "content": ""})), ["key"]);
        assert_eq!(wrong(json!({"bucket": "app", "key": "a", "files": {"/a": ""}})), ["files"]);
    }

    #[test]
    fn the_digest_is_known_before_it_is_made() {
        assert_eq!(text().output(None, None).sha256, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
        assert_eq!(text().output(None, Some("null")).version_id, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_taken_is_refused_by_the_call() {
        let taken = Answer::Reply(412, "<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>");
        let script = Script::new([taken, Answer::Reply(200, "")]);
        let cx = watched("object", script.config()).await.0;
        let error = Object.create(&cx, &text(), &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::AlreadyExists);
        // An object without the marks of the step.
        assert!(matches!(Object.find(&cx, &text(), &Absent {}).await.unwrap(), Found::Foreign { .. }));
        assert!(script.bodies.lock().unwrap()[0].contains("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_replaced_stays() {
        let script = Script::new([Answer::Reply(200, ""), Answer::Reply(404, "")]);
        let cx = watched("object", script.config()).await.0;
        let out = text().output(Some("\"e\""), None);
        let error = Object.rollback(&cx, &text(), &Absent {}, &out).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert_eq!(Object.rollback(&cx, &text(), &Absent {}, &out).await.unwrap(), Undo::Nothing);
    }
}
