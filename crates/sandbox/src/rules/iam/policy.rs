//! Managed policies and their versions.

use super::super::Desk;
use super::document::{MANAGED_SIZE, check_identity, size};
use super::{
    arn, conflict, constraint, date, description, encoded, exists, given_tags, limit, managed, members, name, next_id,
    no_such, page, page_of_tags, path, required, with_given_tags, without_given_keys, write_more, write_tags,
};
use crate::picture::iam::{Iam, Member, Policy, Version};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

/// How many versions a policy may have at a time.
const VERSIONS: usize = 5;

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = name(params, "PolicyName", 128)?;
    let path = path(params)?;
    let document = document(params)?;
    let description = description(params)?.unwrap_or_default();
    let tags = given_tags(params)?;
    // One name, whatever the path; in another case it is the same one.
    if desk.picture().iam.policies.values().any(|held| held.name.eq_ignore_ascii_case(name)) {
        return Err(exists(format!("A policy called {name} already exists. Duplicate names are not allowed.")));
    }
    let now = date(desk);
    let policy = Policy {
        arn: arn(desk, "policy", path, name),
        name: name.to_owned(),
        id: next_id(desk, "ANPA"),
        path: path.to_owned(),
        description: description.to_owned(),
        created: now.clone(),
        updated: now.clone(),
        versions: vec![Version { number: 1, document: document.to_owned(), is_default: true, created: now }],
        tags,
    };
    put(desk, &policy).await;
    let mut xml = Xml::new();
    xml.tag("Policy", |xml| {
        write(desk, xml, &policy);
        if !policy.tags.is_empty() {
            write_tags(xml, &policy.tags);
        }
    });
    Ok(xml.finish())
}

/// The document that a call brings.
fn document(params: &Params) -> Result<&str, Refusal> {
    let document = required(params, "PolicyDocument")?;
    check_identity(document)?;
    if size(document) > MANAGED_SIZE {
        return Err(limit(format!("Cannot exceed quota for PolicySize: {MANAGED_SIZE}")));
    }
    Ok(document)
}

/// The ARN that a call names, in its form.
pub(super) fn arn_in(params: &Params) -> Result<&str, Refusal> {
    let arn = required(params, "PolicyArn")?;
    if arn.len() < 20 {
        return Err(constraint(&format!("'{arn}'"), "PolicyArn", "have length greater than or equal to 20"));
    }
    if !arn.starts_with("arn:aws:iam::") {
        return Err(Refusal::new("InvalidInput", format!("ARN {arn} is not valid.")));
    }
    Ok(arn)
}

/// A policy of this account or of AWS itself.
pub(super) fn find<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Policy, Refusal> {
    let found = desk.picture().iam.policies.get(arn).or_else(|| managed::all().get(arn));
    found.ok_or_else(|| no_such(format!("Policy {arn} was not found.")))
}

/// The policy that a call is about to change: a copy, to be changed and put back. Those of AWS nobody changes.
fn to_change(desk: &Desk<'_>, params: &Params) -> Result<Policy, Refusal> {
    let arn = arn_in(params)?;
    if arn.starts_with(managed::PREFIX) {
        let action = params.action();
        let message = format!("The caller is not authorized to perform: iam:{action} on resource: policy {arn}");
        return Err(Refusal::new("AccessDenied", message).with_status(403));
    }
    find(desk, arn).cloned()
}

async fn put(desk: &mut Desk<'_>, policy: &Policy) {
    desk.emulator.put_policy(policy).await;
    desk.look();
}

/// How often a policy is attached.
fn attachments(iam: &Iam, arn: &str) -> usize {
    let roles = iam.roles.values().map(|role| &role.attached);
    let members = iam.users.values().chain(iam.groups.values()).map(|member| &member.attached);
    roles.chain(members).filter(|attached| attached.iter().any(|held| held == arn)).count()
}

/// How often a policy is a boundary.
fn boundaries(iam: &Iam, arn: &str) -> usize {
    let roles = iam.roles.values().map(|role| &role.boundary);
    let users = iam.users.values().map(|user| &user.boundary);
    roles.chain(users).filter(|boundary| boundary.as_deref() == Some(arn)).count()
}

/// What all calls say of a policy, also those that list.
fn write(desk: &Desk<'_>, xml: &mut Xml, policy: &Policy) {
    let iam = &desk.picture().iam;
    xml.leaf("PolicyName", &policy.name);
    xml.leaf("PolicyId", &policy.id);
    xml.leaf("Arn", &policy.arn);
    xml.leaf("Path", &policy.path);
    xml.leaf_if("DefaultVersionId", policy.default().map(Version::id));
    xml.leaf("AttachmentCount", attachments(iam, &policy.arn));
    xml.leaf("PermissionsBoundaryUsageCount", boundaries(iam, &policy.arn));
    xml.leaf("IsAttachable", true);
    xml.leaf("CreateDate", &policy.created);
    xml.leaf("UpdateDate", &policy.updated);
}

pub(super) fn get(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = find(desk, arn_in(params)?)?;
    let mut xml = Xml::new();
    xml.tag("Policy", |xml| {
        write(desk, xml, policy);
        if !policy.description.is_empty() {
            xml.leaf("Description", &policy.description);
        }
        write_tags(xml, &policy.tags);
    });
    Ok(xml.finish())
}

/// Without descriptions and tags, as AWS says.
pub(super) fn list(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let iam = &desk.picture().iam;
    let scope = params.get("Scope").unwrap_or("All");
    let attached = params.flag("OnlyAttached")?.unwrap_or(false);
    let prefix = params.get("PathPrefix").unwrap_or("/");
    let usage = params.get("PolicyUsageFilter");
    let (own, of_aws) = match scope {
        "All" => (true, true),
        "Local" => (true, false),
        "AWS" => (false, true),
        other => {
            let rule = "satisfy enum value set: [AWS, Local, All]";
            return Err(constraint(&format!("'{other}'"), "Scope", rule));
        }
    };
    let own = iam.policies.values().filter(|_| own);
    let all = own.chain(managed::all().values().filter(|_| of_aws)).filter(|policy| {
        let used = match usage {
            Some("PermissionsBoundary") => boundaries(iam, &policy.arn) > 0,
            Some(_) => attachments(iam, &policy.arn) > 0,
            None => true,
        };
        policy.path.starts_with(prefix) && used && (!attached || attachments(iam, &policy.arn) > 0)
    });
    let (found, next) = page(params, all.collect())?;
    let mut xml = Xml::new();
    members(&mut xml, "Policies", found, |xml, policy| write(desk, xml, policy));
    write_more(&mut xml, next);
    Ok(xml.finish())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = to_change(desk, params)?;
    let iam = &desk.picture().iam;
    if attachments(iam, &policy.arn) + boundaries(iam, &policy.arn) > 0 {
        return Err(conflict("Cannot delete a policy attached to entities."));
    }
    if policy.versions.len() > 1 {
        return Err(conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's \
             versions. The default version is deleted with the policy.",
        ));
    }
    desk.emulator.drop_policy(&policy.arn).await;
    desk.look();
    Ok(String::new())
}

pub(super) async fn create_version(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let mut policy = to_change(desk, params)?;
    let document = document(params)?;
    let is_default = params.flag("SetAsDefault")?.unwrap_or(false);
    if policy.versions.len() >= VERSIONS {
        return Err(limit(format!(
            "A managed policy can have up to {VERSIONS} versions. Before you create a new version, you must delete \
             an existing version."
        )));
    }
    // A number is never used twice, also after its version was deleted.
    let held = policy.versions.iter().map(|version| version.number).max().unwrap_or_default();
    let number = desk.notes().versions.get(&policy.arn).copied().unwrap_or_default().max(held) + 1;
    let version = Version { number, document: document.to_owned(), is_default: false, created: date(desk) };
    policy.versions.push(version.clone());
    policy.updated = date(desk);
    if is_default {
        policy.versions.iter_mut().for_each(|version| version.is_default = version.number == number);
    }
    put(desk, &policy).await;
    desk.notes_mut().versions.insert(policy.arn, number);
    let mut xml = Xml::new();
    xml.tag("PolicyVersion", |xml| write_version(xml, &Version { is_default, ..version }));
    Ok(xml.finish())
}

fn write_version(xml: &mut Xml, version: &Version) {
    xml.leaf("VersionId", version.id());
    xml.leaf("IsDefaultVersion", version.is_default);
    xml.leaf("CreateDate", &version.created);
}

/// Where the version that a call names stands in the policy.
fn version_at(policy: &Policy, params: &Params) -> Result<usize, Refusal> {
    let id = required(params, "VersionId")?;
    let number = id.strip_prefix('v').filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
    if number.is_none_or(str::is_empty) {
        let rule = r"satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?";
        return Err(constraint(&format!("'{id}'"), "VersionId", rule));
    }
    policy
        .versions
        .iter()
        .position(|version| version.id() == id)
        .ok_or_else(|| no_such(format!("Policy {} version {id} does not exist or is not attachable.", policy.arn)))
}

pub(super) fn get_version(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = find(desk, arn_in(params)?)?;
    let version = &policy.versions[version_at(policy, params)?];
    let mut xml = Xml::new();
    xml.tag("PolicyVersion", |xml| {
        xml.leaf("Document", encoded(&version.document));
        write_version(xml, version);
    });
    Ok(xml.finish())
}

/// The newest first, without documents.
pub(super) fn list_versions(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let policy = find(desk, arn_in(params)?)?;
    let (found, next) = page(params, policy.versions.iter().rev().collect())?;
    let mut xml = Xml::new();
    members(&mut xml, "Versions", found, write_version);
    write_more(&mut xml, next);
    Ok(xml.finish())
}

pub(super) async fn set_default_version(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let mut policy = to_change(desk, params)?;
    let at = version_at(&policy, params)?;
    policy.versions.iter_mut().enumerate().for_each(|(n, version)| version.is_default = n == at);
    policy.updated = date(desk);
    put(desk, &policy).await;
    Ok(String::new())
}

pub(super) async fn delete_version(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let mut policy = to_change(desk, params)?;
    let at = version_at(&policy, params)?;
    if policy.versions[at].is_default {
        return Err(conflict("Cannot delete the default version of a policy."));
    }
    policy.versions.remove(at);
    policy.updated = date(desk);
    put(desk, &policy).await;
    Ok(String::new())
}

pub(super) fn list_entities(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let arn = find(desk, arn_in(params)?)?.arn.as_str();
    let iam = &desk.picture().iam;
    let prefix = params.get("PathPrefix").unwrap_or("/");
    let only = params.get("EntityFilter");
    let as_boundary = params.get("PolicyUsageFilter") == Some("PermissionsBoundary");
    let uses = |attached: &[String], boundary: Option<&str>, path: &str| {
        let used = if as_boundary { boundary == Some(arn) } else { attached.iter().any(|held| held == arn) };
        used && path.starts_with(prefix)
    };
    let of = |kind: &'static str, members: &'_ std::collections::BTreeMap<String, Member>| -> Vec<_> {
        let used = members.values().filter(|it| uses(&it.attached, it.boundary.as_deref(), &it.path));
        used.map(|it| (kind, it.name.clone(), it.id.clone())).collect()
    };
    let roles = iam.roles.iter().filter(|(_, it)| uses(&it.attached, it.boundary.as_deref(), &it.path));
    let roles = roles.map(|(name, it)| ("Role", name.clone(), it.id.clone()));
    let mut all = of("Group", &iam.groups);
    all.extend(of("User", &iam.users));
    all.extend(roles);
    all.retain(|(kind, _, _)| only.is_none_or(|only| only == *kind));
    let (found, next) = page(params, all)?;
    let mut xml = Xml::new();
    for kind in ["Group", "User", "Role"] {
        let list = format!("Policy{kind}s");
        members(&mut xml, &list, found.iter().filter(|(of, _, _)| *of == kind), |xml, (_, name, id)| {
            xml.leaf(&format!("{kind}Name"), name);
            xml.leaf(&format!("{kind}Id"), id);
        });
    }
    write_more(&mut xml, next);
    Ok(xml.finish())
}

pub(super) async fn tag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let mut policy = to_change(desk, params)?;
    policy.tags = with_given_tags(policy.tags, params)?;
    put(desk, &policy).await;
    Ok(String::new())
}

pub(super) async fn untag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let mut policy = to_change(desk, params)?;
    policy.tags = without_given_keys(policy.tags, params);
    put(desk, &policy).await;
    Ok(String::new())
}

pub(super) fn list_tags(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    page_of_tags(params, &find(desk, arn_in(params)?)?.tags)
}
