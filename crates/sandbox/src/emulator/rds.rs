//! RDS: from the emulator's state view to the section of the picture.

use winterbaume_rds::RdsStateView;
use winterbaume_rds::views::{DbClusterView, DbInstanceView, DbProxyView, TagView};

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
    let snapshot = |arn: &str, of: &str, own: &[TagView]| Snapshot {
        arn: arn.to_owned(),
        of: of.to_owned(),
        tags: tags(view, arn, own),
    };
    let cluster_snapshots = view
        .db_cluster_snapshots
        .values()
        .map(|it| (it.identifier.clone(), snapshot(&it.db_cluster_snapshot_arn, &it.db_cluster_identifier, &it.tags)));
    let snapshots = view
        .db_snapshots
        .values()
        .map(|it| (it.identifier.clone(), snapshot(&it.db_snapshot_arn, &it.db_instance_identifier, &it.tags)));
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
        members: it.members.iter().map(|of| of.db_instance_identifier.clone()).collect(),
        deletion_protection: it.deletion_protection,
        encrypted: it.storage_encrypted,
        key: it.kms_key_id.clone(),
        backup_days: it.backup_retention_period,
        tags: tags(view, &it.arn, &it.tags),
    }
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
