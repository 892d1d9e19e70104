//! Amazon ECS: clusters.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

pub mod cluster;
pub mod configuration;
