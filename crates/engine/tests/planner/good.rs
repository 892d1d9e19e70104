//! Runbooks that are as they should be.

use serde_json::{Value, json};
use switchback_model::plan::{OnFailure, PlanStep, Template};

use crate::fakes::{phase, plan, plan_with};

/// The shape of the runbook in the design.
pub(crate) const MISTERSMITH: &str = r#"# yaml-language-server: $schema=../runbook.schema.json
runbook: mistersmith
version: 1
description: Move MisterSmith from Docker Compose to AWS
target:
  aws: { region: us-east-1, account: "${inputs.account}" }   # refused when the caller's account differs
inputs:
  account: { type: string, pattern: "^[0-9]{12}$", default: "123456789012" }
policy: { on_failure: unwind, max_parallel: 8 }
phases:
  - name: infrastructure
    steps:
      - id: vpc
        op: net.vpc
        with: { cidr_block: 10.0.0.0/16, tags: { Name: MisterSmith-VPC } }
      - id: subnet
        op: net.subnet
        for_each: { 1a: 10.0.1.0/24, 1b: 10.0.2.0/24 }        # expanded in the plan
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: "${each.value}", availability_zone: "us-east-${each.key}" }
      - id: db_subnets
        op: net.group
        with: { name: mistersmith-aurora-subnet-group, subnet_ids: "${subnet[*].subnet_id}" }
        timeout: 1h30m
        retry: { attempts: 3 }
        protect: true
  - name: verification
    steps:
      - id: healthy
        op: test.echo
        with: { text: "http://${db_subnets.name}:8080/health" }
        needs: [subnet, "subnet[1a]"]
        verify: ["output.count > 0", "size(observed.list) == 2"]
        on_failure: { unwind_to: infrastructure }
"#;

fn step<'a>(steps: &'a [PlanStep], id: &str) -> &'a PlanStep {
    steps.iter().find(|s| s.id.as_str() == id).unwrap_or_else(|| panic!("no step {id}"))
}

fn echo(with: &str, before: &str) -> Value {
    let text = phase(&format!("      - id: echo\n        op: test.echo\n{before}        with: {with}\n"));
    literal(&plan(&text).plan.steps[0])
}

fn literal(step: &PlanStep) -> Value {
    match &step.params {
        Template::Lit(value) => value.clone(),
        other => panic!("not known: {other:?}"),
    }
}

#[test]
fn the_runbook_of_the_design() {
    let planned = plan(MISTERSMITH);
    let mut head = planned.plan.clone();
    let steps = std::mem::take(&mut head.steps);
    let lines: Vec<_> = steps.iter().map(|s| switchback_model::canonical::to_string(s).unwrap()).collect();
    insta::assert_snapshot!(switchback_model::canonical::to_string(&head).unwrap(), @r#"{"description":"Move MisterSmith from Docker Compose to AWS","format":1,"inputs":{"account":"123456789012"},"phases":["infrastructure","verification"],"policy":{"max_parallel":8,"on_failure":"unwind"},"runbook":"mistersmith","steps":[],"target":{"aws":{"account":"123456789012","region":"us-east-1"}},"version":1}"#);
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"id":"vpc","op":"net.vpc","op_version":1,"params":{"lit":{"cidr_block":"10.0.0.0/16","tags":{"Name":"MisterSmith-VPC"}}},"phase":0}
    {"id":"subnet[1a]","needs":["vpc"],"op":"net.subnet","op_version":1,"params":{"map":{"availability_zone":{"lit":"us-east-1a"},"cidr_block":{"lit":"10.0.1.0/24"},"vpc_id":{"ref":{"path":["vpc_id"],"step":"vpc"}}}},"phase":0}
    {"id":"subnet[1b]","needs":["vpc"],"op":"net.subnet","op_version":1,"params":{"map":{"availability_zone":{"lit":"us-east-1b"},"cidr_block":{"lit":"10.0.2.0/24"},"vpc_id":{"ref":{"path":["vpc_id"],"step":"vpc"}}}},"phase":0}
    {"attempts":3,"id":"db_subnets","needs":["subnet[1a]","subnet[1b]"],"op":"net.group","op_version":1,"params":{"map":{"name":{"lit":"mistersmith-aurora-subnet-group"},"subnet_ids":{"list":[{"ref":{"path":["subnet_id"],"step":"subnet[1a]"}},{"ref":{"path":["subnet_id"],"step":"subnet[1b]"}}]}}},"phase":0,"protect":true,"timeout":5400000}
    {"id":"healthy","needs":["db_subnets","subnet[1a]","subnet[1b]"],"on_failure":{"unwind_to":"infrastructure"},"op":"test.echo","op_version":1,"params":{"map":{"text":{"join":[{"lit":"http://"},{"ref":{"path":["name"],"step":"db_subnets"}},{"lit":":8080/health"}]}}},"phase":1,"verify":["output.count > 0","size(observed.list) == 2"]}
    "#);
    assert_eq!(planned.hash.len(), 64);
    assert_eq!(planned.positions, [(13, 13), (16, 13), (16, 13), (20, 13), (28, 13)]);
}

#[test]
fn json_is_a_runbook_too() {
    let text = r#"{"runbook": "demo", "version": 1, "phases": [
        {"name": "main", "steps": [{"id": "vpc", "op": "net.vpc", "with": {"cidr_block": "10.0.0.0/16"}}]}]}"#;
    let yaml = phase("      - { id: vpc, op: net.vpc, with: { cidr_block: 10.0.0.0/16 } }\n");
    assert_eq!(plan(text).plan, plan(&yaml).plan);
    assert_eq!(plan(text).hash, plan(&yaml).hash);
}

#[test]
fn the_hash_changes_with_the_plan_and_with_nothing_else() {
    let base = plan(MISTERSMITH);
    let commented = plan(&format!("{MISTERSMITH}# nothing\n"));
    assert_eq!(base.hash, commented.hash);
    let other = plan_with(MISTERSMITH, &[("account", "210987654321")]).unwrap();
    assert_ne!(base.hash, other.hash);
}

#[test]
fn a_reference_keeps_its_type_and_joins_make_text() {
    let inputs = "inputs:\n  n: { type: integer, default: 5 }\n  f: { type: number, default: 0.5 }\n  b: { type: boolean, default: true }\n  \
                  l: { type: list, default: [1, a] }\n  m: { type: map, default: { x: { y: 7 } } }\n";
    let text = format!(
        "runbook: demo\nversion: 1\n{inputs}phases:\n  - name: main\n    steps:\n      - id: echo\n        op: test.echo\n        with:\n          text: \
         \"n=${{inputs.n}} f=${{inputs.f}} b=${{inputs.b}} y=${{inputs.m.x.y}}\"\n          any: [\"${{inputs.n}}\", \"${{inputs.l}}\", \
         \"${{inputs.m}}\", \"${{inputs.b}}\", \"${{inputs.m.x.y}}\"]\n"
    );
    let params = literal(&plan(&text).plan.steps[0]);
    assert_eq!(params["text"], "n=5 f=0.5 b=true y=7");
    assert_eq!(params["any"], json!([5, [1, "a"], {"x": {"y": 7}}, true, 7]));
    let given = [("n", "-3"), ("f", "1e3"), ("b", "false"), ("l", "[x, 2]"), ("m", "{\"x\": {\"y\": \"z\"}}")];
    let params = literal(&plan_with(&text, &given).unwrap().plan.steps[0]);
    assert_eq!(params["any"], json!([-3, ["x", 2], {"x": {"y": "z"}}, false, "z"]));
}

#[test]
fn escapes_stand_for_themselves() {
    assert_eq!(echo(r#"{ text: "$${inputs.x} costs $5 {a}" }"#, "")["text"], "${inputs.x} costs $5 {a}");
    assert_eq!(echo(r#"{ any: { "$${aws:username}": 1 } }"#, "")["any"], json!({"${aws:username}": 1}));
}

#[test]
fn what_comes_through_an_input_is_never_read_again() {
    let text = phase("      - id: vpc\n        op: net.vpc\n        with: { cidr_block: 10.0.0.0/16, tags: { a: \"${inputs.evil}\", b: \"x${inputs.evil}\" } }\n")
        .replace("phases:", "inputs: { evil: { type: string } }\nphases:");
    let evil = "${vpc.vpc_id} $${each.key} ${";
    let planned = plan_with(&text, &[("evil", evil)]).unwrap();
    let params = literal(&planned.plan.steps[0]);
    assert_eq!(params["tags"], json!({"a": evil, "b": format!("x{evil}")}));
    assert!(planned.plan.steps[0].needs.is_empty());
}

#[test]
fn scalars_follow_yaml_1_2() {
    let any = |text: &str| echo(&format!("{{ any: [{text}] }}"), "")["any"].clone();
    assert_eq!(any("yes, no, on, off, y, n"), json!(["yes", "no", "on", "off", "y", "n"]));
    assert_eq!(any("true, False, null, ~"), json!([true, false, null, null]));
    assert_eq!(any("1, -2, +3, 0x1f, 0o17, 1.5, 1e3, .5, 0"), json!([1, -2, 3, 31, 15, 1.5, 1000.0, 0.5, 0]));
    assert_eq!(
        any("\"5\", '5', 10.0.0.0/16, 1_000, 12:30, 1.2.3, 0b1, 2026-01-01"),
        json!(["5", "5", "10.0.0.0/16", "1_000", "12:30", "1.2.3", "0b1", "2026-01-01"])
    );
    assert_eq!(any("18446744073709551615, -9223372036854775808"), json!([u64::MAX, i64::MIN]));
}

#[test]
fn anchors_and_aliases_repeat_values() {
    let steps = "      - id: a\n        op: net.vpc\n        with: &net { cidr_block: 10.0.0.0/16, tags: { k: v } }\n      - id: b\n        op: net.vpc\n        with: *net\n";
    let plan = plan(&phase(steps)).plan;
    assert_eq!(plan.steps[0].params, plan.steps[1].params);
}

#[test]
fn for_each_over_lists_maps_and_inputs_in_order() {
    let ids = |for_each: &str| {
        let steps = format!(
            "      - id: e\n        op: test.echo\n        for_each: {for_each}\n        with: {{ text: \"${{each.key}}\", any: \"${{each.value}}\" }}\n"
        );
        let text = phase(&steps).replace(
            "phases:",
            "inputs:\n  l: { type: list, default: [z, y] }\n  m: { type: map, default: { q: 1, p: { r: 2 } } }\nphases:",
        );
        plan(&text).plan.steps.iter().map(|s| (s.id.to_string(), literal(s)["any"].clone())).collect::<Vec<_>>()
    };
    let s = |id: &str, v: Value| (format!("e[{id}]"), v);
    assert_eq!(ids("{ b: 1, a: { x: 2 } }"), [s("b", json!(1)), s("a", json!({"x": 2}))]);
    assert_eq!(ids("[b, 7, a.b-c_D]"), [s("b", json!("b")), s("7", json!(7)), s("a.b-c_D", json!("a.b-c_D"))]);
    assert_eq!(ids("\"${inputs.l}\""), [s("z", json!("z")), s("y", json!("y"))]);
    assert_eq!(ids("\"${inputs.m}\""), [s("p", json!({"r": 2})), s("q", json!(1))]);
    assert_eq!(ids("[\"${inputs.m.q}\", x]"), [s("1", json!(1)), s("x", json!("x"))]);
    assert_eq!(ids("{}"), []);
    assert_eq!(ids("[]"), []);
}

#[test]
fn elements_refer_to_elements() {
    let plan = plan(&phase(
        "      - { id: vpc, op: net.vpc, for_each: { x: 10.0.0.0/16, y: 10.1.0.0/16 }, with: { cidr_block: \"${each.value}\" } }\n      \
               - { id: sub, op: net.subnet, for_each: { x: { c: 10.0.1.0/24 }, y: { c: 10.1.1.0/24 } },\n          \
                   with: { vpc_id: \"${vpc[each.key].vpc_id}\", cidr_block: \"${each.value.c}\" }, needs: [\"vpc[x]\"] }\n      \
               - { id: all, op: net.group, with: { name: g, subnet_ids: \"${sub[*].subnet_id}\" } }\n      \
               - { id: empty, op: test.echo, for_each: [], with: { text: \"${each.key}\" } }\n      \
               - { id: after, op: test.echo, with: { any: \"${empty[*].text}\" }, needs: [sub, empty] }\n",
    ))
    .plan;
    let needs = |id: &str| step(&plan.steps, id).needs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(needs("sub[x]"), "vpc[x]");
    assert_eq!(needs("sub[y]"), "vpc[x] vpc[y]");
    assert_eq!(needs("all"), "sub[x] sub[y]");
    assert_eq!(needs("after"), "sub[x] sub[y]");
    assert_eq!(literal(step(&plan.steps, "after"))["any"], json!([]));
}

#[test]
fn when_leaves_steps_out() {
    let text = phase(
        "      - { id: a, op: test.echo, when: inputs.env == \"prod\" }\n      - { id: b, op: test.echo, when: 'inputs.env != \"prod\"', with: { text: \"${nobody.x}\" } }\n      \
               - { id: c, op: test.echo, for_each: { k: { on: true }, l: { on: false } }, when: each.value.on }\n      - { id: d, op: test.echo, needs: [c], with: { any: \"${c[*].count}\" } }\n",
    )
    .replace("phases:", "inputs: { env: { type: string, default: prod } }\nphases:");
    let plan = plan(&text).plan;
    let ids: Vec<_> = plan.steps.iter().map(|s| s.id.to_string()).collect();
    assert_eq!(ids, ["a", "c[k]", "d"]);
    assert_eq!(step(&plan.steps, "d").needs.len(), 1);
}

#[test]
fn literal_ids_are_taken_by_their_form() {
    let text =
        phase("      - { id: s, op: net.subnet, with: { vpc_id: \"${inputs.vpc}\", cidr_block: 10.0.1.0/24 } }\n")
            .replace("phases:", "inputs: { vpc: { type: string } }\nphases:");
    assert_eq!(literal(&plan_with(&text, &[("vpc", "vpc-0a1")]).unwrap().plan.steps[0])["vpc_id"], "vpc-0a1");
}

#[test]
fn policies_are_taken_over() {
    let planned = plan(MISTERSMITH);
    assert_eq!(planned.plan.policy.on_failure, OnFailure::Unwind);
    assert_eq!(planned.plan.steps[4].on_failure, Some(OnFailure::UnwindTo("infrastructure".to_owned())));
}

#[test]
fn a_hundred_thousand_steps_take_linear_time() {
    // Quadratic work would take minutes here; the bound is generous for slow machines.
    let mut text = phase("      - { id: s0, op: test.echo }\n");
    for i in 1..50_000 {
        text.push_str(&format!("      - {{ id: s{i}, op: test.echo, with: {{ text: \"${{s{}.text}}\" }} }}\n", i - 1));
    }
    text.push_str("      - id: many\n        op: test.echo\n        for_each:\n");
    for i in 0..50_000 {
        text.push_str(&format!("          k{i}: {{ v: {i} }}\n"));
    }
    text.push_str(
        "        with: { any: \"${each.value.v}\" }\n        when: each.value.v >= 0 && inputs.big != null\n",
    );
    text.push_str("inputs: { big: { type: list, default: [");
    text.push_str(&"x, ".repeat(50_000));
    text.push_str("] } }\n");
    assert_eq!(plan(&text).plan.steps.len(), 100_000);
}

#[test]
fn a_runbook_can_require_its_rehearsal() {
    let text = |policy: &str| MISTERSMITH.replace("policy: { on_failure: unwind, max_parallel: 8 }", policy);
    let required = plan(&text("policy: { require_rehearsal: true }"));
    assert!(required.plan.policy.require_rehearsal);
    let not = plan(&text("policy: { require_rehearsal: false }"));
    assert_ne!(required.hash, not.hash);
    assert_eq!(not.hash, plan(MISTERSMITH).hash, "what is not required leaves no trace in the plan");
}
