//! `aws.ec2.route_table`: where the traffic of subnets goes, without routes and subnets of ours.
//!
//! Each route ([`route`](super::route)) and each subnet on it
//! ([`route_table_association`](super::route_table_association)) is a step of its own. A new table
//! has the route inside of the VPC, which comes and goes with it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ResourceType, Route, RouteOrigin, RouteTable as Described, Vpc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;
use switchback_model::record::Proof;

use super::{Absent, Calls, client, resource, route, route_table_association, tags};
use crate::errors::{Call, op_error};
use crate::ids::{RouteTableId, VpcId};

/// A route table of a VPC, without routes of ours.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The VPC that it is in (`CreateRouteTable` VpcId).
    pub vpc_id: VpcId,
    /// Tags, beside those that say whose it is (`CreateRouteTable` TagSpecifications).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id.
    pub route_table_id: RouteTableId,
    /// The VPC that it is in.
    pub vpc_id: VpcId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteTable;

impl Params {
    fn about(&self) -> String {
        format!("route table of {}", self.vpc_id)
    }
}

fn output(table: &Described) -> Output {
    Output {
        route_table_id: RouteTableId::new(table.route_table_id().unwrap_or_default()),
        vpc_id: VpcId::new(table.vpc_id().unwrap_or_default()),
    }
}

/// Routes and subnets that the table would take along, in words. Those of this run are gone by now.
fn hanging(table: &Described) -> Vec<String> {
    let added = |r: &&Route| r.origin() != Some(&RouteOrigin::CreateRouteTable) && r.gateway_id() != Some("local");
    let routes = table.routes().iter().filter(added);
    let routes = routes.map(|r| format!("the route to {}", route::destination(r).unwrap_or_else(|| "?".to_owned())));
    let held = table.associations().iter().filter(|a| route_table_association::holds(a));
    let held = held.map(|a| match (a.subnet_id(), a.gateway_id()) {
        (Some(subnet), _) => subnet.to_owned(),
        (_, Some(gateway)) => gateway.to_owned(),
        _ => "the VPC, whose main table it became".to_owned(),
    });
    routes.chain(held).collect()
}

impl Operation for RouteTable {
    const KIND: &'static str = "aws.ec2.route_table";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is there with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeRouteTables", "ec2:DescribeVpcs"],
            creates: "ec2:CreateRouteTable",
            settles: Vec::new(),
            rolls_back: vec!["ec2:DeleteRouteTable"],
            besides: &["ec2:CreateTags"],
        };
        calls.into_facts()
    }

    fn example() -> Option<Params> {
        Some(Params {
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            tags: BTreeMap::from([("Name".to_owned(), "private".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.vpc_id.check("vpc_id", &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Nothing can be in the way: a VPC may have any number of tables.
    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        resource::existing::<Vpc>(cx, params.vpc_id.as_str()).await?;
        Ok(Absent {})
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let about = params.about();
        let reply = client(cx)?
            .create_route_table()
            .client_token(cx.token())
            .vpc_id(params.vpc_id.as_str())
            .tag_specifications(tags::specification(cx, ResourceType::RouteTable, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ec2:CreateRouteTable", &about).just_made(), e))?;
        let table = reply.route_table().filter(|t| t.route_table_id().is_some());
        table.map(output).ok_or_else(|| resource::nameless("ec2:CreateRouteTable", &about))
    }

    async fn find(&self, cx: &Cx, _params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        let found = resource::by_ownership::<Described>(cx).await?;
        Ok(found.map_or(Found::Absent, |t| Found::Ours { output: output(&t), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.route_table_id.as_str();
        if resource::by_id::<Described>(cx, id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        // The routes in it would go with it, whoever made them.
        resource::refuse_hanging(cx, id, || async move {
            Ok(resource::by_id::<Described>(cx, id).await?.as_ref().map(hanging).unwrap_or_default())
        })
        .await?;
        let deleted = client(cx)?.delete_route_table().route_table_id(id).send().await;
        if !resource::was_there(deleted.map_err(|e| op_error(Call::new("ec2:DeleteRouteTable", id), e)))? {
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
        let id = out.map(|o| o.route_table_id.as_str());
        if want == Expect::RolledBack {
            return resource::verify_gone::<Described>(cx, id).await;
        }
        let Some(table) = resource::made::<Described>(cx, id).await? else {
            return Ok(resource::missing::<Described>(id));
        };
        let wanted = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new().compare("vpc_id", params.vpc_id.as_str(), table.vpc_id()).compare(
            "tags",
            json!(wanted),
            json!(tags::of_those(&wanted, table.tags())),
        );
        verdict.observed = json!({
            "route_table_id": table.route_table_id(), "vpc_id": table.vpc_id(), "routes": table.routes().len(),
            "associations": table.associations().len(), "tags": tags::read(table.tags()),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::RouteTableAssociation;

    use super::*;

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(RouteTable.check(&RouteTable::example().unwrap()).is_ok());
        let params = Params { vpc_id: VpcId::new("subnet-12345678"), tags: BTreeMap::new() };
        assert_eq!(RouteTable.check(&params).unwrap_err()[0].path, ["vpc_id"]);
    }

    #[test]
    fn only_what_comes_with_a_table_goes_with_it() {
        let own = Route::builder().destination_cidr_block("10.0.0.0/16").gateway_id("local");
        let own = own.origin(RouteOrigin::CreateRouteTable).build();
        let table = Described::builder().routes(own.clone()).build();
        assert!(hanging(&table).is_empty());
        let other = Route::builder().destination_cidr_block("0.0.0.0/0").origin(RouteOrigin::CreateRoute).build();
        let on = |subnet: &str| RouteTableAssociation::builder().subnet_id(subnet).build();
        let main = RouteTableAssociation::builder().main(true).build();
        let table = Described::builder().routes(own).routes(other);
        let table = table.associations(on("subnet-1")).associations(main).build();
        assert_eq!(hanging(&table), ["the route to 0.0.0.0/0", "subnet-1", "the VPC, whose main table it became"]);
    }
}
