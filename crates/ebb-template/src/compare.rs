//! Truth, equality, order and containment, as Liquid has them.

use std::cmp::Ordering;

use ebb_row::{Value, ValueKind};

use crate::error::Fault;
use crate::number::Number;
use crate::print::text_of;

/// Returns whether a value counts as true: anything but nil and false.
pub(crate) fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Returns whether a value equals `empty`.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => false,
    }
}

/// Returns whether a value equals `blank`.
pub(crate) fn is_blank(value: &Value) -> bool {
    !is_true(value) || is_empty(value) || value.as_text().is_some_and(|text| text.trim().is_empty())
}

fn is_time(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Timestamp | ValueKind::Date)
}

/// Compares without converting types, but numbers by value, and times as the text they print as beside text.
pub(crate) fn equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equals(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, field)| right.get(name).is_some_and(|other| equals(field, other)))
        }
        (left, right) if left.kind() == ValueKind::Number && right.kind() == ValueKind::Number => {
            Number::of(left).compare(&Number::of(right)) == Some(Ordering::Equal)
        }
        (left, right) if is_time(left) || is_time(right) => same_time_text(left, right) == Some(Ordering::Equal),
        (left, right) => left == right,
    }
}

/// Orders times with times, and with text by what they print as.
fn same_time_text(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Value::Instant(left), Value::Instant(right)) = (left, right) {
        return Some(left.cmp(right));
    }
    let is_textual = |value: &Value| is_time(value) || value.kind() == ValueKind::Text;
    if !is_textual(left) || !is_textual(right) {
        return None;
    }
    Some(left.canonical_text()?.cmp(&right.canonical_text()?))
}

/// Orders two values; `None` where Liquid calls every order false (nil, booleans, lists, objects, NaN).
pub(crate) fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, Fault> {
    let quiet = |value: &Value| matches!(value, Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_));
    if quiet(left) || quiet(right) {
        return Ok(None);
    }
    if left.kind() == ValueKind::Number && right.kind() == ValueKind::Number {
        return Ok(Number::of(left).compare(&Number::of(right)));
    }
    if let (Value::Text(left), Value::Text(right)) = (left, right) {
        return Ok(Some(left.cmp(right)));
    }
    match same_time_text(left, right) {
        Some(ordering) => Ok(Some(ordering)),
        None => Err(Fault::new(format!("a {} cannot be ordered against a {}", left.kind(), right.kind()))),
    }
}

/// Returns whether text holds text, a list an item, or an object a key; nothing holds nil or false.
pub(crate) fn contains(left: &Value, right: &Value) -> Result<bool, Fault> {
    if !is_true(right) {
        return Ok(false);
    }
    Ok(match left {
        Value::Text(text) => text.contains(&*text_of(right)?),
        Value::List(items) => items.iter().any(|item| equals(item, right)),
        Value::Object(object) => object.contains_key(&*text_of(right)?),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => false,
    })
}
