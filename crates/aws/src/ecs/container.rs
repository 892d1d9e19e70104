//! Containers of a task, in AWS's own JSON form: as `aws ecs register-task-definition --container-definitions` takes
//! them. A runbook has them as a list, or as a text that holds one (a file beside it). A field that is not known here
//! is refused, and never sent or dropped unseen.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use switchback_engine::operation::ParamError;

use super::form::{part, words};

/// What ECS gives Fargate to stop a container, at most.
const LONGEST_STOP: i32 = 120;

words! {
    /// Where a container's output goes.
    LogDriver;
    /// The protocol of a port.
    TransportProtocol;
    /// The protocol above that, for Service Connect.
    ApplicationProtocol;
    /// What another container must have come to.
    ContainerCondition;
    /// Which limit of the kernel.
    UlimitName;
}

part! {
    /// One container of a task.
    ContainerDefinition, "camelCase";
    /// Its name: 1 to 255 letters, digits, `_` and `-`.
    name, set_name: String, opt;
    /// Its image, with a tag or a digest.
    image, set_image: String, opt;
    /// How a private registry is logged in to.
    repository_credentials, set_repository_credentials: RepositoryCredentials, opt;
    /// CPU units.
    cpu, set_cpu: i32, req;
    /// The most memory, in MiB.
    memory, set_memory: i32, opt;
    /// The least memory, in MiB.
    memory_reservation, set_memory_reservation: i32, opt;
    /// The ports that it listens on.
    port_mappings, set_port_mappings: Vec<PortMapping>, opt;
    /// Whether the task stops with it. AWS's default: true.
    essential, set_essential: bool, opt;
    /// What is run.
    entry_point, set_entry_point: Vec<String>, opt;
    /// With which arguments.
    command, set_command: Vec<String>, opt;
    /// Variables. A password belongs into `secrets`.
    environment, set_environment: Vec<KeyValuePair>, opt;
    /// Volumes.
    mount_points, set_mount_points: Vec<MountPoint>, opt;
    /// Options of Linux.
    linux_parameters, set_linux_parameters: LinuxParameters, opt;
    /// Variables whose values ECS fetches when it starts the container.
    secrets, set_secrets: Vec<Secret>, opt;
    /// What must have come before it.
    depends_on, set_depends_on: Vec<ContainerDependency>, opt;
    /// How long to wait for what it depends on, in seconds.
    start_timeout, set_start_timeout: i32, opt;
    /// How long it may take to stop, in seconds.
    stop_timeout, set_stop_timeout: i32, opt;
    /// As whom it runs.
    user, set_user: String, opt;
    /// Where it runs.
    working_directory, set_working_directory: String, opt;
    /// Whether its root file system cannot be written to.
    readonly_root_filesystem, set_readonly_root_filesystem: bool, opt;
    /// Whether its standard input is kept open.
    interactive, set_interactive: bool, opt;
    /// Whether it has a terminal.
    pseudo_terminal, set_pseudo_terminal: bool, opt;
    /// Labels.
    docker_labels, set_docker_labels: BTreeMap<String, String>, opt;
    /// Limits of the kernel.
    ulimits, set_ulimits: Vec<Ulimit>, opt;
    /// Where its output goes.
    log_configuration, set_log_configuration: LogConfiguration, opt;
    /// How it is seen to be healthy.
    health_check, set_health_check: HealthCheck, opt;
    /// Settings of the kernel.
    system_controls, set_system_controls: Vec<SystemControl>, opt;
}

part! {
    /// How a private registry is logged in to.
    RepositoryCredentials, "camelCase";
    /// The ARN of a secret.
    credentials_parameter, set_credentials_parameter: String, req;
}

part! {
    /// A port that a container listens on.
    PortMapping, "camelCase";
    /// The port.
    container_port, set_container_port: i32, opt;
    /// The port of the host; with `awsvpc` the same one.
    host_port, set_host_port: i32, opt;
    /// AWS's default: `tcp`.
    protocol, set_protocol: TransportProtocol, opt;
    /// Its name, for Service Connect.
    name, set_name: String, opt;
    /// Its protocol, for Service Connect.
    app_protocol, set_app_protocol: ApplicationProtocol, opt;
}

part! {
    /// A variable.
    KeyValuePair, "camelCase";
    /// Its name.
    name, set_name: String, opt;
    /// Its value.
    value, set_value: String, opt;
}

part! {
    /// A variable, or an option of a log driver, with a value from Secrets Manager or Parameter Store.
    Secret, "camelCase";
    /// Its name.
    name, set_name: String, req;
    /// The ARN of the secret, or the name or ARN of the parameter.
    value_from, set_value_from: String, req;
}

part! {
    /// A volume in a container.
    MountPoint, "camelCase";
    /// The name of the volume.
    source_volume, set_source_volume: String, opt;
    /// Where.
    container_path, set_container_path: String, opt;
    /// Whether it can only be read.
    read_only, set_read_only: bool, opt;
}

part! {
    /// Options of Linux.
    LinuxParameters, "camelCase";
    /// Whether an init process takes care of signals and orphans.
    init_process_enabled, set_init_process_enabled: bool, opt;
}

part! {
    /// What must have come before a container.
    ContainerDependency, "camelCase";
    /// The other container.
    container_name, set_container_name: String, req;
    /// What it must have come to.
    condition, set_condition: ContainerCondition, req;
}

part! {
    /// A limit of the kernel.
    Ulimit, "camelCase";
    /// Which.
    name, set_name: UlimitName, req;
    /// The soft limit.
    soft_limit, set_soft_limit: i32, req;
    /// The hard limit.
    hard_limit, set_hard_limit: i32, req;
}

part! {
    /// Where a container's output goes.
    LogConfiguration, "camelCase";
    /// By which driver.
    log_driver, set_log_driver: LogDriver, req;
    /// Its options.
    options, set_options: BTreeMap<String, String>, opt;
    /// Its options that are secret.
    secret_options, set_secret_options: Vec<Secret>, opt;
}

part! {
    /// How a container is seen to be healthy. The command must be in its image.
    HealthCheck, "camelCase";
    /// The command: `CMD` and arguments, or `CMD-SHELL` and a line.
    command, set_command: Vec<String>, req;
    /// How often, in seconds: 5 to 300.
    interval, set_interval: i32, opt;
    /// How long it may take, in seconds: 2 to 60.
    timeout, set_timeout: i32, opt;
    /// After how many failures it is unhealthy: 1 to 10.
    retries, set_retries: i32, opt;
    /// How long failures do not count, in seconds: 0 to 300.
    start_period, set_start_period: i32, opt;
}

part! {
    /// A setting of the kernel.
    SystemControl, "camelCase";
    /// Its name.
    namespace, set_namespace: String, opt;
    /// Its value.
    value, set_value: String, opt;
}

/// The containers of a task: a list, or a text that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ContainerDefinitions(pub Vec<ContainerDefinition>);

impl<'de> Deserialize<'de> for ContainerDefinitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let list = match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text),
            value => Vec::deserialize(value),
        };
        list.map(Self).map_err(|e| D::Error::custom(format!("container_definitions: {e}")))
    }
}

impl JsonSchema for ContainerDefinitions {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ContainerDefinitions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<ContainerDefinition>>();
        json_schema!({ "anyOf": [list, { "type": "string" }] })
    }
}

impl ContainerDefinitions {
    /// Holds them to AWS's rules, as far as a mistake can be told without AWS.
    pub(crate) fn check(&self, volumes: &BTreeSet<&str>, awsvpc: bool, errors: &mut Vec<ParamError>) {
        const FIELD: &str = "container_definitions";
        let mut wrong = |message: String| errors.push(ParamError::new(FIELD, message));
        let all = &self.0;
        let names: Vec<&str> = all.iter().filter_map(|it| it.name.as_deref()).collect();
        if all.is_empty() {
            wrong("a task has a container at least".to_owned());
        }
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            wrong("two containers have one name".to_owned());
        }
        if !all.is_empty() && all.iter().all(|it| it.essential == Some(false)) {
            wrong("one container at least is essential".to_owned());
        }
        for (n, it) in all.iter().enumerate() {
            let called = it.name.clone().unwrap_or_else(|| format!("{}", n + 1));
            let mut wrong = |message: String| wrong(format!("container {called}: {message}"));
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !it.name.as_deref().is_some_and(|n| (1..=255).contains(&n.len()) && n.chars().all(fits)) {
                wrong("`name` is 1 to 255 letters, digits, _ and -".to_owned());
            }
            if it.image.as_deref().unwrap_or_default().is_empty() {
                wrong("has no `image`".to_owned());
            }
            if let (Some(least), Some(most)) = (it.memory_reservation, it.memory)
                && least > most
            {
                wrong(format!("`memoryReservation` {least} is more than `memory` {most}"));
            }
            for port in it.port_mappings.iter().flatten() {
                match port.container_port {
                    Some(1..=65535) => {}
                    _ => wrong("each of `portMappings` has a `containerPort`, 1 to 65535".to_owned()),
                }
                if awsvpc && port.host_port.is_some() && port.host_port != port.container_port {
                    wrong("with `awsvpc` a `hostPort` is the same as the `containerPort`".to_owned());
                }
            }
            if it.environment.iter().flatten().any(|v| v.name.as_deref().unwrap_or_default().is_empty()) {
                wrong("each variable of `environment` has a `name`".to_owned());
            }
            let env = it.environment.iter().flatten().filter_map(|v| v.name.as_deref());
            let secret = it.secrets.iter().flatten().filter_map(|v| v.name.as_deref());
            let variables: Vec<&str> = env.chain(secret).collect();
            let mut seen = BTreeSet::new();
            if let Some(twice) = variables.iter().find(|name| !seen.insert(**name)) {
                wrong(format!("the variable {twice} is given twice"));
            }
            let logs = it.log_configuration.iter().flat_map(|l| l.secret_options.iter().flatten());
            let no_secret = |s: &Secret| {
                s.name.as_deref().is_none_or(str::is_empty) || s.value_from.as_deref().is_none_or(str::is_empty)
            };
            if it.secrets.iter().flatten().chain(logs).any(no_secret) {
                wrong("each secret has a `name` and a `valueFrom`".to_owned());
            }
            if it.log_configuration.as_ref().is_some_and(|l| l.log_driver.is_none()) {
                wrong("`logConfiguration` has no `logDriver`".to_owned());
            }
            for mount in it.mount_points.iter().flatten() {
                let volume = mount.source_volume.as_deref().unwrap_or_default();
                if !volumes.contains(volume) {
                    wrong(format!("the volume {volume:?} is none of `volumes`"));
                }
            }
            for other in it.depends_on.iter().flatten() {
                let name = other.container_name.as_deref().unwrap_or_default();
                if !names.contains(&name) || other.condition.is_none() {
                    wrong(format!("depends on {name:?}: `dependsOn` names a container of the task, and a `condition`"));
                }
            }
            if it.stop_timeout.is_some_and(|s| !(0..=LONGEST_STOP).contains(&s)) {
                wrong(format!("`stopTimeout` is 0 to {LONGEST_STOP} seconds"));
            }
            if it.ulimits.iter().flatten().any(|u| u.name.is_none() || u.soft_limit.is_none() || u.hard_limit.is_none())
            {
                wrong("each of `ulimits` has a `name`, a `softLimit` and a `hardLimit`".to_owned());
            }
            if let Some(check) = &it.health_check {
                let first = check.command.iter().flatten().next().map(String::as_str);
                if !matches!(first, Some("CMD" | "CMD-SHELL" | "NONE")) {
                    wrong("the `command` of `healthCheck` begins with CMD or CMD-SHELL".to_owned());
                }
                for (what, value, range) in [
                    ("interval", check.interval, 5..=300),
                    ("timeout", check.timeout, 2..=60),
                    ("retries", check.retries, 1..=10),
                    ("startPeriod", check.start_period, 0..=300),
                ] {
                    if value.is_some_and(|v| !range.contains(&v)) {
                        wrong(format!("`{what}` of `healthCheck` is {} to {}", range.start(), range.end()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ecs::form::{Part, of_those};

    fn parsed(value: &Value) -> Result<ContainerDefinitions, serde_json::Error> {
        ContainerDefinitions::deserialize(value)
    }

    fn wrong(value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        parsed(value).unwrap().check(&BTreeSet::from(["data"]), true, &mut errors);
        errors.into_iter().map(|e| e.message).collect()
    }

    /// One of the tracker's.
    fn whole() -> Value {
        json!([{
            "name": "orchestrator",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mistersmith/orchestrator:latest",
            "portMappings": [{"containerPort": 4222, "protocol": "tcp"}, {"containerPort": 8080, "protocol": "tcp"}],
            "environment": [{"name": "NATS_URL", "value": "nats://localhost:4222"}],
            "secrets": [{"name": "DB_PASSWORD", "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:a"}],
            "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/mistersmith"}},
            "healthCheck": {
                "command": ["CMD-SHELL", "curl -f http://localhost:8080/health || exit 1"],
                "interval": 30, "timeout": 5, "retries": 3, "startPeriod": 60,
            },
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": true}],
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
        }])
    }

    #[test]
    fn awss_own_form_is_taken_as_a_list_and_as_a_text() {
        let list = parsed(&whole()).unwrap();
        assert_eq!(parsed(&json!(whole().to_string())).unwrap(), list);
        assert_eq!(serde_json::to_value(&list).unwrap(), whole(), "what is stored is what was given");
        assert!(wrong(&whole()).is_empty());
    }

    #[test]
    fn what_is_sent_is_read_back_in_the_same_form() {
        let list = parsed(&whole()).unwrap().0;
        let read = Vec::<ContainerDefinition>::read(&list.to_sdk().unwrap());
        assert_eq!(of_those(&whole(), &json!(read)), whole());
    }

    #[test]
    fn unknown_fields_and_words_are_refused() {
        for (bad, word) in [
            (json!([{"name": "a", "image": "b", "revision": 2}]), "revision"),
            (json!([{"name": "a", "logConfiguration": {"logDriver": "cloudwatch"}}]), "awslogs"),
            (json!("not json"), "container_definitions"),
            (json!({"name": "a"}), "container_definitions"),
        ] {
            let error = parsed(&bad).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn containers_are_held_to_the_rules() {
        let with = |key: &str, value: Value| {
            let mut one = json!({"name": "a", "image": "b"});
            one[key] = value;
            wrong(&json!([one])).len()
        };
        assert_eq!(with("essential", json!(true)), 0);
        for (key, value) in [
            ("name", json!("a b")),
            ("image", json!("")),
            ("essential", json!(false)),
            ("portMappings", json!([{"containerPort": 0}])),
            ("portMappings", json!([{"containerPort": 80, "hostPort": 81}])),
            ("environment", json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
            ("secrets", json!([{"name": "A"}])),
            ("dependsOn", json!([{"containerName": "other", "condition": "START"}])),
            ("mountPoints", json!([{"sourceVolume": "other", "containerPath": "/"}])),
            ("stopTimeout", json!(121)),
            ("healthCheck", json!({"command": ["curl"]})),
            ("healthCheck", json!({"command": ["CMD", "a"], "interval": 1})),
            ("ulimits", json!([{"name": "nofile"}])),
            ("logConfiguration", json!({})),
        ] {
            assert_eq!(with(key, value.clone()), 1, "{key}: {value}");
        }
        assert_eq!(wrong(&json!([])).len(), 1);
        let twice = json!([{"name": "a", "image": "b"}, {"name": "a", "image": "b"}]);
        assert_eq!(wrong(&twice), ["two containers have one name"]);
    }
}
