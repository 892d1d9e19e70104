//! `resume [RUN]`: goes on forward from wherever a run stopped.

use switchback_engine::recovery::{Refusal, plan_resume};
use switchback_model::exit_code;
use switchback_model::record::Direction;

use crate::app::App;
use crate::args::Resume;
use crate::error::CommandResult;
use crate::execute::{self, Held, Signals, Work};
use crate::select::{self, Fit};
use crate::target::Purpose;
use crate::{ask, replay, secret, target};

pub(crate) fn run(app: &App, args: &Resume) -> CommandResult<u8> {
    ask::needs_terminal(app, true, args.execute.step)?;
    let store = app.journal_of_runs()?;
    let run = select::run(store.runs()?, args.run.run.as_deref(), Fit::Unfinished)?.run;
    let registry = app.registry()?;
    // Looked at under the lock, and before this process says in the journal that it took over.
    let lock = store.lock(run)?;
    let mut replayed = replay::replay(&store, run, &registry)?;
    match plan_resume(&replayed.history) {
        Ok(()) => {}
        Err(Refusal::Ended(why @ "every step is verified")) => {
            app.out.remark(&format!("nothing to do: {why}"));
            return Ok(exit_code::OK);
        }
        Err(refusal) => return Err(refusal.into()),
    }
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
    let (values, calls) = secret::go_on(app, &runtime, &replayed.history, Direction::Forward, &args.secrets, &env)?;
    env.secrets = values;
    let signals = Signals::listen(&runtime)?;
    let mut journal = store.take_locked(lock, "resume")?;
    secret::record(&mut journal, replayed.history.direction(), calls)?;
    replay::catch_up(&store, run, &mut replayed)?;
    let held = Held {
        journal: Box::new(journal),
        history: replayed.history,
        env,
        options: execute::options(&args.execute),
        ask: args.execute.step,
    };
    execute::execute(app, &runtime, signals, held, Work::Resume)
}
