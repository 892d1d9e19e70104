//! The endpoints of clusters: one for the writer and one for the readers, which come and go with the cluster.

use super::super::Desk;
use super::form::{self, list};
use super::{cluster, domain, status};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const KIND: &str = "db-cluster-endpoint-type";
const STATUS: &str = "db-cluster-endpoint-status";

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = form::filters(params, &[KIND, STATUS])?;
    let wanted = match params.get("DBClusterIdentifier") {
        Some(_) => Some(cluster::existing(desk, params)?.0),
        None => None,
    };
    let clusters = desk.picture().rds.clusters.iter();
    let clusters = clusters.filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    let both = clusters.flat_map(|(name, it)| [("WRITER", "cluster", name, it), ("READER", "cluster-ro", name, it)]);
    let found = both.filter(|(kind, _, _, it)| {
        let field = |filter: &str| match filter {
            KIND => kind.to_ascii_lowercase(),
            _ => status(desk, &it.arn).to_owned(),
        };
        form::pick(&filters, field)
    });
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBClusterEndpoints", "DBClusterEndpointList"), found, |xml, (kind, host, name, it)| {
        xml.leaf("DBClusterIdentifier", name);
        xml.leaf("Endpoint", format!("{name}.{host}-{}", domain(desk)));
        xml.leaf("Status", status(desk, &it.arn));
        xml.leaf("EndpointType", kind);
    });
    Ok(xml.finish())
}
