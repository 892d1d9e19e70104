//! SNS: from the emulator's state view to the section of the picture, and what is set in the view itself: the emulator
//! takes neither attributes nor tags when it makes a topic, and confirms every subscription.

use winterbaume_sns::SnsStateView;
use winterbaume_sns::views::{SubscriptionView, TopicView};

use super::Emulator;
use crate::picture::sns::{Sns, Subscription, Topic};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &SnsStateView) -> Sns {
    let topics = view.topics.iter().map(|(arn, it)| {
        let topic = Topic {
            name: it.name.clone(),
            attributes: it.attributes.clone().into_iter().collect(),
            tags: it.tags.clone().into_iter().collect(),
        };
        (arn.clone(), topic)
    });
    let subscriptions = view.subscriptions.iter().map(|(arn, it)| {
        let subscription = Subscription {
            topic: it.topic_arn.clone(),
            protocol: it.protocol.clone(),
            endpoint: it.endpoint.clone(),
            confirmed: it.confirmed,
            attributes: it.attributes.clone().into_iter().collect(),
            tags: Tags::new(),
        };
        (arn.clone(), subscription)
    });
    Sns { topics: topics.collect(), subscriptions: subscriptions.collect() }
}

impl Emulator {
    /// Makes a topic, or changes it.
    pub(crate) async fn put_topic(&self, arn: &str, topic: Topic) {
        self.edit(|view: &mut SnsStateView| {
            let (permissions, data_protection_policy) = match view.topics.remove(arn) {
                Some(was) => (was.permissions, was.data_protection_policy),
                None => Default::default(),
            };
            let topic = TopicView {
                arn: arn.to_owned(),
                name: topic.name,
                attributes: topic.attributes.into_iter().collect(),
                tags: topic.tags.into_iter().collect(),
                permissions,
                data_protection_policy,
            };
            view.topics.insert(arn.to_owned(), topic);
        })
        .await;
    }

    /// Takes a topic away, with its subscriptions.
    pub(crate) async fn drop_topic(&self, arn: &str) {
        self.edit(|view: &mut SnsStateView| {
            view.topics.remove(arn);
            view.subscriptions.retain(|_, it| it.topic_arn != arn);
        })
        .await;
    }

    /// Makes a subscription, or changes it.
    pub(crate) async fn put_subscription(&self, arn: &str, owner: &str, subscription: Subscription) {
        self.edit(|view: &mut SnsStateView| {
            let subscription = SubscriptionView {
                arn: arn.to_owned(),
                topic_arn: subscription.topic,
                protocol: subscription.protocol,
                endpoint: subscription.endpoint,
                confirmed: subscription.confirmed,
                owner: owner.to_owned(),
                attributes: subscription.attributes.into_iter().collect(),
            };
            view.subscriptions.insert(arn.to_owned(), subscription);
        })
        .await;
    }

    /// Takes a subscription away.
    pub(crate) async fn drop_subscription(&self, arn: &str) {
        self.edit(|view: &mut SnsStateView| drop(view.subscriptions.remove(arn))).await;
    }
}
