use std::sync::Arc;

use crate::hash::Hash128;
use crate::json::{JsonError, write_json};
use crate::value::{Object, Value};

/// A symbolic reference to the destination's own id of an object that is known by your id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lookup {
    /// The destination's object, for instance `account`.
    pub object: Arc<str>,
    /// Your id of it.
    pub external_id: Arc<str>,
}

/// What may be sent for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Create or update.
    Upsert,
    /// Update what exists; a row without a record is skipped.
    Update,
    /// Create what does not exist; a row with a record is skipped. Events are always inserted.
    Insert,
}

impl SyncMode {
    /// Returns the word used in YAML, output and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Update => "update",
            Self::Insert => "insert",
        }
    }
}

/// What an operation does to the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// A row without an accepted record.
    Add,
    /// A row whose record differs from the accepted one.
    Change,
    /// A row that left the model, where the sync acts on that.
    Remove,
}

impl OperationKind {
    /// Returns the word used in output and state.
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }
}

/// What a mapping makes of one row: the destination's fields, match field included, look-ups still symbolic.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Fields in the order of the mapping.
    pub fields: Object,
    /// Paths (`traits.synced_at`) whose value depends on the run; they are left out of the digest.
    pub volatile: Arc<[String]>,
}

impl Record {
    /// Makes a record of which no field depends on the run.
    pub fn new(fields: Object) -> Self {
        Self { fields, volatile: Arc::new([]) }
    }

    /// Returns the digest of the record: independent of the order of fields, without volatile ones.
    ///
    /// # Errors
    /// What has no JSON form; see [`write_json`].
    pub fn digest(&self) -> Result<Hash128, JsonError> {
        let mut out = Vec::with_capacity(512);
        write_canonical(&self.fields, "", &self.volatile, &mut out)?;
        Ok(Hash128::of(&out))
    }
}

fn write_canonical(object: &Object, prefix: &str, volatile: &[String], out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut names: Vec<&Arc<str>> = object.keys().collect();
    names.sort_unstable();
    out.push(b'{');
    for name in names {
        let Some(value) = object.get(name) else { continue };
        let mut nested = String::new();
        if !volatile.is_empty() {
            nested = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            if volatile.contains(&nested) {
                continue;
            }
        }
        crate::json::write_json_string(name, out);
        out.push(b':');
        write_canonical_value(value, &nested, volatile, out)?;
        out.push(b',');
    }
    out.push(b'}');
    Ok(())
}

/// Objects inside lists are canonical too: a source may give the fields of one JSON cell in another order.
fn write_canonical_value(value: &Value, path: &str, volatile: &[String], out: &mut Vec<u8>) -> Result<(), JsonError> {
    match value {
        Value::Object(object) => write_canonical(object, path, volatile, out),
        Value::List(items) => {
            out.push(b'[');
            for item in items {
                write_canonical_value(item, "", &[], out)?;
                out.push(b',');
            }
            out.push(b']');
            Ok(())
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
        | Value::Lookup(_) => write_json(value, out),
    }
}

/// How one field differs between two records.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The field is new.
    Added(Value),
    /// The field's value differs: before, after.
    Changed(Value, Value),
    /// The field is gone from the record.
    Removed(Value),
}

/// One changed field, by its path (`traits.plan`).
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Names joined by dots.
    pub path: String,
    /// The difference.
    pub change: Change,
}

/// Returns the fields that differ, in the order of `after` and then of `before`; objects are compared field by field.
pub fn diff_records(before: &Object, after: &Object) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    diff_into(before, after, "", &mut changes);
    changes
}

fn diff_into(before: &Object, after: &Object, prefix: &str, changes: &mut Vec<FieldChange>) {
    let path_of = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(Value::Object(old)), Value::Object(new)) => diff_into(old, new, &path_of(name), changes),
            (Some(old), new) if same(old, new) => {}
            (Some(old), new) => {
                changes.push(FieldChange { path: path_of(name), change: Change::Changed(old.clone(), new.clone()) });
            }
            (None, Value::Object(new)) if !new.is_empty() => {
                diff_into(&Object::default(), new, &path_of(name), changes);
            }
            (None, new) => changes.push(FieldChange { path: path_of(name), change: Change::Added(new.clone()) }),
        }
    }
    for (name, old) in before {
        if after.get(name).is_none() {
            changes.push(FieldChange { path: path_of(name), change: Change::Removed(old.clone()) });
        }
    }
}

/// Two values are the same for a destination when their JSON is: an instant equals its text.
fn same(left: &Value, right: &Value) -> bool {
    if left == right {
        return true;
    }
    let (mut left_json, mut right_json) = (Vec::new(), Vec::new());
    write_json(left, &mut left_json).is_ok() && write_json(right, &mut right_json).is_ok() && left_json == right_json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_json;

    fn object(json: &str) -> Object {
        parse_json(json, true).expect("valid").as_object().expect("an object").clone()
    }

    #[test]
    fn digest_ignores_order_and_volatile_fields() {
        let one = Record::new(object(r#"{"a":1,"t":{"x":1,"y":2}}"#));
        let two = Record::new(object(r#"{"t":{"y":2,"x":1},"a":1}"#));
        let listed = |json: &str| Record::new(object(json)).digest();
        assert_eq!(listed(r#"{"l":[[{"x":1,"y":2}]]}"#), listed(r#"{"l":[[{"y":2,"x":1}]]}"#));
        assert_ne!(listed(r#"{"l":[1,2]}"#), listed(r#"{"l":[2,1]}"#));
        assert_eq!(one.digest(), two.digest());
        let mut three = Record::new(object(r#"{"t":{"y":2,"x":1,"at":"now"},"a":1}"#));
        assert_ne!(one.digest(), three.digest());
        three.volatile = vec!["t.at".to_owned()].into();
        assert_eq!(one.digest(), three.digest());
    }

    #[test]
    fn differences_are_field_by_field() {
        let changes = diff_records(
            &object(r#"{"name":"A","t":{"x":1,"gone":true}}"#),
            &object(r#"{"name":"A","t":{"x":2,"new":"v"}}"#),
        );
        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["t.x", "t.new", "t.gone"]);
    }
}
