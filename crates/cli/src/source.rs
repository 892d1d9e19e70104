//! A plan from a file: a runbook that is planned, or a plan that was stored.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchback_engine::Registry;
use switchback_engine::planner::{Beside, load_plan, plan_hash, plan_runbook_beside};
use switchback_engine::runbook::{Source, parse};
use switchback_model::plan::Plan;

use crate::args::Inputs;
use crate::error::{CommandError, CommandResult, FileError};
use crate::output::quoted;

/// The input that names the AWS account.
const ACCOUNT: &str = "account";

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Document {
    /// A runbook.
    Runbook(Source),
    /// A plan, as text.
    Plan(String),
}

/// A plan with its hash.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) hash: String,
}

/// The folder of a runbook.
struct Folder(PathBuf);

impl Beside for Folder {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.0.join(path))? {
            let entry = entry?;
            if entry.path().is_file() {
                names.push(
                    entry
                        .file_name()
                        .into_string()
                        .map_err(|name| io::Error::other(format!("`{}` is not UTF-8", name.display())))?,
                );
            }
        }
        Ok(names)
    }
}

/// Reads a file and sees which of the two it is.
pub(crate) fn read(path: &Path) -> CommandResult<Document> {
    let bytes = fs::read(path).map_err(|source| FileError { what: "read", path: path.to_owned(), source })?;
    let source = Source::from_bytes(&path.to_string_lossy(), &bytes)?;
    Ok(if is_plan(source.text()) { Document::Plan(source.text().to_owned()) } else { Document::Runbook(source) })
}

/// A stored plan is JSON and says its format; a runbook has no such key.
fn is_plan(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Head {
        #[serde(rename = "format")]
        _format: u64,
    }
    text.trim_start().starts_with('{') && serde_json::from_str::<Head>(text).is_ok()
}

/// The inputs as given, the last of each name.
pub(crate) fn given(inputs: &Inputs) -> BTreeMap<String, String> {
    inputs.inputs.iter().cloned().collect()
}

/// Whether the runbook asks for the account, and nobody said which.
pub(crate) fn lacks_account(document: &Document, given: &BTreeMap<String, String>) -> bool {
    let Document::Runbook(source) = document else { return false };
    // What is wrong with the runbook is said when it is planned.
    let asks = || parse(source).is_ok_and(|r| r.inputs.iter().any(|i| i.name.value == ACCOUNT));
    !given.contains_key(ACCOUNT) && asks()
}

/// Adds the account that the target plays.
pub(crate) fn give_account(given: &mut BTreeMap<String, String>, account: &str) {
    given.insert(ACCOUNT.to_owned(), account.to_owned());
}

/// The command that rehearses what a file and these inputs make, without the program's name.
pub(crate) fn rehearse(path: &Path, given: &BTreeMap<String, String>) -> String {
    let inputs = given.iter().map(|(name, value)| format!(" --input {}", quoted(&format!("{name}={value}"))));
    format!("rehearse {}{}", quoted(&path.to_string_lossy()), inputs.collect::<String>())
}

/// The plan.
pub(crate) fn plan(document: &Document, registry: &Registry, given: &BTreeMap<String, String>) -> CommandResult<Made> {
    match document {
        Document::Runbook(source) => {
            let folder = Path::new(source.name()).parent().unwrap_or(Path::new("")).to_owned();
            let planned = plan_runbook_beside(source, registry, given, Arc::new(Folder(folder)))?;
            Ok(Made { plan: planned.plan, hash: planned.hash })
        }
        Document::Plan(_) if !given.is_empty() => {
            Err(CommandError::usage("a stored plan has its inputs already: leave out --input, or give the runbook"))
        }
        Document::Plan(text) => {
            let plan = load_plan(text, registry)?;
            let hash = plan_hash(&plan);
            Ok(Made { plan, hash })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_in_json_is_no_plan() {
        assert!(!is_plan(r#"{"runbook": "x", "version": 1, "phases": []}"#));
        assert!(is_plan(r#"{"description":"","format":1,"runbook":"x"}"#));
        assert!(!is_plan("runbook: x\nformat: 1\n"));
    }
}
