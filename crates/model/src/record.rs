//! The records of a run's journal: what is written, in which words.
//!
//! A kind is never renamed and never changes its meaning. A record that this release does not
//! know makes the journal unreadable for it, by name, rather than being skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::error::OpError;
use crate::ids::{Epoch, Generation, RunId, Seq, StepId};
use crate::rehearsal::Worth;
use crate::secret::SecretRef;

/// The version of the stored records. A journal of another version is refused.
pub const FORMAT_VERSION: u32 = 1;

/// A JSON text that is kept as it was written: a before-image, an output. Cheap to clone, parsed
/// only by whoever needs to look inside.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The JSON text of `value`.
    ///
    /// # Errors
    /// When `value` cannot be represented as JSON.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The parsed value.
    ///
    /// # Errors
    /// When it does not have the form of `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(d).map(|raw| Self(raw.into()))
    }
}

/// Which way a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Creating.
    Forward,
    /// Rolling back.
    Unwinding,
}

impl Direction {
    /// As stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Unwinding => "unwinding",
        }
    }

    /// From what is stored.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        match s {
            "forward" => Some(Self::Forward),
            "unwinding" => Some(Self::Unwinding),
            _ => None,
        }
    }
}

/// Who writes: the same for every record of one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The operating-system user.
    pub user: String,
    /// The host's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The AWS caller's ARN, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_caller: Option<String>,
    /// The binary's version.
    pub binary: String,
}

/// A record that is to be appended. The journal adds sequence number, actor and hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When it happened (UTC). For people; order comes from the sequence number.
    pub at: Timestamp,
    /// The step it is about; `None`: about the run.
    pub step: Option<StepId>,
    /// The step's generation ([`Generation::FIRST`] for a record of the run).
    pub generation: Generation,
    /// Which way the run went.
    pub direction: Direction,
    /// What happened.
    pub body: Body,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the run.
    pub seq: Seq,
    /// Who wrote it.
    pub actor: Arc<Actor>,
    /// The run.
    pub run: RunId,
    /// What was written.
    pub draft: Draft,
    /// `SHA-256(previous hash of the run || canonical record)`.
    pub hash: [u8; 32],
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What a record says. The variants' names are the stored kinds.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Body { $($(#[$doc])* $kind($kind),)* }

        impl Body {
            /// The stored kind: the variant's name.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($kind),)* }
            }

            /// The payload as JSON text.
            ///
            /// # Errors
            /// When the payload cannot be represented as JSON.
            pub fn payload(&self) -> Result<String, serde_json::Error> {
                match self { $(Self::$kind(p) => serde_json::to_string(p),)* }
            }

            /// A body from its stored form.
            ///
            /// # Errors
            /// When this release does not know the kind, or the payload has another form.
            pub fn parse(kind: &str, payload: &str) -> Result<Self, InvalidBody> {
                match kind {
                    $(stringify!($kind) => serde_json::from_str(payload)
                        .map(Self::$kind)
                        .map_err(|source| InvalidBody::Payload { kind: stringify!($kind), source }),)*
                    other => Err(InvalidBody::UnknownKind(other.to_owned())),
                }
            }
        }

        $(impl From<$kind> for Body { fn from(p: $kind) -> Self { Self::$kind(p) } })*
    };
}

/// A stored body that this release cannot read.
#[derive(Debug, Error)]
pub enum InvalidBody {
    /// A kind that this release does not know.
    #[error("unknown kind of record {0:?} (written by a newer release?)")]
    UnknownKind(String),
    /// The payload does not have the form that the kind asks for.
    #[error("the payload of a {kind} record does not have its form")]
    Payload {
        /// The record's kind.
        kind: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

bodies! {
    // Of the run.
    /// The run exists.
    RunStarted,
    /// A process took over the run, with a new epoch.
    ExecutorStarted,
    /// Nothing stands in the way of the first effect.
    PreflightPassed,
    /// The preflight refused the run: nothing was done, nothing ever will be.
    Refused,
    /// From here on the run goes back.
    UnwindStarted,
    /// The unwind has reached its target.
    UnwindFinished,
    /// After a partial unwind the run goes forward again.
    ForwardStarted,
    /// Resources that still carry the run's tags were looked for.
    Swept,
    /// The run stopped where it can go on.
    Paused,
    /// The run needs a person.
    Stuck,
    /// Every step is verified.
    Completed,
    /// A person ended another executor, or attests that it is dead.
    TakenOver,
    // Of a step; each changes its status.
    /// `capture` saw what was there.
    Captured,
    /// `capture` failed or was refused.
    CaptureFailed,
    /// `create` is about to be called.
    CreateStarted,
    /// `create` failed for good; whether it happened is in doubt.
    CreateFailed,
    /// `create` returned.
    Created,
    /// An in-doubt create did happen and is ours.
    Adopted,
    /// `settle` failed for good.
    SettleFailed,
    /// `verify` disagrees.
    VerifyFailed,
    /// `verify` has read it back.
    Verified,
    /// A person says: leave this step out.
    Skipped,
    /// A person says: this step is done.
    MarkedDone,
    /// `rollback` is about to be called.
    RollbackStarted,
    /// `rollback` returned.
    RolledBack,
    /// `rollback` failed for good, or met drift.
    RollbackFailed,
    /// Seen to be gone, restored, never made, or not ours.
    Undone,
    /// Rolled back, but it is there (again).
    UndoFailed,
    /// A person says: leave what this step made.
    RollbackSkipped,
    /// A person says: I have undone it by hand.
    RollbackMarkedDone,
    // Of a step; for the auditor, without a change of status.
    /// A call to a service.
    Called,
    /// An attempt failed and another follows.
    Retried,
}

/// The run exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// The runbook's name.
    pub runbook: String,
    /// SHA-256 of the plan's canonical JSON, in hex.
    pub plan_hash: String,
    /// Where the run acts.
    pub endpoint: Endpoint,
    /// The secrets that its steps use, where they use any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<RunSecrets>,
    /// The rehearsal of this very plan that was on file when the run began; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsed>,
}

/// A rehearsal, as the journal of a run and its plan know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearsed {
    /// SHA-256 of the certificate's file, in hex.
    pub certificate: String,
    /// When the rehearsal ended, UTC.
    pub at: Timestamp,
    /// The release of Switchback that rehearsed.
    pub switchback: String,
    /// How many cases were run.
    pub cases: u64,
    /// How many findings there were, in groups.
    pub findings: u64,
    /// What it was worth to the release that looked at it.
    pub worth: Worth,
}

/// The secrets of a run, as all that is stored knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSecrets {
    /// How fingerprints are made, with its parameters: `argon2id v=19 m=19456 t=2 p=1`.
    pub method: String,
    /// The salt of this run's fingerprints: 16 random bytes in hex.
    pub salt: String,
    /// Each secret, by the name of its input.
    pub inputs: BTreeMap<String, SecretRef>,
}

/// Where a run acts. A run remembers it: a resume goes to the same place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// A URL instead of AWS's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// It is the sandbox in the state folder.
    #[serde(default)]
    pub sandbox: bool,
    /// The quiet period of every step in milliseconds, instead of the operations' own. Only a
    /// test target may set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_ms: Option<u64>,
}

/// A process took over the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorStarted {
    /// Its epoch.
    pub epoch: Epoch,
    /// What it was started for: `apply`, `resume`, `unwind`.
    pub command: String,
}

/// Nothing stands in the way of the first effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreflightPassed {
    /// Steps whose `capture` ran.
    pub captured: u32,
    /// Steps whose parameters are known only later.
    pub later: u32,
}

/// The preflight refused the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Each reason, with the step it is about where there is one.
    pub reasons: Vec<(Option<StepId>, OpError)>,
}

/// Why an unwind began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnwindCause {
    /// A person asked for it.
    Asked {
        /// What the person gave as reason, where one was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A step failed, and the policy says so.
    Failed {
        /// The step.
        step: StepId,
        /// Its error.
        error: OpError,
    },
}

/// How far back an unwind goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnwindTarget {
    /// To the start.
    All,
    /// To this phase's end or this step.
    To(String),
}

impl fmt::Display for UnwindTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("the start"),
            Self::To(name) => write!(f, "`{name}`"),
        }
    }
}

/// From here on the run goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnwindStarted {
    /// How far.
    pub target: UnwindTarget,
    /// The steps that stay. Everything else goes.
    pub keep: Vec<StepId>,
    /// Why.
    pub cause: UnwindCause,
}

/// The unwind has reached its target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnwindFinished {
    /// How far.
    pub target: UnwindTarget,
    /// Nothing is kept: the run has ended.
    pub all: bool,
    /// What stays behind on purpose.
    pub residue: Vec<String>,
}

/// After a partial unwind the run goes forward again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardStarted {}

/// Resources that still carry the run's tags.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swept {
    /// What was found and should not be there. Empty: clean.
    pub left: Vec<Leftover>,
}

/// A resource that carries a run's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leftover {
    /// The resource's type, `vpc`.
    pub resource_type: String,
    /// The resource's id or ARN.
    pub id: String,
    /// The step named by its tag, as a tag value.
    pub step: String,
    /// The generation named by its tag.
    pub generation: u32,
    /// The target that it is in, where that is not the default one: `aws.west`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// The run stopped where it can go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paused {
    /// Why.
    pub why: String,
    /// The step that caused it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
}

/// The run needs a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// Each step that is stuck, and why.
    pub steps: Vec<(StepId, OpError)>,
}

/// Every step is verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completed {}

/// A person ended another executor, or attests that it is dead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenOver {
    /// The process that was ended, on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The person's reason.
    pub reason: String,
}

/// `capture` saw what was there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// The before-image.
    pub before: Json,
}

/// `capture` failed or was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureFailed {
    /// Why.
    pub error: OpError,
}

/// `create` is about to be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateStarted {
    /// The client token that the call carries, where the API takes one.
    pub token: String,
    /// The parameters, resolved.
    pub params: Json,
}

/// `create` failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateFailed {
    /// Why.
    pub error: OpError,
}

/// `create` returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Created {
    /// Its output.
    pub output: Json,
}

/// How an adopted thing was proved to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A tag or token that our create call set, or both ends of an attachment made by this run.
    Strong,
    /// Absent before, equal to ours now.
    Weak,
    /// A person said so.
    Confirmed,
}

/// An in-doubt create did happen and is ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adopted {
    /// What was found.
    pub output: Json,
    /// How it was proved.
    pub proof: Proof,
    /// The person's reason, where a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `settle` failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettleFailed {
    /// Why.
    pub error: OpError,
}

/// `verify` disagrees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyFailed {
    /// Why.
    pub error: OpError,
    /// What was compared.
    pub compared: Vec<Comparison>,
}

/// One thing that `verify` compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What: `cidr_block`.
    pub what: String,
    /// What it should be.
    pub want: Value,
    /// What was read back.
    pub got: Value,
}

impl Comparison {
    /// Whether both are equal.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.want == self.got
    }
}

/// `verify` has read it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// The output after `settle`, where it differs from the one on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// What was compared.
    pub compared: Vec<Comparison>,
}

/// A person says: leave this step out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The person's reason.
    pub reason: String,
}

/// A person says: this step is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkedDone {
    /// The person's reason.
    pub reason: String,
    /// The output, where the person gave one or none is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
    /// Whether `verify` agreed.
    pub verified: bool,
}

/// `rollback` is about to be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackStarted {
    /// The newest output, as on record or as found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Json>,
}

/// `rollback` returned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBack {}

/// `rollback` failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackFailed {
    /// Why; its class says whether it was drift.
    pub error: OpError,
}

/// Why a step counts as undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoneHow {
    /// `verify` has seen that it is gone or restored.
    Verified,
    /// The in-doubt create never happened.
    NeverMade,
    /// What is there is not ours.
    NotOurs,
    /// A person says: not ours, or accepted as it is.
    Disowned,
}

/// Seen to be gone, restored, never made, or not ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undone {
    /// Why it counts.
    pub how: UndoneHow,
    /// What was compared, or what the foreign thing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Comparison>,
    /// The person's reason, where a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Rolled back, but it is there (again).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoFailed {
    /// What is there.
    pub compared: Vec<Comparison>,
}

/// A person says: leave what this step made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackSkipped {
    /// The person's reason.
    pub reason: String,
}

/// A person says: I have undone it by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackMarkedDone {
    /// The person's reason.
    pub reason: String,
}

/// A call to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// The service, `ec2`.
    pub service: String,
    /// The operation, `CreateVpc`.
    pub operation: String,
    /// The request id of the reply, where there was a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The HTTP status of the reply, where there was a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error code of the reply, where it was an error. Of what is not called by HTTP, `ok` where it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Which attempt of the SDK it was, from 1.
    pub attempt: u32,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// An attempt failed and another follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retried {
    /// Which method: `create`.
    pub method: String,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Its error.
    pub error: OpError,
    /// The pause before the next, in milliseconds.
    pub delay_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_its_stored_form() {
        let body: Body = Created { output: Json::new(&serde_json::json!({"vpc_id": "vpc-1"})).unwrap() }.into();
        let back = Body::parse(body.kind(), &body.payload().unwrap()).unwrap();
        assert_eq!(back, body);
    }

    #[test]
    fn a_run_from_before_secrets_and_rehearsals_can_still_be_read() {
        let old = r#"{"format":1,"runbook":"x","plan_hash":"ab","endpoint":{"sandbox":false}}"#;
        let Ok(Body::RunStarted(started)) = Body::parse("RunStarted", old) else { panic!("not read") };
        assert_eq!((&started.secrets, &started.rehearsal), (&None, &None));
        assert_eq!(serde_json::to_string(&started).unwrap(), old, "and is written as it was");
    }

    #[test]
    fn unknown_kinds_and_fields_are_errors() {
        assert!(matches!(Body::parse("Teleported", "{}"), Err(InvalidBody::UnknownKind(_))));
        assert!(Body::parse("RolledBack", r#"{"x":1}"#).is_err());
    }
}
