//! `runs`: all runs of the journal.

use switchback_model::exit_code;
use switchback_report::status::render_runs;

use crate::app::App;
use crate::error::CommandResult;
use crate::standing;

pub(crate) fn run(app: &App) -> CommandResult<u8> {
    let store = app.journal()?;
    let mut lines = Vec::new();
    for summary in store.runs()? {
        let executed = store.lock_holder(summary.run)?.is_some();
        lines.push(standing::line(&summary, executed, None));
    }
    if app.out.json {
        for line in &lines {
            app.out.line("run", Some(line.run), line)?;
        }
    } else if lines.is_empty() {
        app.out.remark("the journal has no runs");
    } else {
        app.out.data(&render_runs(&app.out.context(), &lines))?;
    }
    Ok(exit_code::OK)
}
