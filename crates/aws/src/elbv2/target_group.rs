//! `aws.elbv2.target_group`: where a load balancer sends requests, and how it sees that a target is well.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Matcher, ProtocolEnum, TargetGroup as Described, TargetGroupAttribute, TargetHealthStateEnum, TargetTypeEnum,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;

use super::{arn_suffix, check_attributes, check_name, check_port, client, made_by_us, tag_list, tags_of};
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{TargetGroupArn, TargetGroupName, VpcId};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// A target group.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 32 letters, digits and hyphens (`CreateTargetGroup` Name).
    pub name: TargetGroupName,
    /// How targets are spoken to (`CreateTargetGroup` Protocol).
    pub protocol: Protocol,
    /// The port of targets that do not say another one: 1 to 65535 (`CreateTargetGroup` Port).
    pub port: i32,
    /// The VPC of the targets (`CreateTargetGroup` VpcId).
    pub vpc_id: VpcId,
    /// What targets are; AWS's default: `instance` (`CreateTargetGroup` TargetType).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_type: Option<TargetType>,
    /// How the health check asks (`CreateTargetGroup` HealthCheckProtocol).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_protocol: Option<Protocol>,
    /// `traffic-port`, which is AWS's default, or a number (`CreateTargetGroup` HealthCheckPort).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_port: Option<String>,
    /// The path that it asks for; AWS's default: `/` (`CreateTargetGroup` HealthCheckPath).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_path: Option<String>,
    /// From check to check: 5 to 300 seconds (`CreateTargetGroup` HealthCheckIntervalSeconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_interval_seconds: Option<i32>,
    /// How long it waits for an answer: 2 to 120 seconds (`CreateTargetGroup` HealthCheckTimeoutSeconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_timeout_seconds: Option<i32>,
    /// After so many good checks in a row a target is well: 2 to 10 (`CreateTargetGroup` HealthyThresholdCount).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_threshold_count: Option<i32>,
    /// After so many bad checks in a row it is not: 2 to 10 (`CreateTargetGroup` UnhealthyThresholdCount).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_threshold_count: Option<i32>,
    /// The HTTP statuses of a good check, `200` or `200-299` (`CreateTargetGroup` Matcher).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matcher: Option<String>,
    /// Attributes by key, `deregistration_delay.timeout_seconds: "30"` (`ModifyTargetGroupAttributes`). What is not
    /// given is as AWS has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Tags, beside those that say whose it is (`CreateTargetGroup` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// How load balancers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// HTTP; of an application load balancer.
    Http,
    /// HTTPS; of an application load balancer.
    Https,
    /// TCP; of a network load balancer.
    Tcp,
    /// TLS; of a network load balancer.
    Tls,
    /// UDP; of a network load balancer.
    Udp,
    /// TCP and UDP on one port; of a network load balancer.
    TcpUdp,
}

/// What targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetType {
    /// Addresses: tasks with a network interface of their own.
    Ip,
    /// EC2 instances.
    Instance,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its ARN.
    pub target_group_arn: TargetGroupArn,
    /// Its name.
    pub name: TargetGroupName,
    /// By which metrics name it: `targetgroup/web/73e2d6bc24d8a067`.
    pub arn_suffix: String,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct TargetGroup;

impl Protocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Udp => "UDP",
            Self::TcpUdp => "TCP_UDP",
        }
    }

    pub(super) fn to_sdk(self) -> ProtocolEnum {
        ProtocolEnum::from(self.as_str())
    }

    /// Whether it is HTTP, with or without encryption.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl TargetType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Instance => "instance",
        }
    }
}

impl Params {
    /// What was asked for, without names, attributes and tags.
    fn settings(&self) -> Value {
        let mut settings = json!(self);
        if let Some(map) = settings.as_object_mut() {
            for field in ["name", "attributes", "tags"] {
                map.remove(field);
            }
        }
        settings
    }
}

/// The settings of one that was read, in the form of the parameters.
fn settings(it: &Described) -> Value {
    json!({
        "protocol": it.protocol().map(ProtocolEnum::as_str),
        "port": it.port(),
        "vpc_id": it.vpc_id(),
        "target_type": it.target_type().map(TargetTypeEnum::as_str),
        "health_check_protocol": it.health_check_protocol().map(ProtocolEnum::as_str),
        "health_check_port": it.health_check_port(),
        "health_check_path": it.health_check_path(),
        "health_check_interval_seconds": it.health_check_interval_seconds(),
        "health_check_timeout_seconds": it.health_check_timeout_seconds(),
        "healthy_threshold_count": it.healthy_threshold_count(),
        "unhealthy_threshold_count": it.unhealthy_threshold_count(),
        "matcher": it.matcher().and_then(Matcher::http_code),
    })
}

/// A target group with its tags.
pub(super) struct Group {
    described: Described,
    tags: Tags,
}

impl Named for Group {
    const WHAT: &'static str = "target group";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let sent = client(cx)?.describe_target_groups().names(name).send().await;
        let call = Call::new("elasticloadbalancing:DescribeTargetGroups", name);
        let reply = found(sent.map_err(|e| op_error(call, e)))?;
        let mut all = reply.and_then(|r| r.target_groups).unwrap_or_default().into_iter();
        let Some(described) = all.find(|it| it.target_group_name() == Some(name)) else { return Ok(None) };
        let tags = tags_of(cx, described.target_group_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.target_group_arn().unwrap_or_default()
    }
}

fn output(it: &Described) -> Output {
    let arn = it.target_group_arn().unwrap_or_default();
    Output {
        target_group_arn: TargetGroupArn::new(arn),
        name: TargetGroupName::new(it.target_group_name().unwrap_or_default()),
        arn_suffix: arn_suffix(arn),
    }
}

/// Its attributes as they are; none when it is gone by now.
async fn attributes_of(cx: &Cx, arn: &str) -> OpResult<Option<BTreeMap<String, String>>> {
    let sent = client(cx)?.describe_target_group_attributes().target_group_arn(arn).send().await;
    let call = Call::new("elasticloadbalancing:DescribeTargetGroupAttributes", arn);
    let reply = found(sent.map_err(|e| op_error(call, e)))?;
    let pair = |of: &TargetGroupAttribute| Some((of.key()?.to_owned(), of.value().unwrap_or_default().to_owned()));
    Ok(reply.map(|r| r.attributes().iter().filter_map(pair).collect()))
}

/// The targets that are in it and do not leave it: whoever put them there needs it.
async fn targets(cx: &Cx, arn: &str) -> OpResult<Option<String>> {
    let sent = client(cx)?.describe_target_health().target_group_arn(arn).send().await;
    let call = Call::new("elasticloadbalancing:DescribeTargetHealth", arn);
    let reply = found(sent.map_err(|e| op_error(call, e)))?;
    let targets = reply.and_then(|r| r.target_health_descriptions).unwrap_or_default();
    let leaves = |state: Option<&TargetHealthStateEnum>| state == Some(&TargetHealthStateEnum::Draining);
    let stay = targets.iter().filter(|of| !leaves(of.target_health().and_then(|health| health.state())));
    let ids: Vec<&str> = stay.filter_map(|of| of.target()?.id()).collect();
    Ok((!ids.is_empty()).then(|| format!("the targets {}", ids.join(", "))))
}

impl Operation for TargetGroup {
    const KIND: &'static str = "aws.elbv2.target_group";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let modify = "elasticloadbalancing:ModifyTargetGroupAttributes";
        let calls = Calls {
            reads: &[
                "elasticloadbalancing:DescribeTags",
                "elasticloadbalancing:DescribeTargetGroupAttributes",
                "elasticloadbalancing:DescribeTargetGroups",
                "elasticloadbalancing:DescribeTargetHealth",
            ],
            creates: "elasticloadbalancing:CreateTargetGroup",
            settles: if params.attributes.is_empty() { Vec::new() } else { vec![modify] },
            rolls_back: vec!["elasticloadbalancing:DeleteTargetGroup"],
            besides: &["elasticloadbalancing:AddTags"],
        };
        let name = &params.name;
        Facts {
            unique: true,
            arns: vec![format!("arn:{{partition}}:elasticloadbalancing:{{region}}:{{account}}:targetgroup/{name}/*")],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        Some(Params {
            name: TargetGroupName::new("app"),
            protocol: Protocol::Http,
            port: 8080,
            vpc_id: VpcId::new("vpc-0a1b2c3d4e5f60718"),
            target_type: Some(TargetType::Ip),
            health_check_protocol: Some(Protocol::Http),
            health_check_port: Some("traffic-port".to_owned()),
            health_check_path: Some("/health".to_owned()),
            health_check_interval_seconds: Some(30),
            health_check_timeout_seconds: Some(5),
            healthy_threshold_count: Some(2),
            unhealthy_threshold_count: Some(3),
            matcher: Some("200-299".to_owned()),
            attributes: BTreeMap::from([("deregistration_delay.timeout_seconds".to_owned(), "30".to_owned())]),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.name.as_str(), "name", &mut errors);
        check_port(params.port, &mut errors);
        params.vpc_id.check("vpc_id", &mut errors);
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        for (field, given, least, most) in [
            ("health_check_interval_seconds", params.health_check_interval_seconds, 5, 300),
            ("health_check_timeout_seconds", params.health_check_timeout_seconds, 2, 120),
            ("healthy_threshold_count", params.healthy_threshold_count, 2, 10),
            ("unhealthy_threshold_count", params.unhealthy_threshold_count, 2, 10),
        ] {
            if let Some(given) = given.filter(|given| !(least..=most).contains(given)) {
                wrong(field, format!("is {least} to {most}, not {given}"));
            }
        }
        if let (Some(interval), Some(timeout)) =
            (params.health_check_interval_seconds, params.health_check_timeout_seconds)
            && timeout >= interval
        {
            wrong("health_check_timeout_seconds", format!("is less than the interval of {interval} seconds"));
        }
        if let Some(port) = &params.health_check_port
            && port != "traffic-port"
            && !port.parse::<u16>().is_ok_and(|port| port > 0)
        {
            wrong("health_check_port", format!("{port:?} is not `traffic-port` or 1 to 65535"));
        }
        let asks_http = params.health_check_protocol.unwrap_or(params.protocol).is_http();
        if let Some(path) = &params.health_check_path {
            if !path.starts_with('/') || path.len() > 1024 {
                wrong("health_check_path", format!("{path:?} is not a path of up to 1024 characters"));
            }
            if !asks_http {
                wrong("health_check_path", "is for a health check by HTTP or HTTPS".to_owned());
            }
        }
        if let Some(matcher) = &params.matcher {
            let fits = |c: char| c.is_ascii_digit() || c == ',' || c == '-';
            if matcher.is_empty() || !matcher.chars().all(fits) {
                wrong("matcher", format!("{matcher:?} is not a list of HTTP statuses, such as `200,302` or `200-299`"));
            }
            if !asks_http {
                wrong("matcher", "is for a health check by HTTP or HTTPS".to_owned());
            }
        }
        if params.health_check_protocol.is_some_and(|of| matches!(of, Protocol::Udp | Protocol::TcpUdp | Protocol::Tls))
        {
            wrong("health_check_protocol", "is HTTP, HTTPS or TCP".to_owned());
        }
        check_attributes(&params.attributes, &mut errors);
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Group>(cx, params.name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<Group>(cx, known, "name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        const CALL: &str = "elasticloadbalancing:CreateTargetGroup";
        let name = params.name.as_str();
        named::still_absent::<Group>(cx, name).await?;
        let reply = client(cx)?
            .create_target_group()
            .name(name)
            .protocol(params.protocol.to_sdk())
            .port(params.port)
            .vpc_id(params.vpc_id.as_str())
            .set_target_type(params.target_type.map(|of| TargetTypeEnum::from(of.as_str())))
            .set_health_check_protocol(params.health_check_protocol.map(Protocol::to_sdk))
            .set_health_check_port(params.health_check_port.clone())
            .set_health_check_path(params.health_check_path.clone())
            .set_health_check_interval_seconds(params.health_check_interval_seconds)
            .set_health_check_timeout_seconds(params.health_check_timeout_seconds)
            .set_healthy_threshold_count(params.healthy_threshold_count)
            .set_unhealthy_threshold_count(params.unhealthy_threshold_count)
            .set_matcher(params.matcher.as_ref().map(|of| Matcher::builder().http_code(of).build()))
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| op_error(Call::new(CALL, name).just_made(), e))?;
        let made = reply.target_groups().first().filter(|it| it.target_group_arn().is_some());
        let made = output(made.ok_or_else(|| nameless(CALL, name))?);
        made_by_us::<Group>(cx, name, made.target_group_arn.as_str()).await?;
        Ok(made)
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let there = named::ours_there::<Group>(cx, out.name.as_str()).await?;
        if !params.attributes.is_empty() {
            let attribute = |(key, value)| TargetGroupAttribute::builder().key(key).value(value).build();
            client(cx)?
                .modify_target_group_attributes()
                .target_group_arn(there.id())
                .set_attributes(Some(params.attributes.iter().map(attribute).collect()))
                .send()
                .await
                .map_err(|e| {
                    let call = Call::new("elasticloadbalancing:ModifyTargetGroupAttributes", there.id());
                    op_error(call.just_made(), e)
                })?;
        }
        Ok(output(&there.described))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Group, _>(cx, params.name.as_str(), |there| output(&there.described)).await
    }

    /// A listener or a rule that forwards to it keeps it: AWS refuses with `ResourceInUse` until it is gone.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.name.as_str();
        let Some(there) = named::ours::<Group>(cx, name).await? else { return Ok(Undo::Nothing) };
        named::emptied::<Group, _>(cx, name, || targets(cx, there.id())).await?;
        let Some(there) = named::ours::<Group>(cx, name).await? else { return Ok(Undo::Nothing) };
        let deleted = client(cx)?.delete_target_group().target_group_arn(there.id()).send().await;
        let call = Call::new("elasticloadbalancing:DeleteTargetGroup", name);
        if found(deleted.map_err(|e| op_error(call, e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Group>(cx, name, named::POLL).await?;
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
        let name = params.name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<Group>(cx, name).await;
        }
        let Some(there) = Group::read(cx, name).await? else { return Ok(named::missing::<Group>(name)) };
        let Some(attributes) = attributes_of(cx, there.id()).await? else { return Ok(named::missing::<Group>(name)) };
        let (wanted, now) = (params.settings(), settings(&there.described));
        let got = asked::of_those(&wanted, &now);
        let mut verdict = named::verdict(cx, &there, &params.tags).compare("settings", wanted, got);
        if let Some(out) = out {
            verdict = verdict.compare("target_group_arn", out.target_group_arn.as_str(), there.id());
        }
        if !params.attributes.is_empty() {
            let wanted = json!(params.attributes);
            let got = asked::of_those(&wanted, &json!(attributes));
            verdict = verdict.compare("attributes", wanted, got);
        }
        verdict.observed = json!({
            "name": name, "target_group_arn": there.id(), "settings": now, "attributes": attributes,
            "load_balancer_arns": there.described.load_balancer_arns(), "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(more: Value) -> Vec<String> {
        let mut params = json!({"name": "web", "protocol": "HTTP", "port": 8080, "vpc_id": "vpc-0a1b2c3d"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let errors = TargetGroup.check(&serde_json::from_value(params).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"port": 0})), ["port"]);
        assert_eq!(wrong(json!({"health_check_path": "health"})), ["health_check_path"]);
        assert_eq!(wrong(json!({"protocol": "TCP", "health_check_path": "/"})), ["health_check_path"]);
        assert!(
            wrong(json!({"protocol": "TCP", "health_check_protocol": "HTTP", "health_check_path": "/"})).is_empty()
        );
        assert_eq!(wrong(json!({"health_check_port": "0"})), ["health_check_port"]);
        assert_eq!(wrong(json!({"healthy_threshold_count": 1})), ["healthy_threshold_count"]);
        let times = json!({"health_check_interval_seconds": 5, "health_check_timeout_seconds": 5});
        assert_eq!(wrong(times), ["health_check_timeout_seconds"]);
        assert_eq!(wrong(json!({"matcher": "2xx"})), ["matcher"]);
        TargetGroup.check(&TargetGroup::example().unwrap()).unwrap();
    }

    #[test]
    fn what_was_read_is_compared_in_what_was_asked_for() {
        let it = Described::builder()
            .protocol(ProtocolEnum::Http)
            .port(8080)
            .vpc_id("vpc-0a1b2c3d4e5f60718")
            .target_type(TargetTypeEnum::Ip)
            .health_check_protocol(ProtocolEnum::Http)
            .health_check_port("traffic-port")
            .health_check_path("/health")
            .health_check_interval_seconds(30)
            .health_check_timeout_seconds(5)
            .healthy_threshold_count(2)
            .unhealthy_threshold_count(3)
            .matcher(Matcher::builder().http_code("200-299").build())
            .build();
        let mut wanted = TargetGroup::example().unwrap();
        assert_eq!(asked::of_those(&wanted.settings(), &settings(&it)), wanted.settings());
        wanted.matcher = None;
        assert_eq!(asked::of_those(&wanted.settings(), &settings(&it)), wanted.settings());
        wanted.port = 80;
        assert_ne!(asked::of_those(&wanted.settings(), &settings(&it)), wanted.settings());
    }
}
