//! Settings that AWS gives back with more in them than was asked for.

use serde_json::{Map, Value};

/// What is compared of settings that were read back: the fields that were asked for, with the values that
/// they have. What AWS adds of its own (defaults, states) is no drift.
pub(crate) fn of_those(wanted: &Value, there: &Value) -> Value {
    let (Value::Object(wanted), Value::Object(there)) = (wanted, there) else { return there.clone() };
    let both = wanted.iter().filter_map(|(key, wanted)| Some((key.clone(), of_those(wanted, there.get(key)?))));
    Value::Object(both.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_compared() {
        let wanted = json!({"a": 1, "b": {"c": [1]}, "d": "x"});
        let there = json!({"a": 1, "b": {"c": [1], "more": true}, "e": 0});
        assert_eq!(of_those(&wanted, &there), json!({"a": 1, "b": {"c": [1]}}));
        assert_eq!(of_those(&json!({"a": 1}), &Value::Null), Value::Null);
        assert_eq!(of_those(&json!([1]), &json!([1, 2])), json!([1, 2]));
    }
}
