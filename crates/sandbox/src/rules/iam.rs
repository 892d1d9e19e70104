//! IAM: roles, their policies, managed policies, instance profiles. Users, groups and identity providers have no rules
//! here: the emulator answers for them.
//!
//! A new role is known to IAM at once, and to all others a moment later: see [`Desk::role`]. Documents come back
//! URL-encoded, as IAM's do. Mended: the emulator takes any document and any name, answers in one page, knows none of
//! AWS's own policies, gives tags where AWS does not, and numbers versions anew after a restore.

mod document;
mod managed;
mod policy;
mod profile;
mod role;
mod role_policy;

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let params = input.params()?;
    let inner = match input.action.as_str() {
        "CreateRole" => role::create(desk, params).await,
        "GetRole" => role::get(desk, params),
        "ListRoles" => role::list(desk, params),
        "UpdateRole" => role::update(desk, params).await,
        "UpdateRoleDescription" => role::update_description(desk, params).await,
        "UpdateAssumeRolePolicy" => role::update_trust(desk, params).await,
        "DeleteRole" => role::delete(desk, params).await,
        "TagRole" => role::tag(desk, params).await,
        "UntagRole" => role::untag(desk, params).await,
        "ListRoleTags" => role::list_tags(desk, params),
        "AttachRolePolicy" => role_policy::attach(desk, params).await,
        "DetachRolePolicy" => role_policy::detach(desk, params).await,
        "ListAttachedRolePolicies" => role_policy::list_attached(desk, params),
        "PutRolePolicy" => role_policy::put(desk, params).await,
        "GetRolePolicy" => role_policy::get(desk, params),
        "DeleteRolePolicy" => role_policy::delete(desk, params).await,
        "ListRolePolicies" => role_policy::list(desk, params),
        "CreatePolicy" => policy::create(desk, params).await,
        "GetPolicy" => policy::get(desk, params),
        "ListPolicies" => policy::list(desk, params),
        "DeletePolicy" => policy::delete(desk, params).await,
        "CreatePolicyVersion" => policy::create_version(desk, params).await,
        "GetPolicyVersion" => policy::get_version(desk, params),
        "ListPolicyVersions" => policy::list_versions(desk, params),
        "SetDefaultPolicyVersion" => policy::set_default_version(desk, params).await,
        "DeletePolicyVersion" => policy::delete_version(desk, params).await,
        "ListEntitiesForPolicy" => policy::list_entities(desk, params),
        "TagPolicy" => policy::tag(desk, params).await,
        "UntagPolicy" => policy::untag(desk, params).await,
        "ListPolicyTags" => policy::list_tags(desk, params),
        "CreateInstanceProfile" => profile::create(desk, params).await,
        "GetInstanceProfile" => profile::get(desk, params),
        "ListInstanceProfiles" => profile::list(desk, params),
        "ListInstanceProfilesForRole" => profile::list_for_role(desk, params),
        "AddRoleToInstanceProfile" => profile::add_role(desk, params).await,
        "RemoveRoleFromInstanceProfile" => profile::remove_role(desk, params).await,
        "DeleteInstanceProfile" => profile::delete(desk, params).await,
        "TagInstanceProfile" => profile::tag(desk, params).await,
        "UntagInstanceProfile" => profile::untag(desk, params).await,
        "ListInstanceProfileTags" => profile::list_tags(desk, params),
        // A call that has no rules here.
        _ => return desk.pass_on(input).await,
    };
    inner.map(Answer::Inner)
}

fn no_such(message: String) -> Refusal {
    Refusal::new("NoSuchEntity", message).with_status(404)
}

fn exists(message: String) -> Refusal {
    Refusal::new("EntityAlreadyExists", message).with_status(409)
}

fn conflict(message: &'static str) -> Refusal {
    Refusal::new("DeleteConflict", message).with_status(409)
}

fn limit(message: String) -> Refusal {
    Refusal::new("LimitExceeded", message).with_status(409)
}

fn validation(message: String) -> Refusal {
    Refusal::new("ValidationError", message)
}

/// A value that breaks a rule of the API's model.
fn constraint(value: &str, parameter: &str, rule: &str) -> Refusal {
    let member = member(parameter);
    validation(format!(
        "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: Member must {rule}"
    ))
}

/// How messages spell a parameter: `roleName`.
fn member(parameter: &str) -> String {
    let mut letters = parameter.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn required<'a>(params: &'a Params, name: &str) -> Result<&'a str, Refusal> {
    params.get(name).filter(|text| !text.is_empty()).ok_or_else(|| constraint("null", name, "not be null"))
}

/// The name of something that is created or named.
fn name<'a>(params: &'a Params, parameter: &str, longest: usize) -> Result<&'a str, Refusal> {
    let name = required(params, parameter)?;
    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "+=,.@_-".contains(letter)) {
        return Err(validation(format!(
            "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the \
             following: +=,.@_-",
            member(parameter)
        )));
    }
    if name.len() > longest {
        let rule = format!("have length less than or equal to {longest}");
        return Err(constraint(&format!("'{name}'"), parameter, &rule));
    }
    Ok(name)
}

fn path(params: &Params) -> Result<&str, Refusal> {
    let path = params.get("Path").unwrap_or("/");
    let fits = path.starts_with('/') && path.ends_with('/') && path.bytes().all(|letter| letter.is_ascii_graphic());
    if !fits || path.len() > 512 {
        return Err(validation(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric \
             characters and/or / characters."
                .to_owned(),
        ));
    }
    Ok(path)
}

fn description(params: &Params) -> Result<Option<&str>, Refusal> {
    let text = params.get("Description");
    if let Some(text) = text.filter(|text| text.chars().count() > 1000) {
        return Err(constraint(&format!("'{text}'"), "Description", "have length less than or equal to 1000"));
    }
    Ok(text)
}

/// The tags that a call gives.
fn given_tags(params: &Params) -> Result<Tags, Refusal> {
    let mut tags = Tags::new();
    for (key, value) in params.tag_pairs("Tags.member") {
        let value = value.unwrap_or_default();
        if tags.keys().any(|held| held.eq_ignore_ascii_case(key)) {
            return Err(Refusal::new(
                "InvalidInput",
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if key.is_empty() || key.chars().count() > 128 {
            return Err(constraint(&format!("'{key}'"), "Tags.1.member.key", "have length between 1 and 128"));
        }
        if value.chars().count() > 256 {
            return Err(constraint(
                &format!("'{value}'"),
                "Tags.1.member.value",
                "have length less than or equal to 256",
            ));
        }
        let allowed = |letter: char| letter.is_alphanumeric() || " _.:/=+-@".contains(letter);
        if !key.chars().chain(value.chars()).all(allowed) {
            let rule = r"satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+";
            return Err(constraint(&format!("'{key}'"), "Tags.1.member.key", rule));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(Refusal::new("InvalidInput", "Tag keys starting with 'aws:' are reserved for internal use."));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Refusal> {
    if tags.len() > 50 { Err(limit("The number of tags has reached the maximum limit.".to_owned())) } else { Ok(()) }
}

/// The tags of a resource after a tag call. Keys that differ in case only are the same key.
fn with_given_tags(mut held: Tags, params: &Params) -> Result<Tags, Refusal> {
    for (key, value) in given_tags(params)? {
        held.retain(|old, _| !old.eq_ignore_ascii_case(&key));
        held.insert(key, value);
    }
    check_count(&held)?;
    Ok(held)
}

/// The tags of a resource after an untag call.
fn without_given_keys(mut held: Tags, params: &Params) -> Tags {
    let keys = params.list("TagKeys.member");
    held.retain(|key, _| !keys.iter().any(|given| given.eq_ignore_ascii_case(key)));
    held
}

/// `NAME` with a `member` for each.
fn members<T>(xml: &mut Xml, name: &str, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Xml, T)) {
    xml.tag(name, |xml| {
        for item in items {
            xml.tag("member", |xml| each(xml, item));
        }
    });
}

fn write_tags<'a>(xml: &mut Xml, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
    members(xml, "Tags", tags, |xml, (key, value)| {
        xml.leaf("Key", key);
        xml.leaf("Value", value);
    });
}

/// A document in a reply.
fn encoded(document: &str) -> String {
    form_urlencoded::byte_serialize(document.as_bytes()).collect::<String>().replace('+', "%20")
}

/// One page of a list call: up to `MaxItems` after the `Marker`, and the marker of what follows.
fn page<T>(params: &Params, all: Vec<T>) -> Result<(Vec<T>, Option<String>), Refusal> {
    let size = match params.get("MaxItems") {
        None => 100,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=1000).contains(size))
            .ok_or_else(|| constraint(&format!("'{text}'"), "MaxItems", "have value between 1 and 1000"))?,
    };
    let start = match params.get("Marker").filter(|marker| !marker.is_empty()) {
        None => 0,
        Some(marker) => marker
            .strip_prefix("page-")
            .and_then(|start| start.parse().ok())
            .filter(|start| *start <= all.len())
            .ok_or_else(|| validation("Invalid Marker.".to_owned()))?,
    };
    let more = all.len() > start + size;
    let page = all.into_iter().skip(start).take(size).collect();
    Ok((page, more.then(|| format!("page-{}", start + size))))
}

fn write_more(xml: &mut Xml, next: Option<String>) {
    xml.leaf("IsTruncated", next.is_some());
    xml.leaf_if("Marker", next);
}

/// A list call whose result is only tags.
fn page_of_tags(params: &Params, tags: &Tags) -> Result<String, Refusal> {
    let (tags, next) = page(params, tags.iter().collect())?;
    let mut xml = Xml::new();
    write_tags(&mut xml, tags);
    write_more(&mut xml, next);
    Ok(xml.finish())
}

/// An id that nothing else has: a kind of four letters, and 17 more.
fn next_id(desk: &mut Desk<'_>, kind: &str) -> String {
    format!("{kind}SANDBOX{:010}", desk.notes_mut().next_made())
}

/// A date in the form that IAM writes.
fn date(desk: &Desk<'_>) -> String {
    desk.now.date().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An ARN of IAM, which has no region.
fn arn(desk: &Desk<'_>, kind: &str, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{}:{kind}{path}{name}", desk.place.account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let call = |pairs: &[(&str, &str)]| {
            pairs.iter().fold(Params::call("X"), |call, (name, value)| call.with(*name, *value))
        };
        let all: Vec<u32> = (0..5).collect();
        let (first, next) = page(&call(&[("MaxItems", "2")]), all.clone()).unwrap();
        assert_eq!((first, next.as_deref()), (vec![0, 1], Some("page-2")));
        let (last, next) = page(&call(&[("MaxItems", "3"), ("Marker", "page-2")]), all.clone()).unwrap();
        assert_eq!((last, next), (vec![2, 3, 4], None));
        for bad in [("MaxItems", "0"), ("MaxItems", "1001"), ("Marker", "x"), ("Marker", "page-6")] {
            assert_eq!(page(&call(&[bad]), all.clone()).unwrap_err().code, "ValidationError", "{bad:?}");
        }
    }

    #[test]
    fn documents_are_encoded_as_iam_does() {
        assert_eq!(encoded("{\"a\": \"b/*\"}"), "%7B%22a%22%3A%20%22b%2F*%22%7D");
    }
}
