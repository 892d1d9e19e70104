//! S3: buckets and their objects.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of S3, each by its ARN.
#[derive(Debug, Clone, Default)]
pub(crate) struct S3 {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) objects: BTreeMap<String, Object>,
}

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    /// `Enabled` or `Suspended`.
    pub(crate) versioning: Option<String>,
    /// Public ACLs blocked, ignored; public policies blocked, restricted.
    pub(crate) public_access_block: Option<[bool; 4]>,
    /// As they were given, in XML.
    pub(crate) encryption: Option<String>,
    pub(crate) lifecycle: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) tags: Tags,
}

/// All that there is under one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// Whether the newest version is to be seen.
    pub(crate) live: bool,
    /// Newest first.
    pub(crate) versions: Vec<Version>,
    pub(crate) markers: usize,
    /// The marks of a run, which objects carry as metadata.
    pub(crate) marks: Tags,
}

/// A version of an object; where a bucket has no versions, `null`.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) content_type: String,
    /// In RFC 2822's form.
    pub(crate) modified: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The ARN of a bucket, or of an object in it.
pub(crate) fn arn(bucket: &str, key: Option<&str>) -> String {
    let key = key.map(|key| format!("/{key}")).unwrap_or_default();
    format!("arn:aws:s3:::{bucket}{key}")
}

impl S3 {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.buckets {
            let thing = Thing::new("s3-bucket", &it.tags)
                .with("name", it.name.as_str())
                .with("versioning", it.versioning.clone())
                .with("public_access_block", json!(it.public_access_block))
                .with("encryption", it.encryption.clone())
                .with("lifecycle", it.lifecycle.clone())
                .with("policy", it.policy.clone());
            all.insert(arn, thing);
        }
        for (arn, it) in &self.objects {
            let newest = it.versions.first();
            let thing = Thing::new("s3-object", &it.marks)
                .with("name", it.key.as_str())
                .with("live", it.live)
                .with("versions", it.versions.len())
                .with("markers", it.markers)
                .with("etag", newest.map(|it| it.etag.clone()))
                .with("content_type", newest.map(|it| it.content_type.clone()));
            all.insert(arn, thing);
        }
    }
}
