//! Questions to the person at the terminal. Asked on stderr, answered by a line; what is not a
//! clear yes is a no.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dialoguer::Input;
use dialoguer::console::Term;
use switchback_engine::Registry;
use switchback_engine::executor::{Decision, Gate};
use switchback_engine::operation::BoxFuture;
use switchback_model::StepId;
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::plan::{Plan, PlanStep};

use crate::app::App;
use crate::error::{CommandError, CommandResult};
use crate::execute::Told;
use crate::view;

/// Refuses, before anything is done, what would have to ask where nobody can answer.
pub(crate) fn needs_terminal(app: &App, auto_approve: bool, step: bool) -> CommandResult<()> {
    if app.out.interactive {
        return Ok(());
    }
    if step {
        return Err(CommandError::usage("`--step` asks before each step, and there is no terminal to ask on"));
    }
    if !auto_approve {
        return Err(CommandError::usage("there is no terminal to ask for approval on")
            .advice("look at the plan first, then give --auto-approve"));
    }
    Ok(())
}

/// Asks whether to go on.
pub(crate) fn approve(auto_approve: bool, question: &str) -> CommandResult<()> {
    if auto_approve {
        return Ok(());
    }
    let answer = line(&format!("{question} [y/N]"));
    if answer.is_some_and(|a| matches!(a.as_str(), "y" | "yes")) {
        return Ok(());
    }
    Err(CommandError::refused("not approved: nothing was done"))
}

/// A line from the terminal, in lower case. `None`: nobody is there any more.
fn line(question: &str) -> Option<String> {
    let answer: String = Input::new().with_prompt(question).allow_empty(true).interact_text_on(&Term::stderr()).ok()?;
    Some(answer.trim().to_lowercase())
}

/// Asks before each step.
pub(crate) struct AskEachStep {
    told: Arc<Told>,
    facts: HashMap<StepId, Facts>,
    /// The rest goes without questions.
    all: Arc<Mutex<bool>>,
}

impl AskEachStep {
    pub(crate) fn new(told: Arc<Told>, plan: &Plan, registry: &Registry) -> Self {
        let all = plan.steps.iter().zip(view::facts_of_all(plan, registry));
        let facts = all.filter_map(|(step, facts)| Some((step.id.clone(), facts?))).collect();
        Self { told, facts, all: Arc::default() }
    }
}

impl Gate for AskEachStep {
    fn asks(&self) -> bool {
        !*self.all.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn before_step<'a>(&'a self, step: &'a PlanStep) -> BoxFuture<'a, Decision> {
        let (told, all) = (self.told.clone(), self.all.clone());
        let (shown, question) = (describe(step, self.facts.get(&step.id)), format!("{} ({})", step.id, step.op));
        Box::pin(async move {
            // A person takes their time: not on a thread that drives anything.
            let asked = tokio::task::spawn_blocking(move || {
                let mut all = all.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if *all {
                    return Decision::Go;
                }
                let mut decision = Decision::Pause;
                told.suspend(&mut || decision = ask(&question, &shown, &mut all));
                decision
            });
            asked.await.unwrap_or(Decision::Pause)
        })
    }
}

fn ask(question: &str, shown: &str, all: &mut bool) -> Decision {
    let term = Term::stderr();
    loop {
        // Whoever is gone, or presses Ctrl-C, wants no further step.
        let Some(answer) = line(&format!("{question}: [g]o, go on with [a]ll, [p]ause, [u]nwind, [s]how?")) else {
            return Decision::Pause;
        };
        match answer.as_str() {
            "g" | "go" => return Decision::Go,
            "a" | "all" => {
                *all = true;
                return Decision::Go;
            }
            "p" | "pause" => return Decision::Pause,
            "u" | "unwind" => return Decision::Unwind,
            "s" | "show" => {
                let _ = term.write_line(shown);
            }
            _ => {}
        }
    }
}

/// A step with its parameters and what its operation says about it.
fn describe(step: &PlanStep, facts: Option<&Facts>) -> String {
    let params = serde_json::to_string_pretty(&view::shown(&step.params)).unwrap_or_default();
    let mut out = format!("{}: {}\n  with {}", step.id, step.op, params.replace('\n', "\n  "));
    if !step.needs.is_empty() {
        let needs: Vec<_> = step.needs.iter().map(ToString::to_string).collect();
        out.push_str(&format!("\n  needs {}", needs.join(", ")));
    }
    let Some(facts) = facts else { return out };
    let list = |calls: &[std::borrow::Cow<'static, str>]| {
        if calls.is_empty() { "nothing".to_owned() } else { calls.join(", ") }
    };
    let made: Vec<_> = facts.creates.iter().chain(&facts.settles).cloned().collect();
    out.push_str(&format!("\n  makes: {}\n  undo: {}", list(&made), list(&facts.rolls_back)));
    match &facts.reversibility {
        Reversibility::Reversible => out.push_str("\n  reversible"),
        Reversibility::Lossy { what } => out.push_str(&format!("\n  lossy: {what}")),
        Reversibility::Pivot { why } => out.push_str(&format!("\n  cannot be undone: {why}")),
    }
    for residue in &facts.residue {
        out.push_str(&format!("\n  an undo leaves behind: {residue}"));
    }
    out
}
