//! The operations against the real systems.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod database;
mod errors;
mod export;
mod import;
mod migrations;
mod probe;
