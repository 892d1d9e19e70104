//! Journals that were damaged or tampered with anywhere: what is read is what was written, or it
//! is refused in words that say so. Nothing panics, and whoever reads writes nothing.
//!
//! `PROPTEST_CASES` sets how many cases each property tries; a case that fails prints its damage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use rusqlite::Connection;
use rusqlite::types::Value;
use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::{RunSummary, Store};
use switchback_model::record::{Completed, Paused, Record};
use switchback_model::{RunId, Seq};

use crate::support::{State, all, draft, run_id, step_records, writer};

const PAGE: usize = 4096;
const FILES: [&str; 3] = ["journal.db", "journal.db-wal", "journal.db-shm"];

/// The files of a state folder, and what they say.
struct Good {
    files: BTreeMap<&'static str, Vec<u8>>,
    records: BTreeMap<RunId, Vec<Record>>,
    runs: Vec<RunSummary>,
}

/// Two runs, one of them with every kind of thing that runs record.
fn written(state: &State) -> Vec<switchback_journal::SqliteJournal> {
    let mut first = state.create(run_id(1));
    for i in 0..30 {
        first.append(step_records(&format!("step{i:03}"))).unwrap();
    }
    let mut second = state.create(run_id(2));
    second.append(step_records("vpc")).unwrap();
    second.append(vec![draft(None, Paused { why: "asked".into(), step: None })]).unwrap();
    second.append(vec![draft(None, Completed {})]).unwrap();
    vec![first, second]
}

fn taken(state: &State) -> Good {
    let files = FILES.iter().map(|name| (*name, fs::read(state.folder().join(name)).unwrap()));
    let files = files.collect();
    let store = state.open_read_only();
    let records = [run_id(1), run_id(2)].into_iter().map(|run| (run, all(&store, run).unwrap())).collect();
    Good { files, records, runs: store.runs().unwrap() }
}

/// Closed: everything is in the database.
static CLOSED: LazyLock<Good> = LazyLock::new(|| {
    let state = State::new();
    drop(written(&state));
    taken(&state)
});

/// As a process that was killed leaves it: the log holds most of it.
static CRASHED: LazyLock<Good> = LazyLock::new(|| {
    let state = State::new();
    let journals = written(&state);
    let good = taken(&state);
    drop(journals);
    good
});

fn put(files: &BTreeMap<&'static str, Vec<u8>>) -> State {
    let state = State::new();
    fs::create_dir_all(state.folder()).unwrap();
    for (name, bytes) in files {
        fs::write(state.folder().join(name), bytes).unwrap();
    }
    state
}

/// What was lost is lost: the newest records of a run may be gone, when nothing is left that knew of them.
#[derive(Clone, Copy, PartialEq)]
enum End {
    MustBeThere,
    MayBeGone,
}

fn refused_in_words(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Corrupt { .. }
            | JournalError::Tampered { .. }
            | JournalError::Version { .. }
            | JournalError::Missing(_)
    )
}

/// Reads all that can be read, and holds it against what was written.
fn check(folder: &Path, good: &Good, end: End) -> Result<(), TestCaseError> {
    let content = || ["journal.db", "journal.db-wal"].map(|name| fs::read(folder.join(name)).unwrap_or_default());
    let before = content();
    let result = check_store(folder, good, end);
    prop_assert!(content() == before, "reading has written");
    result
}

fn check_store(folder: &Path, good: &Good, end: End) -> Result<(), TestCaseError> {
    let store = match Store::open_read_only(folder) {
        Ok(store) => store,
        Err(e) => {
            prop_assert!(refused_in_words(&e), "{e:?}");
            return Ok(());
        }
    };
    let mut gone = Vec::new();
    for (run, written) in &good.records {
        match all(&store, *run) {
            Ok(read) if end == End::MayBeGone => prop_assert_eq!(&read[..], &written[..read.len()]),
            Ok(read) => prop_assert_eq!(&read, written),
            Err(JournalError::NoSuchRun(_)) => gone.push(*run),
            Err(e) => prop_assert!(refused_in_words(&e), "{e:?}"),
        }
        for (after, limit) in [(None, 3), (Some(Seq(2)), 4), (None, 10_000)] {
            match store.tail(*run, after, limit) {
                Ok(read) => {
                    let at = |r: &Record| usize::try_from(r.seq.0).unwrap() - 1;
                    for record in &read {
                        prop_assert_eq!(Some(record), written.get(at(record)));
                    }
                    let last = read.last().map(|r| r.seq);
                    let expected = after.map_or(written.len(), |s| at(&written[usize::try_from(s.0).unwrap()]) + limit);
                    prop_assert!(
                        end == End::MayBeGone || last == Some(Seq(expected as u64)),
                        "{after:?} {limit}: {last:?}"
                    );
                }
                Err(e) => prop_assert!(refused_in_words(&e) || matches!(e, JournalError::NoSuchRun(_)), "{e:?}"),
            }
        }
        // From caches, for showing: any answer, or a refusal.
        for e in [
            store.summary(*run).err(),
            store.heads(*run).err(),
            store.head_counts(*run).err(),
            store.plan(*run).err(),
            store.lock_holder(*run).err(),
        ]
        .into_iter()
        .flatten()
        {
            prop_assert!(refused_in_words(&e) || matches!(e, JournalError::NoSuchRun(_)), "{e:?}");
        }
    }
    let fixed = |s: &RunSummary| (s.run, s.runbook.clone(), s.plan_hash.clone(), s.created_at, s.endpoint.clone());
    match store.runs() {
        Ok(runs) => {
            // A run that is not found is missed by the list as well, unless nothing is left of it.
            prop_assert!(gone.is_empty() || end == End::MayBeGone, "{gone:?} are gone, and nobody noticed");
            for run in runs {
                prop_assert!(good.runs.iter().any(|good| fixed(good) == fixed(&run)), "{run:?}");
            }
        }
        Err(e) => prop_assert!(refused_in_words(&e), "{e:?}"),
    }
    Ok(())
}

/// Damage to the bytes of a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Grow(usize),
    Zero(Index),
    Fill(Index),
    Swap(Index, Index),
    Copy(Index, Index),
    /// A place in the first hundred bytes, where the header is, or in the header of a page.
    Header(Index, usize, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => at().prop_map(Damage::Cut),
        1 => (1..9000_usize).prop_map(Damage::Grow),
        1 => at().prop_map(Damage::Zero),
        1 => at().prop_map(Damage::Fill),
        1 => (at(), at()).prop_map(|(a, b)| Damage::Swap(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Damage::Copy(a, b)),
        4 => (at(), 0..112_usize, any::<u8>()).prop_map(|(page, at, byte)| Damage::Header(page, at, byte)),
    ]
}

fn damaged(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let pages = bytes.len().div_ceil(PAGE);
    let page = |at: &Index, len: usize| {
        let start = at.index(pages) * PAGE;
        start..(start + PAGE).min(len)
    };
    let len = bytes.len();
    match damage {
        Damage::Flip(at, mask) => bytes[at.index(len)] ^= mask,
        Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
        Damage::Cut(at) => bytes.truncate(at.index(len)),
        Damage::Grow(more) => bytes.resize(len + more, 0x5a),
        Damage::Zero(at) => bytes[page(at, len)].fill(0),
        Damage::Fill(at) => bytes[page(at, len)].fill(0xff),
        Damage::Swap(a, b) => {
            let (a, b) = (page(a, len), page(b, len));
            let (first, second) = (bytes[a.clone()].to_vec(), bytes[b.clone()].to_vec());
            if first.len() == second.len() {
                bytes[a].copy_from_slice(&second);
                bytes[b].copy_from_slice(&first);
            }
        }
        Damage::Copy(a, b) => {
            let (a, b) = (page(a, len), page(b, len));
            if a.len() == b.len() {
                bytes.copy_within(a, b.start);
            }
        }
        Damage::Header(at, offset, byte) => {
            let start = page(at, len).start + offset;
            if start < len {
                bytes[start] = *byte;
            }
        }
    }
}

const COLUMNS: [(&str, &str); 19] = [
    ("records", "id"),
    ("records", "at"),
    ("records", "actor"),
    ("records", "step"),
    ("records", "generation"),
    ("records", "direction"),
    ("records", "kind"),
    ("records", "hash"),
    ("records", "payload"),
    ("runs", "id"),
    ("runs", "uuid"),
    ("runs", "plan"),
    ("runs", "runbook"),
    ("runs", "endpoint"),
    ("runs", "created_at"),
    ("plans", "hash"),
    ("plans", "json"),
    ("actors", "id"),
    ("actors", "json"),
];

/// What somebody with `sqlite3` does, once the triggers are gone.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, Index, Value),
    /// The value of another row.
    Take(usize, Index, Index),
    SwapRows(Index, Index),
    Delete(&'static str, Index),
    DeleteFrom(&'static str),
    /// A record once more, under another number.
    Repeat(Index, i64),
    Sql(&'static str),
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        2 => "\\PC{0,10}",
        3 => select(vec!["{}", "[]", "null", "1", "{\"a\":1}", "forward", "unwinding", "Verified", "RunStarted", "Nonsense", "", "{\"epoch\":7,\"command\":\"x\"}", "{\"before\":\"absent\"}", "{\"all\":true}"]).prop_map(str::to_owned),
        1 => Just("[".repeat(2000)),
    ];
    prop_oneof![
        1 => Just(Value::Null),
        3 => any::<i64>().prop_map(Value::Integer),
        3 => (-3..40_i64).prop_map(Value::Integer),
        4 => text.prop_map(Value::Text),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        1 => any::<f64>().prop_map(Value::Real),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let tables = || select(vec!["records", "records", "runs", "plans", "actors"]);
    prop_oneof![
        6 => (0..COLUMNS.len(), at(), value()).prop_map(|(c, row, value)| Edit::Set(c, row, value)),
        3 => (0..COLUMNS.len(), at(), at()).prop_map(|(c, a, b)| Edit::Take(c, a, b)),
        2 => (at(), at()).prop_map(|(a, b)| Edit::SwapRows(a, b)),
        2 => (tables(), at()).prop_map(|(table, row)| Edit::Delete(table, row)),
        1 => tables().prop_map(Edit::DeleteFrom),
        2 => (at(), -5..9_i64).prop_map(|(row, by)| Edit::Repeat(row, by)),
        2 => select(vec![
            "PRAGMA user_version = 2",
            "PRAGMA user_version = -1",
            "PRAGMA application_id = 0",
            "DROP TABLE records",
            "DROP TABLE step_heads",
            "DROP TABLE folded",
            "DROP INDEX run_records",
            "ALTER TABLE records RENAME COLUMN payload TO load",
            "UPDATE records SET payload = upper(payload)",
            "UPDATE records SET id = id + 1 WHERE id > 68719476740; ",
            "UPDATE records SET id = id + 68719476736 WHERE id >> 36 = 2",
            "CREATE VIEW extra AS SELECT load_extension('x')",
            "DELETE FROM formats",
            "UPDATE step_heads SET state = 'nonsense', generation = -1",
            "UPDATE folded SET seq = seq - 1",
            "UPDATE folded SET hash = x'00'",
            "DROP TABLE runs; CREATE VIEW runs AS SELECT 1 AS id, 'x' AS uuid, 'x' AS plan, 'x' AS runbook, '' AS endpoint, 0 AS created_at",
        ]).prop_map(Edit::Sql),
    ]
}

/// Does as it is told; what SQLite refuses has not happened.
fn edited(conn: &Connection, edit: &Edit) -> rusqlite::Result<()> {
    let rows = |table: &str| -> rusqlite::Result<Vec<i64>> {
        conn.prepare(&format!("SELECT rowid FROM {table} ORDER BY rowid"))?.query_map([], |r| r.get(0))?.collect()
    };
    let pick = |rows: &[i64], at: &Index| if rows.is_empty() { 0 } else { rows[at.index(rows.len())] };
    match edit {
        Edit::Set(column, at, value) => {
            let (table, column) = COLUMNS[*column];
            let row = pick(&rows(table)?, at);
            conn.execute(&format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2"), (value, row))?;
        }
        Edit::Take(column, a, b) => {
            let (table, column) = COLUMNS[*column];
            let rows = rows(table)?;
            let sql = format!(
                "UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE rowid = ?1) WHERE rowid = ?2"
            );
            conn.execute(&sql, (pick(&rows, a), pick(&rows, b)))?;
        }
        Edit::SwapRows(a, b) => {
            let rows = rows("records")?;
            let (a, b) = (pick(&rows, a), pick(&rows, b));
            for (from, to) in [(a, -1), (b, a), (-1, b)] {
                conn.execute("UPDATE records SET id = ?2 WHERE id = ?1", (from, to))?;
            }
        }
        Edit::Delete(table, at) => {
            let row = pick(&rows(table)?, at);
            conn.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [row])?;
        }
        Edit::DeleteFrom(table) => conn.execute_batch(&format!("DELETE FROM {table}"))?,
        Edit::Repeat(at, by) => {
            let row = pick(&rows("records")?, at);
            conn.execute(
                "INSERT INTO records (id, at, actor, step, generation, direction, kind, hash, payload)
                 SELECT id + ?2, at, actor, step, generation, direction, kind, hash, payload FROM records WHERE id = ?1",
                (row, by),
            )?;
        }
        Edit::Sql(sql) => conn.execute_batch(sql)?,
    }
    Ok(())
}

fn config(usual: u32) -> ProptestConfig {
    let cases = std::env::var_os("PROPTEST_CASES").and_then(|n| n.to_str()?.parse().ok()).unwrap_or(usual);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

#[test]
fn the_good_ones_are_good() {
    for good in [&*CLOSED, &*CRASHED] {
        assert_eq!(good.records.values().map(Vec::len).collect::<Vec<_>>(), [122, 8]);
        check(&put(&good.files).folder(), good, End::MustBeThere).unwrap();
        assert_eq!(put(&good.files).open_read_only().runs().unwrap().len(), 2);
    }
    assert!(CLOSED.files["journal.db"].len() > 8 * PAGE && CRASHED.files["journal.db-wal"].len() > 8 * PAGE);
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_damaged_database(damages in prop::collection::vec(damage(), 1..4)) {
        let mut files = CLOSED.files.clone();
        let bytes = files.get_mut("journal.db").unwrap();
        damages.iter().for_each(|d| damaged(bytes, d));
        check(&put(&files).folder(), &CLOSED, End::MustBeThere)?;
    }

    #[test]
    fn a_damaged_log(damages in prop::collection::vec(damage(), 1..4), index in any::<bool>()) {
        let mut files = CRASHED.files.clone();
        let bytes = files.get_mut("journal.db-wal").unwrap();
        damages.iter().for_each(|d| damaged(bytes, d));
        if !index {
            files.remove("journal.db-shm");
        }
        check(&put(&files).folder(), &CRASHED, End::MayBeGone)?;
    }

    #[test]
    fn a_damaged_index(damages in prop::collection::vec(damage(), 1..4)) {
        let mut files = CRASHED.files.clone();
        let bytes = files.get_mut("journal.db-shm").unwrap();
        damages.iter().for_each(|d| damaged(bytes, d));
        check(&put(&files).folder(), &CRASHED, End::MayBeGone)?;
    }

    #[test]
    fn files_of_different_journals(which in prop::collection::vec(0..3_usize, 3)) {
        let mut files = BTreeMap::new();
        for (name, which) in FILES.into_iter().zip(which) {
            let from = [&CLOSED.files, &CRASHED.files].get(which).and_then(|files| files.get(name));
            if let Some(bytes) = from {
                files.insert(name, bytes.clone());
            }
        }
        check(&put(&files).folder(), &CLOSED, End::MayBeGone)?;
    }

    #[test]
    fn a_database_that_was_edited(edits in prop::collection::vec(edit(), 1..4)) {
        let state = put(&CLOSED.files);
        state.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
        let conn = Connection::open(state.file()).unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
        for edit in &edits {
            let _ = edited(&conn, edit);
        }
        drop(conn);
        check(&state.folder(), &CLOSED, End::MustBeThere)?;
        // Whoever would write refuses, or finds a journal; both without a panic.
        if let Err(e) = Store::open(&state.folder(), writer()) {
            prop_assert!(refused_in_words(&e), "{e:?}");
        }
    }
}
