//! The context of one step outside of any run, for tests that call an operation or a remote directly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchback_engine::Cx;
use switchback_engine::cx::{Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::secrets::Secrets;
use switchback_model::record::Called;
use switchback_model::{Generation, OpResult, RunId, StepId};
use tokio::time::Instant;
use uuid::Uuid;

use crate::rig::FixedClock;

/// How long the step may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// What a step did and said.
#[derive(Debug, Default)]
pub struct Seen {
    calls: Mutex<Vec<Called>>,
    progress: Mutex<Vec<String>>,
}

impl Seen {
    /// How many calls of that name were made.
    #[must_use]
    pub fn calls(&self, operation: &str) -> usize {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.operation == operation).count()
    }

    /// What it said that it was doing.
    #[must_use]
    pub fn progress(&self) -> Vec<String> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CxSink for Seen {
    fn progress(&self, _: &StepId, doing: &str) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).push(doing.to_owned());
    }

    fn called(&self, _: &StepId, _: Generation, call: Called) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

struct Open;

impl Fence for Open {
    fn check(&self) -> OpResult<()> {
        Ok(())
    }
}

/// The context of a step of that name, and what is seen of it. The run is the same each time.
#[must_use]
pub fn step(name: &str, contexts: Contexts, secrets: Secrets) -> (Cx, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let run = RunCx {
        run: RunId::new(Uuid::from_u128(7)),
        tag_prefix: "switchback".into(),
        clock: Arc::new(FixedClock),
        contexts,
        secrets,
        fence: Arc::new(Open),
        sink: seen.clone(),
        control: Control::new(),
    };
    (Cx::new(Arc::new(run), StepId::new(name), Generation::FIRST, "token", Instant::now() + DEADLINE), seen)
}
