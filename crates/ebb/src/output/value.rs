//! Values of records for people.

use ebb_row::{Object, Value, parse_json, write_json};

use super::escape;
use super::number::grouped;

/// The characters of a value that are shown before it is cut.
pub(crate) const SHOWN_CHARACTERS: usize = 60;

/// Returns a value as JSON on one line, escaped for a terminal, cut after some characters.
pub(crate) fn shown(value: &Value, most: usize) -> String {
    escape::terminal(&cut(&json_text(value), most)).into_owned()
}

/// Returns a value as JSON; what has no JSON form as its type.
pub(crate) fn json_text(value: &Value) -> String {
    let mut out = Vec::new();
    match write_json(value, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => match value.canonical_text() {
            Some(text) => text.to_string(),
            None => format!("({})", value.kind()),
        },
    }
}

/// Returns text cut after some characters, saying how long it is.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let Some((at, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let (head, _) = text.split_at(at);
    let all = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    format!("{head}… ({} characters)", grouped(all))
}

/// Returns the fields of a kept record; none where it cannot be read.
pub(crate) fn fields(record: Option<&str>) -> Object {
    let parsed = record.and_then(|text| parse_json(text, true).ok());
    parsed.and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_hostile_values_are_cut_and_escaped() {
        assert_eq!(shown(&Value::from("pro"), 60), "\"pro\"");
        assert_eq!(shown(&Value::from("a\u{1b}[31m\u{202e}"), 60), "\"a\\u001b[31m<U+202E>\"");
        assert_eq!(shown(&Value::from("x".repeat(2_000)), 5), "\"xxxx… (2,002 characters)");
        assert_eq!(shown(&Value::Int(9_007_199_254_740_993), 60), "9007199254740993");
        assert_eq!(shown(&Value::Float(f64::NAN), 60), "(number)");
    }
}
