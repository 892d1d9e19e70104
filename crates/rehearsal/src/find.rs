//! Findings: cases that fail alike, in groups, each shown by its smallest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use switchback_model::record::Body;
use switchback_model::rehearsal::{CaseKind, Check, Finding};

use crate::case::{Base, Blow, Case, Command, Move};
use crate::process::{Ran, State, Violation};

/// How many records and calls are shown around a finding.
const AROUND: usize = 14;

/// Findings by group.
#[derive(Default)]
pub(crate) struct Findings {
    groups: BTreeMap<(Check, Option<String>, String), (Case, Finding)>,
}

impl Findings {
    /// One more. `true`: it is the first of its group.
    pub(crate) fn add(&mut self, case: &Case, violation: &Violation, make: impl FnOnce() -> Finding) -> bool {
        let group = (violation.check, violation.step.clone(), alike(&violation.message));
        match self.groups.entry(group) {
            Entry::Vacant(vacant) => {
                vacant.insert((case.clone(), make()));
                true
            }
            Entry::Occupied(mut occupied) => {
                let (smallest, finding) = occupied.get_mut();
                finding.cases += 1;
                if case.size() < smallest.size() {
                    let cases = finding.cases;
                    *smallest = case.clone();
                    *finding = Finding { cases, ..make() };
                }
                false
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The most frequent first.
    pub(crate) fn all(&self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.groups.values().map(|(_, finding)| finding.clone()).collect();
        all.sort_by(|a, b| b.cases.cmp(&a.cases).then_with(|| a.case.cmp(&b.case)));
        all
    }
}

/// A message without the numbers and ids in it.
fn alike(message: &str) -> String {
    let words = message.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    let words = words.filter(|word| !word.chars().any(|c| c.is_ascii_digit()));
    words.take(12).collect::<Vec<_>>().join(" ")
}

/// What is shown of a violation.
pub(crate) fn finding(
    case: &Case,
    kind: CaseKind,
    violation: &Violation,
    bases: &[String],
    state: &State,
    ran: Option<&Ran>,
) -> Finding {
    let calls = ran.map(call_lines).unwrap_or_default();
    let journal = journal_lines(state);
    let hint = match kind {
        CaseKind::Order if violation.check == Check::Standstill => Some(
            "by the runbook these steps do not depend on each other: where one must come before the other, `needs:` says so"
                .to_owned(),
        ),
        _ => hint(violation),
    };
    Finding {
        case: case.to_string(),
        story: story(case, bases, ran),
        kind,
        check: violation.check,
        step: violation.step.clone(),
        message: violation.message.clone(),
        hint,
        cases: 1,
        journal: tail(journal, AROUND),
        calls: tail(calls, AROUND),
    }
}

fn hint(violation: &Violation) -> Option<String> {
    let text = match violation.check {
        Check::StartState => "its rollback leaves this behind: delete what is ours by its id, or declare it as residue",
        Check::EndState => "a resumed run ends elsewhere: what `settle` sets must converge from every point",
        Check::Duplicate => {
            "its create is not recognised after a crash or a lost reply: see `find` and the ownership tags"
        }
        Check::Foreign => "something is addressed by its name, or a value is written without being compared first",
        Check::IntentFirst => "the record that announces a write must be durable before the write is sent",
        Check::Secret => "outputs, before-images and errors hold a `SecretRef`, never the value",
        Check::DeclaredCalls => "plans, policies and the auditor rely on the facts: declare the call",
        Check::Ends | Check::Journal | Check::Standstill | Check::Advice => return None,
    };
    Some(text.to_owned())
}

fn tail(mut lines: Vec<String>, n: usize) -> Vec<String> {
    if lines.len() > n {
        lines.drain(..lines.len() - n);
    }
    lines
}

/// The journal, one line a record, without the calls.
pub(crate) fn journal_lines(state: &State) -> Vec<String> {
    let shown = state.records.iter().filter(|r| !matches!(r.body(), Body::Called(_)));
    shown
        .map(|r| {
            let step = r.draft.step.as_ref().map(|s| format!(" `{s}`")).unwrap_or_default();
            let more = match r.body() {
                Body::CreateFailed(b) => format!(": {}", b.error),
                Body::CaptureFailed(b) => format!(": {}", b.error),
                Body::SettleFailed(b) => format!(": {}", b.error),
                Body::VerifyFailed(b) => format!(": {}", b.error),
                Body::RollbackFailed(b) => format!(": {}", b.error),
                Body::Retried(b) => format!(": {} failed ({})", b.method, b.error),
                Body::Adopted(b) => format!(" ({:?} proof)", b.proof).to_lowercase(),
                Body::Undone(b) => format!(" ({:?})", b.how).to_lowercase(),
                Body::Paused(b) => format!(": {}", b.why),
                Body::ExecutorStarted(b) => format!(": {}", b.command),
                Body::Stuck(b) => {
                    format!(": {}", b.steps.iter().map(|(s, e)| format!("`{s}` {e}")).collect::<Vec<_>>().join("; "))
                }
                _ => String::new(),
            };
            let generation = r.draft.generation;
            let generation = if generation.0 > 1 { format!(" (generation {generation})") } else { String::new() };
            format!("{:>4} {}{step}{generation}{more}", r.seq, r.body().kind())
        })
        .collect()
}

/// The calls of a process, one line each.
pub(crate) fn call_lines(ran: &Ran) -> Vec<String> {
    let calls = ran.calls.iter();
    calls
        .map(|made| {
            let step = made.call.step.as_deref().map(|s| format!(" for `{s}`")).unwrap_or_default();
            let reply = match &made.reply {
                None => "never answered".to_owned(),
                Some(reply) => match (reply.status, &reply.code) {
                    (Some(status), Some(code)) => format!("{status} {code}"),
                    (Some(status), None) => status.to_string(),
                    (None, _) => "no reply".to_owned(),
                },
            };
            let blow = match made.blow {
                Some(Blow::Fault(fault)) => format!("  ◀ {}", fault.words()),
                Some(Blow::Dies) => "  ◀ the process dies after it".to_owned(),
                Some(Blow::DiesInFlight) => "  ◀ the process dies while it is on its way".to_owned(),
                None => String::new(),
            };
            format!("{:>4} {}{step}: {reply}{blow}", made.event, made.call)
        })
        .collect()
}

/// A case in words.
pub(crate) fn story(case: &Case, bases: &[String], ran: Option<&Ran>) -> String {
    let mut parts = vec![match case.base {
        Base::State(n) => bases.get(n).cloned().unwrap_or_else(|| format!("base state {n}")),
        Base::Order(n) => match ran {
            Some(ran) => {
                let steps: Vec<&str> = ran.state.history.plan().steps.iter().map(|step| step.id.as_str()).collect();
                format!("independent steps in another order ({})", steps.join(", "))
            }
            None => format!("independent steps in another order ({n})"),
        },
    }];
    let last = case.moves.iter().rposition(|m| matches!(m, Move::Run(_))).unwrap_or(0);
    for (i, m) in case.moves.iter().enumerate() {
        // The calls that are at hand are those of the last process.
        let call = |at: usize| {
            let made = ran.filter(|_| i > last).and_then(|ran| ran.calls.iter().find(|made| made.event == at));
            made.map_or_else(String::new, |made| format!(" ({})", made.call))
        };
        parts.push(match m {
            Move::Run(Command::Apply) => "apply, one step at a time".to_owned(),
            Move::Run(Command::ApplyWide) => "apply, in parallel".to_owned(),
            Move::Run(Command::Resume) => "resume".to_owned(),
            Move::Run(Command::Unwind) => "unwind".to_owned(),
            Move::Run(Command::UnwindWide) => "unwind, in parallel".to_owned(),
            Move::Run(Command::UnwindTo(step)) => format!("unwind to step {}", step + 1),
            Move::Blow(at, Blow::Dies) => format!("the process dies after event {at}{}", call(*at)),
            Move::Blow(at, Blow::DiesInFlight) => {
                format!("it dies with call {at}{} on its way, which lands later", call(*at))
            }
            Move::Blow(at, Blow::Fault(fault)) => format!("call {at}{} {}", call(*at), fault.words()),
            Move::Person => "a person mends it and follows the advice".to_owned(),
        });
    }
    parts.join("; ")
}
