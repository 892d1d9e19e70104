//! The registry of operations. After a crash only a kind's name survives, so every operation
//! must be found by name. One explicit list per crate fills it; a reviewer sees each line.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::operation::{DynOperation, Erased, Operation};

/// Operations by kind.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn DynOperation>>,
}

/// A kind was registered twice.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the operation `{0}` is registered already")]
pub struct DuplicateKind(pub &'static str);

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// When its kind is registered already.
    pub fn register<O: Operation>(&mut self, op: O) -> Result<(), DuplicateKind> {
        if self.kinds.contains_key(O::KIND) {
            return Err(DuplicateKind(O::KIND));
        }
        self.kinds.insert(O::KIND, Box::new(Erased(Arc::new(op))));
        Ok(())
    }

    /// The operation of that kind.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&dyn DynOperation> {
        self.kinds.get(kind).map(AsRef::as_ref)
    }

    /// Every operation, by kind.
    pub fn iter(&self) -> impl Iterator<Item = &dyn DynOperation> {
        self.kinds.values().map(AsRef::as_ref)
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}
