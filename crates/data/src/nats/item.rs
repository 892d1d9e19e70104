//! A message as an item of a DynamoDB table, and what two such items must have alike.
//!
//! Whether an item fits is computed before it is sent, by DynamoDB's own rules: 400 KB, 32 levels, numbers of 38 digits.
//! JSON is read number by number as it was written: a number that DynamoDB would round is no number that it can hold.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::ask::Message;
use super::jetstream_to_dynamodb::{OnInvalid, Params, Payload};

/// The attribute that says whose an item is: run, step and generation.
pub(crate) const MARK: &str = "switchback";
pub(crate) const SUBJECT: &str = "Subject";
pub(crate) const HEADERS: &str = "Headers";
pub(crate) const TIMESTAMP: &str = "Timestamp";
pub(crate) const DATA: &str = "Data";

/// DynamoDB's limits.
const LARGEST_ITEM: usize = 400 * 1024;
const DEEPEST: usize = 32;
const MOST_DIGITS: usize = 38;
const EXPONENTS: std::ops::RangeInclusive<i64> = -130..=125;

/// An item, by the names of its attributes.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// A message that became an item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    /// Without the mark.
    pub(crate) item: Item,
    /// As DynamoDB counts it, with room for the mark.
    pub(crate) size: usize,
    /// Why its payload is stored as it came, where it is not what it should be.
    pub(crate) raw: Option<String>,
}

/// A message that becomes no item, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The payload is not what it should be.
    Invalid(String),
    /// The item would be larger than DynamoDB takes.
    TooLarge(usize),
}

impl Unfit {
    /// Why, for people.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Invalid(why) => why.clone(),
            Self::TooLarge(size) => format!("it would be an item of {size} bytes, DynamoDB takes {LARGEST_ITEM}"),
        }
    }
}

/// The message as an item of the table.
pub(crate) fn fit(params: &Params, message: &Message, mark: &str) -> Result<Fitted, Unfit> {
    let mut raw = None;
    let data = match params.payload {
        Payload::Binary => Ok(AttributeValue::B(Blob::new(message.payload.clone()))),
        Payload::Text => text(&message.payload).map(|text| AttributeValue::S(text.to_owned())),
        Payload::Json => text(&message.payload).and_then(|text| {
            let json = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
            value(json, 1)
        }),
    };
    let data = match data {
        Ok(data) => data,
        Err(why) if params.invalid == OnInvalid::StoreRaw => {
            raw = Some(why);
            AttributeValue::B(Blob::new(message.payload.clone()))
        }
        Err(why) => return Err(Unfit::Invalid(why)),
    };
    let headers = message.headers.iter().map(|(name, values)| {
        (name.clone(), AttributeValue::L(values.iter().cloned().map(AttributeValue::S).collect()))
    });
    let item = Item::from([
        (params.partition_key.clone(), AttributeValue::S(params.stream.clone())),
        (params.sort_key.clone(), AttributeValue::N(message.sequence.to_string())),
        (SUBJECT.to_owned(), AttributeValue::S(message.subject.clone())),
        (HEADERS.to_owned(), AttributeValue::M(headers.collect())),
        (TIMESTAMP.to_owned(), AttributeValue::S(message.time.to_string())),
        (DATA.to_owned(), data),
    ]);
    let size = item.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>() + MARK.len() + mark.len();
    if size > LARGEST_ITEM { Err(Unfit::TooLarge(size)) } else { Ok(Fitted { item, size, raw }) }
}

fn text(payload: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(payload).map_err(|error| format!("it is not UTF-8: {error}"))
}

/// JSON as DynamoDB has it; `depth` counts the value itself.
fn value(json: &RawValue, depth: usize) -> Result<AttributeValue, String> {
    let text = json.get();
    let failed = |error: serde_json::Error| format!("it is not JSON: {error}");
    if depth > DEEPEST {
        return Err(format!("it is nested deeper than {DEEPEST} levels"));
    }
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(failed)?;
            let values = map.into_iter().map(|(key, json)| Ok((key, value(json, depth + 1)?)));
            AttributeValue::M(values.collect::<Result<_, String>>()?)
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
            AttributeValue::L(list.into_iter().map(|json| value(json, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => AttributeValue::S(serde_json::from_str(text).map_err(failed)?),
        Some(b't' | b'f') => AttributeValue::Bool(text == "true"),
        Some(b'n') => AttributeValue::Null(true),
        _ => {
            let number = Number::read(text);
            if !number.as_ref().is_some_and(Number::fits) {
                return Err(format!("it holds the number {text}, which DynamoDB cannot hold"));
            }
            AttributeValue::N(text.to_owned())
        }
    })
}

/// A decimal number in the one form that all its spellings share: 0.digits times ten to the exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Number {
    /// None: it is none.
    fn read(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            // An exponent beyond this is beyond everything.
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let zeros = all.len() - digits.len();
        let exponent = i64::from(exponent) + i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: String::new(), exponent: 0 });
        }
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| Self { negative, digits: digits.to_owned(), exponent })
    }

    fn fits(&self) -> bool {
        self.digits.len() <= MOST_DIGITS && EXPONENTS.contains(&(self.exponent - 1))
    }
}

/// What DynamoDB counts a value as; a number is counted as at most so much.
fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().min(MOST_DIGITS).div_ceil(2) + 2,
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::M(map) => 3 + map.iter().map(|(key, value)| key.len() + size(value) + 1).sum::<usize>(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| size(value) + 1).sum::<usize>(),
        _ => 1,
    }
}

/// How many items, and a checksum that does not depend on their order: the digests of all of them, folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    folded: [u8; 32],
}

impl Tally {
    /// Counts an item, by what this step puts into it.
    pub(crate) fn add(&mut self, params: &Params, item: &Item) {
        let sequence = sequence(params, item);
        self.count += 1;
        self.first = self.first.map_or(sequence, |first| sequence.map(|s| s.min(first)));
        self.last = self.last.max(sequence);
        for (sum, byte) in self.folded.iter_mut().zip(digest(params, item)) {
            *sum ^= byte;
        }
    }

    /// The checksum, in hex.
    pub(crate) fn checksum(&self) -> String {
        switchback_model::canonical::hex(&self.folded)
    }
}

/// The sequence number of the message that an item was.
pub(crate) fn sequence(params: &Params, item: &Item) -> Option<u64> {
    item.get(&params.sort_key)?.as_n().ok()?.parse().ok()
}

/// SHA-256 of what this step puts into an item; equal for whatever DynamoDB makes of the spelling of a number.
pub(crate) fn digest(params: &Params, item: &Item) -> [u8; 32] {
    let mut sha = Sha256::new();
    for name in [params.partition_key.as_str(), params.sort_key.as_str(), SUBJECT, HEADERS, TIMESTAMP, DATA] {
        feed_text(&mut sha, name);
        match item.get(name) {
            Some(value) => feed(&mut sha, value),
            None => sha.update(b"-"),
        }
    }
    sha.finalize().into()
}

fn feed(sha: &mut Sha256, value: &AttributeValue) {
    match value {
        AttributeValue::S(text) => {
            sha.update(b"S");
            feed_text(sha, text);
        }
        AttributeValue::N(text) => {
            sha.update(b"N");
            feed_text(sha, &Number::read(text).map_or_else(|| text.clone(), |n| format!("{n:?}")));
        }
        AttributeValue::B(bytes) => {
            sha.update(b"B");
            feed_bytes(sha, bytes.as_ref());
        }
        AttributeValue::M(map) => {
            sha.update(b"M");
            feed_text(sha, &map.len().to_string());
            for (key, value) in map.iter().collect::<BTreeMap<_, _>>() {
                feed_text(sha, key);
                feed(sha, value);
            }
        }
        AttributeValue::L(list) => {
            sha.update(b"L");
            feed_text(sha, &list.len().to_string());
            list.iter().for_each(|value| feed(sha, value));
        }
        AttributeValue::Bool(is) => sha.update(if *is { b"t" } else { b"f" }),
        AttributeValue::Null(_) => sha.update(b"n"),
        // This step puts no sets anywhere: somebody else did.
        other => feed_text(sha, &format!("{other:?}")),
    }
}

fn feed_text(sha: &mut Sha256, text: &str) {
    feed_bytes(sha, text.as_bytes());
}

fn feed_bytes(sha: &mut Sha256, bytes: &[u8]) {
    sha.update((bytes.len() as u64).to_be_bytes());
    sha.update(bytes);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use switchback_engine::Operation as _;

    use super::super::jetstream_to_dynamodb::JetstreamToDynamodb;
    use super::*;

    fn params() -> Params {
        JetstreamToDynamodb::example().unwrap()
    }

    fn message(payload: &[u8]) -> Message {
        Message {
            sequence: 7,
            subject: "discovery.found".into(),
            headers: [("Trace".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into(),
            time: Timestamp::UNIX_EPOCH,
            payload: payload.to_vec(),
        }
    }

    fn data(payload: &str) -> Result<AttributeValue, Unfit> {
        fit(&params(), &message(payload.as_bytes()), "m").map(|fitted| fitted.item[DATA].clone())
    }

    fn is_invalid(payload: &str) -> bool {
        matches!(data(payload), Err(Unfit::Invalid(_)))
    }

    #[test]
    fn a_message_becomes_an_item_with_its_json_as_a_map() {
        let fitted = fit(&params(), &message(br#"{"a": [1, 2.50, true, null, "x"]}"#), "m").unwrap();
        let n = |text: &str| AttributeValue::N(text.into());
        let list = vec![
            n("1"),
            n("2.50"),
            AttributeValue::Bool(true),
            AttributeValue::Null(true),
            AttributeValue::S("x".into()),
        ];
        assert_eq!(fitted.item[DATA], AttributeValue::M([("a".to_owned(), AttributeValue::L(list))].into()));
        assert_eq!(fitted.item["StreamName"], AttributeValue::S("DISCOVERIES".into()));
        assert_eq!(fitted.item["SequenceNumber"], n("7"));
        assert_eq!(fitted.item[TIMESTAMP], AttributeValue::S("1970-01-01T00:00:00Z".into()));
        assert_eq!(fitted.raw, None);
    }

    #[test]
    fn what_is_not_json_is_refused_or_stored_as_it_came() {
        assert!(is_invalid("") && is_invalid("{") && is_invalid("{} x"));
        let raw = Params { invalid: OnInvalid::StoreRaw, ..params() };
        let fitted = fit(&raw, &message(b"\xff{"), "m").unwrap();
        assert_eq!(fitted.item[DATA], AttributeValue::B(Blob::new(*b"\xff{")));
        assert!(fitted.raw.unwrap().contains("UTF-8"));
        let text = Params { payload: Payload::Text, ..params() };
        assert!(matches!(fit(&text, &message(b"\xff"), "m"), Err(Unfit::Invalid(_))));
        assert_eq!(fit(&text, &message(b"{"), "m").unwrap().item[DATA], AttributeValue::S("{".into()));
    }

    #[test]
    fn a_number_is_exact_or_refused() {
        assert_eq!(data("12345678901234567890123").unwrap(), AttributeValue::N("12345678901234567890123".into()));
        assert!(
            is_invalid(&"9".repeat(39)) && is_invalid("1e126") && is_invalid("1e-131") && is_invalid("1e99999999999")
        );
        assert!(data(&format!("{}000", "9".repeat(38))).is_ok() && data("9e125").is_ok() && data("1e-130").is_ok());
        assert!(data("-0.0").is_ok() && data("0e0").is_ok());
    }

    #[test]
    fn a_document_is_as_deep_as_dynamodb_takes_it() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(data(&nested(32)).is_ok() && is_invalid(&nested(33)));
    }

    #[test]
    fn the_size_is_computed_before_anything_is_sent() {
        let binary = Params { payload: Payload::Binary, ..params() };
        let empty = fit(&binary, &message(b""), "m").unwrap().size;
        let most = LARGEST_ITEM - empty;
        assert_eq!(fit(&binary, &message(&vec![0; most]), "m").unwrap().size, LARGEST_ITEM);
        let large = fit(&binary, &message(&vec![0; most + 1]), "m").unwrap_err();
        assert_eq!(large, Unfit::TooLarge(LARGEST_ITEM + 1));
        assert!(large.why().contains("409600"));
    }

    #[test]
    fn spellings_of_a_number_are_one_number() {
        let same = |a: &str, b: &str| assert_eq!(Number::read(a), Number::read(b), "{a} {b}");
        same("1", "1.0");
        same("100", "1e2");
        same("0.01", "1E-2");
        same("-0", "0.00");
        same("1.50", "15e-1");
        assert_ne!(Number::read("1"), Number::read("-1"));
        assert_ne!(Number::read("1"), Number::read("10"));
        assert_eq!(Number::read("x"), None);
    }

    #[test]
    fn a_tally_depends_on_what_and_not_on_the_order() {
        let item = |sequence, payload: &str| {
            fit(&params(), &Message { sequence, ..message(payload.as_bytes()) }, "m").unwrap().item
        };
        let tally = |items: &[Item]| {
            let mut tally = Tally::default();
            items.iter().for_each(|item| tally.add(&params(), item));
            tally
        };
        let (a, b) = (item(1, r#"{"n": 1.0}"#), item(2, "2"));
        let one = tally(&[a.clone(), b.clone()]);
        assert_eq!(one, tally(&[b.clone(), a.clone()]));
        assert_eq!((one.count, one.first, one.last), (2, Some(1), Some(2)));
        assert_eq!(one.checksum(), tally(&[item(1, r#"{"n":1}"#), b.clone()]).checksum());
        assert_ne!(one.checksum(), tally(&[item(1, r#"{"n":2}"#), b.clone()]).checksum());
        let mut marked = a.clone();
        marked.insert(MARK.to_owned(), AttributeValue::S("m".into()));
        assert_eq!(one.checksum(), tally(&[marked, b]).checksum(), "the mark is no part of the message");
    }
}
