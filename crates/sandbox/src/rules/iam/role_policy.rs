//! What a role may do: the managed policies that are attached to it, and its inline policies.

use super::super::Desk;
use super::document::{INLINE_SIZE, check_identity, size};
use super::{encoded, limit, members, name, no_such, page, policy, required, role, write_more};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// How many managed policies a role may have. A new AWS account has 10.
const POLICIES_PER_ROLE: usize = 10;

/// Attaching what is attached changes nothing, and succeeds.
pub(super) async fn attach(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = role::to_change(desk, params)?;
    let arn = policy::arn_in(params)?;
    if policy::find(desk, arn).is_err() {
        return Err(no_such(format!("Policy {arn} does not exist or is not attachable.")));
    }
    if role.attached.iter().any(|held| held == arn) {
        return Ok(String::new());
    }
    if role.attached.len() >= POLICIES_PER_ROLE {
        return Err(limit(format!("Cannot exceed quota for PoliciesPerRole: {POLICIES_PER_ROLE}")));
    }
    role.attached.push(arn.to_owned());
    role::put(desk, &name, &role).await
}

pub(super) async fn detach(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut role) = role::to_change(desk, params)?;
    let arn = policy::arn_in(params)?;
    let Some(at) = role.attached.iter().position(|held| held == arn) else {
        return Err(no_such(format!("Policy {arn} was not found.")));
    };
    role.attached.remove(at);
    role::put(desk, &name, &role).await
}

pub(super) fn list_attached(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (_, role) = role::seen(desk, params)?;
    let prefix = params.get("PathPrefix").unwrap_or("/");
    let policies = role.attached.iter().filter_map(|arn| policy::find(desk, arn).ok());
    let (found, next) = page(params, policies.filter(|policy| policy.path.starts_with(prefix)).collect())?;
    let mut xml = Xml::new();
    members(&mut xml, "AttachedPolicies", found, |xml, policy| {
        xml.leaf("PolicyName", &policy.name);
        xml.leaf("PolicyArn", &policy.arn);
    });
    write_more(&mut xml, next);
    Ok(xml.finish())
}

/// Replaces the policy of this name, if there is one.
pub(super) async fn put(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = name(params, "PolicyName", 128)?;
    let document = required(params, "PolicyDocument")?;
    let (name, mut role) = role::to_change(desk, params)?;
    check_identity(document)?;
    role.inline.insert(policy.to_owned(), document.to_owned());
    if role.inline.values().map(|document| size(document)).sum::<usize>() > INLINE_SIZE {
        return Err(limit(format!("Maximum policy size of {INLINE_SIZE} bytes exceeded for role {name}")));
    }
    role::put(desk, &name, &role).await
}

pub(super) fn get(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = name(params, "PolicyName", 128)?;
    let (name, role) = role::seen(desk, params)?;
    let document = role.inline.get(policy).ok_or_else(|| absent(policy))?;
    let mut xml = Xml::new();
    xml.leaf("RoleName", name);
    xml.leaf("PolicyName", policy);
    xml.leaf("PolicyDocument", encoded(document));
    Ok(xml.finish())
}

fn absent(policy: &str) -> Refusal {
    no_such(format!("The role policy with name {policy} cannot be found."))
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = name(params, "PolicyName", 128)?;
    let (name, mut role) = role::to_change(desk, params)?;
    role.inline.remove(policy).ok_or_else(|| absent(policy))?;
    role::put(desk, &name, &role).await
}

pub(super) fn list(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (_, role) = role::seen(desk, params)?;
    let (found, next) = page(params, role.inline.keys().collect())?;
    let mut xml = Xml::new();
    xml.tag("PolicyNames", |xml| found.into_iter().for_each(|name| xml.leaf("member", name)));
    write_more(&mut xml, next);
    Ok(xml.finish())
}
