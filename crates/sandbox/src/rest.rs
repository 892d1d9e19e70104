//! REST: which call a request is, by its method, path and query, and the parameters that these say.
//!
//! A call of these services has no name on the wire, so each has a small table here. Where a request is of no call that
//! the table knows, its action is empty, and it is refused as not implemented. Both styles of S3 are read: the bucket in
//! the path, and the bucket in the host.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::endpoint::Request;
use crate::service::{Protocol, Service};

/// A request as it goes on to the emulator.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) method: Method,
    /// Path and query; of S3 with the bucket in the path.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// Without the frames of a body that was sent in chunks.
    pub(crate) body: Bytes,
}

/// A request, read.
pub(crate) struct Call {
    /// Such as `CreateFunction`; empty when it is none that is known here.
    pub(crate) action: &'static str,
    /// What path, query and a body in JSON say, by the names of the parameters; none when the body cannot be read.
    pub(crate) params: Option<Map<String, Value>>,
    pub(crate) rest: Rest,
}

/// One call: method and path, in which `{Name}` is a parameter.
type Route = (Method, &'static str, &'static str);

const LAMBDA: &[Route] = &[
    (Method::POST, "2015-03-31/functions", "CreateFunction"),
    (Method::GET, "2015-03-31/functions", "ListFunctions"),
    (Method::GET, "2015-03-31/functions/{FunctionName}", "GetFunction"),
    (Method::DELETE, "2015-03-31/functions/{FunctionName}", "DeleteFunction"),
    (Method::GET, "2015-03-31/functions/{FunctionName}/configuration", "GetFunctionConfiguration"),
    (Method::PUT, "2015-03-31/functions/{FunctionName}/configuration", "UpdateFunctionConfiguration"),
    (Method::PUT, "2015-03-31/functions/{FunctionName}/code", "UpdateFunctionCode"),
    (Method::POST, "2015-03-31/functions/{FunctionName}/policy", "AddPermission"),
    (Method::GET, "2015-03-31/functions/{FunctionName}/policy", "GetPolicy"),
    (Method::DELETE, "2015-03-31/functions/{FunctionName}/policy/{StatementId}", "RemovePermission"),
    (Method::POST, "2015-03-31/functions/{FunctionName}/invocations", "Invoke"),
    (Method::GET, "2017-03-31/tags/{Resource}", "ListTags"),
    (Method::POST, "2017-03-31/tags/{Resource}", "TagResource"),
    (Method::DELETE, "2017-03-31/tags/{Resource}", "UntagResource"),
];

const BACKUP: &[Route] = &[
    (Method::PUT, "backup-vaults/{BackupVaultName}", "CreateBackupVault"),
    (Method::GET, "backup-vaults/{BackupVaultName}", "DescribeBackupVault"),
    (Method::DELETE, "backup-vaults/{BackupVaultName}", "DeleteBackupVault"),
    (Method::GET, "backup-vaults", "ListBackupVaults"),
    (Method::PUT, "backup-vaults/{BackupVaultName}/access-policy", "PutBackupVaultAccessPolicy"),
    (Method::GET, "backup-vaults/{BackupVaultName}/recovery-points", "ListRecoveryPointsByBackupVault"),
    (Method::GET, "backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}", "DescribeRecoveryPoint"),
    (Method::DELETE, "backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}", "DeleteRecoveryPoint"),
    (Method::PUT, "backup/plans", "CreateBackupPlan"),
    (Method::GET, "backup/plans", "ListBackupPlans"),
    (Method::GET, "backup/plans/{BackupPlanId}", "GetBackupPlan"),
    (Method::POST, "backup/plans/{BackupPlanId}", "UpdateBackupPlan"),
    (Method::DELETE, "backup/plans/{BackupPlanId}", "DeleteBackupPlan"),
    (Method::GET, "backup/plans/{BackupPlanId}/selections", "ListBackupSelections"),
    (Method::PUT, "backup/plans/{BackupPlanId}/selections", "CreateBackupSelection"),
    (Method::DELETE, "backup/plans/{BackupPlanId}/selections/{SelectionId}", "DeleteBackupSelection"),
    (Method::PUT, "backup-jobs", "StartBackupJob"),
    (Method::GET, "backup-jobs", "ListBackupJobs"),
    (Method::GET, "backup-jobs/{BackupJobId}", "DescribeBackupJob"),
    (Method::POST, "backup-jobs/{BackupJobId}", "StopBackupJob"),
    (Method::GET, "tags/{ResourceArn}", "ListTags"),
    (Method::POST, "tags/{ResourceArn}", "TagResource"),
    (Method::POST, "untag/{ResourceArn}", "UntagResource"),
];

/// What a bucket has, by the name in the query. A call on it is called `Get...`, `Put...` and `Delete...`.
const OF_BUCKETS: &[(&str, [&str; 3])] = &[
    ("acl", ["GetBucketAcl", "PutBucketAcl", ""]),
    ("cors", ["GetBucketCors", "PutBucketCors", "DeleteBucketCors"]),
    ("encryption", ["GetBucketEncryption", "PutBucketEncryption", "DeleteBucketEncryption"]),
    ("lifecycle", ["GetBucketLifecycleConfiguration", "PutBucketLifecycleConfiguration", "DeleteBucketLifecycle"]),
    ("location", ["GetBucketLocation", "", ""]),
    ("logging", ["GetBucketLogging", "PutBucketLogging", ""]),
    ("notification", ["GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration", ""]),
    (
        "ownershipControls",
        ["GetBucketOwnershipControls", "PutBucketOwnershipControls", "DeleteBucketOwnershipControls"],
    ),
    ("policy", ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"]),
    ("publicAccessBlock", ["GetPublicAccessBlock", "PutPublicAccessBlock", "DeletePublicAccessBlock"]),
    ("tagging", ["GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging"]),
    ("versioning", ["GetBucketVersioning", "PutBucketVersioning", ""]),
    ("versions", ["ListObjectVersions", "", ""]),
];

/// What an object has.
const OF_OBJECTS: &[(&str, [&str; 3])] = &[
    ("acl", ["GetObjectAcl", "PutObjectAcl", ""]),
    ("attributes", ["GetObjectAttributes", "", ""]),
    ("tagging", ["GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"]),
];

/// The action of a request to a REST service, without reading more of it than that takes.
pub(crate) fn action(service: Service, request: &Request) -> &'static str {
    find(service, request).0
}

/// Reads a request to a REST service.
pub(crate) fn read(service: Service, request: &Request) -> Call {
    let (action, labels, path) = find(service, request);
    let body = unframed(request);
    let body_says = match service.protocol() {
        Protocol::RestJson if !body.is_empty() => match serde_json::from_slice(&body) {
            Ok(Value::Object(map)) => Some(map),
            _ => None,
        },
        _ => Some(Map::new()),
    };
    let query = query(request).into_iter().map(|(name, value)| (name, Value::String(value)));
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
    let params = body_says.map(|body| body.into_iter().chain(query).chain(labels).collect());
    let path = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let rest = Rest { method: request.method().clone(), path, headers: request.headers().clone(), body };
    Call { action, params, rest }
}

type Found = (&'static str, Vec<(&'static str, String)>, String);

fn find(service: Service, request: &Request) -> Found {
    let path = request.uri().path();
    match service {
        Service::S3 => find_in_s3(request),
        Service::Lambda => find_in(LAMBDA, request.method(), path),
        Service::Backup => find_in(BACKUP, request.method(), path),
        _ => ("", Vec::new(), path.to_owned()),
    }
}

fn find_in(routes: &[Route], method: &Method, path: &str) -> Found {
    let whole = path.to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let fits = |(of, pattern, action): &Route| {
        let pattern: Vec<&'static str> = pattern.split('/').collect();
        if of != method || pattern.len() != parts.len() {
            return None;
        }
        let mut labels = Vec::new();
        for (pattern, part) in pattern.into_iter().zip(&parts) {
            match pattern.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => labels.push((name, decoded(part))),
                None if pattern == *part => {}
                None => return None,
            }
        }
        Some((*action, labels))
    };
    match routes.iter().find_map(fits) {
        Some((action, labels)) => (action, labels, whole),
        None => ("", Vec::new(), whole),
    }
}

fn find_in_s3(request: &Request) -> Found {
    let uri = request.uri();
    let host = uri.host().or_else(|| request.headers().get(http::header::HOST)?.to_str().ok()).unwrap_or_default();
    let in_host = host.split_once(".s3.").or_else(|| host.split_once(".s3-")).map(|(bucket, _)| bucket);
    let path = match in_host {
        Some(bucket) => format!("/{bucket}{}", uri.path()),
        None => uri.path().to_owned(),
    };
    let (bucket, key) = match path.trim_start_matches('/').split_once('/') {
        Some((bucket, key)) => (decoded(bucket), decoded(key)),
        None => (decoded(path.trim_start_matches('/')), String::new()),
    };
    let query = query(request);
    let has = |name: &str| query.iter().any(|(given, _)| given == name);
    let method = request.method();
    let verb = [Method::GET, Method::PUT, Method::DELETE].iter().position(|of| of == method);
    let table = if key.is_empty() { OF_BUCKETS } else { OF_OBJECTS };
    let of_part = table.iter().find(|(name, _)| has(name)).map(|(_, actions)| actions);
    // The name of a part stands alone; one that is not known here must not be taken for the whole.
    let unknown =
        query.iter().any(|(name, value)| value.is_empty() && !["prefix", "delimiter"].contains(&name.as_str()));
    let action = match (of_part, verb) {
        (Some(actions), Some(verb)) => actions[verb],
        (Some(_), None) => "",
        _ if unknown || request.headers().contains_key("x-amz-copy-source") || has("uploadId") => "",
        _ => match (bucket.is_empty(), key.is_empty(), method) {
            (true, _, &Method::GET) => "ListBuckets",
            (false, true, &Method::PUT) => "CreateBucket",
            (false, true, &Method::HEAD) => "HeadBucket",
            (false, true, &Method::DELETE) => "DeleteBucket",
            (false, true, &Method::GET) if has("list-type") => "ListObjectsV2",
            (false, true, &Method::GET) => "ListObjects",
            (false, false, &Method::PUT) => "PutObject",
            (false, false, &Method::GET) => "GetObject",
            (false, false, &Method::HEAD) => "HeadObject",
            (false, false, &Method::DELETE) => "DeleteObject",
            _ => "",
        },
    };
    let labels = [("Bucket", bucket), ("Key", key)].into_iter().filter(|(_, value)| !value.is_empty());
    (action, labels.collect(), path)
}

fn query(request: &Request) -> Vec<(String, String)> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// A part of a path, in which a plus sign is one.
fn decoded(part: &str) -> String {
    let form = part.replace('+', "%2B").replace('&', "%26");
    form_urlencoded::parse(format!("={form}").as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// The body without the frames of `aws-chunked`: `LENGTH;chunk-signature=...`, the bytes, and so on until a chunk of
/// none, after which come trailers. A body that is not framed so is left as it is.
fn unframed(request: &Request) -> Bytes {
    let whole = request.body();
    let hash = request.headers().get("x-amz-content-sha256").and_then(|hash| hash.to_str().ok());
    if !hash.is_some_and(|hash| hash.starts_with("STREAMING-")) {
        return whole.clone();
    }
    let (mut rest, mut body) = (&whole[..], BytesMut::new());
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return whole.clone() };
        let head = String::from_utf8_lossy(&rest[..end]);
        let length = head.split(';').next().and_then(|length| usize::from_str_radix(length.trim(), 16).ok());
        match length {
            Some(0) => return body.freeze(),
            Some(length) if rest.len() >= end + 4 + length => {
                body.extend_from_slice(&rest[end + 2..end + 2 + length]);
                rest = &rest[end + 4 + length..];
            }
            _ => return whole.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, uri: &str) -> Request {
        http::Request::builder().method(method).uri(uri).body(Bytes::new()).unwrap()
    }

    #[test]
    fn a_call_is_told_from_its_method_and_path() {
        for (service, method, uri, action) in [
            (Service::Lambda, Method::POST, "/2015-03-31/functions", "CreateFunction"),
            (Service::Lambda, Method::GET, "/2015-03-31/functions/a/policy?Qualifier=x", "GetPolicy"),
            (Service::Lambda, Method::PATCH, "/2015-03-31/functions/a", ""),
            (Service::Backup, Method::PUT, "/backup/plans/", "CreateBackupPlan"),
            (Service::Backup, Method::POST, "/backup-jobs/1", "StopBackupJob"),
            (Service::S3, Method::GET, "/", "ListBuckets"),
            (Service::S3, Method::PUT, "/b", "CreateBucket"),
            (Service::S3, Method::PUT, "/b?tagging", "PutBucketTagging"),
            (Service::S3, Method::PUT, "/b?website", ""),
            (Service::S3, Method::GET, "/b?versions&prefix=", "ListObjectVersions"),
            (Service::S3, Method::HEAD, "/b/k/l?versionId=1", "HeadObject"),
            (Service::S3, Method::DELETE, "/b/k?tagging", "DeleteObjectTagging"),
            (Service::S3, Method::PUT, "http://b.s3.us-east-1.amazonaws.com/k?x-id=PutObject", "PutObject"),
        ] {
            assert_eq!(super::action(service, &request(method.clone(), uri)), action, "{method} {uri}");
        }
    }

    #[test]
    fn parameters_come_from_path_query_and_body() {
        let mut ask = request(Method::PUT, "/backup-vaults/v%20w/access-policy?x=1");
        *ask.body_mut() = Bytes::from_static(br#"{"Policy": "p", "x": "2"}"#);
        let params = read(Service::Backup, &ask).params.unwrap();
        assert_eq!(
            (&params["BackupVaultName"], &params["Policy"], &params["x"]),
            (&"v w".into(), &"p".into(), &"1".into())
        );
        *ask.body_mut() = Bytes::from_static(b"{");
        assert!(read(Service::Backup, &ask).params.is_none());
        let call = read(Service::S3, &request(Method::GET, "http://b.s3.us-east-1.amazonaws.com/k/l%2Bm?versionId=v"));
        let params = call.params.unwrap();
        assert_eq!(
            (&params["Bucket"], &params["Key"], &params["versionId"]),
            (&"b".into(), &"k/l+m".into(), &"v".into())
        );
        assert_eq!(call.rest.path, "/b/k/l%2Bm?versionId=v");
    }

    #[test]
    fn a_body_in_chunks_is_put_together() {
        let mut ask = request(Method::PUT, "/b/k");
        ask.headers_mut().insert("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER".parse().unwrap());
        *ask.body_mut() =
            Bytes::from_static(b"5\r\nhello\r\n1;chunk-signature=0\r\n!\r\n0\r\nx-amz-checksum-crc32:AA\r\n\r\n");
        assert_eq!(read(Service::S3, &ask).rest.body, "hello!");
        *ask.body_mut() = Bytes::from_static(b"ff\r\nhello");
        assert_eq!(read(Service::S3, &ask).rest.body, "ff\r\nhello");
    }
}
