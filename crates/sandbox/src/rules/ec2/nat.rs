//! NAT gateways.
//!
//! Mended: the emulator makes no interface for them, leaves their address free, needs no internet gateway, and has them
//! available and gone at once. AWS goes on describing one that was deleted, or that failed, for about an hour.

use std::time::Duration;

use serde_json::json;

use super::select::{Filters, page, write_tags};
use super::vpc::made;
use super::{Desk, ids, interface};
use crate::picture::ec2::Nat;
use crate::query::Params;
use crate::refusal::Refusal;
use crate::xml::Xml;

const FILTERS: &[&str] = &["nat-gateway-id", "state", "subnet-id", "vpc-id"];
/// How long one that was deleted is still described.
const DESCRIBED: Duration = Duration::from_secs(3600);

pub(super) async fn create(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let subnet_id = params.required("SubnetId")?;
    let subnet = ids::SUBNET.find(&desk.ec2().subnets, subnet_id)?;
    let connectivity = params.get("ConnectivityType").unwrap_or("public");
    let allocation = params.get("AllocationId");
    match connectivity {
        "public" => {
            let allocation = params.required("AllocationId")?;
            ids::ALLOCATION.find(&desk.ec2().addresses, allocation)?;
        }
        "private" if allocation.is_some() => {
            return Err(Refusal::new(
                "InvalidParameterCombination",
                "The parameter AllocationId cannot be used with the connectivity type private",
            ));
        }
        "private" => {}
        other => return Err(Refusal::value(other, "connectivityType", "Expecting public or private.")),
    }
    let failure = failure(desk, &subnet.vpc, allocation);
    let tags = params.tags_for("natgateway")?;
    params.stop_if_dry_run()?;

    let mut call = Params::call("CreateNatGateway").with("SubnetId", subnet_id);
    call = call.with("ConnectivityType", connectivity).with_tags("natgateway", &tags);
    if let Some(allocation) = allocation {
        call = call.with("AllocationId", allocation);
    }
    let id = made(&desk.emulator.act(call).await?, "natGatewayId")?;
    desk.look();
    let failure = match failure {
        Some(failure) => Some(failure),
        None => match interface::make(desk, subnet_id, &[], &format!("{}{id}", interface::NAT)).await {
            Ok(interface) => {
                desk.emulator.attach_interfaces(std::slice::from_ref(&interface)).await;
                desk.emulator.set_nat(&id, "available", Some(&interface)).await;
                None
            }
            Err(refusal) => Some((refusal.code.into_owned(), refusal.message.into_owned())),
        },
    };
    if let Some((code, message)) = failure {
        desk.emulator.set_nat(&id, "failed", None).await;
        desk.look();
        let facts = desk.notes_mut().facts.entry(id.clone()).or_default();
        facts.insert("failure_code", json!(code));
        facts.insert("failure_message", json!(message));
        desk.end(&id, DESCRIBED);
    }
    desk.look();
    desk.ready_after(&id, desk.settings.slow());
    let nat = ids::NAT.find(&desk.ec2().nats, &id)?;
    let mut xml = Xml::new();
    xml.leaf_if("clientToken", params.get("ClientToken"));
    xml.tag("natGateway", |xml| write(desk, xml, &id, nat));
    Ok(xml.finish())
}

/// What AWS finds out only after it has taken the call: code and message.
fn failure(desk: &Desk<'_>, vpc: &str, allocation: Option<&str>) -> Option<(String, String)> {
    let id = allocation?;
    if desk.ec2().addresses.get(id).is_some_and(|address| address.association.is_some()) {
        let message = format!("Elastic IP address [{id}] is already associated");
        return Some(("Resource.AlreadyAssociated".to_owned(), message));
    }
    let attached = desk.ec2().gateways.values().any(|gateway| gateway.attached_to.iter().any(|to| to == vpc));
    let message = || format!("Network {vpc} has no Internet gateway attached");
    (!attached).then(|| ("Gateway.NotAttached".to_owned(), message()))
}

/// `pending`, `failed`, `available`, `deleting` or `deleted`.
fn state<'a>(desk: &Desk<'_>, id: &str, nat: &'a Nat) -> &'a str {
    match nat.state.as_str() {
        "deleted" => "deleted",
        _ if desk.is_pending(id) => "pending",
        "available" if desk.is_ending(id) => "deleting",
        state => state,
    }
}

/// Whether something can be sent through it: it was neither deleted nor did it fail.
pub(super) fn is_usable(desk: &Desk<'_>, id: &str) -> bool {
    desk.ec2().nats.get(id).is_some_and(|nat| matches!(state(desk, id, nat), "pending" | "available"))
}

fn write(desk: &Desk<'_>, xml: &mut Xml, id: &str, nat: &Nat) {
    let state = state(desk, id, nat);
    xml.leaf("natGatewayId", id);
    xml.leaf("vpcId", &nat.vpc);
    xml.leaf("subnetId", &nat.subnet);
    xml.leaf("state", state);
    xml.leaf("connectivityType", if nat.public { "public" } else { "private" });
    if state == "failed" {
        let fact = |name| desk.notes().fact(id, name).and_then(|value| value.as_str());
        xml.leaf_if("failureCode", fact("failure_code"));
        xml.leaf_if("failureMessage", fact("failure_message"));
    }
    let interfaces = interface::described(desk, &format!("{}{id}", interface::NAT));
    let address = nat.allocation.as_ref().and_then(|id| desk.ec2().addresses.get(id));
    xml.set("natGatewayAddressSet", interfaces, |xml, (interface, it)| {
        xml.leaf_if("allocationId", nat.allocation.as_ref());
        xml.leaf_if("associationId", address.and_then(|address| address.association.as_ref()));
        xml.leaf_if("publicIp", address.map(|address| &address.public_ip));
        xml.leaf("networkInterfaceId", interface);
        xml.leaf("privateIp", &it.address);
        xml.leaf("isPrimary", true);
        xml.leaf("status", "succeeded");
    });
    write_tags(xml, &nat.tags);
}

pub(super) fn describe(desk: &Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let filters = Filters::with_tags(params, FILTERS)?;
    let wanted = params.list("NatGatewayId");
    ids::NAT.check_all(&desk.ec2().nats, &wanted)?;
    let found = desk.ec2().nats.iter().filter(|(id, nat)| {
        (wanted.is_empty() || wanted.contains(&id.as_str()))
            && filters.pick(&nat.tags, |name| match name {
                "nat-gateway-id" => vec![(*id).clone()],
                "state" => vec![state(desk, id, nat).to_owned()],
                "subnet-id" => vec![nat.subnet.clone()],
                "vpc-id" => vec![nat.vpc.clone()],
                _ => Vec::new(),
            })
    });
    let (found, next) = page(params, &wanted, found.collect())?;
    params.stop_if_dry_run()?;
    let mut xml = Xml::new();
    xml.set("natGatewaySet", found, |xml, (id, nat)| write(desk, xml, id, nat));
    xml.leaf_if("nextToken", next);
    Ok(xml.finish())
}

pub(super) async fn delete(desk: &mut Desk<'_>, params: &Params) -> Result<String, Refusal> {
    let id = params.required("NatGatewayId")?;
    let nat = ids::NAT.find(&desk.ec2().nats, id)?;
    // Deleting it again is no error, and starts nothing.
    let ended = nat.state == "deleted" || (nat.state == "available" && desk.is_ending(id));
    let failed = nat.state == "failed";
    params.stop_if_dry_run()?;
    if !ended {
        desk.notes_mut().ready.remove(id);
        if failed {
            // There is nothing to take down.
            desk.emulator.set_nat(id, "deleted", None).await;
            desk.look();
            desk.end(id, DESCRIBED);
        } else {
            desk.end(id, desk.settings.slow());
        }
    }
    let mut xml = Xml::new();
    xml.leaf("natGatewayId", id);
    Ok(xml.finish())
}

/// It was deleted: what it held is free, and it is described for a while. After that, or when it had failed, it is gone.
pub(super) async fn finish(desk: &mut Desk<'_>, id: &str) {
    if desk.ec2().nats.get(id).is_some_and(|nat| nat.state == "available") {
        let held = interface::described(desk, &format!("{}{id}", interface::NAT));
        let held: Vec<String> = held.into_iter().map(|(id, _)| id.clone()).collect();
        desk.emulator.drop_interfaces(&held).await;
        desk.emulator.set_nat(id, "deleted", None).await;
        desk.end(id, DESCRIBED);
    } else {
        desk.emulator.drop_nat(id).await;
    }
    desk.look();
}
