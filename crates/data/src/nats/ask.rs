//! The calls to a NATS server, and what they answer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchback_engine::operation::ParamError;
use switchback_engine::remote::Ask;
use switchback_model::{OpError, OpResult, SecretRef};

/// A NATS server and who we are for it. TLS is used where the URL or the server asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it is: `nats://host:4222`, or `tls://host:4222` to refuse a server without TLS.
    pub url: String,
    /// The user; needs `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The content of a credentials file (`.creds`), instead of user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SecretRef>,
}

impl Server {
    /// A server that asks nobody who he is.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: url.into(), user: None, password: None, credentials: None }
    }

    /// What is wrong with it.
    pub(crate) fn check(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: &str| {
            errors.push(ParamError { path: vec!["server".to_owned(), field.to_owned()], message: message.to_owned() });
        };
        let host = ["nats://", "tls://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        match host {
            None => wrong("url", "begins with nats:// or tls://"),
            Some(host) if host.is_empty() || host.contains(char::is_whitespace) => wrong("url", "names no host"),
            Some(host) if host.contains('@') => wrong("url", "holds no user: `user` and `password` say who we are"),
            Some(_) => {}
        }
        if self.user.is_some() != self.password.is_some() {
            wrong("user", "goes with a `password`, and a `password` with it");
        }
        if self.user.is_some() && self.credentials.is_some() {
            wrong("credentials", "stand instead of `user` and `password`");
        }
    }
}

/// A call to a NATS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatsAsk {
    /// What is in a stream now.
    DescribeStream {
        /// Where.
        server: Server,
        /// Its name.
        stream: String,
    },
    /// Messages of a stream in the order of their sequence numbers. Neither the stream nor the server keep anything of
    /// it.
    GetMessages {
        /// Where.
        server: Server,
        /// The name of the stream.
        stream: String,
        /// Which, and how many at most.
        range: Range,
    },
    /// Subscribes to a subject, publishes there, and waits for the same to come back.
    PublishAndReceive {
        /// Where.
        server: Server,
        /// The subject, without wildcards.
        subject: String,
        /// What is published: nothing else on that subject is the same.
        payload: String,
        /// How long it may take, in milliseconds.
        within_ms: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatsAnswer {
    /// To `DescribeStream`; none: there is no such stream.
    Stream(Option<StreamFacts>),
    /// To `GetMessages`.
    Messages(Batch),
    /// To `PublishAndReceive`: whether it came back in time.
    Received(bool),
}

/// What is in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The sequence number of its first message; of no meaning where it has none.
    pub first: u64,
    /// The last sequence number that it gave.
    pub last: u64,
    /// How many messages it has.
    pub messages: u64,
}

/// Which messages of a stream, and how many at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Of subjects that match this one; none: of all.
    pub subject: Option<String>,
    /// From this sequence number.
    pub from: u64,
    /// To this one, which belongs to it.
    pub to: u64,
    /// At most so many messages.
    pub max_messages: usize,
    /// And no more than so many bytes; a message that is larger comes alone.
    pub max_bytes: usize,
}

/// Messages, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// By their sequence numbers.
    pub messages: Vec<Message>,
    /// Whatever comes before this sequence number has been seen.
    pub next: u64,
}

impl Batch {
    /// An empty one of this range.
    #[must_use]
    pub fn begin(range: &Range) -> Self {
        Self { messages: Vec::new(), next: range.from }
    }

    /// Takes the next message of the range; breaks when the batch is full, with or without it.
    pub fn take(&mut self, range: &Range, message: Message) -> ControlFlow<()> {
        if !range.subject.as_deref().is_none_or(|filter| matches(filter, &message.subject)) {
            self.next = message.sequence.saturating_add(1);
            return ControlFlow::Continue(());
        }
        let bytes: usize = self.messages.iter().map(Message::size).sum();
        if !self.messages.is_empty() && bytes + message.size() > range.max_bytes {
            self.next = message.sequence;
            return ControlFlow::Break(());
        }
        self.next = message.sequence.saturating_add(1);
        self.messages.push(message);
        if self.messages.len() >= range.max_messages { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// There is no further message in the range.
    pub fn end(&mut self, range: &Range) {
        self.next = self.next.max(range.to.saturating_add(1));
    }
}

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number in the stream.
    pub sequence: u64,
    /// What it was published under.
    pub subject: String,
    /// Its headers, each with all its values.
    pub headers: BTreeMap<String, Vec<String>>,
    /// When the stream took it.
    pub time: Timestamp,
    /// What was published.
    #[serde(with = "hex")]
    pub payload: Vec<u8>,
}

impl Message {
    /// About so many bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers =
            self.headers.iter().map(|(name, values)| name.len() + values.iter().map(String::len).sum::<usize>());
        self.subject.len() + self.payload.len() + headers.sum::<usize>()
    }
}

impl Ask for NatsAsk {
    const SERVICE: &'static str = "nats";
    type Answer = NatsAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::DescribeStream { .. } => "DescribeStream",
            Self::GetMessages { .. } => "GetMessages",
            Self::PublishAndReceive { .. } => "PublishAndReceive",
        }
    }

    fn writes(&self) -> bool {
        matches!(self, Self::PublishAndReceive { .. })
    }
}

impl NatsAnswer {
    /// The answer to `DescribeStream`.
    ///
    /// # Errors
    /// Class `Permanent` when it is another answer.
    pub fn into_stream(self) -> OpResult<Option<StreamFacts>> {
        if let Self::Stream(facts) = self { Ok(facts) } else { Err(other()) }
    }

    /// The answer to `GetMessages`.
    ///
    /// # Errors
    /// Class `Permanent` when it is another answer.
    pub fn into_messages(self) -> OpResult<Batch> {
        if let Self::Messages(batch) = self { Ok(batch) } else { Err(other()) }
    }

    /// The answer to `PublishAndReceive`.
    ///
    /// # Errors
    /// Class `Permanent` when it is another answer.
    pub fn into_received(self) -> OpResult<bool> {
        if let Self::Received(received) = self { Ok(received) } else { Err(other()) }
    }
}

fn other() -> OpError {
    OpError::permanent("a NATS call was answered with what answers another call")
}

/// There is no such stream.
#[must_use]
pub fn no_stream(server: &Server, stream: &str) -> OpError {
    OpError::permanent(format!("there is no stream `{stream}` at {}", server.url))
        .with_code(OpError::NOT_THERE)
        .with_hint("check the name of the stream, the server and whose account it is")
}

/// Whether a subject is one of those that a filter means: `*` stands for one token, `>` at its end for all that follow.
#[must_use]
pub fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// What is wrong with a subject, or with a filter of subjects.
pub(crate) fn check_subject(field: &str, subject: &str, is_filter: bool, errors: &mut Vec<ParamError>) {
    let last = subject.split('.').count() - 1;
    for (i, token) in subject.split('.').enumerate() {
        let wrong = match token {
            "" => "has a token without a letter in it",
            _ if token.contains(|c: char| c.is_whitespace() || c.is_control()) => "holds no space",
            "*" | ">" if !is_filter => "takes no wildcard",
            ">" if i != last => "has `>` at its end only",
            _ => continue,
        };
        return errors.push(ParamError::new(field, wrong));
    }
}

/// What is wrong with the name of a stream.
pub(crate) fn check_stream(stream: &str, errors: &mut Vec<ParamError>) {
    if stream.is_empty() || stream.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c)) {
        errors.push(ParamError::new("stream", "is the name of a stream: without spaces and . * > / \\"));
    }
}

/// Bytes as hex digits.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&switchback_model::canonical::hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(d)?;
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(digits).collect();
        bytes.ok_or_else(|| D::Error::custom("a payload is written in hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64, subject: &str, size: usize) -> Message {
        let payload = vec![b'x'; size - subject.len()];
        Message {
            sequence,
            subject: subject.to_owned(),
            headers: BTreeMap::new(),
            time: Timestamp::UNIX_EPOCH,
            payload,
        }
    }

    #[test]
    fn a_filter_means_what_nats_says() {
        for (filter, subject, is) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*.c", "a.b.c", true),
            ("*.b", "a.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
        ] {
            assert_eq!(matches(filter, subject), is, "{filter} {subject}");
        }
    }

    #[test]
    fn a_batch_is_bounded_and_says_where_to_go_on() {
        let range =
            |max_messages, max_bytes| Range { subject: Some("a.>".into()), from: 3, to: 9, max_messages, max_bytes };
        let run = |range: &Range| {
            let mut batch = Batch::begin(range);
            let all = [message(4, "a.b", 10), message(5, "b.c", 10), message(6, "a.c", 10), message(8, "a.d", 500)];
            if all.into_iter().try_for_each(|m| batch.take(range, m)).is_continue() {
                batch.end(range);
            }
            (batch.messages.iter().map(|m| m.sequence).collect::<Vec<_>>(), batch.next)
        };
        assert_eq!(run(&range(9, 9999)), (vec![4, 6, 8], 10));
        assert_eq!(run(&range(2, 9999)), (vec![4, 6], 7));
        assert_eq!(run(&range(9, 30)), (vec![4, 6], 8));
        assert_eq!(run(&range(9, 15)), (vec![4], 6));
        assert_eq!(run(&range(9, 1)), (vec![4], 6), "one at least");
    }

    #[test]
    fn a_message_survives_being_written_down() {
        let message = Message { payload: vec![0, 255, 16], ..message(1, "a", 2) };
        let text = serde_json::to_string(&message).unwrap();
        assert!(text.contains("\"00ff10\""), "{text}");
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        assert!(serde_json::from_str::<Message>(&text.replace("00ff10", "0g")).is_err());
    }

    #[test]
    fn a_server_is_named_without_a_password() {
        let wrong = |server: Server| {
            let mut errors = Vec::new();
            server.check(&mut errors);
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(Server::at("nats://h:4222")).is_empty());
        assert!(wrong(Server::at("tls://h")).is_empty());
        for url in ["h:4222", "http://h", "nats://", "nats://u:p@h"] {
            assert_eq!(wrong(Server::at(url)), ["server.url"], "{url}");
        }
        assert_eq!(wrong(Server { user: Some("u".into()), ..Server::at("nats://h") }), ["server.user"]);
        let both = Server {
            user: Some("u".into()),
            password: Some(SecretRef::of_input("p")),
            credentials: Some(SecretRef::of_input("c")),
            ..Server::at("nats://h")
        };
        assert_eq!(wrong(both), ["server.credentials"]);
    }

    #[test]
    fn names_and_subjects_are_held_to_the_rules() {
        let subject = |text: &str, is_filter| {
            let mut errors = Vec::new();
            check_subject("subject", text, is_filter, &mut errors);
            errors.is_empty()
        };
        assert!(subject("a.b", false) && subject("a.*.>", true));
        assert!(!subject("a.*", false) && !subject("a..b", true) && !subject("a b", true) && !subject("a.>.b", true));
        let stream = |name: &str| {
            let mut errors = Vec::new();
            check_stream(name, &mut errors);
            errors.is_empty()
        };
        assert!(stream("DISCOVERIES") && !stream("") && !stream("a.b") && !stream("a b"));
    }
}
