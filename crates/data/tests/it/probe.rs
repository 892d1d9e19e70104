//! `probe.postgres` on a real server.

use switchback_data::postgres::probe::{Params, Probe};
use switchback_engine::{Expect, Operation as _};

use crate::support::{Run, Server, Step, differences};

#[tokio::test]
async fn it_waits_until_it_is_so_and_says_when_it_is_not() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let run = Run::new(1, folder.path());
    let cx = run.cx("probe");
    server.sql("postgres", "CREATE TABLE t AS SELECT 1 AS id, 'a' AS name");
    let params = |query: &str, expect: &str, within: Option<&str>| Params {
        connection: server.on("postgres"),
        query: query.into(),
        expect: expect.into(),
        within: within.map(str::to_owned),
    };
    let rows = "rows.exists(r, r.name == 'a')";
    Step::forward(&cx, Probe, params("SELECT * FROM t", rows, None)).await.unwrap();
    let waiting = params("SELECT count(*) FROM t", "value == 2", Some("1m"));
    let (waited, _) = tokio::join!(Step::forward(&cx, Probe, waiting), async {
        let sql = |sql: &'static str| server.sql("postgres", sql);
        tokio::task::yield_now().await;
        sql("INSERT INTO t VALUES (2, 'b')")
    });
    waited.unwrap();
    let never = params("SELECT count(*) FROM t", "value == 3", None);
    let before = Probe.capture(&cx, &never).await.unwrap();
    let output = Probe.create(&cx, &never, &before).await.unwrap();
    Probe.settle(&cx, &never, &before, &output).await.unwrap();
    let verdict = Probe.verify(&cx, &never, &before, Some(&output), Expect::Created).await.unwrap();
    assert_eq!(differences(&verdict), ["value == 3"]);
    assert_eq!(verdict.observed["value"], 2);
    let write = params("DELETE FROM t RETURNING id", "value == 1", None);
    assert!(Step::forward(&cx, Probe, write).await.is_err());
}
