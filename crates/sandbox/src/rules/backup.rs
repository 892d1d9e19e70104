//! AWS Backup: vaults, plans and jobs.
//!
//! A job runs for as long as what is slow in AWS takes; then its recovery point can be seen in its vault. The emulator
//! finishes jobs at once and forgets them, so they are made here: see `emulator::backup`.
//!
//! ```text
//!          start              slow
//! (none) --------> RUNNING -----------> COMPLETED
//!                     '---- stop -----> ABORTED
//! ```

mod job;
mod plan;

use serde_json::{Value, json};

use super::Desk;
use crate::input::{Body, Input};
use crate::notes::Answer;
use crate::picture::backup::Vault;
use crate::query::{Tags, check_tags};
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to the service.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let body = input.body()?;
    let reply = match input.action.as_str() {
        "CreateBackupVault" => {
            let name = body.required("BackupVaultName")?;
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if !(2..=50).contains(&name.len()) || !name.chars().all(fits) {
                return Err(invalid(
                    "Invalid vault name. The vault name must contain 2 to 50 alphanumeric characters.",
                ));
            }
            check_tags(&body.tag_map("BackupVaultTags")?)?;
            if desk.picture().backup.vaults.contains_key(&arn_of(desk, name)) {
                return Err(exists(format!("Backup vault with the same name already exists : {name}")));
            }
            return desk.pass_on(input).await;
        }
        "DescribeBackupVault" => {
            let (arn, vault) = vault(desk, body)?;
            Ok(described(desk, &arn, vault))
        }
        "ListBackupVaults" => {
            let vaults = &desk.picture().backup.vaults;
            let all: Vec<Value> = vaults.iter().map(|(arn, vault)| described(desk, arn, vault)).collect();
            Ok(json!({"BackupVaultList": all}))
        }
        "DeleteBackupVault" => {
            let (arn, vault) = vault(desk, body)?;
            if desk.picture().backup.inside(&vault.name).next().is_some() {
                return Err(Refusal::new(
                    "InvalidRequestException",
                    "Backup vault cannot be deleted because it contains recovery points.",
                ));
            }
            let answer = desk.pass_on(input).await?;
            desk.emulator.forget_tags(&arn).await;
            desk.look();
            return Ok(answer);
        }
        "CreateBackupPlan" => plan::create(desk, input, body).await,
        "GetBackupPlan" => plan::get(desk, body),
        "ListBackupPlans" => Ok(plan::list(desk)),
        "DeleteBackupPlan" => plan::delete(desk, input, body).await,
        "StartBackupJob" => job::start(desk, body).await,
        "DescribeBackupJob" => job::describe(desk, body),
        "ListBackupJobs" => job::list(desk, body),
        "StopBackupJob" => job::stop(desk, body).await,
        "ListRecoveryPointsByBackupVault" => job::list_points(desk, body),
        "DescribeRecoveryPoint" => job::describe_point(desk, body),
        "DeleteRecoveryPoint" => job::delete_point(desk, body).await,
        "ListTags" => {
            let tags = tags_of(desk, body.required("ResourceArn")?)?;
            Ok(json!({"Tags": tags}))
        }
        // A call that has no more rules here yet.
        _ => return desk.pass_on(input).await,
    };
    reply.map(|reply| Answer::json(&reply))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterValueException", message.into())
}

fn exists(message: impl Into<String>) -> Refusal {
    Refusal::new("AlreadyExistsException", message.into())
}

fn not_found(message: impl Into<String>) -> Refusal {
    Refusal::new("ResourceNotFoundException", message.into())
}

fn arn_of(desk: &Desk<'_>, vault: &str) -> String {
    desk.place.arn(Service::Backup, &format!("backup-vault:{vault}"))
}

/// The vault of a call.
fn vault<'a>(desk: &'a Desk<'_>, body: &Body) -> Result<(String, &'a Vault), Refusal> {
    let name = body.required("BackupVaultName")?;
    let arn = arn_of(desk, name);
    match desk.picture().backup.vaults.get(&arn) {
        Some(vault) => Ok((arn, vault)),
        None => Err(not_found(format!("Backup vault {name} does not exist"))),
    }
}

fn described(desk: &Desk<'_>, arn: &str, vault: &Vault) -> Value {
    json!({
        "BackupVaultName": vault.name,
        "BackupVaultArn": arn,
        "CreationDate": vault.created,
        "NumberOfRecoveryPoints": desk.picture().backup.inside(&vault.name).count(),
        "VaultType": "BACKUP_VAULT",
        "Locked": false,
    })
}

fn tags_of<'a>(desk: &'a Desk<'_>, arn: &str) -> Result<&'a Tags, Refusal> {
    let backup = &desk.picture().backup;
    let vault = backup.vaults.get(arn).map(|it| &it.tags);
    let plan = || backup.plans.get(arn).map(|it| &it.tags);
    let point = || backup.points.get(arn).map(|it| &it.tags);
    vault.or_else(plan).or_else(point).ok_or_else(|| not_found(format!("Resource {arn} does not exist")))
}
