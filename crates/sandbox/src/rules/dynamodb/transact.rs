//! Transactions: all of it happens, or nothing does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::Desk;
use super::item::{check, given, key};
use super::{invalid, table, usable};
use crate::emulator::{self, Item};
use crate::input::Body;
use crate::items::Key;
use crate::refusal::Refusal;

/// How many items a transaction may have, and how many bytes.
const MOST: usize = 100;
const LARGEST: usize = 4 * 1024 * 1024;

/// What becomes of one item.
enum Change {
    Put(Item),
    Delete,
    /// It was looked at.
    None,
}

pub(super) fn write(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let asked = body.get("TransactItems").and_then(Value::as_array).ok_or_else(|| Refusal::null("transactItems"))?;
    if asked.is_empty() || asked.len() > MOST {
        return Err(invalid(format!("A transaction has 1 to {MOST} items")));
    }
    let (mut changes, mut keys, mut reasons, mut size) = (Vec::new(), BTreeSet::new(), Vec::new(), 0);
    for one in asked {
        let member = |name: &str| one.get(name).and_then(Value::as_object).cloned().map(Body);
        let (arn, key, change, of) = if let Some(put) = member("Put") {
            let arn = table::named(desk, &put)?;
            let (key, item) = given(usable(desk, &arn)?, put.get("Item"), "item")?;
            size += emulator::size(&item);
            (arn, key, Change::Put(item), put)
        } else {
            let deleted = member("Delete").map(|of| (of, Change::Delete));
            let (of, change) =
                deleted.or_else(|| member("ConditionCheck").map(|of| (of, Change::None))).ok_or_else(|| {
                    invalid("The sandbox knows Put, Delete and ConditionCheck in a transaction, one in each item")
                })?;
            let arn = table::named(desk, &of)?;
            let key = key(usable(desk, &arn)?, of.get("Key"))?;
            (arn, key, change, of)
        };
        if !keys.insert((arn.clone(), key.clone())) {
            return Err(invalid("Transaction request cannot include multiple operations on one item"));
        }
        match check(desk, &of, &arn, &key) {
            Ok(_) => reasons.push("None"),
            Err(refusal) if refusal.code == "ConditionalCheckFailedException" => reasons.push("ConditionalCheckFailed"),
            Err(refusal) => return Err(refusal),
        }
        changes.push((arn, key, change));
    }
    if size > LARGEST {
        return Err(invalid("Collection size exceeded: a transaction holds up to 4 MB"));
    }
    if reasons.iter().any(|reason| *reason != "None") {
        return Err(Refusal::canceled(reasons));
    }
    changes.into_iter().for_each(|(arn, key, change)| apply(desk, arn, key, change));
    Ok(json!({}))
}

fn apply(desk: &mut Desk<'_>, arn: String, key: Key, change: Change) {
    match change {
        Change::Put(item) => drop(desk.notes_mut().items.entry(arn).or_default().put(key, item)),
        Change::Delete => drop(desk.notes_mut().items.entry(arn).or_default().remove(&key)),
        Change::None => {}
    }
}
