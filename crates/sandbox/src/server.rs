//! HTTP/1.1 in front of a sandbox, or of faults before another endpoint, on loopback, and the routes under
//! `/_switchback/` to look at it and to move it.
//!
//! A call whose reply is lost has its connection closed without an answer. There is no authentication: who can reach
//! the port may do anything, so nothing but loopback is ever bound here.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
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

use crate::cbor;
use crate::clock::Clock;
use crate::endpoint::{Cut, Endpoint, Response};
use crate::faults::{Faults, Plan};
use crate::proxy::Proxy;
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

/// What is served.
#[derive(Clone)]
enum Site {
    Sandbox(Sandbox),
    Proxy(Proxy),
}

impl Site {
    fn endpoint(&self) -> Arc<dyn Endpoint> {
        match self {
            Self::Sandbox(sandbox) => sandbox.endpoint(),
            Self::Proxy(proxy) => proxy.endpoint(),
        }
    }

    fn faults(&self) -> Faults {
        match self {
            Self::Sandbox(sandbox) => sandbox.faults(),
            Self::Proxy(proxy) => proxy.faults(),
        }
    }

    fn clock(&self) -> Clock {
        match self {
            Self::Sandbox(sandbox) => sandbox.clock(),
            Self::Proxy(proxy) => proxy.clock(),
        }
    }

    fn health(&self) -> Value {
        let (pid, now_ms) = (std::process::id(), self.clock().now().millis());
        match self {
            Self::Sandbox(sandbox) => json!({
                "version": 1,
                "status": "ok",
                "account": sandbox.account(),
                "region": sandbox.region(),
                "pid": pid,
                "now_ms": now_ms,
            }),
            Self::Proxy(proxy) => {
                json!({"version": 1, "status": "ok", "target": proxy.target(), "pid": pid, "now_ms": now_ms})
            }
        }
    }

    /// Replaces the plan, or says why not.
    fn plan(&self, body: &Bytes) -> Result<(), String> {
        let plan: Plan = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match self {
            Self::Sandbox(sandbox) => sandbox.faults().set(plan),
            Self::Proxy(proxy) => proxy.set(plan).map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    /// What a target holds is not ours to look at, so that looking at the calls has to do.
    async fn look(&self) {
        if let Self::Proxy(proxy) = self {
            proxy.land().await;
        }
    }
}

/// Answers everything that comes in, until `stop` is done. Connections that are open then are dropped.
pub async fn serve(sandbox: Sandbox, listener: TcpListener, stop: impl Future<Output = ()>) {
    serve_site(Site::Sandbox(sandbox), listener, stop).await;
}

/// As [`serve`], with faults before another endpoint. The admin routes are the same but for `world`; `reset` is about
/// faults and calls only.
pub async fn serve_proxy(proxy: Proxy, listener: TcpListener, stop: impl Future<Output = ()>) {
    serve_site(Site::Proxy(proxy), listener, stop).await;
}

async fn serve_site(site: Site, listener: TcpListener, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => return,
            // Ended connections are forgotten as they end.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(site.clone(), stream)); }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // Out of descriptors: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn connection(site: Site, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { answer(&site, request).await }
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
async fn answer(site: &Site, request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Cut> {
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
            admin(site, &route, request.method(), request.body()).await
        }
        None => {
            let endpoint = site.endpoint();
            let (request, is_cbor) = if let Site::Sandbox(_) = site { cbor::read(request) } else { (request, false) };
            let response = endpoint.call(request).await?;
            if is_cbor { cbor::write(response) } else { response }
        }
    };
    Ok(response.map(Full::new))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_ms: u64,
}

async fn admin(site: &Site, route: &str, method: &Method, body: &Bytes) -> Response {
    let ok = |value: Value| json_reply(StatusCode::OK, &value);
    let faults = site.faults();
    match (method.as_str(), route, site) {
        ("GET", "health", _) => ok(site.health()),
        ("GET", "world", Site::Sandbox(sandbox)) => json_reply(StatusCode::OK, &sandbox.world().await),
        ("GET", "calls", _) => {
            site.look().await;
            let calls = faults.calls();
            let mut counts = std::collections::BTreeMap::<&str, usize>::new();
            for call in calls.iter().filter(|call| !call.landed) {
                *counts.entry(&call.action).or_default() += 1;
            }
            ok(json!({"counts": counts, "calls": calls}))
        }
        ("POST", "reset", _) => {
            if let Site::Sandbox(sandbox) = site {
                sandbox.reset().await;
            }
            faults.clear();
            faults.forget_calls();
            ok(json!({}))
        }
        ("GET", "faults", _) => {
            site.look().await;
            ok(json!({"plan": faults.plan(), "still_to_land": faults.still_to_land()}))
        }
        ("POST", "faults", _) => match site.plan(body) {
            Ok(()) => ok(json!({})),
            Err(error) => bad_request(&error),
        },
        ("DELETE", "faults", _) => {
            faults.clear();
            ok(json!({}))
        }
        ("POST", "clock", _) => match serde_json::from_slice::<ClockChange>(body) {
            Ok(ClockChange { advance_ms }) => {
                site.clock().advance(Duration::from_millis(advance_ms));
                ok(json!({"now_ms": site.clock().now().millis()}))
            }
            Err(error) => bad_request(&error.to_string()),
        },
        (_, "health" | "calls" | "reset" | "faults" | "clock", _) | (_, "world", Site::Sandbox(_)) => {
            json_reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "no such method here"}))
        }
        _ => json_reply(StatusCode::NOT_FOUND, &json!({"error": "no such route"})),
    }
}

fn bad_request(error: &str) -> Response {
    json_reply(StatusCode::BAD_REQUEST, &json!({"error": error}))
}

fn json_reply(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let mut response = Response::new(Bytes::from(serde_json::to_vec_pretty(value).unwrap_or_default()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
