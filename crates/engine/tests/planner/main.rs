//! From a runbook file to a plan, through the public interface, with small operations that do
//! nothing.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod bad_files;
mod bad_references;
mod fakes;
mod fuzz;
mod fuzz_cel;
mod good;
mod includes;
mod loading;
mod properties;
mod schema;
mod secrets;
mod targets;
