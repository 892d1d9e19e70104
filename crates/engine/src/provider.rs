//! What the engine asks of the target as a whole, beside single operations: who are we, and what
//! is left of a run.

use std::sync::Arc;

use switchback_model::record::{Called, Leftover};
use switchback_model::{OpResult, RunId};

use crate::operation::BoxFuture;

/// Where calls go that are made for the run as a whole and for no step.
pub type CallLog = Arc<dyn Fn(Called) + Send + Sync>;

/// Keeps no calls: for who only looks, without a journal.
#[must_use]
pub fn no_log() -> CallLog {
    Arc::new(|_| ())
}

/// A target: AWS, a database server.
pub trait Provider: Send + Sync {
    /// The name of the target in the plan: `aws`, `aws.west`.
    fn name(&self) -> &str;

    /// Read-only. Whether the caller is who the plan wants it to be and may do what the plan
    /// needs. The identity goes into the journal.
    ///
    /// # Errors
    /// Class `Permanent` when it is refused; `Unavailable` when it cannot be asked.
    fn preflight(&self, calls: CallLog) -> BoxFuture<'_, OpResult<Identity>>;

    /// Read-only. Resources that still carry the run's ownership tags and are not on their way
    /// out.
    ///
    /// # Errors
    /// When the target cannot be asked.
    fn sweep(&self, run: RunId, calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>>;
}

/// Who we are for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The caller's ARN or name.
    pub caller: String,
}
