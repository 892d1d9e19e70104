//! What is on record cannot be changed through SQL, not even by replacing it.

use rusqlite::Connection;

use crate::support::{State, all, run_id};

#[test]
fn updates_deletes_and_replacements_are_refused() {
    let run = run_id(1);
    let state = State::with_run(run, 2);
    let before = all(&state.open_read_only(), run).unwrap();
    let conn = Connection::open(state.file()).unwrap();
    for sql in [
        "UPDATE records SET payload = '{}' WHERE kind = 'Captured'",
        "UPDATE records SET id = id + 100",
        "DELETE FROM records",
        "DELETE FROM records WHERE kind = 'Verified'",
        "INSERT OR REPLACE INTO records (id, at, actor, step, generation, direction, kind, hash, payload) \
         SELECT id, at, actor, 'other', generation, direction, kind, hash, payload FROM records",
        "UPDATE runs SET runbook = 'other'",
        "DELETE FROM runs",
        "INSERT OR REPLACE INTO runs SELECT id, uuid, plan, 'other', endpoint, created_at FROM runs",
        "INSERT OR REPLACE INTO runs SELECT id + 1, uuid, plan, 'other', endpoint, created_at FROM runs",
        "UPDATE plans SET json = '{}'",
        "DELETE FROM plans",
        "INSERT OR REPLACE INTO plans SELECT hash, '{}' FROM plans",
        "UPDATE actors SET json = '{}'",
        "DELETE FROM actors",
        "INSERT OR REPLACE INTO actors SELECT id, '{}' FROM actors",
    ] {
        let error = conn.execute_batch(sql).expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    drop(conn);
    assert_eq!(all(&state.open_read_only(), run).unwrap(), before);
}
