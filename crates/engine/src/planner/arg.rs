//! A parameter after its references are resolved, with its places in the file and with what is
//! known about the values that only exist at run time.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;
use switchback_model::SecretRef;
use switchback_model::plan::{OutputRef, Template};

use super::catalog::OpInfo;
use super::shape::ShapeId;
use crate::runbook::{Span, Spanned};

/// A parameter, or a part of one.
#[derive(Clone)]
pub(crate) struct Arg<'r> {
    pub(crate) span: Span,
    pub(crate) kind: ArgKind<'r>,
}

#[derive(Clone)]
pub(crate) enum ArgKind<'r> {
    /// A value that is known, and what it came through: `` `${inputs.tags}` `` or a part of it.
    Value(Value, Option<String>),
    /// A field of a step's output.
    Ref(OutRef<'r>),
    /// A secret input, by its name.
    Secret(String),
    /// Texts and references, to be joined.
    Join(Vec<Piece<'r>>),
    List(Vec<Arg<'r>>),
    Map(Vec<(Spanned<String>, Arg<'r>)>),
    /// Something that is wrong and has been reported.
    Broken,
}

#[derive(Clone)]
pub(crate) enum Piece<'r> {
    Text(String),
    Ref(OutRef<'r>),
}

/// A field of a step's output, and its schema.
#[derive(Clone)]
pub(crate) struct OutRef<'r> {
    pub(crate) target: OutputRef,
    pub(crate) op: Rc<OpInfo<'r>>,
    pub(crate) shape: ShapeId,
}

impl<'r> Arg<'r> {
    pub(crate) const fn broken(span: Span) -> Self {
        Self { span, kind: ArgKind::Broken }
    }

    /// A list or map that came in as one value, taken apart. Its parts have no places of their
    /// own.
    pub(crate) fn unfolded(&self) -> Cow<'_, Self> {
        let ArgKind::Value(value, origin) = &self.kind else { return Cow::Borrowed(self) };
        let origin = origin.as_ref().map(|o| if o.starts_with('`') { format!("a part of {o}") } else { o.clone() });
        let part = |v: &Value| Self { span: self.span, kind: ArgKind::Value(v.clone(), origin.clone()) };
        let kind = match value {
            Value::Array(items) => ArgKind::List(items.iter().map(part).collect()),
            Value::Object(map) => {
                let mut fields: Vec<_> =
                    map.iter().map(|(k, v)| (Spanned::new(k.clone(), self.span), part(v))).collect();
                // The order must not depend on how the map was stored.
                fields.sort_by(|a, b| a.0.value.cmp(&b.0.value));
                ArgKind::Map(fields)
            }
            _ => return Cow::Borrowed(self),
        };
        Cow::Owned(Self { span: self.span, kind })
    }

    /// The value, when all of it is known.
    pub(crate) fn known(&self) -> Option<Value> {
        match &self.kind {
            ArgKind::Value(value, _) => Some(value.clone()),
            ArgKind::Secret(name) => Some(SecretRef::of_input(name).to_json()),
            ArgKind::Ref(_) | ArgKind::Join(_) | ArgKind::Broken => None,
            ArgKind::List(items) => items.iter().map(Self::known).collect::<Option<Vec<_>>>().map(Value::Array),
            ArgKind::Map(fields) => {
                let fields = fields.iter().map(|(k, v)| Some((k.value.clone(), v.known()?)));
                fields.collect::<Option<_>>().map(Value::Object)
            }
        }
    }

    /// As it goes into the plan. What is known becomes a literal, as large as can be.
    pub(crate) fn into_template(self) -> Template {
        match self.kind {
            ArgKind::Value(value, _) => Template::Lit(value),
            ArgKind::Ref(out) => Template::Ref(out.target),
            ArgKind::Secret(name) => Template::Secret(name),
            ArgKind::Join(pieces) => Template::Join(
                pieces
                    .into_iter()
                    .map(|piece| match piece {
                        Piece::Text(text) => Template::Lit(Value::String(text)),
                        Piece::Ref(out) => Template::Ref(out.target),
                    })
                    .collect(),
            ),
            ArgKind::List(items) => {
                let items: Vec<_> = items.into_iter().map(Self::into_template).collect();
                if items.iter().all(|t| matches!(t, Template::Lit(_))) {
                    Template::Lit(Value::Array(items.into_iter().map(literal).collect()))
                } else {
                    Template::List(items)
                }
            }
            ArgKind::Map(fields) => {
                let fields: Vec<_> = fields.into_iter().map(|(k, v)| (k.value, v.into_template())).collect();
                if fields.iter().all(|(_, t)| matches!(t, Template::Lit(_))) {
                    Template::Lit(Value::Object(fields.into_iter().map(|(k, t)| (k, literal(t))).collect()))
                } else {
                    Template::Map(fields.into_iter().collect())
                }
            }
            ArgKind::Broken => Template::Lit(Value::Null),
        }
    }

    /// Where the value at `path` stands, or the nearest thing around it.
    pub(crate) fn span_at(&self, path: &[String]) -> Option<Span> {
        let (first, rest) = path.split_first()?;
        let (at, inner) = match &self.kind {
            ArgKind::Map(fields) => fields.iter().find(|(k, _)| k.value == *first).map(|(_, v)| (v.span, v))?,
            ArgKind::List(items) => items.get(first.parse::<usize>().ok()?).map(|v| (v.span, v))?,
            _ => return Some(self.span),
        };
        Some(inner.span_at(rest).unwrap_or(at))
    }
}

fn literal(template: Template) -> Value {
    match template {
        Template::Lit(value) => value,
        _ => Value::Null,
    }
}
