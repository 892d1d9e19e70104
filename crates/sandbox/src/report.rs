//! The world in a form to compare and to count: every resource with what it is, in a stable order.
//!
//! What passes by itself (a state that is still pending) is left out, so that two worlds are equal when the same things
//! exist in them. What AWS makes by itself (the default group of a VPC, its main route table) is marked, not hidden.
//! What was deleted and is still shown by AWS (an INACTIVE cluster, a key that waits for its deletion) is listed apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::notes::{Flag, Notes};
use crate::picture::ec2::Ec2;
use crate::picture::{Part, Stage};
use crate::place::{GLOBAL, Place};
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
    let all = Memo::default().resources(settings, places);
    let (residue, here): (Vec<_>, Vec<_>) = all.into_iter().partition(|resource| resource.residue);
    let sorted = |all: Vec<Arc<Reported>>| {
        let mut all: Vec<Resource> = all.into_iter().map(|it| Arc::unwrap_or_clone(it).resource).collect();
        all.sort_by(|a, b| (&a.kind, &a.id, &a.region).cmp(&(&b.kind, &b.id, &b.region)));
        all
    };
    let (resources, residue) = (sorted(here), sorted(residue));
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

/// A resource of the report.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reported {
    pub(crate) resource: Resource,
    /// It was deleted and is still shown.
    pub(crate) residue: bool,
}

/// What was reported last: of what has not changed since, the same is reported again.
#[derive(Default)]
pub(crate) struct Memo(BTreeMap<Place, Remembered>);

/// One place, as it was reported.
struct Remembered {
    /// Kept, so that nothing new can be where its parts are.
    local: Local,
    /// By the places of the parts.
    parts: HashMap<usize, Vec<Arc<Reported>>>,
    network: Vec<Arc<Reported>>,
    models: Vec<Arc<Reported>>,
}

impl Memo {
    /// Everything that exists, in no order.
    pub(crate) fn resources(&mut self, settings: &Settings, places: &Places) -> Vec<Arc<Reported>> {
        let mut all = Vec::new();
        for (place, local) in places.iter() {
            let last = self.0.remove(place);
            let now = match last {
                Some(last) if last.local.is(local) => last,
                last => Remembered::new(settings, place, local, last.as_ref()),
            };
            all.extend(now.parts.values().flatten().cloned());
            all.extend(now.network.iter().chain(&now.models).cloned());
            self.0.insert(place.clone(), now);
        }
        all
    }
}

impl Remembered {
    fn new(settings: &Settings, place: &Place, local: &Local, last: Option<&Self>) -> Self {
        let (picture, notes) = (&local.picture, &local.notes);
        let own = |mut resource: Resource, residue: bool| {
            resource.account = Some(place.account.clone()).filter(|account| *account != settings.account);
            resource.region = Some(place.region.clone()).filter(|of| *of != settings.region && *of != GLOBAL);
            Arc::new(Reported { resource, residue })
        };
        let noted_alike = |last: &Self, all: &[Arc<Reported>]| {
            let same = |id: &str| {
                let items = |notes: &Notes| notes.items.get(id).map(|items| (items.len(), items.digest()));
                last.local.notes.facts.get(id) == notes.facts.get(id) && items(&last.local.notes) == items(notes)
            };
            Arc::ptr_eq(&last.local.notes, notes) || all.iter().all(|it| same(&it.resource.id))
        };

        let part = |part: Part| {
            let known = last.and_then(|last| Some((last, last.parts.get(&part.place)?)));
            if let Some((_, known)) = known.filter(|(last, known)| noted_alike(last, known)) {
                return (part.place, known.clone());
            }
            let mut things = BTreeMap::new();
            (part.things)(picture, &mut things);
            let all = things.into_iter().map(|(id, thing)| {
                let facts = notes.facts.get(id).into_iter().flatten();
                let facts = facts.map(|(name, value)| ((*name).to_owned(), value.clone()));
                let items = notes.items.get(id).filter(|items| items.len() > 0).map(|it| {
                    ("items".to_owned(), json!({"count": it.len(), "digest": format!("{:016x}", it.digest())}))
                });
                let attributes = thing.attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
                let resource = Resource {
                    default: thing.stage == Stage::Default,
                    attributes: attributes.chain(facts).chain(items).collect(),
                    ..Resource::new(thing.kind, id, thing.tags)
                };
                own(resource, thing.stage == Stage::Residue)
            });
            (part.place, all.collect())
        };
        let mut parts: HashMap<usize, Vec<Arc<Reported>>> = picture.parts().map(part).into();

        let same_network = |last: &&Self| {
            let before = &last.local;
            Arc::ptr_eq(&before.picture.ec2, &picture.ec2)
                && before.notes.rules == notes.rules
                && before.notes.flags == notes.flags
                && noted_alike(last, &last.network)
        };
        let mut network_now: Vec<Arc<Reported>> = match last.filter(same_network) {
            Some(last) => last.network.clone(),
            None => network(local).map(|resource| own(resource, false)).collect(),
        };
        let mut models: Vec<Arc<Reported>> = match last.filter(|last| last.local.notes.models.are(&notes.models)) {
            Some(last) => last.models.clone(),
            None => {
                let all = notes.models.things().into_iter().map(|thing| {
                    let attributes = thing.attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
                    let attributes = attributes.collect();
                    own(Resource { attributes, ..Resource::new(thing.kind, &thing.id, &thing.tags) }, thing.residue)
                });
                all.collect()
            }
        };
        // What is put together anew and came out the same is the same.
        if let Some(last) = last {
            let before = last.parts.values().flatten().chain(&last.network).chain(&last.models);
            let before: HashMap<&str, &Arc<Reported>> = before.map(|it| (it.resource.id.as_str(), it)).collect();
            for it in parts.values_mut().flatten().chain(&mut network_now).chain(&mut models) {
                if let Some(same) = before.get(it.resource.id.as_str())
                    && !Arc::ptr_eq(same, it)
                    && ***same == **it
                {
                    *it = Arc::clone(same);
                }
            }
        }
        Self { local: local.clone(), parts, network: network_now, models }
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
