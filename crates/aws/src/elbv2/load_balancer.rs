//! `aws.elbv2.load_balancer`: an application or a network load balancer.
//!
//! It takes minutes until it serves, and its network interfaces outlive it: the subnets and the security groups that
//! they are in cannot go before them, so the way back waits for them too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use aws_sdk_elasticloadbalancingv2::types::{
    IpAddressType as SdkIpAddressType, LoadBalancer as Described, LoadBalancerAttribute, LoadBalancerSchemeEnum,
    LoadBalancerStateEnum, LoadBalancerTypeEnum,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{arn_suffix, check_attributes, check_name, client, made_by_us, tag_list, tags_of};
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::context::AwsContext;
use crate::errors::{Call, found, op_error};
use crate::ids::{LoadBalancerArn, LoadBalancerName, SecurityGroupId, SubnetId};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// The attribute that keeps it from being deleted.
const PROTECTION: &str = "deletion_protection.enabled";
/// How many security groups it may be in.
const MOST_GROUPS: usize = 5;
/// It serves after two to five minutes.
const CREATE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Pauses of a wait of minutes.
const POLL: Duration = Duration::from_secs(2);

/// A load balancer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 32 letters, digits and hyphens (`CreateLoadBalancer` Name).
    pub name: LoadBalancerName,
    /// What it balances: HTTP or connections (`CreateLoadBalancer` Type).
    #[serde(rename = "type", default)]
    pub kind: LoadBalancerType,
    /// From where it is reached (`CreateLoadBalancer` Scheme).
    #[serde(default)]
    pub scheme: Scheme,
    /// One subnet a zone; an application load balancer needs two zones (`CreateLoadBalancer` Subnets).
    pub subnets: Vec<SubnetId>,
    /// Up to 5 groups; none: the default one of the VPC (`CreateLoadBalancer` SecurityGroups).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<SecurityGroupId>,
    /// The addresses that it has; AWS's default: `ipv4` (`CreateLoadBalancer` IpAddressType).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address_type: Option<IpAddressType>,
    /// Attributes by key, `idle_timeout.timeout_seconds: "60"` (`ModifyLoadBalancerAttributes`). What is not given
    /// is as AWS has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Tags, beside those that say whose it is (`CreateLoadBalancer` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// The kinds of load balancer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadBalancerType {
    /// HTTP and HTTPS.
    #[default]
    Application,
    /// TCP, UDP and TLS.
    Network,
}

/// From where it is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// From anywhere, by public addresses.
    #[default]
    InternetFacing,
    /// From its VPC, by private addresses.
    Internal,
}

/// The addresses that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IpAddressType {
    /// IPv4.
    Ipv4,
    /// IPv4 and IPv6; its subnets have IPv6 ranges.
    Dualstack,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its ARN.
    pub load_balancer_arn: LoadBalancerArn,
    /// Its name.
    pub name: LoadBalancerName,
    /// The host name by which it is reached.
    pub dns_name: String,
    /// The Route 53 zone of that name, for alias records.
    pub canonical_hosted_zone_id: String,
    /// By which metrics name it: `app/web/50dc6c495c0c9188`.
    pub arn_suffix: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadBalancer;

impl LoadBalancerType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Network => "network",
        }
    }

    /// In its ARN.
    fn short(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Network => "net",
        }
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::InternetFacing => "internet-facing",
            Self::Internal => "internal",
        }
    }
}

impl IpAddressType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Dualstack => "dualstack",
        }
    }
}

impl Params {
    fn is_protected(&self) -> bool {
        self.attributes.get(PROTECTION).is_some_and(|on| on == "true")
    }

    fn residue(&self) -> Vec<String> {
        let logs = ["access_logs.s3.enabled", "connection_logs.s3.enabled"];
        let logs = logs.iter().any(|key| self.attributes.get(*key).is_some_and(|on| on == "true"));
        logs.then(|| "the logs that it wrote stay in their bucket".to_owned()).into_iter().collect()
    }
}

/// A load balancer with its tags.
pub(super) struct Balancer {
    described: Described,
    tags: Tags,
}

impl Named for Balancer {
    const WHAT: &'static str = "load balancer";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.describe_load_balancers().names(name).send().await;
        let call = Call::new("elasticloadbalancing:DescribeLoadBalancers", name);
        let reply = found(sent.map_err(|e| op_error(call, e)))?;
        let mut all = reply.and_then(|r| r.load_balancers).unwrap_or_default().into_iter();
        let Some(described) = all.find(|it| it.load_balancer_name() == Some(name)) else { return Ok(None) };
        let tags = tags_of(cx, described.load_balancer_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.load_balancer_arn().unwrap_or_default()
    }
}

fn output(it: &Described) -> Output {
    let arn = it.load_balancer_arn().unwrap_or_default();
    Output {
        load_balancer_arn: LoadBalancerArn::new(arn),
        name: LoadBalancerName::new(it.load_balancer_name().unwrap_or_default()),
        dns_name: it.dns_name().unwrap_or_default().to_owned(),
        canonical_hosted_zone_id: it.canonical_hosted_zone_id().unwrap_or_default().to_owned(),
        arn_suffix: arn_suffix(arn),
    }
}

fn state(it: &Described) -> &str {
    it.state().and_then(|state| state.code()).map_or("unknown", LoadBalancerStateEnum::as_str)
}

/// Whether it serves: `active_impaired` does, and is short of something to grow with.
fn is_active(state: &str) -> bool {
    state == "active" || state == "active_impaired"
}

/// Its attributes as they are; none when it is gone by now.
async fn attributes_of(cx: &Cx, arn: &str) -> OpResult<Option<BTreeMap<String, String>>> {
    let sent = client(cx)?.describe_load_balancer_attributes().load_balancer_arn(arn).send().await;
    let call = Call::new("elasticloadbalancing:DescribeLoadBalancerAttributes", arn);
    let reply = found(sent.map_err(|e| op_error(call, e)))?;
    let pair = |of: &LoadBalancerAttribute| Some((of.key()?.to_owned(), of.value().unwrap_or_default().to_owned()));
    Ok(reply.map(|r| r.attributes().iter().filter_map(pair).collect()))
}

async fn modify(cx: &Cx, arn: &str, attributes: &BTreeMap<String, String>) -> OpResult<()> {
    let attribute = |(key, value)| LoadBalancerAttribute::builder().key(key).value(value).build();
    let sent = client(cx)?
        .modify_load_balancer_attributes()
        .load_balancer_arn(arn)
        .set_attributes(Some(attributes.iter().map(attribute).collect()))
        .send()
        .await;
    let call = Call::new("elasticloadbalancing:ModifyLoadBalancerAttributes", arn).just_made();
    sent.map(|_| ()).map_err(|e| op_error(call, e))
}

/// The listeners that it has. Those that steps made are gone before it is rolled back.
async fn listeners(cx: &Cx, arn: &str) -> OpResult<Option<String>> {
    let pages = client(cx)?.describe_listeners().load_balancer_arn(arn).into_paginator().items().send();
    let call = Call::new("elasticloadbalancing:DescribeListeners", arn);
    let there = found(pages.try_collect().await.map_err(|e| op_error(call, e)))?.unwrap_or_default();
    let ports: Vec<String> = there.iter().filter_map(|it| Some(it.port()?.to_string())).collect();
    Ok((!there.is_empty()).then(|| format!("a listener on port {}", ports.join(", "))))
}

/// Waits until nothing of it is left in its subnets.
async fn wait_for_interfaces(cx: &Cx, suffix: &str) -> OpResult<()> {
    let filter = Filter::builder().name("description").values(format!("ELB {suffix}")).build();
    let ec2 = cx.get::<AwsContext>()?.ec2(cx);
    let look = || async {
        let pages = ec2.describe_network_interfaces().filters(filter.clone()).into_paginator().items().send();
        let call = Call::new("ec2:DescribeNetworkInterfaces", suffix);
        let left: Vec<_> = pages.try_collect().await.map_err(|e| op_error(call, e))?;
        Ok(left.is_empty().then_some(()))
    };
    cx.wait_for(&format!("waiting until the network interfaces of `{suffix}` are gone"), named::POLL, look).await
}

impl Operation for LoadBalancer {
    const KIND: &'static str = "aws.elbv2.load_balancer";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let modify = "elasticloadbalancing:ModifyLoadBalancerAttributes";
        let mut rolls_back = vec!["elasticloadbalancing:DeleteLoadBalancer"];
        if params.is_protected() {
            rolls_back.insert(0, modify);
        }
        let calls = Calls {
            reads: &[
                "ec2:DescribeNetworkInterfaces",
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeLoadBalancerAttributes",
                "elasticloadbalancing:DescribeLoadBalancers",
                "elasticloadbalancing:DescribeTags",
            ],
            creates: "elasticloadbalancing:CreateLoadBalancer",
            settles: if params.attributes.is_empty() { Vec::new() } else { vec![modify] },
            rolls_back,
            // The first load balancer of an account makes the role by which the service acts.
            besides: &["elasticloadbalancing:AddTags", "iam:CreateServiceLinkedRole"],
        };
        let (kind, name) = (params.kind.short(), &params.name);
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            residue: params.residue(),
            arns: vec![format!(
                "arn:{{partition}}:elasticloadbalancing:{{region}}:{{account}}:loadbalancer/{kind}/{name}/*"
            )],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            name: LoadBalancerName::new("app"),
            kind: LoadBalancerType::Application,
            scheme: Scheme::InternetFacing,
            subnets: vec![SubnetId::new("subnet-0a1b2c3d4e5f60718"), SubnetId::new("subnet-0a1b2c3d4e5f60719")],
            security_groups: vec![SecurityGroupId::new("sg-0a1b2c3d4e5f60718")],
            ip_address_type: Some(IpAddressType::Ipv4),
            attributes: BTreeMap::from([
                (PROTECTION.to_owned(), "true".to_owned()),
                ("idle_timeout.timeout_seconds".to_owned(), "120".to_owned()),
            ]),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.name.as_str(), "name", &mut errors);
        for id in &params.subnets {
            id.check("subnets", &mut errors);
        }
        for id in &params.security_groups {
            id.check("security_groups", &mut errors);
        }
        let subnets: BTreeSet<&str> = params.subnets.iter().map(SubnetId::as_str).collect();
        if subnets.len() < params.subnets.len() {
            errors.push(ParamError::new("subnets", "names a subnet twice"));
        }
        let least = if params.kind == LoadBalancerType::Application { 2 } else { 1 };
        if subnets.len() < least {
            let message = format!("an {} load balancer is in {least} zones at least", params.kind.as_str());
            errors.push(ParamError::new("subnets", message));
        }
        let groups: BTreeSet<&str> = params.security_groups.iter().map(SecurityGroupId::as_str).collect();
        if groups.len() < params.security_groups.len() {
            errors.push(ParamError::new("security_groups", "names a group twice"));
        }
        if groups.len() > MOST_GROUPS {
            errors.push(ParamError::new("security_groups", format!("a load balancer is in up to {MOST_GROUPS}")));
        }
        check_attributes(&params.attributes, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Balancer>(cx, params.name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<Balancer>(cx, known, "name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        const CALL: &str = "elasticloadbalancing:CreateLoadBalancer";
        let name = params.name.as_str();
        named::still_absent::<Balancer>(cx, name).await?;
        let groups: Vec<String> = params.security_groups.iter().map(ToString::to_string).collect();
        let reply = client(cx)?
            .create_load_balancer()
            .name(name)
            .r#type(LoadBalancerTypeEnum::from(params.kind.as_str()))
            .scheme(LoadBalancerSchemeEnum::from(params.scheme.as_str()))
            .set_subnets(Some(params.subnets.iter().map(ToString::to_string).collect()))
            .set_security_groups((!groups.is_empty()).then_some(groups))
            .set_ip_address_type(params.ip_address_type.map(|of| SdkIpAddressType::from(of.as_str())))
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| op_error(Call::new(CALL, name).just_made(), e))?;
        let made = reply.load_balancers().first().filter(|it| it.load_balancer_arn().is_some());
        let made = output(made.ok_or_else(|| nameless(CALL, name))?);
        made_by_us::<Balancer>(cx, name, made.load_balancer_arn.as_str()).await?;
        Ok(made)
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = out.name.as_str();
        let there = named::ours_there::<Balancer>(cx, name).await?;
        if !params.attributes.is_empty() {
            modify(cx, there.id(), &params.attributes).await?;
        }
        named::wait_until::<Balancer, _>(cx, name, "active", POLL, |there| {
            let it = &there.described;
            match state(it) {
                state if is_active(state) => Ok(Some(output(it))),
                "failed" => {
                    let why = it.state().and_then(|state| state.reason()).unwrap_or("no reason is given");
                    Err(OpError::permanent(format!("load balancer `{name}` could not be set up: {why}")))
                }
                _ => Ok(None),
            }
        })
        .await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Balancer, _>(cx, params.name.as_str(), |there| output(&there.described)).await
    }

    /// Its network interfaces may be there after it is gone, also when it was deleted in an earlier attempt.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = params.name.as_str();
        let undo = delete(cx, params).await?;
        named::wait_until_gone::<Balancer>(cx, name, named::POLL).await?;
        wait_for_interfaces(cx, &out.arn_suffix).await?;
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<Balancer>(cx, name).await;
        }
        let Some(there) = Balancer::read(cx, name).await? else { return Ok(named::missing::<Balancer>(name)) };
        let Some(attributes) = attributes_of(cx, there.id()).await? else {
            return Ok(named::missing::<Balancer>(name));
        };
        let it = &there.described;
        let subnets: BTreeSet<&str> = it.availability_zones().iter().filter_map(|zone| zone.subnet_id()).collect();
        let wanted: BTreeSet<&str> = params.subnets.iter().map(SubnetId::as_str).collect();
        let now = if is_active(state(it)) { "active" } else { state(it) };
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("state", "active", now)
            .compare("type", params.kind.as_str(), it.r#type().map(LoadBalancerTypeEnum::as_str))
            .compare("scheme", params.scheme.as_str(), it.scheme().map(LoadBalancerSchemeEnum::as_str))
            .compare("subnets", json!(wanted), json!(subnets));
        if let Some(out) = out {
            verdict = verdict.compare("load_balancer_arn", out.load_balancer_arn.as_str(), there.id());
        }
        let groups: BTreeSet<&str> = it.security_groups().iter().map(String::as_str).collect();
        if !params.security_groups.is_empty() {
            let wanted: BTreeSet<&str> = params.security_groups.iter().map(SecurityGroupId::as_str).collect();
            verdict = verdict.compare("security_groups", json!(wanted), json!(groups));
        }
        let addresses = it.ip_address_type().map(SdkIpAddressType::as_str);
        if let Some(wanted) = params.ip_address_type {
            verdict = verdict.compare("ip_address_type", wanted.as_str(), addresses);
        }
        if !params.attributes.is_empty() {
            let wanted = json!(params.attributes);
            let got = asked::of_those(&wanted, &json!(attributes));
            verdict = verdict.compare("attributes", wanted, got);
        }
        verdict.observed = json!({
            "name": name, "load_balancer_arn": there.id(), "dns_name": it.dns_name(), "vpc_id": it.vpc_id(),
            "state": state(it), "scheme": it.scheme().map(LoadBalancerSchemeEnum::as_str), "subnets": subnets,
            "security_groups": groups, "ip_address_type": addresses, "attributes": attributes, "tags": there.tags,
        });
        Ok(verdict)
    }
}

/// Deletes it where it is ours. The call deletes its listeners with it, so others' must not be there.
async fn delete(cx: &Cx, params: &Params) -> OpResult<Undo> {
    let name = params.name.as_str();
    let Some(there) = named::ours::<Balancer>(cx, name).await? else { return Ok(Undo::Nothing) };
    named::emptied::<Balancer, _>(cx, name, || listeners(cx, there.id())).await?;
    let Some(there) = named::ours::<Balancer>(cx, name).await? else { return Ok(Undo::Nothing) };
    if params.is_protected() {
        let off = BTreeMap::from([(PROTECTION.to_owned(), "false".to_owned())]);
        if found(modify(cx, there.id(), &off).await)?.is_none() {
            return Ok(Undo::Nothing);
        }
    }
    let deleted = client(cx)?.delete_load_balancer().load_balancer_arn(there.id()).send().await;
    let call = Call::new("elasticloadbalancing:DeleteLoadBalancer", name);
    Ok(match found(deleted.map_err(|e| op_error(call, e)))? {
        Some(_) => Undo::Done,
        None => Undo::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = LoadBalancer.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let (one, two) = ("subnet-0a1b2c3d", "subnet-0a1b2c3e");
        assert!(wrong(json!({"name": "web", "subnets": [one, two]})).is_empty());
        assert!(wrong(json!({"name": "web", "type": "network", "subnets": [one]})).is_empty());
        assert_eq!(wrong(json!({"name": "web", "subnets": [one]})), ["subnets"]);
        assert_eq!(wrong(json!({"name": "web", "subnets": [one, two, one]})), ["subnets"]);
        assert_eq!(wrong(json!({"name": "we_b", "subnets": [one, two]})), ["name"]);
        let with = |groups: Value| wrong(json!({"name": "web", "subnets": [one, two], "security_groups": groups}));
        assert_eq!(with(json!(["sg-0a1b2c3d", "sg-0a1b2c3d"])), ["security_groups"]);
        let six: Vec<String> = (0..6).map(|n| format!("sg-0a1b2c3{n}")).collect();
        assert_eq!(with(json!(six)), ["security_groups"]);
        let attributes = json!({"name": "web", "subnets": [one, two], "attributes": {"Idle": "1"}});
        assert_eq!(wrong(attributes), ["attributes.Idle"]);
        LoadBalancer.check(&LoadBalancer::example().unwrap()).unwrap();
    }

    #[test]
    fn facts_follow_the_parameters() {
        let plain = params(json!({"name": "web", "subnets": []}));
        let facts = LoadBalancer.facts(&plain);
        assert!(facts.settles.is_empty());
        assert_eq!(facts.rolls_back, ["elasticloadbalancing:DeleteLoadBalancer"]);
        assert!(facts.arns[0].ends_with(":loadbalancer/app/web/*"));
        // Protection that this step did not set is not taken off.
        assert_eq!(LoadBalancer.facts(&LoadBalancer::example().unwrap()).rolls_back.len(), 2);
    }

    #[test]
    fn the_output_names_it_for_metrics_and_for_dns() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";
        let it = Described::builder().load_balancer_arn(arn).load_balancer_name("web").dns_name("web-1.elb").build();
        let out = output(&it);
        assert_eq!((out.arn_suffix.as_str(), out.dns_name.as_str()), ("app/web/50dc6c495c0c9188", "web-1.elb"));
        assert!(is_active("active_impaired") && !is_active("provisioning"));
    }
}
