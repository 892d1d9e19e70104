//! A disk without room: the batch fails as a whole, what was there stays, and with room again the
//! run goes on.

use std::path::PathBuf;
use std::process::Command;

use switchback_engine::journal::{Journal as _, JournalError};
use switchback_journal::Store;

use crate::support::{PLAN, all, run_id, skipped, started, step_records, writer};

const DISK: &str = "SWITCHBACK_TEST_FULL_DISK";

/// Not a test by itself: works on a disk of 700 kB that is its own.
#[test]
fn on_a_small_disk() {
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else { return };
    let (folder, run) = (disk.join("state"), run_id(1));
    // No room for a journal at all.
    std::fs::write(disk.join("ballast"), vec![1; 690 * 1024]).unwrap();
    let refused = Store::open(&folder, writer()).unwrap_err();
    assert!(matches!(refused, JournalError::Full { .. }), "{refused:?}");
    assert!(!folder.join("journal.db").exists());
    // Not enough room.
    std::fs::write(disk.join("ballast"), vec![1; 200 * 1024]).unwrap();
    let store = Store::open(&folder, writer()).unwrap();
    let mut journal = store.create_run(run, PLAN, started(), "apply").unwrap();
    let refused = loop {
        let steps: Vec<_> = (0..20).flat_map(|n| step_records(&format!("step{}-{n}", journal.last()))).collect();
        if let Err(error) = journal.append(steps) {
            break error;
        }
    };
    assert!(matches!(refused, JournalError::Full { .. }), "{refused:?}");
    let there = journal.last();
    assert!(there.0 > 80);
    assert_eq!(all(&store, run).unwrap().last().map(|r| r.seq), Some(there), "nothing of the batch, all before it");
    assert!(journal.append(step_records("again")).is_err() || journal.last().0 == there.0 + 4);
    // Room again.
    std::fs::remove_file(disk.join("ballast")).unwrap();
    let there = journal.last();
    journal.append(step_records("after")).unwrap();
    assert_eq!(all(&store, run).unwrap().len() as u64, there.0 + 4);
}

#[test]
fn a_full_disk_loses_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec"])
        .arg(r#"mount -t tmpfs -o size=700k tmpfs "$SWITCHBACK_TEST_FULL_DISK" || exit 77; exec "$0" "$@""#)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full::on_a_small_disk", "--nocapture"])
        .env(DISK, disk.path())
        .output();
    let output = match output {
        Ok(output)
            if output.status.code() != Some(77) && !String::from_utf8_lossy(&output.stderr).contains("unshare") =>
        {
            output
        }
        other => {
            skipped(&format!("a small disk of its own cannot be had here (unshare, mount): {other:?}"));
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
