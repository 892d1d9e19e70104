//! RDS: databases and what they need.
//!
//! The emulator holds what exists; what its state has no field for are facts of the notes, by ARN. A password is checked
//! and dropped: it reaches neither the emulator nor a note. Databases take `slow` to be made and to go; until one is
//! gone its name is taken, and it holds what it holds.

mod catalog;
mod cluster;
mod endpoint;
mod engine;
mod form;
mod instance;
mod parameter_group;
mod snapshot;
mod subnet_group;
mod tags;

use serde_json::Value;

use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::picture::kms::Key;
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let params = input.params()?;
    let inner = match input.action.as_str() {
        "CreateDBSubnetGroup" => subnet_group::create(desk, params).await,
        "DescribeDBSubnetGroups" => subnet_group::describe(desk, params),
        "ModifyDBSubnetGroup" => subnet_group::modify(desk, params).await,
        "DeleteDBSubnetGroup" => subnet_group::delete(desk, params).await,
        "CreateDBClusterParameterGroup" => parameter_group::create(desk, params).await,
        "DescribeDBClusterParameterGroups" => parameter_group::describe(desk, params),
        "ModifyDBClusterParameterGroup" => parameter_group::modify(desk, params),
        "ResetDBClusterParameterGroup" => parameter_group::reset(desk, params),
        "DescribeDBClusterParameters" => parameter_group::describe_parameters(desk, params),
        "DeleteDBClusterParameterGroup" => parameter_group::delete(desk, params).await,
        "CreateDBCluster" => cluster::create(desk, params).await,
        "DescribeDBClusters" => cluster::describe(desk, params),
        "ModifyDBCluster" => cluster::modify(desk, params).await,
        "DeleteDBCluster" => cluster::delete(desk, params).await,
        "DescribeDBClusterEndpoints" => endpoint::describe(desk, params),
        "CreateDBInstance" => instance::create(desk, params).await,
        "DescribeDBInstances" => instance::describe(desk, params),
        "ModifyDBInstance" => instance::modify(desk, params).await,
        "DeleteDBInstance" => instance::delete(desk, params).await,
        "CreateDBClusterSnapshot" => snapshot::create(desk, params, snapshot::CLUSTER).await,
        "CreateDBSnapshot" => snapshot::create(desk, params, snapshot::INSTANCE).await,
        "DescribeDBClusterSnapshots" => snapshot::describe(desk, params, snapshot::CLUSTER),
        "DescribeDBSnapshots" => snapshot::describe(desk, params, snapshot::INSTANCE),
        "DeleteDBClusterSnapshot" => snapshot::delete(desk, params, snapshot::CLUSTER).await,
        "DeleteDBSnapshot" => snapshot::delete(desk, params, snapshot::INSTANCE).await,
        "DescribeDBEngineVersions" => engine::describe(desk, params),
        "AddTagsToResource" => tags::add(desk, params).await,
        "RemoveTagsFromResource" => tags::remove(desk, params).await,
        "ListTagsForResource" => tags::list(desk, params),
        // What has no rules here yet.
        _ => return desk.pass_on(input).await,
    };
    inner.map(Answer::Inner)
}

/// The deletion of a cluster or an instance is over.
pub(super) async fn finish(desk: &mut Desk<'_>, arn: &str) -> Result<(), Refusal> {
    let name = form::name_in(arn);
    let call = if arn.contains(":cluster:") { cluster::finish(&name) } else { instance::finish(&name) };
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    Ok(())
}

/// Whether an instance has its network interface in this subnet.
pub(super) fn holds_subnet(desk: &Desk<'_>, subnet: &str) -> bool {
    let mut instances = desk.picture().rds.instances.values();
    instances.any(|it| text(desk, &it.arn, "subnet") == subnet)
}

/// Whether the network interface of an instance is in this security group. A cluster without instances has none.
pub(super) fn holds_group(desk: &Desk<'_>, group: &str) -> bool {
    let rds = &desk.picture().rds;
    rds.instances.values().any(|it| {
        let cluster = it.cluster.as_ref().and_then(|cluster| rds.clusters.get(cluster));
        cluster.map_or(&it.groups, |cluster| &cluster.groups).iter().any(|of| of == group)
    })
}

fn arn_of(desk: &Desk<'_>, kind: &str, name: &str) -> String {
    desk.place.arn(Service::Rds, &format!("{kind}:{name}"))
}

/// Keeps facts about a resource; null forgets one.
fn note<const N: usize>(desk: &mut Desk<'_>, arn: &str, facts: [(&'static str, Value); N]) {
    let held = desk.notes_mut().facts.entry(arn.to_owned()).or_default();
    for (name, value) in facts {
        if value.is_null() {
            held.remove(name);
        } else {
            held.insert(name, value);
        }
    }
}

/// A fact that is text; empty when it is not there.
fn text(desk: &Desk<'_>, arn: &str, name: &str) -> String {
    desk.notes().fact(arn, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A fact that is a list of texts.
fn texts(desk: &Desk<'_>, arn: &str, name: &str) -> Vec<String> {
    let held = desk.notes().fact(arn, name).and_then(Value::as_array);
    held.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A fact that is true.
fn is(desk: &Desk<'_>, arn: &str, name: &str) -> bool {
    desk.notes().fact(arn, name).and_then(Value::as_bool) == Some(true)
}

/// Where a database stands. Snapshots use it too: they are never `deleting`.
fn status(desk: &Desk<'_>, arn: &str) -> &'static str {
    if desk.is_ending(arn) {
        "deleting"
    } else if desk.is_pending(arn) {
        "creating"
    } else {
        "available"
    }
}

/// The part of host names that is the same for all databases of an account in a region.
fn domain(desk: &Desk<'_>) -> String {
    let place = desk.place;
    let names = place.account.bytes().chain(place.region.bytes());
    let hash =
        names.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("c{}.{}.rds.amazonaws.com", &format!("{hash:016x}")[..11], place.region)
}

/// The id that a resource keeps for its life, whatever it is called; another one of the same name has another.
fn resource_id(desk: &Desk<'_>, prefix: &str, arn: &str) -> String {
    let number = desk.notes().numbers.get(arn).copied().unwrap_or_default();
    format!("{prefix}-{number:0>26}")
}

/// The key that storage is encrypted with, as an ARN; `None` when it is not encrypted.
fn key(desk: &Desk<'_>, encrypted: bool, given: Option<&str>) -> Result<Option<String>, Refusal> {
    match given {
        None => Ok(encrypted.then(|| desk.place.arn(Service::Kms, "key/5b0c5b0c-0000-4000-8000-000000000d8d"))),
        Some(given) => {
            let enabled = |key: &&Key| key.state == "Enabled";
            let key = super::kms::key_named(desk, given).map(|(_, key)| key).filter(enabled).ok_or_else(|| {
                Refusal::new(
                    "KMSKeyNotAccessibleFault",
                    format!(
                        "The specified KMS key [{given}] does not exist, is not enabled or you do not have permissions \
                         to access it."
                    ),
                )
            })?;
            Ok(Some(key.arn.clone()))
        }
    }
}

/// The security groups of a database: they exist and are in its VPC. None given: the default group of the VPC.
fn security_groups(desk: &Desk<'_>, given: &[&str], vpc: &str) -> Result<Vec<String>, Refusal> {
    let all = &desk.ec2().groups;
    for id in given {
        let Some(group) = all.get(*id) else {
            return Err(Refusal::invalid(format!("Invalid security group , groupId= {id}, groupName=.")));
        };
        if group.vpc != vpc {
            return Err(Refusal::new(
                "InvalidParameterCombination",
                format!(
                    "The DB instance and EC2 security group are in different VPCs. The DB instance is in {vpc} and \
                     the EC2 security group is in {}",
                    group.vpc
                ),
            ));
        }
    }
    if given.is_empty() {
        let own = all.iter().filter(|(_, group)| group.vpc == vpc && group.is_default());
        return Ok(own.map(|(id, _)| id.clone()).collect());
    }
    Ok(given.iter().map(|id| (*id).to_owned()).collect())
}

/// The subnet group that a new database is put into. A sandbox has no default VPC, so there is no default group.
fn subnet_group(desk: &Desk<'_>, given: Option<&str>) -> Result<String, Refusal> {
    let Some(name) = given else {
        return Err(Refusal::new("InvalidSubnet", "No default subnet detected in VPC."));
    };
    let name = form::name_in(name);
    subnet_group::find(desk, &name)?;
    Ok(name)
}

/// The logs that go to CloudWatch: the engine must have them.
fn logs(given: Vec<&str>, version: &catalog::Version) -> Result<Vec<String>, Refusal> {
    let unknown: Vec<&str> = given.iter().copied().filter(|log| !version.logs().contains(log)).collect();
    if unknown.is_empty() {
        return Ok(given.into_iter().map(str::to_owned).collect());
    }
    Err(Refusal::new(
        "InvalidParameterCombination",
        format!(
            "You cannot use the log types '{}' with engine version {} {}. For supported log types, see the \
             documentation.",
            unknown.join(", "),
            version.engine,
            version.version
        ),
    ))
}
