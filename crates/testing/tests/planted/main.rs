//! The rehearsal of the yard: nothing is found in what is right, and every planted bug is.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests, and one prints a table")]

mod bugs;
mod journals;
mod right;
