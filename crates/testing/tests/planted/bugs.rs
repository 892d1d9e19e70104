//! The table of planted bugs: what is wrong, which check finds it, and what its finding says.

use std::fmt::Write as _;
use std::sync::Arc;

use switchback_model::plan::OnFailure;
use switchback_model::rehearsal::{Check, Finding};
use switchback_rehearsal::{Config, Subject, rehearse, replay_case};
use switchback_testing::yard::{Bug, Piece, subject};

use crate::journals::{Lie, lying};

/// Where the bug is.
enum In {
    Operation(Bug),
    Engine(Lie),
    Runbook,
}

struct Planted {
    what: &'static str,
    place: In,
    plan: &'static [Piece],
    /// The check that must find it.
    check: Check,
    /// The step that the finding names; empty: any.
    step: &'static str,
    /// What its message says.
    says: &'static str,
}

const fn op(
    bug: Bug,
    what: &'static str,
    plan: &'static [Piece],
    check: Check,
    step: &'static str,
    says: &'static str,
) -> Planted {
    Planted { what, place: In::Operation(bug), plan, check, step, says }
}

const fn engine(lie: Lie, what: &'static str, check: Check, step: &'static str, says: &'static str) -> Planted {
    Planted { what, place: In::Engine(lie), plan: STOCK, check, step, says }
}

const SHELF: &[Piece] = &[Piece::Shelf];
const STOCK: &[Piece] = &[Piece::Shelf, Piece::Chest];
const DOOR: &[Piece] = &[Piece::Door];
const SIGN: &[Piece] = &[Piece::Door, Piece::Sign];
const DIAL: &[Piece] = &[Piece::Dial];

const PLANTED: &[Planted] = &[
    op(Bug::NoTags, "forgets the ownership tags", SHELF, Check::Duplicate, "shelf", ""),
    op(Bug::TagsWithoutGeneration, "tags without the generation", STOCK, Check::Ends, "shelf", ""),
    op(Bug::FindsByStep, "finds by the tag of the step alone", SHELF, Check::Foreign, "", ""),
    op(Bug::FindsLess, "adopts an output that lacks a field", STOCK, Check::Standstill, "chest", ""),
    op(Bug::BelievesAtOnce, "believes the first \"not found\"", SHELF, Check::Duplicate, "shelf", ""),
    op(Bug::LostReplyFails, "treats a lost reply as a failure", SHELF, Check::Standstill, "shelf", ""),
    op(Bug::SetsInCreate, "puts a setting into create", SHELF, Check::Standstill, "shelf", ""),
    op(Bug::SettlesOnce, "settle fails when it is repeated", SHELF, Check::Standstill, "shelf", ""),
    op(Bug::SettleAppends, "settle appends", SHELF, Check::EndState, "shelf", ""),
    op(Bug::SettleUndeclared, "declares no call of settle", SHELF, Check::DeclaredCalls, "shelf", ""),
    op(Bug::ReadMisdeclared, "declares the wrong read", SHELF, Check::DeclaredCalls, "shelf", ""),
    op(Bug::RollsBackByName, "rolls back by name", SHELF, Check::Foreign, "", ""),
    op(Bug::DoesNotWait, "does not wait for a deletion", SHELF, Check::Ends, "shelf", ""),
    op(Bug::VerifiesByName, "verifies an undo by name", SHELF, Check::Ends, "shelf", ""),
    op(Bug::VerifiesBlindly, "verify does not look", STOCK, Check::EndState, "chest", ""),
    op(Bug::AlwaysAgrees, "verify always agrees", STOCK, Check::EndState, "chest", ""),
    op(Bug::RollsBackOnce, "rollback fails when it is repeated", STOCK, Check::Standstill, "chest", ""),
    op(Bug::FirstGeneration, "ignores the generation", STOCK, Check::Ends, "chest", ""),
    op(Bug::SecretInOutput, "a secret in the output", DOOR, Check::Secret, "door", ""),
    op(Bug::SecretInVerify, "a secret in what verify compares", DOOR, Check::Secret, "door", ""),
    op(Bug::SecretInError, "a secret in an error, spelt in hex", DOOR, Check::Secret, "door", ""),
    op(Bug::Overwrites, "overwrites what moved since capture", DIAL, Check::Foreign, "dial", ""),
    op(Bug::RestoresBlindly, "restores without comparing", DIAL, Check::Foreign, "dial", ""),
    op(Bug::CapturesNothing, "restores what it did not capture", DIAL, Check::StartState, "dial", ""),
    op(Bug::TakesDownAny, "removes a value that is not its own", SIGN, Check::Foreign, "sign", ""),
    engine(Lie::HoldsBack, "a record is held back until the next commit", Check::IntentFirst, "", ""),
    engine(Lie::IntentLate, "the intent is committed late", Check::IntentFirst, "", ""),
    engine(Lie::OutcomeLate, "the outcome is committed late", Check::IntentFirst, "", ""),
    engine(Lie::Drops, "a record is acknowledged and dropped", Check::Journal, "", ""),
    engine(Lie::Reorders, "records are out of order", Check::Journal, "", ""),
    engine(Lie::Alters, "a record is altered", Check::Standstill, "", ""),
    engine(Lie::FirstGeneration, "records ignore the generation", Check::Journal, "", ""),
    Planted {
        what: "a dependency is missing, going forward",
        place: In::Runbook,
        plan: &[Piece::Door, Piece::SignWithoutNeeds],
        check: Check::Standstill,
        step: "sign",
        says: "",
    },
    Planted {
        what: "a dependency is missing, going back",
        place: In::Runbook,
        plan: &[Piece::Door, Piece::SignOfDoor],
        check: Check::Standstill,
        step: "door",
        says: "",
    },
];

fn with_bug(planted: &Planted) -> Subject {
    let bug = if let In::Operation(bug) = planted.place { Some(bug) } else { None };
    let mut subject = subject(planted.plan, OnFailure::Unwind, bug).unwrap();
    if let In::Engine(lie) = planted.place {
        subject.wrap_journal = Some(lying(lie));
    }
    subject
}

#[test]
fn explore() {
    for planted in PLANTED {
        let subject = with_bug(planted);
        let summary = rehearse(&subject, &Config::default(), &(Arc::new(|_| {}) as _)).unwrap();
        eprintln!("=== {} ({:?}) {:?} {}", planted.what, planted.check, summary.took, summary.processes);
        for f in &summary.findings {
            let hit = f.check == planted.check && (planted.step.is_empty() || f.step.as_deref() == Some(planted.step));
            eprintln!(
                " {} {:?} {} {:?} x{}: {}",
                if hit { "*" } else { " " },
                f.check,
                f.case,
                f.step,
                f.cases,
                f.message
            );
            if !hit || true {
                eprintln!("       {}", f.story);
            }
        }
    }
    let _ = (replay_case as fn(_, _, _) -> _, String::new().write_str(""), None::<Finding>);
}
