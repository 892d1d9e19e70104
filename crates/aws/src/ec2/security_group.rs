//! `aws.ec2.security_group`: a firewall around network interfaces, without rules of ours.
//!
//! Its name is unique in its VPC, so a second create is impossible and a name that is taken is found
//! before the first one. Each rule is a step of its own
//! ([`security_group_rule`](super::security_group_rule)): two groups whose rules name each other are
//! two groups and then the rules. AWS puts one rule into a new group, which lets everything out.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, SecurityGroup as Described, SecurityGroupRule, Vpc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::{Absent, Calls, client, resource, rule, tags};
use crate::errors::{Call, op_error};
use crate::ids::{SecurityGroupId, VpcId};

/// A security group: a firewall around network interfaces, without rules of ours.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, unique in the VPC: 1 to 255 characters, not `sg-...` (`CreateSecurityGroup` GroupName).
    pub group_name: String,
    /// What it is for: 1 to 255 characters, cannot be changed later (`CreateSecurityGroup` Description).
    pub description: String,
    /// The VPC that it is in (`CreateSecurityGroup` VpcId).
    pub vpc_id: VpcId,
    /// Tags, beside those that say whose it is (`CreateSecurityGroup` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub group_id: SecurityGroupId,
    /// Its name.
    pub group_name: String,
    /// The VPC that it is in.
    pub vpc_id: VpcId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecurityGroup;

impl Params {
    fn about(&self) -> String {
        format!("security group `{}` of {}", self.group_name, self.vpc_id)
    }

    fn output(&self, group_id: &str) -> Output {
        Output {
            group_id: SecurityGroupId::new(group_id),
            group_name: self.group_name.clone(),
            vpc_id: self.vpc_id.clone(),
        }
    }
}

/// The group of that name in that VPC, whoever made it.
async fn of_that_name(cx: &Cx, params: &Params) -> OpResult<Option<Described>> {
    // A filter takes `*` and `?` for any characters, so what comes back is compared again.
    let filters = vec![tags::filter("vpc-id", params.vpc_id.as_str()), tags::filter("group-name", &params.group_name)];
    let found: Vec<Described> = resource::list(cx, filters).await?;
    Ok(found.into_iter().find(|g| g.group_name() == Some(params.group_name.as_str())))
}

fn described(cx: &Cx, params: &Params, group: &Described) -> String {
    format!("{}, {}{}", params.about(), group.group_id().unwrap_or("?"), tags::owner(cx, group.tags()))
}

/// A group is deleted with the rules in it. Those of this run are gone by now; whoever put others
/// there loses nothing without being asked.
async fn refuse_foreign_rules(cx: &Cx, group: &str) -> OpResult<()> {
    let rules = resource::list::<SecurityGroupRule>(cx, vec![tags::filter("group-id", group)]).await?;
    let comes_with_the_group = |r: &SecurityGroupRule| {
        r.is_egress() == Some(true)
            && r.ip_protocol() == Some("-1")
            && (r.cidr_ipv4() == Some("0.0.0.0/0") || r.cidr_ipv6() == Some("::/0"))
    };
    let foreign: Vec<&str> = rules
        .iter()
        .filter(|r| !comes_with_the_group(r) && !tags::are_of_run(cx, r.tags()))
        .filter_map(SecurityGroupRule::security_group_rule_id)
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(OpError::drift(format!("{group} holds rules that this run did not make: {}", foreign.join(", ")))
        .with_hint("remove them, or move them to another group, and `switchback unwind` again"))
}

impl Operation for SecurityGroup {
    const KIND: &'static str = "aws.ec2.security_group";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is there with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"],
            creates: "ec2:CreateSecurityGroup",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DeleteSecurityGroup"],
            besides: &["ec2:CreateTags"],
        };
        Facts { unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            group_name: "app".to_owned(),
            description: "what the app listens on".to_owned(),
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.vpc_id.check("vpc_id", &mut errors);
        rule::check_text(&params.group_name, 1, "group_name", &mut errors);
        rule::check_text(&params.description, 1, "description", &mut errors);
        let name = params.group_name.as_str();
        if name.starts_with("sg-") || name == "default" {
            errors.push(ParamError::new("group_name", format!("{name:?} is reserved: neither `default` nor `sg-...`")));
        }
        if name != name.trim() {
            errors.push(ParamError::new("group_name", "begins or ends with a space, which AWS cuts off"));
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<Vpc>(cx, params.vpc_id.as_str()).await?;
        match of_that_name(cx, params).await? {
            Some(group) => Err(OpError::foreign(format!("{} is there already", described(cx, params, &group)))
                .with_hint("give the group another name, or remove the one that is there")),
            None => Ok(Absent {}),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_security_group()
            .group_name(&params.group_name)
            .description(&params.description)
            .vpc_id(params.vpc_id.as_str())
            .tag_specifications(tags::specification(cx, ResourceType::SecurityGroup, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateSecurityGroup", &about).just_made(), e))?;
        let id = reply.group_id().map(|id| params.output(id));
        id.ok_or_else(|| resource::nameless("ec2:CreateSecurityGroup", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let Some(group) = of_that_name(cx, params).await? else { return Ok(Found::Absent) };
        Ok(if tags::are_of_step(cx, group.tags()) {
            Found::Ours { output: params.output(group.group_id().unwrap_or_default()), proof: Proof::Strong }
        } else {
            Found::Foreign { what: described(cx, params, &group) }
        })
    }

    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.group_id.as_str();
        let Some(group) = resource::by_id::<Described>(cx, id).await? else { return Ok(Undo::Nothing) };
        if !tags::are_of_step(cx, group.tags()) {
            return Err(OpError::drift(format!(
                "{} carried the tags of this step and no longer does",
                described(cx, params, &group)
            )));
        }
        refuse_foreign_rules(cx, id).await?;
        let deleted = client(cx)?.delete_security_group().group_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteSecurityGroup", id), e)))? {
            return Ok(Undo::Nothing);
        }
        resource::wait_until_gone::<Described>(cx, id).await?;
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
        let id = out.map(|o| o.group_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(group) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new()
            .compare("group_name", params.group_name.as_str(), group.group_name())
            .compare("description", params.description.as_str(), group.description())
            .compare("vpc_id", params.vpc_id.as_str(), group.vpc_id())
            .compare("tags", json!(wanted), json!(tags::of_those(&wanted, group.tags())));
        verdict.observed = json!({
            "group_id": group.group_id(), "group_name": group.group_name(), "description": group.description(),
            "vpc_id": group.vpc_id(), "ingress_rules": group.ip_permissions().len(),
            "egress_rules": group.ip_permissions_egress().len(), "tags": tags::read(group.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(name: &str, description: &str, vpc: &str) -> Vec<String> {
        let params = Params {
            group_name: name.into(),
            description: description.into(),
            vpc_id: VpcId::new(vpc),
            tags: BTreeMap::new(),
        };
        let errors = SecurityGroup.check(&params).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let vpc = "vpc-12345678";
        assert!(wrong("mistersmith-aurora-sg", "MisterSmith Aurora security group", vpc).is_empty());
        assert_eq!(wrong("sg-mine", "x", vpc), ["group_name"]);
        assert_eq!(wrong("default", "x", vpc), ["group_name"]);
        assert_eq!(wrong(" a", "x", vpc), ["group_name"]);
        assert_eq!(wrong("", "x", vpc), ["group_name"]);
        assert_eq!(wrong(&"a".repeat(256), "x", vpc), ["group_name"]);
        assert_eq!(wrong("a", "it's", vpc), ["description"]);
        assert_eq!(wrong("a", "", vpc), ["description"]);
        assert_eq!(wrong("a", "größe", vpc), ["description"]);
        assert_eq!(wrong("a", "x", "sg-12345678"), ["vpc_id"]);
    }
}
