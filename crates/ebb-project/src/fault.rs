use std::fmt;
use std::path::PathBuf;

use crate::mask::MASK;

/// One thing that is wrong in a project, with the place where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to the project's root.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line itself, secrets in it masked; empty where there is none to show (a missing file).
    pub source_line: String,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl Fault {
    /// Makes a fault of a whole file, with no line to show.
    pub(crate) fn of_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        let (file, message) = (file.into(), message.into());
        Self { file, line: 1, column: 1, source_line: String::new(), message, hint: None }
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Prints as compilers do: the message, the place, the line with a mark under it, the hint.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        write!(f, "error: {}", plain(&self.message))?;
        write!(f, "\n{gutter}--> {}:{}:{}", plain(&self.file.to_string_lossy()), self.line, self.column)?;
        if !self.source_line.is_empty() {
            let mark: String = self
                .source_line
                .chars()
                .take(self.column.saturating_sub(1))
                .map(|character| if character == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n{gutter} |\n{} | {}", self.line, plain(&self.source_line))?;
            // Behind a mask, places have moved.
            if self.source_line.find(MASK).is_none_or(|at| at >= mark.len()) {
                write!(f, "\n{gutter} | {mark}^")?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{gutter} = hint: {}", plain(hint))?;
        }
        Ok(())
    }
}

/// Returns text that cannot drive a terminal or turn its own order about.
fn plain(text: &str) -> String {
    let is_harmful = |character: char| {
        (character.is_control() && character != '\t')
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|character| if is_harmful(character) { '\u{fffd}' } else { character }).collect()
}

impl std::error::Error for Fault {}

/// Everything that is wrong, in the order of files and lines; never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Sorts by file, line and column, and drops repetitions.
    pub(crate) fn in_order(mut self) -> Self {
        self.0.sort_by(|left, right| {
            (&left.file, left.line, left.column, &left.message).cmp(&(
                &right.file,
                right.line,
                right.column,
                &right.message,
            ))
        });
        self.0.dedup();
        self
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
