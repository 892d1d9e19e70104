//! What this process is told by its host: the environment, the time of day, who it runs as.
//! Nothing else in Switchback asks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use switchback_engine::cx::Clock;
use switchback_journal::Writer;
use switchback_model::RunId;
use switchback_model::record::Actor;
use uuid::Uuid;

/// A variable of the environment, where it is set to something.
pub(crate) fn var(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|v| !v.is_empty())
}

/// Whether a variable is set to something.
pub(crate) fn is_set(name: &str) -> bool {
    var(name).is_some()
}

/// Whether a variable is set to exactly this.
pub(crate) fn is(name: &str, value: &str) -> bool {
    var(name).is_some_and(|v| v == value)
}

/// What the names of variables with secret inputs begin with.
const SECRET_INPUT: &str = "SWITCHBACK_INPUT_";

/// Whether a variable is there, also when it is empty.
pub(crate) fn is_there(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// The value of a secret input; `None` when it is not a text.
pub(crate) fn secret_var(name: &str) -> Option<Zeroizing<String>> {
    let text = std::env::var_os(name).unwrap_or_default().into_string();
    text.ok().map(Zeroizing::new)
}

/// The variables that no other process may be given: those with secret inputs.
pub(crate) fn secret_vars() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(SECRET_INPUT.as_bytes())).collect()
}

/// No core file, no debugger of the same user and no other process's look into the memory or the
/// environment of this one, from here on. Where the host refuses, it stays as it was.
pub(crate) fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Where the sandbox binary is, if the environment says so.
pub(crate) fn sandbox_bin() -> Option<PathBuf> {
    var("SWITCHBACK_SANDBOX_BIN").map(PathBuf::from)
}

/// The time of day.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// How many threads can run at the same time; 1 where the host does not say.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The name of this host.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user that this process runs as: by the password file, since a variable can say anything.
pub(crate) fn user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    name.or_else(|| var("USER").map(|u| u.to_string_lossy().into_owned())).unwrap_or_else(|| format!("uid {uid}"))
}

/// Who writes into the journal.
pub(crate) fn writer() -> Writer {
    let actor = Actor {
        user: user(),
        host: name(),
        pid: std::process::id(),
        aws_caller: None,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Writer { actor, clock: Arc::new(SystemClock) }
}

/// A new run's id.
pub(crate) fn new_run() -> RunId {
    RunId::new(Uuid::now_v7())
}
