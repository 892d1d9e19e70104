//! The operations against the real systems.

#[path = "../support/mod.rs"]
mod support;

mod database;
mod errors;
mod export;
mod import;
mod migrations;
mod probe;
