//! What Switchback says, and how it looks. One stream of events, several reporters: bars on a
//! terminal, plain lines elsewhere, JSON lines on request.
//!
//! This crate sees `switchback-model` and nothing else of the engine. It asks nobody for the
//! time, the environment or the terminal's size: whoever calls it says whether there are colours
//! and where the text goes, so that a test can render into a string.
//!
//! - [`reporter`]: the trait; [`plain`], [`bars`], [`json`] and [`log`] implement it.
//! - [`words`]: a record in words. [`outcome`]: the end of a run in words, and its exit code.
//! - [`plan`], [`ops`], [`status`], [`check`]: views that commands fill and this crate renders.
//! - [`rehearsal`]: a rehearsal while it runs, what it finds, and what is said about it afterwards.
//! - [`style`], [`text`]: colours, columns, durations.

pub mod bars;
pub mod check;
pub mod json;
pub mod log;
pub mod ops;
pub mod outcome;
pub mod plain;
pub mod plan;
pub mod rehearsal;
pub mod reporter;
pub mod status;
pub mod style;
mod tally;
#[cfg(test)]
mod testing;
pub mod text;
pub mod words;

pub use reporter::{Context, Reporter, Verbosity};
pub use style::{Paint, Tone};
