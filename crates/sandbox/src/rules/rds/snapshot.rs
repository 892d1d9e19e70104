//! Snapshots of clusters and of instances that stand alone.
//!
//! Mended: the emulator makes no final snapshots and finishes every other at once.

use super::super::Desk;
use super::form::{self, list, write_tags};
use super::{arn_of, cluster, instance, resource_id, status};
use crate::picture::rds::Snapshot;
use crate::query::{Params, Tags};
use crate::refusal::Refusal;
use crate::service::Service;
use crate::xml::Xml;

/// What differs between the two kinds: the names of things on the wire.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// `DBClusterSnapshot`: also the prefix of actions and members.
    name: &'static str,
    /// The parameter and member that names what it was taken of.
    of: &'static str,
    /// In its ARNs.
    arn: &'static str,
    /// In the ARNs and in the ids of what it was taken of.
    of_arn: &'static str,
    /// The member that has that id.
    of_id: &'static str,
    exists: &'static str,
    not_found: &'static str,
    busy: &'static str,
    is_cluster: bool,
}

pub(super) const CLUSTER: Kind = Kind {
    name: "DBClusterSnapshot",
    of: "DBClusterIdentifier",
    arn: "cluster-snapshot",
    of_arn: "cluster",
    of_id: "DbClusterResourceId",
    exists: "DBClusterSnapshotAlreadyExistsFault",
    not_found: "DBClusterSnapshotNotFoundFault",
    busy: "InvalidDBClusterSnapshotStateFault",
    is_cluster: true,
};

pub(super) const INSTANCE: Kind = Kind {
    name: "DBSnapshot",
    of: "DBInstanceIdentifier",
    arn: "snapshot",
    of_arn: "db",
    of_id: "DbiResourceId",
    exists: "DBSnapshotAlreadyExists",
    not_found: "DBSnapshotNotFound",
    busy: "InvalidDBSnapshotState",
    is_cluster: false,
};

impl Kind {
    fn identifier(self) -> String {
        format!("{}Identifier", self.name)
    }

    fn all<'a>(self, desk: &'a Desk<'_>) -> &'a std::collections::BTreeMap<String, Snapshot> {
        let rds = &desk.picture().rds;
        if self.is_cluster { &rds.cluster_snapshots } else { &rds.snapshots }
    }

    fn missing(self, name: &str) -> Refusal {
        Refusal::new(self.not_found, format!("{} {name} not found.", self.name)).with_status(404)
    }
}

/// The final snapshot that a delete call asks for; `None` when it says that there shall be none.
pub(super) fn last(desk: &Desk<'_>, params: &Params, kind: Kind) -> Result<Option<String>, Refusal> {
    let skip = params.flag("SkipFinalSnapshot")? == Some(true);
    let combination = |message: &'static str| Err(Refusal::new("InvalidParameterCombination", message));
    match params.get("FinalDBSnapshotIdentifier") {
        None if skip => Ok(None),
        None => combination("FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."),
        Some(_) if skip => {
            combination("FinalDBSnapshotIdentifier cannot be specified when SkipFinalSnapshot is enabled.")
        }
        Some(name) => {
            let name = form::check_identifier(name, "FinalDBSnapshotIdentifier", 255)?;
            check_free(desk, kind, &name)?;
            Ok(Some(name))
        }
    }
}

fn check_free(desk: &Desk<'_>, kind: Kind, name: &str) -> Result<(), Refusal> {
    if !kind.all(desk).contains_key(name) {
        return Ok(());
    }
    let what = if kind.is_cluster { "cluster snapshot" } else { "snapshot" };
    Err(Refusal::new(
        kind.exists,
        format!("Cannot create the {what} because one with the identifier {name} already exists."),
    ))
}

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params, kind: Kind) -> Result<String, Refusal> {
    let name = form::check_identifier(params.required(&kind.identifier())?, &kind.identifier(), 255)?;
    let of = form::named(params, kind.of)?;
    let tags = form::tags(params)?;
    let rds = &desk.picture().rds;
    if kind.is_cluster {
        let held = rds.clusters.get(&of).ok_or_else(|| cluster::not_found(&of))?;
        cluster::check_available(desk, &of, &held.arn)?;
    } else {
        let held = rds.instances.get(&of).ok_or_else(|| instance::not_found(&of))?;
        if held.cluster.is_some() {
            return Err(Refusal::invalid(
                "The specified instance is a member of a cluster and a snapshot cannot be created directly.",
            ));
        }
        instance::check_available(desk, &of, &held.arn)?;
    }
    check_free(desk, kind, &name)?;
    take(desk, kind, &name, &of, Some(&tags)).await?;
    let mut xml = Xml::new();
    if let Some(it) = kind.all(desk).get(&name) {
        xml.tag(kind.name, |xml| write(desk, xml, kind, &name, it));
    }
    Ok(xml.finish())
}

/// Takes a snapshot. A final one, which is given no tags, has those of what it is taken of when they are to be copied.
pub(super) async fn take(
    desk: &mut Desk<'_>,
    kind: Kind,
    name: &str,
    of: &str,
    tags: Option<&Tags>,
) -> Result<(), Refusal> {
    let rds = &desk.picture().rds;
    let copied = match kind.is_cluster {
        true => rds.clusters.get(of).filter(|it| it.copy_tags).map(|it| &it.tags),
        false => rds.instances.get(of).filter(|it| it.copy_tags).map(|it| &it.tags),
    };
    let mut all = copied.cloned().unwrap_or_default();
    all.extend(tags.cloned().unwrap_or_default());
    let call = Params::call(&format!("Create{}", kind.name)).with(kind.identifier(), name).with(kind.of, of);
    desk.emulator.act_on(Service::Rds, form::with_tags(call, &all)).await?;
    desk.look();
    let arn = arn_of(desk, kind.arn, name);
    let number = desk.notes().numbers.get(&arn_of(desk, kind.of_arn, of)).copied();
    desk.notes_mut().numbers.extend(number.map(|number| (arn.clone(), number)));
    desk.ready_after(&arn, desk.settings.slow());
    Ok(())
}

fn write(desk: &Desk<'_>, xml: &mut Xml, kind: Kind, name: &str, it: &Snapshot) {
    let is_ready = status(desk, &it.arn) == "available";
    xml.leaf(&kind.identifier(), name);
    xml.leaf(kind.of, &it.of);
    xml.leaf(&format!("{}Arn", kind.name), &it.arn);
    // It goes on saying whose it is when another database has the name.
    xml.leaf(kind.of_id, resource_id(desk, kind.of_arn, &it.arn));
    xml.leaf("Status", status(desk, &it.arn));
    xml.leaf("PercentProgress", if is_ready { 100 } else { 0 });
    xml.leaf("SnapshotType", "manual");
    xml.leaf("Engine", &it.engine);
    xml.leaf_if("EngineVersion", it.engine_version.as_ref());
    xml.leaf("AllocatedStorage", it.storage);
    xml.leaf_if("Port", it.port);
    xml.leaf_if("MasterUsername", it.master.as_ref());
    xml.leaf(if kind.is_cluster { "StorageEncrypted" } else { "Encrypted" }, it.key.is_some());
    xml.leaf_if("KmsKeyId", it.key.as_ref());
    xml.leaf_if("SnapshotCreateTime", it.created.as_ref());
    write_tags(xml, &it.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params, kind: Kind) -> Result<String, Refusal> {
    let (own, of) = if kind.is_cluster {
        ("db-cluster-snapshot-id", "db-cluster-id")
    } else {
        ("db-snapshot-id", "db-instance-id")
    };
    let filters = form::filters(params, &[own, of, "engine", "snapshot-type"])?;
    let wanted = params.get(&kind.identifier()).map(form::name_in);
    let taken_of = params.get(kind.of).map(form::name_in);
    let source = params.get("SnapshotType");
    if let Some(name) = wanted.as_ref().filter(|name| !kind.all(desk).contains_key(*name)) {
        return Err(kind.missing(name));
    }
    let found = kind.all(desk).iter().filter(|(name, it)| {
        let field = |filter: &str| match filter {
            "engine" => it.engine.clone(),
            "snapshot-type" => "manual".to_owned(),
            filter if filter == own => (*name).clone(),
            _ => it.of.clone(),
        };
        wanted.as_ref().is_none_or(|wanted| wanted == *name)
            && taken_of.as_ref().is_none_or(|of| *of == it.of)
            && source.is_none_or(|source| source == "manual")
            && form::pick(&filters, field)
    });
    let (found, next) = form::page(params, found.collect())?;
    let mut xml = Xml::new();
    xml.leaf_if("Marker", next);
    list(&mut xml, (&format!("{}s", kind.name), kind.name), found, |xml, (name, it)| write(desk, xml, kind, name, it));
    Ok(xml.finish())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params, kind: Kind) -> Result<String, Refusal> {
    let name = form::named(params, &kind.identifier())?;
    let held = kind.all(desk).get(&name).ok_or_else(|| kind.missing(&name))?;
    if status(desk, &held.arn) != "available" {
        return Err(Refusal::new(kind.busy, format!("Cannot delete the snapshot {name} because it is being created.")));
    }
    let mut xml = Xml::new();
    xml.tag(kind.name, |xml| write(desk, xml, kind, &name, held));
    let call = Params::call(&format!("Delete{}", kind.name)).with(kind.identifier(), &name);
    desk.emulator.act_on(Service::Rds, call).await?;
    desk.look();
    Ok(xml.finish())
}
