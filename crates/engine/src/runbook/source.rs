//! The text of a file, and places in it.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};

/// How many bytes a runbook may have: places are stored in 32 bits, and nobody writes more.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A range of bytes in a [`Source`]. The end is exclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

impl Span {
    /// From byte offsets. What does not fit is cut off, which only moves a caret.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// The first byte as an index.
    #[must_use]
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// The end as an index.
    #[must_use]
    pub const fn end(self) -> usize {
        self.end as usize
    }

    /// From the beginning of this one to the end of the other.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.start) }
    }
}

/// The text of a file with the name under which errors speak of it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
}

impl Source {
    /// A text that is known to be one.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When it is not UTF-8 (the error points at the first bad byte), or far too large.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Diagnostics> {
        if bytes.len() > MAX_BYTES {
            let source = Self::new(name, "");
            return Err(Diagnostics::one(
                source,
                Diagnostic::new("source::too_large", format!("the file has {} bytes", bytes.len()))
                    .help(format!("a runbook may have {MAX_BYTES} bytes")),
            ));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(e) => {
                let at = e.valid_up_to();
                let source = Self::new(name, &String::from_utf8_lossy(bytes));
                let bad = bytes.get(at).copied().unwrap_or_default();
                let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
                let help = if utf16 {
                    "the file begins like UTF-16: save it as UTF-8".to_owned()
                } else {
                    "save the file as UTF-8".to_owned()
                };
                Err(Diagnostics::one(
                    source,
                    Diagnostic::new("source::not_utf8", "the file is not UTF-8")
                        .at(
                            Span::new(at, at + '\u{fffd}'.len_utf8()),
                            format!("byte 0x{bad:02x} is not part of a character"),
                        )
                        .help(help),
                ))
            }
        }
    }

    /// The name of the file as the caller gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// With asterisks in that place, byte for byte, so that every other place stays where it is.
    #[must_use]
    pub(crate) fn masked(&self, span: Span) -> Self {
        let (Some(before), Some(within), Some(after)) =
            (self.text.get(..span.start()), self.text.get(span.start()..span.end()), self.text.get(span.end()..))
        else {
            return self.clone();
        };
        let stars: String = within.bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
        Self { name: self.name.clone(), text: format!("{before}{stars}{after}").into() }
    }

    /// The text of a span; empty when it lies outside.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start()..span.end()).unwrap_or("")
    }

    /// Line and column of a byte, both from 1, the column in characters.
    #[must_use]
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        let mut at = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = self.text.get(..at).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The same text without control characters, which would reach the terminal; every place
    /// stays where it is.
    pub(super) fn shown(&self) -> Self {
        if !self.text.chars().any(is_control) {
            return self.clone();
        }
        let clean: String = self
            .text
            .chars()
            .flat_map(|c| std::iter::repeat_n(if is_control(c) { '?' } else { c }, width(c)))
            .collect();
        Self { name: self.name.clone(), text: clean.into() }
    }

    /// The part of a span that lies on its first line: a caret under ten lines helps nobody.
    pub(super) fn first_line(&self, span: Span) -> Span {
        let text = self.slice(span);
        let len = text.find(['\n', '\r']).unwrap_or(text.len());
        Span::new(span.start(), span.start() + len)
    }
}

/// What a terminal might obey.
pub(super) fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// How many `?` take the place of a control character, so that nothing moves.
fn width(c: char) -> usize {
    if is_control(c) { c.len_utf8() } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Source::new("a.yaml", "ab\nä🔑c\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(2), (1, 3));
        assert_eq!(source.line_column(3), (2, 1));
        assert_eq!(source.line_column(9), (2, 3));
        assert_eq!(source.line_column(u32::MAX), (3, 1));
    }

    #[test]
    fn a_file_that_is_not_utf8_says_where() {
        let errors = Source::from_bytes("a.yaml", b"runbook: x\nname: \xe4h\n").unwrap_err();
        insta::assert_snapshot!(errors.render(false, 80), @r#"
        error[source::not_utf8]: the file is not UTF-8
         --> a.yaml:2:7
          |
        2 | name: �h
          |       ^ byte 0xe4 is not part of a character
          = help: save the file as UTF-8
        "#);
    }
}
