//! Amazon EC2: networks and what guards them.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in [`resource`] (finding and comparing) and [`tags`] (ownership).

pub mod elastic_ip;
pub mod internet_gateway;
pub mod internet_gateway_attachment;
pub mod nat_gateway;
mod resource;
pub mod route;
pub mod route_table;
pub mod route_table_association;
mod rule;
pub mod security_group;
pub mod security_group_rule;
pub mod subnet;
mod tags;
pub mod vpc;
pub mod vpc_endpoint;

use std::time::Duration;

use switchback_engine::Cx;
use switchback_model::OpResult;

use crate::calls::{Absent, Calls};
use crate::context::AwsContext;

pub use resource::sweep;

/// The first pause between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(250);
/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_ec2::Client> {
    Ok(cx.get::<AwsContext>()?.ec2(cx))
}
