//! DB cluster parameter groups and what is set in them.
//!
//! Mended: the emulator takes any family and any parameter and keeps no values. The values are facts of the group.
//! Every family has a default group, which nobody makes and nobody changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Desk;
use super::catalog::{self, Parameter};
use super::form::{self, list};
use super::{arn_of, note};
use crate::picture::rds::ParameterGroup;
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// How many parameters one call may change.
const AT_ONCE: usize = 20;
/// The fact that holds the values.
const SET: &str = "parameters";

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name =
        form::check_identifier(params.required("DBClusterParameterGroupName")?, "DBClusterParameterGroupName", 255)?;
    if name.starts_with("default") {
        return Err(Refusal::invalid(format!("The parameter group name {name} is reserved.")));
    }
    let family = catalog::family(params.required("DBParameterGroupFamily")?)?;
    let description = params.required("Description")?;
    let tags = form::tags(params)?;
    if desk.picture().rds.cluster_parameter_groups.contains_key(&name) {
        return Err(Refusal::new("DBParameterGroupAlreadyExists", format!("Parameter group {name} already exists")));
    }
    let call = Params::call("CreateDBClusterParameterGroup").with("DBClusterParameterGroupName", &name);
    let call = call.with("DBParameterGroupFamily", family).with("Description", description);
    desk.emulator.act_on(Service::Rds, form::with_tags(call, &tags)).await?;
    desk.look();
    let mut xml = Xml::new();
    if let Some(it) = desk.picture().rds.cluster_parameter_groups.get(&name) {
        xml.tag("DBClusterParameterGroup", |xml| write(xml, &name, it));
    }
    Ok(xml.finish())
}

/// A group by its name, also a default one.
fn find(desk: &Desk<'_>, name: &str) -> Option<ParameterGroup> {
    let held = desk.picture().rds.cluster_parameter_groups.get(name);
    let by_default = || {
        let family = catalog::family(name.strip_prefix("default.")?).ok()?;
        Some(ParameterGroup {
            arn: arn_of(desk, "cluster-pg", name),
            family: family.to_owned(),
            description: format!("Default cluster parameter group for {family}"),
            tags: Tags::new(),
        })
    };
    held.cloned().or_else(by_default)
}

fn existing(desk: &Desk<'_>, params: &Params) -> Result<(String, ParameterGroup), Refusal> {
    let name = form::named(params, "DBClusterParameterGroupName")?;
    let group = find(desk, &name).ok_or_else(|| not_found(&name))?;
    Ok((name, group))
}

fn not_found(name: &str) -> Refusal {
    Refusal::new("DBParameterGroupNotFound", format!("DBClusterParameterGroup not found: {name}")).with_status(404)
}

/// The group that a cluster of this family is to use; without a name the default one.
pub(super) fn for_cluster(desk: &Desk<'_>, name: Option<&str>, family: &str) -> Result<String, Refusal> {
    let Some(name) = name else { return Ok(format!("default.{family}")) };
    let name = form::name_in(name);
    let group = find(desk, &name).ok_or_else(|| {
        Refusal::new("DBClusterParameterGroupNotFound", format!("DBClusterParameterGroup not found: {name}"))
            .with_status(404)
    })?;
    if group.family != family {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            format!(
                "The Parameter Group {name} with DBParameterGroupFamily {} can't be used for this instance. Please \
                 use a Parameter Group with DBParameterGroupFamily {family}",
                group.family
            ),
        ));
    }
    Ok(name)
}

fn write(xml: &mut Xml, name: &str, it: &ParameterGroup) {
    xml.leaf("DBClusterParameterGroupName", name);
    xml.leaf("DBParameterGroupFamily", &it.family);
    xml.leaf("Description", &it.description);
    xml.leaf("DBClusterParameterGroupArn", &it.arn);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    form::filters(params, &[])?;
    let found: Vec<(String, ParameterGroup)> = match params.get("DBClusterParameterGroupName") {
        Some(_) => vec![existing(desk, params)?],
        None => desk.picture().rds.cluster_parameter_groups.clone().into_iter().collect(),
    };
    let (found, next) = form::page(params, found)?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBClusterParameterGroups", "DBClusterParameterGroup"), found, |xml, (name, it)| {
        write(xml, &name, &it);
    });
    Ok(xml.finish())
}

/// What was set in a group: value and apply method by name.
fn set_in(desk: &Desk<'_>, arn: &str) -> BTreeMap<String, (String, String)> {
    let held = desk.notes().fact(arn, SET).cloned().unwrap_or_default();
    serde_json::from_value(held).unwrap_or_default()
}

fn keep(desk: &mut Desk<'_>, arn: &str, set: &BTreeMap<String, (String, String)>) {
    note(desk, arn, [(SET, if set.is_empty() { Value::Null } else { json!(set) })]);
}

/// One parameter of a modify or reset call.
struct Change {
    parameter: &'static Parameter,
    value: Option<String>,
    method: String,
}

fn changes(params: &Params, family: &str) -> Result<Vec<Change>, Refusal> {
    let mut all = Vec::new();
    for n in 1.. {
        let of = |field: &str| params.get(&format!("Parameters.Parameter.{n}.{field}"));
        let Some(name) = of("ParameterName") else { break };
        let parameter = catalog::parameter(family, name)?;
        if !parameter.is_modifiable {
            return Err(Refusal::invalid(format!("The parameter {name} cannot be modified.")));
        }
        let method = of("ApplyMethod").unwrap_or("pending-reboot");
        if !["immediate", "pending-reboot"].contains(&method) {
            return Err(Refusal::invalid(format!("Invalid apply method: {method}")));
        }
        if method == "immediate" && !parameter.is_dynamic {
            return Err(Refusal::new(
                "InvalidParameterCombination",
                "cannot use immediate apply method for static parameter",
            ));
        }
        let value = of("ParameterValue").map(str::to_owned);
        all.push(Change { parameter, value, method: method.to_owned() });
    }
    if all.len() > AT_ONCE {
        return Err(Refusal::invalid(format!("A maximum of {AT_ONCE} parameters can be modified in a single request")));
    }
    Ok(all)
}

fn check_not_default(name: &str) -> Result<(), Refusal> {
    if name.starts_with("default.") {
        return Err(Refusal::invalid(format!("The parameter group {name} cannot be modified: it is a default group.")));
    }
    Ok(())
}

pub(super) fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, group) = existing(desk, params)?;
    check_not_default(&name)?;
    let changes = changes(params, &group.family)?;
    if changes.is_empty() {
        return Err(Refusal::missing("Parameters"));
    }
    let mut set = set_in(desk, &group.arn);
    for Change { parameter, value, method } in changes {
        let Some(value) = value else { return Err(Refusal::missing("ParameterValue")) };
        parameter.check(&value)?;
        set.insert(parameter.name.to_owned(), (value, method));
    }
    keep(desk, &group.arn, &set);
    Ok(group_name(&name))
}

pub(super) fn reset(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, group) = existing(desk, params)?;
    check_not_default(&name)?;
    let changes = changes(params, &group.family)?;
    let all = params.flag("ResetAllParameters")? == Some(true);
    if all != changes.is_empty() {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "Specify either ResetAllParameters or a list of parameters, not both.",
        ));
    }
    let mut set = set_in(desk, &group.arn);
    set.retain(|name, _| !all && changes.iter().all(|change| change.parameter.name != name));
    keep(desk, &group.arn, &set);
    Ok(group_name(&name))
}

fn group_name(name: &str) -> String {
    let mut xml = Xml::new();
    xml.leaf("DBClusterParameterGroupName", name);
    xml.finish()
}

pub(super) fn describe_parameters(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (_, group) = existing(desk, params)?;
    let source = params.get("Source");
    if let Some(source) = source.filter(|source| !["user", "system", "engine-default"].contains(source)) {
        return Err(Refusal::invalid(format!("Invalid source: {source}")));
    }
    let set = set_in(desk, &group.arn);
    let known = catalog::parameters(&group.family).iter().map(|parameter| {
        let held = set.get(parameter.name);
        let from = if held.is_some() { "user" } else { "engine-default" };
        (parameter, held, from)
    });
    let found = known.filter(|(_, _, from)| source.is_none_or(|source| source == *from)).collect();
    let (found, next) = form::page(params, found)?;
    let mut xml = Xml::new();
    list(&mut xml, ("Parameters", "Parameter"), found, |xml, (parameter, held, from)| {
        xml.leaf("ParameterName", parameter.name);
        xml.leaf_if("ParameterValue", held.map(|(value, _)| value));
        xml.leaf("Source", from);
        xml.leaf("ApplyType", if parameter.is_dynamic { "dynamic" } else { "static" });
        xml.leaf("DataType", parameter.kind.name());
        xml.leaf_if("AllowedValues", Some(parameter.allowed).filter(|allowed| !allowed.is_empty()));
        xml.leaf("IsModifiable", parameter.is_modifiable);
        xml.leaf("ApplyMethod", held.map_or("pending-reboot", |(_, method)| method));
        form::texts(xml, ("SupportedEngineModes", "member"), ["provisioned"]);
    });
    xml.leaf_if("Marker", next);
    Ok(xml.finish())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, _) = existing(desk, params)?;
    if name.starts_with("default.") {
        return Err(Refusal::new(
            "InvalidDBParameterGroupState",
            format!("Default DBParameterGroup cannot be deleted: {name}"),
        ));
    }
    if desk.picture().rds.clusters.values().any(|it| it.parameter_group.as_ref() == Some(&name)) {
        return Err(Refusal::new(
            "InvalidDBParameterGroupState",
            format!(
                "One or more database instances are still members of this parameter group {name}, so the group cannot \
                 be deleted"
            ),
        ));
    }
    let call = Params::call("DeleteDBClusterParameterGroup").with("DBClusterParameterGroupName", &name);
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    Ok(String::new())
}
