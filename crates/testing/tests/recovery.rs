//! The engine against a world in memory: every crash point, every fault, every prefix of a
//! journal, and properties over generated graphs.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use switchback_engine::history::Ended;
use switchback_model::event::Outcome;
use switchback_model::plan::OnFailure;
use switchback_model::record::UnwindTarget;
use switchback_model::status::State;
use switchback_testing::journal::{CutOff, Disk};
use switchback_testing::lab::{Command, End, Goal, Lab, StepSpec, lab_run, let_the_dust_settle, on_paused_time};
use switchback_testing::world::Fault;

type Picture = BTreeMap<String, Vec<(bool, String, u32)>>;

/// One step of every kind, two phases, dependencies.
fn every_kind() -> Vec<StepSpec> {
    vec![
        StepSpec::new("a", "tag").settles(2),
        StepSpec::new("b", "token").uses(&["a"]).settles(1),
        StepSpec::new("c", "name").uses(&["a"]).settles(1),
        StepSpec::new("d", "value").uses(&["b"]),
        StepSpec::new("e", "upsert").uses(&["c"]).settles(1).phase(1),
        StepSpec::new("f", "tag").phase(1),
    ]
}

/// The pictures of the world before and after an uninterrupted run.
async fn start_and_end(steps: &[StepSpec]) -> (Picture, Picture) {
    let lab = Lab::new(steps, OnFailure::Pause);
    let start = lab.world.picture();
    let end = lab.execute(&Command::Apply, None).await;
    assert!(matches!(end, End::Outcome(Outcome::Completed)), "{end:?}");
    (start, lab.world.picture())
}

async fn check_end(lab: &Lab, goal: Goal, start: &Picture, done: &Picture, case: &str) {
    let ended = lab.bring_to_an_end(goal).await;
    let_the_dust_settle().await;
    let sins = lab.world.sins();
    assert!(sins.is_empty(), "{case}: {sins:?}");
    match ended {
        Ended::Completed => assert_eq!(&lab.world.picture(), done, "{case}: resumed = uninterrupted"),
        Ended::Unwound => assert_eq!(&lab.world.picture(), start, "{case}: unwound = start"),
        other => panic!("{case}: ended as {other:?}"),
    }
}

#[test]
fn forward_and_back_without_any_fault() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        assert_ne!(start, done);
        let lab = Lab::new(&steps, OnFailure::Unwind);
        lab.execute(&Command::Apply, None).await;
        let end = lab.execute(&Command::Unwind(UnwindTarget::All), None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { all: true, .. })), "{end:?}");
        assert_eq!(lab.world.picture(), start);
    });
}

#[test]
fn a_failed_verify_unwinds_by_itself() {
    on_paused_time(async {
        let mut steps = every_kind();
        steps[5] = StepSpec::new("f", "tag").phase(1).never_right();
        let lab = Lab::new(&steps, OnFailure::Unwind);
        let start = lab.world.picture();
        let end = lab.execute(&Command::Apply, None).await;
        let End::Outcome(Outcome::FailedAndUnwound { step, error, all: true, .. }) = &end else { panic!("{end:?}") };
        assert_eq!(step.as_str(), "f");
        assert_eq!(error.message, "right should be true, is false");
        assert_eq!(lab.world.picture(), start);
    });
}

/// For every commit: the process dies right before and right after it, forward, and then is
/// resumed, or unwound.
#[test]
fn every_commit_is_a_crash_point() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        let commits = lab.disk.commits();
        assert!(commits > 10, "{commits}");
        for n in 0..commits {
            for cut in [CutOff::Before(n), CutOff::After(n)] {
                for goal in [Goal::Completed, Goal::Unwound] {
                    let lab = Lab::new(&steps, OnFailure::Pause);
                    let end = lab.execute(&Command::Apply, Some(cut)).await;
                    assert!(matches!(end, End::Died), "{end:?}");
                    check_end(&lab, goal, &start, &done, &format!("{cut:?} {goal:?}")).await;
                }
            }
        }
    });
}

/// The same while unwinding: it goes on to the start, and a resume is refused.
#[test]
fn every_commit_of_an_unwind_is_a_crash_point() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        lab.execute(&Command::Unwind(UnwindTarget::All), None).await;
        let commits = lab.disk.commits();
        for n in 1..commits {
            for cut in [CutOff::Before(n), CutOff::After(n)] {
                let lab = Lab::new(&steps, OnFailure::Pause);
                lab.execute(&Command::Apply, None).await;
                let end = lab.execute(&Command::Unwind(UnwindTarget::All), Some(cut)).await;
                assert!(matches!(end, End::Died), "{end:?}");
                let refused = lab.execute(&Command::Resume, None).await;
                assert!(matches!(refused, End::Refused(_)), "{cut:?}: {refused:?}");
                check_end(&lab, Goal::Unwound, &start, &done, &format!("unwinding {cut:?}")).await;
            }
        }
    });
}

/// Every fault at every write call, forward; then resumed, or unwound.
#[test]
fn every_fault_at_every_call() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        let calls = lab.world.calls();
        for n in 0..calls {
            for fault in Fault::ALL {
                for (policy, goal) in [
                    (OnFailure::Pause, Goal::Completed),
                    (OnFailure::Pause, Goal::Unwound),
                    (OnFailure::Unwind, Goal::Completed),
                ] {
                    let lab = Lab::new(&steps, policy.clone());
                    lab.world.set_faults([(n, fault)]);
                    lab.execute(&Command::Apply, None).await;
                    let case = format!("call {n} {fault:?} {policy:?} {goal:?}");
                    check_end(&lab, goal, &start, &done, &case).await;
                }
            }
        }
    });
}

/// Every fault at every write call of the unwind.
#[test]
fn every_fault_at_every_call_of_an_unwind() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        let first = lab.world.calls();
        lab.execute(&Command::Unwind(UnwindTarget::All), None).await;
        let last = lab.world.calls();
        for n in first..last {
            for fault in Fault::ALL {
                let lab = Lab::new(&steps, OnFailure::Pause);
                lab.world.set_faults([(n, fault)]);
                lab.execute(&Command::Apply, None).await;
                lab.execute(&Command::Unwind(UnwindTarget::All), None).await;
                check_end(&lab, Goal::Unwound, &start, &done, &format!("call {n} {fault:?} unwinding")).await;
            }
        }
    });
}

/// A partial unwind keeps what was verified before, and the run then goes forward again as the
/// next generation; that, too, can be unwound.
#[test]
fn a_second_generation() {
    on_paused_time(async {
        let steps = every_kind();
        let (start, done) = start_and_end(&steps).await;
        let lab = Lab::new(&steps, OnFailure::Pause);
        lab.execute(&Command::Apply, None).await;
        let end = lab.execute(&Command::Unwind(UnwindTarget::To("phase0".into())), None).await;
        assert!(matches!(end, End::Outcome(Outcome::Unwound { all: false, .. })), "{end:?}");
        let history = lab.history();
        assert_eq!(history.status(0).state, State::Verified);
        assert_eq!(history.status(4).state, State::Undone);
        assert_eq!(lab.bring_to_an_end(Goal::Completed).await, Ended::Completed);
        assert_eq!(lab.history().status(4).generation.0, 2);
        assert_eq!(lab.world.picture(), done);
        assert_eq!(lab.bring_to_an_end(Goal::Unwound).await, Ended::Unwound);
        assert_eq!(lab.world.picture(), start);
    });
}

/// A run's records together with the world as it was when each was committed.
async fn filmed(commands: &[Command]) -> (Lab, Vec<switchback_testing::world::Everything>) {
    let lab = Lab::new(&every_kind(), OnFailure::Pause);
    let film = std::sync::Arc::new(std::sync::Mutex::new(vec![lab.world.everything()]));
    let (world, out) = (lab.world.clone(), film.clone());
    lab.disk.on_record(Box::new(move |_| out.lock().unwrap().push(world.everything())));
    for command in commands {
        let end = lab.execute(command, None).await;
        assert!(matches!(end, End::Outcome(_)), "{end:?}");
    }
    let film = film.lock().unwrap().clone();
    (lab, film)
}

/// Every prefix of a journal, in the middle of a commit as well: resume and unwind. Inside an
/// unfinished unwind: unwind, and resume is refused.
#[test]
fn every_prefix_of_a_journal() {
    on_paused_time(async {
        let (start, done) = start_and_end(&every_kind()).await;
        let all = UnwindTarget::All;
        let to = |s: &str| UnwindTarget::To(s.into());
        let stories: [(&str, Vec<Command>); 3] = [
            ("finished", vec![Command::Apply]),
            ("unwinding", vec![Command::Apply, Command::Unwind(all.clone())]),
            (
                "second generation",
                vec![Command::Apply, Command::Unwind(to("phase0")), Command::Resume, Command::Unwind(to("a"))],
            ),
        ];
        for (story, commands) in stories {
            let (lab, film) = filmed(&commands).await;
            let records = lab.disk.records();
            assert_eq!(film.len(), records.len(), "a frame a record");
            for n in 2..=records.len() {
                for goal in [Goal::Completed, Goal::Unwound] {
                    let cut = lab.with_disk(Disk::with_records(lab_run(), &records[..n]));
                    cut.world.restore(film[n - 1].clone());
                    let history = cut.history();
                    let case = format!("{story}: {n} of {} records, {goal:?}", records.len());
                    if history.is_unwinding() {
                        let refused = cut.execute(&Command::Resume, None).await;
                        assert!(matches!(refused, End::Refused(_)), "{case}: {refused:?}");
                    }
                    let goal = match history.ended() {
                        Ended::No | Ended::PartlyUnwound => goal,
                        _ => Goal::Unwound,
                    };
                    check_end(&cut, goal, &start, &done, &case).await;
                }
            }
        }
    });
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("tag"), Just("token"), Just("name"), Just("value"), Just("upsert")]
}

fn graph() -> impl Strategy<Value = Vec<StepSpec>> {
    prop::collection::vec((kind(), 0_u32..3, any::<u8>(), any::<bool>()), 1..7).prop_map(|raw| {
        let n = raw.len();
        let mut steps: Vec<StepSpec> = Vec::new();
        for (i, (kind, settles, edges, late)) in raw.into_iter().enumerate() {
            let phase = u32::from(late && i * 2 >= n);
            let uses: Vec<String> = steps
                .iter()
                .enumerate()
                .filter(|(j, s)| edges >> j & 1 == 1 && s.phase <= phase)
                .map(|(_, s)| s.id.clone())
                .collect();
            let settles = if kind == "value" { 0 } else { settles };
            steps.push(StepSpec {
                id: format!("s{i}"),
                kind,
                uses,
                phase,
                settles,
                never_right: false,
                verify_denied: false,
            });
        }
        steps
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..Fault::ALL.len()).prop_map(|i| Fault::ALL[i])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Generated graphs x faults x crash points: unwound = start, resumed = uninterrupted, every
    /// journal replays (the lab replays it before every process).
    #[test]
    fn whatever_happens(
        steps in graph(),
        faults in prop::collection::btree_map(0_usize..40, fault(), 0..4),
        cut in prop::option::of((0_usize..20, any::<bool>())),
        turn in any::<bool>(),
        goal in prop_oneof![Just(Goal::Completed), Just(Goal::Unwound)],
        unwinds in any::<bool>(),
    ) {
        on_paused_time(async {
            let (start, done) = start_and_end(&steps).await;
            let lab = Lab::new(&steps, if unwinds { OnFailure::Unwind } else { OnFailure::Pause });
            lab.world.set_faults(faults.clone());
            let cut = cut.map(|(n, before)| if before { CutOff::Before(n) } else { CutOff::After(n) });
            lab.execute(&Command::Apply, cut).await;
            if turn {
                lab.world.renew_credentials();
                lab.execute(&Command::Unwind(UnwindTarget::To("s0".into())), None).await;
            }
            check_end(&lab, goal, &start, &done, "generated").await;
        });
    }
}
