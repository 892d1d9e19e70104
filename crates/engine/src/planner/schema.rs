//! The JSON Schema (draft-07) of a runbook file, for editors: from the Rust types of the file
//! and from every operation's parameters.
//!
//! It is more lenient than the planner: a reference may stand for any value, since what it gives
//! is only known there.

use serde_json::{Map, Value, json};
use switchback_model::secret::SECRET_KEYWORD;

use crate::registry::Registry;
use crate::runbook::Runbook;

/// The schema of a runbook that uses the operations of `registry`.
#[must_use]
pub fn runbook_schema(registry: &Registry) -> Value {
    let generator = schemars::generate::SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Runbook>().to_value();
    let mut definitions = Map::new();
    let mut kinds = Vec::new();
    let mut rules = Vec::new();
    for op in registry.iter() {
        let kind = op.kind();
        let mut params = op.params_schema().to_value();
        let description = params.get("description").cloned();
        let inner = params.as_object_mut().and_then(|p| p.remove("definitions"));
        if let Some(Value::Object(inner)) = inner {
            for (name, mut shape) in inner {
                or_reference(&mut shape, kind);
                definitions.insert(format!("{kind}.{name}"), shape);
            }
        }
        if let Some(map) = params.as_object_mut() {
            map.remove("$schema");
            map.remove("title");
        }
        let required = params.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty());
        fields_or_reference(&mut params, kind);
        definitions.insert(kind.to_owned(), params);
        let with =
            json!({ "anyOf": [{ "$ref": format!("#/definitions/{kind}") }, { "$ref": "#/definitions/Include" }] });
        let mut then = json!({ "properties": { "with": with } });
        if required {
            set(&mut then, "", "required", json!(["with"]));
        }
        rules.push(json!({
            "if": { "properties": { "op": { "const": kind } }, "required": ["op"] },
            "then": then,
        }));
        let mut choice = json!({ "const": kind });
        if let Some(text) = description {
            set(&mut choice, "", "description", text);
        }
        kinds.push(choice);
    }
    if !kinds.is_empty() {
        set(&mut schema, "/definitions/StepSpec/properties/op", "oneOf", Value::Array(kinds));
        set(&mut schema, "/definitions/StepSpec", "allOf", Value::Array(rules));
    }
    definitions.insert("Include".to_owned(), include());
    if let Some(all) = schema.pointer_mut("/definitions").and_then(Value::as_object_mut) {
        all.extend(definitions);
    }
    set(&mut schema, "", "title", json!("Switchback runbook"));
    schema
}

/// What stands in a file or folder beside the runbook.
fn include() -> Value {
    let path = json!({ "type": "string" });
    json!({
        "description": "What stands in a file beside the runbook, or the texts in a folder by their names",
        "type": "object",
        "properties": { "file": path, "folder": path },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

fn set(schema: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(Value::Object(map)) = schema.pointer_mut(pointer) {
        map.insert(key.to_owned(), value);
    }
}

/// A schema of a value: the value, or a text with a reference in its place.
fn or_reference(schema: &mut Value, kind: &str) {
    fields_or_reference(schema, kind);
    let Value::Object(map) = schema else { return };
    if map.contains_key(SECRET_KEYWORD) {
        // What is stored of a secret is an object; what is written is a reference and nothing else.
        let description = map.remove("description");
        *map = Map::from_iter(description.map(|d| ("description".to_owned(), d)));
        map.insert(SECRET_KEYWORD.to_owned(), json!(true));
        map.insert("type".to_owned(), json!("string"));
        map.insert("pattern".to_owned(), json!("^\\$\\{[^}]+\\}$"));
        return;
    }
    let plain_text = map.get("type").is_some_and(|t| t == "string")
        && !["pattern", "enum", "const", "minLength", "maxLength"].iter().any(|k| map.contains_key(*k));
    if map.is_empty() {
        return;
    }
    let mut outer = Map::new();
    for key in ["description", "default", "title"] {
        if let Some(value) = map.remove(key) {
            outer.insert(key.to_owned(), value);
        }
    }
    let reference =
        json!({ "type": "string", "pattern": "\\$\\{", "description": "A reference: ${inputs.NAME}, ${STEP.FIELD}" });
    let include = json!({ "$ref": "#/definitions/Include" });
    let value = Value::Object(std::mem::take(map));
    let choices = if plain_text { json!([value, include]) } else { json!([value, reference, include]) };
    outer.insert("anyOf".to_owned(), choices);
    *map = outer;
}

/// Lets references stand for everything inside of a schema, and renames what it refers to.
fn fields_or_reference(schema: &mut Value, kind: &str) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::String(pointer)) = map.get_mut("$ref")
        && let Some(name) = pointer.strip_prefix("#/definitions/")
    {
        *pointer = format!("#/definitions/{kind}.{name}");
    }
    if let Some(Value::Object(fields)) = map.get_mut("properties") {
        fields.values_mut().for_each(|field| or_reference(field, kind));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(key).filter(|v| v.is_object()) {
            or_reference(inner, kind);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(alternatives)) = map.get_mut(key) {
            alternatives.iter_mut().for_each(|alt| fields_or_reference(alt, kind));
        }
    }
}
