//! Operations that do nothing and have interesting parameters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::{Future, ready};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use switchback_engine::operation::ParamError;
use switchback_engine::planner::{Planned, plan_runbook};
use switchback_engine::runbook::{Diagnostics, Source};
use switchback_engine::{Cx, Expect, Found, Operation, Registry, Undo, Verdict};
use switchback_model::facts::Facts;
use switchback_model::{OpResult, SecretRef};

/// The way the AWS operations write their ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-switchback-id" = "VpcId", "pattern" = "^vpc-[0-9a-f]+$"))]
pub(crate) struct VpcId(pub(crate) String);

/// Another kind of id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-switchback-id" = "SubnetId", "pattern" = "^subnet-[0-9a-f]+$"))]
pub(crate) struct SubnetId(pub(crate) String);

/// A text with a form that only the operation knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cidr(pub(crate) String);

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Cidr {
    fn check(&self, field: &str) -> Result<(), Vec<ParamError>> {
        let good = self.0.split_once('/').is_some_and(|(_, bits)| bits.parse::<u8>().is_ok_and(|b| b <= 32));
        if good { Ok(()) } else { Err(vec![ParamError::new(field, format!("`{}` is not a CIDR block", self.0))]) }
    }
}

/// A private network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VpcParams {
    /// The range of its addresses.
    pub(crate) cidr_block: Cidr,
    /// Whether DNS names are given.
    #[serde(default)]
    pub(crate) dns: bool,
    /// On which machines.
    #[serde(default)]
    pub(crate) tenancy: Tenancy,
    /// Its tags.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
}

/// On which machines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tenancy {
    /// On shared ones.
    #[default]
    Shared,
    /// On one's own.
    Dedicated,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VpcOutput {
    pub(crate) vpc_id: VpcId,
    pub(crate) arn: String,
    pub(crate) cidr: Range,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Range {
    pub(crate) block: String,
    pub(crate) size: u32,
}

/// A part of a private network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubnetParams {
    /// The network.
    pub(crate) vpc_id: VpcId,
    /// The range of its addresses.
    pub(crate) cidr_block: Cidr,
    /// The zone.
    pub(crate) availability_zone: Option<String>,
    /// A number.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubnetOutput {
    pub(crate) subnet_id: SubnetId,
    pub(crate) public_id: Option<SubnetId>,
}

/// Subnets by a name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupParams {
    /// The name.
    #[schemars(length(min = 1, max = 40))]
    pub(crate) name: String,
    /// The subnets.
    pub(crate) subnet_ids: Vec<SubnetId>,
    /// Rules.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) port: u16,
    pub(crate) from: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GroupOutput {
    pub(crate) name: String,
}

/// Takes anything.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EchoParams {
    /// A text.
    pub(crate) text: Option<String>,
    /// Any value.
    pub(crate) any: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct EchoOutput {
    pub(crate) text: String,
    pub(crate) count: u32,
}

/// A user with a password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserParams {
    /// The name.
    pub(crate) name: String,
    /// The password.
    pub(crate) password: SecretRef,
    /// Another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<SecretRef>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct UserOutput {
    pub(crate) name: String,
    pub(crate) password: SecretRef,
}

/// Any parameters.
pub(crate) type AnyParams = BTreeMap<String, serde_json::Value>;

/// What the operations of the real runbook give.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AnyOutput {
    pub(crate) db_cluster_identifier: String,
    pub(crate) db_subnet_group_name: String,
    pub(crate) group_id: String,
    pub(crate) internet_gateway_id: String,
    pub(crate) policy_arn: String,
    pub(crate) role_name: String,
    pub(crate) route_table_id: String,
    pub(crate) subnet_id: String,
    pub(crate) vpc_id: String,
}

macro_rules! fake {
    ($name:ident, $kind:literal, $params:ty, $output:ty, $check:expr) => {
        pub(crate) struct $name;

        impl Operation for $name {
            const KIND: &'static str = $kind;
            const VERSION: u32 = 1;
            type Params = $params;
            type Before = ();
            type Output = $output;

            fn facts(&self, _: &$params) -> Facts {
                Facts::without_effect()
            }
            fn check(&self, params: &$params) -> Result<(), Vec<ParamError>> {
                let check: fn(&$params) -> Result<(), Vec<ParamError>> = $check;
                check(params)
            }
            fn capture(&self, _: &Cx, _: &$params) -> impl Future<Output = OpResult<()>> + Send {
                ready(Ok(()))
            }
            fn create(&self, _: &Cx, _: &$params, (): &()) -> impl Future<Output = OpResult<$output>> + Send {
                ready(Err(switchback_model::OpError::permanent("a fake")))
            }
            fn find(&self, _: &Cx, _: &$params, (): &()) -> impl Future<Output = OpResult<Found<$output>>> + Send {
                ready(Ok(Found::Absent))
            }
            fn rollback(
                &self,
                _: &Cx,
                _: &$params,
                (): &(),
                _: &$output,
            ) -> impl Future<Output = OpResult<Undo>> + Send {
                ready(Ok(Undo::Nothing))
            }
            fn verify(
                &self,
                _: &Cx,
                _: &$params,
                (): &(),
                _: Option<&$output>,
                _: Expect,
            ) -> impl Future<Output = OpResult<Verdict>> + Send {
                ready(Ok(Verdict::new()))
            }
        }
    };
}

fake!(Vpc, "net.vpc", VpcParams, VpcOutput, |p| p.cidr_block.check("cidr_block"));
fake!(Subnet, "net.subnet", SubnetParams, SubnetOutput, |p| p.cidr_block.check("cidr_block"));
fake!(Group, "net.group", GroupParams, GroupOutput, |_| Ok(()));
fake!(User, "test.user", UserParams, UserOutput, |_| Ok(()));
fake!(Any, "test.any", AnyParams, AnyOutput, |_| Ok(()));
fake!(Echo, "test.echo", EchoParams, EchoOutput, |_| Ok(()));

pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.register(Vpc).unwrap();
    registry.register(Subnet).unwrap();
    registry.register(Group).unwrap();
    registry.register(Echo).unwrap();
    registry.register(User).unwrap();
    registry
}

pub(crate) fn plan_with(text: &str, inputs: &[(&str, &str)]) -> Result<Planned, Diagnostics> {
    let inputs = inputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    plan_runbook(&Source::new("runbook.yaml", text), &registry(), &inputs)
}

pub(crate) fn plan(text: &str) -> Planned {
    plan_with(text, &[]).unwrap_or_else(|e| panic!("{}", e.render(false, 100)))
}

/// The errors in their plain form. `steps` are the lines of a runbook's only phase, indented
/// as there.
pub(crate) fn errors(text: &str) -> String {
    errors_with(text, &[])
}

pub(crate) fn errors_with(text: &str, inputs: &[(&str, &str)]) -> String {
    match plan_with(text, inputs) {
        Ok(planned) => panic!("planned: {:#?}", planned.plan),
        Err(errors) => errors.render(false, 100),
    }
}

/// A runbook with one phase.
pub(crate) fn phase(steps: &str) -> String {
    format!("runbook: demo\nversion: 1\nphases:\n  - name: main\n    steps:\n{steps}")
}
