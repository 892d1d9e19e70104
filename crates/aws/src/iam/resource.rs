//! What the operations on IAM do alike: read a role or a policy with its tags, hold names and paths to
//! IAM's rules, tell whose work a thing on a role is.

use aws_sdk_iam::types::{Policy as DescribedPolicy, PolicyScopeType, Role as DescribedRole, Tag};
use switchback_engine::Cx;
use switchback_engine::operation::ParamError;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::client;
use crate::errors::{Call, found, op_error};
use crate::named::Named;
use crate::tags::{self, Tags};

/// A role and its tags, by its name.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) now: DescribedRole,
    tags: Tags,
}

impl Named for Role {
    const WHAT: &'static str = "IAM role";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let read = client(cx)?.get_role().role_name(name).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("iam:GetRole", name), e)))?;
        Ok(read.and_then(|reply| reply.role).map(|now| Self { tags: read_tags(now.tags()), now }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.role_id()
    }
}

/// A customer managed policy and its tags, by its name or its ARN. A name has no colon.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) now: DescribedPolicy,
    tags: Tags,
}

impl Named for Policy {
    const WHAT: &'static str = "IAM policy";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let arn = if name.contains(':') { Some(name.to_owned()) } else { arn_of_policy(cx, name).await? };
        let Some(arn) = arn else { return Ok(None) };
        let read = client(cx)?.get_policy().policy_arn(&arn).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("iam:GetPolicy", &arn), e)))?;
        Ok(read.and_then(|reply| reply.policy).map(|now| Self { tags: read_tags(now.tags()), now }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.arn().unwrap_or_default()
    }
}

/// The ARN of the account's policy of that name. IAM takes no two names that differ in their case or
/// path only, and has no call that reads by name.
async fn arn_of_policy(cx: &Cx, name: &str) -> OpResult<Option<String>> {
    let mut pages = client(cx)?.list_policies().scope(PolicyScopeType::Local).into_paginator().items().send();
    while let Some(policy) = pages.next().await {
        let policy = policy.map_err(|e| op_error(Call::new("iam:ListPolicies", name), e))?;
        if policy.policy_name().is_some_and(|other| other.eq_ignore_ascii_case(name)) {
            return Ok(policy.arn);
        }
    }
    Ok(None)
}

fn read_tags(tags: &[Tag]) -> Tags {
    tags::read(tags.iter().map(|t| (Some(t.key()), Some(t.value()))))
}

/// The user's tags and ours, for a create call.
///
/// # Errors
/// None in practice: the SDK asks for a key and a value, and both are given.
pub(super) fn all_tags(cx: &Cx, user: &Tags) -> OpResult<Vec<Tag>> {
    let tag = |(key, value)| Tag::builder().key(key).value(value).build();
    let tags: Result<_, _> = tags::all(cx, user).into_iter().map(tag).collect();
    tags.map_err(|e| OpError::permanent(format!("a tag cannot be sent: {e}")))
}

/// What is on a role has no tags of its own. On a role that this run made nobody else has a reason to
/// put the same; on another it could be anybody's.
pub(super) async fn proof_by_role(cx: &Cx, role: &str) -> OpResult<Proof> {
    let role = Role::read(cx, role).await?;
    Ok(if role.is_some_and(|r| tags::are_of_run(cx, r.tags())) { Proof::Strong } else { Proof::Weak })
}

/// The ARNs that a role of that name may have: its ARN has its path, which its name does not tell.
pub(super) fn arns_of_role(name: &str) -> Vec<String> {
    ["", "*/"].map(|path| format!("arn:{{partition}}:iam::{{account}}:role/{path}{name}")).into()
}

/// Holds a name to IAM's rules: up to `longest` letters, digits and `_+=,.@-`.
pub(super) fn check_name(name: &str, longest: usize, field: &str, errors: &mut Vec<ParamError>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(1..=longest).contains(&name.len()) || !name.chars().all(fits) {
        let message = format!("{name:?} is not a name of 1 to {longest} letters, digits and _ + = , . @ -");
        errors.push(ParamError::new(field, message));
    }
}

/// Holds a path to IAM's rules.
pub(super) fn check_path(path: Option<&str>, errors: &mut Vec<ParamError>) {
    let Some(path) = path else { return };
    let whole = path.len() <= 512 && path.starts_with('/') && path.ends_with('/') && !path.contains("//");
    if !whole || !path.chars().all(|c| c.is_ascii_graphic()) {
        let message = format!("{path:?} is not a path such as `/teams/web/`, of up to 512 characters");
        errors.push(ParamError::new("path", message));
    }
}

/// Holds a description to IAM's rules.
pub(super) fn check_description(description: Option<&str>, errors: &mut Vec<ParamError>) {
    let Some(description) = description else { return };
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '¡'..='ÿ');
    if description.chars().count() > 1000 || !description.chars().all(fits) {
        errors.push(ParamError::new("description", "has up to 1000 characters of Latin-1"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx};

    #[test]
    fn names_and_paths_are_held_to_the_rules() {
        let wrong = |check: &dyn Fn(&mut Vec<ParamError>)| {
            let mut errors = Vec::new();
            check(&mut errors);
            !errors.is_empty()
        };
        for (name, fine) in [("App_1+=,.@-", true), ("", false), ("a b", false), ("a/b", false), ("größe", false)] {
            assert_eq!(!wrong(&|errors| check_name(name, 64, "role_name", errors)), fine, "{name}");
        }
        assert!(wrong(&|errors| check_name(&"a".repeat(65), 64, "role_name", errors)));
        for (path, fine) in [("/", true), ("/a/b/", true), ("a/", false), ("/a", false), ("//", false), ("/ /", false)]
        {
            assert_eq!(!wrong(&|errors| check_path(Some(path), errors)), fine, "{path}");
        }
        assert!(!wrong(&|errors| check_description(Some("größe\n"), errors)));
        assert!(wrong(&|errors| check_description(Some("λ"), errors)));
        assert!(wrong(&|errors| check_description(Some(&"a".repeat(1001)), errors)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_is_found_by_its_name_whatever_its_path_and_case() {
        let page = "<ListPoliciesResponse><ListPoliciesResult><IsTruncated>false</IsTruncated><Policies><member>\
             <PolicyName>other</PolicyName><Arn>arn:aws:iam::123456789012:policy/other</Arn></member><member>\
             <PolicyName>APP</PolicyName><Arn>arn:aws:iam::123456789012:policy/x/APP</Arn></member></Policies>\
             </ListPoliciesResult></ListPoliciesResponse>";
        let read = "<GetPolicyResponse><GetPolicyResult><Policy><Arn>arn:aws:iam::123456789012:policy/x/APP</Arn>\
             <Tags><member><Key>a</Key><Value>b</Value></member></Tags></Policy></GetPolicyResult></GetPolicyResponse>";
        let script = Script::new([Answer::Reply(200, page), Answer::Reply(200, read), Answer::Reply(200, page)]);
        let cx = cx("policy", script.config()).await;
        let policy = Policy::read(&cx, "app").await.unwrap().unwrap();
        assert_eq!(policy.id(), "arn:aws:iam::123456789012:policy/x/APP");
        assert_eq!(policy.tags()["a"], "b");
        assert!(Policy::read(&cx, "none").await.unwrap().is_none());
        assert_eq!(script.requests(), 3, "what is not listed is not read");
    }
}
