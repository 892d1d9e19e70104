//! The journal of a state folder: what runs there are, what they recorded, and the way to become
//! the executor of one.
//!
//! Everything but [`Store::create_run`] and [`Store::take_run`] only reads. A store opened with
//! [`Store::open_read_only`] cannot do those two, and never creates or migrates anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row};
use switchback_engine::cx::Clock;
use switchback_engine::journal::JournalError;
use switchback_model::record::{Actor, Direction, Endpoint, Record, RunStarted};
use switchback_model::status::{IllegalRecord, State};
use switchback_model::{Epoch, RunId, Seq};

use crate::chain::hex_digest;
use crate::create::create_when_missing;
use crate::db::Db;
use crate::heads::{self, StepHead};
use crate::lock::{self, Holder, RunLock};
use crate::state::{RunState, newest_epoch, standing};
use crate::writer::SqliteJournal;
use crate::{failure, read};

const FILE: &str = "journal.db";
/// The bits of a record's key that number it within its run.
const SEQ_BITS: u32 = 36;

/// Who writes, and with which clock.
#[derive(Clone)]
pub struct Writer {
    /// Who writes.
    pub actor: Actor,
    /// For the times of the records that the journal makes itself.
    pub clock: Arc<dyn Clock>,
}

/// The journal of a state folder.
pub struct Store {
    folder: PathBuf,
    db: Db,
    writer: Option<Writer>,
}

/// What a list of runs shows of each.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub runbook: String,
    /// SHA-256 of the plan's canonical JSON, in hex.
    pub plan_hash: String,
    /// When the run was created.
    pub created_at: Timestamp,
    /// Where it acts.
    pub endpoint: Endpoint,
    /// Where it stands.
    pub state: RunState,
    /// Which way it goes.
    pub direction: Direction,
    /// Its newest executor.
    pub epoch: Epoch,
    /// Its newest record; as there are no gaps, also how many there are.
    pub last: Seq,
    /// When the newest record was written.
    pub last_at: Timestamp,
}

/// A row of `runs`.
#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) uuid: RunId,
    pub(crate) plan: String,
    pub(crate) runbook: String,
    pub(crate) endpoint: String,
    pub(crate) created_at: i64,
}

impl RunRow {
    pub(crate) const fn id_of(&self, seq: i64) -> i64 {
        (self.id << SEQ_BITS) + seq
    }

    pub(crate) const fn seq_of(&self, id: i64) -> i64 {
        id - self.id_of(0)
    }

    pub(crate) const fn first_id(&self) -> i64 {
        self.id_of(0)
    }

    pub(crate) const fn last_id(&self) -> i64 {
        self.id_of((1 << SEQ_BITS) - 1)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<(String, Self)> {
        Ok((
            row.get(1)?,
            Self {
                id: row.get(0)?,
                uuid: RunId::new(uuid::Uuid::nil()),
                plan: row.get(2)?,
                runbook: row.get(3)?,
                endpoint: row.get(4)?,
                created_at: row.get(5)?,
            },
        ))
    }
}

const RUN_COLUMNS: &str = "id, uuid, plan, runbook, endpoint, created_at";

impl Store {
    /// Opens the journal of the state folder `folder` for reading. Creates, migrates and writes
    /// nothing; an executor may be at work meanwhile.
    ///
    /// # Errors
    /// When there is none (`Missing`), it is not a journal or damaged where that shows at once
    /// (`Corrupt`), its format is not this release's (`Version`), or it cannot be read (`Store`).
    pub fn open_read_only(folder: &Path) -> Result<Self, JournalError> {
        let db = Db::open_read_only(&folder.join(FILE))?;
        Ok(Self { folder: folder.to_owned(), db, writer: None })
    }

    /// Opens the journal of the state folder `folder` for writing. Creates both when they are
    /// missing, readable by their owner only, and brings an older format up to date.
    ///
    /// # Errors
    /// As [`open_read_only`](Self::open_read_only), but for `Missing`; and `ReadOnly` or `Full`
    /// when it cannot be written.
    pub fn open(folder: &Path, writer: Writer) -> Result<Self, JournalError> {
        let path = folder.join(FILE);
        create_when_missing(&path)?;
        let db = Db::open(&path)?;
        Ok(Self { folder: folder.to_owned(), db, writer: Some(writer) })
    }

    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.db.path
    }

    /// Every run, oldest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        self.reading(|| self.rows()?.iter().map(|run| self.summary_of(run)).collect())
    }

    /// One run, as in [`runs`](Self::runs).
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn summary(&self, run: RunId) -> Result<RunSummary, JournalError> {
        self.reading(|| self.summary_of(&self.row(run)?))
    }

    /// The newest state of every step that has a record, in the order of the steps' ids. From a
    /// cache and the newest records: for showing, not for deciding.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn heads(&self, run: RunId) -> Result<Vec<StepHead>, JournalError> {
        self.reading(|| heads::heads(&self.db, &self.row(run)?))
    }

    /// How many steps are in each state. Steps without a record are not counted.
    ///
    /// # Errors
    /// When there is no such run, or the journal cannot be read.
    pub fn head_counts(&self, run: RunId) -> Result<BTreeMap<State, u64>, JournalError> {
        self.reading(|| heads::counts(&self.db, &self.row(run)?))
    }

    /// The canonical JSON of the run's plan, checked against its hash.
    ///
    /// # Errors
    /// When there is no such run, the plan was changed, or the journal cannot be read.
    pub fn plan(&self, run: RunId) -> Result<String, JournalError> {
        self.reading(|| self.plan_of(&self.row(run)?))
    }

    /// Hands every record of the run to `fold`, in order, each checked against the hash chain, and
    /// returns the newest one's number. What `fold` was given may turn out to be followed by
    /// damage, so nothing may be done on the strength of it before this returns.
    ///
    /// # Errors
    /// The first record that was changed, is missing or cannot be read; `Illegal` when `fold`
    /// refuses one.
    pub fn replay(
        &self,
        run: RunId,
        fold: &mut dyn FnMut(Record) -> Result<(), IllegalRecord>,
    ) -> Result<Seq, JournalError> {
        self.replay_with(run, &mut |record| {
            let seq = record.seq;
            fold(record).map_err(|source| JournalError::Illegal { seq, source })
        })
    }

    /// As [`replay`](Self::replay), with an error of the caller's own.
    ///
    /// # Errors
    /// As [`replay`](Self::replay), and whatever `fold` returns.
    pub fn replay_with<E: From<JournalError>>(
        &self,
        run: RunId,
        fold: &mut dyn FnMut(Record) -> Result<(), E>,
    ) -> Result<Seq, E> {
        let snapshot = self.db.conn.unchecked_transaction().map_err(|e| self.db.failed(e))?;
        let row = self.row(run)?;
        self.plan_of(&row)?;
        let last = read::replay(&self.db, &row, fold)?;
        drop(snapshot);
        Ok(last)
    }

    /// At most `limit` records of the run, in order: those that follow `after`, or the newest.
    /// Each is checked against the one before it.
    ///
    /// # Errors
    /// When there is no such run, a record was changed or is missing, or the journal cannot be
    /// read.
    pub fn tail(&self, run: RunId, after: Option<Seq>, limit: usize) -> Result<Vec<Record>, JournalError> {
        self.reading(|| read::tail(&self.db, &self.row(run)?, after, limit))
    }

    /// The process that holds the run now, on this host; `None`: nobody.
    ///
    /// # Errors
    /// When the lock cannot be looked at.
    pub fn lock_holder(&self, run: RunId) -> Result<Option<Holder>, JournalError> {
        lock::holder(&self.folder, run)
    }

    /// Locks the run for this process, without writing anything into the journal yet: what is on
    /// record can then be checked first, and [`take_locked`](Self::take_locked) goes on.
    ///
    /// # Errors
    /// `Locked` when another process holds it, `ReadOnly` when this store is, `NoSuchRun`.
    pub fn lock(&self, run: RunId) -> Result<RunLock, JournalError> {
        let writer = self.writer()?;
        self.row(run)?;
        RunLock::take(&self.folder, run, &writer.actor)
    }

    /// Starts a run: stores its plan, its first record, and this process as its first executor.
    /// `started` must name the hash of `plan_json`.
    ///
    /// # Errors
    /// When the run exists already, the hash is not the plan's, or the journal cannot be written;
    /// then nothing of the run is there.
    pub fn create_run(
        &self,
        run: RunId,
        plan_json: &str,
        started: RunStarted,
        command: &str,
    ) -> Result<SqliteJournal, JournalError> {
        let writer = self.writer()?;
        if hex_digest(plan_json) != started.plan_hash {
            return Err(failure::other(self.path(), format!("run {run} names a hash that is not its plan's")));
        }
        let lock = RunLock::take(&self.folder, run, &writer.actor)?;
        SqliteJournal::create(Db::open(self.path())?, lock, writer, plan_json, started, command)
    }

    /// Makes this process the executor of the run: locks it and records the next epoch.
    ///
    /// # Errors
    /// As [`lock`](Self::lock), or when the journal cannot be written.
    pub fn take_run(&self, run: RunId, command: &str) -> Result<SqliteJournal, JournalError> {
        self.take_locked(self.lock(run)?, command)
    }

    /// Makes this process the executor of the run that it has locked.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn take_locked(&self, lock: RunLock, command: &str) -> Result<SqliteJournal, JournalError> {
        let writer = self.writer()?;
        let row = self.row(lock.run())?;
        SqliteJournal::take(Db::open(self.path())?, row, lock, writer, command)
    }

    fn writer(&self) -> Result<&Writer, JournalError> {
        self.writer.as_ref().ok_or_else(|| JournalError::ReadOnly { path: self.db.path.clone() })
    }

    /// Several queries of `read` see the same journal.
    fn reading<T>(&self, read: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        let snapshot = self.db.conn.unchecked_transaction().map_err(|e| self.db.failed(e))?;
        let result = read();
        drop(snapshot);
        result
    }

    fn summary_of(&self, run: &RunRow) -> Result<RunSummary, JournalError> {
        let db = &self.db;
        read::check_start(db, run)?;
        let (last, _) = read::whole_head(db, run)?;
        let last_at: i64 = db
            .conn
            .prepare_cached("SELECT at FROM records WHERE id = ?1")
            .and_then(|mut s| s.query_row([run.id_of(last)], |row| row.get(0)))
            .map_err(|e| db.failed(e))?;
        let standing = standing(db, run)?;
        let wrong = |what: &str| db.corrupt(format!("run {} has an impossible {what}", run.uuid));
        let time = |at: i64| Timestamp::from_nanosecond(at.into()).map_err(|_| wrong("time"));
        Ok(RunSummary {
            run: run.uuid,
            runbook: run.runbook.clone(),
            plan_hash: run.plan.clone(),
            created_at: time(run.created_at)?,
            endpoint: serde_json::from_str(&run.endpoint).map_err(|_| wrong("endpoint"))?,
            state: standing.state(),
            direction: standing.direction,
            epoch: newest_epoch(db, run)?.ok_or_else(|| wrong("lack of an executor"))?,
            last: Seq(u64::try_from(last).map_err(|_| wrong("record number"))?),
            last_at: time(last_at)?,
        })
    }

    fn plan_of(&self, run: &RunRow) -> Result<String, JournalError> {
        let json: Option<String> = self
            .db
            .conn
            .prepare_cached("SELECT json FROM plans WHERE hash = ?1")
            .and_then(|mut s| s.query_row([&run.plan], |row| row.get(0)).optional())
            .map_err(|e| self.db.failed(e))?;
        match json {
            Some(json) if hex_digest(&json) == run.plan => Ok(json),
            Some(_) => Err(self.db.corrupt(format!("the plan of run {} was changed after it was written", run.uuid))),
            None => Err(self.db.corrupt(format!("the plan of run {} is gone", run.uuid))),
        }
    }

    fn row(&self, run: RunId) -> Result<RunRow, JournalError> {
        let found = self
            .db
            .conn
            .prepare_cached(&format!("SELECT {RUN_COLUMNS} FROM runs WHERE uuid = ?1"))
            .and_then(|mut s| s.query_row([run.to_string()], RunRow::from_row).optional())
            .map_err(|e| self.db.failed(e))?;
        match found {
            Some((_, row)) => Ok(RunRow { uuid: run, ..row }),
            // It may have been there, or be there still and not be in the index.
            None => match self.rows()?.iter().any(|row| row.uuid == run) {
                true => Err(self.db.corrupt(format!("run {run} is not found where it should be"))),
                false => Err(JournalError::NoSuchRun(run)),
            },
        }
    }

    /// Runs are numbered from 1 without a gap, so one that was taken out shows: by its number, or
    /// at the end by its records and the cache.
    fn no_run_is_missing(&self, rows: &[RunRow]) -> Result<(), JournalError> {
        let highest: i64 = self
            .db
            .conn
            .prepare_cached(
                "SELECT max(coalesce((SELECT id >> 36 FROM records ORDER BY id DESC LIMIT 1), 0), \
                 coalesce((SELECT max(run) FROM folded), 0))",
            )
            .and_then(|mut s| s.query_row([], |row| row.get(0)))
            .map_err(|e| self.db.failed(e))?;
        let gone = rows.iter().zip(1..).find_map(|(row, number)| (row.id != number).then_some(number));
        let gone = gone.or_else(|| (1..).nth(rows.len()).filter(|next| *next <= highest));
        gone.map_or(Ok(()), |number| Err(self.db.corrupt(format!("run number {number} was taken out"))))
    }

    fn rows(&self) -> Result<Vec<RunRow>, JournalError> {
        let failed = |e| self.db.failed(e);
        let mut statement =
            self.db.conn.prepare_cached(&format!("SELECT {RUN_COLUMNS} FROM runs ORDER BY id")).map_err(failed)?;
        let rows = statement.query_map([], RunRow::from_row).map_err(failed)?;
        rows.map(|row| {
            let (uuid, row) = row.map_err(failed)?;
            let uuid = uuid.parse().map_err(|_| self.db.corrupt(format!("a run has the id {uuid:?}")))?;
            Ok(RunRow { uuid, ..row })
        })
        .collect::<Result<Vec<_>, JournalError>>()
        .and_then(|rows| self.no_run_is_missing(&rows).map(|()| rows))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({}{})", self.db.path.display(), if self.writer.is_some() { "" } else { ", read-only" })
    }
}
