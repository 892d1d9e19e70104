//! `verify [RUN]`: is every step still as it was left? Reads only.

use switchback_engine::executor::verify_run;
use switchback_model::OpError;
use switchback_model::record::Direction;
use switchback_model::status::State;
use switchback_report::check::{CheckView, StepCheck};

use crate::app::App;
use crate::args::Verify;
use crate::error::{CommandError, CommandResult};
use crate::select::{self, Fit};
use crate::target::Purpose;
use crate::{replay, secret, target};

pub(crate) fn run(app: &App, args: &Verify) -> CommandResult<u8> {
    let store = app.journal()?;
    let run = select::run(store.runs()?, args.run.run.as_deref(), Fit::Newest)?.run;
    let registry = app.registry()?;
    let history = replay::replay(&store, run, &registry)?.history;
    let runtime = app.runtime()?;
    let plan = history.plan();
    let mut env =
        runtime.block_on(target::environment(app, registry, plan, &history.endpoint(), Some(run), Purpose::GoOn))?;
    env.secrets = secret::go_on(app, &runtime, &history, Direction::Unwinding, &args.secrets, &env)?.0;
    let checked = runtime.block_on(async {
        for provider in &env.providers {
            provider.preflight(switchback_engine::provider::no_log()).await.map_err(CommandError::from)?;
        }
        CommandResult::Ok(verify_run(run, &history, &env).await)
    })?;
    let mut steps: Vec<_> = checked
        .steps
        .into_iter()
        .map(|s| match s.result {
            Ok(compared) => StepCheck { step: s.step, compared, error: None },
            Err(error) => StepCheck { step: s.step, compared: Vec::new(), error: Some(error) },
        })
        .collect();
    // What is neither done nor undone may be there, and nothing says how it should be.
    steps.extend(history.statuses().filter(|(_, s)| !s.state.is_undone() && !s.state.is_done()).map(|(step, s)| {
        let error = OpError::permanent(format!("it is {} on record: neither done nor undone", s.state))
            .with_hint("`switchback status` says what can be done");
        StepCheck { step: step.clone(), compared: Vec::new(), error: Some(error) }
    }));
    steps.sort_by_key(|s| history.index_of(&s.step));
    // A step that a person left out is not missing.
    let skipped = history.statuses().filter(|(_, s)| s.state == State::Skipped).count();
    let not_made = history.plan().steps.len().saturating_sub(steps.len() + skipped);
    let view = CheckView { run, steps, not_made };
    if app.out.json {
        app.out.line("check", Some(run), &view)?;
    } else {
        app.out.data(&view.render(&app.out.context()))?;
    }
    Ok(view.code())
}
