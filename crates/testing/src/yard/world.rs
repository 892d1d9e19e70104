//! The yard as a world of the rehearsal: each call passes the tap and meets what goes wrong with it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchback_engine::Cx;
use switchback_engine::cx::Contexts;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{CallLog, Identity, Provider};
use switchback_model::record::{Called, Leftover};
use switchback_model::{ErrorClass, OpError, OpResult, RunId};
use switchback_rehearsal::world::{Call, Fault, Look, Owner, Reply, Saved, Tap, Turn, World, rename};
use tokio::time::Instant;

use super::api::{Ask, Everything, Kind, LATE, Now, Phase, Request, Thing, Things, read};

/// The yard. Clones share it.
#[derive(Clone)]
pub struct Yard(Arc<Inner>);

struct Inner {
    /// The run that is rehearsed: what it makes is ours.
    run: RunId,
    state: Mutex<State>,
    tap: Mutex<Option<Arc<dyn Tap>>>,
}

struct State {
    all: Everything,
    /// The yard's time at that instant.
    clock: (Now, Instant),
    expired: bool,
    seen: Option<(Arc<Things>, Arc<Look>)>,
}

impl State {
    fn now(&self) -> Now {
        self.clock.0 + self.clock.1.elapsed()
    }

    /// Everything as it is now, and the time.
    fn pass(&mut self) -> (Now, &mut Everything) {
        let now = self.now();
        self.all.pass(now);
        (now, &mut self.all)
    }
}

/// The yard as it was, and when.
struct Then(Now, Everything);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Yard {
    /// A yard with these dials in it, each turned to `3`. What `run` makes is ours.
    #[must_use]
    pub fn new(run: RunId, dials: &[&str]) -> Self {
        let mut things = Things::new();
        for name in dials {
            let mut dial = Thing { id: (*name).to_owned(), value: "3".to_owned(), ..Thing::new(Kind::Dial, name) };
            dial.truth.theirs.clone_from(&dial.value);
            things.insert(dial.id.clone(), dial);
        }
        let mut all = Everything::default();
        all.things = Arc::new(things);
        let state = State { all, clock: (Now::ZERO, Instant::now()), expired: false, seen: None };
        Self(Arc::new(Inner { run, state: Mutex::new(state), tap: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// One call on behalf of a step.
    ///
    /// # Errors
    /// As the yard, or what goes wrong, says.
    pub async fn call(&self, cx: &Cx, ask: Ask) -> OpResult<Vec<Thing>> {
        if ask.writes() {
            cx.check_fence()?;
        }
        let request = Request { run: cx.run(), step: Some(cx.step().as_tag_value()), ask };
        self.send(request, &|call| cx.called(call)).await
    }

    async fn send(&self, request: Request, log: &(dyn Fn(Called) + Sync)) -> OpResult<Vec<Thing>> {
        let call = describe(&request);
        let tap = lock(&self.0.tap).clone();
        let turn = tap.as_ref().map_or(Turn::Go, |tap| tap.before(&call, &|| self.in_flight(&request)));
        let fault = match turn {
            Turn::Never => return std::future::pending().await,
            Turn::Fault(fault) => Some(fault),
            Turn::Go => None,
        };
        if fault == Some(Fault::Slow) {
            tokio::time::sleep(LATE).await;
        }
        let (answer, reply) = self.answer(&request, &call, fault);
        if !tap.is_none_or(|tap| tap.after(&call, &reply)) {
            return std::future::pending().await;
        }
        log(Called {
            service: call.service,
            operation: call.action,
            request_id: None,
            status: reply.status,
            code: reply.code,
            attempt: 1,
            duration_ms: 0,
        });
        // The request left at once; the reply takes its time, in which others go on.
        tokio::task::yield_now().await;
        answer
    }

    /// One read for the run as a whole. Nobody tries these again but who makes them.
    async fn ask(&self, run: RunId, ask: Ask, calls: &CallLog) -> OpResult<Vec<Thing>> {
        let request = Request { run, step: None, ask };
        let answer = self.send(request.clone(), &**calls).await;
        match answer {
            Err(error) if error.class == ErrorClass::Transient => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                self.send(request, &**calls).await
            }
            answer => answer,
        }
    }

    /// What the caller sees, and what passed on the wire.
    fn answer(&self, request: &Request, call: &Call, fault: Option<Fault>) -> (OpResult<Vec<Thing>>, Reply) {
        let mut state = self.state();
        let state = &mut *state;
        state.expired |= fault == Some(Fault::Expired);
        if state.expired {
            let error = OpError::new(ErrorClass::Unavailable, "the credentials are expired");
            return replied(Err(error.with_code("Expired")));
        }
        if fault == Some(Fault::Denied) {
            return replied(Err(OpError::permanent(format!("{call} is not allowed")).with_code("Denied")));
        }
        let (now, all) = state.pass();
        // A read that fails has done nothing.
        let doubt = if call.write { ErrorClass::Ambiguous } else { ErrorClass::Transient };
        let lost = |class, message: &str| (Err(OpError::new(class, message)), Reply::default());
        let failed = || replied(Err(OpError::new(doubt, "an internal error").with_code("Internal")));
        match fault {
            Some(Fault::Throttled) => {
                replied(Err(OpError::new(ErrorClass::Transient, "too many calls").with_code("Throttled")))
            }
            Some(Fault::Refused) => lost(ErrorClass::Transient, "the connection was refused"),
            Some(Fault::ErrorBefore) => failed(),
            Some(Fault::Reset) => lost(doubt, "the connection was cut"),
            Some(Fault::LandsLate) => {
                all.late.push((now + LATE, request.clone()));
                lost(doubt, "no reply came")
            }
            Some(Fault::Lags) => replied(Ok(read(&all.a_while_ago(now), &request.ask))),
            _ => {
                if let Some(meddler) = fault.filter(|fault| fault.meddles())
                    && let Some(id) = about(&all.things, request)
                {
                    all.meddle(&id, meddler == Fault::Deleted, now);
                }
                let answer = all.effect(request, now);
                match (fault, &answer) {
                    (Some(Fault::Stuck), Ok(things)) => {
                        for thing in things {
                            all.stick(&thing.id, now);
                        }
                    }
                    (Some(Fault::ErrorAfter), _) => return failed(),
                    (Some(Fault::ReplyLost), _) => return lost(doubt, "no reply came"),
                    _ => {}
                }
                replied(answer)
            }
        }
    }

    fn in_flight(&self, request: &Request) -> Option<Saved> {
        let Then(now, mut all) = self.then();
        all.late.push((now + LATE, request.clone()));
        Some(Arc::new(Then(now, all)))
    }

    fn then(&self) -> Then {
        let mut state = self.state();
        let (now, all) = state.pass();
        Then(now, all.clone())
    }
}

fn replied(answer: OpResult<Vec<Thing>>) -> (OpResult<Vec<Thing>>, Reply) {
    let reply = match &answer {
        Ok(_) => Reply { status: Some(200), code: None },
        Err(error) if error.code.as_deref() == Some("Internal") => {
            Reply { status: Some(500), code: error.code.clone() }
        }
        Err(error) => Reply { status: Some(400), code: error.code.clone() },
    };
    (answer, reply)
}

fn describe(request: &Request) -> Call {
    let mut asks = DefaultHasher::new();
    request.ask.hash(&mut asks);
    Call {
        service: "yard".to_owned(),
        action: request.ask.action(),
        write: request.ask.writes(),
        step: request.step.clone(),
        asks: asks.finish(),
    }
}

/// The thing that a call is about: the one that it names, or else the one that its step made or is to turn.
fn about(things: &Things, request: &Request) -> Option<String> {
    if let Some(named) = request.ask.names() {
        return things.contains_key(named).then(|| named.to_owned());
    }
    let Ask::Get(kind) = &request.ask else { return None };
    let step = request.step.as_ref()?;
    let made = things.values().find(|thing| {
        thing.kind == *kind && thing.truth.by.as_ref().is_some_and(|(run, by)| *run == request.run && by == step)
    });
    // A dial that no run has turned yet.
    let dial = || things.values().find(|thing| *kind == Kind::Dial && thing.truth.by.is_none());
    made.or_else(dial).map(|thing| thing.id.clone())
}

impl World for Yard {
    fn contexts(&self) -> Contexts {
        Contexts::new().with(self.clone())
    }

    fn providers(&self, _begins: bool) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(self.clone())]
    }

    fn tap(&self, tap: Option<Arc<dyn Tap>>) {
        *lock(&self.0.tap) = tap;
    }

    fn save(&self) -> Option<Saved> {
        Some(Arc::new(self.then()))
    }

    fn load<'a>(&'a self, saved: &'a Saved) -> BoxFuture<'a, ()> {
        Box::pin(async {
            if let Some(Then(now, all)) = saved.downcast_ref::<Then>() {
                let mut state = self.state();
                state.all = all.clone();
                state.clock = (*now, Instant::now());
                state.expired = false;
            }
        })
    }

    fn look(&self) -> Option<Arc<Look>> {
        let mut state = self.state();
        state.pass();
        let State { all, seen, .. } = &mut *state;
        if seen.as_ref().is_none_or(|(things, _)| !Arc::ptr_eq(things, &all.things)) {
            *seen = Some((all.things.clone(), Arc::new(look(all, self.0.run))));
        }
        let (_, look) = seen.as_mut()?;
        let unsettled = unsettled(all, &look.ids);
        if unsettled != look.unsettled {
            *look = Arc::new(Look { unsettled, ..(**look).clone() });
        }
        Some(look.clone())
    }

    fn knows(&self, fault: Fault, call: &Call) -> bool {
        match fault {
            // Nothing else has a state to wait for.
            Fault::Stuck => call.action.ends_with("Shelf"),
            // A dial is turned, never taken away.
            Fault::Deleted => !call.action.ends_with("Dial"),
            _ => true,
        }
    }

    fn mend(&self) {
        let mut state = self.state();
        state.expired = false;
        let (now, all) = state.pass();
        all.mend(now);
        all.pass(now);
    }
}

fn look(everything: &Everything, run: RunId) -> Look {
    let things = &*everything.things;
    let ours = |thing: &Thing| thing.truth.by.as_ref().is_some_and(|(by, _)| *by == run);
    let called = |thing: &Thing| {
        let whose = if ours(thing) { "our " } else { "" };
        format!("‹{whose}{:?} {}›", thing.kind, thing.name).to_lowercase()
    };
    let made_up = |thing: &&Thing| matches!(thing.kind, Kind::Shelf | Kind::Chest);
    let ids: HashMap<String, String> =
        things.values().filter(made_up).map(|thing| (thing.id.clone(), called(thing))).collect();
    let mut all: Vec<_> = everything
        .lost
        .iter()
        .map(|(id, step)| switchback_rehearsal::world::Thing {
            name: format!("‹{id}›"),
            text: "it was overwritten or removed after somebody else had changed it".to_owned(),
            owner: Owner::Foreign,
            step: Some(step.clone()),
            residue: false,
        })
        .collect();
    for thing in things.values() {
        let owner = if ours(thing) { Owner::Ours } else { Owner::Foreign };
        let step = thing.truth.by.as_ref().filter(|_| ours(thing)).map(|(_, step)| step.clone());
        let name = called(thing);
        // A dial that stands where others left it, or a sign of theirs, is as if nobody had been there.
        let theirs = match thing.kind {
            Kind::Dial => thing.value == thing.truth.theirs,
            Kind::Sign => thing.truth.by.is_none(),
            _ => false,
        };
        if theirs {
            continue;
        }
        all.push(switchback_rehearsal::world::Thing { name, text: text(thing, &ids), owner, step, residue: false });
    }
    all.sort();
    Look { things: all.into_iter().map(Arc::new).collect(), unsettled: Vec::new(), ids }
}

/// Everything that is worth comparing.
fn text(thing: &Thing, ids: &HashMap<String, String>) -> String {
    let mut text = format!("value={:?} width={} notes={} ", thing.value, thing.width, thing.notes.len());
    for on in &thing.on {
        text.push_str("on=");
        rename(on, ids, &mut text);
        text.push(' ');
    }
    for (name, value) in thing.tags.iter().filter(|(name, _)| !name.starts_with("switchback:") && *name != "by") {
        let _ = write!(text, "{name}={value:?} ");
    }
    match thing.phase {
        Phase::Ready => {}
        Phase::Pending(_) => text.push_str("pending"),
        Phase::Ending(_) => text.push_str("ending"),
    }
    text
}

/// What passes by itself.
fn unsettled(all: &Everything, ids: &HashMap<String, String>) -> Vec<String> {
    let mut out = Vec::new();
    for thing in all.things.values() {
        let what = match thing.phase {
            Phase::Pending(Some(_)) => "pending",
            Phase::Ending(Some(_)) => "ending",
            _ => continue,
        };
        let mut text = format!("{what} ");
        rename(&thing.id, ids, &mut text);
        out.push(text);
    }
    for (_, request) in &all.late {
        let mut text = format!("late yard:{} ", request.ask.action());
        rename(request.ask.names().unwrap_or_default(), ids, &mut text);
        out.push(text);
    }
    out.sort();
    out
}

impl Provider for Yard {
    fn name(&self) -> &str {
        "yard"
    }

    fn preflight(&self, calls: CallLog) -> BoxFuture<'_, OpResult<Identity>> {
        Box::pin(async move {
            self.ask(self.0.run, Ask::WhoAmI, &calls).await?;
            Ok(Identity { caller: "a yard hand".to_owned() })
        })
    }

    fn sweep(&self, run: RunId, calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        Box::pin(async move {
            let things = self.ask(run, Ask::GetTagged, &calls).await?;
            let run = run.to_string();
            let left = things.into_iter().filter(|t| !t.is_ending() && t.tags.get("switchback:run") == Some(&run));
            let leftover = |thing: Thing| {
                let tag = |name: &str| thing.tags.get(name).cloned().unwrap_or_default();
                Leftover {
                    resource_type: format!("{:?}", thing.kind).to_lowercase(),
                    step: tag("switchback:step"),
                    generation: tag("switchback:generation").parse().unwrap_or(0),
                    id: thing.id.clone(),
                    target: None,
                }
            };
            Ok(left.map(leftover).collect())
        })
    }
}
