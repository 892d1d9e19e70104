//! Canonical JSON: one text for one value, so that it can be hashed and compared.
//!
//! Object keys are sorted by their bytes, there is no white space, and strings and numbers are
//! written the way `serde_json` writes them. The order is made here, explicitly: it must not
//! depend on whether some crate turns on `serde_json/preserve_order`.

use serde::Serialize;
use serde_json::Value;

/// The canonical JSON text of `value`.
///
/// # Errors
/// When `value` cannot be represented as JSON (a map whose keys are not strings).
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let value = serde_json::to_value(value)?;
    let mut out = String::new();
    write_value(&value, &mut out);
    Ok(out)
}

/// The canonical JSON text of a JSON value.
#[must_use]
pub fn value_to_string(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            out.push('{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                write_value(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"z": 1, "a": "x\n"}], "a": null});
        assert_eq!(value_to_string(&value), r#"{"a":null,"b":[{"a":"x\n","z":1}]}"#);
    }
}
