//! `aws.sns.subscription`: an endpoint that hears a topic.
//!
//! `Subscribe` gives back the subscription of that endpoint where there is one. So `capture` keeps whether there
//! was: then nothing is done, forward or back. It has no tags: where this run made the topic the proof is
//! strong, else it is weak.
//!
//! Web servers and people must confirm that they want to hear. Until they have, SNS neither sends anything nor lets
//! the subscription be taken away; one that nobody confirms is gone after 48 hours, or with its topic.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Listed, Topic};
use crate::calls::Calls;
use crate::errors::{Call, found, op_error};
use crate::ids::{SubscriptionArn, TopicArn};
use crate::named::{self, POLL};

/// An endpoint that hears a topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The topic (`Subscribe` TopicArn).
    pub topic_arn: TopicArn,
    /// How it is told (`Subscribe` Protocol).
    pub protocol: Protocol,
    /// Who is told: the ARN of a function or a queue, a URL, an address, a phone number (`Subscribe` Endpoint).
    pub endpoint: String,
    /// Whether messages come as they were published, without SNS's envelope; for queues and web servers (`Subscribe`
    /// RawMessageDelivery). AWS's default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_message_delivery: Option<bool>,
    /// Which messages it hears, by their attributes (`Subscribe` FilterPolicy). AWS's default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_policy: Option<serde_json::Map<String, Value>>,
}

/// How a subscriber is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A POST without encryption; the server confirms.
    Http,
    /// A POST; the server confirms.
    Https,
    /// A mail; its reader confirms.
    Email,
    /// A mail with the whole message in JSON; its reader confirms.
    EmailJson,
    /// A text message.
    Sms,
    /// A message in a queue.
    Sqs,
    /// A call of a function.
    Lambda,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Whether the endpoint heard the topic, or was asked to, with equal settings.
    pub subscribed: bool,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The subscription; not known of one that is to be confirmed and was looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_arn: Option<SubscriptionArn>,
    /// The topic.
    pub topic_arn: TopicArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subscription;

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Email => "email",
            Self::EmailJson => "email-json",
            Self::Sms => "sms",
            Self::Sqs => "sqs",
            Self::Lambda => "lambda",
        }
    }

    /// Whether the other side must confirm.
    fn is_confirmed(self) -> bool {
        matches!(self, Self::Http | Self::Https | Self::Email | Self::EmailJson)
    }

    /// What is wrong with an endpoint.
    fn fault(self, endpoint: &str) -> Option<String> {
        let (fits, wanted) = match self {
            Self::Http => (endpoint.starts_with("http://"), "a URL that begins with `http://`"),
            Self::Https => (endpoint.starts_with("https://"), "a URL that begins with `https://`"),
            Self::Email | Self::EmailJson => (endpoint.contains('@'), "a mail address"),
            Self::Sms => {
                let digits = endpoint.strip_prefix('+').unwrap_or(endpoint);
                let fits = (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                (fits, "a phone number such as `+4930123456`")
            }
            Self::Sqs => (is_arn(endpoint, "sqs"), "the ARN of a queue"),
            Self::Lambda => (is_arn(endpoint, "lambda"), "the ARN of a function"),
        };
        let host = endpoint.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        match fits {
            false => Some(format!("{endpoint:?} is not {wanted}, as the protocol `{}` asks for", self.as_str())),
            // The journal and the report would show it.
            true if host.contains('@') => Some("holds a name or a password; nothing hides them there".to_owned()),
            true => None,
        }
    }
}

fn is_arn(text: &str, service: &str) -> bool {
    let mut parts = text.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some(service) && parts.nth(2).is_some_and(|name| !name.is_empty())
}

impl Params {
    fn about(&self) -> String {
        format!("the subscription of {} {} to {}", self.protocol.as_str(), self.endpoint, self.topic_arn)
    }

    fn output(&self, arn: Option<&str>) -> Output {
        let arn = arn.filter(|arn| arn.starts_with("arn:"));
        Output { topic_arn: self.topic_arn.clone(), subscription_arn: arn.map(SubscriptionArn::new) }
    }

    /// Whether what is listed is of this endpoint. SNS writes the scheme and the host of a URL in lower case.
    fn is_of(&self, listed: &Listed) -> bool {
        listed.protocol == self.protocol.as_str() && listed.endpoint.eq_ignore_ascii_case(&self.endpoint)
    }

    /// What is asked for, by SNS's names.
    fn attributes(&self) -> HashMap<String, String> {
        let raw = self.raw_message_delivery.map(|on| ("RawMessageDelivery".to_owned(), on.to_string()));
        let filter = self.filter_policy.clone();
        let filter = filter.map(|filter| ("FilterPolicy".to_owned(), Value::Object(filter).to_string()));
        raw.into_iter().chain(filter).collect()
    }

    /// The settings in the form in which they are compared.
    fn settings(&self) -> Value {
        json!({
            "raw_message_delivery": self.raw_message_delivery.unwrap_or(false),
            "filter_policy": self.filter_policy.clone().unwrap_or_default(),
        })
    }
}

/// The settings that SNS gives back.
fn settings(attributes: &HashMap<String, String>) -> Value {
    let text = |name: &str| attributes.get(name).map_or("", String::as_str);
    let filter: Value = serde_json::from_str(text("FilterPolicy")).unwrap_or_else(|_| json!({}));
    json!({"raw_message_delivery": text("RawMessageDelivery") == "true", "filter_policy": filter})
}

/// The subscription of this endpoint, as it is listed.
async fn listed(cx: &Cx, params: &Params) -> OpResult<Option<Listed>> {
    let all = resource::subscriptions(cx, params.topic_arn.as_str()).await?;
    Ok(all.into_iter().find(|it| params.is_of(it)))
}

/// Its attributes; none where it is not there.
async fn attributes(cx: &Cx, arn: &str) -> OpResult<Option<HashMap<String, String>>> {
    let read = client(cx)?.get_subscription_attributes().subscription_arn(arn).send().await;
    let read = found(read.map_err(|e| op_error(Call::new("sns:GetSubscriptionAttributes", arn), e)))?;
    Ok(read.map(|reply| reply.attributes.unwrap_or_default()))
}

/// What is there of this endpoint, of what `arn` names or else of what is listed.
#[derive(Debug)]
enum There {
    Nothing,
    /// It is not confirmed, and its settings cannot be read without its ARN.
    Pending,
    /// With its ARN and attributes.
    Subscribed(String, HashMap<String, String>),
}

async fn there(cx: &Cx, params: &Params) -> OpResult<There> {
    let Some(listed) = listed(cx, params).await? else { return Ok(There::Nothing) };
    let Some(arn) = listed.arn else { return Ok(There::Pending) };
    let attributes = attributes(cx, &arn).await?;
    Ok(attributes.map_or(There::Nothing, |attributes| There::Subscribed(arn, attributes)))
}

/// Whether what this step made is there and can be taken away: confirmed, and the one that it made where that is
/// known.
async fn ours(cx: &Cx, params: &Params, out: &Output) -> OpResult<Option<String>> {
    let arn = listed(cx, params).await?.and_then(|listed| listed.arn);
    Ok(arn.filter(|arn| out.subscription_arn.as_ref().is_none_or(|made| made.as_str() == arn)))
}

impl Operation for Subscription {
    const KIND: &'static str = "aws.sns.subscription";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the subscription as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "sns:GetTopicAttributes",
                "sns:ListTagsForResource",
                "sns:ListSubscriptionsByTopic",
                "sns:GetSubscriptionAttributes",
            ],
            creates: "sns:Subscribe",
            settles: Vec::new(),
            rolls_back: vec!["sns:Unsubscribe"],
            besides: &[],
        };
        let residue = params.protocol.is_confirmed().then(|| {
            "An endpoint that has not confirmed by then stays asked; SNS forgets it after 48 hours.".to_owned()
        });
        // The ARN of a subscription is that of its topic with an id at the end.
        let topic = resource::known_arn(&params.topic_arn);
        let arns = topic.iter().map(|arn| format!("{arn}:*")).chain(topic.clone()).collect();
        let residue = residue.into_iter().collect();
        Facts { proof: ProofKind::ByFind, unique: true, arns, residue, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            topic_arn: TopicArn::new("arn:aws:sns:us-east-1:123456789012:alerts"),
            protocol: Protocol::Https,
            endpoint: "https://example.com/alerts".to_owned(),
            raw_message_delivery: Some(true),
            filter_policy: json!({"severity": ["high"]}).as_object().cloned(),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.topic_arn.check("topic_arn", &mut errors);
        if let Some(fault) = params.protocol.fault(&params.endpoint) {
            errors.push(ParamError::new("endpoint", fault));
        }
        let takes_raw = matches!(params.protocol, Protocol::Http | Protocol::Https | Protocol::Sqs);
        if params.raw_message_delivery == Some(true) && !takes_raw {
            errors.push(ParamError::new("raw_message_delivery", "is for the protocols http, https and sqs"));
        }
        if let Some(filter) = &params.filter_policy {
            if filter.is_empty() || filter.len() > 5 {
                errors.push(ParamError::new("filter_policy", "has 1 to 5 attributes"));
            }
            if let Some((name, _)) = filter.iter().find(|(_, values)| !values.is_array()) {
                errors.push(ParamError::new("filter_policy", format!("`{name}` takes a list of what it may be")));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        named::existing::<Topic>(cx, params.topic_arn.as_str()).await?;
        match there(cx, params).await? {
            There::Nothing => Ok(Before { subscribed: false }),
            There::Pending => Ok(Before { subscribed: true }),
            There::Subscribed(_, attributes) if settings(&attributes) == params.settings() => {
                Ok(Before { subscribed: true })
            }
            There::Subscribed(arn, _) => {
                let message = format!("{} is there already with other settings ({arn})", params.about());
                Err(OpError::foreign(message).with_hint("give it the same settings, or leave the step out"))
            }
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        match (before.subscribed, listed(cx, params).await?) {
            (true, Some(listed)) => return Ok(params.output(listed.arn.as_deref())),
            (true, None) => {
                return Err(OpError::drift(format!("{about} was there and was taken away since it was looked at")));
            }
            (false, Some(_)) => {
                return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} is there already")));
            }
            (false, None) => {}
        }
        let call = client(cx)?
            .subscribe()
            .topic_arn(params.topic_arn.as_str())
            .protocol(params.protocol.as_str())
            .endpoint(&params.endpoint)
            .set_attributes(Some(params.attributes()).filter(|all| !all.is_empty()))
            .return_subscription_arn(true);
        let made = call.send().await.map_err(|e| {
            let error = op_error(Call::new("sns:Subscribe", &about).just_made(), e);
            // SNS has one code for all that is wrong.
            let class =
                if error.message.contains("already exists with") { ErrorClass::AlreadyExists } else { error.class };
            OpError { class, ..error }
        })?;
        Ok(params.output(made.subscription_arn()))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let proof = |proof: Proof, arn: Option<&str>| Found::Ours { output: params.output(arn), proof };
        Ok(match there(cx, params).await? {
            There::Nothing => Found::Absent,
            // What was there before is not this run's, and `rollback` leaves it: there is nothing to prove.
            There::Pending if before.subscribed => proof(Proof::Strong, None),
            There::Subscribed(arn, _) if before.subscribed => proof(Proof::Strong, Some(&arn)),
            There::Pending => proof(resource::proof_by_topic(cx, params.topic_arn.as_str()).await?, None),
            There::Subscribed(arn, attributes) if settings(&attributes) == params.settings() => {
                proof(resource::proof_by_topic(cx, params.topic_arn.as_str()).await?, Some(&arn))
            }
            There::Subscribed(arn, _) => {
                Found::Foreign { what: format!("{} with other settings ({arn})", params.about()) }
            }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, out: &Output) -> OpResult<Undo> {
        if before.subscribed {
            return Ok(Undo::Nothing);
        }
        let Some(arn) = ours(cx, params, out).await? else { return Ok(Undo::Nothing) };
        let about = params.about();
        let gone = client(cx)?.unsubscribe().subscription_arn(&arn).send().await;
        if found(gone.map_err(|e| op_error(Call::new("sns:Unsubscribe", &about), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        let look = || async { Ok(ours(cx, params, out).await?.is_none().then_some(())) };
        cx.wait_for(&format!("waiting until {about} is gone"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let about = params.about();
        if want == Expect::RolledBack {
            let none = params.output(None);
            let is_there = match before.subscribed {
                true => listed(cx, params).await?.is_some(),
                false => ours(cx, params, out.unwrap_or(&none)).await?.is_some(),
            };
            return Ok(Verdict::new().compare(format!("{about} is there"), before.subscribed, is_there));
        }
        let now = there(cx, params).await?;
        let is_there = !matches!(now, There::Nothing);
        let mut verdict = Verdict::new().compare(format!("{about} is there"), true, is_there);
        // The settings of one that is to be confirmed are read by the ARN that its creation gave.
        let made = out.and_then(|out| out.subscription_arn.as_ref());
        let (arn, attributes) = match (now, made) {
            (There::Subscribed(arn, attributes), _) => (Some(arn), Some(attributes)),
            (There::Pending, Some(arn)) => (Some(arn.to_string()), attributes(cx, arn.as_str()).await?),
            (There::Pending | There::Nothing, _) => (None, None),
        };
        if let Some(attributes) = &attributes {
            verdict = verdict.compare("settings", params.settings(), settings(attributes));
        }
        let pending = attributes.as_ref().map(|all| all.get("PendingConfirmation").is_some_and(|is| is == "true"));
        verdict.observed = json!({
            "topic_arn": params.topic_arn, "protocol": params.protocol, "endpoint": params.endpoint,
            "subscription_arn": arn, "pending_confirmation": pending.unwrap_or(is_there),
            "settings": attributes.as_ref().map(settings),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alerts";
    const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:handler";
    const DONE: Answer = Answer::Reply(200, "<UnsubscribeResponse/>");

    fn params() -> Params {
        serde_json::from_value(json!({"topic_arn": TOPIC, "protocol": "lambda", "endpoint": FUNCTION})).unwrap()
    }

    fn list(arn: &str) -> Answer {
        let text = format!(
            "<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions><member>\
             <SubscriptionArn>{arn}</SubscriptionArn><Protocol>lambda</Protocol><Endpoint>{FUNCTION}</Endpoint></member>\
             </Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"
        );
        Answer::Reply(200, text.leak())
    }

    fn set(filter: &str) -> Answer {
        let text = format!(
            "<GetSubscriptionAttributesResponse><GetSubscriptionAttributesResult><Attributes><entry><key>FilterPolicy\
             </key><value>{filter}</value></entry></Attributes></GetSubscriptionAttributesResult>\
             </GetSubscriptionAttributesResponse>"
        );
        Answer::Reply(200, text.leak())
    }

    fn arn(id: &str) -> String {
        format!("{TOPIC}:{id}")
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |protocol: &str, endpoint: &str| {
            let params = json!({"topic_arn": TOPIC, "protocol": protocol, "endpoint": endpoint});
            Subscription.check(&serde_json::from_value(params).unwrap()).is_err()
        };
        for (protocol, endpoint) in [
            ("lambda", FUNCTION),
            ("sqs", "arn:aws:sqs:us-east-1:123456789012:q"),
            ("https", "https://example.com/a@b"),
            ("email", "a@example.com"),
            ("sms", "+4930123456"),
        ] {
            assert!(!wrong(protocol, endpoint), "{endpoint}");
            assert!(wrong(protocol, "x") && wrong(protocol, ""), "{protocol}");
        }
        assert!(wrong("https", "https://user:hush@example.com/") && wrong("lambda", "arn:aws:sqs:r:1:q"));
        let raw = Params { raw_message_delivery: Some(true), ..params() };
        assert_eq!(Subscription.check(&raw).unwrap_err()[0].path, ["raw_message_delivery"]);
        assert!(Subscription.facts(&params()).residue.is_empty(), "a function need not confirm");
        assert_eq!(Subscription.facts(&Subscription::example().unwrap()).residue.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_before_is_left_alone() {
        let script = Script::new([list(&arn("1"))]);
        let (cx, _) = watched("sub", script.config()).await;
        let before = Before { subscribed: true };
        let out = Subscription.create(&cx, &params(), &before).await.unwrap();
        assert_eq!(Subscription.rollback(&cx, &params(), &before, &out).await.unwrap(), Undo::Nothing);
        assert_eq!(script.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_this_step_made_is_taken_away() {
        let deleted = list("Deleted");
        let script = Script::new([
            list(&arn("1")),
            DONE,
            deleted,
            list(&arn("2")),
            list("PendingConfirmation"),
            list(&arn("2")),
        ]);
        let (cx, watch) = watched("sub", script.config()).await;
        let (before, out) = (Before { subscribed: false }, params().output(Some(&arn("1"))));
        let rollback = async || Subscription.rollback(&cx, &params(), &before, &out).await.unwrap();
        assert_eq!(rollback().await, Undo::Done);
        assert_eq!(rollback().await, Undo::Nothing, "another one of the same endpoint");
        assert_eq!(rollback().await, Undo::Nothing, "nobody can take it away before it is confirmed");
        let verdict = Subscription.verify(&cx, &params(), &before, Some(&out), Expect::RolledBack).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!(watch.calls.lock().unwrap().iter().filter(|c| c.operation == "Unsubscribe").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn settings_are_compared_as_json() {
        let script = Script::new([list(&arn("1")), set(r#"{"a": ["b"]}"#), list(&arn("1")), set("")]);
        let (cx, _) = watched("sub", script.config()).await;
        let params = Params { filter_policy: json!({"a":["b"]}).as_object().cloned(), ..params() };
        for fine in [true, false] {
            let verdict = Subscription.verify(&cx, &params, &Before { subscribed: false }, None, Expect::Created).await;
            assert_eq!(verdict.unwrap().holds(), fine);
        }
    }
}
