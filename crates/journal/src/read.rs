//! Reading records back, and checking that they are what was written.
//!
//! Every record that leaves this crate was checked: it follows its predecessor without a gap, its
//! hash is the hash of its columns and of the hash before it, and its columns make sense. The
//! texts are hashed where SQLite holds them; nothing is copied but what the record keeps.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{OptionalExtension as _, Row};
use switchback_engine::journal::JournalError;
use switchback_model::record::{Actor, Body, Direction, Draft, FORMAT_VERSION, Record};
use switchback_model::{Epoch, Generation, Seq, StepId};

use crate::chain::{self, Chain, Columns, Hash, RunColumns};
use crate::db::Db;
use crate::store::RunRow;

const COLUMNS: &str = "id, at, actor, step, generation, direction, kind, hash, payload";

/// Reads the records of one run, in order, and checks each against the one before.
struct Reader<'a> {
    db: &'a Db,
    run: &'a RunRow,
    chain: Chain,
    seq: i64,
    hash: Hash,
    /// `None`: reading began in the middle.
    epoch: Option<Epoch>,
    actors: HashMap<i64, (Box<str>, Arc<Actor>)>,
    steps: HashMap<Box<str>, StepId>,
}

impl<'a> Reader<'a> {
    /// Reads on after the record `seq`, which had the hash `hash`.
    fn after(db: &'a Db, run: &'a RunRow, seq: i64, hash: Hash) -> Self {
        let epoch = (seq == 0).then_some(Epoch(0));
        Self { db, run, chain: Chain::new(run.uuid), seq, hash, epoch, actors: HashMap::new(), steps: HashMap::new() }
    }

    fn tampered(&self, seq: i64, what: impl Into<String>) -> JournalError {
        tampered(self.db, self.run, seq, what)
    }

    /// The next record.
    fn read(&mut self, row: &Row<'_>) -> Result<Record, JournalError> {
        let failed = |e| self.db.failed(e);
        let seq = self.seq + 1;
        if row.get::<_, i64>(0).map_err(failed)? != self.run.id_of(seq) {
            return Err(self.tampered(seq, "it is missing"));
        }
        let not_a_text = |e: FromSqlError| self.tampered(seq, e.to_string());
        let at: i64 = row.get(1).map_err(failed)?;
        let actor_id: i64 = row.get(2).map_err(failed)?;
        let step = row.get_ref(3).map_err(failed)?.as_str_or_null().map_err(not_a_text)?;
        if step == Some("") {
            // It has the hash of a record without a step, and would be read as something else.
            return Err(self.tampered(seq, "its step has no name"));
        }
        let generation: i64 = row.get(4).map_err(failed)?;
        let direction = row.get_ref(5).map_err(failed)?.as_str().map_err(not_a_text)?;
        let kind = row.get_ref(6).map_err(failed)?.as_str().map_err(not_a_text)?;
        let payload = row.get_ref(8).map_err(failed)?.as_str().map_err(not_a_text)?;
        let stored = match row.get_ref(7).map_err(failed)? {
            ValueRef::Blob(bytes) => Hash::try_from(bytes).ok(),
            _ => None,
        }
        .ok_or_else(|| self.tampered(seq, "it has no hash"))?;

        if !self.actors.contains_key(&actor_id) {
            let actor = self.actor(seq, actor_id)?;
            self.actors.insert(actor_id, actor);
        }
        let (actor_json, actor) = &self.actors[&actor_id];
        let columns = Columns { seq, at, actor: actor_json, step, generation, direction, kind, payload };
        if self.chain.next(&self.hash, &columns) != stored {
            return Err(self.tampered(seq, "its hash does not match its content and the hash before it"));
        }

        // From here on the record is what was written. What is wrong now was written wrong, or
        // by a release that this one does not know.
        let unreadable = |what: String| self.db.corrupt(format!("record {seq} of run {}: {what}", self.run.uuid));
        let actor = Arc::clone(actor);
        let at = Timestamp::from_nanosecond(at.into()).map_err(|e| unreadable(e.to_string()))?;
        let direction = Direction::parse(direction).ok_or_else(|| unreadable(format!("direction {direction:?}")))?;
        let generation = u32::try_from(generation)
            .ok()
            .filter(|g| *g > 0)
            .ok_or_else(|| unreadable(format!("generation {generation}")))?;
        let body = Body::parse(kind, payload).map_err(|e| unreadable(with_source(&e)))?;
        match &body {
            Body::RunStarted(p) if p.format != FORMAT_VERSION => {
                return Err(JournalError::Version {
                    path: self.db.path.clone(),
                    found: p.format,
                    supported: FORMAT_VERSION,
                    advice: format!("its records were written by Switchback {}", actor.binary),
                });
            }
            Body::RunStarted(p) if seq != 1 || p.plan_hash != self.run.plan => {
                return Err(unreadable("it starts the run anew, or with another plan".to_owned()));
            }
            Body::RunStarted(_) => {}
            _ if seq == 1 => return Err(unreadable("the first record is not RunStarted".to_owned())),
            Body::ExecutorStarted(p) => {
                if self.epoch.is_some_and(|before| before.next() != p.epoch) {
                    return Err(unreadable(format!("epoch {} is out of turn", p.epoch)));
                }
                self.epoch = Some(p.epoch);
            }
            _ => {}
        }
        let step = step.map(|text| match self.steps.get(text) {
            Some(step) => step.clone(),
            None => {
                let step = StepId::new(text);
                self.steps.insert(text.into(), step.clone());
                step
            }
        });
        self.seq = seq;
        self.hash = stored;
        let seq = Seq(u64::try_from(seq).map_err(|_| self.db.corrupt("a record has a negative number"))?);
        let draft = Draft { at, step, generation: Generation(generation), direction, body };
        Ok(Record { seq, actor, run: self.run.uuid, draft, hash: stored })
    }

    fn actor(&self, seq: i64, id: i64) -> Result<(Box<str>, Arc<Actor>), JournalError> {
        let json: Option<Box<str>> = self
            .db
            .conn
            .prepare_cached("SELECT json FROM actors WHERE id = ?1")
            .and_then(|mut s| s.query_row([id], |row| row.get(0)).optional())
            .map_err(|e| self.db.failed(e))?;
        let json = json.ok_or_else(|| self.tampered(seq, "its actor is missing"))?;
        let actor = serde_json::from_str(&json).map_err(|e| self.tampered(seq, format!("its actor: {e}")))?;
        Ok((json, Arc::new(actor)))
    }
}

fn tampered(db: &Db, run: &RunRow, seq: i64, what: impl Into<String>) -> JournalError {
    let seq = Seq(u64::try_from(seq).unwrap_or_default());
    JournalError::Tampered { path: db.path.clone(), run: run.uuid, seq, what: what.into() }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// What a run's first record is chained to.
pub(crate) fn genesis(run: &RunRow) -> Hash {
    chain::genesis(&RunColumns {
        run: &run.uuid.to_string(),
        plan: &run.plan,
        runbook: &run.runbook,
        endpoint: &run.endpoint,
        created_at: run.created_at,
    })
}

/// The newest record's number and hash; `None`: there are no records.
pub(crate) fn head(db: &Db, run: &RunRow) -> Result<Option<(i64, Hash)>, JournalError> {
    db.conn
        .prepare_cached("SELECT id, hash FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")
        .and_then(|mut s| {
            s.query_row((run.first_id(), run.last_id()), |row| Ok((run.seq_of(row.get(0)?), row.get(1)?))).optional()
        })
        .map_err(|e| db.failed(e))
}

/// The newest record's number and hash.
pub(crate) fn head_of_started(db: &Db, run: &RunRow) -> Result<(i64, Hash), JournalError> {
    head(db, run)?.ok_or_else(|| tampered(db, run, 1, "it is missing"))
}

/// As [`head_of_started`], where no record is missing at the end that the cache knows of.
pub(crate) fn whole_head(db: &Db, run: &RunRow) -> Result<(i64, Hash), JournalError> {
    let head = head_of_started(db, run)?;
    match crate::heads::folded(db, run)? {
        Some((seq, _)) if seq > head.0 => Err(tampered(db, run, head.0 + 1, "it is missing")),
        _ => Ok(head),
    }
}

/// The hash of the record `seq`; `None`: there is no such record.
pub(crate) fn hash_of(db: &Db, run: &RunRow, seq: i64) -> Result<Option<Hash>, JournalError> {
    db.conn
        .prepare_cached("SELECT hash FROM records WHERE id = ?1")
        .and_then(|mut s| s.query_row([run.id_of(seq)], |row| row.get(0)).optional())
        .map_err(|e| db.failed(e))
}

/// A record that is not what this process saw there before.
pub(crate) fn vanished(db: &Db, run: &RunRow, seq: i64) -> JournalError {
    tampered(db, run, seq, "it was there and is gone, or is another one now")
}

/// Checks the first record, and with it what the run's row says: its hash covers that.
pub(crate) fn check_start(db: &Db, run: &RunRow) -> Result<(), JournalError> {
    let failed = |e| db.failed(e);
    let sql = format!("SELECT {COLUMNS} FROM records WHERE id = ?1");
    let mut statement = db.conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([run.id_of(1)]).map_err(failed)?;
    match rows.next().map_err(failed)? {
        Some(row) => Reader::after(db, run, 0, genesis(run)).read(row).map(drop),
        None => Err(tampered(db, run, 1, "it is missing")),
    }
}

/// Every record, in order. The caller reads from one transaction.
pub(crate) fn replay<E: From<JournalError>>(
    db: &Db,
    run: &RunRow,
    each: &mut dyn FnMut(Record) -> Result<(), E>,
) -> Result<Seq, E> {
    let failed = |e| db.failed(e);
    let sql = format!("SELECT {COLUMNS} FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
    let mut statement = db.conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query((run.first_id(), run.last_id())).map_err(failed)?;
    let mut reader = Reader::after(db, run, 0, genesis(run));
    let mut last = Seq(0);
    while let Some(row) = rows.next().map_err(failed)? {
        let record = reader.read(row)?;
        last = record.seq;
        each(record)?;
    }
    if reader.seq == 0 {
        return Err(reader.tampered(1, "it is missing").into());
    }
    if head_of_started(db, run)?.0 > reader.seq {
        // Damaged inside, the table gives fewer records in order than it has.
        return Err(reader.tampered(reader.seq + 1, "it is missing").into());
    }
    if let Some((seq, hash)) = crate::heads::folded(db, run)? {
        if seq > reader.seq {
            return Err(reader.tampered(reader.seq + 1, "it is missing").into());
        }
        if hash_of(db, run, seq)? != Some(hash) {
            return Err(vanished(db, run, seq).into());
        }
    }
    Ok(last)
}

/// At most `limit` records: those that follow `after`, or the newest. The caller reads from one
/// transaction.
pub(crate) fn tail(db: &Db, run: &RunRow, after: Option<Seq>, limit: usize) -> Result<Vec<Record>, JournalError> {
    let failed = |e| db.failed(e);
    let (newest, _) = whole_head(db, run)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let after = match after {
        Some(seq) => i64::try_from(seq.0).unwrap_or(i64::MAX).min(newest),
        None => newest.saturating_sub(limit).max(0),
    };
    let before = if after == 0 {
        genesis(run)
    } else {
        hash_of(db, run, after)?.ok_or_else(|| tampered(db, run, after, "it is missing"))?
    };
    let sql = format!("SELECT {COLUMNS} FROM records WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
    let mut statement = db.conn.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query((run.id_of(after) + 1, run.last_id(), limit)).map_err(failed)?;
    let mut reader = Reader::after(db, run, after, before);
    let mut records = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        records.push(reader.read(row)?);
    }
    if reader.seq < newest.min(after.saturating_add(limit)) {
        // As in `replay`.
        return Err(reader.tampered(reader.seq + 1, "it is missing"));
    }
    Ok(records)
}
