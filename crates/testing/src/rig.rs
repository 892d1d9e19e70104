//! A run in a test, whatever it acts on: starts processes, lets them die, and plays the operator
//! who brings the run to an end. The [`Stage`] says what it acts on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use switchback_engine::cx::{Clock, Contexts};
use switchback_engine::executor::{
    self, AlwaysGo, Control, Environment, ExecError, Observer, ObserverGone, Options, Rescue, Rescued, Setup,
};
use switchback_engine::history::{Ended, History, Standing};
use switchback_engine::journal::JournalError;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::Provider;
use switchback_engine::recovery::Refusal;
use switchback_engine::registry::Registry;
use switchback_engine::secrets::Secrets;
use switchback_model::StepId;
use switchback_model::event::{Event, EventKind, Outcome};
use switchback_model::plan::Plan;
use switchback_model::record::{UnwindCause, UnwindTarget};
use switchback_model::status::State;

use crate::journal::{CutOff, Disk};

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

/// What a run acts on.
pub trait Stage: Send + Sync {
    /// What operations find in their context.
    fn contexts(&self) -> Contexts;
    /// The targets.
    fn providers(&self) -> Vec<Arc<dyn Provider>>;
    /// The values of secrets.
    fn secrets(&self) -> Secrets {
        Secrets::none()
    }
    /// Credentials are good again.
    fn renew_credentials(&self);
    /// The truth, which a person knows: whether something that this run made is there.
    fn has_ours<'a>(&'a self, step: &'a StepId) -> BoxFuture<'a, bool>;
    /// Resolves when the process dies of a fault.
    fn crashed(&self) -> BoxFuture<'_, ()>;
}

/// A run in a test.
#[derive(Clone)]
pub struct Rig {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What survives a crash of the process.
    pub disk: Disk,
    /// The operations.
    pub registry: Arc<Registry>,
    /// What the run acts on.
    pub stage: Arc<dyn Stage>,
    /// Where every process stops.
    pub to: Option<StepId>,
}

impl Rig {
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

    /// What the engine is given.
    #[must_use]
    pub fn environment(&self) -> Environment {
        Environment {
            registry: self.registry.clone(),
            clock: Arc::new(FixedClock),
            contexts: self.stage.contexts(),
            secrets: self.stage.secrets(),
            providers: self.stage.providers(),
            tag_prefix: "switchback".into(),
        }
    }

    fn setup(&self, command: &str, cut_off: Option<CutOff>, listener: Arc<dyn Observer>, control: Control) -> Setup {
        let history = self.history();
        Setup {
            journal: Box::new(self.disk.open(command, cut_off)),
            history,
            env: self.environment(),
            options: Options { busy_poll: Duration::from_millis(500), to: self.to.clone(), ..Options::default() },
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
            () = self.stage.crashed() => return End::Died,
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
                Ended::PartlyUnwound if matches!(goal, Goal::UnwoundTo(_)) => return Ended::PartlyUnwound,
                Ended::PartlyUnwound | Ended::Completed if goal != Goal::Completed => {}
                ended => return ended,
            }
            self.stage.renew_credentials();
            if let Standing::Stuck { steps } = history.standing() {
                for (step, _) in steps {
                    self.answer(step, &history).await;
                }
            }
            let command = match goal {
                Goal::Completed if !history.is_unwinding() => Command::Resume,
                Goal::UnwoundTo(step) => Command::Unwind(UnwindTarget::To(step.to_owned())),
                _ => Command::Unwind(UnwindTarget::All),
            };
            self.execute(&command, None).await;
        }
        panic!("the run does not end: {:#?}", self.disk.records().iter().map(|r| &r.draft).collect::<Vec<_>>());
    }

    /// What a person who knows the truth says about a stuck step.
    async fn answer(&self, step: &StepId, history: &History) {
        let Some(i) = history.index_of(step) else { return };
        let ours = self.stage.has_ours(step).await;
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

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Everything made.
    Completed,
    /// Everything undone.
    Unwound,
    /// Undone to that step.
    UnwoundTo(&'static str),
}
