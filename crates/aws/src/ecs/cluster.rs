//! `aws.ecs.cluster`: a cluster for tasks and services.
//!
//! `CreateCluster` succeeds where a cluster of that name is there, and gives that one back. So the
//! operation looks, looks again right before it calls, and every step after it reads the tags first: a
//! cluster that somebody else made in between is seen as drift before anything is done to it. A cluster
//! that was deleted stays listed as `INACTIVE` for a while. That counts as absent, and a create on its
//! name makes a new cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ecs::types::{CapacityProviderStrategyItem, Cluster as Described, ClusterField, ClusterSetting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpError, OpResult};

use super::configuration::Configuration;
use super::{all_tags, check_name, client, pair};
use crate::asked;
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, is_not_found, op_error};
use crate::ids::{EcsClusterArn, EcsClusterName};
use crate::named::{self, Named, POLL};
use crate::tags::{self, Tags};

/// AWS's limit on the capacity providers of a cluster.
const MOST_PROVIDERS: usize = 20;
const MOST_WEIGHT: i32 = 1000;
const MOST_BASE: i32 = 100_000;
/// Providers that attach scaling resources take minutes.
const CREATE_DEADLINE: Duration = Duration::from_secs(10 * 60);

/// An ECS cluster with its capacity providers, without services.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 255 letters, digits, `_` and `-` (`CreateCluster` clusterName).
    pub cluster_name: EcsClusterName,
    /// The providers of capacity, `FARGATE`, `FARGATE_SPOT` or the name of one that is there (`CreateCluster`
    /// capacityProviders).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_providers: Vec<String>,
    /// Where tasks go that do not say where (`CreateCluster` defaultCapacityProviderStrategy).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_capacity_provider_strategy: Vec<StrategyItem>,
    /// Settings (`CreateCluster` settings). What is not given here is as the account has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// How commands are executed in containers, and how storage is encrypted (`CreateCluster` configuration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// Tags, beside those that say whose it is (`CreateCluster` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// How many tasks one provider gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StrategyItem {
    /// One of `capacity_providers`.
    pub capacity_provider: String,
    /// Its share of the tasks, relative to the others: 0 to 1000. AWS's default: 0.
    #[serde(default)]
    pub weight: i32,
    /// How many tasks it gets at least: 0 to 100000, of one provider only. AWS's default: 0.
    #[serde(default)]
    pub base: i32,
}

/// A setting of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Which one.
    pub name: SettingName,
    /// Its value.
    pub value: SettingValue,
}

/// The settings that ECS has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SettingName {
    /// Metrics of clusters, services and tasks in CloudWatch.
    ContainerInsights,
}

/// The values that a setting can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettingValue {
    /// On, also for single containers.
    Enhanced,
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub cluster_name: EcsClusterName,
    /// Its ARN. A cluster of the same name that is made later has the same one.
    pub cluster_arn: EcsClusterArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cluster;

/// A cluster, read, with its tags.
#[derive(Debug)]
struct There {
    cluster: Described,
    tags: Tags,
}

impl Named for There {
    const WHAT: &'static str = "ECS cluster";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        use ClusterField::{Attachments, Configurations, Settings, Tags};
        let reply = client(cx)?
            .describe_clusters()
            .clusters(name)
            .set_include(Some(vec![Attachments, Configurations, Settings, Tags]))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ecs:DescribeClusters", name), e))?;
        // What is not there is listed among the failures, as MISSING. Any other failure is no absence.
        if let Some(failure) = reply.failures().iter().find(|f| f.reason() != Some("MISSING")) {
            let reason = failure.reason().unwrap_or("without a reason");
            return Err(OpError::permanent(format!("`ecs:DescribeClusters` for {name} failed: {reason}")));
        }
        let named = |c: &Described| c.cluster_name() == Some(name) && c.status() != Some("INACTIVE");
        let cluster = reply.clusters.unwrap_or_default().into_iter().find(named);
        Ok(cluster.map(|cluster| Self { tags: tags::read(cluster.tags().iter().map(pair)), cluster }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.cluster.cluster_arn().unwrap_or_default()
    }
}

fn output(cluster: &Described) -> Output {
    Output {
        cluster_name: EcsClusterName::new(cluster.cluster_name().unwrap_or_default()),
        cluster_arn: EcsClusterArn::new(cluster.cluster_arn().unwrap_or_default()),
    }
}

fn status(cluster: &Described) -> &str {
    cluster.status().unwrap_or("unknown")
}

/// What is in it that a step of its own makes, and removes when it is rolled back.
fn inside(cluster: &Described) -> Option<String> {
    let counts = [
        (cluster.active_services_count(), "services"),
        (cluster.running_tasks_count(), "running tasks"),
        (cluster.pending_tasks_count(), "pending tasks"),
        (cluster.registered_container_instances_count(), "container instances"),
    ];
    let those: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!those.is_empty()).then(|| those.join(", "))
}

/// In an order of its own: ECS does not keep that of the request.
fn strategy(cluster: &Described) -> Vec<StrategyItem> {
    let item = |i: &CapacityProviderStrategyItem| StrategyItem {
        capacity_provider: i.capacity_provider().to_owned(),
        weight: i.weight(),
        base: i.base(),
    };
    sorted(cluster.default_capacity_provider_strategy().iter().map(item).collect())
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

/// The settings by name.
fn settings(cluster: &Described) -> Value {
    let pairs = cluster.settings().iter().filter_map(|s| Some((s.name()?.as_str(), s.value()?)));
    json!(pairs.collect::<BTreeMap<_, _>>())
}

impl Params {
    fn strategy(&self) -> OpResult<Option<Vec<CapacityProviderStrategyItem>>> {
        let item = |i: &StrategyItem| {
            CapacityProviderStrategyItem::builder()
                .capacity_provider(&i.capacity_provider)
                .weight(i.weight)
                .base(i.base)
                .build()
                .map_err(|e| OpError::permanent(format!("the strategy cannot be sent: {e}")))
        };
        let items = self.default_capacity_provider_strategy.iter().map(item).collect::<OpResult<Vec<_>>>()?;
        Ok((!items.is_empty()).then_some(items))
    }

    fn settings(&self) -> Option<Vec<ClusterSetting>> {
        let setting = |s: &Setting| {
            let (name, value) = (s.name.as_str().into(), s.value.as_str());
            ClusterSetting::builder().name(name).value(value).build()
        };
        (!self.settings.is_empty()).then(|| self.settings.iter().map(setting).collect())
    }

    /// What stays when it is gone.
    fn residue(&self) -> Vec<String> {
        let mut residue = vec!["ECS may list the cluster as INACTIVE for a while".to_owned()];
        if self.settings.iter().any(|s| s.name == SettingName::ContainerInsights && s.value != SettingValue::Disabled) {
            let name = &self.cluster_name;
            let group = format!("/aws/ecs/containerinsights/{name}/performance");
            residue.push(format!("the log group `{group}` that Container Insights makes stays"));
        }
        residue
    }

    fn settings_by_name(&self) -> Value {
        json!(self.settings.iter().map(|s| (s.name.as_str(), s.value.as_str())).collect::<BTreeMap<_, _>>())
    }
}

impl SettingName {
    fn as_str(self) -> &'static str {
        match self {
            Self::ContainerInsights => "containerInsights",
        }
    }
}

impl SettingValue {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enhanced => "enhanced",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

fn check_providers(params: &Params, errors: &mut Vec<ParamError>) {
    const PROVIDERS: &str = "capacity_providers";
    const STRATEGY: &str = "default_capacity_provider_strategy";
    let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
    let providers: BTreeSet<&str> = params.capacity_providers.iter().map(String::as_str).collect();
    if providers.len() < params.capacity_providers.len() {
        wrong(PROVIDERS, "names a provider twice".to_owned());
    }
    if providers.len() > MOST_PROVIDERS {
        wrong(PROVIDERS, format!("a cluster has up to {MOST_PROVIDERS}"));
    }
    let items = &params.default_capacity_provider_strategy;
    for item in items {
        if !providers.contains(item.capacity_provider.as_str()) {
            wrong(STRATEGY, format!("{:?} is not one of `capacity_providers`", item.capacity_provider));
        }
        if !(0..=MOST_WEIGHT).contains(&item.weight) {
            wrong(STRATEGY, format!("a weight is 0 to {MOST_WEIGHT}, this one is {}", item.weight));
        }
        if !(0..=MOST_BASE).contains(&item.base) {
            wrong(STRATEGY, format!("a base is 0 to {MOST_BASE}, this one is {}", item.base));
        }
    }
    let of: BTreeSet<_> = items.iter().map(|i| &i.capacity_provider).collect();
    if of.len() < items.len() {
        wrong(STRATEGY, "names a provider twice".to_owned());
    }
    if items.iter().filter(|i| i.base > 0).count() > 1 {
        wrong(STRATEGY, "only one provider may have a base".to_owned());
    }
    if !items.is_empty() && items.iter().all(|i| i.weight == 0) {
        wrong(STRATEGY, "one provider at least has a weight above 0, or no task can be placed".to_owned());
    }
}

impl Operation for Cluster {
    const KIND: &'static str = "aws.ecs.cluster";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ecs:DescribeClusters"],
            creates: "ecs:CreateCluster",
            settles: Vec::new(),
            rolls_back: vec!["ecs:DeleteCluster"],
            // The first cluster of an account makes the role by which ECS acts.
            besides: &["ecs:TagResource", "iam:CreateServiceLinkedRole"],
        };
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            residue: params.residue(),
            arns: vec![format!("arn:{{partition}}:ecs:{{region}}:{{account}}:cluster/{}", params.cluster_name)],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let item = |name: &str, weight, base| StrategyItem { capacity_provider: name.to_owned(), weight, base };
        Some(Params {
            cluster_name: EcsClusterName::new("app"),
            capacity_providers: vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()],
            default_capacity_provider_strategy: vec![item("FARGATE", 1, 1), item("FARGATE_SPOT", 4, 0)],
            settings: vec![Setting { name: SettingName::ContainerInsights, value: SettingValue::Enabled }],
            configuration: Some(Configuration::example()),
            tags: BTreeMap::from([("Environment".to_owned(), "production".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.cluster_name.as_str(), "cluster_name", &mut errors);
        check_providers(params, &mut errors);
        let names: BTreeSet<_> = params.settings.iter().map(|s| s.name).collect();
        if names.len() < params.settings.len() {
            errors.push(ParamError::new("settings", "has a setting twice"));
        }
        if let Some(configuration) = &params.configuration {
            configuration.check(&mut errors);
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, params.cluster_name.as_str()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        named::foresee::<There>(cx, known, "cluster_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.cluster_name.as_str();
        named::still_absent::<There>(cx, name).await?;
        let providers = (!params.capacity_providers.is_empty()).then(|| params.capacity_providers.clone());
        let reply = client(cx)?
            .create_cluster()
            .cluster_name(name)
            .set_capacity_providers(providers)
            .set_default_capacity_provider_strategy(params.strategy()?)
            .set_settings(params.settings())
            .set_configuration(params.configuration.as_ref().map(Configuration::to_sdk))
            .set_tags(all_tags(cx, &params.tags))
            .send()
            .await
            .map_err(|e| {
                let mut error = op_error(Call::new("ecs:CreateCluster", name), e);
                // The first cluster of an account: its role was made a moment ago.
                if error.message.to_lowercase().contains("assume the service linked role") {
                    error.class = ErrorClass::Busy;
                }
                error
            })?;
        let cluster = reply.cluster().filter(|c| c.cluster_arn().is_some());
        let cluster = cluster.ok_or_else(|| nameless("ecs:CreateCluster", name))?;
        // The call succeeds on a name that is taken, and gives back what has it: somebody may have been faster since
        // the look above.
        named::reply_is_ours::<There>(cx, name, cluster.tags().iter().map(pair))?;
        Ok(output(cluster))
    }

    async fn settle(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = out.cluster_name.as_str();
        named::ours_there::<There>(cx, name).await?;
        named::wait_until::<There, _>(cx, name, "active", POLL, |there| {
            let failed = |what: &str| OpError::permanent(format!("ECS cluster `{name}`: {what}"));
            match (status(&there.cluster), there.cluster.attachments_status()) {
                ("FAILED", _) => Err(failed("what its capacity providers need could not be made (FAILED)")),
                (_, Some("UPDATE_FAILED")) => Err(failed("its capacity providers were not attached (UPDATE_FAILED)")),
                ("ACTIVE", None | Some("UPDATE_COMPLETE")) => Ok(Some(output(&there.cluster))),
                _ => Ok(None),
            }
        })
        .await
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, params.cluster_name.as_str(), |there| output(&there.cluster)).await
    }

    /// A cluster that somebody is deleting already is waited for. That is no deletion of ours, so the quiet
    /// period is the executor's to wait out.
    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Absent, out: &Output) -> OpResult<Undo> {
        let name = out.cluster_name.as_str();
        let look = || async { Ok(named::ours::<There>(cx, name).await?.and_then(|there| inside(&there.cluster))) };
        named::emptied::<There, _>(cx, name, look).await?;
        let Some(there) = named::ours::<There>(cx, name).await? else { return Ok(Undo::Nothing) };
        let mut undo = Undo::Nothing;
        if status(&there.cluster) != "DEPROVISIONING" {
            let deleted = client(cx)?.delete_cluster().cluster(name).send().await;
            match deleted.map_err(|e| op_error(Call::new("ecs:DeleteCluster", name), e)) {
                Ok(_) => undo = Undo::Done,
                Err(e) if is_not_found(&e) => return Ok(Undo::Nothing),
                Err(e) => return Err(e),
            }
        }
        named::wait_until_gone::<There>(cx, name, POLL).await?;
        Ok(undo)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.cluster_name.as_str();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, name).await;
        }
        let Some(there) = There::read(cx, name).await? else {
            return Ok(named::missing::<There>(name));
        };
        let cluster = &there.cluster;
        let mut verdict = named::verdict(cx, &there, &params.tags).compare("status", "ACTIVE", status(cluster));
        let providers = sorted(cluster.capacity_providers().to_vec());
        if !params.capacity_providers.is_empty() {
            let wanted = sorted(params.capacity_providers.clone());
            verdict = verdict.compare("capacity_providers", json!(wanted), json!(providers));
        }
        if !params.default_capacity_provider_strategy.is_empty() {
            let wanted = sorted(params.default_capacity_provider_strategy.clone());
            let what = "default_capacity_provider_strategy";
            verdict = verdict.compare(what, json!(wanted), json!(strategy(cluster)));
        }
        if !params.settings.is_empty() {
            let wanted = params.settings_by_name();
            let got = asked::of_those(&wanted, &settings(cluster));
            verdict = verdict.compare("settings", wanted, got);
        }
        if let Some(wanted) = &params.configuration {
            let wanted = json!(wanted);
            let got = asked::of_those(&wanted, &super::configuration::read(cluster.configuration()));
            verdict = verdict.compare("configuration", wanted, got);
        }
        verdict.observed = json!({
            "cluster_name": name, "cluster_arn": there.id(), "status": status(cluster),
            "capacity_providers": providers, "default_capacity_provider_strategy": strategy(cluster),
            "settings": settings(cluster), "configuration": super::configuration::read(cluster.configuration()), "tags": there.tags,
            "active_services_count": cluster.active_services_count(),
            "running_tasks_count": cluster.running_tasks_count(),
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn wrong(value: Value) -> Vec<String> {
        let errors = Cluster.check(&params(value)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    fn plain() -> Params {
        params(json!({"cluster_name": "app"}))
    }

    const MISSING: Answer = Answer::Reply(200, r#"{"clusters":[],"failures":[{"arn":"app","reason":"MISSING"}]}"#);
    const INACTIVE: Answer =
        Answer::Reply(200, r#"{"clusters":[{"clusterName":"app","status":"INACTIVE","clusterArn":"arn:a"}]}"#);
    const FOREIGN: Answer =
        Answer::Reply(200, r#"{"clusters":[{"clusterName":"app","status":"ACTIVE","clusterArn":"arn:a","tags":[]}]}"#);

    macro_rules! ours {
        ($fields:literal) => {
            Answer::Reply(
                200,
                concat!(
                    r#"{"clusters":[{"clusterName":"app","clusterArn":"arn:a","#,
                    $fields,
                    r#","tags":[{"key":"switchback:run","value":"00000000-0000-0000-0000-000000000007"},"#,
                    r#"{"key":"switchback:step","value":"cluster"},{"key":"switchback:generation","value":"1"}]}]}"#
                ),
            )
        };
    }

    fn made() -> Output {
        Output { cluster_name: EcsClusterName::new("app"), cluster_arn: EcsClusterArn::new("arn:a") }
    }

    #[test]
    fn the_example_is_valid() {
        Cluster.check(&Cluster::example().unwrap()).unwrap();
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        assert!(wrong(json!({"cluster_name": "app_1-A"})).is_empty());
        assert_eq!(wrong(json!({"cluster_name": "app/1"})), ["cluster_name"]);
        assert_eq!(wrong(json!({"cluster_name": "a".repeat(256)})), ["cluster_name"]);
        let with = |strategy: Value| {
            wrong(json!({
                "cluster_name": "app", "capacity_providers": ["FARGATE", "FARGATE_SPOT"],
                "default_capacity_provider_strategy": strategy,
            }))
        };
        let strategy = "default_capacity_provider_strategy";
        assert!(with(json!([{"capacity_provider": "FARGATE", "weight": 1, "base": 2}])).is_empty());
        assert_eq!(with(json!([{"capacity_provider": "OTHER", "weight": 1}])), [strategy]);
        assert_eq!(with(json!([{"capacity_provider": "FARGATE", "weight": 1001}])), [strategy]);
        assert_eq!(with(json!([{"capacity_provider": "FARGATE"}])), [strategy]);
        let two = |base| {
            let item = |name| json!({"capacity_provider": name, "weight": 1, "base": base});
            with(json!([item("FARGATE"), item("FARGATE_SPOT")]))
        };
        assert!(two(0).is_empty());
        assert_eq!(two(1), [strategy]);
        let twice = json!({"cluster_name": "app", "capacity_providers": ["FARGATE", "FARGATE"]});
        assert_eq!(wrong(twice), ["capacity_providers"]);
        let setting = json!({"name": "containerInsights", "value": "enhanced"});
        assert_eq!(wrong(json!({"cluster_name": "app", "settings": [setting, setting]})), ["settings"]);
    }

    #[test]
    fn what_was_read_has_the_form_of_the_parameters() {
        let wanted = Cluster::example().unwrap();
        let cluster = Described::builder().set_settings(wanted.settings());
        let cluster = cluster.set_default_capacity_provider_strategy(wanted.strategy().unwrap()).build();
        assert_eq!(settings(&cluster), wanted.settings_by_name());
        assert_eq!(strategy(&cluster), sorted(wanted.default_capacity_provider_strategy));
    }

    #[test]
    fn facts_name_what_is_made() {
        let facts = Cluster.facts(&plain());
        assert_eq!(facts.arns, ["arn:{partition}:ecs:{region}:{account}:cluster/app"]);
        assert!(facts.unique && facts.settles.is_empty());
        assert_eq!(facts.residue.len(), 1);
        assert!(Cluster.facts(&Cluster::example().unwrap()).residue[1].contains("/aws/ecs/containerinsights/app/"));
        assert_eq!(facts.extra_actions, ["ecs:TagResource", "iam:CreateServiceLinkedRole"]);
    }

    #[tokio::test]
    async fn an_inactive_cluster_is_absent_and_an_active_one_foreign() {
        let script = Script::new([INACTIVE, MISSING, FOREIGN]);
        let cx = watched("cluster", script.config()).await.0;
        Cluster.capture(&cx, &plain()).await.unwrap();
        Cluster.capture(&cx, &plain()).await.unwrap();
        assert_eq!(Cluster.capture(&cx, &plain()).await.unwrap_err().class, ErrorClass::Foreign);
    }

    #[tokio::test]
    async fn a_cluster_that_appeared_since_is_not_created_over() {
        let script = Script::new([FOREIGN]);
        let (cx, watch) = watched("cluster", script.config()).await;
        let error = Cluster.create(&cx, &plain(), &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::AlreadyExists, "{error}");
        let calls: Vec<_> = watch.calls.lock().unwrap().iter().map(|c| c.operation.clone()).collect();
        assert_eq!(calls, ["DescribeClusters"]);
    }

    #[tokio::test]
    async fn a_cluster_that_another_made_between_look_and_call_is_not_taken_for_ours() {
        let theirs = Answer::Reply(200, r#"{"cluster":{"clusterName":"app","clusterArn":"arn:a","tags":[]}}"#);
        let cx = watched("cluster", Script::new([MISSING, theirs, FOREIGN]).config()).await.0;
        let error = Cluster.create(&cx, &plain(), &Absent {}).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::AlreadyExists, "{error}");
        assert!(matches!(Cluster.find(&cx, &plain(), &Absent {}).await.unwrap(), Found::Foreign { .. }));
    }

    #[tokio::test]
    async fn a_failure_that_is_no_absence_is_an_error() {
        let denied = Answer::Reply(200, r#"{"clusters":[],"failures":[{"arn":"app","reason":"DENIED"}]}"#);
        let cx = watched("cluster", Script::new([denied]).config()).await.0;
        let error = Cluster.find(&cx, &plain(), &Absent {}).await.unwrap_err();
        assert!(error.message.contains("DENIED"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn settling_waits_for_the_attachments_and_sees_their_failure() {
        let script = Script::new([
            ours!(r#""status":"PROVISIONING","attachmentsStatus":"UPDATE_IN_PROGRESS""#),
            ours!(r#""status":"ACTIVE","attachmentsStatus":"UPDATE_IN_PROGRESS""#),
            ours!(r#""status":"ACTIVE","attachmentsStatus":"UPDATE_COMPLETE""#),
            ours!(r#""status":"ACTIVE""#),
            ours!(r#""status":"ACTIVE","attachmentsStatus":"UPDATE_FAILED""#),
        ]);
        let cx = watched("cluster", script.config()).await.0;
        assert_eq!(Cluster.settle(&cx, &plain(), &Absent {}, &made()).await.unwrap(), made());
        let error = Cluster.settle(&cx, &plain(), &Absent {}, &made()).await.unwrap_err();
        assert!(error.message.contains("UPDATE_FAILED"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_run_in_it_is_drift_after_the_quiet_period() {
        let busy = ours!(r#""status":"ACTIVE","activeServicesCount":2,"runningTasksCount":3"#);
        let script = Script::new(std::iter::repeat_n(busy, 100));
        let (cx, watch) = watched("cluster", script.config()).await;
        let error = Cluster.rollback(&cx, &plain(), &Absent {}, &made()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Drift);
        assert!(error.message.contains("holds 2 services, 3 running tasks"), "{error}");
        assert!(watch.calls.lock().unwrap().iter().all(|c| c.operation == "DescribeClusters"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_deletes_what_is_ours_and_waits() {
        let script = Script::new([
            ours!(r#""status":"ACTIVE","runningTasksCount":1"#),
            ours!(r#""status":"ACTIVE""#),
            ours!(r#""status":"ACTIVE""#),
            Answer::Reply(200, "{}"),
            ours!(r#""status":"DEPROVISIONING""#),
            INACTIVE,
            FOREIGN,
            INACTIVE,
            INACTIVE,
        ]);
        let cx = watched("cluster", script.config()).await.0;
        assert_eq!(Cluster.rollback(&cx, &plain(), &Absent {}, &made()).await.unwrap(), Undo::Done);
        let another = Cluster.rollback(&cx, &plain(), &Absent {}, &made()).await.unwrap_err();
        assert_eq!(another.class, ErrorClass::Drift);
        assert_eq!(Cluster.rollback(&cx, &plain(), &Absent {}, &made()).await.unwrap(), Undo::Nothing);
    }
}
