//! Amazon RDS: databases and the groups that they are made with.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//! What they share is in `database` (states, versions, the way back of a cluster or an instance) and
//! `checks` (AWS's limits). RDS stores names and identifiers in lower case and finds them in any case, so
//! here they are lower-cased first.

mod checks;
mod database;
pub mod db_cluster;
pub mod db_cluster_parameter_group;
pub mod db_instance;
pub mod db_subnet_group;

use std::collections::BTreeSet;

use aws_sdk_rds::types::{Tag, VpcSecurityGroupMembership};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use switchback_engine::Cx;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

use crate::context::AwsContext;
use crate::errors::{Call, is_not_found, op_error};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_rds::Client> {
    Ok(cx.get::<AwsContext>()?.rds(cx))
}

/// The user's tags and ours, for a create call.
fn tag_list(cx: &Cx, user: &Tags) -> Vec<Tag> {
    tags::all(cx, user).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// As a map.
fn read_tags(list: &[Tag]) -> Tags {
    tags::read(list.iter().map(|tag| (tag.key(), tag.value())))
}

/// The tags of what is not described with them; none when it is gone by now (`ListTagsForResource`).
async fn tags_of(cx: &Cx, arn: &str) -> OpResult<Option<Tags>> {
    let sent = client(cx)?.list_tags_for_resource().resource_name(arn).send().await;
    let reply = unless_gone(sent.map_err(|e| op_error(Call::new("rds:ListTagsForResource", arn), e)))?;
    Ok(reply.map(|r| read_tags(r.tag_list())))
}

/// None where the reply is that it is not there.
fn unless_gone<T>(reply: OpResult<T>) -> OpResult<Option<T>> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(e) if is_not_found(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// A create call was answered and the answer does not say what was made: look it up.
fn nameless(call: &'static str, about: &str) -> OpError {
    OpError::new(ErrorClass::Ambiguous, format!("the reply to `{call}` for {about} does not name what it made"))
}

/// A role that was made a moment ago, by a step or by RDS for itself, is not seen everywhere yet. The code of
/// such a refusal is that of every wrong parameter.
fn unless_role_is_unseen(mut error: OpError) -> OpError {
    let says = |text: &str| error.message.contains(text);
    if says("ENHANCED_MONITORING") || says("service linked role") && says("wait and try again") {
        error.class = ErrorClass::Busy;
    }
    error
}

/// The security groups that it is in.
fn security_groups(memberships: &[VpcSecurityGroupMembership]) -> BTreeSet<&str> {
    memberships.iter().filter_map(VpcSecurityGroupMembership::vpc_security_group_id).collect()
}

/// The error without the secret, should AWS have repeated it.
pub(crate) fn without_secret(mut error: OpError, secret: Option<&SecretString>) -> OpError {
    if let Some(value) = secret.map(ExposeSecret::expose_secret).filter(|v| !v.is_empty()) {
        error.message = error.message.replace(value, "(secret)");
    }
    error
}

/// `foresee` of a name as RDS has it, in lower case.
async fn foresee<N: Named>(cx: &Cx, known: &Map<String, Value>, field: &str) -> OpResult<()> {
    match known.get(field).and_then(Value::as_str) {
        Some(name) => named::capture::<N>(cx, &name.to_ascii_lowercase()).await.map(|_| ()),
        None => Ok(()),
    }
}

/// `foresee` of what runs an engine: its password, its version, its name.
async fn foresee_engine<N: Named>(cx: &Cx, known: &Map<String, Value>, field: &str) -> OpResult<()> {
    let text = |field: &str| known.get(field).and_then(Value::as_str);
    let password = known.get("master_user_password").and_then(|of| SecretRef::deserialize(of).ok());
    database::check_password(cx, password.as_ref())?;
    if let Some(engine) = text("engine") {
        database::check_engine(cx, engine, text("engine_version")).await?;
    }
    foresee::<N>(cx, known, field).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_repeat_a_secret() {
        let secret = SecretString::from("hunter2!");
        let error = || OpError::permanent("`rds:CreateDBCluster` was refused: the password hunter2! is too short");
        let text = without_secret(error(), Some(&secret)).message;
        assert_eq!(text, "`rds:CreateDBCluster` was refused: the password (secret) is too short");
        assert_eq!(without_secret(error(), None), error());
        assert_eq!(without_secret(error(), Some(&SecretString::from(""))), error());
    }

    #[test]
    fn a_role_that_is_not_seen_yet_is_waited_for() {
        for (text, class) in [
            (
                "Unable to create the resource. Verify that you have permission to create service linked role. \
                 Otherwise wait and try again later",
                ErrorClass::Busy,
            ),
            (
                "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING",
                ErrorClass::Busy,
            ),
            ("Invalid storage size", ErrorClass::Permanent),
        ] {
            let error = OpError::permanent(text).with_code("InvalidParameterValue");
            assert_eq!(unless_role_is_unseen(error).class, class, "{text}");
        }
    }

    #[test]
    fn only_an_absence_is_none() {
        let gone = OpError::permanent("x").with_code("DBClusterNotFoundFault");
        assert_eq!(unless_gone::<()>(Err(gone)), Ok(None));
        assert_eq!(unless_gone(Ok(1)), Ok(Some(1)));
        assert!(unless_gone::<()>(Err(OpError::permanent("x").with_code("AccessDenied"))).is_err());
    }
}
