//! EC2: networks and what is in them.

mod account;
mod address;
mod elastic_ip;
mod endpoint;
mod gateway;
mod group;
mod holders;
mod ids;
mod interface;
mod nat;
mod permission;
mod route;
mod rule;
mod select;
mod subnet;
mod table;
mod tags;
mod vpc;

pub(super) use self::interface::make as make_interface;
use super::Desk;
use crate::input::Input;
use crate::notes::Answer;
use crate::refusal::Refusal;
use crate::service::Service;

/// Every call to EC2.
pub(super) async fn handle(desk: &mut Desk<'_>, input: &Input) -> Result<Answer, Refusal> {
    let params = input.params()?;
    let inner = match params.action() {
        "CreateVpc" => vpc::create(desk, params).await,
        "DescribeVpcs" => vpc::describe(desk, params),
        "DescribeVpcAttribute" => vpc::describe_attribute(desk, params),
        "ModifyVpcAttribute" => vpc::modify_attribute(desk, params).await,
        "DeleteVpc" => vpc::delete(desk, params).await,
        "CreateSubnet" => subnet::create(desk, params).await,
        "DescribeSubnets" => subnet::describe(desk, params),
        "ModifySubnetAttribute" => subnet::modify_attribute(desk, params).await,
        "DeleteSubnet" => subnet::delete(desk, params).await,
        "CreateInternetGateway" => gateway::create(desk, params).await,
        "DescribeInternetGateways" => gateway::describe(desk, params),
        "AttachInternetGateway" => gateway::attach(desk, params).await,
        "DetachInternetGateway" => gateway::detach(desk, params).await,
        "DeleteInternetGateway" => gateway::delete(desk, params).await,
        "CreateSecurityGroup" => group::create(desk, params).await,
        "DescribeSecurityGroups" => group::describe(desk, params),
        "DeleteSecurityGroup" => group::delete(desk, params).await,
        "AuthorizeSecurityGroupIngress" => rule::authorize(desk, params, false).await,
        "AuthorizeSecurityGroupEgress" => rule::authorize(desk, params, true).await,
        "ModifySecurityGroupRules" => rule::modify(desk, params).await,
        "RevokeSecurityGroupIngress" => rule::revoke(desk, params, false).await,
        "RevokeSecurityGroupEgress" => rule::revoke(desk, params, true).await,
        "DescribeSecurityGroupRules" => rule::describe(desk, params),
        "CreateNetworkInterface" => interface::create(desk, params).await,
        "DescribeNetworkInterfaces" => interface::describe(desk, params),
        "DeleteNetworkInterface" => interface::delete(desk, params).await,
        "AllocateAddress" => elastic_ip::allocate(desk, params).await,
        "AssociateAddress" => elastic_ip::associate(desk, params).await,
        "DisassociateAddress" => elastic_ip::disassociate(desk, params).await,
        "DescribeAddresses" => elastic_ip::describe(desk, params),
        "ReleaseAddress" => elastic_ip::release(desk, params).await,
        "CreateNatGateway" => nat::create(desk, params).await,
        "DescribeNatGateways" => nat::describe(desk, params),
        "DeleteNatGateway" => nat::delete(desk, params).await,
        "CreateRouteTable" => table::create(desk, params).await,
        "DescribeRouteTables" => table::describe(desk, params),
        "DeleteRouteTable" => table::delete(desk, params).await,
        "AssociateRouteTable" => table::associate(desk, params).await,
        "ReplaceRouteTableAssociation" => table::replace_association(desk, params).await,
        "DisassociateRouteTable" => table::disassociate(desk, params).await,
        "CreateRoute" => route::create(desk, params).await,
        "ReplaceRoute" => route::replace(desk, params).await,
        "DeleteRoute" => route::delete(desk, params).await,
        "CreateVpcEndpoint" => endpoint::create(desk, params).await,
        "DescribeVpcEndpoints" => endpoint::describe(desk, params),
        "DeleteVpcEndpoints" => endpoint::delete(desk, params).await,
        "CreateTags" => tags::create(desk, params).await,
        "DeleteTags" => tags::delete(desk, params).await,
        "DescribeTags" => tags::describe(desk, params),
        "DescribeAvailabilityZones" => account::describe_zones(desk, params),
        "DescribeAccountAttributes" => account::describe_attributes(params),
        _ => {
            // A call that has no rules here yet.
            params.stop_if_dry_run()?;
            return desk.pass_on(input).await;
        }
    };
    inner.map(Answer::Inner)
}

/// The time of a resource has come.
pub(super) async fn finish(desk: &mut Desk<'_>, id: &str) -> Result<(), Refusal> {
    if desk.ec2().nats.contains_key(id) {
        nat::finish(desk, id).await;
        return Ok(());
    }
    if desk.ec2().interfaces.contains_key(id) {
        desk.emulator.drop_interfaces(&[id.to_owned()]).await;
        desk.look();
        return Ok(());
    }
    endpoint::finish(desk, id).await
}

/// An ARN of EC2.
fn arn(desk: &Desk<'_>, kind: &str, id: &str) -> String {
    desk.place.arn(Service::Ec2, &format!("{kind}/{id}"))
}
