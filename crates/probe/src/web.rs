//! Calls to web servers and to ports, and who answers them.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url, redirect};
use serde::{Deserialize, Serialize};
use switchback_engine::Cx;
use switchback_engine::operation::BoxFuture;
use switchback_engine::remote::{Ask, Remote};
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::net::TcpStream;

/// The longest body that is read.
const LONGEST_BODY: usize = 1 << 20;

/// A request to a web server that changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpAsk {
    /// `GET`.
    Get(HttpRequest),
    /// `HEAD`.
    Head(HttpRequest),
}

/// What is asked, and of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `https://example.com/health`.
    pub url: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    /// The host and port to connect to instead of those in the URL.
    pub connect_to: Option<String>,
    /// How long the answer may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What a web server answered; redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// `200`.
    pub status: u16,
    /// By name in lower case; of several of one name, joined with commas.
    pub headers: BTreeMap<String, String>,
    /// The body, a mebibyte at most; what is not UTF-8 is replaced.
    pub body: String,
}

impl Ask for HttpAsk {
    const SERVICE: &'static str = "http";
    type Answer = HttpAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::Get(_) => "Get",
            Self::Head(_) => "GetHead",
        }
    }

    fn writes(&self) -> bool {
        false
    }
}

/// A question to a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TcpAsk {
    /// Whether it takes a connection, which is closed at once.
    Connect {
        /// `db.internal:5432`.
        address: String,
        /// How long that may take, in milliseconds.
        timeout_ms: u64,
    },
}

/// It did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpAnswer {
    /// The address and port that it was reached at.
    pub peer: String,
}

impl Ask for TcpAsk {
    const SERVICE: &'static str = "tcp";
    type Answer = TcpAnswer;

    fn action(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "GetConnection",
        }
    }

    fn writes(&self) -> bool {
        false
    }
}

/// The network of this machine. Certificates are held to the roots of the system; no proxy is used, and nothing of
/// the environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Web;

fn transient(message: String) -> OpError {
    OpError::new(ErrorClass::Transient, message)
}

/// An error in all its words: the first ones alone seldom say what was wrong.
fn whole(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The first address of a host and port.
async fn resolved(address: &str) -> OpResult<SocketAddr> {
    let found = tokio::net::lookup_host(address).await;
    let found = found.map_err(|e| transient(format!("{address} cannot be looked up: {e}")))?.next();
    found.ok_or_else(|| transient(format!("{address} has no address")))
}

async fn fetch(method: Method, asked: HttpRequest) -> OpResult<HttpAnswer> {
    let wrong = |what: &str, why: &dyn std::fmt::Display| OpError::permanent(format!("{what}: {why}"));
    let mut url: Url = asked.url.parse().map_err(|e| wrong(&asked.url, &e))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        let key: HeaderName = name.parse().map_err(|e| wrong(name, &e))?;
        headers.insert(key, HeaderValue::from_str(value).map_err(|e| wrong(name, &e))?);
    }
    let timeout = Duration::from_millis(asked.timeout_ms);
    let mut client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(timeout);
    if let (Some(address), Some(host)) = (&asked.connect_to, url.host_str().map(str::to_owned)) {
        let to = tokio::time::timeout(timeout, resolved(address)).await;
        let to = to.map_err(|_| transient(format!("{address} was not looked up in time")))??;
        client = client.resolve(&host, to);
        // The port in a URL goes before that of the address; the server sees the host as it was.
        if !headers.contains_key(HOST) {
            let authority = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
            headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|e| wrong(&asked.url, &e))?);
        }
        url.set_port(Some(to.port())).map_err(|()| wrong(&asked.url, &"it has no port"))?;
    }
    let client = client.build().map_err(|e| OpError::permanent(whole(&e)))?;
    let reply = client.request(method, url).headers(headers).send().await;
    let mut reply = reply.map_err(|e| transient(whole(&e)))?;
    let mut body = Vec::new();
    while let Some(part) = reply.chunk().await.map_err(|e| transient(whole(&e)))? {
        body.extend_from_slice(&part);
        if body.len() > LONGEST_BODY {
            body.truncate(LONGEST_BODY);
            break;
        }
    }
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in reply.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let all = headers.entry(name.as_str().to_owned()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(&value);
    }
    Ok(HttpAnswer { status: reply.status().as_u16(), headers, body: String::from_utf8_lossy(&body).into_owned() })
}

impl Remote<HttpAsk> for Web {
    fn ask<'a>(&'a self, _cx: &'a Cx, ask: HttpAsk) -> BoxFuture<'a, OpResult<HttpAnswer>> {
        Box::pin(match ask {
            HttpAsk::Get(asked) => fetch(Method::GET, asked),
            HttpAsk::Head(asked) => fetch(Method::HEAD, asked),
        })
    }
}

impl Remote<TcpAsk> for Web {
    fn ask<'a>(
        &'a self,
        _cx: &'a Cx,
        TcpAsk::Connect { address, timeout_ms }: TcpAsk,
    ) -> BoxFuture<'a, OpResult<TcpAnswer>> {
        Box::pin(async move {
            let connect = async {
                let to = resolved(&address).await?;
                TcpStream::connect(to).await.map_err(|e| transient(format!("{address} takes no connection: {e}")))?;
                Ok(TcpAnswer { peer: to.to_string() })
            };
            let timeout = Duration::from_millis(timeout_ms);
            let in_time = tokio::time::timeout(timeout, connect).await;
            in_time.unwrap_or_else(|_| Err(transient(format!("{address} took no connection within {timeout:?}"))))
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::testing::Bench;

    /// A server that answers one request, and gives back what was asked.
    async fn server(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut asked, mut part) = (Vec::new(), [0; 1024]);
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                let n = stream.read(&mut part).await.unwrap();
                asked.extend_from_slice(&part[..n]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (port, asked)
    }

    fn request(url: String, connect_to: Option<String>) -> HttpRequest {
        HttpRequest {
            url,
            headers: BTreeMap::from([("x-probe".to_owned(), "1".to_owned())]),
            connect_to,
            timeout_ms: 5000,
        }
    }

    #[tokio::test]
    async fn a_server_is_asked_elsewhere_under_its_own_name() {
        let (port, asked) = server("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nhi").await;
        let cx = Bench::default().cx();
        let ask =
            HttpAsk::Get(request("http://app.example:81/health?a=b".to_owned(), Some(format!("127.0.0.1:{port}"))));
        let answer = Web.ask(&cx, ask).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (302, "hi"), "a redirect is an answer");
        assert_eq!(answer.headers["location"], "/x");
        let asked = asked.await.unwrap().to_lowercase();
        assert!(asked.starts_with("get /health?a=b http/1.1") && asked.contains("host: app.example:81"), "{asked}");
        assert!(asked.contains("x-probe: 1"), "{asked}");
    }

    #[tokio::test]
    async fn nobody_there_may_pass() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cx = Bench::default().cx();
        let connect = || Web.ask(&cx, TcpAsk::Connect { address: address.clone(), timeout_ms: 5000 });
        assert_eq!(connect().await.unwrap().peer, address);
        drop(listener);
        assert_eq!(connect().await.unwrap_err().class, ErrorClass::Transient);
        let ask = HttpAsk::Head(request(format!("http://{address}/"), None));
        assert_eq!(Web.ask(&cx, ask).await.unwrap_err().class, ErrorClass::Transient);
        let ask = HttpAsk::Get(request("no url".to_owned(), None));
        assert_eq!(Web.ask(&cx, ask).await.unwrap_err().class, ErrorClass::Permanent);
    }
}
