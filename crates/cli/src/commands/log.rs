//! `log [RUN]`: the records of a run.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use switchback_journal::{RunState, Store};
use switchback_model::event::{Event, EventKind};
use switchback_model::record::{Body, Record};
use switchback_model::{RunId, Seq, StepId, exit_code};
use switchback_report::Reporter;
use switchback_report::json::JsonLines;

use crate::app::App;
use crate::args::Log;
use crate::error::{CommandError, CommandResult};
use crate::select::{self, Fit};

/// How often `--follow` looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const AT_ONCE: usize = 1000;

pub(crate) fn run(app: &App, args: &Log) -> CommandResult<u8> {
    let store = app.journal()?;
    let run = select::run(store.runs()?, args.run.run.as_deref(), Fit::Newest)?.run;
    let mut to = reporter(app, args, &store, run)?;
    let mut last = None;
    if args.all {
        let seq = store.replay_with::<CommandError>(run, &mut |record| Ok(tell(to.as_mut(), args, record)?))?;
        last = Some(seq);
    } else {
        for record in store.tail(run, None, args.limit)? {
            last = Some(record.seq);
            tell(to.as_mut(), args, record)?;
        }
    }
    if args.follow {
        follow(app, args, &store, run, last, to.as_mut())?;
    }
    to.finish()?;
    Ok(exit_code::OK)
}

/// The same reporters as while it happened, but for people one that shows places and times.
fn reporter(app: &App, args: &Log, store: &Store, run: RunId) -> CommandResult<Box<dyn Reporter>> {
    let stdout = io::BufWriter::new(io::stdout());
    if app.out.json {
        return Ok(Box::new(JsonLines::new(stdout)));
    }
    let heads = store.heads(run)?;
    let cx = app.out.context().fit(heads.iter().map(|h| h.step.as_str()).chain([StepId::new("-").as_str()]));
    Ok(Box::new(switchback_report::log::Log::new(stdout, cx, args.calls)))
}

fn tell(to: &mut dyn Reporter, args: &Log, record: Record) -> io::Result<()> {
    if !args.calls && matches!(record.body(), Body::Called(_)) {
        return Ok(());
    }
    to.event(&Event { at: record.draft.at, run: record.run, kind: EventKind::Recorded(Arc::new(record)) })
}

/// Looks for more until the run has come to its end and all of it was told.
fn follow(
    app: &App,
    args: &Log,
    store: &Store,
    run: RunId,
    mut last: Option<Seq>,
    to: &mut dyn Reporter,
) -> CommandResult<()> {
    let runtime = app.runtime()?;
    loop {
        to.finish()?;
        // Before its records: what comes after the end of a run is told in the next round.
        let state = store.summary(run)?.state;
        let ended = matches!(state, RunState::Completed | RunState::Unwound | RunState::Refused);
        let mut news = false;
        loop {
            let records = store.tail(run, Some(last.unwrap_or(Seq(0))), AT_ONCE)?;
            if records.is_empty() {
                break;
            }
            news = true;
            for record in records {
                last = Some(record.seq);
                tell(to, args, record)?;
            }
        }
        if ended && !news {
            return Ok(());
        }
        to.finish()?;
        runtime.block_on(async { tokio::time::sleep(LOOK_AGAIN).await });
    }
}
