//! The schema that editors read is the one that this binary prints.

use crate::support::{Operator, workspace};

#[test]
fn the_committed_schema_is_current() {
    let committed = std::fs::read_to_string(workspace().join("runbooks/runbook.schema.json")).unwrap();
    let printed = Operator::alone().run(&["schema"]).exits(0).out;
    assert!(printed == committed, "run `switchback schema > runbooks/runbook.schema.json`");
}
