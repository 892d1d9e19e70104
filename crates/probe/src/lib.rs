//! Steps that look, wait or mark, and change nothing: probes and `control.*`.
//!
//! None of them has an effect, so none of them has anything to undo. They are what a runbook puts
//! between its changes: a point to stop at, a condition that must hold before the next phase.
//!
//! What they ask on the network they ask through [`web`]'s calls, which a rehearsal answers from a model.

pub mod alarm;
pub mod control;
pub mod ecs_tasks;
pub mod http;
pub mod rds_cluster_endpoints;
pub mod span;
pub mod tcp;
#[cfg(test)]
mod testing;
pub mod web;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(alarm::Alarm)?;
    registry.register(control::Approval)?;
    registry.register(control::Checkpoint)?;
    registry.register(ecs_tasks::EcsTasks)?;
    registry.register(rds_cluster_endpoints::RdsClusterEndpoints)?;
    registry.register(control::Wait)?;
    registry.register(http::Http)?;
    registry.register(tcp::Tcp)?;
    Ok(())
}
