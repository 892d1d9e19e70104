//! The log of calls: what came in, when, and what the caller saw. For tests and for people; nothing decides on it.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// How many calls are kept; the counts go on.
const KEPT: usize = 100_000;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Counts from 1.
    pub seq: u64,
    /// When the answer was known, on the sandbox's clock.
    pub at_ms: i64,
    /// As in the credential scope: `ec2`, `secretsmanager`; empty when the request was not signed.
    pub service: String,
    /// The action, such as `CreateVpc`.
    pub action: String,
    /// Whether the action can change anything.
    pub write: bool,
    /// The HTTP status that the caller saw; none when the connection was cut.
    pub status: Option<u16>,
    /// The AWS error code that the caller saw.
    pub code: Option<String>,
    /// The fault that happened to it.
    pub fault: Option<String>,
    /// What the faults `stuck` and `meddle` came to: the resources that stay pending, or the one that somebody else
    /// changed or deleted. Empty when they came to nothing, as everything else does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub touched: Vec<String>,
    /// This is not a call but the late effect of one.
    pub landed: bool,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    seen: u64,
    all: VecDeque<Call>,
    counts: BTreeMap<String, usize>,
}

impl Calls {
    pub(crate) fn push(&mut self, call: Call) {
        self.seen += 1;
        if !call.landed {
            *self.counts.entry(call.action.clone()).or_default() += 1;
        }
        self.all.push_back(Call { seq: self.seen, ..call });
        if self.all.len() > KEPT {
            self.all.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.all.iter().cloned().collect()
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.counts.get(action).copied().unwrap_or(0)
    }
}
