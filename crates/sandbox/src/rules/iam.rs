//! IAM: roles, policies, identity providers.

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let answer = desk.pass_on(input).await?;
    if input.action == "CreateRole" {
        let name = input.params()?.get("RoleName").unwrap_or_default();
        if let Some(arn) = desk.picture().iam.roles.get(name).map(|role| role.arn.clone()) {
            // The others hear of it later: see `Desk::role`.
            desk.settle(&arn);
        }
    }
    Ok(answer)
}
