//! Objects: what they hold is noted as a digest, which is what functions that are made of them say of their code.

use aws_smithy_types::base64;
use sha2::{Digest as _, Sha256};

use super::{Desk, given, headed};
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::s3::arn;
use crate::refusal::Refusal;

/// The digest of an object, in base 64, by its name in the notes.
pub(crate) const SHA256: &str = "sha256";

pub(super) async fn put(desk: &mut Desk<'_>, bucket: &str, input: &Input) -> Result<Answer, Refusal> {
    let key = input.body()?.required("Key")?;
    if key.len() > 1024 {
        return Err(Refusal::new("KeyTooLongError", "Your key is too long"));
    }
    let answer = desk.pass_on(input).await?;
    let digest = base64::encode(Sha256::digest(&input.rest()?.body));
    desk.notes_mut().facts.entry(arn(bucket, Some(key))).or_default().insert(SHA256, digest.into());
    Ok(answer)
}

/// A reply has no body here, so no code either.
pub(super) fn head(desk: &Desk<'_>, bucket: &str, body: &Body) -> Result<Answer, Refusal> {
    let missing = || Refusal::new("NotFound", "Not Found").with_status(404);
    let object = desk.picture().s3.objects.get(&arn(bucket, Some(body.required("Key")?))).ok_or_else(missing)?;
    let version = match given(body, "versionId")? {
        Some(id) => object.versions.iter().find(|version| version.id == id),
        None => object.versions.first().filter(|_| object.live),
    };
    let version = version.ok_or_else(missing)?;
    let size = version.size.to_string();
    let mut headers = vec![
        ("etag", version.etag.as_str()),
        ("content-type", &version.content_type),
        ("content-length", &size),
        ("last-modified", &version.modified),
    ];
    if version.id != "null" {
        headers.push(("x-amz-version-id", &version.id));
    }
    let metadata: Vec<(String, &String)> =
        version.metadata.iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value)).collect();
    headers.extend(metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Ok(headed(200, &headers))
}
