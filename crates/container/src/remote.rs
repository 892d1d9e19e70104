//! Who answers the calls of registries: a registry over HTTP, ECR, and a container engine.

use std::path::PathBuf;
use std::sync::Arc;

use aws_sdk_ecr::types::ImageIdentifier;
use secrecy::ExposeSecret as _;
use switchback_aws::AwsContext;
use switchback_aws::errors::{Call, op_error};
use switchback_engine::Cx;
use switchback_engine::operation::BoxFuture;
use switchback_engine::remote::Remote;
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::api::{Caller, Clients, Repository, sensitive};
use crate::archive;
use crate::ask::{At, ImageFacts, RegistryAnswer, RegistryAsk, Source};
pub use crate::engine::EngineConfig;
use crate::picture::Picture;

/// Registries, and the engine of this machine.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    engine: EngineConfig,
    clients: Arc<Clients>,
}

/// An image by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name<'a> {
    /// `HOST[:PORT]`.
    pub host: &'a str,
    /// The repository in it.
    pub name: &'a str,
    /// A tag or a digest; empty of a repository.
    pub reference: &'a str,
}

impl<'a> Name<'a> {
    /// Reads `HOST/NAME`, `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn read(text: &'a str) -> OpResult<Self> {
        let wrong =
            || OpError::permanent(format!("`{text}` names no image: HOST/NAME is wanted, with a tag or a digest"));
        let (host, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, reference) = rest.split_once('@').or_else(|| rest.rsplit_once(':')).unwrap_or((rest, ""));
        if host.is_empty() || name.is_empty() { Err(wrong()) } else { Ok(Self { host, name, reference }) }
    }

    /// The region of a repository in ECR.
    fn ecr_region(&self) -> Option<&'a str> {
        let (_, rest) = self.host.split_once(".dkr.ecr.")?;
        rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
    }
}

impl Registries {
    /// With this engine for builds.
    #[must_use]
    pub fn new(engine: EngineConfig) -> Self {
        Self { engine, clients: Arc::default() }
    }

    async fn open(&self, cx: &Cx, at: &At, name: &Name<'_>, writes: bool) -> OpResult<Repository> {
        let host = at.registry.as_deref().unwrap_or(name.host);
        let caller = match (&at.username, &at.password) {
            (Some(user), Some(password)) => {
                Caller::User { name: user.clone(), password: cx.secret(password)?.expose_secret().to_owned() }
            }
            _ if at.registry.is_none() && name.ecr_region().is_some() => ecr_token(cx, name).await?,
            _ => Caller::Anonymous,
        };
        Repository::open(&self.clients, host, name.name, caller, writes).await
    }

    /// An image, or none where it is to be built and was not.
    async fn picture(&self, source: &Source) -> OpResult<Option<Picture>> {
        match source {
            Source::Layout { layout, marks } => marked(layout.picture(), marks).map(Some),
            Source::Build { name, marks, .. } => {
                let built = self.engine.built(name).await?;
                built.map(|picture| marked(picture, marks)).transpose()
            }
            Source::Archive { path } => {
                let file = PathBuf::from(path);
                let read = tokio::task::spawn_blocking(move || archive::read(&file)).await;
                let read = read.map_err(|error| error.to_string()).and_then(|read| read);
                let wrong = |why| OpError::permanent(format!("the archive `{path}`: {why}")).with_code("Archive");
                read.map(Some).map_err(wrong)
            }
        }
    }

    async fn push(
        &self,
        cx: &Cx,
        at: &At,
        repository: &str,
        source: &Source,
        digest: Option<&str>,
    ) -> OpResult<ImageFacts> {
        let name = Name::read(repository)?;
        let picture = match (self.picture(source).await?, source) {
            (Some(picture), _) => Some(picture),
            (None, Source::Build { name, build, .. }) => {
                cx.progress(&format!("building {name}"));
                self.engine.build(name, build).await?;
                self.picture(source).await?
            }
            (None, _) => None,
        };
        let picture = picture.ok_or_else(|| OpError::permanent("the engine built no image"))?;
        if let Some(wanted) = digest.filter(|wanted| **wanted != picture.root.digest) {
            let text = format!("the image was {wanted} and is {} now", picture.root.digest);
            return Err(OpError::permanent(text)
                .with_code("SourceChanged")
                .with_hint("give the image that was planned"));
        }
        let registry = self.open(cx, at, &name, true).await?;
        for (n, blob) in (1..).zip(&picture.blobs) {
            cx.progress(&format!("pushing blob {n} of {} ({} bytes)", picture.blobs.len(), blob.size));
            registry.push_blob(blob).await?;
        }
        for manifest in picture.manifests.iter().chain([&picture.root]) {
            registry.put_manifest(&manifest.digest, manifest).await?;
        }
        if let Source::Build { name, .. } = source {
            self.engine.forget(name).await;
        }
        Ok(picture.facts())
    }

    async fn tag(&self, cx: &Cx, at: &At, image: &str, digest: &str) -> OpResult<bool> {
        let name = Name::read(image)?;
        let registry = self.open(cx, at, &name, true).await?;
        let manifest = registry.manifest(digest).await?.ok_or_else(|| not_there(&name, digest))?;
        registry.put_manifest(name.reference, &manifest).await.map(|()| true)
    }

    async fn remove(
        &self,
        cx: &Cx,
        at: &At,
        name: &Name<'_>,
        digest: &str,
        before: Option<&str>,
        keep: bool,
    ) -> OpResult<bool> {
        let registry = self.open(cx, at, name, true).await?;
        let is_ecr = at.registry.is_none() && name.ecr_region().is_some();
        let now = registry.manifest(name.reference).await?.map(|it| it.digest);
        let names_ours = now.as_deref() == Some(digest) && before != Some(digest);
        let mut acted = false;
        match before {
            _ if !names_ours && now.as_deref() != before => return Err(moved(name, now.as_deref())),
            Some(old) if names_ours => {
                let manifest = registry.manifest(old).await?.ok_or_else(|| not_there(name, old))?;
                registry.put_manifest(name.reference, &manifest).await?;
                acted = true;
            }
            None if names_ours && is_ecr && !keep => {
                // ECR takes away one tag of several, and the image with its last one.
                let tag = ImageIdentifier::builder().image_tag(name.reference).build();
                acted = ecr_delete(cx, name, tag).await?;
            }
            None if names_ours && keep => return Err(cannot_untag(name, digest)),
            _ => {}
        }
        if keep || registry.manifest(digest).await?.is_none() {
            return Ok(acted);
        }
        let ours = names_ours && before.is_none();
        let others = registry.other_tags(digest, ours.then_some(name.reference)).await?;
        if !others.is_empty() {
            return Err(shared(&format!("{}/{}", name.host, name.name), digest, &others));
        }
        let gone = if is_ecr {
            ecr_delete(cx, name, ImageIdentifier::builder().image_digest(digest).build()).await?
        } else {
            registry.delete(digest).await?
        };
        Ok(acted || gone)
    }
}

fn marked(picture: Picture, marks: &std::collections::BTreeMap<String, String>) -> OpResult<Picture> {
    picture.marked(marks).map_err(OpError::permanent)
}

fn not_there(name: &Name<'_>, digest: &str) -> OpError {
    OpError::permanent(format!("{}/{} has no image {digest}", name.host, name.name))
        .with_code("MANIFEST_UNKNOWN")
        .with_hint("it was deleted meanwhile: push it again, or set the tag by hand")
}

/// The refusal to delete an image that other tags name.
#[must_use]
pub fn shared(repository: &str, digest: &str, tags: &[String]) -> OpError {
    OpError::drift(format!("the image {digest} in {repository} has other tags too: {}", tags.join(", ")))
        .with_code("OtherTags")
        .with_hint("a registry deletes an image with all its tags: see who uses these, and remove them")
}

/// The refusal to move a tag that somebody else has moved.
#[must_use]
pub fn moved(name: &Name<'_>, now: Option<&str>) -> OpError {
    let now = now.map_or_else(|| "was removed".to_owned(), |digest| format!("names {digest} now"));
    OpError::drift(format!("somebody else moved the tag {}/{}:{}: it {now}", name.host, name.name, name.reference))
        .with_code("TagMoved")
        .with_hint("see what the tag is for, and set it as it should be")
}

/// The refusal to take a tag away from an image that was there before it.
#[must_use]
pub fn cannot_untag(name: &Name<'_>, digest: &str) -> OpError {
    let Name { host, name, reference } = name;
    let text =
        format!("the tag {host}/{name}:{reference} cannot be taken away alone: the image {digest} was there before");
    OpError::permanent(text)
        .with_code("CannotUntag")
        .with_hint("remove the tag by hand where the registry can, or let it be (`mark-done`)")
}

async fn ecr_token(cx: &Cx, name: &Name<'_>) -> OpResult<Caller> {
    let context = cx.get::<AwsContext>()?;
    let region = name.ecr_region().unwrap_or_default();
    if region != context.region() {
        return Err(OpError::permanent(format!("{} is in {region}, the target is in {}", name.host, context.region()))
            .with_hint("give the step a target in the region of its repository"));
    }
    let reply = context.ecr(cx).get_authorization_token().send().await;
    let reply = reply.map_err(|e| op_error(Call::new("ecr:GetAuthorizationToken", name.host), e))?;
    let token = reply.authorization_data().first().and_then(|data| data.authorization_token());
    let header = token.and_then(|token| sensitive(&format!("Basic {token}")).ok());
    header
        .map(Caller::Header)
        .ok_or_else(|| OpError::new(ErrorClass::Unavailable, "ECR gave no token that can be used").with_code("NoToken"))
}

async fn ecr_delete(cx: &Cx, name: &Name<'_>, which: ImageIdentifier) -> OpResult<bool> {
    let client = cx.get::<AwsContext>()?.ecr(cx);
    let registry_id = name.host.split('.').next().unwrap_or_default();
    let reply = client.batch_delete_image().registry_id(registry_id).repository_name(name.name).image_ids(which).send();
    let reply = reply.await.map_err(|e| op_error(Call::new("ecr:BatchDeleteImage", name.name), e))?;
    match reply.failures().first() {
        None => Ok(true),
        Some(failure) if failure.failure_code().is_some_and(|code| code.as_str() == "ImageNotFound") => Ok(false),
        Some(failure) => {
            let code = failure.failure_code().map_or("Unknown", |code| code.as_str());
            let why = failure.failure_reason().unwrap_or_default();
            Err(OpError::permanent(format!("an image in {} was not deleted: {why}", name.name)).with_code(code))
        }
    }
}

impl Remote<RegistryAsk> for Registries {
    fn ask<'a>(&'a self, cx: &'a Cx, ask: RegistryAsk) -> BoxFuture<'a, OpResult<RegistryAnswer>> {
        Box::pin(async move {
            Ok(match ask {
                RegistryAsk::GetManifest { at, image } => {
                    let name = Name::read(&image)?;
                    let registry = self.open(cx, &at, &name, false).await?;
                    RegistryAnswer::Image(registry.facts(name.reference).await?)
                }
                RegistryAsk::DescribeImage { source } => {
                    RegistryAnswer::Image(self.picture(&source).await?.map(|picture| picture.facts()))
                }
                RegistryAsk::PushImage { at, repository, source, digest } => {
                    let pushed = self.push(cx, &at, &repository, &source, digest.as_deref()).await?;
                    RegistryAnswer::Image(Some(pushed))
                }
                RegistryAsk::TagImage { at, image, digest } => {
                    RegistryAnswer::Done(self.tag(cx, &at, &image, &digest).await?)
                }
                RegistryAsk::RemoveImage { at, image, digest, before, keep } => {
                    let name = Name::read(&image)?;
                    RegistryAnswer::Done(self.remove(cx, &at, &name, &digest, before.as_deref(), keep).await?)
                }
                RegistryAsk::RemoveBuild { name } => RegistryAnswer::Done(self.engine.remove(&name).await?),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_read() {
        let name = |text| Name::read(text).map(|it| (it.host, it.name, it.reference)).ok();
        assert_eq!(name("127.0.0.1:5000/team/app:v1"), Some(("127.0.0.1:5000", "team/app", "v1")));
        assert_eq!(name("host/app@sha256:ab"), Some(("host", "app", "sha256:ab")));
        assert_eq!(name("host:1/app"), Some(("host:1", "app", "")));
        assert_eq!(name("app"), None);
        assert_eq!(name("host/"), None);
        let of = |text| Name::read(text).unwrap().ecr_region().map(str::to_owned);
        assert_eq!(of("1.dkr.ecr.eu-west-1.amazonaws.com/x:y").as_deref(), Some("eu-west-1"));
        assert_eq!(of("registry.example/x:y"), None);
    }
}
