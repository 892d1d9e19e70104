//! `aws.rds.db_cluster`: an Aurora cluster: its storage and its endpoints. Its instances are steps of their
//! own ([`db_instance`](super::db_instance)).
//!
//! All that it is given is in `CreateDBCluster`; `settle` only waits. Going back keeps the data in a final snapshot
//! unless the step says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_rds::types::{DbCluster as Described, DbClusterMember, ServerlessV2ScalingConfiguration};
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
    checks, client, db_cluster_parameter_group, db_subnet_group, nameless, read_tags, security_groups, tag_list,
    unless_gone, unless_role_is_unseen, without_secret,
};
use crate::calls::{Absent, Calls};
use crate::errors::{Call, op_error};
use crate::ids::{
    DbClusterArn, DbClusterIdentifier, DbClusterParameterGroupName, DbSubnetGroupName, KmsKeyArn, SecretArn,
    SecurityGroupId,
};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// How far a serverless cluster's instances scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// The least capacity units: 0 (it may pause) to 256, in steps of a half
    /// (`ServerlessV2ScalingConfiguration` MinCapacity).
    pub min_capacity: f64,
    /// The most capacity units: 1 to 256, in steps of a half (`ServerlessV2ScalingConfiguration` MaxCapacity).
    pub max_capacity: f64,
    /// After how many idle seconds it pauses, 300 to 86400, where `min_capacity` is 0
    /// (`ServerlessV2ScalingConfiguration` SecondsUntilAutoPause).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_until_auto_pause: Option<i32>,
}

/// An Aurora DB cluster: storage and endpoints, without instances.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The identifier: 1 to 63 letters, digits and single hyphens, a letter first; RDS lower-cases it
    /// (`CreateDBCluster` DBClusterIdentifier).
    pub db_cluster_identifier: DbClusterIdentifier,
    /// `aurora-postgresql` or `aurora-mysql` (`CreateDBCluster` Engine).
    pub engine: String,
    /// The version, `16.4` (`CreateDBCluster` EngineVersion). RDS's default: its choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// The capacity of `db.serverless` instances (`CreateDBCluster` ServerlessV2ScalingConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless_v2_scaling_configuration: Option<Scaling>,
    /// The first user's name (`CreateDBCluster` MasterUsername).
    pub master_username: String,
    /// The first user's password (`CreateDBCluster` MasterUserPassword); this, or `manage_master_user_password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_password: Option<SecretRef>,
    /// RDS makes the password and keeps it in Secrets Manager (`CreateDBCluster` ManageMasterUserPassword).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage_master_user_password: Option<bool>,
    /// The key of the secret that RDS makes (`CreateDBCluster` MasterUserSecretKmsKeyId). RDS's default: Secrets
    /// Manager's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_secret_kms_key_id: Option<KmsKeyArn>,
    /// The subnets that it may be placed in (`CreateDBCluster` DBSubnetGroupName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_subnet_group_name: Option<DbSubnetGroupName>,
    /// The firewalls around it (`CreateDBCluster` VpcSecurityGroupIds). RDS's default: the VPC's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpc_security_group_ids: Vec<SecurityGroupId>,
    /// The engine's settings (`CreateDBCluster` DBClusterParameterGroupName). RDS's default: those of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_cluster_parameter_group_name: Option<DbClusterParameterGroupName>,
    /// A database to begin with: up to 64 letters, digits and underscores (`CreateDBCluster` DatabaseName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_name: Option<String>,
    /// The port, 1150 to 65535 (`CreateDBCluster` Port). RDS's default: the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// The logs that CloudWatch gets, `postgresql` (`CreateDBCluster` EnableCloudwatchLogsExports).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enable_cloudwatch_logs_exports: Vec<String>,
    /// For how many days automated backups are kept, 1 to 35 (`CreateDBCluster` BackupRetentionPeriod). RDS's
    /// default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_retention_period: Option<i32>,
    /// When backups are made, in UTC: `03:00-04:00` (`CreateDBCluster` PreferredBackupWindow).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_backup_window: Option<String>,
    /// When RDS may maintain it, in UTC: `sun:04:00-sun:05:00` (`CreateDBCluster` PreferredMaintenanceWindow).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_maintenance_window: Option<String>,
    /// Whether its storage is encrypted (`CreateDBCluster` StorageEncrypted).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_encrypted: Option<bool>,
    /// The key that its storage is encrypted with (`CreateDBCluster` KmsKeyId). RDS's default: its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<KmsKeyArn>,
    /// Whether RDS refuses to delete it (`CreateDBCluster` DeletionProtection). Going back switches it off first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Whether IAM identities can log in (`CreateDBCluster` EnableIAMDatabaseAuthentication).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_iam_database_authentication: Option<bool>,
    /// Whether the data API is on (`CreateDBCluster` EnableHttpEndpoint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_http_endpoint: Option<bool>,
    /// Whether snapshots get its tags (`CreateDBCluster` CopyTagsToSnapshot).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_tags_to_snapshot: Option<bool>,
    /// Whether going back deletes it without a final snapshot (`DeleteDBCluster` SkipFinalSnapshot).
    #[serde(default)]
    pub skip_final_snapshot: bool,
    /// Whether going back deletes its automated backups too (`DeleteDBCluster` DeleteAutomatedBackups). RDS's default:
    /// true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_automated_backups: Option<bool>,
    /// Tags, beside those that say whose it is (`CreateDBCluster` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its identifier, in lower case.
    pub db_cluster_identifier: DbClusterIdentifier,
    /// Its ARN.
    pub db_cluster_arn: DbClusterArn,
    /// The id that no other cluster ever has, `cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ`.
    pub db_cluster_resource_id: String,
    /// The name of the instance that writes. Empty until RDS has given it one.
    pub endpoint: String,
    /// The name of those that read. Empty until RDS has given it one.
    pub reader_endpoint: String,
    /// The port of both.
    pub port: i32,
    /// The version that it was made with.
    pub engine_version: String,
    /// The secret of the first user's password, where RDS manages it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_user_secret_arn: Option<SecretArn>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbCluster;

impl Params {
    fn name(&self) -> String {
        self.db_cluster_identifier.as_str().to_ascii_lowercase()
    }

    fn protects(&self) -> bool {
        self.deletion_protection == Some(true)
    }

    fn ending(&self) -> Ending {
        Ending {
            unprotect: self.protects(),
            skip_final_snapshot: self.skip_final_snapshot,
            delete_automated_backups: self.delete_automated_backups,
            member: false,
        }
    }

    /// What the calls are about beside the cluster: what it names, and what it leaves behind.
    fn arns(&self) -> Vec<String> {
        let arn = |kind: &str, name: &str| database::arn(kind, name);
        let mut arns = vec![arn("cluster", &self.name())];
        let group = |kind: &str, name: Option<&str>| database::arn_of_group(kind, name);
        arns.push(group("subgrp", self.db_subnet_group_name.as_ref().map(DbSubnetGroupName::as_str)));
        let settings = self.db_cluster_parameter_group_name.as_ref().map(DbClusterParameterGroupName::as_str);
        arns.extend([group("cluster-pg", settings), group("og", None)]);
        if !self.skip_final_snapshot {
            arns.push(arn("cluster-snapshot", &format!("{}-final-*", self.name())));
        }
        arns
    }

    /// What stays when it is gone.
    fn residue(&self) -> Vec<String> {
        let mut residue = Vec::new();
        if !self.skip_final_snapshot {
            residue.push(database::final_snapshot_residue("DB cluster", &self.name()));
        }
        if self.delete_automated_backups == Some(false) {
            residue.push("its automated backups stay for their retention period".to_owned());
        }
        if !self.enable_cloudwatch_logs_exports.is_empty() {
            residue.push(format!("the log groups `/aws/rds/cluster/{}/...` that RDS makes stay", self.name()));
        }
        residue
    }
}

fn output(cluster: &Described) -> Output {
    Output {
        db_cluster_identifier: DbClusterIdentifier::new(cluster.db_cluster_identifier().unwrap_or_default()),
        db_cluster_arn: DbClusterArn::new(cluster.db_cluster_arn().unwrap_or_default()),
        db_cluster_resource_id: cluster.db_cluster_resource_id().unwrap_or_default().to_owned(),
        endpoint: cluster.endpoint().unwrap_or_default().to_owned(),
        reader_endpoint: cluster.reader_endpoint().unwrap_or_default().to_owned(),
        port: cluster.port().unwrap_or_default(),
        engine_version: cluster.engine_version().unwrap_or_default().to_owned(),
        master_user_secret_arn: cluster.master_user_secret().and_then(|s| s.secret_arn()).map(SecretArn::new),
    }
}

/// A cluster with its tags.
pub(super) struct Cluster {
    described: Described,
    tags: Tags,
}

impl Cluster {
    pub(super) fn new(described: Described) -> Self {
        Self { tags: read_tags(described.tag_list()), described }
    }
}

impl Named for Cluster {
    const WHAT: &'static str = "DB cluster";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.describe_db_clusters().db_cluster_identifier(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(Call::new("rds:DescribeDBClusters", name), e)))?;
        let mut clusters = reply.and_then(|r| r.db_clusters).unwrap_or_default().into_iter();
        let found = clusters.find(|c| c.db_cluster_identifier().is_some_and(|id| id.eq_ignore_ascii_case(name)));
        Ok(found.map(Self::new))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.db_cluster_arn().unwrap_or_default()
    }
}

impl Database for Cluster {
    const SNAPSHOT_EXISTS: &'static str = "DBClusterSnapshotAlreadyExistsFault";

    fn status(&self) -> &str {
        self.described.status().unwrap_or("unknown")
    }

    fn resource_id(&self) -> &str {
        self.described.db_cluster_resource_id().unwrap_or_default()
    }

    fn is_protected(&self) -> bool {
        self.described.deletion_protection() == Some(true)
    }

    fn can_be_snapshotted(&self) -> bool {
        true
    }

    fn dependants(&self) -> Vec<String> {
        let members = self.described.db_cluster_members().iter();
        members.filter_map(DbClusterMember::db_instance_identifier).map(str::to_owned).collect()
    }

    async fn unprotect(cx: &Cx, name: &str) -> OpResult<()> {
        let call = Call::new("rds:ModifyDBCluster", name);
        let sent = client(cx)?
            .modify_db_cluster()
            .db_cluster_identifier(name)
            .deletion_protection(false)
            .apply_immediately(true)
            .send()
            .await;
        sent.map(|_| ()).map_err(|e| op_error(call, e))
    }

    async fn delete(cx: &Cx, name: &str, end: &Ending, snapshot: Option<&str>) -> OpResult<()> {
        let sent = client(cx)?
            .delete_db_cluster()
            .db_cluster_identifier(name)
            .skip_final_snapshot(snapshot.is_none())
            .set_final_db_snapshot_identifier(snapshot.map(str::to_owned))
            .set_delete_automated_backups(end.delete_automated_backups)
            .send()
            .await;
        sent.map(|_| ()).map_err(|e| op_error(Call::new("rds:DeleteDBCluster", name), e))
    }

    async fn snapshot(cx: &Cx, name: &str) -> OpResult<Option<Snapshot>> {
        let call = Call::new("rds:DescribeDBClusterSnapshots", name);
        let sent = client(cx)?.describe_db_cluster_snapshots().db_cluster_snapshot_identifier(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(call, e)))?;
        let mut there = reply.and_then(|r| r.db_cluster_snapshots).unwrap_or_default().into_iter();
        Ok(there.find(|s| s.db_cluster_snapshot_identifier() == Some(name)).map(|s| Snapshot {
            status: s.status().unwrap_or("unknown").to_owned(),
            of: s.db_cluster_identifier().unwrap_or_default().to_owned(),
            resource_id: s.db_cluster_resource_id().map(str::to_owned),
        }))
    }
}

/// What is there, without anything secret.
fn observed(cluster: &Cluster) -> Value {
    let there = &cluster.described;
    json!({
        "db_cluster_identifier": there.db_cluster_identifier(), "db_cluster_arn": there.db_cluster_arn(),
        "status": cluster.status(), "engine": there.engine(), "engine_version": there.engine_version(),
        "endpoint": there.endpoint(), "reader_endpoint": there.reader_endpoint(), "port": there.port(),
        "members": cluster.dependants(), "db_subnet_group": there.db_subnet_group(),
        "vpc_security_group_ids": security_groups(there.vpc_security_groups()),
        "backup_retention_period": there.backup_retention_period(),
        "storage_encrypted": there.storage_encrypted(), "deletion_protection": there.deletion_protection(),
        "tags": cluster.tags,
    })
}

/// Compares everything that the parameters set, and nothing that RDS moves by itself.
fn compared(mut verdict: Verdict, params: &Params, cluster: &Cluster) -> Verdict {
    let there = &cluster.described;
    let lower = |text: &str| text.to_ascii_lowercase();
    verdict = verdict
        .compare("status", "available", database::compared_status(cluster.status()))
        .compare("engine", params.engine.as_str(), there.engine())
        .compare("master_username", params.master_username.as_str(), there.master_username());
    if let Some(wanted) = params.engine_version.as_deref() {
        let now = there.engine_version().unwrap_or_default();
        verdict = verdict.compare("engine_version", wanted, database::compared_version(&params.engine, wanted, now));
    }
    if let Some(wanted) = params.serverless_v2_scaling_configuration {
        let now = there.serverless_v2_scaling_configuration();
        verdict = verdict.compare("min_capacity", wanted.min_capacity, now.and_then(|s| s.min_capacity())).compare(
            "max_capacity",
            wanted.max_capacity,
            now.and_then(|s| s.max_capacity()),
        );
        let pause = now.and_then(|s| s.seconds_until_auto_pause());
        verdict = compare_if(verdict, "seconds_until_auto_pause", wanted.seconds_until_auto_pause, pause);
    }
    if params.manage_master_user_password == Some(true) {
        verdict = verdict.compare("RDS manages the password", true, there.master_user_secret().is_some());
        let key = there.master_user_secret().and_then(|s| s.kms_key_id());
        let wanted = params.master_user_secret_kms_key_id.as_ref().map(KmsKeyArn::as_str);
        verdict = compare_if(verdict, "master_user_secret_kms_key_id", wanted, key);
    }
    if !params.vpc_security_group_ids.is_empty() {
        let wanted: BTreeSet<&str> = params.vpc_security_group_ids.iter().map(SecurityGroupId::as_str).collect();
        let now = security_groups(there.vpc_security_groups());
        verdict = verdict.compare("vpc_security_group_ids", json!(wanted), json!(now));
    }
    if !params.enable_cloudwatch_logs_exports.is_empty() {
        let wanted: BTreeSet<&String> = params.enable_cloudwatch_logs_exports.iter().collect();
        let now: BTreeSet<&String> = there.enabled_cloudwatch_logs_exports().iter().collect();
        verdict = verdict.compare("enable_cloudwatch_logs_exports", json!(wanted), json!(now));
    }
    let subnets = params.db_subnet_group_name.as_ref().map(|n| lower(n.as_str()));
    let group = params.db_cluster_parameter_group_name.as_ref().map(|n| lower(n.as_str()));
    let maintenance = params.preferred_maintenance_window.as_deref().map(lower);
    verdict = compare_if(verdict, "db_subnet_group_name", subnets, there.db_subnet_group().map(lower));
    let now = there.db_cluster_parameter_group().map(lower);
    verdict = compare_if(verdict, "db_cluster_parameter_group_name", group, now);
    let now = there.preferred_maintenance_window().map(lower);
    verdict = compare_if(verdict, "preferred_maintenance_window", maintenance, now);
    let now = there.preferred_backup_window();
    verdict = compare_if(verdict, "preferred_backup_window", params.preferred_backup_window.as_deref(), now);
    verdict = compare_if(verdict, "database_name", params.database_name.as_deref(), there.database_name());
    verdict = compare_if(verdict, "port", params.port, there.port());
    let now = there.backup_retention_period();
    verdict = compare_if(verdict, "backup_retention_period", params.backup_retention_period, now);
    verdict = compare_if(verdict, "storage_encrypted", params.storage_encrypted, there.storage_encrypted());
    let key = params.kms_key_id.as_ref().map(KmsKeyArn::as_str);
    verdict = compare_if(verdict, "kms_key_id", key, there.kms_key_id());
    verdict = compare_if(verdict, "deletion_protection", params.deletion_protection, there.deletion_protection());
    let now = there.iam_database_authentication_enabled();
    let wanted = params.enable_iam_database_authentication;
    verdict = compare_if(verdict, "enable_iam_database_authentication", wanted, now);
    verdict = compare_if(verdict, "enable_http_endpoint", params.enable_http_endpoint, there.http_endpoint_enabled());
    compare_if(verdict, "copy_tags_to_snapshot", params.copy_tags_to_snapshot, there.copy_tags_to_snapshot())
}

fn check_scaling(scaling: Scaling, errors: &mut Vec<ParamError>) {
    const FIELD: &str = "serverless_v2_scaling_configuration";
    let mut wrong = |what: &str| errors.push(ParamError::new(FIELD, what));
    let in_halves = |capacity: f64, least: f64| (least..=256.0).contains(&capacity) && (capacity * 2.0).fract() == 0.0;
    if !in_halves(scaling.min_capacity, 0.0) {
        wrong("`min_capacity` is 0 to 256, in steps of 0.5");
    }
    if !in_halves(scaling.max_capacity, 1.0) {
        wrong("`max_capacity` is 1 to 256, in steps of 0.5");
    }
    if scaling.min_capacity > scaling.max_capacity {
        wrong("`min_capacity` is more than `max_capacity`");
    }
    if let Some(seconds) = scaling.seconds_until_auto_pause {
        if scaling.min_capacity != 0.0 {
            wrong("`seconds_until_auto_pause` needs a `min_capacity` of 0");
        }
        if !(300..=86400).contains(&seconds) {
            wrong("`seconds_until_auto_pause` is 300 to 86400");
        }
    }
}

impl Operation for DbCluster {
    const KIND: &'static str = "aws.rds.db_cluster";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let mut rolls_back = vec!["rds:DeleteDBCluster"];
        if params.protects() {
            rolls_back.insert(0, "rds:ModifyDBCluster");
        }
        let calls = Calls {
            reads: &[
                "rds:DescribeDBClusterParameterGroups",
                "rds:DescribeDBClusterSnapshots",
                "rds:DescribeDBClusters",
                "rds:DescribeDBEngineVersions",
                "rds:DescribeDBInstances",
                "rds:DescribeDBSubnetGroups",
                "rds:ListTagsForResource",
            ],
            creates: "rds:CreateDBCluster",
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
        if params.manage_master_user_password == Some(true) {
            // RDS looks at the key of the secret as the caller, also where it is Secrets Manager's own.
            facts.extra_actions.push("kms:DescribeKey".into());
            facts.extra_actions.extend(["secretsmanager:CreateSecret".into(), "secretsmanager:TagResource".into()]);
        }
        if params.skip_final_snapshot {
            facts.reversibility = Reversibility::Lossy { what: "everything that was written to the database".into() };
        } else {
            facts.extra_undo_actions.extend(["rds:AddTagsToResource".into(), "rds:CreateDBClusterSnapshot".into()]);
        }
        facts
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            db_cluster_identifier: DbClusterIdentifier::new("app"),
            engine: "aurora-postgresql".to_owned(),
            engine_version: Some("16.4".to_owned()),
            serverless_v2_scaling_configuration: Some(Scaling {
                min_capacity: 0.0,
                max_capacity: 4.0,
                seconds_until_auto_pause: Some(600),
            }),
            master_username: "app_admin".to_owned(),
            master_user_password: None,
            manage_master_user_password: Some(true),
            master_user_secret_kms_key_id: Some(KmsKeyArn::new(key)),
            db_subnet_group_name: Some(DbSubnetGroupName::new("app-db")),
            vpc_security_group_ids: vec![SecurityGroupId::new("sg-0a1b2c3d4e5f60718")],
            db_cluster_parameter_group_name: Some(DbClusterParameterGroupName::new("app-postgres16")),
            database_name: Some("app".to_owned()),
            port: Some(5432),
            enable_cloudwatch_logs_exports: vec!["postgresql".to_owned()],
            backup_retention_period: Some(7),
            preferred_backup_window: Some("03:00-04:00".to_owned()),
            preferred_maintenance_window: Some("sun:04:00-sun:05:00".to_owned()),
            storage_encrypted: Some(true),
            kms_key_id: Some(KmsKeyArn::new(key)),
            deletion_protection: Some(true),
            enable_iam_database_authentication: Some(true),
            enable_http_endpoint: Some(true),
            copy_tags_to_snapshot: Some(true),
            skip_final_snapshot: false,
            delete_automated_backups: Some(false),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        checks::identifier(params.db_cluster_identifier.as_str(), 63, "db_cluster_identifier", &mut errors);
        if !["aurora-postgresql", "aurora-mysql"].contains(&params.engine.as_str()) {
            let message = format!("{:?} is neither `aurora-postgresql` nor `aurora-mysql`", params.engine);
            errors.push(ParamError::new("engine", message));
        }
        if let Some(scaling) = params.serverless_v2_scaling_configuration {
            check_scaling(scaling, &mut errors);
        }
        checks::master_username(&params.master_username, &mut errors);
        checks::password(
            params.master_user_password.as_ref(),
            params.manage_master_user_password,
            params.master_user_secret_kms_key_id.as_ref(),
            &mut errors,
        );
        for id in &params.vpc_security_group_ids {
            id.check("vpc_security_group_ids", &mut errors);
        }
        if let Some(name) = &params.database_name {
            checks::database_name(name, "database_name", &mut errors);
        }
        checks::port(params.port, &mut errors);
        checks::range(params.backup_retention_period, 1, 35, "backup_retention_period", &mut errors);
        let maintenance = params.preferred_maintenance_window.as_deref();
        checks::windows(params.preferred_backup_window.as_deref(), maintenance, &mut errors);
        checks::encryption(params.storage_encrypted, params.kms_key_id.as_ref(), &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        database::check_password(cx, params.master_user_password.as_ref())?;
        database::check_engine(cx, &params.engine, params.engine_version.as_deref()).await?;
        named::capture::<Cluster>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        super::foresee_engine::<Cluster>(cx, known, "db_cluster_identifier").await
    }

    /// The groups may be steps of the same run that are named and not referred to, so they are looked for here
    /// and not in the preflight.
    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let subnets = params.db_subnet_group_name.as_ref().map(|n| n.as_str().to_ascii_lowercase());
        let settings = params.db_cluster_parameter_group_name.as_ref().map(|n| n.as_str().to_ascii_lowercase());
        if let Some(group) = &subnets {
            named::existing::<db_subnet_group::Group>(cx, group).await?;
        }
        if let Some(group) = &settings {
            named::existing::<db_cluster_parameter_group::Group>(cx, group).await?;
        }
        let name = params.name();
        let about = format!("DB cluster `{name}`");
        let password = params.master_user_password.as_ref().map(|p| cx.secret(p)).transpose()?;
        let scaling = params.serverless_v2_scaling_configuration.map(|s| {
            ServerlessV2ScalingConfiguration::builder()
                .min_capacity(s.min_capacity)
                .max_capacity(s.max_capacity)
                .set_seconds_until_auto_pause(s.seconds_until_auto_pause)
                .build()
        });
        let groups: Vec<String> = params.vpc_security_group_ids.iter().map(|id| id.as_str().to_owned()).collect();
        let logs = params.enable_cloudwatch_logs_exports.clone();
        let text = |id: &KmsKeyArn| id.as_str().to_owned();
        let reply = client(cx)?
            .create_db_cluster()
            .db_cluster_identifier(&name)
            .engine(&params.engine)
            .set_engine_version(params.engine_version.clone())
            .set_serverless_v2_scaling_configuration(scaling)
            .master_username(&params.master_username)
            .set_master_user_password(password.map(|p| p.expose_secret().to_owned()))
            .set_manage_master_user_password(params.manage_master_user_password)
            .set_master_user_secret_kms_key_id(params.master_user_secret_kms_key_id.as_ref().map(text))
            .set_db_subnet_group_name(subnets)
            .set_vpc_security_group_ids((!groups.is_empty()).then_some(groups))
            .set_db_cluster_parameter_group_name(settings)
            .set_database_name(params.database_name.clone())
            .set_port(params.port)
            .set_enable_cloudwatch_logs_exports((!logs.is_empty()).then_some(logs))
            .set_backup_retention_period(params.backup_retention_period)
            .set_preferred_backup_window(params.preferred_backup_window.clone())
            .set_preferred_maintenance_window(params.preferred_maintenance_window.clone())
            .set_storage_encrypted(params.storage_encrypted)
            .set_kms_key_id(params.kms_key_id.as_ref().map(text))
            .set_deletion_protection(params.deletion_protection)
            .set_enable_iam_database_authentication(params.enable_iam_database_authentication)
            .set_enable_http_endpoint(params.enable_http_endpoint)
            .set_copy_tags_to_snapshot(params.copy_tags_to_snapshot)
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| unless_role_is_unseen(op_error(Call::new("rds:CreateDBCluster", &about).just_made(), e)))
            .map_err(|e| without_secret(e, password))?;
        let made = reply.db_cluster().filter(|c| c.db_cluster_identifier().is_some());
        made.map(output).ok_or_else(|| nameless("rds:CreateDBCluster", &about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Output> {
        let name = params.name();
        named::ours_there::<Cluster>(cx, &name).await?;
        named::wait_until::<Cluster, _>(cx, &name, "available", named::POLL, |cluster| {
            let now = output(&cluster.described);
            let managed = params.manage_master_user_password == Some(true);
            let complete = !now.endpoint.is_empty() && (!managed || now.master_user_secret_arn.is_some());
            Ok((database::is_available(&name, cluster)? && complete).then_some(now))
        })
        .await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Cluster, _>(cx, &params.name(), |c| output(&c.described)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        database::roll_back::<Cluster>(cx, &params.name(), &out.db_cluster_resource_id, &params.ending()).await
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
            let mut verdict = named::verify_gone::<Cluster>(cx, &name).await?;
            verdict.observed = database::observed_snapshot::<Cluster>(cx, &name, &params.ending()).await?;
            return Ok(verdict);
        }
        let Some(cluster) = Cluster::read(cx, &name).await? else { return Ok(named::missing::<Cluster>(&name)) };
        let mut verdict = named::verdict(cx, &cluster, &params.tags);
        let id = out.map(|o| o.db_cluster_resource_id.as_str());
        verdict = compare_if(verdict, "db_cluster_resource_id", id, cluster.resource_id());
        verdict = compared(verdict, params, &cluster);
        verdict.observed = observed(&cluster);
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::types::{ServerlessV2ScalingConfigurationInfo, VpcSecurityGroupMembership};
    use switchback_engine::secrets::Secrets;
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, knowing};

    fn params(value: Value) -> Params {
        let mut all = json!({
            "db_cluster_identifier": "MisterSmith-Aurora", "engine": "aurora-postgresql",
            "master_username": "postgres", "manage_master_user_password": true,
        });
        for (key, value) in value.as_object().unwrap() {
            all[key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = DbCluster.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert!(DbCluster.check(&DbCluster::example().unwrap()).is_ok());
        for (value, field) in [
            (json!({"db_cluster_identifier": "a--b"}), "db_cluster_identifier"),
            (json!({"engine": "mysql"}), "engine"),
            (json!({"master_username": "rdsadmin"}), "master_username"),
            (json!({"manage_master_user_password": false}), "master_user_password"),
            (json!({"vpc_security_group_ids": ["vpc-0a1b2c3d"]}), "vpc_security_group_ids"),
            (json!({"database_name": "mister-smith"}), "database_name"),
            (json!({"port": 22}), "port"),
            (json!({"backup_retention_period": 0}), "backup_retention_period"),
            (json!({"preferred_backup_window": "3-4"}), "preferred_backup_window"),
        ] {
            assert_eq!(wrong(value.clone()), [field], "{value}");
        }
        for (least, most, pause, fine) in [
            (0.5, 4.0, None, true),
            (0.0, 1.0, Some(300), true),
            (0.5, 4.0, Some(300), false),
            (0.0, 4.0, Some(10), false),
            (0.3, 4.0, None, false),
            (8.0, 4.0, None, false),
            (0.5, 0.5, None, false),
            (0.5, 300.0, None, false),
        ] {
            let scaling = json!({
                "min_capacity": least, "max_capacity": most, "seconds_until_auto_pause": pause,
            });
            let found = wrong(json!({"serverless_v2_scaling_configuration": scaling}));
            assert_eq!(found.is_empty(), fine, "{scaling}: {found:?}");
        }
    }

    #[test]
    fn the_facts_say_what_going_back_does_and_leaves() {
        let kept = DbCluster.facts(&params(json!({})));
        assert_eq!(kept.reversibility, Reversibility::Reversible);
        assert!(kept.residue[0].contains("`mistersmith-aurora-final-{run}-g{generation}`"), "{:?}", kept.residue);
        assert_eq!(kept.rolls_back, ["rds:DeleteDBCluster"]);
        let skipped = DbCluster.facts(&params(json!({"skip_final_snapshot": true, "deletion_protection": true})));
        assert!(matches!(skipped.reversibility, Reversibility::Lossy { .. }));
        assert!(skipped.residue.is_empty());
        assert_eq!(skipped.rolls_back, ["rds:ModifyDBCluster", "rds:DeleteDBCluster"]);
        let of = ["cluster:mistersmith-aurora", "subgrp:default*", "cluster-pg:default*", "og:default*"];
        assert_eq!(skipped.arns, of.map(|of| format!("arn:{{partition}}:rds:{{region}}:{{account}}:{of}")));
        let named = json!({"db_subnet_group_name": "App", "db_cluster_parameter_group_name": "App"});
        let named = DbCluster.facts(&params(named)).arns;
        assert!(named[1].ends_with(":subgrp:app") && named[2].ends_with(":cluster-pg:app"), "{named:?}");
    }

    fn there() -> aws_sdk_rds::types::builders::DbClusterBuilder {
        let group = |id: &str| VpcSecurityGroupMembership::builder().vpc_security_group_id(id).build();
        Described::builder()
            .status("backing-up")
            .engine("aurora-postgresql")
            .engine_version("16.6")
            .master_username("postgres")
            .master_user_secret(aws_sdk_rds::types::MasterUserSecret::builder().build())
            .db_subnet_group("app-db")
            .preferred_maintenance_window("sun:04:00-sun:05:00")
            .vpc_security_groups(group("sg-2"))
            .vpc_security_groups(group("sg-1"))
            .serverless_v2_scaling_configuration(
                ServerlessV2ScalingConfigurationInfo::builder().min_capacity(0.5).max_capacity(4.0).build(),
            )
            .deletion_protection(true)
    }

    #[test]
    fn what_rds_writes_otherwise_is_not_drift_and_what_was_changed_is() {
        let params = params(json!({
            "engine_version": "16.4", "db_subnet_group_name": "App-DB",
            "preferred_maintenance_window": "Sun:04:00-Sun:05:00", "vpc_security_group_ids": ["sg-1", "sg-2"],
            "serverless_v2_scaling_configuration": {"min_capacity": 0.5, "max_capacity": 4}, "deletion_protection": true,
        }));
        let differs = |there: Described| -> Vec<String> {
            let verdict = compared(Verdict::new(), &params, &Cluster::new(there));
            verdict.compared.into_iter().filter(|c| !c.holds()).map(|c| c.what).collect()
        };
        assert!(differs(there().build()).is_empty(), "{:?}", differs(there().build()));
        assert_eq!(differs(there().engine_version("17.1").build()), ["engine_version"]);
        assert_eq!(differs(there().status("inaccessible-encryption-credentials").build()), ["status"]);
        assert_eq!(differs(there().deletion_protection(false).build()), ["deletion_protection"]);
        assert_eq!(differs(there().db_subnet_group("other").build()), ["db_subnet_group_name"]);
        let less = ServerlessV2ScalingConfigurationInfo::builder().min_capacity(0.5).max_capacity(2.0).build();
        assert_eq!(differs(there().serverless_v2_scaling_configuration(less).build()), ["max_capacity"]);
        let groups = Some(Vec::new());
        assert_eq!(differs(there().set_vpc_security_groups(groups).build()), ["vpc_security_group_ids"]);
    }

    #[test]
    fn what_is_observed_holds_no_secret() {
        let text = observed(&Cluster::new(there().build())).to_string();
        assert!(!text.contains("secret") && text.contains("16.6"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_password_goes_into_the_call_and_nowhere_else() {
        let secret = SecretRef { source: "DB".into(), version: None, fingerprint: "f".into() };
        let given = Secrets::new([(secret.clone(), "hunter2!hunter2!".into())]);
        let refused = Answer::Reply(
            400,
            "<ErrorResponse><Error><Code>InvalidParameterValue</Code>\
             <Message>hunter2!hunter2! is not a password.</Message></Error></ErrorResponse>",
        );
        let script = Script::new([refused]);
        let (cx, watch) = knowing("db", script.config(), given).await;
        let params = params(json!({"master_user_password": secret, "manage_master_user_password": null}));
        let error = DbCluster.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert!(error.message.ends_with("was refused: (secret) is not a password"), "{error}");
        assert!(!format!("{error:?} {:?}", watch.calls.lock().unwrap()).contains("hunter2"));

        let script = Script::new([]);
        let (cx, _) = knowing("db", script.config(), Secrets::none()).await;
        let error = DbCluster.create(&cx, &params, &Absent {}).await.unwrap_err();
        assert_eq!((error.class, script.requests()), (ErrorClass::Unavailable, 0));
    }
}
