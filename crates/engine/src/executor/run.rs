//! A whole run: preflight, forward, back, sweep. Which step may start when, and what follows
//! when one does not reach its end.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use switchback_model::event::{EventKind, Outcome};
use switchback_model::facts::Reversibility;
use switchback_model::plan::OnFailure;
use switchback_model::record::{
    Completed, Direction, ForwardStarted, Leftover, Paused, PreflightPassed, Refused, Stuck, Swept, UnwindCause,
    UnwindFinished, UnwindStarted, UnwindTarget,
};
use switchback_model::status::State;
use switchback_model::{ErrorClass, OpError, StepId};
use tokio::time::Instant;

use super::ahead::{foresee, may_come};
use super::control::{Decision, StopReason};
use super::schedule::Schedule;
use super::shared::Shared;
use super::step::{Halt, StepRun};
use super::{ExecError, Setup};
use crate::history::Ended;
use crate::journal::Journal;
use crate::operation::{BoxFuture, Found};
use crate::recovery;

/// A run in the hands of this process.
struct Runner {
    shared: Arc<Shared>,
    journal: Box<dyn Journal>,
}

/// Records that are committed together at most: bounds the memory of a run of many steps.
const MAX_BATCH: usize = 8192;

type StepEnd = (usize, Result<(), Halt>);
type StepFuture = BoxFuture<'static, StepEnd>;

/// How going forward ended.
enum ForwardEnd {
    Completed,
    Reached(StepId),
    Failed(usize, OpError),
    Paused(Option<usize>, OpError),
    Stuck(Vec<(StepId, OpError)>),
    /// The operator wants to go back.
    Back,
}

pub(super) async fn apply(setup: Setup) -> Result<Outcome, ExecError> {
    let mut run = Runner::new(setup);
    run.announce(Direction::Forward, &[]);
    if let Some(outcome) = run.preflight().await? {
        return Ok(outcome);
    }
    run.forward_then_policy().await
}

pub(super) async fn resume(setup: Setup) -> Result<Outcome, ExecError> {
    recovery::plan_resume(&setup.history)?;
    let mut run = Runner::new(setup);
    if run.shared.history().ended() == Ended::PartlyUnwound {
        run.shared.set_direction(Direction::Forward);
        run.shared.record_run(ForwardStarted {}.into())?;
        run.shared.commit(run.journal.as_mut())?;
    }
    run.announce(Direction::Forward, &[]);
    // The process died, or was stopped, before everything was looked at: nothing was done yet.
    if !run.shared.history().preflight_passed() {
        if let Some(outcome) = run.preflight().await? {
            return Ok(outcome);
        }
    } else if let Some(error) = run.ask_providers().await? {
        return run.end_refused_or_paused(error);
    }
    run.forward_then_policy().await
}

pub(super) async fn unwind(setup: Setup, target: UnwindTarget, cause: UnwindCause) -> Result<Outcome, ExecError> {
    let keep = recovery::plan_unwind(&setup.history, &target)?;
    let mut run = Runner::new(setup);
    if let Some(error) = run.ask_providers().await? {
        return run.end_refused_or_paused(error);
    }
    run.back(target, keep, cause).await
}

impl Runner {
    fn new(setup: Setup) -> Self {
        let Setup { journal, history, env, options, observer, gate, control } = setup;
        let shared = Arc::new(Shared::new(history, journal.as_ref(), env, options, observer, gate, control));
        Self { shared, journal }
    }

    /// Says how much is ahead, and what recovery will do, before it is done.
    fn announce(&self, direction: Direction, keep: &[StepId]) {
        let (lines, runbook, n, fresh) = {
            let history = self.shared.history();
            let fresh = history.statuses().all(|(_, s)| s.state == State::Fresh);
            let lines = if fresh { Vec::new() } else { recovery::describe(&history, direction, keep) };
            (lines, history.plan().runbook.clone(), history.plan().steps.len(), fresh)
        };
        let todo = if fresh { n } else { lines.len() };
        self.shared.emit(EventKind::Started {
            runbook,
            direction,
            total: u32::try_from(todo).unwrap_or(u32::MAX),
            already: u32::try_from(n - todo).unwrap_or(u32::MAX),
        });
        if !lines.is_empty() {
            self.shared.emit(EventKind::Recovery(lines));
        }
    }

    /// Commits what is queued and hands the outcome on: nothing is announced before it is durable.
    fn end(&mut self, outcome: Outcome) -> Result<Outcome, ExecError> {
        self.shared.commit(self.journal.as_mut())?;
        self.shared.emit(EventKind::Ended(outcome.clone()));
        Ok(outcome)
    }

    fn pause(&mut self, step: Option<usize>, error: &OpError) -> Result<Outcome, ExecError> {
        let step = step.map(|i| self.shared.plan.steps[i].id.clone());
        let mut why = error.to_string();
        if let Some(hint) = &error.hint {
            why = format!("{why}; {hint}");
        }
        self.shared.record_run(Paused { why: why.clone(), step: step.clone() }.into())?;
        self.end(Outcome::Paused { why, step })
    }

    fn stuck(&mut self, steps: Vec<(StepId, OpError)>) -> Result<Outcome, ExecError> {
        self.shared.record_run(Stuck { steps: steps.clone() }.into())?;
        self.end(Outcome::Stuck { steps })
    }

    /// A target that cannot be asked pauses a run that has begun; one that refuses us does too,
    /// since effects are there already.
    fn end_refused_or_paused(&mut self, error: OpError) -> Result<Outcome, ExecError> {
        self.pause(None, &error)
    }

    /// Who we are, for every target. The error of the first that refuses.
    async fn ask_providers(&mut self) -> Result<Option<OpError>, ExecError> {
        let mut callers: Vec<String> = Vec::new();
        for provider in self.shared.env.providers.clone() {
            match provider.preflight(self.shared.call_log()).await {
                Ok(identity) if callers.contains(&identity.caller) => {}
                Ok(identity) => {
                    callers.push(identity.caller);
                    self.journal.set_caller(&callers.join(", "));
                }
                Err(e) => return Ok(Some(e)),
            }
        }
        Ok(None)
    }

    /// Everything that can be known to stand in the way, before the first effect.
    async fn preflight(&mut self) -> Result<Option<Outcome>, ExecError> {
        let mut reasons: Vec<(Option<StepId>, OpError)> = Vec::new();
        if let Some(error) = self.ask_providers().await? {
            reasons.push((None, error));
        } else {
            let known: Vec<usize> = (0..self.shared.plan.steps.len())
                .filter(|i| self.shared.plan.steps[*i].params.is_known() && self.shared.status(*i).state.is_untouched())
                .collect();
            let mut rested = false;
            let width = self.width();
            let mut next = known.iter().copied();
            let mut running: FuturesUnordered<StepFuture> = FuturesUnordered::new();
            loop {
                while running.len() < width
                    && self.shared.control.stopping().is_none()
                    && let Some(i) = next.next()
                {
                    running.push(self.start(i, true, |run| async move { run.capture(false).await }));
                }
                match self.turn(&mut running).await? {
                    None => break,
                    Some((i, Ok(()))) => self.shared.with_writes(i, |w| w.captured_here = true),
                    // Something it needs is not there yet: it is captured right before its create.
                    Some((i, Err(Halt::Failed(e)))) if may_come(&self.shared.plan.steps[i], &e) => {}
                    Some((i, Err(Halt::Failed(e) | Halt::Paused(e) | Halt::Stuck(e)))) => {
                        reasons.push((Some(self.shared.plan.steps[i].id.clone()), e));
                    }
                    Some((_, Err(Halt::Rested))) => rested = true,
                    Some((_, Err(Halt::Illegal(e)))) => return Err(ExecError::Illegal(e)),
                }
            }
            if self.shared.control.stopping().is_none() {
                reasons.extend(self.foresee().await?);
            }
            if reasons.is_empty() && (rested || next.next().is_some()) {
                return self.pause(None, &OpError::permanent("stopped by the operator")).map(Some);
            }
            if reasons.is_empty() {
                let captured = u32::try_from(known.len()).unwrap_or(u32::MAX);
                let later = u32::try_from(self.shared.plan.steps.len() - known.len()).unwrap_or(u32::MAX);
                self.shared.record_run(PreflightPassed { captured, later }.into())?;
                return Ok(None);
            }
        }
        for (_, error) in &mut reasons {
            // This run ends here, so what the error advises for a run that has begun does not fit.
            if error.class == ErrorClass::Unavailable {
                error.hint = Some(match error.hint.take() {
                    // A command to run first is still the one to run.
                    Some(hint) if !hint.contains("switchback resume") => {
                        format!("{hint}, then `switchback apply` again")
                    }
                    _ => "when that is mended, `switchback apply` again".to_owned(),
                });
            }
        }
        reasons.sort_by_key(|(step, _)| step.as_ref().and_then(|s| self.shared.history().index_of(s)));
        self.shared.record_run(Refused { reasons: reasons.clone() }.into())?;
        self.end(Outcome::Refused { reasons }).map(Some)
    }

    /// What can be said already against steps whose parameters are not all known. Nothing is recorded
    /// of them but their calls: they are captured right before their creates.
    async fn foresee(&mut self) -> Result<Vec<(Option<StepId>, OpError)>, ExecError> {
        let shared = self.shared.clone();
        let later = |i: &usize| !shared.plan.steps[*i].params.is_known() && shared.status(*i).state.is_untouched();
        let looks = (0..shared.plan.steps.len()).filter(later).map(|i| {
            let shared = &self.shared;
            async move {
                let step = &shared.plan.steps[i];
                let op = shared.env.registry.get(&step.op)?;
                let secret = |name: &str| shared.history().secret(name).cloned();
                let said = foresee(op, &shared.run_cx, step, shared.status(i).generation, &secret).await?;
                Some((Some(step.id.clone()), shared.env.secrets.hide_in(said)))
            }
        });
        let found: Vec<_> = futures_util::stream::iter(looks).buffer_unordered(self.width()).collect().await;
        self.shared.commit(self.journal.as_mut())?;
        Ok(found.into_iter().flatten().collect())
    }

    fn width(&self) -> usize {
        self.shared.options.max_parallel.unwrap_or(self.shared.plan.policy.max_parallel).max(1) as usize
    }

    /// Starts one method of a step.
    fn start<F, Fut>(&self, i: usize, forward: bool, method: F) -> StepFuture
    where
        F: FnOnce(StepRun) -> Fut,
        Fut: Future<Output = Result<(), Halt>> + Send + 'static,
    {
        match StepRun::new(self.shared.clone(), i, forward) {
            Ok(run) => {
                let work = method(run);
                Box::pin(async move { (i, work.await) })
            }
            Err(e) => Box::pin(std::future::ready((i, Err(Halt::Stuck(e))))),
        }
    }

    /// The next step that ends; commits whenever no step can go on. `None`: none is running.
    async fn turn(&mut self, running: &mut FuturesUnordered<StepFuture>) -> Result<Option<StepEnd>, ExecError> {
        enum Turn {
            Ended(Option<StepEnd>),
            Commit,
        }
        loop {
            let shared = &self.shared;
            let turn = poll_fn(|cx| match Pin::new(&mut *running).poll_next(cx) {
                Poll::Ready(end) => Poll::Ready(Turn::Ended(end)),
                Poll::Pending if shared.queued() > 0 => Poll::Ready(Turn::Commit),
                Poll::Pending => Poll::Pending,
            })
            .await;
            match turn {
                Turn::Ended(end) => {
                    if self.shared.queued() >= MAX_BATCH {
                        self.shared.commit(self.journal.as_mut())?;
                    }
                    return Ok(end);
                }
                Turn::Commit => self.shared.commit(self.journal.as_mut())?,
            }
        }
    }

    async fn forward_then_policy(&mut self) -> Result<Outcome, ExecError> {
        match self.forward().await? {
            ForwardEnd::Completed => {
                self.shared.record_run(Completed {}.into())?;
                self.end(Outcome::Completed)
            }
            ForwardEnd::Reached(step) => {
                let why = format!("`{step}` was reached");
                self.shared.record_run(Paused { why, step: Some(step.clone()) }.into())?;
                self.end(Outcome::Reached { step })
            }
            ForwardEnd::Paused(step, error) => self.pause(step, &error),
            ForwardEnd::Stuck(steps) => self.stuck(steps),
            ForwardEnd::Back => {
                self.shared.control.work_again();
                if let Err(ExecError::Refused(refusal)) = self.refuse_pivots(&[]).await {
                    return self.pause(None, &OpError::permanent(refusal.to_string()));
                }
                self.back(UnwindTarget::All, Vec::new(), UnwindCause::Asked { reason: None }).await
            }
            ForwardEnd::Failed(i, error) => self.policy(i, error).await,
        }
    }

    /// A step failed for good: what its policy, or the run's, says.
    async fn policy(&mut self, i: usize, error: OpError) -> Result<Outcome, ExecError> {
        let step = &self.shared.plan.steps[i];
        let id = step.id.clone();
        let target = match step.on_failure.as_ref().unwrap_or(&self.shared.plan.policy.on_failure) {
            OnFailure::Pause => return self.pause(Some(i), &error),
            OnFailure::Unwind => UnwindTarget::All,
            OnFailure::UnwindTo(name) => UnwindTarget::To(name.clone()),
        };
        let planned = recovery::plan_unwind(&self.shared.history(), &target);
        let (target, keep) = match planned {
            Ok(keep) => (target, keep),
            // The checkpoint was not reached: the start is the nearest one that was.
            Err(_) => (UnwindTarget::All, Vec::new()),
        };
        self.shared.control.work_again();
        if let Err(ExecError::Refused(refusal)) = self.refuse_pivots(&keep).await {
            return self.pause(Some(i), &OpError::permanent(format!("{error}; {refusal}")));
        }
        let cause = UnwindCause::Failed { step: id.clone(), error: error.clone() };
        self.back(target, keep, cause).await
    }

    /// Goes forward until everything in scope is done, or something stands in the way.
    async fn forward(&mut self) -> Result<ForwardEnd, ExecError> {
        self.shared.set_direction(Direction::Forward);
        let width = self.width();
        let mut schedule = match Schedule::forward(&self.shared) {
            Ok(schedule) => schedule,
            Err(e) => return Err(ExecError::Plan(e)),
        };
        let mut running: FuturesUnordered<StepFuture> = FuturesUnordered::new();
        let mut failed: Option<(usize, OpError)> = None;
        let mut paused: Option<(Option<usize>, OpError)> = None;
        let mut stuck = Vec::new();
        let mut back = false;
        loop {
            // While a person is asked nothing is polled, so nothing may be in flight.
            while running.len() < if self.shared.gate.asks() { 1 } else { width }
                && self.shared.control.stopping().is_none()
                && let Some(i) = schedule.next()
            {
                if self.shared.gate.asks() || self.shared.options.commit_each_step {
                    self.shared.commit(self.journal.as_mut())?;
                }
                match self.shared.gate.before_step(&self.shared.plan.steps[i]).await {
                    Decision::Go => {}
                    Decision::Pause => {
                        paused = Some((Some(i), OpError::permanent("stopped by the operator before this step")));
                        self.shared.control.rest();
                        break;
                    }
                    Decision::Unwind => {
                        back = true;
                        self.shared.control.rest();
                        break;
                    }
                }
                if let Some(error) = self.pivot_in_the_way(i) {
                    paused = Some((Some(i), error));
                    self.shared.control.rest();
                    break;
                }
                running.push(self.start(i, true, StepRun::forward));
            }
            match self.turn(&mut running).await? {
                None => break,
                Some((i, Ok(()))) => schedule.done(i),
                Some((i, Err(halt))) => {
                    match halt {
                        Halt::Failed(e) => {
                            failed.get_or_insert((i, e));
                        }
                        Halt::Paused(e) => {
                            paused.get_or_insert((Some(i), e));
                        }
                        Halt::Stuck(e) => stuck.push((self.shared.plan.steps[i].id.clone(), e)),
                        Halt::Rested => {}
                        Halt::Illegal(e) => return Err(ExecError::Illegal(e)),
                    }
                    self.shared.control.rest();
                }
            }
        }
        Ok(if !stuck.is_empty() {
            ForwardEnd::Stuck(stuck)
        } else if self.shared.control.stopping() == Some(StopReason::Operator) {
            ForwardEnd::Paused(None, OpError::permanent("stopped by the operator"))
        } else if let Some((i, e)) = paused {
            ForwardEnd::Paused(i, e)
        } else if let Some((i, e)) = failed {
            ForwardEnd::Failed(i, e)
        } else if back {
            ForwardEnd::Back
        } else {
            match &self.shared.options.to {
                Some(to) if !schedule.covers_all() => ForwardEnd::Reached(to.clone()),
                _ => ForwardEnd::Completed,
            }
        })
    }

    fn pivot_in_the_way(&self, i: usize) -> Option<OpError> {
        let step = &self.shared.plan.steps[i];
        if self.shared.options.accepted_pivots.contains(&step.id) || self.shared.status(i).state.is_done() {
            return None;
        }
        let run = StepRun::new(self.shared.clone(), i, true).ok()?;
        match run.facts.reversibility {
            Reversibility::Pivot { why } => Some(
                OpError::permanent(format!("step `{}` cannot be undone: {why}", step.id))
                    .with_hint(format!("`switchback resume --accept-pivot {}`", step.id)),
            ),
            _ => None,
        }
    }

    /// # Errors
    /// When a step that is to be undone cannot be.
    async fn refuse_pivots(&mut self, keep: &[StepId]) -> Result<(), ExecError> {
        let keep: HashSet<_> = keep.iter().collect();
        let shared = self.shared.clone();
        for (i, step) in shared.plan.steps.iter().enumerate() {
            if shared.status(i).state.is_undone() || keep.contains(&step.id) {
                continue;
            }
            if let Ok(run) = StepRun::new(shared.clone(), i, false)
                && let Reversibility::Pivot { why } = run.facts.reversibility.clone()
            {
                // In doubt: where it never happened nothing stands in the way.
                if matches!(shared.status(i).state, State::CreateStarted | State::CreateFailed)
                    && let Ok(before) = run.before()
                    && let Ok(Found::Absent | Found::Foreign { .. }) = run.find(&before, false).await
                {
                    continue;
                }
                return Err(recovery::Refusal::Pivot { step: step.id.clone(), why }.into());
            }
        }
        Ok(())
    }

    /// Goes back to `target`, from `UnwindStarted` to `UnwindFinished`.
    async fn back(
        &mut self,
        target: UnwindTarget,
        keep: Vec<StepId>,
        cause: UnwindCause,
    ) -> Result<Outcome, ExecError> {
        self.shared.set_direction(Direction::Unwinding);
        let started = UnwindStarted { target: target.clone(), keep: keep.clone(), cause: cause.clone() };
        self.shared.record_run(started.into())?;
        self.shared.commit(self.journal.as_mut())?;
        self.announce(Direction::Unwinding, &keep);

        let kept: HashSet<StepId> = keep.into_iter().collect();
        let width = self.width();
        let mut schedule = Schedule::back(&self.shared, &kept);
        let mut running: FuturesUnordered<StepFuture> = FuturesUnordered::new();
        let mut paused: Option<(usize, OpError)> = None;
        let mut stuck: Vec<(StepId, OpError)> = Vec::new();
        loop {
            while running.len() < width
                && self.shared.control.stopping().is_none()
                && let Some(i) = schedule.next()
            {
                if self.shared.options.commit_each_step {
                    self.shared.commit(self.journal.as_mut())?;
                }
                running.push(self.start(i, false, StepRun::back));
            }
            match self.turn(&mut running).await? {
                None => break,
                Some((i, Ok(()))) => schedule.done(i),
                // What is stuck holds back only what depends on it.
                Some((i, Err(Halt::Stuck(e) | Halt::Failed(e)))) => {
                    stuck.push((self.shared.plan.steps[i].id.clone(), e));
                }
                Some((i, Err(Halt::Paused(e)))) => {
                    paused.get_or_insert((i, e));
                    self.shared.control.rest();
                }
                Some((_, Err(Halt::Rested))) => {}
                Some((_, Err(Halt::Illegal(e)))) => return Err(ExecError::Illegal(e)),
            }
        }
        if let Some((i, e)) = paused {
            return self.pause(Some(i), &e);
        }
        if self.shared.control.stopping() == Some(StopReason::Operator) {
            return self.pause(None, &OpError::permanent("stopped by the operator"));
        }
        if !stuck.is_empty() {
            return self.stuck(stuck);
        }
        self.shared.commit(self.journal.as_mut())?;
        let left = match self.sweep(&kept).await {
            Ok(left) => left,
            Err(e) => return self.pause(None, &e),
        };
        self.shared.record_run(Swept { left: left.clone() }.into())?;
        if !left.is_empty() {
            let place = |l: &Leftover| l.target.as_ref().map(|t| format!(" in `{t}`")).unwrap_or_default();
            let what: Vec<_> = left.iter().map(|l| format!("{} {}{}", l.resource_type, l.id, place(l))).collect();
            let step = left.first().map_or_else(|| StepId::new(""), |l| StepId::new(&l.step));
            let error = OpError::permanent(format!("still tagged as made by this run: {}", what.join(", ")))
                .with_hint("look at each; delete it, or remove the tags; then `switchback unwind` again");
            return self.stuck(vec![(step, error)]);
        }
        let all = kept.is_empty();
        let residue = self.residue();
        self.shared.record_run(UnwindFinished { target, all, residue: residue.clone() }.into())?;
        let outcome = match cause {
            UnwindCause::Asked { .. } => Outcome::Unwound { all, residue, left },
            UnwindCause::Failed { step, error } => Outcome::FailedAndUnwound { step, error, all, residue, left },
        };
        self.end(outcome)
    }

    /// What stays behind on purpose: declared by the operations, or left by a person.
    fn residue(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (i, step) in self.shared.plan.steps.iter().enumerate() {
            let status = self.shared.status(i);
            match status.state {
                State::RollbackSkipped => out.push(format!("{}: its rollback was skipped", step.id)),
                State::Undone if status.disowned => out.push(format!("{}: what is there was disowned", step.id)),
                State::Undone if status.params.is_some() => {
                    if let Ok(run) = StepRun::new(self.shared.clone(), i, false) {
                        let (id, generation) = (self.shared.run.to_string(), status.generation.to_string());
                        // As in the names of files.
                        let tag = step.id.as_tag_value().replace('/', "_");
                        let named = |r: &String| {
                            r.replace("{run}", &id).replace("{step}", &tag).replace("{generation}", &generation)
                        };
                        out.extend(run.facts.residue.iter().map(|r| format!("{}: {}", step.id, named(r))));
                    }
                }
                _ => {}
            }
        }
        out
    }

    /// Resources that still carry the run's tags and should not be there. Asks again until the
    /// quiet period of the last write is over: tags of deleted things stay visible for a while.
    async fn sweep(&mut self, kept: &HashSet<StepId>) -> Result<Vec<Leftover>, OpError> {
        let disowned: Vec<_> = self.shared.history().disowned().map(|(step, g)| (step.as_tag_value(), g.0)).collect();
        let expected: HashSet<(String, u32)> = self
            .shared
            .plan
            .steps
            .iter()
            .enumerate()
            .filter_map(|(i, step)| {
                let status = self.shared.status(i);
                let stays = kept.contains(&step.id) || status.state == State::RollbackSkipped;
                stays.then(|| (step.id.as_tag_value(), status.generation.0))
            })
            .chain(disowned)
            .collect();
        let give_up = Instant::now() + self.longest_quiet();
        let mut pause = self.shared.options.busy_poll;
        loop {
            let mut left = Vec::new();
            for provider in &self.shared.env.providers {
                left.extend(provider.sweep(self.shared.run, self.shared.call_log()).await?);
            }
            // Two targets of one account both see what belongs to no region.
            let mut seen = HashSet::new();
            left.retain(|l: &Leftover| seen.insert((l.resource_type.clone(), l.id.clone())));
            left.retain(|l| !expected.contains(&(l.step.clone(), l.generation)));
            if left.is_empty() || Instant::now() >= give_up {
                left.sort_by(|a, b| (&a.resource_type, &a.id).cmp(&(&b.resource_type, &b.id)));
                return Ok(left);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn longest_quiet(&self) -> Duration {
        self.shared.quiet_override.unwrap_or(Duration::from_secs(60))
    }
}
