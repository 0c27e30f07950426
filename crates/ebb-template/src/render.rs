//! The one evaluator of Liquid.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering as Atomic;

use bigdecimal::{RoundingMode, ToPrimitive};
use ebb_row::{Object, Row, Value, ValueKind};

use crate::ast::{
    Block, Condition, CycleGroup, Expression, FilterCall, Filtered, For, Join, LoopOffset, Node, NodeKind, Operator,
    Path, PathRoot, Step, Test,
};
use crate::compare::{contains, equals, is_blank, is_empty, is_true, order};
use crate::error::{Failure, Fault};
use crate::filters::{Arguments, Call, Regexes, size_of, weight};
use crate::limits::{Budget, RANGE_ITEMS};
use crate::number::Number;
use crate::print::{text_of, write_text};
use crate::{Root, Variables};

/// One render of one template.
pub(crate) struct Renderer<'t> {
    variables: &'t dyn Variables,
    regexes: &'t Regexes,
    knows_now: bool,
    budget: Budget,
    locals: Vec<(Arc<str>, Value)>,
    counters: Vec<(Arc<str>, i128)>,
    cycles: Vec<(String, usize)>,
    /// Where each loop stopped, for `offset: continue`.
    resumes: Vec<(Arc<str>, usize)>,
    loops: Vec<Round>,
}

/// A loop that is running.
struct Round {
    name: Arc<str>,
    label: Arc<str>,
    item: Value,
    index: usize,
    length: usize,
}

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Normal,
    Break,
    Continue,
}

/// What a path has reached.
enum Place<'s> {
    Value(Cow<'s, Value>),
    Row(&'s Row),
    /// A running loop, by its depth.
    Loop(usize),
}

impl<'t> Renderer<'t> {
    pub(crate) fn new(variables: &'t dyn Variables, regexes: &'t Regexes, knows_now: bool) -> Self {
        Self {
            variables,
            regexes,
            knows_now,
            budget: Budget::default(),
            locals: Vec::new(),
            counters: Vec::new(),
            cycles: Vec::new(),
            resumes: Vec::new(),
            loops: Vec::new(),
        }
    }

    /// Renders nodes as text.
    pub(crate) fn text(mut self, nodes: &Block) -> Result<String, Failure> {
        let mut out = String::new();
        self.block(nodes, &mut out)?;
        Ok(out)
    }

    /// Evaluates the one output of an expression.
    pub(crate) fn value(self, value: &Filtered) -> Result<Value, Fault> {
        let result = self.filtered(value)?;
        if let Value::Float(number) = &*result
            && !number.is_finite()
        {
            return Err(Fault::new("the result is NaN or infinite"));
        }
        Ok(result.into_owned())
    }

    fn block(&mut self, nodes: &Block, out: &mut String) -> Result<Flow, Failure> {
        for node in nodes {
            let flow = self.node(node, out)?;
            if flow != Flow::Normal {
                return Ok(flow);
            }
        }
        Ok(Flow::Normal)
    }

    fn node(&mut self, node: &Node, out: &mut String) -> Result<Flow, Failure> {
        let at = |fault: Fault| fault.at(node.offset);
        self.budget.step(1).map_err(at)?;
        match &node.kind {
            NodeKind::Text(text) => self
                .print(out, |out| {
                    out.push_str(text);
                    Ok(())
                })
                .map_err(at)?,
            NodeKind::Output(value) => self.output(value, out).map_err(at)?,
            NodeKind::If { branches, otherwise } => {
                for branch in branches {
                    let holds = self.condition(&branch.condition).map_err(|fault| fault.at(branch.offset))?;
                    if holds != branch.negated {
                        return self.block(&branch.block, out);
                    }
                }
                return self.block(otherwise, out);
            }
            NodeKind::Case { subject, arms } => {
                let mut has_matched = false;
                for arm in arms {
                    let matches = match &arm.values {
                        Some(values) => self.when(subject, values).map_err(|fault| fault.at(arm.offset))?,
                        None => !has_matched,
                    };
                    if matches {
                        has_matched = true;
                        let flow = self.block(&arm.block, out)?;
                        if flow != Flow::Normal {
                            return Ok(flow);
                        }
                    }
                }
            }
            NodeKind::For(head) => return self.for_loop(node.offset, head, out),
            NodeKind::Assign { name, value } => {
                let value = self.assigned(value).map_err(at)?;
                self.set(name, value);
            }
            NodeKind::Capture { name, block } => {
                let mut captured = String::new();
                let flow = self.block(block, &mut captured)?;
                self.set(name, Value::from(captured));
                return Ok(flow);
            }
            NodeKind::Increment(name) => self.count(name, 1, out).map_err(at)?,
            NodeKind::Decrement(name) => self.count(name, -1, out).map_err(at)?,
            NodeKind::Cycle { group, values } => self.cycle(group, values, out).map_err(at)?,
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Normal)
    }

    /// Lets `write` append to the output and counts what it added.
    fn print(&self, out: &mut String, write: impl FnOnce(&mut String) -> Result<(), Fault>) -> Result<(), Fault> {
        let before = out.len();
        write(out)?;
        self.budget.produce(out.len() - before)
    }

    fn output(&self, value: &Filtered, out: &mut String) -> Result<(), Fault> {
        if let (Expression::Range(bounds), true) = (&value.base, value.filters.is_empty()) {
            let (first, last) = self.bounds(bounds)?;
            let text = format!("{first}..{last}");
            return self.print(out, |out| {
                out.push_str(&text);
                Ok(())
            });
        }
        let value = self.filtered(value)?;
        self.print(out, |out| write_text(&value, out))
    }

    fn assigned(&self, value: &Filtered) -> Result<Value, Fault> {
        let value = self.filtered(value)?;
        if let Cow::Borrowed(borrowed @ (Value::List(_) | Value::Object(_))) = &value {
            self.budget.produce(weight(borrowed))?;
        }
        Ok(value.into_owned())
    }

    fn set(&mut self, name: &Arc<str>, value: Value) {
        match self.locals.iter_mut().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot = value,
            None => self.locals.push((Arc::clone(name), value)),
        }
    }

    fn count(&mut self, name: &Arc<str>, by: i128, out: &mut String) -> Result<(), Fault> {
        let known = self.counters.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or(self.counters.len());
        if known.is_none() {
            self.counters.push((Arc::clone(name), 0));
        }
        let Some((_, counter)) = self.counters.get_mut(at) else { return Ok(()) };
        // `increment` shows the number before it counts, `decrement` after.
        let shown = if by > 0 { *counter } else { *counter + by };
        *counter += by;
        self.print(out, |out| write_text(&Value::Int(shown), out))
    }

    fn cycle(&mut self, group: &CycleGroup, values: &[Expression], out: &mut String) -> Result<(), Fault> {
        let key = match group {
            CycleGroup::Values(markup) => format!("values {markup}"),
            CycleGroup::Named(name) => format!("name {}", text_of(&*self.expression(name)?)?),
        };
        let known = self.cycles.iter().position(|(known, _)| *known == key);
        let at = known.unwrap_or(self.cycles.len());
        if known.is_none() {
            self.cycles.push((key, 0));
        }
        let turn = self.cycles.get(at).map_or(0, |(_, turn)| *turn);
        if let Some((_, next)) = self.cycles.get_mut(at) {
            *next = (turn + 1) % values.len().max(1);
        }
        if let Some(value) = values.get(turn) {
            let value = self.expression(value)?;
            self.print(out, |out| write_text(&value, out))?;
        }
        Ok(())
    }

    fn when(&self, subject: &Expression, values: &[Expression]) -> Result<bool, Fault> {
        for value in values {
            if self.compare(subject, Operator::Equal, value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn for_loop(&mut self, offset: usize, head: &For, out: &mut String) -> Result<Flow, Failure> {
        let at = |fault: Fault| fault.at(offset);
        let from = self.loop_start(head).map_err(at)?;
        let items = self.loop_items(head, from).map_err(at)?;
        let stopped = from.saturating_add(items.len());
        match self.resumes.iter_mut().find(|(label, _)| *label == head.label) {
            Some((_, resume)) => *resume = stopped,
            None => self.resumes.push((Arc::clone(&head.label), stopped)),
        }
        if items.is_empty() {
            return self.block(&head.otherwise, out);
        }
        self.loops.push(Round {
            name: Arc::clone(&head.name),
            label: Arc::clone(&head.label),
            item: Value::Null,
            index: 0,
            length: items.len(),
        });
        for (index, item) in items.into_iter().enumerate() {
            self.budget.step(1).map_err(at)?;
            if let Some(round) = self.loops.last_mut() {
                round.item = item;
                round.index = index;
            }
            if self.block(&head.block, out)? == Flow::Break {
                break;
            }
        }
        self.loops.pop();
        Ok(Flow::Normal)
    }

    fn loop_start(&self, head: &For) -> Result<usize, Fault> {
        match &head.offset {
            None => Ok(0),
            Some(LoopOffset::Continue) => {
                Ok(self.resumes.iter().find(|(label, _)| *label == head.label).map_or(0, |(_, resume)| *resume))
            }
            Some(LoopOffset::At(offset)) => Ok(self.count_of(offset, "offset")?.unwrap_or(0)),
        }
    }

    /// Returns a loop's limit or offset; `None` for nil.
    fn count_of(&self, expression: &Expression, what: &str) -> Result<Option<usize>, Fault> {
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
        let number = number.ok_or_else(|| Fault::new(format!("`{what}` needs a whole number")))?;
        Ok(Some(usize::try_from(number.max(0)).unwrap_or(usize::MAX)))
    }

    fn loop_items(&self, head: &For, from: usize) -> Result<Vec<Value>, Fault> {
        let limit = match &head.limit {
            Some(limit) => self.count_of(limit, "limit")?.unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let collection = self.expression(&head.collection)?;
        let pair = |(name, field): (&Arc<str>, &Value)| Value::List(vec![Value::Text(Arc::clone(name)), field.clone()]);
        let mut items: Vec<Value> = if let Value::List(items) = &*collection {
            items.iter().skip(from).take(limit).cloned().collect()
        } else if let Value::Object(object) = &*collection {
            object.iter().skip(from).take(limit).map(pair).collect()
        } else if collection.as_text().is_some_and(|text| !text.is_empty()) && from == 0 && limit > 0 {
            vec![collection.into_owned()]
        } else {
            Vec::new()
        };
        self.budget.step(items.len() / 16 + items.iter().map(weight).sum::<usize>() / 1024)?;
        if head.reversed {
            items.reverse();
        }
        Ok(items)
    }

    fn condition(&self, condition: &Condition) -> Result<bool, Fault> {
        let mut holds = false;
        for (test, join) in &condition.tests {
            self.budget.step(1)?;
            holds = self.test(test)?;
            // Grouped from the right, so a decided left side decides everything behind it.
            match join {
                Join::And if !holds => return Ok(false),
                Join::Or if holds => return Ok(true),
                Join::And | Join::Or => {}
            }
        }
        Ok(holds)
    }

    fn test(&self, test: &Test) -> Result<bool, Fault> {
        match test {
            Test::Truth(Expression::Blank | Expression::Empty) => Ok(true),
            Test::Truth(expression) => Ok(is_true(&*self.expression(expression)?)),
            Test::Compare(left, operator, right) => self.compare(left, *operator, right),
        }
    }

    fn compare(&self, left: &Expression, operator: Operator, right: &Expression) -> Result<bool, Fault> {
        let ordering = || order(&*self.expression(left)?, &*self.expression(right)?);
        Ok(match operator {
            Operator::Equal => self.equal(left, right)?,
            Operator::NotEqual => !self.equal(left, right)?,
            Operator::Less => ordering()?.is_some_and(std::cmp::Ordering::is_lt),
            Operator::LessOrEqual => ordering()?.is_some_and(std::cmp::Ordering::is_le),
            Operator::Greater => ordering()?.is_some_and(std::cmp::Ordering::is_gt),
            Operator::GreaterOrEqual => ordering()?.is_some_and(std::cmp::Ordering::is_ge),
            Operator::Contains => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                if let Value::Text(text) = &*left {
                    self.budget.step(text.len() / 1024)?;
                }
                contains(&left, &right)?
            }
        })
    }

    fn equal(&self, left: &Expression, right: &Expression) -> Result<bool, Fault> {
        Ok(match (left, right) {
            (Expression::Blank, other) | (other, Expression::Blank) => is_blank(&*self.expression(other)?),
            (Expression::Empty, other) | (other, Expression::Empty) => is_empty(&*self.expression(other)?),
            (left, right) => equals(&*self.expression(left)?, &*self.expression(right)?),
        })
    }

    fn filtered<'s>(&'s self, value: &'s Filtered) -> Result<Cow<'s, Value>, Fault> {
        let mut result = self.expression(&value.base)?;
        for call in &value.filters {
            result = self.filter(call, result)?;
        }
        Ok(result)
    }

    fn filter<'s>(&'s self, call: &'s FilterCall, input: Cow<'s, Value>) -> Result<Cow<'s, Value>, Fault> {
        let mut arguments = Arguments::default();
        for argument in &call.positional {
            arguments.positional.push(self.expression(argument)?);
        }
        for (name, argument) in &call.named {
            arguments.named.push((name, self.expression(argument)?));
        }
        let context = Call {
            budget: &self.budget,
            regexes: self.regexes,
            now: &|| self.variables.now(),
            knows_now: self.knows_now,
        };
        call.filter.apply(&context, input, &arguments)
    }

    fn expression<'s>(&'s self, expression: &'s Expression) -> Result<Cow<'s, Value>, Fault> {
        match expression {
            Expression::Literal(value) => Ok(Cow::Borrowed(value)),
            Expression::Blank | Expression::Empty => Ok(Cow::Owned(Value::from(""))),
            Expression::Range(bounds) => self.range(bounds).map(Cow::Owned),
            Expression::Path(path) => self.path(path),
        }
    }

    fn bounds(&self, bounds: &(Expression, Expression)) -> Result<(i128, i128), Fault> {
        let bound = |expression| Ok(whole(&*self.expression(expression)?).unwrap_or(0));
        Ok((bound(&bounds.0)?, bound(&bounds.1)?))
    }

    fn range(&self, bounds: &(Expression, Expression)) -> Result<Value, Fault> {
        let (first, last) = self.bounds(bounds)?;
        let length = last.saturating_sub(first).saturating_add(1);
        if length > RANGE_ITEMS {
            return Err(Fault::new(format!("a range has more than {RANGE_ITEMS} items")));
        }
        self.budget.step(usize::try_from(length.max(0)).unwrap_or(0) / 16)?;
        Ok(Value::List((first..=last).map(Value::Int).collect()))
    }

    fn path<'s>(&'s self, path: &'s Path) -> Result<Cow<'s, Value>, Fault> {
        let mut place = match &path.root {
            PathRoot::Name(name) => self.root(name, path),
            PathRoot::Computed(name) => {
                let name = self.expression(name)?;
                self.root(&text_of(&name)?, path)
            }
        };
        self.budget.step(path.steps.len() / 4)?;
        for step in &path.steps {
            place = match step {
                Step::Key(key) => self.key(place, key, path),
                Step::Index(index) => index_of(place, *index),
                Step::Computed(expression) => {
                    let key = self.expression(expression)?;
                    match whole_index(&key) {
                        Some(index) => index_of(place, index),
                        None if key.is_null() => Place::Value(Cow::Owned(Value::Null)),
                        None => self.key(place, &text_of(&key)?, path),
                    }
                }
            };
        }
        Ok(match place {
            Place::Value(value) => value,
            Place::Row(row) => {
                self.budget.step(row.values().len() / 16)?;
                Cow::Owned(Value::Object(whole_row(row)))
            }
            Place::Loop(depth) => Cow::Owned(self.whole_loop(depth)),
        })
    }

    /// Finds what a name means: the innermost loop variable, then what was assigned, a root, a column, a counter.
    fn root<'s>(&'s self, name: &str, path: &Path) -> Place<'s> {
        if let Some(round) = self.loops.iter().rev().find(|round| &*round.name == name) {
            return Place::Value(Cow::Borrowed(&round.item));
        }
        if let (Some(depth), "forloop") = (self.loops.len().checked_sub(1), name) {
            return Place::Loop(depth);
        }
        if let Some((_, value)) = self.locals.iter().find(|(known, _)| &**known == name) {
            return Place::Value(Cow::Borrowed(value));
        }
        let is_row = name == "row" || name == "record";
        let root = if is_row { self.row() } else { self.variables.root(name) };
        match root {
            Some(Root::Value(value)) => return Place::Value(Cow::Borrowed(value)),
            Some(Root::Row(row)) => return Place::Row(row),
            None if is_row => return Place::Value(Cow::Owned(Value::Null)),
            None => {}
        }
        let column = match self.row() {
            Some(Root::Row(row)) => column(row, name, path),
            Some(Root::Value(value)) => value.as_object().and_then(|object| object.get(name)),
            None => None,
        };
        if let Some(value) = column {
            return Place::Value(Cow::Borrowed(value));
        }
        let counter = self.counters.iter().find(|(known, _)| &**known == name);
        Place::Value(Cow::Owned(counter.map_or(Value::Null, |(_, counter)| Value::Int(*counter))))
    }

    fn row(&self) -> Option<Root<'_>> {
        self.variables.root("row").or_else(|| self.variables.root("record"))
    }

    fn key<'s>(&'s self, place: Place<'s>, key: &str, path: &Path) -> Place<'s> {
        Place::Value(match place {
            Place::Value(Cow::Borrowed(value)) => match field(value, key) {
                Some(found) => Cow::Borrowed(found),
                None => Cow::Owned(command(value, key)),
            },
            Place::Value(Cow::Owned(value)) => {
                Cow::Owned(field(&value, key).cloned().unwrap_or_else(|| command(&value, key)))
            }
            Place::Row(row) => match column(row, key, path) {
                Some(found) => Cow::Borrowed(found),
                None => Cow::Owned(command(&Value::Object(whole_row(row)), key)),
            },
            Place::Loop(depth) => match (key, depth.checked_sub(1)) {
                ("parentloop", Some(parent)) => return Place::Loop(parent),
                _ => Cow::Owned(self.loop_field(depth, key)),
            },
        })
    }

    fn loop_field(&self, depth: usize, key: &str) -> Value {
        let Some(round) = self.loops.get(depth) else { return Value::Null };
        let number = |number: usize| i128::try_from(number).map_or(Value::Null, Value::Int);
        match key {
            "index" => number(round.index + 1),
            "index0" => number(round.index),
            "rindex" => number(round.length - round.index),
            "rindex0" => number(round.length - round.index - 1),
            "first" => Value::Bool(round.index == 0),
            "last" => Value::Bool(round.index + 1 == round.length),
            "length" => number(round.length),
            "name" => Value::Text(Arc::clone(&round.label)),
            _ => Value::Null,
        }
    }

    fn whole_loop(&self, depth: usize) -> Value {
        const FIELDS: [&str; 8] = ["name", "length", "index", "index0", "rindex", "rindex0", "first", "last"];
        let fields: Object = FIELDS.into_iter().map(|key| (Arc::from(key), self.loop_field(depth, key))).collect();
        Value::Object(fields)
    }
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

/// Returns a cell; the position found last time is tried first.
fn column<'r>(row: &'r Row, name: &str, path: &Path) -> Option<&'r Value> {
    let guess = path.column_guess.load(Atomic::Relaxed);
    if row.names().get(guess).is_some_and(|candidate| &**candidate == name) {
        return row.at(guess);
    }
    let found = row.names().iter().position(|candidate| &**candidate == name)?;
    path.column_guess.store(found, Atomic::Relaxed);
    row.at(found)
}

fn whole_row(row: &Row) -> Object {
    row.names().iter().cloned().zip(row.values().iter().cloned()).collect()
}

fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    if let Value::Object(object) = value {
        return object.get(key);
    }
    let Value::List(items) = value else { return None };
    match key {
        "first" => items.first(),
        "last" => items.last(),
        _ => None,
    }
}

/// Answers `.size`, `.first` and `.last` where the value has no such key.
fn command(value: &Value, key: &str) -> Value {
    let pair = |(name, field): (&Arc<str>, &Value)| Value::List(vec![Value::Text(Arc::clone(name)), field.clone()]);
    match (key, value) {
        ("size", value) => size_of(value).map_or(Value::Null, Value::Int),
        ("first", Value::Object(object)) => object.first().map_or(Value::Null, pair),
        ("last", Value::Object(object)) => object.last().map_or(Value::Null, pair),
        _ => Value::Null,
    }
}

/// Returns a number's whole part.
fn whole(value: &Value) -> Option<i128> {
    match Number::of(value) {
        Number::Int(number) => Some(number),
        Number::Float(number) => number.trunc().to_i128(),
        Number::Decimal(number) | Number::Text(number) => number.with_scale_round(0, RoundingMode::Down).to_i128(),
    }
}

fn whole_index(value: &Value) -> Option<i128> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}
