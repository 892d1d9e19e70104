//! The engine of Switchback: it knows how to go forward, how to go back, and what to do after a
//! crash. It knows no AWS, no SQL and no terminal; operations, journals and reporters are given
//! to it from outside.
//!
//! - [`operation`]: what an author of an operation implements, and the form the executor holds.
//! - [`runbook`] and [`planner`]: from a file to a [`Plan`](switchback_model::plan::Plan).
//! - [`remote`]: calls to what is not AWS; [`file`](mod@file) and [`export`]: to the files of this machine.
//! - [`history`]: a run as its records tell it.
//! - [`recovery`]: what to do with each step, decided by pure functions.
//! - [`executor`]: does it.

pub mod cel;
pub mod cx;
pub mod executor;
pub mod export;
pub mod file;
pub mod history;
pub mod journal;
pub mod operation;
pub mod planner;
pub mod provider;
pub mod recovery;
pub mod registry;
pub mod remote;
pub mod runbook;
pub mod secrets;

pub use cx::Cx;
pub use operation::{Expect, Found, Operation, Undo, Verdict};
pub use registry::Registry;
