//! An error in a file: what is wrong, where, and what to do about it.
//!
//! Errors are collected, not thrown one at a time: whoever mends a runbook wants to see all of
//! them at once. Which errors there are is decided by who finds them; this module only holds and
//! shows them.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};

use super::source::{Source, Span, is_control};

/// How many errors are kept. The rest is counted.
const KEPT: usize = 100;

/// A place in a file, with a word about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be seen there; may be empty.
    pub text: String,
}

/// One error in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable name of the kind of error, `runbook::unknown_key`.
    pub code: &'static str,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// The places. The first one is where it is wrong.
    pub labels: Vec<Label>,
    /// What was expected and what to do.
    pub help: Option<String>,
    /// What stands there is for nobody to read: it is shown as asterisks, in every error.
    pub hides: Option<Span>,
}

impl Diagnostic {
    /// An error without a place.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), help: None, hides: None }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// What stands at that place is shown by no error of this file.
    #[must_use]
    pub const fn hiding(mut self, span: Span) -> Self {
        self.hides = Some(span);
        self
    }

    /// Without control characters from the file, which would reach the terminal.
    fn shown(&self) -> Self {
        let clean = |text: &str| text.chars().map(|c| if is_control(c) || c == '\n' { '?' } else { c }).collect();
        Self {
            code: self.code,
            message: clean(&self.message),
            labels: self.labels.iter().map(|l| Label { span: l.span, text: clean(&l.text) }).collect(),
            help: self.help.as_deref().map(clean),
            hides: self.hides,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.labels.is_empty() {
            return None;
        }
        Some(Box::new(self.labels.iter().enumerate().map(|(i, label)| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let (at, len) = (label.span.start(), label.span.end() - label.span.start());
            if i == 0 { LabeledSpan::new_primary_with_span(text, (at, len)) } else { LabeledSpan::new(text, at, len) }
        })))
    }
}

/// All errors of a file. Never empty when it is returned as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Source,
    list: Vec<Diagnostic>,
    more: usize,
}

impl Diagnostics {
    /// No errors yet.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self { source, list: Vec::new(), more: 0 }
    }

    /// A single error.
    #[must_use]
    pub fn one(source: Source, diagnostic: Diagnostic) -> Self {
        let mut all = Self::new(source);
        all.push(diagnostic);
        all
    }

    /// Adds an error, unless it is there already (the elements of a `for_each` share their
    /// text). Beyond a hundred they are only counted.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if let Some(span) = diagnostic.hides {
            self.hide(span);
        }
        if self.is_full() {
            self.more += 1;
            return;
        }
        for label in &mut diagnostic.labels {
            label.span = self.source.first_line(label.span);
        }
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// What stands there is shown by no error.
    pub(crate) fn hide(&mut self, span: Span) {
        self.source = self.source.masked(span);
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether further errors are only counted.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= KEPT
    }

    /// How many errors there are, also those that were not kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.more
    }

    /// The errors, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The file.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Where an error is: line and column from 1. `None` where it has no place.
    #[must_use]
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(usize, usize)> {
        diagnostic.labels.first().map(|label| self.source.line_column(label.span.start))
    }

    /// `value` when nothing is wrong.
    ///
    /// # Errors
    /// The errors, sorted by their place.
    pub fn finish<T>(mut self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            return Ok(value);
        }
        self.list.sort_by_key(|d| d.labels.first().map_or(0, |l| l.span.start));
        Err(self)
    }

    /// All errors for people. With `color` for a terminal (ANSI colours, box characters), else
    /// plain ASCII. Either way each shows `file:line:column`, the line, carets and the hint.
    /// Long lines of prose are wrapped at `width` in the coloured form.
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        let mut out = String::new();
        let source = self.source.shown();
        for (i, diagnostic) in self.list.iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            let diagnostic = diagnostic.shown();
            if color {
                render_graphical(&diagnostic, &source, width, &mut out);
            } else {
                super::plain::render(&diagnostic, &source, &mut out);
            }
        }
        if self.more > 0 {
            out.push_str(&format!("\n... and {} more errors\n", self.more));
        }
        out
    }
}

fn render_graphical(diagnostic: &Diagnostic, source: &Source, width: usize, out: &mut String) {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
        .with_width(width.max(40))
        .with_links(false)
        .with_primary_span_start();
    if handler.render_report(out, &InFile { diagnostic, source }).is_err() {
        super::plain::render(diagnostic, source, out);
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.source.name();
        match (self.list.first(), self.count()) {
            (Some(only), 1) => match self.position(only) {
                Some((line, column)) => write!(f, "{name}:{line}:{column}: {}", only.message),
                None => write!(f, "{name}: {}", only.message),
            },
            (_, count) => write!(f, "{name} has {count} errors"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl miette::Diagnostic for Diagnostics {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.list.iter().map(|d| d as &dyn miette::Diagnostic)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let inner = self.text().read_span(span, before, after)?;
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name().to_owned(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            inner.line_count(),
        )))
    }
}

/// One error together with its file, as miette wants to show it.
#[derive(Debug)]
struct InFile<'a> {
    diagnostic: &'a Diagnostic,
    source: &'a Source,
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for InFile<'_> {}

impl miette::Diagnostic for InFile<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        miette::Diagnostic::code(self.diagnostic)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        miette::Diagnostic::help(self.diagnostic)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        miette::Diagnostic::labels(self.diagnostic)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }
}
