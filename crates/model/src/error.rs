//! Errors of operations. They are data: the journal stores them and they are read back after a
//! crash, so they hold text and codes, never a live source.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an operation's error means for the executor (DESIGN section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// It certainly had no effect and may succeed when tried again: a throttling reply, a
    /// connection refused before anything was sent. Retried with backoff, five attempts.
    Transient,
    /// It may have happened, or may still happen: a 5xx, a timeout or a reset after a write was
    /// sent. Looked up before it is retried.
    Ambiguous,
    /// Something else must finish first (`DependencyViolation`, `DeleteConflict`): waited for
    /// until the deadline.
    Busy,
    /// It will not succeed as it stands: denied, invalid, quota, or a deadline that was reached.
    Permanent,
    /// Nothing can be done now: credentials expired, no network, breaker open. Pauses the run;
    /// never unwinds into a wall.
    Unavailable,
    /// `create` was refused because a thing of that identity is there already. Looked up: ours
    /// is adopted, anything else fails the step.
    AlreadyExists,
    /// What is there belongs to somebody else.
    Foreign,
    /// The world is no longer what the journal says we left. Stops, and asks.
    Drift,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Busy => "busy",
            Self::Permanent => "permanent",
            Self::Unavailable => "unavailable",
            Self::AlreadyExists => "already exists",
            Self::Foreign => "foreign",
            Self::Drift => "drift",
        })
    }
}

/// An error of an operation, as the executor acts on it and the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpError {
    /// What it means for the executor.
    pub class: ErrorClass,
    /// The service's own code (`DependencyViolation`), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened, to which thing. A lower-case fragment without a secret in it.
    pub message: String,
    /// The service that was called (`ec2`), for its circuit breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The request id that the service gave, for its support and for CloudTrail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What an operation's methods return.
pub type OpResult<T> = Result<T, OpError>;

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " ({code}")?;
            if let Some(id) = &self.request_id {
                write!(f, ", request {id}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl OpError {
    /// The code of an error that says: what the step works inside of, or on, is not there.
    pub const NOT_THERE: &'static str = "NotThere";

    /// An error of the given class.
    #[must_use]
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, code: None, message: message.into(), service: None, request_id: None, hint: None }
    }

    /// A [`ErrorClass::Permanent`] error.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }

    /// A [`ErrorClass::Foreign`] error.
    #[must_use]
    pub fn foreign(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Foreign, message)
    }

    /// A [`ErrorClass::Drift`] error.
    #[must_use]
    pub fn drift(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Drift, message)
    }

    /// Adds the service's own code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
