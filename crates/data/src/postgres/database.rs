//! `postgres.database`: a database on a server.
//!
//! A database has neither tags nor a token, and its comment is a call of its own. So it is made with a connection limit
//! that follows from the token of the step, large enough to hinder nobody, and whoever finds that limit knows whose it is:
//!
//! ```text
//! create: CREATE DATABASE .. CONNECTION LIMIT 1234567890 -> settle: COMMENT .. IS 'switchback:run=..', the limit as asked
//! ```
//!
//! On the way back the rows that are still in it are exported before it is dropped. This run's own imports and migrations
//! are undone by then, so what is left is what others wrote.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::export;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::ask::{Database as There, PgAnswer, PgAsk, RowSource};
use super::connection::{self, Connection};
use super::{facts, marks, unexpected, unless_gone};
use crate::export::Lines;

/// A database. On the way back, what others wrote into it is exported before it is dropped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Another database of the same server, and who makes this one.
    pub connection: Connection,
    /// Its name.
    pub name: String,
    /// Its owner, instead of the user of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its encoding (`UTF8`), instead of that of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The database that it is a copy of, instead of `template1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How many may be connected at the same time; -1: any number.
    #[serde(default = "no_limit")]
    pub connection_limit: i32,
    /// On the way back: end the sessions of others instead of waiting for them.
    #[serde(default)]
    pub force: bool,
}

/// It was not there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Database;

fn no_limit() -> i32 {
    -1
}

/// The limit that says whose it is until the comment does: beyond what any server takes, and below the largest number.
fn mark(cx: &Cx) -> i32 {
    const BASE: i32 = 1 << 30;
    let digits = cx.token().get(..8).unwrap_or_default();
    let bits = u32::from_str_radix(digits, 16).unwrap_or_default() >> 3;
    BASE + i32::try_from(bits).unwrap_or_default()
}

/// The comment that says whose it is.
fn comment(cx: &Cx) -> String {
    cx.ownership_tags().map(|(name, value)| format!("{name}={value}")).join(" ")
}

fn is_ours(cx: &Cx, there: &There) -> bool {
    there.comment.as_deref() == Some(&*comment(cx)) || there.connection_limit == mark(cx)
}

impl Params {
    fn output(&self) -> Output {
        Output { name: self.name.clone(), host: self.connection.host.clone(), port: self.connection.port }
    }

    fn what(&self) -> String {
        format!("the database `{}` on {}:{}", self.name, self.connection.host, self.connection.port)
    }
}

async fn read(cx: &Cx, on: &Connection, name: &str) -> OpResult<Option<There>> {
    match cx.ask(PgAsk::DescribeDatabase { on: on.clone(), name: name.to_owned() }).await? {
        PgAnswer::Database(there) => Ok(there),
        other => Err(unexpected("DescribeDatabase", &other)),
    }
}

async fn absent(cx: &Cx, on: &Connection, name: &str) -> OpResult<()> {
    match read(cx, on, name).await? {
        None => Ok(()),
        Some(there) => {
            let whose = there.comment.map_or(String::new(), |comment| format!(" ({comment})"));
            Err(OpError::foreign(format!("the database `{name}` of `{}`{whose} is there already", there.owner))
                .with_hint("leave the step out, or give it another name"))
        }
    }
}

/// Everything that is in it goes into files.
async fn rescue(cx: &Cx, params: &Params) -> OpResult<()> {
    let on = params.connection.to_database(&params.name);
    let tables = match unless_gone(cx.ask(PgAsk::ListTables { on: on.clone() }).await.map(Some))? {
        Some(PgAnswer::Tables(tables)) => tables,
        Some(other) => return Err(unexpected("ListTables", &other)),
        None => Vec::new(),
    };
    for table in tables {
        cx.progress(&format!("exporting {table} before the database is dropped"));
        let path = format!("{}/{}.jsonl", export::folder(cx), export::file_name(&table));
        let rows = Lines::of(on.clone(), RowSource::Table(table));
        unless_gone(rows.write(cx, &path).await.map(Some))?;
    }
    Ok(())
}

impl Operation for Database {
    const KIND: &'static str = "postgres.database";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let base = facts(
            &[
                "postgresql:DescribeDatabase",
                "postgresql:DescribeMigrations",
                "postgresql:ListTables",
                "postgresql:GetRows",
                "file:DescribeFile",
            ],
            &["postgresql:MarkDatabase"],
            &["postgresql:DropDatabase"],
        );
        let what = format!(
            "what others wrote into the database `{}`; it is exported to {} first",
            params.name,
            export::folder_pattern()
        );
        Facts {
            reversibility: Reversibility::Lossy { what },
            residue: vec![format!("the rows of others, where there are any, in {}", export::folder_pattern())],
            creates: vec!["postgresql:CreateDatabase".into()],
            // Where there is something to export.
            extra_undo_actions: vec!["file:WriteFile".into()],
            ..base
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            connection: connection::example("postgres"),
            name: "app".to_owned(),
            owner: None,
            encoding: Some("UTF8".to_owned()),
            template: None,
            connection_limit: -1,
            force: false,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.connection.check(&mut errors);
        let given = [("owner", &params.owner), ("encoding", &params.encoding), ("template", &params.template)];
        let given = given.into_iter().filter_map(|(field, name)| Some((field, name.as_ref()?)));
        for (field, name) in given.chain([("name", &params.name)]) {
            if let Err(message) = connection::check_name(name) {
                errors.push(ParamError::new(field, message));
            }
        }
        if params.name == params.connection.database {
            errors.push(ParamError::new("name", "is the database that is connected to: it cannot be made from inside"));
        }
        if params.name.starts_with("template") && ["template0", "template1"].contains(&params.name.as_str()) {
            errors.push(ParamError::new("name", "is a database of the server itself"));
        }
        if !(-1..1 << 30).contains(&params.connection_limit) {
            errors.push(ParamError::new("connection_limit", "is -1, for any number, or a number of connections"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        absent(cx, &params.connection, &params.name).await.map(|()| Before {})
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let on = known.get("connection").cloned().and_then(|on| serde_json::from_value(on).ok());
        match (on, known.get("name").and_then(Value::as_str)) {
            (Some(on), Some(name)) => absent(cx, &on, name).await,
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let ask = PgAsk::CreateDatabase {
            on: params.connection.clone(),
            marks: marks(cx),
            name: params.name.clone(),
            owner: params.owner.clone(),
            encoding: params.encoding.clone(),
            template: params.template.clone(),
            connection_limit: mark(cx),
        };
        cx.ask(ask).await.map(|_| params.output())
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Output> {
        let ask = PgAsk::MarkDatabase {
            on: params.connection.clone(),
            name: params.name.clone(),
            mark: mark(cx),
            comment: comment(cx),
            connection_limit: params.connection_limit,
        };
        cx.ask(ask).await.map(|_| output.clone())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        Ok(match read(cx, &params.connection, &params.name).await? {
            None => Found::Absent,
            Some(there) if is_ours(cx, &there) => Found::Ours { output: params.output(), proof: Proof::Strong },
            Some(there) => Found::Foreign { what: format!("{} of `{}`", params.what(), there.owner) },
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        let Some(there) = read(cx, &params.connection, &params.name).await? else { return Ok(Undo::Nothing) };
        if !is_ours(cx, &there) {
            return Err(OpError::drift(format!("{} is not the one that this step made", params.what()))
                .with_hint("see whose it is; rename or drop it if it is in the way"));
        }
        // Whoever is connected may still write: what is exported before they left would not be all.
        if !params.force && !there.sessions.is_empty() {
            return Err(super::remote::in_use(&params.name, &there.sessions));
        }
        rescue(cx, params).await?;
        let ask = PgAsk::DropDatabase {
            on: params.connection.clone(),
            name: params.name.clone(),
            mark: mark(cx),
            comment: comment(cx),
            force: params.force,
        };
        match cx.ask(ask).await? {
            PgAnswer::Done { changed: true } => Ok(Undo::Done),
            PgAnswer::Done { changed: false } => Ok(Undo::Nothing),
            other => Err(unexpected("DropDatabase", &other)),
        }
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let there = read(cx, &params.connection, &params.name).await?;
        let ours = there.as_ref().filter(|there| is_ours(cx, there));
        let observed = there.as_ref().map(|there| {
            json!({"owner": there.owner, "encoding": there.encoding, "connection_limit": there.connection_limit})
        });
        let mut verdict = match want {
            Expect::RolledBack => Verdict::new().compare(params.what(), false, ours.is_some()),
            Expect::Created => {
                let owner = params.owner.as_ref().unwrap_or(&params.connection.user);
                let verdict = Verdict::new()
                    .compare("comment", comment(cx), there.as_ref().and_then(|there| there.comment.clone()))
                    .compare("owner", owner.as_str(), there.as_ref().map(|there| there.owner.clone()))
                    .compare(
                        "connection_limit",
                        params.connection_limit,
                        there.as_ref().map(|there| there.connection_limit),
                    );
                match &params.encoding {
                    Some(encoding) => {
                        verdict.compare("encoding", plain(encoding), there.as_ref().map(|there| plain(&there.encoding)))
                    }
                    None => verdict,
                }
            }
        };
        if want == Expect::Created && ours.is_some() {
            // It can be connected to, by the way that others will come.
            cx.ask(PgAsk::DescribeMigrations { on: params.connection.to_database(&params.name) }).await?;
        }
        verdict.observed = json!(observed);
        Ok(verdict)
    }
}

/// `UTF8`, `utf-8` and `UTF_8` are one encoding.
fn plain(encoding: &str) -> String {
    encoding.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_server_would_cut_off_are_refused() {
        let params = || Database::example().unwrap();
        let wrong = |params: &Params| Database.check(params).err().map_or(0, |e| e.len());
        assert_eq!(wrong(&params()), 0);
        assert_eq!(wrong(&Params { name: "x".repeat(64), ..params() }), 1);
        assert_eq!(wrong(&Params { name: "postgres".into(), ..params() }), 1);
        assert_eq!(wrong(&Params { name: "template1".into(), ..params() }), 1);
        assert_eq!(wrong(&Params { connection_limit: -2, ..params() }), 1);
        assert_eq!(plain("utf-8"), plain("UTF8"));
    }
}
