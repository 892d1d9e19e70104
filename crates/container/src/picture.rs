//! An image as registries take it: manifests, and the blobs that they name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::ask::ImageFacts;

/// The media type of a manifest of ours.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What a manifest may be.
pub(crate) const MANIFESTS: [&str; 4] = [
    MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Where bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Here.
    Held(Bytes),
    /// In a file.
    Within { path: PathBuf, offset: u64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) content: Content,
}

#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// A whole image.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    /// Each once.
    pub(crate) blobs: Vec<Blob>,
    /// Manifests that the last one names come before it.
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) root: Manifest,
}

/// `sha256:` and 64 hex digits.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    written(&Sha256::digest(bytes))
}

pub(crate) fn written(hash: &[u8]) -> String {
    format!("sha256:{}", switchback_model::canonical::hex(hash))
}

impl Manifest {
    pub(crate) fn new(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: digest_of(&bytes), media_type: media_type.into(), bytes }
    }
}

impl Picture {
    /// With these annotations on its root: the image is the same, its digest is its own.
    pub(crate) fn marked(mut self, marks: &BTreeMap<String, String>) -> Result<Self, String> {
        if marks.is_empty() {
            return Ok(self);
        }
        let mut manifest: Map<String, Value> = serde_json::from_slice(&self.root.bytes)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        let annotations = manifest.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if !annotations.is_object() {
            *annotations = Value::Object(Map::new());
        }
        for (name, value) in marks {
            annotations[name] = value.as_str().into();
        }
        self.root = Manifest::new(self.root.media_type, Value::Object(manifest).to_string());
        Ok(self)
    }

    pub(crate) fn facts(&self) -> ImageFacts {
        let manifests = self.manifests.iter().chain([&self.root]).map(|it| it.bytes.len() as u64).sum::<u64>();
        let blobs = self.blobs.iter().map(|it| it.size).sum::<u64>();
        ImageFacts {
            digest: self.root.digest.clone(),
            media_type: self.root.media_type.clone(),
            size: manifests + blobs,
            annotations: annotations(&self.root.bytes),
        }
    }
}

/// The annotations of a manifest; none of what is none.
pub(crate) fn annotations(manifest: &[u8]) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize, Default)]
    struct Read {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    serde_json::from_slice::<Read>(manifest).unwrap_or_default().annotations
}

/// What a manifest and all that it names weigh, without what its own manifests name.
pub(crate) fn size(manifest: &[u8]) -> u64 {
    let read: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let lists = ["layers", "manifests"].iter().filter_map(|list| read[*list].as_array()).flatten();
    let parts = lists.chain([&read["config"]]).filter_map(|it| it["size"].as_u64());
    manifest.len() as u64 + parts.sum::<u64>()
}
