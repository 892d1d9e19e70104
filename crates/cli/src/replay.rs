//! A run as its records tell it, with every record checked on the way.

use std::sync::Arc;

use switchback_engine::Registry;
use switchback_engine::history::{History, HistoryError};
use switchback_engine::journal::JournalError;
use switchback_engine::planner::load_plan;
use switchback_journal::Store;
use switchback_model::plan::Plan;
use switchback_model::{RunId, Seq};

use crate::error::{CommandError, CommandResult, Kind};

/// A run, read from the journal.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) history: History,
    pub(crate) last: Seq,
}

enum Failure {
    Journal(JournalError),
    History(HistoryError),
}

impl From<JournalError> for Failure {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}

impl From<Failure> for CommandError {
    fn from(e: Failure) -> Self {
        match e {
            Failure::Journal(e) => e.into(),
            Failure::History(e) => e.into(),
        }
    }
}

/// The plan of a run, as it was stored, to be looked at.
pub(crate) fn stored_plan(store: &Store, run: RunId) -> CommandResult<Plan> {
    serde_json::from_str(&store.plan(run)?).map_err(|e| CommandError::new(Kind::Journal, e))
}

/// The history of a run, to be acted on: its plan must fit the operations of this binary.
pub(crate) fn replay(store: &Store, run: RunId, registry: &Registry) -> CommandResult<Replayed> {
    let plan = load_plan(&store.plan(run)?, registry)?;
    let mut history = History::new(Arc::new(plan));
    let last = store.replay_with::<Failure>(run, &mut |record| history.replay(&record).map_err(Failure::History))?;
    Ok(Replayed { history, last })
}

/// Adds what was recorded since: the records of the executor that this process has become.
pub(crate) fn catch_up(store: &Store, run: RunId, replayed: &mut Replayed) -> CommandResult<()> {
    loop {
        let after = (replayed.last.0 > 0).then_some(replayed.last);
        let records = store.tail(run, after, 1000)?;
        let Some(newest) = records.last() else { return Ok(()) };
        replayed.last = newest.seq;
        for record in &records {
            replayed.history.replay(record)?;
        }
    }
}
