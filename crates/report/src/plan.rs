//! A plan for people: what will be done, how each step is undone, what an undo costs, and the way
//! back in its order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use switchback_model::facts::{Facts, Reversibility};
use switchback_model::plan::{AwsTarget, OnFailure};
use switchback_model::{OpError, StepId};

use crate::rehearsal::RehearsalView;
use crate::reporter::Context;
use crate::style::Tone;
use crate::text::{self, Cell};

const WIDTH: usize = 100;

/// A plan together with what its operations say about themselves.
#[derive(Debug, Clone, Serialize)]
pub struct PlanView {
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's version.
    pub version: u32,
    /// What it is for.
    pub description: String,
    /// The plan's hash.
    pub hash: String,
    /// The AWS target, where there is one.
    pub aws: Option<AwsTarget>,
    /// Further AWS targets, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more_aws: BTreeMap<String, AwsTarget>,
    /// Where it will act when that is not AWS itself.
    pub endpoint: Option<String>,
    /// That is the sandbox, where profiles, roles and endpoints of targets are without effect.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sandbox: bool,
    /// The secrets that a run will ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretView>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// How many steps may run at the same time.
    pub max_parallel: u32,
    /// The phases in their order.
    pub phases: Vec<PhaseView>,
    /// What is known of its rehearsal; `None`: nobody looked.
    pub rehearsal: Option<RehearsalView>,
    /// What the preflight saw; `None`: it was not asked to look.
    pub preflight: Option<PreflightView>,
}

/// A secret input of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct SecretView {
    /// The input.
    pub input: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it would come from, if the run began now.
    pub from: String,
    /// Whether going back, and `verify`, ask for it too.
    pub back: bool,
}

/// A phase.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseView {
    /// Its name.
    pub name: String,
    /// Its steps, in the runbook's order.
    pub steps: Vec<PlanStepView>,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
pub struct PlanStepView {
    /// Its id.
    pub step: StepId,
    /// Its operation.
    pub op: String,
    /// The further target that it acts on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What it depends on.
    pub needs: Vec<StepId>,
    /// Undoing it needs a confirmation.
    pub protect: bool,
    /// What the operation says about this use of it. `None`: it cannot tell before the
    /// parameters are known.
    pub facts: Option<Facts>,
}

/// What the preflight saw.
#[derive(Debug, Clone, Serialize)]
pub struct PreflightView {
    /// The callers, one a target.
    pub callers: Vec<String>,
    /// Steps whose start state was read.
    pub captured: usize,
    /// Steps that can be looked at only when others are done.
    pub later: usize,
    /// What stands in the way.
    pub reasons: Vec<(Option<StepId>, OpError)>,
}

impl PlanView {
    /// For people.
    #[must_use]
    pub fn render(&self, cx: &Context) -> String {
        let mut out = self.head(cx);
        self.forward(cx, &mut out);
        self.costs(cx, &mut out);
        self.secrets(cx, &mut out);
        self.way_back(cx, &mut out);
        self.totals(cx, &mut out);
        out.extend(self.rehearsal.iter().map(|rehearsal| rehearsal.render(cx)));
        self.preflight(cx, &mut out);
        out
    }

    fn steps(&self) -> impl DoubleEndedIterator<Item = &PlanStepView> {
        self.phases.iter().flat_map(|p| &p.steps)
    }

    fn head(&self, cx: &Context) -> String {
        let hash = self.hash.get(..12).unwrap_or(&self.hash);
        let name = format!("{} (version {})", text::clean(&self.runbook), self.version);
        let mut out = format!("{} {}\n", cx.paint.strong(&name), cx.paint.quiet(&format!("plan {hash}")));
        if !self.description.is_empty() {
            let _ = writeln!(out, "  {}", text::clean(&self.description));
        }
        let mut rows = Vec::new();
        rows.extend(self.aws.iter().map(|aws| vec![Cell::plain("target"), Cell::plain(self.place(aws))]));
        rows.extend(self.more_aws.iter().map(|(name, aws)| vec![Cell::plain(name), Cell::plain(self.place(aws))]));
        let on_failure = match &self.on_failure {
            OnFailure::Unwind => "go back to the start".to_owned(),
            OnFailure::Pause => "pause".to_owned(),
            OnFailure::UnwindTo(name) => format!("go back to `{name}`"),
        };
        rows.push(vec![Cell::plain("on failure"), Cell::plain(on_failure)]);
        out.push_str(&text::table(cx.paint, 2, &rows));
        out
    }

    /// Where a target is, and how it is reached.
    fn place(&self, aws: &AwsTarget) -> String {
        let mut out = format!("AWS account {} in {}", aws.account, aws.region);
        let own = aws.endpoint_url.as_ref().filter(|_| !self.sandbox);
        if !self.sandbox {
            out.extend(aws.profile.iter().map(|name| format!(", by profile {name}")));
            out.extend(aws.assume_role.iter().map(|role| format!(", as {}", role.role_arn)));
        }
        out.extend(own.or(self.endpoint.as_ref()).map(|url| format!(", at {url}")));
        text::clean(&out)
    }

    fn secrets(&self, cx: &Context, out: &mut String) {
        if self.secrets.is_empty() {
            return;
        }
        let needs: Vec<&str> = self.secrets.iter().filter(|s| s.back).map(|s| s.input.as_str()).collect();
        let needs = if needs.is_empty() { "none".to_owned() } else { needs.join(", ") };
        let title = format!("  secrets (asked for when the run begins, never stored; the way back needs {needs})");
        let title = cx.paint.tone(Tone::Warn, &text::clean(&title));
        let row = |s: &SecretView| {
            vec![
                Cell::plain(&s.input),
                Cell::plain(format!("from {}", s.from)),
                Cell::new(Tone::Quiet, s.description.clone().unwrap_or_default()),
            ]
        };
        let rows: Vec<_> = self.secrets.iter().map(row).collect();
        let _ = write!(out, "\n{title}\n{}", text::table(cx.paint, 4, &rows));
    }

    fn forward(&self, cx: &Context, out: &mut String) {
        let header = ["step", "operation", "makes", "undo", ""];
        let mut rows = vec![header.map(|h| Cell::new(Tone::Quiet, h)).to_vec()];
        let mut heads = Vec::new();
        for phase in &self.phases {
            heads.push((rows.len(), phase.name.as_str()));
            rows.extend(phase.steps.iter().map(row));
        }
        let table = text::table(cx.paint, 4, &rows);
        out.push('\n');
        let mut heads = heads.into_iter().peekable();
        for (i, line) in table.lines().enumerate() {
            while heads.peek().is_some_and(|(at, _)| *at == i) {
                if let Some((_, name)) = heads.next() {
                    let _ = writeln!(out, "  {}", cx.paint.strong(&text::clean(name)));
                }
            }
            let _ = writeln!(out, "{line}");
        }
    }

    fn costs(&self, cx: &Context, out: &mut String) {
        let mut section = |title: &str, tone: Tone, rows: Vec<Vec<Cell>>| {
            if !rows.is_empty() {
                let _ = write!(out, "\n{}\n{}", cx.paint.tone(tone, title), text::table(cx.paint, 4, &rows));
            }
        };
        let row = |s: &PlanStepView, what: &str| vec![Cell::plain(s.step.as_str()), Cell::plain(what)];
        let (mut pivots, mut lossy, mut residue, mut protected) = (vec![], vec![], vec![], vec![]);
        for s in self.steps() {
            if s.protect {
                protected.push(row(s, ""));
            }
            let Some(facts) = &s.facts else { continue };
            match &facts.reversibility {
                Reversibility::Reversible => {}
                Reversibility::Lossy { what } => lossy.push(row(s, what)),
                Reversibility::Pivot { why } => pivots.push(row(s, why)),
            }
            residue.extend(facts.residue.iter().map(|r| row(s, r)));
        }
        section("  points of no return (each needs --accept-pivot STEP)", Tone::Bad, pivots);
        section("  lost when undone", Tone::Warn, lossy);
        section("  left behind on purpose when undone", Tone::Warn, residue);
        section("  protected (undoing each needs --confirm STEP)", Tone::Warn, protected);
    }

    fn way_back(&self, cx: &Context, out: &mut String) {
        let _ = writeln!(out, "\n  {}", cx.paint.strong("way back (unwind --all)"));
        let width = self.phases.iter().map(|p| p.name.chars().count()).max().unwrap_or(0);
        for phase in self.phases.iter().rev() {
            let undone = |s: &&PlanStepView| {
                let pivot = matches!(&s.facts, Some(f) if matches!(f.reversibility, Reversibility::Pivot { .. }));
                !pivot && s.facts.as_ref().is_none_or(|f| !f.creates.is_empty() || !f.rolls_back.is_empty())
            };
            let ids: Vec<_> = phase.steps.iter().rev().filter(undone).map(|s| s.step.to_string()).collect();
            let head = format!("    {:width$}  ", text::clean(&phase.name));
            if ids.is_empty() {
                let _ = writeln!(out, "{head}{}", cx.paint.quiet("nothing to undo"));
            } else {
                out.push_str(&text::wrap(&head, &ids, WIDTH));
            }
        }
    }

    fn totals(&self, cx: &Context, out: &mut String) {
        let n = self.steps().count();
        let of = |test: fn(&Reversibility) -> bool| {
            self.steps().filter(|s| s.facts.as_ref().is_some_and(|f| test(&f.reversibility))).count()
        };
        let mut parts = vec![format!("{} reversible", of(|r| *r == Reversibility::Reversible))];
        let lossy = of(|r| matches!(r, Reversibility::Lossy { .. }));
        let pivots = of(|r| matches!(r, Reversibility::Pivot { .. }));
        let unknown = self.steps().filter(|s| s.facts.is_none()).count();
        for (count, what) in [(lossy, "lossy"), (pivots, "irreversible"), (unknown, "known only later")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let phases = text::count(self.phases.len(), "phase");
        let head = format!("{} in {phases}: {}", text::count(n, "step"), parts.join(", "));
        let _ = writeln!(out, "\n{}; at most {} at a time", cx.paint.strong(&head), self.max_parallel);
    }

    fn preflight(&self, cx: &Context, out: &mut String) {
        let Some(preflight) = &self.preflight else { return };
        for caller in &preflight.callers {
            let _ = writeln!(out, "caller: {}", text::clean(caller));
        }
        let seen = format!("{} looked at, {} known only later", preflight.captured, preflight.later);
        if preflight.reasons.is_empty() {
            let _ = writeln!(out, "{} ({seen})", cx.paint.tone(Tone::Good, "preflight: nothing stands in the way"));
            return;
        }
        let _ = writeln!(out, "{} ({seen})", cx.paint.tone(Tone::Bad, "preflight: refused"));
        for (step, error) in &preflight.reasons {
            let step = step.as_ref().map(|s| format!("{s}: ")).unwrap_or_default();
            let _ = writeln!(out, "  {step}{}", text::clean(&error.to_string()));
            if let Some(hint) = &error.hint {
                let _ = writeln!(out, "    {}", text::clean(hint));
            }
        }
    }
}

fn row(s: &PlanStepView) -> Vec<Cell> {
    let target = s.target.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    let (id, op) = (Cell::plain(s.step.as_str()), Cell::plain(format!("{}{target}", s.op)));
    let Some(facts) = &s.facts else {
        return vec![id, op, Cell::new(Tone::Quiet, "known when its parameters are"), Cell::plain(""), Cell::plain("")];
    };
    let calls = |all: &[&[std::borrow::Cow<'static, str>]]| {
        let all: Vec<&str> = all.iter().flat_map(|c| c.iter().map(AsRef::as_ref)).collect();
        if all.is_empty() { Cell::new(Tone::Quiet, "nothing") } else { Cell::plain(all.join(", ")) }
    };
    let reversibility = match &facts.reversibility {
        Reversibility::Reversible => Cell::new(Tone::Good, "reversible"),
        Reversibility::Lossy { .. } => Cell::new(Tone::Warn, "lossy"),
        Reversibility::Pivot { .. } => Cell::new(Tone::Bad, "no return"),
    };
    let undo = if matches!(facts.reversibility, Reversibility::Pivot { .. }) {
        Cell::new(Tone::Bad, "none")
    } else {
        calls(&[&facts.rolls_back])
    };
    vec![id, op, calls(&[&facts.creates, &facts.settles]), undo, reversibility]
}

#[cfg(test)]
mod tests {
    use switchback_model::plan::AssumeRole;

    use super::*;

    fn step(id: &str, op: &str, facts: Option<Facts>) -> PlanStepView {
        let target = (id == "group").then(|| "aws.west".to_owned());
        PlanStepView { step: id.into(), op: op.into(), target, needs: vec![], protect: id == "db", facts }
    }

    fn facts(creates: &'static str, rolls_back: &'static str, reversibility: Reversibility) -> Option<Facts> {
        let mut facts = Facts::without_effect();
        facts.creates = vec![creates.into()];
        facts.rolls_back = vec![rolls_back.into()];
        facts.reversibility = reversibility;
        Some(facts)
    }

    #[test]
    fn a_plan_with_everything_in_it() {
        let mut db = facts("rds:CreateDBCluster", "rds:DeleteDBCluster", Reversibility::Lossy { what: "rows".into() });
        if let Some(f) = &mut db {
            f.residue.push("a final snapshot".to_owned());
        }
        let pivot = Reversibility::Pivot { why: "a message cannot be called back".into() };
        let view = PlanView {
            runbook: "net".into(),
            version: 1,
            description: "A network".into(),
            hash: "0123456789abcdef".into(),
            aws: Some(AwsTarget {
                region: "us-east-1".into(),
                account: "123456789012".into(),
                profile: None,
                assume_role: None,
                endpoint_url: None,
            }),
            more_aws: [(
                "aws.west".to_owned(),
                AwsTarget {
                    region: "us-west-2".into(),
                    account: "210987654321".into(),
                    profile: Some("west".into()),
                    assume_role: Some(AssumeRole {
                        role_arn: "arn:aws:iam::210987654321:role/x".into(),
                        external_id: None,
                        session_name: None,
                    }),
                    endpoint_url: Some("http://127.0.0.1:1".into()),
                },
            )]
            .into(),
            endpoint: Some("http://127.0.0.1:4566".into()),
            sandbox: false,
            secrets: vec![SecretView {
                input: "db_password".into(),
                description: Some("of the database".into()),
                from: "a prompt".into(),
                back: false,
            }],
            on_failure: OnFailure::Unwind,
            max_parallel: 8,
            phases: vec![
                PhaseView {
                    name: "infrastructure".into(),
                    steps: vec![
                        step("vpc", "aws.ec2.vpc", facts("ec2:CreateVpc", "ec2:DeleteVpc", Reversibility::Reversible)),
                        step("db", "aws.rds.cluster", db),
                        step("group", "aws.ec2.security_group", None),
                    ],
                },
                PhaseView {
                    name: "cutover".into(),
                    steps: vec![
                        step("done", "control.checkpoint", Some(Facts::without_effect())),
                        step("mail", "aws.sns.publish", facts("sns:Publish", "-", pivot)),
                    ],
                },
            ],
            rehearsal: Some(RehearsalView { rehearsed: None, required: false, command: "rehearse net.yaml".into() }),
            preflight: Some(PreflightView {
                callers: vec!["arn:aws:iam::123456789012:user/ada".into()],
                captured: 2,
                later: 2,
                reasons: vec![(
                    Some("vpc".into()),
                    OpError::foreign("vpc-1 is there").with_hint("choose another range"),
                )],
            }),
        };
        insta::assert_snapshot!(view.render(&Context::default()), @r"
        net (version 1) plan 0123456789ab
          A network
          target      AWS account 123456789012 in us-east-1, at http://127.0.0.1:4566
          aws.west    AWS account 210987654321 in us-west-2, by profile west, as arn:aws:iam::210987654321:role/x, at http://127.0.0.1:1
          on failure  go back to the start

            step   operation                           makes                          undo
          infrastructure
            vpc    aws.ec2.vpc                         ec2:CreateVpc                  ec2:DeleteVpc        reversible
            db     aws.rds.cluster                     rds:CreateDBCluster            rds:DeleteDBCluster  lossy
            group  aws.ec2.security_group in aws.west  known when its parameters are
          cutover
            done   control.checkpoint                  nothing                        nothing              reversible
            mail   aws.sns.publish                     sns:Publish                    none                 no return

          points of no return (each needs --accept-pivot STEP)
            mail  a message cannot be called back

          lost when undone
            db  rows

          left behind on purpose when undone
            db  a final snapshot

          protected (undoing each needs --confirm STEP)
            db

          secrets (asked for when the run begins, never stored; the way back needs none)
            db_password  from a prompt  of the database

          way back (unwind --all)
            cutover         nothing to undo
            infrastructure  group, db, vpc

        5 steps in 2 phases: 2 reversible, 1 lossy, 1 irreversible, 1 known only later; at most 8 at a time
        not rehearsed (`switchback rehearse net.yaml`)
        caller: arn:aws:iam::123456789012:user/ada
        preflight: refused (2 looked at, 2 known only later)
          vpc: vpc-1 is there
            choose another range
        ");
    }
}
