//! The model of commands on the operator's machine: whatever is run prints some rows.

use serde_json::{Map, Value, json};
use switchback_data::command::{CommandAnswer, CommandAsk};
use switchback_model::OpResult;
use switchback_model::plan::{Plan, PlanStep};

use super::{Model, Modelled};

/// How many rows it prints.
const ROWS: u32 = 3;

/// What every command prints.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commands {
    fields: Vec<String>,
}

/// What a step imports.
pub(crate) struct Import {
    /// The fields that it reads.
    pub(crate) fields: Vec<String>,
    /// The operator's own file; none where an earlier step writes it.
    pub(crate) path: Option<String>,
}

/// What the steps of a plan import.
pub(crate) fn imports(plan: &Plan) -> Vec<Import> {
    let of = |step: &PlanStep| {
        let columns = step.params.known(&["columns"]).and_then(Value::as_object);
        let names = columns.into_iter().flat_map(|columns| columns.values().filter_map(Value::as_str));
        let path = step.params.known(&["path"]).and_then(Value::as_str).map(str::to_owned);
        Import { fields: names.map(str::to_owned).collect(), path }
    };
    plan.steps.iter().filter(|step| step.op == "postgres.import").map(of).collect()
}

/// Some rows with these fields, as JSON lines.
pub(crate) fn rows(fields: &[String]) -> String {
    let row = |n: u32| Value::Object(fields.iter().map(|f| (f.clone(), json!(n))).collect::<Map<_, _>>());
    (0..ROWS).map(|n| format!("{}\n", row(n))).collect()
}

impl Commands {
    /// Rows have these fields from now on.
    pub(crate) fn prints(&mut self, fields: Vec<String>) {
        self.fields = fields;
    }
}

impl Model for Commands {
    type Ask = CommandAsk;

    fn answer(&mut self, _ask: CommandAsk) -> OpResult<CommandAnswer> {
        Ok(CommandAnswer::Printed { stdout: rows(&self.fields) })
    }

    fn things(&self) -> Vec<Modelled> {
        Vec::new()
    }

    fn meddle(&mut self, _id: &str, _delete: bool) -> bool {
        false
    }
}
