//! The JSON Schema of the runbook file.

use serde_json::{Value, json};
use switchback_engine::planner::runbook_schema;
use switchback_engine::runbook::{NodeValue, Source, parse};

use crate::fakes::registry;
use crate::good::MISTERSMITH;

/// The runbook of the design as JSON: by way of the reader's own tree, through an input.
fn as_json(text: &str) -> Value {
    let step = format!(
        "runbook: x\nversion: 1\ninputs:\n  it:\n    type: map\n    default:\n{}phases: [{{ name: a, steps: [] }}]\n",
        indent(text)
    );
    let runbook = parse(&Source::new("x.yaml", &step)).unwrap_or_else(|e| panic!("{}", e.render(false, 80)));
    let node = runbook.inputs[0].default.clone().unwrap();
    assert!(matches!(node.value, NodeValue::Map(_)));
    node.to_json()
}

fn indent(text: &str) -> String {
    text.lines().map(|l| format!("      {l}\n")).collect()
}

fn problems(instance: &Value) -> Vec<String> {
    let schema = runbook_schema(&registry());
    let validator = jsonschema::draft7::new(&schema).unwrap();
    validator.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn the_runbook_of_the_design_is_valid() {
    assert!(jsonschema::draft7::meta::is_valid(&runbook_schema(&registry())));
    assert_eq!(problems(&as_json(MISTERSMITH)), Vec::<String>::new());
}

#[test]
fn what_the_planner_refuses_an_editor_marks() {
    let good = as_json(MISTERSMITH);
    let wrong = |pointer: &str, value: Value| {
        let mut text = good.clone();
        *text.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        !problems(&text).is_empty()
    };
    let first = "/phases/0/steps/0";
    assert!(wrong(&format!("{first}/with"), json!({"cidr": "10.0.0.0/16"})));
    assert!(wrong(&format!("{first}/with/cidr_block"), json!(5)));
    assert!(wrong(&format!("{first}/with"), json!({"cidr_block": "10.0.0.0/16", "tenancy": "x"})));
    assert!(!wrong(&format!("{first}/with"), json!({"cidr_block": "10.0.0.0/16", "tenancy": "${inputs.account}"})));
    assert!(wrong(&format!("{first}/op"), json!("net.vcp")));
    assert!(wrong(&format!("{first}/id"), json!("Vpc")));
    assert!(wrong("/phases/0/steps/1/with/vpc_id", json!("subnet-1")));
    assert!(wrong("/phases/0/steps/2/timeout", json!("soon")));
    assert!(wrong("/policy/on_failure", json!("panic")));
    assert!(!wrong("/policy/on_failure", json!({"unwind_to": "x"})));
    assert!(wrong("/inputs/account/type", json!("text")));
    assert!(wrong("/version", json!("1")));
    let mut surprise = good.clone();
    surprise["surprise"] = json!(1);
    assert!(!problems(&surprise).is_empty());
    let mut bare = good.clone();
    bare["phases"][0]["steps"][0].as_object_mut().unwrap().remove("with");
    assert!(!problems(&bare).is_empty(), "required parameters want a `with`");
}

#[test]
fn an_editor_can_show_what_things_mean() {
    let schema = runbook_schema(&registry());
    let text = |pointer: &str| schema.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert!(text("/description").starts_with("A runbook"));
    assert!(text("/definitions/StepSpec/properties/for_each/description").starts_with("Makes one step"));
    assert_eq!(text("/definitions/net.vpc/properties/cidr_block/description"), "The range of its addresses.");
    let ops = schema.pointer("/definitions/StepSpec/properties/op/oneOf").unwrap();
    assert!(ops.as_array().unwrap().contains(&json!({"const": "net.vpc", "description": "A private network."})));
}
