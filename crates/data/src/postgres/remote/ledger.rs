//! The ledgers of migrations and imports: made when the first entry comes, gone with the last one.
//!
//! ```text
//! schema switchback                   (its comment says that we made it)
//!   migrations  version, texts, what it changed, whose
//!   imports     whose, batch, table, keys, sums
//! ```
//!
//! Whoever makes or drops a ledger holds [`LOCK`] alone, whoever only enters something holds it together with others.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use switchback_model::{ErrorClass, OpError};

use super::{Failed, Tried};

/// The advisory lock of a database: `switchba`, as a number.
const LOCK: i64 = 0x7377_6974_6368_6261;
/// The comment on a schema that we made.
const MADE: &str = "made by switchback";

/// A ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ledger {
    Migrations,
    Imports,
}

impl Ledger {
    const fn table(self) -> &'static str {
        match self {
            Self::Migrations => "switchback.migrations",
            Self::Imports => "switchback.imports",
        }
    }

    const fn definition(self) -> &'static str {
        match self {
            Self::Migrations => {
                "CREATE TABLE IF NOT EXISTS switchback.migrations (version bigint PRIMARY KEY, name text NOT NULL, \
                 up_sha256 text NOT NULL, down_sha256 text NOT NULL, down text NOT NULL, changes text NOT NULL, \
                 run text NOT NULL, step text NOT NULL, generation bigint NOT NULL, \
                 applied_at timestamptz NOT NULL DEFAULT now())"
            }
            Self::Imports => {
                "CREATE TABLE IF NOT EXISTS switchback.imports (run text NOT NULL, step text NOT NULL, \
                 generation bigint NOT NULL, batch bigint NOT NULL, target text NOT NULL, columns text[] NOT NULL, \
                 rows bigint NOT NULL, checksum text NOT NULL, content text NOT NULL, keys jsonb NOT NULL, \
                 loaded_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, step, generation, batch))"
            }
        }
    }
}

/// Whether it is there.
pub(super) async fn exists(conn: &mut PgConnection, ledger: Ledger) -> Tried<bool> {
    let found = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(ledger.table());
    Ok(found.fetch_one(&mut *conn).await?)
}

/// Takes the lock until the end of the transaction.
pub(super) async fn lock(tx: &mut PgConnection) -> Tried<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    Ok(())
}

/// Makes it, where it is not there; the lock must be held alone.
pub(super) async fn make(tx: &mut PgConnection, ledger: Ledger) -> Tried<()> {
    if exists(tx, ledger).await? {
        return Ok(());
    }
    let there: bool =
        sqlx::query_scalar("SELECT to_regnamespace('switchback') IS NOT NULL").fetch_one(&mut *tx).await?;
    if !there {
        let sql = format!("CREATE SCHEMA switchback; COMMENT ON SCHEMA switchback IS '{MADE}'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    sqlx::raw_sql(ledger.definition()).execute(&mut *tx).await?;
    Ok(())
}

/// It is there from here on to the end of the transaction, and others may enter something at the same time.
pub(super) async fn join(tx: &mut PgConnection, ledger: Ledger) -> Tried<()> {
    if exists(tx, ledger).await? {
        sqlx::query("SELECT pg_advisory_xact_lock_shared($1)").bind(LOCK).execute(&mut *tx).await?;
        // Before the lock was held it may have been dropped.
        if exists(tx, ledger).await? {
            return Ok(());
        }
        let gone = OpError::new(ErrorClass::Transient, "the ledger was dropped at the same moment");
        return Err(Failed::Op(gone.with_code("LedgerGone")));
    }
    lock(tx).await?;
    make(tx, ledger).await
}

/// Drops it when it is empty, and the schema when we made it and nothing else is in it; the lock must be held alone.
pub(super) async fn tidy(tx: &mut PgConnection, ledger: Ledger) -> Tried<()> {
    let table = ledger.table();
    let sql = format!("SELECT NOT EXISTS (SELECT FROM {table})");
    let empty: bool = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *tx).await?;
    if !empty {
        return Ok(());
    }
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(&mut *tx).await?;
    let ours: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_namespace n WHERE nspname = 'switchback' \
         AND obj_description(oid, 'pg_namespace') = $1 AND NOT EXISTS (SELECT FROM pg_depend d \
         WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid))",
    )
    .bind(MADE)
    .fetch_one(&mut *tx)
    .await?;
    if ours {
        sqlx::raw_sql("DROP SCHEMA switchback").execute(&mut *tx).await?;
    }
    Ok(())
}

/// A table that calls name.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// With its schema, quoted.
    pub(super) name: String,
    /// The columns of the primary key, and their types.
    pub(super) key: Vec<(String, String)>,
}

/// The table of that name; none where there is none.
pub(super) async fn target(conn: &mut PgConnection, table: &str) -> Tried<Option<Target>> {
    let row = sqlx::query(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE c.oid = to_regclass($1) AND relkind IN ('r', 'p', 'v', 'm', 'f')",
    )
    .bind(table)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let name: String = row.try_get(0)?;
    let key = sqlx::query(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_index i \
         CROSS JOIN LATERAL unnest(indkey::int2[]) WITH ORDINALITY k(attnum, nth) \
         JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = k.attnum \
         WHERE indrelid = $1::regclass AND indisprimary ORDER BY nth",
    )
    .bind(&name)
    .fetch_all(&mut *conn)
    .await?;
    let key = key.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<sqlx::Result<_>>()?;
    Ok(Some(Target { name, key }))
}
