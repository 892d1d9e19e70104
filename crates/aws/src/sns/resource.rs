//! What the operations on SNS do alike: read a topic with its tags, and tell whose work a thing on it is.

use std::collections::HashMap;

use switchback_engine::Cx;
use switchback_model::OpResult;
use switchback_model::record::Proof;

use super::client;
use crate::errors::{Call, found, op_error};
use crate::ids::TopicArn;
use crate::named::Named;
use crate::tags::{self, Tags};

/// A topic, its attributes and its tags, by its name or its ARN. A name has no colon.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) arn: String,
    pub(super) attributes: HashMap<String, String>,
    tags: Tags,
}

impl Topic {
    /// An attribute, empty where there is none.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Named for Topic {
    const WHAT: &'static str = "SNS topic";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let arn = if name.contains(':') { Some(name.to_owned()) } else { arn_of(cx, name).await? };
        let Some(arn) = arn else { return Ok(None) };
        let Some(attributes) = attributes(cx, &arn).await? else { return Ok(None) };
        let listed = client(cx)?.list_tags_for_resource().resource_arn(&arn).send().await;
        let listed = found(listed.map_err(|e| op_error(Call::new("sns:ListTagsForResource", &arn), e)))?;
        // It was deleted between the two calls.
        let Some(listed) = listed else { return Ok(None) };
        let tags = tags::read(listed.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
        Ok(Some(Self { arn, attributes, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.arn
    }
}

/// What a topic's attributes are; none where there is no such topic.
pub(super) async fn attributes(cx: &Cx, arn: &str) -> OpResult<Option<HashMap<String, String>>> {
    let read = client(cx)?.get_topic_attributes().topic_arn(arn).send().await;
    let read = found(read.map_err(|e| op_error(Call::new("sns:GetTopicAttributes", arn), e)))?;
    Ok(read.map(|reply| reply.attributes.unwrap_or_default()))
}

/// The ARN of the topic of that name. SNS has no call that reads by name.
async fn arn_of(cx: &Cx, name: &str) -> OpResult<Option<String>> {
    let mut pages = client(cx)?.list_topics().into_paginator().items().send();
    while let Some(topic) = pages.next().await {
        let topic = topic.map_err(|e| op_error(Call::new("sns:ListTopics", name), e))?;
        if topic.topic_arn().and_then(|arn| arn.rsplit(':').next()) == Some(name) {
            return Ok(topic.topic_arn);
        }
    }
    Ok(None)
}

/// What is on a topic has no tags of its own. On a topic that this run made nobody else has a reason to
/// put the same; on another it could be anybody's.
pub(super) async fn proof_by_topic(cx: &Cx, arn: &str) -> OpResult<Proof> {
    let topic = Topic::read(cx, arn).await?;
    Ok(if topic.is_some_and(|t| tags::are_of_run(cx, t.tags())) { Proof::Strong } else { Proof::Weak })
}

/// One subscription of a topic, as SNS lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// None before it is confirmed.
    pub(super) arn: Option<String>,
    pub(super) protocol: String,
    pub(super) endpoint: String,
}

/// The subscriptions of a topic; none where there is no such topic.
pub(super) async fn subscriptions(cx: &Cx, topic: &str) -> OpResult<Vec<Listed>> {
    let pages = client(cx)?.list_subscriptions_by_topic().topic_arn(topic).into_paginator().items().send();
    let listed = pages.try_collect().await;
    let listed = found(listed.map_err(|e| op_error(Call::new("sns:ListSubscriptionsByTopic", topic), e)))?;
    let listed = listed.unwrap_or_default().into_iter().filter_map(|it| {
        let arn = it.subscription_arn.unwrap_or_default();
        // SNS goes on listing what was unsubscribed for a while, under this name.
        (arn != "Deleted").then(|| Listed {
            // Without an ARN it is `PendingConfirmation`.
            arn: Some(arn).filter(|arn| arn.starts_with("arn:")),
            protocol: it.protocol.unwrap_or_default(),
            endpoint: it.endpoint.unwrap_or_default(),
        })
    });
    Ok(listed.collect())
}

/// The ARN of a topic, for the facts of what is on it, where it is known.
pub(super) fn known_arn(topic: &TopicArn) -> Vec<String> {
    Some(topic.as_str()).filter(|arn| arn.starts_with("arn:")).map(str::to_owned).into_iter().collect()
}
