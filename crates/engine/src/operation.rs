//! The contract of an operation: one kind of reversible change.
//!
//! Two layers, as in steno: authors implement the typed [`Operation`], the executor holds the
//! object-safe [`DynOperation`], which speaks JSON and is made by one blanket impl. Nothing here
//! acts: retries, waits for quiet periods, journaling and decisions belong to the executor.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use switchback_model::facts::Facts;
use switchback_model::record::{Comparison, Json, Proof};
use switchback_model::{OpError, OpResult};

use crate::cx::Cx;

/// A type that the journal stores. A struct of these is versioned by [`Operation::VERSION`].
pub trait Stored: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static> Stored for T {}

/// One kind of reversible change. Implementors hold no state: every fact needed later goes
/// through `Before` and `Output`, which the journal stores.
///
/// # What the executor promises
///
/// - `create` is called only after its intent is durable, with the before-image on record.
/// - `settle` and `rollback` are repeated until they converge; each may meet a world in which it
///   has run before, in part or whole.
/// - An error of class `Ambiguous` is looked up with `find` before `create` is called again.
/// - `Absent`, `Foreign`, [`Undo::Nothing`] and a disagreeing verdict are believed only after
///   the quiet period; the executor asks again by itself. An implementation just says what it
///   sees.
pub trait Operation: Send + Sync + 'static {
    /// `aws.ec2.vpc`: stored in journals, never renamed.
    const KIND: &'static str;
    /// The version of the stored types below.
    const VERSION: u32;
    /// The parameters, from the runbook.
    type Params: Stored + JsonSchema;
    /// What `capture` saw. "Absent" is a value.
    type Before: Stored;
    /// What later steps may refer to, and what `rollback` needs.
    type Output: Stored + JsonSchema;

    /// Reversibility, residue, quiet period, deadlines, API calls made.
    fn facts(&self, params: &Self::Params) -> Facts;

    /// Parameters that show all that it can do: what `switchback ops` prints, and whose facts it
    /// prints. Every operation that is shipped has them.
    fn example() -> Option<Self::Params> {
        None
    }

    /// Checks that the schema cannot express (a CIDR that is not one). Pure; runs in `validate`
    /// where the parameters are known. Each text names the field and what was expected.
    ///
    /// # Errors
    /// The list of what is wrong.
    fn check(&self, _params: &Self::Params) -> Result<(), Vec<ParamError>> {
        Ok(())
    }

    /// Read-only. Preconditions, and what is there now. A thing of this identity that is there
    /// already and that this operation would have to share is an error of class `Foreign`.
    fn capture(&self, cx: &Cx, params: &Self::Params) -> impl Future<Output = OpResult<Self::Before>> + Send;

    /// Read-only. What can be said in the preflight against a use whose parameters are not all known
    /// yet: a name that is taken, a version that there is not. `known` has those that are known, and
    /// lacks those that refer to a step that has not run; `capture` comes right before `create`.
    ///
    /// # Errors
    /// What stands in the way, as `capture` would say it. An error of class `Transient`, `Ambiguous` or
    /// `Busy` says nothing yet.
    fn foresee(&self, _cx: &Cx, _known: &Map<String, Value>) -> impl Future<Output = OpResult<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Exactly the one call that gives the thing its identity. Recorded before anything else
    /// happens to it. Where the API is an upsert or addresses by value: reads again right before
    /// it writes, and stops with class `Drift` when the value moved since `capture`.
    fn create(
        &self,
        cx: &Cx,
        params: &Self::Params,
        before: &Self::Before,
    ) -> impl Future<Output = OpResult<Self::Output>> + Send;

    /// Everything after: attributes, policies, waits. Convergent. Never called when
    /// [`Facts::settles`] is empty and the operation has nothing to wait for (see
    /// [`Operation::SETTLES`]).
    fn settle(
        &self,
        _cx: &Cx,
        _params: &Self::Params,
        _before: &Self::Before,
        output: &Self::Output,
    ) -> impl Future<Output = OpResult<Self::Output>> + Send {
        std::future::ready(Ok(output.clone()))
    }

    /// Whether `settle` is to be called at all. Without it, `Created` and `Verified` may share a
    /// commit.
    const SETTLES: bool = true;

    /// Whether `verify` and `rollback` need the secrets in the parameters too: a password to connect with, and not one
    /// that is only set.
    const SECRETS_BACK: bool = false;

    /// Read-only. Did an in-doubt create happen?
    fn find(
        &self,
        cx: &Cx,
        params: &Self::Params,
        before: &Self::Before,
    ) -> impl Future<Output = OpResult<Found<Self::Output>>> + Send;

    /// What a person's word makes of an in-doubt create (`switchback approve`): the output, or why `by` is not one who
    /// may say so. None: it is not for a person to say.
    fn approved(&self, _params: &Self::Params, _by: &str, _reason: &str) -> Option<Result<Self::Output, String>> {
        None
    }

    /// Undoes it, and waits until it is gone or restored. Called with the newest output (in doubt
    /// the executor has called `find` first). Must also work when it has been done already.
    /// Deletes by id, compares before it restores, and reads ownership tags again right before
    /// it touches a thing that is addressed by name.
    ///
    /// # Errors
    /// Class `Drift` when what is there is neither ours nor the before-image.
    fn rollback(
        &self,
        cx: &Cx,
        params: &Self::Params,
        before: &Self::Before,
        output: &Self::Output,
    ) -> impl Future<Output = OpResult<Undo>> + Send;

    /// Read-only. Compares the world with what `want` asks for, and says what it compared.
    fn verify(
        &self,
        cx: &Cx,
        params: &Self::Params,
        before: &Self::Before,
        output: Option<&Self::Output>,
        want: Expect,
    ) -> impl Future<Output = OpResult<Verdict>> + Send;
}

/// A parameter that the schema accepts and the operation does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// The way to the field, `cidr_block`.
    pub path: Vec<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl ParamError {
    /// An error of one field.
    #[must_use]
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self { path: vec![field.to_owned()], message: message.into() }
    }
}

/// What `find` saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<O> {
    /// Nothing of this identity.
    Absent,
    /// It is there and ours.
    Ours {
        /// The output that `create` would have returned.
        output: O,
        /// How we know. Never [`Proof::Confirmed`].
        proof: Proof,
    },
    /// Something of this identity is there and is not ours.
    Foreign {
        /// What it is, with its id.
        what: String,
    },
}

/// What a `rollback` that returned did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// A write was acknowledged, and it is gone or restored.
    Done,
    /// There was nothing to undo: not found, or the before-image is there already. Believed only
    /// after the quiet period.
    Nothing,
}

/// What `verify` is asked to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// As the parameters say.
    Created,
    /// Gone, or the before-image restored. Looks for what is ours, not for the name.
    RolledBack,
}

/// What `verify` compared.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Each thing that was compared.
    pub compared: Vec<Comparison>,
    /// What was read back, for the checks that a runbook adds in CEL.
    pub observed: Value,
}

impl Verdict {
    /// Nothing compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares one thing.
    #[must_use]
    pub fn compare(mut self, what: impl Into<String>, want: impl Into<Value>, got: impl Into<Value>) -> Self {
        self.compared.push(Comparison { what: what.into(), want: want.into(), got: got.into() });
        self
    }

    /// Whether everything that was compared is as wanted.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.compared.iter().all(Comparison::holds)
    }
}

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An operation as the executor holds it: parameters, before-images and outputs are JSON.
pub trait DynOperation: Send + Sync {
    /// [`Operation::KIND`].
    fn kind(&self) -> &'static str;
    /// [`Operation::VERSION`].
    fn version(&self) -> u32;
    /// [`Operation::SETTLES`].
    fn settles(&self) -> bool;
    /// [`Operation::SECRETS_BACK`].
    fn secrets_back(&self) -> bool;
    /// The JSON Schema of the parameters.
    fn params_schema(&self) -> schemars::Schema;
    /// The JSON Schema of the output.
    fn output_schema(&self) -> schemars::Schema;
    /// [`Operation::example`].
    fn example(&self) -> Option<Value>;
    /// [`Operation::facts`] of parameters that are not all known yet: what stands in their place need
    /// not pass [`Operation::check`]. `None`: they do not have the form of this operation's parameters.
    fn facts_of(&self, params: &Value) -> Option<Facts>;
    /// Whether `output` has the form of this operation's output.
    ///
    /// # Errors
    /// Class `Permanent` when it has not.
    fn check_output(&self, output: &Json) -> OpResult<()>;
    /// [`Operation::foresee`].
    fn foresee<'a>(&'a self, cx: &'a Cx, known: &'a Map<String, Value>) -> BoxFuture<'a, OpResult<()>>;
    /// The parameters in this operation's form, checked and ready to be used many times.
    ///
    /// # Errors
    /// What is wrong with them.
    fn bind(&self, params: &Value) -> Result<Box<dyn BoundOperation>, Vec<ParamError>>;
}

/// An operation together with its parameters.
pub trait BoundOperation: Send + Sync {
    /// [`Operation::facts`].
    fn facts(&self) -> Facts;
    /// [`Operation::capture`].
    fn capture<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, OpResult<Json>>;
    /// [`Operation::create`].
    fn create<'a>(&'a self, cx: &'a Cx, before: &'a Json) -> BoxFuture<'a, OpResult<Json>>;
    /// [`Operation::settle`].
    fn settle<'a>(&'a self, cx: &'a Cx, before: &'a Json, output: &'a Json) -> BoxFuture<'a, OpResult<Json>>;
    /// [`Operation::find`].
    fn find<'a>(&'a self, cx: &'a Cx, before: &'a Json) -> BoxFuture<'a, OpResult<Found<Json>>>;
    /// [`Operation::approved`].
    fn approved(&self, by: &str, reason: &str) -> Option<Result<Json, String>>;
    /// [`Operation::rollback`].
    fn rollback<'a>(&'a self, cx: &'a Cx, before: &'a Json, output: &'a Json) -> BoxFuture<'a, OpResult<Undo>>;
    /// [`Operation::verify`].
    fn verify<'a>(
        &'a self,
        cx: &'a Cx,
        before: &'a Json,
        output: Option<&'a Json>,
        want: Expect,
    ) -> BoxFuture<'a, OpResult<Verdict>>;
}

/// The erased form of an [`Operation`].
#[derive(Debug)]
pub(crate) struct Erased<O>(pub(crate) std::sync::Arc<O>);

struct Bound<O: Operation> {
    op: std::sync::Arc<O>,
    params: O::Params,
}

fn parse<T: DeserializeOwned>(kind: &str, what: &str, json: &Json) -> OpResult<T> {
    serde_json::from_str(json.get()).map_err(|e| {
        OpError::permanent(format!("the stored {what} does not have the form that `{kind}` asks for: {e}"))
            .with_hint("use the release that wrote the journal")
    })
}

fn store<T: Serialize>(kind: &str, what: &str, value: &T) -> OpResult<Json> {
    Json::new(value).map_err(|e| OpError::permanent(format!("the {what} of `{kind}` cannot be stored: {e}")))
}

impl<O: Operation> DynOperation for Erased<O> {
    fn kind(&self) -> &'static str {
        O::KIND
    }

    fn version(&self) -> u32 {
        O::VERSION
    }

    fn settles(&self) -> bool {
        O::SETTLES
    }

    fn secrets_back(&self) -> bool {
        O::SECRETS_BACK
    }

    fn params_schema(&self) -> schemars::Schema {
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<O::Params>()
    }

    fn output_schema(&self) -> schemars::Schema {
        schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<O::Output>()
    }

    fn example(&self) -> Option<Value> {
        O::example().and_then(|params| serde_json::to_value(params).ok())
    }

    fn facts_of(&self, params: &Value) -> Option<Facts> {
        O::Params::deserialize(params).ok().map(|params| self.0.facts(&params))
    }

    fn check_output(&self, output: &Json) -> OpResult<()> {
        parse::<O::Output>(O::KIND, "output", output).map(|_| ())
    }

    fn foresee<'a>(&'a self, cx: &'a Cx, known: &'a Map<String, Value>) -> BoxFuture<'a, OpResult<()>> {
        Box::pin(self.0.foresee(cx, known))
    }

    fn bind(&self, params: &Value) -> Result<Box<dyn BoundOperation>, Vec<ParamError>> {
        let params =
            O::Params::deserialize(params).map_err(|e| vec![ParamError { path: vec![], message: e.to_string() }])?;
        self.0.check(&params)?;
        Ok(Box::new(Bound { op: self.0.clone(), params }))
    }
}

impl<O: Operation> BoundOperation for Bound<O> {
    fn facts(&self) -> Facts {
        self.op.facts(&self.params)
    }

    fn capture<'a>(&'a self, cx: &'a Cx) -> BoxFuture<'a, OpResult<Json>> {
        Box::pin(async move { store(O::KIND, "before-image", &self.op.capture(cx, &self.params).await?) })
    }

    fn create<'a>(&'a self, cx: &'a Cx, before: &'a Json) -> BoxFuture<'a, OpResult<Json>> {
        Box::pin(async move {
            let before = parse(O::KIND, "before-image", before)?;
            store(O::KIND, "output", &self.op.create(cx, &self.params, &before).await?)
        })
    }

    fn settle<'a>(&'a self, cx: &'a Cx, before: &'a Json, output: &'a Json) -> BoxFuture<'a, OpResult<Json>> {
        Box::pin(async move {
            let before = parse(O::KIND, "before-image", before)?;
            let output = parse(O::KIND, "output", output)?;
            store(O::KIND, "output", &self.op.settle(cx, &self.params, &before, &output).await?)
        })
    }

    fn find<'a>(&'a self, cx: &'a Cx, before: &'a Json) -> BoxFuture<'a, OpResult<Found<Json>>> {
        Box::pin(async move {
            let before = parse(O::KIND, "before-image", before)?;
            Ok(match self.op.find(cx, &self.params, &before).await? {
                Found::Absent => Found::Absent,
                Found::Foreign { what } => Found::Foreign { what },
                Found::Ours { output, proof } => Found::Ours { output: store(O::KIND, "output", &output)?, proof },
            })
        })
    }

    fn approved(&self, by: &str, reason: &str) -> Option<Result<Json, String>> {
        let approved = self.op.approved(&self.params, by, reason)?;
        Some(approved.and_then(|output| store(O::KIND, "output", &output).map_err(|e| e.message)))
    }

    fn rollback<'a>(&'a self, cx: &'a Cx, before: &'a Json, output: &'a Json) -> BoxFuture<'a, OpResult<Undo>> {
        Box::pin(async move {
            let before = parse(O::KIND, "before-image", before)?;
            let output = parse(O::KIND, "output", output)?;
            self.op.rollback(cx, &self.params, &before, &output).await
        })
    }

    fn verify<'a>(
        &'a self,
        cx: &'a Cx,
        before: &'a Json,
        output: Option<&'a Json>,
        want: Expect,
    ) -> BoxFuture<'a, OpResult<Verdict>> {
        Box::pin(async move {
            let before = parse(O::KIND, "before-image", before)?;
            let output = output.map(|o| parse(O::KIND, "output", o)).transpose()?;
            self.op.verify(cx, &self.params, &before, output.as_ref(), want).await
        })
    }
}
