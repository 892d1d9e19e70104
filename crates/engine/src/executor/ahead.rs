//! What can be said in a preflight against a step that cannot be captured yet: for a run that begins, and
//! for whoever only looks.

use std::sync::Arc;
use std::time::Duration;

use switchback_model::plan::PlanStep;
use switchback_model::{ErrorClass, Generation, OpError, SecretRef};
use tokio::time::Instant;

use crate::cx::{Cx, RunCx};
use crate::operation::DynOperation;

/// How long a look ahead may take.
const FORESEE: Duration = Duration::from_secs(60);

/// What `op` says already against a step whose parameters are not all known. What cannot be said in time, or
/// may be otherwise in a moment, is left to `capture`.
pub async fn foresee(
    op: &dyn DynOperation,
    run_cx: &Arc<RunCx>,
    step: &PlanStep,
    generation: Generation,
    secret: &impl Fn(&str) -> Option<SecretRef>,
) -> Option<OpError> {
    let deadline = Instant::now() + FORESEE;
    let cx = Cx::new(run_cx.clone(), step.id.clone(), generation, "", deadline).on_target(step.provider.as_deref());
    let known = step.params.known_fields(secret);
    let said = tokio::time::timeout_at(deadline, op.foresee(&cx, &known)).await.ok()?.err()?;
    let is_certain = !matches!(said.class, ErrorClass::Transient | ErrorClass::Ambiguous | ErrorClass::Busy);
    is_certain.then_some(said)
}

/// Whether what a step misses now may be there when it is its turn: something is not there yet, and a step
/// before it may make it.
#[must_use]
pub fn may_come(step: &PlanStep, error: &OpError) -> bool {
    error.class == ErrorClass::Busy || (error.code.as_deref() == Some(OpError::NOT_THERE) && !step.needs.is_empty())
}
