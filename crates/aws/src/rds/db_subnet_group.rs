//! `aws.rds.db_subnet_group`: the subnets that a database may be placed in.
//!
//! RDS wants subnets of one VPC in two zones at least, and says so only when the group is made; `capture`
//! looks first. The order of the subnets means nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Subnet as Ec2Subnet};
use aws_sdk_rds::types::{DbSubnetGroup as Described, Subnet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};
use tokio::time::Instant;

use super::{checks, client, nameless, tag_list, tags_of, unless_gone, unless_role_is_unseen};
use crate::calls::{Absent, Calls};
use crate::context::AwsContext;
use crate::errors::{Call, op_error};
use crate::ids::{DbSubnetGroupArn, DbSubnetGroupName, SubnetId, VpcId};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// How many subnets a group may have.
const MOST_SUBNETS: usize = 20;

/// A DB subnet group: the subnets that a database may be in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 255 letters, digits, spaces and `._-`, a letter first, not `default`; RDS lower-cases it
    /// (`CreateDBSubnetGroup` DBSubnetGroupName).
    pub db_subnet_group_name: DbSubnetGroupName,
    /// What it is for (`CreateDBSubnetGroup` DBSubnetGroupDescription).
    pub db_subnet_group_description: String,
    /// Subnets of one VPC, in two zones at least (`CreateDBSubnetGroup` SubnetIds).
    pub subnet_ids: Vec<SubnetId>,
    /// Tags, beside those that say whose it is (`CreateDBSubnetGroup` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name, in lower case.
    pub db_subnet_group_name: DbSubnetGroupName,
    /// Its ARN.
    pub db_subnet_group_arn: DbSubnetGroupArn,
    /// The VPC of its subnets.
    pub vpc_id: VpcId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbSubnetGroup;

impl Params {
    fn name(&self) -> String {
        self.db_subnet_group_name.as_str().to_ascii_lowercase()
    }

    fn subnets(&self) -> BTreeSet<&str> {
        self.subnet_ids.iter().map(SubnetId::as_str).collect()
    }
}

fn output(group: &Described) -> Output {
    Output {
        db_subnet_group_name: DbSubnetGroupName::new(group.db_subnet_group_name().unwrap_or_default()),
        db_subnet_group_arn: DbSubnetGroupArn::new(group.db_subnet_group_arn().unwrap_or_default()),
        vpc_id: VpcId::new(group.vpc_id().unwrap_or_default()),
    }
}

/// A group with its tags.
pub(super) struct Group {
    described: Described,
    tags: Tags,
}

impl Named for Group {
    const WHAT: &'static str = "DB subnet group";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.describe_db_subnet_groups().db_subnet_group_name(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(Call::new("rds:DescribeDBSubnetGroups", name), e)))?;
        let mut groups = reply.and_then(|r| r.db_subnet_groups).unwrap_or_default().into_iter();
        let Some(described) = groups.find(|g| g.db_subnet_group_name().is_some_and(|n| n.eq_ignore_ascii_case(name)))
        else {
            return Ok(None);
        };
        let tags = tags_of(cx, described.db_subnet_group_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.db_subnet_group_arn().unwrap_or_default()
    }
}

/// What keeps these subnets from being a group.
fn obstacle(wanted: &BTreeSet<&str>, there: &[Ec2Subnet]) -> Option<String> {
    let seen: BTreeSet<&str> = there.iter().filter_map(Ec2Subnet::subnet_id).collect();
    let missing: Vec<&str> = wanted.difference(&seen).copied().collect();
    if !missing.is_empty() {
        return Some(format!("there is no subnet {}", missing.join(", ")));
    }
    let vpcs: BTreeSet<&str> = there.iter().filter_map(Ec2Subnet::vpc_id).collect();
    if vpcs.len() > 1 {
        let vpcs: Vec<&str> = vpcs.into_iter().collect();
        return Some(format!("the subnets are of several VPCs: {}", vpcs.join(", ")));
    }
    let zones: BTreeSet<&str> = there.iter().filter_map(Ec2Subnet::availability_zone).collect();
    (zones.len() < 2).then(|| {
        let zones: Vec<&str> = zones.into_iter().collect();
        format!("the subnets are all in {}, and a DB subnet group covers two zones at least", zones.join(", "))
    })
}

/// The subnets are there, of one VPC and in two zones. They may have been made a moment ago, so an
/// absence is believed only after the quiet period.
async fn check_subnets(cx: &Cx, params: &Params) -> OpResult<()> {
    let wanted = params.subnets();
    let aws = cx.get::<AwsContext>()?;
    let patience = Instant::now() + aws.quiet();
    let ids = wanted.iter().map(|id| (*id).to_owned()).collect();
    let filter = Filter::builder().name("subnet-id").set_values(Some(ids)).build();
    let about = format!("DB subnet group `{}`", params.name());
    let look = || async {
        let pages = aws.ec2(cx).describe_subnets().filters(filter.clone()).into_paginator().items().send();
        let there: Vec<Ec2Subnet> =
            pages.try_collect().await.map_err(|e| op_error(Call::new("ec2:DescribeSubnets", &about), e))?;
        let all = there.len() >= wanted.len() || Instant::now() >= patience;
        Ok(all.then_some(there))
    };
    let there = cx.wait_for("waiting until the subnets can be seen", named::POLL, look).await?;
    match obstacle(&wanted, &there) {
        None => Ok(()),
        Some(what) => Err(OpError::permanent(format!("{about} cannot be made: {what}"))
            .with_hint("check the ids, the region and the zones of the subnets")),
    }
}

impl Operation for DbSubnetGroup {
    const KIND: &'static str = "aws.rds.db_subnet_group";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is complete with its create call.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeSubnets", "rds:DescribeDBSubnetGroups", "rds:ListTagsForResource"],
            creates: "rds:CreateDBSubnetGroup",
            settles: Vec::new(),
            rolls_back: vec!["rds:DeleteDBSubnetGroup"],
            besides: &["iam:CreateServiceLinkedRole", "rds:AddTagsToResource"],
        };
        let arn = format!("arn:{{partition}}:rds:{{region}}:{{account}}:subgrp:{}", params.name());
        Facts { unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            db_subnet_group_name: DbSubnetGroupName::new("app-db"),
            db_subnet_group_description: "where the app's databases are".to_owned(),
            subnet_ids: vec![SubnetId::new("subnet-0a1b2c3d4e5f60718"), SubnetId::new("subnet-0a1b2c3d4e5f60719")],
            tags: BTreeMap::from([("Name".to_owned(), "app-db".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = params.db_subnet_group_name.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
        if name.len() > 255 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(fits) {
            let wanted = "1 to 255 letters, digits, spaces and . _ -, a letter first";
            errors.push(ParamError::new("db_subnet_group_name", format!("{name:?} is not a name of {wanted}")));
        }
        if name.eq_ignore_ascii_case("default") {
            errors.push(ParamError::new("db_subnet_group_name", "`default` is RDS's own"));
        }
        if name != name.trim() {
            errors.push(ParamError::new("db_subnet_group_name", "ends with a space"));
        }
        checks::description(&params.db_subnet_group_description, "db_subnet_group_description", &mut errors);
        for id in &params.subnet_ids {
            id.check("subnet_ids", &mut errors);
        }
        if !(2..=MOST_SUBNETS).contains(&params.subnets().len()) {
            let wanted = format!("takes 2 to {MOST_SUBNETS} subnets, in two zones at least");
            errors.push(ParamError::new("subnet_ids", wanted));
        }
        if params.subnets().len() < params.subnet_ids.len() {
            errors.push(ParamError::new("subnet_ids", "names a subnet twice"));
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        check_subnets(cx, params).await?;
        named::capture::<Group>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        super::foresee::<Group>(cx, known, "db_subnet_group_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.name();
        let about = format!("DB subnet group `{name}`");
        let reply = client(cx)?
            .create_db_subnet_group()
            .db_subnet_group_name(&name)
            .db_subnet_group_description(&params.db_subnet_group_description)
            .set_subnet_ids(Some(params.subnet_ids.iter().map(|id| id.as_str().to_owned()).collect()))
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| {
                unless_role_is_unseen(op_error(Call::new("rds:CreateDBSubnetGroup", &about).just_made(), e))
            })?;
        let made = reply.db_subnet_group().filter(|g| g.db_subnet_group_arn().is_some());
        made.map(output).ok_or_else(|| nameless("rds:CreateDBSubnetGroup", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Group, _>(cx, &params.name(), |g| output(&g.described)).await
    }

    /// What uses it keeps it: RDS refuses with `InvalidDBSubnetGroupStateFault` until the last database
    /// in it is gone.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.name();
        if named::ours::<Group>(cx, &name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_db_subnet_group().db_subnet_group_name(&name).send().await;
        let deleted = deleted.map_err(|e| op_error(Call::new("rds:DeleteDBSubnetGroup", &name), e));
        if unless_gone(deleted)?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Group>(cx, &name, named::POLL).await?;
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
        let name = params.name();
        if want == Expect::RolledBack {
            return named::verify_gone::<Group>(cx, &name).await;
        }
        let Some(group) = Group::read(cx, &name).await? else { return Ok(named::missing::<Group>(&name)) };
        let there = &group.described;
        let subnets: BTreeSet<&str> = there.subnets().iter().filter_map(Subnet::subnet_identifier).collect();
        let status = there.subnet_group_status().unwrap_or("unknown");
        let mut verdict = named::verdict(cx, &group, &params.tags)
            .compare("status", "Complete", status)
            .compare(
                "db_subnet_group_description",
                params.db_subnet_group_description.as_str(),
                there.db_subnet_group_description(),
            )
            .compare("subnet_ids", json!(params.subnets()), json!(subnets));
        verdict.observed = json!({
            "db_subnet_group_name": there.db_subnet_group_name(), "db_subnet_group_arn": there.db_subnet_group_arn(),
            "vpc_id": there.vpc_id(), "status": status, "subnet_ids": subnets, "tags": group.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: serde_json::Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(name: &str, description: &str, subnets: &[&str]) -> Vec<String> {
        let params = params(json!({
            "db_subnet_group_name": name, "db_subnet_group_description": description, "subnet_ids": subnets,
        }));
        let errors = DbSubnetGroup.check(&params).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let two = ["subnet-0a1b2c3d", "subnet-0a1b2c3e"];
        assert!(wrong("mistersmith-aurora-subnet-group", "Aurora", &two).is_empty());
        assert!(wrong("App DB_1.x", "Aurora", &two).is_empty());
        for name in ["", "1a", "default", "DEFAULT", "a/b", "größe", "a ", &"a".repeat(256)] {
            assert_eq!(wrong(name, "x", &two), ["db_subnet_group_name"], "{name}");
        }
        assert_eq!(wrong("a", "", &two), ["db_subnet_group_description"]);
        assert_eq!(wrong("a", "x", &two[..1]), ["subnet_ids"]);
        assert_eq!(wrong("a", "x", &[two[0], two[1], two[0]]), ["subnet_ids"]);
        assert_eq!(wrong("a", "x", &[two[0], "vpc-0a1b2c3d"]), ["subnet_ids"]);
        assert!(DbSubnetGroup.check(&DbSubnetGroup::example().unwrap()).is_ok());
    }

    #[test]
    fn the_name_is_lower_cased_as_rds_does() {
        let upper = params(json!({
            "db_subnet_group_name": "App-DB", "db_subnet_group_description": "x", "subnet_ids": [],
        }));
        assert_eq!(upper.name(), "app-db");
        assert_eq!(DbSubnetGroup.facts(&upper).arns, ["arn:{partition}:rds:{region}:{account}:subgrp:app-db"]);
    }

    #[test]
    fn subnets_that_cannot_be_a_group_are_seen_before_it_is_made() {
        let subnet = |id: &str, vpc: &str, zone: &str| {
            Ec2Subnet::builder().subnet_id(id).vpc_id(vpc).availability_zone(zone).build()
        };
        let wanted = BTreeSet::from(["subnet-1", "subnet-2"]);
        let first = subnet("subnet-1", "vpc-1", "us-east-1a");
        let says = |second| obstacle(&wanted, &[first.clone(), second]);
        assert_eq!(says(subnet("subnet-2", "vpc-1", "us-east-1b")), None);
        let one_zone = says(subnet("subnet-2", "vpc-1", "us-east-1a")).unwrap();
        assert!(one_zone.contains("all in us-east-1a"), "{one_zone}");
        let two_vpcs = says(subnet("subnet-2", "vpc-2", "us-east-1b")).unwrap();
        assert_eq!(two_vpcs, "the subnets are of several VPCs: vpc-1, vpc-2");
        assert_eq!(obstacle(&wanted, &[first]).as_deref(), Some("there is no subnet subnet-2"));
    }
}
