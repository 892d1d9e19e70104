//! The world in a form to compare and to count: every resource with what it is, in a stable order.
//!
//! What passes by itself (a state that is still pending) is left out, so that two worlds are equal when the same things
//! exist in them. What AWS makes by itself (the default group of a VPC, its main route table) is marked, not hidden.
//! What was deleted and is still shown by AWS (an INACTIVE cluster, a key that waits for its deletion) is listed apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::notes::{Flag, Notes};
use crate::picture::Stage;
use crate::picture::ec2::Ec2;
use crate::place::GLOBAL;
use crate::rules::{Local, World as Places};
use crate::settings::Settings;

/// Everything that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// The sandbox's own account.
    pub account: String,
    /// Its own region.
    pub region: String,
    /// How many there are of each kind, defaults not counted.
    pub counts: BTreeMap<String, usize>,
    /// How many there are, defaults not counted.
    pub total: usize,
    /// By kind and id.
    pub resources: Vec<Resource>,
    /// What was deleted and is still shown; it is not in the counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residue: Vec<Resource>,
}

/// One thing that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// As in tags: `vpc`, `security-group-rule`.
    pub kind: String,
    /// Its id in EC2, its ARN everywhere else.
    pub id: String,
    /// Where it is, when that is not the sandbox's own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Where it is, when that is not the sandbox's own region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// AWS made it, along with something else.
    pub default: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What it is, by names of this sandbox.
    pub attributes: BTreeMap<String, Value>,
}

impl Resource {
    fn new(kind: &str, id: &str, tags: &BTreeMap<String, String>) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            account: None,
            region: None,
            default: false,
            tags: tags.clone(),
            attributes: BTreeMap::new(),
        }
    }
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

pub(crate) fn report(settings: &Settings, places: &Places) -> World {
    let (mut resources, mut residue) = (Vec::new(), Vec::new());
    for (place, local) in places.iter() {
        let own = |mut resource: Resource| {
            resource.account = Some(place.account.clone()).filter(|account| *account != settings.account);
            resource.region = Some(place.region.clone()).filter(|of| *of != settings.region && *of != GLOBAL);
            resource
        };
        resources.extend(network(local).map(own));
        for (id, thing) in local.picture.things() {
            let facts = local.notes.facts.get(id).into_iter().flatten();
            let facts = facts.map(|(name, value)| ((*name).to_owned(), value.clone()));
            let items = local.notes.items.get(id).filter(|items| items.len() > 0);
            let items = items
                .map(|it| ("items".to_owned(), json!({"count": it.len(), "digest": format!("{:016x}", it.digest())})));
            let attributes = thing.attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
            let resource = own(Resource {
                default: thing.stage == Stage::Default,
                attributes: attributes.chain(facts).chain(items).collect(),
                ..Resource::new(thing.kind, id, thing.tags)
            });
            if thing.stage == Stage::Residue { residue.push(resource) } else { resources.push(resource) }
        }
        for thing in local.notes.models.things() {
            let attributes = thing.attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let resource = own(Resource { attributes, ..Resource::new(thing.kind, &thing.id, &thing.tags) });
            if thing.residue { residue.push(resource) } else { resources.push(resource) }
        }
    }
    let order = |a: &Resource, b: &Resource| (&a.kind, &a.id, &a.region).cmp(&(&b.kind, &b.id, &b.region));
    resources.sort_by(order);
    residue.sort_by(order);
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
        residue,
    }
}

/// What there is in EC2.
fn network(local: &Local) -> impl Iterator<Item = Resource> {
    let (picture, notes) = (&local.picture.ec2, &local.notes);
    let tagged = picture.tagged().map(|(id, kind, tags)| {
        let (default, mut attributes) = attributes(picture, notes, kind, id);
        let facts = notes.facts.get(id).into_iter().flatten();
        attributes.extend(facts.map(|(name, value)| ((*name).to_owned(), value.clone())));
        Resource { default, attributes, ..Resource::new(kind, id, tags) }
    });
    let rules = picture.rules().map(|key| {
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
        Resource { default: note.is_default, attributes, ..Resource::new("security-group-rule", &note.id, &note.tags) }
    });
    tagged.chain(rules)
}

fn attributes(picture: &Ec2, notes: &Notes, kind: &str, id: &str) -> (bool, BTreeMap<String, Value>) {
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
        let routes = it.routes.iter().map(|route| format!("{} -> {}", route.destination, route.target));
        let (routes, subnets): (Vec<String>, Vec<&String>) = (routes.collect(), it.subnets().collect());
        let attributes = map(&[("vpc", json!(it.vpc)), ("subnets", json!(subnets)), ("routes", json!(routes))]);
        return (it.is_main(), attributes);
    }
    if let Some(it) = picture.addresses.get(id) {
        return (false, map(&[("interface", json!(it.interface)), ("instance", json!(it.instance))]));
    }
    if let Some(it) = picture.nats.get(id) {
        let attributes = map(&[
            ("vpc", json!(it.vpc)),
            ("subnet", json!(it.subnet)),
            ("public", json!(it.public)),
            ("allocation", json!(it.allocation)),
            ("failed", json!(it.state == "failed")),
        ]);
        return (false, attributes);
    }
    if let Some(it) = picture.endpoints.get(id) {
        let attributes = map(&[
            ("vpc", json!(it.vpc)),
            ("service", json!(it.service)),
            ("type", json!(it.kind)),
            ("policy", json!(it.policy)),
            ("tables", json!(it.tables)),
            ("subnets", json!(it.subnets)),
            ("groups", json!(it.groups)),
            ("private_dns", json!(it.private_dns)),
        ]);
        return (false, attributes);
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
