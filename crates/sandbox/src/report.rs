//! The world in a form to compare and to count: every resource with what it is, in a stable order.
//!
//! What passes by itself (a state that is still pending) is left out, so that two worlds are equal when the same things
//! exist in them. What AWS makes by itself (the default group of a VPC, its main route table) is marked, not hidden.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::notes::{Flag, Notes};
use crate::picture::Picture;
use crate::settings::Settings;

/// Everything that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// How many there are of each kind, defaults not counted.
    pub counts: BTreeMap<String, usize>,
    /// How many there are, defaults not counted.
    pub total: usize,
    /// By kind and id.
    pub resources: Vec<Resource>,
}

/// One thing that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// As in tags: `vpc`, `security-group-rule`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// AWS made it, along with something else.
    pub default: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What it is, by names of this sandbox.
    pub attributes: BTreeMap<String, Value>,
}

impl World {
    /// What there is of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |resource| resource.kind == kind)
    }

    /// A resource by its id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.id == id)
    }
}

pub(crate) fn report(settings: &Settings, picture: &Picture, notes: &Notes) -> World {
    let mut resources: Vec<Resource> = picture
        .tagged()
        .map(|(id, kind, tags)| {
            let (default, attributes) = attributes(picture, notes, kind, id);
            Resource { kind: kind.to_owned(), id: id.to_owned(), default, tags: tags.clone(), attributes }
        })
        .collect();
    resources.extend(picture.rules().map(|key| {
        let note = notes.rules.get(key).cloned().unwrap_or_default();
        let attributes = map(&[
            ("group", json!(key.group)),
            ("egress", json!(key.egress)),
            ("protocol", json!(key.protocol)),
            ("from", json!(key.from)),
            ("to", json!(key.to)),
            ("peer", json!(key.peer.to_string())),
            ("description", json!(note.description)),
        ]);
        let kind = "security-group-rule".to_owned();
        Resource { kind, id: note.id, default: note.is_default, tags: note.tags, attributes }
    }));
    resources.sort_by(|a, b| (&a.kind, &a.id).cmp(&(&b.kind, &b.id)));
    let mut counts = BTreeMap::new();
    for resource in resources.iter().filter(|resource| !resource.default) {
        *counts.entry(resource.kind.clone()).or_insert(0) += 1;
    }
    World {
        account: settings.account.clone(),
        region: settings.region.clone(),
        total: counts.values().sum(),
        counts,
        resources,
    }
}

fn attributes(picture: &Picture, notes: &Notes, kind: &str, id: &str) -> (bool, BTreeMap<String, Value>) {
    if let Some(it) = picture.vpcs.get(id) {
        let more: Vec<&String> = it.more_cidrs.iter().map(|(_, cidr)| cidr).collect();
        let attributes = map(&[
            ("cidr", json!(it.cidr)),
            ("more_cidrs", json!(more)),
            ("tenancy", json!(it.tenancy)),
            ("dns_hostnames", json!(it.dns_hostnames)),
            ("dns_support", json!(it.dns_support)),
            ("address_usage_metrics", json!(notes.has(id, Flag::AddressUsageMetrics))),
        ]);
        return (it.is_default, attributes);
    }
    if let Some(it) = picture.subnets.get(id) {
        let ipv6: Vec<&String> = it.ipv6_cidrs.iter().map(|(_, cidr)| cidr).collect();
        let attributes = map(&[
            ("vpc", json!(it.vpc)),
            ("cidr", json!(it.cidr)),
            ("zone", json!(it.zone)),
            ("ipv6_cidrs", json!(ipv6)),
            ("public_ip_on_launch", json!(it.public_ip_on_launch)),
            ("assign_ipv6_on_creation", json!(notes.has(id, Flag::AssignIpv6OnCreation))),
        ]);
        return (false, attributes);
    }
    if let Some(it) = picture.gateways.get(id) {
        return (false, map(&[("attached_to", json!(it.attached_to))]));
    }
    if let Some(it) = picture.groups.get(id) {
        let attributes =
            map(&[("vpc", json!(it.vpc)), ("name", json!(it.name)), ("description", json!(it.description))]);
        return (it.is_default(), attributes);
    }
    if let Some(it) = picture.interfaces.get(id) {
        let attributes = map(&[
            ("vpc", json!(it.vpc)),
            ("subnet", json!(it.subnet)),
            ("groups", json!(it.groups)),
            ("address", json!(it.address)),
            ("description", json!(it.description)),
        ]);
        return (false, attributes);
    }
    if let Some(it) = picture.tables.get(id) {
        let attributes = map(&[("vpc", json!(it.vpc)), ("subnets", json!(it.subnets)), ("routes", json!(it.routes))]);
        return (it.main, attributes);
    }
    if let Some(it) = picture.acls.get(id) {
        return (it.is_default, map(&[("vpc", json!(it.vpc))]));
    }
    if let Some(it) = picture.others.get(id).filter(|it| it.kind == kind) {
        let attributes = map(&[("vpcs", json!(it.vpcs)), ("subnets", json!(it.subnets)), ("groups", json!(it.groups))]);
        return (false, attributes);
    }
    (false, BTreeMap::new())
}

fn map(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}
