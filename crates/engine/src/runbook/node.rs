//! A tree of values, each with its place in the file.

use serde_json::{Map, Number, Value};

use super::source::Span;

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: NodeValue,
    /// From its first to its last character. Of a list or map without brackets: to the end of
    /// the last element.
    pub span: Span,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file, without duplicate keys.
    Map(Vec<Entry>),
}

/// A text, and where its characters stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, after unescaping.
    pub value: String,
    /// Where the first character stands, when the text stands in the file as it is: then a
    /// place in the text is a place in the file.
    pub verbatim: Option<u32>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, as it was written.
    pub key: Spanned<String>,
    /// The value.
    pub value: Node,
}

impl Text {
    /// Where the bytes `start..end` of the text stand; the whole of it (`whole`) when the text
    /// was escaped or folded.
    #[must_use]
    pub fn span_of(&self, start: usize, end: usize, whole: Span) -> Span {
        match self.verbatim {
            Some(at) => Span::new(at as usize + start, at as usize + end),
            None => whole,
        }
    }
}

impl Node {
    /// What kind of value it is, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Number(_) => "a number",
            NodeValue::Text(_) => "a text",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a map",
        }
    }

    /// As JSON, every text as it is.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(b) => Value::Bool(*b),
            NodeValue::Number(n) => Value::Number(n.clone()),
            NodeValue::Text(t) => Value::String(t.value.clone()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeValue::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.value.clone(), e.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }
}
