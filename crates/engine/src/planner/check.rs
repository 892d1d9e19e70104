//! A parameter against the operation's schema.
//!
//! What is known is checked as a value. What only exists at run time is checked by the schema of
//! the output that it comes from; there the kinds of ids decide: where a `VpcId` is wanted, only
//! an output that is a `VpcId` will do, neither another id nor a text of unknown origin.

use serde_json::Value;

use super::arg::{Arg, ArgKind, OutRef, Piece};
use super::catalog::OpInfo;
use super::shape::{Rest, Shape, ShapeId, Shapes, Types};
use crate::runbook::{Diagnostic, Span, closest, did_you_mean, is_yaml_1_1_boolean, listed};

/// How deep alternatives may refer to alternatives before a value must come.
const MAX_CHAIN: usize = 64;

/// What is wrong with the parameters of a step. `head` is where the operation is named.
/// `output_of_kind` names an output of that kind of id, where there is one.
pub(crate) fn check_params(
    info: &OpInfo<'_>,
    args: &Arg<'_>,
    head: Span,
    output_of_kind: &dyn Fn(&str) -> Option<String>,
) -> Vec<Diagnostic> {
    let checker = Checker { shapes: &info.params, kind: info.op.kind(), head, output_of_kind };
    let mut problems = Vec::new();
    checker.check(args, info.params.root, "", MAX_CHAIN, &mut problems);
    checker.stray_secrets(args, &checker.all_of(std::iter::once(info.params.root)), "", &mut problems);
    problems
}

struct Checker<'a> {
    shapes: &'a Shapes,
    kind: &'a str,
    head: Span,
    output_of_kind: &'a dyn Fn(&str) -> Option<String>,
}

/// Whether all of it comes from elsewhere: then what is written here gives nothing away.
fn refers(arg: &Arg<'_>) -> bool {
    matches!(arg.kind, ArgKind::Value(_, Some(_)) | ArgKind::Ref(_) | ArgKind::Secret(_))
}

/// Why an output does not fit.
enum Misfit {
    Id { want: String, got: Option<String> },
    Type { want: Types, got: Types },
}

impl Checker<'_> {
    fn subject(&self, path: &str) -> String {
        if path.is_empty() { format!("`{}`", self.kind) } else { format!("`{path}`") }
    }

    fn check(&self, arg: &Arg<'_>, want: ShapeId, path: &str, depth: usize, out: &mut Vec<Diagnostic>) {
        let arg = &*arg.unfolded();
        match &arg.kind {
            ArgKind::Broken => return,
            // Whether they may stand here is asked for the whole step at once, below.
            ArgKind::Secret(_) => return,
            ArgKind::Value(Value::Null, _) => {}
            ArgKind::Ref(reference) if reference.op.output.is_secret(reference.shape) => return,
            _ if self.shapes.is_secret(want) => {
                let wanted = self.secret_wanted(arg.span, path);
                // A reference gives nothing away; what is written out may be the secret itself.
                out.push(if refers(arg) { wanted } else { wanted.hiding(arg.span) });
                return;
            }
            ArgKind::Ref(reference) => {
                if let Err(misfit) = fits(&reference.op.output, reference.shape, self.shapes, want, MAX_CHAIN) {
                    out.push(self.misfit(arg.span, reference, &misfit, path));
                }
                return;
            }
            ArgKind::Join(pieces) if self.shapes.id_kind(want).is_some() => {
                out.push(self.joined_id(arg.span, pieces, want, path));
                return;
            }
            _ => {}
        }
        let (got, wants) = (types(arg), self.shapes.types(want));
        if got.and(wants).is_empty() {
            out.push(self.wrong_type(arg, wants, path));
            return;
        }
        for facet in self.shapes.facets(want) {
            self.facet(arg, facet, want, path, depth, out);
            if !facet.any.is_empty() && depth > 0 {
                self.alternatives(arg, &facet.any, path, depth - 1, out);
            }
        }
    }

    /// Every secret in `arg` that stands where none is wanted, also where any value would do. `wants`
    /// are all schemas that speak about the place.
    fn stray_secrets(&self, arg: &Arg<'_>, wants: &[&Shape], path: &str, out: &mut Vec<Diagnostic>) {
        let name = match &arg.kind {
            ArgKind::Secret(name) => name.clone(),
            ArgKind::Ref(reference) if reference.op.output.is_secret(reference.shape) => reference.target.text(),
            ArgKind::Map(fields) => {
                for (key, value) in fields {
                    let inner = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    let field = |shape: &&Shape| match (shape.fields.get(&key.value), &shape.rest) {
                        (Some(field), _) | (None, Rest::Of(field)) => Some(*field),
                        _ => None,
                    };
                    self.stray_secrets(value, &self.all_of(wants.iter().filter_map(field)), &inner, out);
                }
                return;
            }
            ArgKind::List(items) => {
                let inner = self.all_of(wants.iter().filter_map(|shape| shape.items));
                for (i, item) in items.iter().enumerate() {
                    self.stray_secrets(item, &inner, &format!("{path}[{i}]"), out);
                }
                return;
            }
            _ => return,
        };
        if !wants.iter().any(|shape| shape.secret) {
            out.push(
                Diagnostic::new(
                    "plan::secret",
                    format!("{} does not take a secret, and `{name}` is one", self.subject(path)),
                )
                .at(arg.span, "this would be stored and shown like any other value")
                .help("a secret stands only where an operation takes one"),
            );
        }
    }

    /// Those schemas, and all that they are put together from or choose among.
    fn all_of(&self, ids: impl Iterator<Item = ShapeId>) -> Vec<&Shape> {
        let mut seen: Vec<ShapeId> = ids.collect();
        let mut next = 0;
        while let Some(at) = seen.get(next).copied() {
            let shape = self.shapes.get(at);
            for more in shape.all.iter().chain(&shape.any) {
                if !seen.contains(more) {
                    seen.push(*more);
                }
            }
            next += 1;
        }
        seen.into_iter().map(|id| self.shapes.get(id)).collect()
    }

    fn secret_wanted(&self, span: Span, path: &str) -> Diagnostic {
        Diagnostic::new("plan::secret", format!("{} wants a secret", self.subject(path)))
            .at(span, "this would be stored in the plan and in the journal")
            .help("declare an input of type `secret` and refer to it: `${inputs.NAME}`")
    }

    fn facet(&self, arg: &Arg<'_>, facet: &Shape, whole: ShapeId, path: &str, depth: usize, out: &mut Vec<Diagnostic>) {
        match &arg.kind {
            ArgKind::Map(fields) => {
                let mut misspelt = Vec::new();
                for (key, value) in fields {
                    let inner = if path.is_empty() { key.value.clone() } else { format!("{path}.{}", key.value) };
                    match (facet.fields.get(&key.value), &facet.rest) {
                        (Some(field), _) | (None, Rest::Of(field)) => self.check(value, *field, &inner, MAX_CHAIN, out),
                        (None, Rest::Any) => {}
                        (None, Rest::Refused) => {
                            let names = self.shapes.field_names(whole);
                            let known = names.iter().copied();
                            misspelt.extend(closest(&key.value, known.clone()));
                            let subject = self.subject(path);
                            let help = did_you_mean(&key.value, known.clone(), || match names.is_empty() {
                                true => format!("{subject} takes no parameters"),
                                false => format!("{subject} takes {}", listed(known.clone())),
                            });
                            let unknown = Diagnostic::new(
                                "plan::unknown_param",
                                format!("{subject} has no parameter `{}`", key.value),
                            )
                            .at(key.span, "this parameter is not known")
                            .help(help);
                            // A misspelt `password` holds one all the same.
                            let meant = closest(&key.value, known).and_then(|name| facet.fields.get(name));
                            let secret = meant.is_some_and(|field| self.shapes.is_secret(*field)) && !refers(value);
                            out.push(if secret { unknown.hiding(value.span) } else { unknown });
                        }
                    }
                }
                let given =
                    |name: &String| fields.iter().any(|(k, _)| k.value == *name) || misspelt.contains(&name.as_str());
                for name in facet.required.iter().filter(|name| !given(name)) {
                    let at = if path.is_empty() { self.head } else { arg.span };
                    let place = if path.is_empty() { "`with`".to_owned() } else { format!("`{path}`") };
                    out.push(
                        Diagnostic::new(
                            "plan::missing_param",
                            format!("{} wants the parameter `{name}`", self.subject(path)),
                        )
                        .at(at, format!("`{name}` is missing"))
                        .help(format!("add `{name}` to {place}")),
                    );
                }
            }
            ArgKind::List(items) => {
                self.range(arg, items.len() as u64, facet.counts, "elements", path, out);
                if let Some(shape) = facet.items {
                    for (i, item) in items.iter().enumerate() {
                        self.check(item, shape, &format!("{path}[{i}]"), depth, out);
                    }
                }
            }
            ArgKind::Value(value, origin) => self.scalar(arg, value, origin.as_deref(), facet, whole, path, out),
            ArgKind::Join(_) | ArgKind::Ref(_) | ArgKind::Secret(_) | ArgKind::Broken => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one value, one schema, one place")]
    fn scalar(
        &self,
        arg: &Arg<'_>,
        value: &Value,
        origin: Option<&str>,
        facet: &Shape,
        whole: ShapeId,
        path: &str,
        out: &mut Vec<Diagnostic>,
    ) {
        let subject = self.subject(path);
        if let Some(allowed) = &facet.allowed
            && !allowed.contains(value)
        {
            out.push(not_one_of(arg, value, allowed, &subject));
        }
        if let Some(text) = value.as_str() {
            self.range(arg, text.chars().count() as u64, facet.lengths, "characters", path, out);
            if let Some(pattern) = facet.pattern.as_ref().filter(|p| !p.is_match(text)) {
                let wants = match self.shapes.id_kind(whole) {
                    Some(kind) => format!("{} {kind}", article(kind)),
                    None => "another form of text".to_owned(),
                };
                let label = origin.map_or_else(|| "this does not match".to_owned(), |o| format!("{o} is `{text}`"));
                out.push(
                    Diagnostic::new("plan::pattern", format!("{subject} wants {wants}, not `{text}`"))
                        .at(arg.span, label)
                        .help(format!("it must match `{}`", pattern.as_str())),
                );
            }
        }
        if let Some(number) = value.as_f64() {
            let (least, most) = facet.numbers;
            let bound = match (least.filter(|l| number < *l), most.filter(|m| number > *m)) {
                (Some(least), _) => Some(format!("at least {least}")),
                (_, Some(most)) => Some(format!("at most {most}")),
                _ => None,
            };
            if let Some(bound) = bound {
                out.push(
                    Diagnostic::new("plan::out_of_range", format!("{subject} must be {bound}, not {number}"))
                        .at(arg.span, format!("this is {number}"))
                        .help(format!("give a number of {bound}")),
                );
            }
        }
    }

    fn range(
        &self,
        arg: &Arg<'_>,
        count: u64,
        (least, most): (Option<u64>, Option<u64>),
        what: &str,
        path: &str,
        out: &mut Vec<Diagnostic>,
    ) {
        let bound = match (least.filter(|l| count < *l), most.filter(|m| count > *m)) {
            (Some(least), _) => format!("at least {least}"),
            (_, Some(most)) => format!("at most {most}"),
            _ => return,
        };
        let one = least == Some(1) && count < 1 || most == Some(1) && count > 1;
        let what = if one { what.trim_end_matches('s') } else { what };
        out.push(
            Diagnostic::new("plan::out_of_range", format!("{} wants {bound} {what}, not {count}", self.subject(path)))
                .at(arg.span, format!("there are {count}"))
                .help(format!("give {bound} {what}")),
        );
    }

    /// At least one alternative must accept it; else the errors of the one that was meant.
    fn alternatives(&self, arg: &Arg<'_>, any: &[ShapeId], path: &str, depth: usize, out: &mut Vec<Diagnostic>) {
        let got = types(arg);
        let mut best: Option<Vec<Diagnostic>> = None;
        let mut allowed: Vec<Value> = Vec::new();
        let mut candidates = 0;
        for alt in any.iter().filter(|alt| !self.shapes.types(**alt).and(got).is_empty()) {
            let mut problems = Vec::new();
            self.check(arg, *alt, path, depth, &mut problems);
            if problems.is_empty() {
                return;
            }
            candidates += 1;
            allowed.extend(self.shapes.facets(*alt).into_iter().filter_map(|f| f.allowed.clone()).flatten());
            if best.as_ref().is_none_or(|b| problems.len() < b.len()) {
                best = Some(problems);
            }
        }
        match &arg.kind {
            // A Rust enum: each of its values is an alternative of its own.
            ArgKind::Value(value, _) if candidates > 1 && !allowed.is_empty() => {
                out.push(not_one_of(arg, value, &allowed, &self.subject(path)));
            }
            _ => out.extend(best.into_iter().flatten()),
        }
    }

    fn wrong_type(&self, arg: &Arg<'_>, wants: Types, path: &str) -> Diagnostic {
        let (got, subject, words) = (types(arg), self.subject(path), wants.given().words());
        let (what, origin) = match &arg.kind {
            ArgKind::Value(Value::Null, origin) => ("nothing".to_owned(), origin.as_deref()),
            ArgKind::Value(_, origin) => (got.words(), origin.as_deref()),
            ArgKind::List(_) => ("a list".to_owned(), None),
            _ => (got.words(), None),
        };
        let label = origin.map_or_else(|| format!("this is {what}"), |o| format!("{o} is {what}"));
        let help = match &arg.kind {
            ArgKind::Value(_, Some(_)) => format!("refer to a value that is {words}"),
            ArgKind::Value(Value::Number(_) | Value::Bool(_), None) if wants.given() == Types::TEXT => {
                "write it in quotes to make it a text".to_owned()
            }
            ArgKind::Value(Value::String(text), None) if wants.given() == Types::BOOL && is_yaml_1_1_boolean(text) => {
                format!("write `true` or `false`; `{text}` is a text in YAML 1.2")
            }
            ArgKind::Value(Value::String(text), None) if is_number(text) && !wants.and(Types::NUMBER).is_empty() => {
                "remove the quotes to make it a number".to_owned()
            }
            _ => format!("give {words}"),
        };
        Diagnostic::new("plan::wrong_type", format!("{subject} wants {words}, not {what}"))
            .at(arg.span, label)
            .help(help)
    }

    fn misfit(&self, span: Span, reference: &OutRef<'_>, misfit: &Misfit, path: &str) -> Diagnostic {
        let (subject, text) = (self.subject(path), format!("${{{}}}", reference.target.text()));
        match misfit {
            Misfit::Id { want, got } => {
                let is =
                    got.as_ref().map_or_else(|| "a plain text".to_owned(), |got| format!("{} {got}", article(got)));
                let a = article(want);
                Diagnostic::new("plan::wrong_id", format!("{subject} wants {a} {want}, `{text}` is {is}"))
                    .at(span, format!("this is {is}"))
                    .help(self.right_id(want))
            }
            Misfit::Type { want, got } => {
                let (want, got) = (want.given().words(), got.given().words());
                Diagnostic::new("plan::wrong_type", format!("{subject} wants {want}, `{text}` is {got}"))
                    .at(span, format!("this is {got}"))
                    .help(format!("refer to an output that is {want}"))
            }
        }
    }

    fn joined_id(&self, span: Span, pieces: &[Piece<'_>], want: ShapeId, path: &str) -> Diagnostic {
        let kind = self.shapes.id_kind(want).unwrap_or_default();
        let text: String = pieces
            .iter()
            .map(|p| match p {
                Piece::Text(text) => text.clone(),
                Piece::Ref(out) => format!("${{{}}}", out.target.text()),
            })
            .collect();
        let a = article(kind);
        Diagnostic::new("plan::wrong_id", format!("{} wants {a} {kind}, `{text}` is a plain text", self.subject(path)))
            .at(span, "this is put together from pieces")
            .help(format!("{}; what is put together at run time cannot be checked before", self.right_id(kind)))
    }

    fn right_id(&self, kind: &str) -> String {
        let example = (self.output_of_kind)(kind).map(|text| format!(", such as `{text}`")).unwrap_or_default();
        format!("refer to an output that is {} {kind}{example}", article(kind))
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<serde_json::Number>().is_ok()
}

/// "a" or "an".
fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn types(arg: &Arg<'_>) -> Types {
    match &arg.kind {
        ArgKind::Value(value, _) => Types::of(value),
        ArgKind::Join(_) => Types::TEXT,
        ArgKind::List(_) => Types::LIST,
        ArgKind::Map(_) | ArgKind::Secret(_) => Types::MAP,
        ArgKind::Ref(out) => out.op.output.types(out.shape),
        ArgKind::Broken => Types::ANY,
    }
}

fn not_one_of(arg: &Arg<'_>, value: &Value, allowed: &[Value], subject: &str) -> Diagnostic {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let names: Vec<String> = allowed.iter().filter(|v| !v.is_null()).map(text).collect();
    let given = text(value);
    let known = || names.iter().map(String::as_str);
    Diagnostic::new("plan::not_one_of", format!("{subject} cannot be `{given}`"))
        .at(arg.span, "this value is not known")
        .help(did_you_mean(&given, known(), || format!("it can be {}", listed(known()))))
}

/// Whether an output can stand where a parameter is wanted.
fn fits(have: &Shapes, out: ShapeId, wants: &Shapes, want: ShapeId, depth: usize) -> Result<(), Misfit> {
    if depth == 0 {
        return Ok(());
    }
    let (got, wanted) = (have.types(out), wants.types(want));
    if got.given().and(wanted).is_empty() {
        return Err(Misfit::Type { want: wanted, got });
    }
    let choices = wants.alternatives(want);
    if choices.len() > 1 {
        let mut first = None;
        for choice in choices {
            match fits(have, out, wants, choice, depth - 1) {
                Ok(()) => return Ok(()),
                Err(misfit) => first = first.or(Some(misfit)),
            }
        }
        return first.map_or(Ok(()), Err);
    }
    if let Some(kind) = wants.id_kind(want) {
        let has = have.id_kind(out);
        if has != Some(kind) {
            return Err(Misfit::Id { want: kind.to_owned(), got: has.map(str::to_owned) });
        }
    }
    let inner_want = choices.first().copied().unwrap_or(want);
    let inner_out = match have.alternatives(out).as_slice() {
        [only] => *only,
        _ => out,
    };
    if let (Some(items), Some(wanted)) = (items(have, inner_out), items(wants, inner_want)) {
        fits(have, items, wants, wanted, depth - 1)?;
    }
    for name in wants.field_names(inner_want) {
        if let (Some(field), Some(wanted)) = (have.field(inner_out, name), wants.field(inner_want, name)) {
            fits(have, field, wants, wanted, depth - 1)?;
        }
    }
    Ok(())
}

fn items(shapes: &Shapes, id: ShapeId) -> Option<ShapeId> {
    shapes.facets(id).into_iter().find_map(|s| s.items)
}
