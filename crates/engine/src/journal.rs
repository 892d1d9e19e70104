//! What the engine asks of a journal. It speaks of batches, epochs and durability, not of files:
//! the same contract can be kept by another store.

use std::path::PathBuf;
use std::sync::Arc;

use switchback_model::record::{Draft, Record};
use switchback_model::status::IllegalRecord;
use switchback_model::{Epoch, RunId, Seq};
use thiserror::Error;

use crate::cx::Fence;

/// The journal of one run, held by the one process that may execute it.
///
/// Synchronous on purpose: the executor commits only when nothing else is ready to run, and a
/// commit that could be interleaved with an effect would not be an intent.
pub trait Journal: Send {
    /// The run.
    fn run(&self) -> RunId;

    /// This executor's epoch.
    fn epoch(&self) -> Epoch;

    /// Appends `batch` in one transaction, in order. When it returns, all of it is durable; when
    /// it fails, none of it is there.
    ///
    /// # Errors
    /// When it cannot be written, or another executor has taken a newer epoch. Nothing may be
    /// done on the strength of a batch that failed.
    fn append(&mut self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError>;

    /// A check that this epoch is still the newest, for use right before each write call.
    fn fence(&self) -> Arc<dyn Fence>;

    /// From now on records carry this AWS caller as part of their actor.
    fn set_caller(&mut self, caller: &str);
}

/// Why a journal cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// There is no journal.
    #[error("there is no journal at {0}")]
    Missing(PathBuf),
    /// The disk is full.
    #[error("no space is left for the journal {path}")]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("the journal {path} cannot be written: it is read-only")]
    ReadOnly {
        /// The journal.
        path: PathBuf,
    },
    /// It is not a journal, or is damaged.
    #[error("the journal {path} is damaged: {what}")]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A record is not what was written.
    #[error("the journal {path} was changed after it was written: record {seq} of run {run}: {what}")]
    Tampered {
        /// The journal.
        path: PathBuf,
        /// The run.
        run: RunId,
        /// The first record that does not fit.
        seq: Seq,
        /// What does not fit.
        what: String,
    },
    /// It was written by a release that this one does not understand.
    #[error("the journal {path} has format {found}, this release reads format {supported}")]
    Version {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that this release reads.
        supported: u32,
        /// Which release can read it.
        advice: String,
    },
    /// A record that cannot follow what is on record.
    #[error("record {seq} does not follow from the records before it")]
    Illegal {
        /// The record, or the place it would have had.
        seq: Seq,
        /// Why.
        #[source]
        source: IllegalRecord,
    },
    /// Another process executes the run.
    #[error("another executor holds run {run}{}", holder.as_deref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Locked {
        /// The run.
        run: RunId,
        /// Who, as far as it is known.
        holder: Option<String>,
    },
    /// Another process has taken the run over while this one was at it.
    #[error("run {run} was taken over by another executor (epoch {newest}, ours is {ours})")]
    TakenOver {
        /// The run.
        run: RunId,
        /// Our epoch.
        ours: Epoch,
        /// The newest epoch.
        newest: Epoch,
    },
    /// There is no such run.
    #[error("there is no run {0} in this journal")]
    NoSuchRun(RunId),
    /// Anything else that the store reports.
    #[error("the journal {path} cannot be used")]
    Store {
        /// The journal.
        path: PathBuf,
        /// What the store says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
