//! A server as a child: started through a supervisor, this binary again, which ends it when the sandbox has ended.
//!
//! The supervisor reads a pipe whose other end only the sandbox holds. However the sandbox ends, the kernel closes the
//! pipe; the supervisor then ends the server and removes its folder. No signal moves the supervisor: Ctrl-C goes to the
//! whole group, and the order of ends is the sandbox's business.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::PartError;
use super::places::{Folder, User};

/// How long a server may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How much of a log is shown.
const SHOWN: usize = 600;

/// What a supervisor is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Order {
    /// Folder to be removed when the server has ended
    #[arg(long, value_name = "DIR")]
    pub folder: PathBuf,
    /// User id that the server runs as
    #[arg(long, value_name = "N", requires = "gid")]
    pub uid: Option<u32>,
    /// Group id that the server runs as
    #[arg(long, value_name = "N", requires = "uid")]
    pub gid: Option<u32>,
    /// The server is asked to end with SIGQUIT instead of SIGTERM
    #[arg(long)]
    pub quit: bool,
    /// The server, and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// A server under its supervisor. Dropping it ends the server, without waiting.
#[derive(Debug)]
pub(super) struct Child {
    supervisor: tokio::process::Child,
    folder: Folder,
    log: PathBuf,
}

impl Child {
    /// Starts `program` in its folder; it writes what it says into `server.log` there.
    pub(super) fn start(
        program: &Path,
        args: &[&str],
        folder: Folder,
        user: Option<User>,
        quit: bool,
    ) -> Result<Self, PartError> {
        let log = folder.path().join("server.log");
        let failed = |what| PartError::io(what, program.display().to_string());
        let file = std::fs::File::create(&log).map_err(PartError::io("write", log.display().to_string()))?;
        let second = file.try_clone().map_err(failed("start"))?;
        let this = std::env::current_exe().map_err(failed("start"))?;
        let mut command = Command::new(this);
        command.arg("part").arg("--folder").arg(folder.path());
        if let Some(User { uid, gid }) = user {
            command.arg("--uid").arg(uid.to_string()).arg("--gid").arg(gid.to_string());
        }
        if quit {
            command.arg("--quit");
        }
        command.arg("--").arg(program).args(args);
        command.stdin(Stdio::piped()).stdout(file).stderr(second);
        let supervisor = command.spawn().map_err(failed("start"))?;
        Ok(Self { supervisor, folder, log })
    }

    /// What it said last, if it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.supervisor.try_wait().ok().flatten()?;
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = said.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
        Some(format!("{status}; {}", said[from..].trim()))
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn end(&mut self, within: Duration) {
        drop(self.supervisor.stdin.take());
        if tokio::time::timeout(within, self.supervisor.wait()).await.is_err() {
            tracing::warn!(folder = %self.folder.path().display(), "a server does not end");
        }
        self.folder.remove();
    }
}

/// Runs a server until it ends, or until nobody holds the other end of stdin; then removes its folder.
///
/// # Errors
/// When the server cannot be started, or ended by itself and not well.
pub async fn supervise(order: Order) -> std::io::Result<()> {
    // Held, so that they do nothing.
    let _ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let mut arguments = order.command.into_iter();
    let mut command = Command::new(arguments.next().unwrap_or_default());
    command.args(arguments).current_dir(&order.folder).stdin(Stdio::null()).env_clear();
    if let (Some(uid), Some(gid)) = (order.uid, order.gid) {
        command.uid(uid).gid(gid);
    }
    let mut server = command.kill_on_drop(true).spawn()?;
    let pid = server.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let mut nothing = [0; 16];
    // Not tokio's stdin: its thread would wait for the pipe when the server has ended by itself.
    let mut pipe = pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut gone = std::pin::pin!(async { while pipe.read(&mut nothing).await.is_ok_and(|read| read > 0) {} });
    tokio::select! {
        status = server.wait() => {
            let status = status?;
            if status.success() {
                return Ok(());
            }
            let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
            return Err(std::io::Error::other(how));
        }
        () = &mut gone => {}
    }
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, if order.quit { Signal::QUIT } else { Signal::TERM });
    }
    if tokio::time::timeout(GRACE, server.wait()).await.is_err() {
        server.kill().await?;
    }
    // Where the sandbox removed it first, that is as good.
    let _ = std::fs::remove_dir_all(&order.folder);
    Ok(())
}
