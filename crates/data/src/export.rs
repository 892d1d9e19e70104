//! `data.export`: rows of a table, of a query, or of a command, as JSON lines in a file. And how rows are written to one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::export::{self, Writer};
use switchback_engine::file::FileFacts;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use crate::command::{CommandAnswer, CommandAsk};
use crate::postgres::ask::{PgAnswer, PgAsk, RowSource};
use crate::postgres::connection::{self, Connection};

/// How many rows are read at once.
const PAGE: u32 = 5_000;
/// How long a command may take, where the step does not say.
const COMMAND_TIMEOUT: u64 = 600;

/// An export of rows to a file of JSON lines, which stays. Its path is in the output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What is exported.
    pub from: From,
}

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum From {
    /// Rows of a database.
    Postgres(Box<Rows>),
    /// What a command prints, run on this machine without a shell: JSON lines, or one JSON list.
    Command(Command),
}

/// Rows of a database: all of a table, or what a query says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The database.
    pub connection: Connection,
    /// The table, with its schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A query, which can change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// How many seconds it may take.
    #[serde(default = "command_timeout")]
    pub timeout_seconds: u64,
}

fn command_timeout() -> u64 {
    COMMAND_TIMEOUT
}

/// An export is made anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {}

/// What later steps may refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The file.
    pub path: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Export;

/// Rows to be written.
pub(crate) enum Lines {
    /// Page by page from a database.
    Pages { on: Box<Connection>, from: RowSource, cursor: Option<String>, done: bool },
    /// They are there already.
    Given(Option<Vec<String>>),
}

impl Lines {
    /// Rows of a database.
    pub(crate) fn of(on: Connection, from: RowSource) -> Self {
        Self::Pages { on: Box::new(on), from, cursor: None, done: false }
    }

    /// The next ones; none at the end.
    async fn next(&mut self, cx: &Cx) -> OpResult<Option<Vec<String>>> {
        match self {
            Self::Given(lines) => Ok(lines.take()),
            Self::Pages { done: true, .. } => Ok(None),
            Self::Pages { on, from, cursor, done } => {
                let ask =
                    PgAsk::GetRows { on: (**on).clone(), from: from.clone(), cursor: cursor.clone(), limit: PAGE };
                match cx.ask(ask).await? {
                    PgAnswer::Rows { rows, cursor: next } => {
                        *done = next.is_none();
                        *cursor = next;
                        Ok(Some(rows))
                    }
                    other => Err(OpError::permanent(format!("the answer to `GetRows` has another form: {other:?}"))),
                }
            }
        }
    }

    /// Writes them to a file.
    pub(crate) async fn write(mut self, cx: &Cx, path: &str) -> OpResult<FileFacts> {
        let mut writer = Writer::new(path);
        while let Some(rows) = self.next(cx).await? {
            writer.lines(cx, &rows).await?;
        }
        writer.finish(cx).await
    }
}

/// What a command printed, one JSON text a line.
fn printed(stdout: &str) -> Result<Vec<String>, String> {
    let not_json = |at: usize, e: &serde_json::Error| format!("line {at} of what it printed is not JSON: {e}");
    if stdout.trim_start().starts_with('[') {
        let items: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_str(stdout).map_err(|e| not_json(e.line(), &e))?;
        // In one line each, whatever their form.
        let compact = |item: &serde_json::value::RawValue| {
            let value: serde_json::Value = serde_json::from_str(item.get())?;
            serde_json::to_string(&value)
        };
        return items.iter().enumerate().map(|(i, item)| compact(item).map_err(|e| not_json(i + 1, &e))).collect();
    }
    let lines = stdout.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| match serde_json::from_str::<serde::de::IgnoredAny>(line) {
            Ok(_) => Ok(line.to_owned()),
            Err(e) => Err(not_json(i + 1, &e)),
        })
        .collect()
}

async fn lines(cx: &Cx, from: &From) -> OpResult<Lines> {
    match from {
        From::Postgres(rows) => {
            let Rows { connection, table, query } = &**rows;
            let from = match (table, query) {
                (Some(table), _) => RowSource::Table(table.clone()),
                (None, query) => RowSource::Query(query.clone().unwrap_or_default()),
            };
            Ok(Lines::of(connection.clone(), from))
        }
        From::Command(Command { argv, timeout_seconds }) => {
            let ask = CommandAsk::RunCommand { argv: argv.clone(), timeout_ms: timeout_seconds.saturating_mul(1000) };
            let CommandAnswer::Printed { stdout } = cx.ask(ask).await?;
            let program = argv.first().map_or("", String::as_str);
            let lines = printed(&stdout).map_err(|why| OpError::permanent(format!("`{program}`: {why}")))?;
            Ok(Lines::Given(Some(lines)))
        }
    }
}

impl Operation for Export {
    const KIND: &'static str = "data.export";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let (reads, writes): (&[&str], &[&str]) = match &params.from {
            From::Postgres(_) => (&["file:DescribeFile", "postgresql:GetRows"], &["file:WriteFile"]),
            From::Command(_) => (&["file:DescribeFile"], &["command:RunCommand", "file:WriteFile"]),
        };
        Facts {
            residue: vec![format!("the export, {}.jsonl", export::folder_pattern())],
            create_deadline: match &params.from {
                From::Postgres(_) => Duration::from_secs(60 * 60),
                From::Command(command) => Duration::from_secs(command.timeout_seconds.saturating_add(60 * 60)),
            },
            ..crate::postgres::facts(reads, writes, &[])
        }
    }

    fn example() -> Option<Params> {
        let rows = Rows { connection: connection::example("app"), table: Some("core.agents".to_owned()), query: None };
        Some(Params { from: From::Postgres(Box::new(rows)) })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: &str| errors.push(ParamError::new(field, message));
        match &params.from {
            From::Postgres(rows) => {
                match (&rows.table, &rows.query) {
                    (Some(_), None) | (None, Some(_)) => {}
                    _ => wrong("from", "has either a `table` or a `query`"),
                }
                rows.connection.check(&mut errors);
            }
            From::Command(command) => {
                if command.argv.first().is_none_or(String::is_empty) {
                    wrong("from", "`argv` has a program and its arguments");
                }
                if !(1..=24 * 60 * 60).contains(&command.timeout_seconds) {
                    wrong("from", "`timeout_seconds` is from 1 to 86400");
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, _cx: &Cx, _params: &Params) -> OpResult<Before> {
        Ok(Before {})
    }

    async fn create(&self, cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Output> {
        Ok(Output { path: format!("{}.jsonl", export::folder(cx)), ..Output::default() })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Output> {
        let facts = lines(cx, &params.from).await?.write(cx, &output.path).await?;
        Ok(Output { path: output.path.clone(), rows: facts.lines, bytes: facts.bytes, sha256: facts.sha256 })
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(Found::Absent)
    }

    async fn rollback(&self, _cx: &Cx, _params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        _params: &Params,
        _before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let (Expect::Created, Some(out)) = (want, out) else { return Ok(Verdict::new()) };
        let there = export::describe(cx, &out.path).await?;
        let mut verdict = Verdict::new().compare("rows", out.rows, there.as_ref().map(|facts| facts.lines)).compare(
            "sha256",
            out.sha256.as_str(),
            there.as_ref().map(|facts| facts.sha256.clone()),
        );
        verdict.observed = json!({"path": out.path, "rows": out.rows, "bytes": out.bytes});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_becomes_lines() {
        assert_eq!(printed("{\"a\": 1}\n\n{\"a\": 2}\n").unwrap(), ["{\"a\": 1}", "{\"a\": 2}"]);
        assert_eq!(printed("[{\"a\":\n 1},\n {\"a\": 2}]").unwrap(), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(printed("").unwrap(), Vec::<String>::new());
        assert!(printed("{}\nnot json").unwrap_err().contains("line 2"));
    }

    #[test]
    fn a_source_is_one_thing() {
        let example = Export::example().unwrap();
        assert_eq!(Export.check(&example), Ok(()));
        let From::Postgres(rows) = example.from else { panic!("an example of rows") };
        let both = Rows { query: Some("SELECT 1".into()), ..*rows };
        assert_eq!(Export.check(&Params { from: From::Postgres(Box::new(both)) }).unwrap_err().len(), 1);
        let nothing = Command { argv: vec![], timeout_seconds: 0 };
        assert_eq!(Export.check(&Params { from: From::Command(nothing) }).unwrap_err().len(), 2);
    }
}
