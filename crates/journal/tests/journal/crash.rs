//! A process that is killed at any instant loses nothing that it has announced.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use switchback_engine::journal::Journal as _;
use switchback_journal::Store;
use switchback_model::Seq;

use crate::support::{PLAN, State, all, run_id, started, step_records, writer};

const FOLDER: &str = "SWITCHBACK_TEST_CRASH_FOLDER";

/// Not a test by itself: the process that is killed. It appends until then, and says after each
/// batch which record was the last.
#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let store = Store::open(&folder, writer()).unwrap();
    let run = run_id(1);
    let known = store.runs().unwrap().iter().any(|r| r.run == run);
    let mut journal = if known {
        store.take_run(run, "resume").unwrap()
    } else {
        store.create_run(run, PLAN, started(), "apply").unwrap()
    };
    let mut out = std::io::stdout();
    for n in 0_u64.. {
        let mut batch = Vec::new();
        for _ in 0..=(n * 7 % 11) {
            batch.extend(step_records(&format!("step{:04}", journal.last().0 % 3000)));
        }
        journal.append(batch).unwrap();
        writeln!(out, "announced {}", journal.last()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn nothing_announced_is_lost_by_a_kill() {
    let state = State::new();
    let run = run_id(1);
    let mut last = 0;
    for kill in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::the_process_that_is_killed", "--nocapture"])
            .env(FOLDER, state.folder())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // How far it gets is up to the disk and the scheduler.
        let mut announced = 0;
        let mut read = |line: String| {
            if let Some(seq) = line.rsplit_once("announced ") {
                announced = seq.1.parse().unwrap();
            }
        };
        for line in lines.by_ref().take(3 + kill * 5 % 17) {
            read(line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(read);

        let store = state.open_read_only();
        assert_eq!(store.lock_holder(run).unwrap(), None, "the lock died with its process");
        let records = all(&store, run).unwrap();
        let Seq(newest) = records.last().unwrap().seq;
        assert!(announced > last, "kill {kill}: it got nowhere");
        assert!(newest >= announced, "kill {kill}: {announced} was announced, {newest} is there");
        // Batches are whole: only complete steps, and the records of starts.
        let of_steps = records.iter().filter(|r| r.draft.step.is_some()).count();
        assert_eq!(of_steps % 4, 0);
        let heads = store.heads(run).unwrap();
        let counted: u64 = store.head_counts(run).unwrap().values().sum();
        assert_eq!(counted, heads.len() as u64);
        last = newest;
    }
    assert_eq!(state.open_read_only().summary(run).unwrap().epoch.0, 20);
}
