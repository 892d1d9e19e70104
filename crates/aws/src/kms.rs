//! AWS KMS: keys and their names.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in [`resource`]: reading keys, their tags and their aliases. A key is never gone
//! at once: it waits for its deletion, in which it serves nobody. So a key that waits is not there.

pub mod alias;
pub mod key;
mod resource;

use switchback_engine::Cx;
use switchback_model::OpResult;

use crate::context::AwsContext;

pub(crate) use resource::waits_for_deletion;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_kms::Client> {
    Ok(cx.get::<AwsContext>()?.kms(cx))
}
