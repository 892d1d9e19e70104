//! The built `switchback` binary, run as people and scripts run it: in a folder of its own, with
//! an empty environment. One test binary; a module for each kind of use.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

mod damage;
mod interrupt;
mod place;
mod rehearse;
mod rescue;
mod runs;
mod sandbox;
mod secrets;
mod usage;
mod validate;
