//! Colours of a terminal.

use std::borrow::Cow;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Returns whether to colour what goes to a stream.
    pub(crate) fn is_on(self, is_terminal: bool) -> bool {
        match self {
            Self::Auto => is_terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Paints text that was escaped before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Returns a brush.
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on }
    }

    fn with<'a>(self, code: &str, text: &'a str) -> Cow<'a, str> {
        if self.is_on { Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")) } else { Cow::Borrowed(text) }
    }

    /// Added, done.
    pub(crate) fn good(self, text: &str) -> Cow<'_, str> {
        self.with("32", text)
    }

    /// Changed, worth a look.
    pub(crate) fn change(self, text: &str) -> Cow<'_, str> {
        self.with("33", text)
    }

    /// Removed, refused.
    pub(crate) fn bad(self, text: &str) -> Cow<'_, str> {
        self.with("31", text)
    }

    /// The word `error`.
    pub(crate) fn error(self, text: &str) -> Cow<'_, str> {
        self.with("1;31", text)
    }

    /// The words `hint`, `note`.
    pub(crate) fn note(self, text: &str) -> Cow<'_, str> {
        self.with("36", text)
    }

    /// Names and headings.
    pub(crate) fn strong(self, text: &str) -> Cow<'_, str> {
        self.with("1", text)
    }

    /// What matters less.
    pub(crate) fn dim(self, text: &str) -> Cow<'_, str> {
        self.with("2", text)
    }
}
