//! The local system that a migration starts from, and the health document of what it becomes, over HTTP.
//!
//! - `GET /export`: the coordination state that the local system exports, one JSON object a line.
//! - `GET /health`: what the orchestrator in the emulated cloud would answer behind its balancer: healthy while its
//!   service has a running task, 503 otherwise.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::rules::World;
use crate::sandbox::Sandbox;

/// How many rows the export has.
const ROWS: u32 = 50;
const ORCHESTRATOR: &str = "mistersmith-orchestrator";
const AGENT: &str = "mistersmith-agent";

/// Answers until it is dropped.
pub(super) async fn serve(sandbox: Sandbox, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let sandbox = sandbox.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let sandbox = sandbox.clone();
                            async move { Ok::<_, Infallible>(answer(&sandbox, &request).await) }
                        });
                        let connection = hyper::server::conn::http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(stream), service);
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn answer(sandbox: &Sandbox, request: &http::Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply(
            StatusCode::METHOD_NOT_ALLOWED,
            "application/json",
            json!({"error": "no such method"}).to_string(),
        );
    }
    match request.uri().path() {
        "/export" => reply(StatusCode::OK, "application/x-ndjson", export()),
        "/health" => {
            let (status, document) = health(&sandbox.places().await);
            reply(status, "application/json", document.to_string())
        }
        _ => reply(StatusCode::NOT_FOUND, "application/json", json!({"error": "no such path"}).to_string()),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// What the local system knows of its swarms: the same each time.
fn export() -> String {
    let rows = (1..=ROWS).map(|number| {
        let phase = ["explore", "focus", "report"][number as usize % 3];
        let state = json!({"phase": phase, "agents": number % 7 + 1});
        json!({"swarm_id": format!("swarm-{number:03}"), "state": state, "version": number % 5 + 1}).to_string() + "\n"
    });
    rows.collect()
}

/// The health document of the orchestrator.
fn health(world: &World) -> (StatusCode, Value) {
    let agents = running(world, AGENT);
    let (status, word) = match running(world, ORCHESTRATOR) {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        _ => (StatusCode::OK, "healthy"),
    };
    let document = json!({
        "status": word,
        "version": "1.0.0",
        "components": {
            "nats": "connected",
            "database": "connected",
            "discovery_engine": if agents == 0 { "idle" } else { "active" },
        },
        "metrics": {"agents_active": agents, "discoveries_per_second": 150_000, "memory_usage_mb": 256},
    });
    (status, document)
}

/// How many tasks the services of that name run, in all places. A service runs what it wants: nothing fails here.
fn running(world: &World, name: &str) -> i64 {
    let services = world.values().flat_map(|local| local.picture.ecs.services.values());
    services.filter(|it| it.name == name && it.status == "ACTIVE").map(|it| i64::from(it.desired)).sum()
}
