//! The exit codes of `switchback`. A contract with scripts: a number never changes its meaning.

/// The goal was reached.
pub const OK: u8 = 0;
/// Failed before any effect: bad runbook, refused account, foreign resource.
pub const REFUSED: u8 = 1;
/// Wrong use of the command line.
pub const USAGE: u8 = 2;
/// Failed, and unwound to where the policy said.
pub const UNWOUND: u8 = 3;
/// Paused: policy, an approval, a pivot, credentials, Ctrl-C. The journal resumes.
pub const PAUSED: u8 = 4;
/// Stuck or unknown: a person is needed.
pub const STUCK: u8 = 5;
/// Another executor holds the run.
pub const LOCKED: u8 = 6;
/// `verify` found drift, or an undo was refused because of drift.
pub const DRIFT: u8 = 7;
/// The journal cannot be used: corrupt, tampered with, wrong version, no space.
pub const JOURNAL: u8 = 8;

/// Every exit code with its meaning, for `--help` and the README.
pub const ALL: &[(u8, &str)] = &[
    (OK, "the goal was reached"),
    (REFUSED, "failed before any effect (bad runbook, refused account, foreign resource)"),
    (USAGE, "usage"),
    (UNWOUND, "failed, and unwound to where the policy said"),
    (PAUSED, "paused (policy, an approval, a pivot, credentials, Ctrl-C); the journal resumes"),
    (STUCK, "stuck or unknown: a person is needed"),
    (LOCKED, "another executor holds the run"),
    (DRIFT, "verify found drift, or an undo was refused because of drift"),
    (JOURNAL, "the journal cannot be used (corrupt, tampered with, wrong version, no space)"),
];
