//! What other processes are given of a secret: nothing.

use crate::support::{Operator, runbook};

const CANARY: &str = "c4n4ry-Zq9-correct-horse";

#[test]
fn the_sandbox_is_started_without_the_variables_of_secrets() {
    let operator = Operator::alone();
    let text = "runbook: one\nversion: 1\nphases:\n  - { name: all, steps: [{ id: a, op: control.checkpoint }] }\n";
    let path = runbook(operator.state.path(), text);
    let mut plan = operator.command(&["plan", &path.to_string_lossy(), "--sandbox"]);
    plan.envs([("SWITCHBACK_INPUT_PASSWORD", CANARY), ("SWITCHBACK_OTHER", "kept")]);
    assert!(plan.status().unwrap().success());
    let environ = std::fs::read(format!("/proc/{}/environ", operator.sandbox()["pid"])).unwrap();
    operator.run(&["sandbox", "down"]).exits(0);
    let environ = String::from_utf8_lossy(&environ);
    assert!(environ.contains("SWITCHBACK_OTHER=kept"), "this is its environment");
    assert!(!environ.contains(CANARY) && !environ.contains("SWITCHBACK_INPUT"), "{environ}");
}
