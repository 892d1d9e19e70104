//! The whole migration of MisterSmith, on real parts: the sandbox's PostgreSQL, NATS and registry.

use std::process::Stdio;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::support::{Operator, Said, http, pause, runbook, whole_mistersmith, workspace};

fn apply(operator: &Operator, more: &[&str]) -> Said {
    operator.run(&applying(&whole_mistersmith().to_string_lossy(), more))
}

fn applying<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["apply", path, "--sandbox", "--auto-approve", "--input", "bake=1s"], more].concat()
}

fn unwind(operator: &Operator) -> Said {
    operator.run(&["unwind", "--all", "--auto-approve"])
}

/// The address of a part of the sandbox.
fn part(operator: &Operator, name: &str) -> String {
    let parts = operator.sandbox()["parts"].clone();
    let found = parts.as_array().expect("parts").iter().find(|part| part["name"] == name).expect("the part").clone();
    found["address"].as_str().expect("an address").to_owned()
}

/// The tags of an image in the sandbox's registry, as it says.
fn tags(operator: &Operator) -> Value {
    let text = http(&part(operator, "registry"), "GET", "/v2/mistersmith/orchestrator/tags/list", "");
    serde_json::from_str::<Value>(&text).expect("JSON")["tags"].clone()
}

/// What there is, by kind and step: what images and copies hold of their run makes two of them differ.
fn outline(operator: &Operator) -> Vec<String> {
    let world = operator.nameless();
    let line = |it: &Value| format!("{} {} {}", it["kind"], it["tags"]["switchback:step"], it["attributes"]["name"]);
    let mut lines: Vec<String> = world.as_array().expect("a list").iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn forward_and_back_and_nothing_is_left() {
    let operator = Operator::with_sandbox();
    let start = operator.nameless();
    apply(&operator, &[]).exits(0).says("90 steps");
    assert_eq!(tags(&operator), serde_json::json!(["latest"]));
    operator.run(&["verify"]).exits(0).says("90 steps as left");
    // The services were started last: they are the first to be stopped.
    let said = unwind(&operator).exits(0);
    let at = |step: &str| said.all().find(&format!("\n  {step} ")).unwrap_or_else(|| panic!("{step}:\n{}", said.all()));
    assert!(at("start_agents") < at("messages") && at("messages") < at("agent") && at("agent") < at("vpc"));
    assert_eq!(operator.nameless(), start);
    assert_eq!(tags(&operator), Value::Null, "the tag as before");
    // What the rows were when they were cleared is on the operator's machine.
    let exports = std::fs::read_dir(operator.state.path().join("exports")).expect("exports");
    let run = exports.flatten().next().expect("a run").path();
    let rows = std::fs::read_to_string(run.join("state-1/rows-00000.jsonl")).expect("the rows");
    assert_eq!(rows.lines().count(), 50);
}

#[test]
fn killed_anywhere_then_forward_or_back() {
    let operator = Operator::with_sandbox();
    let start = operator.nameless();
    apply(&operator, &[]).exits(0);
    let done = outline(&operator);
    unwind(&operator).exits(0);
    let mut rng = SmallRng::seed_from_u64(5);
    let path = whole_mistersmith();
    let kill = |args: &[&str], ms: u64| {
        let mut child = operator.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        pause(ms);
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    };
    for round in 0..4 {
        kill(&applying(&path.to_string_lossy(), &[]), rng.random_range(300..4000));
        kill(&["resume"], rng.random_range(100..2000));
        let resumed = operator.run(&["resume"]);
        if resumed.code == 0 {
            assert_eq!(outline(&operator), done, "round {round}: resumed = uninterrupted");
        }
        kill(&["unwind", "--all", "--auto-approve"], rng.random_range(50..800));
        let back = unwind(&operator);
        assert!([0, 1].contains(&back.code), "round {round}: {back:?}");
        assert_eq!(operator.nameless(), start, "round {round}: unwound = start");
        assert_eq!(tags(&operator), Value::Null, "round {round}");
    }
}

#[test]
fn a_wrong_password_is_no_way_back_and_is_said_before_anything_is_done() {
    let operator = Operator::with_sandbox();
    apply(&operator, &["--to", "schema"]).exits(0);
    let wrong = |args: &[&str]| {
        let mut command = operator.command(args);
        Said::new(command.env("SWITCHBACK_INPUT_DB_PASSWORD", "another-one-0815").output().expect("it starts"))
    };
    wrong(&["unwind", "--all", "--auto-approve"]).exits(1).says("db_password");
    wrong(&["verify"]).exits(1).says("db_password");
    unwind(&operator).exits(0);
}

#[test]
fn a_health_document_that_is_never_right_unwinds_by_itself() {
    let operator = Operator::with_sandbox();
    let start = operator.nameless();
    let folder = workspace().join("runbooks/mistersmith");
    let text = std::fs::read_to_string(whole_mistersmith()).expect("the runbook");
    let text = text.replace("agents_active == 3", "agents_active == 4").replace("within: 5m", "within: 1s");
    // Beside a runbook in a folder of its own the files are elsewhere.
    let text = text.replace("file: ", &format!("file: {}/", folder.display()));
    let text = text.replace("folder: ", &format!("folder: {}/", folder.display()));
    let text = text.replace(&format!("{}/\"images", folder.display()), &format!("\"{}/images", folder.display()));
    let path = runbook(operator.state.path(), &text);
    let said = operator.run(&applying(&path.to_string_lossy(), &[])).exits(3);
    said.says("healthy");
    assert_eq!(operator.nameless(), start);
}
