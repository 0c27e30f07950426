//! JSON bodies in Jinja: each output is sent through a filter that writes it by its place.

use ebb_row::Value;
use minijinja::value::Value as JinjaValue;

use super::scan::{self, Print};
use super::values::from_jinja;
use crate::error::{Failure, Fault};
use crate::printout::Printout;

/// The filter that marks an output, with the output's number.
pub(super) const FILTER: &str = "__ebb_body";

/// What parts the output of a body. It begins unlike it ends, so no text before or behind makes one of a part of it.
const MARK: &str = "\u{0}ebb body\u{1}";

/// An output of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Output {
    offset: usize,
    end: usize,
    /// Its last filter is applied to all of it and writes JSON, or says that it is JSON.
    is_json: bool,
}

/// Returns the source with each output passed through [`FILTER`], and the outputs by their number.
pub(super) fn mark_outputs(source: &str) -> Result<(String, Vec<Output>), Failure> {
    if let Some(at) = source.find('\u{0}') {
        return Err(Fault::new("a template that writes JSON holds no U+0000").at(at));
    }
    let mut marked = String::with_capacity(source.len() * 2);
    let mut outputs = Vec::new();
    let mut copied = 0;
    for Print { start, end, is_block } in scan::prints(source) {
        marked.push_str(source.get(copied..start).unwrap_or_default());
        let whole = source.get(start..end).unwrap_or_default();
        let number = outputs.len();
        let (text, is_json) = if is_block { (passed_block(whole, number), false) } else { passed(whole, number) };
        marked.push_str(&text);
        outputs.push(Output { offset: start, end, is_json });
        copied = end;
    }
    marked.push_str(source.get(copied..).unwrap_or_default());
    Ok((marked, outputs))
}

/// Passes a `{{ … }}` through [`FILTER`], and returns whether it writes JSON by itself.
fn passed(output: &str, number: usize) -> (String, bool) {
    let inner = output.get(2..output.len().saturating_sub(2)).unwrap_or_default();
    let (before, behind) = signs(output);
    let inner = inner.strip_prefix(before).unwrap_or(inner);
    let inner = inner.strip_suffix(behind).unwrap_or(inner);
    let last = scan::covering_filter(inner);
    let is_json = last.is_some_and(|name| ["json", "jsonify", "raw", "tojson", "safe"].contains(&name));
    (format!("{{{{{before}({inner})|{FILTER}({number}){behind}}}}}"), is_json)
}

/// Passes what a `call` or `filter` block prints through [`FILTER`]: the marks are no text that another filter may see.
fn passed_block(block: &str, number: usize) -> String {
    let (before, behind) = signs(block);
    format!("{{%{before} filter {FILTER}({number}) %}}{block}{{% endfilter {behind}%}}")
}

/// Returns the signs that trim what stands before and behind a tag.
fn signs(tag: &str) -> (&str, &str) {
    let sign = |at: usize| tag.get(at..at + 1).filter(|sign| matches!(*sign, "-" | "+")).unwrap_or_default();
    (sign(2), sign(tag.len().saturating_sub(3)))
}

/// Writes an output between marks: its number, whether it is text, and its text or JSON.
pub(super) fn mark(input: &JinjaValue, number: usize) -> Result<String, Fault> {
    let value = from_jinja(input)?;
    if let Value::Text(text) = &value {
        if text.contains(MARK) {
            return Err(Fault::new("an output holds the characters that part the outputs of a body"));
        }
        return Ok(format!("{MARK}{number}t{MARK}{text}{MARK}"));
    }
    // JSON escapes the characters that the mark begins and ends with.
    let mut out = format!("{MARK}{number}v{MARK}").into_bytes();
    ebb_row::write_json(&value, &mut out).map_err(|error| Fault::new(error.to_string()))?;
    out.extend_from_slice(MARK.as_bytes());
    String::from_utf8(out).map_err(|_| Fault::new("the output is not UTF-8"))
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
