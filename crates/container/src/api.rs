//! A registry over HTTP: the calls of the OCI distribution specification that images need.
//!
//! Who may call is settled by `oci-client`, which knows the dialects of tokens; the calls are made here, so that every
//! status and every broken connection is the error that the executor can act on. Nothing is tried again.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LINK, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use switchback_model::{ErrorClass, OpError, OpResult};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::ask::ImageFacts;
use crate::picture::{Blob, Content, MANIFESTS, Manifest, annotations, size};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a connection that nobody uses is kept.
const IDLE: Duration = Duration::from_secs(5);
/// No manifest is larger: registries refuse what is.
const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;
/// How much of a file is read at once.
const PART: usize = 256 * 1024;
/// How much of an error's text is kept.
const LONGEST_TEXT: usize = 300;

/// Who calls.
pub(crate) enum Caller {
    Anonymous,
    User {
        name: String,
        password: String,
    },
    /// A value of the `Authorization` header, as ECR gives it.
    Header(HeaderValue),
}

/// One repository of a registry.
pub(crate) struct Repository {
    http: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    name: String,
}

impl Repository {
    /// A repository at `host`, `HOST[:PORT]`. Plain HTTP on loopback only.
    pub(crate) async fn open(
        clients: &Clients,
        host: &str,
        name: &str,
        caller: Caller,
        writes: bool,
    ) -> OpResult<Self> {
        let scheme = if is_loopback(host) { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{name}/");
        let base =
            Url::parse(&base).map_err(|e| OpError::permanent(format!("`{host}/{name}` is no repository: {e}")))?;
        let http = clients.http()?;
        let authorization = match caller {
            Caller::Header(value) => Some(value),
            caller => clients.authorize(scheme, host, name, caller, writes).await?,
        };
        Ok(Self { http, base, authorization, name: format!("{host}/{name}") })
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn url(&self, path: &str) -> OpResult<Url> {
        self.base.join(path).map_err(|e| OpError::permanent(format!("`{path}` is no address: {e}")))
    }

    async fn send(&self, request: RequestBuilder, doing: &str, writes: bool) -> OpResult<Response> {
        request.send().await.map_err(|error| lost(&error, &format!("{doing} of {}", self.name), writes))
    }

    /// The manifest of a tag or a digest, as it is; none when there is none.
    pub(crate) async fn manifest(&self, reference: &str) -> OpResult<Option<Manifest>> {
        let doing = "GET manifest";
        let request = self.request(Method::GET, self.url(&format!("manifests/{reference}"))?);
        let reply = self.send(request.header(ACCEPT, MANIFESTS.join(", ")), doing, false).await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let reply = self.checked(reply, doing, false).await?;
        let kind = reply.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().to_owned();
        let bytes = reply.bytes().await.map_err(|error| lost(&error, doing, false))?;
        let manifest = Manifest::new(kind, bytes);
        if reference.starts_with("sha256:") && manifest.digest != reference {
            let text = format!("the manifest {reference} in {} has the digest {}", self.name, manifest.digest);
            return Err(OpError::permanent(text).with_code("DigestMismatch"));
        }
        if manifest.bytes.len() > LARGEST_MANIFEST {
            return Err(OpError::permanent(format!("the manifest {reference} in {} is too large", self.name)));
        }
        Ok(Some(manifest))
    }

    /// What a tag or a digest names.
    pub(crate) async fn facts(&self, reference: &str) -> OpResult<Option<ImageFacts>> {
        let manifest = self.manifest(reference).await?;
        Ok(manifest.map(|it| ImageFacts {
            annotations: annotations(&it.bytes),
            size: size(&it.bytes),
            media_type: it.media_type,
            digest: it.digest,
        }))
    }

    /// Puts a manifest there, under a tag or its digest.
    pub(crate) async fn put_manifest(&self, reference: &str, manifest: &Manifest) -> OpResult<()> {
        let request = self.request(Method::PUT, self.url(&format!("manifests/{reference}"))?);
        let request = request.header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
        let doing = "PUT manifest";
        let reply = self.send(request, doing, true).await?;
        self.checked(reply, doing, true).await.map(|_| ())
    }

    /// Sends a blob unless it is there.
    pub(crate) async fn push_blob(&self, blob: &Blob) -> OpResult<()> {
        let there = self.request(Method::HEAD, self.url(&format!("blobs/{}", blob.digest))?);
        let there = self.send(there, "HEAD blob", false).await?;
        if there.status() != StatusCode::NOT_FOUND {
            return self.checked(there, "HEAD blob", false).await.map(|_| ());
        }
        let begun = self.request(Method::POST, self.url("blobs/uploads/")?).header(CONTENT_LENGTH, 0);
        let doing = "blob upload";
        let begun = self.send(begun, doing, true).await?;
        let place = self.next(self.checked(begun, doing, true).await?)?;
        let body = reqwest::Body::wrap_stream(read(blob.content.clone(), blob.size));
        let request = self.request(Method::PATCH, place).header(CONTENT_TYPE, "application/octet-stream");
        let sent = self.send(request.header(CONTENT_LENGTH, blob.size).body(body), doing, true).await?;
        let mut place = self.next(self.checked(sent, doing, true).await?)?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        // The registry holds what came against the digest.
        let ended = self.send(self.request(Method::PUT, place).header(CONTENT_LENGTH, 0), doing, true).await?;
        self.checked(ended, doing, true).await.map(|_| ())
    }

    /// The tags, but for `without`, that name a digest.
    pub(crate) async fn other_tags(&self, digest: &str, without: Option<&str>) -> OpResult<Vec<String>> {
        let (mut page, mut tags) = (Some(self.url("tags/list?n=500")?), Vec::new());
        while let Some(url) = page {
            let doing = "GET tags";
            let reply = self.send(self.request(Method::GET, url), doing, false).await?;
            if reply.status() == StatusCode::NOT_FOUND {
                break;
            }
            let reply = self.checked(reply, doing, false).await?;
            let link = reply.headers().get(LINK).and_then(|link| link.to_str().ok());
            let next = link.and_then(|link| link.strip_prefix('<')?.split_once('>')).map(|(next, _)| next.to_owned());
            page = next.and_then(|next| self.base.join(&next).ok());
            let body = reply.bytes().await.map_err(|error| lost(&error, doing, false))?;
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            tags.extend(body["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        let mut named = Vec::new();
        for tag in tags.into_iter().filter(|tag| Some(tag.as_str()) != without) {
            // One that goes meanwhile names nothing.
            if self.manifest(&tag).await?.is_some_and(|it| it.digest == digest) {
                named.push(tag);
            }
        }
        Ok(named)
    }

    /// Deletes an image, with all its tags. Whether it was there.
    pub(crate) async fn delete(&self, digest: &str) -> OpResult<bool> {
        let doing = "DELETE manifest";
        let request = self.request(Method::DELETE, self.url(&format!("manifests/{digest}"))?);
        let reply = self.send(request, doing, true).await?;
        match reply.status() {
            StatusCode::NOT_FOUND => Ok(false),
            StatusCode::METHOD_NOT_ALLOWED => {
                Err(OpError::permanent(format!("{} does not let images be deleted", self.name))
                    .with_code("UNSUPPORTED")
                    .with_hint("turn deleting on in the registry (REGISTRY_STORAGE_DELETE_ENABLED=true)"))
            }
            _ => self.checked(reply, doing, true).await.map(|_| true),
        }
    }

    /// Where an upload goes on.
    fn next(&self, reply: Response) -> OpResult<Url> {
        let place = reply.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let place = place.and_then(|place| reply.url().join(place).ok());
        place.ok_or_else(|| OpError::permanent(format!("{} does not say where an upload goes", self.name)))
    }

    /// A reply that is a success, or what it means that it is none.
    async fn checked(&self, reply: Response, doing: &str, writes: bool) -> OpResult<Response> {
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let body = reply.bytes().await.unwrap_or_default();
        Err(refused(status, &body, &format!("{doing} of {}", self.name), writes))
    }
}

/// What is made once, since a client of HTTP reads all certificates that the system trusts.
#[derive(Default)]
pub(crate) struct Clients {
    http: OnceLock<Client>,
    plain: OnceLock<oci_client::Client>,
    tls: OnceLock<oci_client::Client>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    fn http(&self) -> OpResult<Client> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        // A proxy of the environment is not asked: nothing here depends on what the operator did not say. A connection
        // that was not used for long may be closed by now, and a write on it be in doubt.
        let builder =
            Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).no_proxy().pool_idle_timeout(IDLE);
        let client = builder.build().map_err(|e| OpError::permanent(format!("no HTTP client: {e}")))?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    fn oci(&self, scheme: &str) -> oci_client::Client {
        let (made, protocol) = match scheme {
            "http" => (&self.plain, ClientProtocol::Http),
            _ => (&self.tls, ClientProtocol::Https),
        };
        let make = || {
            oci_client::Client::new(ClientConfig {
                protocol,
                connect_timeout: Some(CONNECT),
                read_timeout: Some(SILENCE),
                ..Default::default()
            })
        };
        made.get_or_init(make).clone()
    }

    /// What goes into the `Authorization` header: none where the registry asks nobody.
    async fn authorize(
        &self,
        scheme: &str,
        host: &str,
        name: &str,
        caller: Caller,
        writes: bool,
    ) -> OpResult<Option<HeaderValue>> {
        let asked = self.http()?.get(format!("{scheme}://{host}/v2/")).send().await;
        if asked.map_err(|error| lost(&error, &format!("GET {host}/v2/"), false))?.status().is_success() {
            return Ok(None);
        }
        authorize(&self.oci(scheme), host, name, caller, writes).await
    }
}

async fn authorize(
    client: &oci_client::Client,
    host: &str,
    name: &str,
    caller: Caller,
    writes: bool,
) -> OpResult<Option<HeaderValue>> {
    let place = Reference::with_tag(host.to_owned(), name.to_owned(), "latest".to_owned());
    let auth = match &caller {
        Caller::User { name, password } => RegistryAuth::Basic(name.clone(), password.clone()),
        _ => RegistryAuth::Anonymous,
    };
    let operation = if writes { RegistryOperation::Push } else { RegistryOperation::Pull };
    let token = client.auth(&place, &auth, operation).await.map_err(|error| match error {
        // Nothing of the image was sent, whatever became of this.
        oci_client::errors::OciDistributionError::RequestError(error) => {
            lost(&error, &format!("GET {host}/v2/"), false)
        }
        _ => OpError::new(ErrorClass::Unavailable, format!("the registry {host} does not let us in"))
            .with_code("UNAUTHORIZED")
            .with_hint("check `username` and `password`"),
    })?;
    let bad = |_| OpError::permanent("the credentials of the registry cannot be sent");
    match (token, caller) {
        (Some(token), _) => sensitive(&format!("Bearer {token}")).map(Some).map_err(bad),
        (None, Caller::User { name, password }) => {
            // Let reqwest write it: it knows the form.
            let request = Client::new().get("http://localhost").basic_auth(name, Some(password)).build();
            let value = request.ok().and_then(|request| request.headers().get(AUTHORIZATION).cloned());
            Ok(value)
        }
        (None, _) => Ok(None),
    }
}

/// A header value that is not shown.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, reqwest::header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a host is this machine: nothing that is sent there can be read on the way.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A call that came to no answer.
fn lost(error: &reqwest::Error, doing: &str, writes: bool) -> OpError {
    let class = if error.is_builder() {
        ErrorClass::Permanent
    } else if error.is_connect() || !writes {
        ErrorClass::Transient
    } else {
        ErrorClass::Ambiguous
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    OpError::new(class, format!("{doing}: {cause}"))
}

/// A call that the registry refused.
pub(crate) fn refused(status: StatusCode, body: &[u8], doing: &str, writes: bool) -> OpError {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let first = &said["errors"][0];
    let class = match status.as_u16() {
        429 => ErrorClass::Transient,
        500.. => {
            if writes {
                ErrorClass::Ambiguous
            } else {
                ErrorClass::Transient
            }
        }
        401 => ErrorClass::Unavailable,
        _ => ErrorClass::Permanent,
    };
    let mut text = first["message"].as_str().unwrap_or_default().to_owned();
    if let Some((at, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(at);
    }
    let text = if text.is_empty() { String::new() } else { format!(": {text}") };
    let code = first["code"].as_str().map_or_else(|| status.as_u16().to_string(), str::to_owned);
    OpError::new(class, format!("{doing}: {status}{text}")).with_code(code)
}

/// The bytes of a blob, in parts.
fn read(content: Content, size: u64) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    enum At {
        Begin(Content, u64),
        In(tokio::io::Take<tokio::fs::File>),
        End,
    }
    stream::try_unfold(At::Begin(content, size), |at| async move {
        let mut file = match at {
            At::Begin(Content::Held(bytes), _) => return Ok(Some((bytes, At::End))),
            At::Begin(Content::Within { path, offset }, size) => {
                let mut file = tokio::fs::File::open(path).await?;
                file.seek(std::io::SeekFrom::Start(offset)).await?;
                file.take(size)
            }
            At::In(file) => file,
            At::End => return Ok(None),
        };
        let mut part = Vec::with_capacity(PART);
        (&mut file).take(PART as u64).read_to_end(&mut part).await?;
        Ok(if part.is_empty() { None } else { Some((Bytes::from(part), At::In(file))) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for host in ["127.0.0.1:5000", "localhost", "localhost:5000", "[::1]:5000", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["registry.example", "10.0.0.1:5000", "localhost.example:5000", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_refusal_says_what_may_be_done() {
        let class = |status: u16, writes| {
            let status = StatusCode::from_u16(status).unwrap();
            refused(status, b"", "x", writes).class
        };
        assert_eq!(class(500, true), ErrorClass::Ambiguous);
        assert_eq!(class(503, false), ErrorClass::Transient);
        assert_eq!(class(429, true), ErrorClass::Transient);
        assert_eq!(class(401, true), ErrorClass::Unavailable);
        assert_eq!(class(403, true), ErrorClass::Permanent);
        assert_eq!(class(404, false), ErrorClass::Permanent);
        let body = br#"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#;
        let error = refused(StatusCode::BAD_REQUEST, body, "PUT manifest of x", true);
        assert_eq!(error.code.as_deref(), Some("TAG_INVALID"));
        assert!(error.message.contains("the tag is immutable"));
    }
}
