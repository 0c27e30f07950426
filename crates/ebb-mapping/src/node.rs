use std::fmt;
use std::sync::Arc;

use ebb_row::{FieldType, Nulls, Object, Value};
use ebb_template::{Language, TemplateError};

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
    /// Where in a template; `None` for what is no fault of a template. The template itself begins at `at`.
    pub template: Option<TemplatePlace>,
}

/// A place in the text of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatePlace {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The template's whole text, as YAML reads it.
    pub source: Arc<str>,
}

impl TemplatePlace {
    /// Returns the place of what stands first in a template, blanks apart.
    pub(crate) fn of_first_tag(source: &Arc<str>) -> Self {
        let blank = source.chars().take_while(|character| character.is_whitespace());
        let (mut line, mut column) = (1, 1);
        for character in blank {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Self { line, column, source: Arc::clone(source) }
    }
}

impl MappingFault {
    /// Places what is wrong with the template `source`, which begins at `at`.
    pub(crate) fn of_template(error: TemplateError, source: &Arc<str>, at: usize, path: &str) -> Self {
        let template = TemplatePlace { line: error.line, column: error.column, source: Arc::clone(source) };
        Self { at, path: path.to_owned(), message: error.message, hint: error.hint, template: Some(template) }
    }
}

/// Sorts faults by their place in the file, and drops repetitions.
pub(crate) fn in_order(mut faults: Vec<MappingFault>) -> Vec<MappingFault> {
    let place = |fault: &MappingFault| fault.template.as_ref().map(|place| (place.line, place.column));
    faults.sort_by(|left, right| (left.at, place(left), &left.message).cmp(&(right.at, place(right), &right.message)));
    faults.dedup();
    faults
}

impl fmt::Display for MappingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "field {}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.template {
            Some(place) => write!(f, " (line {}, column {})", place.line, place.column),
            None => Ok(()),
        }
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
