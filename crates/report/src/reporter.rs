//! What every reporter is: somebody who is told the events of a run, one after the other.

use std::io;

use switchback_model::event::Event;

use crate::style::Paint;

/// Who is told what happens.
pub trait Reporter: Send {
    /// An event.
    ///
    /// # Errors
    /// When it cannot be written (a closed pipe). The run then stops at the next step boundary.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Runs `ask` while nothing moves on the screen.
    fn suspend(&mut self, ask: &mut dyn FnMut()) {
        ask();
    }

    /// Nothing more will come: clears what moves, writes what is held back.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Failures and the end only.
    Quiet,
    /// What was made and undone, failures, long waits.
    #[default]
    Normal,
    /// Every change of a step's state.
    Verbose,
    /// Every record, calls included.
    Everything,
}

/// What every reporter must be told by whoever makes it.
#[derive(Debug, Clone)]
pub struct Context {
    /// Colours or not.
    pub paint: Paint,
    /// How much is said.
    pub verbosity: Verbosity,
    /// How a command begins in a hint: `switchback`, with the global options that it needs.
    pub program: String,
    /// The width of the column with step ids.
    pub step_width: usize,
}

impl Default for Context {
    fn default() -> Self {
        Self { paint: Paint::OFF, verbosity: Verbosity::Normal, program: "switchback".to_owned(), step_width: 12 }
    }
}

impl Context {
    /// With the step column as wide as the widest of `ids`, within reason.
    #[must_use]
    pub fn fit<'a>(mut self, ids: impl Iterator<Item = &'a str>) -> Self {
        self.step_width = ids.map(|id| id.chars().count()).max().unwrap_or(0).clamp(8, 40);
        self
    }
}
