//! What every command has: where the state is, how output goes out, which operations there are.
//! Each part is made only when a command asks for it, so that a command pays for nothing that it
//! does not need.

use std::path::PathBuf;
use std::sync::Arc;

use switchback_engine::Registry;
use switchback_journal::Store;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::Register;
use crate::args::Global;
use crate::error::{CommandError, CommandResult, FileError};
use crate::host;
use crate::output::Out;

/// Libraries that print requests and replies as they are, with the secrets in them, when they are
/// asked for more than this: of these nothing below `info` is ever shown.
const PRINTS_BODIES: [&str; 4] = ["aws_", "hyper", "h2", "rustls"];

/// What every command has.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) state: PathBuf,
    pub(crate) out: Out,
    registrations: &'static [Register],
}

impl App {
    pub(crate) fn new(global: &Global, registrations: &'static [Register]) -> Self {
        Self { state: global.state.clone(), out: Out::new(global), registrations }
    }

    /// The operations.
    pub(crate) fn registry(&self) -> CommandResult<Arc<Registry>> {
        let mut registry = Registry::new();
        for register in self.registrations {
            register(&mut registry)?;
        }
        Ok(Arc::new(registry))
    }

    /// The journal, to look at.
    pub(crate) fn journal(&self) -> CommandResult<Store> {
        Ok(Store::open_read_only(&self.state)?)
    }

    /// The journal of runs that are there, to write into. Never makes one.
    pub(crate) fn journal_of_runs(&self) -> CommandResult<Store> {
        drop(self.journal()?);
        self.new_journal()
    }

    /// The journal, to write into; made when there is none.
    pub(crate) fn new_journal(&self) -> CommandResult<Store> {
        Ok(Store::open(&self.state, host::writer())?)
    }

    /// What drives a run, and looks at its target.
    pub(crate) fn runtime(&self) -> CommandResult<Runtime> {
        self.trace();
        Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|source| {
            CommandError::from(FileError { what: "start", path: PathBuf::from("tokio runtime"), source })
        })
    }

    /// Diagnostics of the libraries, for whoever asks for them with SWITCHBACK_LOG.
    fn trace(&self) {
        if host::is_set("SWITCHBACK_LOG") {
            let filter = EnvFilter::from_env("SWITCHBACK_LOG").and(filter_fn(|line| {
                *line.level() <= LevelFilter::INFO || !PRINTS_BODIES.iter().any(|of| line.target().starts_with(of))
            }));
            let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
            // A second runtime in one process finds it set up already.
            let _ = tracing_subscriber::registry().with(lines).try_init();
        }
    }
}
