//! Container images.

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(_registry: &mut Registry) -> Result<(), DuplicateKind> {
    Ok(())
}
