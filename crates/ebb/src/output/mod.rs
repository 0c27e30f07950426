//! What people and machines are shown: stdout for results, stderr for progress and errors.

pub(crate) mod call;
pub(crate) mod due;
pub(crate) mod escape;
pub(crate) mod history;
pub(crate) mod number;
pub(crate) mod paint;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod table;
pub(crate) mod value;

use std::fmt::{self, Display};
use std::io::{self, BufWriter, ErrorKind, Stderr, Stdout, Write, stderr, stdout};

use ebb_project::Faults;
use serde::Serialize;

use crate::exit::Failure;
use paint::Paint;

/// The form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines: one document, or JSON lines for streams.
    Json,
    /// For a pull request's comment; of `plan` only.
    Markdown,
}

/// Stdout. A reader that goes away (`| head`) is no failure: what follows is not written.
#[derive(Debug)]
pub(crate) struct Out {
    writer: BufWriter<Stdout>,
    /// Colours of text.
    pub(crate) paint: Paint,
    is_closed: bool,
    failure: Option<io::Error>,
}

impl Out {
    /// Opens stdout.
    pub(crate) fn new(paint: Paint) -> Self {
        Self { writer: BufWriter::new(stdout()), paint, is_closed: false, failure: None }
    }

    /// Returns whether nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes a line of text whose parts are escaped already.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.put(format_args!("{text}\n"));
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: &str) {
        self.put(format_args!("{text}"));
    }

    /// Writes one JSON value on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(escape::json(&text)),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    /// Writes a JSON value without a line's end: a part of a document.
    pub(crate) fn json_part(&mut self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.text(&escape::json(&text)),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    /// Writes one JSON document for people who look at it too.
    pub(crate) fn json_document(&mut self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(escape::json(&text)),
            Err(error) => self.keep(io::Error::other(error)),
        }
    }

    /// Makes what was written visible now.
    pub(crate) fn flush(&mut self) {
        if !self.is_closed
            && let Err(error) = self.writer.flush()
        {
            self.keep(error);
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// What kept stdout from being written, a reader that went away excepted.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush();
        match self.failure.take() {
            Some(error) => Err(Failure::file("stdout", error)),
            None => Ok(()),
        }
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        if !self.is_closed
            && let Err(error) = self.writer.write_fmt(text)
        {
            self.keep(error);
        }
    }

    fn keep(&mut self, error: io::Error) {
        self.is_closed = true;
        if error.kind() != ErrorKind::BrokenPipe {
            self.failure = Some(error);
        }
    }
}

/// Stderr, for what is said beside the result. That it cannot be written is nothing that could be said.
#[derive(Debug)]
pub(crate) struct Notes {
    writer: Stderr,
    /// Colours of text.
    pub(crate) paint: Paint,
    is_quiet: bool,
}

impl Notes {
    /// Opens stderr.
    pub(crate) fn new(paint: Paint, is_quiet: bool) -> Self {
        Self { writer: stderr(), paint, is_quiet }
    }

    /// Says something, unless people asked for quiet.
    pub(crate) fn say(&mut self, text: impl Display) {
        if !self.is_quiet {
            self.put(format_args!("{text}\n"));
        }
    }

    /// Asks something, on a line that stays open for the answer.
    pub(crate) fn ask(&mut self, text: impl Display) {
        self.put(format_args!("{text}"));
    }

    /// Says why a command could not be done.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        match failure {
            Failure::Faults(faults) => {
                let text = faults_text(faults, self.paint);
                self.put(format_args!("{text}\n"));
            }
            Failure::Message { message, hint, .. } => {
                let label = self.paint.error("error");
                self.put(format_args!("{label}: {}\n", escape::terminal_lines(message)));
                if let Some(hint) = hint {
                    let label = self.paint.note("hint");
                    self.put(format_args!("{label}: {}\n", escape::terminal_lines(hint)));
                }
            }
            Failure::Stopped => {}
        }
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        drop(self.writer.write_fmt(text));
    }
}

/// Returns the faults of a project as compilers print theirs.
pub(crate) fn faults_text(faults: &Faults, paint: Paint) -> String {
    let mut out = String::new();
    for fault in &faults.0 {
        for line in fault.to_string().lines() {
            let line = escape::terminal(line);
            let shown = if let Some(message) = line.strip_prefix("error: ") {
                format!("{}: {}", paint.error("error"), paint.strong(message))
            } else if let Some((gutter, place)) = line.split_once("--> ") {
                format!("{gutter}{} {place}", paint.dim("-->"))
            } else if let Some((gutter, hint)) = line.split_once("= hint: ") {
                format!("{gutter}= {}: {hint}", paint.note("hint"))
            } else if line.trim_start().starts_with('|') && line.ends_with('^') {
                paint.error(&line).to_string()
            } else {
                line.into_owned()
            };
            out.push_str(&shown);
            out.push('\n');
        }
        out.push('\n');
    }
    let count = faults.0.len();
    out.push_str(&number::counted(count.try_into().unwrap_or(u64::MAX), "fault"));
    out
}
