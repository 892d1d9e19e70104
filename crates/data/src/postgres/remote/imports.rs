//! Imports: the rows of a batch and its entry with their keys are one transaction.
//!
//! Rows come as JSON and are read by the server into the table's own types: what the sum [`Batch::content`] is made of is
//! what was understood, so that the table can be held against it later, whatever form the file had.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use switchback_model::OpError;

use super::ledger::{self, Ledger, Target};
use super::{Tried, count, no_table, quoted};
use crate::postgres::ask::{Batch, Marks, PgAnswer};

/// A sum over the rows `r`, whatever their order.
fn content(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("r.{}", quoted(column))).collect();
    format!("coalesce(sum(hashtextextended(json_build_array({})::text, 0)::numeric), 0)::text", columns.join(", "))
}

/// Where the keys `k` are those of the rows `r`.
fn by_key(target: &Target) -> String {
    let each = target.key.iter().enumerate();
    each.map(|(i, (column, kind))| format!("r.{} = (k->>{i})::{kind}", quoted(column)))
        .collect::<Vec<_>>()
        .join(" AND ")
}

/// What the ledger has of a batch.
struct Entry {
    target: String,
    columns: Vec<String>,
    batch: Batch,
}

async fn entry(conn: &mut PgConnection, marks: &Marks, batch: u32) -> Tried<Option<Entry>> {
    let row = sqlx::query(
        "SELECT target, columns, rows, checksum, content FROM switchback.imports \
         WHERE run = $1 AND step = $2 AND generation = $3 AND batch = $4",
    )
    .bind(&marks.run)
    .bind(&marks.step)
    .bind(i64::from(marks.generation))
    .bind(i64::from(batch))
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let state = Batch { batch, rows: count(row.try_get(2)?), checksum: row.try_get(3)?, content: row.try_get(4)? };
    Ok(Some(Entry { target: row.try_get(0)?, columns: row.try_get(1)?, batch: state }))
}

pub(super) async fn load(
    conn: &mut PgConnection,
    marks: &Marks,
    table: &str,
    columns: &[String],
    batch: u32,
    rows: &[String],
    checksum: &str,
) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    ledger::join(&mut tx, Ledger::Imports).await?;
    if let Some(there) = entry(&mut tx, marks, batch).await? {
        if there.batch.checksum != checksum {
            return Err(changed_file(batch).into());
        }
        return Ok(PgAnswer::Batches(vec![there.batch]));
    }
    let Some(target) = ledger::target(&mut tx, table).await? else { return Err(no_table(table).into()) };
    if target.key.is_empty() {
        return Err(no_key(table).into());
    }
    sqlx::raw_sql("CREATE TEMPORARY TABLE switchback_batch (line json NOT NULL) ON COMMIT DROP")
        .execute(&mut *tx)
        .await?;
    // JSON has no control characters: nothing needs quotes.
    let mut copy = tx
        .copy_in_raw(r"COPY pg_temp.switchback_batch FROM STDIN WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')")
        .await?;
    let mut text = String::with_capacity(rows.iter().map(|row| row.len() + 1).sum());
    for row in rows {
        text.push_str(row);
        text.push('\n');
    }
    copy.send(text.into_bytes()).await?;
    copy.finish().await?;
    let name = &target.name;
    let read =
        format!("FROM pg_temp.switchback_batch b CROSS JOIN LATERAL json_populate_record(NULL::{name}, b.line) r");
    let sum = format!("SELECT {} {read}", content(columns));
    let sum: String = sqlx::query_scalar(AssertSqlSafe(sum)).fetch_one(&mut *tx).await?;
    let list = |prefix: &str| columns.iter().map(|c| format!("{prefix}{}", quoted(c))).collect::<Vec<_>>().join(", ");
    let keys: Vec<String> = target.key.iter().map(|(column, _)| quoted(column)).collect();
    let key_texts: Vec<String> = keys.iter().map(|key| format!("{key}::text")).collect();
    let sql = format!(
        "WITH made AS (INSERT INTO {name} ({}) SELECT {} {read} RETURNING {}) \
         INSERT INTO switchback.imports (run, step, generation, batch, target, columns, rows, checksum, content, keys) \
         SELECT $1, $2, $3, $4, $5, $6, count(*), $7, $8, coalesce(jsonb_agg(jsonb_build_array({})), '[]') FROM made \
         RETURNING rows",
        list(""),
        list("r."),
        keys.join(", "),
        key_texts.join(", "),
    );
    let made: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(&marks.run)
        .bind(&marks.step)
        .bind(i64::from(marks.generation))
        .bind(i64::from(batch))
        .bind(name)
        .bind(columns)
        .bind(checksum)
        .bind(&sum)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(PgAnswer::Batches(vec![Batch { batch, rows: count(made), checksum: checksum.to_owned(), content: sum }]))
}

/// The same batch with other rows.
pub(in crate::postgres) fn changed_file(batch: u32) -> OpError {
    OpError::drift(format!("batch {batch} was imported with other rows"))
        .with_hint("the file has changed since: put back the one that was begun with")
}

/// Rows of a table without a primary key cannot be told from those of others.
pub(in crate::postgres) fn no_key(table: &str) -> OpError {
    OpError::permanent(format!("the table `{table}` has no primary key, so its rows could not be found again"))
        .with_hint("give it one in a migration")
}

pub(super) async fn list(conn: &mut PgConnection, marks: &Marks) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    if !ledger::exists(&mut tx, Ledger::Imports).await? {
        return Ok(PgAnswer::Batches(Vec::new()));
    }
    let rows = sqlx::query(
        "SELECT batch, rows, checksum, content FROM switchback.imports \
         WHERE run = $1 AND step = $2 AND generation = $3 ORDER BY batch",
    )
    .bind(&marks.run)
    .bind(&marks.step)
    .bind(i64::from(marks.generation))
    .fetch_all(&mut *tx)
    .await?;
    let batches = rows
        .iter()
        .map(|row| {
            let batch = u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX);
            Ok(Batch { batch, rows: count(row.try_get(1)?), checksum: row.try_get(2)?, content: row.try_get(3)? })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok(PgAnswer::Batches(batches))
}

pub(super) async fn read(conn: &mut PgConnection, marks: &Marks, batch: u32, rows: bool) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    let nothing = |entered| PgAnswer::Imported { entered, rows: Vec::new(), count: 0, content: "0".to_owned() };
    if !ledger::exists(&mut tx, Ledger::Imports).await? {
        return Ok(nothing(false));
    }
    let Some(there) = entry(&mut tx, marks, batch).await? else { return Ok(nothing(false)) };
    let Some(target) = ledger::target(&mut tx, &there.target).await? else { return Ok(nothing(true)) };
    let order: Vec<String> = target.key.iter().map(|(column, _)| format!("r.{}", quoted(column))).collect();
    let lines = match rows {
        true => format!("coalesce(array_agg(row_to_json(r)::text ORDER BY {}), '{{}}')", order.join(", ")),
        false => "'{}'::text[]".to_owned(),
    };
    let sql = format!(
        "SELECT count(*), {}, {lines} FROM switchback.imports i CROSS JOIN LATERAL jsonb_array_elements(i.keys) k \
         JOIN {} r ON {} WHERE i.run = $1 AND i.step = $2 AND i.generation = $3 AND i.batch = $4",
        content(&there.columns),
        target.name,
        by_key(&target),
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(&marks.run)
        .bind(&marks.step)
        .bind(i64::from(marks.generation))
        .bind(i64::from(batch))
        .fetch_one(&mut *tx)
        .await?;
    let (count, content, rows) = (count(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?);
    Ok(PgAnswer::Imported { entered: true, rows, count, content })
}

pub(super) async fn delete(conn: &mut PgConnection, marks: &Marks, batch: u32) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    ledger::lock(&mut tx).await?;
    let unchanged = PgAnswer::Done { changed: false };
    if !ledger::exists(&mut tx, Ledger::Imports).await? {
        return Ok(unchanged);
    }
    let Some(there) = entry(&mut tx, marks, batch).await? else { return Ok(unchanged) };
    let ours = "i.run = $1 AND i.step = $2 AND i.generation = $3 AND i.batch = $4";
    let mut statements = Vec::new();
    if let Some(target) = ledger::target(&mut tx, &there.target).await? {
        statements.push(format!(
            "DELETE FROM {} r USING switchback.imports i CROSS JOIN LATERAL jsonb_array_elements(i.keys) k \
             WHERE {ours} AND {}",
            target.name,
            by_key(&target),
        ));
    }
    statements.push(format!("DELETE FROM switchback.imports i WHERE {ours}"));
    for sql in statements {
        sqlx::query(AssertSqlSafe(sql))
            .bind(&marks.run)
            .bind(&marks.step)
            .bind(i64::from(marks.generation))
            .bind(i64::from(batch))
            .execute(&mut *tx)
            .await?;
    }
    ledger::tidy(&mut tx, Ledger::Imports).await?;
    tx.commit().await?;
    Ok(PgAnswer::Done { changed: true })
}
