//! Amazon EC2: networks and what guards them.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in [`resource`] (finding and comparing) and [`tags`] (ownership).

pub mod internet_gateway;
pub mod internet_gateway_attachment;
mod resource;
mod rule;
pub mod security_group;
pub mod security_group_rule;
pub mod subnet;
mod tags;
pub mod vpc;

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchback_engine::Cx;
use switchback_model::OpResult;
use switchback_model::facts::{Facts, ProofKind, Reversibility};

use crate::context::{AwsContext, QUIET};

pub use resource::sweep;

/// The before-image of what must not have been there: `capture` saw nothing, or it is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {}

/// The first pause between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(250);
/// How long `create`, `settle` and `verify` may take together. Networks are there at once; the rest
/// is for throttling and for reads that lag.
const CREATE_DEADLINE: Duration = Duration::from_secs(5 * 60);
/// How long `rollback` and its `verify` may take together. Network interfaces of load balancers,
/// tasks and functions outlive their owners by up to a quarter of an hour and hold on to networks.
const ROLLBACK_DEADLINE: Duration = Duration::from_secs(20 * 60);

/// The calls of an operation, each as `ec2:CreateVpc`.
struct Calls {
    reads: &'static [&'static str],
    creates: &'static str,
    settles: Vec<&'static str>,
    rolls_back: &'static str,
}

impl Calls {
    /// The facts that all operations here have in common. EC2 is eventually consistent: what was
    /// made may not be seen for some seconds, and AWS gives no bound; [`QUIET`] is far above what
    /// is met in practice.
    fn into_facts(self, tagged: bool) -> Facts {
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
            rolls_back: text(&[self.rolls_back]),
            extra_actions: if tagged { text(&["ec2:CreateTags"]) } else { Vec::new() },
        }
    }
}

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_ec2::Client> {
    Ok(cx.get::<AwsContext>()?.ec2(cx))
}
