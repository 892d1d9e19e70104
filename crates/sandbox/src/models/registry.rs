//! The model of a container registry that lets images be deleted, and of the engine that builds for it.
//!
//! What a source comes to is computed for files. For an archive and a build it is made up out of what names them: there
//! are neither files nor an engine in a rehearsal.

use std::collections::BTreeMap;

use serde_json::json;
use switchback_container::ask::{ImageFacts, RegistryAnswer, RegistryAsk, Source};
use switchback_container::layout::Layout;
use switchback_container::remote::{Name, cannot_untag, moved, shared};
use switchback_model::{OpError, OpResult};

use super::{Model, Modelled};

/// Repositories by their names, and what the engine has built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    repositories: BTreeMap<String, Repository>,
    builds: BTreeMap<String, Image>,
}

#[derive(Debug, Clone, Default)]
struct Repository {
    images: BTreeMap<String, Image>,
    /// What each names.
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Image {
    facts: ImageFacts,
    /// What it is without its annotations, which are another run's in another run.
    content: String,
}

impl Image {
    fn of(source: &Source) -> OpResult<Self> {
        let named = |kind: &str, text: String| Layout {
            files: BTreeMap::from([(format!("/{kind}"), text)]),
            ..Layout::default()
        };
        let none = BTreeMap::new();
        let (layout, marks) = match source {
            Source::Layout { layout, marks } => (layout.clone(), marks),
            Source::Archive { path } => (named("archive", path.clone()), &none),
            Source::Build { build, marks, .. } => (named("build", json!(build).to_string()), marks),
        };
        let content = layout.facts(&none).map_err(OpError::permanent)?.digest;
        Ok(Self { facts: layout.facts(marks).map_err(OpError::permanent)?, content })
    }
}

impl Repository {
    /// The digest of a tag or of a digest that is there.
    fn named(&self, reference: &str) -> Option<&Image> {
        self.images.get(self.tags.get(reference).map_or(reference, String::as_str))
    }

    /// Puts a tag back and takes the image away that it names.
    fn remove(&mut self, name: &Name<'_>, digest: &str, before: Option<&str>, keep: bool) -> OpResult<bool> {
        let now = self.tags.get(name.reference).map(String::as_str);
        let names_ours = now == Some(digest) && before != Some(digest);
        let mut acted = false;
        match before {
            _ if !names_ours && now != before => return Err(moved(name, now)),
            Some(old) if names_ours => {
                if !self.images.contains_key(old) {
                    return Err(OpError::permanent(format!("there is no image {old}")).with_code("MANIFEST_UNKNOWN"));
                }
                self.tags.insert(name.reference.to_owned(), old.to_owned());
                acted = true;
            }
            None if names_ours && keep => return Err(cannot_untag(name, digest)),
            _ => {}
        }
        if keep || !self.images.contains_key(digest) {
            return Ok(acted);
        }
        let ours = names_ours && before.is_none();
        let others = self.tags.iter().filter(|(tag, of)| *of == digest && !(ours && *tag == name.reference));
        let others: Vec<String> = others.map(|(tag, _)| tag.clone()).collect();
        if !others.is_empty() {
            return Err(shared(&format!("{}/{}", name.host, name.name), digest, &others));
        }
        self.tags.retain(|_, of| of != digest);
        self.images.remove(digest);
        Ok(true)
    }
}

impl Registry {
    /// The repository of an image, and its reference in it. It is there when something is pushed to it.
    fn find<'a>(&mut self, image: &'a str) -> OpResult<(&mut Repository, String, &'a str)> {
        let name = Name::read(image)?;
        let repository = format!("{}/{}", name.host, name.name);
        Ok((self.repositories.entry(repository.clone()).or_default(), repository, name.reference))
    }
}

impl Model for Registry {
    type Ask = RegistryAsk;

    fn answer(&mut self, ask: RegistryAsk) -> OpResult<RegistryAnswer> {
        let done = |done| Ok(RegistryAnswer::Done(done));
        match ask {
            RegistryAsk::GetManifest { image, .. } => {
                let (repository, _, reference) = self.find(&image)?;
                Ok(RegistryAnswer::Image(repository.named(reference).map(|image| image.facts.clone())))
            }
            RegistryAsk::DescribeImage { source } => Ok(RegistryAnswer::Image(match &source {
                Source::Build { name, .. } => self.builds.get(name).map(|image| image.facts.clone()),
                _ => Some(Image::of(&source)?.facts),
            })),
            RegistryAsk::PushImage { repository, source, digest, .. } => {
                let image = Image::of(&source)?;
                if let Some(wanted) = digest.filter(|wanted| *wanted != image.facts.digest) {
                    let text = format!("the image was {wanted} and is {} now", image.facts.digest);
                    return Err(OpError::permanent(text).with_code("SourceChanged"));
                }
                if let Source::Build { name, .. } = source {
                    self.builds.insert(name, image.clone());
                }
                let (repository, ..) = self.find(&repository)?;
                let facts = image.facts.clone();
                repository.images.insert(facts.digest.clone(), image);
                Ok(RegistryAnswer::Image(Some(facts)))
            }
            RegistryAsk::TagImage { image, digest, .. } => {
                let (repository, name, tag) = self.find(&image)?;
                if !repository.images.contains_key(&digest) {
                    return Err(
                        OpError::permanent(format!("{name} has no image {digest}")).with_code("MANIFEST_UNKNOWN")
                    );
                }
                repository.tags.insert(tag.to_owned(), digest);
                done(true)
            }
            RegistryAsk::RemoveImage { image, digest, before, keep, .. } => {
                let name = Name::read(&image)?;
                self.find(&image)?.0.remove(&name, &digest, before.as_deref(), keep).map(RegistryAnswer::Done)
            }
            RegistryAsk::RemoveBuild { name } => done(self.builds.remove(&name).is_some()),
        }
    }

    fn things(&self) -> Vec<Modelled> {
        let thing = |kind, id: String, image: &Image, attributes: BTreeMap<&'static str, serde_json::Value>| Modelled {
            kind,
            id,
            tags: image.facts.annotations.clone(),
            residue: false,
            attributes,
        };
        let mut things = Vec::new();
        for (name, repository) in &self.repositories {
            for (digest, image) in &repository.images {
                let attributes = BTreeMap::from([("name", json!(name)), ("content", json!(image.content))]);
                things.push(thing("image", format!("{name}@{digest}"), image, attributes));
            }
            for (tag, digest) in &repository.tags {
                let Some(image) = repository.images.get(digest) else { continue };
                let id = format!("{name}:{tag}");
                let attributes = BTreeMap::from([("name", json!(id)), ("content", json!(image.content))]);
                things.push(thing("image-tag", id, image, attributes));
            }
        }
        for (name, image) in &self.builds {
            let attributes = BTreeMap::from([("content", json!(image.content))]);
            things.push(thing("image-build", name.clone(), image, attributes));
        }
        things
    }

    fn meddle(&mut self, id: &str, delete: bool) -> bool {
        if delete && self.builds.remove(id).is_some() {
            return true;
        }
        let Ok((repository, _, reference)) = self.find(id) else { return false };
        let is_digest = repository.images.contains_key(reference);
        if delete && is_digest {
            repository.tags.retain(|_, of| of != reference);
            return repository.images.remove(reference).is_some();
        }
        if delete {
            return repository.tags.remove(reference).is_some();
        }
        // An image cannot be changed; a tag can name another one.
        if is_digest || !repository.tags.contains_key(reference) {
            return false;
        }
        let Ok(other) = Image::of(&Source::Archive { path: "somebody-else".to_owned() }) else { return false };
        repository.tags.insert(reference.to_owned(), other.facts.digest.clone());
        repository.images.insert(other.facts.digest.clone(), other);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    use switchback_container::ask::At;
    use switchback_container::remote::{EngineConfig, Registries};
    use switchback_engine::Cx;
    use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
    use switchback_engine::executor::Control;
    use switchback_engine::remote::Answers;
    use switchback_engine::secrets::Secrets;
    use switchback_model::record::Called;
    use switchback_model::{Generation, StepId};
    use tempfile::TempDir;

    use super::*;

    /// A registry of its own, with its own folder.
    struct Server {
        child: Child,
        address: SocketAddr,
        _folder: TempDir,
    }

    impl Server {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let config = json!({
                "version": "0.1",
                "log": {"level": "error", "accesslog": {"disabled": true}},
                "storage": {"filesystem": {"rootdirectory": folder.path()}, "delete": {"enabled": true}},
                "http": {"addr": address.to_string()},
            });
            let file = folder.path().join("config.yml");
            std::fs::write(&file, config.to_string()).unwrap();
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(&file).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().expect("install the Debian package docker-registry");
            let server = Self { child, address, _folder: folder };
            for _ in 0..1000 {
                if TcpStream::connect(address).is_ok() {
                    return server;
                }
                #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("the registry does not answer");
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    struct Nobody;

    impl Clock for Nobody {
        #[expect(clippy::disallowed_methods, reason = "nothing here asks for the time")]
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::now()
        }
    }

    impl Fence for Nobody {
        fn check(&self) -> OpResult<()> {
            Ok(())
        }
    }

    impl CxSink for Nobody {
        fn progress(&self, _: &StepId, _: &str) {}
        fn called(&self, _: &StepId, _: Generation, _: Called) {}
    }

    fn cx() -> Cx {
        let shared = RunCx {
            run: "00000000-0000-0000-0000-000000000007".parse().unwrap(),
            tag_prefix: "switchback".into(),
            clock: Arc::new(Nobody),
            contexts: Contexts::new().with::<Answers<RegistryAsk>>(Arc::new(Registries::new(EngineConfig::default()))),
            secrets: Secrets::none(),
            fence: Arc::new(Nobody),
            sink: Arc::new(Nobody),
            control: Control::new(),
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
        Cx::new(Arc::new(shared), StepId::new("a"), Generation::FIRST, "", deadline)
    }

    fn source(content: u64, run: u64) -> Source {
        let layout = Layout {
            executables: BTreeMap::from([("/app".into(), format!("#!/bin/sh\necho {content}\n"))]),
            entrypoint: vec!["/app".into()],
            ..Layout::default()
        };
        Source::Layout { layout, marks: BTreeMap::from([("switchback:run".to_owned(), run.to_string())]) }
    }

    /// A call out of a number: few things, so that they meet each other.
    fn any(number: u64, at: &At) -> RegistryAsk {
        let mut rest = number;
        let mut pick = |of: u64| {
            let n = rest % of;
            rest /= of;
            n
        };
        let (what, at) = (pick(10), at.clone());
        let repository = format!("registry.example/team/app-{}", pick(2));
        let source = source(pick(2), pick(2));
        let digest = Image::of(&source).unwrap().facts.digest;
        let image = format!("{repository}:v{}", pick(3));
        let by_digest = format!("{repository}@{digest}");
        match what {
            0 => RegistryAsk::GetManifest { at, image },
            1 => RegistryAsk::GetManifest { at, image: by_digest },
            2 => RegistryAsk::DescribeImage { source },
            3 | 4 => RegistryAsk::PushImage { at, repository, source, digest: Some(digest) },
            5 | 6 => RegistryAsk::TagImage { at, image, digest },
            7 | 8 => {
                let other = Image::of(&self::source(pick(2), pick(2))).unwrap().facts.digest;
                let before = [None, None, Some(other)][usize::try_from(pick(3)).unwrap()].clone();
                RegistryAsk::RemoveImage { at, image, digest, before, keep: pick(4) == 0 }
            }
            _ => RegistryAsk::PushImage { at, repository, source, digest: Some(format!("sha256:{}", "0".repeat(64))) },
        }
    }

    #[tokio::test]
    async fn it_answers_as_a_registry_does() {
        let server = Server::start();
        let at = At { registry: Some(server.address.to_string()), ..At::default() };
        let (cx, mut model, mut number) = (cx(), Registry::default(), 7_u64);
        let mut seen = BTreeMap::<String, usize>::new();
        for n in 0..600 {
            // Knuth's constants; the high bits are the better ones.
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let ask = any(number >> 33, &at);
            let told = model.answer(ask.clone()).map_err(|error| (error.class, error.code));
            let real = cx.ask(ask.clone()).await.map_err(|error| (error.class, error.code));
            assert_eq!(told, real, "call {n}: {ask:?}");
            let outcome = match told {
                Ok(RegistryAnswer::Image(found)) => format!("{}", found.is_some()),
                Ok(RegistryAnswer::Done(done)) => format!("{done}"),
                Err((class, _)) => class.to_string(),
            };
            *seen.entry(format!("{} {outcome}", switchback_engine::remote::Ask::action(&ask))).or_default() += 1;
        }
        // All that can come of a call did.
        let all = [
            "DescribeImage true",
            "GetManifest false",
            "GetManifest true",
            "PushImage permanent",
            "PushImage true",
            "RemoveImage drift",
            "RemoveImage false",
            "RemoveImage permanent",
            "RemoveImage true",
            "TagImage permanent",
            "TagImage true",
        ];
        assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), all, "{seen:?}");
    }

    #[test]
    fn what_is_built_is_there_until_it_is_removed() {
        let mut model = Registry::default();
        let build = serde_json::from_value(json!({"context": "."})).unwrap();
        let source = Source::Build { name: "b".into(), build, marks: BTreeMap::new() };
        let describe = RegistryAsk::DescribeImage { source: source.clone() };
        assert_eq!(model.answer(describe.clone()).unwrap(), RegistryAnswer::Image(None));
        let push = RegistryAsk::PushImage { at: At::default(), repository: "h/n".into(), source, digest: None };
        let pushed = model.answer(push).unwrap();
        assert_eq!(model.answer(describe).unwrap(), pushed);
        assert_eq!(model.things().len(), 2);
        let remove = RegistryAsk::RemoveBuild { name: "b".into() };
        assert_eq!(model.answer(remove.clone()).unwrap(), RegistryAnswer::Done(true));
        assert_eq!(model.answer(remove).unwrap(), RegistryAnswer::Done(false));
    }
}
