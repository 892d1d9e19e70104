//! Cloud Map: namespaces, the services in them, and the operations that made and deleted namespaces.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of Cloud Map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Discovery {
    /// By id.
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    /// By id.
    pub(crate) services: BTreeMap<String, Service>,
    /// By id.
    pub(crate) operations: BTreeMap<String, Operation>,
}

#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// `DNS_PRIVATE`, `DNS_PUBLIC` or `HTTP`.
    pub(crate) kind: String,
    pub(crate) description: Option<String>,
    pub(crate) vpc: Option<String>,
    pub(crate) hosted_zone: Option<String>,
    pub(crate) soa_ttl: Option<i64>,
    pub(crate) token: Option<String>,
    /// In UTC.
    pub(crate) created: jiff::Timestamp,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) arn: String,
    pub(crate) name: String,
    /// Id of its namespace.
    pub(crate) namespace: String,
    pub(crate) description: Option<String>,
    pub(crate) dns: Option<Dns>,
    /// Those that register an instance say how it fares.
    pub(crate) custom_health: bool,
    /// How many are registered.
    pub(crate) instances: usize,
    pub(crate) token: Option<String>,
    /// In UTC.
    pub(crate) created: jiff::Timestamp,
    pub(crate) tags: Tags,
}

/// Which records an instance gets.
#[derive(Debug, Clone)]
pub(crate) struct Dns {
    pub(crate) policy: String,
    /// Type and TTL.
    pub(crate) records: Vec<(String, i64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Such as `CREATE_NAMESPACE`.
    pub(crate) kind: String,
    pub(crate) failed: bool,
    /// Ids, by what they are of.
    pub(crate) targets: BTreeMap<String, String>,
    /// In UTC.
    pub(crate) created: jiff::Timestamp,
}

impl Discovery {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for it in self.namespaces.values() {
            let thing = Thing::new("namespace", &it.tags)
                .with("name", it.name.as_str())
                .with("type", it.kind.as_str())
                .with("description", it.description.clone())
                .with("vpc", it.vpc.clone())
                .with("soa_ttl", it.soa_ttl);
            all.insert(&it.arn, thing);
        }
        for it in self.services.values() {
            let namespace = self.namespaces.get(&it.namespace).map_or(&it.namespace, |namespace| &namespace.arn);
            let thing = Thing::new("discovery-service", &it.tags)
                .with("name", it.name.as_str())
                .with("namespace", namespace.as_str())
                .with("description", it.description.clone())
                .with("dns", it.dns.as_ref().map(|dns| json!({"policy": dns.policy, "records": dns.records})))
                .with("custom_health", it.custom_health)
                .with("instances", it.instances);
            all.insert(&it.arn, thing);
        }
    }
}
