//! The status of a step: a pure function of its records.
//!
//! The same function is used live, before a record is appended, and on replay, so a journal that
//! says something impossible is detected instead of obeyed. It decides nothing: what to do with
//! a status is decided by the engine's recovery planner.
//!
//! ```text
//!            ┌─────────┐   ┌───────────────┐   ┌─────────┐   ┌──────────┐
//!  Fresh ───▶│Captured │──▶│ CreateStarted │──▶│ Created │──▶│ Verified │
//!            └─────────┘   └──────┬────────┘   └────┬────┘   └────┬─────┘
//!                     in doubt    │ find            │             │
//!                                 ▼                 ▼             ▼
//!            ┌────────┐     ┌───────────┐    ┌─────────────────────────┐
//!  next  ◀───│ Undone │◀────│ RolledBack│◀───│     RollbackStarted     │
//!  generation└────────┘     └───────────┘    └─────────────────────────┘
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::Generation;
use crate::record::{Body, Json, Proof, UndoneHow};

/// The last thing that is on record for a step in its current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    Fresh,
    /// `Captured`.
    Captured,
    /// `CaptureFailed`.
    CaptureFailed,
    /// `CreateStarted`: in doubt.
    CreateStarted,
    /// `CreateFailed`: in doubt.
    CreateFailed,
    /// `Created`.
    Created,
    /// `Adopted`.
    Adopted,
    /// `SettleFailed`.
    SettleFailed,
    /// `VerifyFailed`.
    VerifyFailed,
    /// `Verified`.
    Verified,
    /// `Skipped`.
    Skipped,
    /// `MarkedDone`.
    MarkedDone,
    /// `RollbackStarted`: in doubt.
    RollbackStarted,
    /// `RolledBack`.
    RolledBack,
    /// `Undone`: the generation is closed.
    Undone,
    /// `UndoFailed`.
    UndoFailed,
    /// `RollbackFailed`.
    RollbackFailed,
    /// `RollbackSkipped`: the generation is closed, with residue.
    RollbackSkipped,
    /// `RollbackMarkedDone`.
    RollbackMarkedDone,
}

impl State {
    /// Every state, in the order of a step's life.
    pub const ALL: [Self; 19] = [
        Self::Fresh,
        Self::Captured,
        Self::CaptureFailed,
        Self::CreateStarted,
        Self::CreateFailed,
        Self::Created,
        Self::Adopted,
        Self::SettleFailed,
        Self::VerifyFailed,
        Self::Verified,
        Self::Skipped,
        Self::MarkedDone,
        Self::RollbackStarted,
        Self::RolledBack,
        Self::Undone,
        Self::UndoFailed,
        Self::RollbackFailed,
        Self::RollbackSkipped,
        Self::RollbackMarkedDone,
    ];

    /// As shown and as stored in the journal's index.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Captured => "captured",
            Self::CaptureFailed => "capture_failed",
            Self::CreateStarted => "create_started",
            Self::CreateFailed => "create_failed",
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::SettleFailed => "settle_failed",
            Self::VerifyFailed => "verify_failed",
            Self::Verified => "verified",
            Self::Skipped => "skipped",
            Self::MarkedDone => "marked_done",
            Self::RollbackStarted => "rollback_started",
            Self::RolledBack => "rolled_back",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
            Self::RollbackFailed => "rollback_failed",
            Self::RollbackSkipped => "rollback_skipped",
            Self::RollbackMarkedDone => "rollback_marked_done",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// Nothing of ours can exist: nothing was ever sent in this generation.
    #[must_use]
    pub const fn is_untouched(self) -> bool {
        matches!(self, Self::Fresh | Self::Captured | Self::CaptureFailed)
    }

    /// A call may have been sent and its effect may still be on its way, for all that a process
    /// that has just started can know: everything between `CreateStarted` and a closing record.
    #[must_use]
    pub const fn is_unacknowledged(self) -> bool {
        matches!(
            self,
            Self::CreateStarted
                | Self::CreateFailed
                | Self::Created
                | Self::Adopted
                | Self::SettleFailed
                | Self::VerifyFailed
                | Self::RollbackStarted
                | Self::RolledBack
                | Self::UndoFailed
                | Self::RollbackFailed
                | Self::RollbackMarkedDone
        )
    }

    /// Going forward, dependants may start.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Verified | Self::Skipped | Self::MarkedDone)
    }

    /// Going back, what this step depends on may be rolled back.
    #[must_use]
    pub const fn is_undone(self) -> bool {
        matches!(
            self,
            Self::Fresh | Self::Captured | Self::CaptureFailed | Self::Skipped | Self::Undone | Self::RollbackSkipped
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a step from its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The current generation.
    pub generation: Generation,
    /// The last thing on record in it.
    pub state: State,
    /// The parameters that the newest create call of this generation was given.
    pub params: Option<Json>,
    /// The before-image of this generation.
    pub before: Option<Json>,
    /// The newest output of this generation.
    pub output: Option<Json>,
    /// It was adopted on weak proof in this generation, and no person has confirmed it.
    pub weak: bool,
    /// It counts as undone because a person said so: what is there stays.
    pub disowned: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            generation: Generation::FIRST,
            state: State::Fresh,
            params: None,
            before: None,
            output: None,
            weak: false,
            disowned: false,
        }
    }
}

/// A record that cannot follow what is on record already.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a {record} record of generation {generation} cannot follow {state} of generation {current}")]
pub struct IllegalRecord {
    /// The record's kind.
    pub record: &'static str,
    /// The record's generation.
    pub generation: Generation,
    /// The state it met.
    pub state: State,
    /// The generation it met.
    pub current: Generation,
}

impl Status {
    /// The status after one more record, in place. Records of the kinds that only serve the
    /// auditor (`Called`, `Retried`) change nothing.
    ///
    /// # Errors
    /// When the record cannot follow; the status is then unchanged.
    pub fn apply(&mut self, generation: Generation, body: &Body) -> Result<(), IllegalRecord> {
        let next = self.next(generation, body).ok_or(IllegalRecord {
            record: body.kind(),
            generation,
            state: self.state,
            current: self.generation,
        })?;
        let Some(state) = next else { return Ok(()) };
        if generation != self.generation {
            *self = Self { generation, ..Self::default() };
        }
        match body {
            Body::Captured(p) => self.before = Some(p.before.clone()),
            Body::CreateStarted(p) => self.params = Some(p.params.clone()),
            Body::Created(p) => self.output = Some(p.output.clone()),
            Body::Adopted(p) => {
                self.output = Some(p.output.clone());
                self.weak = p.proof == Proof::Weak;
            }
            Body::Verified(p) => {
                if let Some(output) = &p.output {
                    self.output = Some(output.clone());
                }
            }
            Body::MarkedDone(p) => {
                if let Some(output) = &p.output {
                    self.output = Some(output.clone());
                }
            }
            Body::RollbackStarted(p) => {
                if let Some(output) = &p.output {
                    self.output = Some(output.clone());
                }
            }
            Body::Undone(p) => {
                self.output = None;
                self.weak = false;
                self.disowned = p.how == UndoneHow::Disowned;
            }
            _ => {}
        }
        self.state = state;
        Ok(())
    }

    /// `None`: illegal. `Some(None)`: legal, nothing changes.
    fn next(&self, generation: Generation, body: &Body) -> Option<Option<State>> {
        use State as S;
        if matches!(body, Body::Called(_) | Body::Retried(_)) {
            // The calls of a capture come before its record opens the generation.
            let opening = self.state == S::Undone && generation == self.generation.next();
            return (generation == self.generation || opening).then_some(None);
        }
        // The next generation opens with a capture, after the one before it was closed.
        let from = if generation == self.generation {
            self.state
        } else if self.state == S::Undone
            && generation == self.generation.next()
            && matches!(body, Body::Captured(_) | Body::CaptureFailed(_))
        {
            S::Fresh
        } else {
            return None;
        };
        let person = |p: Proof| p == Proof::Confirmed;
        let (ok, to) = match body {
            Body::Captured(_) => (from.is_untouched(), S::Captured),
            Body::CaptureFailed(_) => (from.is_untouched(), S::CaptureFailed),
            Body::CreateStarted(_) => (
                matches!(from, S::Captured | S::CreateStarted | S::CreateFailed) && self.before.is_some(),
                S::CreateStarted,
            ),
            Body::CreateFailed(_) => (from == S::CreateStarted, S::CreateFailed),
            Body::Created(_) => (from == S::CreateStarted, S::Created),
            Body::Adopted(p) => (
                match from {
                    S::CreateStarted | S::CreateFailed => true,
                    S::Adopted
                    | S::SettleFailed
                    | S::VerifyFailed
                    | S::Verified
                    | S::MarkedDone
                    | S::RollbackStarted
                    | S::UndoFailed => person(p.proof),
                    _ => false,
                },
                S::Adopted,
            ),
            Body::SettleFailed(_) => (is_made(from), S::SettleFailed),
            Body::VerifyFailed(_) => (is_made(from), S::VerifyFailed),
            Body::Verified(_) => (is_made(from), S::Verified),
            Body::Skipped(_) => (from.is_untouched(), S::Skipped),
            Body::MarkedDone(p) => ((is_made(from)) || (from.is_untouched() && p.output.is_some()), S::MarkedDone),
            Body::RollbackStarted(_) => (
                is_made(from)
                    || matches!(
                        from,
                        S::CreateStarted | S::CreateFailed | S::Verified | S::RollbackStarted | S::RollbackFailed
                    ),
                S::RollbackStarted,
            ),
            Body::RolledBack(_) => (from == S::RollbackStarted, S::RolledBack),
            Body::RollbackFailed(_) => (from == S::RollbackStarted, S::RollbackFailed),
            Body::Undone(p) => (
                match p.how {
                    UndoneHow::Verified => matches!(from, S::RolledBack | S::RollbackMarkedDone | S::UndoFailed),
                    UndoneHow::NeverMade | UndoneHow::NotOurs => matches!(from, S::CreateStarted | S::CreateFailed),
                    UndoneHow::Disowned => {
                        matches!(
                            from,
                            S::CreateStarted
                                | S::CreateFailed
                                | S::Adopted
                                | S::SettleFailed
                                | S::VerifyFailed
                                | S::Verified
                                | S::MarkedDone
                                | S::RollbackStarted
                                | S::UndoFailed
                        )
                    }
                },
                S::Undone,
            ),
            Body::UndoFailed(_) => {
                (matches!(from, S::RolledBack | S::RollbackMarkedDone | S::UndoFailed), S::UndoFailed)
            }
            Body::RollbackSkipped(_) => (from == S::RollbackFailed, S::RollbackSkipped),
            Body::RollbackMarkedDone(_) => (from == S::RollbackFailed, S::RollbackMarkedDone),
            // Records of the run are not a step's.
            _ => return None,
        };
        ok.then_some(Some(to))
    }
}

/// It exists and is on record, and is not closed.
const fn is_made(state: State) -> bool {
    matches!(state, State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;
    use crate::error::OpError;
    use crate::record::*;

    fn bodies() -> Vec<(&'static str, Body)> {
        let j = || Json::new(&json!({})).unwrap();
        let e = || OpError::permanent("x");
        vec![
            ("Cd", Captured { before: j() }.into()),
            ("CapF", CaptureFailed { error: e() }.into()),
            ("CS", CreateStarted { token: String::new(), params: j() }.into()),
            ("CF", CreateFailed { error: e() }.into()),
            ("Cr", Created { output: j() }.into()),
            ("Ad", Adopted { output: j(), proof: Proof::Strong, reason: None }.into()),
            ("Ad", Adopted { output: j(), proof: Proof::Confirmed, reason: None }.into()),
            ("SF", SettleFailed { error: e() }.into()),
            ("VF", VerifyFailed { error: e(), compared: vec![] }.into()),
            ("V", Verified { output: None, compared: vec![] }.into()),
            ("Sk", Skipped { reason: String::new() }.into()),
            ("RS", RollbackStarted { output: None }.into()),
            ("RB", RolledBack {}.into()),
            ("RF", RollbackFailed { error: e() }.into()),
            ("Un", Undone { how: UndoneHow::Verified, compared: vec![], reason: None }.into()),
            ("Un", Undone { how: UndoneHow::NeverMade, compared: vec![], reason: None }.into()),
            ("Un", Undone { how: UndoneHow::Disowned, compared: vec![], reason: None }.into()),
            ("UF", UndoFailed { compared: vec![] }.into()),
            ("RSk", RollbackSkipped { reason: String::new() }.into()),
            ("RMD", RollbackMarkedDone { reason: String::new() }.into()),
        ]
    }

    /// The transitions of the executable model of DESIGN section 4 (`LEGAL` in `model.py`), with
    /// what the running of it adds: `CS -> CS` (created again), `RS -> RS` (found while in
    /// doubt), `Ad -> Ad`.
    const LEGAL: &[(&str, &str)] = &[
        ("-", "Cd CapF Sk"),
        ("Cd", "Cd CapF CS Sk"),
        ("CapF", "Cd CapF Sk"),
        ("CS", "CS CF Cr Ad RS Un"),
        ("CF", "CS Ad RS Un"),
        ("Cr", "SF VF V RS"),
        ("Ad", "SF VF V RS Un Ad"),
        ("SF", "SF VF V RS Un Ad"),
        ("VF", "SF VF V RS Un Ad"),
        ("V", "RS Un Ad"),
        ("RS", "RS RB RF Un Ad"),
        ("RB", "Un UF"),
        ("UF", "UF Un Ad"),
        ("RF", "RS RSk RMD"),
        ("Sk", ""),
        ("RSk", ""),
        ("RMD", "Un UF"),
    ];

    fn state(short: &str) -> State {
        match short {
            "-" => State::Fresh,
            "Cd" => State::Captured,
            "CapF" => State::CaptureFailed,
            "CS" => State::CreateStarted,
            "CF" => State::CreateFailed,
            "Cr" => State::Created,
            "Ad" => State::Adopted,
            "SF" => State::SettleFailed,
            "VF" => State::VerifyFailed,
            "V" => State::Verified,
            "Sk" => State::Skipped,
            "RS" => State::RollbackStarted,
            "RB" => State::RolledBack,
            "UF" => State::UndoFailed,
            "RF" => State::RollbackFailed,
            "RSk" => State::RollbackSkipped,
            "RMD" => State::RollbackMarkedDone,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_transitions_are_those_of_the_recovery_model() {
        for (from, legal) in LEGAL {
            let expected: BTreeSet<&str> = legal.split_whitespace().collect();
            let mut got: BTreeMap<&str, bool> = BTreeMap::new();
            for (short, body) in bodies() {
                let mut status =
                    Status { state: state(from), before: Some(Json::new(&json!(null)).unwrap()), ..Status::default() };
                let ok = status.apply(Generation::FIRST, &body).is_ok();
                *got.entry(short).or_default() |= ok;
            }
            let got: BTreeSet<&str> = got.into_iter().filter_map(|(k, ok)| ok.then_some(k)).collect();
            assert_eq!(got, expected, "after {from}");
        }
    }

    #[test]
    fn only_an_undone_step_opens_the_next_generation() {
        let captured: Body = Captured { before: Json::new(&json!(1)).unwrap() }.into();
        for state in State::ALL {
            let mut status = Status { state, weak: true, ..Status::default() };
            let opened = status.apply(Generation(2), &captured).is_ok();
            assert_eq!(opened, state == State::Undone, "{state}");
            if opened {
                assert_eq!(status.generation, Generation(2));
                assert!(!status.weak, "weakness ends with its generation");
            }
            let mut status = Status { state, ..Status::default() };
            assert!(status.apply(Generation(3), &captured).is_err(), "a generation was left out");
        }
    }

    #[test]
    fn the_calls_of_a_capture_come_before_the_generation_that_it_opens() {
        let called: Body = Called {
            service: "ec2".into(),
            operation: "DescribeVpcs".into(),
            request_id: None,
            status: Some(200),
            code: None,
            attempt: 1,
            duration_ms: 1,
        }
        .into();
        let mut status = Status { state: State::Undone, ..Status::default() };
        assert!(status.apply(Generation(2), &called).is_ok());
        assert_eq!(status.generation, Generation::FIRST, "a call opens nothing");
        assert!(status.apply(Generation(3), &called).is_err());
        let mut status = Status { state: State::Verified, ..Status::default() };
        assert!(status.apply(Generation(2), &called).is_err());
    }

    #[test]
    fn a_create_needs_its_before_image() {
        let started: Body = CreateStarted { token: String::new(), params: Json::new(&json!(1)).unwrap() }.into();
        let mut status = Status { state: State::Captured, before: None, ..Status::default() };
        assert!(status.apply(Generation::FIRST, &started).is_err());
    }

    #[test]
    fn weakness_stays_until_a_person_confirms() {
        let j = || Json::new(&json!({})).unwrap();
        let mut s = Status { state: State::CreateStarted, ..Status::default() };
        let g = Generation::FIRST;
        s.apply(g, &Adopted { output: j(), proof: Proof::Weak, reason: None }.into()).unwrap();
        s.apply(g, &Verified { output: None, compared: vec![] }.into()).unwrap();
        assert!(s.weak);
        s.apply(g, &Adopted { output: j(), proof: Proof::Confirmed, reason: Some("seen".into()) }.into()).unwrap();
        assert!(!s.weak);
    }

    #[test]
    fn an_illegal_record_leaves_the_status_as_it_was() {
        let mut s = Status::default();
        let before = s.clone();
        let error = s.apply(Generation::FIRST, &RolledBack {}.into()).unwrap_err();
        assert_eq!(error.to_string(), "a RolledBack record of generation 1 cannot follow fresh of generation 1");
        assert_eq!(s, before);
    }
}
