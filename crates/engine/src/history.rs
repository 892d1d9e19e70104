//! A run as its records tell it: the status of every step and of the run itself.
//!
//! The same fold is used live (a record is applied before it is handed to the journal) and on
//! replay. It decides nothing.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use switchback_model::plan::{Plan, UnresolvedRef};
use switchback_model::record::{
    Body, Direction, Endpoint, Json, Record, RunSecrets, RunStarted, UndoneHow, UnwindCause, UnwindTarget,
};
use switchback_model::status::{IllegalRecord, State, Status};
use switchback_model::{Generation, OpError, SecretRef, StepId};
use thiserror::Error;

/// Whether, and how, a run has come to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// It has not.
    #[default]
    No,
    /// Refused in the preflight: nothing was done, nothing will be.
    Refused,
    /// Every step is verified.
    Completed,
    /// Everything is undone.
    Unwound,
    /// Undone to a checkpoint; it may go forward again.
    PartlyUnwound,
}

/// Why a run that has not ended stands still, as far as it is on record.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Standing {
    /// It is being executed, or the process died.
    #[default]
    Open,
    /// It paused.
    Paused {
        /// Why.
        why: String,
    },
    /// It needs a person.
    Stuck {
        /// Each stuck step and why.
        steps: Vec<(StepId, OpError)>,
    },
}

/// A run as its records tell it.
#[derive(Debug, Clone)]
pub struct History {
    plan: Arc<Plan>,
    index: Arc<HashMap<StepId, usize>>,
    steps: Vec<Status>,
    /// When a step was last done, counted in records; 0: it is not.
    done_at: Vec<u64>,
    order: u64,
    started: Option<RunStarted>,
    direction: Direction,
    keep: Vec<StepId>,
    target: UnwindTarget,
    cause: Option<UnwindCause>,
    ended: Ended,
    standing: Standing,
    preflight_passed: bool,
    disowned: Vec<(usize, Generation)>,
}

/// A record that does not fit a run's history.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistoryError {
    /// The plan has no such step.
    #[error("the plan has no step `{0}`")]
    UnknownStep(StepId),
    /// The record cannot follow.
    #[error("step `{step}`")]
    Illegal {
        /// The step.
        step: StepId,
        /// Why.
        #[source]
        source: IllegalRecord,
    },
}

impl History {
    /// The history of a run of `plan` that has no records yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let index = plan.steps.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect();
        let n = plan.steps.len();
        Self {
            plan,
            index: Arc::new(index),
            steps: vec![Status::default(); n],
            done_at: vec![0; n],
            order: 0,
            started: None,
            direction: Direction::Forward,
            keep: Vec::new(),
            target: UnwindTarget::All,
            cause: None,
            ended: Ended::No,
            standing: Standing::Open,
            preflight_passed: false,
            disowned: Vec::new(),
        }
    }

    /// Adds a record from a journal.
    ///
    /// # Errors
    /// When it cannot follow what is there.
    pub fn replay(&mut self, record: &Record) -> Result<(), HistoryError> {
        self.apply(record.draft.step.as_ref(), record.draft.generation, &record.draft.body)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot follow what is there; nothing has changed then.
    pub fn apply(&mut self, step: Option<&StepId>, generation: Generation, body: &Body) -> Result<(), HistoryError> {
        if let Some(id) = step {
            let i = *self.index.get(id).ok_or_else(|| HistoryError::UnknownStep(id.clone()))?;
            self.steps[i]
                .apply(generation, body)
                .map_err(|source| HistoryError::Illegal { step: id.clone(), source })?;
            if matches!(body, Body::Undone(p) if p.how == UndoneHow::Disowned) {
                self.disowned.push((i, generation));
            }
            self.order += 1;
            if self.steps[i].state.is_done() {
                if self.done_at[i] == 0 {
                    self.done_at[i] = self.order;
                }
            } else if !matches!(body, Body::Called(_) | Body::Retried(_)) {
                self.done_at[i] = 0;
            }
            return Ok(());
        }
        self.order += 1;
        match body {
            Body::RunStarted(p) => self.started = Some(p.clone()),
            Body::ExecutorStarted(_) => self.standing = Standing::Open,
            Body::UnwindStarted(p) => {
                self.direction = Direction::Unwinding;
                self.keep.clone_from(&p.keep);
                self.target = p.target.clone();
                self.cause = Some(p.cause.clone());
                self.ended = Ended::No;
            }
            Body::UnwindFinished(p) => {
                self.ended = if p.all { Ended::Unwound } else { Ended::PartlyUnwound };
                self.standing = Standing::Open;
            }
            Body::ForwardStarted(_) => {
                self.direction = Direction::Forward;
                self.ended = Ended::No;
                self.keep.clear();
                self.cause = None;
            }
            Body::PreflightPassed(_) => self.preflight_passed = true,
            Body::Completed(_) => self.ended = Ended::Completed,
            Body::Refused(_) => self.ended = Ended::Refused,
            Body::Paused(p) => self.standing = Standing::Paused { why: p.why.clone() },
            Body::Stuck(p) => self.standing = Standing::Stuck { steps: p.steps.clone() },
            _ => {}
        }
        Ok(())
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The index of a step in the plan.
    #[must_use]
    pub fn index_of(&self, step: &StepId) -> Option<usize> {
        self.index.get(step).copied()
    }

    /// The status of the step with that index.
    #[must_use]
    pub fn status(&self, i: usize) -> &Status {
        &self.steps[i]
    }

    /// Every step's id and status, in plan order.
    pub fn statuses(&self) -> impl Iterator<Item = (&StepId, &Status)> {
        self.plan.steps.iter().map(|s| &s.id).zip(&self.steps)
    }

    /// When the step was done, counted in records; `None`: it is not.
    #[must_use]
    pub fn done_at(&self, i: usize) -> Option<u64> {
        (self.done_at[i] > 0).then(|| self.done_at[i])
    }

    /// The direction on record.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where an unwind that is on record goes.
    #[must_use]
    pub fn target(&self) -> &UnwindTarget {
        &self.target
    }

    /// The steps that an unwind that is on record keeps.
    #[must_use]
    pub fn keep(&self) -> &[StepId] {
        &self.keep
    }

    /// Why an unwind that is on record began.
    #[must_use]
    pub fn cause(&self) -> Option<&UnwindCause> {
        self.cause.as_ref()
    }

    /// Whether, and how, the run has ended.
    #[must_use]
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// Why the run stands still.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Everything that could be looked at before the first effect was.
    #[must_use]
    pub fn preflight_passed(&self) -> bool {
        self.preflight_passed
    }

    /// What a person left behind, of every generation.
    pub fn disowned(&self) -> impl Iterator<Item = (&StepId, Generation)> {
        self.disowned.iter().map(|(i, g)| (&self.plan.steps[*i].id, *g))
    }

    /// Where the run acts.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.started.as_ref().map(|s| s.endpoint.clone()).unwrap_or_default()
    }

    /// The secrets of the run, where it has any.
    #[must_use]
    pub fn secrets(&self) -> Option<&RunSecrets> {
        self.started.as_ref()?.secrets.as_ref()
    }

    /// What is on record of a secret input.
    #[must_use]
    pub fn secret(&self, input: &str) -> Option<&SecretRef> {
        self.secrets()?.inputs.get(input)
    }

    /// An unwind is on record and not finished.
    #[must_use]
    pub fn is_unwinding(&self) -> bool {
        self.direction == Direction::Unwinding && self.ended == Ended::No
    }

    /// The parameters of a step: those on record once a create was started in this generation,
    /// else resolved from the plan and the outputs on record. What was undone and is created
    /// again (`again`) gets new ones: what it refers to may have been created again as well.
    ///
    /// # Errors
    /// When a reference cannot be filled in.
    pub fn params(&self, i: usize, again: bool) -> Result<Value, UnresolvedRef> {
        if !again
            && let Some(params) = &self.steps[i].params
            && let Ok(value) = params.parse()
        {
            return Ok(value);
        }
        let template = &self.plan.steps[i].params;
        let mut outputs: HashMap<StepId, Value> = HashMap::new();
        for r in template.refs() {
            if !outputs.contains_key(&r.step)
                && let Some(value) = self
                    .index_of(&r.step)
                    .and_then(|j| self.steps[j].output.as_ref())
                    .and_then(|o: &Json| o.parse().ok())
            {
                outputs.insert(r.step.clone(), value);
            }
        }
        template.resolve_with(&|id| outputs.get(id), &|name| self.secret(name).cloned())
    }

    /// How many steps are in each state, in the order of a step's life.
    #[must_use]
    pub fn counts(&self) -> Vec<(State, usize)> {
        State::ALL
            .into_iter()
            .map(|state| (state, self.steps.iter().filter(|s| s.state == state).count()))
            .filter(|(_, n)| *n > 0)
            .collect()
    }
}
