//! A run for tests, with fixed ids and times.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use switchback_model::event::{Event, EventKind, Outcome, Progress, RecoveryLine};
use switchback_model::record::*;
use switchback_model::{Generation, OpError, RunId, Seq};
use uuid::Uuid;

pub(crate) fn run() -> RunId {
    RunId::new(Uuid::from_u128(7))
}

pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms)
}

pub(crate) fn json(value: Value) -> Json {
    Json::new(&value).unwrap()
}

pub(crate) fn record(ms: u64, step: Option<&str>, body: impl Into<Body>) -> Record {
    let actor = Actor { user: "ada".into(), host: "laptop".into(), pid: 1, aws_caller: None, binary: "0.1.0".into() };
    let draft = Draft {
        at: at(ms),
        step: step.map(Into::into),
        generation: Generation::FIRST,
        direction: Direction::Forward,
        body: body.into(),
    };
    Record { seq: Seq(ms), actor: Arc::new(actor), run: run(), draft, hash: [0; 32] }
}

pub(crate) fn recorded(ms: u64, step: Option<&str>, body: impl Into<Body>) -> Event {
    event(ms, EventKind::Recorded(Arc::new(record(ms, step, body))))
}

pub(crate) fn event(ms: u64, kind: EventKind) -> Event {
    Event { at: at(ms), run: run(), kind }
}

pub(crate) fn waits(ms: u64, step: &str, for_ms: u64) -> Event {
    let doing = "waiting for state available".to_owned();
    event(ms, EventKind::Progress(Progress { step: step.into(), doing, for_ms }))
}

/// A resumed run that retries, waits, and is completed.
pub(crate) fn a_run() -> Vec<Event> {
    let slow = OpError::permanent("slow down").with_code("Throttling");
    vec![
        event(0, EventKind::Started { runbook: "net".into(), direction: Direction::Forward, total: 2, already: 1 }),
        event(
            0,
            EventKind::Recovery(vec![RecoveryLine {
                step: "vpc".into(),
                status: "create_started".into(),
                action: "in doubt: look it up; adopt it, or create it".into(),
            }]),
        ),
        recorded(10, Some("vpc"), CreateStarted { token: "t".into(), params: json(json!({})) }),
        recorded(20, Some("vpc"), Retried { method: "create".into(), attempt: 1, error: slow, delay_ms: 1_500 }),
        recorded(30, Some("vpc"), Created { output: json(json!({"vpc_id": "vpc-0abc"})) }),
        waits(1_000, "vpc", 1_000),
        waits(2_000, "vpc", 2_000),
        waits(12_000, "vpc", 12_000),
        recorded(12_500, Some("vpc"), Verified { output: None, compared: vec![] }),
        recorded(12_600, Some("subnet[1a]"), Created { output: json(json!({"subnet_id": "subnet-0abc"})) }),
        recorded(12_700, Some("subnet[1a]"), Verified { output: None, compared: vec![] }),
        recorded(12_800, None, Completed {}),
        event(12_800, EventKind::Ended(Outcome::Completed)),
    ]
}
