//! Cloud Map: namespaces of names, and the services in them.

pub mod private_dns_namespace;
pub mod service;

use aws_sdk_servicediscovery::types::Tag;
use switchback_engine::Cx;
use switchback_model::{OpError, OpResult};

use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::tags::{self, Tags};

fn client(cx: &Cx) -> OpResult<aws_sdk_servicediscovery::Client> {
    Ok(cx.get::<AwsContext>()?.servicediscovery(cx))
}

/// The user's tags and ours, for a create call.
fn tag_list(cx: &Cx, user: &Tags) -> OpResult<Vec<Tag>> {
    let tags = tags::all(cx, user).into_iter();
    let tags = tags.map(|(key, value)| Tag::builder().key(key).value(value).build());
    tags.collect::<Result<_, _>>().map_err(|e| OpError::permanent(format!("a tag cannot be sent: {e}")))
}

/// The tags of what is described without them; none when it is gone by now.
async fn tags_of(cx: &Cx, arn: &str) -> OpResult<Option<Tags>> {
    let read = client(cx)?.list_tags_for_resource().resource_arn(arn).send().await;
    let read = found(read.map_err(|e| op_error(Call::new("servicediscovery:ListTagsForResource", arn), e)))?;
    Ok(read.map(|reply| tags::read(reply.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))))))
}
