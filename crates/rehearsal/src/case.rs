//! The name of a case: how it came about, from a state of the uninterrupted run on.
//!
//! ```text
//! b12+!5:reply-lost@9-      from base state 12 a process goes forward; the reply to its call 5 is lost; it dies after
//!                           its event 9; another process goes back
//! ```
//!
//! A base state is the start, or one between two steps of an uninterrupted run; `o3` begins the run in the third of
//! the other orders of its independent steps. Events are the commits and calls of one process, counted together from
//! 1. The same plan, release and seed give the same numbers.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::world::Fault;

/// Where a case begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// A state of the uninterrupted run, by its number.
    State(usize),
    /// The start, with independent steps in another order.
    Order(usize),
}

/// What a process is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// A new run, one step at a time.
    Apply,
    /// A new run, as many steps at a time as the plan says.
    ApplyWide,
    /// Forward.
    Resume,
    /// Back to the start.
    Unwind,
    /// Back to the start, as many steps at a time as the plan says.
    UnwindWide,
    /// Back to the step with that index in the plan.
    UnwindTo(usize),
}

/// What happens to a process at one of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blow {
    /// It dies after the event.
    Dies,
    /// It dies while the call is on its way; the call lands later.
    DiesInFlight,
    /// This goes wrong with the call.
    Fault(Fault),
}

/// One move of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Move {
    /// A process is started.
    Run(Command),
    /// This happens to it, at the event of that number.
    Blow(usize, Blow),
    /// A person mends what can be mended, and answers what only a person can.
    Person,
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// Where it begins.
    pub base: Base,
    /// What happens then.
    pub moves: Vec<Move>,
}

impl Case {
    /// Nothing has happened yet.
    #[must_use]
    pub fn from(base: Base) -> Self {
        Self { base, moves: Vec::new() }
    }

    /// One move more.
    #[must_use]
    pub fn then(&self, next: Move) -> Self {
        let moves = self.moves.iter().copied().chain([next]).collect();
        Self { base: self.base, moves }
    }

    /// How many processes died.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.moves.iter().filter(|m| matches!(m, Move::Blow(_, Blow::Dies | Blow::DiesInFlight))).count()
    }

    /// The fault in it, if there is one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.moves.iter().find_map(|m| match m {
            Move::Blow(_, Blow::Fault(fault)) => Some(*fault),
            _ => None,
        })
    }

    /// What is smaller is shown first.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let events = self.moves.iter().map(|m| if let Move::Blow(at, _) = m { *at } else { 0 }).sum();
        (self.moves.len(), events)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            Base::State(n) => write!(f, "b{n}")?,
            Base::Order(n) => write!(f, "o{n}")?,
        }
        for m in &self.moves {
            match m {
                Move::Run(Command::Apply) => f.write_str("a")?,
                Move::Run(Command::ApplyWide) => f.write_str("A")?,
                Move::Run(Command::Resume) => f.write_str("+")?,
                Move::Run(Command::Unwind) => f.write_str("-")?,
                Move::Run(Command::UnwindWide) => f.write_str("=")?,
                Move::Run(Command::UnwindTo(step)) => write!(f, "-{step}.")?,
                Move::Blow(at, Blow::Dies) => write!(f, "@{at}")?,
                Move::Blow(at, Blow::DiesInFlight) => write!(f, "~{at}")?,
                Move::Blow(at, Blow::Fault(fault)) => write!(f, "!{at}:{},", fault.name())?,
                Move::Person => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

/// Not the name of a case.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not the name of a case: they look like `b12+!5:reply-lost,@9-`")]
pub struct InvalidCase(String);

impl FromStr for Case {
    type Err = InvalidCase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidCase(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Case> {
    let (base, rest) = (text.get(..1)?, text.get(1..)?);
    let (number, mut rest) = number(rest)?;
    let base = match base {
        "b" => Base::State(number),
        "o" => Base::Order(number),
        _ => return None,
    };
    let mut case = Case::from(base);
    while let Some(what) = rest.chars().next() {
        rest = rest.get(what.len_utf8()..)?;
        let next = match what {
            'a' => Move::Run(Command::Apply),
            'A' => Move::Run(Command::ApplyWide),
            '+' => Move::Run(Command::Resume),
            '=' => Move::Run(Command::UnwindWide),
            '*' => Move::Person,
            '-' => match number_and(rest, '.') {
                Some((step, after)) => {
                    rest = after;
                    Move::Run(Command::UnwindTo(step))
                }
                None => Move::Run(Command::Unwind),
            },
            '@' | '~' => {
                let (at, after) = self::number(rest)?;
                rest = after;
                Move::Blow(at, if what == '@' { Blow::Dies } else { Blow::DiesInFlight })
            }
            '!' => {
                let (at, after) = number_and(rest, ':')?;
                let (name, after) = after.split_once(',')?;
                rest = after;
                Move::Blow(at, Blow::Fault(name.parse().ok()?))
            }
            _ => return None,
        };
        case = case.then(next);
    }
    Some(case)
}

fn number(text: &str) -> Option<(usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text.get(..digits)?.parse().ok()?, text.get(digits..)?))
}

fn number_and(text: &str, end: char) -> Option<(usize, &str)> {
    let (n, rest) = number(text)?;
    Some((n, rest.strip_prefix(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        for text in ["b0a", "b12+!5:reply-lost,@9-", "o3A@17-*-", "b4-12.~3-", "b7=@2-", "b1+!3:denied,*+"] {
            let case: Case = text.parse().unwrap();
            assert_eq!(case.to_string(), text);
        }
        for wrong in ["", "b", "12+", "b1x", "b1@", "b1!5:nothing,", "b1!5:denied", "é1"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_case_knows_what_is_in_it() {
        let case: Case = "b12+!5:reply-lost,@9-@3-".parse().unwrap();
        assert_eq!((case.crashes(), case.fault()), (2, Some(Fault::ReplyLost)));
        assert!(case.size() > "b12+@9-".parse::<Case>().unwrap().size());
    }
}
