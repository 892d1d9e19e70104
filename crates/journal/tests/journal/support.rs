//! State folders, records and clocks for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;
use switchback_engine::cx::Clock;
use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::{SqliteJournal, Store, Writer};
use switchback_model::record::{
    Actor, Body, Captured, CreateStarted, Created, Direction, Draft, Endpoint, FORMAT_VERSION, Json, Record,
    RunStarted, Verified,
};
use switchback_model::{Generation, RunId, Seq};
use tempfile::TempDir;
use uuid::Uuid;

/// A plan's text, as far as a journal cares, and its SHA-256.
pub(crate) const PLAN: &str = r#"{"a":1}"#;
pub(crate) const PLAN_HASH: &str = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";

/// A clock that goes on by a microsecond each time it is read.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let micros = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_microsecond(1_790_000_000_000_000 + micros).unwrap()
    }
}

pub(crate) fn actor() -> Actor {
    Actor { user: "operator".into(), host: "laptop".into(), pid: 4711, aws_caller: None, binary: "0.1.0".into() }
}

pub(crate) fn writer() -> Writer {
    Writer { actor: actor(), clock: Arc::new(TestClock::default()) }
}

pub(crate) fn run_id(n: u128) -> RunId {
    RunId::new(Uuid::from_u128(n))
}

pub(crate) fn started() -> RunStarted {
    RunStarted {
        format: FORMAT_VERSION,
        runbook: "demo".into(),
        plan_hash: PLAN_HASH.into(),
        endpoint: Endpoint { url: Some("http://127.0.0.1:1".into()), sandbox: true, quiet_ms: Some(5) },
        secrets: None,
        rehearsal: None,
    }
}

/// A state folder of one test.
pub(crate) struct State {
    folder: TempDir,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder().join("journal.db")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.folder(), writer()).unwrap()
    }

    pub(crate) fn open_read_only(&self) -> Store {
        Store::open_read_only(&self.folder()).unwrap()
    }

    /// A run with `steps` steps that are verified, closed.
    pub(crate) fn with_run(run: RunId, steps: usize) -> Self {
        let state = Self::new();
        let mut journal = state.create(run);
        for i in 0..steps {
            journal.append(step_records(&format!("step{i:03}"))).unwrap();
        }
        state
    }

    pub(crate) fn create(&self, run: RunId) -> SqliteJournal {
        self.open().create_run(run, PLAN, started(), "apply").unwrap()
    }

    /// The database itself, as somebody who tampers with it sees it: without the triggers.
    pub(crate) fn tamper(&self, sql: &str) {
        let conn = Connection::open(self.file()).unwrap();
        let triggers: Vec<String> = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for trigger in triggers {
            conn.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        conn.execute_batch(sql).unwrap();
    }

    /// Every file of the folder with its content, except SQLite's scratch index.
    pub(crate) fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.folder(), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.to_string_lossy().ends_with("-shm") {
            files.push((path, Vec::new()));
        } else {
            let content = std::fs::read(&path).unwrap();
            files.push((path, content));
        }
    }
}

pub(crate) fn draft(step: Option<&str>, body: impl Into<Body>) -> Draft {
    Draft {
        at: Timestamp::from_second(1_790_000_000).unwrap(),
        step: step.map(Into::into),
        generation: Generation::FIRST,
        direction: Direction::Forward,
        body: body.into(),
    }
}

/// The life of a step that goes well.
pub(crate) fn step_records(step: &str) -> Vec<Draft> {
    let json = |value: serde_json::Value| Json::new(&value).unwrap();
    vec![
        draft(Some(step), Captured { before: json(json!("absent")) }),
        draft(
            Some(step),
            CreateStarted {
                token: "0123456789abcdef0123456789abcdef".into(),
                params: json(json!({"name": step, "value": 1})),
            },
        ),
        draft(Some(step), Created { output: json(json!({"id": step})) }),
        draft(Some(step), Verified { output: None, compared: vec![] }),
    ]
}

/// Everything that is on record.
pub(crate) fn all(store: &Store, run: RunId) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    let last = store.replay(run, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    assert_eq!(last, records.last().map_or(Seq(0), |r| r.seq));
    Ok(records)
}

/// Says so, loudly, when a test cannot be done on this machine.
#[expect(clippy::print_stderr, reason = "who reads the test's output must see it")]
pub(crate) fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
