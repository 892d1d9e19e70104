//! The lock that makes a run's executor the only one on this host.
//!
//! It is the kernel's (`flock`), so it is free the moment its process is dead, however it died; a
//! lock file that lies around means nothing. Its text says who wrote it last, for messages only.
//! Lock files are never deleted: a lock on a deleted file protects nobody.
//!
//! The lock does not reach other hosts. What does is the epoch, which the journal keeps.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use switchback_engine::journal::JournalError;
use switchback_model::RunId;
use switchback_model::record::Actor;

use crate::failure::{self, Doing};

/// How often somebody who only looks may be in the way: for a good part of a second, which is far
/// longer than a look takes even when it is interrupted.
const LOOKERS: usize = 100_000;

/// The process that holds a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The host that it runs on.
    pub host: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// A run that is locked for this process, until the value is dropped.
#[derive(Debug)]
#[must_use = "the run is free again as soon as the lock is dropped"]
pub struct RunLock {
    run: RunId,
    /// The descriptor is the lock.
    _file: File,
}

impl RunLock {
    /// The run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn take(folder: &Path, run: RunId, actor: &Actor) -> Result<Self, JournalError> {
        let path = lock_path(folder, run);
        let failed = |e: io::Error| failure::of_io(&path, e, Doing::Writing);
        if let Some(locks) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(locks).map_err(failed)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        if !acquire(&file).map_err(failed)? {
            let holder = read_holder(&mut file).map(|h| h.to_string());
            return Err(JournalError::Locked { run, holder });
        }
        let holder = Holder { pid: actor.pid, host: actor.host.clone() };
        let text = serde_json::to_vec(&holder).map_err(|e| failure::other(&path, e.to_string()))?;
        file.set_len(0).and_then(|()| file.write_all(&text)).map_err(failed)?;
        Ok(Self { run, _file: file })
    }
}

/// Who holds the run now; `None`: nobody. A holder that has not said yet who it is has pid 0.
pub(crate) fn holder(folder: &Path, run: RunId) -> Result<Option<Holder>, JournalError> {
    let path = lock_path(folder, run);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failure::of_io(&path, e, Doing::Reading)),
    };
    // Shared, so that two who look are not in each other's way.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            Ok(Some(read_holder(&mut file).unwrap_or(Holder { pid: 0, host: String::new() })))
        }
        Err(TryLockError::Error(e)) => Err(failure::of_io(&path, e, Doing::Reading)),
    }
}

/// Takes the lock, unless another executor has it. Who only looks ([`holder`]) has it shared for
/// an instant: then a shared lock can be had, and it is worth to try again.
fn acquire(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKERS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) => {}
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        std::thread::yield_now();
    }
    Ok(false)
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn lock_path(folder: &Path, run: RunId) -> PathBuf {
    folder.join("locks").join(format!("{run}.lock"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn actor(pid: u32) -> Actor {
        Actor { user: "op".into(), host: "here".into(), pid, aws_caller: None, binary: "test".into() }
    }

    #[test]
    fn one_holds_a_run_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let (run, other) = (RunId::new(Uuid::from_u128(1)), RunId::new(Uuid::from_u128(2)));
        assert_eq!(holder(folder.path(), run).unwrap(), None);
        let lock = RunLock::take(folder.path(), run, &actor(7)).unwrap();
        assert_eq!(holder(folder.path(), run).unwrap(), Some(Holder { pid: 7, host: "here".into() }));
        let refused = RunLock::take(folder.path(), run, &actor(8)).unwrap_err();
        assert_eq!(refused.to_string(), format!("another executor holds run {run} (process 7 on here)"));
        let _other = RunLock::take(folder.path(), other, &actor(8)).unwrap();
        drop(lock);
        assert_eq!(holder(folder.path(), run).unwrap(), None, "a lock file that lies around means nothing");
        let _lock = RunLock::take(folder.path(), run, &actor(123_456)).unwrap();
        assert_eq!(holder(folder.path(), run).unwrap().map(|h| h.pid), Some(123_456));
    }

    #[test]
    fn who_only_looks_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::new(Uuid::from_u128(1));
        drop(RunLock::take(folder.path(), run, &actor(1)).unwrap());
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = holder(folder.path(), run);
                }
            });
            let refused = (0..500).filter(|_| RunLock::take(folder.path(), run, &actor(1)).is_err()).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }
}
