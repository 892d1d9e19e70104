//! A `Cx` for the unit tests, whose time of day is set by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use switchback_engine::Cx;
use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::remote::{Answers, Ask, Remote};
use switchback_engine::secrets::Secrets;
use switchback_model::record::Called;
use switchback_model::{Generation, OpResult, RunId, StepId};
use tokio::time::Instant;

/// What a step may use in a test.
#[derive(Default, Clone)]
pub(crate) struct Bench {
    contexts: Contexts,
    world: Arc<World>,
}

#[derive(Default)]
struct World {
    passed: Mutex<Duration>,
    calls: Mutex<Vec<Called>>,
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + *self.passed.lock().unwrap()
    }
}

impl Fence for World {
    fn check(&self) -> OpResult<()> {
        Ok(())
    }
}

impl CxSink for World {
    fn progress(&self, _: &StepId, _: &str) {}

    fn called(&self, _: &StepId, _: Generation, call: Called) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Bench {
    /// With somebody who answers these calls.
    pub(crate) fn answered<A: Ask>(by: impl Remote<A>) -> Self {
        let answers: Answers<A> = Arc::new(by);
        Self { contexts: Contexts::new().with(answers), ..Self::default() }
    }

    /// Lets the time of day pass.
    pub(crate) fn pass(&self, time: Duration) {
        *self.world.passed.lock().unwrap() += time;
    }

    /// The calls that were made, each as in the facts.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.world.calls.lock().unwrap().iter().map(|c| format!("{}:{}", c.service, c.operation)).collect()
    }

    /// The context of a step that has a day.
    pub(crate) fn cx(&self) -> Cx {
        let run = RunCx {
            run: "00000000-0000-0000-0000-000000000007".parse::<RunId>().unwrap(),
            tag_prefix: "switchback".into(),
            clock: self.world.clone(),
            contexts: self.contexts.clone(),
            secrets: Secrets::none(),
            fence: self.world.clone(),
            sink: self.world.clone(),
            control: Control::new(),
        };
        let deadline = Instant::now() + Duration::from_secs(86_400);
        Cx::new(Arc::new(run), StepId::new("probe"), Generation::FIRST, "", deadline)
    }
}
