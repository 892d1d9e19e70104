//! Instances: members of a cluster, or alone with storage of their own.
//!
//! An instance has a network interface in one subnet of its group, with the security groups of its cluster or its own:
//! as long as it exists, EC2 deletes neither. Mended: the emulator knows no classes, takes members of clusters that do
//! not exist or that another engine runs, keeps half of the attributes, and deletes at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Desk;
use super::catalog::{self, Version};
use super::cluster::{self, version_of, with_given, with_groups, write_secret};
use super::form::{self, list, write_tags};
use super::{arn_of, domain, is, note, resource_id, snapshot, status, subnet_group, text, texts};
use crate::picture::rds::{Cluster, Instance};
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// What a member has from its cluster: each is refused in the call that makes the member.
const OF_CLUSTER: &[(&str, &str)] = &[
    ("AllocatedStorage", "storage"),
    ("BackupRetentionPeriod", "backup retention period"),
    ("DBName", "database name"),
    ("DBSubnetGroupName", ""),
    ("DeletionProtection", "deletion protection"),
    ("EnableIAMDatabaseAuthentication", "IAM database authentication"),
    ("KmsKeyId", "storage encryption"),
    ("ManageMasterUserPassword", "master user password"),
    ("MasterUserPassword", "master user password"),
    ("MasterUsername", "master user name"),
    ("MultiAZ", "Availability Zones"),
    ("Port", "database endpoint port"),
    ("PreferredBackupWindow", "preferred backup window"),
    ("StorageEncrypted", "storage encryption"),
];

fn combination(message: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new("InvalidParameterCombination", message)
}

/// What differs between a member and an instance that stands alone.
struct Base {
    version: Version,
    subnet_group: String,
    groups: Vec<String>,
    /// For the call that makes it.
    call: Params,
    managed_password: bool,
    /// The cluster's ARN.
    cluster: Option<String>,
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::identifier(params, "DBInstanceIdentifier")?;
    let class = params.required("DBInstanceClass")?;
    let engine = params.required("Engine")?;
    let tags = form::tags(params)?;
    let tier = form::number_in(params, "PromotionTier", 0, 15)?;
    if desk.picture().rds.instances.contains_key(&name) {
        return Err(Refusal::new("DBInstanceAlreadyExists", "DB instance already exists"));
    }
    let base = match params.get("DBClusterIdentifier") {
        Some(cluster) => member(desk, params, &form::name_in(cluster), engine, class)?,
        None => alone(desk, params, engine, class)?,
    };
    let (backup, maintenance) = form::windows(params, None)?;
    let logs = super::logs(params.list("EnableCloudwatchLogsExports.member"), &base.version)?;
    let (zone, subnet) = placed(desk, params, &name, &base)?;

    let mut call = base.call.with("DBInstanceIdentifier", &name).with("DBInstanceClass", class);
    call = call.with("Engine", engine).with("EngineVersion", base.version.version);
    call = call.with("DBSubnetGroupName", base.subnet_group).with("AvailabilityZone", zone);
    for (flag, by_default) in [
        ("PubliclyAccessible", false),
        ("AutoMinorVersionUpgrade", true),
        ("CopyTagsToSnapshot", false),
        ("EnablePerformanceInsights", false),
    ] {
        call = call.with(flag, params.flag(flag)?.unwrap_or(by_default).to_string());
    }
    let monitoring = form::number_in(params, "MonitoringInterval", 0, 60)?.unwrap_or(0);
    call = with_given(
        call,
        [
            ("MonitoringInterval", Some(monitoring.to_string())),
            (
                "CACertificateIdentifier",
                Some(params.get("CACertificateIdentifier").unwrap_or("rds-ca-rsa2048-g1").to_owned()),
            ),
            ("DBParameterGroupName", Some(parameter_group(desk, params, &base.version)?)),
        ],
    );
    call = with_groups(call, &base.groups);
    let iam = params.flag("EnableIAMDatabaseAuthentication")? == Some(true);
    let secret_key = super::key(desk, false, params.get("MasterUserSecretKmsKeyId"))?;
    desk.emulator.act_on(Service::Rds, form::with_tags(call, &tags)).await?;
    desk.look();
    let arn = arn_of(desk, "db", &name);
    desk.notes_mut().number(&arn);
    // A member is made once its cluster is.
    let cluster_ready = base.cluster.as_ref().and_then(|cluster| desk.notes().ready.get(cluster).copied());
    let start = cluster_ready.map_or(desk.now, |ready| ready.max(desk.now));
    desk.ready_after(&arn, start.since(desk.now) + desk.settings.slow());
    desk.stick_behind(&arn, base.cluster.as_slice());
    note(
        desk,
        &arn,
        [
            ("backup_window", backup.into()),
            ("maintenance_window", maintenance.into()),
            ("subnet", subnet.into()),
            ("promotion_tier", tier.unwrap_or(1).into()),
            ("iam", iam.into()),
            ("logs", json!(logs)),
            ("managed_password", base.managed_password.into()),
            ("secret_key", json!(secret_key)),
            ("monitoring_role", json!(params.get("MonitoringRoleArn"))),
        ],
    );
    Ok(one(desk, &name))
}

fn member(desk: &Desk<'_>, params: &Params, name: &str, engine: &str, class: &str) -> Result<Base, Refusal> {
    let cluster = desk.picture().rds.clusters.get(name).ok_or_else(|| cluster::not_found(name))?;
    if status(desk, &cluster.arn) == "deleting" {
        return Err(Refusal::new("InvalidDBClusterStateFault", format!("DB cluster {name} is in deleting state.")));
    }
    if cluster.engine != engine {
        return Err(combination(format!(
            "The engine name requested for your DB instance ({engine}) doesn't match the engine name of your DB \
             cluster ({}).",
            cluster.engine
        )));
    }
    let version = version_of(cluster)?;
    if let Some(asked) = params.get("EngineVersion").filter(|asked| *asked != version.version) {
        return Err(combination(format!(
            "The engine version that you requested for your DB instance ({asked}) does not match the engine version of \
             your DB cluster ({}).",
            version.version
        )));
    }
    if params.any("VpcSecurityGroupIds.") {
        return Err(combination(
            "The requested DB Instance will be a member of a DB Cluster and its vpc security group should not be set \
             directly.",
        ));
    }
    let subnet_group = cluster.subnet_group.clone().unwrap_or_default();
    for (parameter, what) in OF_CLUSTER {
        // The cluster's own values may be said again.
        let is_same = match *parameter {
            "DBSubnetGroupName" => params.get(parameter).is_some_and(|given| form::name_in(given) == subnet_group),
            _ => matches!(params.get(parameter), Some("false")),
        };
        if params.get(parameter).is_none() || is_same {
            continue;
        }
        return Err(match *parameter {
            "DBSubnetGroupName" => combination("The DB subnet group of a member must be the one of its DB cluster."),
            _ => combination(format!(
                "The requested DB Instance will be a member of a DB Cluster. Set {what} for the DB Cluster."
            )),
        });
    }
    catalog::check_class(class, &version)?;
    if class == "db.serverless" && desk.notes().fact(&cluster.arn, "capacity").is_none() {
        return Err(Refusal::new(
            "InvalidDBClusterStateFault",
            "Set the Serverless v2 scaling configuration on the parent DB cluster before creating a Serverless v2 DB \
             instance.",
        ));
    }
    let mut call = Params::call("CreateDBInstance").with("DBClusterIdentifier", name);
    call = call.with("StorageType", "aurora").with("AllocatedStorage", "1");
    call = call.with("StorageEncrypted", cluster.encrypted.to_string());
    call = call.with("BackupRetentionPeriod", cluster.backup_days.to_string());
    let port = cluster.port.map(|port| port.to_string());
    let (key, master, database) = (cluster.key.clone(), cluster.master.clone(), cluster.database.clone());
    call = with_given(call, [("Port", port), ("KmsKeyId", key), ("MasterUsername", master), ("DBName", database)]);
    let cluster = Some(cluster.arn.clone());
    Ok(Base { version, subnet_group, groups: Vec::new(), call, managed_password: false, cluster })
}

fn alone(desk: &Desk<'_>, params: &Params, engine: &str, class: &str) -> Result<Base, Refusal> {
    let version = catalog::version(engine, params.get("EngineVersion"))?;
    if version.is_aurora() {
        return Err(combination(format!("An instance of {engine} must be a member of a DB cluster.")));
    }
    catalog::check_class(class, &version)?;
    let (master, managed_password) = form::master(params, if engine == "postgres" { 128 } else { 41 })?;
    let database = form::database(params, "DBName")?;
    let storage = storage(params)?;
    let days = form::number_in(params, "BackupRetentionPeriod", 0, 35)?.unwrap_or(1);
    let port = form::number_in(params, "Port", 1150, 65535)?.unwrap_or_else(|| version.port());
    let is_in_zones = params.flag("MultiAZ")? == Some(true);
    if is_in_zones && params.get("AvailabilityZone").is_some() {
        return Err(combination("Requesting a specific availability zone is not valid for Multi-AZ instances."));
    }
    let subnet_group = super::subnet_group(desk, params.get("DBSubnetGroupName"))?;
    let vpc = subnet_group::vpc(desk, &subnet_group);
    let groups = super::security_groups(desk, &params.list("VpcSecurityGroupIds.VpcSecurityGroupId"), &vpc)?;
    let encrypted = params.flag("StorageEncrypted")? == Some(true) || params.get("KmsKeyId").is_some();
    let key = super::key(desk, encrypted, params.get("KmsKeyId"))?;
    let mut call = Params::call("CreateDBInstance").with("MasterUsername", master).with("Port", port.to_string());
    call = call.with("AllocatedStorage", storage.to_string());
    call = call.with("StorageType", params.get("StorageType").unwrap_or("gp2"));
    call = call.with("BackupRetentionPeriod", days.to_string()).with("MultiAZ", is_in_zones.to_string());
    call = call.with("StorageEncrypted", encrypted.to_string());
    let protected = params.flag("DeletionProtection")? == Some(true);
    call = call.with("DeletionProtection", protected.to_string());
    let iops = params.number("Iops")?.map(|iops| iops.to_string());
    call = with_given(call, [("KmsKeyId", key), ("DBName", database), ("Iops", iops)]);
    Ok(Base { version, subnet_group, groups, call, managed_password, cluster: None })
}

/// The size in GiB, checked against the type.
fn storage(params: &Params) -> Result<i32, Refusal> {
    let kind = params.get("StorageType").unwrap_or("gp2");
    let least = match kind {
        "gp2" | "gp3" => 20,
        "io1" | "io2" => 100,
        "standard" => 5,
        _ => return Err(Refusal::invalid(format!("Invalid storage type: {kind}"))),
    };
    let Some(size) = params.number("AllocatedStorage")? else {
        return Err(Refusal::invalid("The parameter AllocatedStorage must be provided and must not be blank."));
    };
    let needs_iops = kind.starts_with("io") && params.get("Iops").is_none();
    if !(least..=65536).contains(&size) || needs_iops {
        return Err(combination(format!("Invalid storage size for engine name and storage type {kind}: {size}")));
    }
    Ok(size)
}

/// The parameter group of an instance: a default one, or one that exists and is of the family.
fn parameter_group(desk: &Desk<'_>, params: &Params, version: &Version) -> Result<String, Refusal> {
    let by_default = format!("default.{}", version.family);
    let Some(name) = params.get("DBParameterGroupName").map(form::name_in).filter(|name| *name != by_default) else {
        return Ok(by_default);
    };
    let Some(group) = desk.picture().rds.parameter_groups.get(&name) else {
        let message = format!("DBParameterGroup not found: {name}");
        return Err(Refusal::new("DBParameterGroupNotFound", message).with_status(404));
    };
    if group.family != version.family {
        return Err(combination(format!(
            "The Parameter Group {name} with DBParameterGroupFamily {} can't be used for this instance. Please use a \
             Parameter Group with DBParameterGroupFamily {}",
            group.family, version.family
        )));
    }
    Ok(name)
}

/// The zone of the instance and the subnet of its interface. Where the caller does not say, the name decides, so that
/// the same runbook leads to the same world.
fn placed(desk: &Desk<'_>, params: &Params, name: &str, base: &Base) -> Result<(String, String), Refusal> {
    let group = subnet_group::find(desk, &base.subnet_group)?;
    let mut zones: BTreeMap<&str, &String> = BTreeMap::new();
    for id in &group.subnets {
        if let Some(subnet) = desk.ec2().subnets.get(id) {
            zones.entry(&subnet.zone).or_insert(id);
        }
    }
    let place = match params.get("AvailabilityZone") {
        Some(zone) => zones.get_key_value(zone),
        None => {
            let sum: usize = name.bytes().map(usize::from).sum();
            zones.iter().nth(sum.checked_rem(zones.len()).unwrap_or_default())
        }
    };
    place.map(|(zone, subnet)| ((*zone).to_owned(), (*subnet).clone())).ok_or_else(|| {
        let zone = params.get("AvailabilityZone").unwrap_or("any");
        Refusal::new(
            "InvalidVPCNetworkStateFault",
            format!(
                "Cannot create a database instance in availability zone {zone}: no subnet of the DB subnet group is in \
                 it."
            ),
        )
    })
}

pub(super) fn not_found(name: &str) -> Refusal {
    Refusal::new("DBInstanceNotFound", format!("DBInstance {name} not found.")).with_status(404)
}

fn existing<'a>(desk: &'a Desk<'_>, params: &Params) -> Result<(String, &'a Instance), Refusal> {
    let name = form::named(params, "DBInstanceIdentifier")?;
    let instance = desk.picture().rds.instances.get(&name).ok_or_else(|| not_found(&name))?;
    Ok((name, instance))
}

/// It can be changed, copied and deleted only while it is available.
pub(super) fn check_available(desk: &Desk<'_>, name: &str, arn: &str) -> Result<(), Refusal> {
    let message = match status(desk, arn) {
        "available" => return Ok(()),
        "deleting" => format!("Instance {name} is already being deleted."),
        _ => format!("Instance {name} is not in available state."),
    };
    Err(Refusal::new("InvalidDBInstanceState", message))
}

fn cluster_of<'a>(desk: &'a Desk<'_>, it: &Instance) -> Option<&'a Cluster> {
    desk.picture().rds.clusters.get(it.cluster.as_ref()?)
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = form::filters(params, &["db-cluster-id", "db-instance-id", "dbi-resource-id", "engine"])?;
    let wanted = match params.get("DBInstanceIdentifier") {
        Some(_) => Some(existing(desk, params)?.0),
        None => None,
    };
    let found = desk.picture().rds.instances.iter().filter(|(name, it)| {
        let field = |filter: &str| match filter {
            "db-cluster-id" => it.cluster.clone().unwrap_or_default(),
            "db-instance-id" => (*name).clone(),
            "dbi-resource-id" => resource_id(desk, "db", &it.arn),
            _ => it.engine.clone(),
        };
        wanted.as_ref().is_none_or(|wanted| wanted == *name) && form::pick(&filters, field)
    });
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBInstances", "DBInstance"), found, |xml, (name, it)| write(desk, xml, name, it));
    Ok(xml.finish())
}

fn one(desk: &Desk<'_>, name: &str) -> String {
    let mut xml = Xml::new();
    if let Some(it) = desk.picture().rds.instances.get(name) {
        xml.tag("DBInstance", |xml| write(desk, xml, name, it));
    }
    xml.finish()
}

fn write(desk: &Desk<'_>, xml: &mut Xml, name: &str, it: &Instance) {
    let arn = &it.arn;
    let cluster = cluster_of(desk, it);
    let status = status(desk, arn);
    xml.leaf("DBInstanceIdentifier", name);
    xml.leaf("DBInstanceArn", arn);
    xml.leaf("DbiResourceId", resource_id(desk, "db", arn));
    xml.leaf("DBInstanceStatus", status);
    xml.leaf("DBInstanceClass", &it.class);
    xml.leaf("Engine", &it.engine);
    xml.leaf(
        "EngineVersion",
        cluster.and_then(|cluster| cluster.engine_version.as_ref()).unwrap_or(&it.engine_version),
    );
    xml.leaf_if("DBClusterIdentifier", it.cluster.as_ref());
    xml.leaf_if("MasterUsername", it.master.as_ref());
    xml.leaf_if("DBName", it.database.as_ref());
    // There is nothing to connect to until it is there.
    if status != "creating" {
        xml.tag("Endpoint", |xml| {
            let real = cluster.and_then(|cluster| super::cluster::real_host(desk, &cluster.engine));
            xml.leaf("Address", real.unwrap_or_else(|| format!("{name}.{}", domain(desk))));
            xml.leaf_if("Port", it.port);
        });
    }
    xml.leaf("AllocatedStorage", it.storage);
    xml.leaf_if("StorageType", it.storage_type.as_ref());
    xml.leaf_if("Iops", it.iops);
    xml.leaf_if("InstanceCreateTime", it.created.as_ref().filter(|_| status != "creating"));
    xml.leaf("PreferredBackupWindow", text(desk, cluster.map_or(arn, |cluster| &cluster.arn), "backup_window"));
    xml.leaf("PreferredMaintenanceWindow", text(desk, arn, "maintenance_window"));
    xml.leaf("BackupRetentionPeriod", cluster.map_or(it.backup_days, |cluster| cluster.backup_days));
    let groups = cluster.map_or(&it.groups, |cluster| &cluster.groups);
    list(xml, ("VpcSecurityGroups", "VpcSecurityGroupMembership"), groups, |xml, group| {
        xml.leaf("VpcSecurityGroupId", group);
        xml.leaf("Status", "active");
    });
    list(xml, ("DBParameterGroups", "DBParameterGroup"), &it.parameter_groups, |xml, group| {
        xml.leaf("DBParameterGroupName", group);
        xml.leaf("ParameterApplyStatus", "in-sync");
    });
    xml.leaf_if("AvailabilityZone", it.zone.as_ref());
    let group = it.subnet_group.as_ref().and_then(|name| Some((name, desk.picture().rds.subnet_groups.get(name)?)));
    if let Some((name, group)) = group {
        xml.tag("DBSubnetGroup", |xml| subnet_group::write(desk, xml, name, group));
    }
    xml.leaf("MultiAZ", it.multi_az);
    xml.leaf("AutoMinorVersionUpgrade", it.minor_upgrades);
    xml.leaf("PubliclyAccessible", it.public);
    xml.leaf("StorageEncrypted", it.encrypted);
    xml.leaf_if("KmsKeyId", it.key.as_ref());
    xml.leaf_if("CACertificateIdentifier", it.certificate.as_ref());
    xml.leaf("CopyTagsToSnapshot", it.copy_tags);
    xml.leaf_if("MonitoringInterval", it.monitoring);
    xml.leaf_if("MonitoringRoleArn", desk.notes().fact(arn, "monitoring_role").and_then(Value::as_str));
    xml.leaf("PromotionTier", desk.notes().fact(arn, "promotion_tier").and_then(Value::as_i64).unwrap_or(1));
    xml.leaf("IAMDatabaseAuthenticationEnabled", is(desk, cluster.map_or(arn, |cluster| &cluster.arn), "iam"));
    xml.leaf("PerformanceInsightsEnabled", it.insights);
    xml.leaf("DeletionProtection", it.deletion_protection);
    xml.leaf("NetworkType", "IPV4");
    let logs = texts(desk, cluster.map_or(arn, |cluster| &cluster.arn), "logs");
    if !logs.is_empty() {
        form::texts(xml, ("EnabledCloudwatchLogsExports", "member"), logs);
    }
    if is(desk, arn, "managed_password") {
        write_secret(desk, xml, "db", arn);
    }
    write_tags(xml, &it.tags);
}

pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, held) = existing(desk, params)?;
    let arn = held.arn.clone();
    check_available(desk, &name, &arn)?;
    if params.get("NewDBInstanceIdentifier").is_some() {
        return Err(Refusal::new("NotImplemented", "The sandbox does not rename instances").with_status(501));
    }
    let is_member = held.cluster.is_some();
    let of_cluster = ["BackupRetentionPeriod", "DeletionProtection", "MasterUserPassword", "EngineVersion"];
    if is_member && (of_cluster.iter().any(|name| params.get(name).is_some()) || params.any("VpcSecurityGroupIds.")) {
        return Err(combination(
            "The DB instance is a member of a DB cluster. Modify this setting for the DB cluster.",
        ));
    }
    let version = catalog::version(&held.engine, params.get("EngineVersion").or(Some(&held.engine_version)))?;
    let class = params.get("DBInstanceClass").unwrap_or(&held.class).to_owned();
    catalog::check_class(&class, &version)?;
    if let Some(password) = params.get("MasterUserPassword") {
        form::check_password(password, if held.engine == "postgres" { 128 } else { 41 })?;
    }
    let days = form::number_in(params, "BackupRetentionPeriod", 0, 35)?.map(|days| days.to_string());
    let windows = (text(desk, &arn, "backup_window"), text(desk, &arn, "maintenance_window"));
    let (backup, maintenance) = form::windows(params, Some((&windows.0, &windows.1)))?;
    let tier = form::number_in(params, "PromotionTier", 0, 15)?;
    let size = params.number("AllocatedStorage")?;
    if size.is_some_and(|size| size < held.storage) {
        return Err(combination("Requested size cannot be smaller than the existing size."));
    }
    let logs = cluster::changed_logs(params, texts(desk, &arn, "logs"), &version)?;
    let flag = |name: &str| Ok::<_, Refusal>(params.flag(name)?.map(|on| on.to_string()));
    let mut call = Params::call("ModifyDBInstance").with("DBInstanceIdentifier", &name);
    call = call.with("DBInstanceClass", class).with("EngineVersion", version.version);
    call = with_given(
        call,
        [
            ("AllocatedStorage", size.map(|size| size.to_string())),
            ("BackupRetentionPeriod", days),
            ("DeletionProtection", flag("DeletionProtection")?),
            ("MultiAZ", flag("MultiAZ")?),
            ("AutoMinorVersionUpgrade", flag("AutoMinorVersionUpgrade")?),
            ("StorageType", params.get("StorageType").map(str::to_owned)),
        ],
    );
    let iam = params.flag("EnableIAMDatabaseAuthentication")?;
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    note(
        desk,
        &arn,
        [("backup_window", backup.into()), ("maintenance_window", maintenance.into()), ("logs", json!(logs))],
    );
    if let Some(tier) = tier {
        note(desk, &arn, [("promotion_tier", tier.into())]);
    }
    if let Some(on) = iam {
        note(desk, &arn, [("iam", on.into())]);
    }
    Ok(one(desk, &name))
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, held) = existing(desk, params)?;
    let arn = held.arn.clone();
    let is_member = held.cluster.is_some();
    if is_member && params.get("FinalDBSnapshotIdentifier").is_some() {
        return Err(combination("FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance"));
    }
    check_available(desk, &name, &arn)?;
    if held.deletion_protection {
        return Err(combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    if !is_member && let Some(last) = snapshot::last(desk, params, snapshot::INSTANCE)? {
        snapshot::take(desk, snapshot::INSTANCE, &last, &name, None).await?;
    }
    desk.end(&arn, desk.settings.slow());
    Ok(one(desk, &name))
}

/// The call that takes it out of the emulator.
pub(super) fn finish(name: &str) -> Params {
    Params::call("DeleteDBInstance").with("DBInstanceIdentifier", name).with("SkipFinalSnapshot", "true")
}
