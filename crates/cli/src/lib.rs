//! The `switchback` command: arguments, wiring, errors to exit codes. It decides nothing about a
//! run; every command ends in a call of the engine.
//!
//! It is a library so that others can offer operations of their own, in a binary of their own:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use switchback_cli::{BUILT_IN, run};
//!
//! fn main() -> ExitCode {
//!     run(BUILT_IN)
//! }
//! ```
//!
//! - `args`: what can be said. `commands`: one file a command.
//! - `app`, `output`, `host`: what commands share: state folder, stdout and stderr, who and when.
//! - `source`, `select`, `replay`: a plan from a file, a run from an argument, its history.
//! - `secret`: the values of secret inputs.
//! - `target`, `sandbox`: where a run acts. `execute`, `ask`: a run in the hands of this process.
//! - `rehearsal`, `certificate`: the process that rehearses a plan, and what is kept of it.
//! - `error`: whatever goes wrong, as one type with an exit code.

mod advice;
mod app;
mod args;
mod ask;
mod certificate;
mod commands;
mod error;
mod execute;
mod host;
mod output;
mod policy;
mod preflight;
mod rehearsal;
mod replay;
mod sandbox;
mod secret;
mod select;
mod source;
mod standing;
mod target;
mod view;

use std::process::ExitCode;

use switchback_engine::Registry;
use switchback_engine::registry::DuplicateKind;
use switchback_model::exit_code;

/// Adds operations to a registry.
pub type Register = fn(&mut Registry) -> Result<(), DuplicateKind>;

/// The operations that Switchback brings along. Add your own list of functions after these.
pub const BUILT_IN: &[Register] =
    &[switchback_aws::register, switchback_container::register, switchback_data::register, switchback_probe::register];

/// Runs the command that this process was started with, with the given operations.
#[must_use]
pub fn run(registrations: &'static [Register]) -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and the version are asked for like this too. Nobody there to read: no matter.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { exit_code::USAGE } else { exit_code::OK });
        }
    };
    let app = app::App::new(&cli.global, registrations);
    match commands::run(&app, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            app.out.error(&e);
            ExitCode::from(e.code())
        }
    }
}
