//! Every kind of damage has its name, is found before anything is done on the strength of it, and
//! is left as it was found.

use std::fs;

use rusqlite::Connection;
use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::Store;
use switchback_model::record::{ExecutorStarted, RunStarted};
use switchback_model::{Epoch, Seq};

use crate::support::{PLAN, State, all, draft, run_id, started, step_records, writer};

/// What both ways of opening say, which must leave the file alone.
fn opening(state: &State) -> JournalError {
    let before = fs::read(state.file()).ok();
    let reading = Store::open_read_only(&state.folder()).unwrap_err();
    let writing = Store::open(&state.folder(), writer()).unwrap_err();
    assert_eq!(std::mem::discriminant(&reading), std::mem::discriminant(&writing), "{reading:?} {writing:?}");
    assert_eq!(reading.to_string(), writing.to_string());
    assert_eq!(fs::read(state.file()).ok(), before);
    reading
}

#[test]
fn what_is_not_a_journal_is_not_opened() {
    let contents: [(&str, &[u8]); 4] = [
        ("a text", b"this is not a database, whatever its name says\n".as_slice()),
        ("nothing", b""),
        ("zeros", &[0; 8192]),
        ("a cut-off header", b"SQLite format 3\0\x10"),
    ];
    for (what, content) in contents {
        let state = State::with_run(run_id(1), 1);
        fs::write(state.file(), content).unwrap();
        let error = opening(&state);
        assert!(matches!(error, JournalError::Corrupt { .. }), "{what}: {error:?}");
    }
}

#[test]
fn a_journal_that_is_gone_but_for_its_log_is_not_started_anew() {
    let state = State::new();
    let _journal = state.create(run_id(1));
    fs::remove_file(state.file()).unwrap();
    let error = Store::open(&state.folder(), writer()).unwrap_err();
    assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("journal.db-wal")), "{error:?}");
    assert!(!state.file().exists());
    assert!(matches!(Store::open_read_only(&state.folder()), Err(JournalError::Missing(p)) if p == state.file()));
}

#[test]
fn the_log_of_a_journal_that_was_cut_off_is_kept() {
    // SQLite takes the log of an empty database for leftovers, and deletes it.
    let state = State::new();
    let mut journal = state.create(run_id(1));
    journal.append(step_records("vpc")).unwrap();
    let log = state.folder().join("journal.db-wal");
    let before = fs::read(&log).unwrap();
    assert!(!before.is_empty());
    std::mem::forget(journal);
    fs::write(state.file(), b"").unwrap();
    assert!(matches!(opening(&state), JournalError::Corrupt { .. }));
    assert_eq!(fs::read(&log).unwrap(), before);
}

#[test]
fn a_folder_in_the_journals_place_is_an_error() {
    let state = State::new();
    fs::create_dir_all(state.file()).unwrap();
    assert!(matches!(opening(&state), JournalError::Corrupt { .. }));
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let state = State::with_run(run_id(1), 1);
    state.tamper("PRAGMA application_id = 7");
    let error = opening(&state);
    assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("not a journal")), "{error:?}");
}

#[test]
fn a_header_that_makes_no_sense_is_damage() {
    let state = State::with_run(run_id(1), 1);
    let mut bytes = fs::read(state.file()).unwrap();
    // SQLite's format of the schema, of which there are four.
    bytes[47] = 5;
    fs::write(state.file(), bytes).unwrap();
    let error = Store::open_read_only(&state.folder()).and_then(|store| all(&store, run_id(1))).unwrap_err();
    assert!(matches!(error, JournalError::Corrupt { .. }), "{error:?}");
}

#[test]
fn another_format_says_which_release_reads_it() {
    let state = State::with_run(run_id(1), 1);
    state.tamper("PRAGMA user_version = 7");
    let error = opening(&state);
    assert_eq!(
        error.to_string(),
        format!("the journal {} has format 7, this release reads format 1", state.file().display())
    );
    let advice = |error: JournalError| match error {
        JournalError::Version { advice, .. } => advice,
        other => panic!("{other:?}"),
    };
    assert_eq!(advice(error), "format 7 is read by Switchback one newer than this and later");
    state.tamper("INSERT INTO formats VALUES (7, '3.1.0')");
    assert_eq!(advice(opening(&state)), "format 7 is read by Switchback 3.1.0 and later");
    state.tamper("PRAGMA user_version = 0");
    assert!(advice(opening(&state)).contains("no release of Switchback writes format 0"));
}

#[test]
fn records_of_another_format_name_their_writer() {
    let state = State::new();
    let run = run_id(1);
    let newer = RunStarted { format: 2, ..started() };
    drop(state.open().create_run(run, PLAN, newer, "apply").unwrap());
    let error = all(&state.open_read_only(), run).unwrap_err();
    assert!(
        matches!(&error, JournalError::Version { found: 2, supported: 1, advice, .. } if advice.contains("0.1.0")),
        "{error:?}"
    );
}

#[test]
fn a_journal_that_was_cut_off_is_corrupt() {
    for (keep, of) in [(1, 4), (1, 2), (3, 4)] {
        let state = State::with_run(run_id(1), 200);
        let size = fs::metadata(state.file()).unwrap().len();
        fs::File::options().write(true).open(state.file()).unwrap().set_len(size * keep / of / 4096 * 4096).unwrap();
        let error = opening(&state);
        assert!(matches!(error, JournalError::Corrupt { .. }), "{keep}/{of}: {error:?}");
    }
}

#[test]
fn pages_that_were_overwritten_are_found_when_they_are_read() {
    let run = run_id(1);
    let state = State::with_run(run, 200);
    let mut bytes = fs::read(state.file()).unwrap();
    let pages = bytes.len() / 4096;
    let mut found = 0;
    let original = bytes.clone();
    for page in 1..pages {
        bytes.copy_from_slice(&original);
        bytes[page * 4096..(page + 1) * 4096].fill(0xff);
        fs::write(state.file(), &bytes).unwrap();
        let error = Store::open_read_only(&state.folder()).and_then(|store| all(&store, run)).err();
        match error {
            // A page of the cache or of an index, which a replay need not read.
            None => {}
            Some(JournalError::Corrupt { .. } | JournalError::Tampered { .. }) => found += 1,
            Some(other) => panic!("page {page}: {other:?}"),
        }
    }
    assert!(found > pages / 2, "{found} of {pages}");
}

#[test]
fn whoever_changes_a_record_is_found_out() {
    let run = run_id(1);
    // The statement, the record that is named, and a word of the reason.
    let cases = [
        ("UPDATE records SET payload = replace(payload, 'absent', 'there') WHERE seq = 7", 7, "hash"),
        ("UPDATE records SET payload = payload || ' ' WHERE seq = 14", 14, "hash"),
        ("UPDATE records SET hash = zeroblob(32) WHERE seq = 7", 7, "hash"),
        ("UPDATE records SET hash = zeroblob(31) WHERE seq = 7", 7, "no hash"),
        ("UPDATE records SET hash = zeroblob(32) WHERE seq = 14", 14, "hash"),
        ("UPDATE records SET at = at + 1 WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET step = 'other' WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET step = NULL WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET step = '' WHERE seq = 2", 2, "no name"),
        ("UPDATE records SET generation = 2 WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET direction = 'unwinding' WHERE seq = 3", 3, "hash"),
        ("UPDATE records SET kind = 'Created' WHERE seq = 6", 6, "hash"),
        ("UPDATE records SET actor = 99 WHERE seq = 3", 3, "actor"),
        ("UPDATE actors SET json = replace(json, 'operator', 'nobody')", 1, "hash"),
        ("DELETE FROM actors", 1, "actor"),
        ("DELETE FROM records WHERE seq = 1", 1, "missing"),
        ("DELETE FROM records WHERE seq = 7", 7, "missing"),
        ("DELETE FROM records WHERE seq = 14", 14, "missing"),
        ("DELETE FROM records WHERE seq > 9", 10, "missing"),
        ("DELETE FROM records", 1, "missing"),
        ("DELETE FROM records WHERE seq = 7; UPDATE records SET id = id - 1 WHERE seq > 7", 7, "hash"),
        (
            "UPDATE records SET id = id + 1000 WHERE seq = 7; UPDATE records SET id = id - 1 WHERE seq = 8;
             UPDATE records SET id = id - 999 WHERE seq = 1007",
            7,
            "hash",
        ),
        (
            "INSERT INTO records (id, at, actor, step, generation, direction, kind, hash, payload)
             SELECT id + 1, at, actor, step, generation, direction, kind, hash, payload FROM records WHERE seq = 14",
            15,
            "hash",
        ),
        (
            "INSERT INTO records (id, at, actor, step, generation, direction, kind, hash, payload)
             SELECT id - 1, at, actor, step, generation, direction, kind, hash, payload FROM records WHERE seq = 1",
            1,
            "missing",
        ),
        ("UPDATE runs SET runbook = 'other'", 1, "hash"),
        ("UPDATE runs SET endpoint = '{}'", 1, "hash"),
        ("UPDATE runs SET created_at = created_at - 1", 1, "hash"),
    ];
    for (sql, seq, word) in cases {
        let state = State::with_run(run, 3);
        state.tamper(sql);
        let error = all(&state.open_read_only(), run).unwrap_err();
        match &error {
            JournalError::Tampered { run: r, seq: s, what, .. } => {
                assert_eq!((*r, *s), (run, Seq(seq)), "{sql}");
                assert!(what.contains(word), "{sql}: {what}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn whoever_changes_the_plan_is_found_out() {
    let run = run_id(1);
    for sql in ["UPDATE plans SET json = '{\"a\":2}'", "DELETE FROM plans", "UPDATE plans SET hash = 'x'"] {
        let state = State::with_run(run, 1);
        state.tamper(&format!("PRAGMA foreign_keys = OFF; {sql}"));
        let store = state.open_read_only();
        for error in [store.plan(run).unwrap_err(), all(&store, run).unwrap_err()] {
            assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("plan")), "{sql}: {error:?}");
        }
    }
}

#[test]
fn a_tail_is_checked_as_well() {
    let run = run_id(1);
    let state = State::with_run(run, 3);
    state.tamper("UPDATE records SET payload = '{}' WHERE seq = 13");
    let store = state.open_read_only();
    assert!(matches!(store.tail(run, None, 5), Err(JournalError::Tampered { seq: Seq(13), .. })));
    assert_eq!(store.tail(run, Some(Seq(5)), 5).unwrap().len(), 5, "what comes before is what it was");
}

#[test]
fn a_run_that_was_taken_out_is_missed() {
    for sql in [
        "DELETE FROM runs WHERE id = 2",
        "DELETE FROM runs WHERE id = 2; DELETE FROM records WHERE run = 2",
        "DELETE FROM runs WHERE id = 1; DELETE FROM records WHERE run = 1; DELETE FROM folded",
        "DELETE FROM runs; DELETE FROM folded",
        "UPDATE runs SET id = 7 WHERE id = 2",
    ] {
        let state = State::with_run(run_id(1), 2);
        drop(state.create(run_id(2)));
        state.tamper(sql);
        let store = state.open_read_only();
        for error in [store.runs().err(), store.summary(run_id(9)).err()] {
            assert!(
                matches!(&error, Some(JournalError::Corrupt { what, .. }) if what.contains("taken out")),
                "{sql}: {error:?}"
            );
        }
    }
}

#[test]
fn a_run_that_the_index_does_not_find_is_damage() {
    let run = run_id(1);
    let state = State::with_run(run, 1);
    let conn = Connection::open(state.file()).unwrap();
    let page: u32 = conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_runs_1'", [], |row| row.get(0))
        .unwrap();
    drop(conn);
    let mut bytes = fs::read(state.file()).unwrap();
    // The number of entries of that page.
    bytes[(page as usize - 1) * 4096 + 3..][..2].fill(0);
    fs::write(state.file(), bytes).unwrap();
    let error = all(&state.open_read_only(), run).unwrap_err();
    assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("not found")), "{error:?}");
}

#[test]
fn a_key_out_of_order_hides_no_records() {
    let run = run_id(1);
    let state = State::with_run(run, 30);
    let good = fs::read(state.file()).unwrap();
    let written = all(&state.open_read_only(), run).unwrap();
    // The key of a record of the first run, as SQLite stores it; with another first byte it is one of
    // the second run, at which reading the first one would end.
    let keys: Vec<usize> =
        (0..good.len() - 5).filter(|at| good[*at..].starts_with(&[0x82, 0x80, 0x80, 0x80, 0x80])).collect();
    assert!(keys.len() > 100);
    for at in keys {
        let mut bytes = good.clone();
        bytes[at] = 0x84;
        fs::write(state.file(), &bytes).unwrap();
        let store = state.open_read_only();
        for read in [all(&store, run), store.tail(run, None, 1000), store.tail(run, Some(Seq(3)), 1000)] {
            match read {
                Ok(read) => assert!(written.ends_with(&read) && read.len() + 3 >= written.len(), "byte {at}"),
                Err(e) => assert!(matches!(e, JournalError::Corrupt { .. } | JournalError::Tampered { .. }), "{e:?}"),
            }
        }
    }
}

#[test]
fn a_list_does_not_believe_a_changed_run() {
    for set in [
        "runbook = 'other'",
        "endpoint = '{\"sandbox\":false}'",
        "created_at = 0",
        "uuid = '00000000-0000-0000-0000-000000000009'",
    ] {
        let state = State::with_run(run_id(1), 1);
        state.tamper(&format!("UPDATE runs SET {set}"));
        let error = state.open_read_only().runs().unwrap_err();
        assert!(matches!(error, JournalError::Tampered { seq: Seq(1), .. }), "{set}: {error:?}");
    }
}

#[test]
fn a_run_that_was_cut_off_at_its_end_has_no_tail() {
    let run = run_id(1);
    let state = State::with_run(run, 3);
    state.tamper("DELETE FROM records WHERE seq > 9");
    let store = state.open_read_only();
    for error in [store.tail(run, None, 3).err(), store.summary(run).err()] {
        assert!(matches!(error, Some(JournalError::Tampered { seq: Seq(10), .. })), "{error:?}");
    }
}

#[test]
fn what_was_written_wrong_is_not_obeyed() {
    let run = run_id(1);
    let state = State::new();
    let mut journal = state.create(run);
    journal.append(vec![draft(None, ExecutorStarted { epoch: Epoch(9), command: "x".into() })]).unwrap();
    drop(journal);
    let error = all(&state.open_read_only(), run).unwrap_err();
    assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("out of turn")), "{error:?}");

    let state = State::new();
    state.create(run).append(vec![draft(None, started())]).unwrap();
    let error = all(&state.open_read_only(), run).unwrap_err();
    assert!(matches!(&error, JournalError::Corrupt { what, .. } if what.contains("anew")), "{error:?}");
}

#[test]
fn a_table_that_is_missing_is_damage() {
    let run = run_id(1);
    for table in ["records", "runs", "plans", "actors", "folded"] {
        let state = State::with_run(run, 1);
        state.tamper(&format!("PRAGMA foreign_keys = OFF; DROP TABLE {table}"));
        let error = all(&state.open_read_only(), run).unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { .. }), "{table}: {error:?}");
    }
}

#[test]
fn a_damaged_run_does_not_hide_the_others() {
    let state = State::with_run(run_id(1), 2);
    state.create(run_id(2)).append(step_records("vpc")).unwrap();
    state.tamper("UPDATE records SET payload = '{}' WHERE run = 1 AND seq = 4");
    let store = state.open_read_only();
    assert!(all(&store, run_id(1)).is_err());
    assert_eq!(all(&store, run_id(2)).unwrap().len(), 6);
    assert_eq!(store.runs().unwrap().len(), 2);
}

#[test]
fn a_log_that_was_cut_off_leaves_whole_batches() {
    let run = run_id(1);
    let live = State::new();
    let mut journal = live.create(run);
    for n in 0..5 {
        journal.append(step_records(&format!("step{n}"))).unwrap();
    }
    // The files as a machine that lost power left them.
    let log = fs::read(live.folder().join("journal.db-wal")).unwrap();
    let crashed = State::new();
    fs::create_dir_all(crashed.folder()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for keep in (0..=log.len()).rev().step_by(1500) {
        fs::copy(live.file(), crashed.file()).unwrap();
        fs::write(crashed.folder().join("journal.db-wal"), &log[..keep]).unwrap();
        let _ = fs::remove_file(crashed.folder().join("journal.db-shm"));
        let store = crashed.open_read_only();
        // Nothing of the run, or whole batches of it.
        match all(&store, run) {
            Ok(records) => {
                assert_eq!((records.len() - 2) % 4, 0, "half a batch after {keep} bytes");
                seen.insert(records.len());
            }
            Err(JournalError::NoSuchRun(_)) => {}
            Err(other) => panic!("{keep}: {other:?}"),
        }
    }
    assert_eq!(seen.last(), Some(&22));
    assert!(seen.len() > 3, "{seen:?}");
}

#[test]
fn a_database_without_triggers_is_still_read() {
    // What protects a journal is its chain; the triggers only keep accidents away.
    let run = run_id(1);
    let state = State::with_run(run, 1);
    state.tamper("");
    let conn = Connection::open(state.file()).unwrap();
    let triggers: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'", [], |row| row.get(0)).unwrap();
    assert_eq!(triggers, 0);
    drop(conn);
    assert_eq!(all(&state.open_read_only(), run).unwrap().len(), 6);
}
