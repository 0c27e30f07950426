//! The `type:` of a directive: reads a value as another type.

use std::str::FromStr;

use bigdecimal::{BigDecimal, ToPrimitive};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use ebb_row::{Value, parse_json, write_json};

use crate::coerce::{BINARY, NOT_FINITE};

/// The largest power of ten in a number's text: it keeps `1e999999999` from becoming a gigabyte of zeros.
const MAX_EXPONENT: u64 = 10_000;

/// What a value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    Text,
    Integer,
    Number,
    Boolean,
    Timestamp,
    Date,
    Json,
    JsonText,
    List,
}

impl ValueType {
    pub(crate) const ALL: [Self; 9] = [
        Self::Text,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Timestamp,
        Self::Date,
        Self::Json,
        Self::JsonText,
        Self::List,
    ];

    /// Returns the word used in YAML and messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
            Self::JsonText => "json_text",
            Self::List => "list",
        }
    }

    /// Reads what [`ValueType::word`] returns.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Returns what is read as this type, for messages.
    fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "a boolean (true, false, t, f, yes, no, on, off, 1, 0)",
            Self::Timestamp => "a timestamp (2026-01-31T12:00:00Z, or with a space; UTC if it names no zone)",
            Self::Date => "a date (2026-01-31)",
            Self::Json | Self::JsonText => "JSON",
            Self::List => "a list",
        }
    }

    /// Reads a value that is not null as this type.
    pub(crate) fn apply(self, value: &Value) -> Result<Value, String> {
        let read = match self {
            Self::Text => value.canonical_text().map(Value::Text),
            Self::Integer => integer(value),
            Self::Number => number(value),
            Self::Boolean => boolean(value).map(Value::Bool),
            Self::Timestamp => instant(value).map(Value::Instant),
            Self::Date => date(value).map(Value::Date),
            Self::Json => return json(value),
            Self::JsonText => return json_text(value),
            Self::List => return list(value),
        };
        read.ok_or_else(|| match value {
            Value::Bytes(_) => BINARY.to_owned(),
            Value::Float(number) if !number.is_finite() => NOT_FINITE.to_owned(),
            Value::List(_) | Value::Object(_) if self == Self::Text => {
                format!("cannot read a {} as text (`type: json_text` gives its JSON text)", value.kind())
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Text(_)
            | Value::Instant(_)
            | Value::LocalTime(_)
            | Value::Date(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Lookup(_) => format!("cannot read this {} as {}", value.kind(), self.words()),
        })
    }
}

fn integer(value: &Value) -> Option<Value> {
    match number(value)? {
        Value::Int(number) => Some(Value::Int(number)),
        Value::Decimal(number) if number.is_integer() => number.to_i128().map(Value::Int),
        Value::Float(number) => {
            BigDecimal::try_from(number).ok().filter(BigDecimal::is_integer)?.to_i128().map(Value::Int)
        }
        Value::Null
        | Value::Bool(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Lookup(_) => None,
    }
}

fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Int(_) | Value::Decimal(_) => Some(value.clone()),
        Value::Float(number) => number.is_finite().then(|| value.clone()),
        Value::Text(text) => number_of_text(text.trim()),
        Value::Null
        | Value::Bool(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Lookup(_) => None,
    }
}

fn number_of_text(text: &str) -> Option<Value> {
    if !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    if let Ok(number) = text.parse::<i128>() {
        return Some(Value::Int(number));
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E'])
        && exponent.parse::<i64>().ok()?.unsigned_abs() > MAX_EXPONENT
    {
        return None;
    }
    BigDecimal::from_str(text).ok().map(Value::from)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        Value::Null
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Lookup(_) => None,
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Instant(instant) => Some(*instant),
        Value::LocalTime(time) => Some(time.and_utc()),
        Value::Date(date) => Some(date.and_time(NaiveTime::MIN).and_utc()),
        Value::Text(text) => instant_of_text(text.trim()),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Lookup(_) => None,
    }
}

/// Reads RFC 3339, and what databases write: a space for the `T`, a zone of hours only or none (UTC), a date alone.
fn instant_of_text(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"] {
        if let Ok(instant) = DateTime::parse_from_str(text, format) {
            return Some(instant.to_utc());
        }
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc());
        }
    }
    date_of_text(text).map(|date| date.and_time(NaiveTime::MIN).and_utc())
}

fn date_of_text(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

fn date(value: &Value) -> Option<NaiveDate> {
    if let Value::Text(text) = value
        && let Some(date) = date_of_text(text.trim())
    {
        return Some(date);
    }
    instant(value).map(|instant| instant.date_naive())
}

fn json(value: &Value) -> Result<Value, String> {
    match value.as_text() {
        Some(text) => parse_json(text, false).map_err(|error| error.to_string()),
        None => Ok(value.clone()),
    }
}

fn json_text(value: &Value) -> Result<Value, String> {
    if let Some(text) = value.canonical_text() {
        return Ok(Value::Text(text));
    }
    let mut out = Vec::new();
    write_json(value, &mut out).map_err(|error| error.to_string())?;
    String::from_utf8(out).map(Value::from).map_err(|_| "the JSON is not UTF-8".to_owned())
}

fn list(value: &Value) -> Result<Value, String> {
    match value {
        Value::List(_) => Ok(value.clone()),
        Value::Text(text) if text.trim_start().starts_with('[') => {
            parse_json(text, false).map_err(|error| error.to_string())
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Object(_)
        | Value::Lookup(_) => Ok(Value::List(vec![value.clone()])),
    }
}
