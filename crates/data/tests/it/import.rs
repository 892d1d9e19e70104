//! `postgres.import` on a real server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use switchback_data::postgres::ask::{PgAnswer, PgAsk};
use switchback_data::postgres::import::{Format, Import, Params};
use switchback_engine::{Expect, Operation as _, Undo};
use switchback_model::{ErrorClass, OpError};

use crate::support::{Run, Server, Step, ask, differences};

const TABLE: &str = "CREATE SCHEMA core; CREATE TABLE core.coordination_state (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), \
    swarm_id VARCHAR(255) NOT NULL, state JSONB NOT NULL, version INTEGER DEFAULT 1, created_at TIMESTAMPTZ DEFAULT NOW())";

fn params(server: &Server) -> Params {
    let columns = ["swarm_id", "state", "version"].map(|name| (name.to_owned(), name.to_owned()));
    Params {
        connection: server.on("postgres"),
        table: "core.coordination_state".to_owned(),
        path: "state.jsonl".to_owned(),
        sha256: None,
        format: Format::JsonLines,
        columns: BTreeMap::from(columns),
        batch_rows: 100,
    }
}

fn write(folder: &Path, rows: u32) {
    let mut text = String::new();
    for n in 0..rows {
        let _ =
            writeln!(text, r#"{{"swarm_id": "s{n}", "state": {{"b": {n}, "a": "ä \"x\" \\n €"}}, "version": {n}}}"#);
    }
    fs::write(folder.join("state.jsonl"), text).unwrap();
}

#[tokio::test]
async fn exactly_our_rows_come_and_go() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    server.sql("postgres", "INSERT INTO core.coordination_state (swarm_id, state) VALUES ('theirs', '{}')");
    write(folder.path(), 250);
    let run = Run::new(1, folder.path());
    let cx = run.cx("import");
    let step = Step::forward(&cx, Import, params(&server)).await.unwrap();
    assert_eq!((step.output.rows, step.output.batches, step.before.rows), (250, 3, 1));
    assert_eq!(
        server.sql("postgres", "SELECT state->>'a', version FROM core.coordination_state WHERE swarm_id = 's7'"),
        ["ä \"x\" \\n €|7"]
    );
    // Once more, after a crash: nothing is doubled.
    assert_eq!(Import.settle(&cx, &step.params, &step.before, &step.output).await.unwrap(), step.output);
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM core.coordination_state"), ["251"]);
    // Somebody changes a row, deletes one, and adds one.
    server.sql(
        "postgres",
        "UPDATE core.coordination_state SET version = -1 WHERE swarm_id = 's105'; \
        DELETE FROM core.coordination_state WHERE swarm_id = 's201'; \
        INSERT INTO core.coordination_state (swarm_id, state) VALUES ('later', '{}')",
    );
    let verdict = step.verify(&cx, Expect::Created).await.unwrap();
    assert_eq!(differences(&verdict), ["rows in the table", "batches that differ from the file"]);
    assert_eq!(verdict.compared[3].got, serde_json::json!([1, 2]));
    run.calls.take();
    step.back(&cx).await.unwrap();
    assert!(run.calls.take().contains(&"file:WriteFile".to_owned()), "the journal says that rows were exported");
    assert_eq!(server.sql("postgres", "SELECT swarm_id FROM core.coordination_state ORDER BY 1"), ["later", "theirs"]);
    assert_eq!(server.sql("postgres", "SELECT to_regnamespace('switchback') IS NULL"), ["t"]);
    let exports = folder.path().join("exports/00000000-0000-0000-0000-000000000001/import-1");
    let rows: String =
        (0..3).map(|n| fs::read_to_string(exports.join(format!("rows-{n:05}.jsonl"))).unwrap()).collect();
    assert_eq!(rows.lines().count(), 249);
    assert!(rows.contains("\"version\":-1"), "as they were when they were deleted");
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_and_those_before_it_can_be_undone() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    server.sql("postgres", "ALTER TABLE core.coordination_state ADD CHECK (version <> 150)");
    write(folder.path(), 250);
    let run = Run::new(1, folder.path());
    let (cx, params) = (run.cx("import"), params(&server));
    let before = Import.capture(&cx, &params).await.unwrap();
    let output = Import.create(&cx, &params, &before).await.unwrap();
    let error = Import.settle(&cx, &params, &before, &output).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some("23514")));
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM core.coordination_state"), ["100"]);
    // The file is another one meanwhile.
    fs::write(folder.path().join("state.jsonl"), "{}\n").unwrap();
    let error = Import.settle(&cx, &params, &before, &output).await.unwrap_err();
    assert!(error.message.contains("another content"), "{error}");
    assert_eq!(Import.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM core.coordination_state"), ["0"]);
}

#[tokio::test]
async fn keys_of_several_columns_and_names_that_want_quotes() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql(
        "postgres",
        r#"CREATE TABLE "A b" ("x""y" int, "Day" date, note text, PRIMARY KEY ("Day", "x""y"));
        INSERT INTO "A b" VALUES (1, '2026-01-01', 'theirs')"#,
    );
    fs::write(folder.path().join("rows.csv"), "Day,n,note\n2026-01-01,2,\"a, b\"\n01/02/2026,1,\n").unwrap();
    let columns = [("x\"y", "n"), ("Day", "Day"), ("note", "note")];
    let params = Params {
        table: "\"A b\"".to_owned(),
        path: "rows.csv".to_owned(),
        format: Format::Csv,
        columns: columns.map(|(column, name)| (column.to_owned(), name.to_owned())).into(),
        ..params(&server)
    };
    let run = Run::new(1, folder.path());
    let step = Step::forward(&run.cx("import"), Import, params.clone()).await.unwrap();
    assert_eq!(step.output.rows, 2);
    // The same rows again, by another run: they are there already.
    let error = Step::forward(&Run::new(2, folder.path()).cx("import"), Import, params).await.err().unwrap();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some("23505")));
    step.back(&run.cx("import")).await.unwrap();
    assert_eq!(server.sql("postgres", "SELECT note FROM \"A b\""), ["theirs"]);
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_before_anything_is_done() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    server.sql("postgres", "CREATE TABLE keyless (swarm_id text, state text, version int)");
    let run = Run::new(1, folder.path());
    let cx = run.cx("import");
    let params = params(&server);
    let missing = Import.capture(&cx, &params).await.unwrap_err();
    assert!(missing.message.contains("no file `state.jsonl`"), "{missing}");
    write(folder.path(), 1);
    let said = |params: Params| {
        let cx = cx.clone();
        async move { Import.capture(&cx, &params).await.unwrap_err() }
    };
    let no_table = said(Params { table: "core.nothing".into(), ..params.clone() }).await;
    assert_eq!(no_table.code.as_deref(), Some(OpError::NOT_THERE));
    let no_key = said(Params { table: "keyless".into(), ..params.clone() }).await;
    assert!(no_key.message.contains("no primary key"), "{no_key}");
    let no_column = said(Params { columns: [("swarm".into(), "swarm_id".into())].into(), ..params.clone() }).await;
    assert!(no_column.hint.unwrap().contains("swarm_id"));
    let other = said(Params { sha256: Some("0".repeat(64)), ..params }).await;
    assert!(other.message.contains("not the one that was exported"), "{other}");
}

/// A call whose reply was lost lands while the batch is being looked at: it is entered once.
#[tokio::test]
async fn two_processes_with_the_same_batch_load_it_once() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    let run = Run::new(1, folder.path());
    let cx = run.cx("import");
    let marks =
        switchback_data::postgres::ask::Marks { run: cx.run().to_string(), step: "import".into(), generation: 1 };
    let load = || PgAsk::ImportBatch {
        on: server.on("postgres"),
        marks: marks.clone(),
        table: "core.coordination_state".into(),
        columns: vec!["swarm_id".into(), "state".into()],
        batch: 0,
        rows: (0..500).map(|n| format!("{{\"swarm_id\":\"{n}\",\"state\":{{}}}}")).collect(),
        checksum: "x".into(),
    };
    let (one, two, three) = tokio::join!(ask(&cx, load()), ask(&cx, load()), ask(&cx, load()));
    let entered = [one, two, three].into_iter().filter(|r| matches!(r, Ok(PgAnswer::Batches(_)))).count();
    assert!(entered >= 1);
    assert!(matches!(ask(&cx, load()).await, Ok(PgAnswer::Batches(_))));
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM core.coordination_state"), ["500"]);
}

/// A hundred thousand rows take seconds, both ways.
#[tokio::test]
async fn a_hundred_thousand_rows() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    write(folder.path(), 100_000);
    let run = Run::new(1, folder.path());
    let cx = run.cx("import");
    let step = Step::forward(&cx, Import, Params { batch_rows: 5_000, ..params(&server) }).await.unwrap();
    assert_eq!((step.output.rows, step.output.batches), (100_000, 20));
    step.back(&cx).await.unwrap();
    assert_eq!(server.sql("postgres", "SELECT count(*) FROM core.coordination_state"), ["0"]);
}

/// A process that is killed three times on the way there and once on the way back: it goes on where it was, and every row
/// comes once.
#[test]
fn a_process_that_is_killed_goes_on_where_it_was() {
    const ROWS: u32 = 100_000;
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.sql("postgres", TABLE);
    server.sql("postgres", "INSERT INTO core.coordination_state (swarm_id, state) VALUES ('theirs', '{}')");
    write(folder.path(), ROWS);
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/load");
    let load = |back: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.arg(server.port.to_string()).arg(folder.path()).args(back).spawn().unwrap()
    };
    let number = |sql: &str| server.sql("postgres", sql)[0].parse::<u32>().unwrap();
    let batches = || match number("SELECT (to_regclass('switchback.imports') IS NOT NULL)::int") {
        0 => 0,
        _ => number("SELECT count(*) FROM switchback.imports"),
    };
    let rows = || number("SELECT count(*) FROM core.coordination_state WHERE swarm_id <> 'theirs'");
    let mut seen = 0;
    for at in [2, 6, 10] {
        let mut process = load(&[]);
        while batches() < at {
            assert!(process.try_wait().unwrap().is_none(), "it ended by itself");
        }
        process.kill().unwrap();
        process.wait().unwrap();
        // What was on its way is there as a whole or not at all, and what was there stays.
        server.sql("postgres", "SELECT pg_advisory_lock(8320234785195188833)");
        let now = rows();
        assert!(now % 5_000 == 0 && now >= seen.max(at * 5_000) && now < ROWS, "{now} rows after {at} batches");
        seen = now;
    }
    assert!(load(&[]).wait().unwrap().success());
    assert_eq!(rows(), ROWS);
    assert_eq!(number("SELECT count(DISTINCT swarm_id) FROM core.coordination_state"), ROWS + 1);
    let mut process = load(&["back"]);
    while batches() > 10 {
        assert!(process.try_wait().unwrap().is_none(), "it ended by itself");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(load(&["back"]).wait().unwrap().success());
    assert_eq!((rows(), number("SELECT count(*) FROM core.coordination_state")), (0, 1));
    let exports = folder.path().join("exports/00000000-0000-0000-0000-000000000001/import-1");
    let exported = fs::read_dir(exports).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    assert_eq!(exported.map(|text| text.lines().count()).sum::<usize>(), 100_000, "and every row is in a file");
}
