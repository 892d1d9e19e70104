//! The values of secrets, in this process only.
//!
//! What is stored knows a secret by its [`SecretRef`]; the value is found by its fingerprint, so a value
//! that is not the one on record is never used by mistake. Nothing here can be printed, stored or
//! compared with `==`.

use std::collections::HashMap;
use std::sync::Arc;

use secrecy::SecretString;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};

/// The values of the secrets that this process was given, by fingerprint. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets(Arc<HashMap<String, SecretString>>);

impl Secrets {
    /// No secrets.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those, each with what is stored of it.
    #[must_use]
    pub fn new(values: impl IntoIterator<Item = (SecretRef, SecretString)>) -> Self {
        Self(Arc::new(values.into_iter().map(|(of, value)| (of.fingerprint, value)).collect()))
    }

    /// The value.
    ///
    /// # Errors
    /// Class `Unavailable` when this process was not given it.
    pub fn get(&self, of: &SecretRef) -> OpResult<&SecretString> {
        self.0.get(&of.fingerprint).ok_or_else(|| {
            OpError::new(ErrorClass::Unavailable, format!("the secret from {} is not at hand", of.source))
                .with_hint("give it to this process in the same way and `switchback resume`")
        })
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}
