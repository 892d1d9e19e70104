//! The check, right before a write call, that this process still is the run's executor.
//!
//! It reads the newest epoch from the file, on a connection of its own: what this process believes
//! is of no interest. It cannot stop a call that is on its way already; nothing can.

use std::sync::{Mutex, PoisonError};

use switchback_engine::cx::Fence;
use switchback_engine::journal::JournalError;
use switchback_model::{Epoch, ErrorClass, OpError, OpResult};

use crate::db::Db;
use crate::state::newest_epoch;
use crate::store::RunRow;

/// Compares the newest epoch on record with ours.
pub(crate) struct SqliteFence {
    db: Mutex<Db>,
    run: RunRow,
    ours: Epoch,
}

impl SqliteFence {
    pub(crate) fn new(db: Db, run: RunRow, ours: Epoch) -> Self {
        Self { db: Mutex::new(db), run, ours }
    }

    fn newest(&self) -> Result<Option<Epoch>, JournalError> {
        newest_epoch(&self.db.lock().unwrap_or_else(PoisonError::into_inner), &self.run)
    }
}

impl Fence for SqliteFence {
    fn check(&self) -> OpResult<()> {
        let run = self.run.uuid;
        match self.newest() {
            Ok(Some(newest)) if newest == self.ours => Ok(()),
            Ok(newest) => Err(OpError::new(
                ErrorClass::Unavailable,
                format!(
                    "run {run} was taken over by another executor (epoch {}, ours is {}): nothing was sent",
                    newest.map_or_else(|| "none".to_owned(), |e| e.to_string()),
                    self.ours
                ),
            )
            .with_hint(format!("see what the other executor does: switchback log {run} --follow"))),
            Err(error) => {
                let mut message = format!("the journal cannot be read, so nothing was sent: {error}");
                if let Some(source) = std::error::Error::source(&error) {
                    message.push_str(&format!(": {source}"));
                }
                Err(OpError::new(ErrorClass::Unavailable, message))
            }
        }
    }
}
