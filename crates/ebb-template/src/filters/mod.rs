//! The filters: one table for Liquid and Jinja.
//!
//! A filter is one function and one line in the table of its module.

mod convert;
pub(crate) mod dates;
mod expressions;
mod hashes;
mod items;
mod lists;
mod made;
mod meant;
mod numbers;
mod parse_date;
mod regexes;
mod stacks;
mod strftime;
mod strings;

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use ebb_row::Value;

use crate::error::Fault;
use crate::limits::Budget;
use crate::number::Number;
use crate::print::text_of;

pub(crate) use meant::meant;
pub(crate) use regexes::Regexes;
pub(crate) use strings::size_of;

/// What a filter needs besides its input and arguments.
pub(crate) struct Call<'c> {
    pub(crate) budget: &'c Budget,
    pub(crate) regexes: &'c Regexes,
    /// The time of the run; `None` where the caller has none.
    pub(crate) now: &'c dyn Fn() -> Option<DateTime<Utc>>,
    /// The template itself says `'now'` or `'today'`; without that, such a text is a cell and no date.
    pub(crate) knows_now: bool,
    /// Answers the expression of a filter that [`Asks`], for one item.
    pub(crate) ask: &'c dyn Fn(&Value) -> Result<Value, Fault>,
}

/// What the expression is that a filter such as `where_exp` takes as its second argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// As in `if`.
    Condition,
    /// A value, with filters.
    Value,
}

type Function = for<'v> fn(&Call<'_>, Cow<'v, Value>, &Arguments<'v>) -> Result<Cow<'v, Value>, Fault>;
type Check = fn(&[Option<&Value>]) -> Result<(), Fault>;

/// One filter of the template language.
#[derive(Clone, Copy)]
pub struct Filter {
    /// The name, the same in Liquid and Jinja.
    pub name: &'static str,
    /// The parameters as a reader sees them (`length = 50, end = "..."`); empty without any.
    pub parameters: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
    /// An example that the tests run.
    pub example: Example,
    /// How many arguments it needs.
    pub(crate) required: usize,
    /// How many more it takes.
    pub(crate) optional: usize,
    /// The arguments it takes by name.
    pub(crate) named: &'static [&'static str],
    pub(crate) function: Function,
    /// Refuses literal arguments that cannot work, before any row is read.
    pub(crate) check: Option<Check>,
    /// A range is its text to it (`1..3`), not a list.
    pub(crate) prints_ranges: bool,
    /// It takes a name and an expression on each item, both literal; only in Liquid.
    pub(crate) asks: Option<Asks>,
}

/// A template, the row it is rendered for, and what comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The template, in Liquid.
    pub template: &'static str,
    /// The row as a JSON object.
    pub data: &'static str,
    /// The typed result as JSON.
    pub result: &'static str,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("name", &self.name).field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl Filter {
    const fn new(name: &'static str, meaning: &'static str, function: Function) -> Self {
        Self {
            name,
            parameters: "",
            meaning,
            example: Example { template: "", data: "{}", result: "" },
            required: 0,
            optional: 0,
            named: &[],
            function,
            check: None,
            prints_ranges: false,
            asks: None,
        }
    }

    const fn takes(mut self, parameters: &'static str, required: usize, optional: usize) -> Self {
        self.parameters = parameters;
        self.required = required;
        self.optional = optional;
        self
    }

    const fn shows(mut self, template: &'static str, data: &'static str, result: &'static str) -> Self {
        self.example = Example { template, data, result };
        self
    }

    const fn names(mut self, named: &'static [&'static str]) -> Self {
        self.named = named;
        self
    }

    const fn checked(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    const fn asks(mut self, asks: Asks) -> Self {
        self.asks = Some(asks);
        self
    }

    /// Returns how it is written, for hints.
    pub(crate) fn usage(&self) -> String {
        if self.parameters.is_empty() {
            "takes no argument".to_owned()
        } else {
            format!("is written `{}: {}`", self.name, self.parameters)
        }
    }

    /// Applies the filter; work and produced bytes are counted.
    pub(crate) fn apply<'v>(
        &self,
        call: &Call<'_>,
        input: Cow<'v, Value>,
        arguments: &Arguments<'v>,
    ) -> Result<Cow<'v, Value>, Fault> {
        // A filter on text makes a text of all that is in a list.
        let work = if self.prints_ranges { cost } else { work };
        let work = work(&input) + arguments.positional.iter().map(|argument| work(argument)).sum::<usize>();
        let counted = |value: Cow<'v, Value>| {
            if let Cow::Owned(value) = &value {
                call.budget.produce(weight(value))?;
            }
            Ok(value)
        };
        let result = call.budget.step(1 + work).and_then(|()| (self.function)(call, input, arguments));
        result.and_then(counted).map_err(|fault| named(self.name, fault))
    }
}

/// Says in which filter a fault is.
fn named(filter: &str, fault: Fault) -> Fault {
    Fault { message: format!("{filter}: {}", fault.message).into(), hint: fault.hint }
}

/// The work of looking at a value once, in steps.
fn work(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() / 1024,
        Value::Bytes(bytes) => bytes.len() / 1024,
        Value::List(items) => items.len() / 16,
        Value::Object(object) => object.len() / 16,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => 0,
    }
}

/// The most items that [`cost`] looks at.
const COSTED_ITEMS: usize = 100_000;

/// The work of going through a value with everything in it (comparing it, copying it), in steps.
///
/// A text takes a step per 1024 bytes, a list or object one per 16 items; measuring stops at 100,000 items.
pub(crate) fn cost(value: &Value) -> usize {
    let (mut items, mut bytes) = (0, 0);
    add_cost(value, &mut items, &mut bytes);
    items / 16 + bytes / 1024
}

fn add_cost(value: &Value, items: &mut usize, bytes: &mut usize) {
    *items = items.saturating_add(1);
    if *items > COSTED_ITEMS {
        return;
    }
    match value {
        Value::Text(text) => *bytes += text.len(),
        Value::Bytes(data) => *bytes += data.len(),
        Value::List(inner) => {
            for item in inner.iter().take(COSTED_ITEMS - *items) {
                add_cost(item, items, bytes);
            }
        }
        Value::Object(object) => {
            for (name, field) in object.iter().take(COSTED_ITEMS - *items) {
                *bytes += name.len();
                add_cost(field, items, bytes);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => {}
    }
}

/// The bytes that an item takes besides what is in it.
pub(crate) const ITEM: usize = 56;

/// The bytes that a value takes, with everything in it.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(|item| ITEM + weight(item)).sum(),
        Value::Object(object) => object.iter().map(|(name, field)| ITEM + name.len() + weight(field)).sum(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Decimal(_)
        | Value::Instant(_)
        | Value::LocalTime(_)
        | Value::Date(_)
        | Value::Lookup(_) => 8,
    }
}

/// A filter's evaluated arguments.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'v> {
    pub(crate) positional: Vec<Cow<'v, Value>>,
    pub(crate) named: Vec<(&'static str, Cow<'v, Value>)>,
}

impl Arguments<'_> {
    fn get(&self, at: usize) -> Option<&Value> {
        self.positional.get(at).map(|value| &**value)
    }

    fn named(&self, name: &str) -> Option<&Value> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    fn value(&self, at: usize) -> &Value {
        self.get(at).unwrap_or(&Value::Null)
    }

    /// Returns the argument as printed; empty when it is missing.
    fn text(&self, at: usize) -> Result<Cow<'_, str>, Fault> {
        text_of(self.value(at))
    }

    fn number(&self, at: usize) -> Number {
        Number::of(self.value(at))
    }

    /// Returns the argument as an integer, or `default` when it is missing.
    fn integer(&self, at: usize, default: i64) -> Result<i64, Fault> {
        let Some(value) = self.get(at) else { return Ok(default) };
        let whole = match value {
            Value::Int(number) => i64::try_from(*number).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Float(number) if number.fract() == 0.0 => bigdecimal::ToPrimitive::to_i64(number),
            Value::Decimal(number) if number.is_integer() => bigdecimal::ToPrimitive::to_i64(&**number),
            Value::Null
            | Value::Bool(_)
            | Value::Float(_)
            | Value::Decimal(_)
            | Value::Bytes(_)
            | Value::Instant(_)
            | Value::LocalTime(_)
            | Value::Date(_)
            | Value::List(_)
            | Value::Object(_)
            | Value::Lookup(_) => None,
        };
        whole.ok_or_else(|| Fault::new("needs a whole number"))
    }
}

/// Wraps a produced text.
fn owned<'v>(text: impl Into<String>) -> Cow<'v, Value> {
    Cow::Owned(Value::from(text.into()))
}

static TABLE: LazyLock<Vec<Filter>> = LazyLock::new(|| {
    let mut table = [
        strings::FILTERS,
        numbers::FILTERS,
        lists::FILTERS,
        items::FILTERS,
        stacks::FILTERS,
        expressions::FILTERS,
        convert::FILTERS,
        regexes::FILTERS,
        hashes::FILTERS,
        dates::FILTERS,
    ]
    .concat();
    table.sort_by_key(|filter| filter.name);
    let on_text = [strings::FILTERS, hashes::FILTERS, regexes::FILTERS].concat();
    for filter in &mut table {
        filter.prints_ranges = filter.name != "size" && on_text.iter().any(|other| other.name == filter.name);
    }
    table
});

/// Returns every filter, sorted by name.
pub fn filters() -> &'static [Filter] {
    &TABLE
}

/// Returns the filter of this name.
pub(crate) fn filter(name: &str) -> Option<&'static Filter> {
    let at = TABLE.binary_search_by(|filter| filter.name.cmp(name)).ok()?;
    TABLE.get(at)
}
