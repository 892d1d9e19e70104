//! YAML 1.2 to a tree of values with spans. The only module that knows the YAML crate.
//!
//! It listens to the parser's events instead of deserializing through serde, for three reasons:
//! all duplicate keys are found instead of the first, each with the place of its first use; a
//! scalar's notation is known, so `"5432"` stays a text and a key stays as it was written; and
//! nothing of YAML 1.1 (`yes`, `0o17` written as `017`, `<<`) gets in by accident.
//!
//! Strict: one document, text keys, no tags, no merge keys, no numbers that JSON cannot hold.
//! Anchors and aliases are YAML 1.2 and work, within limits that an alias bomb cannot pass.

use std::collections::HashMap;

use serde_json::Number;
use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::node::{Entry, Node, NodeValue, Spanned, Text};
use super::source::{Source, Span};

/// How many values all aliases of a file together may repeat, 64 bytes of a text being one.
const ALIAS_BUDGET: usize = 1_000_000;
/// So many bytes of a text count as one value.
const TEXT: usize = 64;
/// How deep values may nest, aliases followed. A plan must be readable again, and `serde_json`
/// reads 128 levels: one of the file can take two in the plan, and values that come in through
/// inputs and `for_each` add theirs.
pub(crate) const MAX_DEPTH: usize = 24;

/// The tree of a file that holds one YAML document. What is wrong goes into `errors`; without a
/// tree the file could not be read on.
pub(crate) fn parse_tree(source: &Source, errors: &mut Diagnostics) -> Option<Node> {
    let options = granit_parser::options! { emit_comments: false };
    let mut builder = Builder { source, errors, stack: Vec::new(), anchors: HashMap::new(), aliased: 0, root: None };
    let mut documents = 0;
    for next in Parser::new_from_str_with_options(source.text(), options) {
        let (event, span) = match next {
            Ok(next) => next,
            Err(e) => {
                let at = builder.place(&e);
                builder.errors.push(syntax_error(source, &e, at));
                return None;
            }
        };
        let span = builder.span(&span);
        if let Event::DocumentStart(..) = event {
            documents += 1;
            if documents > 1 {
                builder.errors.push(
                    Diagnostic::new("yaml::several_documents", "the file holds more than one YAML document")
                        .at(span, "the second one begins here")
                        .help("put each runbook into a file of its own, and remove the `---`"),
                );
                return None;
            }
        }
        builder.event(event, span)?;
    }
    let root = builder.root.take();
    if root.is_none() {
        errors.push(
            Diagnostic::new("yaml::empty", "the file is empty")
                .at(Span::new(0, 0), "nothing here")
                .help("a runbook begins with `runbook: NAME`, `version: 1` and `phases:`"),
        );
    }
    root
}

fn syntax_error(source: &Source, e: &ScanError, at: Span) -> Diagnostic {
    let ends_early = matches!(
        e.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::UnexpectedEofBlockSequence
            | ErrorKind::UnexpectedEofBlockMapping
    ) || at.start() >= source.text().trim_end().len();
    let info = e.info();
    let d = Diagnostic::new("yaml::syntax", format!("this is not YAML: {info}"));
    if info.starts_with("unclosed") {
        d.at(at, "opened here and never closed").help("close it; if the file ends in the middle, get the rest of it")
    } else if info.contains("a tab") || info.contains("tab cannot") {
        d.at(at, "").help("YAML is indented with blanks: replace the tab here or on the next line")
    } else if ends_early {
        d.at(at, "the file ends here").help("the file ends in the middle of a value: is it complete?")
    } else {
        d.at(at, "")
            .help("check the indentation, the quotes and the brackets here and on the line before; a text that holds `: `, ` #`, `{` or `[` needs quotes")
    }
}

/// A list or map that is being read.
struct Frame {
    span: Span,
    anchor: usize,
    flow: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Spanned<String>> },
}

/// A node that aliases may repeat, with its number of values and its depth.
struct Anchored {
    node: Node,
    count: usize,
    depth: usize,
}

struct Builder<'a> {
    source: &'a Source,
    errors: &'a mut Diagnostics,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn span(&self, span: &granit_parser::Span) -> Span {
        span.byte_range().map_or_else(|| self.at(span.start.line(), span.start.col()), |r| Span::new(r.start, r.end))
    }

    fn place(&self, e: &ScanError) -> Span {
        let marker = e.marker();
        let text = self.source.text();
        let start = marker.byte_offset().unwrap_or_else(|| self.at(marker.line(), marker.col()).start());
        // At the end of the file, point behind the last thing that is there.
        let start = start.min(text.trim_end().len());
        let len =
            text.get(start..).and_then(|rest| rest.chars().next()).filter(|c| *c != '\n').map_or(0, char::len_utf8);
        Span::new(start, start + len)
    }

    /// From a line (from 1) and a column (from 0, in characters): only where bytes are unknown.
    fn at(&self, line: usize, column: usize) -> Span {
        let text = self.source.text();
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = text.get(start..).unwrap_or("");
        let at = start + rest.char_indices().nth(column).map_or(rest.len(), |(i, _)| i);
        Span::new(at, at)
    }

    /// `None`: the file cannot be read on.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    self.no_tags(span);
                }
                if self.wants_key() {
                    return self.key(&text, style, span);
                }
                let node = self.scalar(&text, style, span);
                self.finish(node, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(Content::List(Vec::new()), style, anchor, tag.is_some(), span)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.open(Content::Map { entries: Vec::new(), key: None }, style, anchor, tag.is_some(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let frame = self.stack.pop()?;
                let (last, value) = match frame.content {
                    Content::List(items) => (items.last().map(|n| n.span), NodeValue::List(items)),
                    Content::Map { entries, .. } => {
                        let entries = self.without_duplicates(entries);
                        (entries.last().map(|e| e.key.span.to(e.value.span)), NodeValue::Map(entries))
                    }
                };
                let end = if frame.flow { span } else { last.unwrap_or(frame.span) };
                self.finish(Node { value, span: frame.span.to(end) }, frame.anchor)
            }
            Event::Alias(id) => self.alias(id, span),
            Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 2) => {
                self.errors.push(
                    Diagnostic::new("yaml::version", "a runbook is YAML 1.2")
                        .at(span, "another version is declared here")
                        .help("remove the `%YAML` line"),
                );
                Some(())
            }
            _ => Some(()),
        }
    }

    fn no_tags(&mut self, span: Span) {
        self.errors.push(
            Diagnostic::new("yaml::tag", "tags such as `!!str` or `!include` are not part of a runbook")
                .at(span, "this value has a tag")
                .help("remove the tag; to make a text of a number, put it into quotes"),
        );
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn bad_key(&mut self, span: Span) -> Option<()> {
        self.errors.push(
            Diagnostic::new("yaml::key", "a key must be a text")
                .at(span, "this is used as a key")
                .help("write `key: value`; a text that holds `${`, `{` or `[` needs quotes"),
        );
        None
    }

    fn key(&mut self, text: &str, style: ScalarStyle, span: Span) -> Option<()> {
        if style == ScalarStyle::Plain && matches!(text, "" | "~") {
            return self.bad_key(span);
        }
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(Spanned::new(text.to_owned(), span));
        }
        Some(())
    }

    fn open(&mut self, content: Content, style: StructureStyle, anchor: usize, tag: bool, span: Span) -> Option<()> {
        if tag {
            self.no_tags(span);
        }
        if self.wants_key() {
            return self.bad_key(span);
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.too_deep(span);
        }
        self.stack.push(Frame { span, anchor, flow: style == StructureStyle::Flow, content });
        Some(())
    }

    fn too_deep(&mut self, span: Span) -> Option<()> {
        self.errors.push(
            Diagnostic::new("yaml::too_deep", "values nest too deep")
                .at(span, "here")
                .help(format!("at most {MAX_DEPTH} lists and maps inside of each other")),
        );
        None
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor != 0 {
            let (count, depth) = size(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), count, depth });
        }
        match self.stack.last_mut().map(|f| &mut f.content) {
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => entries.push(Entry { key: key.take()?, value: node }),
            None => self.root = Some(node),
        }
        Some(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<()> {
        if self.wants_key() {
            return self.bad_key(span);
        }
        let Some(Anchored { node, count, depth }) = self.anchors.get(&id) else {
            self.errors.push(
                Diagnostic::new("yaml::alias", "an alias cannot stand inside of what it repeats")
                    .at(span, "this would never end"),
            );
            return None;
        };
        if self.stack.len() + depth > MAX_DEPTH {
            return self.too_deep(span);
        }
        self.aliased = self.aliased.saturating_add(*count);
        if self.aliased > ALIAS_BUDGET {
            self.errors.push(
                Diagnostic::new("yaml::too_many_aliases", "the aliases of this file repeat too much")
                    .at(span, "one repetition too many")
                    .help(format!("all aliases together may repeat {ALIAS_BUDGET} values")),
            );
            return None;
        }
        let node = node.clone();
        self.finish(node, 0)
    }

    fn without_duplicates(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        let key = |i: &usize| entries.get(*i).map(|e| e.key.value.as_str());
        order.sort_by(|a, b| key(a).cmp(&key(b)).then(a.cmp(b)));
        let mut doubled = vec![false; entries.len()];
        let mut first = None::<&Entry>;
        for i in order {
            let (Some(entry), Some(mark)) = (entries.get(i), doubled.get_mut(i)) else { continue };
            match first {
                Some(seen) if seen.key.value == entry.key.value => {
                    *mark = true;
                    self.errors.push(
                        Diagnostic::new("yaml::duplicate_key", format!("the key `{}` is given twice", entry.key.value))
                            .at(entry.key.span, "given again here")
                            .at(seen.key.span, "first given here")
                            .help("remove one of them"),
                    );
                }
                _ => first = Some(entry),
            }
            if entry.key.value == "<<" && self.source.slice(entry.key.span) == "<<" {
                *mark = true;
                self.errors.push(
                    Diagnostic::new("yaml::merge_key", "merge keys (`<<`) are YAML 1.1 and not part of a runbook")
                        .at(entry.key.span, "a merge key")
                        .help("write the keys out, or use `for_each`"),
                );
            }
        }
        let mut doubled = doubled.into_iter();
        entries.into_iter().filter(|_| doubled.next() != Some(true)).collect()
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: Span) -> Node {
        let value = if style == ScalarStyle::Plain { self.plain(text, span) } else { None };
        let value = value.unwrap_or_else(|| {
            let offset = usize::from(style != ScalarStyle::Plain);
            let inside = Span::new(span.start() + offset, span.start() + offset + text.len());
            let verbatim = (self.source.slice(inside) == text).then_some(inside.start);
            NodeValue::Text(Text { value: text.to_owned(), verbatim })
        });
        Node { value, span }
    }

    /// The core schema of YAML 1.2. `None`: it is a text.
    fn plain(&mut self, text: &str, span: Span) -> Option<NodeValue> {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Some(NodeValue::Null),
            "true" | "True" | "TRUE" => return Some(NodeValue::Bool(true)),
            "false" | "False" | "FALSE" => return Some(NodeValue::Bool(false)),
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let number = match unsigned.as_bytes() {
            [b'0', b'x', ..] if unsigned.len() == text.len() => radix(unsigned, "0x", 16)?,
            [b'0', b'o', ..] if unsigned.len() == text.len() => radix(unsigned, "0o", 8)?,
            [b'0', b'0'..=b'9', ..] if unsigned.bytes().all(|b| b.is_ascii_digit()) => {
                self.errors.push(
                    Diagnostic::new("yaml::leading_zero", format!("`{text}` begins with a zero: is it a number?"))
                        .at(span, "YAML 1.1 and 1.2 read this differently")
                        .help(format!("write \"{text}\" in quotes for a text, or drop the zeros for a number")),
                );
                return Some(NodeValue::Null);
            }
            bytes if bytes.iter().all(u8::is_ascii_digit) => text.trim_start_matches('+').parse::<Number>().ok(),
            _ if is_float(unsigned) => text.parse::<f64>().ok().and_then(Number::from_f64),
            _ if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") => None,
            _ => return None,
        };
        let fits = number.filter(|n| !unsigned.bytes().all(|b| b.is_ascii_digit()) || n.is_i64() || n.is_u64());
        if fits.is_none() {
            self.errors.push(
                Diagnostic::new("yaml::number", format!("the number `{text}` cannot be stored"))
                    .at(span, "too large, or not finite")
                    .help(format!("write \"{text}\" in quotes if it is a text")),
            );
            return Some(NodeValue::Null);
        }
        fits.map(NodeValue::Number)
    }
}

/// The outer `None`: it is a text. The inner one: it is a number and too large.
fn radix(text: &str, prefix: &str, radix: u32) -> Option<Option<Number>> {
    let digits = text.strip_prefix(prefix)?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
        .then(|| u64::from_str_radix(digits, radix).ok().map(Number::from))
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?` or `\.[0-9]+(...)?`, without its sign.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at).unwrap_or(""), text.get(at + 1..)),
        None => (text, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, part)) => {
            (digits(whole) && (part.is_empty() || digits(part))) || (whole.is_empty() && digits(part))
        }
        None => digits(mantissa),
    };
    mantissa_ok && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// The number of values in a node, a long text being several, and how deep it is.
fn size(node: &Node) -> (usize, usize) {
    let mut total = (1, 1);
    if let NodeValue::Text(text) = &node.value {
        total.0 += text.value.len() / TEXT;
    }
    let mut add = |inner: &Node| {
        let (count, depth) = size(inner);
        total = (total.0 + count, total.1.max(depth + 1));
    };
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(&mut add),
        NodeValue::Map(entries) => {
            entries.iter().for_each(|e| add(&e.value));
            total.0 += entries.iter().map(|e| e.key.value.len() / TEXT).sum::<usize>();
        }
        _ => {}
    }
    total
}
