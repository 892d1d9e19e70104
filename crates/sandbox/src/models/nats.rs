//! The model of NATS servers: their streams, and what is published to them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use switchback_data::nats::ask::{Batch, Message, NatsAnswer, NatsAsk, Server, StreamFacts, matches, no_stream};
use switchback_model::OpResult;
use switchback_model::plan::Plan;

use super::{Model, Modelled};

/// How many messages a stream has in a rehearsal before the run.
const SEEDED: u64 = 7;
/// The operation that reads streams.
const READER: &str = "nats.jetstream_to_dynamodb";

/// Streams, by server and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nats {
    streams: BTreeMap<(String, String), Arc<Stream>>,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    /// What it keeps.
    subjects: Vec<String>,
    /// The last sequence number that it gave.
    last: u64,
    messages: BTreeMap<u64, Message>,
}

impl Stream {
    /// Where it has no message, the number of the next one; zero where it never had one.
    fn first(&self) -> u64 {
        let next = if self.last == 0 { 0 } else { self.last + 1 };
        self.messages.keys().next().copied().unwrap_or(next)
    }
}

impl Nats {
    /// The streams that a plan's steps read, as far as it names them, each with some messages.
    pub(crate) fn seed(&mut self, plan: &Plan) {
        for step in plan.steps.iter().filter(|step| step.op == READER) {
            let text = |path: &[&str]| step.params.known(path).and_then(Value::as_str);
            let (Some(server), Some(stream)) = (text(&["server", "url"]), text(&["stream"])) else { continue };
            let under = match text(&["subject"]) {
                // A subject that this filter means.
                Some(filter) => filter.replace(['*', '>'], "found"),
                None => format!("{}.found", stream.to_lowercase()),
            };
            self.create(server, stream, &[&under]);
            for n in 1..=SEEDED {
                let payload = json!({"n": n, "found": format!("thing {n}"), "parts": [n, null, true]}).to_string();
                self.publish(server, &under, BTreeMap::new(), payload.as_bytes());
            }
        }
    }

    /// A stream that keeps what is published under these subjects. One that is there already stays.
    pub(crate) fn create(&mut self, server: &str, stream: &str, subjects: &[&str]) {
        let subjects = subjects.iter().map(|s| (*s).to_owned()).collect();
        let new = || Arc::new(Stream { subjects, ..Stream::default() });
        self.streams.entry((server.to_owned(), stream.to_owned())).or_insert_with(new);
    }

    /// Somebody publishes: every stream of the server that keeps the subject has it then.
    pub(crate) fn publish(
        &mut self,
        server: &str,
        subject: &str,
        headers: BTreeMap<String, Vec<String>>,
        payload: &[u8],
    ) {
        for ((_, _), stream) in self.streams.iter_mut().filter(|((at, _), _)| at == server) {
            if !stream.subjects.iter().any(|filter| matches(filter, subject)) {
                continue;
            }
            let stream = Arc::make_mut(stream);
            stream.last += 1;
            let (headers, payload) = (headers.clone(), payload.to_vec());
            let (sequence, subject) = (stream.last, subject.to_owned());
            // What a time is does not matter, and it is the same in every case of a rehearsal.
            let time = i64::try_from(sequence).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default();
            stream.messages.insert(sequence, Message { sequence, subject, headers, time, payload });
        }
    }

    fn find(&self, server: &Server, stream: &str) -> Option<&Arc<Stream>> {
        self.streams.get(&(server.url.clone(), stream.to_owned()))
    }

    /// The stream of this id in the report.
    fn named(&self, id: &str) -> Option<(String, String)> {
        self.streams.keys().find(|key| called(key) == id).cloned()
    }
}

fn called((server, stream): &(String, String)) -> String {
    format!("{server}/{stream}")
}

/// A field of parameters, where it does not depend on what is made first.
impl Model for Nats {
    type Ask = NatsAsk;

    fn answer(&mut self, ask: NatsAsk) -> OpResult<NatsAnswer> {
        Ok(match ask {
            NatsAsk::DescribeStream { server, stream } => {
                NatsAnswer::Stream(self.find(&server, &stream).map(|stream| StreamFacts {
                    first: stream.first(),
                    last: stream.last,
                    messages: stream.messages.len() as u64,
                }))
            }
            NatsAsk::GetMessages { server, stream, range } => {
                let found = self.find(&server, &stream).ok_or_else(|| no_stream(&server, &stream))?;
                let mut batch = Batch::begin(&range);
                let full = range.from <= range.to
                    && found
                        .messages
                        .range(range.from..=range.to)
                        .try_for_each(|(_, message)| batch.take(&range, message.clone()))
                        == ControlFlow::Break(());
                if !full {
                    batch.end(&range);
                }
                NatsAnswer::Messages(batch)
            }
            NatsAsk::PublishAndReceive { server, subject, payload, .. } => {
                self.publish(&server.url, &subject, BTreeMap::new(), payload.as_bytes());
                NatsAnswer::Received(true)
            }
        })
    }

    fn things(&self) -> Vec<Modelled> {
        let thing = |(key, stream): (&(String, String), &Arc<Stream>)| Modelled {
            kind: "stream",
            id: called(key),
            tags: BTreeMap::new(),
            residue: false,
            attributes: BTreeMap::from([
                ("name", json!(key.1)),
                ("last", json!(stream.last)),
                ("messages", json!(stream.messages.len())),
            ]),
        };
        self.streams.iter().map(thing).collect()
    }

    fn meddle(&mut self, id: &str, delete: bool) -> bool {
        let Some(key) = self.named(id) else { return false };
        if delete {
            return self.streams.remove(&key).is_some();
        }
        let subject = self.streams.get(&key).and_then(|stream| stream.subjects.first().cloned());
        let Some(subject) = subject else { return false };
        self.publish(&key.0, &subject.replace(['*', '>'], "more"), BTreeMap::new(), b"{}");
        true
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream;
    use switchback_data::nats::ask::Range;
    use switchback_data::nats::client::Nats as Real;
    use switchback_engine::cx::Contexts;
    use switchback_engine::remote::Answers;
    use switchback_engine::secrets::Secrets;
    use switchback_testing::nats::NatsServer;
    use switchback_testing::step::step;

    use super::*;

    /// The next number of a sequence that is the same each time.
    fn roll(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    }

    /// Times are the server's own.
    fn timeless(answer: OpResult<NatsAnswer>) -> Result<NatsAnswer, switchback_model::OpError> {
        answer.map(|answer| match answer {
            NatsAnswer::Messages(mut batch) => {
                batch.messages.iter_mut().for_each(|message| message.time = Timestamp::UNIX_EPOCH);
                NatsAnswer::Messages(batch)
            }
            other => other,
        })
    }

    #[tokio::test]
    async fn it_answers_as_a_server_does() {
        let server = NatsServer::start().unwrap();
        let url = server.url();
        let (cx, _) = step("a", Contexts::new().with::<Answers<NatsAsk>>(Arc::new(Real::new())), Secrets::none());
        let mut model = Nats::default();
        let client = async_nats::connect(&url).await.unwrap();
        let context = jetstream::new(client);
        let (mut dice, mut stream) = (7, None);
        let subjects = ["a.b", "a.c", "a.b.c"];
        for round in 0..600 {
            if round == 20 {
                let config =
                    jetstream::stream::Config { name: "S".into(), subjects: vec!["a.>".into()], ..Default::default() };
                stream = Some(context.create_stream(config).await.unwrap());
                model.create(&url, "S", &["a.>"]);
            }
            let to = Server::at(&url);
            let subject = subjects[usize::try_from(roll(&mut dice, 3)).unwrap()];
            match roll(&mut dice, 10) {
                0..4 if stream.is_some() => {
                    let payload = vec![b'x'; usize::try_from(roll(&mut dice, 400)).unwrap()];
                    let mut headers = async_nats::HeaderMap::new();
                    let mut same = BTreeMap::new();
                    if roll(&mut dice, 2) == 0 {
                        headers.append("Trace", "1");
                        headers.append("Trace", "two words");
                        same.insert("Trace".to_owned(), vec!["1".to_owned(), "two words".to_owned()]);
                    }
                    let sent = context.publish_with_headers(subject, headers, payload.clone().into()).await.unwrap();
                    sent.await.unwrap();
                    model.publish(&url, subject, same, &payload);
                }
                4 if stream.is_some() => {
                    let key = (url.clone(), "S".to_owned());
                    let of = Arc::make_mut(model.streams.get_mut(&key).unwrap());
                    // Several in a row, so that there are gaps longer than what is searched number by number.
                    for sequence in (1 + roll(&mut dice, of.last + 1)..).take(30) {
                        if of.messages.remove(&sequence).is_some() {
                            stream.as_ref().unwrap().delete_message(sequence).await.unwrap();
                        }
                    }
                }
                5 => {
                    let ask = NatsAsk::PublishAndReceive {
                        server: to,
                        subject: if roll(&mut dice, 2) == 0 { "z".into() } else { subject.into() },
                        payload: format!("probe {round}"),
                        within_ms: 5000,
                    };
                    let real = cx.ask(ask.clone()).await;
                    assert_eq!(real, model.answer(ask.clone()), "{ask:?}");
                }
                _ => {
                    let stream = if roll(&mut dice, 9) == 0 { "NONE" } else { "S" }.to_owned();
                    let from = roll(&mut dice, 150);
                    let filters = [None, Some("a.b"), Some("a.*"), Some("a.>"), Some("x")];
                    let filter = filters[usize::try_from(roll(&mut dice, 5)).unwrap()];
                    let range = Range {
                        subject: filter.map(str::to_owned),
                        from: from.max(1),
                        to: from + roll(&mut dice, 150),
                        max_messages: usize::try_from(1 + roll(&mut dice, 20)).unwrap(),
                        max_bytes: usize::try_from(1 + roll(&mut dice, 3000)).unwrap(),
                    };
                    for ask in [
                        NatsAsk::DescribeStream { server: to.clone(), stream: stream.clone() },
                        NatsAsk::GetMessages { server: to, stream, range },
                    ] {
                        let real = timeless(cx.ask(ask.clone()).await);
                        assert_eq!(real, timeless(model.answer(ask.clone())), "{ask:?}");
                    }
                }
            }
        }
        let facts = model.streams[&(url, "S".to_owned())].clone();
        assert!(facts.last > 150 && facts.messages.len() > 20, "the sequence says nothing: {facts:?}");
    }
}
