//! Random faults in front of moto: every run is resumed or unwound to its end, nothing is left and nothing is twice.
//!
//! ```text
//! engine, SDK ── faults ── over HTTP ── moto
//!   paused time, of this runtime  │  real time, on threads
//! ```
//!
//! Time stands still as long as moto works and jumps when everybody waits, so that backoffs and quiet periods take none.
//! One call is at moto at a time: a seed gives the same run again, as far as the engine itself does the same again.
//!
//! What moto does not have is not tested here but in the sandbox: states that take time, reads that lag behind,
//! resources that stay pending or that somebody else changes (those need to know the world from inside), and refusals of
//! what still has dependents. It ignores client tokens, so that what is made once was found by its tags.
//!
//! `SWITCHBACK_FAULTY_RUNS` is how many runs (12 when it is not said), `SWITCHBACK_FAULTY_SEED` the first seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture as Answering;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use switchback_aws::{AwsConfig, AwsContext, AwsProvider};
use switchback_engine::cx::Contexts;
use switchback_engine::history::Ended;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::Provider;
use switchback_engine::secrets::Secrets;
use switchback_model::StepId;
use switchback_model::plan::Plan as RunPlan;
use switchback_sandbox::{Clock, Cut, Effect, Endpoint, Fault, Plan, Proxy, Request, Response, When};
use switchback_testing::journal::Disk;
use switchback_testing::lab::lab_run;
use switchback_testing::rig::{Command, Goal, Rig, Stage};
use tokio::runtime::{Handle, Runtime};

use crate::colleague;
use crate::in_process::{QUIET, on_paused_time, planned, registry, secrets};
use crate::moto::{Everything, MADE, Moto, everything, more};
use crate::support::{ACCOUNT, block_on, mistersmith};

/// Faults end after so many processes: the operator sees to the cause.
const PROCESSES: u32 = 12;

/// What is called on the real time of another runtime, one call after the other.
struct Elsewhere {
    target: Arc<dyn Endpoint>,
    runtime: Handle,
    turn: tokio::sync::Mutex<()>,
}

impl Endpoint for Elsewhere {
    fn call(&self, request: Request) -> Answering<'_, Result<Response, Cut>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            let (target, runtime) = (self.target.clone(), self.runtime.clone());
            let working = tokio::task::spawn_blocking(move || runtime.block_on(target.call(request)));
            working.await.expect("the call does not panic")
        })
    }
}

/// Moto, as far as a run can tell.
struct Spoiled {
    proxy: Proxy,
    context: AwsContext,
    secrets: Secrets,
    processes: AtomicU32,
    asked: AtomicU32,
    endpoint: String,
}

impl Stage for Spoiled {
    fn contexts(&self) -> Contexts {
        Contexts::new().with(self.context.clone())
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(AwsProvider::new(self.context.clone(), ACCOUNT, "switchback"))]
    }

    fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    fn renew_credentials(&self) {
        self.proxy.faults().renew();
        if self.processes.fetch_add(1, Ordering::Relaxed) == PROCESSES {
            self.proxy.faults().clear();
        }
    }

    /// What has no tags of its own (an attachment, an association) is not ours then: it is made again as it was.
    fn has_ours<'a>(&'a self, step: &'a StepId) -> BoxFuture<'a, bool> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (endpoint, tag) = (self.endpoint.clone(), format!("switchback:step={}", step.as_tag_value()));
        Box::pin(async move {
            let everything = tokio::task::spawn_blocking(move || everything(&endpoint)).await;
            let everything = everything.expect("the look does not panic");
            let ours = |it: &String| !it.contains(ANOTHER_RUN) && it.split(' ').any(|held| held == tag);
            everything.values().flatten().any(ours)
        })
    }

    fn crashed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// The run of the look-alikes.
const ANOTHER_RUN: &str = "run-of-somebody-else";

/// What goes wrong in this run: how often altogether, and which of it, is drawn first.
fn faults(random: &mut SmallRng, seed: u64) -> Plan {
    let often = random.random_range(0.01..0.12);
    let error = |when| Effect::Error { status: 500, code: "InternalError".into(), message: None, when };
    let late = Effect::Late { delay_ms: random.random_range(0..20_000), wait_ms: random.random_range(0..10_000) };
    let effects = [
        ("*", Effect::Throttle, 1.0),
        ("*", error(When::Before), 1.0),
        ("*", error(When::After), 1.0),
        ("*", Effect::ReplyLost { wait_ms: random.random_range(0..5_000) }, 1.0),
        ("*", Effect::RequestLost { wait_ms: random.random_range(0..5_000) }, 1.0),
        ("*", Effect::Refuse, 1.0),
        ("*", Effect::Slow { ms: random.random_range(0..20_000) }, 1.0),
        ("Create*", late.clone(), 1.0),
        ("*", late, 0.5),
        ("Delete*", Effect::Deny, 1.0),
        ("*", Effect::Expire, 0.1),
    ];
    let mut weights: Vec<f64> = effects.iter().map(|(.., weight)| weight * random.random_range(0.0..1.0)).collect();
    let all: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight *= often / all);
    let faults = effects
        .into_iter()
        .zip(weights)
        .map(|((action, effect, _), chance)| Fault { chance: Some(chance), ..Fault::new(action, effect).times(0) });
    Plan { seed, faults: faults.collect(), expired: Vec::new() }
}

/// Somebody else's, as like to ours as AWS lets it be: names, ranges, and the tags of another run.
fn look_alikes(endpoint: &str) {
    let ec2 = colleague::ec2(endpoint);
    let tags = |kind: &str, name: &str, step: &str| {
        let tag = |key: &str, value: &str| aws_sdk_ec2::types::Tag::builder().key(key).value(value).build();
        aws_sdk_ec2::types::TagSpecification::builder()
            .resource_type(kind.into())
            .tags(tag("Name", name))
            .tags(tag("switchback:run", ANOTHER_RUN))
            .tags(tag("switchback:step", step))
            .build()
    };
    block_on(async {
        let vpc = ec2.create_vpc().cidr_block("10.0.0.0/16").tag_specifications(tags("vpc", "MisterSmith-VPC", "vpc"));
        let vpc = vpc.send().await.expect("a vpc").vpc.expect("a vpc").vpc_id.expect("an id");
        let subnet = ec2.create_subnet().vpc_id(&vpc).cidr_block("10.0.1.0/24").availability_zone("us-east-1a");
        let subnet = subnet.tag_specifications(tags("subnet", "MisterSmith-Private-1A", "subnet[1a]"));
        subnet.send().await.expect("a subnet");
        let gateway = tags("internet-gateway", "MisterSmith-IGW", "internet_gateway");
        ec2.create_internet_gateway().tag_specifications(gateway).send().await.expect("a gateway");
        let group = ec2.create_security_group().vpc_id(&vpc).group_name("mistersmith-ecs-sg").description("the same");
        let group = group.tag_specifications(tags("security-group", "x", "ecs_sg"));
        group.send().await.expect("a group");
    });
}

/// What came of a run.
struct Came {
    goal: Goal,
    processes: u32,
    calls: usize,
    spoiled: BTreeMap<String, usize>,
    asked: u32,
}

fn a_faulty_run(moto: &Moto, forward: &Arc<dyn Endpoint>, real: &Runtime, plan: &Arc<RunPlan>, seed: u64) -> Came {
    moto.reset();
    look_alikes(&moto.endpoint);
    let before = moto.everything();
    let mut random = SmallRng::seed_from_u64(seed);
    let faults = faults(&mut random, seed);
    let goal = if random.random_bool(0.5) { Goal::Completed } else { Goal::Unwound };
    let case = format!("SWITCHBACK_FAULTY_SEED={seed}, to {goal:?}");
    let (stage, ended) = on_paused_time(async {
        let target = Arc::clone(forward);
        let elsewhere = Elsewhere { target, runtime: real.handle().clone(), turn: tokio::sync::Mutex::default() };
        let proxy = Proxy::around(Arc::new(elsewhere), Clock::real());
        let config = AwsConfig::in_process("us-east-1", proxy.http_client()).with_quiet(QUIET);
        let context = AwsContext::new(config).await;
        let (recorded, secrets) = secrets();
        proxy.set(faults.clone()).expect("no fault needs the rules");
        let (processes, asked) = (AtomicU32::new(1), AtomicU32::new(0));
        let endpoint = moto.endpoint.clone();
        let stage = Arc::new(Spoiled { proxy, context, secrets, processes, asked, endpoint });
        // A run that the preflight refuses has done nothing: the operator begins another one.
        let ended = loop {
            let target = switchback_model::record::Endpoint::default();
            let disk = Disk::with_secrets(lab_run(), target, Some(recorded.clone()));
            let rig = Rig { plan: plan.clone(), disk, registry: registry(), stage: stage.clone(), to: None };
            rig.execute(&Command::Apply, None).await;
            match rig.bring_to_an_end(goal).await {
                Ended::Refused => stage.renew_credentials(),
                ended => break ended,
            }
        };
        // Nothing lands after this.
        tokio::time::sleep(QUIET * 2).await;
        stage.proxy.land().await;
        assert_eq!(stage.proxy.faults().still_to_land(), 0, "{case}");
        (stage, ended)
    });
    let after = moto.everything();
    let untouched = |kind: &'static str, all: &BTreeSet<String>| {
        assert!(after.get(kind).is_some_and(|now| all.is_subset(now)), "{case}: a {kind} of somebody else changed");
    };
    before.iter().for_each(|(kind, all)| untouched(kind, all));
    match (goal, ended) {
        (Goal::Completed, Ended::Completed) => {
            let mut new = more(&before, &after);
            new.remove("rule");
            assert_eq!(new, BTreeMap::from(MADE), "{case}: each step made one\n{after:#?}");
            each_step_once(&before, &after, &case);
        }
        (Goal::Unwound, Ended::Unwound) => assert_eq!(after, before, "{case}: nothing is left"),
        (_, other) => panic!("{case}: {other:?}"),
    }
    let calls = stage.proxy.faults().calls();
    let mut spoiled = BTreeMap::new();
    for fault in calls.iter().filter(|call| !call.landed).filter_map(|call| call.fault.clone()) {
        *spoiled.entry(fault).or_default() += 1;
    }
    let (processes, asked) = (stage.processes.load(Ordering::Relaxed), stage.asked.load(Ordering::Relaxed));
    Came { goal, processes, calls: calls.len(), spoiled, asked }
}

/// No two new resources carry the tag of one step.
fn each_step_once(before: &Everything, after: &Everything, case: &str) {
    let mut steps = BTreeSet::new();
    for (kind, all) in after {
        for it in all.iter().filter(|it| !before.get(kind).is_some_and(|old| old.contains(*it))) {
            let step = it.split(' ').find(|tag| tag.starts_with("switchback:step="));
            assert!(step.is_none_or(|step| steps.insert(step.to_owned())), "{case}: twice: {it}");
        }
    }
    assert!(steps.len() > 25, "{case}: {steps:?}");
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.into_string().ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn random_faults_leave_nothing_behind_and_nothing_twice() {
    let Some(moto) = Moto::start() else { return };
    let first = number("SWITCHBACK_FAULTY_SEED");
    let runs = number("SWITCHBACK_FAULTY_RUNS").unwrap_or(if first.is_some() { 1 } else { 12 });
    let first = first.unwrap_or(1);
    let real = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let forward = Proxy::new(&moto.endpoint).expect("a URL").endpoint();
    let runbook = std::fs::read_to_string(mistersmith()).expect("the runbook");
    let plan = planned(&runbook);
    let (mut spoiled, mut calls, mut back, mut processes, mut asked) = (BTreeMap::new(), 0, 0, 0, 0);
    for seed in first..first + runs {
        // A panic inside is not caught: this says which run it was, with any output.
        eprintln!("SWITCHBACK_FAULTY_SEED={seed}");
        let came = a_faulty_run(&moto, &forward, &real, &plan, seed);
        calls += came.calls;
        back += u32::from(came.goal == Goal::Unwound);
        processes += came.processes;
        asked += came.asked;
        for (fault, n) in came.spoiled {
            *spoiled.entry(fault).or_insert(0) += n;
        }
    }
    eprintln!(
        "{runs} runs from seed {first}, {back} of them unwound: {calls} calls by {processes} processes, a person asked \
         {asked} times; faults: {spoiled:?}"
    );
    assert!(spoiled.len() > 5 || runs < 10, "too little went wrong: {spoiled:?}");
    drop(real);
}
