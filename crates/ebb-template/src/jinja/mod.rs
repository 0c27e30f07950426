//! `language: jinja`, on minijinja: the same roots, filters and typed results.

mod body;
mod scan;
mod values;

use std::error::Error as _;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use ebb_row::{Row, Value};
use minijinja::filters as jinja_filters;
use minijinja::value::{Kwargs, Object as JinjaObject, Rest, Value as JinjaValue};
use minijinja::{Environment, ErrorKind, Expression, State, UndefinedBehavior};

use crate::error::{Failure, Fault, did_you_mean};
use crate::filters::dates::is_now;
use crate::filters::{Arguments, Call, Filter, Regexes, filter, filters};
use crate::limits::{Budget, PRODUCED_BYTES};
use crate::names::{Names, Reads, unknown_name};
use crate::{Root, Variables};

use values::{MAX_ITEMS, Roots, RowCells, cell_from_jinja, from_jinja, measured, printable, to_jinja};

/// minijinja's own filters; where a name is also ours, Jinja's meaning stands.
const BUILTINS: [&str; 48] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "zip",
];

/// minijinja's global functions, which are no variables.
const GLOBALS: [&str; 3] = ["range", "dict", "namespace"];

/// The root under which filters find the render they belong to; no template can spell it.
const RENDER: &str = "\u{0}render";

/// minijinja's `format`, under a name that no template can spell.
const FORMAT: &str = "\u{0}format";

/// The fuel of a template that keeps values by [`scan::keeps_values`], and so may nest them ever deeper.
///
/// minijinja prints and drops values by recursion, so what one render can nest must fit the stack.
const KEEPING_FUEL: u64 = 5_000;
/// The fuel of a template that makes larger values of those it is given, by [`scan::grows_values`].
///
/// One unit of fuel pays for 64 bytes, and what is held of it for a moment can be three times as much: this stays below 2 MiB.
const GROWING_FUEL: u64 = 10_000;
/// The fuel of any other template.
const PLAIN_FUEL: u64 = 100_000;

/// The environments with our filters and no template: for templates that do nothing but print, and for others.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(PLAIN_FUEL));
/// minijinja as it is.
static ORIGINAL: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_fuel(Some(GROWING_FUEL));
    environment
});
static GROWING: LazyLock<Environment<'static>> = LazyLock::new(|| environment(GROWING_FUEL));

fn environment(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    // What is not there prints as nothing and is false; asking it for something is an error.
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(fuel));
    environment.set_recursion_limit(100);
    environment.remove_global("debug");
    bound_printing(&mut environment);
    bound_text_filters(&mut environment);
    for filter in filters().iter().filter(|filter| !BUILTINS.contains(&filter.name) && filter.asks.is_none()) {
        environment.add_filter(filter.name, move |state: &State, input: JinjaValue, arguments: Rest<JinjaValue>| {
            apply(filter, state, &input, &arguments)
        });
    }
    environment.add_filter(body::FILTER, |input: JinjaValue, number: usize| {
        body::mark(&input, number).map(JinjaValue::from_safe_string).map_err(filter_failed)
    });
    environment
}

/// Puts bounds before what minijinja pays for only once it is there: lists may hold each other 2^100 times.
fn bound_printing(environment: &mut Environment<'static>) {
    environment.set_formatter(|out, state, value| {
        printable(value).map_err(filter_failed)?;
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_filter("tojson", |state: &State, value: &JinjaValue, indent: Option<JinjaValue>, named: Kwargs| {
        pay(state, value)?;
        jinja_filters::tojson(value, indent, named)
    });
    environment.add_filter("pprint", |state: &State, value: &JinjaValue| {
        pay(state, value).map(|()| jinja_filters::pprint(value))
    });
    environment.add_filter("string", |state: &State, value: &JinjaValue| {
        pay(state, value)?;
        jinja_filters::string(state, value)
    });
    environment.add_filter("batch", |state: &State, value: JinjaValue, count: usize, fill: Option<JinjaValue>| {
        // Each small list takes far more room than the place that it pays for.
        let lists = value.len().unwrap_or(MAX_ITEMS) / count.max(1);
        state.consume_fuel(u64::try_from(lists).unwrap_or(u64::MAX))?;
        jinja_filters::batch(state, value, count, fill)
    });
    environment.add_filter(FORMAT, jinja_filters::format);
    environment.add_filter("format", |state: &mut State, all: Rest<JinjaValue>| {
        let text = all.first().and_then(JinjaValue::as_str).unwrap_or_default();
        // A width is a number of the text, or a value where the text has `*`.
        let wide = text.split(|next: char| !next.is_ascii_digit()).any(|digits| digits.len() > 4)
            || text.contains('*') && all.iter().any(|value| value.as_i64().is_some_and(|width| width.abs() > 9_999));
        if wide {
            return Err(filter_failed(Fault::new("format: a width is more than 9999")));
        }
        for value in all.iter() {
            pay(state, value)?;
        }
        state.apply_filter(FORMAT, &all)
    });
}

/// Puts a bound before minijinja's filters of texts, which print a list first, before they know what that costs.
fn bound_text_filters(environment: &mut Environment<'static>) {
    // Under names that no template spells by accident; who does meets minijinja's own bounds.
    environment.add_filter("\u{0}upper", jinja_filters::upper);
    environment.add_filter("\u{0}lower", jinja_filters::lower);
    environment.add_filter("\u{0}title", jinja_filters::title);
    environment.add_filter("\u{0}capitalize", jinja_filters::capitalize);
    environment.add_filter("\u{0}trim", jinja_filters::trim);
    environment.add_filter("\u{0}escape", jinja_filters::escape);
    environment.add_filter("\u{0}safe", jinja_filters::safe);
    environment.add_filter("\u{0}join", jinja_filters::join);
    for (name, own) in [
        ("upper", "\u{0}upper"),
        ("lower", "\u{0}lower"),
        ("title", "\u{0}title"),
        ("capitalize", "\u{0}capitalize"),
        ("trim", "\u{0}trim"),
        ("replace", "replace"),
        ("escape", "\u{0}escape"),
        ("e", "\u{0}escape"),
        ("safe", "\u{0}safe"),
        ("indent", "indent"),
        ("join", "\u{0}join"),
    ] {
        environment.add_filter(name, move |state: &mut State, all: Rest<JinjaValue>| {
            for value in all.iter() {
                printable(value).map_err(filter_failed)?;
            }
            if let ("join", Some(items)) = (name, all.first().and_then(JinjaValue::len)) {
                let between = all.get(1).and_then(JinjaValue::as_str).map_or(0, str::len);
                Budget::default().afford(items.saturating_mul(between)).map_err(filter_failed)?;
            }
            if name == own {
                // minijinja lends no other way to what it has under this name.
                return ORIGINAL.empty_state().apply_filter(own, &all);
            }
            state.apply_filter(own, &all)
        });
    }
}

/// Pays for the items of a value that is printed, before it is.
fn pay(state: &State<'_, '_>, value: &JinjaValue) -> Result<(), minijinja::Error> {
    let items = measured(value).map_err(filter_failed)?;
    state.consume_fuel(u64::try_from(items / 2).unwrap_or(u64::MAX))
}

/// A parsed Jinja template.
#[derive(Debug)]
pub(crate) struct Jinja {
    source: String,
    /// Holds this template alone.
    environment: Environment<'static>,
    expression: Option<Expression<'static, 'static>>,
    lone_column: Option<String>,
    /// The names it does not define itself, each with the attributes behind it (`row.plan`).
    undeclared: Vec<String>,
    reads: Reads,
    regexes: Arc<Regexes>,
    knows_now: bool,
    /// The outputs of a JSON body.
    outputs: Vec<body::Output>,
}

/// One render, as the filters see it.
#[derive(Debug)]
struct Render {
    budget: Budget,
    regexes: Arc<Regexes>,
    now: Option<DateTime<Utc>>,
    knows_now: bool,
}

impl JinjaObject for Render {}

/// A fault of one of our filters on its way through minijinja.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.0.message)]
struct FilterFault(Fault);

impl Jinja {
    /// Parses a template, or one that writes a JSON value.
    pub(crate) fn parse(source: &str, is_body: bool) -> Result<Self, Failure> {
        if let Some((message, offset)) = scan::too_deep(source) {
            return Err(Fault::new(message).at(offset));
        }
        let base: &'static Environment<'static> = if scan::grows_values(source) { &GROWING } else { &PLAIN };
        let mut environment = base.clone();
        if scan::keeps_values(source) {
            environment.set_fuel(Some(KEEPING_FUEL));
        }
        let (marked, outputs) = if is_body { body::mark_outputs(source)? } else { (source.to_owned(), Vec::new()) };
        environment.add_template_owned("template", marked).map_err(|error| failure(&error, source))?;
        for (name, offset) in scan::filters_used(source) {
            if filter(name).is_none_or(|filter| filter.asks.is_some()) && !BUILTINS.contains(&name) {
                let known = filters().iter().map(|filter| filter.name).chain(BUILTINS);
                let fault = Fault::new(format!("unknown filter `{name}`"));
                let fault = did_you_mean(name, known).into_iter().fold(fault, Fault::hint);
                return Err(fault.at(scan::opening_before(source, offset)));
            }
        }
        let expression =
            scan::sole_output(source).and_then(|inner| base.compile_expression_owned(inner.to_owned()).ok());
        let template = environment.get_template("template").map_err(|error| failure(&error, source))?;
        let mut undeclared: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        undeclared.retain(|name| !GLOBALS.contains(&name.as_str()));
        undeclared.sort();
        let knows_now =
            scan::literals(source).any(is_now) && scan::filters_used(source).iter().any(|(name, _)| *name == "date");
        Ok(Self {
            lone_column: expression.is_some().then(|| scan::lone_column(source)).flatten(),
            reads: reads(source, &undeclared, knows_now),
            source: source.to_owned(),
            environment,
            expression,
            undeclared,
            regexes: Arc::default(),
            knows_now,
            outputs,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    pub(crate) fn is_expression(&self) -> bool {
        self.expression.is_some()
    }

    pub(crate) fn lone_column(&self) -> Option<&str> {
        self.lone_column.as_deref()
    }

    /// Returns a fault for each unknown name.
    pub(crate) fn check(&self, names: &Names<'_>) -> Vec<Failure> {
        let mut reads: Vec<(&str, Option<&str>, String)> = Vec::new();
        for path in &self.undeclared {
            let (name, rest) = path.split_once('.').map_or((path.as_str(), None), |(name, rest)| (name, Some(rest)));
            let field = rest.map(|rest| rest.split('.').next().unwrap_or(rest));
            reads.push((name, field, path.clone()));
        }
        for (root, column, written) in scan::bracket_columns(&self.source) {
            reads.push((root, Some(column), written.to_owned()));
        }
        let mut failures: Vec<Failure> = reads
            .into_iter()
            .filter_map(|(name, field, written)| {
                let fault = unknown_name(name, field, names, &[])?;
                let at = scan::place_of(&self.source, &written)
                    .or_else(|| self.source.find(field.unwrap_or(name)))
                    .unwrap_or(0);
                Some(fault.at(scan::opening_before(&self.source, at)))
            })
            .collect();
        failures.sort_by_key(|failure| failure.offset);
        failures.dedup();
        failures
    }

    pub(crate) fn render(&self, variables: &dyn Variables) -> Result<Value, Failure> {
        let Some(expression) = &self.expression else {
            return self.render_text(variables).map(Value::from);
        };
        let start = self.source.len() - self.source.trim_start().len();
        let result = expression.eval(self.context(variables)).map_err(|error| failure(&error, &self.source))?;
        let is_cell = self.lone_column.is_some();
        let value = if is_cell { cell_from_jinja(&result) } else { from_jinja(&result) };
        value.map_err(|fault| fault.at(start))
    }

    /// Renders a body to its JSON value.
    pub(crate) fn render_json(&self, variables: &dyn Variables) -> Result<Value, Failure> {
        body::value(&self.render_text(variables)?, &self.outputs)
    }

    pub(crate) fn render_text(&self, variables: &dyn Variables) -> Result<String, Failure> {
        let failed = |error: minijinja::Error| failure(&error, &self.source);
        let template = self.environment.get_template("template").map_err(failed)?;
        let mut out = Capped(Vec::new());
        template.render_captured_to(self.context(variables), &mut out).map_err(failed)?;
        String::from_utf8(out.0).map_err(|_| Fault::new("the output is not UTF-8").at(0))
    }

    /// Lends minijinja what this template reads of the variables.
    fn context(&self, variables: &dyn Variables) -> JinjaValue {
        let mut roots = Roots::default();
        let row = variables.root("row").or_else(|| variables.root("record"));
        roots.row = match row {
            Some(Root::Row(row)) => Some(JinjaValue::from_object(self.cells(row))),
            Some(Root::Value(value)) => Some(to_jinja(value)),
            None => None,
        };
        for path in &self.undeclared {
            let name = path.split('.').next().unwrap_or(path);
            if name == "row" || name == "record" {
                continue;
            }
            match variables.root(name) {
                Some(Root::Value(value)) => roots.others.push((name.to_owned(), to_jinja(value))),
                Some(Root::Row(row)) => {
                    roots.others.push((name.to_owned(), JinjaValue::from_object(RowCells::whole(row))));
                }
                None => {}
            }
        }
        let render = Render {
            budget: Budget::default(),
            regexes: Arc::clone(&self.regexes),
            now: variables.now(),
            knows_now: self.knows_now,
        };
        roots.others.push((RENDER.to_owned(), JinjaValue::from_object(render)));
        JinjaValue::from_object(roots)
    }

    fn cells(&self, row: &Row) -> RowCells {
        if self.reads.every_column {
            RowCells::whole(row)
        } else {
            RowCells::some(row, |name| self.reads.columns.contains(name))
        }
    }
}

/// Returns what a template reads, by the names that it does not define.
fn reads(source: &str, undeclared: &[String], knows_now: bool) -> Reads {
    let mut reads = Reads { run_dependent: knows_now, ..Reads::default() };
    let has_plain_row = scan::uses_row_whole(source);
    for path in undeclared {
        let (name, field) = path.split_once('.').map_or((path.as_str(), None), |(name, rest)| (name, Some(rest)));
        let field = field.map(|rest| rest.split('.').next().unwrap_or(rest));
        match (name, field) {
            ("row" | "record", Some(column)) => {
                reads.columns.insert(column.to_owned());
            }
            ("row" | "record", None) => reads.every_column |= has_plain_row,
            ("context", Some("sync")) => {}
            ("context", _) => reads.run_dependent = true,
            (bare, _) => {
                reads.columns.insert(bare.to_owned());
            }
        }
    }
    reads.columns.extend(scan::bracket_columns(source).map(|(_, column, _)| column.to_owned()));
    reads
}

/// Applies one of our filters for minijinja.
fn apply(
    filter: &'static Filter,
    state: &State<'_, '_>,
    input: &JinjaValue,
    arguments: &[JinjaValue],
) -> Result<JinjaValue, minijinja::Error> {
    let fallback = Render { budget: Budget::default(), regexes: Arc::default(), now: None, knows_now: false };
    let found = state.lookup(RENDER);
    let render = found.as_ref().and_then(|value| value.downcast_object_ref::<Render>()).unwrap_or(&fallback);
    filtered(filter, render, input, arguments).map_err(filter_failed)
}

fn filter_failed(fault: Fault) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, "a filter failed").with_source(FilterFault(fault))
}

fn filtered(
    filter: &Filter,
    render: &Render,
    input: &JinjaValue,
    arguments: &[JinjaValue],
) -> Result<JinjaValue, Fault> {
    let least = filter.required;
    if arguments.len() < least || arguments.len() > least.saturating_add(filter.optional) {
        let fault = Fault::new(format!("filter `{}` does not take {} arguments", filter.name, arguments.len()));
        return Err(fault.hint(format!("`{}` takes ({})", filter.name, filter.parameters)));
    }
    let input = std::borrow::Cow::Owned(from_jinja(input)?);
    let mut given = Arguments::default();
    for argument in arguments {
        given.positional.push(std::borrow::Cow::Owned(from_jinja(argument)?));
    }
    let call = Call {
        budget: &render.budget,
        regexes: &render.regexes,
        now: &|| render.now,
        knows_now: render.knows_now,
        ask: &|_| Ok(Value::Null),
    };
    Ok(to_jinja(&*filter.apply(&call, input, &given)?))
}

/// Collects output up to the bound.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > PRODUCED_BYTES {
            return Err(io::Error::other("the output is too long"));
        }
        if self.0.capacity() > PRODUCED_BYTES / 4 {
            // The rest at once: doubling would hold more than the bound allows.
            self.0.reserve_exact(PRODUCED_BYTES - self.0.len());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Describes an error of minijinja without the values it may quote.
fn failure(error: &minijinja::Error, source: &str) -> Failure {
    let offset = scan::opening_on_line(source, error.line().unwrap_or(1));
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(FilterFault(fault)) = inner.downcast_ref::<FilterFault>() {
            return fault.clone().at(offset);
        }
        cause = inner.source();
    }
    described(error.kind(), error.detail().unwrap_or_default()).at(offset)
}

/// Describes what minijinja says, in words that come from the template or from types only.
fn described(kind: ErrorKind, detail: &str) -> Fault {
    const NAMES_THE_TEMPLATE: [ErrorKind; 4] =
        [ErrorKind::SyntaxError, ErrorKind::UnknownFilter, ErrorKind::UnknownFunction, ErrorKind::UnknownTest];
    const HOLDS_NO_VALUE: [&str; 8] = [
        "recursion limit exceeded",
        "range has too many elements",
        "cannot convert ",
        "cannot round value (",
        "cannot join value of type ",
        "can only sum numbers, got ",
        "invalid digit found in string",
        "invalid float literal",
    ];
    let names_types = detail.starts_with("tried to use ") || detail.starts_with("unable to calculate ");
    if NAMES_THE_TEMPLATE.contains(&kind) {
        Fault::new(format!("{kind}: {detail}"))
    } else if kind == ErrorKind::UndefinedError {
        Fault::new("the value is undefined").hint("use `default`")
    } else if kind == ErrorKind::OutOfFuel {
        Fault::new("the template takes more steps than it may")
    } else if kind == ErrorKind::WriteFailure {
        Fault::new("the template produces more than 1 MiB")
    } else if kind == ErrorKind::InvalidOperation && names_types {
        Fault::new(detail.to_owned())
    } else if kind == ErrorKind::InvalidOperation && HOLDS_NO_VALUE.iter().any(|known| detail.starts_with(known)) {
        Fault::new(format!("{kind}: {detail}"))
    } else {
        Fault::new(kind.to_string())
    }
}
