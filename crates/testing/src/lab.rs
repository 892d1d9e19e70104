//! A lab for runs: builds a plan over the in-memory world, starts processes, lets them die, and
//! plays the operator who brings the run to an end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use switchback_engine::cx::{Clock, Contexts};
use switchback_engine::executor::{
    self, AlwaysGo, Control, Environment, ExecError, Observer, ObserverGone, Options, Rescue, Rescued, Setup,
};
use switchback_engine::history::{Ended, History, Standing};
use switchback_engine::journal::JournalError;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{Identity, Provider};
use switchback_engine::recovery::Refusal;
use switchback_engine::registry::Registry;
use switchback_model::event::{Event, EventKind, Outcome};
use switchback_model::plan::{OnFailure, OutputRef, PLAN_FORMAT_VERSION, Plan, PlanStep, Policy, Target, Template};
use switchback_model::record::{Endpoint, Leftover, UnwindCause, UnwindTarget};
use switchback_model::status::State;
use switchback_model::{OpResult, RunId, StepId};

use crate::journal::{CutOff, Disk};
use crate::world::{Foreign, OnSend, QUIET, World, Write};

/// The time of day in tests.
#[must_use]
pub fn fixed_time() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// A clock that stands still.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        fixed_time()
    }
}

/// A step of a test plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSpec {
    /// Its id, and its slot.
    pub id: String,
    /// `tag`, `token`, `name`, `value`, `upsert`.
    pub kind: &'static str,
    /// The ids that it hangs on, by reference to their output.
    pub uses: Vec<String>,
    /// Its phase, from 0.
    pub phase: u32,
    /// How many settle calls it takes.
    pub settles: u32,
    /// Its `verify` never agrees.
    pub never_right: bool,
    /// Its `verify` is not allowed.
    pub verify_denied: bool,
}

impl StepSpec {
    /// A step of the first phase that hangs on nothing and needs no settling.
    #[must_use]
    pub fn new(id: &str, kind: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            uses: Vec::new(),
            phase: 0,
            settles: 0,
            never_right: false,
            verify_denied: false,
        }
    }

    /// Hangs on these.
    #[must_use]
    pub fn uses(mut self, ids: &[&str]) -> Self {
        self.uses = ids.iter().map(|s| (*s).to_owned()).collect();
        self
    }

    /// In that phase.
    #[must_use]
    pub fn phase(mut self, phase: u32) -> Self {
        self.phase = phase;
        self
    }

    /// With that many settle calls.
    #[must_use]
    pub fn settles(mut self, settles: u32) -> Self {
        self.settles = settles;
        self
    }

    /// With a `verify` that never agrees.
    #[must_use]
    pub fn never_right(mut self) -> Self {
        self.never_right = true;
        self
    }

    /// With a `verify` that is not allowed.
    #[must_use]
    pub fn verify_denied(mut self) -> Self {
        self.verify_denied = true;
        self
    }
}

/// A plan of these steps.
#[must_use]
pub fn plan(steps: &[StepSpec], on_failure: OnFailure) -> Arc<Plan> {
    let phases = steps.iter().map(|s| s.phase).max().map_or(0, |p| p + 1);
    Arc::new(Plan {
        format: PLAN_FORMAT_VERSION,
        runbook: "test".into(),
        version: 1,
        description: String::new(),
        target: Target::default(),
        inputs: [].into(),
        policy: Policy { on_failure, max_parallel: 4 },
        phases: (0..phases).map(|p| format!("phase{p}")).collect(),
        steps: steps.iter().map(plan_step).collect(),
        files: [].into(),
    })
}

fn plan_step(spec: &StepSpec) -> PlanStep {
    let slot = |id: &String| Template::Ref(OutputRef { step: StepId::new(id), path: vec!["slot".into()] });
    let params = [
        ("slot", Template::Lit(json!(spec.id))),
        ("uses", Template::List(spec.uses.iter().map(slot).collect())),
        ("settles", Template::Lit(json!(spec.settles))),
        ("never_right", Template::Lit(json!(spec.never_right))),
        ("verify_denied", Template::Lit(json!(spec.verify_denied))),
    ];
    PlanStep {
        id: StepId::new(&spec.id),
        phase: spec.phase,
        op: format!("test.{}", spec.kind),
        op_version: 1,
        params: Template::Map(params.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        needs: spec.uses.iter().map(|u| StepId::new(u)).collect(),
        timeout: None,
        attempts: None,
        on_failure: None,
        verify: Vec::new(),
        protect: false,
    }
}

/// Remembers what was announced.
#[derive(Default)]
pub struct Listener(Mutex<Vec<EventKind>>);

impl Listener {
    /// What was announced so far.
    pub fn events(&self) -> Vec<EventKind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Listener {
    fn event(&self, event: Event) -> Result<(), ObserverGone> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.kind);
        Ok(())
    }
}

/// What an execution is asked to do.
#[derive(Debug, Clone)]
pub enum Command {
    /// A new run.
    Apply,
    /// Forward.
    Resume,
    /// Back.
    Unwind(UnwindTarget),
}

/// How an execution ended.
#[derive(Debug)]
pub enum End {
    /// By itself.
    Outcome(Outcome),
    /// The process died.
    Died,
    /// Another process took the run over.
    TakenOver,
    /// It was refused.
    Refused(Refusal),
}

/// A run in the lab: its plan, its disk and its world.
#[derive(Clone)]
pub struct Lab {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What survives a crash of the process.
    pub disk: Disk,
    /// What does not care about the process at all.
    pub world: World,
    registry: Arc<Registry>,
    steps: Vec<StepSpec>,
}

/// The run of every lab.
#[must_use]
pub fn lab_run() -> RunId {
    RunId::new(uuid::Uuid::from_u128(7))
}

impl Lab {
    /// A lab with a run of these steps that has not begun. Slots of `upsert` steps hold a value.
    ///
    /// # Panics
    /// Never: the test operations have different kinds.
    #[must_use]
    pub fn new(steps: &[StepSpec], on_failure: OnFailure) -> Self {
        let world = World::new();
        for step in steps.iter().filter(|s| s.kind == "upsert") {
            world.foreign(&step.id, Foreign::Add("base"));
        }
        let plan = plan(steps, on_failure);
        let disk = Disk::new(lab_run(), Endpoint::default());
        world.on_send(intent_before_effect(plan.clone(), disk.clone()));
        let mut registry = Registry::new();
        let registered = crate::ops::register(&mut registry);
        assert!(registered.is_ok(), "the kinds differ");
        Self { plan, disk, world, registry: Arc::new(registry), steps: steps.to_vec() }
    }

    /// The same world, with a disk that holds only these records.
    #[must_use]
    pub fn with_disk(&self, disk: Disk) -> Self {
        self.world.on_send(intent_before_effect(self.plan.clone(), disk.clone()));
        Self { disk, ..self.clone() }
    }

    /// The run as its records tell it.
    ///
    /// # Panics
    /// When a record does not follow from those before it: the property that every accepted
    /// journal replays.
    #[must_use]
    pub fn history(&self) -> History {
        let mut history = History::new(self.plan.clone());
        for record in self.disk.records() {
            let replayed = history.replay(&record);
            assert!(replayed.is_ok(), "record {} does not replay: {replayed:?}", record.seq);
        }
        history
    }

    fn environment(&self) -> Environment {
        Environment {
            registry: self.registry.clone(),
            clock: Arc::new(FixedClock),
            contexts: Contexts::new().with(self.world.clone()),
            providers: vec![Arc::new(WorldProvider { world: self.world.clone(), steps: self.steps.clone() })],
            tag_prefix: "switchback".into(),
        }
    }

    fn setup(&self, command: &str, cut_off: Option<CutOff>, listener: Arc<dyn Observer>, control: Control) -> Setup {
        let history = self.history();
        Setup {
            journal: Box::new(self.disk.open(command, cut_off)),
            history,
            env: self.environment(),
            options: Options { busy_poll: Duration::from_millis(500), ..Options::default() },
            observer: listener,
            gate: Arc::new(AlwaysGo),
            control,
        }
    }

    /// Starts a process for `command` and lets it work until it ends or dies.
    ///
    /// # Panics
    /// When the engine writes what its own status function forbids.
    pub async fn execute(&self, command: &Command, cut_off: Option<CutOff>) -> End {
        self.execute_with(command, cut_off, Arc::new(Listener::default()), Control::new()).await
    }

    /// As [`Lab::execute`], watched and stoppable.
    ///
    /// # Panics
    /// When the engine writes what its own status function forbids.
    pub async fn execute_with(
        &self,
        command: &Command,
        cut_off: Option<CutOff>,
        listener: Arc<dyn Observer>,
        control: Control,
    ) -> End {
        let name = match command {
            Command::Apply => "apply",
            Command::Resume => "resume",
            Command::Unwind(_) => "unwind",
        };
        let setup = self.setup(name, cut_off, listener, control);
        let work = async {
            match command {
                Command::Apply => executor::apply(setup).await,
                Command::Resume => executor::resume(setup).await,
                Command::Unwind(target) => {
                    executor::unwind(setup, target.clone(), UnwindCause::Asked { reason: None }).await
                }
            }
        };
        let ended = tokio::select! {
            ended = work => ended,
            () = self.world.crashed() => return End::Died,
        };
        match ended {
            Ok(outcome) => End::Outcome(outcome),
            Err(ExecError::Journal(JournalError::TakenOver { .. })) => End::TakenOver,
            Err(ExecError::Journal(e)) => {
                assert!(self.disk.was_cut(), "the journal failed by itself: {e}");
                End::Died
            }
            Err(ExecError::Refused(refusal)) => End::Refused(refusal),
            Err(other) => panic!("the engine is wrong: {other:?}"),
        }
    }

    /// A rescue verb.
    ///
    /// # Panics
    /// When the engine writes what its own status function forbids.
    pub async fn rescue(&self, step: &str, verb: Rescue) -> Rescued {
        let setup = self.setup("rescue", None, Arc::new(Listener::default()), Control::new());
        match executor::rescue(setup, &StepId::new(step), verb, "the test says so").await {
            Ok(rescued) => rescued,
            Err(e) => panic!("the rescue failed: {e:?}"),
        }
    }

    /// The operator who wants the run to end at `goal`: goes on with what is possible, renews
    /// credentials, and answers what only a person can, by the truth.
    ///
    /// # Panics
    /// When the run does not end within a number of processes that no finite fault explains.
    pub async fn bring_to_an_end(&self, goal: Goal) -> Ended {
        for _ in 0..40 {
            let history = self.history();
            match history.ended() {
                Ended::No => {}
                Ended::PartlyUnwound if goal == Goal::Completed => {}
                Ended::PartlyUnwound | Ended::Completed if goal == Goal::Unwound => {}
                ended => return ended,
            }
            self.world.renew_credentials();
            if let Standing::Stuck { steps } = history.standing() {
                for (step, _) in steps {
                    self.answer(step, &history).await;
                }
            }
            let command = match goal {
                Goal::Completed if !history.is_unwinding() => Command::Resume,
                _ => Command::Unwind(UnwindTarget::All),
            };
            self.execute(&command, None).await;
        }
        panic!("the run does not end: {:#?}", self.disk.records().iter().map(|r| &r.draft).collect::<Vec<_>>());
    }

    /// What a person who knows the truth says about a stuck step.
    async fn answer(&self, step: &StepId, history: &History) {
        let Some(i) = history.index_of(step) else { return };
        let ours = self.world.truth(step.as_str()).iter().any(|t| t.ours);
        match history.status(i).state {
            // Asked again, the rollback is tried again.
            State::RollbackFailed => {}
            _ if ours => {
                self.rescue(step.as_str(), Rescue::Adopt).await;
            }
            _ => {
                self.rescue(step.as_str(), Rescue::Disown).await;
            }
        }
    }
}

/// Says what is wrong with a write call that is sent before the record that announces it is
/// durable.
fn intent_before_effect(plan: Arc<Plan>, disk: Disk) -> OnSend {
    Box::new(move |slot, write| {
        let mut history = History::new(plan.clone());
        for record in disk.records() {
            history.replay(&record).ok()?;
        }
        let state = history.status(history.index_of(&StepId::new(slot))?).state;
        let announced = match (state, write) {
            (State::CreateStarted, Write::Add { .. } | Write::Put(_)) => true,
            (
                State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed,
                Write::Settle { .. } | Write::Put(_),
            ) => true,
            (State::RollbackStarted, Write::Remove { .. } | Write::Put(_)) => true,
            _ => false,
        };
        (!announced).then(|| format!("`{slot}` is {state} on record, and {write:?} was sent"))
    })
}

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Everything made.
    Completed,
    /// Everything undone.
    Unwound,
}

/// Whom the world takes us for, and what is left of a run.
struct WorldProvider {
    world: World,
    steps: Vec<StepSpec>,
}

impl Provider for WorldProvider {
    fn name(&self) -> &'static str {
        "world"
    }

    fn preflight(&self) -> BoxFuture<'_, OpResult<Identity>> {
        Box::pin(async {
            self.world.read("").await?;
            Ok(Identity { caller: "test".into() })
        })
    }

    fn sweep(&self, run: RunId) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        Box::pin(async move {
            let mut left = Vec::new();
            for step in &self.steps {
                for thing in self.world.read(&step.id).await? {
                    let Some(mark) = &thing.mark else { continue };
                    let mut parts = mark.splitn(3, '/');
                    if parts.next() == Some(&run.to_string()) {
                        left.push(Leftover {
                            resource_type: "thing".into(),
                            id: thing.id.clone(),
                            step: parts.next().unwrap_or_default().to_owned(),
                            generation: parts.next().and_then(|g| g.parse().ok()).unwrap_or(0),
                        });
                    }
                }
            }
            Ok(left)
        })
    }
}

/// Time passes until nothing late or lagging is left.
pub async fn let_the_dust_settle() {
    tokio::time::sleep(QUIET * 3).await;
}
