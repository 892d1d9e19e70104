//! The sandbox as its callers see it: the real AWS SDK, a socket, the AWS CLI.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod ecr;
mod ecs;
mod faults;
mod gateway;
mod group;
mod interface;
mod logs;
mod places;
mod protocols;
mod requests;
mod rule;
mod snapshot;
mod subnet;
mod support;
mod tags;
mod vpc;
