//! The newest state of each step: a cache, so that `status` need not read a million records.
//!
//! `step_heads` holds the states as of record `folded.seq`; whoever reads folds the records that
//! follow, which are never more than [`FOLD_AFTER`] and one batch. So the executor writes a step's
//! state once for many records of it, and a process that was killed leaves nothing to repair.
//!
//! Correctness does not depend on it: no executor reads it, and `DELETE FROM step_heads; DELETE
//! FROM folded;` only makes `status` slower. Only one thing is believed: that a record it knows of
//! did exist.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction};
use switchback_engine::journal::JournalError;
use switchback_model::status::State;
use switchback_model::{Generation, Seq, StepId};

use crate::chain::Hash;
use crate::db::Db;
use crate::store::RunRow;

/// After how many records the executor brings the cache up to date.
pub(crate) const FOLD_AFTER: u64 = 4096;

/// The newest state of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepHead {
    /// The step.
    pub step: StepId,
    /// Its generation.
    pub generation: Generation,
    /// Its state.
    pub state: State,
    /// The record that made it so.
    pub seq: Seq,
    /// When, in UTC.
    pub at: Timestamp,
}

/// A head as stored, without its step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) generation: i64,
    pub(crate) state: State,
    pub(crate) seq: i64,
    pub(crate) at: i64,
}

/// The state after a record of that kind; `None`: it changes none.
pub(crate) fn state_after(kind: &str) -> Option<State> {
    Some(match kind {
        "Captured" => State::Captured,
        "CaptureFailed" => State::CaptureFailed,
        "CreateStarted" => State::CreateStarted,
        "CreateFailed" => State::CreateFailed,
        "Created" => State::Created,
        "Adopted" => State::Adopted,
        "SettleFailed" => State::SettleFailed,
        "VerifyFailed" => State::VerifyFailed,
        "Verified" => State::Verified,
        "Skipped" => State::Skipped,
        "MarkedDone" => State::MarkedDone,
        "RollbackStarted" => State::RollbackStarted,
        "RolledBack" => State::RolledBack,
        "RollbackFailed" => State::RollbackFailed,
        "Undone" => State::Undone,
        "UndoFailed" => State::UndoFailed,
        "RollbackSkipped" => State::RollbackSkipped,
        "RollbackMarkedDone" => State::RollbackMarkedDone,
        _ => return None,
    })
}

/// The last record that the cache knows of, with its hash.
pub(crate) fn folded(db: &Db, run: &RunRow) -> Result<Option<(i64, Hash)>, JournalError> {
    db.conn
        .prepare_cached("SELECT seq, hash FROM folded WHERE run = ?1")
        .and_then(|mut s| s.query_row([run.id], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|e| db.failed(e))
}

/// The heads that changed in the records after `after`.
pub(crate) fn fold_after(db: &Db, run: &RunRow, after: i64) -> Result<HashMap<StepId, Head>, JournalError> {
    let failed = |e| db.failed(e);
    let mut statement = db
        .conn
        .prepare_cached(
            "SELECT seq, at, step, generation, kind FROM records \
             WHERE id BETWEEN ?1 AND ?2 AND step IS NOT NULL ORDER BY id",
        )
        .map_err(failed)?;
    let mut rows = statement.query((run.id_of(after) + 1, run.last_id())).map_err(failed)?;
    let mut heads: HashMap<StepId, Head> = HashMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let text = |i| row.get_ref(i)?.as_str().map_err(rusqlite::Error::from);
        let Some(state) = state_after(text(4).map_err(failed)?) else { continue };
        let head = Head {
            generation: row.get(3).map_err(failed)?,
            state,
            seq: row.get(0).map_err(failed)?,
            at: row.get(1).map_err(failed)?,
        };
        heads.insert(StepId::new(text(2).map_err(failed)?), head);
    }
    Ok(heads)
}

/// Writes `heads` into the cache, which then stands at record `seq`.
pub(crate) fn store(
    tx: &Transaction<'_>,
    run: &RunRow,
    heads: &HashMap<StepId, Head>,
    seq: i64,
    hash: &Hash,
) -> Result<(), rusqlite::Error> {
    let mut upsert = tx.prepare_cached(
        "INSERT INTO step_heads (run, step, generation, state, seq, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (run, step) DO UPDATE SET generation = ?3, state = ?4, seq = ?5, at = ?6",
    )?;
    for (step, head) in heads {
        upsert.execute((run.id, step.as_str(), head.generation, head.state.as_str(), head.seq, head.at))?;
    }
    tx.prepare_cached(
        "INSERT INTO folded (run, seq, hash) VALUES (?1, ?2, ?3) ON CONFLICT (run) DO UPDATE SET seq = ?2, hash = ?3",
    )?
    .execute((run.id, seq, hash))?;
    Ok(())
}

/// The head of every step that has one, in the order of the steps' ids. The caller reads from one
/// transaction.
pub(crate) fn heads(db: &Db, run: &RunRow) -> Result<Vec<StepHead>, JournalError> {
    let failed = |e| db.failed(e);
    let after = folded(db, run)?.map_or(0, |(seq, _)| seq);
    let mut newer = fold_after(db, run, after)?;
    let mut all = Vec::new();
    if after > 0 {
        let mut statement = db
            .conn
            .prepare_cached("SELECT step, generation, state, seq, at FROM step_heads WHERE run = ?1 ORDER BY step")
            .map_err(failed)?;
        let mut rows = statement.query([run.id]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |i| row.get_ref(i)?.as_str().map_err(rusqlite::Error::from);
            let step = StepId::new(text(0).map_err(failed)?);
            if let Some(head) = newer.remove(&step) {
                all.push(shown(db, step, head)?);
                continue;
            }
            let name = text(2).map_err(failed)?;
            let state =
                State::parse(name).ok_or_else(|| db.corrupt(format!("`step_heads` holds the state {name:?}")))?;
            let head = Head {
                generation: row.get(1).map_err(failed)?,
                state,
                seq: row.get(3).map_err(failed)?,
                at: row.get(4).map_err(failed)?,
            };
            all.push(shown(db, step, head)?);
        }
    }
    if !newer.is_empty() {
        for (step, head) in newer {
            all.push(shown(db, step, head)?);
        }
        all.sort_by(|a, b| a.step.cmp(&b.step));
    }
    Ok(all)
}

/// How many steps are in each state, of those that have any record.
pub(crate) fn counts(db: &Db, run: &RunRow) -> Result<BTreeMap<State, u64>, JournalError> {
    let failed = |e| db.failed(e);
    let after = folded(db, run)?.map_or(0, |(seq, _)| seq);
    let newer = fold_after(db, run, after)?;
    let parse =
        |name: &str| State::parse(name).ok_or_else(|| db.corrupt(format!("`step_heads` holds the state {name:?}")));
    let mut counts: BTreeMap<State, u64> = BTreeMap::new();
    if after > 0 {
        let mut grouped = db
            .conn
            .prepare_cached("SELECT state, count(*) FROM step_heads WHERE run = ?1 GROUP BY state")
            .map_err(failed)?;
        let mut rows = grouped.query([run.id]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let name: String = row.get(0).map_err(failed)?;
            let count: i64 = row.get(1).map_err(failed)?;
            counts.insert(parse(&name)?, u64::try_from(count).unwrap_or_default());
        }
        let mut one =
            db.conn.prepare_cached("SELECT state FROM step_heads WHERE run = ?1 AND step = ?2").map_err(failed)?;
        for step in newer.keys() {
            let was =
                one.query_row((run.id, step.as_str()), |row| row.get::<_, String>(0)).optional().map_err(failed)?;
            if let Some(was) = was {
                let count = counts.entry(parse(&was)?).or_default();
                *count = count.saturating_sub(1);
            }
        }
    }
    for head in newer.values() {
        *counts.entry(head.state).or_default() += 1;
    }
    counts.retain(|_, count| *count > 0);
    Ok(counts)
}

fn shown(db: &Db, step: StepId, head: Head) -> Result<StepHead, JournalError> {
    let wrong = |what: &str| db.corrupt(format!("the newest record of step `{step}` has an impossible {what}"));
    let generation = u32::try_from(head.generation).map_err(|_| wrong("generation"))?;
    let seq = u64::try_from(head.seq).map_err(|_| wrong("number"))?;
    let at = Timestamp::from_nanosecond(head.at.into()).map_err(|_| wrong("time"))?;
    Ok(StepHead { step, generation: Generation(generation), state: head.state, seq: Seq(seq), at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_kind() {
        for state in State::ALL {
            if state == State::Fresh {
                continue;
            }
            let kind: String = state.as_str().split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            assert_eq!(state_after(&kind), Some(state));
        }
        assert_eq!(state_after("Called"), None);
        assert_eq!(state_after("Paused"), None);
    }
}
