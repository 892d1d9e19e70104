//! The journal as its users meet it: written, read, killed, damaged, tampered with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, also in its helpers")]

mod append_only;
mod caches;
mod chain_in_python;
mod crash;
mod damage;
mod disk;
mod executor;
mod full;
mod fuzz;
mod power_cut;
mod read_only;
mod round_trip;
mod support;
