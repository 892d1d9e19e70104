//! How large a plan may become. A file of a megabyte can make a plan of a terabyte: a long default
//! that is referred to often, a `for_each` of many elements whose steps all have large parameters or
//! each need all steps of another one. Nobody writes that on purpose, and nothing could hold it.

use std::cell::Cell;

use serde_json::Value;

/// How many values all parameters and dependencies of a plan may consist of.
pub(crate) const MAX_VALUES: usize = 4_000_000;
/// So many bytes of a text count as one value.
const BYTES: usize = 32;

/// What of [`MAX_VALUES`] is left. Shared by all that is looked at while a plan is made.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<usize>,
    spent: Cell<bool>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(MAX_VALUES), spent: Cell::new(false) }
    }
}

impl Budget {
    /// Takes `cost` from what is left.
    pub(crate) fn take(&self, cost: usize) {
        match self.left.get().checked_sub(cost) {
            Some(rest) => self.left.set(rest),
            None => self.spent.set(true),
        }
    }

    /// Whether it was not enough: then nothing that follows is worth looking at.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.get()
    }
}

/// What a text costs.
pub(crate) const fn of_text(text: &str) -> usize {
    1 + text.len() / BYTES
}

/// What references to so many steps cost, each with its need.
pub(crate) const fn of_references(count: usize) -> usize {
    count.saturating_mul(3)
}

/// What a value costs.
pub(crate) fn of_value(value: &Value) -> usize {
    match value {
        Value::String(text) => of_text(text),
        Value::Array(items) => 1 + items.iter().map(of_value).sum::<usize>(),
        Value::Object(fields) => 1 + fields.iter().map(|(key, value)| of_text(key) + of_value(value)).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}
