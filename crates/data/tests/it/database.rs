//! `postgres.database` on a real server.

use switchback_data::postgres::ask::{PgAnswer, PgAsk};
use switchback_data::postgres::database::{Database, Params};
use switchback_engine::{Expect, Found, Operation as _, Undo};
use switchback_model::ErrorClass;

use crate::support::{Run, Server, Step, ask, differences};

fn params(server: &Server) -> Params {
    Params {
        connection: server.on("postgres"),
        name: "mistersmith".to_owned(),
        connection_limit: 20,
        ..Database::example().unwrap()
    }
}

#[tokio::test]
async fn it_is_made_found_marked_and_dropped() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let (cx, params) = (run.cx("database"), params(&server));
    let before = Database.capture(&cx, &params).await.unwrap();
    assert_eq!(Database.find(&cx, &params, &before).await.unwrap(), Found::Absent);
    let output = Database.create(&cx, &params, &before).await.unwrap();
    // The reply was lost: it is known by its limit, and to nobody else.
    let Found::Ours { output: found, .. } = Database.find(&cx, &params, &before).await.unwrap() else { panic!() };
    assert_eq!(found, output);
    let other = Run::new(99, folder.path());
    assert!(matches!(Database.find(&other.cx("database"), &params, &before).await.unwrap(), Found::Foreign { .. }));
    assert_eq!(Database.create(&cx, &params, &before).await.unwrap_err().class, ErrorClass::AlreadyExists);
    let verdict = Database.verify(&cx, &params, &before, Some(&output), Expect::Created).await.unwrap();
    assert_eq!(differences(&verdict), ["comment", "connection_limit"]);
    for _ in 0..2 {
        Database.settle(&cx, &params, &before, &output).await.unwrap();
    }
    let verdict = Database.verify(&cx, &params, &before, Some(&output), Expect::Created).await.unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    // Another run cannot have it, nor mark it, nor drop it.
    assert_eq!(Database.capture(&other.cx("database"), &params).await.unwrap_err().class, ErrorClass::Foreign);
    let others = other.cx("database");
    assert_eq!(Database.settle(&others, &params, &before, &output).await.unwrap_err().class, ErrorClass::Drift);
    assert_eq!(Database.rollback(&others, &params, &before, &output).await.unwrap_err().class, ErrorClass::Drift);
    assert_eq!(Database.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
    assert_eq!(Database.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Nothing);
    let verdict = Database.verify(&cx, &params, &before, Some(&output), Expect::RolledBack).await.unwrap();
    assert!(verdict.holds(), "{verdict:?}");
}

#[tokio::test]
async fn what_others_wrote_is_exported_before_it_is_dropped() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("database");
    let step = Step::forward(&cx, Database, params(&server)).await.unwrap();
    server.sql("mistersmith", "CREATE TABLE \"Notes\" (id int, text text); CREATE TABLE empty (id int); INSERT INTO \"Notes\" VALUES (1, 'a'), (2, 'b')");
    step.back(&cx).await.unwrap();
    let exports = folder.path().join("exports").join("00000000-0000-0000-0000-000000000001").join("database-1");
    let files: Vec<_> = std::fs::read_dir(&exports).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["public._Notes_.jsonl"]);
    let rows = std::fs::read_to_string(exports.join("public._Notes_.jsonl")).unwrap();
    assert_eq!(rows, "{\"id\":1,\"text\":\"a\"}\n{\"id\":2,\"text\":\"b\"}\n");
}

#[tokio::test]
async fn nobody_is_cut_off_unless_the_step_says_so() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("database");
    let step = Step::forward(&cx, Database, params(&server)).await.unwrap();
    server.sql("mistersmith", "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 10) g");
    // A cursor that is left open is a session.
    let on = server.on("mistersmith");
    let other = Run::new(2, folder.path());
    let from = switchback_data::postgres::ask::RowSource::Table("t".to_owned());
    let page = PgAsk::GetRows { on, from, cursor: None, limit: 1 };
    let PgAnswer::Rows { cursor: Some(_), .. } = ask(&other.cx("reader"), page).await.unwrap() else { panic!() };
    let error = Database.rollback(&cx, &step.params, &step.before, &step.output).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Busy);
    assert!(error.message.contains("postgres from 127.0.0.1 (switchback)"), "{error}");
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'mistersmith'"), ["1"]);
    let forced = Step::<Database> { params: Params { force: true, ..step.params }, ..step };
    forced.back(&cx).await.unwrap();
}
