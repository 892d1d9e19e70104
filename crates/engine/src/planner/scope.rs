//! What a reference means at one place: which inputs, which `each`, which steps can be seen.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;
use switchback_model::ids::StepId;
use switchback_model::plan::OutputRef;

use super::arg::{Arg, ArgKind, OutRef, Piece};
use super::budget::{self, MAX_VALUES};
use super::expand::{Each, Steps};
use super::includes::included;
use super::inputs::Inputs;
use super::target::{Target, Use};
use crate::runbook::{
    Diagnostic, Diagnostics, Node, NodeValue, Part, RefField, RefPath, Span, Spanned, Text, did_you_mean, listed,
    parse_text,
};

/// The place from which references are resolved.
pub(crate) struct Scope<'s, 'a, 'r> {
    pub(super) inputs: &'s Inputs,
    pub(super) each: Option<&'s Each>,
    /// The steps, and the phase of the one that refers to them.
    pub(super) steps: Option<(&'s Steps<'a, 'r>, usize)>,
    pub(super) phases: &'s [String],
    pub(super) errors: &'s mut Diagnostics,
    /// The steps that were referred to, and where.
    pub(crate) needs: HashMap<u32, Span>,
}

/// A text with the place of its node.
pub(super) struct InText<'t> {
    pub(super) text: &'t Text,
    pub(super) whole: Span,
}

impl InText<'_> {
    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        self.text.span_of(range.start, range.end, self.whole)
    }
}

enum Resolved<'r> {
    Value(Value),
    Secret(String),
    One(OutRef<'r>),
    All(Vec<OutRef<'r>>),
    Broken,
}

impl<'s, 'a, 'r> Scope<'s, 'a, 'r> {
    /// Where only inputs are known.
    pub(crate) fn plan_time(inputs: &'s Inputs, errors: &'s mut Diagnostics) -> Self {
        Self { inputs, each: None, steps: None, phases: &[], errors, needs: HashMap::new() }
    }

    /// In a step.
    pub(crate) fn in_step(
        inputs: &'s Inputs,
        each: Option<&'s Each>,
        steps: &'s Steps<'a, 'r>,
        phase: usize,
        phases: &'s [String],
        errors: &'s mut Diagnostics,
    ) -> Self {
        Self { inputs, each, steps: Some((steps, phase)), phases, errors, needs: HashMap::new() }
    }

    fn error(&mut self, diagnostic: Diagnostic) -> Resolved<'r> {
        self.errors.push(diagnostic);
        Resolved::Broken
    }

    /// "did you mean"; said only while errors are still shown, since it looks at every name.
    pub(super) fn suggest<'n>(
        &self,
        given: &str,
        names: impl Iterator<Item = &'n str>,
        otherwise: impl FnOnce() -> String,
    ) -> String {
        if self.errors.is_full() { String::new() } else { did_you_mean(given, names, otherwise) }
    }

    /// Takes what something at `span` adds to the plan from what a plan may have; `false`: it may not.
    pub(crate) fn charge(&mut self, cost: usize, span: Span) -> bool {
        let budget = &self.inputs.budget;
        if budget.is_spent() {
            return false;
        }
        budget.take(cost);
        if budget.is_spent() {
            self.errors.push(
                Diagnostic::new("plan::too_large", "the plan becomes too large")
                    .at(span, "with this, at the latest")
                    .help(format!("a plan holds {MAX_VALUES} values; repeat less with references and `for_each`")),
            );
        }
        !budget.is_spent()
    }

    fn which_inputs(&self) -> String {
        match self.inputs.names().next() {
            Some(_) => format!("the inputs are {}", listed(self.inputs.names())),
            None => "the runbook has none".to_owned(),
        }
    }

    /// Names for an error that will be shown.
    pub(super) fn sorted<'n>(&self, names: impl Iterator<Item = &'n String>) -> Vec<&'n str> {
        if self.errors.is_full() {
            return Vec::new();
        }
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// A value with all its references resolved.
    pub(crate) fn resolve(&mut self, node: &Node) -> Arg<'r> {
        let span = node.span;
        let kind = match &node.value {
            _ if self.inputs.budget.is_spent() => ArgKind::Broken,
            NodeValue::Text(text) => return self.text(text, span),
            NodeValue::List(items) => ArgKind::List(items.iter().map(|n| self.resolve(n)).collect()),
            NodeValue::Map(entries) => {
                if let Some((what, entry)) = included(entries) {
                    return self.include(what, entry);
                }
                ArgKind::Map(entries.iter().map(|e| (self.key(&e.key), self.resolve(&e.value))).collect())
            }
            _ if !self.charge(1, span) => ArgKind::Broken,
            _ => ArgKind::Value(node.to_json(), None),
        };
        Arg { span, kind }
    }

    /// Keys are texts as they are; `$${` stands for `${` as everywhere.
    fn key(&mut self, key: &Spanned<String>) -> Spanned<String> {
        self.charge(budget::of_text(&key.value), key.span);
        if !key.value.contains("${") {
            return key.clone();
        }
        match parse_text(&key.value).as_deref() {
            Ok([]) => key.clone(),
            Ok([Part::Text(text)]) => Spanned::new(text.clone(), key.span),
            _ => {
                self.errors.push(
                    Diagnostic::new("reference::in_key", "a key cannot hold a reference")
                        .at(key.span, "this is a key")
                        .help("references stand in values only; `$${` stands for a literal `${`"),
                );
                key.clone()
            }
        }
    }

    /// A text with its references resolved.
    pub(crate) fn text(&mut self, text: &Text, whole: Span) -> Arg<'r> {
        if !self.charge(budget::of_text(&text.value), whole) {
            return Arg::broken(whole);
        }
        if !text.value.contains("${") {
            return Arg { span: whole, kind: ArgKind::Value(Value::String(text.value.clone()), None) };
        }
        let at = InText { text, whole };
        let parts = match parse_text(&text.value) {
            Ok(parts) => parts,
            Err(e) => {
                self.errors.push(
                    Diagnostic::new("reference::malformed", e.message).at(at.span(&e.range), "here").help(e.help),
                );
                return Arg::broken(whole);
            }
        };
        if let [Part::Ref(path, _)] = parts.as_slice() {
            let kind = match self.reference(path, &at) {
                Resolved::Value(value) => ArgKind::Value(value, Some(format!("`${{{}}}`", path.text()))),
                Resolved::Secret(name) => ArgKind::Secret(name),
                Resolved::One(out) => ArgKind::Ref(out),
                Resolved::All(outs) => {
                    ArgKind::List(outs.into_iter().map(|out| Arg { span: whole, kind: ArgKind::Ref(out) }).collect())
                }
                Resolved::Broken => ArgKind::Broken,
            };
            return Arg { span: whole, kind };
        }
        self.join(&parts, &at)
    }

    fn join(&mut self, parts: &[Part], at: &InText<'_>) -> Arg<'r> {
        let mut pieces: Vec<Piece<'r>> = Vec::new();
        let mut broken = false;
        let known = |pieces: &mut Vec<Piece<'r>>, text: &str| match pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => pieces.push(Piece::Text(text.to_owned())),
        };
        for part in parts {
            let (path, range) = match part {
                Part::Text(text) => {
                    known(&mut pieces, text);
                    continue;
                }
                Part::Ref(path, range) => (path, range),
            };
            let refused = match self.reference(path, at) {
                Resolved::Value(Value::String(text)) => {
                    known(&mut pieces, &text);
                    None
                }
                Resolved::Value(value @ (Value::Number(_) | Value::Bool(_))) => {
                    known(&mut pieces, &value.to_string());
                    None
                }
                Resolved::Value(Value::Null) => Some("nothing"),
                Resolved::Secret(_) => Some("a secret"),
                Resolved::Value(Value::Array(_)) | Resolved::All(_) => Some("a list"),
                Resolved::Value(Value::Object(_)) => Some("a map"),
                Resolved::One(out) => {
                    use super::shape::Types;
                    let scalar = Types::TEXT.or(Types::NUMBER).or(Types::BOOL);
                    let fits = !out.op.output.types(out.shape).and(scalar).is_empty();
                    pieces.push(Piece::Ref(out));
                    (!fits).then_some("a list or a map")
                }
                Resolved::Broken => {
                    broken = true;
                    None
                }
            };
            if let Some(what) = refused {
                broken = true;
                self.errors.push(
                    Diagnostic::new(
                        "reference::in_text",
                        format!("`${{{}}}` is {what} and cannot be part of a text", path.text()),
                    )
                    .at(at.span(range), format!("this is {what}"))
                    .help(if what == "a secret" {
                        "a text is stored in the plan; a secret stands alone, where an operation takes one"
                    } else {
                        "a reference keeps its type only when it is all that the text consists of"
                    }),
                );
            }
        }
        let kind = match pieces.as_mut_slice() {
            _ if broken => ArgKind::Broken,
            [] => ArgKind::Value(Value::String(String::new()), None),
            [Piece::Text(text)] => ArgKind::Value(Value::String(std::mem::take(text)), None),
            _ => ArgKind::Join(pieces),
        };
        Arg { span: at.whole, kind }
    }

    fn reference(&mut self, path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        match path.root.name.as_str() {
            "inputs" => self.input(path, at),
            "each" => self.each_value(path, at),
            _ => self.output(path, at),
        }
    }

    fn no_selector(&mut self, path: &RefPath, at: &InText<'_>) -> Option<Resolved<'r>> {
        let (_, range) = path.selector.as_ref()?;
        let d = Diagnostic::new("reference::selector", format!("`{}` has no elements to select", path.root.name));
        Some(self.error(
            d.at(at.span(range), "brackets select an element of a step with `for_each`").help("remove the brackets"),
        ))
    }

    fn input(&mut self, path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        if let Some(refused) = self.no_selector(path, at) {
            return refused;
        }
        let Some((name, fields)) = path.fields.split_first() else {
            let d = Diagnostic::new("reference::unknown_input", "a reference to an input must name it");
            let help = format!("write `${{inputs.NAME}}`; {}", self.which_inputs());
            return self.error(d.at(at.span(&path.root.range), "which input?").help(help));
        };
        if self.inputs.is_secret(&name.name) {
            return self.secret(&name.name, fields, path, at);
        }
        match self.inputs.get(&name.name) {
            None => {
                let help = self.suggest(&name.name, self.inputs.names(), || {
                    format!("declare it under `inputs:`; {}", self.which_inputs())
                });
                let d = Diagnostic::new("reference::unknown_input", format!("there is no input `{}`", name.name));
                self.error(d.at(at.span(&name.range), "this input is not declared").help(help))
            }
            Some(None) => Resolved::Broken,
            Some(Some(value)) => self.inside(value, fields, path, at),
        }
    }

    fn secret(&mut self, name: &str, fields: &[RefField], path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        let text = path.text();
        if let Some(field) = fields.first() {
            let d = Diagnostic::new("reference::unknown_field", format!("`${{{text}}}`: a secret has no fields"));
            return self.error(
                d.at(at.span(&field.range), "this field is not there")
                    .help("a secret is one text; `from: { secrets_manager: ... }` takes a `json_key`"),
            );
        }
        if self.steps.is_none() {
            let d = Diagnostic::new("plan::secret", format!("`${{{text}}}` is a secret and cannot stand here"));
            return self.error(
                d.at(at.whole, "what stands here goes into the plan")
                    .help("a secret stands alone, in the parameters of an operation that takes one"),
            );
        }
        Resolved::Secret(name.to_owned())
    }

    fn each_value(&mut self, path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        if let Some(refused) = self.no_selector(path, at) {
            return refused;
        }
        let Some(each) = self.each else {
            let d =
                Diagnostic::new("reference::each", "`each` is only known in the parameters of a step with `for_each`");
            return self.error(
                d.at(at.span(&path.root.range), "not known here")
                    .help("add `for_each` to the step, or refer to an input"),
            );
        };
        match path.fields.split_first() {
            Some((name, [])) if name.name == "key" => Resolved::Value(Value::String(each.key.clone())),
            Some((name, fields)) if name.name == "value" => self.inside(&each.value, fields, path, at),
            _ => {
                let range = path.fields.first().map_or(&path.root.range, |f| &f.range);
                let d = Diagnostic::new("reference::each", "`each` has a `key` and a `value`");
                self.error(
                    d.at(at.span(range), "it has nothing else")
                        .help("write `${each.key}`, `${each.value}` or `${each.value.FIELD}`"),
                )
            }
        }
    }

    /// A field inside of a known value.
    fn inside(&mut self, value: &Value, fields: &[RefField], path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        let mut here = value;
        for field in fields {
            match here.get(&field.name) {
                Some(next) => here = next,
                None => {
                    let mut names: Vec<&str> =
                        here.as_object().into_iter().flatten().map(|(k, _)| k.as_str()).collect();
                    names.sort_unstable();
                    let help = self.suggest(&field.name, names.iter().copied(), || match here.is_object() {
                        true => format!("its fields are {}", listed(names.iter().copied())),
                        false => "the value is not a map".to_owned(),
                    });
                    let d = Diagnostic::new(
                        "reference::unknown_field",
                        format!("`${{{}}}`: there is no field `{}`", path.text(), field.name),
                    );
                    return self.error(d.at(at.span(&field.range), "this field is not there").help(help));
                }
            }
        }
        if !self.charge(budget::of_value(here), at.whole) {
            return Resolved::Broken;
        }
        Resolved::Value(here.clone())
    }

    fn output(&mut self, path: &RefPath, at: &InText<'_>) -> Resolved<'r> {
        let root = &path.root;
        let end = path.selector.as_ref().map_or(root.range.end, |(_, range)| range.end + 1);
        let target = self.target(&root.name, at.span(&root.range), path.selector.as_ref(), at, Use::Reference);
        let (entry, one, all): (_, _, &[u32]) = match target {
            Target::One(entry, index) => (entry, Some(index), &[]),
            Target::All(entry, indexes) => (entry, None, indexes),
            Target::Broken => return Resolved::Broken,
        };
        let whole = at.span(&(root.range.start..end));
        for index in one.iter().chain(all) {
            self.needs.entry(*index).or_insert(whole);
        }
        let Some(info) = entry.info.clone() else { return Resolved::Broken };
        let mut shape = info.output.root;
        if path.fields.is_empty() {
            let d = Diagnostic::new("reference::no_field", format!("`${{{}}}` does not say which field", path.text()));
            let help = format!("`{}` gives {}", entry.spec.op.value, listed(info.output.field_names(shape)));
            return self.error(d.at(whole, "a field of its output is wanted").help(help));
        }
        for field in &path.fields {
            match info.output.field(shape, &field.name) {
                Some(next) => shape = next,
                None => {
                    let names = info.output.field_names(shape);
                    let help = self.suggest(&field.name, names.iter().copied(), || match names.is_empty() {
                        true => "what stands before it has no fields".to_owned(),
                        false => format!("the fields are {}", listed(names.iter().copied())),
                    });
                    let message = format!("the output of step `{}` has no field `{}`", root.name, field.name);
                    let d = Diagnostic::new("reference::unknown_field", message);
                    return self.error(d.at(at.span(&field.range), "this field is not there").help(help));
                }
            }
        }
        let fields: Vec<String> = path.fields.iter().map(|f| f.name.clone()).collect();
        let steps = self.steps.map(|(steps, _)| steps);
        let out = |index: &u32| {
            let step =
                steps.and_then(|s| s.list.get(*index as usize)).map_or_else(|| StepId::new(""), |i| i.id.clone());
            OutRef { target: OutputRef { step, path: fields.clone() }, op: info.clone(), shape }
        };
        match one {
            Some(index) => Resolved::One(out(&index)),
            None => Resolved::All(all.iter().map(out).collect()),
        }
    }
}
