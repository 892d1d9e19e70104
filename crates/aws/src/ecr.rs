//! Amazon ECR: repositories of container images, and what removes old images from them.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests. All are
//! about the registry of the account itself.

pub mod lifecycle_policy;
pub mod repository;

use switchback_engine::Cx;
use switchback_model::OpResult;

use crate::context::AwsContext;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_ecr::Client> {
    Ok(cx.get::<AwsContext>()?.ecr(cx))
}
