//! `plan`: what the preflight of a run would see, without a run. Reads only, and writes no
//! journal.

use std::sync::Arc;

use switchback_engine::Cx;
use switchback_engine::cx::{CxSink, Fence, RunCx};
use switchback_engine::executor::{Control, Environment, foresee, may_come};
use switchback_engine::provider::no_log;
use switchback_model::plan::{Plan, PlanStep};
use switchback_model::record::Called;
use switchback_model::{Generation, OpError, OpResult, SecretRef, StepId};
use switchback_report::plan::PreflightView;
use tokio::time::Instant;

use crate::host;

struct ReadOnly;

impl Fence for ReadOnly {
    fn check(&self) -> OpResult<()> {
        Err(OpError::permanent("`plan` is read-only, so nothing may be written"))
    }
}

impl CxSink for ReadOnly {
    fn progress(&self, _step: &StepId, _doing: &str) {}
    fn called(&self, _step: &StepId, _generation: Generation, _call: Called) {}
}

/// Asks every target who we are, and reads the start state of every step that can be known.
pub(crate) async fn look(plan: &Plan, env: &Environment) -> PreflightView {
    let mut view = PreflightView { callers: Vec::new(), captured: 0, later: 0, reasons: Vec::new() };
    for provider in &env.providers {
        match provider.preflight(no_log()).await {
            Ok(identity) => view.callers.push(identity.caller),
            Err(e) => view.reasons.push((None, e)),
        }
    }
    if !view.reasons.is_empty() {
        view.later = plan.steps.len();
        return view;
    }
    let shared = Arc::new(RunCx {
        run: host::new_run(),
        tag_prefix: env.tag_prefix.clone(),
        clock: env.clock.clone(),
        contexts: env.contexts.clone(),
        secrets: env.secrets.clone(),
        fence: Arc::new(ReadOnly),
        sink: Arc::new(ReadOnly),
        control: Control::new(),
    });
    for step in &plan.steps {
        match capture(step, env, &shared).await {
            None => view.later += 1,
            Some(Ok(())) => view.captured += 1,
            // Something it needs is not there yet: a run captures it right before its create.
            Some(Err(e)) if may_come(step, &e) => view.later += 1,
            Some(Err(e)) => view.reasons.push((Some(step.id.clone()), e)),
        }
    }
    view
}

/// `None`: its parameters are known only later, and nothing can be said against it yet.
async fn capture(step: &PlanStep, env: &Environment, shared: &Arc<RunCx>) -> Option<OpResult<()>> {
    let op = env.registry.get(&step.op)?;
    let Ok(params) = step.params.resolve(&|_| None) else {
        let secret = |name: &str| Some(SecretRef::of_input(name));
        return foresee(op, shared, step, Generation::FIRST, &secret).await.map(Err);
    };
    let bound = match op.bind(&params) {
        Ok(bound) => bound,
        Err(errors) => {
            let text: Vec<_> = errors.into_iter().map(|e| e.message).collect();
            return Some(Err(OpError::permanent(text.join("; "))));
        }
    };
    let deadline = Instant::now() + step.timeout.unwrap_or(bound.facts().create_deadline);
    let cx =
        Cx::new(shared.clone(), step.id.clone(), Generation::FIRST, "", deadline).on_target(step.provider.as_deref());
    Some(bound.capture(&cx).await.map(|_| ()))
}
