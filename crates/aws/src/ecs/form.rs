//! Parts of ECS's calls as types: read strictly from a runbook, written to the SDK, and read back in the same form, so
//! that what was asked for and what is there can be compared field by field.

use std::collections::{BTreeMap, HashMap};

use aws_smithy_types::error::operation::BuildError;
use serde_json::{Map, Value};
use switchback_model::{OpError, OpResult};

use crate::ids::{SecurityGroupId, SubnetId, TaskDefinitionArn};

/// What has a form of its own in the SDK.
pub(crate) trait Part: Sized {
    /// That form.
    type Sdk;

    /// Writes it.
    fn to_sdk(&self) -> OpResult<Self::Sdk>;

    /// Reads what AWS returned.
    fn read(sdk: &Self::Sdk) -> Self;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Part for $type {
            type Sdk = Self;

            fn to_sdk(&self) -> OpResult<Self> {
                Ok(self.clone())
            }

            fn read(sdk: &Self) -> Self {
                sdk.clone()
            }
        })*
    };
}

plain!(String, i32, bool);

macro_rules! ids {
    ($($type:ty),*) => {
        $(impl Part for $type {
            type Sdk = String;

            fn to_sdk(&self) -> OpResult<String> {
                Ok(self.as_str().to_owned())
            }

            fn read(sdk: &String) -> Self {
                Self::new(sdk)
            }
        })*
    };
}

ids!(SubnetId, SecurityGroupId, TaskDefinitionArn);

impl<P: Part> Part for Vec<P> {
    type Sdk = Vec<P::Sdk>;

    fn to_sdk(&self) -> OpResult<Self::Sdk> {
        self.iter().map(P::to_sdk).collect()
    }

    fn read(sdk: &Self::Sdk) -> Self {
        sdk.iter().map(P::read).collect()
    }
}

impl Part for BTreeMap<String, String> {
    type Sdk = HashMap<String, String>;

    fn to_sdk(&self) -> OpResult<Self::Sdk> {
        Ok(self.clone().into_iter().collect())
    }

    fn read(sdk: &Self::Sdk) -> Self {
        sdk.clone().into_iter().collect()
    }
}

/// What a builder of the SDK gives: some can fail, for want of a field.
pub(crate) trait Built<T> {
    fn built(self) -> OpResult<T>;
}

impl<T> Built<T> for T {
    fn built(self) -> OpResult<T> {
        Ok(self)
    }
}

impl<T> Built<T> for Result<T, BuildError> {
    fn built(self) -> OpResult<T> {
        self.map_err(|e| OpError::permanent(format!("the parameters cannot be sent: {e}")))
    }
}

/// A field that the SDK has only sometimes.
pub(crate) fn opt<P: Part>(sdk: Option<&P::Sdk>) -> Option<P> {
    sdk.map(P::read)
}

/// Writes what may not be there.
pub(crate) fn to_sdk<P: Part>(part: Option<&P>) -> OpResult<Option<P::Sdk>> {
    part.map(P::to_sdk).transpose()
}

/// Writes a list; an empty one is not sent.
pub(crate) fn filled<P: Part>(list: &[P]) -> OpResult<Option<Vec<P::Sdk>>> {
    (!list.is_empty()).then(|| list.iter().map(P::to_sdk).collect()).transpose()
}

/// A struct of the SDK as a type for runbooks: all fields may be absent, and none that is not listed is taken. After
/// each name stands its setter; `opt` or `req` says whether the SDK may lack it when it reads.
macro_rules! part {
    (
        $(#[$doc:meta])* $name:ident, $case:literal;
        $($(#[$field_doc:meta])* $field:ident, $set:ident: $type:ty, $how:ident;)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = $case, deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }

        impl $crate::ecs::form::Part for $name {
            type Sdk = aws_sdk_ecs::types::$name;

            fn to_sdk(&self) -> switchback_model::OpResult<Self::Sdk> {
                let builder = aws_sdk_ecs::types::$name::builder();
                $(let builder = builder.$set($crate::ecs::form::to_sdk(self.$field.as_ref())?);)*
                $crate::ecs::form::Built::<Self::Sdk>::built(builder.build())
            }

            fn read(sdk: &Self::Sdk) -> Self {
                Self { $($field: $crate::ecs::form::part!(@ $how sdk.$field),)* }
            }
        }
    };
    (@ opt $from:expr) => { $crate::ecs::form::opt($from.as_ref()) };
    (@ req $from:expr) => { Some($crate::ecs::form::Part::read(&$from)) };
}

/// Values of an enumeration of the SDK: any other is refused.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            #[serde(try_from = "String", into = "String")]
            pub struct $name(String);

            impl $name {
                /// The word.
                #[must_use]
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl TryFrom<String> for $name {
                type Error = String;

                fn try_from(word: String) -> Result<Self, String> {
                    let words = aws_sdk_ecs::types::$name::values();
                    if words.contains(&word.as_str()) {
                        return Ok(Self(word));
                    }
                    Err(format!("{word:?} is none of {}", words.join(", ")))
                }
            }

            impl From<$name> for String {
                fn from(word: $name) -> Self {
                    word.0
                }
            }

            impl schemars::JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!({ "type": "string", "enum": aws_sdk_ecs::types::$name::values() })
                }
            }

            impl $crate::ecs::form::Part for $name {
                type Sdk = aws_sdk_ecs::types::$name;

                fn to_sdk(&self) -> switchback_model::OpResult<Self::Sdk> {
                    Ok(self.0.as_str().into())
                }

                fn read(sdk: &Self::Sdk) -> Self {
                    Self(sdk.as_str().to_owned())
                }
            }
        )*
    };
}

pub(crate) use {part, words};

/// What is compared of what was read back: the fields that were asked for. AWS adds defaults, and keeps no order in lists
/// of objects; an empty list is none. The order of a list of texts, such as a command, is compared.
pub(crate) fn of_those(wanted: &Value, there: &Value) -> Value {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => {
            let one = |(key, wanted): (&String, &Value)| {
                let got = match there.get(key) {
                    Some(got) => of_those(wanted, got),
                    None if wanted.as_array().is_some_and(Vec::is_empty) => wanted.clone(),
                    None => return None,
                };
                Some((key.clone(), got))
            };
            Value::Object(wanted.iter().filter_map(one).collect::<Map<_, _>>())
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.iter().all(Value::is_object) => {
            let mut left: Vec<&Value> = there.iter().collect();
            let mut got = Vec::new();
            for one in wanted {
                if let Some(at) = left.iter().position(|it| of_those(one, it) == *one) {
                    left.remove(at);
                    got.push(one.clone());
                }
            }
            // What is there and was not asked for: with the field that tells most about the difference.
            let missing = wanted.iter().filter(|one| !got.contains(one));
            let others: Vec<Value> = missing.zip(left.iter()).map(|(one, it)| of_those(one, it)).collect();
            let more = left.into_iter().skip(others.len()).cloned().collect::<Vec<_>>();
            got.extend(others);
            got.extend(more);
            Value::Array(got)
        }
        _ => there.clone(),
    }
}

/// A list in an order of its own, where its order says nothing.
pub(crate) fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_the_order_of_objects_are_no_drift() {
        let wanted = json!({"ports": [{"port": 1}, {"port": 2}], "command": ["a", "b"], "none": []});
        let there = json!({"ports": [{"port": 2, "host": 2}, {"port": 1, "host": 1}], "command": ["a", "b"], "cpu": 0});
        assert_eq!(of_those(&wanted, &there), wanted);
    }

    #[test]
    fn what_differs_is_seen() {
        let wanted = json!({"list": [{"a": 1}, {"a": 2}]});
        for there in [
            json!({"list": [{"a": 1}]}),
            json!({"list": [{"a": 1}, {"a": 3}]}),
            json!({"list": [{"a": 1}, {"a": 2}, {"a": 3}]}),
            json!({}),
        ] {
            assert_ne!(of_those(&wanted, &there), wanted, "{there}");
        }
        let command = json!({"command": ["a", "b"]});
        assert_ne!(of_those(&command, &json!({"command": ["b", "a"]})), command);
        assert_ne!(of_those(&json!({"list": []}), &json!({"list": [{"a": 1}]})), json!({"list": []}));
    }
}
