//! A host whose clock is set back an hour, between two processes of a run and while one works. Times
//! are for people: the order of things comes from the numbers of the records.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use switchback_aws::{AwsConfig, AwsContext, AwsProvider};
use switchback_engine::cx::{Clock, Contexts};
use switchback_engine::executor::{self, AlwaysGo, Control, Environment, Options, Setup};
use switchback_engine::history::History;
use switchback_engine::planner::load_plan;
use switchback_engine::secrets::Secrets;
use switchback_journal::{Store, Writer};
use switchback_model::event::Outcome;
use switchback_model::record::{Actor, Record};
use switchback_testing::rig::Listener;

use crate::in_process::registry;
use crate::support::{ACCOUNT, Operator, block_on, runbook};
use crate::together::SMALL;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// After so many looks it is set back once more.
const LOOKS: i64 = 15;

/// An hour behind `last`, goes on by a millisecond a look, and is then set back another hour.
struct SetBack {
    last: Timestamp,
    looks: AtomicI64,
}

impl Clock for SetBack {
    fn now(&self) -> Timestamp {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let back = if looks < LOOKS { HOUR } else { HOUR * 2 };
        self.last - back + SignedDuration::from_millis(looks)
    }
}

/// `switchback resume`, as the CLI does it, with that clock.
async fn resume(operator: &Operator, clock: Arc<dyn Clock>) -> Outcome {
    let actor = Actor { user: "op".into(), host: "here".into(), pid: 1, aws_caller: None, binary: "0.1.0".into() };
    let store = Store::open(operator.state.path(), Writer { actor, clock: clock.clone() }).unwrap();
    let run = store.runs().unwrap().pop().unwrap().run;
    let journal = store.take_run(run, "resume").unwrap();
    let registry = registry();
    let mut history = History::new(Arc::new(load_plan(&store.plan(run).unwrap(), &registry).unwrap()));
    store
        .replay(run, &mut |record| {
            history.replay(&record).unwrap();
            Ok(())
        })
        .unwrap();
    let secret = operator.sandbox()["secret_access_key"].as_str().unwrap().to_owned();
    let config = AwsConfig::endpoint("us-east-1", operator.endpoint(), ACCOUNT, secret);
    let context = AwsContext::new(config.with_quiet(Duration::from_millis(150))).await;
    let env = Environment {
        registry,
        clock,
        contexts: Contexts::new().with(context.clone()),
        secrets: Secrets::none(),
        providers: vec![Arc::new(AwsProvider::new(context, ACCOUNT, "switchback"))],
        tag_prefix: "switchback".into(),
    };
    let setup = Setup {
        journal: Box::new(journal),
        history,
        env,
        options: Options::default(),
        observer: Arc::new(Listener::default()),
        gate: Arc::new(AlwaysGo),
        control: Control::new(),
    };
    executor::resume(setup).await.unwrap()
}

fn newest_records(operator: &Operator) -> Vec<Record> {
    let store = Store::open_read_only(operator.state.path()).unwrap();
    let run = store.runs().unwrap().pop().unwrap().run;
    let mut records = Vec::new();
    store
        .replay(run, &mut |record| {
            records.push(record);
            Ok(())
        })
        .unwrap();
    records
}

#[test]
fn a_clock_that_is_set_back_changes_no_order() {
    let operator = Operator::with_sandbox();
    let path = runbook(operator.state.path(), SMALL);
    let start = operator.nameless();
    operator.apply(&path).exits(0);
    let done = operator.nameless();
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);

    operator.run(&["apply", &path.to_string_lossy(), "--sandbox", "--auto-approve", "--to", "vpc"]).exits(0);
    let half = operator.nameless();
    let last = newest_records(&operator).last().unwrap().draft.at;
    let clock = Arc::new(SetBack { last, looks: AtomicI64::new(0) });
    let outcome = block_on(resume(&operator, clock.clone()));
    assert!(matches!(outcome, Outcome::Completed), "{outcome:?}");
    assert_eq!(operator.nameless(), done);
    let records = newest_records(&operator);
    let set_back = records.windows(2).filter(|two| two[1].draft.at < two[0].draft.at - HOUR / 2).count();
    assert_eq!(set_back, 2, "between two processes, and while one worked");

    // The VPC was verified first, and later than all others by the clock.
    operator.run(&["status"]).exits(0).prints("verified");
    operator.run(&["runs"]).exits(0);
    operator.run(&["verify"]).exits(0);
    operator.run(&["unwind", "--to", "vpc", "--auto-approve"]).exits(0);
    assert_eq!(operator.nameless(), half, "what was verified after the VPC is gone, the VPC is there");
    operator.run(&["resume"]).exits(0);
    assert_eq!(operator.nameless(), done);
    operator.run(&["log", "--all"]).exits(0);
    let log = operator.run(&["--json", "log", "--all"]).exits(0).out;
    let seqs = log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["data"]["seq"].as_u64().unwrap());
    assert!(seqs.clone().count() > 40 && seqs.is_sorted());
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.nameless(), start);
}
