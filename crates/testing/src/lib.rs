//! Fakes for tests: a journal in memory, a world in memory with every kind of fault, a lab that
//! puts a run through crashes, the conformance harness that every operation must pass, and a yard: a
//! world that joins the rehearsal, with operations that can be given a bug; and real servers of a test's own.
//!
//! For tests and benchmarks only. Nothing in it but the real servers reads a real clock: use tokio's paused time.

pub mod conformance;
pub mod journal;
pub mod lab;
pub mod moto;
pub mod nats;
pub mod ops;
pub mod ports;
pub mod rig;
pub mod step;
pub mod world;
pub mod yard;
