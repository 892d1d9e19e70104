//! The table that a stream is copied into, as one step sees it: its own items, and those of others, which it never
//! touches.
//!
//! Every write is a transaction whose condition is the mark of this step, so whether an item is ours is decided where it
//! is stored and not by what was read before. A transaction is as large as the table lets through: each time that it
//! wants less at once it becomes half as large, and grows again slowly.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, KeyType, KeysAndAttributes, Put, ScalarAttributeType, TableDescription, TableStatus,
    TransactWriteItem,
};
use switchback_aws::errors::{Call, is_not_found, op_error};
use switchback_aws::{AwsContext, patiently};
use switchback_engine::Cx;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::item::{Item, MARK, Tally, sequence};
use super::jetstream_to_dynamodb::Params;

/// DynamoDB's limits on one call.
const MOST_WRITES: usize = 100;
const MOST_BYTES: usize = 4_000_000;
pub(super) const MOST_KEYS: usize = 100;
/// The first pause when the table wants less at once; the pauses grow to sixteen times it.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) const DESCRIBE: &str = "dynamodb:DescribeTable";
pub(super) const QUERY: &str = "dynamodb:Query";
pub(super) const GET: &str = "dynamodb:BatchGetItem";
pub(super) const WRITE: &str = "dynamodb:TransactWriteItems";

/// The table, and which of its items are this step's.
pub(super) struct Table<'a> {
    cx: &'a Cx,
    params: &'a Params,
    client: Client,
    mark: String,
    /// How many items a transaction may have for now.
    at_once: AtomicUsize,
}

/// Which items of the stream's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that carry this step's mark.
    Ours,
    /// All others.
    Foreign,
}

/// What became of a transaction that was answered.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// Nothing of it happened: the table wants less at once, or somebody writes there at the same time.
    Later,
    /// Nothing of it happened: this one is not ours.
    Refused(usize),
}

impl<'a> Table<'a> {
    pub(super) fn new(cx: &'a Cx, params: &'a Params) -> OpResult<Self> {
        let client = cx.get::<AwsContext>()?.dynamodb(cx);
        let mark = format!("{}/{}/{}", cx.run(), cx.step().as_tag_value(), cx.generation());
        Ok(Self { cx, params, client, mark, at_once: AtomicUsize::new(MOST_WRITES) })
    }

    /// What this step's items say of their owner.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// That the table is there and has the keys that a stream needs.
    pub(super) async fn check(&self) -> OpResult<()> {
        let name = &self.params.table_name;
        let look = || async {
            let found = self.client.describe_table().table_name(name).send().await;
            match found.map_err(|e| op_error(Call::new(DESCRIBE, name), e)) {
                Ok(found) => Ok(found.table),
                Err(error) if is_not_found(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        // An earlier step may have made it a moment ago.
        let waiting_for = format!("waiting until DynamoDB table `{name}` can be seen");
        let Some(table) = patiently(self.cx, &waiting_for, look, Option::is_some).await? else {
            return Err(OpError::permanent(format!("there is no table `{name}`"))
                .with_code(OpError::NOT_THERE)
                .with_hint("check the name, the region and the account"));
        };
        if !matches!(table.table_status, Some(TableStatus::Active | TableStatus::Updating)) {
            return Err(OpError::new(ErrorClass::Busy, format!("the table `{name}` is not active")));
        }
        let keys = [
            (KeyType::Hash, &self.params.partition_key, ScalarAttributeType::S),
            (KeyType::Range, &self.params.sort_key, ScalarAttributeType::N),
        ];
        for (role, attribute, of) in keys {
            if !has_key(&table, &role, attribute, &of) {
                let message = format!(
                    "the table `{name}` has no key {} ({}, {})",
                    attribute,
                    if role == KeyType::Hash { "partition key" } else { "sort key" },
                    if of == ScalarAttributeType::S { "a string" } else { "a number" },
                );
                return Err(
                    OpError::permanent(message).with_hint("say by `partition_key` and `sort_key` what its keys are")
                );
            }
        }
        Ok(())
    }

    /// Stores the items, each with its size, in their order; those that this step stored before stay as they are.
    ///
    /// # Errors
    /// Class `Foreign` when under one of the keys there is an item that is not this step's; those before it are stored.
    pub(super) async fn put(&self, items: Vec<(Item, usize)>) -> OpResult<()> {
        let mut rest = items.as_slice();
        while !rest.is_empty() {
            let (n, refused) =
                self.transact(rest, |(_, size)| *size, |(item, _)| self.put_of(item), "storing messages in").await?;
            if let Some((item, _)) = refused.and_then(|i| rest.get(i)) {
                return Err(self.foreign(sequence(self.params, item)));
            }
            rest = rest.get(n..).unwrap_or_default();
        }
        Ok(())
    }

    /// Deletes every item of this step whose sequence number is in the range; how many.
    pub(super) async fn delete(&self, range: (u64, u64)) -> OpResult<u64> {
        let mut deleted = 0;
        'again: loop {
            let mut start = None;
            loop {
                let (items, next) = self.page(range, Whose::Ours, true, false, start).await?;
                let keys: Vec<u64> = items.iter().filter_map(|item| sequence(self.params, item)).collect();
                let mut rest = keys.as_slice();
                while !rest.is_empty() {
                    let (n, refused) =
                        self.transact(rest, |_| 1, |sequence| self.delete_of(*sequence), "deleting items from").await?;
                    if refused.is_some() {
                        // It was ours a moment ago: somebody made it theirs or deleted it. See what is left.
                        continue 'again;
                    }
                    deleted += n as u64;
                    self.cx.progress(&format!("deleted {deleted} items from {}", self.params.table_name));
                    rest = rest.get(n..).unwrap_or_default();
                }
                match next {
                    Some(next) => start = Some(next),
                    None => return Ok(deleted),
                }
            }
        }
    }

    /// The last sequence number in the range that this step stored.
    pub(super) async fn last_stored(&self, range: (u64, u64)) -> OpResult<Option<u64>> {
        let mut start = None;
        loop {
            let (items, next) = self.page(range, Whose::Ours, true, true, start).await?;
            match (items.first(), next) {
                (Some(last), _) => return Ok(sequence(self.params, last)),
                (None, Some(next)) => start = Some(next),
                (None, None) => return Ok(None),
            }
        }
    }

    /// Counts what this step stored in the range.
    pub(super) async fn tally(&self, range: (u64, u64)) -> OpResult<Tally> {
        let mut tally = Tally::default();
        let mut start = None;
        loop {
            let (items, next) = self.page(range, Whose::Ours, false, false, start).await?;
            items.iter().for_each(|item| tally.add(self.params, item));
            match next {
                Some(next) => start = Some(next),
                None => return Ok(tally),
            }
        }
    }

    /// The sequence numbers in the range under which others have items, up to so many.
    pub(super) async fn foreign_keys(&self, range: (u64, u64), most: usize) -> OpResult<Vec<u64>> {
        let mut keys = Vec::new();
        let mut start = None;
        loop {
            let (items, next) = self.page(range, Whose::Foreign, true, false, start).await?;
            keys.extend(items.iter().filter_map(|item| sequence(self.params, item)));
            keys.truncate(most);
            match next {
                Some(next) if keys.len() < most => start = Some(next),
                _ => return Ok(keys),
            }
        }
    }

    /// The items under these sequence numbers, whoever they belong to; no more than a hundred numbers.
    pub(super) async fn get(&self, sequences: &[u64]) -> OpResult<HashMap<u64, Item>> {
        let name = &self.params.table_name;
        let keys = sequences.iter().map(|sequence| self.key(*sequence)).collect();
        let asked = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let mut open = Some(asked.map_err(|e| unbuilt(&e))?);
        let mut found = HashMap::new();
        let mut pause = PAUSE;
        // What a reply has no room for, or the table no capacity, comes back as unprocessed.
        while let Some(asked) = open.take() {
            let before = asked.keys().len();
            let reply = self.client.batch_get_item().request_items(name, asked).send().await;
            let reply = reply.map_err(|e| op_error(Call::new(GET, name), e))?;
            for item in reply.responses.into_iter().flatten().flat_map(|(_, items)| items) {
                found.extend(sequence(self.params, &item).map(|sequence| (sequence, item)));
            }
            open = reply.unprocessed_keys.and_then(|mut keys| keys.remove(name)).filter(|k| !k.keys().is_empty());
            if open.as_ref().is_some_and(|left| left.keys().len() >= before) {
                pause = self.wait(&format!("waiting for read capacity of {name}"), pause).await?;
            }
        }
        Ok(found)
    }

    /// There is an item of somebody else's under this key.
    pub(super) fn foreign(&self, sequence: Option<u64>) -> OpError {
        let Params { table_name, partition_key, sort_key, stream, .. } = self.params;
        let sequence = sequence.map_or_else(|| "?".to_owned(), |s| s.to_string());
        OpError::foreign(format!(
            "the table `{table_name}` has an item of somebody else's under {partition_key} = {stream}, {sort_key} = {sequence}"
        ))
        .with_hint("see whose it is; copy into another table, or delete it when nobody needs it")
    }

    fn key(&self, sequence: u64) -> Item {
        Item::from([
            (self.params.partition_key.clone(), AttributeValue::S(self.params.stream.clone())),
            (self.params.sort_key.clone(), AttributeValue::N(sequence.to_string())),
        ])
    }

    fn put_of(&self, item: &Item) -> OpResult<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.params.table_name)
            .set_item(Some(item.clone()))
            .item(MARK, AttributeValue::S(self.mark.clone()))
            .condition_expression("attribute_not_exists(#pk) OR #mark = :mine")
            .expression_attribute_names("#pk", &self.params.partition_key)
            .expression_attribute_names("#mark", MARK)
            .expression_attribute_values(":mine", AttributeValue::S(self.mark.clone()));
        Ok(TransactWriteItem::builder().put(put.build().map_err(|e| unbuilt(&e))?).build())
    }

    fn delete_of(&self, sequence: u64) -> OpResult<TransactWriteItem> {
        let delete = Delete::builder()
            .table_name(&self.params.table_name)
            .set_key(Some(self.key(sequence)))
            .condition_expression("#mark = :mine")
            .expression_attribute_names("#mark", MARK)
            .expression_attribute_values(":mine", AttributeValue::S(self.mark.clone()));
        Ok(TransactWriteItem::builder().delete(delete.build().map_err(|e| unbuilt(&e))?).build())
    }

    /// Writes the first of these in one transaction; how many, and which one was refused instead.
    async fn transact<T: Sync>(
        &self,
        rest: &[T],
        size: impl Fn(&T) -> usize + Sync,
        write: impl Fn(&T) -> OpResult<TransactWriteItem> + Sync,
        doing: &str,
    ) -> OpResult<(usize, Option<usize>)> {
        let sizes: Vec<usize> = rest.iter().take(MOST_WRITES).map(&size).collect();
        let waiting_for = format!("waiting for write capacity while {doing} {}", self.params.table_name);
        let attempt = || async {
            let n = fitting(&sizes, self.at_once.load(Ordering::Relaxed));
            let writes = rest.iter().take(n).map(&write).collect::<OpResult<Vec<_>>>()?;
            Ok(match self.send(writes).await? {
                Outcome::Later => {
                    self.at_once.store((n / 2).max(1), Ordering::Relaxed);
                    None
                }
                Outcome::Done => {
                    let most = self.at_once.load(Ordering::Relaxed);
                    self.at_once.store((most + 1 + most / 8).min(MOST_WRITES), Ordering::Relaxed);
                    Some((n, None))
                }
                Outcome::Refused(which) => Some((n, Some(which))),
            })
        };
        self.cx.wait_for(&waiting_for, PAUSE, attempt).await
    }

    async fn send(&self, writes: Vec<TransactWriteItem>) -> OpResult<Outcome> {
        let name = &self.params.table_name;
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(writes)).send().await else {
            return Ok(Outcome::Done);
        };
        let reasons: Vec<String> = match &error {
            SdkError::ServiceError(service) => match service.err() {
                TransactWriteItemsError::TransactionCanceledException(canceled) => canceled
                    .cancellation_reasons()
                    .iter()
                    .map(|reason| reason.code().unwrap_or_default().to_owned())
                    .collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        if let Some(outcome) = outcome(&reasons) {
            return Ok(outcome);
        }
        let error = op_error(Call::new(WRITE, name), error);
        // DynamoDB said so itself; that it could not be reached is the executor's to judge.
        let throttled = error.class == ErrorClass::Transient && error.code.is_some();
        if throttled { Ok(Outcome::Later) } else { Err(error) }
    }

    /// A page of the stream's partition: up to a megabyte of items, and where the next one begins.
    async fn page(
        &self,
        (first, last): (u64, u64),
        whose: Whose,
        keys_only: bool,
        backwards: bool,
        start: Option<Item>,
    ) -> OpResult<(Vec<Item>, Option<Item>)> {
        let Params { table_name, partition_key, sort_key, stream, .. } = self.params;
        if first > last {
            return Ok((Vec::new(), None));
        }
        let filter = match whose {
            Whose::Ours => "#mark = :mine",
            Whose::Foreign => "attribute_not_exists(#mark) OR #mark <> :mine",
        };
        let mut query = self
            .client
            .query()
            .table_name(table_name)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .filter_expression(filter)
            .expression_attribute_names("#pk", partition_key)
            .expression_attribute_names("#sk", sort_key)
            .expression_attribute_names("#mark", MARK)
            .expression_attribute_values(":pk", AttributeValue::S(stream.clone()))
            .expression_attribute_values(":first", AttributeValue::N(first.to_string()))
            .expression_attribute_values(":last", AttributeValue::N(last.to_string()))
            .expression_attribute_values(":mine", AttributeValue::S(self.mark.clone()))
            .scan_index_forward(!backwards)
            .consistent_read(true)
            .set_exclusive_start_key(start);
        if keys_only {
            query = query.projection_expression("#pk, #sk");
        }
        let about = format!("{table_name}, {partition_key} = {stream}");
        let reply = query.send().await.map_err(|e| op_error(Call::new(QUERY, &about), e))?;
        let next = reply.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((reply.items.unwrap_or_default(), next))
    }

    /// Waits that long, and says how long to wait the next time.
    async fn wait(&self, waiting_for: &str, pause: Duration) -> OpResult<Duration> {
        let mut over = false;
        self.cx
            .wait_for(waiting_for, pause, || {
                let done = std::mem::replace(&mut over, true);
                std::future::ready(Ok(done.then_some(())))
            })
            .await?;
        Ok((pause * 2).min(PAUSE * 16))
    }
}

fn unbuilt(error: &dyn std::fmt::Display) -> OpError {
    OpError::permanent(format!("a call to DynamoDB cannot be made: {error}"))
}

fn has_key(table: &TableDescription, role: &KeyType, attribute: &str, of: &ScalarAttributeType) -> bool {
    table.key_schema().iter().any(|key| key.key_type() == role && key.attribute_name() == attribute)
        && table.attribute_definitions().iter().any(|a| a.attribute_name() == attribute && a.attribute_type() == of)
}

/// How many of the first go into one transaction.
fn fitting(sizes: &[usize], most: usize) -> usize {
    let mut bytes = 0;
    let fit = sizes.iter().take(most).take_while(|size| {
        bytes += **size;
        bytes <= MOST_BYTES
    });
    fit.count().max(1)
}

/// What the reasons of a canceled transaction come to; none: it cannot be done at all, or there are none.
fn outcome(reasons: &[String]) -> Option<Outcome> {
    if let Some(refused) = reasons.iter().position(|reason| reason == "ConditionalCheckFailed") {
        return Some(Outcome::Refused(refused));
    }
    let passing = ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];
    let mut real = reasons.iter().filter(|reason| !["", "None"].contains(&reason.as_str())).peekable();
    (real.peek().is_some() && real.all(|reason| passing.contains(&reason.as_str()))).then_some(Outcome::Later)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use switchback_engine::Operation as _;
    use switchback_engine::secrets::Secrets;
    use switchback_testing::step::step;

    use super::super::jetstream_to_dynamodb::JetstreamToDynamodb;
    use super::*;
    use crate::testing::answering;

    fn params() -> Params {
        JetstreamToDynamodb::example().unwrap()
    }

    fn key(sequence: u64) -> Value {
        json!({"StreamName": {"S": "DISCOVERIES"}, "SequenceNumber": {"N": sequence.to_string()}})
    }

    fn items(n: u64) -> Vec<(Item, usize)> {
        let item = |sequence: u64| {
            Item::from([
                ("StreamName".to_owned(), AttributeValue::S("DISCOVERIES".into())),
                ("SequenceNumber".to_owned(), AttributeValue::N(sequence.to_string())),
            ])
        };
        (1..=n).map(|sequence| (item(sequence), 10)).collect()
    }

    /// The sequence numbers of the keys that a call has at this place.
    fn numbers(list: &Value, at: &str) -> Vec<u64> {
        let number = |one: &Value| one.pointer(at)?.as_str()?.parse().ok();
        list.as_array().unwrap().iter().map(|one| number(one).unwrap()).collect()
    }

    #[test]
    fn a_transaction_takes_what_fits() {
        assert_eq!(fitting(&[1; 250], MOST_WRITES), 100);
        assert_eq!(fitting(&[1; 250], 7), 7);
        assert_eq!(fitting(&[1_500_000; 5], MOST_WRITES), 2);
        assert_eq!(fitting(&[9_000_000; 2], MOST_WRITES), 1, "one at least: what is too large was left out before");
    }

    #[test]
    fn a_canceled_transaction_says_why() {
        let of = |reasons: &[&str]| outcome(&reasons.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["None", "ConditionalCheckFailed"]), Some(Outcome::Refused(1)));
        assert_eq!(of(&["ThrottlingError", "ConditionalCheckFailed"]), Some(Outcome::Refused(1)));
        assert_eq!(of(&["None", "ThrottlingError", "TransactionConflict"]), Some(Outcome::Later));
        assert_eq!(of(&["ProvisionedThroughputExceeded"]), Some(Outcome::Later));
        assert_eq!(of(&["ValidationError", "ThrottlingError"]), None);
        assert_eq!(of(&["None"]), None);
        assert_eq!(of(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_unprocessed_is_asked_for_again() {
        // Three keys at a time, and now and then none at all.
        let mut asked = 0;
        let contexts = answering(move |action, body| {
            assert_eq!(action, "BatchGetItem");
            asked += 1;
            let table = &body["RequestItems"]["Discoveries"];
            assert_eq!(table["ConsistentRead"], true);
            let keys = table["Keys"].as_array().unwrap();
            let (now, later) = keys.split_at(if asked % 3 == 0 { 0 } else { keys.len().min(3) });
            let found: Vec<&Value> = now.iter().filter(|k| **k != key(4)).collect();
            let mut reply = json!({"Responses": {"Discoveries": found}});
            if !later.is_empty() {
                reply["UnprocessedKeys"] = json!({"Discoveries": {"Keys": later, "ConsistentRead": true}});
            }
            (200, reply)
        })
        .await;
        let (cx, seen) = step("copy", contexts, Secrets::none());
        let params = params();
        let table = Table::new(&cx, &params).unwrap();
        let found = table.get(&(1..=10).collect::<Vec<_>>()).await.unwrap();
        let mut found: Vec<u64> = found.into_keys().collect();
        found.sort_unstable();
        assert_eq!(found, [1, 2, 3, 5, 6, 7, 8, 9, 10], "there is no item 4");
        assert_eq!(seen.calls("BatchGetItem"), 5);
        assert!(seen.progress().iter().any(|p| p.contains("read capacity")), "{:?}", seen.progress());
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_wants_less_at_once_gets_less() {
        // It takes up to ten items at once, and of those every third time none.
        let stored = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut asked) = (stored.clone(), 0);
        let contexts = answering(move |action, body| {
            assert_eq!(action, "TransactWriteItems");
            asked += 1;
            let puts = numbers(&body["TransactItems"], "/Put/Item/SequenceNumber/N");
            if asked % 3 == 0 {
                return (400, json!({"__type": "ThrottlingException", "message": "slow down"}));
            }
            if puts.len() > 10 {
                let reasons: Vec<Value> = puts.iter().map(|_| json!({"Code": "ThrottlingError"})).collect();
                return (400, json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons}));
            }
            kept.lock().unwrap().extend(puts);
            (200, json!({}))
        })
        .await;
        let (cx, seen) = step("copy", contexts, Secrets::none());
        let params = params();
        let table = Table::new(&cx, &params).unwrap();
        table.put(items(250)).await.unwrap();
        assert_eq!(*stored.lock().unwrap(), (1..=250).collect::<Vec<u64>>(), "in order, each once");
        assert!(seen.progress().iter().any(|p| p.contains("write capacity")), "{:?}", seen.progress());
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_of_somebody_else_stops_the_copy_with_its_key() {
        let contexts = answering(|_, body| {
            let reason = |n: &u64| json!({"Code": if *n == 7 { "ConditionalCheckFailed" } else { "None" }});
            let reasons: Vec<Value> =
                numbers(&body["TransactItems"], "/Put/Item/SequenceNumber/N").iter().map(reason).collect();
            (400, json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons}))
        })
        .await;
        let (cx, _) = step("copy", contexts, Secrets::none());
        let params = params();
        let error = Table::new(&cx, &params).unwrap().put(items(9)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Foreign);
        assert!(error.message.contains("StreamName = DISCOVERIES, SequenceNumber = 7"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_somebody_elses_meanwhile_is_left_out_of_the_deletion() {
        // Item 2 is made somebody else's between the look and the deletion.
        let there = Arc::new(Mutex::new(vec![1_u64, 2, 3]));
        let (left, mut theirs) = (there.clone(), false);
        let contexts = answering(move |action, body| {
            let mut left = left.lock().unwrap();
            if action == "Query" {
                assert_eq!(body["FilterExpression"], "#mark = :mine");
                let ours = left.iter().filter(|n| !theirs || **n != 2);
                return (200, json!({"Items": ours.map(|n| key(*n)).collect::<Vec<_>>()}));
            }
            let keys = numbers(&body["TransactItems"], "/Delete/Key/SequenceNumber/N");
            if !theirs {
                theirs = true;
                let reasons =
                    [json!({"Code": "None"}), json!({"Code": "ConditionalCheckFailed"}), json!({"Code": "None"})];
                return (400, json!({"__type": "TransactionCanceledException", "CancellationReasons": reasons}));
            }
            left.retain(|n| !keys.contains(n));
            (200, json!({}))
        })
        .await;
        let (cx, _) = step("copy", contexts, Secrets::none());
        let params = params();
        assert_eq!(Table::new(&cx, &params).unwrap().delete((1, 9)).await.unwrap(), 2);
        assert_eq!(*there.lock().unwrap(), [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_must_have_the_keys() {
        let table = |sort: &str, of: &str| {
            json!({"Table": {
                "TableStatus": "ACTIVE",
                "KeySchema": [
                    {"AttributeName": "StreamName", "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"},
                ],
                "AttributeDefinitions": [
                    {"AttributeName": "StreamName", "AttributeType": "S"}, {"AttributeName": sort, "AttributeType": of},
                ],
            }})
        };
        let gone = json!({"__type": "ResourceNotFoundException", "message": "x"});
        for (status, reply, said) in [
            (200, table("SequenceNumber", "N"), None),
            (200, table("SequenceNumber", "S"), Some("has no key SequenceNumber (sort key, a number)")),
            (200, table("At", "N"), Some("has no key SequenceNumber")),
            (400, gone, Some("there is no table `Discoveries`")),
        ] {
            let (cx, _) = step("copy", answering(move |_, _| (status, reply.clone())).await, Secrets::none());
            let params = params();
            let checked = Table::new(&cx, &params).unwrap().check().await;
            let error = checked.err().map(|e| e.message).unwrap_or_default();
            assert!(said.map_or(error.is_empty(), |said| error.contains(said)), "{said:?}: {error}");
        }
    }
}
