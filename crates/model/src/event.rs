//! What a run tells the outside while it runs. Reporters see these types and nothing else of the
//! engine: they are the contract between the two.
//!
//! Records are never dropped; progress may be. `log` replays a journal as the same events.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::OpError;
use crate::ids::{Generation, RunId, Seq, StepId};
use crate::record::{Body, Direction, Leftover, Record};
use crate::secret::SecretRef;

/// The version of the JSON events that `--json` prints.
pub const EVENT_FORMAT_VERSION: u32 = 1;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// When (UTC).
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A process begins to work on a run, with this much ahead of it.
    Started {
        /// The runbook's name.
        runbook: String,
        /// The direction.
        direction: Direction,
        /// Steps that will be worked on.
        total: u32,
        /// Steps that are there already (done, or undone).
        already: u32,
    },
    /// The actions that recovery will take, before it takes them. One a step, in plan order.
    Recovery(Vec<RecoveryLine>),
    /// A record is durable.
    Recorded(Arc<Record>),
    /// A step is working on something, or waits. May be dropped.
    Progress(Progress),
    /// The run has come to an end, for this process.
    Ended(Outcome),
}

/// What recovery will do with a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryLine {
    /// The step.
    pub step: StepId,
    /// Its status on record.
    pub status: String,
    /// What will be done, in words.
    pub action: String,
}

/// What a step is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step.
    pub step: StepId,
    /// What it does or waits for, without the time: `waiting for state available`.
    pub doing: String,
    /// For how long it has been doing this, in milliseconds.
    pub for_ms: u64,
}

/// How a process's work on a run ended. Decides the exit code.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every step is verified.
    Completed,
    /// `--to` was reached.
    Reached {
        /// The step.
        step: StepId,
    },
    /// The unwind that was asked for is finished.
    Unwound {
        /// Nothing is kept.
        all: bool,
        /// What stays behind on purpose.
        residue: Vec<String>,
        /// Resources of this run that are still there.
        left: Vec<Leftover>,
    },
    /// A step failed and the policy's unwind is finished.
    FailedAndUnwound {
        /// The step.
        step: StepId,
        /// Its error.
        error: OpError,
        /// Nothing is kept.
        all: bool,
        /// What stays behind on purpose.
        residue: Vec<String>,
        /// Resources of this run that are still there.
        left: Vec<Leftover>,
    },
    /// Stopped where it can go on.
    Paused {
        /// Why.
        why: String,
        /// The step that caused it.
        step: Option<StepId>,
    },
    /// A person is needed.
    Stuck {
        /// Each step that is stuck, and why.
        steps: Vec<(StepId, OpError)>,
    },
    /// Refused before any effect.
    Refused {
        /// Each reason.
        reasons: Vec<(Option<StepId>, OpError)>,
    },
}

/// A record as `log` and `--json` show it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordView {
    /// Its place in the run.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// The step, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// The generation.
    pub generation: Generation,
    /// The direction.
    pub direction: Direction,
    /// The kind.
    pub kind: String,
    /// The payload.
    pub payload: serde_json::Value,
}

impl RecordView {
    /// A view of `record`, with the fingerprints of secrets cut short.
    ///
    /// # Errors
    /// When its payload cannot be represented as JSON.
    pub fn new(record: &Record) -> Result<Self, serde_json::Error> {
        let mut payload = serde_json::from_str(&record.draft.body.payload()?)?;
        SecretRef::shorten_in(&mut payload);
        Ok(Self {
            seq: record.seq,
            at: record.draft.at,
            step: record.draft.step.clone(),
            generation: record.draft.generation,
            direction: record.draft.direction,
            kind: record.draft.body.kind().to_owned(),
            payload,
        })
    }
}

impl Record {
    /// The body, for short.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.draft.body
    }
}
