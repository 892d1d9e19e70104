//! Roles.

use super::super::Desk;
use super::document::{TRUST_SIZE, check_trust, invalid_principal, size};
use super::{
    arn, conflict, constraint, date, description, encoded, exists, given_tags, limit, members, name, next_id, no_such,
    page, page_of_tags, path, policy, required, with_given_tags, without_given_keys, write_more, write_tags,
};
use crate::picture::iam::Role;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// Where the roles are that only AWS changes.
const LINKED: &str = "/aws-service-role/";

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = name(params, "RoleName", 64)?;
    let path = path(params)?;
    let trust = required(params, "AssumeRolePolicyDocument")?;
    let description = description(params)?.unwrap_or_default();
    let max_session = max_session(params)?.unwrap_or(3600);
    let tags = given_tags(params)?;
    check(desk, trust)?;
    let boundary = params.get("PermissionsBoundary").map(str::to_owned);
    if let Some(boundary) = boundary.as_deref().filter(|boundary| policy::find(desk, boundary).is_err()) {
        return Err(no_such(format!("Scope ARN: {boundary} does not exist or is not attachable.")));
    }
    if desk.picture().iam.roles.keys().any(|held| held.eq_ignore_ascii_case(name)) {
        return Err(exists(format!("Role with name {name} already exists.")));
    }
    let role = Role {
        arn: arn(desk, "role", path, name),
        id: next_id(desk, "AROA"),
        path: path.to_owned(),
        description: description.to_owned(),
        trust: trust.to_owned(),
        created: date(desk),
        max_session,
        boundary,
        attached: Vec::new(),
        inline: std::collections::BTreeMap::new(),
        tags,
    };
    desk.emulator.put_role(name, &role).await;
    desk.look();
    // The others hear of it later: see `Desk::role`.
    desk.settle(&role.arn);
    let mut xml = Xml::new();
    xml.tag("Role", |xml| {
        write(xml, name, &role);
        write_tags_if(xml, &role);
    });
    Ok(xml.finish())
}

/// Checks a trust policy. A principal of this account must exist, and IAM must have told of it.
fn check(desk: &Desk<'_>, trust: &str) -> Result<(), Refusal> {
    let own = format!("arn:aws:iam::{}:", desk.place.account);
    for arn in check_trust(trust)? {
        let known = match arn.strip_prefix(&own) {
            Some(rest) if rest.starts_with("role/") => desk.role(&arn).is_some(),
            Some(rest) if rest.starts_with("user/") => {
                // Who calls the sandbox is a user that is never made.
                rest == "user/sandbox" || desk.picture().iam.users.contains_key(&arn)
            }
            _ => true,
        };
        if !known {
            return Err(invalid_principal("AWS", &arn));
        }
    }
    if size(trust) > TRUST_SIZE {
        return Err(limit(format!("Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE}")));
    }
    Ok(())
}

fn max_session(params: &Params) -> Result<Option<i32>, Refusal> {
    let Some(text) = params.get("MaxSessionDuration") else { return Ok(None) };
    let rule = match text.parse() {
        Ok(seconds @ 3600..=43200) => return Ok(Some(seconds)),
        Ok(..3600) => "have value greater than or equal to 3600",
        _ => "have value less than or equal to 43200",
    };
    Err(constraint(&format!("'{text}'"), "MaxSessionDuration", rule))
}

/// The role that a call names.
pub(super) fn named<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Role), Refusal> {
    let name = name(params, "RoleName", 64)?;
    let role = desk.picture().iam.roles.get(name);
    role.map(|role| (name, role)).ok_or_else(|| absent(name))
}

/// The role that a read names. Where the sandbox is told so, a new role cannot be read yet.
pub(super) fn seen<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Role), Refusal> {
    let (name, role) = named(desk, params)?;
    if desk.settings.iam_lag && desk.is_pending(&role.arn) { Err(absent(name)) } else { Ok((name, role)) }
}

/// The role that a call is about to change: a copy, to be changed and put back.
pub(super) fn to_change(desk: &Desk<'_>, params: &Params) -> Result<(String, Role), Refusal> {
    let (name, role) = named(desk, params)?;
    if role.path.starts_with(LINKED) {
        return Err(Refusal::new(
            "UnmodifiableEntity",
            format!(
                "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
            ),
        ));
    }
    Ok((name.to_owned(), role.clone()))
}

/// Puts a changed role back.
pub(super) async fn put(desk: &mut Desk<'_>, name: &str, role: &Role) -> Result<String, Refusal> {
    desk.emulator.put_role(name, role).await;
    desk.look();
    Ok(String::new())
}

fn absent(name: &str) -> Refusal {
    no_such(format!("The role with name {name} cannot be found."))
}

/// What all calls say of a role.
pub(super) fn write(xml: &mut Xml, name: &str, role: &Role) {
    xml.leaf("Path", &role.path);
    xml.leaf("RoleName", name);
    xml.leaf("RoleId", &role.id);
    xml.leaf("Arn", &role.arn);
    xml.leaf("CreateDate", &role.created);
    xml.leaf("AssumeRolePolicyDocument", encoded(&role.trust));
    if !role.description.is_empty() {
        xml.leaf("Description", &role.description);
    }
    xml.leaf("MaxSessionDuration", role.max_session);
}

fn write_tags_if(xml: &mut Xml, role: &Role) {
    if let Some(boundary) = &role.boundary {
        xml.tag("PermissionsBoundary", |xml| {
            xml.leaf("PermissionsBoundaryType", "Policy");
            xml.leaf("PermissionsBoundaryArn", boundary);
        });
    }
    if !role.tags.is_empty() {
        write_tags(xml, &role.tags);
    }
}

pub(super) fn get(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, role) = seen(desk, params)?;
    let mut xml = Xml::new();
    xml.tag("Role", |xml| {
        write(xml, name, role);
        write_tags_if(xml, role);
        xml.tag("RoleLastUsed", |_| {});
    });
    Ok(xml.finish())
}

/// Without tags and boundaries, as AWS says: who wants them gets the role.
pub(super) fn list(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let prefix = params.get("PathPrefix").unwrap_or("/");
    let lags = |role: &Role| desk.settings.iam_lag && desk.is_pending(&role.arn);
    let found = desk.picture().iam.roles.iter().filter(|(_, role)| role.path.starts_with(prefix) && !lags(role));
    let (found, next) = page(params, found.collect())?;
    let mut xml = Xml::new();
    members(&mut xml, "Roles", found, |xml, (name, role)| write(xml, name, role));
    write_more(&mut xml, next);
    Ok(xml.finish())
}

/// A session duration that is not given is one hour again; a description that is not given stays.
pub(super) async fn update(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = to_change(desk, params)?;
    role.max_session = max_session(params)?.unwrap_or(3600);
    if let Some(description) = description(params)? {
        description.clone_into(&mut role.description);
    }
    put(desk, &name, &role).await
}

pub(super) async fn update_description(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = to_change(desk, params)?;
    description(params)?.unwrap_or_default().clone_into(&mut role.description);
    put(desk, &name, &role).await?;
    let mut xml = Xml::new();
    xml.tag("Role", |xml| write(xml, &name, &role));
    Ok(xml.finish())
}

pub(super) async fn update_trust(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = to_change(desk, params)?;
    let trust = required(params, "PolicyDocument")?;
    check(desk, trust)?;
    trust.clone_into(&mut role.trust);
    put(desk, &name, &role).await
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, role) = to_change(desk, params)?;
    if desk.picture().iam.profiles.values().any(|profile| profile.roles.contains(&name)) {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    if !role.attached.is_empty() {
        return Err(conflict("Cannot delete entity, must detach all policies first."));
    }
    if !role.inline.is_empty() {
        return Err(conflict("Cannot delete entity, must delete policies first."));
    }
    desk.emulator.drop_role(&name).await;
    desk.look();
    Ok(String::new())
}

pub(super) async fn tag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = to_change(desk, params)?;
    role.tags = with_given_tags(role.tags, params)?;
    put(desk, &name, &role).await
}

pub(super) async fn untag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = to_change(desk, params)?;
    role.tags = without_given_keys(role.tags, params);
    put(desk, &name, &role).await
}

pub(super) fn list_tags(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    page_of_tags(params, &seen(desk, params)?.1.tags)
}
