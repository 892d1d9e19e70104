//! Secret inputs: where each comes from, and its value, for a run that begins or goes on.
//!
//! ```text
//! 1  SWITCHBACK_INPUT_NAME             the value
//! 2  --secret-file NAME=PATH           a file; else the one that
//!    SWITCHBACK_INPUT_NAME_FILE        names
//! 3  from:                             a file, or Secrets Manager, as the runbook says
//! 4  a prompt                          where there is a terminal
//! ```
//!
//! Never from the command line, which other users of the host can read. Values are asked for right
//! before a run begins or goes on, and only those that a step ahead uses; looking at a plan or a run,
//! and going back, asks for none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dialoguer::Password;
use dialoguer::console::Term;
use secrecy::SecretString;
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use switchback_aws::{AwsContext, secret as managed};
use switchback_engine::Registry;
use switchback_engine::cx::Clock as _;
use switchback_engine::executor::Environment;
use switchback_engine::history::History;
use switchback_engine::journal::Journal;
use switchback_engine::provider::CallLog;
use switchback_engine::secrets::{self, Given, Secrets};
use switchback_model::plan::{ManagedSecret, Plan, SecretFrom, SecretInput, Target};
use switchback_model::record::{Called, Direction, Draft, RunSecrets};
use switchback_model::{Generation, SecretRef};
use switchback_report::plan::SecretView;
use tokio::runtime::Runtime;

use crate::app::App;
use crate::args::SecretFiles;
use crate::error::{CommandError, CommandResult, FileError, Kind};
use crate::host::{self, SystemClock};

/// What Secrets Manager takes at most, in bytes; a file that holds more is none of a secret.
const LONGEST: usize = 65_536;

/// Where a secret comes from.
enum Way<'a> {
    Variable(String),
    /// A file, and what named it.
    File(PathBuf, String),
    Managed(&'a ManagedSecret),
    Prompt,
    Nowhere,
}

/// Where the secret comes from: the first place that says something, whether it is there or not.
fn way<'a>(name: &str, plan: &'a Plan, files: &SecretFiles, interactive: bool) -> Way<'a> {
    let variable = variable(name);
    if host::is_there(&variable) {
        return Way::Variable(variable);
    }
    if let Some((_, path)) = files.files.iter().rev().find(|(of, _)| of == name) {
        return Way::File(path.into(), "--secret-file".to_owned());
    }
    // Another input may have that name: then the variable is its value, and no path.
    let file = format!("{variable}_FILE");
    let taken = plan.secrets.contains_key(&format!("{name}_file"));
    if let Some(path) = host::var(&file).filter(|_| !taken) {
        return Way::File(path.into(), file);
    }
    match plan.secrets.get(name).and_then(|s| s.from.as_ref()) {
        Some(SecretFrom::File(path)) => Way::File(path.into(), "`from` in the runbook".to_owned()),
        Some(SecretFrom::SecretsManager(secret)) => Way::Managed(secret),
        None if interactive => Way::Prompt,
        None => Way::Nowhere,
    }
}

fn variable(name: &str) -> String {
    format!("SWITCHBACK_INPUT_{}", name.to_uppercase())
}

/// The secrets of a plan and where each would come from, for people. Reads none of them.
pub(crate) fn views(app: &App, plan: &Plan, registry: &Registry, files: &SecretFiles) -> Vec<SecretView> {
    let back = secrets::back(plan, registry);
    let view = |(name, input): (&String, &SecretInput)| SecretView {
        input: name.clone(),
        description: input.description.clone(),
        from: match way(name, plan, files, app.out.interactive) {
            Way::Variable(variable) => variable,
            Way::File(path, by) => format!("the file {} ({by})", path.display()),
            Way::Managed(secret) => {
                let key = secret.json_key.as_ref().map(|k| format!(", key {k}")).unwrap_or_default();
                format!("Secrets Manager, {}{key}", secret.secret_id)
            }
            Way::Prompt => "a prompt".to_owned(),
            Way::Nowhere => format!("nowhere yet: set {}", variable(name)),
        },
        back: back.contains(name),
    };
    plan.secrets.iter().map(view).collect()
}

/// Options that name secrets name those of this plan.
pub(crate) fn check_names(plan: &Plan, files: &SecretFiles) -> CommandResult<()> {
    let unknown = files.files.iter().find(|(name, _)| !plan.secrets.contains_key(name));
    unknown.map_or(Ok(()), |(name, _)| {
        Err(CommandError::usage(format!("no step of the plan uses a secret input `{name}`")))
    })
}

/// The secrets of a new run: what goes into its first record, the values, and the calls that were
/// made for them.
pub(crate) fn begin(
    app: &App,
    runtime: &Runtime,
    plan: &Plan,
    files: &SecretFiles,
    env: &Environment,
) -> CommandResult<(Option<RunSecrets>, Secrets, Vec<Called>)> {
    if plan.secrets.is_empty() {
        return Ok((None, Secrets::none(), Vec::new()));
    }
    let wanted = plan.secrets.keys().map(|name| (name.clone(), None)).collect();
    let (given, calls) = give(app, runtime, plan, files, env, wanted)?;
    let (recorded, values) = Secrets::begin(rand::random(), given)?;
    Ok((Some(recorded), values, calls))
}

/// The secrets that a run which goes on still needs: the values that it began with, and the calls
/// that were made for them.
pub(crate) fn go_on(
    app: &App,
    runtime: &Runtime,
    history: &History,
    way: Direction,
    files: &SecretFiles,
    env: &Environment,
) -> CommandResult<(Secrets, Vec<Called>)> {
    check_names(history.plan(), files)?;
    // A run that goes forward may have to turn back.
    let mut wanted = secrets::behind(history, &env.registry);
    if way == Direction::Forward {
        wanted.extend(secrets::ahead(history));
    }
    let wanted: BTreeMap<_, _> = wanted.into_iter().map(|(name, of)| (name, Some(of))).collect();
    let Some(recorded) = history.secrets().filter(|_| !wanted.is_empty()) else {
        return Ok((Secrets::none(), Vec::new()));
    };
    let (given, calls) = give(app, runtime, history.plan(), files, env, wanted)?;
    Ok((Secrets::go_on(recorded, given)?, calls))
}

/// Calls for the run as a whole become its first records.
pub(crate) fn record(journal: &mut dyn Journal, direction: Direction, calls: Vec<Called>) -> CommandResult<()> {
    let draft = |call: Called| Draft {
        at: SystemClock.now(),
        step: None,
        generation: Generation::FIRST,
        direction,
        body: call.into(),
    };
    if !calls.is_empty() {
        journal.append(calls.into_iter().map(draft).collect())?;
    }
    Ok(())
}

/// The value of each; what is on record of it, where there is something.
fn give(
    app: &App,
    runtime: &Runtime,
    plan: &Plan,
    files: &SecretFiles,
    env: &Environment,
    wanted: BTreeMap<String, Option<SecretRef>>,
) -> CommandResult<(BTreeMap<String, Given>, Vec<Called>)> {
    host::keep_memory_private();
    let begins = wanted.values().all(Option::is_none);
    let ways: Vec<_> = wanted
        .into_iter()
        .map(|(name, of)| {
            let way = way(&name, plan, files, app.out.interactive);
            (name, of, way)
        })
        .collect();
    let missing: Vec<&str> =
        ways.iter().filter(|(_, _, way)| matches!(way, Way::Nowhere)).map(|(name, ..)| name.as_str()).collect();
    if !missing.is_empty() {
        return Err(nowhere(&missing, begins));
    }
    let log: Arc<Mutex<Vec<Called>>> = Arc::default();
    let mut given = BTreeMap::new();
    let mut asked = false;
    for (name, of, way) in ways {
        let one = match way {
            Way::Variable(variable) => {
                Given { value: from_variable(&name, &variable)?, source: variable, version: None }
            }
            Way::File(path, _) => {
                Given { value: from_file(&name, &path)?, source: path.display().to_string(), version: None }
            }
            Way::Managed(secret) => {
                let calls = log.clone();
                let calls: CallLog =
                    Arc::new(move |call| calls.lock().unwrap_or_else(PoisonError::into_inner).push(call));
                let guard = !std::mem::replace(&mut asked, true);
                runtime.block_on(from_secrets_manager(env, calls, secret, of.as_ref(), guard))?
            }
            Way::Prompt | Way::Nowhere => {
                let of = plan.secrets.get(&name).and_then(|s| s.description.as_deref());
                Given { value: from_prompt(&name, of, begins)?, source: "prompt".to_owned(), version: None }
            }
        };
        given.insert(name, one);
    }
    let calls = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((given, calls))
}

fn nowhere(names: &[&str], begins: bool) -> CommandError {
    let (first, names) = (names.first().copied().unwrap_or_default(), names.join("`, `"));
    // A run that is there goes on when the secret is given.
    let kind = if begins { Kind::Refused } else { Kind::Paused };
    // And it has its runbook with it, which is not read again.
    let runbook = if begins { "or write `from:` in the runbook; " } else { "" };
    CommandError::said(kind, format!("nobody says what the secret `{names}` is: nothing was done")).advice(format!(
        "set {variable} to the value, or {variable}_FILE to the path of a file; or give --secret-file {first}=PATH; \
         {runbook}or run it on a terminal, which asks",
        variable = variable(first)
    ))
}

fn empty(name: &str, place: &str) -> CommandError {
    CommandError::refused(format!("the secret `{name}` from {place} is empty: nothing was done"))
}

fn from_variable(name: &str, variable: &str) -> CommandResult<SecretString> {
    let value = host::secret_var(variable)
        .ok_or_else(|| CommandError::refused(format!("the secret `{name}` from {variable} is not a text in UTF-8")))?;
    if value.is_empty() { Err(empty(name, variable)) } else { Ok(SecretString::from(value.as_str())) }
}

/// The text of a file, without the newline that editors and `echo` put at its end.
fn from_file(name: &str, path: &Path) -> CommandResult<SecretString> {
    let failed = |source| CommandError::from(FileError { what: "read", path: path.to_owned(), source });
    // Made large enough at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    File::open(path).and_then(|f| f.take(LONGEST as u64 + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > LONGEST {
        return Err(CommandError::refused(format!("`{}` is too long for the secret `{name}`", path.display()))
            .advice(format!("a secret has at most {LONGEST} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        CommandError::refused(format!("the secret `{name}` from `{}` is not a text in UTF-8", path.display()))
    })?;
    let value = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if value.is_empty() { Err(empty(name, &format!("`{}`", path.display()))) } else { Ok(SecretString::from(value)) }
}

fn from_prompt(name: &str, description: Option<&str>, twice: bool) -> CommandResult<SecretString> {
    let what = description.map(|d| format!(" ({})", switchback_report::text::clean(d))).unwrap_or_default();
    let mut prompt = Password::new().with_prompt(format!("{name}{what}"));
    if twice {
        // What is mistyped here would be set.
        prompt = prompt.with_confirmation(format!("{name} again"), "these are two different values");
    }
    let mut value = prompt
        .interact_on(&Term::stderr())
        .map_err(|_| CommandError::refused(format!("the secret `{name}` was not given: nothing was done")))?;
    let secret = SecretString::from(value.as_str());
    value.zeroize();
    Ok(secret)
}

/// `guard`: asks first who we are, since a secret of that name may be in another account too.
async fn from_secrets_manager(
    env: &Environment,
    calls: CallLog,
    secret: &ManagedSecret,
    of: Option<&SecretRef>,
    guard: bool,
) -> CommandResult<Given> {
    let context: &AwsContext = env.contexts.get(None).ok_or_else(|| {
        CommandError::refused(format!(
            "secret {} is in Secrets Manager, and the runbook has no target `aws`",
            secret.secret_id
        ))
    })?;
    if let Some(provider) = env.providers.iter().find(|p| guard && p.name() == Target::AWS) {
        provider.preflight(calls.clone()).await?;
    }
    // A run that began with a version of it goes on with that one, also when it was rotated since.
    let version = of.filter(|of| of.source.starts_with("arn:")).and_then(|of| of.version.as_deref());
    let read = managed::read(context, calls, secret, version).await?;
    Ok(Given { value: read.value, source: read.arn, version: read.version })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_file_is_its_text_without_the_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, value) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a b ", " a b ")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(from_file("x", &path).unwrap().expose_secret(), value, "{text:?}");
        }
        for wrong in [&b""[..], b"\n", b"\xff", &[b'a'; LONGEST + 1]] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(from_file("x", &path).unwrap_err().code(), 1);
        }
    }
}
