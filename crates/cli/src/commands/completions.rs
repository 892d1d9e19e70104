//! `completions SHELL`: what a shell needs to complete commands and options.

use clap_complete::{Shell, generate};
use switchback_model::exit_code;

use crate::app::App;
use crate::args;
use crate::error::CommandResult;

pub(crate) fn run(app: &App, shell: Shell) -> CommandResult<u8> {
    let mut text = Vec::new();
    generate(shell, &mut args::command(), "switchback", &mut text);
    app.out.data(&String::from_utf8_lossy(&text))?;
    Ok(exit_code::OK)
}
