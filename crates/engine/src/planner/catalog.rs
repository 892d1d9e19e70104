//! The operations that a runbook uses, with their schemas ready to check against.

use std::collections::HashMap;
use std::rc::Rc;

use super::shape::Shapes;
use crate::operation::DynOperation;
use crate::registry::Registry;

/// An operation and its schemas.
pub(crate) struct OpInfo<'r> {
    pub(crate) op: &'r dyn DynOperation,
    pub(crate) params: Shapes,
    pub(crate) output: Shapes,
}

/// The registry, with the schemas of what was asked for.
pub(crate) struct Catalog<'r> {
    registry: &'r Registry,
    known: HashMap<&'static str, Rc<OpInfo<'r>>>,
}

impl<'r> Catalog<'r> {
    pub(crate) fn new(registry: &'r Registry) -> Self {
        Self { registry, known: HashMap::new() }
    }

    pub(crate) fn get(&mut self, kind: &str) -> Option<Rc<OpInfo<'r>>> {
        if let Some(info) = self.known.get(kind) {
            return Some(info.clone());
        }
        let op = self.registry.get(kind)?;
        let info = Rc::new(OpInfo {
            op,
            params: Shapes::new(op.params_schema().as_value()),
            output: Shapes::new(op.output_schema().as_value()),
        });
        self.known.insert(op.kind(), info.clone());
        Some(info)
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.registry.iter().map(|op| op.kind())
    }
}
