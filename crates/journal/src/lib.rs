//! The journal of Switchback, in SQLite: what a run did, durable before it is done, and provable
//! afterwards.
//!
//! This is the only crate that knows SQLite. It keeps the engine's
//! [`Journal`](switchback_engine::journal::Journal) contract for the one process that executes a
//! run ([`SqliteJournal`]), and answers everybody else's questions without touching anything
//! ([`Store`]). It decides nothing about runs: whether a record may follow is the engine's to say.
//!
//! # Files
//!
//! ```text
//! state/journal.db          every run of this folder; SQLite, write-ahead log, synchronous=FULL
//! state/journal.db-wal      SQLite's log; empty when no run is being executed
//! state/journal.db-shm      SQLite's index of it and its locks; scratch
//! state/locks/<run>.lock    held (flock) by the run's executor; its text says who
//! ```
//!
//! The last two files of the database stay when it is closed, so that a reader never has to
//! create them. A backup takes all three, or uses SQLite's own backup.
//!
//! # The hash chain
//!
//! Every record's hash covers the record and the hash before it, so that nothing can be changed,
//! left out or moved without every later hash showing it:
//!
//! ```text
//! hash(0) = SHA-256(N("switchback-run-1") N(run) N(plan hash) N(runbook) N(endpoint) N(created_at))
//! hash(n) = SHA-256(hash(n-1) N("switchback-record-1") N(run) N(n) N(at) N(actor) N(step)
//!                   N(generation) N(direction) N(kind) N(payload))
//! ```
//!
//! `N(x)` is the netstring of `x` (its length in bytes as a decimal number, `:`, the bytes, `,`),
//! so no two different records have the same encoding. The values are exactly what the columns
//! hold: `run` is the UUID's text, numbers are decimal, `actor` is the text of `actors.json`, a
//! record about the run has the empty `step`. Nothing is parsed or written anew to check a chain;
//! `tests/chain_in_python.rs` does it with `sqlite3` and `hashlib` alone.
//!
//! What a chain alone cannot show is that its newest records were cut off. Within one database the
//! `folded` table is a witness of that; beyond it, keep the newest hash elsewhere.

pub mod chain;
mod create;
mod db;
mod failure;
mod fence;
mod heads;
mod lock;
mod pen;
mod read;
mod state;
mod store;
mod writer;

pub use heads::StepHead;
pub use lock::{Holder, RunLock};
pub use state::RunState;
pub use store::{RunSummary, Store, Writer};
pub use writer::SqliteJournal;
