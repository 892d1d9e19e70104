//! SNS: topics, their attributes, and subscriptions. Nothing is delivered.
//!
//! Web servers and people confirm a subscription with a token that they are sent; here the token is the ARN of the
//! subscription.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::picture::sns::{Sns, Subscription, Topic};
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

const PENDING: &str = "PendingConfirmation";
const MOST_TAGS: usize = 50;
/// How many items a page of a list has.
const PAGE: usize = 100;
/// What may be set of a topic; those in the second list only when it is made.
const TOPIC: [&str; 9] = [
    "DisplayName",
    "Policy",
    "DeliveryPolicy",
    "KmsMasterKeyId",
    "SignatureVersion",
    "TracingConfig",
    "ContentBasedDeduplication",
    "ArchivePolicy",
    "FifoThroughputScope",
];
const TOPIC_MADE: [&str; 1] = ["FifoTopic"];
const SUBSCRIPTION: [&str; 5] =
    ["DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"];

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let params = input.params()?;
    let inner = match input.action.as_str() {
        "CreateTopic" => create_topic(desk, params).await,
        "DeleteTopic" => delete_topic(desk, params).await,
        "GetTopicAttributes" => get_topic(desk, params),
        "SetTopicAttributes" => set_topic(desk, params).await,
        "ListTopics" => list_topics(desk, params),
        "Subscribe" => subscribe(desk, params).await,
        "ConfirmSubscription" => confirm(desk, params).await,
        "Unsubscribe" => unsubscribe(desk, params).await,
        "GetSubscriptionAttributes" => get_subscription(desk, params),
        "SetSubscriptionAttributes" => set_subscription(desk, params).await,
        "ListSubscriptions" | "ListSubscriptionsByTopic" => list_subscriptions(desk, params),
        "TagResource" | "UntagResource" => tag(desk, params).await,
        "ListTagsForResource" => list_tags(desk, params),
        // A call that has no rules here yet.
        _ => return desk.pass_on(input).await,
    };
    inner.map(Answer::Inner)
}

fn invalid(why: impl std::fmt::Display) -> Refusal {
    Refusal::new("InvalidParameter", format!("Invalid parameter: {why}"))
}

fn not_found(what: &str) -> Refusal {
    Refusal::new("NotFound", format!("{what} does not exist")).with_status(404)
}

fn sns<'a>(desk: &'a Desk<'_>) -> &'a Sns {
    &desk.picture().sns
}

/// The topic that a call names.
fn topic<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Topic), Refusal> {
    let arn = params.get("TopicArn").filter(|arn| !arn.is_empty()).ok_or_else(|| invalid("TopicArn"))?;
    Ok((arn, sns(desk).topics.get(arn).ok_or_else(|| not_found("Topic"))?))
}

/// The subscription that a call names.
fn subscription<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Subscription), Refusal> {
    let arn = params.get("SubscriptionArn").filter(|arn| arn.starts_with("arn:"));
    let arn = arn.ok_or_else(|| invalid("SubscriptionArn Reason: An ARN must have at least 6 elements"))?;
    Ok((arn, sns(desk).subscriptions.get(arn).ok_or_else(|| not_found("Subscription"))?))
}

/// `Attributes.entry.N.key` with its value.
fn attributes(params: &Params) -> BTreeMap<String, String> {
    let pairs = (1..).map_while(|n| {
        let key = params.get(&format!("Attributes.entry.{n}.key"))?;
        Some((key.to_owned(), params.get(&format!("Attributes.entry.{n}.value")).unwrap_or_default().to_owned()))
    });
    pairs.collect()
}

fn tags_in(params: &Params) -> Result<Tags, Refusal> {
    let pairs = params.tag_pairs("Tags.member").into_iter();
    let tags: Tags = pairs.map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned())).collect();
    let wrong = |(key, value): &(&String, &String)| {
        key.is_empty() || key.len() > 128 || value.len() > 256 || key.to_ascii_lowercase().starts_with("aws:")
    };
    tags.iter().find(wrong).map_or(Ok(()), |(key, _)| Err(invalid(format_args!("Tags Reason: {key}"))))?;
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Refusal> {
    let message = "Could not complete request: tag quota of per resource exceeded";
    if tags.len() > MOST_TAGS { Err(Refusal::new("TagLimitExceeded", message)) } else { Ok(()) }
}

/// What SNS sets where nothing is given.
fn defaults(desk: &Desk<'_>, arn: &str) -> BTreeMap<String, String> {
    let account = &desk.place.account;
    let actions = [
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    ];
    let policy = json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions.map(|action| format!("SNS:{action}")),
            "Resource": arn,
            "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
        }],
    });
    let all = [("DisplayName", String::new()), ("Policy", policy.to_string()), ("Owner", account.clone())];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The value of an attribute of a topic, as far as SNS looks at it.
fn check_attribute(name: &str, value: &str) -> Result<(), Refusal> {
    match name {
        "DisplayName" if value.chars().count() > 100 => Err(invalid("DisplayName")),
        "SignatureVersion" if !["1", "2"].contains(&value) => Err(invalid("Attributes Reason: SignatureVersion")),
        "Policy" => {
            let document: Value = serde_json::from_str(value).map_err(|_| invalid("Policy Error: null"))?;
            let statements = match &document["Statement"] {
                Value::Array(all) => all.clone(),
                one @ Value::Object(_) => vec![one.clone()],
                _ => return Err(invalid("Policy Error: null")),
            };
            let actions = statements.iter().flat_map(|statement| match &statement["Action"] {
                Value::Array(all) => all.clone(),
                one => vec![one.clone()],
            });
            let is_own = |action: &Value| {
                action.as_str().is_some_and(|it| it == "*" || it.to_ascii_lowercase().starts_with("sns:"))
            };
            let out_of_scope = actions.into_iter().any(|action| !action.is_null() && !is_own(&action));
            if out_of_scope { Err(invalid("Policy statement action out of service scope!")) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn entries(xml: &mut Xml, attributes: &BTreeMap<String, String>) {
    xml.tag("Attributes", |xml| {
        for (name, value) in attributes {
            xml.tag("entry", |xml| {
                xml.leaf("key", name);
                xml.leaf("value", value);
            });
        }
    });
}

async fn create_topic(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = params.get("Name").unwrap_or_default();
    let (given, tags) = (attributes(params), tags_in(params)?);
    let is_fifo = given.get("FifoTopic").is_some_and(|is| is == "true");
    let stem = if is_fifo { name.strip_suffix(".fifo").unwrap_or_default() } else { name };
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if stem.is_empty() || name.len() > 256 || !stem.chars().all(fits) {
        return Err(invalid("Topic Name"));
    }
    for (attribute, value) in &given {
        if !TOPIC.contains(&attribute.as_str()) && !TOPIC_MADE.contains(&attribute.as_str()) {
            return Err(invalid(format_args!("Attributes Reason: Unknown attribute {attribute}")));
        }
        check_attribute(attribute, value)?;
    }
    let arn = desk.place.arn(Service::Sns, name);
    if let Some(there) = sns(desk).topics.get(&arn) {
        if given.iter().any(|(name, value)| there.attributes.get(name) != Some(value)) {
            return Err(invalid("Attributes Reason: Topic already exists with different attributes"));
        }
        if !tags.is_empty() && tags != there.tags {
            return Err(invalid("Tags Reason: Topic already exists with different tags"));
        }
    } else {
        let mut attributes = defaults(desk, &arn);
        attributes.extend(given);
        desk.emulator.put_topic(&arn, Topic { name: name.to_owned(), attributes, tags }).await;
        desk.look();
    }
    let mut xml = Xml::new();
    xml.leaf("TopicArn", &arn);
    Ok(xml.finish())
}

/// A topic that is not there is as good as deleted.
async fn delete_topic(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = params.get("TopicArn").filter(|arn| !arn.is_empty()).ok_or_else(|| invalid("TopicArn"))?;
    if sns(desk).topics.contains_key(arn) {
        desk.emulator.drop_topic(arn).await;
        desk.look();
    }
    Ok(String::new())
}

fn get_topic(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, topic) = topic(desk, params)?;
    let count = |confirmed: bool| sns(desk).of_topic(arn).filter(|(_, it)| it.confirmed == confirmed).count();
    let mut all = topic.attributes.clone();
    for (name, value) in [
        ("TopicArn", arn.to_owned()),
        ("SubscriptionsConfirmed", count(true).to_string()),
        ("SubscriptionsPending", count(false).to_string()),
        ("SubscriptionsDeleted", "0".to_owned()),
    ] {
        all.insert(name.to_owned(), value);
    }
    let mut xml = Xml::new();
    entries(&mut xml, &all);
    Ok(xml.finish())
}

async fn set_topic(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, topic) = topic(desk, params)?;
    let (name, value) =
        (params.get("AttributeName").unwrap_or_default(), params.get("AttributeValue").unwrap_or_default());
    if !TOPIC.contains(&name) {
        return Err(invalid("AttributeName"));
    }
    check_attribute(name, value)?;
    let mut topic = topic.clone();
    topic.attributes.insert(name.to_owned(), value.to_owned());
    desk.emulator.put_topic(arn, topic).await;
    desk.look();
    Ok(String::new())
}

/// One page of a list, each item written by `each`.
fn page<T>(
    params: &Params,
    list: &str,
    all: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut Xml, T),
) -> Result<String, Refusal> {
    let start = params.get("NextToken").map_or(Ok(0), str::parse).map_err(|_| invalid("NextToken"))?;
    let mut rest = all.skip(start).peekable();
    let mut xml = Xml::new();
    xml.tag(list, |xml| {
        for item in rest.by_ref().take(PAGE) {
            xml.tag("member", |xml| each(xml, item));
        }
    });
    if rest.peek().is_some() {
        xml.leaf("NextToken", start + PAGE);
    }
    Ok(xml.finish())
}

fn list_topics(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    page(params, "Topics", sns(desk).topics.keys(), |xml, arn| xml.leaf("TopicArn", arn))
}

async fn subscribe(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let topic = topic(desk, params)?.0.to_owned();
    let (protocol, endpoint) = (params.get("Protocol").unwrap_or_default(), params.get("Endpoint").unwrap_or_default());
    let fits = match protocol {
        "http" => endpoint.starts_with("http://"),
        "https" => endpoint.starts_with("https://"),
        "email" | "email-json" => endpoint.contains('@'),
        "sms" => endpoint.bytes().all(|b| b.is_ascii_digit() || b == b'+') && !endpoint.is_empty(),
        "sqs" => endpoint.starts_with("arn:aws:sqs:"),
        "lambda" => endpoint.starts_with("arn:aws:lambda:"),
        "application" | "firehose" => endpoint.starts_with("arn:aws:"),
        _ => return Err(invalid(format_args!("Amazon SNS does not support this protocol string: {protocol}"))),
    };
    if !fits {
        return Err(invalid("Endpoint"));
    }
    let given = attributes(params);
    if let Some(other) = given.keys().find(|name| !SUBSCRIPTION.contains(&name.as_str())) {
        return Err(invalid(format_args!("Attributes Reason: Unknown attribute: {other}")));
    }
    for name in ["FilterPolicy", "RedrivePolicy"] {
        if given.get(name).is_some_and(|text| serde_json::from_str::<Value>(text).is_err()) {
            return Err(invalid(format_args!("Attributes Reason: {name}: failed to parse JSON.")));
        }
    }
    let there = sns(desk).of_topic(&topic).find(|(_, it)| it.protocol == protocol && it.endpoint == endpoint);
    let (arn, confirmed) = match there {
        Some((_, it)) if !given.is_empty() && it.attributes != given => {
            return Err(invalid("Attributes Reason: Subscription already exists with different attributes"));
        }
        Some((arn, it)) => (arn.clone(), it.confirmed),
        None => {
            let confirmed = !["http", "https", "email", "email-json"].contains(&protocol);
            let arn = format!("{topic}:5b0c5b0c-0000-4000-8000-{:012x}", desk.notes_mut().next_made());
            let subscription = Subscription {
                topic,
                protocol: protocol.to_owned(),
                endpoint: endpoint.to_owned(),
                confirmed,
                attributes: given,
                tags: Tags::new(),
            };
            desk.emulator.put_subscription(&arn, &desk.place.account, subscription).await;
            desk.look();
            if let Some(caller) = desk.caller {
                let caller = caller.access_key.clone();
                desk.notes_mut().makers.insert(arn.clone(), caller);
            }
            (arn, confirmed)
        }
    };
    let tell = confirmed || params.flag("ReturnSubscriptionArn")? == Some(true);
    let mut xml = Xml::new();
    xml.leaf("SubscriptionArn", if tell { arn.as_str() } else { "pending confirmation" });
    Ok(xml.finish())
}

async fn confirm(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (topic, _) = topic(desk, params)?;
    let arn = params.get("Token").unwrap_or_default();
    let found = sns(desk).subscriptions.get(arn).filter(|it| it.topic == topic);
    let found = found.ok_or_else(|| invalid("Token"))?.clone();
    desk.emulator.put_subscription(arn, &desk.place.account, Subscription { confirmed: true, ..found }).await;
    desk.look();
    let mut xml = Xml::new();
    xml.leaf("SubscriptionArn", arn);
    Ok(xml.finish())
}

async fn unsubscribe(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, it) = subscription(desk, params)?;
    if !it.confirmed {
        return Err(invalid("SubscriptionArn Reason: This subscription is pending confirmation"));
    }
    desk.emulator.drop_subscription(arn).await;
    desk.look();
    Ok(String::new())
}

fn get_subscription(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, it) = subscription(desk, params)?;
    let mut all = it.attributes.clone();
    all.entry("RawMessageDelivery".to_owned()).or_insert_with(|| "false".to_owned());
    for (name, value) in [
        ("SubscriptionArn", arn.to_owned()),
        ("TopicArn", it.topic.clone()),
        ("Protocol", it.protocol.clone()),
        ("Endpoint", it.endpoint.clone()),
        ("Owner", desk.place.account.clone()),
        (PENDING, (!it.confirmed).to_string()),
    ] {
        all.insert(name.to_owned(), value);
    }
    let mut xml = Xml::new();
    entries(&mut xml, &all);
    Ok(xml.finish())
}

async fn set_subscription(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, it) = subscription(desk, params)?;
    let (name, value) =
        (params.get("AttributeName").unwrap_or_default(), params.get("AttributeValue").unwrap_or_default());
    if !SUBSCRIPTION.contains(&name) {
        return Err(invalid("AttributeName"));
    }
    let mut it = it.clone();
    it.attributes.insert(name.to_owned(), value.to_owned());
    desk.emulator.put_subscription(arn, &desk.place.account, it).await;
    desk.look();
    Ok(String::new())
}

fn list_subscriptions(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let of = params.get("TopicArn").map(|_| topic(desk, params)).transpose()?.map(|(arn, _)| arn);
    let all = sns(desk).subscriptions.iter().filter(|(_, it)| of.is_none_or(|of| it.topic == of));
    page(params, "Subscriptions", all, |xml, (arn, it)| {
        xml.leaf("TopicArn", &it.topic);
        xml.leaf("Protocol", &it.protocol);
        xml.leaf("SubscriptionArn", if it.confirmed { arn } else { PENDING });
        xml.leaf("Owner", &desk.place.account);
        xml.leaf("Endpoint", &it.endpoint);
    })
}

/// The topic that a call about tags names: nothing else has tags.
fn tagged<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Topic), Refusal> {
    let arn = params.get("ResourceArn").filter(|arn| !arn.is_empty()).ok_or_else(|| invalid("ResourceArn"))?;
    let found = sns(desk).topics.get(arn);
    let missing = || Refusal::new("ResourceNotFound", "Resource does not exist").with_status(404);
    Ok((arn, found.ok_or_else(missing)?))
}

async fn tag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let given = tags_in(params)?;
    let (arn, topic) = tagged(desk, params)?;
    let mut topic = topic.clone();
    topic.tags.extend(given);
    for key in params.list("TagKeys.member") {
        topic.tags.remove(key);
    }
    check_count(&topic.tags)?;
    desk.emulator.put_topic(arn, topic).await;
    desk.look();
    Ok(String::new())
}

fn list_tags(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (_, topic) = tagged(desk, params)?;
    let mut xml = Xml::new();
    xml.tag("Tags", |xml| {
        for (key, value) in &topic.tags {
            xml.tag("member", |xml| {
                xml.leaf("Key", key);
                xml.leaf("Value", value);
            });
        }
    });
    Ok(xml.finish())
}
