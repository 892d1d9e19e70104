//! An error in plain ASCII, the way compilers show it: for logs, pipes and tests.
//!
//! ```text
//! error[runbook::unknown_key]: unknown key `cidr` in a step
//!   --> runbook.yaml:12:9
//!    |
//! 12 |         cidr: 10.0.0.0/16
//!    |         ^^^^ this key is not known
//!    = help: did you mean `id`?
//! ```

use super::diagnostic::{Diagnostic, Label};
use super::source::Source;

/// How much of a long line is shown on either side of the place.
const AROUND: usize = 80;

pub(super) fn render(diagnostic: &Diagnostic, source: &Source, out: &mut String) {
    out.push_str(&format!("error[{}]: {}\n", diagnostic.code, diagnostic.message));
    let places: Vec<_> = diagnostic.labels.iter().map(|l| (source.line_column(l.span.start), l)).collect();
    let gutter = places.iter().map(|((line, _), _)| line.to_string().len()).max().unwrap_or(1);
    let empty = " ".repeat(gutter);
    match places.first() {
        Some(((line, column), _)) => {
            out.push_str(&format!("{empty}--> {}:{line}:{column}\n{empty} |\n", source.name()))
        }
        None => out.push_str(&format!("{empty}--> {}\n", source.name())),
    }
    for (i, ((line, _), label)) in places.iter().enumerate() {
        let (before, marked, after) = excerpt(source, label);
        let mark = if i == 0 { "^" } else { "-" };
        // Tabs stay tabs, so that the carets stand below what they mean.
        let indent: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = mark.repeat(marked.chars().count().max(1));
        out.push_str(&format!("{line:>gutter$} | {}\n", format!("{before}{marked}{after}").trim_end()));
        out.push_str(&format!("{empty} | {}\n", format!("{indent}{carets} {}", label.text).trim_end()));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("{empty} = help: {help}\n"));
    }
}

/// The line before the place, the place, and the rest of the line; cut where it is long.
fn excerpt<'a>(source: &'a Source, label: &Label) -> (&'a str, &'a str, &'a str) {
    let text = source.text();
    let mut start = label.span.start().min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = label.span.end().clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..start).unwrap_or("");
    let before = before.get(before.rfind('\n').map_or(0, |i| i + 1)..).unwrap_or("");
    let after = text.get(end..).unwrap_or("");
    let after = after.get(..after.find(['\n', '\r']).unwrap_or(after.len())).unwrap_or("");
    let cut_before = before.char_indices().rev().nth(AROUND).map_or(0, |(i, _)| i);
    let cut_after = after.char_indices().nth(AROUND).map_or(after.len(), |(i, _)| i);
    let marked = text.get(start..end).unwrap_or("");
    let cut_marked = marked.char_indices().nth(AROUND).map_or(marked.len(), |(i, _)| i);
    let after = if cut_marked < marked.len() { "" } else { after.get(..cut_after).unwrap_or("") };
    (before.get(cut_before..).unwrap_or(""), marked.get(..cut_marked).unwrap_or(""), after)
}
