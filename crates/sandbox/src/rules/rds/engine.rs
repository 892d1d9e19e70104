//! The engine versions that there are.

use super::super::Desk;
use super::catalog::{self, Version};
use super::form::{self, list};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

pub(super) fn describe(_desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let known = ["db-parameter-group-family", "engine", "engine-mode", "engine-version", "status"];
    let filters = form::filters(params, &known)?;
    let only_default = params.flag("DefaultOnly")? == Some(true);
    let is = |parameter: &str, value: &str| params.get(parameter).is_none_or(|wanted| wanted == value);
    let found = catalog::versions().filter(|it| {
        let field = |filter: &str| match filter {
            "db-parameter-group-family" => it.family.to_owned(),
            "engine" => it.engine.to_owned(),
            "engine-mode" => "provisioned".to_owned(),
            "engine-version" => it.version.to_owned(),
            _ => "available".to_owned(),
        };
        // A major version stands for all of its minor ones.
        let is_asked_for = is("EngineVersion", it.version) || is("EngineVersion", it.major());
        is("Engine", it.engine)
            && is_asked_for
            && is("DBParameterGroupFamily", it.family)
            && (!only_default || it.is_default())
            && form::pick(&filters, field)
    });
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBEngineVersions", "DBEngineVersion"), found, |xml, it| write(xml, &it));
    Ok(xml.finish())
}

fn write(xml: &mut Xml, it: &Version) {
    xml.leaf("Engine", it.engine);
    xml.leaf("EngineVersion", it.version);
    xml.leaf("MajorEngineVersion", it.major());
    xml.leaf("DBParameterGroupFamily", it.family);
    xml.leaf("DBEngineDescription", it.description());
    xml.leaf("DBEngineVersionDescription", format!("{} {}", it.description(), it.version));
    form::texts(xml, ("ExportableLogTypes", "member"), it.logs());
    xml.leaf("SupportsLogExportsToCloudwatchLogs", true);
    form::texts(xml, ("SupportedEngineModes", "member"), ["provisioned"]);
    xml.leaf("SupportsReadReplica", !it.is_aurora());
    xml.leaf("Status", "available");
}
