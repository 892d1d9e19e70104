//! Which run a command is about: the one that was named, or the only one that it fits.

use switchback_journal::{RunState, RunSummary};
use switchback_report::text;

use crate::error::{CommandError, CommandResult};

/// Which runs a command fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Those that are not finished.
    Unfinished,
    /// Those that something may be left of.
    NotUnwound,
    /// Any: the newest is meant.
    Newest,
}

impl Fit {
    fn fits(self, state: RunState) -> bool {
        match self {
            Self::Unfinished => !matches!(state, RunState::Completed | RunState::Unwound | RunState::Refused),
            Self::NotUnwound => !matches!(state, RunState::Unwound | RunState::Refused),
            Self::Newest => true,
        }
    }
}

/// The run that `asked` names, or the only one that fits. Where none fits, the newest: the
/// command says why it cannot, or that there is nothing to do.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn run(runs: Vec<RunSummary>, asked: Option<&str>, fit: Fit) -> CommandResult<RunSummary> {
    let Some(asked) = asked else { return only(runs, fit) };
    let wanted = asked.to_ascii_lowercase();
    let (mut found, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|r| {
        let id = r.run.to_string();
        id.starts_with(&wanted) || id.ends_with(&wanted)
    });
    match (found.pop(), found.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(run), false) => {
            found.push(run);
            Err(listed(CommandError::usage(format!("`{asked}` is more than one run")), &found))
        }
        (None, _) => {
            let error = CommandError::refused(format!("there is no run `{asked}` in this journal"));
            Err(if others.is_empty() { error } else { error.hint("runs", "all runs of this journal") })
        }
    }
}

fn only(runs: Vec<RunSummary>, fit: Fit) -> CommandResult<RunSummary> {
    let none = || CommandError::refused("the journal has no runs").hint("apply FILE", "start one");
    if fit == Fit::Newest {
        return runs.into_iter().next_back().ok_or_else(none);
    }
    let (mut fitting, mut others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|r| fit.fits(r.state));
    match (fitting.pop(), fitting.is_empty()) {
        (Some(run), true) => Ok(run),
        (Some(run), false) => {
            fitting.push(run);
            Err(listed(CommandError::usage("more than one run fits: say which"), &fitting))
        }
        (None, _) => others.pop().ok_or_else(none),
    }
}

fn listed(mut error: CommandError, runs: &[RunSummary]) -> CommandError {
    for r in runs {
        let began = r.created_at.strftime("%Y-%m-%d %H:%M:%SZ");
        error = error.advice(format!("{}  {} ({}, began {began})", r.run, text::clean(&r.runbook), r.state));
    }
    error
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use switchback_model::record::{Direction, Endpoint};
    use switchback_model::{Epoch, RunId, Seq};
    use uuid::Uuid;

    use super::*;

    fn summary(id: u128, state: RunState) -> RunSummary {
        RunSummary {
            run: RunId::new(Uuid::from_u128(id)),
            runbook: "net".into(),
            plan_hash: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
            endpoint: Endpoint::default(),
            state,
            direction: Direction::Forward,
            epoch: Epoch(1),
            last: Seq(1),
            last_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_only_run_that_fits_need_not_be_named() {
        let runs = vec![summary(1, RunState::Completed), summary(2, RunState::Paused), summary(3, RunState::Unwound)];
        let pick = |fit| run(runs.clone(), None, fit).map(|r| r.state).map_err(|e| e.code());
        assert_eq!(pick(Fit::Unfinished), Ok(RunState::Paused));
        assert_eq!(pick(Fit::Newest), Ok(RunState::Unwound));
        assert_eq!(pick(Fit::NotUnwound), Err(2));
        assert_eq!(run(runs[..1].to_vec(), None, Fit::Unfinished).unwrap().state, RunState::Completed);
        assert_eq!(run(Vec::new(), None, Fit::Unfinished).unwrap_err().code(), 1);
    }

    #[test]
    fn a_part_of_an_id_is_enough_where_only_one_run_has_it() {
        let runs = vec![summary(0xab, RunState::Completed), summary(0xcd, RunState::Paused)];
        let pick = |asked: &str| run(runs.clone(), Some(asked), Fit::Newest).map(|r| r.state).map_err(|e| e.code());
        assert_eq!(pick("00cd"), Ok(RunState::Paused));
        assert_eq!(pick("00AB"), Ok(RunState::Completed));
        assert_eq!(pick("0000"), Err(2));
        assert_eq!(pick("ff"), Err(1));
    }
}
