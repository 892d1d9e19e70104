//! From an error of the SDK to an error that the executor can act on (DESIGN section 3).
//!
//! The question is never "how bad is it" but "can it have had an effect":
//!
//! | what came back | read | write |
//! | --- | --- | --- |
//! | nothing was sent: refused, no route, no name | transient | transient |
//! | no reply, a reply that cannot be read, a 5xx | transient | **ambiguous** |
//! | throttled | transient | transient |
//! | something else must finish first | busy | busy |
//! | it is there already | permanent | already exists |
//! | not found, of something that has just been made | busy | busy |
//! | the caller is not who it was: expired, rotated, no credentials | unavailable | unavailable |
//! | anything else: denied, invalid, quota | permanent | permanent |
//!
//! *Who* and *may* are kept apart. A caller that AWS does not know (any more) meets the same wall on
//! the way back, so the run pauses. A caller that is known and not allowed gets its permission or the
//! run goes back.

use std::error::Error;
use std::fmt::Write as _;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::intercept::{is_write, request_id};

/// The longest text of AWS's that is kept; an encoded authorization message is longer.
const LONGEST_TEXT: usize = 600;

/// A call, for the class and the words of its errors.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The call as in [`Facts`](switchback_model::facts::Facts): `ec2:CreateSubnet`.
    pub name: &'static str,
    /// What it is about: `subnet 10.0.1.0/24 of vpc-1`.
    pub about: &'a str,
    /// What it names was made or seen a moment ago, so "not found" means "not seen yet".
    pub just_made: bool,
}

impl<'a> Call<'a> {
    /// A call about that.
    #[must_use]
    pub const fn new(name: &'static str, about: &'a str) -> Self {
        Self { name, about, just_made: false }
    }

    /// What it names was made or seen a moment ago.
    #[must_use]
    pub const fn just_made(mut self) -> Self {
        self.just_made = true;
        self
    }

    fn service(&self) -> &'static str {
        self.name.split_once(':').map_or(self.name, |(service, _)| service)
    }

    fn is_write(&self) -> bool {
        is_write(self.name.split_once(':').map_or(self.name, |(_, operation)| operation))
    }
}

/// The error as the executor acts on it and the journal keeps it.
pub fn op_error<E>(call: Call<'_>, error: SdkError<E, HttpResponse>) -> OpError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    // Another executor has taken over: nothing of it is AWS's.
    if let Some(fenced) = chain(&error).find_map(|e| e.downcast_ref::<OpError>()) {
        return fenced.clone();
    }
    let code = error.code().map(str::to_owned);
    let status = error.raw_response().map(|r| r.status().as_u16());
    let class = class(call, &error, code.as_deref(), status);
    let mut message = format!("`{}` for {}", call.name, call.about);
    let _ = match (&error, error.message()) {
        (SdkError::ServiceError(_), Some(text)) => write!(message, " was refused: {}", shortened(text)),
        (SdkError::ServiceError(_), None) => write!(message, " failed with HTTP status {}", status.unwrap_or_default()),
        (SdkError::ResponseError(_), _) => {
            write!(message, " got a reply with HTTP status {} that cannot be read", status.unwrap_or_default())
        }
        (SdkError::TimeoutError(_), _) => write!(message, " got no reply in time"),
        _ if is_about_credentials(&error) => {
            write!(message, " was not sent, for want of credentials: {}", shortened(&root_cause(&error)))
        }
        (SdkError::ConstructionFailure(_), _) => {
            write!(message, " was not sent: {}", shortened(&root_cause(&error)))
        }
        _ => write!(message, " got no reply: {}", shortened(&root_cause(&error))),
    };
    OpError {
        class,
        code: code.clone(),
        message,
        service: Some(call.service().to_owned()),
        request_id: error.raw_response().and_then(request_id).or_else(|| request_id_in(&error)),
        hint: login(&error).or_else(|| hint(call, class, code.as_deref())),
    }
}

/// The error of one thing among several, out of a reply that was a success as a whole. Nothing
/// happened to that thing, and AWS said so.
#[must_use]
pub fn item_error(call: Call<'_>, code: Option<&str>, message: &str) -> OpError {
    let class = code.and_then(|c| class_of_code(call, c, message)).unwrap_or(ErrorClass::Permanent);
    OpError {
        class,
        code: code.map(str::to_owned),
        message: format!("`{}` for {} was refused: {}", call.name, call.about, shortened(message)),
        service: Some(call.service().to_owned()),
        request_id: None,
        hint: hint(call, class, code),
    }
}

/// What begins a new session of IAM Identity Center.
pub(crate) const LOGIN: &str = "aws sso login";

/// Whether the service says that what the call named is not there.
#[must_use]
pub fn is_not_found(error: &OpError) -> bool {
    error.code.as_deref().is_some_and(code_is_not_found)
}

/// What was read or deleted; none when the service says that it is not there.
///
/// # Errors
/// Every error but "not found".
pub(crate) fn found<T>(reply: OpResult<T>) -> OpResult<Option<T>> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(e) if is_not_found(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

fn class<E>(call: Call<'_>, error: &SdkError<E, HttpResponse>, code: Option<&str>, status: Option<u16>) -> ErrorClass
where
    E: Error + Send + Sync + 'static,
{
    let unknown = if call.is_write() { ErrorClass::Ambiguous } else { ErrorClass::Transient };
    match error {
        SdkError::ConstructionFailure(_) if is_about_credentials(error) => ErrorClass::Unavailable,
        SdkError::ConstructionFailure(_) => ErrorClass::Permanent,
        SdkError::DispatchFailure(_) if is_about_credentials(error) => ErrorClass::Unavailable,
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(e) if e.is_user() => ErrorClass::Unavailable,
            Some(e) if never_connected(e) => ErrorClass::Transient,
            _ => unknown,
        },
        SdkError::ServiceError(_) => match (code.and_then(|c| class_of_code(call, c, &texts(error))), status) {
            (Some(class), _) => class,
            (None, Some(429)) => ErrorClass::Transient,
            (None, Some(500..)) => unknown,
            (None, _) => ErrorClass::Permanent,
        },
        _ => unknown,
    }
}

/// What the code says, and its text where AWS has one code for two things; `None`: it depends on the
/// HTTP status.
fn class_of_code(call: Call<'_>, code: &str, text: &str) -> Option<ErrorClass> {
    let class = match code {
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "Throttled"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "PriorRequestNotComplete"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "EC2ThrottledException"
        | "TransactionInProgressException"
        | "ProvisionedThroughputExceededException" => ErrorClass::Transient,
        // Permissions are about specific things, identities are not: EC2 has one code for both.
        "AuthFailure" if text.contains("Not authorized for") || text.contains("do not have permission") => {
            ErrorClass::Permanent
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "TokenRefreshRequired"
        | "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "RequestTimeTooSkewed" => ErrorClass::Unavailable,
        // A principal that was made a moment ago is not seen everywhere yet. The code is that of every
        // fault of a document.
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" if call.just_made => {
            if text.to_ascii_lowercase().contains("invalid principal") {
                ErrorClass::Busy
            } else {
                ErrorClass::Permanent
            }
        }
        "DependencyViolation"
        | "EntityTemporarilyUnmodifiable"
        | "KMSInvalidStateException"
        | "OperationInProgress"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        | "ConcurrentAccess"
        | "ConcurrentAccessException"
        | "OperationAborted"
        | "OperationAbortedException"
        | "TooManyUpdates"
        | "ContinuousBackupsUnavailableException"
        | "UpdateInProgressException" => ErrorClass::Busy,
        // Lambda has one code for "it is there" and "it is being changed".
        "ResourceConflictException" if text.contains("exist") => already_exists(call),
        "ResourceConflictException" | "PreconditionFailedException" | "ConditionalRequestConflict" => ErrorClass::Busy,
        // A role, or code, that was made a moment ago.
        "InvalidParameterValueException"
            if call.just_made
                && ["cannot be assumed", "NoSuchKey", "NoSuchBucket"].iter().any(|w| text.contains(w)) =>
        {
            ErrorClass::Busy
        }
        "BucketNotEmpty" => ErrorClass::Busy,
        // S3: `If-None-Match` of an object that is there.
        "PreconditionFailed" => already_exists(call),
        "BucketAlreadyOwnedByYou"
        | "InvalidSubnet.Conflict"
        | "Resource.AlreadyAssociated"
        | "DuplicateRequest"
        | "ResourceExistsException"
        | "IdempotentParameterMismatch"
        | "EntityAlreadyExists" => already_exists(call),
        // Elastic Load Balancing: `DuplicateListener`, `DuplicateTargetGroupName`.
        _ if code.starts_with("Duplicate") => already_exists(call),
        _ if code.ends_with(".Duplicate") || code.contains("AlreadyExists") => already_exists(call),
        _ if code.starts_with("DeleteConflict") || code.contains("ResourceInUse") || code.ends_with(".InUse") => {
            ErrorClass::Busy
        }
        // `ClusterContainsTasksException` of ECS, and its sisters: what is in it goes away first.
        _ if code.starts_with("ClusterContains") => ErrorClass::Busy,
        _ if is_wrong_state(code) => ErrorClass::Busy,
        // RDS, of a subnet that it does not see yet.
        "InvalidSubnet" if call.just_made => ErrorClass::Busy,
        // Elastic Load Balancing, of a security group that it does not see yet.
        "InvalidSecurityGroup" if call.just_made => ErrorClass::Busy,
        _ if code_is_not_found(code) && call.just_made => ErrorClass::Busy,
        _ => return None,
    };
    Some(class)
}

/// All that an error says, cause by cause.
fn texts(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn already_exists(call: Call<'_>) -> ErrorClass {
    if call.is_write() { ErrorClass::AlreadyExists } else { ErrorClass::Permanent }
}

/// `IncorrectState`, `IncorrectInstanceState`, `InvalidDBInstanceState`, `InvalidDBClusterStateFault`.
fn is_wrong_state(code: &str) -> bool {
    let stem = code.trim_end_matches("Fault").trim_end_matches("Exception");
    (stem.starts_with("Incorrect") || stem.starts_with("Invalid")) && stem.ends_with("State")
}

fn code_is_not_found(code: &str) -> bool {
    code.trim_end_matches("Fault").trim_end_matches("Exception").ends_with("NotFound")
        || code == "NoSuchEntity"
        || code.starts_with("NoSuch")
}

fn hint(call: Call<'_>, class: ErrorClass, code: Option<&str>) -> Option<String> {
    if class == ErrorClass::Unavailable {
        return Some(match code {
            Some("RequestTimeTooSkewed") => "set this host's clock and `switchback resume`".to_owned(),
            _ => "refresh credentials and `switchback resume`".to_owned(),
        });
    }
    let denied =
        matches!(code, Some("UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "AuthorizationError"));
    denied.then(|| {
        let tags = if call.name.starts_with("ec2:Create") || call.name.starts_with("ec2:Authorize") {
            ", and `ec2:CreateTags` for its ownership tags"
        } else {
            ""
        };
        format!("the caller needs the IAM action `{}`{tags}", call.name)
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |e| (*e).source())
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// No credentials were found, or their provider failed.
fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|e| {
        e.is::<CredentialsError>() || {
            let text = e.to_string();
            text.contains("no credentials") || text.contains("no identity") || text.contains("identity resolver")
        }
    })
}

/// How to get credentials where there are none: by name of the command where it is known.
fn login(error: &(dyn Error + 'static)) -> Option<String> {
    let sso = || chain(error).any(|e| e.to_string().to_lowercase().contains("sso"));
    is_about_credentials(error).then(|| match sso() {
        true => format!("run `{LOGIN}` and `switchback resume`"),
        false => {
            "give credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, `aws configure`) and `switchback resume`".to_owned()
        }
    })
}

/// Whether the connector knows that no connection stood, so that nothing can have been sent. It
/// tells so in its `Debug` form only; a test below holds it to that.
fn never_connected(error: &ConnectorError) -> bool {
    format!("{error:?}").contains("connection: NeverConnected")
}

fn request_id_in<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    error.meta().extra("aws_request_id").map(str::to_owned)
}

/// In one line, and not too long.
fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::operation::create_vpc::CreateVpcError;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    type Sdk = SdkError<CreateVpcError, HttpResponse>;

    const READ: Call<'_> = Call::new("ec2:DescribeVpcs", "vpc-1");
    const WRITE: Call<'_> = Call::new("ec2:CreateVpc", "VPC 10.0.0.0/16");

    fn reply(status: u16) -> HttpResponse {
        let mut reply = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        reply.headers_mut().insert("x-amzn-requestid", "req-1");
        reply
    }

    fn service(status: u16, code: Option<&str>, message: &str) -> Sdk {
        let mut meta = ErrorMetadata::builder().message(message);
        if let Some(code) = code {
            meta = meta.code(code);
        }
        SdkError::service_error(CreateVpcError::generic(meta.build()), reply(status))
    }

    #[test]
    fn codes_have_their_classes() {
        use ErrorClass::*;
        for (status, code, on_read, on_write) in [
            (503, "RequestLimitExceeded", Transient, Transient),
            (400, "Throttling", Transient, Transient),
            (400, "TooManyRequestsException", Transient, Transient),
            (429, "Throttled", Transient, Transient),
            (400, "ConcurrentAccess", Busy, Busy),
            (403, "AuthorizationError", Permanent, Permanent),
            (503, "SlowDown", Transient, Transient),
            (500, "InternalError", Transient, Ambiguous),
            (503, "Unavailable", Transient, Ambiguous),
            (400, "DependencyViolation", Busy, Busy),
            (409, "DeleteConflict", Busy, Busy),
            (409, "EntityTemporarilyUnmodifiable", Busy, Busy),
            (400, "KMSInvalidStateException", Busy, Busy),
            (409, "EntityAlreadyExists", Permanent, AlreadyExists),
            (409, "BucketAlreadyOwnedByYou", Permanent, AlreadyExists),
            (409, "BucketAlreadyExists", Permanent, AlreadyExists),
            (412, "PreconditionFailed", Permanent, AlreadyExists),
            (409, "OperationAborted", Busy, Busy),
            (409, "ConditionalRequestConflict", Busy, Busy),
            (409, "BucketNotEmpty", Busy, Busy),
            (409, "ResourceConflictException", Busy, Busy),
            (412, "PreconditionFailedException", Busy, Busy),
            (400, "InvalidParameterValueException", Permanent, Permanent),
            (404, "NoSuchBucket", Permanent, Permanent),
            (400, "AlreadyExistsException", Permanent, AlreadyExists),
            (409, "ConcurrentModification", Busy, Busy),
            (404, "NoSuchEntity", Permanent, Permanent),
            (400, "NotFoundException", Permanent, Permanent),
            (400, "MalformedPolicyDocument", Permanent, Permanent),
            (409, "LimitExceeded", Permanent, Permanent),
            (400, "ResourceInUse", Busy, Busy),
            (400, "InvalidGroup.InUse", Busy, Busy),
            (400, "IncorrectState", Busy, Busy),
            (400, "IncorrectInstanceState", Busy, Busy),
            (400, "InvalidDBInstanceState", Busy, Busy),
            (400, "InvalidDBClusterStateFault", Busy, Busy),
            (400, "OperationAbortedException", Busy, Busy),
            (400, "UpdateInProgressException", Busy, Busy),
            (400, "TooManyUpdates", Busy, Busy),
            (400, "ParameterAlreadyExists", Permanent, AlreadyExists),
            (400, "ResourceExistsException", Permanent, AlreadyExists),
            (400, "DuplicateRequest", Permanent, AlreadyExists),
            (400, "ServiceAlreadyExists", Permanent, AlreadyExists),
            (400, "ContinuousBackupsUnavailableException", Busy, Busy),
            (400, "DuplicateLoadBalancerName", Permanent, AlreadyExists),
            (400, "DuplicateListener", Permanent, AlreadyExists),
            (400, "InvalidSecurityGroup", Permanent, Permanent),
            (400, "ResourceInUseException", Busy, Busy),
            (400, "ClusterContainsServicesException", Busy, Busy),
            (400, "ClusterContainsTasksException", Busy, Busy),
            (400, "ClusterContainsContainerInstancesException", Busy, Busy),
            (400, "RepositoryAlreadyExistsException", Permanent, AlreadyExists),
            (400, "ResourceAlreadyExistsException", Permanent, AlreadyExists),
            (400, "RepositoryNotEmptyException", Permanent, Permanent),
            (500, "ServerException", Transient, Ambiguous),
            (400, "InvalidGroup.Duplicate", Permanent, AlreadyExists),
            (400, "InvalidPermission.Duplicate", Permanent, AlreadyExists),
            (400, "InvalidSubnet.Conflict", Permanent, AlreadyExists),
            (400, "Resource.AlreadyAssociated", Permanent, AlreadyExists),
            (400, "DBClusterAlreadyExistsFault", Permanent, AlreadyExists),
            (400, "DBSubnetGroupAlreadyExists", Permanent, AlreadyExists),
            (400, "InvalidDBSubnetGroupStateFault", Busy, Busy),
            (400, "InvalidDBParameterGroupState", Busy, Busy),
            (400, "DBSubnetGroupDoesNotCoverEnoughAZs", Permanent, Permanent),
            (400, "IdempotentParameterMismatch", Permanent, AlreadyExists),
            (400, "ExpiredToken", Unavailable, Unavailable),
            (400, "RequestExpired", Unavailable, Unavailable),
            (401, "AuthFailure", Unavailable, Unavailable),
            (403, "InvalidClientTokenId", Unavailable, Unavailable),
            (403, "UnauthorizedOperation", Permanent, Permanent),
            (403, "AccessDenied", Permanent, Permanent),
            (400, "InvalidVpcID.NotFound", Permanent, Permanent),
            (400, "VpcLimitExceeded", Permanent, Permanent),
            (400, "InvalidIPAddress.InUse", Busy, Busy),
            (400, "RouteAlreadyExists", Permanent, AlreadyExists),
            (400, "NatGatewayNotFound", Permanent, Permanent),
            (400, "InvalidParameterValue", Permanent, Permanent),
        ] {
            assert_eq!(op_error(READ, service(status, Some(code), "x")).class, on_read, "{code} of a read");
            assert_eq!(op_error(WRITE, service(status, Some(code), "x")).class, on_write, "{code} of a write");
        }
    }

    #[test]
    fn one_of_several_things_has_an_error_of_its_own() {
        let item = |call, code| item_error(call, code, "The endpoint 'vpce-1' does not exist.");
        let gone = item(WRITE, Some("InvalidVpcEndpoint.NotFound"));
        assert!(is_not_found(&gone) && gone.class == ErrorClass::Permanent);
        assert_eq!(
            gone.to_string(),
            "`ec2:CreateVpc` for VPC 10.0.0.0/16 was refused: The endpoint 'vpce-1' does not exist (InvalidVpcEndpoint.NotFound)"
        );
        assert_eq!(item(WRITE.just_made(), Some("InvalidVpcEndpoint.NotFound")).class, ErrorClass::Busy);
        assert_eq!(item(WRITE, Some("DependencyViolation")).class, ErrorClass::Busy);
        assert_eq!(item(WRITE, Some("RequestLimitExceeded")).class, ErrorClass::Transient);
        assert_eq!(item(WRITE, None).class, ErrorClass::Permanent);
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (status, on_read, on_write) in [
            (500, ErrorClass::Transient, ErrorClass::Ambiguous),
            (504, ErrorClass::Transient, ErrorClass::Ambiguous),
            (429, ErrorClass::Transient, ErrorClass::Transient),
            (403, ErrorClass::Permanent, ErrorClass::Permanent),
        ] {
            assert_eq!(op_error(READ, service(status, None, "x")).class, on_read, "{status} of a read");
            assert_eq!(op_error(WRITE, service(status, None, "x")).class, on_write, "{status} of a write");
        }
    }

    #[test]
    fn without_a_reply_it_depends_on_whether_anything_was_sent() {
        let io = || std::io::Error::other("reset");
        let refused = || ConnectorError::io(io().into()).never_connected();
        for (error, on_read, on_write) in [
            (Sdk::dispatch_failure(refused()), ErrorClass::Transient, ErrorClass::Transient),
            (Sdk::dispatch_failure(ConnectorError::io(io().into())), ErrorClass::Transient, ErrorClass::Ambiguous),
            (Sdk::dispatch_failure(ConnectorError::timeout(io().into())), ErrorClass::Transient, ErrorClass::Ambiguous),
            (Sdk::timeout_error(io()), ErrorClass::Transient, ErrorClass::Ambiguous),
            (Sdk::response_error(io(), reply(200)), ErrorClass::Transient, ErrorClass::Ambiguous),
        ] {
            let text = format!("{error:?}");
            let unknown = Call::new("ec2:DescribeVpcs", "x");
            let class_of = |call, e: &Sdk| super::class(call, e, None, None);
            assert_eq!(class_of(unknown, &error), on_read, "{text}");
            assert_eq!(class_of(WRITE, &error), on_write, "{text}");
        }
    }

    #[test]
    fn what_was_just_made_may_not_be_seen_yet() {
        let gone = || service(400, Some("InvalidVpcID.NotFound"), "x");
        assert_eq!(op_error(WRITE.just_made(), gone()).class, ErrorClass::Busy);
        let subnet = || service(400, Some("InvalidSubnet"), "x");
        assert_eq!(op_error(WRITE.just_made(), subnet()).class, ErrorClass::Busy);
        assert_eq!(op_error(WRITE, subnet()).class, ErrorClass::Permanent);
        assert!(is_not_found(&op_error(WRITE, gone())));
        for code in ["NoSuchEntity", "NotFoundException"] {
            assert_eq!(op_error(WRITE.just_made(), service(400, Some(code), "x")).class, ErrorClass::Busy, "{code}");
        }
        for text in ["Invalid principal in policy: \"AWS\":\"x\"", "Policy contains one or more invalid principals."] {
            let unseen = || service(400, Some("MalformedPolicyDocument"), text);
            assert_eq!(op_error(WRITE.just_made(), unseen()).class, ErrorClass::Busy, "{text}");
            assert_eq!(op_error(WRITE, unseen()).class, ErrorClass::Permanent, "{text}");
        }
        let fault = service(400, Some("MalformedPolicyDocument"), "Syntax errors in policy.");
        assert_eq!(op_error(WRITE.just_made(), fault).class, ErrorClass::Permanent);
        assert!(!is_not_found(&op_error(WRITE, service(400, Some("VpcLimitExceeded"), "x"))));
    }

    #[test]
    fn an_error_says_what_it_was_about_and_what_to_do() {
        let denied = op_error(WRITE, service(403, Some("UnauthorizedOperation"), "You are not authorized."));
        assert_eq!(
            denied.to_string(),
            "`ec2:CreateVpc` for VPC 10.0.0.0/16 was refused: You are not authorized (UnauthorizedOperation, request req-1)"
        );
        assert_eq!(
            denied.hint.as_deref(),
            Some("the caller needs the IAM action `ec2:CreateVpc`, and `ec2:CreateTags` for its ownership tags")
        );
        assert_eq!(denied.service.as_deref(), Some("ec2"));
        let expired = op_error(READ, service(400, Some("ExpiredToken"), "x"));
        assert_eq!(expired.hint.as_deref(), Some("refresh credentials and `switchback resume`"));
    }

    #[test]
    fn no_permission_for_one_thing_is_not_a_lost_identity() {
        let image = service(401, Some("AuthFailure"), "Not authorized for images: [ami-1]");
        assert_eq!(op_error(WRITE, image).class, ErrorClass::Permanent);
    }

    #[test]
    fn credentials_that_cannot_be_had_pause_the_run() {
        let missing = CredentialsError::not_loaded("nothing in the chain");
        let error = op_error(WRITE, Sdk::construction_failure(missing));
        assert_eq!(error.class, ErrorClass::Unavailable);
        assert_eq!(
            error.to_string(),
            "`ec2:CreateVpc` for VPC 10.0.0.0/16 was not sent, for want of credentials: nothing in the chain"
        );
        assert!(error.hint.unwrap().contains("`aws configure`"));
        let over = CredentialsError::provider_error("the SSO token has expired and cannot be refreshed");
        let failed = op_error(WRITE, Sdk::dispatch_failure(ConnectorError::other(over.into(), None)));
        assert_eq!(failed.class, ErrorClass::Unavailable);
        assert_eq!(failed.hint.as_deref(), Some("run `aws sso login` and `switchback resume`"));
    }

    #[test]
    fn the_fence_speaks_for_itself() {
        let fence = OpError::new(ErrorClass::Unavailable, "another executor has taken over");
        assert_eq!(op_error(WRITE, Sdk::construction_failure(fence.clone())), fence);
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = op_error(WRITE, service(403, Some("AccessDenied"), &"é".repeat(5000)));
        assert!(long.message.chars().count() < LONGEST_TEXT + 100);
    }
}
