//! When two states are the same, but for ids and for what has no bearing on what comes next.
//!
//! Two states with one key have the same future: the engine decides from the statuses of the steps, and operations see
//! the world. Left out are therefore the order and the number of records, who wrote them, errors and calls on record,
//! and everything of a step that is closed for good. Kept are the generation, the parameters, the before-image and the
//! output of every step that is not, what is in doubt, what is pending, and what is still to land.
//!
//! An id is what the thing is called that has it. One that no thing has (it is gone, or it is of a version or a job, which
//! no look shows) counts in parameters and outputs by its place alone: it is another one each time that a step is made.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::LocalKey;

use sha2::{Digest, Sha256};
use switchback_engine::history::{Ended, History};
use switchback_engine::recovery::{Backward, plan_backward};
use switchback_model::record::{Direction, Json};
use switchback_model::status::{State, Status};

use crate::world::{Call, Look, Owner, Thing, tokens};

/// What a state is known by.
pub(crate) type Key = [u8; 16];

/// Everything that exists, in short.
pub(crate) struct OfWorld {
    digest: [u8; 32],
    /// Ids in it of what is not among its things, in their order: what they are is all the same, which is where is not.
    gone: HashMap<Box<str>, usize>,
}

/// The digest of everything that exists.
pub(crate) fn of_world(look: &Look) -> OfWorld {
    let (mut hash, mut gone) = (Sha256::new(), HashMap::new());
    for thing in &look.things {
        hash.update(thing.name.as_bytes());
        hash.update([0, u8::from(thing.owner == Owner::Ours), u8::from(thing.residue)]);
        words(&THINGS, thing, &thing.text).hash(look, &HashMap::new(), Some(&mut gone), &mut hash);
        hash.update([1]);
    }
    for unsettled in &look.unsettled {
        hash.update(unsettled.as_bytes());
        hash.update([2]);
    }
    OfWorld { digest: hash.finalize().into(), gone }
}

/// A text, and the words in it that may be ids.
struct Words {
    /// A hash of all the rest, and of where these words are.
    rest: [u8; 32],
    words: Vec<Box<str>>,
}

impl Words {
    fn of(text: &str) -> Self {
        let (mut rest, mut words) = (Sha256::new(), Vec::new());
        let mut from = 0;
        for (at, word) in tokens(text).filter(|(_, word)| may_be_id(word)) {
            rest.update(text.get(from..at).unwrap_or_default());
            rest.update([0]);
            from = at + word.len();
            words.push(word.into());
        }
        rest.update(text.get(from..).unwrap_or_default());
        Self { rest: rest.finalize().into(), words }
    }

    /// With what each word is called: of ids that nothing has any more the number of its first place. Without `gone`
    /// each of those is what it is.
    fn hash(
        &self,
        look: &Look,
        in_world: &HashMap<Box<str>, usize>,
        mut gone: Option<&mut HashMap<Box<str>, usize>>,
        hash: &mut Sha256,
    ) {
        hash.update(self.rest);
        for word in &self.words {
            match (look.ids.get(&**word), gone.as_deref_mut()) {
                (Some(name), _) => hash.update(name),
                (None, Some(gone)) if is_made_up(word) => {
                    let next = in_world.len() + gone.len();
                    let n = in_world.get(word).copied().unwrap_or_else(|| *gone.entry(word.clone()).or_insert(next));
                    hash.update(n.to_le_bytes());
                }
                (None, _) => hash.update(&**word),
            }
            hash.update([0]);
        }
    }
}

/// Ids that are made up anew are long and have digits in them.
fn may_be_id(word: &str) -> bool {
    word.len() >= 6 && word.bytes().any(|b| b.is_ascii_digit())
}

/// Whether it is an id that is made up anew, by its form: no digest of a content, which says what it is of.
fn is_made_up(word: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = word.split('-').collect();
    let is_uuid = || parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| is_hex(part));
    let is_numbered =
        || parts.len() > 1 && parts.last().is_some_and(|last| (16..=26).contains(&last.len()) && is_hex(last));
    let of_iam = || word.strip_prefix("AROA").is_some_and(|rest| rest.ends_with(|c: char| c.is_ascii_digit()));
    is_uuid() || is_numbered() || of_iam()
}

/// How many texts are kept taken apart.
const KEPT: usize = 20_000;

thread_local! {
    /// Texts that were taken apart. Most are those of the base run.
    static STORED: TakenApart<Json> = RefCell::default();
    static THINGS: TakenApart<Arc<Thing>> = RefCell::default();
}

/// By the places of the texts, which their owners beside them keep.
type TakenApart<T> = RefCell<HashMap<usize, (T, Rc<Words>)>>;

fn words<T: Clone>(kept: &'static LocalKey<TakenApart<T>>, owner: &T, text: &str) -> Rc<Words> {
    kept.with_borrow_mut(|kept| {
        if kept.len() >= KEPT {
            kept.clear();
        }
        let place = text.as_ptr() as usize;
        let (_, words) = kept.entry(place).or_insert_with(|| (owner.clone(), Rc::new(Words::of(text))));
        Rc::clone(words)
    })
}

/// The key of a state; `world` is what [`of_world`] says of `look`.
pub(crate) fn key(history: &History, look: &Look, world: &OfWorld) -> Key {
    let mut hash = Sha256::new();
    hash.update(world.digest);
    let mut gone = HashMap::new();
    let unwinding = history.direction() == Direction::Unwinding;
    let ended = match history.ended() {
        Ended::No => 0,
        Ended::Refused => 1,
        Ended::Completed => 2,
        Ended::Unwound => 3,
        Ended::PartlyUnwound => 4,
    };
    hash.update([u8::from(unwinding), u8::from(history.preflight_passed()), ended]);
    for (i, (id, status)) in history.statuses().enumerate() {
        let kept = unwinding && history.keep().contains(id);
        if is_closed(status, unwinding && history.ended() == Ended::No, kept) {
            hash.update([255]);
            continue;
        }
        hash.update(u32::try_from(i).unwrap_or(u32::MAX).to_le_bytes());
        let untouched = status.state.is_untouched();
        let state = if untouched { State::Fresh } else { status.state };
        hash.update(state.as_str().as_bytes());
        hash.update(status.generation.0.to_le_bytes());
        hash.update([u8::from(status.weak), u8::from(status.disowned), u8::from(kept)]);
        // What was seen before a create is looked at again.
        let again = untouched || status.state == State::Undone;
        let stored = [(&status.params, true), (&status.before, false), (&status.output, true)];
        for (json, is_own) in stored.into_iter().filter(|_| !again) {
            if let Some(json) = json {
                // What was there before may have ids that no look shows, and that are written back.
                let gone = is_own.then_some(&mut gone);
                words(&STORED, json, json.get()).hash(look, &world.gone, gone, &mut hash);
            }
            hash.update([0]);
        }
    }
    let full: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&full[..16]);
    key
}

/// The key of the state in which this call is on its way besides.
pub(crate) fn with_call(key: &Key, call: &Call) -> Key {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(call.to_string().as_bytes());
    hash.update(call.step.as_deref().unwrap_or_default().as_bytes());
    hash.update(call.asks.to_le_bytes());
    let full: [u8; 32] = hash.finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&full[..16]);
    key
}

/// Going back nothing will be done with it, and nothing of it is there.
fn is_closed(status: &Status, unwinding: bool, kept: bool) -> bool {
    unwinding
        && !kept
        && !status.disowned
        && status.state != State::RollbackSkipped
        && status.state != State::Skipped
        && plan_backward(status, false) == Backward::Nothing
}

/// Whether nothing is under way: every step is closed, done, or not begun.
pub(crate) fn is_quiet(history: &History) -> bool {
    history.statuses().all(|(_, status)| status.state.is_done() || status.state.is_undone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Look {
        let thing = Thing { name: "a".into(), text: text.into(), owner: Owner::Ours, step: None, residue: false };
        Look {
            things: vec![Arc::new(thing)],
            unsettled: vec![],
            ids: [("vpc-0123456789".into(), "<net>".into())].into(),
        }
    }

    /// A world and a text beside it.
    fn hashed(world: &str, text: &str) -> ([u8; 32], [u8; 32]) {
        let look = look(world);
        let (of, mut gone, mut hash) = (of_world(&look), HashMap::new(), Sha256::new());
        Words::of(text).hash(&look, &of.gone, Some(&mut gone), &mut hash);
        (of.digest, hash.finalize().into())
    }

    const ONE: &str = "f653df99-29c5-4fc0-99d2-f3521c3420eb";
    const OTHER: &str = "2f10baa0-081f-4d6b-a739-23f727aadb82";

    #[test]
    fn ids_that_are_made_up_differ_by_their_places_only() {
        let both = |a: &str, b: &str| format!("x={a} y={b}");
        assert_eq!(hashed("", &both(ONE, OTHER)), hashed("", &both(OTHER, ONE)));
        assert_ne!(hashed("", &both(ONE, OTHER)), hashed("", &both(ONE, ONE)));
        assert_eq!(hashed(ONE, ONE), hashed(OTHER, OTHER));
        assert_ne!(hashed(ONE, ONE).1, hashed(ONE, OTHER).1, "what is there is another one than what is not");
        assert_ne!(hashed("", "vpc-0123456789"), hashed("", "vpc-9876543210"));
        let before = |text: &str| {
            let mut hash = Sha256::new();
            Words::of(text).hash(&look(""), &HashMap::new(), None, &mut hash);
            hash.finalize()
        };
        assert_ne!(before(ONE), before(OTHER), "what is written back is what it is");
    }

    #[test]
    fn names_and_contents_are_what_they_are() {
        for word in ["mistersmith-agent-12", "us-east-1", "123456789012", &"0a".repeat(32), &"0a".repeat(16)] {
            assert!(!is_made_up(word), "{word}");
            assert_ne!(hashed("", word), hashed("", &word.replace('1', "2").replace('a', "b")), "{word}");
        }
        for word in [ONE, "cluster-00000000000000000000000019", "AROASANDBOX3551526921", "internal-a-0000000000000017"]
        {
            assert!(is_made_up(word), "{word}");
        }
    }
}
