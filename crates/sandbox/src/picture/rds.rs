//! RDS: databases and what they need.

use std::collections::BTreeMap;

use super::Thing;
use crate::query::Tags;

/// The section of RDS, each by its identifier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rds {
    pub(crate) subnet_groups: BTreeMap<String, SubnetGroup>,
    pub(crate) cluster_parameter_groups: BTreeMap<String, ParameterGroup>,
    pub(crate) parameter_groups: BTreeMap<String, ParameterGroup>,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) cluster_snapshots: BTreeMap<String, Snapshot>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    pub(crate) proxies: BTreeMap<String, Proxy>,
}

#[derive(Debug, Clone)]
pub(crate) struct SubnetGroup {
    pub(crate) arn: String,
    pub(crate) description: String,
    pub(crate) vpc: Option<String>,
    pub(crate) subnets: Vec<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct ParameterGroup {
    pub(crate) arn: String,
    pub(crate) family: String,
    pub(crate) description: String,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) arn: String,
    pub(crate) engine: String,
    pub(crate) engine_version: Option<String>,
    pub(crate) subnet_group: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) parameter_group: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) master: Option<String>,
    pub(crate) port: Option<i32>,
    /// As AWS writes it.
    pub(crate) created: Option<String>,
    /// Identifiers of its instances.
    pub(crate) members: Vec<String>,
    pub(crate) deletion_protection: bool,
    pub(crate) encrypted: bool,
    pub(crate) key: Option<String>,
    pub(crate) backup_days: i32,
    /// Its tags go to its final snapshot.
    pub(crate) copy_tags: bool,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) arn: String,
    pub(crate) class: String,
    pub(crate) engine: String,
    pub(crate) engine_version: String,
    pub(crate) cluster: Option<String>,
    pub(crate) subnet_group: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) parameter_groups: Vec<String>,
    pub(crate) database: Option<String>,
    pub(crate) master: Option<String>,
    pub(crate) port: Option<i32>,
    pub(crate) zone: Option<String>,
    pub(crate) multi_az: bool,
    pub(crate) public: bool,
    /// In GiB.
    pub(crate) storage: i32,
    pub(crate) storage_type: Option<String>,
    pub(crate) iops: Option<i32>,
    pub(crate) encrypted: bool,
    pub(crate) key: Option<String>,
    pub(crate) backup_days: i32,
    pub(crate) minor_upgrades: bool,
    /// Its tags go to its final snapshot.
    pub(crate) copy_tags: bool,
    /// Seconds between two samples; 0 is off.
    pub(crate) monitoring: Option<i32>,
    pub(crate) insights: bool,
    pub(crate) certificate: Option<String>,
    /// As AWS writes it.
    pub(crate) created: Option<String>,
    pub(crate) deletion_protection: bool,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) arn: String,
    /// The cluster or instance that it was taken of.
    pub(crate) of: String,
    pub(crate) engine: String,
    pub(crate) engine_version: Option<String>,
    pub(crate) master: Option<String>,
    pub(crate) port: Option<i32>,
    /// In GiB.
    pub(crate) storage: i32,
    /// What it is encrypted with, if it is.
    pub(crate) key: Option<String>,
    /// As AWS writes it.
    pub(crate) created: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) arn: String,
    pub(crate) role: String,
    pub(crate) subnets: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// What its targets are: clusters and instances.
    pub(crate) targets: Vec<String>,
    pub(crate) tags: Tags,
}

impl Rds {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (name, it) in &self.subnet_groups {
            let thing = Thing::new("db-subnet-group", &it.tags)
                .with("name", name.as_str())
                .with("description", it.description.as_str())
                .with("vpc", it.vpc.clone())
                .with("subnets", it.subnets.clone());
            all.insert(&it.arn, thing);
        }
        let clusters = self.cluster_parameter_groups.iter().map(|of| ("db-cluster-parameter-group", of));
        for (kind, (name, it)) in clusters.chain(self.parameter_groups.iter().map(|of| ("db-parameter-group", of))) {
            let thing = Thing::new(kind, &it.tags)
                .with("name", name.as_str())
                .with("family", it.family.as_str())
                .with("description", it.description.as_str())
                .made_by_aws(name.starts_with("default."));
            all.insert(&it.arn, thing);
        }
        for (name, it) in &self.clusters {
            let thing = Thing::new("db-cluster", &it.tags)
                .with("name", name.as_str())
                .with("engine", it.engine.as_str())
                .with("engine_version", it.engine_version.clone())
                .with("subnet_group", it.subnet_group.clone())
                .with("groups", it.groups.clone())
                .with("parameter_group", it.parameter_group.clone())
                .with("database", it.database.clone())
                .with("master", it.master.clone())
                .with("port", it.port)
                .with("members", it.members.clone())
                .with("copy_tags", it.copy_tags)
                .with("deletion_protection", it.deletion_protection)
                .with("encrypted", it.encrypted)
                .with("key", it.key.clone())
                .with("backup_days", it.backup_days);
            all.insert(&it.arn, thing);
        }
        for (name, it) in &self.instances {
            let thing = Thing::new("db-instance", &it.tags)
                .with("name", name.as_str())
                .with("class", it.class.as_str())
                .with("engine", it.engine.as_str())
                .with("engine_version", it.engine_version.as_str())
                .with("cluster", it.cluster.clone())
                .with("subnet_group", it.subnet_group.clone())
                .with("groups", it.groups.clone())
                .with("parameter_groups", it.parameter_groups.clone())
                .with("database", it.database.clone())
                .with("master", it.master.clone())
                .with("port", it.port)
                .with("zone", it.zone.clone())
                .with("multi_az", it.multi_az)
                .with("public", it.public)
                .with("storage", it.storage)
                .with("storage_type", it.storage_type.clone())
                .with("encrypted", it.encrypted)
                .with("key", it.key.clone())
                .with("backup_days", it.backup_days)
                .with("deletion_protection", it.deletion_protection);
            all.insert(&it.arn, thing);
        }
        let clusters = self.cluster_snapshots.iter().map(|of| ("db-cluster-snapshot", of));
        for (kind, (name, it)) in clusters.chain(self.snapshots.iter().map(|of| ("db-snapshot", of))) {
            let thing = Thing::new(kind, &it.tags).with("name", name.as_str()).with("of", it.of.as_str());
            all.insert(&it.arn, thing);
        }
        for (name, it) in &self.proxies {
            let thing = Thing::new("db-proxy", &it.tags)
                .with("name", name.as_str())
                .with("role", it.role.as_str())
                .with("subnets", it.subnets.clone())
                .with("groups", it.groups.clone())
                .with("targets", it.targets.clone());
            all.insert(&it.arn, thing);
        }
    }
}
