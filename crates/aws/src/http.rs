//! The HTTP client under the SDK's clients: one pool of connections for all of them.
//!
//! Our own, for two promises that the SDK's client cannot give:
//!
//! - *Late writes are bounded.* `TCP_USER_TIMEOUT` is the quiet period: for longer the kernel does
//!   not resend what was not acknowledged, so a write that we gave up on cannot leave this host any
//!   more once the quiet period is over.
//! - *Never sent is told from unknown.* An error before a connection stood is marked
//!   [`never_connected`](ConnectorError::never_connected), so that a refused connection is tried
//!   again without a look-up; whatever happens after that may have reached AWS.
//!
//! Nothing is opened or loaded before it is used; the host's root certificates are read when the
//! first `https` endpoint is called. A connection that AWS may have closed already is not used
//! again: see [`IDLE`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// How long a connection is kept that nobody uses. Shorter than AWS keeps it: a request that is
/// written to a connection which the other side has just closed is one of unknown outcome.
pub const IDLE: Duration = Duration::from_secs(15);

/// The client, to be shared by everything that calls AWS. `quiet` is how long the kernel may go on
/// resending what was not acknowledged.
#[must_use]
pub fn client(quiet: Duration) -> SharedHttpClient {
    SharedHttpClient::new(Pools { quiet, by_connect_timeout: Arc::default() })
}

/// Connections are pooled by the connect timeout that was asked for; there are two or three (our
/// own, and those of the credential providers).
#[derive(Clone)]
struct Pools {
    quiet: Duration,
    by_connect_timeout: Arc<Mutex<HashMap<Option<Duration>, Arc<Pool>>>>,
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("quiet", &self.quiet).finish_non_exhaustive()
    }
}

impl HttpClient for Pools {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let timeout = settings.connect_timeout();
        // A panic while the lock is held cannot leave half an entry behind.
        let mut pools = self.by_connect_timeout.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pools.entry(timeout).or_insert_with(|| Arc::new(Pool::new(timeout, self.quiet)));
        SharedHttpConnector::new(Connector { pool: pool.clone(), read_timeout: settings.read_timeout() })
    }
}

type Plain = legacy::Client<TcpConnector, SdkBody>;
type Tls = legacy::Client<HttpsConnector<TcpConnector>, SdkBody>;

struct Pool {
    connect_timeout: Option<Duration>,
    quiet: Duration,
    plain: OnceLock<Plain>,
    tls: OnceLock<Result<Tls, String>>,
}

impl Pool {
    fn new(connect_timeout: Option<Duration>, quiet: Duration) -> Self {
        Self { connect_timeout, quiet, plain: OnceLock::new(), tls: OnceLock::new() }
    }

    fn tcp(&self) -> TcpConnector {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(self.connect_timeout);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(self.quiet));
        tcp
    }

    fn builder() -> legacy::Builder {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        builder
    }

    fn plain(&self) -> &Plain {
        self.plain.get_or_init(|| Self::builder().build(self.tcp()))
    }

    fn tls(&self) -> Result<&Tls, ConnectorError> {
        let tls = self.tls.get_or_init(|| {
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                // Named, because another crate of the binary may bring a second provider.
                .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
                .map_err(|e| format!("the host's root certificates cannot be used: {e}"))?
                .https_only()
                .enable_http1()
                .wrap_connector(self.tcp());
            Ok(Self::builder().build(connector))
        });
        tls.as_ref().map_err(|why| ConnectorError::user(why.clone().into()).never_connected())
    }
}

struct Connector {
    pool: Arc<Pool>,
    read_timeout: Option<Duration>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("read_timeout", &self.read_timeout).finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let pool = self.pool.clone();
        let read_timeout = self.read_timeout;
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()).never_connected())?;
            let reply = if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
                pool.tls()?.request(request)
            } else {
                pool.plain().request(request)
            };
            let reply = match read_timeout {
                None => reply.await,
                Some(limit) => tokio::time::timeout(limit, reply)
                    .await
                    .map_err(|_| ConnectorError::timeout("no reply in time".into()))?,
            };
            let reply = reply.map_err(connector_error)?;
            HttpResponse::try_from(reply.map(SdkBody::from_body_1_x)).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

/// What went wrong, and whether anything can have been sent.
fn connector_error(error: legacy::Error) -> ConnectorError {
    if error.is_connect() {
        ConnectorError::io(error.into()).never_connected()
    } else {
        ConnectorError::io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::{ErrorClass, OpError};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::AwsConfig;
    use crate::AwsContext;
    use crate::errors::{Call, op_error};
    use crate::testing::cx;

    async fn delete_at(url: &str) -> OpError {
        let cx = cx("vpc", AwsConfig::endpoint("us-east-1", url, "a", "b")).await;
        let ec2 = cx.get::<AwsContext>().unwrap().ec2(&cx);
        let error = ec2.delete_vpc().vpc_id("vpc-12345678").send().await.unwrap_err();
        op_error(Call::new("ec2:DeleteVpc", "vpc-12345678"), error)
    }

    #[tokio::test]
    async fn what_was_never_sent_is_told_from_what_may_have_been() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hangs_up = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = [0; 16];
            stream.read_exact(&mut some).await.unwrap();
        });
        assert_eq!(delete_at(&url).await.class, ErrorClass::Ambiguous, "hung up on after it was sent");
        hangs_up.await.unwrap();
        // The listener is gone with its task.
        let error = delete_at(&url).await;
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
        assert!(error.message.contains("Connection refused"), "{error}");
        let error = delete_at("https://127.0.0.1:1").await;
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..2 {
                let mut request = Vec::new();
                while !request.ends_with(b"Version=2016-11-15") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let body = "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>";
                let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        let cx = cx("vpc", AwsConfig::endpoint("us-east-1", url, "a", "b")).await;
        for _ in 0..2 {
            // Each call has a client of its own, and all have one pool.
            let ec2 = cx.get::<AwsContext>().unwrap().ec2(&cx);
            assert!(ec2.describe_vpcs().send().await.unwrap().vpcs().is_empty());
        }
        served.await.unwrap();
    }
}
