//! Identifiers. Each is a newtype, so that a step id cannot be given where a run id is wanted.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// One execution of a plan. A version-7 UUID: sorts by the time of its creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// Wraps a UUID that the caller made (the engine never makes one behind the caller's back).
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(s: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(s).map(Self).map_err(|_| InvalidId { what: "run id", text: s.to_owned() })
    }
}

/// A text that is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a valid {what}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
}

/// The id of a step in a plan: `vpc`, or `subnet[1a]` for one element of a `for_each`.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(Arc<str>);

impl StepId {
    /// A step id from its text. The planner has checked the text's form.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as written in messages and journals.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as an AWS tag value, which may hold letters, digits and `_.:/=+-@` only:
    /// `subnet[1a]` becomes `subnet/1a`.
    #[must_use]
    pub fn as_tag_value(&self) -> String {
        self.0.chars().filter(|c| *c != ']').map(|c| if c == '[' { '/' } else { c }).collect()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(s: &str) -> Self {
        Self::new(s)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The first one.
            pub const FIRST: Self = Self(1);

            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// How often a step has been gone through: 1 at first; a partial unwind that is followed by
    /// going forward opens the next one.
    Generation, u32
}
counter! {
    /// The place of a record in its run. Order comes from here, never from clocks.
    Seq, u64
}
counter! {
    /// Which executor of a run this is. A new executor takes the next epoch; a process whose
    /// epoch is no longer the newest must not write.
    Epoch, u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_id_fits_an_aws_tag_value() {
        assert_eq!(StepId::new("subnet[1a]").as_tag_value(), "subnet/1a");
        assert_eq!(StepId::new("vpc").as_tag_value(), "vpc");
    }

    #[test]
    fn a_run_id_survives_its_text() {
        let id = RunId::new(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert!("not-an-id".parse::<RunId>().is_err());
    }
}
