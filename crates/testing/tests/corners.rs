//! Corners of the executor: deadlines beside quiet periods, prompts, pivots, skipped and marked steps,
//! sweeps, and what a process that died in its preflight owes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchback_engine::executor::{self, AlwaysGo, Control, Decision, Gate, Options, Rescue, Rescued, Setup};
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{CallLog, Identity, Provider};
use switchback_engine::registry::Registry;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::event::Outcome;
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::plan::{OnFailure, PlanStep};
use switchback_model::record::{Json, Leftover, UnwindTarget};
use switchback_model::status::State;
use switchback_model::{ErrorClass, OpError, OpResult, RunId, StepId};
use switchback_testing::journal::CutOff;
use switchback_testing::lab::{Command, End, Goal, Lab, Listener, StepSpec, let_the_dust_settle, on_paused_time};
use switchback_testing::ops::Params;
use switchback_testing::world::{Fault, Foreign, World};

const ALL: Command = Command::Unwind(UnwindTarget::All);

fn log(lab: &Lab) -> Vec<String> {
    lab.disk
        .records()
        .iter()
        .map(|r| format!("{} {}", r.draft.step.as_ref().map_or("-".into(), |s| s.to_string()), r.body().kind()))
        .collect()
}
fn change_plan(lab: &mut Lab, f: impl Fn(&mut PlanStep)) {
    let mut plan = (*lab.rig.plan).clone();
    plan.steps.iter_mut().for_each(f);
    lab.rig.plan = Arc::new(plan);
}
fn setup(lab: &Lab, command: &str, gate: Arc<dyn Gate>, control: Control, options: Options) -> Setup {
    Setup {
        journal: Box::new(lab.disk.open(command, None)),
        history: lab.history(),
        env: lab.environment(),
        options,
        observer: Arc::new(Listener::default()),
        gate,
        control,
    }
}
fn out(id: &str, slot: &str) -> Json {
    Json::new(&serde_json::json!({"id": id, "slot": slot})).unwrap()
}

#[test]
fn a_crash_in_the_preflight_and_resume_acts_without_a_preflight() {
    on_paused_time(async {
        for cut in [CutOff::Before(0), CutOff::After(0)] {
            let lab = Lab::new(&[StepSpec::new("a", "tag"), StepSpec::new("b", "name").phase(1)], OnFailure::Unwind);
            lab.world.foreign("b", Foreign::Add("theirs"));
            let end = lab.execute(&Command::Apply, Some(cut)).await;
            assert!(matches!(end, End::Died), "{end:?}");
            let end = lab.execute(&Command::Resume, None).await;
            assert_eq!(
                lab.world.calls(),
                0,
                "{cut:?}: uninterrupted: Refused, no effect; resumed: {end:?} {:?}",
                log(&lab)
            );
        }
    });
}

// ---- ops of this file
struct Busy;
impl Operation for Busy {
    const KIND: &'static str = "test.busy";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = Params;
    type Before = ();
    type Output = serde_json::Value;
    fn facts(&self, _: &Params) -> Facts {
        Facts { create_deadline: Duration::from_secs(1800), ..Facts::without_effect() }
    }
    async fn capture(&self, cx: &Cx, p: &Params) -> OpResult<()> {
        if p.verify_denied {
            return Err(OpError::new(ErrorClass::Transient, "slow down").with_code("Throttling"));
        }
        if cx.get::<World>()?.read("a").await?.is_empty() {
            return Err(OpError::new(ErrorClass::Busy, "a is not there yet"));
        }
        Ok(())
    }
    async fn create(&self, _: &Cx, _: &Params, _: &()) -> OpResult<serde_json::Value> {
        Ok(serde_json::json!({}))
    }
    async fn find(&self, _: &Cx, _: &Params, _: &()) -> OpResult<Found<serde_json::Value>> {
        Ok(Found::Absent)
    }
    async fn rollback(&self, _: &Cx, _: &Params, _: &(), _: &serde_json::Value) -> OpResult<Undo> {
        Ok(Undo::Done)
    }
    async fn verify(&self, _: &Cx, _: &Params, _: &(), _: Option<&serde_json::Value>, _: Expect) -> OpResult<Verdict> {
        Ok(Verdict::new())
    }
}
struct Pivot;
impl Operation for Pivot {
    const KIND: &'static str = "test.pivot";
    const VERSION: u32 = 1;
    const SETTLES: bool = false;
    type Params = Params;
    type Before = ();
    type Output = serde_json::Value;
    fn facts(&self, _: &Params) -> Facts {
        Facts { reversibility: Reversibility::Pivot { why: "data is gone".into() }, ..Facts::without_effect() }
    }
    async fn capture(&self, _: &Cx, _: &Params) -> OpResult<()> {
        Ok(())
    }
    async fn create(&self, _: &Cx, p: &Params, _: &()) -> OpResult<serde_json::Value> {
        if p.never_right {
            return Err(OpError::permanent("denied"));
        }
        Ok(serde_json::json!({}))
    }
    async fn find(&self, _: &Cx, _: &Params, _: &()) -> OpResult<Found<serde_json::Value>> {
        Ok(Found::Absent)
    }
    async fn rollback(&self, _: &Cx, _: &Params, _: &(), _: &serde_json::Value) -> OpResult<Undo> {
        Err(OpError::permanent("cannot be undone"))
    }
    async fn verify(&self, _: &Cx, _: &Params, _: &(), _: Option<&serde_json::Value>, _: Expect) -> OpResult<Verdict> {
        Ok(Verdict::new())
    }
}
/// Takes 100 s to settle, by polling.
struct Slow;
impl Operation for Slow {
    const KIND: &'static str = "test.slow";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = ();
    type Output = u64;
    fn facts(&self, _: &Params) -> Facts {
        Facts { create_deadline: Duration::from_secs(300), ..Facts::without_effect() }
    }
    async fn capture(&self, _: &Cx, _: &Params) -> OpResult<()> {
        Ok(())
    }
    async fn create(&self, cx: &Cx, _: &Params, _: &()) -> OpResult<u64> {
        cx.get::<World>()?.read("x").await?;
        Ok(0)
    }
    async fn settle(&self, cx: &Cx, _: &Params, _: &(), o: &u64) -> OpResult<u64> {
        let at = tokio::time::Instant::now() + Duration::from_secs(100);
        cx.wait_for("creating", Duration::from_secs(1), || async move {
            cx.get::<World>()?.read("x").await?;
            Ok((tokio::time::Instant::now() >= at).then_some(()))
        })
        .await?;
        Ok(*o)
    }
    async fn find(&self, _: &Cx, _: &Params, _: &()) -> OpResult<Found<u64>> {
        Ok(Found::Absent)
    }
    async fn rollback(&self, _: &Cx, _: &Params, _: &(), _: &u64) -> OpResult<Undo> {
        Ok(Undo::Done)
    }
    async fn verify(&self, cx: &Cx, _: &Params, _: &(), _: Option<&u64>, _: Expect) -> OpResult<Verdict> {
        cx.get::<World>()?.read("x").await?;
        Ok(Verdict::new())
    }
}
fn with_ops(lab: &mut Lab) {
    let mut r = Registry::new();
    switchback_testing::ops::register(&mut r).unwrap();
    r.register(Busy).unwrap();
    r.register(Pivot).unwrap();
    r.register(Slow).unwrap();
    lab.rig.registry = Arc::new(r);
}

#[test]
fn ctrl_c_in_the_preflight_says_that_it_passed() {
    on_paused_time(async {
        let mut lab = Lab::new(&[StepSpec::new("b", "busy").verify_denied()], OnFailure::Pause);
        with_ops(&mut lab);
        let control = Control::new();
        let c = control.clone();
        let stop = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            c.pause();
        };
        let (end, ()) =
            tokio::join!(lab.execute_with(&Command::Apply, None, Arc::new(Listener::default()), control), stop);
        assert!(!log(&lab).iter().any(|l| l.contains("PreflightPassed")), "{end:?} {:?}", log(&lab));
    });
}

#[test]
fn the_preflight_waits_for_what_only_this_run_will_make() {
    on_paused_time(async {
        let mut lab = Lab::new(&[StepSpec::new("a", "tag"), StepSpec::new("b", "busy").phase(1)], OnFailure::Pause);
        with_ops(&mut lab);
        let start = tokio::time::Instant::now();
        let end = lab.execute(&Command::Apply, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Completed)), "{end:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    });
}

#[test]
fn a_timeout_shorter_than_the_quiet_period_forward() {
    for fault in Fault::ALL {
        for goal in [Goal::Completed, Goal::Unwound] {
            let r = std::panic::catch_unwind(|| {
                on_paused_time(async {
                    let mut lab = Lab::one("tag", 1);
                    change_plan(&mut lab, |s| s.timeout = Some(Duration::from_secs(5)));
                    lab.world.set_faults([(0, fault)]);
                    lab.execute(&Command::Apply, None).await;
                    lab.bring_to_an_end(goal).await;
                    let_the_dust_settle().await;
                })
            });
            assert!(r.is_ok(), "{fault:?} {goal:?} never ends");
        }
    }
}

#[test]
fn closing_wait_eats_the_deadline_and_fails_a_good_step() {
    on_paused_time(async {
        let mut lab = Lab::one("tag", 1);
        change_plan(&mut lab, |s| s.timeout = Some(Duration::from_secs(9)));
        // The settle's reply is lost, its effect happened; everything is fine.
        lab.world.set_faults([(1, Fault::LostAfter)]);
        let end = lab.execute(&Command::Apply, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Completed)), "{end:?} {:?}", log(&lab));
    });
}

#[test]
fn marked_done_without_a_before_image_can_never_be_unwound() {
    on_paused_time(async {
        let mut lab =
            Lab::new(&[StepSpec::new("z", "tag"), StepSpec::new("a", "upsert").uses(&["z"])], OnFailure::Pause);
        lab.rig.to = Some(StepId::new("z"));
        lab.execute(&Command::Apply, None).await;
        lab.rig.to = None;
        // `a` is untouched: its parameters were not known in the preflight. A person made it by hand.
        lab.world.foreign("a", Foreign::Change("ours"));
        let r = lab.rescue("a", Rescue::MarkDone { output: Some(out("a", "a")) }).await;
        assert!(matches!(r, Rescued::Done { .. }), "{r:?}");
        lab.execute(&Command::Resume, None).await;
        lab.execute(&ALL, None).await;
        lab.rescue("a", Rescue::Adopt).await;
        lab.execute(&ALL, None).await;
        for verb in [Rescue::Adopt, Rescue::Disown, Rescue::MarkDone { output: None }, Rescue::Skip] {
            lab.rescue("a", verb.clone()).await;
        }
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { .. })), "{end:?} {:?}", log(&lab));
    });
}

#[test]
fn order_through_a_skipped_step_is_lost() {
    on_paused_time(async {
        let mut lab = Lab::new(
            &[StepSpec::new("a", "tag").settles(3), StepSpec::new("b", "tag"), StepSpec::new("c", "tag")],
            OnFailure::Pause,
        );
        change_plan(&mut lab, |s| match s.id.as_str() {
            "b" => s.needs = vec![StepId::new("a")],
            "c" => s.needs = vec![StepId::new("b")],
            _ => {}
        });
        lab.world.set_faults([(0, Fault::Denied)]);
        lab.execute(&Command::Apply, None).await;
        let r = lab.rescue("b", Rescue::Skip).await;
        assert!(matches!(r, Rescued::Done { .. }), "{r:?}");
        lab.execute(&Command::Resume, None).await;
        lab.execute(&ALL, None).await;
        let l = log(&lab);

        let first = |x: &str| l.iter().position(|y| y == x).unwrap();
        let last = |x: &str| l.iter().rposition(|y| y == x).unwrap();
        assert!(
            last("c Undone") < first("a RollbackStarted"),
            "back: a goes while c, which needs it through b, is there"
        );
        assert!(first("a Verified") < first("c CreateStarted"), "forward: c starts before a is verified");
    });
}

#[test]
fn skip_is_refused_where_parameters_are_unknown() {
    on_paused_time(async {
        let lab = Lab::new(&[StepSpec::new("a", "tag"), StepSpec::new("b", "tag").uses(&["a"])], OnFailure::Pause);
        lab.world.set_faults([(0, Fault::Denied)]);
        lab.execute(&Command::Apply, None).await;
        lab.world.set_faults([]);
        let r = lab.rescue("b", Rescue::Skip).await;
        assert!(matches!(r, Rescued::Done { .. }), "{r:?}");
    });
}

struct UnwindAt(&'static str);
impl Gate for UnwindAt {
    fn before_step<'a>(&'a self, step: &'a PlanStep) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(if step.id.as_str() == self.0 { Decision::Unwind } else { Decision::Go }))
    }
}

#[test]
fn unwind_at_the_gate_goes_past_the_point_of_no_return() {
    on_paused_time(async {
        let mut lab = Lab::new(
            &[StepSpec::new("a", "tag"), StepSpec::new("p", "pivot").phase(1), StepSpec::new("c", "tag").phase(2)],
            OnFailure::Pause,
        );
        with_ops(&mut lab);
        let options = Options { accepted_pivots: vec![StepId::new("p")], ..Options::default() };
        let _ = executor::apply(setup(&lab, "apply", Arc::new(UnwindAt("c")), Control::new(), options)).await;

        assert!(!log(&lab).iter().any(|l| l.contains("UnwindStarted")), "{:?}", log(&lab));
    });
}

#[test]
fn a_clean_already_exists_is_not_adopted() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.when("Captured", |w| w.foreign("a", Foreign::Add("ours")));
        let end = lab.execute(&Command::Apply, None).await;
        assert!(
            !log(&lab).iter().any(|l| l == "a Adopted"),
            "every call was answered: what is there is foreign; {end:?} {:?}",
            log(&lab)
        );
    });
}

#[test]
fn disown_closes_while_a_create_can_still_land() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.world.set_faults([(0, Fault::CrashLate)]);
        lab.execute(&Command::Apply, None).await;
        lab.world.foreign("a", Foreign::Add("ours"));
        lab.world.foreign_later(Duration::from_secs(3), "a", Foreign::Clear);
        let start = tokio::time::Instant::now();
        let r = lab.rescue("a", Rescue::Disown).await;
        // Closing rule: nothing of ours may land after the record.
        assert!(start.elapsed() >= switchback_testing::world::QUIET, "{r:?} after {:?}", start.elapsed());
    });
}

#[test]
fn sweep_finds_what_a_person_accepted_in_an_older_generation() {
    on_paused_time(async {
        let lab = Lab::new(&[StepSpec::new("z", "tag"), StepSpec::new("a", "tag").uses(&["z"])], OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        // The rollback is done; ours is seen again (lag of more than the quiet period, a restore ...) and accepted.
        let w = lab.world.clone();
        let snap = w.everything();
        lab.when("RolledBack", move |w| w.restore(snap));
        let to = Command::Unwind(UnwindTarget::To("z".into()));
        lab.execute(&to, None).await;
        lab.rescue("a", Rescue::Disown).await;
        lab.execute(&to, None).await;
        lab.execute(&Command::Resume, None).await;
        let end = lab.execute(&to, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { .. })), "{end:?}");
    });
}

struct Coffee(&'static str, Duration);
impl Gate for Coffee {
    fn before_step<'a>(&'a self, step: &'a PlanStep) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            if step.id.as_str() == self.0 {
                tokio::time::sleep(self.1).await;
            }
            Decision::Go
        })
    }
}

#[test]
fn a_question_freezes_the_steps_in_flight() {
    on_paused_time(async {
        // s (100 s of settling, deadline 300 s) runs; q finishes, and x, which needs q, is asked about for 10 minutes.
        let mut lab = Lab::new(
            &[StepSpec::new("s", "slow"), StepSpec::new("q", "tag"), StepSpec::new("x", "tag").uses(&["q"])],
            OnFailure::Unwind,
        );
        with_ops(&mut lab);
        let end = executor::apply(setup(
            &lab,
            "apply",
            Arc::new(Coffee("x", Duration::from_secs(600))),
            Control::new(),
            Options::default(),
        ))
        .await;
        assert!(matches!(end, Ok(Outcome::Completed)), "{end:?} {:?}", log(&lab));
    });
}

#[test]
fn a_weak_value_is_deleted_on_retry_without_a_person() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.when("Captured", |w| w.foreign("a", Foreign::Add("ours")));
        lab.world.set_faults([(0, Fault::LostBefore)]);
        lab.execute(&Command::Apply, None).await;
        assert!(lab.history().status(0).weak);
        lab.world.foreign("a", Foreign::Change("third"));
        lab.execute(&ALL, None).await;

        lab.world.foreign("a", Foreign::Change("ours"));
        lab.execute(&ALL, None).await;
        assert_eq!(lab.world.sins(), Vec::<String>::new(), "{:?}", log(&lab));
    });
}

struct Watching(Arc<dyn Provider>, switchback_testing::journal::Disk, Arc<AtomicUsize>);
impl Provider for Watching {
    fn name(&self) -> &'static str {
        "watching"
    }
    fn preflight(&self, calls: CallLog) -> BoxFuture<'_, OpResult<Identity>> {
        self.0.preflight(calls)
    }
    fn sweep(&self, run: RunId, calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        self.2.store(self.1.records().iter().filter(|r| r.body().kind() == "Undone").count() + 1, Ordering::SeqCst);
        self.0.sweep(run, calls)
    }
}

#[test]
fn undone_is_held_back_across_the_sweep() {
    on_paused_time(async {
        let lab = Lab::one("tag", 0);
        lab.execute(&Command::Apply, None).await;
        let seen = Arc::new(AtomicUsize::new(0));
        let mut s = setup(&lab, "unwind", Arc::new(AlwaysGo), Control::new(), Options::default());
        s.env.providers = vec![Arc::new(Watching(s.env.providers[0].clone(), lab.disk.clone(), seen.clone()))];
        executor::unwind(s, UnwindTarget::All, switchback_model::record::UnwindCause::Asked { reason: None })
            .await
            .unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 2, "Undone is durable when the sweep asks");
    });
}

#[test]
fn what_is_there_cannot_be_marked_done_after_capture_failed() {
    on_paused_time(async {
        let lab = Lab::new(&[StepSpec::new("z", "tag"), StepSpec::new("a", "value").uses(&["z"])], OnFailure::Pause);
        lab.world.foreign("a", Foreign::Add("ours"));
        lab.execute(&Command::Apply, None).await;
        assert_eq!(lab.history().status(1).state, State::CaptureFailed);
        let r = lab.rescue("a", Rescue::MarkDone { output: Some(out("a", "a")) }).await;
        assert!(matches!(r, Rescued::Done { .. }), "{r:?}");
    });
}

#[test]
fn mark_done_then_disown_orphans_and_doubles_what_is_provably_ours() {
    on_paused_time(async {
        let lab = Lab::one("tag", 1);
        lab.world.set_faults([(1, Fault::Denied)]);
        lab.execute(&Command::Apply, None).await;
        assert!(matches!(lab.rescue("a", Rescue::Disown).await, Rescued::Refused(_)), "refused directly");
        lab.rescue("a", Rescue::MarkDone { output: None }).await;
        lab.rescue("a", Rescue::Disown).await;
        lab.execute(&Command::Resume, None).await;
        assert!(lab.world.truth("a").len() < 2, "doubled: {:?}", lab.world.truth("a"));
    });
}

#[test]
fn mark_done_with_another_output_forgets_what_was_made() {
    on_paused_time(async {
        let lab = Lab::one("tag", 1);
        lab.world.set_faults([(1, Fault::Denied)]);
        lab.execute(&Command::Apply, None).await;
        let _ = lab.rescue("a", Rescue::MarkDone { output: Some(out("by-hand", "a")) }).await;

        lab.execute(&ALL, None).await;
        lab.rescue("a", Rescue::Adopt).await;
        let _ = lab.execute(&ALL, None).await;

        assert!(lab.world.truth("a").is_empty(), "{:?}", log(&lab));
    });
}

#[test]
fn a_pivot_that_was_denied_blocks_every_unwind() {
    on_paused_time(async {
        let mut lab = Lab::new(
            &[StepSpec::new("a", "tag"), StepSpec::new("p", "pivot").phase(1).never_right()],
            OnFailure::Unwind,
        );
        with_ops(&mut lab);
        let options = Options { accepted_pivots: vec![StepId::new("p")], ..Options::default() };
        let end = executor::apply(setup(&lab, "apply", Arc::new(AlwaysGo), Control::new(), options)).await;

        assert!(matches!(end, Ok(Outcome::FailedAndUnwound { .. })), "{end:?}");
        assert_eq!(lab.world.truth("a"), vec![]);
    });
}

#[test]
fn already_exists_while_reads_lag_pauses() {
    on_paused_time(async {
        let lab = Lab::one("name", 0);
        lab.when("Created", |_| {});
        lab.world.set_faults([(0, Fault::CrashAfter)]);
        lab.execute(&Command::Apply, None).await;
        lab.world.lag("a");
        let mut s = setup(&lab, "resume", Arc::new(AlwaysGo), Control::new(), Options::default());
        s.options.backoff = Duration::from_millis(500);
        let end = executor::resume(s).await;
        assert!(matches!(end, Ok(Outcome::Completed)), "{end:?} {:?}", log(&lab));
    });
}
