//! `aws.elbv2.listener_rule`: what a listener does with requests for some hosts or paths.
//!
//! Rules of a listener are told apart by their priorities, of which no two are equal.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{Rule as Described, RuleCondition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpResult};

use super::{Action, action, client, made_by_us, tag_list, tags_of};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{ListenerArn, ListenerRuleArn};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// The highest priority.
const MOST_PRIORITY: i32 = 50_000;
/// How many values the conditions of a rule may have together.
const MOST_VALUES: usize = 5;

/// A rule of a listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The listener (`CreateRule` ListenerArn).
    pub listener_arn: ListenerArn,
    /// The lowest that fits is taken: 1 to 50000, one rule each (`CreateRule` Priority).
    pub priority: i32,
    /// Which requests it is for; all conditions must fit (`CreateRule` Conditions).
    pub conditions: Vec<Condition>,
    /// What is done with them; one action (`CreateRule` Actions).
    pub actions: Vec<Action>,
    /// Tags, beside those that say whose it is (`CreateRule` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Which requests a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is looked at.
    pub field: Field,
    /// One of these fits; `*` and `?` stand for any characters.
    pub values: BTreeSet<String>,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The host, `*.example.com`.
    HostHeader,
    /// The path, `/api/*`.
    PathPattern,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its ARN.
    pub rule_arn: ListenerRuleArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListenerRule;

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Self::HostHeader => "host-header",
            Self::PathPattern => "path-pattern",
        }
    }
}

impl Params {
    /// What it is called here: its priority and its listener.
    fn name(&self) -> String {
        format!("{} of {}", self.priority, self.listener_arn)
    }

    fn conditions(&self) -> Value {
        let mut all = self.conditions.clone();
        all.sort();
        json!(all)
    }
}

/// The conditions of one that was read, in the form of the parameters and in an order of their own.
fn conditions(it: &Described) -> Value {
    let mut all: Vec<(String, BTreeSet<&str>)> = it
        .conditions()
        .iter()
        .map(|of| {
            let values = match (of.values(), of.host_header_config(), of.path_pattern_config()) {
                ([], Some(hosts), _) => hosts.values(),
                ([], _, Some(paths)) => paths.values(),
                (values, ..) => values,
            };
            (of.field().unwrap_or_default().to_owned(), values.iter().map(String::as_str).collect())
        })
        .collect();
    all.sort();
    json!(all.iter().map(|(field, values)| json!({"field": field, "values": values})).collect::<Vec<_>>())
}

/// The rules of a listener without the default one; none when there is no such listener.
async fn described(cx: &Cx, listener: &str) -> OpResult<Vec<Described>> {
    let pages = client(cx)?.describe_rules().listener_arn(listener).into_paginator().items().send();
    let call = Call::new("elasticloadbalancing:DescribeRules", listener);
    let all = found(pages.try_collect().await.map_err(|e| op_error(call, e)))?.unwrap_or_default();
    Ok(all.into_iter().filter(|it| it.is_default() != Some(true)).collect())
}

/// What rules a listener has. Those that steps made are gone before it is rolled back.
pub(super) async fn rules_of(cx: &Cx, listener: &str) -> OpResult<Option<String>> {
    let all = described(cx, listener).await?;
    let priorities: Vec<&str> = all.iter().filter_map(Described::priority).collect();
    Ok((!all.is_empty()).then(|| format!("a rule of priority {}", priorities.join(", "))))
}

/// A rule with its tags.
struct There {
    described: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "listener rule";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let (priority, listener) = name.split_once(" of ").unwrap_or_default();
        let all = described(cx, listener).await?;
        let Some(described) = all.into_iter().find(|it| it.priority() == Some(priority)) else { return Ok(None) };
        let tags = tags_of(cx, described.rule_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.rule_arn().unwrap_or_default()
    }
}

fn output(it: &Described) -> Output {
    Output { rule_arn: ListenerRuleArn::new(it.rule_arn().unwrap_or_default()) }
}

impl Operation for ListenerRule {
    const KIND: &'static str = "aws.elbv2.listener_rule";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is complete with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["elasticloadbalancing:DescribeRules", "elasticloadbalancing:DescribeTags"],
            creates: "elasticloadbalancing:CreateRule",
            settles: Vec::new(),
            rolls_back: vec!["elasticloadbalancing:DeleteRule"],
            besides: &["elasticloadbalancing:AddTags"],
        };
        Facts { unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let arn = |resource: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{resource}");
        let condition = |field, value: &str| Condition { field, values: BTreeSet::from([value.to_owned()]) };
        Some(Params {
            listener_arn: ListenerArn::new(arn("listener/app/app/50dc6c495c0c9188/f2f7dc8efc522ab2")),
            priority: 10,
            conditions: vec![condition(Field::HostHeader, "api.example.com"), condition(Field::PathPattern, "/v1/*")],
            actions: vec![Action::forward(&arn("targetgroup/api/73e2d6bc24d8a067"))],
            tags: BTreeMap::from([("Name".to_owned(), "api".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.listener_arn.check("listener_arn", &mut errors);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        if !(1..=MOST_PRIORITY).contains(&params.priority) {
            wrong("priority", format!("is 1 to {MOST_PRIORITY}, not {}", params.priority));
        }
        let fields: BTreeSet<Field> = params.conditions.iter().map(|of| of.field).collect();
        if fields.is_empty() || fields.len() < params.conditions.len() {
            wrong("conditions", "takes one condition at least, and one of each field".to_owned());
        }
        let values: usize = params.conditions.iter().map(|of| of.values.len()).sum();
        if values > MOST_VALUES {
            wrong("conditions", format!("have up to {MOST_VALUES} values together, not {values}"));
        }
        if params.conditions.iter().any(|of| of.values.is_empty()) {
            wrong("conditions", "each has one value at least".to_owned());
        }
        for value in params.conditions.iter().flat_map(|of| &of.values) {
            if value.is_empty() || value.len() > 128 {
                wrong("conditions", format!("a value has 1 to 128 characters, this one has {}", value.len()));
            }
        }
        if params.actions.len() != 1 {
            wrong("actions", "takes one action".to_owned());
        }
        for action in &params.actions {
            action.check("actions", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let listener = known.get("listener_arn").and_then(Value::as_str);
        match (listener, known.get("priority").and_then(Value::as_i64)) {
            (Some(arn), Some(priority)) => {
                named::capture::<There>(cx, &format!("{priority} of {arn}")).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        const CALL: &str = "elasticloadbalancing:CreateRule";
        let name = params.name();
        named::still_absent::<There>(cx, &name).await?;
        let condition = |of: &Condition| {
            RuleCondition::builder()
                .field(of.field.as_str())
                .set_values(Some(of.values.iter().cloned().collect()))
                .build()
        };
        let reply = client(cx)?
            .create_rule()
            .listener_arn(params.listener_arn.as_str())
            .priority(params.priority)
            .set_conditions(Some(params.conditions.iter().map(condition).collect()))
            .set_actions(Some(params.actions.iter().map(Action::to_sdk).collect()))
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| {
                let mut error = op_error(Call::new(CALL, &name).just_made(), e);
                if error.code.as_deref() == Some("PriorityInUse") {
                    error.class = ErrorClass::AlreadyExists;
                }
                error
            })?;
        let made = reply.rules().first().filter(|it| it.rule_arn().is_some());
        let made = output(made.ok_or_else(|| nameless(CALL, &name))?);
        made_by_us::<There>(cx, &name, made.rule_arn.as_str()).await?;
        Ok(made)
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, &params.name(), |there| output(&there.described)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.name();
        let Some(there) = named::ours::<There>(cx, &name).await? else { return Ok(Undo::Nothing) };
        let deleted = client(cx)?.delete_rule().rule_arn(there.id()).send().await;
        let call = Call::new("elasticloadbalancing:DeleteRule", &name);
        if found(deleted.map_err(|e| op_error(call, e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, &name, named::POLL).await?;
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
        let name = params.name();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, &name).await;
        }
        let Some(there) = There::read(cx, &name).await? else { return Ok(named::missing::<There>(&name)) };
        let actions = action::read(there.described.actions());
        let got = action::of_those(&params.actions, &actions);
        let now = conditions(&there.described);
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("conditions", params.conditions(), now.clone())
            .compare("actions", json!(params.actions), got);
        if let Some(out) = out {
            verdict = verdict.compare("rule_arn", out.rule_arn.as_str(), there.id());
        }
        verdict.observed = json!({
            "rule_arn": there.id(), "listener_arn": params.listener_arn, "priority": params.priority,
            "conditions": now, "actions": actions, "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_elasticloadbalancingv2::types::PathPatternConditionConfig;

    use super::*;

    fn wrong(more: Value) -> Vec<String> {
        let mut params = json!(ListenerRule::example().unwrap());
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let errors = ListenerRule.check(&serde_json::from_value(params).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"priority": 0})), ["priority"]);
        assert_eq!(wrong(json!({"conditions": []})), ["conditions"]);
        let path = |values: &[&str]| json!({"field": "path-pattern", "values": values});
        assert_eq!(wrong(json!({"conditions": [path(&["/a"]), path(&["/b"])]})), ["conditions"]);
        assert_eq!(wrong(json!({"conditions": [path(&["1", "2", "3", "4", "5", "6"])]})), ["conditions"]);
        assert_eq!(wrong(json!({"conditions": [path(&[])]})), ["conditions"]);
        assert_eq!(wrong(json!({"actions": []})), ["actions"]);
    }

    #[test]
    fn conditions_are_compared_without_order() {
        let host = RuleCondition::builder().field("host-header").values("api.example.com").build();
        let paths = PathPatternConditionConfig::builder().values("/v1/*").build();
        let path = RuleCondition::builder().field("path-pattern").path_pattern_config(paths).build();
        let it = Described::builder().conditions(path).conditions(host).build();
        assert_eq!(conditions(&it), ListenerRule::example().unwrap().conditions());
    }
}
