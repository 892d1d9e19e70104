//! Internet gateways.
//!
//! Mended: the emulator attaches one gateway to many VPCs and many gateways to one VPC, detaches what is not attached,
//! deletes what is attached, and takes no filter by tag.

use super::select::{Filters, done, page, write_tags};
use super::vpc::made;
use super::{Desk, holders, ids};
use crate::picture::ec2::Gateway;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let tags = params.tags_for("internet-gateway")?;
    if desk.settings.quotas.internet_gateways.is_some_and(|most| desk.ec2().gateways.len() >= most) {
        return Err(Refusal::new(
            "InternetGatewayLimitExceeded",
            "The maximum number of internet gateways has been reached.",
        ));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("CreateInternetGateway").with_tags("internet-gateway", &tags);
    let id = made(&desk.emulator.act(call).await?, "internetGatewayId")?;
    desk.look();
    let gateway = ids::GATEWAY.find(&desk.ec2().gateways, &id)?;
    let mut xml = Xml::new();
    xml.tag("internetGateway", |xml| write(desk, xml, &id, gateway));
    Ok(xml.finish())
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, gateway: &Gateway) {
    xml.leaf("internetGatewayId", id);
    xml.leaf("ownerId", &desk.place.account);
    xml.set("attachmentSet", &gateway.attached_to, |xml, vpc| {
        xml.leaf("vpcId", vpc);
        xml.leaf("state", "available");
    });
    write_tags(xml, &gateway.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("InternetGatewayId");
    ids::GATEWAY.check_all(&desk.ec2().gateways, &wanted)?;
    let found = desk.ec2().gateways.iter().filter(|(id, gateway)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&gateway.tags, |name| match name {
                "attachment.state" => gateway.attached_to.iter().map(|_| "available".to_owned()).collect(),
                "attachment.vpc-id" => gateway.attached_to.clone(),
                "internet-gateway-id" => vec![(*id).clone()],
                "owner-id" => vec![desk.place.account.clone()],
                _ => Vec::new(),
            })
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("internetGatewaySet", found, |xml, (id, gateway)| write(desk, xml, id, gateway));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

pub(super) async fn attach(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (id, vpc) = (params.required("InternetGatewayId")?, params.required("VpcId")?);
    let gateway = ids::GATEWAY.find(&desk.ec2().gateways, id)?;
    ids::VPC.find(&desk.ec2().vpcs, vpc)?;
    if let Some(other) = gateway.attached_to.first() {
        return Err(Refusal::new(
            "Resource.AlreadyAssociated",
            format!("resource {id} is already attached to network {other}"),
        ));
    }
    if desk.ec2().gateways.values().any(|other| other.attached_to.iter().any(|to| to == vpc)) {
        return Err(Refusal::invalid(format!("Network {vpc} already has an internet gateway attached")));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("AttachInternetGateway").with("InternetGatewayId", id).with("VpcId", vpc);
    desk.emulator.act(call).await?;
    desk.look();
    Ok(done())
}

pub(super) async fn detach(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let (id, vpc) = (params.required("InternetGatewayId")?, params.required("VpcId")?);
    let gateway = ids::GATEWAY.find(&desk.ec2().gateways, id)?;
    ids::VPC.find(&desk.ec2().vpcs, vpc)?;
    if !gateway.attached_to.iter().any(|to| to == vpc) {
        return Err(Refusal::new("Gateway.NotAttached", format!("resource {id} is not attached to network {vpc}")));
    }
    if !holders::of_attachment(desk.ec2(), vpc).is_empty() {
        return Err(Refusal::dependency(format!(
            "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching \
             the gateway."
        )));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("DetachInternetGateway").with("InternetGatewayId", id).with("VpcId", vpc);
    desk.emulator.act(call).await?;
    desk.look();
    Ok(done())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("InternetGatewayId")?;
    let gateway = ids::GATEWAY.find(&desk.ec2().gateways, id)?;
    if !gateway.attached_to.is_empty() {
        return Err(Refusal::dependency(format!("The internetGateway '{id}' has dependencies and cannot be deleted.")));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DeleteInternetGateway").with("InternetGatewayId", id)).await?;
    desk.look();
    Ok(done())
}
