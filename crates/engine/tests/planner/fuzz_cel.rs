//! Expressions that nobody would write, over values that nobody has: true, false, or a reason.
//!
//! `PROPTEST_CASES` sets how many cases each property tries; a case that fails prints its text.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use switchback_engine::cel::{Program, compile, eval_bool, with_deep_stack};
use tokio::time::Instant;

use crate::fuzz::{config, json_value};

/// What an evaluation may take at most, on a slow machine that does other things as well. The budget
/// ends one after a second or two; without it these would run for years.
const PATIENCE: Duration = Duration::from_secs(60);

const VALID: [&str; 16] = [
    "inputs.env == 'prod' && inputs.count > 2",
    "'c' in inputs.zones || size(inputs.zones) == 0",
    "inputs.zones.exists(z, z.startsWith('b'))",
    "inputs.rows.all(r, r.id >= 0 && r.tags.exists_one(t, t == r.name))",
    "inputs.rows.map(r, r.id).filter(i, i % 2 == 0).size() < 10",
    "has(inputs.missing) ? inputs.missing : true",
    "inputs.nested['a'].b[0] == 1.5 + 2.0 * -3.0",
    "{'a': 1, 'b': [1, 2]}.b[1] == 2",
    "string(inputs.count) + \"x\" == '3x' && int('3') == 3 && double(1) < 2.0",
    "inputs.?missing.orValue(3) == 3 && optional.of(1).hasValue()",
    "type(inputs.count) == int && dyn(1) != null",
    "b'abc' != bytes('abd') && r'\\d' == '\\\\d' && 0x1fu > 1u",
    "inputs.rows.all(a, inputs.rows.all(b, a == b || a.id != b.id))",
    "['x'].map(s, s + s).map(s, s + s) == ['xxxx']",
    "inputs.zones.map(z, z != 'a', z + '!') == ['b!']",
    "!(inputs.none == null) || inputs.text.contains('x') && inputs.text.endsWith('')",
];

const TOKENS: [&str; 60] = [
    "inputs",
    "each",
    "output",
    "x",
    "_",
    "optional",
    "of",
    "size",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "startsWith",
    "contains",
    "string",
    "int",
    "uint",
    "double",
    "bytes",
    "type",
    "dyn",
    "true",
    "false",
    "null",
    "in",
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615u",
    "1e308",
    "1e400",
    "0x",
    "1.",
    "'a'",
    "\"",
    "'''",
    "r'",
    "b\"\\xff\"",
    "'\\u{110000}'",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "&&",
    "||",
    "==",
    "@result",
    "@pay",
];

fn values() -> Value {
    json!({
        "env": "prod", "count": 3, "zones": ["a", "b"], "none": null, "text": "x".repeat(5000),
        "rows": (0..40).map(|i| json!({"id": i, "name": "n", "tags": ["n", i]})).collect::<Vec<_>>(),
        "nested": {"a": {"b": [1.5, {"c": [[[[]]]]}]}}, "big": u64::MAX, "small": i64::MIN,
    })
}

/// Compiles and evaluates, within bounds.
fn decided(text: &str, inputs: &Value) -> Option<Result<bool, String>> {
    let begun = Instant::now();
    let program: Result<Program, _> = compile(text);
    let result = match &program {
        Ok(program) => {
            assert_eq!(program.text(), text);
            let vars = [("inputs", inputs), ("each", inputs)];
            let result = eval_bool(program, &vars);
            assert_eq!(result, eval_bool(program, &vars), "evaluated twice: {text}");
            if let Err(reason) = &result {
                assert!(!reason.is_empty() && reason.chars().count() <= 400, "{text}: {reason}");
                assert!(!reason.contains("@pay"), "{text}: {reason}");
                assert!(reason != "it cannot be evaluated", "a panic: {text}");
            }
            Some(result)
        }
        Err(e) => {
            assert!(!e.message.is_empty() && !e.message.contains('\n'), "{text}: {e:?}");
            assert!(!e.message.contains("cannot be evaluated"), "a panic: {text}");
            if let Some((line, column)) = e.position {
                assert!(line >= 1 && column >= 1 && line <= text.split('\n').count() + 1, "{text}: {e:?}");
            }
            None
        }
    };
    assert!(begun.elapsed() < PATIENCE, "{:?}: {text}", begun.elapsed());
    result
}

/// A valid expression, with pieces replaced, put in, doubled or nested.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<Index>(), any::<Index>(), select(&TOKENS[..]), 0..5_u8, 1..40_usize);
    (select(&VALID[..]), prop::collection::vec(change, 0..4)).prop_map(|(valid, changes)| {
        changes.iter().fold(valid.to_owned(), |text, (a, b, token, how, n)| {
            let place = |i: &Index| {
                let mut at = i.index(text.len() + 1);
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let (a, b) = (place(a).min(place(b)), place(a).max(place(b)));
            let (before, within, after) = (&text[..a], &text[a..b], &text[b..]);
            match how {
                0 => [before, token, after].concat(),
                1 => [before, token, within, after].concat(),
                2 => [before, within, " ", token, " ", within, after].concat(),
                3 => [before, &"(".repeat(*n), within, &")".repeat(*n), after].concat(),
                _ => [&format!("inputs.rows.{token}(x, "), before, within, after, ")"].concat(),
            }
        })
    })
}

/// An expression from the grammar: loops in loops, and everything that makes values grow.
fn grown() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "1",
        "'x'",
        "x",
        "y",
        "true",
        "null",
        "inputs",
        "inputs.rows",
        "inputs.text",
        "[1, 1]",
        "1.5",
        "-7",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(12, 60, 3, |inner| {
        let two = || (inner.clone(), inner.clone());
        prop_oneof![
            two().prop_map(|(a, b)| format!("[{a}, {b}, {a}]")),
            two().prop_map(|(a, b)| format!("{{'a': {a}, 'b': {b}}}")),
            (two(), select(vec!["+", "==", "&&", "||", "in", "<", "*", "-", "/", "%"]))
                .prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (two(), select(vec!["all", "exists", "exists_one", "map", "filter"]), select(vec!["x", "y"]))
                .prop_map(|((a, b), name, var)| format!("{a}.{name}({var}, {b})")),
            (inner.clone(), select(vec!["[0]", ".a", "['b']", ".size()", ".id", ".?a.orValue(1)"]))
                .prop_map(|(a, tail)| format!("{a}{tail}")),
            (inner.clone(), select(vec!["size", "string", "type", "!", "-", "optional.of", "dyn", "bytes"]))
                .prop_map(|(a, f)| format!("{f}({a})")),
            (two(), inner.clone()).prop_map(|((a, b), c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), 1..12_usize).prop_map(|(a, n)| format!("{a}{}", ".map(x, x + x)".repeat(n))),
        ]
    })
}

#[test]
fn the_valid_ones_are_decided() {
    for text in VALID {
        assert!(matches!(decided(text, &values()), Some(Ok(_))), "{text}: {:?}", decided(text, &values()));
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn texts(text in "\\PC{0,60}|[a-z0-9()\\[\\]{}'\".,?:!&|=<>+*/% \\n\\\\@-]{0,80}") {
        decided(&text, &values());
    }

    #[test]
    fn tokens(parts in prop::collection::vec(select(&TOKENS[..]), 0..30), blank in any::<bool>()) {
        decided(&parts.join(if blank { " " } else { "" }), &values());
    }

    #[test]
    fn valid_ones_after_changes(text in mutated()) {
        decided(&text, &values());
    }

    #[test]
    fn grown_ones(text in grown()) {
        decided(&text, &values());
    }

    #[test]
    fn any_values(text in select(&VALID[..]), inputs in json_value()) {
        decided(text, &inputs);
    }

    #[test]
    fn equal_values_are_equal(value in json_value()) {
        // Only a number too large for itself is not: `NaN` has no JSON.
        prop_assert_eq!(decided("inputs == each", &value), Some(Ok(true)));
        prop_assert_eq!(decided("inputs in [each] && [inputs] == [each]", &value), Some(Ok(true)));
    }
}

/// All of it again where the stack is deep already, as the planner does it.
#[test]
fn inside_of_a_deep_stack_it_is_the_same() {
    let inside = with_deep_stack(|| VALID.map(|text| decided(text, &values()))).unwrap();
    assert_eq!(inside, VALID.map(|text| decided(text, &values())));
}
