//! `aws.sns.topic_policy`: who may do what with a topic.
//!
//! `SetTopicAttributes` writes over what is there, and a topic always has a policy, if only SNS's default one. So
//! `capture` keeps the document, each write reads once more right before it, and the way back puts the document
//! back. It has neither an id nor tags: where this run made the topic the proof is strong, else it is weak.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Topic};
use crate::calls::Calls;
use crate::document::{Document, Purpose, normal};
use crate::errors::{Call, op_error};
use crate::ids::TopicArn;
use crate::named::{self, POLL};

/// The longest policy of a topic.
const LONGEST: usize = 30_720;
const POLICY: &str = "Policy";

/// The policy of a topic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The topic (`SetTopicAttributes` TopicArn).
    pub topic_arn: TopicArn,
    /// Who may do what with it: a policy document, as an object or as its JSON text (`SetTopicAttributes` Policy).
    /// It takes the place of the whole policy, SNS's default one as well.
    pub policy: Document,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The document, as text.
    pub policy: String,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The topic.
    pub topic_arn: TopicArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct TopicPolicy;

impl Params {
    fn about(&self) -> String {
        format!("the policy of {}", self.topic_arn)
    }

    fn output(&self) -> Output {
        Output { topic_arn: self.topic_arn.clone() }
    }
}

/// Where the document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As it was before, which is not what is asked for.
    Before,
    /// As asked for.
    Ours,
    /// As asked for, and it was so before.
    Both,
    /// There is no topic any more, so no policy either.
    Gone,
    /// Something else.
    Moved,
}

fn standing(params: &Params, before: &Before, now: Option<&str>) -> Standing {
    let Some(now) = now.map(normal) else { return Standing::Gone };
    match (now == normal(&before.policy), now == params.policy.normal()) {
        (true, true) => Standing::Both,
        (true, false) => Standing::Before,
        (false, true) => Standing::Ours,
        (false, false) => Standing::Moved,
    }
}

/// The document that is there, as text; none without the topic.
async fn document(cx: &Cx, params: &Params) -> OpResult<Option<String>> {
    let attributes = resource::attributes(cx, params.topic_arn.as_str()).await?;
    Ok(attributes.map(|mut all| all.remove(POLICY).unwrap_or_default()))
}

async fn set(cx: &Cx, params: &Params, document: String) -> OpResult<()> {
    let about = params.about();
    let call = client(cx)?.set_topic_attributes().topic_arn(params.topic_arn.as_str());
    let set = call.attribute_name(POLICY).attribute_value(document).send().await;
    set.map_err(|e| op_error(Call::new("sns:SetTopicAttributes", &about).just_made(), e))?;
    Ok(())
}

impl Operation for TopicPolicy {
    const KIND: &'static str = "aws.sns.topic_policy";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the document as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["sns:GetTopicAttributes", "sns:ListTagsForResource"],
            creates: "sns:SetTopicAttributes",
            settles: Vec::new(),
            rolls_back: vec!["sns:SetTopicAttributes"],
            besides: &[],
        };
        let arns = resource::known_arn(&params.topic_arn);
        Facts { proof: ProofKind::ByFind, unique: true, arns, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let topic = "arn:aws:sns:us-east-1:123456789012:alerts";
        Some(Params {
            topic_arn: TopicArn::new(topic),
            policy: Document::new(json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudwatch.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": topic,
                }],
            })),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.topic_arn.check("topic_arn", &mut errors);
        params.policy.check(Purpose::Resource, LONGEST, "policy", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let topic = named::existing::<Topic>(cx, params.topic_arn.as_str()).await?;
        Ok(Before { policy: topic.attribute(POLICY).to_owned() })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        // An earlier step may have made the topic a moment ago.
        let waiting_for = format!("waiting until {} can be seen", params.topic_arn);
        let now = named::patiently(cx, &waiting_for, || document(cx, params), Option::is_some).await?;
        match standing(params, before, now.as_deref()) {
            Standing::Before => set(cx, params, params.policy.text()).await?,
            Standing::Both => {}
            Standing::Ours => {
                return Err(OpError::new(ErrorClass::AlreadyExists, format!("{about} says already what it should")));
            }
            Standing::Gone => return Err(OpError::drift(format!("{} is no longer there", params.topic_arn))),
            Standing::Moved => return Err(OpError::drift(format!("{about} was changed since it was looked at"))),
        }
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        Ok(match standing(params, before, document(cx, params).await?.as_deref()) {
            Standing::Before | Standing::Gone => Found::Absent,
            // What was so before is left so by `rollback`: there is nothing to prove.
            Standing::Both => Found::Ours { output: params.output(), proof: Proof::Strong },
            Standing::Ours => {
                let proof = resource::proof_by_topic(cx, params.topic_arn.as_str()).await?;
                Found::Ours { output: params.output(), proof }
            }
            Standing::Moved => Found::Foreign { what: format!("{} with another document", params.about()) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        match standing(params, before, document(cx, params).await?.as_deref()) {
            Standing::Before | Standing::Both | Standing::Gone => return Ok(Undo::Nothing),
            Standing::Ours => {}
            Standing::Moved => {
                return Err(OpError::drift(format!(
                    "{about} says something else: it is neither what this run wrote nor what was there before"
                )));
            }
        }
        set(cx, params, before.policy.clone()).await?;
        let look = || async {
            let now = document(cx, params).await?;
            let is_back = matches!(standing(params, before, now.as_deref()), Standing::Before | Standing::Gone);
            Ok(is_back.then_some(()))
        };
        cx.wait_for(&format!("waiting until {about} is as it was"), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let now = document(cx, params).await?;
        let got = now.as_deref().map_or(Value::Null, normal);
        let wanted = match want {
            Expect::Created => params.policy.normal(),
            // With the topic its policy is gone as well, and there is nothing to put back.
            Expect::RolledBack if now.is_none() => Value::Null,
            Expect::RolledBack => normal(&before.policy),
        };
        let mut verdict = Verdict::new().compare(params.about(), wanted, got);
        verdict.observed = json!({"topic_arn": params.topic_arn, "policy": now});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const DEFAULT: &str = r#"{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[]}"#;
    const GONE: Answer = Answer::Reply(404, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>");
    const DONE: Answer = Answer::Reply(200, "<SetTopicAttributesResponse/>");

    fn params() -> Params {
        TopicPolicy::example().unwrap()
    }

    fn before() -> Before {
        Before { policy: DEFAULT.to_owned() }
    }

    fn holds(document: &str) -> Answer {
        let text = format!(
            "<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes><entry><key>Policy</key><value>\
             {document}</value></entry></Attributes></GetTopicAttributesResult></GetTopicAttributesResponse>"
        );
        Answer::Reply(200, text.leak())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(TopicPolicy.check(&params()).is_ok());
        let wrong = Params { topic_arn: TopicArn::new("alerts"), policy: Document::new(json!("{")) };
        let errors = TopicPolicy.check(&wrong).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["topic_arn", "policy"]);
        assert_eq!(TopicPolicy.facts(&params()).arns, [params().topic_arn.as_str()]);
    }

    #[test]
    fn a_document_is_ours_or_was_there_or_has_moved() {
        let ours = params().policy.text();
        for (now, want) in [
            (None, Standing::Gone),
            (Some(DEFAULT), Standing::Before),
            (Some(ours.as_str()), Standing::Ours),
            (Some("{}"), Standing::Moved),
        ] {
            assert_eq!(standing(&params(), &before(), now), want, "{now:?}");
        }
        assert_eq!(standing(&params(), &Before { policy: ours.clone() }, Some(&ours)), Standing::Both);
    }

    #[tokio::test(start_paused = true)]
    async fn the_way_back_is_what_was_there_and_nothing_that_moved() {
        let ours = || holds(&params().policy.text());
        let script = Script::new([ours(), DONE, ours(), holds(DEFAULT), holds(DEFAULT), holds("{}"), GONE, GONE]);
        let (cx, watch) = watched("policy", script.config()).await;
        let rollback = async || TopicPolicy.rollback(&cx, &params(), &before(), &params().output()).await;
        assert_eq!(rollback().await.unwrap(), Undo::Done);
        assert_eq!(rollback().await.unwrap(), Undo::Nothing);
        assert_eq!(rollback().await.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(rollback().await.unwrap(), Undo::Nothing, "its topic is gone");
        let verdict = TopicPolicy.verify(&cx, &params(), &before(), None, Expect::RolledBack).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
        let writes = watch.calls.lock().unwrap().iter().filter(|c| c.operation == "SetTopicAttributes").count();
        assert_eq!(writes, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_moved_is_not_written_over() {
        let script = Script::new([holds("{}"), holds(&params().policy.text())].into_iter().chain([GONE; 100]));
        let (cx, watch) = watched("policy", script.config()).await;
        for class in [ErrorClass::Drift, ErrorClass::AlreadyExists, ErrorClass::Drift] {
            assert_eq!(TopicPolicy.create(&cx, &params(), &before()).await.unwrap_err().class, class);
        }
        assert!(script.requests() > 3, "that it is gone is not believed at once");
        let calls = watch.calls.lock().unwrap();
        assert!(calls.iter().all(|call| call.operation == "GetTopicAttributes"), "nothing is written");
    }
}
