//! Steps that look, wait or mark, and change nothing: probes and `control.*`.
//!
//! None of them has an effect, so none of them has anything to undo. They are what a runbook puts
//! between its changes: a point to stop at, a condition that must hold before the next phase.

pub mod control;
pub mod rds_cluster_endpoints;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(control::Checkpoint)?;
    registry.register(rds_cluster_endpoints::RdsClusterEndpoints)?;
    Ok(())
}
