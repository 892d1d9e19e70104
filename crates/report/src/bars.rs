//! Bars on a terminal: a line for every step that runs, with what it waits for and for how long,
//! and one line for the whole. What has happened scrolls away above them, as in [`crate::plain`].

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use switchback_model::StepId;
use switchback_model::event::{Event, EventKind, Progress};
use switchback_model::record::{Body, Record};

use crate::plain::{Lines, is_failure_end};
use crate::reporter::{Context, Reporter};
use crate::tally::{begins, closes, is_failure};
use crate::text;

const TICK: Duration = Duration::from_millis(120);

/// Draws bars. The summary goes to a writer after the bars are gone, or to another one when the
/// goal was not reached.
pub struct Bars<W> {
    multi: MultiProgress,
    to: W,
    errors: Box<dyn Write + Send>,
    lines: Lines,
    total: Option<ProgressBar>,
    running: HashMap<StepId, ProgressBar>,
    step_style: ProgressStyle,
    total_style: ProgressStyle,
}

impl<W> std::fmt::Debug for Bars<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bars").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

impl<W: Write + Send> Bars<W> {
    /// A reporter that draws on `multi` and writes the summary to `to`, or to `errors` when the
    /// goal was not reached.
    pub fn new(multi: MultiProgress, to: W, errors: impl Write + Send + 'static, cx: Context) -> Self {
        let width = cx.step_width;
        let style = |template: &str| {
            // A template that does not parse is a defect, and no reason to stop a run.
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
        };
        Self {
            step_style: style(&format!("  {{prefix:{width}}}  {{spinner}} {{msg}} {{elapsed}}")),
            total_style: style("  {bar:30} {pos}/{len} {msg}  {elapsed}"),
            multi,
            to,
            errors: Box::new(errors),
            lines: Lines::new(cx),
            total: None,
            running: HashMap::new(),
        }
    }

    fn begin(&mut self, total: u32, already_done: u32) {
        self.clear();
        let bar = self.multi.add(ProgressBar::new(u64::from(total)));
        bar.set_style(self.total_style.clone());
        bar.set_message("steps");
        bar.set_position(u64::from(already_done));
        bar.enable_steady_tick(Duration::from_secs(1));
        self.total = Some(bar);
    }

    fn recorded(&mut self, record: &Record) {
        let Some(step) = &record.draft.step else { return };
        let body = record.body();
        if begins(body) {
            let doing = if matches!(body, Body::CreateStarted(_)) { "creating" } else { "rolling back" };
            self.bar(step).set_message(doing);
        } else if closes(body, self.lines.tally().direction()) || is_failure(body) {
            self.remove(step);
        }
        if let Some(total) = &self.total {
            total.set_length(u64::from(self.lines.tally().total()));
            total.set_position(u64::from(self.lines.tally().done()));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let doing = text::clean(&progress.doing);
        let bar = self.bar(&progress.step);
        if bar.message() != doing {
            bar.set_message(doing);
            bar.reset_elapsed();
            bar.enable_steady_tick(TICK);
        }
    }

    fn bar(&mut self, step: &StepId) -> &ProgressBar {
        self.running.entry(step.clone()).or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(self.step_style.clone());
            bar.set_prefix(step.to_string());
            match &self.total {
                Some(total) => self.multi.insert_before(total, bar),
                None => self.multi.add(bar),
            }
        })
    }

    fn remove(&mut self, step: &StepId) {
        if let Some(bar) = self.running.remove(step) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    fn clear(&mut self) {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
        if let Some(total) = self.total.take() {
            total.finish_and_clear();
        }
    }
}

impl<W: Write + Send> Reporter for Bars<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        // Waits are shown by the bars themselves.
        let text = if matches!(event.kind, EventKind::Progress(_)) { String::new() } else { self.lines.event(event) };
        match &event.kind {
            EventKind::Started { total, .. } => self.begin(*total, 0),
            EventKind::Recorded(record) => self.recorded(record),
            EventKind::Progress(progress) => self.progress(progress),
            EventKind::Ended(_) => {
                self.clear();
                if is_failure_end(event) {
                    return self.errors.write_all(text.as_bytes());
                }
                return self.to.write_all(text.as_bytes());
            }
            _ => {}
        }
        if text.is_empty() { Ok(()) } else { self.multi.println(text.trim_end_matches('\n')) }
    }

    fn suspend(&mut self, ask: &mut dyn FnMut()) {
        self.multi.suspend(ask);
    }

    fn finish(&mut self) -> io::Result<()> {
        self.clear();
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;
    use crate::testing::a_run;

    #[test]
    fn what_is_on_the_screen_in_the_middle_and_at_the_end() {
        let term = InMemoryTerm::new(20, 80);
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 200));
        let cx = Context { step_width: 10, ..Context::default() };
        let mut bars = Bars::new(multi, Vec::new(), io::sink(), cx);
        let events = a_run();
        for event in &events[..7] {
            bars.event(event).unwrap();
        }
        let middle = term.contents();
        assert!(middle.contains("vpc         created"), "{middle}");
        assert!(middle.contains("waiting for state available 0s"), "{middle}");
        assert!(middle.contains("0/2 steps"), "{middle}");
        for event in &events[7..] {
            bars.event(event).unwrap();
        }
        bars.finish().unwrap();
        let end = term.contents();
        assert!(!end.contains("waiting for"), "{end}");
        assert!(!end.contains("/2 steps"), "{end}");
        let summary = String::from_utf8(bars.to.clone()).unwrap();
        assert!(summary.starts_with("completed: every step is verified (2 steps"), "{summary}");
    }
}
