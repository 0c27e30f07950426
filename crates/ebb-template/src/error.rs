use std::borrow::Cow;

/// What is wrong with a template, or with rendering it for one row.
///
/// The message names filters, columns and types, never a cell's value. `Display` is
/// `message (line L, column C)`; the hint is apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line}, column {column})")]
pub struct TemplateError {
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// The line where the innermost tag or output at fault begins, from 1.
    pub line: usize,
    /// The column there, in characters, from 1.
    pub column: usize,
    /// The next step, where it is known.
    pub hint: Option<String>,
}

const JINJA: &str = "this looks like Jinja: set `language: jinja`";

/// A fault that does not know its place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: Cow<'static, str>,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A fault of text that means something in Jinja and nothing in Liquid.
    pub(crate) fn jinja(message: &str) -> Self {
        Self::new(format!("{message}; {JINJA}"))
    }

    /// Returns whether the template seems to be Jinja.
    pub(crate) fn is_jinja(&self) -> bool {
        self.message.ends_with(JINJA)
    }

    /// Places the fault at a byte offset.
    pub(crate) fn at(self, offset: usize) -> Failure {
        Failure { fault: self, offset }
    }
}

/// A fault and the byte offset of the tag or output at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) offset: usize,
}

impl Failure {
    /// Turns the offset into a line and a column of `source`.
    pub(crate) fn place(self, source: &str) -> TemplateError {
        let before = source.get(..self.offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        TemplateError {
            message: self.fault.message.into_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            hint: self.fault.hint,
        }
    }
}

/// Returns the candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns a hint that names the nearest candidate.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|name| format!("did you mean `{name}`?"))
}
