//! Systems Manager: its Parameter Store.

pub mod parameter;
