//! S3: from the emulator's state view to the section of the picture.
//!
//! The view leaves out uploads in parts and what the objects hold: an edit keeps both, and another process that loads a
//! snapshot has the objects without what is in them. No rule reads it.

use std::collections::{BTreeMap, HashMap};

use winterbaume_s3::S3StateView;
use winterbaume_s3::views::{BucketStateView, ObjectView, PublicAccessBlockConfigView};

use super::Emulator;
use crate::picture::s3::{Bucket, Object, S3, Version, arn};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &S3StateView) -> S3 {
    let buckets = view.buckets.values().map(|it| {
        let block = it.public_access_block.as_ref();
        let block = block.map(|of| {
            [of.block_public_acls, of.ignore_public_acls, of.block_public_policy, of.restrict_public_buckets]
        });
        let bucket = Bucket {
            name: it.name.clone(),
            versioning: it.versioning_status.clone(),
            public_access_block: block,
            encryption: it.encryption_configuration.clone(),
            lifecycle: it.lifecycle_configuration.clone(),
            policy: it.policy.clone(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (arn(&it.name, None), bucket)
    });
    S3 { buckets: buckets.collect(), objects: view.buckets.values().flat_map(objects).collect() }
}

fn objects(bucket: &BucketStateView) -> BTreeMap<String, Object> {
    let mut all: HashMap<&String, Object> = HashMap::new();
    for (key, history) in &bucket.object_history {
        all.entry(key).or_default().versions = history.iter().map(version).collect();
    }
    for (key, it) in &bucket.objects {
        let object = all.entry(key).or_default();
        object.live = true;
        if !object.versions.iter().any(|version| version.id == it.version_id) {
            object.versions.insert(0, version(it));
        }
    }
    for (key, markers) in &bucket.delete_markers {
        all.entry(key).or_default().markers = markers.len();
    }
    let named = all.into_iter().map(|(key, object)| {
        let metadata = object.versions.first().map(|newest| &newest.metadata);
        let mark = |(name, value): (&String, &String)| {
            let mark = name.strip_prefix("switchback-")?;
            ["run", "step", "generation"].contains(&mark).then(|| (format!("switchback:{mark}"), value.clone()))
        };
        let marks: Tags = metadata.into_iter().flatten().filter_map(mark).collect();
        (arn(&bucket.name, Some(key)), Object { key: key.clone(), marks, ..object })
    });
    named.collect()
}

fn version(it: &ObjectView) -> Version {
    let at = it.last_modified.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok()).unwrap_or_default();
    Version {
        id: it.version_id.clone(),
        etag: it.etag.clone(),
        size: it.content_length,
        content_type: it.content_type.clone(),
        modified: at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        metadata: it.metadata.iter().cloned().collect(),
    }
}

impl Emulator {
    /// A new bucket is closed to the public, and has the tags that it was made with.
    pub(crate) async fn furnish_bucket(&self, name: &str, tags: Tags) {
        self.edit(|view: &mut S3StateView| {
            let Some(bucket) = view.buckets.get_mut(name) else { return };
            bucket.tags = tags.into_iter().collect();
            bucket.public_access_block = Some(PublicAccessBlockConfigView {
                block_public_acls: true,
                ignore_public_acls: true,
                block_public_policy: true,
                restrict_public_buckets: true,
            });
        })
        .await;
    }
}
