//! The operator's rescue verbs: a person decides what the engine must not decide by itself.
//!
//! Each is journaled with its reason, and each is verified again: what a person says is recorded
//! together with what was seen.

use std::sync::Arc;

use switchback_model::record::{
    Adopted, Body, Json, MarkedDone, Proof, RollbackMarkedDone, RollbackSkipped, Skipped, Undone, UndoneHow,
};
use switchback_model::status::State;
use switchback_model::{OpError, StepId};

use super::shared::Shared;
use super::step::{Halt, StepRun};
use super::{ExecError, Setup};
use crate::operation::{Expect, Found};
use crate::recovery::Refusal;

/// What a person decides about a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Rescue {
    /// It is ours.
    Adopt,
    /// It is not ours, or is accepted as it is.
    Disown,
    /// It is done: created, or (after a failed rollback) undone by hand.
    MarkDone {
        /// Its output, where none is on record.
        output: Option<Json>,
    },
    /// Leave it out, or (after a failed rollback) leave it behind.
    Skip,
    /// Agree to what the step asks.
    Approve {
        /// Who does: a user name on the host.
        by: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Rescued {
    /// Recorded.
    Done {
        /// The state that the step is in now.
        state: State,
        /// What was seen, in words.
        seen: String,
    },
    /// Refused: the step is not where this is possible, or the world does not bear it out.
    Refused(OpError),
}

pub(super) async fn rescue(setup: Setup, step: &StepId, verb: Rescue, reason: &str) -> Result<Rescued, ExecError> {
    let Setup { mut journal, history, env, options, observer, gate, control } = setup;
    let i = history.index_of(step).ok_or_else(|| Refusal::UnknownTarget(step.to_string()))?;
    let shared = Arc::new(Shared::new(history, journal.as_ref(), env, options, observer, gate, control));
    // Leaving a step out must be possible where its parameters are not known.
    if verb == Rescue::Skip && shared.status(i).state.is_untouched() {
        let body = Skipped { reason: reason.to_owned() }.into();
        shared.record(i, shared.status(i).generation, body).map_err(ExecError::Illegal)?;
        shared.commit(journal.as_mut())?;
        return Ok(Rescued::Done { state: State::Skipped, seen: "nothing was made".to_owned() });
    }
    let run = match StepRun::new(shared.clone(), i, true) {
        Ok(run) => run,
        Err(e) => return Ok(Rescued::Refused(e)),
    };
    let rescued = match decide(&run, verb, reason).await {
        Ok((body, seen)) => {
            shared.record(i, shared.status(i).generation, body).map_err(ExecError::Illegal)?;
            Rescued::Done { state: shared.status(i).state, seen }
        }
        Err(Halt::Failed(e) | Halt::Paused(e) | Halt::Stuck(e)) => Rescued::Refused(e),
        Err(Halt::Rested) => Rescued::Refused(OpError::permanent("interrupted")),
        Err(Halt::Illegal(e)) => return Err(ExecError::Illegal(e)),
    };
    shared.commit(journal.as_mut())?;
    Ok(rescued)
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Halt> {
    Err(Halt::Stuck(OpError::permanent(message)))
}

async fn decide(run: &StepRun, verb: Rescue, reason: &str) -> Result<(Body, String), Halt> {
    let status = run.status();
    let reason = reason.to_owned();
    let state = status.state;
    match verb {
        Rescue::Adopt => adopt(run, reason).await,
        Rescue::Disown => {
            let provable = !status.weak && !run.may_be_weak();
            match state {
                State::CreateStarted | State::CreateFailed | State::UndoFailed => {}
                // Before a create was sent nothing of it is ours.
                State::MarkedDone if !provable || status.params.is_none() => {}
                State::RollbackStarted if !provable => {}
                State::Adopted | State::SettleFailed | State::VerifyFailed | State::Verified if status.weak => {}
                State::Adopted
                | State::SettleFailed
                | State::VerifyFailed
                | State::Verified
                | State::MarkedDone
                | State::Created
                | State::RollbackStarted => {
                    return refuse(format!(
                        "step `{}` is {state} and provably made by this run; unwind it, or skip it after a failed rollback",
                        run.id()
                    ));
                }
                _ => return refuse(format!("step `{}` is {state}: there is nothing to disown", run.id())),
            }
            // Closing: no write of ours may land on what stays, or after it is gone.
            run.outlive_unacknowledged().await?;
            let seen = if matches!(state, State::CreateStarted | State::CreateFailed) {
                let before = run.before()?;
                match run.find(&before, false).await? {
                    Found::Ours { proof: Proof::Strong, .. } => {
                        return refuse(format!("what step `{}` made is there and carries this run's mark", run.id()));
                    }
                    Found::Ours { .. } => "an equal value is there and stays".to_owned(),
                    Found::Absent => "nothing is there".to_owned(),
                    Found::Foreign { what } => format!("{what} is there and stays"),
                }
            } else {
                "what is there stays".to_owned()
            };
            Ok((Undone { how: UndoneHow::Disowned, compared: vec![], reason: Some(reason) }.into(), seen))
        }
        Rescue::MarkDone { output } => mark_done(run, output, reason).await,
        Rescue::Approve { by } => match run.bound.approved(&by, &reason) {
            None => refuse(format!("step `{}` asks nobody: it is {}", run.id(), run.step().op)),
            Some(_) if !matches!(state, State::CreateStarted | State::CreateFailed) => {
                refuse(format!("step `{}` is {state}: it does not ask", run.id()))
            }
            Some(Err(why)) => refuse(why),
            Some(Ok(output)) => Ok((
                Adopted { output, proof: Proof::Confirmed, reason: Some(reason) }.into(),
                format!("approved by {by}; `switchback resume` goes on"),
            )),
        },
        Rescue::Skip => match state {
            s if s.is_untouched() => Ok((Skipped { reason }.into(), "nothing was made".to_owned())),
            State::RollbackFailed => {
                Ok((RollbackSkipped { reason }.into(), "what it made stays; it is listed as residue".to_owned()))
            }
            _ => refuse(format!(
                "step `{}` is {state}: only a step that nothing was made for, or whose rollback failed, can be skipped",
                run.id()
            )),
        },
    }
}

async fn adopt(run: &StepRun, reason: String) -> Result<(Body, String), Halt> {
    let status = run.status();
    match status.state {
        State::CreateStarted | State::CreateFailed | State::RollbackStarted | State::UndoFailed => {}
        State::Adopted | State::SettleFailed | State::VerifyFailed | State::Verified if status.weak => {}
        State::MarkedDone if status.before.is_none() => {
            return refuse(format!(
                "step `{}` was never captured, so it is not known what to go back to; undo it by hand, then disown it",
                run.id()
            ));
        }
        State::MarkedDone => {
            let output = run.output()?;
            let seen = seen_by_verify(run, &output).await?.1;
            return Ok((Adopted { output, proof: Proof::Confirmed, reason: Some(reason) }.into(), seen));
        }
        state => return refuse(format!("step `{}` is {state}: there is nothing to adopt", run.id())),
    }
    let before = run.before()?;
    match run.find(&before, false).await? {
        Found::Ours { output, .. } => Ok((
            Adopted { output, proof: Proof::Confirmed, reason: Some(reason) }.into(),
            "it is there and equal to ours".to_owned(),
        )),
        Found::Absent => refuse("nothing is there that could be adopted"),
        Found::Foreign { what } => refuse(format!("{what} is there, which is not what this step makes")),
    }
}

async fn mark_done(run: &StepRun, output: Option<Json>, reason: String) -> Result<(Body, String), Halt> {
    let state = run.status().state;
    match state {
        State::RollbackFailed => {
            Ok((RollbackMarkedDone { reason }.into(), "`switchback unwind` will look whether it is gone".to_owned()))
        }
        State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed => {
            let made = run.output()?;
            if output.is_some_and(|o| o != made) {
                return refuse(format!("what step `{}` made is on record, and it is not that", run.id()));
            }
            let output = made;
            let (verified, seen) = seen_by_verify(run, &output).await?;
            Ok((MarkedDone { reason, output: Some(output), verified }.into(), seen))
        }
        s if s.is_untouched() => {
            let Some(output) = output else {
                return refuse(format!(
                    "step `{}` is {state}, so no output is on record; give it with --output '{{...}}'",
                    run.id()
                ));
            };
            let (verified, seen) = seen_by_verify(run, &output).await?;
            if !verified {
                // Nothing of this step is on record, so what was seen is all there is to go by.
                return refuse(seen);
            }
            Ok((MarkedDone { reason, output: Some(output), verified }.into(), seen))
        }
        State::CreateStarted | State::CreateFailed => refuse(format!(
            "step `{}` is in doubt; `switchback resume` looks it up, or `switchback adopt` confirms it",
            run.id()
        )),
        _ => refuse(format!("step `{}` is {state}: it cannot be marked as done", run.id())),
    }
}

/// Whether `verify` agrees, and what it saw in words.
async fn seen_by_verify(run: &StepRun, output: &Json) -> Result<(bool, String), Halt> {
    run.shared.env.registry.get(&run.step().op).map_or(Ok(()), |op| op.check_output(output)).map_err(Halt::Stuck)?;
    // What a person made is there, so a capture would refuse it; a before-image that says "absent"
    // is an empty object.
    let before = match run.status().before {
        Some(before) => before,
        None => Json::new(&serde_json::json!({})).map_err(|e| Halt::Stuck(OpError::permanent(e.to_string())))?,
    };
    Ok(match run.verify(&before, Some(output), Expect::Created).await? {
        Ok(verdict) if verdict.holds() => (true, "`verify` agrees".to_owned()),
        Ok(verdict) => (false, format!("`verify` disagrees: {}", super::step::disagreement(&verdict.compared).message)),
        Err(e) => (false, format!("`verify` could not look: {e}")),
    })
}
