//! `rehearse FILE|PLAN`: every crash and every fault of a plan, in the sandbox, forward and back; or one
//! case of them again. Writes a certificate and nothing else.

use std::path::{Path, PathBuf};

use indicatif::ProgressDrawTarget;
use serde::Serialize;
use switchback_engine::planner::plan_text;
use switchback_model::exit_code;
use switchback_model::rehearsal::{CERTIFICATE_VERSION, Certificate, Finding, Line, Replayed, Started, Worth};
use switchback_report::rehearsal as words;
use switchback_report::text;

use crate::app::App;
use crate::args::Rehearse;
use crate::certificate::{self, RELEASE};
use crate::error::CommandResult;
use crate::output::{Out, quoted};
use crate::rehearsal::{self, Listener, Order, nonsense, unheard};
use crate::sandbox::{DEFAULT_ACCOUNT, Sandbox};
use crate::{host, source};

pub(crate) fn run(app: &App, args: &Rehearse) -> CommandResult<u8> {
    if let Some(path) = &args.certificate {
        certificate::fit_to_write(path)?;
    }
    let document = source::read(&args.file)?;
    let mut given = source::given(&args.inputs);
    let lacking = source::lacking(&document, &given);
    let info = if lacking.is_empty() { None } else { Sandbox::of(&app.state).info() };
    if lacking.contains(source::ACCOUNT) {
        let account = info.as_ref().map_or(DEFAULT_ACCOUNT, |info| &info.account);
        app.out.note(&format!(
            "no account is given, so this is the plan for the sandbox's, {account}; \
             for another one say --input account=ID, since that is another plan"
        ));
    }
    source::give(&mut given, &lacking, info.as_ref());
    let made = source::plan(&document, app.registry()?.as_ref(), &given)?;
    let mut told = Told {
        out: &app.out,
        line: (app.out.bars && !app.out.json).then(|| words::Line::new(ProgressDrawTarget::stderr())),
        hash: &made.hash,
        again: source::rehearse(&args.file, &given),
        case: args.case.as_deref(),
        end: None,
    };
    let order = Order { plan: plan_text(&made.plan) + "\n", args: arguments(args) };
    let ran = rehearsal::run(&app.runtime()?, order, &mut told);
    // Before anything else is said: what moves is cleared first.
    told.clear();
    ran?;
    match told.end {
        Some(End::Finished(certificate)) => finished(app, args, &made.hash, &certificate),
        Some(End::Replayed(replayed)) => self::replayed(app, &replayed),
        // The listener is done only with one of them.
        None => Ok(exit_code::REFUSED),
    }
}

fn arguments(args: &Rehearse) -> Vec<String> {
    let jobs = args.jobs.map_or_else(|| host::cores().to_string(), |jobs| jobs.to_string());
    let named = [
        ("--jobs", Some(jobs)),
        ("--sample", args.sample.map(|n| n.to_string())),
        ("--seed", args.seed.map(|n| n.to_string())),
        ("--case", args.case.clone()),
    ];
    named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect()
}

fn finished(app: &App, args: &Rehearse, hash: &str, certificate: &Certificate) -> CommandResult<u8> {
    #[derive(Serialize)]
    struct Ended<'a> {
        worth: Worth,
        exit_code: u8,
        stored: Vec<String>,
        certificate: &'a Certificate,
    }
    // Stored first, since whoever reads may be gone; and said also when it cannot be stored.
    let stored = store(app, args, hash, certificate);
    if !app.out.json {
        app.out.data(&words::summary(&app.out.context(), certificate, RELEASE)).map_err(unheard)?;
    }
    let stored = stored?;
    let worth = certificate.worth(RELEASE);
    let exit_code = if worth == Worth::Findings { exit_code::REFUSED } else { exit_code::OK };
    let shown = |path: &PathBuf| Path::display(path).to_string();
    if app.out.json {
        let stored = stored.iter().map(shown).collect();
        let line = Ended { worth, exit_code, stored, certificate };
        app.out.line("rehearsal_ended", None, line).map_err(unheard)?;
    } else {
        let paths: Vec<_> = stored.iter().map(|path| format!("`{}`", shown(path))).collect();
        app.out.remark(&format!("certificate stored in {}", paths.join(" and ")));
    }
    Ok(exit_code)
}

/// Stores the certificate wherever it is wanted, and says where.
fn store(app: &App, args: &Rehearse, hash: &str, certificate: &Certificate) -> CommandResult<Vec<PathBuf>> {
    let mut stored = vec![certificate::store_in_state(&app.state, hash, certificate)?];
    if let Some(path) = &args.certificate {
        certificate::store(path, certificate)?;
        stored.push(path.clone());
    }
    Ok(stored)
}

fn replayed(app: &App, replayed: &Replayed) -> CommandResult<u8> {
    if app.out.json {
        app.out.line("rehearsal_case", None, replayed).map_err(unheard)?;
    } else {
        app.out.data(&words::replayed(&app.out.context(), replayed)).map_err(unheard)?;
    }
    Ok(if replayed.findings.is_empty() { exit_code::OK } else { exit_code::REFUSED })
}

/// What a rehearsal ends with.
enum End {
    Finished(Box<Certificate>),
    Replayed(Box<Replayed>),
}

/// Says what comes, as it comes, and keeps the end.
struct Told<'a> {
    out: &'a Out,
    line: Option<words::Line>,
    hash: &'a str,
    /// The command that rehearses the same plan in the same way.
    again: String,
    case: Option<&'a str>,
    end: Option<End>,
}

impl Told<'_> {
    fn clear(&self) {
        self.line.iter().for_each(words::Line::clear);
    }

    /// Writes while nothing moves on the screen.
    fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.line {
            Some(line) => line.suspend(write),
            None => write(),
        }
    }

    fn json(&self, kind: &str, data: impl Serialize) -> CommandResult<()> {
        if self.out.json { self.out.line(kind, None, data).map_err(unheard) } else { Ok(()) }
    }

    fn started(&mut self, started: &Started) -> CommandResult<()> {
        self.is_ours(&started.plan_hash)?;
        // The pauses of the engine follow from the seed, and a case may need them as they were.
        self.again.push_str(&format!(" --seed {}", started.seed));
        self.json("rehearsal_started", started)?;
        if !self.out.json && self.case.is_none() {
            let sample = if started.sample > 1 { format!(", one of {} cases", started.sample) } else { String::new() };
            let count = |n: u32, one| text::count(usize::try_from(n).unwrap_or(usize::MAX), one);
            let (steps, threads) = (count(started.steps, "step"), count(started.jobs, "thread"));
            let runbook = text::clean(&started.runbook);
            self.suspend(|| self.out.remark(&format!("rehearsing {runbook}: {steps} on {threads}{sample}")));
        }
        Ok(())
    }

    fn found(&self, finding: &Finding) -> CommandResult<()> {
        if self.out.json {
            return self.json("rehearsal_finding", finding);
        }
        let again = format!("{} --case {}", self.again, quoted(&finding.case));
        let text = words::finding(&self.out.context(), finding, &again);
        self.suspend(|| self.out.data(&text)).map_err(unheard)
    }

    fn is_ours(&self, hash: &str) -> CommandResult<()> {
        if hash == self.hash { Ok(()) } else { Err(nonsense("it rehearses another plan than it was given")) }
    }
}

impl Listener for Told<'_> {
    fn line(&mut self, line: Line) -> CommandResult<()> {
        if self.end.is_some() {
            return Err(nonsense("it goes on after its end"));
        }
        match line {
            Line::Started(started) => self.started(&started),
            Line::Progress(progress) => {
                self.line.iter().for_each(|line| line.show(&progress));
                self.json("rehearsal_progress", progress)
            }
            // A case that is run alone has its findings with it.
            Line::Found(_) if self.case.is_some() => Ok(()),
            Line::Found(finding) => self.found(&finding),
            Line::Replayed(replayed) if self.case == Some(&replayed.case) => {
                self.end = Some(End::Replayed(replayed));
                Ok(())
            }
            Line::Finished(certificate) if self.case.is_none() => {
                self.is_ours(&certificate.plan_hash)?;
                if certificate.version != CERTIFICATE_VERSION {
                    return Err(nonsense(format!("its certificate has version {}", certificate.version)));
                }
                self.end = Some(End::Finished(certificate));
                Ok(())
            }
            Line::Replayed(_) | Line::Finished(_) => Err(nonsense("it does not do what it was asked for")),
        }
    }

    fn aside(&mut self, text: &str) {
        self.suspend(|| self.out.note(&text::clean(text)));
    }

    fn is_done(&self) -> bool {
        self.end.is_some()
    }
}
