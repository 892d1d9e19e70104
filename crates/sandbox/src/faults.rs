//! The faults layer: what can go wrong between a caller and AWS, by plan.
//!
//! It sits in front of the rules and behind the server or client. It never invents state: a fault decides whether a
//! call reaches the rules, when, and whether its answer reaches the caller.
//!
//! ```text
//! error before   call -> x                        answer: the error
//! error after    call -> effect -> x              answer: the error
//! reply lost     call -> effect -> x              no answer
//! request lost   call -> x                        no answer
//! late           call -> x     ... effect         no answer; lands after the delay
//! lag            read -> the world as it was      answer: old
//! slow           call -> effect -> wait           answer: late
//! expire         this and all later calls of the same access key are refused
//! ```
//!
//! Late effects land when the next call comes, or the world is looked at, after their time: no task is spawned, so
//! they behave the same on a real, a manual and a paused clock.

mod plan;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub use self::plan::{Effect, Fault, Plan, When};

use self::plan::Matcher;
use crate::calls::{Call, Calls};
use crate::clock::{Clock, Moment};
use crate::endpoint::{AsOf, At, Cut, Endpoint, Request, Response, Scope};
use crate::input::Input;
use crate::refusal::Refusal;
use crate::rules::{Rules, is_write};
use crate::service::Service;

/// What the world may suffer from, and what was called. Clones are handles to the same plan.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    matcher: Matcher,
    expired: BTreeSet<String>,
    calls: Calls,
    late: Vec<Late>,
}

/// A write that was sent and is still to land.
#[derive(Clone)]
pub(crate) struct Late {
    due: Moment,
    request: Request,
}

/// Every access key.
const ANYBODY: &str = "*";

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the plan; occurrences are counted from here on.
    pub fn set(&self, plan: Plan) {
        let mut state = self.state();
        state.expired = plan.expired.iter().cloned().collect();
        state.matcher = Matcher::new(plan);
    }

    /// Adds one fault to the plan. Its occurrences are counted from here on.
    pub fn add(&self, fault: Fault) {
        self.state().matcher.add(fault);
    }

    /// Ends all faults, also expired credentials. Effects that are still to land do land.
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

/// The layer itself.
pub(crate) struct FaultLayer {
    pub(crate) faults: Faults,
    pub(crate) rules: Arc<Rules>,
    pub(crate) clock: Clock,
    /// Held while late effects land, so that they land in order.
    landing: tokio::sync::Mutex<()>,
}

impl FaultLayer {
    pub(crate) fn new(faults: Faults, rules: Arc<Rules>, clock: Clock) -> Self {
        Self { faults, rules, clock, landing: tokio::sync::Mutex::default() }
    }

    /// Applies the late effects whose time has come.
    pub(crate) async fn land(&self) {
        let _one_at_a_time = self.landing.lock().await;
        while let Some(Late { due, mut request }) = self.faults.next_due(self.clock.now()) {
            request.extensions_mut().insert(At(due));
            let (scope, input) = read(&request);
            let outcome = self.rules.call(request).await;
            let call = self.describe(scope.as_ref(), &input, &outcome, Some("late"));
            self.faults.state().calls.push(Call { landed: true, ..call });
        }
    }

    async fn answer(&self, mut request: Request) -> Result<Response, Cut> {
        self.land().await;
        let (scope, input) = read(&request);
        let (expired, effect) = self.faults.decide(scope.as_ref(), &input);
        let service = scope.as_ref().and_then(|scope| Service::named(&scope.service)).unwrap_or(Service::Ec2);
        let refuse = |refusal: Refusal| Ok(refusal.reply(service, &self.rules.next_request_id()));
        let name = if expired { Some("expired") } else { effect.as_ref().map(Effect::name) };
        // What the caller sees, and how long it waits for it.
        let (outcome, wait) = match effect {
            _ if expired => (refuse(Refusal::expired(service)), 0),
            None | Some(Effect::Expire) => (self.rules.call(request).await, 0),
            Some(Effect::Throttle) => (refuse(Refusal::throttled(service)), 0),
            Some(Effect::Deny) => (refuse(Refusal::denied(service, &input.action)), 0),
            Some(Effect::Error { status, code, message, when }) => {
                if when == When::After {
                    let _ = self.rules.call(request).await;
                }
                let message = message.unwrap_or_else(|| "An error of the plan".to_owned());
                (refuse(Refusal::new(code, message).with_status(status)), 0)
            }
            Some(Effect::Refuse) => (Err(Cut::Refused), 0),
            Some(Effect::RequestLost { wait_ms }) => (Err(Cut::NoReply), wait_ms),
            Some(Effect::ReplyLost { wait_ms }) => {
                let _ = self.rules.call(request).await;
                (Err(Cut::NoReply), wait_ms)
            }
            Some(Effect::Late { delay_ms, wait_ms }) => {
                let due = self.clock.now().plus(Duration::from_millis(delay_ms));
                self.faults.state().late.push(Late { due, request });
                (Err(Cut::NoReply), wait_ms)
            }
            Some(Effect::Slow { ms }) => (self.rules.call(request).await, ms),
            Some(Effect::Lag { ms }) => {
                let then = self.clock.now().minus(Duration::from_millis(ms));
                request.extensions_mut().insert(AsOf(then));
                (self.rules.call(request).await, 0)
            }
        };
        let call = self.describe(scope.as_ref(), &input, &outcome, name);
        self.faults.state().calls.push(call);
        if wait > 0 {
            self.clock.wait_until(self.clock.now().plus(Duration::from_millis(wait))).await;
        }
        outcome
    }

    fn describe(
        &self,
        scope: Option<&Scope>,
        input: &Input,
        outcome: &Result<Response, Cut>,
        fault: Option<&'static str>,
    ) -> Call {
        let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
        let failed = outcome.as_ref().ok().filter(|response| !response.status().is_success());
        Call {
            seq: 0,
            at_ms: self.clock.now().millis(),
            service: scope.map(|scope| scope.service.clone()).unwrap_or_default(),
            action: input.action.clone(),
            write: is_write(&input.action),
            status,
            code: failed.and_then(Refusal::code_in),
            fault: fault.map(str::to_owned),
            landed: false,
        }
    }
}

fn read(request: &Request) -> (Option<Scope>, Input) {
    let scope = Scope::of(request);
    let service = scope.as_ref().and_then(|scope| Service::named(&scope.service));
    (scope, Input::read(request, service))
}

impl Endpoint for FaultLayer {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Cut>> {
        self.answer(request).boxed()
    }
}
