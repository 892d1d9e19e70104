//! PostgreSQL: databases, migrations, imports, and a probe.
//!
//! The operations know the calls of [`ask`] only; [`PgRemote`] answers them with the driver, and a model of them in a
//! rehearsal. Each call is one transaction of its own with the marks of who made it, so that a call whose reply was lost
//! either happened as a whole or not at all, and a look at the ledger says which:
//!
//! ```text
//! database    CREATE DATABASE with a connection limit that follows from the token; then the comment says whose it is
//! migrations  lock, up.sql, row in switchback.migrations: one transaction each
//! import      COPY of a batch, row with its keys in switchback.imports: one transaction each
//! ```

pub mod ask;
pub mod connection;
pub mod database;
mod errors;
pub mod import;
pub mod migrations;
pub mod probe;
mod remote;
pub mod sql;

use std::borrow::Cow;
use std::time::Duration;

use switchback_engine::Cx;
use switchback_model::facts::{Facts, ProofKind, Reversibility};
use switchback_model::{OpError, OpResult};

pub use self::ask::PgAsk;
pub use self::connection::Connection;
pub use self::remote::PgRemote;

use self::ask::{Marks, PgAnswer};
use self::remote::sha256;

/// How long a call that was given up may still have its effect: the server notices within seconds that nobody is there
/// any more, and rolls back what was not committed.
pub const QUIET: Duration = Duration::from_secs(30);
/// The schema of the ledgers.
pub const LEDGER_SCHEMA: &str = "switchback";
/// The code of an error that says: there is no such database.
pub const NO_DATABASE: &str = "3D000";
/// The code of an error that says: there is no such table.
pub const NO_TABLE: &str = "42P01";

/// The marks of this step, as the ledgers keep them.
fn marks(cx: &Cx) -> Marks {
    Marks { run: cx.run().to_string(), step: cx.step().as_tag_value(), generation: cx.generation().0 }
}

/// Facts of steps whose writing calls are all in `settle`: `create` only pins what will be done.
pub(crate) fn facts(reads: &[&'static str], settles: &[&'static str], rolls_back: &[&'static str]) -> Facts {
    let text = |calls: &[&'static str]| calls.iter().copied().map(Cow::Borrowed).collect::<Vec<_>>();
    Facts {
        reversibility: Reversibility::Reversible,
        residue: Vec::new(),
        proof: ProofKind::Strong,
        unique: true,
        quiet: QUIET,
        create_deadline: Duration::from_secs(60 * 60),
        rollback_deadline: Duration::from_secs(60 * 60),
        reads: text(reads),
        creates: Vec::new(),
        settles: text(settles),
        rolls_back: text(rolls_back),
        extra_actions: Vec::new(),
        extra_undo_actions: Vec::new(),
        arns: Vec::new(),
    }
}

/// An answer of another form than the call has.
fn unexpected(ask: &str, answer: &PgAnswer) -> OpError {
    OpError::permanent(format!("the answer to `{ask}` has another form: {answer:?}"))
}

/// What is read of a database or a table; nothing where it is not there (any more), and nothing can be in it: a drop whose
/// reply was lost may land at any moment.
fn unless_gone<T: Default>(read: OpResult<T>) -> OpResult<T> {
    match read {
        Err(e) if [Some(NO_DATABASE), Some(NO_TABLE)].contains(&e.code.as_deref()) => Ok(T::default()),
        other => other,
    }
}

/// What `capture` reads of a database that an earlier step of the run may still have to make.
fn not_there_yet<T>(read: OpResult<T>) -> OpResult<T> {
    read.map_err(|e| if e.code.as_deref() == Some(NO_DATABASE) { e.with_code(OpError::NOT_THERE) } else { e })
}
