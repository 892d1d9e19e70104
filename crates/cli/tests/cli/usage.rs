//! Help, versions, and what is said to somebody who mistyped.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::Place;

#[test]
fn help_says_what_there_is_and_ends_with_the_exit_codes() {
    let help = Place::new().expect(0, "--help");
    for command in
        ["validate", "plan", "apply", "rehearse", "resume", "unwind", "verify", "status", "log", "takeover", "sandbox"]
    {
        assert!(help.stdout.contains(&format!("  {command} ")), "{command}: {help}");
    }
    let codes = help.stdout.split_once("Exit codes:").unwrap().1;
    assert_snapshot!(codes, @r"
    0  the goal was reached
    1  failed before any effect (bad runbook, refused account, foreign resource)
    2  usage
    3  failed, and unwound to where the policy said
    4  paused (policy, an approval, a pivot, credentials, Ctrl-C); the journal resumes
    5  stuck or unknown: a person is needed
    6  another executor holds the run
    7  verify found drift, or an undo was refused because of drift
    8  the journal cannot be used (corrupt, tampered with, wrong version, no space)
    ");
}

#[test]
fn the_version_goes_to_stdout() {
    let ran = Place::new().expect(0, "--version");
    assert_eq!(ran.stdout, format!("switchback {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(ran.stderr, "");
}

#[test]
fn wrong_use_is_exit_code_2_and_touches_nothing() {
    let place = Place::with_checkpoints();
    for line in [
        "",
        "aply demo.yaml",
        "apply",
        "unwind --auto-approve",
        "unwind --all --to a --auto-approve",
        "validate demo.yaml --input novalue",
        "adopt a",
        "adopt a --reason=",
        "log --limit many",
        "apply demo.yaml --sandbox --endpoint-url http://127.0.0.1:1 --auto-approve",
        "apply demo.yaml --max-parallel 0 --auto-approve",
        "apply demo.yaml --auto-approve --to nowhere",
        "apply demo.yaml",
        "apply demo.yaml --step --auto-approve",
        "unwind --all",
        "mark-done a --reason x --output {",
    ] {
        let ran = place.expect(2, line);
        assert!(ran.stderr.contains("error:") || line.is_empty(), "{line}: {ran}");
        assert_eq!(ran.stdout, "", "{line}");
    }
    assert_eq!(place.names("."), ["demo.yaml"]);
}

#[test]
fn without_a_terminal_approval_must_be_given() {
    assert_snapshot!(Place::with_checkpoints().run("apply demo.yaml"), @r"
    exit 2
    --- stderr
    error: there is no terminal to ask for approval on
    hint: look at the plan first, then give --auto-approve
    ");
    assert_snapshot!(Place::with_checkpoints().run("apply demo.yaml --step --auto-approve"), @r"
    exit 2
    --- stderr
    error: `--step` asks before each step, and there is no terminal to ask on
    ");
}

#[test]
fn the_schema_is_a_draft_07_schema_that_knows_the_operations() {
    let ran = Place::new().expect(0, "schema");
    let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert!(ran.stdout.contains("control.checkpoint"));
}

#[test]
fn completions_know_the_commands() {
    assert!(Place::new().expect(0, "completions bash").stdout.contains("takeover"));
    let ran = Place::new().expect(2, "completions tcsh");
    assert!(ran.stderr.contains("possible values"), "{ran}");
}

#[test]
fn colours_on_request_only() {
    let place = Place::with_checkpoints();
    assert!(!place.expect(0, "plan demo.yaml --offline").stdout.contains('\u{1b}'));
    assert!(place.expect(0, "plan demo.yaml --offline --color always").stdout.contains('\u{1b}'));
}
