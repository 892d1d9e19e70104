//! Tags of what exists, by ARN.
//!
//! Mended: the emulator tags what does not exist, and cannot take away a tag that a resource was created with.

use super::super::Desk;
use super::form::{self, write_tags};
use super::{cluster, instance};
use crate::query::{Params, Tags, check_tags};
use crate::refusal::Refusal;
use crate::xml::Xml;

/// The tags of the resource that a call names.
fn held(desk: &Desk<'_>, params: &Params) -> Result<(String, Tags), Refusal> {
    let arn = params.required("ResourceName")?;
    let things = desk.picture().things();
    if let Some(thing) = things.get(arn).filter(|_| arn.starts_with("arn:aws:rds:")) {
        return Ok((arn.to_owned(), thing.tags.clone()));
    }
    let name = form::name_in(arn);
    let kind = arn.rsplit(':').nth(1).filter(|_| arn.starts_with("arn:aws:rds:"));
    let missing = |code: &'static str| Refusal::new(code, format!("{name} not found.")).with_status(404);
    Err(match kind {
        Some("cluster") => cluster::not_found(&name),
        Some("db") => instance::not_found(&name),
        Some("subgrp") => missing("DBSubnetGroupNotFoundFault"),
        Some("cluster-pg" | "pg") => missing("DBParameterGroupNotFound"),
        Some("cluster-snapshot") => missing("DBClusterSnapshotNotFoundFault"),
        Some("snapshot") => missing("DBSnapshotNotFound"),
        _ => Refusal::invalid(format!("Invalid resource name: {arn}")),
    })
}

pub(super) async fn add(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, mut tags) = held(desk, params)?;
    tags.extend(form::tags(params)?);
    check_tags(&tags)?;
    desk.emulator.set_rds_tags(&arn, &tags).await;
    desk.look();
    Ok(String::new())
}

pub(super) async fn remove(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (arn, mut tags) = held(desk, params)?;
    for key in params.list("TagKeys.member") {
        tags.remove(key);
    }
    desk.emulator.set_rds_tags(&arn, &tags).await;
    desk.look();
    Ok(String::new())
}

pub(super) fn list(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (_, tags) = held(desk, params)?;
    let mut xml = Xml::new();
    write_tags(&mut xml, &tags);
    Ok(xml.finish())
}
