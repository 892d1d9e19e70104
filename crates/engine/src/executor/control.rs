//! How an execution is watched, asked and stopped from outside.

use std::sync::Arc;

use switchback_model::event::Event;
use switchback_model::plan::PlanStep;
use thiserror::Error;
use tokio::sync::watch;

use crate::operation::BoxFuture;

/// Who is told what happens. Called in order, from one place; what it does is back-pressure.
pub trait Observer: Send + Sync {
    /// An event.
    ///
    /// # Errors
    /// When nobody listens any more: the run stops at the next step boundary.
    fn event(&self, event: Event) -> Result<(), ObserverGone>;
}

/// The reporter is gone (a closed pipe).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the reporter is gone")]
pub struct ObserverGone;

/// What the operator answers when asked before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Do it.
    Go,
    /// Stop here; the run can go on later.
    Pause,
    /// Go back to the start.
    Unwind,
}

/// Who is asked before each step (`--step`).
pub trait Gate: Send + Sync {
    /// Whether there is anybody to ask. What was done so far is made durable before the question.
    fn asks(&self) -> bool {
        true
    }

    /// Whether to start this step.
    fn before_step<'a>(&'a self, step: &'a PlanStep) -> BoxFuture<'a, Decision>;
}

/// Asks nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysGo;

impl Gate for AlwaysGo {
    fn asks(&self) -> bool {
        false
    }

    fn before_step<'a>(&'a self, _step: &'a PlanStep) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Go))
    }
}

/// Why steps in flight are asked to come to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The operator asked (Ctrl-C).
    Operator,
    /// A step failed or paused; the others reach a recorded state first.
    OtherStep,
}

/// Stops an execution: steps in flight reach a recorded state, no new one starts.
#[derive(Debug, Clone)]
pub struct Control {
    stop: Arc<watch::Sender<Option<StopReason>>>,
}

impl Default for Control {
    fn default() -> Self {
        Self { stop: Arc::new(watch::Sender::new(None)) }
    }
}

impl Control {
    /// Not stopped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The operator wants a pause.
    pub fn pause(&self) {
        self.stop.send_replace(Some(StopReason::Operator));
    }

    /// Another step wants everybody to come to rest. An operator's pause is not overwritten.
    pub(crate) fn rest(&self) {
        self.stop.send_if_modified(|s| {
            let first = s.is_none();
            if first {
                *s = Some(StopReason::OtherStep);
            }
            first
        });
    }

    /// Everybody came to rest: the unwind that follows may work.
    pub(crate) fn work_again(&self) {
        self.stop.send_if_modified(|s| {
            let rested = *s == Some(StopReason::OtherStep);
            if rested {
                *s = None;
            }
            rested
        });
    }

    /// Why steps are asked to stop, if they are.
    #[must_use]
    pub fn stopping(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Resolves when steps are asked to stop.
    pub(crate) async fn stopped(&self) {
        let mut rx = self.stop.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = rx.wait_for(Option::is_some).await;
    }
}
