//! What a rehearsal says: while it runs, what it finds, and the certificate at its end.
//!
//! The sandbox's binary writes these as JSON lines, the command line reads them. A certificate is bound to
//! the hash of one plan.
//!
//! `switchback-sandbox rehearse` reads the canonical JSON of a plan from stdin to its end. Its last line is
//! [`Line::Finished`], or [`Line::Replayed`] where it was asked for one case, and then it ends. It ends
//! too when nobody reads its stdout any more: that is how it notices that whoever started it was killed.

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
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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

/// What a certificate is worth to one release of Switchback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Worth {
    /// This release ran or merged every case, and nothing was found.
    Proves,
    /// Something was found.
    Findings,
    /// Cases were left out.
    Sample,
    /// Another release rehearsed: other code than that which is going to run.
    OtherRelease,
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
        // A certificate may come from a file that says anything: sums end at the largest number.
        self.cases.values().fold(Count::default(), |sum, count| Count {
            run: sum.run.saturating_add(count.run),
            merged: sum.merged.saturating_add(count.merged),
            skipped: sum.skipped.saturating_add(count.skipped),
            failed: sum.failed.saturating_add(count.failed),
        })
    }

    /// Every case was run or merged, and nothing was found.
    #[must_use]
    pub fn proves(&self) -> bool {
        self.worth(&self.switchback) == Worth::Proves
    }

    /// What it is worth to this release of Switchback. Where several things are wrong with it, the
    /// worst counts.
    #[must_use]
    pub fn worth(&self, release: &str) -> Worth {
        let totals = self.totals();
        match () {
            () if !self.findings.is_empty() || totals.failed > 0 => Worth::Findings,
            () if self.sample != 1 || totals.skipped > 0 || totals.run == 0 => Worth::Sample,
            () if self.switchback != release => Worth::OtherRelease,
            () => Worth::Proves,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        Certificate {
            version: CERTIFICATE_VERSION,
            runbook: "x".into(),
            plan_hash: "ab".into(),
            steps: 1,
            switchback: "0.1.0".into(),
            emulator: BTreeMap::new(),
            finished_at: Timestamp::UNIX_EPOCH,
            duration_ms: 1,
            jobs: 1,
            seed: 1,
            sample: 1,
            cases: BTreeMap::from([(CaseKind::Fault, Count { run: 2, merged: 1, skipped: 0, failed: 0 })]),
            states: 1,
            processes: 1,
            calls: 1,
            findings: Vec::new(),
        }
    }

    fn with(change: impl FnOnce(&mut Certificate)) -> Certificate {
        let mut certificate = certificate();
        change(&mut certificate);
        certificate
    }

    fn count(change: impl FnOnce(&mut Count)) -> Certificate {
        with(|c| change(c.cases.get_mut(&CaseKind::Fault).unwrap()))
    }

    #[test]
    fn only_all_cases_without_a_finding_by_this_release_prove() {
        let finding = Finding {
            case: "1".into(),
            story: String::new(),
            kind: CaseKind::Fault,
            check: Check::Ends,
            step: None,
            message: String::new(),
            hint: None,
            cases: 1,
            journal: Vec::new(),
            calls: Vec::new(),
        };
        for (certificate, worth) in [
            (certificate(), Worth::Proves),
            (with(|c| c.findings.push(finding)), Worth::Findings),
            (count(|c| c.failed = 1), Worth::Findings),
            (with(|c| c.sample = 2), Worth::Sample),
            (with(|c| c.sample = 0), Worth::Sample),
            (count(|c| c.skipped = 1), Worth::Sample),
            (count(|c| c.run = 0), Worth::Sample),
            (with(|c| c.cases.clear()), Worth::Sample),
            (with(|c| c.switchback = "0.2.0".into()), Worth::OtherRelease),
        ] {
            assert_eq!(certificate.worth("0.1.0"), worth, "{certificate:?}");
        }
        assert!(with(|c| c.switchback = "0.2.0".into()).proves(), "to the release that made it");
    }

    #[test]
    fn sums_have_an_end() {
        let mut huge = count(|c| c.run = u64::MAX);
        huge.cases.insert(CaseKind::Order, Count { run: 1, ..Count::default() });
        assert_eq!(huge.totals().run, u64::MAX);
    }

    #[test]
    fn a_certificate_survives_its_stored_form_and_nothing_else_does() {
        let text = serde_json::to_string(&certificate()).unwrap();
        assert_eq!(serde_json::from_str::<Certificate>(&text).unwrap(), certificate());
        for (good, bad) in [(r#""run":2"#, r#""run":2,"more":1"#), (r#""steps":1"#, r#""steps":1,"more":1"#)] {
            assert!(text.contains(good));
            assert!(serde_json::from_str::<Certificate>(&text.replace(good, bad)).is_err(), "{bad}");
        }
    }
}
