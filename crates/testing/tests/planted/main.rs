//! The rehearsal of the yard: nothing is found in what is right, and every planted bug is.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod bugs;
mod journals;
mod right;
