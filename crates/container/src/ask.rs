//! The calls of a container registry, as far as images are put there and taken away.
//!
//! A thing is named as people name it: `HOST[:PORT]/NAME:TAG` or `HOST[:PORT]/NAME@sha256:...`. A registry cannot take a
//! tag away from an image: it deletes the image, with every tag. So [`RegistryAsk::RemoveImage`]
//! looks for other tags first, and refuses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::remote::Ask;
use switchback_model::SecretRef;

use crate::layout::Layout;

/// Where a registry is and who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// Where it really is, `127.0.0.1:5000`, when the name of the image does not say it.
    pub registry: Option<String>,
    /// The user; none: anonymous, and ECR's token for ECR.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<SecretRef>,
}

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Source {
    /// A tar with an image in it, as it is.
    Archive {
        /// The file.
        path: String,
    },
    /// Files.
    Layout {
        /// Which, and how it is run.
        layout: Layout,
        /// Its annotations.
        marks: BTreeMap<String, String>,
    },
    /// What an engine makes of a Dockerfile.
    Build {
        /// What the engine calls it.
        name: String,
        /// How.
        build: Build,
        /// Its annotations.
        marks: BTreeMap<String, String>,
    },
}

/// A build by a Docker-compatible engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The folder that the build sees, less what its `.dockerignore` leaves out. A relative path begins where the
    /// command runs.
    pub context: String,
    /// The Dockerfile, inside of the context: `Dockerfile` when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The stage to build; the last one when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments. No secrets: an image tells its history.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// A call to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryAsk {
    /// What a tag or a digest names.
    GetManifest {
        /// The registry.
        at: At,
        /// The image.
        image: String,
    },
    /// What a source comes to, without sending anything.
    DescribeImage {
        /// Which.
        source: Source,
    },
    /// Sends an image without a tag: its blobs as far as they are not there, then its manifest. Builds it first, when it
    /// is one to be built and was not.
    PushImage {
        /// The registry.
        at: At,
        /// Where: `HOST/NAME`.
        repository: String,
        /// The image.
        source: Source,
        /// What it must be; a source that changed is refused.
        digest: Option<String>,
    },
    /// A tag names this image from now on.
    TagImage {
        /// The registry.
        at: At,
        /// With the tag.
        image: String,
        /// The image that is there.
        digest: String,
    },
    /// Puts a tag back to what it named before, and takes away the image that it names now. What is done already is as
    /// good; a tag that names neither of the two, and an image that other tags name as well, are drift.
    RemoveImage {
        /// The registry.
        at: At,
        /// With the tag.
        image: String,
        /// The image to be taken away.
        digest: String,
        /// What the tag named before; none: there was no such tag.
        before: Option<String>,
        /// The image was there before the tag was, and stays.
        keep: bool,
    },
    /// Takes away what an engine built. What is gone already is as good.
    RemoveBuild {
        /// What the engine calls it.
        name: String,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryAnswer {
    /// To `GetManifest`, `DescribeImage` and `PushImage`; none: there is no such image (yet).
    Image(Option<ImageFacts>),
    /// To all others: whether anything was changed.
    Done(bool),
}

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFacts {
    /// Of its manifest: `sha256:...`.
    pub digest: String,
    /// The manifest's media type.
    pub media_type: String,
    /// Bytes of the manifest and of all that it names.
    pub size: u64,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Ask for RegistryAsk {
    const SERVICE: &'static str = "registry";
    type Answer = RegistryAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::GetManifest { .. } => "GetManifest",
            Self::DescribeImage { .. } => "DescribeImage",
            Self::PushImage { .. } => "PushImage",
            Self::TagImage { .. } => "TagImage",
            Self::RemoveImage { .. } => "RemoveImage",
            Self::RemoveBuild { .. } => "RemoveBuild",
        }
    }

    fn writes(&self) -> bool {
        !matches!(self, Self::GetManifest { .. } | Self::DescribeImage { .. })
    }
}
