//! The real operations against the sandbox in this process: no sockets, on paused time.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use switchback_aws::{AwsConfig, AwsContext, AwsProvider};
use switchback_data::nats::jetstream_to_dynamodb::JetstreamToDynamodb;
use switchback_data::postgres::database::Database;
use switchback_data::postgres::import::Import;
use switchback_data::postgres::migrations::Migrations;
use switchback_engine::Registry;
use switchback_engine::cx::Contexts;
use switchback_engine::operation::BoxFuture;
use switchback_engine::planner;
use switchback_engine::provider::Provider;
use switchback_engine::runbook::Source;
use switchback_engine::secrets::{Given, Secrets};
use switchback_model::StepId;
use switchback_model::plan::{OnFailure, Plan};
use switchback_model::record::{Endpoint, RunSecrets};
use switchback_sandbox::{Effect, Fault, Sandbox, Snapshot};
use switchback_testing::conformance::{Injection, Seen, Target};
use switchback_testing::journal::Disk;
use switchback_testing::lab::lab_run;
pub use switchback_testing::lab::on_paused_time;
use switchback_testing::rig::{Rig, Stage};

use crate::support::{ACCOUNT, PASSWORD};
use crate::world::nameless;

/// The quiet period of this target.
pub const QUIET: Duration = Duration::from_secs(30);

/// AWS, as far as the operations can tell.
pub struct Cloud {
    pub sandbox: Sandbox,
    context: AwsContext,
    models: Mutex<Contexts>,
    recorded: RunSecrets,
    secrets: Secrets,
}

impl Cloud {
    pub async fn new() -> Arc<Self> {
        let sandbox = Sandbox::builder().account(ACCOUNT).region("us-east-1").settle(Duration::from_secs(2)).build();
        let config = AwsConfig::in_process("us-east-1", sandbox.http_client()).with_quiet(QUIET);
        let context = AwsContext::new(config).await;
        let (recorded, secrets) = secrets();
        Arc::new(Self { sandbox, context, models: Mutex::default(), recorded, secrets })
    }

    /// With models of what is not AWS, as the steps of that plan need them.
    pub async fn model(&self, plan: &Plan) {
        *self.models.lock().expect("nobody panicked") = switchback_sandbox::rehearse::models(&self.sandbox, plan).await;
    }

    /// The world, as the admin route of the sandbox shows it.
    pub async fn everything(&self) -> Value {
        serde_json::to_value(self.sandbox.world().await).expect("JSON")
    }
}

impl Stage for Cloud {
    fn contexts(&self) -> Contexts {
        self.models.lock().expect("nobody panicked").clone().with(self.context.clone())
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(AwsProvider::new(self.context.clone(), ACCOUNT, "switchback"))]
    }

    fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    fn renew_credentials(&self) {
        self.sandbox.faults().renew();
    }

    fn has_ours<'a>(&'a self, step: &'a StepId) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let world = self.sandbox.world().await;
            let tag = step.as_tag_value();
            world.resources.iter().any(|r| r.tags.get("switchback:step") == Some(&tag))
        })
    }

    fn crashed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

impl Target for Cloud {
    fn world(&self) -> BoxFuture<'_, Value> {
        Box::pin(async { nameless(&self.everything().await) })
    }

    fn save(&self) -> BoxFuture<'_, Box<dyn Any + Send + Sync>> {
        Box::pin(async { Box::new(self.sandbox.snapshot().await) as Box<dyn Any + Send + Sync> })
    }

    fn load<'a>(&'a self, saved: &'a (dyn Any + Send + Sync)) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let snapshot = saved.downcast_ref::<Snapshot>().expect("a snapshot of a sandbox");
            self.sandbox.restore(snapshot).await;
        })
    }

    fn calls(&self) -> Vec<Seen> {
        let calls = self.sandbox.faults().calls();
        let made = calls.into_iter().filter(|c| !c.landed);
        made.map(|c| Seen { name: format!("{}:{}", c.service, c.action), write: c.write }).collect()
    }

    fn forget_calls(&self) {
        self.sandbox.faults().forget_calls();
    }

    fn inject(&self, nth: usize, what: Injection) {
        let effect = match what {
            Injection::ServerError => Effect::Error {
                status: 500,
                code: "InternalError".into(),
                message: None,
                when: switchback_sandbox::When::Before,
            },
            Injection::Throttled => Effect::Throttle,
            Injection::Denied => Effect::Deny,
            Injection::ReplyLost => Effect::ReplyLost { wait_ms: 0 },
            Injection::LandsLate => Effect::Late { delay_ms: 20_000, wait_ms: 0 },
        };
        let nth = u32::try_from(nth + 1).expect("not so many calls");
        self.sandbox.faults().add(Fault::new("*", effect).nth(nth));
    }

    fn clear(&self) {
        self.sandbox.faults().clear();
    }
}

/// The secrets that the runbooks ask for: what is recorded of them, and their values.
pub fn secrets() -> (RunSecrets, Secrets) {
    let given = |name: &str| {
        let given = Given { value: SecretString::from(PASSWORD), source: "a test".to_owned(), version: None };
        (name.to_owned(), given)
    };
    let given = [given("password"), given("db_password")].into();
    Secrets::begin([7; 16], given).expect("fingerprints")
}

/// Every operation of this binary.
pub fn registry() -> Arc<Registry> {
    let mut registry = Registry::new();
    switchback_aws::register(&mut registry).expect("the kinds differ");
    switchback_container::register(&mut registry).expect("the kinds differ");
    registry.register(JetstreamToDynamodb).expect("the kinds differ");
    registry.register(Database).expect("the kinds differ");
    registry.register(Migrations).expect("the kinds differ");
    registry.register(Import).expect("the kinds differ");
    Arc::new(registry)
}

/// A runbook as a plan that pauses when a step fails.
pub fn planned(text: &str) -> Arc<Plan> {
    let registry = registry();
    let inputs = [("account".to_owned(), ACCOUNT.to_owned())].into();
    let mut plan = match planner::plan_runbook(&Source::new("runbook.yaml", text), &registry, &inputs) {
        Ok(planned) => planned.plan,
        Err(errors) => panic!("{errors:?}"),
    };
    plan.policy.on_failure = OnFailure::Pause;
    Arc::new(plan)
}

/// A run of that plan in that cloud that has not begun.
pub fn rig(plan: Arc<Plan>, cloud: Arc<Cloud>) -> Rig {
    let disk = Disk::with_secrets(lab_run(), Endpoint::default(), Some(cloud.recorded.clone()));
    Rig { plan, disk, registry: registry(), stage: cloud, to: None }
}
