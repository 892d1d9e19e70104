//! What a real server refuses, and what that means.

use switchback_data::postgres::ask::{Marks, PgAsk};
use switchback_data::postgres::connection::{Reach, Tls};
use switchback_data::postgres::{Connection, PgRemote};
use switchback_model::{ErrorClass, SecretRef};

use crate::support::{PASSWORD, Run, Server, ask};

#[tokio::test]
async fn each_refusal_has_its_class_and_none_says_the_password() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", "CREATE ROLE other LOGIN PASSWORD 'x'");
    let run = Run::new(1, folder.path());
    let cx = run.cx("step");
    let read = |on: Connection| PgAsk::ListTables { on };
    let good = server.on("postgres");
    assert!(ask(&cx, read(good.clone())).await.is_ok());
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let unknown = SecretRef { fingerprint: "00".into(), ..SecretRef::of_input("other") };
    for (on, class, code) in [
        (Connection { user: "other".into(), ..good.clone() }, ErrorClass::Permanent, Some("28P01")),
        (Connection { user: "nobody".into(), ..good.clone() }, ErrorClass::Permanent, Some("28P01")),
        (Connection { database: "nowhere".into(), ..good.clone() }, ErrorClass::Permanent, Some("3D000")),
        (Connection { port: free, ..good.clone() }, ErrorClass::Transient, Some("ConnectionRefused")),
        (Connection { tls: Tls::Require, ..good.clone() }, ErrorClass::Permanent, Some("Tls")),
        (Connection { password: Some(unknown), ..good.clone() }, ErrorClass::Unavailable, None),
    ] {
        let error = ask(&cx, read(on)).await.unwrap_err();
        assert_eq!(error.class, class, "{error:?}");
        if code.is_some() {
            assert_eq!(error.code.as_deref(), code, "{error:?}");
        }
        assert!(!format!("{error:?}").contains(PASSWORD));
    }
}

/// The server ends the session in the middle of a write: nobody knows, so it is looked up, and nothing was done.
#[tokio::test]
async fn a_write_that_is_cut_off_may_have_happened() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("step");
    let apply = PgAsk::ApplyMigration {
        on: server.on("postgres"),
        marks: Marks { run: "r".into(), step: "s".into(), generation: 1 },
        version: 1,
        name: "ends itself".into(),
        up: "CREATE TABLE t (id int); SELECT pg_terminate_backend(pg_backend_pid());".into(),
        down: "DROP TABLE t".into(),
    };
    let error = ask(&cx, apply).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Ambiguous, "{error:?}");
    assert_eq!(server.sql("postgres", "SELECT to_regclass('t') IS NULL"), ["t"]);
}

/// The way through an instance is opened once, serves every call, and says why when it cannot be opened.
#[tokio::test]
async fn a_server_that_only_an_instance_can_reach() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let tests = std::env::current_exe().unwrap();
    let forward = tests.parent().and_then(std::path::Path::parent).unwrap().join("examples/forward");
    let run = Run::by(1, folder.path(), PgRemote::new(forward));
    let cx = run.cx("step");
    let through = |instance: &str| Connection {
        host: "db.internal.invalid".into(),
        connect: Reach::Ssm(instance.into()),
        ..server.on("postgres")
    };
    for _ in 0..2 {
        assert!(ask(&cx, PgAsk::ListTables { on: through("i-0123456789abcdef0") }).await.is_ok());
    }
    let error = ask(&cx, PgAsk::ListTables { on: through("i-0gone") }).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(error.message.contains("TargetNotConnected"), "{error}");
    let none = Run::by(1, folder.path(), PgRemote::new("/nonexistent/aws"));
    let error = ask(&none.cx("step"), PgAsk::ListTables { on: through("i-0123") }).await.unwrap_err();
    assert!(error.message.contains("cannot be started"), "{error}");
}
