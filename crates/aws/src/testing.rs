//! A `Cx` for the unit tests: keeps what was called and said, and can close its fence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use switchback_engine::Cx;
use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_model::record::Called;
use switchback_model::{ErrorClass, Generation, OpError, OpResult, RunId, StepId};
use tokio::time::Instant;

use crate::{AwsConfig, AwsContext};

/// What a test can see and set.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) calls: Mutex<Vec<Called>>,
    pub(crate) closed: AtomicBool,
}

impl Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

impl Fence for Watch {
    fn check(&self) -> OpResult<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(OpError::new(ErrorClass::Unavailable, "another executor has taken over"));
        }
        Ok(())
    }
}

impl CxSink for Watch {
    fn progress(&self, _: &StepId, _: &str) {}

    fn called(&self, _: &StepId, _: Generation, call: Called) {
        self.calls.lock().unwrap().push(call);
    }
}

/// A step's context, and what it is watched by.
pub(crate) async fn watched(step: &str, config: AwsConfig) -> (Cx, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    let run = RunCx {
        run: RunId::new(uuid::Uuid::from_u128(7)),
        tag_prefix: "switchback".into(),
        clock: watch.clone(),
        contexts: Contexts::new().with(AwsContext::new(config).await),
        fence: watch.clone(),
        sink: watch.clone(),
        control: Control::new(),
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    (Cx::new(Arc::new(run), StepId::new(step), Generation::FIRST, "token", deadline), watch)
}

/// A step's context.
pub(crate) async fn cx(step: &str, config: AwsConfig) -> Cx {
    watched(step, config).await.0
}
