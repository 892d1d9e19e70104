//! `sandbox up | down | status`: the local stand-in for AWS, as a process of its own.

use serde::Serialize;
use switchback_model::exit_code;

use crate::app::App;
use crate::args;
use crate::error::CommandResult;
use crate::sandbox::{Info, Sandbox};

#[derive(Serialize)]
struct Line<'a> {
    up: bool,
    sandbox: Option<&'a Info>,
}

pub(crate) fn run(app: &App, command: &args::Sandbox) -> CommandResult<u8> {
    let sandbox = Sandbox::of(&app.state);
    match command {
        args::Sandbox::Up { port, bare } => {
            let (info, started) = sandbox.up(*port, *bare)?;
            app.out.remark(if started { "sandbox started" } else { "the sandbox was up already" });
            say(app, Some(&info))?;
        }
        args::Sandbox::Down => {
            let ended = sandbox.down()?;
            app.out.remark(if ended { "sandbox ended" } else { "no sandbox was up" });
            if app.out.json {
                say(app, None)?;
            }
        }
        args::Sandbox::Status => match sandbox.info() {
            Some(info) => say(app, Some(&info))?,
            None => {
                sandbox_is_down(app)?;
                return Ok(exit_code::REFUSED);
            }
        },
    }
    Ok(exit_code::OK)
}

fn sandbox_is_down(app: &App) -> CommandResult<()> {
    if app.out.json { say(app, None) } else { Ok(app.out.data("the sandbox is not up\n")?) }
}

/// The real servers, one a line: where each is, or what to install.
fn parts(info: &Info) -> String {
    let lines = info.parts.iter().map(|part| match &part.missing {
        None => format!("{:<12} {}\n", part.name, part.address),
        Some(package) => format!("{:<12} not there: install the package {package}\n", part.name),
    });
    lines.fold(String::new(), |all, line| all + &line)
}

/// Where it is, in a form that a shell can take over as it stands.
fn say(app: &App, info: Option<&Info>) -> CommandResult<()> {
    if app.out.json {
        app.out.line("sandbox", None, Line { up: info.is_some(), sandbox: info })?;
    } else if let Some(info) = info {
        app.out.data(&format!(
            "endpoint {}\naccount  {}\nregion   {}\nprocess  {}\n{}\n\
             export AWS_ENDPOINT_URL={} AWS_REGION={} AWS_DEFAULT_REGION={} AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={}\n",
            info.endpoint,
            info.account,
            info.region,
            info.pid,
            parts(info),
            info.endpoint,
            info.region,
            info.region,
            info.access_key_id,
            info.secret_access_key,
        ))?;
    }
    Ok(())
}
