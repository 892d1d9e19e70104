//! The faults layer in front of any HTTP endpoint: an emulator that is not ours, or any other service.
//!
//! ```text
//! caller ── server or in-process client ── faults ── forward ── HTTP ── the target
//! ```
//!
//! What passes is not touched: path, query, headers and body, also `Host`, so that a signature stays good. Faults answer in
//! the words of the AWS service in the call's credential scope, and in EC2's when there is none. What needs the sandbox's
//! rules is refused: the world of the target, as it was and as it is, is not known here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::client::Client;
use crate::clock::Clock;
use crate::endpoint::{Cut, Endpoint, Request, Response};
use crate::faults::{FaultLayer, Faults, Plan};

/// What belongs to one connection and is not passed on.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName::from_static("keep-alive"), TE, TRANSFER_ENCODING, UPGRADE];

/// What can be wrong with a target or a plan.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The target is not `http://HOST[:PORT][/PATH]`.
    #[error("`{url}` is no target: {why}")]
    Target {
        /// As it was given.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The plan has an effect that only the sandbox can give.
    #[error("the fault `{effect}` cannot be had in front of a foreign endpoint: it needs the rules of the sandbox")]
    NeedsRules {
        /// As in the plan: `lag`.
        effect: &'static str,
    },
    /// The file of the plan cannot be read.
    #[error("could not read the plan `{}`", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is no plan.
    #[error("`{}` is no plan of faults", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: serde_json::Error,
    },
}

/// Faults in front of a target. Clones are handles to the same one.
///
/// Late effects reach the target when the next call comes, or when [`Proxy::land`] is called, after their time.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    target: String,
    faults: Faults,
    clock: Clock,
    stack: Arc<FaultLayer>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("target", &self.0.target).finish_non_exhaustive()
    }
}

impl Proxy {
    /// In front of a base URL: `http://127.0.0.1:5000`, with a path if the target has one.
    ///
    /// # Errors
    /// [`ProxyError::Target`] when it is not such a URL; `https` is not spoken.
    pub fn new(target: &str) -> Result<Self, ProxyError> {
        let forward = Arc::new(Forward::to(target)?);
        Ok(Self::of(target, forward, Clock::real()))
    }

    /// In front of anything that answers, in this process.
    #[must_use]
    pub fn around(inner: Arc<dyn Endpoint>, clock: Clock) -> Self {
        Self::of("in this process", inner, clock)
    }

    fn of(target: &str, inner: Arc<dyn Endpoint>, clock: Clock) -> Self {
        let faults = Faults::default();
        let stack = Arc::new(FaultLayer::in_front_of(inner, faults.clone(), clock.clone()));
        Self(Arc::new(Inner { target: target.to_owned(), faults, clock, stack }))
    }

    /// The target, as it was given.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// The faults, and the calls that were made. An effect that needs the rules, when it gets here past
    /// [`Proxy::set`], is answered with 501 `NotImplemented`.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.faults.clone()
    }

    /// Replaces the plan.
    ///
    /// # Errors
    /// [`ProxyError::NeedsRules`]; then the plan stays as it was.
    pub fn set(&self, plan: Plan) -> Result<(), ProxyError> {
        match plan.faults.iter().map(|fault| &fault.effect).find(|effect| effect.needs_rules()) {
            Some(effect) => Err(ProxyError::NeedsRules { effect: effect.name() }),
            None => {
                self.0.faults.set(plan);
                Ok(())
            }
        }
    }

    /// Sends the late effects whose time has come.
    pub async fn land(&self) {
        self.0.stack.land().await;
    }

    /// The clock that late effects and slow answers follow.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clock.clone()
    }

    /// The faults and the target behind them.
    #[must_use]
    pub fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::clone(&self.0.stack) as Arc<dyn Endpoint>
    }

    /// A client for the AWS SDK that needs no socket before the target's. Whatever host a call is for, it goes there.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(Client(self.endpoint()))
    }
}

/// Reads a plan from a JSON file.
///
/// # Errors
/// [`ProxyError::Read`] and [`ProxyError::Parse`].
pub fn read_plan(path: &Path) -> Result<Plan, ProxyError> {
    let text = std::fs::read(path).map_err(|source| ProxyError::Read { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| ProxyError::Parse { path: path.to_owned(), source })
}

/// Sends requests on to a base URL. No answer is waited for longer than the caller waits.
struct Forward {
    authority: Authority,
    /// Without a slash at its end.
    path: String,
    client: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Forward {
    fn to(target: &str) -> Result<Self, ProxyError> {
        let wrong = |why| ProxyError::Target { url: target.to_owned(), why };
        let url: Uri = target.parse().map_err(|_| wrong("it is no URL"))?;
        if url.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("it has to start with `http://`"));
        }
        let Some(authority) = url.authority().cloned() else { return Err(wrong("it has no host")) };
        if url.query().is_some() {
            return Err(wrong("it has a query"));
        }
        // A connection for each call: one that the target has just closed would be a fault that no plan asked for.
        let client = HyperClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { authority, path: url.path().trim_end_matches('/').to_owned(), client })
    }

    /// The same path and query at the target.
    fn at_target(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let asked = format!("{}{asked}", self.path);
        Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(asked).build()
    }

    async fn send(&self, request: Request) -> Result<Response, Cut> {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.at_target(&parts.uri).map_err(|_| Cut::Refused)?;
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        strip(&mut parts.headers);
        let sent = self.client.request(http::Request::from_parts(parts, Full::new(body))).await;
        let response = sent.map_err(|error| {
            tracing::debug!(%error, "no answer from the target");
            if error.is_connect() { Cut::Refused } else { Cut::NoReply }
        })?;
        let (mut parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| Cut::NoReply)?.to_bytes();
        strip(&mut parts.headers);
        parts.version = http::Version::HTTP_11;
        parts.extensions.clear();
        Ok(Response::from_parts(parts, body))
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

impl Endpoint for Forward {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Cut>> {
        self.send(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Effect, Fault, Meddling};

    #[test]
    fn a_target_is_an_http_url() {
        for bad in ["", "127.0.0.1:1", "https://127.0.0.1:1", "http://", "/x", "http://127.0.0.1:1/?a=b"] {
            assert!(matches!(Forward::to(bad), Err(ProxyError::Target { .. })), "{bad}");
        }
    }

    #[test]
    fn the_path_is_put_behind_the_targets() {
        for (target, asked, at) in [
            ("http://127.0.0.1:1", "http://ec2.amazonaws.com/?Action=X", "http://127.0.0.1:1/?Action=X"),
            ("http://127.0.0.1:1/a/", "/b?c", "http://127.0.0.1:1/a/b?c"),
        ] {
            let target = Forward::to(target).unwrap();
            assert_eq!(target.at_target(&asked.parse().unwrap()).unwrap().to_string(), at);
        }
    }

    #[test]
    fn a_plan_that_needs_the_rules_is_refused() {
        let proxy = Proxy::new("http://127.0.0.1:1").unwrap();
        let plan = |effect| Plan { faults: vec![Fault::new("*", effect)], ..Plan::default() };
        proxy.set(plan(Effect::Throttle)).unwrap();
        for effect in [Effect::Lag { ms: 1 }, Effect::Stuck, Effect::Meddle { how: Meddling::Change }] {
            assert!(matches!(proxy.set(plan(effect)), Err(ProxyError::NeedsRules { .. })));
        }
        assert_eq!(proxy.faults().plan().faults, plan(Effect::Throttle).faults);
    }
}
