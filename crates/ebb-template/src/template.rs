use std::sync::Arc;

use chrono::{DateTime, Utc};
use ebb_row::{Row, Value, write_json};

use crate::ast::{Block, Node, NodeKind};
use crate::error::{Failure, Fault, TemplateError};
use crate::filters::Regexes;
use crate::jinja::Jinja;
use crate::limits::{PRODUCED_BYTES, SOURCE_BYTES};
use crate::names::{self, Names, Reads};
use crate::parser::{self, Tree};
use crate::printout::{Printout, is_word};
use crate::render::Renderer;
use crate::render::lookup::{ColumnPlace, row_of};

/// The language of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Liquid, as Hightouch and Census users know it: the default.
    #[default]
    Liquid,
    /// Jinja, on minijinja.
    Jinja,
}

impl Language {
    /// Returns the word used in YAML.
    pub fn word(self) -> &'static str {
        match self {
            Self::Liquid => "liquid",
            Self::Jinja => "jinja",
        }
    }

    /// Reads what [`Language::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Liquid, Self::Jinja].into_iter().find(|language| language.word() == word)
    }
}

/// What a template's result is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// An expression (exactly one `{{ … }}`) gives its value with its type, anything else text: the default.
    #[default]
    Value,
    /// Text, always.
    Text,
    /// Text that must be one JSON value, and that value. Outputs inside a JSON string are escaped for it; elsewhere a
    /// value is written as JSON, and a text must be JSON already. A comma may stand before `}` and `]`.
    Json,
}

impl Form {
    /// Returns the word used in YAML.
    pub fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Reads what [`Form::word`] returns.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Value, Self::Text, Self::Json].into_iter().find(|form| form.word() == word)
    }
}

/// What a root name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a> {
    /// A value.
    Value(&'a Value),
    /// A row: its columns are looked up as they are read, and no map is built.
    Row(&'a Row),
}

/// What a template may read.
pub trait Variables {
    /// Returns what `name` stands for; asked for `row`, `record` and any other root such as `context`.
    ///
    /// `row` and `record` are one: it is enough to answer to either. The row's columns need no answer of their own.
    fn root(&self, name: &str) -> Option<Root<'_>>;

    /// Returns the time of the run, which `'now'` means; `None` makes `'now'` an error.
    fn now(&self) -> Option<DateTime<Utc>> {
        None
    }
}

/// A parsed template; cloning is cheap.
#[derive(Clone, Debug)]
pub struct Template {
    form: Form,
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    Liquid(Liquid),
    Jinja(Box<Jinja>),
}

#[derive(Debug)]
struct Liquid {
    source: String,
    tree: Tree,
    regexes: Regexes,
    knows_now: bool,
    /// It is exactly one cell: `{{ row.x }}`.
    lone: Option<Lone>,
}

/// The column of a template that is one cell.
#[derive(Debug)]
struct Lone {
    column: Arc<str>,
    place: ColumnPlace,
}

impl Liquid {
    /// Returns the cell, where the template is one and nothing can be wrong with it.
    fn cell<'v>(&self, variables: &'v dyn Variables) -> Option<&'v Value> {
        let lone = self.lone.as_ref()?;
        let Some(Root::Row(row)) = row_of(variables) else { return None };
        lone.place.cell(row, &lone.column).filter(|cell| !matches!(cell, Value::Float(number) if !number.is_finite()))
    }

    fn renderer<'t>(&'t self, variables: &'t dyn Variables) -> Renderer<'t> {
        Renderer::new(variables, &self.regexes, self.knows_now)
    }
}

impl Template {
    /// Parses a template whose result is a [`Form::Value`].
    ///
    /// # Errors
    /// As [`Template::parse_as`].
    pub fn parse(source: &str, language: Language) -> Result<Self, TemplateError> {
        Self::parse_as(source, language, Form::Value)
    }

    /// Parses a template.
    ///
    /// # Errors
    /// The first fault that needs no row to be seen: syntax, an unknown tag or filter, a wrong number of arguments,
    /// a source of more than 64 KiB.
    pub fn parse_as(source: &str, language: Language, form: Form) -> Result<Self, TemplateError> {
        if source.len() > SOURCE_BYTES {
            return Err(Fault::new("the template is longer than 64 KiB").at(0).place(source));
        }
        let inner = match language {
            Language::Liquid => {
                let (tree, faults) = parser::parse(source);
                if let Some(first) = faults.into_iter().min_by_key(|failure| failure.offset) {
                    return Err(first.place(source));
                }
                let knows_now = names::knows_now(&tree.nodes);
                let lone = tree.lone_column().map(|column| Lone { column, place: ColumnPlace::default() });
                Inner::Liquid(Liquid { source: source.to_owned(), tree, regexes: Regexes::default(), knows_now, lone })
            }
            Language::Jinja => {
                let jinja = Jinja::parse(source, form == Form::Json);
                Inner::Jinja(Box::new(jinja.map_err(|failure| failure.place(source))?))
            }
        };
        Ok(Self { form, inner: Arc::new(inner) })
    }

    /// Returns every fault that [`Template::parse_as`] and [`Template::check`] find, in the order of the template.
    ///
    /// Where the template seems to be in the other language, that alone is told; Jinja's parser stops at its first fault.
    pub fn faults(source: &str, language: Language, form: Form, names: &Names<'_>) -> Vec<TemplateError> {
        let first = match Self::parse_as(source, language, form) {
            Ok(template) => return template.check(names),
            Err(error) => error,
        };
        if language == Language::Jinja || source.len() > SOURCE_BYTES {
            return vec![first];
        }
        let (tree, mut faults) = parser::parse(source);
        if let Some(other) = faults.iter().find(|failure| failure.fault.is_jinja()) {
            return vec![other.clone().place(source)];
        }
        // A variable may be unknown only because its `assign` cannot be read.
        faults.extend(names::check(&tree.nodes, &Names { roots: None, ..*names }));
        faults.sort_by_key(|failure| failure.offset);
        faults.into_iter().map(|failure| failure.place(source)).collect()
    }

    /// Returns a fault for each unknown variable and column, in the order of the template, and for JSON that no row can
    /// make right.
    pub fn check(&self, names: &Names<'_>) -> Vec<TemplateError> {
        let (source, failures) = match &*self.inner {
            Inner::Liquid(liquid) => {
                let mut failures = names::check(&liquid.tree.nodes, names);
                if self.form == Form::Json {
                    failures.extend(check_json(&liquid.tree.nodes));
                }
                (liquid.source.as_str(), failures)
            }
            Inner::Jinja(jinja) => (jinja.source(), jinja.check(names)),
        };
        failures.into_iter().map(|failure| failure.place(source)).collect()
    }

    /// Returns what the template reads.
    pub fn reads(&self) -> Reads {
        match &*self.inner {
            Inner::Liquid(liquid) => names::reads(&liquid.tree.nodes, liquid.knows_now),
            Inner::Jinja(jinja) => jinja.reads().clone(),
        }
    }

    /// Returns whether it is exactly one `{{ … }}` with only whitespace around it, so that its result keeps its type.
    pub fn is_expression(&self) -> bool {
        self.form == Form::Value
            && match &*self.inner {
                Inner::Liquid(liquid) => liquid.tree.is_expression,
                Inner::Jinja(jinja) => jinja.is_expression(),
            }
    }

    /// Returns what the result is.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Returns the column, where the template is exactly `{{ row.x }}` or `{{ row["x"] }}`: the cell is the result.
    pub fn lone_column(&self) -> Option<&str> {
        if self.form != Form::Value {
            return None;
        }
        match &*self.inner {
            Inner::Liquid(liquid) => liquid.lone.as_ref().map(|lone| &*lone.column),
            Inner::Jinja(jinja) => jinja.lone_column(),
        }
    }

    /// Renders to what the form says.
    ///
    /// # Errors
    /// What is wrong with this row; the row is to be rejected. A NaN or infinite result is an error.
    pub fn render(&self, variables: &dyn Variables) -> Result<Value, TemplateError> {
        if let (Inner::Liquid(liquid), Form::Value) = (&*self.inner, self.form)
            && let Some(cell) = liquid.cell(variables)
        {
            return Ok(cell.clone());
        }
        let (source, result) = match (&*self.inner, self.form) {
            (_, Form::Text) => return self.render_text(variables).map(Value::from),
            (Inner::Liquid(liquid), Form::Json) => {
                (liquid.source.as_str(), liquid.renderer(variables).json(&liquid.tree.nodes))
            }
            (Inner::Liquid(liquid), Form::Value) => {
                let Some((offset, value)) = liquid.tree.expression() else {
                    return self.render_text(variables).map(Value::from);
                };
                (liquid.source.as_str(), liquid.renderer(variables).value(value).map_err(|fault| fault.at(offset)))
            }
            (Inner::Jinja(jinja), Form::Json) => (jinja.source(), jinja.render_json(variables)),
            (Inner::Jinja(jinja), Form::Value) => (jinja.source(), jinja.render(variables)),
        };
        result.map_err(|failure| failure.place(source))
    }

    /// Renders as text, printing values as the language does; the value of a [`Form::Json`] is printed as JSON.
    ///
    /// # Errors
    /// What is wrong with this row; the row is to be rejected.
    pub fn render_text(&self, variables: &dyn Variables) -> Result<String, TemplateError> {
        let mut out = String::with_capacity(128);
        self.render_text_to(variables, &mut out)?;
        Ok(out)
    }

    /// Appends to `out` what [`Template::render_text`] returns; after an error `out` is as before.
    ///
    /// # Errors
    /// As [`Template::render_text`].
    pub fn render_text_to(&self, variables: &dyn Variables, out: &mut String) -> Result<(), TemplateError> {
        let (source, rendered) = match (&*self.inner, self.form) {
            (_, Form::Json) => {
                let mut json = Vec::new();
                let written =
                    write_json(&self.render(variables)?, &mut json).map_err(|error| Fault::new(error.to_string()));
                out.push_str(&String::from_utf8_lossy(&json));
                ("", written.map_err(|fault| fault.at(0)))
            }
            (Inner::Liquid(liquid), Form::Value | Form::Text) => {
                if let Some(Value::Text(text)) = liquid.cell(variables)
                    && text.len() <= PRODUCED_BYTES
                {
                    out.push_str(text);
                    return Ok(());
                }
                (liquid.source.as_str(), liquid.renderer(variables).text(&liquid.tree.nodes, out))
            }
            (Inner::Jinja(jinja), Form::Value | Form::Text) => {
                (jinja.source(), jinja.render_text(variables).map(|text| out.push_str(&text)))
            }
        };
        rendered.map_err(|failure| failure.place(source))
    }
}

/// Returns what is wrong with the JSON of a template, if it shows without a row: where only text and outputs make it.
fn check_json(nodes: &Block) -> Option<Failure> {
    let mut out = Printout::json();
    for (index, node) in nodes.iter().enumerate() {
        match &node.kind {
            NodeKind::Text(text) => out.literal(text, node.offset),
            NodeKind::Output(value) => {
                let is_value = out.is_at_json_value();
                let may_glue = is_value && (out.ends_in_word() || starts_with_word(nodes.get(index + 1..)));
                if may_glue || value.filters.last().is_some_and(|call| call.filter.name == "raw") {
                    return None;
                }
                // No one writes this character, so no stand-in is a name of the template.
                let name = format!("\u{f8ff}{index}");
                let stand_in = if is_value { format!("\"{name}\"") } else { name };
                out.value(&Value::from(stand_in), node.offset, is_value).ok()?;
            }
            NodeKind::Assign { .. } | NodeKind::Capture { .. } => {}
            NodeKind::If { .. }
            | NodeKind::Case { .. }
            | NodeKind::For(_)
            | NodeKind::TableRow(_)
            | NodeKind::IfChanged(_)
            | NodeKind::Increment(_)
            | NodeKind::Decrement(_)
            | NodeKind::Cycle { .. }
            | NodeKind::Break
            | NodeKind::Continue => return None,
        }
    }
    out.into_json().err()
}

/// Returns whether what these nodes print first may be glued to a number or word before it.
fn starts_with_word(nodes: Option<&[Node]>) -> bool {
    let prints = |node: &&Node| !matches!(node.kind, NodeKind::Assign { .. } | NodeKind::Capture { .. });
    let first = nodes.into_iter().flatten().find(prints);
    first.is_some_and(|node| if let NodeKind::Text(text) = &node.kind { text.starts_with(is_word) } else { true })
}
