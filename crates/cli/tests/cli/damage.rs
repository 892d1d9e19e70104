//! A journal that cannot be used: exit code 8, nothing done, nothing made worse.

use std::fs;

use rusqlite::Connection;

use crate::place::Place;

fn applied() -> Place {
    let place = Place::with_checkpoints();
    place.exits(0, "apply demo.yaml --auto-approve --to b");
    place
}

fn sql(place: &Place, sql: &str) {
    Connection::open(place.journal()).unwrap().execute_batch(sql).unwrap();
}

/// Whatever acts on what is on record refuses.
fn unusable(place: &Place, what: &str) {
    for line in ["resume", "unwind --all --auto-approve", "verify", "log --all", "skip c[x] --reason x"] {
        let ran = place.expect(8, line);
        assert!(ran.stderr.contains(what), "{line}: {ran}");
    }
}

#[test]
fn a_record_that_was_changed() {
    let place = applied();
    let drop_triggers = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_master WHERE type = 'trigger'";
    let triggers: String =
        Connection::open(place.journal()).unwrap().query_row(drop_triggers, [], |row| row.get(0)).unwrap();
    sql(
        &place,
        &format!("{triggers}; UPDATE records SET payload = '{{\"output\":{{\"x\":1}}}}' WHERE kind = 'Created'"),
    );
    unusable(&place, "was changed after it was written");
}

#[test]
fn a_journal_of_a_newer_release() {
    let place = applied();
    sql(&place, "PRAGMA user_version = 99");
    unusable(&place, "has format 99");
    place.exits(8, "runs");
    place.exits(8, "apply demo.yaml --auto-approve");
}

#[test]
fn a_file_that_is_no_journal() {
    let place = applied();
    for name in ["state/journal.db-wal", "state/journal.db-shm"] {
        let _ = fs::remove_file(place.path(name));
    }
    let garbage = vec![0x55; 8192];
    fs::write(place.journal(), &garbage).unwrap();
    unusable(&place, "is damaged");
    place.exits(8, "apply demo.yaml --auto-approve");
    assert_eq!(fs::read(place.journal()).unwrap(), garbage, "nothing was written into it");
}

#[test]
fn a_journal_that_was_cut_off() {
    let place = applied();
    let file = fs::OpenOptions::new().write(true).open(place.journal()).unwrap();
    file.set_len(5000).unwrap();
    for line in ["resume", "verify", "status", "runs"] {
        place.exits(8, line);
    }
}

/// A kernel file system says no to everybody, also to root.
#[test]
fn a_folder_that_cannot_be_written() {
    let place = Place::with_checkpoints();
    let ran = place.expect(8, "apply demo.yaml --auto-approve --state /sys/switchback");
    assert!(ran.stderr.contains("cannot be written"), "{ran}");
    place.write("file", "");
    place.exits(8, "apply demo.yaml --auto-approve --state file");
    place.exits(8, "status --state file");
}
