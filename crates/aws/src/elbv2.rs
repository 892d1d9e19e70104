//! Elastic Load Balancing v2: load balancers, target groups, listeners and their rules.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests.
//!
//! All of its create calls are idempotent: they succeed where a thing of that name (or port, or priority) with
//! equal settings is there, and give that one back. So each operation looks again right before it calls, and reads
//! the tags of what the call gave back. Tags are read by a call of their own.

mod action;
pub mod listener;
pub mod listener_rule;
pub mod load_balancer;
pub mod target_group;

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::Tag;
use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::{ErrorClass, OpError, OpResult};

pub use self::action::{Action, ActionType, FixedResponse, Redirect};
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::named::Named;
use crate::tags::{self, Tags};

/// The client of the step.
fn client(cx: &Cx) -> OpResult<aws_sdk_elasticloadbalancingv2::Client> {
    Ok(cx.get::<AwsContext>()?.elbv2(cx))
}

/// The user's tags and ours, for a create call.
fn tag_list(cx: &Cx, user: &Tags) -> Vec<Tag> {
    tags::all(cx, user).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The tags of a thing; none when it is gone by now.
async fn tags_of(cx: &Cx, arn: &str) -> OpResult<Option<Tags>> {
    let sent = client(cx)?.describe_tags().resource_arns(arn).send().await;
    let reply = found(sent.map_err(|e| op_error(Call::new("elasticloadbalancing:DescribeTags", arn), e)))?;
    let mut described = reply.and_then(|r| r.tag_descriptions).unwrap_or_default().into_iter();
    let of_it = described.find(|of| of.resource_arn() == Some(arn));
    Ok(of_it.map(|of| tags::read(of.tags().iter().map(|tag| (tag.key(), tag.value())))))
}

/// Right after a create call: what it gave back carries our tags. When that cannot be seen now, `settle` sees it
/// before it writes.
///
/// # Errors
/// Class `AlreadyExists` when it is another's; whose it is is then for `find` to say.
async fn made_by_us<N: Named>(cx: &Cx, name: &str, arn: &str) -> OpResult<()> {
    match tags_of(cx, arn).await {
        Ok(Some(there)) if !tags::are_of_step(cx, &there) => {
            let message = format!("the call gave back {} `{name}`{}, not ours", N::WHAT, tags::owner(cx, &there));
            Err(OpError::new(ErrorClass::AlreadyExists, message))
        }
        _ => Ok(()),
    }
}

/// The end of an ARN, by which `CloudWatch` names it: `app/web/50dc6c495c0c9188` of a load balancer,
/// `targetgroup/web/73e2d6bc24d8a067` of a target group.
fn arn_suffix(arn: &str) -> String {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    resource.strip_prefix("loadbalancer/").unwrap_or(resource).to_owned()
}

/// A name of a load balancer or a target group.
fn check_name(name: &str, field: &str, errors: &mut Vec<ParamError>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let wrong = !(1..=32).contains(&name.len())
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name.ends_with('-')
        || name.starts_with("internal-");
    if wrong {
        let wanted = "1 to 32 letters, digits and hyphens, no hyphen at an end, not beginning with `internal-`";
        errors.push(ParamError::new(field, format!("{name:?} is not a name of {wanted}")));
    }
}

fn check_port(port: i32, errors: &mut Vec<ParamError>) {
    if !(1..=65535).contains(&port) {
        errors.push(ParamError::new("port", format!("a port is 1 to 65535, this one is {port}")));
    }
}

/// The keys of attributes; their values are for AWS to judge.
fn check_attributes(attributes: &BTreeMap<String, String>, errors: &mut Vec<ParamError>) {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
    for key in attributes.keys().filter(|key| key.is_empty() || !key.chars().all(fits)) {
        let message = "is not a key of an attribute, such as `idle_timeout.timeout_seconds`";
        errors.push(ParamError { path: vec!["attributes".to_owned(), key.clone()], message: message.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_arn_names_it_in_metrics() {
        for (resource, suffix) in [
            ("loadbalancer/app/web/50dc6c495c0c9188", "app/web/50dc6c495c0c9188"),
            ("targetgroup/web/73e2d6bc24d8a067", "targetgroup/web/73e2d6bc24d8a067"),
        ] {
            let arn = format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{resource}");
            assert_eq!(arn_suffix(&arn), suffix);
        }
    }

    #[test]
    fn names_are_held_to_the_rules() {
        for (name, fine) in [
            ("mistersmith-alb", true),
            ("A1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a_b", false),
            ("internal-a", false),
            (&"a".repeat(33), false),
        ] {
            let mut errors = Vec::new();
            check_name(name, "name", &mut errors);
            assert_eq!(errors.is_empty(), fine, "{name}");
        }
    }
}
