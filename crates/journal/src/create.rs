//! The journal's format and its creation.
//!
//! A journal appears under its name complete or not at all: it is made under another name, with
//! its tables, application id and format, and then linked. So a file without them was damaged,
//! never half made, and two processes that create the same journal at the same time end up with
//! one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use switchback_engine::journal::JournalError;

use crate::db::{beside, size};
use crate::failure::{self, Doing};

/// `SWJL`, in the header of every journal.
pub(crate) const APPLICATION_ID: i64 = 0x5357_4a4c;
/// The format that this release writes: the number of migrations.
pub(crate) const FORMAT: u32 = 1;
/// The oldest format that this release brings up to date.
pub(crate) const OLDEST_FORMAT: u32 = 1;

const STEPS: &[M<'_>] = &[M::up(include_str!("../../../migrations/journal/0001_journal.sql"))];
/// From an empty database to [`FORMAT`].
pub(crate) const MIGRATIONS: Migrations<'_> = Migrations::from_slice(STEPS);

/// Makes an empty journal at `path` when there is none.
pub(crate) fn create_when_missing(path: &Path) -> Result<(), JournalError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if size(path)?.is_some() {
        return Ok(());
    }
    if size(&beside(path, "-wal"))?.unwrap_or(0) > 0 {
        // A new database would take it for its own log.
        return Err(JournalError::Corrupt {
            path: path.to_owned(),
            what: "it is gone, but its log (`journal.db-wal`) is there".to_owned(),
        });
    }
    let failed = |e: io::Error| failure::of_io(path, e, Doing::Writing);
    make_folder(folder).map_err(failed)?;
    let draft = beside(path, &format!(".{}-{}", std::process::id(), unique()));
    let made = make(&draft, path)
        .and_then(|()| match fs::hard_link(&draft, path) {
            // Somebody else was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(failed),
        })
        .and_then(|()| File::open(folder).and_then(|f| f.sync_all()).map_err(failed));
    for name in [draft.clone(), beside(&draft, "-wal"), beside(&draft, "-shm"), beside(&draft, "-journal")] {
        let _ = fs::remove_file(name);
    }
    made
}

/// Makes the folder and those that it is in, where they are missing, and syncs their names: what is durable in a folder
/// is lost with the folder's own name.
fn make_folder(folder: &Path) -> io::Result<()> {
    let above =
        |path: &Path| path.parent().map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }.to_owned());
    // Also the folder above one that is there: whoever made it may not have synced it.
    let mut holding: Vec<_> = above(folder).into_iter().collect();
    while let Some(path) = holding.last().filter(|path| !path.exists()).and_then(|path| above(path)) {
        holding.push(path);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for path in holding {
        match File::open(&path).and_then(|f| f.sync_all()) {
            // Who may only look up names in a folder cannot sync it. One that we made just now we may read.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    Ok(())
}

/// Tells the drafts of one process apart.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Makes the journal that is to be `path` under the name `draft`.
fn make(draft: &Path, path: &Path) -> Result<(), JournalError> {
    // SQLite gives its other files the permissions of this one.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)
        .map_err(|e| failure::of_io(path, e, Doing::Writing))?;
    let failed = |e| failure::of_sqlite(path, e);
    let mut conn = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    MIGRATIONS.to_latest(&mut conn).map_err(|e| match e {
        rusqlite_migration::Error::RusqliteError { err, .. } => failed(err),
        other => failure::other(path, other.to_string()),
    })?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // Closing moves the log into the file and syncs it.
    conn.close().map_err(|(_, e)| failed(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_number_of_migrations() {
        assert_eq!(u32::try_from(STEPS.len()), Ok(FORMAT));
        MIGRATIONS.validate().unwrap();
    }
}
