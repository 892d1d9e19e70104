//! Amazon `DynamoDB`: tables.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

mod items;
pub mod table;

use aws_sdk_dynamodb::error::BuildError;
use switchback_engine::Cx;
use switchback_model::{OpError, OpResult};

use crate::context::AwsContext;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_dynamodb::Client> {
    Ok(cx.get::<AwsContext>()?.dynamodb(cx))
}

/// What the SDK cannot put together.
fn built<T>(part: Result<T, BuildError>) -> OpResult<T> {
    part.map_err(|e| OpError::permanent(format!("the request cannot be sent: {e}")))
}
