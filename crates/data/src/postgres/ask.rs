//! The calls to PostgreSQL. Each is one transaction (`CREATE DATABASE` and `DROP DATABASE`, which cannot be in one, are
//! one statement), and says whose it is where it writes: a model of them needs no SQL, and a lost reply no guessing.

use serde::{Deserialize, Serialize};
use switchback_engine::remote::Ask;

use super::connection::Connection;

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// The run.
    pub run: String,
    /// The step, as in a tag.
    pub step: String,
    /// Its generation.
    pub generation: u32,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PgAsk {
    /// A database, as another one of its server sees it. Answer: `Database`.
    DescribeDatabase {
        /// Any database of the server.
        on: Connection,
        /// Which one.
        name: String,
    },
    /// Makes a database. Class `AlreadyExists` when the name is taken. Answer: `Done`.
    CreateDatabase {
        /// Any other database of the server.
        on: Connection,
        /// Who makes it. The server learns the limit only.
        marks: Marks,
        /// Its name.
        name: String,
        /// Its owner, instead of the user.
        owner: Option<String>,
        /// Its encoding, instead of that of the template.
        encoding: Option<String>,
        /// What it is a copy of, instead of `template1`.
        template: Option<String>,
        /// How many may be connected: the mark of whose it is.
        connection_limit: i32,
    },
    /// Writes the comment on a database that has it already or has the limit `mark`, and sets its limit. Class `Drift`
    /// when it has neither; `NotThere` when it is gone. Answer: `Done`.
    MarkDatabase {
        /// Any database of the server.
        on: Connection,
        /// Which one.
        name: String,
        /// The limit that it was made with.
        mark: i32,
        /// What it says afterwards.
        comment: String,
        /// The limit that it has afterwards.
        connection_limit: i32,
    },
    /// Drops a database that has this comment or the limit `mark`. Class `Drift` when it has neither, `Busy` when
    /// somebody is connected and is not to be cut off. Answer: `Done`; unchanged when it was not there.
    DropDatabase {
        /// Any other database of the server.
        on: Connection,
        /// Which one.
        name: String,
        /// The limit that it was made with.
        mark: i32,
        /// The comment that makes it ours.
        comment: String,
        /// Ends the sessions of others.
        force: bool,
    },
    /// The tables that have rows, but for the ledgers and the system's. Answer: `Tables`.
    ListTables {
        /// The database.
        on: Connection,
    },
    /// Rows as JSON, page by page, as they were when the first page was read. A cursor lives as long as the process that
    /// reads, and some minutes: class `Transient` and code `CursorGone` when it is no longer there. Answer: `Rows`.
    GetRows {
        /// The database.
        on: Connection,
        /// Which rows.
        from: RowSource,
        /// Where to go on; none for the first page.
        cursor: Option<String>,
        /// How many, at most.
        limit: u32,
    },
    /// A table. Answer: `Table`.
    DescribeTable {
        /// The database.
        on: Connection,
        /// Its name, with its schema.
        table: String,
    },
    /// The ledger of migrations; empty when there is none. Answer: `Migrations`.
    DescribeMigrations {
        /// The database.
        on: Connection,
    },
    /// Applies a migration and enters it in the ledger. When it is entered already, with the same texts and marks, nothing
    /// happens; with others: class `Drift`. Answer: `Applied`.
    ApplyMigration {
        /// The database.
        on: Connection,
        /// Who does.
        marks: Marks,
        /// Its number.
        version: u64,
        /// What it is called.
        name: String,
        /// What it does.
        up: String,
        /// What undoes it.
        down: String,
    },
    /// Undoes a migration by the text in the ledger, and takes it out. Class `Drift` when it has other marks. A ledger that
    /// is empty then is dropped, and its schema, if we made it and nothing else is in it. Answer: `Done`; unchanged
    /// when it is not entered.
    RevertMigration {
        /// The database.
        on: Connection,
        /// Who applied it.
        marks: Marks,
        /// Its number.
        version: u64,
    },
    /// All that migrations make: tables, columns, constraints, indexes, triggers, functions, types. Answer: `Objects`.
    ListObjects {
        /// The database.
        on: Connection,
    },
    /// Inserts rows and enters their keys in the ledger. When the batch is entered already, with the same checksum,
    /// nothing happens; with another one: class `Drift`. Answer: `Batches`, of one.
    ImportBatch {
        /// The database.
        on: Connection,
        /// Who does.
        marks: Marks,
        /// The table.
        table: String,
        /// The columns that the rows have.
        columns: Vec<String>,
        /// The number of the batch, from 0.
        batch: u32,
        /// The rows: JSON objects with these columns as keys.
        rows: Vec<String>,
        /// SHA-256 over the rows.
        checksum: String,
    },
    /// The batches of a step that are entered; none when there is no ledger. Answer: `Batches`.
    ListBatches {
        /// The database.
        on: Connection,
        /// Whose.
        marks: Marks,
    },
    /// What is in the table now of a batch. Answer: `Imported`.
    GetImported {
        /// The database.
        on: Connection,
        /// Whose.
        marks: Marks,
        /// Which one.
        batch: u32,
        /// Whether the rows are wanted, or only what they amount to.
        rows: bool,
    },
    /// Deletes what is in the table of a batch by the keys in the ledger, and takes the batch out. The ledger goes as with
    /// `RevertMigration`. Answer: `Done`; unchanged when it is not entered.
    DeleteBatch {
        /// The database.
        on: Connection,
        /// Whose.
        marks: Marks,
        /// Which one.
        batch: u32,
    },
}

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RowSource {
    /// All of a table, in the order of its primary key where it has one.
    Table(String),
    /// What a query says. It can change nothing.
    Query(String),
}

/// The answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PgAnswer {
    /// It is done.
    Done {
        /// Whether there was something to do.
        changed: bool,
    },
    /// A database; none of that name.
    Database(Option<Database>),
    /// Names with their schemas, quoted where they must be.
    Tables(Vec<String>),
    /// A page of rows.
    Rows {
        /// JSON objects.
        rows: Vec<String>,
        /// Where to go on; none at the end.
        cursor: Option<String>,
    },
    /// A table; none of that name.
    Table(Option<Table>),
    /// The ledger, by version.
    Migrations(Vec<Migration>),
    /// What a migration changed.
    Applied(Vec<Change>),
    /// By kind and name.
    Objects(Vec<Object>),
    /// Batches by number.
    Batches(Vec<Batch>),
    /// What is there of a batch.
    Imported {
        /// Whether the ledger has the batch.
        entered: bool,
        /// JSON objects of all columns, where they were asked for.
        rows: Vec<String>,
        /// How many there are.
        count: u64,
        /// As in [`Batch::content`].
        content: String,
    },
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its owner.
    pub owner: String,
    /// Its encoding.
    pub encoding: String,
    /// How many may be connected; -1: any number.
    pub connection_limit: i32,
    /// The comment on it.
    pub comment: Option<String>,
    /// Who is connected, in words.
    pub sessions: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its columns, in their order.
    pub columns: Vec<String>,
    /// Those of the primary key.
    pub primary_key: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
}

/// A migration that is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// Its number.
    pub version: u64,
    /// What it is called.
    pub name: String,
    /// SHA-256 of what was done, in hex.
    pub up_sha256: String,
    /// SHA-256 of what undoes it, in hex.
    pub down_sha256: String,
    /// What it changed.
    pub changes: Vec<Change>,
    /// Who applied it.
    pub marks: Marks,
}

/// Something in a database that has a definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// `table`, `column`, `constraint`, `index`, `trigger`, `function`, ...
    pub kind: String,
    /// With its schema, and its table where it belongs to one.
    pub name: String,
    /// As the catalog says it.
    pub definition: String,
}

/// An object that a migration made, changed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its definition before; none: it was not there.
    pub was: Option<String>,
    /// Its definition afterwards; none: it is gone.
    pub is: Option<String>,
}

/// A batch of imported rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Its number.
    pub batch: u32,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over the rows as they were sent.
    pub checksum: String,
    /// A sum over the rows as the server read them, whatever their order: of the columns that were sent.
    pub content: String,
}

impl Ask for PgAsk {
    const SERVICE: &'static str = "postgresql";
    type Answer = PgAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::DescribeDatabase { .. } => "DescribeDatabase",
            Self::CreateDatabase { .. } => "CreateDatabase",
            Self::MarkDatabase { .. } => "MarkDatabase",
            Self::DropDatabase { .. } => "DropDatabase",
            Self::ListTables { .. } => "ListTables",
            Self::GetRows { .. } => "GetRows",
            Self::DescribeTable { .. } => "DescribeTable",
            Self::DescribeMigrations { .. } => "DescribeMigrations",
            Self::ApplyMigration { .. } => "ApplyMigration",
            Self::RevertMigration { .. } => "RevertMigration",
            Self::ListObjects { .. } => "ListObjects",
            Self::ImportBatch { .. } => "ImportBatch",
            Self::ListBatches { .. } => "ListBatches",
            Self::GetImported { .. } => "GetImported",
            Self::DeleteBatch { .. } => "DeleteBatch",
        }
    }

    fn writes(&self) -> bool {
        !["Describe", "Get", "List"].iter().any(|read| self.action().starts_with(read))
    }
}

impl PgAsk {
    /// The database that it connects to.
    #[must_use]
    pub fn on(&self) -> &Connection {
        match self {
            Self::DescribeDatabase { on, .. }
            | Self::CreateDatabase { on, .. }
            | Self::MarkDatabase { on, .. }
            | Self::DropDatabase { on, .. }
            | Self::ListTables { on }
            | Self::GetRows { on, .. }
            | Self::DescribeTable { on, .. }
            | Self::DescribeMigrations { on }
            | Self::ApplyMigration { on, .. }
            | Self::RevertMigration { on, .. }
            | Self::ListObjects { on }
            | Self::ImportBatch { on, .. }
            | Self::ListBatches { on, .. }
            | Self::GetImported { on, .. }
            | Self::DeleteBatch { on, .. } => on,
        }
    }
}
