//! `nats.jetstream_to_dynamodb`: the messages of a stream, copied into a table.
//!
//! ```text
//! capture: stream and table there, no key taken -> create: the range is pinned, no call
//!   -> settle: copies in order, in transactions; after a crash from the last stored number on
//!   -> rollback: deletes what carries this step's mark in the range
//! ```
//!
//! What comes into the stream after `create` is not copied; what the stream has dropped by then leaves a gap, which is
//! no error. The stream is only ever read. Every item says whose it is, and every write asks for that: an item of
//! somebody else's is neither overwritten nor deleted, however late it came.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind, Reversibility};
use switchback_model::{OpError, OpResult};

use super::ask::{Batch, Message, NatsAsk, Range, Server, StreamFacts, check_stream, check_subject, no_stream};
use super::item::{self, Fitted, Item, Tally, Unfit, fit};
use super::table::{self, MOST_KEYS, Table};

/// How much is read from the stream at a time.
const MESSAGES_AT_A_TIME: usize = 100;
const BYTES_AT_A_TIME: usize = 3_000_000;
/// How many messages that were not stored as they should be are listed one by one.
const MOST_LISTED: usize = 1000;
/// How many keys of others in the range are looked at before the copy: beyond it, the copy meets them.
const MOST_LOOKED_AT: usize = 100;
/// How long the copy, and the way back, may take: a table with five write units stores two messages a second.
const DEADLINE: Duration = Duration::from_secs(6 * 60 * 60);

/// What a payload is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// JSON, stored as DynamoDB's own maps, lists and numbers.
    #[default]
    Json,
    /// Text in UTF-8, stored as a string.
    Text,
    /// Bytes, stored as they are.
    Binary,
}

/// What is done with a message whose payload is not what it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInvalid {
    /// The step fails, and names it.
    #[default]
    Fail,
    /// It is left out, and listed.
    Skip,
    /// Its payload is stored as bytes, and it is listed.
    StoreRaw,
}

/// What is done with a message that is too large for an item (400 KB).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTooLarge {
    /// The step fails, and names it.
    #[default]
    Fail,
    /// It is left out, and listed.
    Skip,
}

/// The messages that a JetStream stream has now, copied into a DynamoDB table, an item each.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The NATS server.
    pub server: Server,
    /// The name of the stream; the value of the partition key.
    pub stream: String,
    /// Only messages under subjects that match this one (`discovery.>`); all of them when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The table: its partition key is a string, its sort key a number.
    pub table_name: String,
    /// The attribute that is the table's partition key: it holds the name of the stream.
    #[serde(default = "partition_key")]
    pub partition_key: String,
    /// The attribute that is the table's sort key: it holds the sequence number of the message.
    #[serde(default = "sort_key")]
    pub sort_key: String,
    /// What the payloads are.
    #[serde(default)]
    pub payload: Payload,
    /// What to do with a payload that is not that.
    #[serde(default)]
    pub invalid: OnInvalid,
    /// What to do with a message that is too large for an item.
    #[serde(default)]
    pub too_large: OnTooLarge,
}

fn partition_key() -> String {
    "StreamName".to_owned()
}

fn sort_key() -> String {
    "SequenceNumber".to_owned()
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// How many messages the stream had.
    pub messages: u64,
    /// The keys of others that lie between the stream's messages: they stay.
    pub present: Vec<u64>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The stream.
    pub stream: String,
    /// The table.
    pub table_name: String,
    /// The first sequence number that is copied.
    pub first_sequence: u64,
    /// The last sequence number that is copied: what came later is not. Less than the first: the stream was empty.
    pub last_sequence: u64,
    /// How many messages were copied.
    pub count: u64,
    /// How many were left out.
    pub skipped: u64,
    /// How many were stored with their payload as bytes, because it was not what it should be.
    pub stored_raw: u64,
    /// Those that were left out or stored as bytes, and why; the first thousand.
    pub exceptions: Vec<Exception>,
    /// SHA-256 of each copied message, folded into one whatever their order, in hex; empty before the copy.
    pub checksum: String,
}

/// A message that was not stored as it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Its sequence number.
    pub sequence: u64,
    /// Why.
    pub why: String,
    /// It was left out; otherwise its payload is stored as bytes.
    pub skipped: bool,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct JetstreamToDynamodb;

impl Params {
    /// Whether a message can be left out or stored otherwise, so that what was copied does not tell the whole.
    fn has_exceptions(&self) -> bool {
        self.invalid != OnInvalid::Fail || self.too_large != OnTooLarge::Fail
    }

    /// The message as an item; none when it is to be left out.
    fn fitted(&self, message: &Message, mark: &str) -> OpResult<Result<Fitted, Exception>> {
        let unfit = match fit(self, message, mark) {
            Ok(fitted) => return Ok(Ok(fitted)),
            Err(unfit) => unfit,
        };
        let skip = match &unfit {
            Unfit::Invalid(_) => self.invalid == OnInvalid::Skip,
            Unfit::TooLarge(_) => self.too_large == OnTooLarge::Skip,
        };
        if skip {
            return Ok(Err(Exception { sequence: message.sequence, why: unfit.why(), skipped: true }));
        }
        let field = if matches!(unfit, Unfit::Invalid(_)) { "invalid" } else { "too_large" };
        Err(OpError::permanent(format!(
            "message {} of the stream `{}` cannot be stored: {}",
            message.sequence,
            self.stream,
            unfit.why()
        ))
        .with_hint(format!("say by `{field}:` what is to be done with such messages")))
    }

    async fn described(&self, cx: &Cx) -> OpResult<StreamFacts> {
        let ask = NatsAsk::DescribeStream { server: self.server.clone(), stream: self.stream.clone() };
        cx.ask(ask).await?.into_stream()?.ok_or_else(|| no_stream(&self.server, &self.stream))
    }

    async fn messages(&self, cx: &Cx, from: u64, to: u64) -> OpResult<Batch> {
        let range = Range {
            subject: self.subject.clone(),
            from,
            to,
            max_messages: MESSAGES_AT_A_TIME,
            max_bytes: BYTES_AT_A_TIME,
        };
        let ask = NatsAsk::GetMessages { server: self.server.clone(), stream: self.stream.clone(), range };
        let batch = cx.ask(ask).await?.into_messages()?;
        // Whoever answers: it goes on.
        if batch.next <= from {
            return Err(OpError::permanent(format!(
                "the stream `{}` is read from {from} on without an end",
                self.stream
            )));
        }
        Ok(batch)
    }
}

impl Output {
    fn range(&self) -> (u64, u64) {
        (self.first_sequence, self.last_sequence)
    }

    fn list(&mut self, exception: Exception) {
        let counted = if exception.skipped { &mut self.skipped } else { &mut self.stored_raw };
        *counted += 1;
        if self.exceptions.len() < MOST_LISTED {
            self.exceptions.push(exception);
        }
    }
}

/// What the stream still has of the range, as items, and how the table differs from it.
struct Source {
    tally: Tally,
    differ: u64,
}

/// Reads what the stream still has; with a table, compares it there message by message.
async fn source(cx: &Cx, params: &Params, range: (u64, u64), table: &Table<'_>, compare: bool) -> OpResult<Source> {
    let mut source = Source { tally: Tally::default(), differ: 0 };
    let (mut from, to) = range;
    while from <= to {
        let batch = params.messages(cx, from, to).await?;
        let mut items = Vec::new();
        for message in &batch.messages {
            if let Ok(fitted) = params.fitted(message, table.mark())? {
                source.tally.add(params, &fitted.item);
                items.push((message.sequence, fitted.item));
            }
        }
        if compare {
            source.differ += differing(params, table, &items).await?;
        }
        from = batch.next;
        cx.progress(&format!("read {} messages of {}", source.tally.count, params.stream));
    }
    Ok(source)
}

/// How many of these the table lacks, or has otherwise.
async fn differing(params: &Params, table: &Table<'_>, items: &[(u64, Item)]) -> OpResult<u64> {
    let mut differ = 0;
    for items in items.chunks(MOST_KEYS) {
        let keys: Vec<u64> = items.iter().map(|(sequence, _)| *sequence).collect();
        let stored = table.get(&keys).await?;
        let same = |(sequence, item): &&(u64, Item)| {
            stored.get(sequence).is_some_and(|there| item::digest(params, there) == item::digest(params, item))
        };
        differ += (items.len() - items.iter().filter(same).count()) as u64;
    }
    Ok(differ)
}

impl Operation for JetstreamToDynamodb {
    const KIND: &'static str = "nats.jetstream_to_dynamodb";
    const VERSION: u32 = 1;
    const SECRETS_BACK: bool = true;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let reads = ["nats:DescribeStream", "nats:GetMessages", table::DESCRIBE, table::QUERY, table::GET];
        Facts {
            reversibility: Reversibility::Lossy {
                what: "what was changed in the copied items since; the messages themselves stay in the stream"
                    .to_owned(),
            },
            proof: ProofKind::Strong,
            // `create` makes no call: there is nothing that could be made twice.
            unique: true,
            quiet: switchback_aws::QUIET,
            create_deadline: DEADLINE,
            rollback_deadline: DEADLINE,
            reads: reads.map(Into::into).into(),
            settles: vec![table::WRITE.into()],
            rolls_back: vec![table::WRITE.into()],
            // What a transaction may do is permitted by what it does.
            extra_actions: vec!["dynamodb:PutItem".into()],
            extra_undo_actions: vec!["dynamodb:DeleteItem".into()],
            arns: vec![format!("arn:{{partition}}:dynamodb:{{region}}:{{account}}:table/{}", params.table_name)],
            ..Facts::without_effect()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            server: Server::at("nats://nats.example.com:4222"),
            stream: "DISCOVERIES".to_owned(),
            subject: None,
            table_name: "Discoveries".to_owned(),
            partition_key: partition_key(),
            sort_key: sort_key(),
            payload: Payload::Json,
            invalid: OnInvalid::Fail,
            too_large: OnTooLarge::Fail,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.server.check(&mut errors);
        check_stream(&params.stream, &mut errors);
        if let Some(subject) = &params.subject {
            check_subject("subject", subject, true, &mut errors);
        }
        if params.table_name.is_empty() {
            errors.push(ParamError::new("table_name", "names a table"));
        }
        let mut names = BTreeSet::from([item::MARK, item::SUBJECT, item::HEADERS, item::TIMESTAMP, item::DATA]);
        for (field, name) in [("partition_key", &params.partition_key), ("sort_key", &params.sort_key)] {
            if name.is_empty() || !names.insert(name) {
                errors.push(ParamError::new(field, format!("is an attribute of its own, `{name}` is none")));
            }
        }
        if params.payload == Payload::Binary && params.invalid != OnInvalid::Fail {
            errors.push(ParamError::new("invalid", "is about JSON and text: any bytes are a binary payload"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let StreamFacts { first, last, messages } = params.described(cx).await?;
        let table = Table::new(cx, params)?;
        table.check().await?;
        let present =
            if messages == 0 { Vec::new() } else { table.foreign_keys((first, last), MOST_LOOKED_AT).await? };
        for sequence in &present {
            // In a gap of the stream it is in nobody's way.
            if !params.messages(cx, *sequence, *sequence).await?.messages.is_empty() {
                return Err(table.foreign(Some(*sequence)));
            }
        }
        Ok(Before { messages, present })
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let StreamFacts { first, last, messages } = params.described(cx).await?;
        let (first_sequence, last_sequence) = if messages == 0 { (1, 0) } else { (first, last) };
        Ok(Output {
            stream: params.stream.clone(),
            table_name: params.table_name.clone(),
            first_sequence,
            last_sequence,
            count: 0,
            skipped: 0,
            stored_raw: 0,
            exceptions: Vec::new(),
            checksum: String::new(),
        })
    }

    async fn settle(&self, cx: &Cx, params: &Params, before: &Before, output: &Output) -> OpResult<Output> {
        let table = Table::new(cx, params)?;
        let stored = table.last_stored(output.range()).await?;
        // What an earlier attempt stored is counted in the table: the stream may have dropped it since.
        let mut tally = match stored {
            Some(stored) => table.tally((output.first_sequence, stored)).await?,
            None => Tally::default(),
        };
        let mut done = Output { count: 0, skipped: 0, stored_raw: 0, exceptions: Vec::new(), ..output.clone() };
        let mut from = match stored {
            Some(stored) if !params.has_exceptions() => stored + 1,
            // What was left out of it is counted once more.
            _ => output.first_sequence,
        };
        while from <= output.last_sequence {
            let batch = params.messages(cx, from, output.last_sequence).await?;
            let mut items = Vec::new();
            for message in &batch.messages {
                match params.fitted(message, table.mark())? {
                    Ok(fitted) => {
                        if let Some(why) = fitted.raw {
                            done.list(Exception { sequence: message.sequence, why, skipped: false });
                        }
                        if stored.is_none_or(|stored| message.sequence > stored) {
                            tally.add(params, &fitted.item);
                            items.push((fitted.item, fitted.size));
                        }
                    }
                    Err(exception) => done.list(exception),
                }
            }
            table.put(items).await?;
            from = batch.next;
            cx.progress(&format!("copied {} of {} messages of {}", tally.count, before.messages, params.stream));
        }
        done.count = tally.count;
        done.checksum = tally.checksum();
        Ok(done)
    }

    async fn find(&self, _cx: &Cx, _params: &Params, _before: &Before) -> OpResult<Found<Output>> {
        // Nothing is stored before the range is on record.
        Ok(Found::Absent)
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, output: &Output) -> OpResult<Undo> {
        let table = Table::new(cx, params)?;
        Ok(match gone(table.delete(output.range()).await)? {
            None | Some(0) => Undo::Nothing,
            Some(_) => Undo::Done,
        })
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Before,
        output: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let table = Table::new(cx, params)?;
        let range = output.map_or((0, u64::MAX), Output::range);
        let there = gone(table.tally(range).await)?.unwrap_or_default();
        let observed = json!({
            "count": there.count, "first": there.first, "last": there.last, "checksum": there.checksum(),
        });
        let (Expect::Created, Some(output)) = (want, output) else {
            let mut verdict = Verdict::new().compare("items of this step", 0, there.count);
            verdict.observed = observed;
            return Ok(verdict);
        };
        let mut verdict = Verdict::new().compare("items", output.count, there.count).compare(
            "checksum of the items",
            output.checksum.as_str(),
            there.checksum(),
        );
        let mut source_of = source(cx, params, range, &table, false).await?;
        if source_of.tally.checksum() != there.checksum() {
            // The stream may have dropped some since: what it still has is compared one by one.
            source_of = source(cx, params, range, &table, true).await?;
        } else {
            verdict = verdict.compare("checksum of the messages", output.checksum.as_str(), source_of.tally.checksum());
            verdict = verdict.compare("first sequence number", source_of.tally.first, there.first);
            verdict = verdict.compare("last sequence number", source_of.tally.last, there.last);
        }
        verdict = verdict.compare("messages that the table lacks or has otherwise", 0, source_of.differ);
        verdict.observed = observed;
        verdict.observed["in_stream"] = source_of.tally.count.into();
        Ok(verdict)
    }
}

/// What was done to the table, or seen in it; none when the table is no more, and what was in it neither.
fn gone<T>(reply: OpResult<T>) -> OpResult<Option<T>> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if switchback_aws::errors::is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        JetstreamToDynamodb::example().unwrap()
    }

    fn wrong(params: &Params) -> Vec<String> {
        let errors = JetstreamToDynamodb.check(params).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn the_example_is_valid_and_defaults_are_as_said() {
        assert!(wrong(&params()).is_empty());
        let short = json!({"server": {"url": "nats://h"}, "stream": "S", "table_name": "T"});
        let read: Params = serde_json::from_value(short).unwrap();
        assert_eq!((read.partition_key.as_str(), read.sort_key.as_str()), ("StreamName", "SequenceNumber"));
        assert_eq!((read.payload, read.invalid, read.too_large), (Payload::Json, OnInvalid::Fail, OnTooLarge::Fail));
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert_eq!(wrong(&Params { stream: "a.b".into(), ..params() }), ["stream"]);
        assert_eq!(wrong(&Params { subject: Some("a..b".into()), ..params() }), ["subject"]);
        assert_eq!(wrong(&Params { table_name: String::new(), ..params() }), ["table_name"]);
        assert_eq!(wrong(&Params { sort_key: "StreamName".into(), ..params() }), ["sort_key"]);
        assert_eq!(wrong(&Params { partition_key: "switchback".into(), ..params() }), ["partition_key"]);
        let raw = Params { payload: Payload::Binary, invalid: OnInvalid::StoreRaw, ..params() };
        assert_eq!(wrong(&raw), ["invalid"]);
    }

    #[test]
    fn what_does_not_fit_fails_or_is_listed() {
        let message = Message {
            sequence: 5,
            subject: "s".into(),
            headers: Default::default(),
            time: Default::default(),
            payload: b"{".to_vec(),
        };
        let failed = params().fitted(&message, "m").unwrap_err();
        assert!(failed.message.starts_with("message 5 of the stream `DISCOVERIES` cannot be stored: it is not JSON"));
        assert_eq!(failed.hint.as_deref(), Some("say by `invalid:` what is to be done with such messages"));
        let skip = Params { invalid: OnInvalid::Skip, ..params() };
        let exception = skip.fitted(&message, "m").unwrap().unwrap_err();
        assert!(exception.skipped && exception.sequence == 5);
        let large = Message { payload: format!("\"{}\"", "x".repeat(500_000)).into(), ..message };
        let failed = skip.fitted(&large, "m").unwrap_err();
        assert!(failed.hint.unwrap().contains("`too_large:`"));
        let skip = Params { too_large: OnTooLarge::Skip, ..params() };
        assert!(skip.fitted(&large, "m").unwrap().is_err());
    }

    #[test]
    fn exceptions_are_counted_all_and_listed_up_to_a_thousand() {
        let mut output: Output = serde_json::from_value(json!({
            "stream": "S", "table_name": "T", "first_sequence": 1, "last_sequence": 0, "count": 0, "skipped": 0,
            "stored_raw": 0, "exceptions": [], "checksum": "",
        }))
        .unwrap();
        for sequence in 0..1500 {
            output.list(Exception { sequence, why: "x".into(), skipped: sequence % 3 == 0 });
        }
        assert_eq!((output.skipped, output.stored_raw, output.exceptions.len()), (500, 1000, 1000));
    }
}
