//! The real PostgreSQL: each call a connection of its own, and a transaction.
//!
//! A connection costs some milliseconds, once for thousands of rows; in return there is no state to lose, and none of
//! ours stands in the way of `DROP DATABASE`. The one exception is a cursor, which is a transaction that stays open
//! from page to page.
//!
//! Whoever is cut off in the middle leaves nothing behind: the server notices that nobody is there any more and rolls
//! back. What is committed is in the ledger, which is read under the lock that the lost call held.

mod catalog;
mod imports;
mod ledger;
mod migrations;
mod tunnel;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use switchback_engine::Cx;
use switchback_engine::operation::BoxFuture;
use switchback_engine::remote::{Ask as _, Remote};
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::time::{Instant, timeout, timeout_at};

use self::tunnel::Tunnels;
use super::LEDGER_SCHEMA;
use super::ask::{Database, PgAnswer, PgAsk, RowSource, Table};
use super::connection::{Connection, Reach, Tls};
use super::errors;

pub(super) use self::imports::{changed_file, no_key};
pub(super) use self::migrations::sha256;

/// How long a connection may take, with TLS and the password.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(25);
/// How long a call that reads may take.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many cursors may be open: each is a connection.
const MOST_CURSORS: usize = 16;
/// What every session sets: it waits for locks for a while only, and the server notices when nobody is there any more.
const SESSION: &str = "SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '5min'; \
    SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET client_min_messages = 'warning'";
/// From this version on it also notices while it works.
const SESSION_14: &str = "SET client_connection_check_interval = '5s'";

/// A failure inside of a call.
#[derive(Debug)]
enum Failed {
    /// The driver or the server says so.
    Driver(sqlx::Error),
    /// We do.
    Op(OpError),
}

impl From<sqlx::Error> for Failed {
    fn from(e: sqlx::Error) -> Self {
        Self::Driver(e)
    }
}

impl From<OpError> for Failed {
    fn from(e: OpError) -> Self {
        Self::Op(e)
    }
}

type Tried<T> = Result<T, Failed>;

/// An identifier, quoted.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, quoted.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// An answer that is not of the form that the query has.
fn malformed(what: &str) -> Failed {
    Failed::Op(OpError::permanent(format!("the server's answer cannot be read: {what}")))
}

/// A count as it comes from the server.
fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// The PostgreSQL servers that calls name.
#[derive(Default)]
pub struct PgRemote {
    cursors: Mutex<Cursors>,
    tunnels: Tunnels,
}

/// Transactions with an open cursor, the eldest first.
#[derive(Default)]
struct Cursors {
    next: u64,
    open: HashMap<u64, PgConnection>,
}

impl std::fmt::Debug for PgRemote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgRemote")
    }
}

impl Remote<PgAsk> for PgRemote {
    fn ask<'a>(&'a self, cx: &'a Cx, ask: PgAsk) -> BoxFuture<'a, OpResult<PgAnswer>> {
        Box::pin(self.answer(cx, ask))
    }
}

impl PgRemote {
    /// One that has no connection yet. `aws` is the AWS CLI, for ways through Systems Manager.
    #[must_use]
    pub fn new(aws: impl Into<std::path::PathBuf>) -> Arc<Self> {
        Arc::new(Self { cursors: Mutex::default(), tunnels: Tunnels::by(aws.into()) })
    }

    async fn answer(&self, cx: &Cx, ask: PgAsk) -> OpResult<PgAnswer> {
        let read_until = Instant::now() + READ_TIMEOUT;
        // A migration may take as long as its step; a read that takes minutes is lost.
        let until = if ask.writes() {
            cx.deadline()
        } else {
            read_until.min(cx.deadline().max(Instant::now() + CONNECT_TIMEOUT))
        };
        if let PgAsk::GetRows { cursor: Some(cursor), limit, .. } = &ask {
            return timeout_at(until, self.next_page(&ask, cursor, *limit))
                .await
                .unwrap_or_else(|_| Err(errors::timed_out(&ask)));
        }
        let mut conn = self.connect(cx, ask.on()).await?;
        let done = match timeout_at(until, self.call(&mut conn, &ask)).await {
            Ok(done) => done.map_err(|failed| match failed {
                Failed::Driver(e) => errors::calling(&ask, &e),
                Failed::Op(e) => e,
            }),
            Err(_) => return Err(errors::timed_out(&ask)),
        };
        if let (Ok(PgAnswer::Rows { cursor: Some(cursor), .. }), PgAsk::GetRows { .. }) = (&done, &ask) {
            self.keep(cursor, conn);
            return done;
        }
        let _ = timeout(CLOSE_TIMEOUT, conn.close()).await;
        done
    }

    async fn connect(&self, cx: &Cx, on: &Connection) -> OpResult<PgConnection> {
        let (host, port) = match &on.connect {
            Reach::Direct => (on.host.clone(), on.port),
            Reach::Ssm(instance) => ("127.0.0.1".to_owned(), self.tunnels.port(cx, instance, on).await?),
        };
        // A password is always given: what is in the environment is nobody's business here.
        let password = on.password.as_ref().map(|of| cx.secret(of)).transpose()?;
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&host)
            .port(port)
            .username(&on.user)
            .password(password.map_or("", |p| p.expose_secret()))
            .database(&on.database)
            .application_name("switchback")
            .statement_cache_capacity(0)
            .ssl_mode(match on.tls {
                Tls::Prefer => PgSslMode::Prefer,
                Tls::Require => PgSslMode::Require,
                Tls::VerifyFull => PgSslMode::VerifyFull,
                Tls::Disable => PgSslMode::Disable,
            });
        if let Some(file) = &on.ca_file {
            options = options.ssl_root_cert(file);
        }
        let made = timeout(CONNECT_TIMEOUT, async {
            let mut conn = PgConnection::connect_with(&options).await?;
            sqlx::raw_sql(SESSION).execute(&mut conn).await?;
            if conn.server_version_num().is_some_and(|version| version >= 140_000) {
                sqlx::raw_sql(SESSION_14).execute(&mut conn).await?;
            }
            Ok::<_, sqlx::Error>(conn)
        });
        match made.await {
            Ok(made) => made.map_err(|e| errors::connecting(on, &e)),
            Err(_) => Err(errors::no_reply(on)),
        }
    }

    async fn call(&self, conn: &mut PgConnection, ask: &PgAsk) -> Tried<PgAnswer> {
        match ask {
            PgAsk::DescribeDatabase { name, .. } => Ok(PgAnswer::Database(describe_database(conn, name).await?)),
            PgAsk::CreateDatabase { name, owner, encoding, template, connection_limit, .. } => {
                let mut sql = format!("CREATE DATABASE {}", quoted(name));
                for (word, value) in [(" OWNER ", owner), (" TEMPLATE ", template)] {
                    if let Some(value) = value {
                        sql.push_str(word);
                        sql.push_str(&quoted(value));
                    }
                }
                if let Some(encoding) = encoding {
                    sql.push_str(&format!(" ENCODING {}", literal(encoding)));
                }
                sql.push_str(&format!(" CONNECTION LIMIT {connection_limit}"));
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
                Ok(PgAnswer::Done { changed: true })
            }
            PgAsk::MarkDatabase { name, mark, comment, connection_limit, .. } => {
                mark_database(conn, name, *mark, comment, *connection_limit).await
            }
            PgAsk::DropDatabase { name, mark, comment, force, .. } => {
                drop_database(conn, name, *mark, comment, *force).await
            }
            PgAsk::ListTables { .. } => list_tables(conn).await,
            PgAsk::GetRows { from, limit, .. } => self.first_page(conn, from, *limit).await,
            PgAsk::DescribeTable { table, .. } => describe_table(conn, table).await,
            PgAsk::ListObjects { .. } => {
                let mut tx = conn.begin().await?;
                Ok(PgAnswer::Objects(catalog::objects(&mut tx).await?))
            }
            PgAsk::DescribeMigrations { .. } => migrations::describe(conn).await,
            PgAsk::ApplyMigration { marks, version, name, up, down, .. } => {
                migrations::apply(conn, marks, *version, name, up, down).await
            }
            PgAsk::RevertMigration { marks, version, .. } => migrations::revert(conn, marks, *version).await,
            PgAsk::ImportBatch { marks, table, columns, batch, rows, checksum, .. } => {
                imports::load(conn, marks, table, columns, *batch, rows, checksum).await
            }
            PgAsk::ListBatches { marks, .. } => imports::list(conn, marks).await,
            PgAsk::GetImported { marks, batch, rows, .. } => imports::read(conn, marks, *batch, *rows).await,
            PgAsk::DeleteBatch { marks, batch, .. } => imports::delete(conn, marks, *batch).await,
        }
    }

    async fn first_page(&self, conn: &mut PgConnection, from: &RowSource, limit: u32) -> Tried<PgAnswer> {
        let rows = match from {
            RowSource::Query(query) => format!("({}\n)", query.trim().trim_end_matches(';')),
            RowSource::Table(table) => {
                let Some(target) = ledger::target(conn, table).await? else { return Err(no_table(table).into()) };
                let order: Vec<String> = target.key.iter().map(|(column, _)| quoted(column)).collect();
                let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
                format!("(SELECT * FROM {}{order})", target.name)
            }
        };
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *conn).await?;
        let sql = format!("DECLARE switchback NO SCROLL CURSOR FOR SELECT row_to_json(r)::text FROM {rows} r");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *conn).await?;
        let (rows, more) = fetch(conn, limit).await?;
        let cursor = more.then(|| {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            cursors.next += 1;
            cursors.next.to_string()
        });
        Ok(PgAnswer::Rows { rows, cursor })
    }

    async fn next_page(&self, ask: &PgAsk, cursor: &str, limit: u32) -> OpResult<PgAnswer> {
        let id = cursor.parse().unwrap_or_default();
        let conn = self.cursors.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&id);
        let Some(mut conn) = conn else {
            let error =
                OpError::new(ErrorClass::Transient, format!("{}: the cursor is no longer there", ask.on().place()));
            return Err(error.with_code("CursorGone"));
        };
        let (rows, more) = fetch(&mut conn, limit).await.map_err(|e| errors::calling(ask, &e))?;
        if more {
            self.keep(cursor, conn);
        } else {
            let _ = timeout(CLOSE_TIMEOUT, conn.close()).await;
        }
        Ok(PgAnswer::Rows { rows, cursor: more.then(|| cursor.to_owned()) })
    }

    fn keep(&self, cursor: &str, conn: PgConnection) {
        let Ok(id) = cursor.parse() else { return };
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.open.len() >= MOST_CURSORS
            && let Some(eldest) = cursors.open.keys().min().copied()
        {
            cursors.open.remove(&eldest);
        }
        cursors.open.insert(id, conn);
    }
}

/// The next rows of the cursor, and whether there may be more.
async fn fetch(conn: &mut PgConnection, limit: u32) -> sqlx::Result<(Vec<String>, bool)> {
    let limit = limit.max(1);
    let sql = format!("FETCH {limit} FROM switchback");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?;
    let rows = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<String>>>()?;
    let more = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    Ok((rows, more))
}

fn no_table(table: &str) -> OpError {
    OpError::permanent(format!("there is no table `{table}`"))
        .with_code("42P01")
        .with_hint("check its name and its schema")
}

async fn describe_database(conn: &mut PgConnection, name: &str) -> Tried<Option<Database>> {
    let row = sqlx::query(
        "SELECT pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, datconnlimit, \
         shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
    )
    .bind(name)
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Database {
        owner: row.try_get(0)?,
        encoding: row.try_get(1)?,
        connection_limit: row.try_get(2)?,
        comment: row.try_get(3)?,
        sessions: sessions(conn, name).await?,
    }))
}

/// Who is connected, but for this session and the server's own.
async fn sessions(conn: &mut PgConnection, name: &str) -> Tried<Vec<String>> {
    let rows = sqlx::query_scalar(
        "SELECT concat(coalesce(usename::text, 'somebody'), coalesce(' from ' || host(client_addr), ''), \
         coalesce(' (' || nullif(application_name, '') || ')', '')) FROM pg_stat_activity \
         WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1",
    );
    Ok(rows.bind(name).fetch_all(&mut *conn).await?)
}

fn not_ours(name: &str) -> OpError {
    OpError::drift(format!("the database `{name}` is not the one that this step made"))
        .with_hint("see whose it is; rename or drop it if it is in the way")
}

async fn mark_database(
    conn: &mut PgConnection,
    name: &str,
    mark: i32,
    comment: &str,
    connection_limit: i32,
) -> Tried<PgAnswer> {
    let mut tx = conn.begin().await?;
    let Some(there) = describe_database(&mut tx, name).await? else {
        let error = OpError::permanent(format!("the database `{name}` is no longer there"));
        return Err(error.with_code(OpError::NOT_THERE).into());
    };
    let marked = there.comment.as_deref() == Some(comment);
    if !marked && there.connection_limit != mark {
        return Err(not_ours(name).into());
    }
    let changed = !marked || there.connection_limit != connection_limit;
    if changed {
        let sql = format!(
            "COMMENT ON DATABASE {name} IS {}; ALTER DATABASE {name} CONNECTION LIMIT {connection_limit}",
            literal(comment),
            name = quoted(name),
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(PgAnswer::Done { changed })
}

async fn drop_database(conn: &mut PgConnection, name: &str, mark: i32, comment: &str, force: bool) -> Tried<PgAnswer> {
    let Some(there) = describe_database(conn, name).await? else { return Ok(PgAnswer::Done { changed: false }) };
    if there.comment.as_deref() != Some(comment) && there.connection_limit != mark {
        return Err(not_ours(name).into());
    }
    let sql = format!("DROP DATABASE {}{}", quoted(name), if force { " WITH (FORCE)" } else { "" });
    match sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await {
        Ok(_) => Ok(PgAnswer::Done { changed: true }),
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("3D000") => Ok(PgAnswer::Done { changed: false }),
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("55006") => {
            let who = sessions(conn, name).await?;
            Err(in_use(name, &who).into())
        }
        Err(e) => Err(e.into()),
    }
}

/// Somebody is connected to a database that is to go.
pub(super) fn in_use(name: &str, sessions: &[String]) -> OpError {
    let who = if sessions.is_empty() { "somebody".to_owned() } else { sessions.join(", ") };
    OpError::new(ErrorClass::Busy, format!("the database `{name}` is in use: {who}"))
        .with_code("55006")
        .with_hint("end these sessions; `force: true` in the step does it for you")
}

async fn list_tables(conn: &mut PgConnection) -> Tried<PgAnswer> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', $1) \
         AND relpersistence <> 't' ORDER BY 1",
    )
    .bind(LEDGER_SCHEMA)
    .fetch_all(&mut *conn)
    .await?;
    let mut filled = Vec::new();
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM {table})");
        if sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *conn).await? {
            filled.push(table);
        }
    }
    Ok(PgAnswer::Tables(filled))
}

async fn describe_table(conn: &mut PgConnection, table: &str) -> Tried<PgAnswer> {
    let Some(target) = ledger::target(conn, table).await? else { return Ok(PgAnswer::Table(None)) };
    let columns = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    );
    let columns = columns.bind(&target.name).fetch_all(&mut *conn).await?;
    let sql = format!("SELECT count(*) FROM {}", target.name);
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *conn).await?;
    let primary_key = target.key.into_iter().map(|(column, _)| column).collect();
    Ok(PgAnswer::Table(Some(Table { columns, primary_key, rows: count(rows) })))
}
