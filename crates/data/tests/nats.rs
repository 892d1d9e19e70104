//! The answers of a real NATS server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream;
use secrecy::SecretString;
use switchback_data::nats::ask::{Batch, NatsAnswer, NatsAsk, Range, Server, StreamFacts};
use switchback_data::nats::client::Nats;
use switchback_engine::Cx;
use switchback_engine::cx::Contexts;
use switchback_engine::remote::Answers;
use switchback_engine::secrets::Secrets;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};
use switchback_testing::nats::NatsServer;
use switchback_testing::step::step;

const PASSWORD: &str = "Kanarienvogel-19";

fn password() -> SecretRef {
    SecretRef { fingerprint: "f".into(), ..SecretRef::of_input("password") }
}

fn cx() -> Cx {
    let contexts = Contexts::new().with::<Answers<NatsAsk>>(Arc::new(Nats::new()));
    step("copy", contexts, Secrets::new([(password(), SecretString::from(PASSWORD))])).0
}

async fn stream(url: &str, name: &str) -> jetstream::Context {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{}.>", name.to_lowercase())],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context
}

async fn publish(context: &jetstream::Context, subject: &str, payload: &str) -> u64 {
    context.publish(subject.to_owned(), payload.to_owned().into()).await.unwrap().await.unwrap().sequence
}

async fn describe(cx: &Cx, server: &Server, stream: &str) -> OpResult<Option<StreamFacts>> {
    cx.ask(NatsAsk::DescribeStream { server: server.clone(), stream: stream.into() }).await?.into_stream()
}

async fn read(cx: &Cx, server: &Server, stream: &str, range: Range) -> OpResult<Batch> {
    let ask = NatsAsk::GetMessages { server: server.clone(), stream: stream.into(), range };
    cx.ask(ask).await?.into_messages()
}

fn range(subject: Option<&str>, from: u64, to: u64, max_messages: usize) -> Range {
    Range { subject: subject.map(str::to_owned), from, to, max_messages, max_bytes: 1_000_000 }
}

fn sequences(batch: &Batch) -> Vec<u64> {
    batch.messages.iter().map(|message| message.sequence).collect()
}

async fn probe(cx: &Cx, server: &Server, subject: &str) -> OpResult<NatsAnswer> {
    let (server, subject) = (server.clone(), subject.to_owned());
    cx.ask(NatsAsk::PublishAndReceive { server, subject, payload: "one of a kind".into(), within_ms: 3000 }).await
}

#[tokio::test]
async fn messages_are_read_in_order_over_gaps_and_nothing_is_left_at_the_server() {
    let real = NatsServer::start().unwrap();
    let (server, cx) = (Server::at(real.url()), cx());
    assert_eq!(describe(&cx, &server, "EVENTS").await.unwrap(), None);
    let gone = read(&cx, &server, "EVENTS", range(None, 1, 9, 5)).await.unwrap_err();
    assert_eq!((gone.class, gone.code.as_deref()), (ErrorClass::Permanent, Some(OpError::NOT_THERE)));

    let context = stream(&real.url(), "EVENTS").await;
    assert_eq!(describe(&cx, &server, "EVENTS").await.unwrap().unwrap().messages, 0);
    let mut headers = HeaderMap::new();
    headers.append("Trace", "a");
    headers.append("Trace", "b");
    context.publish_with_headers("events.found", headers, "{}".into()).await.unwrap().await.unwrap();
    for n in 2..=600 {
        publish(&context, if n % 300 == 0 { "events.rare" } else { "events.found" }, &n.to_string()).await;
    }
    let mut events = context.get_stream("EVENTS").await.unwrap();
    for sequence in 3..=290 {
        events.delete_message(sequence).await.unwrap();
    }
    let facts = describe(&cx, &server, "EVENTS").await.unwrap();
    assert_eq!(facts, Some(StreamFacts { first: 1, last: 600, messages: 312 }));

    let batch = read(&cx, &server, "EVENTS", range(None, 1, 600, 4)).await.unwrap();
    assert_eq!((sequences(&batch), batch.next), (vec![1, 2, 291, 292], 293));
    assert_eq!(batch.messages[0].headers, BTreeMap::from([("Trace".to_owned(), vec!["a".to_owned(), "b".to_owned()])]));
    assert_eq!(batch.messages[2].payload, b"291");
    let rest = read(&cx, &server, "EVENTS", range(None, 293, 600, 1000)).await.unwrap();
    assert_eq!((rest.messages.len(), rest.next), (308, 601));
    let rare = read(&cx, &server, "EVENTS", range(Some("events.rare"), 1, 599, 10)).await.unwrap();
    assert_eq!((sequences(&rare), rare.next), (vec![300], 600));
    let none = read(&cx, &server, "EVENTS", range(Some("events.never"), 1, 600, 10)).await.unwrap();
    assert_eq!((sequences(&none), none.next), (vec![], 601));

    let after = events.info().await.unwrap();
    assert_eq!((after.state.messages, after.state.consumer_count), (312, 0), "nothing is changed");
}

#[tokio::test]
async fn a_probe_receives_what_it_publishes() {
    let real = NatsServer::start().unwrap();
    let cx = cx();
    let received = probe(&cx, &Server::at(real.url()), "switchback.probe").await.unwrap();
    assert!(received.into_received().unwrap());
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let mut real = NatsServer::start().unwrap();
    let (server, cx) = (Server::at(real.url()), cx());
    let context = stream(&real.url(), "EVENTS").await;
    publish(&context, "events.a", "1").await;
    assert_eq!(describe(&cx, &server, "EVENTS").await.unwrap().unwrap().messages, 1);
    real.stop();
    // Whether it is noticed before a request or by it: nothing happened, and it may be tried again.
    let away = loop {
        match describe(&cx, &server, "EVENTS").await {
            Err(away) => break away,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!((away.class, away.service.as_deref()), (ErrorClass::Transient, Some("nats")), "{away}");
    real.restart().unwrap();
    assert_eq!(describe(&cx, &server, "EVENTS").await.unwrap().unwrap().messages, 1);
}

#[tokio::test]
async fn who_is_not_known_pauses_the_run_and_the_password_is_not_told() {
    let real = NatsServer::start_with(&["--user", "switchback", "--pass", PASSWORD]).unwrap();
    let cx = cx();
    let nobody = describe(&cx, &Server::at(real.url()), "EVENTS").await.unwrap_err();
    assert_eq!(nobody.class, ErrorClass::Unavailable, "{nobody}");
    let named = |user: &str| Server { user: Some(user.into()), password: Some(password()), ..Server::at(real.url()) };
    let other = describe(&cx, &named("other"), "EVENTS").await.unwrap_err();
    assert_eq!(other.class, ErrorClass::Unavailable);
    assert!(!format!("{other:?}").contains(PASSWORD), "{other:?}");
    assert_eq!(describe(&cx, &named("switchback"), "EVENTS").await.unwrap(), None);
    let tls = Server { url: real.url().replace("nats://", "tls://"), ..named("switchback") };
    assert!(describe(&cx, &tls, "EVENTS").await.is_err(), "TLS that was asked for is not left out");
}

#[tokio::test]
async fn what_is_not_allowed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    let rules = "authorization { users = [ { user: switchback, password: \"Kanarienvogel-19\", \
                 permissions: { publish: [\"$JS.API.STREAM.INFO.*\"], subscribe: [\"_INBOX.>\", \"a\"] } } ] }";
    std::fs::write(&config, rules).unwrap();
    let real = NatsServer::start_with(&["-c", &config.to_string_lossy()]).unwrap();
    let server = Server { user: Some("switchback".into()), password: Some(password()), ..Server::at(real.url()) };
    let cx = cx();
    assert_eq!(describe(&cx, &server, "EVENTS").await.unwrap(), None);
    let refused = probe(&cx, &server, "a").await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Permanent);
    assert!(refused.message.contains("was refused"), "{refused}");
}

#[tokio::test]
async fn without_jetstream_there_are_no_streams() {
    // An account of its own without JetStream.
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "accounts { A { users = [ { user: a, password: a } ] } }\nno_auth_user: a\n").unwrap();
    let real = NatsServer::start_with(&["-c", &config.to_string_lossy()]).unwrap();
    let error = describe(&cx(), &Server::at(real.url()), "EVENTS").await.unwrap_err();
    assert_ne!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains("JetStream") || error.message.contains("jetstream"), "{error}");
}
