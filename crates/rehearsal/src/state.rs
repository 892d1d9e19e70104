//! When two states are the same, but for ids and for what has no bearing on what comes next.
//!
//! Two states with one key have the same future: the engine decides from the statuses of the steps, and operations see
//! the world. Left out are therefore the order and the number of records, who wrote them, errors and calls on record,
//! and everything of a step that is closed for good. Kept are the generation, the parameters, the before-image and the
//! output of every step that is not, what is in doubt, what is pending, and what is still to land.

use sha2::{Digest, Sha256};
use switchback_engine::history::{Ended, History};
use switchback_engine::recovery::{Backward, plan_backward};
use switchback_model::record::{Direction, Json};
use switchback_model::status::{State, Status};

use crate::world::{Call, Look, Owner, rename};

/// What a state is known by.
pub(crate) type Key = [u8; 16];

/// The digest of everything that exists.
pub(crate) fn of_world(look: &Look) -> [u8; 32] {
    let mut hash = Sha256::new();
    for thing in &look.things {
        hash.update(thing.name.as_bytes());
        hash.update([0, u8::from(thing.owner == Owner::Ours), u8::from(thing.residue)]);
        hash.update(thing.text.as_bytes());
        hash.update([1]);
    }
    for unsettled in &look.unsettled {
        hash.update(unsettled.as_bytes());
        hash.update([2]);
    }
    hash.finalize().into()
}

/// The key of a state; `world` is the digest of `look`.
pub(crate) fn key(history: &History, look: &Look, world: &[u8; 32]) -> Key {
    let mut hash = Sha256::new();
    hash.update(world);
    let unwinding = history.direction() == Direction::Unwinding;
    let ended = match history.ended() {
        Ended::No => 0,
        Ended::Refused => 1,
        Ended::Completed => 2,
        Ended::Unwound => 3,
        Ended::PartlyUnwound => 4,
    };
    hash.update([u8::from(unwinding), u8::from(history.preflight_passed()), ended]);
    let mut text = String::with_capacity(512);
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
        let stored =
            if again { [None; 3] } else { [&status.params, &status.before, &status.output].map(Option::as_ref) };
        for json in stored {
            text.clear();
            rename(json.map_or("", Json::get), &look.ids, &mut text);
            hash.update(text.as_bytes());
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
