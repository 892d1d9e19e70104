//! The real parts: started when they are wanted, filled, reached through their addresses, gone with the sandbox.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, PgConnection};
use switchback_sandbox::Info;
use tempfile::TempDir;

struct Running {
    child: Child,
    info: Info,
    folder: TempDir,
}

fn start_in(folder: TempDir, more: &[&str]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchback-sandbox"));
    command.args(["serve", "--state"]).arg(folder.path()).args(["--settle-ms", "0"]).args(more);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let info: Info = serde_json::from_slice(&std::fs::read(folder.path().join("sandbox.json")).unwrap()).unwrap();
    Running { child, info, folder }
}

fn start() -> Running {
    start_in(tempfile::tempdir().unwrap(), &[])
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-TERM");
        let _ = self.child.wait();
    }
}

impl Running {
    /// The address of a part whose binary must be there: the tests of this file are about nothing else.
    fn part(&self, name: &str) -> &str {
        let part = self.info.parts.iter().find(|part| part.name == name).unwrap();
        assert_eq!(part.missing, None, "install it: cargo xtask test does");
        &part.address
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([name, &self.child.id().to_string()]).status();
    }

    /// A call of a service that has the query protocol.
    fn call(&self, service: &str, form: &str) -> String {
        let mut stream = TcpStream::connect(self.info.endpoint.trim_start_matches("http://")).unwrap();
        let scope = format!("Credential=A/20260101/us-east-1/{service}/aws4_request, Signature=0");
        let length = form.len();
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\nauthorization: AWS4-HMAC-SHA256 {scope}\r\n\
             content-length: {length}\r\n\r\n{form}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    fn rds(&self, form: &str) -> String {
        self.call("rds", form)
    }

    /// The subnets that a cluster wants.
    fn network(&self) {
        let vpc = self.call("ec2", "Action=CreateVpc&CidrBlock=10.0.0.0%2F16");
        let vpc = text(&vpc, "vpcId");
        let mut form = "Action=CreateDBSubnetGroup&DBSubnetGroupName=g&DBSubnetGroupDescription=g".to_owned();
        for (n, zone) in [(1, "us-east-1a"), (2, "us-east-1b")] {
            let subnet = format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.{n}.0%2F24&AvailabilityZone={zone}");
            let subnet = self.call("ec2", &subnet);
            form += &format!("&SubnetIds.SubnetIdentifier.{n}={}", text(&subnet, "subnetId"));
        }
        self.rds(&form);
    }

    /// Makes a cluster.
    fn cluster(&self, name: &str, user: &str, password: &str, more: &str) -> String {
        self.rds(&format!(
            "Action=CreateDBCluster&DBClusterIdentifier={name}&Engine=aurora-postgresql&MasterUsername={user}\
             &MasterUserPassword={password}&DBSubnetGroupName=g{more}"
        ))
    }

    /// The files of the parts, also those that are not in the sandbox's folder.
    fn folders(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("parts")).unwrap();
        entries.map(|entry| entry.unwrap().path().canonicalize().unwrap()).collect()
    }
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// Waits for what another process does.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}");
}

/// The processes that have this text among their arguments.
fn processes_of(text: &Path) -> usize {
    let text = text.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&text)
    })
    .count()
}

async fn sign_in(host: &str, port: u16, user: &str, password: &str, database: &str) -> sqlx::Result<PgConnection> {
    let options = PgConnectOptions::new_without_pgpass().host(host).port(port).username(user).password(password);
    PgConnection::connect_with(&options.database(database).ssl_mode(PgSslMode::Disable)).await
}

/// What stands between two tags.
fn text<'a>(xml: &'a str, tag: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once('<').unwrap().0
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_bare_one_has_none_and_gives_no_inputs() {
    let running = start_in(tempfile::tempdir().unwrap(), &["--bare"]);
    assert!(running.info.parts.is_empty() && running.info.inputs.is_empty());
    running.network();
    let made = running.cluster("x", "m", "0123456789", "");
    assert!(text(&made, "Endpoint").ends_with(".rds.amazonaws.com"));
}

#[test]
fn nothing_runs_before_it_is_wanted() {
    let running = start();
    assert_eq!(running.folders(), Vec::<std::path::PathBuf>::new());
    let names: Vec<&str> = running.info.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["postgresql", "nats", "local_nats", "registry", "local_system"]);
    let inputs: Vec<&str> = running.info.inputs.keys().map(String::as_str).collect();
    assert_eq!(
        inputs,
        ["export_command", "health_connect_to", "image_source", "local_nats_url", "nats_url", "registry"]
    );
    let (status, body) = get(running.part("registry"), "/v2/");
    assert_eq!((status, body.as_str()), (200, "{}"));
    assert_eq!(running.folders().len(), 1);
}

#[test]
fn a_cluster_can_be_signed_in_to_with_its_password_and_no_other() {
    let running = start();
    running.network();
    let make = || running.cluster("main", "keeper", "first-password", "&DatabaseName=app");
    let made = make();
    let (host, port) = (text(&made, "Endpoint").to_owned(), text(&made, "Port").parse().unwrap());
    assert_eq!(port, 5432, "as AWS has it");
    runtime().block_on(async {
        let mut connection = sign_in(&host, port, "keeper", "first-password", "app").await.unwrap();
        for statement in ["CREATE TABLE t (a int)", "CREATE DATABASE second"] {
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        let refused = sign_in(&host, port, "keeper", "another-password", "app").await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"));
        assert!(sign_in(&host, port, "rdsadmin", "first-password", "app").await.is_err());

        running.rds("Action=ModifyDBCluster&DBClusterIdentifier=main&MasterUserPassword=next-password");
        assert!(sign_in(&host, port, "keeper", "first-password", "app").await.is_err());
        let mut connection = sign_in(&host, port, "keeper", "next-password", "app").await.unwrap();
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut connection).await.unwrap();
        assert_eq!(kept, 0, "the table is there");
        connection.close().await.unwrap();

        // Deleted and made again under the same name: nothing of it is there.
        running.rds("Action=DeleteDBCluster&DBClusterIdentifier=main&SkipFinalSnapshot=true");
        assert!(sign_in(&host, port, "keeper", "next-password", "app").await.is_err());
        make();
        let mut connection = sign_in(&host, port, "keeper", "first-password", "app").await.unwrap();
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let databases: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = 'second'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!((tables, databases), (0, 0));
    });
}

#[test]
fn a_cluster_has_the_port_that_it_asked_for() {
    let running = start();
    running.network();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let first = running.cluster("one", "one", "password-of-one", "&Port=5432");
    let second = running.cluster("two", "two", "password-of-two", &format!("&Port={other}"));
    runtime().block_on(async {
        sign_in(text(&first, "Endpoint"), 5432, "one", "password-of-one", "postgres").await.unwrap();
        sign_in(text(&second, "Endpoint"), other, "two", "password-of-two", "postgres").await.unwrap();
    });
}

#[test]
fn the_local_stream_is_filled_and_the_new_server_is_empty() {
    let running = start();
    let inputs = &running.info.inputs;
    runtime().block_on(async {
        let client = async_nats::connect(&inputs["local_nats_url"]).await.unwrap();
        let stream = jetstream::new(client).get_stream("DISCOVERIES").await.unwrap();
        assert_eq!(stream.get_info().await.unwrap().state.messages, 200);
        let message = stream.get_raw_message(1).await.unwrap();
        assert!(message.subject.as_str().starts_with("discovery."));
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(body["discovery_id"], "discovery-0001");
        let client = async_nats::connect(&inputs["nats_url"]).await.unwrap();
        assert!(jetstream::new(client).get_stream("DISCOVERIES").await.is_err());
    });
}

#[test]
fn the_local_system_exports_its_state_and_is_not_well_before_the_migration() {
    let running = start();
    let address = running.part("local_system");
    let (status, body) = get(address, "/export");
    let rows: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, rows.len()), (200, 50));
    assert!(rows[0]["swarm_id"].is_string() && rows[0]["state"].is_object() && rows[0]["version"].is_u64());
    assert_eq!(get(address, "/export").1, body, "the same each time");
    let (status, body) = get(address, "/health");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["status"]), (503, &"unavailable".into()));
    assert_eq!(body["metrics"]["agents_active"], 0);
    assert_eq!(get(address, "/other").0, 404);
}

#[test]
fn servers_end_with_the_sandbox_and_leave_nothing() {
    for (signal, cleans_up) in [("-TERM", true), ("-KILL", false)] {
        let mut running = start();
        runtime().block_on(async {
            let host = running.part("postgresql").split_once(':').unwrap().0;
            // Refused, but by the server.
            assert!(sign_in(host, 5432, "nobody", "x", "postgres").await.is_err());
        });
        assert_eq!(get(running.part("registry"), "/v2/").0, 200);
        let folders = running.folders();
        assert_eq!(folders.len(), 2);
        assert!(folders.iter().all(|folder| processes_of(folder) >= 2), "a supervisor and a server each");
        running.signal(signal);
        running.child.wait().unwrap();
        if cleans_up {
            assert!(!running.folder.path().join("parts").exists());
        }
        eventually("servers go on", || folders.iter().all(|folder| processes_of(folder) == 0));
        eventually("folders stay", || folders.iter().all(|folder| !folder.exists()));
    }
}

#[test]
fn the_next_one_cleans_up_after_supervisors_that_were_killed_too() {
    let mut running = start();
    assert_eq!(get(running.part("registry"), "/v2/").0, 200);
    let left = running.folders();
    let supervisor = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        (arguments.contains("\0part\0") && arguments.contains(left[0].to_str()?)).then(|| entry.file_name())
    });
    let supervisor = supervisor.unwrap().into_string().unwrap();
    assert!(Command::new("kill").args(["-KILL", &supervisor]).status().unwrap().success());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let folder = std::mem::replace(&mut running.folder, tempfile::tempdir().unwrap());
    let next = start_in(folder, &[]);
    assert_eq!(next.folders(), Vec::<std::path::PathBuf>::new());
    eventually("the server goes on", || processes_of(&left[0]) == 0);
}
