//! The sandbox as a process of its own: starting it, finding it, ending it.
//!
//! The binary that touches production links no emulator, so all that is known here is the file
//! that a sandbox writes when it listens (`sandbox.json`), its lock (`sandbox.lock`), and one
//! address that answers when it is well. The lock is the truth: the kernel frees it when the
//! process dies, while the file may be left behind.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{CommandError, CommandResult, FileError, Kind};
use crate::host;

/// The binary's name.
pub(crate) const BINARY: &str = "switchback-sandbox";
/// The account that a sandbox plays when nobody tells it another one.
pub(crate) const DEFAULT_ACCOUNT: &str = "123456789012";
/// How long a sandbox may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// What `sandbox.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Info {
    pub(crate) version: u32,
    pub(crate) endpoint: String,
    pub(crate) pid: u32,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) quiet_ms: u64,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) started_at: String,
    #[serde(default)]
    pub(crate) parts: Vec<Part>,
    #[serde(default)]
    pub(crate) inputs: BTreeMap<String, String>,
}

/// A real server beside the emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) address: String,
    /// The package to install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
}

/// The sandbox of a state folder.
#[derive(Debug)]
pub(crate) struct Sandbox {
    folder: PathBuf,
}

impl Sandbox {
    pub(crate) fn of(state: &Path) -> Self {
        Self { folder: state.to_owned() }
    }

    /// What it says, if it is up and answers.
    pub(crate) fn info(&self) -> Option<Info> {
        let info = self.written().ok()??;
        (self.is_alive() && answers(&info.endpoint)).then_some(info)
    }

    /// As [`info`](Self::info), or why not.
    pub(crate) fn must_be_up(&self) -> CommandResult<Info> {
        self.info().ok_or_else(|| {
            CommandError::said(Kind::Paused, format!("the sandbox of `{}` is not up", self.folder.display()))
                .advice("a sandbox keeps everything in memory: what was in it is gone when it has ended")
                .hint("sandbox up", "start an empty one")
        })
    }

    /// Starts it unless it is up, and waits until it answers; a bare one has no real servers. `true`: it was started.
    pub(crate) fn up(&self, port: u16, bare: bool) -> CommandResult<(Info, bool)> {
        if let Some(info) = self.info() {
            return Ok((info, false));
        }
        let mut child = self.start(port, bare)?;
        let ended = wait(PATIENCE, || {
            if self.info().is_some() {
                return Some(None);
            }
            child.try_wait().ok().flatten().map(Some)
        });
        match (ended, self.info()) {
            // Its own end does not matter when another one listens: two were started at once.
            (_, Some(info)) => Ok((info, true)),
            (Some(Some(status)), None) => Err(self.failed(format!("`{BINARY}` ended before it listened ({status})"))),
            _ => Err(self.failed(format!("`{BINARY}` does not answer after {} s", PATIENCE.as_secs()))),
        }
    }

    /// Ends it. `false`: none was up.
    pub(crate) fn down(&self) -> CommandResult<bool> {
        if !self.is_alive() {
            return Ok(false);
        }
        let Some(info) = self.written()? else {
            return Err(
                self.failed(format!("a sandbox holds `{}` but says nothing about itself", self.folder.display()))
            );
        };
        // A pid out of a file is believed only when what listens there says that it is a sandbox.
        let pid = i32::try_from(info.pid).ok().and_then(Pid::from_raw);
        let (true, Some(pid)) = (answers(&info.endpoint), pid) else {
            return Err(self.failed(format!("the sandbox at {} does not answer", info.endpoint)));
        };
        kill_process(pid, Signal::TERM).map_err(|e| {
            CommandError::new(Kind::Refused, io::Error::from(e)).advice(format!("process {pid:?} could not be ended"))
        })?;
        match wait(PATIENCE, || (!self.is_alive()).then_some(())) {
            Some(()) => Ok(true),
            None => Err(self.failed(format!("process {} does not end", info.pid))),
        }
    }

    fn failed(&self, message: String) -> CommandError {
        CommandError::refused(message).advice(format!("its own words are in {}", self.log().display()))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("sandbox.log")
    }

    fn written(&self) -> CommandResult<Option<Info>> {
        let path = self.folder.join("sandbox.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FileError { what: "read", path, source }.into()),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            let source = io::Error::new(io::ErrorKind::InvalidData, e);
            FileError { what: "read", path, source }.into()
        })
    }

    /// Whether a process holds the lock.
    fn is_alive(&self) -> bool {
        let Ok(file) = File::open(self.folder.join("sandbox.lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn start(&self, port: u16, bare: bool) -> CommandResult<Child> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| CommandError::from(FileError { what, path, source })
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(failed("create", &self.folder))?;
        let log = self.log();
        let stdout =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(failed("write", &log))?;
        let stderr = stdout.try_clone().map_err(failed("write", &log))?;
        command()
            .arg("serve")
            .arg("--state")
            .arg(&self.folder)
            .arg("--port")
            .arg(port.to_string())
            .args(bare.then_some("--bare"))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // A group of its own: the Ctrl-C that pauses a run must not end the sandbox.
            .process_group(0)
            .spawn()
            .map_err(not_started)
    }
}

/// The sandbox binary as a process to be: without the variables that hold secrets.
pub(crate) fn command() -> Command {
    let mut command = Command::new(find_binary());
    for name in host::secret_vars() {
        command.env_remove(name);
    }
    command
}

/// That it could not be started, and what to do.
pub(crate) fn not_started(source: io::Error) -> CommandError {
    CommandError::from(FileError { what: "start", path: find_binary(), source })
        .advice(format!("build `{BINARY}`, or say where it is with SWITCHBACK_SANDBOX_BIN"))
}

/// The binary: as the environment says, else beside this one, else on the PATH.
pub(crate) fn find_binary() -> PathBuf {
    host::sandbox_bin().unwrap_or_else(|| {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(BINARY)));
        beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(BINARY))
    })
}

/// Whether a sandbox answers there. Plain HTTP on loopback: no client is worth linking for it.
fn answers(endpoint: &str) -> bool {
    let ask = || -> io::Result<bool> {
        let address = endpoint.strip_prefix("http://").unwrap_or(endpoint);
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        write!(stream, "GET /_switchback/health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head.starts_with(b"HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Asks until there is an answer or patience is over.
#[expect(clippy::disallowed_methods, reason = "no runtime is there yet, and another process is waited for")]
pub(crate) fn wait<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let mut left = patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        left = left.checked_sub(PAUSE)?;
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_left_behind_is_no_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::of(folder.path());
        let left = r#"{"version":1,"endpoint":"http://127.0.0.1:1","pid":1,"account":"1","region":"r",
            "quiet_ms":1,"access_key_id":"a","secret_access_key":"b","started_at":"x"}"#;
        fs::write(folder.path().join("sandbox.json"), left).unwrap();
        fs::write(folder.path().join("sandbox.lock"), "").unwrap();
        assert_eq!(sandbox.info(), None);
        assert!(!sandbox.down().unwrap());
        assert_eq!(sandbox.must_be_up().unwrap_err().code(), 4);
    }
}
