//! What the operations on EC2 resources do alike: list, find by id or by ownership, wait, see that
//! something is gone.
//!
//! Things are looked up by filters, not by the parameter for ids: what is not there is then an empty
//! list instead of an error, and one id that is gone does not hide the others. Most of what is
//! listed exists; what is listed although it is gone, or on its way out, says so by its [`Presence`].

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Address, Filter, InternetGateway, NatGateway, NatGatewayState, RouteTable, SecurityGroup, SecurityGroupRule,
    Subnet, Tag, TagDescription, Vpc, VpcEndpoint,
};
use switchback_engine::{Cx, Verdict};
use switchback_model::record::Leftover;
use switchback_model::{OpError, OpResult, RunId};
use tokio::time::Instant;

use super::{POLL, client, tags};
pub(super) use crate::calls::nameless;
use crate::context::AwsContext;
use crate::errors::{Call, is_not_found, op_error};
use crate::ids::{
    AllocationId, InternetGatewayId, NatGatewayId, RouteTableId, SecurityGroupId, SecurityGroupRuleId, SubnetId,
    VpcEndpointId, VpcId,
};
use crate::named;

/// How many values a filter may have.
const MOST_VALUES: usize = 200;

/// What a state says about whether the thing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is there.
    There,
    /// There is no way back from this state: it goes away by itself and serves nobody meanwhile.
    Leaving,
    /// It is listed for a while although it is gone.
    Gone,
}

/// A type of EC2 resource that is taggable and can be listed.
pub(super) trait Resource: Sized + Send + Sync {
    /// In words: `VPC`.
    const WHAT: &'static str;
    /// What every id of this type begins with.
    const PREFIX: &'static str;
    /// The filter by id.
    const ID_FILTER: &'static str;

    /// Its id.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &[Tag];
    /// Whether it is there.
    fn presence(&self) -> Presence {
        Presence::There
    }
    /// All that match every filter, page by page; also those that are gone and still listed.
    fn list(ec2: &Client, filters: Vec<Filter>) -> impl Future<Output = OpResult<Vec<Self>>> + Send;
}

macro_rules! resources {
    ($($type:ident as $prefix:expr, $what:literal, $id_filter:literal, $id:ident,
        $describe:ident.$set_filters:ident, $call:literal $(, $presence:ident)?;)*) => {
        $(impl Resource for $type {
            const WHAT: &'static str = $what;
            const PREFIX: &'static str = $prefix;
            const ID_FILTER: &'static str = $id_filter;

            fn id(&self) -> &str {
                self.$id().unwrap_or_default()
            }

            fn tags(&self) -> &[Tag] {
                self.tags()
            }

            $(fn presence(&self) -> Presence {
                $presence(self)
            })?

            async fn list(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<Self>> {
                let about = described(&filters);
                let pages = ec2.$describe().$set_filters(Some(filters)).into_paginator().items().send();
                pages.try_collect().await.map_err(|e| op_error(Call::new($call, &about), e))
            }
        })*
    };
}

resources! {
    Vpc as VpcId::PREFIX, "VPC", "vpc-id", vpc_id, describe_vpcs.set_filters, "ec2:DescribeVpcs";
    Subnet as SubnetId::PREFIX, "subnet", "subnet-id", subnet_id, describe_subnets.set_filters, "ec2:DescribeSubnets";
    InternetGateway as InternetGatewayId::PREFIX, "internet gateway", "internet-gateway-id", internet_gateway_id,
        describe_internet_gateways.set_filters, "ec2:DescribeInternetGateways";
    NatGateway as NatGatewayId::PREFIX, "NAT gateway", "nat-gateway-id", nat_gateway_id, describe_nat_gateways.set_filter,
        "ec2:DescribeNatGateways", nat_gateway_presence;
    RouteTable as RouteTableId::PREFIX, "route table", "route-table-id", route_table_id, describe_route_tables.set_filters,
        "ec2:DescribeRouteTables";
    SecurityGroup as SecurityGroupId::PREFIX, "security group", "group-id", group_id, describe_security_groups.set_filters,
        "ec2:DescribeSecurityGroups";
    SecurityGroupRule as SecurityGroupRuleId::PREFIX, "security group rule", "security-group-rule-id", security_group_rule_id,
        describe_security_group_rules.set_filters, "ec2:DescribeSecurityGroupRules";
}

/// The one list without pages.
impl Resource for Address {
    const WHAT: &'static str = "elastic IP address";
    const PREFIX: &'static str = AllocationId::PREFIX;
    const ID_FILTER: &'static str = "allocation-id";

    fn id(&self) -> &str {
        self.allocation_id().unwrap_or_default()
    }

    fn tags(&self) -> &[Tag] {
        self.tags()
    }

    async fn list(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<Self>> {
        let about = described(&filters);
        let reply = ec2.describe_addresses().set_filters(Some(filters)).send().await;
        let reply = reply.map_err(|e| op_error(Call::new("ec2:DescribeAddresses", &about), e))?;
        Ok(reply.addresses.unwrap_or_default())
    }
}

/// The one list that is asked by id where it is about ids: not every stand-in for EC2 knows the filter.
impl Resource for VpcEndpoint {
    const WHAT: &'static str = "VPC endpoint";
    const PREFIX: &'static str = VpcEndpointId::PREFIX;
    const ID_FILTER: &'static str = "vpc-endpoint-id";

    fn id(&self) -> &str {
        self.vpc_endpoint_id().unwrap_or_default()
    }

    fn tags(&self) -> &[Tag] {
        self.tags()
    }

    fn presence(&self) -> Presence {
        // AWS answers in lower case and the SDK's constants are in upper case.
        match self.state().map(|s| s.as_str().to_ascii_lowercase()).as_deref() {
            Some("deleted") => Presence::Gone,
            Some("deleting") => Presence::Leaving,
            _ => Presence::There,
        }
    }

    async fn list(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<Self>> {
        let about = described(&filters);
        let call = Call::new("ec2:DescribeVpcEndpoints", &about);
        let (by_id, filters): (Vec<_>, Vec<_>) = filters.into_iter().partition(|f| f.name() == Some(Self::ID_FILTER));
        let request = || ec2.describe_vpc_endpoints().set_filters((!filters.is_empty()).then(|| filters.clone()));
        if by_id.is_empty() {
            let pages = request().into_paginator().items().send();
            return pages.try_collect().await.map_err(|e| op_error(call, e));
        }
        let mut found = Vec::new();
        // One by one: an id that is gone hides those beside it.
        for id in by_id.iter().flat_map(Filter::values) {
            match request().vpc_endpoint_ids(id).send().await.map_err(|e| op_error(call, e)) {
                Ok(reply) => found.extend(reply.vpc_endpoints.unwrap_or_default()),
                Err(e) if is_not_found(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}

/// A failed one is deleted by AWS within the hour; a deleted one is listed for about as long.
fn nat_gateway_presence(gateway: &NatGateway) -> Presence {
    match gateway.state() {
        Some(NatGatewayState::Deleted) => Presence::Gone,
        Some(NatGatewayState::Deleting) => Presence::Leaving,
        _ => Presence::There,
    }
}

/// Filters in words, for messages.
fn described(filters: &[Filter]) -> String {
    let one = |f: &Filter| format!("{}={}", f.name().unwrap_or_default(), f.values().join(","));
    filters.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// All that match and are not gone.
pub(super) async fn list<R: Resource>(cx: &Cx, filters: Vec<Filter>) -> OpResult<Vec<R>> {
    let mut found = R::list(&client(cx)?, filters).await?;
    found.retain(|r| r.presence() != Presence::Gone);
    Ok(found)
}

/// The one with that id.
pub(super) async fn by_id<R: Resource>(cx: &Cx, id: &str) -> OpResult<Option<R>> {
    let found = list::<R>(cx, vec![tags::filter(R::ID_FILTER, id)]).await?;
    Ok(found.into_iter().find(|r| r.id() == id))
}

/// What this step made in this generation, by its tags. What is leaving is no longer what it made.
///
/// # Errors
/// Class `Permanent` when there is more than one: which of them is the step's, a person must say.
pub(super) async fn by_ownership<R: Resource>(cx: &Cx) -> OpResult<Option<R>> {
    let mut found = list::<R>(cx, tags::filters(cx)).await?;
    found.retain(|r| tags::are_of_step(cx, r.tags()) && r.presence() == Presence::There);
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(R::id).collect();
        return Err(OpError::permanent(format!(
            "more than one {} carries the tags of step `{}` in generation {}: {}",
            R::WHAT,
            cx.step(),
            cx.generation(),
            ids.join(", ")
        ))
        .with_hint("see which of them is used, remove the others, and `switchback resume`"));
    }
    Ok(found.pop())
}

/// What the step works inside of, or on: it must be there. It may have been made a moment ago and
/// not be seen everywhere yet, so absence is believed only after the quiet period.
///
/// # Errors
/// Class `Permanent` when it is not there.
pub(super) async fn existing<R: Resource>(cx: &Cx, id: &str) -> OpResult<R> {
    let aws = cx.get::<AwsContext>()?;
    let waiting_for = format!("waiting until {id} can be seen");
    named::patiently(cx, &waiting_for, || by_id::<R>(cx, id), Option::is_some).await?.ok_or_else(|| {
        OpError::permanent(format!("there is no {} {id} in {}", R::WHAT, aws.region()))
            .with_code(OpError::NOT_THERE)
            .with_hint("check the id, the region and the account")
    })
}

/// Waits until it is in the state that `ready` wants, and returns what it reads out of it.
pub(super) async fn wait_until<R: Resource, T: Send>(
    cx: &Cx,
    id: &str,
    what: &str,
    ready: impl Fn(&R) -> Option<T> + Send + Sync,
) -> OpResult<T> {
    watch_until(cx, id, what, POLL, |r: &R| Ok(ready(r))).await
}

/// Like [`wait_until`], where it can also come into a state that ends the wait with an error; that it
/// is gone is such a state. `poll` is the first pause; they grow to sixteen times it.
///
/// # Errors
/// What `ready` returns, and those of the wait.
pub(super) async fn watch_until<R: Resource, T: Send>(
    cx: &Cx,
    id: &str,
    what: &str,
    poll: Duration,
    ready: impl Fn(&R) -> OpResult<Option<T>> + Send + Sync,
) -> OpResult<T> {
    let look = || async {
        let found = R::list(&client(cx)?, vec![tags::filter(R::ID_FILTER, id)]).await?;
        found.iter().find(|r| r.id() == id).map_or(Ok(None), &ready)
    };
    cx.wait_for(&format!("waiting until {id} is {what}"), poll, look).await
}

/// Waits until it is no longer there.
pub(super) async fn wait_until_gone<R: Resource>(cx: &Cx, id: &str) -> OpResult<()> {
    let look = || async { Ok(by_id::<R>(cx, id).await?.is_none().then_some(())) };
    cx.wait_for(&format!("waiting until {id} is gone"), POLL, look).await
}

/// Before a thing is deleted: nothing of others may hang on it. What this run hung there is gone by
/// now, but reads may lag behind, so what `hanging` names is believed only after the quiet period.
///
/// # Errors
/// Class `Drift` with what hangs there.
pub(super) async fn refuse_hanging<F, Fut>(cx: &Cx, id: &str, hanging: F) -> OpResult<()>
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = OpResult<Vec<String>>> + Send,
{
    let patience = Instant::now() + cx.get::<AwsContext>()?.quiet();
    let look = || async {
        let there = hanging().await?;
        Ok((there.is_empty() || Instant::now() >= patience).then_some(there))
    };
    let there = cx.wait_for(&format!("waiting until nothing hangs on {id}"), POLL, look).await?;
    if there.is_empty() {
        return Ok(());
    }
    Err(OpError::drift(format!("{id} is used by what this run did not make: {}", there.join(", ")))
        .with_hint("take it away, and `switchback unwind` again"))
}

/// Whether this run made the thing of that id, in whichever step: one end of a strong proof.
pub(super) async fn is_of_run<R: Resource>(cx: &Cx, id: &str) -> OpResult<bool> {
    Ok(by_id::<R>(cx, id).await?.is_some_and(|r| tags::are_of_run(cx, r.tags())))
}

/// What `verify` of a created thing looks at: the one on record, or else the one with our tags.
pub(super) async fn made<R: Resource>(cx: &Cx, id: Option<&str>) -> OpResult<Option<R>> {
    match id {
        Some(id) => by_id(cx, id).await,
        None => by_ownership(cx).await,
    }
}

/// The verdict on a thing that should be there and is not.
pub(super) fn missing<R: Resource>(id: Option<&str>) -> Verdict {
    let what = id.map_or_else(|| R::WHAT.to_owned(), |id| format!("{} {id}", R::WHAT));
    Verdict::new().compare(format!("{what} exists"), true, false)
}

/// Compares that nothing is left: neither the id on record, nor anything with our tags.
pub(super) async fn verify_gone<R: Resource>(cx: &Cx, id: Option<&str>) -> OpResult<Verdict> {
    let mut verdict = Verdict::new();
    if let Some(id) = id {
        let there = by_id::<R>(cx, id).await?.is_some();
        verdict = verdict.compare(format!("{} {id} exists", R::WHAT), false, there);
    }
    let ours = by_ownership::<R>(cx).await?;
    let ids: Vec<_> = ours.iter().map(R::id).collect();
    Ok(verdict.compare(
        format!("{}s with the tags of this step", R::WHAT),
        serde_json::json!([]),
        serde_json::json!(ids),
    ))
}

/// Resources that still carry the run's tags, of every type that EC2 can tag.
///
/// The list of tags lags behind and some stand-ins for AWS never clean it, so what it names is looked
/// at once more where its type is known here.
///
/// # Errors
/// When EC2 cannot be asked.
pub async fn sweep(ec2: &Client, prefix: &str, run: RunId) -> OpResult<Vec<Leftover>> {
    let run = run.to_string();
    let tagged =
        describe_tags(ec2, vec![tags::filter("key", &format!("{prefix}:run")), tags::filter("value", &run)]).await?;
    let ids: BTreeSet<&str> = tagged.iter().filter_map(TagDescription::resource_id).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let (mut steps, mut generations) = (Vec::new(), Vec::new());
    for ids in ids.chunks(MOST_VALUES) {
        steps.extend(
            describe_tags(ec2, vec![tags::filter("key", &format!("{prefix}:step")), any("resource-id", ids)]).await?,
        );
        let key = tags::filter("key", &format!("{prefix}:generation"));
        generations.extend(describe_tags(ec2, vec![key, any("resource-id", ids)]).await?);
    }
    let gone = [
        gone::<Vpc>(ec2, &tagged).await?,
        gone::<Subnet>(ec2, &tagged).await?,
        gone::<InternetGateway>(ec2, &tagged).await?,
        gone::<Address>(ec2, &tagged).await?,
        gone::<NatGateway>(ec2, &tagged).await?,
        gone::<RouteTable>(ec2, &tagged).await?,
        gone::<SecurityGroup>(ec2, &tagged).await?,
        gone::<SecurityGroupRule>(ec2, &tagged).await?,
        gone::<VpcEndpoint>(ec2, &tagged).await?,
    ]
    .concat();
    let value = |of: &[TagDescription], id: &str| {
        of.iter().find(|t| t.resource_id() == Some(id)).and_then(|t| t.value().map(str::to_owned))
    };
    let left = tagged.iter().filter_map(|tag| {
        let id = tag.resource_id().filter(|id| !gone.iter().any(|g| g == id))?;
        Some(Leftover {
            resource_type: tag.resource_type().map_or_else(String::new, |t| t.as_str().to_owned()),
            id: id.to_owned(),
            step: value(&steps, id).unwrap_or_default(),
            generation: value(&generations, id).and_then(|g| g.parse().ok()).unwrap_or_default(),
            target: None,
        })
    });
    Ok(left.collect())
}

/// A filter that any of these values passes.
pub(super) fn any(name: &str, values: &[&str]) -> Filter {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

async fn describe_tags(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<TagDescription>> {
    let about = described(&filters);
    let pages = ec2.describe_tags().set_filters(Some(filters)).into_paginator().items().send();
    pages.try_collect().await.map_err(|e| op_error(Call::new("ec2:DescribeTags", &about), e))
}

/// Those of a type that are tagged and no longer there. The type is read off the id: what the list
/// calls it is not the same everywhere.
async fn gone<R: Resource>(ec2: &Client, tagged: &[TagDescription]) -> OpResult<Vec<String>> {
    let ids: Vec<&str> =
        tagged.iter().filter_map(TagDescription::resource_id).filter(|id| id.starts_with(R::PREFIX)).collect();
    let mut gone = Vec::new();
    for ids in ids.chunks(MOST_VALUES) {
        let mut there = R::list(ec2, vec![any(R::ID_FILTER, ids)]).await?;
        there.retain(|r| r.presence() != Presence::Gone);
        gone.extend(ids.iter().filter(|id| !there.iter().any(|r| r.id() == **id)).map(|id| (*id).to_owned()));
    }
    Ok(gone)
}

/// Whether a delete call met what it was to delete.
///
/// # Errors
/// Every error but "not found".
pub(super) fn was_there<T>(deleted: OpResult<T>) -> OpResult<bool> {
    match deleted {
        Ok(_) => Ok(true),
        Err(e) if is_not_found(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_of_two_types() {
        let prefixes = [
            Vpc::PREFIX,
            Subnet::PREFIX,
            InternetGateway::PREFIX,
            Address::PREFIX,
            NatGateway::PREFIX,
            RouteTable::PREFIX,
            SecurityGroup::PREFIX,
            SecurityGroupRule::PREFIX,
            VpcEndpoint::PREFIX,
        ];
        for one in prefixes {
            let begin: Vec<_> = prefixes.iter().filter(|p| one.starts_with(**p)).collect();
            assert_eq!(begin, [&one]);
        }
    }
}
