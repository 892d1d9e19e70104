//! The traces that the executable model of DESIGN section 4 prints for each rule that is left
//! out, as tests: each is the shortest way to lose something if the engine forgot that rule.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchback_engine::executor::{Rescue, Rescued};
use switchback_engine::history::Ended;
use switchback_engine::recovery::Refusal;
use switchback_model::event::Outcome;
use switchback_model::plan::OnFailure;
use switchback_model::record::UnwindTarget;
use switchback_model::status::State;
use switchback_testing::journal::CutOff;
use switchback_testing::lab::{Command, End, Goal, Lab, StepSpec, let_the_dust_settle, on_paused_time};
use switchback_testing::world::{Fault, Foreign};

const ALL: Command = Command::Unwind(UnwindTarget::All);

/// The kinds of records of step `a`, in order.
fn kinds(lab: &Lab) -> Vec<&'static str> {
    lab.disk.records().iter().filter(|r| r.draft.step.is_some()).map(|r| r.body().kind()).collect()
}

async fn unwound_and_clean(lab: &Lab) {
    assert_eq!(lab.bring_to_an_end(Goal::Unwound).await, Ended::Unwound);
    let_the_dust_settle().await;
    assert_eq!(lab.world.sins(), Vec::<String>::new());
    assert!(!lab.world.truth("a").iter().any(|t| t.ours), "something of ours remains: {:?}", lab.world.truth("a"));
}

#[test]
fn takeover_the_old_process_does_not_send_any_more() {
    on_paused_time(async {
        let lab = Lab::one("tag", 0);
        let disk = lab.disk.clone();
        let taken = Arc::new(Mutex::new(false));
        let flag = taken.clone();
        // Between the durable intent and the call, another executor takes the run over.
        lab.disk.on_record(Box::new(move |r| {
            if r.body().kind() == "CreateStarted" {
                *flag.lock().unwrap() = true;
            }
        }));
        let (other, watch) = (disk.clone(), taken.clone());
        let takeover = async move {
            while !*watch.lock().unwrap() {
                tokio::task::yield_now().await;
            }
            other.open("takeover", None)
        };
        let (end, _journal) = tokio::join!(biased; lab.execute(&Command::Apply, None), takeover);
        assert!(matches!(end, End::TakenOver), "{end:?}");
        assert_eq!(lab.world.calls(), 0, "nothing was sent after the takeover");
    });
}

#[test]
fn foreign_u_what_is_not_ours_is_recorded_and_left_alone() {
    on_paused_time(async {
        let lab = Lab::one("name", 0);
        lab.when("Captured", |w| w.foreign("a", Foreign::Add("theirs")));
        lab.world.set_faults([(0, Fault::CrashBefore)]);
        lab.execute(&Command::Apply, None).await;
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn foreign_q_foreign_is_believed_only_after_the_quiet_period() {
    on_paused_time(async {
        let lab = Lab::one("name", 0);
        lab.when("Captured", |w| {
            w.foreign("a", Foreign::Add("theirs"));
            w.foreign_later(Duration::from_secs(3), "a", Foreign::Clear);
        });
        lab.world.set_faults([(0, Fault::CrashLate)]);
        lab.execute(&Command::Apply, None).await;
        unwound_and_clean(&lab).await;
    });
}

#[test]
fn owner_settle_reads_the_mark_again_before_it_writes() {
    on_paused_time(async {
        let lab = Lab::one("name", 1);
        lab.when("Created", |w| {
            w.foreign("a", Foreign::Clear);
            w.foreign("a", Foreign::Add("theirs"));
        });
        lab.execute(&Command::Apply, None).await;
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn weak_an_adopted_value_is_not_deleted_without_a_person() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.when("Captured", |w| w.foreign("a", Foreign::Add("ours")));
        lab.world.set_faults([(0, Fault::LostBefore)]);
        lab.execute(&Command::Apply, None).await;
        assert!(lab.history().status(0).weak);
        let end = lab.execute(&ALL, None).await;
        let End::Outcome(Outcome::Stuck { steps }) = &end else { panic!("{end:?}") };
        assert!(steps[0].1.hint.as_deref().unwrap_or_default().contains("switchback disown a"), "{steps:?}");
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn weak_a_confirmed_value_is_deleted() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.world.set_faults([(0, Fault::LostAfter)]);
        lab.execute(&Command::Apply, None).await;
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Stuck { .. })), "{end:?}");
        let adopted = lab.rescue("a", Rescue::Adopt).await;
        assert!(matches!(adopted, Rescued::Done { state: State::Adopted, .. }), "{adopted:?}");
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { .. })), "{end:?}");
        assert_eq!(lab.world.truth("a"), vec![]);
    });
}

#[test]
fn absent_rec_nothing_to_undo_closes_the_generation() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.world.set_faults([(0, Fault::CrashBefore)]);
        lab.execute(&Command::Apply, None).await;
        lab.when("Undone", |w| w.foreign("a", Foreign::Add("ours")));
        // The process dies right after the record.
        lab.execute(&ALL, Some(CutOff::After(1))).await;
        assert_eq!(kinds(&lab).last(), Some(&"Undone"));
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn ack_q_undone_waits_for_unanswered_deletes() {
    on_paused_time(async {
        let lab = Lab::one("name", 0);
        lab.execute(&Command::Apply, None).await;
        lab.when("Undone", |w| w.foreign("a", Foreign::Add("theirs")));
        lab.world.set_faults([(1, Fault::Late)]);
        lab.execute(&ALL, None).await;
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs was not deleted by a late call of ours");
    });
}

#[test]
fn flip_q_a_late_settle_does_not_land_on_the_restored_value() {
    on_paused_time(async {
        let lab = Lab::one("upsert", 1);
        lab.world.set_faults([(1, Fault::CrashLate)]);
        lab.execute(&Command::Apply, None).await;
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a")[0].value, "base");
        assert!(!kinds(&lab).contains(&"UndoFailed"), "{:?}", kinds(&lab));
    });
}

#[test]
fn close_q_verified_waits_for_unanswered_settles() {
    on_paused_time(async {
        let lab = Lab::one("name", 1);
        lab.when("Verified", |w| {
            w.foreign("a", Foreign::Clear);
            w.foreign("a", Foreign::Add("theirs"));
        });
        lab.world.set_faults([(1, Fault::Late)]);
        lab.execute(&Command::Apply, None).await;
        let_the_dust_settle().await;
        assert_eq!(lab.world.truth("a").len(), 1);
        assert_eq!(lab.world.sins(), Vec::<String>::new());
    });
}

#[test]
fn weak_rb_an_equal_value_after_a_lost_rollback_asks_a_person() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.execute(&Command::Apply, None).await;
        lab.when("Retried", |w| w.foreign("a", Foreign::Add("ours")));
        lab.world.set_faults([(1, Fault::LostAfter)]);
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Stuck { .. })), "{end:?}");
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn weak_rb_the_same_after_a_crash() {
    on_paused_time(async {
        let lab = Lab::one("value", 0);
        lab.execute(&Command::Apply, None).await;
        lab.world.set_faults([(1, Fault::CrashAfter)]);
        lab.execute(&ALL, None).await;
        lab.world.foreign("a", Foreign::Add("ours"));
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Stuck { .. })), "{end:?}");
        unwound_and_clean(&lab).await;
        assert_eq!(lab.world.truth("a").len(), 1, "theirs is still there");
    });
}

#[test]
fn gen_q_the_next_generation_does_not_see_its_own_older_resource() {
    on_paused_time(async {
        let lab = Lab::new(&[StepSpec::new("a", "name"), StepSpec::new("b", "name").uses(&["a"])], OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        // The delete is answered and seen here; other readers still see the old state for a while.
        lab.when("UnwindFinished", |w| w.lag("b"));
        lab.execute(&Command::Unwind(UnwindTarget::To("a".into())), None).await;
        assert_eq!(lab.world.read("b").await.unwrap().len(), 1, "the old one is still seen");
        let end = lab.execute(&Command::Resume, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Completed)), "{end:?}");
        assert!(!kinds(&lab).contains(&"CaptureFailed"), "{:?}", kinds(&lab));
    });
}

#[test]
fn cas_q_already_the_before_image_is_believed_only_after_the_quiet_period() {
    for kind in ["value", "upsert"] {
        on_paused_time(async {
            let lab = Lab::new(&[StepSpec::new("a", kind).verify_denied()], OnFailure::Unwind);
            lab.world.set_faults([(0, Fault::Lag)]);
            lab.execute(&Command::Apply, None).await;
            unwound_and_clean(&lab).await;
        });
    }
}

#[test]
fn undone_and_uf_person_what_is_there_again_is_not_deleted_without_a_person() {
    for kind in ["name", "value"] {
        on_paused_time(async {
            let lab = Lab::one(kind, 0);
            lab.execute(&Command::Apply, None).await;
            lab.when("RolledBack", |w| w.foreign("a", Foreign::Add("ours")));
            lab.execute(&ALL, None).await;
            lab.execute(&ALL, None).await;
            assert_eq!(lab.world.truth("a").len(), 1, "{kind}: asked again, nothing is deleted either");
            unwound_and_clean(&lab).await;
            assert_eq!(lab.world.truth("a").len(), 1, "{kind}: theirs is still there");
        });
    }
}

#[test]
fn cas_create_a_value_that_moved_since_capture_is_not_overwritten() {
    on_paused_time(async {
        let lab = Lab::one("upsert", 0);
        lab.when("Captured", |w| w.foreign("a", Foreign::Change("third")));
        let end = lab.execute(&Command::Apply, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Paused { .. })), "{end:?}");
        assert_eq!(lab.world.truth("a")[0].value, "third");
        assert_eq!(lab.world.sins(), Vec::<String>::new());
        assert_eq!(lab.world.calls(), 0);
    });
}

#[test]
fn ver_wait_a_lagging_read_is_not_a_failed_verify() {
    for kind in ["tag", "token", "name", "value", "upsert"] {
        on_paused_time(async {
            let lab = Lab::one(kind, 0);
            lab.world.set_faults([(0, Fault::Lag)]);
            let end = lab.execute(&Command::Apply, None).await;
            assert!(matches!(end, End::Outcome(Outcome::Completed)), "{kind}: {end:?}");
            assert!(!kinds(&lab).contains(&"VerifyFailed"));
        });
    }
}

#[test]
fn quiet_not_found_means_absent_only_after_the_quiet_period() {
    for kind in ["tag", "token", "name", "value", "upsert"] {
        on_paused_time(async {
            let lab = Lab::one(kind, 0);
            lab.world.set_faults([(0, Fault::CrashLate)]);
            lab.execute(&Command::Apply, None).await;
            unwound_and_clean(&lab).await;
        });
    }
}

#[test]
fn quiet_a_late_create_is_not_doubled_going_forward() {
    for kind in ["tag", "token", "name", "value", "upsert"] {
        for fault in [Fault::Late, Fault::CrashLate] {
            on_paused_time(async {
                let lab = Lab::one(kind, 0);
                lab.world.set_faults([(0, fault)]);
                lab.execute(&Command::Apply, None).await;
                assert_eq!(lab.bring_to_an_end(Goal::Completed).await, Ended::Completed);
                let_the_dust_settle().await;
                assert_eq!(lab.world.truth("a").len(), 1, "{kind} {fault:?}");
            });
        }
    }
}

#[test]
fn giveup_the_quiet_period_counts_from_the_end_of_the_attempt() {
    on_paused_time(async {
        let lab = Lab::new(&[StepSpec::new("a", "tag")], OnFailure::Unwind);
        lab.world.set_faults([(0, Fault::SlowLate)]);
        lab.execute(&Command::Apply, None).await;
        assert_eq!(lab.bring_to_an_end(Goal::Completed).await, Ended::Completed);
        let_the_dust_settle().await;
        assert_eq!(lab.world.truth("a").len(), 1);
    });
}

#[test]
fn order_dependants_go_first_and_phases_are_barriers() {
    on_paused_time(async {
        let steps = [
            StepSpec::new("a", "tag"),
            StepSpec::new("b", "tag").uses(&["a"]),
            StepSpec::new("rule", "tag"),
            StepSpec::new("c", "tag").phase(1),
        ];
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        lab.execute(&ALL, None).await;
        let order: Vec<_> = lab
            .disk
            .records()
            .iter()
            .filter(|r| r.body().kind() == "RollbackStarted" || r.body().kind() == "Undone")
            .map(|r| format!("{} {}", r.body().kind(), r.draft.step.as_ref().unwrap()))
            .collect();
        let at = |what: &str| order.iter().position(|o| o == what).unwrap();
        assert!(at("Undone b") < at("RollbackStarted a"), "{order:?}");
        assert!(at("Undone c") < at("RollbackStarted rule"), "a rule that no step refers to outlives the later phase");
        assert!(at("Undone c") < at("RollbackStarted b"), "{order:?}");
    });
}

#[test]
fn skip_only_where_nothing_can_exist() {
    on_paused_time(async {
        let lab = Lab::one("tag", 1);
        lab.world.set_faults([(1, Fault::Denied)]);
        lab.execute(&Command::Apply, None).await;
        assert_eq!(lab.history().status(0).state, State::SettleFailed);
        let refused = lab.rescue("a", Rescue::Skip).await;
        assert!(matches!(refused, Rescued::Refused(_)), "{refused:?}");
        unwound_and_clean(&lab).await;
    });
}

#[test]
fn to_all_a_partial_unwind_undoes_what_is_not_verified() {
    on_paused_time(async {
        let steps = [StepSpec::new("a", "tag"), StepSpec::new("b", "tag").uses(&["a"]).settles(1)];
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.world.set_faults([(2, Fault::CrashBefore)]);
        lab.execute(&Command::Apply, None).await;
        assert_eq!(lab.history().status(1).state, State::Created);
        let end = lab.execute(&Command::Unwind(UnwindTarget::To("a".into())), None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { all: false, .. })), "{end:?}");
        assert_eq!(lab.world.truth("b"), vec![]);
        assert_eq!(lab.world.truth("a").len(), 1);
    });
}

#[test]
fn widen_and_dir_an_unfinished_unwind_only_keeps_fewer_and_never_resumes() {
    on_paused_time(async {
        let steps =
            [StepSpec::new("a", "tag"), StepSpec::new("b", "tag").uses(&["a"]), StepSpec::new("c", "tag").uses(&["b"])];
        let to = |s: &str| Command::Unwind(UnwindTarget::To(s.into()));
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        lab.world.set_faults([(3, Fault::CrashBefore)]);
        lab.execute(&to("a"), None).await;
        let refused = lab.execute(&Command::Resume, None).await;
        assert!(matches!(refused, End::Refused(Refusal::Unwinding { .. })), "{refused:?}");
        let refused = lab.execute(&to("b"), None).await;
        assert!(matches!(refused, End::Refused(Refusal::Narrower { .. })), "{refused:?}");
        let end = lab.execute(&ALL, None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { all: true, .. })), "{end:?}");
    });
}

#[test]
fn calm_an_unwind_by_policy_waits_for_the_other_steps() {
    on_paused_time(async {
        let steps = [StepSpec::new("a", "tag").settles(3), StepSpec::new("b", "tag").verify_denied()];
        let lab = Lab::new(&steps, OnFailure::Unwind);
        lab.execute(&Command::Apply, None).await;
        let records = lab.disk.records();
        let turn = records.iter().position(|r| r.body().kind() == "UnwindStarted").unwrap();
        assert!(
            records[..turn]
                .iter()
                .any(|r| r.body().kind() == "Created" && r.draft.step.as_ref().unwrap().as_str() == "a"),
            "`a` reached a recorded state before the turn"
        );
        unwound_and_clean(&lab).await;
    });
}
