//! What a reporter remembers of the events: how much was ahead, how much is done, since when.

use std::time::Duration;

use jiff::Timestamp;
use switchback_model::event::{Event, EventKind};
use switchback_model::record::{Body, Direction, Record};

use crate::text;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    since: Option<Timestamp>,
    direction: Option<Direction>,
    total: u32,
    done: u32,
    failed: u32,
    retried: u32,
}

impl Tally {
    pub(crate) fn event(&mut self, event: &Event) {
        self.since.get_or_insert(event.at);
        match &event.kind {
            EventKind::Started { direction, total, .. } => {
                self.direction = Some(*direction);
                self.total = *total;
                self.done = 0;
            }
            EventKind::Recorded(record) => self.record(record),
            _ => {}
        }
    }

    fn record(&mut self, record: &Record) {
        if closes(record.body(), self.direction()) {
            self.done += 1;
        } else if is_failure(record.body()) {
            self.failed += 1;
        } else if matches!(record.body(), Body::Retried(_)) {
            self.retried += 1;
        }
    }

    pub(crate) fn direction(&self) -> Direction {
        self.direction.unwrap_or(Direction::Forward)
    }

    pub(crate) const fn total(&self) -> u32 {
        self.total
    }

    pub(crate) const fn done(&self) -> u32 {
        self.done
    }

    /// `12 of 14 steps, 3.2 s`.
    pub(crate) fn facts(&self, now: Timestamp) -> String {
        let steps = if self.done == self.total {
            text::count(self.done as usize, "step")
        } else {
            format!("{} of {}", self.done, text::count(self.total as usize, "step"))
        };
        let mut out = steps;
        if self.failed > 0 {
            out.push_str(&format!(", {} failed", self.failed));
        }
        if self.retried > 0 {
            out.push_str(&format!(", {} retried", self.retried));
        }
        if let Some(since) = self.since {
            let took = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            out.push_str(&format!(", {}", text::duration(took)));
        }
        out
    }
}

/// The record brings a step to its end, in this direction.
pub(crate) const fn closes(body: &Body, direction: Direction) -> bool {
    match direction {
        Direction::Forward => matches!(body, Body::Verified(_) | Body::Skipped(_) | Body::MarkedDone(_)),
        Direction::Unwinding => matches!(body, Body::Undone(_) | Body::RollbackSkipped(_)),
    }
}

/// The record says that a step failed.
pub(crate) const fn is_failure(body: &Body) -> bool {
    matches!(
        body,
        Body::CaptureFailed(_)
            | Body::CreateFailed(_)
            | Body::SettleFailed(_)
            | Body::VerifyFailed(_)
            | Body::RollbackFailed(_)
            | Body::UndoFailed(_)
    )
}

/// The record says that a step begins to act.
pub(crate) const fn begins(body: &Body) -> bool {
    matches!(body, Body::CreateStarted(_) | Body::RollbackStarted(_))
}
