//! Where a run stands, read from its own few records.
//!
//! For lists (`runs`, `status`). What may be done with a run is decided by the engine from all
//! records, never from this.

use rusqlite::types::ValueRef;
use switchback_engine::journal::JournalError;
use switchback_model::Epoch;
use switchback_model::record::{Direction, ExecutorStarted, UnwindFinished};

use crate::db::Db;
use crate::store::RunRow;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunState {
    /// It is being executed, or its process died: the lock tells which.
    Open,
    /// It stopped where it can go on.
    Paused,
    /// It needs a person.
    Stuck,
    /// Refused in the preflight: nothing was done, nothing will be.
    Refused,
    /// Every step is verified.
    Completed,
    /// Undone to a checkpoint; it may go forward again.
    PartlyUnwound,
    /// Everything is undone.
    Unwound,
}

impl RunState {
    /// As shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paused => "paused",
            Self::Stuck => "stuck",
            Self::Refused => "refused",
            Self::Completed => "completed",
            Self::PartlyUnwound => "partly_unwound",
            Self::Unwound => "unwound",
        }
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The fold over a run's own records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) direction: Direction,
    ended: Option<RunState>,
    still: RunState,
}

impl Standing {
    pub(crate) const NEW: Self = Self { direction: Direction::Forward, ended: None, still: RunState::Open };

    pub(crate) fn state(self) -> RunState {
        self.ended.unwrap_or(self.still)
    }

    /// One more record. Kinds that this fold does not know change nothing.
    fn apply(&mut self, kind: &str, payload: &str) -> Result<(), serde_json::Error> {
        match kind {
            "ExecutorStarted" => self.still = RunState::Open,
            "Paused" => self.still = RunState::Paused,
            "Stuck" => self.still = RunState::Stuck,
            "UnwindStarted" => {
                self.direction = Direction::Unwinding;
                self.ended = None;
            }
            "UnwindFinished" => {
                let all = serde_json::from_str::<UnwindFinished>(payload)?.all;
                self.ended = Some(if all { RunState::Unwound } else { RunState::PartlyUnwound });
                self.still = RunState::Open;
            }
            "ForwardStarted" => {
                self.direction = Direction::Forward;
                self.ended = None;
            }
            "Completed" => self.ended = Some(RunState::Completed),
            "Refused" => self.ended = Some(RunState::Refused),
            _ => {}
        }
        Ok(())
    }
}

/// Where the run stands.
pub(crate) fn standing(db: &Db, run: &RunRow) -> Result<Standing, JournalError> {
    let failed = |e| db.failed(e);
    let mut statement = db
        .conn
        .prepare_cached(
            "SELECT kind, payload FROM records \
             WHERE id BETWEEN ?1 AND ?2 AND step IS NULL AND kind <> 'Called' AND kind <> 'Retried' ORDER BY id",
        )
        .map_err(failed)?;
    let mut rows = statement.query((run.first_id(), run.last_id())).map_err(failed)?;
    let mut standing = Standing::NEW;
    while let Some(row) = rows.next().map_err(failed)? {
        let kind = row.get_ref(0).map_err(failed)?;
        let payload = row.get_ref(1).map_err(failed)?;
        let (ValueRef::Text(kind), ValueRef::Text(payload)) = (kind, payload) else {
            return Err(db.corrupt("a record's kind or payload is not a text"));
        };
        let (Ok(kind), Ok(payload)) = (str::from_utf8(kind), str::from_utf8(payload)) else {
            return Err(db.corrupt("a record's kind or payload is not UTF-8"));
        };
        standing.apply(kind, payload).map_err(|e| db.corrupt(format!("the payload of a {kind} record: {e}")))?;
    }
    Ok(standing)
}

/// The newest epoch on record. It comes from the record itself: an index finds it, none repeats it.
pub(crate) fn newest_epoch(db: &Db, run: &RunRow) -> Result<Option<Epoch>, JournalError> {
    let failed = |e| db.failed(e);
    let mut statement = db
        .conn
        .prepare_cached(
            "SELECT payload FROM records WHERE kind = 'ExecutorStarted' AND id BETWEEN ?1 AND ?2 \
             ORDER BY id DESC LIMIT 1",
        )
        .map_err(failed)?;
    let mut rows = statement.query((run.first_id(), run.last_id())).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let payload = row.get_ref(0).map_err(failed)?.as_str().map_err(|e| failed(e.into()))?;
    serde_json::from_str::<ExecutorStarted>(payload)
        .map(|p| Some(p.epoch))
        .map_err(|e| db.corrupt(format!("the payload of an ExecutorStarted record: {e}")))
}
