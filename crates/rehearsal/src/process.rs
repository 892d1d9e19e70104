//! One process of the real engine, from a state on: what happens to it, and what it would leave if it died after any of
//! its commits and calls.
//!
//! It does not judge how the process ended; it notes what must hold at every call and commit and did not.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use switchback_engine::cx::Clock;
use switchback_engine::executor::{
    self, AlwaysGo, Control, Environment, ExecError, Observer, ObserverGone, Options, Rescue, Rescued, Setup,
};
use switchback_engine::history::{Ended, History, Standing};
use switchback_engine::journal::Journal;
use switchback_engine::recovery::{self, Refusal};
use switchback_engine::registry::Registry;
use switchback_engine::secrets::Secrets;
use switchback_model::event::{Event, Outcome};
use switchback_model::facts::Facts;
use switchback_model::plan::Plan;
use switchback_model::record::{Body, Record, RunSecrets, UndoneHow, UnwindCause, UnwindTarget};
use switchback_model::rehearsal::Check;
use switchback_model::status::{State as StepState, Status};
use switchback_model::{RunId, StepId};
use tokio::sync::Notify;

use crate::case::{Blow, Command};
use crate::disk::{Disk, NOW};
use crate::state::{Key, OfWorld, is_quiet, key, of_world, with_call};
use crate::world::{Call, Fault, Look, Owner, Reply, Saved, Tap, Turn, World};

/// No process makes more commits and calls than this.
const MOST_EVENTS: usize = 50_000;

/// Stands between the engine and its journal: for tests of the rehearsal itself.
pub type JournalWrap = Arc<dyn Fn(Box<dyn Journal>) -> Box<dyn Journal> + Send + Sync>;

/// What is rehearsed: the same for all threads.
pub(crate) struct Rehearsed {
    pub(crate) plan: Arc<Plan>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) secrets: Secrets,
    /// The values of the secrets: none of them may be in the journal.
    pub(crate) canaries: Vec<String>,
    pub(crate) run: RunId,
    pub(crate) seed: u64,
    pub(crate) wrap: Option<JournalWrap>,
    /// The facts of each step, once its parameters are known.
    pub(crate) facts: Mutex<HashMap<StepId, Arc<Facts>>>,
}

/// A state: what a crash leaves.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) records: Arc<Vec<Arc<Record>>>,
    pub(crate) history: Arc<History>,
    pub(crate) saved: Saved,
}

/// What a process would leave if it died at one of its events.
pub(crate) struct Frame {
    pub(crate) event: usize,
    pub(crate) blow: Blow,
    pub(crate) key: Key,
    /// Nothing is under way.
    pub(crate) quiet: bool,
    pub(crate) state: State,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It died, as it was told.
    Died,
    /// It came between two steps to a state from which a run was followed already.
    Known,
    /// By itself.
    Outcome(Outcome),
    /// It was refused.
    Refused(Refusal),
    /// The engine is wrong.
    Broken(String),
}

/// Something that must hold and did not.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) check: Check,
    pub(crate) step: Option<String>,
    pub(crate) message: String,
}

/// A call of a process.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) event: usize,
    pub(crate) call: Call,
    pub(crate) reply: Option<Reply>,
    pub(crate) blow: Option<Blow>,
}

/// What a process did.
pub(crate) struct Ran {
    pub(crate) end: End,
    pub(crate) state: State,
    pub(crate) frames: Vec<Frame>,
    pub(crate) calls: Vec<Made>,
    pub(crate) violations: Vec<Violation>,
    /// Events after which nothing was other than before: a crash there is the crash before.
    pub(crate) unchanged: u64,
    /// How many records there were when a call met its fault, and the step that made the call, as a tag value.
    pub(crate) fault: Option<(usize, String)>,
    /// Where a crash can matter from here on.
    pub(crate) near: Option<Near>,
}

/// Somebody else changed or deleted something: the steps, as tag values, on which that has a bearing. In any other
/// step a crash is the crash without it.
pub(crate) type Near = Arc<HashSet<String>>;

/// Whether a state between two steps was followed already, in that direction (`true`: back). Notes it when it was not.
pub(crate) type Known = Arc<dyn Fn(Key, bool) -> bool + Send + Sync>;

/// How a process is run.
#[derive(Default)]
pub(crate) struct How {
    /// What happens to it, at which event.
    pub(crate) blow: Option<(usize, Blow)>,
    /// Where it dies besides, after a fault.
    pub(crate) dies: Option<(usize, Blow)>,
    /// Frames are taken.
    pub(crate) film: bool,
    /// Nothing makes going on impossible: a process that turns back by itself is wrong.
    pub(crate) goes_on: bool,
    /// Where it need not be followed further.
    pub(crate) known: Option<Known>,
    /// The only steps in which frames are taken; none: all.
    pub(crate) near: Option<Near>,
}

impl How {
    /// What happens at the event of that number.
    fn at(&self, event: usize) -> Option<Blow> {
        [self.blow, self.dies].into_iter().flatten().find(|(at, _)| *at == event).map(|(_, blow)| blow)
    }
}

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct Nobody;

impl Observer for Nobody {
    fn event(&self, _: Event) -> Result<(), ObserverGone> {
        Ok(())
    }
}

/// A frame before its records are at hand: there are so many of them.
struct Shot {
    event: usize,
    blow: Blow,
    key: Key,
    quiet: bool,
    records: usize,
    history: Arc<History>,
    saved: Saved,
}

/// What is seen of a process while it runs.
struct Watching {
    how: How,
    /// States between two steps that it came to, and the one that it began in.
    passed: HashSet<Key>,
    history: History,
    records: Vec<Arc<Record>>,
    event: usize,
    fired: bool,
    stopped: Option<End>,
    frames: Vec<Shot>,
    calls: Vec<Made>,
    /// Steps, as tag values, whose create was answered, and nothing was committed since.
    created: HashSet<String>,
    violations: Vec<Violation>,
    unchanged: u64,
    fault: Option<(usize, String)>,
    /// What there was before somebody else came.
    before: Option<Arc<Look>>,
    digest: Option<(Arc<Look>, OfWorld)>,
}

struct Watch {
    world: Arc<dyn World>,
    rehearsed: Arc<Rehearsed>,
    stop: Notify,
    inner: Mutex<Watching>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Watching> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, w: &mut Watching, end: End) {
        if w.stopped.is_none() {
            w.stopped = Some(end);
            self.stop.notify_one();
        }
    }

    fn key(&self, w: &mut Watching) -> Option<Key> {
        let look = self.world.look()?;
        let fresh = w.digest.as_ref().is_none_or(|(seen, _)| !Arc::ptr_eq(seen, &look));
        if fresh {
            let digest = of_world(&look);
            w.digest = Some((look, digest));
        }
        let (look, digest) = w.digest.as_ref()?;
        Some(key(&w.history, look, digest))
    }

    /// A frame of what is now, in that step, or of the world `saved`, in which this call is on its way; its key, where
    /// one is taken.
    fn frame(
        &self,
        w: &mut Watching,
        blow: Blow,
        step: Option<&str>,
        in_flight: Option<(&Call, Saved)>,
    ) -> Option<Key> {
        if !w.how.film || (w.how.blow.is_some() && !w.fired) {
            return None;
        }
        if w.how.near.as_ref().zip(step).is_some_and(|(near, step)| !near.contains(step)) {
            w.unchanged += 1;
            return None;
        }
        let mut key = self.key(w)?;
        let saved = match in_flight {
            // The world looks as before; what is on its way makes the difference.
            Some((call, saved)) => {
                key = with_call(&key, call);
                saved
            }
            None => self.world.save()?,
        };
        let quiet = is_quiet(&w.history);
        let history = Arc::new(w.history.clone());
        let (event, records) = (w.event, w.records.len());
        w.frames.push(Shot { event, blow, key, quiet, records, history, saved });
        Some(key)
    }

    fn event(&self, w: &mut Watching) {
        w.event += 1;
        if w.event > MOST_EVENTS {
            self.stop(w, End::Broken(format!("it does not end: {MOST_EVENTS} commits and calls")));
        }
    }

    fn committed(&self, new: &[Arc<Record>], payloads: &[String]) -> bool {
        let mut w = self.lock();
        let w = &mut *w;
        if w.stopped.is_some() {
            return false;
        }
        self.event(w);
        for record in new.iter().filter(|record| !matches!(record.body(), Body::Called(_))) {
            if let Some(step) = &record.draft.step {
                w.created.remove(&step.as_tag_value());
            }
        }
        for (record, payload) in new.iter().zip(payloads) {
            let step = record.draft.step.as_ref().map(StepId::to_string);
            if let Err(error) = w.history.replay(record) {
                let (kind, why) = (record.body().kind(), whole(&error));
                let message = format!("record {} ({kind}) does not replay: {why}", record.seq);
                w.violations.push(Violation { check: Check::Journal, step: step.clone(), message });
            }
            w.violations.extend(self.claimed_unseen(w, record));
            w.violations.extend(turned(record).filter(|_| w.how.goes_on));
            if self.rehearsed.canaries.iter().any(|canary| payload.contains(canary.as_str())) {
                let message = format!("a {} record holds the value of a secret", record.body().kind());
                w.violations.push(Violation { check: Check::Secret, step: step.clone(), message });
            }
            match Body::parse(record.body().kind(), payload) {
                Ok(body) if body == *record.body() => {}
                other => {
                    let message = format!("record {} does not read back as it was written: {other:?}", record.seq);
                    w.violations.push(Violation { check: Check::Journal, step, message });
                }
            }
        }
        w.records.extend_from_slice(new);
        let step = new.iter().rev().find_map(|record| record.draft.step.as_ref()).map(StepId::as_tag_value);
        let filmed = self.frame(w, Blow::Dies, step.as_deref(), None);
        if w.how.at(w.event) == Some(Blow::Dies) {
            w.fired = true;
            self.stop(w, End::Died);
            return false;
        }
        let ready = w.how.blow.is_none() || w.fired;
        // A state that this process came to before is not one that another was followed from.
        if let Some(known) = w.how.known.clone().filter(|_| ready && is_quiet(&w.history))
            && let Some(key) = filmed.or_else(|| self.key(w))
            && w.passed.insert(key)
            && known(key, w.history.is_unwinding())
        {
            self.stop(w, End::Known);
            return false;
        }
        true
    }

    /// A step is said to be as it should be, and this process did not look since the step's last write.
    fn claimed_unseen(&self, w: &Watching, record: &Record) -> Option<Violation> {
        let check = match record.body() {
            Body::Verified(_) => Check::EndState,
            Body::Undone(undone) if undone.how == UndoneHow::Verified => Check::StartState,
            _ => return None,
        };
        let id = record.draft.step.as_ref()?;
        let tag = id.as_tag_value();
        let last = w.calls.iter().rfind(|made| made.call.step.as_ref() == Some(&tag));
        let has_effect = !self.facts(w, w.history.index_of(id)?, id)?.creates.is_empty();
        (has_effect && last.is_none_or(|made| made.call.write)).then(|| Violation {
            check,
            step: Some(id.to_string()),
            message: format!(
                "it is {} on record, and `verify` did not look at it",
                record.body().kind().to_lowercase()
            ),
        })
    }

    /// What must hold when a call is sent.
    fn judge(&self, w: &mut Watching, call: &Call) {
        let Some(tag) = &call.step else { return };
        let found = w.history.statuses().enumerate().find(|(_, (id, _))| id.as_tag_value() == *tag);
        let Some((i, (id, status))) = found else { return };
        let (id, state) = (id.clone(), status.state);
        let Some(facts) = self.facts(w, i, &id) else { return };
        let name = call.to_string();
        let declared = |calls: &[std::borrow::Cow<'static, str>]| calls.iter().any(|c| *c == name.as_str());
        let mut wrong = |check, message| {
            w.violations.push(Violation { check, step: Some(id.to_string()), message });
        };
        if !call.write {
            if !declared(&facts.reads) {
                wrong(Check::DeclaredCalls, format!("it reads with `{name}`, which its facts do not declare"));
            }
            return;
        }
        let (method, allowed) = match state {
            StepState::CreateStarted => ("create", &facts.creates),
            StepState::Created | StepState::Adopted | StepState::SettleFailed | StepState::VerifyFailed => {
                ("settle", &facts.settles)
            }
            StepState::RollbackStarted => ("rollback", &facts.rolls_back),
            _ => {
                let message = format!("`{name}` is sent while the step is {state} on record: nothing announces it");
                return wrong(Check::IntentFirst, message);
            }
        };
        let methods = [("create", &facts.creates), ("settle", &facts.settles), ("rollback", &facts.rolls_back)];
        let other = methods.into_iter().find(|(other, calls)| *other != method && declared(calls));
        // What an undo needs only sometimes is declared apart from what it always calls.
        let allowed = declared(allowed) || (method == "rollback" && declared(&facts.extra_undo_actions));
        let again = method == "create" && w.created.contains(tag);
        let mut wrong = |check, message| {
            w.violations.push(Violation { check, step: Some(id.to_string()), message });
        };
        if again {
            let message = format!("`{name}` is sent after its create was answered: what was made is on no record yet");
            wrong(Check::IntentFirst, message);
        } else if let Some((other, _)) = other.filter(|_| !allowed) {
            let message = format!(
                "`{name}`, a call of `{other}`, is sent while the step is {state} on record: nothing announces it"
            );
            wrong(Check::IntentFirst, message);
        } else if !allowed {
            wrong(Check::DeclaredCalls, format!("`{method}` writes with `{name}`, which its facts do not declare"));
        }
    }

    /// The steps whose things are other than before this call, those that need one of them, and the one that called.
    /// None where what changed is no step's.
    fn near(&self, w: &Watching, before: &Look, call: &Call) -> Option<Near> {
        let now = self.world.look()?;
        let gone = before.things.iter().filter(|thing| !now.things.contains(thing));
        let come = now.things.iter().filter(|thing| !before.things.contains(thing));
        let mut near: HashSet<String> = gone.chain(come).map(|thing| thing.step.clone()).collect::<Option<_>>()?;
        let needs = |near: &HashSet<String>, all: &[StepId]| all.iter().any(|need| near.contains(&need.as_tag_value()));
        let steps = &w.history.plan().steps;
        let on: Vec<String> =
            steps.iter().filter(|step| needs(&near, &step.needs)).map(|step| step.id.as_tag_value()).collect();
        near.extend(on);
        near.extend(call.step.clone());
        Some(Arc::new(near))
    }

    fn facts(&self, w: &Watching, i: usize, id: &StepId) -> Option<Arc<Facts>> {
        let mut all = self.rehearsed.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(facts) = all.get(id) {
            return Some(facts.clone());
        }
        let params = w.history.params(i, false).ok()?;
        let op = self.rehearsed.registry.get(&w.history.plan().steps[i].op)?;
        let facts = Arc::new(op.bind(&params).ok()?.facts());
        all.insert(id.clone(), facts.clone());
        Some(facts)
    }
}

impl Tap for Watch {
    fn before(&self, call: &Call, in_flight: &dyn Fn() -> Option<Saved>) -> Turn {
        let mut w = self.lock();
        let w = &mut *w;
        if w.stopped.is_some() {
            return Turn::Never;
        }
        self.event(w);
        self.judge(w, call);
        let blow = w.how.at(w.event);
        w.calls.push(Made { event: w.event, call: call.clone(), reply: None, blow });
        if call.write
            && let Some(saved) = w.how.film.then(in_flight).flatten()
        {
            self.frame(w, Blow::DiesInFlight, call.step.as_deref(), Some((call, saved)));
        }
        match blow {
            Some(Blow::Fault(fault)) => {
                w.fired = true;
                w.fault = call.step.clone().map(|step| (w.records.len(), step));
                w.before = fault.meddles().then(|| self.world.look()).flatten();
                Turn::Fault(fault)
            }
            Some(Blow::DiesInFlight) => Turn::Fault(Fault::LandsLate),
            Some(Blow::Dies) | None => Turn::Go,
        }
    }

    fn after(&self, call: &Call, reply: &Reply) -> bool {
        let mut w = self.lock();
        let w = &mut *w;
        if let Some(made) = w.calls.iter_mut().rev().find(|made| made.reply.is_none() && made.call == *call) {
            made.reply = Some(reply.clone());
        }
        if w.stopped.is_some() {
            return false;
        }
        let creates = |(id, status): (&StepId, &Status)| {
            call.step.as_deref() == Some(&id.as_tag_value()) && status.state == StepState::CreateStarted
        };
        if call.write && reply.status.is_some_and(|status| status < 300) && w.history.statuses().any(creates) {
            w.created.extend(call.step.clone());
        }
        if let Some(before) = w.before.take() {
            w.how.near = self.near(w, &before, call);
        }
        if call.write {
            self.frame(w, Blow::Dies, call.step.as_deref(), None);
        } else {
            w.unchanged += 1;
        }
        // Other calls may have come in between; the one that this is has its own number.
        let at = w.calls.iter().rev().find(|made| made.call == *call).map_or(w.event, |made| made.event);
        if matches!(w.how.at(at), Some(Blow::Dies | Blow::DiesInFlight)) {
            w.fired = true;
            self.stop(w, End::Died);
            return false;
        }
        true
    }
}

/// Why a person of the rehearsal does what it does.
const WHY: &str = "the rehearsal says so";

/// A thread's own place to run processes in.
pub(crate) struct Bench {
    pub(crate) world: Arc<dyn World>,
    pub(crate) rehearsed: Arc<Rehearsed>,
}

impl Bench {
    fn environment(&self, begins: bool) -> Environment {
        Environment {
            registry: self.rehearsed.registry.clone(),
            clock: Arc::new(FixedClock),
            contexts: self.world.contexts(),
            secrets: self.rehearsed.secrets.clone(),
            providers: self.world.providers(begins),
            tag_prefix: "switchback".into(),
        }
    }

    fn setup(&self, disk: &Disk, name: &str, history: History, wide: bool) -> Result<Setup, String> {
        let journal = disk.open(name).map_err(|e| e.to_string())?;
        let journal: Box<dyn Journal> = Box::new(journal);
        let journal = match &self.rehearsed.wrap {
            Some(wrap) => wrap(journal),
            None => journal,
        };
        let max_parallel = (!wide).then_some(1);
        Ok(Setup {
            journal,
            history,
            env: self.environment(name == "apply"),
            options: Options {
                max_parallel,
                seed: self.rehearsed.seed,
                commit_each_step: !wide,
                // Time costs nothing here, and looking does.
                busy_poll: Duration::from_secs(2),
                confirmed: self.rehearsed.plan.steps.iter().map(|s| s.id.clone()).collect(),
                accepted_pivots: self.rehearsed.plan.steps.iter().map(|s| s.id.clone()).collect(),
                ..Options::default()
            },
            observer: Arc::new(Nobody),
            gate: Arc::new(AlwaysGo),
            control: Control::new(),
        })
    }

    /// Runs one process.
    pub(crate) async fn run(&self, start: &State, command: Command, how: How) -> Ran {
        self.world.load(&start.saved).await;
        let disk = Disk::with(self.rehearsed.run, &start.records);
        let history = (*start.history).clone();
        let watch = Arc::new(Watch {
            world: self.world.clone(),
            rehearsed: self.rehearsed.clone(),
            stop: Notify::new(),
            inner: Mutex::new(Watching {
                how,
                passed: HashSet::new(),
                history: history.clone(),
                records: start.records.to_vec(),
                event: 0,
                fired: false,
                stopped: None,
                frames: Vec::new(),
                calls: Vec::new(),
                created: HashSet::new(),
                violations: Vec::new(),
                unchanged: 0,
                fault: None,
                before: None,
                digest: None,
            }),
        });
        {
            let mut w = watch.lock();
            let w = &mut *w;
            let begun = watch.key(w);
            w.passed.extend(begun);
        }
        self.world.tap(Some(watch.clone()));
        let hook = watch.clone();
        disk.on_commit(Some(Box::new(move |new, payloads| hook.committed(new, payloads))));
        let end = match self.setup(&disk, name(command), history, is_wide(command)) {
            Ok(mut setup) => {
                // The first record of the process is on the disk, and not in what it was given.
                if let Some(record) = disk.records().last() {
                    let _ = setup.history.replay(record);
                }
                let work = async {
                    let mut end = work(setup, command, &start.history).await;
                    // Whatever else goes on, somebody elsewhere says yes to what is asked.
                    loop {
                        let history = watch.lock().history.clone();
                        match self.agreed(&disk, &history, &end).await {
                            Some(next) => end = next,
                            None => break end,
                        }
                    }
                };
                tokio::select! {
                    biased;
                    () = watch.stop.notified() => End::Died,
                    end = work => end,
                }
            }
            Err(error) => End::Broken(error),
        };
        self.world.tap(None);
        disk.on_commit(None);
        let saved = self.world.save().unwrap_or_else(|| start.saved.clone());
        let mut w = watch.lock();
        let end = w.stopped.take().unwrap_or(end);
        let records = Arc::new(std::mem::take(&mut w.records));
        let frames = std::mem::take(&mut w.frames).into_iter().map(|shot| {
            let Shot { event, blow, key, quiet, records: n, history, saved } = shot;
            let records = Arc::new(records[..n].to_vec());
            Frame { event, blow, key, quiet, state: State { records, history, saved } }
        });
        let frames = frames.collect();
        Ran {
            end,
            state: State { records, history: Arc::new(w.history.clone()), saved },
            frames,
            calls: std::mem::take(&mut w.calls),
            violations: std::mem::take(&mut w.violations),
            unchanged: w.unchanged,
            fault: w.fault.take(),
            near: w.how.near.take(),
        }
    }

    /// A person elsewhere agrees to what a step asks, and lets the run go on. None: it has not stopped to ask.
    async fn agreed(&self, disk: &Disk, history: &History, end: &End) -> Option<End> {
        let End::Outcome(Outcome::Paused { step: Some(step), .. }) = end else { return None };
        let verb = asked(&self.rehearsed.registry, history, step)?;
        // The first record of the process is on the disk, and not in what it was given.
        let begun = |command: &str| {
            let setup = self.setup(disk, command, history.clone(), false)?;
            Ok::<_, String>(Setup { history: replay(self.rehearsed.plan.clone(), &disk.records())?, ..setup })
        };
        let agreed = async {
            match executor::rescue(begun("approve")?, step, verb, WHY).await.map_err(|e| whole(&e))? {
                Rescued::Refused(error) => Err(format!("`{step}` asks, and nobody may answer: {error}")),
                Rescued::Done { .. } => begun("resume"),
            }
        };
        Some(match agreed.await {
            Ok(setup) => work(setup, Command::Resume, history).await,
            Err(error) => End::Broken(error),
        })
    }

    /// A person mends what can be mended, and answers what only a person can, by the truth.
    pub(crate) async fn person(&self, state: &State) -> Result<State, String> {
        self.world.load(&state.saved).await;
        self.world.mend();
        let mut state = State { saved: self.world.save().unwrap_or_else(|| state.saved.clone()), ..state.clone() };
        let Standing::Stuck { steps } = state.history.standing().clone() else { return Ok(state) };
        for (step, _) in steps {
            let Some(i) = state.history.index_of(&step) else { continue };
            // Asked again, the rollback is tried again: that is what its advice says first.
            if state.history.status(i).state == StepState::RollbackFailed {
                continue;
            }
            let tag = step.as_tag_value();
            let ours = |look: &Look| {
                look.things.iter().any(|t| t.owner == Owner::Ours && !t.residue && t.step.as_ref() == Some(&tag))
            };
            let weak = state.history.status(i).weak;
            let verbs = if weak || self.world.look().is_some_and(|look| ours(&look)) {
                [Rescue::Adopt, Rescue::Disown]
            } else {
                [Rescue::Disown, Rescue::Adopt]
            };
            let mut said = Vec::new();
            let mut done = false;
            for verb in verbs {
                let disk = Disk::with(self.rehearsed.run, &state.records);
                let setup = self.setup(&disk, "rescue", (*state.history).clone(), false)?;
                let rescued = executor::rescue(setup, &step, verb.clone(), WHY).await;
                match rescued {
                    Ok(Rescued::Done { .. }) => done = true,
                    Ok(Rescued::Refused(error)) => said.push(format!("{verb:?}: {error}")),
                    Err(error) => said.push(format!("{verb:?}: {error}")),
                }
                let records = Arc::new(disk.records());
                let history = replay(self.rehearsed.plan.clone(), &records)?;
                let saved = self.world.save().unwrap_or_else(|| state.saved.clone());
                state = State { records, history: Arc::new(history), saved };
                if done {
                    break;
                }
            }
            if !done {
                return Err(format!("step `{step}` is stuck and no verb helps: {}", said.join("; ")));
            }
        }
        Ok(state)
    }
}

/// An error with what caused it.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A run that goes back without being asked.
fn turned(record: &Record) -> Option<Violation> {
    let Body::UnwindStarted(started) = record.body() else { return None };
    let UnwindCause::Failed { step, error } = &started.cause else { return None };
    let message = format!("though nothing makes going on impossible, the run fails and unwinds: {error}");
    Some(Violation { check: Check::Standstill, step: Some(step.to_string()), message })
}

/// The history that these records tell.
pub(crate) fn replay(plan: Arc<Plan>, records: &[Arc<Record>]) -> Result<History, String> {
    let mut history = History::new(plan);
    for record in records {
        history.replay(record).map_err(|e| format!("record {} does not replay: {e}", record.seq))?;
    }
    Ok(history)
}

fn name(command: Command) -> &'static str {
    match command {
        Command::Apply | Command::ApplyWide => "apply",
        Command::Resume => "resume",
        Command::Unwind | Command::UnwindWide | Command::UnwindTo(_) => "unwind",
    }
}

fn is_wide(command: Command) -> bool {
    matches!(command, Command::ApplyWide | Command::UnwindWide)
}

async fn work(setup: Setup, command: Command, history: &History) -> End {
    let asked = UnwindCause::Asked { reason: None };
    let ended = match command {
        Command::Apply | Command::ApplyWide => executor::apply(setup).await,
        Command::Resume => executor::resume(setup).await,
        Command::Unwind | Command::UnwindWide => executor::unwind(setup, UnwindTarget::All, asked).await,
        Command::UnwindTo(step) => {
            let id = history.plan().steps.get(step).map(|s| s.id.to_string()).unwrap_or_default();
            executor::unwind(setup, UnwindTarget::To(id), asked).await
        }
    };
    match ended {
        Ok(outcome) => End::Outcome(outcome),
        Err(ExecError::Refused(refusal)) => End::Refused(refusal),
        Err(ExecError::Illegal(error)) => End::Broken(format!("a record does not follow: {error}")),
        Err(error) => End::Broken(error.to_string()),
    }
}

/// The word that makes a step that was begun, of one who may give it. None: the step waits for nobody's.
fn asked(registry: &Registry, history: &History, step: &StepId) -> Option<Rescue> {
    let i = history.index_of(step)?;
    let params = history.params(i, false).ok()?;
    let by = params.pointer("/approvers/0").and_then(|name| name.as_str()).unwrap_or("rehearsal").to_owned();
    let begun = matches!(history.status(i).state, StepState::CreateStarted | StepState::CreateFailed);
    let bound = registry.get(&history.plan().steps.get(i)?.op)?.bind(&params).ok()?;
    bound.approved(&by, WHY).filter(|_| begun)?.ok()?;
    Some(Rescue::Approve { by })
}

/// Applies a plan in a world that nobody watches: what others made before.
///
/// # Errors
/// When it is not completed.
pub async fn populate(
    world: &dyn World,
    plan: Arc<Plan>,
    registry: Arc<Registry>,
    secrets: (Option<RunSecrets>, Secrets),
    run: RunId,
) -> Result<(), String> {
    let disk = Disk::begin(run, &plan.runbook, "", secrets.0)?;
    let begun = |command: &str| {
        let journal = disk.open(command).map_err(|e| e.to_string())?;
        Ok::<_, String>(Setup {
            journal: Box::new(journal),
            history: replay(plan.clone(), &disk.records())?,
            env: Environment {
                registry: registry.clone(),
                clock: Arc::new(FixedClock),
                contexts: world.contexts(),
                secrets: secrets.1.clone(),
                providers: world.providers(true),
                tag_prefix: "switchback".into(),
            },
            options: Options { max_parallel: Some(1), ..Options::default() },
            observer: Arc::new(Nobody),
            gate: Arc::new(AlwaysGo),
            control: Control::new(),
        })
    };
    let mut ended = executor::apply(begun("apply")?).await;
    while let Ok(Outcome::Paused { step: Some(step), .. }) = &ended {
        let Some(verb) = asked(&registry, &replay(plan.clone(), &disk.records())?, step) else { break };
        executor::rescue(begun("approve")?, step, verb, WHY).await.map_err(|e| e.to_string())?;
        ended = executor::resume(begun("resume")?).await;
    }
    match ended {
        Ok(Outcome::Completed) => {
            tokio::time::sleep(DUST).await;
            Ok(())
        }
        other => Err(format!("look-alikes cannot be made: {other:?}")),
    }
}

/// Whether a run in this state can go on forward, and back.
pub(crate) fn ways(history: &History) -> (bool, bool) {
    let over = matches!(history.ended(), Ended::Unwound | Ended::Refused);
    let back = !over && recovery::plan_unwind(history, &UnwindTarget::All).is_ok();
    (recovery::plan_resume(history).is_ok(), back)
}

/// How long nothing may still land, lag or be pending, with certainty.
pub(crate) const DUST: Duration = Duration::from_secs(600);
