//! Loads `state.jsonl` of a folder into `core.coordination_state` of a server, or takes it out again, as the step
//! `postgres.import` does: a process of its own, which the tests end in the middle.
//!
//! `load PORT FOLDER [back]`

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod support;

use std::path::Path;

use switchback_data::postgres::import::{Format, Import, Params};
use switchback_engine::Operation as _;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, folder, back @ ..] = arguments.as_slice() else { panic!("load PORT FOLDER [back]") };
    let port = port.parse().expect("a port");
    let params = Params {
        connection: support::on(port, "postgres"),
        table: "core.coordination_state".to_owned(),
        path: "state.jsonl".to_owned(),
        sha256: None,
        format: Format::JsonLines,
        columns: ["swarm_id", "state", "version"].map(|name| (name.to_owned(), name.to_owned())).into(),
        batch_rows: 5_000,
    };
    let cx = support::Run::new(1, Path::new(folder)).cx("import");
    let before = Import.capture(&cx, &params).await.expect("capture");
    let output = Import.create(&cx, &params, &before).await.expect("create");
    if back.is_empty() {
        Import.settle(&cx, &params, &before, &output).await.expect("settle");
    } else {
        Import.rollback(&cx, &params, &before, &output).await.expect("rollback");
    }
}
