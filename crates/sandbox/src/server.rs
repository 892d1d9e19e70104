//! HTTP/1.1 in front of a sandbox, on loopback, and the routes under `/_switchback/` to look at it and to move it.
//!
//! A call whose reply is lost has its connection closed without an answer. There is no authentication: who can reach
//! the port may do anything, so nothing but loopback is ever bound here.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::endpoint::{Cut, Response};
use crate::faults::Plan;
use crate::sandbox::Sandbox;

/// Where the admin routes are.
const ADMIN: &str = "/_switchback/";
/// No call to AWS that is stood in for here has a larger body.
const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// Binds a port of the loopback interface; 0 is any that is free.
///
/// # Errors
/// When the port is taken or may not be bound.
pub async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Answers everything that comes in, until `stop` is done. Connections that are open then are dropped.
pub async fn serve(sandbox: Sandbox, listener: TcpListener, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => return,
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(sandbox.clone(), stream)); }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of descriptors: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn connection(sandbox: Sandbox, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let sandbox = sandbox.clone();
        async move { answer(&sandbox, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

/// An error closes the connection without an answer.
async fn answer(sandbox: &Sandbox, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(
                json_reply(StatusCode::PAYLOAD_TOO_LARGE, &json!({"error": "the body is too large"})).map(Full::new)
            );
        }
        // The caller went away.
        Err(_) => return Err(Cut::NoReply),
    };
    let request = http::Request::from_parts(parts, body);
    let response = match request.uri().path().strip_prefix(ADMIN) {
        Some(route) => {
            let route = route.to_owned();
            admin(sandbox, &route, request.method(), request.body()).await
        }
        None => {
            let endpoint = sandbox.endpoint();
            endpoint.call(request).await?
        }
    };
    Ok(response.map(Full::new))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_ms: u64,
}

async fn admin(sandbox: &Sandbox, route: &str, method: &Method, body: &Bytes) -> Response {
    let ok = |value: Value| json_reply(StatusCode::OK, &value);
    match (method.as_str(), route) {
        ("GET", "health") => ok(json!({
            "version": 1,
            "status": "ok",
            "account": sandbox.account(),
            "region": sandbox.region(),
            "pid": std::process::id(),
            "now_ms": sandbox.clock().now().millis(),
        })),
        ("GET", "world") => json_reply(StatusCode::OK, &sandbox.world().await),
        ("GET", "calls") => {
            let calls = sandbox.faults().calls();
            let mut counts = std::collections::BTreeMap::<&str, usize>::new();
            for call in calls.iter().filter(|call| !call.landed) {
                *counts.entry(&call.action).or_default() += 1;
            }
            ok(json!({"counts": counts, "calls": calls}))
        }
        ("POST", "reset") => {
            sandbox.reset().await;
            sandbox.faults().clear();
            sandbox.faults().forget_calls();
            ok(json!({}))
        }
        ("GET", "faults") => json_reply(
            StatusCode::OK,
            &json!({"plan": sandbox.faults().plan(), "still_to_land": sandbox.faults().still_to_land()}),
        ),
        ("POST", "faults") => match serde_json::from_slice::<Plan>(body) {
            Ok(plan) => {
                sandbox.faults().set(plan);
                ok(json!({}))
            }
            Err(error) => bad_request(&error),
        },
        ("DELETE", "faults") => {
            sandbox.faults().clear();
            ok(json!({}))
        }
        ("POST", "clock") => match serde_json::from_slice::<ClockChange>(body) {
            Ok(ClockChange { advance_ms }) => {
                sandbox.clock().advance(Duration::from_millis(advance_ms));
                ok(json!({"now_ms": sandbox.clock().now().millis()}))
            }
            Err(error) => bad_request(&error),
        },
        (_, "health" | "world" | "calls" | "reset" | "faults" | "clock") => {
            json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "no such method here"}))
        }
        _ => json_reply(StatusCode::NOT_FOUND, &json!({"error": "no such route"})),
    }
}

fn bad_request(error: &serde_json::Error) -> Response {
    json_reply(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()}))
}

fn json_reply(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let mut response = Response::new(Bytes::from(serde_json::to_vec_pretty(value).unwrap_or_default()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
