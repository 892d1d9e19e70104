//! The one seam of the sandbox: something that answers HTTP requests, or cuts the connection.
//!
//! The rules, the faults, the server and the in-process client all speak it, so that a call takes the same path
//! whether it came over a socket or not. Nothing here knows a service.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;

use crate::clock::Moment;

/// A request, its body read.
pub type Request = http::Request<Bytes>;
/// A response, its body complete.
pub type Response = http::Response<Bytes>;

/// There is no answer: the connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// Nothing reached the service. A server cannot say so: its caller sees a connection that was closed.
    #[error("the connection was refused")]
    Refused,
    /// The request was sent; whether it had, or will have, an effect is not known to the caller.
    #[error("the connection was closed before an answer came")]
    NoReply,
}

/// Answers requests. Layers wrap each other: emulator, rules, faults, server.
pub trait Endpoint: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    /// [`Cut`] when the caller gets no answer at all.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Cut>>;
}

/// Put into a request's extensions: the moment a late effect lands at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) Moment);

/// Put into a request's extensions: a read answers from the world as it was then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsOf(pub(crate) Moment);

/// Put into a request's extensions: what the call makes pending stays so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stick;

/// Put into a response's extensions: the resources that stay pending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched(pub(crate) Vec<String>);

/// What the credential scope of a signed request says (`KEY/date/region/service/aws4_request`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) region: String,
    pub(crate) service: String,
    /// The session token, which temporary credentials come with.
    pub(crate) session: Option<String>,
}

impl Scope {
    /// Reads it from the `Authorization` header. `None` when the request is not signed in form.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let (_, rest) = header.split_once("Credential=")?;
        let credential = rest.split([',', ' ']).next()?;
        let mut parts = credential.split('/');
        let access_key = parts.next().filter(|key| !key.is_empty())?;
        let (_date, region, service) = (parts.next()?, parts.next()?, parts.next()?);
        let session = request.headers().get("x-amz-security-token").and_then(|token| token.to_str().ok());
        Some(Self {
            access_key: access_key.to_owned(),
            region: region.to_owned(),
            // CloudWatch is signed for under its first name.
            service: if service == "monitoring" { "cloudwatch" } else { service }.to_owned(),
            session: session.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(header: &str) -> Request {
        http::Request::builder().header(AUTHORIZATION, header).body(Bytes::new()).unwrap()
    }

    #[test]
    fn the_scope_is_read_from_the_header() {
        let scope = Scope::of(&signed(
            "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0",
        ));
        let (region, service) = ("eu-west-1".to_owned(), "ec2".to_owned());
        assert_eq!(scope, Some(Scope { access_key: "AKIA1".to_owned(), region, service, session: None }));
    }

    #[test]
    fn what_is_not_signed_has_no_scope() {
        assert_eq!(Scope::of(&signed("Basic abc")), None);
        assert_eq!(Scope::of(&signed("AWS4-HMAC-SHA256 Credential=/a/b/c")), None);
        assert_eq!(Scope::of(&http::Request::new(Bytes::new())), None);
    }
}
