//! `postgres.migrations`: the schema of a database, step by step, and back.
//!
//! ```text
//! capture: what is applied already -> create: pins what is not -> settle: each, with its entry, in a transaction of its own
//! rollback: the rows of the tables go to files, then down scripts of our entries, last one first
//! ```
//!
//! The ledger says what is applied and whose it is. What others applied is left alone in both directions. What each
//! migration made is read from the catalog in the same transaction, and that is what `verify` compares with.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::export;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{OpError, OpResult};

use super::ask::{Change, Migration, Object, PgAnswer, PgAsk, RowSource};
use super::connection::{self, Connection};
use super::{facts, marks, not_there_yet, sha256, sql, unexpected, unless_gone};
use crate::export::Lines;

/// Migrations of a database, from files `NNN_name.up.sql` and `NNN_name.down.sql`. Only what this run applied is undone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The database, and who changes it.
    pub connection: Connection,
    /// The files: `{ folder: PATH }` beside the runbook, or each by its name.
    pub migrations: BTreeMap<String, String>,
    /// Objects that must be there afterwards, by name: `core.agents`, `core.agents.id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The versions among ours that others have applied, with the same texts.
    pub applied: Vec<u64>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The database.
    pub database: String,
    /// What this step applies, in order.
    pub migrations: Vec<Applied>,
    /// SHA-256 over all changes, in hex; empty until all are applied.
    pub digest: String,
}

/// A migration of this step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// Its number.
    pub version: u64,
    /// What it is called.
    pub name: String,
    /// What it made, changed and dropped; empty until it is applied.
    pub changes: Vec<Change>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Migrations;

/// A migration as its files say it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Script {
    version: u64,
    name: String,
    up: String,
    down: String,
}

/// The number, the name and the direction (up?) that the name of a file says.
fn parts(file: &str) -> Option<(u64, &str, bool)> {
    let (stem, up) = match file.strip_suffix(".up.sql") {
        Some(stem) => (stem, true),
        None => (file.strip_suffix(".down.sql")?, false),
    };
    let (number, name) = stem.split_once('_')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) || number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok().filter(|n| i64::try_from(*n).is_ok())?, name, up))
}

/// The migrations in their order, and what is wrong with them.
fn scripts(files: &BTreeMap<String, String>) -> (Vec<Script>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut found: BTreeMap<(u64, &str), [Option<&String>; 2]> = BTreeMap::new();
    for (file, text) in files {
        match parts(file) {
            Some((version, name, up)) => {
                let both = found.entry((version, name)).or_default();
                if both[usize::from(!up)].replace(text).is_some() {
                    wrong.push(format!("`{file}`: there are two files for version {version} `{name}`"));
                }
            }
            None => wrong.push(format!("`{file}` is not called NNN_name.up.sql or NNN_name.down.sql")),
        }
    }
    if files.is_empty() {
        wrong.push("there is no migration".to_owned());
    }
    let mut last = None;
    let mut scripts = Vec::new();
    for ((version, name), both) in found {
        if last == Some(version) {
            wrong.push(format!("two migrations have the number {version}; one of them is `{name}`"));
        }
        last = Some(version);
        let [Some(up), Some(down)] = both else {
            let lacks = if both[0].is_none() { "up" } else { "down" };
            wrong.push(format!("`{version}_{name}` has no .{lacks}.sql: every migration has its way back"));
            continue;
        };
        for (text, direction) in [(up, "up"), (down, "down")] {
            let statements = sql::statements(text);
            if statements.is_empty() {
                wrong.push(format!("`{version}_{name}.{direction}.sql` has no statement"));
            }
            for statement in statements {
                if let Some(why) = sql::refused(&statement) {
                    let begin: String = statement.chars().take(40).collect();
                    wrong.push(format!("`{version}_{name}.{direction}.sql`: `{begin}` {why}"));
                }
            }
        }
        scripts.push(Script { version, name: name.to_owned(), up: up.clone(), down: down.clone() });
    }
    (scripts, wrong)
}

async fn ledger(cx: &Cx, on: &Connection) -> OpResult<Vec<Migration>> {
    match cx.ask(PgAsk::DescribeMigrations { on: on.clone() }).await? {
        PgAnswer::Migrations(all) => Ok(all),
        other => Err(unexpected("DescribeMigrations", &other)),
    }
}

async fn objects(cx: &Cx, on: &Connection) -> OpResult<Vec<Object>> {
    match cx.ask(PgAsk::ListObjects { on: on.clone() }).await? {
        PgAnswer::Objects(all) => Ok(all),
        other => Err(unexpected("ListObjects", &other)),
    }
}

/// Definitions of objects by kind and name, each before the first change and after the last one.
type Sum<'a> = BTreeMap<(&'a str, &'a str), (Option<&'a str>, Option<&'a str>)>;

/// What became of each object in the end.
fn in_sum(migrations: &[Applied]) -> Sum<'_> {
    let mut all = Sum::new();
    for change in migrations.iter().flat_map(|m| &m.changes) {
        let (was, is) = (change.was.as_deref(), change.is.as_deref());
        all.entry((&change.kind, &change.name)).and_modify(|both| both.1 = is).or_insert((was, is));
    }
    all
}

/// The rows of the tables that these migrations made go into files before the tables go.
async fn rescue(cx: &Cx, params: &Params, ours: &[&Migration]) -> OpResult<()> {
    let filled = match cx.ask(PgAsk::ListTables { on: params.connection.clone() }).await? {
        PgAnswer::Tables(tables) => tables,
        other => return Err(unexpected("ListTables", &other)),
    };
    let made: BTreeSet<&str> = ours
        .iter()
        .flat_map(|migration| &migration.changes)
        .filter(|change| change.kind == "table" && change.was.is_none())
        .map(|change| change.name.as_str())
        .collect();
    for table in filled.into_iter().filter(|table| made.contains(table.as_str())) {
        cx.progress(&format!("exporting {table} before it is dropped"));
        let path = format!("{}/{}.jsonl", export::folder(cx), export::file_name(&table));
        let rows = Lines::of(params.connection.clone(), RowSource::Table(table));
        unless_gone(rows.write(cx, &path).await.map(Some))?;
    }
    Ok(())
}

impl Operation for Migrations {
    const KIND: &'static str = "postgres.migrations";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _params: &Params) -> Facts {
        let what = format!(
            "what is in the tables that the migrations make; their rows are exported to {} first",
            export::folder_pattern()
        );
        Facts {
            reversibility: Reversibility::Lossy { what },
            residue: vec![format!("the rows of those tables, where there are any, in {}", export::folder_pattern())],
            extra_undo_actions: vec!["file:WriteFile".into()],
            ..facts(
                &[
                    "postgresql:DescribeMigrations",
                    "postgresql:ListObjects",
                    "postgresql:ListTables",
                    "postgresql:GetRows",
                    "file:DescribeFile",
                ],
                &["postgresql:ApplyMigration"],
                &["postgresql:RevertMigration"],
            )
        }
    }

    fn example() -> Option<Params> {
        let files = [
            (
                "001_agents.up.sql",
                "CREATE TABLE agents (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL);",
            ),
            ("001_agents.down.sql", "DROP TABLE agents;"),
        ];
        Some(Params {
            connection: connection::example("app"),
            migrations: files.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            expect: vec!["public.agents".to_owned()],
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.connection.check(&mut errors);
        errors.extend(scripts(&params.migrations).1.into_iter().map(|wrong| ParamError::new("migrations", wrong)));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let there = not_there_yet(ledger(cx, &params.connection).await)?;
        let mut applied = Vec::new();
        for script in scripts(&params.migrations).0 {
            let Some(entry) = there.iter().find(|entry| entry.version == script.version) else { continue };
            if entry.up_sha256 != sha256(&script.up) || entry.down_sha256 != sha256(&script.down) {
                let message = format!("migration {} `{}` was changed after it was applied", entry.version, entry.name);
                return Err(OpError::foreign(message)
                    .with_hint("leave what is applied as it is, and change the schema in a new migration"));
            }
            applied.push(script.version);
        }
        Ok(Before { applied })
    }

    /// Makes no call: it only says what will be applied.
    async fn create(&self, _cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let pending = scripts(&params.migrations).0.into_iter().filter(|s| !before.applied.contains(&s.version));
        let migrations = pending.map(|s| Applied { version: s.version, name: s.name, changes: Vec::new() }).collect();
        Ok(Output { database: params.connection.database.clone(), migrations, digest: String::new() })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Output> {
        let scripts = scripts(&params.migrations).0;
        let mut done = output.clone();
        for migration in &mut done.migrations {
            let Some(script) = scripts.iter().find(|s| s.version == migration.version) else {
                return Err(OpError::permanent(format!("migration {} is not in the plan", migration.version)));
            };
            cx.progress(&format!("applying migration {} {}", script.version, script.name));
            let ask = PgAsk::ApplyMigration {
                on: params.connection.clone(),
                marks: marks(cx),
                version: script.version,
                name: script.name.clone(),
                up: script.up.clone(),
                down: script.down.clone(),
            };
            migration.changes = match cx.ask(ask).await {
                Ok(PgAnswer::Applied(changes)) => changes,
                Ok(other) => return Err(unexpected("ApplyMigration", &other)),
                Err(mut e) => {
                    e.message = format!("migration {} `{}`: {}", script.version, script.name, e.message);
                    return Err(e);
                }
            };
        }
        done.digest = sha256(&json!(done.migrations).to_string());
        Ok(done)
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(Found::Absent)
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        let marks = marks(cx);
        let there = unless_gone(ledger(cx, &params.connection).await)?;
        let ours: Vec<&Migration> = there.iter().filter(|entry| entry.marks == marks).collect();
        if ours.is_empty() {
            return Ok(Undo::Nothing);
        }
        rescue(cx, params, &ours).await?;
        for entry in ours.into_iter().rev() {
            cx.progress(&format!("undoing migration {} {}", entry.version, entry.name));
            let ask =
                PgAsk::RevertMigration { on: params.connection.clone(), marks: marks.clone(), version: entry.version };
            cx.ask(ask).await.map_err(|mut e| {
                e.message = format!("migration {} `{}`: {}", entry.version, entry.name, e.message);
                e
            })?;
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
        let read = async { Ok((ledger(cx, on).await?, objects(cx, on).await?)) }.await;
        let (there, objects) = match want {
            Expect::Created => read?,
            Expect::RolledBack => unless_gone(read)?,
        };
        let marks = marks(cx);
        let ours: Vec<u64> = there.iter().filter(|entry| entry.marks == marks).map(|entry| entry.version).collect();
        let wanted: Vec<u64> = match (want, out) {
            (Expect::Created, Some(out)) => out.migrations.iter().map(|m| m.version).collect(),
            _ => Vec::new(),
        };
        let mut verdict = Verdict::new().compare("versions of this step", wanted, ours);
        let now: BTreeMap<(&str, &str), &str> =
            objects.iter().map(|o| ((o.kind.as_str(), o.name.as_str()), o.definition.as_str())).collect();
        // A database that is gone took with it what was there before, too.
        let gone = want == Expect::RolledBack && objects.is_empty();
        for ((kind, name), (was, is)) in out.map(|out| in_sum(&out.migrations)).unwrap_or_default() {
            let wanted = if want == Expect::Created { is } else { was };
            if !gone {
                verdict = verdict.compare(format!("{kind} {name}"), wanted, now.get(&(kind, name)).copied());
            }
        }
        if want == Expect::Created {
            let names: BTreeSet<&str> = objects.iter().map(|o| o.name.as_str()).collect();
            for name in &params.expect {
                verdict = verdict.compare(format!("{name} is there"), true, names.contains(name.as_str()));
            }
        }
        let tables = objects.iter().filter(|o| o.kind == "table").map(|o| o.name.as_str()).collect::<Vec<_>>();
        verdict.observed = json!({
            "versions": there.iter().map(|entry| entry.version).collect::<Vec<_>>(),
            "tables": tables,
            "objects": objects.len(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        scripts(&files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()).1
    }

    #[test]
    fn files_come_in_pairs_with_a_number_of_their_own() {
        assert_eq!(wrong(&[("001_a.up.sql", "SELECT 1"), ("001_a.down.sql", "SELECT 1")]), Vec::<String>::new());
        for (files, said) in [
            (&[("001_a.up.sql", "SELECT 1")][..], "`1_a` has no .down.sql"),
            (&[("001_a.down.sql", "SELECT 1")], "`1_a` has no .up.sql"),
            (&[("a.up.sql", "SELECT 1")], "`a.up.sql` is not called NNN_name.up.sql"),
            (&[("001-a.sql", "SELECT 1")], "`001-a.sql` is not called"),
            (&[], "there is no migration"),
            (
                &[
                    ("1_a.up.sql", "SELECT 1"),
                    ("1_a.down.sql", "SELECT 1"),
                    ("01_b.up.sql", "SELECT 1"),
                    ("01_b.down.sql", "SELECT 1"),
                ],
                "two migrations have the number 1",
            ),
            (
                &[("1_a.up.sql", "SELECT 1"), ("01_a.up.sql", "SELECT 1"), ("1_a.down.sql", "SELECT 1")],
                "there are two files for version 1 `a`",
            ),
            (&[("1_a.up.sql", "SELECT 1"), ("1_a.down.sql", "-- nothing\n")], "`1_a.down.sql` has no statement"),
            (
                &[("1_a.up.sql", "CREATE INDEX CONCURRENTLY i ON t (a)"), ("1_a.down.sql", "DROP INDEX i")],
                "cannot run in a transaction",
            ),
        ] {
            let wrong = wrong(files);
            assert!(wrong.len() == 1 && wrong[0].contains(said), "{files:?}: {wrong:?}");
        }
    }

    #[test]
    fn they_are_applied_by_number_and_not_by_name() {
        let files = [("10_b", "b"), ("9_c", "c"), ("011_a", "a")];
        let both = |(stem, text): (&str, &str)| {
            [
                (format!("{stem}.up.sql"), format!("SELECT '{text}'")),
                (format!("{stem}.down.sql"), "SELECT 1".to_owned()),
            ]
        };
        let files = files.into_iter().flat_map(both).collect();
        let versions: Vec<u64> = scripts(&files).0.into_iter().map(|s| s.version).collect();
        assert_eq!(versions, [9, 10, 11]);
    }

    #[test]
    fn what_a_later_migration_changes_again_counts_as_it_is_in_the_end() {
        let change = |name: &str, was: Option<&str>, is: Option<&str>| Change {
            kind: "column".into(),
            name: name.into(),
            was: was.map(str::to_owned),
            is: is.map(str::to_owned),
        };
        let applied = |version, changes| Applied { version, name: "x".into(), changes };
        let all = [
            applied(1, vec![change("a", None, Some("text")), change("b", None, Some("text"))]),
            applied(2, vec![change("a", Some("text"), Some("uuid")), change("b", Some("text"), None)]),
        ];
        let sum = in_sum(&all);
        assert_eq!(sum[&("column", "a")], (None, Some("uuid")));
        assert_eq!(sum[&("column", "b")], (None, None));
    }
}
