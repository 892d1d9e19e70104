//! Runbooks, good and bad: `validate` and `plan`.

use insta::assert_snapshot;

use crate::place::{CHECKPOINTS, Place};

fn validate(text: impl AsRef<[u8]>) -> crate::place::Ran {
    let place = Place::new();
    place.write("bad.yaml", text);
    let ran = place.run("validate bad.yaml");
    assert_eq!(place.names("."), ["bad.yaml"], "`validate` writes nothing");
    ran
}

#[test]
fn a_good_runbook() {
    let place = Place::with_checkpoints();
    assert_snapshot!(place.run("validate demo.yaml"), @r"
    exit 0
    --- stdout
    demo.yaml is valid: 4 steps in 2 phases, plan [hash]
    ");
    let line = &place.expect(0, "validate demo.yaml --json").json()[0];
    assert_eq!((&line["v"], &line["type"], &line["data"]["steps"]), (&1.into(), &"valid".into(), &4.into()));
}

#[test]
fn a_misspelt_key_has_a_place_a_caret_and_a_suggestion() {
    assert_snapshot!(validate(CHECKPOINTS.replace("message: half way", "mesage: half way")), @r"
    exit 1
    --- stderr
    error[plan::unknown_param]: `control.checkpoint` has no parameter `mesage`
      --> bad.yaml:10:17
       |
    10 |         with: { mesage: half way }
       |                 ^^^^^^ this parameter is not known
       = help: did you mean `message`?
    ");
}

#[test]
fn each_kind_of_error_is_refused_with_its_place() {
    for (what, from, to, place) in [
        ("an unknown key of a step", "needs: [a]", "neds: [a]", "bad.yaml:11"),
        ("a duplicate key", "version: 1", "version: 1\nversion: 2", "bad.yaml:3"),
        (
            "an unknown kind",
            "        op: control.checkpoint\n        with",
            "        op: control.chekpoint\n        with",
            "bad.yaml:9",
        ),
        ("a wrong type", "message: half way", "message: [half]", "bad.yaml:10"),
        ("an unknown step", "needs: [a]", "needs: [nobody]", "bad.yaml:11"),
        ("an unknown reference", "half way", "\"${nobody.id}\"", "bad.yaml:10"),
        ("an unknown input", "half way", "\"${inputs.nothing}\"", "bad.yaml:10"),
        ("a cycle", "      - id: a\n", "      - id: a\n        needs: [b]\n", "bad.yaml:"),
        ("a truncated file", "needs: [a]", "needs: [a", "bad.yaml:"),
    ] {
        assert!(CHECKPOINTS.contains(from), "{what}");
        let ran = validate(CHECKPOINTS.replacen(from, to, 1));
        assert_eq!(ran.code, Some(1), "{what}: {ran}");
        assert_eq!(ran.stdout, "", "{what}");
        assert!(ran.stderr.contains(place), "{what}: {ran}");
        assert!(ran.stderr.contains('^') || ran.stderr.contains("---"), "{what} has no caret: {ran}");
        assert!(ran.stderr.contains("help:"), "{what} has no hint: {ran}");
    }
}

#[test]
fn a_file_that_is_not_text_or_not_there() {
    let ran = validate(b"runbook: \xff\xfe\n");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("not UTF-8"), "{ran}");
    assert_snapshot!(Place::new().run("validate nowhere.yaml"), @r"
    exit 1
    --- stderr
    error: failed to read `nowhere.yaml`
    caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_missing_input_says_which_flag_gives_it() {
    let text = CHECKPOINTS
        .replace("version: 1\n", "version: 1\ninputs:\n  name: { type: string }\n")
        .replace("half way", "\"${inputs.name}\"");
    let ran = validate(&text);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("--input name="), "{ran}");
    let place = Place::new();
    place.write("good.yaml", text);
    place.exits(0, "validate good.yaml --input name=x");
}

#[test]
fn the_plan_shows_both_ways_and_makes_no_journal() {
    let place = Place::with_checkpoints();
    assert_snapshot!(place.run("plan demo.yaml"), @r"
    exit 0
    --- stdout
    demo (version 1) plan [hash]
      on failure  go back to the start

        step  operation           makes    undo
      first
        a     control.checkpoint  nothing  nothing  reversible
        b     control.checkpoint  nothing  nothing  reversible
      second
        c[x]  control.checkpoint  nothing  nothing  reversible
        c[y]  control.checkpoint  nothing  nothing  reversible

      way back (unwind --all)
        second  nothing to undo
        first   nothing to undo

    4 steps in 2 phases: 4 reversible; at most 8 at a time
    not rehearsed (`switchback rehearse demo.yaml`)
    preflight: nothing stands in the way (4 looked at, 0 known only later)
    ");
    assert_eq!(place.names("."), ["demo.yaml"]);
    let plan = &place.expect(0, "plan demo.yaml --json").json()[0]["data"];
    assert_eq!(plan["phases"][1]["steps"][1]["step"], "c[y]");
}

#[test]
fn a_stored_plan_can_be_applied_and_a_damaged_one_is_refused() {
    let place = Place::with_checkpoints();
    place.exits(0, "plan demo.yaml -o demo.plan");
    let stored = std::fs::read_to_string(place.path("demo.plan")).unwrap();
    let plain = place.expect(0, "validate demo.yaml --json").json();
    let again = place.expect(0, "plan demo.plan --offline --json").json();
    assert_eq!(plain[0]["data"]["plan_hash"], again[0]["data"]["hash"]);
    place.write("old.plan", stored.replace("\"format\":1", "\"format\":9"));
    let ran = place.expect(1, "apply old.plan --auto-approve");
    assert!(ran.stderr.contains("format 9"), "{ran}");
    place.exits(2, "apply demo.plan --auto-approve --input a=b");
    assert_eq!(place.names("state"), Vec::<String>::new(), "nothing was done");
    place.exits(0, "apply demo.plan --auto-approve");
}
