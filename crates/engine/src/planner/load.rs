//! A plan as text: canonical, hashed, and read again.
//!
//! A plan that comes from a file was made elsewhere, perhaps by another release, perhaps by
//! hand: before it is run it is checked as far as a plan alone can be.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use switchback_model::canonical;
use switchback_model::ids::StepId;
use switchback_model::plan::{OnFailure, PLAN_FORMAT_VERSION, Plan};
use thiserror::Error;

use super::order;
use crate::operation::ParamError;
use crate::registry::Registry;

/// A plan that cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// It is not a plan at all, or a damaged one.
    #[error("the plan cannot be read at line {line}, column {column}", line = source.line(), column = source.column())]
    Unreadable {
        /// What the reader says.
        #[source]
        source: serde_json::Error,
    },
    /// It was written by another release.
    #[error("the plan has format {found}, this release reads format {PLAN_FORMAT_VERSION}")]
    Format {
        /// The format that it says it has.
        found: u64,
    },
    /// It uses an operation that is not there.
    #[error("step `{step}` uses the operation `{kind}`, which this release does not have")]
    UnknownOperation {
        /// The step.
        step: StepId,
        /// The operation.
        kind: String,
    },
    /// It was made for other stored types.
    #[error("step `{step}` was planned for version {planned} of `{kind}`, this release has version {here}")]
    OperationVersion {
        /// The step.
        step: StepId,
        /// The operation.
        kind: String,
        /// What the plan says.
        planned: u32,
        /// What is there.
        here: u32,
    },
    /// The operation refuses the parameters.
    #[error("step `{step}`: {}", texts(.errors))]
    Params {
        /// The step.
        step: StepId,
        /// Why.
        errors: Vec<ParamError>,
    },
    /// Two steps have the same id.
    #[error("the plan has two steps `{0}`")]
    DuplicateStep(StepId),
    /// Two phases have the same name.
    #[error("the plan has two phases `{0}`")]
    DuplicatePhase(String),
    /// A step is in a phase that is not there, or not in the order of the phases.
    #[error("step `{0}` is not in the order of the phases")]
    Phase(StepId),
    /// A step needs another one that is not there, or in a later phase.
    #[error("step `{step}` needs `{need}`, which is not there in its phase or before")]
    Need {
        /// The step.
        step: StepId,
        /// What it needs.
        need: StepId,
    },
    /// A step refers to another one that its `needs` do not name.
    #[error("step `{step}` refers to `{need}` without needing it")]
    UndeclaredNeed {
        /// The step.
        step: StepId,
        /// What it refers to.
        need: StepId,
    },
    /// A step acts on a target that is not there.
    #[error("step `{step}` acts on the target `{target}`, which is not there")]
    Target {
        /// The step.
        step: StepId,
        /// The target.
        target: String,
    },
    /// A step refers to a secret that the plan does not list, or makes it a part of a text.
    #[error("step `{step}` refers to the secret `{secret}` in a way that a plan cannot have")]
    Secret {
        /// The step.
        step: StepId,
        /// The secret input.
        secret: String,
    },
    /// An unwind would go to something that is not there.
    #[error("there is no phase or step `{0}` to unwind to")]
    UnwindTo(String),
    /// Steps wait for each other.
    #[error("steps wait for each other: {0}")]
    Cycle(String),
}

fn texts(errors: &[ParamError]) -> String {
    let one = |e: &ParamError| match e.path.is_empty() {
        true => e.message.clone(),
        false => format!("`{}`: {}", e.path.join("."), e.message),
    };
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The canonical JSON of a plan.
#[must_use]
pub fn plan_text(plan: &Plan) -> String {
    // A plan has text keys and finite numbers only, so this cannot fail.
    canonical::to_string(plan).unwrap_or_default()
}

/// The SHA-256 of the canonical JSON of a plan, in hex.
#[must_use]
pub fn plan_hash(plan: &Plan) -> String {
    sha256(plan_text(plan).as_bytes())
}

/// SHA-256, in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    canonical::hex(&Sha256::digest(bytes))
}

/// Reads a plan and checks that it can be run here.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn load_plan(text: &str, registry: &Registry) -> Result<Plan, PlanError> {
    let unreadable = |source| PlanError::Unreadable { source };
    // The format first: a plan of another format need not have the fields that this one has.
    #[derive(serde::Deserialize)]
    struct Head {
        format: u64,
    }
    let head: Head = serde_json::from_str(text).map_err(unreadable)?;
    if head.format != u64::from(PLAN_FORMAT_VERSION) {
        return Err(PlanError::Format { found: head.format });
    }
    let plan: Plan = serde_json::from_str(text).map_err(unreadable)?;
    check_operations(&plan, registry)?;
    check_structure(&plan)?;
    Ok(plan)
}

fn check_operations(plan: &Plan, registry: &Registry) -> Result<(), PlanError> {
    for step in &plan.steps {
        let (id, kind) = (|| step.id.clone(), || step.op.clone());
        let op = registry.get(&step.op).ok_or_else(|| PlanError::UnknownOperation { step: id(), kind: kind() })?;
        if op.version() != step.op_version {
            return Err(PlanError::OperationVersion {
                step: id(),
                kind: kind(),
                planned: step.op_version,
                here: op.version(),
            });
        }
        if let Ok(params) = step.params.resolve(&|_| None) {
            op.bind(&params).map_err(|errors| PlanError::Params { step: id(), errors })?;
        }
    }
    Ok(())
}

fn check_structure(plan: &Plan) -> Result<(), PlanError> {
    let mut phases = HashSet::new();
    if let Some(double) = plan.phases.iter().find(|p| !phases.insert(p.as_str())) {
        return Err(PlanError::DuplicatePhase(double.clone()));
    }
    let mut index: HashMap<&StepId, (u32, u32)> = HashMap::with_capacity(plan.steps.len());
    let mut last = 0;
    for (i, step) in (0_u32..).zip(&plan.steps) {
        if step.phase < last || step.phase as usize >= plan.phases.len() {
            return Err(PlanError::Phase(step.id.clone()));
        }
        last = step.phase;
        if index.insert(&step.id, (i, step.phase)).is_some() {
            return Err(PlanError::DuplicateStep(step.id.clone()));
        }
    }
    let mut needs = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        if let Some(target) = step.provider.as_ref().filter(|name| plan.target.aws_of(Some(name)).is_none()) {
            return Err(PlanError::Target { step: step.id.clone(), target: target.clone() });
        }
        let joined = step.params.secret_in_text();
        let unlisted = step.params.secrets().into_iter().find(|name| !plan.secrets.contains_key(*name));
        if let Some(secret) = joined.or(unlisted) {
            return Err(PlanError::Secret { step: step.id.clone(), secret: secret.to_owned() });
        }
        let mut list = Vec::with_capacity(step.needs.len());
        for need in &step.needs {
            match index.get(need) {
                Some((i, phase)) if *phase <= step.phase => list.push(*i),
                _ => return Err(PlanError::Need { step: step.id.clone(), need: need.clone() }),
            }
        }
        let named: HashSet<&StepId> = step.needs.iter().collect();
        if let Some(r) = step.params.refs().into_iter().find(|r| !named.contains(&r.step)) {
            return Err(PlanError::UndeclaredNeed { step: step.id.clone(), need: r.step.clone() });
        }
        needs.push(list);
    }
    let policies =
        plan.steps.iter().filter_map(|s| s.on_failure.as_ref()).chain(std::iter::once(&plan.policy.on_failure));
    for policy in policies {
        if let OnFailure::UnwindTo(name) = policy
            && !phases.contains(name.as_str())
            && !index.contains_key(&StepId::new(name))
        {
            return Err(PlanError::UnwindTo(name.clone()));
        }
    }
    if let Some(cycle) = order::cycles(&needs).first() {
        let name = |i: &u32| plan.steps.get(*i as usize).map_or("", |s| s.id.as_str());
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(name).collect();
        return Err(PlanError::Cycle(names.join(" -> ")));
    }
    Ok(())
}
