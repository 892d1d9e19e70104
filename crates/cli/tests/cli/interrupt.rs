//! Signals, closed pipes, other executors: a run that does not get to its end in one go.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran};

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn end(child: Child, mut stdout: impl std::io::Read) -> Ran {
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran { code: output.status.code(), stdout: rest, stderr: String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn the_first_signal_pauses_and_the_run_goes_on_later() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::with_chain(300);
        let (child, stdout) = place.start_until("apply chain.yaml --auto-approve", "verified");
        send(&child, signal);
        let ran = end(child, stdout);
        assert_eq!(ran.code, Some(4), "{ran}");
        assert!(ran.stderr.contains("pausing: steps in flight reach a recorded state"), "{ran}");
        assert!(ran.stderr.contains("paused: stopped by the operator"), "{ran}");
        place.exits(0, "resume");
        assert!(place.states().iter().all(|s| s.ends_with(" verified")));
    }
}

#[test]
fn an_unwind_is_paused_and_goes_on_only_unwinding() {
    let place = Place::with_chain(300);
    place.exits(0, "apply chain.yaml --auto-approve");
    let (child, stdout) = place.start_until("unwind --all --auto-approve", "undone");
    send(&child, Signal::INT);
    let ran = end(child, stdout);
    assert_eq!(ran.code, Some(4), "{ran}");
    let ran = place.expect(1, "resume");
    assert!(ran.stderr.contains("hint: switchback unwind --all"), "{ran}");
    place.exits(0, "unwind --all --auto-approve");
}

#[test]
fn killed_at_once_it_resumes_as_well() {
    let place = Place::with_chain(200);
    let (child, stdout) = place.start_until("apply chain.yaml --auto-approve", "verified");
    send(&child, Signal::KILL);
    assert_eq!(end(child, stdout).code, None);
    let status = place.expect(0, "status").stdout;
    assert!(status.contains("interrupted while going forward"), "{status}");
    place.exits(0, "resume");
    place.exits(0, "unwind --all --auto-approve");
}

#[test]
fn a_closed_pipe_pauses_the_run_and_ends_a_listing() {
    let place = Place::with_chain(300);
    let (mut child, stdout) = place.start_until("apply chain.yaml --auto-approve", "verified");
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    place.exits(0, "resume");

    let (mut child, stdout) = place.start_until("log --all -vv", "run started");
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_run_that_another_process_holds() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to a");
    let run = place.runs().remove(0);
    let lock = place.path(&format!("state/locks/{run}.lock"));
    fs::write(&lock, r#"{"pid":4194305,"host":"elsewhere"}"#).unwrap();
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();
    for line in ["resume", "unwind --all --auto-approve", "skip b --reason x"] {
        let ran = place.expect(6, line);
        assert!(ran.stderr.contains("process 4194305 on elsewhere"), "{line}: {ran}");
        assert!(ran.stderr.contains("hint: switchback takeover"), "{line}: {ran}");
    }
    let ran = place.expect(6, "takeover --reason x");
    assert!(ran.stderr.contains("another host"), "{ran}");
    let status = place.expect(0, "status").stdout;
    assert!(status.contains("being executed by process 4194305 on elsewhere"), "{status}");
    drop(held);
    place.exits(1, "takeover --reason x");
    place.exits(0, "takeover --reason x --attest-dead");
    place.exits(0, "resume");
    assert!(place.expect(0, "log").stdout.contains("taken over"));
}

#[test]
fn a_takeover_ends_the_old_executor_first() {
    let place = Place::with_chain(400);
    let (child, stdout) = place.start_until("apply chain.yaml --auto-approve", "verified");
    let pid = child.id();
    let reader = std::thread::spawn(move || end(child, stdout));
    let ran = place.expect(0, "takeover --reason stuck");
    assert!(ran.stdout.contains(&format!("process {pid} was ended")), "{ran}");
    assert_eq!(reader.join().unwrap().code, Some(4));
    place.exits(0, "resume");
}
