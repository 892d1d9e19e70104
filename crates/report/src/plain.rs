//! Plain lines: for pipes, files, CI, and everybody who reads a log afterwards.
//!
//! ```text
//!   vpc         created   vpc-0abc
//!   vpc         waiting   for state available, 12.0 s
//!   vpc         verified
//! ```

use std::collections::HashMap;
use std::io::{self, Write};

use switchback_model::event::{Event, EventKind, Progress, RecoveryLine};
use switchback_model::record::{Body, Direction, Record};
use switchback_model::{StepId, exit_code};

use crate::reporter::{Context, Reporter, Verbosity};
use crate::style::Tone;
use crate::tally::{Tally, is_failure};
use crate::words::{self, Words};
use crate::{outcome, text};

/// How far apart the lines of one wait are.
const BETWEEN_WAITS_MS: u64 = 10_000;

/// Writes lines to any writer; an end that is not the goal goes to another one.
pub struct Plain<W> {
    to: W,
    errors: Box<dyn Write + Send>,
    lines: Lines,
}

impl<W> std::fmt::Debug for Plain<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<W: Write + Send> Plain<W> {
    /// A reporter that writes to `to`, and to `errors` why the goal was not reached.
    pub fn new(to: W, errors: impl Write + Send + 'static, cx: Context) -> Self {
        Self { to, errors: Box::new(errors), lines: Lines::new(cx) }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.to
    }
}

impl<W: Write + Send> Reporter for Plain<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let text = self.lines.event(event);
        if is_failure_end(event) {
            self.to.flush()?;
            return self.errors.write_all(text.as_bytes());
        }
        self.to.write_all(text.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The end of a run that did not reach its goal.
pub(crate) fn is_failure_end(event: &Event) -> bool {
    matches!(&event.kind, EventKind::Ended(end) if outcome::code(end) != exit_code::OK)
}

/// Events to lines. The bars use it too, for what stays on the screen.
#[derive(Debug)]
pub(crate) struct Lines {
    cx: Context,
    tally: Tally,
    /// How long a step had waited when that was last said. Not when: the clock may be set.
    waits: HashMap<StepId, u64>,
}

impl Lines {
    pub(crate) fn new(cx: Context) -> Self {
        Self { cx, tally: Tally::default(), waits: HashMap::new() }
    }

    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The lines that an event deserves: none, one, or a few, each with its newline.
    pub(crate) fn event(&mut self, event: &Event) -> String {
        self.tally.event(event);
        match &event.kind {
            EventKind::Started { runbook, direction, total, already } => {
                self.waits.clear();
                self.started(event, runbook, *direction, *total, *already)
            }
            EventKind::Recovery(lines) => self.recovery(lines),
            EventKind::Recorded(record) => self.record(record),
            EventKind::Progress(progress) => self.progress(progress),
            EventKind::Ended(end) => {
                let facts = self.tally.facts(event.at);
                outcome::summary(&self.cx, event.run, self.tally.direction(), end, &facts)
            }
            _ => String::new(),
        }
    }

    fn started(&self, event: &Event, runbook: &str, direction: Direction, total: u32, already: u32) -> String {
        if self.cx.verbosity == Verbosity::Quiet {
            return String::new();
        }
        let (way, there) = match direction {
            Direction::Forward => ("run", "done already"),
            Direction::Unwinding if already == 1 => ("unwind", "needs nothing"),
            Direction::Unwinding => ("unwind", "need nothing"),
        };
        let already = if already > 0 { format!(", {already} {there}") } else { String::new() };
        format!(
            "{} {}\n",
            self.cx.paint.strong(&format!("{way} {} of {}:", event.run, text::clean(runbook))),
            format_args!("{} to go{already}", text::count(total as usize, "step")),
        )
    }

    /// What recovery will do. Steps that nothing has been done for yet are not worth a line each.
    fn recovery(&self, lines: &[RecoveryLine]) -> String {
        if self.cx.verbosity == Verbosity::Quiet {
            return String::new();
        }
        let mut out = String::new();
        let mut more = 0;
        for line in lines {
            let fresh = matches!(line.status.as_str(), "fresh" | "captured");
            if (fresh || line.status == "verified") && self.cx.verbosity < Verbosity::Verbose {
                more += 1;
                continue;
            }
            let words = Words {
                verb: "recovery",
                detail: text::clean(&format!("{}: {}", line.status, line.action)),
                tone: Tone::Plain,
            };
            out.push_str(&self.line(line.step.as_str(), &words));
        }
        if more > 0 && !out.is_empty() {
            let text = format!("  ... and {} as usual\n", text::count(more, "step"));
            out.push_str(&self.cx.paint.quiet(&text));
        }
        out
    }

    fn record(&mut self, record: &Record) -> String {
        let body = record.body();
        let said = match self.cx.verbosity {
            Verbosity::Quiet => is_failure(body),
            Verbosity::Normal => is_said(body),
            Verbosity::Verbose => !matches!(body, Body::Called(_)),
            Verbosity::Everything => true,
        };
        if !said {
            return String::new();
        }
        let words = words::describe(body);
        self.line(record.draft.step.as_ref().map_or("-", StepId::as_str), &words)
    }

    fn progress(&mut self, progress: &Progress) -> String {
        if self.cx.verbosity == Verbosity::Quiet {
            return String::new();
        }
        // The first seconds of a wait are nobody's concern. One that is shorter than it was is another one.
        let said = self.waits.get(&progress.step).copied().filter(|said| *said <= progress.for_ms);
        let due = progress.for_ms >= said.unwrap_or_default() + BETWEEN_WAITS_MS;
        if !due {
            return String::new();
        }
        self.waits.insert(progress.step.clone(), progress.for_ms);
        self.line(progress.step.as_str(), &waiting(progress))
    }

    fn line(&self, step: &str, words: &Words) -> String {
        let width = self.cx.step_width;
        let verb = self.cx.paint.tone(words.tone, words.verb);
        if words.detail.is_empty() {
            return format!("  {step:width$}  {verb}\n");
        }
        let pad = 14_usize.saturating_sub(words.verb.len());
        format!("  {step:width$}  {verb}{:pad$}  {}\n", "", words.detail)
    }
}

/// What a step does, with its time, in words.
pub(crate) fn waiting(progress: &Progress) -> Words {
    let took = text::duration(std::time::Duration::from_millis(progress.for_ms));
    let doing = progress.doing.strip_prefix("waiting ").unwrap_or(&progress.doing);
    Words { verb: "waiting", detail: text::clean(&format!("{doing}, {took}")), tone: Tone::Quiet }
}

/// Whether a record is worth a line by default: intents are not (what came of them follows), nor
/// what the summary says again.
const fn is_said(body: &Body) -> bool {
    !matches!(
        body,
        Body::RunStarted(_)
            | Body::ExecutorStarted(_)
            | Body::Captured(_)
            | Body::CreateStarted(_)
            | Body::RollbackStarted(_)
            | Body::RolledBack(_)
            | Body::Called(_)
            | Body::Refused(_)
            | Body::UnwindFinished(_)
            | Body::Paused(_)
            | Body::Stuck(_)
            | Body::Completed(_)
    )
}

#[cfg(test)]
mod tests {
    use switchback_model::event::Outcome;

    use super::*;
    use crate::testing::{self, a_run};

    fn render(verbosity: Verbosity) -> String {
        let cx = Context { verbosity, step_width: 10, ..Context::default() };
        let mut plain = Plain::new(Vec::new(), io::sink(), cx);
        for event in a_run() {
            plain.event(&event).unwrap();
        }
        plain.finish().unwrap();
        String::from_utf8(plain.into_inner()).unwrap()
    }

    #[test]
    fn a_resumed_run() {
        insta::assert_snapshot!(render(Verbosity::Normal), @r"
        run 00000000-0000-0000-0000-000000000007 of net: 2 steps to go, 1 done already
          vpc         recovery        create_started: in doubt: look it up; adopt it, or create it
          vpc         retry           create failed (attempt 1), again in 1.5 s: slow down (Throttling)
          vpc         created         vpc-0abc
          vpc         waiting         for state available, 12.0 s
          vpc         verified
          subnet[1a]  created         subnet-0abc
          subnet[1a]  verified
        completed: every step is verified (2 steps, 1 retried, 12.8 s)
        hint: switchback verify 00000007  # is everything still as it was left?
        hint: switchback unwind 00000007 --all  # go back to the start
        ");
    }

    /// The clock is set back by an hour, and then once more.
    #[test]
    fn no_wait_and_no_duration_is_lost_when_the_clock_is_set_back() {
        const HOUR: u64 = 3_600_000;
        let start = EventKind::Started { runbook: "net".into(), direction: Direction::Forward, total: 1, already: 0 };
        let mut lines = Lines::new(Context { step_width: 3, ..Context::default() });
        lines.event(&testing::event(2 * HOUR, start));
        let mut said = Vec::new();
        for s in (0..=60).step_by(4) {
            let back = if s < 14 {
                2
            } else if s < 34 {
                1
            } else {
                0
            };
            said.push(lines.event(&testing::waits(back * HOUR + s * 1_000, "vpc", s * 1_000)));
        }
        said.retain(|line| !line.is_empty());
        assert_eq!(said.len(), 5, "{said:?}");
        assert!(said[4].contains("1m00s"), "{said:?}");
        // Another wait of the same step begins anew.
        assert_eq!(lines.event(&testing::waits(0, "vpc", 4_000)), "");
        assert!(lines.event(&testing::waits(0, "vpc", 12_000)).contains("12.0 s"));
        assert!(lines.event(&testing::event(0, EventKind::Ended(Outcome::Completed))).contains("(0 of 1 step, 0 ms)"));
    }

    #[test]
    fn quiet_says_only_the_end() {
        insta::assert_snapshot!(render(Verbosity::Quiet), @r"
        completed: every step is verified (2 steps, 1 retried, 12.8 s)
        hint: switchback verify 00000007  # is everything still as it was left?
        hint: switchback unwind 00000007 --all  # go back to the start
        ");
    }

    #[test]
    fn verbose_says_every_change() {
        assert!(render(Verbosity::Verbose).contains("vpc         creating"));
    }
}
