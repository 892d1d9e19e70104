//! From what SQLite and the operating system report to what it means for a run.
//!
//! The distinctions matter because a person acts on them: make room, change permissions, restore
//! a backup, use another release. Nothing here repairs anything.

use std::io;
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};
use rustix::fs::{Access, access, statvfs};
use switchback_engine::journal::JournalError;

/// What a failure of SQLite means for the journal at `path`.
pub(crate) fn of_sqlite(path: &Path, error: Error) -> JournalError {
    let path = path.to_owned();
    let corrupt = |what: String| JournalError::Corrupt { path: path.clone(), what };
    match &error {
        Error::SqliteFailure(code, message) => match code.code {
            ErrorCode::DiskFull => JournalError::Full { path },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => JournalError::ReadOnly { path },
            ErrorCode::DatabaseCorrupt => corrupt("SQLite finds its pages malformed".to_owned()),
            ErrorCode::NotADatabase => corrupt("it is not an SQLite database".to_owned()),
            ErrorCode::CannotOpen => of_open(&path, error),
            ErrorCode::SystemIoFailure => match code.extended_code {
                ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => {
                    corrupt("it is shorter than it says, or the file system cannot read it".to_owned())
                }
                // SQLite makes room for its index by writing to it; nothing else can be wrong there.
                ffi::SQLITE_IOERR_SHMSIZE => JournalError::Full { path },
                _ if !has_room(&path) => JournalError::Full { path },
                _ if is_on_read_only(&path) => JournalError::ReadOnly { path },
                _ => JournalError::Store { path, source: error.into() },
            },
            // A table that is missing, or a header that makes no sense, below the right application id
            // and version.
            ErrorCode::Unknown
                if message.as_deref().is_some_and(|m| {
                    m.starts_with("no such ") || m.contains("malformed") || m == "unsupported file format"
                }) =>
            {
                corrupt(message.clone().unwrap_or_default())
            }
            _ => JournalError::Store { path, source: error.into() },
        },
        Error::SqlInputError { msg, .. } if msg.starts_with("no such ") => corrupt(msg.clone()),
        Error::InvalidColumnType(_, column, _) => corrupt(format!("column `{column}` holds the wrong type")),
        Error::FromSqlConversionFailure(..) | Error::IntegralValueOutOfRange(..) | Error::Utf8Error(..) => {
            corrupt(error.to_string())
        }
        _ => JournalError::Store { path, source: error.into() },
    }
}

/// SQLite only says that it cannot open a file; the operating system knows why.
fn of_open(path: &Path, error: Error) -> JournalError {
    match access(path, Access::READ_OK) {
        Ok(()) => {}
        Err(e) => return of_io(path, e.into(), Doing::Reading),
    }
    let folder = path.parent().unwrap_or(path);
    if access(path, Access::WRITE_OK).is_err() || access(folder, Access::WRITE_OK).is_err() {
        return JournalError::ReadOnly { path: path.to_owned() };
    }
    JournalError::Store { path: path.to_owned(), source: error.into() }
}

/// What was tried when the operating system refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Reading,
    Writing,
}

/// What a failure of the operating system means for the journal at `path`.
pub(crate) fn of_io(path: &Path, error: io::Error, doing: Doing) -> JournalError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            JournalError::Full { path }
        }
        io::ErrorKind::ReadOnlyFilesystem => JournalError::ReadOnly { path },
        io::ErrorKind::PermissionDenied if doing == Doing::Writing => JournalError::ReadOnly { path },
        io::ErrorKind::NotFound if doing == Doing::Reading => JournalError::Missing(path),
        _ => JournalError::Store { path, source: error.into() },
    }
}

/// Anything else that makes the journal unusable, in words.
pub(crate) fn other(path: &Path, what: impl Into<String>) -> JournalError {
    JournalError::Store { path: path.to_owned(), source: what.into().into() }
}

fn has_room(path: &Path) -> bool {
    statvfs(path).map_or(true, |fs| fs.f_bavail > 0)
}

/// Whether the file system lets nobody write. One that has turned read-only by itself says so only to who tries: with
/// a file without a name, which leaves nothing behind. Where there are no such files it is not known.
fn is_on_read_only(path: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, open};
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        matches!(open(folder, flags, Mode::RUSR | Mode::WUSR), Err(rustix::io::Errno::ROFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        false
    }
}
