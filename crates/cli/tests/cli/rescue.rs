//! A person decides: the rescue verbs.

use crate::place::Place;

#[test]
fn a_step_that_was_not_begun_can_be_skipped_or_marked_as_done() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to a");
    let ran = place.expect(0, "skip b --reason unneeded");
    assert!(ran.stdout.contains("\nb is skipped: nothing was made\n"), "{ran}");
    let ran = place.expect(0, "mark-done c[x] --reason by-hand --output {}");
    assert!(ran.stdout.contains("\nc[x] is marked_done: `verify` agrees\n"), "{ran}");
    place.exits(0, "resume");
    assert_eq!(place.states(), ["a verified", "b skipped", "c[x] marked_done", "c[y] verified"]);
    let log = place.expect(0, "log").stdout;
    assert!(log.contains("skipped") && log.contains("unneeded") && log.contains("by-hand"), "{log}");
}

#[test]
fn what_does_not_apply_is_refused_with_a_reason() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve");
    for line in ["adopt a --reason x", "disown a --reason x", "skip a --reason x", "mark-done a --reason x"] {
        let ran = place.expect(1, line);
        assert!(ran.stderr.starts_with("error: step `a` is verified"), "{line}: {ran}");
    }
    let ran = place.expect(1, "skip nobody --reason x");
    assert!(ran.stderr.contains("the plan has no step `nobody`"), "{ran}");
    assert_eq!(place.states()[0], "a verified");
}

#[test]
fn what_a_person_marked_as_done_is_not_undone_without_a_person() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to b");
    place.exits(0, "mark-done c[x] --reason by-hand --output {}");
    let ran = place.expect(5, "unwind --all --auto-approve");
    assert!(ran.stderr.contains("stuck: a person is needed"), "{ran}");
    let status = place.expect(0, "status").stdout;
    assert!(status.contains("adopt 'c[x]' --run "), "{status}");
    let ran = place.expect(1, "resume");
    assert!(ran.stderr.contains("can only go on unwinding"), "{ran}");
    place.exits(0, "adopt c[x] --reason ours");
    place.exits(0, "unwind --all --auto-approve");
}

#[test]
fn a_run_waits_until_one_of_those_who_may_approves_it() {
    let place = Place::new();
    let ask = |name: &str, who: &str| {
        let text = format!(
            "runbook: ask\nversion: 1\nphases:\n  - name: all\n    steps:\n      - id: a\n        op: \
             control.checkpoint\n      - id: go\n        op: control.approval\n        needs: [a]\n        with: {{ \
             message: \"Go on?\", approvers: [{who}] }}\n      - id: b\n        op: control.checkpoint\n        needs: [go]\n"
        );
        place.write(name, text);
    };
    ask("ours.yaml", "");
    let ran = place.expect(4, "apply ours.yaml --auto-approve");
    assert!(ran.stderr.contains("anybody must approve: Go on?") && ran.stderr.contains("approve 'go'"), "{ran}");
    place.exits(4, "resume");
    let ran = place.expect(1, "approve a --reason x");
    assert!(ran.stderr.contains("asks nobody"), "{ran}");
    let ran = place.expect(0, "approve go --reason warm");
    assert!(ran.stdout.contains("go is adopted: approved by "), "{ran}");
    let ran = place.expect(1, "approve go --reason again");
    assert!(ran.stderr.contains("does not ask"), "{ran}");
    place.exits(0, "resume");
    assert_eq!(place.states(), ["a verified", "go verified", "b verified"]);
    let log = place.expect(0, "log").stdout;
    assert!(log.contains("warm"), "{log}");
    // The way back asks nobody.
    place.exits(0, "unwind --all --auto-approve");
}

#[test]
fn nobody_else_may_approve_and_a_run_that_waits_can_go_back() {
    let place = Place::new();
    let text = "runbook: ask\nversion: 1\nphases:\n  - name: all\n    steps:\n      - id: go\n        op: \
                control.approval\n        with: { message: \"Go on?\", approvers: [nobody-here] }\n";
    place.write("ask.yaml", text);
    place.exits(4, "apply ask.yaml --auto-approve");
    let ran = place.expect(1, "approve go --reason x");
    assert!(ran.stderr.contains("is not one of those who may approve it: nobody-here"), "{ran}");
    place.exits(0, "unwind --all --auto-approve");
}
