//! Where a render writes: into plain text, or into text that becomes one JSON value.

use ebb_row::{JsonError, Value, parse_json, parse_written_json, write_json, write_json_string};

use crate::error::{Failure, Fault};
use crate::filters::ITEM;
use crate::limits::PRODUCED_BYTES;
use crate::print::{text_of, write_text};

/// The output of a render.
#[derive(Debug, Default)]
pub(crate) struct Printout {
    text: String,
    body: Option<Body>,
}

/// What is known of the JSON written so far.
#[derive(Debug, Default)]
struct Body {
    state: State,
    marks: Vec<Mark>,
}

/// Where the end of the text stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not in a string.
    #[default]
    Outside,
    InString,
    /// In a string, behind a backslash.
    Escape,
}

/// A piece of the output and where in the template it comes from.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: usize,
    offset: usize,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Text of the template: byte for byte as it stands there.
    Literal,
    /// An output.
    Output,
    /// An output that ends in `json` or `raw`, inside a string.
    JsonInString,
}

/// A place in the output to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    length: usize,
    state: State,
    marks: usize,
}

impl Printout {
    /// Collects text behind `text`.
    pub(crate) fn behind(text: String) -> Self {
        Self { text, body: None }
    }

    /// Collects text that must become JSON.
    pub(crate) fn json() -> Self {
        Self { text: String::new(), body: Some(Body::default()) }
    }

    /// Returns the bytes taken: the text, and what is remembered of it.
    pub(crate) fn size(&self) -> usize {
        self.text.len() + self.body.as_ref().map_or(0, |body| body.marks.len() * size_of::<Mark>())
    }

    /// Returns whether a value written now stands where JSON has a value, not inside a string.
    pub(crate) fn is_at_json_value(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.state == State::Outside)
    }

    /// Returns whether a number or word written now would be glued to what stands before it.
    pub(crate) fn ends_in_word(&self) -> bool {
        self.text.ends_with(is_word)
    }

    /// Appends text of the template that begins at `offset` of its source.
    pub(crate) fn literal(&mut self, text: &str, offset: usize) {
        if let Some(body) = &mut self.body {
            body.marks.push(Mark { start: self.text.len(), offset, origin: Origin::Literal });
            body.pass(text);
        }
        self.push(text);
    }

    /// Appends text; what is set aside for it doubles, but never beyond what a render may print.
    fn push(&mut self, text: &str) {
        let free = self.text.capacity() - self.text.len();
        if text.len() > free && self.text.len() > PRODUCED_BYTES / 16 {
            let rest = (PRODUCED_BYTES + 1024).saturating_sub(self.text.len());
            self.text.reserve_exact(rest.max(text.len()));
        }
        self.text.push_str(text);
    }

    /// Appends a value; `is_json` says that it is text which is JSON already.
    pub(crate) fn value(&mut self, value: &Value, offset: usize, is_json: bool) -> Result<(), Fault> {
        let Some(body) = &mut self.body else {
            if let Value::Text(text) = value {
                self.push(text);
                return Ok(());
            }
            return write_text(value, &mut self.text);
        };
        if body.state == State::Escape {
            return Err(Fault::new("an output stands behind a backslash inside a JSON string"));
        }
        let start = self.text.len();
        let is_in_string = body.state == State::InString;
        let origin = if is_json && is_in_string { Origin::JsonInString } else { Origin::Output };
        body.marks.push(Mark { start, offset, origin });
        if is_json {
            let text = text_of(value)?;
            body.pass(&text);
            self.text.push_str(&text);
        } else if is_in_string {
            let mut printed = String::new();
            write_text(value, &mut printed)?;
            for part in parts(&printed) {
                let mut quoted = Vec::new();
                write_json_string(part, &mut quoted);
                let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                self.text.push_str(&String::from_utf8_lossy(inner));
                if self.text.len() > PRODUCED_BYTES {
                    break;
                }
            }
        } else if let Value::Text(text) = value {
            parse_json(text, false).map_err(|_| {
                Fault::new("a text stands where JSON has a value, and it is not JSON")
                    .hint("put quotes around it, or add `| json`")
            })?;
            self.text.push_str(text);
        } else {
            let mut written = Vec::new();
            write_json(value, &mut written).map_err(|error| Fault::new(error.to_string()))?;
            self.text.push_str(&String::from_utf8_lossy(&written));
        }
        Ok(())
    }

    /// Returns where the output ends now.
    pub(crate) fn point(&self) -> Point {
        let (state, marks) = self.body.as_ref().map_or((State::Outside, 0), |body| (body.state, body.marks.len()));
        Point { length: self.text.len(), state, marks }
    }

    /// Returns what was written since `point`.
    pub(crate) fn since(&self, point: Point) -> &str {
        self.text.get(point.length..).unwrap_or_default()
    }

    /// Takes back what was written since `point`.
    pub(crate) fn rewind(&mut self, point: Point) {
        self.text.truncate(point.length);
        if let Some(body) = &mut self.body {
            body.state = point.state;
            body.marks.truncate(point.marks);
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Reads the text as the one JSON value that it must be; a fault is placed in the template.
    pub(crate) fn into_json(self) -> Result<Value, Failure> {
        let values = self.text.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
        if values.saturating_mul(ITEM) > PRODUCED_BYTES {
            return Err(Fault::new("the JSON has too many values").at(0));
        }
        parse_written_json(&self.text).map_err(|error| {
            let marks = self.body.map(|body| body.marks).unwrap_or_default();
            misplaced(&error, &marks)
        })
    }
}

/// Cuts a text into parts of bounded length.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    const LENGTH: usize = 64 * 1024;
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = rest.floor_char_boundary(LENGTH);
        let (part, tail) = rest.split_at(length);
        rest = tail;
        (!part.is_empty()).then_some(part)
    })
}

/// Returns whether a character may be part of a number or word of JSON.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '+' | '.' | '_')
}

impl Body {
    /// Follows `text` in and out of strings.
    fn pass(&mut self, text: &str) {
        for byte in text.bytes() {
            self.state = match (self.state, byte) {
                (State::Outside, b'"') | (State::Escape, _) => State::InString,
                (State::InString, b'"') => State::Outside,
                (State::InString, b'\\') => State::Escape,
                (state, _) => state,
            };
        }
    }
}

/// Places a fault of the result where it comes from.
fn misplaced(error: &JsonError, marks: &[Mark]) -> Failure {
    let (at, message) = match error {
        JsonError::Syntax { offset, expected } => (*offset, format!("the result is not JSON: expected {expected}")),
        JsonError::Repeated { offset } => (*offset, "the result names a field twice".to_owned()),
        JsonError::TooDeep | JsonError::NotFinite | JsonError::Binary => {
            (0, format!("the result is not JSON: {error}"))
        }
    };
    let behind = marks.partition_point(|mark| mark.start <= at);
    let mark = behind.checked_sub(1).and_then(|index| marks.get(index));
    let fault = Fault::new(message);
    let Some(mark) = mark else { return fault.at(0) };
    // A text that broke off is noticed behind it, so what stands before may be the cause.
    let is_cause = |mark: &&Mark| mark.origin == Origin::JsonInString;
    let before = behind.checked_sub(2).and_then(|index| marks.get(index));
    match [Some(mark), before].into_iter().flatten().find(is_cause) {
        Some(cause) => fault
            .hint("`json` writes its own quotes and `raw` escapes nothing: take away the quotes around the output")
            .at(cause.offset),
        None if mark.origin == Origin::Literal => fault.at(mark.offset + (at - mark.start)),
        None => fault.at(mark.offset),
    }
}
