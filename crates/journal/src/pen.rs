//! Writing records: where a run's chain stands, and the next record on it.
//!
//! It knows nothing of transactions, locks and epochs but the one that it is given to check; the
//! executor's journal ([`SqliteJournal`](crate::SqliteJournal)) wraps them around it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction};
use switchback_engine::journal::JournalError;
use switchback_model::record::{Actor, Draft, Record};
use switchback_model::{Epoch, Seq, StepId};

use crate::chain::{Chain, Columns, Hash};
use crate::db::Db;
use crate::heads::{self, FOLD_AFTER, Head};
use crate::state::newest_epoch;
use crate::store::RunRow;
use crate::{failure, read};

/// What it takes to write the next record. It knows nothing of transactions: its owner commits,
/// or takes it [`back_to`](Self::back_to) where it was.
pub(crate) struct Pen {
    pub(crate) run: RunRow,
    chain: Chain,
    /// The newest record and its hash.
    pub(crate) head: (i64, Hash),
    pub(crate) actor: Arc<Actor>,
    actor_json: String,
    /// The row of the actor, once it is committed.
    actor_id: Option<i64>,
    /// The cache stands at this record ...
    folded: i64,
    /// ... and these heads have changed since; `None`: to be read from the records.
    heads: Option<HashMap<StepId, Head>>,
}

/// Where a [`Pen`] stood before a transaction.
pub(crate) struct Mark {
    head: (i64, Hash),
    actor_id: Option<i64>,
    folded: i64,
}

impl Pen {
    pub(crate) fn new(
        db: &Db,
        run: RunRow,
        actor: &Actor,
        head: (i64, Hash),
        folded: i64,
    ) -> Result<Self, JournalError> {
        let actor_json = serde_json::to_string(actor)
            .map_err(|e| failure::other(&db.path, format!("the actor cannot be stored: {e}")))?;
        Ok(Self {
            chain: Chain::new(run.uuid),
            run,
            head,
            actor: Arc::new(actor.clone()),
            actor_json,
            actor_id: None,
            folded,
            heads: None,
        })
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { head: self.head, actor_id: self.actor_id, folded: self.folded }
    }

    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.head = mark.head;
        self.actor_id = mark.actor_id;
        self.folded = mark.folded;
        self.heads = None;
    }

    pub(crate) fn set_caller(&mut self, caller: &str) {
        let actor = Actor { aws_caller: Some(caller.to_owned()), ..(*self.actor).clone() };
        // Texts and numbers have a JSON form; should that ever change, the old actor stays.
        if let Ok(json) = serde_json::to_string(&actor) {
            self.actor = Arc::new(actor);
            self.actor_json = json;
            self.actor_id = None;
        }
    }

    /// Checks that the run still is ours, and goes on after what others have appended.
    pub(crate) fn catch_up(&mut self, db: &Db, ours: Epoch) -> Result<(), JournalError> {
        let (seq, hash) = self.head;
        let newest = read::head_of_started(db, &self.run)?;
        if newest != self.head {
            if newest.0 < seq || read::hash_of(db, &self.run, seq)? != Some(hash) {
                return Err(read::vanished(db, &self.run, seq));
            }
            match newest_epoch(db, &self.run)? {
                Some(epoch) if epoch == ours => {}
                newest => {
                    let newest = newest.unwrap_or(Epoch(0));
                    return Err(JournalError::TakenOver { run: self.run.uuid, ours, newest });
                }
            }
            self.head = newest;
            self.heads = None;
        }
        if self.heads.is_none() {
            self.heads = Some(heads::fold_after(db, &self.run, self.folded)?);
        }
        Ok(())
    }

    /// Inserts the records.
    pub(crate) fn write(&mut self, db: &Db, batch: Vec<Draft>) -> Result<Vec<Arc<Record>>, JournalError> {
        let failed = |e| db.failed(e);
        let actor_id = self.actor_row(db)?;
        let mut insert = db
            .conn
            .prepare_cached(
                "INSERT INTO records (id, at, actor, step, generation, direction, kind, hash, payload) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .map_err(failed)?;
        let mut records = Vec::with_capacity(batch.len());
        for draft in batch {
            let kind = draft.body.kind();
            let payload = draft
                .body
                .payload()
                .map_err(|e| failure::other(&db.path, format!("a {kind} record cannot be stored: {e}")))?;
            let seq = self.head.0 + 1;
            let columns = Columns {
                seq,
                at: nanoseconds(db, draft.at)?,
                actor: &self.actor_json,
                step: draft.step.as_ref().map(StepId::as_str),
                generation: draft.generation.0.into(),
                direction: draft.direction.as_str(),
                kind,
                payload: &payload,
            };
            let hash = self.chain.next(&self.head.1, &columns);
            insert
                .execute((
                    self.run.id_of(seq),
                    columns.at,
                    actor_id,
                    columns.step,
                    columns.generation,
                    columns.direction,
                    kind,
                    &hash,
                    &payload,
                ))
                .map_err(failed)?;
            if let (Some(heads), Some(step), Some(state)) = (&mut self.heads, &draft.step, heads::state_after(kind)) {
                heads.insert(step.clone(), Head { generation: columns.generation, state, seq, at: columns.at });
            }
            self.head = (seq, hash);
            let seq = Seq(u64::try_from(seq).map_err(|_| db.corrupt("a record has a negative number"))?);
            records.push(Arc::new(Record { seq, actor: Arc::clone(&self.actor), run: self.run.uuid, draft, hash }));
        }
        Ok(records)
    }

    fn actor_row(&mut self, db: &Db) -> Result<i64, JournalError> {
        if let Some(id) = self.actor_id {
            return Ok(id);
        }
        let found = db
            .conn
            .prepare_cached("SELECT id FROM actors WHERE json = ?1")
            .and_then(|mut s| s.query_row([&self.actor_json], |row| row.get(0)).optional())
            .map_err(|e| db.failed(e))?;
        let id = match found {
            Some(id) => id,
            None => db
                .conn
                .prepare_cached("INSERT INTO actors (json) VALUES (?1)")
                .and_then(|mut s| s.insert([&self.actor_json]))
                .map_err(|e| db.failed(e))?,
        };
        self.actor_id = Some(id);
        Ok(id)
    }

    pub(crate) fn fold_when_due(&mut self, db: &Db, tx: &Transaction<'_>) -> Result<(), JournalError> {
        let behind = u64::try_from(self.head.0 - self.folded).unwrap_or_default();
        if behind >= FOLD_AFTER { self.fold(db, tx) } else { Ok(()) }
    }

    pub(crate) fn fold(&mut self, db: &Db, tx: &Transaction<'_>) -> Result<(), JournalError> {
        if let Some(heads) = &mut self.heads {
            heads::store(tx, &self.run, heads, self.head.0, &self.head.1).map_err(|e| db.failed(e))?;
            heads.clear();
            self.folded = self.head.0;
        }
        Ok(())
    }
}

/// A time as stored.
pub(crate) fn nanoseconds(db: &Db, at: jiff::Timestamp) -> Result<i64, JournalError> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| failure::other(&db.path, format!("the time {at} is outside of what can be stored")))
}
