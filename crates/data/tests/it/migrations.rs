//! `postgres.migrations` on a real server.

use std::collections::BTreeMap;

use switchback_data::postgres::migrations::{Migrations, Params};
use switchback_engine::{Expect, Operation as _, Undo};
use switchback_model::{ErrorClass, OpError};

use crate::support::{Run, Server, Step, differences};

/// As the source document has it, `$$` and all.
const FILES: &[(&str, &str)] = &[
    (
        "001_core.up.sql",
        "CREATE SCHEMA IF NOT EXISTS core;
         CREATE TABLE core.agents (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name VARCHAR(255) NOT NULL,
            type VARCHAR(50) NOT NULL, status VARCHAR(50) DEFAULT 'inactive', metadata JSONB DEFAULT '{}',
            created_at TIMESTAMPTZ DEFAULT NOW(), updated_at TIMESTAMPTZ DEFAULT NOW());
         CREATE TABLE core.discoveries (id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
            agent_id UUID REFERENCES core.agents(id), content TEXT NOT NULL,
            confidence DECIMAL(3,2) CHECK (confidence >= 0 AND confidence <= 1));",
    ),
    ("001_core.down.sql", "DROP TABLE core.discoveries; DROP TABLE core.agents; DROP SCHEMA core;"),
    (
        "002_triggers.up.sql",
        "CREATE INDEX idx_agents_type ON core.agents(type);
         CREATE OR REPLACE FUNCTION update_updated_at() RETURNS TRIGGER AS $$
         BEGIN NEW.updated_at = NOW(); RETURN NEW; END; $$ LANGUAGE plpgsql;
         CREATE TRIGGER update_agents_updated_at BEFORE UPDATE ON core.agents FOR EACH ROW
            EXECUTE FUNCTION update_updated_at();
         ALTER TABLE core.agents ALTER COLUMN status SET NOT NULL;",
    ),
    (
        "002_triggers.down.sql",
        "ALTER TABLE core.agents ALTER COLUMN status DROP NOT NULL; DROP TRIGGER update_agents_updated_at ON core.agents;
         DROP FUNCTION update_updated_at(); DROP INDEX core.idx_agents_type;",
    ),
];

fn files(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn params(server: &Server, of: &[(&str, &str)]) -> Params {
    Params { connection: server.on("postgres"), migrations: files(of), expect: vec![] }
}

/// Everything in the database, but for what is always there.
fn everything(server: &Server) -> Vec<String> {
    server.sql(
        "postgres",
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_|^information_schema$') \
         UNION SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' UNION SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
}

#[tokio::test]
async fn there_and_back_nothing_is_left_and_what_is_not_ours_stays() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("schema");
    let start = everything(&server);
    let expect = ["core.agents", "core.agents.status", "core.idx_agents_type", "core.agents.update_agents_updated_at"];
    let params = Params { expect: expect.map(str::to_owned).to_vec(), ..params(&server, FILES) };
    let step = Step::forward(&cx, Migrations, params).await.unwrap();
    let made: Vec<usize> = step.output.migrations.iter().map(|m| m.changes.len()).collect();
    assert_eq!(made, [20, 4], "{:?}", step.output);
    assert_eq!(step.output.digest.len(), 64);
    assert!(
        server
            .sql("postgres", "SELECT prosrc FROM pg_proc WHERE proname = 'update_updated_at'")
            .concat()
            .contains("NEW.updated_at")
    );
    // Once more, after a crash: nothing happens twice, and nothing is forgotten.
    let again = Migrations.settle(&cx, &step.params, &step.before, &step.output).await.unwrap();
    assert_eq!(again, step.output);
    // What others add is no drift; what they change or drop is named.
    server.sql("postgres", "CREATE TABLE core.notes (id int)");
    assert!(step.verify(&cx, Expect::Created).await.unwrap().holds());
    server
        .sql("postgres", "ALTER TABLE core.agents DROP COLUMN metadata; ALTER TABLE core.agents ALTER name TYPE text");
    let verdict = step.verify(&cx, Expect::Created).await.unwrap();
    assert_eq!(differences(&verdict), ["column core.agents.metadata", "column core.agents.name"]);
    // What others hang on ours stands in the way, and nothing is half undone.
    let error = Migrations.rollback(&cx, &step.params, &step.before, &step.output).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some("2BP01")));
    assert!(error.message.contains("migration 1 `core`") && error.message.contains("core.notes"), "{error}");
    server
        .sql("postgres", "INSERT INTO core.agents (name, type, status) VALUES ('n', 't', 's'); DROP TABLE core.notes");
    step.back(&cx).await.unwrap();
    assert_eq!(everything(&server), start);
    let rows = folder.path().join("exports/00000000-0000-0000-0000-000000000001/schema-1/core.agents.jsonl");
    assert!(std::fs::read_to_string(rows).unwrap().contains("\"name\":\"n\""));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_those_before_it_are_undone() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("schema");
    let bad = [
        FILES,
        &[
            ("003_bad.up.sql", "CREATE TABLE x (id int); CREATE TABLE core.agents (id int);"),
            ("003_bad.down.sql", "DROP TABLE x;"),
        ],
    ]
    .concat();
    let start = everything(&server);
    let params = params(&server, &bad);
    let before = Migrations.capture(&cx, &params).await.unwrap();
    let output = Migrations.create(&cx, &params, &before).await.unwrap();
    assert_eq!(run.calls.take(), ["postgresql:DescribeMigrations"], "to say what will be done calls nothing");
    let error = Migrations.settle(&cx, &params, &before, &output).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some("42P07")));
    assert!(error.message.contains("migration 3 `bad`") && error.hint.unwrap().contains("did not make it"));
    assert_eq!(server.sql("postgres", "SELECT to_regclass('x') IS NULL"), ["t"]);
    assert_eq!(Migrations.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
    assert_eq!(everything(&server), start);
}

#[tokio::test]
async fn what_others_applied_is_left_alone_in_both_directions() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let (first, second) = (Run::new(1, folder.path()), Run::new(2, folder.path()));
    let theirs = Step::forward(&first.cx("schema"), Migrations, params(&server, &FILES[..2])).await.unwrap();
    let ours = Step::forward(&second.cx("schema"), Migrations, params(&server, FILES)).await.unwrap();
    assert_eq!(ours.before.applied, [1]);
    assert_eq!(ours.output.migrations.len(), 1);
    ours.back(&second.cx("schema")).await.unwrap();
    assert_eq!(server.sql("postgres", "SELECT version FROM switchback.migrations"), ["1"]);
    // A text that is not the one that was applied.
    let changed = params(&server, &[("001_core.up.sql", "CREATE SCHEMA core;"), FILES[1]]);
    let error = Migrations.capture(&second.cx("schema"), &changed).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Foreign);
    assert!(error.message.contains("was changed after it was applied"), "{error}");
    theirs.back(&first.cx("schema")).await.unwrap();
    assert_eq!(server.sql("postgres", "SELECT to_regnamespace('switchback') IS NULL"), ["t"]);
}

#[tokio::test]
async fn a_ledger_schema_of_somebody_else_stays() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    server.sql("postgres", "CREATE SCHEMA switchback");
    let step = Step::forward(&run.cx("schema"), Migrations, params(&server, FILES)).await.unwrap();
    step.back(&run.cx("schema")).await.unwrap();
    assert_eq!(server.sql("postgres", "SELECT to_regnamespace('switchback') IS NULL"), ["f"]);
}

#[tokio::test]
async fn a_database_that_is_not_there_yet_is_for_an_earlier_step_to_make_and_one_that_is_gone_holds_nothing() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("schema");
    let elsewhere = Params { connection: server.on("nowhere"), ..params(&server, FILES) };
    let error = Migrations.capture(&cx, &elsewhere).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some(OpError::NOT_THERE)));
    server.sql("postgres", "CREATE DATABASE nowhere");
    let step = Step::forward(&cx, Migrations, elsewhere).await.unwrap();
    server.sql("postgres", "DROP DATABASE nowhere");
    assert_eq!(Migrations.rollback(&cx, &step.params, &step.before, &step.output).await.unwrap(), Undo::Nothing);
    assert!(step.verify(&cx, Expect::RolledBack).await.unwrap().holds());
}
