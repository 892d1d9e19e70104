//! `aws.sns.topic`: a topic that messages are published to.
//!
//! `CreateTopic` gives back a topic of that name with the same attributes and tags. The tags that say whose it
//! is are given in that call, so another's topic is refused by SNS itself, also one that was made between the
//! look and the call. Deleting a topic takes its subscriptions along: those that somebody else made are drift.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sns::types::Tag;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Topic as Described};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::TopicArn;
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// What the name of a topic that keeps the order of messages ends with.
const FIFO: &str = ".fifo";

/// A topic of SNS.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 256 letters, digits and `_-`; that of a FIFO topic ends with `.fifo` (`CreateTopic` Name).
    pub name: String,
    /// The name that messages come from, up to 100 characters (`CreateTopic` DisplayName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The key that encrypts messages: an ARN, an id or an alias such as `alias/aws/sns`, which CloudWatch cannot
    /// use (`CreateTopic` KmsMasterKeyId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_master_key_id: Option<String>,
    /// Whether messages keep their order; cannot be changed later (`CreateTopic` FifoTopic). AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fifo_topic: Option<bool>,
    /// Whether equal messages are one message; of a FIFO topic only (`CreateTopic` ContentBasedDeduplication). AWS's
    /// default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_based_deduplication: Option<bool>,
    /// How messages are signed: 1 with SHA-1, 2 with SHA-256 (`CreateTopic` SignatureVersion). AWS's default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_version: Option<u8>,
    /// Tags, beside those that say whose it is (`CreateTopic` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub topic_arn: TopicArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Topic;

impl Params {
    fn about(&self) -> String {
        format!("topic `{}`", self.name)
    }

    fn output(&self, arn: &str) -> Output {
        Output { name: self.name.clone(), topic_arn: TopicArn::new(arn) }
    }

    /// What is asked for, by SNS's names.
    fn attributes(&self) -> BTreeMap<&'static str, String> {
        let flag = |on: Option<bool>| on.map(|on| on.to_string());
        let all = [
            ("DisplayName", self.display_name.clone()),
            ("KmsMasterKeyId", self.kms_master_key_id.clone()),
            ("FifoTopic", flag(self.fifo_topic)),
            ("ContentBasedDeduplication", flag(self.content_based_deduplication)),
            ("SignatureVersion", self.signature_version.map(|version| version.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The subscriptions that are on a topic, for a message. One that nobody confirmed hears nothing.
async fn subscribers(cx: &Cx, arn: &str) -> OpResult<Option<String>> {
    let all = resource::subscriptions(cx, arn).await?;
    let all: Vec<_> = all.into_iter().filter(|it| it.arn.is_some()).collect();
    let named = all.iter().map(|it| format!("{} {}", it.protocol, it.endpoint)).collect::<Vec<_>>().join(", ");
    Ok((!all.is_empty()).then(|| format!("subscriptions ({named})")))
}

fn tags_of(cx: &Cx, user: &Tags) -> OpResult<Vec<Tag>> {
    let tags: Result<_, _> =
        tags::all(cx, user).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    tags.map_err(|e| OpError::permanent(format!("a tag cannot be sent: {e}")))
}

impl Operation for Topic {
    const KIND: &'static str = "aws.sns.topic";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the topic as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "sns:ListTopics",
                "sns:GetTopicAttributes",
                "sns:ListTagsForResource",
                "sns:ListSubscriptionsByTopic",
            ],
            creates: "sns:CreateTopic",
            settles: Vec::new(),
            rolls_back: vec!["sns:DeleteTopic"],
            besides: &["sns:TagResource"],
        };
        let arn = format!("arn:{{partition}}:sns:{{region}}:{{account}}:{}", params.name);
        Facts { unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            name: "alerts.fifo".to_owned(),
            display_name: Some("Alerts".to_owned()),
            kms_master_key_id: Some("alias/alerts".to_owned()),
            fifo_topic: Some(true),
            content_based_deduplication: Some(true),
            signature_version: Some(2),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let (name, is_fifo) = (params.name.as_str(), params.fifo_topic == Some(true));
        let stem = if is_fifo { name.strip_suffix(FIFO).unwrap_or(name) } else { name };
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if stem.is_empty() || name.len() > 256 || !stem.chars().all(fits) {
            wrong("name", format!("{name:?} is not 1 to 256 letters, digits, _ and -"));
        } else if is_fifo && stem == name {
            wrong("name", format!("the name of a FIFO topic ends with `{FIFO}`"));
        }
        if params.display_name.as_ref().is_some_and(|text| text.chars().count() > 100) {
            wrong("display_name", "has up to 100 characters".to_owned());
        }
        if params.kms_master_key_id.as_deref() == Some("") {
            wrong("kms_master_key_id", "is empty; leave it out for a topic that is not encrypted".to_owned());
        }
        if params.content_based_deduplication.is_some() && !is_fifo {
            wrong("content_based_deduplication", "needs `fifo_topic: true`".to_owned());
        }
        if params.signature_version.is_some_and(|version| !(1..=2).contains(&version)) {
            wrong("signature_version", "is 1 or 2".to_owned());
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Described>(cx, &params.name).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<Described>(cx, known, "name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        named::still_absent::<Described>(cx, &params.name).await?;
        let about = params.about();
        let attributes: HashMap<_, _> =
            params.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let call = client(cx)?
            .create_topic()
            .name(&params.name)
            .set_attributes(Some(attributes).filter(|all| !all.is_empty()))
            .set_tags(Some(tags_of(cx, &params.tags)?));
        let made = call.send().await.map_err(|e| {
            let error = op_error(Call::new("sns:CreateTopic", &about), e);
            // SNS has one code for all that is wrong.
            let class =
                if error.message.contains("already exists with") { ErrorClass::AlreadyExists } else { error.class };
            OpError { class, ..error }
        })?;
        made.topic_arn().map(|arn| params.output(arn)).ok_or_else(|| nameless("sns:CreateTopic", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Described, _>(cx, &params.name, |topic| params.output(&topic.arn)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let arn = out.topic_arn.as_str();
        named::emptied::<Described, _>(cx, arn, || subscribers(cx, arn)).await?;
        if named::ours::<Described>(cx, arn).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_topic().topic_arn(arn).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("sns:DeleteTopic", &params.about()), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Described>(cx, arn, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = out.map_or(params.name.as_str(), |out| out.topic_arn.as_str());
        if want == Expect::RolledBack {
            return named::verify_gone::<Described>(cx, name).await;
        }
        let Some(topic) = Described::read(cx, name).await? else { return Ok(named::missing::<Described>(name)) };
        let mut verdict = named::verdict(cx, &topic, &params.tags);
        for (attribute, wanted) in params.attributes() {
            verdict = verdict.compare(attribute, wanted, topic.attribute(attribute));
        }
        verdict.observed = json!({
            "name": params.name, "topic_arn": topic.arn, "display_name": topic.attribute("DisplayName"),
            "kms_master_key_id": topic.attribute("KmsMasterKeyId"), "policy": topic.attribute("Policy"),
            "subscriptions_confirmed": topic.attribute("SubscriptionsConfirmed").parse::<u64>().ok(),
            "subscriptions_pending": topic.attribute("SubscriptionsPending").parse::<u64>().ok(),
            "tags": topic.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx};

    const ARN: &str = "arn:aws:sns:us-east-1:123456789012:alerts";
    const GONE: Answer = Answer::Reply(404, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>");

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn alerts() -> Params {
        params(json!({"name": "alerts", "display_name": "Alerts"}))
    }

    fn out() -> Output {
        alerts().output(ARN)
    }

    fn reply(action: &str, inner: &str) -> Answer {
        let text = format!("<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>");
        Answer::Reply(200, text.leak())
    }

    fn attributes() -> Answer {
        let entry = "<entry><key>DisplayName</key><value>Alerts</value></entry>";
        reply("GetTopicAttributes", &format!("<Attributes>{entry}</Attributes>"))
    }

    fn ours() -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let tags = [("switchback:run", run.as_str()), ("switchback:step", "topic"), ("switchback:generation", "1")];
        let tag = |(key, value): &(&str, &str)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
        let tags: String = tags.iter().map(tag).collect();
        reply("ListTagsForResource", &format!("<Tags>{tags}</Tags>"))
    }

    fn untagged() -> Answer {
        reply("ListTagsForResource", "<Tags/>")
    }

    fn subscribed(arn: &str) -> Answer {
        let one = format!(
            "<member><SubscriptionArn>{arn}</SubscriptionArn><Protocol>sqs</Protocol><Endpoint>arn:q</Endpoint></member>"
        );
        let one = if arn.is_empty() { String::new() } else { one };
        reply("ListSubscriptionsByTopic", &format!("<Subscriptions>{one}</Subscriptions>"))
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |value: Value| -> Vec<String> {
            let errors = Topic.check(&params(value)).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect()
        };
        assert!(wrong(json!({"name": "mistersmith-alerts"})).is_empty());
        for name in ["", "a b", "a.fifo", "a:b"] {
            assert_eq!(wrong(json!({"name": name})), ["name"], "{name}");
        }
        assert_eq!(wrong(json!({"name": "a", "fifo_topic": true})), ["name"]);
        assert_eq!(
            wrong(json!({"name": "a", "content_based_deduplication": true, "signature_version": 3})),
            ["content_based_deduplication", "signature_version"]
        );
        let facts = Topic.facts(&alerts());
        assert_eq!(facts.arns, ["arn:{partition}:sns:{region}:{account}:alerts"]);
        assert!(facts.unique && facts.settles.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn anothers_topic_is_refused_by_sns_too() {
        let page = reply("ListTopics", "<Topics/>");
        let refused = "<ErrorResponse><Error><Code>InvalidParameter</Code><Message>Invalid parameter: Tags Reason: Topic \
                       already exists with different tags</Message></Error></ErrorResponse>";
        let other = "<ErrorResponse><Error><Code>InvalidParameter</Code><Message>Invalid parameter: Topic Name</Message>\
                     </Error></ErrorResponse>";
        let script = Script::new([page.clone(), Answer::Reply(400, refused), page, Answer::Reply(400, other)]);
        let cx = cx("topic", script.config()).await;
        let create = async || Topic.create(&cx, &alerts(), &Absent {}).await.unwrap_err().class;
        assert_eq!(create().await, ErrorClass::AlreadyExists);
        assert_eq!(create().await, ErrorClass::Permanent);
        let body = &script.bodies.lock().unwrap()[1];
        assert!(body.contains("switchback%3Arun") && body.contains("DisplayName"), "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_others_hear_is_not_deleted() {
        let mine = format!("{ARN}:1");
        // Listed for a while although it is gone, and then gone; the topic is another's.
        let script = Script::new([subscribed(&mine), subscribed("PendingConfirmation"), attributes(), untagged()]);
        let cx = cx("topic", script.config()).await;
        let error = Topic.rollback(&cx, &alerts(), &Absent {}, &out()).await.unwrap_err();
        assert_eq!((error.class, script.requests()), (ErrorClass::Drift, 4), "{error}");
        let script = Script::new(std::iter::repeat_n(subscribed(&mine), 100));
        let cx = crate::testing::cx("topic", script.config()).await;
        let error = Topic.rollback(&cx, &alerts(), &Absent {}, &out()).await.unwrap_err();
        assert!(error.class == ErrorClass::Drift && error.message.contains("sqs arn:q"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_it_is_gone() {
        let done = reply("DeleteTopic", "");
        let script = Script::new([subscribed(""), attributes(), ours(), done, attributes(), ours(), GONE, GONE, GONE]);
        let cx = cx("topic", script.config()).await;
        let rollback = async || Topic.rollback(&cx, &alerts(), &Absent {}, &out()).await.unwrap();
        assert_eq!((rollback().await, rollback().await), (Undo::Done, Undo::Nothing));
        assert_eq!(script.requests(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_compared() {
        let script = Script::new([attributes(), ours(), attributes(), ours()]);
        let cx = cx("topic", script.config()).await;
        for (display, fine) in [("Alerts", true), ("Other", false)] {
            let params = params(json!({"name": "alerts", "display_name": display}));
            let verdict = Topic.verify(&cx, &params, &Absent {}, Some(&out()), Expect::Created).await.unwrap();
            assert_eq!(verdict.holds(), fine, "{verdict:?}");
        }
    }
}
