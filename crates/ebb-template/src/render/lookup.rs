//! What a path means: names, columns, fields, positions.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, OnceLock};

use ebb_row::{Object, Row, Value};

use crate::ast::{Path, PathRoot, Step};
use crate::error::Fault;
use crate::filters::{cost, size_of};
use crate::print::text_of;
use crate::render::Renderer;
use crate::{Root, Variables};

/// What a path has reached.
enum Place<'s> {
    Value(Cow<'s, Value>),
    Row(&'s Row),
    /// A running loop, by its depth.
    Loop(usize),
}

impl Renderer<'_> {
    /// Follows a path that only names what is there: a column, a loop's variable or a variable, and fields of it.
    ///
    /// `None` says nothing: [`Renderer::path`] follows any path.
    pub(super) fn plain<'s>(&'s self, path: &Path) -> Option<&'s Value> {
        let PathRoot::Name(name) = &path.root else { return None };
        let mut steps = path.steps.iter();
        let mut value = if let Some(round) = self.loops.iter().rev().find(|round| round.name == *name) {
            &round.item
        } else if let Some(outer) = self.outer {
            return outer.plain(path);
        } else if let Some(local) = self.locals.iter().find(|local| local.name == *name) {
            let is_shadowed = !self.loops.is_empty() && matches!(&**name, "forloop" | "tablerowloop");
            Some(&local.value).filter(|_| local.range.is_none() && !is_shadowed)?
        } else {
            let (row, true, Some(Step::Key { key, .. })) = (self.row?, path.is_row, steps.next()) else { return None };
            path.place.cell(row, key)?
        };
        for step in steps {
            let Step::Key { key, .. } = step else { return None };
            value = value.as_object()?.get(&**key)?;
        }
        Some(value)
    }

    /// Follows a path; a step that is not there gives nil, and so does all behind it.
    pub(super) fn path<'s>(&'s self, path: &'s Path) -> Result<Cow<'s, Value>, Fault> {
        let mut place = match &path.root {
            PathRoot::Name(name) => self.root(name, Some(&path.place))?,
            PathRoot::Computed(name) => {
                let name = self.expression(name)?;
                self.root(&text_of(&name)?, None)?
            }
        };
        self.budget.step(path.steps.len() / 4)?;
        for step in &path.steps {
            place = match step {
                Step::Key { key, is_command } => self.key(place, key, *is_command, Some(&path.place))?,
                Step::Index(index) => index_of(place, *index),
                Step::Computed(expression) => {
                    let key = self.expression(expression)?;
                    match whole_index(&key) {
                        Some(index) => index_of(place, index),
                        None if key.is_null() => Place::Value(Cow::Owned(Value::Null)),
                        None => self.key(place, &text_of(&key)?, false, None)?,
                    }
                }
            };
        }
        Ok(match place {
            Place::Value(value) => value,
            Place::Row(row) => {
                self.budget.step(row.values().iter().map(cost).sum())?;
                Cow::Owned(Value::Object(whole_row(row)))
            }
            Place::Loop(depth) => Cow::Owned(self.whole_loop(depth)),
        })
    }

    /// Finds what a name means: the innermost loop variable, then what was assigned, a root, a column, a counter.
    ///
    /// `known` is where the column stands, for a name that is always the same.
    fn root<'s>(&'s self, name: &str, known: Option<&ColumnPlace>) -> Result<Place<'s>, Fault> {
        if let Some(round) = self.loops.iter().rev().find(|round| &*round.name == name) {
            return Ok(Place::Value(Cow::Borrowed(&round.item)));
        }
        if !self.loops.is_empty()
            && (name == "forloop" || name == "tablerowloop")
            && let Some(depth) = self.innermost(name == "forloop", self.loops.len())
        {
            return Ok(Place::Loop(depth));
        }
        if let Some(outer) = self.outer {
            return outer.root(name, known);
        }
        if let Some(local) = self.locals.iter().find(|local| &*local.name == name) {
            return Ok(Place::Value(match local.range {
                Some(bounds) => Cow::Owned(self.listed(bounds)?),
                None => Cow::Borrowed(&local.value),
            }));
        }
        let is_row = name == "row" || name == "record";
        let row = || self.row.map(Root::Row).or_else(|| row_of(self.variables));
        match if is_row { row() } else { self.variables.root(name) } {
            Some(Root::Value(value)) => return Ok(Place::Value(Cow::Borrowed(value))),
            Some(Root::Row(row)) => return Ok(Place::Row(row)),
            None if is_row => return Ok(Place::Value(Cow::Owned(Value::Null))),
            None => {}
        }
        let column = match row() {
            Some(Root::Row(row)) => cell(row, name, known),
            Some(Root::Value(value)) => value.as_object().and_then(|object| object.get(name)),
            None => None,
        };
        if let Some(value) = column {
            return Ok(Place::Value(Cow::Borrowed(value)));
        }
        let counter = self.counters.iter().find(|(known, _)| &**known == name);
        Ok(Place::Value(Cow::Owned(counter.map_or(Value::Null, |(_, counter)| Value::Int(*counter)))))
    }

    fn key<'s>(
        &'s self,
        place: Place<'s>,
        key: &str,
        is_command: bool,
        known: Option<&ColumnPlace>,
    ) -> Result<Place<'s>, Fault> {
        let answer = |value: &Value| {
            if !is_command {
                return Ok(Value::Null);
            }
            let answer = command(value, key);
            self.budget.step(cost(&answer))?;
            Ok(answer)
        };
        Ok(Place::Value(match place {
            Place::Value(Cow::Borrowed(value)) => match field(value, key) {
                Some(found) => Cow::Borrowed(found),
                None => Cow::Owned(answer(value)?),
            },
            Place::Value(Cow::Owned(value)) => Cow::Owned(match field(&value, key) {
                Some(found) => found.clone(),
                None => answer(&value)?,
            }),
            Place::Row(row) => match cell(row, key, known) {
                Some(found) => Cow::Borrowed(found),
                None if is_command => {
                    self.budget.step(row.values().iter().map(cost).sum())?;
                    Cow::Owned(command(&Value::Object(whole_row(row)), key))
                }
                None => Cow::Owned(Value::Null),
            },
            Place::Loop(depth) => match self.innermost(true, depth) {
                Some(parent) if key == "parentloop" => return Ok(Place::Loop(parent)),
                Some(_) | None => Cow::Owned(self.loop_field(depth, key)),
            },
        }))
    }
}

/// Returns a cell; where its column stands may be known.
fn cell<'r>(row: &'r Row, name: &str, known: Option<&ColumnPlace>) -> Option<&'r Value> {
    match known {
        Some(place) => place.cell(row, name),
        None => row.get(name),
    }
}

/// Returns what `row` stands for.
pub(crate) fn row_of(variables: &dyn Variables) -> Option<Root<'_>> {
    variables.root("row").or_else(|| variables.root("record"))
}

/// Returns an item by position; negative ones count from the end.
fn index_of(place: Place<'_>, index: i128) -> Place<'_> {
    let at = |length: usize| {
        let index = if index < 0 { index.checked_add(i128::try_from(length).ok()?)? } else { index };
        usize::try_from(index).ok()
    };
    Place::Value(match place {
        Place::Value(Cow::Borrowed(Value::List(items))) => match at(items.len()).and_then(|index| items.get(index)) {
            Some(item) => Cow::Borrowed(item),
            None => Cow::Owned(Value::Null),
        },
        Place::Value(Cow::Owned(Value::List(items))) => {
            Cow::Owned(at(items.len()).and_then(|index| items.get(index)).cloned().unwrap_or(Value::Null))
        }
        Place::Value(_) | Place::Row(_) | Place::Loop(_) => Cow::Owned(Value::Null),
    })
}

/// Where a column was found last time.
#[derive(Debug, Default)]
pub(crate) struct ColumnPlace {
    /// Only a guess: rows of another model may come.
    at: AtomicUsize,
    /// The row's own copy of the name, as first found: known by its address, it needs no comparison.
    name: OnceLock<Arc<str>>,
}

impl ColumnPlace {
    /// Returns the cell of the column `name`, which is the same at each call.
    pub(crate) fn cell<'r>(&self, row: &'r Row, name: &str) -> Option<&'r Value> {
        let guess = self.at.load(Atomic::Relaxed);
        if let Some(candidate) = row.names().get(guess)
            && (self.name.get().is_some_and(|known| Arc::ptr_eq(known, candidate)) || &**candidate == name)
        {
            return row.at(guess);
        }
        let found = row.names().iter().position(|candidate| &**candidate == name)?;
        self.at.store(found, Atomic::Relaxed);
        self.name.get_or_init(|| row.names().get(found).map_or_else(|| name.into(), Arc::clone));
        row.at(found)
    }
}

fn whole_row(row: &Row) -> Object {
    row.names().iter().cloned().zip(row.values().iter().cloned()).collect()
}

fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object()?.get(key)
}

/// Answers `.size`, `.first` and `.last` where the value has no such key.
fn command(value: &Value, key: &str) -> Value {
    let pair = |(name, field): (&Arc<str>, &Value)| Value::List(vec![Value::Text(Arc::clone(name)), field.clone()]);
    match (key, value) {
        ("size", value) => size_of(value).map_or(Value::Null, Value::Int),
        ("first", Value::List(items)) => items.first().cloned().unwrap_or(Value::Null),
        ("last", Value::List(items)) => items.last().cloned().unwrap_or(Value::Null),
        ("first", Value::Object(object)) => object.first().map_or(Value::Null, pair),
        ("last", Value::Object(object)) => object.last().map_or(Value::Null, pair),
        _ => Value::Null,
    }
}

fn whole_index(value: &Value) -> Option<i128> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}
