//! A lab for runs: builds a plan over the in-memory world, starts processes, lets them die, and
//! plays the operator who brings the run to an end.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::json;
use switchback_engine::cx::Contexts;
use switchback_engine::history::History;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::{CallLog, Identity, Provider};
use switchback_engine::registry::Registry;
use switchback_model::plan::{OnFailure, OutputRef, PLAN_FORMAT_VERSION, Plan, PlanStep, Policy, Target, Template};
use switchback_model::record::{Endpoint, Leftover};
use switchback_model::status::State;
use switchback_model::{OpResult, RunId, StepId};

use crate::journal::Disk;
use crate::rig::Stage;
pub use crate::rig::{Command, End, Goal, Listener, Rig};
use crate::world::{Foreign, OnSend, QUIET, World, Write};

/// A step of a test plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSpec {
    /// Its id, and its slot.
    pub id: String,
    /// `tag`, `token`, `name`, `value`, `upsert`.
    pub kind: &'static str,
    /// The ids that it hangs on, by reference to their output.
    pub uses: Vec<String>,
    /// Its phase, from 0.
    pub phase: u32,
    /// How many settle calls it takes.
    pub settles: u32,
    /// Its `verify` never agrees.
    pub never_right: bool,
    /// Its `verify` is not allowed.
    pub verify_denied: bool,
}

impl StepSpec {
    /// A step of the first phase that hangs on nothing and needs no settling.
    #[must_use]
    pub fn new(id: &str, kind: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            uses: Vec::new(),
            phase: 0,
            settles: 0,
            never_right: false,
            verify_denied: false,
        }
    }

    /// Hangs on these.
    #[must_use]
    pub fn uses(mut self, ids: &[&str]) -> Self {
        self.uses = ids.iter().map(|s| (*s).to_owned()).collect();
        self
    }

    /// In that phase.
    #[must_use]
    pub fn phase(mut self, phase: u32) -> Self {
        self.phase = phase;
        self
    }

    /// With that many settle calls.
    #[must_use]
    pub fn settles(mut self, settles: u32) -> Self {
        self.settles = settles;
        self
    }

    /// With a `verify` that never agrees.
    #[must_use]
    pub fn never_right(mut self) -> Self {
        self.never_right = true;
        self
    }

    /// With a `verify` that is not allowed.
    #[must_use]
    pub fn verify_denied(mut self) -> Self {
        self.verify_denied = true;
        self
    }
}

/// A plan of these steps.
#[must_use]
pub fn plan(steps: &[StepSpec], on_failure: OnFailure) -> Arc<Plan> {
    let phases = steps.iter().map(|s| s.phase).max().map_or(0, |p| p + 1);
    Arc::new(Plan {
        format: PLAN_FORMAT_VERSION,
        runbook: "test".into(),
        version: 1,
        description: String::new(),
        target: Target::default(),
        inputs: [].into(),
        secrets: [].into(),
        policy: Policy { on_failure, max_parallel: 4, ..Policy::default() },
        phases: (0..phases).map(|p| format!("phase{p}")).collect(),
        steps: steps.iter().map(plan_step).collect(),
        files: [].into(),
    })
}

fn plan_step(spec: &StepSpec) -> PlanStep {
    let slot = |id: &String| Template::Ref(OutputRef { step: StepId::new(id), path: vec!["slot".into()] });
    let params = [
        ("slot", Template::Lit(json!(spec.id))),
        ("uses", Template::List(spec.uses.iter().map(slot).collect())),
        ("settles", Template::Lit(json!(spec.settles))),
        ("never_right", Template::Lit(json!(spec.never_right))),
        ("verify_denied", Template::Lit(json!(spec.verify_denied))),
    ];
    PlanStep {
        id: StepId::new(&spec.id),
        phase: spec.phase,
        op: format!("test.{}", spec.kind),
        op_version: 1,
        params: Template::Map(params.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        provider: None,
        needs: spec.uses.iter().map(|u| StepId::new(u)).collect(),
        timeout: None,
        attempts: None,
        on_failure: None,
        verify: Vec::new(),
        protect: false,
    }
}

/// A run in the lab: its plan, its disk and its world.
#[derive(Clone)]
pub struct Lab {
    /// The run.
    pub rig: Rig,
    /// What does not care about the process at all.
    pub world: World,
}

impl Deref for Lab {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

/// The run of every lab.
#[must_use]
pub fn lab_run() -> RunId {
    RunId::new(uuid::Uuid::from_u128(7))
}

impl Lab {
    /// A lab with a run of these steps that has not begun. Slots of `upsert` steps hold a value.
    ///
    /// # Panics
    /// Never: the test operations have different kinds.
    #[must_use]
    pub fn new(steps: &[StepSpec], on_failure: OnFailure) -> Self {
        let world = World::new();
        for step in steps.iter().filter(|s| s.kind == "upsert") {
            world.foreign(&step.id, Foreign::Add("base"));
        }
        let plan = plan(steps, on_failure);
        let disk = Disk::new(lab_run(), Endpoint::default());
        world.on_send(intent_before_effect(plan.clone(), disk.clone()));
        let mut registry = Registry::new();
        let registered = crate::ops::register(&mut registry);
        assert!(registered.is_ok(), "the kinds differ");
        let stage = Arc::new(WorldStage { world: world.clone(), steps: steps.to_vec() });
        Self { rig: Rig { plan, disk, registry: Arc::new(registry), stage, to: None }, world }
    }

    /// A lab with the one step `a` of that kind, which pauses when it fails.
    #[must_use]
    pub fn one(kind: &'static str, settles: u32) -> Self {
        Self::new(&[StepSpec::new("a", kind).settles(settles)], OnFailure::Pause)
    }

    /// When a record of that kind is committed for the first time, somebody does something.
    pub fn when(&self, kind: &'static str, act: impl FnOnce(&World) + Send + 'static) {
        let world = self.world.clone();
        let mut act = Some(act);
        self.disk.on_record(Box::new(move |record| {
            if record.body().kind() == kind
                && let Some(act) = act.take()
            {
                act(&world);
            }
        }));
    }

    /// The same world, with a disk that holds only these records.
    #[must_use]
    pub fn with_disk(&self, disk: Disk) -> Self {
        self.world.on_send(intent_before_effect(self.plan.clone(), disk.clone()));
        Self { rig: Rig { disk, ..self.rig.clone() }, world: self.world.clone() }
    }
}

/// Says what is wrong with a write call that is sent before the record that announces it is
/// durable.
fn intent_before_effect(plan: Arc<Plan>, disk: Disk) -> OnSend {
    Box::new(move |slot, write| {
        let mut history = History::new(plan.clone());
        for record in disk.records() {
            history.replay(&record).ok()?;
        }
        let state = history.status(history.index_of(&StepId::new(slot))?).state;
        let announced = matches!(
            (state, write),
            (State::CreateStarted, Write::Add { .. } | Write::Put(_))
                | (
                    State::Created | State::Adopted | State::SettleFailed | State::VerifyFailed,
                    Write::Settle { .. } | Write::Put(_),
                )
                | (State::RollbackStarted, Write::Remove { .. } | Write::Put(_))
        );
        (!announced).then(|| format!("`{slot}` is {state} on record, and {write:?} was sent"))
    })
}

struct WorldStage {
    world: World,
    steps: Vec<StepSpec>,
}

impl Stage for WorldStage {
    fn contexts(&self) -> Contexts {
        Contexts::new().with(self.world.clone())
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(WorldProvider { world: self.world.clone(), steps: self.steps.clone() })]
    }

    fn renew_credentials(&self) {
        self.world.renew_credentials();
    }

    fn has_ours<'a>(&'a self, step: &'a StepId) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.world.truth(step.as_str()).iter().any(|t| t.ours) })
    }

    fn crashed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.world.crashed())
    }
}

/// Whom the world takes us for, and what is left of a run.
struct WorldProvider {
    world: World,
    steps: Vec<StepSpec>,
}

impl Provider for WorldProvider {
    fn name(&self) -> &str {
        "world"
    }

    fn preflight(&self, _calls: CallLog) -> BoxFuture<'_, OpResult<Identity>> {
        Box::pin(async {
            self.world.read("").await?;
            Ok(Identity { caller: "test".into() })
        })
    }

    fn sweep(&self, run: RunId, _calls: CallLog) -> BoxFuture<'_, OpResult<Vec<Leftover>>> {
        Box::pin(async move {
            let mut left = Vec::new();
            for step in &self.steps {
                for thing in self.world.read(&step.id).await? {
                    let Some(mark) = &thing.mark else { continue };
                    let mut parts = mark.splitn(3, '/');
                    if parts.next() == Some(&run.to_string()) {
                        left.push(Leftover {
                            resource_type: "thing".into(),
                            id: thing.id.clone(),
                            step: parts.next().unwrap_or_default().to_owned(),
                            generation: parts.next().and_then(|g| g.parse().ok()).unwrap_or(0),
                            target: None,
                        });
                    }
                }
            }
            Ok(left)
        })
    }
}

/// Runs a test on paused time.
///
/// # Panics
/// When this machine lets nobody make a runtime.
pub fn on_paused_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

/// Time passes until nothing late or lagging is left.
pub async fn let_the_dust_settle() {
    tokio::time::sleep(QUIET * 3).await;
}
