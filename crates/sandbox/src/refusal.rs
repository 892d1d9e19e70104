//! Refusals in AWS's own words, and how each service writes them on the wire.
//!
//! The codes and messages follow the API references ("Error codes for the Amazon EC2 API", the common errors of the
//! others) and what the services are seen to answer. No refusal is made up here: who refuses says which.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};

use crate::endpoint::Response;
use crate::service::{Protocol, Service};
use crate::xml::{Xml, text_of};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const REQUEST_ID_OF_S3: HeaderName = HeaderName::from_static("x-amz-request-id");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
    /// Of a canceled transaction, for each of its items.
    reasons: Vec<&'static str>,
}

impl Refusal {
    /// With status 400, as nearly all of EC2's are.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: 400, code: code.into(), message: message.into(), reasons: Vec::new() }
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    pub(crate) fn value(value: &str, parameter: &str, why: &str) -> Self {
        Self::new("InvalidParameterValue", format!("Value ({value}) for parameter {parameter} is invalid. {why}"))
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(crate) fn dependency(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("DependencyViolation", message)
    }

    pub(crate) fn dry_run() -> Self {
        Self::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.").with_status(412)
    }

    /// A body that is not what the service can read.
    pub(crate) fn unreadable() -> Self {
        Self::new("SerializationException", "The request could not be read")
    }

    /// A member of a JSON call that must be there.
    pub(crate) fn null(member: &str) -> Self {
        Self::new(
            "ValidationException",
            format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not \
                 be null"
            ),
        )
    }

    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503),
            Service::Sts | Service::Iam | Service::Rds | Service::Elb => Self::new("Throttling", "Rate exceeded"),
            Service::Tagging => Self::new("ThrottledException", "Rate exceeded"),
            Service::Sns => Self::new("Throttled", "Rate exceeded").with_status(429),
            Service::CloudWatch => Self::new("Throttling", "Rate exceeded"),
            Service::S3 => Self::new("SlowDown", "Please reduce your request rate.").with_status(503),
            Service::Lambda => Self::new("TooManyRequestsException", "Rate exceeded").with_status(429),
            _ => Self::new("ThrottlingException", "Rate exceeded"),
        }
    }

    pub(crate) fn denied(service: Service, action: &str) -> Self {
        let message = format!("The caller is not authorized to perform: {}:{action}", service.name());
        match service.protocol() {
            Protocol::Ec2Query => {
                Self::new("UnauthorizedOperation", "You are not authorized to perform this operation.").with_status(403)
            }
            Protocol::Query if service == Service::Sns => Self::new("AuthorizationError", message).with_status(403),
            Protocol::Query | Protocol::RestXml => Self::new("AccessDenied", message).with_status(403),
            Protocol::Json if service == Service::CloudWatch => Self::new("AccessDenied", message).with_status(403),
            Protocol::Json => Self::new("AccessDeniedException", message),
            Protocol::RestJson => Self::new("AccessDeniedException", message).with_status(403),
        }
    }

    pub(crate) fn expired(service: Service) -> Self {
        let message = "The security token included in the request is expired";
        match service.protocol() {
            Protocol::Ec2Query => Self::new("RequestExpired", "Request has expired."),
            Protocol::Query => Self::new("ExpiredToken", message).with_status(403),
            Protocol::Json => Self::new("ExpiredTokenException", message),
            Protocol::RestJson => Self::new("ExpiredTokenException", message).with_status(403),
            Protocol::RestXml => Self::new("ExpiredToken", message),
        }
    }

    /// Signed for a region that there is not.
    pub(crate) fn bad_region(service: Service, region: &str) -> Self {
        let message = format!("Credential should be scoped to a valid region, not '{region}'. ");
        match service.protocol() {
            Protocol::Ec2Query => Self::new("AuthFailure", message).with_status(401),
            Protocol::Query => Self::new("SignatureDoesNotMatch", message).with_status(403),
            Protocol::Json => Self::new("InvalidSignatureException", message),
            Protocol::RestJson => Self::new("InvalidSignatureException", message).with_status(403),
            Protocol::RestXml => Self::new("AuthorizationHeaderMalformed", message),
        }
    }

    /// A transaction of which nothing happened: for each of its items why, or `None`.
    pub(crate) fn canceled(reasons: Vec<&'static str>) -> Self {
        let all = reasons.join(", ");
        let message = format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{all}]");
        Self { reasons, ..Self::new("TransactionCanceledException", message) }
    }

    /// An action that the service does not have.
    pub(crate) fn unknown_action(service: Service, action: &str) -> Self {
        match service.protocol() {
            Protocol::Json | Protocol::RestJson => {
                Self::new("UnknownOperationException", format!("There is no operation {action}"))
            }
            Protocol::RestXml => {
                let message =
                    "A header, query or method that you provided implies functionality that is not implemented";
                Self::new("NotImplemented", message).with_status(501)
            }
            _ => Self::new("InvalidAction", format!("The action {action} is not valid for this web service.")),
        }
    }

    /// The sandbox itself is wrong.
    pub(crate) fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("InternalError", message).with_status(500)
    }

    /// The reply on the wire.
    pub(crate) fn reply(&self, service: Service, request_id: &str) -> Response {
        let mut xml = Xml::declared();
        match service.protocol() {
            Protocol::Ec2Query => xml.tag("Response", |xml| {
                xml.tag("Errors", |xml| {
                    xml.tag("Error", |xml| {
                        xml.leaf("Code", &self.code);
                        xml.leaf("Message", &self.message);
                    });
                });
                xml.leaf("RequestID", request_id);
            }),
            Protocol::Query => xml.tag_in("ErrorResponse", service.namespace(), |xml| {
                xml.tag("Error", |xml| {
                    xml.leaf("Type", if self.status < 500 { "Sender" } else { "Receiver" });
                    xml.leaf("Code", &self.code);
                    xml.leaf("Message", &self.message);
                });
                xml.leaf("RequestId", request_id);
            }),
            Protocol::RestXml => xml.tag("Error", |xml| {
                xml.leaf("Code", &self.code);
                xml.leaf("Message", &self.message);
                xml.leaf("RequestId", request_id);
            }),
            Protocol::Json | Protocol::RestJson => {
                // Lambda writes the member with a capital, the others do not; the SDKs read both.
                let mut body = match service {
                    Service::Lambda => serde_json::json!({"Type": "User", "Message": self.message}),
                    _ => serde_json::json!({"__type": self.code, "message": self.message}),
                };
                if !self.reasons.is_empty() {
                    let reasons = self.reasons.iter().map(|code| serde_json::json!({"Code": code}));
                    body["CancellationReasons"] = reasons.collect();
                }
                let mut response = respond(service, self.status, request_id, body.to_string());
                if let Ok(code) = http::HeaderValue::from_str(&self.code) {
                    response.headers_mut().insert(ERROR_TYPE, code);
                }
                return response;
            }
        }
        respond(service, self.status, request_id, xml.finish())
    }

    /// The code of an error reply, in any protocol.
    pub(crate) fn code_in(response: &Response) -> Option<String> {
        let header = response.headers().get(ERROR_TYPE).and_then(|code| code.to_str().ok());
        let body = || std::str::from_utf8(response.body()).ok().and_then(|body| text_of(body, "Code"));
        header.or_else(body).map(str::to_owned)
    }
}

/// A response in the service's format, with its request id in a header.
pub(crate) fn respond(service: Service, status: u16, request_id: &str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let format = match service.protocol() {
        Protocol::Json => "application/x-amz-json-1.1",
        Protocol::RestJson => "application/json",
        Protocol::RestXml => "application/xml",
        Protocol::Ec2Query | Protocol::Query => "text/xml;charset=UTF-8",
    };
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(format));
    if let Ok(id) = http::HeaderValue::from_str(request_id) {
        headers.insert(if service == Service::S3 { REQUEST_ID_OF_S3 } else { REQUEST_ID }, id);
    }
    response
}
