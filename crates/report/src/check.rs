//! What `verify` found: is every step still as it was left?

use std::fmt::Write as _;

use serde::Serialize;
use switchback_model::record::Comparison;
use switchback_model::{ErrorClass, OpError, RunId, StepId, exit_code};

use crate::reporter::{Context, Verbosity};
use crate::style::Tone;
use crate::text::{self, Cell};
use crate::words;

/// What was found for a run.
#[derive(Debug, Clone, Serialize)]
pub struct CheckView {
    /// The run.
    pub run: RunId,
    /// One entry a step that should be there, in plan order.
    pub steps: Vec<StepCheck>,
    /// Steps of the plan that are not made, and so were not looked at.
    pub not_made: usize,
}

/// What was found for a step.
#[derive(Debug, Clone, Serialize)]
pub struct StepCheck {
    /// The step.
    pub step: StepId,
    /// What was compared.
    pub compared: Vec<Comparison>,
    /// Why it could not be looked at.
    pub error: Option<OpError>,
}

impl StepCheck {
    fn drifted(&self) -> bool {
        !self.compared.iter().all(Comparison::holds)
            || self.error.as_ref().is_some_and(|e| e.class == ErrorClass::Drift)
    }
}

impl CheckView {
    fn drifted(&self) -> usize {
        self.steps.iter().filter(|s| s.drifted()).count()
    }

    fn unknown(&self) -> usize {
        self.steps.iter().filter(|s| s.error.is_some() && !s.drifted()).count()
    }

    /// The exit code: drift, else unknown (without credentials or network: paused), else the goal.
    #[must_use]
    pub fn code(&self) -> u8 {
        let unavailable = |s: &StepCheck| s.error.as_ref().is_some_and(|e| e.class == ErrorClass::Unavailable);
        if self.drifted() > 0 {
            exit_code::DRIFT
        } else if self.steps.iter().any(unavailable) {
            exit_code::PAUSED
        } else if self.unknown() > 0 {
            exit_code::STUCK
        } else {
            exit_code::OK
        }
    }

    /// For people.
    #[must_use]
    pub fn render(&self, cx: &Context) -> String {
        let mut rows = Vec::new();
        for s in &self.steps {
            let (tone, word, detail) = match &s.error {
                Some(e) if s.drifted() => (Tone::Bad, "drift", e.to_string()),
                Some(e) => (Tone::Warn, "unknown", e.to_string()),
                None if s.drifted() => (Tone::Bad, "drift", words::compared(&s.compared)),
                None if s.compared.is_empty() => (Tone::Good, "as left", "nothing to compare".to_owned()),
                None => (Tone::Good, "as left", text::count(s.compared.len(), "check")),
            };
            if cx.verbosity > Verbosity::Quiet || tone != Tone::Good {
                rows.push(vec![Cell::plain(s.step.as_str()), Cell::new(tone, word), Cell::plain(detail)]);
            }
        }
        let mut out = text::table(cx.paint, 2, &rows);
        let (drifted, unknown) = (self.drifted(), self.unknown());
        let (tone, head) = if drifted > 0 {
            (Tone::Bad, format!("drift: {} not as left", text::count(drifted, "step")))
        } else if unknown > 0 {
            (Tone::Warn, format!("unknown: {} could not be looked at", text::count(unknown, "step")))
        } else {
            (Tone::Good, format!("{} as left", text::count(self.steps.len(), "step")))
        };
        let made = if self.not_made > 0 { format!(", {} not made", self.not_made) } else { String::new() };
        let _ = writeln!(out, "{}{made}", cx.paint.tone(tone, &head));
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::run;

    fn step(id: &str, holds: bool, error: Option<OpError>) -> StepCheck {
        let got = if holds { json!("10.0.0.0/16") } else { json!("10.1.0.0/16") };
        let compared = if error.is_some() {
            vec![]
        } else {
            vec![Comparison { what: "cidr_block".into(), want: json!("10.0.0.0/16"), got }]
        };
        StepCheck { step: id.into(), compared, error }
    }

    fn code(steps: Vec<StepCheck>) -> u8 {
        CheckView { run: run(), steps, not_made: 0 }.code()
    }

    #[test]
    fn exit_codes() {
        let error = |class| Some(OpError::new(class, "x"));
        assert_eq!(code(vec![step("vpc", true, None)]), 0);
        assert_eq!(code(vec![step("vpc", true, error(ErrorClass::Permanent))]), 5);
        assert_eq!(code(vec![step("vpc", true, error(ErrorClass::Unavailable))]), 4);
        assert_eq!(code(vec![step("vpc", true, error(ErrorClass::Unavailable)), step("b", false, None)]), 7);
        assert_eq!(code(vec![step("vpc", true, error(ErrorClass::Drift))]), 7);
    }

    #[test]
    fn drift_says_what_differs() {
        let steps = vec![step("vpc", false, None), step("subnet[1a]", true, None)];
        let view = CheckView { run: run(), steps, not_made: 1 };
        insta::assert_snapshot!(view.render(&Context::default()), @r"
          vpc         drift    cidr_block should be 10.0.0.0/16, is 10.1.0.0/16
          subnet[1a]  as left  1 check
        drift: 1 step not as left, 1 not made
        ");
    }
}
