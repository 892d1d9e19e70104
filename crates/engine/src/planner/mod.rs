//! From a runbook to a plan: inputs filled in, `for_each` expanded, `when` decided, references
//! resolved, and everything checked that can be known before anything runs.
//!
//! Pure: no file is read (what stands beside a runbook is asked of the caller), no network is used, no clock is asked. The same runbook with the same
//! inputs and the same operations gives the same plan, byte for byte, so a plan has a hash.
//!
//! All errors are collected, with their places in the file. An error is reported once: what
//! depends on something that is wrong already is passed over in silence. A file whose form is
//! wrong is not planned, since with a step missing everything that refers to it would be wrong.
//!
//! Everything here takes time that is linear in the size of the file and of the plan, and the plan
//! has a largest size (`budget`).
//!
//! - `inputs`: what was given, what is the default, what is missing.
//! - `catalog`, `shape`: the operations' schemas, in a form that is quick to check against.
//! - `expand`: which steps there are: `for_each` and `when`.
//! - `includes`: what stands in files beside the runbook.
//! - `scope`, `target`: what a reference means at one place. `arg`: a parameter, resolved.
//! - `check`: a parameter against a schema; typed ids.
//! - `build`: all of it, step by step. `order`: cycles.
//! - `load`: a plan that comes from a file. `schema`: the JSON Schema of a runbook.

mod arg;
mod budget;
mod build;
mod catalog;
mod check;
mod expand;
mod includes;
mod inputs;
mod load;
mod order;
mod schema;
mod scope;
mod shape;
mod target;

pub use build::{Planned, plan_runbook, plan_runbook_beside};
pub use includes::Beside;
pub use load::{PlanError, load_plan, plan_hash, plan_text};
pub use schema::runbook_schema;
