//! Which commands apply to a step or a run, as hints. Texts only: whether a command is possible
//! is decided by the engine when it is run.

use switchback_journal::RunState;
use switchback_model::record::Direction;
use switchback_model::status::State;
use switchback_model::{RunId, StepId};
use switchback_report::text;

use crate::output::quoted;

/// The rescue verbs that apply to a step that needs a person, and what each says.
pub(crate) fn verbs(run: RunId, step: &StepId, state: State) -> Vec<(String, String)> {
    let run = text::short(run);
    let step = quoted(step.as_str());
    let verb = |verb: &str, what: &str| (format!("{verb} {step} --run {run} --reason TEXT"), what.to_owned());
    let adopt = verb("adopt", "it is ours");
    let disown = verb("disown", "it is not ours, or is accepted as it is");
    match state {
        State::Fresh | State::Captured | State::CaptureFailed => {
            vec![verb("skip", "leave this step out"), verb("mark-done", "it is done; needs --output JSON")]
        }
        State::CreateStarted | State::CreateFailed | State::RollbackStarted | State::UndoFailed => vec![adopt, disown],
        State::Adopted | State::SettleFailed | State::VerifyFailed => {
            vec![adopt, disown, verb("mark-done", "it is as it should be")]
        }
        State::Created => vec![verb("mark-done", "it is as it should be")],
        State::Verified | State::MarkedDone => vec![adopt, disown],
        State::RollbackFailed => {
            vec![verb("mark-done", "I have undone it by hand"), verb("skip", "leave what it made behind")]
        }
        _ => Vec::new(),
    }
}

/// The commands that come next for a run.
pub(crate) fn next(run: RunId, state: RunState, direction: Direction, executed: bool) -> Vec<(String, String)> {
    let run = text::short(run);
    let say = |command: &str, what: &str| (command.to_owned(), what.to_owned());
    let resume = say(&format!("resume {run}"), "go on forward");
    let unwind = say(&format!("unwind {run} --all"), "go back to the start");
    let log = say(&format!("log {run}"), "what was done, and why");
    if executed {
        return vec![
            say(&format!("log {run} --follow"), "watch it"),
            say(&format!("takeover {run} --reason TEXT"), "end its executor"),
        ];
    }
    match (state, direction) {
        (RunState::Completed, _) => vec![say(&format!("verify {run}"), "is everything still as it was left?"), unwind],
        (RunState::Unwound | RunState::Refused, _) => vec![log],
        (RunState::PartlyUnwound, _) | (RunState::Open | RunState::Paused, Direction::Forward) => vec![resume, unwind],
        (RunState::Stuck, Direction::Forward) => vec![resume, unwind, log],
        (_, Direction::Unwinding) => vec![(unwind.0, "go on with the unwind, to the start".to_owned()), log],
        _ => vec![log],
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn said(state: State) -> String {
        let all = verbs(RunId::new(Uuid::nil()), &"vpc".into(), state);
        all.iter().filter_map(|(c, _)| c.split(' ').next()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn verbs_by_state() {
        assert_eq!(said(State::Captured), "skip mark-done");
        assert_eq!(said(State::CreateFailed), "adopt disown");
        assert_eq!(said(State::VerifyFailed), "adopt disown mark-done");
        assert_eq!(said(State::RollbackFailed), "mark-done skip");
        assert_eq!(said(State::UndoFailed), "adopt disown");
        assert_eq!(said(State::Undone), "");
    }

    #[test]
    fn a_run_that_goes_back_is_not_resumed() {
        let next = next(RunId::new(Uuid::nil()), RunState::Paused, Direction::Unwinding, false);
        assert!(next.iter().all(|(command, _)| !command.starts_with("resume")));
    }
}
