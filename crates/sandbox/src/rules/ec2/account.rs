//! The account: its zones and attributes.
//!
//! Mended: the emulator shortens zone ids wrongly.

use super::Desk;
use super::select::Filters;
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

const ZONE_FILTERS: &[&str] = &[
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

pub(super) fn describe_zones(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::of(params, ZONE_FILTERS)?;
    let (names, ids) = (params.list("ZoneName"), params.list("ZoneId"));
    let zones = desk.place.zones();
    if let Some(unknown) = names.iter().find(|name| !zones.iter().any(|(zone, _)| zone == *name)) {
        return Err(Refusal::invalid(format!("Invalid availability zone: [{unknown}]")));
    }
    if let Some(unknown) = ids.iter().find(|id| !zones.iter().any(|(_, zone)| zone == *id)) {
        return Err(Refusal::invalid(format!("Invalid availability zone-id: [{unknown}]")));
    }
    let region = &desk.place.region;
    let found = zones.iter().filter(|(name, id)| {
        (names.is_empty() || names.contains(&name.as_str()))
            && (ids.is_empty() || ids.contains(&id.as_str()))
            && filters.pick(&Tags::new(), |field| match field {
                "group-name" => vec![format!("{region}-zg-1")],
                "opt-in-status" => vec!["opt-in-not-required".to_owned()],
                "region-name" => vec![region.clone()],
                "state" => vec!["available".to_owned()],
                "zone-id" => vec![id.clone()],
                "zone-name" => vec![name.clone()],
                "zone-type" => vec!["availability-zone".to_owned()],
                _ => Vec::new(),
            })
    });
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("availabilityZoneInfo", found, |xml, (name, id)| {
        xml.leaf("zoneName", name);
        xml.leaf("zoneId", id);
        xml.leaf("zoneState", "available");
        xml.leaf("regionName", region);
        xml.leaf("zoneType", "availability-zone");
        xml.leaf("optInStatus", "opt-in-not-required");
        xml.leaf("groupName", format!("{region}-zg-1"));
        xml.leaf("networkBorderGroup", region);
    });
    Ok(xml.finish())
}

pub(super) fn describe_attributes(params: &Params) -> Result<String, Refusal> {
    let known = [
        ("supported-platforms", "VPC"),
        ("default-vpc", "none"),
        ("max-instances", "20"),
        ("vpc-max-security-groups-per-interface", "5"),
        ("max-elastic-ips", "5"),
        ("vpc-max-elastic-ips", "5"),
    ];
    let wanted = params.list("AttributeName");
    if let Some(unknown) = wanted.iter().find(|name| !known.iter().any(|(known, _)| known == *name)) {
        return Err(Refusal::value(unknown, "attributeName", "Unknown attribute."));
    }
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    let found = known.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    xml.set("accountAttributeSet", found, |xml, (name, value)| {
        xml.leaf("attributeName", name);
        xml.set("attributeValueSet", [value], |xml, value| xml.leaf("attributeValue", value));
    });
    Ok(xml.finish())
}
