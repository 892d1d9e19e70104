//! SNS: topics and subscriptions.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of SNS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sns {
    /// By ARN.
    pub(crate) topics: BTreeMap<String, Topic>,
    /// By ARN.
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) topic: String,
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
    pub(crate) confirmed: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    /// None: it cannot have any.
    pub(crate) tags: Tags,
}

impl Sns {
    /// The subscriptions of a topic.
    pub(crate) fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a String, &'a Subscription)> {
        self.subscriptions.iter().filter(move |(_, it)| it.topic == topic)
    }

    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.topics {
            let thing = Thing::new("sns-topic", &it.tags)
                .with("name", it.name.as_str())
                .with("attributes", serde_json::json!(it.attributes));
            all.insert(arn, thing);
        }
        for (arn, it) in &self.subscriptions {
            let thing = Thing::new("sns-subscription", &it.tags)
                .with("name", format!("{} {}", it.protocol, it.endpoint))
                .with("topic", it.topic.as_str())
                .with("attributes", serde_json::json!(it.attributes));
            all.insert(arn, thing);
        }
    }
}
