//! `aws.ssm.parameter`: a parameter of the Parameter Store.
//!
//! Where nothing is there before, it is made with its tags, and they say whose it is. Where a parameter is
//! there and `overwrite` allows it, it is given another value: AWS takes no tags then, so what says whose the value is
//! is the value itself. A secure string is known by its version instead: its value is never read but to restore
//! it, then out of the history and straight into the call.

use std::collections::BTreeMap;

use aws_sdk_ssm::operation::put_parameter::builders::PutParameterFluentBuilder;
use aws_sdk_ssm::types::{
    Parameter as Described, ParameterMetadata, ParameterStringFilter, ParameterTier, ResourceTypeForTagging, Tag,
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

use crate::calls::Calls;
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::{KmsKeyArn, ParameterArn, ParameterName};
use crate::named::{self, Named, POLL};
use crate::rds::without_secret;
use crate::tags::{self, Tags};

/// The longest value of a parameter of the standard tier, in bytes.
const LONGEST_VALUE: usize = 4096;
/// The longest description.
const LONGEST_DESCRIPTION: usize = 1024;
/// The longest name, with its path.
const LONGEST_NAME: usize = 1011;
/// The most parts of a name.
const DEEPEST: usize = 15;

/// A parameter of the Parameter Store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, `/app/config/db-host`: letters, digits and `.-_`, in up to 15 parts (`PutParameter` Name).
    pub name: ParameterName,
    /// What kind of value it has (`PutParameter` Type).
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The value, up to 4096 bytes: a text, or for a `SecureString` a secret input (`PutParameter` Value).
    pub value: Given,
    /// What it is for, up to 1024 characters (`PutParameter` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The key that encrypts a `SecureString` (`PutParameter` KeyId). AWS's default: `alias/aws/ssm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KmsKeyArn>,
    /// Whether a parameter that is there already is given this value, and gets its own back when the step is undone
    /// (`PutParameter` Overwrite). The default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// Tags, beside those that say whose it is; one that is there already keeps those that it has (`PutParameter`
    /// Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What kind of value a parameter has; cannot be changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A text.
    String,
    /// Texts, with commas between them.
    StringList,
    /// A text that is encrypted.
    SecureString,
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Given {
    /// A secret input.
    Secret(SecretRef),
    /// A text that is not secret.
    Text(String),
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The parameter; none where nothing was there.
    pub parameter: Option<Was>,
}

/// A parameter as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Was {
    /// The version of its value.
    pub version: i64,
    /// The value; none of a secure string, which is found in the history by its version.
    pub value: Option<String>,
    /// What it was for.
    pub description: Option<String>,
    /// The key that encrypted it.
    pub key_id: Option<String>,
    /// What its value had to match.
    pub allowed_pattern: Option<String>,
    /// Such as `Standard`.
    pub tier: Option<String>,
    /// Such as `text`.
    pub data_type: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub name: ParameterName,
    /// The version that this step made.
    pub version: i64,
    /// Its ARN, once it has been read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<ParameterArn>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parameter;

/// A parameter, read, with its tags. The value of a secure string is read encrypted.
#[derive(Debug)]
struct There {
    now: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "parameter";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let Some(now) = described(cx, name).await? else { return Ok(None) };
        let kind = ResourceTypeForTagging::Parameter;
        let read = client(cx)?.list_tags_for_resource().resource_type(kind).resource_id(name).send().await;
        match read.map_err(|e| op_error(Call::new("ssm:ListTagsForResource", name), e)) {
            Ok(reply) => {
                let tags = tags::read(reply.tag_list().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
                Ok(Some(Self { now, tags }))
            }
            // It was deleted between the two calls.
            Err(e) if e.code.as_deref() == Some("InvalidResourceId") => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.arn().unwrap_or_default()
    }
}

fn client(cx: &Cx) -> OpResult<aws_sdk_ssm::Client> {
    Ok(cx.get::<AwsContext>()?.ssm(cx))
}

/// The parameter and its value, which of a secure string is encrypted.
async fn described(cx: &Cx, name: &str) -> OpResult<Option<Described>> {
    let read = client(cx)?.get_parameter().name(name).with_decryption(false).send().await;
    let read = found(read.map_err(|e| op_error(Call::new("ssm:GetParameter", name), e)))?;
    Ok(read.and_then(|reply| reply.parameter))
}

/// What it is beside its value.
async fn metadata(cx: &Cx, name: &str) -> OpResult<Option<ParameterMetadata>> {
    let filter = ParameterStringFilter::builder().key("Name").option("Equals").values(name).build();
    let filter = filter.map_err(|e| OpError::permanent(format!("a filter cannot be sent: {e}")))?;
    // A page can be empty although there is a next one.
    let mut pages = client(cx)?.describe_parameters().parameter_filters(filter).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("ssm:DescribeParameters", name), e))?;
        let mut entries = page.parameters.into_iter().flatten();
        if let Some(entry) = entries.find(|entry| entry.name() == Some(name)) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The values that it has had, by their versions, decrypted.
async fn history(cx: &Cx, name: &str) -> OpResult<BTreeMap<i64, SecretString>> {
    let mut pages = client(cx)?.get_parameter_history().name(name).with_decryption(true).into_paginator().send();
    let mut values = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("ssm:GetParameterHistory", name), e))?;
        let entries = page.parameters.into_iter().flatten();
        values.extend(entries.filter_map(|entry| Some((entry.version, SecretString::from(entry.value?)))));
    }
    Ok(values)
}

/// A parameter that was there before, as it is now.
#[derive(Debug)]
struct Now {
    version: i64,
    value: Option<String>,
    description: Option<String>,
}

/// `value` is none of a secure string, as in a before-image.
async fn now(cx: &Cx, params: &Params) -> OpResult<Option<(Now, ParameterMetadata)>> {
    let name = params.name.as_str();
    let Some(read) = described(cx, name).await? else { return Ok(None) };
    let Some(about) = metadata(cx, name).await? else { return Ok(None) };
    let value = if params.is_secure() { None } else { read.value };
    let now = Now { version: read.version, value, description: about.description.clone() };
    Ok(Some((now, about)))
}

/// Where a parameter stands that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it was before, which is not what is asked for.
    Before,
    /// As asked for.
    Ours,
    /// As asked for, and it was so before.
    Both,
    /// Something else, or gone.
    Moved,
}

/// A secure string stands as its version says: the next one after that of before is ours.
fn standing(params: &Params, was: &Was, now: Option<&Now>) -> Standing {
    let Some(now) = now else { return Standing::Moved };
    let (as_before, as_ours) = match &params.value {
        Given::Secret(_) => (now.version == was.version, now.version == was.version + 1),
        Given::Text(text) => {
            let value = (now.value.as_deref(), now.description.as_deref());
            let description = params.description.as_deref().or(was.description.as_deref());
            let before = (was.value.as_deref(), was.description.as_deref());
            (value == before, value == (Some(text.as_str()), description))
        }
    };
    match (as_before, as_ours) {
        (true, true) => Standing::Both,
        (true, false) => Standing::Before,
        (false, true) => Standing::Ours,
        (false, false) => Standing::Moved,
    }
}

/// The same of a secure string on the way back, where the version that was put is known and the value of before may
/// be there under a new version: by what the versions say. With the value to restore.
async fn secure_standing(
    cx: &Cx,
    params: &Params,
    was: &Was,
    out: Option<&Output>,
) -> OpResult<(Standing, Option<SecretString>)> {
    let name = params.name.as_str();
    let Some(read) = described(cx, name).await? else { return Ok((Standing::Moved, None)) };
    if read.version == was.version {
        return Ok((Standing::Before, None));
    }
    let mut values = history(cx, name).await?;
    let value = |version: i64| values.get(&version).map(ExposeSecret::expose_secret);
    let now = value(read.version);
    let put = out.map_or(was.version + 1, |out| out.version);
    let standing = match now {
        None => Standing::Moved,
        // Also where both are the same.
        Some(_) if now == value(was.version) => Standing::Before,
        Some(_) if now == value(put) => Standing::Ours,
        Some(_) => Standing::Moved,
    };
    Ok((standing, values.remove(&was.version)))
}

impl Params {
    fn is_secure(&self) -> bool {
        self.kind == Kind::SecureString
    }

    fn overwrites(&self) -> bool {
        self.overwrite == Some(true)
    }

    fn about(&self) -> String {
        format!("parameter `{}`", self.name)
    }

    fn output(&self, version: i64, arn: Option<&str>) -> Output {
        Output { name: self.name.clone(), version, arn: arn.map(ParameterArn::new) }
    }
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::StringList => "StringList",
            Self::SecureString => "SecureString",
        }
    }
}

/// A call that gives the parameter what the step asks for, and leaves the rest of what was there as it is.
fn put(cx: &Cx, params: &Params, was: Option<&Was>) -> OpResult<PutParameterFluentBuilder> {
    let call = client(cx)?.put_parameter().name(params.name.as_str()).r#type(params.kind.as_str().into());
    let call = call.set_description(params.description.clone());
    let call = call.set_key_id(params.key_id.as_ref().map(|key| key.as_str().to_owned()));
    let call = match &params.value {
        Given::Text(text) => call.value(text),
        Given::Secret(of) => call.value(cx.secret(of)?.expose_secret()),
    };
    Ok(match was {
        None => call.overwrite(false),
        Some(was) => {
            let description = params.description.clone().or_else(|| was.description.clone());
            let key = params.key_id.as_ref().map(|key| key.as_str().to_owned()).or_else(|| was.key_id.clone());
            rest(call, was).set_description(description).set_key_id(key)
        }
    })
}

/// What a call that overwrites says of what it does not change.
fn rest(call: PutParameterFluentBuilder, was: &Was) -> PutParameterFluentBuilder {
    call.overwrite(true)
        .set_allowed_pattern(was.allowed_pattern.clone())
        .set_tier(was.tier.as_deref().map(ParameterTier::from))
        .set_data_type(was.data_type.clone())
}

/// Gives it back what it was.
async fn restore(cx: &Cx, params: &Params, was: &Was, secret: Option<&SecretString>) -> OpResult<()> {
    let name = params.name.as_str();
    let Some(value) = secret.map(ExposeSecret::expose_secret).or(was.value.as_deref()) else {
        let message = format!("version {} of {}, the value to restore, is no longer kept", was.version, params.about());
        return Err(OpError::drift(message).with_hint("set the value by hand, and unwind again"));
    };
    let call = client(cx)?.put_parameter().name(name).r#type(params.kind.as_str().into()).value(value);
    let call = rest(call, was).set_description(was.description.clone()).set_key_id(was.key_id.clone());
    let put = call.send().await.map_err(|e| op_error(Call::new("ssm:PutParameter", name), e));
    put.map_err(|e| without_secret(e, secret)).map(|_| ())
}

impl Operation for Parameter {
    const KIND: &'static str = "aws.ssm.parameter";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        const READS: &[&str] = &["ssm:GetParameter", "ssm:ListTagsForResource", "ssm:DescribeParameters"];
        const WITH_HISTORY: &[&str] =
            &["ssm:GetParameter", "ssm:ListTagsForResource", "ssm:DescribeParameters", "ssm:GetParameterHistory"];
        let restores_secret = params.overwrites() && params.is_secure();
        let calls = Calls {
            reads: if restores_secret { WITH_HISTORY } else { READS },
            creates: "ssm:PutParameter",
            settles: Vec::new(),
            rolls_back: vec!["ssm:DeleteParameter"],
            besides: match params.key_id {
                Some(_) => &["ssm:AddTagsToResource", "kms:Encrypt", "kms:GenerateDataKey"],
                None => &["ssm:AddTagsToResource"],
            },
        };
        let mut undo = Vec::new();
        if params.overwrites() {
            undo.push("ssm:PutParameter".into());
        }
        if restores_secret {
            undo.extend(["kms:Decrypt".into(), "kms:Encrypt".into()]);
        }
        let path = params.name.as_str().trim_start_matches('/');
        Facts {
            proof: if params.overwrites() { ProofKind::ByFind } else { ProofKind::Strong },
            unique: !params.overwrites(),
            extra_undo_actions: undo,
            arns: vec![format!("arn:{{partition}}:ssm:{{region}}:{{account}}:parameter/{path}")],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            name: ParameterName::new("/app/config/api-token"),
            kind: Kind::SecureString,
            value: Given::Secret(SecretRef::of_input("api_token")),
            description: Some("What the application shows to the API".to_owned()),
            key_id: Some(KmsKeyArn::new(key)),
            overwrite: Some(true),
            tags: Tags::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let name = params.name.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
        if !(1..=LONGEST_NAME).contains(&name.len()) || !name.chars().all(fits) || name.ends_with('/') {
            wrong(
                "name",
                format!("{name:?} is not 1 to {LONGEST_NAME} letters, digits and . - _, with / between parts"),
            );
        }
        if name.contains('/') && !name.starts_with('/') {
            wrong("name", "a name with parts begins with `/`".to_owned());
        }
        if name.matches('/').count() > DEEPEST {
            wrong("name", format!("a name has up to {DEEPEST} parts"));
        }
        let first = name.trim_start_matches('/').to_ascii_lowercase();
        if first.starts_with("aws") || first.starts_with("ssm") {
            wrong("name", "names that begin with `aws` or `ssm` are AWS's own".to_owned());
        }
        match (&params.value, params.is_secure()) {
            (Given::Text(_), true) => {
                wrong("value", "a `SecureString` takes a secret input: this would be stored and shown".to_owned());
            }
            (Given::Secret(_), false) => {
                wrong("value", format!("a secret wants `type: SecureString`, not {}", params.kind.as_str()));
            }
            (Given::Text(text), false) if !(1..=LONGEST_VALUE).contains(&text.len()) => {
                wrong("value", format!("has 1 to {LONGEST_VALUE} bytes, this has {}", text.len()));
            }
            _ => {}
        }
        if params.description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
            wrong("description", format!("has up to {LONGEST_DESCRIPTION} characters"));
        }
        if params.key_id.is_some() && !params.is_secure() {
            wrong("key_id", "only a `SecureString` is encrypted".to_owned());
        }
        if let Some(key) = &params.key_id {
            key.check("key_id", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let name = params.name.as_str();
        if !params.overwrites() {
            named::capture::<There>(cx, name)
                .await
                .map_err(|e| if e.class == ErrorClass::Foreign { e.with_hint(OVERWRITE) } else { e })?;
            return Ok(Before { parameter: None });
        }
        let Some((now, about)) = now(cx, params).await? else { return Ok(Before { parameter: None }) };
        let kind = about.r#type().map_or("unknown", |kind| kind.as_str());
        if kind != params.kind.as_str() {
            let message = format!("{} is a {kind}, and cannot become a {}", params.about(), params.kind.as_str());
            return Err(OpError::permanent(message).with_hint("give the step its type, or another name"));
        }
        if !about.policies().is_empty() {
            let message = format!("{} has policies, which another value would not keep", params.about());
            return Err(OpError::permanent(message).with_hint("give the step another name"));
        }
        Ok(Before {
            parameter: Some(Was {
                version: now.version,
                value: now.value,
                description: now.description,
                tier: about.tier().map(|tier| tier.as_str().to_owned()),
                key_id: about.key_id,
                allowed_pattern: about.allowed_pattern,
                data_type: about.data_type,
            }),
        })
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        // What is overwritten may be there; and whether it is, is not known yet.
        let overwrites = known.get("overwrite").is_some_and(|value| *value != Value::Bool(false));
        if overwrites { Ok(()) } else { named::foresee::<There>(cx, known, "name").await }
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let name = params.name.as_str();
        let was = before.parameter.as_ref();
        let mut call = put(cx, params, was)?;
        match was {
            None => {
                let tags = tags::all(cx, &params.tags).into_iter();
                let tags: Result<Vec<_>, _> =
                    tags.map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
                call = call.set_tags(Some(tags.map_err(|e| OpError::permanent(format!("a tag cannot be sent: {e}")))?));
            }
            Some(was) => {
                let now = now(cx, params).await?.map(|(now, _)| now);
                match standing(params, was, now.as_ref()) {
                    Standing::Before => {}
                    Standing::Both => return Ok(params.output(was.version, None)),
                    Standing::Ours => {
                        let message = format!("{} says already what it should", params.about());
                        return Err(OpError::new(ErrorClass::AlreadyExists, message));
                    }
                    Standing::Moved => {
                        return Err(OpError::drift(format!("{} was changed since it was looked at", params.about())));
                    }
                }
            }
        }
        let secret = match &params.value {
            Given::Secret(of) => Some(cx.secret(of)?),
            Given::Text(_) => None,
        };
        let reply = call.send().await.map_err(|e| op_error(Call::new("ssm:PutParameter", name), e));
        let reply = reply.map_err(|e| {
            let mut error = without_secret(e, secret);
            // A key that was made a moment ago is not seen everywhere yet.
            if params.key_id.is_some() && error.code.as_deref() == Some("InvalidKeyId") {
                error.class = ErrorClass::Busy;
            }
            error
        })?;
        Ok(params.output(reply.version(), None))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Output> {
        let there = named::existing::<There>(cx, out.name.as_str()).await?;
        Ok(params.output(out.version, there.now.arn()))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let Some(was) = &before.parameter else {
            let output = |there: &There| params.output(there.now.version(), there.now.arn());
            return named::find::<There, _>(cx, params.name.as_str(), output).await;
        };
        let now = now(cx, params).await?;
        let arn = now.as_ref().and_then(|(_, about)| about.arn().map(str::to_owned));
        let now = now.map(|(now, _)| now);
        let version = now.as_ref().map_or(was.version, |now| now.version);
        let output = params.output(version, arn.as_deref());
        Ok(match standing(params, was, now.as_ref()) {
            Standing::Before => Found::Absent,
            // What was so before is left so by `rollback`: there is nothing to prove.
            Standing::Both => Found::Ours { output, proof: Proof::Strong },
            Standing::Ours => Found::Ours { output, proof: Proof::Weak },
            Standing::Moved if now.is_none() => Found::Foreign { what: format!("a deleted {}", params.about()) },
            Standing::Moved => Found::Foreign { what: format!("{} with another value", params.about()) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, out: &Output) -> OpResult<Undo> {
        match &before.parameter {
            None => remove(cx, params, out).await,
            Some(was) => take_back(cx, params, was, out).await,
        }
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name.as_str();
        match (want, &before.parameter) {
            (Expect::RolledBack, None) => return named::verify_gone::<There>(cx, name).await,
            (Expect::RolledBack, Some(was)) => return verify_restored(cx, params, was, out).await,
            (Expect::Created, _) => {}
        }
        let Some(there) = There::read(cx, name).await? else {
            return Ok(named::missing::<There>(name));
        };
        let mut verdict = match before.parameter {
            None => named::verdict(cx, &there, &params.tags),
            Some(_) => Verdict::new().compare("exists", true, true),
        };
        let kind = there.now.r#type().map(|kind| kind.as_str());
        verdict = verdict.compare("type", params.kind.as_str(), kind);
        match (&params.value, out) {
            (Given::Text(text), _) => verdict = verdict.compare("value", text.as_str(), there.now.value()),
            (Given::Secret(_), Some(out)) => {
                verdict = verdict.compare("version", out.version, there.now.version());
            }
            (Given::Secret(_), None) => {}
        }
        let mut observed = json!({
            "name": name, "arn": there.now.arn(), "type": kind, "version": there.now.version(), "tags": there.tags(),
        });
        if !params.is_secure() {
            observed["value"] = json!(there.now.value());
        }
        if params.description.is_some() || params.key_id.is_some() {
            let about = metadata(cx, name).await?;
            let about = about.as_ref();
            if let Some(description) = &params.description {
                let got = about.and_then(|about| about.description());
                verdict = verdict.compare("description", description.as_str(), got);
                observed["description"] = json!(got);
            }
            if let Some(key) = &params.key_id {
                let got = about.and_then(|about| about.key_id());
                verdict = verdict.compare("key_id", key.as_str(), got);
                observed["key_id"] = json!(got);
            }
        }
        verdict.observed = observed;
        Ok(verdict)
    }
}

const OVERWRITE: &str = "give it another name, leave the step out, or let it give way: `overwrite: true`";

/// Deletes what this step made, as long as it has the value that this step gave it.
async fn remove(cx: &Cx, params: &Params, out: &Output) -> OpResult<Undo> {
    let name = params.name.as_str();
    let Some(there) = named::ours::<There>(cx, name).await? else { return Ok(Undo::Nothing) };
    let is_ours = match &params.value {
        Given::Text(text) => there.now.value() == Some(text.as_str()),
        Given::Secret(_) => there.now.version() == out.version,
    };
    if !is_ours {
        let message = format!("{} was given another value since this step made it", params.about());
        return Err(OpError::drift(message).with_hint("see who put it there and whether it is used, and delete it"));
    }
    let deleted = client(cx)?.delete_parameter().name(name).send().await;
    if found(deleted.map_err(|e| op_error(Call::new("ssm:DeleteParameter", name), e)))?.is_none() {
        return Ok(Undo::Nothing);
    }
    named::wait_until_gone::<There>(cx, name, POLL).await?;
    Ok(Undo::Done)
}

/// Restores the value that was there before, as long as the one that is there is that of this step.
async fn take_back(cx: &Cx, params: &Params, was: &Was, out: &Output) -> OpResult<Undo> {
    let (standing, secret) = restorable(cx, params, was, Some(out)).await?;
    match standing {
        Standing::Before | Standing::Both => return Ok(Undo::Nothing),
        Standing::Ours => {}
        Standing::Moved => {
            return Err(OpError::drift(format!(
                "{} is gone or has another value: it is neither what this run wrote nor what was there before",
                params.about()
            )));
        }
    }
    restore(cx, params, was, secret.as_ref()).await?;
    let look = || async {
        let (standing, _) = restorable(cx, params, was, Some(out)).await?;
        Ok((standing == Standing::Before).then_some(()))
    };
    cx.wait_for(&format!("waiting until {} is as it was", params.about()), POLL, look).await?;
    Ok(Undo::Done)
}

/// Where it stands on the way back, and the secret to restore.
async fn restorable(
    cx: &Cx,
    params: &Params,
    was: &Was,
    out: Option<&Output>,
) -> OpResult<(Standing, Option<SecretString>)> {
    if params.is_secure() {
        return secure_standing(cx, params, was, out).await;
    }
    let now = now(cx, params).await?.map(|(now, _)| now);
    Ok((standing(params, was, now.as_ref()), None))
}

async fn verify_restored(cx: &Cx, params: &Params, was: &Was, out: Option<&Output>) -> OpResult<Verdict> {
    let (standing, _) = restorable(cx, params, was, out).await?;
    let as_before = matches!(standing, Standing::Before | Standing::Both);
    Ok(Verdict::new().compare(format!("{} is as it was in version {}", params.about(), was.version), true, as_before))
}

#[cfg(test)]
mod tests {
    use switchback_engine::secrets::Secrets;

    use super::*;
    use crate::testing::{Answer, Script, knowing, watched};

    const DONE: Answer = Answer::Reply(200, r#"{"Version":2,"Tier":"Standard"}"#);
    const GONE: Answer = Answer::Reply(400, r#"{"__type":"ParameterNotFound","message":"x"}"#);

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn host() -> Params {
        params(json!({"name": "/app/host", "type": "String", "value": "b", "overwrite": true}))
    }

    fn token() -> SecretRef {
        SecretRef { source: "TOKEN".into(), version: None, fingerprint: "f".into() }
    }

    fn secure() -> Params {
        params(json!({"name": "/app/host", "type": "SecureString", "value": token(), "overwrite": true}))
    }

    fn was(value: Option<&str>) -> Was {
        Was {
            version: 4,
            value: value.map(str::to_owned),
            description: None,
            key_id: None,
            allowed_pattern: None,
            tier: Some("Standard".to_owned()),
            data_type: Some("text".to_owned()),
        }
    }

    fn before(value: Option<&str>) -> Before {
        Before { parameter: Some(was(value)) }
    }

    fn out(version: i64) -> Output {
        Output { name: ParameterName::new("/app/host"), version, arn: None }
    }

    fn has(version: i64, value: &str) -> Answer {
        reply(&json!({"Parameter": {"Name": "/app/host", "Type": "String", "Value": value, "Version": version,
            "ARN": "arn:aws:ssm:us-east-1:123456789012:parameter/app/host"}}))
    }

    fn about() -> Answer {
        reply(&json!({"Parameters": [{"Name": "/app/host", "Type": "String", "Tier": "Standard"}]}))
    }

    fn past(values: &[&str]) -> Answer {
        let all = (4..).zip(values).map(|(version, value)| json!({"Version": version, "Value": value}));
        reply(&json!({"Parameters": all.collect::<Vec<_>>()}))
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = Parameter.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        Parameter.check(&Parameter::example().unwrap()).unwrap();
        let of = |name: &str| json!({"name": name, "type": "String", "value": "x"});
        for name in ["/a/b-c_d.e", "plain", &"/a".repeat(15)] {
            assert!(wrong(of(name)).is_empty(), "{name}");
        }
        for name in ["", "a b", "a/b", "/a/", "/aws/x", "SSM-x", &"/a".repeat(16)] {
            assert_eq!(wrong(of(name)), ["name"], "{name}");
        }
        for (kind, value, fine) in [
            ("String", json!("x"), true),
            ("StringList", json!("x,y"), true),
            ("String", json!(""), false),
            ("String", json!("x".repeat(4097)), false),
            ("String", json!(token()), false),
            ("SecureString", json!("x"), false),
            ("SecureString", json!(token()), true),
        ] {
            assert_eq!(wrong(json!({"name": "a", "type": kind, "value": value})).is_empty(), fine, "{kind}");
        }
        let key = "arn:aws:kms:us-east-1:123456789012:key/1";
        assert_eq!(wrong(json!({"name": "a", "type": "String", "value": "x", "key_id": key})), ["key_id"]);
    }

    #[test]
    fn the_facts_follow_from_whether_it_gives_way() {
        let facts = Parameter.facts(&host());
        assert_eq!((facts.proof, facts.unique), (ProofKind::ByFind, false));
        assert_eq!(facts.extra_undo_actions, ["ssm:PutParameter"]);
        assert_eq!(facts.arns, ["arn:{partition}:ssm:{region}:{account}:parameter/app/host"]);
        let facts = Parameter.facts(&params(json!({"name": "host", "type": "String", "value": "b"})));
        assert_eq!((facts.proof, facts.unique), (ProofKind::Strong, true));
        assert_eq!(facts.arns, ["arn:{partition}:ssm:{region}:{account}:parameter/host"]);
    }

    #[test]
    fn a_value_is_ours_or_was_there_or_has_moved() {
        let now = |version, value: &str| Now { version, value: Some(value.to_owned()), description: None };
        let same = was(Some("b"));
        for (was, now, want) in [
            (&was(Some("a")), Some(now(4, "a")), Standing::Before),
            (&was(Some("a")), Some(now(5, "b")), Standing::Ours),
            (&was(Some("a")), Some(now(5, "c")), Standing::Moved),
            (&was(Some("a")), None, Standing::Moved),
            (&same, Some(now(4, "b")), Standing::Both),
        ] {
            assert_eq!(standing(&host(), was, now.as_ref()), want, "{now:?}");
        }
        let now = |version| Some(Now { version, value: None, description: None });
        for (version, want) in [(4, Standing::Before), (5, Standing::Ours), (6, Standing::Moved)] {
            assert_eq!(standing(&secure(), &was(None), now(version).as_ref()), want, "{version}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_moved_is_not_written_over() {
        let script = Script::new([has(5, "c"), about(), has(5, "b"), about(), has(5, "c"), about()]);
        let (cx, _) = watched("host", script.config()).await;
        let class = async || Parameter.create(&cx, &host(), &before(Some("a"))).await.unwrap_err().class;
        assert_eq!(class().await, ErrorClass::Drift);
        assert_eq!(class().await, ErrorClass::AlreadyExists);
        let undone = Parameter.rollback(&cx, &host(), &before(Some("a")), &out(5)).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(script.requests(), 6, "nothing is written");
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_value_is_restored() {
        let script = Script::new([has(5, "b"), about(), DONE, has(6, "a"), about(), has(6, "a"), about()]);
        let (cx, _) = watched("host", script.config()).await;
        let before = before(Some("a"));
        assert_eq!(Parameter.rollback(&cx, &host(), &before, &out(5)).await.unwrap(), Undo::Done);
        assert_eq!(Parameter.rollback(&cx, &host(), &before, &out(5)).await.unwrap(), Undo::Nothing);
        let body: Value = serde_json::from_str(&script.bodies.lock().unwrap()[2]).unwrap();
        assert_eq!(
            (&body["Value"], &body["Overwrite"], &body["Tier"]),
            (&json!("a"), &json!(true), &json!("Standard"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_secure_string_is_restored_from_the_history_and_never_kept() {
        let old = before(None);
        assert!(!serde_json::to_string(&old).unwrap().contains("secret-a"));
        let given = Secrets::new([(token(), "secret-b".into())]);
        let (ours, back) = (past(&["secret-a", "secret-b"]), past(&["secret-a", "secret-b", "secret-a"]));
        let moved = past(&["secret-a", "secret-b", "secret-c"]);
        let script =
            Script::new([has(5, "x"), ours, DONE, has(6, "x"), back.clone(), has(6, "x"), back, has(6, "x"), moved]);
        let (cx, _) = knowing("host", script.config(), given).await;
        assert_eq!(Parameter.rollback(&cx, &secure(), &old, &out(5)).await.unwrap(), Undo::Done);
        assert_eq!(Parameter.rollback(&cx, &secure(), &old, &out(5)).await.unwrap(), Undo::Nothing);
        let error = Parameter.rollback(&cx, &secure(), &old, &out(5)).await.unwrap_err();
        assert!(error.class == ErrorClass::Drift && !error.message.contains("secret-"), "{error}");
        assert!(script.bodies.lock().unwrap()[2].contains("secret-a"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_gives_way_only_when_told_to() {
        let untagged = reply(&json!({"TagList": []}));
        let script = Script::new([has(4, "a"), untagged, has(4, "a"), about(), GONE]);
        let (cx, _) = watched("host", script.config()).await;
        let error = Parameter.capture(&cx, &Params { overwrite: None, ..host() }).await.unwrap_err();
        assert!(error.class == ErrorClass::Foreign && error.hint.unwrap().contains("overwrite: true"));
        let old = Parameter.capture(&cx, &host()).await.unwrap();
        assert_eq!(old.parameter.unwrap().value.as_deref(), Some("a"));
        assert_eq!(Parameter.capture(&cx, &host()).await.unwrap(), Before { parameter: None });
    }
}
