//! An image out of files, without an engine: one layer on nothing.
//!
//! What goes in is in the plan; the same in gives the same image, byte for byte: files are sorted and have neither
//! owners nor times, and nothing is compressed, so that no version of a compressor shows in the digest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::picture::{Blob, Content, MANIFEST, Manifest, Picture, digest_of};
use crate::tar::Writer;

/// Files, and how they are run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Files by their paths in the image: `/etc/app.conf: { file: app.conf }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Files that can be run, by their paths in the image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executables: BTreeMap<String, String>,
    /// The program, and its first arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// More arguments, which whoever runs it may replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment variables. No secrets: an image is readable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Ports that it listens on: `8080/tcp`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<String>,
    /// The user that it runs as, `1000:1000`; root when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `amd64`, or `arm64`; amd64 when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

impl Layout {
    /// What is wrong with it: each a path of a file, and why.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let all: Vec<&String> = self.files.keys().chain(self.executables.keys()).collect();
        for path in &all {
            let inside = path.strip_prefix('/').filter(|rest| !rest.is_empty() && !path.contains('\0'));
            let is_plain = |rest: &str| rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            if !inside.is_some_and(is_plain) {
                problems.push(format!("`{path}` is not an absolute path without `.` and `..`"));
            }
        }
        for path in &all {
            if all.iter().any(|other| other.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with('/'))) {
                problems.push(format!("`{path}` is a file and a folder"));
            }
        }
        problems.extend(
            self.files
                .keys()
                .filter(|path| self.executables.contains_key(*path))
                .map(|path| format!("`{path}` is there twice")),
        );
        if all.is_empty() {
            problems.push("an image needs a file".to_owned());
        }
        if self.entrypoint.is_empty() && self.command.is_empty() {
            problems.push("an image needs an `entrypoint` or a `command`".to_owned());
        }
        problems
    }

    /// The digest of the image with these annotations, and its weight in bytes: what a registry would say of it.
    ///
    /// # Errors
    /// Never, as long as annotations are texts.
    pub fn facts(&self, marks: &BTreeMap<String, String>) -> Result<crate::ask::ImageFacts, String> {
        Ok(self.picture().marked(marks)?.facts())
    }

    /// The image.
    pub(crate) fn picture(&self) -> Picture {
        let layer = Bytes::from(self.layer());
        let digest = digest_of(&layer);
        let env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let ports: BTreeMap<&String, serde_json::Value> = self.ports.iter().map(|port| (port, json!({}))).collect();
        let config = json!({
            "architecture": self.architecture.as_deref().unwrap_or("amd64"),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.command,
                "Env": env,
                "Labels": self.labels,
                "ExposedPorts": ports,
                "User": self.user.as_deref().unwrap_or_default(),
            },
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        });
        let config = Bytes::from(config.to_string());
        let layer = Blob { digest, size: layer.len() as u64, content: Content::Held(layer) };
        let config = Blob { digest: digest_of(&config), size: config.len() as u64, content: Content::Held(config) };
        of_blobs(config, vec![layer])
    }

    fn layer(&self) -> Vec<u8> {
        let files = self.files.iter().map(|(path, text)| (path, (0o644, text)));
        let all: BTreeMap<&String, (u32, &String)> =
            files.chain(self.executables.iter().map(|(path, text)| (path, (0o755, text)))).collect();
        let mut folders = BTreeSet::new();
        for path in all.keys() {
            let path = path.trim_start_matches('/');
            folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        let mut tar = Writer::default();
        folders.iter().for_each(|folder| tar.folder(folder));
        for (path, (mode, text)) in all {
            tar.file(path.trim_start_matches('/'), mode, text.as_bytes());
        }
        tar.finish()
    }
}

/// An OCI image of these blobs, whose layers are not compressed.
pub(crate) fn of_blobs(config: Blob, layers: Vec<Blob>) -> Picture {
    let descriptor = |blob: &Blob, kind: &str| json!({"mediaType": kind, "digest": blob.digest, "size": blob.size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers
            .iter()
            .map(|layer| descriptor(layer, "application/vnd.oci.image.layer.v1.tar"))
            .collect::<Vec<_>>(),
    });
    let mut blobs = vec![config];
    for layer in layers {
        // An image may have one layer twice.
        if !blobs.iter().any(|blob| blob.digest == layer.digest) {
            blobs.push(layer);
        }
    }
    Picture { blobs, manifests: Vec::new(), root: Manifest::new(MANIFEST, manifest.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            files: BTreeMap::from([("/etc/app/conf".into(), "x=1\n".into())]),
            executables: BTreeMap::from([("/bin/app".into(), "#!/bin/sh\n".into())]),
            entrypoint: vec!["/bin/app".into()],
            ..Layout::default()
        }
    }

    #[test]
    fn the_same_files_are_the_same_image() {
        // As stored in plans and journals: a change here makes another image of an old plan.
        let digest = layout().picture().root.digest;
        assert_eq!(digest, "sha256:e936ebbf4fed65def42c4299470cbe89cd1288db7f31dd38f863393e565321f4");
        let other = Layout { env: BTreeMap::from([("A".into(), "b".into())]), ..layout() };
        assert_ne!(other.picture().root.digest, digest);
        let marks = BTreeMap::from([("switchback:run".to_owned(), "1".to_owned())]);
        let marked = layout().picture().marked(&marks).unwrap();
        assert_ne!(marked.root.digest, digest);
        assert_eq!(marked.facts().annotations, marks);
        assert_eq!(marked.blobs[0].digest, layout().picture().blobs[0].digest, "the content is the same");
    }

    #[test]
    fn what_cannot_be_an_image_is_said() {
        let of = |path: &str| Layout { files: BTreeMap::from([(path.into(), String::new())]), ..layout() }.problems();
        assert_eq!(layout().problems(), Vec::<String>::new());
        for path in ["relative", "/", "/a//b", "/a/../b", "/./a", "/bin/app", "/bin/app/x", "/bin"] {
            assert!(!of(path).is_empty(), "{path}");
        }
        assert_eq!(Layout::default().problems().len(), 2);
    }
}
