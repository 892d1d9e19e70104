//! Instance profiles: how a role gets into an EC2 instance.

use super::super::Desk;
use super::{
    arn, conflict, date, exists, given_tags, limit, members, name, next_id, no_such, page, page_of_tags, path, role,
    with_given_tags, without_given_keys, write_more, write_tags,
};
use crate::picture::iam::Profile;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = name(params, "InstanceProfileName", 128)?;
    let path = path(params)?;
    let tags = given_tags(params)?;
    if desk.picture().iam.profiles.keys().any(|held| held.eq_ignore_ascii_case(name)) {
        return Err(exists(format!("Instance Profile {name} already exists.")));
    }
    let profile = Profile {
        arn: arn(desk, "instance-profile", path, name),
        id: next_id(desk, "AIPA"),
        path: path.to_owned(),
        created: date(desk),
        roles: Vec::new(),
        tags,
    };
    put(desk, name, &profile).await?;
    Ok(one(desk, name, &profile))
}

fn one(desk: &Desk<'_>, name: &str, profile: &Profile) -> String {
    let mut xml = Xml::new();
    xml.tag("InstanceProfile", |xml| {
        write(desk, xml, name, profile);
        write_tags(xml, &profile.tags);
    });
    xml.finish()
}

/// What all calls say of a profile.
fn write(desk: &Desk<'_>, xml: &mut Xml, name: &str, profile: &Profile) {
    xml.leaf("Path", &profile.path);
    xml.leaf("InstanceProfileName", name);
    xml.leaf("InstanceProfileId", &profile.id);
    xml.leaf("Arn", &profile.arn);
    xml.leaf("CreateDate", &profile.created);
    let roles = profile.roles.iter().filter_map(|name| Some((name, desk.picture().iam.roles.get(name)?)));
    members(xml, "Roles", roles, |xml, (name, role)| role::write(xml, name, role));
}

/// The profile that a call names.
fn named<'a>(desk: &'a Desk<'_>, params: &'a Params) -> Result<(&'a str, &'a Profile), Refusal> {
    let name = name(params, "InstanceProfileName", 128)?;
    let profile = desk.picture().iam.profiles.get(name);
    profile.map(|profile| (name, profile)).ok_or_else(|| no_such(format!("Instance Profile {name} cannot be found.")))
}

fn to_change(desk: &Desk<'_>, params: &Params) -> Result<(String, Profile), Refusal> {
    named(desk, params).map(|(name, profile)| (name.to_owned(), profile.clone()))
}

async fn put(desk: &mut Desk<'_>, name: &str, profile: &Profile) -> Result<String, Refusal> {
    desk.emulator.put_profile(name, profile).await;
    desk.look();
    Ok(String::new())
}

pub(super) fn get(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, profile) = named(desk, params)?;
    Ok(one(desk, name, profile))
}

pub(super) fn list(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let prefix = params.get("PathPrefix").unwrap_or("/");
    list_where(desk, params, |profile| profile.path.starts_with(prefix))
}

pub(super) fn list_for_role(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, _) = role::seen(desk, params)?;
    list_where(desk, params, |profile| profile.roles.iter().any(|held| held == name))
}

fn list_where(desk: &Desk<'_>, params: &Params, wanted: impl Fn(&Profile) -> bool) -> Result<String, Refusal> {
    let found = desk.picture().iam.profiles.iter().filter(|(_, profile)| wanted(profile));
    let (found, next) = page(params, found.collect())?;
    let mut xml = Xml::new();
    members(&mut xml, "InstanceProfiles", found, |xml, (name, profile)| write(desk, xml, name, profile));
    write_more(&mut xml, next);
    Ok(xml.finish())
}

pub(super) async fn add_role(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut profile) = to_change(desk, params)?;
    let (role, _) = role::to_change(desk, params)?;
    if !profile.roles.is_empty() {
        return Err(limit("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1".to_owned()));
    }
    profile.roles.push(role);
    put(desk, &name, &profile).await
}

pub(super) async fn remove_role(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut profile) = to_change(desk, params)?;
    let (role, _) = role::to_change(desk, params)?;
    let Some(at) = profile.roles.iter().position(|held| *held == role) else {
        return Err(no_such(format!("The role with name {role} cannot be found.")));
    };
    profile.roles.remove(at);
    put(desk, &name, &profile).await
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, profile) = to_change(desk, params)?;
    if !profile.roles.is_empty() {
        return Err(conflict("Cannot delete entity, must remove roles from instance profile first."));
    }
    desk.emulator.drop_profile(&name).await;
    desk.look();
    Ok(String::new())
}

pub(super) async fn tag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut profile) = to_change(desk, params)?;
    profile.tags = with_given_tags(profile.tags, params)?;
    put(desk, &name, &profile).await
}

pub(super) async fn untag(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, mut profile) = to_change(desk, params)?;
    profile.tags = without_given_keys(profile.tags, params);
    put(desk, &name, &profile).await
}

pub(super) fn list_tags(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    page_of_tags(params, &named(desk, params)?.1.tags)
}
