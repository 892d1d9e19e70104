//! Refusals in AWS's own words, and how each service writes them on the wire.
//!
//! The codes and messages follow the EC2 API reference ("Error codes for the Amazon EC2 API") and what the service is
//! seen to answer. No refusal is made up here: who refuses says which.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};

use crate::endpoint::Response;
use crate::xml::Xml;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The services that the sandbox stands in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Ec2,
    Sts,
}

impl Service {
    /// By the name in a credential scope.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "ec2" => Some(Self::Ec2),
            "sts" => Some(Self::Sts),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
        }
    }
}

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
}

impl Refusal {
    /// With status 400, as nearly all of EC2's are.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: 400, code: code.into(), message: message.into() }
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

    pub(crate) fn throttled(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503),
            Service::Sts => Self::new("Throttling", "Rate exceeded"),
        }
    }

    pub(crate) fn denied(service: Service, action: &str) -> Self {
        match service {
            Service::Ec2 => {
                Self::new("UnauthorizedOperation", "You are not authorized to perform this operation.").with_status(403)
            }
            Service::Sts => Self::new("AccessDenied", format!("The caller is not authorized to perform: sts:{action}"))
                .with_status(403),
        }
    }

    pub(crate) fn expired(service: Service) -> Self {
        match service {
            Service::Ec2 => Self::new("RequestExpired", "Request has expired."),
            Service::Sts => {
                Self::new("ExpiredToken", "The security token included in the request is expired").with_status(403)
            }
        }
    }

    /// The reply on the wire.
    pub(crate) fn reply(&self, service: Service, request_id: &str) -> Response {
        let mut xml = Xml::declared();
        match service {
            Service::Ec2 => xml.tag("Response", |xml| {
                xml.tag("Errors", |xml| {
                    xml.tag("Error", |xml| {
                        xml.leaf("Code", &self.code);
                        xml.leaf("Message", &self.message);
                    });
                });
                xml.leaf("RequestID", request_id);
            }),
            Service::Sts => xml.tag_in("ErrorResponse", STS_NAMESPACE, |xml| {
                xml.tag("Error", |xml| {
                    xml.leaf("Type", if self.status < 500 { "Sender" } else { "Receiver" });
                    xml.leaf("Code", &self.code);
                    xml.leaf("Message", &self.message);
                });
                xml.leaf("RequestId", request_id);
            }),
        }
        respond(self.status, request_id, xml.finish())
    }
}

/// The namespace of EC2's replies.
pub(crate) const EC2_NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
/// The namespace of the replies of STS.
pub(crate) const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An XML response with its request id in a header.
pub(crate) fn respond(status: u16, request_id: &str, body: String) -> Response {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("text/xml;charset=UTF-8"));
    if let Ok(id) = http::HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
