//! Colours. They only repeat what the words say: everything is readable without them.

use owo_colors::{OwoColorize, Style};

/// What a piece of text means; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// It is as it should be.
    Good,
    /// Something happened.
    Plain,
    /// Of interest only to those who look closely.
    Quiet,
    /// Look at this.
    Warn,
    /// It failed.
    Bad,
    /// A heading.
    Strong,
}

/// Whether text gets colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paint {
    /// ANSI colours are wanted.
    pub color: bool,
}

impl Paint {
    /// With colours.
    pub const ON: Self = Self { color: true };
    /// Without colours.
    pub const OFF: Self = Self { color: false };

    /// `text` in the colour of `tone`.
    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        if !self.color || text.is_empty() || tone == Tone::Plain {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Quiet => Style::new().dimmed(),
            Tone::Warn => Style::new().yellow(),
            Tone::Bad => Style::new().red(),
            Tone::Strong | Tone::Plain => Style::new().bold(),
        };
        text.style(style).to_string()
    }

    /// A heading.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.tone(Tone::Strong, text)
    }

    /// What is of little interest.
    #[must_use]
    pub fn quiet(self, text: &str) -> String {
        self.tone(Tone::Quiet, text)
    }
}
