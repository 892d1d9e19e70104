//! A real process that is stopped (SIGSTOP) at random points, as a laptop's closed lid does it, and
//! whose run another terminal takes over. On the same host the takeover ends it. Where its lock
//! cannot be seen, as on another host, it wakes up later (SIGCONT): then it must find out that its
//! time is over, write nothing and send nothing.

use std::process::{Child, Stdio};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Operator, Said, mistersmith, pause};

/// Points at which a process is stopped, in each test.
const STOPS: usize = 8;
/// No process that was woken up takes longer to notice.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stops {
    operator: Operator,
    rng: SmallRng,
    start: Value,
    done: Value,
    /// How many records an apply makes.
    records: i64,
}

impl Stops {
    fn new(seed: u64) -> Self {
        let operator = Operator::with_sandbox();
        let start = operator.nameless();
        apply(&operator).wait().unwrap();
        let done = operator.nameless();
        let records = records(&operator);
        operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
        assert_eq!(operator.nameless(), start);
        Self { operator, rng: SmallRng::seed_from_u64(seed), start, done, records }
    }

    /// An apply that is stopped after a random number of records.
    fn stopped(&mut self) -> Child {
        // Not the last of them: how often it looks whether something is there yet is not always the same.
        let at = records(&self.operator) + self.rng.random_range(1..self.records * 9 / 10);
        let mut child = apply(&self.operator);
        let begin = Instant::now();
        while records(&self.operator) < at {
            if child.try_wait().unwrap().is_some() {
                panic!("it ended before it was stopped: {:?}", said(child));
            }
            assert!(begin.elapsed() < PATIENCE, "it does not go on");
            pause(1);
        }
        signal(&child, Signal::STOP);
        child
    }

    /// The run is taken to one of its ends, by another process than began it.
    fn finish(&self, back: bool) {
        if back {
            self.operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
            assert_eq!(self.operator.nameless(), self.start, "unwound = start");
        } else {
            self.operator.run(&["resume"]).exits(0);
            assert_eq!(self.operator.nameless(), self.done, "resumed = uninterrupted");
        }
    }
}

/// One step at a time, so that at most one call is on its way when it is stopped.
fn apply(operator: &Operator) -> Child {
    let path = mistersmith();
    let args = ["apply", &path.to_string_lossy(), "--sandbox", "--auto-approve", "--max-parallel", "1"];
    operator.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

fn database(operator: &Operator) -> Option<Connection> {
    let db = Connection::open_with_flags(operator.journal(), OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    db.busy_timeout(Duration::ZERO).ok()?;
    Some(db)
}

/// How many records there are; none while there is no journal.
pub fn records(operator: &Operator) -> i64 {
    database(operator).and_then(|db| db.query_row("SELECT count(*) FROM records", [], |r| r.get(0)).ok()).unwrap_or(0)
}

/// Whether nobody is in the middle of a transaction.
fn nobody_writes(operator: &Operator) -> bool {
    database(operator).is_some_and(|db| db.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok())
}

/// The writes that the cloud has seen.
fn writes(operator: &Operator) -> Vec<Value> {
    let calls: Value = serde_json::from_str(&operator.admin("GET", "calls", "")).unwrap();
    calls["calls"].as_array().unwrap().iter().filter(|call| call["write"] == true).cloned().collect()
}

fn the_chain_holds(operator: &Operator) {
    operator.run(&["log", "--all", "--calls"]).exits(0);
}

fn ended_by_the_takeover(seed: u64, back: bool) {
    let mut stops = Stops::new(seed);
    for _ in 0..STOPS {
        let mut child = stops.stopped();
        stops.operator.run(&["resume"]).exits(6);
        // It hears nothing while it is stopped, so it is killed when its time is over.
        stops.operator.run(&["takeover", "--reason", "its lid is closed", "--grace", "0"]).exits(0).says("was ended");
        assert_eq!(child.wait().unwrap().code(), None, "it was killed");
        stops.finish(back);
        the_chain_holds(&stops.operator);
        if !back {
            stops.finish(true);
        }
    }
}

#[test]
fn ended_by_the_takeover_then_resumed() {
    ended_by_the_takeover(1, false);
}

#[test]
fn ended_by_the_takeover_then_unwound() {
    ended_by_the_takeover(2, true);
}

fn wakes_up_when_its_time_is_over(seed: u64, back: bool) {
    let mut stops = Stops::new(seed);
    for case in 0..STOPS {
        let child = stops.stopped();
        // On one host a transaction that stands still holds up everybody: here it shall not.
        while !nobody_writes(&stops.operator) {
            signal(&child, Signal::CONT);
            pause(1);
            signal(&child, Signal::STOP);
            pause(1);
        }
        // Another host does not see its lock.
        std::fs::remove_dir_all(stops.operator.state.path().join("locks")).unwrap();
        stops.operator.run(&["takeover", "--reason", "it looked dead", "--attest-dead"]).exits(0);
        stops.finish(back);
        let (before, sent) = (records(&stops.operator), writes(&stops.operator));

        signal(&child, Signal::CONT);
        let said = said(child).exits(6);
        assert!(said.err.contains("was taken over by another executor"), "{}", said.err);
        assert_eq!(records(&stops.operator), before, "nothing more is on record");
        the_chain_holds(&stops.operator);
        let late = writes(&stops.operator).split_off(sent.len());
        assert!(late.len() <= 1, "no more than what was on its way: {late:?}");
        if late.is_empty() {
            assert_eq!(&stops.operator.nameless(), if back { &stops.start } else { &stops.done });
        } else {
            // That no epoch can help: who attested that it was dead was wrong.
            eprintln!("not tested at stop {case}: a call was on its way: {late:?}");
            return;
        }
        if !back {
            stops.finish(true);
        }
    }
}

/// What a process said, once it has ended.
fn said(mut child: Child) -> Said {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        pause(5);
    }
    Said::new(child.wait_with_output().unwrap())
}

#[test]
fn wakes_up_after_the_run_was_resumed() {
    wakes_up_when_its_time_is_over(3, false);
}

#[test]
fn wakes_up_after_the_run_was_unwound() {
    wakes_up_when_its_time_is_over(4, true);
}
