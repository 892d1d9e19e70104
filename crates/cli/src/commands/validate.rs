//! `validate FILE`: parse, resolve, type-check. Uses no network and writes nothing.

use serde::Serialize;
use switchback_model::exit_code;
use switchback_report::text;

use crate::app::App;
use crate::args::Validate;
use crate::error::CommandResult;
use crate::source;

#[derive(Serialize)]
struct Valid<'a> {
    runbook: &'a str,
    version: u32,
    phases: usize,
    steps: usize,
    plan_hash: &'a str,
}

pub(crate) fn run(app: &App, args: &Validate) -> CommandResult<u8> {
    let document = source::read(&args.file)?;
    let made = source::plan(&document, app.registry()?.as_ref(), &source::given(&args.inputs))?;
    let plan = &made.plan;
    if app.out.json {
        let data = Valid {
            runbook: &plan.runbook,
            version: plan.version,
            phases: plan.phases.len(),
            steps: plan.steps.len(),
            plan_hash: &made.hash,
        };
        app.out.line("valid", None, data)?;
    } else {
        app.out.data(&format!(
            "{} is valid: {} in {}, plan {}\n",
            args.file.display(),
            text::count(plan.steps.len(), "step"),
            text::count(plan.phases.len(), "phase"),
            made.hash.get(..12).unwrap_or(&made.hash),
        ))?;
    }
    Ok(exit_code::OK)
}
