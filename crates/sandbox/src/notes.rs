//! What the emulator cannot hold, and nothing else: ids, tags and descriptions of security group rules, when a resource
//! becomes available and when it is gone, attributes that the emulator forgets, names that are still blocked, and the
//! answers that were given to client tokens.
//!
//! Whether a thing exists is never read from here: a note about something that the emulator does not hold is dropped.
//! Resources are named by their id in EC2, by their ARN everywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Moment;
use crate::items::Items;
use crate::models::Models;
use crate::picture::Picture;
use crate::picture::backup::PointOf;
use crate::picture::ec2::RuleKey;
use crate::query::Tags;
use crate::service::Service;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) rules: BTreeMap<RuleKey, RuleNote>,
    /// When a pending resource becomes available.
    pub(crate) ready: BTreeMap<String, Moment>,
    /// When a resource that is being deleted comes to the end of it: `rules` then takes it away.
    pub(crate) gone: BTreeMap<String, Moment>,
    /// Until when the name of something that was deleted cannot be used.
    pub(crate) blocked: BTreeMap<String, Moment>,
    /// What stays as it is, pending or being deleted, until it is let go: its time in `ready` or `gone` does not come.
    pub(crate) stuck: BTreeSet<String>,
    pub(crate) flags: BTreeSet<(String, Flag)>,
    /// Attributes of a resource that the emulator forgets, by names of the rules. They are in the report.
    pub(crate) facts: BTreeMap<String, BTreeMap<&'static str, Value>>,
    /// The same of what passes by itself: it is not in the report.
    pub(crate) passing: BTreeMap<String, BTreeMap<&'static str, Value>>,
    /// By service, action and token.
    pub(crate) replays: BTreeMap<(Service, String, String), Replay>,
    /// By which access key something was made that cannot be tagged.
    pub(crate) makers: BTreeMap<String, String>,
    /// A number of its own for each resource that needs one beside its name: another one of that name has another.
    pub(crate) numbers: BTreeMap<String, u32>,
    /// The states that an alarm has been in, oldest first, each with when it began; one may still be to come.
    pub(crate) states: BTreeMap<String, Vec<(Moment, &'static str)>>,
    /// The highest version number that a policy ever had.
    pub(crate) versions: BTreeMap<String, u32>,
    /// The items of tables of DynamoDB, by ARN.
    pub(crate) items: BTreeMap<String, Items>,
    /// Backup jobs by id. They are remembered when what they made is gone; they are in no report.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// How many sessions were given out.
    pub(crate) sessions: u32,
    /// What is not AWS.
    pub(crate) models: Models,
    /// How many things got an id that is counted here.
    made: u32,
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

/// About one backup job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) of: PointOf,
    /// The ARN of the recovery point that it makes.
    pub(crate) point: String,
    pub(crate) aborted: bool,
}

/// About one security group rule.
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// What was asked for, without the token.
    pub(crate) asked: String,
    pub(crate) answer: Answer,
}

/// A successful reply.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// What goes inside of the reply's element.
    Inner(String),
    /// The whole reply, as it is.
    Whole(bytes::Bytes),
    /// The whole reply of a REST service, which says things in its status and its headers as well.
    Rest(Reply),
}

/// A reply of a REST service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    /// A reply in JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::Whole(bytes::Bytes::from(value.to_string()))
    }
}

impl Notes {
    /// None yet; ids are counted from here on.
    pub(crate) fn starting_at(first_id: u32) -> Self {
        Self { next_rule: first_id, made: first_id, ..Self::default() }
    }

    /// Gives new rules an id, and forgets what is gone. `is_default` is for rules that are seen for the first time.
    pub(crate) fn sync(&mut self, picture: &Picture, is_default: bool) {
        let before = std::mem::take(&mut self.rules);
        for rule in picture.ec2.rules() {
            let note = before.get(rule).cloned().unwrap_or_else(|| {
                self.next_rule += 1;
                RuleNote { id: format!("sgr-{:08x}", self.next_rule), is_default, ..RuleNote::default() }
            });
            self.rules.insert(rule.clone(), note);
        }
        let things = picture.things();
        let exists = |id: &str| things.contains_key(id) || picture.ec2.has(id);
        self.ready.retain(|id, _| exists(id));
        self.gone.retain(|id, _| exists(id));
        self.stuck.retain(|id| exists(id));
        self.facts.retain(|id, _| exists(id));
        self.passing.retain(|id, _| exists(id));
        self.items.retain(|id, _| exists(id));
        self.flags.retain(|(id, _)| exists(id));
        self.versions.retain(|id, _| exists(id));
        self.numbers.retain(|id, _| exists(id));
        self.makers.retain(|id, _| exists(id));
        self.states.retain(|id, _| exists(id));
    }

    /// A number that nothing else in this place has or had.
    pub(crate) fn next_made(&mut self) -> u32 {
        self.made = self.made.wrapping_add(1);
        self.made
    }

    /// What comes to its end first, when its time has come.
    pub(crate) fn next_gone(&self, now: Moment) -> Option<(Moment, &str)> {
        let first = self.gone.iter().filter(|(id, _)| !self.stuck.contains(*id)).min_by_key(|(_, at)| **at)?;
        Some((*first.1, first.0.as_str())).filter(|(at, _)| *at <= now)
    }

    /// Whether a name cannot be used yet.
    pub(crate) fn is_blocked(&self, name: &str, now: Moment) -> bool {
        self.blocked.get(name).is_some_and(|until| now < *until)
    }

    /// Gives a new resource its number.
    pub(crate) fn number(&mut self, id: &str) {
        let number = self.next_made();
        self.numbers.insert(id.to_owned(), number);
    }

    /// An attribute that the emulator forgets.
    pub(crate) fn fact(&self, id: &str, name: &str) -> Option<&Value> {
        self.facts.get(id)?.get(name)
    }

    /// Whether a resource is still pending.
    pub(crate) fn is_pending(&self, id: &str, now: Moment) -> bool {
        self.ready.get(id).is_some_and(|ready| now < *ready || self.stuck.contains(id))
    }

    /// When the first of what is stuck would have come to its end.
    pub(crate) fn first_stuck(&self) -> Option<Moment> {
        self.stuck.iter().filter_map(|id| self.gone.get(id).or_else(|| self.ready.get(id))).min().copied()
    }

    /// Lets go what is stuck, which comes to its end so much later than it would have.
    pub(crate) fn unstick(&mut self, late: Duration) {
        for id in std::mem::take(&mut self.stuck) {
            // What is being deleted was made long ago.
            if let Some(at) = self.gone.get_mut(&id).or_else(|| self.ready.get_mut(&id)) {
                *at = at.plus(late);
            }
        }
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
        let moved =
            |all: &BTreeMap<String, Moment>| all.iter().map(|(id, at)| (id.clone(), at.moved(then, now))).collect();
        let (ready, gone, blocked) = (moved(&self.ready), moved(&self.gone), moved(&self.blocked));
        let mut states = self.states.clone();
        states.values_mut().flatten().for_each(|(at, _)| *at = at.moved(then, now));
        Self { ready, gone, blocked, states, ..self.clone() }
    }

    /// Nothing, but ids go on counting.
    pub(crate) fn cleared(&self) -> Self {
        Self { next_rule: self.next_rule, sessions: self.sessions, made: self.made, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_blocked_for_a_while_also_after_a_restore() {
        let (then, later) = (Moment::default(), Moment::default().plus(Duration::from_secs(60)));
        let blocked = BTreeMap::from([("secret/db".to_owned(), then.plus(Duration::from_secs(7)))]);
        let notes = Notes { blocked, ..Notes::default() };
        assert!(notes.is_blocked("secret/db", then) && !notes.is_blocked("secret/other", then));
        assert!(!notes.is_blocked("secret/db", later));
        assert!(notes.moved(then, later).is_blocked("secret/db", later));
    }

    #[test]
    fn what_comes_first_to_its_end_is_next() {
        let at = |seconds| Moment::default().plus(Duration::from_secs(seconds));
        let gone = BTreeMap::from([("a".to_owned(), at(3)), ("b".to_owned(), at(2))]);
        let notes = Notes { gone, ..Notes::default() };
        assert_eq!(notes.next_gone(at(1)), None);
        assert_eq!(notes.next_gone(at(4)), Some((at(2), "b")));
    }
    #[test]
    fn what_is_stuck_waits_until_it_is_let_go_and_keeps_its_order() {
        let at = |seconds| Moment::default().plus(Duration::from_secs(seconds));
        let gone = BTreeMap::from([("cluster".to_owned(), at(3)), ("instance".to_owned(), at(2))]);
        let ready = BTreeMap::from([("instance".to_owned(), at(1))]);
        let stuck = gone.keys().cloned().collect();
        let mut notes = Notes { gone, ready, stuck, ..Notes::default() };
        assert_eq!(notes.next_gone(at(100)), None);
        let late = at(100).since(notes.first_stuck().unwrap());
        notes.unstick(late);
        assert_eq!(notes.next_gone(at(100)), Some((at(100), "instance")));
        assert_eq!(notes.gone["cluster"], at(101));
    }
}
