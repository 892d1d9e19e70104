//! Where the parts keep their files, and where their binaries are.
//!
//! Each part has a folder `parts/NAME` in the folder of the sandbox. A server that must not run as root cannot reach
//! a folder that is root's alone: there `parts/NAME` is a link to a folder under `/tmp`, so that whoever cleans up
//! finds it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use super::PartError;

/// Folders of the parts that are not in the folder of the sandbox begin so.
const AWAY: &str = "switchback-part-";
/// Where such folders are.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Where binaries are, for a start from a place that has a poor PATH.
const USUAL: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

/// Whom a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// The user of that name in `/etc/passwd`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let user = fields.find(|fields| fields.first() == Some(&name))?;
        Some(Self { uid: user.get(2)?.parse().ok()?, gid: user.get(3)?.parse().ok()? })
    }

    /// Whether this process is root.
    pub(super) fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// The folder of a part.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// What leads there from the folder of the sandbox.
    link: Option<PathBuf>,
}

impl Folder {
    /// A new folder at this place.
    pub(super) fn here(path: PathBuf) -> Result<Self, PartError> {
        make(&path).map_err(PartError::io("create the folder", path.display().to_string()))?;
        Ok(Self { path, link: None })
    }

    /// A new folder that is `user`'s, and a link to it at this place.
    pub(super) fn away(link: &Path, user: User) -> Result<Self, PartError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for parent in TEMPORARY {
            let path = Path::new(parent).join(format!("{AWAY}{}", unguessable()));
            // The link is first: who is killed in between leaves one that leads nowhere, and no folder.
            let made = replace_link(link, &path)
                .and_then(|()| make(&path))
                .and_then(|()| std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid)));
            match made {
                Ok(()) => return Ok(Self { path, link: Some(link.to_owned()) }),
                Err(error) => last = error,
            }
        }
        Err(PartError::io("create a folder in", TEMPORARY.join(" or "))(last))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it. What is gone already is as good.
    pub(super) fn remove(&self) {
        let removed = fs::remove_dir_all(&self.path);
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.path.display(), "could not remove a folder");
        }
        if let Some(link) = &self.link {
            let _ = fs::remove_file(link);
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Not recursive: one that somebody else made under `/tmp` is not taken.
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn replace_link(link: &Path, target: &Path) -> io::Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, link)
}

/// An empty folder for the parts of a sandbox, in its own. What one that was killed left behind goes: its servers,
/// and supervisors that would remove folders later on, when they are the next one's.
pub(super) fn begin(state: &Path) -> Result<PathBuf, PartError> {
    let folder = state.join("parts");
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        end_users(&entry.path());
    }
    finish(&folder);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(PartError::io("create the folder", folder.display().to_string()))?;
    folder.canonicalize().map_err(PartError::io("find the folder", folder.display().to_string()))
}

/// Ends the processes that were started with this folder among their arguments. Only Linux shows them.
fn end_users(folder: &Path) {
    let Ok(folder) = folder.canonicalize() else { return };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|byte| *byte == 0).map(|text| Path::new(OsStr::from_bytes(text)));
        if arguments.any(|argument| argument.starts_with(&folder)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Removes what is in the folder of the parts, where its links lead to, and the folder.
pub(super) fn finish(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if let Ok(target) = fs::read_link(entry.path())
            && is_away(&target)
        {
            let _ = fs::remove_dir_all(&target);
        }
    }
    // A link in it is removed as a link.
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "could not remove a folder");
    }
}

/// Whether a link leads to a folder of ours, and not wherever somebody pointed it.
fn is_away(target: &Path) -> bool {
    let is_ours = target.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(AWAY));
    let is_there = target.parent().is_some_and(|parent| TEMPORARY.iter().any(|t| Path::new(t) == parent));
    is_ours && is_there && fs::symlink_metadata(target).is_ok_and(|it| it.is_dir())
}

/// The binary of one of these names, on the PATH or where packages put it.
pub(super) fn binary(name: &str, others: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(USUAL.map(PathBuf::from)).collect();
    [name].iter().chain(others).find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|it| runs(it)))
}

/// Whether this is a program.
pub(super) fn runs(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.mode() & 0o111 != 0)
}

/// 148 random bits as text.
pub(super) fn unguessable() -> String {
    format!("{}{}", Uuid::now_v7().simple(), Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_behind_goes_and_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("kept"), "").unwrap();
        let parts = begin(state.path()).unwrap();
        let left = Folder::here(parts.join("nats")).unwrap();
        fs::write(left.path().join("x"), "").unwrap();
        symlink(other.path(), parts.join("postgresql")).unwrap();
        let away = Path::new("/tmp").join(format!("{AWAY}{}", unguessable()));
        fs::create_dir(&away).unwrap();
        symlink(&away, parts.join("registry")).unwrap();

        let again = begin(state.path()).unwrap();
        assert_eq!(fs::read_dir(&again).unwrap().count(), 0);
        assert!(!away.exists());
        assert!(other.path().join("kept").exists(), "a link is followed only to a folder of ours");
        finish(&again);
        assert!(!again.exists());
    }

    #[test]
    fn root_is_in_the_list_of_users_and_nobody_else_is_invented() {
        assert_eq!(User::named("root"), Some(User { uid: 0, gid: 0 }));
        assert_eq!(User::named("there-is-no-such-user"), None);
    }
}
