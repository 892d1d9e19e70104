//! What must hold at the end of a case.
//!
//! It compares worlds and says what differs; it runs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchback_engine::history::History;
use switchback_journal::chain::Chain;
use switchback_model::RunId;
use switchback_model::event::Outcome;
use switchback_model::record::{Body, Record};
use switchback_model::rehearsal::Check;
use switchback_model::status::State;

use crate::disk::{actor_text, hash_after};
use crate::process::{Ran, Violation};
use crate::world::{Fault, Look, Owner, Thing};

/// What worlds are held against.
pub(crate) struct Expected {
    /// What there was before the run.
    pub(crate) start: Arc<Look>,
    /// What there is when it is completed.
    pub(crate) done: Arc<Look>,
    /// What an uninterrupted run leaves when it is unwound, beside the start.
    pub(crate) residue: Vec<Thing>,
    /// Steps (as tag values) whose operation declares residue.
    pub(crate) leaves: Vec<String>,
}

impl Expected {
    /// A completed run: the world of the uninterrupted one, and nothing more but what deletions on the way leave.
    pub(crate) fn completed(&self, look: &Look, fault: Option<Fault>) -> Vec<Violation> {
        self.compare(&self.done, look, fault.is_some_and(Fault::meddles), Check::EndState, Check::Duplicate)
    }

    /// An unwound run, or one that was refused: the start, and the declared residue.
    pub(crate) fn unwound(&self, look: &Look) -> Vec<Violation> {
        self.compare(&self.start, look, false, Check::StartState, Check::StartState)
    }

    fn compare(&self, want: &Look, is: &Look, meddled: bool, other: Check, more: Check) -> Vec<Violation> {
        let mut found = Vec::new();
        for (name, want, is) in differences(want, is) {
            let (mut missing, extra) = (minus(&want, &is), minus(&is, &want));
            for thing in extra.into_iter().filter(|thing| !self.is_residue(thing) && !excused(meddled, thing)) {
                let was = missing.pop();
                let check = match (thing.owner, was) {
                    (Owner::Foreign, _) => Check::Foreign,
                    (Owner::Ours, Some(_)) => other,
                    (Owner::Ours, None) => more,
                };
                found.push(violation(check, thing, difference(&name, was, Some(thing))));
            }
            for thing in missing.into_iter().filter(|thing| !excused(meddled, thing)) {
                let check = if thing.owner == Owner::Foreign { Check::Foreign } else { other };
                found.push(violation(check, thing, difference(&name, Some(thing), None)));
            }
        }
        found
    }

    /// What was there before and is not of this run is there as it was, wherever the run stands.
    pub(crate) fn foreign(&self, look: &Look, fault: Option<Fault>) -> Vec<Violation> {
        if fault.is_some_and(Fault::meddles) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (name, was, is) in differences(&self.start, look) {
            for thing in minus(&was, &is).into_iter().filter(|thing| thing.owner == Owner::Foreign) {
                let now = is.iter().find(|thing| thing.owner == Owner::Foreign && !was.contains(thing));
                found.push(violation(Check::Foreign, thing, difference(&name, Some(thing), now.copied())));
            }
        }
        found
    }

    /// What an unwound run left to go by itself: `first` is the world at its end, `then` a while later.
    pub(crate) fn going(&self, first: &Look, then: &Look) -> Vec<Violation> {
        let mut found = Vec::new();
        for (name, _, is) in differences(&self.start, first) {
            let going = |thing: &&&Thing| {
                let stays = then.things.iter().any(|other| other.name == thing.name && other.owner == Owner::Ours);
                thing.owner == Owner::Ours && !thing.residue && !self.is_residue(thing) && !stays
            };
            for thing in is.iter().filter(going) {
                let message = format!("{name} is still on its way out when the run is said to be unwound");
                found.push(violation(Check::StartState, thing, message));
            }
        }
        found
    }

    /// What somebody else deleted while its step was not verified, and was verified without being there.
    pub(crate) fn unseen(&self, look: &Look, ran: &Ran) -> Vec<Violation> {
        let Some((from, step)) = &ran.fault else { return Vec::new() };
        let since = ran.state.records.iter().skip(*from);
        let of_it = |record: &&Arc<Record>| record.draft.step.as_ref().is_some_and(|id| id.as_tag_value() == *step);
        if !since.filter(of_it).any(|record| matches!(record.body(), Body::Verified(_))) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (name, want, is) in differences(&self.done, look) {
            // It may be there and say something else, because what it names is gone.
            let is_there = is.iter().any(|thing| thing.step.as_ref() == Some(step));
            for thing in minus(&want, &is).into_iter().filter(|thing| thing.step.as_ref() == Some(step) && !is_there) {
                let message = format!("{name} is missing, and was verified after somebody else had deleted it");
                found.push(violation(Check::EndState, thing, message));
            }
        }
        found
    }

    fn is_residue(&self, thing: &Thing) -> bool {
        let declared = thing.step.as_ref().is_some_and(|step| self.leaves.contains(step));
        let usual = || self.residue.iter().any(|r| r.name == thing.name && r.residue == thing.residue);
        (thing.residue && declared) || usual()
    }
}

/// What somebody else did to a thing in between is not this run's to mend.
fn excused(meddled: bool, thing: &Thing) -> bool {
    meddled && thing.owner == Owner::Ours
}

fn violation(check: Check, thing: &Thing, message: String) -> Violation {
    Violation { check, step: thing.step.clone(), message }
}

/// How much is shown of a call that is still to land.
const SHOWN: usize = 80;

/// Calls that can still land though the run has come to its end.
pub(crate) fn unsettled(look: &Look) -> Option<Violation> {
    let calls = look.unsettled.iter().filter(|what| what.starts_with("late "));
    let late: Vec<String> = calls.map(|call| call.chars().take(SHOWN).collect()).collect();
    (!late.is_empty()).then(|| Violation {
        check: Check::Ends,
        step: None,
        message: format!("it came to an end while a call can still land: {}", late.join(", ")),
    })
}

fn difference(name: &str, was: Option<&Thing>, is: Option<&Thing>) -> String {
    let whose = |thing: &Thing| if thing.owner == Owner::Ours { "" } else { " (not of this run)" };
    match (was, is) {
        (Some(was), Some(is)) => {
            let (before, after) = narrow(&was.text, &is.text);
            format!("{name}{} is {after}, should be {before}", whose(is))
        }
        (None, Some(is)) => format!("{name}{} is there and should not be: {}", whose(is), is.text),
        (Some(was), None) => format!("{name}{} is missing", whose(was)),
        (None, None) => name.to_owned(),
    }
}

/// Where two texts differ, with a little around it.
fn narrow<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let from = same.saturating_sub(40);
    let cut = |text: &'a str| {
        let mut begin = from.min(text.len());
        while !text.is_char_boundary(begin) {
            begin -= 1;
        }
        let mut end = (same + 80).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        &text[begin..end.max(begin)]
    };
    (cut(a), cut(b))
}

/// Things by name, where the two worlds do not have the same ones.
fn differences<'a>(was: &'a Look, is: &'a Look) -> Vec<(String, Vec<&'a Thing>, Vec<&'a Thing>)> {
    if was.things == is.things {
        return Vec::new();
    }
    let mut by_name: BTreeMap<&str, (Vec<&Thing>, Vec<&Thing>)> = BTreeMap::new();
    for thing in &was.things {
        by_name.entry(&thing.name).or_default().0.push(thing);
    }
    for thing in &is.things {
        by_name.entry(&thing.name).or_default().1.push(thing);
    }
    by_name.retain(|_, (was, is)| was != is);
    by_name.into_iter().map(|(name, (was, is))| (name.to_owned(), was, is)).collect()
}

/// What is in `all` and not in `some`, each as often as it is there more often.
fn minus<'a>(all: &[&'a Thing], some: &[&'a Thing]) -> Vec<&'a Thing> {
    let mut rest: Vec<&Thing> = some.to_vec();
    let mut out = all.to_vec();
    out.retain(|thing| match rest.iter().position(|other| other == thing) {
        Some(at) => {
            rest.swap_remove(at);
            false
        }
        None => true,
    });
    out
}

/// What a run is said to have come to is what its records say of every step.
pub(crate) fn on_record(history: &History, outcome: &Outcome) -> Option<Violation> {
    let fits = |state: State| match outcome {
        Outcome::Completed => state.is_done(),
        Outcome::Unwound { all: true, .. } | Outcome::FailedAndUnwound { all: true, .. } => state.is_undone(),
        _ => true,
    };
    let (step, status) = history.statuses().find(|(_, status)| !fits(status.state))?;
    let came_to = if matches!(outcome, Outcome::Completed) { "completed" } else { "unwound" };
    let message = format!("the run is said to be {came_to}, and on record the step is {}", status.state);
    Some(Violation { check: Check::Journal, step: Some(step.to_string()), message })
}

/// The ways in which a value may be spelt: as it is, in hex, in base64 (at any place in a longer text), backwards.
pub(crate) fn spellings(value: &str) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let hex = switchback_model::canonical::hex(value.as_bytes());
    let mut all = vec![value.to_owned(), hex.to_uppercase(), hex, value.chars().rev().collect()];
    for skipped in 0..3 {
        // Whole groups of three bytes look the same wherever they are.
        let bytes = value.as_bytes().get(skipped..).unwrap_or_default();
        let digits = bytes.chunks_exact(3).flat_map(|group| {
            let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| char::from(DIGITS[bits >> shift & 63]))
        });
        all.push(digits.collect());
    }
    // A short one would be found where it is not.
    all.retain(|text| text == value || text.len() >= 8);
    all
}

/// The hash chain of these records holds, from the record of that index on.
pub(crate) fn chain(run: RunId, records: &[Arc<Record>], from: usize) -> Option<Violation> {
    let mut chain = Chain::new(run);
    let mut previous = from.checked_sub(1).and_then(|at| records.get(at)).map_or([0; 32], |record| record.hash);
    let mut actor = (None, String::new());
    for (n, record) in (1..).zip(records).skip(from) {
        if actor.0.as_ref() != Some(&record.actor) {
            actor = (Some(record.actor.clone()), actor_text(&record.actor));
        }
        let payload = record.body().payload().unwrap_or_default();
        let hash = hash_after(&mut chain, &previous, record, &payload, &actor.1);
        if hash != record.hash || record.seq.0 != n {
            let message = format!("record {n} ({}) does not fit the chain", record.body().kind());
            return Some(Violation { check: Check::Journal, step: None, message });
        }
        previous = hash;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(name: &str, text: &str, owner: Owner) -> Thing {
        Thing { name: name.into(), text: text.into(), owner, step: Some(name.into()), residue: false }
    }

    fn look(things: &[Thing]) -> Arc<Look> {
        let mut things: Vec<_> = things.iter().cloned().map(Arc::new).collect();
        things.sort();
        Arc::new(Look { things, ..Look::default() })
    }

    fn expected() -> Expected {
        let theirs = thing("old", "theirs", Owner::Foreign);
        let start = look(std::slice::from_ref(&theirs));
        let done = look(&[theirs, thing("a", "1", Owner::Ours), thing("b", "1", Owner::Ours)]);
        Expected { start, done, residue: vec![], leaves: vec![] }
    }

    fn checks(found: &[Violation]) -> Vec<Check> {
        found.iter().map(|v| v.check).collect()
    }

    #[test]
    fn equal_worlds_have_nothing_against_them() {
        let expected = expected();
        assert!(expected.completed(&expected.done, None).is_empty());
        assert!(expected.unwound(&expected.start).is_empty());
    }

    #[test]
    fn a_secret_is_known_however_it_is_spelt() {
        let found = |text: &str| spellings("Canary-code").iter().any(|spelling| text.contains(spelling.as_str()));
        // As it is, in hex, and in base64 after none, one and two other bytes.
        for text in [
            "x Canary-code y",
            "43616e6172792d636f6465",
            "Q2FuYXJ5LWNvZGU=",
            "eENhbmFyeS1jb2RleA==",
            "eHhDYW5hcnktY29kZQ==",
            "edoc-yranaC",
        ] {
            assert!(found(text), "{text}");
        }
        assert!(!found("Canary code") && !found("Q2FuYXJ5"));
        assert_eq!(spellings("abc")[0], "abc");
    }

    #[test]
    fn what_is_foreign_must_stay_wherever_a_run_stands() {
        let (expected, a) = (expected(), thing("a", "1", Owner::Ours));
        let half = look(&[thing("old", "theirs", Owner::Foreign), a.clone()]);
        assert!(expected.foreign(&half, None).is_empty());
        let touched = look(&[thing("old", "changed", Owner::Foreign), a]);
        assert_eq!(checks(&expected.foreign(&touched, None)), [Check::Foreign]);
        assert!(expected.foreign(&touched, Some(Fault::Changed)).is_empty(), "somebody else's doing");
    }

    #[test]
    fn a_run_does_not_end_while_a_call_can_still_land() {
        let pending = Look { unsettled: vec!["pending ‹a›".into()], ..Look::default() };
        assert!(unsettled(&pending).is_none());
        let late = Look { unsettled: vec![format!("late {}", "é".repeat(200))], ..Look::default() };
        let found = unsettled(&late).unwrap();
        assert_eq!(found.check, Check::Ends);
        assert!(found.message.chars().count() < 200, "{}", found.message);
    }

    #[test]
    fn an_unwound_run_leaves_nothing_that_is_still_going() {
        let expected = expected();
        let first = look(&[thing("old", "theirs", Owner::Foreign), thing("a", "ending", Owner::Ours)]);
        assert_eq!(checks(&expected.going(&first, &expected.start)), [Check::StartState]);
        assert!(expected.going(&first, &first).is_empty(), "what stays is another finding");
    }

    #[test]
    fn each_difference_is_what_it_is() {
        let (old, a, b) =
            (thing("old", "theirs", Owner::Foreign), thing("a", "1", Owner::Ours), thing("b", "1", Owner::Ours));
        let expected = expected();
        let twice = look(&[old.clone(), a.clone(), a.clone(), b.clone()]);
        let other = look(&[old.clone(), thing("a", "2", Owner::Ours), b.clone()]);
        let missing = look(&[old.clone(), b.clone()]);
        let touched = look(&[thing("old", "changed", Owner::Foreign), a.clone(), b.clone()]);
        let gone = look(&[a.clone(), b]);
        assert_eq!(checks(&expected.completed(&other, None)), [Check::EndState]);
        assert_eq!(checks(&expected.completed(&missing, None)), [Check::EndState]);
        assert_eq!(checks(&expected.completed(&touched, None)), [Check::Foreign]);
        assert_eq!(checks(&expected.completed(&gone, None)), [Check::Foreign]);
        assert_eq!(checks(&expected.completed(&twice, None)), [Check::Duplicate]);
        assert_eq!(checks(&expected.unwound(&look(&[old, a]))), [Check::StartState]);
        assert_eq!(checks(&expected.unwound(&look(&[]))), [Check::Foreign]);
    }
}
