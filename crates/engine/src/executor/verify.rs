//! `verify`: is every step still as we left it? Read-only, without a journal to write to.

use std::sync::Arc;

use serde_json::Value;
use switchback_model::record::{Called, Comparison, Json};
use switchback_model::status::State;
use switchback_model::{Generation, OpError, OpResult, RunId, StepId};
use tokio::time::Instant;

use super::step::client_token;
use super::{Control, Environment};
use crate::cel;
use crate::cx::{Cx, CxSink, Fence, RunCx};
use crate::history::History;
use crate::operation::{Expect, Verdict};

/// What `verify` found for a run.
#[derive(Debug)]
pub struct Checked {
    /// One entry a step that should be there, in plan order.
    pub steps: Vec<StepCheck>,
}

/// What `verify` found for a step.
#[derive(Debug)]
pub struct StepCheck {
    /// The step.
    pub step: StepId,
    /// What was compared, or why it could not be.
    pub result: OpResult<Vec<Comparison>>,
}

impl Checked {
    /// The steps that are not as we left them.
    pub fn drifted(&self) -> impl Iterator<Item = &StepCheck> {
        self.steps.iter().filter(|s| matches!(&s.result, Ok(c) if !c.iter().all(Comparison::holds)))
    }

    /// The steps that could not be looked at.
    pub fn unknown(&self) -> impl Iterator<Item = &StepCheck> {
        self.steps.iter().filter(|s| s.result.is_err())
    }
}

struct ReadOnly;

impl Fence for ReadOnly {
    fn check(&self) -> OpResult<()> {
        Err(OpError::permanent("`verify` is read-only, so nothing may be written"))
    }
}

impl CxSink for ReadOnly {
    fn progress(&self, _step: &StepId, _doing: &str) {}
    fn called(&self, _step: &StepId, _generation: Generation, _call: Called) {}
}

/// Compares every step that is verified on record with the world. Writes nothing.
pub async fn verify_run(run: RunId, history: &History, env: &Environment) -> Checked {
    let run_cx = Arc::new(RunCx {
        run,
        tag_prefix: env.tag_prefix.clone(),
        clock: env.clock.clone(),
        contexts: env.contexts.clone(),
        secrets: env.secrets.clone(),
        fence: Arc::new(ReadOnly),
        sink: Arc::new(ReadOnly),
        control: Control::new(),
    });
    let mut steps = Vec::new();
    for (i, step) in history.plan().steps.iter().enumerate() {
        let status = history.status(i);
        if matches!(status.state, State::Verified | State::MarkedDone) {
            let result = check_step(history, i, env, &run_cx).await;
            steps.push(StepCheck { step: step.id.clone(), result });
        }
    }
    Checked { steps }
}

async fn check_step(history: &History, i: usize, env: &Environment, run_cx: &Arc<RunCx>) -> OpResult<Vec<Comparison>> {
    let step = &history.plan().steps[i];
    let status = history.status(i);
    let op = env
        .registry
        .get(&step.op)
        .ok_or_else(|| OpError::permanent(format!("this binary has no operation `{}`", step.op)))?;
    let params = history.params(i, false).map_err(|e| OpError::permanent(e.to_string()))?;
    let bound = op
        .bind(&params)
        .map_err(|e| OpError::permanent(e.into_iter().map(|e| e.message).collect::<Vec<_>>().join("; ")))?;
    let token = client_token(run_cx.run, &step.id, status.generation);
    let deadline = Instant::now() + step.timeout.unwrap_or(bound.facts().create_deadline);
    let cx = Cx::new(run_cx.clone(), step.id.clone(), status.generation, &token, deadline)
        .on_target(step.provider.as_deref());
    // A step that a person marked as done before it was captured has no before-image.
    let before = match &status.before {
        Some(before) => before.clone(),
        None => bound.capture(&cx).await?,
    };
    let mut verdict = bound.verify(&cx, &before, status.output.as_ref(), Expect::Created).await?;
    check_in_cel(&step.verify, &mut verdict, status.output.as_ref());
    Ok(verdict.compared)
}

/// Adds the checks that a runbook states in CEL over `output` and `observed`.
pub(crate) fn check_in_cel(checks: &[String], verdict: &mut Verdict, output: Option<&Json>) {
    if checks.is_empty() {
        return;
    }
    let output: Value = output.and_then(|o| o.parse().ok()).unwrap_or_default();
    let observed = verdict.observed.clone();
    for check in checks {
        let holds = cel::compile(check)
            .map_err(|e| e.to_string())
            .and_then(|program| cel::eval_bool(&program, &[("output", &output), ("observed", &observed)]));
        // A check that cannot be evaluated does not hold, and says why.
        let got = holds.map_or_else(Value::String, Value::Bool);
        verdict.compared.push(Comparison { what: check.clone(), want: Value::Bool(true), got });
    }
}
