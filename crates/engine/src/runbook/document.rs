//! What a runbook consists of. The JSON Schema of the file is made from these types, so their
//! comments are what an editor shows; `reader` fills them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use switchback_model::plan::OnFailure;

use super::node::{Entry, Node, Spanned, Text};
use super::source::Span;

/// A runbook: what to do, phase by phase, and what it needs to know.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Runbook {
    /// The name of the runbook.
    #[schemars(rename = "runbook")]
    pub name: Spanned<String>,
    /// The runbook's own version: raise it when what it does changes.
    pub version: u32,
    /// What it is for.
    #[schemars(default)]
    pub description: String,
    /// What it acts on. A run is refused when the caller is somewhere else.
    #[schemars(default)]
    pub target: TargetSpec,
    /// What has to be known before it can be planned. Given by `--input NAME=VALUE`.
    #[schemars(default, with = "BTreeMap<String, InputSpec>")]
    pub inputs: Vec<InputSpec>,
    /// What a run does when a step fails, and how wide it runs.
    #[schemars(default)]
    pub policy: PolicySpec,
    /// The phases in their order. Each is a barrier in both directions, and its end a checkpoint.
    pub phases: Vec<PhaseSpec>,
    /// Where the key `inputs` stands, for errors about inputs that are not declared.
    #[schemars(skip)]
    pub inputs_key: Option<Span>,
}

impl Runbook {
    pub(crate) const KEYS: &[&'static str] =
        &["runbook", "version", "description", "target", "inputs", "policy", "phases"];
}

/// What a runbook acts on.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[schemars(extend("patternProperties" = { "^aws\\.[a-z][a-z0-9_]*$": { "$ref": "#/definitions/AwsTargetSpec" } }))]
pub struct TargetSpec {
    /// The AWS account and region of steps that name no other.
    pub aws: Option<AwsTargetSpec>,
    /// More of them, by name: `aws.west`. A step names it as its `provider`.
    #[schemars(skip)]
    pub more: Vec<(Spanned<String>, AwsTargetSpec)>,
}

impl TargetSpec {
    pub(crate) const KEYS: &[&'static str] = &["aws"];
}

/// An AWS account and region, and how it is reached. References to inputs are allowed; secrets are
/// not.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AwsTargetSpec {
    /// The region, `us-east-1`.
    pub region: Spanned<Text>,
    /// The account that the caller must be in: twelve digits, in quotes.
    pub account: Spanned<Text>,
    /// The profile in the shared files, instead of the choice of the standard chain.
    #[schemars(with = "Option<String>")]
    pub profile: Option<Spanned<Text>>,
    /// The role to assume with the credentials that the chain or the profile gives.
    pub assume_role: Option<AssumeRoleSpec>,
    /// A URL instead of AWS's own endpoints. Beats `--endpoint-url`; without effect in the sandbox.
    #[schemars(with = "Option<String>")]
    pub endpoint_url: Option<Spanned<Text>>,
}

impl AwsTargetSpec {
    pub(crate) const KEYS: &[&'static str] = &["region", "account", "profile", "assume_role", "endpoint_url"];
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AssumeRoleSpec {
    /// The role's ARN.
    pub role_arn: Spanned<Text>,
    /// What the role's trust policy may ask for.
    #[schemars(with = "Option<String>")]
    pub external_id: Option<Spanned<Text>>,
    /// The name of the session, `switchback-` and the run's short id by default.
    #[schemars(with = "Option<String>")]
    pub session_name: Option<Spanned<Text>>,
}

impl AssumeRoleSpec {
    pub(crate) const KEYS: &[&'static str] = &["role_arn", "external_id", "session_name"];
}

/// Something that has to be known before the runbook can be planned.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct InputSpec {
    /// Its name, as in `${inputs.NAME}`.
    #[schemars(skip)]
    pub name: Spanned<String>,
    /// What kind of value it is.
    #[schemars(rename = "type")]
    pub kind: InputType,
    /// The value when none is given.
    pub default: Option<Node>,
    /// What it is for; shown when it is missing.
    pub description: Option<String>,
    /// A regular expression that must be found in a text.
    pub pattern: Option<Spanned<String>>,
    /// Where a secret comes from when neither the environment nor `--secret-file` says.
    pub from: Option<SecretFromSpec>,
}

impl InputSpec {
    pub(crate) const KEYS: &[&'static str] = &["type", "default", "description", "pattern", "from"];
}

/// Where a secret comes from: one of the two. References to inputs are allowed; secrets are not.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum SecretFromSpec {
    /// A file. A relative path begins where the command runs; one newline at the end is dropped.
    File(Spanned<Text>),
    /// A secret in Secrets Manager, in the account and region of `target.aws`.
    SecretsManager(ManagedSecretSpec),
}

impl SecretFromSpec {
    pub(crate) const KEYS: &[&'static str] = &["file", "secrets_manager"];
}

/// A secret in Secrets Manager.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ManagedSecretSpec {
    /// Its name or ARN.
    pub secret_id: Spanned<Text>,
    /// The key whose text is the secret, where the value is a JSON object.
    #[schemars(with = "Option<String>")]
    pub json_key: Option<Spanned<Text>>,
    /// The staging label, `AWSCURRENT` by default.
    #[schemars(with = "Option<String>")]
    pub version_stage: Option<Spanned<Text>>,
}

impl ManagedSecretSpec {
    pub(crate) const KEYS: &[&'static str] = &["secret_id", "json_key", "version_stage"];
}

/// What kind of value an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum InputType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list, given as JSON or YAML.
    List,
    /// A map, given as JSON or YAML.
    Map,
    /// A text that is never written down: from SWITCHBACK_INPUT_NAME, a file, Secrets Manager or a
    /// prompt. It may stand, alone, only where an operation takes a secret.
    Secret,
}

impl InputType {
    /// Every type, in the order in which messages list them.
    pub(crate) const ALL: [Self; 7] =
        [Self::String, Self::Integer, Self::Number, Self::Boolean, Self::List, Self::Map, Self::Secret];

    /// As written in a runbook.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Map => "map",
            Self::Secret => "secret",
        }
    }
}

/// What a run does when a step fails, and how wide it runs.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PolicySpec {
    /// When a step fails for good: `unwind` (the default), `pause`, or `{ unwind_to: PHASE|STEP }`.
    #[schemars(with = "Option<OnFailure>")]
    pub on_failure: Option<OnFailureSpec>,
    /// How many steps may run at the same time. 8 by default.
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u32>,
    /// A run begins only when this very plan was rehearsed in full and nothing was found
    /// (`switchback rehearse FILE`).
    #[schemars(default)]
    pub require_rehearsal: bool,
}

impl PolicySpec {
    pub(crate) const KEYS: &[&'static str] = &["on_failure", "max_parallel", "require_rehearsal"];
}

/// What happens when a step fails for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnFailureSpec {
    /// Go back to the start.
    Unwind,
    /// Stop and ask.
    Pause,
    /// Go back to the end of this phase, or to this step.
    UnwindTo(Spanned<String>),
}

/// A phase: it begins when the one before it is verified.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PhaseSpec {
    /// Its name, which is also the name of the checkpoint at its end.
    pub name: Spanned<String>,
    /// Its steps. They run as their dependencies allow, not in this order.
    pub steps: Vec<StepSpec>,
}

impl PhaseSpec {
    pub(crate) const KEYS: &[&'static str] = &["name", "steps"];
}

/// A step: one use of an operation.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StepSpec {
    /// Its id, unique in the runbook: `${id.field}` refers to its output.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]*$"))]
    pub id: Spanned<String>,
    /// The kind of the operation, `aws.ec2.vpc`.
    pub op: Spanned<String>,
    /// The target that it acts on, `aws.NAME`, instead of `target.aws`.
    #[schemars(with = "Option<String>")]
    pub provider: Option<Spanned<Text>>,
    /// The operation's parameters.
    pub with: Option<Node>,
    /// Steps that must be verified before this one begins, beside those that it refers to.
    #[schemars(default, with = "Vec<String>")]
    pub needs: Vec<Spanned<Text>>,
    /// Makes one step for each element of a map or list: `${each.key}` and `${each.value}`.
    pub for_each: Option<Node>,
    /// A condition in CEL over `inputs` and `each`. The step is left out when it is false.
    #[schemars(with = "Option<String>")]
    pub when: Option<Spanned<Text>>,
    /// The step's own deadline, such as `5m`.
    #[schemars(with = "Option<String>", regex(pattern = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"))]
    pub timeout: Option<Duration>,
    /// How transient errors are retried.
    pub retry: Option<RetrySpec>,
    /// The step's own policy, instead of the run's.
    #[schemars(with = "Option<OnFailure>")]
    pub on_failure: Option<OnFailureSpec>,
    /// More checks in CEL over `output` and `observed`; each must be true.
    #[schemars(default, with = "Vec<String>")]
    pub verify: Vec<Spanned<Text>>,
    /// Unwinding past this step needs a confirmation.
    #[schemars(default)]
    pub protect: bool,
    /// Where the step stands.
    #[schemars(skip)]
    pub span: Span,
}

impl StepSpec {
    pub(crate) const KEYS: &[&'static str] = &[
        "id",
        "op",
        "provider",
        "with",
        "needs",
        "for_each",
        "when",
        "timeout",
        "retry",
        "on_failure",
        "verify",
        "protect",
    ];

    /// The parameters; empty when there are none.
    #[must_use]
    pub fn params(&self) -> &[Entry] {
        match self.with.as_ref().map(|n| &n.value) {
            Some(super::node::NodeValue::Map(entries)) => entries,
            _ => &[],
        }
    }
}

/// How transient errors are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RetrySpec {
    /// How often it is tried in all. 5 by default.
    #[schemars(range(min = 1))]
    pub attempts: u32,
}

impl RetrySpec {
    pub(crate) const KEYS: &[&'static str] = &["attempts"];
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Node".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of the reader and the fields of the schema are the same, so an editor and
    /// `validate` agree.
    #[test]
    fn the_reader_knows_the_keys_of_the_schema() {
        let schema = schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<Runbook>();
        let keys = |pointer: &str, known: &[&str]| {
            let fields = schema.as_value().pointer(pointer).and_then(|p| p.get("properties")?.as_object()).unwrap();
            let mut fields: Vec<&str> = fields.keys().map(String::as_str).collect();
            let mut known = known.to_vec();
            fields.sort_unstable();
            known.sort_unstable();
            assert_eq!(fields, known, "{pointer}");
        };
        keys("", Runbook::KEYS);
        keys("/definitions/TargetSpec", TargetSpec::KEYS);
        keys("/definitions/AwsTargetSpec", AwsTargetSpec::KEYS);
        keys("/definitions/AssumeRoleSpec", AssumeRoleSpec::KEYS);
        keys("/definitions/ManagedSecretSpec", ManagedSecretSpec::KEYS);
        keys("/definitions/InputSpec", InputSpec::KEYS);
        keys("/definitions/PolicySpec", PolicySpec::KEYS);
        keys("/definitions/PhaseSpec", PhaseSpec::KEYS);
        keys("/definitions/StepSpec", StepSpec::KEYS);
        keys("/definitions/RetrySpec", RetrySpec::KEYS);
        let from = schema.as_value().pointer("/definitions/SecretFromSpec").unwrap().to_string();
        assert!(SecretFromSpec::KEYS.iter().all(|k| from.contains(&format!("\"{k}\""))), "{from}");
        let types = schema.as_value().pointer("/definitions/InputType").unwrap().to_string();
        assert!(InputType::ALL.iter().all(|t| types.contains(&format!("\"{}\"", t.name()))), "{types}");
    }
}
