//! The items of a table of DynamoDB, in a form that is cheap to keep many versions of: a write copies a small part.
//!
//! The emulator would copy all of them for every look at it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::Value;

use crate::emulator::Item;

/// In how many parts the items of a table are kept.
const PARTS: usize = 256;

/// See the module. Equal items give equal digests, in whatever order they came.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    parts: Vec<Arc<BTreeMap<Key, Arc<Item>>>>,
    count: usize,
    digest: u64,
}

/// The key of an item: `HASH` and, where the table has one, `RANGE`. In the order of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) Part, pub(crate) Option<Part>);

/// A value in a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Text(String),
    Number(Number),
    /// In Base64.
    Bytes(String),
}

/// A decimal number without leading and trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Number {
    /// `None` when it is not a number, or one of more digits than DynamoDB has.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let text = text.strip_prefix('+').unwrap_or(text);
        let (digits, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let power: i32 = power.parse().ok().filter(|power: &i32| power.abs() <= 130)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let point = i32::try_from(whole.len()).ok()?.checked_add(power)?;
        let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
        let length = i32::try_from(all.len()).ok()?;
        let all = format!("{}{all}{}", zeros(-point), zeros(point - length));
        let (whole, fraction) = all.split_at(usize::try_from(point.max(0)).ok()?);
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        let significant = format!("{whole}{fraction}");
        if significant.trim_matches('0').len() > 38 {
            return None;
        }
        Some(Self { negative: negative && !is_zero, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |it: &Self| (it.whole.len(), it.whole.clone(), it.fraction.clone());
        match (self.negative, other.negative) {
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
            (negative, _) => {
                if negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Items {
    fn default() -> Self {
        Self { parts: vec![Arc::default(); PARTS], count: 0, digest: 0 }
    }
}

fn hash(of: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of(&mut hasher);
    hasher.finish()
}

fn part_of(key: &Key) -> usize {
    usize::try_from(hash(|hasher| key.hash(hasher)) % PARTS as u64).unwrap_or(0)
}

fn digest_of(item: &Item) -> u64 {
    // By way of a value, whose members are in order.
    let mut value = serde_json::to_value(item).unwrap_or_default();
    // Whose it is says the mark of a copy, `RUN/STEP/GENERATION`; how often it was copied makes no difference.
    if let Some(Value::String(mark)) = value.pointer_mut("/switchback/S")
        && let Some((whose, _)) = mark.rsplit_once('/')
    {
        *mark = whose.to_owned();
    }
    let text = value.to_string();
    hash(|hasher| text.hash(hasher))
}

impl Items {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// A number that two tables with the same items have in common.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Item>> {
        self.parts.get(part_of(key))?.get(key)
    }

    /// Puts an item; gives back the one that was there.
    pub(crate) fn put(&mut self, key: Key, item: Item) -> Option<Arc<Item>> {
        let part = self.parts.get_mut(part_of(&key))?;
        self.digest ^= digest_of(&item);
        let before = Arc::make_mut(part).insert(key, Arc::new(item));
        match &before {
            Some(before) => self.digest ^= digest_of(before),
            None => self.count += 1,
        }
        before
    }

    /// Takes an item out; gives it back.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Item>> {
        self.get(key)?;
        let before = Arc::make_mut(self.parts.get_mut(part_of(key))?).remove(key)?;
        self.digest ^= digest_of(&before);
        self.count -= 1;
        Some(before)
    }

    /// All of them, in the order of their keys.
    pub(crate) fn sorted(&self) -> Vec<(&Key, &Arc<Item>)> {
        let mut all: Vec<_> = self.parts.iter().flat_map(|part| part.iter()).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(range: &str) -> Key {
        Key(Part::Text("a".to_owned()), Some(Part::Number(Number::parse(range).unwrap())))
    }

    fn item(text: &str) -> Item {
        serde_json::from_value(json!({"value": {"S": text}})).unwrap()
    }

    #[test]
    fn numbers_are_ordered_and_equal_by_value() {
        let sorted =
            ["-100", "-2.5", "-2", "0", "1e-3", "0.5", "2", "10", "1e2", "12345678901234567890123456789012345678"];
        let numbers: Vec<Number> = sorted.iter().map(|text| Number::parse(text).unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        for (one, other) in [("1", "1.0"), ("100", "1e2"), ("-0", "0"), ("007", "7"), ("0.10", "1e-1")] {
            assert_eq!(Number::parse(one), Number::parse(other), "{one}");
        }
        for bad in ["", "-", "1x", "one", "1e999", "123456789012345678901234567890123456789"] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_digest_is_of_what_is_there() {
        let (mut one, mut other) = (Items::default(), Items::default());
        for n in 0..100 {
            one.put(key(&n.to_string()), item(&n.to_string()));
            other.put(key(&(99 - n).to_string()), item(&(99 - n).to_string()));
        }
        assert_eq!((one.len(), one.digest()), (100, other.digest()));
        let before = one.clone();
        assert!(one.put(key("5"), item("x")).is_some() && one.remove(&key("7")).is_some());
        assert_ne!(one.digest(), other.digest());
        assert_eq!((before.len(), before.digest()), (100, other.digest()));
        assert!(before.sorted().is_sorted_by_key(|(key, _)| *key));
        one.put(key("5"), item("5"));
        one.put(key("7.0"), item("7"));
        assert_eq!(one.digest(), other.digest());
        assert!(one.remove(&key("1000")).is_none());
    }
}
