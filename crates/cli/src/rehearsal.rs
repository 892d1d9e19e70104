//! The process that rehearses: the sandbox binary, which has the emulator that this one does not link.
//!
//! The plan goes in on stdin, lines of JSON come out on stdout, and what it says on stderr goes to
//! ours. It never outlives what it is for: it is in our process group, is killed by its id when we
//! stop early, and where we die at once its stdout is closed and it has nobody to talk to.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::Signal;
use switchback_model::rehearsal::Line;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;

use crate::error::{CommandError, CommandResult, Kind};
use crate::execute::Signals;
use crate::sandbox::{self, BINARY};

/// What is to be rehearsed, and how.
#[derive(Debug)]
pub(crate) struct Order {
    /// The canonical JSON of the plan.
    pub(crate) plan: String,
    /// Arguments after `rehearse`.
    pub(crate) args: Vec<String>,
}

/// Who is told.
pub(crate) trait Listener {
    /// A line. An error ends the rehearsal.
    fn line(&mut self, line: Line) -> CommandResult<()>;
    /// Something that the process says for people.
    fn aside(&mut self, text: &str);
    /// Whether nothing more is expected.
    fn is_done(&self) -> bool;
}

/// Runs it, and tells every line, to its end.
///
/// # Errors
/// When it cannot be started, ends before it is done, says what is not understood, or is stopped by
/// a signal; and what the listener says.
pub(crate) fn run(runtime: &Runtime, order: Order, to: &mut dyn Listener) -> CommandResult<()> {
    let mut signals = Signals::listen(runtime)?;
    runtime.block_on(async {
        let mut command = Command::from(sandbox::command());
        command.arg("rehearse").args(order.args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // However this function is left: it is killed.
        let mut child = command.kill_on_drop(true).spawn().map_err(sandbox::not_started)?;
        if let Some(mut stdin) = child.stdin.take() {
            tokio::spawn(async move {
                // Where it does not read to the end, its own end says why.
                let _ = stdin.write_all(order.plan.as_bytes()).await;
                let _ = stdin.shutdown().await;
            });
        }
        let status = tokio::select! {
            biased;
            () = signals.next() => return Err(stopped()),
            heard = listen(&mut child, to) => heard?,
        };
        if to.is_done() {
            return Ok(());
        }
        // Ctrl-C reaches the whole group, and its end may be seen before the signal is.
        if status.signal().is_some_and(|signal| [Signal::INT, Signal::TERM].iter().any(|s| s.as_raw() == signal)) {
            return Err(stopped());
        }
        Err(CommandError::refused(format!("`{BINARY} rehearse` ended before it was done ({status})")).advice(same()))
    })
}

fn stopped() -> CommandError {
    CommandError::refused("the rehearsal was stopped; nothing was done anywhere, and no certificate was written")
}

/// Tells what comes on stdout and stderr until both are closed, and waits for the end.
async fn listen(child: &mut Child, to: &mut dyn Listener) -> CommandResult<ExitStatus> {
    let lost = || CommandError::refused(format!("`{BINARY} rehearse` cannot be listened to"));
    let mut out = BufReader::new(child.stdout.take().ok_or_else(lost)?).lines();
    let mut err = BufReader::new(child.stderr.take().ok_or_else(lost)?).split(b'\n');
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            line = out.next_line(), if out_open => match line.map_err(nonsense)? {
                Some(text) => to.line(serde_json::from_str(&text).map_err(nonsense)?)?,
                None => out_open = false,
            },
            line = err.next_segment(), if err_open => match line {
                Ok(Some(text)) => to.aside(&String::from_utf8_lossy(&text)),
                Ok(None) | Err(_) => err_open = false,
            },
        }
    }
    Ok(child.wait().await?)
}

/// That it said what is not understood.
pub(crate) fn nonsense(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommandError {
    #[derive(Debug, thiserror::Error)]
    #[error("`{BINARY} rehearse` said what `switchback` does not understand")]
    struct Nonsense(#[source] Box<dyn std::error::Error + Send + Sync>);
    CommandError::new(Kind::Refused, Nonsense(source.into())).advice(same())
}

fn same() -> String {
    format!("no certificate was written; `switchback` and `{BINARY}` must be of the same release")
}

/// A broken pipe ends a listing well, but a rehearsal that was not heard to its end found nothing out.
pub(crate) fn unheard(e: io::Error) -> CommandError {
    match e.kind() {
        io::ErrorKind::BrokenPipe => CommandError::refused("nobody reads what the rehearsal says; it was stopped"),
        _ => e.into(),
    }
}
