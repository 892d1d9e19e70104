//! `aws.iam.policy`: a policy of the account's own, which roles can have in common.
//!
//! Its name is unique in the account, whatever its path, so a second create is impossible and a name
//! that is taken is found before the first one. The document that it is made with is its first version;
//! versions that others added are theirs, and a policy that somebody still uses is not deleted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::client;
use super::resource::{self, Policy as Described};
use crate::calls::{Absent, Calls, nameless};
use crate::document::{Document, Purpose, decoded, normal};
use crate::errors::{Call, found, op_error};
use crate::ids::PolicyArn;
use crate::named::{self, Named, POLL};
use crate::tags::Tags;

/// The longest document of a managed policy.
const LONGEST: usize = 6144;
/// What IAM calls the version that a policy is made with.
const FIRST_VERSION: &str = "v1";

/// A managed IAM policy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, unique in the account: 1 to 128 letters, digits and `_+=,.@-` (`CreatePolicy` PolicyName).
    pub policy_name: String,
    /// What it allows or denies: a policy document, as an object or as its JSON text (`CreatePolicy`
    /// PolicyDocument).
    pub policy_document: Document,
    /// What it is for, up to 1000 characters, cannot be changed later (`CreatePolicy` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the name stands, `/teams/web/` (`CreatePolicy` Path). AWS's default: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Tags, beside those that say whose it is (`CreatePolicy` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub policy_name: String,
    /// Its ARN.
    pub policy_arn: PolicyArn,
    /// Its id, which no later policy of that name has.
    pub policy_id: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy;

impl Params {
    fn about(&self) -> String {
        format!("policy `{}`", self.policy_name)
    }
}

fn output(policy: &aws_sdk_iam::types::Policy) -> Output {
    Output {
        policy_name: policy.policy_name().unwrap_or_default().to_owned(),
        policy_arn: PolicyArn::new(policy.arn().unwrap_or_default()),
        policy_id: policy.policy_id().unwrap_or_default().to_owned(),
    }
}

/// The versions that this step did not make. A policy that is not there has none.
async fn foreign_versions(cx: &Cx, arn: &str) -> OpResult<Vec<String>> {
    let pages = client(cx)?.list_policy_versions().policy_arn(arn).into_paginator().items().send();
    let listed = pages.try_collect().await.map_err(|e| op_error(Call::new("iam:ListPolicyVersions", arn), e));
    let versions = found(listed)?.unwrap_or_default().into_iter().filter_map(|version| version.version_id);
    Ok(versions.filter(|version| version != FIRST_VERSION).collect())
}

/// The document of the version that counts, as text.
async fn document(cx: &Cx, policy: &Described) -> OpResult<String> {
    let (arn, version) = (policy.id(), policy.now.default_version_id().unwrap_or(FIRST_VERSION));
    let about = format!("version {version} of {arn}");
    let read = client(cx)?.get_policy_version().policy_arn(arn).version_id(version).send().await;
    let read = read.map_err(|e| op_error(Call::new("iam:GetPolicyVersion", &about), e));
    let version = found(read)?.and_then(|reply| reply.policy_version);
    Ok(version.and_then(|version| version.document).map(|text| decoded(&text)).unwrap_or_default())
}

/// Who uses the policy, for a hint. No answer is no hint.
async fn users(cx: &Cx, arn: &str) -> Option<String> {
    let list = client(cx).ok()?.list_entities_for_policy().policy_arn(arn).send().await.ok()?;
    let roles = list.policy_roles().iter().filter_map(|r| r.role_name()).map(|name| format!("role `{name}`"));
    let users = list.policy_users().iter().filter_map(|u| u.user_name()).map(|name| format!("user `{name}`"));
    let groups = list.policy_groups().iter().filter_map(|g| g.group_name()).map(|name| format!("group `{name}`"));
    let all: Vec<_> = roles.chain(users).chain(groups).collect();
    (!all.is_empty()).then(|| format!("it is used by {}: take it off there", all.join(", ")))
}

impl Operation for Policy {
    const KIND: &'static str = "aws.iam.policy";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees the policy as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "iam:ListPolicies",
                "iam:GetPolicy",
                "iam:GetPolicyVersion",
                "iam:ListPolicyVersions",
                "iam:ListEntitiesForPolicy",
            ],
            creates: "iam:CreatePolicy",
            settles: Vec::new(),
            rolls_back: vec!["iam:DeletePolicy"],
            besides: &["iam:TagPolicy"],
        };
        let path = params.path.as_deref().unwrap_or("/");
        let arn = format!("arn:{{partition}}:iam::{{account}}:policy{path}{}", params.policy_name);
        Facts { unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            policy_name: "app-read".to_owned(),
            policy_document: Document::new(json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::app/*"}],
            })),
            description: Some("Reads what the application stores".to_owned()),
            path: Some("/app/".to_owned()),
            tags: Tags::from([("Name".to_owned(), "app-read".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        resource::check_name(&params.policy_name, 128, "policy_name", &mut errors);
        params.policy_document.check(Purpose::Identity, LONGEST, "policy_document", &mut errors);
        resource::check_description(params.description.as_deref(), &mut errors);
        resource::check_path(params.path.as_deref(), &mut errors);
        crate::tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Described>(cx, &params.policy_name).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<Described>(cx, known, "policy_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_policy()
            .policy_name(&params.policy_name)
            .policy_document(params.policy_document.text())
            .set_description(params.description.clone())
            .set_path(params.path.clone())
            .set_tags(Some(resource::all_tags(cx, &params.tags)?))
            .send()
            .await
            .map_err(|e| op_error(Call::new("iam:CreatePolicy", &about), e))?;
        let policy = reply.policy().filter(|policy| policy.arn().is_some());
        policy.map(output).ok_or_else(|| nameless("iam:CreatePolicy", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Described, _>(cx, &params.policy_name, |policy| output(&policy.now)).await
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let (arn, about) = (out.policy_arn.as_str(), params.about());
        let foreign = foreign_versions(cx, arn).await?;
        if named::ours::<Described>(cx, arn).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        if !foreign.is_empty() {
            return Err(OpError::drift(format!(
                "{about} has versions that this run did not make: {}",
                foreign.join(", ")
            )));
        }
        let deleted = client(cx)?.delete_policy().policy_arn(arn).send().await;
        match found(deleted.map_err(|e| op_error(Call::new("iam:DeletePolicy", &about), e))) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Undo::Nothing),
            Err(e) if e.class == ErrorClass::Busy => return Err(OpError { hint: users(cx, arn).await, ..e }),
            Err(e) => return Err(e),
        }
        named::wait_until_gone::<Described>(cx, arn, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = out.map_or(params.policy_name.as_str(), |o| o.policy_arn.as_str());
        if want == Expect::RolledBack {
            return named::verify_gone::<Described>(cx, name).await;
        }
        let Some(policy) = Described::read(cx, name).await? else { return Ok(named::missing::<Described>(name)) };
        let (now, text) = (&policy.now, document(cx, &policy).await?);
        let mut verdict = named::verdict(cx, &policy, &params.tags).compare(
            "policy_document",
            params.policy_document.normal(),
            normal(&text),
        );
        if let Some(description) = &params.description {
            verdict = verdict.compare("description", description.as_str(), now.description().unwrap_or_default());
        }
        if let Some(path) = &params.path {
            verdict = verdict.compare("path", path.as_str(), now.path());
        }
        verdict.observed = json!({
            "policy_name": now.policy_name(), "policy_arn": now.arn(), "policy_id": now.policy_id(),
            "path": now.path(), "description": now.description(), "default_version_id": now.default_version_id(),
            "attachment_count": now.attachment_count(), "policy_document": text, "tags": policy.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, cx};

    const ARN: &str = "arn:aws:iam::123456789012:policy/app/app-read";
    const GONE: Answer = Answer::Reply(404, "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>");

    fn params() -> Params {
        Policy::example().unwrap()
    }

    fn out() -> Output {
        Output { policy_name: "app-read".to_owned(), policy_arn: PolicyArn::new(ARN), policy_id: "ANPA1".to_owned() }
    }

    fn reply(text: String) -> Answer {
        Answer::Reply(200, text.leak())
    }

    /// `GetPolicy` of this step's policy.
    fn there() -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7));
        let tag = |key: &str, value: &str| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
        reply(format!(
            "<GetPolicyResponse><GetPolicyResult><Policy><PolicyName>app-read</PolicyName><PolicyId>ANPA1</PolicyId>\
             <Arn>{ARN}</Arn><Path>/app/</Path><DefaultVersionId>v2</DefaultVersionId>\
             <Description>Reads what the application stores</Description><Tags>{}{}{}{}</Tags></Policy>\
             </GetPolicyResult></GetPolicyResponse>",
            tag("Name", "app-read"),
            tag("switchback:run", &run.to_string()),
            tag("switchback:step", "policy"),
            tag("switchback:generation", "1"),
        ))
    }

    fn versions(ids: &[&str]) -> Answer {
        let items: String = ids.iter().map(|id| format!("<member><VersionId>{id}</VersionId></member>")).collect();
        reply(format!(
            "<ListPolicyVersionsResponse><ListPolicyVersionsResult><Versions>{items}</Versions>\
             </ListPolicyVersionsResult></ListPolicyVersionsResponse>"
        ))
    }

    fn version(document: &str) -> Answer {
        reply(format!(
            "<GetPolicyVersionResponse><GetPolicyVersionResult><PolicyVersion><VersionId>v1</VersionId>\
             <Document>{document}</Document></PolicyVersion></GetPolicyVersionResult></GetPolicyVersionResponse>"
        ))
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(Policy.check(&params()).is_ok());
        let wrong = Params {
            policy_name: "a/b".to_owned(),
            policy_document: Document::new(json!("x")),
            description: Some("λ".to_owned()),
            path: Some("app".to_owned()),
            tags: Tags::from([("aws:x".to_owned(), String::new())]),
        };
        let errors = Policy.check(&wrong).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.path.join(".")).collect();
        assert_eq!(fields, ["policy_name", "policy_document", "description", "path", "tags.aws:x"]);
        let facts = Policy.facts(&params());
        assert_eq!(facts.arns, ["arn:{partition}:iam::{account}:policy/app/app-read"]);
        assert!(facts.unique && facts.extra_actions == ["iam:TagPolicy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_document_that_counts_is_compared() {
        let same = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22\
                    %3A%5B%22s3%3AGetObject%22%5D%2C%22Resource%22%3A%5B%22arn%3Aaws%3As3%3A%3A%3Aapp%2F%2A%22%5D%7D%7D";
        let other = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        let script = Script::new([there(), version(same), there(), version(other)]);
        let cx = cx("policy", script.config()).await;
        for wrong in [&[][..], &["policy_document"]] {
            let verdict = Policy.verify(&cx, &params(), &Absent {}, Some(&out()), Expect::Created).await.unwrap();
            let got: Vec<_> = verdict.compared.iter().filter(|c| !c.holds()).map(|c| c.what.as_str()).collect();
            assert_eq!(got, wrong, "{verdict:?}");
        }
        assert!(script.bodies.lock().unwrap()[1].contains("VersionId=v2"), "the version that counts, whoever made it");
    }

    #[tokio::test(start_paused = true)]
    async fn versions_that_others_made_stay() {
        let script = Script::new([versions(&["v2", "v1"]), there()]);
        let cx = cx("policy", script.config()).await;
        let error = Policy.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap_err();
        assert_eq!((error.class, script.requests()), (ErrorClass::Drift, 2), "{error}");
        assert!(error.message.ends_with("did not make: v2"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_uses_it_is_named() {
        let used = "<ErrorResponse><Error><Code>DeleteConflict</Code></Error></ErrorResponse>";
        let by = "<ListEntitiesForPolicyResponse><ListEntitiesForPolicyResult><PolicyRoles><member><RoleName>web\
                  </RoleName></member></PolicyRoles></ListEntitiesForPolicyResult></ListEntitiesForPolicyResponse>";
        let script = Script::new([versions(&["v1"]), there(), Answer::Reply(409, used), Answer::Reply(200, by)]);
        let cx = cx("policy", script.config()).await;
        let error = Policy.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Busy);
        assert_eq!(error.hint.as_deref(), Some("it is used by role `web`: take it off there"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_undone_once_it_is_gone() {
        let deleted = Answer::Reply(200, "<DeletePolicyResponse/>");
        let script = Script::new([versions(&["v1"]), there(), deleted, there(), GONE, GONE, GONE]);
        let cx = cx("policy", script.config()).await;
        assert_eq!(Policy.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap(), Undo::Done);
        assert_eq!(Policy.rollback(&cx, &params(), &Absent {}, &out()).await.unwrap(), Undo::Nothing);
        assert_eq!(script.requests(), 7);
    }
}
