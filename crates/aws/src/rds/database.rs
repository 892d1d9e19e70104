//! What clusters and instances do alike: what their states mean, which versions are the same, and the way
//! back.
//!
//! The way back keeps the data: unless the step was told to skip it, RDS makes a final snapshot while it
//! deletes. Its name follows from run, generation and database, so that a rollback that is repeated asks for the
//! same one:
//!
//! ```text
//! delete, with the snapshot ──► `deleting`, the snapshot is made ──► gone
//!        │                            ▲
//!        │ reply lost, or crash       │ a repeat sees `deleting` and waits
//!        ▼                            │
//! a repeat sees the database as it was: delete, with the snapshot ──► refused: that snapshot exists
//!                                                                          │ it is complete, and of this very
//!                                                                          ▼ database: delete without one
//! ```
//!
//! Steps are undone in reverse, so whatever of this run wrote to the database has been undone before its
//! snapshot is made.

use std::future::Future;
use std::time::Duration;

use aws_sdk_rds::types::DbEngineVersion;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use switchback_engine::{Cx, Undo, Verdict};
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

use super::client;
use super::db_instance::Instance;
use crate::context::AwsContext;
use crate::errors::{Call, is_not_found, op_error};
use crate::named::{self, Named};
use crate::tags;

/// How long `create`, `settle` and `verify` may take together. A cluster takes minutes, a Multi-AZ instance up to
/// half an hour.
pub(super) const CREATE_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// How long `rollback` may take: the final snapshot of a large database is the long part.
pub(super) const ROLLBACK_DEADLINE: Duration = Duration::from_secs(2 * 60 * 60);
/// How many versions an error lists.
const NEAR_VERSIONS: usize = 8;

/// What RDS calls a database that is being deleted.
pub(super) const DELETING: &str = "deleting";
const CREATING: &str = "creating";

/// Whether it is in a state that it does not leave by itself, and in which it serves nobody.
fn is_dead_end(status: &str) -> bool {
    status.contains("failed")
        || status.starts_with("incompatible-")
        || status.starts_with("inaccessible-")
        || matches!(status, "insufficient-capacity" | "restore-error" | "storage-full" | "stopped" | DELETING)
}

/// While waiting for it: whether it is available by now.
///
/// # Errors
/// Class `Permanent` when it will not be.
pub(super) fn is_available<D: Database>(name: &str, db: &D) -> OpResult<bool> {
    let status = db.status();
    if is_dead_end(status) {
        return Err(OpError::permanent(format!("{} `{name}` is `{status}`, and will not be `available`", D::WHAT))
            .with_hint("the events of the database in the RDS console say why"));
    }
    Ok(status == "available")
}

/// The status as `verify` compares it. RDS backs up, maintains and modifies by itself what goes on serving.
pub(super) fn compared_status(status: &str) -> &str {
    let serves = !is_dead_end(status) && !matches!(status, CREATING | "starting" | "stopping" | "unknown");
    if serves { "available" } else { status }
}

/// The part of a version that RDS never moves by itself: `16` of `16.4`, `8.0` of `8.0.mysql_aurora.3.05.2`.
pub(super) fn major<'a>(engine: &str, version: &'a str) -> &'a str {
    let numbers = if engine.contains("postgres") || engine.starts_with("oracle") { 1 } else { 2 };
    version.match_indices('.').nth(numbers - 1).map_or(version, |(end, _)| &version[..end])
}

/// The version that `verify` compares: as asked for where it is the same major one.
pub(super) fn compared_version<'a>(engine: &str, wanted: &'a str, there: &'a str) -> &'a str {
    if major(engine, wanted) == major(engine, there) { wanted } else { there }
}

/// Refuses a master password that RDS would refuse, as far as its rules are known, where this process has it. The
/// error says nothing of the value.
///
/// # Errors
/// Class `Permanent` when it is too short or too long, or holds what RDS does not take.
pub(super) fn check_password(cx: &Cx, of: Option<&SecretRef>) -> OpResult<()> {
    let Some(value) = of.and_then(|of| cx.secret(of).ok()) else { return Ok(()) };
    let value = value.expose_secret();
    // The most that any engine takes; that some take fewer, the create call says.
    let fits = (8..=128).contains(&value.chars().count())
        && value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | '"' | '@'));
    if fits {
        return Ok(());
    }
    let message = "the master password is not one that RDS takes";
    Err(OpError::permanent(message).with_hint(
        "8 to 41 (MySQL), 99 (Aurora PostgreSQL) or 128 printable ASCII characters, without `/`, `\"`, `@` and spaces",
    ))
}

/// Refuses an engine version that the region does not have, and says which there are near it. Where the list
/// cannot be read, the create call says it.
///
/// # Errors
/// Class `Permanent` when there is no such version.
pub(super) async fn check_engine(cx: &Cx, engine: &str, version: Option<&str>) -> OpResult<()> {
    let Some(version) = version else { return Ok(()) };
    match versions(cx, engine, Some(version)).await {
        Ok(found) if found.is_empty() => {}
        Err(e) if e.class == ErrorClass::Unavailable => return Err(e),
        _ => return Ok(()),
    }
    let there = near(engine, version, &versions(cx, engine, None).await?);
    let region = cx.get::<AwsContext>()?.region();
    let error = OpError::permanent(format!("there is no version {version} of `{engine}` in {region}"));
    Err(error.with_hint(if there.is_empty() {
        format!("RDS knows no version of `{engine}` there: check the name of the engine")
    } else {
        format!("there are {}", there.join(", "))
    }))
}

async fn versions(cx: &Cx, engine: &str, version: Option<&str>) -> OpResult<Vec<String>> {
    let call = client(cx)?.describe_db_engine_versions().engine(engine).set_engine_version(version.map(str::to_owned));
    let found: Result<Vec<DbEngineVersion>, _> = call.into_paginator().items().send().try_collect().await;
    match found.map_err(|e| op_error(Call::new("rds:DescribeDBEngineVersions", engine), e)) {
        Ok(found) => Ok(found.iter().filter_map(|v| v.engine_version().map(str::to_owned)).collect()),
        // What it cannot find it says in this way too.
        Err(e) if is_not_found(&e) || e.code.as_deref() == Some("InvalidParameterCombination") => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// The newest versions of the same major one, else the newest of all.
fn near(engine: &str, version: &str, there: &[String]) -> Vec<String> {
    let same: Vec<String> = there.iter().filter(|v| major(engine, v) == major(engine, version)).cloned().collect();
    let of = if same.is_empty() { there } else { &same };
    of[of.len().saturating_sub(NEAR_VERSIONS)..].to_vec()
}

/// Compares what was asked for, and nothing where nothing was.
pub(super) fn compare_if(
    verdict: Verdict,
    what: &str,
    want: Option<impl Into<Value>>,
    got: impl Into<Value>,
) -> Verdict {
    match want {
        Some(want) => verdict.compare(what, want, got),
        None => verdict,
    }
}

/// A snapshot, as far as the way back asks.
pub(super) struct Snapshot {
    /// `creating`, `available`, `failed`.
    pub(super) status: String,
    /// The database that it is of.
    pub(super) of: String,
    /// The id of that database, which is never used again; where RDS gives it.
    pub(super) resource_id: Option<String>,
}

/// A cluster or an instance.
pub(super) trait Database: Named {
    /// With which code RDS says that a snapshot of that name is there.
    const SNAPSHOT_EXISTS: &'static str;

    /// `available`, `creating`.
    fn status(&self) -> &str;
    /// The id that is never used again.
    fn resource_id(&self) -> &str;
    /// Whether it is protected against deletion.
    fn is_protected(&self) -> bool;
    /// Whether RDS can make a snapshot of it as it is.
    fn can_be_snapshotted(&self) -> bool;
    /// The instances that hang on it: members of a cluster, replicas of an instance.
    fn dependants(&self) -> Vec<String>;

    /// Switches the protection off.
    fn unprotect(cx: &Cx, name: &str) -> impl Future<Output = OpResult<()>> + Send;
    /// Deletes it, with a snapshot of that name if there is one.
    fn delete(cx: &Cx, name: &str, end: &Ending, snapshot: Option<&str>) -> impl Future<Output = OpResult<()>> + Send;
    /// The snapshot of that name.
    fn snapshot(cx: &Cx, name: &str) -> impl Future<Output = OpResult<Option<Snapshot>>> + Send;
}

/// How a database is to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// Whether the step switched the protection on, so that it may switch it off.
    pub(super) unprotect: bool,
    /// Without a final snapshot.
    pub(super) skip_final_snapshot: bool,
    /// Whether automated backups go with it; none: RDS's default, which is yes.
    pub(super) delete_automated_backups: Option<bool>,
    /// It is a member of a cluster, which has the data.
    pub(super) member: bool,
}

/// The name of the final snapshot of what this run made under that name.
pub(super) fn final_snapshot(cx: &Cx, name: &str) -> String {
    format!("{name}-final-{}-g{}", cx.run(), cx.generation())
}

/// An ARN of RDS with its place left open, for a policy. RDS lower-cases names.
pub(super) fn arn(kind: &str, name: &str) -> String {
    format!("arn:{{partition}}:rds:{{region}}:{{account}}:{kind}:{}", name.to_lowercase())
}

/// The ARN of a group that it is made with; where none is named, of RDS's own: an action wants permission
/// for those too.
pub(super) fn arn_of_group(kind: &str, name: Option<&str>) -> String {
    arn(kind, name.unwrap_or("default*"))
}

/// The final snapshot as residue, with the run and the generation left open.
pub(super) fn final_snapshot_residue(what: &str, name: &str) -> String {
    format!("the final {what} snapshot `{name}-final-{{run}}-g{{generation}}` stays until someone deletes it")
}

/// What `verify` of an undone step adds to what it observed.
///
/// # Errors
/// Those of the read.
pub(super) async fn observed_snapshot<D: Database>(cx: &Cx, name: &str, end: &Ending) -> OpResult<Value> {
    if end.skip_final_snapshot || end.member {
        return Ok(Value::Null);
    }
    let id = final_snapshot(cx, name);
    let there = D::snapshot(cx, &id).await?;
    Ok(json!({ "final_snapshot": there.map(|s| json!({ "identifier": id, "status": s.status })) }))
}

/// Deletes what this step made and waits until it is gone.
///
/// # Errors
/// Class `Drift` when it is another's, when others hang something on it or protect it.
pub(super) async fn roll_back<D: Database>(cx: &Cx, name: &str, resource_id: &str, end: &Ending) -> OpResult<Undo> {
    let doing = format!("waiting until {} `{name}` is made, so that it can be deleted", D::WHAT);
    let look = || async {
        Ok(match ours_of_id::<D>(cx, name, resource_id).await? {
            Some(db) if db.status() == CREATING => None,
            there => Some(there),
        })
    };
    let Some(mut db) = cx.wait_for(&doing, named::POLL, look).await? else { return Ok(Undo::Nothing) };
    if db.status() != DELETING {
        refuse_foreign_dependants(cx, name, &db).await?;
        if db.is_protected() {
            if !end.unprotect {
                return Err(OpError::drift(format!(
                    "{} is protected against deletion, and not by this step",
                    named::described(cx, name, &db)
                ))
                .with_hint("switch its deletion protection off and `switchback unwind` again"));
            }
            match unprotected::<D>(cx, name, resource_id).await? {
                Some(now) => db = now,
                None => return Ok(Undo::Nothing),
            }
        }
    }
    if db.status() != DELETING && !delete(cx, name, &db, end).await? {
        return Ok(Undo::Nothing);
    }
    named::wait_until_gone::<D>(cx, name, named::POLL).await?;
    Ok(Undo::Done)
}

/// What has the name if this step made it: by its tags, and by the id that a restored copy of it, tags and
/// all, does not have.
async fn ours_of_id<D: Database>(cx: &Cx, name: &str, resource_id: &str) -> OpResult<Option<D>> {
    let there = named::ours::<D>(cx, name).await?;
    if let Some(db) = there.as_ref().filter(|db| db.resource_id() != resource_id) {
        return Err(OpError::drift(format!(
            "{} is not the one that this step made, which was {resource_id}",
            named::described(cx, name, db)
        )));
    }
    Ok(there)
}

/// A database is deleted with what hangs on it or not at all. What is of this run is gone by now or on its
/// way; others lose nothing without being asked.
async fn refuse_foreign_dependants<D: Database>(cx: &Cx, name: &str, db: &D) -> OpResult<()> {
    let mut foreign = Vec::new();
    for id in db.dependants() {
        // An ARN is of another region, where this run's account is not looked at.
        let there = if id.starts_with("arn:") { None } else { Instance::read(cx, &id).await? };
        match there {
            None if !id.starts_with("arn:") => {}
            Some(i) if tags::are_of_run(cx, i.tags()) || i.status() == DELETING => {}
            _ => foreign.push(id),
        }
    }
    if foreign.is_empty() {
        return Ok(());
    }
    Err(OpError::drift(format!(
        "DB instances that this run did not make hang on {}: {}",
        named::described(cx, name, db),
        foreign.join(", ")
    ))
    .with_hint("remove them and `switchback unwind` again"))
}

/// Switches the protection off and waits until that is seen: a delete that comes too early is refused for
/// good.
async fn unprotected<D: Database>(cx: &Cx, name: &str, resource_id: &str) -> OpResult<Option<D>> {
    D::unprotect(cx, name).await?;
    let look = || async {
        let there = ours_of_id::<D>(cx, name, resource_id).await?;
        Ok((!there.as_ref().is_some_and(D::is_protected)).then_some(there))
    };
    cx.wait_for(&format!("waiting until {} `{name}` is no longer protected", D::WHAT), named::POLL, look).await
}

/// Deletes it; false when it was not there.
async fn delete<D: Database>(cx: &Cx, name: &str, db: &D, end: &Ending) -> OpResult<bool> {
    let skip = end.skip_final_snapshot || end.member || !db.can_be_snapshotted();
    let snapshot = (!skip).then(|| final_snapshot(cx, name));
    let mut deleted = D::delete(cx, name, end, snapshot.as_deref()).await;
    if let (Some(snapshot), Err(e)) = (&snapshot, &deleted)
        && e.code.as_deref() == Some(D::SNAPSHOT_EXISTS)
    {
        await_own_snapshot(cx, name, db, snapshot).await?;
        deleted = match ours_of_id::<D>(cx, name, db.resource_id()).await? {
            None => return Ok(false),
            // The attempt that made the snapshot goes on.
            Some(now) if now.status() == DELETING => return Ok(true),
            Some(_) => D::delete(cx, name, end, None).await,
        };
    }
    match deleted {
        Ok(()) => Ok(true),
        Err(e) if is_not_found(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Waits until the final snapshot that an earlier attempt asked for is complete.
///
/// # Errors
/// Class `Drift` when it is of something else, or was not completed.
async fn await_own_snapshot<D: Database>(cx: &Cx, name: &str, db: &D, id: &str) -> OpResult<()> {
    let look = || async {
        let Some(there) = D::snapshot(cx, id).await? else { return Ok(None) };
        let same =
            there.of.eq_ignore_ascii_case(name) && there.resource_id.as_deref().is_none_or(|of| of == db.resource_id());
        if !same {
            return Err(OpError::drift(format!("the snapshot `{id}` is there and is not of {} `{name}`", D::WHAT)));
        }
        if is_dead_end(&there.status) {
            return Err(OpError::drift(format!("the final snapshot `{id}` is `{}`", there.status))
                .with_hint("delete that snapshot and `switchback unwind` again, which makes another"));
        }
        Ok((there.status == "available").then_some(()))
    };
    cx.wait_for(&format!("waiting until the final snapshot `{id}` is complete"), named::POLL, look).await
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::super::db_cluster::Cluster;
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const KEEP: Ending =
        Ending { unprotect: false, skip_final_snapshot: false, delete_automated_backups: None, member: false };
    const GONE: Answer = refused("DBClusterNotFoundFault");
    const DELETED: Answer =
        Answer::Reply(200, "<DeleteDBClusterResponse><DeleteDBClusterResult/></DeleteDBClusterResponse>");

    const fn refused(code: &'static str) -> Answer {
        match code.as_bytes() {
            b"DBClusterNotFoundFault" => {
                Answer::Reply(404, "<ErrorResponse><Error><Code>DBClusterNotFoundFault</Code></Error></ErrorResponse>")
            }
            _ => Answer::Reply(
                400,
                "<ErrorResponse><Error><Code>DBClusterSnapshotAlreadyExistsFault</Code></Error></ErrorResponse>",
            ),
        }
    }

    /// The run and generation of [`watched`], with this step.
    fn tags(step: &str) -> String {
        let run = "00000000-0000-0000-0000-000000000007";
        let tag = |(key, value)| format!("<Tag><Key>switchback:{key}</Key><Value>{value}</Value></Tag>");
        [("run", run), ("step", step), ("generation", "1")].map(tag).concat()
    }

    /// A cluster `app` of the step `db` with those fields.
    fn cluster(fields: &str) -> Answer {
        let text = format!(
            "<DescribeDBClustersResponse><DescribeDBClustersResult><DBClusters><DBCluster><DBClusterIdentifier>app</DBClusterIdentifier>{fields}\
             <TagList>{}</TagList></DBCluster></DBClusters></DescribeDBClustersResult></DescribeDBClustersResponse>",
            tags("db")
        );
        Answer::Reply(200, text.leak())
    }

    fn state(status: &str) -> Answer {
        cluster(&format!("<Status>{status}</Status><DbClusterResourceId>cluster-1</DbClusterResourceId>"))
    }

    fn snapshot(status: &str, resource_id: &str) -> Answer {
        let text = format!(
            "<DescribeDBClusterSnapshotsResponse><DescribeDBClusterSnapshotsResult><DBClusterSnapshots><DBClusterSnapshot>\
             <DBClusterSnapshotIdentifier>{FINAL}</DBClusterSnapshotIdentifier>\
             <DBClusterIdentifier>app</DBClusterIdentifier><Status>{status}</Status>\
             <DbClusterResourceId>{resource_id}</DbClusterResourceId></DBClusterSnapshot></DBClusterSnapshots>\
             </DescribeDBClusterSnapshotsResult></DescribeDBClusterSnapshotsResponse>"
        );
        Answer::Reply(200, text.leak())
    }

    const FINAL: &str = "app-final-00000000-0000-0000-0000-000000000007-g1";

    /// Rolls `app` back against the script: what came of it, and the calls.
    async fn undo(answers: impl IntoIterator<Item = Answer>, end: Ending) -> (OpResult<Undo>, Vec<String>) {
        let script = Script::new(answers);
        let (cx, watch) = watched("db", script.config()).await;
        let undone = roll_back::<Cluster>(&cx, "app", "cluster-1", &end).await;
        let calls = watch.calls.lock().unwrap().iter().map(|c| c.operation.clone()).collect();
        (undone, calls)
    }

    const LOOK: &str = "DescribeDBClusters";
    const DELETE: &str = "DeleteDBCluster";
    const SNAPSHOTS: &str = "DescribeDBClusterSnapshots";

    #[tokio::test(start_paused = true)]
    async fn a_cluster_is_deleted_and_waited_for() {
        let (undone, calls) =
            undo([state("available"), DELETED, state("deleting"), state("deleting"), GONE], KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, DELETE, LOOK, LOOK, LOOK]);
        let (undone, calls) = undo([GONE], KEEP).await;
        assert_eq!(undone, Ok(Undo::Nothing));
        assert_eq!(calls, [LOOK]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_made_is_waited_for_and_one_that_is_being_deleted_is_not_deleted_again() {
        let (undone, calls) =
            undo([state("creating"), state("creating"), state("available"), DELETED, GONE], KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, LOOK, LOOK, DELETE, LOOK]);
        let (undone, calls) = undo([state("deleting"), GONE], KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, LOOK]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_snapshot_of_an_earlier_attempt_is_accepted_once_it_is_complete() {
        let exists = || refused("DBClusterSnapshotAlreadyExistsFault");
        let repeat = [
            state("available"),
            exists(),
            snapshot("creating", "cluster-1"),
            snapshot("available", "cluster-1"),
            state("available"),
            DELETED,
            GONE,
        ];
        let (undone, calls) = undo(repeat, KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, DELETE, SNAPSHOTS, SNAPSHOTS, LOOK, DELETE, LOOK]);

        // The attempt that made it goes on.
        let late = [state("available"), exists(), snapshot("available", "cluster-1"), state("deleting"), GONE];
        let (undone, calls) = undo(late, KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, DELETE, SNAPSHOTS, LOOK, LOOK]);

        for there in [snapshot("available", "cluster-2"), snapshot("failed", "cluster-1")] {
            let (undone, calls) = undo([state("available"), exists(), there], KEEP).await;
            assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
            assert_eq!(calls, [LOOK, DELETE, SNAPSHOTS], "nothing is deleted without a snapshot");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn protection_is_switched_off_by_who_switched_it_on() {
        let protected = |on: bool| {
            cluster(&format!(
                "<Status>available</Status><DbClusterResourceId>cluster-1</DbClusterResourceId>\
                 <DeletionProtection>{on}</DeletionProtection>"
            ))
        };
        let (undone, calls) = undo([protected(true)], KEEP).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(calls, [LOOK]);
        let modified =
            Answer::Reply(200, "<ModifyDBClusterResponse><ModifyDBClusterResult/></ModifyDBClusterResponse>");
        let answers = [protected(true), modified, protected(true), protected(false), DELETED, GONE];
        let (undone, calls) = undo(answers, Ending { unprotect: true, ..KEEP }).await;
        assert_eq!(undone, Ok(Undo::Done));
        assert_eq!(calls, [LOOK, "ModifyDBCluster", LOOK, LOOK, DELETE, LOOK]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_made_stops_it() {
        // A copy that was restored under the name, tags and all.
        let copy = cluster("<Status>available</Status><DbClusterResourceId>cluster-2</DbClusterResourceId>");
        let (undone, calls) = undo([copy], KEEP).await;
        assert_eq!(undone.unwrap_err().class, ErrorClass::Drift);
        assert_eq!(calls, [LOOK]);

        let member = |tags: &str| {
            let text = format!(
                "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceIdentifier>app-1</DBInstanceIdentifier>\
                 <TagList>{tags}</TagList></DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>"
            );
            Answer::Reply(200, text.leak())
        };
        let with_member = || {
            cluster(
                "<Status>available</Status><DbClusterResourceId>cluster-1</DbClusterResourceId><DBClusterMembers>\
                 <DBClusterMember><DBInstanceIdentifier>app-1</DBInstanceIdentifier></DBClusterMember></DBClusterMembers>",
            )
        };
        let (undone, calls) = undo([with_member(), member("")], KEEP).await;
        let error = undone.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(error.message.contains("app-1"), "{error}");
        assert_eq!(calls, [LOOK, "DescribeDBInstances"]);
        // This run's own is on its way; RDS says when it is gone.
        let (undone, _) = undo([with_member(), member(&tags("other")), DELETED, GONE], KEEP).await;
        assert_eq!(undone, Ok(Undo::Done));
    }

    #[test]
    fn states_have_their_meaning() {
        let is_available = |status: &str| {
            let there = aws_sdk_rds::types::DbCluster::builder().status(status).build();
            super::is_available("app", &Cluster::new(there))
        };
        assert_eq!(is_available("available"), Ok(true));
        let failed = is_available("failed").unwrap_err();
        assert_eq!(failed.message, "DB cluster `app` is `failed`, and will not be `available`");
        for status in ["creating", "backing-up", "modifying", "configuring-enhanced-monitoring", "starting"] {
            assert_eq!(is_available(status), Ok(false), "{status}");
        }
        for status in [
            "failed",
            "migration-failed",
            "incompatible-network",
            "inaccessible-encryption-credentials",
            "insufficient-capacity",
            "deleting",
            "stopped",
        ] {
            assert!(is_available(status).is_err(), "{status}");
            assert_eq!(compared_status(status), status);
        }
        for status in ["available", "backing-up", "maintenance", "upgrading", "storage-optimization"] {
            assert_eq!(compared_status(status), "available", "{status}");
        }
        assert_eq!(compared_status("creating"), "creating");
    }

    #[test]
    fn a_minor_version_that_rds_moved_is_the_same() {
        for (engine, wanted, there, same) in [
            ("aurora-postgresql", "16.4", "16.6", true),
            ("aurora-postgresql", "16", "16.6", true),
            ("aurora-postgresql", "15.4", "16.1", false),
            ("postgres", "16.4", "16.4", true),
            ("aurora-mysql", "8.0.mysql_aurora.3.05.2", "8.0.mysql_aurora.3.08.0", true),
            ("mysql", "8.0.35", "8.4.1", false),
            ("mariadb", "10.11.6", "10.11.9", true),
        ] {
            let compared = compared_version(engine, wanted, there);
            assert_eq!(compared == wanted, same, "{engine}: {wanted}, {there}");
        }
        assert_eq!(compared_version("postgres", "15.4", "16.1"), "16.1");
    }

    #[test]
    fn versions_near_the_one_that_is_not_there_are_listed() {
        let there: Vec<String> = ["14.9", "15.4", "15.5", "16.1"].map(str::to_owned).into();
        assert_eq!(near("aurora-postgresql", "15.99", &there), ["15.4", "15.5"]);
        assert_eq!(near("aurora-postgresql", "9.6", &there), there);
        let many: Vec<String> = (0..20).map(|n| format!("16.{n}")).collect();
        assert_eq!(near("postgres", "16.99", &many), many[12..]);
    }
}
