//! The model of PostgreSQL: databases, ledgers, the names of what migrations make, and rows by their keys.
//!
//! It knows as much SQL as creates and drops things ([`schema`]); types are texts to it, and every value fits. Every server
//! is there, with a database `postgres`, and every password is right. That it answers as a real server does is tested in
//! `agreement`.

#[cfg(test)]
mod agreement;
mod schema;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value, json};
use switchback_data::postgres::ask::{self, Batch, Change, Marks, PgAnswer, PgAsk, RowSource};
use switchback_data::postgres::connection::Connection;
use switchback_engine::file::FileFacts;
use switchback_model::{ErrorClass, OpError, OpResult};

use self::schema::Schema;
use super::{Model, Modelled};

/// The databases that every server has.
const OF_THE_SERVER: [&str; 2] = ["postgres", "template1"];

/// Databases, by server, port and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Servers(BTreeMap<(String, u16, String), Database>);

#[derive(Debug, Clone)]
struct Database {
    /// Whose it is: the truth, of which the server knows the limit and the comment only.
    maker: Option<Marks>,
    owner: String,
    encoding: String,
    connection_limit: i32,
    comment: Option<String>,
    schema: Schema,
    /// By table and key.
    rows: BTreeMap<String, BTreeMap<Vec<String>, Map<String, Value>>>,
    migrations: BTreeMap<u64, Migration>,
    imports: BTreeMap<(Marks, u32), Import>,
}

#[derive(Debug, Clone)]
struct Migration {
    name: String,
    up_sha256: String,
    down_sha256: String,
    down: String,
    changes: Vec<Change>,
    marks: Marks,
}

#[derive(Debug, Clone)]
struct Import {
    table: String,
    columns: Vec<String>,
    keys: Vec<Vec<String>>,
    batch: Batch,
}

impl Database {
    fn of(owner: &str) -> Self {
        Self {
            maker: None,
            owner: owner.to_owned(),
            encoding: "UTF8".to_owned(),
            connection_limit: -1,
            comment: None,
            schema: Schema::default(),
            rows: BTreeMap::new(),
            migrations: BTreeMap::new(),
            imports: BTreeMap::new(),
        }
    }

    fn is_ours(&self, mark: i32, comment: &str) -> bool {
        self.comment.as_deref() == Some(comment) || self.connection_limit == mark
    }

    /// What the rows of an import amount to now.
    fn present(&self, import: &Import) -> Vec<&Map<String, Value>> {
        let table = self.rows.get(&import.table);
        let mut found: Vec<_> = import.keys.iter().filter_map(|key| Some((key, table?.get(key)?))).collect();
        found.sort_by_key(|(key, _)| *key);
        found.into_iter().map(|(_, row)| row).collect()
    }

    fn apply(&mut self, marks: Marks, version: u64, name: String, up: &str, down: String) -> OpResult<Vec<Change>> {
        let (up_sha256, down_sha256) = (sha256(up), sha256(&down));
        if let Some(there) = self.migrations.get(&version) {
            if there.marks != marks || (&there.up_sha256, &there.down_sha256) != (&up_sha256, &down_sha256) {
                return Err(OpError::drift(format!("migration {version} is applied already")));
            }
            return Ok(there.changes.clone());
        }
        let before = self.schema.objects();
        let mut schema = self.schema.clone();
        schema.run(up)?;
        let changes = changes(before, schema.objects());
        self.schema = schema;
        let entry = Migration { name, up_sha256, down_sha256, down, changes: changes.clone(), marks };
        self.migrations.insert(version, entry);
        Ok(changes)
    }

    fn revert(&mut self, marks: &Marks, version: u64) -> OpResult<bool> {
        let Some(there) = self.migrations.get(&version) else { return Ok(false) };
        if there.marks != *marks {
            return Err(OpError::drift(format!("migration {version} was applied by somebody else")));
        }
        let mut schema = self.schema.clone();
        schema.run(&there.down)?;
        self.schema = schema;
        let schema = &self.schema;
        self.rows.retain(|table, _| schema.table(table).is_some());
        self.migrations.remove(&version);
        Ok(true)
    }

    fn load(
        &mut self,
        marks: Marks,
        batch: u32,
        table: &str,
        columns: Vec<String>,
        lines: &[String],
        checksum: String,
    ) -> OpResult<Batch> {
        if let Some(there) = self.imports.get(&(marks.clone(), batch)) {
            if there.batch.checksum != checksum {
                return Err(OpError::drift(format!("batch {batch} was imported with other rows")));
            }
            return Ok(there.batch.clone());
        }
        let name = schema::qualified(table);
        let Some(there) = self.schema.table(&name) else { return Err(refused("42P01", format!("no table {table}"))) };
        if there.key.is_empty() {
            return Err(OpError::permanent(format!("the table `{table}` has no primary key")));
        }
        if let Some(column) = columns.iter().find(|column| !there.columns.contains(column)) {
            return Err(refused("42703", format!("no column {column}")));
        }
        let held = self.rows.get(&name);
        let mut made: BTreeMap<Vec<String>, Map<String, Value>> = BTreeMap::new();
        let mut keys = Vec::new();
        for (i, line) in lines.iter().enumerate() {
            let given: Map<String, Value> =
                serde_json::from_str(line).map_err(|e| refused("22P02", format!("no JSON: {e}")))?;
            let mut row: Map<String, Value> = there.columns.iter().map(|c| (c.clone(), Value::Null)).collect();
            for column in &there.key {
                // What gives keys by itself gives new ones.
                row.insert(
                    column.clone(),
                    json!(format!("{}/{}/{}/{batch}/{i}", marks.run, marks.step, marks.generation)),
                );
            }
            row.extend(columns.iter().map(|c| (c.clone(), given.get(c).cloned().unwrap_or_default())));
            let key: Vec<String> = there.key.iter().map(|c| text(row.get(c))).collect();
            if held.is_some_and(|held| held.contains_key(&key)) || made.contains_key(&key) {
                return Err(refused("23505", format!("the key {key:?} is there already")));
            }
            keys.push(key.clone());
            made.insert(key, row);
        }
        let content = content(made.values(), &columns);
        let entry = Batch { batch, rows: keys.len() as u64, checksum, content };
        self.rows.entry(name.clone()).or_default().extend(made);
        self.imports.insert((marks, batch), Import { table: name, columns, keys, batch: entry.clone() });
        Ok(entry)
    }

    fn delete(&mut self, marks: &Marks, batch: u32) -> bool {
        let Some(import) = self.imports.remove(&(marks.clone(), batch)) else { return false };
        if let Some(rows) = self.rows.get_mut(&import.table) {
            rows.retain(|key, _| !import.keys.contains(key));
        }
        true
    }

    fn lines(&self, from: &RowSource) -> OpResult<Vec<String>> {
        let rows = |table: &str| {
            let name = schema::qualified(table);
            match self.schema.table(&name) {
                Some(_) => Ok(self.rows.get(&name).into_iter().flat_map(BTreeMap::values)),
                None => Err(refused("42P01", format!("there is no table {table}"))),
            }
        };
        match from {
            RowSource::Table(table) => Ok(rows(table)?.map(|row| Value::Object(row.clone()).to_string()).collect()),
            RowSource::Query(query) => {
                let words: Vec<String> =
                    query.trim_end_matches([';', ' ', '\n']).split_whitespace().map(str::to_lowercase).collect();
                match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    ["select", "count(*)", "from", table] => {
                        Ok(vec![json!({"count": rows(table)?.count()}).to_string()])
                    }
                    ["select", number] if number.parse::<i64>().is_ok() => {
                        Ok(vec![json!({"?column?": number.parse::<i64>().unwrap_or_default()}).to_string()])
                    }
                    _ => Err(refused(
                        "0A000",
                        "the model answers `SELECT count(*) FROM t` and `SELECT 1` only".to_owned(),
                    )),
                }
            }
        }
    }
}

fn sha256(text: &str) -> String {
    FileFacts::of(text.as_bytes()).map(|facts| facts.sha256).unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        other => other.cloned().unwrap_or_default().to_string(),
    }
}

/// A sum over these columns, whatever the order of the rows.
fn content<'r>(rows: impl Iterator<Item = &'r Map<String, Value>>, columns: &[String]) -> String {
    let sum = rows.fold(0_u64, |sum, row| {
        let values: Vec<&Value> = columns.iter().filter_map(|column| row.get(column)).collect();
        let mut hasher = DefaultHasher::new();
        json!(values).to_string().hash(&mut hasher);
        sum.wrapping_add(hasher.finish())
    });
    sum.to_string()
}

fn changes(before: Vec<ask::Object>, after: Vec<ask::Object>) -> Vec<Change> {
    let mut all: BTreeMap<(String, String), (Option<String>, Option<String>)> = BTreeMap::new();
    for object in before {
        all.entry((object.kind, object.name)).or_default().0 = Some(object.definition);
    }
    for object in after {
        all.entry((object.kind, object.name)).or_default().1 = Some(object.definition);
    }
    let changed = all.into_iter().filter(|(_, (was, is))| was != is);
    changed.map(|((kind, name), (was, is))| Change { kind, name, was, is }).collect()
}

/// As the server refuses it.
fn refused(code: &str, message: String) -> OpError {
    OpError::permanent(message).with_code(code)
}

impl Servers {
    fn key(on: &Connection, name: &str) -> (String, u16, String) {
        (on.host.clone(), on.port, name.to_owned())
    }

    /// The database that a call connects to.
    fn connected(&mut self, on: &Connection) -> OpResult<&mut Database> {
        let key = Self::key(on, &on.database);
        if OF_THE_SERVER.contains(&on.database.as_str()) {
            return Ok(self.0.entry(key).or_insert_with(|| Database::of("postgres")));
        }
        let gone = || refused("3D000", format!("database \"{}\" does not exist", on.database));
        self.0.get_mut(&key).ok_or_else(gone)
    }
}

impl Model for Servers {
    type Ask = PgAsk;

    fn answer(&mut self, ask: PgAsk) -> OpResult<PgAnswer> {
        self.connected(ask.on())?;
        let done = |changed| Ok(PgAnswer::Done { changed });
        Ok(match ask {
            PgAsk::DescribeDatabase { on, name } => {
                PgAnswer::Database(self.0.get(&Self::key(&on, &name)).map(|it| ask::Database {
                    owner: it.owner.clone(),
                    encoding: it.encoding.clone(),
                    connection_limit: it.connection_limit,
                    comment: it.comment.clone(),
                    sessions: Vec::new(),
                }))
            }
            PgAsk::CreateDatabase { on, marks, name, owner, encoding, template: _, connection_limit } => {
                if self.0.contains_key(&Self::key(&on, &name)) || OF_THE_SERVER.contains(&name.as_str()) {
                    let message = format!("database \"{name}\" already exists");
                    return Err(OpError::new(ErrorClass::AlreadyExists, message).with_code("42P04"));
                }
                let made = Database::of(owner.as_ref().unwrap_or(&on.user));
                let encoding = encoding.unwrap_or_else(|| made.encoding.clone());
                self.0
                    .insert(Self::key(&on, &name), Database { maker: Some(marks), connection_limit, encoding, ..made });
                return done(true);
            }
            PgAsk::MarkDatabase { on, name, mark, comment, connection_limit } => {
                let Some(it) = self.0.get_mut(&Self::key(&on, &name)) else {
                    let message = format!("the database `{name}` is no longer there");
                    return Err(OpError::permanent(message).with_code(OpError::NOT_THERE));
                };
                if !it.is_ours(mark, &comment) {
                    return Err(OpError::drift(format!("the database `{name}` is not ours")));
                }
                let changed = it.comment.as_ref() != Some(&comment) || it.connection_limit != connection_limit;
                (it.comment, it.connection_limit) = (Some(comment), connection_limit);
                return done(changed);
            }
            PgAsk::DropDatabase { on, name, mark, comment, force: _ } => {
                let Some(it) = self.0.get(&Self::key(&on, &name)) else { return done(false) };
                if !it.is_ours(mark, &comment) {
                    return Err(OpError::drift(format!("the database `{name}` is not ours")));
                }
                self.0.remove(&Self::key(&on, &name));
                return done(true);
            }
            PgAsk::ListTables { on } => {
                let filled = self.connected(&on)?.rows.iter().filter(|(_, rows)| !rows.is_empty());
                PgAnswer::Tables(filled.map(|(table, _)| table.clone()).collect())
            }
            PgAsk::GetRows { on, from, cursor, limit } => {
                let all = self.connected(&on)?.lines(&from)?;
                let begin: usize = cursor.and_then(|c| c.parse().ok()).unwrap_or_default();
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
                let rows: Vec<String> = all.into_iter().skip(begin).take(limit).collect();
                let cursor = (rows.len() >= limit).then(|| (begin + rows.len()).to_string());
                PgAnswer::Rows { rows, cursor }
            }
            PgAsk::DescribeTable { on, table } => {
                let it = self.connected(&on)?;
                let name = schema::qualified(&table);
                let rows = it.rows.get(&name).map_or(0, |rows| rows.len() as u64);
                PgAnswer::Table(it.schema.table(&name).map(|table| ask::Table {
                    columns: table.columns.clone(),
                    primary_key: table.key.clone(),
                    rows,
                }))
            }
            PgAsk::DescribeMigrations { on } => {
                let of = |(version, it): (&u64, &Migration)| ask::Migration {
                    version: *version,
                    name: it.name.clone(),
                    up_sha256: it.up_sha256.clone(),
                    down_sha256: it.down_sha256.clone(),
                    changes: it.changes.clone(),
                    marks: it.marks.clone(),
                };
                PgAnswer::Migrations(self.connected(&on)?.migrations.iter().map(of).collect())
            }
            PgAsk::ApplyMigration { on, marks, version, name, up, down } => {
                PgAnswer::Applied(self.connected(&on)?.apply(marks, version, name, &up, down)?)
            }
            PgAsk::RevertMigration { on, marks, version } => {
                return done(self.connected(&on)?.revert(&marks, version)?);
            }
            PgAsk::ListObjects { on } => PgAnswer::Objects(self.connected(&on)?.schema.objects()),
            PgAsk::ImportBatch { on, marks, table, columns, batch, rows, checksum } => {
                let it = self.connected(&on)?;
                PgAnswer::Batches(vec![it.load(marks, batch, &table, columns, &rows, checksum)?])
            }
            PgAsk::ListBatches { on, marks } => {
                let of_step = self.connected(&on)?.imports.iter().filter(|((whose, _), _)| *whose == marks);
                PgAnswer::Batches(of_step.map(|(_, import)| import.batch.clone()).collect())
            }
            PgAsk::GetImported { on, marks, batch, rows } => {
                let it = self.connected(&on)?;
                match it.imports.get(&(marks, batch)) {
                    None => PgAnswer::Imported { entered: false, rows: Vec::new(), count: 0, content: "0".to_owned() },
                    Some(import) => {
                        let there = it.present(import);
                        PgAnswer::Imported {
                            entered: true,
                            count: there.len() as u64,
                            content: content(there.iter().copied(), &import.columns),
                            rows: match rows {
                                true => there.iter().map(|row| Value::Object((*row).clone()).to_string()).collect(),
                                false => Vec::new(),
                            },
                        }
                    }
                }
            }
            PgAsk::DeleteBatch { on, marks, batch } => return done(self.connected(&on)?.delete(&marks, batch)),
        })
    }

    fn things(&self) -> Vec<Modelled> {
        let mut things = Vec::new();
        for ((host, port, name), it) in &self.0 {
            let place = format!("{host}:{port}/{name}");
            if !OF_THE_SERVER.contains(&name.as_str()) {
                let tags = it.maker.as_ref().map(tags).unwrap_or_default();
                // The limit that says whose it is differs from run to run.
                let marked = it.connection_limit >= 1 << 30;
                let attributes = BTreeMap::from([
                    ("name", json!(name)),
                    ("owner", json!(it.owner)),
                    ("encoding", json!(it.encoding)),
                    ("connection_limit", json!(if marked { -2 } else { it.connection_limit })),
                    (
                        "objects",
                        json!(
                            it.schema
                                .objects()
                                .iter()
                                .map(|o| format!("{} {} {}", o.kind, o.name, o.definition))
                                .collect::<Vec<_>>()
                        ),
                    ),
                    (
                        "foreign_rows",
                        json!(
                            it.rows
                                .iter()
                                .map(|(table, rows)| {
                                    let ours = it
                                        .imports
                                        .values()
                                        .filter(|i| i.table == *table)
                                        .map(|i| it.present(i).len())
                                        .sum::<usize>();
                                    format!("{table} {}", rows.len() - ours)
                                })
                                .filter(|text| !text.ends_with(" 0"))
                                .collect::<Vec<_>>()
                        ),
                    ),
                ]);
                things.push(Modelled { kind: "database", id: place.clone(), tags, residue: false, attributes });
            }
            for (version, migration) in &it.migrations {
                let attributes = BTreeMap::from([
                    ("name", json!(migration.name)),
                    ("place", json!(place)),
                    ("up", json!(migration.up_sha256)),
                    ("down", json!(migration.down_sha256)),
                ]);
                let (id, tags) = (format!("{place}#migration-{version}"), tags(&migration.marks));
                things.push(Modelled { kind: "migration", id, tags, residue: false, attributes });
            }
            for ((marks, batch), import) in &it.imports {
                let there = it.present(import);
                let attributes = BTreeMap::from([
                    ("table", json!(import.table)),
                    ("place", json!(place)),
                    ("rows", json!(there.len())),
                    ("content", json!(content(there.iter().copied(), &import.columns))),
                ]);
                let id = format!("{place}#import-{}-{}-{}-{batch}", marks.run, marks.step, marks.generation);
                things.push(Modelled { kind: "imported-rows", id, tags: tags(marks), residue: false, attributes });
            }
        }
        things
    }

    /// A database is dropped, or given to another owner; imported rows are deleted, or all of them get another value;
    /// what a migration made is dropped.
    fn meddle(&mut self, id: &str, delete: bool) -> bool {
        let (place, part) = id.split_once('#').unwrap_or((id, ""));
        let Some(key) = self.0.keys().find(|(host, port, name)| format!("{host}:{port}/{name}") == place).cloned()
        else {
            return false;
        };
        if part.is_empty() {
            if delete {
                return self.0.remove(&key).is_some();
            }
            return self.0.get_mut(&key).map(|it| it.owner = "somebody".to_owned()).is_some();
        }
        let Some(it) = self.0.get_mut(&key) else { return false };
        if let Some(version) = part.strip_prefix("migration-").and_then(|v| v.parse().ok()) {
            return delete && it.migrations.remove(&version).is_some();
        }
        let of =
            |(marks, batch): &(Marks, u32)| format!("import-{}-{}-{}-{batch}", marks.run, marks.step, marks.generation);
        let Some(import) = it.imports.iter().find(|(key, _)| of(key) == part).map(|(_, import)| import.clone()) else {
            return false;
        };
        let Some(rows) = it.rows.get_mut(&import.table) else { return false };
        for key in &import.keys {
            if delete {
                rows.remove(key);
            } else if let Some(row) = rows.get_mut(key) {
                for column in import.columns.iter() {
                    row.insert(column.clone(), json!("changed by somebody"));
                }
            }
        }
        true
    }
}

fn tags(marks: &Marks) -> BTreeMap<String, String> {
    let tag = |name: &str, value: String| (format!("switchback:{name}"), value);
    BTreeMap::from([
        tag("run", marks.run.clone()),
        tag("step", marks.step.clone()),
        tag("generation", marks.generation.to_string()),
    ])
}
