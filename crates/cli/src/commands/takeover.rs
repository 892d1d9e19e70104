//! `takeover [RUN]`: ends the executor of a run, so that this host can go on with it.
//!
//! An epoch cannot fence AWS: a call that another process has sent may still land. So the old
//! process is ended first, on this host by its pid (which the run's lock proves to be alive), on
//! another host by a person who attests it. Only then is the run taken, and that is journaled.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use switchback_engine::cx::Clock;
use switchback_engine::journal::Journal;
use switchback_journal::{Holder, Store};
use switchback_model::record::{Draft, TakenOver};
use switchback_model::{Generation, RunId, exit_code};
use switchback_report::{outcome, text};

use crate::app::App;
use crate::args::Takeover;
use crate::error::{CommandError, CommandResult, Kind};
use crate::host::{self, SystemClock};
use crate::sandbox::wait;
use crate::select::{self, Fit};

#[derive(Serialize)]
struct Line<'a> {
    pid: Option<u32>,
    reason: &'a str,
}

pub(crate) fn run(app: &App, args: &Takeover) -> CommandResult<u8> {
    let store = app.journal_of_runs()?;
    let run = select::run(store.runs()?, args.run.run.as_deref(), Fit::NotUnwound)?.run;
    let pid = match store.lock_holder(run)? {
        Some(holder) => Some(end(app, &store, run, &holder, Duration::from_secs(args.grace))?),
        // A lock on another host cannot be seen from here: a person looked.
        None if args.attest_dead => None,
        None => {
            return Err(CommandError::refused(format!("nobody on this host executes run {run}"))
                .hint(format!("status {}", text::short(run)), "where it stands")
                .advice("if another host does, see that its process is dead and give --attest-dead"));
        }
    };
    let mut journal = store.take_run(run, "takeover")?;
    let direction = store.summary(run)?.direction;
    let body = TakenOver { pid, reason: args.reason.clone() }.into();
    journal.append(vec![Draft {
        at: SystemClock.now(),
        step: None,
        generation: Generation::FIRST,
        direction,
        body,
    }])?;
    drop(journal);
    if app.out.json {
        app.out.line("taken_over", Some(run), Line { pid, reason: &args.reason })?;
    } else {
        let cx = app.out.context();
        let ended = pid.map(|pid| format!(": process {pid} was ended")).unwrap_or_default();
        let next = outcome::hint(cx.paint, &cx.program, &format!("status {}", text::short(run)), "what comes next");
        app.out.data(&format!("run {run} was taken over{ended}\n{next}"))?;
    }
    Ok(exit_code::OK)
}

/// Ends the process that holds the run: it is asked first (and then pauses), and killed when its
/// time is over.
fn end(app: &App, store: &Store, run: RunId, holder: &Holder, grace: Duration) -> CommandResult<u32> {
    if holder.host != host::name() {
        return Err(CommandError::said(Kind::Locked, format!("run {run} is held by {holder}, which is another host"))
            .advice("end it there; its lock is free as soon as it is dead"));
    }
    let pid = i32::try_from(holder.pid).ok().filter(|pid| *pid > 1 && *pid != own_pid()).and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Err(CommandError::said(Kind::Locked, format!("run {run} is held by {holder}, which cannot be ended")));
    };
    // Whether it still is the same process: the lock says so, and is asked again before each signal.
    let held = || store.lock_holder(run).is_ok_and(|now| now.as_ref() == Some(holder));
    let free = |patience| wait(patience, || (!held()).then_some(())).is_some();
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, Duration::from_secs(5))] {
        if !held() {
            break;
        }
        app.out.remark(&format!(
            "ending process {} ({})",
            holder.pid,
            if signal == Signal::TERM { "SIGTERM" } else { "SIGKILL" }
        ));
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => return Err(CommandError::new(Kind::Locked, io::Error::from(e))),
        }
        if free(patience) {
            break;
        }
    }
    if held() {
        return Err(CommandError::said(Kind::Locked, format!("{holder} does not end")));
    }
    Ok(holder.pid)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}
