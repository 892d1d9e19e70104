//! The folder of a running sandbox: a lock, so that two never run on one folder, and a file that says where it listens.
//!
//! The lock belongs to the process and is freed by the kernel when it dies; the file may be left behind by a process
//! that was killed. Who reads it has to look whether the endpoint answers.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::parts::Part;

/// What `sandbox.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Of this format: 1.
    pub version: u32,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// Its process.
    pub pid: u32,
    /// The account that it plays.
    pub account: String,
    /// The region that it plays.
    pub region: String,
    /// How long an operation has to wait, here, before it believes that an unanswered write did not happen.
    pub quiet_ms: u64,
    /// Any credentials are taken; these are some.
    pub access_key_id: String,
    /// See `access_key_id`.
    pub secret_access_key: String,
    /// When it was started, in UTC.
    pub started_at: String,
    /// The real servers beside it; none in one that is bare.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What a runbook's inputs of these names are, unless the operator says it. No secret is among them.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
}

/// What can go wrong with the folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another sandbox holds the lock.
    #[error("another sandbox is running on `{}`", .0.display())]
    Locked(PathBuf),
    /// The file system said no.
    #[error("could not {what} `{}`", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + use<'a> {
    move |source| StateError::Io { what, path: path.to_owned(), source }
}

/// The folder, locked. Dropping it takes `sandbox.json` away and frees the lock.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder when it is not there, and locks it.
    ///
    /// # Errors
    /// [`StateError::Locked`] when another process holds it.
    pub fn lock(folder: &Path) -> Result<Self, StateError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("create the folder", folder))?;
        let path = folder.join("sandbox.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }

    /// Writes `sandbox.json`: whole or not at all, and for the owner only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, info: &Info) -> Result<(), StateError> {
        let path = self.path();
        let new = self.folder.join("sandbox.json.new");
        let text = serde_json::to_vec_pretty(info).map_err(io::Error::other).map_err(failed("write", &new))?;
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            // The mode above is for a new file only.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(&text)?;
            file.sync_all()
        };
        write().map_err(failed("write", &new))?;
        std::fs::rename(&new, &path).map_err(failed("write", &path))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("sandbox.json")
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        let path = self.path();
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "could not remove a file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        Info {
            version: 1,
            endpoint: "http://127.0.0.1:1".into(),
            pid: 1,
            account: "123456789012".into(),
            region: "us-east-1".into(),
            quiet_ms: 200,
            access_key_id: "A".into(),
            secret_access_key: "B".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            parts: vec![Part { name: "nats".into(), address: "127.0.0.1:2".into(), missing: None }],
            inputs: BTreeMap::from([("nats_url".into(), "nats://127.0.0.1:2".into())]),
        }
    }

    #[test]
    fn one_folder_has_one_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateFolder::lock(folder.path()).unwrap();
        assert!(matches!(StateFolder::lock(folder.path()), Err(StateError::Locked(_))));
        drop(first);
        StateFolder::lock(folder.path()).unwrap();
    }

    #[test]
    fn the_file_is_for_its_owner_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::lock(&folder.path().join("new/deep")).unwrap();
        state.publish(&info()).unwrap();
        state.publish(&info()).unwrap();
        let path = state.path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Info = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, info());
        drop(state);
        assert!(!path.exists());
    }
}
