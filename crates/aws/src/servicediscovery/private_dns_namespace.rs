//! `aws.servicediscovery.private_dns_namespace`: names that resolve inside a VPC.
//!
//! Making and deleting one takes a minute, in an operation of its own that the call only begins. Two of one
//! name are allowed in two VPCs, so a namespace is known by its tags; those of its name that were there before are
//! kept by `capture`, and not asked. It can be seen when its operation is over: whoever looks for one waits until no
//! such operation is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_servicediscovery::types::{
    FilterCondition, Namespace, NamespaceFilter, NamespaceFilterName, NamespaceType, OperationFilter,
    OperationFilterName, OperationStatus, OperationTargetType, OperationType, PrivateDnsNamespaceProperties,
    PrivateDnsPropertiesMutable, ServiceFilter, ServiceFilterName, Soa,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::record::Proof;
use switchback_model::{OpError, OpResult};

use super::{client, tag_list, tags_of};
use crate::calls::{Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{NamespaceArn, NamespaceId, VpcId};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// How long making one may take: a hosted zone of Route 53 is made with it.
const CREATE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// The longest name and the longest description, in characters.
const LONGEST: usize = 1024;
/// The longest that nobody may remember that a name is not there, in seconds.
const LONGEST_TTL: i64 = 2_147_483_647;

/// A Cloud Map namespace whose names resolve inside a VPC.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The domain, `local` or `app.internal` (`CreatePrivateDnsNamespace` Name).
    pub name: String,
    /// The VPC in which its names resolve, which needs DNS support and DNS hostnames (`CreatePrivateDnsNamespace`
    /// Vpc).
    pub vpc_id: VpcId,
    /// What it is for, up to 1024 characters (`CreatePrivateDnsNamespace` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long a resolver may remember that a name is not there, in seconds (`CreatePrivateDnsNamespace`
    /// Properties.DnsProperties.SOA.TTL). AWS's default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soa_ttl: Option<i64>,
    /// Tags, beside those that say whose it is (`CreatePrivateDnsNamespace` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The private namespaces of that name, which are not what this step makes.
    pub namespaces: BTreeSet<NamespaceId>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The operation that makes it, as long as that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// Its id, `ns-e4anhexample0004`, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_id: Option<NamespaceId>,
    /// Its ARN, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<NamespaceArn>,
    /// The hosted zone of Route 53 that was made with it, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_zone_id: Option<String>,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrivateDnsNamespace;

/// A namespace, read, with its tags. Its name here is its id.
#[derive(Debug)]
struct There {
    now: Namespace,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "namespace";

    async fn read(cx: &Cx, id: &str) -> OpResult<Option<Self>> {
        let read = client(cx)?.get_namespace().id(id).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("servicediscovery:GetNamespace", id), e)))?;
        let Some(now) = read.and_then(|reply| reply.namespace) else { return Ok(None) };
        Ok(tags_of(cx, now.arn().unwrap_or_default()).await?.map(|tags| Self { now, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.id().unwrap_or_default()
    }
}

impl There {
    fn hosted_zone(&self) -> Option<&str> {
        self.now.properties()?.dns_properties()?.hosted_zone_id()
    }

    fn output(&self) -> Output {
        Output {
            operation_id: None,
            namespace_id: Some(NamespaceId::new(self.id())),
            arn: self.now.arn().map(NamespaceArn::new),
            hosted_zone_id: self.hosted_zone().map(str::to_owned),
        }
    }
}

fn unsent(what: &str) -> impl Fn(aws_sdk_servicediscovery::error::BuildError) -> OpError {
    move |e| OpError::permanent(format!("{what} cannot be sent: {e}"))
}

/// The private namespaces of that name, whoever made them.
async fn ids_of(cx: &Cx, name: &str) -> OpResult<BTreeSet<NamespaceId>> {
    let filter = |of: NamespaceFilterName, value: &str| {
        let built = NamespaceFilter::builder().name(of).values(value).condition(FilterCondition::Eq).build();
        built.map_err(unsent("a filter"))
    };
    let list = client(cx)?
        .list_namespaces()
        .filters(filter(NamespaceFilterName::Type, NamespaceType::DnsPrivate.as_str())?)
        .filters(filter(NamespaceFilterName::Name, name)?);
    let (mut pages, mut ids) = (list.into_paginator().send(), BTreeSet::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("servicediscovery:ListNamespaces", name), e))?;
        let of_name = page.namespaces().iter().filter(|it| it.name() == Some(name));
        ids.extend(of_name.filter_map(|it| it.id()).map(NamespaceId::new));
    }
    Ok(ids)
}

/// What this step made in this generation, by its tags.
async fn by_ownership(cx: &Cx, name: &str, before: &Before) -> OpResult<Option<There>> {
    for id in ids_of(cx, name).await?.difference(&before.namespaces) {
        if let Some(there) = There::read(cx, id.as_str()).await?
            && tags::are_of_step(cx, there.tags())
        {
            return Ok(Some(there));
        }
    }
    Ok(None)
}

/// The operations that make a namespace and are under way.
async fn under_way(cx: &Cx) -> OpResult<bool> {
    const STATES: [OperationStatus; 2] = [OperationStatus::Submitted, OperationStatus::Pending];
    let filter = |of: OperationFilterName, values: Vec<String>, how: FilterCondition| {
        let built = OperationFilter::builder().name(of).set_values(Some(values)).condition(how).build();
        built.map_err(unsent("a filter"))
    };
    let states = STATES.iter().map(|state| state.as_str().to_owned()).collect();
    let kind = vec![OperationType::CreateNamespace.as_str().to_owned()];
    let list = client(cx)?
        .list_operations()
        .filters(filter(OperationFilterName::Type, kind, FilterCondition::Eq)?)
        .filters(filter(OperationFilterName::Status, states, FilterCondition::In)?);
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| op_error(Call::new("servicediscovery:ListOperations", "namespaces"), e))?;
        if !page.operations().is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same, once no namespace is being made any more that cannot be seen yet.
async fn sure_by_ownership(cx: &Cx, name: &str, before: &Before) -> OpResult<Option<There>> {
    let look = || async {
        // Asked in this order: what ends between the two can be seen.
        let waits = under_way(cx).await?;
        let there = by_ownership(cx, name, before).await?;
        Ok((there.is_some() || !waits).then_some(there))
    };
    cx.wait_for("waiting until no namespace is being made any more", POLL, look).await
}

/// How an operation has ended: with the namespace that it was about, or why it failed.
async fn ended(cx: &Cx, operation: &str) -> OpResult<Result<Option<String>, OpError>> {
    let look = || async {
        let read = client(cx)?.get_operation().operation_id(operation).send().await;
        let read = read.map_err(|e| op_error(Call::new("servicediscovery:GetOperation", operation).just_made(), e))?;
        let Some(now) = read.operation() else { return Ok(None) };
        Ok(match now.status() {
            Some(OperationStatus::Success) => {
                Some(Ok(now.targets().and_then(|all| all.get(&OperationTargetType::Namespace)).cloned()))
            }
            Some(OperationStatus::Fail) => {
                let why = now.error_message().unwrap_or("AWS does not say why").trim_end_matches('.');
                let error = OpError::permanent(format!("operation {operation} of Cloud Map failed: {why}"));
                Some(Err(match now.error_code() {
                    Some(code) => error.with_code(code),
                    None => error,
                }))
            }
            _ => None,
        })
    };
    cx.wait_for(&format!("waiting until operation {operation} is over"), POLL, look).await
}

/// A service in it, in words.
async fn holds(cx: &Cx, id: &str) -> OpResult<Option<String>> {
    let filter = ServiceFilter::builder().name(ServiceFilterName::NamespaceId).values(id);
    let filter = filter.condition(FilterCondition::Eq).build().map_err(unsent("a filter"))?;
    let mut pages = client(cx)?.list_services().filters(filter).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = found(page.map_err(|e| op_error(Call::new("servicediscovery:ListServices", id), e)))?;
        if let Some(service) = page.as_ref().and_then(|page| page.services().first()) {
            return Ok(Some(format!("service `{}`", service.name().unwrap_or_default())));
        }
    }
    Ok(None)
}

impl Operation for PrivateDnsNamespace {
    const KIND: &'static str = "aws.servicediscovery.private_dns_namespace";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "servicediscovery:GetNamespace",
                "servicediscovery:GetOperation",
                "servicediscovery:ListNamespaces",
                "servicediscovery:ListOperations",
                "servicediscovery:ListServices",
                "servicediscovery:ListTagsForResource",
            ],
            creates: "servicediscovery:CreatePrivateDnsNamespace",
            settles: Vec::new(),
            rolls_back: vec!["servicediscovery:DeleteNamespace"],
            besides: &[
                "servicediscovery:TagResource",
                "route53:CreateHostedZone",
                "route53:GetHostedZone",
                "route53:ListHostedZonesByName",
                "ec2:DescribeVpcs",
                "ec2:DescribeRegions",
            ],
        };
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            extra_undo_actions: vec!["route53:DeleteHostedZone".into(), "route53:GetHostedZone".into()],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            name: "local".to_owned(),
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            description: Some("How the services find each other".to_owned()),
            soa_ttl: Some(15),
            tags: Tags::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let part = |part: &str| {
            (1..=63).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        if params.name.len() > LONGEST || !params.name.trim_end_matches('.').split('.').all(part) {
            let message = format!("{:?} is not a domain: parts of letters, digits, - and _", params.name);
            errors.push(ParamError::new("name", message));
        }
        params.vpc_id.check("vpc_id", &mut errors);
        if params.description.as_ref().is_some_and(|text| text.chars().count() > LONGEST) {
            errors.push(ParamError::new("description", format!("has up to {LONGEST} characters")));
        }
        if params.soa_ttl.is_some_and(|ttl| !(0..=LONGEST_TTL).contains(&ttl)) {
            errors.push(ParamError::new("soa_ttl", format!("is between 0 and {LONGEST_TTL} seconds")));
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Another of that name is no obstacle; one in the same VPC is, and AWS says so: which VPC a namespace is in
    /// cannot be asked.
    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        Ok(Before { namespaces: ids_of(cx, &params.name).await? })
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let soa = params.soa_ttl.map(|ttl| Soa::builder().ttl(ttl).build().map_err(unsent("a TTL"))).transpose()?;
        let properties = soa.map(|soa| {
            let dns = PrivateDnsPropertiesMutable::builder().soa(soa).build();
            PrivateDnsNamespaceProperties::builder().dns_properties(dns).build()
        });
        let reply = client(cx)?
            .create_private_dns_namespace()
            .name(&params.name)
            .vpc(params.vpc_id.as_str())
            .creator_request_id(cx.token())
            .set_description(params.description.clone())
            .set_properties(properties)
            .set_tags(Some(tag_list(cx, &params.tags)?))
            .send()
            .await
            .map_err(|e| {
                op_error(Call::new("servicediscovery:CreatePrivateDnsNamespace", &params.name).just_made(), e)
            })?;
        let Some(operation) = reply.operation_id else {
            return Err(nameless("servicediscovery:CreatePrivateDnsNamespace", &params.name));
        };
        Ok(Output { operation_id: Some(operation), namespace_id: None, arn: None, hosted_zone_id: None })
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Before, out: &Output) -> OpResult<Output> {
        let id = match (&out.namespace_id, &out.operation_id) {
            (Some(id), _) => Some(id.as_str().to_owned()),
            (None, Some(operation)) => ended(cx, operation).await??,
            (None, None) => None,
        };
        match id {
            Some(id) => Ok(named::ours_there::<There>(cx, &id).await?.output()),
            None => Err(OpError::permanent(format!("AWS does not say which namespace `{}` became", params.name))),
        }
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let there = sure_by_ownership(cx, &params.name, before).await?;
        Ok(there.map_or(Found::Absent, |there| Found::Ours { output: there.output(), proof: Proof::Strong }))
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Before, out: &Output) -> OpResult<Undo> {
        let id = match (&out.namespace_id, &out.operation_id) {
            (Some(id), _) => Some(id.as_str().to_owned()),
            // What failed has made nothing.
            (None, Some(operation)) => ended(cx, operation).await?.unwrap_or_default(),
            (None, None) => None,
        };
        let Some(id) = id else { return Ok(Undo::Nothing) };
        if named::ours::<There>(cx, &id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::emptied::<There, _>(cx, &id, || holds(cx, &id)).await?;
        let deleted = client(cx)?.delete_namespace().id(&id).send().await;
        match deleted.map_err(|e| op_error(Call::new("servicediscovery:DeleteNamespace", &id), e)) {
            Ok(reply) => {
                if let Some(operation) = reply.operation_id() {
                    ended(cx, operation).await??;
                }
            }
            // It is being deleted already: by a process that was here before.
            Err(e) if e.code.as_deref() == Some("DuplicateRequest") => {}
            Err(e) if crate::errors::is_not_found(&e) => return Ok(Undo::Nothing),
            Err(e) => return Err(e),
        }
        named::wait_until_gone::<There>(cx, &id, POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        before: &Before,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let id = out.and_then(|out| out.namespace_id.as_ref());
        if want == Expect::RolledBack {
            let there = sure_by_ownership(cx, &params.name, before).await?.is_some();
            return Ok(Verdict::new().compare("a namespace of this step exists", false, there));
        }
        let there = match id {
            Some(id) => There::read(cx, id.as_str()).await?,
            None => by_ownership(cx, &params.name, before).await?,
        };
        let Some(there) = there else {
            return Ok(named::missing::<There>(id.map_or(&params.name, NamespaceId::as_str)));
        };
        let now = &there.now;
        let kind = now.r#type().map(NamespaceType::as_str);
        let ttl = now.properties().and_then(|p| p.dns_properties()).and_then(|dns| dns.soa()).map(Soa::ttl);
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("type", NamespaceType::DnsPrivate.as_str(), kind)
            .compare("name", params.name.trim_end_matches('.'), now.name());
        if let Some(description) = &params.description {
            verdict = verdict.compare("description", description.as_str(), now.description().unwrap_or_default());
        }
        if let Some(wanted) = params.soa_ttl {
            verdict = verdict.compare("soa_ttl", wanted, ttl);
        }
        verdict.observed = json!({
            "namespace_id": now.id(), "arn": now.arn(), "name": now.name(), "type": kind,
            "description": now.description(), "hosted_zone_id": there.hosted_zone(), "soa_ttl": ttl,
            "tags": there.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const GONE: Answer = Answer::Reply(400, r#"{"__type":"NamespaceNotFound","Message":"x"}"#);
    const NO_SERVICE: Answer = Answer::Reply(200, r#"{"Services":[]}"#);
    const NO_NAMESPACE: Answer = Answer::Reply(200, r#"{"Namespaces":[]}"#);
    const BEGUN: Answer = Answer::Reply(200, r#"{"OperationId":"op-1"}"#);

    fn params() -> Params {
        PrivateDnsNamespace::example().unwrap()
    }

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn operation(status: &str) -> Answer {
        reply(&json!({"Operation": {"Id": "op-1", "Status": status, "Targets": {"NAMESPACE": "ns-1"},
            "ErrorCode": "CANNOT_CREATE_HOSTED_ZONE", "ErrorMessage": "overlapping name space."}}))
    }

    fn there() -> Answer {
        reply(&json!({"Namespace": {"Id": "ns-1", "Arn": "arn:ns-1", "Name": "local", "Type": "DNS_PRIVATE",
            "Properties": {"DnsProperties": {"HostedZoneId": "Z1", "SOA": {"TTL": 15}}}}}))
    }

    fn tagged(step: &str) -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let tags = [("switchback:run", run.as_str()), ("switchback:step", step), ("switchback:generation", "1")];
        reply(&json!({"Tags": tags.map(|(key, value)| json!({"Key": key, "Value": value}))}))
    }

    fn begun() -> Output {
        Output { operation_id: Some("op-1".to_owned()), namespace_id: None, arn: None, hosted_zone_id: None }
    }

    fn made() -> Output {
        Output {
            operation_id: None,
            namespace_id: Some(NamespaceId::new("ns-1")),
            arn: Some(NamespaceArn::new("arn:ns-1")),
            hosted_zone_id: Some("Z1".to_owned()),
        }
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |change: &dyn Fn(&mut Params)| {
            let mut params = params();
            change(&mut params);
            let errors = PrivateDnsNamespace.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        assert!(wrong(&|_| {}).is_empty());
        for name in ["", "a..b", "a b", &"x".repeat(64)] {
            assert_eq!(wrong(&|p| p.name = name.to_owned()), ["name"], "{name}");
        }
        assert_eq!(wrong(&|p| p.soa_ttl = Some(-1)), ["soa_ttl"]);
        assert_eq!(wrong(&|p| p.vpc_id = VpcId::new("subnet-12345678")), ["vpc_id"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_begun_is_waited_for() {
        let script = Script::new([BEGUN, operation("PENDING"), operation("SUCCESS"), there(), tagged("ns")]);
        let (cx, _) = watched("ns", script.config()).await;
        let out = PrivateDnsNamespace.create(&cx, &params(), &Before::default()).await.unwrap();
        assert_eq!(out, begun());
        assert_eq!(PrivateDnsNamespace.settle(&cx, &params(), &Before::default(), &out).await.unwrap(), made());
        assert!(script.bodies.lock().unwrap()[0].contains(r#""CreatorRequestId":"token""#));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_says_why_and_has_made_nothing() {
        let script = Script::new([operation("FAIL"), operation("FAIL")]);
        let (cx, _) = watched("ns", script.config()).await;
        let error = PrivateDnsNamespace.settle(&cx, &params(), &Before::default(), &begun()).await.unwrap_err();
        assert!(error.message.ends_with("failed: overlapping name space"), "{error}");
        assert_eq!(error.code.as_deref(), Some("CANNOT_CREATE_HOSTED_ZONE"));
        let undone = PrivateDnsNamespace.rollback(&cx, &params(), &Before::default(), &begun()).await.unwrap();
        assert_eq!(undone, Undo::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_believed_only_when_none_is_under_way() {
        let ids = ["ns-before", "ns-0", "ns-1"].map(|id| json!({"Id": id, "Name": "local"}));
        let listed = reply(&json!({"Namespaces": ids}));
        let pending = reply(&json!({"Operations": [{"Id": "op-1", "Status": "PENDING"}]}));
        let none = reply(&json!({"Operations": []}));
        let script = Script::new([
            pending,
            NO_NAMESPACE,
            none.clone(),
            listed,
            there(),
            tagged("another"),
            there(),
            tagged("ns"),
            none,
            NO_NAMESPACE,
        ]);
        let (cx, _) = watched("ns", script.config()).await;
        let ours = Found::Ours { output: made(), proof: Proof::Strong };
        let before = Before { namespaces: BTreeSet::from([NamespaceId::new("ns-before")]) };
        assert_eq!(PrivateDnsNamespace.find(&cx, &params(), &before).await.unwrap(), ours);
        assert_eq!(PrivateDnsNamespace.find(&cx, &params(), &before).await.unwrap(), Found::Absent);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_ours_and_empty_is_deleted() {
        let script = Script::new([there(), tagged("ns"), NO_SERVICE, BEGUN, operation("SUCCESS"), GONE, GONE]);
        let (cx, watch) = watched("ns", script.config()).await;
        let undo = async || PrivateDnsNamespace.rollback(&cx, &params(), &Before::default(), &made()).await.unwrap();
        assert_eq!((undo().await, undo().await), (Undo::Done, Undo::Nothing));
        assert_eq!(watch.calls.lock().unwrap()[3].operation, "DeleteNamespace");
        let service = reply(&json!({"Services": [{"Name": "theirs"}]}));
        for (owner, held) in [("another", NO_SERVICE), ("ns", service)] {
            let answers = [there(), tagged(owner)].into_iter().chain(std::iter::repeat_n(held, 40));
            let script = Script::new(answers);
            let (cx, watch) = watched("ns", script.config()).await;
            let error = PrivateDnsNamespace.rollback(&cx, &params(), &Before::default(), &made()).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Drift, "{owner}: {error}");
            assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation != "DeleteNamespace"));
        }
    }
}
