//! What all steps of an execution share: the history, the queue of records that wait for their
//! commit, and what is known of each step's last writes.

use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use switchback_model::event::{Event, EventKind, Progress};
use switchback_model::plan::Plan;
use switchback_model::record::{Body, Called, Direction, Draft};
use switchback_model::status::Status;
use switchback_model::{Generation, RunId, StepId};
use tokio::time::Instant;

use super::control::{Control, Gate, Observer};
use super::guard::{Backoff, Breakers};
use super::{Environment, ExecError, Options};
use crate::cx::{CxSink, RunCx};
use crate::history::{History, HistoryError};
use crate::journal::Journal;
use crate::provider::CallLog;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding one of these locks cannot leave half a change behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that wait for their commit, and who waits with them.
#[derive(Default)]
struct Queue {
    drafts: Vec<Draft>,
    /// Records queued since the start of this execution.
    queued: u64,
    /// Of these, the durable ones.
    durable: u64,
    wakers: Vec<Waker>,
}

/// What this process knows of a step's writes. Times, not records: a crash forgets them, and
/// then the start of the process counts instead.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Writes {
    /// The end of the last attempt to write (reply or give-up); the start of the process where
    /// an earlier process may have written.
    pub last_attempt: Option<Instant>,
    /// The end of the last attempt whose outcome is unknown.
    pub unacknowledged: Option<Instant>,
    /// `capture` ran in this process's preflight.
    pub captured_here: bool,
}

pub(crate) struct Shared {
    pub env: Environment,
    pub options: Options,
    pub control: Control,
    pub gate: Arc<dyn Gate>,
    pub plan: Arc<Plan>,
    pub run: RunId,
    pub run_cx: Arc<RunCx>,
    pub quiet_override: Option<Duration>,
    pub backoff: Mutex<Backoff>,
    pub breakers: Mutex<Breakers>,
    history: Mutex<History>,
    writes: Mutex<Vec<Writes>>,
    core: Arc<Core>,
}

/// The part that an operation's `Cx` reaches as well.
struct Core {
    run: RunId,
    env_clock: Arc<dyn crate::cx::Clock>,
    queue: Mutex<Queue>,
    direction: Mutex<Direction>,
    observer: Arc<dyn Observer>,
    control: Control,
    doing: Mutex<std::collections::HashMap<StepId, (String, Instant)>>,
}

impl Core {
    fn push(&self, step: Option<&StepId>, generation: Generation, body: Body) {
        let draft = Draft {
            at: self.env_clock.now(),
            step: step.cloned(),
            generation,
            direction: *lock(&self.direction),
            body,
        };
        let mut queue = lock(&self.queue);
        queue.drafts.push(draft);
        queue.queued += 1;
    }

    fn emit(&self, kind: EventKind) {
        let event = Event { at: self.env_clock.now(), run: self.run, kind };
        if self.observer.event(event).is_err() {
            self.control.pause();
        }
    }
}

impl CxSink for Core {
    fn progress(&self, step: &StepId, doing: &str) {
        let now = Instant::now();
        let since = {
            let mut all = lock(&self.doing);
            match all.get(step) {
                Some((what, since)) if what == doing => *since,
                _ => {
                    all.insert(step.clone(), (doing.to_owned(), now));
                    now
                }
            }
        };
        let for_ms = u64::try_from((now - since).as_millis()).unwrap_or(u64::MAX);
        self.emit(EventKind::Progress(Progress { step: step.clone(), doing: doing.to_owned(), for_ms }));
    }

    fn called(&self, step: &StepId, generation: Generation, call: Called) {
        self.push(Some(step), generation, call.into());
    }
}

impl Shared {
    pub(crate) fn new(
        history: History,
        journal: &dyn Journal,
        env: Environment,
        options: Options,
        observer: Arc<dyn Observer>,
        gate: Arc<dyn Gate>,
        control: Control,
    ) -> Self {
        let start = Instant::now();
        let writes = history
            .statuses()
            .map(|(_, s)| Writes {
                // An earlier process may have written; when, is not known, so it counts from now.
                last_attempt: (!s.state.is_untouched() || s.generation > Generation::FIRST).then_some(start),
                unacknowledged: s.state.is_unacknowledged().then_some(start),
                captured_here: false,
            })
            .collect();
        let core = Arc::new(Core {
            run: journal.run(),
            env_clock: env.clock.clone(),
            queue: Mutex::default(),
            direction: Mutex::new(history.direction()),
            observer,
            control: control.clone(),
            doing: Mutex::default(),
        });
        let run_cx = Arc::new(RunCx {
            run: journal.run(),
            tag_prefix: env.tag_prefix.clone(),
            clock: env.clock.clone(),
            contexts: env.contexts.clone(),
            secrets: env.secrets.clone(),
            fence: journal.fence(),
            sink: core.clone(),
            control: control.clone(),
        });
        Self {
            plan: history.plan().clone(),
            run: journal.run(),
            run_cx,
            quiet_override: history.endpoint().quiet_ms.map(Duration::from_millis),
            backoff: Mutex::new(Backoff::new(options.backoff, options.seed)),
            breakers: Mutex::default(),
            history: Mutex::new(history),
            writes: Mutex::new(writes),
            core,
            env,
            options,
            control,
            gate,
        }
    }

    /// The history, for a moment. Never hold it across an await.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(crate) fn status(&self, i: usize) -> Status {
        self.history().status(i).clone()
    }

    pub(crate) fn writes(&self, i: usize) -> Writes {
        lock(&self.writes)[i]
    }

    pub(crate) fn with_writes(&self, i: usize, change: impl FnOnce(&mut Writes)) {
        change(&mut lock(&self.writes)[i]);
    }

    pub(crate) fn set_direction(&self, direction: Direction) {
        *lock(&self.core.direction) = direction;
    }

    pub(crate) fn emit(&self, kind: EventKind) {
        self.core.emit(kind);
    }

    /// What the step has been doing last, if it began that after `begin`.
    pub(crate) fn doing_since(&self, step: &StepId, begin: Instant) -> Option<String> {
        lock(&self.core.doing).get(step).filter(|(_, since)| *since >= begin).map(|(doing, _)| doing.clone())
    }

    pub(crate) fn progress(&self, step: &StepId, doing: &str) {
        self.core.progress(step, doing);
    }

    /// Queues a record of a step. It is applied to the history at once, so an impossible one is
    /// never written.
    pub(crate) fn record(&self, i: usize, generation: Generation, body: Body) -> Result<(), HistoryError> {
        let id = &self.plan.steps[i].id;
        self.history().apply(Some(id), generation, &body)?;
        self.core.push(Some(id), generation, body);
        Ok(())
    }

    /// Calls for the run as a whole become records of the run.
    pub(crate) fn call_log(&self) -> CallLog {
        let core = self.core.clone();
        Arc::new(move |call| core.push(None, Generation::FIRST, call.into()))
    }

    /// Queues a record of the run.
    pub(crate) fn record_run(&self, body: Body) -> Result<(), ExecError> {
        self.history().apply(None, Generation::FIRST, &body).map_err(ExecError::Illegal)?;
        self.core.push(None, Generation::FIRST, body);
        Ok(())
    }

    /// Resolves when everything that is queued now is durable. Whoever acts awaits this first.
    pub(crate) fn committed(&self) -> impl Future<Output = ()> + Send + use<> {
        let core = self.core.clone();
        let target = lock(&core.queue).queued;
        poll_fn(move |cx| {
            let mut queue = lock(&core.queue);
            if queue.durable >= target {
                return Poll::Ready(());
            }
            queue.wakers.push(cx.waker().clone());
            Poll::Pending
        })
    }

    /// How many records are queued.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.core.queue).drafts.len()
    }

    /// One durable commit of all that is queued; then those who wait for it are woken and
    /// the observer is told.
    pub(crate) fn commit(&self, journal: &mut dyn Journal) -> Result<(), ExecError> {
        let batch = std::mem::take(&mut lock(&self.core.queue).drafts);
        if batch.is_empty() {
            return Ok(());
        }
        let n = batch.len() as u64;
        let records = journal.append(batch)?;
        let wakers = {
            let mut queue = lock(&self.core.queue);
            queue.durable += n;
            std::mem::take(&mut queue.wakers)
        };
        for record in records {
            self.emit(EventKind::Recorded(record));
        }
        for waker in wakers {
            waker.wake();
        }
        Ok(())
    }
}
