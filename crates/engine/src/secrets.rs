//! The values of secrets, in this process only.
//!
//! What is stored knows a secret by its [`SecretRef`]; the value is found by its fingerprint, so a value
//! that is not the one on record is never used by mistake. Nothing here can be printed, stored or
//! compared with `==`.
//!
//! ```text
//! a new run           values ──begin──▶ RunSecrets (goes into the first record) + Secrets
//! a run that goes on  values + RunSecrets ──go_on──▶ Secrets, or: it is another value
//! a run that goes back                               Secrets::none(): nothing is asked for
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use switchback_model::canonical::hex;
use switchback_model::plan::Plan;
use switchback_model::record::RunSecrets;
use switchback_model::status::State;
use switchback_model::{ErrorClass, OpError, OpResult, SecretRef};
use thiserror::Error;

use crate::Registry;
use crate::history::History;

/// How fingerprints are made: the least that OWASP asks for, which takes some 30 ms. The text is
/// stored with the run; a run with another one is refused and not compared.
pub const METHOD: &str = "argon2id v=19 m=19456 t=2 p=1";

/// Values that are shorter stay where a message holds them: a message full of holes tells more.
const SHORTEST_HIDDEN: usize = 4;

/// A value and where it came from.
#[derive(Debug)]
pub struct Given {
    /// The value.
    pub value: SecretString,
    /// Where it came from, as [`SecretRef::source`] has it.
    pub source: String,
    /// The version there, where the source has versions.
    pub version: Option<String>,
}

/// Values that cannot be used for a run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SecretError {
    /// A run goes on, and this is not the value that it began with.
    #[error("the secret `{input}` from {given} is not the value that the run began with (from {began})")]
    OtherValue {
        /// The input.
        input: String,
        /// Where the value of now comes from.
        given: String,
        /// Where the value on record came from.
        began: String,
    },
    /// The run has no such secret on record.
    #[error("the run has no secret `{0}` on record")]
    NotOnRecord(String),
    /// The run's fingerprints are made in a way that this release does not know.
    #[error("the run's secrets are known by `{found}`, this release knows `{METHOD}`")]
    Method {
        /// What is on record.
        found: String,
    },
    /// A fingerprint cannot be made.
    #[error("the fingerprint of the secret `{input}` cannot be made: {why}")]
    Fingerprint {
        /// The input.
        input: String,
        /// Why.
        why: String,
    },
}

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

    /// The values by input, for a new run: what goes into its first record, and the values. Some
    /// 30 ms each.
    ///
    /// # Errors
    /// When a fingerprint cannot be made.
    pub fn begin(salt: [u8; 16], given: BTreeMap<String, Given>) -> Result<(RunSecrets, Self), SecretError> {
        let mut inputs = BTreeMap::new();
        let mut values = Vec::new();
        for (input, Given { value, source, version }) in given {
            let of = SecretRef { source, version, fingerprint: fingerprint(&input, &salt, &value)? };
            values.push((of.clone(), value));
            inputs.insert(input, of);
        }
        Ok((RunSecrets { method: METHOD.to_owned(), salt: hex(&salt), inputs }, Self::new(values)))
    }

    /// The values by input, for a run that goes on.
    ///
    /// # Errors
    /// When one is not the value that the run began with.
    pub fn go_on(recorded: &RunSecrets, given: BTreeMap<String, Given>) -> Result<Self, SecretError> {
        if given.is_empty() {
            return Ok(Self::none());
        }
        let unknown = || SecretError::Method { found: recorded.method.clone() };
        let salt = unhex(&recorded.salt).filter(|_| recorded.method == METHOD).ok_or_else(unknown)?;
        let mut values = Vec::new();
        for (input, Given { value, source, .. }) in given {
            let of = recorded.inputs.get(&input).ok_or_else(|| SecretError::NotOnRecord(input.clone()))?;
            if fingerprint(&input, &salt, &value)? != of.fingerprint {
                return Err(SecretError::OtherValue { input, given: source, began: of.source.clone() });
            }
            values.push((of.clone(), value));
        }
        Ok(Self::new(values))
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

    /// The error without values in it: a service may say what it was sent.
    #[must_use]
    pub(crate) fn hide_in(&self, mut error: OpError) -> OpError {
        for value in self.0.values().map(ExposeSecret::expose_secret).filter(|v| v.len() >= SHORTEST_HIDDEN) {
            for text in std::iter::once(&mut error.message).chain(&mut error.hint).chain(&mut error.code) {
                if text.contains(value) {
                    *text = text.replace(value, "(secret)");
                }
            }
        }
        error
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// The secret inputs that a run which goes forward still needs, with what is on record of each:
/// those of every step that is neither done nor left out.
#[must_use]
pub fn ahead(history: &History) -> BTreeMap<String, SecretRef> {
    let steps = history.plan().steps.iter().enumerate();
    let open = steps.filter(|(i, _)| {
        let state = history.status(*i).state;
        !state.is_done() && state != State::Skipped
    });
    open.flat_map(|(_, step)| step.params.secrets())
        .filter_map(|name| Some((name.to_owned(), history.secret(name)?.clone())))
        .collect()
}

/// The secret inputs with which steps that may have had an effect are looked at and undone, with what is on record of
/// each.
#[must_use]
pub fn behind(history: &History, registry: &Registry) -> BTreeMap<String, SecretRef> {
    let steps = history.plan().steps.iter().enumerate();
    let held = steps.filter(|(i, step)| {
        let state = history.status(*i).state;
        let open = !state.is_untouched() && !state.is_undone() && state != State::Skipped;
        open && needed_back(registry, &step.op)
    });
    held.flat_map(|(_, step)| step.params.secrets())
        .filter_map(|name| Some((name.to_owned(), history.secret(name)?.clone())))
        .collect()
}

/// The secret inputs of a plan that its way back needs.
#[must_use]
pub fn back(plan: &Plan, registry: &Registry) -> BTreeSet<String> {
    let steps = plan.steps.iter().filter(|step| needed_back(registry, &step.op));
    steps.flat_map(|step| step.params.secrets()).map(str::to_owned).collect()
}

fn needed_back(registry: &Registry, op: &str) -> bool {
    registry.get(op).is_some_and(|op| op.secrets_back())
}

fn fingerprint(input: &str, salt: &[u8], value: &SecretString) -> Result<String, SecretError> {
    let failed = |e: argon2::Error| SecretError::Fingerprint { input: input.to_owned(), why: e.to_string() };
    let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(failed)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(value.expose_secret().as_bytes(), salt, out.as_mut())
        .map_err(failed)?;
    Ok(hex(out.as_ref()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: &str, source: &str) -> BTreeMap<String, Given> {
        let given = Given { value: value.into(), source: source.into(), version: None };
        [("db".to_owned(), given)].into()
    }

    #[test]
    fn a_run_goes_on_with_the_same_value_only() {
        let (recorded, secrets) = Secrets::begin([7; 16], given("correct horse", "prompt")).unwrap();
        let of = &recorded.inputs["db"];
        assert_eq!((of.fingerprint.len(), recorded.salt.len()), (64, 32));
        assert_eq!(secrets.get(of).unwrap().expose_secret(), "correct horse");
        let again = Secrets::go_on(&recorded, given("correct horse", "SWITCHBACK_INPUT_DB")).unwrap();
        assert_eq!(again.get(of).unwrap().expose_secret(), "correct horse");
        let other = Secrets::go_on(&recorded, given("battery", "SWITCHBACK_INPUT_DB")).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the secret `db` from SWITCHBACK_INPUT_DB is not the value that the run began with (from prompt)"
        );
        let stranger = RunSecrets { method: "argon9".into(), ..recorded };
        assert!(matches!(Secrets::go_on(&stranger, given("x", "prompt")), Err(SecretError::Method { .. })));
        assert!(Secrets::go_on(&stranger, BTreeMap::new()).is_ok(), "who needs none is not asked");
    }

    #[test]
    fn fingerprints_of_two_runs_differ() {
        let of = |salt| Secrets::begin(salt, given("correct horse", "prompt")).unwrap().0.inputs["db"].clone();
        assert_ne!(of([1; 16]).fingerprint, of([2; 16]).fingerprint);
    }

    #[test]
    fn no_value_is_shown() {
        let (_, secrets) = Secrets::begin([7; 16], given("correct horse", "prompt")).unwrap();
        assert!(!format!("{secrets:?} {:?}", given("correct horse", "prompt")).contains("correct"));
        let said = OpError::permanent("`correct horse` is too long").with_hint("shorten correct horse");
        let hidden = secrets.hide_in(said);
        assert_eq!(hidden.message, "`(secret)` is too long");
        assert_eq!(hidden.hint.as_deref(), Some("shorten (secret)"));
    }
}
