//! AWS CloudWatch: alarms.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.

pub mod metric_alarm;
