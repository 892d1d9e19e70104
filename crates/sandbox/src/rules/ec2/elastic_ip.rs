//! Elastic IP addresses.
//!
//! Mended: the emulator releases an address that is in use, gives the same one to two interfaces, and knows no filters.

use super::select::{Filters, done, page, write_tags};
use super::vpc::made;
use super::{Desk, ids};
use crate::picture::ec2::Address;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &[
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
];

pub(super) async fn allocate(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    if let Some(domain) = params.get("Domain").filter(|domain| *domain != "vpc") {
        return Err(Refusal::value(domain, "domain", "Invalid domain value."));
    }
    let tags = params.tags_for("elastic-ip")?;
    if desk.settings.quotas.elastic_ips.is_some_and(|most| desk.ec2().addresses.len() >= most) {
        return Err(Refusal::new("AddressLimitExceeded", "The maximum number of addresses has been reached."));
    }
    params.stop_if_dry_run()?;
    let call = Params::call("AllocateAddress").with("Domain", "vpc").with_tags("elastic-ip", &tags);
    let id = made(&desk.emulator.act(call).await?, "allocationId")?;
    desk.look();
    let address = ids::ALLOCATION.find(&desk.ec2().addresses, &id)?;
    let mut xml = Xml::new();
    xml.leaf("allocationId", &id);
    xml.leaf("publicIp", &address.public_ip);
    xml.leaf("publicIpv4Pool", "amazon");
    xml.leaf("domain", "vpc");
    xml.leaf("networkBorderGroup", &desk.place.region);
    Ok(xml.finish())
}

pub(super) async fn associate(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("AllocationId")?;
    let address = ids::ALLOCATION.find(&desk.ec2().addresses, id)?;
    let mut call = Params::call("AssociateAddress").with("AllocationId", id);
    if let Some(instance) = params.get("InstanceId") {
        call = call.with("InstanceId", instance);
    } else {
        let interface = params.required("NetworkInterfaceId")?;
        let found = ids::INTERFACE.find(&desk.ec2().interfaces, interface)?;
        let attached = desk.ec2().gateways.values().any(|gateway| gateway.attached_to.contains(&found.vpc));
        if !attached {
            let vpc = &found.vpc;
            let message = format!("Network {vpc} is not attached to any internet gateway");
            return Err(Refusal::new("Gateway.NotAttached", message));
        }
        call = call.with("NetworkInterfaceId", interface).with("PrivateIpAddress", &found.address);
    }
    if address.association.is_some() && params.flag("AllowReassociation")? == Some(false) {
        return Err(Refusal::new(
            "Resource.AlreadyAssociated",
            format!(
                "resource {id} is already associated with associate-id {}",
                address.association.as_deref().unwrap_or_default()
            ),
        ));
    }
    params.stop_if_dry_run()?;
    let association = made(&desk.emulator.act(call).await?, "associationId")?;
    desk.look();
    let mut xml = Xml::new();
    xml.leaf("return", true);
    xml.leaf("associationId", association);
    Ok(xml.finish())
}

pub(super) async fn disassociate(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let association = params.required("AssociationId")?;
    let mut held = desk.ec2().addresses.values().filter(|it| it.association.as_deref() == Some(association));
    let Some(address) = held.next() else {
        let message = format!("The association ID '{association}' does not exist");
        return Err(Refusal::new("InvalidAssociationID.NotFound", message));
    };
    if is_of_service(desk, address) {
        let message = "You do not have permission to access the specified resource.";
        return Err(Refusal::new("AuthFailure", message).with_status(403));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("DisassociateAddress").with("AssociationId", association)).await?;
    desk.look();
    Ok(done())
}

/// A service of AWS has it, such as a NAT gateway: only that one can let it go.
fn is_of_service(desk: &Desk<'_>, address: &Address) -> bool {
    let interface = address.interface.as_ref().and_then(|id| desk.ec2().interfaces.get(id));
    interface.and_then(|it| it.attachment.as_ref()).is_some_and(|(_, instance)| instance.is_none())
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let (wanted, ips) = (params.list("AllocationId"), params.list("PublicIp"));
    let all = &desk.ec2().addresses;
    ids::ALLOCATION.check_all(all, &wanted)?;
    if let Some(ip) = ips.iter().find(|ip| !all.values().any(|it| it.public_ip == **ip)) {
        return Err(Refusal::new("InvalidAddress.NotFound", format!("Address '{ip}' not found.")));
    }
    let found = all.iter().filter(|(id, it)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && (ips.is_empty() || ips.contains(&it.public_ip.as_str()))
            && filters.pick(&it.tags, |name| match name {
                "allocation-id" => vec![(*id).clone()],
                "association-id" => it.association.iter().cloned().collect(),
                "domain" => vec!["vpc".to_owned()],
                "instance-id" => it.instance.iter().cloned().collect(),
                "network-border-group" => vec![desk.place.region.clone()],
                "network-interface-id" => it.interface.iter().cloned().collect(),
                "network-interface-owner-id" => it.interface.iter().map(|_| desk.place.account.clone()).collect(),
                "private-ip-address" => it.private_ip.iter().cloned().collect(),
                "public-ip" => vec![it.public_ip.clone()],
                _ => Vec::new(),
            })
    });
    let (found, _) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("addressesSet", found, |xml, (id, it)| {
        xml.leaf("allocationId", id);
        xml.leaf("publicIp", &it.public_ip);
        xml.leaf("publicIpv4Pool", "amazon");
        xml.leaf("domain", "vpc");
        xml.leaf("networkBorderGroup", &desk.place.region);
        xml.leaf_if("associationId", it.association.as_ref());
        xml.leaf_if("instanceId", it.instance.as_ref());
        xml.leaf_if("networkInterfaceId", it.interface.as_ref());
        xml.leaf_if("networkInterfaceOwnerId", it.interface.as_ref().map(|_| &desk.place.account));
        xml.leaf_if("privateIpAddress", it.private_ip.as_ref());
        write_tags(xml, &it.tags);
    });
    Ok(xml.finish())
}

pub(super) async fn release(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("AllocationId")?;
    let address = ids::ALLOCATION.find(&desk.ec2().addresses, id)?;
    if address.association.is_some() {
        let message = format!("Address {} is in use.", address.public_ip);
        return Err(Refusal::new("InvalidIPAddress.InUse", message));
    }
    params.stop_if_dry_run()?;
    desk.emulator.act(Params::call("ReleaseAddress").with("AllocationId", id)).await?;
    desk.look();
    Ok(done())
}
