//! `schema`: the JSON Schema of runbooks, for editors.

use switchback_engine::planner::runbook_schema;
use switchback_model::exit_code;

use crate::app::App;
use crate::error::CommandResult;

pub(crate) fn run(app: &App) -> CommandResult<u8> {
    let schema = runbook_schema(app.registry()?.as_ref());
    let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::other)?;
    app.out.data(&format!("{text}\n"))?;
    Ok(exit_code::OK)
}
