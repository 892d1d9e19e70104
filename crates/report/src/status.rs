//! Where a run stands, and all runs of a journal.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use switchback_model::record::{Direction, Endpoint, Rehearsed};
use switchback_model::status::State;
use switchback_model::{Generation, OpError, RunId, StepId};

use crate::outcome;
use crate::rehearsal;
use crate::reporter::{Context, Verbosity};
use crate::style::Tone;
use crate::text::{self, Cell};

/// Beyond so many steps only those that need attention are listed.
const LISTED: usize = 60;

/// What a run is doing, in one word for JSON and one sentence for people.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// `open`, `paused`, `stuck`, `completed`, `unwound`, `partly_unwound`, `refused`.
    pub state: &'static str,
    /// In words, with the reason.
    pub words: String,
}

impl Standing {
    fn tone(&self) -> Tone {
        match self.state {
            "completed" | "unwound" | "partly_unwound" => Tone::Good,
            "stuck" | "refused" => Tone::Bad,
            _ => Tone::Warn,
        }
    }
}

/// A run among others.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub runbook: String,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When something was last recorded.
    pub last_at: Option<Timestamp>,
    /// How many records it has.
    pub records: u64,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a run stands.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// The run.
    pub run: RunLine,
    /// The plan's hash.
    pub plan_hash: String,
    /// Which way it goes.
    pub direction: Direction,
    /// Where it acts.
    pub endpoint: Endpoint,
    /// The rehearsal that was on file when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsed>,
    /// Who executes it now.
    pub holder: Option<String>,
    /// How many steps are in each state, in the order of a step's life.
    pub counts: Vec<(State, usize)>,
    /// Every step, in plan order.
    pub steps: Vec<StepLine>,
    /// Each step that needs a person, why, and which commands apply.
    pub stuck: Vec<StuckLine>,
    /// Why the run was refused.
    pub refused: Vec<(Option<StepId>, OpError)>,
    /// The next commands and what each is for.
    pub next: Vec<(String, String)>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct StepLine {
    /// Its id.
    pub step: StepId,
    /// Its operation.
    pub op: String,
    /// Its phase.
    pub phase: String,
    /// What is on record.
    pub state: State,
    /// Its generation.
    pub generation: Generation,
    /// More about it: adopted on weak proof.
    pub note: String,
}

/// A step that needs a person.
#[derive(Debug, Clone, Serialize)]
pub struct StuckLine {
    /// The step.
    pub step: StepId,
    /// Why.
    pub error: OpError,
    /// The commands that apply to it, and what each says.
    pub verbs: Vec<(String, String)>,
}

/// How a state looks.
#[must_use]
pub const fn tone(state: State) -> Tone {
    match state {
        State::Verified | State::Undone => Tone::Good,
        State::Fresh | State::Captured => Tone::Quiet,
        State::CaptureFailed
        | State::CreateFailed
        | State::SettleFailed
        | State::VerifyFailed
        | State::UndoFailed
        | State::RollbackFailed => Tone::Bad,
        State::CreateStarted
        | State::RollbackStarted
        | State::Skipped
        | State::MarkedDone
        | State::RollbackSkipped
        | State::RollbackMarkedDone => Tone::Warn,
        State::Created | State::Adopted | State::RolledBack => Tone::Plain,
    }
}

/// A state in words: its name, as in the journal and in JSON, and whether it leaves a doubt.
#[must_use]
pub fn words(state: State) -> String {
    match state {
        State::Fresh | State::Captured => "not begun".to_owned(),
        State::CreateStarted | State::CreateFailed | State::RollbackStarted => format!("{state} (in doubt)"),
        _ => state.to_string(),
    }
}

fn time(at: Option<Timestamp>) -> String {
    at.map(|t| t.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

impl StatusView {
    /// For people.
    #[must_use]
    pub fn render(&self, cx: &Context) -> String {
        let paint = cx.paint;
        let mut out = String::new();
        let _ = writeln!(out, "{} {}", paint.strong(&text::clean(&self.run.runbook)), self.run.run);
        let standing = &self.run.standing;
        let _ = writeln!(out, "  {}", paint.tone(standing.tone(), &text::clean(&standing.words)));
        if let Some(holder) = &self.holder {
            let _ = writeln!(out, "  being executed by {}", text::clean(holder));
        }
        if self.endpoint.sandbox {
            let _ = writeln!(out, "  in the sandbox");
        } else if let Some(url) = &self.endpoint.url {
            let _ = writeln!(out, "  at {}", text::clean(url));
        }
        if let Some(rehearsed) = &self.rehearsal {
            let _ = writeln!(out, "  {}", rehearsal::rehearsed(rehearsed));
        }
        let times = format!(
            "began {}, last record {} ({})",
            time(self.run.started_at),
            time(self.run.last_at),
            text::count(usize::try_from(self.run.records).unwrap_or(usize::MAX), "record")
        );
        let _ = writeln!(out, "  {}\n", paint.quiet(&times));
        self.list(cx, &mut out);
        self.problems(cx, &mut out);
        for (command, what_for) in &self.next {
            out.push_str(&outcome::hint(paint, &cx.program, command, what_for));
        }
        out
    }

    fn list(&self, cx: &Context, out: &mut String) {
        let all = cx.verbosity >= Verbosity::Verbose || self.steps.len() <= LISTED;
        let dull = |s: &&StepLine| matches!(tone(s.state), Tone::Good | Tone::Quiet) && s.note.is_empty();
        let rows: Vec<_> = self.steps.iter().filter(|s| all || !dull(s)).map(step_row).collect();
        out.push_str(&text::table(cx.paint, 2, &rows));
        let counts: Vec<_> = self.counts.iter().map(|(state, n)| format!("{n} {}", words(*state))).collect();
        let hidden = self.steps.len() - rows.len();
        let more = if hidden > 0 { format!(" ({hidden} not listed; -v lists all)") } else { String::new() };
        let _ = writeln!(out, "  {}: {}{more}", text::count(self.steps.len(), "step"), merged(&counts));
    }

    fn problems(&self, cx: &Context, out: &mut String) {
        for (step, error) in &self.refused {
            let step = step.as_ref().map(|s| format!("{s}: ")).unwrap_or_default();
            let head = format!("{step}{}", text::clean(&error.to_string()));
            let _ = writeln!(out, "\n{}", cx.paint.tone(Tone::Bad, &head));
            if let Some(hint) = &error.hint {
                let _ = writeln!(out, "  {}", text::clean(hint));
            }
        }
        for stuck in &self.stuck {
            let head = format!("{}: {}", stuck.step, text::clean(&stuck.error.to_string()));
            let _ = writeln!(out, "\n{}", cx.paint.tone(Tone::Bad, &head));
            if let Some(hint) = &stuck.error.hint {
                let _ = writeln!(out, "  {}", text::clean(hint));
            }
            for (command, what) in &stuck.verbs {
                out.push_str(&outcome::hint(cx.paint, &cx.program, command, what));
            }
        }
    }
}

/// States that read the same are one.
fn merged(counts: &[String]) -> String {
    let mut out: Vec<(usize, &str)> = Vec::new();
    for count in counts {
        let Some((n, what)) = count.split_once(' ') else { continue };
        let n = n.parse().unwrap_or(0);
        match out.iter_mut().find(|(_, w)| *w == what) {
            Some((sum, _)) => *sum += n,
            None => out.push((n, what)),
        }
    }
    out.iter().map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}

fn step_row(s: &StepLine) -> Vec<Cell> {
    let generation = if s.generation > Generation::FIRST { format!("#{}", s.generation) } else { String::new() };
    let note = [generation, s.note.clone()].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ");
    vec![
        Cell::new(Tone::Quiet, &s.phase),
        Cell::plain(s.step.as_str()),
        Cell::new(Tone::Quiet, &s.op),
        Cell::new(tone(s.state), words(s.state)),
        Cell::plain(note),
    ]
}

/// All runs, for people.
#[must_use]
pub fn render_runs(cx: &Context, runs: &[RunLine]) -> String {
    let header = ["run", "runbook", "began", "records", "stands"].map(|h| Cell::new(Tone::Quiet, h)).to_vec();
    let rows: Vec<_> = std::iter::once(header)
        .chain(runs.iter().map(|r| {
            vec![
                Cell::plain(r.run.to_string()),
                Cell::plain(&r.runbook),
                Cell::new(Tone::Quiet, time(r.started_at)),
                Cell::plain(r.records.to_string()),
                Cell::new(r.standing.tone(), &r.standing.words),
            ]
        }))
        .collect();
    text::table(cx.paint, 0, &rows)
}

#[cfg(test)]
mod tests {
    use switchback_model::rehearsal::Worth;

    use super::*;
    use crate::testing::{at, run};

    fn line() -> RunLine {
        RunLine {
            run: run(),
            runbook: "net".into(),
            started_at: Some(at(0)),
            last_at: Some(at(61_000)),
            records: 12,
            standing: Standing { state: "stuck", words: "stuck while unwinding to the start".into() },
        }
    }

    fn step(id: &str, state: State) -> StepLine {
        StepLine {
            step: id.into(),
            op: "aws.ec2.vpc".into(),
            phase: "infrastructure".into(),
            state,
            generation: Generation(2),
            note: String::new(),
        }
    }

    #[test]
    fn a_stuck_run() {
        let view = StatusView {
            run: line(),
            plan_hash: "0123".into(),
            direction: Direction::Unwinding,
            endpoint: Endpoint { url: None, sandbox: true, quiet_ms: None },
            rehearsal: Some(Rehearsed {
                certificate: "ab".into(),
                at: at(0),
                switchback: "0.1.0".into(),
                cases: 12_345,
                findings: 0,
                worth: Worth::Proves,
            }),
            holder: None,
            counts: vec![(State::Fresh, 1), (State::Captured, 1), (State::RollbackFailed, 1)],
            steps: vec![
                step("vpc", State::RollbackFailed),
                step("subnet[1a]", State::Captured),
                step("subnet[1b]", State::Fresh),
            ],
            stuck: vec![StuckLine {
                step: "vpc".into(),
                error: OpError::drift("the range was changed"),
                verbs: vec![("skip vpc --reason ...".into(), "leave it behind".into())],
            }],
            refused: vec![],
            next: vec![("unwind 00000007 --all".into(), "try again".into())],
        };
        insta::assert_snapshot!(view.render(&Context::default()), @r"
        net 00000000-0000-0000-0000-000000000007
          stuck while unwinding to the start
          in the sandbox
          rehearsed 2023-11-14 22:13 UTC by 0.1.0: 12,345 cases, nothing found
          began 2023-11-14 22:13:20Z, last record 2023-11-14 22:14:21Z (12 records)

          infrastructure  vpc         aws.ec2.vpc  rollback_failed  #2
          infrastructure  subnet[1a]  aws.ec2.vpc  not begun        #2
          infrastructure  subnet[1b]  aws.ec2.vpc  not begun        #2
          3 steps: 2 not begun, 1 rollback_failed

        vpc: the range was changed
        hint: switchback skip vpc --reason ...  # leave it behind
        hint: switchback unwind 00000007 --all  # try again
        ");
    }

    #[test]
    fn a_list_of_runs() {
        insta::assert_snapshot!(render_runs(&Context::default(), &[line()]), @r"
        run                                   runbook  began                 records  stands
        00000000-0000-0000-0000-000000000007  net      2023-11-14 22:13:20Z  12       stuck while unwinding to the start
        ");
    }
}
