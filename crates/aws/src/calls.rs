//! What all operations say about themselves alike: their calls, and the facts that follow from AWS
//! being AWS.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchback_model::facts::{Facts, ProofKind, Reversibility};
use switchback_model::{ErrorClass, OpError};

use crate::context::QUIET;

/// The before-image of what must not have been there: `capture` saw nothing, or it is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {}

/// How long `create`, `settle` and `verify` may take together. Most things are there at once; the rest
/// is for throttling and for reads that lag. What takes longer says so in its own facts.
pub(crate) const CREATE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How long `rollback` and its `verify` may take together. Network interfaces of load balancers,
/// tasks and functions outlive their owners by up to a quarter of an hour and hold on to networks.
pub(crate) const ROLLBACK_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// The calls of an operation, each as `ec2:CreateVpc`.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    /// By `capture`, `find` and `verify`, and while waiting.
    pub(crate) reads: &'static [&'static str],
    /// The one that gives identity.
    pub(crate) creates: &'static str,
    /// The writing ones of `settle`.
    pub(crate) settles: Vec<&'static str>,
    /// The writing ones of `rollback`.
    pub(crate) rolls_back: Vec<&'static str>,
    /// The IAM actions that AWS asks for besides, to do it: `ec2:CreateTags`, `iam:PassRole`.
    pub(crate) besides: &'static [&'static str],
}

impl Calls {
    /// The facts that operations on AWS have in common; an operation overrides what differs. AWS is
    /// eventually consistent: what was made may not be seen for some seconds, and AWS gives no bound;
    /// [`QUIET`] is far above what is met in practice.
    pub(crate) fn into_facts(self) -> Facts {
        let text = |calls: &[&'static str]| calls.iter().copied().map(Cow::Borrowed).collect::<Vec<_>>();
        Facts {
            reversibility: Reversibility::Reversible,
            residue: Vec::new(),
            proof: ProofKind::Strong,
            unique: false,
            quiet: QUIET,
            create_deadline: CREATE_DEADLINE,
            rollback_deadline: ROLLBACK_DEADLINE,
            reads: text(self.reads),
            creates: text(&[self.creates]),
            settles: text(&self.settles),
            rolls_back: text(&self.rolls_back),
            extra_actions: text(self.besides),
            extra_undo_actions: Vec::new(),
            arns: Vec::new(),
        }
    }
}

/// A create call was answered and the answer does not say what was made: look it up.
pub(crate) fn nameless(call: &'static str, about: &str) -> OpError {
    OpError::new(ErrorClass::Ambiguous, format!("the reply to `{call}` for {about} does not name what it made"))
}
