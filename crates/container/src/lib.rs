//! Container images.
//!
//! - [`image`]: the operation `container.image`. It knows the calls of a registry only.
//! - [`ask`]: these calls.
//! - [`remote`]: who answers them: a registry over HTTP (`api`), ECR for what registries leave out, and a
//!   Docker-compatible engine (`engine`) for builds.
//! - [`layout`]: an image out of files, without an engine; `archive`: one out of a tar; `picture`: what both come to.

mod api;
mod archive;
pub mod ask;
mod engine;
pub mod image;
pub mod layout;
mod picture;
pub mod remote;
mod tar;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;

/// Registers every kind of this crate.
///
/// # Errors
/// When one of them is registered already.
pub fn register(registry: &mut Registry) -> Result<(), DuplicateKind> {
    registry.register(image::Image)
}
