//! The seam: what a rehearsal needs of a world, whatever it is made of.
//!
//! A world answers the calls of operations. All of them pass through its [`Tap`], which may let them go, spoil them,
//! or let the process die around them. Databases and streams join by the same trait.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use switchback_engine::cx::Contexts;
use switchback_engine::operation::BoxFuture;
use switchback_engine::provider::Provider;

/// A world as it was: to be loaded again, here or in another world of the same kind.
pub type Saved = Arc<dyn Any + Send + Sync>;

/// A call on its way to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `ec2`.
    pub service: String,
    /// `CreateVpc`.
    pub action: String,
    /// Whether it can change anything.
    pub write: bool,
    /// The step that makes it, as a tag value; none: it is made for the run as a whole.
    pub step: Option<String>,
    /// A digest of what it asks for.
    pub asks: u64,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.action)
    }
}

/// What can go wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Refused because of too many calls, before any effect.
    Throttled,
    /// A 5xx before the effect.
    ErrorBefore,
    /// A 5xx after the effect.
    ErrorAfter,
    /// The effect happens, the connection is cut.
    ReplyLost,
    /// The connection is reset before the effect.
    Reset,
    /// Nothing listens: the connection is refused.
    Refused,
    /// The connection is cut, and the effect comes later, within the quiet period.
    LandsLate,
    /// The answer takes long, within the timeout of a call.
    Slow,
    /// A read answers from the world as it was a while ago, within the quiet period.
    Lags,
    /// What the call makes, changes or deletes keeps its pending state until somebody mends it.
    Stuck,
    /// Not allowed, this once.
    Denied,
    /// Right before the call somebody else changes what it is about.
    Changed,
    /// Right before the call somebody else deletes what it is about.
    Deleted,
    /// The credentials expire with this call.
    Expired,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 14] = [
        Self::Throttled,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::ReplyLost,
        Self::Reset,
        Self::Refused,
        Self::LandsLate,
        Self::Slow,
        Self::Lags,
        Self::Stuck,
        Self::Denied,
        Self::Changed,
        Self::Deleted,
        Self::Expired,
    ];

    /// Its name in a case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::ErrorBefore => "error-before",
            Self::ErrorAfter => "error-after",
            Self::ReplyLost => "reply-lost",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::LandsLate => "lands-late",
            Self::Slow => "slow",
            Self::Lags => "lags",
            Self::Stuck => "stuck",
            Self::Denied => "denied",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }

    /// In words, after "the call ...".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Throttled => "is throttled",
            Self::ErrorBefore => "fails with a 5xx before its effect",
            Self::ErrorAfter => "fails with a 5xx after its effect",
            Self::ReplyLost => "has its effect and its reply is lost",
            Self::Reset => "is cut off before its effect",
            Self::Refused => "meets a refused connection",
            Self::LandsLate => "is cut off and lands later",
            Self::Slow => "is slow",
            Self::Lags => "reads the world as it was a while ago",
            Self::Stuck => "has its effect, and the state that it waits for never arrives",
            Self::Denied => "is denied",
            Self::Changed => "comes after somebody else changed what it is about",
            Self::Deleted => "comes after somebody else deleted what it is about",
            Self::Expired => "meets expired credentials",
        }
    }

    /// Whether it makes sense for such a call: a read has no effect to lose, a write does not lag.
    #[must_use]
    pub const fn fits(self, write: bool) -> bool {
        match self {
            Self::ErrorAfter | Self::ReplyLost | Self::LandsLate | Self::Stuck => write,
            Self::Lags => !write,
            _ => true,
        }
    }

    /// It passes by itself: an engine that is right gets over it without a person, and without giving up.
    #[must_use]
    pub const fn passes(self) -> bool {
        !matches!(self, Self::Stuck | Self::Denied | Self::Changed | Self::Deleted | Self::Expired)
    }

    /// Somebody else takes part: what that one did is not ours to undo.
    #[must_use]
    pub const fn meddles(self) -> bool {
        matches!(self, Self::Changed | Self::Deleted)
    }
}

/// Not the name of a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault `{0}`")]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes its way.
    Go,
    /// This goes wrong with it.
    Fault(Fault),
    /// It is never answered, and has no effect: the process is dead.
    Never,
}

/// How a call ended, as the caller saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status; none: no reply.
    pub status: Option<u16>,
    /// The error code.
    pub code: Option<String>,
}

/// Sees every call on its way in and out. Called when no other call is being answered.
pub trait Tap: Send + Sync {
    /// A call comes. `in_flight` gives the world with this call sent and still to land.
    fn before(&self, call: &Call, in_flight: &dyn Fn() -> Option<Saved>) -> Turn;
    /// The call had its effect, if it had one. `false`: the caller gets no answer, ever.
    fn after(&self, call: &Call, reply: &Reply) -> bool;
}

/// Whose a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The rehearsed run made it: it carries the run's mark, or came along with what does.
    Ours,
    /// Anybody else's.
    Foreign,
}

/// One thing that exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// What it is, without ids that are made up anew: `vpc vpc`.
    pub name: String,
    /// Everything that is worth comparing, as text, without such ids.
    pub text: String,
    /// Whose it is.
    pub owner: Owner,
    /// The step in its mark, as a tag value.
    pub step: Option<String>,
    /// It was deleted and is still shown.
    pub residue: bool,
}

/// Everything that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Sorted.
    pub things: Vec<Arc<Thing>>,
    /// What passes by itself: names of what is pending, of what is being deleted, calls that are still to land.
    pub unsettled: Vec<String>,
    /// Each id that is made up anew, and what it is called.
    pub ids: HashMap<String, String>,
}

/// A world to rehearse in. Each thread has one of its own.
pub trait World: Send + Sync {
    /// What operations find in their context.
    fn contexts(&self) -> Contexts;
    /// The targets; for a run that begins they look at more.
    fn providers(&self, begins: bool) -> Vec<Arc<dyn Provider>>;
    /// From now on this one sees the calls; none: nobody.
    fn tap(&self, tap: Option<Arc<dyn Tap>>);
    /// All of it, as it is now; cheap when nothing has changed. `None` while a call is being answered.
    fn save(&self) -> Option<Saved>;
    /// Makes everything as it was then. Faults end.
    fn load<'a>(&'a self, saved: &'a Saved) -> BoxFuture<'a, ()>;
    /// Everything that exists now; cheap when nothing has changed. `None` while a call is being answered.
    fn look(&self) -> Option<Arc<Look>>;
    /// Whether it knows this fault for this call.
    fn knows(&self, fault: Fault, call: &Call) -> bool;
    /// A person mends what can be mended: credentials, permissions, states that hang.
    fn mend(&self);
}

/// The words of a text, of letters, digits and dashes, each with its place in bytes.
pub fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
        let rest = text.as_bytes().get(from..)?;
        let begin = from + rest.iter().position(is_word)?;
        let rest = text.as_bytes().get(begin..)?;
        let end = begin + rest.iter().position(|b| !is_word(b)).unwrap_or(rest.len());
        from = end;
        Some((begin, text.get(begin..end)?))
    })
}

/// Writes `text` with the ids in it replaced by what they are called. An id is a word of letters, digits and dashes.
pub fn rename(text: &str, ids: &HashMap<String, String>, out: &mut String) {
    let mut from = 0;
    for (at, word) in tokens(text) {
        if let Some(name) = ids.get(word) {
            out.push_str(text.get(from..at).unwrap_or_default());
            out.push_str(name);
            from = at + word.len();
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_replaced_as_words() {
        let ids = [("vpc-1".to_owned(), "<net>".to_owned())].into();
        let mut out = String::new();
        rename(r#"{"a":"vpc-1","b":"vpc-12 é arn:x/vpc-1"}"#, &ids, &mut out);
        assert_eq!(out, r#"{"a":"<net>","b":"vpc-12 é arn:x/<net>"}"#);
    }

    #[test]
    fn faults_are_read_as_they_are_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
            assert!(fault.fits(true) || fault.fits(false));
        }
        assert!("nothing".parse::<Fault>().is_err());
    }
}
