//! The local system that a migration starts from, and the health document of what it becomes, over HTTP.
//!
//! - `GET /export`: the coordination state that the local system exports, one JSON object a line.
//! - `GET /health`: what the orchestrator in the emulated cloud would answer behind its balancer: healthy while its
//!   service has a running task, 503 otherwise.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::endpoint::{Endpoint as _, Request};
use crate::place::Place;
use crate::sandbox::Sandbox;
use crate::service::Service;

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
            let (status, document) = health(sandbox).await;
            reply(status, "application/json", document.to_string())
        }
        _ => reply(StatusCode::NOT_FOUND, "application/json", json!({"error": "no such path"}).to_string()),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
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
async fn health(sandbox: &Sandbox) -> (StatusCode, Value) {
    let agents = running(sandbox, AGENT).await;
    let (status, word) = match running(sandbox, ORCHESTRATOR).await {
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

/// How many tasks the services of that name run, in all places: as ECS says it.
async fn running(sandbox: &Sandbox, name: &str) -> i64 {
    let mut running = 0;
    for (place, local) in sandbox.places().await.iter() {
        for (arn, service) in local.picture.ecs.services.iter().filter(|(_, it)| it.name == name) {
            let Some(call) = describe(place, &service.cluster, arn) else { continue };
            let Ok(reply) = sandbox.rules().call(call).await else { continue };
            let reply: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
            running += reply["services"][0]["runningCount"].as_i64().unwrap_or_default();
        }
    }
    running
}

/// The call for one service.
fn describe(place: &Place, cluster: &str, arn: &str) -> Option<Request> {
    let Place { account, region } = place;
    let (name, target) = (Service::Ecs.name(), Service::Ecs.target());
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{name}/aws4_request, SignedHeaders=host, Signature=0"
    );
    let mut request = Request::new(Bytes::from(json!({"cluster": cluster, "services": [arn]}).to_string()));
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(&signed).ok()?);
    let target = HeaderValue::from_str(&format!("{target}.DescribeServices")).ok()?;
    request.headers_mut().insert(HeaderName::from_static("x-amz-target"), target);
    Some(request)
}
