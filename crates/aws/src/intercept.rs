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
use switchback_engine::provider::CallLog;
use switchback_model::OpResult;
use switchback_model::record::Called;
use tokio::time::Instant;

use crate::context::ATTEMPT_TIMEOUT;

/// Whether a call of this name can change anything. `Describe`, `Get`, `List` and the like cannot.
#[must_use]
pub fn is_write(operation: &str) -> bool {
    !["Describe", "Get", "List", "Head", "Search", "BatchGet", "Lookup", "Query", "Scan"]
        .iter()
        .any(|verb| operation.starts_with(verb))
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

    /// Not `read_before_execution`: a client's interceptors get to that before the bag knows which
    /// call it is.
    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
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

/// On whose behalf calls are made.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A step's: its writes are fenced.
    Step(Cx),
    /// The run's as a whole. It writes nothing: its one "write" is a dry run.
    Run(CallLog),
}

impl Owner {
    fn check_fence(&self) -> OpResult<()> {
        match self {
            Self::Step(cx) => cx.check_fence(),
            Self::Run(_) => Ok(()),
        }
    }

    fn called(&self, call: Called) {
        match self {
            Self::Step(cx) => cx.called(call),
            Self::Run(calls) => calls(call),
        }
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(cx) => cx.fmt(f),
            Self::Run(_) => f.write_str("Run"),
        }
    }
}

/// Of every client: fence and recorder.
#[derive(Debug)]
pub(crate) struct Bound(pub(crate) Owner);

/// An attempt that is under way. Recorded when its end is seen, or else when it is dropped.
#[derive(Debug)]
struct Attempt {
    owner: Owner,
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
        self.owner.called(call);
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
            Some(m) => (prefix(m.service()), m.name().to_owned()),
            None => ("unknown".to_owned(), "unknown".to_owned()),
        };
        if is_write(&operation) {
            self.0.check_fence()?;
        }
        let attempt = cfg.load::<RequestAttempts>().map_or(1, RequestAttempts::attempts);
        let call = Called { service, operation, request_id: None, status: None, code: None, attempt, duration_ms: 0 };
        let attempt = Attempt { owner: self.0.clone(), began: Instant::now(), call: Mutex::new(Some(call)) };
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

/// What the actions of a service begin with, as in policies and in the facts of the operations.
fn prefix(service: &str) -> String {
    match service.to_ascii_lowercase().as_str() {
        "cloudwatch logs" => "logs".to_owned(),
        "elastic load balancing v2" => "elasticloadbalancing".to_owned(),
        "resource groups tagging api" => "tag".to_owned(),
        "secrets manager" => "secretsmanager".to_owned(),
        service => service.to_owned(),
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
    // CloudWatch speaks CBOR, and writes what it once wrote in XML into a header: the code, and whose fault it is.
    if let Some((code, _)) = reply.headers().get("x-amzn-query-error").and_then(|error| error.split_once(';')) {
        return Some(code.to_owned());
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
    use switchback_model::{ErrorClass, OpResult};

    use super::*;
    use crate::AwsContext;
    use crate::errors::{Call, op_error};
    use crate::testing::{Answer, Script, Watch, watched};

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

    const BUSY: Answer =
        Answer::Reply(503, "<Response><Errors><Error><Code>Unavailable</Code></Error></Errors></Response>");
    const NO_VPCS: Answer =
        Answer::Reply(200, "<DescribeVpcsResponse><requestId>r-9</requestId><vpcSet/></DescribeVpcsResponse>");

    async fn read(cx: &Cx) -> OpResult<()> {
        let sent = cx.get::<AwsContext>()?.ec2(cx).describe_vpcs().send().await;
        sent.map(|_| ()).map_err(|e| op_error(Call::new("ec2:DescribeVpcs", "all"), e))
    }

    async fn write(cx: &Cx) -> OpResult<()> {
        let sent = cx.get::<AwsContext>()?.ec2(cx).delete_vpc().vpc_id("vpc-12345678").send().await;
        sent.map(|_| ()).map_err(|e| op_error(Call::new("ec2:DeleteVpc", "vpc-12345678"), e))
    }

    fn told(watch: &Watch) -> Vec<(String, u32, Option<u16>, Option<String>)> {
        watch.calls.lock().unwrap().iter().map(|c| (c.operation.clone(), c.attempt, c.status, c.code.clone())).collect()
    }

    #[test]
    fn a_service_is_called_as_in_policies() {
        let names = ["EC2", "CloudWatch Logs", "Resource Groups Tagging API", "Secrets Manager"];
        assert_eq!(names.map(prefix), ["ec2", "logs", "tag", "secretsmanager"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_tried_again_by_the_sdk_and_each_attempt_is_recorded() {
        let script = Script::new([BUSY, Answer::Reset, NO_VPCS]);
        let (cx, watch) = watched("vpc", script.config()).await;
        read(&cx).await.unwrap();
        let calls = told(&watch);
        let call =
            |attempt, status, code: Option<&str>| ("DescribeVpcs".to_owned(), attempt, status, code.map(str::to_owned));
        assert_eq!(calls, [call(1, Some(503), Some("Unavailable")), call(2, None, None), call(3, Some(200), None)]);
        let calls = watch.calls.lock().unwrap();
        assert_eq!(calls[2].service, "ec2");
        assert_eq!(calls[2].request_id.as_deref(), Some("r-9"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_sent_once_whatever_comes_back() {
        for (answer, class, status) in [
            (BUSY, ErrorClass::Ambiguous, Some(503)),
            (Answer::Reset, ErrorClass::Ambiguous, None),
            (Answer::Silence, ErrorClass::Ambiguous, None),
            (Answer::Refused, ErrorClass::Transient, None),
            (Answer::Reply(200, "not xml <"), ErrorClass::Ambiguous, Some(200)),
        ] {
            let script = Script::new([answer.clone(), NO_VPCS]);
            let (cx, watch) = watched("vpc", script.config()).await;
            let result = write(&cx).await;
            // A reply without a body of interest is read leniently: an acknowledgement is one.
            if let Err(error) = &result {
                assert_eq!(error.class, class, "{answer:?}: {error}");
            } else {
                assert!(matches!(answer, Answer::Reply(200, _)), "{answer:?}");
            }
            assert_eq!(script.requests(), 1, "{answer:?}");
            let calls = told(&watch);
            assert_eq!(calls.len(), 1, "{answer:?}");
            assert_eq!(calls[0].2, status, "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_fence_stops_writes_before_they_are_sent_and_lets_reads_through() {
        let script = Script::new([NO_VPCS]);
        let (cx, watch) = watched("vpc", script.config()).await;
        watch.closed.store(true, std::sync::atomic::Ordering::SeqCst);
        let error = write(&cx).await.unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Unavailable, "another executor has taken over"));
        assert_eq!(script.requests(), 0);
        assert!(told(&watch).is_empty(), "what was not sent was not called");
        read(&cx).await.unwrap();
        assert_eq!(script.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_is_recorded() {
        let script = Script::new([Answer::Silence]);
        let (cx, watch) = watched("vpc", script.config()).await;
        let limit = Duration::from_secs(3);
        assert!(tokio::time::timeout(limit, write(&cx)).await.is_err());
        assert_eq!(told(&watch), [("DeleteVpc".to_owned(), 1, None, None)]);
        assert_eq!(watch.calls.lock().unwrap()[0].duration_ms, 3000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_user_agent_names_run_and_step() {
        let script = Script::new([NO_VPCS]);
        let (cx, _) = watched("subnet[1a]", script.config()).await;
        read(&cx).await.unwrap();
        let agents = script.agents.lock().unwrap();
        let ours = format!(" switchback/{} run/{} step/subnet/1a", env!("CARGO_PKG_VERSION"), cx.run());
        assert!(agents[0].starts_with("aws-sdk-rust/") && agents[0].ends_with(&ours), "{}", agents[0]);
    }
}
