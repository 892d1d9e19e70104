//! Recovery points: what is kept in a vault.

use switchback_engine::Cx;
use switchback_model::OpResult;

use super::{client, tags_of};
use crate::errors::{Call, found, op_error};
use crate::tags;

/// What there is in a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inside {
    Nothing,
    /// Only what this run put there.
    OfRun,
    /// Also what others did: the ARN of the first of it.
    OfOthers(String),
}

/// Looks into a vault. One that is not there holds nothing.
pub(super) async fn inside(cx: &Cx, vault: &str) -> OpResult<Inside> {
    let mut pages = client(cx)?.list_recovery_points_by_backup_vault().backup_vault_name(vault).into_paginator().send();
    let mut inside = Inside::Nothing;
    while let Some(page) = pages.next().await {
        let page = found(page.map_err(|e| op_error(Call::new("backup:ListRecoveryPointsByBackupVault", vault), e)))?;
        let Some(page) = page else { return Ok(Inside::Nothing) };
        for arn in page.recovery_points().iter().filter_map(|point| point.recovery_point_arn()) {
            match tags_of(cx, arn).await? {
                Some(tags) if tags::are_of_run(cx, &tags) => inside = Inside::OfRun,
                Some(_) => return Ok(Inside::OfOthers(arn.to_owned())),
                // Deleted since it was listed.
                None => {}
            }
        }
    }
    Ok(inside)
}

/// Whether a recovery point is in that vault.
pub(super) async fn exists(cx: &Cx, vault: &str, arn: &str) -> OpResult<bool> {
    let sent = client(cx)?.describe_recovery_point().backup_vault_name(vault).recovery_point_arn(arn).send().await;
    Ok(found(sent.map_err(|e| op_error(Call::new("backup:DescribeRecoveryPoint", arn), e)))?.is_some())
}
