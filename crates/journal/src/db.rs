//! Connections: how the database is opened for reading and for writing, and the check that it is
//! a journal that this release understands.
//!
//! # Reading changes nothing
//!
//! A reader opens the file read-only. It takes SQLite's shared locks (that is how it can read
//! while an executor writes, and how a checkpoint knows to wait), so it uses `-wal` and `-shm`;
//! both stay in place when an executor closes, so that it finds them. Only where somebody else
//! removed them does SQLite put empty ones back; where it cannot (a read-only folder) and no log
//! is there, nobody can be writing either, and the file is read as it stands (`immutable`).
//!
//! # What is never done
//!
//! Nothing here opens `journal.db` other than through SQLite: closing any descriptor of a file
//! ends all POSIX locks that the process has on it, also those of a live journal. And no empty
//! database file is ever handed to SQLite, which would take its log for leftovers and delete it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use switchback_engine::journal::JournalError;

use crate::create::{APPLICATION_ID, FORMAT, MIGRATIONS, OLDEST_FORMAT};
use crate::failure::{self, Doing};

/// How long to wait for another process's transaction: they are short, so this is a hung disk.
const BUSY: Duration = Duration::from_secs(10);

/// One connection to the journal's database.
pub(crate) struct Db {
    pub(crate) path: PathBuf,
    pub(crate) conn: Connection,
}

impl Db {
    /// Opens for reading.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        check_files(path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let opened = Connection::open_with_flags(path, flags)
            .map_err(|e| failure::of_sqlite(path, e))
            .and_then(|conn| Self { path: path.to_owned(), conn }.checked());
        match opened {
            Err(JournalError::ReadOnly { .. }) if size(&beside(path, "-wal"))?.unwrap_or(0) == 0 => {
                let uri = format!("file:{}?immutable=1", escaped(path)?);
                let conn = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
                    .map_err(|e| failure::of_sqlite(path, e))?;
                Self { path: path.to_owned(), conn }.checked()
            }
            Err(JournalError::ReadOnly { path }) => Err(failure::other(
                &path,
                "its log holds records that SQLite can only read in a folder that it may write to; \
                 copy the folder to one",
            )),
            other => other,
        }
    }

    /// Opens for writing, and brings an older format up to date.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        check_files(path)?;
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let conn = Connection::open_with_flags(path, flags).map_err(|e| failure::of_sqlite(path, e))?;
        let mut db = Self { path: path.to_owned(), conn };
        db.configure()?;
        let format = db.format()?;
        // SQLite opens a file that cannot be written without a word.
        if db.conn.is_readonly("main").map_err(|e| db.failed(e))? {
            return Err(JournalError::ReadOnly { path: db.path });
        }
        if format < FORMAT {
            MIGRATIONS.to_latest(&mut db.conn).map_err(|e| failure::other(&db.path, e.to_string()))?;
        }
        db.conn.pragma_update(None, "synchronous", "FULL").map_err(|e| db.failed(e))?;
        Ok(db)
    }

    /// What a failure means for this journal.
    pub(crate) fn failed(&self, error: rusqlite::Error) -> JournalError {
        failure::of_sqlite(&self.path, error)
    }

    /// Damage that SQLite has not noticed.
    pub(crate) fn corrupt(&self, what: impl Into<String>) -> JournalError {
        JournalError::Corrupt { path: self.path.clone(), what: what.into() }
    }

    /// Moves the log into the database and empties it, where nobody is in the way.
    pub(crate) fn checkpoint(&self) {
        let quiet = self.conn.busy_timeout(Duration::ZERO);
        let done = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        if let Err(error) = quiet.and(done) {
            tracing::debug!(%error, "the log was not moved into the journal; the next executor does it");
        }
    }

    fn checked(self) -> Result<Self, JournalError> {
        self.configure()?;
        let found = self.format()?;
        if found < FORMAT {
            return Err(JournalError::Version {
                path: self.path,
                found,
                supported: FORMAT,
                advice: "`switchback resume` and `switchback unwind` bring it up to date".to_owned(),
            });
        }
        Ok(self)
    }

    fn configure(&self) -> Result<(), JournalError> {
        let failed = |e| self.failed(e);
        self.conn.busy_timeout(BUSY).map_err(failed)?;
        self.conn.set_prepared_statement_cache_capacity(32);
        // Leave `-wal` and `-shm` in place: see above.
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        // A schema that was tampered with must not run functions in our name.
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(failed)?;
        Ok(())
    }

    /// The format, once it is clear that this is a journal that this release can work with.
    fn format(&self) -> Result<u32, JournalError> {
        let pragma = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let id = pragma("application_id").map_err(|e| self.failed(e))?;
        if id != APPLICATION_ID {
            return Err(self.corrupt("it is an SQLite database, but not a journal of Switchback"));
        }
        let found = pragma("user_version").map_err(|e| self.failed(e))?;
        let found = u32::try_from(found).map_err(|_| self.corrupt(format!("its format is {found}")))?;
        let advice = if found > FORMAT {
            let release = self
                .conn
                .query_row("SELECT release FROM formats WHERE format = ?1", [found], |row| row.get::<_, String>(0))
                .unwrap_or_else(|_| "one newer than this".to_owned());
            format!("format {found} is read by Switchback {release} and later")
        } else if found < OLDEST_FORMAT {
            format!("no release of Switchback writes format {found}; restore the journal from a backup")
        } else {
            return Ok(found);
        };
        Err(JournalError::Version { path: self.path.clone(), found, supported: FORMAT, advice })
    }
}

/// The path of one of SQLite's files beside the database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file's size; `None`: it is not there.
pub(crate) fn size(path: &Path) -> Result<Option<u64>, JournalError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
        Ok(_) => Err(JournalError::Corrupt { path: path.to_owned(), what: "it is not a file".to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failure::of_io(path, e, Doing::Reading)),
    }
}

/// What can be told without opening anything.
fn check_files(path: &Path) -> Result<(), JournalError> {
    match size(path)? {
        Some(0) => Err(JournalError::Corrupt { path: path.to_owned(), what: "it is empty: it was cut off".to_owned() }),
        Some(_) => Ok(()),
        None => Err(JournalError::Missing(path.to_owned())),
    }
}

fn escaped(path: &Path) -> Result<String, JournalError> {
    let path = std::path::absolute(path).map_err(|e| failure::of_io(path, e, Doing::Reading))?;
    let text = path.to_str().ok_or_else(|| failure::other(&path, "its path is not UTF-8"))?;
    Ok(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}
