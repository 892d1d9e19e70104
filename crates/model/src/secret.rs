//! A secret, as everything that is stored knows it: where it came from and a fingerprint, never its
//! value.
//!
//! The value itself lives in the process only, in types that do not show it; no type of this crate
//! can hold one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The schema keyword of a parameter that takes a secret and nothing else.
pub const SECRET_KEYWORD: &str = "x-switchback-secret";

/// A secret in stored parameters, before-images and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Where it came from: `SWITCHBACK_INPUT_DB_PASSWORD`, a file's path, `prompt`, or the ARN of a
    /// secret in Secrets Manager.
    pub source: String,
    /// The version there, where the source has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Argon2id of the value with the run's salt, in hex. Empty while there is no run (`plan`).
    pub fingerprint: String,
}

impl JsonSchema for SecretRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "x-switchback-secret": true,
        })
    }
}
