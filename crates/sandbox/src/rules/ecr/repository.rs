//! Repositories and their images.

use serde_json::{Value, json};

use super::{Desk, act, find, invalid, page, tags};
use crate::input::Body;
use crate::picture::ecr::Repository;
use crate::refusal::Refusal;
use crate::service::Service;

const NAME: &str = "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'";
/// The key that ECR has of its own in every account.
const OWN_KEY: &str = "key/5b0c5b0c-0000-4000-8000-0000000000ec";

fn check_name(name: &str) -> Result<(), Refusal> {
    if !(2..=256).contains(&name.len()) {
        return Err(invalid("repositoryName", "Member must have a length between 2 and 256"));
    }
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |part: &str| part.split(['.', '_', '-']).all(|word| !word.is_empty() && word.chars().all(inner));
    if name.split('/').all(fits) { Ok(()) } else { Err(invalid("repositoryName", NAME)) }
}

pub(super) async fn create(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("repositoryName")?;
    check_name(name)?;
    let tags = tags::given(body)?;
    let mutability = body.text("imageTagMutability")?.unwrap_or("MUTABLE");
    if !["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"].contains(&mutability) {
        return Err(invalid("imageTagMutability", "Member must satisfy enum value set: [MUTABLE, IMMUTABLE]"));
    }
    if desk.picture().ecr.repositories.contains_key(name) {
        let account = &desk.place.account;
        return Err(Refusal::new(
            "RepositoryAlreadyExistsException",
            format!("The repository with name '{name}' already exists in the registry with id '{account}'"),
        ));
    }
    let mut call = body.0.clone();
    call.remove("tags");
    if let Some(encryption) = encryption(desk, body)? {
        call.insert("encryptionConfiguration".to_owned(), encryption);
    }
    act(desk, "CreateRepository", Value::Object(call)).await?;
    if !tags.is_empty() {
        let arn = desk.place.arn(Service::Ecr, &format!("repository/{name}"));
        act(desk, "TagResource", json!({"resourceArn": arn, "tags": tags::written(&tags)})).await?;
    }
    desk.look();
    Ok(json!({"repository": reply(desk, name, find(desk, name)?)}))
}

/// How it is encrypted, with the key's ARN, whichever way the key was named.
fn encryption(desk: &Desk<'_>, body: &Body) -> Result<Option<Value>, Refusal> {
    let Some(given) = body.get("encryptionConfiguration") else { return Ok(None) };
    let (kind, key) = (given["encryptionType"].as_str().unwrap_or_default(), given["kmsKey"].as_str());
    match (kind, key) {
        ("AES256", None) => Ok(Some(given.clone())),
        ("AES256", Some(_)) => Err(invalid("kmsKey", "A KMS key can only be specified with KMS encryption")),
        ("KMS" | "KMS_DSSE", None) => {
            Ok(Some(json!({"encryptionType": kind, "kmsKey": desk.place.arn(Service::Kms, OWN_KEY)})))
        }
        ("KMS" | "KMS_DSSE", Some(key)) => {
            let key = usable_key(desk, key).ok_or_else(|| {
                let message = format!("The KMS key '{key}' does not exist, is not enabled or cannot be used");
                Refusal::new("KmsException", message)
            })?;
            Ok(Some(json!({"encryptionType": kind, "kmsKey": key})))
        }
        _ => Err(invalid("encryptionType", "Member must satisfy enum value set: [AES256, KMS, KMS_DSSE]")),
    }
}

/// The ARN of an enabled key, given by that, by its id or by its alias.
fn usable_key<'a>(desk: &'a Desk<'_>, given: &str) -> Option<&'a str> {
    let kms = &desk.picture().kms;
    let alias = kms.aliases.iter().find(|(name, alias)| *name == given || alias.arn == given);
    let id = alias.map_or(given, |(_, alias)| &alias.target);
    let key = kms.keys.iter().find(|(of, key)| *of == id || key.arn == id).map(|(_, key)| key)?;
    (key.state == "Enabled").then_some(key.arn.as_str())
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let all = &desk.picture().ecr.repositories;
    let names = body.texts("repositoryNames")?;
    let found = if names.is_empty() {
        all.iter().map(|(name, it)| reply(desk, name, it)).collect()
    } else {
        names.into_iter().map(|name| Ok(reply(desk, name, find(desk, name)?))).collect::<Result<_, Refusal>>()?
    };
    page(body, "repositories", found)
}

pub(super) async fn delete(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let name = body.required("repositoryName")?;
    let repository = find(desk, name)?;
    let (last, force) = (reply(desk, name, repository), body.flag("force")?.unwrap_or_default());
    if !force && !repository.images.is_empty() {
        let account = &desk.place.account;
        return Err(Refusal::new(
            "RepositoryNotEmptyException",
            format!(
                "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still \
                 contains images"
            ),
        ));
    }
    act(desk, "DeleteRepository", json!({"repositoryName": name, "force": force})).await?;
    desk.look();
    Ok(json!({"repository": last}))
}

/// An image once for each of its tags; without a tag once.
pub(super) fn list_images(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let repository = find(desk, body.required("repositoryName")?)?;
    let status = body.get("filter").and_then(|filter| filter["tagStatus"].as_str()).unwrap_or("ANY");
    let ids = repository.images.iter().flat_map(|(digest, tags)| {
        let tagged = tags.iter().map(move |tag| json!({"imageDigest": digest, "imageTag": tag}));
        let untagged = tags.is_empty().then(|| json!({"imageDigest": digest}));
        tagged.chain(untagged)
    });
    let wanted = ids.filter(|id| match status {
        "TAGGED" => id.get("imageTag").is_some(),
        "UNTAGGED" => id.get("imageTag").is_none(),
        _ => true,
    });
    page(body, "imageIds", wanted.collect())
}

/// A tag of a repository whose tags are immutable stays with its image.
pub(super) fn check_tag(desk: &Desk<'_>, name: &str, repository: &Repository, body: &Body) -> Result<(), Refusal> {
    let Some(tag) = body.text("imageTag")? else { return Ok(()) };
    let taken = repository.images.values().flatten().any(|held| held == tag);
    if taken && repository.tag_mutability == "IMMUTABLE" {
        let account = &desk.place.account;
        return Err(Refusal::new(
            "ImageTagAlreadyExistsException",
            format!(
                "The image tag '{tag}' already exists in the '{name}' repository of the registry with id '{account}' \
                 and cannot be overwritten because the tag is immutable."
            ),
        ));
    }
    Ok(())
}

/// A repository as in a reply.
fn reply(desk: &Desk<'_>, name: &str, it: &Repository) -> Value {
    let mut encryption = json!({"encryptionType": it.encryption});
    if let Some(key) = &it.key {
        encryption["kmsKey"] = json!(key);
    }
    json!({
        "repositoryArn": it.arn,
        "registryId": desk.place.account,
        "repositoryName": name,
        "repositoryUri": it.uri,
        "createdAt": it.created,
        "imageTagMutability": it.tag_mutability,
        "imageScanningConfiguration": {"scanOnPush": it.scan_on_push},
        "encryptionConfiguration": encryption,
    })
}
