//! Tags as EC2 has them, and the filters by which it finds them.

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use switchback_engine::Cx;

use crate::tags::{self, Tags};

pub(super) use crate::tags::{all, check};

/// What goes into the create call.
pub(super) fn specification(cx: &Cx, resource: ResourceType, user: &Tags) -> TagSpecification {
    let tags = all(cx, user).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder().resource_type(resource).set_tags(Some(tags.collect())).build()
}

/// Finds what this step made in this generation.
pub(super) fn filters(cx: &Cx) -> Vec<Filter> {
    cx.ownership_tags().into_iter().map(|(key, value)| filter(&format!("tag:{key}"), &value)).collect()
}

/// A filter of one value.
pub(super) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// As a map.
pub(super) fn read(tags: &[Tag]) -> Tags {
    tags::read(tags.iter().map(|tag| (tag.key(), tag.value())))
}

/// Whether this step made it in this generation.
pub(super) fn are_of_step(cx: &Cx, there: &[Tag]) -> bool {
    tags::are_of_step(cx, &read(there))
}

/// Whether this run made it, in whichever step and generation.
pub(super) fn are_of_run(cx: &Cx, there: &[Tag]) -> bool {
    tags::are_of_run(cx, &read(there))
}

/// Whose it is, for messages: ` (made by step vpc of run 0190...)`, or nothing.
pub(super) fn owner(cx: &Cx, there: &[Tag]) -> String {
    tags::owner(cx, &read(there))
}

/// Those of `wanted` that are there, with the values that they have: what `verify` compares.
pub(super) fn of_those(wanted: &Tags, there: &[Tag]) -> Tags {
    tags::of_those(wanted, &read(there))
}
