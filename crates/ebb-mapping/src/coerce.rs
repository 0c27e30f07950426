//! Makes a value what its place takes, or says why it is not.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use ebb_row::{FieldType, Value};

use crate::rule::Accepts;

pub(crate) const BINARY: &str = "binary has no JSON form; encode it, for instance with `base64_encode`";
pub(crate) const NOT_FINITE: &str = "a number is NaN or infinite, which JSON cannot hold";
const YEAR: &str = "a year is not between 0 and 9999, which RFC 3339 cannot hold";
const TOO_DEEP: &str = "lists and objects nest deeper than 100 levels";
const LOOKUP_OBJECT: &str =
    "an object of just `$lookup` and `externalId` in the data would be taken for a look-up; rename one of them";

/// How deep a record may nest: it leaves room for what a destination wraps around it.
pub(crate) const MAX_DEPTH: usize = 100;

/// Returns the value as its place takes it; the value is not null, `depth` is how many lists and objects are around
/// it. An error is a message without the value.
pub(crate) fn coerce(value: Cow<'_, Value>, accepts: Accepts, depth: usize) -> Result<Value, String> {
    match accepts {
        Accepts::Json => {
            check_json(&value, depth)?;
            Ok(value.into_owned())
        }
        Accepts::ExternalId => external_id(&value),
        Accepts::Field(FieldType::Text) => text(value, accepts),
        Accepts::Field(FieldType::Id) => id(value, accepts),
        Accepts::Field(FieldType::Ids) => {
            let mut ids = Vec::new();
            collect_ids(value, &mut ids)?;
            Ok(Value::List(ids))
        }
        Accepts::Field(FieldType::Boolean) => {
            if let Value::Bool(_) = *value {
                return Ok(value.into_owned());
            }
            Err(mismatch(&value, accepts, " (`type: boolean` reads it)"))
        }
        Accepts::Field(FieldType::Timestamp) => timestamp(&value, accepts).map(Value::Instant),
        Accepts::Field(FieldType::Object) => {
            if let Value::Object(_) = *value {
                check_json(&value, depth)?;
                return Ok(value.into_owned());
            }
            Err(mismatch(&value, accepts, if value.as_text().is_some() { " (`type: json` reads it)" } else { "" }))
        }
    }
}

fn mismatch(value: &Value, accepts: Accepts, advice: &str) -> String {
    format!("must be {}, got {}{advice}", accepts.words(), value.kind())
}

/// Checks that JSON can hold the value, and that what is kept of it reads back as the same.
pub(crate) fn check_json(value: &Value, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP.to_owned());
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) | Value::Text(_) | Value::Lookup(_) => Ok(()),
        Value::Float(number) if number.is_finite() => Ok(()),
        Value::Float(_) => Err(NOT_FINITE.to_owned()),
        Value::Bytes(_) => Err(BINARY.to_owned()),
        Value::Instant(instant) => check_year(instant.year()),
        Value::LocalTime(time) => check_year(time.year()),
        Value::Date(date) => check_year(date.year()),
        Value::List(items) => items.iter().try_for_each(|item| check_json(item, depth + 1)),
        Value::Object(object) => {
            let is_text = |name: &str| object.get(name).is_some_and(|field| field.as_text().is_some());
            if object.len() == 2 && is_text("$lookup") && is_text("externalId") {
                return Err(LOOKUP_OBJECT.to_owned());
            }
            object.values().try_for_each(|field| check_json(field, depth + 1))
        }
    }
}

fn check_year(year: i32) -> Result<(), String> {
    if (0..=9999).contains(&year) { Ok(()) } else { Err(YEAR.to_owned()) }
}

fn text(value: Cow<'_, Value>, accepts: Accepts) -> Result<Value, String> {
    match &*value {
        Value::Text(_) | Value::Lookup(_) => return Ok(value.into_owned()),
        Value::List(_) | Value::Object(_) => {
            return Err(mismatch(&value, accepts, " (`type: json_text` gives its JSON text)"));
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_) => check_json(&value, 0)?,
    }
    value.canonical_text().map(Value::Text).ok_or_else(|| mismatch(&value, accepts, ""))
}

fn id(value: Cow<'_, Value>, accepts: Accepts) -> Result<Value, String> {
    match &*value {
        Value::Float(number) if number.is_finite() && number.fract() != 0.0 => Err(fraction(accepts)),
        Value::Decimal(number) if !number.is_integer() => Err(fraction(accepts)),
        Value::Bool(_) | Value::List(_) | Value::Object(_) => Err(mismatch(&value, accepts, "")),
        Value::Null
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => text(value, accepts),
    }
}

fn fraction(accepts: Accepts) -> String {
    format!("must be {}, got a number with a fraction", accepts.words())
}

fn collect_ids(value: Cow<'_, Value>, ids: &mut Vec<Value>) -> Result<(), String> {
    match &*value {
        Value::Null => {}
        Value::List(items) => {
            for item in items {
                collect_ids(Cow::Borrowed(item), ids)?;
            }
        }
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Object(_)
        | Value::Lookup(_) => ids.push(id(value, Accepts::Field(FieldType::Ids))?),
    }
    Ok(())
}

/// Returns one id as text, or a list of them; nulls in a list are no element.
fn external_id(value: &Value) -> Result<Value, String> {
    let Value::List(items) = value else { return one_external_id(value).map(Value::Text) };
    let ids = items.iter().filter(|item| !item.is_null()).map(|item| one_external_id(item).map(Value::Text));
    ids.collect::<Result<Vec<_>, _>>().map(Value::List)
}

fn one_external_id(value: &Value) -> Result<Arc<str>, String> {
    let id = id(Cow::Borrowed(value), Accepts::ExternalId)?;
    let Value::Text(text) = id else { return Err(mismatch(&id, Accepts::ExternalId, "")) };
    // An empty id would turn a request for one object into a request for all of them.
    if text.is_empty() { Err("the external id to look up is empty".to_owned()) } else { Ok(text) }
}

fn timestamp(value: &Value, accepts: Accepts) -> Result<DateTime<Utc>, String> {
    let instant = match value {
        Value::Instant(instant) => *instant,
        Value::LocalTime(time) => time.and_utc(),
        Value::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
        Value::Text(text) => DateTime::parse_from_rfc3339(text)
            .map(|instant| instant.to_utc())
            .map_err(|_| mismatch(value, accepts, " that is not RFC 3339 (`type: timestamp` reads more forms)"))?,
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => {
            return Err(mismatch(
                value,
                accepts,
                " (for seconds since 1970 write `{{ row.column | date: \"%Y-%m-%dT%H:%M:%SZ\" }}`)",
            ));
        }
        Value::Null | Value::Bool(_) | Value::Bytes(_) | Value::List(_) | Value::Object(_) | Value::Lookup(_) => {
            return Err(mismatch(value, accepts, ""));
        }
    };
    check_year(instant.year()).map(|()| instant)
}
