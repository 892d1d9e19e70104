//! The layer itself: takes a call, asks the plan, and does what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Effect, Faults, Late, When};
use crate::calls::Call;
use crate::clock::Clock;
use crate::endpoint::{AsOf, At, Cut, Endpoint, Request, Response, Scope, Stick, Touched};
use crate::input::Input;
use crate::refusal::Refusal;
use crate::rules::{Rules, is_write};
use crate::service::Service;

/// See the module.
pub(crate) struct FaultLayer {
    faults: Faults,
    /// What is called.
    inner: Arc<dyn Endpoint>,
    /// The same, where it is the sandbox's own.
    rules: Option<Arc<Rules>>,
    clock: Clock,
    /// Held while late effects land, so that they land in order.
    landing: tokio::sync::Mutex<()>,
    /// Counts the refusals that are not of the rules.
    requests: AtomicU64,
}

impl FaultLayer {
    /// In front of the sandbox's own rules.
    pub(crate) fn new(faults: Faults, rules: Arc<Rules>, clock: Clock) -> Self {
        let inner = Arc::clone(&rules) as Arc<dyn Endpoint>;
        Self { rules: Some(rules), ..Self::in_front_of(inner, faults, clock) }
    }

    /// In front of any service. Effects that need the rules are answered with an error that says so.
    pub(crate) fn in_front_of(inner: Arc<dyn Endpoint>, faults: Faults, clock: Clock) -> Self {
        Self { faults, inner, rules: None, clock, landing: tokio::sync::Mutex::default(), requests: AtomicU64::new(0) }
    }

    /// Lets go what is stuck, where the plan that stuck it is gone.
    pub(crate) async fn let_go(&self) {
        if self.faults.take_let_go()
            && let Some(rules) = &self.rules
        {
            rules.unstick().await;
        }
    }

    /// Applies the late effects whose time has come.
    pub(crate) async fn land(&self) {
        let _one_at_a_time = self.landing.lock().await;
        self.let_go().await;
        while let Some(Late { due, mut request }) = self.faults.next_due(self.clock.now()) {
            request.extensions_mut().insert(At(due));
            let (scope, input) = read(&request);
            let outcome = self.inner.call(request).await;
            let call = self.describe(scope.as_ref(), &input, &outcome, Some("late"));
            self.faults.state().calls.push(Call { landed: true, ..call });
        }
    }

    async fn answer(&self, mut request: Request) -> Result<Response, Cut> {
        self.land().await;
        let is_head = request.method() == http::Method::HEAD;
        let (scope, input) = read(&request);
        let (expired, effect) = self.faults.decide(scope.as_ref(), &input);
        let service = scope.as_ref().and_then(|scope| Service::named(&scope.service)).unwrap_or(Service::Ec2);
        let refuse = |refusal: Refusal| Ok(refusal.reply(service, &self.next_request_id()));
        let name = if expired { Some("expired") } else { effect.as_ref().map(Effect::name) };
        let mut meddled = None;
        // What the caller sees, and how long it waits for it.
        let (mut outcome, wait) = match effect {
            _ if expired => (refuse(Refusal::expired(service)), 0),
            None | Some(Effect::Expire) => (self.inner.call(request).await, 0),
            Some(Effect::Throttle) => (refuse(Refusal::throttled(service)), 0),
            Some(Effect::Deny) => (refuse(Refusal::denied(service, &input.action)), 0),
            Some(Effect::Error { status, code, message, when }) => {
                if when == When::After {
                    let _ = self.inner.call(request).await;
                }
                let message = message.unwrap_or_else(|| "An error of the plan".to_owned());
                (refuse(Refusal::new(code, message).with_status(status)), 0)
            }
            Some(Effect::Refuse) => (Err(Cut::Refused), 0),
            Some(Effect::RequestLost { wait_ms }) => (Err(Cut::NoReply), wait_ms),
            Some(Effect::ReplyLost { wait_ms }) => {
                let _ = self.inner.call(request).await;
                (Err(Cut::NoReply), wait_ms)
            }
            Some(Effect::Late { delay_ms, wait_ms }) => {
                let due = self.clock.now().plus(Duration::from_millis(delay_ms));
                self.faults.state().late.push(Late { due, request });
                (Err(Cut::NoReply), wait_ms)
            }
            Some(Effect::Slow { ms }) => (self.inner.call(request).await, ms),
            Some(effect @ (Effect::Lag { .. } | Effect::Stuck | Effect::Meddle { .. })) => match &self.rules {
                None => (refuse(needs_rules(&effect)), 0),
                Some(rules) => {
                    match effect {
                        Effect::Lag { ms } => {
                            let then = self.clock.now().minus(Duration::from_millis(ms));
                            request.extensions_mut().insert(AsOf(then));
                        }
                        Effect::Meddle { how } => meddled = rules.meddle_before(scope.as_ref(), &input, how).await,
                        _ => {
                            request.extensions_mut().insert(Stick);
                        }
                    }
                    (rules.call(request).await, 0)
                }
            },
        };
        let mut call = self.describe(scope.as_ref(), &input, &outcome, name);
        call.touched.extend(meddled);
        // A reply to HEAD has no body, so the caller of S3 does not see the code in it.
        if let Some(response) = outcome.as_mut().ok().filter(|_| is_head) {
            *response.body_mut() = bytes::Bytes::new();
        }
        self.faults.state().calls.push(call);
        if wait > 0 {
            self.clock.wait_until(self.clock.now().plus(Duration::from_millis(wait))).await;
        }
        outcome
    }

    fn next_request_id(&self) -> String {
        self.rules.as_ref().map_or_else(
            || format!("5b0c5b0c-0000-4000-9000-{:012x}", self.requests.fetch_add(1, Ordering::Relaxed) + 1),
            |rules| rules.next_request_id(),
        )
    }

    fn describe(
        &self,
        scope: Option<&Scope>,
        input: &Input,
        outcome: &Result<Response, Cut>,
        fault: Option<&'static str>,
    ) -> Call {
        let response = outcome.as_ref().ok();
        let failed = response.filter(|response| !response.status().is_success());
        let touched = response.and_then(|response| response.extensions().get::<Touched>()).cloned();
        Call {
            seq: 0,
            at_ms: self.clock.now().millis(),
            service: scope.map(|scope| scope.service.clone()).unwrap_or_default(),
            action: input.action.clone(),
            write: is_write(&input.action),
            status: response.map(|response| response.status().as_u16()),
            code: failed.and_then(Refusal::code_in),
            fault: fault.map(str::to_owned),
            touched: touched.unwrap_or_default().0,
            landed: false,
        }
    }
}

fn needs_rules(effect: &Effect) -> Refusal {
    let message = format!("The fault `{}` cannot be had here: it needs the rules of the sandbox", effect.name());
    Refusal::new("NotImplemented", message).with_status(501)
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
