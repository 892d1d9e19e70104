//! The table of planted bugs: what is wrong, which check finds it, and what its finding says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use switchback_model::plan::OnFailure;
use switchback_model::rehearsal::{Check, Finding};
use switchback_rehearsal::case::Case;
use switchback_rehearsal::{Config, Subject, rehearse, replay_case};
use switchback_testing::yard::{Bug, Piece, subject};

use crate::journals::{Lie, lying};

/// Where a bug is.
enum In {
    Operation(Bug),
    Engine(Lie),
    Runbook,
}

/// A planted bug.
struct Planted {
    /// What is wrong.
    what: &'static str,
    place: In,
    /// The smallest plan that shows it.
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
    op(Bug::NoTags, "forgets the ownership tags", SHELF, Check::Duplicate, "shelf", "is there and should not be"),
    op(Bug::TagsWithoutGeneration, "tags without the generation", STOCK, Check::Ends, "shelf", "still tagged"),
    op(
        Bug::FindsByStep,
        "finds by the tag of the step alone",
        SHELF,
        Check::Foreign,
        "",
        "‹shelf stock› (not of this run)",
    ),
    op(Bug::FindsLess, "adopts an output that lacks a field", STOCK, Check::Standstill, "chest", "has no field `arn`"),
    op(
        Bug::BelievesAtOnce,
        "believes the first \"not found\"",
        SHELF,
        Check::Duplicate,
        "shelf",
        "is there and should not be",
    ),
    op(
        Bug::LostReplyFails,
        "treats a lost reply as a failure",
        SHELF,
        Check::Standstill,
        "shelf",
        "the run fails and unwinds",
    ),
    op(
        Bug::SetsInCreate,
        "puts a setting into create",
        SHELF,
        Check::IntentFirst,
        "shelf",
        "`yard:SetWidth` is sent after its create was answered",
    ),
    op(Bug::SettlesOnce, "settle fails when it is repeated", SHELF, Check::Standstill, "shelf", "NoteExists"),
    op(Bug::SettleAppends, "settle appends", SHELF, Check::EndState, "shelf", "notes=2 , should be"),
    op(
        Bug::SettleUndeclared,
        "declares no call of settle",
        SHELF,
        Check::DeclaredCalls,
        "shelf",
        "`settle` writes with `yard:SetWidth`",
    ),
    op(
        Bug::ReadMisdeclared,
        "declares the wrong read",
        SHELF,
        Check::DeclaredCalls,
        "shelf",
        "it reads with `yard:GetShelf`",
    ),
    op(
        Bug::RollsBackByName,
        "rolls back by name",
        SHELF,
        Check::Foreign,
        "",
        "‹shelf stock› (not of this run) is missing",
    ),
    op(Bug::DoesNotWait, "does not wait for a deletion", SHELF, Check::StartState, "shelf", "still on its way out"),
    op(
        Bug::VerifiesByName,
        "verifies an undo by name",
        SHELF,
        Check::Ends,
        "shelf",
        "a shelf of that name should be false",
    ),
    op(Bug::VerifiesBlindly, "verify does not look", STOCK, Check::EndState, "chest", "`verify` did not look"),
    op(
        Bug::AlwaysAgrees,
        "verify always agrees",
        STOCK,
        Check::EndState,
        "chest",
        "was verified after somebody else had deleted it",
    ),
    op(
        Bug::RollsBackOnce,
        "rollback fails when it is repeated",
        STOCK,
        Check::Standstill,
        "chest",
        "is not there (NotFound)",
    ),
    op(Bug::FirstGeneration, "ignores the generation", STOCK, Check::Ends, "chest", "ready should be true, is false"),
    op(Bug::SecretInOutput, "a secret in the output", DOOR, Check::Secret, "door", "a Created record"),
    op(Bug::SecretInVerify, "a secret in what verify compares", DOOR, Check::Secret, "door", "a Verified record"),
    op(Bug::SecretInError, "a secret in an error, spelt in hex", DOOR, Check::Secret, "door", "a Retried record"),
    op(
        Bug::Overwrites,
        "overwrites what moved since capture",
        DIAL,
        Check::Foreign,
        "dial",
        "after somebody else had changed it",
    ),
    op(
        Bug::RestoresBlindly,
        "restores without comparing",
        DIAL,
        Check::Foreign,
        "dial",
        "after somebody else had changed it",
    ),
    op(
        Bug::CapturesNothing,
        "restores what it did not capture",
        DIAL,
        Check::StartState,
        "dial",
        "‹our dial heat› is there",
    ),
    op(
        Bug::TakesDownAny,
        "removes what is not its own any more",
        SIGN,
        Check::Foreign,
        "sign",
        "after somebody else had changed it",
    ),
    engine(
        Lie::HoldsBack,
        "a record is held back until the next commit",
        Check::IntentFirst,
        "chest",
        "while the step is captured on record",
    ),
    engine(
        Lie::IntentLate,
        "the intent is committed late",
        Check::IntentFirst,
        "chest",
        "`yard:CreateChest` is sent while the step is captured",
    ),
    engine(
        Lie::OutcomeLate,
        "the outcome is committed late",
        Check::IntentFirst,
        "shelf",
        "what was made is on no record yet",
    ),
    engine(
        Lie::Drops,
        "a record is acknowledged and dropped",
        Check::Journal,
        "shelf",
        "on record the step is created",
    ),
    engine(Lie::Reorders, "records are out of order", Check::Journal, "chest", "cannot follow"),
    engine(Lie::Alters, "a record is altered", Check::Ends, "chest", "it was rolled back, and yet"),
    engine(
        Lie::FirstGeneration,
        "records ignore the generation",
        Check::Journal,
        "chest",
        "of generation 1 cannot follow undone",
    ),
    Planted {
        what: "a dependency is missing, going forward",
        place: In::Runbook,
        plan: &[Piece::Door, Piece::SignWithoutNeeds],
        check: Check::Standstill,
        step: "sign",
        says: "`front`, which `welcome` needs, is not there",
    },
    Planted {
        what: "a dependency is missing, going back",
        place: In::Runbook,
        plan: &[Piece::Door, Piece::SignOfDoor],
        check: Check::Standstill,
        step: "door",
        says: "the sign `welcome` needs it",
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

/// How many bugs are tried out at a time.
const THREADS: usize = 2;

/// The smallest finding that is what the table says.
fn found<'a>(planted: &Planted, findings: &'a [Finding]) -> Option<&'a Finding> {
    let fits = |finding: &&Finding| {
        let step = planted.step.is_empty() || finding.step.as_deref() == Some(planted.step);
        step && finding.check == planted.check && finding.message.contains(planted.says)
    };
    findings.iter().filter(fits).min_by_key(|finding| finding.case.parse::<Case>().unwrap().size())
}

#[test]
fn every_planted_bug_is_found_and_its_smallest_case_fails_again_by_itself() {
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, String)>> = Mutex::default();
    let missed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(planted) = PLANTED.get(n) else { break };
                    match try_out(planted) {
                        Ok(row) => rows.lock().unwrap().push((n, row)),
                        Err(why) => missed.lock().unwrap().push(format!("{}: {why}", planted.what)),
                    }
                }
            });
        }
    });
    let (mut rows, missed) = (rows.into_inner().unwrap(), missed.into_inner().unwrap());
    rows.sort();
    let mut table =
        String::from("| planted bug | found by | in so many cases | smallest case |\n| --- | --- | --: | --- |\n");
    for (_, row) in rows {
        table.push_str(&row);
    }
    eprintln!("{table}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Rehearses one of them, and runs its smallest case again. Its row in the table.
fn try_out(planted: &Planted) -> Result<String, String> {
    let (subject, config) = (with_bug(planted), Config::default());
    let summary = rehearse(&subject, &config, &(Arc::new(|_| {}) as _)).unwrap();
    let all =
        || summary.findings.iter().map(|f| format!("{:?} {:?}: {}", f.check, f.step, f.message)).collect::<Vec<_>>();
    let finding = found(planted, &summary.findings).ok_or_else(|| format!("not found; found is {:#?}", all()))?;
    let again = replay_case(&subject, &config, &finding.case.parse().unwrap()).unwrap();
    let same = again.findings.iter().any(|f| f.check == finding.check && f.step == finding.step);
    if !same {
        return Err(format!("case `{}` does not fail again by itself: {again:#?}", finding.case));
    }
    let (what, words, cases, case) = (planted.what, planted.check.words(), finding.cases, &finding.case);
    Ok(format!("| {what} | {words} | {cases} | `{case}` |\n"))
}
