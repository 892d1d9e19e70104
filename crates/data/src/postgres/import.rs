//! `postgres.import`: rows of a file into a table, and exactly those rows out of it again.
//!
//! ```text
//! batch 0   batch 1   batch 2        each: rows and their keys, in one transaction
//! ┌───────┐ ┌───────┐ ┌──
//! │ rows  │ │ rows  │ │   <- killed here: nothing of this one is there; the next process begins with it
//! └───────┘ └───────┘ └──
//! ```
//!
//! Rows are known by their keys alone, which come back from the insert: nothing is added to the table, and the rows of
//! others are never touched. On the way back each batch goes into a file, as it is then, and is deleted afterwards.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use switchback_engine::export::{self, Writer};
use switchback_engine::file::{FileAnswer, FileAsk};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{OpError, OpResult};

use super::ask::{Batch, PgAnswer, PgAsk};
use super::connection::{self, Connection};
use super::{facts, marks, not_there_yet, sha256, unexpected, unless_gone};

/// How many rows a batch has, where the step does not say.
const BATCH: u32 = 5_000;

/// Rows of a file, loaded into a table. On the way back exactly these rows are exported and deleted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The database, and who loads.
    pub connection: Connection,
    /// The table, with its schema. It has a primary key.
    pub table: String,
    /// The file: `${export.path}`, or one of the operator's, inside of the folder of the journal where it is relative.
    pub path: String,
    /// SHA-256 of its content, in hex: `${export.sha256}`. Without it the file is taken as it is when the step begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What the file consists of.
    #[serde(default)]
    pub format: Format,
    /// The columns that are loaded, and what each is called in the file. All others get their defaults.
    pub columns: BTreeMap<String, String>,
    /// How many rows are loaded in one transaction.
    #[serde(default = "batch_rows")]
    pub batch_rows: u32,
}

/// What a file consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    JsonLines,
    /// Comma-separated values with a head line. A field without quotes and without characters is null; a field has no line
    /// ends.
    Csv,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// How many rows the table had.
    pub rows: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The table.
    pub table: String,
    /// The file.
    pub path: String,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
    /// How many rows were loaded; 0 until all are.
    pub rows: u64,
    /// In how many batches.
    pub batches: u32,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Import;

fn batch_rows() -> u32 {
    BATCH
}

/// Makes the rows that the server is given out of the lines of the file.
struct Reader<'p> {
    params: &'p Params,
    /// The head of a CSV file.
    head: Option<Vec<String>>,
    line: u64,
}

impl<'p> Reader<'p> {
    fn new(params: &'p Params) -> Self {
        Self { params, head: None, line: 0 }
    }

    /// The row in that line; none: it is empty, or the head.
    fn row(&mut self, line: &str) -> Result<Option<String>, String> {
        self.line += 1;
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            return Ok(None);
        }
        let found = match self.params.format {
            Format::JsonLines => self.of_json(line)?,
            Format::Csv => match &self.head {
                None => {
                    let head: Vec<String> = csv(line)?.into_iter().map(Option::unwrap_or_default).collect();
                    for name in self.params.columns.values() {
                        if !head.contains(name) {
                            return Err(format!("the file has no column `{name}`; it has {}", head.join(", ")));
                        }
                    }
                    self.head = Some(head);
                    return Ok(None);
                }
                Some(head) => self.of_csv(head, line)?,
            },
        };
        Ok(Some(found))
    }

    fn of_json(&self, line: &str) -> Result<String, String> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(line).map_err(|e| format!("no JSON object: {e}"))?;
        let mut row = BTreeMap::new();
        for (column, name) in &self.params.columns {
            let value = fields.get(name).ok_or_else(|| format!("there is no `{name}`"))?;
            row.insert(column, *value);
        }
        serde_json::to_string(&row).map_err(|e| e.to_string())
    }

    fn of_csv(&self, head: &[String], line: &str) -> Result<String, String> {
        let fields = csv(line)?;
        if fields.len() != head.len() {
            return Err(format!("{} fields, where the head has {}", fields.len(), head.len()));
        }
        let mut row = BTreeMap::new();
        for (column, name) in &self.params.columns {
            let at = head.iter().position(|field| field == name).unwrap_or_default();
            row.insert(column, fields.get(at).cloned().flatten());
        }
        serde_json::to_string(&row).map_err(|e| e.to_string())
    }
}

/// The fields of a line of CSV; none: null.
fn csv(line: &str) -> Result<Vec<Option<String>>, String> {
    let mut fields = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        if chars.next_if_eq(&'"').is_some() {
            let mut field = String::new();
            loop {
                match chars.next() {
                    Some('"') if chars.next_if_eq(&'"').is_some() => field.push('"'),
                    Some('"') => break,
                    Some(c) => field.push(c),
                    None => return Err("a field in quotes does not end in its line".to_owned()),
                }
            }
            fields.push(Some(field));
        } else {
            let mut field = String::new();
            while let Some(c) = chars.next_if(|c| *c != ',') {
                field.push(c);
            }
            fields.push((!field.is_empty()).then_some(field));
        }
        match chars.next() {
            None => return Ok(fields),
            Some(',') => {}
            Some(c) => return Err(format!("`{c}` after a field in quotes")),
        }
    }
}

async fn batches(cx: &Cx, on: &Connection) -> OpResult<Vec<Batch>> {
    match cx.ask(PgAsk::ListBatches { on: on.clone(), marks: marks(cx) }).await? {
        PgAnswer::Batches(batches) => Ok(batches),
        other => Err(unexpected("ListBatches", &other)),
    }
}

/// What is in the table of a batch.
struct Imported {
    entered: bool,
    rows: Vec<String>,
    count: u64,
    content: String,
}

async fn imported(cx: &Cx, on: &Connection, batch: u32, rows: bool) -> OpResult<Imported> {
    match cx.ask(PgAsk::GetImported { on: on.clone(), marks: marks(cx), batch, rows }).await? {
        PgAnswer::Imported { entered, rows, count, content } => Ok(Imported { entered, rows, count, content }),
        other => Err(unexpected("GetImported", &other)),
    }
}

/// The rows of a file, batch by batch.
struct Rows<'p> {
    reader: Reader<'p>,
    next: Option<u64>,
}

impl Rows<'_> {
    /// The next batch; empty at the end.
    async fn batch(&mut self, cx: &Cx) -> OpResult<Vec<String>> {
        let params = self.reader.params;
        let wanted = usize::try_from(params.batch_rows).unwrap_or(usize::MAX);
        let mut rows = Vec::with_capacity(wanted);
        while let Some(offset) = self.next
            && rows.len() < wanted
        {
            let lines = u32::try_from(wanted - rows.len()).unwrap_or(u32::MAX);
            let read = match cx.ask(FileAsk::GetLines { path: params.path.clone(), offset, lines }).await? {
                FileAnswer::Lines { lines, next } => {
                    self.next = next;
                    lines
                }
                other => {
                    return Err(OpError::permanent(format!("the answer to `GetLines` has another form: {other:?}")));
                }
            };
            for line in read {
                let row = self.reader.row(&line);
                let row = row.map_err(|why| {
                    OpError::permanent(format!("line {} of `{}`: {why}", self.reader.line, params.path))
                })?;
                rows.extend(row);
            }
        }
        Ok(rows)
    }
}

/// The file is the one that the step was begun with.
async fn same_file(cx: &Cx, path: &str, sha256: &str) -> OpResult<()> {
    match export::describe(cx, path).await? {
        Some(facts) if facts.sha256 == sha256 => Ok(()),
        Some(_) => Err(OpError::permanent(format!("the file `{path}` has another content than it had (SHA-256)"))
            .with_hint("put back the file that was begun with")),
        None => Err(no_file(path)),
    }
}

fn no_file(path: &str) -> OpError {
    OpError::permanent(format!("there is no file `{path}`"))
        .with_hint("a relative path begins in the folder of the journal")
}

impl Operation for Import {
    const KIND: &'static str = "postgres.import";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let what = format!(
            "changes to the imported rows of {}; they are exported to {} as they are then",
            params.table,
            export::folder_pattern()
        );
        Facts {
            reversibility: Reversibility::Lossy { what },
            residue: vec![format!("the rows as they were when they were deleted, in {}", export::folder_pattern())],
            ..facts(
                &[
                    "postgresql:DescribeTable",
                    "postgresql:ListBatches",
                    "postgresql:GetImported",
                    "file:DescribeFile",
                    "file:GetLines",
                ],
                &["postgresql:ImportBatch"],
                &["postgresql:DeleteBatch", "file:WriteFile"],
            )
        }
    }

    fn example() -> Option<Params> {
        let columns = [("name", "name"), ("kind", "type")];
        Some(Params {
            connection: connection::example("app"),
            table: "core.agents".to_owned(),
            path: "agents.jsonl".to_owned(),
            sha256: None,
            format: Format::JsonLines,
            columns: columns.map(|(column, name)| (column.to_owned(), name.to_owned())).into(),
            batch_rows: BATCH,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.connection.check(&mut errors);
        let mut wrong = |field: &str, message: &str| errors.push(ParamError::new(field, message));
        if params.columns.is_empty() {
            wrong("columns", "names at least one column");
        }
        if !(1..=50_000).contains(&params.batch_rows) {
            wrong("batch_rows", "is from 1 to 50000");
        }
        if params.table.is_empty() || params.table.contains(';') {
            wrong("table", "is the name of a table, with its schema: core.agents");
        }
        if params.path.is_empty() {
            wrong("path", "is the path of a file");
        }
        if params.sha256.as_ref().is_some_and(|s| s.len() != 64 || !s.bytes().all(|b| b.is_ascii_hexdigit())) {
            wrong("sha256", "is 64 hex digits");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let ask = PgAsk::DescribeTable { on: params.connection.clone(), table: params.table.clone() };
        let table = match not_there_yet(cx.ask(ask).await)? {
            PgAnswer::Table(Some(table)) => table,
            PgAnswer::Table(None) => {
                let error = OpError::permanent(format!("there is no table `{}`", params.table));
                return Err(error.with_code(OpError::NOT_THERE).with_hint("check its name and its schema"));
            }
            other => return Err(unexpected("DescribeTable", &other)),
        };
        if table.primary_key.is_empty() {
            return Err(super::remote::no_key(&params.table));
        }
        if let Some(column) = params.columns.keys().find(|column| !table.columns.contains(column)) {
            let message = format!("the table `{}` has no column `{column}`", params.table);
            return Err(OpError::permanent(message).with_hint(format!("it has {}", table.columns.join(", "))));
        }
        let file = export::describe(cx, &params.path).await?.ok_or_else(|| no_file(&params.path))?;
        if params.sha256.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(&file.sha256)) {
            return Err(OpError::permanent(format!(
                "the file `{}` is not the one that was exported (SHA-256)",
                params.path
            ))
            .with_hint("somebody changed it: export again"));
        }
        Ok(Before { rows: table.rows, sha256: file.sha256 })
    }

    /// Makes no call: it only says what will be loaded.
    async fn create(&self, _cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        Ok(Output {
            table: params.table.clone(),
            path: params.path.clone(),
            sha256: before.sha256.clone(),
            rows: 0,
            batches: 0,
        })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Output> {
        same_file(cx, &params.path, &output.sha256).await?;
        let there: BTreeMap<u32, Batch> =
            batches(cx, &params.connection).await?.into_iter().map(|batch| (batch.batch, batch)).collect();
        let columns: Vec<String> = params.columns.keys().cloned().collect();
        let mut file = Rows { reader: Reader::new(params), next: Some(0) };
        let (mut rows, mut number) = (0, 0);
        loop {
            let batch = file.batch(cx).await?;
            if batch.is_empty() {
                break;
            }
            let count = batch.len() as u64;
            let checksum = sha256(&batch.join("\n"));
            match there.get(&number) {
                Some(entered) if entered.checksum == checksum => {}
                Some(_) => return Err(super::remote::changed_file(number)),
                None => {
                    let ask = PgAsk::ImportBatch {
                        on: params.connection.clone(),
                        marks: marks(cx),
                        table: params.table.clone(),
                        columns: columns.clone(),
                        batch: number,
                        rows: batch,
                        checksum,
                    };
                    cx.ask(ask).await?;
                }
            }
            rows += count;
            number += 1;
            cx.progress(&format!("{rows} rows loaded into {}", params.table));
        }
        Ok(Output { rows, batches: number, ..output.clone() })
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(Found::Absent)
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        let on = &params.connection;
        let there = unless_gone(batches(cx, on).await)?;
        if there.is_empty() {
            return Ok(Undo::Nothing);
        }
        for Batch { batch, .. } in there.into_iter().rev() {
            let now = imported(cx, on, batch, true).await?;
            // A batch that was deleted meanwhile, by a call whose reply was lost, has its file.
            if now.entered {
                let mut writer = Writer::new(&format!("{}/rows-{batch:05}.jsonl", export::folder(cx)));
                writer.lines(cx, &now.rows).await?;
                writer.finish(cx).await?;
            }
            cx.ask(PgAsk::DeleteBatch { on: on.clone(), marks: marks(cx), batch }).await?;
            cx.progress(&format!("batch {batch} exported and deleted from {}", params.table));
        }
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let on = &params.connection;
        if want == Expect::RolledBack {
            let left = unless_gone(batches(cx, on).await)?;
            let rows: u64 = left.iter().map(|batch| batch.rows).sum();
            return Ok(Verdict::new().compare("rows of this step", 0, rows));
        }
        let there = batches(cx, on).await?;
        let mut differ = Vec::new();
        let mut rows = 0;
        for batch in &there {
            let now = imported(cx, on, batch.batch, false).await?;
            rows += now.count;
            if (now.count, &now.content) != (batch.rows, &batch.content) {
                differ.push(batch.batch);
            }
        }
        let loaded: u64 = there.iter().map(|batch| batch.rows).sum();
        let wanted = out.map(|out| out.rows);
        let mut verdict = Verdict::new()
            .compare("rows in the ledger", wanted, loaded)
            .compare("rows in the table", wanted, rows)
            .compare("batches", out.map(|out| out.batches), there.len())
            .compare("batches that differ from the file", json!([]), differ);
        verdict.observed = json!({"table": params.table, "rows": rows, "batches": there.len()});
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(params: &Params, lines: &[&str]) -> Result<Vec<String>, String> {
        let mut reader = Reader::new(params);
        Ok(lines.iter().map(|line| reader.row(line)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    #[test]
    fn lines_become_rows_with_the_names_of_the_columns() {
        let params = Import::example().unwrap();
        assert_eq!(
            rows(&params, &[r#"{"type": {"b": 1.10}, "name": "x", "more": 1}"#, "", r#"{"name":null,"type":2}"#])
                .unwrap(),
            [r#"{"kind":{"b": 1.10},"name":"x"}"#, r#"{"kind":2,"name":null}"#]
        );
        assert!(rows(&params, &[r#"{"name": "x"}"#]).unwrap_err().contains("no `type`"));
        assert!(rows(&params, &["[1]"]).unwrap_err().contains("no JSON object"));
    }

    #[test]
    fn csv_has_a_head_and_tells_null_from_nothing() {
        let params = Params { format: Format::Csv, ..Import::example().unwrap() };
        assert_eq!(
            rows(&params, &["id,type,name\r", "1,\"a \"\"b\"\", c\",x", "2,,\"\""]).unwrap(),
            [r#"{"kind":"a \"b\", c","name":"x"}"#, r#"{"kind":null,"name":""}"#]
        );
        assert!(rows(&params, &["id,name"]).unwrap_err().contains("no column `type`"));
        assert!(rows(&params, &["type,name", "1"]).unwrap_err().contains("1 fields"));
        assert!(rows(&params, &["type,name", "\"1,2"]).unwrap_err().contains("does not end"));
        assert!(rows(&params, &["type,name", "\"1\"2,3"]).is_err());
    }

    #[test]
    fn parameters_that_cannot_work_are_refused() {
        let params = || Import::example().unwrap();
        let wrong = |params: &Params| Import.check(params).err().map_or(0, |e| e.len());
        assert_eq!(wrong(&params()), 0);
        assert_eq!(wrong(&Params { columns: BTreeMap::new(), batch_rows: 0, ..params() }), 2);
        assert_eq!(wrong(&Params { sha256: Some("x".into()), path: String::new(), ..params() }), 2);
    }
}
