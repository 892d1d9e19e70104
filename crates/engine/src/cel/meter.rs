//! How much an evaluation may do. `[1, 1].all(a, [1, 1].all(b, ...))` thirty levels deep is a
//! short expression that never ends, and `['x'].map(s, s + s)` thirty times in a row one that
//! fills the memory. The crate sets no limit, so the expression itself is made to pay: calls of
//! [`PAY`] are put around everything whose size only the evaluation knows.
//!
//! Paid for, before it is worked on:
//! - what a loop goes over: its size, and its elements times the size of the loop's body;
//! - every variable, field or result that goes into a call, a list or a map: its size.
//!
//! Everything else costs no more than the length of the expression, once a round of a loop. Once
//! the budget is used up every loop fails before its first round, so what has begun ends soon.
//!
//! Loops over maps are put in order at the same place.

use std::cell::Cell;

use ::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use ::cel::common::types::{CelBytes, CelInt, CelList, CelMap, CelOptional, CelString, DYN_TYPE, INT_TYPE};
use ::cel::common::value::{CowVal, Val};
use ::cel::{DeclarationError, Env, ExecutionError};

/// The function that is put in. Nobody can write this name.
const PAY: &str = "@pay";
/// What an evaluation may use up, in values looked at: a second or two in a debug build.
const BUDGET: usize = 1_000_000;
/// What all evaluations on one deep stack may: a `for_each` has as many conditions as elements.
const OF_ALL: usize = 5_000_000;
/// So many bytes of a text count as one value.
const BYTES: usize = 64;

thread_local! {
    static LEFT_OF_ALL: Cell<usize> = const { Cell::new(OF_ALL) };
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static SPENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on a budget of its own, out of that of this thread.
///
/// # Errors
/// It was not enough, and what came out means nothing.
pub(super) fn on_budget<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let all = LEFT_OF_ALL.get();
    let budget = all.min(BUDGET);
    LEFT.set(budget);
    SPENT.set(false);
    let result = f();
    LEFT_OF_ALL.set(all - (budget - LEFT.get()));
    match SPENT.get() {
        false => result,
        true if budget == BUDGET => {
            Err("it takes too much work: it goes through loops inside of loops, or through too much".to_owned())
        }
        true => Err("it takes too much work, together with all conditions before it".to_owned()),
    }
}

/// Makes [`PAY`] known.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(PAY, "@pay_value_rounds", vec![DYN_TYPE, INT_TYPE], pay)
}

/// Takes what a value costs from the budget and hands the value on. The second argument: what
/// each of its elements costs on top, as the range of a loop.
fn pay<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let round = args.pop().and_then(|n| n.downcast_ref::<CelInt>().map(|n| *n.inner())).unwrap_or_default();
    let value = args.pop().ok_or_else(|| ExecutionError::invalid_argument_count(2, 0))?;
    let mut left = LEFT.get();
    let count = value.as_sizer().map_or(0, |s| *s.size().inner());
    let rounds = usize::try_from(count.saturating_mul(round)).unwrap_or(0);
    let enough = take(&mut left, rounds) && take_value(&mut left, value.as_ref());
    LEFT.set(left);
    if !enough {
        SPENT.set(true);
        return Err(ExecutionError::function_error(PAY, "the budget is used up"));
    }
    match value.downcast_ref::<CelMap>() {
        Some(map) if round > 0 => Ok(CowVal::owned(keys(map))),
        _ => Ok(value),
    }
}

/// What a loop over a map goes over, in an order that is always the same: the crate's own differs
/// from one evaluation to the next, and with it what `m.map(k, k)[0]` is.
fn keys<'v>(map: &CelMap<'v>) -> CelList<'v> {
    let mut keys: Vec<_> = map.inner().keys().cloned().collect();
    keys.sort_unstable();
    CelList::from(keys.iter().map(|key| key.inner().clone_as_boxed()).collect::<Vec<Box<dyn Val + 'v>>>())
}

fn take(left: &mut usize, cost: usize) -> bool {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => {
            *left = 0;
            false
        }
    }
}

/// Takes the size of a value, and stops looking at it when the rest is not enough.
fn take_value(left: &mut usize, value: &dyn Val) -> bool {
    let bytes = match (value.downcast_ref::<CelString>(), value.downcast_ref::<CelBytes>()) {
        (Some(text), _) => text.inner().len(),
        (_, Some(bytes)) => bytes.inner().len(),
        _ => 0,
    };
    if !take(left, 1 + bytes / BYTES) {
        return false;
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.inner().iter().all(|item| take_value(left, item.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        return map.inner().iter().all(|(key, item)| take_value(left, key.inner()) && take_value(left, item.as_ref()));
    }
    match value.downcast_ref::<CelOptional>().and_then(|optional| optional.inner()) {
        Some(inner) => take_value(left, inner),
        None => true,
    }
}

/// Puts calls of [`PAY`] into an expression that was just compiled.
pub(super) fn metered(mut expr: IdedExpr) -> IdedExpr {
    inside(&mut expr);
    expr
}

/// Meters all that `expr` consists of. Returns how many parts it has, each 64 bytes of a literal
/// being one.
fn inside(expr: &mut IdedExpr) -> usize {
    1 + match &mut expr.expr {
        Expr::Call(call) => in_call(call),
        Expr::Comprehension(comprehension) => in_loop(comprehension),
        Expr::List(list) => list.elements.iter_mut().map(paid).sum(),
        Expr::Map(map) => map.entries.iter_mut().map(|entry| in_entry(&mut entry.expr)).sum(),
        Expr::Struct(it) => it.entries.iter_mut().map(|entry| in_entry(&mut entry.expr)).sum(),
        Expr::Select(select) => inside(&mut select.operand),
        Expr::Literal(LiteralValue::String(text)) => text.inner().len() / BYTES,
        Expr::Literal(LiteralValue::Bytes(bytes)) => bytes.inner().len() / BYTES,
        Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => 0,
    }
}

fn in_entry(entry: &mut EntryExpr) -> usize {
    match entry {
        EntryExpr::MapEntry(entry) => paid(&mut entry.key) + paid(&mut entry.value),
        EntryExpr::StructField(field) => paid(&mut field.value),
    }
}

fn in_call(call: &mut CallExpr) -> usize {
    if takes_no_time(call) {
        return call.target.as_mut().map_or(0, |target| inside(target))
            + call.args.iter_mut().map(inside).sum::<usize>();
    }
    let target = call.target.as_mut().map_or(0, |target| match &target.expr {
        // It may be the first half of a function's name, `optional.of`.
        Expr::Ident(name) if name == "optional" => 1,
        _ => paid(target),
    });
    // An index is looked up, not gone through.
    let indexed = matches!(call.func_name.as_str(), operators::INDEX | operators::OPT_INDEX | operators::OPT_SELECT);
    let skipped = usize::from(indexed);
    let mut args = call.args.iter_mut();
    let looked_up: usize = args.by_ref().take(skipped).map(inside).sum();
    target + looked_up + args.map(paid).sum::<usize>()
}

fn in_loop(comprehension: &mut ComprehensionExpr) -> usize {
    let range = inside(&mut comprehension.iter_range);
    let round = inside(&mut comprehension.loop_cond) + inside(&mut comprehension.loop_step);
    pay_for(&mut comprehension.iter_range, round);
    // The start and the result of a loop are the crate's own: a literal, and the loop's variable.
    range + round
}

/// Meters `expr` and what comes out of it.
fn paid(expr: &mut IdedExpr) -> usize {
    let size = inside(expr);
    let grows = match &expr.expr {
        // A loop's own variable, which nobody can write; the crate wants to see it as it is.
        Expr::Ident(name) => !name.starts_with('@'),
        Expr::Select(select) => !select.test,
        Expr::Call(call) => !is_boolean(&call.func_name) && !is_collecting(call),
        _ => false,
    };
    if grows {
        pay_for(expr, 0);
    }
    size
}

fn pay_for(expr: &mut IdedExpr, round: usize) {
    let round = i64::try_from(round).unwrap_or(i64::MAX);
    let round = IdedExpr { id: expr.id, expr: Expr::Literal(LiteralValue::Int(round.into())) };
    let value = std::mem::take(expr);
    let id = value.id;
    let call = CallExpr { func_name: PAY.to_owned(), target: None, args: vec![value, round] };
    *expr = IdedExpr { id, expr: Expr::Call(call) };
}

/// Asking for a size, and comparing with something short that is written out.
fn takes_no_time(call: &CallExpr) -> bool {
    let written = call.args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_)));
    match call.func_name.as_str() {
        "size" => true,
        operators::EQUALS | operators::NOT_EQUALS => written,
        _ => false,
    }
}

/// What comes out is true or false.
fn is_boolean(function: &str) -> bool {
    matches!(
        function,
        operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::IN
    )
}

/// `@result + [x]`, with which `map` and `filter` collect: the crate does so in place when it
/// finds it as it is.
fn is_collecting(call: &CallExpr) -> bool {
    call.func_name == operators::ADD
        && matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'))
}
