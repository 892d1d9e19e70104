//! RDS: from the emulator's state view to the section of the picture, and what its calls cannot change.

use winterbaume_rds::RdsStateView;
use winterbaume_rds::views::{DbClusterView, DbInstanceView, DbProxyView, TagView};

use super::Emulator;
use crate::picture::rds::{Cluster, Instance, ParameterGroup, Proxy, Rds, Snapshot, SubnetGroup};
use crate::query::Tags;

/// Reads all that exists.
pub(super) fn picture_of(view: &RdsStateView) -> Rds {
    let subnet_groups = view.db_subnet_groups.values().map(|it| {
        let group = SubnetGroup {
            arn: it.arn.clone(),
            description: it.description.clone(),
            vpc: it.vpc_id.clone(),
            subnets: it.subnet_ids.clone(),
            tags: tags(view, &it.arn, &it.tags),
        };
        (it.name.clone(), group)
    });
    let group = |arn: &str, family: &str, description: &str, own: &[TagView]| ParameterGroup {
        arn: arn.to_owned(),
        family: family.to_owned(),
        description: description.to_owned(),
        tags: tags(view, arn, own),
    };
    let cluster_parameter_groups = view
        .db_cluster_parameter_groups
        .values()
        .map(|it| (it.name.clone(), group(&it.arn, &it.family, &it.description, &it.tags)));
    let parameter_groups = view
        .db_parameter_groups
        .values()
        .map(|it| (it.name.clone(), group(&it.arn, &it.family, &it.description, &it.tags)));
    let cluster_snapshots = view.db_cluster_snapshots.values().map(|it| {
        let snapshot = Snapshot {
            arn: it.db_cluster_snapshot_arn.clone(),
            of: it.db_cluster_identifier.clone(),
            engine: it.engine.clone(),
            engine_version: it.engine_version.clone(),
            master: it.master_username.clone(),
            port: it.port,
            storage: it.allocated_storage,
            key: it.kms_key_id.clone(),
            created: it.snapshot_create_time.clone(),
            tags: tags(view, &it.db_cluster_snapshot_arn, &it.tags),
        };
        (it.identifier.clone(), snapshot)
    });
    let snapshots = view.db_snapshots.values().map(|it| {
        let snapshot = Snapshot {
            arn: it.db_snapshot_arn.clone(),
            of: it.db_instance_identifier.clone(),
            engine: it.engine.clone(),
            engine_version: it.engine_version.clone(),
            master: it.master_username.clone(),
            port: it.port,
            storage: it.allocated_storage,
            key: it.kms_key_id.clone(),
            created: it.snapshot_create_time.clone(),
            tags: tags(view, &it.db_snapshot_arn, &it.tags),
        };
        (it.identifier.clone(), snapshot)
    });
    Rds {
        subnet_groups: subnet_groups.collect(),
        cluster_parameter_groups: cluster_parameter_groups.collect(),
        parameter_groups: parameter_groups.collect(),
        clusters: view.db_clusters.values().map(|it| (it.identifier.clone(), cluster(view, it))).collect(),
        instances: view.db_instances.values().map(|it| (it.identifier.clone(), instance(view, it))).collect(),
        cluster_snapshots: cluster_snapshots.collect(),
        snapshots: snapshots.collect(),
        proxies: view.db_proxies.values().map(|it| (it.db_proxy_name.clone(), proxy(view, it))).collect(),
    }
}

fn cluster(view: &RdsStateView, it: &DbClusterView) -> Cluster {
    Cluster {
        arn: it.arn.clone(),
        engine: it.engine.clone(),
        engine_version: it.engine_version.clone(),
        subnet_group: it.db_subnet_group_name.clone(),
        groups: it.vpc_security_group_ids.clone(),
        parameter_group: it.db_cluster_parameter_group.clone(),
        database: it.database_name.clone(),
        master: it.master_username.clone(),
        port: it.port,
        created: it.cluster_create_time.clone(),
        members: members(view, &it.identifier),
        deletion_protection: it.deletion_protection,
        encrypted: it.storage_encrypted,
        key: it.kms_key_id.clone(),
        backup_days: it.backup_retention_period,
        copy_tags: it.copy_tags_to_snapshot,
        tags: tags(view, &it.arn, &it.tags),
    }
}

/// The emulator keeps no members with the cluster; the instances know whose they are.
fn members(view: &RdsStateView, cluster: &str) -> Vec<String> {
    let is_member = |it: &&DbInstanceView| it.db_cluster_identifier.as_deref() == Some(cluster);
    let mut members: Vec<String> =
        view.db_instances.values().filter(is_member).map(|it| it.identifier.clone()).collect();
    members.sort();
    members
}

fn instance(view: &RdsStateView, it: &DbInstanceView) -> Instance {
    Instance {
        arn: it.arn.clone(),
        class: it.db_instance_class.clone(),
        engine: it.engine.clone(),
        engine_version: it.engine_version.clone(),
        cluster: it.db_cluster_identifier.clone(),
        subnet_group: it.db_subnet_group_name.clone(),
        groups: it.vpc_security_group_ids.clone(),
        parameter_groups: it.db_parameter_group_names.clone(),
        database: it.db_name.clone(),
        master: it.master_username.clone(),
        port: it.port,
        zone: it.availability_zone.clone(),
        multi_az: it.multi_az,
        public: it.publicly_accessible,
        storage: it.allocated_storage,
        storage_type: it.storage_type.clone(),
        iops: it.iops,
        encrypted: it.storage_encrypted,
        key: it.kms_key_id.clone(),
        backup_days: it.backup_retention_period,
        minor_upgrades: it.auto_minor_version_upgrade,
        copy_tags: it.copy_tags_to_snapshot,
        monitoring: it.monitoring_interval,
        insights: it.performance_insights_enabled,
        certificate: it.ca_certificate_identifier.clone(),
        created: it.instance_create_time.clone(),
        deletion_protection: it.deletion_protection,
        tags: tags(view, &it.arn, &it.tags),
    }
}

fn proxy(view: &RdsStateView, it: &DbProxyView) -> Proxy {
    let target = |of: &winterbaume_rds::views::DbProxyTargetView| {
        of.tracked_cluster_id.clone().or_else(|| of.rds_resource_id.clone())
    };
    Proxy {
        arn: it.db_proxy_arn.clone(),
        role: it.role_arn.clone(),
        subnets: it.vpc_subnet_ids.clone(),
        groups: it.vpc_security_group_ids.clone(),
        targets: it.targets.iter().filter_map(target).collect(),
        tags: tags(view, &it.db_proxy_arn, &it.tags),
    }
}

/// Those that came with the resource, and those that were added to its ARN.
fn tags(view: &RdsStateView, arn: &str, own: &[TagView]) -> Tags {
    let added = view.resource_tags.get(arn).into_iter().flatten();
    own.iter().chain(added).map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

impl Emulator {
    /// Replaces the tags of whatever has this ARN.
    pub(crate) async fn set_rds_tags(&self, arn: &str, tags: &Tags) {
        self.edit(|view: &mut RdsStateView| {
            let tag = |(key, value): (&String, &String)| TagView { key: key.clone(), value: value.clone() };
            let tags: Vec<TagView> = tags.iter().map(tag).collect();
            if let Some(held) = own_tags(view, arn) {
                held.clone_from(&tags);
            }
            view.resource_tags.insert(arn.to_owned(), tags);
        })
        .await;
    }
}

/// The tags that came with the resource.
fn own_tags<'a>(view: &'a mut RdsStateView, arn: &str) -> Option<&'a mut Vec<TagView>> {
    let groups = view.db_subnet_groups.values_mut().map(|it| (&it.arn, &mut it.tags));
    let cluster_parameters = view.db_cluster_parameter_groups.values_mut().map(|it| (&it.arn, &mut it.tags));
    let parameters = view.db_parameter_groups.values_mut().map(|it| (&it.arn, &mut it.tags));
    let clusters = view.db_clusters.values_mut().map(|it| (&it.arn, &mut it.tags));
    let instances = view.db_instances.values_mut().map(|it| (&it.arn, &mut it.tags));
    let cluster_snapshots =
        view.db_cluster_snapshots.values_mut().map(|it| (&it.db_cluster_snapshot_arn, &mut it.tags));
    let snapshots = view.db_snapshots.values_mut().map(|it| (&it.db_snapshot_arn, &mut it.tags));
    let proxies = view.db_proxies.values_mut().map(|it| (&it.db_proxy_arn, &mut it.tags));
    groups
        .chain(cluster_parameters)
        .chain(parameters)
        .chain(clusters)
        .chain(instances)
        .chain(cluster_snapshots)
        .chain(snapshots)
        .chain(proxies)
        .find(|(held, _)| held.as_str() == arn)
        .map(|(_, tags)| tags)
}
