//! The journal of the real runbook, cut off after every commit: resume and unwind; inside an
//! unfinished unwind: unwind, and resume is refused. Also in its second generation.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use switchback_engine::history::Ended;
use switchback_model::event::Outcome;
use switchback_model::record::UnwindTarget;
use switchback_testing::conformance::Target;
use switchback_testing::journal::Disk;
use switchback_testing::lab::lab_run;
use switchback_testing::rig::{Command, End, Goal, Rig};

use crate::in_process::{Cloud, QUIET, on_paused_time, planned, rig};
use crate::support::mistersmith;

fn every_prefix(commands: &[Command]) {
    let runbook = std::fs::read_to_string(mistersmith()).expect("the runbook");
    on_paused_time(async {
        let cloud = Cloud::new().await;
        let plan = planned(&runbook);
        let start = cloud.world().await;
        let filmed = rig(plan.clone(), cloud.clone());
        let film = Arc::new(Mutex::new(vec![cloud.sandbox.snapshot().await]));
        let (camera, out) = (cloud.sandbox.clone(), film.clone());
        filmed.disk.on_record(Box::new(move |_| {
            // No call is being answered while the executor commits.
            let frame = camera.snapshot().now_or_never().expect("the sandbox is at rest");
            out.lock().unwrap().push(frame);
        }));
        for command in commands {
            let end = filmed.execute(command, None).await;
            assert!(matches!(end, End::Outcome(_)), "{end:?}");
        }
        let records = filmed.disk.records();
        let film = film.lock().unwrap().clone();
        assert_eq!(film.len(), records.len(), "a frame a record");
        let done = {
            let fresh = Cloud::new().await;
            let end = rig(plan.clone(), fresh.clone()).execute(&Command::Apply, None).await;
            assert!(matches!(end, End::Outcome(Outcome::Completed)), "{end:?}");
            fresh.world().await
        };
        for n in filmed.disk.commit_ends().into_iter().filter(|n| *n >= 2) {
            for goal in [Goal::Completed, Goal::Unwound] {
                let cut = Rig { disk: Disk::with_records(lab_run(), &records[..n]), ..filmed.clone() };
                cloud.sandbox.restore(&film[n - 1]).await;
                let history = cut.history();
                let last = records[n - 1].body().kind();
                let case = format!("{n} of {} records (last {last}), {goal:?}", records.len());
                if history.is_unwinding() {
                    let refused = cut.execute(&Command::Resume, None).await;
                    assert!(matches!(refused, End::Refused(_)), "{case}: {refused:?}");
                }
                let goal = match history.ended() {
                    Ended::No | Ended::PartlyUnwound => goal,
                    _ => Goal::Unwound,
                };
                let ended = cut.bring_to_an_end(goal).await;
                tokio::time::sleep(QUIET * 2).await;
                match ended {
                    Ended::Completed => assert_eq!(cloud.world().await, done, "{case}"),
                    Ended::Unwound => assert_eq!(cloud.world().await, start, "{case}"),
                    other => panic!("{case}: {other:?}"),
                }
            }
        }
    });
}

#[test]
fn of_a_finished_run() {
    every_prefix(&[Command::Apply]);
}

#[test]
fn of_an_unwinding_run() {
    every_prefix(&[Command::Apply, Command::Unwind(UnwindTarget::All)]);
}

#[test]
fn of_a_run_in_its_second_generation() {
    let back = Command::Unwind(UnwindTarget::To("vpc".into()));
    every_prefix(&[Command::Apply, back.clone(), Command::Resume, back]);
}
