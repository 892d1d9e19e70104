//! A secret, as everything that is stored knows it: where it came from and a fingerprint, never its
//! value.
//!
//! The value itself lives in the process only, in types that do not show it; no type of this crate
//! can hold one.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

/// How many digits of a fingerprint people are shown: enough to tell two apart.
const SHOWN_DIGITS: usize = 8;

impl SecretRef {
    /// A secret input before there is a run: only its name is known.
    #[must_use]
    pub fn of_input(name: &str) -> Self {
        Self { source: format!("inputs.{name}"), version: None, fingerprint: String::new() }
    }

    /// The first digits of the fingerprint, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.fingerprint.get(..SHOWN_DIGITS).unwrap_or(&self.fingerprint)
    }

    /// As it stands in parameters.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut map = Map::from_iter([("source".to_owned(), Value::from(self.source.as_str()))]);
        map.extend(self.version.as_ref().map(|v| ("version".to_owned(), Value::from(v.as_str()))));
        map.insert("fingerprint".to_owned(), Value::from(self.fingerprint.as_str()));
        Value::Object(map)
    }

    /// What stands in `value`, when it is one of these and nothing else.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        (map.contains_key("source") && map.contains_key("fingerprint")).then(|| Self::deserialize(value).ok()).flatten()
    }

    /// Cuts every fingerprint in `value` to the digits that people are shown.
    pub fn shorten_in(value: &mut Value) {
        if let Some(found) = Self::from_json(value) {
            *value = Self { fingerprint: found.short().to_owned(), ..found }.to_json();
            return;
        }
        match value {
            Value::Array(items) => items.iter_mut().for_each(Self::shorten_in),
            Value::Object(map) => map.values_mut().for_each(Self::shorten_in),
            _ => {}
        }
    }
}

/// Where it came from and the first digits of its fingerprint.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        write!(f, " ({})", self.short())
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_see_where_it_came_from_and_eight_digits() {
        let of = SecretRef { source: "prompt".into(), version: Some("v1".into()), fingerprint: "0123456789ab".into() };
        assert_eq!(of.to_string(), "prompt, version v1 (01234567)");
        let mut value = json!({"a": [of.to_json()], "b": {"fingerprint": "0123456789ab"}});
        SecretRef::shorten_in(&mut value);
        assert_eq!(value["a"][0], json!({"source": "prompt", "version": "v1", "fingerprint": "01234567"}));
        assert_eq!(value["b"]["fingerprint"], "0123456789ab", "nothing else is touched");
    }
}
