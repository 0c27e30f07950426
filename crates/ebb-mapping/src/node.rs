use std::fmt;
use std::sync::Arc;

use ebb_row::{FieldType, Nulls, Object, Value};
use ebb_template::Language;

/// A YAML value with its place in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins: a byte offset into the file.
    pub at: usize,
    /// The value.
    pub kind: NodeKind,
}

/// What a YAML value is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number with its digits: a [`Value::Int`], [`Value::Decimal`] or [`Value::Float`].
    Number(Value),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a YAML map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's text.
    pub name: String,
    /// Where it begins: a byte offset into the file.
    pub at: usize,
}

impl Node {
    /// Returns the node as a plain value: keys that start with `$` are keys like any other.
    pub(crate) fn literal(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(flag) => Value::Bool(*flag),
            NodeKind::Number(number) => number.clone(),
            NodeKind::Text(text) => Value::from(text.as_str()),
            NodeKind::List(items) => Value::List(items.iter().map(Self::literal).collect()),
            NodeKind::Map(entries) => {
                let fields = entries.iter().map(|(key, node)| (Arc::from(key.name.as_str()), node.literal()));
                Value::Object(fields.collect::<Object>())
            }
        }
    }
}

/// Something wrong with a mapping, found before any row is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MappingFault {
    /// Where: a byte offset into the file.
    pub at: usize,
    /// The destination's field, names joined by dots (`traits.plan`); empty for `fields` itself.
    pub path: String,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// The next step, where it is known.
    pub hint: Option<String>,
}

impl fmt::Display for MappingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "field {}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// What a mapping needs to know of its sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingSettings {
    /// The language of templates that do not name one.
    pub language: Language,
    /// What a null does inside a free-form object (traits), where nothing else is said.
    pub nulls_objects: Nulls,
    /// What a null does in any other field, where nothing else is said.
    pub nulls_fields: Nulls,
    /// What the sync says (`nulls:`); holds everywhere but where a directive says otherwise.
    pub nulls_override: Option<Nulls>,
}

/// A field that the destination's object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: FieldType,
    /// The object whose ids it holds, so that `$lookup` is offered.
    pub lookup_of: Option<String>,
}
