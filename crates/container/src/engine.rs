//! A Docker-compatible engine: builds an image out of a folder, and hands it out as an archive.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{BuildImageOptions, RemoveImageOptions};
use futures_util::StreamExt as _;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::io::AsyncWriteExt as _;

use crate::archive;
use crate::ask::Build;
use crate::picture::Picture;
use crate::tar::Writer;

/// Where engines listen when nobody says it.
const USUAL: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// How an engine is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// `unix:///run/docker.sock` or `tcp://HOST:PORT`; none: the usual sockets of Docker and Podman.
    pub host: Option<String>,
    /// A folder for archives that are on their way; it is made when it is needed.
    pub scratch: PathBuf,
}

impl EngineConfig {
    fn connect(&self) -> OpResult<Docker> {
        let usual = USUAL.iter().find(|path| Path::new(path).exists()).map(|path| format!("unix://{path}"));
        let host = self.host.clone().or(usual).ok_or_else(none)?;
        Docker::connect_with_host(&host).map_err(|error| failed(&error, "connecting to the engine", false))
    }

    /// What an engine built under this name; none when it has no such image.
    pub(crate) async fn built(&self, name: &str) -> OpResult<Option<Picture>> {
        let engine = self.connect()?;
        match engine.inspect_image(name).await {
            Ok(_) => {}
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(failed(&error, "looking for a build", false)),
        }
        let local = |error: io::Error| OpError::permanent(format!("the archive of a build: {error}")).with_code("File");
        tokio::fs::create_dir_all(&self.scratch).await.map_err(local)?;
        let file_name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = self.scratch.join(format!("{file_name}.tar"));
        let mut file = tokio::fs::File::create(&path).await.map_err(local)?;
        let mut archive = std::pin::pin!(engine.export_image(name));
        while let Some(part) = archive.next().await {
            let part = part.map_err(|error| failed(&error, "exporting a build", false))?;
            file.write_all(&part).await.map_err(local)?;
        }
        file.flush().await.map_err(local)?;
        drop(file);
        let read = tokio::task::spawn_blocking(move || archive::read(&path)).await;
        let read = read.map_err(|error| OpError::permanent(format!("the archive of a build: {error}")))?;
        read.map(Some).map_err(|why| OpError::permanent(format!("what the engine built is no image: {why}")))
    }

    /// Removes the archive of a build.
    pub(crate) async fn forget(&self, name: &str) {
        let file_name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        // One that was never written is as good.
        let _ = tokio::fs::remove_file(self.scratch.join(format!("{file_name}.tar"))).await;
    }

    /// Builds an image and gives it this name.
    pub(crate) async fn build(&self, name: &str, build: &Build) -> OpResult<()> {
        let engine = self.connect()?;
        let folder = PathBuf::from(&build.context);
        let packed = tokio::task::spawn_blocking(move || pack(&folder)).await;
        let packed = packed.map_err(io::Error::other).and_then(|packed| packed).map_err(|error| {
            OpError::permanent(format!("the build context `{}`: {error}", build.context)).with_code("File")
        })?;
        let options = BuildImageOptions {
            dockerfile: build.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned()),
            t: Some(name.to_owned()),
            buildargs: Some(build.args.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<HashMap<_, _>>()),
            target: build.target.clone().unwrap_or_default(),
            rm: true,
            forcerm: true,
            ..Default::default()
        };
        let mut said = std::pin::pin!(engine.build_image(options, None, Some(bollard::body_full(packed.into()))));
        while let Some(line) = said.next().await {
            let line = line.map_err(|error| failed(&error, "building", true))?;
            if let Some(why) = line.error_detail.and_then(|detail| detail.message) {
                return Err(OpError::permanent(format!("the build failed: {why}")).with_code("Build"));
            }
        }
        Ok(())
    }

    /// Removes what was built under this name. Whether it was there.
    pub(crate) async fn remove(&self, name: &str) -> OpResult<bool> {
        self.forget(name).await;
        let engine = self.connect()?;
        match engine.remove_image(name, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(failed(&error, "removing a build", true)),
        }
    }
}

fn none() -> OpError {
    OpError::new(ErrorClass::Unavailable, "there is no container engine here").with_code("NoEngine").with_hint(
        "start Docker or Podman, say where it is with DOCKER_HOST, or give the image as an `archive` or a `layout`",
    )
}

fn failed(error: &Error, doing: &str, writes: bool) -> OpError {
    let class = match error {
        Error::DockerResponseServerError { status_code: 500.., .. } if writes => ErrorClass::Ambiguous,
        Error::DockerResponseServerError { status_code: 500.., .. } => ErrorClass::Transient,
        Error::DockerResponseServerError { .. } | Error::DockerStreamError { .. } => ErrorClass::Permanent,
        _ if writes => ErrorClass::Ambiguous,
        _ => ErrorClass::Unavailable,
    };
    OpError::new(class, format!("{doing}: {error}"))
}

/// The build context as a tar: sorted, without owners and times, less what `.dockerignore` leaves out.
fn pack(folder: &Path) -> io::Result<Vec<u8>> {
    let ignored = match std::fs::read_to_string(folder.join(".dockerignore")) {
        Ok(text) => Ignored::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignored::default(),
        Err(error) => return Err(error),
    };
    let mut tar = Writer::default();
    add(folder, "", &ignored, &mut tar)?;
    Ok(tar.finish())
}

fn add(folder: &Path, prefix: &str, ignored: &Ignored, tar: &mut Writer) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        // Of a link, what it leads to.
        let facts = std::fs::metadata(entry.path())?;
        let leaves_out = ignored.leaves_out(&path);
        if facts.is_dir() {
            if entry.file_type()?.is_symlink() {
                continue;
            }
            if !leaves_out {
                tar.folder(&path);
            }
            // Something in it may be wanted all the same.
            if !leaves_out || ignored.has_exceptions() {
                add(&entry.path(), &format!("{path}/"), ignored, tar)?;
            }
        } else if facts.is_file() && !leaves_out {
            let mode = if facts.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            tar.file(&path, mode, &std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

/// What a `.dockerignore` says: patterns, of which the last one that matches decides.
#[derive(Debug, Default)]
struct Ignored(Vec<(bool, Vec<String>)>);

impl Ignored {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines.map(|line| {
            let (is_out, pattern) = line.strip_prefix('!').map_or((true, line), |rest| (false, rest.trim()));
            let parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned);
            (is_out, parts.collect::<Vec<_>>())
        });
        Self(patterns.filter(|(_, parts)| !parts.is_empty()).collect())
    }

    fn has_exceptions(&self) -> bool {
        self.0.iter().any(|(is_out, _)| !is_out)
    }

    /// A pattern is about what it names and all that is inside.
    fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let is_about = |pattern: &[String]| (1..=parts.len()).any(|n| matches(pattern, &parts[..n]));
        self.0.iter().rev().find(|(_, pattern)| is_about(pattern)).is_some_and(|(is_out, _)| *is_out)
    }
}

/// Whether a pattern, part by part, is this path: `**` is any number of parts, `*` and `?` stay inside of one.
fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "**" => (0..=path.len()).any(|n| matches(rest, &path[n..])),
        ([part, rest @ ..], [name, inner @ ..]) => is_like(part.as_bytes(), name.as_bytes()) && matches(rest, inner),
        _ => false,
    }
}

fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|n| is_like(rest, &name[n..])),
        ([b'?', rest @ ..], [_, inner @ ..]) => is_like(rest, inner),
        ([letter, rest @ ..], [same, inner @ ..]) => letter == same && is_like(rest, inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerignore_leaves_out_what_it_names() {
        let ignored = Ignored::parse("# comment\n*.log\n/target\n**/secret.txt\ndocs/*\n!docs/keep.md\na/?/b\n");
        for path in ["x.log", "target", "target/debug/x", "secret.txt", "a/b/secret.txt", "docs/x.md", "a/1/b"] {
            assert!(ignored.leaves_out(path), "{path}");
        }
        for path in ["a/x.log", "src/target.rs", "docs/keep.md", "docs", "a/12/b", "Dockerfile"] {
            assert!(!ignored.leaves_out(path), "{path}");
        }
    }

    #[test]
    fn the_context_is_packed_without_what_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("Dockerfile", "FROM scratch\n");
        write("src/main.rs", "fn main() {}\n");
        write("target/big", "x");
        write(".dockerignore", "target\n");
        let packed = pack(folder.path()).unwrap();
        let entries = crate::tar::read(io::Cursor::new(&packed)).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, [".dockerignore", "Dockerfile", "src/main.rs"]);
        assert_eq!(pack(folder.path()).unwrap(), packed, "the same each time");
        assert!(pack(&folder.path().join("nothing")).is_err());
    }

    #[tokio::test]
    async fn without_an_engine_it_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("none.sock");
        let engine =
            EngineConfig { host: Some(format!("unix://{}", socket.display())), scratch: folder.path().to_owned() };
        let error = engine.built("x").await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unavailable);
        assert_eq!(none().class, ErrorClass::Unavailable);
    }
}
