//! RDS: databases and what they need.

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    // A call that has no rules here yet.
    desk.pass_on(input).await
}
