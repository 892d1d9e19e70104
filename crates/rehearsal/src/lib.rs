//! The rehearsal: a plan under every crash and every fault, in both directions, before it touches production.
//!
//! It explores a graph. A *state* is what a crash leaves: the records of the journal and the world. From a state a
//! process of the real engine goes forward or back, with the real operations, on tokio's paused clock:
//!
//! ```text
//!  state ──process (resume | unwind)──▶ commit ─▶ call ─▶ commit ─▶ ... ─▶ the end: checked
//!                                          │        │        │
//!                                          ▼        ▼        ▼
//!                                        state    state    state        (crash here)
//! ```
//!
//! - [`world`]: the seam. A world can be saved, loaded, looked at, tapped and made to fail; the rehearsal knows no
//!   cloud, no database, no stream.
//! - `disk`: a journal in memory with the real hash chain.
//! - `state`: when two states are the same, but for ids. A process that comes to a state between two steps from which
//!   a run was followed already is not followed further: what a process knows there is what its journal says.
//! - `process`: one process, what happens to it, and what it leaves after every commit and call.
//! - `explore`: which cases there are, on all cores, until no new one is known.
//! - `orders`: independent steps in other orders.
//! - `check`: what must hold at the end of each.
//! - [`case`]: the name of a case, from which it can be run again.
//!
//! Nothing here decides anything about recovery, sleeps, or reads the environment.

pub mod case;
mod check;
mod disk;
mod explore;
mod find;
mod orders;
mod process;
mod state;
pub mod world;

pub use explore::{Config, Error, MakeWorld, Subject, Summary, Tell, rehearse, replay_case};
pub use process::{JournalWrap, populate};
