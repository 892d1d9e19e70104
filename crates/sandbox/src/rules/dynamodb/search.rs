//! Queries and scans, page by page.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::Desk;
use super::item::{expression, key, unreadable};
use super::{invalid, table, usable};
use crate::emulator::{self, Item};
use crate::input::Body;
use crate::items::{Items, Key, Part};
use crate::refusal::Refusal;

/// How many bytes are on a page.
const PAGE: usize = 1024 * 1024;

pub(super) fn scan(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    for unknown in ["Segment", "TotalSegments", "ScanFilter"] {
        if body.get(unknown).is_some() {
            return Err(invalid(format!("{unknown} is not supported by the sandbox")));
        }
    }
    search(desk, body, None)
}

pub(super) fn query(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let text = body.text("KeyConditionExpression")?;
    let text = text.ok_or_else(|| {
        invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
    })?;
    search(desk, body, Some(text))
}

/// The key of an index, with the types of its attributes. None is that of the table.
fn index_keys(desk: &Desk<'_>, arn: &str, name: &str) -> Result<Vec<(String, String)>, Refusal> {
    let settings = super::fact(desk, arn, "settings");
    let lists = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
    let mut all = lists.iter().filter_map(|list| settings[*list].as_array()).flatten();
    let index = all.find(|index| index["IndexName"] == name);
    let index = index.ok_or_else(|| invalid(format!("The table does not have the specified index: {name}")))?;
    let definitions = settings["AttributeDefinitions"].as_array().cloned().unwrap_or_default();
    let kind = |name: &str| {
        let of = definitions.iter().find(|it| it["AttributeName"] == name);
        of.and_then(|it| it["AttributeType"].as_str()).unwrap_or_default().to_owned()
    };
    let keys = index["KeySchema"].as_array().into_iter().flatten().filter_map(|it| it["AttributeName"].as_str());
    Ok(keys.map(|name| (name.to_owned(), kind(name))).collect())
}

/// All items by the keys that are searched, in their order, and by those of the table. Those that an index does not hold
/// are left out.
fn in_order<'a>(items: &'a Items, index: Option<&[(String, String)]>) -> Vec<(Option<Part>, &'a Key, &'a Arc<Item>)> {
    let all = items.sorted().into_iter();
    let Some(keys) = index else { return all.map(|(key, item)| (None, key, item)).collect() };
    let held = all.filter_map(|(key, item)| {
        let Key(_, range) = emulator::key(item, keys)?;
        Some((range, key, item))
    });
    let mut held: Vec<_> = held.collect();
    held.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    held
}

fn search(desk: &Desk<'_>, body: &Body, condition: Option<&str>) -> Result<Value, Refusal> {
    let arn = table::named(desk, body)?;
    let of_table = usable(desk, &arn)?;
    let index = body.text("IndexName")?.map(|name| index_keys(desk, &arn, name)).transpose()?;
    let expression = expression(body)?;
    let is_meant = expression.condition(condition).map_err(unreadable)?;
    let is_wanted = expression.condition(body.text("FilterExpression")?).map_err(unreadable)?;
    let shown = expression.projection(body.text("ProjectionExpression")?).map_err(unreadable)?;
    let limit = match body.number("Limit")? {
        None => usize::MAX,
        Some(limit) => {
            let limit = usize::try_from(limit).ok().filter(|limit| *limit >= 1);
            limit.ok_or_else(|| invalid("Limit must be greater than or equal to 1"))?
        }
    };
    let none = Items::default();
    let items = desk.notes().items.get(&arn).unwrap_or(&none);
    let mut all = in_order(items, index.as_deref());
    if body.flag("ScanIndexForward")? == Some(false) {
        all.reverse();
    }
    // What it starts after may be gone by now.
    if let Some(start) = body.get("ExclusiveStartKey") {
        let given: Item = emulator::read(Some(start)).map_err(|_| Refusal::unreadable())?;
        let own: serde_json::Map<String, Value> =
            of_table.keys.iter().filter_map(|(name, _)| Some((name.clone(), start.get(name)?.clone()))).collect();
        let own = key(of_table, Some(&Value::Object(own)))?;
        let range = index.as_deref().and_then(|keys| emulator::key(&given, keys)).and_then(|Key(_, range)| range);
        let backward = body.flag("ScanIndexForward")? == Some(false);
        all.retain(|(at, key, _)| {
            let order = (at, *key).cmp(&(&range, &own));
            if backward { order.is_lt() } else { order.is_gt() }
        });
    }
    let (mut found, mut scanned, mut bytes, mut last) = (Vec::new(), 0, 0, None);
    let mut rest = all.into_iter().filter(|(_, _, item)| is_meant(item)).peekable();
    while let Some((_, _, item)) = rest.next() {
        scanned += 1;
        bytes += emulator::size(item);
        if is_wanted(item) {
            found.push(shown(item));
        }
        if (scanned >= limit || bytes >= PAGE) && rest.peek().is_some() {
            last = Some(item);
            break;
        }
    }
    let mut reply = json!({"Count": found.len(), "ScannedCount": scanned});
    if body.text("Select")? != Some("COUNT") {
        reply["Items"] = json!(found);
    }
    if let Some(item) = last {
        let names = of_table.keys.iter().chain(index.iter().flatten()).map(|(name, _)| name);
        let key: serde_json::Map<String, Value> =
            names.filter_map(|name| Some((name.clone(), json!(item.get(name)?)))).collect();
        reply["LastEvaluatedKey"] = Value::Object(key);
    }
    Ok(reply)
}
