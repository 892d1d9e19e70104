//! What the operations on KMS do alike: read a key with its tags, list keys and aliases.

use aws_sdk_kms::types::{KeyMetadata, KeyState};
use switchback_engine::Cx;
use switchback_model::OpResult;

use super::client;
use crate::errors::{Call, found, op_error};
use crate::named::Named;
use crate::tags::{self, Tags};

/// A key and its tags, by its id or its ARN.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) now: KeyMetadata,
    tags: Tags,
}

impl Named for Key {
    const WHAT: &'static str = "KMS key";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let read = client(cx)?.describe_key().key_id(name).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("kms:DescribeKey", name), e)))?;
        let Some(now) = read.and_then(|reply| reply.key_metadata).filter(|key| !waits_for_deletion(key)) else {
            return Ok(None);
        };
        Ok(tags_of(cx, name).await?.map(|tags| Self { now, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.key_id()
    }
}

/// Whether it serves nobody any more. It can be brought back, by a person.
pub(crate) fn waits_for_deletion(key: &KeyMetadata) -> bool {
    matches!(key.key_state(), Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion))
}

/// The tags of a key; none when there is no such key.
pub(super) async fn tags_of(cx: &Cx, key: &str) -> OpResult<Option<Tags>> {
    let listed = client(cx)?.list_resource_tags().key_id(key).into_paginator().items().send().try_collect().await;
    let listed = found(listed.map_err(|e| op_error(Call::new("kms:ListResourceTags", key), e)))?;
    Ok(listed.map(|listed| tags::read(listed.iter().map(|t| (Some(t.tag_key()), Some(t.tag_value()))))))
}

/// The ids of all keys of the account in the region, a thousand a call.
pub(super) async fn key_ids(cx: &Cx) -> OpResult<Vec<String>> {
    let listed = client(cx)?.list_keys().limit(1000).into_paginator().items().send().try_collect().await;
    let listed = listed.map_err(|e| op_error(Call::new("kms:ListKeys", "the keys of the account"), e))?;
    Ok(listed.into_iter().filter_map(|key| key.key_id).collect())
}

/// The key that an alias of that name points at; none when there is no such alias.
pub(super) async fn target_of(cx: &Cx, alias: &str) -> OpResult<Option<String>> {
    let mut pages = client(cx)?.list_aliases().into_paginator().items().send();
    while let Some(entry) = pages.next().await {
        let entry = entry.map_err(|e| op_error(Call::new("kms:ListAliases", alias), e))?;
        if entry.alias_name() == Some(alias) {
            // AWS makes the aliases of its own services before their keys.
            return Ok(Some(entry.target_key_id.unwrap_or_else(|| "no key".to_owned())));
        }
    }
    Ok(None)
}

/// The names that point at a key. At a key that is not there points none.
pub(super) async fn aliases_of(cx: &Cx, key: &str) -> OpResult<Vec<String>> {
    let listed = client(cx)?.list_aliases().key_id(key).into_paginator().items().send().try_collect().await;
    let listed = found(listed.map_err(|e| op_error(Call::new("kms:ListAliases", key), e)))?;
    Ok(listed.unwrap_or_default().into_iter().filter_map(|alias| alias.alias_name).collect())
}
