//! Running other programs, with errors that say which one and what to do.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A task did not reach its end.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace());
    cargo
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command as a person would type it.
fn text(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let args = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// Runs a program to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<(), Failed> {
    let code = exit_code(command)?;
    if code == 0 { Ok(()) } else { Err(Failed(format!("`{}` ended with exit code {code}", text(command)))) }
}

/// Runs a program to its end and returns its exit code.
pub(crate) fn exit_code(command: &mut Command) -> Result<i32, Failed> {
    println!("\n$ {}", text(command));
    let status = command.status().map_err(|e| Failed(format!("`{}` cannot be started: {e}", text(command))))?;
    Ok(status.code().unwrap_or(-1))
}

/// Whether a program runs and succeeds. Its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
