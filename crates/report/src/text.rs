//! Small pieces of text: columns, durations, run ids. No colours, no terminal.

use std::fmt::Write as _;
use std::time::Duration;

use switchback_model::RunId;

use crate::style::{Paint, Tone};

/// `text` without what could move the cursor or change colours: control characters that came in
/// with somebody else's error message become spaces.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A duration as people say it: `12 ms`, `3.4 s`, `3m12s`, `2h05m`.
#[must_use]
pub fn duration(d: Duration) -> String {
    let ms = d.as_millis();
    let s = d.as_secs();
    match s {
        0 => format!("{ms} ms"),
        1..=59 => format!("{}.{} s", s, (ms % 1000) / 100),
        60..=3599 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// `1 step`, `2 steps`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A number with its thousands apart: `12,345`.
#[must_use]
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The end of a run's id: the part that differs between runs, and enough to name one.
#[must_use]
pub fn short(run: RunId) -> String {
    let id = run.to_string();
    id.get(id.len().saturating_sub(8)..).unwrap_or(&id).to_owned()
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    #[must_use]
    pub fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), tone }
    }

    /// A cell without a colour.
    #[must_use]
    pub fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Rows in columns: each line indented by `indent`, columns two spaces apart, nothing after the
/// last text of a line.
#[must_use]
pub fn table(paint: Paint, indent: usize, rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.text.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let last = row.iter().rposition(|cell| !cell.text.is_empty());
        let _ = write!(out, "{:indent$}", "");
        for (c, cell) in row.iter().enumerate().take(last.map_or(0, |l| l + 1)) {
            out.push_str(&paint.tone(cell.tone, &cell.text));
            if Some(c) != last {
                let pad = widths[c] - cell.text.chars().count() + if widths[c] == 0 { 0 } else { 2 };
                let _ = write!(out, "{:pad$}", "");
            }
        }
        let end = out.trim_end_matches(' ').len();
        out.truncate(end);
        out.push('\n');
    }
    out
}

/// Words after `head`, broken into lines of at most `width`, later lines indented like the words
/// of the first.
#[must_use]
pub fn wrap(head: &str, words: &[String], width: usize) -> String {
    let indent = head.chars().count();
    let mut out = head.to_owned();
    let mut at = indent;
    for (i, word) in words.iter().enumerate() {
        let comma = if i + 1 < words.len() { "," } else { "" };
        let len = word.chars().count() + comma.len();
        if i > 0 {
            if at + 1 + len > width {
                let _ = write!(out, "\n{:indent$}", "");
                at = indent;
            } else {
                out.push(' ');
                at += 1;
            }
        }
        out.push_str(word);
        out.push_str(comma);
        at += len;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let text: Vec<_> = [12, 3_400, 192_000, 7_500_000].map(|ms| duration(Duration::from_millis(ms))).into();
        assert_eq!(text, ["12 ms", "3.4 s", "3m12s", "2h05m"]);
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        let text: Vec<_> = [0, 999, 1_000, 12_345, 1_234_567].map(number).into();
        assert_eq!(text, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let rows = vec![
            vec![Cell::plain("vpc"), Cell::plain(""), Cell::plain("x")],
            vec![Cell::plain("subnet[1a]"), Cell::plain(""), Cell::plain("")],
        ];
        assert_eq!(table(Paint::OFF, 2, &rows), "  vpc         x\n  subnet[1a]\n");
    }

    #[test]
    fn text_of_others_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\nc"), "a [2Jb  c");
    }

    #[test]
    fn long_lists_are_wrapped_under_their_head() {
        let words: Vec<_> = ["aaaa", "bbbb", "cccc"].map(str::to_owned).into();
        assert_eq!(wrap("  x: ", &words, 16), "  x: aaaa, bbbb,\n     cccc\n");
    }
}
