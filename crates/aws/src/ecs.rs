//! Amazon ECS: clusters, task definitions, services, tasks.
//!
//! One file an operation, in this order: parameters, before-image, output, the operation, tests. `form` is how parts
//! of its calls are written and read, `container` what a task is made of, `network` where it runs; `deployment` is
//! what a service and its update wait for.

pub mod cluster;
pub mod configuration;
pub mod container;
mod deployment;
mod form;
pub mod network;
pub mod run_task;
pub mod service;
pub mod service_update;
pub mod task_definition;

use aws_sdk_ecs::types::Tag;
use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::{ErrorClass, OpError, OpResult};

use crate::context::AwsContext;
use crate::tags::{self, Tags};

fn client(cx: &Cx) -> OpResult<aws_sdk_ecs::Client> {
    Ok(cx.get::<AwsContext>()?.ecs(cx))
}

fn pair(tag: &Tag) -> (Option<&str>, Option<&str>) {
    (tag.key(), tag.value())
}

/// The user's tags and ours, for a create call.
fn all_tags(cx: &Cx, user: &Tags) -> Option<Vec<Tag>> {
    let tag = |(key, value): (String, String)| Tag::builder().key(key).value(value).build();
    Some(tags::all(cx, user).into_iter().map(tag).collect())
}

/// ECS has few codes: that it does not see yet what was made a moment ago, or that a name is not free yet, only its
/// text tells.
fn unless_unseen(mut error: OpError) -> OpError {
    const TEXTS: [&str; 7] = [
        "assume the service linked role",
        "unable to assume the role",
        "taskdefinition not found",
        "still draining",
        "does not exist",
        "was not found",
        "does not have an associated load balancer",
    ];
    let vague = ["ClientException", "InvalidParameterException"];
    let text = error.message.to_lowercase();
    if error.code.as_deref().is_some_and(|c| vague.contains(&c)) && TEXTS.iter().any(|t| text.contains(t)) {
        error.class = ErrorClass::Busy;
    }
    error
}

/// The names of clusters, services and families.
fn check_name(name: &str, field: &str, errors: &mut Vec<ParamError>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !(1..=255).contains(&name.len()) || !name.chars().all(fits) {
        errors.push(ParamError::new(field, format!("{name:?} is not 1 to 255 letters, digits, _ and -")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_yet_is_waited_for() {
        let class = |code: &str, text: &str| unless_unseen(OpError::permanent(text).with_code(code)).class;
        for text in ["was refused: TaskDefinition not found", "Unable to Start a service that is still Draining"] {
            assert_eq!(class("ClientException", text), ErrorClass::Busy, "{text}");
            assert_eq!(class("AccessDeniedException", text), ErrorClass::Permanent, "{text}");
        }
        assert_eq!(class("InvalidParameterException", "Invalid revision number"), ErrorClass::Permanent);
    }

    #[test]
    fn names_are_held_to_the_rules() {
        for (name, fine) in [("a_B-1", true), ("", false), ("a/b", false)] {
            let mut errors = Vec::new();
            check_name(name, "cluster", &mut errors);
            assert_eq!(errors.is_empty(), fine, "{name}");
        }
    }
}
