//! `data.export` of a real server, and of commands.

use std::fs;

use switchback_data::export::{Command, Export, From, Params, Rows};
use switchback_engine::{Expect, Operation as _};
use switchback_model::ErrorClass;

use crate::support::{Run, Server, Step, differences};

#[tokio::test]
async fn a_table_and_a_query_become_lines() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql(
        "postgres",
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, at timestamptz); \
        INSERT INTO t SELECT g, g * 1.10, '2026-01-01Z' FROM generate_series(12001, 1, -1) g",
    );
    let run = Run::new(1, folder.path());
    let cx = run.cx("export");
    let rows = |table: Option<&str>, query: Option<&str>| Params {
        from: From::Postgres(Box::new(Rows {
            connection: server.on("postgres"),
            table: table.map(str::to_owned),
            query: query.map(str::to_owned),
        })),
    };
    let step = Step::forward(&cx, Export, rows(Some("t"), None)).await.unwrap();
    assert_eq!(step.output.rows, 12_001);
    let path = folder.path().join(&step.output.path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("{\"id\":1,\"n\":1.10,\"at\":\"2026-01-01T00:00:00+00:00\"}\n{\"id\":2,"),
        "{}",
        &text[..200]
    );
    // It is what it was, and it stays.
    fs::write(&path, "x").unwrap();
    let verdict = step.verify(&cx, Expect::Created).await.unwrap();
    assert_eq!(differences(&verdict), ["rows", "sha256"]);
    Export.rollback(&cx, &step.params, &step.before, &step.output).await.unwrap();
    assert!(path.exists());
    let query = rows(None, Some("SELECT id FROM t WHERE id < 3 ORDER BY id -- two of them\n;"));
    let step = Step::forward(&run.cx("query"), Export, query).await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join(step.output.path)).unwrap(), "{\"id\":1}\n{\"id\":2}\n");
    // A query changes nothing.
    let write = rows(None, Some("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone"));
    assert!(Step::forward(&run.cx("write"), Export, write).await.is_err());
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM t"), ["12001"]);
}

#[tokio::test]
async fn what_a_command_prints_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(1, folder.path());
    let print = |script: &str| Params {
        from: From::Command(Command { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), timeout_seconds: 60 }),
    };
    let step = Step::forward(&run.cx("export"), Export, print("echo '[{\"a\": 1}, {\"a\": 2}]'")).await.unwrap();
    assert_eq!(step.output.rows, 2);
    assert_eq!(fs::read_to_string(folder.path().join(&step.output.path)).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
    let failed = Step::forward(&run.cx("export"), Export, print("echo '{}'; exit 1")).await.err().unwrap();
    assert_eq!(failed.class, ErrorClass::Permanent);
    // What failed has not replaced what was there.
    assert_eq!(fs::read_to_string(folder.path().join(&step.output.path)).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
}
