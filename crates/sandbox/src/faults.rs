//! The faults layer: what can go wrong between a caller and AWS, by plan.
//!
//! It sits in front of any [`Endpoint`](crate::Endpoint), behind the server or client. It never invents state: a fault
//! decides whether a call reaches the service, when, and whether its answer reaches the caller.
//!
//! ```text
//! error before   call -> x                        answer: the error
//! error after    call -> effect -> x              answer: the error
//! reply lost     call -> effect -> x              no answer
//! request lost   call -> x                        no answer
//! late           call -> x     ... effect         no answer; lands after the delay
//! slow           call -> effect -> wait           answer: late
//! expire         this and all later calls of the same access key are refused
//! lag            read -> the world as it was      answer: old
//! stuck          call -> effect, which goes on    answer: pending, and so are all later ones
//! meddle         somebody else -> call -> effect  answer: as it is after both
//! ```
//!
//! The last three are asked of the sandbox's rules, which alone know former worlds, pending states and whose a resource
//! is: in front of a foreign service they cannot be had ([`Effect::needs_rules`]).
//!
//! Late effects land when the next call comes, or the world is looked at, after their time: no task is spawned, so
//! they behave the same on a real, a manual and a paused clock.

mod layer;
mod plan;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::layer::FaultLayer;
pub use self::plan::{Effect, Fault, Meddling, Plan, When};

use self::plan::Matcher;
use crate::calls::{Call, Calls};
use crate::clock::Moment;
use crate::endpoint::{Request, Scope};
use crate::input::Input;

/// What the world may suffer from, and what was called. Clones are handles to the same plan.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    matcher: Matcher,
    expired: BTreeSet<String>,
    calls: Calls,
    late: Vec<Late>,
    /// What is stuck is to be let go.
    let_go: bool,
}

/// A write that was sent and is still to land.
#[derive(Clone)]
pub(crate) struct Late {
    due: Moment,
    request: Request,
}

/// Every access key.
const ANYBODY: &str = "*";

impl Late {
    /// It lands then.
    pub(crate) fn new(due: Moment, request: Request) -> Self {
        Self { due, request }
    }

    /// What it asks for.
    pub(crate) fn text(&self) -> String {
        let action = self.request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
        let body = String::from_utf8_lossy(self.request.body());
        match self.request.uri().path_and_query().map(|path| path.as_str()) {
            // The other protocols have one path and one method.
            Some(path) if path != "/" => format!("{} {path} {body}", self.request.method()),
            _ => format!("{} {body}", action.unwrap_or_default()),
        }
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the plan; occurrences are counted from here on. What was stuck goes on when the
    /// world is called or looked at next.
    pub fn set(&self, plan: Plan) {
        let mut state = self.state();
        state.let_go = true;
        state.expired = plan.expired.iter().cloned().collect();
        state.matcher = Matcher::new(plan);
    }

    /// Adds one fault to the plan. Its occurrences are counted from here on.
    pub fn add(&self, fault: Fault) {
        self.state().matcher.add(fault);
    }

    /// Ends all faults, also expired credentials. Effects that are still to land do land, and what was stuck goes on.
    pub fn clear(&self) {
        self.set(Plan::default());
    }

    /// The plan as it was set, with the access keys that have expired by now.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let state = self.state();
        Plan { expired: state.expired.iter().cloned().collect(), ..state.matcher.plan() }
    }

    /// From now on these credentials are expired; `None` is everybody's.
    pub fn expire(&self, access_key: Option<&str>) {
        self.state().expired.insert(access_key.unwrap_or(ANYBODY).to_owned());
    }

    /// All credentials are good again.
    pub fn renew(&self) {
        self.state().expired.clear();
    }

    /// How many effects are still to land.
    #[must_use]
    pub fn still_to_land(&self) -> usize {
        self.state().late.len()
    }

    /// Every call that came in, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.all()
    }

    /// How often this action was called. Effects that landed late are not counted again.
    #[must_use]
    pub fn count(&self, action: &str) -> usize {
        self.state().calls.count(action)
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.state().calls = Calls::default();
    }

    pub(crate) fn late(&self) -> Vec<Late> {
        self.state().late.clone()
    }

    pub(crate) fn set_late(&self, late: Vec<Late>) {
        self.state().late = late;
    }

    /// Whether what is stuck is to be let go; asks once.
    pub(crate) fn take_let_go(&self) -> bool {
        std::mem::take(&mut self.state().let_go)
    }

    fn next_due(&self, now: Moment) -> Option<Late> {
        let mut state = self.state();
        let (at, _) = state.late.iter().enumerate().min_by_key(|(_, late)| late.due).filter(|(_, it)| it.due <= now)?;
        Some(state.late.swap_remove(at))
    }

    /// What happens to this call.
    fn decide(&self, scope: Option<&Scope>, input: &Input) -> (bool, Option<Effect>) {
        let mut state = self.state();
        let service = scope.map_or("", |scope| &scope.service);
        let effect = state.matcher.decide(service, input);
        let key = scope.map(|scope| scope.access_key.as_str());
        if let (Some(Effect::Expire), Some(key)) = (&effect, key) {
            state.expired.insert(key.to_owned());
        }
        let expired = state.expired.contains(ANYBODY) || key.is_some_and(|key| state.expired.contains(key));
        (expired, effect)
    }
}

impl Late {
    /// The same delay on another clock.
    pub(crate) fn moved(&self, then: Moment, now: Moment) -> Self {
        Self { due: self.due.moved(then, now), request: self.request.clone() }
    }
}
