use std::fmt;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use indexmap::IndexMap;

use crate::record::Lookup;

/// An object's fields in the order in which they were written; names are unique.
///
/// The hasher is fast and seeded anew in each process, since names may come from cells.
pub type Object = IndexMap<Arc<str>, Value, foldhash::fast::RandomState>;

/// One cell of a row or one field of a record, with its type and all its digits.
///
/// Integers hold 128 bits, decimals any number of digits. `Float` may hold a NaN or an infinity as it
/// came from a source; such a value cannot be written as JSON (see [`crate::write_json`]).
#[derive(Clone, PartialEq)]
pub enum Value {
    /// SQL NULL, JSON null, Liquid nil.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of up to 128 bits.
    Int(i128),
    /// A binary floating-point number, possibly NaN or infinite.
    Float(f64),
    /// An exact decimal number; trailing zeros are kept.
    Decimal(Box<BigDecimal>),
    /// Text.
    Text(Arc<str>),
    /// Raw bytes; JSON has no form for them until a mapping encodes them.
    Bytes(Arc<[u8]>),
    /// An instant in UTC.
    Instant(DateTime<Utc>),
    /// A date and time that came without a zone; taken as UTC where an instant is needed.
    LocalTime(NaiveDateTime),
    /// A calendar date.
    Date(NaiveDate),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Object),
    /// The destination's own id of another object, known by your id and resolved when it is sent.
    Lookup(Lookup),
}

/// The type of a [`Value`], for messages and checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// See [`Value::Null`].
    Null,
    /// See [`Value::Bool`].
    Boolean,
    /// See [`Value::Int`], [`Value::Float`], [`Value::Decimal`].
    Number,
    /// See [`Value::Text`].
    Text,
    /// See [`Value::Bytes`].
    Binary,
    /// See [`Value::Instant`], [`Value::LocalTime`].
    Timestamp,
    /// See [`Value::Date`].
    Date,
    /// See [`Value::List`].
    List,
    /// See [`Value::Object`].
    Object,
    /// See [`Value::Lookup`].
    Lookup,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::List => "list",
            Self::Object => "object",
            Self::Lookup => "look-up",
        })
    }
}

impl Value {
    /// Returns the type of this value.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Null => ValueKind::Null,
            Self::Bool(_) => ValueKind::Boolean,
            Self::Int(_) | Self::Float(_) | Self::Decimal(_) => ValueKind::Number,
            Self::Text(_) => ValueKind::Text,
            Self::Bytes(_) => ValueKind::Binary,
            Self::Instant(_) | Self::LocalTime(_) => ValueKind::Timestamp,
            Self::Date(_) => ValueKind::Date,
            Self::List(_) => ValueKind::List,
            Self::Object(_) => ValueKind::Object,
            Self::Lookup(_) => ValueKind::Lookup,
        }
    }

    /// Returns whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns text as a value.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Returns the text inside, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the object inside, if this is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Returns the canonical text of a scalar: the text that a key or an id made of it has.
    ///
    /// Integers and decimals are their digits, booleans `true` and `false`, times RFC 3339 in UTC, dates
    /// `YYYY-MM-DD`. `None` for null, binary, lists, objects, look-ups, and floats without a value.
    pub fn canonical_text(&self) -> Option<Arc<str>> {
        Some(match self {
            Self::Text(text) => Arc::clone(text),
            Self::Bool(flag) => if *flag { "true" } else { "false" }.into(),
            Self::Int(number) => itoa::Buffer::new().format(*number).into(),
            Self::Float(number) if number.is_finite() => float_text(*number, &mut ryu::Buffer::new()).into(),
            Self::Decimal(number) => number.to_plain_string().into(),
            Self::Instant(instant) => instant_text(instant).into(),
            Self::LocalTime(time) => instant_text(&time.and_utc()).into(),
            Self::Date(date) => date.to_string().into(),
            Self::Null | Self::Float(_) | Self::Bytes(_) | Self::List(_) | Self::Object(_) | Self::Lookup(_) => {
                return None;
            }
        })
    }
}

/// Shows the type and size only, so that no cell value reaches a log by accident.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "text({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(f, "binary({} bytes)", bytes.len()),
            Self::List(items) => write!(f, "list({} items)", items.len()),
            Self::Object(object) => write!(f, "object({} fields)", object.len()),
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Decimal(_)
            | Self::Instant(_)
            | Self::LocalTime(_)
            | Self::Date(_)
            | Self::Lookup(_) => write!(f, "{}", self.kind()),
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<BigDecimal> for Value {
    fn from(number: BigDecimal) -> Self {
        Self::Decimal(Box::new(number))
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

/// Returns an instant as RFC 3339 in UTC with milliseconds, or as many digits as it needs beyond them.
pub(crate) fn instant_text(instant: &DateTime<Utc>) -> String {
    let nanos = instant.timestamp_subsec_nanos();
    let format = if nanos.is_multiple_of(1_000_000) {
        SecondsFormat::Millis
    } else if nanos.is_multiple_of(1_000) {
        SecondsFormat::Micros
    } else {
        SecondsFormat::Nanos
    };
    instant.to_rfc3339_opts(format, true)
}

/// Returns the shortest text that reads back as the same finite float; whole numbers carry no fraction.
pub(crate) fn float_text(number: f64, buffer: &mut ryu::Buffer) -> &str {
    let text = buffer.format_finite(number);
    text.strip_suffix(".0").unwrap_or(text)
}
