//! A record in words: a verb, what it is about, and how it should look.
//!
//! The same words stand in `apply`'s lines, in the bars and in `log`, so that a person finds
//! again what was seen before.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use switchback_model::SecretRef;
use switchback_model::record::{Body, Comparison, Json, Leftover, Proof, UndoneHow, UnwindCause};

use crate::rehearsal;
use crate::style::Tone;
use crate::text;

/// A record in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What happened: `created`.
    pub verb: &'static str,
    /// To what, or why. May be empty.
    pub detail: String,
    /// How it should look.
    pub tone: Tone,
}

fn words(tone: Tone, verb: &'static str, detail: impl Into<String>) -> Words {
    Words { verb, detail: text::clean(&detail.into()), tone }
}

/// The record in words.
#[must_use]
pub fn describe(body: &Body) -> Words {
    use Tone::{Bad, Good, Plain, Quiet, Strong, Warn};
    match body {
        Body::RunStarted(p) => {
            let of = |(name, of): (&String, &SecretRef)| format!("; {name} from {of}");
            let secrets: String = p.secrets.iter().flat_map(|s| &s.inputs).map(of).collect();
            let rehearsed = p.rehearsal.as_ref().map(|r| format!("; {}", rehearsal::rehearsed(r))).unwrap_or_default();
            let plan = p.plan_hash.get(..12).unwrap_or(&p.plan_hash);
            words(Strong, "run started", format!("{} (plan {plan}){secrets}{rehearsed}", p.runbook))
        }
        Body::ExecutorStarted(p) => words(Quiet, "executor started", format!("{}, epoch {}", p.command, p.epoch)),
        Body::PreflightPassed(p) => {
            words(Quiet, "preflight passed", format!("{} captured, {} known only later", p.captured, p.later))
        }
        Body::Refused(p) => words(
            Bad,
            "refused",
            join(p.reasons.iter().map(|(step, e)| match step {
                Some(step) => format!("{step}: {e}"),
                None => e.to_string(),
            })),
        ),
        Body::UnwindStarted(p) => {
            let why = match &p.cause {
                UnwindCause::Asked { reason: Some(reason) } => format!(", asked: {reason}"),
                UnwindCause::Asked { reason: None } => ", asked".to_owned(),
                UnwindCause::Failed { step, error } => format!(", because `{step}` failed: {error}"),
            };
            words(Strong, "unwind started", format!("to {}{why}", p.target))
        }
        Body::UnwindFinished(p) => {
            let residue =
                if p.residue.is_empty() { String::new() } else { format!(", {} left on purpose", p.residue.len()) };
            words(Strong, "unwind finished", format!("at {}{residue}", p.target))
        }
        Body::ForwardStarted(_) => words(Strong, "going forward again", ""),
        Body::Swept(p) if p.left.is_empty() => {
            words(Good, "swept", "nothing is left that this run made and does not keep")
        }
        Body::Swept(p) => words(Warn, "swept", join(p.left.iter().map(leftover))),
        Body::Paused(p) => words(Warn, "paused", &*p.why),
        Body::Stuck(p) => words(Bad, "stuck", join(p.steps.iter().map(|(step, e)| format!("{step}: {e}")))),
        Body::Completed(_) => words(Good, "completed", "every step is verified"),
        Body::TakenOver(p) => {
            let pid = p.pid.map(|pid| format!("process {pid} was ended: ")).unwrap_or_default();
            words(Warn, "taken over", format!("{pid}{}", p.reason))
        }
        Body::Captured(_) => words(Quiet, "captured", ""),
        Body::CaptureFailed(p) => words(Bad, "capture failed", p.error.to_string()),
        Body::CreateStarted(_) => words(Quiet, "creating", ""),
        Body::CreateFailed(p) => words(Bad, "create failed", p.error.to_string()),
        Body::Created(p) => words(Plain, "created", identity(&p.output)),
        Body::Adopted(p) => {
            let proof = match p.proof {
                Proof::Strong => "strong proof",
                Proof::Weak => "weak proof",
                Proof::Confirmed => "confirmed by a person",
            };
            let reason = p.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            words(Warn, "adopted", format!("{} ({proof}{reason})", identity(&p.output)).trim_start())
        }
        Body::SettleFailed(p) => words(Bad, "settle failed", p.error.to_string()),
        Body::VerifyFailed(p) => words(Bad, "verify failed", p.error.to_string()),
        Body::Verified(p) => words(Good, "verified", p.output.as_ref().map(identity).unwrap_or_default()),
        Body::Skipped(p) => words(Warn, "skipped", &*p.reason),
        Body::MarkedDone(p) => {
            let seen = if p.verified { "verify agrees" } else { "verify does not agree" };
            words(Warn, "marked as done", format!("{}; {seen}", p.reason))
        }
        Body::RollbackStarted(p) => words(Quiet, "rolling back", p.output.as_ref().map(identity).unwrap_or_default()),
        Body::RolledBack(_) => words(Plain, "rolled back", ""),
        Body::RollbackFailed(p) => words(Bad, "rollback failed", p.error.to_string()),
        Body::Undone(p) => {
            let reason = p.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
            match p.how {
                UndoneHow::Verified => words(Good, "undone", ""),
                UndoneHow::NeverMade => words(Good, "undone", "it was never made"),
                UndoneHow::NotOurs => {
                    words(Warn, "undone", format!("not ours, left alone{}", prefixed(": ", &compared(&p.compared))))
                }
                UndoneHow::Disowned => words(Warn, "undone", format!("disowned{reason}")),
            }
        }
        Body::UndoFailed(p) => words(Bad, "still there", compared(&p.compared)),
        Body::RollbackSkipped(p) => words(Warn, "rollback skipped", &*p.reason),
        Body::RollbackMarkedDone(p) => words(Warn, "undone by hand", &*p.reason),
        Body::Called(p) => {
            // Beside HTTP there is no status: the code says all.
            let status = match (p.status, &p.code) {
                (Some(status), Some(code)) => format!("{status} {code}"),
                (Some(status), None) => status.to_string(),
                (None, Some(code)) => code.clone(),
                (None, None) => "no reply".to_owned(),
            };
            let id = p.request_id.as_ref().map(|r| format!(", request {r}")).unwrap_or_default();
            let took = text::duration(Duration::from_millis(p.duration_ms));
            words(Quiet, "called", format!("{} {}: {status}, {took}{id}", p.service, p.operation))
        }
        Body::Retried(p) => {
            let pause = text::duration(Duration::from_millis(p.delay_ms));
            words(Warn, "retry", format!("{} failed (attempt {}), again in {pause}: {}", p.method, p.attempt, p.error))
        }
        other => words(Plain, other.kind(), ""),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("; ")
}

fn prefixed(prefix: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{prefix}{text}") }
}

/// A leftover in words.
#[must_use]
pub fn leftover(l: &Leftover) -> String {
    let target = l.target.as_ref().map(|t| format!(" in {t}")).unwrap_or_default();
    format!("{} {}{target} of step {}", l.resource_type, l.id, l.step)
}

/// What was compared and did not hold, in words.
#[must_use]
pub fn compared(all: &[Comparison]) -> String {
    join(
        all.iter()
            .filter(|c| !c.holds())
            .map(|c| format!("{} should be {}, is {}", c.what, scalar(&c.want), scalar(&c.got))),
    )
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_owned(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// What identifies the thing that an output describes: the first field, in the order in which it
/// was written, whose name says that it is an id or an ARN. Empty where there is none.
#[must_use]
pub fn identity(output: &Json) -> String {
    serde_json::from_str::<FirstId>(output.get()).map(|f| text::clean(&f.0)).unwrap_or_default()
}

struct FirstId(String);

impl<'de> Deserialize<'de> for FirstId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = FirstId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FirstId, A::Error> {
                let mut found = String::new();
                while let Some(key) = map.next_key::<String>()? {
                    let is_id = key == "id" || key == "arn" || key.ends_with("_id") || key.ends_with("_arn");
                    if !is_id || !found.is_empty() {
                        map.next_value::<IgnoredAny>()?;
                    } else if let Value::String(id) = map.next_value::<Value>()? {
                        found = id;
                    }
                }
                Ok(FirstId(found))
            }
        }
        d.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchback_model::OpError;
    use switchback_model::record::*;

    use super::*;

    fn said(body: impl Into<Body>) -> String {
        let w = describe(&body.into());
        format!("{}|{}", w.verb, w.detail)
    }

    #[test]
    fn the_first_id_of_an_output_names_it() {
        let output: Json =
            serde_json::from_str(r#"{"group_name":"x","subnet_id":"subnet-1","vpc_id":"vpc-1"}"#).unwrap();
        assert_eq!(identity(&output), "subnet-1");
        assert_eq!(identity(&Json::new(&json!({})).unwrap()), "");
        assert_eq!(identity(&Json::new(&json!([1])).unwrap()), "");
    }

    #[test]
    fn records_in_words() {
        let output = Json::new(&json!({"vpc_id": "vpc-1"})).unwrap();
        assert_eq!(said(Created { output: output.clone() }), "created|vpc-1");
        assert_eq!(said(Adopted { output, proof: Proof::Weak, reason: None }), "adopted|vpc-1 (weak proof)");
        assert_eq!(
            said(Retried {
                method: "create".to_owned(),
                attempt: 1,
                error: OpError::permanent("slow down").with_code("Throttling"),
                delay_ms: 1500,
            }),
            "retry|create failed (attempt 1), again in 1.5 s: slow down (Throttling)"
        );
        let compared = vec![Comparison { what: "cidr".to_owned(), want: json!("a"), got: json!(null) }];
        assert_eq!(said(UndoFailed { compared }), "still there|cidr should be a, is absent");
        assert_eq!(
            said(Undone { how: UndoneHow::NeverMade, compared: vec![], reason: None }),
            "undone|it was never made"
        );
    }
}
