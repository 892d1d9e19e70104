//! What other processes are given of a secret: nothing.

use std::path::Path;
use std::process::Stdio;

use crate::support::{Operator, PASSWORD, mistersmith, pause, runbook};

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

/// Whether the bytes hold the password, as it is or as a form field or JSON has it.
fn holds(bytes: &[u8]) -> bool {
    bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes())
}

fn no_file_holds_it(folder: &Path) -> usize {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            seen += no_file_holds_it(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert!(!holds(&bytes), "{} holds the password", path.display());
            seen += 1;
        }
    }
    seen
}

#[test]
fn the_password_of_the_database_is_in_no_byte_that_anybody_can_read() {
    let operator = Operator::with_sandbox();
    let path = mistersmith();
    let path = path.to_string_lossy();
    let apply = ["-vv", "apply", &path, "--sandbox", "--auto-approve"];
    let mut command = operator.command(&apply);
    // All that libraries say goes to stderr.
    command.env("SWITCHBACK_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (pid, mut looks) = (child.id(), 0);
    let output = std::thread::spawn(move || child.wait_with_output().unwrap());
    while !output.is_finished() {
        for file in ["cmdline", "comm", "status"] {
            if let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) {
                assert!(!holds(&bytes), "/proc/{pid}/{file}");
                looks += usize::from(!bytes.is_empty());
            }
        }
        pause(5);
    }
    let output = output.join().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(looks > 20, "it was looked at while it ran");
    assert!(output.stdout.len() > 10_000, "every record is shown");
    assert!(!holds(&output.stdout) && !holds(&output.stderr));
    // The journal with its log and its free pages, and whatever else is in the state folder.
    assert!(no_file_holds_it(operator.state.path()) >= 2);
    let mut said = operator.run(&["--json", "log", "--all", "--calls"]).exits(0).all();
    said += &operator.run(&["status"]).exits(0).all();
    said += &operator.run(&["verify"]).exits(0).all();
    said += &operator.admin("GET", "world", "");
    said += &operator.admin("GET", "calls", "");
    assert!(!holds(said.as_bytes()));
    // Another password is refused, and going back asks for none.
    operator.run(&["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    let mut resume = operator.command(&["resume"]);
    let other = resume.env("SWITCHBACK_INPUT_DB_PASSWORD", "another-one-17").output().unwrap();
    assert_eq!(other.status.code(), Some(1), "{}", String::from_utf8_lossy(&other.stderr));
    let mut unwind = operator.command(&["unwind", "--all", "--auto-approve"]);
    let back = unwind.env_remove("SWITCHBACK_INPUT_DB_PASSWORD").output().unwrap();
    assert_eq!(back.status.code(), Some(0), "{}", String::from_utf8_lossy(&back.stderr));
    assert!(no_file_holds_it(operator.state.path()) >= 2);
    assert_eq!(operator.world()["total"], 0);
}

#[test]
fn a_password_that_the_database_would_refuse_is_refused_before_anything_is_made() {
    let operator = Operator::with_sandbox();
    let before = operator.world();
    let path = mistersmith();
    let mut apply = operator.command(&["apply", &path.to_string_lossy(), "--sandbox", "--auto-approve"]);
    let said = apply.env("SWITCHBACK_INPUT_DB_PASSWORD", "s h/ort").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("the master password") && !text.contains("s h/ort"), "{text}");
    assert_eq!(operator.world(), before);
}
