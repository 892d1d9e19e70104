//! `approve`, `adopt`, `disown`, `mark-done`, `skip`: a person decides what the engine must not decide by
//! itself. Each is journaled with its reason and looked at again.

use serde::Serialize;
use std::sync::Arc;
use switchback_engine::executor::{self, AlwaysGo, Control, Options, Rescue, Rescued, Setup};
use switchback_model::record::{Direction, Json};
use switchback_model::{StepId, exit_code};
use switchback_report::{outcome, status, text};

use crate::app::App;
use crate::args;
use crate::error::{CommandError, CommandResult};
use crate::execute::{Signals, Told};
use crate::select::{self, Fit};
use crate::target::Purpose;
use crate::{replay, secret, target};

#[derive(Serialize)]
struct Line<'a> {
    step: &'a StepId,
    state: &'a str,
    seen: &'a str,
}

pub(crate) fn mark_done(app: &App, args: &args::MarkDone) -> CommandResult<u8> {
    let output = args
        .output
        .as_deref()
        .map(|text| {
            let value: serde_json::Value =
                serde_json::from_str(text).map_err(|e| CommandError::usage(format!("--output is not JSON: {e}")))?;
            Json::new(&value).map_err(|e| CommandError::usage(e.to_string()))
        })
        .transpose()?;
    run(app, &args.rescue, Rescue::MarkDone { output })
}

pub(crate) fn run(app: &App, args: &args::Rescue, verb: Rescue) -> CommandResult<u8> {
    let step = StepId::new(&args.step);
    let command = match &verb {
        Rescue::Adopt => "adopt",
        Rescue::Disown => "disown",
        Rescue::MarkDone { .. } => "mark-done",
        Rescue::Skip => "skip",
        Rescue::Approve { .. } => "approve",
    };
    let store = app.journal_of_runs()?;
    let run = select::run(store.runs()?, args.run.as_deref(), Fit::NotUnwound)?.run;
    let registry = app.registry()?;
    let lock = store.lock(run)?;
    let mut replayed = replay::replay(&store, run, &registry)?;
    if replayed.history.index_of(&step).is_none() {
        return Err(CommandError::refused(format!("the plan has no step `{step}`"))
            .hint(format!("status {}", text::short(run)), "its steps"));
    }
    let runtime = app.runtime()?;
    let plan = replayed.history.plan().clone();
    let mut env = runtime.block_on(target::environment(
        app,
        registry,
        &plan,
        &replayed.history.endpoint(),
        Some(run),
        Purpose::GoOn,
    ))?;
    let files = args::SecretFiles::default();
    let (values, calls) = secret::go_on(app, &runtime, &replayed.history, Direction::Unwinding, &files, &env)?;
    env.secrets = values;
    let _signals = Signals::listen(&runtime)?;
    let mut journal = store.take_locked(lock, command)?;
    secret::record(&mut journal, replayed.history.direction(), calls)?;
    replay::catch_up(&store, run, &mut replayed)?;
    let told = Told::new(&app.out, &plan);
    let setup = Setup {
        journal: Box::new(journal),
        history: replayed.history,
        env,
        options: Options { seed: rand::random(), ..Options::default() },
        observer: told.clone(),
        gate: Arc::new(AlwaysGo),
        control: Control::new(),
    };
    let rescued = runtime.block_on(executor::rescue(setup, &step, verb, &args.reason));
    told.finish()?;
    match rescued? {
        Rescued::Refused(e) => Err(e.into()),
        Rescued::Done { state, seen } => {
            if app.out.json {
                app.out.line("rescued", Some(run), Line { step: &step, state: state.as_str(), seen: &seen })?;
            } else {
                let cx = app.out.context();
                let next =
                    outcome::hint(cx.paint, &cx.program, &format!("status {}", text::short(run)), "what comes next");
                app.out.data(&format!("{step} is {}: {}\n{next}", status::words(state), text::clean(&seen)))?;
            }
            Ok(exit_code::OK)
        }
    }
}
