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
