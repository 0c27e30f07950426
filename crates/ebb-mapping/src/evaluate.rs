//! A row through a bound mapping.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::{FieldType, Lookup, Nulls, Object, Record, Row, Value};
use ebb_template::{Root, TemplateError, Variables};

use crate::coerce::{MAX_DEPTH, coerce};
use crate::rule::{Accepts, ColumnReference, ColumnsRule, FieldRule, KeyRule, ObjectRule, Origin, Rule, TemplateRule};

/// What a record may know of its run: the root `context` of templates, and their clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunContext {
    /// The sync's name: `context.sync`.
    pub sync: String,
    /// The run's id: `context.run_id`.
    pub run_id: String,
    /// When the run began: `context.run_time`, and `now` in templates.
    pub run_time: DateTime<Utc>,
}

/// Why a row has no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RowFault {
    /// The destination's field: `traits.mrr`.
    pub path: String,
    /// What is wrong: a lower-case fragment without any cell's value.
    pub message: String,
    /// The line of the template at fault, from 1.
    pub line: Option<usize>,
    /// The column of the template at fault, from 1.
    pub column: Option<usize>,
}

impl RowFault {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into(), line: None, column: None }
    }

    fn of_template(path: &str, error: TemplateError) -> Self {
        Self { path: path.to_owned(), message: error.message, line: Some(error.line), column: Some(error.column) }
    }
}

impl fmt::Display for RowFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {}: {}", self.path, self.message)?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, " (line {line}, column {column})"),
            (Some(line), None) => write!(f, " (line {line})"),
            (None, _) => Ok(()),
        }
    }
}

/// A mapping that knows the positions of its columns; makes records of rows.
#[derive(Clone, Debug)]
pub struct Bound {
    root: Arc<ObjectRule>,
    volatile: Arc<[String]>,
}

impl Bound {
    pub(crate) fn new(root: &ObjectRule, names: &[Arc<str>]) -> Self {
        let mut volatile = Vec::new();
        collect_volatile(root, &mut volatile);
        let mut root = root.clone();
        bind_object(&mut root, names);
        Self { root: Arc::new(root), volatile: volatile.into() }
    }

    /// Makes the record of a row whose columns are those that the mapping was bound to.
    ///
    /// The match field comes first, the others in the order of the file; the same row and context always give the
    /// same record, and so do rows that are equal in the columns read.
    ///
    /// # Errors
    /// Why the row is rejected: the first field at fault.
    pub fn record(&self, row: &Row, context: &RunContext) -> Result<Record, RowFault> {
        let evaluation = Evaluation {
            variables: RowVariables { row, context, object: OnceCell::new() },
            volatile: RefCell::new(Vec::new()),
        };
        let fields = evaluation.object(&self.root, "")?;
        let volatile = evaluation.volatile.into_inner();
        if volatile.is_empty() {
            return Ok(Record { fields, volatile: Arc::clone(&self.volatile) });
        }
        Ok(Record { fields, volatile: self.volatile.iter().cloned().chain(volatile).collect() })
    }
}

/// Collects the paths of fields that depend on the run; those under a name that is a template are known per row only.
fn collect_volatile(object: &ObjectRule, paths: &mut Vec<String>) {
    for field in &object.fields {
        match (&field.key, &field.rule.origin) {
            (KeyRule::Template { .. }, _) => {}
            (KeyRule::Name(_), Origin::Object(inner)) => collect_volatile(inner, paths),
            (
                KeyRule::Name(_),
                Origin::Literal(_) | Origin::Column(_) | Origin::Template(_) | Origin::Lookup { .. } | Origin::List(_),
            ) => {
                if field.rule.depends_on_run() {
                    paths.push(field.rule.path.to_string());
                }
            }
        }
    }
}

fn bind_object(object: &mut ObjectRule, names: &[Arc<str>]) {
    for field in &mut object.fields {
        bind_rule(&mut field.rule, names);
    }
    if let Some(columns) = object.columns.take() {
        let merged: Vec<FieldRule> = names
            .iter()
            .enumerate()
            .filter(|(position, name)| names.iter().position(|first| first == *name) == Some(*position))
            .filter(|(_, name)| columns.choice.takes(name) && !object.writes_out(name))
            .map(|(position, name)| merged_field(&columns, name, position))
            .collect();
        let index = columns.index.min(object.fields.len());
        object.fields.splice(index..index, merged);
    }
    object.prototype = object.fields.iter().map(|field| Some((Arc::clone(field.key.name()?), Value::Null))).collect();
}

fn merged_field(columns: &ColumnsRule, name: &Arc<str>, position: usize) -> FieldRule {
    let column = ColumnReference { name: Arc::clone(name), position: Some(position), template: None };
    FieldRule {
        key: KeyRule::Name(Arc::clone(name)),
        rule: Rule {
            path: join(&columns.path, name).into(),
            at: columns.at,
            origin: Origin::Column(column),
            convert: None,
            default: None,
            nulls: columns.nulls,
            accepts: Accepts::Json,
            depth: columns.depth,
            is_match: false,
        },
        is_merged: true,
    }
}

fn bind_rule(rule: &mut Rule, names: &[Arc<str>]) {
    match &mut rule.origin {
        Origin::Literal(_) | Origin::Template(_) => {}
        Origin::Column(column) => column.position = names.iter().position(|name| *name == column.name),
        Origin::Lookup { external_id, .. } => bind_rule(external_id, names),
        Origin::List(items) => items.iter_mut().for_each(|item| bind_rule(item, names)),
        Origin::Object(object) => bind_object(object, names),
    }
}

/// Joins an object's path and a field's name.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

struct RowVariables<'a> {
    row: &'a Row,
    context: &'a RunContext,
    object: OnceCell<Value>,
}

impl Variables for RowVariables<'_> {
    fn root(&self, name: &str) -> Option<Root<'_>> {
        match name {
            "row" | "record" => Some(Root::Row(self.row)),
            "context" => Some(Root::Value(self.object.get_or_init(|| context_object(self.context)))),
            _ => None,
        }
    }

    fn now(&self) -> Option<DateTime<Utc>> {
        Some(self.context.run_time)
    }
}

fn context_object(context: &RunContext) -> Value {
    let fields = [
        ("sync", Value::from(context.sync.as_str())),
        ("run_id", Value::from(context.run_id.as_str())),
        ("run_time", Value::Instant(context.run_time)),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (Arc::from(name), value)).collect())
}

/// One row on its way through the mapping.
struct Evaluation<'a> {
    variables: RowVariables<'a>,
    /// Paths that depend on the run, under names that are templates.
    volatile: RefCell<Vec<String>>,
}

impl Evaluation<'_> {
    fn object(&self, rule: &ObjectRule, path: &str) -> Result<Object, RowFault> {
        let Some(prototype) = &rule.prototype else { return self.object_with_template_keys(rule, path) };
        // The names, their hashes and their places are ready in the prototype: a row only fills in the values.
        let mut object = prototype.clone();
        let mut omitted = Vec::new();
        for (index, (field, slot)) in rule.fields.iter().zip(object.values_mut()).enumerate() {
            if !self.fill(&field.rule, slot)? {
                omitted.push(index);
            }
        }
        if !omitted.is_empty() {
            let mut omitted = omitted.into_iter().peekable();
            let mut index = 0;
            object.retain(|_, _| {
                let keep = omitted.next_if_eq(&index).is_none();
                index += 1;
                keep
            });
        }
        Ok(object)
    }

    /// Fills the slot of a field; `false` when the field is left out.
    ///
    /// A scalar of a column or template that goes as it is into an object, the most common field, is not moved twice.
    fn fill(&self, rule: &Rule, slot: &mut Value) -> Result<bool, RowFault> {
        let is_plain = rule.accepts == Accepts::Json && rule.convert.is_none() && !rule.is_match;
        let value = match &rule.origin {
            Origin::Column(column) if is_plain && rule.depth <= MAX_DEPTH => {
                let cell = column.position.and_then(|position| self.variables.row.at(position));
                if let Some(cell) = cell.filter(|cell| is_plain_scalar(cell)) {
                    *slot = cell.clone();
                    return Ok(true);
                }
                self.value(rule)?
            }
            Origin::Template(template) if is_plain && rule.depth <= MAX_DEPTH => {
                let rendered = template.template.render(&self.variables);
                let value = rendered.map_err(|error| RowFault::of_template(&rule.path, error))?;
                if is_plain_scalar(&value) {
                    *slot = value;
                    return Ok(true);
                }
                finished(rule, Cow::Owned(value))?
            }
            Origin::Column(_)
            | Origin::Template(_)
            | Origin::Literal(_)
            | Origin::Lookup { .. }
            | Origin::List(_)
            | Origin::Object(_) => self.value(rule)?,
        };
        let Some(value) = value else { return Ok(false) };
        *slot = value;
        Ok(true)
    }

    fn object_with_template_keys(&self, rule: &ObjectRule, path: &str) -> Result<Object, RowFault> {
        let mut names: Vec<Arc<str>> = Vec::with_capacity(rule.fields.len());
        for field in &rule.fields {
            names.push(match &field.key {
                KeyRule::Name(name) => Arc::clone(name),
                KeyRule::Template { template, .. } => self.key(template, path)?,
            });
        }
        let mut object = Object::default();
        let written = |candidate: &Arc<str>| {
            let same = rule.fields.iter().zip(&names).filter(|(field, name)| !field.is_merged && *name == candidate);
            same.count()
        };
        for (field, name) in rule.fields.iter().zip(&names) {
            match (field.is_merged, written(name)) {
                (true, 0) | (false, 1) => {}
                (true, _) => continue,
                (false, _) => return Err(RowFault::new(path, "two fields have the same name")),
            }
            if let KeyRule::Template { is_volatile: true, .. } = field.key {
                self.volatile.borrow_mut().push(join(path, name));
            }
            if let Some(value) = self.value(&field.rule)? {
                object.insert(Arc::clone(name), value);
            }
        }
        Ok(object)
    }

    fn key(&self, rule: &TemplateRule, path: &str) -> Result<Arc<str>, RowFault> {
        let name = rule.template.render_text(&self.variables).map_err(|error| RowFault::of_template(path, error))?;
        if name.is_empty() {
            return Err(RowFault::new(path, "the name of a field is empty"));
        }
        Ok(name.into())
    }

    /// Returns the value of a field, `None` when the field is left out.
    fn value(&self, rule: &Rule) -> Result<Option<Value>, RowFault> {
        if let Origin::Object(object) = &rule.origin {
            return self.object(object, &rule.path).map(|object| Some(Value::Object(object)));
        }
        finished(rule, self.origin(rule)?)
    }

    /// Returns the value before `type`, `default` and what the field takes.
    fn origin<'s>(&'s self, rule: &'s Rule) -> Result<Cow<'s, Value>, RowFault> {
        Ok(match &rule.origin {
            Origin::Literal(value) => Cow::Borrowed(value),
            Origin::Column(column) => {
                let cell = column.position.and_then(|position| self.variables.row.at(position));
                let missing = || RowFault::new(&rule.path, format!("the row has no column `{}`", column.name));
                Cow::Borrowed(cell.ok_or_else(missing)?)
            }
            Origin::Template(template) => {
                let rendered = template.template.render(&self.variables);
                Cow::Owned(rendered.map_err(|error| RowFault::of_template(&rule.path, error))?)
            }
            Origin::Lookup { object, external_id } => {
                let external_id = self.value(external_id)?.unwrap_or(Value::Null);
                Cow::Owned(look_up(object, external_id))
            }
            Origin::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(self.value(item)?);
                }
                Cow::Owned(Value::List(list))
            }
            Origin::Object(object) => Cow::Owned(Value::Object(self.object(object, &rule.path)?)),
        })
    }
}

/// Returns the value of a field, after `type`, `default` and what the field takes.
fn finished(rule: &Rule, mut value: Cow<'_, Value>) -> Result<Option<Value>, RowFault> {
    let fault = |message: String| RowFault::new(&rule.path, message);
    if let Some(kind) = rule.convert
        && !value.is_null()
    {
        value = Cow::Owned(kind.apply(&value).map_err(fault)?);
    }
    if value.is_null() {
        return match &rule.default {
            Some(default) => Ok(Some(default.clone())),
            None => null(rule),
        };
    }
    let value = coerce(value, rule.accepts, rule.depth).map_err(fault)?;
    if rule.is_match && value.as_text() == Some("") {
        return Err(fault(format!("match field `{}` is empty", rule.path)));
    }
    if rule.nulls == Nulls::Omit
        && rule.accepts == Accepts::Field(FieldType::Ids)
        && matches!(&value, Value::List(ids) if ids.is_empty())
    {
        return Ok(None);
    }
    Ok(Some(value))
}

/// Returns whether JSON surely holds the value, and it is no null.
fn is_plain_scalar(value: &Value) -> bool {
    match value {
        Value::Text(_) | Value::Bool(_) | Value::Int(_) | Value::Decimal(_) => true,
        Value::Float(number) => number.is_finite(),
        Value::Null
        | Value::Bytes(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::List(_)
        | Value::Object(_)
        | Value::Lookup(_) => false,
    }
}

/// Returns what a null gives: a null, nothing, an empty list of ids, or a fault.
fn null(rule: &Rule) -> Result<Option<Value>, RowFault> {
    if rule.is_match {
        return Err(RowFault::new(&rule.path, format!("match field `{}` is null", rule.path)));
    }
    Ok(match (rule.accepts, rule.nulls) {
        // An object field is merged by the destination: without one there is nothing to send, and a null is no object.
        (Accepts::Field(FieldType::Object), _) | (_, Nulls::Omit) => None,
        (Accepts::Field(FieldType::Ids), Nulls::Send) => Some(Value::List(Vec::new())),
        (_, Nulls::Send) => Some(Value::Null),
    })
}

/// Makes look-ups of what [`Accepts::ExternalId`] gives: text, a list of texts, or null.
fn look_up(object: &Arc<str>, external_id: Value) -> Value {
    if let Value::List(ids) = external_id {
        return Value::List(ids.into_iter().map(|id| look_up(object, id)).collect());
    }
    if let Value::Text(external_id) = external_id {
        return Value::Lookup(Lookup { object: Arc::clone(object), external_id });
    }
    Value::Null
}
