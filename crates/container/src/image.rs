//! `container.image`: an image in a repository, under a tag.
//!
//! An image is known by the digest of its manifest, so sending it is what gives it its identity: `create` sends blobs
//! and manifest, under no tag. `settle` then moves the tag, from what it named before.
//!
//! ```text
//! capture: what the tag names -> create: PushImage (by digest) -> settle: still before? TagImage -> verify
//! rollback: RemoveImage (the tag as before, and the image gone that was not there before)
//! ```
//!
//! **Proof.** An image that is made here (`layout`, `build`) carries the run, the step and the generation as annotations
//! of its manifest: the proof is strong, and two runs that push the same content push two manifests of the same config and
//! layers. An image that comes in an `archive` is sent as it is, so that it keeps its digest and its signatures: the proof
//! is weak.
//!
//! The tag is an upsert: what it named before is put back. A registry where tags cannot be moved refuses that as what it
//! is. Registries delete an image with all its tags, so an image that has got other tags meanwhile is drift.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind, Reversibility};
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult, SecretRef};

use crate::ask::{At, Build, ImageFacts, RegistryAnswer, RegistryAsk, Source};
use crate::layout::Layout;
use crate::remote::{Name, moved};

/// How long an unanswered write may still land: a registry writes what it was sent, or does not.
const QUIET: std::time::Duration = std::time::Duration::from_secs(30);
/// Images are large, and builds slow.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(3600);
/// What ECR wants of whoever pushes, besides `GetAuthorizationToken`.
const ECR_PUSH: [&str; 7] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
];

/// An image in a repository, under a tag: from an archive, from a Dockerfile, or out of files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The repository: `HOST[:PORT]/NAME`, as `repository_uri` of `aws.ecr.repository` gives it.
    pub repository: String,
    /// Where the registry really is, `HOST[:PORT]`, when it is not the repository's host; empty: there. Plain HTTP
    /// on loopback, HTTPS anywhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The tag. What it names already is put back on the way back.
    pub tag: String,
    /// An image in a tar, as it is: an OCI image layout, or what `docker save` writes. A relative path begins where the
    /// command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// What a Docker-compatible engine makes of a Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// An image of these files and nothing else, without an engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The user of the registry; not of ECR, which is asked for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The digest that the tag named; none: there was no such tag.
    pub tagged: Option<String>,
    /// The digest that is to be sent, as far as it was known then: not of what has to be built.
    pub digest: Option<String>,
    /// Whether that image was in the repository.
    pub was_there: bool,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The image by its digest, for task definitions: `HOST/NAME@sha256:...`.
    pub image: String,
    /// The digest of its manifest.
    pub digest: String,
    /// The tag.
    pub tag: String,
    /// Bytes of the manifest and of all that it names.
    pub size: u64,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Image;

impl Params {
    fn at(&self) -> At {
        At {
            registry: self.registry.clone().filter(|registry| !registry.is_empty()),
            username: self.username.clone(),
            password: self.password.clone(),
        }
    }

    fn tagged(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    fn by(&self, digest: &str) -> String {
        format!("{}@{digest}", self.repository)
    }

    /// Whether ECR itself is meant, or may be: `*` stands for what is known only later.
    fn is_ecr(&self) -> bool {
        self.at().registry.is_none() && (self.repository.contains(".dkr.ecr.") || self.repository.starts_with('*'))
    }

    /// The repository in a policy of IAM.
    fn arn(&self) -> String {
        let name = Name::read(&self.repository).map_or("*", |name| name.name);
        format!("arn:{{partition}}:ecr:{{region}}:{{account}}:repository/{name}")
    }

    fn source(&self, cx: &Cx) -> OpResult<Source> {
        let marks: BTreeMap<String, String> = cx.ownership_tags().into();
        match (&self.archive, &self.build, &self.layout) {
            (Some(path), None, None) => Ok(Source::Archive { path: path.clone() }),
            (None, Some(build), None) => {
                let name = format!("switchback/build:{}", cx.token());
                Ok(Source::Build { name, build: build.clone(), marks })
            }
            (None, None, Some(layout)) => Ok(Source::Layout { layout: layout.clone(), marks }),
            _ => Err(OpError::permanent("an image is an `archive`, a `build` or a `layout`")),
        }
    }

    fn output(&self, facts: &ImageFacts) -> Output {
        Output { image: self.by(&facts.digest), digest: facts.digest.clone(), tag: self.tag.clone(), size: facts.size }
    }
}

fn surprised(answer: &RegistryAnswer) -> OpError {
    OpError::permanent(format!("a registry answered what was not asked: {answer:?}"))
}

async fn image(cx: &Cx, ask: RegistryAsk) -> OpResult<Option<ImageFacts>> {
    match cx.ask(ask).await? {
        RegistryAnswer::Image(facts) => Ok(facts),
        other => Err(surprised(&other)),
    }
}

/// Whether anything was changed.
async fn act(cx: &Cx, ask: RegistryAsk) -> OpResult<bool> {
    match cx.ask(ask).await? {
        RegistryAnswer::Done(done) => Ok(done),
        other => Err(surprised(&other)),
    }
}

async fn get(cx: &Cx, params: &Params, image_name: String) -> OpResult<Option<ImageFacts>> {
    image(cx, RegistryAsk::GetManifest { at: params.at(), image: image_name }).await
}

async fn tagged(cx: &Cx, params: &Params) -> OpResult<Option<String>> {
    Ok(get(cx, params, params.tagged()).await?.map(|facts| facts.digest))
}

impl Operation for Image {
    const KIND: &'static str = "container.image";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let mut rolls_back = vec!["registry:RemoveImage".into()];
        if params.build.is_some() {
            rolls_back.push("registry:RemoveBuild".into());
        }
        let mut reads = vec!["registry:GetManifest".into(), "registry:DescribeImage".into()];
        let (mut extra_actions, mut extra_undo_actions, mut arns) = (Vec::new(), Vec::new(), Vec::new());
        if params.is_ecr() {
            reads.push("ecr:GetAuthorizationToken".into());
            extra_actions.extend(ECR_PUSH.map(Into::into));
            arns.push(params.arn());
            extra_undo_actions.extend(["ecr:BatchDeleteImage", "ecr:PutImage"].map(Into::into));
        }
        Facts {
            reversibility: Reversibility::Reversible,
            residue: Vec::new(),
            // What is made here is marked.
            proof: if params.archive.is_some() { ProofKind::ByFind } else { ProofKind::Strong },
            unique: true,
            quiet: QUIET,
            create_deadline: DEADLINE,
            rollback_deadline: DEADLINE,
            reads,
            creates: vec!["registry:PushImage".into()],
            settles: vec!["registry:TagImage".into()],
            rolls_back,
            extra_actions,
            extra_undo_actions,
            arns,
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            repository: "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app".to_owned(),
            registry: None,
            tag: "v1".to_owned(),
            archive: None,
            build: None,
            layout: Some(Layout {
                files: BTreeMap::from([("/etc/app.conf".to_owned(), "port = 8080\n".to_owned())]),
                executables: BTreeMap::from([("/app".to_owned(), "#!/bin/sh\n".to_owned())]),
                entrypoint: vec!["/app".to_owned()],
                env: BTreeMap::from([("MODE".to_owned(), "production".to_owned())]),
                ..Layout::default()
            }),
            username: None,
            password: None,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        match Name::read(&params.repository) {
            Ok(name) if name.reference.is_empty() => {
                let is_plain = |part: &str| {
                    let letters =
                        part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
                    letters
                        && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && part.ends_with(|c: char| c.is_ascii_alphanumeric())
                };
                if !name.name.split('/').all(is_plain) {
                    wrong(
                        "repository",
                        format!(
                            "`{}` is not the name of a repository: small letters, digits, `._-` and `/`",
                            name.name
                        ),
                    );
                }
            }
            Ok(_) => wrong("repository", "has a tag or a digest of its own; the tag is a parameter".to_owned()),
            Err(error) => wrong("repository", error.message),
        }
        let begins = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_tag = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if params.tag.len() > 128 || !params.tag.starts_with(begins) || !params.tag.bytes().all(is_tag) {
            wrong("tag", format!("`{}` is not a tag: letters, digits and `._-`, 128 at most", params.tag));
        }
        let sources = [params.archive.is_some(), params.build.is_some(), params.layout.is_some()];
        if sources.iter().filter(|given| **given).count() != 1 {
            wrong("archive", "an image is one of `archive`, `build` and `layout`".to_owned());
        }
        for problem in params.layout.iter().flat_map(Layout::problems) {
            wrong("layout", problem);
        }
        if params.username.is_some() != params.password.is_some() {
            wrong("username", "goes with `password`, and the other way round".to_owned());
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        // First, since it needs nobody: an archive that is none, no engine.
        let described = image(cx, RegistryAsk::DescribeImage { source: params.source(cx)? }).await?;
        let tagged = tagged(cx, params).await?;
        let digest = described.map(|facts| facts.digest);
        let was_there = match &digest {
            Some(digest) => get(cx, params, params.by(digest)).await?.is_some(),
            None => false,
        };
        Ok(Before { tagged, digest, was_there })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let ask = RegistryAsk::PushImage {
            at: params.at(),
            repository: params.repository.clone(),
            source: params.source(cx)?,
            digest: before.digest.clone(),
        };
        let pushed = image(cx, ask).await?.ok_or_else(|| OpError::permanent("the registry took no image"))?;
        Ok(params.output(&pushed))
    }

    async fn settle(&self, cx: &Cx, params: &Params, before: &Before, output: &Output) -> OpResult<Output> {
        let now = tagged(cx, params).await?;
        if now.as_deref() == Some(output.digest.as_str()) {
            return Ok(output.clone());
        }
        if now != before.tagged {
            return Err(moved(&Name::read(&params.tagged())?, now.as_deref()));
        }
        let ask = RegistryAsk::TagImage { at: params.at(), image: params.tagged(), digest: output.digest.clone() };
        act(cx, ask).await?;
        Ok(output.clone())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let source = params.source(cx)?;
        let is_as_it_came = matches!(source, Source::Archive { .. });
        let digest = match &before.digest {
            Some(digest) => digest.clone(),
            // Nothing is sent before it is built, and what was built is kept until the way back.
            None => match image(cx, RegistryAsk::DescribeImage { source }).await? {
                Some(built) => built.digest,
                None => return Ok(Found::Absent),
            },
        };
        let Some(facts) = get(cx, params, params.by(&digest)).await? else { return Ok(Found::Absent) };
        if is_as_it_came && before.was_there && tagged(cx, params).await? == before.tagged {
            // It was there before: that it is there says nothing, and sending it again changes nothing.
            return Ok(Found::Absent);
        }
        // The marks are part of the digest: what has it is ours.
        let proof = if is_as_it_came { Proof::Weak } else { Proof::Strong };
        Ok(Found::Ours { output: params.output(&facts), proof })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, output: &Output) -> OpResult<Undo> {
        let mut acted = false;
        let now = tagged(cx, params).await?;
        let is_there = !before.was_there && get(cx, params, params.by(&output.digest)).await?.is_some();
        if now != before.tagged || is_there {
            let ask = RegistryAsk::RemoveImage {
                at: params.at(),
                image: params.tagged(),
                digest: output.digest.clone(),
                before: before.tagged.clone(),
                keep: before.was_there,
            };
            acted = act(cx, ask).await?;
        }
        if let Source::Build { name, .. } = params.source(cx)? {
            acted |= act(cx, RegistryAsk::RemoveBuild { name }).await?;
        }
        Ok(if acted { Undo::Done } else { Undo::Nothing })
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        output: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let tag = get(cx, params, params.tagged()).await?;
        let named = tag.as_ref().map(|facts| facts.digest.clone());
        let digest = output.map(|output| &output.digest).or(before.digest.as_ref());
        let there = match digest {
            Some(digest) => get(cx, params, params.by(digest)).await?,
            None => None,
        };
        let mut verdict = Verdict::new();
        verdict.observed = json!({
            "digest": there.as_ref().map(|facts| &facts.digest),
            "tag": named,
            "size": there.as_ref().map(|facts| facts.size),
            "media_type": there.as_ref().map(|facts| &facts.media_type),
        });
        Ok(match want {
            Expect::Created => verdict
                .compare("digest", json!(digest), json!(there.map(|facts| facts.digest)))
                .compare("tag", json!(digest), json!(named)),
            Expect::RolledBack => {
                // What somebody else lets the tag name later is theirs.
                let names_ours = named.is_some() && named.as_ref() == digest;
                let verdict = verdict.compare(
                    "tag names ours",
                    before.tagged.is_some() && before.tagged.as_ref() == digest,
                    names_ours,
                );
                verdict.compare("image is there", before.was_there, there.is_some())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut Params)) -> Vec<String> {
        let mut params = Image::example().unwrap();
        change(&mut params);
        Image.check(&params).err().unwrap_or_default().into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_checked() {
        assert_eq!(wrong(|_| {}), Vec::<String>::new());
        assert_eq!(wrong(|p| p.repository = "app".into()), ["repository"]);
        assert_eq!(wrong(|p| p.repository = "host/App".into()), ["repository"]);
        assert_eq!(wrong(|p| p.repository = "host/app:v1".into()), ["repository"]);
        assert_eq!(wrong(|p| p.tag = "-x".into()), ["tag"]);
        assert_eq!(wrong(|p| p.archive = Some("x.tar".into())), ["archive"]);
        assert_eq!(wrong(|p| p.layout = None), ["archive"]);
        assert_eq!(wrong(|p| p.username = Some("me".into())), ["username"]);
    }

    #[test]
    fn only_ecr_itself_needs_permissions_of_aws() {
        let params = Image::example().unwrap();
        assert!(Image.facts(&params).extra_undo_actions.contains(&"ecr:BatchDeleteImage".into()));
        assert_eq!(Image.facts(&params).arns, ["arn:{partition}:ecr:{region}:{account}:repository/team/app"]);
        let later = Params { repository: "*".into(), ..params.clone() };
        assert_eq!(Image.facts(&later).arns, ["arn:{partition}:ecr:{region}:{account}:repository/*"]);
        let local = Params { registry: Some("127.0.0.1:5000".into()), ..params.clone() };
        assert!(Image.facts(&local).extra_actions.is_empty());
        let none = Params { registry: Some(String::new()), ..params };
        assert!(!Image.facts(&none).extra_actions.is_empty(), "an empty registry is none");
    }
}
