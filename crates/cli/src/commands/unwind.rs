//! `unwind [RUN] --to CHECKPOINT|STEP | --all`: shows what will be undone, asks, and goes back.

use serde::Serialize;
use switchback_engine::history::{Ended, History};
use switchback_engine::recovery::{describe, plan_unwind};
use switchback_model::event::RecoveryLine;
use switchback_model::exit_code;
use switchback_model::record::{Direction, UnwindCause, UnwindTarget};
use switchback_model::{RunId, StepId};
use switchback_report::text::{self, Cell};

use crate::app::App;
use crate::args::{Execute, Unwind};
use crate::error::CommandResult;
use crate::execute::{self, Held, Signals, Work};
use crate::select::{self, Fit};
use crate::target::Purpose;
use crate::{ask, replay, secret, target};

#[derive(Serialize)]
struct Preview<'a> {
    target: String,
    keep: &'a [StepId],
    steps: &'a [RecoveryLine],
}

pub(crate) fn run(app: &App, args: &Unwind) -> CommandResult<u8> {
    ask::needs_terminal(app, args.auto_approve, false)?;
    let goal = args.to.clone().map_or(UnwindTarget::All, UnwindTarget::To);
    let store = app.journal_of_runs()?;
    let run = select::run(store.runs()?, args.run.run.as_deref(), Fit::NotUnwound)?.run;
    let registry = app.registry()?;
    // Looked at under the lock, and before this process says in the journal that it took over.
    let lock = store.lock(run)?;
    let mut replayed = replay::replay(&store, run, &registry)?;
    if goal == UnwindTarget::All && replayed.history.ended() == Ended::Unwound {
        app.out.remark("nothing to do: everything was unwound");
        return Ok(exit_code::OK);
    }
    let keep = plan_unwind(&replayed.history, &goal)?;
    preview(app, run, &replayed.history, &goal, &keep)?;
    ask::approve(args.auto_approve, "Undo this?")?;

    let runtime = app.runtime()?;
    let mut env = runtime.block_on(target::environment(
        app,
        registry,
        replayed.history.plan(),
        &replayed.history.endpoint(),
        Some(run),
        Purpose::GoOn,
    ))?;
    // Before anything of this process is on record: another value must not be found half way.
    let (values, calls) = secret::go_on(app, &runtime, &replayed.history, Direction::Unwinding, &args.secrets, &env)?;
    env.secrets = values;
    let signals = Signals::listen(&runtime)?;
    let mut journal = store.take_locked(lock, "unwind")?;
    secret::record(&mut journal, replayed.history.direction(), calls)?;
    replay::catch_up(&store, run, &mut replayed)?;
    let execute = Execute { max_parallel: args.max_parallel, confirm: args.confirm.clone(), ..Execute::default() };
    let held = Held {
        journal: Box::new(journal),
        history: replayed.history,
        env,
        options: execute::options(&execute),
        ask: false,
    };
    let cause = UnwindCause::Asked { reason: args.reason.clone() };
    execute::execute(app, &runtime, signals, held, Work::Unwind(goal, cause))
}

/// What will be undone, in its order. Nobody is asked twice: with `--auto-approve` the reporter
/// says the same while it happens.
fn preview(app: &App, run: RunId, history: &History, goal: &UnwindTarget, keep: &[StepId]) -> CommandResult<()> {
    let steps = describe(history, Direction::Unwinding, keep);
    if app.out.json {
        app.out.line("unwind_plan", Some(run), Preview { target: goal.to_string(), keep, steps: &steps })?;
        return Ok(());
    }
    if !app.out.interactive {
        return Ok(());
    }
    let cx = app.out.context();
    let rows: Vec<_> = steps
        .iter()
        .map(|l| vec![Cell::plain(l.step.as_str()), Cell::plain(&l.status), Cell::plain(&l.action)])
        .collect();
    let head = format!("unwind {run} to {goal}: {} to undo, {} kept", text::count(steps.len(), "step"), keep.len());
    app.out.data(&format!("{}\n{}", cx.paint.strong(&head), text::table(cx.paint, 2, &rows)))?;
    Ok(())
}
