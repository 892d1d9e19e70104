//! Jobs, and the recovery points that they make.

use serde_json::{Value, json};

use super::{Desk, invalid, not_found, vault};
use crate::input::Body;
use crate::notes::Job;
use crate::picture::backup::{Point, PointOf};
use crate::query::check_tags;
use crate::refusal::Refusal;
use crate::service::Service;

/// What the ARNs of databases begin with: their backups are snapshots, and their jobs cannot be stopped.
const DATABASE: &str = "arn:aws:rds:";

pub(super) async fn start(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let vault = vault(desk, body)?.1.name.clone();
    let (resource, role) = (body.required("ResourceArn")?.to_owned(), body.required("IamRoleArn")?.to_owned());
    let tags = body.tag_map("RecoveryPointTags")?;
    check_tags(&tags)?;
    if !desk.picture().things().contains_key(resource.as_str()) {
        return Err(not_found(format!("Resource {resource} cannot be found")));
    }
    let trusts = |role: &crate::picture::iam::Role| role.trust.contains("backup.amazonaws.com");
    if !desk.role(&role).is_some_and(trusts) {
        return Err(invalid(format!("IAM Role {role} cannot be assumed by AWS Backup")));
    }
    let number = desk.notes_mut().next_made();
    let id = |kind: u32| format!("5b0c5b0c-{kind:04x}-4000-8000-{number:012x}");
    let (job, point) = (id(1), desk.place.arn(Service::Backup, &format!("recovery-point:{}", id(2))));
    let of = PointOf { vault, resource, role, job: job.clone() };
    desk.emulator.put_point(&point, &of, &tags).await;
    desk.look();
    desk.ready_after(&point, desk.settings.slow());
    desk.notes_mut().jobs.insert(job.clone(), Job { of, point, aborted: false });
    Ok(json!({"BackupJobId": job, "CreationDate": 0}))
}

pub(super) fn describe(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let id = body.required("BackupJobId")?;
    Ok(reply(desk, id, find(desk, id)?))
}

pub(super) fn list(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (vault, resource) = (body.text("backupVaultName")?, body.text("resourceArn")?);
    let is_asked = |job: &Job| {
        vault.is_none_or(|vault| vault == job.of.vault) && resource.is_none_or(|resource| resource == job.of.resource)
    };
    let jobs = desk.notes().jobs.iter().filter(|(_, job)| is_asked(job)).map(|(id, job)| reply(desk, id, job));
    Ok(json!({"BackupJobs": jobs.collect::<Vec<_>>()}))
}

pub(super) async fn stop(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let id = body.required("BackupJobId")?;
    let job = find(desk, id)?;
    if state(desk, job) != "RUNNING" {
        return Err(Refusal::new("InvalidRequestException", "The job is not running."));
    }
    if job.of.resource.starts_with(DATABASE) {
        return Err(Refusal::new("InvalidRequestException", "Jobs of this resource type cannot be stopped."));
    }
    let point = job.point.clone();
    desk.emulator.forget_tags(&point).await;
    desk.look();
    if let Some(job) = desk.notes_mut().jobs.get_mut(id) {
        job.aborted = true;
    }
    Ok(json!({}))
}

pub(super) fn list_points(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (_, vault) = vault(desk, body)?;
    let points = desk.picture().backup.inside(&vault.name).map(|(arn, point)| point_reply(desk, arn, point));
    Ok(json!({"RecoveryPoints": points.collect::<Vec<_>>()}))
}

pub(super) fn describe_point(desk: &Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, point) = find_point(desk, body)?;
    Ok(point_reply(desk, arn, point))
}

pub(super) async fn delete_point(desk: &mut Desk<'_>, body: &Body) -> Result<Value, Refusal> {
    let (arn, _) = find_point(desk, body)?;
    if desk.is_pending(arn) {
        return Err(Refusal::new("InvalidResourceStateException", "The recovery point is being made."));
    }
    let arn = arn.to_owned();
    desk.emulator.forget_tags(&arn).await;
    desk.look();
    Ok(json!({}))
}

fn find<'a>(desk: &'a Desk<'_>, id: &str) -> Result<&'a Job, Refusal> {
    desk.notes().jobs.get(id).ok_or_else(|| not_found(format!("Backup job {id} does not exist")))
}

fn find_point<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(&'a str, &'a Point), Refusal> {
    let (_, vault) = vault(desk, body)?;
    let arn = body.required("RecoveryPointArn")?;
    let mut inside = desk.picture().backup.inside(&vault.name);
    let found = inside.find(|(of, _)| *of == arn);
    found
        .map(|(arn, point)| (arn.as_str(), point))
        .ok_or_else(|| not_found(format!("Failed reading Recovery point: {arn}")))
}

fn state(desk: &Desk<'_>, job: &Job) -> &'static str {
    match job.aborted {
        true => "ABORTED",
        false if desk.is_pending(&job.point) => "RUNNING",
        false => "COMPLETED",
    }
}

/// A job as in a reply. What it makes has a name at once where AWS Backup keeps it itself; a snapshot of a database has one
/// when it is made.
fn reply(desk: &Desk<'_>, id: &str, job: &Job) -> Value {
    let state = state(desk, job);
    let mut it = json!({
        "BackupJobId": id,
        "BackupVaultName": job.of.vault,
        "ResourceArn": job.of.resource,
        "IamRoleArn": job.of.role,
        "State": state,
        "PercentDone": if state == "COMPLETED" { "100.0" } else { "0.0" },
        "CreationDate": 0,
    });
    if state == "COMPLETED" || (state == "RUNNING" && !job.of.resource.starts_with(DATABASE)) {
        it["RecoveryPointArn"] = json!(job.point);
    }
    it
}

fn point_reply(desk: &Desk<'_>, arn: &str, point: &Point) -> Value {
    json!({
        "RecoveryPointArn": arn,
        "BackupVaultName": point.of.vault,
        "ResourceArn": point.of.resource,
        "IamRoleArn": point.of.role,
        "Status": if desk.is_pending(arn) { "CREATING" } else { "COMPLETED" },
        "CreationDate": 0,
    })
}
