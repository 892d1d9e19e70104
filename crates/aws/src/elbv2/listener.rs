//! `aws.elbv2.listener`: a port of a load balancer, and what is done with what comes in there.
//!
//! A load balancer has one listener a port, so the port says which one is meant.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{Certificate, Listener as Described, ProtocolEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;

use super::target_group::Protocol;
use super::{Action, ActionType, action, check_port, client, made_by_us, tag_list, tags_of};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{ListenerArn, LoadBalancerArn};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// A listener of a load balancer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The load balancer (`CreateListener` LoadBalancerArn).
    pub load_balancer_arn: LoadBalancerArn,
    /// The port: 1 to 65535, one listener each (`CreateListener` Port).
    pub port: i32,
    /// `HTTP` or `HTTPS` of an application load balancer, else of a network load balancer (`CreateListener` Protocol).
    pub protocol: Protocol,
    /// What is done with a request that no rule is for; one action (`CreateListener` DefaultActions).
    pub default_actions: Vec<Action>,
    /// The certificate of `HTTPS` and `TLS`, by its ARN; one, the default one (`CreateListener` Certificates).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Which protocols and ciphers clients may use; of `HTTPS` and `TLS` (`CreateListener` SslPolicy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_policy: Option<String>,
    /// Tags, beside those that say whose it is (`CreateListener` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its ARN.
    pub listener_arn: ListenerArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listener;

impl Params {
    /// What it is called here: its port and its load balancer.
    fn name(&self) -> String {
        format!("{} of {}", self.port, self.load_balancer_arn)
    }

    fn is_encrypted(&self) -> bool {
        matches!(self.protocol, Protocol::Https | Protocol::Tls)
    }
}

/// A listener with its tags.
struct There {
    described: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "listener";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let (port, balancer) = name.split_once(" of ").unwrap_or_default();
        let pages = client(cx)?.describe_listeners().load_balancer_arn(balancer).into_paginator().items().send();
        let call = Call::new("elasticloadbalancing:DescribeListeners", balancer);
        // Without a load balancer there is no listener.
        let all = found(pages.try_collect().await.map_err(|e| op_error(call, e)))?.unwrap_or_default();
        let Some(described) = all.into_iter().find(|it| it.port().is_some_and(|of| of.to_string() == port)) else {
            return Ok(None);
        };
        let tags = tags_of(cx, described.listener_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.listener_arn().unwrap_or_default()
    }
}

fn output(it: &Described) -> Output {
    Output { listener_arn: ListenerArn::new(it.listener_arn().unwrap_or_default()) }
}

impl Operation for Listener {
    const KIND: &'static str = "aws.elbv2.listener";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// It is complete with its create call.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "elasticloadbalancing:DescribeListeners",
                "elasticloadbalancing:DescribeRules",
                "elasticloadbalancing:DescribeTags",
            ],
            creates: "elasticloadbalancing:CreateListener",
            settles: Vec::new(),
            rolls_back: vec!["elasticloadbalancing:DeleteListener"],
            besides: &["elasticloadbalancing:AddTags"],
        };
        Facts { unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let arn = |resource: &str| format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:{resource}");
        Some(Params {
            load_balancer_arn: LoadBalancerArn::new(arn("loadbalancer/app/app/50dc6c495c0c9188")),
            port: 443,
            protocol: Protocol::Https,
            default_actions: vec![Action::forward(&arn("targetgroup/app/73e2d6bc24d8a067"))],
            certificates: vec![
                "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012".to_owned(),
            ],
            ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".to_owned()),
            tags: BTreeMap::from([("Name".to_owned(), "app".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        params.load_balancer_arn.check("load_balancer_arn", &mut errors);
        check_port(params.port, &mut errors);
        let mut wrong = |field: &str, message: &str| errors.push(ParamError::new(field, message));
        if params.default_actions.len() != 1 {
            wrong("default_actions", "takes one action");
        }
        let forwards = params.default_actions.iter().all(|of| of.kind == ActionType::Forward);
        if !params.protocol.is_http() && !forwards {
            wrong("default_actions", "a listener that is not HTTP or HTTPS can only forward");
        }
        match (params.is_encrypted(), params.certificates.as_slice()) {
            (true, [one]) if one.starts_with("arn:") => {}
            (true, [one]) => wrong("certificates", &format!("{one:?} is not an ARN of a certificate")),
            (true, _) => wrong("certificates", "HTTPS and TLS take one certificate"),
            (false, []) => {}
            (false, _) => wrong("certificates", "is for HTTPS and TLS"),
        }
        if params.ssl_policy.is_some() && !params.is_encrypted() {
            wrong("ssl_policy", "is for HTTPS and TLS");
        }
        for action in &params.default_actions {
            action.check("default_actions", &mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let balancer = known.get("load_balancer_arn").and_then(Value::as_str);
        match (balancer, known.get("port").and_then(Value::as_i64)) {
            (Some(arn), Some(port)) => named::capture::<There>(cx, &format!("{port} of {arn}")).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        const CALL: &str = "elasticloadbalancing:CreateListener";
        let name = params.name();
        named::still_absent::<There>(cx, &name).await?;
        let certificate = |arn: &String| Certificate::builder().certificate_arn(arn).build();
        let certificates: Vec<Certificate> = params.certificates.iter().map(certificate).collect();
        let reply = client(cx)?
            .create_listener()
            .load_balancer_arn(params.load_balancer_arn.as_str())
            .port(params.port)
            .protocol(params.protocol.to_sdk())
            .set_default_actions(Some(params.default_actions.iter().map(Action::to_sdk).collect()))
            .set_certificates((!certificates.is_empty()).then_some(certificates))
            .set_ssl_policy(params.ssl_policy.clone())
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| op_error(Call::new(CALL, &name).just_made(), e))?;
        let made = reply.listeners().first().filter(|it| it.listener_arn().is_some());
        let made = output(made.ok_or_else(|| nameless(CALL, &name))?);
        made_by_us::<There>(cx, &name, made.listener_arn.as_str()).await?;
        Ok(made)
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, &params.name(), |there| output(&there.described)).await
    }

    /// Its rules go with it; those that others made must not be there.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.name();
        let Some(there) = named::ours::<There>(cx, &name).await? else { return Ok(Undo::Nothing) };
        named::emptied::<There, _>(cx, &name, || super::listener_rule::rules_of(cx, there.id())).await?;
        let Some(there) = named::ours::<There>(cx, &name).await? else { return Ok(Undo::Nothing) };
        let deleted = client(cx)?.delete_listener().listener_arn(there.id()).send().await;
        let call = Call::new("elasticloadbalancing:DeleteListener", &name);
        if found(deleted.map_err(|e| op_error(call, e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, &name, named::POLL).await?;
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
        let name = params.name();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, &name).await;
        }
        let Some(there) = There::read(cx, &name).await? else { return Ok(named::missing::<There>(&name)) };
        let it = &there.described;
        let actions = action::read(it.default_actions());
        let got = action::of_those(&params.default_actions, &actions);
        let certificates: Vec<&str> = it.certificates().iter().filter_map(Certificate::certificate_arn).collect();
        let mut verdict = named::verdict(cx, &there, &params.tags)
            .compare("protocol", params.protocol.as_str(), it.protocol().map(ProtocolEnum::as_str))
            .compare("default_actions", json!(params.default_actions), got)
            .compare("certificates", json!(params.certificates), json!(certificates));
        if let Some(out) = out {
            verdict = verdict.compare("listener_arn", out.listener_arn.as_str(), there.id());
        }
        if let Some(wanted) = &params.ssl_policy {
            verdict = verdict.compare("ssl_policy", wanted.as_str(), it.ssl_policy());
        }
        verdict.observed = json!({
            "listener_arn": there.id(), "load_balancer_arn": it.load_balancer_arn(), "port": it.port(),
            "protocol": it.protocol().map(ProtocolEnum::as_str), "default_actions": actions,
            "certificates": certificates, "ssl_policy": it.ssl_policy(), "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCER: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";

    fn wrong(more: Value) -> Vec<String> {
        let action = json!({"type": "fixed-response", "fixed_response_config": {"status_code": "404"}});
        let mut params = json!({
            "load_balancer_arn": BALANCER, "port": 80, "protocol": "HTTP", "default_actions": [action],
        });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let errors = Listener.check(&serde_json::from_value(params).unwrap()).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"port": 65536})), ["port"]);
        assert_eq!(wrong(json!({"load_balancer_arn": "web"})), ["load_balancer_arn"]);
        assert_eq!(wrong(json!({"default_actions": []})), ["default_actions"]);
        assert_eq!(wrong(json!({"protocol": "TCP"})), ["default_actions"]);
        assert_eq!(wrong(json!({"protocol": "HTTPS"})), ["certificates"]);
        assert!(wrong(json!({"protocol": "HTTPS", "certificates": ["arn:aws:acm:x"]})).is_empty());
        assert_eq!(wrong(json!({"certificates": ["arn:aws:acm:x"]})), ["certificates"]);
        assert_eq!(wrong(json!({"ssl_policy": "x"})), ["ssl_policy"]);
        Listener.check(&Listener::example().unwrap()).unwrap();
    }

    #[test]
    fn its_port_says_which_one_is_meant() {
        let name = Listener::example().unwrap().name();
        assert!(name.starts_with("443 of arn:aws:elasticloadbalancing:"), "{name}");
        assert!(Listener.facts(&Listener::example().unwrap()).unique);
    }
}
