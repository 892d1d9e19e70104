//! Migrations: the script and its entry in the ledger are one transaction, under the lock of the database.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use switchback_model::OpError;

use super::ledger::{self, Ledger};
use super::{Tried, catalog, count, malformed};
use crate::postgres::ask::{Change, Marks, Migration, PgAnswer};

/// SHA-256, in hex.
pub(in crate::postgres) fn sha256(text: &str) -> String {
    switchback_model::canonical::hex(&Sha256::digest(text.as_bytes()))
}

/// An entry that is not this step's.
pub(in crate::postgres) fn anothers(version: u64, there: &Marks) -> OpError {
    let Marks { run, step, generation } = there;
    OpError::drift(format!("migration {version} was applied by step `{step}` of run {run}, generation {generation}"))
        .with_hint("two runs migrate this database: let one of them finish, or unwind it")
}

pub(super) async fn describe(conn: &mut PgConnection) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    if !ledger::exists(&mut tx, Ledger::Migrations).await? {
        return Ok(PgAnswer::Migrations(Vec::new()));
    }
    let rows = sqlx::query(
        "SELECT version, name, up_sha256, down_sha256, run, step, generation, changes FROM switchback.migrations \
         ORDER BY version",
    );
    let rows = rows.fetch_all(&mut *tx).await?;
    let migrations = rows
        .iter()
        .map(|row| {
            let changes: String = row.try_get(7)?;
            Ok(Migration {
                version: count(row.try_get(0)?),
                name: row.try_get(1)?,
                up_sha256: row.try_get(2)?,
                down_sha256: row.try_get(3)?,
                changes: changes_in(&changes)?,
                marks: marks(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?),
            })
        })
        .collect::<Tried<_>>()?;
    Ok(PgAnswer::Migrations(migrations))
}

fn changes_in(text: &str) -> Tried<Vec<Change>> {
    serde_json::from_str(text).map_err(|_| malformed("the changes in the ledger"))
}

fn marks(run: String, step: String, generation: i64) -> Marks {
    Marks { run, step, generation: u32::try_from(generation).unwrap_or_default() }
}

/// What the ledger has of a version.
struct Entry {
    up_sha256: String,
    down_sha256: String,
    down: String,
    changes: String,
    marks: Marks,
}

async fn entry(tx: &mut PgConnection, version: u64) -> Tried<Option<Entry>> {
    let row = sqlx::query(
        "SELECT up_sha256, down_sha256, down, changes, run, step, generation FROM switchback.migrations WHERE version = $1",
    );
    let row = row.bind(i64::try_from(version).unwrap_or(i64::MAX)).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Entry {
        up_sha256: row.try_get(0)?,
        down_sha256: row.try_get(1)?,
        down: row.try_get(2)?,
        changes: row.try_get(3)?,
        marks: marks(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?),
    }))
}

pub(super) async fn apply(
    conn: &mut PgConnection,
    marks: &Marks,
    version: u64,
    name: &str,
    up: &str,
    down: &str,
) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    ledger::lock(&mut tx).await?;
    ledger::make(&mut tx, Ledger::Migrations).await?;
    let (up_sha256, down_sha256) = (sha256(up), sha256(down));
    if let Some(there) = entry(&mut tx, version).await? {
        if there.marks != *marks {
            return Err(anothers(version, &there.marks).into());
        }
        if (&there.up_sha256, &there.down_sha256) != (&up_sha256, &down_sha256) {
            let error = OpError::drift(format!("migration {version} was applied with another text"));
            return Err(error.with_hint("the journal and the ledger of the database do not belong together").into());
        }
        return Ok(PgAnswer::Applied(changes_in(&there.changes)?));
    }
    let before = catalog::objects(&mut tx).await?;
    sqlx::raw_sql(AssertSqlSafe(up.to_owned())).execute(&mut *tx).await?;
    // Whatever role and path the script left behind.
    sqlx::raw_sql("SET LOCAL role TO NONE; SET LOCAL search_path TO DEFAULT").execute(&mut *tx).await?;
    let changes = catalog::changes(before, catalog::objects(&mut tx).await?);
    let text = serde_json::to_string(&changes).map_err(|_| malformed("what has changed"))?;
    sqlx::query(
        "INSERT INTO switchback.migrations (version, name, up_sha256, down_sha256, down, changes, run, step, generation) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(i64::try_from(version).unwrap_or(i64::MAX))
    .bind(name)
    .bind(up_sha256)
    .bind(down_sha256)
    .bind(down)
    .bind(text)
    .bind(&marks.run)
    .bind(&marks.step)
    .bind(i64::from(marks.generation))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(PgAnswer::Applied(changes))
}

pub(super) async fn revert(conn: &mut PgConnection, marks: &Marks, version: u64) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    ledger::lock(&mut tx).await?;
    let unchanged = PgAnswer::Done { changed: false };
    if !ledger::exists(&mut tx, Ledger::Migrations).await? {
        return Ok(unchanged);
    }
    let Some(there) = entry(&mut tx, version).await? else { return Ok(unchanged) };
    if there.marks != *marks {
        return Err(anothers(version, &there.marks).into());
    }
    sqlx::raw_sql(AssertSqlSafe(there.down)).execute(&mut *tx).await?;
    sqlx::raw_sql("SET LOCAL role TO NONE; SET LOCAL search_path TO DEFAULT").execute(&mut *tx).await?;
    let gone = sqlx::query("DELETE FROM switchback.migrations WHERE version = $1");
    gone.bind(i64::try_from(version).unwrap_or(i64::MAX)).execute(&mut *tx).await?;
    ledger::tidy(&mut tx, Ledger::Migrations).await?;
    tx.commit().await?;
    Ok(PgAnswer::Done { changed: true })
}
