//! Amazon CloudWatch Logs: log groups.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

pub mod log_group;
