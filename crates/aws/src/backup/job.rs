//! `aws.backup.job`: one backup, now.
//!
//! A job has neither a name nor tags; what it makes has the tags that it was started with. Starting it twice with one
//! token starts it once. So a job that is in doubt is known by the tags of its recovery point; while a job runs that was
//! not there before and shows none yet, nobody can say whose it is, and this operation waits for its end.
//!
//! Not every job can be stopped (those of databases cannot), so none is: on the way back its end is waited for. A backup
//! is made to outlive what it is of: it is kept, unless `delete_recovery_point` says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_backup::types::{BackupJob, BackupJobState, Lifecycle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{check_lifecycle, check_vault, client, point, tags_of};
use crate::calls::{Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{BackupJobId, BackupVaultName, RoleArn};
use crate::tags;

/// The first pause between two looks at a job.
const POLL: Duration = Duration::from_secs(1);
/// A job waits for its start for up to eight hours by default, and large databases take hours.
const CREATE_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// One backup of a resource, now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The vault that it goes to (`StartBackupJob` BackupVaultName).
    pub backup_vault_name: BackupVaultName,
    /// What is backed up (`StartBackupJob` ResourceArn).
    pub resource_arn: String,
    /// The role that does it, which trusts `backup.amazonaws.com` (`StartBackupJob` IamRoleArn).
    pub iam_role_arn: RoleArn,
    /// How long it may wait for its start, in minutes: 60 or more (`StartBackupJob` StartWindowMinutes). AWS's default:
    /// 480.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_window_minutes: Option<i64>,
    /// In how many minutes it must be done (`StartBackupJob` CompleteWindowMinutes).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_window_minutes: Option<i64>,
    /// After how many days it is deleted by itself (`StartBackupJob` Lifecycle). AWS's default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_days: Option<i64>,
    /// Whether the recovery point is deleted on the way back. By default it is kept. Of Switchback, not of AWS.
    #[serde(default)]
    pub delete_recovery_point: bool,
    /// Tags of the recovery point, beside those that say whose it is (`StartBackupJob` RecoveryPointTags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The jobs that were running on the same resource and vault: those of others.
    pub running: Vec<BackupJobId>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The job's id.
    pub backup_job_id: BackupJobId,
    /// The vault that it went to.
    pub backup_vault_name: BackupVaultName,
    /// The ARN of what it made, once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point_arn: Option<String>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Job;

/// Whether it will come to an end.
fn is_running(state: Option<&BackupJobState>) -> bool {
    use BackupJobState::{Aborted, Completed, Expired, Failed, Partial};
    !matches!(state, Some(Aborted | Completed | Expired | Failed | Partial))
}

impl Params {
    fn about(&self) -> String {
        format!("{} into vault `{}`", self.resource_arn, self.backup_vault_name)
    }

    fn output(&self, job: &str, point: Option<&str>) -> Output {
        Output {
            backup_job_id: BackupJobId::new(job),
            backup_vault_name: self.backup_vault_name.clone(),
            recovery_point_arn: point.map(str::to_owned),
        }
    }

    fn residue(&self) -> Vec<String> {
        let days = self.delete_after_days.map(|days| format!(", for {days} days")).unwrap_or_default();
        let kept = format!("the recovery point stays in the vault `{}`{days}", self.backup_vault_name);
        (!self.delete_recovery_point).then_some(kept).into_iter().collect()
    }
}

/// The jobs on the same resource and vault.
async fn jobs(cx: &Cx, params: &Params) -> OpResult<Vec<BackupJob>> {
    let list = client(cx)?
        .list_backup_jobs()
        .by_backup_vault_name(params.backup_vault_name.as_str())
        .by_resource_arn(&params.resource_arn);
    let listed = list.into_paginator().items().send().try_collect().await;
    listed.map_err(|e| op_error(Call::new("backup:ListBackupJobs", &params.about()), e))
}

/// A job by its id: its state, what it says about it, and what it made. None when AWS no longer remembers it.
async fn job(cx: &Cx, id: &str) -> OpResult<Option<(Option<BackupJobState>, Option<String>, Option<String>)>> {
    let sent = client(cx)?.describe_backup_job().backup_job_id(id).send().await;
    let reply = found(sent.map_err(|e| op_error(Call::new("backup:DescribeBackupJob", id), e)))?;
    Ok(reply.map(|job| (job.state, job.status_message, job.recovery_point_arn)))
}

/// Whether this step made a recovery point.
async fn is_ours(cx: &Cx, point: &str) -> OpResult<bool> {
    Ok(tags_of(cx, point).await?.is_some_and(|tags| tags::are_of_step(cx, &tags)))
}

impl Operation for Job {
    const KIND: &'static str = "aws.backup.job";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "backup:ListBackupJobs",
                "backup:DescribeBackupJob",
                "backup:DescribeRecoveryPoint",
                "backup:ListTags",
            ],
            creates: "backup:StartBackupJob",
            settles: Vec::new(),
            rolls_back: params.delete_recovery_point.then_some("backup:DeleteRecoveryPoint").into_iter().collect(),
            besides: &["backup:TagResource", "iam:PassRole"],
        };
        Facts {
            residue: params.residue(),
            create_deadline: CREATE_DEADLINE,
            rollback_deadline: CREATE_DEADLINE,
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            backup_vault_name: BackupVaultName::new("app-checkpoint"),
            resource_arn: "arn:aws:rds:us-east-1:123456789012:cluster:app".to_owned(),
            iam_role_arn: RoleArn::new("arn:aws:iam::123456789012:role/service-role/AWSBackupDefaultServiceRole"),
            start_window_minutes: Some(60),
            complete_window_minutes: Some(180),
            delete_after_days: Some(7),
            delete_recovery_point: true,
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_vault(&params.backup_vault_name, "backup_vault_name", &mut errors);
        if !params.resource_arn.starts_with("arn:") {
            errors.push(ParamError::new("resource_arn", format!("{:?} is not an ARN", params.resource_arn)));
        }
        params.iam_role_arn.check("iam_role_arn", &mut errors);
        let (start, done) = (params.start_window_minutes, params.complete_window_minutes);
        if start.is_some_and(|minutes| minutes < 60) {
            errors.push(ParamError::new("start_window_minutes", "is 60 minutes or more"));
        }
        if done.is_some_and(|done| done < start.unwrap_or(0) + 60) {
            let message = "ends 60 minutes after the start window or later";
            errors.push(ParamError::new("complete_window_minutes", message));
        }
        check_lifecycle(None, params.delete_after_days, "delete_after_days", &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let jobs = jobs(cx, params).await?;
        let running = jobs.iter().filter(|job| is_running(job.state())).filter_map(BackupJob::backup_job_id);
        Ok(Before { running: running.map(BackupJobId::new).collect() })
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let about = params.about();
        let lifecycle = |days| Lifecycle::builder().delete_after_days(days).build();
        let reply = client(cx)?
            .start_backup_job()
            .backup_vault_name(params.backup_vault_name.as_str())
            .resource_arn(&params.resource_arn)
            .iam_role_arn(params.iam_role_arn.as_str())
            .idempotency_token(cx.token())
            .set_start_window_minutes(params.start_window_minutes)
            .set_complete_window_minutes(params.complete_window_minutes)
            .set_lifecycle(params.delete_after_days.map(lifecycle))
            .set_recovery_point_tags(Some(tags::all(cx, &params.tags).into_iter().collect()))
            .send()
            .await
            .map_err(|e| op_error(Call::new("backup:StartBackupJob", &about).just_made(), e))?;
        let id = reply.backup_job_id().ok_or_else(|| nameless("backup:StartBackupJob", &about))?;
        Ok(params.output(id, reply.recovery_point_arn()))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Output> {
        let id = out.backup_job_id.as_str();
        let look = || async {
            // Not seen yet.
            let Some((state, message, point)) = job(cx, id).await? else { return Ok(None) };
            if is_running(state.as_ref()) {
                return Ok(None);
            }
            match (state, point) {
                (Some(BackupJobState::Completed), Some(point)) => Ok(Some(params.output(id, Some(&point)))),
                (state, _) => {
                    let state = state.as_ref().map_or("unknown", BackupJobState::as_str);
                    let why = message.unwrap_or_else(|| "AWS Backup does not say why".to_owned());
                    Err(OpError::permanent(format!("backup job {id} of {} is {state}: {why}", params.about())))
                }
            }
        };
        cx.wait_for(&format!("waiting until backup job {id} is completed"), POLL, look).await
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let mut unknown = None;
        for job in jobs(cx, params).await? {
            let Some(id) = job.backup_job_id() else { continue };
            match job.recovery_point_arn() {
                Some(point) if is_ours(cx, point).await? => {
                    return Ok(Found::Ours { output: params.output(id, Some(point)), proof: Proof::Strong });
                }
                None if is_running(job.state()) && !before.running.contains(&BackupJobId::new(id)) => {
                    unknown = Some(id.to_owned());
                }
                _ => {}
            }
        }
        match unknown {
            Some(id) => {
                let message = format!("backup job {id} of {} runs and does not show yet whose it is", params.about());
                Err(OpError::new(ErrorClass::Busy, message))
            }
            None => Ok(Found::Absent),
        }
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Undo> {
        let (id, vault) = (out.backup_job_id.as_str(), params.backup_vault_name.as_str());
        let ended = || async {
            Ok(match job(cx, id).await? {
                Some((state, _, _)) if is_running(state.as_ref()) => None,
                Some((_, _, point)) => Some(point),
                None => Some(None),
            })
        };
        let made = cx.wait_for(&format!("waiting until backup job {id} has ended"), POLL, ended).await?;
        let Some(point) = made.or_else(|| out.recovery_point_arn.clone()).filter(|_| params.delete_recovery_point)
        else {
            return Ok(Undo::Nothing);
        };
        if !is_ours(cx, &point).await? {
            return Ok(Undo::Nothing);
        }
        let delete = client(cx)?.delete_recovery_point().backup_vault_name(vault).recovery_point_arn(&point);
        let deleted = delete.send().await.map_err(|e| op_error(Call::new("backup:DeleteRecoveryPoint", &point), e));
        if found(deleted)?.is_none() {
            return Ok(Undo::Nothing);
        }
        let gone = || async { Ok((!point::exists(cx, vault, &point).await?).then_some(())) };
        cx.wait_for(&format!("waiting until recovery point {point} is gone"), POLL, gone).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let vault = params.backup_vault_name.as_str();
        if want == Expect::RolledBack {
            let state = match out {
                Some(out) => job(cx, out.backup_job_id.as_str()).await?.and_then(|(state, ..)| state),
                None => Some(BackupJobState::Completed),
            };
            let verdict =
                Verdict::new().compare("the backup job runs", false, state.is_some_and(|it| is_running(Some(&it))));
            if !params.delete_recovery_point {
                return Ok(verdict);
            }
            let there = matches!(self.find(cx, params, before).await?, Found::Ours { .. });
            return Ok(verdict.compare("a recovery point of this step exists", false, there));
        }
        let found = match out {
            Some(out) => Some(out.clone()),
            None => match self.find(cx, params, before).await? {
                Found::Ours { output, .. } => Some(output),
                _ => None,
            },
        };
        let Some(out) = found else { return Ok(Verdict::new().compare("the backup job exists", true, false)) };
        let (state, _, made) = job(cx, out.backup_job_id.as_str()).await?.unwrap_or_default();
        let state = state.as_ref().map_or("unknown", BackupJobState::as_str);
        let point = made.or(out.recovery_point_arn);
        let (there, held) = match &point {
            Some(point) => (point::exists(cx, vault, point).await?, tags_of(cx, point).await?.unwrap_or_default()),
            None => (false, tags::Tags::new()),
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new()
            .compare("state", "COMPLETED", state)
            .compare("its recovery point exists", true, there)
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, &held)));
        verdict.observed = json!({
            "backup_job_id": out.backup_job_id, "backup_vault_name": vault, "resource_arn": params.resource_arn,
            "state": state, "recovery_point_arn": point, "tags": held,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const OURS: Answer = Answer::Reply(
        200,
        r#"{"Tags":{"switchback:run":"00000000-0000-0000-0000-000000000007","switchback:step":"job","switchback:generation":"1"}}"#,
    );
    const FOREIGN: Answer = Answer::Reply(200, r#"{"Tags":{}}"#);
    const GONE: Answer = Answer::Reply(400, r#"{"__type":"ResourceNotFoundException","message":"no"}"#);
    const RUNS: Answer = Answer::Reply(200, r#"{"BackupJobs":[{"BackupJobId":"j","State":"RUNNING"}]}"#);
    const DONE: Answer =
        Answer::Reply(200, r#"{"BackupJobs":[{"BackupJobId":"j","State":"COMPLETED","RecoveryPointArn":"arn:p"}]}"#);

    fn params(delete_recovery_point: bool) -> Params {
        Params { delete_recovery_point, ..Job::example().unwrap() }
    }

    fn job_is(state: &str, more: &str) -> Answer {
        Answer::Reply(200, format!(r#"{{"BackupJobId":"j","State":"{state}"{more}}}"#).leak())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |params: Params| {
            let errors = Job.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(params(true)).is_empty());
        assert_eq!(wrong(Params { resource_arn: "app".into(), ..params(true) }), ["resource_arn"]);
        assert_eq!(wrong(Params { start_window_minutes: Some(1), ..params(true) }), ["start_window_minutes"]);
        assert_eq!(wrong(Params { complete_window_minutes: Some(90), ..params(true) }), ["complete_window_minutes"]);
        assert_eq!(wrong(Params { delete_after_days: Some(0), ..params(true) }), ["delete_after_days"]);
    }

    #[test]
    fn what_is_kept_is_declared() {
        assert!(Job.facts(&params(true)).residue.is_empty());
        let facts = Job.facts(&params(false));
        assert_eq!(facts.residue, ["the recovery point stays in the vault `app-checkpoint`, for 7 days"]);
        assert!(facts.rolls_back.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_in_doubt_is_known_by_what_it_made() {
        let script = Script::new([RUNS, RUNS, DONE, OURS, DONE, FOREIGN]);
        let cx = watched("job", script.config()).await.0;
        let (none, other) = (Before { running: vec![] }, Before { running: vec![BackupJobId::new("j")] });
        assert_eq!(Job.find(&cx, &params(true), &none).await.unwrap_err().class, ErrorClass::Busy);
        assert_eq!(Job.find(&cx, &params(true), &other).await.unwrap(), Found::Absent);
        assert!(matches!(Job.find(&cx, &params(true), &none).await.unwrap(), Found::Ours { proof: Proof::Strong, .. }));
        assert_eq!(Job.find(&cx, &params(true), &none).await.unwrap(), Found::Absent);
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_for_the_end_and_sees_a_failure() {
        let script = Script::new([
            job_is("CREATED", ""),
            job_is("RUNNING", ""),
            job_is("COMPLETED", r#","RecoveryPointArn":"arn:p""#),
            job_is("EXPIRED", r#","StatusMessage":"it could not start in time""#),
        ]);
        let cx = watched("job", script.config()).await.0;
        let (before, out) = (Before { running: vec![] }, params(true).output("j", None));
        let settled = Job.settle(&cx, &params(true), &before, &out).await.unwrap();
        assert_eq!(settled.recovery_point_arn.as_deref(), Some("arn:p"));
        let error = Job.settle(&cx, &params(true), &before, &out).await.unwrap_err();
        assert!(error.message.contains("EXPIRED: it could not start in time"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backup_is_kept_unless_it_is_said() {
        let made = || job_is("COMPLETED", r#","RecoveryPointArn":"arn:p""#);
        let script = Script::new([made(), made(), OURS, Answer::Reply(200, ""), GONE, made(), GONE]);
        let (cx, watch) = watched("job", script.config()).await;
        let (before, out) = (Before { running: vec![] }, params(true).output("j", Some("arn:p")));
        assert_eq!(Job.rollback(&cx, &params(false), &before, &out).await.unwrap(), Undo::Nothing);
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "DescribeBackupJob"));
        assert_eq!(Job.rollback(&cx, &params(true), &before, &out).await.unwrap(), Undo::Done);
        assert_eq!(Job.rollback(&cx, &params(true), &before, &out).await.unwrap(), Undo::Nothing);
    }
}
