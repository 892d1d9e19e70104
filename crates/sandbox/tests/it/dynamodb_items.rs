use std::collections::HashMap;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, KeysAndAttributes, Put, PutRequest, ReturnValue, Select, TransactWriteItem, WriteRequest,
};
use switchback_sandbox::Sandbox;

use crate::support::{Aws, aws, aws_from, refused};

type Item = HashMap<String, AttributeValue>;

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: usize) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn key(id: &str, at: usize) -> Item {
    HashMap::from([("Id".to_owned(), text(id)), ("At".to_owned(), number(at))])
}

fn item(id: &str, at: usize) -> Item {
    let mut item = key(id, at);
    item.insert("Type".to_owned(), text(if at.is_multiple_of(2) { "even" } else { "odd" }));
    item
}

fn put_request(item: Item) -> WriteRequest {
    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
}

impl Aws {
    async fn put(&self, id: &str, at: usize) {
        self.dynamodb.put_item().table_name("Cache").set_item(Some(item(id, at))).send().await.unwrap();
    }

    async fn count(&self) -> usize {
        let pages = self.dynamodb.scan().table_name("Cache").consistent_read(true).into_paginator().items().send();
        pages.try_collect().await.unwrap().len()
    }
}

#[tokio::test]
async fn items_are_put_read_changed_and_deleted() {
    let aws = aws();
    aws.items_table("Cache").await;
    aws.put("a", 1).await;
    let get = || aws.dynamodb.get_item().table_name("Cache").set_key(Some(key("a", 1)));
    assert_eq!(get().send().await.unwrap().item, Some(item("a", 1)));
    let some = get().projection_expression("#t").expression_attribute_names("#t", "Type").send().await.unwrap();
    assert_eq!(some.item.unwrap(), HashMap::from([("Type".to_owned(), text("odd"))]));
    let new = aws.dynamodb.put_item().table_name("Cache").set_item(Some(item("a", 1)));
    let new = new.condition_expression("attribute_not_exists(Id)");
    refused(new.send().await, "ConditionalCheckFailedException");
    let update = aws.dynamodb.update_item().table_name("Cache").set_key(Some(key("a", 1)));
    let update = update.update_expression("SET #t = :v").expression_attribute_names("#t", "Type");
    update.expression_attribute_values(":v", text("other")).send().await.unwrap();
    let delete = || aws.dynamodb.delete_item().table_name("Cache").set_key(Some(key("a", 1)));
    let only = |value| {
        let delete = delete().condition_expression("#t = :v").expression_attribute_names("#t", "Type");
        delete.expression_attribute_values(":v", text(value)).return_values(ReturnValue::AllOld).send()
    };
    refused(only("odd").await, "ConditionalCheckFailedException");
    assert_eq!(only("other").await.unwrap().attributes.unwrap()["Type"], text("other"));
    delete().send().await.unwrap();
    assert_eq!(get().send().await.unwrap().item, None);
}

#[tokio::test]
async fn bad_items_are_refused() {
    let aws = aws();
    aws.items_table("Cache").await;
    let put = |item: Item| aws.dynamodb.put_item().table_name("Cache").set_item(Some(item)).send();
    refused(put(HashMap::from([("Id".to_owned(), text("a"))])).await, "ValidationException");
    let mut wrong = item("a", 1);
    wrong.insert("At".to_owned(), text("1"));
    refused(put(wrong).await, "ValidationException");
    refused(put(item("", 1)).await, "ValidationException");
    let mut large = item("a", 1);
    large.insert("Body".to_owned(), text(&"x".repeat(400 * 1024)));
    let message = refused(put(large.clone()).await, "ValidationException");
    assert_eq!(message, "Item size has exceeded the maximum allowed size");
    large.insert("Body".to_owned(), text(&"x".repeat(399 * 1024)));
    put(large).await.unwrap();
    assert_eq!(aws.count().await, 1);
}

#[tokio::test]
async fn a_batch_is_whole_or_nothing_and_gives_back_what_it_did_not_write() {
    let aws = aws_from(Sandbox::builder().batch(10));
    aws.items_table("Cache").await;
    let write = |range: std::ops::Range<usize>| {
        let requests: Vec<WriteRequest> = range.map(|at| put_request(item("a", at))).collect();
        aws.dynamodb.batch_write_item().request_items("Cache", requests).send()
    };
    refused(write(0..26).await, "ValidationException");
    let twice = vec![put_request(item("a", 1)), put_request(item("a", 1))];
    let twice = aws.dynamodb.batch_write_item().request_items("Cache", twice).send();
    refused(twice.await, "ValidationException");
    assert_eq!(aws.count().await, 0);
    let mut left = write(0..25).await.unwrap().unprocessed_items.unwrap();
    assert_eq!((left["Cache"].len(), aws.count().await), (15, 10));
    while !left.is_empty() {
        let again = aws.dynamodb.batch_write_item().set_request_items(Some(left)).send().await.unwrap();
        left = again.unprocessed_items.unwrap_or_default();
    }
    assert_eq!(aws.count().await, 25);
    let keys = KeysAndAttributes::builder().keys(key("a", 3)).keys(key("a", 99)).build().unwrap();
    let found = aws.dynamodb.batch_get_item().request_items("Cache", keys).send().await.unwrap();
    assert_eq!(found.responses.unwrap()["Cache"], [item("a", 3)]);
}

#[tokio::test]
async fn queries_are_in_order_and_in_pages() {
    let aws = aws();
    aws.items_table("Cache").await;
    for at in [10, 2, 1, 33, 4] {
        aws.put("a", at).await;
    }
    aws.put("b", 7).await;
    let query = || {
        let query = aws.dynamodb.query().table_name("Cache").key_condition_expression("Id = :id AND At > :at");
        query.expression_attribute_values(":id", text("a")).expression_attribute_values(":at", number(1))
    };
    let ats = |items: &[Item]| items.iter().map(|it| it["At"].as_n().unwrap().clone()).collect::<Vec<_>>();
    let all: Vec<Item> = query().limit(2).into_paginator().items().send().try_collect().await.unwrap();
    assert_eq!(ats(&all), ["2", "4", "10", "33"]);
    let back: Vec<Item> =
        query().limit(3).scan_index_forward(false).into_paginator().items().send().try_collect().await.unwrap();
    assert_eq!(ats(&back), ["33", "10", "4", "2"]);
    let count = query().select(Select::Count).send().await.unwrap();
    assert_eq!((count.count(), count.items().len()), (4, 0));
    let even = aws.dynamodb.query().table_name("Cache").index_name("ByType").key_condition_expression("#t = :t");
    let even = even.expression_attribute_names("#t", "Type").expression_attribute_values(":t", text("even"));
    let even: Vec<Item> = even.limit(1).into_paginator().items().send().try_collect().await.unwrap();
    assert_eq!(ats(&even), ["2", "4", "10"]);
}

#[tokio::test]
async fn snapshots_keep_items() {
    let aws = aws();
    aws.items_table("Cache").await;
    for start in (0..1000).step_by(25) {
        let requests: Vec<WriteRequest> = (start..start + 25).map(|at| put_request(item("a", at))).collect();
        aws.dynamodb.batch_write_item().request_items("Cache", requests).send().await.unwrap();
    }
    let (kept, before) = (aws.sandbox.snapshot().await, aws.sandbox.world().await);
    assert_eq!(before.of_kind("dynamodb-table").next().unwrap().attributes["items"]["count"], 1000);
    aws.dynamodb.delete_item().table_name("Cache").set_key(Some(key("a", 77))).send().await.unwrap();
    assert_ne!(aws.sandbox.world().await, before);
    aws.sandbox.restore(&kept).await;
    assert_eq!(aws.sandbox.world().await, before);
    assert_eq!(aws.count().await, 1000);
}

#[tokio::test]
async fn a_transaction_is_whole_or_nothing_and_says_which_item_stood_in_the_way() {
    let aws = aws();
    aws.items_table("Cache").await;
    aws.put("a", 2).await;
    let put = |at| {
        let put = Put::builder().table_name("Cache").set_item(Some(item("a", at)));
        let put = put.condition_expression("attribute_not_exists(Id) OR #t = :odd");
        let put = put.expression_attribute_names("#t", "Type").expression_attribute_values(":odd", text("odd"));
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    };
    let delete = |at| {
        let delete = Delete::builder().table_name("Cache").set_key(Some(key("a", at)));
        TransactWriteItem::builder().delete(delete.build().unwrap()).build()
    };
    let write = |all: Vec<TransactWriteItem>| aws.dynamodb.transact_write_items().set_transact_items(Some(all)).send();
    let canceled = write(vec![put(1), put(2), put(3)]).await.unwrap_err().into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = canceled else { panic!("{canceled:?}") };
    let reasons: Vec<_> = canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(reasons, ["None", "ConditionalCheckFailed", "None"]);
    assert_eq!(aws.count().await, 1, "nothing of it happened");
    write(vec![put(1), delete(2), put(3)]).await.unwrap();
    write(vec![put(1), put(3)]).await.unwrap();
    assert_eq!(aws.count().await, 2);
    refused(write(vec![put(5), delete(5)]).await, "ValidationException");
    refused(write((1..=101).map(put).collect()).await, "ValidationException");
    assert_eq!(aws.count().await, 2);
}
