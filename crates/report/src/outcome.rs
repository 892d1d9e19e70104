//! The end of a run: its exit code, what to say about it, and which command comes next.

use std::fmt::Write as _;

use switchback_model::event::Outcome;
use switchback_model::record::Direction;
use switchback_model::{ErrorClass, OpError, RunId, StepId, exit_code};

use crate::reporter::Context;
use crate::style::{Paint, Tone};
use crate::text;
use crate::words::leftover;

/// The exit code of an outcome.
#[must_use]
pub fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Completed | Outcome::Reached { .. } | Outcome::Unwound { .. } => exit_code::OK,
        Outcome::FailedAndUnwound { .. } => exit_code::UNWOUND,
        Outcome::Paused { .. } => exit_code::PAUSED,
        Outcome::Stuck { steps } if steps.iter().any(|(_, e)| e.class == ErrorClass::Drift) => exit_code::DRIFT,
        Outcome::Refused { .. } => exit_code::REFUSED,
        // Stuck, and whatever a later engine adds: a person should look.
        _ => exit_code::STUCK,
    }
}

/// The name of an outcome in JSON.
#[must_use]
pub fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Reached { .. } => "reached",
        Outcome::Unwound { .. } => "unwound",
        Outcome::FailedAndUnwound { .. } => "failed_and_unwound",
        Outcome::Paused { .. } => "paused",
        Outcome::Refused { .. } => "refused",
        _ => "stuck",
    }
}

/// A hint: a command to run next, and what for.
#[must_use]
pub fn hint(paint: Paint, program: &str, command: &str, what_for: &str) -> String {
    format!("{} {program} {command}  {}\n", paint.tone(Tone::Strong, "hint:"), paint.quiet(&format!("# {what_for}")))
}

/// An error with its hint, indented, as part of the summary.
fn reason(paint: Paint, out: &mut String, step: Option<&StepId>, error: &OpError) {
    let step = step.filter(|s| !s.as_str().is_empty()).map(|s| format!("{s}: ")).unwrap_or_default();
    let _ = writeln!(out, "  {step}{}", paint.tone(Tone::Bad, &text::clean(&error.to_string())));
    if let Some(hint) = &error.hint {
        let _ = writeln!(out, "    {}", text::clean(hint));
    }
}

fn residue(out: &mut String, residue: &[String]) {
    if !residue.is_empty() {
        out.push_str("left behind on purpose:\n");
        for line in residue {
            let _ = writeln!(out, "  {}", text::clean(line));
        }
    }
}

/// The headline's words, their tone, and nothing else.
fn headline(outcome: &Outcome) -> (Tone, String) {
    let where_to = |all: bool| if all { "everything is undone" } else { "undone to the checkpoint" };
    match outcome {
        Outcome::Completed => (Tone::Good, "completed: every step is verified".to_owned()),
        Outcome::Reached { step } => (Tone::Good, format!("reached `{step}`")),
        Outcome::Unwound { all, .. } => (Tone::Good, format!("unwound: {}", where_to(*all))),
        Outcome::FailedAndUnwound { step, all, .. } => {
            (Tone::Warn, format!("`{step}` failed, and the run was unwound: {}", where_to(*all)))
        }
        Outcome::Paused { why, step: Some(step) } => (Tone::Warn, format!("paused at `{step}`: {}", text::clean(why))),
        Outcome::Paused { why, step: None } => (Tone::Warn, format!("paused: {}", text::clean(why))),
        Outcome::Refused { .. } => (Tone::Bad, "refused before any effect".to_owned()),
        _ => (Tone::Bad, "stuck: a person is needed".to_owned()),
    }
}

/// What is said at the end: the headline with `facts` (how many steps, how long), reasons,
/// residue, and the next commands.
#[must_use]
pub fn summary(cx: &Context, run: RunId, direction: Direction, outcome: &Outcome, facts: &str) -> String {
    let paint = cx.paint;
    let (tone, head) = headline(outcome);
    let mut out = format!("{} {}\n", paint.tone(tone, &head), paint.quiet(&format!("({facts})")));
    match outcome {
        Outcome::FailedAndUnwound { step, error, residue: left, .. } => {
            reason(paint, &mut out, Some(step), error);
            residue(&mut out, left);
        }
        Outcome::Unwound { residue: left, left: still, .. } => {
            residue(&mut out, left);
            for l in still {
                let _ = writeln!(out, "still there: {}", text::clean(&leftover(l)));
            }
        }
        Outcome::Stuck { steps } => steps.iter().for_each(|(s, e)| reason(paint, &mut out, Some(s), e)),
        Outcome::Refused { reasons } => reasons.iter().for_each(|(s, e)| reason(paint, &mut out, s.as_ref(), e)),
        _ => {}
    }
    for (command, what_for) in next(run, direction, outcome) {
        out.push_str(&hint(paint, &cx.program, &command, what_for));
    }
    out
}

/// The commands that come next, and what each is for.
#[must_use]
pub fn next(run: RunId, direction: Direction, outcome: &Outcome) -> Vec<(String, &'static str)> {
    let run = text::short(run);
    let verify = (format!("verify {run}"), "is everything still as it was left?");
    let resume = (format!("resume {run}"), "go on forward");
    let unwind = (format!("unwind {run} --all"), "go back to the start");
    let log = (format!("log {run}"), "what was done, and why");
    let status = (format!("status {run}"), "what is stuck, and which commands apply");
    match outcome {
        Outcome::Completed => vec![verify, unwind],
        Outcome::Reached { .. } | Outcome::Unwound { all: false, .. } => vec![resume, unwind],
        Outcome::Unwound { .. } => Vec::new(),
        Outcome::FailedAndUnwound { all: false, .. } => vec![log, resume, unwind],
        Outcome::FailedAndUnwound { .. } | Outcome::Refused { .. } => vec![log],
        Outcome::Paused { .. } if direction == Direction::Unwinding => vec![(unwind.0, "go on with the unwind")],
        Outcome::Paused { .. } => vec![resume, unwind],
        _ => vec![status],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row an exit code that an outcome can have.
    #[test]
    fn every_outcome_has_its_exit_code() {
        let step = StepId::new("vpc");
        let error = |class| OpError::new(class, "x");
        let stuck = |classes: &[ErrorClass]| Outcome::Stuck {
            steps: classes.iter().map(|c| (step.clone(), error(*c))).collect(),
        };
        let rows = [
            (Outcome::Completed, 0),
            (Outcome::Reached { step: step.clone() }, 0),
            (Outcome::Unwound { all: true, residue: vec![], left: vec![] }, 0),
            (Outcome::Refused { reasons: vec![(None, error(ErrorClass::Foreign))] }, 1),
            (
                Outcome::FailedAndUnwound {
                    step: step.clone(),
                    error: error(ErrorClass::Permanent),
                    all: true,
                    residue: vec![],
                    left: vec![],
                },
                3,
            ),
            (Outcome::Paused { why: String::new(), step: None }, 4),
            (stuck(&[ErrorClass::Foreign]), 5),
            (stuck(&[]), 5),
            (stuck(&[ErrorClass::Foreign, ErrorClass::Drift]), 7),
        ];
        for (outcome, expected) in rows {
            assert_eq!(code(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_stuck_run_says_what_to_do() {
        let error = OpError::drift("the rule was changed").with_hint("`switchback adopt rule --reason ...`");
        let outcome = Outcome::Stuck { steps: vec![("rule".into(), error)] };
        let text = summary(&Context::default(), crate::testing::run(), Direction::Unwinding, &outcome, "1 step");
        insta::assert_snapshot!(text, @r"
        stuck: a person is needed (1 step)
          rule: the rule was changed
            `switchback adopt rule --reason ...`
        hint: switchback status 00000007  # what is stuck, and which commands apply
        ");
    }
}
