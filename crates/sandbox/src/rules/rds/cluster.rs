//! Aurora clusters.
//!
//! Mended: the emulator knows no versions, keeps neither windows, logs nor capacity, lets a cluster be available at
//! once, and deletes one with instances, with deletion protection and without a snapshot.

use serde_json::{Value, json};

use super::super::Desk;
use super::catalog::{self, Version};
use super::form::{self, list, write_tags};
use super::{arn_of, domain, is, note, parameter_group, resource_id, snapshot, status, text, texts};
use crate::database;
use crate::picture::rds::Cluster;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

pub(super) const FILTERS: &[&str] = &["clone-group-id", "db-cluster-id", "db-cluster-resource-id", "engine"];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let name = form::identifier(params, "DBClusterIdentifier")?;
    let engine = params.required("Engine")?;
    let version = catalog::version(engine, params.get("EngineVersion"))?;
    if !version.is_aurora() {
        let message = format!("The sandbox does not stand in for Multi-AZ DB clusters of {engine}");
        return Err(Refusal::new("NotImplemented", message).with_status(501));
    }
    if let Some(mode) = params.get("EngineMode").filter(|mode| *mode != "provisioned") {
        return Err(Refusal::invalid(format!("The engine mode {mode} you requested is currently unavailable.")));
    }
    let (master, managed) = form::master(params, 41)?;
    let database = form::database(params, "DatabaseName")?;
    let (backup, maintenance) = form::windows(params, None)?;
    let days = form::number_in(params, "BackupRetentionPeriod", 1, 35)?.unwrap_or(1);
    let port = form::number_in(params, "Port", 1150, 65535)?.unwrap_or_else(|| version.port());
    let capacity = capacity(params)?;
    let logs = super::logs(params.list("EnableCloudwatchLogsExports.member"), &version)?;
    let tags = form::tags(params)?;
    if desk.picture().rds.clusters.contains_key(&name) {
        return Err(Refusal::new("DBClusterAlreadyExistsFault", "DB Cluster already exists"));
    }
    let subnet_group = super::subnet_group(desk, params.get("DBSubnetGroupName"))?;
    let vpc = super::subnet_group::vpc(desk, &subnet_group);
    let groups = super::security_groups(desk, &params.list("VpcSecurityGroupIds.VpcSecurityGroupId"), &vpc)?;
    let family = version.family;
    let parameters = parameter_group::for_cluster(desk, params.get("DBClusterParameterGroupName"), family)?;
    let encrypted = params.flag("StorageEncrypted")? == Some(true) || params.get("KmsKeyId").is_some();
    let key = super::key(desk, encrypted, params.get("KmsKeyId"))?;
    let secret_key = super::key(desk, false, params.get("MasterUserSecretKmsKeyId"))?;

    let mut call = Params::call("CreateDBCluster").with("DBClusterIdentifier", &name).with("Engine", engine);
    call = call.with("EngineVersion", version.version).with("EngineMode", "provisioned");
    call = call.with("MasterUsername", master).with("Port", port.to_string());
    call = call.with("DBSubnetGroupName", subnet_group).with("DBClusterParameterGroupName", parameters);
    call = call.with("BackupRetentionPeriod", days.to_string());
    call = call.with("StorageEncrypted", encrypted.to_string());
    call = with_given(call, [("KmsKeyId", key), ("DatabaseName", database)]);
    for flag in ["DeletionProtection", "CopyTagsToSnapshot"] {
        call = call.with(flag, (params.flag(flag)? == Some(true)).to_string());
    }
    call = with_groups(call, &groups);
    let iam = params.flag("EnableIAMDatabaseAuthentication")? == Some(true);
    let http = params.flag("EnableHttpEndpoint")? == Some(true);
    desk.emulator.act_on(Service::Rds, form::with_tags(call, &tags)).await?;
    desk.look();
    let arn = arn_of(desk, "cluster", &name);
    desk.notes_mut().number(&arn);
    desk.ready_after(&arn, desk.settings.slow());
    note(
        desk,
        &arn,
        [
            ("backup_window", backup.into()),
            ("maintenance_window", maintenance.into()),
            ("capacity", capacity),
            ("logs", json!(logs)),
            ("iam", iam.into()),
            ("http_endpoint", http.into()),
            ("managed_password", managed.into()),
            ("secret_key", json!(secret_key)),
        ],
    );
    sign_in(desk, &arn, engine, params);
    Ok(one(desk, &name))
}

/// The engine that there is a real server of.
const POSTGRES: &str = "aurora-postgresql";

/// Lets the master user of a cluster sign in to the real server, with the password of this call, on the cluster's port.
fn sign_in(desk: &Desk<'_>, arn: &str, engine: &str, params: &Params) {
    let Some(database) = desk.settings.database.as_ref().filter(|_| engine == POSTGRES) else { return };
    let port = params.get("Port").and_then(|port| port.parse().ok());
    if let Some(port) = port {
        database.open(port);
    }
    if let Some(password) = params.get("MasterUserPassword") {
        database.set_password(&database::id(arn, desk.notes()), password);
    }
}

/// Where a cluster of this engine, or a member of it, really listens.
pub(super) fn real_host(desk: &Desk<'_>, engine: &str) -> Option<String> {
    let database = desk.settings.database.as_ref().filter(|_| engine == POSTGRES)?;
    Some(database.host().to_string())
}

/// With those parameters that have a value.
pub(super) fn with_given<const N: usize>(mut call: Params, given: [(&str, Option<String>); N]) -> Params {
    for (name, value) in given {
        if let Some(value) = value {
            call = call.with(name, value);
        }
    }
    call
}

pub(super) fn with_groups(mut call: Params, groups: &[String]) -> Params {
    for (n, group) in (1..).zip(groups) {
        call = call.with(format!("VpcSecurityGroupIds.VpcSecurityGroupId.{n}"), group);
    }
    call
}

/// The limits of Serverless v2; null when none are given.
fn capacity(params: &Params) -> Result<Value, Refusal> {
    let number = |name: &str| {
        let parameter = format!("ServerlessV2ScalingConfiguration.{name}");
        let Some(text) = params.get(&parameter) else { return Ok(None) };
        text.parse::<f64>().map(Some).map_err(|_| Refusal::value(text, &parameter, "Expecting a number."))
    };
    let (least, most) = (number("MinCapacity")?, number("MaxCapacity")?);
    let pause = number("SecondsUntilAutoPause")?;
    let (Some(least), Some(most)) = (least, most) else {
        return match (least, most) {
            (None, None) => Ok(Value::Null),
            _ => Err(Refusal::new(
                "InvalidParameterCombination",
                "You must specify both MinCapacity and MaxCapacity of the Serverless v2 scaling configuration.",
            )),
        };
    };
    let is_step = |units: f64| (units * 2.0).fract() == 0.0;
    if !(0.0..=256.0).contains(&least) || !is_step(least) {
        return Err(Refusal::invalid(format!("Serverless v2 minimum capacity {least} isn't valid.")));
    }
    if !(1.0..=256.0).contains(&most) || !is_step(most) || most < least {
        return Err(Refusal::invalid(format!("Serverless v2 maximum capacity {most} isn't valid.")));
    }
    if pause.is_some_and(|pause| !(300.0..=86_400.0).contains(&pause) || least > 0.0) {
        return Err(Refusal::invalid(
            "SecondsUntilAutoPause isn't valid for this Serverless v2 scaling configuration.",
        ));
    }
    let mut capacity = json!({"min": least, "max": most});
    if let Some(pause) = pause {
        capacity["pause_after"] = json!(pause);
    }
    Ok(capacity)
}

pub(super) fn not_found(name: &str) -> Refusal {
    Refusal::new("DBClusterNotFoundFault", format!("DBCluster {name} not found.")).with_status(404)
}

/// The cluster that a call names.
pub(super) fn existing<'a>(desk: &'a Desk<'_>, params: &Params) -> Result<(String, &'a Cluster), Refusal> {
    let name = form::named(params, "DBClusterIdentifier")?;
    let cluster = desk.picture().rds.clusters.get(&name).ok_or_else(|| not_found(&name))?;
    Ok((name, cluster))
}

/// It can be changed, copied and deleted only while it is available.
pub(super) fn check_available(desk: &Desk<'_>, name: &str, arn: &str) -> Result<(), Refusal> {
    let message = match status(desk, arn) {
        "available" => return Ok(()),
        "deleting" => format!("Cluster {name} is already being deleted."),
        _ => format!("DB cluster {name} is not in available state."),
    };
    Err(Refusal::new("InvalidDBClusterStateFault", message))
}

pub(super) fn version_of(cluster: &Cluster) -> Result<Version, Refusal> {
    catalog::version(&cluster.engine, cluster.engine_version.as_deref())
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = form::filters(params, FILTERS)?;
    let wanted = match params.get("DBClusterIdentifier") {
        Some(_) => Some(existing(desk, params)?.0),
        None => None,
    };
    let found = desk.picture().rds.clusters.iter().filter(|(name, it)| {
        let field = |filter: &str| match filter {
            "db-cluster-id" => (*name).clone(),
            "db-cluster-resource-id" => resource_id(desk, "cluster", &it.arn),
            "engine" => it.engine.clone(),
            _ => String::new(),
        };
        wanted.as_ref().is_none_or(|wanted| wanted == *name) && form::pick(&filters, field)
    });
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, ("DBClusters", "DBCluster"), found, |xml, (name, it)| write(desk, xml, name, it));
    Ok(xml.finish())
}

fn one(desk: &Desk<'_>, name: &str) -> String {
    let mut xml = Xml::new();
    if let Some(it) = desk.picture().rds.clusters.get(name) {
        xml.tag("DBCluster", |xml| write(desk, xml, name, it));
    }
    xml.finish()
}

/// The members, the writer first: the one that is longest in the cluster, and not being deleted if there is another.
fn members<'a>(desk: &'a Desk<'_>, it: &'a Cluster) -> Vec<&'a str> {
    let age = |name: &&str| {
        let arn = arn_of(desk, "db", name);
        (desk.is_ending(&arn), desk.notes().numbers.get(&arn).copied())
    };
    let mut members: Vec<&str> = it.members.iter().map(String::as_str).collect();
    members.sort_by_key(age);
    members
}

fn write(desk: &Desk<'_>, xml: &mut Xml, name: &str, it: &Cluster) {
    let arn = &it.arn;
    let mut zones: Vec<&str> = Vec::new();
    let group = it.subnet_group.as_ref().and_then(|name| desk.picture().rds.subnet_groups.get(name));
    for subnet in group.iter().flat_map(|group| &group.subnets) {
        zones.extend(desk.ec2().subnets.get(subnet).map(|subnet| subnet.zone.as_str()));
    }
    zones.sort_unstable();
    zones.dedup();
    xml.leaf("DBClusterIdentifier", name);
    xml.leaf("DBClusterArn", arn);
    xml.leaf("DbClusterResourceId", resource_id(desk, "cluster", arn));
    xml.leaf("Status", status(desk, arn));
    xml.leaf("Engine", &it.engine);
    xml.leaf_if("EngineVersion", it.engine_version.as_ref());
    xml.leaf("EngineMode", "provisioned");
    xml.leaf("AllocatedStorage", 1);
    form::texts(xml, ("AvailabilityZones", "AvailabilityZone"), zones);
    xml.leaf("BackupRetentionPeriod", it.backup_days);
    xml.leaf_if("DatabaseName", it.database.as_ref());
    xml.leaf_if("DBClusterParameterGroup", it.parameter_group.as_ref());
    xml.leaf_if("DBSubnetGroup", it.subnet_group.as_ref());
    let host = |kind: &str| real_host(desk, &it.engine).unwrap_or_else(|| format!("{name}.{kind}-{}", domain(desk)));
    xml.leaf("Endpoint", host("cluster"));
    xml.leaf("ReaderEndpoint", host("cluster-ro"));
    xml.leaf_if("Port", it.port);
    xml.leaf("MultiAZ", it.members.len() > 1);
    xml.leaf_if("MasterUsername", it.master.as_ref());
    xml.leaf("PreferredBackupWindow", text(desk, arn, "backup_window"));
    xml.leaf("PreferredMaintenanceWindow", text(desk, arn, "maintenance_window"));
    let members = members(desk, it);
    list(xml, ("DBClusterMembers", "DBClusterMember"), members.into_iter().enumerate(), |xml, (n, member)| {
        xml.leaf("DBInstanceIdentifier", member);
        xml.leaf("IsClusterWriter", n == 0);
        xml.leaf("DBClusterParameterGroupStatus", "in-sync");
        let tier = desk.notes().fact(&arn_of(desk, "db", member), "promotion_tier").and_then(Value::as_i64);
        xml.leaf("PromotionTier", tier.unwrap_or(1));
    });
    list(xml, ("VpcSecurityGroups", "VpcSecurityGroupMembership"), &it.groups, |xml, group| {
        xml.leaf("VpcSecurityGroupId", group);
        xml.leaf("Status", "active");
    });
    xml.leaf("StorageEncrypted", it.encrypted);
    xml.leaf_if("KmsKeyId", it.key.as_ref());
    xml.leaf("IAMDatabaseAuthenticationEnabled", is(desk, arn, "iam"));
    xml.leaf("HttpEndpointEnabled", is(desk, arn, "http_endpoint"));
    xml.leaf("DeletionProtection", it.deletion_protection);
    xml.leaf("CopyTagsToSnapshot", it.copy_tags);
    xml.leaf("CrossAccountClone", false);
    xml.leaf("AutoMinorVersionUpgrade", true);
    xml.leaf("NetworkType", "IPV4");
    xml.leaf_if("ClusterCreateTime", it.created.as_ref());
    let logs = texts(desk, arn, "logs");
    if !logs.is_empty() {
        form::texts(xml, ("EnabledCloudwatchLogsExports", "member"), logs);
    }
    if let Some(capacity) = desk.notes().fact(arn, "capacity") {
        xml.tag("ServerlessV2ScalingConfiguration", |xml| {
            xml.leaf_if("MinCapacity", capacity["min"].as_f64());
            xml.leaf_if("MaxCapacity", capacity["max"].as_f64());
            xml.leaf_if("SecondsUntilAutoPause", capacity["pause_after"].as_f64());
        });
    }
    if is(desk, arn, "managed_password") {
        write_secret(desk, xml, "cluster", arn);
    }
    write_tags(xml, &it.tags);
}

/// Where AWS keeps a password of its own making.
pub(super) fn write_secret(desk: &Desk<'_>, xml: &mut Xml, kind: &str, arn: &str) {
    let secret = format!("secret:rds!{}-a1b2c3", resource_id(desk, kind, arn));
    xml.tag("MasterUserSecret", |xml| {
        xml.leaf("SecretArn", desk.place.arn(Service::SecretsManager, &secret));
        xml.leaf("SecretStatus", if status(desk, arn) == "creating" { "creating" } else { "active" });
        xml.leaf_if("KmsKeyId", desk.notes().fact(arn, "secret_key").and_then(Value::as_str));
    });
}

pub(super) async fn modify(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, held) = existing(desk, params)?;
    let (arn, engine) = (held.arn.clone(), held.engine.clone());
    check_available(desk, &name, &arn)?;
    if params.get("NewDBClusterIdentifier").is_some() {
        return Err(Refusal::new("NotImplemented", "The sandbox does not rename clusters").with_status(501));
    }
    let version = match params.get("EngineVersion") {
        Some(asked) => catalog::version(&held.engine, Some(asked))?,
        None => version_of(held)?,
    };
    if version.family != version_of(held)?.family && params.flag("AllowMajorVersionUpgrade")? != Some(true) {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
        ));
    }
    let days = form::number_in(params, "BackupRetentionPeriod", 1, 35)?;
    let windows = (text(desk, &arn, "backup_window"), text(desk, &arn, "maintenance_window"));
    let (backup, maintenance) = form::windows(params, Some((&windows.0, &windows.1)))?;
    let capacity = capacity(params)?;
    let given = params.list("VpcSecurityGroupIds.VpcSecurityGroupId");
    let vpc = held.subnet_group.as_deref().map(|group| super::subnet_group::vpc(desk, group)).unwrap_or_default();
    let groups = if given.is_empty() { Vec::new() } else { super::security_groups(desk, &given, &vpc)? };
    let parameters = match params.get("DBClusterParameterGroupName") {
        Some(name) => Some(parameter_group::for_cluster(desk, Some(name), version.family)?),
        None => None,
    };
    if let Some(password) = params.get("MasterUserPassword") {
        form::check_password(password, 41)?;
    }
    let logs = changed_logs(params, texts(desk, &arn, "logs"), &version)?;

    let mut call = Params::call("ModifyDBCluster").with("DBClusterIdentifier", &name);
    call = call.with("EngineVersion", version.version);
    let protection = params.flag("DeletionProtection")?.map(|on| on.to_string());
    let days = days.map(|days| days.to_string());
    call = with_given(
        call,
        [
            ("BackupRetentionPeriod", days),
            ("DeletionProtection", protection),
            ("DBClusterParameterGroupName", parameters),
        ],
    );
    call = with_groups(call, &groups);
    let flags = [
        ("iam", "EnableIAMDatabaseAuthentication"),
        ("http_endpoint", "EnableHttpEndpoint"),
        ("managed_password", "ManageMasterUserPassword"),
    ];
    let mut changed = Vec::new();
    for (fact, parameter) in flags {
        changed.extend(params.flag(parameter)?.map(|on| (fact, on)));
    }
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    for (fact, on) in changed {
        note(desk, &arn, [(fact, on.into())]);
    }
    note(
        desk,
        &arn,
        [("backup_window", backup.into()), ("maintenance_window", maintenance.into()), ("logs", json!(logs))],
    );
    if !capacity.is_null() {
        note(desk, &arn, [("capacity", capacity)]);
    }
    sign_in(desk, &arn, &engine, params);
    Ok(one(desk, &name))
}

/// The logs after what a modify call turns on and off.
pub(super) fn changed_logs(params: &Params, held: Vec<String>, version: &Version) -> Result<Vec<String>, Refusal> {
    let on = super::logs(params.list("CloudwatchLogsExportConfiguration.EnableLogTypes.member"), version)?;
    let off = super::logs(params.list("CloudwatchLogsExportConfiguration.DisableLogTypes.member"), version)?;
    let mut logs: Vec<String> = held.into_iter().chain(on).filter(|log| !off.contains(log)).collect();
    logs.sort();
    logs.dedup();
    Ok(logs)
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (name, held) = existing(desk, params)?;
    let arn = held.arn.clone();
    check_available(desk, &name, &arn)?;
    if held.deletion_protection {
        return Err(Refusal::new(
            "InvalidParameterCombination",
            "Cannot delete protected Cluster, please disable deletion protection and try again.",
        ));
    }
    if held.members.iter().any(|member| !desk.is_ending(&arn_of(desk, "db", member))) {
        return Err(Refusal::new(
            "InvalidDBClusterStateFault",
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        ));
    }
    if let Some(last) = snapshot::last(desk, params, snapshot::CLUSTER)? {
        snapshot::take(desk, snapshot::CLUSTER, &last, &name, None).await?;
    }
    // Whatever is still going goes first.
    let members = desk.picture().rds.clusters.get(&name).map(|it| it.members.clone()).unwrap_or_default();
    let members: Vec<String> = members.iter().map(|member| arn_of(desk, "db", member)).collect();
    let ends = members.iter().filter_map(|member| desk.notes().gone.get(member).copied()).max();
    let start = ends.map_or(desk.now, |ends| ends.max(desk.now));
    desk.end(&arn, start.since(desk.now) + desk.settings.slow());
    desk.stick_behind(&arn, &members);
    Ok(one(desk, &name))
}

/// The call that takes it out of the emulator.
pub(super) fn finish(name: &str) -> Params {
    Params::call("DeleteDBCluster").with("DBClusterIdentifier", name).with("SkipFinalSnapshot", "true")
}
