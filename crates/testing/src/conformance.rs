//! The conformance harness: what every operation must bear, whatever it talks to.
//!
//! An operation comes as the last step of a small plan; the steps before it make what it needs.
//! First its methods are called one by one and the calls that they make are held against the
//! calls that they declare; then whole runs are made in which each call in turn fails, and each
//! reply in turn is lost, forward and back, and the world is compared.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use switchback_engine::Cx;
use switchback_engine::cx::{CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::history::Ended;
use switchback_engine::operation::{BoundOperation, BoxFuture, Expect, Found, Undo};
use switchback_model::event::Outcome;
use switchback_model::plan::Plan;
use switchback_model::record::{Called, Record, UnwindTarget};
use switchback_model::{ErrorClass, Generation, OpResult, StepId};
use tokio::time::Instant;

use crate::journal::Disk;
use crate::lab::lab_run;
use crate::rig::{Command, End, FixedClock, Goal, Rig, Stage};

/// A call that reached the target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// `ec2:CreateVpc`.
    pub name: String,
    /// Whether it can change anything.
    pub write: bool,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// A 5xx before the effect.
    ServerError,
    /// A throttling reply.
    Throttled,
    /// Not allowed.
    Denied,
    /// The effect happens, the reply is lost.
    ReplyLost,
    /// The reply is lost, the effect comes a little later (within the quiet period).
    LandsLate,
}

impl Injection {
    /// Every injection.
    pub const ALL: [Self; 5] = [Self::ServerError, Self::Throttled, Self::Denied, Self::ReplyLost, Self::LandsLate];
}

/// What operations are tested against.
pub trait Target: Stage {
    /// Everything that exists, comparable between runs: without ids that are made up anew.
    fn world(&self) -> BoxFuture<'_, Value>;
    /// A copy of everything.
    fn save(&self) -> BoxFuture<'_, Box<dyn Any + Send + Sync>>;
    /// Puts everything back; faults end.
    fn load<'a>(&'a self, saved: &'a (dyn Any + Send + Sync)) -> BoxFuture<'a, ()>;
    /// The calls since the last [`Target::forget_calls`].
    fn calls(&self) -> Vec<Seen>;
    /// Forgets the calls so far.
    fn forget_calls(&self);
    /// The call of that number from now (from 0) gets this.
    fn inject(&self, nth: usize, what: Injection);
    /// Faults end.
    fn clear(&self);
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Runs with something injected.
    pub runs: usize,
}

/// Longer than every quiet period, late effect and state change.
const DUST: Duration = Duration::from_secs(600);

struct Harness {
    rig: Rig,
    target: Arc<dyn Target>,
    /// The world before everything, and right before the operation.
    start: Value,
    before: Value,
    saved: Box<dyn Any + Send + Sync>,
    records: Vec<Arc<Record>>,
    step: usize,
    /// How a run goes back from here: to right before the operation. What it needs has cases of its own.
    back: (UnwindTarget, Goal),
}

/// Puts the last step of `rig`'s plan through everything.
///
/// # Panics
/// When the operation does not conform; the message says in which case.
pub async fn conform(rig: Rig, target: Arc<dyn Target>) -> Done {
    let harness = Harness::new(rig, target).await;
    harness.methods().await;
    harness.runs().await
}

impl Harness {
    async fn new(mut rig: Rig, target: Arc<dyn Target>) -> Self {
        let step = rig.plan.steps.len() - 1;
        let start = target.world().await;
        // One after another, so that stopping after the last but one has made all of them.
        let mut plan = Plan::clone(&rig.plan);
        for i in 1..plan.steps.len() {
            let before = plan.steps[i - 1].id.clone();
            if !plan.steps[i].needs.contains(&before) {
                plan.steps[i].needs.push(before);
            }
        }
        rig.plan = Arc::new(plan);
        if step > 0 {
            rig.to = Some(rig.plan.steps[step - 1].id.clone());
            let end = rig.execute(&Command::Apply, None).await;
            assert!(matches!(end, End::Outcome(Outcome::Reached { .. })), "what it needs cannot be made: {end:?}");
            rig.to = None;
        }
        let before = target.world().await;
        let saved = target.save().await;
        let records = rig.disk.records();
        let back = match step.checked_sub(1).map(|i| rig.plan.steps[i].id.to_string()) {
            None => (UnwindTarget::All, Goal::Unwound),
            // A goal is a constant elsewhere; here there is one for each case.
            Some(id) => (UnwindTarget::To(id.clone()), Goal::UnwoundTo(id.leak())),
        };
        Self { rig, target, start, before, saved, records, step, back }
    }

    fn id(&self) -> &StepId {
        &self.rig.plan.steps[self.step].id
    }

    /// The run and the world as they were right before the operation.
    async fn fresh(&self) -> Rig {
        self.target.clear();
        self.target.load(self.saved.as_ref()).await;
        self.target.forget_calls();
        Rig { disk: Disk::with_records(lab_run(), &self.records), ..self.rig.clone() }
    }

    /// The calls that a method made, of which `writes` must be exactly the declared ones.
    fn made(&self, method: &str, reads: &BTreeSet<String>, writes: &BTreeSet<String>) {
        let calls = self.target.calls();
        self.target.forget_calls();
        let read: BTreeSet<_> = calls.iter().filter(|c| !c.write).map(|c| c.name.clone()).collect();
        let written: BTreeSet<_> = calls.iter().filter(|c| c.write).map(|c| c.name.clone()).collect();
        assert!(read.is_subset(reads), "{method} reads with {read:?}, declared are {reads:?}");
        assert_eq!(&written, writes, "{method} writes with the left, declared is the right");
    }

    /// Each method, one by one and twice.
    async fn methods(&self) {
        let rig = self.fresh().await;
        let (bound, settles) = bind(&rig, self.step);
        let facts = bound.facts();
        let set = |calls: &[std::borrow::Cow<'static, str>]| calls.iter().map(ToString::to_string).collect();
        let (reads, none): (BTreeSet<String>, BTreeSet<String>) = (set(&facts.reads), BTreeSet::new());
        let cx = cx(&rig, self.id());

        let image = bound.capture(&cx).await.expect("capture");
        self.made("capture", &reads, &none);
        assert_eq!(self.target.world().await, self.before, "capture changed something");
        let absent = bound.find(&cx, &image).await.expect("find");
        assert!(matches!(absent, Found::Absent), "nothing was made, and find says {absent:?}");
        self.made("find", &reads, &none);

        // As the executor does: what is busy with something that was made a moment ago (a role) is tried again.
        let create = || async {
            match bound.create(&cx, &image).await {
                Err(e) if e.class == ErrorClass::Busy => {
                    self.target.forget_calls();
                    Ok(None)
                }
                made => made.map(Some),
            }
        };
        let output = cx.wait_for("creating", Duration::from_secs(1), create).await.expect("create");
        assert!(self.target.calls().iter().filter(|c| c.write).count() <= 1, "create is exactly one call");
        self.made("create", &reads, &set(&facts.creates));
        let found = bound.find(&cx, &image).await.expect("find");
        let adopted = match &found {
            Found::Ours { output: adopted, .. } => adopted,
            // Nothing is made before it settles.
            Found::Absent if facts.creates.is_empty() => &output,
            other => panic!("it was made, and find says {other:?}"),
        };
        self.made("find", &reads, &none);
        if facts.unique {
            let world = self.target.world().await;
            match bound.create(&cx, &image).await {
                Ok(again) => assert_eq!(again, output, "a second create made another"),
                Err(e) => assert_eq!(e.class, ErrorClass::AlreadyExists, "a second create: {e}"),
            }
            assert_eq!(self.target.world().await, world, "a second create changed something");
            self.target.forget_calls();
        }
        let mut output = output.clone();
        if settles {
            let settled = bound.settle(&cx, &image, &output).await.expect("settle");
            self.made("settle", &reads, &set(&facts.settles));
            let world = self.target.world().await;
            let again = bound.settle(&cx, &image, &settled).await.expect("settle again");
            assert_eq!(again, settled, "settle again returned something else");
            assert_eq!(self.target.world().await, world, "settle again changed something");
            let from_adopted = bound.settle(&cx, &image, adopted).await.expect("settle what was adopted");
            assert_eq!(from_adopted, settled, "what was adopted settles to something else");
            output = settled;
            self.target.forget_calls();
        }
        let verdict = bound.verify(&cx, &image, Some(&output), Expect::Created).await.expect("verify");
        assert!(verdict.holds() && !verdict.compared.is_empty(), "verify after create: {verdict:?}");
        self.made("verify", &reads, &none);
        let verdict = bound.verify(&cx, &image, Some(&output), Expect::RolledBack).await.expect("verify");
        assert!(!verdict.holds(), "it is there, and verify says that it is rolled back: {verdict:?}");
        self.target.forget_calls();

        let undo = bound.rollback(&cx, &image, &output).await.expect("rollback");
        assert_eq!(undo, Undo::Done, "rollback of what is there");
        self.made("rollback", &reads, &set(&facts.rolls_back));
        assert_eq!(self.target.world().await, self.before, "the world after the rollback is the world before");
        let again = bound.rollback(&cx, &image, &output).await.expect("rollback again");
        assert_eq!(again, Undo::Nothing, "rollback of what is gone");
        let verdict = bound.verify(&cx, &image, Some(&output), Expect::RolledBack).await.expect("verify");
        assert!(verdict.holds() && !verdict.compared.is_empty(), "verify after rollback: {verdict:?}");
        let verdict = bound.verify(&cx, &image, None, Expect::RolledBack).await.expect("verify without an output");
        assert!(verdict.holds(), "verify after rollback, without an output: {verdict:?}");
        let absent = bound.find(&cx, &image).await.expect("find");
        assert!(matches!(absent, Found::Absent), "it is gone, and find says {absent:?}");
        if let Ok(verdict) = bound.verify(&cx, &image, Some(&output), Expect::Created).await {
            assert!(!verdict.holds(), "it is gone, and verify says that it is there: {verdict:?}");
        }
    }

    /// Whole runs: nothing wrong, then each call in turn, forward and back.
    async fn runs(&self) -> Done {
        let mut done = Done::default();
        let rig = self.fresh().await;
        let end = rig.execute(&Command::Resume, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Completed)), "without a fault: {end:?}");
        let forward = self.target.calls().len();
        let made = self.target.world().await;
        self.target.forget_calls();
        let end = rig.execute(&Command::Unwind(self.back.0.clone()), None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { .. })), "without a fault: {end:?}");
        let back = self.target.calls().len();
        assert_eq!(self.target.world().await, self.before, "unwound = before");
        let ended = rig.bring_to_an_end(Goal::Unwound).await;
        assert_eq!(ended, Ended::Unwound, "all the way back");
        assert_eq!(self.target.world().await, self.start, "unwound = start");

        for injection in Injection::ALL {
            for n in 0..forward {
                for goal in [Goal::Completed, self.back.1] {
                    let case = format!("{injection:?} at call {n} of {forward} going forward, then {goal:?}");
                    let rig = self.fresh().await;
                    self.target.inject(n, injection);
                    rig.execute(&Command::Resume, None).await;
                    self.check(&rig, goal, &made, &case).await;
                    done.runs += 1;
                }
            }
            for n in 0..back {
                let case = format!("{injection:?} at call {n} of {back} going back");
                let rig = self.fresh().await;
                rig.execute(&Command::Resume, None).await;
                self.target.inject(n, injection);
                rig.execute(&Command::Unwind(self.back.0.clone()), None).await;
                self.check(&rig, self.back.1, &made, &case).await;
                done.runs += 1;
            }
        }
        done
    }

    async fn check(&self, rig: &Rig, goal: Goal, made: &Value, case: &str) {
        self.target.clear();
        let ended = rig.bring_to_an_end(goal).await;
        tokio::time::sleep(DUST).await;
        match ended {
            Ended::Completed => assert_eq!(&self.target.world().await, made, "{case}: resumed = uninterrupted"),
            Ended::Unwound | Ended::PartlyUnwound => {
                assert_eq!(self.target.world().await, self.before, "{case}: unwound = before");
            }
            // The fault struck in the preflight.
            Ended::Refused => assert_eq!(self.target.world().await, self.before, "{case}: refused, no effect"),
            other => panic!("{case}: ended as {other:?}"),
        }
    }
}

fn bind(rig: &Rig, step: usize) -> (Box<dyn BoundOperation>, bool) {
    let plan: &Plan = &rig.plan;
    let kind = &plan.steps[step].op;
    let op = rig.registry.get(kind).unwrap_or_else(|| panic!("no operation `{kind}`"));
    let params = rig.history().params(step, false).expect("the parameters are known");
    match op.bind(&params) {
        Ok(bound) => (bound, op.settles()),
        Err(e) => panic!("`{kind}` does not take these parameters: {e:?}"),
    }
}

struct Alone;

impl Fence for Alone {
    fn check(&self) -> OpResult<()> {
        Ok(())
    }
}

impl CxSink for Alone {
    fn progress(&self, _: &StepId, _: &str) {}
    fn called(&self, _: &StepId, _: Generation, _: Called) {}
}

fn cx(rig: &Rig, step: &StepId) -> Cx {
    let shared = RunCx {
        run: lab_run(),
        tag_prefix: "switchback".into(),
        clock: Arc::new(FixedClock),
        contexts: rig.stage.contexts(),
        secrets: rig.stage.secrets(),
        fence: Arc::new(Alone),
        sink: Arc::new(Alone),
        control: Control::new(),
    };
    let token = "0123456789abcdef0123456789abcdef";
    Cx::new(Arc::new(shared), step.clone(), Generation::FIRST, token, Instant::now() + Duration::from_secs(3600))
}
