//! The answers of real NATS servers.
//!
//! One connection to each server, kept until it breaks. Messages are read with `STREAM.MSG.GET`, by sequence number and
//! several at a time: it needs no consumer, so the server keeps nothing of it, and no stream has to allow direct access.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use aws_smithy_types::base64;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use switchback_engine::Cx;
use switchback_engine::operation::BoxFuture;
use switchback_engine::remote::{Ask as _, Remote};
use switchback_model::{ErrorClass, OpError, OpResult};

use super::ask::{Batch, Message, NatsAnswer, NatsAsk, Range, Server, StreamFacts, no_stream};

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to answer one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a broken connection is made again by itself, before the next call makes another one.
const RECONNECTS: usize = 5;
/// How many messages are asked for at a time.
const AT_A_TIME: usize = 32;
/// After so many numbers without a message the server is asked for the next one that has one.
const LONGEST_SEARCH: u32 = 64;

/// The NATS servers that a run's steps name.
#[derive(Debug, Clone, Default)]
pub struct Nats {
    connections: Arc<Mutex<HashMap<Server, Connection>>>,
}

/// A connection, and what the server last said of it.
#[derive(Debug, Clone)]
struct Connection {
    client: Client,
    refused: Arc<Mutex<Option<String>>>,
}

impl Nats {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    async fn connection(&self, cx: &Cx, server: &Server) -> OpResult<Connection> {
        let kept = self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned();
        if let Some(kept) = kept.filter(|c| c.client.connection_state() == State::Connected) {
            return Ok(kept);
        }
        let made = connect(cx, server).await?;
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone(), made.clone());
        Ok(made)
    }
}

async fn connect(cx: &Cx, server: &Server) -> OpResult<Connection> {
    let refused = Arc::new(Mutex::new(None));
    let heard = refused.clone();
    let mut options = ConnectOptions::new()
        .name("switchback")
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .max_reconnects(RECONNECTS)
        // The runbook says where to connect, not the server.
        .ignore_discovered_servers()
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            std::future::ready(())
        });
    if let (Some(user), Some(password)) = (&server.user, &server.password) {
        options = options.user_and_password(user.clone(), cx.secret(password)?.expose_secret().to_owned());
    }
    if let Some(credentials) = &server.credentials {
        // What is wrong with it could quote it.
        options = options.credentials(cx.secret(credentials)?.expose_secret()).map_err(|_| {
            OpError::permanent(format!("the credentials for {} are not those of a `.creds` file", server.url))
        })?;
    }
    let client = options.connect(server.url.as_str()).await.map_err(|error| {
        let class = match error.kind() {
            ConnectErrorKind::ServerParse => ErrorClass::Permanent,
            ConnectErrorKind::Authentication
            | ConnectErrorKind::AuthorizationViolation
            | ConnectErrorKind::Dns
            | ConnectErrorKind::Tls => ErrorClass::Unavailable,
            ConnectErrorKind::TimedOut | ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
                ErrorClass::Transient
            }
        };
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        failed(class, format!("no connection to {}: {}{cause}", server.url, error.kind()))
            .with_hint("check the server's address, that it runs, and who may connect")
    })?;
    Ok(Connection { client, refused })
}

fn failed(class: ErrorClass, message: String) -> OpError {
    OpError { service: Some(NatsAsk::SERVICE.to_owned()), ..OpError::new(class, message) }
}

impl Connection {
    /// What a request without an answer means: the server says apart from it that it was not allowed.
    fn unanswered(&self, about: &str, why: &dyn std::fmt::Display) -> OpError {
        match self.refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(said) => failed(ErrorClass::Permanent, format!("{about} was refused: {said}")),
            None => failed(ErrorClass::Transient, format!("{about} was not answered: {why}")),
        }
    }

    async fn describe(&self, server: &Server, stream: &str) -> OpResult<Option<StreamFacts>> {
        match jetstream::new(self.client.clone()).get_stream(stream).await {
            Ok(found) => {
                let state = &found.cached_info().state;
                let (first, last) = (state.first_sequence, state.last_sequence);
                Ok(Some(StreamFacts { first, last, messages: state.messages }))
            }
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(e) if e.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND => {
                    Ok(None)
                }
                _ => Err(self.stream_error(server, stream, &error)),
            },
        }
    }

    fn stream_error(&self, server: &Server, stream: &str, error: &GetStreamError) -> OpError {
        let about = format!("the stream `{stream}` at {}", server.url);
        match error.kind() {
            GetStreamErrorKind::JetStream(e) => jetstream_error(&about, &e),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                failed(ErrorClass::Permanent, format!("{about}: {error}"))
            }
            GetStreamErrorKind::Request => {
                match error.source().and_then(|cause| cause.downcast_ref::<RequestError>()) {
                    Some(cause) => self.request_error(&about, cause),
                    None => self.unanswered(&about, error),
                }
            }
        }
    }

    /// The message that is asked for; none when there is none.
    async fn message(&self, from: &Source<'_>, which: Which<'_>) -> OpResult<Option<Message>> {
        let about = || format!("a message of `{}` at {}", from.name, from.server.url);
        let reply = from.context.request(format!("STREAM.MSG.GET.{}", from.name), &which).await;
        let reply: Reply = reply.map_err(|error| self.request_error(&about(), &error))?;
        match (reply.message, reply.error) {
            (Some(stored), None) => {
                let unreadable = |why| failed(ErrorClass::Permanent, format!("{} cannot be read: {why}", about()));
                stored.into_message().map(Some).map_err(unreadable)
            }
            (_, Some(error)) => match error.error_code() {
                jetstream::ErrorCode::NO_MESSAGE_FOUND => Ok(None),
                jetstream::ErrorCode::STREAM_NOT_FOUND => Err(no_stream(from.server, from.name)),
                _ => Err(jetstream_error(&about(), &error)),
            },
            (None, None) => Err(failed(ErrorClass::Permanent, format!("{} has an empty answer", about()))),
        }
    }

    fn request_error(&self, about: &str, error: &RequestError) -> OpError {
        match error.kind() {
            RequestErrorKind::NoResponders => {
                failed(ErrorClass::Unavailable, format!("{about}: JetStream is not there"))
                    .with_hint("enable JetStream at the server (`-js`) and for the account, and `switchback resume`")
            }
            RequestErrorKind::InvalidSubject => failed(ErrorClass::Permanent, format!("{about}: {error}")),
            RequestErrorKind::TimedOut | RequestErrorKind::Other => self.unanswered(about, error),
        }
    }

    async fn messages(&self, server: &Server, name: &str, range: &Range) -> OpResult<Batch> {
        let from = &Source { server, name, context: jetstream::new(self.client.clone()) };
        let mut batch = Batch::begin(range);
        loop {
            // Nothing is asked for before it is wanted: who takes a few large messages leaves the rest.
            let mut found = futures_util::stream::iter(batch.next..=range.to)
                .map(|sequence| self.message(from, Which { seq: sequence, next_by_subj: None }))
                .buffered(AT_A_TIME.min(range.max_messages.max(1)));
            let mut vain = 0;
            while let Some(message) = found.next().await {
                let taken = batch.messages.len();
                match message? {
                    Some(message) => {
                        if batch.take(range, message) == ControlFlow::Break(()) {
                            return Ok(batch);
                        }
                    }
                    None => batch.next = batch.next.saturating_add(1),
                }
                vain = if batch.messages.len() > taken { 0 } else { vain + 1 };
                if vain == LONGEST_SEARCH {
                    break;
                }
            }
            if batch.next > range.to {
                break;
            }
            let filter = range.subject.as_deref().unwrap_or(">");
            match self.message(from, Which { seq: batch.next, next_by_subj: Some(filter) }).await? {
                Some(message) if message.sequence <= range.to => batch.next = message.sequence,
                _ => break,
            }
        }
        batch.end(range);
        Ok(batch)
    }

    async fn publish_and_receive(&self, subject: &str, payload: &str, within: Duration) -> OpResult<bool> {
        let about = format!("a message under `{subject}`");
        let published = async {
            let mut heard = self.client.subscribe(subject.to_owned()).await.map_err(|e| self.unanswered(&about, &e))?;
            // The subscription stands before anything is published.
            self.client.flush().await.map_err(|e| self.unanswered(&about, &e))?;
            let sent = self.client.publish(subject.to_owned(), payload.to_owned().into()).await;
            sent.map_err(|e| self.unanswered(&about, &e))?;
            self.client.flush().await.map_err(|e| self.unanswered(&about, &e))?;
            while let Some(message) = heard.next().await {
                if message.payload == payload.as_bytes() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        match tokio::time::timeout(within, published).await {
            Ok(Ok(true)) => Ok(true),
            Ok(Err(error)) => Err(error),
            Ok(Ok(false)) | Err(_) => match self.unanswered(&about, &"it did not come back") {
                refused if refused.class == ErrorClass::Permanent => Err(refused),
                _ => Ok(false),
            },
        }
    }
}

/// A stream that is read.
struct Source<'a> {
    server: &'a Server,
    name: &'a str,
    context: jetstream::Context,
}

/// Which message is asked for: the one of this number, or the next one from it on that a filter means.
#[derive(Debug, Serialize)]
struct Which<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
}

/// The answer to `STREAM.MSG.GET`. Read here and not by the client's own types: those keep one value of a header only.
#[derive(Debug, Deserialize)]
struct Reply {
    message: Option<Stored>,
    error: Option<jetstream::Error>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    time: Timestamp,
}

impl Stored {
    fn into_message(self) -> Result<Message, String> {
        let decoded = |text: &str| base64::decode(text).map_err(|error| error.to_string());
        let headers = String::from_utf8(decoded(&self.hdrs)?).map_err(|error| format!("a header: {error}"))?;
        let payload = decoded(&self.data)?;
        Ok(Message { sequence: self.seq, subject: self.subject, headers: parse(&headers), time: self.time, payload })
    }
}

/// Headers as they are sent: a line `NATS/1.0`, and one for each value.
fn parse(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        headers.entry(name.to_owned()).or_default().push(value.trim().to_owned());
    }
    headers
}

/// What JetStream itself says.
fn jetstream_error(about: &str, error: &jetstream::Error) -> OpError {
    let class = match error.error_code() {
        jetstream::ErrorCode::JETSTREAM_NOT_ENABLED | jetstream::ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            ErrorClass::Unavailable
        }
        _ if error.code() >= 500 => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    };
    failed(class, format!("{about}: {error}")).with_code(error.error_code().0.to_string())
}

impl Remote<NatsAsk> for Nats {
    fn ask<'a>(&'a self, cx: &'a Cx, ask: NatsAsk) -> BoxFuture<'a, OpResult<NatsAnswer>> {
        Box::pin(async move {
            match ask {
                NatsAsk::DescribeStream { server, stream } => {
                    let found = self.connection(cx, &server).await?.describe(&server, &stream).await?;
                    Ok(NatsAnswer::Stream(found))
                }
                NatsAsk::GetMessages { server, stream, range } => {
                    let batch = self.connection(cx, &server).await?.messages(&server, &stream, &range).await?;
                    Ok(NatsAnswer::Messages(batch))
                }
                NatsAsk::PublishAndReceive { server, subject, payload, within_ms } => {
                    let within = Duration::from_millis(within_ms);
                    let connection = self.connection(cx, &server).await?;
                    let received = connection.publish_and_receive(&subject, &payload, within).await?;
                    Ok(NatsAnswer::Received(received))
                }
            }
        })
    }
}
