//! A step going forward: capture, create, settle, verify.

use switchback_model::record::{
    Adopted, CaptureFailed, Captured, CreateFailed, CreateStarted, Created, Json, Proof, SettleFailed, Verified,
    VerifyFailed,
};
use switchback_model::status::State;
use switchback_model::{ErrorClass, OpError};

use super::step::{Access, Halt, Next, StepRun, disagreement};
use crate::operation::{Expect, Found};
use crate::recovery::{Forward, plan_forward};

/// How an attempt to create ended.
enum Attempt {
    Made,
    /// It may have happened; or (`true`) a thing of that identity is there.
    LookUp(OpError, bool),
}

impl StepRun {
    /// Takes the step from where it stands to `Verified`.
    pub(crate) async fn forward(self) -> Result<(), Halt> {
        // What an earlier process left in doubt is a person's decision when it is foreign now;
        // what this process met is a failure, and policy decides.
        let resumed = matches!(self.status().state, State::CreateStarted | State::CreateFailed);
        loop {
            match plan_forward(self.status().state) {
                Forward::Done => return Ok(()),
                Forward::Refuse => {
                    return Err(Halt::Stuck(OpError::permanent(format!("the step is {}", self.status().state))));
                }
                Forward::Capture => {
                    if !self.shared.writes(self.i).captured_here {
                        self.capture(true).await?;
                    }
                    self.create(resumed).await?;
                }
                Forward::Find => {
                    if !self.adopt_or(resumed, false, true).await? {
                        self.create(resumed).await?;
                    }
                }
                Forward::Settle => {
                    let output = self.settle().await?;
                    self.verify_created(&output).await?;
                }
            }
        }
    }

    /// Captures and records what was there.
    pub(crate) async fn capture(&self, patient: bool) -> Result<(), Halt> {
        // A next generation must not take its own older resource, still visible, for a foreign one.
        if let Some(from) = self.believable_from() {
            self.wait_out(from, "waiting until the last undo is visible everywhere").await?;
        }
        let (mut attempt, mut polls) = (0, 0);
        loop {
            let cx = self.cx();
            let error = match self.call("capture", Access::Read, self.bound.capture(&cx)).await {
                Ok(before) => return self.record(Captured { before }),
                Err(e) if e.class == ErrorClass::Busy && !patient => return Err(Halt::Failed(e)),
                Err(e) => e,
            };
            match self.after_error("capture", Access::Read, error, &mut attempt, &mut polls).await? {
                Next::Again => {}
                Next::InDoubt(error) | Next::GiveUp(error) => {
                    self.record(CaptureFailed { error: error.clone() })?;
                    return Err(Halt::Failed(error));
                }
            }
        }
    }

    /// Announces and makes the one call that gives the thing its identity, until it is there.
    async fn create(&self, resumed: bool) -> Result<(), Halt> {
        let (mut lost, mut doubt) = (0, resumed);
        loop {
            self.rest_here()?;
            self.record(CreateStarted { token: self.token.clone(), params: self.params.clone() })?;
            self.shared.committed().await;
            let before = self.before()?;
            match self.attempt_create(&before).await? {
                Attempt::Made => return Ok(()),
                Attempt::LookUp(error, exists) => {
                    doubt |= !exists;
                    if self.adopt_or(resumed, exists, doubt).await? {
                        return Ok(());
                    }
                    // Absent: it may be created again, with the before-image on record.
                    self.pause_before_retry("create", error, &mut lost).await?;
                }
            }
        }
    }

    async fn attempt_create(&self, before: &Json) -> Result<Attempt, Halt> {
        let (mut attempt, mut polls) = (0, 0);
        loop {
            let cx = self.cx();
            let error = match self.call("create", Access::Write, self.bound.create(&cx, before)).await {
                Ok(output) => {
                    self.record(Created { output })?;
                    return Ok(Attempt::Made);
                }
                Err(e) if e.class == ErrorClass::AlreadyExists => return Ok(Attempt::LookUp(e, true)),
                Err(e) => e,
            };
            match self.after_error("create", Access::Write, error, &mut attempt, &mut polls).await? {
                Next::Again => {}
                Next::InDoubt(error) => return Ok(Attempt::LookUp(error, false)),
                Next::GiveUp(error) => {
                    self.record(CreateFailed { error: error.clone() })?;
                    return Err(Halt::Failed(error));
                }
            }
        }
    }

    /// In doubt: adopts what is ours and says `true`; `false` when nothing is there.
    async fn adopt_or(&self, resumed: bool, exists: bool, doubt: bool) -> Result<bool, Halt> {
        let before = self.before()?;
        match self.find(&before, self.facts.unique && !exists).await? {
            // Every call of ours was answered with a refusal, so an equal value is another's.
            Found::Ours { proof, .. } if exists && !doubt && proof != Proof::Strong => {
                let error = OpError::foreign("an equal value is there and was not made by this run");
                self.record(CreateFailed { error: error.clone() })?;
                Err(Halt::Failed(error))
            }
            Found::Ours { output, proof } => {
                // `find` never speaks for a person.
                let proof = if proof == Proof::Strong { Proof::Strong } else { Proof::Weak };
                self.record(Adopted { output, proof, reason: None })?;
                Ok(true)
            }
            Found::Absent => Ok(false),
            Found::Foreign { what } => {
                let error = OpError::foreign(format!("{what} is there and was not made by this run"));
                if resumed {
                    return Err(Halt::Stuck(error.with_hint(
                        "`switchback unwind --all` leaves it alone; or remove it and `switchback resume`",
                    )));
                }
                self.record(CreateFailed { error: error.clone() })?;
                Err(Halt::Failed(error))
            }
        }
    }

    /// Settles until it converges, and returns the newest output.
    async fn settle(&self) -> Result<Json, Halt> {
        let mut output = self.output()?;
        if !self.settles {
            return Ok(output);
        }
        self.shared.committed().await;
        self.rest_here()?;
        let before = self.before()?;
        let (mut attempt, mut polls) = (0, 0);
        loop {
            let cx = self.cx();
            let error = match self.call("settle", Access::Write, self.bound.settle(&cx, &before, &output)).await {
                Ok(settled) => {
                    output = settled;
                    return Ok(output);
                }
                Err(e) => e,
            };
            match self.after_error("settle", Access::Write, error, &mut attempt, &mut polls).await? {
                Next::Again => {}
                // Settling converges, so what may have happened may happen again.
                Next::InDoubt(error) if !self.past_deadline() => {
                    self.pause_before_retry("settle", error, &mut attempt).await?;
                }
                Next::InDoubt(error) | Next::GiveUp(error) => {
                    self.record(SettleFailed { error: error.clone() })?;
                    return Err(Halt::Failed(error));
                }
            }
        }
    }

    async fn verify_created(&self, output: &Json) -> Result<(), Halt> {
        let before = self.before()?;
        let (error, compared) = match self.verify(&before, Some(output), Expect::Created).await? {
            Ok(verdict) if verdict.holds() => {
                let changed = self.status().output.as_ref() != Some(output);
                return self.record(Verified { output: changed.then(|| output.clone()), compared: verdict.compared });
            }
            Ok(verdict) => (disagreement(&verdict.compared), verdict.compared),
            Err(error) => (error, Vec::new()),
        };
        self.record(VerifyFailed { error: error.clone(), compared })?;
        Err(Halt::Failed(error))
    }

    /// The before-image on record.
    pub(crate) fn before(&self) -> Result<Json, Halt> {
        self.status().before.ok_or_else(|| Halt::Stuck(OpError::permanent("no before-image is on record")))
    }

    /// The newest output on record.
    pub(crate) fn output(&self) -> Result<Json, Halt> {
        self.status().output.ok_or_else(|| Halt::Stuck(OpError::permanent("no output is on record")))
    }
}
