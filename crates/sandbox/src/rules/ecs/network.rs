//! Where tasks run and what they run on: checked alike for services and for tasks.

use serde_json::{Map, Value, json};

use super::{Desk, definition, invalid};
use crate::input::Body;
use crate::refusal::Refusal;
use crate::service::Service;

fn texts<'a>(of: &'a Value, name: &str) -> Vec<&'a str> {
    of[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The network that a call gives for tasks of a definition, with what AWS adds.
pub(super) fn given(desk: &Desk<'_>, body: &Body, task_definition: &str) -> Result<Option<Value>, Refusal> {
    let is_awsvpc = definition::document(desk, task_definition)["networkMode"] == "awsvpc";
    let Some(given) = body.get("networkConfiguration") else {
        let message = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
        return if is_awsvpc { Err(invalid(message)) } else { Ok(None) };
    };
    if !is_awsvpc {
        return Err(invalid("Network Configuration is not valid for the given networkMode of this task definition."));
    }
    let mut network = given.clone();
    let vpc = &network["awsvpcConfiguration"];
    let (subnets, groups) = (texts(vpc, "subnets"), texts(vpc, "securityGroups"));
    if !(1..=16).contains(&subnets.len()) || groups.len() > 5 {
        return Err(invalid("subnets can have 1 to 16 items, securityGroups up to 5."));
    }
    let mut vpcs = Vec::new();
    for id in subnets {
        let Some(subnet) = desk.ec2().subnets.get(id) else {
            return Err(invalid(format!(
                "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: \
                 InvalidSubnetID.NotFound)"
            )));
        };
        vpcs.push(&subnet.vpc);
    }
    for id in groups {
        let Some(group) = desk.ec2().groups.get(id) else {
            return Err(invalid(format!(
                "Error retrieving security group information for [{id}]: The security group '{id}' does not exist \
                 (ErrorCode: InvalidGroup.NotFound)"
            )));
        };
        vpcs.push(&group.vpc);
    }
    if vpcs.windows(2).any(|two| two[0] != two[1]) {
        return Err(invalid("Subnets and security groups must be in the same VPC."));
    }
    if let Some(vpc) = network["awsvpcConfiguration"].as_object_mut() {
        vpc.entry("securityGroups").or_insert(json!([]));
        vpc.entry("assignPublicIp").or_insert(json!("DISABLED"));
    }
    Ok(Some(network))
}

/// Whether a network has this subnet or security group.
pub(super) fn has(network: &Value, id: &str) -> bool {
    let vpc = &network["awsvpcConfiguration"];
    ["subnets", "securityGroups"].iter().any(|name| texts(vpc, name).contains(&id))
}

/// What tasks run on, by the names of replies: a launch type, or a strategy, also that of the cluster.
pub(super) fn capacity(
    desk: &Desk<'_>,
    body: &Body,
    cluster: &str,
    task_definition: &str,
) -> Result<Map<String, Value>, Refusal> {
    let launch_type = body.text("launchType")?;
    let strategy = body.objects("capacityProviderStrategy")?;
    if launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    let held = desk.picture().ecs.clusters.get(cluster);
    let one = |name: &str, value: Value| Map::from_iter([(name.to_owned(), value)]);
    let filled = |mut item: Map<String, Value>| {
        for name in ["weight", "base"] {
            item.entry(name).or_insert(json!(0));
        }
        Value::Object(item)
    };
    if !strategy.is_empty() {
        let of = |item: &&Map<String, Value>| item["capacityProvider"].as_str().unwrap_or_default().to_owned();
        let known = |name: &String| held.is_some_and(|it| it.capacity_providers.contains(name));
        if let Some(unknown) = strategy.iter().map(of).find(|name| !known(name)) {
            return Err(invalid(format!(
                "The specified capacity provider strategy contains a capacity provider that is not associated with the \
                 cluster: {unknown}."
            )));
        }
        let items: Vec<Value> = strategy.into_iter().cloned().map(filled).collect();
        return Ok(one("capacityProviderStrategy", json!(items)));
    }
    let default = held.map(|it| it.strategy.as_slice()).unwrap_or_default();
    if launch_type.is_none() && !default.is_empty() {
        let item = |it: &crate::picture::ecs::StrategyItem| json!({"capacityProvider": it.provider, "weight": it.weight, "base": it.base});
        return Ok(one("capacityProviderStrategy", default.iter().map(item).collect()));
    }
    // What container instances there are is not looked at.
    let launch_type = launch_type.unwrap_or("EC2");
    if !definition::supports(definition::document(desk, task_definition), launch_type) {
        return Err(invalid(format!("Task definition does not support launch_type {launch_type}.")));
    }
    Ok(one("launchType", json!(launch_type)))
}

/// What a service is behind and found by: the containers have the ports, and what the sandbox knows of exists.
pub(super) fn check_targets(desk: &Desk<'_>, body: &Body, task_definition: &str) -> Result<(), Refusal> {
    let containers = definition::document(desk, task_definition)["containerDefinitions"].as_array();
    for (list, arn, service) in [
        ("loadBalancers", "targetGroupArn", "elasticloadbalancing"),
        ("serviceRegistries", "registryArn", "servicediscovery"),
    ] {
        for target in body.objects(list)? {
            let of = |name: &str| target.get(name).and_then(Value::as_str);
            let named = of(arn).unwrap_or_default();
            let is_known = Service::named(service).is_some();
            if is_known && !desk.picture().things().contains_key(named) {
                return Err(invalid(format!("The specified {arn} {named} does not exist.")));
            }
            let Some(name) = of("containerName") else { continue };
            let container = containers.into_iter().flatten().find(|it| it["name"] == name);
            let Some(container) = container else {
                return Err(invalid(format!("The container {name} does not exist in the task definition.")));
            };
            let port = target.get("containerPort").unwrap_or(&Value::Null);
            let ports = container["portMappings"].as_array();
            if !ports.into_iter().flatten().any(|it| it["containerPort"] == *port) {
                return Err(invalid(format!("The container {name} did not have a container port {port} defined.")));
            }
        }
    }
    Ok(())
}
