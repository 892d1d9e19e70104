//! `log`: the records of a run as they were written, one a line, oldest first.
//!
//! A line says who wrote the records below it, whenever that changes.

use std::io::{self, Write};
use std::sync::Arc;

use switchback_model::event::{Event, EventKind};
use switchback_model::record::{Actor, Body, Direction, Record};
use switchback_model::{Generation, StepId};

use crate::reporter::{Context, Reporter};
use crate::text;
use crate::words;

/// Writes the records of a run to any writer.
#[derive(Debug)]
pub struct Log<W> {
    to: W,
    cx: Context,
    calls: bool,
    actor: Option<Arc<Actor>>,
}

impl<W: Write + Send> Log<W> {
    /// A log that writes to `to`; with `calls`, calls to services are shown too.
    pub const fn new(to: W, cx: Context, calls: bool) -> Self {
        Self { to, cx, calls, actor: None }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.to
    }

    /// One record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        if !self.calls && matches!(record.body(), Body::Called(_)) {
            return Ok(());
        }
        if self.actor.as_ref() != Some(&record.actor) {
            let line = format!("-- {}", who(&record.actor));
            writeln!(self.to, "{}", self.cx.paint.quiet(&line))?;
            self.actor = Some(record.actor.clone());
        }
        let words = words::describe(record.body());
        let at = record.draft.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let way = if record.draft.direction == Direction::Unwinding { "<" } else { ">" };
        let mut step = record.draft.step.as_ref().map_or("-", StepId::as_str).to_owned();
        if record.draft.generation > Generation::FIRST {
            step = format!("{step} #{}", record.draft.generation);
        }
        let pad = if words.detail.is_empty() { 0 } else { 18_usize.saturating_sub(words.verb.len()) };
        writeln!(
            self.to,
            "{:>6}  {}  {way} {step:width$}  {}{:pad$}{}",
            record.seq.0,
            self.cx.paint.quiet(&at),
            self.cx.paint.tone(words.tone, words.verb),
            "",
            words.detail,
            width = self.cx.step_width,
        )
    }
}

/// Who wrote, in words.
#[must_use]
pub fn who(actor: &Actor) -> String {
    let aws = actor.aws_caller.as_ref().map(|a| format!(" as {a}")).unwrap_or_default();
    text::clean(&format!("{} on {}, process {}, switchback {}{aws}", actor.user, actor.host, actor.pid, actor.binary))
}

impl<W: Write + Send> Reporter for Log<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::Recorded(record) => self.record(record),
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use switchback_model::record::Called;

    use super::*;
    use crate::testing::{a_run, recorded};

    fn render(calls: bool) -> String {
        let mut log = Log::new(Vec::new(), Context { step_width: 10, ..Context::default() }, calls);
        let called = Called {
            service: "ec2".into(),
            operation: "CreateVpc".into(),
            request_id: Some("r-1".into()),
            status: Some(200),
            code: None,
            attempt: 1,
            duration_ms: 12,
        };
        log.event(&recorded(1, Some("vpc"), called)).unwrap();
        for event in a_run() {
            log.event(&event).unwrap();
        }
        String::from_utf8(log.into_inner()).unwrap()
    }

    #[test]
    fn records_with_their_place_and_time() {
        insta::assert_snapshot!(render(false), @r"
        -- ada on laptop, process 1, switchback 0.1.0
            10  2023-11-14T22:13:20Z  > vpc         creating
            20  2023-11-14T22:13:20Z  > vpc         retry             create failed (attempt 1), again in 1.5 s: slow down (Throttling)
            30  2023-11-14T22:13:20Z  > vpc         created           vpc-0abc
         12500  2023-11-14T22:13:32Z  > vpc         verified
         12600  2023-11-14T22:13:32Z  > subnet[1a]  created           subnet-0abc
         12700  2023-11-14T22:13:32Z  > subnet[1a]  verified
         12800  2023-11-14T22:13:32Z  > -           completed         every step is verified
        ");
    }

    #[test]
    fn calls_are_shown_on_request() {
        assert!(!render(false).contains("CreateVpc"));
        assert!(render(true).contains("ec2 CreateVpc: 200, 12 ms, request r-1"));
    }
}
