//! What the operations on EC2 resources do alike: list, find by id or by ownership, wait, see that
//! something is gone.
//!
//! Everything is looked up by filters, never by the parameter for ids: what is not there is then an
//! empty list instead of an error, and one id that is gone does not hide the others. The resources
//! here have no state in which they are listed although they are gone (as instances have); one that
//! is listed exists.

use std::collections::BTreeSet;
use std::future::Future;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, InternetGateway, ResourceType, SecurityGroup, SecurityGroupRule, Subnet, Tag, TagDescription, Vpc,
};
use switchback_engine::{Cx, Verdict};
use switchback_model::record::Leftover;
use switchback_model::{ErrorClass, OpError, OpResult, RunId};
use tokio::time::Instant;

use super::{POLL, client, tags};
use crate::context::AwsContext;
use crate::errors::{Call, is_not_found, op_error};

/// How many values a filter may have.
const MOST_VALUES: usize = 200;

/// A type of EC2 resource that is taggable and can be listed.
pub(super) trait Resource: Sized + Send + Sync {
    /// In words: `VPC`.
    const WHAT: &'static str;
    /// As EC2 names it.
    const TYPE: ResourceType;
    /// The filter by id.
    const ID_FILTER: &'static str;

    /// Its id.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &[Tag];
    /// All that match every filter, page by page.
    fn list(ec2: &Client, filters: Vec<Filter>) -> impl Future<Output = OpResult<Vec<Self>>> + Send;
}

macro_rules! resources {
    ($($type:ident, $what:literal, $id_filter:literal, $id:ident, $describe:ident, $call:literal;)*) => {
        $(impl Resource for $type {
            const WHAT: &'static str = $what;
            const TYPE: ResourceType = ResourceType::$type;
            const ID_FILTER: &'static str = $id_filter;

            fn id(&self) -> &str {
                self.$id().unwrap_or_default()
            }

            fn tags(&self) -> &[Tag] {
                self.tags()
            }

            async fn list(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<Self>> {
                let about = described(&filters);
                let pages = ec2.$describe().set_filters(Some(filters)).into_paginator().items().send();
                pages.try_collect().await.map_err(|e| op_error(Call::new($call, &about), e))
            }
        })*
    };
}

resources! {
    Vpc, "VPC", "vpc-id", vpc_id, describe_vpcs, "ec2:DescribeVpcs";
    Subnet, "subnet", "subnet-id", subnet_id, describe_subnets, "ec2:DescribeSubnets";
    InternetGateway, "internet gateway", "internet-gateway-id", internet_gateway_id, describe_internet_gateways,
        "ec2:DescribeInternetGateways";
    SecurityGroup, "security group", "group-id", group_id, describe_security_groups, "ec2:DescribeSecurityGroups";
    SecurityGroupRule, "security group rule", "security-group-rule-id", security_group_rule_id,
        describe_security_group_rules, "ec2:DescribeSecurityGroupRules";
}

/// Filters in words, for messages.
fn described(filters: &[Filter]) -> String {
    let one = |f: &Filter| format!("{}={}", f.name().unwrap_or_default(), f.values().join(","));
    filters.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// All that match.
pub(super) async fn list<R: Resource>(cx: &Cx, filters: Vec<Filter>) -> OpResult<Vec<R>> {
    R::list(&client(cx)?, filters).await
}

/// The one with that id.
pub(super) async fn by_id<R: Resource>(cx: &Cx, id: &str) -> OpResult<Option<R>> {
    let found = list::<R>(cx, vec![tags::filter(R::ID_FILTER, id)]).await?;
    Ok(found.into_iter().find(|r| r.id() == id))
}

/// What this step made in this generation, by its tags.
///
/// # Errors
/// Class `Permanent` when there is more than one: which of them is the step's, a person must say.
pub(super) async fn by_ownership<R: Resource>(cx: &Cx) -> OpResult<Option<R>> {
    let mut found = list::<R>(cx, tags::filters(cx)).await?;
    found.retain(|r| tags::are_of_step(cx, r.tags()));
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
    let patience = Instant::now() + aws.quiet();
    let look = || async {
        let found = by_id::<R>(cx, id).await?;
        Ok((found.is_some() || Instant::now() >= patience).then_some(found))
    };
    cx.wait_for(&format!("waiting until {id} can be seen"), POLL, look).await?.ok_or_else(|| {
        OpError::permanent(format!("there is no {} {id} in {}", R::WHAT, aws.region()))
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
    let look = || async { Ok(by_id::<R>(cx, id).await?.and_then(|r| ready(&r))) };
    cx.wait_for(&format!("waiting until {id} is {what}"), POLL, look).await
}

/// Waits until it is no longer listed.
pub(super) async fn wait_until_gone<R: Resource>(cx: &Cx, id: &str) -> OpResult<()> {
    let look = || async { Ok(by_id::<R>(cx, id).await?.is_none().then_some(())) };
    cx.wait_for(&format!("waiting until {id} is gone"), POLL, look).await
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
        gone::<SecurityGroup>(ec2, &tagged).await?,
        gone::<SecurityGroupRule>(ec2, &tagged).await?,
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
fn any(name: &str, values: &[&str]) -> Filter {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

async fn describe_tags(ec2: &Client, filters: Vec<Filter>) -> OpResult<Vec<TagDescription>> {
    let about = described(&filters);
    let pages = ec2.describe_tags().set_filters(Some(filters)).into_paginator().items().send();
    pages.try_collect().await.map_err(|e| op_error(Call::new("ec2:DescribeTags", &about), e))
}

/// Those of a type that are tagged and no longer there.
async fn gone<R: Resource>(ec2: &Client, tagged: &[TagDescription]) -> OpResult<Vec<String>> {
    let of_type = tagged.iter().filter(|t| t.resource_type() == Some(&R::TYPE));
    let ids: Vec<&str> = of_type.filter_map(TagDescription::resource_id).collect();
    let mut gone = Vec::new();
    for ids in ids.chunks(MOST_VALUES) {
        let there = R::list(ec2, vec![any(R::ID_FILTER, ids)]).await?;
        gone.extend(ids.iter().filter(|id| !there.iter().any(|r| r.id() == **id)).map(|id| (*id).to_owned()));
    }
    Ok(gone)
}

/// A create call was answered and the answer does not say what was made: look it up.
pub(super) fn nameless(call: &'static str, about: &str) -> OpError {
    OpError::new(ErrorClass::Ambiguous, format!("the reply to `{call}` for {about} does not name what it made"))
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
