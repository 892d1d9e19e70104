//! The inputs of a plan: what was given, else the default, else an error that says which flag
//! gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use regex::Regex;
use serde_json::Value;

use super::budget::Budget;
use super::includes::Includes;
use super::shape::Types;
use crate::runbook::{
    Diagnostic, Diagnostics, InputSpec, InputType, Node, Runbook, Source, did_you_mean, listed, parse_tree,
};

/// The values of the inputs. Of a secret only the name is known: a plan never holds its value.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    values: BTreeMap<String, Option<Value>>,
    secrets: BTreeSet<String>,
    /// Here because whoever resolves anything has the inputs.
    pub(crate) budget: Budget,
    /// Likewise.
    pub(crate) includes: Includes,
}

impl Inputs {
    /// The value: `None` when there is no such input, `Some(None)` when it is wrong and that has
    /// been reported.
    pub(crate) fn get(&self, name: &str) -> Option<Option<&Value>> {
        self.values.get(name).map(Option::as_ref)
    }

    pub(crate) fn is_secret(&self, name: &str) -> bool {
        self.secrets.contains(name)
    }

    /// The secret that an expression names as `inputs.NAME`, with its bytes there.
    pub(crate) fn secret_in(&self, expression: &str) -> Option<(&str, Range<usize>)> {
        self.secrets.iter().find_map(|name| {
            let pattern = Regex::new(&format!(r#"\binputs\s*(\.\s*{name}\b|\[\s*["']{name}["']\s*\])"#)).ok()?;
            pattern.find(expression).map(|found| (name.as_str(), found.range()))
        })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(&self.secrets).map(String::as_str)
    }

    /// Whether every input has a value.
    pub(crate) fn complete(&self) -> bool {
        self.values.values().all(Option::is_some)
    }

    pub(crate) fn to_map(&self) -> BTreeMap<String, Value> {
        self.values.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect()
    }

    /// As one object, for conditions.
    pub(crate) fn to_json(&self) -> Value {
        Value::Object(self.to_map().into_iter().collect())
    }
}

/// Decides every input.
pub(crate) fn resolve(runbook: &Runbook, given: &BTreeMap<String, String>, errors: &mut Diagnostics) -> Inputs {
    let mut inputs = Inputs::default();
    for spec in &runbook.inputs {
        if spec.kind == InputType::Secret {
            secret(spec, given.contains_key(&spec.name.value), errors);
            inputs.secrets.insert(spec.name.value.clone());
            continue;
        }
        if spec.from.is_some() {
            errors.push(
                Diagnostic::new("input::from", format!("the input `{}` says where it comes from", spec.name.value))
                    .at(spec.name.span, format!("its type is `{}`", spec.kind.name()))
                    .help("only inputs of type `secret` have `from`; give this one with `--input`, or a `default`"),
            );
        }
        let value = input(spec, given.get(&spec.name.value), errors);
        inputs.values.insert(spec.name.value.clone(), value);
    }
    for name in given.keys().filter(|name| !inputs.names().any(|known| known == *name)) {
        let help = did_you_mean(name, inputs.names(), || {
            if inputs.names().next().is_none() {
                "it has no inputs; leave the flag out, or declare it under `inputs:`".to_owned()
            } else {
                format!("the inputs are {}", listed(inputs.names()))
            }
        });
        let d = Diagnostic::new("input::unknown", format!("the runbook has no input `{name}`")).help(help);
        errors.push(match runbook.inputs_key {
            Some(span) => d.at(span, format!("`{name}` is not declared here")),
            None => d,
        });
    }
    inputs
}

/// What a secret may not have. Its value is no business of a plan.
fn secret(spec: &InputSpec, given: bool, errors: &mut Diagnostics) {
    let name = &spec.name.value;
    if given {
        // The value is not shown: it stood on a command line, and need not stand anywhere else.
        errors.push(
            Diagnostic::new(
                "input::secret_given",
                format!("the input `{name}` is a secret and was given with `--input`"),
            )
            .at(spec.name.span, "its type is `secret`")
            .help(format!(
                "other users of this host can read command lines: treat the value as known and change it; give the \
                     next one in SWITCHBACK_INPUT_{}, or with `--secret-file {name}=PATH`",
                name.to_uppercase()
            )),
        );
    }
    if let Some(default) = &spec.default {
        errors.push(
            Diagnostic::new("input::secret_default", format!("the secret `{name}` has a default"))
                .at(default.span, "whoever reads the runbook can read this")
                .help("remove it, and change what it stands for; `from:` says where a secret comes from")
                .hiding(default.span),
        );
    }
    if let Some(pattern) = &spec.pattern {
        errors.push(
            Diagnostic::new("input::pattern", format!("the input `{name}` has a pattern and is not a string"))
                .at(pattern.span, "its type is `secret`")
                .help("only inputs of type `string` can have a pattern"),
        );
    }
}

fn input(spec: &InputSpec, given: Option<&String>, errors: &mut Diagnostics) -> Option<Value> {
    let name = &spec.name.value;
    let pattern = match &spec.pattern {
        Some(_) if spec.kind != InputType::String => {
            errors.push(
                Diagnostic::new("input::pattern", format!("the input `{name}` has a pattern and is not a string"))
                    .at(spec.name.span, format!("its type is `{}`", spec.kind.name()))
                    .help("only inputs of type `string` can have a pattern"),
            );
            return None;
        }
        Some(pattern) => match Regex::new(&pattern.value) {
            Ok(regex) => Some(regex),
            Err(e) => {
                let reason = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                errors.push(
                    Diagnostic::new(
                        "input::pattern",
                        format!("the pattern of the input `{name}` is not a regular expression"),
                    )
                    .at(pattern.span, reason)
                    .help("write a regular expression such as `^[0-9]{12}$`"),
                );
                return None;
            }
        },
        None => None,
    };
    // A default is checked even when it is not used: the next one may need it.
    let default = spec.default.as_ref().map(|node| default_value(spec, node, pattern.as_ref(), errors));
    let Some(text) = given else {
        return default.unwrap_or_else(|| {
            errors.push(
                Diagnostic::new("input::missing", format!("the input `{name}` is missing"))
                    .at(
                        spec.name.span,
                        spec.description.clone().unwrap_or_else(|| "declared here, without a default".to_owned()),
                    )
                    .help(format!("give it with `--input {name}=VALUE`, or add a `default`")),
            );
            None
        });
    };
    given_value(spec, text, pattern.as_ref(), errors)
}

fn types(kind: InputType) -> Types {
    match kind {
        InputType::String | InputType::Secret => Types::TEXT,
        InputType::Integer => Types::INT,
        InputType::Number => Types::NUMBER,
        InputType::Boolean => Types::BOOL,
        InputType::List => Types::LIST,
        InputType::Map => Types::MAP,
    }
}

fn default_value(spec: &InputSpec, node: &Node, pattern: Option<&Regex>, errors: &mut Diagnostics) -> Option<Value> {
    let value = node.to_json();
    let (name, wants) = (&spec.name.value, types(spec.kind));
    if Types::of(&value).and(wants).is_empty() {
        let quotes = wants == Types::TEXT && matches!(value, Value::Number(_) | Value::Bool(_));
        errors.push(
            Diagnostic::new(
                "input::wrong_type",
                format!("the default of the input `{name}` is {}, not {}", node.kind(), wants.words()),
            )
            .at(node.span, format!("this is {}", node.kind()))
            .help(if quotes {
                "write it in quotes to make it a text".to_owned()
            } else {
                format!("its type is `{}`", spec.kind.name())
            }),
        );
        return None;
    }
    if let Some((pattern, text)) = mismatch(pattern, &value) {
        errors.push(
            Diagnostic::new("input::pattern", format!("the default of the input `{name}` does not match its pattern"))
                .at(node.span, format!("`{text}` does not match"))
                .help(format!("it must match `{pattern}`")),
        );
        return None;
    }
    Some(value)
}

fn given_value(spec: &InputSpec, text: &str, pattern: Option<&Regex>, errors: &mut Diagnostics) -> Option<Value> {
    let name = &spec.name.value;
    let value = match spec.kind {
        InputType::String | InputType::Secret => Some(Value::String(text.to_owned())),
        InputType::Boolean => match text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        InputType::Integer => text.parse::<i64>().ok().map(Value::from),
        InputType::Number => text.parse::<serde_json::Number>().ok().map(Value::Number),
        InputType::List | InputType::Map => {
            let source = Source::new("--input", text);
            let mut inner = Diagnostics::new(source.clone());
            let node = parse_tree(&source, &mut inner).filter(|_| inner.is_empty());
            node.map(|n| n.to_json()).filter(|v| !Types::of(v).and(types(spec.kind)).is_empty())
        }
    };
    let Some(value) = value else {
        let example = match spec.kind {
            InputType::Boolean => "true",
            InputType::Integer => "5",
            InputType::Number => "0.5",
            InputType::List => "'[a, b]'",
            _ => "'{a: b}'",
        };
        errors.push(
            Diagnostic::new(
                "input::wrong_type",
                format!("the input `{name}` wants {}, not `{text}`", types(spec.kind).words()),
            )
            .at(spec.name.span, format!("its type is `{}`", spec.kind.name()))
            .help(format!("for example `--input {name}={example}`")),
        );
        return None;
    };
    if let Some((pattern, text)) = mismatch(pattern, &value) {
        errors.push(
            Diagnostic::new("input::pattern", format!("the input `{name}` does not match its pattern"))
                .at(spec.name.span, format!("`{text}` was given"))
                .help(format!("it must match `{pattern}`")),
        );
        return None;
    }
    Some(value)
}

fn mismatch<'a>(pattern: Option<&'a Regex>, value: &'a Value) -> Option<(&'a str, &'a str)> {
    let (pattern, text) = (pattern?, value.as_str()?);
    (!pattern.is_match(text)).then(|| (pattern.as_str(), text))
}
