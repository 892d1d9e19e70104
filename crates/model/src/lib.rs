//! The words of Switchback as types: ids, plans, records and their status function, events,
//! exit codes.
//!
//! This crate is what every other crate agrees on, so it does nothing: no I/O, no clock, no
//! async, no AWS, no SQL. What is stored in a journal is defined here and nowhere else, and a
//! stored type changes only together with [`record::FORMAT_VERSION`].

pub mod canonical;
pub mod error;
pub mod event;
pub mod exit_code;
pub mod facts;
pub mod ids;
pub mod plan;
pub mod record;
pub mod rehearsal;
pub mod secret;
pub mod status;

pub use error::{ErrorClass, OpError, OpResult};
pub use ids::{Epoch, Generation, RunId, Seq, StepId};
pub use secret::SecretRef;
