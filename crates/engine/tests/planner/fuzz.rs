//! Runbooks that nobody would write: whatever comes in, it is a plan, or errors that say where.
//!
//! `PROPTEST_CASES` sets how many cases each property tries; a case that fails prints its text.
//! Regressions are plain tests, here and in `bad_files`.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use switchback_engine::Registry;
use switchback_engine::planner::{Planned, load_plan, plan_hash, plan_runbook, plan_text};
use switchback_engine::runbook::{Diagnostics, Source, parse};

use crate::fakes::{self, phase};

const REAL: &str = include_str!("../../../../runbooks/mistersmith/runbook.yaml");

/// Everything that the format has.
const SMALL: &str = r#"# A comment
runbook: small
version: 1
description: >-
  Folded, and
  more of it
target:
  aws: { region: "${inputs.region}", account: "123456789012", profile: p }
  aws.west:
    region: us-west-2
    account: "123456789012"
    assume_role: { role_arn: "arn:aws:iam::123456789012:role/r", external_id: x, session_name: s }
    endpoint_url: http://127.0.0.1:1
inputs:
  region: { type: string, pattern: "^[a-z0-9-]+$", default: us-east-1, description: Where }
  count: { type: integer, default: 3 }
  ratio: { type: number, default: 0.5 }
  on: { type: boolean, default: true }
  zones: { type: list, default: [a, b] }
  nets: { type: map, default: { a: 10.0.1.0/24, b: 10.0.2.0/24 } }
  pw: { type: secret, from: { secrets_manager: { secret_id: "${inputs.region}/db", json_key: password } } }
  token: { type: secret, from: { file: secret.txt } }
policy: { on_failure: { unwind_to: first }, max_parallel: 4 }
phases:
  - name: first
    steps:
      - id: vpc
        op: net.vpc
        with: &vpc
          cidr_block: 10.0.0.0/16
          tags: { "$${key}": 'it''s', Name: "a\tb\u00e4" }
        when: inputs.on && inputs.count > 2
        timeout: 1h30m
        retry: { attempts: 3 }
      - { id: spare, op: net.vpc, with: *vpc, provider: aws.west }
  - name: second
    steps:
      - id: subnet
        op: net.subnet
        for_each: "${inputs.nets}"
        when: each.key in inputs.zones && each.value != ""
        with: { vpc_id: "${vpc.vpc_id}", cidr_block: "${each.value}", availability_zone: "${inputs.region}${each.key}" }
        on_failure: { unwind_to: vpc }
      - id: group
        op: net.group
        needs: [spare, "subnet[a]"]
        with:
          name: group
          subnet_ids: "${subnet[*].subnet_id}"
          rules:
            - { port: 443, from: "${vpc.cidr.block}" }
            - port: 0x50
        verify: ["output.name == 'group'", "size(observed.rules) == 2"]
        protect: true
        on_failure: pause
      - id: user
        op: test.user
        with: { name: "u ${group.name}", password: "${inputs.pw}", token: "${inputs.token}" }
        on_failure: unwind
"#;

fn registry() -> Registry {
    let mut registry = fakes::registry();
    registry.register(fakes::Any).unwrap();
    registry
}

/// The real runbook, as far as it includes no files, with operations that take anything, and without its secret, which
/// such an operation does not take.
fn real() -> String {
    let (first, _) = REAL.split_once("  - name: application\n").unwrap_or((REAL, ""));
    let lines = first.lines().map(|line| match line.split_once("op: aws.") {
        Some((before, _)) => format!("{before}op: test.any"),
        None => line.replace("${inputs.db_password}", "${inputs.account}"),
    });
    lines.map(|line| line + "\n").collect()
}

fn plan(source: &Source, registry: &Registry) -> Result<Planned, Diagnostics> {
    let given: BTreeMap<String, String> = [("account".to_owned(), "123456789012".to_owned())].into();
    let declared = source.text().contains("account:\n    type");
    plan_runbook(source, registry, &if declared { given } else { BTreeMap::new() })
}

/// A plan that survives every way around, or errors that can be shown.
fn check(bytes: &[u8]) -> Result<Planned, Diagnostics> {
    let registry = registry();
    let result = Source::from_bytes("runbook.yaml", bytes).and_then(|source| {
        let planned = plan(&source, &registry);
        assert_eq!(planned, plan(&source, &registry), "planned twice");
        planned
    });
    match &result {
        Ok(planned) => {
            let text = plan_text(&planned.plan);
            let back = load_plan(&text, &registry).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(back, planned.plan);
            assert_eq!((plan_text(&back), plan_hash(&back)), (text, planned.hash.clone()));
            assert_eq!(planned.positions.len(), planned.plan.steps.len());
        }
        Err(errors) => check_errors(errors),
    }
    result
}

fn check_errors(errors: &Diagnostics) {
    assert!(!errors.is_empty());
    let text = errors.source().text();
    for error in errors.iter() {
        assert!(!error.code.is_empty() && !error.message.is_empty(), "{error:?}");
        assert!(!error.labels.is_empty(), "no place: {error:?}");
        for label in &error.labels {
            assert!(text.get(label.span.start()..label.span.end()).is_some(), "outside of the text: {error:?}");
        }
        let (line, column) = errors.position(error).unwrap();
        assert!(line <= text.matches('\n').count() + 1 && column >= 1, "{error:?}");
    }
    for width in [0, 1, 20, 80, 1000] {
        let plain = errors.render(false, width);
        assert!(plain.contains("runbook.yaml:"), "{plain}");
        let fancy = errors.render(true, width);
        for shown in [plain, fancy] {
            // Colours are the only thing that a terminal obeys.
            let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}');
            assert!(!shown.contains(strange), "{shown:?}");
        }
    }
    assert!(errors.to_string().contains("runbook.yaml"));
}

/// Pieces of the format, and of what it is not.
const TOKENS: [&str; 88] = [
    "runbook",
    "version",
    "target",
    "aws",
    "inputs",
    "policy",
    "phases",
    "name",
    "steps",
    "id",
    "op",
    "with",
    "needs",
    "for_each",
    "when",
    "timeout",
    "retry",
    "attempts",
    "on_failure",
    "unwind_to",
    "verify",
    "protect",
    "provider",
    "type",
    "secret",
    "default",
    "pattern",
    "from",
    "string",
    "list",
    "map",
    "integer",
    "vpc",
    "subnet",
    "test.echo",
    "net.vpc",
    "test.user",
    "test.any",
    "true",
    "null",
    "~",
    "1",
    "-1",
    "0",
    "1e309",
    "99999999999999999999",
    "0x10",
    "0o17",
    "017",
    ".inf",
    ".nan",
    "5m",
    "1h30m",
    "${vpc.vpc_id}",
    "${subnet[*].subnet_id}",
    "${subnet[a].x}",
    "${each.value}",
    "${each.key}",
    "${inputs.zones}",
    "${inputs.pw}",
    "${",
    "$${",
    "}",
    "{",
    "[",
    "]",
    ":",
    ": ",
    "-",
    "- ",
    ",",
    "\"",
    "'",
    "|",
    ">-",
    "&a",
    "*a",
    "*vpc",
    "!!str",
    "!x",
    "<<",
    "#",
    " # ",
    "---",
    "...",
    "%YAML 1.1",
    "?",
    "@`",
];

/// Characters that do harm.
const EVIL: [&str; 14] = [
    "\0",
    "\t",
    "\r",
    "\r\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{1b}[31m",
    "\u{7f}",
    "ä",
    "🔑",
    "\u{0301}",
    "\u{10ffff}",
];

/// One thing that happens to a text.
#[derive(Debug, Clone)]
enum Change {
    DeleteLines(Index, usize),
    DoubleLines(Index, usize),
    SwapLines(Index, Index),
    Indent(Index, isize),
    ReplaceWord(Index, &'static str),
    Insert(Index, &'static str),
    Cut(Index),
    Nest(Index, &'static str, &'static str, usize),
    LineEnds(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), 1..4_usize).prop_map(|(at, n)| Change::DeleteLines(at, n)),
        1 => (at(), 1..4_usize).prop_map(|(at, n)| Change::DoubleLines(at, n)),
        1 => (at(), at()).prop_map(|(a, b)| Change::SwapLines(a, b)),
        1 => (at(), -4..5_isize).prop_map(|(at, by)| Change::Indent(at, by)),
        4 => (at(), select(&TOKENS[..])).prop_map(|(at, token)| Change::ReplaceWord(at, token)),
        2 => (at(), select(&TOKENS[..])).prop_map(|(at, token)| Change::Insert(at, token)),
        2 => (at(), select(&EVIL[..])).prop_map(|(at, evil)| Change::Insert(at, evil)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), select(vec![("[", "]"), ("{a: ", "}"), ("- ", ""), ("\"${", "}\""), ("&a [", "]")]), 1..200_usize)
            .prop_map(|(at, (open, close), n)| Change::Nest(at, open, close, n)),
        1 => select(vec!["\r\n", "\r", "\n\n", "\u{2028}\n"]).prop_map(Change::LineEnds),
    ]
}

/// The byte ranges of words: letters, digits, `_`, `.`, `-`, and every reference.
fn words(text: &str) -> Vec<(usize, usize)> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '$' | '{' | '}' | '[' | ']' | '*');
    let mut found = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (word(c), start) {
            (true, None) => start = Some(i),
            (false, Some(at)) => {
                found.push((at, i));
                start = None;
            }
            _ => {}
        }
    }
    found
}

fn boundary(text: &str, at: &Index) -> usize {
    let mut at = at.index(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn changed(text: String, change: &Change) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.is_empty() {
        return text;
    }
    match change {
        Change::DeleteLines(at, n) => {
            let at = at.index(lines.len());
            lines.drain(at..(at + n).min(lines.len()));
            lines.concat()
        }
        Change::DoubleLines(at, n) => {
            let at = at.index(lines.len());
            let part = lines[at..(at + n).min(lines.len())].concat();
            lines.insert(at, &part);
            lines.concat()
        }
        Change::SwapLines(a, b) => {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
            lines.concat()
        }
        Change::Indent(at, by) => {
            let at = at.index(lines.len());
            let line = match usize::try_from(*by) {
                Ok(more) => " ".repeat(more) + lines[at],
                Err(_) => {
                    lines[at].strip_prefix(&" ".repeat(by.unsigned_abs())).unwrap_or(lines[at].trim_start()).to_owned()
                }
            };
            lines[at] = &line;
            lines.concat()
        }
        Change::ReplaceWord(at, token) => {
            let words = words(&text);
            if words.is_empty() {
                return text;
            }
            let (start, end) = words[at.index(words.len())];
            [&text[..start], token, &text[end..]].concat()
        }
        Change::Insert(at, token) => {
            let at = boundary(&text, at);
            [&text[..at], token, &text[at..]].concat()
        }
        Change::Cut(at) => text[..boundary(&text, at)].to_owned(),
        Change::Nest(at, open, close, n) => {
            let words = words(&text);
            if words.is_empty() {
                return text;
            }
            let (start, end) = words[at.index(words.len())];
            [&text[..start], &open.repeat(*n), &text[start..end], &close.repeat(*n), &text[end..]].concat()
        }
        Change::LineEnds(ends) => text.replace('\n', ends),
    }
}

/// A text that was right, after some changes.
fn mutated(base: String) -> impl Strategy<Value = String> {
    prop::collection::vec(change(), 1..5).prop_map(move |changes| changes.iter().fold(base.clone(), changed))
}

/// A value with everything that a plan must keep as it is.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[ -~äß🔑]{0,8}", select(&EVIL[..]).prop_map(str::to_owned)];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z${}<: ]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A step of a generated runbook.
#[derive(Debug, Clone)]
struct GenStep {
    /// The keys of its `for_each`, and how many of them its `when` leaves in.
    keys: Option<(usize, usize)>,
    /// What it refers to, and what it needs.
    refs: Vec<Index>,
    needs: Vec<Index>,
    new_phase: bool,
    block: bool,
    extras: u8,
    any: Value,
}

fn gen_step() -> impl Strategy<Value = GenStep> {
    let keys = prop::option::of((1..4_usize).prop_flat_map(|n| (Just(n), 1..=n)));
    let some = || prop::collection::vec(any::<Index>(), 0..3);
    (keys, some(), some(), any::<bool>(), any::<bool>(), any::<u8>(), json_value()).prop_map(
        |(keys, refs, needs, new_phase, block, extras, any)| GenStep {
            keys,
            refs,
            needs,
            new_phase,
            block,
            extras,
            any,
        },
    )
}

/// A valid runbook of these steps, and the ids and needs that its plan must have. `planted` is
/// put into step number `at`, as one more line of it.
fn runbook(steps: &[GenStep], planted: Option<(usize, &str)>) -> (String, Vec<(String, Vec<String>)>) {
    let mut text = "runbook: generated\nversion: 1\ninputs: { n: { type: integer, default: 3 } }\nphases:\n".to_owned();
    let mut expected = Vec::new();
    let one = |i: usize| match steps[i].keys {
        Some(_) => format!("s{i}[k0]"),
        None => format!("s{i}"),
    };
    for (i, step) in steps.iter().enumerate() {
        if i == 0 || step.new_phase {
            text.push_str(&format!("  - name: phase{i}\n    steps:\n"));
        }
        let mut needs: Vec<String> = Vec::new();
        let mut value = "v".to_owned();
        let mut listed: Vec<String> = Vec::new();
        if i > 0 {
            for r in &step.refs {
                let id = one(r.index(i));
                value.push_str(&format!(" ${{{id}.text}}"));
                needs.push(id);
            }
            for n in &step.needs {
                let to = n.index(i);
                listed.push(format!("s{to}"));
                match steps[to].keys {
                    Some((_, kept)) => needs.extend((0..kept).map(|k| format!("s{to}[k{k}]"))),
                    None => needs.push(format!("s{to}")),
                }
            }
        }
        listed.dedup();
        needs.sort_unstable();
        needs.dedup();
        text.push_str(&format!("      - id: s{i}\n        op: test.echo\n"));
        if let Some((at, line)) = planted
            && at == i
        {
            text.push_str(&format!("        {line}\n"));
        }
        match step.keys {
            Some((all, kept)) => {
                let keys: Vec<_> = (0..all).map(|k| format!("k{k}: {k}")).collect();
                text.push_str(&format!(
                    "        for_each: {{ {} }}\n        when: each.value < {kept}\n",
                    keys.join(", ")
                ));
                expected.extend((0..kept).map(|k| (format!("s{i}[k{k}]"), needs.clone())));
            }
            None => {
                text.push_str("        when: inputs.n + 1 == 4\n");
                expected.push((format!("s{i}"), needs));
            }
        }
        if !listed.is_empty() {
            text.push_str(&format!("        needs: [{}]\n", listed.join(", ")));
        }
        for (bit, line) in [
            "timeout: 5m",
            "retry: { attempts: 2 }",
            "protect: true",
            "on_failure: pause",
            "verify: [output.count > 0]",
        ]
        .iter()
        .enumerate()
        {
            if step.extras & (1 << bit) != 0 {
                text.push_str(&format!("        {line}\n"));
            }
        }
        let any = json_text(&step.any);
        match step.block {
            true => text.push_str(&format!("        with:\n          text: \"{value}\"\n          any: {any}\n")),
            false => text.push_str(&format!("        with: {{ text: \"{value}\", any: {any} }}\n")),
        }
    }
    (text, expected)
}

/// JSON in which nothing is a reference, and what YAML wants to be escaped is.
fn json_text(value: &Value) -> String {
    let text = serde_json::to_string(value).unwrap().replace("${", "$${");
    text.chars()
        .map(|c| if ('\u{7f}'..'\u{a0}').contains(&c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}

/// One wrong line each, and the error that it must be.
const PLANTED: [(&str, &str); 18] = [
    ("bogus: 1", "runbook::unknown_key"),
    ("id: twice", "yaml::duplicate_key"),
    ("timeout: soon", "runbook::duration"),
    ("provider: nowhere", "plan::unknown_target"),
    ("verify: ['output.x ==']", "plan::condition"),
    ("verify: ['inputs.n > 0']", "plan::condition"),
    ("verify: ['${s0.text}']", "plan::condition"),
    ("needs: [nobody]", "reference::unknown_step"),
    ("needs: ['${s0.text}']", "plan::needs"),
    ("on_failure: { unwind_to: nowhere }", "plan::unwind_to"),
    ("on_failure: explode", "runbook::on_failure"),
    ("protect: yes", "runbook::wrong_type"),
    ("retry: { attempts: 0 }", "runbook::wrong_type"),
    ("retry: { attempts: 4294967296 }", "runbook::wrong_type"),
    ("retry: { attempts: !!int 4 }", "yaml::tag"),
    ("protect: 017", "yaml::leading_zero"),
    ("timeout: *nothing", "yaml::syntax"),
    ("<<: { protect: true }", "yaml::merge_key"),
];

#[test]
fn the_bases_are_right() {
    for base in [real(), SMALL.to_owned()] {
        check(base.as_bytes()).unwrap_or_else(|e| panic!("{}", e.render(false, 100)));
    }
    let declared = parse(&Source::new("runbook.yaml", REAL));
    assert!(declared.is_ok(), "{declared:?}");
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
    }

    #[test]
    fn texts(text in "\\PC{0,120}|[ \\n\\t\\r:\\-{}\\[\\]$&*!|>'\"#,.%@`?a-z0-9ä\\x00\\u{feff}]{0,160}") {
        let _ = check(text.as_bytes());
    }

    #[test]
    fn tokens(parts in prop::collection::vec(prop_oneof![6 => select(&TOKENS[..]), 1 => select(&EVIL[..]), 3 => select(vec!["\n", "\n  ", "\n    ", " "])], 0..40)) {
        let _ = check(parts.concat().as_bytes());
    }

    #[test]
    fn the_real_runbook_after_changes(text in mutated(real())) {
        let _ = check(text.as_bytes());
        let _ = parse(&Source::new("runbook.yaml", &text)).map_err(|e| check_errors(&e));
    }

    #[test]
    fn a_small_runbook_after_changes(text in mutated(SMALL.to_owned())) {
        let _ = check(text.as_bytes());
    }

    #[test]
    fn bytes_of_the_small_runbook_after_changes(at in any::<Index>(), byte in any::<u8>(), more in any::<bool>()) {
        let mut bytes = SMALL.as_bytes().to_vec();
        let at = at.index(bytes.len());
        if more { bytes.insert(at, byte) } else { bytes[at] = byte }
        let _ = check(&bytes);
    }

    #[test]
    fn a_plan_after_changes(text in mutated(plan_text(&check(SMALL.as_bytes()).unwrap().plan))) {
        let registry = registry();
        match load_plan(&text, &registry) {
            Ok(plan) => prop_assert_eq!(load_plan(&plan_text(&plan), &registry).unwrap(), plan),
            Err(e) => prop_assert!(!e.to_string().is_empty()),
        }
    }

    #[test]
    fn a_valid_runbook_is_accepted(steps in prop::collection::vec(gen_step(), 1..8)) {
        let (text, expected) = runbook(&steps, None);
        let planned = check(text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{}", e.render(false, 200)));
        let found: Vec<(String, Vec<String>)> = planned.plan.steps.iter()
            .map(|s| (s.id.to_string(), s.needs.iter().map(ToString::to_string).collect())).collect();
        prop_assert_eq!(&found, &expected, "{}", text);
        let out = serde_json::json!({ "text": "out" });
        for step in &planned.plan.steps {
            let number: usize = step.id.as_str()[1..].split('[').next().unwrap().parse().unwrap();
            let params = step.params.resolve(&|_| Some(&out)).unwrap();
            prop_assert_eq!(&params["any"], &steps[number].any, "{}", text);
        }
    }

    #[test]
    fn a_planted_error_is_found_where_it_is(
        steps in prop::collection::vec(gen_step(), 1..6),
        at in any::<Index>(),
        (line, code) in select(&PLANTED[..]),
    ) {
        // Where the step has such a key already it would be another error.
        let mut steps = steps;
        for step in &mut steps {
            step.extras = 0;
            step.needs.clear();
        }
        let (text, _) = runbook(&steps, Some((at.index(steps.len()), line)));
        let errors = check(text.as_bytes()).unwrap_err();
        let error = errors.iter().next().unwrap();
        prop_assert_eq!(error.code, code, "{}", errors.render(false, 100));
        let (found, _) = errors.position(error).unwrap();
        prop_assert!(text.lines().nth(found - 1).unwrap().contains(line), "{}\n{}", text, errors.render(false, 100));
    }

    #[test]
    fn a_secret_that_is_written_out_is_not_shown(
        form in select(vec!["hunter2", "\"hunter2\"", "'hunter2'", "|\n            hunter2", "[hunter2]", "{ k: hunter2 }", "x${inputs.a}hunter2", "&a hunter2", "{ source: hunter2 }"]),
        place in select(vec!["password", "token", "pasword", "Token"]),
        more in select(vec!["", "bogus: 1", "name: 3"]),
    ) {
        let text = phase(&format!("      - id: u\n        op: test.user\n        with:\n          {place}: {form}\n          {more}\n"))
            .replace("phases:", "inputs: { a: { type: string, default: x } }\nphases:");
        let errors = check(text.as_bytes()).unwrap_err();
        for shown in [errors.render(false, 100), errors.render(true, 100), errors.to_string(), format!("{errors:?}")] {
            prop_assert!(!shown.contains("hunter2"), "{}\n{}", text, shown);
        }
    }

    #[test]
    fn the_default_of_a_secret_is_not_shown(
        form in select(vec!["hunter2", "\"hunter2\"", "[hunter2]", "{ k: hunter2 }", "&a hunter2"]),
        more in select(vec!["", ", bogus: 1", ", pattern: x", ", description: 1", ", from: 3"]),
        first in any::<bool>(),
    ) {
        let (a, b) = ("type: secret".to_owned(), format!("default: {form}"));
        let fields = if first { format!("{a}, {b}{more}") } else { format!("{b}, {a}{more}") };
        let text = phase("      - { id: e, op: test.echo }\n").replace("phases:", &format!("inputs: {{ pw: {{ {fields} }} }}\nphases:"));
        let errors = check(text.as_bytes()).unwrap_err();
        for shown in [errors.render(false, 100), errors.render(true, 100), errors.to_string(), format!("{errors:?}")] {
            prop_assert!(!shown.contains("hunter2"), "{}\n{}", text, shown);
        }
    }
}

/// So many cases, or as many as `PROPTEST_CASES` says. Nothing is written into the sources.
pub(crate) fn config(usual: u32) -> ProptestConfig {
    let cases = std::env::var_os("PROPTEST_CASES").and_then(|n| n.to_str()?.parse().ok()).unwrap_or(usual);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}
