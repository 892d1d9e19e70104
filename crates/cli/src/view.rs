//! A plan as people read it: the plan itself, and what its operations say about each use of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use switchback_engine::Registry;
use switchback_model::facts::Facts;
use switchback_model::plan::{OutputRef, Plan, PlanStep, Template};
use switchback_model::record::Endpoint;
use switchback_model::{SecretRef, StepId};
use switchback_report::plan::{PhaseView, PlanStepView, PlanView};

/// The view of a plan.
pub(crate) fn view(plan: &Plan, hash: &str, registry: &Registry, endpoint: &Endpoint) -> PlanView {
    let mut phases: Vec<PhaseView> =
        plan.phases.iter().map(|name| PhaseView { name: name.clone(), steps: Vec::new() }).collect();
    for (step, facts) in plan.steps.iter().zip(facts_of_all(plan, registry)) {
        if let Some(phase) = phases.get_mut(step.phase as usize) {
            phase.steps.push(PlanStepView {
                step: step.id.clone(),
                op: step.op.clone(),
                target: step.provider.clone(),
                needs: step.needs.clone(),
                protect: step.protect,
                facts,
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
        rehearsal: None,
        preflight: None,
    }
}

/// What the operations say about each use of them, in the order of the plan's steps. Parameters that
/// are known only later are filled with stand-ins: facts depend on which parameters are given and on
/// names, hardly ever on an id.
pub(crate) fn facts_of_all(plan: &Plan, registry: &Registry) -> Vec<Option<Facts>> {
    let mut known = Known { plan, registry, params: BTreeMap::new() };
    plan.steps.iter().map(|step| known.facts(step)).collect()
}

/// The parameters that have been filled so far. Steps are in such an order that none refers to a later one.
struct Known<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    params: BTreeMap<&'a StepId, Value>,
}

impl<'a> Known<'a> {
    fn facts(&mut self, step: &'a PlanStep) -> Option<Facts> {
        let params = self.filled(&step.params);
        let facts = self.registry.get(&step.op)?.facts_of(&params);
        self.params.insert(&step.id, params);
        facts
    }

    /// The parameters with something in every hole.
    fn filled(&self, template: &Template) -> Value {
        match template {
            Template::Lit(value) => value.clone(),
            Template::Secret(name) => SecretRef::of_input(name).to_json(),
            Template::Ref(r) => self.stand_in(r),
            Template::Join(parts) => {
                let text = |part: &Template| match self.filled(part) {
                    Value::String(s) => s,
                    other => other.to_string(),
                };
                Value::String(parts.iter().map(text).collect())
            }
            Template::List(items) => Value::Array(items.iter().map(|i| self.filled(i)).collect()),
            Template::Map(map) => {
                Value::Object(map.iter().map(|(k, v)| (k.clone(), self.filled(v))).collect::<Map<_, _>>())
            }
        }
    }

    /// What a step's output will hold, as far as it can be told: a name that its parameters give, and
    /// else a value of the right type. `*` is what an ARN may hold for what is not known.
    fn stand_in(&self, r: &OutputRef) -> Value {
        if let ([field], Some(params)) = (r.path.as_slice(), self.params.get(&r.step))
            && let Some(value) = params.get(field)
        {
            return value.clone();
        }
        let op = self.plan.steps.iter().find(|s| s.id == r.step).and_then(|s| self.registry.get(&s.op));
        let schema = op.map(|op| op.output_schema().to_value()).unwrap_or_default();
        let field = r.path.last().map_or(&Value::Null, |name| &schema["properties"][name]);
        let is = |kind: &str| match &field["type"] {
            Value::Array(kinds) => kinds.iter().any(|k| k == kind),
            one => one == kind,
        };
        match () {
            () if is("integer") || is("number") => Value::from(0),
            () if is("boolean") => Value::Bool(false),
            () if is("array") => Value::Array(Vec::new()),
            () => Value::String("*".to_owned()),
        }
    }
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
    use switchback_engine::planner::plan_runbook;
    use switchback_engine::runbook::Source;

    use super::*;

    #[test]
    fn holes_are_shown_as_written() {
        let hole = Template::Ref(OutputRef { step: "vpc".into(), path: vec!["vpc_id".into()] });
        let list = Template::List(vec![hole, Template::Lit(json!(1))]);
        let params = Template::Map(BTreeMap::from([("a".to_owned(), list)]));
        assert_eq!(shown(&params), json!({"a": ["${vpc.vpc_id}", 1]}));
    }

    #[test]
    fn holes_are_filled_with_what_can_be_told() {
        let mut registry = Registry::new();
        switchback_aws::register(&mut registry).unwrap();
        let source = Source::new(
            "runbook.yaml",
            r#"
runbook: x
version: 1
target:
  aws: { region: us-east-1, account: "123456789012" }
phases:
  - name: only
    steps:
      - id: vpc
        op: aws.ec2.vpc
        with: { cidr_block: 10.0.0.0/16 }
      - id: group
        op: aws.ec2.security_group
        with: { vpc_id: "${vpc.vpc_id}", group_name: web, description: x }
      - id: rule
        op: aws.ec2.security_group_rule
        with: { group_id: "${group.group_id}", ip_protocol: tcp, from_port: 1, to_port: 1, description: "of ${group.group_name}", cidr_ipv4: "${vpc.cidr_block}" }
"#,
        );
        let plan = plan_runbook(&source, &registry, &BTreeMap::new()).unwrap().plan;
        let mut known = Known { plan: &plan, registry: &registry, params: BTreeMap::new() };
        assert!(plan.steps.iter().all(|s| known.facts(s).is_some()));
        let rule = &known.params[&StepId::new("rule")];
        assert_eq!(rule["group_id"], "*");
        assert_eq!(rule["description"], "of web");
        assert_eq!(rule["cidr_ipv4"], "10.0.0.0/16");
    }
}
