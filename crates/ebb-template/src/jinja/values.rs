//! Values on their way into minijinja and back.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bigdecimal::BigDecimal;
use ebb_row::{Object, Row, Value};
use minijinja::value::{
    DynObject, Enumerator, Object as JinjaObject, ObjectExt, ObjectRepr, Value as JinjaValue, ValueKind,
};

use crate::error::Fault;
use crate::limits::PRODUCED_BYTES;

/// The most items of a list that comes out of Jinja, which may repeat lists at no cost.
pub(super) const MAX_ITEMS: usize = 16_384;
/// The most bytes of text in a value that a filter of minijinja prints, as JSON writes them.
const PRINTED_BYTES: usize = 128 * 1024;
/// The deepest nesting of a value that comes out of Jinja.
const MAX_DEPTH: usize = 128;

/// A decimal that no float holds exactly: it prints all its digits and our filters calculate with it.
#[derive(Debug)]
struct ExactDecimal(BigDecimal);

impl JinjaObject for ExactDecimal {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

/// Cells of a row, made Jinja's as they are read.
#[derive(Debug)]
pub(super) struct RowCells {
    cells: Vec<(Arc<str>, Value)>,
}

impl RowCells {
    pub(super) fn whole(row: &Row) -> Self {
        Self::some(row, |_| true)
    }

    pub(super) fn some(row: &Row, reads: impl Fn(&str) -> bool) -> Self {
        let pairs = row.names().iter().zip(row.values()).filter(|(name, _)| reads(name));
        Self { cells: pairs.map(|(name, value)| (Arc::clone(name), value.clone())).collect() }
    }
}

impl JinjaObject for RowCells {
    fn get_value(self: &Arc<Self>, key: &JinjaValue) -> Option<JinjaValue> {
        let key = key.as_str()?;
        self.cells.iter().find(|(name, _)| &**name == key).map(|(_, value)| to_jinja(value))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| Box::new(this.cells.iter().map(|(name, _)| JinjaValue::from(Arc::clone(name)))))
    }
}

/// The roots of a render; any other name is a column.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub(super) row: Option<JinjaValue>,
    pub(super) others: Vec<(String, JinjaValue)>,
}

impl JinjaObject for Roots {
    fn get_value(self: &Arc<Self>, key: &JinjaValue) -> Option<JinjaValue> {
        let name = key.as_str()?;
        if name == "row" || name == "record" {
            return self.row.clone();
        }
        if let Some((_, value)) = self.others.iter().find(|(known, _)| known == name) {
            return Some(value.clone());
        }
        let column = self.row.as_ref()?.get_attr(name).ok()?;
        (!column.is_undefined()).then_some(column)
    }
}

/// Makes a value Jinja's. Times become text; a decimal becomes a float where that loses nothing.
pub(super) fn to_jinja(value: &Value) -> JinjaValue {
    match value {
        Value::Null | Value::Lookup(_) => JinjaValue::from(()),
        Value::Bool(flag) => JinjaValue::from(*flag),
        Value::Int(number) => i64::try_from(*number).map_or_else(|_| JinjaValue::from(*number), JinjaValue::from),
        Value::Float(number) => JinjaValue::from(*number),
        Value::Decimal(number) => decimal(number),
        Value::Text(text) => JinjaValue::from(Arc::clone(text)),
        Value::Bytes(bytes) => JinjaValue::from_bytes(bytes.to_vec()),
        Value::Instant(_) | Value::LocalTime(_) | Value::Date(_) => {
            value.canonical_text().map_or_else(|| JinjaValue::from(()), JinjaValue::from)
        }
        Value::List(items) => items.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Object(object) => JinjaValue::from_pairs(
            object.iter().map(|(name, field)| (JinjaValue::from(Arc::clone(name)), to_jinja(field))),
        ),
    }
}

fn decimal(number: &BigDecimal) -> JinjaValue {
    let text = number.to_plain_string();
    if let Ok(float) = text.parse::<f64>()
        && float.is_finite()
        && number.digits() <= 17
        && BigDecimal::from_str(&float.to_string()).is_ok_and(|back| back == *number)
    {
        return JinjaValue::from(float);
    }
    JinjaValue::from_object(ExactDecimal(number.clone()))
}

/// What a value may still have: a list can hold one text many times at no cost, until it is printed.
struct Left {
    items: usize,
    /// Of the texts in lists and objects, each time they stand there, as JSON writes them.
    bytes: usize,
}

impl Left {
    fn item(&mut self) -> Result<(), Fault> {
        let fault = || Fault::new(format!("a value has more than {MAX_ITEMS} items"));
        self.items = self.items.checked_sub(1).ok_or_else(fault)?;
        Ok(())
    }

    /// Counts the text of a value that is no list or object.
    fn text(&mut self, value: &JinjaValue) -> Result<(), Fault> {
        let length = if let Some(text) = value.as_str() {
            // No need to look at what is too long in any case.
            if text.len() > self.bytes { text.len() } else { text.bytes().map(written_length).sum() }
        } else if let Some(bytes) = value.as_bytes() {
            bytes.len()
        } else if let Some(ExactDecimal(number)) = value.downcast_object_ref() {
            let zeros = usize::try_from(number.as_bigint_and_scale().1.unsigned_abs()).unwrap_or(usize::MAX);
            usize::try_from(number.digits()).unwrap_or(usize::MAX).saturating_add(zeros)
        } else {
            0
        };
        let fault = || Fault::new("a list or object has more than 1 MiB of text");
        self.bytes = self.bytes.checked_sub(length).ok_or_else(fault)?;
        Ok(())
    }
}

/// Returns how many bytes JSON writes for one of a text.
fn written_length(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..=0x1f => 6,
        _ => 1,
    }
}

/// Makes a value of Jinja's ours; integers of up to 128 bits stay exact.
///
/// A text by itself may have any length: it is not copied. Of a list or object the texts together are bounded.
pub(super) fn from_jinja(value: &JinjaValue) -> Result<Value, Fault> {
    converted(value, &mut Left { items: MAX_ITEMS, bytes: PRODUCED_BYTES }, 0)
}

/// The same for a value that is one cell, of which all text is there already.
pub(super) fn cell_from_jinja(value: &JinjaValue) -> Result<Value, Fault> {
    converted(value, &mut Left { items: MAX_ITEMS, bytes: usize::MAX }, 0)
}

fn converted(value: &JinjaValue, left: &mut Left, depth: usize) -> Result<Value, Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new("a value nests too deep"));
    }
    if depth > 0 {
        left.text(value)?;
    }
    let broken = || Fault::new("a value has no form outside of Jinja");
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => Value::Int(i128::try_from(value.clone()).map_err(|_| broken())?),
        ValueKind::Number => {
            let number = f64::try_from(value.clone()).map_err(|_| broken())?;
            if !number.is_finite() {
                return Err(Fault::new("the result is NaN or infinite"));
            }
            Value::Float(number)
        }
        ValueKind::String => value.to_str().map(Value::Text).ok_or_else(broken)?,
        ValueKind::Bytes => Value::Bytes(value.as_bytes().ok_or_else(broken)?.into()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().map_err(|_| broken())? {
                left.item()?;
                items.push(converted(&item, left, depth + 1)?);
            }
            Value::List(items)
        }
        ValueKind::Map => {
            let mut object = Object::default();
            for key in value.try_iter().map_err(|_| broken())? {
                left.item()?;
                left.text(&key)?;
                let field = value.get_item(&key).map_err(|_| broken())?;
                let name = key.to_str().unwrap_or_else(|| key.to_string().into());
                object.insert(name, converted(&field, left, depth + 1)?);
            }
            Value::Object(object)
        }
        ValueKind::Plain => {
            let decimal = value.downcast_object_ref::<ExactDecimal>().ok_or_else(broken)?;
            Value::from(decimal.0.clone())
        }
        ValueKind::Invalid | _ => return Err(broken()),
    })
}

/// Refuses a value that would print as too much: lists and objects may hold each other many times over.
pub(super) fn printable(value: &JinjaValue) -> Result<(), Fault> {
    if value.as_str().is_some() {
        return Ok(());
    }
    count(value, &mut Left { items: MAX_ITEMS, bytes: PRODUCED_BYTES }, 0)
}

/// Refuses a value that a filter would print as too much, and returns how many items it has.
pub(super) fn measured(value: &JinjaValue) -> Result<usize, Fault> {
    let mut left = Left { items: MAX_ITEMS, bytes: PRODUCED_BYTES };
    count(value, &mut left, 0)?;
    if PRODUCED_BYTES - left.bytes > PRINTED_BYTES {
        return Err(Fault::new("more than 128 KiB of text are printed by one filter").hint("use `json`"));
    }
    Ok(MAX_ITEMS - left.items)
}

fn count(value: &JinjaValue, left: &mut Left, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new("a value nests too deep"));
    }
    left.text(value)?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        return Ok(());
    }
    let is_map = value.kind() == ValueKind::Map;
    for item in value.try_iter().map_err(|_| Fault::new("a value has no form outside of Jinja"))? {
        left.item()?;
        if is_map && let Ok(field) = value.get_item(&item) {
            count(&field, left, depth + 1)?;
        }
        count(&item, left, depth + 1)?;
    }
    Ok(())
}
