//! Reading changes nothing, and works where nothing can be changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::Store;

use crate::support::{State, all, run_id, step_records, writer};

/// Everything that a read-only command may ask.
fn read_everything(folder: &Path, records: usize) {
    let store = Store::open_read_only(folder).unwrap();
    let run = run_id(1);
    assert_eq!(all(&store, run).unwrap().len(), records);
    assert_eq!(store.runs().unwrap().len(), 1);
    assert_eq!(store.tail(run, None, 3).unwrap().len(), 3);
    store.heads(run).unwrap();
    store.head_counts(run).unwrap();
    store.plan(run).unwrap();
    store.lock_holder(run).unwrap();
    for refused in [store.take_run(run, "resume").err(), store.lock(run).err()] {
        assert!(matches!(refused, Some(JournalError::ReadOnly { .. })));
    }
}

/// A folder as a process that was killed leaves it.
fn crashed() -> State {
    let live = State::new();
    let mut journal = live.create(run_id(1));
    journal.append(step_records("vpc")).unwrap();
    let crashed = State::new();
    fs::create_dir_all(crashed.folder()).unwrap();
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        fs::copy(live.folder().join(name), crashed.folder().join(name)).unwrap();
    }
    crashed
}

#[test]
fn reading_changes_no_byte_and_makes_no_file() {
    let closed = State::with_run(run_id(1), 1);
    let live = State::new();
    let mut journal = live.create(run_id(1));
    journal.append(step_records("vpc")).unwrap();
    for (what, state) in [("closed", &closed), ("crashed", &crashed()), ("live", &live)] {
        let before = state.contents();
        read_everything(&state.folder(), 6);
        assert_eq!(state.contents(), before, "{what}");
    }
}

#[test]
fn whoever_closes_last_leaves_log_and_index_to_the_readers() {
    let state = State::with_run(run_id(1), 1);
    let files = || state.contents().into_iter().map(|(file, _)| file).collect::<Vec<_>>();
    let before = files();
    drop(state.open());
    assert_eq!(files(), before);
    drop(state.open().take_run(run_id(1), "resume").unwrap());
    assert_eq!(files(), before);
    drop(state.open_read_only());
    assert_eq!(files(), before);
}

#[test]
fn what_is_missing_is_not_made() {
    let state = State::new();
    assert!(matches!(Store::open_read_only(&state.folder()), Err(JournalError::Missing(p)) if p == state.file()));
    assert!(!state.folder().exists());
    fs::create_dir(state.folder()).unwrap();
    assert!(matches!(Store::open_read_only(&state.folder()), Err(JournalError::Missing(_))));
    assert_eq!(fs::read_dir(state.folder()).unwrap().count(), 0);
}

#[test]
fn a_copy_of_the_database_alone_is_enough_when_it_was_closed() {
    let state = State::with_run(run_id(1), 1);
    let copy = State::new();
    fs::create_dir(copy.folder()).unwrap();
    fs::copy(state.file(), copy.file()).unwrap();
    read_everything(&copy.folder(), 6);
}

const FOLDER: &str = "SWITCHBACK_TEST_READ_ONLY_FOLDER";
const NOBODY: u32 = 65534;

/// Runs one of the tests below as a process that permissions apply to: not as root.
fn unprivileged(test: &str, folder: &Path) {
    let room = tempfile::tempdir().unwrap();
    fs::set_permissions(room.path(), Permissions::from_mode(0o755)).unwrap();
    let mut program = std::env::current_exe().unwrap();
    let root = fs::metadata(room.path()).unwrap().uid() == 0;
    if root {
        let copy = room.path().join("tests");
        fs::copy(&program, &copy).unwrap();
        program = copy;
    }
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).env(FOLDER, folder).current_dir(room.path());
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {said}");
}

/// Makes everything below the state folder the unprivileged user's, and nothing writable.
fn protect(state: &State, file_mode: u32) {
    let give = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        if fs::metadata(path).unwrap().uid() == 0 {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    };
    for (file, _) in state.contents() {
        give(&file, file_mode);
    }
    let locks = state.folder().join("locks");
    if locks.exists() {
        give(&locks, 0o500);
    }
    give(&state.folder(), 0o500);
    fs::set_permissions(state.folder().parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
}

fn unprotect(state: &State) {
    fs::set_permissions(state.folder(), Permissions::from_mode(0o700)).unwrap();
    let locks = state.folder().join("locks");
    if locks.exists() {
        fs::set_permissions(locks, Permissions::from_mode(0o700)).unwrap();
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
fn in_a_folder_that_cannot_be_written_everything_can_be_read() {
    if let Some(folder) = folder() {
        read_everything(&folder, 6);
        let refused = Store::open(&folder, writer()).unwrap_err();
        assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused:?}");
        return;
    }
    let closed = State::with_run(run_id(1), 1);
    let alone = State::with_run(run_id(1), 1);
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(alone.folder().join(format!("journal.db{suffix}"))).unwrap();
    }
    for (what, state) in [("closed", closed), ("crashed", crashed()), ("without log and index", alone)] {
        protect(&state, 0o400);
        let before = state.contents();
        unprivileged("read_only::in_a_folder_that_cannot_be_written_everything_can_be_read", &state.folder());
        assert_eq!(state.contents(), before, "{what}");
        unprotect(&state);
    }
}

#[test]
fn a_log_that_cannot_be_indexed_is_not_left_out() {
    if let Some(folder) = folder() {
        let refused = Store::open_read_only(&folder).unwrap_err();
        let reason = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        assert!(matches!(refused, JournalError::Store { .. }) && reason.contains("copy the folder"), "{refused:?}");
        return;
    }
    let state = crashed();
    fs::remove_file(state.folder().join("journal.db-shm")).unwrap();
    read_everything(&state.folder(), 6);
    fs::remove_file(state.folder().join("journal.db-shm")).unwrap();
    protect(&state, 0o400);
    unprivileged("read_only::a_log_that_cannot_be_indexed_is_not_left_out", &state.folder());
    unprotect(&state);
}

#[test]
fn what_may_not_be_read_says_so() {
    if let Some(folder) = folder() {
        let refused = Store::open_read_only(&folder).unwrap_err();
        let reason = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        assert!(matches!(refused, JournalError::Store { .. }) && reason.contains("denied"), "{refused:?}");
        return;
    }
    let state = State::with_run(run_id(1), 1);
    protect(&state, 0o000);
    unprivileged("read_only::what_may_not_be_read_says_so", &state.folder());
    unprotect(&state);
}

#[test]
fn a_journal_that_became_read_only_takes_no_batch() {
    if let Some(folder) = folder() {
        let refused = Store::open(&folder, writer()).unwrap_err();
        assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused:?}");
        read_everything(&folder, 6);
        return;
    }
    // The folder may be written to, the files may not.
    let state = State::with_run(run_id(1), 1);
    protect(&state, 0o400);
    fs::set_permissions(state.folder(), Permissions::from_mode(0o700)).unwrap();
    unprivileged("read_only::a_journal_that_became_read_only_takes_no_batch", &state.folder());
    unprotect(&state);
}
