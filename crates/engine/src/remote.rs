//! Calls to what is not AWS: databases, streams, registries, files, web servers.
//!
//! Each such system is one small enum of calls, an [`Ask`], and whoever answers it is a [`Remote`]: the real one in the
//! crate of its operations, a model of it in a rehearsal. An operation knows the enum only, so that what is rehearsed
//! is what runs. [`Cx::ask`] is the only way to make such a call: it checks the epoch before a write and records every
//! call, as the interceptors do for AWS. Nothing is tried again here: an error says by its class what may be done.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchback_model::record::Called;
use switchback_model::{ErrorClass, OpResult};
use tokio::time::Instant;

use crate::cx::Cx;
use crate::operation::BoxFuture;

/// What [`Called::code`] says of a call that succeeded and has no HTTP status.
pub const OK: &str = "ok";

/// The calls of one kind of system, one variant each. Serializable, so that a model can be called as a service; a
/// secret in it is a `SecretRef`, whose value the [`Remote`] gets from [`Cx::secret`].
pub trait Ask: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// What the system is called in facts and in the journal: `postgresql`.
    const SERVICE: &'static str;
    /// What it answers: an enum, or one struct where all answers are alike.
    type Answer: Serialize + DeserializeOwned + Debug + Send + 'static;

    /// What the call is called: `CreateDatabase`.
    fn action(&self) -> &'static str;

    /// Whether it can change anything.
    fn writes(&self) -> bool;
}

/// Who answers the calls of a system. It finds where to connect in the call itself.
pub trait Remote<A: Ask>: Send + Sync + 'static {
    /// Makes the call, once.
    ///
    /// # Errors
    /// `Transient`: nothing was sent, or the system says that it had no effect and to try again. `Ambiguous`: a write
    /// may have happened, or may still. `Busy`: it depends on something that is not ready. `Unavailable`: there is no
    /// way to it, or the credentials are refused for now. `Permanent`: refused, and why; never a secret in the text.
    fn ask<'a>(&'a self, cx: &'a Cx, ask: A) -> BoxFuture<'a, OpResult<A::Answer>>;
}

/// The context under which a system's calls are found: `Contexts::with::<Answers<PgAsk>>(Arc::new(..))`.
pub type Answers<A> = Arc<dyn Remote<A>>;

impl Cx {
    /// Makes a call to a system that is not AWS.
    ///
    /// # Errors
    /// Class `Unavailable` when this process is no longer the run's executor and the call writes; class `Permanent`
    /// when nobody answers such calls; else those of the [`Remote`].
    pub async fn ask<A: Ask>(&self, ask: A) -> OpResult<A::Answer> {
        let remote = self.shared_context::<Answers<A>>()?;
        if ask.writes() {
            self.check_fence()?;
        }
        let action = ask.action();
        let begin = Instant::now();
        let answer = remote.ask(self, ask).await;
        let code = match &answer {
            Ok(_) => Some(OK.to_owned()),
            // Without any reply there is no code either.
            Err(error) if matches!(error.class, ErrorClass::Ambiguous | ErrorClass::Unavailable) => error.code.clone(),
            Err(error) => Some(error.code.clone().unwrap_or_else(|| error.class.to_string())),
        };
        self.called(Called {
            service: A::SERVICE.to_owned(),
            operation: action.to_owned(),
            request_id: None,
            status: None,
            code,
            attempt: 1,
            duration_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        answer
    }
}
