//! `aws.ecr.lifecycle_policy`: which images of a repository ECR removes, and when.
//!
//! A repository has one such policy or none. The policy carries neither an id nor tags, and putting one
//! replaces what is there, so the before-image decides: it is read again right before each write, and what
//! is neither the before-image nor this step's policy is somebody else's.
//!
//! ```text
//! capture: before -> create: still before? put -> ... -> rollback: ours? put before, or delete
//! ```
//!
//! What the policy has removed in between does not come back.

use aws_sdk_ecr::operation::get_lifecycle_policy::GetLifecyclePolicyOutput;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind, Reversibility};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::repository::{self, There};
use crate::calls::Calls;
use crate::errors::{Call, found, is_not_found, op_error};
use crate::ids::RepositoryName;
use crate::named::{self, Named, POLL};
use crate::tags;

/// AWS's limits on a policy.
const LONGEST_TEXT: usize = 30_720;
const MOST_RULES: usize = 50;

/// The lifecycle policy of a repository: which images expire when.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The repository (`PutLifecyclePolicy` repositoryName).
    pub repository_name: RepositoryName,
    /// The policy, as JSON: `{"rules": [...]}` (`PutLifecyclePolicy` lifecyclePolicyText).
    pub lifecycle_policy_text: String,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The policy, as ECR gave it; none when the repository had none.
    pub lifecycle_policy_text: Option<String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The repository.
    pub repository_name: RepositoryName,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct LifecyclePolicy;

/// What the repository has now, compared with the two texts that this step knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// What `capture` saw. First: a policy that was there and is asked for changes nothing.
    Before,
    /// What this step puts there.
    Ours,
    /// Neither.
    Other,
}

impl Params {
    fn standing(&self, before: &Before, now: Option<&str>) -> Standing {
        let now = now.map(normal);
        if now == before.lifecycle_policy_text.as_deref().map(normal) {
            Standing::Before
        } else if now == Some(normal(&self.lifecycle_policy_text)) {
            Standing::Ours
        } else {
            Standing::Other
        }
    }

    fn output(&self) -> Output {
        Output { repository_name: self.repository_name.clone() }
    }
}

/// The policy in one form: ECR sorts rules by priority and lists of tags by itself, and drops empty ones.
fn normal(text: &str) -> Value {
    let mut policy = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    if let Some(rules) = policy.get_mut("rules").and_then(Value::as_array_mut) {
        for rule in rules.iter_mut() {
            let Some(selection) = rule.get_mut("selection").and_then(Value::as_object_mut) else { continue };
            for list in ["tagPrefixList", "tagPatternList"] {
                if let Some(tags) = selection.get_mut(list).and_then(Value::as_array_mut) {
                    tags.sort_by_key(ToString::to_string);
                }
                if selection.get(list).is_some_and(|tags| tags == &json!([])) {
                    selection.remove(list);
                }
            }
        }
        rules.sort_by_key(priority);
    }
    policy
}

fn priority(rule: &Value) -> i64 {
    rule.get("rulePriority").and_then(Value::as_i64).unwrap_or_default()
}

/// The policy that the repository has; none when it has none, or is not there.
async fn read(cx: &Cx, name: &str) -> OpResult<Option<String>> {
    let reply = client(cx)?.get_lifecycle_policy().repository_name(name).send().await;
    let reply = found(reply.map_err(|e| op_error(Call::new("ecr:GetLifecyclePolicy", name), e)))?;
    Ok(reply.as_ref().and_then(GetLifecyclePolicyOutput::lifecycle_policy_text).map(str::to_owned))
}

async fn put(cx: &Cx, name: &str, text: &str) -> OpResult<()> {
    let put = client(cx)?.put_lifecycle_policy().repository_name(name).lifecycle_policy_text(text).send().await;
    put.map(|_| ()).map_err(|e| op_error(Call::new("ecr:PutLifecyclePolicy", name).just_made(), e))
}

fn drift(name: &RepositoryName) -> OpError {
    OpError::drift(format!("the lifecycle policy of {name} was changed by somebody else"))
        .with_hint("see what the policy is for, and set it as it should be")
}

/// Holds a policy to its grammar, as far as a mistake in it can be told without AWS.
fn check_policy(text: &str, errors: &mut Vec<ParamError>) {
    let mut wrong = |message: String| errors.push(ParamError::new("lifecycle_policy_text", message));
    if text.len() > LONGEST_TEXT {
        wrong(format!("has {} bytes, AWS takes {LONGEST_TEXT}", text.len()));
    }
    let policy: Value = match serde_json::from_str(text) {
        Ok(policy) => policy,
        Err(e) => return wrong(format!("is not JSON: {e}")),
    };
    let Some(rules) = policy.get("rules").and_then(Value::as_array).filter(|rules| !rules.is_empty()) else {
        return wrong("has no `rules`".to_owned());
    };
    if rules.len() > MOST_RULES {
        wrong(format!("has {} rules, AWS takes {MOST_RULES}", rules.len()));
    }
    let mut priorities: Vec<_> = rules.iter().map(priority).collect();
    priorities.sort_unstable();
    if priorities.iter().any(|p| *p < 1) || priorities.windows(2).any(|two| two[0] == two[1]) {
        wrong("each rule has a `rulePriority` of its own, from 1".to_owned());
    }
    for rule in rules {
        let n = priority(rule);
        if !rule["action"]["type"].is_string() {
            wrong(format!("rule {n} has no `action` with a `type`"));
        }
        let selection = &rule["selection"];
        let is = |key: &str, of: &[&str]| selection[key].as_str().is_some_and(|value| of.contains(&value));
        if !is("tagStatus", &["tagged", "untagged", "any"]) {
            wrong(format!("the `selection` of rule {n} has a `tagStatus`: tagged, untagged or any"));
        }
        let lists = ["tagPrefixList", "tagPatternList"].map(|l| selection[l].as_array().is_some_and(|l| !l.is_empty()));
        if is("tagStatus", &["tagged"]) && lists.iter().filter(|there| **there).count() != 1 {
            wrong(format!("rule {n} is for tagged images: either `tagPrefixList` or `tagPatternList` says which"));
        }
        if !selection["countType"].is_string() || selection["countNumber"].as_i64().is_none_or(|n| n < 1) {
            wrong(format!("the `selection` of rule {n} has a `countType`, and a `countNumber` from 1"));
        }
        if is("countType", &["sinceImagePushed"]) && selection["countUnit"] != "days" {
            wrong(format!("rule {n} counts time: its `countUnit` is days"));
        }
    }
}

impl Operation for LifecyclePolicy {
    const KIND: &'static str = "aws.ecr.lifecycle_policy";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees the policy as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ecr:DescribeRepositories", "ecr:ListTagsForResource", "ecr:GetLifecyclePolicy"],
            creates: "ecr:PutLifecyclePolicy",
            settles: Vec::new(),
            rolls_back: vec!["ecr:DeleteLifecyclePolicy"],
            besides: &[],
        };
        Facts {
            reversibility: Reversibility::Lossy { what: "the images that the policy removes meanwhile".to_owned() },
            proof: ProofKind::ByFind,
            unique: true,
            // Where there was a policy before, it is put back instead.
            extra_undo_actions: vec!["ecr:PutLifecyclePolicy".into()],
            arns: vec![repository::arn(&params.repository_name)],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let policy = json!({"rules": [{
            "rulePriority": 1,
            "description": "Keep the last ten images",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10},
            "action": {"type": "expire"},
        }]});
        Some(Params { repository_name: RepositoryName::new("team/app"), lifecycle_policy_text: policy.to_string() })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        repository::check_name(&params.repository_name, &mut errors);
        check_policy(&params.lifecycle_policy_text, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let name = params.repository_name.as_str();
        named::existing::<There>(cx, name).await?;
        Ok(Before { lifecycle_policy_text: read(cx, name).await? })
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let name = params.repository_name.as_str();
        match params.standing(before, read(cx, name).await?.as_deref()) {
            Standing::Before => {}
            Standing::Ours => {
                let message = format!("{name} has this lifecycle policy by now");
                return Err(OpError::new(ErrorClass::AlreadyExists, message));
            }
            Standing::Other => return Err(drift(&params.repository_name)),
        }
        put(cx, name, &params.lifecycle_policy_text).await?;
        Ok(params.output())
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let name = params.repository_name.as_str();
        let now = read(cx, name).await?;
        Ok(match params.standing(before, now.as_deref()) {
            Standing::Before => Found::Absent,
            Standing::Other => Found::Foreign { what: format!("the lifecycle policy that {name} has now") },
            Standing::Ours => {
                let repository = There::read(cx, name).await?;
                let ours = repository.is_some_and(|r| tags::are_of_run(cx, r.tags()));
                Found::Ours { output: params.output(), proof: if ours { Proof::Strong } else { Proof::Weak } }
            }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let name = params.repository_name.as_str();
        match params.standing(before, read(cx, name).await?.as_deref()) {
            Standing::Before => return Ok(Undo::Nothing),
            Standing::Other => return Err(drift(&params.repository_name)),
            Standing::Ours => {}
        }
        match &before.lifecycle_policy_text {
            Some(text) => put(cx, name, text).await?,
            None => {
                let deleted = client(cx)?.delete_lifecycle_policy().repository_name(name).send().await;
                match deleted.map_err(|e| op_error(Call::new("ecr:DeleteLifecyclePolicy", name), e)) {
                    Ok(_) => {}
                    Err(e) if is_not_found(&e) => return Ok(Undo::Nothing),
                    Err(e) => return Err(e),
                }
            }
        }
        let look = || async {
            let now = read(cx, name).await?;
            Ok((params.standing(before, now.as_deref()) == Standing::Before).then_some(()))
        };
        cx.wait_for(&format!("waiting until the lifecycle policy of {name} is as before"), POLL, look).await?;
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
        let name = params.repository_name.as_str();
        let now = read(cx, name).await?.as_deref().map(normal);
        let wanted = match want {
            Expect::Created => Some(normal(&params.lifecycle_policy_text)),
            Expect::RolledBack => before.lifecycle_policy_text.as_deref().map(normal),
        };
        let mut verdict = Verdict::new().compare("lifecycle_policy_text", wanted, now.clone());
        verdict.observed = json!({"repository_name": name, "lifecycle_policy": now});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn policy(count: i64) -> Value {
        let selection = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count});
        json!({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    }

    fn ours() -> Params {
        Params { repository_name: RepositoryName::new("app"), lifecycle_policy_text: policy(10).to_string() }
    }

    fn made() -> Output {
        ours().output()
    }

    fn wrong(policy: &Value) -> usize {
        let params = Params { lifecycle_policy_text: policy.to_string(), ..ours() };
        LifecyclePolicy.check(&params).err().map_or(0, |errors| errors.len())
    }

    fn with(key: &str, value: Value) -> Value {
        let mut policy = policy(10);
        policy["rules"][0]["selection"][key] = value;
        policy
    }

    /// As `policy(10)`, written otherwise.
    const OURS: Answer = Answer::Reply(
        200,
        concat!(
            r#"{"lifecyclePolicyText":"{ \"rules\": [ {\"action\":{\"type\":\"expire\"}, \"rulePriority\":1,"#,
            r#"\"selection\":{\"countNumber\":10,\"tagStatus\":\"any\",\"countType\":\"imageCountMoreThan\"}} ]}"}"#
        ),
    );
    const OTHER: Answer = Answer::Reply(200, r#"{"lifecyclePolicyText":"{\"rules\":[]}"}"#);
    const NONE: Answer = Answer::Reply(400, r#"{"__type":"LifecyclePolicyNotFoundException","message":"x"}"#);
    const DONE: Answer = Answer::Reply(200, "{}");

    const ABSENT: Before = Before { lifecycle_policy_text: None };

    #[test]
    fn the_example_is_valid() {
        LifecyclePolicy.check(&LifecyclePolicy::example().unwrap()).unwrap();
    }

    #[test]
    fn a_policy_is_held_to_its_grammar() {
        assert_eq!(wrong(&policy(10)), 0);
        assert_eq!(wrong(&policy(0)), 1);
        assert_eq!(wrong(&json!({"rules": []})), 1);
        assert_eq!(wrong(&json!("no policy")), 1);
        assert_eq!(wrong(&with("tagStatus", json!("some"))), 1);
        assert_eq!(wrong(&with("tagStatus", json!("tagged"))), 1);
        assert_eq!(wrong(&with("countType", json!("sinceImagePushed"))), 1);
        let mut twice = policy(10);
        let again = twice["rules"][0].clone();
        twice["rules"].as_array_mut().unwrap().push(again);
        assert_eq!(wrong(&twice), 1);
        let text = Params { lifecycle_policy_text: "{".to_owned(), ..ours() };
        assert!(LifecyclePolicy.check(&text).unwrap_err()[0].message.starts_with("is not JSON"));
    }

    #[test]
    fn what_ecr_sorts_by_itself_is_no_drift() {
        let rule = |n: i64, tags: &[&str]| json!({"rulePriority": n, "selection": {"tagPrefixList": tags}});
        let ours = json!({"rules": [rule(2, &["b", "a"]), rule(1, &[])]}).to_string();
        let theirs = json!({"rules": [{"rulePriority": 1, "selection": {}}, rule(2, &["a", "b"])]}).to_string();
        assert_eq!(normal(&ours), normal(&theirs));
        let moved = json!({"rules": [rule(1, &["a", "b"]), rule(2, &[])]}).to_string();
        assert_ne!(normal(&ours), normal(&moved));
    }

    #[test]
    fn the_before_image_comes_first() {
        let same = Before { lifecycle_policy_text: Some(policy(10).to_string()) };
        assert_eq!(ours().standing(&same, Some(&policy(10).to_string())), Standing::Before);
        assert_eq!(ours().standing(&ABSENT, Some(&policy(10).to_string())), Standing::Ours);
        assert_eq!(ours().standing(&ABSENT, None), Standing::Before);
        assert_eq!(ours().standing(&same, None), Standing::Other);
    }

    #[tokio::test]
    async fn a_policy_that_moved_since_is_not_replaced() {
        let script = Script::new([OTHER, OURS]);
        let (cx, watch) = watched("policy", script.config()).await;
        assert_eq!(LifecyclePolicy.create(&cx, &ours(), &ABSENT).await.unwrap_err().class, ErrorClass::Drift);
        let error = LifecyclePolicy.create(&cx, &ours(), &ABSENT).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::AlreadyExists);
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "GetLifecyclePolicy"));
    }

    #[tokio::test]
    async fn an_equal_policy_is_proved_by_whose_the_repository_is() {
        let there = Answer::Reply(200, r#"{"repositories":[{"repositoryName":"app","repositoryArn":"arn:r"}]}"#);
        let tags = r#"{"tags":[{"Key":"switchback:run","Value":"00000000-0000-0000-0000-000000000007"}]}"#;
        let (of_run, of_others) = (Answer::Reply(200, tags), Answer::Reply(200, r#"{"tags":[]}"#));
        let script = Script::new([OURS, there.clone(), of_run, OURS, there, of_others, NONE, OTHER]);
        let cx = watched("policy", script.config()).await.0;
        let found = async || LifecyclePolicy.find(&cx, &ours(), &ABSENT).await.unwrap();
        assert_eq!(found().await, Found::Ours { output: made(), proof: Proof::Strong });
        assert_eq!(found().await, Found::Ours { output: made(), proof: Proof::Weak });
        assert_eq!(found().await, Found::Absent);
        assert!(matches!(found().await, Found::Foreign { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_deletes_or_restores_what_is_still_ours() {
        let script = Script::new([OURS, DONE, OURS, NONE, NONE, OTHER, OURS, DONE, OTHER]);
        let (cx, watch) = watched("policy", script.config()).await;
        let rollback = async |before: &Before| LifecyclePolicy.rollback(&cx, &ours(), before, &made()).await;
        assert_eq!(rollback(&ABSENT).await.unwrap(), Undo::Done);
        assert_eq!(rollback(&ABSENT).await.unwrap(), Undo::Nothing);
        assert_eq!(rollback(&ABSENT).await.unwrap_err().class, ErrorClass::Drift);
        let before = Before { lifecycle_policy_text: Some(r#"{"rules":[]}"#.to_owned()) };
        assert_eq!(rollback(&before).await.unwrap(), Undo::Done);
        let calls = watch.calls.lock().unwrap();
        let writes: Vec<_> =
            calls.iter().map(|c| c.operation.as_str()).filter(|name| !name.starts_with("Get")).collect();
        assert_eq!(writes, ["DeleteLifecyclePolicy", "PutLifecyclePolicy"]);
    }
}
