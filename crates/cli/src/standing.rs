//! Where a run stands, in words. From the journal's own summary and its newest records: for
//! people, not for deciding.

use switchback_journal::{RunState, RunSummary};
use switchback_model::record::{Body, Direction, Record, UnwindTarget};
use switchback_model::{OpError, StepId};
use switchback_report::status::{RunLine, Standing};

/// Why a run stands still, from its newest records.
#[derive(Debug, Default)]
pub(crate) struct Why {
    pub(crate) paused: Option<(String, Option<StepId>)>,
    pub(crate) stuck: Vec<(StepId, OpError)>,
    pub(crate) refused: Vec<(Option<StepId>, OpError)>,
    pub(crate) target: Option<UnwindTarget>,
}

impl Why {
    /// From the newest records, oldest first. Records about what was so before are passed over.
    pub(crate) fn from(records: &[Record]) -> Self {
        let mut why = Self::default();
        for record in records {
            match record.body() {
                Body::Paused(p) => {
                    why.stuck.clear();
                    why.paused = Some((p.why.clone(), p.step.clone()));
                }
                Body::Stuck(p) => {
                    why.paused = None;
                    why.stuck.clone_from(&p.steps);
                }
                Body::Refused(p) => why.refused.clone_from(&p.reasons),
                Body::UnwindStarted(p) => why.target = Some(p.target.clone()),
                _ => {}
            }
        }
        why
    }
}

/// In words. `executed`: somebody is at it now.
pub(crate) fn standing(summary: &RunSummary, executed: bool, why: Option<&Why>) -> Standing {
    let back = summary.direction == Direction::Unwinding;
    let target = why.and_then(|w| w.target.as_ref()).map(|t| format!(" to {t}")).unwrap_or_default();
    let way = if back { format!("unwinding{target}") } else { "going forward".to_owned() };
    let reason = why.and_then(|w| w.paused.as_ref()).map(|(why, step)| match step {
        Some(step) => format!(" at `{step}`: {why}"),
        None => format!(": {why}"),
    });
    let words = match summary.state {
        RunState::Open if executed => way,
        RunState::Open => format!("interrupted while {way}"),
        RunState::Paused => format!("paused while {way}{}", reason.unwrap_or_default()),
        RunState::Stuck => format!("stuck while {way}: a person is needed"),
        RunState::Refused => "refused before any effect".to_owned(),
        RunState::Completed => "completed: every step is verified".to_owned(),
        RunState::PartlyUnwound => format!("unwound{target}; it can go forward again"),
        RunState::Unwound => "unwound: everything is undone".to_owned(),
        other => other.to_string(),
    };
    Standing { state: summary.state.as_str(), words }
}

/// A line of `runs`.
pub(crate) fn line(summary: &RunSummary, executed: bool, why: Option<&Why>) -> RunLine {
    RunLine {
        run: summary.run,
        runbook: summary.runbook.clone(),
        started_at: Some(summary.created_at),
        last_at: Some(summary.last_at),
        records: summary.last.0,
        standing: standing(summary, executed, why),
    }
}
