//! `aws.ec2.route_table_association`: a subnet on a route table.
//!
//! Each change gives the association a new id and no tags, so it is known by the subnet and the
//! table, and a subnet has one. The proof is strong where this run made both. A subnet without one
//! uses the main table of its VPC; one that is put on a table by somebody is left alone, unless the
//! runbook says `replace`: then it is moved, and moved back by the unwind.

use aws_sdk_ec2::types::{RouteTable, RouteTableAssociation as Described, RouteTableAssociationStateCode, Subnet};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::{Facts, ProofKind};
use switchback_model::record::Proof;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::{Calls, POLL, client, resource, tags};
use crate::errors::{Call, op_error};
use crate::ids::{RouteTableAssociationId, RouteTableId, SubnetId};

/// A route table on a subnet.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The table (`AssociateRouteTable` RouteTableId).
    pub route_table_id: RouteTableId,
    /// The subnet (`AssociateRouteTable` SubnetId).
    pub subnet_id: SubnetId,
    /// Moves the subnet from the table that it is on, by `ReplaceRouteTableAssociation`; where it is
    /// on none it is an error. The unwind moves it back.
    #[serde(default)]
    pub replace: bool,
}

/// What was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The table that the subnet was on; none: on the main one of its VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<RouteTableId>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id, until somebody changes it.
    pub association_id: RouteTableAssociationId,
    /// The table.
    pub route_table_id: RouteTableId,
    /// The subnet.
    pub subnet_id: SubnetId,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteTableAssociation;

impl Params {
    fn about(&self) -> String {
        format!("{} on {}", self.subnet_id, self.route_table_id)
    }

    fn output(&self, id: &str) -> Output {
        Output {
            association_id: RouteTableAssociationId::new(id),
            route_table_id: self.route_table_id.clone(),
            subnet_id: self.subnet_id.clone(),
        }
    }

    /// The call that makes it.
    const fn writes(&self) -> &'static str {
        if self.replace { "ec2:ReplaceRouteTableAssociation" } else { "ec2:AssociateRouteTable" }
    }
}

/// Where a subnet is now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The id of the association.
    id: String,
    /// The table.
    table: String,
    /// `associated`, once it is complete.
    state: String,
}

/// Whether the association is one, or is about to be.
pub(super) fn holds(association: &Described) -> bool {
    use RouteTableAssociationStateCode as Code;
    !matches!(state(association), Some(Code::Disassociating | Code::Disassociated | Code::Failed))
}

fn state(association: &Described) -> Option<&RouteTableAssociationStateCode> {
    association.association_state().and_then(|s| s.state())
}

fn place_in(table: &RouteTable, subnet: &str) -> Option<Place> {
    let association = table.associations().iter().find(|a| a.subnet_id() == Some(subnet) && holds(a))?;
    Some(Place {
        id: association.route_table_association_id().unwrap_or_default().to_owned(),
        table: table.route_table_id().unwrap_or_default().to_owned(),
        state: state(association).map_or("associated", |s| s.as_str()).to_owned(),
    })
}

/// The table that the subnet was put on; none: the main one.
async fn place(cx: &Cx, params: &Params) -> OpResult<Option<Place>> {
    let subnet = params.subnet_id.as_str();
    let tables: Vec<RouteTable> = resource::list(cx, vec![tags::filter("association.subnet-id", subnet)]).await?;
    Ok(tables.iter().find_map(|t| place_in(t, subnet)))
}

/// Where it is, in words.
fn text(place: Option<&Place>) -> String {
    place.map_or_else(|| "on the main table".to_owned(), |p| format!("on {}", p.table))
}

fn is_on(place: Option<&Place>, table: Option<&RouteTableId>) -> bool {
    place.map(|p| p.table.as_str()) == table.map(RouteTableId::as_str)
}

async fn replace(cx: &Cx, association: &str, table: &RouteTableId, call: Call<'_>) -> OpResult<Option<String>> {
    let request = client(cx)?.replace_route_table_association().association_id(association);
    let reply = request.route_table_id(table.as_str()).send().await.map_err(|e| op_error(call, e))?;
    Ok(reply.new_association_id)
}

impl Operation for RouteTableAssociation {
    const KIND: &'static str = "aws.ec2.route_table_association";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ec2:DescribeRouteTables", "ec2:DescribeSubnets"],
            creates: params.writes(),
            settles: Vec::new(),
            rolls_back: vec![if params.replace {
                "ec2:ReplaceRouteTableAssociation"
            } else {
                "ec2:DisassociateRouteTable"
            }],
            besides: &[],
        };
        Facts { proof: ProofKind::ByFind, unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            route_table_id: RouteTableId::new("rtb-0a1b2c3d4e5f60718"),
            subnet_id: SubnetId::new("subnet-0a1b2c3d4e5f60718"),
            replace: true,
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.route_table_id.check("route_table_id", &mut errors);
        params.subnet_id.check("subnet_id", &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        resource::existing::<RouteTable>(cx, params.route_table_id.as_str()).await?;
        resource::existing::<Subnet>(cx, params.subnet_id.as_str()).await?;
        plan_capture(params, place(cx, params).await?.as_ref())
    }

    async fn create(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Output> {
        let about = params.about();
        let call = Call::new(params.writes(), &about).just_made();
        // AWS takes a subnet that is on the table already, and who put it there is lost.
        let now = place(cx, params).await?;
        plan_create(params, before, now.as_ref())?;
        let id = match now {
            Some(now) => replace(cx, &now.id, &params.route_table_id, call).await?,
            None => {
                let request = client(cx)?.associate_route_table().route_table_id(params.route_table_id.as_str());
                let reply = request.subnet_id(params.subnet_id.as_str()).send().await;
                reply.map_err(|e| op_error(call, e))?.association_id
            }
        };
        id.map(|id| params.output(&id)).ok_or_else(|| resource::nameless(params.writes(), &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let now = place(cx, params).await?;
        match &now {
            Some(there) if is_on(now.as_ref(), Some(&params.route_table_id)) => {
                let ours = resource::is_of_run::<RouteTable>(cx, params.route_table_id.as_str()).await?
                    && resource::is_of_run::<Subnet>(cx, params.subnet_id.as_str()).await?;
                let proof = if ours { Proof::Strong } else { Proof::Weak };
                Ok(Found::Ours { output: params.output(&there.id), proof })
            }
            _ if is_on(now.as_ref(), before.route_table_id.as_ref()) => Ok(Found::Absent),
            _ => Ok(Found::Foreign { what: format!("{} {}", params.subnet_id, text(now.as_ref())) }),
        }
    }

    async fn rollback(&self, cx: &Cx, params: &Params, before: &Before, _out: &Output) -> OpResult<Undo> {
        let about = params.about();
        let now = place(cx, params).await?;
        let Some(there) = plan_rollback(params, before, now.as_ref())? else { return Ok(Undo::Nothing) };
        match &before.route_table_id {
            Some(table) => {
                replace(cx, &there.id, table, Call::new("ec2:ReplaceRouteTableAssociation", &about)).await?;
            }
            None => {
                let deleted = client(cx)?.disassociate_route_table().association_id(&there.id).send().await;
                let call = Call::new("ec2:DisassociateRouteTable", &about);
                if !resource::was_there(deleted.map_err(|e| op_error(call, e)))? {
                    return Ok(Undo::Nothing);
                }
            }
        }
        let look =
            || async { Ok((!is_on(place(cx, params).await?.as_ref(), Some(&params.route_table_id))).then_some(())) };
        cx.wait_for(&format!("waiting until {} is no longer on {}", params.subnet_id, there.table), POLL, look).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let now = place(cx, params).await?;
        let there = now.as_ref().map(|p| p.table.as_str());
        let state = now.as_ref().map(|p| p.state.as_str());
        let what = format!("{} is on", params.subnet_id);
        let verdict = Verdict::new();
        let mut verdict = match (want, &before.route_table_id) {
            (Expect::Created, _) => {
                verdict.compare(what, params.route_table_id.as_str(), there).compare("state", "associated", state)
            }
            (Expect::RolledBack, Some(table)) => verdict.compare(what, table.as_str(), there),
            (Expect::RolledBack, None) => {
                let ours = is_on(now.as_ref(), Some(&params.route_table_id));
                verdict.compare(format!("{what} {}", params.route_table_id), false, ours)
            }
        };
        verdict.observed = json!({
            "subnet_id": params.subnet_id, "route_table_id": there, "state": state,
            "association_id": now.as_ref().map(|p| p.id.as_str()),
        });
        Ok(verdict)
    }
}

/// The before-image, from where the subnet is.
fn plan_capture(params: &Params, now: Option<&Place>) -> OpResult<Before> {
    let subnet = &params.subnet_id;
    match now {
        None if params.replace => {
            Err(OpError::permanent(format!("{subnet} was put on no table, so there is no association to replace"))
                .with_hint("leave `replace` out"))
        }
        None => Ok(Before { route_table_id: None }),
        Some(_) if is_on(now, Some(&params.route_table_id)) => {
            Err(OpError::foreign(format!("{} is there already", params.about())).with_hint("leave the step out"))
        }
        Some(there) if params.replace => Ok(Before { route_table_id: Some(RouteTableId::new(&there.table)) }),
        Some(_) => Err(OpError::foreign(format!("{subnet} is {} already", text(now)))
            .with_hint("leave the step out, or let it move the subnet (`replace: true`)")),
    }
}

/// Whether the subnet still is where it was, right before it is moved.
fn plan_create(params: &Params, before: &Before, now: Option<&Place>) -> OpResult<()> {
    if is_on(now, before.route_table_id.as_ref()) {
        return Ok(());
    }
    let subnet = &params.subnet_id;
    if params.replace && !is_on(now, Some(&params.route_table_id)) {
        return Err(OpError::drift(format!("{subnet} was moved since it was looked at: it is {}", text(now))));
    }
    Err(OpError::new(ErrorClass::AlreadyExists, format!("{subnet} is {}", text(now))))
}

/// What is to be undone: still ours. What is neither ours nor the before-image is drift.
fn plan_rollback<'a>(params: &Params, before: &Before, now: Option<&'a Place>) -> OpResult<Option<&'a Place>> {
    if is_on(now, Some(&params.route_table_id)) {
        return Ok(now);
    }
    if is_on(now, before.route_table_id.as_ref()) {
        return Ok(None);
    }
    Err(OpError::drift(format!(
        "{} was put on {} and was moved since: it is {}",
        params.subnet_id,
        params.route_table_id,
        text(now)
    )))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::RouteTableAssociationState as State;

    use super::*;

    fn params(replace: bool) -> Params {
        Params {
            route_table_id: RouteTableId::new("rtb-12345678"),
            subnet_id: SubnetId::new("subnet-12345678"),
            replace,
        }
    }

    fn on(table: &str) -> Place {
        Place { id: "rtbassoc-1".into(), table: table.into(), state: "associated".into() }
    }

    fn before(table: Option<&str>) -> Before {
        Before { route_table_id: table.map(RouteTableId::new) }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(RouteTableAssociation.check(&RouteTableAssociation::example().unwrap()).is_ok());
        let wrong = Params { subnet_id: SubnetId::new("rtb-12345678"), ..params(false) };
        assert_eq!(RouteTableAssociation.check(&wrong).unwrap_err()[0].path, ["subnet_id"]);
    }

    #[test]
    fn the_calls_are_those_that_the_parameters_ask_for() {
        let facts = RouteTableAssociation.facts(&params(false));
        assert_eq!(facts.creates, ["ec2:AssociateRouteTable"]);
        assert_eq!(facts.rolls_back, ["ec2:DisassociateRouteTable"]);
        assert_eq!(facts.proof, ProofKind::ByFind);
        let facts = RouteTableAssociation.facts(&params(true));
        assert_eq!(facts.creates, ["ec2:ReplaceRouteTableAssociation"]);
        assert_eq!(facts.rolls_back, facts.creates);
    }

    #[test]
    fn a_subnet_is_on_a_table_only_while_the_association_holds() {
        for (code, there) in [
            ("associating", true),
            ("associated", true),
            ("disassociating", false),
            ("disassociated", false),
            ("failed", false),
        ] {
            let association = Described::builder().subnet_id("subnet-1").route_table_association_id("rtbassoc-1");
            let association = association.association_state(State::builder().state(code.into()).build()).build();
            let table = RouteTable::builder().route_table_id("rtb-1").associations(association).build();
            assert_eq!(place_in(&table, "subnet-1").is_some(), there, "{code}");
            assert_eq!(place_in(&table, "subnet-2"), None);
        }
    }

    #[test]
    fn a_subnet_of_somebody_is_moved_only_when_told_to() {
        let class = |result: OpResult<Before>| result.map_err(|e| e.class);
        let (ours, other) = (on("rtb-12345678"), on("rtb-1"));
        assert_eq!(class(plan_capture(&params(false), None)), Ok(before(None)));
        assert_eq!(class(plan_capture(&params(false), Some(&other))), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&params(false), Some(&ours))), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&params(true), Some(&other))), Ok(before(Some("rtb-1"))));
        assert_eq!(class(plan_capture(&params(true), Some(&ours))), Err(ErrorClass::Foreign));
        assert_eq!(class(plan_capture(&params(true), None)), Err(ErrorClass::Permanent));
    }

    #[test]
    fn a_subnet_that_was_moved_meanwhile_is_left_where_it_is() {
        let class = |replace, before: Before, now: Option<Place>| {
            plan_create(&params(replace), &before, now.as_ref()).map_err(|e| e.class)
        };
        assert_eq!(class(false, before(None), None), Ok(()));
        assert_eq!(class(false, before(None), Some(on("rtb-1"))), Err(ErrorClass::AlreadyExists));
        assert_eq!(class(true, before(Some("rtb-1")), Some(on("rtb-1"))), Ok(()));
        assert_eq!(class(true, before(Some("rtb-1")), Some(on("rtb-12345678"))), Err(ErrorClass::AlreadyExists));
        assert_eq!(class(true, before(Some("rtb-1")), Some(on("rtb-2"))), Err(ErrorClass::Drift));
        assert_eq!(class(true, before(Some("rtb-1")), None), Err(ErrorClass::Drift));
    }

    #[test]
    fn only_what_is_still_ours_is_undone() {
        let undo = |before: &Before, now: Option<Place>| {
            plan_rollback(&params(false), before, now.as_ref()).map(|p| p.is_some()).map_err(|e| e.class)
        };
        let (free, moved) = (before(None), before(Some("rtb-1")));
        assert_eq!(undo(&free, Some(on("rtb-12345678"))), Ok(true));
        assert_eq!(undo(&free, None), Ok(false));
        assert_eq!(undo(&free, Some(on("rtb-1"))), Err(ErrorClass::Drift));
        assert_eq!(undo(&moved, Some(on("rtb-12345678"))), Ok(true));
        assert_eq!(undo(&moved, Some(on("rtb-1"))), Ok(false));
        assert_eq!(undo(&moved, Some(on("rtb-2"))), Err(ErrorClass::Drift));
        assert_eq!(undo(&moved, None), Err(ErrorClass::Drift));
    }

    #[test]
    fn the_stored_forms_stay() {
        assert_eq!(serde_json::to_value(before(None)).unwrap(), json!({}));
        assert_eq!(serde_json::to_value(before(Some("rtb-1"))).unwrap(), json!({"route_table_id": "rtb-1"}));
    }
}
