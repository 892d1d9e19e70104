//! Conditions in CEL, the Common Expression Language: `when:` and `verify:` in a runbook, and
//! what probes expect. The only module that knows the CEL crate.
//!
//! An expression sees the variables that it is given and nothing else: no clock, no files, no
//! environment. So the same expression over the same values always says the same.
//!
//! The crate's parser and evaluator recurse, and take up to a hundred kilobytes of stack a level
//! in a debug build: sixteen brackets end a thread with two megabytes. A runbook must not be able
//! to do that, so expressions are limited in size, and run on a stack that is large enough for
//! all that are let through ([`with_deep_stack`]). What a short expression can still do, loop in
//! loops and double texts, is bounded by a budget for each evaluation (`meter`).

mod meter;

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use thiserror::Error;

/// How many bytes an expression may have.
const MAX_LENGTH: usize = 8192;
/// How many words and signs it may consist of; what stands in quotes counts as well.
const MAX_TOKENS: usize = 512;
/// How many brackets may be open at the same time.
const MAX_OPEN: usize = 32;
/// A stack that holds twice the worst of what the limits let through (the test says so).
const STACK: usize = 64 << 20;
/// How many characters of a reason are shown: names and short values are in it.
const MAX_REASON: usize = 300;

thread_local! {
    static DEEP: Cell<bool> = const { Cell::new(false) };
}

/// The standard functions and the meter, built once. Without the meter, which cannot be declared
/// twice, no expression with a loop could be evaluated.
static ENV: LazyLock<Arc<::cel::Env>> = LazyLock::new(|| {
    let mut env = ::cel::Env::stdlib();
    let _ = meter::declare(&mut env);
    Arc::new(env)
});

/// A compiled expression.
pub struct Program {
    inner: ::cel::parser::Expression,
    variables: Vec<String>,
    text: String,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.text).finish()
    }
}

/// A text that is not a CEL expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a CEL expression: {message}")]
pub struct CelError {
    /// What is wrong.
    pub message: String,
    /// Line and column in the expression, both from 1, where they are known.
    pub position: Option<(usize, usize)>,
}

/// Runs `f` where the stack is large enough for every expression. [`compile`] and [`eval_bool`]
/// do so by themselves; whoever calls them many thousand times saves a thread for each by
/// wrapping all of it; all evaluations in it then share one budget of work. Inside of another call
/// it just runs.
///
/// # Errors
/// When the thread cannot be started, or `f` panicked.
pub fn with_deep_stack<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T, CelError> {
    if DEEP.get() {
        return Ok(f());
    }
    let failed = |message: String| CelError { message, position: None };
    std::thread::scope(|scope| {
        let deep = std::thread::Builder::new().name("cel".to_owned()).stack_size(STACK).spawn_scoped(scope, || {
            DEEP.set(true);
            f()
        });
        let deep = deep.map_err(|e| failed(format!("no thread could be started: {e}")))?;
        deep.join().map_err(|_| failed("it cannot be evaluated".to_owned()))
    })
}

/// Compiles an expression.
///
/// # Errors
/// When it is not one, or too large.
pub fn compile(text: &str) -> Result<Program, CelError> {
    let refused = |message: String| Err(CelError { message, position: None });
    if text.trim().is_empty() {
        return refused("it is empty".to_owned());
    }
    let (tokens, open) = complexity(text);
    if text.len() > MAX_LENGTH || tokens > MAX_TOKENS {
        return refused(format!("it is too long: at most {MAX_TOKENS} words and signs, and {MAX_LENGTH} bytes"));
    }
    if open > MAX_OPEN {
        return refused(format!("its brackets nest too deep: at most {MAX_OPEN}"));
    }
    let (inner, variables) = with_deep_stack(|| {
        let compiled = ENV.compile(text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            let position = first.as_ref().and_then(|e| {
                let line = usize::try_from(e.pos.0).ok().filter(|n| *n > 0)?;
                Some((line, usize::try_from(e.pos.1).ok().filter(|n| *n > 0)?))
            });
            CelError { message: first.map_or_else(|| "it does not parse".to_owned(), |e| tidy(&e.msg)), position }
        })?;
        let mut variables: Vec<String> = compiled.references().variables().into_iter().map(str::to_owned).collect();
        variables.sort_unstable();
        Ok((meter::metered(compiled.expression().clone()), variables))
    })??;
    Ok(Program { inner, variables, text: text.to_owned() })
}

/// The parser's message without what only its author understands.
fn tidy(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("Syntax error: ").unwrap_or(line);
    let line = line.split(" expecting {").next().unwrap_or(line);
    if line.contains("'<EOF>'") { "it ends too early".to_owned() } else { lower(line) }
}

/// How many words and signs a text has, and how many brackets are open at the same time. Never
/// less than what the parser will see, since it does not trust quotes.
fn complexity(text: &str) -> (usize, usize) {
    let (mut tokens, mut open, mut most, mut in_word) = (0, 0_usize, 0, false);
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_';
        let goes_on = word && in_word;
        if !c.is_whitespace() && !goes_on {
            tokens += 1;
        }
        in_word = word;
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    (tokens, most)
}

impl Program {
    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names that the expression mentions and does not bind itself, sorted. Variables of
    /// `all`, `map` and the like are among them; [`eval_bool`] is what decides.
    #[must_use]
    pub fn variables(&self) -> &[String] {
        &self.variables
    }
}

/// Variables that many evaluations share, converted once.
pub struct Vars {
    context: ::cel::Context<'static, 'static>,
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vars")
    }
}

impl Vars {
    /// From names and values.
    ///
    /// # Errors
    /// When a value has no counterpart in CEL.
    pub fn new(vars: &[(&str, &Value)]) -> Result<Self, String> {
        let mut context = ::cel::Context::with_env(ENV.clone());
        add(&mut context, vars)?;
        Ok(Self { context })
    }
}

fn add(context: &mut ::cel::Context<'_, '_>, vars: &[(&str, &Value)]) -> Result<(), String> {
    for (name, value) in vars {
        let value = signed(::cel::to_value(*value).map_err(|e| e.to_string())?);
        context.add_variable_from_value(*name, value);
    }
    Ok(())
}

/// The crate takes every whole number of JSON from 0 on for an unsigned one, to which it adds no
/// literal: `inputs.count + 1` would be an error. What fits becomes signed, as literals are.
fn signed(value: ::cel::Value) -> ::cel::Value {
    use ::cel::Value;
    match value {
        Value::UInt(n) => i64::try_from(n).map_or(Value::UInt(n), Value::Int),
        Value::List(list) => Value::List(Arc::new(list.iter().cloned().map(signed).collect())),
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| (key.clone(), signed(value.clone())));
            Value::Map(fields.collect::<std::collections::HashMap<_, _>>().into())
        }
        other => other,
    }
}

/// Evaluates a condition over `vars`.
///
/// # Errors
/// What is wrong with it, in words: an unknown variable or field, a comparison of things that
/// cannot be compared, a value that is neither true nor false, or more work than a condition may
/// make (about a million values looked at).
pub fn eval_bool(program: &Program, vars: &[(&str, &Value)]) -> Result<bool, String> {
    eval_bool_in(program, &Vars::new(vars)?, &[])
}

/// Evaluates a condition over variables that are shared and some that are not.
///
/// # Errors
/// As [`eval_bool`].
pub fn eval_bool_in(program: &Program, shared: &Vars, own: &[(&str, &Value)]) -> Result<bool, String> {
    with_deep_stack(|| {
        let mut context = shared.context.new_inner_scope();
        add(&mut context, own)?;
        meter::on_budget(|| match ::cel::Value::resolve(&program.inner, &context) {
            Ok(::cel::Value::Bool(b)) => Ok(b),
            Ok(other) => Err(format!("it is {}, neither true nor false", kind(&other))),
            Err(e) => Err(reason(&e)),
        })
    })
    .map_err(|e| e.message)?
}

/// Why an evaluation failed, without the values: they may be large, the crate writes them as Rust
/// does, and maps in an order that is never the same.
fn reason(error: &::cel::ExecutionError) -> String {
    use ::cel::ExecutionError as E;
    match error {
        E::UnsupportedBinaryOperator(name, a, b) => format!("`{name}` takes no {} with {}", noun(a), kind(b)),
        E::ValuesNotComparable(a, b) => format!("{} cannot be compared to {}", kind(a), kind(b)),
        E::UnsupportedIndex(index, of) => format!("{} cannot be an index of {}", kind(index), kind(of)),
        E::UnsupportedTargetType { target } => format!("{} cannot stand there", kind(target)),
        E::NotSupportedAsMethod { method, target } => format!("{} has no `{method}`", kind(target)),
        E::UnsupportedKeyType(key) => format!("{} cannot be a key", kind(key)),
        other => cut(&lower(&other.to_string())),
    }
}

/// As [`kind`], without the article.
fn noun(value: &::cel::Value) -> &'static str {
    let kind = kind(value);
    kind.strip_prefix("a ").or_else(|| kind.strip_prefix("another ")).unwrap_or(kind)
}

fn kind(value: &::cel::Value) -> &'static str {
    match value {
        ::cel::Value::Int(_) | ::cel::Value::UInt(_) | ::cel::Value::Float(_) => "a number",
        ::cel::Value::String(_) => "a text",
        ::cel::Value::List(_) => "a list",
        ::cel::Value::Map(_) => "a map",
        ::cel::Value::Null => "null",
        ::cel::Value::Bool(_) => "a boolean",
        _ => "another value",
    }
}

/// The beginning of a long message.
fn cut(message: &str) -> String {
    match message.char_indices().nth(MAX_REASON) {
        Some((at, _)) => format!("{}...", message.get(..at).unwrap_or("")),
        None => message.to_owned(),
    }
}

fn lower(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(text: &str) -> Result<bool, String> {
        let inputs = json!({"env": "prod", "count": 3, "zones": ["a", "b"], "ratio": 1.5, "none": null,
            "list": [0, {"n": 5}], "large": u64::MAX});
        eval_bool(&compile(text).map_err(|e| e.to_string())?, &[("inputs", &inputs)])
    }

    #[test]
    fn conditions_over_json() {
        assert_eq!(eval("inputs.env == 'prod' && inputs.count > 2"), Ok(true));
        assert_eq!(eval("inputs.count == 3"), Ok(true));
        assert_eq!(eval("inputs.count + 1 == 4 && inputs.list[1].n % 2 == 1 && inputs.large > 9"), Ok(true));
        assert_eq!(eval("'c' in inputs.zones || size(inputs.zones) == 0"), Ok(false));
        assert_eq!(eval("inputs.zones.exists(z, z.startsWith('b'))"), Ok(true));
        assert_eq!(eval("has(inputs.missing)"), Ok(false));
        assert_eq!(eval("inputs.none == null && inputs.ratio < 2.0"), Ok(true));
    }

    #[test]
    fn what_cannot_be_decided_says_why() {
        assert_eq!(eval("inputs.count"), Err("it is a number, neither true nor false".to_owned()));
        assert_eq!(eval("inputs.missing == 1"), Err("no such key: missing".to_owned()));
        assert_eq!(eval("each.key == 'a'"), Err("undeclared reference to 'each'".to_owned()));
        assert!(eval("inputs.env ==").is_err());
        assert!(eval("").is_err());
    }

    /// The worst of what the limits let through, twice over: no stack overflow, whatever the build.
    #[test]
    fn the_stack_holds_the_worst_expressions() {
        let worst = |text: String, compiles: bool| {
            let program = compile(&text);
            assert_eq!(program.is_ok(), compiles, "{text}");
            if let Ok(program) = program {
                let _ = eval_bool(&program, &[]);
            }
        };
        let nested = |open: &str, close: &str, n| format!("{}1{}", open.repeat(n), close.repeat(n));
        for (open, close) in [("(", ")"), ("[", "]"), ("{1:", "}"), ("size(", ")"), ("-(", ")"), ("a[", "]")] {
            worst(nested(open, close, MAX_OPEN), true);
            worst(nested(open, close, MAX_OPEN + 1), false);
        }
        let half = MAX_TOKENS / 2 - 1;
        worst(format!("1{} > 0", "+1".repeat(half - 1)), true);
        worst(format!("true{}", "==true".repeat(MAX_TOKENS / 3 - 1)), true);
        worst(format!("1{}", " in 1".repeat(half)), true);
        worst(format!("a{}", ".a".repeat(half)), true);
        worst(format!("a{}", "[0]".repeat(MAX_TOKENS / 3 - 1)), true);
        // The parser has a limit of its own for these.
        worst(format!("{}true", "true?true:".repeat(MAX_TOKENS / 4 - 1)), false);
        worst("(".repeat(MAX_OPEN), false);
        worst("!".repeat(MAX_TOKENS), false);
        worst("!".repeat(MAX_TOKENS + 1), false);
    }

    /// Short expressions that would run for years, or fill the memory.
    #[test]
    fn an_evaluation_is_given_up_when_it_takes_too_much() {
        let many = json!((0..20_000).collect::<Vec<_>>());
        let ends = |text: &str| {
            let program = compile(text).unwrap();
            let refused = eval_bool(&program, &[("many", &many)]);
            assert!(matches!(&refused, Err(e) if e.starts_with("it takes too much work")), "{text}: {refused:?}");
        };
        for open in ["[1,1].all(a,", "[1,1].exists_one(a,", "{1:1,2:1}.all(a,"] {
            ends(&format!("{}true{}", open.repeat(28), ")".repeat(28)));
        }
        // An error in a round is put off, and another alternative makes up for it: still no.
        ends(&format!("{}missing{} || true", "[1,1].all(a,".repeat(28), ")".repeat(28)));
        ends(&format!("['x']{} == []", ".map(s,s+s)".repeat(45)));
        ends(&format!("[['x']]{} == []", ".map(s,s+s)".repeat(45)));
        ends(&format!("[optional.of('x')]{} == []", ".map(s,[optional.of(s),optional.of(s)])".repeat(20)));
        ends("many.all(a, many.all(b, a != b || true))");
        ends("many.all(a, a in many)");
        ends("many.all(a, many == many)");
        ends("many.map(a, true ? many : []) == []");
    }

    #[test]
    fn many_conditions_share_a_budget() {
        let program = compile("many.all(a, many.all(b, b >= 0))").unwrap();
        let many = json!((0..150).collect::<Vec<_>>());
        let refused =
            with_deep_stack(|| (0..1000).find_map(|i| Some((i, eval_bool(&program, &[("many", &many)]).err()?))));
        let (decided, reason) = refused.unwrap().unwrap();
        assert!(decided >= 5, "{decided}");
        assert_eq!(reason, "it takes too much work, together with all conditions before it");
    }

    /// What people write over large values is not.
    #[test]
    fn the_budget_is_enough_for_honest_conditions() {
        let rows: Vec<_> =
            (0..2000).map(|i| json!({"id": i, "name": format!("row {i}"), "tags": ["a", "b"]})).collect();
        let vars = json!({"rows": rows, "ids": (0..100).collect::<Vec<_>>(), "text": "x".repeat(1 << 20)});
        let holds = |text: &str| eval_bool(&compile(text).unwrap(), &[("output", &vars)]);
        assert_eq!(holds("output.rows.all(r, r.id >= 0 && r.name.startsWith('row') && size(r.tags) == 2)"), Ok(true));
        assert_eq!(holds("output.rows.filter(r, r.id in output.ids).size() == 100"), Ok(true));
        assert_eq!(holds("output.rows.exists(r, r.tags.exists(t, t == 'b') && r.id == 1999)"), Ok(true));
        assert_eq!(holds("output.rows.map(r, r.id).exists_one(i, i == 7) && output.text.size() > 1000"), Ok(true));
        assert_eq!(holds("optional.of(output.ids).hasValue() && output.ids.map(i, i % 2 == 0, i)[1] == 2"), Ok(true));
        assert_eq!(holds("output.?missing.orValue(3) == 3 && has(output.rows) && !has(output.nothing)"), Ok(true));
    }

    #[test]
    fn a_reason_is_short_whatever_the_values_are() {
        let vars = json!((0..10_000).map(|i| json!({"k": i})).collect::<Vec<_>>());
        let reason = |text: &str| eval_bool(&compile(text).unwrap(), &[("many", &vars)]).unwrap_err();
        assert_eq!(reason("many + 1 == many"), "`add` takes no list with a number");
        assert_eq!(reason("many[0] + many[1] == many"), "`add` takes no map with a map");
        assert_eq!(reason("many < 1"), "found no matching overload for '_<_' applied to '(list, int)'");
        let long = format!("many[0].{}", "x".repeat(1000));
        assert!(reason(&long).starts_with("no such key: xxx") && reason(&long).chars().count() <= MAX_REASON + 3);
    }

    #[test]
    fn maps_have_an_order() {
        let map = json!((0..50).map(|i| (format!("k{i:02}"), i.into())).collect::<serde_json::Map<_, _>>());
        let holds = |text: &str| eval_bool(&compile(text).unwrap(), &[("m", &map)]);
        assert_eq!(holds("m.map(k, k)[0] == 'k00' && m.map(k, m[k])[49] == 49"), Ok(true));
        assert_eq!(holds("m.filter(k, m[k] > 46) == ['k47', 'k48', 'k49']"), Ok(true));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9\\(\\)\\[\\]\\{\\}'\".,?:!&|=<>+*/% -]{0,40}|\\PC{0,30}") {
            let _ = eval(&text);
        }
    }
}
