//! What an operation says about itself. Facts are data: plans print them, the executor obeys
//! them, and the conformance tests hold them against what really happened.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Can it be undone, and at what price?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reversibility {
    /// The start state comes back.
    Reversible,
    /// What was written after it is lost, unless `rollback` exports it first.
    Lossy {
        /// What would be lost.
        what: String,
    },
    /// It cannot be undone: the point of no return.
    Pivot {
        /// Why.
        why: String,
    },
}

/// How an in-doubt `create` can be proved to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofKind {
    /// Always strong: a tag or token that the create call itself sets.
    Strong,
    /// `find` decides each time: weak (absent before, equal now), or strong where this run made
    /// what it hangs on.
    ByFind,
}

/// The facts of one use of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Can it be undone?
    pub reversibility: Reversibility,
    /// What an undo leaves behind on purpose, one sentence each, with `{run}`, `{step}` and
    /// `{generation}` left open.
    pub residue: Vec<String>,
    /// How an in-doubt `create` is recognised.
    pub proof: ProofKind,
    /// A second create is impossible whatever happens (a live client token or a unique name), so
    /// going forward need not wait out the quiet period before it creates again.
    pub unique: bool,
    /// How long an unanswered write may still land, or reads may lag behind. Zero where the
    /// operation has no effect.
    #[serde(with = "millis")]
    pub quiet: Duration,
    /// How long `create` and `settle` and `verify` together may take.
    #[serde(with = "millis")]
    pub create_deadline: Duration,
    /// How long `rollback` and its `verify` together may take.
    #[serde(with = "millis")]
    pub rollback_deadline: Duration,
    /// Calls made by `capture`, `find` and `verify`: `ec2:DescribeVpcs`.
    pub reads: Vec<Cow<'static, str>>,
    /// The calls made by `create`: one that gives identity, or none for a step without effect.
    pub creates: Vec<Cow<'static, str>>,
    /// The writing calls made by `settle`. Empty: `settle` is never called.
    pub settles: Vec<Cow<'static, str>>,
    /// The writing calls made by `rollback`.
    pub rolls_back: Vec<Cow<'static, str>>,
    /// IAM actions needed beyond the calls themselves, to do it (`ec2:CreateTags`).
    pub extra_actions: Vec<Cow<'static, str>>,
    /// IAM actions needed beyond the calls themselves, to undo it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_undo_actions: Vec<Cow<'static, str>>,
    /// The ARNs of what its writing calls are about, for a policy of least privilege, with
    /// `{partition}`, `{region}` and `{account}` left open: `arn:{partition}:iam::{account}:role/App`.
    /// None where they are not known before it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arns: Vec<String>,
}

impl Facts {
    /// The facts of a step that has no effect and calls nothing.
    #[must_use]
    pub fn without_effect() -> Self {
        Self {
            reversibility: Reversibility::Reversible,
            residue: Vec::new(),
            proof: ProofKind::Strong,
            unique: true,
            quiet: Duration::ZERO,
            create_deadline: Duration::from_secs(60),
            rollback_deadline: Duration::from_secs(60),
            reads: Vec::new(),
            creates: Vec::new(),
            settles: Vec::new(),
            rolls_back: Vec::new(),
            extra_actions: Vec::new(),
            extra_undo_actions: Vec::new(),
            arns: Vec::new(),
        }
    }
}

/// Durations are stored in milliseconds.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole milliseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads whole milliseconds.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}
