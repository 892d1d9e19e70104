//! End to end: the real runbook, the real operations, the real binaries, against the sandbox and
//! against an independent emulator. One binary, so that it is linked once.

#![expect(unreachable_pub, reason = "the modules of one test binary share what they have")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![expect(clippy::print_stderr, reason = "what is not tested is said")]

mod bad_input;
mod clock;
mod colleague;
mod conformance;
mod credentials;
mod disks;
mod drift;
mod ecs;
mod foreign;
mod in_process;
mod journal_damage;
mod kills;
mod lifecycle;
mod moto;
mod moto_faults;
mod moto_whole;
mod prefixes;
mod rehearse;
mod schema;
mod secrets;
mod stopped;
mod stream;
mod support;
mod targets;
mod together;
mod whole;
mod world;
