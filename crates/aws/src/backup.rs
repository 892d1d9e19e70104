//! AWS Backup: vaults, plans and single backups.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests. What is in a vault is
//! in `point`.

pub mod job;
pub mod plan;
mod point;
pub mod vault;

use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::OpResult;

use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::BackupVaultName;
use crate::tags::Tags;

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_backup::Client> {
    Ok(cx.get::<AwsContext>()?.backup(cx))
}

/// The tags of a vault, a plan or a recovery point; none when it is gone by now.
async fn tags_of(cx: &Cx, arn: &str) -> OpResult<Option<Tags>> {
    let mut pages = client(cx)?.list_tags().resource_arn(arn).into_paginator().send();
    let mut tags = Tags::new();
    while let Some(page) = pages.next().await {
        match found(page.map_err(|e| op_error(Call::new("backup:ListTags", arn), e)))? {
            Some(page) => tags.extend(page.tags.unwrap_or_default()),
            None => return Ok(None),
        }
    }
    Ok(Some(tags))
}

/// Holds a vault's name to AWS's rules.
fn check_vault(name: &BackupVaultName, field: &str, errors: &mut Vec<ParamError>) {
    let text = name.as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(2..=50).contains(&text.len()) || !text.chars().all(fits) {
        errors.push(ParamError::new(field, format!("{text:?} is not 2 to 50 letters, digits, - and _")));
    }
}

/// Holds the days of a lifecycle to AWS's rules: what went to cold storage stays there for 90 days.
fn check_lifecycle(cold: Option<i64>, delete: Option<i64>, field: &str, errors: &mut Vec<ParamError>) {
    const COLD: i64 = 90;
    if cold.into_iter().chain(delete).any(|days| days < 1) {
        errors.push(ParamError::new(field, "days are 1 or more"));
    }
    if cold.zip(delete).is_some_and(|(cold, delete)| delete < cold + COLD) {
        let message = format!("what is in cold storage is kept there for {COLD} days before it is deleted");
        errors.push(ParamError::new(field, message));
    }
}
