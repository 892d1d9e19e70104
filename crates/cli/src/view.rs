//! A plan as people read it: the plan itself, and what its operations say about each use of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use switchback_engine::Registry;
use switchback_model::SecretRef;
use switchback_model::facts::Facts;
use switchback_model::plan::{Plan, PlanStep, Template};
use switchback_model::record::Endpoint;
use switchback_report::plan::{PhaseView, PlanStepView, PlanView};

/// The view of a plan.
pub(crate) fn view(plan: &Plan, hash: &str, registry: &Registry, endpoint: &Endpoint) -> PlanView {
    let mut phases: Vec<PhaseView> =
        plan.phases.iter().map(|name| PhaseView { name: name.clone(), steps: Vec::new() }).collect();
    for step in &plan.steps {
        if let Some(phase) = phases.get_mut(step.phase as usize) {
            phase.steps.push(PlanStepView {
                step: step.id.clone(),
                op: step.op.clone(),
                target: step.provider.clone(),
                needs: step.needs.clone(),
                protect: step.protect,
                facts: facts(step, registry),
            });
        }
    }
    PlanView {
        runbook: plan.runbook.clone(),
        version: plan.version,
        description: plan.description.clone(),
        hash: hash.to_owned(),
        aws: plan.target.aws.clone(),
        more_aws: plan.target.more.clone(),
        endpoint: endpoint.url.clone(),
        sandbox: endpoint.sandbox,
        secrets: Vec::new(),
        on_failure: plan.policy.on_failure.clone(),
        max_parallel: plan.policy.max_parallel,
        phases,
        preflight: None,
    }
}

/// What the operation says about this use of it. Where parameters are known only later, what is
/// missing is filled with texts of the right form: facts depend on which parameters are given,
/// hardly ever on an id. Where the operation refuses those, nothing is said.
pub(crate) fn facts(step: &PlanStep, registry: &Registry) -> Option<Facts> {
    let op = registry.get(&step.op)?;
    let params = match step.params.resolve(&|_| None) {
        Ok(params) => params,
        Err(_) => filled(&step.params),
    };
    op.bind(&params).ok().map(|bound| bound.facts())
}

/// The parameters with something in every hole: `${vpc.vpc_id}` becomes `vpc-00000000`.
fn filled(template: &Template) -> Value {
    match template {
        Template::Lit(value) => value.clone(),
        Template::Secret(name) => SecretRef::of_input(name).to_json(),
        Template::Ref(r) => Value::String(stand_in(r.path.last().map_or("", String::as_str))),
        Template::Join(parts) => {
            let text = |part: &Template| match filled(part) {
                Value::String(s) => s,
                other => other.to_string(),
            };
            Value::String(parts.iter().map(text).collect())
        }
        Template::List(items) => Value::Array(items.iter().map(filled).collect()),
        Template::Map(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), filled(v))).collect::<Map<_, _>>()),
    }
}

/// A value of the form that a field of that name has.
fn stand_in(field: &str) -> String {
    let prefixes = BTreeMap::from([
        ("vpc_id", "vpc"),
        ("subnet_id", "subnet"),
        ("group_id", "sg"),
        ("security_group_id", "sg"),
        ("security_group_rule_id", "sgr"),
        ("internet_gateway_id", "igw"),
        ("route_table_id", "rtb"),
    ]);
    prefixes.get(field).map_or_else(|| "unknown".to_owned(), |prefix| format!("{prefix}-00000000000000000"))
}

/// Parameters as a person writes them, references as `${...}`.
pub(crate) fn shown(template: &Template) -> Value {
    match template {
        Template::Lit(value) => value.clone(),
        Template::Ref(r) => Value::String(format!("${{{}}}", r.text())),
        Template::Secret(name) => Value::String(format!("${{inputs.{name}}}")),
        Template::Join(parts) => Value::String(
            parts
                .iter()
                .map(|p| match shown(p) {
                    Value::String(s) => s,
                    other => other.to_string(),
                })
                .collect(),
        ),
        Template::List(items) => Value::Array(items.iter().map(shown).collect()),
        Template::Map(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), shown(v))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchback_model::plan::OutputRef;

    use super::*;

    #[test]
    fn holes_are_shown_as_written_and_filled_with_the_right_form() {
        let hole = Template::Ref(OutputRef { step: "vpc".into(), path: vec!["vpc_id".into()] });
        let list = Template::List(vec![hole, Template::Lit(json!(1))]);
        let params = Template::Map(BTreeMap::from([("a".to_owned(), list)]));
        assert_eq!(shown(&params), json!({"a": ["${vpc.vpc_id}", 1]}));
        assert_eq!(filled(&params), json!({"a": ["vpc-00000000000000000", 1]}));
    }
}
