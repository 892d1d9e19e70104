//! The sandbox from outside: what is said when it is not up or cannot be started. That it works is
//! shown by the end-to-end tests.

use std::process::Output;

use crate::place::{Place, Ran};

fn with_binary(place: &Place, binary: &str, args: &[&str]) -> Ran {
    let output: Output = place.command(args).env("SWITCHBACK_SANDBOX_BIN", binary).output().unwrap();
    output.into()
}

#[test]
fn one_that_is_not_up() {
    let place = Place::new();
    assert_eq!(place.expect(1, "sandbox status").stdout, "the sandbox is not up\n");
    assert_eq!(place.expect(0, "sandbox down").stderr, "no sandbox was up\n");
    let line = &place.expect(1, "sandbox status --json").json()[0];
    assert_eq!((&line["type"], &line["data"]["up"]), (&"sandbox".into(), &false.into()));
    assert_eq!(place.names("."), Vec::<String>::new(), "looking makes nothing");
}

#[test]
fn one_that_cannot_be_started() {
    let place = Place::with_checkpoints();
    let ran = with_binary(&place, "/nowhere/sandbox", &["sandbox", "up"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("failed to start `/nowhere/sandbox`"), "{ran}");
    assert!(ran.stderr.contains("SWITCHBACK_SANDBOX_BIN"), "{ran}");
    let ran = with_binary(&place, "/bin/false", &["apply", "demo.yaml", "--sandbox", "--auto-approve"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("ended before it listened"), "{ran}");
    assert!(!place.journal().exists(), "no run was begun");
}
