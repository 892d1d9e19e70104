//! What an operation may use: clock, ids, ownership tags, deadline, progress, contexts, secrets.
//!
//! Nothing else: an operation reads neither the environment nor the clock behind the back of
//! its [`Cx`]. Time that passes is tokio's, so that a test can pause it; the time of day is the
//! [`Clock`]'s.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use switchback_model::record::Called;
use switchback_model::{ErrorClass, Generation, OpError, OpResult, RunId, SecretRef, StepId};
use tokio::time::Instant;

use crate::executor::Control;
use crate::secrets::Secrets;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now, in UTC. For people: nothing is ordered by it.
    fn now(&self) -> Timestamp;
}

/// Checks before a write call that this process still is the run's executor.
pub trait Fence: Send + Sync {
    /// Whether the epoch in the journal is still ours.
    ///
    /// # Errors
    /// Class `Unavailable` when another executor has taken over, or the journal cannot be read.
    fn check(&self) -> OpResult<()>;
}

/// Where an operation's progress and calls go.
pub trait CxSink: Send + Sync {
    /// The step is doing this now (without the time, which the sink adds).
    fn progress(&self, step: &StepId, doing: &str);
    /// A call was made on behalf of the step.
    fn called(&self, step: &StepId, generation: Generation, call: Called);
}

/// Things that operations share, found by type, and by the name of the target where a plan has
/// several: AWS clients, database pools.
#[derive(Default, Clone)]
pub struct Contexts(HashMap<(TypeId, Option<String>), Arc<dyn Any + Send + Sync>>);

impl Contexts {
    /// No contexts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a context, in place of an earlier one of the same type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, context: T) -> Self {
        self.0.insert((TypeId::of::<T>(), None), Arc::new(context));
        self
    }

    /// Adds the context of the target of that name, `aws.west`.
    #[must_use]
    pub fn with_named<T: Any + Send + Sync>(mut self, target: impl Into<String>, context: T) -> Self {
        self.0.insert((TypeId::of::<T>(), Some(target.into())), Arc::new(context));
        self
    }

    /// The context of type `T` of the target of that name; without a name, of the default one.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self, target: Option<&str>) -> Option<&T> {
        self.0.get(&(TypeId::of::<T>(), target.map(str::to_owned))).and_then(|c| c.downcast_ref())
    }
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contexts({})", self.0.len())
    }
}

/// What all steps of a run share.
pub struct RunCx {
    /// The run.
    pub run: RunId,
    /// The prefix of ownership tags, `switchback` by default.
    pub tag_prefix: String,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// AWS clients and such.
    pub contexts: Contexts,
    /// The values of secrets.
    pub secrets: Secrets,
    /// Checked before each write call.
    pub fence: Arc<dyn Fence>,
    /// Where progress and calls go.
    pub sink: Arc<dyn CxSink>,
    /// Interrupts waits when the run is to come to rest.
    pub control: Control,
}

/// What one step's operation may use.
#[derive(Clone)]
pub struct Cx {
    shared: Arc<RunCx>,
    step: StepId,
    target: Option<Arc<str>>,
    generation: Generation,
    token: Arc<str>,
    deadline: Instant,
}

impl Cx {
    /// The context of one step. `token` is the client token that is journaled with the intent.
    #[must_use]
    pub fn new(shared: Arc<RunCx>, step: StepId, generation: Generation, token: &str, deadline: Instant) -> Self {
        Self { shared, step, target: None, generation, token: token.into(), deadline }
    }

    /// With the target that the plan names for the step, instead of the default one.
    #[must_use]
    pub fn on_target(mut self, name: Option<&str>) -> Self {
        self.target = name.map(Arc::from);
        self
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.shared.run
    }

    /// The step.
    #[must_use]
    pub fn step(&self) -> &StepId {
        &self.step
    }

    /// The step's generation.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The client token of this step's create: 32 hex digits over run, step and generation.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The ownership tags that go into the create call: run, step and generation.
    #[must_use]
    pub fn ownership_tags(&self) -> [(String, String); 3] {
        let prefix = &self.shared.tag_prefix;
        [
            (format!("{prefix}:run"), self.shared.run.to_string()),
            (format!("{prefix}:step"), self.step.as_tag_value()),
            (format!("{prefix}:generation"), self.generation.to_string()),
        ]
    }

    /// The prefix of ownership tags.
    #[must_use]
    pub fn tag_prefix(&self) -> &str {
        &self.shared.tag_prefix
    }

    /// The value of a secret. It goes into the call that needs it and nowhere else.
    ///
    /// # Errors
    /// Class `Unavailable` when this process was not given it.
    pub fn secret(&self, of: &SecretRef) -> OpResult<&SecretString> {
        self.shared.secrets.get(of)
    }

    /// The context of type `T` of the step's target.
    ///
    /// # Errors
    /// Class `Permanent` when the caller of the engine gave none.
    pub fn get<T: Any + Send + Sync>(&self) -> OpResult<&T> {
        self.shared.contexts.get::<T>(self.target.as_deref()).ok_or_else(|| {
            OpError::permanent(format!("no {} is configured for this run", std::any::type_name::<T>()))
                .with_hint("name the target in the runbook (`target:`)")
        })
    }

    /// The context of type `T` that all targets share.
    pub(crate) fn shared_context<T: Any + Send + Sync>(&self) -> OpResult<&T> {
        self.shared
            .contexts
            .get::<T>(None)
            .ok_or_else(|| OpError::permanent(format!("no {} is configured for this run", std::any::type_name::<T>())))
    }

    /// Whether this process may still write. Called right before each write call.
    ///
    /// # Errors
    /// Class `Unavailable` when another executor has taken over.
    pub fn check_fence(&self) -> OpResult<()> {
        self.shared.fence.check()
    }

    /// Records a call that was made.
    pub fn called(&self, call: Called) {
        self.shared.sink.called(&self.step, self.generation, call);
    }

    /// Says what the step is doing or waiting for, without the time.
    pub fn progress(&self, doing: &str) {
        self.shared.sink.progress(&self.step, doing);
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// When the step's time is over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Polls until `poll` returns a value, with pauses that grow from `first` to sixteen times
    /// it, in a long wait to a sixteenth of what was waited so far (a minute at most), and says
    /// `waiting_for` meanwhile.
    ///
    /// # Errors
    /// What `poll` returns; class `Permanent` when the deadline is reached; class `Unavailable`
    /// when the run is to come to rest (the wait goes on after a resume).
    pub async fn wait_for<T, F, Fut>(&self, waiting_for: &str, first: Duration, mut poll: F) -> OpResult<T>
    where
        F: FnMut() -> Fut + Send,
        Fut: Future<Output = OpResult<Option<T>>> + Send,
        T: Send,
    {
        let begin = Instant::now();
        let mut pause = first;
        loop {
            if let Some(value) = poll().await? {
                return Ok(value);
            }
            self.pause(waiting_for, pause).await?;
            // What takes an hour is not asked about every few seconds.
            let long = (begin.elapsed() / 16).min(LONGEST_PAUSE);
            pause = (pause * 2).min(long.max(first * 16));
        }
    }

    /// Lets so much time pass, or what is left of the step's, and says `waiting_for` meanwhile.
    ///
    /// # Errors
    /// Class `Permanent` when the deadline was reached before; class `Unavailable` when the run is to come to
    /// rest (the wait goes on after a resume).
    pub async fn pause(&self, waiting_for: &str, time: Duration) -> OpResult<()> {
        self.progress(waiting_for);
        let now = Instant::now();
        if now >= self.deadline {
            let message = format!("the deadline was reached while {waiting_for}");
            return Err(OpError::permanent(message).with_hint("give the step a longer `timeout:`"));
        }
        tokio::select! {
            () = tokio::time::sleep(time.min(self.deadline - now)) => Ok(()),
            () = self.shared.control.stopped() => Err(interrupted(waiting_for)),
        }
    }
}

/// The longest pause between two polls, where the first pauses do not lead to longer ones.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The code of the error that interrupts a wait.
pub(crate) const INTERRUPTED: &str = "Interrupted";

fn interrupted(doing: &str) -> OpError {
    OpError::new(ErrorClass::Unavailable, format!("interrupted while {doing}")).with_code(INTERRUPTED)
}

impl std::fmt::Debug for Cx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cx({}/{})", self.step, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Nothing;

    impl Clock for Nothing {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    impl Fence for Nothing {
        fn check(&self) -> OpResult<()> {
            Ok(())
        }
    }

    impl CxSink for Nothing {
        fn progress(&self, _: &StepId, _: &str) {}
        fn called(&self, _: &StepId, _: Generation, _: Called) {}
    }

    fn cx(time: Duration) -> Cx {
        let shared = RunCx {
            run: "00000000-0000-0000-0000-000000000007".parse().expect("an id"),
            tag_prefix: "switchback".into(),
            clock: Arc::new(Nothing),
            contexts: Contexts::new(),
            secrets: Secrets::none(),
            fence: Arc::new(Nothing),
            sink: Arc::new(Nothing),
            control: Control::new(),
        };
        Cx::new(Arc::new(shared), StepId::new("a"), Generation::FIRST, "", Instant::now() + time)
    }

    /// How often a wait asks that is over after so long.
    async fn polls(over: Duration) -> u32 {
        let (cx, end, polls) = (cx(over * 2), Instant::now() + over, AtomicU32::new(0));
        let poll = || async {
            polls.fetch_add(1, Ordering::Relaxed);
            Ok((Instant::now() >= end).then_some(()))
        };
        cx.wait_for("waiting", Duration::from_millis(250), poll).await.expect("in time");
        assert!(Instant::now() - end <= over / 8, "it is noticed late: {:?}", Instant::now() - end);
        polls.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_asks_less_and_less_and_still_notices_the_end() {
        assert_eq!(polls(Duration::from_secs(30)).await, 12);
        let two_hours = polls(Duration::from_secs(7200)).await;
        assert!((120..200).contains(&two_hours), "{two_hours}");
    }
}
