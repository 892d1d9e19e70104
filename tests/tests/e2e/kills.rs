//! A real process, killed (SIGKILL) at random points while it applies and while it unwinds, and
//! killed again in the recovery. The sandbox is a process of its own: the cloud does not care.

use std::process::Stdio;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{Operator, mistersmith, pause};

/// Processes killed by each of the four tests.
const KILLS: u64 = 25;
/// Attempts to kill: some processes end before their time has come.
const ATTEMPTS: u64 = 3 * KILLS;

struct Kills {
    operator: Operator,
    rng: SmallRng,
    /// How long a whole apply and a whole unwind take.
    apply: Duration,
    unwind: Duration,
    start: Value,
    done: Value,
    killed: u64,
}

impl Kills {
    fn new(seed: u64) -> Self {
        let operator = Operator::with_sandbox();
        let start = operator.nameless();
        let begin = Instant::now();
        operator.apply(&mistersmith()).exits(0);
        let apply = begin.elapsed();
        let done = operator.nameless();
        let begin = Instant::now();
        operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
        let unwind = begin.elapsed();
        Self { operator, rng: SmallRng::seed_from_u64(seed), apply, unwind, start, done, killed: 0 }
    }

    /// Starts a command and kills it at a random point of the time that it would take. Whether it was killed, and
    /// did not end by itself.
    fn kill(&mut self, args: &[&str], of: Duration) -> bool {
        let mut child =
            self.operator.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let at = of.mul_f64(self.rng.random_range(0.0..1.0));
        pause(u64::try_from(at.as_millis()).unwrap());
        child.kill().expect("it can be killed");
        let killed = child.wait().expect("it ends").code().is_none();
        self.killed += u64::from(killed);
        killed
    }

    /// The cases, until there were enough kills.
    fn next(&mut self, case: &mut u64) -> bool {
        *case += 1;
        if self.killed >= KILLS {
            return false;
        }
        assert!(*case <= ATTEMPTS, "only {} of {case} processes could be killed in time", self.killed);
        true
    }

    fn kill_apply(&mut self) -> bool {
        let path = mistersmith();
        let path = path.to_string_lossy();
        let of = self.apply;
        self.kill(&["apply", &path, "--sandbox", "--auto-approve"], of)
    }

    /// Whether a run that can go on is on record. A kill may come before there is one.
    fn has_run(&self) -> bool {
        let runs = self.operator.run(&["--json", "runs"]);
        runs.code == 0 && runs.out.lines().any(|l| !l.contains("\"unwound\"") && l.contains("\"run\""))
    }

    fn finish_forward(&self, case: u64) {
        let said = self.operator.run(&["resume"]);
        assert_eq!(said.code, 0, "kill {case}: {said:?}");
        assert_eq!(self.operator.nameless(), self.done, "kill {case}: resumed = uninterrupted");
    }

    fn finish_back(&self, case: u64) {
        let said = self.operator.run(&["unwind", "--all", "--auto-approve"]);
        assert_eq!(said.code, 0, "kill {case}: {said:?}");
        assert_eq!(self.operator.nameless(), self.start, "kill {case}: unwound = start");
    }
}

#[test]
fn killed_while_applying_then_resumed() {
    let mut kills = Kills::new(1);
    let mut case = 0;
    while kills.next(&mut case) {
        kills.kill_apply();
        if kills.has_run() {
            kills.finish_forward(case);
            kills.finish_back(case);
        }
    }
}

#[test]
fn killed_while_applying_then_unwound() {
    let mut kills = Kills::new(2);
    let mut case = 0;
    while kills.next(&mut case) {
        kills.kill_apply();
        if kills.has_run() {
            kills.finish_back(case);
        }
    }
}

#[test]
fn killed_while_unwinding_then_unwound() {
    let mut kills = Kills::new(3);
    let mut case = 0;
    while kills.next(&mut case) {
        kills.operator.apply(&mistersmith()).exits(0);
        let of = kills.unwind;
        if kills.kill(&["unwind", "--all", "--auto-approve"], of) {
            let resumed = kills.operator.run(&["resume"]);
            assert!([0, 1].contains(&resumed.code), "kill {case}: {resumed:?}");
        }
        if kills.has_run() {
            kills.finish_back(case);
        }
        assert_eq!(kills.operator.nameless(), kills.start, "kill {case}");
    }
}

#[test]
fn killed_again_in_the_recovery() {
    let mut kills = Kills::new(4);
    let mut case = 0;
    while kills.next(&mut case) {
        kills.kill_apply();
        if !kills.has_run() {
            continue;
        }
        let (apply, unwind) = (kills.apply, kills.unwind);
        if case % 2 == 0 {
            kills.kill(&["resume"], apply);
            kills.finish_forward(case);
            kills.finish_back(case);
        } else {
            kills.kill(&["unwind", "--all", "--auto-approve"], unwind);
            if kills.has_run() {
                kills.finish_back(case);
            }
        }
        assert_eq!(kills.operator.nameless(), kills.start, "kill {case}");
    }
}
