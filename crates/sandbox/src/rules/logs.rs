//! CloudWatch Logs: log groups. Streams and events are the emulator's.

mod group;

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateLogGroup" => group::create(desk, body).await,
        "DescribeLogGroups" => group::describe(desk, body),
        "DeleteLogGroup" => group::delete(desk, body).await,
        "PutRetentionPolicy" => group::put_retention(desk, body).await,
        "PutLogGroupDeletionProtection" => group::protect(desk, body).await,
        "AssociateKmsKey" => group::associate_key(desk, body).await,
        "ListTagsForResource" => group::list_tags(desk, body),
        "TagResource" => group::tag(desk, body).await,
        // A call that has no rules here yet.
        _ => return desk.pass_on(input).await,
    };
    reply.map(|reply| Answer::json(&reply))
}
