//! What to do with each step of a run, decided from its records alone.
//!
//! Every function here is pure: no I/O, no clock. `plan_*` decides, the executor acts, and what
//! was decided is shown before it is done. The rows are those of the table in DESIGN section 4.

use std::collections::HashSet;

use switchback_model::event::RecoveryLine;
use switchback_model::plan::Plan;
use switchback_model::record::{Direction, UnwindTarget};
use switchback_model::status::{State, Status};
use switchback_model::{ErrorClass, OpError, StepId};
use thiserror::Error;

use crate::history::{Ended, History};

/// What to do with a step, going forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forward {
    /// Capture, then create. In the next generation where the last one is closed.
    Capture,
    /// In doubt: find; ours is adopted, absent is created again with the stored before-image.
    Find,
    /// Settle and verify.
    Settle,
    /// Nothing.
    Done,
    /// Going forward is not possible from here.
    Refuse,
}

/// What to do with a step, going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backward {
    /// Nothing: it stays, or there is nothing of ours.
    Nothing,
    /// In doubt: find; ours is rolled back, absent and foreign are recorded.
    Find,
    /// Made, but known on weak proof only: nothing of it is touched without a person, unless the
    /// value is gone by now.
    Confirm,
    /// A person marked it as done: going back needs a person.
    AskAboutMarkedDone,
    /// Roll back with the output on record.
    Rollback,
    /// A rollback was started and its outcome is unknown: again, or look first where the proof
    /// may be weak.
    RollbackAgain,
    /// Rolled back: see that it is gone.
    VerifyUndone,
    /// It did not go away the last time: look again, and never delete before a person said whose
    /// it is.
    VerifyUndoneAgain,
}

/// The row of a step, going forward.
#[must_use]
pub fn plan_forward(state: State) -> Forward {
    match state {
        State::Fresh | State::Captured | State::CaptureFailed | State::Undone => Forward::Capture,
        State::CreateStarted | State::CreateFailed => Forward::Find,
        State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed => Forward::Settle,
        State::Verified | State::Skipped | State::MarkedDone => Forward::Done,
        State::RollbackStarted
        | State::RolledBack
        | State::UndoFailed
        | State::RollbackFailed
        | State::RollbackSkipped
        | State::RollbackMarkedDone => Forward::Refuse,
    }
}

/// The row of a step, going back.
#[must_use]
pub fn plan_backward(status: &Status, keep: bool) -> Backward {
    if keep {
        return Backward::Nothing;
    }
    match status.state {
        State::Fresh
        | State::Captured
        | State::CaptureFailed
        | State::Skipped
        | State::Undone
        | State::RollbackSkipped => Backward::Nothing,
        State::CreateStarted | State::CreateFailed => Backward::Find,
        State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed | State::Verified => {
            if status.weak { Backward::Confirm } else { Backward::Rollback }
        }
        State::MarkedDone => Backward::AskAboutMarkedDone,
        State::RollbackStarted => Backward::RollbackAgain,
        State::RollbackFailed => Backward::Rollback,
        State::RolledBack | State::RollbackMarkedDone => Backward::VerifyUndone,
        State::UndoFailed => Backward::VerifyUndoneAgain,
    }
}

/// Why a run cannot do what was asked. The texts end with what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// An unwind has begun and is not finished.
    #[error("the run is unwinding to {target} and can only go on unwinding")]
    Unwinding {
        /// Where it goes.
        target: UnwindTarget,
    },
    /// The run is over.
    #[error("the run has ended: {0}")]
    Ended(&'static str),
    /// A step was left behind, so going forward would make it twice.
    #[error("step `{0}` was left behind by the last unwind (rollback skipped), so the run cannot go forward again")]
    LeftBehind(StepId),
    /// A step stands where going forward is not possible.
    #[error("step `{step}` is {state}, from where the run cannot go forward")]
    Step {
        /// The step.
        step: StepId,
        /// Its state.
        state: State,
    },
    /// Not a phase or step of the plan.
    #[error("the plan has no phase or step `{0}`")]
    UnknownTarget(String),
    /// The checkpoint was never reached.
    #[error("`{0}` has not been reached by this run, so it cannot go back to it")]
    NotReached(String),
    /// An unfinished unwind may only be changed to keep fewer steps.
    #[error("an unwind to {current} is under way; its target can only be changed to keep fewer steps")]
    Narrower {
        /// Where it goes now.
        current: UnwindTarget,
    },
    /// A step beyond the point of no return would have to be undone.
    #[error("step `{step}` cannot be undone: {why}")]
    Pivot {
        /// The step.
        step: StepId,
        /// Why.
        why: String,
    },
}

/// Whether the run may go forward.
///
/// # Errors
/// Why not.
pub fn plan_resume(history: &History) -> Result<(), Refusal> {
    match (history.direction(), history.ended()) {
        (Direction::Unwinding, Ended::No) => return Err(Refusal::Unwinding { target: history.target().clone() }),
        (_, Ended::Unwound) => return Err(Refusal::Ended("everything was unwound")),
        (_, Ended::Refused) => return Err(Refusal::Ended("it was refused before it began")),
        (_, Ended::Completed) => return Err(Refusal::Ended("every step is verified")),
        (_, Ended::No | Ended::PartlyUnwound) => {}
    }
    for (step, status) in history.statuses() {
        if status.state == State::RollbackSkipped {
            return Err(Refusal::LeftBehind(step.clone()));
        }
        if plan_forward(status.state) == Forward::Refuse {
            return Err(Refusal::Step { step: step.clone(), state: status.state });
        }
    }
    Ok(())
}

/// The steps that stay when the run goes back to `target`: those that were done up to that
/// point, in the order of their records, closed so that nothing stays whose dependency goes.
///
/// # Errors
/// When the target does not exist or was not reached, or an unfinished unwind would have to keep
/// more than it does.
pub fn plan_unwind(history: &History, target: &UnwindTarget) -> Result<Vec<StepId>, Refusal> {
    match history.ended() {
        Ended::Unwound => return Err(Refusal::Ended("everything was unwound")),
        Ended::Refused => return Err(Refusal::Ended("it was refused before it began")),
        Ended::No | Ended::Completed | Ended::PartlyUnwound => {}
    }
    let plan = history.plan();
    let keep = match target {
        UnwindTarget::All => Vec::new(),
        UnwindTarget::To(name) => keep_up_to(history, plan, name)?,
    };
    if history.is_unwinding() {
        let current: HashSet<_> = history.keep().iter().collect();
        if keep.iter().any(|s| !current.contains(s)) {
            return Err(Refusal::Narrower { current: history.target().clone() });
        }
    }
    Ok(keep)
}

fn keep_up_to(history: &History, plan: &Plan, name: &str) -> Result<Vec<StepId>, Refusal> {
    let in_scope: Box<dyn Fn(usize) -> bool> = if let Some(p) = plan.phases.iter().position(|n| n == name) {
        let in_phases = move |i: usize| plan.steps[i].phase as usize <= p;
        if (0..plan.steps.len()).any(|i| in_phases(i) && history.done_at(i).is_none()) {
            return Err(Refusal::NotReached(name.to_owned()));
        }
        Box::new(in_phases)
    } else {
        let i = history.index_of(&StepId::new(name)).ok_or_else(|| Refusal::UnknownTarget(name.to_owned()))?;
        let point = history.done_at(i).ok_or_else(|| Refusal::NotReached(name.to_owned()))?;
        Box::new(move |j: usize| history.done_at(j).is_some_and(|at| at <= point))
    };
    // Plan order is a topological order within a phase only after sorting, so close to a fixpoint
    // through the dependencies: a step stays only when everything it depends on stays.
    let n = plan.steps.len();
    let stays = |i: usize| history.done_at(i).is_some() && in_scope(i);
    let mut keep: Vec<bool> = (0..n).map(|i| stays(i) || history.status(i).state == State::Skipped).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for i in 0..n {
            let holds = |d: &StepId| history.index_of(d).is_some_and(|j| keep[j]);
            if keep[i] && !plan.steps[i].needs.iter().all(holds) {
                keep[i] = false;
                changed = true;
            }
        }
    }
    Ok((0..n).filter(|i| keep[*i] && stays(*i)).map(|i| plan.steps[i].id.clone()).collect())
}

/// What recovery will do, for people: only the steps that something is done with.
#[must_use]
pub fn describe(history: &History, direction: Direction, keep: &[StepId]) -> Vec<RecoveryLine> {
    let keep: HashSet<_> = keep.iter().collect();
    let line = |step: &StepId, status: &Status, action: &str| RecoveryLine {
        step: step.clone(),
        status: status.state.to_string(),
        action: action.to_owned(),
    };
    let mut lines: Vec<_> = history
        .statuses()
        .filter_map(|(step, status)| {
            let action = match direction {
                Direction::Forward => match plan_forward(status.state) {
                    Forward::Done => return None,
                    Forward::Capture if status.state == State::Undone => "create again, as the next generation",
                    Forward::Capture => "create",
                    Forward::Find => "in doubt: look it up; adopt it, or create it",
                    Forward::Settle => "it is there: settle and verify",
                    Forward::Refuse => "refuse",
                },
                Direction::Unwinding => match plan_backward(status, keep.contains(step)) {
                    Backward::Nothing => return None,
                    Backward::Find => "in doubt: look it up; roll it back when it is ours",
                    Backward::Confirm => "known on weak proof: a person must confirm, unless it is gone",
                    Backward::AskAboutMarkedDone => "marked as done by a person: a person must confirm",
                    Backward::Rollback => "roll back",
                    Backward::RollbackAgain => "a rollback was under way: roll back again",
                    Backward::VerifyUndone => "rolled back: see that it is gone",
                    Backward::VerifyUndoneAgain => "it did not go away: look again",
                },
            };
            Some(line(step, status, action))
        })
        .collect();
    if direction == Direction::Unwinding {
        lines.reverse();
    }
    lines
}

/// The error that a stuck step is given when a weak proof needs a person.
#[must_use]
pub fn needs_person(step: &StepId, what: &str) -> OpError {
    OpError::new(ErrorClass::Foreign, format!("{what}; only a person can tell whose it is")).with_hint(format!(
        "`switchback adopt {step} --reason ...` if it is ours, `switchback disown {step} --reason ...` if it is not; then `switchback unwind`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of DESIGN section 4, row by row.
    #[test]
    fn every_row_of_the_table() {
        use Backward as B;
        use Forward as F;
        let rows = [
            (State::Fresh, F::Capture, B::Nothing),
            (State::Captured, F::Capture, B::Nothing),
            (State::CaptureFailed, F::Capture, B::Nothing),
            (State::CreateStarted, F::Find, B::Find),
            (State::CreateFailed, F::Find, B::Find),
            (State::Created, F::Settle, B::Rollback),
            (State::Adopted, F::Settle, B::Rollback),
            (State::SettleFailed, F::Settle, B::Rollback),
            (State::VerifyFailed, F::Settle, B::Rollback),
            (State::Verified, F::Done, B::Rollback),
            (State::Skipped, F::Done, B::Nothing),
            (State::MarkedDone, F::Done, B::AskAboutMarkedDone),
            (State::RollbackStarted, F::Refuse, B::RollbackAgain),
            (State::RolledBack, F::Refuse, B::VerifyUndone),
            (State::Undone, F::Capture, B::Nothing),
            (State::UndoFailed, F::Refuse, B::VerifyUndoneAgain),
            (State::RollbackFailed, F::Refuse, B::Rollback),
            (State::RollbackSkipped, F::Refuse, B::Nothing),
            (State::RollbackMarkedDone, F::Refuse, B::VerifyUndone),
        ];
        assert_eq!(rows.len(), State::ALL.len());
        for (state, forward, backward) in rows {
            let status = Status { state, ..Status::default() };
            assert_eq!(plan_forward(state), forward, "{state} forward");
            assert_eq!(plan_backward(&status, false), backward, "{state} backward");
            assert_eq!(plan_backward(&status, true), B::Nothing, "{state} kept");
        }
    }

    #[test]
    fn a_weak_adoption_asks_a_person_whatever_followed_it() {
        for state in [State::Adopted, State::SettleFailed, State::VerifyFailed, State::Verified] {
            let status = Status { state, weak: true, ..Status::default() };
            assert_eq!(plan_backward(&status, false), Backward::Confirm, "{state}");
        }
    }
}
