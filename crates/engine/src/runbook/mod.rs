//! The runbook file: from bytes to a typed [`Runbook`] in which every value knows where it was
//! written.
//!
//! Strict YAML 1.2 (JSON is a subset): duplicate and unknown keys are errors, nothing is guessed,
//! and there is no text templating. All errors of a file are collected, each with its place in
//! the file and what to do about it.
//!
//! Nothing here reads a file, knows an operation or fills in a reference: bytes come in, a
//! [`Runbook`] goes out, and [`planner`](crate::planner) does the rest. The spans go with the
//! values, so that an error which only the planner can find points into the file as well.
//!
//! - `source`: the text with its line numbers.
//! - `diagnostic`: an error with a place and a hint; all errors of a file. `plain` shows
//!   them without colours.
//! - `node`: a tree of values with spans. `yaml` makes it; only that module knows the YAML crate.
//! - `reference`: `${vpc.vpc_id}` inside of a text.
//! - `document`: what a runbook consists of. `reader` makes it from the tree.
//! - `duration`, `suggest`: `1h30m`; "did you mean".

mod diagnostic;
mod document;
mod duration;
mod node;
mod plain;
mod reader;
mod reference;
mod source;
mod suggest;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use document::{
    AssumeRoleSpec, AwsTargetSpec, InputSpec, InputType, ManagedSecretSpec, OnFailureSpec, PhaseSpec, PolicySpec,
    RetrySpec, Runbook, SecretFromSpec, StepSpec, TargetSpec,
};
pub use duration::parse_duration;
pub use node::{Entry, Node, NodeValue, Spanned, Text};
pub(crate) use reader::is_yaml_1_1_boolean;
pub use reader::parse;
pub use reference::{Part, RefField, RefPath, Selector, parse_text};
pub(crate) use reference::{is_key_char, parse_target};
pub use source::{Source, Span};
pub use suggest::did_you_mean;
pub(crate) use suggest::{closest, listed};
pub(crate) use yaml::parse_tree;
