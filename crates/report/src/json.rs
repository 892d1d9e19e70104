//! JSON lines: one object a line, the same stream of events as on the terminal.
//!
//! Every line is an envelope: `{"v":1,"type":"...","at":"...","run":"...","data":{...}}`. `v` is
//! [`EVENT_FORMAT_VERSION`] and changes when a field changes its meaning or goes away; fields may
//! be added without notice. `at` and `run` are missing where a line is about no moment or no run.
//!
//! | `type` | `data` |
//! | --- | --- |
//! | `started` | `runbook`, `direction`, `total`, `already` |
//! | `recovery` | list of `step`, `status`, `action` |
//! | `record` | `seq`, `at`, `step`, `generation`, `direction`, `kind`, `payload` |
//! | `progress` | `step`, `doing`, `for_ms` |
//! | `ended` | `outcome`, `exit_code`, and what belongs to the outcome |
//!
//! Commands that are no execution add their own types (`plan`, `run`, `status`, `check`,
//! `error`), in the same envelope. `rehearse` writes these, with the fields of the types in
//! [`switchback_model::rehearsal`]:
//!
//! | `type` | `data` |
//! | --- | --- |
//! | `rehearsal_started` | of `Started` |
//! | `rehearsal_progress` | of `Progress` |
//! | `rehearsal_finding` | of `Finding`, as they come |
//! | `rehearsal_case` | of `Replayed`, by `--case` |
//! | `rehearsal_ended` | `worth`, `exit_code`, `stored` (paths), `certificate` |

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;
use switchback_model::event::{EVENT_FORMAT_VERSION, Event, EventKind, Outcome, RecordView};
use switchback_model::record::{Direction, Leftover};
use switchback_model::{OpError, RunId, StepId};

use crate::outcome;
use crate::reporter::Reporter;

/// The envelope.
#[derive(Debug, Serialize)]
pub struct Line<'a, T> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    data: T,
}

impl<'a, T: Serialize> Line<'a, T> {
    /// A line that is about no moment of a run.
    pub const fn new(kind: &'a str, data: T) -> Self {
        Self { v: EVENT_FORMAT_VERSION, kind, at: None, run: None, data }
    }

    /// Says which run it is about.
    #[must_use]
    pub const fn of(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// Writes it, with its newline.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        to.write_all(&text)
    }
}

#[derive(Serialize)]
struct Started<'a> {
    runbook: &'a str,
    direction: Direction,
    total: u32,
    already: u32,
}

#[derive(Serialize)]
struct Reason<'a> {
    step: Option<&'a StepId>,
    error: &'a OpError,
}

#[derive(Serialize, Default)]
struct Ended<'a> {
    outcome: &'a str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a StepId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Reason<'a>>,
    /// Nothing is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    all: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    residue: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left: &'a [Leftover],
}

fn ended(end: &Outcome) -> Ended<'_> {
    let mut out = Ended { outcome: outcome::name(end), exit_code: outcome::code(end), ..Ended::default() };
    match end {
        Outcome::Reached { step } => out.step = Some(step),
        Outcome::Unwound { all, residue, left } => {
            (out.all, out.residue, out.left) = (Some(*all), residue, left);
        }
        Outcome::FailedAndUnwound { step, error, all, residue, left } => {
            out.step = Some(step);
            out.errors.push(Reason { step: Some(step), error });
            (out.all, out.residue, out.left) = (Some(*all), residue, left);
        }
        Outcome::Paused { why, step } => (out.why, out.step) = (Some(why.as_str()), step.as_ref()),
        Outcome::Stuck { steps } => {
            out.errors = steps.iter().map(|(step, error)| Reason { step: Some(step), error }).collect();
        }
        Outcome::Refused { reasons } => {
            out.errors = reasons.iter().map(|(step, error)| Reason { step: step.as_ref(), error }).collect();
        }
        _ => {}
    }
    out
}

/// Writes one JSON object a line to any writer.
#[derive(Debug)]
pub struct JsonLines<W> {
    to: W,
}

impl<W: Write + Send> JsonLines<W> {
    /// A reporter that writes to `to`.
    pub const fn new(to: W) -> Self {
        Self { to }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.to
    }

    fn line<T: Serialize>(&mut self, event: &Event, kind: &str, data: T) -> io::Result<()> {
        Line { v: EVENT_FORMAT_VERSION, kind, at: Some(event.at), run: Some(event.run), data }.write(&mut self.to)
    }
}

impl<W: Write + Send> Reporter for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::Started { runbook, direction, total, already } => {
                let data = Started { runbook, direction: *direction, total: *total, already: *already };
                self.line(event, "started", data)
            }
            EventKind::Recovery(lines) => self.line(event, "recovery", lines),
            EventKind::Recorded(record) => self.line(event, "record", RecordView::new(record)?),
            EventKind::Progress(progress) => self.line(event, "progress", progress),
            EventKind::Ended(end) => self.line(event, "ended", ended(end)),
            // An event that this release does not know has no form to be written in.
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{a_run, event, run};

    #[test]
    fn one_object_a_line() {
        let mut json = JsonLines::new(Vec::new());
        for event in a_run() {
            json.event(&event).unwrap();
        }
        let failed = Outcome::Paused { why: "credentials expired".into(), step: Some("vpc".into()) };
        json.event(&event(1, EventKind::Ended(failed))).unwrap();
        json.finish().unwrap();
        let text = String::from_utf8(json.into_inner()).unwrap();
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["v"], 1);
            assert_eq!(value["run"], run().to_string());
        }
        insta::assert_snapshot!(text, @r#"
        {"v":1,"type":"started","at":"2023-11-14T22:13:20Z","run":"00000000-0000-0000-0000-000000000007","data":{"runbook":"net","direction":"forward","total":2,"already":1}}
        {"v":1,"type":"recovery","at":"2023-11-14T22:13:20Z","run":"00000000-0000-0000-0000-000000000007","data":[{"step":"vpc","status":"create_started","action":"in doubt: look it up; adopt it, or create it"}]}
        {"v":1,"type":"record","at":"2023-11-14T22:13:20.01Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":10,"at":"2023-11-14T22:13:20.01Z","step":"vpc","generation":1,"direction":"forward","kind":"CreateStarted","payload":{"params":{},"token":"t"}}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:20.02Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":20,"at":"2023-11-14T22:13:20.02Z","step":"vpc","generation":1,"direction":"forward","kind":"Retried","payload":{"attempt":1,"delay_ms":1500,"error":{"class":"permanent","code":"Throttling","message":"slow down"},"method":"create"}}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:20.03Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":30,"at":"2023-11-14T22:13:20.03Z","step":"vpc","generation":1,"direction":"forward","kind":"Created","payload":{"output":{"vpc_id":"vpc-0abc"}}}}
        {"v":1,"type":"progress","at":"2023-11-14T22:13:21Z","run":"00000000-0000-0000-0000-000000000007","data":{"step":"vpc","doing":"waiting for state available","for_ms":1000}}
        {"v":1,"type":"progress","at":"2023-11-14T22:13:22Z","run":"00000000-0000-0000-0000-000000000007","data":{"step":"vpc","doing":"waiting for state available","for_ms":2000}}
        {"v":1,"type":"progress","at":"2023-11-14T22:13:32Z","run":"00000000-0000-0000-0000-000000000007","data":{"step":"vpc","doing":"waiting for state available","for_ms":12000}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:32.5Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":12500,"at":"2023-11-14T22:13:32.5Z","step":"vpc","generation":1,"direction":"forward","kind":"Verified","payload":{"compared":[]}}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:32.6Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":12600,"at":"2023-11-14T22:13:32.6Z","step":"subnet[1a]","generation":1,"direction":"forward","kind":"Created","payload":{"output":{"subnet_id":"subnet-0abc"}}}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:32.7Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":12700,"at":"2023-11-14T22:13:32.7Z","step":"subnet[1a]","generation":1,"direction":"forward","kind":"Verified","payload":{"compared":[]}}}
        {"v":1,"type":"record","at":"2023-11-14T22:13:32.8Z","run":"00000000-0000-0000-0000-000000000007","data":{"seq":12800,"at":"2023-11-14T22:13:32.8Z","generation":1,"direction":"forward","kind":"Completed","payload":{}}}
        {"v":1,"type":"ended","at":"2023-11-14T22:13:32.8Z","run":"00000000-0000-0000-0000-000000000007","data":{"outcome":"completed","exit_code":0}}
        {"v":1,"type":"ended","at":"2023-11-14T22:13:20.001Z","run":"00000000-0000-0000-0000-000000000007","data":{"outcome":"paused","exit_code":4,"step":"vpc","why":"credentials expired"}}
        "#);
    }
}
