//! Reads the fields of a write's body. A field of the wrong type is a 400; an unknown field is ignored.

use serde_json::{Map, Value};

use crate::answer::Refusal;
use crate::config::PlainNull;
use crate::store::Traits;

/// A field as the body gave it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    Absent,
    Null,
    Value(T),
}

/// The fields of a body.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn of(body: Value) -> Result<Self, Refusal> {
        match body {
            Value::Object(fields) => Ok(Self(fields)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Refusal::invalid("The request body must be a JSON object"))
            }
        }
    }

    /// A string that must be there and not empty.
    pub(crate) fn required(&mut self, key: &str) -> Result<String, Refusal> {
        match self.nullable(key)? {
            Given::Value(text) if !text.is_empty() => Ok(text),
            Given::Absent | Given::Null | Given::Value(_) => Err(Refusal::invalid(format!("{key} is required"))),
        }
    }

    /// A string or null.
    pub(crate) fn nullable(&mut self, key: &str) -> Result<Given<String>, Refusal> {
        match self.0.remove(key) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(Value::String(text)) => Ok(Given::Value(text)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Refusal::invalid(format!("{key} must be a string")))
            }
        }
    }

    /// A string, or null where nulls may clear a field.
    pub(crate) fn plain(&mut self, key: &str, nulls: PlainNull) -> Result<Given<String>, Refusal> {
        match self.nullable(key)? {
            Given::Null if nulls == PlainNull::Reject => Err(Refusal::invalid(format!("{key} must be a string"))),
            given @ (Given::Absent | Given::Null | Given::Value(_)) => Ok(given),
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(Refusal::invalid(format!("{key} must be a boolean")))
            }
        }
    }

    /// A field that may only be null.
    pub(crate) fn only_null(&mut self, key: &str) -> Result<(), Refusal> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(Refusal::invalid(format!("{key} can only be set to null"))),
        }
    }

    /// A list of strings; `None` when absent.
    pub(crate) fn list(&mut self, key: &str) -> Result<Option<Vec<String>>, Refusal> {
        let wrong = || Refusal::invalid(format!("{key} must be an array of strings"));
        match self.0.remove(key) {
            None => Ok(None),
            Some(Value::Array(values)) => {
                let texts = values.into_iter().map(|value| match value {
                    Value::String(text) => Ok(text),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                        Err(wrong())
                    }
                });
                texts.collect::<Result<_, _>>().map(Some)
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => Err(wrong()),
        }
    }

    /// The traits; empty when absent.
    pub(crate) fn traits(&mut self) -> Result<Traits, Refusal> {
        match self.0.remove("traits") {
            None => Ok(Traits::new()),
            Some(Value::Object(traits)) => Ok(traits),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(Refusal::invalid("traits must be an object"))
            }
        }
    }
}
