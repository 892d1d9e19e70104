//! Credentials that expire in the middle: paused, resumed when they are back, nothing unwound.

use serde_json::json;

use crate::support::{Operator, mistersmith};

#[test]
fn lost_credentials_pause_the_run_and_unwind_nothing() {
    let operator = Operator::with_sandbox();
    // The first is the dry run of the preflight.
    operator.faults(&json!({ "faults": [{ "action": "CreateSubnet", "nth": 2, "effect": { "kind": "expire" } }] }));
    operator.apply(&mistersmith()).exits(4).says("switchback resume");
    let after = operator.world();
    assert_eq!(after["counts"]["vpc"], 1, "nothing was unwound");
    operator.run(&["resume"]).exits(4);
    assert_eq!(operator.world(), after);
    operator.admin("DELETE", "faults", "");
    operator.run(&["resume"]).exits(0);
    assert_eq!(operator.world()["counts"]["subnet"], 2);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn a_denied_delete_is_stuck_and_ends_clean_when_the_permission_is_back() {
    let operator = Operator::with_sandbox();
    operator.apply(&mistersmith()).exits(0);
    operator.faults(&json!({ "faults": [{ "action": "DeleteSubnet", "times": 0, "effect": { "kind": "deny" } }] }));
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(5).says("ec2:DeleteSubnet");
    assert_eq!(operator.world()["counts"]["vpc"], 1);
    operator.admin("DELETE", "faults", "");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn another_account_is_refused_before_the_first_effect() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let path = mistersmith();
    let path = path.to_string_lossy();
    operator
        .run(&["apply", &path, "--sandbox", "--auto-approve", "--input", "account=999999999999"])
        .exits(1)
        .says("999999999999");
    assert_eq!(operator.world(), before);
}
