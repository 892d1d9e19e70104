//! Which cases there are, on all cores, until no new one is known.
//!
//! First a run without any interruption gives the base states: those between two steps, forward, back, and forward again
//! as a second generation. From each of them a process makes one step, which is filmed: every commit and every write is
//! a crash point, every call gets every fault. What comes of these is followed until it is between two steps in a
//! state that is known, or at its end; and is filmed as well, for the second crash.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use switchback_engine::history::History;
use switchback_engine::operation::BoxFuture;
use switchback_engine::registry::Registry;
use switchback_engine::secrets::Secrets;
use switchback_model::event::Outcome;
use switchback_model::facts::ProofKind;
use switchback_model::plan::Plan;
use switchback_model::record::RunSecrets;
use switchback_model::rehearsal::{CaseKind, Check, Count, Finding, Line, Progress, Replayed};
use switchback_model::status::State as StepState;
use switchback_model::{ErrorClass, Generation, RunId, StepId};
use thiserror::Error;

use crate::case::{Base, Blow, Case, Command, Move};
use crate::check::{Expected, chain};
use crate::disk::Disk;
use crate::find::{Findings, call_lines, finding, journal_lines, story};
use crate::orders::orders;
use crate::process::{
    Bench, DUST, End, Frame, How, JournalWrap, Known, Near, Ran, Rehearsed, State, Violation, replay, ways,
};
use crate::state::Key;
use crate::world::{Fault, Owner, Thing, World};

/// Makes a world; every thread has one. Called on a runtime whose time is paused.
pub type MakeWorld = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn World>, String>> + Send + Sync>;

/// What is rehearsed.
#[derive(Clone)]
pub struct Subject {
    /// The plan.
    pub plan: Arc<Plan>,
    /// SHA-256 of its canonical JSON, in hex.
    pub plan_hash: String,
    /// The operations.
    pub registry: Arc<Registry>,
    /// The run whose marks the worlds take for ours.
    pub run: RunId,
    /// Values for the plan's secrets, and what is stored of them.
    pub secrets: (Option<RunSecrets>, Secrets),
    /// These values, which must not be in the journal.
    pub canaries: Vec<String>,
    /// The worlds: equal, and with look-alikes of everything in them.
    pub world: MakeWorld,
    /// Stands between engine and journal; none outside of tests of the rehearsal.
    pub wrap_journal: Option<JournalWrap>,
}

/// How it is rehearsed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads.
    pub jobs: usize,
    /// One of so many cases is run; 1: all of them.
    pub sample: u64,
    /// What chooses the cases of a sample, and the pauses of the engine.
    pub seed: u64,
    /// Crashes in one case, one after the other.
    pub crashes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { jobs: 1, sample: 1, seed: 1, crashes: 2 }
    }
}

/// Why nothing could be rehearsed.
#[derive(Debug, Error)]
pub enum Error {
    /// No world could be made.
    #[error("no world to rehearse in: {0}")]
    World(String),
    /// This machine lets nobody make a runtime.
    #[error("no runtime")]
    Runtime(#[source] std::io::Error),
    /// There is no such case.
    #[error("there is no case `{case}`: {why}")]
    Case {
        /// Its name.
        case: String,
        /// Why not.
        why: String,
    },
}

/// What a rehearsal came to.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Cases by kind.
    pub cases: BTreeMap<CaseKind, Count>,
    /// Different states that were seen.
    pub states: u64,
    /// Engine processes that were started.
    pub processes: u64,
    /// Calls that a world answered.
    pub calls: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How long it took.
    pub took: Duration,
}

/// What a thread does next.
struct Item {
    case: Case,
    kind: CaseKind,
    start: Arc<State>,
    command: Command,
    blow: Option<(usize, Blow)>,
    /// One step of the uninterrupted run: its calls get the faults.
    faults: bool,
    /// How many crashes may still come, one after the other.
    left: usize,
    /// Not followed beyond a known state.
    merge: bool,
    /// The only steps in which a crash still matters; none: all.
    near: Option<Near>,
}

/// The uninterrupted run.
struct BaseRun {
    states: Vec<(Arc<State>, Key)>,
    labels: Vec<String>,
    completed: usize,
    expected: Expected,
}

/// States that were followed, in which direction (back: `true`), and with how many crashes to come.
type KnownStates = HashMap<(Key, bool), usize>;

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    working: usize,
    stop: bool,
}

struct Shared {
    config: Config,
    rehearsed: Arc<Rehearsed>,
    base: BaseRun,
    queue: Mutex<Queue>,
    ready: Condvar,
    known: Arc<Mutex<KnownStates>>,
    counts: Mutex<BTreeMap<CaseKind, Count>>,
    findings: Mutex<Findings>,
    processes: AtomicU64,
    calls: AtomicU64,
    run: AtomicU64,
    merged: AtomicU64,
    begun: Instant,
    tell: Tell,
}

/// How often a person is asked in one case before it counts as endless.
const MOST_PERSONS: usize = 6;
/// How often somebody is told.
const PACE: Duration = Duration::from_millis(100);

/// Who is told how far it is. Called from all threads.
pub type Tell = Arc<dyn Fn(Line) + Send + Sync>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "how long it really takes: the time of a rehearsed run stands still")]
fn now() -> Instant {
    Instant::now()
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().map_err(Error::Runtime)
}

fn rehearsed(subject: &Subject, config: &Config) -> Arc<Rehearsed> {
    Arc::new(Rehearsed {
        plan: subject.plan.clone(),
        registry: subject.registry.clone(),
        secrets: subject.secrets.1.clone(),
        canaries: subject.canaries.iter().flat_map(|canary| crate::check::spellings(canary)).collect(),
        run: subject.run,
        seed: config.seed,
        wrap: subject.wrap_journal.clone(),
        facts: Mutex::default(),
    })
}

/// Rehearses.
///
/// # Errors
/// When there is no world to do it in. What is wrong with the plan, an operation or the engine is a finding.
pub fn rehearse(subject: &Subject, config: &Config, tell: &Tell) -> Result<Summary, Error> {
    let begun = now();
    let rehearsed = rehearsed(subject, config);
    let runtime = runtime()?;
    let world = runtime.block_on((subject.world)()).map_err(Error::World)?;
    let bench = Bench { world, rehearsed: rehearsed.clone() };
    let mut findings = Findings::default();
    let mut processes = 0;
    let base = runtime.block_on(uninterrupted(&bench, subject, &mut findings, &mut processes));
    let mut counts: BTreeMap<CaseKind, Count> = BTreeMap::new();
    counts.entry(CaseKind::Uninterrupted).or_default().run = processes;
    let Some(base) = base else {
        counts.entry(CaseKind::Uninterrupted).or_default().failed = 1;
        let findings = findings.all();
        for finding in &findings {
            tell(Line::Found(Box::new(finding.clone())));
        }
        let took = begun.elapsed();
        return Ok(Summary { cases: counts, states: 0, processes, calls: 0, findings, took });
    };
    let known: KnownStates =
        base.states.iter().map(|(state, key)| ((*key, state.history.is_unwinding()), config.crashes)).collect();
    let shared = Arc::new(Shared {
        config: config.clone(),
        rehearsed,
        base,
        queue: Mutex::default(),
        ready: Condvar::new(),
        known: Arc::new(Mutex::new(known)),
        counts: Mutex::new(counts),
        findings: Mutex::new(findings),
        processes: AtomicU64::new(processes),
        calls: AtomicU64::new(0),
        run: AtomicU64::new(processes),
        merged: AtomicU64::new(0),
        begun,
        tell: tell.clone(),
    });
    shared.seed();
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 1..config.jobs.max(1) {
            scope.spawn(|| {
                let made = self::runtime().and_then(|runtime| {
                    let world = runtime.block_on((subject.world)()).map_err(Error::World)?;
                    Ok((runtime, world))
                });
                match made {
                    Ok((runtime, world)) => {
                        let bench = Bench { world, rehearsed: shared.rehearsed.clone() };
                        shared.work(&runtime, &bench);
                    }
                    Err(error) => {
                        lock(&failure).get_or_insert(error);
                    }
                }
            });
        }
        scope.spawn(|| shared.report());
        shared.work(&runtime, &bench);
    });
    if let Some(error) = lock(&failure).take() {
        return Err(error);
    }
    let findings = lock(&shared.findings).all();
    let cases = lock(&shared.counts).clone();
    let states = lock(&shared.known).keys().map(|(key, _)| *key).collect::<std::collections::HashSet<_>>().len() as u64;
    Ok(Summary {
        cases,
        states,
        processes: shared.processes.load(Ordering::Relaxed),
        calls: shared.calls.load(Ordering::Relaxed),
        findings,
        took: begun.elapsed(),
    })
}

/// Where a run begins.
fn first_state(bench: &Bench, subject: &Subject) -> Option<State> {
    let plan = &subject.plan;
    let disk = Disk::begin(subject.run, &plan.runbook, &subject.plan_hash, subject.secrets.0.clone()).ok()?;
    let records = disk.records();
    let history = replay(subject.plan.clone(), &records).ok()?;
    Some(State { records: Arc::new(records), history: Arc::new(history), saved: bench.world.save()? })
}

/// The run without interruption: forward, back, to its first step and forward again, and back.
async fn uninterrupted(
    bench: &Bench,
    subject: &Subject,
    findings: &mut Findings,
    processes: &mut u64,
) -> Option<BaseRun> {
    let start = bench.world.look()?;
    let first = first_state(bench, subject)?;
    let mut run = BaseRun {
        states: Vec::new(),
        labels: Vec::new(),
        completed: 0,
        expected: Expected { start: start.clone(), done: start, residue: Vec::new(), leaves: Vec::new() },
    };
    let mut case = Case::from(Base::State(0));
    let mut state = first;
    let commands = [Command::Apply, Command::Unwind, Command::UnwindTo(0), Command::Resume, Command::Unwind];
    let mut completed = None;
    for (n, command) in commands.into_iter().enumerate() {
        // The way to the second generation begins where the first was completed.
        if n == 2 {
            state = completed.clone()?;
            case = Case::from(Base::State(0)).then(Move::Run(Command::Apply));
        }
        case = case.then(Move::Run(command));
        let ran = bench.run(&state, command, How { film: true, goes_on: true, ..How::default() }).await;
        *processes += 1;
        run.add(&ran.frames, n >= 2);
        let mut violations = ran.violations.clone();
        tokio::time::sleep(DUST).await;
        let look = bench.world.look()?;
        match &ran.end {
            End::Outcome(Outcome::Completed) if n == 0 => {
                run.expected.done = look;
                completed = Some(ran.state.clone());
                run.completed = run.states.len().saturating_sub(1);
                run.expected.leaves = leaves(bench, &ran.state.history);
            }
            End::Outcome(Outcome::Completed) => violations.extend(run.expected.completed(&look, None)),
            End::Outcome(Outcome::Unwound { all: true, .. }) => {
                if n == 1 {
                    let start = &run.expected.start.things;
                    let left = look.things.iter().filter(|thing| !start.contains(thing));
                    let left = left.filter(|t| t.owner == Owner::Ours && t.residue);
                    run.expected.residue = left.map(|thing| Thing::clone(thing)).collect();
                }
                violations.extend(run.expected.unwound(&look));
            }
            End::Outcome(Outcome::Unwound { .. }) => {}
            other => {
                violations.extend(run.expected.foreign(&look, None));
                violations.push(does_not_end("without any interruption", other));
            }
        }
        let failed = !violations.is_empty();
        for violation in &violations {
            let make = || finding(&case, CaseKind::Uninterrupted, violation, &run.labels, &ran.state, Some(&ran));
            findings.add(&case, violation, make);
        }
        if failed && n < 2 {
            return None;
        }
        state = ran.state;
    }
    Some(run)
}

/// The steps, as tag values, whose operation leaves something behind on purpose.
fn leaves(bench: &Bench, history: &History) -> Vec<String> {
    let steps = bench.rehearsed.plan.steps.iter().enumerate();
    let declares = steps.filter(|(i, step)| {
        let params = history.params(*i, false).ok();
        let op = bench.rehearsed.registry.get(&step.op);
        let facts = params.zip(op).and_then(|(params, op)| op.facts_of(&params));
        facts.is_some_and(|facts| !facts.residue.is_empty())
    });
    declares.map(|(_, step)| step.id.as_tag_value()).collect()
}

/// Whether something is known on weak proof only, which a person must confirm: adopted so; or in doubt, or with a
/// rollback under way, where what is there may be another's.
fn is_a_persons(bench: &Bench, history: &History, outcome: &Outcome) -> bool {
    let proof = |i: usize| {
        let params = history.params(i, false).ok()?;
        Some(bench.rehearsed.registry.get(&history.plan().steps[i].op)?.facts_of(&params)?.proof)
    };
    let asks = |step: &StepId| {
        history.index_of(step).is_some_and(|i| {
            let open = [StepState::CreateStarted, StepState::CreateFailed, StepState::RollbackStarted];
            open.contains(&history.status(i).state) && proof(i) == Some(ProofKind::ByFind)
        })
    };
    let stuck = match outcome {
        Outcome::Stuck { steps } => steps.as_slice(),
        _ => &[],
    };
    history.statuses().any(|(_, status)| status.weak)
        || stuck.iter().any(|(step, error)| error.class == ErrorClass::Foreign && asks(step))
}

fn does_not_end(when: &str, end: &End) -> Violation {
    let (step, message) = match end {
        End::Outcome(Outcome::FailedAndUnwound { step, error, .. }) => {
            (Some(step.to_string()), format!("{when} the run fails and unwinds: {error}"))
        }
        End::Outcome(Outcome::Paused { why, step }) => {
            (step.as_ref().map(ToString::to_string), format!("{when} the run pauses: {why}"))
        }
        End::Outcome(Outcome::Stuck { steps }) => {
            let (step, error) =
                steps.first().map_or((None, String::new()), |(s, e)| (Some(s.to_string()), e.to_string()));
            (step, format!("{when} the run is stuck: {error}"))
        }
        End::Outcome(Outcome::Refused { reasons }) => {
            let (step, error) = reasons
                .first()
                .map_or((None, String::new()), |(s, e)| (s.as_ref().map(ToString::to_string), e.to_string()));
            (step, format!("{when} the run is refused: {error}"))
        }
        End::Refused(refusal) => (None, format!("{when} the command is refused: {refusal}")),
        End::Broken(error) => (None, format!("{when} the engine fails: {error}")),
        other => (None, format!("{when} the run ends as {other:?}")),
    };
    Violation { check: Check::Ends, step, message }
}

impl BaseRun {
    fn add(&mut self, frames: &[Frame], again: bool) {
        for frame in frames.iter().filter(|frame| frame.quiet) {
            let unwinding = frame.state.history.is_unwinding();
            if self.states.iter().any(|(s, key)| *key == frame.key && s.history.is_unwinding() == unwinding) {
                continue;
            }
            let done = frame.state.history.statuses().filter(|(_, s)| s.state.is_done()).count();
            let way = if unwinding { "going back" } else { "going forward" };
            let again = if again { ", the second time" } else { "" };
            self.labels.push(match done {
                0 if !unwinding => format!("at the start{again}"),
                n => format!("with {n} steps done, {way}{again}"),
            });
            self.states.push((Arc::new(frame.state.clone()), frame.key));
        }
    }
}

/// A thread that has an item in hand: the others wait for what comes of it, but not for one that has panicked.
struct AtWork<'a>(&'a Shared);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).working -= 1;
        self.0.ready.notify_all();
    }
}

impl Shared {
    /// The first items: every step of the uninterrupted run, the parallel runs, the other orders.
    fn seed(&self) {
        let push = |base: usize, command: Command, kind: CaseKind, faults: bool, left: usize| {
            let (start, _) = &self.base.states[base];
            let case = Case::from(Base::State(base)).then(Move::Run(command));
            let (start, merge) = (start.clone(), kind != CaseKind::Uninterrupted);
            self.push(Item { case, kind, start, command, blow: None, faults, left, merge, near: None });
        };
        let most = self.config.crashes;
        for (n, (state, _)) in self.base.states.iter().enumerate() {
            let first_time = state.history.statuses().all(|(_, s)| s.generation == Generation::FIRST);
            // The second generation goes the same ways: one crash shows whether it is told from the first.
            let left = if first_time { most } else { most.min(1) };
            let (forward, back) = ways(&state.history);
            if n == 0 {
                push(n, Command::Apply, CaseKind::CrashResume, true, left);
            } else if forward {
                push(n, Command::Resume, CaseKind::CrashResume, first_time, left);
            }
            if back {
                let unwinding = state.history.is_unwinding();
                push(n, Command::Unwind, CaseKind::CrashUnwind, first_time && unwinding, left);
            }
        }
        // With several steps in flight.
        push(0, Command::ApplyWide, CaseKind::Uninterrupted, false, most.min(1));
        push(self.base.completed, Command::UnwindWide, CaseKind::Uninterrupted, false, most.min(1));
        for step in 1..self.rehearsed.plan.steps.len() {
            push(self.base.completed, Command::UnwindTo(step), CaseKind::Uninterrupted, false, 0);
        }
        for order in 0..orders(&self.rehearsed.plan).len() {
            let case = Case::from(Base::Order(order)).then(Move::Run(Command::Apply));
            let start = self.base.states[0].0.clone();
            let (kind, command) = (CaseKind::Order, Command::Apply);
            self.push(Item {
                case,
                kind,
                start,
                command,
                blow: None,
                faults: false,
                left: 0,
                merge: false,
                near: None,
            });
        }
    }

    fn push(&self, item: Item) {
        lock(&self.queue).items.push_back(item);
        self.ready.notify_one();
    }

    /// Whether a sample has this case.
    fn chosen(&self, case: &Case, kind: CaseKind) -> bool {
        if self.config.sample <= 1 {
            return true;
        }
        let mut hash = DefaultHasher::new();
        (self.config.seed, case).hash(&mut hash);
        let chosen = hash.finish().is_multiple_of(self.config.sample);
        if !chosen {
            lock(&self.counts).entry(kind).or_default().skipped += 1;
        }
        chosen
    }

    /// Sends progress until all is done.
    fn report(&self) {
        let mut queue = lock(&self.queue);
        let mut told = now();
        while !queue.stop {
            let (back, _) = self.ready.wait_timeout(queue, PACE).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            if told.elapsed() < PACE {
                continue;
            }
            told = now();
            let ahead = queue.items.len() as u64;
            (self.tell)(Line::Progress(Progress {
                run: self.run.load(Ordering::Relaxed),
                ahead,
                merged: self.merged.load(Ordering::Relaxed),
                findings: u32::try_from(lock(&self.findings).len()).unwrap_or(u32::MAX),
                elapsed_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            }));
        }
    }

    fn next(&self) -> Option<Item> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(item) = queue.items.pop_front() {
                queue.working += 1;
                return Some(item);
            }
            if queue.working == 0 || queue.stop {
                queue.stop = true;
                self.ready.notify_all();
                return None;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self, runtime: &tokio::runtime::Runtime, bench: &Bench) {
        while let Some(item) = self.next() {
            let _at_work = AtWork(self);
            runtime.block_on(self.handle(bench, item));
        }
    }

    fn known(&self, left: usize) -> Known {
        let known = self.known.clone();
        Arc::new(move |key, back| is_known(&mut lock(&known), key, back, left))
    }

    async fn handle(&self, bench: &Bench, item: Item) {
        let Item { case, kind, start, command, blow, faults, left, merge, near } = item;
        let start = match case.base {
            Base::Order(n) => match in_order(&self.rehearsed.plan, &start, n) {
                Some(start) => Arc::new(start),
                None => return,
            },
            Base::State(_) => start,
        };
        let goes_on = case.fault().is_none_or(Fault::passes);
        let known = merge.then(|| self.known(left));
        let how = How { blow, film: left > 0, goes_on, known, dies: None, near };
        let ran = bench.run(&start, command, how).await;
        self.processes.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(ran.calls.len() as u64, Ordering::Relaxed);
        tracing::debug!(%case, calls = ran.calls.len(), known = matches!(ran.end, End::Known), "a process ended");
        self.run.fetch_add(1, Ordering::Relaxed);
        lock(&self.counts).entry(kind).or_default().run += 1;
        let mut bad = ran.violations.clone();
        bad.extend(chain(self.rehearsed.run, &ran.state.records, start.records.len()));
        bad.extend(self.judge(bench, &case, kind, left, &ran).await);
        self.found(&case, kind, &bad, &ran);
        if kind == CaseKind::Order {
            self.order_back(&case, &ran);
            return;
        }
        self.crash_points(&case, kind, left, &ran);
        if faults {
            self.faults(bench, &case, &start, command, &ran);
        }
    }

    fn found(&self, case: &Case, kind: CaseKind, bad: &[Violation], ran: &Ran) {
        if bad.is_empty() {
            return;
        }
        lock(&self.counts).entry(kind).or_default().failed += 1;
        for violation in bad {
            let make = || finding(case, kind, violation, &self.base.labels, &ran.state, Some(ran));
            let first = lock(&self.findings).add(case, violation, make);
            if first {
                let shown = finding(case, kind, violation, &self.base.labels, &ran.state, Some(ran));
                (self.tell)(Line::Found(Box::new(shown)));
            }
        }
    }

    /// What the end of a process says; where it stands still, a person goes on.
    async fn judge(&self, bench: &Bench, case: &Case, kind: CaseKind, left: usize, ran: &Ran) -> Vec<Violation> {
        let (mut bad, goes_on) = judge(bench, &self.base.expected, case, ran).await;
        if goes_on && bad.is_empty() {
            let persons = case.moves.iter().filter(|m| matches!(m, Move::Person)).count();
            if persons > MOST_PERSONS {
                let mut violation = does_not_end("whatever a person does,", &ran.end);
                violation.check = Check::Advice;
                return vec![violation];
            }
            match bench.person(&ran.state).await {
                Ok(state) => self.go_on(bench, case, kind, (left, &ran.near), state),
                Err(message) => bad.push(Violation { check: Check::Advice, step: None, message }),
            }
        }
        bad
    }

    /// After a person: forward and back, where the run can.
    fn go_on(&self, bench: &Bench, case: &Case, kind: CaseKind, left: (usize, &Option<Near>), state: State) {
        let case = case.then(Move::Person);
        let Some(look) = bench.world.look() else { return };
        let key = crate::state::key(&state.history, &look, &crate::state::of_world(&look));
        self.follow(&case, kind, left, &key, Arc::new(state));
    }

    /// Both ways from a state, unless they are known; with so many crashes to come, in these steps.
    fn follow(&self, case: &Case, kind: CaseKind, (left, near): (usize, &Option<Near>), key: &Key, state: Arc<State>) {
        let (forward, back) = ways(&state.history);
        for (possible, command) in [(forward, Command::Resume), (back, Command::Unwind)] {
            if !possible {
                continue;
            }
            let kind = match (kind, command) {
                (CaseKind::CrashResume | CaseKind::CrashUnwind, Command::Resume) => CaseKind::CrashResume,
                (CaseKind::CrashResume | CaseKind::CrashUnwind, _) => CaseKind::CrashUnwind,
                (kind, _) => kind,
            };
            let next = case.then(Move::Run(command));
            if is_known(&mut lock(&self.known), *key, command == Command::Unwind, left) {
                self.merge(kind, 1);
            } else if self.chosen(&next, kind) {
                let (start, blow, near) = (state.clone(), None, near.clone());
                self.push(Item { case: next, kind, start, command, blow, faults: false, left, merge: true, near });
            }
        }
    }

    fn merge(&self, kind: CaseKind, n: u64) {
        self.merged.fetch_add(n, Ordering::Relaxed);
        lock(&self.counts).entry(kind).or_default().merged += n;
    }

    /// A crash after every commit and call.
    fn crash_points(&self, case: &Case, kind: CaseKind, left: usize, ran: &Ran) {
        let Some(left) = left.checked_sub(1) else { return };
        let kind = match (case.crashes(), kind) {
            (0, CaseKind::Fault) | (1.., _) => CaseKind::SecondCrash,
            (0, _) => CaseKind::CrashResume,
        };
        for frame in &ran.frames {
            let next = case.then(Move::Blow(frame.event, frame.blow));
            self.follow(&next, kind, (left, &ran.near), &frame.key, Arc::new(frame.state.clone()));
        }
        // A read changes nothing: a crash after it is the crash before it, in both directions. So is one that has no
        // bearing on what somebody else did.
        self.merge(kind, ran.unchanged * 2);
    }

    /// Every fault at every call.
    fn faults(&self, bench: &Bench, case: &Case, start: &Arc<State>, command: Command, ran: &Ran) {
        for made in &ran.calls {
            for fault in Fault::ALL {
                if !fault.fits(made.call.write) || !bench.world.knows(fault, &made.call) {
                    continue;
                }
                let blow = (made.event, Blow::Fault(fault));
                let case = case.then(Move::Blow(blow.0, blow.1));
                if self.chosen(&case, CaseKind::Fault) {
                    let left = self.config.crashes.saturating_sub(1);
                    let (kind, start) = (CaseKind::Fault, start.clone());
                    let (blow, near) = (Some(blow), None);
                    self.push(Item { case, kind, start, command, blow, faults: false, left, merge: true, near });
                }
            }
        }
    }

    /// A run whose steps came in another order goes back.
    fn order_back(&self, case: &Case, ran: &Ran) {
        if matches!(ran.end, End::Outcome(Outcome::Completed)) {
            let (case, command) = (case.then(Move::Run(Command::Unwind)), Command::Unwind);
            let start = Arc::new(ran.state.clone());
            // The plan of the state is the one that it was made with.
            let item = Item {
                case,
                kind: CaseKind::Order,
                start,
                command,
                blow: None,
                faults: false,
                left: 0,
                merge: false,
                near: None,
            };
            self.push(item);
        }
    }
}

/// Whether a state was followed in that direction with as many crashes to come; notes it when it was not.
fn is_known(known: &mut KnownStates, key: Key, back: bool, left: usize) -> bool {
    match known.entry((key, back)) {
        Entry::Occupied(most) if *most.get() >= left => true,
        Entry::Occupied(mut most) => {
            most.insert(left);
            false
        }
        Entry::Vacant(vacant) => {
            vacant.insert(left);
            false
        }
    }
}

/// Runs one case again, from its beginning to its end, without leaving anything out.
///
/// # Errors
/// When there is no such case, or no world to run it in.
pub fn replay_case(subject: &Subject, config: &Config, case: &Case) -> Result<Replayed, Error> {
    let rehearsed = rehearsed(subject, config);
    let runtime = runtime()?;
    let world = runtime.block_on((subject.world)()).map_err(Error::World)?;
    let bench = Bench { world, rehearsed };
    runtime.block_on(again(&bench, subject, case))
}

async fn again(bench: &Bench, subject: &Subject, case: &Case) -> Result<Replayed, Error> {
    let none = |why: String| Error::Case { case: case.to_string(), why };
    let mut findings = Findings::default();
    let Some(base) = uninterrupted(bench, subject, &mut findings, &mut 0).await else {
        let ended = "the run fails without any interruption".to_owned();
        let (case, story, findings) = (case.to_string(), ended.clone(), findings.all());
        return Ok(Replayed { case, story, ended, findings, journal: vec![], calls: vec![] });
    };
    let mut state = match case.base {
        Base::State(n) => {
            let state =
                base.states.get(n).ok_or_else(|| none(format!("base states go up to {}", base.states.len() - 1)));
            State::clone(&state?.0)
        }
        Base::Order(n) => {
            let (first, _) = base.states.first().ok_or_else(|| none("there is no start".to_owned()))?;
            in_order(&bench.rehearsed.plan, first, n).ok_or_else(|| none(format!("there is no order {n}")))?
        }
    };
    let mut last: Option<Ran> = None;
    let mut calls = Vec::new();
    let mut violations = Vec::new();
    let mut moves = case.moves.iter().peekable();
    while let Some(next) = moves.next() {
        match next {
            Move::Run(command) => {
                let blow = moves.next_if(|m| matches!(m, Move::Blow(_, Blow::Fault(_))));
                // A fault and a crash: the crash is what ends the process, so the fault comes first.
                let crash = moves.next_if(|m| matches!(m, Move::Blow(..)));
                let at = |m: Option<&Move>| {
                    m.and_then(|m| if let Move::Blow(at, blow) = m { Some((*at, *blow)) } else { None })
                };
                let how = How {
                    blow: at(blow).or_else(|| at(crash)),
                    dies: at(crash).filter(|_| blow.is_some()),
                    goes_on: case.fault().is_none_or(Fault::passes),
                    ..How::default()
                };
                let ran = bench.run(&state, *command, how).await;
                state = ran.state.clone();
                calls.push(format!("-- {}", story(&Case { base: case.base, moves: vec![*next] }, &base.labels, None)));
                calls.extend(call_lines(&ran));
                violations.extend(ran.violations.clone());
                last = Some(ran);
            }
            Move::Person => state = bench.person(&state).await.map_err(none)?,
            Move::Blow(..) => return Err(none("something happens to no process".to_owned())),
        }
    }
    let ran = last.ok_or_else(|| none("no process is started".to_owned()))?;
    let (bad, _) = judge(bench, &base.expected, case, &ran).await;
    violations.extend(bad);
    violations.extend(chain(bench.rehearsed.run, &state.records, 0));
    for violation in &violations {
        let make = || finding(case, kind_of(case), violation, &base.labels, &state, Some(&ran));
        findings.add(case, violation, make);
    }
    let ended = match &ran.end {
        End::Outcome(outcome) => format!("{outcome:?}"),
        End::Refused(refusal) => format!("refused: {refusal}"),
        End::Broken(error) => format!("broken: {error}"),
        End::Died | End::Known => "it died".to_owned(),
    };
    Ok(Replayed {
        case: case.to_string(),
        story: story(case, &base.labels, Some(&ran)),
        ended,
        findings: findings.all(),
        journal: journal_lines(&state),
        calls,
    })
}

fn kind_of(case: &Case) -> CaseKind {
    match (case.base, case.crashes(), case.fault()) {
        (Base::Order(_), ..) => CaseKind::Order,
        (_, 0, Some(_)) => CaseKind::Fault,
        (_, 0, None) => CaseKind::Uninterrupted,
        (_, 1, None) => match case.moves.last() {
            Some(Move::Run(Command::Resume)) => CaseKind::CrashResume,
            _ => CaseKind::CrashUnwind,
        },
        _ => CaseKind::SecondCrash,
    }
}

/// What the end of a process says, and whether a person can go on from it.
async fn judge(bench: &Bench, expected: &Expected, case: &Case, ran: &Ran) -> (Vec<Violation>, bool) {
    let fault = case.fault();
    let outcome = match &ran.end {
        End::Died | End::Known => return (Vec::new(), false),
        End::Outcome(outcome) => outcome,
        End::Refused(_) | End::Broken(_) => return (vec![does_not_end("after this", &ran.end)], false),
    };
    let weak = is_a_persons(bench, &ran.state.history, outcome);
    let over_it = fault.is_none_or(Fault::passes);
    let stands = || {
        let mut violation = does_not_end("though nothing makes going on impossible,", &ran.end);
        violation.check = Check::Standstill;
        violation
    };
    let mut bad = Vec::new();
    bad.extend(crate::check::on_record(&ran.state.history, outcome));
    match outcome {
        Outcome::Completed
        | Outcome::Unwound { all: true, .. }
        | Outcome::FailedAndUnwound { all: true, .. }
        | Outcome::Refused { .. } => {
            let Some(first) = bench.world.look() else { return (vec![unseen()], false) };
            tokio::time::sleep(DUST).await;
            let Some(look) = bench.world.look() else { return (vec![unseen()], false) };
            bad.extend(crate::check::unsettled(&first));
            match outcome {
                Outcome::Completed => {
                    bad.extend(expected.completed(&look, fault));
                    if fault == Some(Fault::Deleted) {
                        bad.extend(expected.unseen(&look, ran));
                    }
                }
                _ => {
                    bad.extend(expected.going(&first, &look));
                    bad.extend(expected.unwound(&look));
                }
            }
            if over_it && matches!(outcome, Outcome::Refused { .. }) {
                bad.push(stands());
            }
            (bad, false)
        }
        Outcome::Unwound { .. } | Outcome::FailedAndUnwound { .. } => (bad, true),
        Outcome::Paused { .. } | Outcome::Stuck { .. } => {
            if over_it && !weak {
                bad.push(stands());
            }
            tokio::time::sleep(DUST).await;
            if let Some(look) = bench.world.look() {
                bad.extend(expected.foreign(&look, fault));
            }
            (bad, true)
        }
        _ => (vec![does_not_end("after this", &ran.end)], false),
    }
}

/// What cannot be looked at is not right.
fn unseen() -> Violation {
    Violation {
        check: Check::Ends,
        step: None,
        message: "the world cannot be looked at: a call is still open".to_owned(),
    }
}

/// The state with the steps of the plan in another order.
fn in_order(plan: &Plan, start: &State, n: usize) -> Option<State> {
    let order = orders(plan).into_iter().nth(n)?;
    let mut plan = plan.clone();
    plan.steps = order.iter().filter_map(|i| plan.steps.get(*i).cloned()).collect();
    let history = replay(Arc::new(plan), &start.records).ok()?;
    Some(State { history: Arc::new(history), ..start.clone() })
}
