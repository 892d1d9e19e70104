//! `status [RUN]`: where a run stands, what is stuck and why, which commands apply.
//!
//! Fast on a large journal: it reads the plan, the newest state of every step and the newest
//! records, never all of them.

use std::collections::HashMap;

use switchback_journal::Store;
use switchback_model::record::{Body, Rehearsed};
use switchback_model::status::State;
use switchback_model::{Generation, RunId, Seq, StepId, exit_code};
use switchback_report::status::{StatusView, StepLine, StuckLine};

use crate::app::App;
use crate::args::RunArg;
use crate::error::CommandResult;
use crate::select::{self, Fit};
use crate::standing::{self, Why};
use crate::{advice, replay};

/// So many of the newest records are looked through for the reason why the run stands still.
const NEWEST: usize = 200;

pub(crate) fn run(app: &App, args: &RunArg) -> CommandResult<u8> {
    let store = app.journal()?;
    let summary = select::run(store.runs()?, args.run.as_deref(), Fit::Newest)?;
    let run = summary.run;
    let plan = replay::stored_plan(&store, run)?;
    let holder = store.lock_holder(run)?;
    let why = Why::from(&store.tail(run, None, NEWEST)?);
    let heads: HashMap<StepId, (State, Generation)> =
        store.heads(run)?.into_iter().map(|h| (h.step, (h.state, h.generation))).collect();
    let state_of = |step: &StepId| heads.get(step).copied().unwrap_or((State::Fresh, Generation::FIRST));
    let steps: Vec<StepLine> = plan
        .steps
        .iter()
        .map(|s| {
            let (state, generation) = state_of(&s.id);
            StepLine {
                step: s.id.clone(),
                op: s.op.clone(),
                phase: plan.phases.get(s.phase as usize).cloned().unwrap_or_default(),
                state,
                generation,
                note: String::new(),
            }
        })
        .collect();
    let counts = State::ALL
        .into_iter()
        .map(|state| (state, steps.iter().filter(|s| s.state == state).count()))
        .filter(|(_, n)| *n > 0)
        .collect();
    let stuck = why
        .stuck
        .iter()
        .map(|(step, error)| StuckLine {
            step: step.clone(),
            error: error.clone(),
            verbs: advice::verbs(run, step, state_of(step).0),
        })
        .collect();
    let view = StatusView {
        run: standing::line(&summary, holder.is_some(), Some(&why)),
        plan_hash: summary.plan_hash.clone(),
        direction: summary.direction,
        endpoint: summary.endpoint.clone(),
        rehearsal: rehearsal(&store, run)?,
        holder: holder.as_ref().map(ToString::to_string),
        counts,
        steps,
        stuck,
        refused: why.refused,
        next: advice::next(run, summary.state, summary.direction, holder.is_some()),
    };
    if app.out.json {
        app.out.line("status", Some(run), &view)?;
    } else {
        app.out.data(&view.render(&app.out.context()))?;
    }
    Ok(exit_code::OK)
}

/// The rehearsal that was on file when the run began: its first record says so.
fn rehearsal(store: &Store, run: RunId) -> CommandResult<Option<Rehearsed>> {
    let first = store.tail(run, Some(Seq(0)), 1)?;
    Ok(first.iter().find_map(|record| match record.body() {
        Body::RunStarted(started) => started.rehearsal.clone(),
        _ => None,
    }))
}
