//! Files beside the runbook: `{ file: PATH }` and `{ folder: PATH }` in the place of a value.
//!
//! Their content goes into the plan, which a resume reads and nothing else, and their SHA-256 with it. JSON and YAML
//! become values, in which references are resolved as in the runbook itself; anything else is a text, as it is. A folder
//! is a map from names of files to texts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use super::arg::{Arg, ArgKind};
use super::budget;
use super::load::sha256;
use super::scope::Scope;
use crate::runbook::{Diagnostic, Diagnostics, Entry, Node, NodeValue, Source, Span, parse_tree};

/// The files beside a runbook. Paths are as the runbook writes them.
pub trait Beside: Send + Sync {
    /// The content of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The names of the files in a folder; no folders, in any order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
}

/// There are none: a runbook that is only a text.
pub(crate) struct Nothing;

impl Beside for Nothing {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::other("a runbook that is no file has no files beside it"))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.read(path).map(|_| Vec::new())
    }
}

/// What was included so far.
pub(crate) struct Includes {
    beside: Arc<dyn Beside>,
    /// By path. Each is read once, however many steps include it: they all get what the hash is of.
    files: RefCell<BTreeMap<String, Included>>,
}

/// A file that was read.
#[derive(Debug)]
struct Included {
    sha256: String,
    /// Or why it is no text.
    text: Result<Source, String>,
}

impl Default for Includes {
    fn default() -> Self {
        Self::new(Arc::new(Nothing))
    }
}

impl std::fmt::Debug for Includes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Includes").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Includes {
    pub(crate) fn new(beside: Arc<dyn Beside>) -> Self {
        Self { beside, files: RefCell::default() }
    }

    /// For the plan.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        self.files.borrow().iter().map(|(path, file)| (path.clone(), file.sha256.clone())).collect()
    }

    fn text(&self, path: &str) -> Result<Source, String> {
        if let Some(file) = self.files.borrow().get(path) {
            return file.text.clone();
        }
        let bytes = self.beside.read(path).map_err(|error| error.to_string())?;
        let text = Source::from_bytes(path, &bytes).map_err(|errors| first_of(&errors));
        let file = Included { sha256: sha256(&bytes), text: text.clone() };
        self.files.borrow_mut().insert(path.to_owned(), file);
        text
    }

    fn folder(&self, path: &str) -> Result<BTreeMap<String, String>, String> {
        let names = self.beside.list(path).map_err(|error| error.to_string())?;
        let one = |name: String| {
            let text = self.text(&format!("{}/{name}", path.trim_end_matches('/')))?;
            Ok((name, text.text().to_owned()))
        };
        names.into_iter().filter(|name| !name.starts_with('.')).map(one).collect()
    }
}

/// The first error, with its place in the included file.
fn first_of(errors: &Diagnostics) -> String {
    let (source, first) = (errors.source(), errors.iter().next());
    let Some(first) = first else { return "it cannot be read".to_owned() };
    match first.labels.first() {
        Some(label) => {
            let (line, column) = source.line_column(label.span.start);
            format!("{} at line {line}, column {column}", first.message)
        }
        None => first.message.clone(),
    }
}

/// What a map of one key includes.
pub(crate) fn included(entries: &[Entry]) -> Option<(&'static str, &Entry)> {
    let [entry] = entries else { return None };
    let is_text = matches!(entry.value.value, NodeValue::Text(_));
    let what = match entry.key.value.as_str() {
        "file" => "file",
        "folder" => "folder",
        _ => return None,
    };
    is_text.then_some((what, entry))
}

impl<'r> Scope<'_, '_, 'r> {
    /// What stands in a file or folder beside the runbook.
    pub(super) fn include(&mut self, what: &str, entry: &Entry) -> Arg<'r> {
        let span = entry.value.span;
        let path = match self.resolve(&entry.value).kind {
            ArgKind::Value(Value::String(path), _) => path,
            ArgKind::Broken => return Arg::broken(span),
            _ => {
                self.errors.push(
                    Diagnostic::new("plan::include", format!("the path of a {what} must be known before the run"))
                        .at(span, "this is known only later")
                        .help("refer to inputs and to `each` only"),
                );
                return Arg::broken(span);
            }
        };
        let outcome = if what == "folder" {
            self.inputs.includes.folder(&path).map(|texts| {
                let texts = texts.into_iter().map(|(name, text)| (name, Value::String(text))).collect();
                Arg { span, kind: ArgKind::Value(Value::Object(texts), Some(format!("`{path}`"))) }
            })
        } else {
            self.file(&path, span)
        };
        let arg = outcome.unwrap_or_else(|why| {
            self.errors.push(
                Diagnostic::new("plan::include", format!("the {what} `{path}` cannot be included: {why}"))
                    .at(span, "named here")
                    .help("paths are relative to the folder of the runbook"),
            );
            Arg::broken(span)
        });
        match &arg.kind {
            ArgKind::Value(value, _) if !self.charge(budget::of_value(value), span) => Arg::broken(span),
            _ => arg,
        }
    }

    fn file(&mut self, path: &str, span: Span) -> Result<Arg<'r>, String> {
        let source = self.inputs.includes.text(path)?;
        if ![".json", ".yaml", ".yml"].iter().any(|end| path.ends_with(end)) {
            return Ok(Arg { span, kind: ArgKind::Value(Value::String(source.text().to_owned()), None) });
        }
        let mut errors = Diagnostics::new(source.clone());
        let tree = parse_tree(&source, &mut errors).filter(|_| errors.is_empty());
        let mut tree = tree.ok_or_else(|| first_of(&errors))?;
        if let Some(inner) = inner_include(&tree) {
            return Err(format!("it includes `{inner}`, and what is included cannot include more"));
        }
        // Places in it are not places in the runbook.
        at(&mut tree, span);
        Ok(self.resolve(&tree))
    }
}

/// A file that an included one wants to include.
fn inner_include(node: &Node) -> Option<String> {
    match &node.value {
        NodeValue::List(items) => items.iter().find_map(inner_include),
        NodeValue::Map(entries) => match included(entries) {
            Some((_, entry)) => Some(entry.value.to_json().as_str().unwrap_or_default().to_owned()),
            None => entries.iter().find_map(|entry| inner_include(&entry.value)),
        },
        _ => None,
    }
}

fn at(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.value {
        NodeValue::Text(text) => text.verbatim = None,
        NodeValue::List(items) => items.iter_mut().for_each(|item| at(item, span)),
        NodeValue::Map(entries) => entries.iter_mut().for_each(|entry| {
            entry.key.span = span;
            at(&mut entry.value, span);
        }),
        _ => {}
    }
}
