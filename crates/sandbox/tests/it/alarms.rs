//! SNS and CloudWatch: topics, who hears them, and alarms.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{
    AlarmType, ComparisonOperator, Dimension, HistoryItemType, MetricAlarm, StateValue, Statistic, Tag as AlarmTag,
};
use aws_sdk_sns::types::Tag;

use crate::support::{Aws, SETTLE, aws, refused, refused_with};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alerts";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:handler";

impl Aws {
    async fn topic(&self) -> String {
        let tag = Tag::builder().key("a").value("b").build().unwrap();
        let made = self.sns.create_topic().name("alerts").attributes("DisplayName", "Alerts").tags(tag).send().await;
        made.unwrap().topic_arn.unwrap()
    }

    async fn topic_attribute(&self, name: &str) -> String {
        let read = self.sns.get_topic_attributes().topic_arn(TOPIC).send().await.unwrap();
        read.attributes.unwrap().remove(name).unwrap_or_default()
    }

    /// What is listed of the topic's subscriptions: each protocol, and the ARN or what stands for it.
    async fn heard_by(&self) -> Vec<(String, String)> {
        let listed = self.sns.list_subscriptions_by_topic().topic_arn(TOPIC).send().await.unwrap();
        let pair = |it: aws_sdk_sns::types::Subscription| (it.protocol.unwrap(), it.subscription_arn.unwrap());
        listed.subscriptions.unwrap().into_iter().map(pair).collect()
    }

    fn put_alarm(
        &self,
        threshold: f64,
    ) -> aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder {
        self.cloudwatch
            .put_metric_alarm()
            .alarm_name("errors")
            .namespace("AWS/ApplicationELB")
            .metric_name("HTTPCode_Target_4XX_Count")
            .dimensions(Dimension::builder().name("LoadBalancer").value("app/web/1").build())
            .statistic(Statistic::Sum)
            .period(300)
            .evaluation_periods(2)
            .threshold(threshold)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .alarm_actions(TOPIC)
    }

    async fn alarm(&self) -> Option<MetricAlarm> {
        let found = self.cloudwatch.describe_alarms().alarm_names("errors").send().await.unwrap();
        found.metric_alarms.unwrap().into_iter().next()
    }

    async fn set_alarm(&self, state: StateValue) {
        let set = self.cloudwatch.set_alarm_state().alarm_name("errors").state_reason("a test").state_value(state);
        set.send().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_is_given_back_only_where_it_is_equal() {
    let aws = aws();
    assert_eq!((aws.topic().await, aws.topic().await), (TOPIC.to_owned(), TOPIC.to_owned()));
    let other = Tag::builder().key("a").value("c").build().unwrap();
    let said = refused(aws.sns.create_topic().name("alerts").tags(other).send().await, "InvalidParameter");
    assert!(said.ends_with("Topic already exists with different tags"), "{said}");
    let other = aws.sns.create_topic().name("alerts").attributes("DisplayName", "Other").send().await;
    assert!(refused(other, "InvalidParameter").ends_with("with different attributes"));
    refused(aws.sns.create_topic().name("a b").send().await, "InvalidParameter");
    let tags = aws.sns.list_tags_for_resource().resource_arn(TOPIC).send().await.unwrap();
    assert_eq!(tags.tags()[0].value(), "b");
    let listed = aws.tagging.get_resources().send().await.unwrap();
    assert_eq!(listed.resource_tag_mapping_list()[0].resource_arn(), Some(TOPIC));
    let snapshot = aws.sandbox.snapshot().await;
    aws.sns.delete_topic().topic_arn(TOPIC).send().await.unwrap();
    refused_with(aws.sns.get_topic_attributes().topic_arn(TOPIC).send().await, 404, "NotFound");
    refused_with(aws.sns.list_tags_for_resource().resource_arn(TOPIC).send().await, 404, "ResourceNotFound");
    aws.sandbox.restore(&snapshot).await;
    assert_eq!(aws.topic_attribute("DisplayName").await, "Alerts");
}

#[tokio::test]
async fn a_policy_is_json_about_sns() {
    let aws = aws();
    aws.topic().await;
    let set = async |policy: &str| {
        let call = aws.sns.set_topic_attributes().topic_arn(TOPIC).attribute_name("Policy");
        call.attribute_value(policy).send().await
    };
    assert!(aws.topic_attribute("Policy").await.contains("__default_policy_ID"));
    refused(set("{").await, "InvalidParameter");
    refused(set(r#"{"Statement": [{"Action": "s3:GetObject"}]}"#).await, "InvalidParameter");
    let policy = r#"{"Statement":[{"Action":"sns:Publish"}]}"#;
    set(policy).await.unwrap();
    assert_eq!(aws.topic_attribute("Policy").await, policy);
}

#[tokio::test]
async fn who_must_confirm_hears_nothing_before() {
    let aws = aws();
    aws.topic().await;
    let subscribe = async |protocol: &str, endpoint: &str| {
        let call = aws.sns.subscribe().topic_arn(TOPIC).protocol(protocol).endpoint(endpoint);
        call.return_subscription_arn(true).send().await.map(|it| it.subscription_arn.unwrap())
    };
    let function = subscribe("lambda", FUNCTION).await.unwrap();
    assert_eq!(subscribe("lambda", FUNCTION).await.unwrap(), function, "the same again is one");
    let other = aws.sns.subscribe().topic_arn(TOPIC).protocol("lambda").endpoint(FUNCTION);
    let other = other.attributes("FilterPolicy", "{\"a\":[\"b\"]}").send().await;
    assert!(refused(other, "InvalidParameter").ends_with("already exists with different attributes"));
    let mail = subscribe("email", "a@example.com").await.unwrap();
    let both = [("email", "PendingConfirmation"), ("lambda", function.as_str())];
    let mut heard = aws.heard_by().await;
    heard.sort();
    assert_eq!(heard, both.map(|(a, b)| (a.to_owned(), b.to_owned())));
    refused(aws.sns.unsubscribe().subscription_arn(&mail).send().await, "InvalidParameter");
    aws.sns.confirm_subscription().topic_arn(TOPIC).token(&mail).send().await.unwrap();
    for arn in [&mail, &function] {
        aws.sns.unsubscribe().subscription_arn(arn).send().await.unwrap();
    }
    assert!(aws.heard_by().await.is_empty());
    refused_with(aws.sns.unsubscribe().subscription_arn(&mail).send().await, 404, "NotFound");
    refused(subscribe("lambda", "x").await, "InvalidParameter");
}

#[tokio::test]
async fn an_alarm_is_written_over_and_keeps_its_tags() {
    let aws = aws();
    let tag = AlarmTag::builder().key("a").value("b").build();
    aws.put_alarm(100.0).datapoints_to_alarm(1).tags(tag).send().await.unwrap();
    let snapshot = aws.sandbox.snapshot().await;
    let other = AlarmTag::builder().key("c").value("d").build();
    aws.put_alarm(50.5).treat_missing_data("ignore").tags(other).send().await.unwrap();
    let now = aws.alarm().await.unwrap();
    assert_eq!((now.threshold(), now.datapoints_to_alarm()), (Some(50.5), Some(2)));
    assert_eq!(now.treat_missing_data(), Some("ignore"));
    let tags = aws.cloudwatch.list_tags_for_resource().resource_arn(now.alarm_arn().unwrap()).send().await.unwrap();
    assert_eq!((tags.tags().len(), tags.tags()[0].key()), (1, Some("a")));
    aws.sandbox.restore(&snapshot).await;
    let now = aws.alarm().await.unwrap();
    assert_eq!((now.threshold(), now.datapoints_to_alarm()), (Some(100.0), Some(1)), "snapshots keep all of it");
    let composite = aws.cloudwatch.describe_alarms().alarm_types(AlarmType::CompositeAlarm).send().await.unwrap();
    assert!(composite.metric_alarms().is_empty());
    aws.cloudwatch.delete_alarms().alarm_names("errors").send().await.unwrap();
    refused_with(aws.cloudwatch.delete_alarms().alarm_names("errors").send().await, 404, "ResourceNotFound");
    assert!(aws.alarm().await.is_none());
}

#[tokio::test]
async fn what_aws_refuses_of_an_alarm() {
    let aws = aws();
    refused(aws.put_alarm(1.0).extended_statistic("p99").send().await, "ValidationError");
    refused(aws.put_alarm(1.0).period(45).send().await, "ValidationError");
    refused(aws.put_alarm(1.0).evaluation_periods(300).send().await, "ValidationError");
    refused(aws.put_alarm(1.0).alarm_actions("x").send().await, "ValidationError");
    assert!(aws.alarm().await.is_none());
}

#[tokio::test]
async fn an_alarm_is_in_the_state_that_it_was_set_to() {
    let aws = aws();
    aws.put_alarm(100.0).treat_missing_data("notBreaching").send().await.unwrap();
    let state = async || aws.alarm().await.unwrap().state_value.unwrap();
    assert_eq!(state().await, StateValue::InsufficientData);
    aws.sandbox.clock().advance(SETTLE);
    assert_eq!(state().await, StateValue::Ok, "no data is no breach, once it is evaluated");
    aws.sandbox.clock().advance(Duration::from_secs(60));
    aws.set_alarm(StateValue::Alarm).await;
    let fired = aws.alarm().await.unwrap().state_updated_timestamp.unwrap();
    aws.sandbox.clock().advance(Duration::from_secs(60));
    aws.set_alarm(StateValue::Ok).await;
    let history = async |since| {
        let ask = aws.cloudwatch.describe_alarm_history().alarm_name("errors").start_date(since);
        let found = ask.history_item_type(HistoryItemType::StateUpdate).send().await.unwrap();
        found.alarm_history_items().iter().map(|it| it.history_summary().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let calm = aws.alarm().await.unwrap().state_updated_timestamp.unwrap();
    assert_eq!(calm.secs() - fired.secs(), 60);
    assert_eq!(history(calm).await, ["Alarm updated from ALARM to OK"]);
    assert_eq!(history(fired).await.len(), 2);
}
