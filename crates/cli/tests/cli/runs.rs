//! Runs from the beginning to the end, forward and back.

use insta::assert_snapshot;

use crate::place::Place;

#[test]
fn forward_and_back() {
    let place = Place::with_checkpoints();
    assert_snapshot!(place.run("apply demo.yaml --auto-approve"), @r"
    exit 0
    --- stdout
    run [run] of demo: 4 steps to go
      -         preflight passed  4 captured, 0 known only later
      a         created
      a         verified
      b         created
      b         verified
      c[x]      created
      c[x]      verified
      c[y]      created
      c[y]      verified
    completed: every step is verified (4 steps, [took])
    hint: switchback verify [id]  # is everything still as it was left?
    hint: switchback unwind [id] --all  # go back to the start
    ");
    assert_snapshot!(place.run("status"), @r"
    exit 0
    --- stdout
    demo [run]
      completed: every step is verified
      began [time], last record [time] (20 records)

      first   a     control.checkpoint  verified
      first   b     control.checkpoint  verified
      second  c[x]  control.checkpoint  verified
      second  c[y]  control.checkpoint  verified
      4 steps: 4 verified
    hint: switchback verify [id]  # is everything still as it was left?
    hint: switchback unwind [id] --all  # go back to the start
    ");
    assert_snapshot!(place.run("runs"), @r"
    exit 0
    --- stdout
    run                                   runbook  began                 records  stands
    [run]  demo     [time]  20       completed: every step is verified
    ");
    assert_snapshot!(place.run("verify"), @r"
    exit 0
    --- stdout
      a     as left  nothing to compare
      b     as left  nothing to compare
      c[x]  as left  nothing to compare
      c[y]  as left  nothing to compare
    4 steps as left
    ");
    assert_snapshot!(place.run("resume"), @r"
    exit 0
    --- stderr
    nothing to do: every step is verified
    ");
    assert_snapshot!(place.run("unwind --to first --auto-approve --reason again"), @r"
    exit 0
    --- stdout
      -         unwind started  to `first`, asked: again
    unwind [run] of demo: 2 steps to go, 2 need nothing
      c[y]      undone
      c[x]      undone
      -         swept           nothing is left that this run made and does not keep
    unwound: undone to the checkpoint (2 steps, [took])
    hint: switchback resume [id]  # go on forward
    hint: switchback unwind [id] --all  # go back to the start
    ");
    assert_eq!(place.states(), ["a verified", "b verified", "c[x] undone", "c[y] undone"]);
    assert_snapshot!(place.run("resume"), @r"
    exit 0
    --- stdout
      -         going forward again
    run [run] of demo: 2 steps to go, 2 done already
      c[x]      recovery        undone: create again, as the next generation
      c[y]      recovery        undone: create again, as the next generation
      c[x]      created
      c[x]      verified
      c[y]      created
      c[y]      verified
    completed: every step is verified (2 steps, [took])
    hint: switchback verify [id]  # is everything still as it was left?
    hint: switchback unwind [id] --all  # go back to the start
    ");
    assert_snapshot!(place.run("unwind --all --auto-approve"), @r"
    exit 0
    --- stdout
      -         unwind started  to the start, asked
    unwind [run] of demo: 4 steps to go
      c[y]      undone
      c[x]      undone
      b         undone
      a         undone
      -         swept           nothing is left that this run made and does not keep
    unwound: everything is undone (4 steps, [took])
    ");
    assert_snapshot!(place.run("unwind --all --auto-approve"), @r"
    exit 0
    --- stderr
    nothing to do: everything was unwound
    ");
    assert_snapshot!(place.run("resume"), @r"
    exit 1
    --- stderr
    error: the run has ended: everything was unwound
    hint: switchback status  # where it stands
    ");
    place.exits(0, "log --all");
}

#[test]
fn the_log_tells_it_again() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to a");
    let log = place.expect(0, "log");
    assert_eq!(log.stdout, place.expect(0, "log --all").stdout);
    assert_eq!(log.stdout.lines().count(), 12, "{log}");
    let newest = place.expect(0, "log --limit 2");
    assert_eq!(newest.stdout.lines().skip(1).collect::<Vec<_>>(), log.stdout.lines().skip(10).collect::<Vec<_>>());
    let json = place.expect(0, "log --json").json();
    let kinds: Vec<_> = json.iter().map(|l| l["data"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["RunStarted", "ExecutorStarted"]);
    assert_eq!(kinds.last(), Some(&"Paused"));
}

#[test]
fn a_step_that_is_reached_ends_the_apply_and_a_resume_goes_on() {
    let place = Place::with_checkpoints();
    assert_snapshot!(place.run("apply demo.yaml --auto-approve --to b"), @r"
    exit 0
    --- stdout
    run [run] of demo: 4 steps to go
      -         preflight passed  4 captured, 0 known only later
      a         created
      a         verified
      b         created
      b         verified
    reached `b` (2 of 4 steps, [took])
    hint: switchback resume [id]  # go on forward
    hint: switchback unwind [id] --all  # go back to the start
    ");
    assert_eq!(place.states(), ["a verified", "b verified", "c[x] captured", "c[y] captured"]);
    let line = &place.expect(0, "verify --json").json()[0];
    assert_eq!((&line["type"], &line["data"]["not_made"]), (&"check".into(), &2.into()));
    place.exits(0, "resume");
    assert!(place.states().iter().all(|s| s.ends_with(" verified")));
}

#[test]
fn json_lines_are_one_versioned_event_each() {
    let place = Place::with_checkpoints();
    let ran = place.expect(0, "apply demo.yaml --auto-approve --json");
    let lines = ran.json();
    assert!(lines.iter().all(|l| l["v"] == 1 && l["type"].is_string()));
    let types: Vec<_> = lines.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!((types[0], types[1], *types.last().unwrap()), ("plan", "started", "ended"));
    let end = &lines.last().unwrap()["data"];
    assert_eq!((&end["outcome"], &end["exit_code"]), (&"completed".into(), &0.into()));
    assert_eq!(ran.stderr, "");
    let error = &place.expect(1, "status nobody --json").json()[0];
    assert_eq!((&error["type"], &error["data"]["exit_code"]), (&"error".into(), &1.into()));
}

#[test]
fn no_journal_is_said_and_none_is_made() {
    let place = Place::new();
    assert_snapshot!(place.run("runs"), @r"
    exit 1
    --- stderr
    error: there is no journal at state/journal.db
    hint: switchback apply FILE  # the first run makes the journal
    hint: or name another state folder with --state DIR
    ");
    for line in
        ["status", "log", "verify", "resume", "unwind --all --auto-approve", "skip a --reason x", "takeover --reason x"]
    {
        let ran = place.expect(1, line);
        assert!(ran.stderr.starts_with("error: there is no journal at state/journal.db\n"), "{line}: {ran}");
    }
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn a_run_is_named_by_a_part_of_its_id_when_more_than_one_fits() {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to a");
    place.exits(0, "apply demo.yaml --auto-approve --to a");
    let runs = place.runs();
    let ran = place.expect(2, "resume");
    assert!(ran.stderr.contains("say which") && runs.iter().all(|r| ran.stderr.contains(r)), "{ran}");
    let end = &runs[0][28..];
    place.exits(0, &format!("resume {end}"));
    place.exits(0, "resume");
    place.exits(2, "unwind --all --auto-approve");
    let ran = place.expect(1, "status 00000000");
    assert!(ran.stderr.contains("there is no run `00000000`"), "{ran}");
    let ran = place.expect(1, &format!("unwind {end} --to nowhere --auto-approve"));
    assert!(ran.stderr.contains("no phase or step `nowhere`"), "{ran}");
}

#[test]
fn the_state_folder_can_be_somewhere_else_and_hints_say_so() {
    let place = Place::with_checkpoints();
    let ran = place.expect(0, "apply demo.yaml --auto-approve --state else/where");
    assert!(ran.stdout.contains("hint: switchback --state else/where verify "), "{ran}");
    let output = place.command(&["runs", "--json"]).env("SWITCHBACK_STATE", "else/where").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(place.names("."), ["demo.yaml", "else"]);
}

#[test]
fn how_much_is_said() {
    let place = Place::with_checkpoints();
    let lines = |line: &str| place.expect(0, line).stdout.lines().count();
    let quiet = lines("apply demo.yaml --auto-approve -q");
    let normal = lines("apply demo.yaml --auto-approve");
    let verbose = lines("apply demo.yaml --auto-approve -v");
    assert!(quiet < normal && normal < verbose, "{quiet} {normal} {verbose}");
}
