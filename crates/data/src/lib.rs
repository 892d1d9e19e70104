//! Data steps: databases, schemas, and copies of what is in them.
//!
//! Operations here know only the calls of a system ([`file::FileAsk`] and its like); who answers them is given from
//! outside: the real system in a run, a model of it in a rehearsal.

pub mod file;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(_registry: &mut Registry) -> Result<(), DuplicateKind> {
    Ok(())
}
