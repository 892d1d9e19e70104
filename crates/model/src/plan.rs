//! A plan: a runbook, expanded and resolved. Its canonical JSON is hashed, and a run is pinned
//! to it: a resume reads the stored plan, never the runbook again.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::facts::millis;
use crate::ids::StepId;
use crate::secret::SecretRef;

/// The version of [`Plan`]'s stored form.
pub const PLAN_FORMAT_VERSION: u32 = 1;

/// A runbook, expanded and resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's own version.
    pub version: u32,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it acts on.
    pub target: Target,
    /// The inputs that are not secret, as given or by default.
    pub inputs: BTreeMap<String, Value>,
    /// The secret inputs that steps refer to; never a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretInput>,
    /// What the run does when a step fails, and how wide it runs.
    pub policy: Policy,
    /// The phases in their order; each is a barrier and its end a checkpoint.
    pub phases: Vec<String>,
    /// The steps, phase by phase, in the runbook's order.
    pub steps: Vec<PlanStep>,
    /// Files that the runbook includes: path as written, and the SHA-256 of the content in hex.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// A secret input: what the runbook says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretInput {
    /// What it is for; shown where it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it comes from when the command and its environment do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SecretFrom>,
}

/// Where a secret comes from by the runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretFrom {
    /// A file. A relative path begins where the command runs.
    File(String),
    /// A secret in Secrets Manager, in the account and region of the default target.
    SecretsManager(ManagedSecret),
}

/// A secret in Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedSecret {
    /// Its name or ARN (`GetSecretValue` SecretId).
    pub secret_id: String,
    /// The key whose text is the secret, where the value is a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_key: Option<String>,
    /// The staging label, `AWSCURRENT` by default (`GetSecretValue` VersionStage).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_stage: Option<String>,
}

/// What a plan acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The AWS account and region, where the plan touches AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsTarget>,
    /// More of them, by the name that a step's `provider` says: `aws.west`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, AwsTarget>,
}

impl Target {
    /// The name of the target of steps that name none.
    pub const AWS: &'static str = "aws";

    /// The AWS target that a step acts on, by its `provider`.
    #[must_use]
    pub fn aws_of(&self, provider: Option<&str>) -> Option<&AwsTarget> {
        match provider {
            None | Some(Self::AWS) => self.aws.as_ref(),
            Some(name) => self.more.get(name),
        }
    }

    /// Every AWS target with its name, the default one first.
    pub fn all(&self) -> impl Iterator<Item = (&str, &AwsTarget)> {
        let more = self.more.iter().map(|(name, target)| (name.as_str(), target));
        self.aws.iter().map(|target| (Self::AWS, target)).chain(more)
    }
}

/// An AWS account and region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsTarget {
    /// The region, `us-east-1`.
    pub region: String,
    /// The account that the caller must be in, twelve digits. Refused when it differs.
    pub account: String,
    /// The profile in the shared files, instead of the chain's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The role to assume with the credentials that the chain or the profile gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
    /// A URL instead of AWS's own endpoints. Without effect in the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

/// A role to assume (`AssumeRole` of STS).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    /// The role's ARN (`AssumeRole` RoleArn).
    pub role_arn: String,
    /// What the role's trust policy may ask for (`AssumeRole` ExternalId).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The name of the session; by default `switchback-` and the run's short id (`AssumeRole`
    /// RoleSessionName).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
}

/// What a run does when a step fails, and how wide it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// When a step fails for good.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How many steps may run at the same time.
    #[serde(default = "default_max_parallel")]
    pub max_parallel: u32,
    /// A run begins only with a [certificate](crate::rehearsal::Certificate) of this very plan that proves.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_rehearsal: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let on_failure = OnFailure::default();
        Self { on_failure, max_parallel: default_max_parallel(), require_rehearsal: false }
    }
}

const fn default_max_parallel() -> u32 {
    8
}

/// What happens when a step fails for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Go back to the start.
    #[default]
    Unwind,
    /// Stop and ask.
    Pause,
    /// Go back to the end of this phase, or to this step.
    UnwindTo(String),
}

/// One use of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// `vpc`, or `subnet[1a]`.
    pub id: StepId,
    /// Index into [`Plan::phases`].
    pub phase: u32,
    /// The operation's kind, `aws.ec2.vpc`.
    pub op: String,
    /// The version of the operation's stored types.
    pub op_version: u32,
    /// The target that it acts on, where it is not the default one: a key of [`Target::more`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The parameters, with references to outputs of earlier steps.
    pub params: Template,
    /// Every step that this one depends on directly: those it refers to and those it names in
    /// `needs`. Sorted, without doubles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepId>,
    /// The step's own deadline, instead of the operation's.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "option_millis")]
    pub timeout: Option<Duration>,
    /// How often a transient error is tried in all, instead of five times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The step's own policy, instead of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// More checks after the operation's own: CEL over `output` and `observed`, each must be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<String>,
    /// Unwinding past it needs a confirmation.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protect: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(b: &bool) -> bool {
    !*b
}

mod option_millis {
    use super::{Deserialize, Duration, millis};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match d {
            Some(d) => millis::serialize(d, s),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_millis))
    }
}

/// Parameters with holes: JSON in which some places are filled from outputs of earlier steps.
///
/// Every node says what it is, so a literal text that happens to look like a reference (`${...}`
/// that came in through an input) can never be taken for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// A value as it is.
    Lit(Value),
    /// A field of a step's output; keeps its type.
    Ref(OutputRef),
    /// A secret input, by its name. It becomes a [`SecretRef`], never a value.
    Secret(String),
    /// Texts and references joined to one text.
    Join(Vec<Template>),
    /// A list with holes.
    List(Vec<Template>),
    /// An object with holes.
    Map(BTreeMap<String, Template>),
}

/// `${vpc.vpc_id}`: a field of a step's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRef {
    /// The step.
    pub step: StepId,
    /// The way into its output, outermost field first.
    pub path: Vec<String>,
}

impl OutputRef {
    /// As written in a runbook, without the `${}`.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}.{}", self.step, self.path.join("."))
    }
}

/// A reference that could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnresolvedRef {
    /// The step has no output (yet).
    #[error("step `{0}` has no output")]
    NoOutput(StepId),
    /// The output lacks the field.
    #[error("the output of step `{step}` has no field `{path}`")]
    NoField {
        /// The step.
        step: StepId,
        /// The way that was looked for.
        path: String,
    },
    /// The run has no such secret on record.
    #[error("the run has no secret `{0}`")]
    NoSecret(String),
    /// A list or object cannot be part of a text.
    #[error("`{0}` is not a text, number or boolean, so it cannot be part of a text")]
    NotScalar(String),
}

impl Template {
    /// What stands at the end of this way through maps, where all of it is known before there is a run.
    #[must_use]
    pub fn known(&self, path: &[&str]) -> Option<&Value> {
        match (self, path.split_first()) {
            (Self::Lit(value), _) => path.iter().try_fold(value, |value, name| value.get(name)),
            (Self::Map(fields), Some((first, rest))) => fields.get(*first)?.known(rest),
            _ => None,
        }
    }

    /// The value before there is a run: every reference is filled in from `output`, and a secret is
    /// [known by its name](SecretRef::of_input) only.
    ///
    /// # Errors
    /// When a step has no output, or its output lacks the field.
    pub fn resolve<'a>(&self, output: &impl Fn(&StepId) -> Option<&'a Value>) -> Result<Value, UnresolvedRef> {
        self.resolve_with(output, &|name| Some(SecretRef::of_input(name)))
    }

    /// The value, with every reference filled in from `output` and every secret from `secret`.
    ///
    /// # Errors
    /// When a step has no output, its output lacks the field, or there is no such secret.
    pub fn resolve_with<'a>(
        &self,
        output: &impl Fn(&StepId) -> Option<&'a Value>,
        secret: &impl Fn(&str) -> Option<SecretRef>,
    ) -> Result<Value, UnresolvedRef> {
        Ok(match self {
            Self::Lit(value) => value.clone(),
            Self::Ref(r) => {
                let mut at = output(&r.step).ok_or_else(|| UnresolvedRef::NoOutput(r.step.clone()))?;
                for key in &r.path {
                    at = at
                        .get(key)
                        .ok_or_else(|| UnresolvedRef::NoField { step: r.step.clone(), path: r.path.join(".") })?;
                }
                at.clone()
            }
            Self::Secret(name) => secret(name).ok_or_else(|| UnresolvedRef::NoSecret(name.clone()))?.to_json(),
            Self::Join(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part.resolve_with(output, secret)? {
                        Value::String(s) => text.push_str(&s),
                        v @ (Value::Number(_) | Value::Bool(_)) => text.push_str(&v.to_string()),
                        other => return Err(UnresolvedRef::NotScalar(other.to_string())),
                    }
                }
                Value::String(text)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|i| i.resolve_with(output, secret)).collect::<Result<_, _>>()?)
            }
            Self::Map(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| Ok((k.clone(), v.resolve_with(output, secret)?)))
                    .collect::<Result<_, UnresolvedRef>>()?,
            ),
        })
    }

    /// The fields of an object that are complete as they stand, with every secret from `secret`.
    #[must_use]
    pub fn known_fields(&self, secret: &impl Fn(&str) -> Option<SecretRef>) -> Map<String, Value> {
        let Self::Map(fields) = self else { return Map::new() };
        let known = fields.iter().filter(|(_, template)| template.is_known());
        known
            .filter_map(|(name, template)| Some((name.clone(), template.resolve_with(&|_| None, secret).ok()?)))
            .collect()
    }

    /// Every reference in it.
    pub fn refs(&self) -> Vec<&OutputRef> {
        let mut out = Vec::new();
        self.visit(&mut |part| {
            if let Self::Ref(r) = part {
                out.push(r);
            }
        });
        out
    }

    /// The name of every secret input in it, in the order of their places.
    pub fn secrets(&self) -> Vec<&str> {
        let mut out = Vec::new();
        self.visit(&mut |part| {
            if let Self::Secret(name) = part {
                out.push(name.as_str());
            }
        });
        out
    }

    /// A secret that is a part of a text, which no good plan has.
    #[must_use]
    pub fn secret_in_text(&self) -> Option<&str> {
        let mut found = None;
        self.visit(&mut |part| {
            if let Self::Join(_) = part {
                found = found.or(part.secrets().first().copied());
            }
        });
        found
    }

    /// Shows `see` this part and all inside of it.
    fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Lit(_) | Self::Ref(_) | Self::Secret(_) => {}
            Self::Join(items) | Self::List(items) => items.iter().for_each(|i| i.visit(see)),
            Self::Map(map) => map.values().for_each(|i| i.visit(see)),
        }
    }

    /// Whether it is complete as it stands, so that `capture` can run in the preflight.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match self {
            Self::Lit(_) | Self::Secret(_) => true,
            Self::Ref(_) => false,
            Self::Join(items) | Self::List(items) => items.iter().all(Self::is_known),
            Self::Map(map) => map.values().all(Self::is_known),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reference(step: &str, field: &str) -> Template {
        Template::Ref(OutputRef { step: step.into(), path: vec![field.to_owned()] })
    }

    #[test]
    fn a_reference_keeps_its_type_and_a_join_makes_text() {
        let output = json!({"port": 5432, "tags": {"a": "b"}});
        let get = |id: &StepId| (id.as_str() == "db").then_some(&output);
        assert_eq!(reference("db", "port").resolve(&get), Ok(json!(5432)));
        let url = Template::Join(vec![Template::Lit(json!("tcp://")), reference("db", "port")]);
        assert_eq!(url.resolve(&get), Ok(json!("tcp://5432")));
        assert!(Template::Join(vec![reference("db", "tags")]).resolve(&get).is_err());
        assert!(reference("db", "host").resolve(&get).is_err());
        assert!(reference("nobody", "host").resolve(&get).is_err());
    }

    #[test]
    fn a_secret_becomes_what_is_stored_of_it() {
        let t = Template::Map([("password".to_owned(), Template::Secret("db".into()))].into());
        assert!(t.is_known());
        assert_eq!(t.secrets(), ["db"]);
        let planned = t.resolve(&|_| None).unwrap();
        assert_eq!(planned, json!({"password": {"source": "inputs.db", "fingerprint": ""}}));
        let of = SecretRef { source: "prompt".into(), version: None, fingerprint: "ab".into() };
        let run = t.resolve_with(&|_| None, &|name| (name == "db").then(|| of.clone())).unwrap();
        assert_eq!(run, json!({"password": {"source": "prompt", "fingerprint": "ab"}}));
        assert_eq!(t.resolve_with(&|_| None, &|_| None), Err(UnresolvedRef::NoSecret("db".into())));
        assert_eq!(Template::Join(vec![t]).resolve(&|_| None).ok(), None, "never a part of a text");
    }

    #[test]
    fn a_literal_that_looks_like_a_reference_stays_a_literal() {
        let t = Template::Lit(json!({"ref": {"step": "vpc", "path": ["id"]}, "x": "${vpc.id}"}));
        let text = serde_json::to_string(&t).unwrap();
        let back: Template = serde_json::from_str(&text).unwrap();
        assert_eq!(back, t);
        assert!(back.is_known() && back.refs().is_empty());
    }
}
