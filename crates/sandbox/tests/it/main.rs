//! The sandbox as its callers see it: the real AWS SDK, a socket, the AWS CLI.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod elastic_ip;
mod endpoint;
mod faults;
mod gateway;
mod group;
mod interface;
mod nat;
mod places;
mod protocols;
mod requests;
mod route;
mod rule;
mod snapshot;
mod subnet;
mod support;
mod table;
mod tags;
mod vpc;
