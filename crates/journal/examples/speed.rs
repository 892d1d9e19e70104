//! How fast the journal is, beside what SQLite itself does on the same disk: `cargo run --release
//! -p switchback-journal --example speed -- FOLDER`. The folder must not exist yet.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a stopwatch for people at a terminal")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;
use switchback_engine::cx::Clock;
use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::{Store, Writer};
use switchback_model::record::{
    Actor, Captured, CreateStarted, Created, Direction, Draft, Endpoint, FORMAT_VERSION, Json, RunStarted, Verified,
};
use switchback_model::{Generation, RunId, StepId};
use uuid::Uuid;

const PLAN: &str = r#"{"a":1}"#;
const PLAN_HASH: &str = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";
const ONES: u32 = 2000;
const STEPS: usize = 10_000;
const MILLION: u32 = 1_000_000;

struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("say in which folder")?);
    std::fs::create_dir(&folder)?;
    let store = Store::open(&folder.join("state"), writer())?;

    let raw = raw_commits(&folder)?;
    let run = RunId::new(Uuid::from_u128(1));
    let mut journal = store.create_run(run, PLAN, started(), "apply")?;
    let records: Vec<Draft> = (0..).flat_map(step).take(ONES as usize).collect();
    let begin = Instant::now();
    for record in records {
        journal.append(vec![record])?;
    }
    let ones = begin.elapsed();
    println!("raw SQLite commit of one row:   {:>8.1} us", each(raw, ONES));
    println!(
        "commit of one record:           {:>8.1} us   {:.2} commits a raw one",
        each(ones, ONES),
        raw.as_secs_f64() / ones.as_secs_f64()
    );
    for batch in [64, 1000, 10_000, 40_000] {
        let records: Vec<Draft> = (0..STEPS).flat_map(step).collect();
        let count = u32::try_from(records.len())?;
        let mut batches: Vec<Vec<Draft>> = records.chunks(batch).map(<[_]>::to_vec).collect();
        let begin = Instant::now();
        for batch in &mut batches {
            journal.append(std::mem::take(batch))?;
        }
        println!("a record in batches of {batch:>6}:  {:>8.2} us", each(begin.elapsed(), count));
    }
    let fence = journal.fence();
    let begin = Instant::now();
    for _ in 0..ONES {
        fence.check()?;
    }
    println!("a check of the fence:           {:>8.2} us", each(begin.elapsed(), ONES));
    drop(journal);

    let run = RunId::new(Uuid::from_u128(2));
    let mut journal = store.create_run(run, PLAN, started(), "apply")?;
    for start in 0..25 {
        for part in 0..10 {
            let from = (start * 10 + part) * 1000;
            journal.append((from..from + 1000).flat_map(|n| step(n % 100_000)).collect())?;
        }
    }
    drop(journal);
    drop(store);
    timed("opening", || {
        drop(Store::open_read_only(&folder.join("state"))?);
        Ok(())
    })?;
    let store = Store::open_read_only(&folder.join("state"))?;
    timed("runs()", || {
        drop(store.runs()?);
        Ok(())
    })?;
    timed("head_counts(), 100,000 steps", || {
        drop(store.head_counts(run)?);
        Ok(())
    })?;
    timed("heads(), 100,000 steps", || {
        drop(store.heads(run)?);
        Ok(())
    })?;
    timed("tail(), 1000 of 1,000,000", || {
        drop(store.tail(run, None, 1000)?);
        Ok(())
    })?;
    let begin = Instant::now();
    let mut seen = 0_u64;
    store.replay(run, &mut |_| {
        seen += 1;
        Ok(())
    })?;
    let took = begin.elapsed();
    println!("replay of {seen} records:    {:>8.2} s, {:.2} us a record", took.as_secs_f64(), each(took, MILLION));
    let size = std::fs::metadata(store.path())?.len();
    println!("journal of {} records: {} MB", seen + 162_006, size >> 20);
    Ok(())
}

fn timed<T>(what: &str, call: impl FnOnce() -> Result<T, JournalError>) -> Result<(), Failure> {
    let begin = Instant::now();
    call()?;
    println!("{what:<31} {:>8.2} ms", begin.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn each(all: Duration, count: u32) -> f64 {
    (all / count).as_nanos() as f64 / 1e3
}

/// What SQLite does at best: one small row, durable.
fn raw_commits(folder: &Path) -> Result<Duration, Failure> {
    let conn = Connection::open(folder.join("raw.db"))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")?;
    let mut insert = conn.prepare("INSERT INTO t (text) VALUES (?1)")?;
    let text = "x".repeat(200);
    let begin = Instant::now();
    for _ in 0..ONES {
        insert.execute([&text])?;
    }
    Ok(begin.elapsed())
}

fn step(n: usize) -> Vec<Draft> {
    let step = StepId::new(&format!("step{n:06}"));
    let json = |value: serde_json::Value| Json::new(&value).ok();
    let (Some(before), Some(params), Some(output)) =
        (json(json!("absent")), json(json!({"name": step.as_str(), "value": n})), json(json!({"id": step.as_str()})))
    else {
        return Vec::new();
    };
    let draft = |body| Draft {
        at: Timestamp::UNIX_EPOCH,
        step: Some(step.clone()),
        generation: Generation::FIRST,
        direction: Direction::Forward,
        body,
    };
    vec![
        draft(Captured { before }.into()),
        draft(CreateStarted { token: "0123456789abcdef0123456789abcdef".into(), params }.into()),
        draft(Created { output }.into()),
        draft(Verified { output: None, compared: vec![] }.into()),
    ]
}

fn writer() -> Writer {
    let actor = Actor {
        user: "operator".into(),
        host: "laptop".into(),
        pid: 4711,
        aws_caller: Some("arn:aws:iam::123456789012:user/operator".into()),
        binary: "0.1.0".into(),
    };
    Writer { actor, clock: Arc::new(Now) }
}

fn started() -> RunStarted {
    RunStarted {
        format: FORMAT_VERSION,
        runbook: "demo".into(),
        plan_hash: PLAN_HASH.into(),
        endpoint: Endpoint::default(),
        secrets: None,
        rehearsal: None,
    }
}
