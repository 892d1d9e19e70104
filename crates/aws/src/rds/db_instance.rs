//! `aws.rds.db_instance`: a DB instance, as a member of a cluster or alone.
//!
//! A member has its storage, its users, its backups and its place from the cluster, and loses nothing when it is
//! deleted. An instance alone has all that itself, and keeps its data in a final snapshot when it goes back unless
//! the step says otherwise. All that it is given is in `CreateDBInstance`; `settle` only waits.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::types::{DbInstance as Described, DbParameterGroupStatus};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::{OpResult, SecretRef};

use super::database::{self, CREATE_DEADLINE, Database, Ending, ROLLBACK_DEADLINE, Snapshot, compare_if};
use super::{
    checks, client, db_cluster, db_subnet_group, nameless, read_tags, security_groups, tag_list, unless_gone,
    unless_role_is_unseen, without_secret,
};
use crate::calls::{Absent, Calls};
use crate::errors::{Call, op_error};
use crate::ids::{
    DbClusterIdentifier, DbInstanceArn, DbInstanceIdentifier, DbParameterGroupName, DbSubnetGroupName, KmsKeyArn,
    RoleArn, SecretArn, SecurityGroupId,
};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// A DB instance: a member of a cluster, or one that stands alone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The identifier: 1 to 63 letters, digits and single hyphens, a letter first; RDS lower-cases it
    /// (`CreateDBInstance` DBInstanceIdentifier).
    pub db_instance_identifier: DbInstanceIdentifier,
    /// Its size, `db.serverless`, `db.t4g.medium` (`CreateDBInstance` DBInstanceClass).
    pub db_instance_class: String,
    /// The engine, `aurora-postgresql` (a member's is its cluster's), `postgres` (`CreateDBInstance` Engine).
    pub engine: String,
    /// The cluster that it is a member of (`CreateDBInstance` DBClusterIdentifier).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_cluster_identifier: Option<DbClusterIdentifier>,
    /// Its place in the succession of its cluster's writer, 0 to 15 (`CreateDBInstance` PromotionTier).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion_tier: Option<i32>,
    /// The version, `16.4`; not of a member (`CreateDBInstance` EngineVersion). RDS's default: its choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Storage in GiB; not of a member (`CreateDBInstance` AllocatedStorage).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_storage: Option<i32>,
    /// Up to how many GiB RDS grows it; not of a member (`CreateDBInstance` MaxAllocatedStorage).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_allocated_storage: Option<i32>,
    /// `gp3`, `gp2`, `io1`, `io2` or `standard`; not of a member (`CreateDBInstance` StorageType).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// Operations a second that its storage is to bear; not of a member (`CreateDBInstance` Iops).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// Whether a standby stands in another zone; not of a member (`CreateDBInstance` MultiAZ).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,
    /// The first user's name; not of a member (`CreateDBInstance` MasterUsername).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_username: Option<String>,
    /// The first user's password; this, or `manage_master_user_password`; not of a member (`CreateDBInstance`
    /// MasterUserPassword).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_password: Option<SecretRef>,
    /// RDS makes the password and keeps it in Secrets Manager; not of a member (`CreateDBInstance`
    /// ManageMasterUserPassword).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage_master_user_password: Option<bool>,
    /// The key of the secret that RDS makes; not of a member (`CreateDBInstance` MasterUserSecretKmsKeyId). RDS's
    /// default: Secrets Manager's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_secret_kms_key_id: Option<KmsKeyArn>,
    /// A database to begin with; not of a member (`CreateDBInstance` DBName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,
    /// The port, 1150 to 65535; not of a member (`CreateDBInstance` Port). RDS's default: the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// The subnets that it may be placed in; not of a member (`CreateDBInstance` DBSubnetGroupName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_subnet_group_name: Option<DbSubnetGroupName>,
    /// The firewalls around it; not of a member (`CreateDBInstance` VpcSecurityGroupIds). RDS's default: the VPC's
    /// own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpc_security_group_ids: Vec<SecurityGroupId>,
    /// The engine's settings (`CreateDBInstance` DBParameterGroupName). RDS's default: those of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_parameter_group_name: Option<DbParameterGroupName>,
    /// The zone, `us-east-1a` (`CreateDBInstance` AvailabilityZone). RDS's default: its choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Whether it has a public address (`CreateDBInstance` PubliclyAccessible). RDS's default: as its subnets say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publicly_accessible: Option<bool>,
    /// Whether RDS moves its minor version (`CreateDBInstance` AutoMinorVersionUpgrade). RDS's default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,
    /// The seconds between two measurements of its host: 0 (none), 1, 5, 10, 15, 30 or 60 (`CreateDBInstance`
    /// MonitoringInterval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_interval: Option<i32>,
    /// The role that hands the measurements to CloudWatch (`CreateDBInstance` MonitoringRoleArn).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring_role_arn: Option<RoleArn>,
    /// Whether Performance Insights is on (`CreateDBInstance` EnablePerformanceInsights).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_performance_insights: Option<bool>,
    /// For how many days it keeps what it saw: 7, 731, or months of 31 days between (`CreateDBInstance`
    /// PerformanceInsightsRetentionPeriod).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_insights_retention_period: Option<i32>,
    /// The logs that CloudWatch gets; not of a member (`CreateDBInstance` EnableCloudwatchLogsExports).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable_cloudwatch_logs_exports: Vec<String>,
    /// For how many days automated backups are kept, 0 (none) to 35; not of a member (`CreateDBInstance`
    /// BackupRetentionPeriod). RDS's default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_retention_period: Option<i32>,
    /// When backups are made, in UTC: `03:00-04:00`; not of a member (`CreateDBInstance` PreferredBackupWindow).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_backup_window: Option<String>,
    /// When RDS may maintain it, in UTC: `sun:04:00-sun:05:00` (`CreateDBInstance` PreferredMaintenanceWindow).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_maintenance_window: Option<String>,
    /// Whether its storage is encrypted; not of a member (`CreateDBInstance` StorageEncrypted).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_encrypted: Option<bool>,
    /// The key that its storage is encrypted with; not of a member (`CreateDBInstance` KmsKeyId). RDS's default: its
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// Whether RDS refuses to delete it; not of a member (`CreateDBInstance` DeletionProtection). Going back switches
    /// it off first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Whether IAM identities can log in; not of a member (`CreateDBInstance` EnableIAMDatabaseAuthentication).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_iam_database_authentication: Option<bool>,
    /// Whether snapshots get its tags; not of a member (`CreateDBInstance` CopyTagsToSnapshot).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_tags_to_snapshot: Option<bool>,
    /// Whether going back deletes it without a final snapshot; a member never has one (`DeleteDBInstance`
    /// SkipFinalSnapshot).
    #[serde(default)]
    pub skip_final_snapshot: bool,
    /// Whether going back deletes its automated backups too; not of a member (`DeleteDBInstance`
    /// DeleteAutomatedBackups). RDS's default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_automated_backups: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateDBInstance` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its identifier, in lower case.
    pub db_instance_identifier: DbInstanceIdentifier,
    /// Its ARN.
    pub db_instance_arn: DbInstanceArn,
    /// The id that no other instance ever has, `db-ABCDEFGHIJKLMNOPQRSTUVWXYZ`.
    pub dbi_resource_id: String,
    /// The name that it is reached by. Empty until it is available.
    pub endpoint: String,
    /// Its port. 0 until it is available.
    pub port: i32,
    /// The version that it was made with.
    pub engine_version: String,
    /// The secret of the first user's password, where RDS manages it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_secret_arn: Option<SecretArn>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbInstance;

impl Params {
    fn name(&self) -> String {
        self.db_instance_identifier.as_str().to_ascii_lowercase()
    }

    fn cluster(&self) -> Option<String> {
        self.db_cluster_identifier.as_ref().map(|c| c.as_str().to_ascii_lowercase())
    }

    fn is_member(&self) -> bool {
        self.db_cluster_identifier.is_some()
    }

    fn protects(&self) -> bool {
        self.deletion_protection == Some(true)
    }

    fn manages_password(&self) -> bool {
        self.manage_master_user_password == Some(true)
    }

    fn ending(&self) -> Ending {
        Ending {
            unprotect: self.protects(),
            skip_final_snapshot: self.skip_final_snapshot,
            delete_automated_backups: self.delete_automated_backups,
            member: self.is_member(),
        }
    }

    /// What the calls are about beside the instance: what it names, and what it leaves behind.
    fn arns(&self) -> Vec<String> {
        let arn = |kind: &str, name: &str| database::arn(kind, name);
        let mut arns = vec![arn("db", &self.name())];
        arns.extend(self.db_cluster_identifier.iter().map(|name| arn("cluster", name.as_str())));
        let group = |kind: &str, name: Option<&str>| database::arn_of_group(kind, name);
        match &self.db_subnet_group_name {
            // It is its cluster's, whose name is not known here.
            None if self.is_member() => arns.push(arn("subgrp", "*")),
            name => arns.push(group("subgrp", name.as_ref().map(DbSubnetGroupName::as_str))),
        }
        let settings = self.db_parameter_group_name.as_ref().map(DbParameterGroupName::as_str);
        arns.extend([group("pg", settings), group("og", None)]);
        if self.db_cluster_identifier.is_none() && !self.skip_final_snapshot {
            arns.push(arn("snapshot", &format!("{}-final-*", self.name())));
        }
        arns
    }

    /// What stays when it is gone.
    fn residue(&self) -> Vec<String> {
        let mut residue = Vec::new();
        if !self.skip_final_snapshot && !self.is_member() {
            residue.push(database::final_snapshot_residue("DB", &self.name()));
        }
        if self.delete_automated_backups == Some(false) {
            residue.push("its automated backups stay for their retention period".to_owned());
        }
        if !self.enable_cloudwatch_logs_exports.is_empty() {
            residue.push(format!("the log groups `/aws/rds/instance/{}/...` that RDS makes stay", self.name()));
        }
        residue
    }

    /// What is given although a member has it from its cluster.
    fn not_of_a_member(&self) -> Vec<&'static str> {
        let given = [
            ("engine_version", self.engine_version.is_some()),
            ("allocated_storage", self.allocated_storage.is_some()),
            ("max_allocated_storage", self.max_allocated_storage.is_some()),
            ("storage_type", self.storage_type.is_some()),
            ("iops", self.iops.is_some()),
            ("multi_az", self.multi_az.is_some()),
            ("master_username", self.master_username.is_some()),
            ("master_user_password", self.master_user_password.is_some()),
            ("manage_master_user_password", self.manage_master_user_password.is_some()),
            ("master_user_secret_kms_key_id", self.master_user_secret_kms_key_id.is_some()),
            ("db_name", self.db_name.is_some()),
            ("port", self.port.is_some()),
            ("db_subnet_group_name", self.db_subnet_group_name.is_some()),
            ("vpc_security_group_ids", !self.vpc_security_group_ids.is_empty()),
            ("enable_cloudwatch_logs_exports", !self.enable_cloudwatch_logs_exports.is_empty()),
            ("backup_retention_period", self.backup_retention_period.is_some()),
            ("preferred_backup_window", self.preferred_backup_window.is_some()),
            ("storage_encrypted", self.storage_encrypted.is_some()),
            ("kms_key_id", self.kms_key_id.is_some()),
            ("deletion_protection", self.deletion_protection.is_some()),
            ("enable_iam_database_authentication", self.enable_iam_database_authentication.is_some()),
            ("copy_tags_to_snapshot", self.copy_tags_to_snapshot.is_some()),
            ("delete_automated_backups", self.delete_automated_backups.is_some()),
        ];
        given.into_iter().filter_map(|(field, given)| given.then_some(field)).collect()
    }

    fn check_alone(&self, errors: &mut Vec<ParamError>) {
        match &self.master_username {
            Some(name) => checks::master_username(name, errors),
            None => errors.push(ParamError::new("master_username", "is needed, unless it is a member of a cluster")),
        }
        checks::password(
            self.master_user_password.as_ref(),
            self.manage_master_user_password,
            self.master_user_secret_kms_key_id.as_ref(),
            errors,
        );
        match self.allocated_storage {
            None => errors.push(ParamError::new("allocated_storage", "is needed, unless it is a member of a cluster")),
            storage => checks::range(storage, 5, 65536, "allocated_storage", errors),
        }
        if self.max_allocated_storage.is_some_and(|most| Some(most) < self.allocated_storage) {
            errors.push(ParamError::new("max_allocated_storage", "is less than `allocated_storage`"));
        }
        if let Some(kind) = &self.storage_type {
            if !["gp2", "gp3", "io1", "io2", "standard"].contains(&kind.as_str()) {
                errors
                    .push(ParamError::new("storage_type", format!("{kind:?} is none of gp2, gp3, io1, io2, standard")));
            }
            if kind.starts_with("io") && self.iops.is_none() {
                errors.push(ParamError::new("iops", format!("is needed for `{kind}` storage")));
            }
        }
        if self.multi_az == Some(true) && self.availability_zone.is_some() {
            errors.push(ParamError::new("availability_zone", "cannot be given with `multi_az`"));
        }
        if self.promotion_tier.is_some() {
            errors.push(ParamError::new("promotion_tier", "is for a member of a cluster"));
        }
        if let Some(name) = &self.db_name {
            checks::database_name(name, "db_name", errors);
        }
        for id in &self.vpc_security_group_ids {
            id.check("vpc_security_group_ids", errors);
        }
        checks::port(self.port, errors);
        checks::range(self.backup_retention_period, 0, 35, "backup_retention_period", errors);
        checks::encryption(self.storage_encrypted, self.kms_key_id.as_ref(), errors);
    }
}

fn output(instance: &Described) -> Output {
    let endpoint = instance.endpoint();
    Output {
        db_instance_identifier: DbInstanceIdentifier::new(instance.db_instance_identifier().unwrap_or_default()),
        db_instance_arn: DbInstanceArn::new(instance.db_instance_arn().unwrap_or_default()),
        dbi_resource_id: instance.dbi_resource_id().unwrap_or_default().to_owned(),
        endpoint: endpoint.and_then(|e| e.address()).unwrap_or_default().to_owned(),
        port: endpoint.and_then(|e| e.port()).unwrap_or_default(),
        engine_version: instance.engine_version().unwrap_or_default().to_owned(),
        master_user_secret_arn: instance.master_user_secret().and_then(|s| s.secret_arn()).map(SecretArn::new),
    }
}

/// An instance with its tags.
pub(super) struct Instance {
    described: Described,
    tags: Tags,
}

impl Instance {
    fn new(described: Described) -> Self {
        Self { tags: read_tags(described.tag_list()), described }
    }
}

impl Named for Instance {
    const WHAT: &'static str = "DB instance";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.describe_db_instances().db_instance_identifier(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(Call::new("rds:DescribeDBInstances", name), e)))?;
        let mut instances = reply.and_then(|r| r.db_instances).unwrap_or_default().into_iter();
        let found = instances.find(|i| i.db_instance_identifier().is_some_and(|id| id.eq_ignore_ascii_case(name)));
        Ok(found.map(Self::new))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.db_instance_arn().unwrap_or_default()
    }
}

impl Database for Instance {
    const SNAPSHOT_EXISTS: &'static str = "DBSnapshotAlreadyExists";

    fn status(&self) -> &str {
        self.described.db_instance_status().unwrap_or("unknown")
    }

    fn resource_id(&self) -> &str {
        self.described.dbi_resource_id().unwrap_or_default()
    }

    fn is_protected(&self) -> bool {
        self.described.deletion_protection() == Some(true)
    }

    /// RDS makes none of an instance that failed. One that never had an endpoint never held data; of another
    /// RDS refuses the delete, and a person decides.
    fn can_be_snapshotted(&self) -> bool {
        let refused = matches!(self.status(), "failed" | "incompatible-restore" | "incompatible-network");
        !refused || self.described.endpoint().is_some_and(|e| e.address().is_some())
    }

    fn dependants(&self) -> Vec<String> {
        self.described.read_replica_db_instance_identifiers().to_vec()
    }

    async fn unprotect(cx: &Cx, name: &str) -> OpResult<()> {
        let call = Call::new("rds:ModifyDBInstance", name);
        let sent = client(cx)?
            .modify_db_instance()
            .db_instance_identifier(name)
            .deletion_protection(false)
            .apply_immediately(true)
            .send()
            .await;
        sent.map(|_| ()).map_err(|e| op_error(call, e))
    }

    async fn delete(cx: &Cx, name: &str, end: &Ending, snapshot: Option<&str>) -> OpResult<()> {
        let sent = client(cx)?
            .delete_db_instance()
            .db_instance_identifier(name)
            .skip_final_snapshot(snapshot.is_none())
            .set_final_db_snapshot_identifier(snapshot.map(str::to_owned))
            .set_delete_automated_backups(end.delete_automated_backups)
            .send()
            .await;
        sent.map(|_| ()).map_err(|e| op_error(Call::new("rds:DeleteDBInstance", name), e))
    }

    async fn snapshot(cx: &Cx, name: &str) -> OpResult<Option<Snapshot>> {
        let sent = client(cx)?.describe_db_snapshots().db_snapshot_identifier(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(Call::new("rds:DescribeDBSnapshots", name), e)))?;
        let mut there = reply.and_then(|r| r.db_snapshots).unwrap_or_default().into_iter();
        Ok(there.find(|s| s.db_snapshot_identifier() == Some(name)).map(|s| Snapshot {
            status: s.status().unwrap_or("unknown").to_owned(),
            of: s.db_instance_identifier().unwrap_or_default().to_owned(),
            resource_id: s.dbi_resource_id().map(str::to_owned),
        }))
    }
}

/// What is there, without anything secret.
fn observed(instance: &Instance) -> Value {
    let there = &instance.described;
    json!({
        "db_instance_identifier": there.db_instance_identifier(), "db_instance_arn": there.db_instance_arn(),
        "status": instance.status(), "db_instance_class": there.db_instance_class(), "engine": there.engine(),
        "engine_version": there.engine_version(), "endpoint": there.endpoint().and_then(|e| e.address()),
        "port": there.endpoint().and_then(|e| e.port()), "db_cluster_identifier": there.db_cluster_identifier(),
        "availability_zone": there.availability_zone(), "multi_az": there.multi_az(),
        "allocated_storage": there.allocated_storage(), "deletion_protection": there.deletion_protection(),
        "read_replicas": instance.dependants(), "tags": instance.tags,
    })
}

/// Compares everything that the parameters set, and nothing that RDS moves by itself: a Multi-AZ instance changes
/// its zone, one with room to grow its storage.
fn compared(mut verdict: Verdict, params: &Params, instance: &Instance) -> Verdict {
    let there = &instance.described;
    let lower = |text: &str| text.to_ascii_lowercase();
    verdict = verdict
        .compare("status", "available", database::compared_status(instance.status()))
        .compare("db_instance_class", params.db_instance_class.as_str(), there.db_instance_class())
        .compare("engine", params.engine.as_str(), there.engine())
        .compare("db_cluster_identifier", params.cluster(), there.db_cluster_identifier().map(lower));
    if let Some(wanted) = params.engine_version.as_deref() {
        let now = there.engine_version().unwrap_or_default();
        verdict = verdict.compare("engine_version", wanted, database::compared_version(&params.engine, wanted, now));
    }
    let storage = match (params.allocated_storage, there.allocated_storage(), params.max_allocated_storage) {
        (Some(wanted), Some(now), Some(most)) if (wanted..=most).contains(&now) => Some(wanted),
        (_, now, _) => now,
    };
    verdict = compare_if(verdict, "allocated_storage", params.allocated_storage, storage);
    let now = there.max_allocated_storage();
    verdict = compare_if(verdict, "max_allocated_storage", params.max_allocated_storage, now);
    verdict = compare_if(verdict, "storage_type", params.storage_type.as_deref(), there.storage_type());
    verdict = compare_if(verdict, "iops", params.iops, there.iops());
    verdict = compare_if(verdict, "multi_az", params.multi_az, there.multi_az());
    verdict = compare_if(verdict, "master_username", params.master_username.as_deref(), there.master_username());
    if params.manages_password() {
        verdict = verdict.compare("RDS manages the password", true, there.master_user_secret().is_some());
        let key = there.master_user_secret().and_then(|s| s.kms_key_id());
        let wanted = params.master_user_secret_kms_key_id.as_ref().map(KmsKeyArn::as_str);
        verdict = compare_if(verdict, "master_user_secret_kms_key_id", wanted, key);
    }
    verdict = compare_if(verdict, "db_name", params.db_name.as_deref(), there.db_name());
    verdict = compare_if(verdict, "port", params.port, there.endpoint().and_then(|e| e.port()));
    let wanted = params.db_subnet_group_name.as_ref().map(|n| lower(n.as_str()));
    let now = there.db_subnet_group().and_then(|g| g.db_subnet_group_name()).map(lower);
    verdict = compare_if(verdict, "db_subnet_group_name", wanted, now);
    if !params.vpc_security_group_ids.is_empty() {
        let wanted: BTreeSet<&str> = params.vpc_security_group_ids.iter().map(SecurityGroupId::as_str).collect();
        let now = security_groups(there.vpc_security_groups());
        verdict = verdict.compare("vpc_security_group_ids", json!(wanted), json!(now));
    }
    let wanted = params.db_parameter_group_name.as_ref().map(|n| lower(n.as_str()));
    let now = there.db_parameter_groups().first().and_then(DbParameterGroupStatus::db_parameter_group_name);
    verdict = compare_if(verdict, "db_parameter_group_name", wanted, now.map(lower));
    verdict = compare_if(verdict, "availability_zone", params.availability_zone.as_deref(), there.availability_zone());
    verdict = compare_if(verdict, "publicly_accessible", params.publicly_accessible, there.publicly_accessible());
    let now = there.auto_minor_version_upgrade();
    verdict = compare_if(verdict, "auto_minor_version_upgrade", params.auto_minor_version_upgrade, now);
    verdict = compare_if(verdict, "promotion_tier", params.promotion_tier, there.promotion_tier());
    verdict = compare_if(verdict, "monitoring_interval", params.monitoring_interval, there.monitoring_interval());
    let wanted = params.monitoring_role_arn.as_ref().map(RoleArn::as_str);
    verdict = compare_if(verdict, "monitoring_role_arn", wanted, there.monitoring_role_arn());
    let now = there.performance_insights_enabled();
    verdict = compare_if(verdict, "enable_performance_insights", params.enable_performance_insights, now);
    let (wanted, now) = (params.performance_insights_retention_period, there.performance_insights_retention_period());
    verdict = compare_if(verdict, "performance_insights_retention_period", wanted, now);
    if !params.enable_cloudwatch_logs_exports.is_empty() {
        let wanted: BTreeSet<&String> = params.enable_cloudwatch_logs_exports.iter().collect();
        let now: BTreeSet<&String> = there.enabled_cloudwatch_logs_exports().iter().collect();
        verdict = verdict.compare("enable_cloudwatch_logs_exports", json!(wanted), json!(now));
    }
    let now = there.backup_retention_period();
    verdict = compare_if(verdict, "backup_retention_period", params.backup_retention_period, now);
    let now = there.preferred_backup_window();
    verdict = compare_if(verdict, "preferred_backup_window", params.preferred_backup_window.as_deref(), now);
    let wanted = params.preferred_maintenance_window.as_deref().map(lower);
    let now = there.preferred_maintenance_window().map(lower);
    verdict = compare_if(verdict, "preferred_maintenance_window", wanted, now);
    verdict = compare_if(verdict, "storage_encrypted", params.storage_encrypted, there.storage_encrypted());
    let key = params.kms_key_id.as_ref().map(KmsKeyArn::as_str);
    verdict = compare_if(verdict, "kms_key_id", key, there.kms_key_id());
    verdict = compare_if(verdict, "deletion_protection", params.deletion_protection, there.deletion_protection());
    let (wanted, now) = (params.enable_iam_database_authentication, there.iam_database_authentication_enabled());
    verdict = compare_if(verdict, "enable_iam_database_authentication", wanted, now);
    compare_if(verdict, "copy_tags_to_snapshot", params.copy_tags_to_snapshot, there.copy_tags_to_snapshot())
}

impl Operation for DbInstance {
    const KIND: &'static str = "aws.rds.db_instance";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let mut rolls_back = vec!["rds:DeleteDBInstance"];
        if params.protects() {
            rolls_back.insert(0, "rds:ModifyDBInstance");
        }
        let calls = Calls {
            reads: &[
                "rds:DescribeDBClusters",
                "rds:DescribeDBEngineVersions",
                "rds:DescribeDBInstances",
                "rds:DescribeDBSnapshots",
                "rds:DescribeDBSubnetGroups",
                "rds:ListTagsForResource",
            ],
            creates: "rds:CreateDBInstance",
            settles: Vec::new(),
            rolls_back,
            besides: &["iam:CreateServiceLinkedRole", "rds:AddTagsToResource"],
        };
        let mut facts = Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            rollback_deadline: ROLLBACK_DEADLINE,
            residue: params.residue(),
            arns: params.arns(),
            ..calls.into_facts()
        };
        if params.kms_key_id.is_some() || params.master_user_secret_kms_key_id.is_some() {
            facts.extra_actions.extend(["kms:CreateGrant".into(), "kms:DescribeKey".into()]);
        }
        if params.manages_password() {
            // RDS looks at the key of the secret as the caller, also where it is Secrets Manager's own.
            facts.extra_actions.push("kms:DescribeKey".into());
            facts.extra_actions.extend(["secretsmanager:CreateSecret".into(), "secretsmanager:TagResource".into()]);
        }
        if params.monitoring_role_arn.is_some() {
            facts.extra_actions.push("iam:PassRole".into());
        }
        match (params.is_member(), params.skip_final_snapshot) {
            (true, _) => {}
            (false, true) => {
                facts.reversibility =
                    Reversibility::Lossy { what: "everything that was written to the database".into() };
            }
            (false, false) => {
                facts.extra_undo_actions.extend(["rds:AddTagsToResource".into(), "rds:CreateDBSnapshot".into()]);
            }
        }
        facts
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            db_instance_identifier: DbInstanceIdentifier::new("app-reports"),
            db_instance_class: "db.t4g.medium".to_owned(),
            engine: "postgres".to_owned(),
            db_cluster_identifier: None,
            promotion_tier: None,
            engine_version: Some("16.4".to_owned()),
            allocated_storage: Some(100),
            max_allocated_storage: Some(400),
            storage_type: Some("io2".to_owned()),
            iops: Some(3000),
            multi_az: Some(true),
            master_username: Some("app_admin".to_owned()),
            master_user_password: None,
            manage_master_user_password: Some(true),
            master_user_secret_kms_key_id: Some(KmsKeyArn::new(key)),
            db_name: Some("reports".to_owned()),
            port: Some(5432),
            db_subnet_group_name: Some(DbSubnetGroupName::new("app-db")),
            vpc_security_group_ids: vec![SecurityGroupId::new("sg-0a1b2c3d4e5f60718")],
            db_parameter_group_name: Some(DbParameterGroupName::new("default.postgres16")),
            availability_zone: None,
            publicly_accessible: Some(false),
            auto_minor_version_upgrade: Some(true),
            monitoring_interval: Some(60),
            monitoring_role_arn: Some(RoleArn::new("arn:aws:iam::123456789012:role/rds-monitoring")),
            enable_performance_insights: Some(true),
            performance_insights_retention_period: Some(7),
            enable_cloudwatch_logs_exports: vec!["postgresql".to_owned()],
            backup_retention_period: Some(7),
            preferred_backup_window: Some("03:00-04:00".to_owned()),
            preferred_maintenance_window: Some("sun:04:00-sun:05:00".to_owned()),
            storage_encrypted: Some(true),
            kms_key_id: Some(KmsKeyArn::new(key)),
            deletion_protection: Some(true),
            enable_iam_database_authentication: Some(true),
            copy_tags_to_snapshot: Some(true),
            skip_final_snapshot: false,
            delete_automated_backups: Some(false),
            tags: BTreeMap::from([("Name".to_owned(), "app-reports".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        checks::identifier(params.db_instance_identifier.as_str(), 63, "db_instance_identifier", &mut errors);
        if !params.db_instance_class.starts_with("db.") {
            let message = format!("{:?} does not begin with `db.`", params.db_instance_class);
            errors.push(ParamError::new("db_instance_class", message));
        }
        let aurora = params.engine.starts_with("aurora-");
        if params.engine.is_empty() || aurora != params.is_member() {
            let wanted = if aurora { "is for a member of a cluster" } else { "is not `aurora-...`, as a member's is" };
            errors.push(ParamError::new("engine", format!("{:?} {wanted}", params.engine)));
        }
        if let Some(cluster) = &params.db_cluster_identifier {
            checks::identifier(cluster.as_str(), 63, "db_cluster_identifier", &mut errors);
            let theirs = params.not_of_a_member();
            errors.extend(theirs.into_iter().map(|f| ParamError::new(f, "is the cluster's, not a member's")));
        } else {
            params.check_alone(&mut errors);
        }
        checks::range(params.promotion_tier, 0, 15, "promotion_tier", &mut errors);
        let maintenance = params.preferred_maintenance_window.as_deref();
        checks::windows(params.preferred_backup_window.as_deref(), maintenance, &mut errors);
        check_watching(params, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        database::check_password(cx, params.master_user_password.as_ref())?;
        database::check_engine(cx, &params.engine, params.engine_version.as_deref()).await?;
        named::capture::<Instance>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        super::foresee_engine::<Instance>(cx, known, "db_instance_identifier").await
    }

    /// The cluster and the group may be steps of the same run that are named and not referred to, so they are
    /// looked for here and not in the preflight.
    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        if let Some(cluster) = params.cluster() {
            named::existing::<db_cluster::Cluster>(cx, &cluster).await?;
        }
        let subnets = params.db_subnet_group_name.as_ref().map(|n| n.as_str().to_ascii_lowercase());
        if let Some(group) = &subnets {
            named::existing::<db_subnet_group::Group>(cx, group).await?;
        }
        let name = params.name();
        let about = format!("DB instance `{name}`");
        let call = Call::new("rds:CreateDBInstance", &about);
        // No operation makes a DB parameter group: one that is not found is misspelt, not new.
        let call = if params.db_parameter_group_name.is_some() { call } else { call.just_made() };
        let password = params.master_user_password.as_ref().map(|p| cx.secret(p)).transpose()?;
        let groups: Vec<String> = params.vpc_security_group_ids.iter().map(|id| id.as_str().to_owned()).collect();
        let logs = params.enable_cloudwatch_logs_exports.clone();
        let text = |id: &KmsKeyArn| id.as_str().to_owned();
        let reply = client(cx)?
            .create_db_instance()
            .db_instance_identifier(&name)
            .db_instance_class(&params.db_instance_class)
            .engine(&params.engine)
            .set_db_cluster_identifier(params.cluster())
            .set_promotion_tier(params.promotion_tier)
            .set_engine_version(params.engine_version.clone())
            .set_allocated_storage(params.allocated_storage)
            .set_max_allocated_storage(params.max_allocated_storage)
            .set_storage_type(params.storage_type.clone())
            .set_iops(params.iops)
            .set_multi_az(params.multi_az)
            .set_master_username(params.master_username.clone())
            .set_master_user_password(password.map(|p| p.expose_secret().to_owned()))
            .set_manage_master_user_password(params.manage_master_user_password)
            .set_master_user_secret_kms_key_id(params.master_user_secret_kms_key_id.as_ref().map(text))
            .set_db_name(params.db_name.clone())
            .set_port(params.port)
            .set_db_subnet_group_name(subnets)
            .set_vpc_security_group_ids((!groups.is_empty()).then_some(groups))
            .set_db_parameter_group_name(params.db_parameter_group_name.as_ref().map(|n| n.as_str().to_owned()))
            .set_availability_zone(params.availability_zone.clone())
            .set_publicly_accessible(params.publicly_accessible)
            .set_auto_minor_version_upgrade(params.auto_minor_version_upgrade)
            .set_monitoring_interval(params.monitoring_interval)
            .set_monitoring_role_arn(params.monitoring_role_arn.as_ref().map(|r| r.as_str().to_owned()))
            .set_enable_performance_insights(params.enable_performance_insights)
            .set_performance_insights_retention_period(params.performance_insights_retention_period)
            .set_enable_cloudwatch_logs_exports((!logs.is_empty()).then_some(logs))
            .set_backup_retention_period(params.backup_retention_period)
            .set_preferred_backup_window(params.preferred_backup_window.clone())
            .set_preferred_maintenance_window(params.preferred_maintenance_window.clone())
            .set_storage_encrypted(params.storage_encrypted)
            .set_kms_key_id(params.kms_key_id.as_ref().map(text))
            .set_deletion_protection(params.deletion_protection)
            .set_enable_iam_database_authentication(params.enable_iam_database_authentication)
            .set_copy_tags_to_snapshot(params.copy_tags_to_snapshot)
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| unless_role_is_unseen(op_error(call, e)))
            .map_err(|e| without_secret(e, password))?;
        let made = reply.db_instance().filter(|i| i.db_instance_identifier().is_some());
        made.map(output).ok_or_else(|| nameless("rds:CreateDBInstance", &about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Output> {
        let name = params.name();
        named::ours_there::<Instance>(cx, &name).await?;
        named::wait_until::<Instance, _>(cx, &name, "available", named::POLL, |instance| {
            let now = output(&instance.described);
            let secret = !params.manages_password() || now.master_user_secret_arn.is_some();
            let complete = secret && !now.endpoint.is_empty();
            Ok((database::is_available(&name, instance)? && complete).then_some(now))
        })
        .await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Instance, _>(cx, &params.name(), |i| output(&i.described)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        database::roll_back::<Instance>(cx, &params.name(), &out.dbi_resource_id, &params.ending()).await
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name();
        if want == Expect::RolledBack {
            let mut verdict = named::verify_gone::<Instance>(cx, &name).await?;
            verdict.observed = database::observed_snapshot::<Instance>(cx, &name, &params.ending()).await?;
            return Ok(verdict);
        }
        let Some(instance) = Instance::read(cx, &name).await? else { return Ok(named::missing::<Instance>(&name)) };
        let mut verdict = named::verdict(cx, &instance, &params.tags);
        let id = out.map(|o| o.dbi_resource_id.as_str());
        verdict = compare_if(verdict, "dbi_resource_id", id, instance.resource_id());
        verdict = compared(verdict, params, &instance);
        verdict.observed = observed(&instance);
        Ok(verdict)
    }
}

/// Monitoring and Performance Insights.
fn check_watching(params: &Params, errors: &mut Vec<ParamError>) {
    if let Some(seconds) = params.monitoring_interval.filter(|s| ![0, 1, 5, 10, 15, 30, 60].contains(s)) {
        let message = format!("{seconds} is none of 0, 1, 5, 10, 15, 30, 60");
        errors.push(ParamError::new("monitoring_interval", message));
    }
    let measures = params.monitoring_interval.is_some_and(|s| s > 0);
    if measures != params.monitoring_role_arn.is_some() {
        let message = "goes with a `monitoring_interval` above 0, and that with it";
        errors.push(ParamError::new("monitoring_role_arn", message));
    }
    if let Some(role) = &params.monitoring_role_arn {
        role.check("monitoring_role_arn", errors);
    }
    if let Some(days) = params.performance_insights_retention_period {
        if params.enable_performance_insights != Some(true) {
            let message = "needs `enable_performance_insights`";
            errors.push(ParamError::new("performance_insights_retention_period", message));
        }
        let months = days % 31 == 0 && (1..=23).contains(&(days / 31));
        if days != 7 && days != 731 && !months {
            let message = format!("{days} is neither 7, nor 731, nor 1 to 23 months of 31 days");
            errors.push(ParamError::new("performance_insights_retention_period", message));
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::Endpoint;
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn member(value: Value) -> Params {
        of(
            json!({
                "db_instance_identifier": "App-1", "db_instance_class": "db.serverless", "engine": "aurora-postgresql",
                "db_cluster_identifier": "App",
            }),
            value,
        )
    }

    fn alone(value: Value) -> Params {
        of(
            json!({
                "db_instance_identifier": "app", "db_instance_class": "db.t4g.medium", "engine": "postgres",
                "allocated_storage": 20, "master_username": "app_admin", "manage_master_user_password": true,
            }),
            value,
        )
    }

    fn of(mut all: Value, value: Value) -> Params {
        for (key, value) in value.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn wrong(params: &Params) -> Vec<String> {
        let errors = DbInstance.check(params).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn a_member_has_most_from_its_cluster() {
        assert!(wrong(&member(json!({"publicly_accessible": false, "promotion_tier": 1}))).is_empty());
        for (value, field) in [
            (json!({"port": 5432}), "port"),
            (json!({"allocated_storage": 20}), "allocated_storage"),
            (json!({"deletion_protection": false}), "deletion_protection"),
            (json!({"promotion_tier": 16}), "promotion_tier"),
            (json!({"engine": "postgres"}), "engine"),
            (json!({"db_cluster_identifier": "a_b"}), "db_cluster_identifier"),
            (json!({"db_instance_class": "t4g.medium"}), "db_instance_class"),
        ] {
            assert_eq!(wrong(&member(value.clone())), [field], "{value}");
        }
    }

    #[test]
    fn one_alone_is_held_to_the_rules() {
        assert!(wrong(&alone(json!({}))).is_empty());
        assert!(wrong(&DbInstance::example().unwrap()).is_empty());
        for (value, field) in [
            (json!({"allocated_storage": null}), "allocated_storage"),
            (json!({"max_allocated_storage": 10}), "max_allocated_storage"),
            (json!({"storage_type": "ssd"}), "storage_type"),
            (json!({"storage_type": "io2"}), "iops"),
            (json!({"master_username": null}), "master_username"),
            (json!({"manage_master_user_password": null}), "master_user_password"),
            (json!({"multi_az": true, "availability_zone": "us-east-1a"}), "availability_zone"),
            (json!({"promotion_tier": 1}), "promotion_tier"),
            (json!({"engine": "aurora-mysql"}), "engine"),
            (json!({"backup_retention_period": 36}), "backup_retention_period"),
            (json!({"monitoring_interval": 60}), "monitoring_role_arn"),
            (json!({"monitoring_interval": 7, "monitoring_role_arn": "arn:aws:iam::1:role/x"}), "monitoring_interval"),
            (json!({"performance_insights_retention_period": 7}), "performance_insights_retention_period"),
        ] {
            assert_eq!(wrong(&alone(value.clone())), [field], "{value}");
        }
        for (days, fine) in [(7, true), (31, true), (713, true), (731, true), (8, false), (744, false), (0, false)] {
            let insights = json!({"enable_performance_insights": true, "performance_insights_retention_period": days});
            assert_eq!(wrong(&alone(insights)).is_empty(), fine, "{days}");
        }
    }

    #[test]
    fn the_facts_say_what_going_back_does_and_leaves() {
        let member = DbInstance.facts(&member(json!({})));
        assert_eq!(member.reversibility, Reversibility::Reversible);
        assert!(member.residue.is_empty(), "its data is the cluster's");
        let of = ["db:app-1", "cluster:app", "subgrp:*", "pg:default*", "og:default*"];
        assert_eq!(member.arns, of.map(|of| format!("arn:{{partition}}:rds:{{region}}:{{account}}:{of}")));
        let kept = DbInstance.facts(&alone(json!({"deletion_protection": true})));
        assert!(kept.residue[0].contains("`app-final-{run}-g{generation}`"), "{:?}", kept.residue);
        assert_eq!(kept.rolls_back, ["rds:ModifyDBInstance", "rds:DeleteDBInstance"]);
        let skipped = DbInstance.facts(&alone(json!({"skip_final_snapshot": true})));
        assert!(matches!(skipped.reversibility, Reversibility::Lossy { .. }) && skipped.residue.is_empty());
    }

    #[test]
    fn what_rds_moves_is_not_drift_and_what_was_changed_is() {
        let there = || {
            Described::builder()
                .db_instance_status("available")
                .db_instance_class("db.t4g.medium")
                .engine("postgres")
                .engine_version("16.6")
                .allocated_storage(30)
                .max_allocated_storage(50)
                .master_username("app_admin")
                .master_user_secret(aws_sdk_rds::types::MasterUserSecret::builder().build())
        };
        let wanted = json!({"engine_version": "16.4", "max_allocated_storage": 50});
        let differs = |params: &Params, there: Described| -> Vec<String> {
            let verdict = compared(Verdict::new(), params, &Instance::new(there));
            verdict.compared.into_iter().filter(|c| !c.holds()).map(|c| c.what).collect()
        };
        let params = alone(wanted);
        assert!(differs(&params, there().build()).is_empty(), "{:?}", differs(&params, there().build()));
        assert_eq!(differs(&params, there().allocated_storage(60).build()), ["allocated_storage"]);
        assert_eq!(differs(&params, there().db_instance_class("db.r6g.large").build()), ["db_instance_class"]);
        assert_eq!(differs(&params, there().db_cluster_identifier("x").build()), ["db_cluster_identifier"]);
        assert_eq!(differs(&alone(json!({})), there().build()), ["allocated_storage"], "without room to grow");
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_for_monitoring_that_rds_does_not_see_yet_is_waited_for() {
        let cluster = "<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster><DBClusterIdentifier>\
             app</DBClusterIdentifier></DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>";
        let refused = "<ErrorResponse><Error><Code>InvalidParameterValue</Code><Message>IAM role ARN value is invalid or \
             does not include the required permissions for: ENHANCED_MONITORING</Message></Error></ErrorResponse>";
        let script = Script::new([Answer::Reply(200, cluster), Answer::Reply(400, refused)]);
        let (cx, _) = watched("db", script.config()).await;
        let role = "arn:aws:iam::123456789012:role/rds-monitoring";
        let params = member(json!({"monitoring_interval": 60, "monitoring_role_arn": role}));
        let error = DbInstance.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Busy, "{error}");
    }

    #[test]
    fn an_instance_that_failed_before_it_served_has_nothing_to_keep() {
        let there = |status: &str, endpoint: Option<&str>| {
            let endpoint = endpoint.map(|a| Endpoint::builder().address(a).build());
            Instance::new(Described::builder().db_instance_status(status).set_endpoint(endpoint).build())
        };
        assert!(there("available", Some("app.rds")).can_be_snapshotted());
        assert!(there("storage-full", Some("app.rds")).can_be_snapshotted());
        assert!(there("incompatible-network", Some("app.rds")).can_be_snapshotted(), "a person decides");
        assert!(!there("failed", None).can_be_snapshotted());
        assert!(there("available", None).can_be_snapshotted());
    }
}
