//! A rehearsal for people: how far it is, what it finds, its table and its verdict; and what a plan,
//! a log and a status say about the one that was.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use switchback_model::record::Rehearsed;
use switchback_model::rehearsal::{CaseKind, Certificate, Count, Finding, Progress, Replayed, Worth};

use crate::outcome;
use crate::reporter::Context;
use crate::style::Tone;
use crate::text::{self, Cell};

const TICK: Duration = Duration::from_millis(120);

/// What a plan says about its rehearsal.
#[derive(Debug, Clone, Serialize)]
pub struct RehearsalView {
    /// The rehearsal of this very plan; `None`: there is none on file.
    pub rehearsed: Option<Rehearsed>,
    /// A run begins only with one that proves.
    pub required: bool,
    /// The command that rehearses this plan, without the program's name.
    pub command: String,
}

impl RehearsalView {
    /// Whether a run may begin as far as the rehearsal is concerned.
    #[must_use]
    pub fn suffices(&self) -> bool {
        !self.required || self.rehearsed.as_ref().is_some_and(|r| r.worth == Worth::Proves)
    }

    /// A line, with the command where the rehearsal does not prove.
    #[must_use]
    pub fn render(&self, cx: &Context) -> String {
        let said = self.rehearsed.as_ref().map_or_else(|| "not rehearsed".to_owned(), rehearsed);
        if self.rehearsed.as_ref().is_some_and(|r| r.worth == Worth::Proves) {
            return format!("{}\n", cx.paint.tone(Tone::Good, &said));
        }
        let required = if self.required { "; a run requires it" } else { "" };
        let tone = if self.required { Tone::Bad } else { Tone::Warn };
        let command = text::clean(&format!("{} {}", cx.program, self.command));
        format!("{} (`{command}`)\n", cx.paint.tone(tone, &format!("{said}{required}")))
    }
}

/// A rehearsal that was, in words.
#[must_use]
pub fn rehearsed(r: &Rehearsed) -> String {
    let at = r.at.strftime("%Y-%m-%d %H:%M UTC");
    let found = if r.findings == 0 { "nothing found".to_owned() } else { counted(r.findings, "finding") };
    let head = match r.worth {
        Worth::Proves => format!("rehearsed {at} by {}", r.switchback),
        Worth::Findings => format!("rehearsed with findings {at} by {}", r.switchback),
        Worth::Sample => format!("only a sample was rehearsed {at} by {}", r.switchback),
        Worth::OtherRelease => format!("rehearsed {at} by another release, {}", r.switchback),
    };
    // A file may say of failed cases what it does not say of findings.
    let found = if r.worth == Worth::Findings && r.findings == 0 { "some failed".to_owned() } else { found };
    text::clean(&format!("{head}: {}, {found}", counted(r.cases, "case")))
}

/// A line on a terminal that says how far a rehearsal is.
#[derive(Debug)]
pub struct Line(ProgressBar);

impl Line {
    /// A line that is drawn on `target`.
    #[must_use]
    pub fn new(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        // A template that does not parse is a defect, and no reason to stop.
        let style = ProgressStyle::with_template("  {spinner} {msg}  {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message("rehearsing");
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Says how far it is.
    pub fn show(&self, progress: &Progress) {
        self.0.set_message(how_far(progress));
    }

    /// Runs `write` while nothing moves on the screen.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.0.suspend(write)
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn how_far(p: &Progress) -> String {
    format!(
        "{} run, {} ahead, {} merged, {}, {} a second",
        counted(p.run, "case"),
        text::number(p.ahead),
        text::number(p.merged),
        counted(p.findings.into(), "finding"),
        text::number(a_second(p.run, p.elapsed_ms)),
    )
}

/// How many a second, rounded down.
fn a_second(n: u64, ms: u64) -> u64 {
    n.saturating_mul(1000) / ms.max(1)
}

fn counted(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", text::number(n))
}

/// A finding as it comes. `again` is the command that runs its case again, without the program's name.
#[must_use]
pub fn finding(cx: &Context, f: &Finding, again: &str) -> String {
    let mut case = vec![("case", format!("{} ({})", f.story, f.kind.words()))];
    if f.cases > 1 {
        case.push(("fail alike", counted(f.cases, "case")));
    }
    let mut out = wrong(cx, f, case);
    lines(cx, &mut out, "journal", &f.journal);
    lines(cx, &mut out, "calls", &f.calls);
    out.push_str(&outcome::hint(cx.paint, &cx.program, &text::clean(again), "this case alone, and all of it"));
    out.push('\n');
    out
}

/// What is wrong, and `more` about it.
fn wrong(cx: &Context, f: &Finding, more: Vec<(&'static str, String)>) -> String {
    let step = f.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
    let head = text::clean(&format!("finding {}:", f.case));
    let message = text::clean(&format!("{step}{}", f.message));
    let mut rows = vec![("must hold", f.check.words().to_owned())];
    rows.extend(more);
    rows.extend(f.hint.iter().map(|hint| ("what to do", hint.clone())));
    let rows: Vec<_> = rows.iter().map(|(name, what)| vec![Cell::new(Tone::Quiet, name), Cell::plain(what)]).collect();
    format!("{} {message}\n{}", cx.paint.tone(Tone::Bad, &head), text::table(cx.paint, 2, &rows))
}

fn lines(cx: &Context, out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {}", cx.paint.quiet(title));
    for line in lines {
        let _ = writeln!(out, "    {}", text::clean(line));
    }
}

/// A case that was run again, from its beginning to its end.
#[must_use]
pub fn replayed(cx: &Context, r: &Replayed) -> String {
    let head = cx.paint.strong(&text::clean(&format!("case {}", r.case)));
    let mut out = format!("{head} {}\n", text::clean(&r.story));
    lines(cx, &mut out, "journal", &r.journal);
    lines(cx, &mut out, "calls", &r.calls);
    let _ = writeln!(out, "  {} {}", cx.paint.quiet("ended:"), text::clean(&r.ended));
    for f in &r.findings {
        // The whole of it stands above already.
        out.push_str(&wrong(cx, f, Vec::new()));
    }
    if r.findings.is_empty() {
        let _ = writeln!(out, "{}", cx.paint.tone(Tone::Good, "nothing found in this case"));
    }
    out
}

/// A column of the table: its name, and what of a count is in it.
type Column = (&'static str, fn(&Count) -> u64);

/// The table of a finished rehearsal, its totals, and a sentence of what it is worth to `release`.
#[must_use]
pub fn summary(cx: &Context, certificate: &Certificate, release: &str) -> String {
    let totals = certificate.totals();
    let of = |kind: CaseKind| certificate.cases.get(&kind).copied().unwrap_or_default();
    let mut counts: Vec<(&str, Count)> = CaseKind::ALL.iter().map(|kind| (kind.words(), of(*kind))).collect();
    counts.push(("in all", totals));
    let mut columns: Vec<Column> = vec![("run", |c| c.run), ("merged", |c| c.merged), ("failed", |c| c.failed)];
    if totals.skipped > 0 {
        columns.insert(2, ("left out", |c| c.skipped));
    }
    let mut rows = vec![vec![Cell::plain("")]];
    rows.extend(counts.iter().map(|(words, _)| vec![Cell::plain(words)]));
    for (name, value) in columns {
        let texts: Vec<_> = counts.iter().map(|(_, count)| text::number(value(count))).collect();
        let width = texts.iter().map(String::len).max().unwrap_or(0).max(name.len());
        let bad = |n: u64| if name == "failed" && n > 0 { Tone::Bad } else { Tone::Plain };
        let mut cells = vec![Cell::new(Tone::Quiet, format!("{name:>width$}"))];
        cells.extend(counts.iter().zip(texts).map(|((_, c), t)| Cell::new(bad(value(c)), format!("{t:>width$}"))));
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
    }
    let mut out = text::table(cx.paint, 2, &rows);
    let _ = writeln!(
        out,
        "{}, {}, {}, {} a second on {}, seed {}",
        counted(certificate.steps.into(), "step"),
        counted(certificate.states, "state"),
        text::duration(Duration::from_millis(certificate.duration_ms)),
        counted(a_second(totals.run, certificate.duration_ms), "case"),
        counted(certificate.jobs.into(), "thread"),
        certificate.seed,
    );
    out.push_str(&found(cx, &certificate.findings));
    out.push_str(&verdict(cx, certificate, release));
    out
}

/// All findings once more, a line each: what was said of them as they came may have scrolled away,
/// and smaller cases and more of them may have been found since.
fn found(cx: &Context, findings: &[Finding]) -> String {
    let row = |f: &Finding| {
        let step = f.step.clone().unwrap_or_default();
        vec![
            Cell::new(Tone::Bad, &f.case),
            Cell::plain(step),
            Cell::plain(counted(f.cases, "case")),
            Cell::new(Tone::Quiet, format!("against: {}", f.check.words())),
        ]
    };
    text::table(cx.paint, 2, &findings.iter().map(row).collect::<Vec<_>>())
}

fn verdict(cx: &Context, certificate: &Certificate, release: &str) -> String {
    let findings = u64::try_from(certificate.findings.len()).unwrap_or(u64::MAX);
    let (tone, words) = match certificate.worth(release) {
        Worth::Proves => (
            Tone::Good,
            "nothing found: from every crash and every fault this plan gets to its end and back".to_owned(),
        ),
        Worth::Findings => {
            let failed = counted(certificate.totals().failed, "failing case");
            (
                Tone::Bad,
                format!(
                    "{} in {failed}: do not apply this plan; nothing was done anywhere",
                    counted(findings, "finding")
                ),
            )
        }
        Worth::Sample => {
            (Tone::Warn, "nothing found in a sample: only a rehearsal of all cases proves a plan".to_owned())
        }
        Worth::OtherRelease => {
            let by = &certificate.switchback;
            (
                Tone::Warn,
                format!("nothing found, but release {by} rehearsed, and this is {release}: it proves nothing here"),
            )
        }
    };
    format!("{}\n", cx.paint.tone(tone, &text::clean(&words)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use indicatif::InMemoryTerm;
    use switchback_model::rehearsal::{CERTIFICATE_VERSION, Check};

    use super::*;
    use crate::testing::at;

    fn certificate() -> Certificate {
        let count = |run, merged| Count { run, merged, skipped: 0, failed: 0 };
        Certificate {
            version: CERTIFICATE_VERSION,
            runbook: "net".into(),
            plan_hash: "0123456789abcdef".into(),
            steps: 38,
            switchback: "0.1.0".into(),
            emulator: BTreeMap::new(),
            finished_at: at(0),
            duration_ms: 14_230,
            jobs: 2,
            seed: 7,
            sample: 1,
            cases: BTreeMap::from([
                (CaseKind::Uninterrupted, count(3, 0)),
                (CaseKind::CrashResume, count(512, 20)),
                (CaseKind::CrashUnwind, count(512, 20)),
                (CaseKind::Fault, count(1_840, 0)),
                (CaseKind::SecondCrash, count(9_478, 123_456)),
            ]),
            states: 4_711,
            processes: 20_000,
            calls: 300_000,
            findings: Vec::new(),
        }
    }

    fn a_finding() -> Finding {
        Finding {
            case: "f-12-lost".into(),
            story: "the reply of CreateVpc is lost, then resume".into(),
            kind: CaseKind::Fault,
            check: Check::Duplicate,
            step: Some("vpc".into()),
            message: "vpc-2 is there and on no record".into(),
            hint: Some("look up what carries the tag before creating again".into()),
            cases: 4,
            journal: vec!["7 vpc CreateStarted".into(), "8 vpc Created vpc-1\u{1b}[2J".into()],
            calls: vec!["vpc ec2 CreateVpc: no reply".into(), "vpc ec2 CreateVpc: 200".into()],
        }
    }

    fn render(certificate: &Certificate) -> String {
        summary(&Context::default(), certificate, "0.1.0")
    }

    #[test]
    fn a_table_of_all_cases() {
        insta::assert_snapshot!(render(&certificate()), @r"
                                                run   merged  failed
          uninterrupted, forward and back         3        0       0
          independent steps in other orders       0        0       0
          crash, then resume                    512       20       0
          crash, then unwind                    512       20       0
          one call goes wrong                 1,840        0       0
          crash in the recovery               9,478  123,456       0
          in all                             12,345  123,496       0
        38 steps, 4,711 states, 14.2 s, 867 cases a second on 2 threads, seed 7
        nothing found: from every crash and every fault this plan gets to its end and back
        ");
    }

    #[test]
    fn a_table_with_findings_of_a_sample() {
        let mut c = certificate();
        c.sample = 10;
        c.findings.push(a_finding());
        c.cases.insert(CaseKind::Fault, Count { run: 184, merged: 0, skipped: 1_656, failed: 4 });
        insta::assert_snapshot!(render(&c), @r"
                                                run   merged  left out  failed
          uninterrupted, forward and back         3        0         0       0
          independent steps in other orders       0        0         0       0
          crash, then resume                    512       20         0       0
          crash, then unwind                    512       20         0       0
          one call goes wrong                   184        0     1,656       4
          crash in the recovery               9,478  123,456         0       0
          in all                             10,689  123,496     1,656       4
        38 steps, 4,711 states, 14.2 s, 751 cases a second on 2 threads, seed 7
          f-12-lost  vpc  4 cases  against: nothing twice, nothing orphaned
        1 finding in 4 failing cases: do not apply this plan; nothing was done anywhere
        ");
    }

    #[test]
    fn what_proves_nothing_says_so() {
        let mut c = certificate();
        c.sample = 10;
        assert!(render(&c).ends_with("nothing found in a sample: only a rehearsal of all cases proves a plan\n"));
        let other = summary(&Context::default(), &certificate(), "0.2.0");
        assert!(other.ends_with("release 0.1.0 rehearsed, and this is 0.2.0: it proves nothing here\n"), "{other}");
    }

    #[test]
    fn a_finding_with_all_around_it() {
        insta::assert_snapshot!(finding(&Context::default(), &a_finding(), "rehearse net.yaml --case f-12-lost"), @r"
        finding f-12-lost: vpc: vpc-2 is there and on no record
          must hold   nothing twice, nothing orphaned
          case        the reply of CreateVpc is lost, then resume (one call goes wrong)
          fail alike  4 cases
          what to do  look up what carries the tag before creating again
          journal
            7 vpc CreateStarted
            8 vpc Created vpc-1 [2J
          calls
            vpc ec2 CreateVpc: no reply
            vpc ec2 CreateVpc: 200
        hint: switchback rehearse net.yaml --case f-12-lost  # this case alone, and all of it
        ");
    }

    #[test]
    fn a_case_that_was_run_again() {
        let f = a_finding();
        let mut r = Replayed {
            case: f.case.clone(),
            story: f.story.clone(),
            ended: "completed".into(),
            findings: vec![f.clone()],
            journal: f.journal,
            calls: f.calls,
        };
        insta::assert_snapshot!(replayed(&Context::default(), &r), @r"
        case f-12-lost the reply of CreateVpc is lost, then resume
          journal
            7 vpc CreateStarted
            8 vpc Created vpc-1 [2J
          calls
            vpc ec2 CreateVpc: no reply
            vpc ec2 CreateVpc: 200
          ended: completed
        finding f-12-lost: vpc: vpc-2 is there and on no record
          must hold   nothing twice, nothing orphaned
          what to do  look up what carries the tag before creating again
        ");
        r.findings.clear();
        assert!(replayed(&Context::default(), &r).ends_with("nothing found in this case\n"));
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let term = InMemoryTerm::new(5, 100);
        let line = Line::new(ProgressDrawTarget::term_like_with_hz(Box::new(term.clone()), 200));
        line.show(&Progress { run: 12_345, ahead: 678, merged: 90, findings: 1, elapsed_ms: 10_000 });
        line.0.tick();
        let seen = term.contents();
        assert!(seen.contains("12,345 cases run, 678 ahead, 90 merged, 1 finding, 1,234 a second"), "{seen}");
        line.clear();
        assert_eq!(term.contents(), "");
        assert_eq!(a_second(5, 0), 5_000, "no time has gone by yet");
    }

    #[test]
    fn what_a_plan_says_about_its_rehearsal() {
        let rehearsed = |worth, findings| Rehearsed {
            certificate: "ab".into(),
            at: at(0),
            switchback: "0.1.0".into(),
            cases: 12_345,
            findings,
            worth,
        };
        let view = |rehearsed, required| {
            RehearsalView { rehearsed, required, command: "rehearse net.yaml".into() }.render(&Context::default())
        };
        let all = [
            view(Some(rehearsed(Worth::Proves, 0)), true),
            view(Some(rehearsed(Worth::Findings, 2)), false),
            view(Some(rehearsed(Worth::Findings, 0)), false),
            view(Some(rehearsed(Worth::Sample, 0)), true),
            view(Some(rehearsed(Worth::OtherRelease, 0)), false),
            view(None, false),
            view(None, true),
        ];
        insta::assert_snapshot!(all.concat(), @r"
        rehearsed 2023-11-14 22:13 UTC by 0.1.0: 12,345 cases, nothing found
        rehearsed with findings 2023-11-14 22:13 UTC by 0.1.0: 12,345 cases, 2 findings (`switchback rehearse net.yaml`)
        rehearsed with findings 2023-11-14 22:13 UTC by 0.1.0: 12,345 cases, some failed (`switchback rehearse net.yaml`)
        only a sample was rehearsed 2023-11-14 22:13 UTC by 0.1.0: 12,345 cases, nothing found; a run requires it (`switchback rehearse net.yaml`)
        rehearsed 2023-11-14 22:13 UTC by another release, 0.1.0: 12,345 cases, nothing found (`switchback rehearse net.yaml`)
        not rehearsed (`switchback rehearse net.yaml`)
        not rehearsed; a run requires it (`switchback rehearse net.yaml`)
        ");
    }
}
