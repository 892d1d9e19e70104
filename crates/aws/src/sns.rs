//! AWS SNS: topics, who hears them and who may publish to them.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in [`resource`].

mod resource;
pub mod subscription;
pub mod topic;
pub mod topic_policy;

use switchback_engine::Cx;
use switchback_model::OpResult;

use crate::context::AwsContext;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_sns::Client> {
    Ok(cx.get::<AwsContext>()?.sns(cx))
}
