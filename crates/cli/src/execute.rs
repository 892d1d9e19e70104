//! A run in the hands of this process: who is told, who is asked, what Ctrl-C does.
//!
//! ```text
//! first SIGINT or SIGTERM ──▶ pause: steps in flight reach a recorded state, exit code 4
//! second                  ──▶ exit at once, exit code 4; the journal resumes
//! ```

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use switchback_engine::executor::Environment;
use switchback_engine::executor::{self, AlwaysGo, Control, Gate, Observer, ObserverGone, Options, Setup};
use switchback_engine::history::History;
use switchback_engine::journal::Journal;
use switchback_model::event::{Event, Outcome};
use switchback_model::exit_code;
use switchback_model::plan::Plan;
use switchback_model::record::{UnwindCause, UnwindTarget};
use switchback_report::bars::Bars;
use switchback_report::json::JsonLines;
use switchback_report::plain::Plain;
use switchback_report::{Reporter, outcome};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::args::Execute;
use crate::ask::AskEachStep;
use crate::error::{CommandResult, FileError};
use crate::output::Out;

/// How long a pause waits for its announcement.
const SAY: Duration = Duration::from_millis(100);

/// What to do with a run.
#[derive(Debug)]
pub(crate) enum Work {
    Apply,
    Resume,
    Unwind(UnwindTarget, UnwindCause),
}

/// A run that this process holds.
pub(crate) struct Held {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) history: History,
    pub(crate) env: Environment,
    pub(crate) options: Options,
    pub(crate) ask: bool,
}

/// The reporter, told by the engine and silenced by questions.
pub(crate) struct Told(Mutex<Box<dyn Reporter>>);

impl Told {
    pub(crate) fn new(out: &Out, plan: &Plan) -> Arc<Self> {
        let cx = out.context().fit(plan.steps.iter().map(|s| s.id.as_str()));
        let reporter: Box<dyn Reporter> = if out.json {
            Box::new(JsonLines::new(io::stdout()))
        } else if out.bars {
            let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            Box::new(Bars::new(multi, io::stdout(), io::stderr(), cx))
        } else {
            Box::new(Plain::new(io::stdout(), io::stderr(), cx))
        };
        Arc::new(Self(Mutex::new(reporter)))
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Reporter>> {
        // A panic in a reporter leaves at worst half a line behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `ask` while nothing moves on the screen.
    pub(crate) fn suspend(&self, ask: &mut dyn FnMut()) {
        self.lock().suspend(ask);
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        self.lock().finish()
    }
}

impl Observer for Told {
    fn event(&self, event: Event) -> Result<(), ObserverGone> {
        self.lock().event(&event).map_err(|_| ObserverGone)
    }
}

/// What the command line says about how to execute.
pub(crate) fn options(execute: &Execute) -> Options {
    Options {
        max_parallel: execute.max_parallel,
        to: execute.to.as_deref().map(Into::into),
        confirmed: execute.confirm.iter().map(|s| s.as_str().into()).collect(),
        accepted_pivots: execute.accept_pivot.iter().map(|s| s.as_str().into()).collect(),
        seed: rand::random(),
        ..Options::default()
    }
}

/// The signals that stop a run, listened to from the moment that this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen(runtime: &Runtime) -> CommandResult<Self> {
        let _in = runtime.enter();
        let failed = |source| FileError { what: "listen to", path: PathBuf::from("signals"), source };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// The next of either.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The first pauses, the second ends the process.
    async fn watch(mut self, control: Control, told: Arc<Told>, out: Out) {
        let again = out.clone();
        self.next().await;
        // Said before it is done, so that it is said at all; but the reporter may be held by a
        // pipe that nobody reads, or by a question, and that must hold up neither the pause nor
        // the second signal.
        let said = tokio::task::spawn_blocking(move || {
            told.suspend(&mut || {
                out.note("pausing: steps in flight reach a recorded state; press again to stop at once");
            });
        });
        let _ = tokio::time::timeout(SAY, said).await;
        control.pause();
        self.next().await;
        again.note("stopped at once; the journal is whole: `switchback resume` or `switchback unwind` goes on");
        // Asked for twice. The kernel frees the run's lock, and the journal resumes.
        std::process::exit(i32::from(exit_code::PAUSED));
    }
}

/// Does it, and returns the exit code.
pub(crate) fn execute(app: &App, runtime: &Runtime, signals: Signals, held: Held, work: Work) -> CommandResult<u8> {
    let Held { journal, history, env, options, ask } = held;
    let told = Told::new(&app.out, history.plan());
    let control = Control::new();
    let gate: Arc<dyn Gate> =
        if ask { Arc::new(AskEachStep::new(told.clone(), history.plan(), &env.registry)) } else { Arc::new(AlwaysGo) };
    runtime.spawn(signals.watch(control.clone(), told.clone(), app.out.clone()));
    let setup = Setup { journal, history, env, options, observer: told.clone(), gate, control };
    let ended = runtime.block_on(async {
        match work {
            Work::Apply => executor::apply(setup).await,
            Work::Resume => executor::resume(setup).await,
            Work::Unwind(target, cause) => executor::unwind(setup, target, cause).await,
        }
    });
    // Before an error is told: what moves is cleared first.
    let finished = told.finish();
    let outcome: Outcome = ended?;
    // What happened decides, also when nobody reads of it any more.
    let _ = finished;
    Ok(outcome::code(&outcome))
}
