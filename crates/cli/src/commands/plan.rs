//! `plan FILE`: what a run would do, how each step is undone, and what stands in the way.
//! Changes nothing and needs no journal.

use std::fs;

use switchback_engine::planner::plan_text;
use switchback_model::record::Endpoint;
use switchback_model::{ErrorClass, exit_code};
use switchback_report::plan::PreflightView;

use crate::app::App;
use crate::args::Plan;
use crate::error::{CommandResult, FileError};
use crate::sandbox::Sandbox;
use crate::target::Purpose;
use crate::{certificate, preflight, secret, source, target, view};

pub(crate) fn run(app: &App, args: &Plan) -> CommandResult<u8> {
    let document = source::read(&args.file)?;
    let registry = app.registry()?;
    let mut given = source::given(&args.inputs);
    let (endpoint, sandbox) = if args.offline && args.place.sandbox {
        // Without looking: as far as a sandbox that is up says it by itself.
        let info = Sandbox::of(&app.state).info();
        let endpoint =
            info.as_ref().map_or_else(|| Endpoint { sandbox: true, ..Endpoint::default() }, target::of_sandbox);
        (endpoint, info)
    } else {
        target::choose(app, &args.place)?
    };
    if args.place.sandbox {
        let lacking = source::lacking(&document, &given);
        source::give(&mut given, &lacking, sandbox.as_ref());
    }
    let made = source::plan(&document, &registry, &given)?;
    secret::check_names(&made.plan, &args.secrets)?;
    let mut shown = view::view(&made.plan, &made.hash, &registry, &endpoint);
    shown.secrets = secret::views(app, &made.plan, &registry, &args.secrets);
    let rehearse = source::rehearse(&args.file, &given);
    shown.rehearsal = Some(certificate::look(app, &args.rehearsal, &made, false, rehearse)?);
    if !args.offline {
        let runtime = app.runtime()?;
        shown.preflight = Some(runtime.block_on(async {
            let env = target::environment(app, registry, &made.plan, &endpoint, None, Purpose::Begin).await?;
            CommandResult::Ok(preflight::look(&made.plan, &env).await)
        })?);
    }
    if app.out.json {
        app.out.line("plan", None, &shown)?;
    } else {
        app.out.data(&shown.render(&app.out.context()))?;
    }
    if let Some(path) = &args.out {
        let text = plan_text(&made.plan) + "\n";
        fs::write(path, text).map_err(|source| FileError { what: "write", path: path.clone(), source })?;
        app.out.remark(&format!("plan stored in `{}`", path.display()));
    }
    Ok(shown.preflight.as_ref().map_or(exit_code::OK, code))
}

/// What stands in the way refuses the run; what cannot be asked may be asked later.
fn code(preflight: &PreflightView) -> u8 {
    let reasons = &preflight.reasons;
    if reasons.is_empty() {
        exit_code::OK
    } else if reasons.iter().all(|(_, e)| e.class == ErrorClass::Unavailable) {
        exit_code::PAUSED
    } else {
        exit_code::REFUSED
    }
}
