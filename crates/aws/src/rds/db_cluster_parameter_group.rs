//! `aws.rds.db_cluster_parameter_group`: settings of the engine for the clusters that use it.
//!
//! The settings are no fields of `CreateDBClusterParameterGroup`: `settle` makes them with
//! `ModifyDBClusterParameterGroup`, twenty a call, whatever they are now; setting one twice is setting it
//! once. A dynamic setting applies at once, a static one with the next restart. Those that matter when a
//! cluster is first made (its character set) want five minutes between the group and the cluster, says
//! AWS.

use std::collections::BTreeMap;

use aws_sdk_rds::types::{ApplyMethod, DbClusterParameterGroup as Described, Parameter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use switchback_engine::operation::ParamError;
use switchback_engine::{Cx, Expect, Found, Operation, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpError, OpResult};

use super::{checks, client, nameless, tag_list, tags_of, unless_gone};
use crate::calls::{Absent, Calls};
use crate::errors::{Call, op_error};
use crate::ids::{DbClusterParameterGroupArn, DbClusterParameterGroupName};
use crate::named::{self, Named};
use crate::tags::{self, Tags};

/// How many settings one call takes.
const MOST_A_CALL: usize = 20;

/// A DB cluster parameter group: the settings of a family of databases.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The name: 1 to 255 letters, digits and hyphens, a letter first; RDS lower-cases it
    /// (`CreateDBClusterParameterGroup` DBClusterParameterGroupName).
    pub db_cluster_parameter_group_name: DbClusterParameterGroupName,
    /// The engine and major version that it is for, `aurora-postgresql16`
    /// (`CreateDBClusterParameterGroup` DBParameterGroupFamily).
    pub db_parameter_group_family: String,
    /// What it is for (`CreateDBClusterParameterGroup` Description).
    pub description: String,
    /// The settings by name, as text: `{ "rds.force_ssl": "1" }` (`ModifyDBClusterParameterGroup` Parameters).
    /// What is not named keeps the engine's default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Tags, beside those that say whose it is (`CreateDBClusterParameterGroup` Tags).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What later steps may refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name, in lower case.
    pub db_cluster_parameter_group_name: DbClusterParameterGroupName,
    /// Its ARN.
    pub db_cluster_parameter_group_arn: DbClusterParameterGroupArn,
}

/// The operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct DbClusterParameterGroup;

impl Params {
    fn name(&self) -> String {
        self.db_cluster_parameter_group_name.as_str().to_ascii_lowercase()
    }

    /// The calls that make the settings: what each of them sets. `engine` is what the engine says of its
    /// settings.
    fn changes(&self, engine: &[Parameter]) -> OpResult<Vec<Vec<Parameter>>> {
        let mut all = Vec::new();
        for (name, value) in &self.parameters {
            let of_engine = engine.iter().find(|p| p.parameter_name() == Some(name));
            if of_engine.is_some_and(|p| p.is_modifiable() == Some(false)) {
                let family = &self.db_parameter_group_family;
                return Err(OpError::permanent(format!("`{name}` of {family} cannot be changed")));
            }
            // What is not known to be dynamic waits for a restart, which every setting bears.
            let dynamic = of_engine.and_then(Parameter::apply_type) == Some("dynamic");
            let method = if dynamic { ApplyMethod::Immediate } else { ApplyMethod::PendingReboot };
            all.push(Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method).build());
        }
        Ok(all.chunks(MOST_A_CALL).map(<[Parameter]>::to_vec).collect())
    }
}

fn output(group: &Described) -> Output {
    let name = group.db_cluster_parameter_group_name().unwrap_or_default();
    let arn = group.db_cluster_parameter_group_arn().unwrap_or_default();
    Output {
        db_cluster_parameter_group_name: DbClusterParameterGroupName::new(name),
        db_cluster_parameter_group_arn: DbClusterParameterGroupArn::new(arn),
    }
}

/// A group with its tags.
pub(super) struct Group {
    described: Described,
    tags: Tags,
}

impl Named for Group {
    const WHAT: &'static str = "DB cluster parameter group";

    async fn read(cx: &Cx, name: &str) -> OpResult<Option<Self>> {
        let call = Call::new("rds:DescribeDBClusterParameterGroups", name);
        let sent =
            client(cx)?.describe_db_cluster_parameter_groups().db_cluster_parameter_group_name(name).send().await;
        let reply = unless_gone(sent.map_err(|e| op_error(call, e)))?;
        let mut groups = reply.and_then(|r| r.db_cluster_parameter_groups).unwrap_or_default().into_iter();
        let same = |g: &Described| g.db_cluster_parameter_group_name().is_some_and(|n| n.eq_ignore_ascii_case(name));
        let Some(described) = groups.find(same) else { return Ok(None) };
        let tags = tags_of(cx, described.db_cluster_parameter_group_arn().unwrap_or_default()).await?;
        Ok(tags.map(|tags| Self { described, tags }))
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn id(&self) -> &str {
        self.described.db_cluster_parameter_group_arn().unwrap_or_default()
    }
}

/// Every setting of the group, the engine's defaults too.
async fn settings(cx: &Cx, name: &str) -> OpResult<Vec<Parameter>> {
    let pages = client(cx)?
        .describe_db_cluster_parameters()
        .db_cluster_parameter_group_name(name)
        .into_paginator()
        .items()
        .send();
    let call = Call::new("rds:DescribeDBClusterParameters", name).just_made();
    pages.try_collect().await.map_err(|e| op_error(call, e))
}

/// The settings that are asked for, as they are now.
fn of_those(wanted: &BTreeMap<String, String>, there: &[Parameter]) -> BTreeMap<String, String> {
    let set = there.iter().filter_map(|p| Some((p.parameter_name()?.to_owned(), p.parameter_value()?.to_owned())));
    set.filter(|(name, _)| wanted.contains_key(name)).collect()
}

impl Operation for DbClusterParameterGroup {
    const KIND: &'static str = "aws.rds.db_cluster_parameter_group";
    const VERSION: u32 = 1;
    type Params = Params;
    type Before = Absent;
    type Output = Output;

    fn facts(&self, params: &Params) -> Facts {
        let calls = Calls {
            reads: &[
                "rds:DescribeDBClusterParameterGroups",
                "rds:DescribeDBClusterParameters",
                "rds:ListTagsForResource",
            ],
            creates: "rds:CreateDBClusterParameterGroup",
            settles: vec!["rds:ModifyDBClusterParameterGroup"; params.parameters.len().div_ceil(MOST_A_CALL)],
            rolls_back: vec!["rds:DeleteDBClusterParameterGroup"],
            besides: &["rds:AddTagsToResource"],
        };
        let arn = format!("arn:{{partition}}:rds:{{region}}:{{account}}:cluster-pg:{}", params.name());
        Facts { unique: true, arns: vec![arn], ..calls.into_facts() }
    }

    fn example() -> Option<Params> {
        Some(Params {
            db_cluster_parameter_group_name: DbClusterParameterGroupName::new("app-postgres16"),
            db_parameter_group_family: "aurora-postgresql16".to_owned(),
            description: "the app's settings".to_owned(),
            parameters: BTreeMap::from([
                ("log_min_duration_statement".to_owned(), "1000".to_owned()),
                ("rds.force_ssl".to_owned(), "1".to_owned()),
            ]),
            tags: BTreeMap::from([("Name".to_owned(), "app-postgres16".to_owned())]),
        })
    }

    fn check(&self, params: &Params) -> Result<(), Vec<ParamError>> {
        let mut errors = Vec::new();
        let name = params.db_cluster_parameter_group_name.as_str();
        checks::identifier(name, 255, "db_cluster_parameter_group_name", &mut errors);
        if name.to_ascii_lowercase().starts_with("default") {
            let message = "names that begin with `default` are RDS's own";
            errors.push(ParamError::new("db_cluster_parameter_group_name", message));
        }
        if params.db_parameter_group_family.is_empty() {
            errors.push(ParamError::new("db_parameter_group_family", "is empty; `aurora-postgresql16` is one"));
        }
        checks::description(&params.description, "description", &mut errors);
        for (setting, value) in &params.parameters {
            let wrong = match (setting.is_empty(), value.is_empty()) {
                (true, _) => "a setting has a name",
                (_, true) => "a setting has a value; leave it out for the engine's default",
                _ => continue,
            };
            errors.push(ParamError { path: vec!["parameters".to_owned(), setting.clone()], message: wrong.to_owned() });
        }
        tags::check(&params.tags, &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn capture(&self, cx: &Cx, params: &Params) -> OpResult<Absent> {
        named::capture::<Group>(cx, &params.name()).await
    }

    async fn foresee(&self, cx: &Cx, known: &Map<String, Value>) -> OpResult<()> {
        super::foresee::<Group>(cx, known, "db_cluster_parameter_group_name").await
    }

    async fn create(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Output> {
        let name = params.name();
        let about = format!("DB cluster parameter group `{name}`");
        let reply = client(cx)?
            .create_db_cluster_parameter_group()
            .db_cluster_parameter_group_name(&name)
            .db_parameter_group_family(&params.db_parameter_group_family)
            .description(&params.description)
            .set_tags(Some(tag_list(cx, &params.tags)))
            .send()
            .await
            .map_err(|e| op_error(Call::new("rds:CreateDBClusterParameterGroup", &about), e))?;
        let made = reply.db_cluster_parameter_group().filter(|g| g.db_cluster_parameter_group_arn().is_some());
        made.map(output).ok_or_else(|| nameless("rds:CreateDBClusterParameterGroup", &about))
    }

    async fn settle(&self, cx: &Cx, params: &Params, _before: &Absent, out: &Output) -> OpResult<Output> {
        let name = params.name();
        if params.parameters.is_empty() {
            return Ok(out.clone());
        }
        named::ours_there::<Group>(cx, &name).await?;
        for (n, change) in params.changes(&settings(cx, &name).await?)?.into_iter().enumerate() {
            if n > 0 {
                named::ours_there::<Group>(cx, &name).await?;
            }
            let call = Call::new("rds:ModifyDBClusterParameterGroup", &name).just_made();
            client(cx)?
                .modify_db_cluster_parameter_group()
                .db_cluster_parameter_group_name(&name)
                .set_parameters(Some(change))
                .send()
                .await
                .map_err(|e| op_error(call, e))?;
        }
        Ok(out.clone())
    }

    async fn find(&self, cx: &Cx, params: &Params, _before: &Absent) -> OpResult<Found<Output>> {
        named::find::<Group, _>(cx, &params.name(), |g| output(&g.described)).await
    }

    /// What uses it keeps it: RDS refuses with `InvalidDBParameterGroupState` until the last cluster with
    /// it is gone.
    async fn rollback(&self, cx: &Cx, params: &Params, _before: &Absent, _out: &Output) -> OpResult<Undo> {
        let name = params.name();
        if named::ours::<Group>(cx, &name).await?.is_none() {
            return Ok(Undo::Nothing);
        }
        let deleted =
            client(cx)?.delete_db_cluster_parameter_group().db_cluster_parameter_group_name(&name).send().await;
        let deleted = deleted.map_err(|e| op_error(Call::new("rds:DeleteDBClusterParameterGroup", &name), e));
        if unless_gone(deleted)?.is_none() {
            return Ok(Undo::Nothing);
        }
        named::wait_until_gone::<Group>(cx, &name, named::POLL).await?;
        Ok(Undo::Done)
    }

    async fn verify(
        &self,
        cx: &Cx,
        params: &Params,
        _before: &Absent,
        _out: Option<&Output>,
        want: Expect,
    ) -> OpResult<Verdict> {
        let name = params.name();
        if want == Expect::RolledBack {
            return named::verify_gone::<Group>(cx, &name).await;
        }
        let Some(group) = Group::read(cx, &name).await? else { return Ok(named::missing::<Group>(&name)) };
        let there = &group.described;
        let family = there.db_parameter_group_family();
        let mut verdict = named::verdict(cx, &group, &params.tags)
            .compare("db_parameter_group_family", params.db_parameter_group_family.as_str(), family)
            .compare("description", params.description.as_str(), there.description());
        let mut set = BTreeMap::new();
        if !params.parameters.is_empty() {
            set = of_those(&params.parameters, &settings(cx, &name).await?);
            verdict = verdict.compare("parameters", json!(params.parameters), json!(set));
        }
        verdict.observed = json!({
            "db_cluster_parameter_group_name": there.db_cluster_parameter_group_name(),
            "db_cluster_parameter_group_arn": there.db_cluster_parameter_group_arn(),
            "db_parameter_group_family": family, "parameters": set, "tags": group.tags,
        });
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(settings: &[(String, String)]) -> Params {
        Params {
            db_cluster_parameter_group_name: DbClusterParameterGroupName::new("App"),
            db_parameter_group_family: "aurora-postgresql16".to_owned(),
            description: "x".to_owned(),
            parameters: settings.iter().cloned().collect(),
            tags: BTreeMap::new(),
        }
    }

    fn of_engine(name: &str, kind: &str, modifiable: bool) -> Parameter {
        Parameter::builder().parameter_name(name).apply_type(kind).is_modifiable(modifiable).build()
    }

    #[test]
    fn parameters_are_held_to_the_rules() {
        let wrong = |p: &Params| -> Vec<String> {
            let errors = DbClusterParameterGroup.check(p).err().unwrap_or_default();
            errors.into_iter().map(|e| e.path.join(".")).collect()
        };
        assert!(wrong(&params(&[("rds.force_ssl".into(), "1".into())])).is_empty());
        assert!(wrong(&DbClusterParameterGroup::example().unwrap()).is_empty());
        assert_eq!(wrong(&params(&[("rds.force_ssl".into(), String::new())])), ["parameters.rds.force_ssl"]);
        for name in ["default.aurora", "default-mine", "1a", "a--b", "a-", ""] {
            let name = DbClusterParameterGroupName::new(name);
            let found = wrong(&Params { db_cluster_parameter_group_name: name.clone(), ..params(&[]) });
            assert!(found.iter().all(|f| f == "db_cluster_parameter_group_name") && !found.is_empty(), "{name}");
        }
        assert_eq!(wrong(&Params { description: String::new(), ..params(&[]) }), ["description"]);
        let no_family = Params { db_parameter_group_family: String::new(), ..params(&[]) };
        assert_eq!(wrong(&no_family), ["db_parameter_group_family"]);
    }

    #[test]
    fn settings_go_out_twenty_a_call_as_declared() {
        for (settings, calls) in [(0, 0), (1, 1), (20, 1), (21, 2), (40, 2)] {
            let many: Vec<_> = (0..settings).map(|n| (format!("p{n:02}"), "1".to_owned())).collect();
            let params = params(&many);
            assert_eq!(DbClusterParameterGroup.facts(&params).settles.len(), calls);
            let changes = params.changes(&[]).unwrap();
            assert_eq!(changes.len(), calls);
            assert_eq!(changes.iter().map(Vec::len).sum::<usize>(), settings);
            assert!(changes.iter().all(|c| c.len() <= MOST_A_CALL));
        }
    }

    #[test]
    fn a_dynamic_setting_applies_at_once_and_a_static_one_with_a_restart() {
        let engine =
            [of_engine("a", "dynamic", true), of_engine("b", "static", true), of_engine("c", "dynamic", false)];
        let change = |name: &str| params(&[(name.to_owned(), "1".to_owned())]).changes(&engine);
        let method = |name| change(name).unwrap()[0][0].apply_method().cloned();
        assert_eq!(method("a"), Some(ApplyMethod::Immediate));
        assert_eq!(method("b"), Some(ApplyMethod::PendingReboot));
        assert_eq!(method("unknown"), Some(ApplyMethod::PendingReboot));
        assert_eq!(change("c").unwrap_err().message, "`c` of aurora-postgresql16 cannot be changed");
    }

    #[test]
    fn only_what_was_asked_for_is_compared() {
        let set = |name: &str, value: &str| Parameter::builder().parameter_name(name).parameter_value(value).build();
        let wanted = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let there = [set("a", "1"), set("c", "3"), Parameter::builder().parameter_name("b").build()];
        assert_eq!(of_those(&wanted, &there), BTreeMap::from([("a".to_owned(), "1".to_owned())]));
    }
}
