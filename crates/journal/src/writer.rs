//! The journal of the one process that may execute a run.
//!
//! A batch is one `BEGIN IMMEDIATE` transaction with `synchronous=FULL`: when it has returned, it
//! survives a power cut; when it has failed, nothing of it is there. Inside the transaction, and
//! so without a gap that another process could slip through, it is checked that the newest record
//! is the one that this process saw last:
//!
//! ```text
//! this process        another process
//! BEGIN IMMEDIATE
//! newest = ours?      (waits)
//! INSERT ...
//! COMMIT
//!                     BEGIN IMMEDIATE, newest = ExecutorStarted{epoch + 1}, COMMIT
//! BEGIN IMMEDIATE
//! newest != ours: is the newest epoch ours? no: TakenOver, nothing is written
//! ```
//!
//! A newer record without a newer epoch is somebody's approval: the chain goes on from it.

use std::sync::Arc;

use rusqlite::{Transaction, TransactionBehavior};
use switchback_engine::cx::Fence;
use switchback_engine::journal::{Journal, JournalError};
use switchback_model::record::{Body, Direction, Draft, ExecutorStarted, Record, RunStarted};
use switchback_model::{Epoch, Generation, RunId, Seq};

use crate::db::Db;
use crate::failure;
use crate::fence::SqliteFence;
use crate::heads;
use crate::lock::RunLock;
use crate::pen::{Pen, nanoseconds};
use crate::read;
use crate::state::{newest_epoch, standing};
use crate::store::{RunRow, Writer};

/// A run's journal, held by the run's executor: it has the lock and the newest epoch.
///
/// Dropped, it frees the run; the log is then moved into the database.
pub struct SqliteJournal {
    db: Db,
    epoch: Epoch,
    pen: Pen,
    fence: Arc<SqliteFence>,
    /// Last, so that the run is free only when everything else is done.
    _lock: RunLock,
}

impl SqliteJournal {
    /// Records a new run with its first two records.
    pub(crate) fn create(
        db: Db,
        lock: RunLock,
        writer: &Writer,
        plan_json: &str,
        started: RunStarted,
        command: &str,
    ) -> Result<Self, JournalError> {
        let run = lock.run();
        let now = writer.clock.now();
        let endpoint = serde_json::to_string(&started.endpoint)
            .map_err(|e| failure::other(&db.path, format!("the endpoint cannot be stored: {e}")))?;
        let mut row = RunRow {
            id: 0,
            uuid: run,
            plan: started.plan_hash.clone(),
            runbook: started.runbook.clone(),
            endpoint,
            created_at: nanoseconds(&db, now)?,
        };
        let epoch = Epoch::FIRST;
        let pen = {
            let failed = |e| db.failed(e);
            let tx = begin(&db)?;
            let exists = tx
                .prepare_cached("SELECT 1 FROM runs WHERE uuid = ?1")
                .and_then(|mut s| s.exists([run.to_string()]))
                .map_err(failed)?;
            if exists {
                return Err(failure::other(&db.path, format!("run {run} is in this journal already")));
            }
            let known = tx
                .prepare_cached("SELECT 1 FROM plans WHERE hash = ?1")
                .and_then(|mut s| s.exists([&row.plan]))
                .map_err(failed)?;
            if !known {
                tx.execute("INSERT INTO plans (hash, json) VALUES (?1, ?2)", (&row.plan, plan_json)).map_err(failed)?;
            }
            tx.execute(
                "INSERT INTO runs (uuid, plan, runbook, endpoint, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                (run.to_string(), &row.plan, &row.runbook, &row.endpoint, row.created_at),
            )
            .map_err(failed)?;
            row.id = tx.last_insert_rowid();
            let head = (0, read::genesis(&row));
            let mut pen = Pen::new(&db, row, &writer.actor, head, 0)?;
            let of_run = |body: Body| Draft {
                at: now,
                step: None,
                generation: Generation::FIRST,
                direction: Direction::Forward,
                body,
            };
            let executor = ExecutorStarted { epoch, command: command.to_owned() };
            pen.write(&db, vec![of_run(started.into()), of_run(executor.into())])?;
            tx.commit().map_err(failed)?;
            pen
        };
        Self::held(db, epoch, pen, lock)
    }

    /// Records this process as the executor of a run that exists.
    pub(crate) fn take(
        db: Db,
        run: RunRow,
        lock: RunLock,
        writer: &Writer,
        command: &str,
    ) -> Result<Self, JournalError> {
        let (epoch, pen) = {
            let tx = begin(&db)?;
            let epoch = newest_epoch(&db, &run)?.map_or(Epoch::FIRST, Epoch::next);
            let direction = standing(&db, &run)?.direction;
            let head = read::head_of_started(&db, &run)?;
            let folded = match heads::folded(&db, &run)? {
                Some((seq, _)) if seq > head.0 => return Err(read::vanished(&db, &run, seq)),
                Some((seq, _)) => seq,
                None => 0,
            };
            let mut pen = Pen::new(&db, run, &writer.actor, head, folded)?;
            let body = ExecutorStarted { epoch, command: command.to_owned() }.into();
            let at = writer.clock.now();
            pen.write(&db, vec![Draft { at, step: None, generation: Generation::FIRST, direction, body }])?;
            tx.commit().map_err(|e| db.failed(e))?;
            (epoch, pen)
        };
        Self::held(db, epoch, pen, lock)
    }

    fn held(db: Db, epoch: Epoch, pen: Pen, lock: RunLock) -> Result<Self, JournalError> {
        let fence = Arc::new(SqliteFence::new(Db::open_read_only(&db.path)?, pen.run.clone(), epoch));
        Ok(Self { db, epoch, pen, fence, _lock: lock })
    }

    /// The newest record, as this process last saw it.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(u64::try_from(self.pen.head.0).unwrap_or_default())
    }

    /// One transaction: the checks, the records, and from time to time the cache.
    fn transact(&mut self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        let tx = begin(&self.db)?;
        self.pen.catch_up(&self.db, self.epoch)?;
        let records = self.pen.write(&self.db, batch)?;
        self.pen.fold_when_due(&self.db, &tx)?;
        tx.commit().map_err(|e| self.db.failed(e))?;
        Ok(records)
    }

    /// Brings the cache up to date.
    fn fold(&mut self) -> Result<(), JournalError> {
        let tx = begin(&self.db)?;
        self.pen.catch_up(&self.db, self.epoch)?;
        self.pen.fold(&self.db, &tx)?;
        tx.commit().map_err(|e| self.db.failed(e))
    }
}

impl Journal for SqliteJournal {
    fn run(&self) -> RunId {
        self.pen.run.uuid
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&mut self, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.pen.mark();
        let result = self.transact(batch);
        if result.is_err() {
            self.pen.back_to(before);
        }
        result
    }

    fn fence(&self) -> Arc<dyn Fence> {
        Arc::clone(&self.fence) as Arc<dyn Fence>
    }

    fn set_caller(&mut self, caller: &str) {
        self.pen.set_caller(caller);
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        // Both are for the comfort of those who read next; what is on record is durable.
        if let Err(error) = self.fold() {
            tracing::debug!(%error, "the states of the steps were not noted; readers work them out");
        }
        self.db.checkpoint();
    }
}

impl std::fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteJournal({}, epoch {}, record {})", self.pen.run.uuid, self.epoch, self.pen.head.0)
    }
}

fn begin(db: &Db) -> Result<Transaction<'_>, JournalError> {
    Transaction::new_unchecked(&db.conn, TransactionBehavior::Immediate).map_err(|e| db.failed(e))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::Timestamp;
    use switchback_engine::cx::Clock;
    use switchback_model::StepId;
    use switchback_model::record::{Actor, Endpoint, FORMAT_VERSION, RolledBack};
    use uuid::Uuid;

    use super::*;
    use crate::chain::hex_digest;
    use crate::store::Store;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    fn journal(folder: &Path) -> (Store, SqliteJournal) {
        let actor = Actor { user: "op".into(), host: "here".into(), pid: 1, aws_caller: None, binary: "0.1.0".into() };
        let store = Store::open(folder, Writer { actor, clock: Arc::new(Fixed) }).unwrap();
        let started = RunStarted {
            format: FORMAT_VERSION,
            runbook: "demo".into(),
            plan_hash: hex_digest("{}"),
            endpoint: Endpoint::default(),
            secrets: None,
            rehearsal: None,
        };
        let journal = store.create_run(RunId::new(Uuid::from_u128(1)), "{}", started, "apply").unwrap();
        (store, journal)
    }

    fn drafts(n: usize) -> Vec<Draft> {
        let draft = |i| Draft {
            at: Timestamp::UNIX_EPOCH,
            step: Some(StepId::new(&format!("step{i}"))),
            generation: Generation::FIRST,
            direction: Direction::Forward,
            body: RolledBack {}.into(),
        };
        (0..n).map(draft).collect()
    }

    fn count(store: &Store, journal: &SqliteJournal) -> usize {
        let mut n = 0;
        let counted = store.replay(journal.run(), &mut |_| {
            n += 1;
            Ok(())
        });
        assert_eq!(counted.unwrap(), journal.last());
        n
    }

    #[test]
    fn a_batch_that_fails_leaves_nothing_and_the_next_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut journal) = journal(folder.path());
        journal.append(drafts(3)).unwrap();
        journal.set_caller("arn:aws:iam::123456789012:user/op");
        let pages: i64 = journal.db.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        journal.db.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
        let error = journal.append(drafts(2000)).unwrap_err();
        assert!(matches!(error, JournalError::Full { .. }), "{error:?}");
        assert_eq!(count(&store, &journal), 5);
        journal.db.conn.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
        let records = journal.append(drafts(2000)).unwrap();
        assert_eq!(records[0].seq, Seq(6));
        assert!(records[0].actor.aws_caller.is_some());
        assert_eq!(count(&store, &journal), 2005);
    }

    #[test]
    fn the_chain_goes_on_from_what_another_process_appended() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut journal) = journal(folder.path());
        journal.append(drafts(1)).unwrap();
        let db = Db::open(&journal.db.path).unwrap();
        let approver = Actor { pid: 2, ..(*journal.pen.actor).clone() };
        let mut other = Pen::new(&db, journal.pen.run.clone(), &approver, journal.pen.head, 0).unwrap();
        let tx = begin(&db).unwrap();
        let mut approvals = drafts(2);
        approvals[1].step = Some(StepId::new("theirs"));
        other.write(&db, approvals).unwrap();
        tx.commit().unwrap();
        let records = journal.append(drafts(3)).unwrap();
        assert_eq!(records[0].seq, Seq(6));
        assert_eq!(store.tail(journal.run(), Some(Seq(3)), 1).unwrap()[0].actor.pid, 2);
        let mut n = 0;
        store
            .replay(journal.run(), &mut |_| {
                n += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(n, 8);
        let run = journal.run();
        assert_eq!(store.heads(run).unwrap().len(), 4);
        drop(journal);
        assert_eq!(store.heads(run).unwrap().len(), 4, "what others wrote is in the cache, too");
    }

    #[test]
    fn a_time_that_cannot_be_stored_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut journal) = journal(folder.path());
        let mut batch = drafts(2);
        batch[1].at = Timestamp::MAX;
        assert!(journal.append(batch).is_err());
        assert_eq!(count(&store, &journal), 2);
    }
}
