//! How Liquid prints a value.

use std::borrow::Cow;
use std::fmt::Write;

use ebb_row::Value;

use crate::error::Fault;
use crate::number::write_float;

/// Appends `value` as Liquid prints it.
pub(crate) fn write_text(value: &Value, out: &mut String) -> Result<(), Fault> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Text(text) => out.push_str(text),
        Value::Float(number) => write_float(*number, out),
        Value::Int(number) => write_display(number, out),
        Value::Decimal(number) => out.push_str(&number.to_plain_string()),
        Value::Instant(_) | Value::LocalTime(_) | Value::Date(_) => {
            out.push_str(&value.canonical_text().unwrap_or_default());
        }
        Value::Bytes(_) => {
            return Err(Fault::new("binary has no text form").hint("encode it, for instance with `base64_encode`"));
        }
        Value::Lookup(_) => return Err(Fault::new("a look-up has no text form")),
        Value::List(items) => {
            for item in items {
                write_text(item, out)?;
            }
        }
        Value::Object(_) => write_inspected(value, out)?,
    }
    Ok(())
}

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "a string takes any text");
}

/// Appends a value as Ruby inspects it, which is how Liquid prints objects.
fn write_inspected(value: &Value, out: &mut String) -> Result<(), Fault> {
    match value {
        Value::Null => out.push_str("nil"),
        Value::Text(text) => write_quoted(text, out),
        Value::Instant(_) | Value::LocalTime(_) | Value::Date(_) => {
            write_quoted(&value.canonical_text().unwrap_or_default(), out);
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_inspected(item, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (index, (name, field)) in object.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_quoted(name, out);
                out.push_str("=>");
                write_inspected(field, out)?;
            }
            out.push('}');
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Bytes(_) | Value::Lookup(_) => {
            write_text(value, out)?;
        }
    }
    Ok(())
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push(character),
            '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                write_display(format_args!("\\u{:04X}", u32::from(character)), out);
            }
            '#' if characters.peek().is_some_and(|next| ['{', '$', '@'].contains(next)) => out.push_str("\\#"),
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Returns a value as filters on text see it; text itself is borrowed.
///
/// It is what the value prints as, but for a list: printed, its items follow one another; as a text it is `["a", 1]`.
pub(crate) fn text_of(value: &Value) -> Result<Cow<'_, str>, Fault> {
    if let Value::Text(text) = value {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::new();
    if let Value::List(_) = value {
        write_inspected(value, &mut out)?;
    } else {
        write_text(value, &mut out)?;
    }
    Ok(Cow::Owned(out))
}
