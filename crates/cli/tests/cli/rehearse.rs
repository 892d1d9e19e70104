//! `rehearse` with a stand-in for the process that rehearses, and what a certificate is worth to
//! `plan` and `apply`.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use insta::assert_snapshot;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::place::{CHECKPOINTS, Place, Ran, start_until};

const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// A stand-in that keeps what it was given, says what is in `lines`, and ends with that code.
fn stand_in(place: &Place, lines: &[Value], code: i32) {
    let lines: Vec<_> = lines.iter().map(|line| format!("{line}\n")).collect();
    place.write("lines", lines.concat());
    script(place, &format!("echo \"$@\" > args\nenv > env\ncat > stdin\ncat lines\nexit {code}"));
}

fn script(place: &Place, commands: &str) {
    place.write("sandbox.sh", format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{commands}\n"));
    fs::set_permissions(place.path("sandbox.sh"), Permissions::from_mode(0o755)).unwrap();
}

fn command(place: &Place, line: &str) -> std::process::Command {
    let mut command = place.command(&line.split_whitespace().collect::<Vec<_>>());
    command.env("SWITCHBACK_SANDBOX_BIN", place.path("sandbox.sh"));
    command
}

/// Runs it with the stand-in and expects that exit code.
fn expect(place: &Place, code: i32, line: &str) -> Ran {
    let output: Output = command(place, line).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(code), "`switchback {line}`: {ran}");
    ran
}

fn hash(place: &Place, file: &str) -> String {
    let valid = place.expect(0, &format!("validate {file} --json")).json();
    valid[0]["data"]["plan_hash"].as_str().unwrap().to_owned()
}

fn started(hash: &str) -> Value {
    json!({"event": "started", "runbook": "demo", "plan_hash": hash, "steps": 4, "jobs": 2, "sample": 1, "seed": 7})
}

fn progress() -> Value {
    json!({"event": "progress", "run": 10, "ahead": 90, "merged": 1, "findings": 0, "elapsed_ms": 100})
}

fn finding() -> Value {
    json!({
        "case": "c 7", "story": "the process dies before `a` is verified, then resume", "kind": "crash_resume",
        "check": "duplicate", "step": "a", "message": "a is there twice", "hint": "look it up first", "cases": 3,
        "journal": ["4 a CreateStarted"], "calls": ["ec2 CreateVpc: 200"],
    })
}

/// A certificate that proves, of the plan with that hash.
fn certificate(hash: &str) -> Value {
    json!({
        "version": 1, "runbook": "demo", "plan_hash": hash, "steps": 4, "switchback": RELEASE,
        "emulator": {"winterbaume-ec2": "1.0.0"}, "finished_at": "2026-11-21T10:00:00Z", "duration_ms": 2000,
        "jobs": 2, "seed": 7, "sample": 1,
        "cases": {
            "uninterrupted": {"run": 3, "merged": 0, "skipped": 0, "failed": 0},
            "crash_resume": {"run": 1200, "merged": 34, "skipped": 0, "failed": 0},
        },
        "states": 500, "processes": 2500, "calls": 9000, "findings": [],
    })
}

fn with_findings(mut certificate: Value) -> Value {
    certificate["findings"] = json!([finding()]);
    certificate["cases"]["crash_resume"]["failed"] = json!(3);
    certificate
}

fn line(event: &str, mut fields: Value) -> Value {
    fields["event"] = json!(event);
    fields
}

/// What a rehearsal of that plan says from its beginning to its end.
fn whole(hash: &str) -> Vec<Value> {
    vec![started(hash), progress(), line("finished", certificate(hash))]
}

/// Everything, without what differs from release to release.
fn said(ran: &Ran, hash: &str) -> String {
    ran.to_string().replace(hash, "[hash]").replace(RELEASE, "[release]")
}

fn stored(place: &Place, hash: &str) -> std::path::PathBuf {
    place.path(&format!("state/rehearsals/{hash}.json"))
}

fn store(place: &Place, hash: &str, text: &str) {
    fs::create_dir_all(place.path("state/rehearsals")).unwrap();
    fs::write(stored(place, hash), text).unwrap();
}

fn fifo(place: &Place, name: &str) {
    mknodat(CWD, place.path(name), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn it_ends_in_a_table_and_a_certificate() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    stand_in(&place, &whole(&hash), 0);
    let output = command(&place, "rehearse demo.yaml --jobs 3 --seed 7").env("SWITCHBACK_INPUT_PW", "geheim").output();
    let ran = Ran::from(output.unwrap());
    assert_snapshot!(said(&ran, &hash), @r"
    exit 0
    --- stdout
                                           run  merged  failed
      uninterrupted, forward and back        3       0       0
      independent steps in other orders      0       0       0
      crash, then resume                 1,200      34       0
      crash, then unwind                     0       0       0
      one call goes wrong                    0       0       0
      crash in the recovery                  0       0       0
      in all                             1,203      34       0
    4 steps, 500 states, 2.0 s, 601 cases a second on 2 threads, seed 7
    nothing found: from every crash and every fault this plan gets to its end and back
    --- stderr
    rehearsing demo: 4 steps on 2 threads
    certificate stored in `state/rehearsals/[hash].json`
    ");
    assert_eq!(fs::read_to_string(place.path("args")).unwrap(), "rehearse --jobs=3 --seed=7\n");
    assert!(!fs::read_to_string(place.path("env")).unwrap().contains("geheim"));
    let _ran = place.expect(0, "plan demo.yaml --offline -o plan.json");
    assert_eq!(fs::read(place.path("stdin")).unwrap(), fs::read(place.path("plan.json")).unwrap());
    let file = stored(&place, &hash);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap(), certificate(&hash));
    assert_eq!(place.names("state/rehearsals").len(), 1, "nothing half written is left");
}

#[test]
fn what_is_found_is_shown_and_certified_too() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let end = line("finished", with_findings(certificate(&hash)));
    stand_in(&place, &[started(&hash), line("found", finding()), end], 1);
    let ran = expect(&place, 1, "rehearse demo.yaml --certificate ci.json");
    assert_snapshot!(said(&ran, &hash), @r"
    exit 1
    --- stdout
    finding c 7: a: a is there twice
      must hold   nothing twice, nothing orphaned
      case        the process dies before `a` is verified, then resume (crash, then resume)
      fail alike  3 cases
      what to do  look it up first
      journal
        4 a CreateStarted
      calls
        ec2 CreateVpc: 200
    hint: switchback rehearse demo.yaml --seed 7 --case 'c 7'  # this case alone, and all of it

                                           run  merged  failed
      uninterrupted, forward and back        3       0       0
      independent steps in other orders      0       0       0
      crash, then resume                 1,200      34       3
      crash, then unwind                     0       0       0
      one call goes wrong                    0       0       0
      crash in the recovery                  0       0       0
      in all                             1,203      34       3
    4 steps, 500 states, 2.0 s, 601 cases a second on 2 threads, seed 7
      c 7  a  3 cases  against: nothing twice, nothing orphaned
    1 finding in 3 failing cases: do not apply this plan; nothing was done anywhere
    --- stderr
    rehearsing demo: 4 steps on 2 threads
    certificate stored in `state/rehearsals/[hash].json` and `ci.json`
    ");
    assert_eq!(fs::read(place.path("ci.json")).unwrap(), fs::read(stored(&place, &hash)).unwrap());
    let cores = std::thread::available_parallelism().unwrap();
    assert_eq!(fs::read_to_string(place.path("args")).unwrap(), format!("rehearse --jobs={cores}\n"));
}

#[test]
fn one_case_alone_is_shown_whole_and_certifies_nothing() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let case = json!({
        "event": "replayed", "case": "c7", "story": "the process dies, then resume", "ended": "completed",
        "findings": [finding()], "journal": ["1 - RunStarted", "4 a CreateStarted"], "calls": ["ec2 CreateVpc: 200"],
    });
    stand_in(&place, &[started(&hash), line("found", finding()), case.clone()], 0);
    assert_snapshot!(said(&expect(&place, 1, "rehearse demo.yaml --case c7"), &hash), @r"
    exit 1
    --- stdout
    case c7 the process dies, then resume
      journal
        1 - RunStarted
        4 a CreateStarted
      calls
        ec2 CreateVpc: 200
      ended: completed
    finding c 7: a: a is there twice
      must hold   nothing twice, nothing orphaned
      what to do  look it up first
    ");
    assert!(fs::read_to_string(place.path("args")).unwrap().ends_with(" --case=c7\n"));
    let json = expect(&place, 1, "rehearse demo.yaml --case c7 --json").json();
    assert_eq!(json.last().unwrap()["type"], "rehearsal_case");
    let mut good = case;
    good["findings"] = json!([]);
    stand_in(&place, &[good], 0);
    assert!(expect(&place, 0, "rehearse demo.yaml --case c7").stdout.ends_with("nothing found in this case\n"));
    let ran = expect(&place, 1, "rehearse demo.yaml --case c8");
    assert!(ran.stderr.contains("it does not do what it was asked for"), "{ran}");
    assert!(!place.path("state").exists());
}

#[test]
fn json_lines_are_one_versioned_event_each() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let end = line("finished", with_findings(certificate(&hash)));
    stand_in(&place, &[started(&hash), progress(), line("found", finding()), end], 0);
    let ran = expect(&place, 1, "rehearse demo.yaml --json");
    let lines = ran.json();
    assert!(lines.iter().all(|l| l["v"] == 1));
    let types: Vec<_> = lines.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["rehearsal_started", "rehearsal_progress", "rehearsal_finding", "rehearsal_ended"]);
    assert_eq!(lines[2]["data"], finding());
    let end = &lines[3]["data"];
    assert_eq!((&end["worth"], &end["exit_code"]), (&json!("findings"), &json!(1)));
    assert_eq!(end["stored"], json!([format!("state/rehearsals/{hash}.json")]));
    assert_eq!(end["certificate"], with_findings(certificate(&hash)));
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_process_that_dies_or_speaks_nonsense_certifies_nothing() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let other = whole(&"0".repeat(64));
    let foreign = vec![started(&hash), other[2].clone()];
    let twice = [whole(&hash), vec![progress()]].concat();
    let mut newer = whole(&hash);
    newer[2]["version"] = json!(2);
    for (lines, code, what) in [
        (vec![], 0, "ended before it was done (exit status: 0)"),
        (vec![started(&hash), progress()], 101, "ended before it was done (exit status: 101)"),
        (vec![json!({"event": "sung"})], 0, "unknown variant `sung`"),
        (vec![json!("hello")], 0, "said what `switchback` does not understand"),
        (other, 0, "it rehearses another plan than it was given"),
        (foreign, 0, "it rehearses another plan than it was given"),
        (twice, 0, "it goes on after its end"),
        (newer, 0, "its certificate has version 2"),
    ] {
        stand_in(&place, &lines, code);
        let ran = expect(&place, 1, "rehearse demo.yaml");
        assert!(ran.stderr.contains(what), "{what}: {ran}");
        assert!(ran.stderr.contains("must be of the same release"), "{what}: {ran}");
    }
    script(&place, "cat > stdin; echo 'no such case' >&2; kill -9 $$");
    let ran = expect(&place, 1, "rehearse demo.yaml");
    assert!(ran.stderr.starts_with("no such case\nerror: "), "{ran}");
    assert!(ran.stderr.contains("(signal: 9 (SIGKILL))"), "{ran}");
    fs::remove_file(place.path("sandbox.sh")).unwrap();
    let ran = expect(&place, 1, "rehearse demo.yaml");
    assert!(ran.stderr.contains("SWITCHBACK_SANDBOX_BIN"), "{ran}");
    assert!(!place.path("state").exists(), "no certificate was written");
}

#[test]
fn a_signal_ends_the_process_too() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::with_checkpoints();
        let hash = hash(&place, "demo.yaml");
        place.write("lines", format!("{}\n", started(&hash)));
        // It holds the other end of `alive` for as long as it lives.
        fifo(&place, "alive");
        script(&place, "exec 9> alive\ncat > stdin\ncat lines\nexec sleep 1000");
        let mut command = command(&place, "rehearse demo.yaml --json");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut alive = File::open(place.path("alive")).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("rehearsal_started"), "{line}");
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(ran.stderr.contains("the rehearsal was stopped; nothing was done anywhere"), "{ran}");
        alive.read_to_end(&mut Vec::new()).unwrap();
        assert!(!place.path("state").exists());
    }
}

#[test]
fn a_pipe_that_is_closed_costs_the_words_and_not_the_certificate() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    place.write("first", format!("{}\n{}\n", started(&hash), line("found", finding())));
    place.write("last", format!("{}\n", line("finished", with_findings(certificate(&hash)))));
    fifo(&place, "gate");
    script(&place, "cat > stdin; cat first; cat gate; cat last");
    let (child, stdout) = start_until(command(&place, "rehearse demo.yaml"), "look it up first");
    drop(stdout);
    fs::write(place.path("gate"), "").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("nobody reads what the rehearsal says"), "{ran}");
    assert!(stored(&place, &hash).is_file());
}

#[test]
fn wrong_use() {
    let place = Place::with_checkpoints();
    for args in
        ["--jobs 0", "--sample 0", "--seed x", "--case a --sample 2", "--case a --certificate c.json", "--sandbox"]
    {
        let ran = place.expect(2, &format!("rehearse demo.yaml {args}"));
        assert!(ran.stderr.contains("error:"), "{args}: {ran}");
    }
    // A minute of work is not thrown away for want of a place.
    for path in ["/dev/null", "/nowhere/c.json", "."] {
        let ran = place.expect(1, &format!("rehearse demo.yaml --certificate {path}"));
        assert!(ran.stderr.contains(&format!("failed to write `{path}`")), "{ran}");
    }
    place.exits(1, "rehearse nothing.yaml");
    assert_eq!(place.names("."), ["demo.yaml"]);
}

#[test]
fn an_account_that_nobody_gave_is_the_sandboxes_and_said_so() {
    let place = Place::new();
    place.write(
        "net.yaml",
        "runbook: net\nversion: 1\ntarget:\n  aws: { region: us-east-1, account: \"${inputs.account}\" }\n\
         inputs: { account: { type: string } }\nphases:\n  - name: only\n    steps:\n      - id: vpc\n        \
         op: aws.ec2.vpc\n        with: { cidr_block: 10.0.0.0/16 }\n",
    );
    let hash = hash(&place, "net.yaml --input account=123456789012");
    let end = line("finished", with_findings(certificate(&hash)));
    stand_in(&place, &[started(&hash), line("found", finding()), end], 0);
    let ran = expect(&place, 1, "rehearse net.yaml");
    assert!(ran.stderr.contains("this is the plan for the sandbox's, 123456789012"), "{ran}");
    let again = "rehearse net.yaml --input account=123456789012 --seed 7 --case 'c 7'";
    assert!(ran.stdout.contains(again), "{ran}");
    let ran = expect(&place, 1, "rehearse net.yaml --input account=123456789012");
    assert!(!ran.stderr.contains("no account is given"), "{ran}");
}

#[test]
fn plan_says_whether_this_very_plan_was_rehearsed() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let said = |place: &Place| {
        let plan = place.expect(0, "plan demo.yaml --offline").stdout;
        plan.lines().last().unwrap().replace(RELEASE, "[release]")
    };
    let mut all = vec![said(&place)];
    let mut sample = certificate(&hash);
    sample["sample"] = json!(10);
    let mut other = certificate(&hash);
    other["switchback"] = json!("0.0.1");
    for certificate in [certificate(&hash), with_findings(certificate(&hash)), sample, other] {
        store(&place, &hash, &certificate.to_string());
        all.push(said(&place));
    }
    assert_snapshot!(all.join("\n"), @r"
    not rehearsed (`switchback rehearse demo.yaml`)
    rehearsed 2026-11-21 10:00 UTC by [release]: 1,203 cases, nothing found
    rehearsed with findings 2026-11-21 10:00 UTC by [release]: 1,203 cases, 1 finding (`switchback rehearse demo.yaml`)
    only a sample was rehearsed 2026-11-21 10:00 UTC by [release]: 1,203 cases, nothing found (`switchback rehearse demo.yaml`)
    rehearsed 2026-11-21 10:00 UTC by another release, 0.0.1: 1,203 cases, nothing found (`switchback rehearse demo.yaml`)
    ");
    place.write("demo.yaml", format!("{CHECKPOINTS}description: changed\n"));
    assert!(said(&place).starts_with("not rehearsed"), "another plan is another plan");
    let data = &place.expect(0, "plan demo.yaml --offline --json").json()[0]["data"]["rehearsal"];
    assert_eq!(data, &json!({"rehearsed": null, "required": false, "command": "rehearse demo.yaml"}));
}

#[test]
fn a_run_that_requires_a_rehearsal_begins_only_with_one_that_proves() {
    for by_policy in [false, true] {
        let place = Place::new();
        let policy = if by_policy { "policy: { require_rehearsal: true }\n" } else { "" };
        place.write("demo.yaml", format!("{CHECKPOINTS}{policy}"));
        let apply = if by_policy { "apply demo.yaml" } else { "apply demo.yaml --require-rehearsal" };
        let apply = format!("{apply} --auto-approve");
        let hash = hash(&place, "demo.yaml");
        let refused = |what: &str| {
            let ran = place.expect(1, &apply);
            assert!(ran.stderr.contains(what), "{what}: {ran}");
            assert!(ran.stderr.contains("hint: switchback rehearse demo.yaml  #"), "{what}: {ran}");
            assert_eq!(ran.stdout, "", "{what}");
            assert!(!place.journal().exists(), "{what}");
        };
        refused("there is none of this very plan");
        let mut bad = vec![(with_findings(certificate(&hash)), "rehearsed with findings")];
        bad.push((certificate(&hash), "only a sample was rehearsed"));
        bad[1].0["sample"] = json!(2);
        bad.push((certificate(&hash), "by another release, 0.0.1"));
        bad[2].0["switchback"] = json!("0.0.1");
        bad.push((certificate(&hash), "only a sample was rehearsed"));
        bad[3].0["cases"]["crash_resume"]["skipped"] = json!(1);
        for (certificate, what) in bad {
            store(&place, &hash, &certificate.to_string());
            refused(what);
        }
        store(&place, &hash, &certificate(&hash).to_string());
        let _ran = place.expect(0, &format!("{apply} --to a"));
        // Going on and going back ask for none.
        fs::remove_file(stored(&place, &hash)).unwrap();
        place.exits(0, "resume");
        place.exits(0, "unwind --all --auto-approve");
    }
}

#[test]
fn the_journal_says_what_was_known_of_the_rehearsal() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    stand_in(&place, &whole(&hash), 0);
    let _ran = expect(&place, 0, "rehearse demo.yaml");
    place.exits(0, "apply demo.yaml --auto-approve --require-rehearsal");
    let words = format!("rehearsed 2026-11-21 10:00 UTC by {RELEASE}: 1,203 cases, nothing found");
    let log = place.expect(0, "log").stdout;
    assert!(log.lines().nth(1).unwrap().contains(&words), "{log}");
    let status = place.expect(0, "status").stdout;
    assert!(status.lines().nth(2).unwrap().contains(&words), "{status}");
    let first = &place.expect(0, "log --json").json()[0]["data"]["payload"]["rehearsal"];
    let sha256 = std::process::Command::new("sha256sum").arg(stored(&place, &hash)).output().unwrap().stdout;
    let sha256 = String::from_utf8(sha256).unwrap();
    let on_record = json!({
        "certificate": sha256.split_whitespace().next().unwrap(), "at": "2026-11-21T10:00:00Z", "switchback": RELEASE,
        "cases": 1203, "findings": 0, "worth": "proves",
    });
    assert_eq!(first, &on_record);
    assert_eq!(place.expect(0, "status --json").json()[0]["data"]["rehearsal"], on_record);

    // Also what does not prove is put on record, where nothing requires a proof.
    store(&place, &hash, &with_findings(certificate(&hash)).to_string());
    place.exits(0, "apply demo.yaml --auto-approve");
    let status = place.expect(0, "status").stdout;
    assert!(status.contains("rehearsed with findings"), "{status}");
    fs::remove_file(stored(&place, &hash)).unwrap();
    place.exits(0, "apply demo.yaml --auto-approve");
    assert!(!place.expect(0, "status").stdout.contains("rehearsed"));
}

#[test]
fn a_certificate_may_come_from_elsewhere() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    place.write("ci.json", certificate(&hash).to_string());
    let plan = place.expect(0, "plan demo.yaml --offline --rehearsal ci.json").stdout;
    assert!(plan.lines().last().unwrap().starts_with("rehearsed 2026-11-21 10:00 UTC"), "{plan}");
    place.exits(0, "apply demo.yaml --auto-approve --require-rehearsal --rehearsal ci.json");
    let ran = place.expect(1, "plan demo.yaml --offline --rehearsal nowhere.json");
    assert!(ran.stderr.contains("failed to read `nowhere.json`"), "{ran}");
}

#[test]
fn what_is_no_certificate_of_this_plan_is_an_error_and_never_a_pass() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let good = certificate(&hash).to_string();
    let other = certificate(&"0".repeat(64)).to_string();
    for (text, what) in [
        (String::new(), "is not the certificate of a rehearsal, or a damaged one"),
        (good[..good.len() / 2].to_owned(), "or a damaged one"),
        (format!("{good}{good}"), "or a damaged one"),
        (good.replace(r#""sample":1"#, r#""sample":1,"blessed":true"#), "or a damaged one"),
        (good.replace(r#""failed":0"#, r#""failed":-1"#), "or a damaged one"),
        (good.replace("crash_resume", "crash_later"), "or a damaged one"),
        (good.replace(r#""findings":[],"#, ""), "or a damaged one"),
        (good.replace(r#""version":1"#, r#""version":2"#), "has version 2, this release reads version 1"),
        (other, "is of another plan: 000000000000, and this is "),
    ] {
        assert_ne!(text, good);
        store(&place, &hash, &text);
        place.write("ci.json", &text);
        for line in [
            "plan demo.yaml --offline",
            "plan demo.yaml --offline --rehearsal ci.json",
            "apply demo.yaml --auto-approve",
            "apply demo.yaml --auto-approve --require-rehearsal --rehearsal ci.json",
        ] {
            let ran = place.expect(1, line);
            assert!(ran.stderr.contains(what), "{line}: {ran}");
            assert!(ran.stderr.contains("hint: switchback rehearse demo.yaml  #"), "{line}: {ran}");
        }
        assert!(!place.journal().exists());
    }
    // A rehearsal makes it good again.
    stand_in(&place, &whole(&hash), 0);
    let _ran = expect(&place, 0, "rehearse demo.yaml");
    place.exits(0, "apply demo.yaml --auto-approve --require-rehearsal");
}

#[test]
fn a_stored_plan_is_rehearsed_like_its_runbook() {
    let place = Place::with_checkpoints();
    let hash = hash(&place, "demo.yaml");
    let _ran = place.expect(0, "plan demo.yaml --offline -o plan.json");
    stand_in(&place, &whole(&hash), 0);
    let _ran = expect(&place, 0, "rehearse plan.json");
    assert_eq!(fs::read(place.path("stdin")).unwrap(), fs::read(place.path("plan.json")).unwrap());
    place.exits(0, "apply plan.json --auto-approve --require-rehearsal");
    place.exits(0, "apply demo.yaml --auto-approve --require-rehearsal");
    assert_eq!(expect(&place, 2, "rehearse plan.json --input a=b").stdout, "");
}
