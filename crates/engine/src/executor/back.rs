//! A step going back: find what is in doubt, roll back, see that it is gone.

use switchback_model::record::{
    Comparison, Json, Proof, RollbackFailed, RollbackStarted, RolledBack, UndoFailed, Undone, UndoneHow,
};
use switchback_model::{ErrorClass, OpError};

use super::step::{Access, Halt, Next, StepRun};
use crate::operation::{Expect, Found, Undo};
use crate::recovery::{Backward, needs_person, plan_backward};

impl StepRun {
    /// Takes the step from where it stands to `Undone`.
    pub(crate) async fn back(self) -> Result<(), Halt> {
        self.rest_here()?;
        let step = self.step();
        if step.protect && !self.shared.options.confirmed.contains(&step.id) {
            return Err(Halt::Paused(
                OpError::permanent(format!("step `{}` is protected", step.id))
                    .with_hint(format!("`switchback unwind ... --confirm {}` undoes it", step.id)),
            ));
        }
        match plan_backward(&self.status(), false) {
            Backward::Nothing => Ok(()),
            Backward::Find => self.back_from_doubt().await,
            Backward::Confirm => {
                self.unless_gone_ask().await?;
                self.start_rollback(None).await
            }
            Backward::AskAboutMarkedDone => {
                Err(Halt::Stuck(needs_person(&step.id, "a person marked the step as done")))
            }
            Backward::Rollback => self.start_rollback(None).await,
            Backward::RollbackAgain => {
                if self.may_be_weak() {
                    self.look_before_rollback().await
                } else {
                    self.roll_back().await
                }
            }
            Backward::VerifyUndone | Backward::VerifyUndoneAgain => self.verify_undone().await,
        }
    }

    /// `create` was started and its outcome never recorded.
    async fn back_from_doubt(&self) -> Result<(), Halt> {
        let before = self.before()?;
        match self.find(&before, false).await? {
            Found::Ours { output, proof: Proof::Strong } => self.start_rollback(Some(output)).await,
            Found::Ours { output, .. } => {
                self.unless_gone_ask().await?;
                self.start_rollback(Some(output)).await
            }
            Found::Absent => self.record(Undone { how: UndoneHow::NeverMade, compared: vec![], reason: None }),
            Found::Foreign { what } => self.record(Undone {
                how: UndoneHow::NotOurs,
                compared: vec![Comparison { what, want: "not ours".into(), got: "not ours".into() }],
                reason: None,
            }),
        }
    }

    /// What is known on weak proof could be another's: nothing of it is touched without a
    /// person, unless it is gone by now.
    async fn unless_gone_ask(&self) -> Result<(), Halt> {
        if let Some(from) = self.believable_from() {
            self.wait_out(from, "waiting before an equal value is looked at again").await?;
        }
        let before = self.before()?;
        match self.find(&before, false).await? {
            Found::Ours { .. } => Err(Halt::Stuck(needs_person(
                self.id(),
                "what is there is equal to ours, but it cannot be proved that this run made it",
            ))),
            Found::Absent => Ok(()),
            // Without a rollback on record: were the value put back, it would be deleted unasked.
            Found::Foreign { what } => Err(Halt::Stuck(
                OpError::drift(format!("{what} is there, neither what this run left nor what was there before"))
                    .with_hint(format!(
                        "`switchback disown {} --reason ...` leaves it; or put it back as it was and `switchback unwind`",
                        self.id()
                    )),
            )),
        }
    }

    /// A rollback of something that may be weakly proved was under way: another could have made
    /// an equal one since.
    async fn look_before_rollback(&self) -> Result<(), Halt> {
        if let Some(from) = self.believable_from() {
            self.wait_out(from, "waiting before the outcome of a rollback is looked up").await?;
        }
        let before = self.before()?;
        match self.find(&before, false).await? {
            Found::Ours { proof: Proof::Strong, .. } => self.roll_back().await,
            Found::Ours { .. } => {
                Err(Halt::Stuck(needs_person(self.id(), "a rollback was under way and an equal value is there")))
            }
            Found::Absent => {
                self.record(RolledBack {})?;
                self.verify_undone().await
            }
            // The rollback itself compares, and says what drifted.
            Found::Foreign { .. } => self.roll_back().await,
        }
    }

    /// Announces the rollback, once no earlier write can land any more, and does it.
    async fn start_rollback(&self, found: Option<Json>) -> Result<(), Halt> {
        self.outlive_unacknowledged().await?;
        self.rest_here()?;
        let output = match found {
            Some(output) => output,
            None => self.output()?,
        };
        self.record(RollbackStarted { output: Some(output) })?;
        self.roll_back().await
    }

    async fn roll_back(&self) -> Result<(), Halt> {
        self.shared.committed().await;
        let before = self.before()?;
        let output = self.output()?;
        let (mut attempt, mut polls) = (0, 0);
        loop {
            let cx = self.cx();
            let believable_from = self.believable_from();
            let called = self.call("rollback", Access::MaybeWrite, self.bound.rollback(&cx, &before, &output)).await;
            // A rollback that found nothing wrote nothing; any other end is the end of an attempt.
            if !matches!(called, Ok(Undo::Nothing)) {
                self.note_write(called.as_ref().err(), tokio::time::Instant::now());
            }
            let error = match called {
                Ok(Undo::Done) => break,
                Ok(Undo::Nothing) => match believable_from {
                    Some(from) => {
                        self.wait_out(from, "waiting before an absence is believed").await?;
                        continue;
                    }
                    None => break,
                },
                Err(e) => e,
            };
            match self.after_error("rollback", Access::MaybeWrite, error, &mut attempt, &mut polls).await? {
                Next::Again => {}
                Next::InDoubt(error) if !self.past_deadline() => {
                    self.pause_before_retry("rollback", error, &mut attempt).await?;
                    if self.may_be_weak() {
                        return Box::pin(self.look_before_rollback()).await;
                    }
                }
                Next::InDoubt(error) => return Err(Halt::Paused(error)),
                Next::GiveUp(error) => {
                    self.record(RollbackFailed { error: error.clone() })?;
                    return Err(Halt::Stuck(self.with_advice(error)));
                }
            }
        }
        self.record(RolledBack {})?;
        self.verify_undone().await
    }

    async fn verify_undone(&self) -> Result<(), Halt> {
        let before = self.before()?;
        let output = self.status().output;
        match self.verify(&before, output.as_ref(), Expect::RolledBack).await? {
            Ok(verdict) if verdict.holds() => {
                self.record(Undone { how: UndoneHow::Verified, compared: verdict.compared, reason: None })
            }
            Ok(verdict) => {
                let what = super::step::disagreement(&verdict.compared).message;
                self.record(UndoFailed { compared: verdict.compared })?;
                Err(Halt::Stuck(needs_person(self.id(), &format!("it was rolled back, and yet: {what}"))))
            }
            // Not seen is not gone: the status stays, and the run can go on.
            Err(error) => Err(Halt::Paused(error)),
        }
    }

    fn with_advice(&self, mut error: OpError) -> OpError {
        if error.hint.is_none() {
            let step = self.id();
            error.hint = Some(match error.class {
                ErrorClass::Drift | ErrorClass::Foreign => format!(
                    "put it back as it was and `switchback unwind` again; or `switchback skip {step} --reason ...` to leave it; or undo it by hand and `switchback mark-done {step} --reason ...`"
                ),
                _ => format!(
                    "mend the cause and `switchback unwind` again; or `switchback skip {step} --reason ...` to leave it; or undo it by hand and `switchback mark-done {step} --reason ...`"
                ),
            });
        }
        error
    }
}
