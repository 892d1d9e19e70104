//! Lambda: functions, with the permissions in their policies.

use std::collections::BTreeMap;

use serde_json::json;

use super::Thing;
use crate::query::Tags;

/// The section of Lambda.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lambda {
    /// By ARN.
    pub(crate) functions: BTreeMap<String, Function>,
}

#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) runtime: String,
    pub(crate) handler: String,
    pub(crate) role: String,
    pub(crate) description: String,
    pub(crate) code_sha256: String,
    pub(crate) code_size: i64,
    /// In megabytes.
    pub(crate) memory: i32,
    /// In seconds.
    pub(crate) timeout: i32,
    pub(crate) environment: BTreeMap<String, String>,
    /// By statement id.
    pub(crate) permissions: BTreeMap<String, Permission>,
    pub(crate) tags: Tags,
}

/// A statement of a function's policy.
#[derive(Debug, Clone)]
pub(crate) struct Permission {
    pub(crate) action: String,
    pub(crate) principal: String,
    pub(crate) source_arn: Option<String>,
    pub(crate) source_account: Option<String>,
}

impl Lambda {
    pub(super) fn things<'a>(&'a self, all: &mut BTreeMap<&'a str, Thing<'a>>) {
        for (arn, it) in &self.functions {
            let permissions = it.permissions.iter().map(|(id, of)| {
                let from = [of.source_arn.as_deref(), of.source_account.as_deref()];
                (id, format!("{} for {} of {from:?}", of.action, of.principal))
            });
            let thing = Thing::new("lambda-function", &it.tags)
                .with("name", it.name.as_str())
                .with("runtime", it.runtime.as_str())
                .with("handler", it.handler.as_str())
                .with("role", it.role.as_str())
                .with("description", it.description.as_str())
                .with("code", it.code_sha256.as_str())
                .with("memory", it.memory)
                .with("timeout", it.timeout)
                .with("environment", json!(it.environment))
                .with("permissions", json!(permissions.collect::<BTreeMap<_, _>>()));
            all.insert(arn, thing);
        }
    }
}
