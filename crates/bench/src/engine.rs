//! Runs of no-op steps through the real executor and the real journal, in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use switchback_engine::cx::{Clock, Contexts};
use switchback_engine::executor::{self, AlwaysGo, Control, Environment, Observer, ObserverGone, Options, Setup};
use switchback_engine::history::{History, HistoryError};
use switchback_engine::journal::Journal;
use switchback_engine::registry::Registry;
use switchback_engine::secrets::Secrets;
use switchback_journal::{Store, Writer};
use switchback_model::event::{Event, Outcome};
use switchback_model::plan::{OutputRef, PLAN_FORMAT_VERSION, Plan, PlanStep, Policy, Target, Template};
use switchback_model::record::{Actor, Endpoint, FORMAT_VERSION, RunStarted, UnwindCause, UnwindTarget};
use switchback_model::{RunId, StepId, canonical};
use tokio::time::Instant;

use crate::noop::Noop;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// The shape of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each step needs the one before.
    Chain,
    /// As `Chain`, and every capture gives way once.
    WaitingChain,
    /// No step needs another.
    Wide,
}

pub(crate) fn plan(shape: Shape, n: usize) -> Plan {
    let step = |i: usize| {
        let mut params =
            [("n".to_owned(), Template::Lit(json!(i)))].into_iter().collect::<std::collections::BTreeMap<_, _>>();
        let mut needs = Vec::new();
        if shape != Shape::Wide && i > 0 {
            let before = StepId::new(&format!("s{}", i - 1));
            params.insert("after".into(), Template::Ref(OutputRef { step: before.clone(), path: vec!["n".into()] }));
            needs.push(before);
        }
        if shape == Shape::WaitingChain {
            params.insert("wait".into(), Template::Lit(json!(true)));
        }
        PlanStep {
            id: StepId::new(&format!("s{i}")),
            phase: 0,
            op: "bench.noop".into(),
            op_version: 1,
            params: Template::Map(params),
            provider: None,
            needs,
            timeout: None,
            attempts: None,
            on_failure: None,
            verify: Vec::new(),
            protect: false,
        }
    };
    Plan {
        format: PLAN_FORMAT_VERSION,
        runbook: "bench".into(),
        version: 1,
        description: String::new(),
        target: Target::default(),
        inputs: [].into(),
        secrets: [].into(),
        policy: Policy { max_parallel: 1000, ..Policy::default() },
        phases: vec!["only".into()],
        steps: (0..n).map(step).collect(),
        files: [].into(),
    }
}

#[derive(Debug, Clone, Copy)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event) -> Result<(), ObserverGone> {
        Ok(())
    }
}

fn environment() -> Result<Environment, Failure> {
    let mut registry = Registry::new();
    registry.register(Noop)?;
    Ok(Environment {
        registry: Arc::new(registry),
        clock: Arc::new(SystemClock),
        contexts: Contexts::new(),
        secrets: Secrets::none(),
        providers: Vec::new(),
        tag_prefix: "switchback".into(),
    })
}

pub(crate) fn store(folder: &Path) -> Result<Store, Failure> {
    let actor = Actor {
        user: "bench".into(),
        host: "bench".into(),
        pid: std::process::id(),
        aws_caller: None,
        binary: "bench".into(),
    };
    Ok(Store::open(folder, Writer { actor, clock: Arc::new(SystemClock) })?)
}

/// How long a run took, forward and back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) forward: Duration,
    pub(crate) back: Duration,
}

/// Starts a run of `plan` in `store`.
pub(crate) fn create(store: &Store, plan: &Plan) -> Result<(RunId, Box<dyn Journal>), Failure> {
    let json = canonical::to_string(plan)?;
    let hash = canonical::hex(&Sha256::digest(json.as_bytes()));
    let run = RunId::new(uuid::Uuid::now_v7());
    let started = RunStarted {
        format: FORMAT_VERSION,
        runbook: plan.runbook.clone(),
        plan_hash: hash,
        endpoint: Endpoint::default(),
        secrets: None,
        rehearsal: None,
    };
    Ok((run, Box::new(store.create_run(run, &json, started, "apply")?)))
}

fn setup(journal: Box<dyn Journal>, history: History) -> Result<Setup, Failure> {
    Ok(Setup {
        journal,
        history,
        env: environment()?,
        options: Options::default(),
        observer: Arc::new(Silent),
        gate: Arc::new(AlwaysGo),
        control: Control::new(),
    })
}

/// Runs `plan` forward and, when wanted, back.
pub(crate) fn run(folder: &Path, plan: Plan, back: bool) -> Result<Took, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = store(folder)?;
    let plan = Arc::new(plan);
    let start = Instant::now();
    let (run, journal) = create(&store, &plan)?;
    let history = History::new(plan.clone());
    let outcome = runtime.block_on(executor::apply(setup(journal, history)?))?;
    let forward = start.elapsed();
    if outcome != Outcome::Completed {
        return Err(format!("the run ended as {outcome:?}").into());
    }
    if !back {
        return Ok(Took { forward, back: Duration::ZERO });
    }
    let start = Instant::now();
    let mut history = History::new(plan);
    store.replay(run, &mut |record| match history.replay(&record) {
        Ok(()) => Ok(()),
        Err(HistoryError::Illegal { source, .. }) => Err(source),
        Err(HistoryError::UnknownStep(_)) => Ok(()),
    })?;
    let journal = Box::new(store.take_run(run, "unwind")?);
    let cause = UnwindCause::Asked { reason: None };
    let outcome = runtime.block_on(executor::unwind(setup(journal, history)?, UnwindTarget::All, cause))?;
    if !matches!(outcome, Outcome::Unwound { all: true, .. }) {
        return Err(format!("the unwind ended as {outcome:?}").into());
    }
    Ok(Took { forward, back: start.elapsed() })
}

/// Durable commits a second of raw SQLite in the same folder, one small row each.
pub(crate) fn raw_commits(folder: &Path, n: u32) -> Result<f64, Failure> {
    let db = rusqlite::Connection::open(folder.join("raw.db"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT)")?;
    let text = "x".repeat(300);
    let mut insert = db.prepare("INSERT INTO t (b) VALUES (?1)")?;
    let start = Instant::now();
    for _ in 0..n {
        insert.execute([&text])?;
    }
    Ok(f64::from(n) / start.elapsed().as_secs_f64())
}
