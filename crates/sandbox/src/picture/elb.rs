//! Elastic Load Balancing: load balancers, target groups, listeners and their rules. What is done with a request, and
//! how health is checked, is in the notes.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of Elastic Load Balancing, by ARN.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elb {
    pub(crate) balancers: BTreeMap<String, Balancer>,
    pub(crate) groups: BTreeMap<String, TargetGroup>,
    pub(crate) listeners: BTreeMap<String, Listener>,
    pub(crate) rules: BTreeMap<String, Rule>,
}

#[derive(Debug, Clone)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    /// `application` or `network`.
    pub(crate) kind: String,
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) vpc: String,
    /// Subnets and their zones.
    pub(crate) subnets: BTreeMap<String, String>,
    pub(crate) groups: Vec<String>,
    pub(crate) addresses: String,
    /// Those that were set.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) created: String,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct TargetGroup {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
    pub(crate) vpc: String,
    /// `ip` or `instance`.
    pub(crate) kind: String,
    /// Those that were set.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Ids or addresses, with their ports.
    pub(crate) targets: Vec<(String, i32)>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// ARN of its load balancer.
    pub(crate) balancer: String,
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) certificates: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// ARN of its listener.
    pub(crate) listener: String,
    pub(crate) priority: i32,
    pub(crate) tags: Tags,
}

impl Elb {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.balancers {
            let thing = Thing::new("load-balancer", &it.tags)
                .with("name", it.name.as_str())
                .with("type", it.kind.as_str())
                .with("scheme", it.scheme.as_str())
                .with("vpc", it.vpc.as_str())
                .with("subnets", json!(it.subnets.keys().collect::<Vec<_>>()))
                .with("groups", json!(it.groups))
                .with("addresses", it.addresses.as_str())
                .with("attributes", json!(it.attributes));
            all.insert(arn, thing);
        }
        for (arn, it) in &self.groups {
            let targets: Vec<String> = it.targets.iter().map(|(id, port)| format!("{id}:{port}")).collect();
            let thing = Thing::new("target-group", &it.tags)
                .with("name", it.name.as_str())
                .with("protocol", it.protocol.as_str())
                .with("port", it.port)
                .with("vpc", it.vpc.as_str())
                .with("type", it.kind.as_str())
                .with("attributes", json!(it.attributes))
                .with("targets", json!(targets));
            all.insert(arn, thing);
        }
        for (arn, it) in &self.listeners {
            let thing = Thing::new("listener", &it.tags)
                .with("balancer", it.balancer.as_str())
                .with("port", it.port)
                .with("protocol", it.protocol.as_str())
                .with("certificates", json!(it.certificates));
            all.insert(arn, thing);
        }
        for (arn, it) in &self.rules {
            let thing = Thing::new("listener-rule", &it.tags)
                .with("listener", it.listener.as_str())
                .with("priority", it.priority);
            all.insert(arn, thing);
        }
    }
}
