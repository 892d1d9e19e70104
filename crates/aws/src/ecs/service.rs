//! `aws.ecs.service`: a service that keeps tasks running.
//!
//! `CreateService` refuses a name that is taken, also while what has it is still draining, and knows a repeated call by
//! its token. The step is done when the service is steady.
//!
//! Two things of a service move after it is made. The desired count is auto scaling's, or a later step's: it is
//! never compared. The task definition is a later step's ([`service_update`](super::service_update)): the one that was given,
//! or a revision that this run registered, is no drift; any other is.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::types::Service as Described;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{ErrorClass, OpResult};

use super::deployment::{There, called, drained, failed, steady};
use super::form::{Part, filled, of_those, opt, to_sdk};
use super::network::{
    CapacityProviderStrategyItem, DeploymentConfiguration, LaunchType, LoadBalancer, NetworkConfiguration,
    PropagateTags, ServiceRegistry, check_capacity,
};
use super::{all_tags, check_name, client, task_definition, unless_unseen};
use crate::calls::{Absent, Calls, nameless};
use crate::errors::{Call, is_not_found, op_error};
use crate::ids::{EcsClusterName, EcsServiceArn, EcsServiceName, TaskDefinitionArn};
use crate::named::{self, Named, POLL};
use crate::tags;

/// Images are pulled, targets and registries become healthy.
const CREATE_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// Targets are drained for five minutes by default, and then containers have two to stop.
const ROLLBACK_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// What a service has and what `verify` compares, by the names of the parameters.
const COMPARED: [&str; 10] = [
    "launch_type",
    "capacity_provider_strategy",
    "network_configuration",
    "service_registries",
    "load_balancers",
    "health_check_grace_period_seconds",
    "deployment_configuration",
    "enable_ecs_managed_tags",
    "enable_execute_command",
    "propagate_tags",
];

/// An ECS service that keeps tasks running.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster (`CreateService` cluster).
    pub cluster: EcsClusterName,
    /// The name: 1 to 255 letters, digits, `_` and `-` (`CreateService` serviceName).
    pub service_name: EcsServiceName,
    /// The revision to run (`CreateService` taskDefinition).
    pub task_definition: TaskDefinitionArn,
    /// How many tasks; 0 makes a service that a later step starts (`CreateService` desiredCount).
    pub desired_count: i32,
    /// What tasks run on (`CreateService` launchType).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<LaunchType>,
    /// Which of the cluster's capacity tasks run on, instead of a launch type (`CreateService`
    /// capacityProviderStrategy).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    /// Where tasks run; wanted where the task definition has the network mode `awsvpc` (`CreateService`
    /// networkConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// Where tasks are found by name (`CreateService` serviceRegistries).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_registries: Vec<ServiceRegistry>,
    /// Target groups that get the tasks (`CreateService` loadBalancers).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_balancers: Vec<LoadBalancer>,
    /// For how long a new task may be unhealthy to its load balancer, in seconds (`CreateService`
    /// healthCheckGracePeriodSeconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_grace_period_seconds: Option<i32>,
    /// How tasks are replaced (`CreateService` deploymentConfiguration).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// Whether tasks get tags with the names of cluster and service (`CreateService` enableECSManagedTags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// Whether commands can be executed in containers (`CreateService` enableExecuteCommand).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<bool>,
    /// Whose tags tasks get (`CreateService` propagateTags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<PropagateTags>,
    /// Tags, beside those that say whose it is (`CreateService` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub service_name: EcsServiceName,
    /// The name of its cluster.
    pub cluster: EcsClusterName,
    /// Its ARN. A service of the same name that is made later has the same one.
    pub service_arn: EcsServiceArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Service;

impl Params {
    fn called(&self) -> String {
        called(&self.cluster, &self.service_name)
    }

    fn output(&self, service: &Described) -> Output {
        Output {
            service_name: self.service_name.clone(),
            cluster: self.cluster.clone(),
            service_arn: EcsServiceArn::new(service.service_arn().unwrap_or_default()),
        }
    }

    /// What `verify` compares, of what was given.
    fn wanted(&self) -> Map<String, Value> {
        let normal = Self {
            network_configuration: self.network_configuration.clone().map(NetworkConfiguration::normal),
            ..self.clone()
        };
        let Value::Object(all) = json!(normal) else { return Map::new() };
        all.into_iter().filter(|(name, _)| COMPARED.contains(&name.as_str())).collect()
    }
}

/// The same of what is there.
fn got(service: &Described) -> Value {
    let network = opt::<NetworkConfiguration>(service.network_configuration()).map(NetworkConfiguration::normal);
    let list = |list: Value| if list == json!([]) { Value::Null } else { list };
    json!({
        "launch_type": service.launch_type().map(LaunchType::read),
        "capacity_provider_strategy":
            list(json!(service.capacity_provider_strategy.as_ref().map(Vec::<CapacityProviderStrategyItem>::read))),
        "network_configuration": network,
        "service_registries": list(json!(service.service_registries.as_ref().map(Vec::<ServiceRegistry>::read))),
        "load_balancers": list(json!(service.load_balancers.as_ref().map(Vec::<LoadBalancer>::read))),
        "health_check_grace_period_seconds": service.health_check_grace_period_seconds(),
        "deployment_configuration": opt::<DeploymentConfiguration>(service.deployment_configuration()),
        "enable_ecs_managed_tags": service.enable_ecs_managed_tags(),
        "enable_execute_command": service.enable_execute_command(),
        "propagate_tags": service.propagate_tags().map_or("NONE", |whose| whose.as_str()),
    })
}

/// Whether a revision was registered by this run.
async fn is_of_run(cx: &Cx, task_definition: &str) -> OpResult<bool> {
    Ok(task_definition::read(cx, task_definition).await?.is_some_and(|it| tags::are_of_run(cx, &it.tags)))
}

impl Operation for Service {
    const KIND: &'static str = "aws.ecs.service";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let (cluster, name) = (&params.cluster, &params.service_name);
        // Made without tasks it may have been started by a later step, or by auto scaling.
        let has_tasks = params.desired_count > 0;
        let calls = Calls {
            reads: &["ecs:DescribeServices", "ecs:DescribeTaskDefinition"],
            creates: "ecs:CreateService",
            settles: Vec::new(),
            rolls_back: if has_tasks {
                vec!["ecs:UpdateService", "ecs:DeleteService"]
            } else {
                vec!["ecs:DeleteService"]
            },
            // The first service of an account makes the role by which ECS acts.
            besides: &["ecs:TagResource", "iam:CreateServiceLinkedRole"],
        };
        Facts {
            unique: true,
            create_deadline: CREATE_DEADLINE,
            rollback_deadline: ROLLBACK_DEADLINE,
            residue: vec![format!("ECS may list the service {cluster}/{name} as INACTIVE for a while")],
            extra_undo_actions: if has_tasks { Vec::new() } else { vec!["ecs:UpdateService".into()] },
            arns: vec![format!("arn:{{partition}}:ecs:{{region}}:{{account}}:service/{cluster}/{name}")],
            ..calls.into_facts()
        }
    }

    fn example() -> Option<Params> {
        let params = json!({
            "cluster": "app",
            "service_name": "web",
            "task_definition": "arn:aws:ecs:us-east-1:123456789012:task-definition/app:1",
            "desired_count": 2,
            "launch_type": "FARGATE",
            "network_configuration": {"awsvpc_configuration": {
                "subnets": ["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60719"],
                "security_groups": ["sg-0a1b2c3d4e5f60718"],
                "assign_public_ip": "DISABLED",
            }},
            "service_registries": [{
                "registry_arn": "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-0a1b2c3d4e5f6071",
                "container_name": "app", "container_port": 8080,
            }],
            "load_balancers": [{
                "target_group_arn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071",
                "container_name": "app", "container_port": 8080,
            }],
            "health_check_grace_period_seconds": 60,
            "deployment_configuration": {
                "deployment_circuit_breaker": {"enable": true, "rollback": true},
                "maximum_percent": 200, "minimum_healthy_percent": 100,
            },
            "enable_ecs_managed_tags": true,
            "enable_execute_command": false,
            "propagate_tags": "SERVICE",
            "tags": {"Environment": "production"},
        });
        serde_json::from_value(params).ok()
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.cluster.as_str(), "cluster", &mut errors);
        check_name(params.service_name.as_str(), "service_name", &mut errors);
        params.task_definition.check("task_definition", &mut errors);
        check_capacity(params.launch_type.as_ref(), &params.capacity_provider_strategy, &mut errors);
        if let Some(network) = &params.network_configuration {
            network.check(&mut errors);
        }
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        if params.desired_count < 0 {
            wrong("desired_count", format!("is 0 or more, this is {}", params.desired_count));
        }
        if params
            .load_balancers
            .iter()
            .any(|lb| lb.target_group_arn.is_none() || lb.container_name.is_none() || lb.container_port.is_none())
        {
            wrong(
                "load_balancers",
                "each has a `target_group_arn`, a `container_name` and a `container_port`".to_owned(),
            );
        }
        if params.service_registries.iter().any(|r| r.registry_arn.is_none()) {
            wrong("service_registries", "each has a `registry_arn`".to_owned());
        }
        match params.health_check_grace_period_seconds {
            Some(_) if params.load_balancers.is_empty() => {
                let message = "is for services with `load_balancers`: AWS refuses it here";
                wrong("health_check_grace_period_seconds", message.to_owned());
            }
            Some(seconds) if seconds < 0 => {
                wrong("health_check_grace_period_seconds", "is 0 or more".to_owned());
            }
            _ => {}
        }
        if let Some(deployment) = &params.deployment_configuration {
            let least = deployment.minimum_healthy_percent.unwrap_or(0);
            let most = deployment.maximum_percent.unwrap_or(200);
            if !(0..=100).contains(&least) || most < 100 || (most == 100 && least == 100) {
                let message = "`minimum_healthy_percent` is 0 to 100, `maximum_percent` 100 or more, and they differ";
                wrong("deployment_configuration", message.to_owned());
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<There>(cx, &params.called()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        let text = |field: &str| known.get(field).and_then(Value::as_str);
        match (text("cluster"), text("service_name")) {
            (Some(cluster), Some(name)) => named::capture::<There>(cx, &format!("{cluster}/{name}")).await.map(|_| ()),
            _ => Ok(()),
        }
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.called();
        let reply = client(cx)?
            .create_service()
            .client_token(cx.token())
            .cluster(params.cluster.as_str())
            .service_name(params.service_name.as_str())
            .task_definition(params.task_definition.as_str())
            .desired_count(params.desired_count)
            .set_launch_type(to_sdk(params.launch_type.as_ref())?)
            .set_capacity_provider_strategy(filled(&params.capacity_provider_strategy)?)
            .set_network_configuration(to_sdk(params.network_configuration.as_ref())?)
            .set_service_registries(filled(&params.service_registries)?)
            .set_load_balancers(filled(&params.load_balancers)?)
            .set_health_check_grace_period_seconds(params.health_check_grace_period_seconds)
            .set_deployment_configuration(to_sdk(params.deployment_configuration.as_ref())?)
            .set_enable_ecs_managed_tags(params.enable_ecs_managed_tags)
            .set_enable_execute_command(params.enable_execute_command)
            .set_propagate_tags(to_sdk(params.propagate_tags.as_ref())?)
            .set_tags(all_tags(cx, &params.tags))
            .send()
            .await
            .map_err(|e| {
                let mut error = unless_unseen(op_error(Call::new("ecs:CreateService", &name).just_made(), e));
                // It has no code of its own; whose it is is for `find` to say.
                if error.message.contains("not idempotent") {
                    error.class = ErrorClass::AlreadyExists;
                }
                error
            })?;
        let service = reply.service().filter(|service| service.service_arn().is_some());
        service.map(|service| params.output(service)).ok_or_else(|| nameless("ecs:CreateService", &name))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Output> {
        let name = params.called();
        named::ours_there::<There>(cx, &name).await?;
        let service = steady(cx, &name, params.task_definition.as_str(), Some(params.desired_count)).await?;
        Ok(params.output(&service))
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<There, _>(cx, &params.called(), |there| params.output(&there.service)).await
    }

    /// A service that is draining already is waited for. Its tasks' network interfaces go a little later than the
    /// service: subnets and security groups wait for them by themselves.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let (cluster, service, name) = (params.cluster.as_str(), params.service_name.as_str(), params.called());
        let Some(there) = named::ours::<There>(cx, &name).await? else { return Ok(Undo::Nothing) };
        let mut undo = Undo::Nothing;
        if there.service.status() == Some("ACTIVE") {
            if there.service.desired_count() > 0 {
                let stopped =
                    client(cx)?.update_service().cluster(cluster).service(service).desired_count(0).send().await;
                stopped.map_err(|e| op_error(Call::new("ecs:UpdateService", &name), e))?;
            }
            drained(cx, &name).await?;
            if named::ours::<There>(cx, &name).await?.is_none() {
                return Ok(Undo::Nothing);
            }
            let deleted = client(cx)?.delete_service().cluster(cluster).service(service).send().await;
            match deleted.map_err(|e| op_error(Call::new("ecs:DeleteService", &name), e)) {
                Ok(_) => undo = Undo::Done,
                Err(e) if is_not_found(&e) => return Ok(Undo::Nothing),
                Err(mut e) => {
                    // That it was scaled to 0 is not seen everywhere yet, or auto scaling was faster.
                    if e.message.contains("scaled above 0") {
                        e.class = ErrorClass::Busy;
                    }
                    return Err(e);
                }
            }
        }
        named::wait_until_gone::<There>(cx, &name, POLL).await?;
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
        let name = params.called();
        if want == Expect::RolledBack {
            return named::verify_gone::<There>(cx, &name).await;
        }
        let Some(there) = There::read(cx, &name).await? else {
            return Ok(named::missing::<There>(&name));
        };
        let service = &there.service;
        let mut verdict = named::verdict(cx, &there, &params.tags).compare("status", "ACTIVE", service.status());
        let (given, runs) = (params.task_definition.as_str(), service.task_definition().unwrap_or_default());
        let runs_ours = runs == given || is_of_run(cx, runs).await?;
        verdict = verdict.compare("task_definition", given, if runs_ours { given } else { runs });
        verdict = verdict.compare("its deployment has failed", false, failed(service, None).is_some());
        let got = got(service);
        for (what, wanted) in params.wanted() {
            let got = of_those(&wanted, got.get(&what).unwrap_or(&Value::Null));
            verdict = verdict.compare(what, wanted, got);
        }
        verdict.observed = json!({
            "service_name": params.service_name, "cluster": params.cluster, "service_arn": there.id(),
            "status": service.status(), "task_definition": runs, "desired_count": service.desired_count(),
            "running_count": service.running_count(), "pending_count": service.pending_count(), "tags": there.tags,
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

    fn plain() -> Value {
        json!({
            "cluster": "app", "service_name": "web", "desired_count": 0,
            "task_definition": "arn:aws:ecs:us-east-1:123456789012:task-definition/app:1",
        })
    }

    fn wrong(fields: Value) -> Vec<String> {
        let mut all = plain();
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        let errors = Service.check(&params(all)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    fn reply(value: &Value) -> Answer {
        Answer::Reply(200, value.to_string().leak())
    }

    fn ours(fields: &Value) -> Answer {
        let tag = |key: &str, value: &str| json!({"key": key, "value": value});
        let run = tag("switchback:run", "00000000-0000-0000-0000-000000000007");
        let mut service = json!({
            "serviceName": "web", "serviceArn": "arn:s", "status": "ACTIVE",
            "tags": [run, tag("switchback:step", "web"), tag("switchback:generation", "1")],
        });
        for (name, value) in fields.as_object().unwrap() {
            service[name] = value.clone();
        }
        reply(&json!({"services": [service]}))
    }

    fn made() -> Output {
        params(plain()).output(&Described::builder().service_arn("arn:s").build())
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        Service.check(&Service::example().unwrap()).unwrap();
        assert!(wrong(json!({})).is_empty());
        assert_eq!(wrong(json!({"desired_count": -1})), ["desired_count"]);
        assert_eq!(wrong(json!({"service_name": "a b"})), ["service_name"]);
        assert_eq!(wrong(json!({"task_definition": "app:1"})), ["task_definition"]);
        assert_eq!(wrong(json!({"health_check_grace_period_seconds": 60})), ["health_check_grace_period_seconds"]);
        assert_eq!(wrong(json!({"load_balancers": [{"target_group_arn": "arn"}]})), ["load_balancers"]);
        assert_eq!(wrong(json!({"service_registries": [{}]})), ["service_registries"]);
        let percent = |least: i32, most: i32| {
            wrong(json!({"deployment_configuration": {"minimum_healthy_percent": least, "maximum_percent": most}}))
        };
        assert!(percent(100, 200).is_empty());
        assert_eq!(percent(100, 100), ["deployment_configuration"]);
    }

    #[test]
    fn what_is_undone_depends_on_whether_it_has_tasks() {
        let facts = Service.facts(&params(plain()));
        assert_eq!((facts.rolls_back.len(), facts.extra_undo_actions.len()), (1, 1));
        assert_eq!(facts.arns, ["arn:{partition}:ecs:{region}:{account}:service/app/web"]);
        let facts = Service.facts(&Service::example().unwrap());
        assert_eq!((facts.rolls_back.len(), facts.extra_undo_actions.len()), (2, 0));
    }

    #[test]
    fn what_was_read_has_the_form_of_the_parameters() {
        let wanted = Service::example().unwrap();
        let service = Described::builder()
            .set_launch_type(to_sdk(wanted.launch_type.as_ref()).unwrap())
            .set_network_configuration(to_sdk(wanted.network_configuration.as_ref()).unwrap())
            .set_service_registries(filled(&wanted.service_registries).unwrap())
            .set_load_balancers(filled(&wanted.load_balancers).unwrap())
            .set_health_check_grace_period_seconds(wanted.health_check_grace_period_seconds)
            .set_deployment_configuration(to_sdk(wanted.deployment_configuration.as_ref()).unwrap())
            .set_enable_ecs_managed_tags(wanted.enable_ecs_managed_tags)
            .set_propagate_tags(to_sdk(wanted.propagate_tags.as_ref()).unwrap())
            .build();
        let (wanted, got) = (Value::Object(wanted.wanted()), got(&service));
        assert_eq!(of_those(&wanted, &got), wanted);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_or_draining_is_told_apart() {
        let refusal = |text: &str| {
            let body = json!({"__type": "InvalidParameterException", "message": text});
            Answer::Reply(400, body.to_string().leak())
        };
        let script = Script::new([
            refusal("Creation of service was not idempotent."),
            refusal("Unable to Start a service that is still Draining."),
        ]);
        let cx = watched("web", script.config()).await.0;
        for class in [ErrorClass::AlreadyExists, ErrorClass::Busy] {
            assert_eq!(Service.create(&cx, &params(plain()), &Absent {}).await.unwrap_err().class, class);
        }
        assert!(script.bodies.lock().unwrap()[0].contains(r#""clientToken":"token""#));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_stops_the_tasks_first() {
        let inactive = reply(&json!({"services": [{"serviceName": "web", "status": "INACTIVE"}]}));
        let script = Script::new([
            ours(&json!({"desiredCount": 2, "runningCount": 2})),
            reply(&json!({})),
            ours(&json!({"runningCount": 1})),
            ours(&json!({})),
            ours(&json!({})),
            reply(&json!({})),
            ours(&json!({"status": "DRAINING"})),
            inactive.clone(),
            inactive,
        ]);
        let (cx, watch) = watched("web", script.config()).await;
        assert_eq!(Service.rollback(&cx, &params(plain()), &Absent {}, &made()).await.unwrap(), Undo::Done);
        assert_eq!(Service.rollback(&cx, &params(plain()), &Absent {}, &made()).await.unwrap(), Undo::Nothing);
        let calls = watch.calls.lock().unwrap();
        let writes: Vec<_> =
            calls.iter().map(|c| c.operation.as_str()).filter(|c| !c.starts_with("Describe")).collect();
        assert_eq!(writes, ["UpdateService", "DeleteService"]);
    }

    #[tokio::test]
    async fn a_revision_of_this_run_is_no_drift_and_any_other_is() {
        let described = |run: &str| {
            let tags = json!([{"key": "switchback:run", "value": run}]);
            reply(&json!({"taskDefinition": {"status": "ACTIVE"}, "tags": tags}))
        };
        let runs = ours(&json!({"taskDefinition": "arn:aws:ecs:us-east-1:123456789012:task-definition/app:2"}));
        let script = Script::new([
            runs.clone(),
            described("00000000-0000-0000-0000-000000000007"),
            runs,
            described("00000000-0000-0000-0000-000000000008"),
        ]);
        let cx = watched("web", script.config()).await.0;
        for holds in [true, false] {
            let verdict = Service.verify(&cx, &params(plain()), &Absent {}, None, Expect::Created).await.unwrap();
            assert_eq!(verdict.holds(), holds, "{verdict:?}");
        }
    }
}
