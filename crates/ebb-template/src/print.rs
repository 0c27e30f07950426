//! How Liquid prints a value.

use std::borrow::Cow;
use std::fmt::Write;

use ebb_row::Value;

use crate::error::Fault;
use crate::limits::PRODUCED_BYTES;
use crate::number::write_float;

/// Appends `value` as Liquid prints it; of a list or object at most what one render may produce.
pub(crate) fn write_text(value: &Value, out: &mut String) -> Result<(), Fault> {
    if let Value::Text(text) = value {
        out.push_str(text);
        return Ok(());
    }
    Printer::new(out).print(value)
}

/// Returns a value as Liquid prints it; text itself is borrowed.
pub(crate) fn printed(value: &Value) -> Result<Cow<'_, str>, Fault> {
    if let Value::Text(text) = value {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::new();
    write_text(value, &mut out)?;
    Ok(Cow::Owned(out))
}

/// Appends to a text, but no more than one render may produce.
struct Printer<'o> {
    out: &'o mut String,
    /// How long the text may get.
    most: usize,
}

impl<'o> Printer<'o> {
    fn new(out: &'o mut String) -> Self {
        let most = out.len().saturating_add(PRODUCED_BYTES);
        Self { out, most }
    }

    fn push(&mut self, text: &str) -> Result<(), Fault> {
        let needed = self.out.len().saturating_add(text.len());
        if needed > self.most {
            return Err(Fault::new("the template produces more than 1 MiB"));
        }
        if needed > self.out.capacity() {
            // Doubling would go beyond what a render may hold.
            let room = self.out.capacity().saturating_mul(2).min(self.most).max(needed);
            self.out.reserve_exact(room - self.out.len());
        }
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => {}
            Value::Bool(flag) => self.push(if *flag { "true" } else { "false" })?,
            Value::Text(text) => self.push(text)?,
            Value::Float(number) => write_float(*number, self.out),
            Value::Int(number) => write_display(number, self.out),
            Value::Decimal(number) => self.push(&number.to_plain_string())?,
            Value::Instant(_) | Value::LocalTime(_) | Value::Date(_) => {
                self.push(&value.canonical_text().unwrap_or_default())?;
            }
            Value::Bytes(_) => {
                return Err(Fault::new("binary has no text form").hint("encode it, for instance with `base64_encode`"));
            }
            Value::Lookup(_) => return Err(Fault::new("a look-up has no text form")),
            Value::List(items) => {
                for item in items {
                    self.print(item)?;
                }
            }
            Value::Object(_) => self.inspect(value)?,
        }
        Ok(())
    }

    /// Appends a value as Ruby inspects it, which is how Liquid prints objects.
    fn inspect(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => self.push("nil")?,
            Value::Text(text) => self.quote(text)?,
            Value::Instant(_) | Value::LocalTime(_) | Value::Date(_) => {
                self.quote(&value.canonical_text().unwrap_or_default())?;
            }
            Value::List(items) => {
                self.push("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.push(", ")?;
                    }
                    self.inspect(item)?;
                }
                self.push("]")?;
            }
            Value::Object(object) => {
                self.push("{")?;
                for (index, (name, field)) in object.iter().enumerate() {
                    if index > 0 {
                        self.push(", ")?;
                    }
                    self.quote(name)?;
                    self.push("=>")?;
                    self.inspect(field)?;
                }
                self.push("}")?;
            }
            Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Bytes(_)
            | Value::Lookup(_) => self.print(value)?,
        }
        Ok(())
    }

    fn quote(&mut self, text: &str) -> Result<(), Fault> {
        self.push("\"")?;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' => self.push("\\\"")?,
                '\\' => self.push("\\\\")?,
                '\n' => self.push("\\n")?,
                '\r' => self.push("\\r")?,
                '\t' => self.push("\\t")?,
                '\u{7}' => self.push("\\a")?,
                '\u{8}' => self.push("\\b")?,
                '\u{b}' => self.push("\\v")?,
                '\u{c}' => self.push("\\f")?,
                '\u{1b}' => self.push("\\e")?,
                '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' => {
                    self.push(&format!("\\u{:04X}", u32::from(character)))?;
                }
                '#' if characters.peek().is_some_and(|next| ['{', '$', '@'].contains(next)) => self.push("\\#")?,
                _ => self.push(character.encode_utf8(&mut [0; 4]))?,
            }
        }
        self.push("\"")
    }
}

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "a string takes any text");
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
        Printer::new(&mut out).inspect(value)?;
    } else {
        write_text(value, &mut out)?;
    }
    Ok(Cow::Owned(out))
}
