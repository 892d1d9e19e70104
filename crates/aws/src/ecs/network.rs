//! Where tasks run, and who finds them there: parts that services and tasks have alike, with their names in
//! `snake_case`.

use std::collections::BTreeMap;

use switchback_engine::operation::ParamError;

use super::container::KeyValuePair;
use super::form::{part, sorted, words};
use crate::ids::{SecurityGroupId, SubnetId};

const MOST_SUBNETS: usize = 16;
const MOST_GROUPS: usize = 5;

words! {
    /// Whether tasks get public addresses: `ENABLED` or `DISABLED`.
    AssignPublicIp;
    /// What tasks run on: `FARGATE`, `EC2` or `EXTERNAL`.
    LaunchType;
    /// Whose tags tasks get: `SERVICE`, `TASK_DEFINITION` or `NONE`.
    PropagateTags;
}

part! {
    /// The network of tasks.
    NetworkConfiguration, "snake_case";
    /// With an interface of its own for each task.
    awsvpc_configuration, set_awsvpc_configuration: AwsVpcConfiguration, opt;
}

part! {
    /// The network of tasks that have an interface of their own.
    AwsVpcConfiguration, "snake_case";
    /// In which subnets of one VPC: 1 to 16.
    subnets, set_subnets: Vec<SubnetId>, req;
    /// In which security groups: up to 5. AWS's default: the one of the VPC.
    security_groups, set_security_groups: Vec<SecurityGroupId>, opt;
    /// Whether they get public addresses. AWS's default: `DISABLED`.
    assign_public_ip, set_assign_public_ip: AssignPublicIp, opt;
}

part! {
    /// How many tasks one provider of capacity gets.
    CapacityProviderStrategyItem, "snake_case";
    /// One of the cluster's.
    capacity_provider, set_capacity_provider: String, req;
    /// Its share, relative to the others: 0 to 1000.
    weight, set_weight: i32, req;
    /// How many tasks it gets at least, of one provider only.
    base, set_base: i32, req;
}

part! {
    /// A target group that gets the tasks of a service.
    LoadBalancer, "snake_case";
    /// The target group. It must be behind a load balancer.
    target_group_arn, set_target_group_arn: String, opt;
    /// The container that is the target.
    container_name, set_container_name: String, opt;
    /// Its port.
    container_port, set_container_port: i32, opt;
}

part! {
    /// A service of Cloud Map in which the tasks of a service are found.
    ServiceRegistry, "snake_case";
    /// The service of Cloud Map.
    registry_arn, set_registry_arn: String, opt;
    /// The port, for SRV records with `host` or `bridge` networks.
    port, set_port: i32, opt;
    /// The container, for SRV records.
    container_name, set_container_name: String, opt;
    /// Its port, for SRV records.
    container_port, set_container_port: i32, opt;
}

part! {
    /// When a deployment has failed.
    DeploymentCircuitBreaker, "snake_case";
    /// Whether ECS finds out by itself.
    enable, set_enable: bool, req;
    /// Whether it then goes back to the last one that was complete.
    rollback, set_rollback: bool, req;
}

part! {
    /// How tasks are replaced.
    DeploymentConfiguration, "snake_case";
    /// When it has failed.
    deployment_circuit_breaker, set_deployment_circuit_breaker: DeploymentCircuitBreaker, opt;
    /// How many tasks there may be meanwhile, in percent of the desired ones.
    maximum_percent, set_maximum_percent: i32, opt;
    /// How many there must be, in percent of the desired ones.
    minimum_healthy_percent, set_minimum_healthy_percent: i32, opt;
}

part! {
    /// What is other than in the task definition.
    TaskOverride, "snake_case";
    /// In its containers.
    container_overrides, set_container_overrides: Vec<ContainerOverride>, opt;
    /// CPU units of the task, as `"512"`.
    cpu, set_cpu: String, opt;
    /// Memory of the task in MiB, as `"1024"`.
    memory, set_memory: String, opt;
}

part! {
    /// What is other in one container.
    ContainerOverride, "snake_case";
    /// Its name.
    name, set_name: String, opt;
    /// With which arguments it is run.
    command, set_command: Vec<String>, opt;
    /// Variables more than those of the definition, or in their place.
    environment, set_environment: Vec<KeyValuePair>, opt;
}

impl NetworkConfiguration {
    /// The same, with its lists in an order of their own.
    pub(super) fn normal(mut self) -> Self {
        if let Some(vpc) = &mut self.awsvpc_configuration {
            vpc.subnets = vpc.subnets.take().map(|list| sorted(&list));
            vpc.security_groups = vpc.security_groups.take().map(|list| sorted(&list));
        }
        self
    }

    /// Holds it to AWS's limits.
    pub(super) fn check(&self, errors: &mut Vec<ParamError>) {
        const FIELD: &str = "network_configuration";
        let Some(vpc) = &self.awsvpc_configuration else {
            errors.push(ParamError::new(FIELD, "has no `awsvpc_configuration`"));
            return;
        };
        let (subnets, groups) = (vpc.subnets.iter().flatten(), vpc.security_groups.iter().flatten());
        subnets.clone().for_each(|id| id.check(FIELD, errors));
        groups.clone().for_each(|id| id.check(FIELD, errors));
        if !(1..=MOST_SUBNETS).contains(&subnets.count()) {
            errors.push(ParamError::new(FIELD, format!("has 1 to {MOST_SUBNETS} subnets")));
        }
        if groups.count() > MOST_GROUPS {
            errors.push(ParamError::new(FIELD, format!("has up to {MOST_GROUPS} security groups")));
        }
    }
}

/// Holds a launch type and a strategy to each other.
pub(super) fn check_capacity(
    launch_type: Option<&LaunchType>,
    strategy: &[CapacityProviderStrategyItem],
    errors: &mut Vec<ParamError>,
) {
    const FIELD: &str = "capacity_provider_strategy";
    let mut wrong = |message: &str| errors.push(ParamError::new(FIELD, message));
    if launch_type.is_some() && !strategy.is_empty() {
        wrong("is given instead of a `launch_type`, not beside it");
    }
    let mut providers = BTreeMap::new();
    for item in strategy {
        let provider = item.capacity_provider.as_deref().unwrap_or_default();
        if provider.is_empty() || providers.insert(provider, item).is_some() {
            wrong("each item has a `capacity_provider` of its own");
        }
        if !(0..=1000).contains(&item.weight.unwrap_or(0)) || !(0..=100_000).contains(&item.base.unwrap_or(0)) {
            wrong("a weight is 0 to 1000, a base 0 to 100000");
        }
    }
    if strategy.iter().filter(|item| item.base.unwrap_or(0) > 0).count() > 1 {
        wrong("only one provider may have a base");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_are_held_to_the_limits() {
        let wrong = |value: serde_json::Value| {
            let mut errors = Vec::new();
            serde_json::from_value::<NetworkConfiguration>(value).unwrap().check(&mut errors);
            errors.len()
        };
        let with = |vpc: serde_json::Value| wrong(json!({"awsvpc_configuration": vpc}));
        assert_eq!(with(json!({"subnets": ["subnet-12345678"], "security_groups": ["sg-12345678"]})), 0);
        assert_eq!(wrong(json!({})), 1);
        assert_eq!(with(json!({"subnets": []})), 1);
        assert_eq!(with(json!({"subnets": ["sg-12345678"]})), 1);
        assert_eq!(with(json!({"subnets": ["subnet-12345678"], "security_groups": vec!["sg-12345678"; 6]})), 1);
        let public = json!({"subnets": ["subnet-12345678"], "assign_public_ip": "YES"});
        assert!(serde_json::from_value::<AwsVpcConfiguration>(public).is_err());
    }

    #[test]
    fn the_order_of_subnets_says_nothing() {
        let of = |ids: [&str; 2]| {
            let network = json!({"awsvpc_configuration": {"subnets": ids}});
            serde_json::from_value::<NetworkConfiguration>(network).unwrap().normal()
        };
        assert_eq!(of(["subnet-2", "subnet-1"]), of(["subnet-1", "subnet-2"]));
    }

    #[test]
    fn capacity_is_asked_for_in_one_way() {
        let wrong = |launch: Option<&str>, strategy: serde_json::Value| {
            let mut errors = Vec::new();
            let launch = launch.map(|l| LaunchType::try_from(l.to_owned()).unwrap());
            check_capacity(launch.as_ref(), &serde_json::from_value::<Vec<_>>(strategy).unwrap(), &mut errors);
            errors.len()
        };
        let item = |name: &str, base: i32| json!({"capacity_provider": name, "weight": 1, "base": base});
        assert_eq!(wrong(None, json!([item("FARGATE", 1), item("FARGATE_SPOT", 0)])), 0);
        assert_eq!(wrong(Some("FARGATE"), json!([item("FARGATE", 1)])), 1);
        assert_eq!(wrong(None, json!([item("FARGATE", 1), item("FARGATE_SPOT", 1)])), 1);
        assert_eq!(wrong(None, json!([item("FARGATE", 0), item("FARGATE", 0)])), 1);
        assert_eq!(wrong(None, json!([{"capacity_provider": "FARGATE", "weight": 1001}])), 1);
    }
}
