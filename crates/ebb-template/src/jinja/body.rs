//! JSON bodies in Jinja: each output is sent through a filter that writes it by its place.

use std::fmt::Write;

use ebb_row::Value;
use minijinja::value::Value as JinjaValue;

use super::scan;
use super::values::from_jinja;
use crate::error::{Failure, Fault};
use crate::printout::Printout;

/// The filter that marks an output, with the output's number.
pub(super) const FILTER: &str = "__ebb_body";

/// What parts the output of a body; it stands in no text that people write.
const MARK: &str = "\u{0}\u{1}ebb\u{1}\u{0}";

/// An output of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    offset: usize,
    end: usize,
    /// Its last filter writes JSON, or says that it is JSON.
    is_json: bool,
}

/// Returns the source with each output passed through [`FILTER`], and the outputs by their number.
pub(super) fn mark_outputs(source: &str) -> (String, Vec<Output>) {
    let mut marked = String::with_capacity(source.len() * 2);
    let mut outputs = Vec::new();
    let mut copied = 0;
    for (offset, end) in scan::outputs(source) {
        let inner = source.get(offset + 2..end - 2).unwrap_or_default();
        let opening = inner
            .strip_prefix(['-', '+'])
            .map_or("{{".to_owned(), |_| format!("{{{{{}", inner.get(..1).unwrap_or_default()));
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
        let trims = inner.chars().next_back().filter(|sign| matches!(sign, '-' | '+'));
        let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
        let last = scan::last_filter(inner);
        let is_json = last.is_some_and(|name| ["json", "jsonify", "raw", "tojson", "safe"].contains(&name));
        marked.push_str(source.get(copied..offset).unwrap_or_default());
        let number = outputs.len();
        let trims = trims.map(String::from).unwrap_or_default();
        let written = write!(marked, "{opening}({inner})|{FILTER}({number}){trims}}}}}");
        debug_assert!(written.is_ok(), "a string takes any text");
        outputs.push(Output { offset, end, is_json });
        copied = end;
    }
    marked.push_str(source.get(copied..).unwrap_or_default());
    (marked, outputs)
}

/// Writes an output between marks: its number, whether it is text, and its text or JSON.
pub(super) fn mark(input: &JinjaValue, number: usize) -> Result<String, Fault> {
    let value = from_jinja(input)?;
    let (kind, text) = if let Value::Text(text) = &value {
        ("t", text.to_string())
    } else {
        let mut out = Vec::new();
        ebb_row::write_json(&value, &mut out).map_err(|error| Fault::new(error.to_string()))?;
        ("v", String::from_utf8_lossy(&out).into_owned())
    };
    Ok(format!("{MARK}{number}{kind}{MARK}{text}{MARK}"))
}

/// Makes the value of a rendered body.
pub(super) fn value(rendered: &str, outputs: &[Output]) -> Result<Value, Failure> {
    let mut out = Printout::json();
    let mut parts = rendered.split(MARK);
    let mut literal_at = 0;
    out.literal(parts.next().unwrap_or_default(), literal_at);
    while let (Some(head), Some(written)) = (parts.next(), parts.next()) {
        let is_text = head.ends_with('t');
        let number = head.get(..head.len() - 1).and_then(|number| number.parse::<usize>().ok());
        let Some(output) = number.and_then(|number| outputs.get(number)) else {
            return Err(Fault::new("the output is broken by a mark of its own").at(0));
        };
        let at = |fault: Fault| fault.at(output.offset);
        if is_text {
            out.value(&Value::from(written), output.offset, output.is_json).map_err(at)?;
        } else {
            let value = ebb_row::parse_json(written, false).map_err(|error| at(Fault::new(error.to_string())))?;
            out.value(&value, output.offset, false).map_err(at)?;
        }
        literal_at = output.end;
        out.literal(parts.next().unwrap_or_default(), literal_at);
    }
    out.into_json()
}
