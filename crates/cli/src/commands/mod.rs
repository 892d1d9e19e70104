//! One file a command.

mod apply;
mod completions;
mod log;
mod ops;
mod plan;
mod rehearse;
mod rescue;
mod resume;
mod runs;
mod sandbox;
mod schema;
mod status;
mod takeover;
mod unwind;
mod validate;
mod verify;

use switchback_engine::executor::Rescue;

use crate::app::App;
use crate::args::Command;
use crate::error::CommandResult;

/// Runs a command and returns its exit code.
pub(crate) fn run(app: &App, command: Command) -> CommandResult<u8> {
    match command {
        Command::Validate(args) => validate::run(app, &args),
        Command::Plan(args) => plan::run(app, &args),
        Command::Apply(args) => apply::run(app, &args),
        Command::Rehearse(args) => rehearse::run(app, &args),
        Command::Resume(args) => resume::run(app, &args),
        Command::Unwind(args) => unwind::run(app, &args),
        Command::Verify(args) => verify::run(app, &args),
        Command::Status(args) => status::run(app, &args),
        Command::Runs => runs::run(app),
        Command::Log(args) => log::run(app, &args),
        Command::Approve(args) => rescue::run(app, &args, Rescue::Approve { by: crate::host::user() }),
        Command::Adopt(args) => rescue::run(app, &args, Rescue::Adopt),
        Command::Disown(args) => rescue::run(app, &args, Rescue::Disown),
        Command::MarkDone(args) => rescue::mark_done(app, &args),
        Command::Skip(args) => rescue::run(app, &args, Rescue::Skip),
        Command::Takeover(args) => takeover::run(app, &args),
        Command::Sandbox(args) => sandbox::run(app, &args),
        Command::Ops(args) => ops::run(app, &args),
        Command::Schema => schema::run(app),
        Command::Completions { shell } => completions::run(app, shell),
    }
}
