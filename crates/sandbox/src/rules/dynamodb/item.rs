//! Items: one by one, and in batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::Desk;
use super::{arn_of, invalid, table, usable, wrong_value};
use crate::emulator::{self, Expression, Item};
use crate::input::Body;
use crate::items::Key;
use crate::picture::dynamodb::Table;
use crate::refusal::Refusal;

/// The size that an item may have, in bytes.
const LARGEST: usize = 400 * 1024;
/// How many items a batch may write, and read.
const MOST_WRITTEN: usize = 25;
const MOST_READ: usize = 100;

/// An item that can be put into the table, and its key.
pub(super) fn given(table: &Table, given: Option<&Value>, what: &str) -> Result<(Key, Item), Refusal> {
    let item: Item = emulator::read(Some(given.ok_or_else(|| Refusal::null(what))?)).map_err(|_| {
        invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    })?;
    for (name, kind) in &table.keys {
        if !item.contains_key(name) {
            return Err(wrong_value(format!("Missing the key {name} in the item")));
        }
        if emulator::part(&item, name, kind).is_none() {
            return Err(wrong_value(format!("Type mismatch for key {name} expected: {kind}, or an empty value")));
        }
    }
    if emulator::size(&item) > LARGEST {
        return Err(invalid("Item size has exceeded the maximum allowed size"));
    }
    let key = emulator::key(&item, &table.keys).ok_or_else(|| invalid("The provided key element is wrong"))?;
    Ok((key, item))
}

/// A key and nothing else.
pub(super) fn key(table: &Table, of: Option<&Value>) -> Result<Key, Refusal> {
    let mismatch = || invalid("The provided key element does not match the schema");
    let item: Item = emulator::read(Some(of.ok_or_else(|| Refusal::null("key"))?)).map_err(|_| mismatch())?;
    match emulator::key(&item, &table.keys) {
        Some(key) if item.len() == table.keys.len() => Ok(key),
        _ => Err(mismatch()),
    }
}

pub(super) fn expression(body: &Body) -> Result<Expression, Refusal> {
    Expression::of(body.get("ExpressionAttributeNames"), body.get("ExpressionAttributeValues")).map_err(unreadable)
}

pub(super) fn unreadable(error: String) -> Refusal {
    invalid(format!("Invalid expression: {error}"))
}

/// The item of this key is as the call asks for; none is one without attributes.
pub(super) fn check(desk: &Desk<'_>, body: &Body, arn: &str, key: &Key) -> Result<Option<Arc<Item>>, Refusal> {
    for old in ["Expected", "AttributeUpdates", "ConditionalOperator"] {
        if body.get(old).is_some() {
            return Err(invalid(format!("{old} is not supported by the sandbox: use expressions")));
        }
    }
    let there = desk.notes().items.get(arn).and_then(|items| items.get(key)).cloned();
    let expression = expression(body)?;
    let holds = expression.condition(body.text("ConditionExpression")?).map_err(unreadable)?;
    if holds(there.as_deref().unwrap_or(&Item::new())) {
        Ok(there)
    } else {
        Err(Refusal::new("ConditionalCheckFailedException", "The conditional request failed"))
    }
}

/// The reply to a write of one item.
fn written(body: &Body, before: Option<&Arc<Item>>, after: Option<&Item>) -> Result<Value, Refusal> {
    let shown = match body.text("ReturnValues")?.unwrap_or("NONE") {
        "NONE" => None,
        "ALL_OLD" | "UPDATED_OLD" => before.map(AsRef::as_ref),
        "ALL_NEW" | "UPDATED_NEW" => after,
        other => return Err(invalid(format!("Return values set to invalid value: {other}"))),
    };
    Ok(shown.map_or_else(|| json!({}), |item| json!({"Attributes": item})))
}

pub(super) fn put(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = table::named(desk, body)?;
    let (key, item) = given(usable(desk, &arn)?, body.get("Item"), "item")?;
    let before = check(desk, body, &arn, &key)?;
    let reply = written(body, before.as_ref(), None)?;
    desk.notes_mut().items.entry(arn).or_default().put(key, item);
    Ok(reply)
}

pub(super) fn get(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = table::named(desk, body)?;
    let key = key(usable(desk, &arn)?, body.get("Key"))?;
    let expression = expression(body)?;
    let shown = expression.projection(body.text("ProjectionExpression")?).map_err(unreadable)?;
    let found = desk.notes().items.get(&arn).and_then(|items| items.get(&key));
    Ok(found.map_or_else(|| json!({}), |item| json!({"Item": shown(item)})))
}

pub(super) fn update(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = table::named(desk, body)?;
    let of_table = usable(desk, &arn)?.clone();
    let key = key(&of_table, body.get("Key"))?;
    let before = check(desk, body, &arn, &key)?;
    let new = || emulator::read::<Item>(body.get("Key")).map_err(|_| Refusal::unreadable());
    let mut item = before.as_deref().cloned().map_or_else(new, Ok)?;
    if let Some(text) = body.text("UpdateExpression")? {
        expression(body)?.update(text, &mut item).map_err(unreadable)?;
    }
    let (after, item) = given(&of_table, Some(&json!(item)), "item")?;
    if after != key {
        return Err(wrong_value("Cannot update an attribute that is part of the key"));
    }
    let reply = written(body, before.as_ref(), Some(&item))?;
    desk.notes_mut().items.entry(arn).or_default().put(key, item);
    Ok(reply)
}

pub(super) fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let arn = table::named(desk, body)?;
    let key = key(usable(desk, &arn)?, body.get("Key"))?;
    let before = check(desk, body, &arn, &key)?;
    let reply = written(body, before.as_ref(), None)?;
    if before.is_some() {
        desk.notes_mut().items.entry(arn).or_default().remove(&key);
    }
    Ok(reply)
}

/// `RequestItems`: what is asked of each table.
fn by_table(body: &Body) -> Result<&Map<String, Value>, Refusal> {
    let all = body.get("RequestItems").and_then(Value::as_object).filter(|all| !all.is_empty());
    all.ok_or_else(|| Refusal::null("requestItems"))
}

/// Either all of it is in order or nothing happens. As many are written as the settings say; the others are given back.
pub(super) fn batch_write(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (mut writes, mut keys) = (Vec::new(), BTreeSet::new());
    for (name, requests) in by_table(body)? {
        let arn = arn_of(desk, name);
        let of_table = usable(desk, &arn)?;
        for request in requests.as_array().ok_or_else(Refusal::unreadable)? {
            let (key, item) = match (request.get("PutRequest"), request.get("DeleteRequest")) {
                (Some(put), None) => given(of_table, put.get("Item"), "item").map(|(key, item)| (key, Some(item)))?,
                (None, Some(delete)) => (key(of_table, delete.get("Key"))?, None),
                _ => return Err(invalid("Supplied AttributeValue has more than one datatypes set")),
            };
            if !keys.insert((arn.clone(), key.clone())) {
                return Err(invalid("Provided list of item keys contains duplicates"));
            }
            writes.push((name, arn.clone(), key, item, request));
        }
    }
    if writes.is_empty() || writes.len() > MOST_WRITTEN {
        return Err(invalid("Too many items requested for the BatchWriteItem call"));
    }
    let most = desk.settings.batch.unwrap_or(MOST_WRITTEN);
    let mut unprocessed: Map<String, Value> = Map::new();
    for (n, (name, arn, key, item, request)) in writes.into_iter().enumerate() {
        if n >= most {
            let of_table = unprocessed.entry(name.clone()).or_insert_with(|| json!([]));
            if let Some(all) = of_table.as_array_mut() {
                all.push(request.clone());
            }
            continue;
        }
        let items = desk.notes_mut().items.entry(arn).or_default();
        match item {
            Some(item) => items.put(key, item),
            None => items.remove(&key),
        };
    }
    Ok(json!({"UnprocessedItems": unprocessed}))
}

pub(super) fn batch_get(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (mut responses, mut count) = (Map::new(), 0);
    for (name, asked) in by_table(body)? {
        let arn = arn_of(desk, name);
        let of_table = usable(desk, &arn)?;
        let expression = Expression::of(asked.get("ExpressionAttributeNames"), None).map_err(unreadable)?;
        let shown = asked.get("ProjectionExpression").and_then(Value::as_str);
        let shown = expression.projection(shown).map_err(unreadable)?;
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for asked in asked["Keys"].as_array().ok_or_else(|| Refusal::null("keys"))? {
            let key = key(of_table, Some(asked))?;
            let item = desk.notes().items.get(&arn).and_then(|items| items.get(&key));
            found.extend(item.map(|item| json!(shown(item))));
            if !seen.insert(key) {
                return Err(invalid("Provided list of item keys contains duplicates"));
            }
            count += 1;
        }
        responses.insert(name.clone(), json!(found));
    }
    if count == 0 || count > MOST_READ {
        return Err(invalid("Too many items requested for the BatchGetItem call"));
    }
    Ok(json!({"Responses": responses, "UnprocessedKeys": {}}))
}
