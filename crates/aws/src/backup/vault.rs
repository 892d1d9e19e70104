//! `aws.backup.vault`: a vault for recovery points.
//!
//! A vault that holds something cannot be deleted, and nothing in it is deleted by this step: each backup is undone by
//! its own. What a run keeps on purpose keeps its vault, where `keep_with_recovery_points` says so; what others put
//! there always does. A vault that an earlier generation of the step kept so is taken over by the next one: then the one
//! call that makes it this generation's is the one that sets its tags.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::point::{self, Inside};
use super::{check_vault, client, tags_of};
use crate::calls::{Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{BackupVaultArn, BackupVaultName, KmsKeyArn};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// A backup vault, empty.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 2 to 50 letters, digits, `-` and `_` (`CreateBackupVault` BackupVaultName).
    pub backup_vault_name: BackupVaultName,
    /// The key that encrypts what is in it (`CreateBackupVault` EncryptionKeyArn). AWS's default: the account's key for
    /// AWS Backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key_arn: Option<KmsKeyArn>,
    /// Whether it stays on the way back while it holds recovery points of this run and of nobody else. Without it, that
    /// is an error. Of Switchback, not of AWS.
    #[serde(default)]
    pub keep_with_recovery_points: bool,
    /// Tags, beside those that say whose it is (`CreateBackupVault` BackupVaultTags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Whether the vault was kept by an earlier generation of this step, for the recovery points of this run in it.
    pub kept: bool,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub backup_vault_name: BackupVaultName,
    /// Its ARN.
    pub backup_vault_arn: BackupVaultArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vault;

/// A vault, read, with its tags. `DescribeBackupVault` answers with "access denied" where there is none, so vaults are
/// listed.
#[derive(Debug)]
struct There {
    arn: String,
    key: Option<String>,
    points: i64,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "backup vault";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let mut pages = client(cx)?.list_backup_vaults().into_paginator().items().send();
        while let Some(vault) = pages.next().await {
            let vault = vault.map_err(|e| op_error(Call::new("backup:ListBackupVaults", name), e))?;
            let Some(arn) = vault.backup_vault_arn().filter(|_| vault.backup_vault_name() == Some(name)) else {
                continue;
            };
            let (key, points) = (vault.encryption_key_arn().map(str::to_owned), vault.number_of_recovery_points());
            return Ok(tags_of(cx, arn).await?.map(|tags| Self { arn: arn.to_owned(), key, points, tags }));
        }
        Ok(None)
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        &self.arn
    }
}

/// Whether this step made it, in whichever generation.
fn is_of_step(cx: &Cx, there: &There) -> bool {
    let [run, step, _] = cx.ownership_tags();
    [run, step].iter().all(|(key, value)| there.tags.get(key) == Some(value))
}

impl Params {
    fn output(&self, arn: &str) -> Output {
        Output { backup_vault_name: self.backup_vault_name.clone(), backup_vault_arn: BackupVaultArn::new(arn) }
    }

    /// What is in it that keeps it from being deleted and does not keep it on purpose, in words.
    async fn in_the_way(&self, cx: &Cx) -> OpResult<Option<String>> {
        Ok(match point::inside(cx, self.backup_vault_name.as_str()).await? {
            Inside::Nothing => None,
            Inside::OfRun if self.keep_with_recovery_points => None,
            Inside::OfRun => Some("recovery points of this run".to_owned()),
            Inside::OfOthers(arn) => Some(format!("recovery points of others, such as {arn}")),
        })
    }
}

impl Operation for Vault {
    const KIND: &'static str = "aws.backup.vault";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// A vault is there at once.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["backup:ListBackupVaults", "backup:ListTags", "backup:ListRecoveryPointsByBackupVault"],
            creates: "backup:CreateBackupVault",
            settles: Vec::new(),
            rolls_back: vec!["backup:DeleteBackupVault"],
            besides: &[
                "backup:TagResource",
                "backup-storage:MountCapsule",
                "kms:CreateGrant",
                "kms:GenerateDataKey",
                "kms:Decrypt",
                "kms:RetireGrant",
                "kms:DescribeKey",
            ],
        };
        let name = &params.backup_vault_name;
        let kept = format!("the vault `{name}` stays while it holds recovery points of this run");
        let facts = calls.into_facts();
        // The call that takes over what was kept, instead of the one that makes it.
        let takes_over = params.keep_with_recovery_points.then_some(Cow::Borrowed("backup:TagResource"));
        Facts {
            unique: true,
            creates: facts.creates.iter().cloned().chain(takes_over).collect(),
            residue: params.keep_with_recovery_points.then_some(kept).into_iter().collect(),
            arns: vec![format!("arn:{{partition}}:backup:{{region}}:{{account}}:backup-vault:{name}")],
            ..facts
        }
    }

    fn example() -> Option<Params> {
        let key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        Some(Params {
            backup_vault_name: BackupVaultName::new("app-checkpoint"),
            encryption_key_arn: Some(KmsKeyArn::new(key)),
            keep_with_recovery_points: true,
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_vault(&params.backup_vault_name, "backup_vault_name", &mut errors);
        if let Some(key) = &params.encryption_key_arn {
            key.check("encryption_key_arn", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let name = params.backup_vault_name.as_str();
        if params.keep_with_recovery_points
            && There::read(cx, name).await?.is_some_and(|there| is_of_step(cx, &there))
            && point::inside(cx, name).await? == Inside::OfRun
        {
            return Ok(Before { kept: true });
        }
        named::capture::<There>(cx, name).await?;
        Ok(Before { kept: false })
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        // One that this step kept is for `capture` to judge.
        let name = known.get("backup_vault_name").and_then(Value::as_str).unwrap_or_default();
        if There::read(cx, name).await?.is_some_and(|there| is_of_step(cx, &there)) {
            return Ok(());
        }
        named::foresee::<There>(cx, known, "backup_vault_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let name = params.backup_vault_name.as_str();
        if before.kept {
            let there = There::read(cx, name).await?.filter(|there| is_of_step(cx, there));
            let there =
                there.ok_or_else(|| OpError::drift(format!("backup vault `{name}` was kept and no longer is")))?;
            let tag = client(cx)?.tag_resource().resource_arn(&there.arn);
            let tag = tag.set_tags(Some(tags::all(cx, &params.tags).into_iter().collect()));
            tag.send().await.map_err(|e| op_error(Call::new("backup:TagResource", name), e))?;
            return Ok(params.output(&there.arn));
        }
        let reply = client(cx)?
            .create_backup_vault()
            .backup_vault_name(name)
            .set_encryption_key_arn(params.encryption_key_arn.as_ref().map(|key| key.as_str().to_owned()))
            .set_backup_vault_tags(Some(tags::all(cx, &params.tags).into_iter().collect()))
            .send()
            .await
            .map_err(|e| op_error(Call::new("backup:CreateBackupVault", name).just_made(), e))?;
        let arn = reply.backup_vault_arn().ok_or_else(|| nameless("backup:CreateBackupVault", name))?;
        Ok(params.output(arn))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let name = params.backup_vault_name.as_str();
        match There::read(cx, name).await? {
            // Kept, and not taken over yet.
            Some(there) if before.kept && is_of_step(cx, &there) && !tags::are_of_step(cx, there.tags()) => {
                Ok(Found::Absent)
            }
            _ => named::find::<There, _>(cx, name, |there| params.output(&there.arn)).await,
        }
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Before, _out: &Output) -> OpResult<Undo> {
        let name = params.backup_vault_name.as_str();
        let look = || async {
            match named::ours::<There>(cx, name).await? {
                Some(_) => params.in_the_way(cx).await,
                None => Ok(None),
            }
        };
        named::emptied::<There, _>(cx, name, look).await?;
        if named::ours::<There>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        if point::inside(cx, name).await? == Inside::OfRun {
            // It stays with them: so it was asked for.
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_backup_vault().backup_vault_name(name).send().await;
        match deleted.map_err(|e| op_error(Call::new("backup:DeleteBackupVault", name), e)) {
            Err(e) if e.code.as_deref() == Some("InvalidRequestException") => {
                return Err(OpError { class: ErrorClass::Busy, ..e });
            }
            reply => {
                if found(reply)?.is_none() {
                    return Ok(Undo::Nothing);
                }
            }
        }
        named::wait_until_gone::<There>(cx, name, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.backup_vault_name.as_str();
        if want == Expect::RolledBack {
            let verdict = named::verify_gone::<There>(cx, name).await?;
            if verdict.holds() || !params.keep_with_recovery_points {
                return Ok(verdict);
            }
            let kept = point::inside(cx, name).await? == Inside::OfRun;
            return Ok(Verdict::new().compare(
                format!("backup vault `{name}` stays for what is in it only"),
                true,
                kept,
            ));
        }
        let Some(there) = There::read(cx, name).await? else { return Ok(named::missing::<There>(name)) };
        let mut verdict = named::verdict(cx, &there, &params.tags);
        if let Some(wanted) = &params.encryption_key_arn {
            verdict = verdict.compare("encryption_key_arn", wanted.as_str(), there.key.clone());
        }
        verdict.observed = json!({
            "backup_vault_name": name, "backup_vault_arn": there.arn, "encryption_key_arn": there.key,
            "number_of_recovery_points": there.points, "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    const NO_VAULTS: Answer = Answer::Reply(200, r#"{"BackupVaultList":[]}"#);
    const VAULTS: Answer = Answer::Reply(
        200,
        r#"{"BackupVaultList":[{"BackupVaultName":"other"},{"BackupVaultName":"app","BackupVaultArn":"arn:v"}]}"#,
    );
    const POINTS: Answer = Answer::Reply(200, r#"{"RecoveryPoints":[{"RecoveryPointArn":"arn:p"}]}"#);
    const NO_POINTS: Answer = Answer::Reply(200, r#"{"RecoveryPoints":[]}"#);
    const OURS: Answer = Answer::Reply(
        200,
        r#"{"Tags":{"switchback:run":"00000000-0000-0000-0000-000000000007","switchback:step":"vault","switchback:generation":"1"}}"#,
    );
    const FOREIGN: Answer = Answer::Reply(200, r#"{"Tags":{}}"#);
    const DONE: Answer = Answer::Reply(200, "");

    const NEW: Before = Before { kept: false };

    fn params(keep_with_recovery_points: bool) -> Params {
        let name = BackupVaultName::new("app");
        Params { backup_vault_name: name, encryption_key_arn: None, keep_with_recovery_points, tags: BTreeMap::new() }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Vault.check(&params(false)).is_ok());
        let params = Params { backup_vault_name: BackupVaultName::new("a.b"), ..params(false) };
        assert_eq!(Vault.check(&params).unwrap_err()[0].path, ["backup_vault_name"]);
    }

    #[test]
    fn what_stays_is_declared() {
        let (gone, kept) = (Vault.facts(&params(false)), Vault.facts(&params(true)));
        assert!(gone.residue.is_empty() && gone.creates.len() == 1);
        assert!(kept.residue.len() == 1 && kept.creates.contains(&Cow::Borrowed("backup:TagResource")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_vault_is_deleted() {
        let script = Script::new([
            VAULTS, OURS, NO_POINTS, VAULTS, OURS, NO_POINTS, DONE, VAULTS, OURS, NO_VAULTS, NO_VAULTS, NO_VAULTS,
        ]);
        let cx = watched("vault", script.config()).await.0;
        let out = params(false).output("arn:v");
        assert_eq!(Vault.rollback(&cx, &params(false), &NEW, &out).await.unwrap(), Undo::Done);
        assert_eq!(Vault.rollback(&cx, &params(false), &NEW, &out).await.unwrap(), Undo::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_with_what_the_run_keeps_and_says_so() {
        let look = || [VAULTS, OURS, POINTS, OURS];
        let script = Script::new(look().into_iter().chain(look()).chain(look()));
        let (cx, watch) = watched("vault", script.config()).await;
        let out = params(true).output("arn:v");
        assert_eq!(Vault.rollback(&cx, &params(true), &NEW, &out).await.unwrap(), Undo::Nothing);
        let verdict = Vault.verify(&cx, &params(true), &NEW, None, Expect::RolledBack).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "DeleteBackupVault"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_generation_kept_is_taken_over() {
        let former = Answer::Reply(
            200,
            r#"{"Tags":{"switchback:run":"00000000-0000-0000-0000-000000000007","switchback:step":"vault","switchback:generation":"0"}}"#,
        );
        let look = || [VAULTS, former.clone()];
        let script = Script::new(
            look()
                .into_iter()
                .chain([POINTS, OURS])
                .chain(look())
                .chain(look())
                .chain([DONE])
                .chain([VAULTS, OURS, VAULTS, OURS]),
        );
        let (cx, watch) = watched("vault", script.config()).await;
        let before = Vault.capture(&cx, &params(true)).await.unwrap();
        assert!(before.kept);
        assert_eq!(Vault.find(&cx, &params(true), &before).await.unwrap(), Found::Absent);
        let out = Vault.create(&cx, &params(true), &before).await.unwrap();
        assert!(
            matches!(Vault.find(&cx, &params(true), &before).await.unwrap(), Found::Ours { output, .. } if output == out)
        );
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "CreateBackupVault"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_keep_in_it_is_drift() {
        for (keep, inside, says) in [(true, FOREIGN, "of others, such as arn:p"), (false, OURS, "of this run")] {
            let script = Script::new(std::iter::repeat_n([VAULTS, OURS, POINTS, inside], 60).flatten());
            let cx = watched("vault", script.config()).await.0;
            let out = params(keep).output("arn:v");
            let error = Vault.rollback(&cx, &params(keep), &NEW, &out).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Drift);
            assert!(error.message.contains(says), "{error}");
        }
    }
}
