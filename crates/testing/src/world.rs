//! A world in memory: slots that hold things, an API that changes them, and faults in front of
//! it. It knows the truth about who made what, which operations do not.
//!
//! Time is tokio's: late effects and lagging reads end by themselves when the clock moves on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What goes wrong with one write call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A throttling reply: no effect.
    Throttled,
    /// The reply is lost, the effect happened.
    LostAfter,
    /// The request is lost: no effect.
    LostBefore,
    /// The reply is lost, the effect comes later.
    Late,
    /// As `Late`, after the caller has waited for a reply for a long time.
    SlowLate,
    /// It works, and reads of it lag behind.
    Lag,
    /// Refused: no effect.
    Denied,
    /// Credentials are expired: no effect.
    Expired,
    /// The process dies; the effect never happens.
    CrashBefore,
    /// The process dies; the effect happened.
    CrashAfter,
    /// The process dies; the effect comes later.
    CrashLate,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 11] = [
        Self::Throttled,
        Self::LostAfter,
        Self::LostBefore,
        Self::Late,
        Self::SlowLate,
        Self::Lag,
        Self::Denied,
        Self::Expired,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashLate,
    ];

    /// Whether the process dies of it.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::CrashLate)
    }
}

/// How long a late effect is late, and a lagging read lags. Shorter than [`QUIET`].
pub const LATE: Duration = Duration::from_secs(7);
/// The quiet period of this world.
pub const QUIET: Duration = Duration::from_secs(10);

/// A thing in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// Its id; for values, empty.
    pub id: String,
    /// The mark that the create call set (run/step/generation), where the kind has marks.
    pub mark: Option<String>,
    /// What it says. For values, who made an equal one cannot be told apart by it.
    pub value: String,
    /// How many settle calls have been made.
    pub settled: u32,
    /// The slots that it hangs on.
    pub uses: Vec<String>,
    /// The truth, for checks: made by the run under test.
    pub ours: bool,
}

/// A change of one slot.
#[derive(Debug, Clone)]
pub enum Write {
    /// Adds a thing; with a token, a replay finds the first one.
    Add {
        /// The thing, without an id.
        thing: Thing,
        /// The client token.
        token: Option<String>,
        /// There can be one only; its id is the slot's name.
        exclusive: bool,
    },
    /// Replaces the value.
    Put(Thing),
    /// One settle call on the thing of that id.
    Settle {
        /// Of which thing.
        id: String,
        /// Which settle call it is, from 1.
        level: u32,
    },
    /// Removes the thing of that id.
    Remove {
        /// Of which thing.
        id: String,
    },
    /// A colleague at work.
    Foreign(Foreign),
}

/// What a colleague does to a slot.
#[derive(Debug, Clone)]
pub enum Foreign {
    /// Puts a thing there.
    Add(&'static str),
    /// Changes what is there.
    Change(&'static str),
    /// Removes everything.
    Clear,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Slot {
    things: Vec<Thing>,
    tokens: BTreeMap<String, String>,
    /// What was there before the last change.
    previous: Vec<Thing>,
    /// What reads see until then.
    lag: Option<(Instant, Vec<Thing>)>,
}

/// Everything that exists. Cloned for snapshots.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Everything {
    slots: BTreeMap<String, Slot>,
    next_id: u64,
}

struct State {
    all: Everything,
    late: Vec<(Instant, String, Write)>,
    faults: BTreeMap<usize, Fault>,
    calls: usize,
    crashed: bool,
    expired: bool,
    /// What must never happen, seen while it happened.
    sins: Vec<String>,
    on_send: Option<OnSend>,
}

/// Sees every write call as it is sent, and says what is wrong with it.
pub type OnSend = Box<dyn Fn(&str, &Write) -> Option<String> + Send>;

/// The world. Clones share it.
#[derive(Clone)]
pub struct World {
    state: Arc<Mutex<State>>,
    crash: Arc<Notify>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                all: Everything::default(),
                late: Vec::new(),
                faults: BTreeMap::new(),
                calls: 0,
                crashed: false,
                expired: false,
                sins: Vec::new(),
                on_send: None,
            })),
            crash: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The write call of each number (from 0, counted over the world's life) gets this fault.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = (usize, Fault)>) {
        self.state().faults = faults.into_iter().collect();
    }

    /// Every write call is shown to this as it is sent; what it says is a sin.
    pub fn on_send(&self, check: OnSend) {
        self.state().on_send = Some(check);
    }

    /// Write calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// What must never happen and did: a foreign thing was touched.
    #[must_use]
    pub fn sins(&self) -> Vec<String> {
        self.state().sins.clone()
    }

    /// Resolves when the process dies of a fault.
    pub async fn crashed(&self) {
        loop {
            let notified = self.crash.notified();
            if std::mem::take(&mut self.state().crashed) {
                return;
            }
            notified.await;
        }
    }

    /// Credentials are renewed.
    pub fn renew_credentials(&self) {
        self.state().expired = false;
    }

    /// A copy of everything that exists now, late effects included or not as they are due.
    #[must_use]
    pub fn everything(&self) -> Everything {
        let mut state = self.state();
        land(&mut state, Instant::now());
        state.all.clone()
    }

    /// Puts everything back as it was.
    pub fn restore(&self, all: Everything) {
        let mut state = self.state();
        state.all = all;
        state.late.clear();
    }

    /// Everything that exists, modulo ids, marks and tokens; comparable between runs.
    #[must_use]
    pub fn picture(&self) -> BTreeMap<String, Vec<(bool, String, u32)>> {
        let all = self.everything();
        all.slots
            .iter()
            .filter(|(_, s)| !s.things.is_empty())
            .map(|(name, s)| {
                let mut things: Vec<_> = s.things.iter().map(|t| (t.ours, t.value.clone(), t.settled)).collect();
                things.sort();
                (name.clone(), things)
            })
            .collect()
    }

    /// A colleague does this, now.
    pub fn foreign(&self, slot: &str, act: Foreign) {
        // A colleague is never refused.
        let _ = apply(&mut self.state(), slot, &Write::Foreign(act));
    }

    /// A colleague does this, after that time.
    pub fn foreign_later(&self, after: Duration, slot: &str, act: Foreign) {
        self.state().late.push((Instant::now() + after, slot.to_owned(), Write::Foreign(act)));
    }

    /// Reads of the slot show what was there before its last change, for a while.
    pub fn lag(&self, slot: &str) {
        let mut state = self.state();
        if let Some(slot) = state.all.slots.get_mut(slot) {
            slot.lag = Some((Instant::now() + LATE, slot.previous.clone()));
        }
    }

    /// What is really there, for a test that plays the person who knows.
    #[must_use]
    pub fn truth(&self, slot: &str) -> Vec<Thing> {
        let mut state = self.state();
        land(&mut state, Instant::now());
        state.all.slots.get(slot).map(|s| s.things.clone()).unwrap_or_default()
    }

    /// Reads a slot, as an API would: perhaps behind the times.
    ///
    /// # Errors
    /// Class `Unavailable` while credentials are expired.
    pub async fn read(&self, slot: &str) -> OpResult<Vec<Thing>> {
        // A call is I/O: whoever calls gives way to the others.
        tokio::task::yield_now().await;
        let now = Instant::now();
        let mut state = self.state();
        if state.expired {
            return Err(expired());
        }
        land(&mut state, now);
        let Some(slot) = state.all.slots.get(slot) else { return Ok(Vec::new()) };
        Ok(match &slot.lag {
            Some((until, old)) if now < *until => old.clone(),
            _ => slot.things.clone(),
        })
    }

    /// One write call, with its fault.
    ///
    /// # Errors
    /// As the fault, or the world, says.
    pub async fn write(&self, slot: &str, write: Write) -> OpResult<Option<String>> {
        // The request leaves at once: an intent that is not durable by now comes too late. The
        // reply takes its time.
        let result = self.send(slot, write).await;
        tokio::task::yield_now().await;
        result
    }

    async fn send(&self, slot: &str, write: Write) -> OpResult<Option<String>> {
        let now = Instant::now();
        let fault = {
            let mut state = self.state();
            if state.expired {
                return Err(expired());
            }
            land(&mut state, now);
            if let Some(sin) = state.on_send.as_ref().and_then(|check| check(slot, &write)) {
                state.sins.push(sin);
            }
            let n = state.calls;
            state.calls += 1;
            state.faults.remove(&n)
        };
        let lost = || OpError::new(ErrorClass::Ambiguous, "the reply was lost");
        match fault {
            None => self.effect(slot, &write, None),
            Some(Fault::Lag) => self.effect(slot, &write, Some(now + LATE)),
            Some(Fault::Throttled) => {
                Err(OpError::new(ErrorClass::Transient, "slow down").with_code("RequestLimitExceeded"))
            }
            Some(Fault::Denied) => Err(OpError::permanent("not allowed").with_code("UnauthorizedOperation")),
            Some(Fault::Expired) => {
                self.state().expired = true;
                Err(expired())
            }
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::LostAfter) => {
                // What the API would have answered is lost with the reply.
                let _ = self.effect(slot, &write, None);
                Err(lost())
            }
            Some(Fault::SlowLate) => {
                tokio::time::sleep(QUIET * 5).await;
                self.state().late.push((Instant::now() + LATE, slot.to_owned(), write));
                Err(lost())
            }
            Some(Fault::Late) => {
                self.state().late.push((now + LATE, slot.to_owned(), write));
                Err(lost())
            }
            Some(crash @ (Fault::CrashBefore | Fault::CrashAfter | Fault::CrashLate)) => {
                match crash {
                    Fault::CrashAfter => {
                        let _ = self.effect(slot, &write, None);
                    }
                    Fault::CrashLate => self.state().late.push((now + LATE, slot.to_owned(), write)),
                    _ => {}
                }
                self.state().crashed = true;
                self.crash.notify_one();
                std::future::pending().await
            }
        }
    }

    fn effect(&self, slot: &str, write: &Write, lag: Option<Instant>) -> OpResult<Option<String>> {
        let mut state = self.state();
        let old = state.all.slots.get(slot).map(|s| s.things.clone()).unwrap_or_default();
        let result = apply(&mut state, slot, write);
        if result.is_ok()
            && let Some(slot) = state.all.slots.get_mut(slot)
        {
            slot.previous.clone_from(&old);
            slot.lag = lag.map(|until| (until, old));
        }
        result
    }
}

fn expired() -> OpError {
    OpError::new(ErrorClass::Unavailable, "the credentials are expired").with_code("ExpiredToken")
}

fn fresh_id(all: &mut Everything) -> String {
    all.next_id += 1;
    format!("id-{}", all.next_id)
}

/// Late effects that are due reach the world.
fn land(state: &mut State, now: Instant) {
    let (mut due, rest): (Vec<_>, Vec<_>) =
        std::mem::take(&mut state.late).into_iter().partition(|(at, ..)| *at <= now);
    state.late = rest;
    due.sort_by_key(|(at, ..)| *at);
    for (_, slot, write) in due {
        // Nobody hears the answer.
        let _ = apply(state, &slot, &write);
    }
}

fn apply(state: &mut State, name: &str, write: &Write) -> OpResult<Option<String>> {
    match write {
        Write::Add { thing, token, exclusive } => {
            let used = |slot: &String| state.all.slots.get(slot).is_some_and(|s| !s.things.is_empty());
            if let Some(missing) = thing.uses.iter().find(|u| !used(u)) {
                return Err(OpError::new(ErrorClass::Permanent, format!("`{missing}` is not there")));
            }
            let id = if *exclusive { name.to_owned() } else { fresh_id(&mut state.all) };
            let slot = state.all.slots.entry(name.to_owned()).or_default();
            if let Some(token) = token {
                if let Some(id) = slot.tokens.get(token) {
                    return Ok(Some(id.clone()));
                }
                slot.tokens.insert(token.clone(), id.clone());
            }
            if *exclusive && !slot.things.is_empty() {
                return Err(OpError::new(ErrorClass::AlreadyExists, format!("`{name}` exists")));
            }
            slot.things.push(Thing { id: id.clone(), ..thing.clone() });
            Ok(Some(id))
        }
        Write::Put(thing) => {
            let id = fresh_id(&mut state.all);
            let slot = state.all.slots.entry(name.to_owned()).or_default();
            let base = |t: &Thing| t.value.starts_with("base");
            if slot.things.iter().any(|t| !t.ours && !base(t)) {
                state.sins.push(format!("`{name}`: a value of somebody else was overwritten"));
            }
            slot.things = vec![Thing { id: id.clone(), ..thing.clone() }];
            Ok(Some(id))
        }
        Write::Settle { id, level } => {
            let Some(thing) = state.all.slots.get_mut(name).and_then(|s| s.things.iter_mut().find(|t| t.id == *id))
            else {
                return Err(OpError::new(ErrorClass::Busy, format!("`{id}` is not there")));
            };
            thing.settled = thing.settled.max(*level);
            if !thing.ours {
                state.sins.push(format!("`{name}`: a thing of somebody else was settled"));
            }
            Ok(None)
        }
        Write::Foreign(act) => {
            let slot = state.all.slots.entry(name.to_owned()).or_default();
            slot.lag = None;
            match act {
                Foreign::Add(value) => slot.things.push(Thing {
                    id: name.to_owned(),
                    mark: None,
                    value: (*value).to_owned(),
                    settled: 0,
                    uses: Vec::new(),
                    ours: false,
                }),
                Foreign::Change(value) => {
                    for thing in &mut slot.things {
                        (*value).clone_into(&mut thing.value);
                        thing.ours = false;
                    }
                }
                Foreign::Clear => slot.things.clear(),
            }
            Ok(None)
        }
        Write::Remove { id } => {
            let held = state.all.slots.values().flat_map(|s| &s.things).any(|t| t.uses.iter().any(|u| u == name));
            let Some(slot) = state.all.slots.get_mut(name) else { return Ok(None) };
            let Some(at) = slot.things.iter().position(|t| t.id == *id) else { return Ok(None) };
            if held {
                return Err(OpError::new(ErrorClass::Busy, format!("`{name}` is in use")));
            }
            if !slot.things[at].ours {
                state.sins.push(format!("`{name}`: a thing of somebody else was removed"));
            }
            slot.things.remove(at);
            Ok(Some(id.clone()))
        }
    }
}
