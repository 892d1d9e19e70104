//! PostgreSQL from the installed server binaries, and the roles that the clusters of the emulator have in it.
//!
//! One server stands for all clusters. A cluster's master user is a role that may make databases and roles; its
//! password is the cluster's, so that a wrong one fails. Roles are brought up to date before each new connection: what
//! a cluster that is gone had is dropped then, databases included.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::child::Child;
use super::places::{self, Folder, User};
use super::{PartError, Running, until_ready};
use crate::database::Role;

pub(super) const PACKAGE: &str = "postgresql";
const NAME: &str = "postgresql";
/// The name that RDS keeps for itself: no cluster can have a master user of this name.
const ADMIN: &str = "rdsadmin";
/// Where Debian puts the server binaries, one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The server binaries of one version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    initdb: PathBuf,
    postgres: PathBuf,
    /// Whom they run as where we are root: they refuse to be it.
    user: Option<User>,
}

impl Binaries {
    /// The newest version of Debian's packages, else what is on the PATH. None also where we are root and have no
    /// `postgres` user to be instead.
    pub(super) fn find() -> Option<Self> {
        let user = if User::is_root() { Some(User::named("postgres")?) } else { None };
        let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let mut versions: Vec<(u32, PathBuf)> = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort();
        let debian = versions.into_iter().rev().map(|(_, bin)| (bin.join("initdb"), bin.join("postgres")));
        let on_path = places::binary("initdb", &[]).zip(places::binary("postgres", &[]));
        let mut all = debian.chain(on_path);
        let (initdb, postgres) = all.find(|(initdb, postgres)| places::runs(initdb) && places::runs(postgres))?;
        Some(Self { initdb, postgres, user })
    }
}

/// Makes a cluster in a new folder and starts its server.
pub(super) async fn start(binaries: &Binaries, place: &Path, password: &str) -> Result<Running, PartError> {
    let folder = match binaries.user {
        Some(user) => Folder::away(place, user)?,
        None => Folder::here(place.to_owned())?,
    };
    if let Err(error) = initdb(binaries, &folder, password).await {
        folder.remove();
        return Err(error);
    }
    let address = super::nats::free_port(NAME)?;
    let (data, port) = (folder.path().join("data").display().to_string(), address.port().to_string());
    let mut args = vec!["-D", &data, "-h", "127.0.0.1", "-p", &port];
    // Nothing here outlives the sandbox, so nothing has to reach the disk.
    let settings = [
        "unix_socket_directories=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "shared_buffers=32MB",
        "max_connections=60",
        "timezone=UTC",
        "log_min_messages=warning",
    ];
    args.extend(settings.iter().flat_map(|setting| ["-c", setting]));
    let mut child = Child::start(&binaries.postgres, &args, folder, binaries.user, true)?;
    let ready = until_ready(NAME, &mut child, || async { connect(address, password, "postgres").await.is_ok() }).await;
    if let Err(error) = ready {
        child.end(super::END).await;
        return Err(error);
    }
    Ok(Running { address, child: Mutex::new(child) })
}

async fn initdb(binaries: &Binaries, folder: &Folder, password: &str) -> Result<(), PartError> {
    let file = folder.path().join("password");
    let shown = file.display().to_string();
    let write = || {
        fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file)?.write_all(password.as_bytes())?;
        match binaries.user {
            Some(user) => std::os::unix::fs::chown(&file, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        }
    };
    write().map_err(PartError::io("write", &shown))?;
    let mut command = Command::new(&binaries.initdb);
    command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", ADMIN]);
    command.arg("--pwfile").arg(&file).arg("--pgdata").arg(folder.path().join("data"));
    command.current_dir(folder.path()).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    if let Some(user) = binaries.user {
        command.uid(user.uid).gid(user.gid);
    }
    let done = command.output().await.map_err(PartError::io("start", binaries.initdb.display().to_string()))?;
    fs::remove_file(&file).map_err(PartError::io("remove", &shown))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(PartError::server(NAME, format!("initdb ended with {}: {}", done.status, said.trim())))
}

async fn connect(address: SocketAddr, password: &str, database: &str) -> sqlx::Result<PgConnection> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&address.ip().to_string())
        .port(address.port())
        .username(ADMIN)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging();
    PgConnection::connect_with(&options).await
}

/// Makes the roles in the server those that are wanted. `applied` is what was done so far, by the clusters' ids.
pub(super) async fn settle_roles(
    address: SocketAddr,
    password: &str,
    wanted: &BTreeMap<String, Role>,
    applied: &mut BTreeMap<String, Role>,
) -> Result<(), PartError> {
    if wanted == applied {
        return Ok(());
    }
    let settle = async {
        let mut connection = connect(address, password, "postgres").await?;
        // A statement that fails is not shown in the log: it may have a password in it.
        run(&mut connection, "SET log_min_error_statement = panic".to_owned()).await?;
        let gone: Vec<String> = applied.keys().filter(|id| !wanted.contains_key(*id)).cloned().collect();
        for id in gone {
            if let Some(role) = applied.get(&id) {
                remove(&mut connection, role).await?;
            }
            applied.remove(&id);
        }
        for (id, role) in wanted {
            if applied.get(id) == Some(role) {
                continue;
            }
            put(&mut connection, role, !applied.contains_key(id)).await?;
            applied.insert(id.clone(), role.clone());
        }
        connection.close().await
    };
    // No text of the server in it: it may repeat what was sent.
    settle.await.map_err(|error: sqlx::Error| {
        let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        PartError::server(NAME, format!("the roles of the clusters could not be made {code}"))
    })
}

async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}

async fn put(connection: &mut PgConnection, role: &Role, is_new: bool) -> sqlx::Result<()> {
    let (name, password) = (identifier(&role.name), literal(&role.password));
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(&role.name)
        .fetch_one(&mut *connection)
        .await?;
    let verb = if exists { "ALTER" } else { "CREATE" };
    run(connection, format!("{verb} ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD {password}")).await?;
    run(connection, format!("GRANT pg_monitor, pg_signal_backend TO {name}")).await?;
    let Some(database) = role.database.as_deref().filter(|_| is_new) else { return Ok(()) };
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        run(connection, format!("CREATE DATABASE {} OWNER {name}", identifier(database))).await?;
    }
    Ok(())
}

/// Drops a role with its databases. A role that owns things elsewhere stays, and can sign in no more.
async fn remove(connection: &mut PgConnection, role: &Role) -> sqlx::Result<()> {
    let databases: Vec<String> = sqlx::query_scalar(
        "SELECT datname FROM pg_database JOIN pg_roles ON datdba = pg_roles.oid WHERE rolname = $1 AND NOT datistemplate",
    )
    .bind(&role.name)
    .fetch_all(&mut *connection)
    .await?;
    for database in databases {
        run(connection, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(&database))).await?;
    }
    let name = identifier(&role.name);
    if run(connection, format!("DROP ROLE IF EXISTS {name}")).await.is_err() {
        run(connection, format!("ALTER ROLE {name} NOLOGIN PASSWORD NULL")).await?;
    }
    Ok(())
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_cannot_leave_their_quotes() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
    }
}
