//! AWS IAM: roles, and what they may do.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in [`resource`]: reading roles and policies, names and paths. IAM is one for all
//! regions, and what is read may lag behind what was written for some seconds.

pub mod policy;
mod resource;
pub mod role;
pub mod role_inline_policy;
pub mod role_policy_attachment;

use switchback_engine::Cx;
use switchback_model::OpResult;

use crate::context::AwsContext;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_iam::Client> {
    Ok(cx.get::<AwsContext>()?.iam(cx))
}
