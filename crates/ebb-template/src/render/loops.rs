//! `for` and `tablerow`.

use std::borrow::Cow;
use std::sync::Arc;
use std::vec;

use ebb_row::{Object, Value, ValueKind};

use super::{Flow, Renderer, range_length, whole};
use crate::ast::{Expression, For, LoopOffset, TableRow};
use crate::error::{Failure, Fault};
use crate::filters::{ITEM, weight};
use crate::printout::Printout;

/// A loop that is running.
pub(super) struct Round {
    pub(super) name: Arc<str>,
    pub(super) kind: RoundKind,
    pub(super) item: Value,
    index: usize,
    length: usize,
}

/// Which tag a loop is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RoundKind {
    /// A `for`, and what `forloop.name` says.
    For(Arc<str>),
    /// A `tablerow`, and how many cells a row has; 0: all are in one row.
    Table(usize),
    /// No tag: the item that a filter such as `where_exp` asks about.
    Lambda,
}

/// What a loop walks over.
enum Items {
    Listed(vec::IntoIter<Value>),
    /// A range: its numbers are made as they come.
    Counted {
        next: i128,
        step: i128,
        left: usize,
    },
}

impl Items {
    fn reverse(&mut self) {
        match self {
            Self::Listed(items) => items.as_mut_slice().reverse(),
            Self::Counted { next, step, left } => {
                let steps = i128::try_from(left.saturating_sub(1)).unwrap_or(0);
                *next += *step * steps;
                *step = -*step;
            }
        }
    }
}

impl Iterator for Items {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        match self {
            Self::Listed(items) => items.next(),
            Self::Counted { next, step, left } => {
                *left = left.checked_sub(1)?;
                let number = *next;
                *next = next.saturating_add(*step);
                Some(Value::Int(number))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match self {
            Self::Listed(items) => items.len(),
            Self::Counted { left, .. } => *left,
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Items {}

impl Renderer<'_> {
    pub(super) fn for_loop(&mut self, offset: usize, head: &For, out: &mut Printout) -> Result<Flow, Failure> {
        let at = |fault: Fault| fault.at(offset);
        let from = self.loop_start(head).map_err(at)?;
        let limit = self.count_of(head.limit.as_ref(), "limit").map_err(at)?;
        let mut items = self.loop_items(&head.collection, from, limit).map_err(at)?;
        if head.reversed {
            items.reverse();
        }
        let bytes = self.hold(&items).map_err(at)?;
        let stopped = from.saturating_add(i128::try_from(items.len()).unwrap_or(i128::MAX));
        match self.resumes.iter_mut().find(|(label, _)| *label == head.label) {
            Some((_, resume)) => *resume = stopped,
            None => self.resumes.push((Arc::clone(&head.label), stopped)),
        }
        if items.len() == 0 {
            return self.block(&head.otherwise, out);
        }
        self.enter(&head.name, RoundKind::For(Arc::clone(&head.label)), items.len());
        for (index, item) in items.enumerate() {
            self.turn(index, item).map_err(at)?;
            if self.block(&head.block, out)? == Flow::Break {
                break;
            }
        }
        self.loops.pop();
        self.budget.give_back(bytes);
        Ok(Flow::Normal)
    }

    pub(super) fn table_row(&mut self, offset: usize, head: &TableRow, out: &mut Printout) -> Result<(), Failure> {
        let at = |fault: Fault| fault.at(offset);
        if !crate::compare::is_true(&*self.expression(&head.collection).map_err(at)?) {
            return Ok(());
        }
        let from = self.count_of(head.offset.as_ref(), "offset").map_err(at)?.unwrap_or(0);
        let limit = match &head.limit {
            Some(limit) => Some(self.count_of(Some(limit), "limit").map_err(at)?.unwrap_or(0)),
            None => None,
        };
        let columns = self.count_of(head.columns.as_ref(), "cols").map_err(at)?.unwrap_or(0);
        let columns = usize::try_from(columns).unwrap_or(0);
        let items = self.loop_items(&head.collection, from, limit).map_err(at)?;
        let length = items.len();
        let bytes = self.hold(&items).map_err(at)?;
        self.literal(out, "<tr class=\"row1\">\n", offset).map_err(at)?;
        self.enter(&head.name, RoundKind::Table(columns), length);
        for (index, item) in items.enumerate() {
            self.turn(index, item).map_err(at)?;
            let (row, column) = (row_of(index, columns), column_of(index, columns));
            self.literal(out, &format!("<td class=\"col{column}\">"), offset).map_err(at)?;
            let flow = self.block(&head.block, out)?;
            self.literal(out, "</td>", offset).map_err(at)?;
            if flow == Flow::Break {
                break;
            }
            if column == columns && index + 1 < length {
                self.literal(out, &format!("</tr>\n<tr class=\"row{}\">", row + 1), offset).map_err(at)?;
            }
        }
        self.loops.pop();
        self.budget.give_back(bytes);
        self.literal(out, "</tr>\n", offset).map_err(at)
    }

    pub(super) fn enter(&mut self, name: &Arc<str>, kind: RoundKind, length: usize) {
        self.loops.push(Round { name: Arc::clone(name), kind, item: Value::Null, index: 0, length });
    }

    pub(super) fn turn(&mut self, index: usize, item: Value) -> Result<(), Fault> {
        if let Some(round) = self.loops.last_mut() {
            round.item = item;
            round.index = index;
        }
        self.budget.step(1)
    }

    fn loop_start(&self, head: &For) -> Result<i128, Fault> {
        match &head.offset {
            None => Ok(0),
            Some(LoopOffset::Continue) => {
                Ok(self.resumes.iter().find(|(label, _)| *label == head.label).map_or(0, |(_, resume)| *resume))
            }
            Some(LoopOffset::At(offset)) => Ok(self.count_of(Some(offset), "offset")?.unwrap_or(0)),
        }
    }

    /// Returns a loop's limit, offset or number of columns; `None` where it is nil or not there.
    fn count_of(&self, expression: Option<&Expression>, what: &str) -> Result<Option<i128>, Fault> {
        let Some(expression) = expression else { return Ok(None) };
        let value = self.expression(expression)?;
        let number = match value.kind() {
            ValueKind::Null => return Ok(None),
            ValueKind::Number => whole(&value),
            ValueKind::Boolean
            | ValueKind::Text
            | ValueKind::Binary
            | ValueKind::Timestamp
            | ValueKind::Date
            | ValueKind::List
            | ValueKind::Object
            | ValueKind::Lookup => value.as_text().and_then(|text| text.trim().parse().ok()),
        };
        number.map(Some).ok_or_else(|| Fault::new(format!("`{what}` needs a whole number")))
    }

    /// Returns what a loop walks over: an object gives pairs, a text is one item.
    ///
    /// The end is `from + limit`, also with a negative `from`.
    fn loop_items(&self, collection: &Expression, from: i128, limit: Option<i128>) -> Result<Items, Fault> {
        let bound = |at: i128| usize::try_from(at.max(0)).unwrap_or(usize::MAX);
        let end = limit.map_or(usize::MAX, |limit| bound(from.saturating_add(limit)));
        let from = bound(from);
        let limit = end.saturating_sub(from);
        if let Some(bounds) = self.range_bounds(collection)? {
            let length = range_length(bounds)?.saturating_sub(from).min(limit);
            let from = i128::try_from(from).unwrap_or(i128::MAX);
            return Ok(Items::Counted { next: bounds.0.saturating_add(from), step: 1, left: length });
        }
        let collection = self.expression(collection)?;
        let pair = |(name, field): (&Arc<str>, &Value)| Value::List(vec![Value::Text(Arc::clone(name)), field.clone()]);
        let items: Vec<Value> = if let Cow::Owned(Value::List(items)) = collection {
            // In the list's own memory.
            items.into_iter().skip(from).take(limit).collect()
        } else if let Value::List(items) = &*collection {
            items.iter().skip(from).take(limit).cloned().collect()
        } else if let Value::Object(object) = &*collection {
            object.iter().skip(from).take(limit).map(pair).collect()
        } else if collection.as_text().is_some_and(|text| !text.is_empty()) {
            vec![collection.into_owned()]
        } else {
            Vec::new()
        };
        self.budget.step(items.len() / 16 + items.iter().map(weight).sum::<usize>() / 1024)?;
        Ok(Items::Listed(items.into_iter()))
    }

    /// Counts the items of a loop inside of another as long as it runs; returns what to give back.
    fn hold(&self, items: &Items) -> Result<usize, Fault> {
        let bytes = match items {
            Items::Listed(items) if !self.loops.is_empty() => {
                items.as_slice().iter().map(|item| ITEM + weight(item)).sum()
            }
            Items::Listed(_) | Items::Counted { .. } => 0,
        };
        self.budget.produce(bytes)?;
        Ok(bytes)
    }

    /// Returns the depth of the innermost loop of this sort under `below` loops.
    pub(super) fn innermost(&self, is_for: bool, below: usize) -> Option<usize> {
        self.loops.iter().take(below).rposition(|round| match round.kind {
            RoundKind::For(_) => is_for,
            RoundKind::Table(_) => !is_for,
            RoundKind::Lambda => false,
        })
    }

    /// Answers `forloop.key` or `tablerowloop.key`.
    pub(super) fn loop_field(&self, depth: usize, key: &str) -> Value {
        let Some(round) = self.loops.get(depth) else { return Value::Null };
        let number = |number: usize| i128::try_from(number).map_or(Value::Null, Value::Int);
        match (key, &round.kind) {
            ("index", _) => number(round.index + 1),
            ("index0", _) => number(round.index),
            ("rindex", _) => number(round.length - round.index),
            ("rindex0", _) => number(round.length - round.index - 1),
            ("first", _) => Value::Bool(round.index == 0),
            ("last", _) => Value::Bool(round.index + 1 == round.length),
            ("length", _) => number(round.length),
            ("name", RoundKind::For(label)) => Value::Text(Arc::clone(label)),
            ("row", RoundKind::Table(columns)) => number(row_of(round.index, *columns)),
            ("col", RoundKind::Table(columns)) => number(column_of(round.index, *columns)),
            ("col0", RoundKind::Table(columns)) => number(column_of(round.index, *columns) - 1),
            ("col_first", RoundKind::Table(columns)) => Value::Bool(column_of(round.index, *columns) == 1),
            ("col_last", RoundKind::Table(columns)) => Value::Bool(column_of(round.index, *columns) == *columns),
            _ => Value::Null,
        }
    }

    pub(super) fn whole_loop(&self, depth: usize) -> Value {
        const FIELDS: [&str; 8] = ["name", "length", "index", "index0", "rindex", "rindex0", "first", "last"];
        const TABLE_FIELDS: [&str; 12] = [
            "length",
            "index",
            "index0",
            "rindex",
            "rindex0",
            "first",
            "last",
            "row",
            "col",
            "col0",
            "col_first",
            "col_last",
        ];
        let is_table = self.loops.get(depth).is_some_and(|round| matches!(round.kind, RoundKind::Table(_)));
        let keys: &[&str] = if is_table { &TABLE_FIELDS } else { &FIELDS };
        let fields: Object = keys.iter().map(|key| (Arc::from(*key), self.loop_field(depth, key))).collect();
        Value::Object(fields)
    }
}

/// Returns the row of a table's cell, from 1.
fn row_of(index: usize, columns: usize) -> usize {
    index.checked_div(columns).unwrap_or(0) + 1
}

/// Returns the column of a table's cell, from 1.
fn column_of(index: usize, columns: usize) -> usize {
    index.checked_rem(columns).unwrap_or(index) + 1
}
