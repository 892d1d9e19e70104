//! `aws.servicediscovery.service`: a name in a namespace, and what kinds of records it has.
//!
//! What runs registers itself under it and takes itself away. As long as something is registered, AWS deletes
//! no service, and `rollback` waits for it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_servicediscovery::types::{
    DnsConfig as ApiDnsConfig, DnsRecord as ApiDnsRecord, FilterCondition, HealthCheckCustomConfig,
    Service as Described, ServiceFilter, ServiceFilterName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{client, tag_list, tags_of};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, found, op_error};
use crate::ids::{DiscoveryServiceArn, DiscoveryServiceId, NamespaceId};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 1024;
/// The longest that a resolver may remember a record, in seconds.
const LONGEST_TTL: i64 = 2_147_483_647;

/// A Cloud Map service: a name that what runs registers itself under.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name, the first part of the domain: 1 to 127 letters, digits, `-` and `_` (`CreateService` Name).
    pub name: String,
    /// The namespace that it is in (`CreateService` NamespaceId).
    pub namespace_id: NamespaceId,
    /// What it is for, up to 1024 characters (`CreateService` Description).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which DNS records each instance gets (`CreateService` DnsConfig). AWS's default: none, it is found by API
    /// calls only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_config: Option<DnsConfig>,
    /// Whether those that register an instance say by themselves how it fares, as ECS does (`CreateService`
    /// HealthCheckCustomConfig). AWS's default: nobody says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_custom_config: Option<CustomHealth>,
    /// Tags, beside those that say whose it is (`CreateService` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// Which records an instance gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsConfig {
    /// How one of several instances is chosen: `MULTIVALUE` or `WEIGHTED` (`DnsConfig` RoutingPolicy). AWS's
    /// default: `MULTIVALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_policy: Option<RoutingPolicy>,
    /// The records: one, or `A` and `AAAA`, or `SRV` and any of these (`DnsConfig` DnsRecords).
    pub dns_records: Vec<DnsRecord>,
}

/// How one of several instances is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RoutingPolicy {
    /// Up to eight healthy ones at once.
    Multivalue,
    /// One, each as likely as another.
    Weighted,
}

/// One kind of record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsRecord {
    /// `A`, `AAAA`, `CNAME` or `SRV` (`DnsRecord` Type).
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// How long a resolver may remember it, in seconds (`DnsRecord` TTL).
    pub ttl: i64,
}

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Another name.
    Cname,
    /// A name and a port.
    Srv,
}

/// Those that register an instance say how it fares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomHealth {
    /// AWS takes it and uses 1 whatever it says (`HealthCheckCustomConfig` FailureThreshold).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<i32>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its id, `srv-e4anhexample0004`.
    pub service_id: DiscoveryServiceId,
    /// Its ARN: what a service of ECS takes as a registry.
    pub arn: DiscoveryServiceArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Service;

/// A service, read, with its tags. It is named by its id, or by its namespace and its name there: `ns-1/orchestrator`.
#[derive(Debug)]
struct There {
    now: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "service";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let id = match name.split_once('/') {
            None => Some(name.to_owned()),
            Some((namespace, name)) => id_of(cx, namespace, name).await?,
        };
        let Some(id) = id else { return Ok(None) };
        let read = client(cx)?.get_service().id(&id).send().await;
        let read = found(read.map_err(|e| op_error(Call::new("servicediscovery:GetService", &id), e)))?;
        let Some(now) = read.and_then(|reply| reply.service) else { return Ok(None) };
        Ok(tags_of(cx, now.arn().unwrap_or_default()).await?.map(|tags| Self { now, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.now.id().unwrap_or_default()
    }
}

/// The service of that name in that namespace. Names that differ in case only are one.
async fn id_of(cx: &Cx, namespace: &str, name: &str) -> OpResult<Option<String>> {
    let filter = ServiceFilter::builder().name(ServiceFilterName::NamespaceId).values(namespace);
    let filter = filter.condition(FilterCondition::Eq).build();
    let filter = filter.map_err(|e| OpError::permanent(format!("a filter cannot be sent: {e}")))?;
    let mut pages = client(cx)?.list_services().filters(filter).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = found(page.map_err(|e| op_error(Call::new("servicediscovery:ListServices", namespace), e)))?;
        let mut services = page.and_then(|page| page.services).into_iter().flatten();
        if let Some(it) = services.find(|it| it.name().is_some_and(|it| it.eq_ignore_ascii_case(name))) {
            return Ok(it.id);
        }
    }
    Ok(None)
}

fn output(now: &Described) -> Option<Output> {
    Some(Output { service_id: DiscoveryServiceId::new(now.id()?), arn: DiscoveryServiceArn::new(now.arn()?) })
}

impl Params {
    /// As [`There`] is named.
    fn key(&self) -> String {
        format!("{}/{}", self.namespace_id, self.name)
    }
}

impl RoutingPolicy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Multivalue => "MULTIVALUE",
            Self::Weighted => "WEIGHTED",
        }
    }
}

impl RecordType {
    fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Srv => "SRV",
        }
    }
}

impl DnsConfig {
    fn check(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: String| {
            let path = vec!["dns_config".to_owned(), field.to_owned()];
            errors.push(ParamError { path, message });
        };
        let kinds: BTreeSet<RecordType> = self.dns_records.iter().map(|record| record.kind).collect();
        if kinds.is_empty() {
            wrong("dns_records", "has no record".to_owned());
        }
        if kinds.len() < self.dns_records.len() {
            wrong("dns_records", "has one record of each kind".to_owned());
        }
        if kinds.contains(&RecordType::Cname) {
            if kinds.len() > 1 {
                wrong("dns_records", "a CNAME stands alone".to_owned());
            }
            if self.routing_policy != Some(RoutingPolicy::Weighted) {
                wrong("routing_policy", "a CNAME wants `WEIGHTED`".to_owned());
            }
        }
        if self.dns_records.iter().any(|record| !(0..=LONGEST_TTL).contains(&record.ttl)) {
            wrong("dns_records", format!("a TTL is between 0 and {LONGEST_TTL} seconds"));
        }
    }

    fn to_api(&self) -> OpResult<ApiDnsConfig> {
        let unsent = |e| OpError::permanent(format!("a DNS record cannot be sent: {e}"));
        let record = |record: &DnsRecord| {
            ApiDnsRecord::builder().r#type(record.kind.as_str().into()).ttl(record.ttl).build().map_err(unsent)
        };
        let records: OpResult<Vec<_>> = self.dns_records.iter().map(record).collect();
        ApiDnsConfig::builder()
            .set_routing_policy(self.routing_policy.map(|policy| policy.as_str().into()))
            .set_dns_records(Some(records?))
            .build()
            .map_err(unsent)
    }

    /// In an order of their own: AWS gives them back in any.
    fn records(&self) -> BTreeMap<&str, i64> {
        self.dns_records.iter().map(|record| (record.kind.as_str(), record.ttl)).collect()
    }
}

fn records(there: &ApiDnsConfig) -> BTreeMap<&str, i64> {
    there.dns_records().iter().map(|record| (record.r#type().as_str(), record.ttl())).collect()
}

impl Operation for Service {
    const KIND: &'static str = "aws.servicediscovery.service";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;
    /// `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, _params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "servicediscovery:GetService",
                "servicediscovery:ListServices",
                "servicediscovery:ListTagsForResource",
            ],
            creates: "servicediscovery:CreateService",
            settles: Vec::new(),
            rolls_back: vec!["servicediscovery:DeleteService"],
            besides: &["servicediscovery:TagResource"],
        };
        Facts { unique: true, ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        let record = |kind, ttl| DnsRecord { kind, ttl };
        Some(Params {
            name: "orchestrator".to_owned(),
            namespace_id: NamespaceId::new("ns-e4anhexample0004"),
            description: Some("Where the agents find the orchestrator".to_owned()),
            dns_config: Some(DnsConfig {
                routing_policy: Some(RoutingPolicy::Multivalue),
                dns_records: vec![record(RecordType::A, 10), record(RecordType::Srv, 10)],
            }),
            health_check_custom_config: Some(CustomHealth { failure_threshold: Some(1) }),
            tags: Tags::from([("Name".to_owned(), "orchestrator".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let part = |part: &str| (1..=63).contains(&part.len()) && part.chars().all(fits);
        if params.name.len() > 127 || !params.name.split('.').all(part) {
            let message = format!("{:?} is not 1 to 127 letters, digits, - and _, with . between parts", params.name);
            errors.push(ParamError::new("name", message));
        }
        if !params.namespace_id.as_str().starts_with("ns-") {
            errors.push(ParamError::new("namespace_id", "is the id of a namespace, which begins with `ns-`"));
        }
        if params.description.as_ref().is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION) {
            errors.push(ParamError::new("description", format!("has up to {LONGEST_DESCRIPTION} characters")));
        }
        if let Some(dns) = &params.dns_config {
            dns.check(&mut errors);
        }
        let threshold = params.health_check_custom_config.as_ref().and_then(|health| health.failure_threshold);
        if threshold.is_some_and(|threshold| !(1..=10).contains(&threshold)) {
            let path = vec!["health_check_custom_config".to_owned(), "failure_threshold".to_owned()];
            errors.push(ParamError { path, message: "is between 1 and 10".to_owned() });
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.key()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let text = |field: &str| known.get(field).and_then(Value::as_str);
        match (text("namespace_id"), text("name")) {
            (Some(namespace), Some(name)) => {
                named::capture::<There>(cx, &format!("{namespace}/{name}")).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        // AWS calls its only field deprecated and takes no other number for it than it has itself.
        #[expect(deprecated, reason = "the field is the whole of the type")]
        let health = params
            .health_check_custom_config
            .as_ref()
            .map(|health| HealthCheckCustomConfig::builder().set_failure_threshold(health.failure_threshold).build());
        let about = params.key();
        let reply = client(cx)?
            .create_service()
            .name(&params.name)
            .namespace_id(params.namespace_id.as_str())
            .creator_request_id(cx.token())
            .set_description(params.description.clone())
            .set_dns_config(params.dns_config.as_ref().map(DnsConfig::to_api).transpose()?)
            .set_health_check_custom_config(health)
            .set_tags(Some(tag_list(cx, &params.tags)?))
            .send()
            .await
            .map_err(|e| op_error(Call::new("servicediscovery:CreateService", &about).just_made(), e))?;
        let made = reply.service().and_then(output);
        made.ok_or_else(|| nameless("servicediscovery:CreateService", &about))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, &params.key(), |there| Output {
            service_id: DiscoveryServiceId::new(there.id()),
            arn: DiscoveryServiceArn::new(there.now.arn().unwrap_or_default()),
        })
        .await
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let id = out.service_id.as_str();
        if named::ours::<There>(cx, id).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted = client(cx)?.delete_service().id(id).send().await;
        if found(deleted.map_err(|e| op_error(Call::new("servicediscovery:DeleteService", id), e)))?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<There>(cx, id, POLL).await?;
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
        let key = out.map_or_else(|| params.key(), |out| out.service_id.as_str().to_owned());
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, &params.key()).await;
        }
        let Some(there) = There::read(cx, &key).await? else {
            return Ok(named::missing::<There>(&key));
        };
        let now = &there.now;
        let dns = now.dns_config();
        let got = dns.map(records).unwrap_or_default();
        let policy = dns.and_then(|dns| dns.routing_policy()).map(|policy| policy.as_str());
        let mut verdict = named::verdict(cx, &there, &params.tags).compare("name", params.name.as_str(), now.name());
        if let Some(description) = &params.description {
            verdict = verdict.compare("description", description.as_str(), now.description().unwrap_or_default());
        }
        let wanted = params.dns_config.as_ref().map(DnsConfig::records).unwrap_or_default();
        verdict = verdict.compare("dns_records", json!(wanted), json!(got));
        if let Some(wanted) = params.dns_config.as_ref().and_then(|dns| dns.routing_policy) {
            verdict = verdict.compare("routing_policy", wanted.as_str(), policy);
        }
        let says = now.health_check_custom_config().is_some();
        verdict = verdict.compare("health_check_custom_config", params.health_check_custom_config.is_some(), says);
        verdict.observed = json!({
            "service_id": now.id(), "arn": now.arn(), "name": now.name(), "namespace_id": now.namespace_id(),
            "description": now.description(), "dns_records": got, "routing_policy": policy,
            "health_check_custom_config": says, "tags": there.tags(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::ErrorClass;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    const GONE: Answer = Answer::Reply(400, r#"{"__type":"ServiceNotFound","Message":"x"}"#);
    const IN_USE: Answer = Answer::Reply(400, r#"{"__type":"ResourceInUse","Message":"has instances"}"#);
    const DONE: Answer = Answer::Reply(200, "{}");

    fn params() -> Params {
        Service::example().unwrap()
    }

    fn out() -> Output {
        Output { service_id: DiscoveryServiceId::new("srv-1"), arn: DiscoveryServiceArn::new("arn:srv-1") }
    }

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn there() -> Answer {
        reply(&json!({"Service": {"Id": "srv-1", "Arn": "arn:srv-1", "Name": "orchestrator",
            "Description": "Where the agents find the orchestrator",
            "DnsConfig": {"RoutingPolicy": "MULTIVALUE", "DnsRecords": [{"Type": "SRV", "TTL": 10}, {"Type": "A", "TTL": 10}]},
            "HealthCheckCustomConfig": {"FailureThreshold": 1}}}))
    }

    fn tagged() -> Answer {
        let run = switchback_model::RunId::new(uuid::Uuid::from_u128(7)).to_string();
        let tags = [
            ("Name", "orchestrator"),
            ("switchback:run", run.as_str()),
            ("switchback:step", "service"),
            ("switchback:generation", "1"),
        ];
        reply(&json!({"Tags": tags.map(|(key, value)| json!({"Key": key, "Value": value}))}))
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |change: &dyn Fn(&mut Params)| {
            let mut params = params();
            change(&mut params);
            let errors = Service.check(&params).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect::<Vec<_>>()
        };
        let dns = |value: Value| -> Option<DnsConfig> { Some(serde_json::from_value(value).unwrap()) };
        assert!(wrong(&|_| {}).is_empty());
        assert_eq!(wrong(&|p| p.name = "a b".to_owned()), ["name"]);
        assert_eq!(wrong(&|p| p.namespace_id = NamespaceId::new("vpc-1")), ["namespace_id"]);
        let records = "dns_config.dns_records";
        assert_eq!(wrong(&|p| p.dns_config = dns(json!({"dns_records": []}))), [records]);
        let twice = json!({"dns_records": [{"type": "A", "ttl": 1}, {"type": "A", "ttl": 2}]});
        assert_eq!(wrong(&|p| p.dns_config = dns(twice.clone())), [records]);
        let alias = json!({"dns_records": [{"type": "CNAME", "ttl": 1}]});
        assert_eq!(wrong(&|p| p.dns_config = dns(alias.clone())), ["dns_config.routing_policy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_found_by_its_name_and_compared_in_any_order() {
        let listed =
            reply(&json!({"Services": [{"Id": "srv-0", "Name": "a"}, {"Id": "srv-1", "Name": "Orchestrator"}]}));
        let script = Script::new([listed, there(), tagged(), there(), tagged()]);
        let (cx, _) = watched("service", script.config()).await;
        let found = Service.find(&cx, &params(), &Absent {}).await.unwrap();
        assert!(matches!(found, Found::Ours { output, .. } if output == out()));
        let verdict = Service.verify(&cx, &params(), &Absent {}, Some(&out()), Expect::Created).await.unwrap();
        assert!(verdict.holds(), "{verdict:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_registered_is_waited_for() {
        let script = Script::new([there(), tagged(), IN_USE, there(), tagged(), DONE, GONE, GONE]);
        let (cx, _) = watched("service", script.config()).await;
        let undo = async || Service.rollback(&cx, &params(), &Absent {}, &out()).await;
        assert_eq!(undo().await.unwrap_err().class, ErrorClass::Busy);
        assert_eq!(undo().await.unwrap(), Undo::Done);
        assert_eq!(undo().await.unwrap(), Undo::Nothing);
    }
}
