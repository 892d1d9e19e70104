//! What a rehearsal says: while it runs, what it finds, and the certificate at its end.
//!
//! The sandbox's binary writes these as JSON lines, the command line reads them. A certificate is bound to
//! the hash of one plan.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of a [`Certificate`].
pub const CERTIFICATE_VERSION: u32 = 1;

/// A line of a rehearsal that is running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Line {
    /// It has begun.
    Started(Started),
    /// How far it is. Sent at most ten times a second.
    Progress(Progress),
    /// Something is wrong; the first of its group.
    Found(Box<Finding>),
    /// One case was run again, from its beginning to its end.
    Replayed(Box<Replayed>),
    /// It is over.
    Finished(Box<Certificate>),
}

/// What is about to be rehearsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The runbook's name.
    pub runbook: String,
    /// SHA-256 of the plan's canonical JSON, in hex.
    pub plan_hash: String,
    /// How many steps the plan has.
    pub steps: u32,
    /// How many threads work.
    pub jobs: u32,
    /// One of so many cases is run; 1: all of them.
    pub sample: u64,
    /// What chooses the cases of a sample, and the pauses of the engine.
    pub seed: u64,
}

/// How far a rehearsal is. More cases become known while it runs, so both numbers grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Cases that were run.
    pub run: u64,
    /// Cases that are known and not run yet.
    pub ahead: u64,
    /// Cases that led to what another case had led to.
    pub merged: u64,
    /// What was found so far, in groups.
    pub findings: u32,
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
}

/// What a case consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// Nothing goes wrong: forward, back, to each checkpoint and forward again.
    Uninterrupted,
    /// Independent steps in other orders than the plan's, forward and back.
    Order,
    /// The process dies, and another one goes on forward.
    CrashResume,
    /// The process dies, and another one goes back.
    CrashUnwind,
    /// One call goes wrong.
    Fault,
    /// After a crash or a fault the process that recovers dies as well.
    SecondCrash,
}

impl CaseKind {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Uninterrupted, Self::Order, Self::CrashResume, Self::CrashUnwind, Self::Fault, Self::SecondCrash];

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Uninterrupted => "uninterrupted, forward and back",
            Self::Order => "independent steps in other orders",
            Self::CrashResume => "crash, then resume",
            Self::CrashUnwind => "crash, then unwind",
            Self::Fault => "one call goes wrong",
            Self::SecondCrash => "crash in the recovery",
        }
    }
}

/// What a finding says is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The run did not come to an end.
    Ends,
    /// A completed run left another world than the uninterrupted one.
    EndState,
    /// An unwound run left another world than it began with, beside the declared residue.
    StartState,
    /// Something was made twice, or is there and on no record.
    Duplicate,
    /// Something that is not of this run was changed or removed.
    Foreign,
    /// A call was made before the record that announces it was durable.
    IntentFirst,
    /// The records do not replay, or their hash chain does not hold.
    Journal,
    /// A secret's value is in the journal.
    Secret,
    /// A step made a call that its operation does not declare.
    DeclaredCalls,
    /// A run paused, or needs a person, though nothing makes going on impossible.
    Standstill,
    /// The advice that was printed does not lead to a clean end.
    Advice,
}

impl Check {
    /// What ought to hold.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ends => "every run comes to an end",
            Self::EndState => "resumed = uninterrupted",
            Self::StartState => "unwound = start + declared residue",
            Self::Duplicate => "nothing twice, nothing orphaned",
            Self::Foreign => "nothing foreign is touched",
            Self::IntentFirst => "the intent is durable before the effect",
            Self::Journal => "the journal's chain holds and replays",
            Self::Secret => "no secret in the journal",
            Self::DeclaredCalls => "only declared calls are made",
            Self::Standstill => "a standstill only where a fault forces it",
            Self::Advice => "the advice, followed, ends clean",
        }
    }
}

/// Something that is wrong: the smallest case of a group of cases that fail alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What runs this case again: `rehearse --case ID`.
    pub case: String,
    /// The same in words.
    pub story: String,
    /// Of what kind it is.
    pub kind: CaseKind,
    /// What does not hold.
    pub check: Check,
    /// The step that it points at, where there is one.
    pub step: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What a person can do about it.
    pub hint: Option<String>,
    /// How many cases fail alike.
    pub cases: u64,
    /// The journal around it, one line a record.
    pub journal: Vec<String>,
    /// The API calls around it, one line a call.
    pub calls: Vec<String>,
}

/// A case that was run again on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The case.
    pub case: String,
    /// The same in words.
    pub story: String,
    /// How it ended.
    pub ended: String,
    /// What is wrong, if anything.
    pub findings: Vec<Finding>,
    /// The whole journal, one line a record.
    pub journal: Vec<String>,
    /// All API calls, one line a call.
    pub calls: Vec<String>,
}

/// How many cases of a kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Run to a known state or to the end.
    pub run: u64,
    /// Not run: they begin in a state (journal and world, but for ids) that another case begins in.
    pub merged: u64,
    /// Left out by `--sample`.
    pub skipped: u64,
    /// Of those that were run, the failing ones.
    pub failed: u64,
}

/// What a rehearsal proves, bound to one plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`CERTIFICATE_VERSION`].
    pub version: u32,
    /// The runbook's name.
    pub runbook: String,
    /// SHA-256 of the plan's canonical JSON, in hex.
    pub plan_hash: String,
    /// How many steps the plan has.
    pub steps: u32,
    /// The release of Switchback that rehearsed.
    pub switchback: String,
    /// The emulator's crates and their versions.
    pub emulator: BTreeMap<String, String>,
    /// When it ended, UTC.
    pub finished_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How many threads worked.
    pub jobs: u32,
    /// See [`Started::seed`].
    pub seed: u64,
    /// One of so many cases was run; 1: all of them.
    pub sample: u64,
    /// Cases by kind.
    pub cases: BTreeMap<CaseKind, Count>,
    /// Different states (journal and world, but for ids) that were seen.
    pub states: u64,
    /// Engine processes that were started.
    pub processes: u64,
    /// Calls that the emulator answered.
    pub calls: u64,
    /// What is wrong; empty: nothing.
    pub findings: Vec<Finding>,
}

impl Certificate {
    /// All cases that were run, and all that were merged.
    #[must_use]
    pub fn totals(&self) -> Count {
        self.cases.values().fold(Count::default(), |sum, count| Count {
            run: sum.run + count.run,
            merged: sum.merged + count.merged,
            skipped: sum.skipped + count.skipped,
            failed: sum.failed + count.failed,
        })
    }

    /// Every case was run or merged, and nothing was found.
    #[must_use]
    pub fn proves(&self) -> bool {
        self.findings.is_empty() && self.totals().skipped == 0 && self.totals().run > 0
    }
}
