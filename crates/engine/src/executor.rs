//! The executor: goes forward, goes back, and writes down both before and after.
//!
//! It decides nothing about recovery (that is [`crate::recovery`]) and knows nothing of what an
//! operation does. It owes three things to everybody else:
//!
//! 1. *Intent before effect.* `create`, `settle` after a create, and `rollback` are called only
//!    when the record that announces them is durable.
//! 2. *Unknown is not failed.* What a lost reply did is looked up, and "absent", "foreign",
//!    "nothing to undo" and "verify disagrees" are believed only after the quiet period.
//! 3. *Grouped commits.* All steps are polled until none can go on; then everything they have
//!    recorded is committed in one transaction. No record waits for I/O of another step.
//!
//! ```text
//!   poll every step that can go on ──▶ nothing can go on ──▶ records queued? ──no──▶ wait
//!            ▲                                                    │ yes
//!            └──── wake those who wait for it ◀── one durable commit
//! ```

mod ahead;
mod back;
mod control;
mod forward;
mod guard;
mod rescue;
mod run;
mod schedule;
mod shared;
mod step;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use switchback_model::StepId;
use switchback_model::event::Outcome;
use switchback_model::record::{UnwindCause, UnwindTarget};
use thiserror::Error;

pub use ahead::{foresee, may_come};
pub use control::{AlwaysGo, Control, Decision, Gate, Observer, ObserverGone, StopReason};
pub use rescue::{Rescue, Rescued};
pub use verify::{Checked, StepCheck, verify_run};

use crate::cx::{Clock, Contexts};
use crate::history::{History, HistoryError};
use crate::journal::{Journal, JournalError};
use crate::provider::Provider;
use crate::recovery::Refusal;
use crate::registry::Registry;
use crate::secrets::Secrets;

/// What a run acts on and with. The caller wires it; the engine opens nothing by itself.
#[derive(Clone)]
pub struct Environment {
    /// The operations.
    pub registry: Arc<Registry>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// AWS clients and such.
    pub contexts: Contexts,
    /// The values of secrets.
    pub secrets: Secrets,
    /// The targets.
    pub providers: Vec<Arc<dyn Provider>>,
    /// The prefix of ownership tags.
    pub tag_prefix: String,
}

/// How a run is executed.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many steps may run at the same time, instead of the plan's own number.
    pub max_parallel: Option<u32>,
    /// Stop when this step is done.
    pub to: Option<StepId>,
    /// Protected steps that may be undone.
    pub confirmed: Vec<StepId>,
    /// Pivots that may be passed.
    pub accepted_pivots: Vec<StepId>,
    /// The first pause before a retry; later ones double, up to 32 times it. One second in
    /// production.
    pub backoff: Duration,
    /// How often a transient error is tried in all.
    pub attempts: u32,
    /// The first pause while something is busy; later ones double, up to sixteen times it.
    pub busy_poll: Duration,
    /// For the jitter; the same seed gives the same pauses.
    pub seed: u64,
    /// What a step has recorded is committed before the next one starts, instead of together with the next one's
    /// intent. Slower; a crash can then come between any two steps.
    pub commit_each_step: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_parallel: None,
            to: None,
            confirmed: Vec::new(),
            accepted_pivots: Vec::new(),
            backoff: Duration::from_secs(1),
            attempts: 5,
            busy_poll: Duration::from_millis(250),
            seed: 0,
            commit_each_step: false,
        }
    }
}

/// Everything that one execution needs.
pub struct Setup {
    /// The run's journal, held by this process.
    pub journal: Box<dyn Journal>,
    /// The run as its records tell it.
    pub history: History,
    /// What it acts on and with.
    pub env: Environment,
    /// How it is executed.
    pub options: Options,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Who is asked before each step.
    pub gate: Arc<dyn Gate>,
    /// How it is stopped from outside.
    pub control: Control,
}

/// Why an execution could not go on. The journal is as it was after its last commit.
#[derive(Debug, Error)]
pub enum ExecError {
    /// The journal cannot be used. Nothing was done after the last commit that succeeded.
    #[error("the journal cannot be used")]
    Journal(#[source] JournalError),
    /// The engine tried to write something that the status function forbids: a defect.
    #[error("a record does not follow from the records before it (a defect of the engine)")]
    Illegal(#[source] HistoryError),
    /// The run cannot do what was asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The plan names something that this binary does not have.
    #[error("{0}")]
    Plan(String),
}

impl From<JournalError> for ExecError {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}

/// Runs a new plan: preflight, then forward; on failure what the policy says.
///
/// # Errors
/// When the journal fails or the plan does not fit this binary.
pub async fn apply(setup: Setup) -> Result<Outcome, ExecError> {
    tokio::task::unconstrained(run::apply(setup)).await
}

/// Goes on forward from wherever the run stopped.
///
/// # Errors
/// When the run cannot go forward, the journal fails or the plan does not fit this binary.
pub async fn resume(setup: Setup) -> Result<Outcome, ExecError> {
    tokio::task::unconstrained(run::resume(setup)).await
}

/// Goes back to `target`, from wherever the run stopped.
///
/// # Errors
/// When the run cannot go back there, the journal fails or the plan does not fit this binary.
pub async fn unwind(setup: Setup, target: UnwindTarget, cause: UnwindCause) -> Result<Outcome, ExecError> {
    tokio::task::unconstrained(run::unwind(setup, target, cause)).await
}

/// Does what a person decided about one step: adopt, disown, mark done, skip.
///
/// # Errors
/// When the step is not where that is possible, or the journal fails.
pub async fn rescue(setup: Setup, step: &StepId, verb: Rescue, reason: &str) -> Result<Rescued, ExecError> {
    tokio::task::unconstrained(rescue::rescue(setup, step, verb, reason)).await
}
