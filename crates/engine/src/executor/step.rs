//! One step in the hands of the executor: calls with their deadline, breaker and retries, and
//! the quiet-period rules. Which calls are made is said in [`super::forward`] and [`super::back`].

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::plan::PlanStep;
use switchback_model::record::{Body, Comparison, Json, Retried};
use switchback_model::status::{State, Status};
use switchback_model::{ErrorClass, Generation, OpError, OpResult, RunId, StepId};
use tokio::time::Instant;

use super::shared::{Shared, lock};
use crate::cx::{Cx, INTERRUPTED};
use crate::history::HistoryError;
use crate::operation::{BoundOperation, Expect, Found, Verdict};

/// How often a wait says that it still waits.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// Why a step did not reach its end.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed for good, and that is on record. Policy decides.
    Failed(OpError),
    /// It cannot go on now; its status stays as it is.
    Paused(OpError),
    /// The operator, or another step's failure, brought it to rest.
    Rested,
    /// It needs a person.
    Stuck(OpError),
    /// A defect of the engine.
    Illegal(HistoryError),
}

impl From<HistoryError> for Halt {
    fn from(e: HistoryError) -> Self {
        Self::Illegal(e)
    }
}

/// A step, bound to its parameters.
pub(crate) struct StepRun {
    pub shared: Arc<Shared>,
    pub i: usize,
    pub bound: Box<dyn BoundOperation>,
    pub settles: bool,
    pub facts: Facts,
    pub params: Json,
    pub generation: Generation,
    pub token: String,
    quiet: Duration,
    /// Put off by every wait for a quiet period: such a wait is ours, not the step's.
    deadline: Mutex<Instant>,
}

/// Whether a call may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    /// It writes, or finds that there is nothing to write. The caller notes which.
    MaybeWrite,
}

/// What a retry loop does with an error.
pub(crate) enum Next {
    /// A pause has passed: call again.
    Again,
    /// It may have happened.
    InDoubt(OpError),
    /// It will not succeed.
    GiveUp(OpError),
}

impl StepRun {
    /// Binds the step of that index, for working in the given direction.
    pub(crate) fn new(shared: Arc<Shared>, i: usize, forward: bool) -> Result<Self, OpError> {
        let step = &shared.plan.steps[i];
        let status = shared.status(i);
        let op = shared
            .env
            .registry
            .get(&step.op)
            .ok_or_else(|| OpError::permanent(format!("this binary has no operation `{}`", step.op)))?;
        let opens_next = forward && status.state == State::Undone;
        let params = shared.history().params(i, opens_next).map_err(|e| OpError::permanent(e.to_string()))?;
        let bound = op.bind(&params).map_err(|errors| {
            let text: Vec<_> = errors
                .into_iter()
                .map(|e| if e.path.is_empty() { e.message } else { format!("{}: {}", e.path.join("."), e.message) })
                .collect();
            OpError::permanent(text.join("; "))
        })?;
        let params = Json::new(&params).map_err(|e| OpError::permanent(e.to_string()))?;
        let facts = bound.facts();
        let generation = if opens_next { status.generation.next() } else { status.generation };
        // A step that is given little time to be made is not given little time to be undone.
        let time = match step.timeout {
            Some(given) if forward => given,
            Some(given) => given.max(facts.rollback_deadline),
            None if forward => facts.create_deadline,
            None => facts.rollback_deadline,
        };
        Ok(Self {
            quiet: if facts.quiet.is_zero() { Duration::ZERO } else { shared.quiet_override.unwrap_or(facts.quiet) },
            deadline: Mutex::new(Instant::now() + time),
            token: client_token(shared.run, &step.id, generation),
            settles: op.settles(),
            bound,
            facts,
            params,
            generation,
            i,
            shared,
        })
    }

    pub(crate) fn step(&self) -> &PlanStep {
        &self.shared.plan.steps[self.i]
    }

    pub(crate) fn id(&self) -> &StepId {
        &self.step().id
    }

    pub(crate) fn status(&self) -> Status {
        self.shared.status(self.i)
    }

    pub(crate) fn cx(&self) -> Cx {
        Cx::new(self.shared.run_cx.clone(), self.id().clone(), self.generation, &self.token, self.deadline())
            .on_target(self.step().provider.as_deref())
    }

    pub(crate) fn record(&self, body: impl Into<Body>) -> Result<(), Halt> {
        Ok(self.shared.record(self.i, self.generation, body.into())?)
    }

    pub(crate) fn past_deadline(&self) -> bool {
        Instant::now() >= self.deadline()
    }

    fn deadline(&self) -> Instant {
        *lock(&self.deadline)
    }

    /// From when on "absent", "foreign", "nothing to undo" and "verify disagrees" are believed.
    pub(crate) fn believable_from(&self) -> Option<Instant> {
        self.shared.writes(self.i).last_attempt.map(|at| at + self.quiet).filter(|at| *at > Instant::now())
    }

    /// Until when a write of unknown outcome may still land.
    pub(crate) fn unacknowledged_until(&self) -> Option<Instant> {
        self.shared.writes(self.i).unacknowledged.map(|at| at + self.quiet).filter(|at| *at > Instant::now())
    }

    /// Only a weak proof may be possible.
    pub(crate) fn may_be_weak(&self) -> bool {
        self.facts.proof == ProofKind::ByFind
    }

    /// Comes to rest here when the run is stopping.
    pub(crate) fn rest_here(&self) -> Result<(), Halt> {
        if self.shared.control.stopping().is_some() { Err(Halt::Rested) } else { Ok(()) }
    }

    /// A step that depends on this one and whose rollback a person skipped.
    fn left_behind(&self) -> Option<StepId> {
        let history = self.shared.history();
        let mut dependants = self.shared.plan.steps.iter().enumerate().filter(|(_, s)| s.needs.contains(self.id()));
        dependants.find(|(i, _)| history.status(*i).state == State::RollbackSkipped).map(|(_, step)| step.id.clone())
    }

    /// Sleeps until `until`, and says so from time to time, unless the run is stopping.
    pub(crate) async fn sleep_until(&self, until: Instant, doing: &str) -> Result<(), Halt> {
        loop {
            self.shared.progress(self.id(), doing);
            let next = until.min(Instant::now() + SAY_AGAIN);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.shared.control.stopped() => return Err(Halt::Rested),
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Waits for the end of a quiet period. The deadline moves with it.
    pub(crate) async fn wait_out(&self, until: Instant, doing: &str) -> Result<(), Halt> {
        let start = Instant::now();
        let waited = self.sleep_until(until, doing).await;
        *lock(&self.deadline) += start.elapsed();
        waited
    }

    /// Waits until no write of unknown outcome can land any more (DESIGN section 3, turning and
    /// closing).
    pub(crate) async fn outlive_unacknowledged(&self) -> Result<(), Halt> {
        while let Some(until) = self.unacknowledged_until() {
            self.wait_out(until, "waiting until no unanswered write can land any more").await?;
        }
        self.shared.with_writes(self.i, |w| w.unacknowledged = None);
        Ok(())
    }

    /// One call of one method, with breaker, deadline and the clock of writes.
    pub(crate) async fn call<T>(
        &self,
        method: &str,
        access: Access,
        call: impl Future<Output = OpResult<T>>,
    ) -> OpResult<T> {
        let service = self.service();
        if let Some(service) = service {
            lock(&self.shared.breakers).check(service, Instant::now())?;
        }
        let begin = Instant::now();
        let result = tokio::time::timeout_at(self.deadline(), call).await.unwrap_or_else(|_| {
            let class = if access == Access::Read { ErrorClass::Permanent } else { ErrorClass::Ambiguous };
            let doing = self.shared.doing_since(self.id(), begin).map(|doing| format!(", {doing}")).unwrap_or_default();
            Err(OpError::new(class, format!("the deadline was reached during {method}{doing}")))
        });
        let result = result.map_err(|e| self.shared.env.secrets.hide_in(e));
        let now = Instant::now();
        if let Some(service) = service {
            lock(&self.shared.breakers).note(service, result.as_ref().err(), now);
        }
        if access == Access::Write {
            self.note_write(result.as_ref().err(), now);
        }
        result
    }

    /// An attempt to write has ended.
    pub(crate) fn note_write(&self, error: Option<&OpError>, now: Instant) {
        self.shared.with_writes(self.i, |w| {
            w.last_attempt = Some(now);
            // An interrupted wait comes after the writes of its method were answered.
            if error.is_some_and(|e| e.class == ErrorClass::Ambiguous) {
                w.unacknowledged = Some(now);
            }
        });
    }

    fn service(&self) -> Option<&str> {
        let f = &self.facts;
        f.creates.first().or(f.reads.first()).and_then(|c| c.split(':').next())
    }

    /// What to do after an error: pauses and says `Again`, or hands the error on. `attempt`
    /// counts the failed attempts, `polls` the times it was busy.
    pub(crate) async fn after_error(
        &self,
        method: &str,
        access: Access,
        error: OpError,
        attempt: &mut u32,
        polls: &mut u32,
    ) -> Result<Next, Halt> {
        match error.class {
            ErrorClass::Unavailable => {
                if error.code.as_deref() == Some(INTERRUPTED) {
                    return Err(Halt::Rested);
                }
                Err(Halt::Paused(error))
            }
            ErrorClass::Ambiguous if access != Access::Read => Ok(Next::InDoubt(error)),
            ErrorClass::Transient | ErrorClass::Ambiguous => {
                if self.past_deadline() {
                    return Ok(Next::GiveUp(error));
                }
                self.pause_before_retry(method, error, attempt).await?;
                Ok(Next::Again)
            }
            ErrorClass::Busy => {
                if let Some(holder) = self.left_behind() {
                    // It was left on purpose, so waiting for it to go is in vain.
                    return Ok(Next::GiveUp(OpError {
                        message: format!("{}; `{holder}`, which was left behind, hangs on it", error.message),
                        ..error
                    }));
                }
                let pause = self.shared.options.busy_poll * (1 << (*polls).min(4));
                *polls += 1;
                let until = Instant::now() + pause;
                // A call that is made at the deadline would be sent and not be waited for.
                if until >= self.deadline() {
                    return Ok(Next::GiveUp(OpError {
                        message: format!("the deadline was reached, still: {}", error.message),
                        ..error
                    }));
                }
                self.sleep_until(until, &format!("waiting: {}", error.message)).await?;
                Ok(Next::Again)
            }
            _ => Ok(Next::GiveUp(error)),
        }
    }

    /// Counts a failed attempt and waits, or pauses the run when there were enough.
    pub(crate) async fn pause_before_retry(&self, method: &str, error: OpError, attempt: &mut u32) -> Result<(), Halt> {
        *attempt += 1;
        if *attempt >= self.step().attempts.unwrap_or(self.shared.options.attempts) {
            return Err(Halt::Paused(error));
        }
        let pause = lock(&self.shared.backoff).pause(*attempt);
        self.record(Retried {
            method: method.to_owned(),
            attempt: *attempt,
            error,
            delay_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        })?;
        self.sleep_until(Instant::now() + pause, "waiting before the next attempt").await
    }

    /// Calls `find` until its answer can be believed. An error pauses the run: the status stays.
    pub(crate) async fn find(&self, before: &Json, believe_absence_at_once: bool) -> Result<Found<Json>, Halt> {
        let (mut attempt, mut polls) = (0, 0);
        loop {
            let cx = self.cx();
            match self.call("find", Access::Read, self.bound.find(&cx, before)).await {
                Ok(found @ Found::Ours { .. }) => return Ok(found),
                Ok(Found::Absent) if believe_absence_at_once => return Ok(Found::Absent),
                Ok(found) => match self.believable_from() {
                    Some(from) => self.wait_out(from, "waiting before an absence is believed").await?,
                    None => return Ok(found),
                },
                Err(e) => match self.after_error("find", Access::Read, e, &mut attempt, &mut polls).await? {
                    Next::Again => {}
                    Next::InDoubt(e) | Next::GiveUp(e) => return Err(Halt::Paused(e)),
                },
            }
        }
    }

    /// Calls `verify` until its verdict can be believed: a disagreement only after the quiet
    /// period, an agreement only when no write of unknown outcome can still land.
    pub(crate) async fn verify(
        &self,
        before: &Json,
        output: Option<&Json>,
        want: Expect,
    ) -> Result<Result<Verdict, OpError>, Halt> {
        let (mut attempt, mut polls, mut pause) = (0, 0, self.shared.options.busy_poll);
        loop {
            let cx = self.cx();
            let error = match self.call("verify", Access::Read, self.bound.verify(&cx, before, output, want)).await {
                Ok(mut verdict) => {
                    if want == Expect::Created {
                        self.check_in_cel(&mut verdict, output);
                    }
                    if verdict.holds() {
                        if self.unacknowledged_until().is_none() {
                            return Ok(Ok(verdict));
                        }
                        self.outlive_unacknowledged().await?;
                    } else {
                        let Some(from) = self.believable_from() else { return Ok(Ok(verdict)) };
                        self.wait_out(from.min(Instant::now() + pause), "waiting for reads to catch up").await?;
                        pause *= 2;
                    }
                    continue;
                }
                Err(e) => e,
            };
            match self.after_error("verify", Access::Read, error, &mut attempt, &mut polls).await? {
                Next::Again => {}
                Next::InDoubt(e) | Next::GiveUp(e) => return Ok(Err(e)),
            }
        }
    }

    /// The checks that the runbook adds.
    fn check_in_cel(&self, verdict: &mut Verdict, output: Option<&Json>) {
        super::verify::check_in_cel(&self.step().verify, verdict, output);
    }
}

/// Whether everything agreed, as an error that names what did not.
pub(crate) fn disagreement(compared: &[Comparison]) -> OpError {
    let text: Vec<_> = compared
        .iter()
        .filter(|c| !c.holds())
        .map(|c| format!("{} should be {}, is {}", c.what, c.want, c.got))
        .collect();
    OpError::permanent(text.join("; "))
}

/// 32 hex digits over run, step and generation.
pub(crate) fn client_token(run: RunId, step: &StepId, generation: Generation) -> String {
    let mut hash = Sha256::new();
    hash.update(run.as_bytes());
    hash.update(generation.0.to_be_bytes());
    hash.update(step.as_str().as_bytes());
    switchback_model::canonical::hex(&hash.finalize()[..16])
}
