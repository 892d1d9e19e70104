//! A stream of a real NATS server, copied into a table: by the built binary, and by the operation itself.
//!
//! The tables of the operation's own tests are those of moto, which knows conditions and transactions of DynamoDB by
//! itself, and is slow: they are small.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use switchback_aws::{AwsConfig, AwsContext};
use switchback_data::nats::ask::NatsAsk;
use switchback_data::nats::client::Nats;
use switchback_data::nats::jetstream_to_dynamodb::{JetstreamToDynamodb, Output, Params};
use switchback_engine::cx::Contexts;
use switchback_engine::remote::Answers;
use switchback_engine::secrets::Secrets;
use switchback_engine::{Cx, Expect, Found, Operation as _, Undo};
use switchback_model::ErrorClass;
use switchback_testing::nats::NatsServer;
use switchback_testing::step::{Seen, step};
use tokio::time::Instant;

use crate::colleague;
use crate::moto::Moto;
use crate::support::{ACCOUNT, Operator, block_on, pause, runbook};

const STREAM: &str = "DISCOVERIES";
const TABLE: &str = "Discoveries";

/// A table whose keys are those that a stream needs.
async fn make_table(client: &Client) {
    let attribute = |name, of| AttributeDefinition::builder().attribute_name(name).attribute_type(of).build().unwrap();
    let key = |name, role| KeySchemaElement::builder().attribute_name(name).key_type(role).build().unwrap();
    client
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(attribute("StreamName", ScalarAttributeType::S))
        .attribute_definitions(attribute("SequenceNumber", ScalarAttributeType::N))
        .key_schema(key("StreamName", KeyType::Hash))
        .key_schema(key("SequenceNumber", KeyType::Range))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .unwrap();
}

/// An item of somebody else's, who knows nothing of runs.
async fn put_foreign(client: &Client, stream: &str, sequence: u64) {
    let put = client.put_item().table_name(TABLE).item("StreamName", AttributeValue::S(stream.into()));
    let put = put.item("SequenceNumber", AttributeValue::N(sequence.to_string()));
    put.item("Data", AttributeValue::S("somebody else's".into())).send().await.unwrap();
}

/// Every item of the table, by its keys.
async fn everything(client: &Client) -> BTreeMap<(String, u64), Value> {
    let mut pages = client.scan().table_name(TABLE).into_paginator().items().send();
    let mut all = BTreeMap::new();
    while let Some(item) = pages.next().await {
        let item = item.unwrap();
        let key = (item["StreamName"].as_s().unwrap().clone(), item["SequenceNumber"].as_n().unwrap().parse().unwrap());
        let twice = all.insert(key, json!(format!("{:?}", item.get("Data"))));
        assert!(twice.is_none());
    }
    all
}

async fn count(client: &Client) -> usize {
    let reply = client.scan().table_name(TABLE).select(aws_sdk_dynamodb::types::Select::Count).send().await;
    usize::try_from(reply.unwrap().count()).unwrap()
}

/// A stream with so many messages of JSON.
async fn make_stream(url: &str, messages: u64) -> jetstream::Context {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config =
        jetstream::stream::Config { name: STREAM.into(), subjects: vec!["discovery.>".into()], ..Default::default() };
    context.create_stream(config).await.unwrap();
    publish(&context, 1..=messages).await;
    context
}

async fn publish(context: &jetstream::Context, numbers: impl IntoIterator<Item = u64>) {
    let sent = futures_util::stream::iter(numbers).map(|n| async move {
        let payload = json!({"n": n, "name": format!("thing {n}"), "score": 1.5, "tags": ["a", "b"]}).to_string();
        context.publish("discovery.found", payload.into()).await.unwrap().await.unwrap();
    });
    sent.buffered(256).collect::<Vec<_>>().await;
}

fn params(url: &str) -> Params {
    serde_json::from_value(json!({"server": {"url": url}, "stream": STREAM, "table_name": TABLE})).unwrap()
}

/// A step that copies.
async fn copying(moto: &Moto) -> (Cx, Arc<Seen>) {
    let aws = AwsContext::new(AwsConfig::endpoint("us-east-1", &moto.endpoint, "test", "test")).await;
    let contexts = Contexts::new().with(aws).with::<Answers<NatsAsk>>(Arc::new(Nats::new()));
    step("copy", contexts, Secrets::none())
}

/// Everything up to the copy itself.
async fn begin(cx: &Cx, params: &Params) -> (switchback_data::nats::jetstream_to_dynamodb::Before, Output) {
    let before = JetstreamToDynamodb.capture(cx, params).await.unwrap();
    let output = JetstreamToDynamodb.create(cx, params, &before).await.unwrap();
    (before, output)
}

#[test]
fn a_copy_is_verified_and_taken_back_and_what_others_have_there_stays() {
    let Some(moto) = Moto::start() else { return };
    let server = NatsServer::start().unwrap();
    block_on(async {
        let client = colleague::dynamodb(&moto.endpoint);
        make_table(&client).await;
        let stream = make_stream(&server.url(), 130).await;
        // A gap, in which somebody else has an item; and items of another stream.
        let found = stream.get_stream(STREAM).await.unwrap();
        for sequence in 100..110 {
            found.delete_message(sequence).await.unwrap();
        }
        put_foreign(&client, STREAM, 105).await;
        put_foreign(&client, "OTHER", 1).await;
        let foreign = everything(&client).await;

        let (op, params) = (JetstreamToDynamodb, params(&server.url()));
        let (cx, seen) = copying(&moto).await;
        let (before, output) = begin(&cx, &params).await;
        assert_eq!((before.messages, before.present.as_slice()), (120, [105].as_slice()));
        assert_eq!((output.first_sequence, output.last_sequence, output.count), (1, 130, 0));
        assert_eq!(op.find(&cx, &params, &before).await.unwrap(), Found::Absent);
        // What comes now is not copied.
        publish(&stream, [1000, 1001]).await;
        let output = op.settle(&cx, &params, &before, &output).await.unwrap();
        assert_eq!((output.count, output.skipped, output.stored_raw), (120, 0, 0));
        assert!(
            seen.progress().contains(&"copied 120 of 120 messages of DISCOVERIES".to_owned()),
            "{:?}",
            seen.progress()
        );
        assert_eq!(count(&client).await, 122);
        let holds = async || op.verify(&cx, &params, &before, Some(&output), Expect::Created).await.unwrap();
        assert!(holds().await.holds(), "{:?}", holds().await);
        let calls = seen.calls("TransactWriteItems");
        let again = op.settle(&cx, &params, &before, &output).await.unwrap();
        assert_eq!((&again, seen.calls("TransactWriteItems")), (&output, calls), "nothing is written twice");

        // What the stream drops later is still in the table, and one by one as it was.
        found.delete_message(1).await.unwrap();
        assert!(holds().await.holds(), "{:?}", holds().await);
        assert!(seen.calls("BatchGetItem") > 0);
        // Somebody changes one of ours.
        let changed = client.update_item().table_name(TABLE).key("StreamName", AttributeValue::S(STREAM.into()));
        let changed = changed.key("SequenceNumber", AttributeValue::N("5".into()));
        let changed = changed.update_expression("SET #d = :d").expression_attribute_names("#d", "Data");
        changed.expression_attribute_values(":d", AttributeValue::S("x".into())).send().await.unwrap();
        let verdict = holds().await;
        assert!(!verdict.holds());
        let differ = verdict.compared.iter().find(|c| c.what.contains("lacks")).unwrap();
        assert_eq!(differ.got, 1, "{verdict:?}");

        assert_eq!(op.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
        assert_eq!(op.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Nothing);
        assert!(op.verify(&cx, &params, &before, Some(&output), Expect::RolledBack).await.unwrap().holds());
        assert_eq!(everything(&client).await, foreign, "exactly what others had there");
    });
}

#[test]
fn an_item_of_somebody_else_is_met_before_the_copy_or_by_it_and_stays() {
    let Some(moto) = Moto::start() else { return };
    let server = NatsServer::start().unwrap();
    block_on(async {
        let client = colleague::dynamodb(&moto.endpoint);
        make_table(&client).await;
        make_stream(&server.url(), 120).await;
        let (op, params) = (JetstreamToDynamodb, params(&server.url()));
        let (cx, _) = copying(&moto).await;
        let (before, output) = begin(&cx, &params).await;
        put_foreign(&client, STREAM, 117).await;
        let refused = op.capture(&cx, &params).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Foreign);
        let refused = op.settle(&cx, &params, &before, &output).await.unwrap_err();
        assert_eq!(refused.class, ErrorClass::Foreign);
        assert!(refused.message.contains("SequenceNumber = 117"), "{refused}");
        assert_eq!(count(&client).await, 101, "the transactions before it, and the item itself");
        assert_eq!(op.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
        let left = everything(&client).await;
        assert_eq!(left.keys().map(|key| key.1).collect::<Vec<_>>(), [117]);
        assert!(left.values().all(|data| data.as_str().unwrap().contains("somebody else's")));
    });
}

#[test]
fn messages_that_do_not_fit_are_left_out_and_listed() {
    let Some(moto) = Moto::start() else { return };
    let server = NatsServer::start().unwrap();
    block_on(async {
        let client = colleague::dynamodb(&moto.endpoint);
        make_table(&client).await;
        let stream = make_stream(&server.url(), 3).await;
        let large = format!("\"{}\"", "x".repeat(500_000));
        for payload in ["{", &large, "{\"n\": 1.50}"] {
            stream.publish("discovery.odd", payload.to_owned().into()).await.unwrap().await.unwrap();
        }
        let op = JetstreamToDynamodb;
        let (cx, _) = copying(&moto).await;
        let strict = params(&server.url());
        let (before, output) = begin(&cx, &strict).await;
        let failed = op.settle(&cx, &strict, &before, &output).await.unwrap_err();
        assert!(failed.message.starts_with("message 4 of the stream"), "{failed}");
        let lenient: Params = serde_json::from_value(json!({
            "server": {"url": server.url()}, "stream": STREAM, "table_name": TABLE, "invalid": "store_raw",
            "too_large": "skip",
        }))
        .unwrap();
        let done = op.settle(&cx, &lenient, &before, &output).await.unwrap();
        assert_eq!((done.count, done.skipped, done.stored_raw), (5, 1, 1));
        assert_eq!(
            done.exceptions.iter().map(|e| (e.sequence, e.skipped)).collect::<Vec<_>>(),
            [(4, false), (5, true)]
        );
        assert!(op.verify(&cx, &lenient, &before, Some(&done), Expect::Created).await.unwrap().holds());
        // A resume counts them once more, and copies nothing.
        assert_eq!(op.settle(&cx, &lenient, &before, &output).await.unwrap(), done);
    });
}

/// How many items the sandbox's table has.
fn stored(operator: &Operator) -> u64 {
    let world = operator.world();
    let all = world["resources"].as_array().unwrap().iter();
    let table = all.into_iter().find(|it| it["kind"] == "dynamodb-table").unwrap();
    table["attributes"]["items"]["count"].as_u64().unwrap_or(0)
}

#[test]
fn killed_three_times_in_the_middle_it_goes_on_and_goes_back_to_what_others_had() {
    const MESSAGES: u64 = 10_000;
    let server = NatsServer::start().unwrap();
    let operator = Operator::with_sandbox();
    let client = colleague::dynamodb(&operator.endpoint());
    let foreign = block_on(async {
        make_table(&client).await;
        make_stream(&server.url(), MESSAGES).await;
        while client.describe_table().table_name(TABLE).send().await.unwrap().table.unwrap().table_status
            != Some(TableStatus::Active)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        put_foreign(&client, STREAM, 1_000_000).await;
        put_foreign(&client, "OTHER", 5).await;
        everything(&client).await
    });
    let text = format!(
        "runbook: stream\nversion: 1\ntarget:\n  aws: {{ region: us-east-1, account: \"{ACCOUNT}\" }}\nphases:\n  - name: data\n    \
         steps:\n      - id: copy\n        op: nats.jetstream_to_dynamodb\n        with: {{ server: {{ url: \"{}\" }}, stream: \
         {STREAM}, table_name: {TABLE} }}\n",
        server.url()
    );
    let path = runbook(operator.state.path(), &text);
    let apply = ["apply", &path.to_string_lossy(), "--auto-approve", "--sandbox"];
    for (kill, args) in [apply.as_slice(), &["resume"], &["resume"]].into_iter().enumerate() {
        // In the middle: so many are stored, and more are to come.
        let enough = MESSAGES * (kill as u64 + 1) / 5;
        let mut child = operator.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while stored(&operator) < enough {
            assert!(start.elapsed() < Duration::from_secs(120), "it does not get that far");
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            pause(5);
        }
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "it was killed");
        assert!(stored(&operator) < MESSAGES, "it was killed in the middle");
    }
    operator.run(&["resume"]).exits(0);
    operator.run(&["verify"]).exits(0);
    let there = block_on(everything(&client));
    assert_eq!(there.len() as u64, MESSAGES + foreign.len() as u64);
    assert!((1..=MESSAGES).all(|n| there.contains_key(&(STREAM.to_owned(), n))));
    let journal = rusqlite::Connection::open(operator.journal()).unwrap();
    let mut records = journal.prepare("SELECT payload FROM records").unwrap();
    let payloads = records.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let writes: u64 = payloads.map(|payload| payload.unwrap().matches("\"TransactWriteItems\"").count() as u64).sum();
    // A transaction is a hundred messages: started over, it would be many more.
    assert!((MESSAGES / 200..MESSAGES / 100 + 8).contains(&writes), "{writes} transactions");
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(block_on(everything(&client)), foreign, "exactly what others had there");
}

#[test]
fn a_table_that_is_taken_back_leaves_what_others_wrote_in_a_file() {
    let operator = Operator::with_sandbox();
    let client = colleague::dynamodb(&operator.endpoint());
    let text = format!(
        r#"runbook: table
version: 1
target: {{ aws: {{ region: us-east-1, account: "{ACCOUNT}" }} }}
phases:
  - name: data
    steps:
      - id: table
        op: aws.dynamodb.table
        with:
          table_name: {TABLE}
          billing_mode: PAY_PER_REQUEST
          attribute_definitions:
            - {{ attribute_name: StreamName, attribute_type: S }}
            - {{ attribute_name: SequenceNumber, attribute_type: N }}
          key_schema:
            - {{ attribute_name: StreamName, key_type: HASH }}
            - {{ attribute_name: SequenceNumber, key_type: RANGE }}
"#
    );
    let path = runbook(operator.state.path(), &text).to_string_lossy().into_owned();
    let start = operator.nameless();
    let exports = operator.state.path().join("exports");
    let apply = ["apply", &path, "--auto-approve", "--sandbox"];
    operator
        .run(&["plan", &path, "--offline"])
        .exits(0)
        .says("items that others wrote to it; they are exported to exports/");
    operator.run(&apply).exits(0);
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert!(!exports.exists(), "an empty table leaves no file");
    operator.run(&apply).exits(0);
    block_on(async {
        for sequence in [7, 8] {
            put_foreign(&client, "OTHER", sequence).await;
        }
    });
    operator.run(&["unwind", "--all", "--auto-approve"]).exits(0);
    assert_eq!(operator.nameless(), start, "the table is gone");
    let run = std::fs::read_dir(exports).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(run.join(format!("table-1/{TABLE}.jsonl"))).unwrap();
    let mut items: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    items.sort_by_key(ToString::to_string);
    let item = |sequence: u64| {
        json!({"Item": {"StreamName": {"S": "OTHER"}, "SequenceNumber": {"N": sequence.to_string()},
                        "Data": {"S": "somebody else's"}}})
    };
    assert_eq!(items, [item(7), item(8)]);
}
