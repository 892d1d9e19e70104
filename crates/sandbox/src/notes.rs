//! What the emulator cannot hold, and nothing else: ids, tags and descriptions of security group rules, how long a
//! resource is still pending, a few attributes, and the answers that were given to client tokens.
//!
//! Whether a thing exists is never read from here: a note about something that the emulator does not hold is dropped.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Moment;
use crate::picture::{Picture, RuleKey};
use crate::query::{Params, Tags};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) rules: BTreeMap<RuleKey, RuleNote>,
    /// When a pending resource becomes available.
    pub(crate) ready: BTreeMap<String, Moment>,
    pub(crate) flags: BTreeSet<(String, Flag)>,
    pub(crate) replays: BTreeMap<(String, String), Replay>,
    next_rule: u32,
}

/// An attribute that is either on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flag {
    /// Of a VPC.
    AddressUsageMetrics,
    /// Of a subnet.
    AssignIpv6OnCreation,
}

/// About one security group rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleNote {
    pub(crate) id: String,
    pub(crate) tags: Tags,
    pub(crate) description: Option<String>,
    /// Came with its group.
    pub(crate) is_default: bool,
}

/// What a client token was used for, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) request: Params,
    pub(crate) answer: Answer,
}

/// A successful reply.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What goes inside of the reply's element.
    Inner(String),
    /// The whole reply of the emulator.
    Whole(bytes::Bytes),
}

impl Notes {
    /// Gives new rules an id, and forgets what is gone. `is_default` is for rules that are seen for the first time.
    pub(crate) fn sync(&mut self, picture: &Picture, is_default: bool) {
        let before = std::mem::take(&mut self.rules);
        for rule in picture.rules() {
            let note = before.get(rule).cloned().unwrap_or_else(|| {
                self.next_rule += 1;
                RuleNote { id: format!("sgr-{:08x}", self.next_rule), is_default, ..RuleNote::default() }
            });
            self.rules.insert(rule.clone(), note);
        }
        let exists = |id: &str| picture.vpcs.contains_key(id) || picture.subnets.contains_key(id);
        self.ready.retain(|id, _| exists(id));
        self.flags.retain(|(id, _)| exists(id));
    }

    /// Whether a resource is still pending.
    pub(crate) fn is_pending(&self, id: &str, now: Moment) -> bool {
        self.ready.get(id).is_some_and(|ready| now < *ready)
    }

    /// The rule of this id.
    pub(crate) fn rule_named(&self, id: &str) -> Option<(&RuleKey, &RuleNote)> {
        self.rules.iter().find(|(_, note)| note.id == id)
    }

    pub(crate) fn has(&self, id: &str, flag: Flag) -> bool {
        // A set of a handful: no need to borrow a tuple of references.
        self.flags.iter().any(|(held, is)| held == id && *is == flag)
    }

    pub(crate) fn set(&mut self, id: &str, flag: Flag, on: bool) {
        if on {
            self.flags.insert((id.to_owned(), flag));
        } else {
            self.flags.remove(&(id.to_owned(), flag));
        }
    }

    /// The same ages on another clock, or on this one later.
    pub(crate) fn moved(&self, then: Moment, now: Moment) -> Self {
        let ready = self.ready.iter().map(|(id, at)| (id.clone(), at.moved(then, now))).collect();
        Self { ready, ..self.clone() }
    }

    /// Nothing, but ids go on counting.
    pub(crate) fn cleared(&self) -> Self {
        Self { next_rule: self.next_rule, ..Self::default() }
    }
}
