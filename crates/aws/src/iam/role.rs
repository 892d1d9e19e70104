//! `aws.iam.role`: who something in AWS acts as, and who may act so.
//!
//! Its name is unique in the account, so a second create is impossible and a name that is taken is
//! found before the first one. What the role may do is put on it by steps of their own
//! ([`role_policy_attachment`](super::role_policy_attachment),
//! [`role_inline_policy`](super::role_inline_policy)). IAM deletes no role that holds anything, and
//! what others put on it is theirs: `rollback` names it and takes nothing off.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::client;
use super::resource::{self, Role as Described};
use crate::calls::{Absent, Calls, nameless};
use crate::document::{Document, Purpose, decoded, normal};
use crate::errors::{Call, found, op_error};
use crate::ids::{PolicyArn, RoleArn, RoleName};
use crate::named::{self, Named, POLL};
use crate::tags::Tags;

/// The longest trust policy that an account's quota can be raised to.
const LONGEST_TRUST: usize = 4096;

/// An IAM role, without permissions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, unique in the account: 1 to 64 letters, digits and `_+=,.@-` (`CreateRole` RoleName).
    pub role_name: String,
    /// Who may act as the role: a policy document, as an object or as its JSON text (`CreateRole`
    /// AssumeRolePolicyDocument).
    pub assume_role_policy_document: Document,
    /// What it is for, up to 1000 characters (`CreateRole` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the name stands, `/teams/web/` (`CreateRole` Path). AWS's default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long a session may last, in seconds, 3600 to 43200 (`CreateRole` MaxSessionDuration). AWS's
    /// default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_session_duration: Option<i32>,
    /// The policy beyond which nothing is allowed, whatever the role holds (`CreateRole`
    /// PermissionsBoundary).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<PolicyArn>,
    /// Tags, beside those that say whose it is (`CreateRole` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub role_name: RoleName,
    /// Its ARN.
    pub role_arn: RoleArn,
    /// Its id, which no later role of that name has.
    pub role_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Role;

impl Params {
    fn about(&self) -> String {
        format!("role `{}`", self.role_name)
    }
}

fn output(role: &aws_sdk_iam::types::Role) -> Output {
    Output {
        role_name: RoleName::new(role.role_name()),
        role_arn: RoleArn::new(role.arn()),
        role_id: role.role_id().to_owned(),
    }
}

/// What is on the role, in words. A role that is not there holds nothing.
async fn held(cx: &Cx, name: &str) -> OpResult<Vec<String>> {
    let iam = client(cx)?;
    let pages = iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
    let listed = pages.try_collect().await.map_err(|e| op_error(Call::new("iam:ListAttachedRolePolicies", name), e));
    let attached = found(listed)?.unwrap_or_default();
    let pages = iam.list_role_policies().role_name(name).into_paginator().items().send();
    let listed = pages.try_collect().await.map_err(|e| op_error(Call::new("iam:ListRolePolicies", name), e));
    let inline = found(listed)?.unwrap_or_default();
    let pages = iam.list_instance_profiles_for_role().role_name(name).into_paginator().items().send();
    let listed = pages.try_collect().await.map_err(|e| op_error(Call::new("iam:ListInstanceProfilesForRole", name), e));
    let profiles = found(listed)?.unwrap_or_default();
    Ok(attached
        .iter()
        .filter_map(|policy| policy.policy_arn().map(|arn| format!("the attached policy {arn}")))
        .chain(inline.iter().map(|policy| format!("the inline policy `{policy}`")))
        .chain(profiles.iter().map(|profile| format!("the instance profile `{}`", profile.instance_profile_name())))
        .collect())
}

impl Operation for Role {
    const KIND: &'static str = "aws.iam.role";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the role as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "iam:GetRole",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:ListInstanceProfilesForRole",
            ],
            creates: "iam:CreateRole",
            settles: Vec::new(),
            rolls_back: vec!["iam:DeleteRole"],
            besides: &["iam:TagRole"],
        };
        let path = params.path.as_deref().unwrap_or("/");
        let arn = format!("arn:{{partition}}:iam::{{account}}:role{path}{}", params.role_name);
        Facts { unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            role_name: "app-task".to_owned(),
            assume_role_policy_document: Document::new(json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }],
            })),
            description: Some("What the application may do".to_owned()),
            path: Some("/app/".to_owned()),
            max_session_duration: Some(7200),
            permissions_boundary: Some(PolicyArn::new("arn:aws:iam::aws:policy/PowerUserAccess")),
            tags: Tags::from([("Name".to_owned(), "app-task".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        resource::check_name(&params.role_name, 64, "role_name", &mut errors);
        params.assume_role_policy_document.check(
            Purpose::Trust,
            LONGEST_TRUST,
            "assume_role_policy_document",
            &mut errors,
        );
        resource::check_description(params.description.as_deref(), &mut errors);
        resource::check_path(params.path.as_deref(), &mut errors);
        if params.max_session_duration.is_some_and(|seconds| !(3600..=43_200).contains(&seconds)) {
            errors.push(ParamError::new("max_session_duration", "is between 3600 and 43200 seconds"));
        }
        if let Some(boundary) = &params.permissions_boundary {
            boundary.check("permissions_boundary", &mut errors);
        }
        crate::tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Described>(cx, &params.role_name).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<Described>(cx, known, "role_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_role()
            .role_name(&params.role_name)
            .assume_role_policy_document(params.assume_role_policy_document.text())
            .set_description(params.description.clone())
            .set_path(params.path.clone())
            .set_max_session_duration(params.max_session_duration)
            .set_permissions_boundary(params.permissions_boundary.as_ref().map(ToString::to_string))
            .set_tags(Some(resource::all_tags(cx, &params.tags)?))
            .send()
            .await
            .map_err(|e| op_error(Call::new("iam:CreateRole", &about).just_made(), e))?;
        reply.role().map(output).ok_or_else(|| nameless("iam:CreateRole", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Described, _>(cx, &params.role_name, |role| output(&role.now)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.role_name.as_str();
        // Steps of this run have taken off what they put on, which may not be seen everywhere yet.
        let waiting_for = format!("waiting until nothing is on {} any more", params.about());
        let held = named::patiently(cx, &waiting_for, || held(cx, name), Vec::is_empty).await?;
        if named::ours::<Described>(cx, name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        if !held.is_empty() {
            return Err(OpError::drift(format!(
                "{} holds what this run did not put there, or no longer takes off: {}",
                params.about(),
                held.join(", ")
            ))
            .with_hint("see whose it is, take it off the role, and `switchback unwind` again"));
        }
        let deleted = client(cx)?.delete_role().role_name(name).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("iam:DeleteRole", name), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Described>(cx, name, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.role_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<Described>(cx, name).await;
        }
        let Some(role) = Described::read(cx, name).await? else { return Ok(named::missing::<Described>(name)) };
        let now = &role.now;
        let trust = now.assume_role_policy_document().unwrap_or_default();
        let mut verdict = named::verdict(cx, &role, &params.tags).compare(
            "assume_role_policy_document",
            params.assume_role_policy_document.normal(),
            normal(trust),
        );
        if let Some(description) = &params.description {
            verdict = verdict.compare("description", description.as_str(), now.description().unwrap_or_default());
        }
        if let Some(path) = &params.path {
            verdict = verdict.compare("path", path.as_str(), now.path());
        }
        if let Some(seconds) = params.max_session_duration {
            verdict = verdict.compare("max_session_duration", seconds, now.max_session_duration());
        }
        let boundary = now.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn());
        if let Some(wanted) = &params.permissions_boundary {
            verdict = verdict.compare("permissions_boundary", wanted.as_str(), boundary);
        }
        verdict.observed = json!({
            "role_name": now.role_name(), "role_arn": now.arn(), "role_id": now.role_id(), "path": now.path(),
            "description": now.description(), "max_session_duration": now.max_session_duration(),
            "permissions_boundary": boundary, "assume_role_policy_document": decoded(trust), "tags": role.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const GONE: Answer = Answer::Reply(404, "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>");

    fn params() -> Params {
        Params { path: None, permissions_boundary: None, ..Role::example().unwrap() }
    }

    fn out() -> Output {
        Output {
            role_name: RoleName::new("app-task"),
            role_arn: RoleArn::new("arn:aws:iam::123456789012:role/app-task"),
            role_id: "AROA1".to_owned(),
        }
    }

    /// `GetRole` of a role with a trust policy as AWS encodes it, made by that step.
    fn there(step: &str, more: &str) -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7));
        let tag = |key: &str, value: &str| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
        let tags = [
            tag("Name", "app-task"),
            tag("switchback:run", &run.to_string()),
            tag("switchback:step", step),
            tag("switchback:generation", "1"),
        ];
        let text = format!(
            "<GetRoleResponse><GetRoleResult><Role><Path>/</Path><RoleName>app-task</RoleName><RoleId>AROA1</RoleId>\
             <Arn>arn:aws:iam::123456789012:role/app-task</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>\
             <AssumeRolePolicyDocument>%7B%22Statement%22%3A%7B%22Action%22%3A%5B%22sts%3AAssumeRole%22%5D%2C%22Effect\
             %22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22ecs-tasks.amazonaws.com%22%7D%7D%2C%22Version\
             %22%3A%222012-10-17%22%7D</AssumeRolePolicyDocument>{more}<Tags>{}</Tags></Role></GetRoleResult>\
             </GetRoleResponse>",
            tags.concat()
        );
        Answer::Reply(200, text.leak())
    }

    /// The replies to the three lists of what is on a role.
    fn holds(attached: &str) -> [Answer; 3] {
        let list = |call: &str, field: &str, items: &str| {
            let text = format!(
                "<{call}Response><{call}Result><IsTruncated>false</IsTruncated><{field}>{items}</{field}></{call}Result>\
                 </{call}Response>"
            );
            Answer::Reply(200, text.leak())
        };
        [
            list("ListAttachedRolePolicies", "AttachedPolicies", attached),
            list("ListRolePolicies", "PolicyNames", ""),
            list("ListInstanceProfilesForRole", "InstanceProfiles", ""),
        ]
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Role.check(&Role::example().unwrap()).is_ok());
        let params = Params {
            role_name: "a b".to_owned(),
            assume_role_policy_document: Document::new(json!("{}")),
            description: Some("λ".to_owned()),
            path: Some("app".to_owned()),
            max_session_duration: Some(60),
            permissions_boundary: Some(PolicyArn::new("arn:aws:iam::123456789012:role/x")),
            tags: Tags::from([("aws:x".to_owned(), String::new())]),
        };
        let errors = Role.check(&params).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(
            fields,
            [
                "role_name",
                "assume_role_policy_document",
                "description",
                "path",
                "max_session_duration",
                "permissions_boundary",
                "tags.aws:x"
            ]
        );
    }

    #[test]
    fn its_arn_is_known_before_it_is_made() {
        let facts = Role.facts(&Role::example().unwrap());
        assert_eq!(facts.arns, ["arn:{partition}:iam::{account}:role/app/app-task"]);
        assert_eq!(Role.facts(&params()).arns, ["arn:{partition}:iam::{account}:role/app-task"]);
        assert!(facts.unique && facts.extra_actions == ["iam:TagRole"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_aws_writes_another_way_is_no_drift() {
        let more =
            "<Description>What the application may do</Description><MaxSessionDuration>7200</MaxSessionDuration>";
        let script = Script::new([there("role", more), there("role", "<MaxSessionDuration>3600</MaxSessionDuration>")]);
        let (cx, _) = watched("role", script.config()).await;
        let verdict = Role.verify(&cx, &params(), &Absent {}, None, Expect::Created).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
        let verdict = Role.verify(&cx, &params(), &Absent {}, None, Expect::Created).await.unwrap();
        let wrong: Vec<_> = verdict.compared.iter().filter(|c| !c.holds()).map(|c| c.what.as_str()).collect();
        assert_eq!(wrong, ["description", "max_session_duration"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_put_on_it_is_named_and_stays() {
        let other = "<member><PolicyName>x</PolicyName><PolicyArn>arn:aws:iam::aws:policy/x</PolicyArn></member>";
        // Five looks, for until the quiet period is over it may be ours, taken off a moment ago.
        let looks = std::iter::repeat_n(holds(other), 5).flatten();
        let script = Script::new(looks.chain([there("role", "")]));
        let (cx, watch) = watched("role", script.config().with_quiet(Duration::from_secs(2))).await;
        let error = Role.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(error.message.contains("the attached policy arn:aws:iam::aws:policy/x"), "{error}");
        assert_eq!(script.requests(), 16);
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "DeleteRole"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_of_that_name_that_is_not_ours_stays() {
        let script = Script::new(holds("").into_iter().chain([there("other", "")]));
        let (cx, _) = watched("role", script.config()).await;
        let error = Role.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap_err();
        assert_eq!((error.class, script.requests()), (ErrorClass::Drift, 4), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_it_is_gone() {
        let deleted = Answer::Reply(200, "<DeleteRoleResponse/>");
        let ours = there("role", "");
        let script = Script::new(holds("").into_iter().chain([ours.clone(), deleted, ours, GONE]));
        let (cx, _) = watched("role", script.config()).await;
        assert_eq!(Role.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap(), Undo::Done);
        assert_eq!(script.requests(), 7);
        let script = Script::new([GONE, GONE, GONE, GONE]);
        let (cx, _) = watched("role", script.config()).await;
        assert_eq!(Role.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap(), Undo::Nothing);
    }
}
