//! The IAM policy of least privilege for a runbook: what going forward and going back need, and no
//! more. Made from the facts of its operations, which the conformance tests hold against the calls
//! that are really made.
//!
//! What can be named before it is made is named: a role, a cluster, a repository by its ARN. What AWS
//! names itself (networks, keys) can be made, and undone only where it carries a run's tag: with this
//! policy a run could not delete what no run has made, even if it tried.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use switchback_engine::Registry;
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::plan::{AwsTarget, Plan};

use crate::view;

/// Asked for the run as a whole: who calls, may it tag, what is left.
const OF_THE_RUN: &[&str] = &["ec2:DescribeTags", "sts:GetCallerIdentity", "tag:GetResources"];
/// The permission to tag, which EC2 wants beside each create call and which is given for those only.
const TAG: &str = "ec2:CreateTags";

/// The size that a managed policy may have, in characters without white space.
pub(crate) const LARGEST: usize = 6144;

/// The actions that doing it needs.
pub(crate) fn to_do(facts: &Facts) -> BTreeSet<String> {
    texts([&facts.reads, &facts.creates, &facts.settles, &facts.extra_actions])
}

/// The actions that undoing it needs.
pub(crate) fn to_undo(facts: &Facts) -> BTreeSet<String> {
    texts([&facts.reads, &facts.rolls_back, &facts.extra_undo_actions])
}

fn texts<const N: usize>(lists: [&Vec<Cow<'static, str>>; N]) -> BTreeSet<String> {
    lists.into_iter().flatten().map(|action| action.clone().into_owned()).collect()
}

/// The policy for the steps of a plan that act on one of its targets.
pub(crate) fn policy(
    plan: &Plan,
    registry: &Registry,
    target: &AwsTarget,
    provider: Option<&str>,
    tag_prefix: &str,
) -> Value {
    let mut reads: BTreeSet<String> = OF_THE_RUN.iter().map(|a| (*a).to_owned()).collect();
    // By what they may be done to: actions on anything, on what carries the tag, on ARNs.
    let mut anything = BTreeSet::new();
    let mut tagged = BTreeSet::new();
    let mut named: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
    let mut tags_on_create = false;
    let facts = view::facts_of_all(plan, registry);
    let of_target = plan.steps.iter().zip(facts).filter(|(step, _)| step.provider.as_deref() == provider);
    for facts in of_target.filter_map(|(_, facts)| facts) {
        reads.extend(texts([&facts.reads]));
        let mut forward = texts([&facts.creates, &facts.settles, &facts.extra_actions]);
        let back = texts([&facts.rolls_back, &facts.extra_undo_actions]);
        tags_on_create |= forward.remove(TAG);
        match &facts.arn {
            Some(arn) => named.entry(&forward | &back).or_default().extend([filled(arn, target)]),
            None => {
                anything.extend(forward);
                if facts.proof == ProofKind::Strong { tagged.extend(back) } else { anything.extend(back) }
            }
        }
    }
    let mut statements = vec![statement("Read", &reads, json!("*"), None)];
    if !anything.is_empty() {
        statements.push(statement("Make", &anything, json!("*"), None));
    }
    if tags_on_create {
        let only_on_create = json!({"Null": {"ec2:CreateAction": "false"}});
        statements.push(statement(
            "TagWhatIsMade",
            &BTreeSet::from([TAG.to_owned()]),
            json!("*"),
            Some(only_on_create),
        ));
    }
    let tagged = &tagged - &anything;
    if !tagged.is_empty() {
        let carries = json!({"Null": {format!("aws:ResourceTag/{tag_prefix}:run"): "false"}});
        statements.push(statement("UndoWhatARunMade", &tagged, json!("*"), Some(carries)));
    }
    for (n, (actions, arns)) in named.iter().enumerate() {
        statements.push(statement(&format!("Named{}", n + 1), actions, json!(arns), None));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn statement(sid: &str, actions: &BTreeSet<String>, resource: Value, condition: Option<Value>) -> Value {
    let mut statement = json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource});
    if let (Some(condition), Some(map)) = (condition, statement.as_object_mut()) {
        map.insert("Condition".to_owned(), condition);
    }
    statement
}

fn filled(arn: &str, target: &AwsTarget) -> String {
    let partition = match &target.region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    arn.replace("{partition}", partition).replace("{region}", &target.region).replace("{account}", &target.account)
}

/// How many characters of it count against [`LARGEST`].
pub(crate) fn size(policy: &Value) -> usize {
    policy.to_string().chars().filter(|c| !c.is_whitespace()).count()
}
