//! The `switchback` binary, with the operations that it brings along.

use std::process::ExitCode;

fn main() -> ExitCode {
    switchback_cli::run(switchback_cli::BUILT_IN)
}
