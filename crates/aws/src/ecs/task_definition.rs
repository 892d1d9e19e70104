//! `aws.ecs.task_definition`: a revision of a task definition.
//!
//! Each registration makes the next revision of its family, and no two have one number, also after one is
//! deregistered. So the before-image is the newest revision there is, and what this step made is newer than that and
//! carries its tags. A revision is never changed; deregistered, it stays to be seen as `INACTIVE`, and what runs of it
//! goes on running.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecs::types::{SortOrder, TaskDefinition as Described, TaskDefinitionField, TaskDefinitionStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::OpResult;
use switchback_model::facts::Facts;
use switchback_model::record::Proof;

use super::container::{ContainerDefinition, ContainerDefinitions};
use super::form::{Part, filled, of_those, opt, part, sorted, to_sdk, words};
use super::{all_tags, check_name, client, pair};
use crate::calls::{Calls, nameless};
use crate::errors::{Call, op_error};
use crate::ids::{RoleArn, TaskDefinitionArn, TaskFamily};
use crate::named::POLL;
use crate::tags::{self, Tags};

words! {
    /// The network mode of a task.
    NetworkMode;
    /// Where a task can run.
    Compatibility;
    /// A processor.
    CpuArchitecture;
}

words! {
    /// An operating system.
    OsFamily;
}

part! {
    /// What a task runs on.
    RuntimePlatform, "snake_case";
    /// AWS's default: `X86_64`.
    cpu_architecture, set_cpu_architecture: CpuArchitecture, opt;
    /// AWS's default: `LINUX`.
    operating_system_family, set_operating_system_family: OsFamily, opt;
}

part! {
    /// A volume that the containers of a task share, as long as it lives.
    Volume, "snake_case";
    /// Its name, for `mountPoints`.
    name, set_name: String, opt;
}

/// A revision of an ECS task definition.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The family: 1 to 255 letters, digits, `_` and `-` (`RegisterTaskDefinition` family).
    pub family: TaskFamily,
    /// The containers, in AWS's own JSON form (`camelCase`), as a list or as the text of one (`RegisterTaskDefinition`
    /// containerDefinitions).
    pub container_definitions: ContainerDefinitions,
    /// CPU units of the task, as `"512"` (`RegisterTaskDefinition` cpu).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory of the task in MiB, as `"1024"` (`RegisterTaskDefinition` memory).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// How its containers are connected; Fargate has `awsvpc` (`RegisterTaskDefinition` networkMode).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<NetworkMode>,
    /// Where it can run (`RegisterTaskDefinition` requiresCompatibilities).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires_compatibilities: Vec<Compatibility>,
    /// The role by which ECS pulls images, fetches secrets and writes logs (`RegisterTaskDefinition` executionRoleArn).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<RoleArn>,
    /// The role that the containers have (`RegisterTaskDefinition` taskRoleArn).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<RoleArn>,
    /// What it runs on (`RegisterTaskDefinition` runtimePlatform).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    /// Volumes that its containers share (`RegisterTaskDefinition` volumes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Tags, beside those that say whose it is (`RegisterTaskDefinition` tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was there before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// The newest revision of the family, `INACTIVE` ones too; none when it had none.
    pub newest_revision: Option<i32>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The ARN of the revision. No other one ever has it.
    pub task_definition_arn: TaskDefinitionArn,
    /// Its family.
    pub family: TaskFamily,
    /// Its number.
    pub revision: i32,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskDefinition;

/// A revision with its tags.
#[derive(Debug)]
pub(super) struct There {
    pub(super) definition: Described,
    pub(super) tags: Tags,
}

impl There {
    fn is_active(&self) -> bool {
        self.definition.status() == Some(&TaskDefinitionStatus::Active)
    }
}

/// The number at the end of a revision's ARN.
fn revision(arn: &str) -> Option<i32> {
    arn.rsplit_once(':')?.1.parse().ok()
}

/// A revision by its ARN, whoever registered it; none when there is none.
pub(super) async fn read(cx: &Cx, arn: &str) -> OpResult<Option<There>> {
    let ask = client(cx)?.describe_task_definition().task_definition(arn).include(TaskDefinitionField::Tags);
    match ask.send().await.map_err(|e| op_error(Call::new("ecs:DescribeTaskDefinition", arn), e)) {
        Ok(reply) => {
            let tags = tags::read(reply.tags().iter().map(pair));
            Ok(reply.task_definition.map(|definition| There { definition, tags }))
        }
        // It has no code of its own.
        Err(e) if e.code.as_deref() == Some("ClientException") => Ok(None),
        Err(e) => Err(e),
    }
}

/// The ARNs of the revisions of a family in one state, the newest first, down to one that is known.
async fn newer(cx: &Cx, family: &str, status: TaskDefinitionStatus, than: Option<i32>) -> OpResult<Vec<String>> {
    let list = client(cx)?.list_task_definitions().family_prefix(family).sort(SortOrder::Desc).status(status);
    let mut pages = list.into_paginator().items().send();
    let mut newer = Vec::new();
    while let Some(arn) = pages.next().await {
        let arn = arn.map_err(|e| op_error(Call::new("ecs:ListTaskDefinitions", family), e))?;
        if revision(&arn) <= than {
            break;
        }
        newer.push(arn);
        // Without one that is known, the newest is all that is asked for.
        if than.is_none() {
            break;
        }
    }
    Ok(newer)
}

/// The revision of this step: newer than the before-image, active, with its tags.
async fn ours(cx: &Cx, family: &str, before: &Before) -> OpResult<Option<There>> {
    // Revisions count from 1.
    let than = before.newest_revision.unwrap_or(0);
    for arn in newer(cx, family, TaskDefinitionStatus::Active, Some(than)).await? {
        if let Some(there) = read(cx, &arn).await?
            && there.is_active()
            && tags::are_of_step(cx, &there.tags)
        {
            return Ok(Some(there));
        }
    }
    Ok(None)
}

fn output(definition: &Described) -> Option<Output> {
    Some(Output {
        task_definition_arn: TaskDefinitionArn::new(definition.task_definition_arn()?),
        family: TaskFamily::new(definition.family()?),
        revision: definition.revision(),
    })
}

/// What Fargate offers: for so many CPU units from so much memory to so much, in steps, in MiB.
const FARGATE: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

impl Params {
    fn is_for(&self, compatibility: &str) -> bool {
        self.requires_compatibilities.iter().any(|c| c.as_str() == compatibility)
    }

    /// What of its containers is done by the execution role.
    fn wants_execution_role(&self) -> Option<&'static str> {
        let all = &self.container_definitions.0;
        if all.iter().any(|c| c.secrets.iter().flatten().next().is_some()) {
            return Some("`secrets`");
        }
        let logs = |c: &ContainerDefinition| {
            let driver = c.log_configuration.as_ref().and_then(|logs| logs.log_driver.as_ref());
            driver.is_some_and(|driver| driver.as_str() == "awslogs")
        };
        (self.is_for("FARGATE") && all.iter().any(logs)).then_some("the log driver `awslogs`")
    }

    fn check_size(&self, errors: &mut Vec<ParamError>) {
        let mut wrong = |field: &str, message: String| errors.push(ParamError::new(field, message));
        let number = |text: &Option<String>| text.as_deref().map(str::parse::<u32>);
        let (cpu, memory) = (number(&self.cpu), number(&self.memory));
        for (field, text, number) in [("cpu", &self.cpu, &cpu), ("memory", &self.memory, &memory)] {
            if matches!(number, Some(Err(_) | Ok(0))) {
                let text = text.as_deref().unwrap_or_default();
                wrong(field, format!("{text:?} is no number: CPU units as \"512\", memory in MiB as \"1024\""));
            }
        }
        if !self.is_for("FARGATE") {
            return;
        }
        if self.network_mode.as_ref().is_none_or(|mode| mode.as_str() != "awsvpc") {
            wrong("network_mode", "Fargate has `awsvpc` only".to_owned());
        }
        let (Some(Ok(cpu)), Some(Ok(memory))) = (cpu, memory) else {
            if self.cpu.is_none() || self.memory.is_none() {
                wrong("cpu", "for Fargate `cpu` and `memory` of the task are given".to_owned());
            }
            return;
        };
        match FARGATE.iter().find(|(units, ..)| *units == cpu) {
            None => {
                let offered = FARGATE.map(|(units, ..)| units.to_string()).join(", ");
                wrong("cpu", format!("Fargate has {offered} CPU units, not {cpu}"));
            }
            // The smallest has no 1536.
            Some((256, ..)) if ![512, 1024, 2048].contains(&memory) => {
                wrong("memory", format!("for 256 CPU units Fargate has 512, 1024 or 2048 MiB, not {memory}"));
            }
            Some((_, least, most, step)) if !(*least..=*most).contains(&memory) || memory % step != 0 => {
                let offered = format!("{least} to {most} MiB in steps of {step}");
                wrong("memory", format!("for {cpu} CPU units Fargate has {offered}, not {memory}"));
            }
            Some(_) => {}
        }
    }
}

impl Operation for TaskDefinition {
    const KIND: &'static str = "aws.ecs.task_definition";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Before;
    type Output = Output;
    /// A revision is active at once; `verify` sees it as soon as it can be seen.
    const SETTLES: bool = false;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &["ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition"],
            creates: "ecs:RegisterTaskDefinition",
            settles: Vec::new(),
            rolls_back: vec!["ecs:DeregisterTaskDefinition"],
            besides: &["ecs:TagResource"],
        };
        let mut facts = calls.into_facts();
        if params.execution_role_arn.is_some() || params.task_role_arn.is_some() {
            facts.extra_actions.push("iam:PassRole".into());
        }
        facts.residue = vec![format!("the revision of {} stays to be seen as INACTIVE", params.family)];
        facts.arns = vec![format!("arn:{{partition}}:ecs:{{region}}:{{account}}:task-definition/{}:*", params.family)];
        facts
    }

    fn example() -> Option<Params> {
        let containers = json!([{
            "name": "app",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1.0",
            "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
            "environment": [{"name": "STAGE", "value": "production"}],
            "secrets": [{"name": "PASSWORD", "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-a1b2c3"}],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/tmp"}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/ecs/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "app"},
            },
            "healthCheck": {"command": ["CMD-SHELL", "curl -f http://localhost:8080/health || exit 1"], "interval": 30},
        }]);
        let params = json!({
            "family": "app",
            "container_definitions": containers,
            "cpu": "512",
            "memory": "1024",
            "network_mode": "awsvpc",
            "requires_compatibilities": ["FARGATE"],
            "execution_role_arn": "arn:aws:iam::123456789012:role/AppExecution",
            "task_role_arn": "arn:aws:iam::123456789012:role/App",
            "runtime_platform": {"cpu_architecture": "ARM64", "operating_system_family": "LINUX"},
            "volumes": [{"name": "scratch"}],
            "tags": {"Environment": "production"},
        });
        serde_json::from_value(params).ok()
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        check_name(params.family.as_str(), "family", &mut errors);
        params.check_size(&mut errors);
        let volumes: BTreeSet<&str> = params.volumes.iter().filter_map(|v| v.name.as_deref()).collect();
        if volumes.len() < params.volumes.len() {
            errors.push(ParamError::new("volumes", "each has a `name` of its own"));
        }
        let awsvpc = params.network_mode.as_ref().is_some_and(|mode| mode.as_str() == "awsvpc");
        params.container_definitions.check(&volumes, awsvpc, &mut errors);
        if params.execution_role_arn.is_none()
            && let Some(what) = params.wants_execution_role()
        {
            errors.push(ParamError::new("execution_role_arn", format!("containers with {what} want such a role")));
        }
        for (field, role) in
            [("execution_role_arn", &params.execution_role_arn), ("task_role_arn", &params.task_role_arn)]
        {
            if let Some(role) = role {
                role.check(field, &mut errors);
            }
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Before> {
        let family = params.family.as_str();
        let mut newest_revision = None;
        for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
            let newest = newer(cx, family, status, None).await?;
            newest_revision = newest_revision.max(newest.first().and_then(|arn| revision(arn)));
        }
        Ok(Before { newest_revision })
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Before) -> OpResult<Output> {
        let family = params.family.as_str();
        let reply = client(cx)?
            .register_task_definition()
            .family(family)
            .set_container_definitions(Some(params.container_definitions.0.to_sdk()?))
            .set_cpu(params.cpu.clone())
            .set_memory(params.memory.clone())
            .set_network_mode(to_sdk(params.network_mode.as_ref())?)
            .set_requires_compatibilities(filled(&params.requires_compatibilities)?)
            .set_execution_role_arn(params.execution_role_arn.as_ref().map(ToString::to_string))
            .set_task_role_arn(params.task_role_arn.as_ref().map(ToString::to_string))
            .set_runtime_platform(to_sdk(params.runtime_platform.as_ref())?)
            .set_volumes(filled(&params.volumes)?)
            .set_tags(all_tags(cx, &params.tags))
            .send()
            .await
            .map_err(|e| op_error(Call::new("ecs:RegisterTaskDefinition", family), e))?;
        reply.task_definition().and_then(output).ok_or_else(|| nameless("ecs:RegisterTaskDefinition", family))
    }

    async fn find(&self, cx: &Cx, params: &Params, before: &Before) -> OpResult<Found<Output>> {
        let there = ours(cx, params.family.as_str(), before).await?;
        Ok(match there.and_then(|there| output(&there.definition)) {
            Some(output) => Found::Ours { output, proof: Proof::Strong },
            None => Found::Absent,
        })
    }

    async fn rollback(&self, cx: &Cx, _params: &Params, _before: &Before, out: &Output) -> OpResult<Undo> {
        let arn = out.task_definition_arn.as_str();
        if !read(cx, arn).await?.is_some_and(|there| there.is_active()) {
            return Ok(Undo::Nothing);
        }
        let done = client(cx)?.deregister_task_definition().task_definition(arn).send().await;
        done.map_err(|e| op_error(Call::new("ecs:DeregisterTaskDefinition", arn), e))?;
        let look = || async { Ok((!read(cx, arn).await?.is_some_and(|there| there.is_active())).then_some(())) };
        cx.wait_for(&format!("waiting until task definition {arn} is inactive"), POLL, look).await?;
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
        let family = params.family.as_str();
        let there = match out {
            Some(out) => read(cx, out.task_definition_arn.as_str()).await?.filter(There::is_active),
            None => ours(cx, family, before).await?,
        };
        if want == Expect::RolledBack {
            let what = format!("an active revision of {family} by this step exists");
            return Ok(Verdict::new().compare(what, false, there.is_some()));
        }
        let Some(there) = there else {
            return Ok(Verdict::new().compare(format!("an active revision of {family} exists"), true, false));
        };
        let definition = &there.definition;
        let wanted_tags = tags::all(cx, &params.tags);
        let mut verdict = Verdict::new()
            .compare("status", "ACTIVE", definition.status().map(TaskDefinitionStatus::as_str))
            .compare("family", family, definition.family())
            .compare("tags", json!(wanted_tags), json!(tags::of_those(&wanted_tags, &there.tags)));
        for (what, wanted, got) in [
            ("cpu", params.cpu.as_deref(), definition.cpu()),
            ("memory", params.memory.as_deref(), definition.memory()),
            (
                "network_mode",
                params.network_mode.as_ref().map(NetworkMode::as_str),
                definition.network_mode().map(|m| m.as_str()),
            ),
            (
                "execution_role_arn",
                params.execution_role_arn.as_ref().map(RoleArn::as_str),
                definition.execution_role_arn(),
            ),
            ("task_role_arn", params.task_role_arn.as_ref().map(RoleArn::as_str), definition.task_role_arn()),
        ] {
            if wanted.is_some() {
                verdict = verdict.compare(what, wanted, got);
            }
        }
        if !params.requires_compatibilities.is_empty() {
            let wanted: Vec<_> = params.requires_compatibilities.iter().map(Compatibility::as_str).collect();
            let got: Vec<_> = definition.requires_compatibilities().iter().map(|c| c.as_str()).collect();
            verdict = verdict.compare("requires_compatibilities", json!(sorted(&wanted)), json!(sorted(&got)));
        }
        if let Some(wanted) = &params.runtime_platform {
            let got = json!(opt::<RuntimePlatform>(definition.runtime_platform()));
            verdict = verdict.compare("runtime_platform", json!(wanted), of_those(&json!(wanted), &got));
        }
        if !params.volumes.is_empty() {
            let (wanted, got) =
                (json!(params.volumes), json!(definition.volumes().iter().map(Volume::read).collect::<Vec<_>>()));
            verdict = verdict.compare("volumes", wanted.clone(), of_those(&wanted, &got));
        }
        let containers = definition.container_definitions().iter().map(ContainerDefinition::read).collect::<Vec<_>>();
        let wanted = json!(params.container_definitions);
        let got = of_those(&wanted, &json!(containers));
        let mut verdict = verdict.compare("container_definitions", wanted, got);
        verdict.observed = json!({
            "task_definition_arn": definition.task_definition_arn(), "family": family, "revision": definition.revision(),
            "images": containers.iter().map(|c| c.image.clone()).collect::<Vec<_>>(), "tags": there.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, Script, watched};

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    fn plain() -> Value {
        json!({
            "family": "app", "cpu": "256", "memory": "512", "network_mode": "awsvpc",
            "requires_compatibilities": ["FARGATE"], "container_definitions": [{"name": "a", "image": "b"}],
        })
    }

    fn wrong(field: &str, value: Value) -> Vec<String> {
        let mut all = plain();
        all[field] = value;
        let errors = TaskDefinition.check(&params(all)).err().unwrap_or_default();
        errors.into_iter().map(|e| e.path.join(".")).collect()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        TaskDefinition.check(&TaskDefinition::example().unwrap()).unwrap();
        assert!(wrong("memory", json!("1024")).is_empty());
        assert_eq!(wrong("family", json!("a/b")), ["family"]);
        assert_eq!(wrong("memory", json!("1536")), ["memory"]);
        assert_eq!(wrong("memory", json!("1 GB")), ["memory"]);
        assert_eq!(wrong("cpu", json!("300")), ["cpu"]);
        assert_eq!(wrong("cpu", json!(null)), ["cpu"]);
        assert_eq!(wrong("network_mode", json!("bridge")), ["network_mode"]);
        assert_eq!(wrong("task_role_arn", json!("App")), ["task_role_arn"]);
        assert_eq!(wrong("volumes", json!([{"name": "a"}, {"name": "a"}])), ["volumes"]);
        let secrets = json!([{"name": "a", "image": "b", "secrets": [{"name": "S", "valueFrom": "arn"}]}]);
        assert_eq!(wrong("container_definitions", secrets), ["execution_role_arn"]);
        let one = Params { cpu: Some("1024".to_owned()), memory: Some("9216".to_owned()), ..params(plain()) };
        assert!(TaskDefinition.check(&one).unwrap_err()[0].message.contains("2048 to 8192 MiB"));
    }

    #[test]
    fn facts_name_the_family_and_what_stays() {
        let facts = TaskDefinition.facts(&params(plain()));
        assert_eq!(facts.arns, ["arn:{partition}:ecs:{region}:{account}:task-definition/app:*"]);
        assert_eq!((facts.residue.len(), facts.extra_actions.len()), (1, 1));
        let facts = TaskDefinition.facts(&TaskDefinition::example().unwrap());
        assert!(facts.extra_actions.contains(&"iam:PassRole".into()));
    }

    const ARN: &str = "arn:aws:ecs:us-east-1:1:task-definition/app";

    #[tokio::test]
    async fn the_newest_revision_is_the_before_image_active_or_not() {
        let list = |numbers: &[i32]| {
            let arns: Vec<_> = numbers.iter().map(|n| format!("{ARN}:{n}")).collect();
            Answer::Reply(200, json!({"taskDefinitionArns": arns}).to_string().leak())
        };
        let cx = watched("td", Script::new([list(&[3, 2]), list(&[7]), list(&[]), list(&[])]).config()).await.0;
        let before = TaskDefinition.capture(&cx, &params(plain())).await.unwrap();
        assert_eq!(before, Before { newest_revision: Some(7) });
        let before = TaskDefinition.capture(&cx, &params(plain())).await.unwrap();
        assert_eq!(before, Before { newest_revision: None });
    }

    #[tokio::test]
    async fn only_newer_revisions_are_looked_at_and_tags_say_which_is_ours() {
        let list = json!({"taskDefinitionArns": [format!("{ARN}:9"), format!("{ARN}:8"), format!("{ARN}:7")]});
        let described = |n: i32, step: &str| {
            let definition =
                json!({"taskDefinitionArn": format!("{ARN}:{n}"), "family": "app", "revision": n, "status": "ACTIVE"});
            let tag = |key: &str, value: &str| json!({"key": key, "value": value});
            let run = tag("switchback:run", "00000000-0000-0000-0000-000000000007");
            let tags = [run, tag("switchback:step", step), tag("switchback:generation", "1")];
            Answer::Reply(200, json!({"taskDefinition": definition, "tags": tags}).to_string().leak())
        };
        let list = Answer::Reply(200, list.to_string().leak());
        let script = Script::new([
            list.clone(),
            described(9, "other"),
            described(8, "td"),
            list,
            described(9, "x"),
            described(8, "x"),
        ]);
        let cx = watched("td", script.config()).await.0;
        let before = Before { newest_revision: Some(7) };
        let found = TaskDefinition.find(&cx, &params(plain()), &before).await.unwrap();
        assert!(matches!(found, Found::Ours { output: Output { revision: 8, .. }, proof: Proof::Strong }));
        assert_eq!(TaskDefinition.find(&cx, &params(plain()), &before).await.unwrap(), Found::Absent);
        assert_eq!(script.requests(), 6);
    }

    #[tokio::test]
    async fn what_is_inactive_is_undone() {
        let inactive = r#"{"taskDefinition":{"status":"INACTIVE"}}"#;
        let unknown = r#"{"__type":"ClientException","message":"Unable to describe task definition."}"#;
        let cx =
            watched("td", Script::new([Answer::Reply(200, inactive), Answer::Reply(400, unknown)]).config()).await.0;
        let out =
            Output { task_definition_arn: TaskDefinitionArn::new(ARN), family: TaskFamily::new("app"), revision: 1 };
        let before = Before { newest_revision: None };
        for _ in 0..2 {
            let undo = TaskDefinition.rollback(&cx, &params(plain()), &before, &out).await.unwrap();
            assert_eq!(undo, Undo::Nothing);
        }
    }
}
