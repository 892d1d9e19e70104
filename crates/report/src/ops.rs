//! The catalog of operations, for people: what there is, and all that one of them says about itself.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use switchback_model::facts::{Facts, ProofKind, Reversibility};

use crate::reporter::Context;
use crate::style::Tone;
use crate::text::{self, Cell};

/// An operation.
#[derive(Debug, Clone, Serialize)]
pub struct OpView {
    /// `aws.ec2.vpc`.
    pub kind: String,
    /// The version of its stored types.
    pub version: u32,
    /// What it is, in a sentence.
    pub about: String,
    /// What it takes.
    pub params: Vec<FieldView>,
    /// What later steps may refer to.
    pub outputs: Vec<FieldView>,
    /// Parameters that show all that it can do.
    pub example: Value,
    /// What it says about that use of it.
    pub facts: Facts,
    /// The IAM actions that doing it needs.
    pub actions_to_do: Vec<String>,
    /// The IAM actions that undoing it needs.
    pub actions_to_undo: Vec<String>,
}

/// A field of parameters or of an output.
#[derive(Debug, Clone, Serialize)]
pub struct FieldView {
    /// Its name.
    pub name: String,
    /// Its type, `string`, `integer`, `VpcId`, `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it must be given, or is always there.
    pub required: bool,
    /// What it is, with the API's own name for it.
    pub about: String,
}

/// The catalog: a line for each operation.
#[must_use]
pub fn catalog(ops: &[OpView], cx: &Context) -> String {
    let header = ["operation", "what it is", "undo", "proof", "waits up to"];
    let mut rows = vec![header.map(|h| Cell::new(Tone::Quiet, h)).to_vec()];
    rows.extend(ops.iter().map(|op| {
        vec![
            Cell::plain(&op.kind),
            Cell::plain(op.about.split_once(". ").map_or(op.about.trim_end_matches('.'), |(first, _)| first)),
            reversibility(&op.facts),
            Cell::plain(match op.facts.proof {
                ProofKind::Strong => "strong",
                ProofKind::ByFind => "by value",
            }),
            Cell::plain(format!(
                "{} / {}",
                text::duration(op.facts.create_deadline),
                text::duration(op.facts.rollback_deadline)
            )),
        ]
    }));
    text::table(cx.paint, 0, &rows)
}

fn reversibility(facts: &Facts) -> Cell {
    match facts.reversibility {
        Reversibility::Reversible if facts.residue.is_empty() => Cell::new(Tone::Good, "reversible"),
        Reversibility::Reversible => Cell::new(Tone::Good, "leaves residue"),
        Reversibility::Lossy { .. } => Cell::new(Tone::Warn, "lossy"),
        Reversibility::Pivot { .. } => Cell::new(Tone::Bad, "no return"),
    }
}

impl OpView {
    /// All that it says about itself.
    #[must_use]
    pub fn render(&self, cx: &Context) -> String {
        let mut out = format!("{} {}\n", cx.paint.strong(&self.kind), cx.paint.quiet(&format!("v{}", self.version)));
        let _ = writeln!(out, "  {}", text::clean(&self.about));
        for (title, fields) in [("parameters", &self.params), ("outputs", &self.outputs)] {
            if fields.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{}", cx.paint.strong(title));
            let rows: Vec<_> = fields.iter().map(field).collect();
            out.push_str(&text::table(cx.paint, 2, &rows));
        }
        let _ = writeln!(out, "\n{}", cx.paint.strong("facts, of the example"));
        out.push_str(&text::table(cx.paint, 2, &self.facts_rows()));
        let _ = writeln!(out, "\n{}", cx.paint.strong("example"));
        let example = serde_json::to_string_pretty(&self.example).unwrap_or_default();
        let _ = writeln!(out, "  op: {}\n  with: {}", self.kind, example.replace('\n', "\n  "));
        out
    }

    fn facts_rows(&self) -> Vec<Vec<Cell>> {
        let facts = &self.facts;
        let calls = |calls: &[std::borrow::Cow<'static, str>]| {
            if calls.is_empty() { "nothing".to_owned() } else { calls.join(", ") }
        };
        let row = |name: &str, value: String| vec![Cell::new(Tone::Quiet, name), Cell::plain(value)];
        let mut rows = vec![
            row("reads", calls(&facts.reads)),
            row("creates with", calls(&facts.creates)),
            row("then", calls(&facts.settles)),
            row("undoes with", calls(&facts.rolls_back)),
            row("IAM, to do", self.actions_to_do.join(", ")),
            row("IAM, to undo", self.actions_to_undo.join(", ")),
            row(
                "reversible",
                match &facts.reversibility {
                    Reversibility::Reversible => "yes".to_owned(),
                    Reversibility::Lossy { what } => format!("lossy: {what}"),
                    Reversibility::Pivot { why } => format!("no: {why}"),
                },
            ),
        ];
        for residue in &facts.residue {
            rows.push(row("leaves behind", residue.clone()));
        }
        let proof = match (facts.proof, facts.unique) {
            (ProofKind::Strong, true) => "tags or token; a second one is impossible",
            (ProofKind::Strong, false) => "tags or token",
            (ProofKind::ByFind, _) => "absent before and equal now; strong where this run made what it hangs on",
        };
        rows.push(row("proof", proof.to_owned()));
        rows.push(row("quiet period", text::duration(facts.quiet)));
        let waits = (text::duration(facts.create_deadline), text::duration(facts.rollback_deadline));
        rows.push(row("waits up to", format!("{} forward, {} back", waits.0, waits.1)));
        rows
    }
}

fn field(field: &FieldView) -> Vec<Cell> {
    let need = if field.required { "" } else { "optional" };
    vec![
        Cell::plain(&field.name),
        Cell::new(Tone::Quiet, &field.kind),
        Cell::new(Tone::Quiet, need),
        Cell::plain(&field.about),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view() -> OpView {
        let mut facts = Facts::without_effect();
        facts.creates = vec!["ec2:CreateVpc".into()];
        facts.rolls_back = vec!["ec2:DeleteVpc".into()];
        facts.residue = vec!["a flow log".to_owned()];
        OpView {
            kind: "aws.ec2.vpc".into(),
            version: 1,
            about: "A network. With a block.".into(),
            params: vec![FieldView {
                name: "cidr_block".into(),
                kind: "string".into(),
                required: true,
                about: "the range".into(),
            }],
            outputs: vec![],
            example: json!({"cidr_block": "10.0.0.0/16"}),
            facts,
            actions_to_do: vec!["ec2:CreateVpc".into()],
            actions_to_undo: vec!["ec2:DeleteVpc".into()],
        }
    }

    #[test]
    fn the_catalog_has_a_line_for_each() {
        insta::assert_snapshot!(catalog(&[view()], &Context::default()), @r"
        operation    what it is  undo            proof   waits up to
        aws.ec2.vpc  A network   leaves residue  strong  1m00s / 1m00s
        ");
    }

    #[test]
    fn one_operation_says_everything() {
        insta::assert_snapshot!(view().render(&Context::default()), @r#"
        aws.ec2.vpc v1
          A network. With a block.

        parameters
          cidr_block  string  the range

        facts, of the example
          reads          nothing
          creates with   ec2:CreateVpc
          then           nothing
          undoes with    ec2:DeleteVpc
          IAM, to do     ec2:CreateVpc
          IAM, to undo   ec2:DeleteVpc
          reversible     yes
          leaves behind  a flow log
          proof          tags or token; a second one is impossible
          quiet period   0 ms
          waits up to    1m00s forward, 1m00s back

        example
          op: aws.ec2.vpc
          with: {
            "cidr_block": "10.0.0.0/16"
          }
        "#);
    }
}
