//! Whatever goes wrong, as one type: what kind it is (which decides the exit code), the error
//! with its sources, and hints. One `From` a library error picks the kind and the hints.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use switchback_engine::executor::ExecError;
use switchback_engine::history::HistoryError;
use switchback_engine::journal::JournalError;
use switchback_engine::planner::PlanError;
use switchback_engine::recovery::Refusal;
use switchback_engine::registry::DuplicateKind;
use switchback_engine::runbook::Diagnostics;
use switchback_engine::secrets::SecretError;
use switchback_model::{ErrorClass, OpError, exit_code};
use thiserror::Error;

use crate::certificate::CertificateError;

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing was done.
    Refused,
    /// The command line is wrong.
    Usage,
    /// It can go on later.
    Paused,
    /// A person is needed.
    Stuck,
    /// Another executor holds the run.
    Locked,
    /// The world is not as it was left.
    Drift,
    /// The journal cannot be used.
    Journal,
    /// Nobody reads our output any more. Not worth a word.
    BrokenPipe,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Refused => exit_code::REFUSED,
            Self::Usage => exit_code::USAGE,
            Self::Paused => exit_code::PAUSED,
            Self::Stuck => exit_code::STUCK,
            Self::Locked => exit_code::LOCKED,
            Self::Drift => exit_code::DRIFT,
            Self::Journal => exit_code::JOURNAL,
            Self::BrokenPipe => exit_code::OK,
        }
    }

    /// As in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Paused => "paused",
            Self::Stuck => "stuck",
            Self::Locked => "locked",
            Self::Drift => "drift",
            Self::Journal => "journal",
            Self::BrokenPipe => "broken_pipe",
        }
    }
}

/// What to do about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A command to run next, without the program's name, and what it is for.
    Command(String, &'static str),
    /// In words.
    Text(String),
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Cause {
    /// An error with its sources.
    Error(Box<dyn Error + Send + Sync>),
    /// Errors in a file.
    Diagnostics(Box<Diagnostics>),
}

/// An error of a command.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) kind: Kind,
    pub(crate) cause: Cause,
    pub(crate) hints: Vec<Hint>,
}

/// What commands return.
pub(crate) type CommandResult<T> = Result<T, CommandError>;

/// An error that has no library behind it.
#[derive(Debug, Error)]
#[error("{0}")]
struct Plain(String);

/// A file that cannot be read or written.
#[derive(Debug, Error)]
#[error("failed to {what} `{}`", .path.display())]
pub(crate) struct FileError {
    /// `read`, `write`, `start`.
    pub(crate) what: &'static str,
    pub(crate) path: PathBuf,
    #[source]
    pub(crate) source: io::Error,
}

impl CommandError {
    pub(crate) fn new(kind: Kind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, cause: Cause::Error(source.into()), hints: Vec::new() }
    }

    pub(crate) fn said(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, Plain(message.into()))
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::said(Kind::Refused, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::said(Kind::Usage, message)
    }

    /// Adds a command to run next.
    pub(crate) fn hint(mut self, command: impl Into<String>, what_for: &'static str) -> Self {
        self.hints.push(Hint::Command(command.into(), what_for));
        self
    }

    /// Adds what to do, in words.
    pub(crate) fn advice(mut self, text: impl Into<String>) -> Self {
        self.hints.push(Hint::Text(text.into()));
        self
    }

    pub(crate) const fn code(&self) -> u8 {
        self.kind.code()
    }

    /// The message and those of its sources, outermost first.
    pub(crate) fn chain(&self) -> Vec<String> {
        match &self.cause {
            Cause::Diagnostics(d) => vec![d.to_string()],
            Cause::Error(e) => {
                let mut out = vec![e.to_string()];
                let mut at = e.source();
                while let Some(source) = at {
                    out.push(source.to_string());
                    at = source.source();
                }
                out
            }
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

impl From<JournalError> for CommandError {
    fn from(e: JournalError) -> Self {
        let error = |kind| move |e| Self::new(kind, e);
        match &e {
            JournalError::Missing(_) => error(Kind::Refused)(e)
                .hint("apply FILE", "the first run makes the journal")
                .advice("or name another state folder with --state DIR"),
            JournalError::NoSuchRun(_) => error(Kind::Refused)(e).hint("runs", "all runs of this journal"),
            JournalError::Locked { run, .. } => {
                let (status, takeover) = (format!("status {run}"), format!("takeover {run} --reason TEXT"));
                error(Kind::Locked)(e).hint(status, "where it stands").hint(takeover, "end the other executor")
            }
            JournalError::TakenOver { run, .. } => {
                let status = format!("status {run}");
                error(Kind::Locked)(e).hint(status, "where it stands")
            }
            JournalError::Version { advice, .. } => {
                let advice = advice.clone();
                error(Kind::Journal)(e).advice(advice)
            }
            JournalError::Full { .. } => {
                error(Kind::Journal)(e).advice("make space; the journal goes on where it stopped")
            }
            JournalError::ReadOnly { .. } => {
                error(Kind::Journal)(e).advice("make the state folder writable, or name another with --state DIR")
            }
            JournalError::Tampered { .. } | JournalError::Corrupt { .. } => error(Kind::Journal)(e).advice(
                "nothing was done; restore the state folder from a backup, and keep the damaged one for the audit",
            ),
            _ => error(Kind::Journal)(e),
        }
    }
}

impl From<HistoryError> for CommandError {
    fn from(e: HistoryError) -> Self {
        Self::new(Kind::Journal, e).advice("the journal says something impossible; it is not obeyed")
    }
}

impl From<ExecError> for CommandError {
    fn from(e: ExecError) -> Self {
        match e {
            ExecError::Journal(e) => e.into(),
            ExecError::Refused(e) => e.into(),
            ExecError::Plan(_) => Self::new(Kind::Refused, e),
            _ => Self::new(Kind::Stuck, e).advice("the journal is as it was after its last record; please report this"),
        }
    }
}

impl From<Refusal> for CommandError {
    fn from(e: Refusal) -> Self {
        let next: Option<(&str, &'static str)> = match &e {
            Refusal::Unwinding { .. } => Some(("unwind --all", "go on with the unwind, to the start")),
            Refusal::Ended(_) => Some(("status", "where it stands")),
            Refusal::LeftBehind(_) => Some(("unwind --all", "go back to the start")),
            Refusal::Step { .. } | Refusal::UnknownTarget(_) | Refusal::NotReached(_) => {
                Some(("status", "its steps, and which commands apply"))
            }
            Refusal::Narrower { .. } => Some(("unwind --all", "keep nothing")),
            Refusal::Pivot { .. } => None,
        };
        let error = Self::new(Kind::Refused, e);
        match next {
            Some((command, what_for)) => error.hint(command, what_for),
            None => error.advice("unwind to a point after it, with --to CHECKPOINT|STEP"),
        }
    }
}

impl From<OpError> for CommandError {
    fn from(e: OpError) -> Self {
        let kind = match e.class {
            ErrorClass::Unavailable => Kind::Paused,
            ErrorClass::Drift => Kind::Drift,
            ErrorClass::Transient | ErrorClass::Ambiguous | ErrorClass::Busy => Kind::Stuck,
            _ => Kind::Refused,
        };
        let hint = e.hint.clone();
        let error = Self::new(kind, e);
        match hint {
            Some(hint) => error.advice(hint),
            None => error,
        }
    }
}

impl From<Diagnostics> for CommandError {
    fn from(e: Diagnostics) -> Self {
        Self { kind: Kind::Refused, cause: Cause::Diagnostics(Box::new(e)), hints: Vec::new() }
    }
}

impl From<PlanError> for CommandError {
    fn from(e: PlanError) -> Self {
        let version = matches!(e, PlanError::Format { .. } | PlanError::OperationVersion { .. });
        let error = Self::new(Kind::Refused, e);
        if version { error.advice("use the release that wrote the plan") } else { error }
    }
}

impl From<SecretError> for CommandError {
    fn from(e: SecretError) -> Self {
        let other = matches!(e, SecretError::OtherValue { .. });
        let error = Self::new(Kind::Refused, e);
        if other {
            error.advice("nothing was done; give the value that the run began with, or go back and begin again")
        } else {
            error.advice("nothing was done; use the release that began the run")
        }
    }
}

impl From<DuplicateKind> for CommandError {
    fn from(e: DuplicateKind) -> Self {
        Self::new(Kind::Refused, e).advice("two crates of this binary register the same operation")
    }
}

impl From<CertificateError> for CommandError {
    fn from(e: CertificateError) -> Self {
        Self::new(Kind::Refused, e).advice("nothing was done: what is no certificate of this very plan proves nothing")
    }
}

impl From<FileError> for CommandError {
    fn from(e: FileError) -> Self {
        Self::new(Kind::Refused, e)
    }
}

/// Only what is written to stdout comes this way: files have [`FileError`].
impl From<io::Error> for CommandError {
    fn from(e: io::Error) -> Self {
        let kind = if e.kind() == io::ErrorKind::BrokenPipe { Kind::BrokenPipe } else { Kind::Refused };
        Self::new(kind, e)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use switchback_model::record::UnwindTarget;
    use switchback_model::{Epoch, RunId, Seq};
    use uuid::Uuid;

    use super::*;

    /// Every kind of error and its exit code; outcomes have theirs in `report::outcome`.
    #[test]
    fn every_error_has_its_exit_code() {
        let (path, run) = (PathBuf::from("j"), RunId::new(Uuid::nil()));
        let journal = [
            (JournalError::Missing(path.clone()), 1),
            (JournalError::NoSuchRun(run), 1),
            (JournalError::Locked { run, holder: None }, 6),
            (JournalError::TakenOver { run, ours: Epoch(1), newest: Epoch(2) }, 6),
            (JournalError::Full { path: path.clone() }, 8),
            (JournalError::ReadOnly { path: path.clone() }, 8),
            (JournalError::Corrupt { path: path.clone(), what: String::new() }, 8),
            (JournalError::Tampered { path: path.clone(), run, seq: Seq(1), what: String::new() }, 8),
            (JournalError::Version { path, found: 2, supported: 1, advice: String::new() }, 8),
        ];
        for (e, code) in journal {
            let text = format!("{e:?}");
            assert_eq!(CommandError::from(ExecError::Journal(e)).code(), code, "{text}");
        }
        for (class, code) in [
            (ErrorClass::Permanent, 1),
            (ErrorClass::Foreign, 1),
            (ErrorClass::Unavailable, 4),
            (ErrorClass::Ambiguous, 5),
            (ErrorClass::Drift, 7),
        ] {
            assert_eq!(CommandError::from(OpError::new(class, "x")).code(), code, "{class}");
        }
        let refusal = Refusal::Unwinding { target: UnwindTarget::All };
        assert_eq!(CommandError::from(ExecError::Refused(refusal)).code(), 1);
        assert_eq!(CommandError::from(ExecError::Plan(String::new())).code(), 1);
        assert_eq!(CommandError::usage("x").code(), 2);
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(CommandError::from(closed).code(), 0);
    }

    #[test]
    fn the_whole_chain_is_told() {
        let source = io::Error::other("disk on fire");
        let e = CommandError::from(FileError { what: "read", path: "a.yaml".into(), source });
        assert_eq!(e.to_string(), "failed to read `a.yaml`: disk on fire");
    }
}
