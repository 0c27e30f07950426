use std::fmt;
use std::sync::Arc;

use crate::hash::Hash128;
use crate::json::{write_json, write_json_string};
use crate::value::Value;

/// The canonical text of a row's primary key: the text that becomes the external id.
///
/// One column gives its canonical text; several give a JSON array in `primary_key` order (strings for text and
/// times, digits for numbers). The hash is taken over that text, so a column's change of type does not rename a row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(Arc<str>);

impl RowKey {
    /// Wraps canonical text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Makes the key of the values of the key columns, in `primary_key` order. `None` when one of them is null or
    /// has no canonical text.
    pub fn of(values: &[&Value]) -> Option<Self> {
        if let [value] = values {
            return value.canonical_text().map(Self);
        }
        let mut out = vec![b'['];
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let text = value.canonical_text()?;
            match value {
                Value::Int(_) | Value::Decimal(_) | Value::Float(_) | Value::Bool(_) => {
                    write_json(value, &mut out).ok()?;
                }
                Value::Null
                | Value::Text(_)
                | Value::Bytes(_)
                | Value::Instant(_)
                | Value::LocalTime(_)
                | Value::Date(_)
                | Value::List(_)
                | Value::Object(_)
                | Value::Lookup(_) => write_json_string(&text, &mut out),
            }
        }
        out.push(b']');
        String::from_utf8(out).ok().map(|text| Self(text.into()))
    }

    /// Returns the canonical text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns the hash of the canonical text.
    pub fn hash(&self) -> Hash128 {
        Hash128::of(self.0.as_bytes())
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
