//! stdout and stderr. The only module that writes to either, and the only one that asks what
//! they are connected to.
//!
//! Data goes to stdout: lines, tables, JSON. Everything else goes to stderr, so that a pipe gets
//! what it wants and nothing more.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use switchback_model::RunId;
use switchback_report::json::Line;
use switchback_report::outcome;
use switchback_report::{Context, Paint, Tone, Verbosity};

use crate::args::{Color, Global};
use crate::error::{Cause, CommandError, Hint, Kind};
use crate::host;

/// Where output goes and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    pub(crate) json: bool,
    pub(crate) verbosity: Verbosity,
    /// Both are terminals and nobody minds things that move.
    pub(crate) bars: bool,
    /// There is somebody who can be asked.
    pub(crate) interactive: bool,
    program: String,
    stdout: Paint,
    stderr: Paint,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    kind: &'a str,
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
}

impl Out {
    pub(crate) fn new(global: &Global) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let calm = host::is_set("CI") || host::is_set("NO_COLOR");
        let dumb = host::is("TERM", "dumb");
        let paint = |terminal: bool| match global.color {
            Color::Always => Paint::ON,
            Color::Never => Paint::OFF,
            Color::Auto => Paint { color: terminal && !calm && !dumb },
        };
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verbose,
            _ => Verbosity::Everything,
        };
        let state = global.state.to_string_lossy();
        let program = if state == "state" || host::is("SWITCHBACK_STATE", &state) {
            "switchback".to_owned()
        } else {
            format!("switchback --state {}", quoted(&state))
        };
        Self {
            json: global.json,
            verbosity,
            bars: out && err && !host::is_set("CI") && !dumb && verbosity > Verbosity::Quiet,
            interactive: io::stdin().is_terminal() && err,
            program,
            stdout: paint(out),
            stderr: paint(err),
        }
    }

    /// What reporters and views need to know.
    pub(crate) fn context(&self) -> Context {
        Context { paint: self.stdout, verbosity: self.verbosity, program: self.program.clone(), ..Context::default() }
    }

    /// Data.
    pub(crate) fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Data for a machine.
    pub(crate) fn line(&self, kind: &str, run: Option<RunId>, data: impl Serialize) -> io::Result<()> {
        let line = Line::new(kind, data);
        let line = match run {
            Some(run) => line.of(run),
            None => line,
        };
        line.write(&mut io::stdout().lock())
    }

    /// Something for people, beside the data. Nobody there to read: no matter.
    pub(crate) fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// As [`note`](Self::note), unless less was asked for.
    pub(crate) fn remark(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.note(text);
        }
    }

    /// An error, its sources, its hints.
    pub(crate) fn error(&self, e: &CommandError) {
        if e.kind == Kind::BrokenPipe {
            return;
        }
        if self.json {
            self.error_line(e);
        }
        let mut text = String::new();
        match &e.cause {
            Cause::Diagnostics(d) => {
                text.push_str(&d.render(self.stderr.color, 100));
                // One error has said everything already.
                if d.count() > 1 {
                    text.push_str(&format!("{} {d}\n", self.stderr.tone(Tone::Bad, "error:")));
                }
            }
            Cause::Error(_) => {
                for (i, message) in e.chain().iter().enumerate() {
                    let word = if i == 0 { "error:" } else { "caused by:" };
                    text.push_str(&format!("{} {message}\n", self.stderr.tone(Tone::Bad, word)));
                }
            }
        }
        for hint in &e.hints {
            match hint {
                Hint::Command(command, what_for) => {
                    text.push_str(&outcome::hint(self.stderr, &self.program, command, what_for));
                }
                Hint::Text(words) => text.push_str(&format!("{} {words}\n", self.stderr.tone(Tone::Strong, "hint:"))),
            }
        }
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn error_line(&self, e: &CommandError) {
        let hint = |h: &Hint| match h {
            Hint::Command(command, _) => format!("{} {command}", self.program),
            Hint::Text(text) => text.clone(),
        };
        let mut chain = e.chain();
        if let Cause::Diagnostics(d) = &e.cause {
            chain.extend(d.iter().map(|one| {
                let place =
                    d.position(one).map(|(l, c)| format!("{}:{l}:{c}: ", d.source().name())).unwrap_or_default();
                format!("{place}{}", one.message)
            }));
        }
        let causes = chain.split_off(1.min(chain.len()));
        let line = ErrorLine {
            kind: e.kind.as_str(),
            exit_code: e.code(),
            message: chain.pop().unwrap_or_default(),
            causes,
            hints: e.hints.iter().map(hint).collect(),
        };
        let _ = self.line("error", None, line);
    }
}

/// A word as a shell wants it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
