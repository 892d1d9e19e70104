//! The model answers as a real server does: the same calls go to both, in sequences that chance makes.

#[path = "../../../../data/tests/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the operations")]
mod support;

use std::collections::BTreeSet;

use switchback_data::postgres::ask::{Marks, PgAnswer, PgAsk, RowSource};
use switchback_data::postgres::connection::Connection;
use switchback_model::OpResult;

use self::support::{Run, Server};
use super::Servers;
use crate::models::Model as _;

/// How many calls a sequence has, and how many sequences there are.
const CALLS: usize = 120;
const SEEDS: u64 = 4;

/// Scripts and their ways back: some need others, some cannot be twice, some fail.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "CREATE SCHEMA core; CREATE TABLE core.t (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), a text, n int)",
        "DROP TABLE core.t; DROP SCHEMA core",
    ),
    ("CREATE TABLE IF NOT EXISTS u (a text, n int, PRIMARY KEY (a)); CREATE INDEX by_n ON u (n DESC)", "DROP TABLE u"),
    (
        "ALTER TABLE core.t ADD COLUMN more jsonb DEFAULT '{\"a\": \"(,\"}'; CREATE INDEX t_a ON core.t (a)",
        "DROP INDEX core.t_a; ALTER TABLE core.t DROP COLUMN more",
    ),
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger AS $$ BEGIN RETURN NEW; END; $$ LANGUAGE plpgsql;
         CREATE TRIGGER touched BEFORE UPDATE ON u FOR EACH ROW EXECUTE FUNCTION touch()",
        "DROP TRIGGER touched ON u; DROP FUNCTION touch()",
    ),
    ("CREATE TABLE u (x int)", "DROP TABLE u"),
    ("CREATE TABLE nowhere.t (id int)", "DROP TABLE nowhere.t"),
    ("CREATE VIEW v AS SELECT 1 AS one", "DROP TABLE v"),
    ("CREATE TABLE keyless (a text, n int)", "DROP TABLE IF EXISTS keyless, other"),
];

/// Chance, the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

fn ask(chance: &mut Chance, to: &dyn Fn(&str) -> Connection) -> PgAsk {
    let number = |n: usize| u32::try_from(n).unwrap();
    let marks = Marks { run: format!("r{}", chance.below(2)), step: "s".into(), generation: 1 };
    let name = (*chance.of(&["app", "app", "other"])).to_owned();
    let on = if chance.below(20) == 0 { to("other") } else { to("app") };
    let server = to("postgres");
    let table = (*chance.of(&["core.t", "core.t", "u", "U", "keyless", "core.nothing"])).to_owned();
    let mark = (1 << 30) + i32::try_from(chance.below(2)).unwrap();
    let comment = format!("comment {}", chance.below(2));
    let batch = number(chance.below(3));
    match chance.below(22) {
        0 => PgAsk::DescribeDatabase { on: server, name },
        1 => PgAsk::CreateDatabase {
            on: server,
            marks,
            name,
            owner: None,
            encoding: None,
            template: None,
            connection_limit: mark,
        },
        2 => PgAsk::MarkDatabase { on: server, name, mark, comment, connection_limit: 7 },
        3 if chance.below(6) == 0 => PgAsk::DropDatabase { on: server, name, mark, comment, force: true },
        3 | 4 => PgAsk::ListTables { on },
        5 => PgAsk::GetRows { on, from: RowSource::Table(table), cursor: None, limit: number(1 + chance.below(8)) },
        6 => PgAsk::GetRows {
            on,
            from: RowSource::Query(format!("SELECT count(*) FROM {table}")),
            cursor: None,
            limit: 9,
        },
        7 => PgAsk::DescribeTable { on, table },
        8 => PgAsk::DescribeMigrations { on },
        9..=12 => {
            let n = chance.below(SCRIPTS.len());
            let (up, down) = SCRIPTS[n];
            let up = if chance.below(12) == 0 { format!("{up};") } else { up.to_owned() };
            PgAsk::ApplyMigration { on, marks, version: n as u64, name: "m".into(), up, down: down.into() }
        }
        13 | 14 => PgAsk::RevertMigration { on, marks, version: chance.below(SCRIPTS.len()) as u64 },
        15 => PgAsk::ListObjects { on },
        16 | 17 => {
            let rows =
                (0..chance.below(6)).map(|n| format!("{{\"a\":\"{}\",\"n\":{n}}}", n + chance.below(3))).collect();
            let columns =
                if chance.below(10) == 0 { vec!["zzz".to_owned()] } else { vec!["a".to_owned(), "n".to_owned()] };
            let checksum = format!("c{}", chance.below(2));
            PgAsk::ImportBatch { on, marks, table, columns, batch, rows, checksum }
        }
        18 => PgAsk::ListBatches { on, marks },
        19 | 20 => PgAsk::GetImported { on, marks, batch, rows: chance.below(2) == 0 },
        _ => PgAsk::DeleteBatch { on, marks, batch },
    }
}

/// What both can know: not what is made up anew, and of objects that there are these.
fn plain(answer: OpResult<PgAnswer>) -> String {
    const KINDS: [&str; 7] = ["schema", "table", "column", "index", "trigger", "function", "view"];
    let known = |kind: &str, name: &str| {
        (KINDS.contains(&kind) && !name.ends_with("_pkey") && name != "public" && !name.starts_with("public.v"))
            .then(|| format!("{kind} {}", name.split('(').next().unwrap_or_default()))
    };
    match answer {
        Err(e) => format!("{:?} {:?}", e.class, e.code),
        Ok(PgAnswer::Objects(all)) => {
            let names: BTreeSet<_> = all.iter().filter_map(|o| known(&o.kind, &o.name)).collect();
            format!("{names:?}")
        }
        Ok(PgAnswer::Applied(all)) => {
            let there = |c: &switchback_data::postgres::ask::Change| {
                Some((known(&c.kind, &c.name)?, c.was.is_some(), c.is.is_some()))
            };
            let names: BTreeSet<_> = all.iter().filter_map(there).collect();
            format!("{names:?}")
        }
        Ok(PgAnswer::Migrations(all)) => {
            let of = |m: &switchback_data::postgres::ask::Migration| {
                format!("{} {} {} {} {:?}", m.version, m.name, m.up_sha256, m.down_sha256, m.marks)
            };
            format!("{:?}", all.iter().map(of).collect::<Vec<_>>())
        }
        Ok(PgAnswer::Batches(all)) => {
            format!("{:?}", all.iter().map(|b| (b.batch, b.rows, &b.checksum)).collect::<Vec<_>>())
        }
        Ok(PgAnswer::Imported { entered, rows, count, .. }) => format!("{entered} {} {count}", rows.len()),
        Ok(PgAnswer::Rows { rows, cursor }) => match rows.as_slice() {
            [one] if one.contains("count") => one.clone(),
            rows => format!("{} {}", rows.len(), cursor.is_some()),
        },
        Ok(other) => format!("{other:?}"),
    }
}

#[tokio::test]
async fn the_model_answers_as_a_server_does() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let run = Run::new(1, folder.path());
        let cx = run.cx("agreement");
        let to = |database: &str| server.on(database);
        let (mut model, mut chance) = (Servers::default(), Chance(seed));
        for n in 0..CALLS {
            let ask = ask(&mut chance, &to);
            let what = format!("seed {seed}, call {n}: {ask:?}");
            let real = plain(support::ask(&cx, ask.clone()).await);
            seen.insert(format!("{} {}", switchback_engine::remote::Ask::action(&ask), real.starts_with("Permanent")));
            assert_eq!(plain(model.answer(ask)), real, "{what}");
        }
    }
    assert!(seen.len() >= 22, "calls that succeed and calls that are refused: {seen:?}");
}
