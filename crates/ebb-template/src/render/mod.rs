//! The one evaluator of Liquid.

pub(crate) mod lookup;
mod loops;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use ebb_row::{Row, Value, ValueKind};

use crate::ast::{
    Arm, Block, Branch, Condition, CycleGroup, Expression, FilterCall, Filtered, Join, Lambda, LambdaBody, Node,
    NodeKind, Operator, PathRoot, Test,
};
use crate::compare::{contains, equals, is_blank, is_empty, is_true, order};
use crate::error::{Failure, Fault};
use crate::filters::{Arguments, Call, Regexes, cost, weight};
use crate::limits::{Budget, RANGE_ITEMS};
use crate::number::Number;
use crate::print::text_of;
use crate::printout::Printout;
use crate::render::lookup::row_of;
use crate::render::loops::{Round, RoundKind};
use crate::{Root, Variables};

/// One render of one template.
pub(crate) struct Renderer<'t> {
    variables: &'t dyn Variables,
    /// The row, where `row` stands for one.
    row: Option<&'t Row>,
    regexes: &'t Regexes,
    knows_now: bool,
    budget: Budget,
    locals: Vec<Local>,
    counters: Vec<(Arc<str>, i128)>,
    cycles: Vec<(String, usize)>,
    /// Where each loop stopped, for `offset: continue`.
    resumes: Vec<(Arc<str>, i128)>,
    loops: Vec<Round>,
    /// What the last `ifchanged` of the template printed.
    changed: Option<String>,
    /// The render that this one works for, on one item.
    outer: Option<&'t Renderer<'t>>,
}

/// A variable that the template has given a value.
struct Local {
    name: Arc<str>,
    value: Value,
    /// The bounds, where it is a range as written: it prints as `1..3`, and is made a list where one is needed.
    range: Option<(i128, i128)>,
}

/// How a block ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Normal,
    Break,
    Continue,
}

impl<'t> Renderer<'t> {
    pub(crate) fn new(variables: &'t dyn Variables, regexes: &'t Regexes, knows_now: bool) -> Self {
        let row = if let Some(Root::Row(row)) = row_of(variables) { Some(row) } else { None };
        Self {
            variables,
            row,
            regexes,
            knows_now,
            budget: Budget::default(),
            locals: Vec::new(),
            counters: Vec::new(),
            cycles: Vec::new(),
            resumes: Vec::new(),
            loops: Vec::new(),
            changed: None,
            outer: None,
        }
    }

    /// Renders nodes as text behind `out`; after a fault it is as before.
    pub(crate) fn text(mut self, nodes: &Block, out: &mut String) -> Result<(), Failure> {
        let before = out.len();
        let mut printout = Printout::behind(std::mem::take(out));
        let rendered = self.block(nodes, &mut printout);
        *out = printout.into_text();
        if rendered.is_err() {
            out.truncate(before);
        }
        rendered.map(|_| ())
    }

    /// Renders nodes as text that is one JSON value.
    pub(crate) fn json(mut self, nodes: &Block) -> Result<Value, Failure> {
        let mut out = Printout::json();
        self.block(nodes, &mut out)?;
        out.into_json()
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

    fn block(&mut self, nodes: &Block, out: &mut Printout) -> Result<Flow, Failure> {
        for node in nodes {
            let flow = self.node(node, out)?;
            if flow != Flow::Normal {
                return Ok(flow);
            }
        }
        Ok(Flow::Normal)
    }

    fn node(&mut self, node: &Node, out: &mut Printout) -> Result<Flow, Failure> {
        self.budget.step(1).map_err(|fault| fault.at(node.offset))?;
        match &node.kind {
            NodeKind::If { branches, otherwise } => self.conditional(branches, otherwise, out),
            NodeKind::Case { subject, arms } => self.case(subject, arms, out),
            NodeKind::For(head) => self.for_loop(node.offset, head, out),
            NodeKind::TableRow(head) => self.table_row(node.offset, head, out).map(|()| Flow::Normal),
            NodeKind::IfChanged(block) => self.if_changed(node.offset, block, out),
            NodeKind::Capture { name, block } => self.capture(name, block),
            NodeKind::Break => Ok(Flow::Break),
            NodeKind::Continue => Ok(Flow::Continue),
            NodeKind::Text(_)
            | NodeKind::Output(_)
            | NodeKind::Assign { .. }
            | NodeKind::Increment(_)
            | NodeKind::Decrement(_)
            | NodeKind::Cycle { .. } => {
                self.leaf(&node.kind, node.offset, out).map_err(|fault| fault.at(node.offset))?;
                Ok(Flow::Normal)
            }
        }
    }

    fn conditional(&mut self, branches: &[Branch], otherwise: &Block, out: &mut Printout) -> Result<Flow, Failure> {
        for branch in branches {
            let holds = self.condition(&branch.condition).map_err(|fault| fault.at(branch.offset))?;
            if holds != branch.negated {
                return self.block(&branch.block, out);
            }
        }
        self.block(otherwise, out)
    }

    fn case(&mut self, subject: &Expression, arms: &[Arm], out: &mut Printout) -> Result<Flow, Failure> {
        let mut has_matched = false;
        for arm in arms {
            let rounds = match &arm.values {
                Some(values) => self.matches(subject, values).map_err(|fault| fault.at(arm.offset))?,
                None => usize::from(!has_matched),
            };
            for _ in 0..rounds {
                has_matched = true;
                let flow = self.block(&arm.block, out)?;
                if flow != Flow::Normal {
                    return Ok(flow);
                }
            }
        }
        Ok(Flow::Normal)
    }

    fn capture(&mut self, name: &Arc<str>, block: &Block) -> Result<Flow, Failure> {
        let mut captured = Printout::default();
        let flow = self.block(block, &mut captured)?;
        self.set(name, Value::from(captured.into_text()), None);
        Ok(flow)
    }

    /// Renders a tag or output that has no block.
    fn leaf(&mut self, kind: &NodeKind, offset: usize, out: &mut Printout) -> Result<(), Fault> {
        match kind {
            NodeKind::Text(text) => self.literal(out, text, offset),
            NodeKind::Output(value) => self.output(value, offset, out),
            NodeKind::Assign { name, value } => self.assign(name, value),
            NodeKind::Increment(name) => {
                let shown = self.count(name, 1);
                self.print(out, &shown, offset, false)
            }
            NodeKind::Decrement(name) => {
                let shown = self.count(name, -1);
                self.print(out, &shown, offset, false)
            }
            NodeKind::Cycle { group, values } => match self.cycle(group, values)? {
                Some(value) => self.print(out, &*self.expression(value)?, offset, false),
                None => Ok(()),
            },
            NodeKind::If { .. }
            | NodeKind::Case { .. }
            | NodeKind::For(_)
            | NodeKind::TableRow(_)
            | NodeKind::IfChanged(_)
            | NodeKind::Capture { .. }
            | NodeKind::Break
            | NodeKind::Continue => Ok(()),
        }
    }

    /// Prints text of the template and counts it.
    fn literal(&self, out: &mut Printout, text: &str, offset: usize) -> Result<(), Fault> {
        let before = out.size();
        out.literal(text, offset);
        self.budget.produce(out.size() - before)
    }

    /// Prints a value and counts it.
    fn print(&self, out: &mut Printout, value: &Value, offset: usize, is_json: bool) -> Result<(), Fault> {
        let before = out.size();
        out.value(value, offset, is_json)?;
        self.budget.produce(out.size() - before)
    }

    fn output(&self, value: &Filtered, offset: usize, out: &mut Printout) -> Result<(), Fault> {
        if let (Expression::Path(path), true) = (&value.base, value.filters.is_empty())
            && let Some(plain) = self.plain(path)
            && !matches!(plain, Value::List(_))
        {
            return self.print(out, plain, offset, false);
        }
        if !out.is_at_json_value()
            && let Some((first, last)) = self.unfiltered_range(value)?
        {
            return self.print(out, &Value::from(format!("{first}..{last}")), offset, false);
        }
        self.print(out, &*self.filtered(value)?, offset, value.writes_json)
    }

    /// Returns the bounds of a value that is a range and stays one.
    fn unfiltered_range(&self, value: &Filtered) -> Result<Option<(i128, i128)>, Fault> {
        if value.filters.is_empty() { self.range_bounds(&value.base) } else { Ok(None) }
    }

    /// Returns the bounds of a range, or of a variable that holds one.
    fn range_bounds(&self, expression: &Expression) -> Result<Option<(i128, i128)>, Fault> {
        match expression {
            Expression::Range(bounds) => self.bounds(bounds).map(Some),
            Expression::Path(path) if path.steps.is_empty() => Ok(match &path.root {
                PathRoot::Name(name) => self.local(name).and_then(|local| local.range),
                PathRoot::Computed(_) => None,
            }),
            Expression::Path(_) | Expression::Literal(_) | Expression::Blank | Expression::Empty => Ok(None),
        }
    }

    /// Returns what was assigned to a name, unless a loop's variable shadows it.
    fn local(&self, name: &str) -> Option<&Local> {
        if self.loops.iter().any(|round| &*round.name == name) {
            return None;
        }
        if let Some(outer) = self.outer {
            return outer.local(name);
        }
        self.locals.iter().find(|local| &*local.name == name)
    }

    fn assign(&mut self, name: &Arc<str>, value: &Filtered) -> Result<(), Fault> {
        if let Some(bounds) = self.unfiltered_range(value)? {
            self.set(name, Value::Null, Some(bounds));
            return Ok(());
        }
        let value = self.filtered(value)?;
        if let Cow::Borrowed(borrowed @ (Value::List(_) | Value::Object(_))) = &value {
            self.budget.produce(weight(borrowed))?;
        }
        let value = value.into_owned();
        self.set(name, value, None);
        Ok(())
    }

    fn set(&mut self, name: &Arc<str>, value: Value, range: Option<(i128, i128)>) {
        match self.locals.iter_mut().find(|local| local.name == *name) {
            Some(local) => (local.value, local.range) = (value, range),
            None => self.locals.push(Local { name: Arc::clone(name), value, range }),
        }
    }

    /// Moves a counter on and returns the number to print.
    fn count(&mut self, name: &Arc<str>, by: i128) -> Value {
        let known = self.counters.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or(self.counters.len());
        if known.is_none() {
            self.counters.push((Arc::clone(name), 0));
        }
        let Some((_, counter)) = self.counters.get_mut(at) else { return Value::Null };
        // `increment` shows the number before it counts, `decrement` after.
        let shown = if by > 0 { *counter } else { *counter + by };
        *counter += by;
        Value::Int(shown)
    }

    /// Moves a cycle on and returns what is its turn.
    fn cycle<'v>(&mut self, group: &CycleGroup, values: &'v [Expression]) -> Result<Option<&'v Expression>, Fault> {
        let key = match group {
            CycleGroup::Values(markup) => format!("values {markup}"),
            CycleGroup::Named(name) => format!("name {}", text_of(&*self.expression(name)?)?),
        };
        self.budget.step(self.cycles.len() / 16 + key.len() / 1024)?;
        let known = self.cycles.iter().position(|(known, _)| *known == key);
        let at = known.unwrap_or(self.cycles.len());
        if known.is_none() {
            self.cycles.push((key, 0));
        }
        let turn = self.cycles.get(at).map_or(0, |(_, turn)| *turn);
        if let Some((_, next)) = self.cycles.get_mut(at) {
            *next = (turn + 1) % values.len().max(1);
        }
        Ok(values.get(turn))
    }

    fn if_changed(&mut self, offset: usize, block: &Block, out: &mut Printout) -> Result<Flow, Failure> {
        let point = out.point();
        let flow = self.block(block, out)?;
        let printed = out.since(point);
        if self.changed.as_deref() == Some(printed) {
            out.rewind(point);
        } else {
            self.budget.produce(printed.len()).map_err(|fault| fault.at(offset))?;
            self.changed = Some(printed.to_owned());
        }
        Ok(flow)
    }

    /// Counts the values of a `when` that the subject equals; its block runs once for each.
    fn matches(&self, subject: &Expression, values: &[Expression]) -> Result<usize, Fault> {
        let mut count = 0;
        for value in values {
            self.budget.step(1)?;
            count += usize::from(self.compare(subject, Operator::Equal, value)?);
        }
        Ok(count)
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
        let ordering = || {
            let (left, right) = (self.expression(left)?, self.expression(right)?);
            self.budget.step(cost(&left).min(cost(&right)))?;
            order(&left, &right)
        };
        Ok(match operator {
            Operator::Equal => self.equal(left, right)?,
            Operator::NotEqual => !self.equal(left, right)?,
            Operator::Less => ordering()?.is_some_and(Ordering::is_lt),
            Operator::LessOrEqual => ordering()?.is_some_and(Ordering::is_le),
            Operator::Greater => ordering()?.is_some_and(Ordering::is_gt),
            Operator::GreaterOrEqual => ordering()?.is_some_and(Ordering::is_ge),
            Operator::Contains => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.budget.step(cost(&left) + cost(&right))?;
                contains(&left, &right)?
            }
        })
    }

    fn equal(&self, left: &Expression, right: &Expression) -> Result<bool, Fault> {
        Ok(match (left, right) {
            (Expression::Blank, other) | (other, Expression::Blank) => {
                let other = self.expression(other)?;
                self.budget.step(other.as_text().map_or(0, |text| text.len() / 1024))?;
                is_blank(&other)
            }
            (Expression::Empty, other) | (other, Expression::Empty) => is_empty(&*self.expression(other)?),
            (left, right) => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.budget.step(cost(&left).min(cost(&right)))?;
                equals(&left, &right)
            }
        })
    }

    fn filtered<'s>(&'s self, value: &'s Filtered) -> Result<Cow<'s, Value>, Fault> {
        let mut result = self.expression(&value.base)?;
        if let Some(first) = value.filters.first()
            && first.filter.prints_ranges
            && let Some((first, last)) = self.range_bounds(&value.base)?
        {
            result = Cow::Owned(Value::from(format!("{first}..{last}")));
        }
        for call in &value.filters {
            result = self.filter(call, result)?;
        }
        Ok(result)
    }

    fn filter<'s>(&'s self, call: &'s FilterCall, input: Cow<'s, Value>) -> Result<Cow<'s, Value>, Fault> {
        let mut arguments = Arguments::default();
        for argument in &call.positional {
            let range = if call.filter.prints_ranges { self.range_bounds(argument)? } else { None };
            arguments.positional.push(match range {
                Some((first, last)) => Cow::Owned(Value::from(format!("{first}..{last}"))),
                None => self.expression(argument)?,
            });
        }
        for (name, argument) in &call.named {
            arguments.named.push((name, self.expression(argument)?));
        }
        let ask = |item: &Value| self.ask(call.lambda.as_deref(), item);
        let context = Call {
            budget: &self.budget,
            regexes: self.regexes,
            now: &|| self.variables.now(),
            knows_now: self.knows_now,
            ask: &ask,
        };
        call.filter.apply(&context, input, &arguments)
    }

    /// Answers what a filter such as `where_exp` asks of an item.
    fn ask(&self, lambda: Option<&Lambda>, item: &Value) -> Result<Value, Fault> {
        let Some(lambda) = lambda else { return Ok(Value::Null) };
        let mut inner = Renderer::new(self.variables, self.regexes, self.knows_now);
        inner.outer = Some(self);
        self.budget.step(cost(item))?;
        inner.budget = self.budget.clone();
        inner.enter(&lambda.name, RoundKind::Lambda, 1);
        let answer = inner.turn(0, item.clone()).and_then(|()| match &lambda.body {
            LambdaBody::Condition(condition) => inner.condition(condition).map(Value::Bool),
            LambdaBody::Value(value) => {
                let value = inner.filtered(value)?;
                inner.budget.afford(weight(&value))?;
                Ok(value.into_owned())
            }
        });
        self.budget.catch_up(&inner.budget);
        answer
    }

    fn expression<'s>(&'s self, expression: &'s Expression) -> Result<Cow<'s, Value>, Fault> {
        match expression {
            Expression::Literal(value) => Ok(Cow::Borrowed(value)),
            Expression::Blank | Expression::Empty => Ok(Cow::Owned(Value::from(""))),
            Expression::Range(bounds) => self.listed(self.bounds(bounds)?).map(Cow::Owned),
            Expression::Path(path) => match self.plain(path) {
                Some(value) => Ok(Cow::Borrowed(value)),
                None => self.path(path),
            },
        }
    }

    fn bounds(&self, bounds: &(Expression, Expression)) -> Result<(i128, i128), Fault> {
        let bound = |expression| {
            let value = self.expression(expression)?;
            let number = match value.kind() {
                ValueKind::Null => Some(0),
                ValueKind::Text => Number::of(&value).truncated(),
                ValueKind::Number => whole(&value),
                ValueKind::Boolean
                | ValueKind::Binary
                | ValueKind::Timestamp
                | ValueKind::Date
                | ValueKind::List
                | ValueKind::Object
                | ValueKind::Lookup => None,
            };
            number.ok_or_else(|| Fault::new("a range needs whole numbers"))
        };
        Ok((bound(&bounds.0)?, bound(&bounds.1)?))
    }

    /// Returns the list that a range stands for.
    fn listed(&self, (first, last): (i128, i128)) -> Result<Value, Fault> {
        self.budget.step(range_length((first, last))? / 16)?;
        Ok(Value::List((first..=last).map(Value::Int).collect()))
    }
}

/// Returns how many items a range has.
fn range_length((first, last): (i128, i128)) -> Result<usize, Fault> {
    let length = last.saturating_sub(first).saturating_add(1);
    if length > RANGE_ITEMS {
        return Err(Fault::new(format!("a range has more than {RANGE_ITEMS} items")));
    }
    Ok(usize::try_from(length.max(0)).unwrap_or(0))
}

/// Returns a number without a fraction.
fn whole(value: &Value) -> Option<i128> {
    let number = Number::of(value);
    let truncated = number.truncated()?;
    (number.compare(&Number::Int(truncated)) == Some(Ordering::Equal)).then_some(truncated)
}
