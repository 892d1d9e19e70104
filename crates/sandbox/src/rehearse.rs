//! The world of AWS for a rehearsal: the sandbox in this process, behind the seam of `switchback_rehearsal`.
//!
//! Each thread has a sandbox of its own on tokio's paused clock; all of them begin alike, with look-alikes of
//! everything that the plan makes. Nothing here knows what a rehearsal does with it.

mod cloud;
mod look;
mod lookalikes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use switchback_engine::Registry;
use switchback_engine::planner;
use switchback_engine::secrets::{Given, Secrets};
use switchback_model::RunId;
use switchback_model::plan::Plan;
use switchback_model::rehearsal::{CERTIFICATE_VERSION, Certificate, Line, Started};
use switchback_rehearsal::case::Case;
use switchback_rehearsal::{Config, MakeWorld, Subject, Tell, rehearse, replay_case};
use uuid::Uuid;

pub use self::cloud::{Cloud, models};

/// The quiet period of the rehearsed world: the one of AWS.
const QUIET: Duration = switchback_aws::QUIET;
/// How long what is made is pending.
const SETTLE: Duration = Duration::from_millis(200);

/// The run that is rehearsed. Its marks are ours; those of any other run are not.
#[must_use]
pub fn run() -> RunId {
    RunId::new(Uuid::from_u128(0x5b_0000_0000_4000_8000_0000_0000_0001))
}

/// The operations of the `switchback` command.
///
/// # Errors
/// When two have the same kind.
pub fn registry() -> Result<Arc<Registry>, String> {
    let mut registry = Registry::new();
    switchback_aws::register(&mut registry).map_err(|e| e.to_string())?;
    switchback_container::register(&mut registry).map_err(|e| e.to_string())?;
    switchback_data::register(&mut registry).map_err(|e| e.to_string())?;
    switchback_probe::register(&mut registry).map_err(|e| e.to_string())?;
    Ok(Arc::new(registry))
}

/// The rehearsal of that plan in a sandbox of its target's account and region.
///
/// # Errors
/// When the plan has no target in AWS, or secrets of a form that cannot be made up.
pub fn subject(plan: Plan, plan_hash: String, registry: Arc<Registry>) -> Result<Subject, String> {
    // Values of their own: nobody's secret takes part in a rehearsal.
    let values: BTreeMap<String, String> = plan
        .secrets
        .keys()
        .map(|name| (name.clone(), format!("Canary-{}-5b0c5b0c5b0c", name.replace('_', "-"))))
        .collect();
    let given = |value: &String| Given {
        value: SecretString::from(value.clone()),
        source: "the rehearsal".to_owned(),
        version: None,
    };
    let given = values.iter().map(|(name, value)| (name.clone(), given(value))).collect();
    let secrets = if values.is_empty() {
        (None, Secrets::none())
    } else {
        let (recorded, secrets) = Secrets::begin([7; 16], given).map_err(|e| e.to_string())?;
        (Some(recorded), secrets)
    };
    let plan = Arc::new(plan);
    let world: MakeWorld = {
        let (plan, registry, secrets) = (plan.clone(), registry.clone(), secrets.clone());
        Arc::new(move || {
            let (plan, registry, secrets) = (plan.clone(), registry.clone(), secrets.clone());
            Box::pin(async move {
                let cloud = Cloud::new(&plan, run()).await?;
                lookalikes::populate(&cloud, &plan, registry, secrets).await?;
                Ok(Arc::new(cloud) as Arc<dyn switchback_rehearsal::world::World>)
            })
        })
    };
    let canaries = values.into_values().collect();
    Ok(Subject { plan, plan_hash, registry, run: run(), secrets, canaries, world, wrap_journal: None })
}

/// What is asked of a rehearsal.
#[derive(Debug, Clone)]
pub struct Request {
    /// Threads.
    pub jobs: usize,
    /// One of so many cases is run; 1: all of them.
    pub sample: u64,
    /// What chooses the cases of a sample, and the pauses of the engine.
    pub seed: u64,
    /// Only this case, again.
    pub case: Option<Case>,
}

/// Rehearses the plan in this text (canonical JSON), and says what comes of it.
///
/// # Errors
/// When the text is no plan of this release, or there is no world to rehearse it in.
pub fn run_on(text: &str, request: &Request, tell: Tell) -> Result<(), String> {
    let registry = registry()?;
    let plan = planner::load_plan(text, &registry).map_err(|error| format!("this is not a plan: {error}"))?;
    let hash = planner::plan_hash(&plan);
    let (runbook, steps) = (plan.runbook.clone(), u32::try_from(plan.steps.len()).unwrap_or(u32::MAX));
    let jobs = u32::try_from(request.jobs).unwrap_or(u32::MAX);
    let subject = subject(plan, hash.clone(), registry)?;
    let config = Config { jobs: request.jobs, sample: request.sample, seed: request.seed, ..Config::default() };
    if let Some(case) = &request.case {
        let replayed = replay_case(&subject, &config, case).map_err(|e| e.to_string())?;
        tell(Line::Replayed(Box::new(replayed)));
        return Ok(());
    }
    let (sample, seed) = (request.sample, request.seed);
    tell(Line::Started(Started { runbook: runbook.clone(), plan_hash: hash.clone(), steps, jobs, sample, seed }));
    let summary = rehearse(&subject, &config, &tell).map_err(|e| e.to_string())?;
    tell(Line::Finished(Box::new(Certificate {
        version: CERTIFICATE_VERSION,
        runbook,
        plan_hash: hash,
        steps,
        switchback: env!("CARGO_PKG_VERSION").to_owned(),
        emulator: emulator(),
        finished_at: now(),
        duration_ms: u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
        jobs,
        seed,
        sample,
        cases: summary.cases,
        states: summary.states,
        processes: summary.processes,
        calls: summary.calls,
        findings: summary.findings,
    })));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "for people: nothing decides on it")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The crates of the emulator, and their versions.
#[must_use]
pub fn emulator() -> BTreeMap<String, String> {
    // As pinned in the workspace: a crate does not tell its version at run time.
    let crates = [
        ("winterbaume-core", "0.2.0"),
        ("winterbaume-ec2", "1.0.0"),
        ("winterbaume-sts", "0.2.0"),
        ("winterbaume-cloudwatch", "0.2.0"),
        ("winterbaume-cloudwatchlogs", "0.2.0"),
        ("winterbaume-dynamodb", "0.3.0"),
        ("winterbaume-elasticloadbalancingv2", "0.2.0"),
        ("winterbaume-ecr", "0.2.0"),
        ("winterbaume-ecs", "0.2.0"),
        ("winterbaume-iam", "0.2.1"),
        ("winterbaume-kms", "0.2.1"),
        ("winterbaume-rds", "0.2.0"),
        ("winterbaume-secretsmanager", "0.2.0"),
        ("winterbaume-servicediscovery", "0.2.1"),
        ("winterbaume-ssm", "0.3.0"),
        ("winterbaume-sns", "0.2.0"),
        ("winterbaume-s3", "0.2.1"),
        ("winterbaume-lambda", "0.2.0"),
        ("winterbaume-backup", "0.2.0"),
    ];
    crates.into_iter().map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}
