//! `apply FILE|PLAN`: shows the plan, asks, and runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchback_engine::history::History;
use switchback_engine::planner::plan_text;
use switchback_model::Seq;
use switchback_model::StepId;
use switchback_model::record::{Direction, FORMAT_VERSION, RunStarted};
use switchback_report::rehearsal::RehearsalView;

use crate::app::App;
use crate::args::Apply;
use crate::error::{CommandError, CommandResult};
use crate::execute::{self, Held, Signals, Work};
use crate::replay::{self, Replayed};
use crate::source::Made;
use crate::target::Purpose;
use crate::{ask, certificate, host, secret, source, target, view};

pub(crate) fn run(app: &App, args: &Apply) -> CommandResult<u8> {
    ask::needs_terminal(app, args.execute.auto_approve, args.execute.step)?;
    let document = source::read(&args.file)?;
    let registry = app.registry()?;
    let mut given = source::given(&args.inputs);
    let lacking = if args.place.sandbox { source::lacking(&document, &given) } else { BTreeSet::new() };
    if lacking.is_empty() {
        // What is wrong is said before anything is started.
        let made = source::plan(&document, &registry, &given)?;
        certificate::must_suffice(&rehearsal(app, args, &made, &given)?)?;
    }
    let (endpoint, sandbox) = target::choose(app, &args.place)?;
    source::give(&mut given, &lacking, sandbox.as_ref());
    let made = source::plan(&document, &registry, &given)?;
    let rehearsal = rehearsal(app, args, &made, &given)?;
    certificate::must_suffice(&rehearsal)?;
    let Made { plan, hash } = made;
    check_names(&plan, args)?;
    secret::check_names(&plan, &args.secrets)?;

    let mut shown = view::view(&plan, &hash, &registry, &endpoint);
    shown.secrets = secret::views(app, &plan, &registry, &args.secrets);
    shown.rehearsal = Some(rehearsal.clone());
    if app.out.json {
        app.out.line("plan", None, &shown)?;
    } else if !args.execute.auto_approve {
        app.out.data(&shown.render(&app.out.context()))?;
    }
    ask::approve(args.execute.auto_approve, "Run this plan?")?;

    let runtime = app.runtime()?;
    let run = host::new_run();
    let mut env = runtime.block_on(target::environment(app, registry, &plan, &endpoint, Some(run), Purpose::Begin))?;
    let (secrets, values, calls) = secret::begin(app, &runtime, &plan, &args.secrets, &env)?;
    env.secrets = values;
    let signals = Signals::listen(&runtime)?;
    let store = app.new_journal()?;
    let started = RunStarted {
        format: FORMAT_VERSION,
        runbook: plan.runbook.clone(),
        plan_hash: hash,
        endpoint,
        secrets,
        rehearsal: rehearsal.rehearsed,
    };
    let mut journal = store.create_run(run, &plan_text(&plan), started, "apply")?;
    secret::record(&mut journal, Direction::Forward, calls)?;
    let mut replayed = Replayed { history: History::new(Arc::new(plan)), last: Seq(0) };
    replay::catch_up(&store, run, &mut replayed)?;
    let held = Held {
        journal: Box::new(journal),
        history: replayed.history,
        env,
        options: execute::options(&args.execute),
        ask: args.execute.step,
    };
    execute::execute(app, &runtime, signals, held, Work::Apply)
}

/// What is known of the plan's rehearsal.
fn rehearsal(app: &App, args: &Apply, made: &Made, given: &BTreeMap<String, String>) -> CommandResult<RehearsalView> {
    certificate::look(app, &args.rehearsal, made, args.require_rehearsal, source::rehearse(&args.file, given))
}

/// Options that name steps name steps of this plan.
fn check_names(plan: &switchback_model::plan::Plan, args: &Apply) -> CommandResult<()> {
    let named = args.execute.to.iter().chain(&args.execute.accept_pivot).chain(&args.execute.confirm);
    for name in named {
        if !plan.steps.iter().any(|s| s.id == StepId::new(name)) {
            return Err(CommandError::usage(format!("the plan has no step `{name}`")));
        }
    }
    Ok(())
}
