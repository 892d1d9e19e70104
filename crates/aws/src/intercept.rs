//! What happens to every call on its way out and back: fence, record, name.
//!
//! ```text
//! attempt begins ─ note the time ─ sign ─ User-Agent ─ fence (writes) ─▶ AWS ─▶ record
//! ```
//!
//! The fence is asked as late as can be, because a write that is out cannot be called back. A call
//! is recorded however its attempt ends: with a reply, without one, given up by the SDK's timeout,
//! or dropped together with the step when its deadline is reached.

use std::sync::Mutex;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef,
    FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::retry::RetryConfig;
use switchback_engine::Cx;
use switchback_model::record::Called;
use tokio::time::Instant;

use crate::context::ATTEMPT_TIMEOUT;

/// Whether a call of this name can change anything. `Describe`, `Get`, `List` and the like cannot.
#[must_use]
pub fn is_write(operation: &str) -> bool {
    !["Describe", "Get", "List", "Search", "BatchGet", "Lookup"].iter().any(|verb| operation.starts_with(verb))
}

/// Of every client, bound to a step or not: a write is attempted once, whatever the client's own
/// retry settings say. Only the executor tries it again, after it has looked.
#[derive(Debug)]
pub(crate) struct WritesOnce;

#[dyn_dispatch_hint]
impl Intercept for WritesOnce {
    fn name(&self) -> &'static str {
        "WritesOnce"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if cfg.load::<Metadata>().is_none_or(|m| is_write(m.name())) {
            cfg.interceptor_state().store_put(RetryConfig::disabled());
        }
        Ok(())
    }
}

/// Adds who calls to the `User-Agent`, so that CloudTrail can be matched with the journal, also
/// where the reply was lost. The header is not part of the signature.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

#[dyn_dispatch_hint]
impl Intercept for Named {
    fn name(&self) -> &'static str {
        "Named"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        let agent = match headers.get("user-agent") {
            Some(sdk) => format!("{sdk} {}", self.0),
            None => self.0.clone(),
        };
        // A name that no header can hold is left out rather than failing the call.
        let _ = headers.try_insert("user-agent", agent);
        Ok(())
    }
}

/// Of a client that is bound to a step: fence and recorder.
#[derive(Debug)]
pub(crate) struct Bound(pub(crate) Cx);

/// An attempt that is under way. Recorded when its end is seen, or else when it is dropped.
#[derive(Debug)]
struct Attempt {
    cx: Cx,
    began: Instant,
    /// Taken when it is recorded.
    call: Mutex<Option<Called>>,
}

impl Storable for Attempt {
    type Storer = StoreReplace<Self>;
}

impl Attempt {
    fn end(&self, reply: Option<&HttpResponse>) {
        let Some(mut call) = self.call.lock().ok().and_then(|mut call| call.take()) else { return };
        let took: Duration = self.began.elapsed().min(ATTEMPT_TIMEOUT);
        call.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if let Some(reply) = reply {
            call.status = Some(reply.status().as_u16());
            call.request_id = request_id(reply);
            if !reply.status().is_success() {
                call.code = error_code(reply);
            }
        }
        self.cx.called(call);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[dyn_dispatch_hint]
impl Intercept for Bound {
    fn name(&self) -> &'static str {
        "Bound"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let (service, operation) = match cfg.load::<Metadata>() {
            Some(m) => (m.service().to_ascii_lowercase(), m.name().to_owned()),
            None => ("unknown".to_owned(), "unknown".to_owned()),
        };
        if is_write(&operation) {
            self.0.check_fence()?;
        }
        let attempt = cfg.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        let call = Called { service, operation, request_id: None, status: None, code: None, attempt, duration_ms: 0 };
        let attempt = Attempt { cx: self.0.clone(), began: Instant::now(), call: Mutex::new(Some(call)) };
        cfg.interceptor_state().store_put(attempt);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(attempt) = cfg.load::<Attempt>() {
            attempt.end(context.response());
        }
        Ok(())
    }
}

/// The request id of a reply: a header of most services, an element of the body of EC2's errors.
pub(crate) fn request_id(reply: &HttpResponse) -> Option<String> {
    ["x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"]
        .iter()
        .find_map(|name| reply.headers().get(*name).map(str::to_owned))
        .or_else(|| element(reply, "RequestID").or_else(|| element(reply, "requestId")))
        .or_else(|| element(reply, "RequestId"))
}

/// The error code of a reply: a header or a field of JSON protocols, an element of XML ones.
fn error_code(reply: &HttpResponse) -> Option<String> {
    if let Some(kind) = reply.headers().get("x-amzn-errortype") {
        return Some(kind.split(':').next().unwrap_or(kind).to_owned());
    }
    element(reply, "Code").or_else(|| {
        let body: serde_json::Value = serde_json::from_slice(reply.body().bytes()?).ok()?;
        let kind = body.get("__type").or_else(|| body.get("code"))?.as_str()?;
        Some(kind.rsplit('#').next().unwrap_or(kind).to_owned())
    })
}

fn element(reply: &HttpResponse, name: &str) -> Option<String> {
    let body = std::str::from_utf8(reply.body().bytes()?).ok()?;
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn reply(headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
        let mut reply = HttpResponse::new(400.try_into().unwrap(), SdkBody::from(body));
        for (name, value) in headers {
            reply.headers_mut().insert(*name, *value);
        }
        reply
    }

    #[test]
    fn reads_are_told_from_writes_by_their_verb() {
        for read in ["DescribeVpcs", "GetCallerIdentity", "ListTagsForResource"] {
            assert!(!is_write(read), "{read}");
        }
        for write in ["CreateVpc", "DeleteVpc", "ModifyVpcAttribute", "RevokeSecurityGroupIngress"] {
            assert!(is_write(write), "{write}");
        }
    }

    #[test]
    fn code_and_request_id_are_read_from_every_protocol() {
        let xml = reply(
            &[],
            "<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code></Error></Errors><RequestID>r-1</RequestID></Response>",
        );
        assert_eq!(error_code(&xml).as_deref(), Some("InvalidVpcID.NotFound"));
        assert_eq!(request_id(&xml).as_deref(), Some("r-1"));
        let json = reply(&[("x-amzn-requestid", "r-2")], r#"{"__type":"com.amazonaws#ThrottlingException"}"#);
        assert_eq!(error_code(&json).as_deref(), Some("ThrottlingException"));
        assert_eq!(request_id(&json).as_deref(), Some("r-2"));
        let rest = reply(&[("x-amzn-errortype", "AccessDenied:http://x")], "");
        assert_eq!(error_code(&rest).as_deref(), Some("AccessDenied"));
        assert_eq!(error_code(&reply(&[], "<html>")), None);
    }
}
