//! A plan from a file: a runbook that is planned, or a plan that was stored.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::sandbox::{DEFAULT_ACCOUNT, Info, find_binary};

/// The input that names the AWS account.
pub(crate) const ACCOUNT: &str = "account";
/// What else a sandbox gives: where its real servers are. The addresses are those that it has unless somebody else has
/// them, so that a plan that is made while none is up is the plan that is made when one is.
const SERVERS: [(&str, &str); 5] = [
    ("image_source", "files"),
    ("local_nats_url", "nats://127.0.0.1:14322"),
    ("nats_url", "nats://127.0.0.1:14222"),
    ("registry", "127.0.0.1:15000"),
    ("health_connect_to", "127.0.0.1:18080"),
];

/// The input that is the command which exports what the running system knows.
const EXPORT: &str = "export_command";

/// As a sandbox gives it.
fn export_command() -> String {
    serde_json::json!([find_binary(), "export", "http://127.0.0.1:18080/export"]).to_string()
}

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

/// The inputs that the runbook asks for, that nobody gave and that a sandbox gives: the account, and where its real
/// servers are. A default does not count for a server: it is about another place.
pub(crate) fn lacking(document: &Document, given: &BTreeMap<String, String>) -> BTreeSet<String> {
    let Document::Runbook(source) = document else { return BTreeSet::new() };
    // What is wrong with the runbook is said when it is planned.
    let Ok(runbook) = parse(source) else { return BTreeSet::new() };
    let names = runbook.inputs.iter().map(|input| &input.name.value);
    let is_given_by_sandboxes =
        |name: &str| [ACCOUNT, EXPORT].contains(&name) || SERVERS.iter().any(|(of, _)| *of == name);
    names.filter(|name| is_given_by_sandboxes(name) && !given.contains_key(*name)).cloned().collect()
}

/// Adds what the sandbox gives; of servers that it has not, nothing. `None`: what a sandbox usually gives.
pub(crate) fn give(given: &mut BTreeMap<String, String>, lacking: &BTreeSet<String>, sandbox: Option<&Info>) {
    for name in lacking {
        let usual = || SERVERS.iter().find(|(of, _)| of == name).map(|(_, value)| (*value).to_owned());
        let value = match (name == ACCOUNT, sandbox) {
            (true, Some(info)) => Some(info.account.clone()),
            (true, None) => Some(DEFAULT_ACCOUNT.to_owned()),
            (false, Some(info)) => info.inputs.get(name).cloned(),
            (false, None) if name == EXPORT => Some(export_command()),
            (false, None) => usual(),
        };
        given.extend(value.map(|value| (name.clone(), value)));
    }
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

    #[test]
    fn a_sandbox_gives_what_is_asked_for_and_not_said() {
        let text = "runbook: x\nversion: 1\ninputs:\n  account: { type: string }\n  registry: { type: string }\n  \
                    nats_url: { type: string, default: \"nats://there\" }\n  other: { type: string }\nphases:\n  \
                    - name: a\n    steps:\n      - { id: b, op: control.checkpoint }\n";
        let document = Document::Runbook(Source::from_bytes("x", text.as_bytes()).unwrap());
        let mut given = BTreeMap::from([("registry".to_owned(), "mine".to_owned())]);
        let lacking = lacking(&document, &given);
        assert_eq!(lacking.iter().collect::<Vec<_>>(), ["account", "nats_url"]);
        give(&mut given, &lacking, None);
        let usual = [("account", DEFAULT_ACCOUNT), ("nats_url", "nats://127.0.0.1:14222"), ("registry", "mine")];
        assert_eq!(given, usual.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
